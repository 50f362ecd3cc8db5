"""Checks of notebook 02 about CLIP: its loss from raw features, and weights from prompts."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from course_utils.checks.results import check
from course_utils.checks.tensors import judge, read_tensor, run_on_copies

_SCALES = (5.0, 1.5)  # the second is near the logarithm of the first, so that e^τ and τ differ
_NUM_CLASSES, _NUM_PROMPTS = 3, 4


@check("02_ex3")
def check_02_ex3(value: Any) -> None:
    """Check a function that computes CLIP's loss from features of any length.

    ``clip_loss(image_features, text_features, logit_scale)``: unit rows, cosines times the scale,
    cross-entropy over rows and over columns, and the mean of both.

    Args:
        value: the function; both features are (n, d), row i of both is a pair.

    Returns:
        Whether it is right at two scales, or what went wrong.

    Source:
        Radford et al. 2021 (arXiv:2103.00020), figure 3.
    """
    generator = torch.Generator().manual_seed(1)
    f, g = (torch.randn(6, 5, generator=generator) * 1.7 for _ in range(2))
    g = g + f  # pairs fit, so that the two directions differ
    f = f * torch.tensor([0.5, 1.0, 2.0, 0.7, 1.5, 3.0])[:, None]
    for scale in _SCALES:
        found = read_tensor(run_on_copies(value, f, g, scale), (), (1,)).reshape(())
        judge("02_ex3", found, clip_loss(f, g, scale), dict(_loss_mistakes(f, g, scale)))


def clip_loss(f: Float[Tensor, "n d"], g: Float[Tensor, "n d"], scale: float) -> Float[Tensor, ""]:
    """Compute what `check_02_ex3` expects."""
    return _both_ways(scale * F.normalize(f, dim=1) @ F.normalize(g, dim=1).T)


def _both_ways(logits: Float[Tensor, "n n"]) -> Float[Tensor, ""]:
    own = torch.arange(len(logits))
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def _loss_mistakes(f: Tensor, g: Tensor, scale: float) -> Iterator[tuple[str, Tensor]]:
    """List what common wrong functions give, with the keys of their hints."""
    own = torch.arange(len(f))
    unit_f, unit_g = F.normalize(f, dim=1), F.normalize(g, dim=1)
    cosine = unit_f @ unit_g.T
    yield "one_way images", F.cross_entropy(scale * cosine, own)
    yield "one_way texts", F.cross_entropy(scale * cosine.T, own)
    yield "not_halved", 2 * _both_ways(scale * cosine)
    yield "not_unit", _both_ways(scale * f @ g.T)
    yield "not_unit images", _both_ways(scale * f @ unit_g.T)
    yield "not_unit texts", _both_ways(scale * unit_f @ g.T)
    yield "columns", _both_ways(scale * F.normalize(f, dim=0) @ F.normalize(g, dim=0).T)
    yield "whole", _both_ways(scale * (f / f.norm()) @ (g / g.norm()).T)
    yield "no_scale", _both_ways(cosine)
    yield "divided", _both_ways(cosine / scale)
    yield "exponentiated", _both_ways(math.exp(scale) * cosine)
    yield "summed", len(f) * _both_ways(scale * cosine)
    yield "sign", -_both_ways(scale * cosine)
    probabilities = (scale * cosine).softmax(dim=1)
    yield "softmax_twice", _both_ways(probabilities)
    yield "softmax_twice one way", F.cross_entropy(probabilities, own)


@check("02_ex4")
def check_02_ex4(value: Any) -> None:
    """Check a function that makes class weights of the features of several prompts a class.

    ``weights_from_prompts(text_features, num_classes)``: unit rows, their mean by class, unit rows
    again.

    Args:
        value: the function; the features are (classes · prompts, d), class by class.

    Returns:
        Whether it gives (classes, d), or what went wrong.

    Source:
        Radford et al. 2021 (arXiv:2103.00020), section 3.1.4.
    """
    generator = torch.Generator().manual_seed(2)
    raw = torch.randn(_NUM_CLASSES * _NUM_PROMPTS, 5, generator=generator) + 0.5
    raw = raw * torch.rand(len(raw), 1, generator=generator).add(0.2) * 3
    found = read_tensor(run_on_copies(value, raw, _NUM_CLASSES), (_NUM_CLASSES, 5))
    judge("02_ex4", found, weights_from_prompts(raw), dict(_weight_mistakes(raw)))


def weights_from_prompts(raw: Float[Tensor, "m d"]) -> Float[Tensor, "k d"]:
    """Compute what `check_02_ex4` expects."""
    return F.normalize(_by_class(F.normalize(raw, dim=1)).mean(dim=1), dim=1)


def _by_class(rows: Float[Tensor, "m d"]) -> Float[Tensor, "k p d"]:
    return rows.unflatten(0, (_NUM_CLASSES, _NUM_PROMPTS))


def _weight_mistakes(raw: Tensor) -> Iterator[tuple[str, Tensor]]:
    """List what common wrong functions give, with the keys of their hints."""
    unit = F.normalize(raw, dim=1)
    mean = _by_class(unit).mean(dim=1)
    yield "not_unit_after", mean
    yield "summed", mean * _NUM_PROMPTS
    yield "not_unit_before", F.normalize(_by_class(raw).mean(dim=1), dim=1)
    yield "neither", _by_class(raw).mean(dim=1)
    by_prompt = unit.unflatten(0, (_NUM_PROMPTS, _NUM_CLASSES)).mean(dim=0)
    yield "order", F.normalize(by_prompt, dim=1)
    yield "order not unit", by_prompt
    yield "columns", F.normalize(mean, dim=0)
    yield "whole", mean / mean.norm()
    yield "first", _by_class(unit)[:, 0]
    median = _by_class(unit).median(dim=1).values
    yield "median", F.normalize(median, dim=1)
