"""The land of the Earth, for a world map that needs no network."""

import json
from functools import lru_cache
from pathlib import Path

import shapely
from shapely import MultiPolygon

from course_utils.runtime import data_root
from course_utils.xbd.levels import XbdError

LAND_FILE = "land.json"


def read_land(path: Path | None = None) -> MultiPolygon:
    """Read the land of the Earth at the scale of 1:110 million, once.

    Outlines are generalised: a coast may be 20 km off, small islands and most lakes are missing
    (the Caspian Sea is there).

    Args:
        path: the course's own ``data/land.json`` by default.

    Returns:
        Polygons in degrees, x the longitude from -180 to 180, y the latitude.

    Raises:
        XbdError: the file is missing or damaged.

    Source:
        Natural Earth, countries at 1:110 million, public domain; made by ``tools/make_land.py``.
    """
    return _read(path or data_root() / LAND_FILE)


@lru_cache(maxsize=2)
def _read(path: Path) -> MultiPolygon:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        land = MultiPolygon([(outline, holes) for outline, *holes in content["coordinates"]])
    except (OSError, ValueError, TypeError, KeyError, shapely.errors.ShapelyError) as error:
        raise XbdError(_damaged(path, repr(error))) from error
    if land.is_empty or not land.is_valid:
        raise XbdError(_damaged(path, shapely.is_valid_reason(land)))
    shapely.prepare(land)  # points are looked up 100 times faster
    return land


def _damaged(path: Path, reason: str) -> str:
    return f"{path} is no map of land ({reason}); restore it: git checkout -- data/{LAND_FILE}"


def is_land(longitude: float, latitude: float) -> bool:
    """Tell whether a point is on land, as exactly as `read_land` knows it.

    Args:
        longitude: degrees east, -180 to 180.
        latitude: degrees north, -90 to 90.

    Raises:
        XbdError: no point on Earth; the two may have been swapped.
    """
    if not (abs(longitude) <= 180 and abs(latitude) <= 90):  # also for NaN
        raise XbdError(
            "expected a longitude from -180 to 180 and a latitude from -90 to 90, got "
            f"{longitude}, {latitude}; the longitude comes first"
        )
    return bool(shapely.intersects_xy(read_land(), longitude, latitude))
