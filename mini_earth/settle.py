"""Lay out settlements: streets, lots, houses, drives and parked cars."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mini_earth.scene import STRUCTURES, Building, Patch, Road, Scene, Vehicle
from mini_earth.shapes import Frame
from mini_earth.styles import Color, Region, Style

Line = Sequence[float] | np.ndarray

_LOT_SCALE = {"dense_residential": 0.78, "medium_residential": 1.2, "sparse_residential": 2.1}
_KEEP = {"dense_residential": 0.95, "medium_residential": 0.85, "sparse_residential": 0.7}
_ROOF_SHAPES = ("gable", "hip", "flat")
_CAR_COLORS = (
    (0.86, 0.86, 0.87),
    (0.78, 0.78, 0.80),
    (0.14, 0.14, 0.15),
    (0.34, 0.35, 0.37),
    (0.42, 0.12, 0.11),
    (0.16, 0.22, 0.38),
)


def box(
    frame: Frame, u: tuple[float, float], v: tuple[float, float], color: Color, cover: str
) -> Patch:
    """Make a rectangle of ground in a frame's coordinates, in meters."""
    return Patch(line(frame, [u[0], u[1], u[1], u[0]], [v[0], v[0], v[1], v[1]]), color, cover)


def line(frame: Frame, u: Line, v: Line) -> np.ndarray:
    """Turn a line in a frame's coordinates into points (k, 2)."""
    return np.stack(frame.to_world(np.asarray(u), np.asarray(v)), 1)


def park(
    rng: np.random.Generator,
    frame: Frame,
    u: np.ndarray,
    v: np.ndarray,
    *,
    turn: float = 0.0,
    share: float | None = None,
) -> tuple[Vehicle, ...]:
    """Put cars on places (u, v), or on a random ``share`` of them, turned from u by an angle."""
    if share is not None:
        taken = rng.uniform(size=u.size) < share
        u, v = u[taken], v[taken]
    x, y = frame.to_world(u, v)
    angle = frame.heading(u) + turn
    colors = rng.integers(len(_CAR_COLORS), size=x.size)
    lengths = rng.uniform(3.9, 5.0, x.size)
    return tuple(
        Vehicle("car", x[i], y[i], angle[i], lengths[i], _CAR_COLORS[colors[i]])
        for i in range(x.size)
    )


def draw_lots(
    rng: np.random.Generator, scene_class: str, style: Style, *, extent: float
) -> tuple[float, float]:
    """Draw a settlement's lot: its width along the street and its depth, in meters."""
    if scene_class == "industrial_area":
        width = min(rng.uniform(30, 60), extent / 3.0)
    else:
        width = rng.uniform(*style.region.lot_meters) * _LOT_SCALE.get(scene_class, 1.0)
    width = max(width, extent / 16 if extent <= 800 else extent / 11)
    return float(width), float(width * rng.uniform(0.95, 1.4))


def settle(rng: np.random.Generator, scene: Scene) -> Scene:
    """Lay streets along the frame's u and build on the lots at both sides of them."""
    (width, depth), frame, extent = scene.lots, scene.frame, scene.extent
    factory = scene.scene_class == "industrial_area"
    street = rng.uniform(4.5, 7.5) * (1.6 if factory else 1.0)
    across = 2 * depth + street
    along = width * int(rng.integers(4, 9))
    rows = _steps(extent, across)
    row, u, side = (
        grid.ravel()
        for grid in np.meshgrid(rows, (_steps(extent, width)[:-1] + 0.5) * width, (-1.0, 1.0))
    )
    house = _house_sizes(rng, scene, num=u.size)
    free = scene.style.region.irregular if not factory else 0.05
    setback = (depth - house[1]) * rng.uniform(0.25, 0.45, u.size) * (1 + free * 0.5)
    u = u + rng.normal(0, 0.05 + 0.16 * free, u.size) * width
    v = row * across + side * (street / 2 + setback + house[1] / 2)
    x, y = frame.to_world(u, v)
    gap = np.abs((u + along / 2) % along - along / 2)
    keep = rng.uniform(size=u.size) < _KEEP.get(scene.scene_class, 0.9) - 0.12 * free
    keep &= gap > street / 2 + house[0] / 2 + 1
    keep &= _is_buildable(scene, x, y)
    row, u, v, x, y, side, house = (part[..., keep] for part in (row, u, v, x, y, side, house))
    angle = frame.heading(u) + np.where(side < 0, np.pi, 0)
    angle = angle + rng.normal(0, 0.02 + 0.25 * free**2, u.size)
    bodies = np.stack([x, y, house[0], house[1], angle, house[2]])
    buildings = _build(rng, scene.style.region, bodies, factory=factory)
    roads = _streets(rng, scene, rows * across, width=street)
    roads += _streets(rng, scene, _steps(extent, along) * along, width=street, is_cross=True)
    scene = replace(scene, roads=roads, buildings=buildings)
    if extent > 700:
        return scene
    inner = row * across + side * street / 2, v - side * house[1] / 2
    patches = _yards(rng, scene, u, inner=inner, house=house, factory=factory)
    return replace(scene, patches=patches, vehicles=_parked(rng, frame, u, inner[0] - side * 1.4))


def _steps(extent: float, size: float) -> np.ndarray:
    """Return the whole numbers of steps of ``size`` meters from the middle beyond the square."""
    return np.arange(-np.ceil(0.8 * extent / size), np.ceil(0.8 * extent / size) + 1)


