"""Checks of notebook 01 on sampling: a step of DDPM, a step of DDIM, a guided prediction."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from course_utils.checks.judging import (
    Mistakes,
    as_asked,
    as_tensor,
    check,
    compare,
    judge,
    read_tensor,
    run,
    tell,
)
from course_utils.checks.notebook_01_tables import SCHEDULE, make_images, with_globals
from course_utils.diffusion import NoiseSchedule

Images = tuple[Tensor, Tensor, Tensor]  # x_t, eps_pred, z
_LAST = SCHEDULE.num_train_steps - 1
_DDPM_STEPS = (11, 3, 0, _LAST, *range(1, _LAST))  # the ends after the middle has been right
_DDIM_STEPS = (
    *((12, 10, eta) for eta in (1.0, 0.5, 0.0)),
    *((6, -1, eta) for eta in (1.0, 0.0)),
    *((t, 0, eta) for t in (_LAST, 1) for eta in (1.0, 0.5, 0.0)),
    *((0, -1, eta) for eta in (1.0, 0.0)),
    (_LAST, _LAST - 1, 0.5),
)
_SCALES, _NUM_CLASSES = (3.0, 1.5, 0.5, 1.0), 5


def ddpm_step(x_t, t, eps_pred, z, schedule):
    """Take one step back with the variance β_t."""
    beta, alpha, alpha_bar = schedule.beta[t], schedule.alpha[t], schedule.alpha_bar[t]
    mean = (x_t - beta / (1 - alpha_bar).sqrt() * eps_pred) / alpha.sqrt()
    return mean + beta.sqrt() * z if t > 0 else mean


def _ddpm_mistakes(x_t: Tensor, t: int, eps: Tensor, z: Tensor, schedule: Any) -> Mistakes:
    def mean(beta: Tensor, bar: Tensor) -> Tensor:
        return (x_t - beta / (1 - bar).sqrt() * eps) / (1 - beta).sqrt()

    bars, betas, is_noisy = schedule.alpha_bar, schedule.beta, t > 0
    beta, bar, wrapped = betas[t], bars[t], bars[t - 1]
    prev, alpha = wrapped if is_noisy else torch.tensor(1.0), 1 - beta
    right, scale, fresh = mean(beta, bar), beta / (1 - bar).sqrt(), beta.sqrt() * is_noisy * z
    small = [((1 - some) / (1 - bar) * beta).sqrt() for some in (prev, wrapped)]
    to_image = (x_t - (1 - bar).sqrt() * eps) / bar.sqrt()
    yield "globals", *(ddpm_step(x_t, t, eps, z, each) for each in with_globals(schedule))
    yield "last_step", right + beta.sqrt() * z
    yield "small", *(right + sigma * z for sigma in small)
    yield "variance", right + beta * is_noisy * z, right + beta * z
    yield "too_early" if t < 3 else "first_step" if t == _LAST else "no_noise", right
    yield "total", right + (1 - bar).sqrt() * z
    yield "inside", right + fresh / alpha.sqrt()
    yield "alpha", mean(beta, alpha) + fresh
    yield "alpha_bar", (x_t - scale * eps) / bar.sqrt() + fresh
    yield "to_image", to_image, to_image + fresh
    yield "no_root_alpha", (x_t - scale * eps) / alpha + fresh
    yield "no_root_eps", (x_t - beta / (1 - bar) * eps) / alpha.sqrt() + fresh
    yield "not_scaled", x_t - scale * eps + fresh
    yield "sign", (x_t + scale * eps) / alpha.sqrt() + fresh
    yield "shrunk", (x_t - scale * eps) * alpha.sqrt() + fresh
    for other in (t - 1, min(t + 1, _LAST)):
        wrong, sigma = mean(betas[other], bars[other]), betas[other].sqrt()
        yield "off_by_one", wrong + sigma * z, wrong + sigma * is_noisy * z


@check(ddpm_step)
def check_01_ex6(value: Any) -> Any:
    """Check ``ddpm_step(x_t, t, eps_pred, z, schedule)``, a step of DDPM with σ_t² = β_t.

    (x_t - β_t / √(1 - ᾱ_t) eps_pred) / √α_t + √β_t z, without z at t = 0.

    Args:
        value: the function; tensors are (n, c, h, w), t is an int, 0-based.

    Source:
        Ho et al. 2020 (arXiv:2006.11239), algorithm 2, with the first choice of section 3.2.
    """
    x_t, eps_pred, z = make_images(seed=2, num=3)
    cases = [(x_t, t, eps_pred, z, SCHEDULE) for t in _DDPM_STEPS]
    say = {"say": lambda found, right, x_t, t, *_: {"t": t}}
    return compare(value, cases, ddpm_step, _ddpm_mistakes, **say)


def ddim_step(x_t, t, t_prev, eps_pred, z, eta, schedule):
    """Take one step from t to any earlier step."""
    alpha_bar = schedule.alpha_bar[t]
    alpha_bar_prev = schedule.alpha_bar[t_prev] if t_prev >= 0 else torch.tensor(1.0)
    x0_pred = (x_t - (1 - alpha_bar).sqrt() * eps_pred) / alpha_bar.sqrt()
    variance = (1 - alpha_bar_prev) / (1 - alpha_bar) * (1 - alpha_bar / alpha_bar_prev)
    sigma = eta * variance.sqrt()
    direction = (1 - alpha_bar_prev - sigma**2).sqrt()
    return alpha_bar_prev.sqrt() * x0_pred + direction * eps_pred + sigma * z


def _root(x: Tensor) -> Tensor:
    """Take a root; rounding and wrong tables may bring its argument below 0."""
    return x.clamp(min=0).sqrt()


def _ddim(images: Images, bar: Tensor, prev: Tensor, eta: float, **parts: Tensor) -> Tensor:
    """Take a step with other values of ᾱ, or with other parts than the formula has."""
    x_t, eps, z = images
    x0 = parts.get("x0", (x_t - (1 - bar).sqrt() * eps) / bar.sqrt())
    sigma = parts.get("sigma", eta * _root((1 - prev) / (1 - bar)) * _root(1 - bar / prev))
    direction = parts.get("direction", _root(1 - prev - sigma**2))
    return parts.get("root", prev.sqrt()) * x0 + direction * eps + parts.get("fresh", sigma) * z


def _ddim_mistakes(
    images: Images, steps: tuple[int, int], eta: float, schedule: NoiseSchedule
) -> Mistakes:
    """List the right formula with ᾱ of wrong steps or another table, then wrong formulas."""
    (t, t_prev), bars, alphas = steps, schedule.alpha_bar, schedule.alpha
    start = partial(_ddim, images, bars[t], eta=eta)
    x_t, eps, z = images
    others = with_globals(schedule)
    yield "globals", *(ddim_step(x_t, t, t_prev, eps, z, eta, each) for each in others)
    if t_prev == 0:
        yield "zero", start(torch.tensor(1.0))
    if t_prev < 0:
        yield "end", start(bars[t_prev]), start(bars[0])
    yield "neighbor", start(bars[t - 1])
    yield "stays", start(bars[t])
    yield "off_by_one", _ddim(images, bars[t - 1], bars[max(t_prev, 0) - 1], eta)
    yield "off_by_one", _ddim(images, bars[min(t + 1, _LAST)], bars[t_prev + 1], eta)
    yield "alpha", _ddim(images, alphas[t], alphas[max(t_prev, 0)], eta)
    prev = bars[t_prev] if t_prev >= 0 else torch.tensor(1.0)
    yield from _ddim_formulas(images, bars[t], prev, eta)


def _ddim_formulas(images: Images, bar: Tensor, prev: Tensor, eta: float) -> Mistakes:
    """List wrong formulas with the right ᾱ."""
    (x_t, eps, _), step = images, partial(_ddim, images, bar, prev, eta)
    one, two = _root((1 - prev) / (1 - bar)), _root(1 - bar / prev)
    sigma, none, rest = eta * one * two, torch.tensor(0.0), 1 - bar
    x0 = (x_t - rest.sqrt() * eps) / bar.sqrt()
    yield "not_reduced", step(direction=(1 - prev).sqrt())
    yield "not_squared", step(direction=_root(1 - prev - sigma))
    yield "ignored", step(sigma=none)
    yield "always", step(sigma=one * two)
    yield "eta_squared", step(sigma=eta**2 * one * two), step(sigma=eta**0.5 * one * two)
    yield "variance", step(fresh=sigma**2)
    yield "half_sigma", step(sigma=eta * one), step(sigma=eta * two)
    yield "fresh", step(direction=none, fresh=(1 - prev).sqrt())
    yield "no_direction", step(direction=none)
    yield "no_noise", step(fresh=none)
    yield "no_root", step(root=prev, direction=1 - prev - sigma**2)
    yield "no_root_direction", step(direction=1 - prev - sigma**2)
    flat = (x_t - rest * eps) / bar
    yield "no_root_x0", step(x0=x0 / bar.sqrt()), step(x0=flat), step(x0=flat * bar.sqrt())
    yield "clipped", step(x0=x0.clamp(-1, 1))
    yield "image", x0


@check(ddim_step)
def check_01_ex7(value: Any) -> Any:
    """Check ``ddim_step(x_t, t, t_prev, eps_pred, z, eta, schedule)``, to any earlier step.

    √ᾱ_prev x̂_0 + √(1 - ᾱ_prev - σ²) eps_pred + σ z, with σ = η √((1 - ᾱ_prev) / (1 - ᾱ_t)) √(1 -
    ᾱ_t / ᾱ_prev); t_prev = -1 stands for the image, where ᾱ_prev is 1.

    Args:
        value: the function; tensors are (n, c, h, w), t and t_prev are ints, 0-based.

    Source:
        Song et al. 2020 (arXiv:2010.02502), equations 12 and 16; their α is our ᾱ.
    """
    x_t, eps_pred, z = images = tuple(make_images(seed=3, num=3))
    kept = []
    for t, t_prev, eta in _DDIM_STEPS:
        case = x_t, t, t_prev, eps_pred, z, eta, SCHEDULE
        answer, right = run(value, *case, again=bool(kept)), ddim_step(*case)
        kept.append((answer, right))
        tell([("end", t_prev < 0 and as_tensor(answer).isnan().any())])
        found = read_tensor(answer, x_t.shape)
        wrong = _ddim_mistakes(images, (t, t_prev), eta, SCHEDULE)
        judge(found, right, wrong, t=t, t_prev=t_prev, eta=f"{eta:g}")
    return as_asked(value, kept)


def predict(net, x_t, t, labels, guidance_scale):
    """Predict with and without labels, dropout off, and mix both."""
    was_training = net.training
    net.eval()
    with torch.no_grad():
        uncond, cond = net(x_t, t, None), net(x_t, t, labels)
    net.train(was_training)
    return uncond + guidance_scale * (cond - uncond)


def guidance_mistakes(uncond: Tensor, cond: Tensor, scale: float) -> Mistakes:
    """List wrong ways to mix two predictions, also for notebook 04."""
    yield "zero_is_none", cond + scale * (cond - uncond)
    yield "swapped", cond + scale * (uncond - cond)
    yield "sign", uncond + scale * (uncond - cond)
    yield "no_start", scale * (cond - uncond)
    yield "ignored", cond
    yield "unguided", uncond


class _Modes(list):
    """A list that stays one and the same when the network that holds it is copied."""

    def __deepcopy__(self, memo: dict) -> "_Modes":
        return self


class _Dropout(nn.Module):
    """Drop half of the values in training mode, every other one: no need to draw them."""

    def forward(self, x: Tensor) -> Tensor:
        kept = torch.arange(x.numel()).reshape(x.shape) % 2
        return x * kept * 2 if self.training else x


class _Net(nn.Module):
    """A network with dropout that remembers in which mode it was called."""

    def __init__(self) -> None:
        super().__init__()
        self.null_label = _NUM_CLASSES
        self.factor = nn.Parameter(torch.tensor(0.7))
        self.shift = nn.Parameter(torch.linspace(-1, 1, _NUM_CLASSES + 1).exp())
        self.dropout = _Dropout()
        self.modes = _Modes()

    def forward(self, x_t: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        self.modes.append(self.training or self.dropout.training)
        if labels is None:
            labels = torch.full((len(x_t),), self.null_label)
        told = self.shift[labels] + 0.01 * t
        return self.dropout(self.factor * x_t + told[:, None, None, None] * x_t.sign())


@check(predict)
def check_01_ex8(value: Any) -> Any:
    """Check ``predict(net, x_t, t, labels, guidance_scale)``: uncond + s (cond - uncond).

    These are ``net(x_t, t, None)`` and ``net(x_t, t, labels)``, dropout off, without gradients; the
    network is afterwards in the mode in which it was before.

    Args:
        value: the function; x_t is a float tensor (n, c, h, w), t and labels are int64 (n,).

    Source:
        Ho and Salimans 2022 (arXiv:2207.12598), equation 6, with s = w + 1.
    """
    x_t = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(7))
    t, labels, kept = torch.tensor([0, 5, 9]), torch.tensor([0, 2, 4]), []
    for scale, was_training in zip(_SCALES, (True, False, True, False), strict=True):
        net = _Net().train(was_training)
        answer = run(value, net, x_t, t, labels, scale, again=bool(kept))
        changed = any(module.training != was_training for module in net.modules())
        signs = [("not_called", not net.modes), ("train", any(net.modes))]
        signs += [("not_restored" if was_training else "always_train", changed)]
        tell([*signs, ("frozen", not all(x.requires_grad for x in net.parameters()))])
        found = read_tensor(answer, x_t.shape)
        tell([("gradient", isinstance(answer, Tensor) and answer.requires_grad)])
        net.eval()
        with torch.no_grad():
            uncond, cond = net(x_t, t), net(x_t, t, labels)
        right = uncond + scale * (cond - uncond)
        kept.append((answer, right))
        judge(found, right, _guidance_mistakes(uncond, cond, scale), scale=f"{scale:g}")
    return as_asked(value, kept)


def _guidance_mistakes(uncond: Tensor, cond: Tensor, scale: float) -> Mistakes:
    if scale < 1:
        yield "below_one", cond, uncond
    yield from guidance_mistakes(uncond, cond, scale)
