"""From scenes to views: render one, or a seeded stream of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from course_utils.mini_earth.captions import describe
from course_utils.mini_earth.effects import (
    add_weather,
    cover_all,
    expose,
    scatter_debris,
    strike_ground,
)
from course_utils.mini_earth.ground import Canvas, make_canvas, paint_ground, paint_water
from course_utils.mini_earth.hazard import DISASTERS
from course_utils.mini_earth.layout import make_scene
from course_utils.mini_earth.objects import (
    as_array,
    as_drawing,
    draw_buildings,
    draw_cars,
    draw_roads,
    draw_trees,
)
from course_utils.mini_earth.scene import SCENE_CLASSES, SETTLEMENTS, Scene

_SUPERSAMPLING = 2


@dataclass(frozen=True)
class View:
    """One image of a scene, uint8 (h, w, 3), with all that is known about it.

    ``disaster`` is None for a view from before the event.
    """

    image: UInt8[np.ndarray, "h w 3"]
    caption: str
    scene_class: str
    disaster: str | None
    style: str
    meters_per_pixel: float
    seed: int


def render(scene: Scene, *, size: int = 64, post: bool = True) -> View:
    """Photograph a scene from above.

    The two views of a disaster share the scene and differ in sun, season and weather, as two
    acquisitions do; ``post=False`` shows it before the event.

    Args:
        scene: from ``make_scene``.
        size: side of the image in pixels; the ground sample distance is extent / size.
        post: after the disaster, if the scene has one.

    Raises:
        ValueError: for a size below 16 or above 1,024 pixels.
    """
    if not 16 <= size <= 1024:
        raise ValueError(f"size is {size} pixels; give 16 to 1024")
    post = post and scene.disaster is not None
    rng = np.random.default_rng([scene.seed, int(post)])
    canvas = make_canvas(size * _SUPERSAMPLING, scene.extent)
    dryness = float(np.clip(scene.dryness + rng.normal(0, 0.15), 0, 1))
    azimuth, elevation = rng.uniform(0.6, 2.6), rng.uniform(0.6, 1.2)
    sun = np.array([np.cos(azimuth), np.sin(azimuth)]) / np.tan(elevation)
    picture, draw = as_drawing(_paint_land(scene, canvas, rng, dryness=dryness))
    trees = _standing_trees(scene, rng, post=post)
    draw_trees(draw, trees, scene, canvas, sun=sun, dryness=dryness)
    if post:
        picture, draw = as_drawing(strike_ground(as_array(picture), scene, canvas, rng))
    draw_buildings(draw, scene, canvas, rng, sun=sun, post=post)
    image = as_array(picture)
    if post:
        image = cover_all(scatter_debris(image, scene, canvas, rng), scene, canvas, rng)
    image = expose(add_weather(image, scene, canvas, rng), scene, rng, size=size)
    return View(
        image=image,
        caption=describe(scene, rng, post=post, dryness=dryness),
        scene_class=scene.scene_class,
        disaster=scene.disaster if post else None,
        style=scene.style.name,
        meters_per_pixel=scene.extent / size,
        seed=scene.seed,
    )


def _paint_land(
    scene: Scene, canvas: Canvas, rng: np.random.Generator, *, dryness: float
) -> np.ndarray:
    """Paint ground, water and roads: a river is bridged, a lake or sea ends the road."""
    image = paint_ground(scene, canvas, rng, dryness=dryness)
    bridged = scene.water is not None and scene.water.kind == "river"
    if bridged:
        image = paint_water(image, scene, canvas, rng)
    picture, draw = as_drawing(image)
    draw_roads(draw, scene, canvas, rng.uniform(0.85, 1.15))
    draw_cars(draw, scene, canvas, rng)
    image = as_array(picture)
    if scene.water is not None and not bridged:
        image = paint_water(image, scene, canvas, rng)
    return image


def _standing_trees(scene: Scene, rng: np.random.Generator, *, post: bool) -> np.ndarray:
    """Return the trees (k, 3) that wave, fire or storm have left."""
    trees = scene.trees
    if not post or scene.disaster not in ("tsunami", "wildfire", "wind") or not len(trees):
        return trees
    return trees[scene.hazard.intensity(trees[:, 0], trees[:, 1]) < rng.uniform(size=len(trees))]


def disaster_scene(disaster: str, style: str, *, seed: int) -> Scene:
    """Lay out a settlement of 90 to 170 m that ``disaster`` has struck."""
    rng = np.random.default_rng([seed, 1])
    place = SETTLEMENTS[int(rng.choice(3, p=[0.5, 0.2, 0.3]))]
    return make_scene(
        place, style, seed=seed, disaster=disaster, extent=float(rng.uniform(90, 170))
    )


def sample_views(
    num: int,
    *,
    styles: Sequence[str],
    seed: int,
    size: int = 64,
    disaster_share: float = 0.5,
) -> Iterator[View]:
    """Stream views for training: scenes at 0.5 to 12 m a pixel, and settlements after disasters.

    Args:
        num: how many.
        styles: keys of ``STYLES``, drawn alike.
        seed: the same seed is the same stream, and its first views do not depend on ``num``.
        size: side in pixels.
        disaster_share: share of post-event views; one pre-event view comes with every five.
    """
    for index in range(num):
        rng = np.random.default_rng([seed, index])
        style = styles[int(rng.integers(len(styles)))]
        scene_seed = int(rng.integers(1 << 48))
        if rng.uniform() < disaster_share:
            disaster = DISASTERS[int(rng.integers(len(DISASTERS)))]
            scene = disaster_scene(disaster, style, seed=scene_seed)
            yield render(scene, size=size, post=rng.uniform() > 1 / 6)
        else:
            scene_class = SCENE_CLASSES[int(rng.integers(len(SCENE_CLASSES)))]
            extent = size * float(np.exp(rng.uniform(np.log(0.8), np.log(12.0))))
            yield render(make_scene(scene_class, style, seed=scene_seed, extent=extent), size=size)
