"""Judge settled cells on images that chose nothing; one tidy table, and what is saved."""

import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, count
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_utils.examples import Example
from course_utils.lab.design import DRAWN, PLAIN, Cell, Grid
from course_utils.lab.training import SETTINGS, Fit, halves
from course_utils.metrics import (
    Interval,
    accuracy,
    crossed_interval,
    holm,
    macro_f1,
    p_value,
    verdict,
)
from course_utils.runtime import write_atomically

VERSION = 2
ENTRIES = (  # of results.json, in this order
    *("version", "task", "profile", "data", "model", "generators", "settings", "versions"),
    *("commit", "started", "seconds", "prediction", "answer", "class_names", "num_test"),
    *("rows", "summary"),
)
QUESTION = "real+synthetic"
Part = Literal["validation", "test"]
Key = tuple[str, str, int]  # arm, generator, shots
KEY = ("arm", "generator", "shots")


@dataclass(frozen=True, eq=False)
class Exam:
    """Who chooses settings, and who judges: features with the examples that they are of."""

    choose: tuple[Float[Tensor, "n d"], Sequence[Example]]
    judge: tuple[Float[Tensor, "m d"], Sequence[Example]]

    def labels(self, part: Literal["choose", "judge"]) -> Int[Tensor, " n"]:
        """Read the labels of a part, not earlier than they are needed."""
        return torch.tensor([example.label for example in getattr(self, part)[1]])


def set_exam(
    validation: tuple[Float[Tensor, "n d"], Sequence[Example]],
    test: tuple[Float[Tensor, "m d"], Sequence[Example]],
    *,
    evaluate: Part = "test",
) -> Exam:
    """Say which images choose and which judge.

    Args:
        validation: features and examples.
        test: features and examples.
        evaluate: ``"test"`` for the one time when everything is fixed. ``"validation"`` while
            building: one half of the validation images chooses, the other judges, and the test part
            is not looked at.

    Raises:
        ValueError: another part; not one feature row an example; too few validation images for two
            halves.
    """
    if evaluate not in get_args(Part):
        raise ValueError(f"evaluate: expected one of {', '.join(get_args(Part))}, got {evaluate!r}")
    for features, examples in (validation, test):
        if len(features) != len(examples):
            raise ValueError(f"got {len(features)} rows of features, {len(examples)} examples")
    if evaluate == "test":
        return Exam(validation, test)
    features, examples = validation
    parts = halves(torch.tensor([example.label for example in examples]))
    if not parts[0].any() or parts[1].sum() < 2:
        raise ValueError(
            "evaluate='validation' lets one half of the validation images choose and two or more "
            f"others judge, but of {len(examples)} no class has images enough: add some"
        )
    return Exam(*((features[half], [examples[i] for i in half.nonzero()[:, 0]]) for half in parts))


@dataclass(frozen=True)
class Results:
    """The whole outcome; ``content`` is what ``results.json`` holds."""

    content: dict
    predictions: pa.Table

    @cached_property
    def answers(self) -> dict[Key, pd.DataFrame]:
        """Read the predictions without probabilities, a table for each cell."""
        columns = [*KEY, "seed", "label", "prediction"]
        table = self.predictions.select(columns).to_pandas(categories=list(KEY[:2]))
        groups = table.groupby(list(KEY), observed=True, sort=False)
        return {tuple(key): some for key, some in groups}


def tabulate(
    grid: Grid,
    fits: Sequence[Fit],
    chosen: Sequence[int],
    exam: Exam,
    class_names: Sequence[str],
    *,
    header: Mapping[str, object],
) -> Results:
    """Let settled cells predict the judging images; compare every arm with its baseline.

    An arm is compared with real-only at the same shots and seeds, at 0 shots with zero-shot. Its
    interval crosses seeds and images (`metrics.crossed_interval`); p values are corrected after
    Holm in three families (`family_of`): question, other arms of the curve, strategies. One
    seed alone says nothing about others: such a cell gets no verdict.

    Args:
        grid: what is compared.
        fits: from `train_cells`.
        chosen: a setting for each, from `choose_settings`.
        exam: its labels are read here for the first time.
        class_names: in label order.
        header: the other ``ENTRIES``.

    Raises:
        KeyError: an entry is missing.
    """
    (features, examples), labels = exam.judge, exam.labels("judge")
    cells, rows, hits, tables = [fit.cell for fit in fits], [], {}, []
    names = image_names(examples, class_names)
    for fit, setting in zip(fits, chosen, strict=True):
        shares = fit.logits(features, setting).softmax(-1)
        guesses = shares.argmax(-1)
        hits[key_of(fit.cell)] = (guesses == labels).double()
        rows += _rows(fit.cell, guesses, labels, len(class_names))
        tables.append(_predictions(fit.cell, shares, labels, names))
    found = {
        "version": VERSION,
        **header,
        "settings": [_setting(*pair) for pair in zip(cells, chosen, strict=True)],
        "class_names": list(class_names),
        "num_test": len(labels),
        "rows": rows,
        "summary": summarize(cells, hits, smallest=grid.smallest),
    }
    content = {name: found[name] for name in ENTRIES}
    return Results(content, pa.concat_tables(tables))