def _house_sizes(rng: np.random.Generator, scene: Scene, *, num: int) -> np.ndarray:
    """Return length, width and height (3, num) in meters."""
    width = scene.lots[0]
    if scene.scene_class == "industrial_area":
        length = width * rng.uniform(0.55, 0.85, num)
        return np.stack([length, length * rng.uniform(0.5, 1.0, num), rng.uniform(6, 12, num)])
    length = np.minimum(rng.uniform(*scene.style.region.house_meters, num), 0.85 * width)
    length = np.maximum(length, 0.35 * width)
    return np.stack([length, length * rng.uniform(0.6, 0.95, num), rng.uniform(3, 7.5, num)])


def _is_buildable(scene: Scene, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    at = x.astype(np.float32), y.astype(np.float32)
    free = (x > 0) & (x < scene.extent) & (y > 0) & (y < scene.extent)
    if scene.water is not None:
        free &= scene.water.depth(*at) < (-18.0 if scene.water.kind == "sea" else -8.0)
    return free if scene.built is None else free & (scene.built(*at) > -0.4)


def _build(
    rng: np.random.Generator, region: Region, bodies: np.ndarray, *, factory: bool
) -> tuple[Building, ...]:
    """Build on places x and y, with length, width, angle and height (6, n) as given."""
    n = bodies.shape[1]
    shape = rng.choice(3, size=n, p=(0.2, 0.0, 0.8) if factory else region.roof_kinds)
    has_wing = rng.uniform(size=n) < 0.3 * (1 - region.irregular)
    wing = np.where(has_wing, rng.uniform(0.15, 0.5, n), 0)
    roofs = np.asarray(region.roofs)[rng.integers(len(region.roofs), size=n)]
    if factory:
        roofs = 0.5 * roofs + 0.5 * rng.uniform(0.45, 0.85, (n, 1))
    roofs = np.clip(roofs * rng.uniform(0.75, 1.2, (n, 1)), 0, 1)
    structure = rng.choice(3, size=n, p=(0.1, 0.3, 0.6) if factory else region.structures)
    columns = (bodies.T, shape, wing, roofs, structure, rng.uniform(size=n))
    return tuple(
        Building(*body, _ROOF_SHAPES[kind], wing, tuple(roof), STRUCTURES[made_of], strength)
        for body, kind, wing, roof, made_of, strength in zip(
            *(column.tolist() for column in columns), strict=True
        )
    )


def _streets(
    rng: np.random.Generator,
    scene: Scene,
    offsets: np.ndarray,
    *,
    width: float,
    is_cross: bool = False,
) -> tuple[Road, ...]:
    """Lay streets along u, or across it, where the settlement is."""
    along = np.linspace(-0.8 * scene.extent, 0.8 * scene.extent, 25)
    roads = []
    for offset in offsets:
        level = np.full_like(along, offset)
        points = line(scene.frame, *((level, along) if is_cross else (along, level)))
        inside = np.ones(along.size, bool)
        if scene.built is not None and offset != 0:
            inside = scene.built(*np.ascontiguousarray(points.T, np.float32)) > -0.6
        size = width * rng.uniform(0.8, 1.1)
        cuts = np.flatnonzero(np.diff(inside.astype(int))) + 1
        for part in np.split(np.arange(along.size), cuts):
            if inside[part[0]] and part.size > 1:
                roads.append(Road(points[part], size, 1, paved=rng.uniform() > 0.1))
    return tuple(roads)


def _yards(
    rng: np.random.Generator,
    scene: Scene,
    u: np.ndarray,
    *,
    inner: tuple[np.ndarray, np.ndarray],
    house: np.ndarray,
    factory: bool,
) -> tuple[Patch, ...]:
    """Pave drives from street to house, yards around factories, and dig a few pools."""
    patches, frame, (start, end) = [], scene.frame, inner
    outward, order = np.sign(end - start), 1 - scene.style.region.irregular
    drives = rng.uniform(size=u.size) < (1.0 if factory else 0.75 * order)
    pools = rng.uniform(size=u.size) < 0.12 * order * (not factory)
    shades = rng.uniform(0.5, 0.72, u.size)
    for i in np.flatnonzero(drives | pools):
        gray = (shades[i], shades[i] * 0.98, shades[i] * 0.94)
        if factory:
            half, far = house[0, i] * 0.62, end[i] + outward[i] * house[1, i] * 1.12
            yard = box(frame, (u[i] - half, u[i] + half), (start[i], far), gray, "developed")
            patches.append(yard)
        elif drives[i]:
            at = u[i] + 0.3 * house[0, i]
            drive = box(frame, (at - 1.5, at + 1.5), (start[i], end[i]), gray, "developed")
            patches.append(drive)
        if pools[i]:
            back = end[i] + outward[i] * (house[1, i] * 1.1 + 3.0)
            far = back + outward[i] * 3.5
            pool = box(frame, (u[i] - 4.5, u[i] + 1.5), (back, far), (0.25, 0.62, 0.70), "water")
            patches.append(pool)
    return tuple(patches)


def _parked(
    rng: np.random.Generator, frame: Frame, u: np.ndarray, v: np.ndarray
) -> tuple[Vehicle, ...]:
    """Park cars along the streets."""
    some = np.flatnonzero(rng.uniform(size=u.size) < 0.45)[:150]
    return park(rng, frame, u[some] + rng.uniform(-4, 4, some.size), v[some])
