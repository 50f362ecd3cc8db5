"""Augmented batches as pictures: images with their outlines, masks and soft labels."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from shapely import Geometry

from course_utils.augment import Batch, rasterize
from course_utils.images import unit_to_bytes
from course_utils.lab import DIALS
from course_utils.plots.pairs import polygon_path
from course_utils.plots.style import DAMAGE_COLORS, class_name, finish, plain, say
from course_utils.plots.sweeps import draw_image, head_inches, make_axes, width_inches
from course_utils.xbd.labels import DamageLevel

_CELL = 2.1  # inches of an image
_LEAST = 0.005  # a smaller share of a label is not written
_GROUND = "#202020"  # of a mask where there is no building
_LEVELS = tuple(level for level in DamageLevel if level in DAMAGE_COLORS)


def show_batch(
    batch: Batch,
    *,
    titles: Sequence[str] | None = None,
    class_names: Sequence[str] = (),
    caption: str = "",
) -> Figure:
    """Show a batch with all that moves along: outlines on the images, masks below, labels as words.

    Outlines have the color of the damage level that the mask has inside them; without a mask they
    are white. Labels are written where there are class names and targets.

    Args:
        batch: images of 3 channels, with masks of damage levels, polygons and targets if any.
        titles: one an image, said above it.
        class_names: the classes of the targets.
        caption: said above all.

    Raises:
        ValueError: another number of titles, or of classes, or images that are not RGB.
    """
    if titles is not None and len(titles) != len(batch):
        raise ValueError(f"{len(batch)} images but {len(titles)} titles")
    if batch.images.shape[1] != 3:
        raise ValueError(f"expected RGB images, 3 channels, got {batch.images.shape[1]}")
    if class_names and batch.targets is not None and batch.targets.shape[1] != len(class_names):
        raise ValueError(f"{batch.targets.shape[1]} shares a target, {len(class_names)} classes")
    num_rows = 1 if batch.masks is None else 2
    has_words = bool(class_names) and batch.targets is not None
    size = (
        max(_CELL * len(batch) + 0.2, width_inches([caption])),
        (_CELL - 0.05) * num_rows
        + head_inches(caption)
        + 0.3 * (titles is not None)
        + (0.25 + 0.22 * _num_lines(batch.targets)) * has_words,
    )
    fig, axes = make_axes(num_rows, len(batch), size)
    pictures = unit_to_bytes(batch.images).permute(0, 2, 3, 1).numpy()
    for i, (ax, picture) in enumerate(zip(axes[0], pictures, strict=True)):
        draw_image(ax, picture)
        if titles is not None:
            ax.set_title(plain(titles[i]), fontsize=10)
        if batch.polygons is not None:
            mask = None if batch.masks is None else batch.masks[i]
            _draw_outlines(ax, batch.polygons[i], mask)
        if batch.masks is not None:
            _draw_mask(axes[1, i], batch.masks[i].numpy())
        if has_words:
            axes[-1, i].set_xlabel(label_words(batch.targets[i], class_names), fontsize=10)
    return finish(fig, caption)


def _num_lines(targets: torch.Tensor | None) -> int:
    """Say how many lines the longest label takes."""
    return 1 if targets is None else min(2, int((targets >= _LEAST).sum(dim=1).max()))


def label_words(target: torch.Tensor, class_names: Sequence[str]) -> str:
    """Write a soft label, the largest two shares: "70 % flooding" above "30 % wind"."""
    shares, order = target.sort(descending=True)
    lines = [
        f"{100 * share:.0f} % {class_name(class_names[k])}"
        for share, k in zip(shares.tolist()[:2], order.tolist(), strict=False)
        if share >= _LEAST
    ]
    return "\n".join(lines)


def _draw_outlines(ax: Axes, polygons: Sequence[Geometry], mask: torch.Tensor | None) -> None:
    """Draw outlines over an image whose pixel centers are whole numbers."""
    for polygon in polygons:
        path = polygon_path(polygon)
        path.vertices -= 0.5
        color = "#FFFFFF" if mask is None else _color_inside(polygon, mask)
        lines = PathCollection([path], facecolors="none", edgecolors=color, linewidths=1.3)
        ax.add_collection(lines, autolim=False)


def _color_inside(polygon: Geometry, mask: torch.Tensor) -> str:
    """Find the damage level that most of an outline's pixels have."""
    inside = mask[rasterize((polygon,), height=mask.shape[0], width=mask.shape[1])]
    levels = inside[inside > 0]
    if not len(levels):
        return "#FFFFFF"  # smaller than a pixel
    return DAMAGE_COLORS[DamageLevel(int(levels.mode().values))]


def _draw_mask(ax: Axes, mask: np.ndarray) -> None:
    colors = ListedColormap([_GROUND, *(DAMAGE_COLORS[level] for level in _LEVELS)])
    codes = np.zeros(mask.shape, dtype=int)
    for code, level in enumerate(_LEVELS, start=1):
        codes[mask == level] = code
    ax.imshow(codes, cmap=colors, vmin=0, vmax=len(_LEVELS), interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def dial_name(name: str) -> str:
    """Name one of ``lab.DIALS`` in the course's language."""
    return say(f"augment.{name}")


def dial_title(name: str, strength: float | int) -> str:
    """Name one of ``lab.DIALS`` at a strength, "rotation: 30°"."""
    return f"{dial_name(name)}: {say(DIALS[name].unit, value=f'{strength:g}')}"
