"""Checks of notebook 01: reference answers pass, every known wrong answer gets its own hint."""

import copy
import itertools
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from test_checks import assert_hint
from torch.nn import functional as F

from course_utils import checks, diffusion, samplers
from course_utils.checks.judging import is_close, random_state_kept
from course_utils.checks.notebook_01 import _noise_mistakes
from course_utils.checks.notebook_01_steps import _Net
from course_utils.checks.notebook_01_tables import SCHEDULE, make_images
from course_utils.diffusion import NoiseSchedule

ALL = [getattr(checks, f"check_01_ex{i}") for i in range(1, 10)]
NOTEBOOK = NoiseSchedule.linear()
GLOBALS = {  # as they lie around in the notebook, in double precision
    "beta": NOTEBOOK.exact_beta,
    "alpha": NOTEBOOK.exact_alpha,
    "alpha_bar": NOTEBOOK.exact_alpha_bar,
}


def forgetful(schedule, *names):
    """Take some tables, or all, from the notebook instead of the schedule."""
    own = {name: getattr(schedule, name) for name in GLOBALS}
    taken = GLOBALS if not names else {name: GLOBALS[name] for name in names}
    return SimpleNamespace(**own | taken, num_train_steps=schedule.num_train_steps)


def first_only(value):
    """Answer a value whatever is asked; exercise 4 wants a variance beside it."""
    return {check: lambda *arguments: value for check in ALL} | {
        checks.check_01_ex4: lambda *arguments: (value, torch.ones(4, 1, 1, 1))
    }


@pytest.mark.parametrize("check", [ALL[i] for i in (0, 1, 3, 5, 6)])
def test_what_is_no_tensor_of_the_right_shape_is_said(check):
    shape = (20,) if check is checks.check_01_ex2 else (4, 3, 4, 4)
    assert_hint(check(first_only(torch.full(shape, torch.nan))[check]), "not_finite_tensor")
    assert_hint(check(first_only(torch.ones(7, 7))[check]), "shape")
    assert_hint(check(first_only({"x": 1})[check]), "no_tensor")


# --- 1: the closed form --------------------------------------------------------------------------


def col(values):
    return values[:, None, None, None]


def noised(table, signal, noise):
    """Noise with a table of the schedule, and functions of it for both weights."""

    def noise_images(x0, t, eps, schedule):
        values = col(getattr(schedule, table)[t])
        return signal(values) * x0 + noise(values) * eps

    return noise_images


def root(x):
    return x**0.5


def rest(x):
    return (1 - x) ** 0.5


right_1 = noised("alpha_bar", root, rest)


def by_hand(x0, t, eps, schedule):
    """Walk the chain: the mean shrinks and the variance grows, step by step."""
    out = []
    for x, last, e in zip(x0, t.tolist(), eps, strict=True):
        mean, variance = x, 0.0
        for beta in schedule.beta[: last + 1].tolist():
            mean, variance = (1 - beta) ** 0.5 * mean, (1 - beta) * variance + beta
        out.append(mean + variance**0.5 * e)
    return torch.stack(out)


def test_right_noising_passes_however_it_is_written():
    assert checks.check_01_ex1(right_1).passed
    assert checks.check_01_ex1(by_hand).passed
    assert checks.check_01_ex1(diffusion.q_sample).passed
    assert checks.check_01_ex1(lambda *a: right_1(*a).numpy()).passed
    assert checks.check_01_ex1(lambda *a: right_1(*a).double().tolist()).passed
    assert checks.check_01_ex1(lambda *a: [*right_1(*a)]).passed
    assert checks.check_01_ex1(lambda *a: [*right_1(*a).numpy()]).passed
    assert checks.check_01_ex1(turned_twice).passed


@pytest.mark.parametrize("given", ["array", "list", "double", "tensors", "tensor"])
def test_whatever_a_right_function_gives_the_notebook_goes_on_with_tensors(given, capsys):
    turn = {
        "array": lambda x: x.double().numpy(),
        "list": lambda x: x.tolist(),
        "double": lambda x: x.double(),
        "tensors": lambda x: [*x],
        "tensor": lambda x: x,
    }[given]
    used = checks.check_01_ex1(lambda *a: turn(right_1(*a))).use
    x0, eps = make_images(seed=0, num=2)
    t = torch.tensor([0, 1, 2, 500])
    torch.testing.assert_close(used(x0, t, eps, NOTEBOOK), right_1(x0, t, eps, NOTEBOOK))
    doubled = used(x0.double(), t, eps.double(), NOTEBOOK)
    assert doubled.dtype == torch.float64


def turned_twice(*arguments):
    """Give a view with negative strides that may not be written to."""
    x = np.flip(np.flip(right_1(*arguments).numpy(), (2, 3)).copy(), (2, 3))
    x.flags.writeable = False
    return x


def shift(function, by):
    """Take the step t + by for t, where an index may be; Python wraps -1 around."""
    return lambda x, t, *rest: function(x, (t + by).clamp(max=19), *rest)


def in_place(x0, t, eps, schedule):
    x0 *= col(schedule.alpha_bar[t]) ** 0.5
    return x0 + rest(col(schedule.alpha_bar[t])) * eps


def resize(x0, t, eps, schedule):
    x0.resize_(2)
    return eps


WRONG_1 = [
    (lambda x0, t, eps, s: right_1(x0, t, eps, forgetful(s)), "globals"),
    (lambda x0, t, eps, s: right_1(x0, t, eps, NOTEBOOK), "globals"),
    (lambda *a: (x for x in right_1(*a)), "no_tensor"),
    (noised("alpha", root, rest), "01_ex1.alpha"),
    (lambda x0, t, eps, s: diffusion.q_step(x0, t, eps, s), "01_ex1.alpha"),
    (noised("beta", root, rest), "01_ex1.beta"),
    (noised("alpha_bar", lambda x: x, lambda x: 1 - x), "01_ex1.no_root"),
    (noised("alpha", lambda x: x, lambda x: 1 - x), "01_ex1.no_root"),
    (noised("alpha_bar", lambda x: x, rest), "01_ex1.no_root_signal"),
    (noised("alpha_bar", root, lambda x: 1 - x), "01_ex1.no_root_noise"),
    (noised("alpha_bar", root, lambda x: 1 - x**0.5), "01_ex1.one_minus_root"),
    (shift(right_1, -1), "01_ex1.off_by_one"),
    (shift(right_1, 1), "01_ex1.off_by_one"),
    (lambda x0, t, eps, s: right_1(x0, t[:1], eps, s), "01_ex1.one_t"),
    (lambda x0, t, eps, s: root(s.alpha_bar[t]) * x0 + rest(s.alpha_bar[t]) * eps, "01_ex1.axis"),
    (noised("alpha_bar", rest, root), "01_ex1.swapped"),
    (noised("alpha_bar", root, lambda x: -rest(x)), "01_ex1.sign"),
    (noised("alpha_bar", root, lambda x: 0), "01_ex1.no_noise"),
    (noised("alpha_bar", lambda x: 1, rest), "01_ex1.not_shrunk"),
    (lambda *a: right_1(*a).clamp(-1, 1), "01_ex1.clipped"),
    (noised("alpha_bar", root, lambda x: 2), "01_ex1.value"),
    (lambda x0, t, eps, s: right_1(x0, t, torch.randn_like(eps), s), "random"),
    (lambda x0, t, eps, s: np.random.standard_normal(x0.shape), "random"),  # noqa: NPY002
    (in_place, "in_place"),
    (resize, "in_place"),
    (lambda *a: right_1(*a).mean(), "shape"),
]


