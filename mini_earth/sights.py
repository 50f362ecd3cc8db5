"""What there is to see in a view, thing by thing, and how it is said when the image is turned."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mini_earth import words
from mini_earth.camera import Moment
from mini_earth.scene import LAND_COVER, SETTLEMENTS, Road, Scene
from mini_earth.shapes import Water

NUM_WORDS = (20, 40)  # of a long caption


@dataclass(frozen=True)
class Sight:
    """One thing to be said of an image.

    ``text`` has ``{}`` where a direction goes, if it has one. ``angle`` is that direction in
    degrees, counterclockwise from the right of the image; ``is_line`` tells that it has two ends.
    """

    text: str
    angle: float | None = None
    is_line: bool = False

    def turned(self, *, quarter_turns: int, is_mirrored: bool) -> "Sight":
        """Say the same of the image turned counterclockwise, then mirrored left to right."""
        if self.angle is None:
            return self
        angle = self.angle + 90 * quarter_turns
        return replace(self, angle=180 - angle if is_mirrored else angle)

    def said(self) -> str:
        """Put the direction into words."""
        if self.angle is None:
            return self.text
        options = words.LINES if self.is_line else words.SIDES
        step = (180 if self.is_line else 360) / len(options)
        return self.text.format(options[round(self.angle / step) % len(options)])


def long_caption(subject: str, sights: Sequence[Sight], rng: np.random.Generator) -> str:
    """Say what an image shows in 20 to 40 words: its subject, then some sights in their order.

    Args:
        subject: a short caption, which comes first.
        sights: of the image; fewer words than 20 come out if they hold no more.
        rng: draws which of them are said, the first ones more often.
    """
    most = int(rng.integers(NUM_WORDS[0] + 8, NUM_WORDS[1] + 1))
    left = most - len(subject.split())
    chosen = []
    for index in np.argsort(rng.random(len(sights)) + 0.04 * np.arange(len(sights))):
        said = sights[index].said()
        if said not in subject and len(said.split()) <= left:
            chosen.append((int(index), said))
            left -= len(said.split())
    return ", ".join([subject, *(said for _, said in sorted(chosen))])


def find_sights(
    scene: Scene, moment: Moment, cover: np.ndarray, *, post: bool
) -> tuple[Sight, ...]:
    """List what a view shows: lines, water, roofs, green, light.

    Args:
        scene: what was laid out.
        moment: when and how the view is taken.
        cover: codes of ``LAND_COVER`` (h, w) as it is on the day.
        post: whether the scene's disaster has happened.
    """
    return (
        *_built_lines(scene),
        *_land_lines(scene, cover),
        *_water(scene, cover),
        *_roofs(scene),
        *_vehicles(scene),
        *(_losses(scene) if post else ()),
        *_green(scene, moment, cover),
        *_light(scene, moment),
    )


def angle_of(x: float, y: float) -> float:
    """Return the direction of a vector (x right, y down) in degrees, counterclockwise as seen."""
    return float(np.degrees(np.arctan2(-y, x)))


def _inside(points: np.ndarray, extent: float) -> np.ndarray:
    return points[((points >= 0) & (points <= extent)).all(axis=1)]


def _resampled(road: Road, extent: float) -> np.ndarray:
    """Return points along the part of a road that shows, evenly, in meters."""
    at = np.linspace(0, len(road.points) - 1, 200)
    index = np.arange(len(road.points))
    return _inside(np.stack([np.interp(at, index, road.points[:, k]) for k in (0, 1)], 1), extent)


def _line(text: str, points: np.ndarray) -> Sight:
    return Sight(text, angle_of(*(points[-1] - points[0])), is_line=True)


def _bend(points: np.ndarray) -> str:
    """Call a line straight where it leaves its chord by less than a fiftieth of its length."""
    chord = points[-1] - points[0]
    length = float(np.hypot(*chord))
    off = np.abs(chord[0] * (points[:, 1] - points[0, 1]) - chord[1] * (points - points[0])[:, 0])
    return "straight" if length and off.max() / length < 0.02 * length else "curved"


def _built_lines(scene: Scene) -> Iterator[Sight]:
    """Say how the roads run, or the strips, piers and rows that people laid."""
    extent, kind = scene.extent, scene.scene_class
    along = angle_of(np.cos(scene.frame.angle), np.sin(scene.frame.angle))
    shown = [(road, _resampled(road, extent)) for road in scene.roads]
    shown = [(road, points) for road, points in shown if len(points) > 20]
    if kind in SETTLEMENTS:
        if shown:
            ways = "curved" if scene.frame.bend else "straight"
            yield Sight(f"{ways} streets run {{}}", along, is_line=True)
            paved = np.mean([road.paved for road, _ in shown]) > 0.5
            yield Sight(f"{words.number(len(shown))} {'paved' if paved else 'dirt'} streets")
    elif kind == "freeway":
        for road, points in shown[:1]:
            lanes = words.number(2 * road.lanes)
            yield _line(f"a {_bend(points)} freeway of {lanes} lanes runs {{}}", points)
        if any(road.height > 0 for road in scene.roads):
            yield Sight("a second road crosses above it")
    elif kind == "bridge":
        for _, points in shown[:1]:
            yield _line("the road crosses the water {}", points)
    elif kind in ("runway", "airport"):
        yield Sight("the straight runway lies {}", along, is_line=True)
        if kind == "airport":
            yield Sight("the long roof of a terminal is parallel to it")
    elif kind == "parking_lot":
        yield Sight("rows of parked cars run {}", along, is_line=True)
    elif kind == "harbor":
        water = scene.water.frame.angle + np.pi / 2
        toward = angle_of(np.cos(water), np.sin(water))
        yield Sight("narrow piers reach out {}", toward, is_line=True)
    else:
        for road, points in sorted(shown, key=lambda pair: -len(pair[1]))[:1]:
            what = "paved road" if road.paved else "dirt track"
            yield _line(f"a {_bend(points)} {what} runs {{}}", points)


def _land_lines(scene: Scene, cover: np.ndarray) -> Iterator[Sight]:
    """Say how fields, rows of trees and dunes lie."""
    along = angle_of(np.cos(scene.frame.angle), np.sin(scene.frame.angle))
    if scene.ground == "fields" and (cover == LAND_COVER.index("agriculture")).mean() > 0.2:
        yield Sight("rectangular fields with edges {}", along, is_line=True)
    elif scene.ground == "orchard":
        yield Sight("rows of trees in blocks run {}", along, is_line=True)
    elif scene.ground == "circles":
        yield Sight("round fields of different crops side by side")
    elif scene.ground == "dunes":
        yield Sight("wavy sand ridges run {}", along, is_line=True)
    elif scene.ground == "shrubs":
        yield Sight("dark dots of bushes everywhere")
    elif scene.ground == "slopes":
        yield Sight("branching ridges and bare rock")


def _water(scene: Scene, cover: np.ndarray) -> Iterator[Sight]:
    """Say on which side the water lies, or where it flows, and of which kind it is."""
    water = scene.water
    wet = cover == LAND_COVER.index("water")
    if water is None or wet.mean() < 0.01:
        yield Sight("no water")
        return
    if water.kind in ("river", "canal"):
        share = wet.mean()
        size = "wide" if share > 0.25 else "narrow" if share < 0.1 else "broad"
        yield _flow(water, size)
        return
    y, x = (axis.mean() / len(wet) - 0.5 for axis in np.nonzero(wet))
    much = "most of the image" if wet.mean() > 0.5 else "part of the image"
    name = {"sea": "sea water", "lake": "a round lake"}[water.kind]
    if np.hypot(x, y) < 0.08:
        yield Sight(f"{name} in the middle covers {much}")
    else:
        yield Sight(f"{name} at {{}} covers {much}", angle_of(x, y))


def _flow(water: Water, size: str) -> Sight:
    along = angle_of(np.cos(water.frame.angle), np.sin(water.frame.angle))
    kind = "winding river flows" if water.kind == "river" else "straight canal runs"
    return Sight(f"a {size} {kind} {{}}", along, is_line=True)


def _roofs(scene: Scene) -> Iterator[Sight]:
    """Say how many roofs there are, of which color, and how they stand."""
    shown = [b for b in scene.buildings if 0 < b.x < scene.extent and 0 < b.y < scene.extent]
    if not shown:
        yield Sight("no houses")
    if not shown or (len(shown) == 1 and scene.scene_class == "airport"):
        return
    colors = Counter(words.color(building.roof) for building in shown).most_common(2)
    color = " and ".join(name for name, count in colors if count > 0.25 * len(shown))
    if scene.scene_class == "storage_tank":
        yield Sight(f"{words.number(len(shown))} round {color} tanks in a grid")
        return
    loose = scene.style.region.irregular > 0.4 or scene.scene_class == "sparse_residential"
    way = "scattered" if loose else "in rows"
    size = "large flat" if scene.scene_class == "industrial_area" else "small"
    yield Sight(f"{words.number(len(shown))} {size} {color or 'colorful'} roofs {way}")
    x, y = (np.mean([getattr(b, axis) for b in shown]) / scene.extent - 0.5 for axis in "xy")
    if np.hypot(x, y) > 0.12:
        yield Sight("most houses stand at {}", angle_of(x, y))


def _vehicles(scene: Scene) -> Iterator[Sight]:
    """Say how many planes, boats or cars stand there."""
    kind = {"airport": "plane", "harbor": "boat", "parking_lot": "car"}.get(scene.scene_class)
    places = np.array([(v.x, v.y) for v in scene.vehicles if v.kind == kind]).reshape(-1, 2)
    if num := len(_inside(places, scene.extent)):
        yield Sight(f"{words.number(num)} {kind}{'s' if num > 1 else ''} side by side")


def _losses(scene: Scene) -> Iterator[Sight]:
    """Say how many buildings are damaged, and where the worst of it is."""
    shown = [b for b in scene.buildings if 0 < b.x < scene.extent and 0 < b.y < scene.extent]
    if not shown or not scene.disaster:
        return
    damaged = [b for b in shown if b.damage > 2]
    share = len(damaged) / len(shown)
    much = "all" if share > 0.95 else "most" if share > 0.5 else "some" if share > 0 else "none"
    yield Sight(f"{much} of the houses are badly damaged")
    yield Sight(words.AFTERMATHS[scene.disaster][scene.seed % 2])
    if damaged and share < 0.8:
        x, y = (
            np.mean([getattr(b, axis) for b in damaged])
            - np.mean([getattr(b, axis) for b in shown])
            for axis in "xy"
        )
        if np.hypot(x, y) > 0.1 * scene.extent:
            yield Sight("the worst damage is at {}", angle_of(x, y))


def _green(scene: Scene, moment: Moment, cover: np.ndarray) -> Iterator[Sight]:
    """Say how many trees there are and what color the ground between has."""
    trees = (cover == LAND_COVER.index("tree")).mean()
    names = ("no trees", "few trees", "scattered trees", "many trees", "dense trees")
    yield Sight(names[int(np.searchsorted((0.003, 0.06, 0.25, 0.6), trees))])
    if moment.snow > 0.5:
        yield Sight("white snow on the ground")
    elif (cover == LAND_COVER.index("rangeland")).mean() > 0.15:
        yield Sight("dry yellow grass" if moment.dryness > 0.55 else "green grass")
    elif (cover == LAND_COVER.index("bareland")).mean() > 0.3:
        color = words.color(np.mean(scene.style.region.soil, axis=0))
        yield Sight(f"bare {color} soil")


def _light(scene: Scene, moment: Moment) -> Iterator[Sight]:
    """Say where shadows fall, what the air is like, the season and the region."""
    length = "short" if moment.sun_elevation > 55 else "long"
    yield Sight(f"{length} shadows fall to {{}}", angle_of(*moment.shadow()))
    if moment.cloud > 0:
        yield Sight("white clouds hide part of it")
    yield Sight("hazy pale light" if moment.haze > 0.1 else "clear light")
    yield Sight(moment.season)
    region = scene.style.region.name
    yield Sight(f"in {'an' if region[0] in 'aeiou' else 'a'} {region} region")
