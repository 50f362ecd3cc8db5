"""Refuse what the formulas cannot mean: each check raises a ValueError that says what would do."""

import math
import reprlib
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

LARGEST = 10.0  # that images in [-1, 1], latents and noise of variance 1 have


def check_tensors(*, values: bool = True, **tensors: Any) -> None:
    """Refuse tensors that are no batch of floats, differ in shape, or hold NaN or infinity.

    Args:
        values: look at the values too, for which a GPU has to stop.
        tensors: by the names under which the learner knows them.
    """
    for name, x in tensors.items():
        if not isinstance(x, Tensor) or not x.is_floating_point():
            raise ValueError(
                f"{name}: expected a tensor of floats, got {_kind(x)}; images of bytes become "
                "floats by course_utils.images.to_model"
            )
        if x.dim() < 2:
            raise ValueError(
                f"{name}: expected a batch with two axes or more, such as (n, c, h, w) or (n, d), "
                f"got shape {tuple(x.shape)}; x[None] makes a batch of one"
            )
    if len({x.shape for x in tensors.values()}) > 1:
        shapes = ", ".join(f"{name} {tuple(x.shape)}" for name, x in tensors.items())
        raise ValueError(f"expected tensors of one shape, got {shapes}")
    for name, x in tensors.items():
        if values and not is_finite(x):
            raise ValueError(
                f"{name}: expected finite numbers, got NaN or infinity; look where they first "
                "appear: in the data, or in what the network predicts"
            )


def check_range(**tensors: Tensor) -> None:
    """Refuse images with values far from [-1, 1], such as bytes that were turned into floats.

    Args:
        tensors: by the names under which the learner knows them; rows of numbers, (n, d), are not
            looked at.
    """
    for name, x in tensors.items():
        if x.dim() < 3 or not x.numel():
            continue
        low, high = (end.item() for end in torch.aminmax(x.detach()))
        if max(-low, high) > LARGEST:
            raise ValueError(
                f"{name}: expected images in [-1, 1], or noise, got values from {low:.4g} to "
                f"{high:.4g}; course_utils.images.to_model makes images of bytes, 0 … 255"
            )


def check_t(t: Any, num_images: int, num_train_steps: int) -> None:
    """Refuse steps that are not one integer from 0 to T-1 for each image."""
    integer = isinstance(t, Tensor) and not (t.is_floating_point() or t.is_complex())
    if not integer or t.dtype == torch.bool:
        raise ValueError(
            f"t: expected a tensor of integers, one for each of {num_images} images, got "
            f"{_kind(t)}; torch.full(({num_images},), 5) puts all of them at step 5"
        )
    if t.shape != (num_images,):
        raise ValueError(
            f"t: expected shape ({num_images},), one step for each image, got {tuple(t.shape)}"
        )
    low, high = (int(end) for end in torch.aminmax(t)) if num_images else (0, 0)
    if low < 0 or high >= num_train_steps:
        raise ValueError(
            f"t: expected steps from 0 to {num_train_steps - 1} (0-based, so the paper's t minus "
            f"1), got {low if low < 0 else high}"
        )


def check_number(
    name: str, value: Any, interval: str, *, whole: bool = False, hint: str = ""
) -> None:
    """Refuse what is no number of an interval, such as "[0, 1)" or "(-inf, inf)"."""
    low, high = (float(end) for end in interval[1:-1].split(","))
    fits = isinstance(value, Integral if whole else Real) and not isinstance(value, bool)
    fits = fits and low <= value <= high  # NaN is not
    if not fits or (value == low and interval[0] == "(") or (value == high and interval[-1] == ")"):
        kind = "a whole number" if whole else "a number"
        raise ValueError(f"{name}: expected {kind} in {interval}{hint}, got {value!r}")


def check_choice(name: str, value: Any, choices: Sequence[Any]) -> None:
    """Refuse what is none of the choices."""
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(map(str, choices))}, got {value!r}")


def is_finite(x: Tensor) -> bool:
    """Say whether no value is NaN or infinite, by one sum where that is enough."""
    total = float(x.detach().sum())
    return math.isfinite(total) or bool(torch.isfinite(x).all())  # large floats may overflow


def _kind(x: Any) -> str:
    return (
        f"a tensor of {x.dtype}"
        if isinstance(x, Tensor)
        else f"{type(x).__name__} {reprlib.repr(x)}"
    )
