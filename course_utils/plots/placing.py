"""Names beside points without overlap: nearest free place first, a leader line where it is far."""

from collections.abc import Sequence

import numpy as np
import shapely
from matplotlib.axes import Axes
from matplotlib.text import Annotation

from course_utils.plots.style import INK

_DISTANCES = (2.5, 7, 13, 21, 32, 46, 64, 86, 115, 150)  # points from mark to name, near to far
_NUM_DIRECTIONS = 24
_PADDING = 2.5  # points free around every name
_CLEAR = 7.0  # more points free around the marks of others, so that nobody reads a name as theirs
_CROWD = 100  # points; points nearer than this compete for room
_LINE = {"arrowstyle": "-", "color": INK, "linewidth": 0.7, "shrinkA": 0, "shrinkB": 0}
_NEAR = 8  # points; names that are nearer need no leader line


def place_names(
    ax: Axes,
    points: Sequence[tuple[float, float]],
    names: Sequence[str],
    *,
    bold: Sequence[bool],
    mark_sizes: Sequence[float],
    fontsize: float = 10.0,
    avoid: Sequence[shapely.Geometry] = (),
) -> list[Annotation]:
    """Write a name beside each point so that none covers a name, a mark or another's line.

    Greedy: the most crowded point chooses first, each the nearest place that is free. The axes
    must have their final limits and position, for overlap is measured as drawn.

    Args:
        ax: axes whose limits and size are final.
        points: in data coordinates.
        names: one for each point.
        bold: whether to write it bold.
        mark_sizes: width of each mark, in points.
        fontsize: in points.
        avoid: what no name may cross, in data coordinates.

    Returns:
        The names as drawn.

    Raises:
        ValueError: a name finds no place; the axes are too small for so many.
    """
    scale = 72 / ax.figure.dpi  # points per pixel
    anchors = ax.transData.transform(np.array(points, dtype=float).reshape(-1, 2)) * scale
    styles = [{"fontsize": fontsize, "weight": "bold" if is_bold else "normal"} for is_bold in bold]
    sizes = [_measure(ax, *item) * scale for item in zip(names, styles, strict=True)]
    room = shapely.box(*(np.array(ax.bbox.extents) * scale))
    gaps = np.linalg.norm(anchors[:, None] - anchors[None], axis=-1)
    radii = np.array(mark_sizes) / 2
    marks = shapely.buffer(shapely.points(anchors), radii)
    written = [
        shapely.transform(shape, lambda x: ax.transData.transform(x) * scale) for shape in avoid
    ]
    texts = {}
    for i in np.argsort(-(gaps < _CROWD).sum(axis=0), kind="stable").tolist():
        others = marks[gaps[i] > radii[i]]  # not its own mark, nor one that hides under it
        crossed = shapely.union_all([*others, *written])
        covered = shapely.union_all([*shapely.buffer(others, _CLEAR), *written])
        found = _find_place((anchors[i], sizes[i], radii[i]), covered, crossed, room)
        if found is None:
            raise ValueError(f"no free place for {names[i]!r}: show fewer names or a larger map")
        offset, shapes = found
        written += shapes
        line = _LINE if len(shapes) == 2 else None
        place = {"xytext": tuple(offset), "textcoords": "offset points", "arrowprops": line}
        texts[i] = ax.annotate(names[i], points[i], **place, ha="center", va="center", **styles[i])
    return [texts[i] for i in range(len(names))]


def _measure(ax: Axes, name: str, style: dict) -> np.ndarray:
    """Give width and height of a name as it will be drawn, in pixels."""
    text = ax.text(0, 0, name, **style)
    extent = text.get_window_extent()
    text.remove()
    return np.array([extent.width, extent.height])


def _find_place(
    wanted: tuple[np.ndarray, np.ndarray, float],
    covered: shapely.Geometry,
    crossed: shapely.Geometry,
    room: shapely.Polygon,
) -> tuple[np.ndarray, list[shapely.Geometry]] | None:
    """Try all directions at growing distance.

    Args:
        wanted: the point, the size of its name, the radius of its mark.
        covered: where no name may be.
        crossed: where no leader line may be.
        room: where all must be.

    Returns:
        From the point to the middle of the name, and what it covers: a box, and a leader line if
        it is far away. None if no place is free.
    """
    anchor, size, radius = wanted
    shapely.prepare([covered, crossed])
    angles = 2 * np.pi * np.arange(_NUM_DIRECTIONS) / _NUM_DIRECTIONS
    for distance in _DISTANCES:
        for angle in angles[np.argsort(np.abs(np.sin(angles)), kind="stable")]:  # sideways first
            direction = np.array([np.cos(angle), np.sin(angle)])
            offset = direction * (radius + distance) + np.sign(direction.round(6)) * size / 2
            box = shapely.box(*(anchor + offset - size / 2), *(anchor + offset + size / 2))
            box = box.buffer(_PADDING, join_style="mitre")
            if not room.contains(box) or covered.intersects(box):
                continue
            if distance <= _NEAR:
                return offset, [box]
            line = shapely.LineString([anchor, anchor + offset]).difference(box)
            if not crossed.intersects(line):
                return offset, [box, line.buffer(1)]
    return None
