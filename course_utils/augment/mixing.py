"""Hide a part of an image, or mix two, and their labels by the same share.

``Cutout`` hides a box, ``Mixup`` blends two images, ``CutMix`` puts a box of one into another, and
``CopyPaste`` its buildings.
"""

import math
from dataclasses import dataclass

import numpy as np
import shapely
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int64
from torch import Generator, Tensor

from course_utils.augment.batches import (
    Batch,
    Bounds,
    Images,
    Outlines,
    PerImage,
    Real,
    check_bounds,
    check_count,
    check_images,
    check_share,
    check_targets,
    mended,
    outside,
    rasterize,
    uniform,
    with_parts,
    within,
)

Boxes = Int64[Tensor, "n 4"]  # left, top, and the first column and row that are not in it
Points = Int64[Tensor, "n 2"]  # x and y, in pixels
Order = Int64[Tensor, " n"]  # for each image, its partner in the batch
Pixels = Bool[Tensor, "n h w"]  # which of each image
Polygons = tuple[Outlines, ...] | None
Targets = Float[Tensor, "n k"] | None  # soft labels, if there are any
NUM_CHANCES = 256  # buildings of an image that are chosen apart; the 257th goes as the first does


def erase(images: Images, boxes: Boxes) -> Images:
    """Paint each image's box black.

    Raises:
        ValueError: not in [0, 1], or not one box an image.
    """
    check_images(images)
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

    def draw(self, num: int, height: int, width: int, generator: Generator) -> Boxes:
        """Draw a box an image."""
        side = uniform(num, self.side_shares, generator) * min(height, width)
        half = (side / 2).round().long()[:, None].expand(num, 2)
        centers = _draw_centers(num, height, width, generator)
        return _boxes_around(centers, half, height=height, width=width)

    def apply(self, batch: Batch, params: Boxes) -> Batch:
        """Hide the boxes (see ``erase``)."""
        return with_parts(batch, images=erase(batch.images, params))


def mixup(
    images: Images, targets: Targets, *, lam: PerImage | Real, order: Order
) -> tuple[Images, Targets]:
    r"""Lay a second image over each one, half transparent.

    $$\tilde x_i = \lambda_i x_i + (1-\lambda_i) x_{o(i)}, \qquad
    \tilde y_i = \lambda_i y_i + (1-\lambda_i) y_{o(i)}$$

    Args:
        images: in [0, 1].
        targets: soft labels, rows that sum to 1; None where there are none.
        lam: share of the first image, one number or one an image, in [0, 1].
        order: for each image, which one of the batch comes over it.

    Raises:
        ValueError: shares outside [0, 1], an order that is not of this batch, or targets that are
            not soft labels.

    Source:
        Zhang et al. 2018 (arXiv:1710.09412), eq. 1.
    """
    check_images(images)
    if targets is not None:
        check_targets(targets, len(images))
    _check_order(order, len(images))
    lam = torch.as_tensor(lam, dtype=torch.float32)
    lam = lam.expand(len(images)) if lam.dim() == 0 else lam
    check_count("lam", lam, len(images))
    if not ((lam >= 0) & (lam <= 1)).all():
        raise ValueError(f"lam: expected shares from 0 to 1, got {lam.tolist()}")
    weight = lam.to(images)[:, None, None, None]
    return torch.lerp(images[order], images, weight), _mix_targets(targets, lam, order)


@dataclass(frozen=True, eq=False)
class Blend:
    """What Mixup draws: who comes over whom, and the share of the image below."""

    lam: PerImage
    order: Order


@dataclass(frozen=True)
class Mixup:
    """Blend each image with another one of the batch; λ is drawn from Beta(alpha, alpha).

    For images and soft labels only: a mask or polygon cannot be half there.

    Raises:
        ValueError: alpha not above 0; when applied to masks or polygons.
    """

    alpha: Real = 0.2

    def __post_init__(self) -> None:
        _check_alpha(self.alpha)

    def draw(self, num: int, height: int, width: int, generator: Generator) -> Blend:
        """Draw a share and a partner an image."""
        lam = _draw_beta(num, self.alpha, generator).float()
        return Blend(lam, _draw_partners(num, generator))

    def apply(self, batch: Batch, params: Blend) -> Batch:
        """Blend (see ``mixup``)."""
        if batch.masks is not None or batch.polygons is not None:
            raise ValueError(
                "Mixup blends whole images, and a mask or polygon cannot be half there: use CutMix "
                "or CopyPaste, or a Batch of images and targets only"
            )
        images, targets = mixup(batch.images, batch.targets, lam=params.lam, order=params.order)
        return with_parts(batch, images=images, targets=targets)


