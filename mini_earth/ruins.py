"""Draw damaged and destroyed buildings, each disaster in its own way."""

import numpy as np

from mini_earth.moment import Moment
from mini_earth.objects import draw_building
from mini_earth.scene import Building
from mini_earth.shapes import turned
from mini_earth.surface import Stencil


def draw_buildings(
    stencil: Stencil, moment: Moment, rng: np.random.Generator, *, post: bool
) -> None:
    """Draw every building, with its damage if ``post``."""
    scene = stencil.surface.scene
    for building in scene.buildings:
        if not post or building.damage == 1:
            draw_building(stencil, building, moment)
        elif building.damage == 4:
            _draw_ruin(stencil, scene.disaster, building, rng)
        else:
            draw_building(stencil, building, moment)
            _draw_damage(stencil, scene.disaster, building, moment, rng)


def _grown(building: Building, factor: float) -> np.ndarray:
    outline = building.outline()
    middle = outline.mean(0)
    return (outline - middle) * factor + middle


def _draw_ruin(
    stencil: Stencil, disaster: str, building: Building, rng: np.random.Generator
) -> None:
    """Draw what is left of a destroyed building: its cover stays "building", its height is gone."""
    size, roof = min(building.length, building.width), np.asarray(building.roof)
    plain = {"cover": "building"}
    if disaster == "earthquake":
        color = 0.5 * roof + 0.5 * np.array((0.50, 0.47, 0.43))
        stencil.polygon(_grown(building, 1.2), (0.52, 0.49, 0.45), alpha=0.6)
        stencil.polygon(_grown(building, 1.0), color, alpha=0.9, height=1.0, **plain)
        _scatter(stencil, building, rng, count=46, spread=0.42, size=0.17, tones=(0.25, 0.85))
    elif disaster == "wildfire":
        stencil.polygon(_grown(building, 1.35), (0.13, 0.12, 0.11), alpha=0.8)
        ash = rng.uniform(0.45, 0.75)
        stencil.polygon(_grown(building, 1.0), (0.20, 0.18, 0.17), height=0.6, **plain)
        stencil.polygon(_grown(building, 0.88), (ash, ash, ash * 0.97), alpha=0.9)
        _scatter(stencil, building, rng, count=26, spread=0.27, size=0.13, tones=(0.10, 0.55))
    elif disaster == "wind":
        stencil.polygon(_grown(building, 1.0), (0.62, 0.57, 0.50), alpha=0.95, height=0.3, **plain)
        _scatter(stencil, building, rng, count=60, spread=0.75, size=0.10, tones=(0.35, 0.95))
    elif disaster == "tsunami":
        stencil.polygon(_grown(building, 0.95), (0.60, 0.56, 0.50), alpha=0.65, height=0.2, **plain)
        _scatter(stencil, building, rng, count=16, spread=0.9, size=0.13, tones=(0.25, 0.65))
    elif disaster == "flooding":  # the ridge still shows above the water
        stencil.polygon(_grown(building, 0.6), roof * 0.75, height=1.0, **plain)
    elif size * stencil.scale > 3:  # lava flows over it; a hump remains
        stencil.polygon(_grown(building, 0.8), (0.17, 0.16, 0.16), alpha=0.5, height=1.0, **plain)


def _draw_damage(
    stencil: Stencil,
    disaster: str,
    building: Building,
    moment: Moment,
    rng: np.random.Generator,
) -> None:
    """Open part of a roof: holes, tarpaulins, rubble, by disaster and level 2 or 3."""
    extent = building.damage - 1
    lean = moment.lean() * building.height
    if disaster == "wind":
        _tear_roof(stencil, building, rng, lean=lean, extent=extent, tarps=0.3)
        _scatter(
            stencil, building, rng, count=12 * extent, spread=0.75, size=0.08, tones=(0.5, 0.95)
        )
    elif disaster == "earthquake":
        if extent == 2:  # a corner has come down
            outline = building.outline()
            corner = int(rng.integers(4))
            part = [
                outline[corner],
                *(0.5 * (outline[corner] + outline[(corner + k) % len(outline)]) for k in (1, -1)),
            ]
            stencil.polygon(
                np.array([part[1], part[0], part[2], outline.mean(0)]) + lean, (0.45, 0.42, 0.38)
            )
        _scatter(stencil, building, rng, count=10 * extent, spread=0.3, size=0.12, tones=(0.3, 0.8))
    elif disaster == "tsunami":
        _tear_roof(stencil, building, rng, lean=lean, extent=extent - 1)
        _scatter(
            stencil, building, rng, count=10 * extent, spread=0.65, size=0.12, tones=(0.25, 0.65)
        )
    elif disaster == "wildfire":
        x, y = rng.normal(0, 0.15 * building.width, 2) + building.center + lean
        stencil.spot(x, y, 0.24 * building.width * extent, (0.14, 0.12, 0.11), 0.85)
    elif disaster == "volcano" and extent == 2:  # the roof sags under the ash
        x, y = building.center + lean
        stencil.spot(x, y, 0.3 * building.width, (0.28, 0.26, 0.25), 0.8)


def _tear_roof(
    stencil: Stencil,
    building: Building,
    rng: np.random.Generator,
    *,
    lean: np.ndarray,
    extent: int,
    tarps: float = 0.0,
) -> None:
    """Leave holes in a roof, a share of them under blue tarpaulins."""
    for _ in range(2 * extent):
        u, v = rng.uniform(-0.3, 0.3, 2) * (building.length, building.width)
        half_u, half_v = rng.uniform(0.10, 0.2, 2) * (building.length, building.width) * extent
        box = np.array([(-half_u, -half_v), (half_u, -half_v), (half_u, half_v), (-half_u, half_v)])
        tarp = rng.uniform() < tarps
        color = np.array((0.24, 0.36, 0.58) if tarp else (0.28, 0.23, 0.19)) * rng.uniform(0.8, 1.3)
        hole = turned(box + np.array((u, v)), building.angle) + (building.center + lean)
        stencil.polygon(hole, color)


def _scatter(
    stencil: Stencil,
    building: Building,
    rng: np.random.Generator,
    *,
    count: int,
    spread: float,
    size: float,
    tones: tuple[float, float],
) -> None:
    """Throw slabs around a building; ``spread`` and ``size`` are shares of its width."""
    unit = min(building.length, building.width)
    if unit * stencil.scale < 2:
        count = min(count, 6)
    centers = rng.normal(0, spread * unit, (count, 2)) + building.center
    halves = rng.uniform(0.3, 1.0, count) * size * unit * 0.5
    turns = rng.uniform(0, np.pi, count)
    shades, warm = rng.uniform(*tones, count), rng.uniform(0.8, 1.0, count)
    stretch = rng.uniform(0.3, 1.0, count)
    for (x, y), half, turn, shade, blue, thin in zip(
        centers, halves, turns, shades, warm, stretch, strict=True
    ):
        a = np.array((np.cos(turn), np.sin(turn))) * half * 1.5
        b = np.array((-a[1], a[0])) * thin
        slab = np.stack([a + b, b - a, -a - b, a - b]) + np.array((x, y))
        stencil.polygon(slab, (shade, shade * 0.97, shade * blue))
