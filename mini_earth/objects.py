"""Draw what people built: roads, pavement, vehicles, and buildings, whole or damaged."""

from collections.abc import Sequence

import numpy as np

from mini_earth.camera import Moment
from mini_earth.scene import SQUARE, Building, Road, Vehicle
from mini_earth.shapes import turned
from mini_earth.surface import Stencil, Tint

_MARKING = (0.84, 0.84, 0.80)
_SKY = 0.4  # share of light that does not depend on a roof's slope


def draw_roads(stencil: Stencil, *, above: bool) -> None:
    """Draw roads with shoulders and markings; ``above`` draws the bridges, else the others."""
    scene = stencil.surface.scene
    rng = np.random.default_rng(scene.seed + 14)
    common, *tints = rng.uniform(0.85, 1.15, len(scene.roads) + 1)
    for road, tint in zip(scene.roads, tints, strict=True):
        if (road.height > 0) == above:
            _draw_road(stencil, road, 0.5 * (tint + common))


def _draw_road(stencil: Stencil, road: Road, tint: float) -> None:
    region = stencil.surface.scene.style.region
    color = np.asarray(region.road if road.paved else region.soil[0]) * tint
    height = road.height or None
    pixels = road.width * stencil.scale
    if pixels > 5 and road.paved:
        verge = np.asarray((0.60, 0.58, 0.54)) * tint
        stencil.line(road.points, verge, width=road.width * 1.18, cover="developed", height=height)
    stencil.line(road.points, color, width=road.width, cover="road", height=height)
    if not road.paved or pixels < 6:
        return
    if road.lanes == 1:
        if road.width > 6 and pixels > 12:
            _dash(stencil, road.points)
        return
    along = np.gradient(road.points, axis=0)
    along = along / (np.linalg.norm(along, axis=1, keepdims=True) + 1e-9)
    normal = np.stack([-along[:, 1], along[:, 0]], 1)
    for side in (-0.46, 0.46):
        edge = road.points + normal * side * road.width
        stencil.line(edge, _MARKING, width=0.2, alpha=0.6)
    lane = road.width / road.lanes
    if lane * stencil.scale >= 5:
        for number in range(1, road.lanes):
            _dash(stencil, road.points + normal * ((number - road.lanes / 2) * lane))


def _dash(stencil: Stencil, points: np.ndarray) -> None:
    """Draw 3 m of paint every 9 m."""
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    at = np.concatenate([[0.0], np.cumsum(steps)])
    for start in np.arange(0, at[-1] - 3.0, 9.0):
        ends = np.stack([np.interp((start, start + 3), at, part) for part in points.T], 1)
        stencil.line(ends, _MARKING, width=0.2, alpha=0.65)


def draw_patches(stencil: Stencil) -> None:
    """Draw aprons, car parks, piers, drives and pools."""
    for patch in stencil.surface.scene.patches:
        stencil.polygon(patch.points, patch.color, cover=patch.cover)


def draw_vehicles(
    stencil: Stencil, rng: np.random.Generator, *, gone: np.ndarray | None = None
) -> None:
    """Draw cars, boats and planes that show; traffic moves, so each acquisition loses some.

    ``gone`` (h, w) in [0, 1] is the share that a disaster has swept away at every pixel.
    """
    vehicles = stencil.surface.scene.vehicles
    here = rng.uniform(size=len(vehicles))
    for vehicle, luck in zip(vehicles, here, strict=True):
        if vehicle.length * stencil.scale < 1.3 or (vehicle.kind == "car" and luck < 0.3):
            continue
        if gone is not None:
            at = np.array((vehicle.y, vehicle.x)) / stencil.surface.meters
            row, column = np.clip(at.astype(int), 0, len(gone) - 1)
            if luck < gone[row, column]:
                continue
        if vehicle.kind == "plane":
            _draw_plane(stencil, vehicle)
        else:
            _draw_hull(stencil, vehicle)


def _placed(vehicle: Vehicle, outline: Sequence[tuple]) -> np.ndarray:
    local = np.array(outline) * vehicle.length
    return turned(local, vehicle.angle) + np.array((vehicle.x, vehicle.y))


