"""Checks of notebook 02: receptive field, patches, CLIP's loss and weights, balanced accuracy."""

import math
import operator
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from course_utils.checks.judging import (
    Hint,
    Mistakes,
    check,
    compare,
    is_close,
    number,
    read_tensor,
    run,
    tell,
)

_STACKS = (  # kernels and strides; all mistakes differ in the first, the second is AlexNet's start
    ([7, 3, 5, 3], [2, 3, 1, 2]),
    ([11, 3], [4, 2]),
    ([3, 3, 3], [1, 1, 1]),
)
_GRIDS = ((2, 3), (3, 2))  # pixels of a patch and patches of an image, along a side
_SCALES = (5.0, 1.5)  # the second is near the logarithm of the first, so that e^τ and τ differ
_ENSEMBLES = ((3, 4), (2, 3))  # classes, and prompts of each
_COUNTS = (  # in the second class of both, a wrong answer is the most frequent one
    ((8, 1, 1), (2, 3, 5), (0, 30, 50)),
    ((8, 1, 0, 1), (2, 3, 0, 5), (0, 0, 0, 0), (6, 0, 30, 44)),
)


def receptive_field(kernels, strides):
    """Add up what every layer sees beyond its first pixel."""
    width, jump = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        width += (kernel - 1) * jump
        jump *= stride
    return width


def _field_mistakes(kernels: Sequence[int], strides: Sequence[int]) -> Mistakes:
    def widen(jumps: Sequence[int]) -> int:
        return 1 + sum((k - 1) * jump for k, jump in zip(kernels, jumps, strict=True))

    *before, _ = jumps = list(accumulate(strides, operator.mul, initial=1))
    whole = sum(k * jump for k, jump in zip(kernels, before, strict=True))
    yield "one_less", widen(before) - 1
    yield "no_stride", 1 + sum(k - 1 for k in kernels)
    yield "own_stride", widen(jumps[1:]), widen(jumps[1:]) - 1, widen(strides)
    yield "whole_kernel", whole, whole + 1
    yield "last_stride", widen([1, *strides[:-1]])
    yield "reversed", receptive_field(kernels[::-1], strides[::-1])
    yield "product", math.prod(kernels)
    yield "sum", sum(kernels)


@check(receptive_field)
def check_02_ex1(value: Any) -> Any:
    """Check ``receptive_field(kernels, strides) -> int`` of a stack of convolutions.

    1 + the sum of (kernel - 1) times the product of all strides before it.

    Args:
        value: the function of two lists of whole numbers, the first layer first.

    Source:
        Luo et al. 2016 (arXiv:1701.04128), section 2, for layers of any stride.
    """

    def say(answer: float, right: int, kernels: list, strides: list) -> dict[str, object]:
        stack = {"kernels": tuple(kernels), "strides": tuple(strides)}
        return {"answer": f"{answer:g}", "right": right, **stack}

    options = {"same": operator.eq, "watch": False, "say": say}
    return compare(value, _STACKS, receptive_field, _field_mistakes, **options)


def unpatchify(patches, patch):
    """Put patches back into square images."""
    rows = round(patches.shape[1] ** 0.5)
    grid = patches.unflatten(2, (patch, patch, -1)).unflatten(1, (rows, -1))  # n i j y x c
    return grid.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)


def cut(x: Float[Tensor, "n c h w"], patch: int) -> Float[Tensor, "n p d"]:
    """Cut images into patches, as the notebook does."""
    grid = x.unflatten(3, (-1, patch)).unflatten(2, (-1, patch))  # n c rows p columns p
    return grid.permute(0, 2, 4, 3, 5, 1).flatten(1, 2).flatten(2)


def _patch_mistakes(patches: Float[Tensor, "n p d"], patch: int) -> Mistakes:
    n, grid = len(patches), round(patches.shape[1] ** 0.5)
    side = grid * patch
    pieces = patches.reshape(n, grid, grid, patch, patch, 3)  # n i j y x c
    colors_first = patches.reshape(n, grid, grid, 3, patch, patch)
    yield "reshape", patches.reshape(n, 3, side, side)
    for key, some, order in (
        ("by_column", pieces, (0, 5, 2, 3, 1, 4)),
        ("inside", pieces, (0, 5, 1, 4, 2, 3)),
        ("mirrored", pieces, (0, 5, 2, 4, 1, 3)),
        ("not_interleaved", pieces, (0, 5, 1, 2, 3, 4)),
        ("colors_first", colors_first, (0, 3, 1, 4, 2, 5)),
    ):
        yield key, some.permute(order).reshape(n, 3, side, side)


