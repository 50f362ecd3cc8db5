"""Masks that say which part of a scene is painted anew."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image, ImageDraw, ImageFilter

ON = 255


def mask_from_outlines(
    outlines: Iterable[Float[np.ndarray, "_k 2"]], *, size: int, margin: int = 2
) -> Bool[np.ndarray, "size size"]:
    """Mark what lies inside of outlines, and a margin around it, to be painted anew.

    Args:
        outlines: corners as x and y in pixels, as those of ``mini_earth.outlines`` (``points``) or
            of xBD's buildings; they may lie outside of the image.
        size: side of the image in pixels.
        margin: pixels around each outline, so that no rim of what was there is left.

    Returns:
        True where to paint: a mask for `text2image.generate`.

    Raises:
        ValueError: no outline is in the image, or one is no list of at least three points.
    """
    page = Image.new("L", (size, size))
    pen = ImageDraw.Draw(page)
    for i, outline in enumerate(outlines):
        points = np.asarray(outline, dtype=float)
        if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
            raise ValueError(
                f"outlines[{i}]: expected the x and y of at least three points, got an array of "
                f"shape {points.shape}; of mini_earth's outlines take .points"
            )
        pen.polygon([tuple(point) for point in points], fill=ON)
    mask = np.asarray(page.filter(ImageFilter.MaxFilter(2 * margin + 1))) == ON
    if not mask.any():
        raise ValueError(
            f"outlines: none lies in the image of {size} x {size} pixels, so that nothing would be "
            "painted; choose another scene, or give the outlines in pixels of this image"
        )
    return mask
