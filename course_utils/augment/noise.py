"""Disturb pixels as sensors do: Gaussian noise, speckle, salt and pepper."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float32
from torch import Generator, Tensor

from course_utils.augment.draws import Bounds, check_bounds, check_count, uniform
from course_utils.augment.records import Batch


@dataclass(frozen=True, eq=False)
class Noise:
    """What was drawn: standard normal noise, and how strong it is in each image."""

    eps: Float32[Tensor, "n c h w"]  # of 1 channel: the same in all channels of the image
    sigma: Float32[Tensor, " n"]


@dataclass(frozen=True, eq=False)
class Specks:
    """What was drawn: a number in [0, 1) a pixel, and which share of pixels fails in each image."""

    level: Float32[Tensor, "n h w"]
    share: Float32[Tensor, " n"]


def add_noise(images: Float32[Tensor, "n c h w"], noise: Noise) -> Float32[Tensor, "n c h w"]:
    """Add noise, as of a sensor's electronics: x' = x + σ ε, clipped to [0, 1].

    Raises:
        ValueError: noise of another number or size of images.
    """
    eps, sigma = _fitting(noise, images)
    return torch.addcmul(images, eps, sigma).clamp_(0, 1)


def speckle(images: Float32[Tensor, "n c h w"], noise: Noise) -> Float32[Tensor, "n c h w"]:
    r"""Multiply by noise, as in a radar image: x' = x (1 + σ ε), clipped to [0, 1].

    A mean of L radar looks has $\sigma = 1/\sqrt L$; its gamma distribution is close to this normal
    one where L is large.

    Raises:
        ValueError: noise of another number or size of images.
    """
    eps, sigma = _fitting(noise, images)
    return torch.addcmul(images, images * eps, sigma).clamp_(0, 1)


def salt_and_pepper(
    images: Float32[Tensor, "n c h w"], specks: Specks
) -> Float32[Tensor, "n c h w"]:
    """Turn single pixels black or white in all channels, as dead and saturated detectors do.

    A pixel is black where its level is below half the share, white from one minus that half.

    Raises:
        ValueError: levels of another number or size of images.
    """
    check_count("share", specks.share, len(images))
    level = specks.level.to(images)[:, None]
    if level.shape[::2] != images.shape[::2] or level.shape[3] != images.shape[3]:
        raise ValueError(f"level: expected for {tuple(images.shape)}, got {tuple(level.shape)}")
    half = specks.share.to(images)[:, None, None, None] / 2
    return images.masked_fill(level < half, 0).masked_fill_(level >= 1 - half, 1)


def _fitting(noise: Noise, images: Tensor) -> tuple[Tensor, Tensor]:
    n, c, h, w = images.shape
    check_count("sigma", noise.sigma, n)
    if noise.eps.shape not in ((n, c, h, w), (n, 1, h, w)):
        raise ValueError(
            f"eps: expected {(n, c, h, w)}, or 1 channel for all, got {tuple(noise.eps.shape)}; "
            "draw for this batch, with its num_channels"
        )
    return noise.eps.to(images), noise.sigma.to(images)[:, None, None, None]


@dataclass(frozen=True)
class _Normal:
    """Bounds of the noise's deviation ``sigma``, one drawn an image, in unit range.

    ``num_channels`` is that of the images; with 1, all channels get the same noise.

    Raises:
        ValueError: bounds below 0 or not in order, or no channels.
    """

    sigma: Bounds = (0.0, 0.05)
    num_channels: int = 3

    def __post_init__(self) -> None:
        check_bounds("sigma", self.sigma, low=0)
        if self.num_channels < 1:
            raise ValueError(f"num_channels: expected 1 or more, got {self.num_channels}")

    def draw(self, num: int, height: int, width: int, generator: Generator) -> Noise:
        """Draw a deviation an image and a normal number a pixel and channel."""
        sigma = uniform(num, self.sigma, generator)
        eps = torch.randn(num, self.num_channels, height, width, generator=generator)
        return Noise(eps, sigma)


@dataclass(frozen=True)
class GaussianNoise(_Normal):
    """Add normal noise; ``sigma`` bounds its deviation, in unit range."""

    def apply(self, batch: Batch, params: Noise) -> Batch:
        """Add the noise (see ``add_noise``)."""
        return replace(batch, images=add_noise(batch.images, params))


@dataclass(frozen=True)
class Speckle(_Normal):
    """Multiply by noise about 1; ``sigma`` bounds its deviation, a share of the value."""

    sigma: Bounds = (0.0, 0.2)

    def apply(self, batch: Batch, params: Noise) -> Batch:
        """Multiply by the noise (see ``speckle``)."""
        return replace(batch, images=speckle(batch.images, params))


@dataclass(frozen=True)
class SaltAndPepper:
    """Turn pixels black or white; ``pixel_shares`` bounds how many of an image.

    Raises:
        ValueError: bounds outside [0, 1] or not in order.
    """

    pixel_shares: Bounds = (0.0, 0.05)

    def __post_init__(self) -> None:
        check_bounds("pixel_shares", self.pixel_shares, low=0, high=1)

    def draw(self, num: int, height: int, width: int, generator: Generator) -> Specks:
        """Draw a share an image and a level a pixel."""
        share = uniform(num, self.pixel_shares, generator)
        return Specks(torch.rand(num, height, width, generator=generator), share)

    def apply(self, batch: Batch, params: Specks) -> Batch:
        """Turn pixels black and white (see ``salt_and_pepper``)."""
        return replace(batch, images=salt_and_pepper(batch.images, params))
