"""Polygons in step with pixels: move them, cut them, and draw them as pixels."""

from collections.abc import Sequence

import numpy as np
import shapely
import torch
from jaxtyping import Bool, Float64
from shapely import MultiPolygon, Polygon
from torch import Tensor

Outlines = tuple[Polygon | MultiPolygon, ...]


def move_polygons(
    polygons: Sequence[Outlines], matrices: Float64[Tensor, "n 3 3"], size: tuple[int, int]
) -> tuple[Outlines, ...]:
    """Move the corners of polygons, and cut what leaves the frame.

    Args:
        polygons: of each image.
        matrices: where points go, one an image.
        size: height and width of the new frame.

    Returns:
        What is left of them, in order; one that is not is dropped.
    """
    frame = shapely.box(0, 0, size[1], size[0])
    moved = []
    for found, matrix in zip(polygons, matrices.numpy(), strict=True):
        there = shapely.transform(_valid(found), lambda xy, m=matrix: xy @ m[:2, :2].T + m[:2, 2])
        moved.append(keep_areas(shapely.intersection(there, frame)))
    return tuple(moved)


def cover(polygons: Outlines, by: shapely.Geometry) -> Outlines:
    """Take away what something that lies above hides; what is hidden whole is dropped."""
    return keep_areas(shapely.difference(_valid(polygons), by))


def within(polygons: Outlines, frame: shapely.Geometry) -> Outlines:
    """Keep what lies in a frame."""
    return keep_areas(shapely.intersection(_valid(polygons), frame))


def keep_areas(shapes: np.ndarray) -> Outlines:
    """Keep polygons, and of mixed shapes the polygons in them; lines and points have no area."""
    kept = []
    for shape in shapes:
        if not isinstance(shape, Polygon):
            parts = shapely.get_parts(shapely.get_parts(shape))  # a collection may hold many
            parts = [part for part in parts if isinstance(part, Polygon)]
            shape = parts[0] if len(parts) == 1 else MultiPolygon(parts)
        if shape.area > 0:
            kept.append(shape)
    return tuple(kept)


def rasterize(polygons: Outlines, *, height: int, width: int) -> Bool[Tensor, "{height} {width}"]:
    """Say which pixels have their center inside a polygon.

    Args:
        polygons: in pixels (see ``Batch``); parts outside the frame are cut off.
        height: in pixels.
        width: in pixels.
    """
    inside = np.zeros((height, width), dtype=bool)
    shapes = _valid(polygons)
    shapely.prepare(shapes)
    for shape, bounds in zip(shapes, shapely.bounds(shapes), strict=True):
        if shape.is_empty:
            continue
        left, top = np.floor(bounds[:2]).astype(int).clip(0, (width, height))
        right, bottom = np.ceil(bounds[2:]).astype(int).clip(0, (width, height))
        x, y = np.meshgrid(np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5)
        inside[top:bottom, left:right] |= shapely.contains_xy(shape, x, y)
    return torch.from_numpy(inside)


def _valid(polygons: Outlines) -> np.ndarray:
    """Mend outlines that cross themselves, as annotators draw them."""
    shapes = np.empty(len(polygons), dtype=object)
    shapes[:] = polygons
    crossed = ~shapely.is_valid(shapes)
    shapes[crossed] = shapely.make_valid(shapes[crossed])
    return shapes
