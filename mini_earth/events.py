"""The 19 events of xBD, as far as a rendered twin needs them, and the words of its layout."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

EVENTS_FILE = Path(__file__).resolve().parents[1] / "data" / "xbd_events.csv"
SPLITS = ("train", "tier3", "test", "hold")
ENDINGS = {"images": ".png", "labels": ".json", "targets": "_target.png"}  # by folder
METERS_PER_DEGREE = 111_195.0  # of latitude, on a sphere of 6,371 km
# The Joint Damage Scale as the label files spell it, by its value in the target images.
SUBTYPES = {1: "no-damage", 2: "minor-damage", 3: "major-damage", 4: "destroyed"}
UNCLASSIFIED, UNCLASSIFIED_SUBTYPE = 255, "un-classified"  # nobody could tell: no level at all
_DAMAGED = ("minor", "major", "destroyed")


@dataclass(frozen=True)
class Event:
    """Where and when an event was, how many tiles it has, and how much was damaged."""

    name: str
    disaster: str
    longitude: float
    latitude: float
    date: date
    num_pairs: Mapping[str, int]  # by split
    num_buildings: int
    damaged_share: float  # of the buildings that were graded


@cache
def read_events() -> dict[str, Event]:
    """Read the table of xBD's events by name, in alphabetical order.

    Source:
        Counted over the label files of xBD (Gupta et al. 2019, arXiv:1911.09296); see
        ``course_utils.xbd.read_events``, which checks the file's sums.
    """
    with EVENTS_FILE.open(encoding="utf-8", newline="") as file:
        return {row["event"]: _event(row) for row in csv.DictReader(file)}


def _event(row: Mapping[str, str]) -> Event:
    damaged, intact = sum(int(row[name]) for name in _DAMAGED), int(row["no_damage"])
    return Event(
        name=row["event"],
        disaster=row["xbd_class"],
        longitude=float(row["longitude"]),
        latitude=float(row["latitude"]),
        date=date.fromisoformat(row["date"]),
        num_pairs={split: int(row[f"pairs_{split}"]) for split in SPLITS},
        num_buildings=damaged + intact + int(row["unclassified"]),
        damaged_share=damaged / (damaged + intact),
    )
