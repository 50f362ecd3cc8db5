"""What is augmented, a batch with all that must move along, and what an augmentation does."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float, Float32, Int, Integer
from shapely import MultiPolygon, Polygon
from torch import Generator, Tensor
from torch.nn import functional as F

P = TypeVar("P")  # what an augmentation draws
ROUNDING = 1e-5  # by which sums of float32 may leave [0, 1], or miss 1


@dataclass(frozen=True, eq=False)
class Batch:
    """Images of one size, and what must move with them.

    Pixels are squares: the one in column j and row i covers j … j + 1 and i … i + 1, its center is
    (j + 0.5, i + 0.5), and the frame is 0 … w and 0 … h. x runs to the right, y down.

    ``images`` are in unit range, as ``images.to_unit`` makes them. ``masks`` hold a whole number a
    pixel, such as a damage level, 0 for background. ``polygons`` are each image's outlines in
    pixels. ``targets`` are soft labels, rows of shares that sum to 1; ``targets_from_labels`` makes
    them of class numbers. ``batch[2:5]`` is a batch of three of the images.

    Raises:
        ValueError: no images; not float32, or values outside [0, 1]; a mask of another size or
            not of whole numbers; not one sequence of polygons an image; targets that are no shares.
    """

    images: Float32[Tensor, "n c h w"]
    masks: Integer[Tensor, "n h w"] | None = None
    polygons: Sequence[Sequence[Polygon | MultiPolygon]] | None = None  # kept as tuples
    targets: Float[Tensor, "n k"] | None = None

    def __post_init__(self) -> None:
        """Refuse what does not belong together."""
        check_images(self.images)
        if self.masks is not None:
            _check_masks(self.masks, self.images)
        if self.polygons is not None:
            object.__setattr__(self, "polygons", tuple(tuple(found) for found in self.polygons))
            _check_polygons(self.polygons, len(self))
        if self.targets is not None:
            check_targets(self.targets, len(self))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: slice) -> "Batch":
        """Take some images and all that is theirs."""
        parts = {name: part for name, part in vars(self).items() if part is not None}
        return Batch(**{name: part[rows] for name, part in parts.items()})

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.images.shape[2], self.images.shape[3]


def with_parts(batch: Batch, **parts: Any) -> Batch:
    """Replace parts by such as are right by construction: nothing is checked again."""
    changed = object.__new__(Batch)
    vars(changed).update(vars(batch) | parts)
    return changed


def join(batches: Sequence[Batch]) -> Batch:
    """Put batches behind each other that have images of one size, and the same parts."""
    together = {}
    for name, first in vars(batches[0]).items():
        parts = [getattr(batch, name) for batch in batches]
        if isinstance(first, Tensor):
            together[name] = torch.cat(parts)
        elif first is not None:
            together[name] = tuple(chain.from_iterable(parts))
    return Batch(**together)


@runtime_checkable
class Augmentation(Protocol[P]):
    """Settings, a draw that is random, and an apply that is not.

    What was drawn is data: it can be looked at, kept, applied again, or written by hand. It is a
    tensor or a dataclass of tensors, whose first axis is the image. Where images of the batch mix,
    each one's partner is called ``order``.
    """

    def draw(self, num: int, height: int, width: int, generator: Generator) -> P:
        """Draw the parameters of ``num`` images.

        Args:
            num: of images, 1 or more.
            height: of the images, in pixels.
            width: of the images, in pixels.
            generator: on the CPU, the only source of chance.
        """

    def apply(self, batch: Batch, params: P) -> Batch:
        """Change a batch as drawn; the batch that came in stays as it is.

        Raises:
            ValueError: parameters of another number or size of images.
        """


def targets_from_labels(
    labels: Int[Tensor, " n"] | Sequence[int], *, num_classes: int
) -> Float32[Tensor, "n k"]:
    """Turn class numbers into soft labels that are quite sure.

    Args:
        labels: 0 … K-1.
        num_classes: K.

    Returns:
        Rows with one 1 each.

    Raises:
        ValueError: no labels, or one outside the classes.
    """
    labels = torch.as_tensor(labels)
    if labels.dim() != 1 or not len(labels) or labels.is_floating_point():
        raise ValueError(
            f"labels: expected one whole number an image, got {labels.dtype} of shape "
            f"{tuple(labels.shape)}"
        )
    low, high = (int(end) for end in torch.aminmax(labels))
    if low < 0 or high >= num_classes:
        raise ValueError(
            f"labels: expected 0 to {num_classes - 1}, as there are {num_classes} classes, got "
            f"{low if low < 0 else high}; look at the list of class names"
        )
    return F.one_hot(labels.long(), num_classes).float()


def check_images(images: Any) -> None:
    """Refuse what is no batch of images in unit range.

    Raises:
        ValueError: as ``Batch`` says.
    """
    if not isinstance(images, Tensor) or images.dtype != torch.float32 or images.dim() != 4:
        got = f"{images.dtype} of shape {tuple(images.shape)}" if isinstance(images, Tensor) else ""
        raise ValueError(
            "images: expected float32 of shape (n, c, h, w) in [0, 1], got "
            f"{got or type(images).__name__}; course_utils.images.to_unit makes it of bytes, and "
            "images of several sizes are brought to one by course_utils.images.fit"
        )
    if not images.numel():
        raise ValueError(f"images: expected one or more, got shape {tuple(images.shape)}")
    low, high = (end.item() for end in torch.aminmax(images))
    if not (low >= -ROUNDING and high <= 1 + ROUNDING):  # NaN is in no range
        raise ValueError(
            f"images: expected values in [0, 1], got {low:g} to {high:g}; "
            "course_utils.images.to_unit makes them of bytes"
        )


def _check_masks(masks: Any, images: Tensor) -> None:
    expected = (images.shape[0], *images.shape[2:])
    if not isinstance(masks, Tensor) or tuple(masks.shape) != expected:
        got = tuple(masks.shape) if isinstance(masks, Tensor) else type(masks).__name__
        raise ValueError(f"masks: expected the size of the images, {expected}, got {got}")
    if masks.is_floating_point() or masks.is_complex() or masks.dtype == torch.bool:
        raise ValueError(f"masks: expected whole numbers, got {masks.dtype}; .long() makes them")


def _check_polygons(polygons: tuple, num: int) -> None:
    if len(polygons) != num:
        raise ValueError(
            f"polygons: expected one sequence an image, {num}, got {len(polygons)}; an image "
            "without any has ()"
        )
    for polygon in (polygon for found in polygons for polygon in found):
        if not isinstance(polygon, Polygon | MultiPolygon):
            raise ValueError(
                f"polygons: expected shapely polygons, got {type(polygon).__name__}; "
                "shapely.Polygon(points) makes one of points"
            )


def check_targets(targets: Any, num: int) -> None:
    """Refuse what are not soft labels, one row an image.

    Raises:
        ValueError: as ``Batch`` says.
    """
    if not isinstance(targets, Tensor) or not targets.is_floating_point() or targets.dim() != 2:
        raise ValueError(
            "targets: expected floats of shape (n, k); targets_from_labels makes them of labels"
        )
    if len(targets) != num:
        raise ValueError(f"targets: expected a row an image, {num}, got {len(targets)}")
    low, sums = targets.min().item(), targets.sum(dim=1)
    if not (low >= 0 and ((sums - 1).abs() <= ROUNDING).all()):
        raise ValueError(
            f"targets: expected shares from 0 that sum to 1 in each row, got the smallest {low:g} "
            f"and sums from {sums.min().item():g} to {sums.max().item():g}"
        )
