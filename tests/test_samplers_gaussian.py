"""Samplers against mathematics: for Gaussian data the best denoiser and all answers are known."""

import inspect
import math

import pytest
import torch
from scipy.integrate import solve_ivp

from course_utils.diffusion import NoiseSchedule
from course_utils.samplers import (
    SolverError,
    ddim_sample,
    ddpm_sample,
    dpm_solver_sample,
    fitted_order,
    gaussian_denoiser,
    gaussian_flow,
    inpaint_sample,
    sample_timesteps,
    sdedit,
    solver_error,
)

MEAN = torch.tensor([0.3, -0.5], dtype=torch.float64)
COVARIANCE = torch.tensor([[0.5, 0.35], [0.35, 0.4]], dtype=torch.float64)
IDENTITY = torch.eye(2, dtype=torch.float64)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def linear(num_train_steps):
    """The usual schedule at another length: the same noise at the end."""
    return NoiseSchedule.linear(num_train_steps, 0.1 / num_train_steps, 20 / num_train_steps)


def standard(num, seed=0):
    return torch.randn(num, 2, generator=generator(seed), dtype=torch.float64)


# --- the truth itself ---


@pytest.mark.parametrize(
    "covariance", [COVARIANCE, 0 * IDENTITY, IDENTITY, torch.ones(2, 2).double()]
)
def test_the_denoiser_is_the_conditional_mean_of_jointly_gaussian_noise(covariance):
    schedule, x, t = linear(100), standard(4), torch.tensor([0, 3, 50, 99])
    eps = gaussian_denoiser(MEAN, covariance, schedule)(x, t)
    for row, step in enumerate(t.tolist()):
        share = schedule.exact_alpha_bar[step]
        spread = share * covariance + (1 - share) * IDENTITY
        with_noise = (1 - share).sqrt() * IDENTITY  # covariance of ε and x_t
        expected = with_noise @ torch.linalg.solve(spread, x[row] - share.sqrt() * MEAN)
        torch.testing.assert_close(eps[row], expected)


def test_the_denoiser_takes_images_and_short_floats():
    schedule, t = linear(100), torch.tensor([0, 3, 50, 99])
    mean, root = torch.randn(12, generator=generator()), torch.randn(12, 12, generator=generator(1))
    denoiser = gaussian_denoiser(mean, root @ root.T, schedule)
    x = torch.randn(4, 3, 2, 2, generator=generator(2))
    flat = denoiser(x.reshape(4, 12).double(), t)
    for dtype in (torch.float32, torch.bfloat16):
        eps = denoiser(x.to(dtype), t)
        assert eps.dtype == dtype
        assert eps.shape == x.shape
    torch.testing.assert_close(denoiser(x, t).reshape(4, 12), flat.float())


@pytest.mark.parametrize("t_end", [None, 30])
def test_the_flow_solves_the_equation_of_ddim(t_end):
    """d(x/√ᾱ) = ε d√(1/ᾱ - 1), the DDIM paper's eq. 14, by a solver of another library."""
    schedule, x = linear(100), standard(3)

    def level(t):
        return 0.0 if t is None else math.sqrt(1 / schedule.exact_alpha_bar[t].item() - 1)

    def slope(level, flat):
        share = 1 / (1 + level**2)
        x_t = math.sqrt(share) * torch.from_numpy(flat).reshape(3, 2)
        inverse = torch.linalg.inv(share * COVARIANCE + (1 - share) * IDENTITY)
        return (level * math.sqrt(share) * (x_t - math.sqrt(share) * MEAN) @ inverse).flatten()

    start = (x * math.sqrt(1 + level(99) ** 2)).flatten()
    solution = solve_ivp(slope, (level(99), level(t_end)), start, rtol=1e-10, atol=1e-12)
    end = torch.from_numpy(solution.y[:, -1]).reshape(3, 2) / math.sqrt(1 + level(t_end) ** 2)
    flow = gaussian_flow(x, MEAN, COVARIANCE, schedule, t=99, t_end=t_end)
    torch.testing.assert_close(flow, end, rtol=1e-6, atol=1e-7)


