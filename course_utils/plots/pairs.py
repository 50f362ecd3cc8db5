"""A place before and after a disaster: side by side, or under one slider."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import shapely
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.path import Path
from PIL import Image

from course_utils.plots.style import (
    DAMAGE_COLORS,
    INK,
    UNGRADED_COLOR,
    finish,
    level_name,
    plain,
    refuse_unless_pictures,
    say,
)
from course_utils.xbd.labels import Building, DamageLevel

Picture = UInt8[np.ndarray, "_h _w 3"]
_LEVELS = (None, *DAMAGE_COLORS)  # None: not graded, as before the disaster
_NARROW = 0.16  # a side with a smaller share of the image has no room for its name


def show_pair(
    pre: Picture,
    post: Picture,
    *,
    buildings_pre: Sequence[Building] = (),
    buildings_post: Sequence[Building] = (),
    titles: Sequence[str] | None = None,
    caption: str = "",
) -> Figure:
    """Show a place before and after, buildings outlined in their damage color.

    Empty polygons are left out, of the drawing and of the counts in the legend.

    Args:
        pre: uint8 (h, w, 3), before the disaster.
        post: uint8 (h, w, 3), after it; the sizes may differ.
        buildings_pre: polygons in pixels of ``pre``; white, where they have no damage level.
        buildings_post: polygons in pixels of ``post``.
        titles: two, in place of "before" and "after".
        caption: said above both.

    Raises:
        ValueError: the images are not uint8 of shape (h, w, 3), or there are not two titles.
    """
    refuse_unless_pictures([pre, post])
    titles = (say("plot.before"), say("plot.after")) if titles is None else titles
    if len(titles) != 2:
        raise ValueError(f"expected two titles, one for each image, got {len(titles)}")
    fig = plt.figure(figsize=(11, 6.7))
    for left, image, buildings, title in (
        (0.01, pre, buildings_pre, titles[0]),
        (0.505, post, buildings_post, titles[1]),
    ):
        ax, low = fig.add_axes((left, 0.1, 0.485, 0.8)), fig.add_axes((left, 0, 0.485, 0.095))
        _frame(ax, image)
        _draw_pixels(ax, image, 0.0, float(image.shape[1]))
        _add_legend(low, draw_buildings(ax, buildings))
        ax.set_title(plain(title), fontsize=11)
    return finish(fig, caption)


def show_swipe(
    pre: Picture,
    post: Picture,
    *,
    position: float,
    buildings: Sequence[Building] = (),
    caption: str = "",
    max_size: int = 1024,
) -> Figure:
    """Show the image before left of a line and the image after right of it.

    Args:
        pre: uint8 (h, w, 3), before the disaster.
        post: uint8 (h, w, 3), after it.
        position: where the line is, as a share of the width: at 0 only ``post`` is seen, at 1
            only ``pre``.
        buildings: polygons in pixels of ``post``, drawn right of the line in damage colors; the
            legend counts all of them, so that it stands still while the line moves.
        caption: said above.
        max_size: larger images are drawn with fewer pixels, which is faster; the axes stay.

    Raises:
        ValueError: other images than uint8 (h, w, 3), two sizes, a position outside 0 … 1, or a
            maximum below 1.
    """
    refuse_unless_pictures([pre, post])
    if pre.shape != post.shape:
        raise ValueError(f"the images must have one size, got {pre.shape[:2]} and {post.shape[:2]}")
    if not 0 <= position <= 1 or max_size < 1:
        raise ValueError(f"expected a position in 0 … 1 and max_size >= 1, got {position=}")
    fig = plt.figure(figsize=(6.6, 7.2))  # with fixed axes, so that nothing moves but the line
    ax, low = fig.add_axes((0.02, 0.09, 0.96, 0.85)), fig.add_axes((0.02, 0, 0.96, 0.085))
    height, width = _frame(ax, pre)
    pre, post = shrink(pre, max_size), shrink(post, max_size)
    column = round(position * pre.shape[1])
    x = column * width / pre.shape[1]
    _draw_pixels(ax, pre[:, :column], 0.0, x, height=height)
    _draw_pixels(ax, post[:, column:], x, float(width), height=height)
    right = Rectangle((x, 0), width - x, height, transform=ax.transData)
    _add_legend(low, draw_buildings(ax, buildings, within=right))
    _draw_line(ax, position)
    return finish(fig, caption)


def shrink(image: Picture, max_size: int) -> Picture:
    """Average whole blocks of pixels until neither side is longer than ``max_size``."""
    factor = -(-max(image.shape[:2]) // max_size)
    return image if factor == 1 else np.asarray(Image.fromarray(image).reduce(factor))


def draw_buildings(
    ax: Axes, buildings: Sequence[Building], *, within: Rectangle | None = None
) -> dict[DamageLevel | None, int]:
    """Outline buildings in damage colors, on a dark line that shows on any ground.

    Args:
        ax: axes in pixels.
        buildings: polygons with holes and polygons of several parts included.
        within: nothing is drawn outside.

    Returns:
        The number of buildings by level, of those that have a polygon to draw.
    """
    counts = {}
    for level in _LEVELS:
        here = [polygon_path(b.polygon) for b in buildings if b.damage is level and _has_area(b)]
        if not here:
            continue
        counts[level] = len(here)
        for width, color in ((2.8, "#000000"), (1.5, _color(level))):
            lines = PathCollection(here, facecolors="none", edgecolors=color, linewidths=width)
            ax.add_collection(lines, autolim=False)
            if within is not None:
                lines.set_clip_path(within)
    return counts


def _has_area(building: Building) -> bool:
    return not building.polygon.is_empty


def polygon_path(geometry: shapely.Geometry) -> Path:
    """Turn a polygon, or several in one, into a path: filled, its holes stay open."""
    polygons = [part for part in shapely.get_parts(geometry) if not part.is_empty]
    turned = shapely.orient_polygons(np.array(polygons))  # holes run the other way round
    rings = [ring for part in turned for ring in (part.exterior, *part.interiors)]
    return Path.make_compound_path(
        *(Path(shapely.get_coordinates(ring), closed=True) for ring in rings)
    )


def _color(level: DamageLevel | None) -> str:
    return UNGRADED_COLOR if level is None else DAMAGE_COLORS[level]


def _frame(ax: Axes, image: Picture) -> tuple[int, int]:
    """Give axes the image's pixels as coordinates; (0, 0) is its outer corner, y goes down."""
    height, width = image.shape[:2]
    ax.set(xlim=(0, width), ylim=(height, 0), aspect="equal", xticks=[], yticks=[])
    return height, width


