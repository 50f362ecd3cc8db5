"""Samplers against diffusers' schedulers, whole walks with the same noise; and their contract."""

import inspect
import itertools
import math
import warnings

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError
from torch import nn

from course_utils.diffusion import NoiseSchedule, posterior, q_sample, unmix
from course_utils.diffusion.schedule import gather
from course_utils.samplers import (
    conditional,
    ddim_sample,
    ddpm_sample,
    dpm_solver_sample,
    guided,
    inpaint_sample,
    resampling_path,
    sample_timesteps,
    sdedit,
)
from course_utils.samplers.walk import moves_between

with warnings.catch_warnings(action="ignore"):
    from diffusers import (
        DDIMScheduler,
        DDPMScheduler,
        DPMSolverMultistepScheduler,
        RePaintScheduler,
    )

SHAPE = (2, 3, 4, 5)
SHORT = NoiseSchedule.linear(50, 1e-3, 0.2)
SCHEDULES = {  # ours, and what diffusers has to be told for the same
    "linear": (SHORT, {"beta_schedule": "linear", "beta_start": 1e-3, "beta_end": 0.2}),
    "scaled": (
        NoiseSchedule.scaled_linear(50, 0.005, 0.15),
        {"beta_schedule": "scaled_linear", "beta_start": 0.005, "beta_end": 0.15},
    ),
    "cosine": (NoiseSchedule.cosine(50), {"beta_schedule": "squaredcos_cap_v2"}),
}
EXACT, UNTOUCHED = 1e-9, 1e-3  # relative to the largest value; asked for: 1e-6 and 1e-3


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=generator(seed), dtype=dtype)


def raw_net(x, t):
    """A network that is not linear, knows t and stays of order one."""
    t = t.view(-1, *[1] * (x.ndim - 1))
    return 0.9 * x + 0.3 * torch.sin(x + t / 7)


def eps_from(kind, x, t, predicted, schedule):
    """Find the noise that a prediction stands for."""
    alpha_bar = schedule.exact_alpha_bar
    scales = gather(alpha_bar.sqrt(), t, x), gather((1 - alpha_bar).sqrt(), t, x)
    return unmix(x, predicted, *scales, kind)[1]


def as_denoiser(prediction_type, schedule):
    """What a user has to write around a network that predicts something else than ε."""
    kind = {"epsilon": "eps", "v_prediction": "v", "sample": "x0"}[prediction_type]
    return lambda x, t: eps_from(kind, x, t, raw_net(x, t), schedule)


def distance(a, b):
    return ((a - b).abs().max() / b.abs().max()).item()


def make_exact(scheduler, schedule):
    """Give a scheduler our tables in float64; its own are float32."""
    scheduler.betas, scheduler.alphas = schedule.exact_beta, schedule.exact_alpha
    scheduler.alphas_cumprod = alpha_bar = schedule.exact_alpha_bar
    scheduler.one = scheduler.final_alpha_cumprod = torch.ones((), dtype=torch.float64)
    if hasattr(scheduler, "lambda_t"):
        scheduler.alpha_t, scheduler.sigma_t = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        scheduler.lambda_t = scheduler.alpha_t.log() - scheduler.sigma_t.log()
        scheduler.sigmas = torch.cat(
            [(1 / alpha_bar - 1).sqrt()[scheduler.timesteps], torch.zeros(1, dtype=torch.float64)]
        )
    return scheduler


def assert_same_trajectory(steps, oracle, x, tolerance, net=raw_net):
    """Walk with ``oracle(raw, t, t_after, x) -> (x_after, x0_pred)`` beside our steps."""
    steps = list(steps)
    for step, after in itertools.zip_longest(steps, steps[1:]):
        t = torch.full((len(x),), step.t)
        x, x0_pred = oracle(net(x, t), step.t, after.t if after else -1, x)
        assert distance(step.x_t, x) < tolerance
        assert x0_pred is None or distance(step.x0_pred, x0_pred) < tolerance
    return steps


# --- against diffusers ---


def ddpm_oracle(name, *, variance="small", exact=True, **options):
    schedule, settings = SCHEDULES[name]
    scheduler = DDPMScheduler(
        schedule.num_train_steps, variance_type=f"fixed_{variance}", **settings, **options
    )
    if exact:
        make_exact(scheduler, schedule)
    draws = generator(7)

    def step(raw, t, _, x):
        done = scheduler.step(raw, t, x, generator=draws)
        return done.prev_sample, done.pred_original_sample

    return step


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("variance", ["small", "large"])
@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
def test_ddpm_walks_as_the_library_does(name, variance, clip, prediction_type):
    schedule, x_T = SCHEDULES[name][0], noise(*SHAPE)
    for exact, tolerance in ((True, EXACT), (False, UNTOUCHED)):
        oracle = ddpm_oracle(
            name, variance=variance, exact=exact, clip_sample=clip, prediction_type=prediction_type
        )
        steps = ddpm_sample(
            as_denoiser(prediction_type, schedule), x_T, schedule,
            variance=variance, clip_x0=clip, generator=generator(7),
        )  # fmt: skip
        steps = assert_same_trajectory(steps, oracle, x_T, tolerance)
        assert [step.t for step in steps] == list(range(50))[::-1]


