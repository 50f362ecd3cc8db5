"""Three samplers, each a formula: DDPM's own, DDIM, and a solver of second order."""

import math
from collections.abc import Iterator
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from course_utils.diffusion import NoiseSchedule
from course_utils.diffusion.inputs import check_choice, check_number
from course_utils.samplers.walk import (
    Denoiser,
    Formula,
    Move,
    SampleStep,
    Spacing,
    check_generator,
    check_start,
    draw_noise,
    moves_between,
    sample_timesteps,
    walk,
)

Variance = Literal["small", "large"]


def ddpm_sample(
    denoiser: Denoiser,
    x_T: Float[Tensor, " n *shape"],
    schedule: NoiseSchedule,
    *,
    variance: Variance = "small",
    clip_x0: bool = False,
    generator: torch.Generator,
) -> Iterator[SampleStep]:
    r"""Walk the reverse process from noise to image, one step of the schedule at a time.

    $$x_{t-1} = \frac{\sqrt{\bar\alpha_{t-1}}\,\beta_t}{1-\bar\alpha_t}\,\hat x_0
    + \frac{\sqrt{\alpha_t}\,(1-\bar\alpha_{t-1})}{1-\bar\alpha_t}\,x_t + \sigma_t z$$

    For every step with t > 0 one ``torch.randn(x_T.shape, generator=generator, dtype=x_T.dtype)``
    is drawn, at t = 0 none: the last state is the last ``x0_pred``.

    Args:
        denoiser: predicts the noise, ``denoiser(x_t, t) -> eps_pred``.
        x_T: the noise to start from, N(0, 1), any shape (n, …), any floating-point dtype.
        schedule: the one of the training.
        variance: σ_t², "small" for the posterior's β̃_t = β_t (1 - ᾱ_{t-1}) / (1 - ᾱ_t), right for
            data that is a single image, or "large" for β_t, right for data that is N(0, 1).
        clip_x0: clip each predicted image to [-1, 1] before the mean is taken, as diffusers'
            ``clip_sample`` does.
        generator: source of the noise.

    Yields:
        T records, t = T-1 … 0.

    Raises:
        ValueError: bad input, at the call; a denoiser's answer of another shape, at its step.

    Source:
        Ho et al. 2020 (arXiv:2006.11239), algorithm 2, with the mean in the form of eq. 7.
    """
    check_start(schedule, x_T=x_T)
    check_choice("variance", variance, get_args(Variance))
    check_generator(generator, "every step but the last draws noise")
    betas, dtype = schedule.exact_beta.tolist(), x_T.dtype

    def formula(x: Tensor, x0_pred: Tensor, _: Tensor, move: Move) -> Tensor:
        if move.is_last:
            return x0_pred
        beta, noise_left = betas[move.t], (1 - move.alpha_bar_prev) / (1 - move.alpha_bar)
        to_x0 = math.sqrt(move.alpha_bar_prev) * beta / (1 - move.alpha_bar)
        to_x_t = math.sqrt(1 - beta) * noise_left
        sigma = math.sqrt(beta * noise_left if variance == "small" else beta)
        return to_x0 * x0_pred + to_x_t * x + sigma * draw_noise(x, generator, dtype)

    moves = moves_between(schedule, list(range(schedule.num_train_steps))[::-1])
    return walk(denoiser, x_T, moves, formula, clip_x0=clip_x0)


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
    check_number("eta", eta, "[0, 1]")
    if eta > 0:
        check_generator(generator, f"eta = {eta:g} draws noise in every step but the last")
    timesteps = sample_timesteps(schedule.num_train_steps, num_sample_steps, spacing)
    formula = implicit_formula(eta, generator, x_T.dtype)
    return walk(denoiser, x_T, moves_between(schedule, timesteps), formula, clip_x0=clip_x0)


def implicit_formula(
    eta: float | int, generator: torch.Generator | None, dtype: torch.dtype
) -> Formula:
    """Make DDIM's formula; with an η above 0 it draws noise in ``dtype``."""

    def formula(x: Tensor, x0_pred: Tensor, eps_pred: Tensor, move: Move) -> Tensor:
        z = draw_noise(x, generator, dtype) if eta > 0 and not move.is_last else None
        return move_implicit(x0_pred, eps_pred, move, eta=eta, z=z)

    return formula


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


def dpm_solver_sample(
    denoiser: Denoiser,
    x_T: Float[Tensor, " n *shape"],
    schedule: NoiseSchedule,
    *,
    num_sample_steps: int = 20,
    spacing: Spacing = "trailing",
    clip_x0: bool = False,
) -> Iterator[SampleStep]:
    r"""Walk from noise to image with DPM-Solver++(2M).

    $$x_{prev} = \frac{\sigma_{prev}}{\sigma_t} x_t - \alpha_{prev}(e^{-h} - 1)
    \Bigl[\bigl(1 + \tfrac{1}{2r}\bigr)\hat x_0 - \tfrac{1}{2r}\,\hat x_0^{before}\Bigr]$$

    α = √ᾱ and σ = √(1-ᾱ) are the shares of image and noise, h is how much λ = log(α / σ) grows in
    this step, and r the last step's growth divided by this one's. The bracket extrapolates the
    predicted image along λ. The first step has no earlier prediction and the last one ends at
    σ = 0, where h is infinite: both are of first order, and then the step is DDIM's.

    Args:
        denoiser: predicts the noise, ``denoiser(x_t, t) -> eps_pred``.
        x_T: the noise to start from, N(0, 1), any shape (n, …), any floating-point dtype.
        schedule: the one of the training.
        num_sample_steps: S, from 1 to T.
        spacing: which steps are visited, see `sample_timesteps`; diffusers visits others for
            "leading" and "linspace".
        clip_x0: clip each predicted image to [-1, 1]; diffusers' scheduler has no ``clip_sample``,
            its ``thresholding`` with ``sample_max_value=1`` does the same.

    Yields:
        S records, noisiest step first.

    Raises:
        ValueError: bad input, at the call; a denoiser's answer of another shape, at its step.

    Source:
        Lu et al. 2022 (arXiv:2211.01095), algorithm 2.
    """
    check_start(schedule, x_T=x_T)
    timesteps = sample_timesteps(schedule.num_train_steps, num_sample_steps, spacing)
    before: tuple[Tensor, float] | None = None  # the last predicted image, and that step's h

    def formula(x: Tensor, x0_pred: Tensor, _: Tensor, move: Move) -> Tensor:
        nonlocal before
        if move.is_last:
            return x0_pred
        h, direction = _log_snr(move.alpha_bar_prev) - _log_snr(move.alpha_bar), x0_pred
        if before is not None:
            lead = h / (2 * before[1])  # 1 / 2r
            direction = (1 + lead) * x0_pred - lead * before[0]
        before = x0_pred, h
        shrink = math.sqrt((1 - move.alpha_bar_prev) / (1 - move.alpha_bar))
        return shrink * x - math.sqrt(move.alpha_bar_prev) * math.expm1(-h) * direction

    return walk(denoiser, x_T, moves_between(schedule, timesteps), formula, clip_x0=clip_x0)


def _log_snr(alpha_bar: float) -> float:
    """Compute λ = log(√ᾱ / √(1-ᾱ)), half the logarithm of the signal-to-noise ratio."""
    return (math.log(alpha_bar) - math.log1p(-alpha_bar)) / 2
