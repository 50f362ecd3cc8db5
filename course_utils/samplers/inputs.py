"""Complain about bad input when a sampler is called, not when its first step is asked for."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from course_utils.diffusion import NoiseSchedule
from course_utils.diffusion.inputs import check_tensors


def check_start(schedule: Any, **starts: Any) -> None:
    """Refuse a schedule that is none, and batches that no network could denoise.

    Args:
        schedule: should be a `NoiseSchedule`.
        starts: one or more batches, by the names under which the learner knows them.

    Raises:
        ValueError: no schedule; no floats of shape (n, …), NaN or infinity, or batches that differ
            in shape, dtype or device.
    """
    if not isinstance(schedule, NoiseSchedule):
        raise ValueError(
            f"expected a NoiseSchedule, got {type(schedule).__name__}; make one with "
            "NoiseSchedule.linear() or NoiseSchedule(beta), the same as in training"
        )
    check_tensors(**starts)
    kinds = {name: (str(x.dtype), str(x.device)) for name, x in starts.items()}
    if len(set(kinds.values())) > 1:
        raise ValueError(f"expected one dtype and one device, got {kinds}; convert with .to(x_T)")


def check_count(name: str, value: Any, *, most: int | None = None, what: str = "") -> None:
    """Refuse a number of steps that is not whole, under 1 or too high.

    Raises:
        ValueError: as said.
    """
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not is_whole or value < 1 or (most is not None and value > most):
        upper = "" if most is None else f" to {most} ({what})"
        raise ValueError(f"expected {name} to be a whole number from 1{upper}, got {value!r}")


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Refuse a word that is none of the choices.

    Raises:
        ValueError: it is none of them.
    """
    if value not in choices:
        raise ValueError(f"expected {name} to be one of {', '.join(choices)}, got {value!r}")


def check_share(name: str, value: Any, *, zero: bool) -> None:
    """Refuse a number outside [0, 1], or outside (0, 1] where zero makes no sense.

    Raises:
        ValueError: it is outside.
    """
    is_number = isinstance(value, int | float) and math.isfinite(value)
    if not is_number or not 0 <= value <= 1 or (value == 0 and not zero):
        raise ValueError(f"expected {name} in {'[' if zero else '('}0, 1], got {value!r}")


def check_generator(generator: Any, why: str) -> None:
    """Refuse to fall back on the global random state.

    Raises:
        ValueError: there is no generator.
    """
    if not isinstance(generator, torch.Generator):
        raise ValueError(
            f"expected a torch.Generator, since {why}, got {generator!r}; pass "
            "generator=torch.Generator().manual_seed(0)"
        )


def read_mask(mask: Any, x: Float[Tensor, " n *shape"]) -> Bool[Tensor, "..."]:
    """Turn a mask of ones and zeros into booleans next to ``x``.

    Raises:
        ValueError: it holds other values, or does not line up with the axes of ``x``.
    """
    if (
        not isinstance(mask, Tensor)
        or mask.ndim != x.ndim
        or any(size not in (1, full) for size, full in zip(mask.shape, x.shape, strict=False))
    ):
        got = tuple(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(
            f"expected a mask with as many axes as x_T, each as long as there or 1, so for "
            f"{tuple(x.shape)}, got {got}; add axes with mask[None, None]"
        )
    if not ((mask == 0) | (mask == 1)).all():
        raise ValueError(
            "expected a mask of True and False, or of 1 (keep) and 0 (draw anew), got other "
            "values; choose a threshold, such as mask > 0.5"
        )
    return mask.to(x.device, torch.bool)