_CAR = [(-0.5, -0.21), (0.5, -0.21), (0.5, 0.21), (-0.5, 0.21)]
_GLASS = [(0.05, -0.18), (0.25, -0.16), (0.25, 0.16), (0.05, 0.18)]
_BOAT = [(-0.5, -0.15), (0.2, -0.17), (0.5, 0.0), (0.2, 0.17), (-0.5, 0.15)]
_DECK = [(-0.35, -0.08), (0.0, -0.09), (0.0, 0.09), (-0.35, 0.08)]
_BODY = [(-0.5, -0.035), (0.42, -0.05), (0.5, 0.0), (0.42, 0.05), (-0.5, 0.035)]
_WINGS = [(0.12, 0.0), (-0.16, -0.48), (-0.24, -0.48), (-0.08, 0.0), (-0.24, 0.48), (-0.16, 0.48)]
_TAIL = [(-0.36, 0.0), (-0.46, -0.18), (-0.52, -0.18), (-0.48, 0.0), (-0.52, 0.18), (-0.46, 0.18)]


def _draw_hull(stencil: Stencil, vehicle: Vehicle) -> None:
    is_car = vehicle.kind == "car"
    body = _placed(vehicle, _CAR if is_car else _BOAT)
    stencil.polygon(body, vehicle.color, height=1.4 if is_car else None)
    if vehicle.length * stencil.scale > 6:
        inner = np.asarray(vehicle.color) * (0.35 if is_car else 0.72)
        stencil.polygon(_placed(vehicle, _GLASS if is_car else _DECK), inner)


def _draw_plane(stencil: Stencil, vehicle: Vehicle) -> None:
    for part, tone in ((_WINGS, 0.92), (_TAIL, 0.92), (_BODY, 1.0)):
        color = np.asarray(vehicle.color) * tone
        stencil.polygon(_placed(vehicle, part), color, height=3.5)


def _draw_building(stencil: Stencil, building: Building, moment: Moment) -> None:
    """Draw walls, and a roof whose faces are lit by the sun."""
    base, lean = building.outline(), moment.lean() * building.height
    top = base + lean
    roof = np.asarray(building.roof)
    if building.length * stencil.scale < 3.5:
        stencil.polygon(top, roof, cover="building", height=building.height)
        return
    if np.hypot(*lean) * stencil.scale > 0.7:
        wall = 0.55 * roof + 0.1
        for start in range(len(base)):
            end = (start + 1) % len(base)
            stencil.polygon(np.stack([base[start], base[end], top[end], top[start]]), wall)
    light = 1.0 if building.shape in ("flat", "tank") else _lit(building, moment, (0.0, 0.0))
    stencil.polygon(top, roof * light, cover="building", height=building.height)
    if building.shape == "tank":
        stencil.polygon(_scaled(top, 0.86), roof * 0.92)
    elif building.shape == "flat":
        _draw_flat(stencil, building, lean)
    else:
        _draw_pitched(stencil, building, lean, moment)


def _lit(building: Building, moment: Moment, face: Sequence[float]) -> float:
    """Return the light on a roof face that looks along (u, v), relative to flat ground."""
    slope = 0.55
    cos, sin = np.cos(building.angle), np.sin(building.angle)
    outward = np.array([face[0] * cos - face[1] * sin, face[0] * sin + face[1] * cos])
    cosine = (1.0 - slope * float(outward @ moment.shadow())) / np.hypot(1.0, slope)
    return _SKY + (1 - _SKY) * float(np.clip(cosine, 0.0, 1.6))