def ddim_oracle(name, schedule, *, eta, clip, exact=True, **options):
    scheduler = DDIMScheduler(
        schedule.num_train_steps, clip_sample=clip, **SCHEDULES[name][1], **options
    )
    scheduler.set_timesteps(schedule.num_train_steps)
    if exact:
        make_exact(scheduler, schedule)
    draws = generator(7)

    def step(raw, t, t_after, x):
        # its step takes t - T // S for the next one; we say where we go, since 50 / 7 is not whole
        scheduler.register_to_config(num_train_timesteps=t - t_after)
        scheduler.num_inference_steps = 1
        done = scheduler.step(raw, t, x, eta=eta, use_clipped_model_output=clip, generator=draws)
        return done.prev_sample, done.pred_original_sample

    return step


@pytest.mark.parametrize("spacing", ["trailing", "leading", "linspace"])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("num_sample_steps", [1, 7, 10, 50])
def test_ddim_walks_as_the_library_does(spacing, eta, clip, num_sample_steps):
    x_T = noise(*SHAPE)
    for name, exact in (("linear", True), ("linear", False), ("cosine", True)):
        schedule = SCHEDULES[name][0]
        oracle = ddim_oracle(name, schedule, eta=eta, clip=clip, exact=exact)
        steps = ddim_sample(
            raw_net, x_T, schedule, num_sample_steps=num_sample_steps, eta=eta, spacing=spacing,
            clip_x0=clip, generator=generator(7),
        )  # fmt: skip
        steps = assert_same_trajectory(steps, oracle, x_T, EXACT if exact else UNTOUCHED)
        assert [step.t for step in steps] == sample_timesteps(50, num_sample_steps, spacing)


@pytest.mark.parametrize("prediction_type", ["v_prediction", "sample"])
def test_ddim_walks_as_the_library_does_whatever_the_network_predicts(prediction_type):
    schedule, x_T = SCHEDULES["scaled"][0], noise(*SHAPE)
    options = {"eta": 0.5, "clip": True, "prediction_type": prediction_type}
    steps = ddim_sample(
        as_denoiser(prediction_type, schedule), x_T, schedule,
        num_sample_steps=10, eta=0.5, clip_x0=True, generator=generator(7),
    )  # fmt: skip
    assert_same_trajectory(steps, ddim_oracle("scaled", schedule, **options), x_T, EXACT)


def test_ddim_with_the_librarys_own_timesteps_and_default_length():
    schedule, x_T = NoiseSchedule.linear(), noise(*SHAPE)
    scheduler = DDIMScheduler(clip_sample=False, timestep_spacing="trailing")
    scheduler.set_timesteps(50)
    make_exact(scheduler, schedule)
    steps = list(ddim_sample(raw_net, x_T, schedule))
    assert [step.t for step in steps] == scheduler.timesteps.tolist()

    def oracle(raw, t, _, x):
        done = scheduler.step(raw, t, x)
        return done.prev_sample, done.pred_original_sample

    assert_same_trajectory(steps, oracle, x_T, EXACT)


def solver_oracle(name, timesteps, *, exact, clip, prediction_type="epsilon"):
    """Without custom timesteps where ``timesteps`` is a count; clipping is called thresholding."""
    schedule, settings = SCHEDULES[name]
    scheduler = DPMSolverMultistepScheduler(
        schedule.num_train_steps, algorithm_type="dpmsolver++", solver_order=2,
        lower_order_final=True, final_sigmas_type="zero", timestep_spacing="trailing",
        thresholding=clip, sample_max_value=1.0, prediction_type=prediction_type, **settings,
    )  # fmt: skip
    with warnings.catch_warnings(action="ignore"):  # NumPy's, about tables that it converts
        if isinstance(timesteps, int):
            scheduler.set_timesteps(timesteps)
        else:
            scheduler.set_timesteps(timesteps=timesteps)
    if exact:
        make_exact(scheduler, schedule)
    return lambda raw, t, _, x: (scheduler.step(raw, t, x).prev_sample, None)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("num_sample_steps", [1, 2, 3, 10, 25, 50])
