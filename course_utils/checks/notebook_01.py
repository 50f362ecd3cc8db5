"""Checks of notebook 01 on training: noising, its tables, the step back, the loss."""

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from course_utils import diffusion
from course_utils.checks.judging import (
    Hint,
    Mistakes,
    check,
    compare,
    is_close,
    judge,
    read_tensor,
    run,
    run_for_two,
    tell,
)
from course_utils.diffusion import NoiseSchedule

# Few steps with much noise, so that neighbors and other tables give clearly different answers.
SCHEDULE = NoiseSchedule.linear(20, beta_start=0.02, beta_end=0.3)
_STEPS = ((4, 9, 13, 17), (0, 1, 10, 19))  # the ends only after the middle has been right
_SCHEDULES = {
    "linear, T = 1000": NoiseSchedule.linear(),
    "cosine, T = 1000": NoiseSchedule.cosine(),
    "linear, T = 10": NoiseSchedule.linear(10),
}
_SHORT = NoiseSchedule.linear(8, beta_start=0.1, beta_end=0.5)  # every step is drawn for sure
_NUM_IMAGES, _NUM_STEPS = 512, _SHORT.num_train_steps
_NEAR = 0.08  # from a moment of 24,576 normal numbers to its value: at least eight standard errors


def make_images(*, seed: int, num: int) -> list[Float[Tensor, "4 3 4 4"]]:
    """Draw as many images as a row has pixels, so that a wrong axis is no error of shapes."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(4, 3, 4, 4, generator=generator) for _ in range(num)]


def _column(values: Float[Tensor, " T"], t: Tensor) -> Float[Tensor, "n 1 1 1"]:
    """Look a table up; a negative step counts from the end, as in Python, others stop at it."""
    return values[t.clamp(max=len(values) - 1)][:, None, None, None]


def noise(x0, t, eps, schedule):
    """Noise images to step t in one jump."""
    alpha_bar = schedule.alpha_bar[t][:, None, None, None]
    return alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * eps


def _noise_mistakes(x0: Tensor, t: Tensor, eps: Tensor, schedule: NoiseSchedule) -> Mistakes:
    def mixed(bar: Tensor) -> Tensor:
        return bar.sqrt() * x0 + (1 - bar).sqrt() * eps

    bars = schedule.alpha_bar
    bar, alpha, beta = (_column(x, t) for x in (bars, schedule.alpha, schedule.beta))
    signal, rest = bar.sqrt(), (1 - bar).sqrt()
    yield "alpha", mixed(alpha)
    yield "beta", mixed(beta)
    yield "no_root", bar * x0 + (1 - bar) * eps, alpha * x0 + (1 - alpha) * eps
    yield "no_root_signal", bar * x0 + rest * eps
    yield "no_root_noise", signal * x0 + (1 - bar) * eps
    yield "one_minus_root", signal * x0 + (1 - signal) * eps
    yield "off_by_one", mixed(_column(bars, t - 1)), mixed(_column(bars, t + 1))
    yield "one_t", mixed(bar[:1])
    yield "axis", mixed(bars[t])
    yield "swapped", rest * x0 + signal * eps
    yield "sign", signal * x0 - rest * eps
    yield "no_noise", signal * x0
    yield "not_shrunk", x0 + rest * eps
    yield "clipped", mixed(bar).clamp(-1, 1)


@check(noise)
def check_01_ex1(value: Any) -> None:
    """Check ``noise(x0, t, eps, schedule)``: √ᾱ_t x0 + √(1 - ᾱ_t) eps, in one jump.

    Args:
        value: the function; images are float tensors (n, c, h, w), t is int64 (n,), 0-based.

    Source:
        Ho et al. 2020 (arXiv:2006.11239), equation 4.
    """
    x0, eps = make_images(seed=0, num=2)
    cases = [(x0, torch.tensor(steps), eps, SCHEDULE) for steps in _STEPS]
    compare(value, cases, noise, _noise_mistakes, say=lambda a, b, x0, t, *_: {"t": t.tolist()})


def alpha_bar_from_beta(beta):
    """Multiply what each step keeps."""
    return (1 - beta).cumprod(dim=0)


def _alpha_bar_mistakes(beta: Tensor) -> Mistakes:
    alpha, bar = 1 - beta, (1 - beta).cumprod(0)
    backward = alpha.flip(0).cumprod(0)
    yield "alpha", alpha
    yield "beta", beta.cumprod(0), 1 - beta.cumprod(0)
    yield "sum", 1 - beta.cumsum(0), alpha.cumsum(0)
    yield "exponential", (-beta.cumsum(0)).exp()
    yield "rooted", bar.sqrt()
    yield "shifted", torch.cat([torch.ones(1), bar[:-1]])
    yield "total", alpha.prod().expand_as(beta)
    yield "backward", backward, backward.flip(0)
    yield "complement", 1 - bar
    yield "logarithm", alpha.log().cumsum(0)


@check(alpha_bar_from_beta)
def check_01_ex2(value: Any) -> None:
    """Check ``alpha_bar_from_beta(beta)``: the products of 1 - β_s over all s ≤ t.

    Args:
        value: the function; beta is a float tensor (T,).

    Source:
        Ho et al. 2020 (arXiv:2006.11239), above equation 4.
    """

    def say(found: Tensor, bar: Tensor, _: Tensor) -> dict[str, object]:
        return {"answer": f"{found[1]:.4g}", "right": f"{bar[1]:.4g}"}

    uneven = torch.tensor([0.3, 0.05, 0.2, 0.1, 0.4, 0.15, 0.25])
    cases = [(SCHEDULE.beta,), (uneven,)]
    compare(value, cases, alpha_bar_from_beta, _alpha_bar_mistakes, say=say)


def first_noisy_step(schedule):
    """Find the first step with more noise than image."""
    for t, snr in enumerate(schedule.snr):
        if snr < 1:
            return t
    return schedule.num_train_steps


def _step_mistakes(schedule: NoiseSchedule) -> Mistakes:
    right, bar, length = first_noisy_step(schedule), schedule.alpha_bar, schedule.num_train_steps
    if right == length:
        yield "never", 0, -1, length - 1, length + 1
    yield "one_based", right + 1
    yield "too_early", right - 1
    yield "sign", 0
    yield "alpha", int((schedule.alpha >= 0.5).sum())
    yield "last", length - 1
    yield "count", length - right
    yield "root", int((bar.sqrt() >= 0.5).sum()), int((bar.sqrt() >= 1 - bar).sum())
    yield "share", right / length


@check(first_noisy_step)
def check_01_ex3(value: Any) -> None:
    """Check ``first_noisy_step(schedule) -> int``: the first t with SNR < 1, T if none has.

    Args:
        value: the function; it gets a `NoiseSchedule`.

    Source:
        Kingma et al. 2021 (arXiv:2107.00630), section 3.1, for the signal-to-noise ratio.
    """
    for name, schedule in _SCHEDULES.items():
        snr, last = schedule.exact_snr, min(first_noisy_step(schedule), len(schedule.snr) - 1)
        said = {"schedule": name, "t": last, "snr": f"{snr[last]:.4f}"}
        said["before"] = f"{snr[last - 1]:.4f}"
        compare(
            value,
            [(schedule,)],
            first_noisy_step,
            _step_mistakes,
            same=partial(math.isclose, abs_tol=1e-6),
            say=lambda answer, *_, said=said: {**said, "answer": f"{answer:.6g}"},
        )


def posterior(x0, x_t, t, schedule):
    """Compute mean and variance of the step back, given the image."""

    def look_up(values):
        return values[:, None, None, None]

    beta, alpha = look_up(schedule.beta[t]), look_up(schedule.alpha[t])
    alpha_bar = look_up(schedule.alpha_bar[t])
    alpha_bar_prev = look_up(torch.where(t > 0, schedule.alpha_bar[t - 1], 1.0))
    from_x0 = alpha_bar_prev.sqrt() * beta / (1 - alpha_bar)
    from_x_t = alpha.sqrt() * (1 - alpha_bar_prev) / (1 - alpha_bar)
    variance = beta * (1 - alpha_bar_prev) / (1 - alpha_bar)
    return from_x0 * x0 + from_x_t * x_t, variance


def _posterior_mistakes(x0: Tensor, x_t: Tensor, t: Tensor) -> tuple[Mistakes, Mistakes]:
    """List wrong means and wrong variances."""
    bars, alphas = SCHEDULE.alpha_bar, SCHEDULE.alpha
    alpha, bar = _column(alphas, t), _column(bars, t)
    prev = torch.where(t > 0, bars[t - 1], 1.0)[:, None, None, None]
    beta, rest = 1 - alpha, 1 - bar

    def both(alpha: Tensor, bar: Tensor, prev: Tensor) -> tuple[Tensor, Tensor]:
        mean = (prev.sqrt() * (1 - alpha) * x0 + alpha.sqrt() * (1 - prev) * x_t) / (1 - bar)
        return mean, (1 - prev) / (1 - bar) * (1 - alpha)

    first, early, late = (
        both(_column(alphas, t + by), _column(bars, t + by), _column(bars, t + by - 1))
        for by in (0, -1, 1)
    )
    means = [
        ("first", first[0]),
        ("swapped", (alpha.sqrt() * (1 - prev) * x0 + prev.sqrt() * beta * x_t) / rest),
        ("no_root", (prev * beta * x0 + alpha * (1 - prev) * x_t) / rest),
        ("no_prev", both(alpha, bar, bar)[0]),
        ("root_of_bar", (prev.sqrt() * beta * x0 + bar.sqrt() * (1 - prev) * x_t) / rest),
        ("alpha", both(alpha, alpha, _column(alphas, t - 1))[0]),
        ("off_by_one", early[0], late[0]),
    ]
    right = (1 - prev) / rest * beta
    variances = [
        ("first", first[1]),
        ("large", beta),
        ("deviation", right.sqrt()),
        ("logarithm", right.log()),
        ("total", rest),
        ("inverted", rest / (1 - prev) * beta),
        ("off_by_one", early[1], late[1]),
    ]
    return means, variances


@check(posterior)
def check_01_ex4(value: Any) -> None:
    """Check ``posterior(x0, x_t, t, schedule)``: mean and variance, as in `diffusion.posterior`.

    Args:
        value: the function; images are float tensors (n, c, h, w), t is int64 (n,), 0-based.

    Source:
        Ho et al. 2020 (arXiv:2006.11239), equations 6 and 7.
    """
    x0, x_t = make_images(seed=1, num=2)
    for steps in _STEPS:
        t = torch.tensor(steps)
        answer = run_for_two(value, x0, x_t, t, SCHEDULE)
        mean, variance = posterior(x0, x_t, t, SCHEDULE)
        shapes = [getattr(part, "shape", None) for part in answer]
        signs = [("order", shapes == [variance.shape, mean.shape])]
        tell([*signs, ("variance_shape", shapes[1] == t.shape)], shape=tuple(t.shape))
        means, variances = _posterior_mistakes(x0, x_t, t)
        found = read_tensor(answer[0], mean.shape)
        judge(found, mean, means, otherwise="mean_value", t=list(steps))
        spread = read_tensor(answer[1], variance.shape, mean.shape)
        judge(spread, variance, variances, otherwise="variance_value", t=list(steps))


def simple_loss(denoiser, x0, schedule, generator):
    """Compute the mean squared error of the noise that is predicted."""
    t = torch.randint(schedule.num_train_steps, (len(x0),), generator=generator)
    eps = torch.randn(x0.shape, generator=generator)
    x_t = diffusion.q_sample(x0, t, eps, schedule)
    return (eps - denoiser(x_t, t)).square().mean()


def _loss_mistakes(eps: Tensor, eps_pred: Tensor, x0: Tensor, x_t: Tensor) -> Mistakes:
    gaps, pixels = eps - eps_pred, (1, 2, 3)
    squares = gaps.square()
    yield "sum", squares.sum(), squares.sum(pixels).mean(), squares.mean(pixels).sum()
    yield "absolute", gaps.abs().mean()
    yield "rooted", squares.mean().sqrt(), squares.sum(pixels).sqrt().mean()
    yield "half", squares.mean() / 2
    yield "target", (x0 - eps_pred).square().mean(), (x_t - eps_pred).square().mean()
    yield "plus", (eps + eps_pred).square().mean()
    yield "not_squared", gaps.mean(), -gaps.mean()


class _Recorder:
    """A denoiser that remembers what it was asked."""

    def __init__(self) -> None:
        self.factor = nn.Parameter(torch.tensor(0.3))
        self.calls: list[tuple[Any, Any]] = []

    def __call__(self, x_t: Any, t: Any) -> Any:
        self.calls.append((x_t, t))
        return self.factor * x_t + 0.1


@check(simple_loss)
def check_01_ex5(value: Any) -> None:
    """Check ``simple_loss(denoiser, x0, schedule, generator)``: mean of (eps - denoiser(x_t, t))².

    It draws one t and eps an image, in whatever order.

    Args:
        value: the function; x0 is a float tensor (n, c, h, w).

    Source:
        Ho et al. 2020 (arXiv:2006.11239), equation 14 and algorithm 1.
    """
    x0 = torch.randn(_NUM_IMAGES, 3, 4, 4, generator=torch.Generator().manual_seed(4)).sign()
    answer, recorder = _run_loss(value, x0, seed=5)
    x_t, t = _only_call(recorder, x0)
    low, high = int(t.min()), int(t.max())
    outside = (low, high) != (0, _NUM_STEPS - 1)
    signs = [("one_t", low == high), ("one_based", outside and high >= _NUM_STEPS)]
    tell([*signs, ("range", outside)], low=low, high=high, last=_NUM_STEPS - 1)
    tell([("uneven", t.bincount().max() > 2 * len(t) / _NUM_STEPS)])
    x_t = x_t.detach()
    eps, eps_pred = _solve_for_noise(x_t, t, x0), 0.3 * x_t + 0.1
    wrong = _loss_mistakes(eps, eps_pred, x0, x_t)
    judge(answer.detach(), (eps - eps_pred).square().mean(), wrong)
    again, other = (_run_loss(value, x0, seed=seed)[0] for seed in (5, 6))
    tell([("generator", not torch.equal(answer, again) or torch.equal(answer, other))])
    tell([("no_gradient", not answer.requires_grad)])


def _run_loss(value: Any, x0: Tensor, *, seed: int) -> tuple[Tensor, _Recorder]:
    recorder = _Recorder()
    try:
        answer = run(value, recorder, x0, _SHORT, torch.Generator().manual_seed(seed))
    except Hint:
        if recorder.calls:
            _only_call(recorder, x0)  # tells what the exception comes from
        raise
    tell([("no_gradient", isinstance(answer, float))])
    if isinstance(answer, Tensor) and answer.dim():
        raise Hint("no_scalar", shape=tuple(answer.shape))
    read_tensor(answer, ())
    return torch.as_tensor(answer), recorder


def _only_call(recorder: _Recorder, x0: Tensor) -> tuple[Tensor, Tensor]:
    """Give what the denoiser was asked."""
    tell([("calls", len(recorder.calls) != 1)], num=len(recorder.calls))
    x_t, t = recorder.calls[0]
    for key, x, right in (("x_t_shape", x_t, tuple(x0.shape)), ("t_shape", t, (len(x0),))):
        shape = tuple(getattr(x, "shape", ()))
        tell([(key, not isinstance(x, Tensor) or shape != right)], shape=shape, right=right)
    tell([("t_float", t.is_floating_point())])
    return x_t, t


def _solve_for_noise(x_t: Tensor, t: Tensor, x0: Tensor) -> Float[Tensor, "n c h w"]:
    """Find the noise in what the denoiser saw, which has to be normal and new everywhere."""

    def solve(signal: Tensor, rest: Tensor) -> Tensor:
        return (x_t - signal * x0) / rest

    def is_normal(eps: Tensor) -> bool:  # has mean 0, variance 1, nothing in common with images
        moments = eps.mean(), eps.var() - 1, (eps * x0).mean()
        return all(abs(moment) < _NEAR for moment in moments)

    def signs() -> Iterator[tuple[str, Any]]:
        yield "alpha", is_normal(solve(alpha.sqrt(), (1 - alpha).sqrt()))
        yield "no_root", is_normal(solve(bar, 1 - bar))
        for other in (_column(bars, t - 1), _column(bars, t + 1)):
            yield "off_by_one", is_normal(solve(other.sqrt(), (1 - other).sqrt()))
        yield "uniform", abs(eps.mean() - 0.5) < _NEAR and eps.std() < 0.5
        yield "noising", True

    bars = _SHORT.alpha_bar
    bar, alpha = _column(bars, t), _column(_SHORT.alpha, t)
    eps = solve(bar.sqrt(), (1 - bar).sqrt())
    tell([("no_noise", is_close(x_t, x0)), ("one_noise", is_close(eps, eps[:1].expand_as(eps)))])
    if not is_normal(eps):
        tell(signs())
    return eps
