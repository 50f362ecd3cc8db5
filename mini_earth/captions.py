"""Say what a view shows: in short captions, and thing by thing, also when the image is turned."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mini_earth import words
from mini_earth.camera import Moment
from mini_earth.scene import SETTLEMENTS, Building, Road, Scene
from mini_earth.shapes import Frame
from mini_earth.surface import COVER

_NUM_WORDS = (20, 40)  # of a long caption
_FRAMES = ("{}", "{sensor} of {}", "{} seen from above", "an overhead view of {}")


def describe(scene: Scene, moment: Moment, rng: np.random.Generator, *, post: bool) -> str:
    """Compose an English caption; region and season words come in some of them."""
    place = _pick(rng, words.SCENE_PHRASES[scene.scene_class])
    said = place
    if scene.disaster and post:
        event = _pick(rng, words.DISASTER_PHRASES[scene.disaster])
        after = _pick(rng, words.AFTERMATHS[scene.disaster])
        options = (
            f"{place} after {event}",
            f"a place damaged by {event}",
            f"{after} after {event}",
            f"{place} damaged by {event} with {after}",
        )
        said = _pick(rng, options)
    elif scene.disaster:
        said = _pick(rng, (f"{place} before a disaster", f"{place} without damage", place))
    sensor = _pick(rng, words.SENSORS[scene.style.sensor.name])
    caption = _pick(rng, _FRAMES).replace("{sensor}", sensor).format(said)
    if rng.uniform() < 0.3:
        caption += f" {_in_region(scene)}"
    if rng.uniform() < 0.2:
        caption += f", {moment.season}"
    return caption + (" with snow" if moment.snow > 0.5 and rng.uniform() < 0.7 else "")


def describe_zh(scene: Scene, moment: Moment, rng: np.random.Generator, *, post: bool) -> str:
    """Compose a Chinese caption."""
    place = _pick(rng, words.SCENE_PHRASES_ZH[scene.scene_class])
    said = place
    if scene.disaster and post:
        event = _pick(rng, words.DISASTER_PHRASES_ZH[scene.disaster])
        after = words.AFTERMATHS_ZH[scene.disaster]
        said = _pick(rng, (f"{event}之后的{place}", f"遭受{event}的{place}，{after}"))
    elif scene.disaster:
        said = f"灾前的{place}"
    if rng.uniform() < 0.3:
        region = words.REGIONS_ZH[scene.style.region.name]
        said = f"{region}{words.SEASONS_ZH[moment.season]}，{said}"
    sensor = words.SENSORS_ZH[scene.style.sensor.name]
    return _pick(rng, (f"{sensor}：{said}", said, f"从空中俯瞰：{said}"))


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def _in_region(scene: Scene) -> str:
    region = scene.style.region.name
    return f"in {'an' if region[0] in 'aeiou' else 'a'} {region} region"


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

    The generator draws which of them are said, the first ones more often; fewer than 20 words
    come out if the sights hold no more.
    """
    most = int(rng.integers(_NUM_WORDS[0] + 8, _NUM_WORDS[1] + 1))
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

    ``cover`` (h, w) holds codes of ``LAND_COVER`` as it is on the day.
    """
    shown = [b for b in scene.buildings if 0 < b.x < scene.extent and 0 < b.y < scene.extent]
    return (
        *_built_lines(scene),
        *_land_lines(scene, cover),
        *_water(scene, cover),
        *_roofs(scene, shown),
        *_vehicles(scene),
        *(_losses(scene, shown) if post and shown else ()),
        *_green(scene, moment, cover),
        *_light(scene, moment),
    )


def _angle_of(x: float, y: float) -> float:
    """Return the direction of a vector (x right, y down) in degrees, counterclockwise as seen."""
    return float(np.degrees(np.arctan2(-y, x)))


def _along(text: str, frame: Frame, *, turn: float = 0.0) -> Sight:
    """Say how a frame's u axis runs, or one turned from it by an angle in radians."""
    angle = frame.angle + turn
    return Sight(text, _angle_of(np.cos(angle), np.sin(angle)), is_line=True)


def _line(text: str, points: np.ndarray) -> Sight:
    return Sight(text, _angle_of(*(points[-1] - points[0])), is_line=True)


def _inside(points: np.ndarray, extent: float) -> np.ndarray:
    return points[((points >= 0) & (points <= extent)).all(axis=1)]


def _resampled(road: Road, extent: float) -> np.ndarray:
    """Return points along the part of a road that shows, evenly, in meters."""
    at, index = np.linspace(0, len(road.points) - 1, 200), np.arange(len(road.points))
    return _inside(np.stack([np.interp(at, index, part) for part in road.points.T], 1), extent)


def _bend(points: np.ndarray) -> str:
    """Call a line straight where it leaves its chord by less than a fiftieth of its length."""
    chord = points[-1] - points[0]
    length = float(np.hypot(*chord))
    off = np.abs(chord[0] * (points[:, 1] - points[0, 1]) - chord[1] * (points - points[0])[:, 0])
    return "straight" if length and off.max() / length < 0.02 * length else "curved"


