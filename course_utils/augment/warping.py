"""Move images, masks and polygons along one matrix an image."""

import torch
from jaxtyping import Bool, Float32
from torch import Tensor
from torch.nn import functional as F

from course_utils.augment.affine import Affine, shift, stretch
from course_utils.augment.draws import check_count
from course_utils.augment.outlines import move_polygons
from course_utils.augment.records import ROUNDING, Batch, with_parts


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
    is_closed = affine.padding == "reflection" or stays_inside(affine)
    inside = None if is_closed else is_inside(grid)[:, None]
    edge = "reflection" if affine.padding == "reflection" else "border"

    def look_up(pixels: Tensor, mode: str) -> Tensor:
        points = grid.to(pixels.dtype)
        found = F.grid_sample(pixels, points, mode=mode, padding_mode=edge, align_corners=False)
        return found if inside is None else found.mul_(inside)

    parts = {"images": look_up(batch.images, "nearest" if affine.is_lossless else "bilinear")}
    if batch.masks is not None:  # float64 holds each whole number that a mask may
        masks = look_up(batch.masks.double()[:, None], "nearest")
        parts["masks"] = masks[:, 0].to(batch.masks.dtype)
    if batch.polygons is not None:
        parts["polygons"] = move_polygons(batch.polygons, affine.matrix, affine.size)
    return with_parts(batch, **parts)


def source_grid(affine: Affine) -> Float32[Tensor, "n h w 2"]:
    """Say for each new pixel center where it came from; -1 and 1 are the edges of the frame."""
    to_source = _to_source(affine)[:, :2].float()
    along_x, along_y, origin = to_source[..., None, None].unbind(2)  # each n 2 1 1
    height, width = affine.size
    x, y = torch.arange(width) + 0.5, torch.arange(height) + 0.5
    return (along_y * y[:, None] + origin + along_x * x).movedim(1, -1)


def is_inside(grid: Float32[Tensor, "n h w 2"]) -> Bool[Tensor, "n h w"]:
    """Say which points lie in the frame."""
    x, y = grid.unbind(-1)
    return (x.abs() <= 1) & (y.abs() <= 1)


def stays_inside(affine: Affine) -> bool:
    """Say whether all came from inside the frame: if the new corners did, so did what is between.

    Up to rounding, since pixel centers are well inside the corners.
    """
    height, width = affine.size
    corners = torch.tensor([[0, width, 0, width], [0, 0, height, height], [1, 1, 1, 1]]).double()
    return bool(((_to_source(affine) @ corners)[:, :2].abs() <= 1 + ROUNDING).all())


def _to_source(affine: Affine) -> Tensor:
    height, width = affine.source_size
    to_frame = shift(-1, -1) @ stretch(2 / width, 2 / height)
    return to_frame @ torch.linalg.inv(affine.matrix)