def _draw_pixels(
    ax: Axes, image: Picture, left: float, right: float, *, height: int | None = None
) -> None:
    if image.size:
        low = image.shape[0] if height is None else height
        ax.imshow(image, extent=(left, right, low, 0), interpolation="nearest", aspect="equal")


def _add_legend(ax: Axes, counts: dict[DamageLevel | None, int]) -> None:
    """Name the colors that were drawn, and how often, in axes of their own."""
    ax.set_axis_off()
    marks, names = [], []
    for level, count in counts.items():
        color = _color(level)
        marks.append(Rectangle((0, 0), 1, 1, facecolor=color, edgecolor=INK))
        name = say("damage.ungraded") if level is None else level_name(level)
        names.append(f"{name}: {count:,}")
    if marks:
        columns = 3 if len(marks) != 4 else 2
        ax.legend(
            marks,
            names,
            loc="center",
            ncols=columns,
            frameon=False,
            fontsize=10,
        )


def _draw_line(ax: Axes, position: float) -> None:
    """Draw the line between the images, with a name on each side that is wide enough."""
    for width, color in ((3.5, "#000000"), (1.5, "#FFFFFF")):
        ax.add_line(Line2D([position] * 2, [0, 1], color=color, lw=width, transform=ax.transAxes))
    box = {"facecolor": "#FFFFFF", "edgecolor": INK, "boxstyle": "round,pad=0.25", "alpha": 0.9}
    sides = (
        ("plot.before", position, -0.015, "right"),
        ("plot.after", 1 - position, 0.015, "left"),
    )
    for key, share, offset, align in sides:
        if share >= _NARROW:
            x, y = position + offset, 0.985
            ax.text(
                x, y, say(key), ha=align, va="top", bbox=box, fontsize=10, transform=ax.transAxes
            )
