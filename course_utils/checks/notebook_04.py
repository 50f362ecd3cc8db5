"""Checks of notebook 04 on drawing: guidance, a DDIM step, settings, zoom levels, prompts."""

import math
from collections import Counter
from functools import partial
from itertools import islice, product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_utils.checks.judging import Hint, Mistakes, check, compare, run, tell
from course_utils.checks.letters import judge_letters
from course_utils.checks.notebook_01_steps import guidance_mistakes

_SCALES = (3.0, 7.5, 1.0, 0.0)  # first where mistakes differ
_NOISE_LEVELS = ((0.3, 0.55), (0.02, 0.1), (0.9, 0.999))  # alpha_bar of this step and of the next
# none amid two levels, but three nearer to one level in meters and to another as a factor
_SIZES = (1.0, 0.5, 10.0, 30.0, 2.4, 3.2, 0.6, 4.5, 19.0, 1.45, 0.72, 11.6, 0.1, 600.0)
_PHRASES = ("a river", "a forest", "an airport", "a place damaged by wind")
_TEMPLATES = ("a satellite photo of {}.", "{} seen from above.", "an aerial image of {}.")
_CASES = ((_PHRASES, _TEMPLATES, 6), (_PHRASES[:3], _TEMPLATES, 7), (_PHRASES[:2], _TEMPLATES, 2))
_TRUE = frozenset("acfh")  # what is said about settings
_MANY = 1000  # far more prompts than any case asks for


def guide(uncond, cond, guidance_scale):
    """Push a prediction away from the one without a sentence."""
    return uncond + guidance_scale * (cond - uncond)


def _guide_mistakes(uncond: Tensor, cond: Tensor, scale: float) -> Mistakes:
    yield from guidance_mistakes(uncond, cond, scale)
    yield "sum", uncond + scale * cond
    yield "scaled", scale * cond
    yield "average", (uncond + cond) / 2
    yield "clipped", guide(uncond, cond, scale).clamp(-1, 1)


@check(guide)
def check_04_ex1(value: Any) -> Any:
    """Check ``guide(uncond, cond, guidance_scale)``: uncond + s (cond - uncond), 1 is no guidance.

    Args:
        value: the function; both predictions are float tensors (n, c, h, w).

    Source:
        Ho and Salimans 2022 (arXiv:2207.12598), equation 6, with s = w + 1.
    """
    uncond, cond = _draw_two()

    def say(answer: Tensor, right: Tensor, *case: Any) -> dict[str, object]:
        return {"scale": f"{case[2]:g}"}

    cases = [(uncond, cond, scale) for scale in _SCALES]
    return compare(value, cases, guide, _guide_mistakes, same=_are_near, say=say, jointly=True)


def _draw_two() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 2, 3, 4, 4, generator=generator)
    return first, second


def _are_near(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a.double(), b.double(), atol=1e-4)


def ddim_step(x_t, v_pred, alpha_bar, alpha_bar_prev):
    """Split the prediction into image and noise, and mix them with less noise."""
    x0_pred = alpha_bar.sqrt() * x_t - (1 - alpha_bar).sqrt() * v_pred
    eps_pred = (1 - alpha_bar).sqrt() * x_t + alpha_bar.sqrt() * v_pred
    return alpha_bar_prev.sqrt() * x0_pred + (1 - alpha_bar_prev).sqrt() * eps_pred


def _step_mistakes(x_t: Tensor, v: Tensor, now: Tensor, after: Tensor) -> Mistakes:
    def mix(x0: Tensor, eps: Tensor) -> Tensor:
        return after.sqrt() * x0 + (1 - after).sqrt() * eps

    signal, noise = now.sqrt(), (1 - now).sqrt()
    x0, eps = signal * x_t - noise * v, noise * x_t + signal * v
    yield "not_stepped", x_t
    yield "only_x0", x0, after.sqrt() * x0
    yield "only_eps", eps, (1 - after).sqrt() * eps
    yield "swapped", ddim_step(x_t, v, after, now)
    yield "as_noise", mix((x_t - noise * v) / signal, v), mix(x0, v)
    yield "as_image", mix(v, (x_t - signal * v) / noise), mix(v, eps)
    yield "x0_sign", mix(signal * x_t + noise * v, eps)
    yield "eps_sign", mix(x0, noise * x_t - signal * v)
    yield "exchanged", mix(eps, x0)
    yield "clipped", mix(x0.clamp(-1, 1), eps), mix(x0, eps).clamp(-1, 1)
    yield "no_root", ddim_step(x_t, v, now**2, after**2)
    plain = now * x_t - (1 - now) * v, (1 - now) * x_t + now * v
    yield "no_root", after * plain[0] + (1 - after) * plain[1], mix(*plain)
    yield "no_root", after * x0 + (1 - after) * eps
    yield "not_one_minus", after.sqrt() * x0 + (1 - after.sqrt()) * eps


@check(ddim_step)
def check_04_ex7(value: Any) -> Any:
    """Check ``ddim_step(x_t, v_pred, alpha_bar, alpha_bar_prev)``, a step without new noise.

    x0_pred = √ᾱ x_t - √(1 - ᾱ) v, eps_pred = √(1 - ᾱ) x_t + √ᾱ v, and √ᾱ_prev x0_pred +
    √(1 - ᾱ_prev) eps_pred is given back.

    Args:
        value: the function; the first two are float tensors (n, c, h, w), the others of one number.

    Source:
        Song et al. 2021 (arXiv:2010.02502), equation 12 with σ = 0; v as in Salimans and Ho 2022
        (arXiv:2202.00512), appendix D.
    """
    x_t, v_pred = _draw_two()
    cases = [(x_t, v_pred, *map(torch.tensor, levels)) for levels in _NOISE_LEVELS]

    def say(answer: Tensor, right: Tensor, *case: Any) -> dict[str, object]:
        return {"now": f"{case[2]:.3g}", "next": f"{case[3]:.3g}"}

    return compare(value, cases, ddim_step, _step_mistakes, same=_are_near, say=say)


