"""Lay out a scene: where water, roads, houses and woods go."""

import dataclasses
import datetime

import numpy as np

from mini_earth import sites
from mini_earth.hazard import Hazard, damage_levels, draw_hazard
from mini_earth.kinds import GREEN, draw_built, draw_wood, ground_kind, place_water
from mini_earth.scene import (
    SCENE_CLASSES,
    SETTLEMENTS,
    STRUCTURES,
    Building,
    Road,
    Scene,
)
from mini_earth.settle import Site, draw_lots, settle
from mini_earth.shapes import Frame, Water, Waves
from mini_earth.styles import STYLES, Style


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
        ValueError: for a class, style or disaster that does not exist, an extent or a place out
            of range, or a disaster where nothing is built.
    """
    _check(scene_class, style, disaster=disaster, extent=extent, place=place)
    land, rng = STYLES[style], np.random.default_rng(seed)
    occasion = _draw_occasion(rng, land, place, date)
    water = place_water(rng, scene_class, disaster=disaster, extent=extent)
    hazard = draw_hazard(rng, disaster, water=water, extent=extent) if disaster else None
    frame = _draw_frame(rng, extent)
    built = draw_built(rng, scene_class, extent)
    lots = draw_lots(rng, scene_class, land, extent=extent)
    site = _build(
        rng, scene_class, style, frame=frame, extent=extent, lots=lots, built=built, water=water
    )
    return Scene(
        scene_class=scene_class,
        style=land,
        seed=seed,
        look=seed if look is None else look,
        extent=extent,
        disaster=disaster,
        ground=ground_kind(rng, scene_class),
        green_share=rng.uniform(*GREEN.get(scene_class, (0.4, 0.95))),
        wood=draw_wood(rng, scene_class),
        frame=frame,
        built=built,
        lots=lots,
        water=water,
        hazard=hazard,
        **occasion,
        **vars(dataclasses.replace(site, buildings=_damaged(rng, site.buildings, hazard))),
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
    land: Style,
    place: tuple[float, float] | None,
    date: datetime.date | None,
) -> dict[str, float]:
    """Draw longitude, latitude, year and day of the year, as far as they are not given."""
    where = np.asarray(land.region.places)[rng.integers(len(land.region.places))]
    where = where + rng.uniform(-0.2, 0.2, 2)
    day, year = int(rng.integers(1, 366)), int(rng.integers(2014, 2024))
    if date is not None:
        day, year = date.timetuple().tm_yday, date.year
    longitude, latitude = place or where.tolist()
    return {"longitude": longitude, "latitude": latitude, "year": year, "day": day}


def _draw_frame(rng: np.random.Generator, extent: float) -> Frame:
    """Draw the direction of streets and fields, and how they curve."""
    bend = 0.0 if rng.uniform() < 0.5 else rng.uniform(0.01, 0.05) * min(extent, 500.0)
    return Frame(
        *(extent * rng.uniform(0.4, 0.6, 2)).tolist(),
        angle=rng.uniform(0, np.pi),
        bend=float(bend),
        bend_length=float(min(extent, 500.0) * rng.uniform(0.9, 2.5)),
    )


def _build(
    rng: np.random.Generator,
    scene_class: str,
    style: str,
    *,
    frame: Frame,
    extent: float,
    lots: tuple[float, float],
    built: Waves | None,
    water: Water | None,
) -> Site:
    look = STYLES[style]
    if scene_class in SETTLEMENTS:
        return settle(
            rng, scene_class, look, frame=frame, extent=extent, lots=lots, built=built, water=water
        )
    straight = Frame(frame.x, frame.y, frame.angle)
    if scene_class in ("airport", "runway"):
        lay = sites.lay_airport if scene_class == "airport" else sites.lay_runway
        return lay(rng, straight, extent)
    if scene_class == "freeway":
        return sites.lay_freeway(rng, frame, extent)
    if scene_class == "bridge":
        return sites.lay_bridge(rng, water, extent)
    if scene_class == "harbor":
        return sites.lay_harbor(rng, water, extent)
    if scene_class == "parking_lot":
        return sites.lay_parking(rng, straight, extent)
    if scene_class == "storage_tank":
        return sites.lay_tanks(rng, look, straight, extent)
    if rng.uniform() < 0.3 and scene_class not in ("desert", "mountain"):
        u = np.linspace(-0.8 * extent, 0.8 * extent, 25)
        v = np.full_like(u, rng.uniform(-0.4, 0.4) * extent)
        paved = rng.uniform() < 0.5
        return Site((Road(sites.line(frame, u, v), rng.uniform(3.0, 6.0), 1, paved=bool(paved)),))
    return Site()


def _damaged(
    rng: np.random.Generator, buildings: tuple[Building, ...], hazard: Hazard | None
) -> tuple[Building, ...]:
    """Grade every building by what the hazard does to it."""
    if hazard is None or not buildings:
        return buildings
    levels = damage_levels(
        rng,
        hazard,
        x=np.array([building.x for building in buildings]),
        y=np.array([building.y for building in buildings]),
        strength=np.array([building.strength for building in buildings]),
        structure=np.array([STRUCTURES.index(building.structure) for building in buildings]),
    )
    return tuple(
        dataclasses.replace(building, damage=int(level))
        for building, level in zip(buildings, levels, strict=True)
    )
