"""Where pixels go: one matrix an image, so that moves after each other are a product."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float64, Num
from torch import Tensor

Padding = Literal["zeros", "reflection"]
Number = Num[Tensor, " n"] | float | int  # one an image, or one for all


@dataclass(frozen=True, eq=False)
class Affine:
    r"""Where each point of an image goes, in pixels (see ``Batch``).

    $$(x', y', 1)^\top = M\,(x, y, 1)^\top$$

    ``source_size`` and ``size`` are height and width before and after. What comes from outside the
    image is 0 with ``padding`` "zeros"; with "reflection" the image goes on as in a mirror.

    Raises:
        ValueError: matrices that are not (n, 3, 3) or cannot be inverted, sizes below 1, or another
            padding.
    """

    matrix: Float64[Tensor, "n 3 3"]
    source_size: tuple[int, int]
    size: tuple[int, int]
    padding: Padding = "zeros"

    def __post_init__(self) -> None:
        """Refuse what moves no image."""
        if self.matrix.dim() != 3 or self.matrix.shape[1:] != (3, 3) or not len(self.matrix):
            raise ValueError(f"matrix: expected (n, 3, 3), got {tuple(self.matrix.shape)}")
        if self.padding not in get_args(Padding):
            raise ValueError(f"padding: expected one of {get_args(Padding)}, got {self.padding!r}")
        if min(*self.source_size, *self.size) < 1:
            raise ValueError(
                f"expected sizes of 1 pixel or more, got {self.source_size}, {self.size}"
            )
        if not (torch.linalg.det(self.matrix).abs() > 0).all():  # NaN is not above 0 either
            raise ValueError("matrix: expected one that can be inverted, got one that flattens")

    @property
    def is_lossless(self) -> bool:
        """Whether each pixel falls on a pixel: quarter turns, flips and whole-pixel shifts."""
        whole = self.matrix == self.matrix.round()
        linear = self.matrix[:, :2, :2].abs()
        return bool(whole.all() and (linear.sum(1) == 1).all() and (linear.sum(2) == 1).all())


def then(first: Affine, second: Affine) -> Affine:
    r"""Fuse two moves into one, which resamples once.

    $$M = M_2 M_1$$

    Sharper than one after the other; and what the first would push out of the frame, the second
    may bring back. The border is mirrored if either move mirrors it.

    Raises:
        ValueError: the second is not for what the first makes.
    """
    if first.size != second.source_size or len(first.matrix) != len(second.matrix):
        raise ValueError(
            f"expected a second move of {len(first.matrix)} images of {first.size} pixels, as the "
            f"first makes, got one of {len(second.matrix)} of {second.source_size}"
        )
    padding = "reflection" if "reflection" in (first.padding, second.padding) else "zeros"
    return Affine(second.matrix @ first.matrix, first.source_size, second.size, padding)


def shift(x: Number, y: Number) -> Float64[Tensor, "n 3 3"]:
    """Move by x pixels to the right and y down."""
    return _matrix((1, 0, x), (0, 1, y))


def stretch(x: Number, y: Number) -> Float64[Tensor, "n 3 3"]:
    """Multiply x and y; -1 mirrors."""
    return _matrix((x, 0, 0), (0, y, 0))


def turn(degrees: Number) -> Float64[Tensor, "n 3 3"]:
    r"""Rotate about the origin, counter-clockwise as one sees it (y runs down).

    $$x' = x \cos\theta + y \sin\theta, \qquad y' = -x \sin\theta + y \cos\theta$$

    Quarter turns are exact, which a cosine of floats is not.
    """
    degrees = torch.as_tensor(degrees, dtype=torch.float64)
    angle, is_quarter = degrees.deg2rad(), degrees % 90 == 0
    cos, sin = (torch.where(is_quarter, f.round(), f) for f in (angle.cos(), angle.sin()))
    return _matrix((cos, sin, 0), (-sin, cos, 0))


def about_center(
    linear: Float64[Tensor, "n 3 3"], height: int, width: int
) -> Float64[Tensor, "n 3 3"]:
    """Let the center of the frame stay where it is."""
    return shift(width / 2, height / 2) @ linear @ shift(-width / 2, -height / 2)


def _matrix(x_row: tuple, y_row: tuple) -> Tensor:
    numbers = (torch.as_tensor(entry).double() for entry in (*x_row, *y_row, 0, 0, 1))
    return torch.stack(torch.broadcast_tensors(*numbers), dim=-1).reshape(-1, 3, 3)
