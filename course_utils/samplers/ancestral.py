"""The sampler of the DDPM paper: every step of the schedule, with fresh noise."""

import math
from collections.abc import Iterator
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from course_utils.diffusion import NoiseSchedule
from course_utils.samplers.inputs import check_choice, check_generator, check_start
from course_utils.samplers.records import Denoiser, SampleStep
from course_utils.samplers.stepping import draw_noise, predict, widen
from course_utils.samplers.timesteps import moves_between

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
    return _walk(denoiser, x_T, schedule, variance=variance, clip_x0=clip_x0, generator=generator)


def _walk(
    denoiser: Denoiser,
    x: Float[Tensor, " n *shape"],
    schedule: NoiseSchedule,
    *,
    variance: Variance,
    clip_x0: bool,
    generator: torch.Generator,
) -> Iterator[SampleStep]:
    dtype, x, betas = x.dtype, widen(x), schedule.exact_beta.tolist()
    for move in moves_between(schedule, list(range(schedule.num_train_steps))[::-1]):
        with torch.no_grad():
            x0_pred, _ = predict(denoiser, x, move, dtype=dtype, clip_x0=clip_x0)
            if move.is_last:
                x = x0_pred
            else:
                beta, noise_left = betas[move.t], (1 - move.alpha_bar_prev) / (1 - move.alpha_bar)
                to_x0 = math.sqrt(move.alpha_bar_prev) * beta / (1 - move.alpha_bar)
                to_x_t = math.sqrt(1 - beta) * noise_left
                sigma = math.sqrt(beta * noise_left if variance == "small" else beta)
                x = to_x0 * x0_pred + to_x_t * x + sigma * draw_noise(x, generator, dtype)
        yield SampleStep(move.t, x.to(dtype), x0_pred.to(dtype))
