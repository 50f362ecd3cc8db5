import inspect
import math

import jaxtyping
import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_snr
from scipy import stats
from torch import nn

from course_utils.diffusion import (
    NoiseSchedule,
    eps_loss,
    mix,
    posterior,
    q_sample,
    q_step,
    step_variance,
    unmix,
    v_from_x0_eps,
    vlb_terms,
)
from course_utils.diffusion.bound import gaussian_kl
from course_utils.diffusion.schedule import gather

T = 1000
SCHEDULES = {
    "linear": (NoiseSchedule.linear, {"beta_schedule": "linear"}),
    "scaled_linear": (
        NoiseSchedule.scaled_linear,
        {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
    ),
    "cosine": (NoiseSchedule.cosine, {"beta_schedule": "squaredcos_cap_v2"}),
}
every_schedule = pytest.mark.parametrize("name", SCHEDULES)
STEPS = torch.tensor([0, 1, 2, 10, 500, 998, 999])


def scales(t, schedule, like):
    """Look up √ᾱ and √(1-ᾱ) of each image, as a caller of the conversions does."""
    alpha_bar = schedule.exact_alpha_bar
    return gather(alpha_bar.sqrt(), t, like), gather((1 - alpha_bar).sqrt(), t, like)


CHECKED = {  # these look at what they are given
    "q_step": lambda a, b, t, s: q_step(a, t, b, s),
    "q_sample": lambda a, b, t, s: q_sample(a, t, b, s),
    "posterior": lambda a, b, t, s: posterior(a, b, t, s)[0],
}
FORMULAS = CHECKED | {
    "x0 from eps": lambda a, b, t, s: unmix(a, b, *scales(t, s, a))[0],
    "eps from x0": lambda a, b, t, s: unmix(a, b, *scales(t, s, a), "x0")[1],
    "x0 from v": lambda a, b, t, s: unmix(a, b, *scales(t, s, a), "v")[0],
    "eps from v": lambda a, b, t, s: unmix(a, b, *scales(t, s, a), "v")[1],
    "v from both": lambda a, b, t, s: v_from_x0_eps(a, b, *scales(t, s, a)),
}
every_formula = pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=generator(seed), dtype=dtype)


def diffusers_scheduler(name, *, exact, **options):
    """Build diffusers' scheduler; its tables are float32 unless ours take their place."""
    make, settings = SCHEDULES[name]
    scheduler = DDPMScheduler(T, clip_sample=False, **settings, **options)
    if exact:
        schedule = make()
        scheduler.betas = schedule.exact_beta
        scheduler.alphas = schedule.exact_alpha
        scheduler.alphas_cumprod = schedule.exact_alpha_bar
    return scheduler