@check(unpatchify)
def check_02_ex2(value: Any) -> Any:
    """Check ``unpatchify(patches, patch)``, which puts patches back into images (n, 3, h, w).

    Patches are in reading order, within a patch row by row, the colors of a pixel together.

    Args:
        value: the function; patches are (n, patches, patch · patch · 3) of square images.

    Source:
        He et al. 2021 (arXiv:2111.06377), in the order of its authors' code.
    """
    generator = torch.Generator().manual_seed(0)
    images = [torch.rand(2, 3, p * g, p * g, generator=generator) for p, g in _GRIDS]
    cases = [(cut(x, patch), patch) for x, (patch, _) in zip(images, _GRIDS, strict=True)]
    try:
        return compare(value, cases, unpatchify, _patch_mistakes)
    except Hint:
        patches, patch = cases[0]
        tell([("inverse", _cuts(value, images[0], patches, patch))])
        raise


def _cuts(value: Any, x: Tensor, patches: Tensor, patch: int) -> bool:
    """Say whether it is the way there, from images to patches."""
    try:
        return is_close(read_tensor(run(value, x, patch), patches.shape), patches)
    except Hint:
        return False


def clip_loss(image_features, text_features, logit_scale):
    """Compute CLIP's loss from features of any length."""
    f = F.normalize(image_features, dim=1)
    g = F.normalize(text_features, dim=1)
    logits, own = logit_scale * f @ g.T, torch.arange(len(f))
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def _loss_mistakes(f: Tensor, g: Tensor, scale: float) -> Mistakes:
    def one(logits: Tensor) -> Tensor:
        return F.cross_entropy(logits, torch.arange(len(logits)))

    def both(logits: Tensor) -> Tensor:
        return (one(logits) + one(logits.T)) / 2

    unit_f, unit_g = F.normalize(f, dim=1), F.normalize(g, dim=1)
    cosine = unit_f @ unit_g.T
    right, shares = both(scale * cosine), (scale * cosine).softmax(dim=1)
    yield "one_way", one(scale * cosine), one(scale * cosine.T)
    yield "not_halved", 2 * right
    raw = scale * f @ g.T
    yield "not_unit", both(raw), both(scale * f @ unit_g.T), both(scale * unit_f @ g.T)
    yield "not_unit", one(raw), one(raw.T)
    yield "columns", both(scale * F.normalize(f, dim=0) @ F.normalize(g, dim=0).T)
    yield "whole", both(scale * (f / f.norm()) @ (g / g.norm()).T)
    yield "no_scale", both(cosine)
    yield "divided", both(cosine / scale)
    yield "exponentiated", both(math.exp(scale) * cosine)
    yield "summed", len(f) * right
    yield "sign", -right
    yield "softmax_twice", both(shares), one(shares)


@check(clip_loss)
def check_02_ex3(value: Any) -> Any:
    """Check ``clip_loss(image_features, text_features, logit_scale)`` for features of any length.

    Unit rows, cosines times the scale, cross-entropy over rows and over columns, the mean of both.

    Args:
        value: the function; both features are (n, d), row i of both is a pair.

    Source:
        Radford et al. 2021 (arXiv:2103.00020), figure 3.
    """

    def read(answer: Any, _: Tensor) -> Tensor:
        return read_tensor(answer, (), (1,)).reshape(())

    generator = torch.Generator().manual_seed(1)
    f, g = (torch.randn(6, 5, generator=generator) * 1.7 for _ in range(2))
    g = g + f  # pairs fit, so that the two directions differ
    f = f * torch.tensor([0.5, 1.0, 2.0, 0.7, 1.5, 3.0])[:, None]
    cases = [(f, g, scale) for scale in _SCALES] + [(f[1:4], g[1:4], _SCALES[0])]
    return compare(value, cases, clip_loss, _loss_mistakes, read=read)