@pytest.mark.parametrize(("function", "key"), WRONG_1)
def test_wrong_noising_is_recognised(function, key):
    assert_hint(checks.check_01_ex1(function), key)


def test_t_of_paper_is_an_error_of_the_index_only_where_it_has_to_be():
    result = checks.check_01_ex1(lambda x0, t, eps, s: right_1(x0, t + 1, eps, s))
    assert_hint(result, "01_ex1.off_by_one")


def test_the_wrong_answers_differ_from_the_right_one_and_from_each_other():
    x0, eps = make_images(seed=0, num=2)
    t = torch.tensor([4, 9, 13, 17])
    right = diffusion.q_sample(x0, t, eps, SCHEDULE)
    told = _noise_mistakes(x0, t, eps, SCHEDULE)
    told = [each for each in told if each[0] != "globals"]
    answers = [("right", right), *((key, wrong) for key, *some in told for wrong in some)]
    assert len(answers) == 17
    for (one, a), (other, b) in itertools.combinations(answers, 2):
        assert not is_close(a, b), (one, other)


# --- 2: ᾱ ----------------------------------------------------------------------------------------


def loop(beta):
    kept, out = 1.0, []
    for b in beta.tolist():
        kept *= 1 - b
        out.append(kept)
    return out


def test_the_right_table_passes():
    assert checks.check_01_ex2(loop).passed
    assert checks.check_01_ex2(lambda b: [torch.tensor(x) for x in loop(b)]).passed
    assert checks.check_01_ex2(lambda b: np.array(loop(b)[::-1])[::-1]).passed
    assert checks.check_01_ex2(lambda beta: torch.cumprod(1 - beta, dim=0)).passed
    assert checks.check_01_ex2(lambda beta: np.cumprod(1 - beta.numpy())).passed
    assert checks.check_01_ex2(lambda beta: (1 - beta).log().cumsum(0).exp()).passed
    assert checks.check_01_ex2(lambda beta: NoiseSchedule(beta).alpha_bar).passed


WRONG_2 = [
    (lambda b: GLOBALS["alpha_bar"], "01_ex2.globals"),
    (lambda b: (1 - GLOBALS["beta"][: len(b)]).cumprod(0), "01_ex2.globals"),
    (lambda b: [x for x in loop(b) if b[0] < 0.1] or None, "forgotten"),
    (lambda b: 1 - b, "01_ex2.alpha"),
    (lambda b: b.cumprod(0), "01_ex2.beta"),
    (lambda b: 1 - b.cumprod(0), "01_ex2.beta"),
    (lambda b: 1 - b.cumsum(0), "01_ex2.sum"),
    (lambda b: (1 - b).cumsum(0), "01_ex2.sum"),
    (lambda b: torch.exp(-b.cumsum(0)), "01_ex2.exponential"),
    (lambda b: (1 - b).sqrt().cumprod(0), "01_ex2.rooted"),
    (lambda b: [1.0, *loop(b)[:-1]], "01_ex2.shifted"),
    (lambda b: torch.full_like(b, (1 - b).prod()), "01_ex2.total"),
    (lambda b: (1 - b).flip(0).cumprod(0), "01_ex2.backward"),
    (lambda b: (1 - b).flip(0).cumprod(0).flip(0), "01_ex2.backward"),
    (lambda b: 1 - (1 - b).cumprod(0), "01_ex2.complement"),
    (lambda b: (1 - b).log().cumsum(0), "01_ex2.logarithm"),
    (lambda b: b, "01_ex2.value"),
    (lambda b: [1.0, *loop(b)], "01_ex2.longer"),
    (lambda b: loop(b)[1:], "shape"),
    (lambda b: (1 - b).prod(), "shape"),
    (lambda b: b.neg_().add_(1).cumprod(0), "in_place"),
]


@pytest.mark.parametrize(("function", "key"), WRONG_2)
def test_wrong_tables_are_recognised(function, key):
    assert_hint(checks.check_01_ex2(function), key)


# --- 3: the signal-to-noise ratio -----------------------------------------------------------------


def first_noisy_step(schedule):
    for t, bar in enumerate(schedule.alpha_bar.tolist()):
        if bar / (1 - bar) < 1:
            return t
    return schedule.num_train_steps


def test_the_right_step_passes():
    assert checks.check_01_ex3(first_noisy_step).passed
    assert checks.check_01_ex3(lambda s: (s.snr >= 1).sum()).passed
    assert checks.check_01_ex3(lambda s: np.int64(first_noisy_step(s))).passed
    assert checks.check_01_ex3(lambda s: int((s.exact_alpha_bar > 0.5).sum())).passed


def no_end(schedule):
    for t, snr in enumerate(schedule.snr):
        if snr < 1:
            return t


def test_a_step_that_is_a_tensor_is_an_int_for_the_cells_that_follow(capsys):
    used = checks.check_01_ex3(lambda s: (s.snr >= 1).sum()).use
    assert (used(NOTEBOOK), type(used(NOTEBOOK))) == (259, int)


def test_the_steps_are_those_of_the_closed_forms():
    cosine = NoiseSchedule.cosine()
    t = first_noisy_step(cosine)  # ᾱ = 1/2 where its cosine is that of 45 degrees, nearly T / 2
    assert abs(t - 1000 * (0.5 * (1 + 0.008) - 0.008)) < 2
    assert first_noisy_step(NoiseSchedule.linear(10)) == 10