def test_the_solver_walks_as_the_library_does(name, clip, num_sample_steps):
    schedule, x_T = SCHEDULES[name][0], noise(*SHAPE)
    for exact, tolerance in ((True, 1e-6), (False, UNTOUCHED)):  # it rounds x_t to float32
        steps = dpm_solver_sample(
            raw_net, x_T, schedule, num_sample_steps=num_sample_steps, clip_x0=clip
        )
        oracle = solver_oracle(name, num_sample_steps, exact=exact, clip=clip)
        steps = assert_same_trajectory(steps, oracle, x_T, tolerance)
        assert [step.t for step in steps] == sample_timesteps(50, num_sample_steps)


@pytest.mark.parametrize("spacing", ["leading", "linspace"])
def test_the_solver_walks_as_the_library_does_on_other_timesteps(spacing):
    x_T = noise(*SHAPE)
    timesteps = sample_timesteps(50, 12, spacing)
    steps = dpm_solver_sample(raw_net, x_T, SHORT, num_sample_steps=12, spacing=spacing)
    oracle = solver_oracle("linear", timesteps, exact=True, clip=False)
    assert_same_trajectory(steps, oracle, x_T, 1e-6)


@pytest.mark.parametrize("prediction_type", ["v_prediction", "sample"])
def test_the_solver_walks_as_the_library_does_whatever_the_network_predicts(prediction_type):
    x_T = noise(*SHAPE)
    denoiser = as_denoiser(prediction_type, SHORT)
    steps = dpm_solver_sample(denoiser, x_T, SHORT, num_sample_steps=10)
    oracle = solver_oracle("linear", 10, exact=True, clip=False, prediction_type=prediction_type)
    assert_same_trajectory(steps, oracle, x_T, 1e-6)


def test_all_timesteps_are_the_librarys():
    """Where T (S - i) / S or the like ends in .5, its floats may round the other way than we."""
    for spacing in ("trailing", "leading", "linspace"):
        scheduler = DDIMScheduler(300, timestep_spacing=spacing)
        num_other = 0
        for num_sample_steps in range(2, 301):
            ours = sample_timesteps(300, num_sample_steps, spacing)
            assert len(set(ours)) == num_sample_steps
            assert sorted(ours, reverse=True) == ours
            assert 0 <= ours[-1] <= ours[0] <= 299
            scheduler.set_timesteps(num_sample_steps)
            theirs = scheduler.timesteps[:num_sample_steps].numpy()  # 61 trailing steps are 62
            num_other += list(theirs) != ours
            assert np.abs(theirs - ours).max() <= (spacing != "leading")
        assert num_other <= 30
    assert sample_timesteps(1000, 4) == [999, 749, 499, 249]
    assert sample_timesteps(1000, 4, "leading") == [750, 500, 250, 0]
    assert sample_timesteps(1000, 4, "linspace") == [999, 666, 333, 0]
    assert sample_timesteps(1000, 1, "linspace") == sample_timesteps(1000, 1) == [999]


# --- the contract of all samplers ---

SAMPLERS = {
    "ddpm small": lambda net, x, **kw: ddpm_sample(net, x, SHORT, generator=generator(1), **kw),
    "ddpm large": lambda net, x, **kw: ddpm_sample(
        net, x, SHORT, variance="large", generator=generator(1), **kw
    ),
    "ddim": lambda net, x, **kw: ddim_sample(net, x, SHORT, num_sample_steps=7, **kw),
    "ddim noisy": lambda net, x, **kw: ddim_sample(
        net, x, SHORT, num_sample_steps=7, eta=1.0, generator=generator(1), **kw
    ),
    "solver": lambda net, x, **kw: dpm_solver_sample(net, x, SHORT, num_sample_steps=7, **kw),
    "inpaint": lambda net, x, **kw: inpaint_sample(
        net, x, SHORT, x0=torch.zeros_like(x), mask=torch.zeros_like(x), num_sample_steps=7,
        num_resamples=2, jump_length=3, generator=generator(1), **kw,
    ),
    "sdedit": lambda net, x, **kw: sdedit(
        net, x, SHORT, strength=0.6, num_sample_steps=7, generator=generator(1), **kw
    ),
}  # fmt: skip
every_sampler = pytest.mark.parametrize("sample", SAMPLERS.values(), ids=SAMPLERS)


@every_sampler
def test_the_network_sees_the_state_before_and_the_record_has_the_one_after(sample):
    seen = []

    def denoiser(x, t):
        assert t.dtype == torch.int64
        assert t.shape == (len(x),)
        seen.append((int(t[0]), x))
        return raw_net(x, t)

    steps = list(sample(denoiser, noise(3, 2)))
    assert [step.t for step in steps] == [t for t, _ in seen]
    for before, step, (_, x) in zip(steps, steps[1:], seen[1:], strict=False):
        if step.t < before.t:  # no jump in between
            assert torch.equal(before.x_t, x)
        assert not torch.equal(step.x_t, x)


