"""Images with their buildings: before and after, cut out, augmented, as the world knows them."""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import shapely
import torch
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.path import Path
from PIL import Image

from course_utils.augment import Batch, rasterize
from course_utils.images import unit_to_bytes
from course_utils.lab import DIALS
from course_utils.plots.grid import Cell, draw_image, image_grid
from course_utils.plots.style import (
    COVER_COLORS,
    DAMAGE_COLORS,
    INK,
    PALE,
    UNGRADED_COLOR,
    Pair,
    Picture,
    check_counts,
    class_name,
    finish,
    level_name,
    make_axes,
    on_color,
    plain,
    refuse_unless_pictures,
    say,
)
from course_utils.xbd.labels import Building, DamageLevel
from mini_earth import LAND_COVER, Outline, View, edge_map, road_map

_LEVELS = (None, *DAMAGE_COLORS)  # None: not graded, as before the disaster
_NARROW = 0.16  # a side with a smaller share of the image has no room for its name
_LEAST = 0.005  # a smaller share of a label is not written
_GROUND = "#202020"  # of a mask where there is no building


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
    _draw_pixels(ax, pre[:, :column], (0.0, x), height)
    _draw_pixels(ax, post[:, column:], (x, width), height)
    right = Rectangle((x, 0), width - x, height, transform=ax.transData)
    _add_legend(low, _draw_buildings(ax, buildings, within=right))
    _draw_line(ax, position)
    return finish(fig, caption)


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
        ax.imshow(image, extent=(*sides, height, 0), interpolation="nearest", aspect="equal")


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
        for width, color in ((2.8, "#000000"), (1.5, _color(level))):
            lines = _outline(ax, here, color, width=width)
            if within is not None:
                lines.set_clip_path(within)
    return counts


def _outline(
    ax: Axes, shapes: Sequence[shapely.Geometry], color: str, *, width: float, shift: float = 0.0
) -> PathCollection:
    """Outline shapes in pixels; shift by half a pixel where pixel centers are whole numbers."""
    paths = [polygon_path(shape) for shape in shapes]
    for path in paths:
        path.vertices -= shift
    lines = PathCollection(paths, facecolors="none", edgecolors=color, linewidths=width)
    return ax.add_collection(lines, autolim=False)


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


def _add_legend(ax: Axes, counts: dict[DamageLevel | None, int]) -> None:
    """Name the colors that were drawn, and how often, in axes of their own."""
    ax.set_axis_off()
    names = [say("damage.ungraded") if n is None else level_name(n) for n in counts]
    labels = [f"{name}: {count:,}" for name, count in zip(names, counts.values(), strict=True)]
    marks = [Patch(facecolor=_color(level), edgecolor=INK) for level in counts]
    if marks:
        columns = 3 if len(marks) != 4 else 2
        ax.legend(marks, labels, loc="center", ncols=columns, frameon=False, fontsize=10)


def _draw_line(ax: Axes, position: float) -> None:
    """Draw the line between the images, with a name on each side that is wide enough."""
    for width, color in ((3.5, "#000000"), (1.5, "#FFFFFF")):
        ax.add_line(Line2D([position] * 2, [0, 1], color=color, lw=width, transform=ax.transAxes))
    box = {"facecolor": "#FFFFFF", "edgecolor": INK, "boxstyle": "round,pad=0.25", "alpha": 0.9}
    style = {"va": "top", "bbox": box, "fontsize": 10, "transform": ax.transAxes}
    if position >= _NARROW:
        ax.text(position - 0.015, 0.985, say("plot.before"), ha="right", **style)
    if 1 - position >= _NARROW:
        ax.text(position + 0.015, 0.985, say("plot.after"), ha="left", **style)


