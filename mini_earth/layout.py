"""Lay out a scene: where water, roads, houses and woods go, and what a disaster does to them."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from mini_earth.hazard import Hazard, damage_levels, draw_hazard, suffering
from mini_earth.scene import (
    SCENE_CLASSES,
    SETTLEMENTS,
    STRUCTURES,
    Building,
    Scene,
    check_seed,
)
from mini_earth.settle import draw_lots, settle
from mini_earth.shapes import Frame, Water, Waves, draw_water, draw_waves
from mini_earth.sites import SITES, lay_track
from mini_earth.styles import STYLES, Style


@dataclass(frozen=True)
class _Land:
    """What the land of a class is like, with shares and densities in [0, 1].

    ``green`` bounds the green share of the open ground, ``wood`` the density of its trees.
    Where ``ground`` is not given it is plain, or fields with the probability ``fields``.
    """

    green: tuple[float, float] = (0.4, 0.95)
    wood: tuple[float, float] = (0.02, 0.3)
    ground: str | None = None
    fields: float = 0.0  # above 0 only in settlements and open country, which may have groves
    water: str | None = None


_LANDS = {
    "airport": _Land(green=(0.5, 1.0), wood=(0.0, 0.02)),
    "beach": _Land(green=(0.2, 0.7), wood=(0.0, 0.15), water="sea"),
    "bridge": _Land(wood=(0.1, 0.5), fields=0.4),
    "chaparral": _Land(green=(0.2, 0.5), wood=(0.0, 0.0), ground="shrubs"),
    "circular_farmland": _Land(wood=(0.0, 0.03), ground="circles"),
    "dense_residential": _Land(wood=(0.1, 0.35), fields=0.3),
    "desert": _Land(green=(0.0, 0.05), wood=(0.0, 0.004), ground="dunes"),
    "forest": _Land(wood=(0.9, 1.0), ground="plain"),
    "freeway": _Land(wood=(0.05, 0.5), fields=0.4),
    "harbor": _Land(wood=(0.0, 0.1), water="sea"),
    "industrial_area": _Land(green=(0.1, 0.4), wood=(0.0, 0.1), fields=0.3),
    "lake": _Land(fields=0.4, water="lake"),
    "meadow": _Land(green=(0.85, 1.0), wood=(0.0, 0.03)),
    "medium_residential": _Land(wood=(0.2, 0.5), fields=0.3),
    "mountain": _Land(green=(0.1, 0.7), wood=(0.0, 0.5), ground="slopes"),
    "orchard": _Land(wood=(0.0, 0.01), ground="orchard"),
    "parking_lot": _Land(green=(0.2, 0.8), wood=(0.02, 0.2)),
    "rectangular_farmland": _Land(wood=(0.0, 0.02), ground="fields"),
    "river": _Land(fields=0.4, water="river"),
    "runway": _Land(green=(0.5, 1.0), wood=(0.0, 0.0)),
    "sparse_residential": _Land(wood=(0.25, 0.7), fields=0.3),
    "storage_tank": _Land(green=(0.1, 0.6), wood=(0.0, 0.15)),
}


def make_scene(
    scene_class: str,
    style: str,
    *,
    seed: int,
    disaster: str | None = None,
    extent: float = 130.0,
    place: tuple[float, float] | None = None,
    date: datetime.date | None = None,
    look: int | None = None,
) -> Scene:
    """Lay out a scene: the same arguments always give the same scene.

    Args:
        scene_class: one of ``SCENE_CLASSES``.
        style: a key of ``STYLES``.
        seed: names the scene.
        disaster: one of ``DISASTERS``, or None.
        extent: side of the square in meters; 20 to 3,000.
        place: longitude and latitude of its center in degrees; near one of the region's own
            by default.
        date: of the disaster, or of the first view; drawn by default.
        look: names the acquisition; scenes with the same look share soil, light and weather.
            Each scene has its own by default.

    Raises:
        ValueError: for a class, style or disaster that does not exist, an extent, a place or a
            seed out of range, or a disaster where nothing is built.
    """
    _check(scene_class, style, disaster=disaster, extent=extent, place=place)
    rng = np.random.default_rng(seed := check_seed(seed))
    place, date = _draw_occasion(rng, STYLES[style], place=place, date=date)
    water = _draw_water(rng, scene_class, disaster=disaster, extent=extent)
    bare = Scene(
        scene_class=scene_class,
        style=STYLES[style],
        seed=seed,
        look=check_seed(seed if look is None else look, "look"),
        extent=extent,
        disaster=disaster,
        longitude=place[0],
        latitude=place[1],
        date=date,
        water=water,
        hazard=draw_hazard(rng, disaster, water=water, extent=extent) if disaster else None,
        frame=_draw_frame(rng, extent),
        built=_draw_built(rng, scene_class, extent),
        lots=draw_lots(rng, scene_class, STYLES[style], extent=extent),
    )
    scene = SITES.get(scene_class, settle if scene_class in SETTLEMENTS else lay_track)(rng, bare)
    land = _LANDS[scene_class]
    return replace(
        scene,
        ground=land.ground or ("fields" if rng.uniform() < land.fields else "plain"),
        green_share=rng.uniform(*land.green),
        wood=_draw_wood(rng, land),
        buildings=_damaged(rng, scene.buildings, scene.hazard),
    )


def _check(
    scene_class: str,
    style: str,
    *,
    disaster: str | None,
    extent: float,
    place: tuple[float, float] | None,
) -> None:
    if scene_class not in SCENE_CLASSES:
        raise ValueError(f"scene_class {scene_class!r} is not one of {', '.join(SCENE_CLASSES)}")
    if style not in STYLES:
        raise ValueError(f"style {style!r} is not one of {', '.join(STYLES)}")
    if not 20.0 <= extent <= 3000.0:
        raise ValueError(f"extent is {extent:g} m; give 20 to 3000")
    if place is not None and not (-180 <= place[0] <= 180 and -66 <= place[1] <= 66):
        raise ValueError(
            f"place is {place}; give longitude -180 to 180 and latitude -66 to 66 in degrees"
        )
    if disaster == "tsunami" and scene_class not in (*SETTLEMENTS, "beach", "harbor"):
        raise ValueError(f"a tsunami needs a coast, which {scene_class!r} does not have")


def _draw_occasion(
    rng: np.random.Generator,
    style: Style,
    *,
    place: tuple[float, float] | None,
    date: datetime.date | None,
) -> tuple[Sequence[float], datetime.date]:
    """Draw longitude and latitude near one of the region's places, and a date, if not given."""
    where = np.asarray(style.region.places)[rng.integers(len(style.region.places))]
    where = where + rng.uniform(-0.2, 0.2, 2)
    day, year = int(rng.integers(1, 366)), int(rng.integers(2014, 2024))
    drawn = datetime.date(year, 1, 1) + datetime.timedelta(days=day - 1)
    return place or where.tolist(), date or drawn


