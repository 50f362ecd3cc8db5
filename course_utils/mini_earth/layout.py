"""Lay out a scene: where water, roads, houses and trees go."""

import numpy as np

from course_utils.mini_earth.hazard import Hazard, damage_levels, draw_hazard
from course_utils.mini_earth.scene import SCENE_CLASSES, SETTLEMENTS, Building, Road, Scene
from course_utils.mini_earth.shapes import Frame, Water, draw_water
from course_utils.mini_earth.styles import STYLES, Style

# Share of the ground that is green, and trees per hectare, by class.
_GREEN = {
    "beach": (0.2, 0.7),
    "chaparral": (0.35, 0.6),
    "dense_residential": (0.3, 0.6),
    "desert": (0.0, 0.05),
    "forest": (0.9, 1.0),
    "industrial_area": (0.1, 0.4),
    "meadow": (0.85, 1.0),
}
_TREES = {
    "beach": (0, 4),
    "desert": (0, 1),
    "forest": (0, 1),
    "orchard": (0, 1),
    "chaparral": (4, 20),
    "dense_residential": (8, 40),
    "freeway": (0, 20),
    "industrial_area": (0, 8),
    "meadow": (0, 3),
    "sparse_residential": (15, 60),
    "river": (0, 25),
    "lake": (0, 25),
}
_WATER = {"beach": "sea", "lake": "lake", "river": "river"}
_MAX_BUILDINGS = 90
_MAX_TREES = 90


def make_scene(
    scene_class: str,
    style: str,
    *,
    seed: int,
    disaster: str | None = None,
    extent: float = 130.0,
) -> Scene:
    """Lay out a scene: the same arguments always give the same scene.

    Args:
        scene_class: one of ``SCENE_CLASSES``.
        style: a key of ``STYLES``.
        seed: names the scene.
        disaster: one of ``DISASTERS``, or None.
        extent: side of the square in meters; 20 to 3,000.

    Raises:
        ValueError: for a class, style or disaster that does not exist, or an extent out of range.
    """
    if scene_class not in SCENE_CLASSES:
        raise ValueError(f"scene_class {scene_class!r} is not one of {', '.join(SCENE_CLASSES)}")
    if style not in STYLES:
        raise ValueError(f"style {style!r} is not one of {', '.join(STYLES)}")
    if not 20.0 <= extent <= 3000.0:
        raise ValueError(f"extent is {extent:g} m; give 20 to 3000")
    look = STYLES[style]
    rng = np.random.default_rng(seed)
    water = _place_water(rng, scene_class, disaster, extent)
    hazard = draw_hazard(rng, disaster, water=water, extent=extent) if disaster else None
    frame = Frame(*(extent * rng.uniform(0.4, 0.6, 2)), rng.uniform(0, np.pi))
    roads = _lay_roads(rng, scene_class, frame, extent)
    buildings = _place_buildings(
        rng, scene_class, style=look, frame=frame, extent=extent, water=water, hazard=hazard
    )
    return Scene(
        scene_class=scene_class,
        style=look,
        seed=seed,
        extent=extent,
        disaster=disaster,
        green_share=rng.uniform(*_GREEN.get(scene_class, (0.4, 0.95))),
        dryness=rng.uniform(0, 1) ** 1.5,
        ground=_ground_kind(rng, scene_class),
        frame=frame,
        water=water,
        roads=roads,
        buildings=buildings,
        trees=_plant_trees(rng, scene_class, extent, water),
        hazard=hazard,
    )


def _ground_kind(rng: np.random.Generator, scene_class: str) -> str:
    special = {
        "forest": "canopy",
        "orchard": "orchard",
        "circular_farmland": "circles",
        "rectangular_farmland": "fields",
        "desert": "dunes",
        "chaparral": "shrubs",
    }
    if scene_class in special:
        return special[scene_class]
    choices = ("plain", "fields", "canopy")
    shares = (0.86, 0.08, 0.06) if scene_class in SETTLEMENTS else (0.5, 0.35, 0.15)
    if scene_class in ("meadow", "beach"):
        return "plain"
    return choices[rng.choice(3, p=shares)]


def _place_water(
    rng: np.random.Generator, scene_class: str, disaster: str | None, extent: float
) -> Water | None:
    kind = _WATER.get(scene_class)
    if kind is None and scene_class in SETTLEMENTS:
        kind = rng.choice(["", "sea", "river", "lake"], p=[0.52, 0.2, 0.16, 0.12]) or None
        if disaster == "tsunami":
            kind = "sea"
    return draw_water(rng, str(kind), extent=extent) if kind else None


