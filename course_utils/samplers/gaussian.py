"""Gaussian data: the one case where the best denoiser and the end of every path are known."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import linear_regression

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from course_utils.diffusion import NoiseSchedule
from course_utils.samplers.walk import Denoiser, SampleStep


@dataclass(frozen=True)
class SolverError:
    """How far from the exact solution a sampler ends with S steps."""

    num_sample_steps: int
    error: float  # root mean square per coordinate, in units of the data


def gaussian_denoiser(
    mean: Float[Tensor, " d"], covariance: Float[Tensor, "d d"], schedule: NoiseSchedule
) -> Denoiser:
    r"""Make the best denoiser there is for data that is N(mean, covariance).

    $$\mathrm{E}[\epsilon \mid x_t] = \sqrt{1-\bar\alpha_t}\,
    (\bar\alpha_t \Sigma + (1-\bar\alpha_t) I)^{-1} (x_t - \sqrt{\bar\alpha_t}\,\mu)$$

    Args:
        mean: of the data; d is the product of all axes of x_t but the first.
        covariance: of the data, symmetric and not negative; it may be singular.
        schedule: as the sampler's.

    Returns:
        A denoiser; it computes in float64 and answers in the dtype of ``x_t``.

    Raises:
        ValueError: shapes that do not fit, or no covariance.

    Source:
        Karras et al. 2022 (arXiv:2206.00364), appendix B.3, for a Gaussian instead of points.
    """
    mean, variances, axes = _principal(mean, covariance)
    alpha_bar = schedule.exact_alpha_bar

    def denoiser(
        x_t: Float[Tensor, " n *shape"], t: Int[Tensor, " n"]
    ) -> Float[Tensor, " n *shape"]:
        share = alpha_bar.to(t.device)[t, None]
        offset = x_t.reshape(len(x_t), -1).double() - share.sqrt() * mean.to(x_t.device)
        along = offset @ axes.to(x_t.device)
        along *= (1 - share).sqrt() / (share * variances.to(x_t.device) + 1 - share)
        return (along @ axes.T.to(x_t.device)).to(x_t.dtype).reshape(x_t.shape)

    return denoiser


def gaussian_flow(
    x_t: Float[Tensor, "n d"],
    mean: Float[Tensor, " d"],
    covariance: Float[Tensor, "d d"],
    schedule: NoiseSchedule,
    *,
    t: int,
    t_end: int | None = None,
) -> Float64[Tensor, "n d"]:
    r"""Solve exactly the equation that DDIM and the solver follow in steps.

    $$x_{end} = \sqrt{\bar\alpha_{end}}\,\mu + C_{end}^{1/2} C_t^{-1/2}
    (x_t - \sqrt{\bar\alpha_t}\,\mu), \quad C_t = \bar\alpha_t \Sigma + (1-\bar\alpha_t) I$$

    On its way from noise to data every point keeps its place within the Gaussian.

    Args:
        x_t: points at step t.
        mean: of the data.
        covariance: of the data.
        schedule: says ᾱ.
        t: where the points are, 0-based.
        t_end: where they go, 0-based; None is the image, ᾱ = 1.

    Raises:
        ValueError: shapes that do not fit, or no covariance.

    Source:
        Song et al. 2021 (arXiv:2011.13456), eq. 13 (the probability flow), for a Gaussian.
    """
    mean, variances, axes = _principal(mean, covariance)
    share, share_end = (_alpha_bar(schedule, step) for step in (t, t_end))
    along = (x_t.double() - math.sqrt(share) * mean) @ axes
    along *= ((share_end * variances + 1 - share_end) / (share * variances + 1 - share)).sqrt()
    return math.sqrt(share_end) * mean + along @ axes.T


def solver_error(
    sampler: Callable[..., Iterator[SampleStep]],
    mean: Float[Tensor, " d"],
    covariance: Float[Tensor, "d d"],
    schedule: NoiseSchedule,
    *,
    num_sample_steps: Sequence[int],
    t_end: int | None = None,
) -> list[SolverError]:
    r"""Measure how far from the exact solution a deterministic sampler comes, on Gaussian data.

    $$\mathrm{error}^2 = \mathrm{E}\,\lVert x_{sampled} - x_{exact} \rVert^2 / d$$

    With the best denoiser, linear in x_t, the sampler as a whole is an affine map of its start, and
    so is the exact solution; both are found from d + 1 starts. The mean is over all starts,
    computed and not drawn: the error has no error bars.

    A solver shows its order where halving T / S halves every step in λ = log(√ᾱ / √(1-ᾱ)). On the
    way to the image that never happens, since λ grows without bound: the last steps stay long,
    whatever S. Stop at ``t_end``, such as T/5 - 1, to see the order.

    Args:
        sampler: `ddim_sample` or `dpm_solver_sample`; it walks with "trailing" steps.
        mean: of the data.
        covariance: of the data.
        schedule: with T of 10,000 or more, so that many steps are still rounded well.
        num_sample_steps: each S to try.
        t_end: where to compare, 0-based; every S has to visit it after its first step. None is the
            image.

    Raises:
        ValueError: as the sampler's; no covariance; an S that does not visit ``t_end``.
    """
    mean, covariance = mean.double(), covariance.double()
    denoiser = gaussian_denoiser(mean, covariance, schedule)
    identity, errors = torch.eye(len(mean)).double(), []
    t = schedule.num_train_steps - 1
    share = _alpha_bar(schedule, t)
    spread = share * covariance + (1 - share) * identity
    starts = torch.cat([torch.zeros_like(identity[:1]), identity])
    exact = gaussian_flow(starts, mean, covariance, schedule, t=t, t_end=t_end)
    for number in num_sample_steps:
        steps = list(sampler(denoiser, starts, schedule, num_sample_steps=number))
        visited = [*(step.t for step in steps[1:]), None]
        if t_end not in visited:
            raise ValueError(
                f"expected a t_end that {number} steps visit, one of {visited[:3]} …, got {t_end}; "
                "T/2 - 1 and T/5 - 1 are visited if S and T are multiples of 10"
            )
        difference = steps[visited.index(t_end)].x_t - exact
        shift, slopes = difference[0], difference[1:] - difference[0]
        middle = shift + math.sqrt(share) * mean @ slopes
        squared = middle.square().sum() + torch.trace(slopes.T @ spread @ slopes)
        errors.append(SolverError(number, math.sqrt(squared.item() / len(mean))))
    return errors


def fitted_order(errors: Sequence[SolverError]) -> float:
    r"""Fit p in error = C S^{-p}, by a line through the logarithms.

    Raises:
        ValueError: under two different step counts, or an error of 0.
    """
    if len({e.num_sample_steps for e in errors}) < 2 or min(e.error for e in errors) <= 0:
        raise ValueError(f"expected errors above 0 at two step counts or more, got {errors}")
    steps = [math.log(e.num_sample_steps) for e in errors]
    return -linear_regression(steps, [math.log(e.error) for e in errors]).slope


def _alpha_bar(schedule: NoiseSchedule, t: int | None) -> float:
    return 1.0 if t is None else schedule.exact_alpha_bar[t].item()


def _principal(
    mean: Tensor, covariance: Tensor
) -> tuple[Float64[Tensor, " d"], Float64[Tensor, " d"], Float64[Tensor, "d d"]]:
    """Take mean and covariance to float64, and the covariance apart: variances and their axes."""
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
        raise ValueError(
            "expected a mean of shape (d,) and a covariance of shape (d, d), got "
            f"{tuple(mean.shape)} and {tuple(covariance.shape)}"
        )
    mean, covariance = mean.double(), covariance.double()
    if not torch.isfinite(covariance).all() or not torch.isfinite(mean).all():
        raise ValueError("expected finite numbers in mean and covariance, got NaN or infinity")
    variances, axes = torch.linalg.eigh(covariance)
    tolerance = 1e-6 * variances.abs().max().item()
    if not torch.allclose(covariance, covariance.T, rtol=0, atol=tolerance) or (
        variances.min().item() < -tolerance
    ):
        raise ValueError(
            "expected a covariance, symmetric and without negative variances: estimate one with "
            "torch.cov(points.T)"
        )
    return mean, variances.clamp(min=0), axes
