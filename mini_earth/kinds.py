"""What the land of each scene class is like: its water, its green, its trees."""

import dataclasses

import numpy as np

from mini_earth.scene import SETTLEMENTS
from mini_earth.shapes import Water, Waves, draw_water, draw_waves

# Share of the open ground that is green; density of trees in the open and in a wood.
GREEN = {
    "beach": (0.2, 0.7),
    "chaparral": (0.2, 0.5),
    "desert": (0.0, 0.05),
    "industrial_area": (0.1, 0.4),
    "meadow": (0.85, 1.0),
    "mountain": (0.1, 0.7),
    "runway": (0.5, 1.0),
    "airport": (0.5, 1.0),
    "parking_lot": (0.2, 0.8),
    "storage_tank": (0.1, 0.6),
}
WOOD = {
    "airport": (0.0, 0.02),
    "beach": (0.0, 0.15),
    "bridge": (0.1, 0.5),
    "chaparral": (0.0, 0.0),
    "circular_farmland": (0.0, 0.03),
    "dense_residential": (0.1, 0.35),
    "desert": (0.0, 0.004),
    "forest": (0.9, 1.0),
    "freeway": (0.05, 0.5),
    "harbor": (0.0, 0.1),
    "industrial_area": (0.0, 0.1),
    "meadow": (0.0, 0.03),
    "medium_residential": (0.2, 0.5),
    "mountain": (0.0, 0.5),
    "orchard": (0.0, 0.01),
    "parking_lot": (0.02, 0.2),
    "rectangular_farmland": (0.0, 0.02),
    "runway": (0.0, 0.0),
    "sparse_residential": (0.25, 0.7),
    "storage_tank": (0.0, 0.15),
}
GROUND = {
    "forest": "plain",
    "orchard": "orchard",
    "circular_farmland": "circles",
    "rectangular_farmland": "fields",
    "desert": "dunes",
    "chaparral": "shrubs",
    "mountain": "slopes",
}
OPEN_COUNTRY = ("bridge", "freeway", "lake", "river")
WATER = {"beach": "sea", "lake": "lake", "river": "river", "harbor": "sea"}


def place_water(
    rng: np.random.Generator, scene_class: str, *, disaster: str | None, extent: float
) -> Water | None:
    """Draw the sea, river or lake of a scene, if it has one."""
    kind = WATER.get(scene_class)
    if scene_class == "bridge":
        kind = "river" if rng.uniform() < 0.7 else "canal"
    if scene_class in SETTLEMENTS:
        shares = [0.35, 0.05, 0.4, 0.2] if disaster == "flooding" else [0.58, 0.16, 0.16, 0.10]
        kind = str(rng.choice(["", "sea", "river", "lake"], p=shares)) or None
        if disaster == "tsunami":
            kind = "sea"
    if kind is None:
        return None
    water = draw_water(rng, kind, extent=extent)
    if scene_class == "harbor":  # a straight quay
        calm = dataclasses.replace(water.waves, amplitude=0.0)
        return dataclasses.replace(water, waves=calm)
    if scene_class == "bridge":
        return dataclasses.replace(water, size=extent * rng.uniform(0.2, 0.5))
    return water


def draw_built(rng: np.random.Generator, scene_class: str, extent: float) -> Waves | None:
    """Let large squares be a town with open country around it."""
    if scene_class not in SETTLEMENTS or extent < 260:
        return None
    return draw_waves(rng, amplitude=0.5, wavelength=rng.uniform(0.5, 1.1) * min(extent, 600.0))


def ground_kind(rng: np.random.Generator, scene_class: str) -> str:
    """Draw what lies between the built things."""
    if scene_class in GROUND:
        return GROUND[scene_class]
    fields = {**dict.fromkeys(SETTLEMENTS, 0.3), **dict.fromkeys(OPEN_COUNTRY, 0.4)}
    return "fields" if rng.uniform() < fields.get(scene_class, 0.0) else "plain"


def draw_wood(rng: np.random.Generator, scene_class: str) -> tuple[float, float]:
    """Draw the density of trees in the open and in the woods around."""
    low, high = WOOD.get(scene_class, (0.02, 0.3))
    single = rng.uniform(low, high)
    groves = scene_class in (*SETTLEMENTS, *OPEN_COUNTRY) and rng.uniform() < 0.5
    return float(single), float(max(single, rng.uniform(0.6, 1.0) if groves else single))
