"""Checks of notebook 06: what accuracy hides, the size of a pixel, leaks, xView2's damage score."""

import json
import math
import operator
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from course_utils.checks.judging import Hint, Mistakes, check, compare, judge, number, run, tell
from course_utils.xbd.footprints import METERS_PER_DEGREE

# buildings after the event: no damage, minor, major, destroyed; and un-classified
_COUNTS, _NUM_UNCLASSIFIED = np.array([313_033, 36_860, 29_904, 31_560]), 14_011
_OUTLINES = (  # in pixels
    ((100, 120), (180, 120), (180, 160), (100, 160)),
    ((500, 300), (560, 300), (560, 390), (530, 390), (530, 340), (500, 340)),
    ((810, 700), (880, 720), (860, 790), (790, 770)),
)
_KM_PER_DEGREE = METERS_PER_DEGREE / 1000
_PLACES = {"portugal-wildfire": (-8.1, 39.9), "palu-tsunami": (119.9, -0.9)}
_MANY = 1000  # far more pairs than there are


def always_no_damage(num_others=0):
    """Score that answer, with more buildings that are none of it: (accuracy, macro_f1)."""
    accuracy = _COUNTS[0] / (_COUNTS.sum() + num_others)
    f1 = 2 * accuracy / (accuracy + 1)  # precision is the accuracy, recall 1; the others have 0
    return float(accuracy), float(f1 / 4)


def _macro_f1_mistakes(answered: float) -> Mistakes:
    (accuracy, right), (_, mixed) = always_no_damage(), always_no_damage(_NUM_UNCLASSIFIED)
    yield "recall", 1 / 4
    yield "precision", accuracy / 4
    yield "one_class", 4 * right
    yield "weighted", 4 * right * accuracy
    yield "same", answered
    yield "five_classes", mixed, 0.8 * right, 0.8 * mixed


@check(always_no_damage())
def check_06_ex1(value: Any) -> None:
    """Check ``(accuracy, macro_f1)`` of always answering "no damage" on xBD.

    The buildings with a grade are 313,033 undamaged, 36,860 minor, 29,904 major and 31,560
    destroyed ones; macro F1 is the mean of the four F1 = 2 tp / (2 tp + fp + fn).

    Args:
        value: ``(accuracy, macro_f1)``, as shares.
    """

    def is_close(a: float, b: float) -> bool:  # right answers of three digits differ by less
        return abs(a - b) < 0.0015

    def signs() -> Iterator[tuple[str, bool]]:
        yield "percent", max(answer) > 1.5
        yield "no_share", max(answer) > 1 or min(answer) < 0
        yield "swapped", all(map(is_close, answer[::-1], right))
        yield "unclassified", is_close(answer[0], always_no_damage(_NUM_UNCLASSIFIED)[0])
        yield "accuracy", not is_close(answer[0], right[0])

    try:
        parts = [] if isinstance(value, str | bytes | dict | set) else list(islice(value, 3))
    except TypeError:
        parts = []
    tell([("two_numbers", len(parts) != 2)])
    answer, right = [number(part) for part in parts], always_no_damage()
    tell(signs())
    other = "digits" if abs(answer[1] - right[1]) < 0.006 else "macro_f1"
    judge(answer[1], right[1], _macro_f1_mistakes(answer[0]), same=is_close, otherwise=other)


@dataclass(frozen=True)
class _Case:
    """A place where a learner's function is tried."""

    latitude: float  # degrees
    meters_per_pixel: float
    gsd: float
    pan_resolution: float


_PIXELS = (_Case(4.0, 0.40, 2.12, 0.53), _Case(61.0, 0.58, 2.48, 0.62))


def meters_per_pixel(label_path):
    """Compare how far a building reaches north in degrees and in pixels."""
    features = json.loads(label_path.read_text())["features"]
    reach = {}
    for key in ("lng_lat", "xy"):
        ring = features[key][0]["wkt"].removeprefix("POLYGON ((").removesuffix("))")
        ys = [float(corner.split()[1]) for corner in ring.split(", ")]
        reach[key] = max(ys) - min(ys)
    return 111_195 * reach["lng_lat"] / reach["xy"]


