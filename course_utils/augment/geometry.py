"""Move pixels at random: turn, flip, scale, shift, crop.

Each draws one matrix an image (``Affine``), along which ``warp`` moves images, masks and polygons;
moves after each other are a product (``then``).
"""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import shapely
import torch
from jaxtyping import Float32, Float64, Num
from torch import Generator, Tensor
from torch.nn import functional as F

from course_utils.augment.batches import (
    ROUNDING,
    Batch,
    Bounds,
    Outlines,
    Real,
    check_bounds,
    check_count,
    check_share,
    log_uniform,
    mended,
    uniform,
    with_parts,
    within,
)

Padding = Literal["zeros", "reflection"]
Number = Num[Tensor, " n"] | float | int  # one an image, or one for all
Matrix = Float64[Tensor, "n 3 3"]


@dataclass(frozen=True, eq=False)
class Affine:
    r"""Where each point of an image goes, in pixels (see ``Batch``).

    $$(x', y', 1)^\top = M\,(x, y, 1)^\top$$

    ``source_size`` and ``size`` are height and width before and after. What comes from outside the
    image is 0 with ``padding`` "zeros"; with "reflection" the image goes on as in a mirror.

    Raises:
        ValueError: another padding.
    """

    matrix: Matrix
    source_size: tuple[int, int]
    size: tuple[int, int]
    padding: Padding = "zeros"

    def __post_init__(self) -> None:
        if self.padding not in get_args(Padding):
            raise ValueError(f"padding: expected one of {get_args(Padding)}, got {self.padding!r}")

    @property
    def is_lossless(self) -> bool:
        """Whether each pixel falls on a pixel: quarter turns, flips and whole-pixel shifts."""
        whole = self.matrix == self.matrix.round()
        linear = self.matrix[:, :2, :2].abs()
        return bool(whole.all() and (linear.sum(1) == 1).all() and (linear.sum(2) == 1).all())


class _Move:
    """What all moves share: a draw is a matrix, so that ``Compose`` can fuse neighbors."""

    def apply(self, batch: Batch, params: Affine) -> Batch:
        """Move the batch (see ``warp``)."""
        return warp(batch, params)


@dataclass(frozen=True)
class Rotate(_Move):
    """Turn about the center by any angle; corners that come from outside are 0 (or mirrored).

    ``degrees`` are the bounds, counter-clockwise above 0.
    """

    degrees: Bounds = (-180.0, 180.0)
    padding: Padding = "zeros"

    def __post_init__(self) -> None:
        check_bounds("degrees", self.degrees)

    def draw(self, num: int, height: int, width: int, generator: Generator) -> Affine:
        """Draw an angle an image."""
        angles = uniform(num, self.degrees, generator)
        return about_center(turn(angles), height, width, self.padding)


@dataclass(frozen=True)
class QuarterTurn(_Move):
    """Turn square images by 0, 90, 180 or 270 degrees, all equally likely; no pixel is blurred.

    ``turns`` are the numbers of quarter turns to choose from, counter-clockwise.

    Raises:
        ValueError: no turns; when drawn for images that are not square.
    """

    turns: tuple[int, ...] = (0, 1, 2, 3)

    def __post_init__(self) -> None:
        if not self.turns:
            raise ValueError("turns: expected one number of quarter turns or more, got none")

    def draw(self, num: int, height: int, width: int, generator: Generator) -> Affine:
        """Draw a number of turns an image."""
        if height != width:
            raise ValueError(
                f"expected square images, got {height} x {width}, which a quarter turn makes "
                f"{width} x {height}; use Flip, or RandomResizedCrop(size=…) first"
            )
        chosen = torch.randint(len(self.turns), (num,), generator=generator)
        angles = 90.0 * torch.tensor(self.turns)[chosen]
        return about_center(turn(angles), height, width)


@dataclass(frozen=True)
class Flip(_Move):
    """Mirror some images from left to right, and some from top to bottom.

    The shares say how many; 0 is none and 1 is all of them.

    Raises:
        ValueError: a share outside [0, 1].
    """

    horizontal_share: Real = 0.5
    vertical_share: Real = 0.5

    def __post_init__(self) -> None:
        check_share("horizontal_share", self.horizontal_share)
        check_share("vertical_share", self.vertical_share)

    def draw(self, num: int, height: int, width: int, generator: Generator) -> Affine:
        """Draw two yes or no an image."""
        chance = torch.rand(2, num, generator=generator)
        x = torch.where(chance[0] < self.horizontal_share, -1.0, 1.0)
        y = torch.where(chance[1] < self.vertical_share, -1.0, 1.0)
        return about_center(stretch(x, y), height, width)


