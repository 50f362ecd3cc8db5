"""What a model's card says of its drawings; every number comes from the rows of a table."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


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


@dataclass(frozen=True)
class Said:
    """What is said of the images that drawings are compared with."""

    what: str
    aside: str  # which images are held aside
    judged: str  # on which the judge is measured
    seen: str  # what the two feature spaces have seen


SAID = {
    "eurosat": Said(
        "EuroSAT",
        "the training part that ships (`data/eurosat_course`)",
        "its validation part",
        "{clip} has seen no image of\nEuroSAT, but the judge those held aside: its features may "
        "place them a little too near.",
    ),
    "mini_earth": Said(
        "mini_earth",
        "fresh renders",
        "those images",
        "Both have seen the\ntraining renders: their features place them a little too far off.",
    ),
}


def fragment(
    args: argparse.Namespace,
    rows: Sequence[Row],
    *,
    judge: Mapping[str, int],
    confused: Mapping[str, str],
    neighbors: tuple[int, int],
) -> str:
    """Compose the card's part on drawings.

    Args:
        args: of ``measure_text2image``; its command among them.
        rows: of all numbers.
        judge: its ``num_weights`` and ``num_training``.
        confused: what each class's drawings are mostly else taken for.
        neighbors: of precision and recall, of density and coverage.
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
    said, (k_region, k_crowd) = SAID[args.on], neighbors
    return f"""### Drawings, measured on {said.what}

{args.per_class} drawings a class for each of {args.seeds} base seeds, guidance
{args.guidance:g}, {args.steps} steps, the lab's prompts. Real images held aside: {said.aside},
which this model was not trained on. Measured by

    {args.command}

The judge is a plain convolutional network ({judge["num_weights"]:,} weights, trained on
{judge["num_training"]:,} real images of {said.what} alone, which no generator has seen in the
case of EuroSAT; it shares no part with this model or with {clip}). What it makes of real images is
measured on {said.judged}, which it has not seen. Nothing was
chosen by what it says of drawings. Shares recognized as what was asked, with Wilson's 95 %
interval:

| class | drawn | real | drawn, mostly else taken for |
| --- | ---: | ---: | --- |
{shares}

Compared with held-aside real images, n of either, classes alike; mean over the seeds, with
Student's 95 % interval over them. "Real" compares training images with the same held-aside ones:
what a perfect model would get at this n. Features are those of {clip} or what the judge's
last layer reads, each row scaled to length root d. {said.seen.format(clip=clip)}
Precision and recall with k = {k_region}, density and coverage with k = {k_crowd}.
`frechet_distance` is biased upward, the more so the smaller n; `frechet_limit` extrapolates from
n / 2, 3 n / 4 and n to infinite n. `copied_share`: drawings nearer to a training image than one in
a hundred held-aside real images is; for real images it is the expectation, and a share up to the
number in brackets is no surprise.

| metric | features | n | drawn | real |
| --- | --- | ---: | ---: | ---: |
{numbers}
"""


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
