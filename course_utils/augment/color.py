"""Change colors: brightness, contrast, saturation, hue; masks and polygons stay."""

from dataclasses import dataclass

import torch
from jaxtyping import Float32
from torch import Generator, Tensor

from course_utils.augment.draws import Bounds, check_bounds, check_count, uniform
from course_utils.augment.records import Batch, with_parts

GRAY_WEIGHTS = (0.2989, 0.587, 0.114)  # how bright the eye finds red, green and blue; ITU-R BT.601
TINY = 1e-12  # instead of 0, to divide by


def adjust_brightness(
    images: Float32[Tensor, "n c h w"], factors: Float32[Tensor, " n"]
) -> Float32[Tensor, "n c h w"]:
    """Multiply: x' = f x, clipped to [0, 1].

    Args:
        images: in [0, 1].
        factors: from 0 (black); 1 changes nothing.

    Raises:
        ValueError: not one factor an image.
    """
    return (images * _per_image(factors, images)).clamp_(0, 1)


def adjust_contrast(
    images: Float32[Tensor, "n c h w"], factors: Float32[Tensor, " n"]
) -> Float32[Tensor, "n c h w"]:
    r"""Move away from the image's mean gray, or towards it.

    $$x' = \bar g + f\,(x - \bar g)$$

    Args:
        images: in [0, 1], of 1 or 3 channels.
        factors: from 0 (nothing but gray); 1 changes nothing.

    Returns:
        Images, clipped to [0, 1].

    Raises:
        ValueError: another number of channels, or not one factor an image.
    """
    mean = gray(images.mean(dim=(2, 3), keepdim=True))
    return torch.lerp(mean, images, _per_image(factors, images)).clamp_(0, 1)


def adjust_saturation(
    images: Float32[Tensor, "n c h w"], factors: Float32[Tensor, " n"]
) -> Float32[Tensor, "n c h w"]:
    """Move each pixel away from its own gray, or towards it: x' = g + f (x - g).

    Args:
        images: in [0, 1], RGB.
        factors: from 0 (gray); 1 changes nothing.

    Returns:
        Images, clipped to [0, 1].

    Raises:
        ValueError: no RGB, or not one factor an image.
    """
    _check_rgb(images)
    return torch.lerp(gray(images), images, _per_image(factors, images)).clamp_(0, 1)


def adjust_hue(
    images: Float32[Tensor, "n c h w"], degrees: Float32[Tensor, " n"]
) -> Float32[Tensor, "n c h w"]:
    r"""Turn each pixel's hue on the color circle; its smallest and largest value stay.

    With the hue H in turns (red 0, green 1/3, blue 2/3), turned and without its whole turns,

    $$R' = m + C\,(6 t_3 - 1), \quad G' = M - C\,(6 t_2 - 1), \quad B' = M - C\,(6 t_4 - 1), \qquad
    t_c = \left[\,|H - c/6|\,\right]_{1/6}^{1/3}$$

    where m and M are the smallest and the largest channel and C = M - m: what the way to HSV and
    back comes to.

    Args:
        images: in [0, 1], RGB.
        degrees: 0 and 360 change nothing, 120 makes green of red.

    Raises:
        ValueError: no RGB, or not one angle an image.

    Source:
        Smith, "Color gamut transform pairs", SIGGRAPH 1978.
    """
    _check_rgb(images)
    smallest, largest = images.amin(dim=1), images.amax(dim=1)
    chroma = largest - smallest
    shift = (_per_image(degrees, images)[:, 0] / 360).frac() + 2  # so that no sum is below 0
    hue = torch.addcdiv(
        shift, _hue_times_chroma(images, largest, chroma), chroma.clamp(min=TINY), value=1 / 6
    )
    hue.frac_()
    low, high = smallest - chroma, largest + chroma
    turned = torch.empty_like(images)
    for channel, (base, sign, c) in enumerate(((low, 1, 3), (high, -1, 2), (high, -1, 4))):
        ramp = (hue - c / 6).abs_().clamp_(1 / 6, 1 / 3)
        torch.addcmul(base, chroma, ramp, value=6 * sign, out=turned[:, channel])
    return turned


