"""Boxes of whole pixels, and Cutout, which hides what is in one."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Generator, Tensor

from course_utils.augment.draws import Bounds, check_bounds, check_count, uniform
from course_utils.augment.records import Batch, with_parts


def boxes_around(
    centers: Int64[Tensor, "n 2"], half_sides: Int64[Tensor, "n 2"], *, height: int, width: int
) -> Int64[Tensor, "n 4"]:
    """Put boxes about centers, and cut off what hangs over the frame.

    Args:
        centers: x and y, in pixels.
        half_sides: half the width and half the height, in pixels.
        height: of the frame.
        width: of the frame.

    Returns:
        Left, top, right, bottom; the last two are the first column and row that are not in it.
    """
    ends = torch.stack([centers - half_sides, centers + half_sides], dim=1)
    return ends.clamp(min=0).minimum(torch.tensor([width, height])).flatten(1)


def cutmix_boxes(
    lam: Float[Tensor, " n"], centers: Int64[Tensor, "n 2"], *, height: int, width: int
) -> Int64[Tensor, "n 4"]:
    r"""Make boxes that leave about the share λ of an image.

    $$r_w = W \sqrt{1-\lambda}, \qquad r_h = H \sqrt{1-\lambda}$$

    Args:
        lam: share that stays, in [0, 1]; the true one differs by rounding and where a box hangs
            over the frame, which is why ``cutmix`` counts again.
        centers: x and y, in pixels.
        height: of the frame.
        width: of the frame.

    Returns:
        Left, top, right, bottom.

    Source:
        Yun et al. 2019 (arXiv:1905.04899), eq. 2; half sides truncated as torchvision does.
    """
    half = 0.5 * (1 - lam).sqrt()[:, None] * torch.tensor([width, height])
    return boxes_around(centers, half.long(), height=height, width=width)


def box_masks(
    boxes: Int64[Tensor, "n 4"], *, height: int, width: int
) -> Bool[Tensor, "n {height} {width}"]:
    """Say which pixels are in each image's box (left, top, right, bottom)."""
    left, top, right, bottom = boxes[:, :, None].unbind(1)
    x, y = torch.arange(width).to(boxes), torch.arange(height).to(boxes)
    columns, rows = (x >= left) & (x < right), (y >= top) & (y < bottom)
    return rows[:, :, None] & columns[:, None, :]


def box_lam(
    boxes: Int64[Tensor, "n 4"], images: Float32[Tensor, "n c h w"]
) -> Float32[Tensor, " n"]:
    """Count the share of each image that its box leaves.

    Raises:
        ValueError: not one box an image, or a box that is not in the frame.
    """
    check_count("boxes", boxes, len(images))
    height, width = images.shape[2:]
    left, top, right, bottom = boxes.unbind(1)
    in_order = (left >= 0) & (left <= right) & (right <= width)
    if not (in_order & (top >= 0) & (top <= bottom) & (bottom <= height)).all():
        raise ValueError(
            "boxes: expected 0 <= left <= right <= width and 0 <= top <= bottom <= height, in a "
            f"frame {width} wide and {height} high, got {boxes.tolist()}"
        )
    return 1 - (right - left) * (bottom - top) / (height * width)


def erase(
    images: Float32[Tensor, "n c h w"], boxes: Int64[Tensor, "n 4"]
) -> Float32[Tensor, "n c h w"]:
    """Paint each image's box black.

    Raises:
        ValueError: not one box an image.
    """
    check_count("boxes", boxes, len(images))
    hidden = box_masks(boxes.to(images.device), height=images.shape[2], width=images.shape[3])
    return images * ~hidden[:, None]


@dataclass(frozen=True)
class Cutout:
    """Hide a square of each image; its center is anywhere, so that a part may hang over.

    Masks, polygons and targets stay: what is hidden is still there, to be told from what is around.
    ``side_shares`` bounds the square's side, as a share of the image's shorter one.

    Raises:
        ValueError: bounds outside [0, 1] or not in order.

    Source:
        DeVries and Taylor 2017 (arXiv:1708.04552), section 3: one square of fixed side, centers
        uniform over the image.
    """

    side_shares: Bounds = (0.25, 0.5)

    def __post_init__(self) -> None:
        check_bounds("side_shares", self.side_shares, low=0, high=1)

    def draw(
        self, num: int, height: int, width: int, generator: Generator
    ) -> Int64[Tensor, "{num} 4"]:
        """Draw a box an image: left, top, right, bottom."""
        side = uniform(num, self.side_shares, generator) * min(height, width)
        half = (side / 2).round().long()[:, None].expand(num, 2)
        return boxes_around(
            random_centers(num, height, width, generator), half, height=height, width=width
        )

    def apply(self, batch: Batch, params: Int64[Tensor, "n 4"]) -> Batch:
        """Hide the boxes (see ``erase``)."""
        return with_parts(batch, images=erase(batch.images, params))


def random_centers(
    num: int, height: int, width: int, generator: Generator
) -> Int64[Tensor, "{num} 2"]:
    """Draw x and y of a pixel an image."""
    sides = (width, height)
    return torch.stack([torch.randint(side, (num,), generator=generator) for side in sides], dim=1)
