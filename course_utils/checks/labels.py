"""Checks of notebook 03 about labels: soft ones, and what an augmentation does to them."""

from collections.abc import Iterable
from itertools import islice
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from course_utils.checks.results import Hint, check
from course_utils.checks.tensors import is_close, judge, run_on_copies

_LETTERS = "abcdefgh"
_LEGAL = frozenset("abh")
_MANY = 1000  # far more letters than there are


@check("03_ex4")
def check_03_ex4(value: Any) -> None:
    """Check a function that computes the cross-entropy with soft labels.

    ``soft_cross_entropy(logits, targets) -> number``: the mean over the images of
    -Σ_k y_k log softmax(logits)_k.

    Args:
        value: the function; both are float (n, k), rows of the targets sum to 1.

    Returns:
        Whether it is right for small and for large scores, or what went wrong.
    """
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(6, 4, generator=generator)
    targets = torch.rand(6, 4, generator=generator)
    targets /= targets.sum(1, keepdim=True)
    found = _one_number(run_on_copies(value, logits, targets))
    judge("03_ex4", found, _loss(logits, targets), _loss_mistakes(logits, targets))
    large = 1000 * logits
    with_large = _one_number(run_on_copies(value, large, targets))
    if not is_close(with_large, _loss(large, targets)):
        raise Hint("03_ex4.overflow")


def _one_number(answer: Any) -> Float64[Tensor, ""]:
    try:
        found = torch.as_tensor(answer).detach().double()
    except (TypeError, ValueError, RuntimeError) as error:
        raise Hint("no_tensor", kind=type(answer).__name__) from error
    if found.numel() != 1:
        raise Hint("03_ex4.not_scalar", shape=tuple(found.shape))
    return found.reshape(())


def _loss(logits: Tensor, targets: Tensor) -> Float64[Tensor, ""]:
    return -(targets.double() * logits.double().log_softmax(1)).sum(1).mean()


def _loss_mistakes(logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
    x, y = logits.double(), targets.double()
    logs, right = x.log_softmax(1), _loss(logits, targets)
    hard = -logs.gather(1, y.argmax(1, keepdim=True)).mean()
    entropy = -(y * y.log()).sum(1).mean()
    sigmoid = torch.nn.functional.binary_cross_entropy_with_logits
    return {
        "sign": -right,
        "sum": right * len(x),
        "mean_classes": right / x.shape[1],
        "hard": hard,
        "no_log": -(y * x.softmax(1)).sum(1).mean(),
        "no_log 2": (y * x.softmax(1)).sum(1).mean(),
        "no_softmax": -(y * x).sum(1).mean(),
        "no_softmax 2": (y * x).sum(1).mean(),
        "wrong_axis": -(y * x.log_softmax(0)).sum(1).mean(),
        "swapped": -(x * y.log_softmax(1)).sum(1).mean(),
        "divergence": right - entropy,
        "binary": sigmoid(x, y),
        "binary 2": sigmoid(x, y) * x.shape[1],
        "log2": right / torch.log(torch.tensor(2.0, dtype=torch.float64)),
    }


@check("03_ex5")
def check_03_ex5(value: Any) -> None:
    """Check which of eight augmentations keep the label right.

    Args:
        value: letters, as a set, a list or a string.

    Returns:
        Whether it is these and no others, or the reason for the first that is wrong.
    """
    letters = _as_letters(value)
    unknown = sorted(letters - set(_LETTERS))
    if unknown:
        raise Hint("03_ex5.unknown", letter=unknown[0][:20], letters=", ".join(_LETTERS))
    if letters == set(_LETTERS):
        raise Hint("03_ex5.everything")
    for letter in _LETTERS:
        if letter in letters and letter not in _LEGAL:
            raise Hint(f"03_ex5.{letter}_wrong")
        if letter in _LEGAL and letter not in letters:
            raise Hint(f"03_ex5.{letter}_missing")


def _as_letters(value: Any) -> set[str]:
    if isinstance(value, dict) or not isinstance(value, Iterable):
        raise Hint("03_ex5.form", kind=type(value).__name__)
    if isinstance(value, str):
        value = [sign for sign in value[:_MANY] if sign not in " ,;{}[]()'\""]
    parts = list(islice(value, _MANY))
    if not all(isinstance(part, str) for part in parts):
        raise Hint("03_ex5.form", kind=type(value).__name__)
    return {part.strip().lower() for part in parts}
