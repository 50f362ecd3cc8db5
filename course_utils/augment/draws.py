"""What all draws share: numbers between bounds, partners, and the checks of both."""

import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from torch import Generator, Tensor

Real = float | int
Bounds = tuple[Real, Real]  # lowest and highest value, both included


def check_bounds(name: str, bounds: Any, *, low: Real = -math.inf, high: Real = math.inf) -> None:
    """Refuse bounds that are not two finite numbers in order, from ``low`` to ``high``.

    Raises:
        ValueError: it says the name and what the bounds may be.
    """
    try:
        first, last = (float(bound) for bound in bounds)
    except (TypeError, ValueError):
        first, last = math.nan, math.nan
    if not (low <= first <= last <= high and math.isfinite(first) and math.isfinite(last)):
        raise ValueError(
            f"{name}: expected the lowest and the highest value, from {low:g} to {high:g}, such as "
            f"({max(low, 0):g}, {min(high, 1):g}), got {bounds!r}"
        )


def check_share(name: str, share: Any) -> None:
    """Refuse what is no number from 0 to 1.

    Raises:
        ValueError: it says the name.
    """
    if not isinstance(share, float | int) or not 0 <= share <= 1:
        raise ValueError(f"{name}: expected a share from 0 to 1, got {share!r}")


def check_count(name: str, params: Tensor, num: int) -> None:
    """Refuse parameters that are not one an image.

    Raises:
        ValueError: it says the name and both numbers.
    """
    if len(params) != num:
        raise ValueError(
            f"{name}: expected one an image, {num}, got {len(params)}; draw for this batch"
        )


def check_order(order: Tensor, num: int) -> None:
    """Refuse partners that are not one image of the batch for each.

    Raises:
        ValueError: another number of them, or a partner that is not there.
    """
    check_count("order", order, num)
    if order.min() < 0 or order.max() >= num:
        raise ValueError(f"order: expected images 0 to {num - 1}, got {order.tolist()}")


def uniform(num: int, bounds: Bounds, generator: Generator) -> Float32[Tensor, " {num}"]:
    """Draw numbers between bounds, all equally likely; equal bounds give just that number."""
    low, high = bounds
    return low + (high - low) * torch.rand(num, generator=generator)


def log_uniform(num: int, bounds: Bounds, generator: Generator) -> Float32[Tensor, " {num}"]:
    """Draw ratios between bounds above 0, a half as likely as a double."""
    low, high = bounds
    return low * (high / low) ** torch.rand(num, generator=generator)


def beta(num: int, alpha: Real, generator: Generator) -> Float64[Tensor, " {num}"]:
    """Draw shares from Beta(alpha, alpha): 1 is uniform, below 1 prefers the ends.

    NumPy draws them, since torch's gamma draws take no generator.
    """
    seed = int(torch.randint(2**62, (), generator=generator))
    return torch.from_numpy(np.random.default_rng(seed).beta(alpha, alpha, size=num))


def partners(num: int, generator: Generator) -> Int64[Tensor, " {num}"]:
    """Draw for each image one to mix with; each is taken once, and may meet itself."""
    return torch.randperm(num, generator=generator)


def take(params: Any, rows: slice) -> Any:
    """Take what was drawn for some images: of each tensor in it, these rows."""
    if isinstance(params, Tensor):
        return params[rows]
    parts = {field.name: getattr(params, field.name) for field in fields(params)}
    return replace(params, **{n: p[rows] for n, p in parts.items() if isinstance(p, Tensor)})