def _lay_roads(
    rng: np.random.Generator, scene_class: str, frame: Frame, extent: float
) -> tuple[Road, ...]:
    roads = []
    reach = 0.8 * extent
    if scene_class == "freeway":
        u = np.linspace(-reach, reach, 17)
        v = rng.uniform(-0.12, 0.12) * extent * np.sin(u / extent * rng.uniform(0.5, 3.0))
        width = rng.uniform(9, 13) * max(1.0, (extent / 250.0) ** 0.5)
        for side in (-0.62, 0.62):
            x, y = frame.to_world(u, v + side * width)
            roads.append(Road(np.stack([x, y], 1), width, True))
    elif scene_class in SETTLEMENTS:
        spacing = max(rng.uniform(38, 60), extent / 8)
        for offset in np.arange(-reach, reach, spacing):
            x, y = frame.to_world(np.array([-reach, reach]), np.array([offset, offset]))
            roads.append(Road(np.stack([x, y], 1), rng.uniform(4.5, 7.0), False))
        for offset in np.arange(-reach, reach, spacing * rng.uniform(1.2, 2.5)) + spacing / 3:
            x, y = frame.to_world(np.array([offset, offset]), np.array([-reach, reach]))
            roads.append(Road(np.stack([x, y], 1), rng.uniform(4.5, 7.0), False))
    elif rng.uniform() < 0.3:
        v = rng.uniform(-0.4, 0.4) * extent
        x, y = frame.to_world(np.array([-reach, reach]), np.array([v, v]))
        roads.append(Road(np.stack([x, y], 1), rng.uniform(3.5, 6.0), False))
    return tuple(roads)


def _place_buildings(
    rng: np.random.Generator,
    scene_class: str,
    *,
    style: Style,
    frame: Frame,
    extent: float,
    water: Water | None,
    hazard: Hazard | None,
) -> tuple[Building, ...]:
    if scene_class not in SETTLEMENTS:
        return ()
    factory = scene_class == "industrial_area"
    lot = rng.uniform(*style.lot_meters) * {"sparse_residential": 1.5}.get(scene_class, 1.0)
    lot = max(lot * (2.2 if factory else 1.0), extent / 9)
    keep = {"sparse_residential": 0.6, "industrial_area": 0.8}.get(scene_class, 0.9)
    x, y = _lots(rng, frame, extent, lot=lot, keep=keep)
    if water is not None:
        dry = water.depth(x.astype(np.float32), y.astype(np.float32)) < -5.0
        x, y = x[dry], y[dry]
    x, y = x[:_MAX_BUILDINGS], y[:_MAX_BUILDINGS]
    n = x.size
    length = rng.uniform(*style.house_meters, n) * (2.2 if factory else 1.0)
    length = np.minimum(length, 0.8 * lot) * max(1.0, lot / 60)
    width = length * rng.uniform(0.55, 0.95, n)
    angle = frame.angle + (rng.uniform(size=n) < 0.5) * np.pi / 2 + rng.normal(0, 0.05, n)
    height = rng.uniform(6, 14, n) if factory else rng.uniform(3, 9, n)
    roofs = np.asarray(style.roofs)[rng.integers(len(style.roofs), size=n)]
    roofs = np.clip(roofs * rng.uniform(0.8, 1.2, (n, 1)), 0, 1)
    gabled = rng.uniform(size=n) < (0.15 if factory else 0.75)
    strength = rng.uniform(size=n)
    levels = damage_levels(rng, hazard, x=x, y=y, strength=strength)
    columns = (x, y, length, width, angle, height, roofs, gabled, strength, levels)
    return tuple(
        Building(*row[:6], tuple(row[6]), *row[7:])
        for row in zip(*(column.tolist() for column in columns), strict=True)
    )


def _lots(
    rng: np.random.Generator, frame: Frame, extent: float, *, lot: float, keep: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the centers of the built-up lots: a jittered grid with gaps, in meters."""
    steps = np.arange(-0.75 * extent, 0.75 * extent, lot)
    u, v = (grid.ravel() for grid in np.meshgrid(steps, steps + lot / 2))
    u = u + rng.uniform(-0.12, 0.12, u.size) * lot
    v = v + rng.uniform(-0.12, 0.12, v.size) * lot
    x, y = frame.to_world(u, v)
    inside = (x > 0) & (x < extent) & (y > 0) & (y < extent) & (rng.uniform(size=x.size) < keep)
    return x[inside], y[inside]


def _plant_trees(
    rng: np.random.Generator, scene_class: str, extent: float, water: Water | None
) -> np.ndarray:
    per_hectare = rng.uniform(*_TREES.get(scene_class, (0, 6)))
    count = int(min(_MAX_TREES, per_hectare * (extent / 100) ** 2))
    trees = np.stack(
        [
            rng.uniform(0, extent, count),
            rng.uniform(0, extent, count),
            rng.uniform(1.8, 4.5, count) * max(1.0, extent / 300),
        ],
        1,
    )
    if water is not None and count:
        trees = trees[water.depth(trees[:, 0], trees[:, 1]) < -2.0]
    return trees
