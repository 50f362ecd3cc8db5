"""Checks of notebook 01 about denoising: one step of DDPM, and one of DDIM."""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from course_utils.checks.forward_process import SCHEDULE, make_images
from course_utils.checks.results import Hint, check
from course_utils.checks.tensors import judge, read_tensor, run_on_copies

Images = Float[Tensor, "n c h w"]
_LAST = SCHEDULE.num_train_steps - 1
_DDPM_STEPS = (11, 3, 0, _LAST)  # the ends only after the middle has been right
_DDIM_STEPS = (
    *((12, 10, eta) for eta in (1.0, 0.5, 0.0)),
    *((6, -1, eta) for eta in (1.0, 0.0)),
    (_LAST, 0, 1.0),
)


@check("01_ex6")
def check_01_ex6(value: Any) -> None:
    """Check a function that takes one step of DDPM with σ_t² = β_t.

    ``ddpm_step(x_t, t, eps_pred, z, schedule)``: (x_t - β_t / √(1 - ᾱ_t) eps_pred) / √α_t + √β_t z,
    without z at t = 0.

    Args:
        value: the function; tensors are (n, c, h, w), t is an int, 0-based.

    Returns:
        Whether it is right at all steps, or what went wrong.

    Source:
        Ho et al. 2020 (arXiv:2006.11239), algorithm 2, with the first choice of section 3.2.
    """
    x_t, eps_pred, z = make_images(seed=2, num=3)
    for t in _DDPM_STEPS:
        answer = run_on_copies(value, x_t, t, eps_pred, z, SCHEDULE)
        right = ddpm_step(x_t, t, eps_pred, z)
        wrong = dict(_ddpm_mistakes(x_t, t, eps_pred, z))
        judge("01_ex6", read_tensor(answer, x_t.shape), right, wrong, t=t)


def ddpm_step(x_t: Images, t: int, eps_pred: Images, z: Images) -> Images:
    """Compute what `check_01_ex6` expects."""
    alpha, beta, bar = _tables(t)
    mean = (x_t - beta / (1 - bar).sqrt() * eps_pred) / alpha.sqrt()
    return mean + beta.sqrt() * z if t else mean


def _tables(t: int) -> tuple[Tensor, Tensor, Tensor]:
    """Look up α, β and ᾱ; a negative step counts from the end, as in Python, others stop at it."""
    t = min(t, _LAST)
    return SCHEDULE.alpha[t], SCHEDULE.beta[t], SCHEDULE.alpha_bar[t]


def _ddpm_mistakes(x_t: Tensor, t: int, eps: Tensor, z: Tensor) -> Iterator[tuple[str, Tensor]]:
    """List what common wrong functions give, with the keys of their hints."""
    alpha, beta, bar = _tables(t)
    prev = SCHEDULE.alpha_bar[t - 1] if t else torch.tensor(1.0)
    scale, sigma = beta / (1 - bar).sqrt(), beta.sqrt() * (t > 0)
    mean = (x_t - scale * eps) / alpha.sqrt()
    yield "last_step", mean + beta.sqrt() * z
    yield "small", mean + ((1 - prev) / (1 - bar) * beta).sqrt() * z
    yield "small wrapped", mean + ((1 - SCHEDULE.alpha_bar[t - 1]) / (1 - bar) * beta).sqrt() * z
    yield "variance", mean + beta * (t > 0) * z
    yield "variance always", mean + beta * z
    yield "no_noise", mean
    yield "total", mean + (1 - bar).sqrt() * z
    yield "inside", mean + sigma / alpha.sqrt() * z
    yield "alpha", (x_t - beta / (1 - alpha).sqrt() * eps) / alpha.sqrt() + sigma * z
    yield "alpha_bar", (x_t - scale * eps) / bar.sqrt() + sigma * z
    yield "to_image", (x_t - (1 - bar).sqrt() * eps) / bar.sqrt()
    yield "to_image noised", (x_t - (1 - bar).sqrt() * eps) / bar.sqrt() + sigma * z
    yield "no_root_alpha", (x_t - scale * eps) / alpha + sigma * z
    yield "no_root_eps", (x_t - beta / (1 - bar) * eps) / alpha.sqrt() + sigma * z
    yield "not_scaled", x_t - scale * eps + sigma * z
    yield "sign", (x_t + scale * eps) / alpha.sqrt() + sigma * z
    yield "shrunk", (x_t - scale * eps) * alpha.sqrt() + sigma * z
    for shift, name in ((-1, "off_by_one early"), (1, "off_by_one late")):
        alpha, beta, bar = _tables(t + shift)
        mean = (x_t - beta / (1 - bar).sqrt() * eps) / alpha.sqrt()
        yield name, mean + beta.sqrt() * z
        yield f"{name}, none at 0", mean + beta.sqrt() * (t > 0) * z


