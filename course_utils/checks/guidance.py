"""Checks of notebook 04 about sampling: guidance by hand, and the zoom level of a pixel size."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from course_utils.checks.results import Hint, check, number, run

_SCALES = (3.0, 7.5, 1.0)  # first where mistakes differ
_SIZES = {  # zoom level by meters a pixel; no size lies near the middle of two levels
    1.0: 17, 0.5: 18, 10.0: 14, 30.0: 12, 2.4: 16, 3.2: 15,
    0.6: 18, 4.5: 15, 19.0: 13, 0.1: 18, 600.0: 10,
}  # fmt: skip
_LOWEST, _HIGHEST = 10, 18


@check("04_ex1")
def check_04_ex1(value: Any) -> None:
    """Check a function that guides a prediction.

    ``guide(uncond, cond, guidance_scale)``: uncond + s (cond - uncond), where 1 is no guidance.

    Args:
        value: the function; both predictions are float tensors (n, c, h, w).

    Returns:
        Whether it is right at several scales, or what went wrong.

    Source:
        Ho and Salimans 2022 (arXiv:2207.12598), equation 6, with s = w + 1.
    """
    generator = torch.Generator().manual_seed(0)
    uncond, cond = (torch.randn(2, 3, 4, 4, generator=generator) for _ in range(2))
    for scale in _SCALES:
        given = uncond.clone(), cond.clone()
        answer = _as_tensor(run(value, *given, scale), uncond.shape)
        if not (torch.equal(given[0], uncond) and torch.equal(given[1], cond)):
            raise Hint("04_ex1.in_place")
        _judge_guided(answer, uncond, cond, scale)


def _as_tensor(answer: Any, shape: torch.Size) -> Float[Tensor, "n c h w"]:
    try:
        found = torch.as_tensor(answer).float()
    except (TypeError, ValueError, RuntimeError) as error:
        raise Hint("04_ex1.no_tensor", kind=type(answer).__name__) from error
    if found.shape != shape:
        raise Hint("04_ex1.shape", shape=tuple(found.shape), right=tuple(shape))
    return found


def _judge_guided(
    answer: Float[Tensor, "n c h w"],
    uncond: Float[Tensor, "n c h w"],
    cond: Float[Tensor, "n c h w"],
    scale: float,
) -> None:
    difference = cond - uncond
    right = uncond + scale * difference
    if torch.allclose(answer, right, atol=1e-4):
        return
    wrong = {
        "zero_is_none": cond + scale * difference,
        "swapped": cond - scale * difference,
        "sign": uncond - scale * difference,
        "no_start": scale * difference,
        "sum": uncond + scale * cond,
        "scaled": scale * cond,
        "ignored": cond,
        "unguided": uncond,
        "average": (uncond + cond) / 2,
        "clipped": right.clamp(-1, 1),
    }
    for key, other in wrong.items():
        if torch.allclose(answer, other, atol=1e-4):
            raise Hint(f"04_ex1.{key}")
    raise Hint("04_ex1.value", scale=f"{scale:g}")


@check("04_ex2")
def check_04_ex2(value: Any) -> None:
    """Check a function that finds the zoom level of a pixel size.

    ``zoom_level(meters_per_pixel) -> int``: round(17 - log2(meters per pixel)), at least 10 and at
    most 18.

    Args:
        value: the function; its argument is a float above 0.

    Returns:
        Whether it is right for sizes from 0.1 m to 600 m, or what went wrong.

    Source:
        Text2Earth, Liu et al. 2025 (arXiv:2501.00895): 2^(17 - level) meters a pixel.
    """
    answers = {size: number(run(value, size)) for size in _SIZES}
    if all(answers[size] == right for size, right in _SIZES.items()):
        return
    for key, mistake in _LEVEL_MISTAKES:
        if all(math.isclose(answers[size], mistake(size), abs_tol=1e-6) for size in _SIZES):
            raise Hint(f"04_ex2.{key}")
    size = next(size for size, right in _SIZES.items() if answers[size] != right)
    raise Hint("04_ex2.value", size=size, answer=f"{answers[size]:.4g}", right=_SIZES[size])


def _limit(level: int | float) -> int | float:
    return min(max(level, _LOWEST), _HIGHEST)


def _make_level_mistakes() -> list[tuple[str, Any]]:
    """List what common wrong functions answer, each with and without the limits."""

    def exact(size: float) -> float:
        return 17 - math.log2(size)

    wrong = {
        "limits": lambda size: round(exact(size)),
        "floor": lambda size: math.floor(exact(size)),
        "ceil": lambda size: math.ceil(exact(size)),
        "truncated": lambda size: 17 - int(math.log2(size)),
        "not_rounded": exact,
        "log10": lambda size: 17 - math.log10(size),
        "natural": lambda size: 17 - math.log(size),
        "sign": lambda size: 17 + math.log2(size),
        "inverse": lambda size: 2 ** (17 - size),
        "offset": lambda size: 1 + exact(size),
        "pixels": lambda size: math.log2(156_543.034 / size),
    }
    found = []
    for key, level in wrong.items():
        found.append((key, level))
        found.append((key, lambda size, level=level: round(level(size))))
        found.append((key, lambda size, level=level: _limit(level(size))))
        found.append((key, lambda size, level=level: _limit(round(level(size)))))
    return found


_LEVEL_MISTAKES = _make_level_mistakes()