@dataclass(frozen=True)
class Scale(_Move):
    """Enlarge or shrink about the center, in the same frame.

    ``factors`` are the bounds: 2 shows a building twice as long. A half is drawn as often as a
    double. What the frame then shows from outside the image is 0 (or mirrored).

    Raises:
        ValueError: bounds that are not two numbers above 0, in order.
    """

    factors: Bounds = (0.8, 1.25)
    padding: Padding = "zeros"

    def __post_init__(self) -> None:
        _check_ratios("factors", self.factors)

    def draw(self, num: int, height: int, width: int, generator: Generator) -> Affine:
        """Draw a factor an image."""
        factor = log_uniform(num, self.factors, generator)
        return about_center(stretch(factor, factor), height, width, self.padding)


@dataclass(frozen=True)
class Translate(_Move):
    """Shift by whole pixels, sideways and up or down, so that nothing is blurred.

    ``side_shares`` are the bounds as shares of the width and of the height, right and down above 0.

    Raises:
        ValueError: bounds outside [-1, 1] or not in order.
    """

    side_shares: Bounds = (-0.125, 0.125)
    padding: Padding = "zeros"

    def __post_init__(self) -> None:
        check_bounds("side_shares", self.side_shares, low=-1, high=1)

    def draw(self, num: int, height: int, width: int, generator: Generator) -> Affine:
        """Draw a shift an image."""
        x, y = (uniform(num, self.side_shares, generator) for _ in "xy")
        matrix = shift((x * width).round(), (y * height).round())
        return Affine(matrix, (height, width), (height, width), self.padding)


@dataclass(frozen=True)
class RandomResizedCrop(_Move):
    r"""Cut out a box of random area and shape, and stretch it over a square.

    $$w = \sqrt{a r}\,\sqrt{HW}, \qquad h = \sqrt{a / r}\,\sqrt{HW}$$

    ``area_shares`` a are of the whole image, all equally likely, ``aspects`` r are width to height,
    a half as likely as a double. A side longer than the image is cut to it. Boxes do not keep to
    whole pixels. ``size`` is the side of the result; None keeps height and width.

    Raises:
        ValueError: bounds out of range or order, or a size below 1.

    Source:
        Szegedy et al. 2015 (arXiv:1409.4842), section 6, who take 0.08 to 1 of ImageNet's pictures
        of one thing; an overhead image is of many, so the default keeps a quarter.
    """

    area_shares: Bounds = (0.25, 1.0)
    aspects: Bounds = (3 / 4, 4 / 3)
    size: int | None = None

    def __post_init__(self) -> None:
        _check_ratios("area_shares", self.area_shares, high=1)
        _check_ratios("aspects", self.aspects)
        if self.size is not None and self.size < 1:
            raise ValueError(f"size: expected 1 pixel or more, got {self.size}")

    def draw(self, num: int, height: int, width: int, generator: Generator) -> Affine:
        """Draw a box an image."""
        area = uniform(num, self.area_shares, generator) * height * width
        aspect = log_uniform(num, self.aspects, generator)
        box_width = (area * aspect).sqrt().clamp(max=width)
        box_height = (area / aspect).sqrt().clamp(max=height)
        left, top = (
            (side - box) * torch.rand(num, generator=generator)
            for side, box in ((width, box_width), (height, box_height))
        )
        new_height, new_width = (self.size, self.size) if self.size else (height, width)
        matrix = stretch(new_width / box_width, new_height / box_height) @ shift(-left, -top)
        return Affine(matrix, (height, width), (new_height, new_width))


def _check_ratios(name: str, bounds: Bounds, *, high: Real = math.inf) -> None:
    check_bounds(name, bounds, low=0, high=high)
    if bounds[0] <= 0:
        raise ValueError(f"{name}: expected bounds above 0, got {bounds}")


# Matrices, which moves are made of


def then(first: Affine, second: Affine) -> Affine:
    r"""Fuse two moves into one, which resamples once.

    $$M = M_2 M_1$$

    Sharper than one after the other; and what the first would push out of the frame, the second
    may bring back. The border is mirrored if either move mirrors it.
    """
    padding = "reflection" if "reflection" in (first.padding, second.padding) else "zeros"
    return Affine(second.matrix @ first.matrix, first.source_size, second.size, padding)


def shift(x: Number, y: Number) -> Matrix:
    """Move by x pixels to the right and y down."""
    return _matrix((1, 0, x), (0, 1, y))


def stretch(x: Number, y: Number) -> Matrix:
    """Multiply x and y; -1 mirrors."""
    return _matrix((x, 0, 0), (0, y, 0))


