"""Checks of notebook 07 on images: batches, gain by class, CLIP filter, soft targets."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from course_utils.checks.judging import (
    Hint,
    Mistakes,
    as_tensor,
    check,
    compare,
    is_close,
    judge,
    number,
    run,
    tell,
)

_BATCHES = (  # images in the batch, share of real ones
    (20, 0.3),
    (16, 0.23),
    (16, 0.2),
    (12, 1.0),
    (12, 0.0),
)
_NUM_BATCHES = 600  # each row is then drawn about 90 times or more
_BUDGET, _NUM_FILTERED = 4, 40  # images of a class; draws, which miss a row in 1 of 10^10 cases
_CONFIDENCE = (  # probability of the own class of four, by class
    (0.9, 0.8, 0.7, 0.6, 0.45, 0.4, 0.35, 0.3, 0.28, 0.25, 0.2, 0.1),
    (0.6, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1, 0.05),
    (0.5, 0.3, 0.24, 0.2, 0.15, 0.1, 0.05),
    (0.5, 0.2, 0.1),  # fewer than the budget
)


def draw_batch(real_rows, synthetic_rows, batch_size, real_share, generator):
    """Draw a batch whose number of real images is always the same."""
    num_real = round(batch_size * real_share)
    parts = []
    for rows, num in ((real_rows, num_real), (synthetic_rows, batch_size - num_real)):
        parts.append(rows[torch.randint(len(rows), (num,), generator=generator)])
    return torch.cat(parts)


@check(draw_batch)
def check_07_ex3(value: Any) -> None:
    """Check ``draw_batch(real_rows, synthetic_rows, batch_size, real_share, generator)``.

    It gives int64 (batch_size,): round(batch_size * real_share) of the first rows, the rest of the
    second, drawn by ``generator`` alone, each row as likely as another. Where there are fewer rows
    than a batch wants, rows repeat.

    Args:
        value: the function; rows are int64 tensors of numbers of images.
    """
    real, made = 200 + 3 * torch.arange(40), 1000 + 2 * torch.arange(60)

    def draw(size: int, share: float, generator: torch.Generator) -> Tensor:
        batch = _as_batch(run(value, real, made, size, share, generator), size)
        odd = batch[~torch.isin(batch, torch.cat([real, made]))]
        tell(
            [("positions", len(odd) and odd.max() < 100), ("unknown", len(odd))],
            rows=odd[:3].tolist(),
        )
        return batch

    for size, share in _BATCHES:
        seeds = [torch.Generator().manual_seed(seed) for seed in (0, 0, 1)]
        one, same, other = (draw(size, share, seed) for seed in seeds)
        again = draw(size, share, seeds[0])
        counts = {int(torch.isin(batch, real).sum()) for batch in (one, same, other, again)}
        _judge_counts(counts, size, share)
        tell([("generator", not one.equal(same)), ("fixed", one.equal(other) or one.equal(again))])
    size, share = _BATCHES[0]
    generator = torch.Generator().manual_seed(2)
    drawn = torch.cat([draw(size, share, generator) for _ in range(_NUM_BATCHES)])
    for rows in (real, made):
        times = (drawn[:, None] == rows).sum(dim=0)
        mean, row = times.double().mean(), int(rows[times.argmin()])
        tell([("never", times.min() == 0)], row=row)
        tell([("uneven", times.max() > 2 * mean or times.min() < mean / 2)], num=_NUM_BATCHES)
    try:
        _as_batch(run(value, real[:3], made, 16, 0.5, generator), 16)
    except Hint as hint:
        raise Hint("few") from hint


def _judge_counts(counts: set[int], size: int, share: float) -> None:
    right, num = round(size * share), min(counts)
    tell([("coin", len(counts) > 1)], low=num, high=max(counts), size=size)
    signs = {
        "swapped": size - right,
        "truncated": math.floor(size * share),
        "ceil": math.ceil(size * share),
        "half": size // 2,
    }
    if num != right:
        said = {"num": num, "right": right, "size": size, "share": share}
        tell([(key, num == wrong) for key, wrong in signs.items()], **said)
        raise Hint("count", **said)


def _as_batch(answer: Any, size: int) -> Int64[Tensor, " b"]:
    found = as_tensor(answer)
    shape = tuple(found.shape)
    tell([("length", shape != (size,))], shape=shape, right=(size,))
    return found.long()


def class_gain(predictions, arm, generator, shots):
    """Compare how many of each class an arm and real only get right, seed by seed."""
    key = ["seed", "image", "label"]
    hits = predictions.assign(hit=predictions["prediction"] == predictions["label"])
    hits = hits[hits["shots"] == shots]
    ours = hits[(hits["arm"] == arm) & (hits["generator"] == generator)]
    real = hits[hits["arm"] == "real"]
    pairs = ours.merge(real, on=key, suffixes=("", "_real"))
    gain = pairs["hit"].astype(float) - pairs["hit_real"]
    return gain.groupby(pairs["label"]).mean()


def _class_gain_mistakes(table: pd.DataFrame, arm: str, generator: str, shots: int) -> Mistakes:
    def recall(of: str, /, by: str = "label", how: str = "mean", **where: Any) -> np.ndarray:
        rows = hits[(hits["arm"] == of)]
        for column, wanted in where.items():
            rows = rows[rows[column] == wanted]
        found = rows["hit"].groupby(rows[by]).agg(how)
        return found.reindex(range(num_classes), fill_value=0).to_numpy(float)

    hits = table.assign(hit=(table["prediction"] == table["label"]).astype(float))
    num_classes, own = table["label"].nunique(), {"generator": generator, "shots": shots}
    ours, real = recall(arm, **own), recall("real", shots=shots)
    right = np.array(class_gain(table, arm, generator, shots))
    images = table.drop_duplicates("image")["label"].value_counts(normalize=True, sort=False)
    yield "sign", -right, real - ours
    yield "recall", ours
    yield "points", 100 * right
    yield "one_seed", recall(arm, seed=0, **own) - recall("real", seed=0, shots=shots)
    yield "both_generators", recall(arm, shots=shots) - real
    for some in (recall(arm, generator=generator), ours):
        yield "all_shots", some - recall("real")
    by_guess = recall(arm, "prediction", **own) - recall("real", "prediction", shots=shots)
    yield "predicted", by_guess
    yield "share_of_all", right * images.sort_index().to_numpy()
    yield "counts", recall(arm, how="sum", **own) - recall("real", how="sum", shots=shots)
    yield "relative", (ours - real) / real, right / real
    yield "one_number", np.full(num_classes, right @ images.sort_index().to_numpy())
    yield "position", _gain_by_position(hits, arm, generator, shots)
    yield "seeds", ours - real


def _gain_by_position(hits: pd.DataFrame, arm: str, generator: str, shots: int) -> np.ndarray:
    here = hits[hits["shots"] == shots]
    ours = here[(here["arm"] == arm) & (here["generator"] == generator)].reset_index()
    real = here[here["arm"] == "real"].reset_index()
    return (ours["hit"] - real["hit"]).groupby(ours["label"]).mean().to_numpy()


@check(class_gain)
def check_07_ex4(value: Any) -> None:
    """Check ``class_gain(predictions, arm, generator, shots)``, one gain a class.

    The mean, over seeds and test images of the class, of the arm's hit minus that of real only
    with as many shots on the same image with the same seed.

    Args:
        value: the function; it gives a series, an array or a list in the order of the labels.
            ``predictions`` is a data frame with the columns arm, generator, shots, seed, image,
            label and prediction; real only has the generator "".
    """
    table = _make_predictions()
    num = table["label"].nunique()
    for case in (("real+synthetic", "seen", 4), ("clip_filter", "blind", 16)):
        found = _by_class(run(value, table.copy(), *case, watch=False), num)
        right = np.array(class_gain(table, *case))
        k = int(np.argmax(np.abs(found - right)))
        said = {"label": k, "answer": f"{found[k]:.4f}", "right": f"{right[k]:.4f}"}
        judge(found, right, _class_gain_mistakes(table, *case), arm=case[0], **said)


def _make_predictions() -> pd.DataFrame:
    """Draw a shuffled table in which the filtered arm has fewer seeds than real only."""
    generator = torch.Generator().manual_seed(4)
    labels = torch.arange(3).repeat_interleave(torch.tensor([5, 8, 12]))
    rows = []
    for arm, made_by, num_seeds, chance in (
        ("real", "", 5, (0.4, 0.6, 0.5)),
        ("real+synthetic", "seen", 5, (0.8, 0.5, 0.6)),
        ("real+synthetic", "blind", 5, (0.2, 0.4, 0.7)),
        ("clip_filter", "seen", 3, (0.7, 0.6, 0.6)),
        ("clip_filter", "blind", 3, (0.3, 0.8, 0.4)),
    ):
        for shots in (4, 16):
            for seed in range(num_seeds):
                bar = torch.tensor(chance)[labels] + shots / 100
                is_hit = torch.rand(len(labels), generator=generator) < bar
                other = (labels + torch.randint(1, 3, labels.shape, generator=generator)) % 3
                guess = torch.where(is_hit, labels, other).tolist()
                rows += [
                    (arm, made_by, shots, seed, f"{i:03d}.png", label, prediction)
                    for i, (label, prediction) in enumerate(
                        zip(labels.tolist(), guess, strict=True)
                    )
                ]
    columns = ["arm", "generator", "shots", "seed", "image", "label", "prediction"]
    order = torch.randperm(len(rows), generator=generator)
    return pd.DataFrame([rows[i] for i in order], columns=columns)


def _by_class(answer: Any, num: int) -> Float[np.ndarray, " k"]:
    """Read gains, sorted by label where they are labelled."""
    if isinstance(answer, Mapping):
        answer = pd.Series(dict(answer))
    if isinstance(answer, pd.DataFrame) and answer.shape[1] == 1:
        answer = answer.iloc[:, 0]
    if isinstance(answer, pd.Series):
        answer = answer.sort_index().to_numpy()
    if isinstance(answer, list | tuple):
        answer = [number(part) for part in answer]
    found = as_tensor(answer)
    tell([("classes", tuple(found.shape) != (num,))], shape=tuple(found.shape), right=num)
    tell([("nothing_found", not found.isfinite().all())])
    return found.numpy()


def clip_filter(probabilities, labels, budget_per_class, generator):
    """Keep images that CLIP takes for their class rather than guesses, so many of each class."""
    own = probabilities[torch.arange(len(labels)), labels]
    is_kept = own > 1 / probabilities.shape[1]
    kept = []
    for label in labels.unique():
        rows = torch.nonzero(labels == label)[:, 0]
        sure = rows[is_kept[rows]]
        if len(sure) >= budget_per_class:
            order = torch.randperm(len(sure), generator=generator)
            kept.append(sure[order[:budget_per_class]])
        else:
            order = own[rows].argsort(descending=True)
            kept.append(rows[order[:budget_per_class]])
    return torch.cat(kept).sort().values


@check(clip_filter)
def check_07_ex5(value: Any) -> None:
    """Check ``clip_filter(probabilities, labels, budget_per_class, generator) -> kept rows``.

    An image is kept if the probability of its own class is more than 1 / N, then
    ``budget_per_class`` of each class are drawn at random by ``generator``. Of a class where fewer
    are left the most confident images fill the budget, all of them if it has no more.

    Args:
        value: the function. It gives the rows, ascending; probabilities are float (n, N).

    Source:
        He et al. 2023 (arXiv:2210.07574), section 3.1, and their code.
    """
    probabilities, labels = _make_drawn()
    big = labels < 3
    own = _filter(value, probabilities[big], labels[big], torch.Generator().manual_seed(0))
    same = _filter(value, probabilities[big], labels[big], torch.Generator().manual_seed(0))
    tell([("generator", own != same)])
    generator = torch.Generator().manual_seed(1)
    draws = [
        _filter(value, probabilities[big], labels[big], generator) for _ in range(_NUM_FILTERED)
    ]
    _judge_chance(draws)
    try:
        kept = _filter(value, probabilities, labels, generator)
    except Hint as hint:
        raise Hint("small_class") from hint
    tell([("small_class", kept[3] != set(_CONFIDENCE[3]))])


def _make_drawn() -> tuple[Float[Tensor, "n 4"], Int64[Tensor, " n"]]:
    """Shuffle images of known confidence; what their own class lacks goes mostly to the next."""
    rows, labels = [], []
    for label, confidences in enumerate(_CONFIDENCE):
        for own in confidences:
            shares = [own, *((1 - own) * part for part in (0.7, 0.2, 0.1))]
            rows.append([shares[(k - label) % 4] for k in range(4)])
            labels.append(label)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(3))
    return torch.tensor(rows)[order], torch.tensor(labels)[order]


def _filter(
    value: Any, probabilities: Tensor, labels: Tensor, generator: torch.Generator
) -> list[set[float]]:
    """Run a filter, judge what holds for each draw, and give what is kept by its confidence."""
    rows = _as_rows(run(value, probabilities, labels, _BUDGET, generator), len(labels))
    own = probabilities[rows, labels[rows]].double()
    kept = [{round(p, 3) for p in own[labels[rows] == k].tolist()} for k in range(4)]
    counts = [len(some) for some in kept[:3]]
    tell([("in_all", sum(counts) == _BUDGET), ("budget", max(counts) > _BUDGET)], counts=counts)
    below = {p for some in kept[:2] for p in some if p <= 0.25}  # of these classes enough pass
    tell([("strict", below == {0.25}), ("below", below)], p=f"{min(below, default=0):g}")
    short = counts.index(min(counts))
    tell([("no_fallback", short == 2 and counts[2] < _BUDGET)], num=counts[2], right=_BUDGET)
    tell([("too_few", counts[short] < _BUDGET)], label=short, num=counts[short], right=_BUDGET)
    best = set(_CONFIDENCE[2][:_BUDGET])
    tell([("fallback", kept[2] != best)], kept=sorted(kept[2]), right=sorted(best))
    return kept


def _as_rows(answer: Any, num: int) -> Int64[Tensor, " m"]:
    found = as_tensor(answer)
    is_mask = found.shape == (num,) and bool(((found == 0) | (found == 1)).all())
    tell([("mask", is_mask), ("form", found.dim() != 1 or bool((found != found.round()).any()))])
    rows = found.long()
    outside = len(rows) > 0 and bool(rows.min() < 0 or rows.max() >= num)
    tell([("outside", outside), ("twice", len(rows.unique()) < len(rows))], num=num)
    tell([("order", not rows.equal(rows.sort().values))])
    return rows


def _judge_chance(draws: list[list[set[float]]]) -> None:
    """See whether each image that passes is drawn some time."""
    seen = set().union(*(kept[0] for kept in draws))
    passed = [p for p in _CONFIDENCE[0] if p > 0.25]
    tell([("confident", seen == set(passed[:_BUDGET])), ("fixed", len(seen) == _BUDGET)])
    others = {p for p in passed if p < 0.7 * (1 - p)}  # CLIP prefers another class
    tell([("argmax", seen == set(passed) - others), ("never", seen != set(passed))], num=len(seen))


def soft_targets(labels, teacher_logits, soft_share, temperature):
    """Mix the label with what the teacher says."""
    teacher = (teacher_logits / temperature).softmax(dim=1)
    certain = torch.nn.functional.one_hot(labels, teacher_logits.shape[1])
    return soft_share * teacher + (1 - soft_share) * certain


def _soft_mistakes(labels: Tensor, logits: Tensor, share: float, temperature: float) -> Mistakes:
    def mix(teacher: Tensor, share: float = share) -> Tensor:
        return share * teacher + (1 - share) * certain

    certain = functional.one_hot(labels, logits.shape[1]).double()
    cool, plain = (logits / temperature).softmax(1), logits.softmax(1)
    yield "shares", mix(cool, 1 - share)
    yield "no_temperature", mix(plain)
    yield "times", mix((logits * temperature).softmax(1))
    yield "late", mix(plain / temperature), mix(cool / temperature)
    yield "squared", share * temperature**2 * cool + (1 - share) * certain
    yield "axis", mix((logits / temperature).softmax(0))
    yield "no_softmax", mix(logits / temperature), mix(logits)
    yield "logarithm", mix((logits / temperature).log_softmax(1))
    yield "only_hard", certain
    yield "only_soft", cool
    yield "smoothing", mix(torch.full_like(cool, 1 / cool.shape[1]))
    yield "not_mixed", cool + certain, share * cool + certain, cool + (1 - share) * certain
    yield "whole", (((1 - share) * certain + share * logits) / temperature).softmax(1)


@check(soft_targets)
def check_07_ex6(value: Any) -> None:
    """Check ``soft_targets(labels, teacher_logits, soft_share, temperature)``, rows that sum to 1.

    soft_share · softmax(teacher_logits / temperature) + (1 - soft_share) · one-hot labels.

    Args:
        value: the function; labels are int64 (n), logits float (n, k).

    Source:
        He et al. 2023 (arXiv:2210.07574), section 3.2, and their code.
    """

    def say(found: Tensor, right: Tensor, *case: Any) -> dict[str, object]:
        return {"share": case[2], "temperature": case[3], "sum": f"{found[0].sum():.3g}"}

    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(4, 4, generator=generator)
    labels, few = torch.tensor([2, 0, 3, 1]), torch.tensor([4, 0, 1])
    wide = 3 * torch.randn(3, 5, generator=generator)
    cases = [(labels, logits, 0.3, 2.0), (few, wide, 0.5, 4.0), (few, wide, 0.0, 2.0)]
    cases.append((torch.tensor([1, 0, 1]), wide, 0.5, 2.0))  # not every class occurs in a batch
    compare(value, cases, soft_targets, _soft_mistakes, say=say)
    sharp = 100 * wide  # as large as CLIP's logits can be
    found = as_tensor(run(value, few, sharp, 0.5, 2.0))
    right = soft_targets(few, sharp, 0.5, 2.0)
    tell([("overflow", found.shape != right.shape or not is_close(found, right))])
