"""Buildings to a mask of damage levels."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import shapely
from jaxtyping import Float, Int64, UInt8
from PIL import Image, ImageDraw

from course_utils.xbd.labels import Building
from course_utils.xbd.levels import DamageLevel, XbdError

MARGIN = 1 << 20  # pixels around the tile; Pillow counts in 32 bits, so what is beyond is cut off
FARTHEST = 1e100  # so that differences of coordinates stay finite
ON = 255


def damage_mask(
    buildings: Iterable[Building], *, height: int, width: int
) -> UInt8[np.ndarray, "{height} {width}"]:
    """Draw the buildings in file order, each in the value of its damage level.

    mask[y, x] = level of the last building over pixel (x, y), 0 where there is none

    Corners are truncated to whole pixels and the outline counts as inside, which is Pillow's rule
    for polygons. A hole, outline included, is not painted by its own building, so what an earlier
    building painted there stays. Where an outline crosses itself, points inside an even number of
    turns are outside. Parts beyond the tile are cut off; empty polygons paint nothing.

    Args:
        buildings: as from `read_buildings`; those without damage level (from before the disaster)
            are painted 1, which gives the official 0/1 mask of the pre-disaster image.
        height: of the tile, in pixels.
        width: of the tile, in pixels.

    Returns:
        0 background, 1 … 4 damage levels, 255 un-classified.

    Raises:
        XbdError: a height or width below 1.
    """
    if height < 1 or width < 1:
        raise XbdError(f"expected a height and width of 1 or more, got {height} x {width}")
    buildings = list(buildings)
    surface = Image.new("L", (width, height))
    draw = ImageDraw.Draw(surface)
    scratch = None  # for parts with holes, which are rare
    for i, (outer, *holes) in _parts(buildings, height, width):
        value = int(buildings[i].damage or DamageLevel.NO_DAMAGE)
        if holes:
            scratch = scratch or Image.new("L", surface.size)
            _paint_with_holes(surface, scratch, (outer, *holes), value)
        else:
            draw.polygon(outer.ravel().tolist(), fill=value)
    return np.array(surface)


def _parts(
    buildings: list[Building], height: int, width: int
) -> Iterator[tuple[int, list[Int64[np.ndarray, "_ 2"]]]]:
    """Yield, for each part of each building, whose it is and its rings: the outer, then holes."""
    polygons = np.array([building.polygon for building in buildings], dtype=object)
    parts, building_of = shapely.get_parts(polygons, return_index=True)
    rings, part_of = shapely.get_rings(parts, return_index=True)
    points, ring_of = shapely.get_coordinates(rings, return_index=True)
    is_far = ((points < -MARGIN) | (points > (width + MARGIN, height + MARGIN))).any(axis=1)
    far_rings = set(ring_of[is_far].tolist())
    pixels = np.where(is_far[:, None], 0, points).astype(np.int64)  # truncates, as Pillow does
    counts = shapely.get_num_coordinates(rings)
    starts, ends = np.cumsum(counts) - counts, np.cumsum(counts)
    found: list[list[np.ndarray]] = [[] for _ in parts]
    for ring, (part, start, end) in enumerate(zip(part_of, starts, ends, strict=True)):
        is_cut = ring in far_rings
        found[part].append(_cut(points[start:end], height, width) if is_cut else pixels[start:end])
    for building, outlines in zip(building_of.tolist(), found, strict=True):
        if outlines and len(outlines[0]):  # an empty polygon has no ring, one far away no point
            yield building, [outlines[0], *(hole for hole in outlines[1:] if len(hole))]


def _cut(ring: Float[np.ndarray, "_ 2"], height: int, width: int) -> Int64[np.ndarray, "_ 2"]:
    """Cut a ring to the tile and its margin, one side of that window after the other.

    What lies beyond is folded onto the window's edge, where nobody sees it; inside, each point is
    surrounded as often as before, also if the ring crosses itself (Sutherland and Hodgman 1974).
    """
    ring = ring[:-1].clip(-FARTHEST, FARTHEST)  # the last point repeats the first
    for axis, sign, bound in (
        (0, -1, MARGIN),
        (0, 1, width + MARGIN),
        (1, -1, MARGIN),
        (1, 1, height + MARGIN),
    ):
        before = np.roll(ring, 1, axis=0)
        is_in, was_in = (sign * points[:, axis] <= bound for points in (ring, before))
        crosses = is_in != was_in
        inner, outer = (
            np.where(is_in[:, None], *pair) for pair in ((ring, before), (before, ring))
        )  # going outward from the inner end keeps its digits, however far the outer one is
        span = np.where(crosses, outer[:, axis] - inner[:, axis], 1)
        crossing = inner + ((sign * bound - inner[:, axis]) / span)[:, None] * (outer - inner)
        ring = np.stack([crossing, ring], axis=1)[np.stack([crosses, is_in], axis=1)]
    return ring.astype(np.int64)


def _paint_with_holes(
    surface: Image.Image, scratch: Image.Image, rings: Sequence[np.ndarray], value: int
) -> None:
    """Paint a polygon through a stencil; ``scratch`` is as large as the surface, and black."""
    (left, top), (right, bottom) = rings[0].min(axis=0), rings[0].max(axis=0) + 1
    box = max(left, 0), max(top, 0), min(right, surface.width), min(bottom, surface.height)
    if box[0] >= box[2] or box[1] >= box[3]:
        return
    draw = ImageDraw.Draw(scratch)
    for i, ring in enumerate(rings):
        draw.polygon(ring.ravel().tolist(), fill=0 if i else ON)
    surface.paste(value, box, scratch.crop(box))
    scratch.paste(0, box)
