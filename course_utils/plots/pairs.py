"""A place before and after a disaster: side by side, or divided by a line; real beside rendered."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from PIL import Image

from course_utils.plots.buildings import draw_outlines, level_color
from course_utils.plots.grid import Cell, image_grid
from course_utils.plots.style import (
    DAMAGE_COLORS,
    INK,
    Pair,
    Picture,
    finish,
    level_name,
    plain,
    refuse_unless_pictures,
    say,
)
from course_utils.xbd.labels import Building, DamageLevel

_Place = tuple[Picture, Picture, Sequence[Building]]
_SWIPES_SIZE = 1024
_LEVELS = (None, *DAMAGE_COLORS)  # None: not graded, as before the disaster
_NARROW = 0.16  # a side with a smaller share of the image has no room for its name


def show_pair(
    pre: Picture,
    post: Picture,
    *,
    buildings_pre: Sequence[Building] = (),
    buildings_post: Sequence[Building] = (),
    caption: str = "",
) -> Figure:
    """Show a place before and after, buildings outlined in their damage color.

    Empty polygons are left out, of the drawing and of the counts in the legend.

    Args:
        pre: uint8 (h, w, 3), before the disaster.
        post: uint8 (h, w, 3), after it; the sizes may differ.
        buildings_pre: polygons in pixels of ``pre``; white, where they have no damage level.
        buildings_post: polygons in pixels of ``post``.
        caption: said above.

    Raises:
        ValueError: the images are not uint8 of shape (h, w, 3).
    """
    refuse_unless_pictures([pre, post])
    fig = plt.figure(figsize=(11, 6.7))
    for left, image, buildings, key in (
        (0.01, pre, buildings_pre, "plot.before"),
        (0.505, post, buildings_post, "plot.after"),
    ):
        ax, low = fig.add_axes((left, 0.1, 0.485, 0.8)), fig.add_axes((left, 0, 0.485, 0.095))
        _frame(ax, image)
        _draw_pixels(ax, image, (0.0, image.shape[1]), len(image))
        _add_legend(low, _draw_buildings(ax, buildings))
        ax.set_title(say(key), fontsize=11)
    return finish(fig, caption)


def show_tiles(places: Mapping[str, tuple[Picture, Picture]], *, caption: str = "") -> Figure:
    """Show places in columns, before the disaster above and after it below.

    Args:
        places: by name the image before and the image after.
        caption: said above.

    Raises:
        ValueError: no places, or images that are not uint8 (h, w, 3).
    """
    if not places:
        raise ValueError("no places to show")
    refuse_unless_pictures([image for pair in places.values() for image in pair])
    names = [plain(name.replace("_", "\n")) for name in places]
    before, after = zip(*places.values(), strict=True)
    rows = [[Cell(shrink(image, 512)) for image in some] for some in (before, after)]
    rows[0] = [replace(cell, title=name) for cell, name in zip(rows[0], names, strict=True)]
    labels = [say("plot.before"), say("plot.after")]
    cell = min(3.0, 11.0 / len(places))
    return image_grid(rows, cell=cell, row_labels=labels, caption=caption)


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
        max_size: larger images are drawn with fewer pixels, which is faster; the axes stay.
        caption: said above.

    Raises:
        ValueError: other images than uint8 (h, w, 3), two sizes, a position outside 0 … 1, or a
            maximum below 1.
    """
    _refuse_unless_swipe((pre, post, buildings), position=position, max_size=max_size)
    fig = plt.figure(figsize=(6.6, 7.2))  # with fixed axes, so that nothing moves but the line
    _draw_swipe(fig, (0, 1), (pre, post, buildings), position=position, max_size=max_size)
    return finish(fig, caption)


def show_swipes(
    places: Mapping[str, _Place],
    *,
    position: float = 0.5,
    caption: str = "",
) -> Figure:
    """Show places beside each other, each as `show_swipe` does: a real one, a rendered one.

    Args:
        places: by title the image before, the image after, and the buildings after.
        position: where the lines are, as a share of the width.
        caption: said above.

    Raises:
        ValueError: no places, or what `show_swipe` refuses.
    """
    if not places:
        raise ValueError("no places to show")
    for place in places.values():
        _refuse_unless_swipe(place, position=position, max_size=_SWIPES_SIZE)
    fig = plt.figure(figsize=(6 * len(places), 6.9))
    for i, (title, place) in enumerate(places.items()):
        sides = i / len(places), (i + 1) / len(places)
        ax = _draw_swipe(fig, sides, place, position=position, max_size=_SWIPES_SIZE)
        ax.set_title(title, fontsize=12)
    return finish(fig, caption)


