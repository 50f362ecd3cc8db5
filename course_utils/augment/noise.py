"""Disturb pixels as sensors do: Gaussian noise, speckle, salt and pepper."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float32, Int64
from torch import Generator, Tensor

from course_utils.augment.draws import Bounds, check_bounds, check_count, uniform
from course_utils.augment.records import Batch, with_parts


@dataclass(frozen=True, eq=False)
class Noise:
    """What was drawn: how strong the noise is in each image, and the seed of its pixels.

    A seed stands for as many numbers as the image has, and is the same noise whenever applied.
    """

    strength: Float32[Tensor, " n"]
    seeds: Int64[Tensor, " n"]

    def pixels(self, shape: tuple[int, ...], fill: Callable) -> Float32[Tensor, "n ..."]:
        """Draw each image's noise from its seed; ``fill`` is ``Tensor.normal_`` or the like."""
        noise, generator = torch.empty(len(self.seeds), *shape), Generator()
        for image, seed in zip(noise, self.seeds.tolist(), strict=True):
            fill(image, generator=generator.manual_seed(seed))
        return noise


def add_noise(
    images: Float32[Tensor, "n c h w"],
    *,
    eps: Float32[Tensor, "n c h w"],
    sigma: Float32[Tensor, " n"],
) -> Float32[Tensor, "n c h w"]:
    """Add noise, as of a sensor's electronics: x' = x + σ ε, clipped to [0, 1].

    Args:
        images: in [0, 1].
        eps: drawn from N(0, 1).
        sigma: deviation of each image's noise, in unit range.

    Raises:
        ValueError: noise of another shape, or not one deviation an image.
    """
    _check_shape("eps", eps, images.shape)
    return torch.addcmul(images, eps.to(images), _per_image(sigma, images)).clamp_(0, 1)


def speckle(
    images: Float32[Tensor, "n c h w"],
    *,
    eps: Float32[Tensor, "n c h w"],
    sigma: Float32[Tensor, " n"],
) -> Float32[Tensor, "n c h w"]:
    r"""Multiply by noise, as in a radar image: x' = x (1 + σ ε), clipped to [0, 1].

    A mean of L radar looks has $\sigma = 1/\sqrt L$; its gamma distribution is close to this normal
    one where L is large.

    Args:
        images: in [0, 1].
        eps: drawn from N(0, 1).
        sigma: deviation of each image's noise, a share of the pixel's value.

    Raises:
        ValueError: noise of another shape, or not one deviation an image.
    """
    _check_shape("eps", eps, images.shape)
    return torch.addcmul(images, images * eps.to(images), _per_image(sigma, images)).clamp_(0, 1)


def salt_and_pepper(
    images: Float32[Tensor, "n c h w"],
    *,
    level: Float32[Tensor, "n h w"],
    share: Float32[Tensor, " n"],
) -> Float32[Tensor, "n c h w"]:
    """Turn single pixels black or white in all channels, as dead and saturated detectors do.

    Args:
        images: in [0, 1].
        level: a number a pixel, drawn evenly from [0, 1): below half the share it becomes black,
            from 1 minus that half white.
        share: of each image's pixels, how many to turn.

    Raises:
        ValueError: levels of another shape, or not one share an image.
    """
    _check_shape("level", level, (len(images), *images.shape[2:]))
    level, half = level.to(images)[:, None], _per_image(share, images) / 2
    return images.masked_fill(level < half, 0).masked_fill_(level >= 1 - half, 1)


def _check_shape(name: str, noise: Tensor, shape: tuple[int, ...]) -> None:
    if noise.shape != shape:
        raise ValueError(
            f"{name}: expected the shape {tuple(shape)} of the images, got {tuple(noise.shape)}"
        )


def _per_image(strength: Tensor, images: Tensor) -> Tensor:
    check_count("strength of the noise", strength, len(images))
    return strength.to(images)[:, None, None, None]


def _draw(num: int, strength: Bounds, generator: Generator) -> Noise:
    seeds = torch.randint(2**32, (num,), generator=generator)
    return Noise(uniform(num, strength, generator), seeds)


@dataclass(frozen=True)
class GaussianNoise:
    """Add normal noise to each channel; ``sigma`` bounds its deviation, in unit range.

    Raises:
        ValueError: bounds below 0 or not in order.
    """

    sigma: Bounds = (0.0, 0.05)

    def __post_init__(self) -> None:
        check_bounds("sigma", self.sigma, low=0)

    def draw(self, num: int, height: int, width: int, generator: Generator) -> Noise:
        """Draw a deviation and a seed an image."""
        return _draw(num, self.sigma, generator)

    def apply(self, batch: Batch, params: Noise) -> Batch:
        """Add the noise (see ``add_noise``)."""
        eps = params.pixels(batch.images.shape[1:], Tensor.normal_)
        return with_parts(batch, images=add_noise(batch.images, eps=eps, sigma=params.strength))


@dataclass(frozen=True)
class Speckle:
    """Multiply by normal noise about 1; ``sigma`` bounds its deviation, a share of the value.

    Raises:
        ValueError: bounds below 0 or not in order.
    """

    sigma: Bounds = (0.0, 0.2)

    def __post_init__(self) -> None:
        check_bounds("sigma", self.sigma, low=0)

    def draw(self, num: int, height: int, width: int, generator: Generator) -> Noise:
        """Draw a deviation and a seed an image."""
        return _draw(num, self.sigma, generator)

    def apply(self, batch: Batch, params: Noise) -> Batch:
        """Multiply by the noise (see ``speckle``)."""
        eps = params.pixels(batch.images.shape[1:], Tensor.normal_)
        return with_parts(batch, images=speckle(batch.images, eps=eps, sigma=params.strength))


@dataclass(frozen=True)
class SaltAndPepper:
    """Turn pixels black or white; ``pixel_shares`` bounds how many of an image.

    Raises:
        ValueError: bounds outside [0, 1] or not in order.
    """

    pixel_shares: Bounds = (0.0, 0.05)

    def __post_init__(self) -> None:
        check_bounds("pixel_shares", self.pixel_shares, low=0, high=1)

    def draw(self, num: int, height: int, width: int, generator: Generator) -> Noise:
        """Draw a share and a seed an image."""
        return _draw(num, self.pixel_shares, generator)

    def apply(self, batch: Batch, params: Noise) -> Batch:
        """Turn pixels black and white (see ``salt_and_pepper``)."""
        level = params.pixels(batch.size, Tensor.uniform_)
        turned = salt_and_pepper(batch.images, level=level, share=params.strength)
        return with_parts(batch, images=turned)
