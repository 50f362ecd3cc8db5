"""Where a network looks: a heat map over a grey image, and images of which patches are hidden."""

import textwrap
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from course_utils.plots.style import finish, plain, refuse_unless_pictures, say
from course_utils.plots.sweeps import (
    MAX_WIDTH,
    Picture,
    Pictures,
    head_inches,
    make_axes,
    show_grid,
    width_inches,
)

_HEAT = "magma"  # light and dark tell it too, so that nobody needs the hues
_HEAT_ALPHA = 0.65
_BLACK = -160  # drawn black, so that the darkest pixel of the image is a middling grey
_GREY = np.array([0.299, 0.587, 0.114])
_HIDDEN = 225  # the grey of a hidden patch, lighter than most land


def show_heatmaps(
    images: Pictures,
    heatmaps: Sequence[Float[np.ndarray, "_h _w"]],
    *,
    titles: Sequence[str] | None = None,
    unit: str = "",
    num_columns: int = 6,
    caption: str = "",
) -> Figure:
    """Show a heat map over each image: attention of a class token, or a receptive field.

    Each map is divided by its largest value and enlarged to its image, so that maps are compared
    by where they are high, not by how high.

    Args:
        images: uint8 (h, w, 3).
        heatmaps: one for each image, 0 or more, of any resolution.
        titles: one for each image.
        unit: what the heat is; "relative to the largest value of each map" is said after it.
        num_columns: images beside each other; more go below.
        caption: said above.

    Raises:
        ValueError: no images, not one map (and title) for each, images that are not uint8, or a
            map with values below 0, not finite, or all 0.
    """
    titles = [""] * len(images) if titles is None else titles
    if not len(images) == len(heatmaps) == len(titles) > 0 or num_columns < 1:
        raise ValueError(
            f"expected one map and one title for each image, got {len(images)} images, "
            f"{len(heatmaps)} maps and {len(titles)} titles, in {num_columns} columns"
        )
    refuse_unless_pictures(images)
    for heat in heatmaps:
        if not np.isfinite(heat).all() or heat.min() < 0 or heat.max() == 0:
            raise ValueError("heat maps must be finite, 0 or more, and not all 0")
    num_columns = min(num_columns, len(images))
    num_rows = -(-len(images) // num_columns)
    cell = min(2.6, MAX_WIDTH / num_columns)
    labels = [plain(textwrap.fill(title, max(8, int(cell / 0.1)))) for title in titles]
    above = 0.2 * max(label.count("\n") + bool(label) for label in labels)
    words = plain(f"{unit} · " if unit else "") + say("plot.heat")
    width = max(cell * num_columns, width_inches([words, caption]))
    height = (cell + above + 0.1) * num_rows + head_inches(caption) + 0.8
    fig, axes = make_axes(num_rows, num_columns, (width, height))
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, image, heat, label in zip(axes.flat, images, heatmaps, labels, strict=False):
        drawn = draw_heat(ax, image, heat / heat.max(), (0.0, 1.0))
        ax.set_title(label, fontsize=12)
    add_heat_bar(fig, drawn, words)
    return finish(fig, caption)


def draw_heat(
    ax: Axes, image: Picture, heat: Float[np.ndarray, "_a _b"], limits: tuple[float, float]
) -> AxesImage:
    """Draw heat of any resolution over an image in grey.

    Args:
        ax: where to draw.
        image: uint8 (h, w, 3).
        heat: enlarged to the image.
        limits: heat of the darkest and of the lightest color.

    Returns:
        The heat as drawn, for a color bar.
    """
    height, width = image.shape[:2]
    ax.imshow(image @ _GREY, cmap="gray", vmin=_BLACK, vmax=255, interpolation="nearest")
    style = {"cmap": _HEAT, "alpha": _HEAT_ALPHA, "interpolation": "bilinear"}
    place = (-0.5, width - 0.5, height - 0.5, -0.5)
    return ax.imshow(heat, vmin=limits[0], vmax=limits[1], extent=place, **style)


def add_heat_bar(fig: Figure, heat: AxesImage, words: str) -> None:
    """Draw the color bar of a heat below all axes of a figure."""
    bar = fig.colorbar(heat, ax=fig.axes, orientation="horizontal", aspect=50, pad=0.02)
    bar.ax.set_facecolor("#B0B0B0")  # what the heat of a grey of middling lightness lies on
    bar.set_label(words, fontsize=11)


def show_masked(
    originals: Pictures,
    masks: Sequence[Bool[np.ndarray, "_h _w"]],
    reconstructions: Pictures,
    *,
    titles: Sequence[str] | None = None,
    caption: str = "",
) -> Figure:
    """Show what a masked autoencoder sees and what it paints, a column an image.

    Args:
        originals: uint8 (h, w, 3).
        masks: true where a pixel is hidden from the encoder, (h, w).
        reconstructions: what the decoder paints, everywhere; uint8 (h, w, 3).
        titles: one for each image; the hidden share by default.
        caption: said above.

    Raises:
        ValueError: no images, not one of each for every image, images that are not uint8, or a
            mask or a reconstruction of another size than its image.
    """
    if not len(originals) == len(masks) == len(reconstructions) > 0:
        raise ValueError(
            f"expected one mask and one reconstruction for each image, got {len(originals)} "
            f"images, {len(masks)} masks and {len(reconstructions)} reconstructions"
        )
    refuse_unless_pictures([*originals, *reconstructions])
    triples = list(zip(originals, masks, reconstructions, strict=True))
    for image, mask, painted in triples:
        if mask.dtype != bool or mask.shape != image.shape[:2] or painted.shape != image.shape:
            raise ValueError(
                f"expected a bool mask and a reconstruction of {image.shape[:2]}, got "
                f"{mask.dtype} {mask.shape} and {painted.shape[:2]}"
            )
    seen = [np.where(m[..., None], np.uint8(_HIDDEN), image) for image, m, _ in triples]
    both = [np.where(m[..., None], painted, image) for image, m, painted in triples]
    if titles is None:
        titles = [say("masked.hidden", share=f"{100 * mask.mean():.0f}") for mask in masks]
    return show_grid(
        [originals, seen, reconstructions, both],
        row_labels=[say(f"masked.{row}") for row in ("original", "seen", "painted", "both")],
        column_labels=titles,
        caption=caption,
    )
