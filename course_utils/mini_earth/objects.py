"""Draw roads, trees, cars and buildings, whole or damaged, as polygons."""

import numpy as np
from PIL import Image, ImageDraw

from course_utils.mini_earth.ground import Canvas
from course_utils.mini_earth.scene import Building, Scene

Points = list[tuple[float, float]]


def _rgb(color: np.ndarray | tuple, alpha: int = 255) -> tuple[int, int, int, int]:
    red, green, blue = (min(255, max(0, int(255 * part))) for part in color)
    return red, green, blue, alpha


def _corners(building: Building, scale: float, *, grow: float = 1.0) -> np.ndarray:
    half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * 0.5 * grow
    local = half * (building.length, building.width)
    cos, sin = np.cos(building.angle), np.sin(building.angle)
    turned = local @ np.array([[cos, sin], [-sin, cos]])
    return (turned + np.array([building.x, building.y])) * scale


def _points(corners: np.ndarray) -> Points:
    return [tuple(corner) for corner in corners.tolist()]


def draw_roads(draw: ImageDraw.ImageDraw, scene: Scene, canvas: Canvas, tint: float) -> None:
    """Draw asphalt, then the dashes of the wide ones."""
    scale = 1.0 / canvas.meters
    color = np.asarray(scene.style.road) * tint
    for road in scene.roads:
        points = _points(road.points * scale)
        draw.line(points, _rgb(color), max(1, round(road.width * scale)), joint="curve")
        if road.dashed and road.width * scale > 6:
            for start, end in zip(points[::2], points[1::2], strict=False):
                draw.line([start, end], _rgb((0.85, 0.85, 0.8), 170), 1)


def draw_cars(
    draw: ImageDraw.ImageDraw, scene: Scene, canvas: Canvas, rng: np.random.Generator
) -> None:
    """Put cars on the roads where a car is at least a pixel long."""
    if canvas.meters > 2.0:
        return
    scale = 1.0 / canvas.meters
    for road in scene.roads:
        for _ in range(rng.integers(0, 4)):
            start, end = road.points[0], road.points[-1]
            spot = (start + rng.uniform(0.2, 0.8) * (end - start)) * scale
            along = (end - start) / np.linalg.norm(end - start) * 2.2 * scale
            shade = rng.choice([0.9, 0.85, 0.2, 0.35, 0.6])
            line = [tuple(spot - along), tuple(spot + along)]
            draw.line(line, _rgb((shade, shade, shade)), max(1, round(1.9 * scale)))


def draw_trees(
    draw: ImageDraw.ImageDraw,
    trees: np.ndarray,
    scene: Scene,
    canvas: Canvas,
    *,
    sun: np.ndarray,
    dryness: float,
) -> None:
    """Draw crowns with their shadows; ``sun`` is the shadow of one meter of height, in meters."""
    scale = 1.0 / canvas.meters
    greens = np.asarray(scene.style.vegetation)
    for index, (x, y, radius) in enumerate(trees * scale):
        dx, dy = sun * 1.6 * radius
        box = (x - radius + dx, y - radius + dy, x + radius + dx, y + radius + dy)
        draw.ellipse(box, (12, 14, 20, 110))
        color = greens[index % 2] * (0.75 + 0.25 * dryness + 0.02 * (index % 9))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), _rgb(color))


def draw_buildings(
    draw: ImageDraw.ImageDraw,
    scene: Scene,
    canvas: Canvas,
    rng: np.random.Generator,
    *,
    sun: np.ndarray,
    post: bool,
) -> None:
    """Draw every building with its shadow, and with its damage if ``post``."""
    scale = 1.0 / canvas.meters
    for building in scene.buildings:
        level = building.damage if post else 1
        if level == 4:
            _draw_ruin(draw, scene.disaster, building, scale, rng)
            continue
        corners = _corners(building, scale)
        shadow = corners + sun * building.height * scale
        hull = [*corners[:2], *shadow[1:3], *corners[2:]]
        draw.polygon([tuple(p) for p in hull], (10, 12, 18, 125))
        draw.polygon(_points(shadow), (10, 12, 18, 125))
        roof = np.asarray(building.roof)
        draw.polygon(_points(corners), _rgb(roof))
        if building.gabled:
            ridge = (corners[0] + corners[3]) / 2, (corners[1] + corners[2]) / 2
            lit = [tuple(corners[0]), tuple(corners[1]), tuple(ridge[1]), tuple(ridge[0])]
            draw.polygon(lit, _rgb(roof * 1.22))
        elif building.width * scale > 8:
            draw.polygon(_points(_corners(building, scale, grow=0.8)), _rgb(roof * 0.9))
        if level > 1:
            _draw_damage(draw, scene.disaster, building, scale, rng, level)


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
        color = _rgb((shade, shade * 0.97, shade * blue))
        draw.polygon(
            [(x - half, y), (x, y - half), (x + half, y + 0.4 * half), (x, y + half)], color
        )