def _size_signs(sizes: list[float], right: list[float]) -> Iterator[tuple[str, bool]]:
    """Recognise answers by what they are in both files, near the equator and in the north."""
    low, high = map(operator.truediv, sizes, right)
    yield "gsd", all(map(_fits, sizes, [case.gsd for case in _PIXELS]))
    yield "pan_resolution", all(map(_fits, sizes, [case.pan_resolution for case in _PIXELS]))
    yield "inverse", all(_fits(a * b, 1.0) for a, b in zip(sizes, right, strict=True))
    yield "degrees", min(sizes) > 0 and max(sizes) < 5e-5
    yield "constant", sizes[0] == sizes[1]
    yield "kilometers", 0.5e-3 < low < 1.5e-3
    confused = [abs(math.cos(case.latitude)) / _cos(case.latitude) for case in _PIXELS]
    yield "radians", min(sizes) <= 0 or (_fits(low, confused[0]) and _fits(high, confused[1]))
    if _fits(low, 1.0):
        shrink = _cos(_PIXELS[1].latitude)
        yield "divided", _fits(high, 1 / shrink**2)
        yield "cosine", 1.03 < high < 1.1 / shrink
        yield "shrunk", 0.9 * shrink < high < 0.97


@check(meters_per_pixel)
def check_06_ex2(value: Any) -> None:
    """Check ``meters_per_pixel(label_path) -> float``, the size of a pixel, within 3 %.

    A label file gives each building in degrees (``features.lng_lat``) and in pixels
    (``features.xy``). A degree of latitude is 111.2 km, one of longitude that times cos(latitude).
    It is tried on two label files of known size, near the equator and in the north; their ``gsd``
    and ``pan_resolution`` are not that size.

    Args:
        value: the function; ``label_path`` is a ``pathlib.Path``.
    """
    with tempfile.TemporaryDirectory() as folder:
        paths = [_write_label(Path(folder), case, index) for index, case in enumerate(_PIXELS)]
        sizes = [number(run(value, path, watch=False)) for path in paths]
    right = [case.meters_per_pixel for case in _PIXELS]
    fits = list(map(_fits, sizes, right))
    if not all(fits):
        tell(_size_signs(sizes, right), size=f"{sizes[0]:.4g}")
        i = fits.index(False)
        raise Hint("value", size=f"{sizes[i]:.4g}", latitude=_PIXELS[i].latitude, right=right[i])


def _fits(value: float, other: float) -> bool:
    return abs(value - other) <= 0.03 * abs(other)  # spheres and ellipsoids differ by less


def _cos(degrees: float) -> float:
    return math.cos(math.radians(degrees))


def _write_label(folder: Path, case: _Case, index: int) -> Path:
    """Write a label file in xBD's layout whose pixels have a known size."""
    per_pixel = case.meters_per_pixel / METERS_PER_DEGREE
    features = {"lng_lat": [], "xy": []}
    for building, outline in enumerate(_OUTLINES):
        degrees = [
            (20 + x * per_pixel / _cos(case.latitude), case.latitude - y * per_pixel)
            for x, y in outline
        ]
        properties = {"feature_type": "building", "uid": f"00000000-0000-0000-0000-{building:012d}"}
        for key, points in (("lng_lat", degrees), ("xy", outline)):
            ring = ", ".join(f"{x!r} {y!r}" for x, y in (*points, points[0]))
            features[key].append({"properties": properties, "wkt": f"POLYGON (({ring}))"})
    name = f"exercise_{index:08d}_pre_disaster"
    metadata = {"sensor": "GEOEYE01", "gsd": case.gsd, "pan_resolution": case.pan_resolution}
    metadata |= {"capture_date": "2018-01-01T10:00:00.000Z", "off_nadir_angle": 12.5}
    metadata |= {"disaster": "exercise", "disaster_type": "fire", "img_name": f"{name}.png"}
    metadata |= {key: 1024 for key in ("width", "height", "original_width", "original_height")}
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"features": features, "metadata": metadata}), encoding="utf-8")
    return path


@dataclass(frozen=True)
class Tile:
    """A tile as `check_06_ex3` hands it to a learner's function.

    >>> Tile("moore-tornado_00000012", "moore-tornado", longitude=-97.49, latitude=35.34)
    """

    name: str
    event: str
    longitude: float  # degrees east
    latitude: float  # degrees north


