"""DDIM: the same network, fewer steps, and noise only if wanted."""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from course_utils.diffusion import NoiseSchedule
from course_utils.samplers.inputs import check_generator, check_share, check_start
from course_utils.samplers.records import Denoiser, SampleStep
from course_utils.samplers.stepping import draw_noise, predict, widen
from course_utils.samplers.timesteps import Move, Spacing, moves_between, sample_timesteps


def ddim_sample(
    denoiser: Denoiser,
    x_T: Float[Tensor, " n *shape"],
    schedule: NoiseSchedule,
    *,
    num_sample_steps: int = 50,
    eta: float | int = 0.0,
    spacing: Spacing = "trailing",
    clip_x0: bool = False,
    generator: torch.Generator | None = None,
) -> Iterator[SampleStep]:
    r"""Walk from noise to image in few steps.

    $$x_{prev} = \sqrt{\bar\alpha_{prev}}\,\hat x_0
    + \sqrt{1-\bar\alpha_{prev}-\sigma_t^2}\,\epsilon_\theta + \sigma_t z, \quad
    \sigma_t = \eta\sqrt{\tfrac{1-\bar\alpha_{prev}}{1-\bar\alpha_t}}
    \sqrt{1-\tfrac{\bar\alpha_t}{\bar\alpha_{prev}}}$$

    "prev" is the next step that is visited, and after the last one the image: ᾱ_prev = 1. With
    η = 0 the start decides about the image; with η = 1 and all T steps this is `ddpm_sample` with
    small variance, draw for draw. For η > 0 one ``torch.randn(x_T.shape, …)`` is drawn a step, in
    the last step none.

    Args:
        denoiser: predicts the noise, ``denoiser(x_t, t) -> eps_pred``.
        x_T: the noise to start from, N(0, 1), any shape (n, …), any floating-point dtype.
        schedule: the one of the training.
        num_sample_steps: S, from 1 to T.
        eta: 0 draws no noise on the way, 1 as much as DDPM.
        spacing: which steps are visited, see `sample_timesteps`.
        clip_x0: clip each predicted image to [-1, 1], and take for the noise what then remains of
            x_t. diffusers does the second only with ``use_clipped_model_output=True``; without it,
            its step mixes a clipped image with the noise of an unclipped one.
        generator: source of the noise, needed for η > 0.

    Yields:
        S records, noisiest step first.

    Raises:
        ValueError: bad input, at the call; a denoiser's answer of another shape, at its step.

    Source:
        Song et al. 2021 (arXiv:2010.02502), eq. 12 and 16; their α is our ᾱ.
    """
    check_start(schedule, x_T=x_T)
    check_share("eta", eta, zero=True)
    if eta > 0:
        check_generator(generator, f"eta = {eta:g} draws noise in every step but the last")
    timesteps = sample_timesteps(schedule.num_train_steps, num_sample_steps, spacing)
    moves = moves_between(schedule, timesteps)
    return walk_implicit(denoiser, x_T, moves, eta=eta, clip_x0=clip_x0, generator=generator)


def walk_implicit(
    denoiser: Denoiser,
    x: Float[Tensor, " n *shape"],
    moves: list[Move],
    *,
    eta: float | int,
    clip_x0: bool,
    generator: torch.Generator | None,
) -> Iterator[SampleStep]:
    """Make the moves, one record each."""
    dtype, x = x.dtype, widen(x)
    for move in moves:
        with torch.no_grad():
            x0_pred, eps_pred = predict(denoiser, x, move, dtype=dtype, clip_x0=clip_x0)
            z = draw_noise(x, generator, dtype) if eta > 0 and not move.is_last else None
            x = move_implicit(x0_pred, eps_pred, move, eta=eta, z=z)
        yield SampleStep(move.t, x.to(dtype), x0_pred.to(dtype))


def move_implicit(
    x0_pred: Float[Tensor, " n *shape"],
    eps_pred: Float[Tensor, " n *shape"],
    move: Move,
    *,
    eta: float | int,
    z: Float[Tensor, " n *shape"] | None,
) -> Float[Tensor, " n *shape"]:
    """Mix predicted image, predicted noise and fresh noise ``z`` to the next noise level."""
    if move.is_last:
        return x0_pred
    variance = (1 - move.alpha_bar_prev) / (1 - move.alpha_bar)
    variance *= 1 - move.alpha_bar / move.alpha_bar_prev
    sigma = eta * math.sqrt(variance)
    direction = math.sqrt(max(0.0, 1 - move.alpha_bar_prev - sigma**2))
    x = math.sqrt(move.alpha_bar_prev) * x0_pred + direction * eps_pred
    return x if z is None else x + sigma * z
