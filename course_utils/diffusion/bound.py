"""How many bits a model of images costs: the variational bound, term by term."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from course_utils.diffusion.inputs import check_choice, check_range, check_tensors
from course_utils.diffusion.process import posterior, q_sample, unmix
from course_utils.diffusion.schedule import NoiseSchedule

Variance = Literal["small", "large"]


@dataclass(frozen=True)
class VlbTerms:
    """The bound of each image and its three parts, in bits per dimension."""

    prior: Float64[Tensor, " n"]  # L_T: what of the image is left in x_T; no net can lower it
    diffusion: Float64[Tensor, " n"]  # L_1 + … + L_{T-1}: the steps between
    reconstruction: Float64[Tensor, " n"]  # L_0: the last step, onto the image
    total: Float64[Tensor, " n"]


def step_variance(schedule: NoiseSchedule, variance: Variance) -> Float64[Tensor, " T"]:
    r"""List the variance that a model is given at each step.

    "large" is $\beta_t$; "small" is the posterior's
    $\tilde\beta_t = \beta_t (1-\bar\alpha_{t-1}) / (1-\bar\alpha_t)$, 0 at t = 0.

    Raises:
        ValueError: another word.

    Source:
        Ho et al. 2020 (arXiv:2006.11239), section 3.2: right for x_0 from N(0, 1), and for x_0 one
        fixed point.
    """
    check_choice("variance", variance, get_args(Variance))
    if variance == "large":
        return schedule.exact_beta
    noise, noise_prev = 1 - schedule.exact_alpha_bar, 1 - schedule.exact_alpha_bar_prev
    return noise_prev / noise * schedule.exact_beta


@torch.no_grad()
def vlb_terms(
    denoiser: Callable[[Tensor, Tensor], Tensor],
    x0: Float[Tensor, " n *shape"],
    schedule: NoiseSchedule,
    *,
    generator: torch.Generator,
    variance: Variance = "small",
) -> VlbTerms:
    r"""Bound the cost of images, - log p(x_0), from above.

    $$L = \underbrace{D(q(x_T|x_0) \Vert \mathcal N(0, 1))}_{prior}
    + \sum_{t>0} \underbrace{D(q(x_{t-1}|x_t, x_0) \Vert p(x_{t-1}|x_t))}_{diffusion}
    \underbrace{- \log p(x_0|x_{t=0})}_{reconstruction}$$

    D is the Kullback-Leibler divergence, p(x_{t-1}|x_t) a Gaussian around the posterior's mean for
    the predicted x_0, unclipped, with the variance of ``step_variance``. The last part is a
    *continuous* Gaussian likelihood around the predicted x_0; its variance is $\beta_0$, also for
    "small", where it would be 0. So the bound is on a density of values in [-1, 1], and may be
    negative. For 256 levels of gray, 1/127.5 apart, add log2(127.5) = 6.99 bits to compare it,
    roughly, with numbers for whole bytes, which integrate the last Gaussian over each level.

    Args:
        denoiser: ``denoiser(x_t, t) -> eps_pred``, called once for each of the T steps; put a net
            into eval mode first.
        x0: clean images, values in [-1, 1].
        schedule: the noise schedule.
        generator: draws one ε a step, from T-1 down to 0; the terms are unbiased estimates.
        variance: "small" or "large", the model's.

    Returns:
        The terms, per image.

    Raises:
        ValueError: x0 no batch of finite floats, another variance, or a prediction that is not
            finite or not of x0's shape.

    Source:
        Ho et al. 2020 (arXiv:2006.11239), eq. 5 and section 3; their eq. 13 is the last part for
        whole bytes.
    """
    check_tensors(x0=x0)
    check_range(x0=x0)
    true_variances = step_variance(schedule, "small").tolist()
    variances = step_variance(schedule, variance).tolist()
    diffusion = torch.zeros(len(x0), dtype=torch.float64, device="cpu")
    for step in reversed(range(schedule.num_train_steps)):
        t = torch.full((len(x0),), step, device=x0.device)
        eps = torch.randn(
            x0.shape, generator=generator, device=generator.device, dtype=x0.dtype
        ).to(x0)
        x_t = q_sample(x0, t, eps, schedule)
        eps_pred, alpha_bar = denoiser(x_t, t), schedule.exact_alpha_bar[step].item()
        check_tensors(x_t=x_t, eps=eps_pred)
        x0_pred, _ = unmix(x_t, eps_pred, alpha_bar**0.5, (1 - alpha_bar) ** 0.5)
        mean, mean_pred = (posterior(x, x_t, t, schedule)[0] for x in (x0, x0_pred))
        gap = _mean_square(mean - mean_pred)
        if step:
            diffusion += gaussian_kl(gap, true_variances[step], variances[step])
    first = schedule.exact_beta[0].item()  # either way: the small one is 0 here, a density infinite
    reconstruction = 0.5 * (math.log(2 * math.pi * first) + gap / first)
    left = 1 - schedule.exact_alpha_bar[-1].item()
    prior = gaussian_kl((1 - left) * _mean_square(x0), left, 1.0)
    parts = [part / math.log(2) for part in (prior, diffusion, reconstruction)]
    return VlbTerms(*parts, sum(parts))


def gaussian_kl(
    gap: Float64[Tensor, " n"], variance: float, other_variance: float
) -> Float64[Tensor, " n"]:
    r"""Compare two Gaussians, in nats per dimension.

    $$D(\mathcal N(\mu, \sigma^2) \Vert \mathcal N(\mu', \sigma'^2)) = \tfrac12 \left(
    \frac{\sigma^2 + (\mu-\mu')^2}{\sigma'^2} - 1 - \log\frac{\sigma^2}{\sigma'^2} \right)$$

    Args:
        gap: mean of (μ - μ')² over the dimensions.
        variance: σ².
        other_variance: σ'².
    """
    ratio = variance / other_variance
    return 0.5 * (ratio + gap / other_variance - 1 - math.log(ratio))


def _mean_square(x: Float[Tensor, " n *shape"]) -> Float64[Tensor, " n"]:
    """Average over all but the first axis; few numbers are left, which fit into float64."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return wide.flatten(1).square().mean(1).cpu().double()
