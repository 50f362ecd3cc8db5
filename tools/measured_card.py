"""What is written of a measured model: rows of a table, and from them a part of its card."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools import training
from tools.training import cards

COLUMNS = (
    *("model", "fingerprint", "on", "images", "metric", "space", "class"),
    *("value", "low", "high", "n", "seeds"),
    *("guidance", "steps", "scheduler", "command", "commit", "machine"),
)
SETTING = ("model", "on", "guidance", "steps", "scheduler")  # a later run replaces these rows


@dataclass(frozen=True)
class Row:
    """One number of the table, with its interval where it has one."""

    images: str  # drawn, or real: the reference
    metric: str
    space: str  # whose features, or who was asked
    class_name: str
    value: float
    low: float | None
    high: float | None
    n: int  # images on either side, of one seed
    seeds: int


K_REGION, K_CROWD = 3, 5  # neighbours: of precision and recall, of density and coverage
SAID = {  # of the images that drawings are compared with, the judge's and what features have seen
    "eurosat": {
        "what": "EuroSAT",
        "aside": "the training part that ships (`data/eurosat_course`)",
        "judged": "its validation part",
        "seen": "{clip} has seen no image of\nEuroSAT, but the judge those held aside: its "
        "features may place them a little too near.",
    },
    "mini_earth": {
        "what": "mini_earth",
        "aside": "fresh renders",
        "judged": "those images",
        "seen": "Both have seen the\ntraining renders: their features place them a little too far "
        "off.",
    },
}


def write_table(path: Path, rows: Sequence[dict[str, object]]) -> None:
    """Write the rows of this model and setting; those of other settings of the same files stay."""
    new = [training.as_text(row, COLUMNS) for row in rows]
    kept = [row for row in training.read_rows(path) if is_kept(row, new[0])]
    order = sorted([*kept, *new], key=lambda row: [row[key] for key in SETTING])
    training.write_rows(path, COLUMNS, order)


def is_kept(row: dict[str, str], new: dict[str, str]) -> bool:
    """Keep another model's row, and another setting's unless the model's files have changed."""
    if row["model"] != new["model"]:
        return True
    is_same_setting = all(row[key] == new[key] for key in SETTING)
    return row["fingerprint"] == new["fingerprint"] and not is_same_setting


def fragment(
    args: argparse.Namespace,
    rows: Sequence[Row],
    *,
    judge: Mapping[str, int],
    confused: Mapping[str, str],
) -> str:
    """Compose the card's part on drawings.

    ``judge`` has ``num_weights`` and ``num_training``; ``confused`` says for each class what its
    drawings are mostly else taken for.
    """
    real = {_place(row): row for row in rows if row.images == "real"}
    drawn = [(row, real.get(_place(row))) for row in rows if row.images == "drawn"]
    shares = "\n".join(
        f"| {row.class_name} | {share_text(row)} | {share_text(other)} | "
        f"{confused[row.class_name]} |"
        for row, other in drawn
        if row.metric == "agreement"
    )
    numbers = "\n".join(
        f"| {row.metric} | {row.space} | {row.n} | {number_text(row)} | {number_text(other)} |"
        for row, other in drawn
        if row.metric != "agreement"
    )
    clip = next(row.space for row in rows if row.metric == "clip_score")
    said = SAID[args.on] | {"seen": SAID[args.on]["seen"].format(clip=clip), "clip": clip}
    said |= {"shares": shares, "numbers": numbers, "judge": judge}
    return cards.fill("drawings", args=args, k_region=K_REGION, k_crowd=K_CROWD, **said)


def _place(row: Row) -> tuple[str, str, str, int]:
    """Say where a number stands; shares of drawings and of real images have an n of their own."""
    return row.metric, row.space, row.class_name, row.n * (row.metric != "agreement")


def share_text(row: Row | None) -> str:
    """Write a share with its interval."""
    return "" if row is None else f"{row.value:.3f} ({row.low:.3f} to {row.high:.3f})"


def number_text(row: Row | None) -> str:
    """Write a number with what interval it has."""
    if row is None:
        return ""
    if row.high is None:
        return f"{row.value:.3f}"
    return f"{row.value:.3f} ({'' if row.low is None else f'{row.low:.3f} '}to {row.high:.3f})"