@check("01_ex7")
def check_01_ex7(value: Any) -> None:
    """Check a function that takes one step of DDIM, from t to any earlier step.

    ``ddim_step(x_t, t, t_prev, eps_pred, z, eta, schedule)``: √ᾱ_prev x̂_0 + √(1 - ᾱ_prev - σ²)
    eps_pred + σ z, with σ = η √((1 - ᾱ_prev) / (1 - ᾱ_t)) √(1 - ᾱ_t / ᾱ_prev); t_prev = -1 stands
    for the image, where ᾱ_prev is 1.

    Args:
        value: the function; tensors are (n, c, h, w), t and t_prev are ints, 0-based.

    Returns:
        Whether it is right at all steps for η 0, 0.5 and 1, or what went wrong.

    Source:
        Song et al. 2020 (arXiv:2010.02502), equations 12 and 16; their α is our ᾱ.
    """
    x_t, eps_pred, z = make_images(seed=3, num=3)
    for t, t_prev, eta in _DDIM_STEPS:
        answer = run_on_copies(value, x_t, t, t_prev, eps_pred, z, eta, SCHEDULE)
        bars = SCHEDULE.alpha_bar[t], _bar_at(t_prev)
        right = ddim_step((x_t, eps_pred, z), *bars, eta=eta)
        if t_prev < 0 and _is_nan(answer):
            raise Hint("01_ex7.end")
        found = read_tensor(answer, x_t.shape)
        wrong = dict(_step_mistakes((x_t, eps_pred, z), (t, t_prev), eta))
        wrong |= dict(_formula_mistakes((x_t, eps_pred, z), *bars, eta=eta))
        judge("01_ex7", found, right, wrong, t=t, t_prev=t_prev, eta=f"{eta:g}")


def ddim_step(images: tuple[Images, ...], bar: Tensor, prev: Tensor, *, eta: float) -> Images:
    """Compute what `check_01_ex7` expects, from ᾱ at both steps."""
    x_t, eps_pred, z = images
    x0_pred = (x_t - (1 - bar).sqrt() * eps_pred) / bar.sqrt()
    sigma = _sigma(bar, prev, eta)
    return prev.sqrt() * x0_pred + _root(1 - prev - sigma**2) * eps_pred + sigma * z


def _is_nan(answer: Any) -> bool:
    """Tell whether a root of a negative number was taken, as with the ᾱ of a later step."""
    return isinstance(answer, Tensor) and answer.isnan().any().item()


def _bar_at(t: int) -> Tensor:
    return SCHEDULE.alpha_bar[t] if t >= 0 else torch.tensor(1.0)


def _sigma(bar: Tensor, prev: Tensor, eta: float) -> Tensor:
    return eta * _root((1 - prev) / (1 - bar)) * _root(1 - bar / prev)


def _root(x: Tensor) -> Tensor:
    """Take a root; rounding and wrong tables may bring its argument below 0."""
    return x.clamp(min=0).sqrt()


def _step_mistakes(
    images: tuple[Tensor, ...], steps: tuple[int, int], eta: float
) -> Iterator[tuple[str, Tensor]]:
    """List the right formula with ᾱ of wrong steps, or with another table."""
    t, t_prev = steps
    bars = SCHEDULE.alpha_bar
    if t_prev < 0:
        yield "end", ddim_step(images, bars[t], bars[t_prev], eta=eta)
        yield "end first", ddim_step(images, bars[t], bars[0], eta=eta)
    yield "neighbor", ddim_step(images, bars[t], bars[t - 1], eta=eta)
    yield "stays", ddim_step(images, bars[t], bars[t], eta=eta)
    early, late = max(t_prev, 0) - 1, min(t + 1, _LAST)
    yield "off_by_one early", ddim_step(images, bars[t - 1], bars[early], eta=eta)
    yield "off_by_one late", ddim_step(images, bars[late], bars[t_prev + 1], eta=eta)
    alphas = SCHEDULE.alpha
    yield "alpha", ddim_step(images, alphas[t], alphas[max(t_prev, 0)], eta=eta)


def _formula_mistakes(
    images: tuple[Tensor, ...], bar: Tensor, prev: Tensor, *, eta: float
) -> Iterator[tuple[str, Tensor]]:
    """List wrong formulas with the right ᾱ."""
    x_t, eps, z = images
    x0, sigma = (x_t - (1 - bar).sqrt() * eps) / bar.sqrt(), _sigma(bar, prev, eta)
    start, direction = prev.sqrt() * x0, _root(1 - prev - sigma**2)
    yield "not_reduced", start + (1 - prev).sqrt() * eps + sigma * z
    yield "not_squared", start + _root(1 - prev - sigma) * eps + sigma * z
    yield "ignored", ddim_step(images, bar, prev, eta=0.0)
    yield "always", ddim_step(images, bar, prev, eta=1.0)
    yield "eta_squared", ddim_step(images, bar, prev, eta=eta**2)
    yield "eta_squared root", ddim_step(images, bar, prev, eta=eta**0.5)
    yield "variance", start + direction * eps + sigma**2 * z
    half = eta * _root((1 - prev) / (1 - bar))
    yield "half_sigma first", start + _root(1 - prev - half**2) * eps + half * z
    half = eta * _root(1 - bar / prev)
    yield "half_sigma second", start + _root(1 - prev - half**2) * eps + half * z
    yield "fresh", start + (1 - prev).sqrt() * z
    yield "no_direction", start + sigma * z
    yield "no_noise", start + direction * eps
    yield "no_root", prev * x0 + (1 - prev - sigma**2) * eps + sigma * z
    yield "no_root_direction", start + (1 - prev - sigma**2) * eps + sigma * z
    yield "no_root_x0", _from_x0((x_t - (1 - bar).sqrt() * eps) / bar, images, prev, sigma)
    yield "no_root_x0 both", _from_x0((x_t - (1 - bar) * eps) / bar, images, prev, sigma)
    yield "no_root_x0 noise", _from_x0((x_t - (1 - bar) * eps) / bar.sqrt(), images, prev, sigma)
    yield "clipped", _from_x0(x0.clamp(-1, 1), images, prev, sigma)
    yield "image", x0


def _from_x0(x0: Tensor, images: tuple[Tensor, ...], prev: Tensor, sigma: Tensor) -> Tensor:
    _, eps, z = images
    return prev.sqrt() * x0 + _root(1 - prev - sigma**2) * eps + sigma * z
