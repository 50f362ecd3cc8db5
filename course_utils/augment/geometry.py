"""Move pixels at random: turn, flip, scale, shift, crop."""

from dataclasses import dataclass

import torch
from torch import Generator

from course_utils.augment.affine import Affine, Padding, about_center, shift, stretch, turn
from course_utils.augment.draws import Bounds, Real, check_bounds, check_share, log_uniform, uniform
from course_utils.augment.records import Batch
from course_utils.augment.warping import warp


class _Move:
    """What all of these share: a draw is a matrix, so that ``Compose`` can fuse neighbors."""

    def apply(self, batch: Batch, params: Affine) -> Batch:
        """Move the batch (see ``warp``)."""
        return warp(batch, params)


@dataclass(frozen=True)
class Rotate(_Move):
    """Turn about the center by any angle; corners that come from outside are 0 (or mirrored).

    ``degrees`` are the bounds, counter-clockwise above 0.

    Raises:
        ValueError: bounds that are not two finite numbers in order.
    """

    degrees: Bounds = (-180.0, 180.0)
    padding: Padding = "zeros"

    def __post_init__(self) -> None:
        check_bounds("degrees", self.degrees)

    def draw(self, num: int, height: int, width: int, generator: Generator) -> Affine:
        """Draw an angle an image."""
        linear = turn(uniform(num, self.degrees, generator))
        return _about_center(linear, height, width, self.padding)


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
                f"{width} x {height}; use Flip, or RandomCrop first"
            )
        chosen = torch.randint(len(self.turns), (num,), generator=generator)
        linear = turn(90.0 * torch.tensor(self.turns)[chosen])
        return _about_center(linear, height, width)


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
        return _about_center(stretch(x, y), height, width)


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
        return _about_center(stretch(factor, factor), height, width, self.padding)


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
class RandomCrop(_Move):
    """Cut out a window of ``size`` x ``size`` pixels, anywhere in the image.

    Raises:
        ValueError: a size below 1; when drawn for images smaller than that.
    """

    size: int

    def __post_init__(self) -> None:
        _check_size(self.size)

    def draw(self, num: int, height: int, width: int, generator: Generator) -> Affine:
        """Draw the window's corner an image."""
        if self.size > min(height, width):
            raise ValueError(f"expected images of {self.size} px or more, got {height} x {width}")
        left, top = (
            torch.randint(side - self.size + 1, (num,), generator=generator)
            for side in (width, height)
        )
        return Affine(shift(-left, -top), (height, width), (self.size, self.size))


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
        check_bounds("area_shares", self.area_shares, low=0, high=1)
        _check_ratios("area_shares", self.area_shares)
        _check_ratios("aspects", self.aspects)
        if self.size is not None:
            _check_size(self.size)

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


def _about_center(linear: torch.Tensor, height: int, width: int, padding: Padding = "zeros"):
    return Affine(about_center(linear, height, width), (height, width), (height, width), padding)


def _check_ratios(name: str, bounds: Bounds) -> None:
    check_bounds(name, bounds, low=0)
    if bounds[0] <= 0:
        raise ValueError(f"{name}: expected bounds above 0, got {bounds}")


def _check_size(size: int) -> None:
    if size < 1:
        raise ValueError(f"size: expected 1 pixel or more, got {size}")