def crops_by_level(crops: Mapping[DamageLevel, Sequence[Picture]], *, caption: str = "") -> Figure:
    """Show a row of crops for each damage level, framed in its color.

    Args:
        crops: images by level; levels without any are left out.
        caption: said above.

    Raises:
        ValueError: no crops, or images that are not uint8 (h, w, 3).
    """
    levels = [level for level in DAMAGE_COLORS if len(crops.get(level, ()))]
    if not levels:
        raise ValueError("no crops to show")
    rows = [[Cell(crop, color=DAMAGE_COLORS[level]) for crop in crops[level]] for level in levels]
    names = [level_name(level) for level in levels]
    return image_grid(rows, cell=1.1, row_labels=names, caption=caption)


def damage_scale(
    examples: Mapping[DamageLevel, Sequence[Picture]] | None = None, *, caption: str = ""
) -> Figure:
    """Show the Joint Damage Scale as a table: level, what it means, three example crops.

    Args:
        examples: crops after the disaster by level; a level without any says so.
        caption: said above; the name of the scale by default.

    Raises:
        ValueError: images that are not uint8 (h, w, 3).

    Source:
        Gupta et al. 2019, arXiv 1911.09296, the Joint Damage Scale, in other words.
    """
    examples = examples or {}
    refuse_unless_pictures([image for row in examples.values() for image in row])
    caption = caption or say("plot.damage_scale")
    size = (10.5, 1.4 * len(DAMAGE_COLORS) + 0.2)
    ratios = {"width_ratios": [1.6, 4.4, 1.35, 1.35, 1.35]}
    fig, axes = make_axes(len(DAMAGE_COLORS), 5, size, caption=caption, **ratios)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[], frame_on=False)
    for (name, words, *places), (level, color) in zip(axes, DAMAGE_COLORS.items(), strict=True):
        name.set(frame_on=True, facecolor=color)
        style = {"ha": "center", "va": "center", "color": on_color(color)}
        name.text(0.5, 0.62, str(int(level)), fontsize=18, weight="bold", **style)
        name.text(0.5, 0.28, level_name(level), fontsize=11, **style)
        definition = say(f"damage.{level.name.lower()}.definition")
        is_wide = any(sign > "\u2e80" for sign in definition)  # Chinese signs are twice as wide
        wrapped = textwrap.fill(definition, 26 if is_wide else 52)
        words.text(0, 0.5, wrapped, va="center", fontsize=12, linespacing=1.3)
        crops = examples.get(level, ())
        for ax, image in zip(places, crops, strict=False):
            ax.set(frame_on=True)
            draw_image(ax, image, color=color)
        if not len(crops):
            places[0].text(0, 0.5, say("plot.no_example"), va="center", color=INK, style="italic")
    return finish(fig, caption)


def scene_maps(view: View, outlines: Sequence[Outline] = ()) -> Figure:
    """Show a view, its outlined buildings, its land cover, its roads and its edges.

    Args:
        view: from ``mini_earth.render``.
        outlines: from ``mini_earth.outlines`` at the same size; colored by damage.
    """
    pictures = {"image": view.image, "outlines": view.image}
    pictures["land_cover"] = _colored(view.land_cover, COVER_COLORS)
    pictures |= {"roads": _lines(road_map(view)), "edges": _lines(edge_map(view))}
    there = [code for code in range(len(LAND_COVER)) if (view.land_cover == code).any()]
    patches = [Patch(color=COVER_COLORS[code], label=LAND_COVER[code]) for code in there]
    cells = [Cell(im, say(f"scene.{what}"), color=PALE) for what, im in pictures.items()]
    words = {"caption": view.caption, "legend": patches, "fontsize": 12}
    fig = image_grid([cells], cell=2.9, **words)
    for outline in outlines:
        shape, color = shapely.Polygon(outline.points), DAMAGE_COLORS[DamageLevel(outline.damage)]
        _outline(fig.axes[1], [shape], color, width=1.6, shift=0.5)
    return fig


def _lines(there: np.ndarray) -> Picture:
    return _colored(there, ("#FFFFFF", "#000000"))


def _colored(codes: np.ndarray, colors: Sequence[str]) -> Picture:
    """Give every code of a mask its color."""
    palette = np.array([to_rgb(color) for color in colors])
    return np.round(255 * palette[np.asarray(codes, dtype=int)]).astype(np.uint8)


