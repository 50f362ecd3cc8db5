"""Buildings as pixels: the mask of damage levels, and the piece of an image around a building."""

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import shapely
from jaxtyping import Float, Int64, UInt8
from PIL import Image, ImageDraw

from course_utils.xbd.labels import Building, DamageLevel, XbdError

MARGIN = 1 << 20  # pixels around the tile; Pillow counts in 32 bits, so what is beyond is cut off
FARTHEST_POINT = 1e100  # pixels, so that differences of coordinates stay finite
FARTHEST_BOX = 1e15  # pixels; a box that ends there is as good as one without end
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
    ends = np.cumsum(shapely.get_num_coordinates(rings)).tolist()
    found: list[list[np.ndarray]] = [[] for _ in parts]
    for ring, (part, start, end) in enumerate(zip(part_of, [0, *ends], ends, strict=False)):
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
    ring = ring[:-1].clip(-FARTHEST_POINT, FARTHEST_POINT)  # the last point repeats the first
    sides = [(0, -1, MARGIN), (0, 1, width + MARGIN), (1, -1, MARGIN), (1, 1, height + MARGIN)]
    for axis, sign, bound in sides:
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


def crop_building(
    image: np.ndarray, building: Building, *, context: float | int, size: int
) -> UInt8[np.ndarray, "{size} {size} 3"]:
    """Cut out a building with its surroundings and scale that to a square.

    The box [x_min - a w, x_max + a w], w = x_max - x_min, a = ``context``, likewise in y, is
    rounded outward to whole pixels (at least one) and ends at the image's border. It is scaled by
    axis with Pillow's bilinear filter, which averages when it makes smaller.

    Args:
        image: bytes, height x width x 3; the one before the disaster or the one after.
        building: whose box to take; its coordinates may lie anywhere.
        context: share of the box's width and height added on each side; 0.8 in xView2's baseline.
        size: side of the result in pixels.

    Returns:
        The crop, a copy.

    Raises:
        XbdError: an image of another kind, an empty polygon, a box beside the image, a negative
            context, a size below 1.

    Source:
        xView2 baseline (DIUx-xView/xView2_baseline), which cuts the box at the image's border too.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise XbdError(f"expected a uint8 image h x w x 3, got {image.dtype} {image.shape}")
    if building.is_empty:
        raise XbdError(
            f"building {building.uid!r} has an empty polygon and no box; leave out buildings whose "
            "is_empty is True"
        )
    if not (math.isfinite(context) and context >= 0) or size < 1:
        raise XbdError(f"expected context >= 0 and size >= 1, got context={context}, size={size}")
    bounds = np.clip(building.polygon.bounds, -FARTHEST_BOX, FARTHEST_BOX).tolist()
    (left, right), (top, bottom) = (_widen(*bounds[i::2], float(context)) for i in (0, 1))
    height, width, _ = image.shape
    x0, x1 = np.clip((left, right), 0, width).tolist()
    y0, y1 = np.clip((top, bottom), 0, height).tolist()
    if x0 == x1 or y0 == y1:
        raise XbdError(
            f"the box of building {building.uid!r}, x {left} … {right}, y {top} … {bottom}, lies "
            f"beside the image of {width} x {height} pixels; is it another tile's building?"
        )
    patch = Image.fromarray(np.ascontiguousarray(image[y0:y1, x0:x1]))
    return np.array(patch.resize((size, size), Image.Resampling.BILINEAR))


def _widen(low: float, high: float, context: float) -> tuple[int, int]:
    """Enlarge one side of a box and round it outward to at least one pixel."""
    wider = min(context * (high - low), FARTHEST_BOX)
    start = math.floor(low - wider)
    return start, max(math.ceil(high + wider), start + 1)
