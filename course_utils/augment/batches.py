"""What is augmented, a batch with all that must move along, and what every augmentation shares."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import shapely
import torch
from jaxtyping import Bool, Float, Float32, Int, Integer
from shapely import MultiPolygon, Polygon
from torch import Generator, Tensor
from torch.nn import functional as F

P = TypeVar("P")  # what an augmentation draws
Images = Float32[Tensor, "n c h w"]  # in [0, 1]
PerImage = Float32[Tensor, " n"]  # one number an image
Real = float | int
Bounds = tuple[Real, Real]  # lowest and highest value, both included
Outlines = tuple[Polygon | MultiPolygon, ...]  # of one image
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

    images: Images
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


def with_parts(batch: Batch, **parts: Any) -> Batch:
    """Replace parts by such as are right by construction: nothing is checked again."""
    changed = object.__new__(Batch)
    vars(changed).update(vars(batch) | parts)
    return changed


def targets_from_labels(
    labels: Int[Tensor, " n"] | Sequence[int], *, num_classes: int
) -> Float32[Tensor, "n k"]:
    """Turn class numbers, 0 … K-1, into soft labels that are quite sure: rows with one 1 each.

    Raises:
        ValueError: no labels, or one outside the classes.
    """
    labels = torch.as_tensor(labels)
    is_whole = not labels.is_floating_point() and labels.dtype != torch.bool
    if labels.dim() != 1 or not len(labels) or not is_whole:
        raise ValueError(f"labels: expected one whole number an image, got {_kind(labels)}")
    low, high = (int(end) for end in torch.aminmax(labels))
    if low < 0 or high >= num_classes:
        raise ValueError(
            f"labels: expected 0 to {num_classes - 1}, as there are {num_classes} classes, got "
            f"{low if low < 0 else high}; look at the list of class names"
        )
    return F.one_hot(labels.long(), num_classes).float()


# Draws: one number an image, from bounds that were checked


def uniform(num: int, bounds: Bounds, generator: Generator) -> Float32[Tensor, " {num}"]:
    """Draw numbers between bounds, all equally likely; equal bounds give just that number."""
    low, high = bounds
    return low + (high - low) * torch.rand(num, generator=generator)


def log_uniform(num: int, bounds: Bounds, generator: Generator) -> Float32[Tensor, " {num}"]:
    """Draw ratios between bounds above 0, a half as likely as a double."""
    low, high = bounds
    return low * (high / low) ** torch.rand(num, generator=generator)


def check_bounds(name: str, bounds: Any, *, low: Real = -math.inf, high: Real = math.inf) -> None:
    """Refuse bounds that are not two finite numbers in order, from ``low`` to ``high``."""
    try:
        first, last = (float(bound) for bound in bounds)
    except (TypeError, ValueError):
        first, last = math.nan, math.nan
    if not (low <= first <= last <= high and math.isfinite(first) and math.isfinite(last)):
        raise ValueError(
            f"{name}: expected the lowest and the highest value, from {low:g} to {high:g}, such as "
            f"({max(low, 0):g}, {min(high, 1):g}), got {bounds!r}"
        )


def check_share(name: str, share: Any) -> None:
    """Refuse what is no number from 0 to 1."""
    if not isinstance(share, float | int) or not 0 <= share <= 1:
        raise ValueError(f"{name}: expected a share from 0 to 1, got {share!r}")


def check_count(name: str, params: Tensor, num: int) -> None:
    """Refuse parameters that are not one an image."""
    if len(params) != num:
        raise ValueError(
            f"{name}: expected one an image, {num}, got {len(params)}; draw for this batch"
        )


# Polygons: cut them, and draw them as pixels


def rasterize(polygons: Outlines, *, height: int, width: int) -> Bool[Tensor, "{height} {width}"]:
    """Say which pixels have their center inside a polygon.

    Args:
        polygons: in pixels (see ``Batch``); parts outside the frame are cut off.
        height: of the frame.
        width: of the frame.
    """
    inside = np.zeros((height, width), dtype=bool)
    shapes = mended(polygons)
    shapely.prepare(shapes)
    for shape, bounds in zip(shapes, shapely.bounds(shapes), strict=True):
        if shape.is_empty:
            continue
        left, top = np.floor(bounds[:2]).astype(int).clip(0, (width, height))
        right, bottom = np.ceil(bounds[2:]).astype(int).clip(0, (width, height))
        x, y = np.meshgrid(np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5)
        inside[top:bottom, left:right] |= shapely.contains_xy(shape, x, y)
    return torch.from_numpy(inside)


def outside(polygons: Outlines, shape: shapely.Geometry) -> Outlines:
    """Take away what a shape that lies above hides; a polygon hidden whole is dropped."""
    return _areas(shapely.difference(mended(polygons), shape))


def within(polygons: Outlines | np.ndarray, frame: shapely.Geometry) -> Outlines:
    """Keep what lies in a frame; a polygon that has left it is dropped."""
    return _areas(shapely.intersection(mended(polygons), frame))


def mended(polygons: Outlines | np.ndarray) -> np.ndarray:
    """Mend outlines that cross themselves, as annotators draw them."""
    shapes = np.empty(len(polygons), dtype=object)
    shapes[:] = polygons
    crossed = ~shapely.is_valid(shapes)
    shapes[crossed] = shapely.make_valid(shapes[crossed])
    return shapes


def _areas(shapes: np.ndarray) -> Outlines:
    """Keep polygons, and of mixed shapes the polygons in them; lines and points have no area."""
    kept = []
    for shape in shapes:
        if not isinstance(shape, Polygon):
            parts = shapely.get_parts(shapely.get_parts(shape))  # a collection may hold many
            parts = [part for part in parts if isinstance(part, Polygon)]
            shape = parts[0] if len(parts) == 1 else MultiPolygon(parts)
        if shape.area > 0:
            kept.append(shape)
    return tuple(kept)


# What is no batch


def check_images(images: Any) -> None:
    """Refuse what is no batch of images in unit range."""
    is_batch = isinstance(images, Tensor) and images.dim() == 4 and images.numel()
    if not is_batch or images.dtype != torch.float32:
        raise ValueError(
            "images: expected one or more, float32 of shape (n, c, h, w) in [0, 1], got "
            f"{_kind(images)}; course_utils.images.to_unit makes it of bytes, and images of "
            "several sizes are brought to one by course_utils.images.fit"
        )
    low, high = (end.item() for end in torch.aminmax(images))
    if not (low >= -ROUNDING and high <= 1 + ROUNDING):  # NaN is in no range
        raise ValueError(
            f"images: expected values in [0, 1], got {low:g} to {high:g}; "
            "course_utils.images.to_unit makes them of bytes"
        )


def check_targets(targets: Any, num: int) -> None:
    """Refuse what are not soft labels, one row an image."""
    is_matrix = isinstance(targets, Tensor) and targets.dim() == 2 and len(targets) == num
    if not is_matrix or not targets.is_floating_point():
        raise ValueError(
            f"targets: expected floats of shape ({num}, k), a row an image, got {_kind(targets)}; "
            "targets_from_labels makes them of labels"
        )
    low, sums = targets.min().item(), targets.sum(dim=1)
    if not (low >= 0 and ((sums - 1).abs() <= ROUNDING).all()):
        raise ValueError(
            f"targets: expected shares from 0 that sum to 1 in each row, got the smallest {low:g} "
            f"and sums from {sums.min().item():g} to {sums.max().item():g}"
        )


def _check_masks(masks: Any, images: Tensor) -> None:
    expected = (images.shape[0], *images.shape[2:])
    fits = isinstance(masks, Tensor) and masks.shape == expected
    if not fits or masks.is_floating_point() or masks.is_complex() or masks.dtype == torch.bool:
        raise ValueError(
            f"masks: expected whole numbers of the images' size, {expected}, got {_kind(masks)}; "
            ".long() makes whole numbers"
        )


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


def _kind(x: Any) -> str:
    return f"{x.dtype} of shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