def _draw_water(
    rng: np.random.Generator, scene_class: str, *, disaster: str | None, extent: float
) -> Water | None:
    kind = _LANDS[scene_class].water
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
        return replace(water, waves=replace(water.waves, amplitude=0.0))
    if scene_class == "bridge":
        return replace(water, size=extent * rng.uniform(0.2, 0.5))
    return water


def _draw_frame(rng: np.random.Generator, extent: float) -> Frame:
    """Draw the direction of streets and fields, and how they curve."""
    bend = 0.0 if rng.uniform() < 0.5 else rng.uniform(0.01, 0.05) * min(extent, 500.0)
    return Frame(
        *(extent * rng.uniform(0.4, 0.6, 2)).tolist(),
        angle=rng.uniform(0, np.pi),
        bend=float(bend),
        bend_length=float(min(extent, 500.0) * rng.uniform(0.9, 2.5)),
    )


def _draw_built(rng: np.random.Generator, scene_class: str, extent: float) -> Waves | None:
    """Let large squares be a town with open country around it."""
    if scene_class not in SETTLEMENTS or extent < 260:
        return None
    return draw_waves(rng, amplitude=0.5, wavelength=rng.uniform(0.5, 1.1) * min(extent, 600.0))


def _draw_wood(rng: np.random.Generator, land: _Land) -> tuple[float, float]:
    """Draw the density of trees in the open and in the woods around."""
    single = rng.uniform(*land.wood)
    groves = land.fields > 0 and rng.uniform() < 0.5
    return float(single), float(max(single, rng.uniform(0.6, 1.0) if groves else single))


def _damaged(
    rng: np.random.Generator, buildings: tuple[Building, ...], hazard: Hazard | None
) -> tuple[Building, ...]:
    """Grade every building by what the hazard does to it."""
    if hazard is None or not buildings:
        return buildings
    return graded(buildings, damage_levels(hazard.kind, suffered_by(rng, buildings, hazard)))


def suffered_by(
    rng: np.random.Generator, buildings: Sequence[Building], hazard: Hazard
) -> Float[np.ndarray, " n"]:
    """Say what each building suffers from a hazard."""
    return suffering(
        rng,
        hazard,
        at=np.array([[getattr(each, axis) for each in buildings] for axis in "xy"], np.float32),
        strength=np.array([each.strength for each in buildings]),
        structure=[STRUCTURES.index(each.structure) for each in buildings],
    )


def graded(buildings: Sequence[Building], levels: Int[np.ndarray, " n"]) -> tuple[Building, ...]:
    """Give each building its damage level."""
    pairs = zip(buildings, levels.tolist(), strict=True)
    return tuple(replace(building, damage=level) for building, level in pairs)