def cutmix_boxes(lam: Float[Tensor, " n"], centers: Points, *, height: int, width: int) -> Boxes:
    r"""Make boxes that leave about the share λ, in [0, 1], of an image.

    $$r_w = W \sqrt{1-\lambda}, \qquad r_h = H \sqrt{1-\lambda}$$

    The true share differs by rounding and where a box hangs over the frame, which is why ``CutMix``
    counts again.

    Source:
        Yun et al. 2019 (arXiv:1905.04899), eq. 2; half sides truncated as torchvision does.
    """
    half = 0.5 * (1 - lam).sqrt()[:, None] * torch.tensor([width, height])
    return _boxes_around(centers, half.long(), height=height, width=width)


@dataclass(frozen=True, eq=False)
class Patch:
    """What CutMix draws: from whom a box comes, and where it is."""

    boxes: Boxes
    order: Order


@dataclass(frozen=True)
class CutMix:
    r"""Put a box of another image of the batch into each one; labels mix by area.

    $$\tilde x = m\, x_{o} + (1 - m)\, x, \qquad \tilde y = \bar m\, y_{o} + (1 - \bar m)\, y$$

    where m is 1 in the box and $\bar m = 1 - \lambda$ its mean; λ is drawn from Beta(alpha, alpha).
    Masks and polygons are cut and put in with the box.

    Raises:
        ValueError: alpha not above 0.

    Source:
        Yun et al. 2019 (arXiv:1905.04899), eq. 1.
    """

    alpha: Real = 1.0

    def __post_init__(self) -> None:
        _check_alpha(self.alpha)

    def draw(self, num: int, height: int, width: int, generator: Generator) -> Patch:
        """Draw a box and a partner an image."""
        lam = _draw_beta(num, self.alpha, generator)
        centers = _draw_centers(num, height, width, generator)
        boxes = cutmix_boxes(lam, centers, height=height, width=width)
        return Patch(boxes, _draw_partners(num, generator))

    def apply(self, batch: Batch, params: Patch) -> Batch:
        """Put the boxes in."""
        boxes, order, (height, width) = params.boxes, params.order, batch.size
        _check_order(order, len(batch))
        check_count("boxes", boxes, len(batch))
        inside = box_masks(boxes.to(batch.images.device), height=height, width=width)
        polygons = batch.polygons
        if polygons is not None:
            windows = [shapely.box(*box) for box in boxes.tolist()]
            polygons = tuple(
                outside(own, window) + within(polygons[i], window)
                for own, i, window in zip(polygons, order.tolist(), windows, strict=True)
            )
        return _put_in(batch, order, inside, polygons)


@dataclass(frozen=True, eq=False)
class Paste:
    """What was drawn: whose buildings come into an image, and each one's chance, in [0, 1)."""

    order: Order
    chances: Float32[Tensor, "n chances"]


