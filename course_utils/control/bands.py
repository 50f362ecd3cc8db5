"""What a coarse satellite with ten bands sees of the ground that a sharp color picture shows.

DiffusionSat reads Sentinel-2's thirteen bands without three (aerosols, water vapor, cirrus), red
before blue. No render has ten bands: three are computed from its colors, and seven are made up
from its land cover. Nothing here is a measured spectrum.
"""

import math

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from course_utils.images import to_unit

# DiffusionSat's order (Khanna et al. 2024, arXiv:2312.03606, released code)
BANDS: tuple[str, ...] = ("B4", "B3", "B2", "B5", "B6", "B7", "B8", "B8A", "B11", "B12")
NUM_VISIBLE = 3  # red, green, blue come first
HALF_AS_SHARP: tuple[int, ...] = (3, 4, 5, 7, 8, 9)  # Sentinel-2 has these at 20 m, not at 10 m
FACTOR = 4  # pixels of the sharp picture along one of the coarse
BLUR = 1.75  # standard deviation in sharp pixels; with FACTOR, 0.25 of the finest wave is left
NOISE = 0.004  # standard deviation of the sensor's noise, in reflectance
# Reflectance of the seven bands that no color shows, by class of mini_earth.LAND_COVER. Ours and
# plausible, no more: leaves bright in near infrared, water dark, dry soil brightest at B11.
REFLECTANCE: tuple[tuple[float, ...], ...] = (
    (0.24, 0.26, 0.28, 0.30, 0.32, 0.42, 0.38),  # bare land
    (0.18, 0.26, 0.29, 0.32, 0.34, 0.36, 0.26),  # rangeland
    (0.20, 0.21, 0.22, 0.23, 0.24, 0.27, 0.25),  # developed
    (0.12, 0.13, 0.13, 0.14, 0.14, 0.18, 0.17),  # road
    (0.12, 0.28, 0.35, 0.40, 0.42, 0.22, 0.11),  # tree
    (0.03, 0.02, 0.02, 0.02, 0.01, 0.01, 0.01),  # water
    (0.12, 0.32, 0.40, 0.45, 0.46, 0.24, 0.13),  # agriculture
    (0.24, 0.25, 0.26, 0.27, 0.28, 0.32, 0.30),  # building
)
# Brightness in linear light that each class has on average in renders of mini_earth
USUAL_BRIGHTNESS: tuple[float, ...] = (0.18, 0.16, 0.23, 0.23, 0.065, 0.09, 0.20, 0.24)
LUMINANCE = (0.2126, 0.7152, 0.0722)  # of red, green and blue light (ITU-R BT.709)


