"""Networks with conditions as denoisers: with one condition, or pushed away from having none."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_utils.diffusion.inputs import check_number
from course_utils.samplers.walk import Denoiser

Labels = Int[Tensor, " n"] | Float[Tensor, "n d"]


def conditional(net: Callable[..., Tensor], labels: Labels | None) -> Denoiser:
    """Fix the condition of a network, so that a sampler can use it.

    Args:
        net: called as ``net(x_t, t, labels)``.
        labels: class labels 0 … K-1 (the null label K is "no class"), or one vector a row (zeros
            are "no condition"), or None for no condition at all.

    Raises:
        ValueError: labels of another kind; at a step, another number of labels than of rows.
    """
    if labels is not None:
        _check_labels(labels)

    def denoiser(
        x_t: Float[Tensor, " n *shape"], t: Int[Tensor, " n"]
    ) -> Float[Tensor, " n *shape"]:
        if labels is None:
            return net(x_t, t, None)
        _check_number(labels, x_t)
        return net(x_t, t, labels.to(x_t.device))

    return denoiser


def guided(net: Callable[..., Tensor], labels: Labels, *, guidance_scale: float | int) -> Denoiser:
    r"""Push the prediction away from the one without a condition (classifier-free guidance).

    $$\hat\epsilon = \epsilon_\theta(x_t, t, \varnothing)
    + s\,[\epsilon_\theta(x_t, t, y) - \epsilon_\theta(x_t, t, \varnothing)]$$

    Both halves go through the network in one call of 2n rows, the unconditional one first; at
    s = 1, where the equation leaves only the conditional one, in a call of n rows.

    Args:
        net: called as ``net(x_t, t, labels)``, trained with some labels dropped. With class labels
            it has to have ``net.null_label``.
        labels: class labels 0 … K-1, or one vector a row (zeros are "no condition").
        guidance_scale: s; 1 = none.

    Raises:
        ValueError: labels of another kind, a scale that is not finite, a network without null
            label; at a step, another number of labels than of rows.

    Source:
        Ho and Salimans 2022 (arXiv:2207.12598), eq. 6, with s = w + 1.
    """
    _check_labels(labels)
    check_number("guidance_scale", guidance_scale, "(-inf, inf)", hint=" (1 for none)")
    if guidance_scale == 1:
        return conditional(net, labels)
    both = torch.cat([_no_condition(net, labels), labels])

    def denoiser(
        x_t: Float[Tensor, " n *shape"], t: Int[Tensor, " n"]
    ) -> Float[Tensor, " n *shape"]:
        _check_number(labels, x_t)
        twice = both.to(x_t.device)
        uncond, cond = net(torch.cat([x_t, x_t]), torch.cat([t, t]), twice).chunk(2)
        return uncond + guidance_scale * (cond - uncond)

    return denoiser


def _no_condition(net: Any, labels: Labels) -> Labels:
    if labels.is_floating_point():
        return torch.zeros_like(labels)
    null_label = getattr(net, "null_label", None)
    if null_label is None:
        raise ValueError(
            "expected a network with a null_label, its class for 'no class', got one without: "
            "guidance needs a network that was trained with some labels dropped"
        )
    return torch.full_like(labels, null_label)


def _check_labels(labels: Any) -> None:
    is_classes = isinstance(labels, Tensor) and labels.dtype == torch.int64 and labels.ndim == 1
    is_vectors = isinstance(labels, Tensor) and labels.is_floating_point() and labels.ndim == 2
    if not is_classes and not is_vectors:
        got = (labels.dtype, tuple(labels.shape)) if isinstance(labels, Tensor) else labels
        raise ValueError(
            "expected labels as int64 of shape (n,), one class a row, or as floating-point vectors "
            f"of shape (n, d), got {got}"
        )


def _check_number(labels: Labels, x_t: Tensor) -> None:
    if len(labels) != len(x_t):
        raise ValueError(
            f"expected as many labels as rows of x_t, {len(x_t)}, got {len(labels)}; draw x_T with "
            "len(labels) rows"
        )
