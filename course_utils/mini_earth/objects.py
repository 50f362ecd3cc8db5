"""Draw roads, trees, cars and buildings, whole or damaged, as polygons."""

import numpy as np
from PIL import Image, ImageDraw

from course_utils.mini_earth.ground import Canvas
from course_utils.mini_earth.ruins import corners_of, draw_damage, draw_ruin, points, rgb
from course_utils.mini_earth.scene import Scene


def draw_roads(draw: ImageDraw.ImageDraw, scene: Scene, canvas: Canvas, tint: float) -> None:
    """Draw asphalt, then the dashes of the wide ones."""
    scale = 1.0 / canvas.meters
    color = np.asarray(scene.style.road) * tint
    for road in scene.roads:
        line = points(road.points * scale)
        draw.line(line, rgb(color), max(1, round(road.width * scale)), joint="curve")
        if road.dashed and road.width * scale > 6:
            for start, end in zip(line[::2], line[1::2], strict=False):
                draw.line([start, end], rgb((0.85, 0.85, 0.8), 170), 1)


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
            draw.line(line, rgb((shade, shade, shade)), max(1, round(1.9 * scale)))


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
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), rgb(color))


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
            draw_ruin(draw, scene.disaster, building, rng, scale=scale)
            continue
        corners = corners_of(building, scale)
        shadow = corners + sun * building.height * scale
        hull = [*corners[:2], *shadow[1:3], *corners[2:]]
        draw.polygon([tuple(p) for p in hull], (10, 12, 18, 125))
        draw.polygon(points(shadow), (10, 12, 18, 125))
        roof = np.asarray(building.roof)
        draw.polygon(points(corners), rgb(roof))
        if building.gabled:
            ridge = (corners[0] + corners[3]) / 2, (corners[1] + corners[2]) / 2
            lit = [tuple(corners[0]), tuple(corners[1]), tuple(ridge[1]), tuple(ridge[0])]
            draw.polygon(lit, rgb(roof * 1.22))
        elif building.width * scale > 8:
            draw.polygon(points(corners_of(building, scale, grow=0.8)), rgb(roof * 0.9))
        if level > 1:
            draw_damage(draw, scene.disaster, building, rng, scale=scale)


def as_drawing(image: np.ndarray) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """Turn an array in [0, 1] into a picture that polygons can be blended onto."""
    picture = Image.fromarray((np.clip(image, 0, 1) * 255).astype(np.uint8))
    return picture, ImageDraw.Draw(picture, "RGBA")


def as_array(picture: Image.Image) -> np.ndarray:
    """Turn a picture back into an array in [0, 1]."""
    return np.asarray(picture, dtype=np.float32) * np.float32(1 / 255)
