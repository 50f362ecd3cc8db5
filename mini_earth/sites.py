"""Lay out single sites: airports, bridges, freeways, harbors, car parks, tank farms."""

import numpy as np

from mini_earth.scene import Building, Patch, Road, Vehicle
from mini_earth.settle import CAR_COLORS, Site
from mini_earth.shapes import Frame, Water
from mini_earth.styles import Style

_ASPHALT = (0.36, 0.36, 0.37)
_CONCRETE = (0.62, 0.60, 0.56)
_PAINT = (0.86, 0.86, 0.84)


def box(
    frame: Frame, u: tuple[float, float], v: tuple[float, float], color: tuple, cover: str
) -> Patch:
    """Make a rectangle of ground in a frame's coordinates, in meters."""
    x, y = frame.to_world(np.array([u[0], u[1], u[1], u[0]]), np.array([v[0], v[0], v[1], v[1]]))
    return Patch(np.stack([x, y], 1), color, cover)


def line(frame: Frame, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Turn a line in a frame's coordinates into points (k, 2)."""
    return np.stack(frame.to_world(u, v), 1)


def cars_in_rows(
    rng: np.random.Generator,
    frame: Frame,
    u: np.ndarray,
    v: np.ndarray,
    *,
    turn: float = 0.0,
    share: float = 1.0,
) -> tuple[Vehicle, ...]:
    """Put a car on a ``share`` of the given places (u, v)."""
    taken = rng.uniform(size=u.size) < share
    x, y = frame.to_world(u[taken], v[taken])
    angle = frame.heading(u[taken]) + turn
    colors = rng.integers(len(CAR_COLORS), size=x.size)
    lengths = rng.uniform(3.9, 5.0, x.size)
    return tuple(
        Vehicle("car", x[i], y[i], angle[i], lengths[i], CAR_COLORS[colors[i]])
        for i in range(x.size)
    )


def lay_freeway(rng: np.random.Generator, frame: Frame, extent: float) -> Site:
    """Two carriageways of two to four lanes, with traffic; sometimes a road above them."""
    reach, lanes = 0.8 * extent, int(rng.integers(2, 5))
    u = np.linspace(-reach, reach, 25)
    width = (3.6 * lanes + 3.0) * max(1.0, extent / 500)
    roads, vehicles = [], []
    for side in (-0.58, 0.58):
        v = np.full_like(u, side * width)
        roads.append(Road(line(frame, u, v), width, lanes))
        places = rng.uniform(-reach, reach, min(60, int(lanes * extent / 28)))
        lane = (rng.integers(lanes, size=places.size) - (lanes - 1) / 2) * 3.6
        vehicles += cars_in_rows(rng, frame, places, side * width + lane)
    if rng.uniform() < 0.3:
        at = rng.uniform(-0.3, 0.3) * extent
        over = line(frame, np.full(2, at), np.array([-reach, reach]))
        roads.append(Road(over, rng.uniform(7, 11), 2, height=6.0))
    return Site(tuple(roads), (), (), tuple(vehicles) if extent < 400 else ())


def lay_bridge(rng: np.random.Generator, water: Water, extent: float) -> Site:
    """Carry a road straight over the water."""
    across = Frame(water.frame.x, water.frame.y, water.frame.angle + np.pi / 2 + rng.normal(0, 0.1))
    u = np.linspace(-0.8 * extent, 0.8 * extent, 9)
    lanes = int(rng.integers(2, 5))
    width = (3.5 * lanes + 3.0) * max(1.0, extent / 400)
    road = Road(line(across, u, np.zeros_like(u)), width, lanes, height=max(5.0, width / 3))
    places = rng.uniform(-0.5, 0.5, int(rng.integers(2, 14))) * extent
    cars = cars_in_rows(rng, across, places, rng.choice([-0.25, 0.25], places.size) * width)
    return Site((road,), (), (), cars if extent < 400 else ())


def lay_runway(rng: np.random.Generator, frame: Frame, extent: float) -> Site:
    """Lay a strip with its center line, edge lines and threshold bars."""
    width, reach = rng.uniform(30, 55) * max(1.0, extent / 300), 0.8 * extent
    half, end = width / 2, rng.uniform(-0.3, 0.3) * extent
    patches = [box(frame, (-reach, reach), (-half, half), _ASPHALT, "road")]
    for start in np.arange(-reach, reach, max(50.0, extent / 14)):
        patches.append(box(frame, (start, start + 30), (-0.5, 0.5), _PAINT, "road"))
    for side in (-1, 1):
        edge = side * (half - 2.0)
        patches.append(box(frame, (-reach, reach), (edge - 0.4, edge + 0.4), _PAINT, "road"))
        for bar in range(5):
            v = side * (3.0 + bar * (half - 6) / 5)
            patches.append(box(frame, (end, end + 28), (v, v + side * 1.8), _PAINT, "road"))
    taxi = half + rng.uniform(40, 90)
    if rng.uniform() < 0.6:
        patches.append(box(frame, (-reach, reach), (taxi, taxi + 18), _CONCRETE, "road"))
        patches.append(box(frame, (end + 40, end + 58), (half, taxi), _CONCRETE, "road"))
    return Site((), tuple(patches))


def lay_airport(rng: np.random.Generator, frame: Frame, extent: float) -> Site:
    """Lay an apron with a terminal and parked planes, a taxiway, and the runway beyond."""
    scale = max(1.0, extent / 450)
    strip = lay_runway(rng, Frame(*frame.to_world(0.0, 0.42 * extent), frame.angle), extent)
    length, depth = 0.36 * extent, min(70.0 * scale, 0.2 * extent)
    patches = [
        box(frame, (-length, length), (-0.12 * extent, 0.2 * extent), _CONCRETE, "developed")
    ]
    patches.append(
        box(frame, (-0.8 * extent, 0.8 * extent), (0.14 * extent, 0.2 * extent), _ASPHALT, "road")
    )
    x, y = frame.to_world(0.0, -0.12 * extent - depth * 0.25)
    shade = rng.uniform(0.6, 0.85)
    hall = Building(
        float(x), float(y), 1.3 * length, depth * 0.5, frame.angle, 12.0, "flat", 0.0,
        (shade, shade, shade * 0.98), "concrete", 0.8,
    )  # fmt: skip
    span = rng.uniform(28, 42) * scale
    places = np.arange(-length + span / 2, length - span / 2, span * 1.15)
    places = places[rng.uniform(size=places.size) < 0.8]
    px, py = frame.to_world(places, np.full_like(places, -0.12 * extent + 0.62 * span))
    planes = tuple(
        Vehicle("plane", px[i], py[i], frame.angle - np.pi / 2, span * 0.9, (0.9, 0.9, 0.91))
        for i in range(places.size)
    )
    return Site((), (*strip.patches, *patches), (hall,), planes)


def lay_harbor(rng: np.random.Generator, water: Water, extent: float) -> Site:
    """Piers into the sea with boats at both sides, and a quay with sheds."""
    frame = Frame(water.frame.x, water.frame.y, water.frame.angle)
    length = min(rng.uniform(0.3, 0.5) * extent, 140.0 * max(1.0, extent / 300))
    boat = rng.uniform(9, 15) * max(1.0, extent / 350)
    step = 3.2 * boat
    patches = [box(frame, (-extent, extent), (-0.14 * extent, 1.5), _CONCRETE, "developed")]
    boats = []
    for at in np.arange(-0.8 * extent, 0.8 * extent, step) + rng.uniform(0, step):
        patches.append(
            box(frame, (at - 1.2, at + 1.2), (0.0, length), (0.66, 0.62, 0.55), "developed")
        )
        for side in (-1, 1):
            v = np.arange(0.6 * boat, length, boat * 0.42)
            v = v[rng.uniform(size=v.size) < 0.85]
            x, y = frame.to_world(np.full_like(v, at + side * (1.6 + boat / 2)), v)
            shades = rng.uniform(0.72, 0.95, v.size)
            sizes = boat * rng.uniform(0.7, 1.0, v.size)
            turn = frame.angle + (0.0 if side > 0 else np.pi)
            inside = (x > -boat) & (x < extent + boat) & (y > -boat) & (y < extent + boat)
            boats += [
                Vehicle(
                    "boat", x[i], y[i], turn, sizes[i], (shades[i], shades[i], shades[i] * 0.98)
                )
                for i in np.flatnonzero(inside)
            ]
    return Site((), tuple(patches), (), tuple(boats[:220]))


def lay_parking(rng: np.random.Generator, frame: Frame, extent: float) -> Site:
    """Rows of stalls, two to an aisle, most of them taken."""
    half_u, half_v = extent * rng.uniform(0.34, 0.7), extent * rng.uniform(0.34, 0.7)
    stall = max(1.0, extent / 160)
    shade = rng.uniform(0.8, 1.25)
    color = tuple(shade * part for part in _ASPHALT)
    patches = [box(frame, (-half_u, half_u), (-half_v, half_v), color, "developed")]
    rows, cars = np.arange(-half_v + 4, half_v - 4, 17.0 * stall), []
    share = rng.uniform(0.35, 0.95)
    for row in rows:
        for v in (row, row + 5.2 * stall):
            u = np.arange(-half_u + 2, half_u - 2, 2.7 * stall)
            cars += cars_in_rows(rng, frame, u, np.full_like(u, v), turn=np.pi / 2, share=share)
        mid = row + 2.6 * stall
        patches.append(box(frame, (-half_u, half_u), (mid - 0.1, mid + 0.1), _PAINT, "developed"))
    grown = [
        Vehicle(car.kind, car.x, car.y, car.angle, car.length * stall, car.color)
        for car in cars
        if -5 < car.x < extent + 5 and -5 < car.y < extent + 5
    ]
    return Site((), tuple(patches), (), tuple(grown[:700]))


def lay_tanks(rng: np.random.Generator, style: Style, frame: Frame, extent: float) -> Site:
    """Set up a farm of round tanks on a grid, each in its bund."""
    diameter = rng.uniform(14, 38) * max(1.0, extent / 300)
    step = diameter * rng.uniform(1.35, 1.8)
    reach = int(rng.integers(1, 3)) * step
    steps = np.arange(-reach, reach + 1, step)
    u, v = (grid.ravel() for grid in np.meshgrid(steps, steps))
    keep = rng.uniform(size=u.size) < 0.85
    x, y = frame.to_world(u[keep], v[keep])
    soil = style.region.soil[0]
    edge = reach + 0.8 * step
    patches = [box(frame, (-edge, edge), (-edge, edge), soil, "developed")]
    sizes = diameter * rng.choice([1.0, 1.0, 0.7], x.size)
    shade = rng.uniform(0.6, 0.92)
    tanks = tuple(
        Building(
            x[i], y[i], sizes[i], sizes[i], 0.0, 0.45 * diameter, "tank", 0.0,
            (shade, shade, shade * rng.uniform(0.94, 1.0)), "concrete", rng.uniform(),
        )
        for i in range(x.size)
    )  # fmt: skip
    u = np.linspace(-0.8 * extent, 0.8 * extent, 2)
    road = Road(line(frame, u, np.full_like(u, edge + 4)), 6.0, 1)
    return Site((road,), tuple(patches), tanks)
