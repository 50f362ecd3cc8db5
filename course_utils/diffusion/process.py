"""From image to noise and back: what a step adds, what a prediction means, what it costs.

All of it follows from one equation, x_t = √ᾱ x_0 + √(1-ᾱ) ε. `mix` is that equation, `unmix` solves
it, whether a network predicts ε, x_0 or v; samplers, pipelines and training convert by these two.
"""

from collections.abc import Callable
from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from course_utils.diffusion.inputs import check_choice, check_range, check_t, check_tensors
from course_utils.diffusion.schedule import NoiseSchedule, gather

Prediction = Literal["eps", "x0", "v"]
Scale = float | Float[Tensor, "..."]  # √ᾱ or √(1-ᾱ): one for all images, or one each
Weighting = Literal["min_snr"]
MAX_SNR = 5.0  # γ of Hang et al. 2023, their choice for all data sets


# --- one equation, solved for each of its parts ---


def mix(
    x0: Float[Tensor, "*shape"], eps: Float[Tensor, "*shape"], signal: Scale, noise: Scale
) -> Float[Tensor, "*shape"]:
    r"""Mix image and noise, $x_t = \sqrt{\bar\alpha}\,x_0 + \sqrt{1-\bar\alpha}\,\epsilon$.

    Args:
        x0: images, or a state that noise is added to.
        eps: noise.
        signal: √ᾱ.
        noise: √(1-ᾱ).
    """
    return signal * x0 + noise * eps


