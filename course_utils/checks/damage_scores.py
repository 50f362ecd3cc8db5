"""Checks of notebook 06 about scores: why accuracy says little, and what xView2 does instead."""

from itertools import islice
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from course_utils.checks.results import Hint, check, number, run

# buildings after the event: no damage, minor, major, destroyed; and un-classified
_COUNTS, _NUM_UNCLASSIFIED = np.array([313_033, 36_860, 29_904, 31_560]), 14_011
_CLOSE = 0.0015  # two right answers that were rounded to three digits differ by less
_EPSILON = 1e-6


@check("06_ex1")
def check_06_ex1(value: Any) -> None:
    """Check accuracy and macro F1 of always answering "no damage" on xBD.

    The buildings with a grade are 313,033 undamaged, 36,860 minor, 29,904 major and 31,560
    destroyed ones; macro F1 is the mean of the four F1 = 2 tp / (2 tp + fp + fn).

    Args:
        value: ``(accuracy, macro_f1)``, as shares.

    Returns:
        Whether both are right, or what went wrong.
    """
    try:
        answers = [] if isinstance(value, str | bytes | dict | set) else list(islice(value, 3))
    except TypeError:
        answers = []
    if len(answers) != 2:
        raise Hint("06_ex1.two_numbers")
    accuracy, macro_f1 = (number(answer) for answer in answers)
    right = _always_first(0)
    if max(accuracy, macro_f1) > 1 or min(accuracy, macro_f1) < 0:
        raise Hint("06_ex1.percent" if max(accuracy, macro_f1) > 1.5 else "06_ex1.no_share")
    if _is(accuracy, right["macro_f1"]) and _is(macro_f1, right["accuracy"]):
        raise Hint("06_ex1.swapped")
    if _is(accuracy, _always_first(_NUM_UNCLASSIFIED)["accuracy"]):
        raise Hint("06_ex1.unclassified")
    if not _is(accuracy, right["accuracy"]):
        raise Hint("06_ex1.accuracy")
    _judge_macro_f1(accuracy, macro_f1, right)


def _judge_macro_f1(accuracy: float, macro_f1: float, right: dict[str, float]) -> None:
    if _is(macro_f1, right["macro_f1"]):
        return
    for reason in ("recall", "precision", "one_class", "weighted"):
        if _is(macro_f1, right[reason]):
            raise Hint(f"06_ex1.{reason}")
    if _is(macro_f1, accuracy):
        raise Hint("06_ex1.same")
    mixed = _always_first(_NUM_UNCLASSIFIED)
    fifths = (0.8 * right["macro_f1"], 0.8 * mixed["macro_f1"])
    if any(_is(macro_f1, wrong) for wrong in (mixed["macro_f1"], *fifths)):
        raise Hint("06_ex1.five_classes")
    raise Hint("06_ex1.digits" if abs(macro_f1 - right["macro_f1"]) < 0.006 else "06_ex1.macro_f1")


def _is(value: float, other: float) -> bool:
    return abs(value - other) < _CLOSE


def _always_first(num_others: int) -> dict[str, float]:
    """Compute what always answering "no damage" scores, with more buildings that are none of it."""
    total = _COUNTS.sum() + num_others
    accuracy = float(_COUNTS[0] / total)
    f1 = float(2 * _COUNTS[0] / (_COUNTS[0] + total))  # of "no damage"; the others have 0
    return {
        "accuracy": accuracy,
        "macro_f1": f1 / 4,
        "recall": 1 / 4,
        "precision": accuracy / 4,
        "one_class": f1,
        "weighted": f1 * accuracy,
    }


@check("06_ex4")
def check_06_ex4(value: Any) -> None:
    """Check a function that computes xView2's damage score from a confusion matrix.

    ``damage_f1(confusion) -> float``: 4 / sum_i 1 / (F1_i + 1e-6), where F1_i is
    2 tp / (2 tp + fp + fn) of level i, and 0 for a level without any true positive.

    Args:
        value: the function. ``confusion`` is int (4, 4), rows true, columns predicted, pixels.

    Returns:
        Whether its scores are right, or what went wrong.

    Source:
        DIUx-xView/xView2_scoring, ``xview2_metrics.py``.
    """
    typical = np.array([[900, 40, 20, 5], [60, 90, 30, 2], [20, 50, 130, 25], [8, 4, 30, 260]])
    _judge_typical(number(run(value, typical.copy())), typical)
    missed = typical.copy()
    missed[1] = [140, 0, 40, 2]  # minor damage is answered, but never where it is
    absent = typical.copy()
    absent[1], absent[:, 1] = 0, 0  # neither there nor answered
    for confusion, key in ((missed, "epsilon"), (absent, "absent")):
        try:
            score = number(run(value, confusion.copy()))
        except Hint as hint:
            raise Hint(f"06_ex4.{key}") from hint
        if not _is_score(score, damage_f1(confusion)):
            raise Hint(f"06_ex4.{key}")


def _is_score(score: float, right: float) -> bool:
    return abs(score - right) < 1e-3 * right


def _judge_typical(score: float, confusion: Int[np.ndarray, "4 4"]) -> None:
    true_positives, f1 = np.diag(confusion), _f1(confusion)
    precision, recall = (true_positives / confusion.sum(axis=axis) for axis in (0, 1))
    right = damage_f1(confusion)
    wrong = {
        "arithmetic": f1.mean(),
        "accuracy": true_positives.sum() / confusion.sum(),
        "precision": precision.mean(),
        "harmonic_precision": 4 / (1 / precision).sum(),
        "recall": recall.mean(),
        "harmonic_recall": 4 / (1 / recall).sum(),
        "weighted": f1 @ confusion.sum(axis=1) / confusion.sum(),
        "four": right / 4,
        "percent": 100 * right,
        "damaged_only": 3 / (1 / f1[1:]).sum(),
        "sum": f1.sum(),
    }
    if _is_score(score, right):
        return
    for key, other in wrong.items():
        if _is_score(score, float(other)):
            raise Hint(f"06_ex4.{key.removeprefix('harmonic_')}")
    raise Hint("06_ex4.value", score=f"{score:.4g}", right=f"{right:.4f}")


def _f1(confusion: Int[np.ndarray, "4 4"]) -> Float[np.ndarray, "4"]:
    true_positives = np.diag(confusion)
    return 2 * true_positives / np.maximum(1, confusion.sum(axis=0) + confusion.sum(axis=1))


def damage_f1(confusion: Int[np.ndarray, "4 4"]) -> float:
    """Compute the score that `check_06_ex4` expects."""
    return float(4 / (1 / (_f1(confusion) + _EPSILON)).sum())
