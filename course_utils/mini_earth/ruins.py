"""Draw damaged and destroyed buildings, each disaster in its own way."""

import numpy as np
from PIL import ImageDraw

from course_utils.mini_earth.scene import Building

Points = list[tuple[float, float]]


def rgb(color: np.ndarray | tuple, alpha: int = 255) -> tuple[int, int, int, int]:
    """Turn a color in [0, 1] into the bytes that Pillow draws with."""
    red, green, blue = (min(255, max(0, int(255 * part))) for part in color)
    return red, green, blue, alpha


def corners_of(building: Building, scale: float, *, grow: float = 1.0) -> np.ndarray:
    """Return a footprint's corners (4, 2) in canvas pixels, larger than life by ``grow``."""
    half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * 0.5 * grow
    local = half * (building.length, building.width)
    cos, sin = np.cos(building.angle), np.sin(building.angle)
    turned = local @ np.array([[cos, sin], [-sin, cos]])
    return (turned + np.array([building.x, building.y])) * scale


def points(corners: np.ndarray) -> Points:
    """Turn an array (k, 2) into what Pillow takes for a polygon."""
    return [tuple(corner) for corner in corners.tolist()]


def draw_ruin(
    draw: ImageDraw.ImageDraw,
    disaster: str,
    building: Building,
    rng: np.random.Generator,
    *,
    scale: float,
) -> None:
    """Draw what is left of a destroyed building."""
    size = min(building.length, building.width) * scale
    center = (building.x * scale, building.y * scale)
    roof = np.asarray(building.roof)
    if disaster == "earthquake":
        draw.polygon(points(corners_of(building, scale, grow=1.15)), rgb((0.50, 0.47, 0.43), 190))
        _scatter(
            draw, center, rng, count=24, spread=0.42 * size, size=0.24 * size, tones=(0.28, 0.80)
        )
    elif disaster == "wildfire":
        draw.polygon(points(corners_of(building, scale, grow=1.2)), rgb((0.13, 0.12, 0.11), 230))
        ash = rng.uniform(0.52, 0.78)
        draw.polygon(points(corners_of(building, scale, grow=0.85)), rgb((ash, ash, ash * 0.98)))
        _scatter(
            draw, center, rng, count=8, spread=0.25 * size, size=0.16 * size, tones=(0.15, 0.45)
        )
    elif disaster == "wind":
        slab = rgb((0.66, 0.60, 0.52))
        draw.polygon(points(corners_of(building, scale)), slab)
        _scatter(
            draw, center, rng, count=34, spread=1.1 * size, size=0.13 * size, tones=(0.35, 0.95)
        )
    elif disaster == "tsunami":
        draw.polygon(points(corners_of(building, scale, grow=0.9)), rgb((0.60, 0.56, 0.50), 210))
        _scatter(
            draw, center, rng, count=10, spread=0.9 * size, size=0.15 * size, tones=(0.25, 0.6)
        )
    elif disaster == "flooding":
        draw.polygon(points(corners_of(building, scale, grow=0.55)), rgb(roof * 0.8))
    # Lava leaves nothing to see.


def draw_damage(
    draw: ImageDraw.ImageDraw,
    disaster: str,
    building: Building,
    rng: np.random.Generator,
    *,
    scale: float,
) -> None:
    """Open part of a roof: holes, tarpaulins, rubble, by disaster and level 2 or 3."""
    size = min(building.length, building.width) * scale
    center = (building.x * scale, building.y * scale)
    extent = building.damage - 1
    if disaster == "wind":
        _tear_roof(draw, center, rng, size=size, extent=extent)
    elif disaster == "earthquake":
        look = {"spread": 0.24 * size, "size": 0.22 * size, "tones": (0.30, 0.75)}
        _scatter(draw, center, rng, count=7 * extent, **look)
    elif disaster == "tsunami":
        look = {"spread": 0.5 * size, "size": 0.16 * size, "tones": (0.25, 0.65)}
        _scatter(draw, center, rng, count=6 * extent, **look)
    elif disaster == "wildfire":
        half = 0.22 * size * extent
        x, y = center
        draw.ellipse((x - half, y - half, x + half, y + half), rgb((0.14, 0.12, 0.11), 220))


def _tear_roof(
    draw: ImageDraw.ImageDraw,
    center: tuple[float, float],
    rng: np.random.Generator,
    *,
    size: float,
    extent: int,
) -> None:
    """Leave holes or blue tarpaulins in a roof, and splinters around it."""
    for _ in range(extent):
        spot = rng.normal(0, 0.2 * size, 2) + center
        half = rng.uniform(0.15, 0.3) * size * extent
        tarp = rng.uniform() < 0.3
        color = (0.18, 0.36, 0.72) if tarp else (0.30, 0.24, 0.19)
        box = (spot[0] - half, spot[1] - half * 0.7, spot[0] + half, spot[1] + half * 0.7)
        draw.rectangle(box, rgb(np.array(color) * rng.uniform(0.8, 1.3)))
    look = {"spread": 0.9 * size, "size": 0.09 * size, "tones": (0.55, 0.95)}
    _scatter(draw, center, rng, count=6 * extent, **look)


def _scatter(
    draw: ImageDraw.ImageDraw,
    center: tuple[float, float],
    rng: np.random.Generator,
    *,
    count: int,
    spread: float,
    size: float,
    tones: tuple[float, float],
) -> None:
    """Throw small slabs around a point, in canvas pixels."""
    offsets = rng.normal(0, spread, (count, 2)) + center
    sizes = rng.uniform(0.4, 1.0, count) * size
    shades = rng.uniform(*tones, count)
    warm = rng.uniform(0.82, 1.0, count)
    for (x, y), half, shade, blue in zip(offsets, sizes, shades, warm, strict=True):
        color = rgb((shade, shade * 0.97, shade * blue))
        draw.polygon(
            [(x - half, y), (x, y - half), (x + half, y + 0.4 * half), (x, y + half)], color
        )
