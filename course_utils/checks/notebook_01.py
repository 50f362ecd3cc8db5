"""Checks of notebook 01 on training: noising, the step back, the loss."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from course_utils.checks.judging import (
    Hint,
    Mistakes,
    as_asked,
    as_tensor,
    check,
    compare,
    is_close,
    judge,
    read_tensor,
    run,
    run_for_two,
    tell,
)
from course_utils.checks.notebook_01_tables import (
    NOTEBOOK,
    SCHEDULE,
    STEPS,
    column,
    make_images,
    with_globals,
)
from course_utils.diffusion import NoiseSchedule

_SHORT = NoiseSchedule.linear(8, beta_start=0.1, beta_end=0.5)  # every step is drawn for sure
_NUM_IMAGES, _NUM_STEPS = 2048, _SHORT.num_train_steps
_NEAR = 0.08  # from a moment of 98,304 normal numbers to its value: at least eight standard errors
_UNEVEN = 60.0  # of χ² with 7 degrees of freedom: by chance once in 10¹⁰ times


def noise(x0, t, eps, schedule):
    """Noise images to step t in one jump."""
    alpha_bar = schedule.alpha_bar[t][:, None, None, None]
    return alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * eps


def _noise_mistakes(x0: Tensor, t: Tensor, eps: Tensor, schedule: NoiseSchedule) -> Mistakes:
    def mixed(bar: Tensor) -> Tensor:
        return bar.sqrt() * x0 + (1 - bar).sqrt() * eps

    bars = schedule.alpha_bar
    bar, alpha, beta = (column(x, t) for x in (bars, schedule.alpha, schedule.beta))
    signal, rest = bar.sqrt(), (1 - bar).sqrt()
    yield "globals", *(noise(x0, t, eps, each) for each in with_globals(schedule))
    yield "alpha", mixed(alpha)
    yield "beta", mixed(beta)
    yield "no_root", bar * x0 + (1 - bar) * eps, alpha * x0 + (1 - alpha) * eps
    yield "no_root_signal", bar * x0 + rest * eps
    yield "no_root_noise", signal * x0 + (1 - bar) * eps
    yield "one_minus_root", signal * x0 + (1 - signal) * eps
    yield "off_by_one", mixed(column(bars, t - 1)), mixed(column(bars, t + 1))
    yield "one_t", mixed(bar[:1])
    yield "axis", mixed(bars[t])
    yield "swapped", rest * x0 + signal * eps
    yield "sign", signal * x0 - rest * eps
    yield "no_noise", signal * x0
    yield "not_shrunk", x0 + rest * eps
    yield "clipped", mixed(bar).clamp(-1, 1)


@check(noise)
def check_01_ex1(value: Any) -> Any:
    """Check ``noise(x0, t, eps, schedule)``: √ᾱ_t x0 + √(1 - ᾱ_t) eps, in one jump.

    Args:
        value: the function; images are float tensors (n, c, h, w), t is int64 (n,), 0-based.

    Source:
        Ho et al. 2020 (arXiv:2006.11239), equation 4.
    """
    x0, eps = make_images(seed=0, num=2)
    cases = [(x0, torch.tensor(steps), eps, SCHEDULE) for steps in STEPS]
    say = {"say": lambda found, right, x0, t, *_: {"t": t.tolist()}}
    return compare(value, cases, noise, _noise_mistakes, **say)


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
    alpha, bar = column(alphas, t), column(bars, t)
    prev = torch.where(t > 0, bars[t - 1], 1.0)[:, None, None, None]
    beta, rest = 1 - alpha, 1 - bar

    def both(alpha: Tensor, bar: Tensor, prev: Tensor) -> tuple[Tensor, Tensor]:
        mean = (prev.sqrt() * (1 - alpha) * x0 + alpha.sqrt() * (1 - prev) * x_t) / (1 - bar)
        return mean, (1 - prev) / (1 - bar) * (1 - alpha)

    first, early, late = (
        both(column(alphas, t + by), column(bars, t + by), column(bars, t + by - 1))
        for by in (0, -1, 1)
    )
    others = [posterior(x0, x_t, t, each) for each in with_globals(SCHEDULE)]
    own_prev = torch.where(t > 0, NOTEBOOK.alpha_bar[t - 1], 1.0)[:, None, None, None]
    others.append(both(alpha, bar, own_prev))
    means = [
        ("globals", *(mean for mean, _ in others)),
        ("first", first[0]),
        ("swapped", (alpha.sqrt() * (1 - prev) * x0 + prev.sqrt() * beta * x_t) / rest),
        ("no_root", (prev * beta * x0 + alpha * (1 - prev) * x_t) / rest),
        ("no_prev", both(alpha, bar, bar)[0]),
        ("root_of_bar", (prev.sqrt() * beta * x0 + bar.sqrt() * (1 - prev) * x_t) / rest),
        ("alpha", both(alpha, alpha, column(alphas, t - 1))[0]),
        ("off_by_one", early[0], late[0]),
    ]
    right = (1 - prev) / rest * beta
    variances = [
        ("globals", *(variance for _, variance in others)),
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
def check_01_ex4(value: Any) -> Any:
    """Check ``posterior(x0, x_t, t, schedule)``: mean and variance, as in `diffusion.posterior`.

    Args:
        value: the function; images are float tensors (n, c, h, w), t is int64 (n,), 0-based.

    Source:
        Ho et al. 2020 (arXiv:2006.11239), equations 6 and 7.
    """
    x0, x_t = make_images(seed=1, num=2)
    kept = []
    for steps in STEPS:
        t = torch.tensor(steps)
        answer = run_for_two(value, x0, x_t, t, SCHEDULE, again=bool(kept))
        mean, variance = right = posterior(x0, x_t, t, SCHEDULE)
        kept.append((answer, right))
        parts = [as_tensor(part) for part in answer]
        shapes = [part.shape for part in parts]
        signs = [("order", shapes == [variance.shape, mean.shape])]
        signs += [("variance_shape", shapes[1] == t.shape)]
        signs += [("first_nan", any(_is_odd_at_first(part, t) for part in parts))]
        tell(signs, shape=tuple(t.shape))
        means, variances = _posterior_mistakes(x0, x_t, t)
        found = read_tensor(answer[0], mean.shape)
        judge(found, mean, means, otherwise="mean_value", t=list(steps))
        spread = read_tensor(answer[1], variance.shape, mean.shape)
        judge(spread, variance, variances, otherwise="variance_value", t=list(steps))
    return as_asked(value, kept)


def _is_odd_at_first(part: Tensor, t: Tensor) -> bool:
    """Say whether there is NaN or infinity, but only where t is 0."""
    is_odd = ~part.isfinite()
    return len(part) == len(t) and bool(is_odd.any()) and not is_odd[t > 0].any()


def simple_loss(denoiser, x0, schedule, generator):
    """Compute the mean squared error of the noise that is predicted."""
    t = torch.randint(schedule.num_train_steps, (len(x0),), generator=generator)
    eps = torch.randn(x0.shape, generator=generator)
    x_t = noise(x0, t, eps, schedule)
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
def check_01_ex5(value: Any) -> Any:
    """Check ``simple_loss(denoiser, x0, schedule, generator)``: mean of (eps - denoiser(x_t, t))².

    It draws one t and eps an image, in whatever order.

    Args:
        value: the function; x0 is a float tensor (n, c, h, w).

    Source:
        Ho et al. 2020 (arXiv:2006.11239), equation 14 and algorithm 1.
    """
    x0 = torch.randn(_NUM_IMAGES, 3, 4, 4, generator=torch.Generator().manual_seed(4)).sign()
    answer, recorder = _run_loss(value, x0, seed=5)
    loss = as_tensor(answer).reshape(())
    x_t, t = _only_call(recorder, x0)
    _judge_steps(t)
    x_t = x_t.detach()
    eps, eps_pred = _solve_for_noise(x_t, t, x0), 0.3 * x_t + 0.1
    right = (eps - eps_pred).square().mean()
    judge(loss, right, _loss_mistakes(eps, eps_pred, x0, x_t))
    again, (other, others) = (_run_loss(value, x0, seed=seed) for seed in (5, 6))
    same, differs = torch.equal(loss, as_tensor(again[0])), not torch.equal(loss, as_tensor(other))
    _, other_t = _only_call(others, x0)
    tell([("generator", not same or not differs), ("fixed_t", torch.equal(t, other_t))])
    tell([("no_gradient", not (isinstance(answer, Tensor) and answer.requires_grad))])
    return as_asked(value, [(answer, right)])


def _judge_steps(t: Tensor) -> None:
    """Look at the steps that were drawn: all of them, evenly."""
    low, high = int(t.min()), int(t.max())
    outside = (low, high) != (0, _NUM_STEPS - 1)
    signs = [("one_t", low == high), ("globals", high > _NUM_STEPS)]
    signs += [("one_based", outside and high == _NUM_STEPS), ("range", outside)]
    tell(signs, low=low, high=high, last=_NUM_STEPS - 1)
    expected = len(t) / _NUM_STEPS
    tell([("uneven", ((t.bincount() - expected) ** 2 / expected).sum() > _UNEVEN)])


def _run_loss(value: Any, x0: Tensor, *, seed: int) -> tuple[Any, _Recorder]:
    recorder = _Recorder()
    try:
        answer = run(value, recorder, x0, _SHORT, torch.Generator().manual_seed(seed))
    except Hint as hint:
        if recorder.calls:
            _only_call(recorder, x0)  # tells what the exception comes from
        tell([("forgotten", recorder.calls and hint.key == "no_return")])
        tell([("globals", hint.key == "raised" and not recorder.calls and _wants_more(value, x0))])
        raise
    tell([("no_gradient", isinstance(answer, float | np.number))])
    shape = tuple(as_tensor(answer).shape)
    tell([("no_scalar", shape not in ((), (1,)))], shape=shape)
    read_tensor(answer, (), (1,))
    return answer, recorder


def _wants_more(value: Any, x0: Tensor) -> bool:
    """Say whether it fails because it draws more steps than the schedule has."""
    recorder = _Recorder()
    run(value, recorder, x0, NOTEBOOK, torch.Generator().manual_seed(0))
    _, t = _only_call(recorder, x0)
    return bool(t.max() > _NUM_STEPS)


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
        for key, other in (("globals", column(NOTEBOOK.alpha_bar, t)), ("alpha", alpha)):
            yield key, is_normal(solve(other.sqrt(), (1 - other).sqrt()))
        yield "no_root", is_normal(solve(bar, 1 - bar))
        for other in (column(bars, t - 1), column(bars, t + 1)):
            yield "off_by_one", is_normal(solve(other.sqrt(), (1 - other).sqrt()))
        yield "uniform", abs(eps.mean() - 0.5) < _NEAR and eps.std() < 0.5
        yield "noising", True

    bars = _SHORT.alpha_bar
    bar, alpha = column(bars, t), column(_SHORT.alpha, t)
    eps = solve(bar.sqrt(), (1 - bar).sqrt())
    tell([("no_noise", is_close(x_t, x0)), ("one_noise", is_close(eps, eps[:1].expand_as(eps)))])
    if not is_normal(eps):
        tell(signs())
    _judge_noise(eps)
    return eps


def _judge_noise(eps: Float[Tensor, "n c h w"]) -> None:
    """Look at noise of the right mean and variance: every number is drawn by itself, from N(0, 1).

    Of 2,048 images, two pixels agree by chance to 0.02, two images of 48 pixels to 0.14.
    """
    flat = eps.flatten(1)
    is_shared = flat.T.corrcoef().fill_diagonal_(0).abs() > 0.3
    is_repeated = flat.corrcoef().fill_diagonal_(0).abs() > 0.95
    tell([("one_channel", is_close(eps, eps[:, :1].expand_as(eps)))])
    tell([("shared", is_shared.any()), ("repeated", is_repeated.any())])
    tell([("not_normal", abs((eps**4).mean() - 3) > 0.3)])