def _hue_times_chroma(images: Tensor, largest: Tensor, chroma: Tensor) -> Tensor:
    """Give the hue in sixths of a turn, -1 to 5, times chroma, which is 0 for gray."""
    red, green, blue = images.unbind(dim=1)
    from_green = (blue - red).add_(chroma, alpha=2)
    from_blue = (red - green).add_(chroma, alpha=4)
    hue = torch.lerp(from_blue, from_green, (largest == green).float())  # torch.where is slow
    return torch.lerp(hue, green - blue, (largest == red).float())


def gray(images: Float32[Tensor, "n c h w"]) -> Float32[Tensor, "n 1 h w"]:
    """Weigh red, green and blue as the eye does; an image of one channel is gray already.

    Raises:
        ValueError: neither 1 nor 3 channels.
    """
    if images.shape[1] == 1:
        return images
    _check_rgb(images)
    weights = images.new_tensor(GRAY_WEIGHTS)
    return (weights @ images.flatten(2)).view_as(images[:, :1])


@dataclass(frozen=True)
class _ByFactor:
    """Bounds of a factor, one drawn an image; 1 changes nothing.

    Raises:
        ValueError: bounds below 0 or not in order.
    """

    factors: Bounds = (0.6, 1.4)

    def __post_init__(self) -> None:
        check_bounds("factors", self.factors, low=0)

    def draw(
        self, num: int, height: int, width: int, generator: Generator
    ) -> Float32[Tensor, " {num}"]:
        """Draw a factor an image."""
        return uniform(num, self.factors, generator)


@dataclass(frozen=True)
class Brightness(_ByFactor):
    """Make images darker or brighter by a factor, as haze, season and exposure do."""

    def apply(self, batch: Batch, params: Float32[Tensor, " n"]) -> Batch:
        """Adjust the brightness (see ``adjust_brightness``)."""
        return with_parts(batch, images=adjust_brightness(batch.images, params))


@dataclass(frozen=True)
class Contrast(_ByFactor):
    """Spread gray values about their mean by a factor, or draw them together."""

    def apply(self, batch: Batch, params: Float32[Tensor, " n"]) -> Batch:
        """Adjust the contrast (see ``adjust_contrast``)."""
        return with_parts(batch, images=adjust_contrast(batch.images, params))


@dataclass(frozen=True)
class Saturation(_ByFactor):
    """Make colors stronger or paler by a factor."""

    def apply(self, batch: Batch, params: Float32[Tensor, " n"]) -> Batch:
        """Adjust the saturation (see ``adjust_saturation``)."""
        return with_parts(batch, images=adjust_saturation(batch.images, params))


@dataclass(frozen=True)
class Hue:
    """Turn hues on the color circle, by ``degrees`` between two bounds.

    From above, color is what a surface is: a green field turned brown is another class.

    Raises:
        ValueError: bounds outside [-360, 360] or not in order.
    """

    degrees: Bounds = (-36.0, 36.0)

    def __post_init__(self) -> None:
        check_bounds("degrees", self.degrees, low=-360, high=360)

    def draw(
        self, num: int, height: int, width: int, generator: Generator
    ) -> Float32[Tensor, " {num}"]:
        """Draw an angle an image, in degrees."""
        return uniform(num, self.degrees, generator)

    def apply(self, batch: Batch, params: Float32[Tensor, " n"]) -> Batch:
        """Turn the hues (see ``adjust_hue``)."""
        return with_parts(batch, images=adjust_hue(batch.images, params))


def _per_image(params: Tensor, images: Tensor) -> Tensor:
    check_count("factors or degrees", params, len(images))
    return params.to(images)[:, None, None, None]


def _check_rgb(images: Tensor) -> None:
    if images.shape[1] != 3:
        raise ValueError(f"expected RGB, 3 channels, got {images.shape[1]}")