WRONG_3 = [
    (no_end, "01_ex3.never"),
    (lambda s: next(t for t in range(s.num_train_steps) if s.snr[t] < 1), "01_ex3.never"),
    (lambda s: int((s.snr < 1).nonzero()[0]), "01_ex3.never"),
    (lambda s: (s.snr < 1).nonzero().flatten()[:1], "01_ex3.never"),
    (lambda s: first_noisy_step(forgetful(s)), "01_ex3.globals"),
    (lambda s: int((GLOBALS["alpha_bar"] > 0.5).sum()), "01_ex3.globals"),
    (lambda s: s.nothing, "raised"),
    (lambda s: int((s.snr < 1).int().argmax()), "01_ex3.never"),
    (lambda s: min(first_noisy_step(s), s.num_train_steps - 1), "01_ex3.never"),
    (lambda s: first_noisy_step(s) + 1, "01_ex3.one_based"),
    (lambda s: first_noisy_step(s) - 1, "01_ex3.too_early"),
    (lambda s: int((s.snr > 1).int().argmax()), "01_ex3.sign"),
    (lambda s: int((s.alpha >= 0.5).sum()), "01_ex3.alpha"),
    (lambda s: s.num_train_steps - 1, "01_ex3.last"),
    (lambda s: int((s.snr < 1).sum()), "01_ex3.count"),
    (lambda s: int((s.alpha_bar.sqrt() >= 0.5).sum()), "01_ex3.root"),
    (lambda s: int((s.alpha_bar.sqrt() >= 1 - s.alpha_bar).sum()), "01_ex3.root"),
    (lambda s: first_noisy_step(s) / s.num_train_steps, "01_ex3.share"),
    (lambda s: 300, "01_ex3.value"),
    (lambda s: s.snr < 1, "no_number"),
    (lambda s: "258", "no_number"),
]


@pytest.mark.parametrize(("function", "key"), WRONG_3)
def test_wrong_steps_are_recognised(function, key):
    assert_hint(checks.check_01_ex3(function), key)


# --- 4: the posterior -----------------------------------------------------------------------------


def previous(schedule, t):
    return torch.where(t > 0, schedule.alpha_bar[t - 1], 1.0)


def posterior(x0, x_t, t, schedule):
    beta, alpha = col(schedule.beta[t]), col(schedule.alpha[t])
    bar, prev = col(schedule.alpha_bar[t]), col(previous(schedule, t))
    mean = (prev.sqrt() * beta * x0 + alpha.sqrt() * (1 - prev) * x_t) / (1 - bar)
    return mean, beta * (1 - prev) / (1 - bar)


def by_precision(x0, x_t, t, schedule):
    """Multiply the two Gaussians q(x_t | x_(t-1)) and q(x_(t-1) | x_0) by Bayes' rule."""
    t_double = t.double()
    beta, alpha = (col(x[t].double()) for x in (schedule.beta, schedule.alpha))
    prev = col(previous(schedule, t).double())
    tiny = 1e-15 * torch.ones_like(t_double)[:, None, None, None]
    prior = 1 / torch.maximum(1 - prev, tiny)
    precision = alpha / beta + prior
    return (alpha.sqrt() / beta * x_t + prev.sqrt() * prior * x0) / precision, 1 / precision


def test_the_right_posterior_passes():
    assert checks.check_01_ex4(posterior).passed
    assert checks.check_01_ex4(weighted()).passed
    assert checks.check_01_ex4(by_precision).passed
    assert checks.check_01_ex4(diffusion.posterior).passed
    assert checks.check_01_ex4(
        lambda *a: [x.numpy()[::-1].copy()[::-1] for x in posterior(*a)]
    ).passed


def test_a_posterior_of_arrays_is_tensors_for_the_cells_that_follow(capsys):
    used = checks.check_01_ex4(lambda *a: [x.double().numpy() for x in posterior(*a)]).use
    x0, x_t = (x[:1] for x in make_images(seed=0, num=2))
    given = x0, x_t, torch.tensor([60]), NOTEBOOK
    for part, right in zip(used(*given), posterior(*given), strict=True):
        torch.testing.assert_close(part, right)


def test_the_other_right_posterior_passes():
    assert checks.check_01_ex4(lambda *a: [x.expand(a[0].shape) for x in posterior(*a)]).passed


def weighted(
    *,
    from_x0=lambda a, b, bar, prev: prev**0.5 * b / (1 - bar),
    from_x_t=lambda a, b, bar, prev: a**0.5 * (1 - prev) / (1 - bar),
    variance=lambda a, b, bar, prev: (1 - prev) / (1 - bar) * b,
    prev_at=previous,
    by=0,
):
    """Build a posterior, right or wrong in one of its parts: functions of α, β, ᾱ and ᾱ_prev."""

    def guess(x0, x_t, t, schedule):
        t = (t + by).clamp(max=19)
        tables = (schedule.alpha[t], schedule.beta[t], schedule.alpha_bar[t], prev_at(schedule, t))
        tables = [col(table) for table in tables]
        return from_x0(*tables) * x0 + from_x_t(*tables) * x_t, variance(*tables)

    return guess


def wrapped(schedule, t):
    return schedule.alpha_bar[t - 1]


def mean_only(x0, x_t, t, schedule):
    return posterior(x0, x_t, t, schedule)[0]


def flat_variance(x0, x_t, t, schedule):
    mean, variance = posterior(x0, x_t, t, schedule)
    return mean, variance.flatten()


def with_wrapped_variance(x0, x_t, t, schedule):
    wrong = weighted(prev_at=wrapped)
    return posterior(x0, x_t, t, schedule)[0], wrong(x0, x_t, t, schedule)[1]


def with_plain_alpha(x0, x_t, t, schedule):
    """Take α for ᾱ, at t and before it."""
    a, b, prev = (col(v) for v in (schedule.alpha[t], schedule.beta[t], schedule.alpha[t - 1]))
    mean = (prev**0.5 * b * x0 + a**0.5 * (1 - prev) * x_t) / (1 - a)
    return mean, b


def divided_by_zero(x0, x_t, t, schedule):
    """Take the first form of the formula as it stands, which divides by 1 - ᾱ_(t-1)."""
    beta, alpha = col(schedule.beta[t]), col(schedule.alpha[t])
    prev = col(previous(schedule, t))
    variance = 1 / (alpha / beta + 1 / (1 - prev))
    return variance * (alpha.sqrt() / beta * x_t + prev.sqrt() / (1 - prev) * x0), variance


