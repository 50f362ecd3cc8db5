"""A check of notebook 04 about copies: which drawings lie suspiciously near a training image?"""

from itertools import islice
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from course_utils.checks.results import Hint, check, run

_COPIES = frozenset({4, 11, 17, 30, 38})
_SCALES = (1.0, 0.05)  # the second world's distances are twenty times shorter
_NUM_TRAIN, _NUM_HELD_OUT, _NUM_SYNTHETIC, _WIDTH = 200, 150, 40, 8


@check("04_ex6")
def check_04_ex6(value: Any) -> None:
    """Check a function that finds copies of training images among synthetic ones.

    ``find_copies(synthetic, train, held_out) -> list[int]``: the rows of ``synthetic`` that lie
    nearer to their nearest training image than *any* held-out real image lies to its own. It is
    tried in two feature spaces whose distances differ by a factor of twenty.

    Args:
        value: the function; features are float64 tensors, one row an image.

    Returns:
        Whether it finds the five planted copies and no others, or what went wrong.
    """
    for scale in _SCALES:
        synthetic, train, held_out = (scale * part for part in _make_world())
        parts = (part.clone() for part in (synthetic, train, held_out))
        found = _as_rows(run(value, *parts))
        if found != _COPIES:
            _judge_rows(found, (synthetic, train, held_out), is_first=scale == _SCALES[0])


def _make_world() -> tuple[Float[Tensor, "n d"], Float[Tensor, "t d"], Float[Tensor, "m d"]]:
    """Draw features with five copies, twins among the drawings, and look-alikes of held-out ones.

    Whatever is no copy is farther from the training set than a tenth of the held-out images, so
    that thresholds at their minimum and at a low quantile find the same.
    """
    generator = torch.Generator().manual_seed(2)

    def draw(num: int) -> Float[Tensor, "num d"]:
        return torch.randn(num, _WIDTH, generator=generator).double()

    train = draw(_NUM_TRAIN)
    train[150] = train[151] + 0.35 / _WIDTH**0.5  # two photographs of one place
    held_out = _apart(draw(4 * _NUM_HELD_OUT), train, least=1.0)[:_NUM_HELD_OUT]
    least = float(_nearest(held_out, train).quantile(0.1)) + 0.1
    synthetic = _apart(draw(8 * _NUM_SYNTHETIC), train, least=least)[:_NUM_SYNTHETIC]
    synthetic[21] = synthetic[8] + 0.01  # twins, but copies of no training image
    far = torch.nonzero(_nearest(held_out, train) > least + 0.2)[:2, 0]
    synthetic[[2, 26]] = held_out[far] + 0.02  # nobody was trained on these
    for k, row in enumerate(sorted(_COPIES)):
        push = draw(1)[0]
        synthetic[row] = train[7 * k + 3] + (0.1 + 0.1 * k) * push / push.norm()
    return synthetic, train, held_out


def _apart(
    rows: Float[Tensor, "n d"], train: Float[Tensor, "t d"], *, least: float
) -> Float[Tensor, "k d"]:
    """Keep rows whose nearest training row is at least so far away."""
    return rows[_nearest(rows, train) >= least].clone()


def _nearest(rows: Float[Tensor, "n d"], bank: Float[Tensor, "m d"]) -> Float[Tensor, " n"]:
    return torch.cdist(rows, bank).min(dim=1).values


def _as_rows(answer: Any) -> frozenset[int]:
    """Read rows, given as a list, an array, a tensor or a mask."""
    try:
        if isinstance(answer, str | bytes | dict):
            raise TypeError
        found = np.asarray(list(islice(answer, 10 * _NUM_SYNTHETIC)))
        if found.dtype == bool and found.shape == (_NUM_SYNTHETIC,):
            found = np.flatnonzero(found)
        if found.size and (found.ndim != 1 or (found != found.astype(int)).any()):
            raise TypeError
        rows = [int(row) for row in found]
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise Hint("04_ex6.form") from error
    if any(not 0 <= row < _NUM_SYNTHETIC for row in rows):
        raise Hint("04_ex6.rows", row=max(rows, key=abs), num=_NUM_SYNTHETIC)
    return frozenset(rows)


def _judge_rows(
    found: frozenset[int],
    world: tuple[Float[Tensor, "n d"], Float[Tensor, "t d"], Float[Tensor, "m d"]],
    *,
    is_first: bool,
) -> None:
    if not is_first:
        raise Hint("04_ex6.fixed")
    for key, mistake in _mistakes(*world):
        if found == frozenset(torch.nonzero(mistake)[:, 0].tolist()):
            raise Hint(f"04_ex6.{key}")
    too_many, missing = sorted(found - _COPIES), sorted(_COPIES - found)
    own = _nearest(world[0], world[1])
    threshold = f"{_nearest(world[2], world[1]).min():.2f}"
    row = (too_many or missing)[0]
    key = "04_ex6.too_many" if too_many else "04_ex6.missing"
    raise Hint(key, row=row, distance=f"{own[row]:.2f}", threshold=threshold)


def _mistakes(
    synthetic: Float[Tensor, "n d"], train: Float[Tensor, "t d"], held_out: Float[Tensor, "m d"]
) -> list[tuple[str, Tensor]]:
    """List what common wrong functions find, as masks, with the keys of their hints."""
    own, fair = _nearest(synthetic, train), _nearest(held_out, train)
    swapped = _nearest(synthetic, held_out)
    among = torch.cdist(synthetic, synthetic).fill_diagonal_(torch.inf).min(dim=1).values
    within = torch.cdist(train, train).fill_diagonal_(torch.inf).min(dim=1).values
    return [
        ("none", torch.zeros_like(own, dtype=torch.bool)),
        ("all", torch.ones_like(own, dtype=torch.bool)),
        ("sign", own > fair.min()),
        ("typical", own < fair.quantile(0.5)),
        ("typical", own < fair.mean()),
        ("held_out", swapped < fair.min()),
        ("held_out", swapped < _nearest(train, held_out).min()),
        ("among", among < fair.min()),
        ("own_train", own < within.min()),
    ]
