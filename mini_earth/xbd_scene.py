"""Lay out a tile of a rendered xBD, with as much of each damage level as the event had."""

import math
from dataclasses import replace

import numpy as np

from mini_earth.hazard import draw_hazard, recorded_levels
from mini_earth.layout import graded, make_scene, suffered_by
from mini_earth.scene import Building, Scene
from mini_earth.xbd_plan import Event, XbdTile, read_events

_LEAST_BURIED = 5  # houses under the lava of an eruption whose lava destroyed most


def lay_out(tile: XbdTile, extent: float) -> Scene:
    """Lay out the scene of a tile of ``extent`` meters: struck, or spared by its disaster.

    In a struck one the hazard says who is damaged, and the record of the event how badly: among the
    damaged, minor, major and destroyed have the published shares.
    """
    event = read_events()[tile.event]
    for shift in range(1000):  # until there is no sea in Missouri, and lava in Puna
        scene = make_scene(
            tile.scene_class,
            tile.style,
            seed=tile.seed + shift,
            disaster=tile.disaster if tile.is_struck else None,
            extent=extent,
            place=(tile.longitude, tile.latitude),
            date=tile.date,
            look=tile.look,
        )
        if _fits(scene, tile, event):
            break
    rng = np.random.default_rng([tile.seed, 9])
    if tile.is_struck:
        return replace(scene, buildings=_graded(rng, scene, event))
    passed_by = draw_hazard(rng, tile.disaster, water=scene.water, extent=extent)
    return replace(scene, disaster=tile.disaster, hazard=replace(passed_by, is_near=False))


def _fits(scene: Scene, tile: XbdTile, event: Event) -> bool:
    """Tell whether there is a sea only at a coast, and lava where lava destroyed most."""
    if not tile.is_coastal and scene.water is not None and scene.water.kind == "sea":
        return False
    if scene.disaster != "volcano" or event.level_shares[-1] < 0.5:
        return True
    return _num_under_lava(scene) >= min(_LEAST_BURIED, len(scene.buildings))


def _num_under_lava(scene: Scene) -> int:
    x, y = np.array([building.center for building in scene.buildings]).reshape(-1, 2).T
    return int((scene.hazard.lava(x.astype(np.float32), y.astype(np.float32)) > 0).sum())


def _graded(rng: np.random.Generator, scene: Scene, event: Event) -> tuple[Building, ...]:
    """Grade the damaged of a scene as in the record; where lava flows, what it covers is gone."""
    if not scene.buildings:
        return scene.buildings
    num_damaged = sum(building.damage > 1 for building in scene.buildings)
    if num_buried := _num_under_lava(scene):
        num_damaged = min(math.ceil(num_buried / event.level_shares[-1]), len(scene.buildings))
    suffered = suffered_by(rng, scene.buildings, scene.hazard)
    shares = event.level_shares
    levels = recorded_levels(rng, suffered, num_damaged=num_damaged, shares=shares)
    return graded(scene.buildings, levels)