def light_from_colors(colors: Float[Tensor, "*n c h w"]) -> Float[Tensor, "*n c h w"]:
    r"""Turn sRGB values into linear light, both 0 to 1; only light may be averaged.

    $$L = ((s + 0.055) / 1.055)^{2.4}, \quad \text{below } s = 0.04045: L = s / 12.92$$

    Source: IEC 61966-2-1.
    """
    bright = ((colors.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(colors <= 0.04045, colors / 12.92, bright)


def colors_from_light(light: Float[Tensor, "*n c h w"]) -> Float[Tensor, "*n c h w"]:
    """Turn linear light back into sRGB values."""
    bright = 1.055 * light.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(light <= 0.0031308, light * 12.92, bright)


def simulate_bands(
    images: UInt8[Tensor, "n 3 h w"],
    land_cover: UInt8[Tensor, "n h w"],
    *,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "n 10 h//4 w//4"]:
    r"""Simulate ten coarse bands of renders, reflectance from 0 to 1, in the order of `BANDS`.

    A visible band is the picture's linear light. An invisible one is its class's `REFLECTANCE`
    times the local brightness, 0.3 to 2 times what is usual in that class, so that shadow and
    texture show in all bands. Then the sensor: a Gaussian blur, averages over 4 x 4 pixels (in the
    bands of 20 m over 8 x 8, each given to four pixels) and noise.

    Args:
        images: sharp pictures with sides that are multiples of 8.
        land_cover: codes of ``mini_earth.LAND_COVER``, one a pixel.
        generator: draws the noise; None: there is none.

    Raises:
        ValueError: no bytes, another size, or a code that is no class.
    """
    _check_images(images)
    if land_cover.shape != (len(images), *images.shape[2:]):
        raise ValueError(
            f"land_cover: expected one class a pixel, {(len(images), *images.shape[2:])}; got "
            f"{tuple(land_cover.shape)}"
        )
    if land_cover.numel() and land_cover.max() >= len(REFLECTANCE):
        raise ValueError(
            f"land_cover: expected codes 0 to {len(REFLECTANCE) - 1}, got {land_cover.max()}"
        )
    light = light_from_colors(to_unit(images))
    usual = torch.tensor(USUAL_BRIGHTNESS)[land_cover.long()]
    weights = torch.tensor(LUMINANCE)[:, None, None]
    brightness = ((light * weights).sum(dim=1) / usual).clamp(0.3, 2)
    ground = torch.tensor(REFLECTANCE)[land_cover.long()].movedim(-1, 1)
    return _sense(torch.cat([light, ground * brightness[:, None]], dim=1), generator)


def bands_from_rgb(
    images: UInt8[Tensor, "n 3 h w"], *, generator: torch.Generator | None = None
) -> Float[Tensor, "n 10 h//4 w//4"]:
    """Simulate the coarse bands of color photographs: the three visible ones; the rest is zeros.

    Args:
        images: sharp pictures with sides that are multiples of 8.
        generator: draws the noise; None: there is none.

    Raises:
        ValueError: no bytes, or another size.
    """
    _check_images(images)
    visible = _sense(light_from_colors(to_unit(images)), generator)
    return F.pad(visible, (0, 0, 0, 0, 0, len(BANDS) - NUM_VISIBLE))


def hide_invisible(bands: Float[Tensor, "n 10 h w"]) -> Float[Tensor, "n 10 h w"]:
    """Set the bands that no color shows to zero, which stands for unknown."""
    hidden = bands.clone()
    hidden[:, NUM_VISIBLE:] = 0
    return hidden


def colors_of_bands(bands: Float[Tensor, "n 10 h w"]) -> Float[Tensor, "n 3 h w"]:
    """Show the visible bands as sRGB colors, 0 to 1."""
    return colors_from_light(bands[:, :NUM_VISIBLE])


def maps_from_bands(bands: Float[Tensor, "n 10 h w"]) -> Float[Tensor, "n 10 4*h 4*w"]:
    """Make maps of bands that steer a generator: square roots, four pixels wide.

    The square root gives dark ground, most of all there is, more of the range; zero stays zero.

    Raises:
        ValueError: not ten bands, or a value that is no reflectance.
    """
    check_bands(bands)
    return bands.sqrt().repeat_interleave(FACTOR, dim=2).repeat_interleave(FACTOR, dim=3)


def check_bands(bands: Tensor) -> None:
    """Refuse what is not ten bands of reflectance.

    Raises:
        ValueError: another number of bands, or a value outside 0 to 1.
    """
    if bands.dim() != 4 or bands.shape[1] != len(BANDS) or not bands.is_floating_point():
        raise ValueError(
            f"bands: expected floats of shape (n, {len(BANDS)}, h, w) in the order "
            f"{', '.join(BANDS)}; got {bands.dtype} of shape {tuple(bands.shape)}: drop three of "
            "Sentinel-2's thirteen, or use bands_from_rgb"
        )
    if not ((bands >= 0) & (bands <= 1)).all():
        raise ValueError(
            f"bands: expected reflectance 0 to 1, got {bands.min():g} to {bands.max():g}; divide "
            "Sentinel-2's integers by 10,000 and clip"
        )


def _check_images(images: Tensor) -> None:
    sides, is_rgb = images.shape[2:], images.dim() == 4 and images.shape[1] == 3
    if images.dtype != torch.uint8 or not is_rgb or any(side % (2 * FACTOR) for side in sides):
        raise ValueError(
            f"images: expected bytes (uint8) of shape (n, 3, h, w) with sides that are multiples "
            f"of {2 * FACTOR}, got {images.dtype} of shape {tuple(images.shape)}; crop or resize "
            "them"
        )


def _sense(
    scene: Float[Tensor, "n c h w"], generator: torch.Generator | None
) -> Float[Tensor, "n c h//4 w//4"]:
    """See a scene as the sensor does: blurred, averaged, noisy, 0 to 1."""
    bands = F.avg_pool2d(_blur(scene), FACTOR)
    if bands.shape[1] == len(BANDS):
        coarser = F.avg_pool2d(bands[:, HALF_AS_SHARP], 2)
        bands[:, HALF_AS_SHARP] = F.interpolate(coarser, scale_factor=2)
    if generator is not None:
        bands = bands + NOISE * torch.randn(bands.shape, generator=generator)
    return bands.clamp(0, 1)


def _blur(scene: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """Blur by a Gaussian, columns, then rows; what lies behind the edge is like the edge."""
    reach = math.ceil(3 * BLUR)
    kernel = torch.exp(-((torch.arange(-reach, reach + 1) / BLUR) ** 2) / 2)
    kernel = (kernel / kernel.sum()).repeat(scene.shape[1], 1, 1, 1)
    padded = F.pad(scene, (reach,) * 4, mode="replicate")
    rows = F.conv2d(padded, kernel, groups=scene.shape[1])
    return F.conv2d(rows, kernel.mT, groups=scene.shape[1])
