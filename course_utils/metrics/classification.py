"""Pure functions from predictions to numbers."""

import sklearn.metrics
import torch
from jaxtyping import Float, Int
from torch import Tensor


def accuracy(predictions: Int[Tensor, " n"], labels: Int[Tensor, " n"]) -> float:
    """Give the share of correct predictions, 0 to 1.

    Raises:
        ValueError: there are no predictions.
    """
    if len(labels) == 0:
        raise ValueError("accuracy of no predictions: give at least one")
    return (predictions == labels).double().mean().item()


def confusion_matrix(
    predictions: Int[Tensor, " n"], labels: Int[Tensor, " n"], *, num_classes: int
) -> Int[Tensor, "k k"]:
    """Count predictions: entry [i, j] is how many of true class i were called j.

    Args:
        predictions: classes 0 … num_classes - 1.
        labels: the truth, likewise.
        num_classes: k, also if some class does not occur.

    Raises:
        ValueError: there are no predictions, or a class is out of range.
    """
    _require_known(predictions, labels, num_classes)
    pairs = labels.long() * num_classes + predictions.long()
    return torch.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def _require_known(predictions: Tensor, labels: Tensor, num_classes: int) -> None:
    if len(labels) == 0:
        raise ValueError("no predictions to count: give at least one")
    for name, values in (("predictions", predictions), ("labels", labels)):
        if values.min() < 0 or values.max() >= num_classes:
            raise ValueError(
                f"{name}: expected classes 0 … {num_classes - 1}, "
                f"got {values.min().item()} … {values.max().item()}"
            )


def macro_f1(
    predictions: Int[Tensor, " n"], labels: Int[Tensor, " n"], *, num_classes: int
) -> float:
    """Average the F1 score over all k classes, each with the same weight.

    F1 = 2 TP / (2 TP + FP + FN), and 0 for a class that is neither present nor predicted.

    Raises:
        ValueError: there are no predictions, or a class is out of range.
    """
    _require_known(predictions, labels, num_classes)
    score = sklearn.metrics.f1_score(
        labels.cpu().numpy(),
        predictions.cpu().numpy(),
        labels=range(num_classes),
        average="macro",
        zero_division=0,
    )
    return float(score)


def per_class_recall(
    predictions: Int[Tensor, " n"], labels: Int[Tensor, " n"], *, num_classes: int
) -> Float[Tensor, " k"]:
    """Give the share of each class that was recognised, TP / (TP + FN); NaN for absent classes.

    Raises:
        ValueError: there are no predictions, or a class is out of range.
    """
    counts = confusion_matrix(predictions, labels, num_classes=num_classes)
    return counts.diagonal().double() / counts.sum(dim=1)