def show_batch(
    batch: Batch,
    *,
    titles: Sequence[str] | None = None,
    class_names: Sequence[str] = (),
    real: Batch | None = None,
    caption: str = "",
) -> Figure:
    """Show a batch with all that moves along: outlines on the images, masks below, labels as words.

    Outlines have the color of the damage level that the mask has inside them; without a mask they
    are white. Labels are written where there are class names and targets.

    Args:
        batch: images of 3 channels, with masks of damage levels, polygons and targets if any.
        titles: one an image, said above it.
        class_names: the classes of the targets.
        real: real images to which the same was done, shown in a last row.
        caption: said above.

    Raises:
        ValueError: another number of titles, or of classes, or images that are not RGB.
    """
    titles = [""] * len(batch) if titles is None else titles
    check_counts(images=batch.images, titles=titles)
    if batch.images.shape[1] != 3:
        raise ValueError(f"expected RGB images, 3 channels, got {batch.images.shape[1]}")
    has_words = bool(class_names) and batch.targets is not None
    if has_words and batch.targets.shape[1] != len(class_names):
        raise ValueError(f"{batch.targets.shape[1]} shares a target, {len(class_names)} classes")
    names = [plain(title) for title in titles]
    labels = [""] * len(batch)
    if has_words:
        labels = [label_words(target, class_names) for target in batch.targets]
    pictures = unit_to_bytes(batch.images).permute(0, 2, 3, 1).numpy()
    rows = [list(map(Cell, pictures, names, labels))]
    if batch.masks is not None:
        masks = [_mask_picture(mask) for mask in batch.masks.numpy()]
        rows = [list(map(Cell, pictures, names)), list(map(Cell, masks, [""] * len(batch), labels))]
    if real is not None:
        rows.append(list(map(Cell, unit_to_bytes(real.images).permute(0, 2, 3, 1).numpy())))
    fig = image_grid(rows, cell=2.4 if len(rows) < 3 else 1.9, caption=caption)
    fig.set_figheight(fig.get_figheight() + 0.06)  # room for what hangs below the last words
    for i, polygons in enumerate(batch.polygons or ()):
        mask = None if batch.masks is None else batch.masks[i]
        for shape in polygons:
            _outline(fig.axes[i], [shape], _color_inside(shape, mask), width=1.3, shift=0.5)
    return fig


def label_words(target: torch.Tensor, class_names: Sequence[str]) -> str:
    """Write a soft label, the largest two shares: "70 % flooding" above "30 % wind"."""
    shares, order = target.sort(descending=True)
    lines = [
        f"{100 * share:.0f} % {class_name(class_names[k])}"
        for share, k in zip(shares.tolist()[:2], order.tolist(), strict=False)
        if share >= _LEAST
    ]
    return "\n".join(lines)


def _color_inside(polygon: shapely.Geometry, mask: torch.Tensor | None) -> str:
    """Find the damage level that most of an outline's pixels have."""
    if mask is None:
        return UNGRADED_COLOR
    inside = mask[rasterize((polygon,), height=mask.shape[0], width=mask.shape[1])]
    levels = inside[inside > 0]  # none, if the outline is smaller than a pixel
    return _color(DamageLevel(int(levels.mode().values)) if len(levels) else None)


def _mask_picture(mask: np.ndarray) -> Picture:
    codes = np.zeros(mask.shape, dtype=int)
    for code, level in enumerate(DAMAGE_COLORS, start=1):
        codes[mask == level] = code
    return _colored(codes, (_GROUND, *DAMAGE_COLORS.values()))


def dial_name(name: str) -> str:
    """Name one of ``lab.DIALS`` in the course's language."""
    return say(f"augment.{name}")


def dial_title(name: str, strength: float | int) -> str:
    """Name one of ``lab.DIALS`` at a strength, "rotation: 30°"."""
    return f"{dial_name(name)}: {say(DIALS[name].unit, value=f'{strength:g}')}"
