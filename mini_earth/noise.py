"""Random textures: crops of a few fractal tiles, and a canopy of tree crowns."""

from functools import cache

import numpy as np
from jaxtyping import Float
from PIL import Image

TILE = 1024
CROWN_METERS = 0.35  # a pixel of the canopy's finest tile
_SYMMETRIES = 8


@cache
def _tiles() -> list[Float[np.ndarray, "tile tile"]]:
    """Build the bank once: periodic Gaussian fields with a power spectrum f^(-2 a)."""
    rng = np.random.default_rng(20)
    frequency = np.fft.fftfreq(TILE)
    radius = np.hypot(frequency[:, None], frequency[None, :])
    radius[0, 0] = np.inf
    tiles = []
    for exponent in (1.0, 1.2, 1.4, 1.1):
        spectrum = np.fft.fft2(rng.standard_normal((TILE, TILE))) * radius**-exponent
        tile = np.fft.ifft2(spectrum).real
        tiles.append(((tile - tile.mean()) / tile.std()).astype(np.float32))
    return tiles


def fractal(seed: int, *, num_pixels: int, num_cells: int) -> Float[np.ndarray, "h w"]:
    """Draw a fractal field with mean 0 and standard deviation 1.

    The same seed is the same field at any resolution. Its finest detail has ``num_cells`` cells,
    at most 1,024, across the picture: few make smooth, large shapes.
    """
    bank = _tiles()
    seed, pick = divmod(seed, len(bank))
    seed, symmetry = divmod(seed, _SYMMETRIES)
    seed, top = divmod(seed, TILE - num_cells + 1)
    left = seed % (TILE - num_cells + 1)
    crop = _turned(bank[pick][top : top + num_cells, left : left + num_cells], symmetry)
    crop = np.ascontiguousarray((crop - crop.mean()) / (crop.std() + 1e-6))
    size = (num_pixels, num_pixels)
    return np.asarray(Image.fromarray(crop).resize(size, Image.Resampling.BICUBIC))


def _turned(tile: np.ndarray, symmetry: int) -> np.ndarray:
    """Flip and transpose a tile in one of eight ways."""
    if symmetry & 1:
        tile = tile[::-1]
    if symmetry & 2:
        tile = tile[:, ::-1]
    return tile.T if symmetry & 4 else tile


@cache
def _canopy() -> list[np.ndarray]:
    """Build a periodic wood once: height, lot and tone of the crowns, in tiles of halved detail.

    Each tile is (3, side, side): the crown's height in [0, 1], a number in [0, 1) that decides at
    which density the tree stands, and its tone in [-1, 1].
    """
    rng = np.random.default_rng(21)
    wood = np.zeros((3, TILE, TILE), np.float32)
    wood[1] = 1.0
    for _ in range(9000):
        radius = np.clip(rng.lognormal(0.95, 0.35), 1.2, 6.0) / CROWN_METERS
        top, left = rng.integers(0, TILE, 2)
        rows = np.arange(top - int(radius), top + int(radius) + 1)
        columns = np.arange(left - int(radius), left + int(radius) + 1)
        span = ((rows - top)[:, None] ** 2 + (columns - left) ** 2) / radius**2
        crown = (1.0 - span**1.5) * min(1.0, 0.35 + radius * CROWN_METERS / 6.0)
        spot = np.ix_(rows % TILE, columns % TILE)
        higher = crown > wood[0][spot]
        for layer, value in enumerate((crown, rng.uniform(), rng.uniform(-1, 1))):
            wood[layer][spot] = np.where(higher, value, wood[layer][spot])
    pyramid = [wood]
    while pyramid[-1].shape[1] > 64:
        last = pyramid[-1]
        side = last.shape[1] // 2
        coarse = last.reshape(3, side, 2, side, 2).mean((2, 4))
        coarse[1] = last[1, ::2, ::2]  # the mean of two lots is no tree's lot
        pyramid.append(coarse)
    return pyramid


def canopy(seed: int, *, num_pixels: int, extent: float) -> Float[np.ndarray, "3 h w"]:
    """Look up a wood of ``extent`` meters: height, lot and tone of the crowns at every pixel.

    A tree stands where its lot is below the local density of trees.
    """
    meters = extent / num_pixels
    pyramid = _canopy()
    level = int(np.clip(np.round(np.log2(max(meters / CROWN_METERS, 1.0))), 0, len(pyramid) - 1))
    tile = pyramid[level]
    side, cell = tile.shape[1], CROWN_METERS * 2**level
    seed, symmetry = divmod(seed, _SYMMETRIES)
    starts = seed % side, seed // side % side
    line = ((np.arange(num_pixels) + 0.5) * meters / cell).astype(np.int64)
    rows, columns = ((line + start) % side for start in starts)
    layers = [_turned(layer, symmetry)[np.ix_(rows, columns)] for layer in tile]
    return np.stack(layers)


def smoothstep(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Ramp from 0 at ``low`` to 1 at ``high`` with flat ends: 3 s^2 - 2 s^3."""
    share = values - np.float32(low)
    share *= np.float32(1 / (high - low))
    share = np.clip(share, 0.0, 1.0)
    fall = np.float32(3.0) - np.float32(2.0) * share
    share *= share
    share *= fall
    return share


def blend(base: np.ndarray, color: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Mix ``color`` into an image: base + share (color - base), share per pixel in [0, 1]."""
    change = share[..., None] * (color - base)
    change += base
    return change
