"""Rows of images."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure

from course_utils.plots.style import plain, shorten


def show_images(
    images: Sequence[UInt8[np.ndarray, "h w 3"]],
    *,
    titles: Sequence[str] | None = None,
    num_columns: int = 8,
    caption: str = "",
) -> Figure:
    """Show images in rows, unscaled colors, with a title above each if given.

    Args:
        images: uint8 (h, w, 3), sizes may differ.
        titles: one for each image.
        num_columns: images in a row; the last row may be short.
        caption: said above all.

    Raises:
        ValueError: for no images, another number of titles, or images that are not uint8.
    """
    if not len(images):
        raise ValueError("no images to show")
    if titles is not None and len(titles) != len(images):
        raise ValueError(f"{len(images)} images but {len(titles)} titles")
    if any(image.dtype != np.uint8 for image in images):
        raise ValueError("images must be uint8; convert them with course_utils.images")
    num_columns = min(num_columns, len(images))
    num_rows = -(-len(images) // num_columns)
    fig, axes = plt.subplots(
        num_rows,
        num_columns,
        figsize=(1.3 * num_columns, (1.6 if titles else 1.35) * num_rows + 0.4 * bool(caption)),
        squeeze=False,
        layout="constrained",
    )
    for ax in axes.flat:
        ax.set_axis_off()
    for index, (ax, image) in enumerate(zip(axes.flat, images, strict=False)):
        ax.imshow(image, interpolation="nearest")
        if titles is not None:
            ax.set_title(shorten(titles[index], 20), fontsize=8)
    if caption:
        fig.suptitle(plain(caption), fontsize=11)
    plt.close(fig)  # the caller shows it, once
    return fig


def show_by_class(
    images: Mapping[str, Sequence[UInt8[np.ndarray, "h w 3"]]], *, caption: str = ""
) -> Figure:
    """Show a row of images for each class, with the class name at its left.

    Raises:
        ValueError: for no classes or a class without images.
    """
    if not images or not all(len(row) for row in images.values()):
        raise ValueError("every class needs an image to show")
    num_columns = max(len(row) for row in images.values())
    fig, axes = plt.subplots(
        len(images),
        num_columns,
        figsize=(0.85 * num_columns + 1.6, 0.85 * len(images) + 0.4),  # noise makes large PNGs
        squeeze=False,
        layout="constrained",
    )
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[], frame_on=False)
    for row, (name, some) in zip(axes, images.items(), strict=True):
        for ax, image in zip(row, some, strict=False):
            ax.imshow(image, interpolation="nearest")
        label = shorten(name, 22)
        row[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=10, labelpad=8)
    fig.suptitle(plain(caption), fontsize=11)
    plt.close(fig)
    return fig