def _draw_pitched(stencil: Stencil, building: Building, lean: np.ndarray, moment: Moment) -> None:
    """Draw two faces of a gable or four of a hip, and the wing's two."""
    end = 1.0 if building.shape == "gable" else 1.0 - 0.8 * building.width / building.length
    roof = np.asarray(building.roof)
    faces = [
        ([(-1, -1), (1, -1), (end, 0), (-end, 0)], (0.0, -1.0)),
        ([(-1, 1), (1, 1), (end, 0), (-end, 0)], (0.0, 1.0)),
    ]
    if building.shape == "hip":
        faces.append(([(1, -1), (1, 1), (end, 0)], (1.0, 0.0)))
        faces.append(([(-1, -1), (-1, 1), (-end, 0)], (-1.0, 0.0)))
    if building.wing > 0:
        far = 1 + 2 * building.wing
        faces.append(([(0.1, 0.4), (0.55, 0.2), (0.55, far), (0.1, far)], (-1.0, 0.0)))
        faces.append(([(1.0, 0.6), (0.55, 0.2), (0.55, far), (1.0, far)], (1.0, 0.0)))
    for corners, outward in faces:
        lit = roof * _lit(building, moment, outward)
        stencil.polygon(building.to_world(corners) + lean, lit)


def _draw_flat(stencil: Stencil, building: Building, lean: np.ndarray) -> None:
    """Draw a parapet, and the machines on a large roof."""
    if building.width * stencil.scale < 7:
        return
    roof = np.asarray(building.roof)
    rim = SQUARE * (1.0 - 1.2 / building.width)
    stencil.polygon(building.to_world(rim) + lean, roof * 0.88)
    if building.length > 18:
        rng = np.random.default_rng(int(building.strength * 1e6))
        box = SQUARE * (1.2 / building.length, 1.2 / building.width)
        for center in rng.uniform(-0.7, 0.7, (int(building.length / 6), 2)):
            machine = building.to_world(center + box) + lean
            stencil.polygon(machine, roof * 0.7 + 0.2, height=building.height + 1.5)


def _scaled(outline: np.ndarray, factor: float) -> np.ndarray:
    """Shrink or grow an outline around the mean of its corners."""
    middle = outline.mean(0)
    return (outline - middle) * factor + middle


def draw_buildings(
    stencil: Stencil, moment: Moment, rng: np.random.Generator, *, post: bool
) -> None:
    """Draw every building, with its damage if ``post``."""
    for building in stencil.surface.scene.buildings:
        damage = building.damage if post else 1
        if damage == 4:
            _draw_ruin(stencil, building, rng)
        else:
            _draw_building(stencil, building, moment)
        if damage in (2, 3):
            _draw_damage(stencil, building, moment, rng)


# What lies around a ruin, and a damaged house (there by level): count of slabs, spread and size
# as shares of the house's width, tones.
_RUBBLE = {
    "earthquake": (46, 0.42, 0.17, (0.25, 0.85)),
    "tsunami": (16, 0.9, 0.13, (0.25, 0.65)),
    "wildfire": (26, 0.27, 0.13, (0.10, 0.55)),
    "wind": (60, 0.75, 0.10, (0.35, 0.95)),
}
_SPLINTERS = {
    "earthquake": (10, 0.3, 0.12, (0.3, 0.8)),
    "tsunami": (10, 0.65, 0.12, (0.25, 0.65)),
    "wind": (12, 0.75, 0.08, (0.5, 0.95)),
}


def _draw_ruin(stencil: Stencil, building: Building, rng: np.random.Generator) -> None:
    """Draw what is left of a destroyed building: its cover stays "building", its height is gone."""
    disaster, outline = stencil.surface.scene.disaster, building.outline()
    roof = np.asarray(building.roof)

    def lay(size: float, color: Tint, *, alpha: float = 1.0, height: float | None = None) -> None:
        cover = None if height is None else "building"
        stencil.polygon(_scaled(outline, size), color, alpha=alpha, cover=cover, height=height)

    if disaster == "earthquake":
        lay(1.2, (0.52, 0.49, 0.45), alpha=0.6)
        lay(1.0, 0.5 * roof + 0.5 * np.array((0.50, 0.47, 0.43)), alpha=0.9, height=1.0)
    elif disaster == "wildfire":
        ash = rng.uniform(0.45, 0.75)
        lay(1.35, (0.13, 0.12, 0.11), alpha=0.8)
        lay(1.0, (0.20, 0.18, 0.17), height=0.6)
        lay(0.88, (ash, ash, ash * 0.97), alpha=0.9)
    elif disaster == "wind":
        lay(1.0, (0.62, 0.57, 0.50), alpha=0.95, height=0.3)
    elif disaster == "tsunami":
        lay(0.95, (0.60, 0.56, 0.50), alpha=0.65, height=0.2)
    elif disaster == "flooding":  # the ridge still shows above the water
        lay(0.6, roof * 0.75, height=1.0)
    elif min(building.length, building.width) * stencil.scale > 3:  # a hump remains in the lava
        lay(0.8, (0.17, 0.16, 0.16), alpha=0.5, height=1.0)
    if disaster in _RUBBLE:
        _scatter(stencil, building, rng, *_RUBBLE[disaster])


