"""Draw what people built: roads, patches of pavement, vehicles, and whole buildings."""

from collections.abc import Sequence

import numpy as np

from mini_earth.moment import Moment
from mini_earth.scene import Building, Road, Vehicle
from mini_earth.shapes import turned
from mini_earth.surface import Stencil, Surface

Corners = Sequence[tuple]

_MARKING = (0.84, 0.84, 0.80)
_SKY = 0.4  # share of light that does not depend on a roof's slope


def draw_roads(stencil: Stencil, *, above: bool) -> None:
    """Draw roads with shoulders and markings; ``above`` draws the bridges, else the others."""
    scene = stencil.surface.scene
    tints = np.random.default_rng(scene.seed + 14).uniform(0.85, 1.15, len(scene.roads) + 1)
    for road, tint in zip(scene.roads, tints[1:] if len(tints) > 1 else (), strict=True):
        if (road.height > 0) == above:
            _draw_road(stencil, road, 0.5 * (tint + tints[0]))


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
    normal = _normals(road.points)
    lane = road.width / road.lanes
    if road.lanes > 1:
        for side in (-0.46, 0.46):
            edge = road.points + normal * side * road.width
            stencil.line(edge, _MARKING, width=0.2, alpha=0.6)
    if lane * stencil.scale < 5 and road.lanes > 1:
        return
    for number in range(1, road.lanes):
        offset = (number - road.lanes / 2) * lane
        _dash(stencil, road.points + normal * offset)
    if road.lanes == 1 and road.width > 6 and pixels > 12:
        _dash(stencil, road.points)


def _normals(points: np.ndarray) -> np.ndarray:
    along = np.gradient(points, axis=0)
    along = along / (np.linalg.norm(along, axis=1, keepdims=True) + 1e-9)
    return np.stack([-along[:, 1], along[:, 0]], 1)


def _dash(stencil: Stencil, points: np.ndarray) -> None:
    """Draw 3 m of paint every 9 m."""
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    at = np.concatenate([[0.0], np.cumsum(steps)])
    starts = np.arange(0, at[-1] - 3.0, 9.0)
    ends = [
        np.stack([np.interp(s, at, points[:, k]) for k in (0, 1)], 1) for s in (starts, starts + 3)
    ]
    for start, end in zip(*ends, strict=True):
        stencil.line([tuple(start), tuple(end)], _MARKING, width=0.2, alpha=0.65)


def draw_patches(stencil: Stencil) -> None:
    """Draw aprons, car parks, piers, drives and pools."""
    for patch in stencil.surface.scene.patches:
        stencil.polygon(patch.points, patch.color, cover=patch.cover)


def draw_vehicles(
    stencil: Stencil, rng: np.random.Generator, *, gone: np.ndarray | None = None
) -> None:
    """Draw cars, boats and planes that show; traffic moves, so each acquisition loses some.

    Args:
        stencil: to draw on.
        rng: says which cars are there today.
        gone: share in [0, 1] of the ground that a disaster has swept, on the canvas.
    """
    vehicles = stencil.surface.scene.vehicles
    here = rng.uniform(size=len(vehicles))
    for vehicle, luck in zip(vehicles, here, strict=True):
        if vehicle.length * stencil.scale < 1.3 or (vehicle.kind == "car" and luck < 0.3):
            continue
        if gone is not None and luck < _value_at(stencil.surface, gone, vehicle.x, vehicle.y):
            continue
        if vehicle.kind == "plane":
            _draw_plane(stencil, vehicle)
        else:
            _draw_hull(stencil, vehicle)


def _value_at(surface: Surface, values: np.ndarray, x: float, y: float) -> float:
    n = surface.canvas.num_pixels
    row, column = (min(n - 1, max(0, int(part / surface.canvas.meters))) for part in (y, x))
    return float(values[row, column])


def _placed(vehicle: Vehicle, outline: Corners) -> np.ndarray:
    return turned(np.array(outline) * vehicle.length, vehicle.angle) + np.array(
        (vehicle.x, vehicle.y)
    )


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


def roof_outline(building: Building, moment: Moment) -> np.ndarray:
    """Return the roof's corners (k, 2) in meters as the camera sees them: leaning with height."""
    return building.outline() + moment.lean() * building.height


def draw_building(stencil: Stencil, building: Building, moment: Moment) -> None:
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
    color = roof * (
        1.0 if building.shape in ("flat", "tank") else _lit(building, moment, (0.0, 0.0))
    )
    stencil.polygon(top, color, cover="building", height=building.height)
    if building.shape == "tank":
        inner = (top - top.mean(0)) * 0.86 + top.mean(0)
        stencil.polygon(inner, roof * 0.92)
    elif building.shape == "flat":
        _draw_flat(stencil, building, lean, roof)
    else:
        _draw_pitched(stencil, building, lean, moment)


def _to_meters(building: Building, local: Corners, lean: np.ndarray) -> np.ndarray:
    """Turn roof coordinates, in which the main body is [-1, 1]^2, into meters."""
    half = np.array(local) * (building.length / 2, building.width / 2)
    return turned(half, building.angle) + building.center + lean


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
        stencil.polygon(_to_meters(building, corners, lean), lit)


def _draw_flat(stencil: Stencil, building: Building, lean: np.ndarray, roof: np.ndarray) -> None:
    """Draw a parapet, and the machines on a large roof."""
    if building.width * stencil.scale < 7:
        return
    rim = 1.0 - 1.2 / building.width
    stencil.polygon(
        _to_meters(building, [(-rim, -rim), (rim, -rim), (rim, rim), (-rim, rim)], lean),
        roof * 0.88,
    )
    if building.length > 18:
        rng = np.random.default_rng(int(building.strength * 1e6))
        for u, v in rng.uniform(-0.7, 0.7, (int(building.length / 6), 2)):
            half = (1.2 / building.length, 1.2 / building.width)
            machine = [
                (u + a * half[0], v + b * half[1]) for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))
            ]
            stencil.polygon(
                _to_meters(building, machine, lean), roof * 0.7 + 0.2, height=building.height + 1.5
            )
