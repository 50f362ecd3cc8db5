"""The parts that every sampler's step is made of."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from course_utils.samplers.records import Denoiser
from course_utils.samplers.timesteps import Move


def predict(
    denoiser: Denoiser, x_t: Float[Tensor, " n *shape"], move: Move, *, clip_x0: bool
) -> tuple[Float[Tensor, " n *shape"], Float[Tensor, " n *shape"]]:
    r"""Ask the network, and solve for the clean image.

    $$\hat x_0 = (x_t - \sqrt{1-\bar\alpha_t}\,\epsilon_\theta) / \sqrt{\bar\alpha_t}$$

    With ``clip_x0`` the prediction is clipped to [-1, 1], and the noise is what then remains:
    x_t = √ᾱ x̂_0 + √(1-ᾱ) ε still holds.

    Returns:
        x0_pred and eps_pred, in float32 where ``x_t`` has a shorter dtype.

    Raises:
        ValueError: the denoiser returned something else than a tensor of x_t's shape.
    """
    t = torch.full((len(x_t),), move.t, dtype=torch.int64, device=x_t.device)
    eps_pred = denoiser(x_t, t)
    if not isinstance(eps_pred, Tensor) or eps_pred.shape != x_t.shape:
        got = getattr(eps_pred, "shape", type(eps_pred).__name__)
        raise ValueError(
            f"expected the denoiser to return noise of x_t's shape {tuple(x_t.shape)}, got {got}: "
            "a network that predicts more than the noise needs a function around it"
        )
    x_t, eps_pred = widen(x_t), eps_pred.to(_wide(x_t.dtype))
    signal, noise = math.sqrt(move.alpha_bar), math.sqrt(1 - move.alpha_bar)
    x0_pred = (x_t - noise * eps_pred) / signal
    if clip_x0:
        x0_pred = x0_pred.clamp(-1, 1)
        eps_pred = (x_t - signal * x0_pred) / noise
    return x0_pred, eps_pred


def draw_noise(
    x: Float[Tensor, " n *shape"], generator: torch.Generator
) -> Float[Tensor, " n *shape"]:
    """Draw noise of x's shape and dtype where the generator lives, and bring it to x.

    With a generator on the CPU, the usual one, all devices get the same numbers.
    """
    noise = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=generator.device)
    return noise.to(x.device)


def widen(x: Float[Tensor, " n *shape"]) -> Float[Tensor, " n *shape"]:
    """Give short floats room: √ᾱ is as low as 0.006, by which a step divides."""
    return x.to(_wide(x.dtype))


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if dtype.itemsize < 4 else dtype
