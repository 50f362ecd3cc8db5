"""Lay out settlements: streets, lots, houses, drives and parked cars."""

from dataclasses import dataclass

import numpy as np

from mini_earth.scene import STRUCTURES, Building, Patch, Road, Vehicle
from mini_earth.shapes import Frame, Water, Waves
from mini_earth.styles import Style

_LOT_SCALE = {"dense_residential": 0.78, "medium_residential": 1.2, "sparse_residential": 2.1}
_KEEP = {"dense_residential": 0.95, "medium_residential": 0.85, "sparse_residential": 0.7}
_ROOF_SHAPES = ("gable", "hip", "flat")
CAR_COLORS = (
    (0.86, 0.86, 0.87),
    (0.78, 0.78, 0.80),
    (0.14, 0.14, 0.15),
    (0.34, 0.35, 0.37),
    (0.42, 0.12, 0.11),
    (0.16, 0.22, 0.38),
)


@dataclass(frozen=True)
class Site:
    """What is built on a piece of land, before a disaster."""

    roads: tuple[Road, ...] = ()
    patches: tuple[Patch, ...] = ()
    buildings: tuple[Building, ...] = ()
    vehicles: tuple[Vehicle, ...] = ()


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


def settle(
    rng: np.random.Generator,
    scene_class: str,
    style: Style,
    *,
    frame: Frame,
    extent: float,
    lots: tuple[float, float],
    built: Waves | None,
    water: Water | None,
) -> Site:
    """Lay streets along the frame's u and build on the lots at both sides of them."""
    (width, depth), factory = lots, scene_class == "industrial_area"
    street = rng.uniform(4.5, 7.5) * (1.6 if factory else 1.0)
    across = 2 * depth + street
    along = width * int(rng.integers(4, 9))
    rows = np.arange(-np.ceil(0.8 * extent / across), np.ceil(0.8 * extent / across) + 1)
    u, v, side, row = _lot_centers(rows, across=across, width=width, extent=extent)
    house = _house_sizes(rng, scene_class, style, num=u.size, width=width)
    free = style.region.irregular if not factory else 0.05
    setback = (depth - house[1]) * rng.uniform(0.25, 0.45, u.size) * (1 + free * 0.5)
    u = u + rng.normal(0, 0.05 + 0.16 * free, u.size) * width
    v = row * across + side * (street / 2 + setback + house[1] / 2)
    x, y = frame.to_world(u, v)
    gap = np.abs((u + along / 2) % along - along / 2)
    keep = rng.uniform(size=u.size) < _KEEP.get(scene_class, 0.9) - 0.12 * free
    keep &= gap > street / 2 + house[0] / 2 + 1
    keep &= _is_buildable(x, y, extent=extent, water=water, built=built)
    u, v, x, y, side, house = u[keep], v[keep], x[keep], y[keep], side[keep], house[:, keep]
    angle = frame.heading(u) + np.where(side < 0, np.pi, 0)
    angle = angle + rng.normal(0, 0.02 + 0.25 * free**2, u.size)
    buildings = _build(rng, style, x, y, house=house, angle=angle, factory=factory)
    roads = _streets(rng, frame, rows * across, extent=extent, width=street, built=built)
    cross = np.arange(-np.ceil(0.8 * extent / along), np.ceil(0.8 * extent / along) + 1) * along
    roads += _streets(rng, frame, cross, extent=extent, width=street, built=built, is_cross=True)
    if extent > 700:
        return Site(roads, (), buildings, ())
    inner = row[keep] * across + side * street / 2, v - side * house[1] / 2
    patches = _yards(rng, style, frame, u, inner=inner, house=house, factory=factory)
    vehicles = _parked(rng, frame, u, inner[0] - side * 1.4)
    return Site(roads, patches, buildings, vehicles)


def _lot_centers(
    rows: np.ndarray, *, across: float, width: float, extent: float
) -> tuple[np.ndarray, ...]:
    steps = (np.arange(-np.ceil(0.8 * extent / width), np.ceil(0.8 * extent / width)) + 0.5) * width
    row, u, side = (grid.ravel() for grid in np.meshgrid(rows, steps, (-1.0, 1.0)))
    return u, row * across, side, row


def _house_sizes(
    rng: np.random.Generator, scene_class: str, style: Style, *, num: int, width: float
) -> np.ndarray:
    """Return length, width and height (3, num) in meters."""
    if scene_class == "industrial_area":
        length = width * rng.uniform(0.55, 0.85, num)
        return np.stack([length, length * rng.uniform(0.5, 1.0, num), rng.uniform(6, 12, num)])
    length = np.minimum(rng.uniform(*style.region.house_meters, num), 0.85 * width)
    length = np.maximum(length, 0.35 * width)
    return np.stack([length, length * rng.uniform(0.6, 0.95, num), rng.uniform(3, 7.5, num)])


def _is_buildable(
    x: np.ndarray, y: np.ndarray, *, extent: float, water: Water | None, built: Waves | None
) -> np.ndarray:
    at = x.astype(np.float32), y.astype(np.float32)
    dry = (x > 0) & (x < extent) & (y > 0) & (y < extent)
    if water is not None:
        dry &= water.depth(*at) < (-18.0 if water.kind == "sea" else -8.0)
    return dry if built is None else dry & (built(*at) > -0.4)


