"""Mix two images, and their labels by the same share: Mixup and CutMix."""

import math
from dataclasses import dataclass

import shapely
import torch
from jaxtyping import Float, Float32, Int64
from torch import Generator, Tensor

from course_utils.augment.boxes import box_lam, box_masks, cutmix_boxes, random_centers
from course_utils.augment.draws import Real, beta, check_count, check_order, partners
from course_utils.augment.outlines import Outlines, cover, within
from course_utils.augment.records import Batch, check_images, check_targets, with_parts


def mixup(
    images: Float32[Tensor, "n c h w"],
    targets: Float[Tensor, "n k"] | None,
    *,
    lam: Float[Tensor, " n"] | Real,
    order: Int64[Tensor, " n"],
) -> tuple[Float32[Tensor, "n c h w"], Float[Tensor, "n k"] | None]:
    r"""Lay a second image over each one, half transparent.

    $$\tilde x_i = \lambda_i x_i + (1-\lambda_i) x_{o(i)}, \qquad
    \tilde y_i = \lambda_i y_i + (1-\lambda_i) y_{o(i)}$$

    Args:
        images: in [0, 1].
        targets: soft labels, rows that sum to 1; None where there are none.
        lam: share of the first image, one number or one an image, in [0, 1].
        order: for each image, which one of the batch comes over it.

    Returns:
        Images and targets.

    Raises:
        ValueError: shares outside [0, 1], an order that is not of this batch, or targets that are
            not soft labels.

    Source:
        Zhang et al. 2018 (arXiv:1710.09412), eq. 1.
    """
    lam = _check(images, targets, lam, order)
    weight = lam.to(images)[:, None, None, None]
    return torch.lerp(images[order], images, weight), mix_targets(targets, lam, order)


def cutmix(
    images: Float32[Tensor, "n c h w"],
    targets: Float[Tensor, "n k"] | None,
    *,
    boxes: Int64[Tensor, "n 4"],
    order: Int64[Tensor, " n"],
) -> tuple[Float32[Tensor, "n c h w"], Float[Tensor, "n k"] | None]:
    r"""Put a box of a second image into each one; labels mix by area.

    $$\lambda = 1 - \frac{(r - l)(b - t)}{HW}$$

    Args:
        images: in [0, 1].
        targets: soft labels, rows that sum to 1; None where there are none.
        boxes: left, top, right, bottom in pixels, as from ``cutmix_boxes``.
        order: for each image, from which one of the batch its box is.

    Returns:
        Images and targets.

    Raises:
        ValueError: boxes that leave the frame, an order that is not of this batch, or targets that
            are not soft labels.

    Source:
        Yun et al. 2019 (arXiv:1905.04899), eq. 1.
    """
    lam = _check(images, targets, box_lam(boxes, images), order)
    inside = box_masks(boxes.to(images.device), height=images.shape[2], width=images.shape[3])
    mixed = torch.where(inside[:, None], images[order], images)
    return mixed, mix_targets(targets, lam, order)


def mix_targets(
    targets: Float[Tensor, "n k"] | None, lam: Float[Tensor, " n"], order: Int64[Tensor, " n"]
) -> Float[Tensor, "n k"] | None:
    """Mix soft labels, if there are any: λ of the own one, 1 - λ of the partner's."""
    if targets is None:
        return None
    return torch.lerp(targets[order], targets, lam.to(targets)[:, None])


@dataclass(frozen=True, eq=False)
class Blend:
    """What Mixup draws: who comes over whom, and the share of the image below."""

    lam: Float32[Tensor, " n"]
    order: Int64[Tensor, " n"]


@dataclass(frozen=True, eq=False)
class Patch:
    """What CutMix draws: from whom a box comes, and where it is."""

    boxes: Int64[Tensor, "n 4"]
    order: Int64[Tensor, " n"]


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
        lam = beta(num, self.alpha, generator).float()
        return Blend(lam, partners(num, generator))

    def apply(self, batch: Batch, params: Blend) -> Batch:
        """Blend (see ``mixup``)."""
        if batch.masks is not None or batch.polygons is not None:
            raise ValueError(
                "Mixup blends whole images, and a mask or polygon cannot be half there: use CutMix "
                "or CopyPaste, or a Batch of images and targets only"
            )
        images, targets = mixup(batch.images, batch.targets, lam=params.lam, order=params.order)
        return with_parts(batch, images=images, targets=targets)


@dataclass(frozen=True)
class CutMix:
    """Put a box of another image of the batch into each one; λ is drawn from Beta(alpha, alpha).

    Masks and polygons are cut and put in with it.

    Raises:
        ValueError: alpha not above 0.
    """

    alpha: Real = 1.0

    def __post_init__(self) -> None:
        _check_alpha(self.alpha)

    def draw(self, num: int, height: int, width: int, generator: Generator) -> Patch:
        """Draw a box and a partner an image."""
        lam = beta(num, self.alpha, generator)
        centers = random_centers(num, height, width, generator)
        boxes = cutmix_boxes(lam, centers, height=height, width=width)
        return Patch(boxes, partners(num, generator))

    def apply(self, batch: Batch, params: Patch) -> Batch:
        """Put the boxes in (see ``cutmix``)."""
        images, targets = cutmix(
            batch.images, batch.targets, boxes=params.boxes, order=params.order
        )
        masks, polygons = batch.masks, batch.polygons
        if masks is not None:
            height, width = batch.size
            inside = box_masks(params.boxes.to(masks.device), height=height, width=width)
            masks = torch.where(inside, masks[params.order], masks)
        if polygons is not None:
            polygons = tuple(
                _put_in(own, polygons[i], box)
                for own, i, box in zip(
                    polygons, params.order.tolist(), params.boxes.tolist(), strict=True
                )
            )
        return with_parts(batch, images=images, masks=masks, polygons=polygons, targets=targets)


def _put_in(own: Outlines, others: Outlines, box: list[int]) -> Outlines:
    window = shapely.box(*box)
    return cover(own, window) + within(others, window)


def _check_alpha(alpha: Real) -> None:
    if not 0 < alpha < math.inf:
        raise ValueError(f"alpha: expected a number above 0, got {alpha}")


def _check(
    images: Tensor, targets: Tensor | None, lam: Tensor | Real, order: Tensor
) -> Float32[Tensor, " n"]:
    """Refuse what cannot be mixed; give one share an image."""
    check_images(images)
    if targets is not None:
        check_targets(targets, len(images))
    check_order(order, len(images))
    lam = torch.as_tensor(lam, dtype=torch.float32)
    lam = lam.expand(len(images)) if lam.dim() == 0 else lam
    check_count("lam", lam, len(images))
    if not ((lam >= 0) & (lam <= 1)).all():
        raise ValueError(f"lam: expected shares from 0 to 1, got {lam.tolist()}")
    return lam