def turn(degrees: Number) -> Matrix:
    r"""Rotate about the origin, counter-clockwise as one sees it (y runs down).

    $$x' = x \cos\theta + y \sin\theta, \qquad y' = -x \sin\theta + y \cos\theta$$

    Quarter turns are exact, which a cosine of floats is not.
    """
    degrees = torch.as_tensor(degrees, dtype=torch.float64)
    angle, is_quarter = degrees.deg2rad(), degrees % 90 == 0
    cos, sin = (torch.where(is_quarter, f.round(), f) for f in (angle.cos(), angle.sin()))
    return _matrix((cos, sin, 0), (-sin, cos, 0))


def about_center(linear: Matrix, height: int, width: int, padding: Padding = "zeros") -> Affine:
    """Move within the frame, and let its center stay where it is."""
    matrix = shift(width / 2, height / 2) @ linear @ shift(-width / 2, -height / 2)
    return Affine(matrix, (height, width), (height, width), padding)


def _matrix(x_row: tuple, y_row: tuple) -> Tensor:
    numbers = (torch.as_tensor(entry).double() for entry in (*x_row, *y_row, 0, 0, 1))
    return torch.stack(torch.broadcast_tensors(*numbers), dim=-1).reshape(-1, 3, 3)


# Along a matrix: images, masks and polygons


def warp(batch: Batch, affine: Affine) -> Batch:
    r"""Move a batch: each new pixel asks where it came from.

    $$\mathrm{new}(p) = \mathrm{old}(M^{-1} p)$$

    Images are interpolated between the four nearest pixel centers (bilinear), masks take the
    nearest pixel, polygons move exactly and are cut at the new frame; one that has left it is
    dropped. Where the move is lossless, images are copied pixel by pixel. From a point less than
    half a pixel inside the frame, the image goes on as its outermost pixel. Targets stay. Shrinking
    to under half the size skips pixels: bring large images to size first.

    Raises:
        ValueError: a move drawn for other images; polygons that a border would have to mirror.
    """
    check_count("affine", affine.matrix, len(batch))
    if batch.size != affine.source_size:
        raise ValueError(
            f"affine: expected for images of {batch.size} pixels, height and width, got one for "
            f"{affine.source_size}; draw for this batch"
        )
    if batch.polygons is not None and affine.padding == "reflection":
        raise ValueError('polygons cannot go on in a mirror: use padding="zeros", or masks')
    to_source = _to_source(affine)
    grid = _grid(to_source, affine.size).to(batch.images.device)
    inside = None  # asked only where a point may come from outside
    if affine.padding == "zeros" and not _stays_inside(to_source, affine.size):
        x, y = grid.unbind(-1)
        inside = ((x.abs() <= 1) & (y.abs() <= 1))[:, None]
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
        parts["polygons"] = _move_polygons(batch.polygons, affine)
    return with_parts(batch, **parts)


def _to_source(affine: Affine) -> Matrix:
    """Say from new pixels where they came from, where -1 and 1 are the edges of the frame."""
    height, width = affine.source_size
    to_frame = shift(-1, -1) @ stretch(2 / width, 2 / height)
    return to_frame @ torch.linalg.inv(affine.matrix)


def _grid(to_source: Matrix, size: tuple[int, int]) -> Float32[Tensor, "n h w 2"]:
    """Look back from the center of each new pixel."""
    along_x, along_y, origin = to_source[:, :2].float()[..., None, None].unbind(2)  # each n 2 1 1
    y, x = (torch.arange(side) + 0.5 for side in size)
    return (along_y * y[:, None] + origin + along_x * x).movedim(1, -1)


def _stays_inside(to_source: Matrix, size: tuple[int, int]) -> bool:
    """Say whether all came from inside the frame: if the new corners did, so did what is between.

    Up to rounding, since pixel centers are well inside the corners.
    """
    height, width = size
    corners = torch.tensor([[0, width, 0, width], [0, 0, height, height], [1, 1, 1, 1]]).double()
    return bool(((to_source @ corners)[:, :2].abs() <= 1 + ROUNDING).all())


def _move_polygons(polygons: tuple[Outlines, ...], affine: Affine) -> tuple[Outlines, ...]:
    """Move the corners of each image's polygons, and cut what leaves the frame."""
    height, width = affine.size
    frame = shapely.box(0, 0, width, height)
    return tuple(
        within(shapely.transform(mended(found), lambda xy, m=m: xy @ m[:2, :2].T + m[:2, 2]), frame)
        for found, m in zip(polygons, affine.matrix.numpy(), strict=True)
    )