def _build(
    rng: np.random.Generator,
    style: Style,
    x: np.ndarray,
    y: np.ndarray,
    *,
    house: np.ndarray,
    angle: np.ndarray,
    factory: bool,
) -> tuple[Building, ...]:
    region, n = style.region, x.size
    kinds = (0.2, 0.0, 0.8) if factory else region.roof_kinds
    shape = rng.choice(3, size=n, p=kinds)
    wing = np.where(
        rng.uniform(size=n) < 0.3 * (1 - region.irregular), rng.uniform(0.15, 0.5, n), 0
    )
    roofs = np.asarray(region.roofs)[rng.integers(len(region.roofs), size=n)]
    if factory:
        roofs = 0.5 * roofs + 0.5 * rng.uniform(0.45, 0.85, (n, 1))
    roofs = np.clip(roofs * rng.uniform(0.75, 1.2, (n, 1)), 0, 1)
    structure = rng.choice(3, size=n, p=(0.1, 0.3, 0.6) if factory else region.structures)
    strength = rng.uniform(size=n)
    columns = (x, y, house[0], house[1], angle, house[2], shape, wing, roofs, structure, strength)
    return tuple(
        Building(*row[:6], _ROOF_SHAPES[row[6]], row[7], tuple(row[8]), STRUCTURES[row[9]], row[10])
        for row in zip(*(column.tolist() for column in columns), strict=True)
    )


def _streets(
    rng: np.random.Generator,
    frame: Frame,
    offsets: np.ndarray,
    *,
    extent: float,
    width: float,
    built: Waves | None,
    is_cross: bool = False,
) -> tuple[Road, ...]:
    line = np.linspace(-0.8 * extent, 0.8 * extent, 25)
    roads = []
    for offset in offsets:
        level = np.full_like(line, offset)
        x, y = frame.to_world(*((level, line) if is_cross else (line, level)))
        inside = np.ones(line.size, bool)
        if built is not None and offset != 0:
            inside = built(x.astype(np.float32), y.astype(np.float32)) > -0.6
        size = width * rng.uniform(0.8, 1.1)
        cuts = np.flatnonzero(np.diff(inside.astype(int))) + 1
        for part in np.split(np.arange(line.size), cuts):
            if inside[part[0]] and part.size > 1:
                points = np.stack([x[part], y[part]], 1)
                roads.append(Road(points, size, 1, paved=rng.uniform() > 0.1))
    return tuple(roads)


def _yards(
    rng: np.random.Generator,
    style: Style,
    frame: Frame,
    u: np.ndarray,
    *,
    inner: tuple[np.ndarray, np.ndarray],
    house: np.ndarray,
    factory: bool,
) -> tuple[Patch, ...]:
    """Pave drives from street to house, yards around factories, and dig a few pools."""
    patches = []
    start, end = inner
    outward = np.sign(end - start)
    drives = rng.uniform(size=u.size) < (1.0 if factory else 0.75 * (1 - style.region.irregular))
    pools = rng.uniform(size=u.size) < 0.12 * (1 - style.region.irregular) * (not factory)
    shades = rng.uniform(0.5, 0.72, u.size)
    for i in np.flatnonzero(drives | pools):
        gray = (shades[i], shades[i] * 0.98, shades[i] * 0.94)
        if factory:
            half, far = house[0, i] * 0.62, end[i] + outward[i] * house[1, i] * 1.12
            box = (u[i] - half, u[i] + half, start[i], far)
            patches.append(_box(frame, box, gray, "developed"))
        elif drives[i]:
            at = u[i] + 0.3 * house[0, i]
            patches.append(_box(frame, (at - 1.5, at + 1.5, start[i], end[i]), gray, "developed"))
        if pools[i]:
            back = end[i] + outward[i] * (house[1, i] * 1.1 + 3.0)
            box = (u[i] - 4.5, u[i] + 1.5, back, back + outward[i] * 3.5)
            patches.append(_box(frame, box, (0.25, 0.62, 0.70), "water"))
    return tuple(patches)


def _box(frame: Frame, box: tuple[float, ...], color: tuple, cover: str) -> Patch:
    left, right, low, high = box
    x, y = frame.to_world(np.array([left, right, right, left]), np.array([low, low, high, high]))
    return Patch(np.stack([x, y], 1), tuple(map(float, color)), cover)


def _parked(
    rng: np.random.Generator, frame: Frame, u: np.ndarray, v: np.ndarray
) -> tuple[Vehicle, ...]:
    """Park cars along the streets."""
    some = np.flatnonzero(rng.uniform(size=u.size) < 0.45)[:150]
    along = u[some] + rng.uniform(-4, 4, some.size)
    x, y = frame.to_world(along, v[some])
    angle = frame.heading(along)
    colors = rng.integers(len(CAR_COLORS), size=some.size)
    return tuple(
        Vehicle("car", x[i], y[i], angle[i], rng.uniform(3.9, 5.0), CAR_COLORS[colors[i]])
        for i in range(some.size)
    )