@dataclass(frozen=True)
class CopyPaste:
    r"""Paste buildings of another image of the batch into each one, at the place where they were.

    $$\tilde x = a\, x_{o} + (1 - a)\, x, \qquad \tilde y = \bar a\, y_{o} + (1 - \bar a)\, y$$

    where a is 1 on the chosen buildings and $\bar a$ its mean, the share of the image that they
    cover. What lies under them is hidden: masks are overwritten, polygons cut, and one that is
    hidden whole is dropped. Edges are not smoothed, which the paper found to make no difference.
    Flip, Scale and Translate before it vary the place: ``Compose((Flip(), Scale(), CopyPaste()))``.

    ``building_share`` is the chance of each polygon to be copied. A batch with masks only does not
    say where one building ends: all pixels of the mask that are not 0 are copied.

    Raises:
        ValueError: a share outside [0, 1]; when applied to a batch without masks and polygons.

    Source:
        Ghiasi et al. 2021 (arXiv:2012.07177), section 3.
    """

    building_share: Real = 0.5

    def __post_init__(self) -> None:
        check_share("building_share", self.building_share)

    def draw(self, num: int, height: int, width: int, generator: Generator) -> Paste:
        """Draw a partner an image and a chance a building."""
        chances = torch.rand(num, NUM_CHANCES, generator=generator)
        return Paste(_draw_partners(num, generator), chances)

    def apply(self, batch: Batch, params: Paste) -> Batch:
        """Paste what was chosen."""
        _check_order(params.order, len(batch))
        check_count("chances", params.chances, len(batch))
        polygons = batch.polygons
        if polygons is not None:
            chosen, (height, width) = self._choose(polygons, params), batch.size
            drawn = [rasterize(found, height=height, width=width) for found in chosen]
            pasted = torch.stack(drawn).to(batch.images.device)
            polygons = tuple(
                outside(own, shapely.union_all(mended(on_top))) + on_top
                for own, on_top in zip(polygons, chosen, strict=True)
            )
        elif batch.masks is not None:
            pasted = batch.masks[params.order] != 0
        else:
            raise ValueError("CopyPaste needs masks or polygons to tell what a building is")
        return _put_in(batch, params.order, pasted, polygons)

    def _choose(self, polygons: tuple[Outlines, ...], params: Paste) -> list[Outlines]:
        """Choose the buildings that come into each image."""
        lucky = (params.chances < self.building_share).tolist()
        return [
            tuple(shape for j, shape in enumerate(polygons[i]) if row[j % len(row)])
            for i, row in zip(params.order.tolist(), lucky, strict=True)
        ]


# What they share: draws, boxes, labels


def _draw_partners(num: int, generator: Generator) -> Order:
    """Draw for each image one to mix with; each is taken once, and may meet itself."""
    return torch.randperm(num, generator=generator)


def _draw_beta(num: int, alpha: Real, generator: Generator) -> Float64[Tensor, " {num}"]:
    """Draw shares from Beta(alpha, alpha): 1 is uniform, below 1 prefers the ends.

    NumPy draws them, since torch's gamma draws take no generator.
    """
    seed = int(torch.randint(2**62, (), generator=generator))
    return torch.from_numpy(np.random.default_rng(seed).beta(alpha, alpha, size=num))


def _draw_centers(num: int, height: int, width: int, generator: Generator) -> Points:
    sides = (width, height)
    return torch.stack([torch.randint(side, (num,), generator=generator) for side in sides], dim=1)


def _boxes_around(centers: Points, half_sides: Points, *, height: int, width: int) -> Boxes:
    """Put boxes about centers, and cut off what hangs over the frame."""
    ends = torch.stack([centers - half_sides, centers + half_sides], dim=1)
    return ends.clamp(min=0).minimum(torch.tensor([width, height])).flatten(1)


def box_masks(boxes: Boxes, *, height: int, width: int) -> Pixels:
    """Say which pixels are in each image's box."""
    left, top, right, bottom = boxes[:, :, None].unbind(1)
    x, y = torch.arange(width).to(boxes), torch.arange(height).to(boxes)
    columns, rows = (x >= left) & (x < right), (y >= top) & (y < bottom)
    return rows[:, :, None] & columns[:, None, :]


def _put_in(batch: Batch, order: Order, pixels: Pixels, polygons: Polygons) -> Batch:
    """Put some pixels of each partner into image and mask; labels mix by their share."""
    images = torch.where(pixels[:, None], batch.images[order], batch.images)
    masks = batch.masks
    if masks is not None:
        masks = torch.where(pixels, masks[order], masks)
    targets = _mix_targets(batch.targets, 1 - pixels.float().mean(dim=(1, 2)), order)
    return with_parts(batch, images=images, masks=masks, polygons=polygons, targets=targets)


def _mix_targets(targets: Targets, lam: PerImage, order: Order) -> Targets:
    """Mix soft labels, if there are any: λ of the own one, 1 - λ of the partner's."""
    if targets is None:
        return None
    return torch.lerp(targets[order], targets, lam.to(targets)[:, None])


def _check_order(order: Tensor, num: int) -> None:
    check_count("order", order, num)
    if order.min() < 0 or order.max() >= num:
        raise ValueError(f"order: expected images 0 to {num - 1}, got {order.tolist()}")


def _check_alpha(alpha: Real) -> None:
    if not 0 < alpha < math.inf:
        raise ValueError(f"alpha: expected a number above 0, got {alpha}")