def key_of(cell: Cell) -> Key:
    """Name a cell as summary and hits do."""
    return cell.arm, cell.generator, cell.shots


def image_names(examples: Sequence[Example], class_names: Sequence[str]) -> list[str]:
    """Name each image as its set does, and no two alike: predictions are joined by these names.

    A name that several have, such as ``1.png`` in every class folder, is given with the class, and
    what is the same even then is numbered in the order of the examples.
    """
    names = [example_name(example, class_names) for example in examples]
    often, taken = Counter(names), set()
    for i, example in enumerate(examples):
        if often[names[i]] > 1 and example.name:
            names[i] = f"{class_names[example.label]}/{names[i]}"
        numbered = (f"{names[i]} ({num})" for num in count(2))
        names[i] = next(name for name in chain(names[i : i + 1], numbered) if name not in taken)
        taken.add(names[i])
    return names


def example_name(example: Example, class_names: Sequence[str]) -> str:
    """Name an image as its set does; by its class and file, else by its content."""
    if example.name:
        return example.name
    file = example.path.name if example.path else example.digest()[:16]
    return f"{class_names[example.label]}/{file}"


def _rows(
    cell: Cell, guesses: Int[Tensor, "s n"], labels: Int[Tensor, " n"], num_classes: int
) -> list[dict]:
    rows = []
    for seed, guess, head in zip(
        cell.seeds, guesses, cell.heads or [None] * len(cell.seeds), strict=True
    ):
        num_real, num_added = (head.num_real, len(head.rows) - head.num_real) if head else (0, 0)
        is_real = cell.arm.startswith("retrieval")
        rows.append(
            {
                "arm": cell.arm,
                "generator": cell.generator,
                "shots": cell.shots,
                "seed": seed,
                "real_share": real_share(cell),
                "num_real": num_real + num_added * is_real,
                "num_synthetic": num_added * (bool(cell.generator) and not is_real),
                "accuracy": accuracy(guess, labels),
                "macro_f1": macro_f1(guess, labels, num_classes=num_classes),
            }
        )
    return rows


def real_share(cell: Cell) -> float:
    """Give the share of real images in what a cell's heads see; 0 where they see none."""
    if not cell.heads:
        return 0.0
    head = cell.heads[0]
    return head.num_real / len(head.rows) if head.real_share is None else head.real_share


def _setting(cell: Cell, chosen: int) -> dict:
    config = SETTINGS[chosen]
    about = {"arm": cell.arm, "generator": cell.generator, "shots": cell.shots}
    steps = config.num_steps if cell.heads else 0
    rate = config.learning_rate if cell.heads else 0.0
    return {**about, "steps": steps, "learning_rate": rate, "real_share": real_share(cell)}


def _predictions(
    cell: Cell, shares: Float[Tensor, "s n k"], labels: Int[Tensor, " n"], names: Sequence[str]
) -> pa.Table:
    """One line for each seed and image."""
    num_seeds, num, num_classes = shares.shape
    size = num_seeds * num
    flat = shares.to(torch.float16).flatten().numpy()
    ends = pa.array(np.arange(size + 1, dtype=np.int32) * num_classes)
    columns = {
        "arm": _repeated(cell.arm, size),
        "generator": _repeated(cell.generator, size),
        "shots": np.full(size, cell.shots, np.int32),
        "seed": np.repeat(np.array(cell.seeds, np.int64), num),
        "image": pa.array(list(names) * num_seeds),
        "label": np.tile(labels.numpy(), num_seeds).astype(np.int32),
        "prediction": shares.argmax(-1).flatten().numpy().astype(np.int32),
        "probability": pa.ListArray.from_arrays(ends, pa.array(flat)),
    }
    return pa.table(columns)


def _repeated(word: str, size: int) -> pa.StringArray:
    return pa.repeat(pa.scalar(word), size)


