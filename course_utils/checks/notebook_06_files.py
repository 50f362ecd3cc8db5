"""Checks of notebook 06 on label files: the size of a pixel, and what a file says of buildings."""

import json
import math
import operator
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import shapely

from course_utils.checks.judging import Hint, as_asked, check, number, run, tell
from course_utils.xbd.footprints import METERS_PER_DEGREE

_OUTLINES = (  # in pixels
    ((100, 120), (180, 120), (180, 160), (100, 160)),
    ((500, 300), (560, 300), (560, 390), (530, 390), (530, 340), (500, 340)),
    ((810, 700), (880, 720), (860, 790), (790, 770)),
)
_GRADES = {
    "no-damage": 1,
    "minor-damage": 2,
    "major-damage": 3,
    "destroyed": 4,
    "un-classified": 255,
}
_SUBTYPES = ("major-damage", "no-damage", "un-classified", "destroyed", "minor-damage", "no-damage")
_MANY = 1000  # far more buildings than there are


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
    degrees, pixels = (shapely.from_wkt(features[key][0]["wkt"]) for key in ("lng_lat", "xy"))
    (_, south, _, north), (_, top, _, bottom) = degrees.bounds, pixels.bounds
    return 111_195 * (north - south) / (bottom - top)


def _size_signs(sizes: list[float], right: list[float]) -> Iterator[tuple[str, bool]]:
    """Recognise answers by what they are in both files, near the equator and in the north."""
    low, high = map(operator.truediv, sizes, right)
    yield "gsd", all(map(_fits, sizes, [case.gsd for case in _PIXELS]))
    yield "pan_resolution", all(map(_fits, sizes, [case.pan_resolution for case in _PIXELS]))
    yield "inverse", all(_fits(a * b, 1.0) for a, b in zip(sizes, right, strict=True))
    yield "degrees", min(sizes) > 0 and max(sizes) < 5e-5
    yield "constant", sizes[0] == sizes[1]
    yield "kilometers", 0.5e-3 < low < 1.5e-3
    confused = [abs(math.cos(case.latitude)) / cos_of_degrees(case.latitude) for case in _PIXELS]
    yield "radians", min(sizes) <= 0 or (_fits(low, confused[0]) and _fits(high, confused[1]))
    yield "no_root", all(0.9 * r < s / r < 2.2 * r for s, r in zip(sizes, right, strict=True))
    yield "constant_once", 0.9 < low * METERS_PER_DEGREE**0.5 < 1.1
    if _fits(low, 1.0):
        shrink = cos_of_degrees(_PIXELS[1].latitude)
        yield "divided", _fits(high, 1 / shrink**2)
        yield "cosine", 1.03 < high < 1.1 / shrink
        yield "shrunk", 0.9 * shrink < high < 0.97


@check(meters_per_pixel)
def check_06_ex2(value: Any) -> Any:
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
        answers = [run(value, path, watch=False) for path in paths]
    sizes = list(map(number, answers))
    right = [case.meters_per_pixel for case in _PIXELS]
    fits = list(map(_fits, sizes, right))
    if not all(fits):
        tell(_size_signs(sizes, right), size=f"{sizes[0]:.4g}")
        i = fits.index(False)
        raise Hint("value", size=f"{sizes[i]:.4g}", latitude=_PIXELS[i].latitude, right=right[i])
    return as_asked(value, zip(answers, right, strict=True))


def _fits(value: float, other: float) -> bool:
    return abs(value - other) <= 0.03 * abs(other)  # spheres and ellipsoids differ by less


def cos_of_degrees(degrees: float) -> float:
    """Give how much shorter a degree of longitude is at that latitude."""
    return math.cos(math.radians(degrees))