def test_what_is_no_gaussian_is_refused():
    lopsided = torch.tensor([[1.0, 0.5], [0.1, 1.0]])
    for mean, covariance, message in [
        (MEAN, -IDENTITY, "without negative variances"),
        (MEAN, lopsided.double(), "symmetric"),
        (MEAN, IDENTITY * math.nan, "finite"),
        (MEAN * math.inf, IDENTITY, "finite"),
        (MEAN[:1], IDENTITY, r"covariance of shape \(d, d\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            inspect.unwrap(gaussian_denoiser)(mean, covariance, linear(100))


# --- mean and covariance ---


def affine_map(sample, num_draws, monkeypatch):
    """Find how a sampler's end depends on its start and on each of its draws.

    With a linear denoiser everything is affine. One row starts at 0 with no noise, the others each
    change one number: of the start, or of one draw.
    """
    num_rows, count = 1 + 2 + 2 * num_draws, 0

    def draw(x, *_):
        nonlocal count
        noise = torch.zeros_like(x)
        noise[3 + 2 * count : 5 + 2 * count] = IDENTITY
        count += 1
        return noise

    monkeypatch.setattr("course_utils.samplers.reverse.draw_noise", draw)
    starts = torch.zeros(num_rows, 2, dtype=torch.float64)
    starts[1:3] = IDENTITY
    *_, last = sample(starts)
    assert count == num_draws
    return last.x_t[0], (last.x_t[1:] - last.x_t[0]).reshape(-1, 2, 2)


def moments(sample, num_draws, monkeypatch):
    """Compute mean and covariance of the samples without sampling; x_T is N(0, I)."""
    shift, slopes = affine_map(sample, num_draws, monkeypatch)
    return shift, torch.einsum("kij,kil->jl", slopes, slopes)


def ways(schedule, denoiser):
    """Name each sampler, and say how many times it draws."""
    last = schedule.num_train_steps - 1

    def ddim(eta, num_sample_steps):
        return lambda x: ddim_sample(
            denoiser, x, schedule, num_sample_steps=num_sample_steps, eta=eta, generator=generator()
        )

    def ddpm(variance):
        return lambda x: ddpm_sample(
            denoiser, x, schedule, variance=variance, generator=generator()
        )

    return {
        "ddpm small": (ddpm("small"), last),
        "ddpm large": (ddpm("large"), last),
        "ddim": (ddim(0.0, last + 1), 0),
        "ddim 0.5": (ddim(0.5, last + 1), last),
        "ddim 1": (ddim(1.0, last + 1), last),
        "ddim 20 steps": (ddim(0.0, 20), 0),
        "ddim 1 20 steps": (ddim(1.0, 20), 19),
        "solver 20 steps": (
            lambda x: dpm_solver_sample(denoiser, x, schedule, num_sample_steps=20),
            0,
        ),
    }


# largest deviation of mean and covariance from the data's at T = 400, a third over what it is
ERRORS = {
    "ddpm small": 0.017,
    "ddpm large": 0.0015,
    "ddim": 0.0075,
    "ddim 0.5": 0.0095,
    "ddim 1": 0.017,
    "ddim 20 steps": 0.13,
    "ddim 1 20 steps": 0.21,
    "solver 20 steps": 0.018,
}


def deviation(a, b):
    return (a - b).abs().max().item()


@pytest.mark.parametrize("name", ERRORS)
def test_samples_have_the_datas_mean_and_covariance_computed(name, monkeypatch):
    schedule = linear(400)
    sample, num_draws = ways(schedule, gaussian_denoiser(MEAN, COVARIANCE, schedule))[name]
    mean, covariance = moments(sample, num_draws, monkeypatch)
    assert deviation(mean, MEAN) < ERRORS[name]
    assert deviation(covariance, COVARIANCE) < ERRORS[name]


@pytest.mark.parametrize("name", ERRORS)
def test_samples_have_the_datas_mean_and_covariance_drawn(name):
    num, schedule = 20_000, linear(100)
    sample, _ = ways(schedule, gaussian_denoiser(MEAN, COVARIANCE, schedule))[name]
    *_, last = sample(standard(num, seed=4))
    allowed = 4 * ERRORS[name]  # T is a quarter
    assert deviation(last.x_t.mean(0), MEAN) < allowed + 4 * math.sqrt(0.5 / num)
    assert deviation(last.x_t.T.cov(), COVARIANCE) < allowed + 4 * 0.5 * math.sqrt(2 / num)


@pytest.mark.parametrize("name", ["ddpm small", "ddim"])
def test_what_is_missing_at_all_steps_halves_when_t_doubles(name, monkeypatch):
    errors = []
    for num_train_steps in (100, 200, 400):
        schedule = linear(num_train_steps)
        sample, num_draws = ways(schedule, gaussian_denoiser(MEAN, COVARIANCE, schedule))[name]
        errors.append(deviation(moments(sample, num_draws, monkeypatch)[1], COVARIANCE))
    assert 1.8 < errors[0] / errors[1] < 2.2
    assert 1.8 < errors[1] / errors[2] < 2.2


def test_large_variance_is_exact_for_standard_normal_data(monkeypatch):
    schedule = linear(100)
    sample, num_draws = ways(schedule, gaussian_denoiser(0 * MEAN, IDENTITY, schedule))[
        "ddpm large"
    ]
    mean, covariance = moments(sample, num_draws, monkeypatch)
    torch.testing.assert_close(mean, 0 * MEAN)
    # the last step adds no noise, so what the first step of the forward process added is missing
    torch.testing.assert_close(covariance, schedule.exact_alpha_bar[0] * IDENTITY)


def test_small_variance_is_exact_for_a_single_image(monkeypatch):
    schedule = linear(100)
    for name in ("ddpm small", "ddim 1", "ddim 20 steps", "solver 20 steps"):
        sample, num_draws = ways(schedule, gaussian_denoiser(MEAN, 0 * IDENTITY, schedule))[name]
        mean, covariance = moments(sample, num_draws, monkeypatch)
        torch.testing.assert_close(mean, MEAN)
        torch.testing.assert_close(covariance, 0 * IDENTITY)


def test_after_every_ddpm_step_a_single_image_has_the_noise_of_the_next_level():
    """Not only at the end: with the posterior's variance x_t is as noisy as `q_sample` makes it."""
    schedule, num = linear(40), 20_000
    denoiser = gaussian_denoiser(0 * MEAN, 0 * IDENTITY, schedule)
    steps = ddpm_sample(denoiser, standard(num), schedule, generator=generator(1))
    alpha_bar_prev = [1.0, *schedule.exact_alpha_bar.tolist()]
    for step in steps:
        variance = step.x_t.square().mean().item()
        assert variance == pytest.approx(1 - alpha_bar_prev[step.t], rel=0.03, abs=1e-9)


@pytest.mark.parametrize("strength", [0.2, 0.7])
def test_sdedit_of_data_gives_data(strength):
    schedule, num = linear(400), 20_000
    x0 = MEAN + standard(num) @ torch.linalg.cholesky(COVARIANCE).T
    denoiser = gaussian_denoiser(MEAN, COVARIANCE, schedule)
    *_, last = sdedit(
        denoiser, x0, schedule, strength=strength, num_sample_steps=200, generator=generator(1)
    )
    assert deviation(last.x_t.mean(0), MEAN) < 4 * math.sqrt(0.5 / num)
    assert deviation(last.x_t.T.cov(), COVARIANCE) < 0.02 + 4 * 0.5 * math.sqrt(2 / num)


# --- the order of the solvers ---

STEPS = (20, 40, 80, 160, 320)


@pytest.mark.parametrize(
    "schedule", [linear(10_000), NoiseSchedule.scaled_linear(10_000, 8.5e-5, 1.2e-3)]
)
@pytest.mark.parametrize("t_end", [1_999, 4_999])
def test_ddim_is_of_first_order_and_the_solver_of_second(schedule, t_end):
    orders = {}
    for sampler in (ddim_sample, dpm_solver_sample):
        errors = solver_error(
            sampler, MEAN, COVARIANCE, schedule, num_sample_steps=STEPS, t_end=t_end
        )
        orders[sampler] = fitted_order(errors)
        assert fitted_order(errors[-2:]) == pytest.approx(round(orders[sampler]), abs=0.04)
    assert orders[ddim_sample] == pytest.approx(1, abs=0.02)
    assert orders[dpm_solver_sample] == pytest.approx(2, abs=0.12)  # early steps are not small


def test_up_to_the_image_the_solver_is_ahead_at_every_step_count():
    schedule = linear(10_000)
    ddim, solver = (
        solver_error(f, MEAN, COVARIANCE, schedule, num_sample_steps=(5, 10, *STEPS))
        for f in (ddim_sample, dpm_solver_sample)
    )
    assert [e.num_sample_steps for e in ddim] == [5, 10, *STEPS]
    assert all(b.error < a.error for a, b in zip(ddim, solver, strict=True))
    assert fitted_order(ddim[1:]) == pytest.approx(1, abs=0.05)
    assert fitted_order(solver[1:]) == pytest.approx(2, abs=0.3)  # no clean order, see solver_error


@pytest.mark.parametrize("t_end", [None, 49])
def test_the_computed_error_is_the_mean_over_drawn_starts(t_end):
    schedule = NoiseSchedule.linear(100, 1e-3, 0.02)  # at its end x_T is not yet N(0, I)
    mean = 20 * MEAN
    denoiser = gaussian_denoiser(mean, COVARIANCE, schedule)
    share, num = schedule.exact_alpha_bar[-1], 20_000
    spread = share * COVARIANCE + (1 - share) * IDENTITY
    x_T = share.sqrt() * mean + standard(num) @ torch.linalg.cholesky(spread).T
    steps = list(ddim_sample(denoiser, x_T, schedule, num_sample_steps=10))
    end = steps[-1 if t_end is None else 4].x_t
    exact = gaussian_flow(x_T, mean, COVARIANCE, schedule, t=99, t_end=t_end)
    drawn = (end - exact).square().mean().sqrt().item()
    (computed,) = solver_error(
        ddim_sample, mean, COVARIANCE, schedule, num_sample_steps=[10], t_end=t_end
    )
    assert computed.error == pytest.approx(drawn, rel=0.02)


def test_the_order_is_the_slope_of_the_logarithms():
    errors = [SolverError(steps, 7 * steps**-1.5) for steps in (10, 30, 50)]
    assert fitted_order(errors) == pytest.approx(1.5)
    for bad in (errors[:1], [], [SolverError(10, 0.0), SolverError(20, 0.1)]):
        with pytest.raises(ValueError, match="two step counts"):
            fitted_order(bad)


def test_a_step_that_is_not_visited_cannot_be_compared_at():
    assert 40 not in sample_timesteps(100, 10)
    for t_end in (40, 99):
        with pytest.raises(ValueError, match=r"one of \[89, 79, 69\]"):
            solver_error(
                ddim_sample, MEAN, COVARIANCE, linear(100), num_sample_steps=[10], t_end=t_end
            )


# --- inpainting ---


def test_inpainting_comes_to_the_conditional_distribution_with_more_resamples():
    """Of N(0, [[1, .9], [.9, 1]]) the first number is known to be 1: the second is N(.9, .19)."""
    schedule, num = linear(100), 4_000
    covariance = torch.tensor([[1, 0.9], [0.9, 1]], dtype=torch.float64)
    denoiser = gaussian_denoiser(torch.zeros(2), covariance.float(), schedule)
    x0 = torch.tensor([[1.0, 0.0]], dtype=torch.float64).repeat(num, 1)
    means = []
    for num_resamples in (1, 2, 5, 15):
        *_, last = inpaint_sample(
            denoiser, standard(num), schedule, x0=x0, mask=torch.tensor([[1, 0]]),
            num_sample_steps=50, num_resamples=num_resamples, jump_length=2, generator=generator(1),
        )  # fmt: skip
        assert (last.x_t[:, 0] == 1).all()
        means.append(last.x_t[:, 1].mean().item())
    assert means == sorted(means)
    assert means[0] < 0.65
    assert means[-1] == pytest.approx(0.9, abs=0.05)
    assert last.x_t[:, 1].var().item() == pytest.approx(0.19, abs=0.06)
