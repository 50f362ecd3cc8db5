"""What a denoiser is trained on: to name the noise in a noised image."""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from course_utils.diffusion.forward import add_noise
from course_utils.diffusion.inputs import check_tensors
from course_utils.diffusion.schedule import NoiseSchedule, gather

Weighting = Literal["min_snr"]
MAX_SNR = 5.0  # γ of Hang et al. 2023, their choice for all data sets


def eps_loss(
    denoiser: Callable[[Tensor, Tensor], Tensor],
    x0: Float[Tensor, " n *shape"],
    schedule: NoiseSchedule,
    *,
    generator: torch.Generator,
    weighting: Weighting | None = None,
) -> Float[Tensor, ""]:
    r"""Measure how well a denoiser finds the noise, at one random step an image.

    $$L_{simple} = \mathbb E_{t, \epsilon}\, w_t\, \lVert \epsilon
    - \epsilon_\theta(\sqrt{\bar\alpha_t}\,x_0 + \sqrt{1-\bar\alpha_t}\,\epsilon,\ t) \rVert^2$$

    with the mean over pixels for the norm, so that predicting 0 costs about 1. $w_t = 1$, or for
    "min_snr" $w_t = \min(\mathrm{SNR}_t, \gamma) / \mathrm{SNR}_t$ with $\gamma = 5$, which keeps
    the easy steps with little noise from ruling the training.

    Args:
        denoiser: ``denoiser(x_t, t) -> eps_pred``, t an int64 tensor of shape n.
        x0: clean images, values in [-1, 1].
        schedule: the noise schedule.
        generator: draws t, then ε, on its own device.
        weighting: None or "min_snr".

    Returns:
        The loss, to call ``backward`` on.

    Raises:
        ValueError: x0 empty, no batch of floats or with NaN, an unknown weighting, or a prediction
            of another shape than x0.

    Source:
        Ho et al. 2020 (arXiv:2006.11239), eq. 14 and algorithm 1; weights: Hang et al. 2023
        (arXiv:2303.09556), section 3.4, for networks that predict ε.
    """
    check_tensors(x0=x0)
    if not x0.numel():
        raise ValueError(f"x0: expected at least one image, got shape {tuple(x0.shape)}")
    check_weighting(weighting)
    return noise_and_judge(denoiser, x0, schedule, generator=generator, weighting=weighting)


def check_weighting(weighting: str | None) -> None:
    """Refuse a weighting that there is not."""
    if weighting not in (None, "min_snr"):
        raise ValueError(f'weighting: expected None or "min_snr", got {weighting!r}')


def noise_and_judge(
    denoiser: Callable[[Tensor, Tensor], Tensor],
    x0: Tensor,
    schedule: NoiseSchedule,
    *,
    generator: torch.Generator,
    weighting: str | None,
) -> Tensor:
    """Compute what ``eps_loss`` does, but trust the values: a check would stop a GPU."""
    place = generator.device
    t = torch.randint(schedule.num_train_steps, x0.shape[:1], generator=generator, device=place)
    eps = torch.randn(x0.shape, generator=generator, device=place, dtype=x0.dtype).to(x0)
    eps_pred = denoiser(add_noise(x0, t, eps, schedule), t.to(x0.device))
    if eps_pred.shape != x0.shape:
        raise ValueError(
            f"the denoiser returned shape {tuple(eps_pred.shape)}, expected {tuple(x0.shape)} as "
            "of x_t"
        )
    errors = functional.mse_loss(eps_pred.to(eps.dtype), eps, reduction="none")
    if weighting:
        errors = errors * gather(schedule.exact_snr.clamp(max=MAX_SNR) / schedule.exact_snr, t, x0)
    return errors.mean()
