"""Checks of notebook 05 on what came out: maps found again, masks as bits, a curve to read."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import stats
from torch import Tensor

from course_utils import metrics
from course_utils.checks.judging import (
    Mistakes,
    as_asked,
    check,
    compare,
    judge,
    number,
    read_tensor,
    run,
    run_for_two,
    tell,
)

_CLASSES = (6, 5, 8, 11, 2)  # of masks: codes are left over, none, and in one bit
_BASE = np.array([0.52, 0.61, 0.47, 0.58, 0.66])  # mIoU by seed: seeds differ more than arms
_UNEVEN = np.array([-0.3, 1.2, -1.5, 0.9, -0.3])
_OUTLIER = np.array([-0.4, -0.4, 1.6, -0.4, -0.4])
# how the difference varies over seeds, and its mean in standard errors
_CASES = (
    (_UNEVEN, 24.0),  # so much that even unpaired intervals tell
    (_UNEVEN, 7.0),
    (_UNEVEN, 5.4),
    (_UNEVEN, -3.6),
    (_OUTLIER, 1.1),
    (_UNEVEN, 2.2),
    (_UNEVEN, 2.63),
    (_UNEVEN, -2.3),
    (_UNEVEN, 3.3),
    (_UNEVEN, 0.2),
    (_UNEVEN, 2.05),
    (_UNEVEN, -1.8),
)
_WORDS = ("helped", "hurt", "cannot tell")


def found_again(found, asked):
    """Average intersection over union over the images where either has something."""
    both = (found & asked).sum(dim=(1, 2))
    either = (found | asked).sum(dim=(1, 2))
    return (both[either > 0] / either[either > 0]).mean().item()


def _iou_mistakes(found: Bool[Tensor, "n h w"], asked: Bool[Tensor, "n h w"]) -> Mistakes:
    def count(mask: Tensor) -> Float[Tensor, " n"]:
        return mask.sum(dim=(1, 2)).double()

    def mean(shares: Tensor, empty: float | None = None) -> float:
        return shares[there].mean().item() if empty is None else _fill(shares, there, empty)

    both, a, b, either = count(found & asked), count(found), count(asked), count(found | asked)
    there = either > 0
    iou = both / either
    yield "empty_zero", mean(iou, 0.0)
    yield "empty_one", mean(iou, 1.0)
    yield "pooled", (both.sum() / either.sum()).item()
    yield "dice", mean(2 * both / (a + b)), (2 * both.sum() / (a.sum() + b.sum())).item()
    yield "union", mean(both / (a + b)), (both.sum() / (a.sum() + b.sum())).item()
    for key, part in (("recall", b), ("precision", a)):
        shares = both / part
        known = shares[part > 0].mean().item(), (both.sum() / part.sum()).item()
        yield key, *known, shares.nan_to_num(0)[there].mean().item(), shares.nan_to_num(0).mean()
    yield "accuracy", (found == asked).double().mean().item()
    background = count(~found & ~asked) / count(~found | ~asked)
    yield "background", mean(background), background.mean(), mean((iou + background) / 2)
    yield "percent", 100 * mean(iou)
    yield "sum", iou[there].sum().item()
    yield "median", iou[there].median().item()
    yield "first", iou[0].item()


def _fill(shares: Tensor, there: Tensor, empty: float) -> float:
    return torch.where(there, shares, empty).mean().item()


@check(found_again)
def check_05_ex3(value: Any) -> Any:
    """Check ``found_again(found, asked) -> float``: |found and asked| / |found or asked|, averaged.

    Images where neither mask has a pixel have no such number, and are left out.

    Args:
        value: the function; both are bool tensors (n, h, w).
    """

    def say(answer: float, right: float, *_: Tensor) -> dict[str, object]:
        return {"answer": f"{answer:.4g}", "right": f"{right:.4f}"}

    return compare(value, _draw_masks(), found_again, _iou_mistakes, say=say)


def _draw_masks() -> list[tuple[Tensor, Tensor]]:
    """Draw pairs of roads of many sizes; then with images that have none, or only one of both."""
    generator = torch.Generator().manual_seed(0)

    def draw(num: int) -> Bool[Tensor, "n h w"]:
        share = torch.linspace(0.1, 0.8, num)[:, None, None]
        return torch.rand(num, 6, 7, generator=generator) < share

    plain = draw(4), draw(4).flip(0)
    found, asked = draw(6), draw(6)
    found[[1, 4]], asked[[1, 3]] = False, False
    return [plain, (found, asked)]


def mask_from_bits(bits, num_classes):
    """Read bits above 0 as ones, the first the most significant; count codes of no class."""
    num_bits = bits.shape[1]
    worth = torch.tensor([2 ** (num_bits - 1 - i) for i in range(num_bits)])
    mask = ((bits > 0) * worth[:, None, None]).sum(dim=1)
    return mask, (mask >= num_classes).float().mean().item()


def _codes(ones: Tensor, *, first_is_least: bool = False) -> Tensor:
    worth = 2.0 ** torch.arange(ones.shape[1])
    worth = worth if first_is_least else worth.flip(0)
    return torch.einsum("nbhw,b->nhw", ones.double(), worth.double())


def _mask_mistakes(bits: Float[Tensor, "n b h w"], num_classes: int) -> Mistakes:
    right = _codes(bits > 0)
    yield "least", _codes(bits > 0, first_is_least=True)
    yield "half", _codes(bits > 0.5), _codes(bits >= 0.5)
    yield "sign", _codes(bits < 0)
    yield "not_bits", _codes(bits), _codes(bits.round()), _codes((bits + 1) / 2)
    yield "not_bits", _codes(((bits + 1) / 2).round()), _codes(bits.sign())
    yield "counted", (bits > 0).sum(dim=1)
    yield "argmax", bits.argmax(dim=1)
    yield "from_one", right + 1
    yield "cut", right.clamp(max=num_classes - 1), right % num_classes
    yield "cut", *(torch.where(right < num_classes, right, other) for other in (0, -1))


def _share_mistakes(bits: Float[Tensor, "n b h w"], num_classes: int) -> Mistakes:
    codes = _codes(bits > 0)
    unused = codes >= num_classes
    yield "above", (codes > num_classes).double().mean().item()
    yield "used", (~unused).double().mean().item()
    yield "percent", 100 * unused.double().mean().item()
    yield "count", float(unused.sum())
    num = 2 ** bits.shape[1]
    yield "of_codes", (num - num_classes) / num, float(num - num_classes)
    yield "zero", 0.0


@check(mask_from_bits)
def check_05_ex5(value: Any) -> Any:
    """Check ``mask_from_bits(bits, num_classes) -> (mask, unused_share)``.

    A bit above 0 is a one, the first bit is the most significant; the share counts the pixels whose
    code is ``num_classes`` or more.

    Args:
        value: the function; ``bits`` is a float tensor (n, b, h, w), the mask (n, h, w).

    Source:
        Chen et al. 2023, analog bits (arXiv:2208.04202), section 2; Toker et al. 2024, SatSynth
        (arXiv:2403.16605).
    """
    kept = []
    for case in _draw_bits():
        answer, right = run_for_two(value, *case, again=bool(kept)), mask_from_bits(*case)
        mask = read_tensor(answer[0], right[0].shape)
        judge(mask, right[0], _mask_mistakes(*case), otherwise="mask")
        share, said = number(answer[1]), {"num": case[1], "right": f"{right[1]:.4f}"}
        wrong = {"otherwise": "share", "answer": f"{share:.4g}"}
        judge(share, right[1], _share_mistakes(*case), **wrong, **said)
        kept.append((tuple(answer), right))
    return as_asked(value, kept)


def _draw_bits() -> list[tuple[Tensor, int]]:
    """Draw bits as a sampler leaves them: near -1 and 1, and some of them far off."""
    generator = torch.Generator().manual_seed(0)

    def draw(num_classes: int) -> Tensor:
        shape = 2, max(1, math.ceil(math.log2(num_classes))), 5, 4
        signs = torch.randint(2, shape, generator=generator) * 2.0 - 1
        return signs + 0.8 * torch.randn(shape, generator=generator)

    return [(draw(num), num) for num in _CLASSES]


def verdict(told, plain):
    """Say what the 95 % interval of the mean difference by seed allows to say."""
    found = metrics.mean_interval([a - b for a, b in zip(told, plain, strict=True)])
    return "helped" if found.low > 0 else "hurt" if found.high < 0 else "cannot tell"


def _verdict_mistakes(told: Sequence[float], plain: Sequence[float]) -> Mistakes:
    def say(middle: float, reach: float) -> str:
        return _WORDS[0] if middle > reach else _WORDS[1] if middle < -reach else _WORDS[2]

    a, b = np.array(told), np.array(plain)
    by_seed, num = a - b, len(a)
    mean, spread = by_seed.mean(), by_seed.std(ddof=1)
    t, root = stats.t.ppf(0.975, num - 1), math.sqrt(num)
    yield "sign_only", say(mean, 0.0)
    yield "turned", verdict(plain, told)
    apart = math.hypot(a.std(ddof=1), b.std(ddof=1)) / root
    overlap = t * (a.std(ddof=1) + b.std(ddof=1)) / root
    both = stats.t.ppf(0.975, 2 * num - 2)
    yield "unpaired", say(mean, both * apart), say(mean, t * apart), say(mean, overlap)
    yield "spread", say(mean, t * spread), say(mean, 1.96 * spread), say(mean, 2 * spread)
    yield "spread", say(mean, spread)
    error = spread / root
    yield "normal", say(mean, 1.96 * error), say(mean, 2 * error)
    yield "one_sided", say(mean, stats.t.ppf(0.95, num - 1) * error), say(mean, 1.64 * error)
    yield "population", say(mean, t * by_seed.std() / root)
    yield "error", say(mean, error)
    agree = (np.sign(by_seed) == np.sign(mean)).all()
    yield "agree", say(mean, 0.0) if agree else _WORDS[2]
    yield "best", say(a.max() - b.max(), 0.0)
    yield from ((key, word) for key, word in zip(("always",) * 3, _WORDS, strict=True))


@check(verdict)
def check_05_ex6(value: Any) -> Any:
    """Check ``verdict(told, plain)``: "helped", "hurt" or "cannot tell".

    By the 95 % interval of the mean of the differences by seed, mean ± t s / √n with Student's t of
    n - 1 degrees of freedom: above 0, below 0, or neither.

    Args:
        value: the function; both are lists of one mIoU a seed, in the same order.

    Source:
        Student, "The probable error of a mean", Biometrika 1908.
    """
    cases = list(_make_curves())
    found = [run(value, *case, watch=False, again=i > 0) for i, case in enumerate(cases)]
    tell([("form", not all(isinstance(x, str) and x in _WORDS for x in found))])
    found, right = tuple(found), tuple(verdict(*case) for case in cases)
    told = zip(*(_verdict_mistakes(*case) for case in cases), strict=True)
    wrong = ((each[0][0], *zip(*(one[1:] for one in each), strict=True)) for each in told)
    if found != right:
        place = next(i for i, pair in enumerate(zip(found, right, strict=True)) if len({*pair}) > 1)
        mean = np.subtract(*cases[place]).mean()
        said = {"mean": f"{mean:+.4f}", "answer": found[place], "right": right[place]}
        judge(found, right, wrong, same=lambda a, b: a == b, **said)


def _make_curves() -> Iterator[tuple[list[float], list[float]]]:
    for shape, ratio in _CASES:
        differences = 0.02 * (shape + ratio * shape.std(ddof=1) / math.sqrt(len(shape)))
        yield list(_BASE + differences), list(_BASE)
