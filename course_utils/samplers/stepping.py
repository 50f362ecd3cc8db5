"""The parts that every sampler's step is made of."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from course_utils.samplers.records import Denoiser
from course_utils.samplers.timesteps import Move


def predict(
    denoiser: Denoiser,
    x_t: Float[Tensor, " n *shape"],
    move: Move,
    *,
    dtype: torch.dtype,
    clip_x0: bool,
) -> tuple[Float[Tensor, " n *shape"], Float[Tensor, " n *shape"]]:
    r"""Ask the network, and solve for the clean image.

    $$\hat x_0 = (x_t - \sqrt{1-\bar\alpha_t}\,\epsilon_\theta) / \sqrt{\bar\alpha_t}$$

    With ``clip_x0`` the prediction is clipped to [-1, 1], and the noise is what then remains:
    x_t = √ᾱ x̂_0 + √(1-ᾱ) ε still holds.

    Args:
        denoiser: the network.
        x_t: the state, as `widen` made it.
        move: says t and ᾱ_t.
        dtype: what the network reads.
        clip_x0: as said.

    Returns:
        x0_pred and eps_pred, in the dtype of ``x_t``.

    Raises:
        ValueError: the denoiser returned something else than a tensor of x_t's shape.
    """
    t = torch.full((len(x_t),), move.t, dtype=torch.int64, device=x_t.device)
    eps_pred = denoiser(x_t.to(dtype), t)
    if not isinstance(eps_pred, Tensor) or eps_pred.shape != x_t.shape:
        got = getattr(eps_pred, "shape", type(eps_pred).__name__)
        raise ValueError(
            f"expected the denoiser to return noise of x_t's shape {tuple(x_t.shape)}, got {got}; "
            "a network that predicts more than the noise needs a function around it"
        )
    eps_pred = eps_pred.to(x_t.dtype)
    signal, noise = math.sqrt(move.alpha_bar), math.sqrt(1 - move.alpha_bar)
    x0_pred = (x_t - noise * eps_pred) / signal
    if clip_x0:
        x0_pred = x0_pred.clamp(-1, 1)
        eps_pred = (x_t - signal * x0_pred) / noise
    return x0_pred, eps_pred


def draw_noise(
    x: Float[Tensor, " n *shape"], generator: torch.Generator, dtype: torch.dtype
) -> Float[Tensor, " n *shape"]:
    """Draw noise of x's shape in ``dtype`` where the generator lives, and bring it to x.

    With a generator on the CPU, the usual one, all devices get the same numbers.
    """
    return torch.randn(x.shape, generator=generator, dtype=dtype, device=generator.device).to(x)


def widen(x: Float[Tensor, " n *shape"]) -> Float[Tensor, " n *shape"]:
    """Keep the state of short floats in float32; the network reads and records hold them short.

    Rounded after each of many small steps, a state would drift.
    """
    return x.to(torch.float32 if x.dtype.itemsize < 4 else x.dtype)
