"""Change values and move nothing: brightness, contrast, saturation, hue; three kinds of noise.

Masks, polygons and targets stay. Images are in [0, 1], before and after.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float32, Int64
from torch import Generator, Tensor

from course_utils.augment.batches import (
    Batch,
    Bounds,
    Images,
    PerImage,
    check_bounds,
    check_count,
    check_images,
    uniform,
    with_parts,
)

GRAY_WEIGHTS = (0.2989, 0.587, 0.114)  # how bright the eye finds red, green and blue; ITU-R BT.601
TINY = 1e-12  # instead of 0, to divide by


def adjust_brightness(images: Images, factors: PerImage) -> Images:
    """Multiply: x' = f x, clipped. A factor of 0 gives black, 1 changes nothing.

    Raises:
        ValueError: not in [0, 1], or not one factor an image.
    """
    check_images(images)
    return (images * _per_image(factors, images)).clamp_(0, 1)


def adjust_contrast(images: Images, factors: PerImage) -> Images:
    r"""Move away from the image's mean gray, or towards it.

    $$x' = \bar g + f\,(x - \bar g), \quad \text{clipped}$$

    A factor of 0 gives nothing but that gray, 1 changes nothing.

    Raises:
        ValueError: not in [0, 1], neither 1 nor 3 channels, or not one factor an image.
    """
    check_images(images)
    mean = _gray(images.mean(dim=(2, 3), keepdim=True))
    return torch.lerp(mean, images, _per_image(factors, images)).clamp_(0, 1)


def adjust_saturation(images: Images, factors: PerImage) -> Images:
    """Move each pixel away from its own gray, or towards it: x' = g + f (x - g), clipped.

    A factor of 0 gives a gray image, 1 changes nothing.

    Raises:
        ValueError: not in [0, 1], no RGB, or not one factor an image.
    """
    check_images(images)
    _check_rgb(images)
    return torch.lerp(_gray(images), images, _per_image(factors, images)).clamp_(0, 1)


def adjust_hue(images: Images, degrees: PerImage) -> Images:
    r"""Turn each pixel's hue on the color circle; its smallest and largest value stay.

    With the hue H in turns (red 0, green 1/3, blue 2/3), turned and without its whole turns,

    $$R' = m + C\,(6 t_3 - 1), \quad G' = M - C\,(6 t_2 - 1), \quad B' = M - C\,(6 t_4 - 1), \qquad
    t_c = \left[\,|H - c/6|\,\right]_{1/6}^{1/3}$$

    where m and M are the smallest and the largest channel and C = M - m: what the way to HSV and
    back comes to. 0 and 360 degrees change nothing, 120 make green of red.

    Raises:
        ValueError: not in [0, 1], no RGB, or not one angle an image.

    Source:
        Smith, "Color gamut transform pairs", SIGGRAPH 1978.
    """
    check_images(images)
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


def _gray(images: Images) -> Float32[Tensor, "n 1 h w"]:
    """Weigh red, green and blue as the eye does; an image of one channel is gray already."""
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

    def draw(self, num: int, height: int, width: int, generator: Generator) -> PerImage:
        """Draw a factor an image."""
        return uniform(num, self.factors, generator)


@dataclass(frozen=True)
class Brightness(_ByFactor):
    """Make images darker or brighter by a factor, as haze, season and exposure do."""

    def apply(self, batch: Batch, params: PerImage) -> Batch:
        """Adjust the brightness (see ``adjust_brightness``)."""
        return with_parts(batch, images=adjust_brightness(batch.images, params))


@dataclass(frozen=True)
class Contrast(_ByFactor):
    """Spread gray values about their mean by a factor, or draw them together."""

    def apply(self, batch: Batch, params: PerImage) -> Batch:
        """Adjust the contrast (see ``adjust_contrast``)."""
        return with_parts(batch, images=adjust_contrast(batch.images, params))


@dataclass(frozen=True)
class Saturation(_ByFactor):
    """Make colors stronger or paler by a factor."""

    def apply(self, batch: Batch, params: PerImage) -> Batch:
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

    def draw(self, num: int, height: int, width: int, generator: Generator) -> PerImage:
        """Draw an angle an image, in degrees."""
        return uniform(num, self.degrees, generator)

    def apply(self, batch: Batch, params: PerImage) -> Batch:
        """Turn the hues (see ``adjust_hue``)."""
        return with_parts(batch, images=adjust_hue(batch.images, params))


def _check_rgb(images: Tensor) -> None:
    if images.shape[1] != 3:
        raise ValueError(f"expected RGB, 3 channels, got {images.shape[1]}")


# Noise


@dataclass(frozen=True, eq=False)
class Noise:
    """What was drawn: how strong the noise is in each image, and the seed of its pixels.

    A seed stands for as many numbers as the image has, and is the same noise whenever applied.
    """

    strength: PerImage
    seeds: Int64[Tensor, " n"]

    def pixels(self, shape: tuple[int, ...], fill: Callable) -> Float32[Tensor, "n ..."]:
        """Draw each image's noise from its seed; ``fill`` is ``Tensor.normal_`` or the like."""
        noise, generator = torch.empty(len(self.seeds), *shape), Generator()
        for image, seed in zip(noise, self.seeds.tolist(), strict=True):
            fill(image, generator=generator.manual_seed(seed))
        return noise


