"""Images with their buildings: cut out, augmented, as the world knows them."""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import shapely
import torch
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.path import Path

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
from course_utils.xbd.labels import DamageLevel
from mini_earth import LAND_COVER, Outline, View, edge_map, road_map

_LEAST = 0.005  # a smaller share of a label is not written
_GROUND = "#202020"  # of a mask where there is no building


def draw_outlines(
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


def level_color(level: DamageLevel | None) -> str:
    """Give the color of a damage level, or of a building without one."""
    return UNGRADED_COLOR if level is None else DAMAGE_COLORS[level]


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
    pictures["land_cover"] = color_codes(view.land_cover, COVER_COLORS)
    pictures |= {"roads": _lines(road_map(view)), "edges": _lines(edge_map(view))}
    cells = [Cell(im, say(f"scene.{what}"), color=PALE) for what, im in pictures.items()]
    words = {"caption": view.caption, "legend": cover_patches(view.land_cover), "fontsize": 12}
    fig = image_grid([cells], cell=2.9, **words)
    for outline in outlines:
        shape, color = shapely.Polygon(outline.points), DAMAGE_COLORS[DamageLevel(outline.damage)]
        draw_outlines(fig.axes[1], [shape], color, width=1.6, shift=0.5)
    return fig


def cover_patches(*maps: np.ndarray) -> list[Patch]:
    """Make a legend of the classes of land cover that some maps have."""
    there = np.unique(np.concatenate([np.unique(codes) for codes in maps])) if maps else ()
    return [
        Patch(facecolor=COVER_COLORS[code], edgecolor=INK, label=LAND_COVER[code]) for code in there
    ]


def _lines(there: np.ndarray) -> Picture:
    return color_codes(there, ("#FFFFFF", "#000000"))


def color_codes(codes: np.ndarray, colors: Sequence[str]) -> Picture:
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
            draw_outlines(fig.axes[i], [shape], _color_inside(shape, mask), width=1.3, shift=0.5)
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
    return level_color(DamageLevel(int(levels.mode().values)) if len(levels) else None)


def _mask_picture(mask: np.ndarray) -> Picture:
    codes = np.zeros(mask.shape, dtype=int)
    for code, level in enumerate(DAMAGE_COLORS, start=1):
        codes[mask == level] = code
    return color_codes(codes, (_GROUND, *DAMAGE_COLORS.values()))


def dial_name(name: str) -> str:
    """Name one of ``lab.DIALS`` in the course's language."""
    return say(f"augment.{name}")


def dial_title(name: str, strength: float | int) -> str:
    """Name one of ``lab.DIALS`` at a strength, "rotation: 30°"."""
    return f"{dial_name(name)}: {say(DIALS[name].unit, value=f'{strength:g}')}"
