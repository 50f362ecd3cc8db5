"""What came out: train all arms, tabulate, judge by intervals, save."""

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_utils.examples import Splits
from course_utils.lab.arms import Arm
from course_utils.metrics import accuracy, crossed_interval, macro_f1, verdict
from course_utils.runtime import write_atomically
from course_utils.tuning import Heads, TuneConfig, tune_heads


@dataclass(frozen=True)
class Trained:
    """A step of the grid; ``predictions`` (arms in order, test images) only after the last."""

    step: int
    loss: float
    predictions: Int[Tensor, "a n"] | None


def run_arms(
    arms: Sequence[Arm],
    bank: Float[Tensor, "b d"],
    weights: Float[Tensor, "k d"],
    config: TuneConfig,
    *,
    test: Float[Tensor, "n d"],
    logit_scale: float,
) -> Iterator[Trained]:
    """Train every arm at once and let each predict the test set.

    Args:
        arms: from ``draw_arms``.
        bank: features of real, synthetic and seen images, in that order.
        weights: zero-shot class weights, where every head starts.
        config: chosen on validation data; the same for all.
        test: features of the test images.
        logit_scale: the model's.

    Yields:
        One record a step.
    """
    heads = [arm.data for arm in arms if arm.data is not None]
    for step in tune_heads(bank, heads, weights, config, logit_scale=logit_scale):
        if step.heads is None:
            yield Trained(step.step, float(step.loss.mean()), None)
    start = Heads(logit_scale * weights[None], torch.zeros(1, len(weights)).to(weights))
    guess = start.logits(test).argmax(-1)
    tuned = iter(step.heads.logits(test).argmax(-1))
    predictions = [guess[0] if arm.data is None else next(tuned) for arm in arms]
    yield Trained(step.step, float(step.loss.mean()), torch.stack(predictions).cpu())


@dataclass(frozen=True)
class Results:
    """The whole outcome; ``content`` is what ``results.json`` holds."""

    content: dict
    predictions: pa.Table


def tabulate(
    arms: Sequence[Arm],
    predictions: Int[Tensor, "a n"],
    data: Splits,
    *,
    shots: int,
    header: dict,
) -> Results:
    """Turn predictions into rows, one an arm, ratio and seed, and a summary over seeds.

    An arm's verdict is the sign of the 95 % interval of its paired difference to real-only,
    which allows for other seeds and other test images (``metrics.crossed_interval``).

    Args:
        arms: from ``draw_arms``.
        predictions: of ``run_arms``.
        data: brings the test labels and class names.
        shots: real images a class.
        header: profile, data, model, generator, stand_ins.

    Returns:
        What ``results.json`` and ``predictions.parquet`` hold.
    """
    labels = torch.tensor([example.label for example in data.test])
    num_classes = len(data.class_names)
    rows = [
        {
            "arm": arm.arm,
            "ratio": arm.ratio,
            "shots": shots if arm.data else 0,
            "seed": arm.seed,
            "num_real": arm.num_real,
            "num_synthetic": arm.num_synthetic,
            "accuracy": accuracy(guess, labels),
            "macro_f1": macro_f1(guess, labels, num_classes=num_classes),
        }
        for arm, guess in zip(arms, predictions, strict=True)
    ]
    content = {"version": 1, **header, "class_names": list(data.class_names)}
    content |= {"num_test": len(labels), "rows": rows}
    content["summary"] = _summarize(rows, (predictions == labels).double())
    return Results(content, _prediction_table(rows, predictions, data))


def _summarize(rows: list[dict], correct: Float[Tensor, "a n"]) -> list[dict]:
    groups: dict[tuple, list[int]] = {}
    for index, row in enumerate(rows):
        groups.setdefault((row["arm"], row["ratio"]), []).append(index)
    baseline = correct[groups["real", 0]]
    summary = []
    for (arm, ratio), members in groups.items():
        hits = correct[members]
        level, gain = crossed_interval(hits), crossed_interval(hits - baseline)
        summary.append(
            {
                "arm": arm,
                "ratio": ratio,
                "accuracy": level.mean,
                "accuracy_low": max(0.0, level.low),
                "accuracy_high": min(1.0, level.high),
                "macro_f1": float(np.mean([rows[index]["macro_f1"] for index in members])),
                "gain": gain.mean,
                "gain_low": gain.low,
                "gain_high": gain.high,
                "verdict": verdict(gain),
            }
        )
    return summary


def _prediction_table(rows: list[dict], predictions: Tensor, data: Splits) -> pa.Table:
    """One line for each arm, ratio, seed and test image; images are named by their content."""
    num_test, num_rows = len(data.test), len(rows)
    repeated = {
        name: np.repeat([row[name] for row in rows], num_test) for name in ("arm", "ratio", "seed")
    }
    images = [example.digest()[:16] for example in data.test]
    return pa.table(
        {
            **repeated,
            "image": images * num_rows,
            "label": [example.label for example in data.test] * num_rows,
            "prediction": predictions.flatten().numpy(),
        }
    )


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