@pytest.fixture
def no_hook(monkeypatch):
    """Run as learners do: nobody checks the annotations, so the package must."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


# schedules


@every_schedule
def test_tables_are_those_of_diffusers(name):
    schedule, theirs = SCHEDULES[name][0](), diffusers_scheduler(name, exact=False)
    torch.testing.assert_close(schedule.beta, theirs.betas, rtol=1e-3, atol=0)
    torch.testing.assert_close(schedule.alpha, theirs.alphas, rtol=1e-4, atol=0)
    torch.testing.assert_close(schedule.alpha_bar, theirs.alphas_cumprod, rtol=1e-3, atol=0)
    snr = theirs.alphas_cumprod / (1 - theirs.alphas_cumprod)
    torch.testing.assert_close(schedule.snr, snr, rtol=2e-3, atol=0)


@pytest.mark.parametrize("num_train_steps", [2, 7, 4000])
@every_schedule
def test_tables_of_other_lengths_are_those_of_diffusers(name, num_train_steps):
    make, settings = SCHEDULES[name]
    theirs = DDPMScheduler(num_train_steps, **settings)
    schedule = make(num_train_steps)
    assert schedule.num_train_steps == num_train_steps
    torch.testing.assert_close(schedule.beta, theirs.betas, rtol=1e-3, atol=1e-6)


def test_the_linear_schedule_is_the_papers():
    schedule = NoiseSchedule.linear()
    expected = [1e-4 + i * (0.02 - 1e-4) / 999 for i in range(T)]
    assert schedule.exact_beta.tolist() == pytest.approx(expected, rel=1e-12)
    # Ho et al. 2020, section 4: L_T is about 1e-5 bits for images with values in [-1, 1]
    assert schedule.exact_alpha_bar[-1].item() == pytest.approx(4.04e-5, rel=1e-2)


def test_the_scaled_linear_schedule_is_linear_in_the_deviation():
    root = NoiseSchedule.scaled_linear(5, 0.01, 0.09).exact_beta.sqrt()
    assert root.tolist() == pytest.approx([0.1, 0.15, 0.2, 0.25, 0.3], rel=1e-12)


def test_the_cosine_schedule_has_the_papers_closed_form_until_it_is_capped():
    schedule = NoiseSchedule.cosine(T, offset=0.01, max_beta=0.5)

    def f(time):
        return math.cos((time + 0.01) / 1.01 * math.pi / 2) ** 2

    capped = schedule.exact_beta == 0.5
    assert 0 < capped.sum() < 10
    expected = torch.tensor([f((t + 1) / T) / f(0) for t in range(T)], dtype=torch.float64)
    torch.testing.assert_close(
        schedule.exact_alpha_bar[~capped], expected[~capped], rtol=1e-9, atol=0
    )
    assert NoiseSchedule.cosine().exact_beta.max() == 0.999


@every_schedule
def test_tables_follow_from_beta(name):
    schedule = SCHEDULES[name][0]()
    product, previous = 1.0, []
    for t, beta in enumerate(schedule.exact_beta.tolist()):
        previous.append(product)
        product *= 1 - beta
        assert schedule.exact_alpha[t].item() == pytest.approx(1 - beta, rel=1e-14)
        assert schedule.exact_alpha_bar[t].item() == pytest.approx(product, rel=1e-11)
        assert schedule.exact_snr[t].item() == pytest.approx(product / (1 - product), rel=1e-9)
    assert schedule.exact_alpha_bar_prev.tolist() == pytest.approx(previous, rel=1e-11)
    assert previous[0] == 1


@every_schedule
def test_tables_are_exact_in_float64_and_given_in_float32(name):
    schedule = SCHEDULES[name][0]()
    for key in ("beta", "alpha", "alpha_bar", "snr"):
        exact, given = getattr(schedule, f"exact_{key}"), getattr(schedule, key)
        assert exact.dtype == torch.float64
        assert given.dtype == torch.float32
        assert exact.shape == given.shape == (T,)
        assert torch.equal(exact.float(), given)


@every_schedule
def test_signal_and_snr_fall(name):
    schedule = SCHEDULES[name][0]()
    assert (schedule.alpha_bar.diff() < 0).all()
    assert (schedule.snr.diff() < 0).all()
    assert 0 < schedule.alpha_bar[-1] < schedule.alpha_bar[0] < 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_schedule_takes_any_floats_and_keeps_its_own_copy(dtype):
    beta = torch.tensor([0.1, 0.2, 0.3], dtype=dtype, requires_grad=True)
    schedule = NoiseSchedule(beta)
    assert not schedule.exact_beta.requires_grad
    before = schedule.exact_beta.clone()
    with torch.no_grad():
        beta[0] = 0.9
    assert torch.equal(schedule.exact_beta, before)
    assert torch.equal(before, torch.tensor([0.1, 0.2, 0.3], dtype=dtype).double())


def test_a_schedule_is_frozen_and_says_what_it_is():
    schedule = NoiseSchedule.linear()
    with pytest.raises(AttributeError):
        schedule.exact_beta = torch.tensor([0.1, 0.2])
    assert repr(schedule) == "NoiseSchedule(T = 1000, β from 0.0001 to 0.02)"


@pytest.mark.parametrize(
    "beta",
    [
        [0.1],
        [],
        [[0.1, 0.2]],
        [0.0, 0.1],
        [0.1, 1.0],
        [-0.1, 0.1],
        [0.1, 1.5],
        [0.1, math.nan],
        [0.1, math.inf],
        [1e-30, 1e-30],  # 1 - β rounds to 1
        [0.9] * 400,  # ᾱ rounds to 0
    ],
)
def test_what_is_no_schedule_is_refused(beta, no_hook):
    with pytest.raises(ValueError, match="beta: expected"):
        NoiseSchedule(torch.tensor(beta))


def test_a_schedule_of_integers_is_refused(no_hook):
    with pytest.raises(ValueError, match=r"floats of shape \(T,\).*int64"):
        NoiseSchedule(torch.tensor([0, 1]))


@every_schedule
@pytest.mark.parametrize("num_train_steps", [1, 0, -3])
def test_a_schedule_of_one_step_or_none_is_refused(name, num_train_steps):
    with pytest.raises(ValueError, match=r"num_train_steps: expected a whole .* in \[2, inf\)"):
        SCHEDULES[name][0](num_train_steps)


@pytest.mark.parametrize(
    "make",
    [
        lambda: NoiseSchedule.linear(10, 0.0, 0.02),
        lambda: NoiseSchedule.linear(10, 1e-4, 1.0),
        lambda: NoiseSchedule.linear(10, math.nan, 0.02),
        lambda: NoiseSchedule.scaled_linear(10, -0.1, 0.02),
        lambda: NoiseSchedule.scaled_linear(10, 0.0, 0.02),
        lambda: NoiseSchedule.cosine(10, max_beta=1.0),
        lambda: NoiseSchedule.cosine(10, offset=-0.5),
        lambda: NoiseSchedule.cosine(10, offset=math.nan),
    ],
)
def test_ends_that_leave_the_unit_interval_are_refused(make):
    with pytest.raises(ValueError, match="beta: expected"):
        make()


# the forward process


def test_values_are_looked_up_in_a_shape_that_multiplies_images():
    values, like = torch.arange(5, dtype=torch.float64), draw(3, 2, 4, 4, dtype=torch.float32)
    found = gather(values, torch.tensor([4, 0, 1]), like)
    assert found.shape == (3, 1, 1, 1)
    assert found.dtype == torch.float32
    assert found.flatten().tolist() == [4, 0, 1]


@every_schedule
def test_q_sample_is_diffusers_add_noise(name):
    schedule = SCHEDULES[name][0]()
    x0, eps = draw(7, 3, 4, 4, seed=1), draw(7, 3, 4, 4, seed=2)
    x_t = q_sample(x0, STEPS, eps, schedule)
    exact = diffusers_scheduler(name, exact=True).add_noise(x0, eps, STEPS)
    torch.testing.assert_close(x_t, exact, rtol=1e-6, atol=1e-12)
    untouched = diffusers_scheduler(name, exact=False).add_noise(x0.float(), eps.float(), STEPS)
    torch.testing.assert_close(x_t.float(), untouched, rtol=1e-3, atol=1e-3)


@every_schedule
def test_v_is_diffusers_velocity(name):
    schedule = SCHEDULES[name][0]()
    x0, eps = draw(7, 3, 4, 4, seed=1), draw(7, 3, 4, 4, seed=2)
    v = v_from_x0_eps(x0, eps, *scales(STEPS, schedule, x0))
    exact = diffusers_scheduler(name, exact=True).get_velocity(x0, eps, STEPS)
    torch.testing.assert_close(v, exact, rtol=1e-6, atol=1e-12)
    untouched = diffusers_scheduler(name, exact=False).get_velocity(x0.float(), eps.float(), STEPS)
    torch.testing.assert_close(v.float(), untouched, rtol=1e-3, atol=1e-3)


def diffusers_step(name, prediction, t, x_t, *, exact, prediction_type, variance_type):
    """Take diffusers' step, and take its noise out again: what is left is the posterior's mean."""
    scheduler = diffusers_scheduler(
        name, exact=exact, prediction_type=prediction_type, variance_type=variance_type
    )
    step = scheduler.step(prediction, t, x_t, generator=generator(9))
    variance = float(scheduler._get_variance(t))
    if t:
        noise = torch.randn(x_t.shape, generator=generator(9), dtype=x_t.dtype)
        return step.pred_original_sample, step.prev_sample - variance**0.5 * noise, variance
    return step.pred_original_sample, step.prev_sample, variance


@pytest.mark.parametrize("variance", ["small", "large"])
@pytest.mark.parametrize("prediction_type", ["epsilon", "sample", "v_prediction"])
@every_schedule
def test_posterior_and_predictions_are_those_of_diffusers(name, prediction_type, variance):
    for t in STEPS.tolist():
        compare_with_diffusers(name, t, prediction_type=prediction_type, variance=variance)


def compare_with_diffusers(name, t, *, prediction_type, variance):
    schedule, steps = SCHEDULES[name][0](), torch.full((2,), t)
    x_t, prediction = draw(2, 3, 4, 4, seed=1), draw(2, 3, 4, 4, seed=2)
    kind = {"epsilon": "eps", "sample": "x0", "v_prediction": "v"}[prediction_type]
    x0_pred, _ = unmix(x_t, prediction, *scales(steps, schedule, x_t), kind)
    mean, small = posterior(x0_pred, x_t, steps, schedule)
    options = {"prediction_type": prediction_type, "variance_type": f"fixed_{variance}"}
    their_x0, their_mean, their_variance = diffusers_step(
        name, prediction, t, x_t, exact=True, **options
    )
    torch.testing.assert_close(x0_pred, their_x0, rtol=1e-6, atol=1e-12)
    torch.testing.assert_close(mean, their_mean, rtol=1e-6, atol=1e-9)
    ours = step_variance(schedule, variance)[t].item()
    assert ours == pytest.approx(their_variance, rel=1e-6, abs=2e-20)  # they never return 0
    if variance == "small":
        assert small.flatten().tolist() == pytest.approx([ours, ours], rel=1e-12)

    their_x0, their_mean, their_variance = diffusers_step(
        name, prediction.float(), t, x_t.float(), exact=False, **options
    )
    scale = max(1.0, x0_pred.abs().max().item())
    torch.testing.assert_close(x0_pred.float(), their_x0, rtol=1e-3, atol=1e-3 * scale)
    torch.testing.assert_close(mean.float(), their_mean, rtol=1e-3, atol=1e-3 * scale)
    assert ours == pytest.approx(their_variance, rel=1e-3, abs=2e-20)


@every_schedule
def test_steps_and_the_jump_have_the_same_mean_and_variance(name):
    schedule = SCHEDULES[name][0]()
    zero, one = torch.zeros(1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
    mean, variance = one, zero  # of x_t for x_0 = 1
    for step in range(T):
        t = torch.tensor([step])
        mean = q_step(mean, t, zero, schedule)
        keep, add = q_step(one, t, zero, schedule), q_step(zero, t, one, schedule)
        variance = keep**2 * variance + add**2
        if step in STEPS:
            torch.testing.assert_close(q_sample(one, t, zero, schedule), mean, rtol=1e-10, atol=0)
            torch.testing.assert_close(
                q_sample(zero, t, one, schedule) ** 2, variance, rtol=1e-10, atol=0
            )


def test_steps_and_the_jump_draw_from_the_same_distribution():
    schedule, rng = NoiseSchedule.linear(50, 0.001, 0.1), generator(3)
    x = x0 = torch.full((20_000, 1), 0.7)
    for step in range(30):
        t = torch.full((len(x),), step)
        x = q_step(x, t, torch.randn(x.shape, generator=rng), schedule)
    jump = q_sample(x0, t, torch.randn(x.shape, generator=rng), schedule)
    alpha_bar = math.prod(1 - beta for beta in schedule.exact_beta.tolist()[:30])
    expected = stats.norm(0.7 * alpha_bar**0.5, (1 - alpha_bar) ** 0.5)
    assert stats.kstest(x.flatten().numpy(), expected.cdf).pvalue > 0.01
    assert stats.kstest(jump.flatten().numpy(), expected.cdf).pvalue > 0.01
    assert stats.ks_2samp(x.flatten().numpy(), jump.flatten().numpy()).pvalue > 0.01


@every_schedule
def test_the_posterior_is_what_bayes_says_by_numeric_integration(name):
    for t in (1, 2, 10, 500, 999):
        integrate_posterior(SCHEDULES[name][0](), t)


def integrate_posterior(schedule, t):
    beta = schedule.exact_beta.tolist()
    alpha_bar_prev = math.prod(1 - b for b in beta[:t])
    x0, x_t = 0.25, 0.75
    points = (torch.full((1, 1), value, dtype=torch.float64) for value in (x0, x_t))
    mean, variance = posterior(*points, torch.tensor([t]), schedule)
    prior = stats.norm(math.sqrt(alpha_bar_prev) * x0, math.sqrt(1 - alpha_bar_prev))
    grid = prior.mean() + prior.std() * np.linspace(-60, 60, 400_001)
    likelihood = stats.norm.logpdf(x_t, math.sqrt(1 - beta[t]) * grid, math.sqrt(beta[t]))
    weights = torch.from_numpy(prior.logpdf(grid) + likelihood).softmax(0).numpy()
    expected = (weights * grid).sum()
    assert mean.item() == pytest.approx(expected, rel=1e-6)
    assert variance.item() == pytest.approx((weights * (grid - expected) ** 2).sum(), rel=1e-6)


def test_before_the_first_step_is_the_image_itself():
    x0, x_t = draw(2, 3, 4, 4, dtype=torch.float32), draw(2, 3, 4, 4, dtype=torch.float32, seed=1)
    mean, variance = posterior(x0, x_t, torch.tensor([0, 5]), NoiseSchedule.linear())
    torch.testing.assert_close(mean[0], x0[0])
    assert variance.shape == (2, 1, 1, 1)
    assert variance[0] == 0
    assert variance[1] > 0


# what holds for every formula


@every_schedule
def test_predictions_survive_the_way_there_and_back(name):
    schedule = SCHEDULES[name][0]()
    x0, eps = draw(7, 3, seed=1), draw(7, 3, seed=2)
    x_t = q_sample(x0, STEPS, eps, schedule)
    v = v_from_x0_eps(x0, eps, *scales(STEPS, schedule, x0))
    pair = scales(STEPS, schedule, x0)
    assert torch.equal(mix(x0, eps, *pair), x_t)
    for kind, said in (("eps", eps), ("x0", x0), ("v", v)):
        found = unmix(x_t, said, *pair, kind)
        torch.testing.assert_close(found, (x0, eps), rtol=1e-6, atol=1e-9)
        assert kind == "v" or found[("x0", "eps").index(kind)] is said
    with pytest.raises(ValueError, match="kind: expected one of eps, x0, v, got 'flow'"):
        inspect.unwrap(unmix)(x_t, x0, *pair, "flow")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@every_formula
def test_any_rank_and_dtype(formula, dtype):
    schedule, t = NoiseSchedule.linear(), torch.tensor([3, 0, 700])
    flat = draw(3, 8, seed=1).to(dtype), draw(3, 8, seed=2).to(dtype)
    exact = formula(flat[0].double(), flat[1].double(), t, schedule)
    scale = {torch.bfloat16: 3e-2, torch.float32: 1e-6, torch.float64: 0}[dtype]
    for shape in ((3, 8), (3, 2, 4), (3, 1, 2, 4), (3, 1, 2, 2, 2)):
        a, b = (x.view(shape) for x in flat)
        found = formula(a, b, t, schedule)
        assert found.dtype == dtype
        assert found.shape == shape
        torch.testing.assert_close(
            found.double().view(3, 8), exact, rtol=scale, atol=scale * exact.abs().max().item()
        )


@every_formula
def test_float32_is_within_a_millionth_of_float64_at_every_step(formula):
    """Coefficients from float32 tables would be off by 1e-4 at small t."""
    schedule, t = NoiseSchedule.linear(), torch.arange(T)
    a, b = draw(T, 8, seed=1).float(), draw(T, 8, seed=2).float()
    found = formula(a, b, t, schedule).double()
    exact = formula(a.double(), b.double(), t, schedule)
    scale = exact.abs().amax(1, keepdim=True)  # differences of a row's terms lose digits
    torch.testing.assert_close(found / scale, exact / scale, rtol=0, atol=1e-6)


@every_formula
def test_each_image_has_its_own_step(formula):
    schedule, t = NoiseSchedule.linear(), torch.tensor([3, 0, 700])
    a, b = draw(3, 2, 4, 4, seed=1), draw(3, 2, 4, 4, seed=2)
    together = formula(a, b, t, schedule)
    for i in range(3):
        alone = formula(a[i : i + 1], b[i : i + 1], t[i : i + 1], schedule)
        assert torch.equal(together[i], alone[0])


@every_formula
def test_any_integers_are_steps(formula):
    schedule, t = NoiseSchedule.linear(), torch.tensor([3, 0, 127])
    a, b = draw(3, 2, seed=1), draw(3, 2, seed=2)
    for dtype in (torch.int8, torch.int16, torch.int32):
        assert torch.equal(formula(a, b, t.to(dtype), schedule), formula(a, b, t, schedule))


def test_bytes_are_steps_and_no_mask(no_hook):
    schedule, t = NoiseSchedule.linear(), torch.tensor([1, 0, 1])
    a, b = draw(3, 2, seed=1), draw(3, 2, seed=2)
    assert torch.equal(q_sample(a, t.byte(), b, schedule), q_sample(a, t, b, schedule))


@every_formula
def test_no_image_is_no_problem(formula):
    empty = torch.empty(0, 3, 4, 4)
    t = torch.empty(0, dtype=torch.int64)
    assert formula(empty, empty, t, NoiseSchedule.linear()).shape == (0, 3, 4, 4)


@every_formula
def test_input_is_not_changed_and_no_random_number_drawn(formula):
    a, b, t = draw(3, 2, seed=1), draw(3, 2, seed=2), torch.tensor([3, 0, 700])
    before, state = (a.clone(), b.clone(), t.clone()), torch.get_rng_state()
    formula(a, b, t, NoiseSchedule.linear())
    assert all(torch.equal(x, y) for x, y in zip((a, b, t), before, strict=True))
    assert torch.equal(torch.get_rng_state(), state)


BAD = {
    "t too long": (draw(3, 2), draw(3, 2), torch.tensor([0, 1, 2, 3]), r"t: expected shape \(3,\)"),
    "one t": (draw(3, 2), draw(3, 2), torch.tensor([0]), r"t: expected shape \(3,\)"),
    "t a column": (draw(3, 2), draw(3, 2), torch.tensor([[0], [1], [2]]), r"got \(3, 1\)"),
    "t a scalar": (draw(3, 2), draw(3, 2), torch.tensor(1), r"got \(\)"),
    "t an int": (draw(3, 2), draw(3, 2), 1, r"t: expected a tensor of integers.*int 1"),
    "t floats": (draw(3, 2), draw(3, 2), torch.ones(3), "t: expected a tensor of integers"),
    "t a mask": (draw(3, 2), draw(3, 2), torch.ones(3).bool(), "t: expected a tensor of int"),
    "t = T": (draw(3, 2), draw(3, 2), torch.tensor([0, 1, T]), "from 0 to 999 .*got 1000"),
    "t < 0": (draw(3, 2), draw(3, 2), torch.tensor([0, 1, -1]), "from 0 to 999 .*got -1"),
    "shapes": (draw(3, 2), draw(3, 1), torch.tensor([0, 1, 2]), "one shape, got"),
    "counts": (draw(3, 2), draw(1, 2), torch.tensor([0, 1, 2]), "one shape, got"),
    "one axis": (draw(3), draw(3), torch.tensor([0, 1, 2]), "two axes or more"),
    "no axis": (draw(), draw(), torch.tensor([0]), "two axes or more"),
    "bytes": (draw(3, 2).byte(), draw(3, 2), torch.tensor([0, 1, 2]), "floats, got .*uint8"),
    "a list": ([[1.0, 2.0]], draw(1, 2), torch.tensor([0]), "a tensor of floats, got list"),
    "NaN": (draw(3, 2), draw(3, 2).log(), torch.tensor([0, 1, 2]), "got NaN"),
    "NaN first": (draw(3, 2).log(), draw(3, 2), torch.tensor([0, 1, 2]), "got NaN"),
    "infinity": (draw(3, 2) / 0, draw(3, 2), torch.tensor([0, 1, 2]), "NaN or infinity"),
}


@pytest.mark.parametrize(("a", "b", "t", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_by_every_formula(a, b, t, message, no_hook):
    for formula in CHECKED.values():
        with pytest.raises(ValueError, match=message):
            formula(a, b, t, NoiseSchedule.linear())


def test_large_numbers_are_finite_though_their_sum_is_not():
    x = torch.full((1, 4), 3e38)
    assert (
        q_sample(x, torch.tensor([0]), torch.zeros(1, 4), NoiseSchedule.linear()).isfinite().all()
    )


# the objective


class Linear(nn.Module):
    """The smallest denoiser with a weight; remembers what it was asked."""

    def __init__(self, weight=0.3):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight, dtype=torch.float64))
        self.asked = []

    def forward(self, x_t, t):
        self.asked.append((x_t, t))
        return self.weight * x_t + t.view(-1, *[1] * (x_t.dim() - 1)) / T


@pytest.mark.parametrize("weighting", [None, "min_snr"])
@every_schedule
def test_the_loss_is_that_of_diffusers_training_scripts(name, weighting):
    schedule, scheduler = SCHEDULES[name][0](), diffusers_scheduler(name, exact=True)
    x0, net = draw(16, 3, 4, 4), Linear()
    loss = eps_loss(net, x0, schedule, generator=generator(5), weighting=weighting)
    rng = generator(5)
    t = torch.randint(0, T, (16,), generator=rng)
    eps = torch.randn(x0.shape, generator=rng, dtype=x0.dtype)
    x_t = scheduler.add_noise(x0, eps, t)
    torch.testing.assert_close(net.asked[0][0], x_t)
    assert torch.equal(net.asked[0][1], t)
    assert t.dtype == torch.int64
    errors = ((net(x_t, t) - eps) ** 2).mean(dim=(1, 2, 3))
    if weighting:
        snr = compute_snr(scheduler, t)
        errors = errors * torch.stack([snr, 5 * torch.ones_like(t)], dim=1).min(dim=1)[0] / snr
    torch.testing.assert_close(loss, errors.mean(), rtol=1e-6, atol=0)
    expected = torch.autograd.grad(errors.mean(), net.weight)
    torch.testing.assert_close(torch.autograd.grad(loss, net.weight), expected)


def test_min_snr_counts_small_noise_less_and_large_noise_fully():
    schedule = NoiseSchedule(torch.tensor([0.01, 0.9]))  # SNR of 99 and 0.11
    x0, weights = draw(4000, 1), {0: 5 / 99, 1: 1.0}
    loss = eps_loss(
        lambda x_t, t: torch.zeros_like(x_t),
        x0,
        schedule,
        generator=generator(),
        weighting="min_snr",
    )
    rng = generator()
    t = torch.randint(0, 2, (4000,), generator=rng)
    eps = torch.randn(x0.shape, generator=rng, dtype=x0.dtype)
    expected = sum(weights[int(i)] * float(e) ** 2 for i, e in zip(t, eps, strict=True)) / 4000
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_knowing_nothing_costs_one_and_knowing_all_costs_nothing():
    x0, schedule = draw(2000, 8), NoiseSchedule.linear()

    def knows_all(x_t, t):
        return unmix(x_t, x0, *scales(t, schedule, x_t), "x0")[1]

    nothing = eps_loss(lambda x_t, t: 0 * x_t, x0, schedule, generator=generator())
    assert nothing.item() == pytest.approx(1, abs=0.05)
    assert eps_loss(knows_all, x0, schedule, generator=generator()).item() < 1e-20


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_the_loss_takes_any_float(dtype):
    x0 = draw(3, 2).to(dtype)
    loss = eps_loss(lambda x_t, t: 0 * x_t, x0, NoiseSchedule.linear(), generator=generator())
    assert loss.dtype == dtype
    assert loss.shape == ()


def test_the_loss_depends_on_the_generator_alone():
    x0, schedule, state = draw(4, 2), NoiseSchedule.linear(), torch.get_rng_state()

    def loss(seed):
        return eps_loss(Linear(), x0, schedule, generator=generator(seed)).item()

    assert loss(1) == loss(1) != loss(2)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("x0", "message"),
    [
        (draw(3), "two axes"),
        (draw(3, 2).byte(), "tensor of floats"),
        (draw(3, 2).log(), "NaN"),
        (torch.empty(0, 2), "at least one image"),
    ],
)
def test_the_loss_refuses_bad_images(x0, message, no_hook):
    for judge in (eps_loss, vlb_terms) if len(x0) else (eps_loss,):
        with pytest.raises(ValueError, match=message):
            judge(lambda x_t, t: x_t, x0, NoiseSchedule.linear(), generator=generator())


BYTES = torch.arange(4 * 3 * 8 * 8).reshape(4, 3, 8, 8) % 256
NO_MODEL_RANGE = {
    "0 to 255": BYTES.float(),
    "doubles": BYTES.double(),
    "dark": BYTES / 255 * 30,
    "about 0": BYTES - 127.5,
    "one broken pixel": torch.where(BYTES == 17, 255.0, BYTES / 127.5 - 1),
    "channels last": BYTES.permute(0, 2, 3, 1).float(),
    "without channels": BYTES[:, 0].float(),
}
RANGED = {
    "eps_loss": lambda x0, rng: eps_loss(lambda x, t: x, x0, NoiseSchedule.linear(), generator=rng),
    "vlb_terms": lambda x0, rng: vlb_terms(
        lambda x, t: x, x0, NoiseSchedule.linear(3), generator=rng
    ),
    "q_sample": lambda x0, rng: q_sample(
        x0, torch.zeros(len(x0), dtype=torch.int64), torch.zeros_like(x0), NoiseSchedule.linear()
    ),
}


@pytest.mark.parametrize("formula", RANGED)
@pytest.mark.parametrize("kind", NO_MODEL_RANGE)
def test_images_of_bytes_are_noticed(formula, kind):
    with pytest.raises(ValueError, match=r"x0: expected images in \[-1, 1\], .* got .*to_model"):
        RANGED[formula](NO_MODEL_RANGE[kind], generator())


@pytest.mark.parametrize("formula", RANGED)
def test_images_latents_and_points_in_their_range_are_not_suspected(formula):
    unit = BYTES / 255
    for x0 in (2 * unit - 1, unit, 3 * draw(4, 4, 8, 8).clamp(-3, 3), 200 * draw(4, 2)):
        RANGED[formula](x0, generator())


def test_the_loss_refuses_other_weightings_and_denoisers(no_hook):
    x0, schedule = draw(3, 2), NoiseSchedule.linear()
    with pytest.raises(ValueError, match="one of None, min_snr, got 'p2'"):
        eps_loss(lambda x_t, t: x_t, x0, schedule, generator=generator(), weighting="p2")
    with pytest.raises(ValueError, match=r"returned shape \(3, 1\), expected \(3, 2\)"):
        eps_loss(lambda x_t, t: x_t[:, :1], x0, schedule, generator=generator())


# the bound

SHORT = NoiseSchedule.linear(8, 0.02, 0.5)


def normal(mean, variance):
    return torch.distributions.Normal(mean, torch.as_tensor(variance).sqrt())


@pytest.mark.parametrize("variance", ["small", "large"])
def test_the_bound_is_made_of_the_divergences_of_torch_distributions(variance):
    x0, rng = 0.5 * draw(3, 2, 4), generator(7)
    terms = vlb_terms(Linear(), x0, SHORT, generator=generator(7), variance=variance)
    beta = SHORT.exact_beta
    alpha_bar = torch.cumprod(1 - beta, 0)
    last = normal(alpha_bar[-1].sqrt() * x0, 1 - alpha_bar[-1])
    kl = torch.distributions.kl_divergence
    prior = kl(last, normal(torch.zeros_like(x0), 1.0))
    diffusion = torch.zeros_like(x0)
    for t in reversed(range(8)):
        eps = torch.randn(x0.shape, generator=rng, dtype=x0.dtype)
        x_t = alpha_bar[t].sqrt() * x0 + (1 - alpha_bar[t]).sqrt() * eps
        eps_pred = Linear()(x_t, torch.full((3,), t))
        if t == 0:
            x0_pred = (x_t - (1 - alpha_bar[0]).sqrt() * eps_pred) / alpha_bar[0].sqrt()
            reconstruction = -normal(x0_pred, beta[0]).log_prob(x0)
            continue
        # Ho et al. 2020, eq. 11: the posterior's mean, written with the noise
        small = beta[t] * (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t])
        mean, mean_pred = (
            (x_t - beta[t] / (1 - alpha_bar[t]).sqrt() * e) / (1 - beta[t]).sqrt()
            for e in (eps, eps_pred)
        )
        sigma = {"small": small, "large": beta[t]}[variance]
        diffusion += kl(normal(mean, small), normal(mean_pred, sigma))
    expected = {"prior": prior, "diffusion": diffusion, "reconstruction": reconstruction}
    expected["total"] = prior + diffusion + reconstruction
    for name, nats in expected.items():
        bits = nats.flatten(1).mean(1) / math.log(2)
        torch.testing.assert_close(getattr(terms, name), bits, rtol=1e-9, atol=1e-12)


MEAN, SPREAD = torch.tensor([0.3, -0.8]).double(), torch.tensor([0.2, 0.6]).double()


def gaussian_denoiser(schedule):
    """Name the noise in x_t as well as can be, for x_0 from N(MEAN, SPREAD²)."""

    def denoise(x_t, t):
        alpha_bar = schedule.exact_alpha_bar[t][:, None]
        variance = alpha_bar * SPREAD**2 + 1 - alpha_bar
        return (1 - alpha_bar).sqrt() / variance * (x_t - alpha_bar.sqrt() * MEAN)

    return denoise


def gaussian_bound(schedule, variance):
    """Integrate the bound for Gaussian data and its ideal denoiser: bits per dimension."""
    bits = {"prior": 0.0, "diffusion": 0.0, "reconstruction": 0.0}
    beta = schedule.exact_beta.tolist()
    alpha_bar = [math.prod(1 - b for b in beta[: i + 1]) for i in range(len(beta))]
    for mean, spread in zip(MEAN.tolist(), SPREAD.tolist(), strict=True):
        bits["prior"] += 0.5 * (
            alpha_bar[-1] * (mean**2 + spread**2) - alpha_bar[-1] - math.log(1 - alpha_bar[-1])
        )
        for t in range(len(beta)):
            noise = 1 - alpha_bar[t]
            left = spread**2 * noise / (alpha_bar[t] * spread**2 + noise)  # E (x0 - x0_pred)²
            if t == 0:
                bits["reconstruction"] += 0.5 * (math.log(2 * math.pi * beta[0]) + left / beta[0])
                continue
            small = beta[t] * (1 - alpha_bar[t - 1]) / noise
            sigma = {"small": small, "large": beta[t]}[variance]
            gap = (math.sqrt(alpha_bar[t - 1]) * beta[t] / noise) ** 2 * left
            bits["diffusion"] += 0.5 * ((small + gap) / sigma - 1 - math.log(small / sigma))
    bits = {name: value / 2 / math.log(2) for name, value in bits.items()}
    return {**bits, "total": sum(bits.values())}


@pytest.mark.parametrize("variance", ["small", "large"])
@pytest.mark.parametrize("schedule", [SHORT, NoiseSchedule.cosine(20)], ids=["short", "cosine"])
def test_the_bound_of_gaussian_data_is_its_closed_form(schedule, variance):
    x0 = MEAN + SPREAD * draw(40_000, 2, seed=1)
    terms = vlb_terms(
        gaussian_denoiser(schedule), x0, schedule, generator=generator(2), variance=variance
    )
    for name, expected in gaussian_bound(schedule, variance).items():
        values = getattr(terms, name)
        error = values.std().item() / math.sqrt(len(values))
        assert values.mean().item() == pytest.approx(expected, abs=3 * error)


def test_the_bound_is_never_under_the_entropy_and_the_large_variance_comes_near():
    entropy = (0.5 * torch.log2(2 * math.pi * math.e * SPREAD**2)).mean().item()

    def gap(steps, variance):
        schedule = NoiseSchedule.linear(steps, 0.1 / steps, 20 / steps)
        return gaussian_bound(schedule, variance)["total"] - entropy

    gaps = [gap(steps, "large") for steps in (50, 200, 800)]
    assert gaps[0] > 3 * gaps[1] > 9 * gaps[2] > 0  # an error of first order in 1 / T
    assert gap(800, "small") > gaps[2]  # right for one image, too narrow for many


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_the_bound_asks_once_a_step_from_the_last_to_the_first(dtype):
    net, x0 = Linear(), draw(3, 1, 2, 2).to(dtype)
    terms = vlb_terms(lambda x_t, t: net(x_t, t).to(dtype), x0, SHORT, generator=generator())
    assert [t.tolist() for _, t in net.asked] == [[step] * 3 for step in reversed(range(8))]
    assert all(t.dtype == torch.int64 and x_t.dtype == dtype for x_t, t in net.asked)
    assert not terms.total.requires_grad
    assert terms.total.shape == (3,)


def test_the_bound_depends_on_the_generator_alone():
    x0, state = draw(2, 3), torch.get_rng_state()

    def total(seed):
        return vlb_terms(Linear(), x0, SHORT, generator=generator(seed)).total.tolist()

    assert total(1) == total(1) != total(2)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_bound_refuses_other_variances_and_predictions(no_hook):
    x0 = draw(2, 3)
    with pytest.raises(ValueError, match="one of small, large, got 'learned'"):
        vlb_terms(Linear(), x0, SHORT, generator=generator(), variance="learned")
    with pytest.raises(ValueError, match="one shape"):
        vlb_terms(lambda x_t, t: x_t[:1], x0, SHORT, generator=generator())
    with pytest.raises(ValueError, match="eps: expected finite"):
        vlb_terms(lambda x_t, t: x_t / 0, x0, SHORT, generator=generator())


def test_the_divergence_of_gaussians_is_that_of_torch():
    gap, first, second = torch.tensor([0.0, 0.3, 2.0]).double(), 0.2, 0.7
    expected = torch.distributions.kl_divergence(
        normal(gap.sqrt(), torch.tensor(first).double()),
        normal(torch.zeros(3).double(), torch.tensor(second).double()),
    )
    torch.testing.assert_close(gaussian_kl(gap, first, second), expected, rtol=1e-7, atol=0)