def _refuse_unless_swipe(place: _Place, *, position: float, max_size: int) -> None:
    """Refuse what cannot be shown before there is a figure that would stay open."""
    pre, post, _ = place
    refuse_unless_pictures([pre, post])
    if pre.shape != post.shape:
        raise ValueError(f"the images must have one size, got {pre.shape[:2]} and {post.shape[:2]}")
    if not 0 <= position <= 1 or max_size < 1:
        raise ValueError(f"expected a position in 0 … 1 and max_size >= 1, got {position=}")


def _draw_swipe(
    fig: Figure,
    sides: Pair,
    place: _Place,
    *,
    position: float,
    max_size: int,
) -> Axes:
    """Draw a place between two shares of the figure's width, its legend below it."""
    pre, post, buildings = place
    left, wide = sides[0] + 0.02 * (sides[1] - sides[0]), 0.96 * (sides[1] - sides[0])
    ax, low = fig.add_axes((left, 0.09, wide, 0.85)), fig.add_axes((left, 0, wide, 0.085))
    height, width = _frame(ax, pre)
    pre, post = shrink(pre, max_size), shrink(post, max_size)
    column = round(position * pre.shape[1])
    x = column * width / pre.shape[1]
    _draw_pixels(ax, pre[:, :column], (0.0, x), height)
    _draw_pixels(ax, post[:, column:], (x, width), height)
    right = Rectangle((x, 0), width - x, height, transform=ax.transData)
    _add_legend(low, _draw_buildings(ax, buildings, within=right))
    _draw_line(ax, position)
    return ax


def shrink(image: Picture, max_size: int) -> Picture:
    """Average whole blocks of pixels until neither side is longer than ``max_size``."""
    factor = -(-max(image.shape[:2]) // max_size)
    return image if factor == 1 else np.asarray(Image.fromarray(image).reduce(factor))


def _frame(ax: Axes, image: Picture) -> tuple[int, int]:
    """Give axes the image's pixels as coordinates; (0, 0) is its outer corner, y goes down."""
    height, width = image.shape[:2]
    ax.set(xlim=(0, width), ylim=(height, 0), aspect="equal", xticks=[], yticks=[])
    return height, width


def _draw_pixels(ax: Axes, image: Picture, sides: Pair, height: int) -> None:
    if image.size:
        # of neighbours that share a dot of the screen their mean, or tiles would flicker
        place = {"extent": (*sides, height, 0), "interpolation": "antialiased"}
        ax.imshow(image, **place, aspect="equal")


def _draw_buildings(
    ax: Axes, buildings: Sequence[Building], *, within: Rectangle | None = None
) -> dict[DamageLevel | None, int]:
    """Outline buildings in damage colors, on a dark line that shows on any ground.

    Returns:
        The number of buildings by level, of those that have a polygon to draw.
    """
    counts = {}
    for level in _LEVELS:
        here = [b.polygon for b in buildings if b.damage is level and not b.polygon.is_empty]
        if not here:
            continue
        counts[level] = len(here)
        for width, color in ((2.8, "#000000"), (1.5, level_color(level))):
            lines = draw_outlines(ax, here, color, width=width)
            if within is not None:
                lines.set_clip_path(within)
    return counts


def _add_legend(ax: Axes, counts: dict[DamageLevel | None, int]) -> None:
    """Name the colors that were drawn, and how often, in axes of their own."""
    ax.set_axis_off()
    names = [say("damage.ungraded") if n is None else level_name(n) for n in counts]
    labels = [f"{name}: {count:,}" for name, count in zip(names, counts.values(), strict=True)]
    marks = [Patch(facecolor=level_color(level), edgecolor=INK) for level in counts]
    if marks:
        columns = 3 if len(marks) != 4 else 2
        ax.legend(marks, labels, loc="center", ncols=columns, frameon=False, fontsize=11)


def _draw_line(ax: Axes, position: float) -> None:
    """Draw the line between the images, with a name on each side that is wide enough."""
    for width, color in ((3.5, "#000000"), (1.5, "#FFFFFF")):
        ax.add_line(Line2D([position] * 2, [0, 1], color=color, lw=width, transform=ax.transAxes))
    box = {"facecolor": "#FFFFFF", "edgecolor": INK, "boxstyle": "round,pad=0.25", "alpha": 0.9}
    style = {"va": "top", "bbox": box, "fontsize": 11, "transform": ax.transAxes}
    if position >= _NARROW:
        ax.text(position - 0.015, 0.985, say("plot.before"), ha="right", **style)
    if 1 - position >= _NARROW:
        ax.text(position + 0.015, 0.985, say("plot.after"), ha="left", **style)