def _draw_damage(draw, disaster, building, scale, rng, level) -> None:
    """Open part of a roof: holes, tarpaulins, rubble, by disaster and level 2 or 3."""
    size = min(building.length, building.width) * scale
    center = (building.x * scale, building.y * scale)
    if disaster in ("flooding", "volcano"):
        return
    if disaster == "wind":
        for _ in range(level - 1):
            spot = rng.normal(0, 0.2 * size, 2) + center
            half = rng.uniform(0.15, 0.3) * size * (level - 1)
            tarp = rng.uniform() < 0.3
            color = (0.18, 0.36, 0.72) if tarp else (0.30, 0.24, 0.19)
            box = (spot[0] - half, spot[1] - half * 0.7, spot[0] + half, spot[1] + half * 0.7)
            draw.rectangle(box, _rgb(np.array(color) * rng.uniform(0.8, 1.3)))
        _scatter(
            draw,
            center,
            rng,
            count=6 * (level - 1),
            spread=0.9 * size,
            size=0.09 * size,
            tones=(0.55, 0.95),
        )
    elif disaster == "earthquake":
        _scatter(
            draw,
            center,
            rng,
            count=7 * (level - 1),
            spread=0.24 * size,
            size=0.22 * size,
            tones=(0.30, 0.75),
        )
    elif disaster == "tsunami":
        _scatter(
            draw,
            center,
            rng,
            count=6 * (level - 1),
            spread=0.5 * size,
            size=0.16 * size,
            tones=(0.25, 0.65),
        )
    else:
        half = 0.22 * size * (level - 1)
        x, y = center
        draw.ellipse((x - half, y - half, x + half, y + half), _rgb((0.14, 0.12, 0.11), 220))


def _draw_ruin(draw, disaster, building, scale, rng) -> None:
    """Draw what is left of a destroyed building."""
    size = min(building.length, building.width) * scale
    center = (building.x * scale, building.y * scale)
    roof = np.asarray(building.roof)
    if disaster == "earthquake":
        draw.polygon(_points(_corners(building, scale, grow=1.15)), _rgb((0.50, 0.47, 0.43), 190))
        _scatter(
            draw, center, rng, count=24, spread=0.42 * size, size=0.24 * size, tones=(0.28, 0.80)
        )
    elif disaster == "wildfire":
        draw.polygon(_points(_corners(building, scale, grow=1.2)), _rgb((0.13, 0.12, 0.11), 230))
        ash = rng.uniform(0.52, 0.78)
        draw.polygon(_points(_corners(building, scale, grow=0.85)), _rgb((ash, ash, ash * 0.98)))
        _scatter(
            draw, center, rng, count=8, spread=0.25 * size, size=0.16 * size, tones=(0.15, 0.45)
        )
    elif disaster == "wind":
        slab = _rgb((0.66, 0.60, 0.52))
        draw.polygon(_points(_corners(building, scale)), slab)
        _scatter(
            draw, center, rng, count=34, spread=1.1 * size, size=0.13 * size, tones=(0.35, 0.95)
        )
    elif disaster == "tsunami":
        draw.polygon(_points(_corners(building, scale, grow=0.9)), _rgb((0.60, 0.56, 0.50), 210))
        _scatter(
            draw, center, rng, count=10, spread=0.9 * size, size=0.15 * size, tones=(0.25, 0.6)
        )
    elif disaster == "flooding":
        draw.polygon(_points(_corners(building, scale, grow=0.55)), _rgb(roof * 0.8))
    # Lava leaves nothing to see.


def as_drawing(image: np.ndarray) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """Turn an array in [0, 1] into a picture that polygons can be blended onto."""
    picture = Image.fromarray((np.clip(image, 0, 1) * 255).astype(np.uint8))
    return picture, ImageDraw.Draw(picture, "RGBA")


def as_array(picture: Image.Image) -> np.ndarray:
    """Turn a picture back into an array in [0, 1]."""
    return np.asarray(picture, dtype=np.float32) * np.float32(1 / 255)
