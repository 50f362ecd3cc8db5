"""Move images, masks and polygons along one matrix an image."""

from dataclasses import replace

import torch
from jaxtyping import Bool, Float32
from torch import Tensor
from torch.nn import functional as F

from course_utils.augment.affine import Affine, shift, stretch
from course_utils.augment.draws import check_count
from course_utils.augment.outlines import move_polygons
from course_utils.augment.records import Batch


def warp(batch: Batch, affine: Affine) -> Batch:
    r"""Move a batch: each new pixel asks where it came from.

    $$\mathrm{new}(p) = \mathrm{old}(M^{-1} p)$$

    Images are interpolated between the four nearest pixel centers (bilinear), masks take the
    nearest pixel, polygons move exactly and are cut at the new frame; one that has left it is
    dropped. Where the move is lossless, images are copied pixel by pixel. From a point less than
    half a pixel inside the frame, the image goes on as its outermost pixel. Shrinking to under
    half the size skips pixels: bring large images to size first.

    Args:
        batch: images, with or without masks and polygons.
        affine: drawn for this number and size of images.

    Returns:
        The batch in its new size; targets as they were.

    Raises:
        ValueError: drawn for other images, or polygons that would have to be mirrored at a border.
    """
    check_count("affine", affine.matrix, len(batch))
    if batch.size != affine.source_size:
        raise ValueError(
            f"affine: expected for images of {batch.size} pixels, height and width, got one for "
            f"{affine.source_size}; draw for this batch"
        )
    if batch.polygons is not None and affine.padding == "reflection":
        raise ValueError('polygons cannot go on in a mirror: use padding="zeros", or masks')
    grid = source_grid(affine).to(batch.images.device)
    mode = "nearest" if affine.is_lossless else "bilinear"
    parts = {"images": _sample(batch.images, grid, mode, affine.padding)}
    if batch.masks is not None:  # float64 holds each whole number that a mask may
        masks = _sample(batch.masks.double()[:, None], grid.double(), "nearest", affine.padding)
        parts["masks"] = masks[:, 0].to(batch.masks.dtype)
    if batch.polygons is not None:
        parts["polygons"] = move_polygons(batch.polygons, affine.matrix, affine.size)
    return replace(batch, **parts)


def source_grid(affine: Affine) -> Float32[Tensor, "n h w 2"]:
    """Say for each new pixel center where it came from; -1 and 1 are the edges of the frame."""
    (source_height, source_width), (height, width) = affine.source_size, affine.size
    to_frame = shift(-1, -1) @ stretch(2 / source_width, 2 / source_height)
    to_source = (to_frame @ torch.linalg.inv(affine.matrix))[:, :2].float()
    along_x, along_y, origin = to_source[..., None, None].unbind(2)  # each n 2 1 1
    x, y = torch.arange(width) + 0.5, torch.arange(height) + 0.5
    return (along_y * y[:, None] + origin + along_x * x).movedim(1, -1)


def _sample(images: Tensor, grid: Tensor, mode: str, padding: str) -> Tensor:
    """Look images up at the points of a grid."""
    mirrored = padding == "reflection"
    edge = "reflection" if mirrored else "border"
    found = F.grid_sample(images, grid, mode=mode, padding_mode=edge, align_corners=False)
    if not mirrored:
        found *= is_inside(grid)[:, None]
    return found


def is_inside(grid: Float32[Tensor, "n h w 2"] | Tensor) -> Bool[Tensor, "n h w"]:
    """Say which points lie in the frame."""
    x, y = grid.unbind(-1)
    return (x.abs() <= 1) & (y.abs() <= 1)
