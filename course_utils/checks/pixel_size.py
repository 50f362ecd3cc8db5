"""A check of notebook 06 about maps: how large is a pixel?"""

import json
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_utils.checks.results import Hint, check, number, run
from course_utils.xbd.footprints import METERS_PER_DEGREE

_TOLERANCE = 0.03  # spheres and ellipsoids differ by less
_OUTLINES = (  # in pixels
    ((100, 120), (180, 120), (180, 160), (100, 160)),
    ((500, 300), (560, 300), (560, 390), (530, 390), (530, 340), (500, 340)),
    ((810, 700), (880, 720), (860, 790), (790, 770)),
)


@dataclass(frozen=True)
class _Case:
    """A place where a learner's function is tried."""

    latitude: float  # degrees
    meters_per_pixel: float
    gsd: float
    pan_resolution: float


_CASES = (_Case(4.0, 0.40, 2.12, 0.53), _Case(61.0, 0.58, 2.48, 0.62))


@check("06_ex2")
def check_06_ex2(value: Any) -> None:
    """Check a function that finds the size of a pixel from a label file.

    ``meters_per_pixel(label_path) -> float``: a label file gives each building in degrees
    (``features.lng_lat``) and in pixels (``features.xy``). A degree of latitude is 111.2 km, one
    of longitude that times cos(latitude). The function is tried on two label files of known size,
    near the equator and in the north; their ``gsd`` and ``pan_resolution`` are not that size.

    Args:
        value: the function; ``label_path`` is a ``pathlib.Path``.

    Returns:
        Whether it is right within 3 %, or what went wrong.
    """
    with tempfile.TemporaryDirectory() as folder:
        paths = [_write_label(Path(folder), case, index) for index, case in enumerate(_CASES)]
        sizes = [number(run(value, path)) for path in paths]
    ratios = [size / case.meters_per_pixel for size, case in zip(sizes, _CASES, strict=True)]
    if all(_is(ratio, 1.0) for ratio in ratios):
        return
    _judge_sizes(sizes)
    _judge_ratios(*ratios)
    index = 0 if not _is(ratios[0], 1.0) else 1
    case, size = _CASES[index], f"{sizes[index]:.4g}"
    raise Hint("06_ex2.value", size=size, latitude=case.latitude, right=case.meters_per_pixel)


def _is(value: float, other: float) -> bool:
    return abs(value - other) <= _TOLERANCE * abs(other)


def _judge_sizes(sizes: list[float]) -> None:
    """Recognise answers by what they are in both files."""
    for key in ("gsd", "pan_resolution"):
        if all(_is(size, getattr(case, key)) for size, case in zip(sizes, _CASES, strict=True)):
            raise Hint(f"06_ex2.{key}")
    if all(
        _is(size * case.meters_per_pixel, 1.0) for size, case in zip(sizes, _CASES, strict=True)
    ):
        raise Hint("06_ex2.inverse")
    if min(sizes) > 0 and max(sizes) < 5e-5:
        raise Hint("06_ex2.degrees")
    if sizes[0] == sizes[1]:
        raise Hint("06_ex2.constant", size=f"{sizes[0]:.4g}")


def _judge_ratios(low: float, high: float) -> None:
    """Recognise answers by how wrong they are near the equator and in the north."""
    thousandth = 1e-3
    if 0.5 * thousandth < low < 1.5 * thousandth:
        raise Hint("06_ex2.kilometers")
    confused = [abs(math.cos(case.latitude)) / _cos(case.latitude) for case in _CASES]
    if low <= 0 or high <= 0 or (_is(low, confused[0]) and _is(high, confused[1])):
        raise Hint("06_ex2.radians")
    shrink = _cos(_CASES[1].latitude)
    if _is(low, 1.0) and _is(high, 1 / shrink**2):
        raise Hint("06_ex2.divided")
    if _is(low, 1.0) and 1 + _TOLERANCE < high < 1.1 / shrink:
        raise Hint("06_ex2.cosine")
    if _is(low, 1.0) and 0.9 * shrink < high < 1 - _TOLERANCE:
        raise Hint("06_ex2.shrunk")


def _cos(degrees: float) -> float:
    return math.cos(math.radians(degrees))


def _write_label(folder: Path, case: _Case, index: int) -> Path:
    """Write a label file in xBD's layout whose pixels have a known size."""
    per_pixel = case.meters_per_pixel / METERS_PER_DEGREE
    features = {"lng_lat": [], "xy": []}
    for number_, outline in enumerate(_OUTLINES):
        degrees = [
            (20 + x * per_pixel / _cos(case.latitude), case.latitude - y * per_pixel)
            for x, y in outline
        ]
        properties = {"feature_type": "building", "uid": f"00000000-0000-0000-0000-{number_:012d}"}
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