def unmix(
    x_t: Float[Tensor, "*shape"],
    predicted: Float[Tensor, "*shape"],
    signal: Scale,
    noise: Scale,
    kind: Prediction = "eps",
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    r"""Take noised images apart, with the help of a prediction of any kind.

    $$\epsilon: x_0 = \frac{x_t - \sqrt{1-\bar\alpha}\,\epsilon}{\sqrt{\bar\alpha}}, \quad
    x_0: \epsilon = \frac{x_t - \sqrt{\bar\alpha}\,x_0}{\sqrt{1-\bar\alpha}}, \quad
    v: \begin{cases} x_0 = \sqrt{\bar\alpha}\,x_t - \sqrt{1-\bar\alpha}\,v \\
    \epsilon = \sqrt{1-\bar\alpha}\,x_t + \sqrt{\bar\alpha}\,v \end{cases}$$

    Args:
        x_t: noised images.
        predicted: what the network says: the noise, the image, or v of `v_from_x0_eps`.
        signal: √ᾱ.
        noise: √(1-ᾱ).
        kind: "eps", "x0" or "v".

    Returns:
        x0_pred, unclipped (at large t an error of ε is blown up by √((1-ᾱ)/ᾱ)), and eps_pred; of
        these, what was predicted is returned as it came.

    Raises:
        ValueError: another kind.

    Source:
        Ho et al. 2020 (arXiv:2006.11239), eq. 15; v: Salimans and Ho 2022 (arXiv:2202.00512),
        appendix D.
    """
    check_choice("kind", kind, get_args(Prediction))
    if kind == "eps":
        return (x_t - noise * predicted) / signal, predicted
    if kind == "x0":
        return predicted, (x_t - signal * predicted) / noise
    return signal * x_t - noise * predicted, noise * x_t + signal * predicted


def v_from_x0_eps(
    x0: Float[Tensor, "*shape"], eps: Float[Tensor, "*shape"], signal: Scale, noise: Scale
) -> Float[Tensor, "*shape"]:
    r"""Mix image and noise into v, which is worth predicting at all noise levels.

    $v = \sqrt{\bar\alpha}\,\epsilon - \sqrt{1-\bar\alpha}\,x_0$ is nearly the noise at small t, and
    nearly minus the image at large t.

    Source:
        Salimans and Ho 2022 (arXiv:2202.00512), appendix D.
    """
    return signal * eps - noise * x0


# --- there and one step back ---


def q_step(
    x_prev: Float[Tensor, " n *shape"],
    t: Int[Tensor, " n"],
    eps: Float[Tensor, " n *shape"],
    schedule: NoiseSchedule,
) -> Float[Tensor, " n *shape"]:
    r"""Add the noise of one step.

    $$x_t = \sqrt{1-\beta_t}\,x_{t-1} + \sqrt{\beta_t}\,\epsilon$$

    Args:
        x_prev: images before the step; for t = 0 the clean ones.
        t: step to take with each image, 0-based, in [0, T-1].
        eps: noise drawn from N(0, 1) by the caller, anew for each step.
        schedule: the noise schedule.

    Returns:
        Images after the step, unclipped.

    Raises:
        ValueError: shapes that differ, steps out of range, NaN.

    Source:
        Ho et al. 2020 (arXiv:2006.11239), eq. 2.
    """
    check_tensors(x_prev=x_prev, eps=eps)
    check_t(t, len(x_prev), schedule.num_train_steps)
    keep, add = schedule.exact_alpha.sqrt(), schedule.exact_beta.sqrt()
    return mix(x_prev, eps, gather(keep, t, x_prev), gather(add, t, x_prev))


def q_sample(
    x0: Float[Tensor, " n *shape"],
    t: Int[Tensor, " n"],
    eps: Float[Tensor, " n *shape"],
    schedule: NoiseSchedule,
) -> Float[Tensor, " n *shape"]:
    r"""Noise clean images to step ``t`` in one jump.

    $$x_t = \sqrt{\bar\alpha_t}\,x_0 + \sqrt{1-\bar\alpha_t}\,\epsilon$$

    Args:
        x0: clean images, values in [-1, 1]; any tensor of shape (n, …) will do.
        t: step of each image, 0-based, in [0, T-1].
        eps: noise drawn from N(0, 1) by the caller.
        schedule: the noise schedule.

    Returns:
        Noised images, unclipped.

    Raises:
        ValueError: shapes that differ, steps out of range, NaN.

    Source:
        Ho et al. 2020 (arXiv:2006.11239), eq. 4.
    """
    check_tensors(x0=x0, eps=eps)
    check_range(x0=x0)
    check_t(t, len(x0), schedule.num_train_steps)
    return _noised(x0, t, eps, schedule)


def posterior(
    x0: Float[Tensor, " n *shape"],
    x_t: Float[Tensor, " n *shape"],
    t: Int[Tensor, " n"],
    schedule: NoiseSchedule,
) -> tuple[Float[Tensor, " n *shape"], Float[Tensor, " n *ones"]]:
    r"""Say where an image was one step earlier, given where it is and where it began.

    $$q(x_{t-1} \mid x_t, x_0) = \mathcal N(\tilde\mu_t, \tilde\beta_t), \quad
    \tilde\mu_t = \frac{\sqrt{\bar\alpha_{t-1}}\,\beta_t}{1-\bar\alpha_t} x_0
    + \frac{\sqrt{\alpha_t}\,(1-\bar\alpha_{t-1})}{1-\bar\alpha_t} x_t, \quad
    \tilde\beta_t = \frac{1-\bar\alpha_{t-1}}{1-\bar\alpha_t} \beta_t$$

    With a predicted x_0 in the place of the true one it is the step that DDPM samples by.

    Args:
        x0: clean images, true or predicted.
        x_t: noised images.
        t: step of each noised image, 0-based, in [0, T-1].
        schedule: the noise schedule.

    Returns:
        Mean, and variance of shape (n, 1, 1, …). At t = 0 the step before is the image itself:
        the mean is ``x0`` and the variance 0.

    Raises:
        ValueError: shapes that differ, steps out of range, NaN.

    Source:
        Ho et al. 2020 (arXiv:2006.11239), eq. 6 and 7.
    """
    check_tensors(x0=x0, x_t=x_t)
    check_t(t, len(x0), schedule.num_train_steps)
    beta, noise = schedule.exact_beta, 1 - schedule.exact_alpha_bar
    alpha_bar_prev = schedule.exact_alpha_bar_prev
    from_x0 = gather(alpha_bar_prev.sqrt() * beta / noise, t, x0)
    from_x_t = gather(schedule.exact_alpha.sqrt() * (1 - alpha_bar_prev) / noise, t, x0)
    variance = gather((1 - alpha_bar_prev) / noise * beta, t, x0)
    return from_x0 * x0 + from_x_t * x_t, variance


# --- the objective ---


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
        ValueError: x0 empty, no batch of floats, with NaN or far from [-1, 1], an unknown
            weighting, or a prediction of another shape than x0.

    Source:
        Ho et al. 2020 (arXiv:2006.11239), eq. 14 and algorithm 1; weights: Hang et al. 2023
        (arXiv:2303.09556), section 3.4, for networks that predict ε.
    """
    check_tensors(x0=x0)
    check_range(x0=x0)
    if not x0.numel():
        raise ValueError(f"x0: expected at least one image, got shape {tuple(x0.shape)}")
    check_choice("weighting", weighting, (None, *get_args(Weighting)))
    return noise_and_judge(denoiser, x0, schedule, generator=generator, weighting=weighting)


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
    eps_pred = denoiser(_noised(x0, t, eps, schedule), t.to(x0.device))
    if eps_pred.shape != x0.shape:
        raise ValueError(
            f"the denoiser returned shape {tuple(eps_pred.shape)}, expected {tuple(x0.shape)} as "
            "of x_t"
        )
    errors = functional.mse_loss(eps_pred.to(eps.dtype), eps, reduction="none")
    if weighting:
        errors = errors * gather(schedule.exact_snr.clamp(max=MAX_SNR) / schedule.exact_snr, t, x0)
    return errors.mean()


def _noised(x0: Tensor, t: Tensor, eps: Tensor, schedule: NoiseSchedule) -> Tensor:
    alpha_bar = schedule.exact_alpha_bar
    return mix(x0, eps, gather(alpha_bar.sqrt(), t, x0), gather((1 - alpha_bar).sqrt(), t, x0))