WRONG_4 = [
    (lambda x0, x_t, t, s: posterior(x0, x_t, t, forgetful(s)), "globals"),
    (lambda x0, x_t, t, s: posterior(x0, x_t, t, forgetful(s, "alpha_bar")), "globals"),
    (lambda x0, x_t, t, s: posterior(x0, x_t, t, forgetful(s, "beta", "alpha")), "globals"),
    (lambda x0, x_t, t, s: (posterior(x0, x_t, t, s)[0], posterior(x0, x_t, t, NOTEBOOK)[1]),
     "globals"),
    (lambda x0, x_t, t, s: weighted(prev_at=lambda _, t: previous(NOTEBOOK, t))(x0, x_t, t, s),
     "globals"),
    (divided_by_zero, "01_ex4.first_nan"),
    (mean_only, "01_ex4.pair"),
    (lambda *a: torch.stack([a[0], a[1]]), "01_ex4.pair"),
    (lambda *a: posterior(*a)[::-1], "01_ex4.order"),
    (flat_variance, "01_ex4.variance_shape"),
    (weighted(prev_at=wrapped), "01_ex4.first"),
    (with_wrapped_variance, "01_ex4.first"),
    (weighted(from_x0=lambda a, b, bar, prev: a**0.5 * (1 - prev) / (1 - bar),
              from_x_t=lambda a, b, bar, prev: prev**0.5 * b / (1 - bar)), "01_ex4.swapped"),
    (weighted(from_x0=lambda a, b, bar, prev: prev * b / (1 - bar),
              from_x_t=lambda a, b, bar, prev: a * (1 - prev) / (1 - bar)), "01_ex4.no_root"),
    (weighted(from_x0=lambda a, b, bar, prev: bar**0.5 * b / (1 - bar),
              from_x_t=lambda a, b, bar, prev: a**0.5), "01_ex4.no_prev"),
    (weighted(from_x_t=lambda a, b, bar, prev: bar**0.5 * (1 - prev) / (1 - bar)),
     "01_ex4.root_of_bar"),
    (with_plain_alpha, "01_ex4.alpha"),
    (weighted(prev_at=wrapped, by=-1), "01_ex4.off_by_one"),
    (weighted(prev_at=wrapped, by=1), "01_ex4.off_by_one"),
    (weighted(variance=lambda a, b, bar, prev: b), "01_ex4.large"),
    (weighted(variance=lambda a, b, bar, prev: ((1 - prev) / (1 - bar) * b) ** 0.5),
     "01_ex4.deviation"),
    (weighted(variance=lambda a, b, bar, prev: ((1 - prev) / (1 - bar) * b).log()),
     "01_ex4.logarithm"),
    (weighted(variance=lambda a, b, bar, prev: 1 - bar), "01_ex4.total"),
    (weighted(variance=lambda a, b, bar, prev: b * (1 - bar) / (1 - prev)), "01_ex4.inverted"),
    (weighted(from_x0=lambda *tables: 0, from_x_t=lambda *tables: 1), "01_ex4.mean_value"),
    (weighted(variance=lambda a, b, bar, prev: 2 * b), "01_ex4.variance_value"),
    (lambda x0, x_t, t, s: (posterior(x0, x_t, t, s)[0], torch.ones(2)), "shape"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "key"), WRONG_4)
def test_wrong_posteriors_are_recognised(function, key):
    assert_hint(checks.check_01_ex4(function), key)


# --- 5: L_simple ----------------------------------------------------------------------------------


def loss(
    *,
    draw_t=lambda x0, T, g: torch.randint(0, T, (len(x0),), generator=g),
    draw_eps=lambda x0, g: torch.randn(x0.shape, generator=g),
    noise=lambda x0, t, eps, schedule: diffusion.q_sample(x0, t, eps, schedule),
    tell=lambda t: t,
    compare=lambda eps, eps_pred, x0: F.mse_loss(eps_pred, eps),
    eps_first=False,
):
    """Build a loss, right or wrong in one of its parts."""

    def simple_loss(denoiser, x0, schedule, generator):
        early = draw_eps(x0, generator) if eps_first else None
        t = draw_t(x0, schedule.num_train_steps, generator)
        eps = early if eps_first else draw_eps(x0, generator)
        x_t = noise(x0, t, eps, schedule)
        return compare(eps, denoiser(x_t, tell(t)), x0)

    return simple_loss


def test_the_right_loss_passes_in_whatever_order_it_draws():
    assert checks.check_01_ex5(loss()).passed
    assert checks.check_01_ex5(loss(eps_first=True)).passed
    assert checks.check_01_ex5(loss(tell=lambda t: t.int())).passed
    package = checks.check_01_ex5(lambda d, x0, s, g: diffusion.eps_loss(d, x0, s, generator=g))
    assert package.passed


def test_a_loss_of_another_form_is_one_number_that_trains(capsys):
    used = checks.check_01_ex5(loss(compare=lambda e, p, x0: F.mse_loss(p, e).double()[None])).use
    factor = torch.ones((), requires_grad=True)
    found = used(lambda x, t: factor * x, torch.ones(8, 2, 1, 1), NOTEBOOK, torch.Generator())
    found.backward()
    assert (found.shape, found.dtype) == ((), torch.float32)
    assert factor.grad != 0


def of_shape(*keep):
    """Draw noise for some axes only, and repeat it along the others."""

    def draw(x0, g):
        shape = [n if i in keep else 1 for i, n in enumerate(x0.shape)]
        return torch.randn(shape, generator=g).expand_as(x0)

    return draw