def _write_label(folder: Path, case: _Case, index: int) -> Path:
    """Write a label file in xBD's layout whose pixels have a known size."""
    per_pixel = case.meters_per_pixel / METERS_PER_DEGREE
    features = {"lng_lat": [], "xy": []}
    for building, outline in enumerate(_OUTLINES):
        degrees = [
            (20 + x * per_pixel / cos_of_degrees(case.latitude), case.latitude - y * per_pixel)
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


def read_label(text):
    """Read each building's identifier, grade and outline in pixels."""
    grades = {"no-damage": 1, "minor-damage": 2, "major-damage": 3, "destroyed": 4}
    grades |= {"un-classified": 255, None: 0}
    return [
        (
            building["properties"]["uid"],
            grades[building["properties"].get("subtype")],
            shapely.from_wkt(building["wkt"]),
        )
        for building in json.loads(text)["features"]["xy"]
    ]


@check(read_label)
def check_06_ex5(value: Any) -> None:
    """Check ``read_label(text) -> list`` of (uid, grade, polygon in pixels), one a building.

    The grade is 1 to 4, 255 for un-classified, and 0 in a file from before the disaster, which
    has none. The polygon is shapely's, holes included.

    Args:
        value: the function of the text of a label file.
    """
    for subtypes in (_SUBTYPES, (None,) * len(_SUBTYPES)):
        text = _write_text(subtypes)
        try:
            answer = run(value, text, watch=False)
        except Hint as hint:  # only files from after the disaster have this key
            key = "subtype" if "subtype" in str(hint.values.get("error")) else hint.key
            raise Hint(key, **hint.values) from hint
        _judge_buildings(_as_buildings(answer), read_label(text), json.loads(text)["features"])


def _as_buildings(answer: Any) -> list[tuple]:
    """Read a list of three things a building; a generator would serve only once."""
    tell([("form", not isinstance(answer, list | tuple))])
    try:
        rows = [tuple(row) for row in answer[:_MANY]]
    except TypeError as error:
        raise Hint("form") from error
    tell([("form", any(len(row) != 3 for row in rows))])
    return rows


def _judge_buildings(rows: list[tuple], right: list[tuple], features: dict) -> None:
    uids, found = [row[0] for row in right], [row[0] for row in rows]
    tell([("both_lists", len(rows) == 2 * len(right)), ("number", len(rows) != len(right))])
    tell([("order", found != uids and sorted(map(str, found)) == sorted(uids))])
    tell([("uid", found != uids)], uid=repr(found[0])[:60])
    for (_, grade, polygon), (uid, truth, outline), there in zip(
        rows, right, features["lng_lat"], strict=True
    ):
        subtype = there["properties"].get("subtype", "")
        tell(_grade_signs(grade, truth), uid=uid, grade=repr(grade)[:40], right=truth, word=subtype)
        tell([("still_text", isinstance(polygon, str))])
        tell(
            [("no_polygon", not isinstance(polygon, shapely.Geometry))], kind=type(polygon).__name__
        )
        if not polygon.equals(outline):
            tell([("degrees", polygon.equals(shapely.from_wkt(there["wkt"])))])
            tell([("holes", polygon.equals(shapely.Polygon(outline.exterior)))])
            raise Hint("polygon", uid=uid)


def _grade_signs(grade: Any, right: int) -> Iterator[tuple[str, bool]]:
    yield "words", isinstance(grade, str)
    is_number = isinstance(grade, int | float) or hasattr(grade, "__index__")
    wrong = not is_number or isinstance(grade, bool) or grade != right
    yield "before", wrong and right == 0
    yield "unclassified", wrong and right == 255
    yield "from_zero", is_number and grade == right - 1
    yield "grade", wrong


def _write_text(subtypes: tuple[str | None, ...]) -> str:
    """Write a label file with a hole, and buildings in no order."""
    features = {"lng_lat": [], "xy": []}
    for i, subtype in enumerate(subtypes):
        left, top = 100.25 + 90 * i, 40.5 + 30 * (i % 3)
        outline = shapely.box(left, top, left + 60, top + 48)
        if i == 3:
            outline -= shapely.box(left + 20, top + 16, left + 40, top + 32)
        uid = f"{(5 * i + 3) % 7:08x}-0000-4000-8000-{i:012d}"
        properties = {"feature_type": "building", "uid": uid}
        properties |= {"subtype": subtype} if subtype else {}
        lifted = shapely.transform(outline, lambda xy: [20, 4] + 0.001 * xy * [1, -1])
        for key, shape in (("lng_lat", lifted), ("xy", outline)):
            features[key].append({"properties": properties, "wkt": shape.wkt})
    metadata = {"width": 1024, "height": 1024, "gsd": 2.1, "disaster": "exercise"}
    return json.dumps({"features": features, "metadata": metadata})
