"""Look before and behind the results: a curve while it fills, and the images that turned."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_utils.examples import Example
from course_utils.images import fit
from course_utils.lab.report import answers_of, differences_of
from course_utils.lab.results import Exam, Key, Results, baseline_of, key_of
from course_utils.lab.training import Fit, choose_settings
from course_utils.metrics import Interval, crossed_interval

SHOWN_SIDE = 64  # pixels


def preview(
    fits: Sequence[Fit], features: Float[Tensor, "n d"], labels: Int[Tensor, " n"]
) -> dict[str, list]:
    """Sum up the cells that are trained so far, on the images that choose their settings.

    It is a little too good, because the best setting of each is shown on what chose it.

    Returns:
        ``rows`` and ``summary`` as in ``results.json``, with accuracies only.
    """
    rows, summary = [], []
    for fit_ in fits:
        level = _best_level(fit_, features, labels)
        about = dict(zip(("arm", "generator", "shots"), key_of(fit_.cell), strict=True))
        ends = {"accuracy_low": level.low, "accuracy_high": level.high}
        summary.append({**about, "accuracy": level.mean, **ends})
        rows += [{**about, "seed": seed} for seed in fit_.cell.seeds]
    return {"rows": rows, "summary": summary}


@lru_cache(maxsize=512)  # the curve is drawn again after each number of shots
def _best_level(fit_: Fit, features: Float[Tensor, "n d"], labels: Int[Tensor, " n"]) -> Interval:
    (best,) = choose_settings([fit_], features, labels)
    hits = (fit_.logits(features, best).argmax(-1) == labels).double()
    return crossed_interval(hits, ends=(0, 1))


def turned(
    results: Results,
    exam: Exam,
    key: Key,
    known: tuple[Float[Tensor, "b d"], Sequence[Example]],
    *,
    num: int = 4,
) -> list[dict[str, object]]:
    """Find the test images that an arm turned right, and those that it turned wrong.

    Those on which most seeds agree come first, then the earlier in the test part.

    Args:
        results: from `tabulate`.
        exam: the images that judged.
        key: arm, generator and shots; it is compared with its baseline.
        known: features and examples of training images, among which the nearest is shown.
        num: how many of each kind at most.

    Returns:
        For each: ``image``, ``label``, the answers ``before`` and ``after`` that most seeds gave
        (names of classes), and of the nearest training image ``nearest``, ``nearest_label`` and
        ``nearest_source``.
    """
    difference = differences_of(results, key, baseline_of(key)).mean(0)
    (features, examples), names = exam.judge, results.content["class_names"]
    answers = [_answers(results, k).mode(0).values.tolist() for k in (baseline_of(key), key)]
    labels = [example.label for example in examples]
    was, is_now = ([a == b for a, b in zip(some, labels, strict=True)] for some in answers)
    items = []
    for i in [*_ranked(-difference, is_now, was)[:num], *_ranked(difference, was, is_now)[:num]]:
        near = known[1][int((known[0] @ features[i]).argmax())]
        before, after = (some[i] for some in answers)
        items.append(
            {
                "image": _pixels(examples[i]),
                "label": names[examples[i].label],
                "before": names[before],
                "after": names[after],
                "nearest": _pixels(near),
                "nearest_label": names[near.label],
                "nearest_source": near.source,
            }
        )
    return items


def _ranked(
    values: Float[Tensor, " n"], is_so: Sequence[bool], is_not: Sequence[bool]
) -> list[int]:
    """Give the images of which one holds and the other does not, the smallest values first."""
    order = torch.sort(values, stable=True).indices.tolist()
    return [i for i in order if is_so[i] and not is_not[i]]


def _answers(results: Results, key: Key) -> Int[Tensor, "s n"]:
    table = answers_of(results, key)
    found = table["prediction"].to_numpy(np.int64)
    return torch.from_numpy(found.reshape(table["seed"].nunique(), -1))


def _pixels(example: Example) -> np.ndarray:
    return np.asarray(fit(example.load(), SHOWN_SIDE))