Names = set[tuple[str, str]]  # of a training tile and a test tile


def leaks(train, test):
    """Find pairs of one event that are less than 2 km apart."""

    def near(a, b):
        latitude = math.radians((a.latitude + b.latitude) / 2)
        east = (a.longitude - b.longitude) * math.cos(latitude)
        return 111.195 * math.hypot(east, a.latitude - b.latitude) < 2

    return [(a, b) for a in train for b in test if a.event == b.event and near(a, b)]


def _km(a: Tile, b: Tile, *, east: Callable = _cos, north: Callable = lambda _: 1.0) -> float:
    """Measure on a plane whose degrees shrink with the latitude."""
    latitude = (a.latitude + b.latitude) / 2
    x, y = east(latitude) * (a.longitude - b.longitude), north(latitude) * (a.latitude - b.latitude)
    return _KM_PER_DEGREE * math.hypot(x, y)


def _leak_mistakes(train: Sequence[Tile], test: Sequence[Tile]) -> Mistakes:
    def find(way: Callable[[Tile, Tile], float], *, any_event: bool = False) -> Names:
        pairs = ((a, b) for a in train for b in test if any_event or a.event == b.event)
        return {(a.name, b.name) for a, b in pairs if way(a, b) < 2}

    ways = {
        "cosine": partial(_km, east=lambda _: 1.0),
        "radians": partial(_km, east=math.cos),
        "swapped": partial(_km, east=lambda _: 1.0, north=_cos),
        "degrees": lambda a, b: math.hypot(a.longitude - b.longitude, a.latitude - b.latitude),
        "distance": lambda a, b: 0.0,
    }
    yield "event", find(_km, any_event=True)
    yield from ((key, find(way)) for key, way in ways.items())
    yield "event", *(find(way, any_event=True) for way in ways.values())
    yield "name", {(tile.name, tile.name) for tile in train if tile in test}
    yield "none", set()


@check(leaks)
def check_06_ex3(value: Any) -> None:
    """Check ``leaks(train, test) -> list[tuple]`` over two lists of `Tile`.

    Every pair of a training tile and a test tile of the same event whose positions are less than
    2 km apart, the training tile first. A degree of latitude is 111.2 km, one of longitude that
    times cos(latitude).

    Args:
        value: the function; it may give pairs of tiles or of their names.
    """

    def signs() -> Iterator[tuple[str, bool]]:
        first, second = ({tile.name for tile in part} for part in (train, test))
        yield "unknown", any(not first | second >= set(pair) for pair in pairs)
        yield "order", any(a in second - first and b in first - second for a, b in pairs)
        yield "within", any(a not in first or b not in second for a, b in pairs)

    train, test = _make_tiles()
    found = _as_names(run(value, train, test, watch=False))
    pairs, right = set(found), {(a.name, b.name) for a, b in leaks(train, test)}
    if pairs == right:
        tell([("twice", len(found) > len(pairs))])
        return
    tell(signs())
    tiles = {tile.name: tile for tile in (*train, *test)}
    a, b = min(pairs - right or right - pairs)
    said = {"first": a, "second": b, "km": f"{_km(tiles[a], tiles[b]):.2f}"}
    other = "too_many" if pairs - right else "missing"
    judge(pairs, right, _leak_mistakes(train, test), same=operator.eq, otherwise=other, **said)


