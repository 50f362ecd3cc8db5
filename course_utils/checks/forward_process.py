"""Checks of notebook 01 about noising: the closed form, ᾱ, the signal-to-noise ratio, one step."""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_utils.checks.results import Hint, check, number
from course_utils.checks.tensors import judge, read_tensor, run_on_copies
from course_utils.diffusion import NoiseSchedule, posterior, q_sample

# Few steps with much noise, so that neighbors and other tables give clearly different answers.
SCHEDULE = NoiseSchedule.linear(20, beta_start=0.02, beta_end=0.3)
_STEPS = ((4, 9, 13, 17), (0, 1, 10, 19))  # the ends only after the middle has been right
_SCHEDULES = {
    "linear, T = 1000": NoiseSchedule.linear(),
    "cosine, T = 1000": NoiseSchedule.cosine(),
    "linear, T = 10": NoiseSchedule.linear(10),
}


def make_images(*, seed: int, num: int) -> list[Float[Tensor, "4 3 4 4"]]:
    """Draw as many images as a row has pixels, so that a wrong axis is no error of shapes."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(4, 3, 4, 4, generator=generator) for _ in range(num)]


@check("01_ex1")
def check_01_ex1(value: Any) -> None:
    """Check a function that noises images to any step in one jump.

    ``noise(x0, t, eps, schedule)``: √ᾱ_t x0 + √(1 - ᾱ_t) eps.

    Args:
        value: the function; images are float tensors (n, c, h, w), t is int64 (n,), 0-based.

    Returns:
        Whether it is right at all steps, or what went wrong.

    Source:
        Ho et al. 2020 (arXiv:2006.11239), equation 4.
    """
    x0, eps = make_images(seed=0, num=2)
    for steps in _STEPS:
        t = torch.tensor(steps)
        answer = read_tensor(run_on_copies(value, x0, t, eps, SCHEDULE), x0.shape)
        wrong = dict(_noising_mistakes(x0, t, eps))
        judge("01_ex1", answer, q_sample(x0, t, eps, SCHEDULE), wrong, t=list(steps))


def _column(values: Float[Tensor, " T"], t: Int[Tensor, " n"]) -> Float[Tensor, "n 1 1 1"]:
    """Look a table up; a negative step counts from the end, as in Python, others stop at it."""
    return values[t.clamp(max=len(values) - 1)][:, None, None, None]


def _noising_mistakes(x0: Tensor, t: Tensor, eps: Tensor) -> Iterator[tuple[str, Tensor]]:
    """List what common wrong functions give, with the keys of their hints."""
    bar = _column(SCHEDULE.alpha_bar, t)
    alpha, beta = _column(SCHEDULE.alpha, t), _column(SCHEDULE.beta, t)
    early, late = (_column(SCHEDULE.alpha_bar, t + shift) for shift in (-1, 1))
    flat = SCHEDULE.alpha_bar[t]
    signal, noise = bar.sqrt(), (1 - bar).sqrt()
    yield "alpha", alpha.sqrt() * x0 + (1 - alpha).sqrt() * eps
    yield "beta", beta.sqrt() * x0 + (1 - beta).sqrt() * eps
    yield "no_root", bar * x0 + (1 - bar) * eps
    yield "no_root both", alpha * x0 + (1 - alpha) * eps
    yield "no_root_signal", bar * x0 + noise * eps
    yield "no_root_noise", signal * x0 + (1 - bar) * eps
    yield "one_minus_root", signal * x0 + (1 - signal) * eps
    yield "off_by_one early", early.sqrt() * x0 + (1 - early).sqrt() * eps
    yield "off_by_one late", late.sqrt() * x0 + (1 - late).sqrt() * eps
    yield "one_t", signal[:1] * x0 + noise[:1] * eps
    yield "axis", flat.sqrt() * x0 + (1 - flat).sqrt() * eps
    yield "swapped", noise * x0 + signal * eps
    yield "sign", signal * x0 - noise * eps
    yield "no_noise", signal * x0
    yield "not_shrunk", x0 + noise * eps
    yield "clipped", (signal * x0 + noise * eps).clamp(-1, 1)


@check("01_ex2")
def check_01_ex2(value: Any) -> None:
    """Check a function that computes ᾱ from β.

    ``alpha_bar_from_beta(beta)``: the products of 1 - β_s over all s ≤ t.

    Args:
        value: the function; beta is a float tensor (T,).

    Returns:
        Whether its tables are right, or what went wrong.

    Source:
        Ho et al. 2020 (arXiv:2006.11239), above equation 4.
    """
    uneven = torch.tensor([0.3, 0.05, 0.2, 0.1, 0.4, 0.15, 0.25])
    for beta in (SCHEDULE.beta, uneven):
        answer = read_tensor(run_on_copies(value, beta), beta.shape)
        alpha, bar = 1 - beta, (1 - beta).cumprod(0)
        wrong = {
            "alpha": alpha,
            "beta": beta.cumprod(0),
            "beta complement": 1 - beta.cumprod(0),
            "sum": 1 - beta.cumsum(0),
            "sum alpha": alpha.cumsum(0),
            "exponential": (-beta.cumsum(0)).exp(),
            "rooted": bar.sqrt(),
            "shifted": torch.cat([torch.ones(1), bar[:-1]]),
            "total": alpha.prod().expand_as(beta),
            "backward": alpha.flip(0).cumprod(0),
            "backward both": alpha.flip(0).cumprod(0).flip(0),
            "complement": 1 - bar,
            "logarithm": alpha.log().cumsum(0),
        }
        judge("01_ex2", answer, bar, wrong, answer=f"{answer[1]:.4g}", right=f"{bar[1]:.4g}")


@check("01_ex3")
def check_01_ex3(value: Any) -> None:
    """Check a function that finds the step from which on there is more noise than image.

    ``first_noisy_step(schedule) -> int``: the first t, 0-based, with ᾱ_t / (1 - ᾱ_t) < 1; T where
    there is none.

    Args:
        value: the function; it gets a `NoiseSchedule`.

    Returns:
        Whether it is right for three schedules, or what went wrong.

    Source:
        Kingma et al. 2021 (arXiv:2107.00630), section 3.1, for the signal-to-noise ratio.
    """
    for name, schedule in _SCHEDULES.items():
        answer, snr = number(run_on_copies(value, schedule)), schedule.exact_snr
        right = _first(snr < 1)
        if answer == right:
            continue
        for key, wrong in _step_mistakes(schedule, right):
            if abs(answer - wrong) < 1e-6:
                raise Hint(f"01_ex3.{key}", schedule=name)
        last = min(right, len(snr) - 1)
        said = {"t": last, "snr": f"{snr[last]:.4f}", "before": f"{snr[last - 1]:.4f}"}
        raise Hint("01_ex3.value", schedule=name, answer=f"{answer:.6g}", **said)


def _first(where: Tensor) -> int:
    """Give the first true index, or the length."""
    return int(where.int().argmax()) if where.any() else len(where)


def _step_mistakes(schedule: NoiseSchedule, right: int) -> Iterator[tuple[str, float]]:
    """List what common wrong functions give, with the keys of their hints."""
    bar, length = schedule.exact_alpha_bar, schedule.num_train_steps
    if right == length:
        yield from (("never", wrong) for wrong in (0, -1, length - 1, length + 1))
    yield "one_based", right + 1
    yield "too_early", right - 1
    yield "sign", 0
    yield "alpha", _first(schedule.exact_alpha < 0.5)
    yield "last", length - 1
    yield "count", length - right
    yield "root", _first(bar.sqrt() < 0.5)
    yield "root", _first(bar.sqrt() < 1 - bar)
    yield "share", right / length


@check("01_ex4")
def check_01_ex4(value: Any) -> None:
    """Check a function that computes mean and variance of the step back, given the image.

    ``posterior(x0, x_t, t, schedule) -> (mean, variance)``, as in `diffusion.posterior`.

    Args:
        value: the function; images are float tensors (n, c, h, w), t is int64 (n,), 0-based.

    Returns:
        Whether both are right at all steps, or what went wrong.

    Source:
        Ho et al. 2020 (arXiv:2006.11239), equations 6 and 7.
    """
    x0, x_t = make_images(seed=1, num=2)
    for steps in _STEPS:
        t = torch.tensor(steps)
        answer = run_on_copies(value, x0, x_t, t, SCHEDULE)
        if not isinstance(answer, tuple | list) or len(answer) != 2:
            raise Hint("01_ex4.pair", kind=type(answer).__name__)
        mean, variance = posterior(x0, x_t, t, SCHEDULE)
        shapes = [getattr(part, "shape", None) for part in answer]
        if shapes == [variance.shape, mean.shape]:
            raise Hint("01_ex4.order")
        if shapes[1] == t.shape:
            raise Hint("01_ex4.variance_shape", shape=tuple(t.shape))
        found = read_tensor(answer[0], mean.shape)
        wrong = dict(_mean_mistakes(x0, x_t, t))
        judge("01_ex4", found, mean, wrong, otherwise="mean_value", t=list(steps))
        spread = read_tensor(answer[1], variance.shape, mean.shape).expand(mean.shape)
        wrong = {key: x.expand(mean.shape) for key, x in _variance_mistakes(t)}
        right = variance.expand(mean.shape)
        judge("01_ex4", spread, right, wrong, otherwise="variance_value", t=list(steps))


def _mean_mistakes(x0: Tensor, x_t: Tensor, t: Tensor) -> Iterator[tuple[str, Tensor]]:
    alpha, beta, bar, prev = _tables(t)
    noise = 1 - bar

    def mean(from_x0: Tensor, from_x_t: Tensor) -> Tensor:
        return from_x0 * x0 + from_x_t * x_t

    yield "first", _mean(x0, x_t, alpha, bar, _column(SCHEDULE.alpha_bar, t - 1))
    yield "swapped", mean(alpha.sqrt() * (1 - prev) / noise, prev.sqrt() * beta / noise)
    yield "no_root", mean(prev * beta / noise, alpha * (1 - prev) / noise)
    yield "no_prev", _mean(x0, x_t, alpha, bar, bar)
    yield "root_of_bar", mean(prev.sqrt() * beta / noise, bar.sqrt() * (1 - prev) / noise)
    yield "alpha", _mean(x0, x_t, alpha, alpha, _column(SCHEDULE.alpha, t - 1))
    for shift, name in ((-1, "off_by_one early"), (1, "off_by_one late")):
        alpha, _, bar, _ = _tables(t + shift)
        yield name, _mean(x0, x_t, alpha, bar, _column(SCHEDULE.alpha_bar, t + shift - 1))


def _mean(x0: Tensor, x_t: Tensor, alpha: Tensor, bar: Tensor, prev: Tensor) -> Tensor:
    return (prev.sqrt() * (1 - alpha) * x0 + alpha.sqrt() * (1 - prev) * x_t) / (1 - bar)


def _tables(t: Int[Tensor, " n"]) -> list[Float[Tensor, "n 1 1 1"]]:
    """Look up α, β, ᾱ and ᾱ one step earlier."""
    prev = SCHEDULE.exact_alpha_bar_prev.float()
    return [_column(x, t) for x in (SCHEDULE.alpha, SCHEDULE.beta, SCHEDULE.alpha_bar, prev)]


def _variance_mistakes(t: Tensor) -> Iterator[tuple[str, Tensor]]:
    _, beta, bar, prev = _tables(t)
    right, wrapped = (1 - prev) / (1 - bar) * beta, _column(SCHEDULE.alpha_bar, t - 1)
    yield "first", (1 - wrapped) / (1 - bar) * beta
    yield "large", beta
    yield "deviation", right.sqrt()
    yield "logarithm", right.log()
    yield "total", 1 - bar
    yield "inverted", (1 - bar) / (1 - prev) * beta
    for shift, name in ((-1, "off_by_one early"), (1, "off_by_one late")):
        _, beta, bar, _ = _tables(t + shift)
        yield name, (1 - _column(SCHEDULE.alpha_bar, t + shift - 1)) / (1 - bar) * beta