def twice(x0, g):
    half = torch.randn(x0[: len(x0) // 2].shape, generator=g)
    return torch.cat([half, half])


def mirrored(x0, g):
    half = torch.randn(x0[..., :2].shape, generator=g)
    return torch.cat([half, half.flip(3)], dim=3)


def flat_noise(x0, g):
    return (torch.rand(x0.shape, generator=g) - 0.5) * 12**0.5


def by_root(x0, T, g):
    return (T * torch.rand(len(x0), generator=g) ** 0.5).long()


def rounded(x0, T, g):
    return ((T - 1) * torch.rand(len(x0), generator=g)).round().long()


def clamped(x0, T, g):
    return torch.randint(T + 1, (len(x0),), generator=g).clamp(max=T - 1)


def no_answer(denoiser, x0, schedule, generator):
    loss()(denoiser, x0, schedule, generator)


def own_length(denoiser, x0, schedule, generator):
    """Draw as many steps as the notebook's own schedule has."""
    t = torch.randint(1000, (len(x0),), generator=generator)
    eps = torch.randn(x0.shape, generator=generator)
    x_t = diffusion.q_sample(x0, t, eps, schedule)
    return F.mse_loss(denoiser(x_t, t), eps)


def one_each(denoiser, x0, schedule, generator):
    return sum(loss()(denoiser, x[None], schedule, generator) for x in x0) / len(x0)


def ramp(x0, T, g):
    return (T * torch.rand(len(x0), generator=g) ** 3).long()


def not_called(denoiser, x0, schedule, generator):
    return x0.mean()


WRONG_5 = [
    (loss(draw_eps=of_shape(0, 2, 3)), "01_ex5.one_channel"),
    (loss(draw_eps=of_shape(0, 1)), "01_ex5.shared"),
    (loss(draw_eps=of_shape(0, 1, 2)), "01_ex5.shared"),
    (loss(draw_eps=mirrored), "01_ex5.shared"),
    (loss(draw_eps=twice), "01_ex5.repeated"),
    (loss(draw_eps=flat_noise), "01_ex5.not_normal"),
    (loss(draw_eps=lambda x0, g: torch.randn(x0.shape, generator=g).sign()), "01_ex5.not_normal"),
    (loss(draw_t=by_root), "01_ex5.uneven"),
    (loss(draw_t=rounded), "01_ex5.uneven"),
    (loss(draw_t=clamped), "01_ex5.uneven"),
    (loss(draw_t=lambda x0, T, g: torch.arange(len(x0)) % T), "01_ex5.fixed_t"),
    (no_answer, "forgotten"),
    (own_length, "01_ex5.globals"),
    (lambda d, x0, s, g: loss()(d, x0, NOTEBOOK, g), "01_ex5.globals"),
    (loss(noise=lambda x0, t, eps, s: right_1(x0, t, eps, forgetful(s))), "01_ex5.globals"),
    (loss(draw_eps=lambda x0, g: torch.randn(x0.shape)), "random"),
    (loss(draw_t=lambda x0, T, g: torch.randint(0, T, (len(x0),))), "random"),
    (loss(draw_eps=lambda x0, g: torch.randn(x0.shape, generator=torch.Generator().manual_seed(0)),
          draw_t=lambda x0, T, g: torch.arange(len(x0)) % T), "01_ex5.generator"),
    (loss(compare=lambda e, p, x0: F.mse_loss(p, e).item()), "01_ex5.no_gradient"),
    (loss(compare=lambda e, p, x0: F.mse_loss(p, e).detach()), "01_ex5.no_gradient"),
    (torch.no_grad()(loss()), "01_ex5.no_gradient"),
    (loss(compare=lambda e, p, x0: (e - p) ** 2), "01_ex5.no_scalar"),
    (one_each, "01_ex5.calls"),
    (not_called, "01_ex5.calls"),
    (lambda d, x0, s, g: loss()(lambda x, t: d(t, x), x0, s, g), "01_ex5.x_t_shape"),
    (loss(tell=lambda t: t[:1]), "01_ex5.t_shape"),
    (loss(tell=lambda t: t[0].item()), "01_ex5.t_shape"),
    (loss(tell=lambda t: t / 8), "01_ex5.t_float"),
    (loss(draw_t=lambda x0, T, g: torch.randint(0, T, (1,), generator=g).expand(len(x0))),
     "01_ex5.one_t"),
    (loss(tell=lambda t: t + 1), "01_ex5.one_based"),
    (loss(draw_t=lambda x0, T, g: torch.randint(1, T, (len(x0),), generator=g)), "01_ex5.range"),
    (loss(draw_t=lambda x0, T, g: torch.randint(T - 1, (len(x0),), generator=g)), "01_ex5.range"),
    (loss(draw_t=ramp), "01_ex5.uneven"),
    (loss(noise=lambda x0, t, eps, s: x0), "01_ex5.no_noise"),
    (loss(draw_eps=lambda x0, g: torch.randn(x0[:1].shape, generator=g).expand_as(x0)),
     "01_ex5.one_noise"),
    (loss(draw_eps=lambda x0, g: torch.rand(x0.shape, generator=g)), "01_ex5.uniform"),
    (loss(noise=lambda x0, t, eps, s: x0 + eps), "01_ex5.noising"),
    (loss(noise=noised("alpha", root, rest)), "01_ex5.alpha"),
    (loss(noise=noised("alpha_bar", lambda x: x, lambda x: 1 - x)), "01_ex5.no_root"),
    (loss(noise=lambda x0, t, eps, s: right_1(x0, t - 1, eps, s)), "01_ex5.off_by_one"),
    (loss(noise=lambda x0, t, eps, s: right_1(x0, (t + 1).clamp(max=7), eps, s)),
     "01_ex5.off_by_one"),
    (loss(compare=lambda e, p, x0: F.mse_loss(p, e, reduction="sum")), "01_ex5.sum"),
    (loss(compare=lambda e, p, x0: ((e - p) ** 2).flatten(1).sum(1).mean()), "01_ex5.sum"),
    (loss(compare=lambda e, p, x0: ((e - p) ** 2).flatten(1).mean(1).sum()), "01_ex5.sum"),
    (loss(compare=lambda e, p, x0: F.l1_loss(p, e)), "01_ex5.absolute"),
    (loss(compare=lambda e, p, x0: F.mse_loss(p, e).sqrt()), "01_ex5.rooted"),
    (loss(compare=lambda e, p, x0: (e - p).flatten(1).norm(dim=1).mean()), "01_ex5.rooted"),
    (loss(compare=lambda e, p, x0: F.mse_loss(p, e) / 2), "01_ex5.half"),
    (loss(compare=lambda e, p, x0: F.mse_loss(p, x0)), "01_ex5.target"),
    (loss(compare=lambda e, p, x0: ((e + p) ** 2).mean()), "01_ex5.plus"),
    (loss(compare=lambda e, p, x0: (e - p).mean()), "01_ex5.not_squared"),
    (loss(compare=lambda e, p, x0: F.mse_loss(p, e) + 1), "01_ex5.value"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "key"), WRONG_5)
def test_wrong_losses_are_recognised(function, key):
    assert_hint(checks.check_01_ex5(function), key)


# --- 6: a step of DDPM ----------------------------------------------------------------------------


def ddpm(
    *,
    eps_weight=lambda a, b, bar: b / rest(bar),
    scale=lambda a, b, bar: 1 / a**0.5,
    sigma=lambda a, b, bar, prev: b**0.5,
    last=0.0,
    by=0,
):
    """Build a step, right or wrong in one of its parts."""

    def step(x_t, t, eps_pred, z, schedule):
        i = min(t + by, 19)
        a, b, bar = schedule.alpha[i], schedule.beta[i], schedule.alpha_bar[i]
        prev = schedule.alpha_bar[i - 1] if i > 0 else torch.tensor(1.0)
        mean = scale(a, b, bar) * (x_t - eps_weight(a, b, bar) * eps_pred)
        return mean + sigma(a, b, bar, prev) * (z if t > 0 else last * z)

    return step


def by_posterior(x_t, t, eps_pred, z, schedule):
    """Predict the image and take the mean of the way back to it."""
    steps = torch.full((len(x_t),), t)
    alpha_bar = schedule.exact_alpha_bar[t].item()
    x0_pred, _ = diffusion.unmix(x_t, eps_pred, alpha_bar**0.5, (1 - alpha_bar) ** 0.5)
    mean, _ = diffusion.posterior(x0_pred, x_t, steps, schedule)
    return mean + (schedule.beta[t].sqrt() * z if t > 0 else 0)


def test_the_right_step_of_ddpm_passes():
    assert checks.check_01_ex6(ddpm()).passed
    assert checks.check_01_ex6(by_posterior).passed


def test_the_step_is_that_of_the_sampler_with_large_variance():
    x_T, eps = make_images(seed=8, num=2)
    first, second, *_ = samplers.ddpm_sample(
        lambda x_t, t: eps,
        x_T,
        SCHEDULE,
        variance="large",
        generator=torch.Generator().manual_seed(9),
    )
    generator = torch.Generator().manual_seed(9)
    for t, before, after in ((19, x_T, first.x_t), (18, first.x_t, second.x_t)):
        z = torch.randn(x_T.shape, generator=generator)
        torch.testing.assert_close(ddpm()(before, t, eps, z, SCHEDULE), after)


def with_noise(condition):
    """Add noise at some steps only."""
    return lambda x, t, e, z, s: ddpm()(x, t, e, z * condition(t), s)


def test_a_step_of_arrays_is_tensors_for_the_loop(capsys):
    used = checks.check_01_ex6(lambda *a: ddpm()(*a).double().numpy()).use
    x_t, eps, z = make_images(seed=0, num=3)
    right = ddpm()(x_t, 500, eps, z, SimpleNamespace(**GLOBALS))
    torch.testing.assert_close(used(x_t, 500, eps, z, SimpleNamespace(**GLOBALS)), right)


WRONG_6 = [
    (lambda x, t, e, z, s: ddpm()(x, t, e, z, forgetful(s)), "globals"),
    (lambda x, t, e, z, s: ddpm()(x, t, e, z, forgetful(s, "alpha_bar")), "globals"),
    (lambda x, t, e, z, s: ddpm()(x, t, e, z, forgetful(s, "beta")), "globals"),
    (with_noise(lambda t: t > 1), "01_ex6.too_early"),
    (with_noise(lambda t: t > 2), "01_ex6.too_early"),
    (with_noise(lambda t: t < 19), "01_ex6.first_step"),
    (with_noise(lambda t: t not in (0, 7)), "01_ex6.no_noise"),
    (ddpm(last=1.0), "01_ex6.last_step"),
    (ddpm(sigma=lambda a, b, bar, prev: ((1 - prev) / (1 - bar) * b) ** 0.5), "01_ex6.small"),
    (ddpm(sigma=lambda a, b, bar, prev: b), "01_ex6.variance"),
    (ddpm(sigma=lambda a, b, bar, prev: b, last=1.0), "01_ex6.variance"),
    (ddpm(sigma=lambda a, b, bar, prev: 0), "01_ex6.no_noise"),
    (ddpm(sigma=lambda a, b, bar, prev: rest(bar)), "01_ex6.total"),
    (ddpm(sigma=lambda a, b, bar, prev: (b / a) ** 0.5), "01_ex6.inside"),
    (ddpm(eps_weight=lambda a, b, bar: b / rest(a)), "01_ex6.alpha"),
    (ddpm(scale=lambda a, b, bar: 1 / bar**0.5), "01_ex6.alpha_bar"),
    (ddpm(eps_weight=lambda a, b, bar: rest(bar), scale=lambda a, b, bar: 1 / bar**0.5),
     "01_ex6.to_image"),
    (ddpm(eps_weight=lambda a, b, bar: rest(bar), scale=lambda a, b, bar: 1 / bar**0.5,
          sigma=lambda a, b, bar, prev: 0), "01_ex6.to_image"),
    (ddpm(scale=lambda a, b, bar: 1 / a), "01_ex6.no_root_alpha"),
    (ddpm(eps_weight=lambda a, b, bar: b / (1 - bar)), "01_ex6.no_root_eps"),
    (ddpm(scale=lambda a, b, bar: 1), "01_ex6.not_scaled"),
    (ddpm(eps_weight=lambda a, b, bar: -b / rest(bar)), "01_ex6.sign"),
    (ddpm(scale=lambda a, b, bar: a**0.5), "01_ex6.shrunk"),
    (ddpm(by=-1), "01_ex6.off_by_one"),
    (ddpm(by=1), "01_ex6.off_by_one"),
    (ddpm(by=-1, last=1.0), "01_ex6.off_by_one"),
    (ddpm(eps_weight=lambda a, b, bar: b), "01_ex6.value"),
    (lambda x, t, e, z, s: ddpm()(x, t, e, torch.randn_like(z), s), "random"),
    (lambda x, t, e, z, s: x.sub_(e), "in_place"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "key"), WRONG_6)
def test_wrong_steps_of_ddpm_are_recognised(function, key):
    assert_hint(checks.check_01_ex6(function), key)


# --- 7: a step of DDIM ----------------------------------------------------------------------------


def sigma_of(bar, prev, eta):
    return eta * ((1 - prev) / (1 - bar) * (1 - bar / prev)) ** 0.5


def ddim(
    *,
    bars=lambda s, t, t_prev: (s.alpha_bar[t], s.alpha_bar[t_prev] if t_prev >= 0 else 1.0),
    to_x0=lambda x, e, bar: (x - rest(bar) * e) / bar**0.5,
    sigma=sigma_of,
    start=lambda x0, prev: prev**0.5 * x0,
    direction=lambda prev, sigma: max(1 - prev - sigma**2, 0) ** 0.5,
    back=lambda e, z: e,
    fresh=lambda sigma: sigma,
):
    """Build a step, right or wrong in one of its parts."""

    def step(x_t, t, t_prev, eps_pred, z, eta, schedule):
        bar, prev = (torch.as_tensor(value) for value in bars(schedule, t, t_prev))
        s = sigma(bar, prev, eta)
        x0_pred = to_x0(x_t, eps_pred, bar)
        noise = direction(prev, s) * back(eps_pred, z)
        return start(x0_pred, prev) + noise + fresh(s) * z

    return step


def test_the_right_step_of_ddim_passes():
    assert checks.check_01_ex7(ddim()).passed
    assert checks.check_01_ex7(lambda *a: ddim()(*a).tolist()).passed


def by_two_stages(x_t, t, t_prev, eps_pred, z, eta, schedule):
    """Write the step as images plus noise, in double precision."""
    table = torch.cat([schedule.alpha_bar, torch.ones(1)]).double()  # index -1 is the picture
    now, then = table[t], table[t_prev]
    share = eta**2 * (1 - now / then) / (1 - now)
    noise = (1 - share).clamp(min=0).sqrt() * eps_pred + share.sqrt() * z
    x0_pred = (x_t - (1 - now).sqrt() * eps_pred) / now.sqrt()
    return (then.sqrt() * x0_pred + (1 - then).sqrt() * noise).double()


def test_the_step_of_ddim_may_be_written_otherwise():
    assert checks.check_01_ex7(by_two_stages).passed


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_the_step_is_that_of_the_sampler(eta):
    x_T, eps = make_images(seed=8, num=2)
    steps = list(
        samplers.ddim_sample(
            lambda x_t, t: eps,
            x_T,
            SCHEDULE,
            num_sample_steps=4,
            eta=eta,
            generator=torch.Generator().manual_seed(9),
        )
    )
    generator, x = torch.Generator().manual_seed(9), x_T
    for step, t_prev in zip(steps, [*(s.t for s in steps[1:]), -1], strict=True):
        z = torch.randn(x.shape, generator=generator) if t_prev >= 0 else torch.zeros(x.shape)
        x = ddim()(x, step.t, t_prev, eps, z, eta, SCHEDULE)
        torch.testing.assert_close(x, step.x_t, rtol=1e-4, atol=1e-5)


def plain_index(s, t, t_prev):
    return s.alpha_bar[t], s.alpha_bar[t_prev]


WRONG_7 = [
    (lambda *a: ddim()(*a[:-1], forgetful(a[-1])), "globals"),
    (ddim(bars=lambda s, t, p: (s.alpha_bar[t], s.alpha_bar[p] if p > 0 else 1.0)), "01_ex7.zero"),
    (lambda x, t, p, e, z, eta, s: np.full(x.shape, np.nan) if p < 0
     else ddim()(x, t, p, e, z, eta, s).numpy(), "01_ex7.end"),
    (lambda x, t, p, e, z, eta, s: ddim()(x, t, p, e, z, eta, s) if p >= 0 else None, "forgotten"),
    (ddim(bars=plain_index), "01_ex7.end"),
    (ddim(bars=lambda s, t, p: (s.alpha_bar[t], s.alpha_bar[max(p, 0)])), "01_ex7.end"),
    (ddim(bars=lambda s, t, p: (s.alpha_bar[t], s.alpha_bar[t - 1])), "01_ex7.neighbor"),
    (ddim(bars=lambda s, t, p: (s.alpha_bar[t], s.alpha_bar[t])), "01_ex7.stays"),
    (ddim(bars=lambda s, t, p: (s.alpha_bar[t - 1], s.alpha_bar[p - 1])), "01_ex7.off_by_one"),
    (ddim(bars=lambda s, t, p: (s.alpha_bar[min(t + 1, 19)], s.alpha_bar[p + 1])),
     "01_ex7.off_by_one"),
    (ddim(bars=lambda s, t, p: (s.alpha[t], s.alpha[p])), "01_ex7.alpha"),
    (ddim(direction=lambda prev, s: (1 - prev) ** 0.5), "01_ex7.not_reduced"),
    (ddim(direction=lambda prev, s: max(1 - prev - s, 0) ** 0.5), "01_ex7.not_squared"),
    (ddim(sigma=lambda bar, prev, eta: 0.0), "01_ex7.ignored"),
    (ddim(sigma=lambda bar, prev, eta: sigma_of(bar, prev, 1.0)), "01_ex7.always"),
    (ddim(sigma=lambda bar, prev, eta: sigma_of(bar, prev, eta**2)), "01_ex7.eta_squared"),
    (ddim(sigma=lambda bar, prev, eta: sigma_of(bar, prev, eta**0.5)), "01_ex7.eta_squared"),
    (ddim(fresh=lambda s: s**2), "01_ex7.variance"),
    (ddim(sigma=lambda bar, prev, eta: eta * ((1 - prev) / (1 - bar)) ** 0.5),
     "01_ex7.half_sigma"),
    (ddim(sigma=lambda bar, prev, eta: eta * rest(bar / prev)), "01_ex7.half_sigma"),
    (ddim(direction=lambda prev, s: (1 - prev) ** 0.5, back=lambda e, z: z, fresh=lambda s: 0),
     "01_ex7.fresh"),
    (ddim(direction=lambda prev, s: 0), "01_ex7.no_direction"),
    (ddim(fresh=lambda s: 0), "01_ex7.no_noise"),
    (ddim(start=lambda x0, prev: prev * x0, direction=lambda prev, s: 1 - prev - s**2),
     "01_ex7.no_root"),
    (ddim(direction=lambda prev, s: 1 - prev - s**2), "01_ex7.no_root_direction"),
    (ddim(to_x0=lambda x, e, bar: (x - rest(bar) * e) / bar), "01_ex7.no_root_x0"),
    (ddim(to_x0=lambda x, e, bar: (x - (1 - bar) * e) / bar), "01_ex7.no_root_x0"),
    (ddim(to_x0=lambda x, e, bar: (x - (1 - bar) * e) / bar**0.5), "01_ex7.no_root_x0"),
    (ddim(to_x0=lambda x, e, bar: ((x - rest(bar) * e) / bar**0.5).clamp(-1, 1)),
     "01_ex7.clipped"),
    (ddim(start=lambda x0, prev: x0, direction=lambda prev, s: 0, fresh=lambda s: 0),
     "01_ex7.image"),
    (ddim(start=lambda x0, prev: 2 * x0), "01_ex7.value"),
    (lambda x, t, p, e, z, eta, s: ddim()(x, t, p, e, torch.randn_like(z), eta, s), "random"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "key"), WRONG_7)
def test_wrong_steps_of_ddim_are_recognised(function, key):
    assert_hint(checks.check_01_ex7(function), key)


# --- 8: a guided prediction -----------------------------------------------------------------------


def predict(
    *,
    mix=lambda u, c, s: u + s * (c - u),
    before=lambda net: net.eval(),
    after=lambda net, was: net.train(was),
    grad=False,
):
    """Build a prediction, right or wrong in one of its parts."""

    def guess(net, x_t, t, labels, guidance_scale):
        was = net.training
        before(net)
        with torch.set_grad_enabled(grad):
            uncond, cond = net(x_t, t, None), net(x_t, t, labels)
        after(net, was)
        return mix(uncond, cond, guidance_scale)

    return guess


def in_one_call(net, x_t, t, labels, guidance_scale):
    """Send both halves through the network together, as the package does."""
    was = net.training
    net.eval()
    with torch.no_grad():
        denoiser = samplers.guided(net, labels, guidance_scale=guidance_scale)
        eps_pred = denoiser(x_t, t)
    net.train(was)
    return eps_pred


def on_a_copy(net, x_t, t, labels, guidance_scale):
    return predict()(copy.deepcopy(net), x_t, t, labels, guidance_scale)


def freeze(net):
    net.eval().requires_grad_(False)


WRONG_8 = [
    (predict(mix=lambda u, c, s: u + s * (c - u) if s > 1 else c), "01_ex8.below_one"),
    (predict(mix=lambda u, c, s: u + s * (c - u) if s >= 1 else u), "01_ex8.below_one"),
    (predict(before=lambda net: None), "01_ex8.train"),
    (predict(before=lambda net: net.train()), "01_ex8.train"),
    (predict(before=lambda net: setattr(net, "training", False)), "01_ex8.train"),
    (predict(after=lambda net, was: None), "01_ex8.not_restored"),
    (predict(after=lambda net, was: setattr(net, "training", was)), "01_ex8.not_restored"),
    (predict(after=lambda net, was: net.train()), "01_ex8.always_train"),
    (predict(before=freeze), "01_ex8.frozen"),
    (predict(grad=True), "01_ex8.gradient"),
    (lambda net, x_t, t, labels, s: x_t, "01_ex8.not_called"),
    (predict(mix=lambda u, c, s: c + s * (c - u)), "01_ex8.zero_is_none"),
    (predict(mix=lambda u, c, s: c + s * (u - c)), "01_ex8.swapped"),
    (predict(mix=lambda u, c, s: u + s * (u - c)), "01_ex8.sign"),
    (predict(mix=lambda u, c, s: s * (c - u)), "01_ex8.no_start"),
    (predict(mix=lambda u, c, s: c), "01_ex8.ignored"),
    (predict(mix=lambda u, c, s: u), "01_ex8.unguided"),
    (predict(mix=lambda u, c, s: u + c), "01_ex8.value"),
    (predict(mix=lambda u, c, s: (u + s * (c - u)).sum()), "shape"),
]


def test_the_right_prediction_passes_however_the_network_is_called():
    assert checks.check_01_ex8(predict()).passed
    assert checks.check_01_ex8(in_one_call).passed
    assert checks.check_01_ex8(on_a_copy).passed


@pytest.mark.parametrize(("function", "key"), WRONG_8)
def test_wrong_predictions_are_recognised(function, key):
    assert_hint(checks.check_01_ex8(function), key)


def test_the_dropout_of_the_check_can_be_seen():
    net, x_t = _Net(), torch.ones(2, 1, 4, 4)
    t, labels = torch.tensor([0, 1]), torch.tensor([0, 1])
    with torch.no_grad():
        noisy, clean = net(x_t, t, labels), net.eval()(x_t, t, labels)
        unlabelled = net(x_t, t)
    assert not is_close(noisy, clean)
    assert not is_close(clean, unlabelled)


# --- 9: what it costs -----------------------------------------------------------------------------


def cheapest(
    *,
    cost=lambda row: row["steps"] * (1 + (row["guidance_scale"] != 1)),
    allowed=lambda row, least: row["spread"] >= least,
    best_of=lambda rows, some: some,
    reaches=lambda row, best: row["high"] >= best["low"],
):
    """Build a choice, right or wrong in one of its parts."""

    def choose(rows, least_spread):
        some = [row for row in rows if allowed(row, least_spread)]
        best = max(best_of(rows, some), key=lambda row: row["recognized"])
        return min((row for row in some if reaches(row, best)), key=cost)

    return choose


def in_pandas(rows, least_spread):
    """Sort a table, which keeps the order of equals."""
    table = pd.DataFrame(rows)
    table["calls"] = table.steps.where(table.guidance_scale == 1, 2 * table.steps)
    table = table[table.spread >= least_spread]
    best = table.loc[table.recognized.idxmax()]
    return table[table.high >= best.low].sort_values("calls", kind="stable").iloc[0]


def in_a_loop(rows, least_spread):
    """Write the calls into the rows, and leave what is not good enough."""
    for row in rows:
        row["calls"] = row["steps"] if row["guidance_scale"] == 1.0 else 2 * row["steps"]
    rows[:] = [row for row in rows if not row["spread"] < least_spread]
    best = sorted(rows, key=lambda row: -row["recognized"])[0]
    found = None
    for row in rows:
        if row["high"] >= best["low"] and (found is None or row["calls"] < found["calls"]):
            found = row
    return dict(found)


def test_the_right_choice_passes_however_it_is_found():
    for _ in range(2):  # nothing of what a learner changes is left
        assert checks.check_01_ex9(cheapest()).passed
        assert checks.check_01_ex9(in_pandas).passed
        assert checks.check_01_ex9(in_a_loop).passed


def recognized(rows, key, choose=max):
    return choose(rows, key=lambda row: row[key])


WRONG_9 = [
    (cheapest(cost=lambda row: row["steps"]), "01_ex9.steps_only"),
    (cheapest(cost=lambda row: 2 * row["steps"]), "01_ex9.steps_only"),
    (cheapest(cost=lambda row: row["steps"] * (1 + (row["guidance_scale"] > 1))),
     "01_ex9.above_one"),
    (cheapest(reaches=lambda row, best: row is best), "01_ex9.best"),
    (cheapest(reaches=lambda row, best: True), "01_ex9.any"),
    (lambda rows, least: recognized(rows, "steps", min), "01_ex9.any"),
    (cheapest(allowed=lambda row, least: True), "01_ex9.spread"),
    (cheapest(allowed=lambda row, least: row["spread"] > least), "01_ex9.strict_spread"),
    (cheapest(reaches=lambda row, best: row["high"] > best["low"] or row is best),
     "01_ex9.strict"),
    (lambda rows, least: cheapest()(rows[::-1], least), "01_ex9.last"),
    (cheapest(best_of=lambda rows, some: rows), "01_ex9.best_of_all"),
    (cheapest(reaches=lambda row, best: row["recognized"] >= best["low"]), "01_ex9.point"),
    (cheapest(reaches=lambda row, best: row["low"] >= best["low"]), "01_ex9.low"),
    (cheapest(reaches=lambda row, best: row["high"] >= best["recognized"]),
     "01_ex9.mean_of_best"),
    (cheapest(cost=lambda row: -row["recognized"]), "01_ex9.best"),
    (lambda rows, least: rows[4], "01_ex9.value"),
    (lambda rows, least: 30, "01_ex9.row"),
    (lambda rows, least: rows.index(cheapest()(rows, least)), "01_ex9.row"),
    (lambda rows, least: {"steps": 30}, "01_ex9.row"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "key"), WRONG_9)
def test_wrong_choices_are_recognised(function, key):
    assert_hint(checks.check_01_ex9(function), key)


# --- the random state -----------------------------------------------------------------------------


def test_the_global_random_state_is_put_back_and_its_use_is_noticed():
    with random_state_kept() as is_touched:
        assert not is_touched()
        torch.randn(3, generator=torch.Generator().manual_seed(0))
        assert not is_touched()
        torch.randn(3)
        assert is_touched()
    with random_state_kept() as is_touched:
        np.random.standard_normal(3)  # noqa: NPY002
        assert is_touched()


def test_a_check_answers_the_same_every_time():
    for check, wrong in zip(ALL, (WRONG_1, WRONG_2, WRONG_3, WRONG_4, WRONG_5, WRONG_6, WRONG_7,
                                  WRONG_8, WRONG_9), strict=True):  # fmt: skip
        assert check(wrong[0][0]) == check(wrong[0][0])