def _make_tiles() -> tuple[list[Tile], list[Tile]]:
    """Lay out tiles whose distances are far from the limit, however the Earth is taken."""

    def tile(number: int, event: str, east: float, north: float) -> Tile:
        longitude, latitude = _PLACES.get(event, (-97.5, 35.3))
        east_degrees = east / (_KM_PER_DEGREE * _cos(latitude))
        name = f"{event}_{number:08d}"
        return Tile(name, event, longitude + east_degrees, latitude + north / _KM_PER_DEGREE)

    fire, wind = "portugal-wildfire", "moore-tornado"
    train = [
        tile(1, fire, 0.0, 0.0),
        tile(2, fire, 9.0, 0.0),
        tile(3, fire, 9.9, 0.2),  # beside another training tile, which is no leak
        tile(1, wind, 0.0, 0.0),
        tile(2, wind, 30.0, 5.0),  # in both parts
        tile(1, "palu-tsunami", 0.0, 0.0),
    ]
    test = [
        tile(4, fire, 0.3, 1.2),
        tile(5, fire, -1.75, 0.0),  # over 2 km where longitude is not shrunk
        tile(9, fire, 1.6, 1.6),  # under 2 km east and north, but not together
        tile(6, fire, 0.3, -2.3),  # under 2 km where latitude is shrunk in place of longitude
        tile(8, fire, 2.4, -0.1),  # under 2 km where the cosine takes degrees
        tile(7, fire, 0.0, 340.0),  # over 2 degrees away
        tile(5, "palu-tsunami", -1.7, 0.0),  # at the equator, where a degree is longest
        tile(6, "palu-tsunami", 2.35, 0.0),
        tile(1, "midwest-flooding", 0.4, 0.3),  # beside a tile of another event
        tile(2, wind, 30.0, 5.0),
        tile(3, wind, 3.2, 0.0),
    ]
    return train, test


def _as_names(answer: Any) -> list[tuple[str, str]]:
    """Read a list of pairs of tiles or names."""
    try:
        if isinstance(answer, str | bytes | dict):
            raise TypeError
        pairs = [
            tuple(getattr(item, "name", item) for item in pair) for pair in islice(answer, _MANY)
        ]
    except TypeError as error:
        raise Hint("form") from error
    if not all(len(pair) == 2 and all(isinstance(name, str) for name in pair) for pair in pairs):
        raise Hint("form")
    return pairs


def damage_f1(confusion):
    """Take the harmonic mean of the F1 of the four levels."""
    both = confusion.sum(0) + confusion.sum(1)
    f1 = 2 * np.diag(confusion) / np.maximum(both, 1)
    return 4 / np.sum(1 / (f1 + 1e-6))


def _damage_mistakes(confusion: Int[np.ndarray, "4 4"]) -> Mistakes:
    hits, total, right = np.diag(confusion), confusion.sum(), damage_f1(confusion)
    predicted, true = confusion.sum(0), confusion.sum(1)
    precision, recall, f1 = hits / predicted, hits / true, 2 * hits / (predicted + true)
    yield "arithmetic", f1.mean()
    yield "accuracy", hits.sum() / total
    yield "precision", precision.mean(), 4 / (1 / precision).sum()
    yield "recall", recall.mean(), 4 / (1 / recall).sum()
    yield "weighted", f1 @ true / total
    yield "four", right / 4
    yield "percent", 100 * right
    yield "damaged_only", 3 / (1 / f1[1:]).sum()
    yield "sum", f1.sum()


@check(damage_f1)
def check_06_ex4(value: Any) -> None:
    """Check ``damage_f1(confusion) -> float``, xView2's score: 4 / sum_i 1 / (F1_i + 1e-6).

    F1_i is 2 tp / (2 tp + fp + fn) of level i, and 0 for a level without any true positive.

    Args:
        value: the function. ``confusion`` is int (4, 4), rows true, columns predicted, pixels.

    Source:
        DIUx-xView/xView2_scoring, ``xview2_metrics.py``.
    """

    def say(answer: float, right: float, _: np.ndarray) -> dict[str, object]:
        return {"score": f"{answer:.4g}", "right": f"{right:.4f}"}

    options = {"watch": False, "same": partial(math.isclose, rel_tol=1e-3), "say": say}
    typical = np.array([[900, 40, 20, 5], [60, 90, 30, 2], [20, 50, 130, 25], [8, 4, 30, 260]])
    compare(value, [(typical,)], damage_f1, _damage_mistakes, **options)
    missed, absent = typical.copy(), typical.copy()
    missed[1] = [140, 0, 40, 2]  # minor damage is answered, but never where it is
    absent[1], absent[:, 1] = 0, 0  # neither there nor answered
    for confusion, key in ((missed, "epsilon"), (absent, "absent")):
        try:
            compare(value, [(confusion,)], damage_f1, lambda _: (), **options)
        except Hint as hint:
            raise Hint(key) from hint