def _built_lines(scene: Scene) -> Iterator[Sight]:
    """Say how the roads run, or the strips, piers and rows that people laid."""
    kind, frame = scene.scene_class, scene.frame
    shown = [(road, _resampled(road, scene.extent)) for road in scene.roads]
    shown = [(road, points) for road, points in shown if len(points) > 20]
    if kind in SETTLEMENTS:
        if shown:
            yield _along(f"{'curved' if frame.bend else 'straight'} streets run {{}}", frame)
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
        yield _along("the straight runway lies {}", frame)
        if kind == "airport":
            yield Sight("the long roof of a terminal is parallel to it")
    elif kind == "parking_lot":
        yield _along("rows of parked cars run {}", frame)
    elif kind == "harbor":
        yield _along("narrow piers reach out {}", scene.water.frame, turn=np.pi / 2)
    else:
        for road, points in shown:
            what = "paved road" if road.paved else "dirt track"
            yield _line(f"a {_bend(points)} {what} runs {{}}", points)


def _land_lines(scene: Scene, cover: np.ndarray) -> Iterator[Sight]:
    """Say how fields, rows of trees and dunes lie."""
    if scene.ground == "fields" and (cover == COVER["agriculture"]).mean() > 0.2:
        yield _along("rectangular fields with edges {}", scene.frame)
    elif scene.ground == "orchard":
        yield _along("rows of trees in blocks run {}", scene.frame)
    elif scene.ground == "circles":
        yield Sight("round fields of different crops side by side")
    elif scene.ground == "dunes":
        yield _along("wavy sand ridges run {}", scene.frame)
    elif scene.ground == "shrubs":
        yield Sight("dark dots of bushes everywhere")
    elif scene.ground == "slopes":
        yield Sight("branching ridges and bare rock")


def _water(scene: Scene, cover: np.ndarray) -> Iterator[Sight]:
    """Say on which side the water lies, or where it flows, and of which kind it is."""
    water, wet = scene.water, cover == COVER["water"]
    share = wet.mean()
    if water is None or share < 0.01:
        yield Sight("no water")
        return
    if water.kind in ("river", "canal"):
        size = "wide" if share > 0.25 else "narrow" if share < 0.1 else "broad"
        kind = "winding river flows" if water.kind == "river" else "straight canal runs"
        yield _along(f"a {size} {kind} {{}}", water.frame)
        return
    y, x = (axis.mean() / len(wet) - 0.5 for axis in np.nonzero(wet))
    much = "most of the image" if share > 0.5 else "part of the image"
    name = {"sea": "sea water", "lake": "a round lake"}[water.kind]
    if np.hypot(x, y) < 0.08:
        yield Sight(f"{name} in the middle covers {much}")
    else:
        yield Sight(f"{name} at {{}} covers {much}", _angle_of(x, y))


def _middle(buildings: Sequence[Building]) -> np.ndarray:
    return np.mean([[getattr(each, axis) for each in buildings] for axis in "xy"], axis=1)


def _roofs(scene: Scene, shown: Sequence[Building]) -> Iterator[Sight]:
    """Say how many roofs there are, of which color, and how they stand."""
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
    x, y = _middle(shown) / scene.extent - 0.5
    if np.hypot(x, y) > 0.12:
        yield Sight("most houses stand at {}", _angle_of(x, y))


def _vehicles(scene: Scene) -> Iterator[Sight]:
    """Say how many planes, boats or cars stand there."""
    kind = {"airport": "plane", "harbor": "boat", "parking_lot": "car"}.get(scene.scene_class)
    places = np.array([(v.x, v.y) for v in scene.vehicles if v.kind == kind]).reshape(-1, 2)
    if num := len(_inside(places, scene.extent)):
        yield Sight(f"{words.number(num)} {kind}{'s' if num > 1 else ''} side by side")


def _losses(scene: Scene, shown: Sequence[Building]) -> Iterator[Sight]:
    """Say how many buildings are damaged, and where the worst of it is."""
    damaged = [b for b in shown if b.damage > 2]
    share = len(damaged) / len(shown)
    much = "all" if share > 0.95 else "most" if share > 0.5 else "some" if share > 0 else "none"
    yield Sight(f"{much} of the houses are badly damaged")
    yield Sight(words.AFTERMATHS[scene.disaster][scene.seed % 2])
    if damaged and share < 0.8:
        x, y = _middle(damaged) - _middle(shown)
        if np.hypot(x, y) > 0.1 * scene.extent:
            yield Sight("the worst damage is at {}", _angle_of(x, y))


def _green(scene: Scene, moment: Moment, cover: np.ndarray) -> Iterator[Sight]:
    """Say how many trees there are and what color the ground between has."""
    trees = (cover == COVER["tree"]).mean()
    names = ("no trees", "few trees", "scattered trees", "many trees", "dense trees")
    yield Sight(names[int(np.searchsorted((0.003, 0.06, 0.25, 0.6), trees))])
    if moment.snow > 0.5:
        yield Sight("white snow on the ground")
    elif (cover == COVER["rangeland"]).mean() > 0.15:
        yield Sight("dry yellow grass" if moment.dryness > 0.55 else "green grass")
    elif (cover == COVER["bareland"]).mean() > 0.3:
        color = words.color(np.mean(scene.style.region.soil, axis=0))
        yield Sight(f"bare {color} soil")


def _light(scene: Scene, moment: Moment) -> Iterator[Sight]:
    """Say where shadows fall, what the air is like, the season and the region."""
    length = "short" if moment.sun_elevation > 55 else "long"
    yield Sight(f"{length} shadows fall to {{}}", _angle_of(*moment.shadow()))
    if moment.cloud > 0:
        yield Sight("white clouds hide part of it")
    yield Sight("hazy pale light" if moment.haze > 0.1 else "clear light")
    yield Sight(moment.season)
    yield Sight(_in_region(scene))