@every_sampler
def test_the_last_step_ends_at_the_predicted_image_without_noise(sample):
    *_, before, last = sample(raw_net, noise(3, 2))
    assert torch.equal(last.x_t, last.x0_pred)
    eps = raw_net(before.x_t, torch.full((3,), last.t))
    alpha_bar = SHORT.exact_alpha_bar[last.t]
    by_hand = (before.x_t - (1 - alpha_bar).sqrt() * eps) / alpha_bar.sqrt()
    torch.testing.assert_close(last.x_t, by_hand)


@every_sampler
def test_same_generator_same_sample_and_the_start_is_left_alone(sample):
    x = noise(3, 2)
    before = x.clone()
    first, second = ([step.x_t for step in sample(raw_net, x)] for _ in range(2))
    assert all(map(torch.equal, first, second))
    assert torch.equal(x, before)


@every_sampler
@pytest.mark.parametrize("shape", [(3, 4), (1, 1, 4), (3, 1, 2, 2), (2, 1, 2, 1, 2), (64, 1)])
def test_any_rank_and_batch_size(sample, shape):
    *_, last = sample(raw_net, noise(*shape))
    *_, flat = sample(raw_net, noise(*shape).reshape(shape[0], -1))
    torch.testing.assert_close(last.x_t.reshape(shape[0], -1), flat.x_t)


@every_sampler
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_any_dtype_goes_through(sample, dtype):
    def denoiser(x, t):
        assert x.dtype == dtype
        return raw_net(x, t).to(dtype)

    for step in sample(denoiser, noise(3, 2, dtype=dtype)):
        assert step.x_t.dtype == step.x0_pred.dtype == dtype
        assert torch.isfinite(step.x_t).all()


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float16, 8e-4), (torch.bfloat16, 5e-3)]
)
@pytest.mark.parametrize("sampler", [ddim_sample, dpm_solver_sample])
def test_short_floats_do_not_drift_over_many_steps(sampler, dtype, tolerance):
    """With a state rounded to bfloat16 after each of 50 steps the error is 1e-2."""
    schedule = NoiseSchedule.linear()

    def denoiser(x, t):  # the best one for N(0, 1)
        share = schedule.exact_alpha_bar[t][:, None]
        return ((1 - share).sqrt() * x.double()).to(x.dtype)

    x = noise(500, 2).to(dtype)
    *_, last = sampler(denoiser, x, schedule, num_sample_steps=50)
    *_, exact = sampler(denoiser, x.double(), schedule, num_sample_steps=50)
    assert (last.x_t.double() - exact.x_t).square().mean().sqrt() < tolerance


@every_sampler
def test_a_network_under_autocast_may_answer_in_a_shorter_dtype(sample):
    for step in sample(lambda x, t: raw_net(x, t).bfloat16(), noise(3, 2)):
        assert step.x_t.dtype == torch.float64


@every_sampler
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_gpu_starts_and_ends_where_the_cpu_does(sample):
    x = noise(3, 2)
    on_cpu, on_gpu = list(sample(raw_net, x)), list(sample(raw_net, x.cuda()))
    for a, b in zip(on_cpu, on_gpu, strict=True):
        assert b.x_t.is_cuda
        torch.testing.assert_close(a.x_t, b.x_t.cpu())


@every_sampler
def test_no_gradients_are_kept_and_the_callers_are_not_switched_off(sample):
    weight = noise(2, 2, seed=3).requires_grad_()
    for step in sample(lambda x, t: x @ weight, noise(3, 2).requires_grad_()):
        assert not step.x_t.requires_grad
        assert not step.x0_pred.requires_grad
        assert torch.is_grad_enabled()


@every_sampler
def test_clipping_holds_every_predicted_image_in_range(sample):
    free = [step.x0_pred.abs().max() for step in sample(raw_net, noise(3, 2))]
    clipped = [step.x0_pred.abs().max() for step in sample(raw_net, noise(3, 2), clip_x0=True)]
    assert max(free) > 1.05
    assert max(clipped) == 1


# --- how much noise is drawn ---


def draws_made(draws, shape, dtype=torch.float64):
    """Count the draws of a shape that bring a fresh generator of the same seed to this state."""
    fresh = generator(1)
    for count in range(500):
        if torch.equal(fresh.get_state(), draws.get_state()):
            return count
        torch.randn(shape, generator=fresh, dtype=dtype)
    raise AssertionError("the generator drew something else")