def _draw_damage(
    stencil: Stencil, building: Building, moment: Moment, rng: np.random.Generator
) -> None:
    """Open part of a roof: holes, tarpaulins, rubble, by disaster and level 2 or 3."""
    disaster, extent = stencil.surface.scene.disaster, building.damage - 1
    lean = moment.lean() * building.height
    middle = building.center + lean
    if disaster == "wind":
        _tear_roof(stencil, building, rng, middle=middle, extent=extent, tarps=0.3)
    elif disaster == "tsunami":
        _tear_roof(stencil, building, rng, middle=middle, extent=extent - 1)
    elif disaster == "earthquake" and extent == 2:  # a corner has come down
        outline, number = building.outline(), int(rng.integers(4))
        before, corner, after = (outline[k % len(outline)] for k in range(number - 1, number + 2))
        part = [0.5 * (corner + after), corner, 0.5 * (corner + before), outline.mean(0)]
        stencil.polygon(np.array(part) + lean, (0.45, 0.42, 0.38))
    elif disaster == "wildfire":
        hole = rng.normal(0, 0.15 * building.width, 2) + building.center + lean
        stencil.spot(hole, 0.24 * building.width * extent, (0.14, 0.12, 0.11), alpha=0.85)
    elif disaster == "volcano" and extent == 2:  # the roof sags under the ash
        stencil.spot(middle, 0.3 * building.width, (0.28, 0.26, 0.25), alpha=0.8)
    if disaster in _SPLINTERS:
        count, *pieces = _SPLINTERS[disaster]
        _scatter(stencil, building, rng, count * extent, *pieces)


def _tear_roof(
    stencil: Stencil,
    building: Building,
    rng: np.random.Generator,
    *,
    middle: np.ndarray,
    extent: int,
    tarps: float = 0.0,
) -> None:
    """Leave holes in a roof, a share of them under blue tarpaulins."""
    for _ in range(2 * extent):
        size = (building.length, building.width)
        center = rng.uniform(-0.3, 0.3, 2) * size
        half = rng.uniform(0.10, 0.2, 2) * size * extent
        tarp = rng.uniform() < tarps
        color = np.array((0.24, 0.36, 0.58) if tarp else (0.28, 0.23, 0.19)) * rng.uniform(0.8, 1.3)
        hole = turned(SQUARE * half + center, building.angle) + middle
        stencil.polygon(hole, color)


def _scatter(
    stencil: Stencil, building: Building, rng: np.random.Generator, *pieces: int | float | tuple
) -> None:
    """Throw slabs around a building; see ``_RUBBLE``."""
    count, spread, size, tones = pieces
    unit = min(building.length, building.width)
    if unit * stencil.scale < 2:
        count = min(count, 6)
    centers = rng.normal(0, spread * unit, (count, 2)) + building.center
    halves = rng.uniform(0.3, 1.0, count) * size * unit * 0.5
    turns = rng.uniform(0, np.pi, count)
    shades, warm = rng.uniform(*tones, count), rng.uniform(0.8, 1.0, count)
    stretch = rng.uniform(0.3, 1.0, count)
    slabs = zip(centers, halves, turns, shades, warm, stretch, strict=True)
    for center, half, turn, shade, blue, thin in slabs:
        a = np.array((np.cos(turn), np.sin(turn))) * half * 1.5
        b = np.array((-a[1], a[0])) * thin
        slab = np.stack([a + b, b - a, -a - b, a - b]) + center
        stencil.polygon(slab, (shade, shade * 0.97, shade * blue))
