"""Random textures: crops of a few fractal tiles, the same at every resolution."""

from functools import cache

import numpy as np
from jaxtyping import Float
from PIL import Image

TILE = 512
_SYMMETRIES = 8


@cache
def _tiles() -> list[Float[np.ndarray, "tile tile"]]:
    """Build the bank once: periodic Gaussian fields with a power spectrum f^(-2 a)."""
    rng = np.random.default_rng(20)
    frequency = np.fft.fftfreq(TILE)
    radius = np.hypot(frequency[:, None], frequency[None, :])
    radius[0, 0] = np.inf
    tiles = []
    for exponent in (1.0, 1.2, 1.4, 1.1, 1.3, 1.5):
        spectrum = np.fft.fft2(rng.standard_normal((TILE, TILE))) * radius**-exponent
        tile = np.fft.ifft2(spectrum).real
        tiles.append(((tile - tile.mean()) / tile.std()).astype(np.float32))
    return tiles


def fractal(seed: int, *, num_pixels: int, num_cells: int) -> Float[np.ndarray, "h w"]:
    """Draw a fractal field whose finest detail has ``num_cells`` cells across the picture.

    Args:
        seed: names the field; the same seed is the same field at any resolution.
        num_pixels: side of the result.
        num_cells: cells across; at most 512. Few cells make smooth, large shapes.

    Returns:
        Values with mean 0 and standard deviation 1.
    """
    bank = _tiles()
    seed, pick = divmod(seed, len(bank))
    seed, symmetry = divmod(seed, _SYMMETRIES)
    seed, top = divmod(seed, TILE - num_cells + 1)
    left = seed % (TILE - num_cells + 1)
    crop = bank[pick][top : top + num_cells, left : left + num_cells]
    if symmetry & 1:
        crop = crop[::-1]
    if symmetry & 2:
        crop = crop[:, ::-1]
    if symmetry & 4:
        crop = crop.T
    crop = (crop - crop.mean()) / (crop.std() + 1e-6)
    if num_cells == num_pixels:
        return np.ascontiguousarray(crop)
    resized = Image.fromarray(np.ascontiguousarray(crop)).resize(
        (num_pixels, num_pixels), Image.Resampling.BICUBIC
    )
    return np.asarray(resized)


def smoothstep(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Ramp from 0 at ``low`` to 1 at ``high`` with flat ends: 3 s^2 - 2 s^3."""
    share = np.clip((values - low) / (high - low), 0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)


def blend(base: np.ndarray, color: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Mix ``color`` into an image: base + share (color - base), share per pixel in [0, 1]."""
    return base + share[..., None] * (color - base)
