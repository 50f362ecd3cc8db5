"""A second-order solver of the same differential equation that DDIM follows with first order."""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from course_utils.diffusion import NoiseSchedule
from course_utils.samplers.inputs import check_start
from course_utils.samplers.records import Denoiser, SampleStep
from course_utils.samplers.stepping import predict, widen
from course_utils.samplers.timesteps import Move, Spacing, moves_between, sample_timesteps


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
    return _walk(denoiser, x_T, moves_between(schedule, timesteps), clip_x0=clip_x0)


def _walk(
    denoiser: Denoiser, x: Float[Tensor, " n *shape"], moves: list[Move], *, clip_x0: bool
) -> Iterator[SampleStep]:
    dtype, x, before, h_before = x.dtype, widen(x), None, 0.0
    for move in moves:
        with torch.no_grad():
            x0_pred, _ = predict(denoiser, x, move, dtype=dtype, clip_x0=clip_x0)
            if move.is_last:
                x = x0_pred
            else:
                h, direction = _log_snr(move.alpha_bar_prev) - _log_snr(move.alpha_bar), x0_pred
                if before is not None:
                    lead = h / (2 * h_before)  # 1 / 2r
                    direction = (1 + lead) * x0_pred - lead * before
                shrink = math.sqrt((1 - move.alpha_bar_prev) / (1 - move.alpha_bar))
                to_x0 = -math.sqrt(move.alpha_bar_prev) * math.expm1(-h)
                x = shrink * x + to_x0 * direction
                before, h_before = x0_pred, h
        yield SampleStep(move.t, x.to(dtype), x0_pred.to(dtype))


def _log_snr(alpha_bar: float) -> float:
    """Compute λ = log(√ᾱ / √(1-ᾱ)), half the logarithm of the signal-to-noise ratio."""
    return (math.log(alpha_bar) - math.log1p(-alpha_bar)) / 2