@pytest.mark.parametrize("variance", ["small", "large"])
def test_ddpm_draws_once_a_step_and_not_at_t_0(variance):
    draws, x = generator(1), noise(3, 2)
    steps = ddpm_sample(raw_net, x, SHORT, variance=variance, generator=draws)
    for count, _ in enumerate(steps, 1):
        assert draws_made(draws, x.shape) == min(count, SHORT.num_train_steps - 1)


@pytest.mark.parametrize("eta", [0.0, 0.3])
def test_ddim_draws_once_a_step_and_not_in_the_last(eta):
    draws, x = generator(1), noise(3, 2)
    list(ddim_sample(raw_net, x, SHORT, num_sample_steps=9, eta=eta, generator=draws))
    assert draws_made(draws, x.shape) == (8 if eta else 0)


def test_noise_is_drawn_in_the_dtype_of_the_start():
    draws, x = generator(1), noise(3, 2, dtype=torch.bfloat16)
    list(ddpm_sample(raw_net, x, SHORT, generator=draws))
    assert draws_made(draws, x.shape, torch.bfloat16) == SHORT.num_train_steps - 1


# --- samplers among each other, and the package's own formulas ---


def test_ddpm_is_ddim_with_all_steps_and_eta_1():
    x = noise(*SHAPE)
    for clip in (False, True):
        settings = {"clip_x0": clip, "generator": generator(3)}
        ddim = ddim_sample(raw_net, x, SHORT, num_sample_steps=50, eta=1.0, **settings)
        ddpm = ddpm_sample(raw_net, x, SHORT, clip_x0=clip, generator=generator(3))
        for a, b in zip(ddim, ddpm, strict=True):
            assert distance(a.x_t, b.x_t) < EXACT


def test_ddpm_steps_by_the_posterior_at_the_predicted_image():
    x, draws = noise(*SHAPE), generator(3)
    for step in ddpm_sample(raw_net, x, SHORT, generator=generator(3)):
        mean, variance = posterior(step.x0_pred, x, torch.full((2,), step.t), SHORT)
        z = torch.randn(SHAPE, generator=draws, dtype=torch.float64) if step.t else 0
        torch.testing.assert_close(step.x_t, mean + variance.sqrt() * z)
        x = step.x_t


def test_the_solvers_first_step_is_ddims():
    x = noise(*SHAPE)
    ddim, solver = (
        list(f(raw_net, x, SHORT, num_sample_steps=5)) for f in (ddim_sample, dpm_solver_sample)
    )
    assert distance(solver[0].x_t, ddim[0].x_t) < EXACT
    assert distance(solver[1].x_t, ddim[1].x_t) > 1e-3


def test_a_perfect_network_leads_back_to_the_image():
    x0 = noise(*SHAPE, seed=5).clamp(-1, 1)

    def denoiser(x, t):
        return eps_from("x0", x, t, x0, SHORT)

    for name in ("ddpm small", "ddpm large", "ddim", "ddim noisy", "solver"):
        *_, last = SAMPLERS[name](denoiser, noise(*SHAPE))
        torch.testing.assert_close(last.x_t, x0)


# --- guidance ---


class LabelNet(nn.Module):
    """ε depends on the label, and every call is remembered."""

    null_label = 4

    def __init__(self):
        super().__init__()
        self.calls = []

    def forward(self, x, t, labels=None):
        self.calls.append((len(x), t, labels))
        if labels is None:
            return torch.zeros_like(x)
        shift = labels.double() if labels.ndim == 1 else labels.double().sum(1)
        return torch.sin(x) + shift[:, None]


def test_guidance_pushes_from_the_null_label_to_the_label():
    net, x, t = LabelNet(), noise(3, 2), torch.tensor([5, 6, 7])
    labels = torch.tensor([0, 1, 3])
    eps = guided(net, labels, guidance_scale=2.5)(x, t)
    uncond, cond = net(x, t, torch.full((3,), 4)), net(x, t, labels)
    torch.testing.assert_close(eps, uncond + 2.5 * (cond - uncond))
    (num_rows, t_seen, seen), *_ = net.calls
    assert num_rows == 6
    assert seen.tolist() == [4, 4, 4, 0, 1, 3]
    assert t_seen.tolist() == [5, 6, 7, 5, 6, 7]


def test_vectors_are_guided_away_from_zeros():
    net, x, t, vectors = LabelNet(), noise(3, 2), torch.tensor([5, 6, 7]), noise(3, 6, seed=2)
    eps = guided(net, vectors, guidance_scale=0.5)(x, t)
    uncond, cond = torch.sin(x), torch.sin(x) + vectors.sum(1)[:, None]
    torch.testing.assert_close(eps, 0.5 * uncond + 0.5 * cond)
    assert (net.calls[0][2][:3] == 0).all()


