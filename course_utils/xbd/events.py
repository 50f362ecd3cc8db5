"""The 19 events of xBD: where, when, how many tiles and buildings, which class; and the land."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import shapely
from shapely import MultiPolygon

from course_utils.runtime import data_root
from course_utils.xbd.labels import DamageLevel, XbdError
from course_utils.xbd.scenes import SPLITS

CLASSES = ("earthquake", "flooding", "tsunami", "volcano", "wildfire", "wind")
CLASS_MAPS = ("xbd", "course")
NUM_PAIRS, NUM_BUILDINGS = 11_034, 425_368  # published; a table with other sums is damaged
_LEVEL_COLUMNS = {level.name.lower(): level for level in DamageLevel}
_PAIR_COLUMNS = {f"pairs_{split}": split for split in SPLITS}
_COLUMNS = (
    *("event", "xbd_class", "course_class", "place", "country", "longitude", "latitude", "date"),
    *_PAIR_COLUMNS,
    *_LEVEL_COLUMNS,
)


@dataclass(frozen=True)
class Event:
    """One event of xBD.

    The point is a town among its tiles, which may lie over 100 km apart; the date is the day of the
    shock, eruption or landfall, or the first day of a fire or flood.
    """

    name: str  # as in the file names, "hurricane-florence"
    xbd_class: str  # one of CLASSES, by xBD's convention
    course_class: str  # one of CLASSES, by the course author's map
    place: str
    country: str
    longitude: float  # degrees east
    latitude: float  # degrees north
    date: date
    num_pairs: dict[str, int]  # by split
    num_buildings: dict[DamageLevel, int]  # by damage after the event, all splits together


def read_events(path: Path | None = None) -> dict[str, Event]:
    """Read the table of xBD's events, once.

    Two things that the names do not say: ``socal-fire`` and ``woolsey-fire`` show the same fire on
    overlapping ground, and the tiles of ``nepal-flooding`` lie in India, those of
    ``midwest-flooding`` along the Arkansas River.

    Args:
        path: the course's own ``data/xbd_events.csv`` by default.

    Returns:
        The events by name, in alphabetical order.

    Raises:
        XbdError: the file is missing or damaged, which its sums show.

    Source:
        Pairs and buildings: counted over the label files by microsoft/
        building-damage-assessment-cnn-siamese (MIT); the sums are those of xBD (Gupta et al. 2019,
        arXiv 1911.09296). Places and dates: public record, chosen to lie among the tiles.
    """
    return dict(_shipped("xbd_events.csv", path, _parse_events, "table of xBD's events"))


def class_of(event: str, *, class_map: str = "xbd") -> str:
    """Give the class of an event, by its name only.

    The maps differ for two hurricanes: xBD files Florence under flooding and Michael under wind,
    the course author the other way round. The label files' own ``disaster_type`` is not asked.

    Args:
        event: its name as in the file names.
        class_map: "xbd" for xBD's convention, "course" for the course author's.

    Returns:
        One of `CLASSES`.

    Raises:
        XbdError: an unknown event or map.

    Source:
        The course author's map: Bili-Sakura/RSCC, ``inference/xbd_subset_baseline.py``, where wind
        is called storm.
    """
    if class_map not in CLASS_MAPS:
        raise XbdError(f"expected a class map among {', '.join(CLASS_MAPS)}, got {class_map!r}")
    events = read_events()
    if event not in events:
        raise XbdError(f"expected one of xBD's events ({', '.join(events)}), got {event!r}")
    return getattr(events[event], f"{class_map}_class")


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
    return _shipped("land.json", path, _parse_land, "map of land")


@lru_cache(maxsize=8)
def _shipped(name: str, path: Path | None, parse: Callable[[str], Any], kind: str) -> Any:
    """Read a file of the data folder, which may be damaged, but then git has it."""
    path = path or data_root() / name
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, KeyError, shapely.errors.ShapelyError) as error:
        raise XbdError(
            f"{path} is no {kind} ({error!r}); restore it: git checkout -- data/{name}"
        ) from error


def _parse_land(text: str) -> MultiPolygon:
    content = json.loads(text)
    land = MultiPolygon([(outline, holes) for outline, *holes in content["coordinates"]])
    if land.is_empty or not land.is_valid:
        raise ValueError(shapely.is_valid_reason(land))
    return land


def _parse_events(text: str) -> dict[str, Event]:
    rows = list(csv.DictReader(io.StringIO(text), strict=True))
    if not rows or tuple(rows[0]) != _COLUMNS:
        raise ValueError(f"expected the columns {','.join(_COLUMNS)}")
    events = {row["event"]: _event(row) for row in rows}
    num_pairs = sum(sum(event.num_pairs.values()) for event in events.values())
    num_buildings = sum(sum(event.num_buildings.values()) for event in events.values())
    if (len(rows), num_pairs, num_buildings) != (len(events), NUM_PAIRS, NUM_BUILDINGS):
        raise ValueError(
            f"expected {NUM_PAIRS} pairs and {NUM_BUILDINGS} buildings, each event once; got "
            f"{num_pairs} and {num_buildings} in {len(rows)} rows of {len(events)} events"
        )
    return events


def _event(row: dict[str, str]) -> Event:
    event = Event(
        *(row[name] for name in _COLUMNS[:5]),
        longitude=float(row["longitude"]),
        latitude=float(row["latitude"]),
        date=date.fromisoformat(row["date"]),
        num_pairs={split: int(row[name]) for name, split in _PAIR_COLUMNS.items()},
        num_buildings={level: int(row[name]) for name, level in _LEVEL_COLUMNS.items()},
    )
    counts = (*event.num_pairs.values(), *event.num_buildings.values())
    is_on_earth = abs(event.longitude) <= 180 and abs(event.latitude) <= 90
    if not {event.xbd_class, event.course_class} <= set(CLASSES) or min(counts) < 0:
        raise ValueError(f"{event.name}: expected classes among {CLASSES} and counts of 0 or more")
    if not (event.name and event.place and event.country and is_on_earth):
        raise ValueError(f"{event.name!r}: expected a name, a place, a country and degrees")
    return event