def _draw_noise(num: int, strength: Bounds, generator: Generator) -> Noise:
    seeds = torch.randint(2**32, (num,), generator=generator)
    return Noise(uniform(num, strength, generator), seeds)


@dataclass(frozen=True)
class _NormalNoise:
    """Bounds of the deviation of normal noise, and one drawn an image."""

    sigma: Bounds

    def __post_init__(self) -> None:
        check_bounds("sigma", self.sigma, low=0)

    def draw(self, num: int, height: int, width: int, generator: Generator) -> Noise:
        """Draw a deviation and a seed an image."""
        return _draw_noise(num, self.sigma, generator)


@dataclass(frozen=True)
class GaussianNoise(_NormalNoise):
    r"""Add noise to each channel, as a sensor's electronics do.

    $$x' = x + \sigma\,\epsilon, \qquad \epsilon \sim N(0, 1), \qquad \text{clipped}$$

    ``sigma`` bounds the deviation, in unit range.

    Raises:
        ValueError: bounds below 0 or not in order.
    """

    sigma: Bounds = (0.0, 0.05)

    def apply(self, batch: Batch, params: Noise) -> Batch:
        """Add the noise."""
        sigma, eps = _per_image(params.strength, batch.images), _eps(params, batch)
        return with_parts(batch, images=torch.addcmul(batch.images, eps, sigma).clamp_(0, 1))


@dataclass(frozen=True)
class Speckle(_NormalNoise):
    r"""Multiply by noise about 1, as in a radar image.

    $$x' = x\,(1 + \sigma\,\epsilon), \qquad \epsilon \sim N(0, 1), \qquad \text{clipped}$$

    ``sigma`` bounds the deviation, a share of the pixel's value. A mean of L radar looks has
    $\sigma = 1/\sqrt L$; its gamma distribution is close to this normal one where L is large.

    Raises:
        ValueError: bounds below 0 or not in order.
    """

    sigma: Bounds = (0.0, 0.2)

    def apply(self, batch: Batch, params: Noise) -> Batch:
        """Multiply by the noise."""
        images = batch.images
        sigma, eps = _per_image(params.strength, images), _eps(params, batch)
        return with_parts(batch, images=torch.addcmul(images, images * eps, sigma).clamp_(0, 1))


def _eps(noise: Noise, batch: Batch) -> Images:
    return noise.pixels(batch.images.shape[1:], Tensor.normal_).to(batch.images)


@dataclass(frozen=True)
class SaltAndPepper:
    """Turn single pixels black or white in all channels, as dead and saturated detectors do.

    ``pixel_shares`` bounds how many of an image: half of them become black, half white.

    Raises:
        ValueError: bounds outside [0, 1] or not in order.
    """

    pixel_shares: Bounds = (0.0, 0.05)

    def __post_init__(self) -> None:
        check_bounds("pixel_shares", self.pixel_shares, low=0, high=1)

    def draw(self, num: int, height: int, width: int, generator: Generator) -> Noise:
        """Draw a share and a seed an image."""
        return _draw_noise(num, self.pixel_shares, generator)

    def apply(self, batch: Batch, params: Noise) -> Batch:
        """Turn the pixels whose number, even in [0, 1), is near 0 black, and near 1 white."""
        images, half = batch.images, _per_image(params.strength, batch.images) / 2
        level = params.pixels(batch.size, Tensor.uniform_).to(images)[:, None]
        turned = images.masked_fill(level < half, 0).masked_fill_(level >= 1 - half, 1)
        return with_parts(batch, images=turned)


def _per_image(params: Tensor, images: Tensor) -> Tensor:
    """Let each image's number meet all of its pixels."""
    check_count("strength", params, len(images))
    return params.to(images)[:, None, None, None]
