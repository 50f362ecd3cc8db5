"""Maps of land cover painted from a few numbers: a ground, a river, a road, a block of houses."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.spatial import KDTree

from mini_earth import LAND_COVER

# The middle of each side of a map, as shares of its width and height from the upper left.
SIDES = {"north": (0.5, 0.0), "east": (1.0, 0.5), "south": (0.5, 1.0), "west": (0.0, 0.5)}
WIDEST, MOST_HOUSES = 0.5, 6  # a strip's share of the map; houses along a side of a block
_HOUSE, _GAP = 5, 3  # pixels of a house, and between two
_SLACK = 0.02  # pixels; what lies exactly on the edge is inside, though a curve is only sampled


@dataclass(frozen=True)
class Strip:
    """A road or a river that enters a map in the middle of one side and leaves by another.

    Raises:
        ValueError: a side that no map has, one side twice, or a width or bend outside its range.
    """

    start: str = "west"  # of SIDES
    end: str = "east"
    width: float | int = 6  # pixels, 1 or more
    bend: float | int = 0  # -1 to 1: its middle is pushed to the left of who walks along it

    def __post_init__(self) -> None:
        """Refuse what cannot be painted on any map."""
        for side in (self.start, self.end):
            if side not in SIDES:
                raise ValueError(f"side: expected one of {', '.join(SIDES)}, got {side!r}")
        if self.start == self.end:
            raise ValueError(f"a strip leaves by another side than it enters, got {self.start!r}")
        if not self.width >= 1:
            raise ValueError(f"width: expected 1 pixel or more, got {self.width!r}")
        if not -1 <= self.bend <= 1:
            raise ValueError(f"bend: expected -1 to 1, got {self.bend!r}")


@dataclass(frozen=True)
class Block:
    """A square of houses in gardens around a place of the map.

    Raises:
        ValueError: a place outside the map, or another number of houses.
    """

    x: float | int = 0.7  # of its middle, as a share of the map from the left
    y: float | int = 0.3  # from the top
    num: int = 3  # houses along a side, 1 to 6

    def __post_init__(self) -> None:
        """Refuse what cannot be painted on any map."""
        if not (0 <= self.x <= 1 and 0 <= self.y <= 1):
            raise ValueError(f"place: expected shares from 0 to 1, got {self.x!r}, {self.y!r}")
        if self.num not in range(1, MOST_HOUSES + 1):
            raise ValueError(f"num: expected 1 to {MOST_HOUSES} houses a side, got {self.num!r}")


def paint_map(
    base: str = "agriculture",
    *,
    river: Strip | None = None,
    road: Strip | None = None,
    block: Block | None = None,
    size: int = 64,
) -> UInt8[np.ndarray, "h w"]:
    """Paint a map of land cover: the road bridges the river, and houses give way to both.

    Args:
        base: the ground, one of ``mini_earth.LAND_COVER``.
        river: painted as water.
        road: painted as road.
        block: painted as buildings on rangeland.
        size: h = w, pixels, 16 or more.

    Returns:
        Codes of ``mini_earth.LAND_COVER``.

    Raises:
        ValueError: a ground that there is not, a map that is too small, or a strip wider than half
            of it.
    """
    if base not in LAND_COVER:
        raise ValueError(f"base: expected one of {', '.join(LAND_COVER)}, got {base!r}")
    if size < 16:
        raise ValueError(f"size: expected 16 pixels or more, got {size!r}")
    page = np.full((size, size), LAND_COVER.index(base), np.uint8)
    taken = np.zeros_like(page, dtype=bool)
    for name, strip in (("water", river), ("road", road)):
        if strip is not None:
            there = strip_mask(strip, size)
            page[there] = LAND_COVER.index(name)
            taken |= there
    if block is not None:
        _paint_block(page, block, taken)
    return page


def strip_mask(strip: Strip, size: int) -> Bool[np.ndarray, "h w"]:
    r"""Mark the pixels of a strip: no farther than half its width from its curve.

    $$c(s) = (1 - s)^2 p_0 + 2 s (1 - s) p_1 + s^2 p_2, \quad 0 \le s \le 1$$

    Args:
        strip: p_0 and p_2 are the middles of its sides, p_1 is their middle, pushed aside by
            bend · size. Beyond both sides it goes straight on.
        size: of the map, in pixels.

    Raises:
        ValueError: it is wider than half the map.

    Source:
        A quadratic Bézier curve.
    """
    if strip.width > WIDEST * size:
        raise ValueError(
            f"width: expected at most {WIDEST * size:g} pixels on a map of {size}, "
            f"got {strip.width!r}"
        )
    first, last = (size * np.array(SIDES[side]) for side in (strip.start, strip.end))
    along = (last - first) / np.linalg.norm(last - first)
    left = np.array([along[1], -along[0]])  # y goes down
    middle = (first + last) / 2 + strip.bend * size * left
    s = np.linspace(0, 1, 8 * size)[:, None]
    curve = (1 - s) ** 2 * first + 2 * s * (1 - s) * middle + s**2 * last
    beyond = [end + strip.width * s * _unit(end - middle) for end in (first, last)]
    centers = np.stack(np.meshgrid(*[np.arange(size) + 0.5] * 2), axis=-1)  # x, y
    nearest, _ = KDTree(np.concatenate([curve, *beyond])).query(centers)
    return nearest <= strip.width / 2 + _SLACK


def _unit(vector: Float[np.ndarray, " two"]) -> Float[np.ndarray, " two"]:
    return vector / np.linalg.norm(vector)


def _paint_block(
    page: UInt8[np.ndarray, "h w"], block: Block, taken: Bool[np.ndarray, "h w"]
) -> None:
    """Paint gardens and, where nothing is in the way, houses; what leaves the map is cut."""
    step = _HOUSE + _GAP
    length = step * block.num + _GAP
    left, top = (round(len(page) * place - length / 2) for place in (block.x, block.y))
    garden = np.zeros_like(taken)
    garden[max(0, top) : max(0, top + length), max(0, left) : max(0, left + length)] = True
    page[garden & ~taken] = LAND_COVER.index("rangeland")
    for row in range(block.num):
        for column in range(block.num):
            y, x = top + _GAP + step * row, left + _GAP + step * column
            around = slice(max(0, y - 1), y + _HOUSE + 1), slice(max(0, x - 1), x + _HOUSE + 1)
            fits = min(y, x) >= 0 and max(y, x) + _HOUSE <= len(page)
            if fits and not taken[around].any():
                page[y : y + _HOUSE, x : x + _HOUSE] = LAND_COVER.index("building")