def weights_from_prompts(text_features, num_classes):
    """Make one unit row a class of the features of several prompts a class."""
    unit = F.normalize(text_features, dim=1)
    mean = unit.unflatten(0, (num_classes, -1)).mean(dim=1)
    return F.normalize(mean, dim=1)


def _weight_mistakes(raw: Float[Tensor, "m d"], num_classes: int) -> Mistakes:
    unit = F.normalize(raw, dim=1)
    rows, raw_rows = (x.unflatten(0, (num_classes, -1)) for x in (unit, raw))
    mean, by_prompt = rows.mean(dim=1), unit.unflatten(0, (-1, num_classes)).mean(dim=0)
    yield "not_unit_after", mean
    yield "summed", rows.sum(dim=1)
    yield "not_unit_before", F.normalize(raw_rows.mean(dim=1), dim=1)
    yield "neither", raw_rows.mean(dim=1)
    yield "order", F.normalize(by_prompt, dim=1), by_prompt
    yield "columns", F.normalize(mean, dim=0)
    yield "whole", mean / mean.norm()
    yield "first", rows[:, 0]
    yield "median", F.normalize(rows.median(dim=1).values, dim=1)


@check(weights_from_prompts)
def check_02_ex4(value: Any) -> Any:
    """Check ``weights_from_prompts(text_features, num_classes)``: class weights (classes, d).

    Unit rows, their mean by class, unit rows again.

    Args:
        value: the function; the features are (classes · prompts, d), class by class.

    Source:
        Radford et al. 2021 (arXiv:2103.00020), section 3.1.4.
    """
    generator, cases = torch.Generator().manual_seed(2), []
    for num_classes, num_prompts in _ENSEMBLES:
        raw = torch.randn(num_classes * num_prompts, 5, generator=generator) + 0.5
        cases.append((raw * torch.rand(len(raw), 1, generator=generator).add(0.2) * 3, num_classes))
    return compare(value, cases, weights_from_prompts, _weight_mistakes)


def balanced_accuracy(confusion):
    """Average the recalls of the classes that occur."""
    confusion = torch.as_tensor(confusion).double()
    totals = confusion.sum(dim=1)
    present = totals > 0
    return (confusion.diagonal()[present] / totals[present]).mean().item()


def _score_mistakes(confusion: Tensor) -> Mistakes:
    hits, counts = confusion.diagonal().double(), confusion.double()
    rows, columns = counts.sum(dim=1), counts.sum(dim=0)
    recall, f1 = hits / rows.clamp(min=1), 2 * hits / (rows + columns).clamp(min=1)
    precision = hits / columns.clamp(min=1)
    top = counts.max(dim=1).values / rows.clamp(min=1)
    yield "accuracy", hits.sum() / counts.sum()
    yield "maximum", top[rows > 0].mean(), top.mean()
    yield "columns", precision[columns > 0].mean(), precision.mean()
    yield "absent", recall.mean()
    yield "f1", f1[rows > 0].mean(), f1.mean()
    yield "percent", 100 * balanced_accuracy(confusion)
    yield "total", recall.sum()


@check(balanced_accuracy)
def check_02_ex5(value: Any) -> Any:
    """Check ``balanced_accuracy(confusion) -> float``: the mean recall of the classes that occur.

    Args:
        value: the function of a matrix of counts (k, k), int64, whose rows are the truth.

    Source:
        Brodersen et al. 2010, "The balanced accuracy and its posterior distribution", ICPR.
    """

    def read(answer: Any, _: float) -> float:
        is_one = isinstance(answer, int | float | np.number | Tensor)
        tell([("nan", is_one and np.size(answer) == 1 and math.isnan(answer))])
        return number(answer)

    return compare(
        value,
        [(torch.tensor(counts),) for counts in _COUNTS],
        balanced_accuracy,
        _score_mistakes,
        read=read,
        same=lambda a, b: math.isclose(a, b, abs_tol=1e-4),
        say=lambda answer, right, _: {"answer": f"{answer:.3f}", "right": f"{right:.3f}"},
    )
