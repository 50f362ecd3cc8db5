"""Lay out single sites: airports, bridges, freeways, harbors, car parks, tank farms, tracks."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mini_earth.scene import Building, Road, Scene, Vehicle
from mini_earth.settle import box, line, park
from mini_earth.shapes import Frame

_ASPHALT = (0.36, 0.36, 0.37)
_CONCRETE = (0.62, 0.60, 0.56)
_PAINT = (0.86, 0.86, 0.84)
_PIER = (0.66, 0.62, 0.55)


def lay_freeway(rng: np.random.Generator, scene: Scene) -> Scene:
    """Lay two carriageways of two to four lanes, with traffic; sometimes a road above them."""
    frame, extent = scene.frame, scene.extent
    reach, lanes = 0.8 * extent, int(rng.integers(2, 5))
    u = np.linspace(-reach, reach, 25)
    width = (3.6 * lanes + 3.0) * max(1.0, extent / 500)
    roads, vehicles = [], []
    for side in (-0.58, 0.58):
        roads.append(Road(line(frame, u, np.full_like(u, side * width)), width, lanes))
        places = rng.uniform(-reach, reach, min(60, int(lanes * extent / 28)))
        lane = (rng.integers(lanes, size=places.size) - (lanes - 1) / 2) * 3.6
        vehicles += park(rng, frame, places, side * width + lane, share=1.0)
    if rng.uniform() < 0.3:
        over = line(frame, np.full(2, rng.uniform(-0.3, 0.3) * extent), [-reach, reach])
        roads.append(Road(over, rng.uniform(7, 11), 2, height=6.0))
    return replace(scene, roads=tuple(roads), vehicles=tuple(vehicles) if extent < 400 else ())


def lay_bridge(rng: np.random.Generator, scene: Scene) -> Scene:
    """Carry a road straight over the water."""
    river, extent = scene.water.frame, scene.extent
    across = Frame(river.x, river.y, river.angle + np.pi / 2 + rng.normal(0, 0.1))
    u = np.linspace(-0.8 * extent, 0.8 * extent, 9)
    lanes = int(rng.integers(2, 5))
    width = (3.5 * lanes + 3.0) * max(1.0, extent / 400)
    road = Road(line(across, u, np.zeros_like(u)), width, lanes, height=max(5.0, width / 3))
    places = rng.uniform(-0.5, 0.5, int(rng.integers(2, 14))) * extent
    lane = rng.choice([-0.25, 0.25], places.size) * width
    cars = park(rng, across, places, lane, share=1.0)
    return replace(scene, roads=(road,), vehicles=cars if extent < 400 else ())


def lay_runway(rng: np.random.Generator, scene: Scene) -> Scene:
    """Lay a strip with its center line, edge lines and threshold bars."""
    frame, extent = scene.frame.straight(), scene.extent
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
    return replace(scene, patches=tuple(patches))


def lay_airport(rng: np.random.Generator, scene: Scene) -> Scene:
    """Lay an apron with a terminal and parked planes, a taxiway, and the runway beyond."""
    frame, extent = scene.frame.straight(), scene.extent
    scale = max(1.0, extent / 450)
    beyond = Frame(*frame.to_world(0.0, 0.42 * extent), frame.angle)
    strip = lay_runway(rng, replace(scene, frame=beyond)).patches
    length, depth, edge = 0.36 * extent, min(70.0 * scale, 0.2 * extent), -0.12 * extent
    taxiway = (0.14 * extent, 0.2 * extent)
    patches = (
        box(frame, (-length, length), (edge, 0.2 * extent), _CONCRETE, "developed"),
        box(frame, (-0.8 * extent, 0.8 * extent), taxiway, _ASPHALT, "road"),
    )
    x, y = frame.to_world(0.0, edge - depth * 0.25)
    shade = rng.uniform(0.6, 0.85)
    hall = Building(
        float(x), float(y), 1.3 * length, depth * 0.5, frame.angle, 12.0, "flat", 0.0,
        (shade, shade, shade * 0.98), "concrete", 0.8,
    )  # fmt: skip
    span = rng.uniform(28, 42) * scale
    places = np.arange(-length + span / 2, length - span / 2, span * 1.15)
    places = places[rng.uniform(size=places.size) < 0.8]
    planes = tuple(
        Vehicle("plane", *at, frame.angle - np.pi / 2, span * 0.9, (0.9, 0.9, 0.91))
        for at in line(frame, places, np.full_like(places, edge + 0.62 * span))
    )
    return replace(scene, patches=(*strip, *patches), buildings=(hall,), vehicles=planes)


def lay_harbor(rng: np.random.Generator, scene: Scene) -> Scene:
    """Lay piers into the sea with boats at both sides, and a quay."""
    frame, extent = scene.water.frame, scene.extent
    length = min(rng.uniform(0.3, 0.5) * extent, 140.0 * max(1.0, extent / 300))
    boat = rng.uniform(9, 15) * max(1.0, extent / 350)
    step = 3.2 * boat
    patches = [box(frame, (-extent, extent), (-0.14 * extent, 1.5), _CONCRETE, "developed")]
    boats = []
    for at in np.arange(-0.8 * extent, 0.8 * extent, step) + rng.uniform(0, step):
        patches.append(box(frame, (at - 1.2, at + 1.2), (0.0, length), _PIER, "developed"))
        for side in (-1, 1):
            v = np.arange(0.6 * boat, length, boat * 0.42)
            v = v[rng.uniform(size=v.size) < 0.85]
            places = line(frame, np.full_like(v, at + side * (1.6 + boat / 2)), v)
            shades = rng.uniform(0.72, 0.95, v.size)
            sizes = boat * rng.uniform(0.7, 1.0, v.size)
            turn = frame.angle + (0.0 if side > 0 else np.pi)
            boats += [
                Vehicle("boat", x, y, turn, size, (shade, shade, shade * 0.98))
                for (x, y), size, shade in zip(places, sizes, shades, strict=True)
                if -boat < x < extent + boat and -boat < y < extent + boat
            ]
    return replace(scene, patches=tuple(patches), vehicles=tuple(boats[:220]))


def lay_parking(rng: np.random.Generator, scene: Scene) -> Scene:
    """Lay rows of stalls, two to an aisle, most of them taken."""
    frame, extent = scene.frame.straight(), scene.extent
    half_u, half_v = extent * rng.uniform(0.34, 0.7), extent * rng.uniform(0.34, 0.7)
    stall = max(1.0, extent / 160)
    shade = rng.uniform(0.8, 1.25)
    color = tuple(shade * part for part in _ASPHALT)
    patches, cars = [box(frame, (-half_u, half_u), (-half_v, half_v), color, "developed")], []
    share = rng.uniform(0.35, 0.95)
    for row in np.arange(-half_v + 4, half_v - 4, 17.0 * stall):
        for v in (row, row + 5.2 * stall):
            u = np.arange(-half_u + 2, half_u - 2, 2.7 * stall)
            cars += park(rng, frame, u, np.full_like(u, v), turn=np.pi / 2, share=share)
        mid = row + 2.6 * stall
        patches.append(box(frame, (-half_u, half_u), (mid - 0.1, mid + 0.1), _PAINT, "developed"))
    grown = [
        replace(car, length=car.length * stall)
        for car in cars
        if -5 < car.x < extent + 5 and -5 < car.y < extent + 5
    ]
    return replace(scene, patches=tuple(patches), vehicles=tuple(grown[:700]))


def lay_tanks(rng: np.random.Generator, scene: Scene) -> Scene:
    """Set up a farm of round tanks on a grid, each in its bund."""
    frame, extent, soil = scene.frame.straight(), scene.extent, scene.style.region.soil[0]
    diameter = rng.uniform(14, 38) * max(1.0, extent / 300)
    step = diameter * rng.uniform(1.35, 1.8)
    reach = int(rng.integers(1, 3)) * step
    steps = np.arange(-reach, reach + 1, step)
    u, v = (grid.ravel() for grid in np.meshgrid(steps, steps))
    keep = rng.uniform(size=u.size) < 0.85
    places = line(frame, u[keep], v[keep])
    edge = reach + 0.8 * step
    sizes = diameter * rng.choice([1.0, 1.0, 0.7], len(places))
    shade = rng.uniform(0.6, 0.92)
    tanks = tuple(
        Building(
            x, y, size, size, 0.0, 0.45 * diameter, "tank", 0.0,
            (shade, shade, shade * rng.uniform(0.94, 1.0)), "concrete", rng.uniform(),
        )
        for (x, y), size in zip(places, sizes, strict=True)
    )  # fmt: skip
    road = Road(line(frame, [-0.8 * extent, 0.8 * extent], [edge + 4, edge + 4]), 6.0, 1)
    ground = box(frame, (-edge, edge), (-edge, edge), soil, "developed")
    return replace(scene, roads=(road,), patches=(ground,), buildings=tanks)


def lay_track(rng: np.random.Generator, scene: Scene) -> Scene:
    """Lead a small road through open land, now and then."""
    if rng.uniform() >= 0.3 or scene.scene_class in ("desert", "mountain"):
        return scene
    u = np.linspace(-0.8 * scene.extent, 0.8 * scene.extent, 25)
    v = np.full_like(u, rng.uniform(-0.4, 0.4) * scene.extent)
    paved = rng.uniform() < 0.5
    road = Road(line(scene.frame, u, v), rng.uniform(3.0, 6.0), 1, paved=paved)
    return replace(scene, roads=(road,))


SITES: dict[str, Callable[[np.random.Generator, Scene], Scene]] = {
    "airport": lay_airport,
    "bridge": lay_bridge,
    "freeway": lay_freeway,
    "harbor": lay_harbor,
    "parking_lot": lay_parking,
    "runway": lay_runway,
    "storage_tank": lay_tanks,
}