@check(_TRUE)
def check_04_ex9(value: Any) -> None:
    """Check which of eight sentences on seed, scale, steps, sampler, template and level are true.

    Args:
        value: letters, as a set, a list or a string.
    """
    judge_letters(value, _TRUE)


def zoom_level(meters_per_pixel):
    """Find the nearest level, between 10 and 18."""
    level = round(17 - np.log2(meters_per_pixel))
    return min(max(level, 10), 18)


def _level_mistakes(size: float) -> Mistakes:
    """List wrong levels, each also rounded and within the limits."""
    exact = 17 - math.log2(size)
    meters = [abs(2.0 ** (17 - level) - size) for level in range(10, 19)]
    yield "meters", 10 + meters.index(min(meters))
    yield "limits", min(round(exact), 18), max(round(exact), 10)
    yield "limits_swapped", max(min(round(exact), 10), 18), min(max(round(exact), 18), 10)
    for key, level in (
        ("limits", round(exact)),
        ("floor", math.floor(exact)),
        ("ceil", math.ceil(exact)),
        ("truncated", 17 - int(math.log2(size))),
        ("not_rounded", exact),
        ("log10", 17 - math.log10(size)),
        ("natural", 17 - math.log(size)),
        ("sign", 17 + math.log2(size)),
        ("inverse", 2 ** (17 - size)),
        ("offset", 1 + exact),
        ("pixels", math.log2(156_543.034 / size)),
    ):
        levels = level, round(level)
        yield key, *levels, *(min(max(x, 10), 18) for x in levels)


@check(zoom_level)
def check_04_ex2(value: Any) -> Any:
    """Check ``zoom_level(meters_per_pixel) -> int``: round(17 - log2(meters)), within 10 and 18.

    Args:
        value: the function; its argument is a float above 0.

    Source:
        Text2Earth, Liu et al. 2025 (arXiv:2501.00895): 2^(17 - level) meters a pixel.
    """

    def say(answer: float, right: int, size: float) -> dict[str, object]:
        return {"size": size, "answer": f"{answer:.4g}", "right": right}

    options = {"same": partial(math.isclose, abs_tol=1e-6), "watch": False, "jointly": True}
    return compare(
        value, [(size,) for size in _SIZES], zoom_level, _level_mistakes, say=say, **options
    )


def write_prompts(phrases, templates, per_class):
    """Go round the templates within every class."""
    prompts, labels = [], []
    for label, phrase in enumerate(phrases):
        for i in range(per_class):
            prompts.append(templates[i % len(templates)].replace("{}", phrase))
            labels.append(label)
    return prompts, labels


@check(write_prompts)
def check_04_ex3(value: Any) -> None:
    """Check ``write_prompts(phrases, templates, per_class) -> (prompts, labels)`` in three cases.

    Exactly ``per_class`` prompts a class, each with the number of its class, and within a class
    each template as often as any other, or once more or less where ``per_class`` is no multiple.

    Args:
        value: the function; a template has curly braces where the phrase goes.
    """
    for phrases, templates, per_class in _CASES:
        answer = run(value, list(phrases), list(templates), per_class, watch=False)
        prompts, labels = _as_lists(answer)
        places = product(enumerate(phrases), enumerate(templates))
        made = {t.replace("{}", p): (k, i) for (k, p), (i, t) in places}
        unknown = next((prompt for prompt in prompts if prompt not in made), None)
        if unknown is not None:
            tell([("braces", "{" in unknown), ("no_template", unknown in phrases)], prompt=unknown)
            raise Hint("unknown", prompt=unknown[:80])
        counts = Counter(made[prompt] for prompt in prompts)
        table = [[counts[k, i] for i in range(len(templates))] for k in range(len(phrases))]
        sizes, num, each = {sum(row) for row in table}, len(templates), len(templates) * per_class
        if sizes != {per_class}:
            tell([("each_template", sizes == {each})], num=each, right=per_class)
            tell([("one_each", sizes == {num})], num=num, right=per_class)
            tell([("in_all", len(prompts) == per_class)], num=per_class)
            raise Hint("unbalanced", low=min(sizes), high=max(sizes), right=per_class)
        truth = [made[prompt][0] for prompt in prompts]
        tell([("from_one", labels != truth and labels == [k + 1 for k in truth])])
        for prompt, label, right in zip(prompts, labels, truth, strict=True):
            tell([("label", label != right)], prompt=prompt, label=label, right=right)
        if per_class > 1 and all(sum(map(bool, row)) == 1 for row in table):
            is_one = len({row.index(max(row)) for row in table}) == 1
            raise Hint("one_template" if is_one else "lockstep")
        for row in table:
            tell([("templates", max(row) - min(row) > 1)], counts=" + ".join(map(str, row)))


def _as_lists(answer: Any) -> tuple[list[str], list[int]]:
    try:
        if isinstance(answer, str | dict | set):
            raise TypeError
        prompts, labels = (list(islice(part, _MANY)) for part in islice(answer, 3))
        if not all(isinstance(prompt, str) for prompt in prompts):
            raise TypeError
        if any(isinstance(label, str) or int(label) != label for label in labels):
            raise TypeError
    except (TypeError, ValueError) as error:
        raise Hint("form") from error
    differ = len(prompts) != len(labels)
    tell([("lengths", differ)], prompts=len(prompts), labels=len(labels))
    return prompts, [int(label) for label in labels]
