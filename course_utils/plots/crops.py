"""Buildings cut out of images, by damage level, and the scale that grades them."""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_utils.plots.style import (
    DAMAGE_COLORS,
    INK,
    finish,
    level_name,
    on_color,
    refuse_unless_pictures,
    say,
)
from course_utils.xbd.labels import DamageLevel

Picture = UInt8[np.ndarray, "_h _w 3"]
_GAP = 3  # white pixels between the crops of a pair


def crops_by_level(
    crops: Mapping[DamageLevel, Sequence[Picture | tuple[Picture, Picture]]],
    *,
    pairs: bool = False,
    caption: str = "",
) -> Figure:
    """Show a row of crops for each damage level, framed in its color.

    Args:
        crops: images by level; levels without any are left out.
        pairs: each entry is a tuple of one building before and after, shown side by side.
        caption: said above all.

    Raises:
        ValueError: no crops, images that are not uint8 (h, w, 3), or pairs of two sizes.
    """
    rows = {
        level: _join(crops[level], pairs) for level in DAMAGE_COLORS if len(crops.get(level, ()))
    }
    if not rows:
        raise ValueError("no crops to show")
    num_columns = max(len(row) for row in rows.values())
    width = 2.05 if pairs else 1.1
    fig, axes = plt.subplots(
        len(rows),
        num_columns,
        figsize=(width * num_columns + 1.6, 1.1 * len(rows) + 0.5),
        squeeze=False,
        layout="constrained",
    )
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[], frame_on=False)
    for row, (level, some) in zip(axes, rows.items(), strict=True):
        for ax, image in zip(row, some, strict=False):
            _show_crop(ax, image, DAMAGE_COLORS[level])
        row[0].set_ylabel(level_name(level), rotation=0, ha="right", va="center", fontsize=11)
    return finish(fig, caption)


def _join(crops: Sequence, pairs: bool) -> list[Picture]:
    """Put the two images of each pair side by side; check all images."""
    if not pairs:
        refuse_unless_pictures(crops)
        return list(crops)
    joined = []
    for pre, post in crops:
        refuse_unless_pictures([pre, post])
        if pre.shape != post.shape:
            raise ValueError(f"a pair must have one size, got {pre.shape[:2]} and {post.shape[:2]}")
        gap = np.full((len(pre), max(1, pre.shape[1] * _GAP // 100), 3), 255, np.uint8)
        joined.append(np.concatenate([pre, gap, post], axis=1))
    return joined


def _show_crop(ax: Axes, image: Picture, color: str) -> None:
    ax.imshow(image, interpolation="nearest")
    ax.set(xticks=[], yticks=[], frame_on=True)
    ax.spines[:].set(color=color, linewidth=3)


def damage_scale(
    examples: Mapping[DamageLevel, Sequence[Picture]] | None = None,
    *,
    num_examples: int = 3,
    caption: str = "",
) -> Figure:
    """Show the Joint Damage Scale as a table: level, what it means, example crops.

    Args:
        examples: crops after the disaster by level; a level without any says so.
        num_examples: crops a row at most.
        caption: said above; the name of the scale by default.

    Raises:
        ValueError: images that are not uint8 (h, w, 3), or no room for an example.

    Source:
        Gupta et al. 2019, arXiv 1911.09296, the Joint Damage Scale, in other words.
    """
    examples = examples or {}
    if num_examples < 1:
        raise ValueError(f"expected num_examples >= 1, got {num_examples}")
    refuse_unless_pictures([image for row in examples.values() for image in row])
    fig, axes = plt.subplots(
        len(DAMAGE_COLORS),
        2 + num_examples,
        figsize=(6.4 + 1.35 * num_examples, 1.4 * len(DAMAGE_COLORS) + 0.5),
        width_ratios=[1.6, 4.4, *[1.35] * num_examples],
        layout="constrained",
    )
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[], frame_on=False)
    for row, level in zip(axes, DAMAGE_COLORS, strict=True):
        _write_level(row[0], row[1], level)
        crops = list(examples.get(level, ()))[:num_examples]
        for ax, image in zip(row[2:], crops, strict=False):
            _show_crop(ax, image, DAMAGE_COLORS[level])
        if not crops:
            row[2].text(0, 0.5, say("plot.no_example"), va="center", color=INK, style="italic")
    return finish(fig, caption or say("plot.damage_scale"))


def _write_level(name: Axes, words: Axes, level: DamageLevel) -> None:
    """Write a level's value and name on its color, and its definition beside it."""
    color = DAMAGE_COLORS[level]
    name.set(frame_on=True, facecolor=color)
    style = {"ha": "center", "va": "center", "color": on_color(color), "transform": name.transAxes}
    name.text(0.5, 0.62, str(int(level)), fontsize=18, weight="bold", **style)
    name.text(0.5, 0.28, level_name(level), fontsize=11, **style)
    definition = say(f"damage.{level.name.lower()}.definition")
    is_wide = any(sign > "\u2e80" for sign in definition)  # Chinese signs are twice as wide
    width = 26 if is_wide else 52
    wrapped = textwrap.fill(definition, width)
    words.text(0, 0.5, wrapped, va="center", fontsize=12, linespacing=1.3)