def test_scale_1_computes_only_the_conditional_half_and_0_is_unconditional():
    net, x, t, labels = LabelNet(), noise(3, 2), torch.tensor([5, 6, 7]), torch.tensor([0, 1, 3])
    alone = guided(net, labels, guidance_scale=1)(x, t)
    assert [call[0] for call in net.calls] == [3]
    assert torch.equal(alone, conditional(net, labels)(x, t))
    assert torch.equal(guided(net, labels, guidance_scale=0)(x, t), net(x, t, torch.full((3,), 4)))
    assert torch.equal(conditional(net, None)(x, t), torch.zeros_like(x))
    near = guided(net, labels, guidance_scale=1 + 1e-12)(x, t)
    torch.testing.assert_close(near, alone)


def test_a_guided_sample_is_drawn_by_any_sampler():
    denoiser = guided(LabelNet(), torch.tensor([0, 1, 3]), guidance_scale=3.0)
    for sample in SAMPLERS.values():
        *_, last = sample(denoiser, noise(3, 2))
        assert last.x_t.shape == (3, 2)


@pytest.mark.parametrize(
    ("labels", "scale", "net", "message"),
    [
        (torch.tensor([0, 1, 3], dtype=torch.int32), 2.0, LabelNet(), "int64 of shape"),
        (torch.tensor([[0], [1], [3]]), 2.0, LabelNet(), r"got \(torch.int64, \(3, 1\)\)"),
        ([0, 1, 3], 2.0, LabelNet(), "int64 of shape"),
        (torch.ones(3), 2.0, LabelNet(), r"vectors of shape \(n, d\)"),
        (torch.tensor([0, 1, 3]), math.nan, LabelNet(), "guidance_scale: expected a number"),
        (torch.tensor([0, 1, 3]), 2.0, raw_net, "null_label"),
    ],
)
def test_bad_guidance_is_refused(labels, scale, net, message):
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(guided)(net, labels, guidance_scale=scale)


def test_another_number_of_labels_than_rows_is_refused():
    labels = torch.tensor([0, 1, 3])
    for denoiser in (
        guided(LabelNet(), labels, guidance_scale=3.0),
        conditional(LabelNet(), labels),
    ):
        with pytest.raises(ValueError, match="as many labels as rows of x_t, 5, got 3"):
            denoiser(noise(5, 2), torch.zeros(5, dtype=torch.int64))


# --- editing ---