def summarize(
    cells: Sequence[Cell], hits: Mapping[Key, Float[Tensor, "s n"]], *, smallest: float
) -> list[dict]:
    """Give each cell's accuracy and gain with intervals, corrected p values and a verdict."""
    seeds = {key_of(cell): cell.seeds for cell in cells}
    gains = {key: _gain(key, hits, seeds) for key in seeds}
    compared = [key for key, gain in gains.items() if gain and len(hits[key]) > 1]
    p = {}
    for family in sorted(set(map(family_of, compared))):
        keys = [key for key in compared if family_of(key) == family]
        p |= dict(zip(keys, holm([p_value(gains[key]) for key in keys]), strict=True))
    return [_entry(key, hits[key], gains[key], p, smallest=smallest) for key in seeds]


def family_of(key: Key) -> str:
    """Name the family of comparisons in which a cell's p value is corrected."""
    if key[0] == QUESTION:
        return "question"
    return "strategies" if key[0] in (*DRAWN, *PLAIN) else "curve"


def baseline_of(key: Key) -> Key:
    """Name what a cell is compared with."""
    return ("real", "", key[2]) if key[2] else ("zero_shot", "", 0)


def _gain(
    key: Key, hits: Mapping[Key, Float[Tensor, "s n"]], seeds: Mapping[Key, tuple[int, ...]]
) -> Interval | None:
    """Bound the paired difference to the baseline; None for a baseline itself."""
    base = baseline_of(key)
    if key == base:
        return None
    rows = [seeds[base].index(seed) for seed in seeds[key]]
    return crossed_interval(hits[key] - hits[base][rows])


def _entry(
    key: Key,
    hits: Float[Tensor, "s n"],
    gain: Interval | None,
    p: Mapping[Key, float],
    *,
    smallest: float,
) -> dict:
    level, nothing = crossed_interval(hits, ends=(0, 1)), Interval(0.0, 0.0, 0.0, np.inf, 0.0)
    gain, corrected = gain or nothing, p.get(key, 1.0)
    is_judged = key in p or gain is nothing  # a baseline differs from itself by nothing
    word = verdict(gain, smallest=smallest, p=corrected) if is_judged else ""
    return {
        **dict(zip(("arm", "generator", "shots"), key, strict=True)),
        "accuracy": level.mean,
        "accuracy_low": level.low,
        "accuracy_high": level.high,
        "gain": gain.mean,
        "gain_low": gain.low,
        "gain_high": gain.high,
        "p_holm": corrected,
        "verdict": word,
    }


def map_verdicts(
    fits: Sequence[Fit], chosen: Sequence[int], exam: Exam, *, smallest: float, arm: str = QUESTION
) -> list[dict]:
    """Compare an arm with its baseline at every setting, the same for both: nobody's choice.

    Returns:
        A row for each generator, number of shots and setting; ``chosen`` marks the arm's own. The
        p values are not corrected: the map is to be read as a whole.
    """
    labels, features = exam.labels("judge"), exam.judge[0]
    picked = {key_of(fit.cell): i for fit, i in zip(fits, chosen, strict=True)}
    by_key = {key_of(fit.cell): fit for fit in fits}
    rows = []
    for (name, generator, shots), fit in by_key.items():
        if name != arm:
            continue
        base = by_key[baseline_of((name, generator, shots))]
        shared = [base.cell.seeds.index(seed) for seed in fit.cell.seeds]
        for i, config in enumerate(SETTINGS):
            right = [one.logits(features, i).argmax(-1) == labels for one in (fit, base)]
            gain = crossed_interval(right[0].double() - right[1][shared].double())
            about = {"arm": arm, "generator": generator, "shots": shots}
            about |= {"steps": config.num_steps, "learning_rate": config.learning_rate}
            ends = {"gain": gain.mean, "gain_low": gain.low, "gain_high": gain.high}
            word = verdict(gain, smallest=smallest)
            is_chosen = picked[name, generator, shots] == i
            rows.append({**about, **ends, "verdict": word, "chosen": is_chosen})
    return rows


def save_results(results: Results, out: Path) -> None:
    """Write ``results.json`` and ``predictions.parquet`` into ``out``, each whole or not at all.

    Raises:
        OSError: when the disk is full or read-only; says what to do.
    """
    buffer = io.BytesIO()
    pq.write_table(results.predictions, buffer)
    write_atomically(out / "predictions.parquet", buffer.getvalue())
    text = json.dumps(results.content, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(out / "results.json", text.encode())
