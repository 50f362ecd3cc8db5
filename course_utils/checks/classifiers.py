"""Checks of notebook 02 about networks and scores: receptive field, patches, balanced accuracy."""

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from course_utils.checks.results import Hint, check, number
from course_utils.checks.results import run as run_function
from course_utils.checks.tensors import judge, read_tensor, run_on_copies

_STACKS = (  # kernels and strides; all mistakes differ in the first, the second is AlexNet's start
    ((7, 3, 5, 3), (2, 3, 1, 2)),
    ((11, 3), (4, 2)),
    ((3, 3, 3), (1, 1, 1)),
)
_PATCH, _GRID = 2, 3  # pixels and patches along a side
_COUNTS = (
    ((8, 1, 1), (2, 5, 3), (0, 30, 50)),
    ((8, 1, 0, 1), (2, 5, 0, 3), (0, 0, 0, 0), (6, 0, 30, 44)),
)


@check("02_ex1")
def check_02_ex1(value: Any) -> None:
    """Check a function that finds the receptive field of a stack of convolutions.

    ``receptive_field(kernels, strides) -> int``: 1 + the sum of (kernel - 1) times the product of
    all strides before it.

    Args:
        value: the function of two lists of whole numbers, the first layer first.

    Returns:
        Whether it is right for three stacks, or what went wrong.

    Source:
        Luo et al. 2016 (arXiv:1701.04128), section 2, for layers of any stride.
    """
    for kernels, strides in _STACKS:
        answer = number(run_function(value, list(kernels), list(strides)))
        right = field_width(kernels, strides)
        if answer == right:
            continue
        for key, wrong in _field_mistakes(kernels, strides):
            if answer == wrong:
                raise Hint(f"02_ex1.{key.split()[0]}")
        raise Hint(
            "02_ex1.value", answer=f"{answer:g}", right=right, kernels=kernels, strides=strides
        )


def field_width(kernels: Sequence[int], strides: Sequence[int]) -> int:
    """Compute what `check_02_ex1` expects."""
    jumps = accumulate(strides, lambda jump, stride: jump * stride, initial=1)
    return 1 + sum((kernel - 1) * jump for kernel, jump in zip(kernels, jumps, strict=False))


def _field_mistakes(kernels: Sequence[int], strides: Sequence[int]) -> Iterator[tuple[str, int]]:
    """List what common wrong functions answer."""
    layers = list(zip(kernels, strides, strict=True))
    right = field_width(kernels, strides)
    yield "one_less", right - 1
    yield "no_stride", 1 + sum(k - 1 for k in kernels)
    jump, own, whole = 1, 1, 0
    for kernel, stride in layers:
        whole += kernel * jump
        jump *= stride
        own += (kernel - 1) * jump
    yield "own_stride", own
    yield "own_stride one less", own - 1
    yield "whole_kernel", whole
    yield "whole_kernel from one", whole + 1
    before = (1, *strides[:-1])
    yield "last_stride", 1 + sum((k - 1) * s for k, s in zip(kernels, before, strict=True))
    yield "reversed", field_width(kernels[::-1], strides[::-1])
    yield "product", math.prod(kernels)
    yield "sum", sum(kernels)


@check("02_ex2")
def check_02_ex2(value: Any) -> None:
    """Check a function that puts patches back into images.

    ``unpatchify(patches, patch)``: patches in reading order, within a patch row by row, the colors
    of a pixel together.

    Args:
        value: the function; patches are (n, patches, patch · patch · 3) of square images.

    Returns:
        Whether it gives the images (n, 3, h, w), or what went wrong.

    Source:
        He et al. 2021 (arXiv:2111.06377), in the order of its authors' code.
    """
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2, 3, _PATCH * _GRID, _PATCH * _GRID, generator=generator)
    patches = cut(x, _PATCH)
    found = read_tensor(run_on_copies(value, patches, _PATCH), x.shape)
    judge("02_ex2", found, x, dict(_patch_mistakes(patches, x.shape)))


def cut(x: Float[Tensor, "n c h w"], patch: int) -> Float[Tensor, "n p d"]:
    """Cut images into patches, as the notebook does."""
    grid = x.unflatten(3, (-1, patch)).unflatten(2, (-1, patch))  # n c rows p columns p
    return grid.permute(0, 2, 4, 3, 5, 1).flatten(1, 2).flatten(2)


def _patch_mistakes(
    patches: Float[Tensor, "n p d"], shape: torch.Size
) -> Iterator[tuple[str, Tensor]]:
    """List what common wrong functions give."""
    pieces = patches.reshape(len(patches), _GRID, _GRID, _PATCH, _PATCH, 3)  # n i j y x c
    yield "reshape", patches.reshape(shape)
    yield "by_column", pieces.permute(0, 5, 2, 3, 1, 4).reshape(shape)
    yield "inside", pieces.permute(0, 5, 1, 4, 2, 3).reshape(shape)
    yield "mirrored", pieces.permute(0, 5, 2, 4, 1, 3).reshape(shape)
    yield "not_interleaved", pieces.permute(0, 5, 1, 2, 3, 4).reshape(shape)
    colors_first = patches.reshape(len(patches), _GRID, _GRID, 3, _PATCH, _PATCH)
    yield "colors_first", colors_first.permute(0, 3, 1, 4, 2, 5).reshape(shape)


@check("02_ex5")
def check_02_ex5(value: Any) -> None:
    """Check a function that computes balanced accuracy from a confusion matrix.

    ``balanced_accuracy(confusion) -> float``: the mean over the classes that occur of the share
    that was recognized. Rows are the truth.

    Args:
        value: the function; its argument is a matrix of counts (k, k), int64.

    Returns:
        Whether it is right, also where a class does not occur, or what went wrong.

    Source:
        Brodersen et al. 2010, "The balanced accuracy and its posterior distribution", ICPR.
    """
    for counts in _COUNTS:
        confusion = torch.tensor(counts)
        answer = run_on_copies(value, confusion)
        if isinstance(answer, int | float | Tensor) and math.isnan(answer):
            raise Hint("02_ex5.nan")
        answer, right = number(answer), balanced(confusion)
        if math.isclose(answer, right, abs_tol=1e-4):
            continue
        for key, wrong in _score_mistakes(confusion):
            if math.isclose(answer, wrong, abs_tol=1e-4):
                raise Hint(f"02_ex5.{key}")
        raise Hint("02_ex5.value", answer=f"{answer:.3f}", right=f"{right:.3f}")


def balanced(confusion: Int64[Tensor, "k k"]) -> float:
    """Compute what `check_02_ex5` expects."""
    totals = confusion.sum(dim=1)
    recalls = confusion.diagonal()[totals > 0] / totals[totals > 0]
    return recalls.double().mean().item()


def _score_mistakes(confusion: Int64[Tensor, "k k"]) -> Iterator[tuple[str, float]]:
    """List what common wrong functions answer."""
    right, hits = confusion.diagonal().double(), confusion.double()
    rows, columns = hits.sum(dim=1), hits.sum(dim=0)
    yield "accuracy", (right.sum() / hits.sum()).item()
    yield "columns", (right / columns)[columns > 0].mean().item()
    yield "columns", (right / columns.clamp(min=1)).mean().item()
    yield "absent", (right / rows.clamp(min=1)).mean().item()
    yield "f1", (2 * right / (rows + columns).clamp(min=1))[rows > 0].mean().item()
    yield "f1", (2 * right / (rows + columns).clamp(min=1)).mean().item()
    yield "percent", 100 * balanced(confusion)
    yield "total", (right / rows.clamp(min=1)).sum().item()