def half_mask(*shape):
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[..., : shape[-1] // 2] = True
    return mask


def test_inpainting_walks_as_the_library_does():
    x_T, x0, mask = noise(*SHAPE), noise(*SHAPE, seed=1), half_mask(*SHAPE)
    scheduler = RePaintScheduler(50, 1e-3, 0.2, eta=1.0, clip_sample=False)
    scheduler.set_timesteps(50, jump_length=1, jump_n_sample=1)
    make_exact(scheduler, SHORT)
    draws = generator(7)

    def oracle(raw, t, _, x):
        done = scheduler.step(raw, t, x, x0, mask.double(), generator=draws)
        return done.prev_sample, done.pred_original_sample

    steps = inpaint_sample(
        raw_net, x_T, SHORT, x0=x0, mask=mask, num_sample_steps=50, num_resamples=1,
        generator=generator(7),
    )  # fmt: skip
    assert_same_trajectory(steps, oracle, x_T, EXACT)


def test_a_jump_puts_back_the_noise_of_the_steps_it_jumps():
    x_T, x0, mask, draws = noise(3, 4), noise(3, 4, seed=1), half_mask(1, 4), generator(7)
    moves = moves_between(SHORT, sample_timesteps(50, 6))
    steps = list(
        inpaint_sample(
            raw_net, x_T, SHORT, x0=x0, mask=mask, num_sample_steps=6, num_resamples=2,
            jump_length=2, generator=generator(7),
        )
    )  # fmt: skip
    assert [step.t for step in steps] == [
        *(move.t for move in (*moves[:3], moves[1], moves[2], *moves[3:5])),
        *(move.t for move in (moves[3], moves[4], moves[5])),
    ]

    def draw():
        return torch.randn(x_T.shape, generator=draws, dtype=torch.float64)

    x, at = x_T, iter(steps)
    for left, after in itertools.pairwise(resampling_path(6, 2, 2)):
        if after > left:
            share = SHORT.exact_alpha[moves[6 - left].t + 1 : moves[6 - after].t + 1].prod()
            x = share.sqrt() * x + (1 - share).sqrt() * draw()
            continue
        step, move = next(at), moves[6 - left]
        t = torch.full((3,), move.t)
        eps = raw_net(x, t)
        if after:
            z = draw()
            known = q_sample(x0, torch.full((3,), moves[7 - left].t), z, SHORT)
            a, b = move.alpha_bar, move.alpha_bar_prev
            sigma = math.sqrt((1 - b) / (1 - a) * (1 - a / b))
            x0_pred = (x - math.sqrt(1 - a) * eps) / math.sqrt(a)
            unknown = math.sqrt(b) * x0_pred + math.sqrt(1 - b - sigma**2) * eps + sigma * z
            x = torch.where(mask, known, unknown)
            torch.testing.assert_close(step.x_t, x)


@pytest.mark.parametrize(
    "mask",
    [
        half_mask(2, 3, 4, 5),
        half_mask(1, 1, 4, 5),
        half_mask(2, 1, 1, 5).double(),
        half_mask(1, 3, 4, 5).long(),
    ],
    ids=["bool", "one for all", "float", "int"],
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_known_part_is_kept_to_the_bit_and_only_that(mask, dtype):
    x_T, x0 = noise(*SHAPE, dtype=dtype), noise(*SHAPE, seed=1, dtype=dtype)
    *_, last = inpaint_sample(
        raw_net, x_T, SHORT, x0=x0, mask=mask, num_sample_steps=6, num_resamples=2, jump_length=2,
        generator=generator(),
    )  # fmt: skip
    known = mask.bool().expand(SHAPE)
    assert torch.equal(last.x_t[known], x0[known])
    assert (last.x_t[~known] != x0[~known]).all()
    assert torch.equal(last.x_t[~known], last.x0_pred[~known])


def test_the_path_of_resampling_is_the_papers():
    for num_steps, num_resamples, jump_length in [(50, 5, 5), (250, 10, 10), (20, 3, 1), (9, 1, 4)]:
        scheduler = RePaintScheduler(num_steps)
        scheduler.set_timesteps(num_steps, jump_length=jump_length, jump_n_sample=num_resamples)
        single = []  # the path with jumps one step at a time
        for left, after in itertools.pairwise(
            resampling_path(num_steps, num_resamples, jump_length)
        ):
            single += range(left + 1, after + 1) if after > left else [after]
        assert [num_steps, *single] == [*(scheduler.timesteps + 1).tolist(), 0]
    assert resampling_path(4, 2, 1) == [4, 3, 4, 3, 2, 3, 2, 1, 2, 1, 0]


@pytest.mark.parametrize(
    ("strength", "num_taken"), [(1.0, 20), (0.5, 10), (0.3, 6), (0.01, 1), (0.29, 6)]
)
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_sdedit_noises_to_its_first_step_and_goes_on_as_ddim(strength, num_taken, eta):
    x0, draws = noise(*SHAPE, seed=1), generator(7)
    steps = list(
        sdedit(
            raw_net, x0, SHORT, strength=strength, num_sample_steps=20, eta=eta,
            generator=generator(7),
        )
    )  # fmt: skip
    timesteps = sample_timesteps(50, 20)[-num_taken:]
    assert [step.t for step in steps] == timesteps
    eps = torch.randn(SHAPE, generator=draws, dtype=torch.float64)
    x = q_sample(x0, torch.full((2,), timesteps[0]), eps, SHORT)
    scheduler = make_exact(DDIMScheduler(50, clip_sample=False), SHORT)

    def oracle(raw, t, t_after, x):
        scheduler.register_to_config(num_train_timesteps=t - t_after)
        scheduler.num_inference_steps = 1
        done = scheduler.step(raw, t, x, eta=eta, generator=draws)
        return done.prev_sample, done.pred_original_sample

    assert_same_trajectory(steps, oracle, x, EXACT)


# --- bad input ---

X = noise(3, 4)
GOOD = {
    ddpm_sample: {"generator": generator()},
    ddim_sample: {},
    dpm_solver_sample: {},
    inpaint_sample: {"x0": X, "mask": half_mask(3, 4), "generator": generator()},
    sdedit: {"strength": 0.5, "generator": generator()},
}
STEPPED = (ddim_sample, dpm_solver_sample, inpaint_sample, sdedit)
BAD_STARTS = {
    "one axis": (X[0], "two axes or more"),
    "integers": (X.long(), "a tensor of floats"),
    "nan": (torch.full((3, 4), math.nan), "NaN"),
    "infinity": (torch.full((3, 4), math.inf), "infinity"),
    "array": (X.numpy(), "a tensor of floats"),
    "bytes": (torch.linspace(0, 255, 96).reshape(2, 3, 4, 4), r"images in \[-1, 1\], or noise"),
    "about 0": (torch.linspace(-128, 127, 96).reshape(2, 3, 4, 4), "images of bytes"),
}
BAD_SETTINGS = [
    *((f, {"num_sample_steps": s}, r"\[1, 50\]") for f in STEPPED for s in (0, 51, -3, True)),
    *((f, {"eta": e}, r"eta: .* in \[0, 1\]") for f in (ddim_sample, sdedit) for e in (-0.1, 1.1)),
    (ddim_sample, {"eta": math.nan}, r"eta: .* in \[0, 1\]"),
    (ddim_sample, {"eta": 0.5}, "eta = 0.5 draws noise"),
    *((f, {"generator": None}, "torch.Generator") for f in (ddpm_sample, inpaint_sample, sdedit)),
    (ddpm_sample, {"generator": 3}, r"manual_seed\(0\)"),
    (ddpm_sample, {"variance": "learned"}, "small, large"),
    *((sdedit, {"strength": s}, r"strength: .* \(0, 1\]") for s in (0, -0.5, 1.01, math.nan, "1")),
    (inpaint_sample, {"x0": X[:2]}, "one shape"),
    (inpaint_sample, {"x0": X.float()}, "one dtype"),
    (inpaint_sample, {"x0": X * math.nan}, "NaN"),
    (inpaint_sample, {"mask": half_mask(4)}, "as many axes as x_T"),
    (inpaint_sample, {"mask": half_mask(3, 2)}, "as long as there or 1"),
    (inpaint_sample, {"mask": half_mask(3, 4) * 0.5}, "mask > 0.5"),
    (inpaint_sample, {"mask": X * math.nan}, "mask > 0.5"),
    (inpaint_sample, {"mask": None}, "got NoneType"),
    (inpaint_sample, {"num_resamples": 0}, "num_resamples"),
    (inpaint_sample, {"jump_length": 0}, "jump_length"),
    (inpaint_sample, {"num_sample_steps": 5, "jump_length": 5}, "jump less far"),
]


def call(sampler, x=X, schedule=SHORT, **settings):
    """Call as users do, without the hook that checks types in tests; no step is asked for."""
    settings = {"num_sample_steps": 10} | settings if sampler in STEPPED else settings
    return inspect.unwrap(sampler)(raw_net, x, schedule, **GOOD[sampler] | settings)


@pytest.mark.parametrize("sampler", GOOD)
@pytest.mark.parametrize("bad", BAD_STARTS)
def test_a_bad_start_is_refused_at_the_call(sampler, bad):
    x, message = BAD_STARTS[bad]
    settings = GOOD[sampler] | ({"x0": x} if "x0" in GOOD[sampler] else {})
    with pytest.raises(ValueError, match=message):
        call(sampler, x, **settings)
    if bad in ("nan", "infinity", "bytes", "about 0"):  # and with the hook
        with pytest.raises(ValueError, match=message):
            sampler(raw_net, x, SHORT, **settings)
    else:
        with pytest.raises((ValueError, TypeCheckError)):
            sampler(raw_net, x, SHORT, **settings)


@pytest.mark.parametrize("sampler", GOOD)
def test_what_is_no_schedule_is_refused_at_the_call(sampler):
    for schedule in (None, SHORT.exact_beta, "linear"):
        with pytest.raises(ValueError, match=r"NoiseSchedule.linear\(\)"):
            call(sampler, schedule=schedule)


@pytest.mark.parametrize(("sampler", "settings", "message"), BAD_SETTINGS)
def test_bad_settings_are_refused_at_the_call(sampler, settings, message):
    with pytest.raises(ValueError, match=message):
        call(sampler, **settings)


@pytest.mark.parametrize("sampler", GOOD)
@pytest.mark.parametrize("answer", [lambda x, t: x[:, :2], lambda x, t: x[:1], lambda x, t: None])
def test_a_denoisers_answer_of_another_shape_is_refused(sampler, answer):
    settings = {"num_sample_steps": 10} if sampler in STEPPED else {}
    steps = sampler(answer, X, SHORT, **GOOD[sampler] | settings)
    with pytest.raises(ValueError, match=r"noise of x_t's shape \(3, 4\)"):
        next(steps)


def test_bad_counts_and_spacings_of_timesteps_are_refused():
    plain = inspect.unwrap(sample_timesteps)
    for num_sample_steps in (0, 101, 2.0, True, None):
        with pytest.raises(ValueError, match=r"num_sample_steps: .* whole .* in \[1, 100\]"):
            plain(100, num_sample_steps)
    with pytest.raises(ValueError, match="one of trailing, leading, linspace, got 'even'"):
        plain(100, 10, "even")
    for settings in ({"spacing": "even"}, {"num_sample_steps": 2.0}):
        for sampler in STEPPED:
            with pytest.raises((ValueError, TypeCheckError)):  # the hook sees it first
                sampler(raw_net, X, SHORT, **GOOD[sampler] | settings)


def test_good_settings_are_taken():
    for sampler in GOOD:
        assert next(call(sampler)).x_t.shape == X.shape
