"""Where the tiles of a rendered xBD lie, what each shows, and to which split it belongs."""

import csv
import datetime
import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice, product
from pathlib import Path

import numpy as np

from mini_earth.scene import SETTLEMENTS

EVENTS_FILE = Path(__file__).resolve().parents[1] / "data" / "xbd_events.csv"
SPLITS = ("train", "tier3", "test", "hold")
RECIPE = 2  # changes when tiles do though the world stays
METERS_PER_DEGREE = 111_195.0  # of latitude, on a sphere of 6,371 km
_NEAR, _FAR = 900.0, 2100.0  # m, between the centers of neighbours; around a group of three
# The region of the world that an event's place looks like, and whether it lies on a coast; all
# others are temperate and inland.
_PLACES = {
    "guatemala-volcano": ("tropical", False),
    "hurricane-florence": ("temperate", True),
    "hurricane-harvey": ("temperate", True),
    "hurricane-matthew": ("tropical", True),
    "hurricane-michael": ("temperate", True),
    "lower-puna-volcano": ("tropical", True),
    "mexico-earthquake": ("arid", False),
    "nepal-flooding": ("tropical", False),
    "palu-tsunami": ("tropical", True),
    "pinery-bushfire": ("mediterranean", False),
    "portugal-wildfire": ("mediterranean", False),
    "santa-rosa-wildfire": ("mediterranean", False),
    "socal-fire": ("mediterranean", True),
    "sunda-tsunami": ("tropical", True),
    "woolsey-fire": ("mediterranean", True),
}
_OPEN_LAND = {
    "arid": ("chaparral", "desert", "mountain", "rectangular_farmland"),
    "mediterranean": ("chaparral", "forest", "mountain", "orchard", "rectangular_farmland"),
    "temperate": ("forest", "lake", "meadow", "rectangular_farmland", "river"),
    "tropical": ("forest", "meadow", "rectangular_farmland", "river"),
}
# From how many buildings a tile of the real event has on average: the share of tiles without
# any, and the shares of dense, medium and sparse settlement and of industry among the others.
_MIXES = (
    (150.0, 0.10, (0.6, 0.25, 0.0, 0.15)),
    (40.0, 0.25, (0.25, 0.4, 0.25, 0.1)),
    (0.0, 0.45, (0.05, 0.3, 0.6, 0.05)),
)
_SHOWN = (0, 3)  # so that training and test have something to see of the rarest event


@dataclass(frozen=True)
class Event:
    """Where and when an event was, how many tiles it has, and how much was damaged."""

    name: str
    disaster: str
    longitude: float
    latitude: float
    date: datetime.date
    num_pairs: Mapping[str, int]  # by split
    num_buildings: int
    damaged_share: float  # of the buildings that were graded
    level_shares: tuple[float, ...]  # minor, major, destroyed, of the damaged ones


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
    levels = [int(row[name]) for name in ("minor", "major", "destroyed")]
    damaged = sum(levels)
    graded = damaged + int(row["no_damage"])
    return Event(
        name=row["event"],
        disaster=row["xbd_class"],
        longitude=float(row["longitude"]),
        latitude=float(row["latitude"]),
        date=datetime.date.fromisoformat(row["date"]),
        num_pairs={split: int(row[f"pairs_{split}"]) for split in SPLITS},
        num_buildings=graded + int(row["unclassified"]),
        damaged_share=damaged / graded,
        level_shares=tuple(number / damaged for number in levels),
    )


@dataclass(frozen=True)
class XbdTile:
    """One pair that is to be written; its center in degrees.

    ``is_struck`` is False where the event passed by: the second image shows another day, other
    light and no damage. Tiles of one ``look`` are neighbours on one image strip: they share soil,
    light and weather, as real ones do. Only where ``is_coastal`` is True there may be a sea.
    """

    name: str
    event: str
    split: str
    disaster: str
    seed: int
    look: int
    scene_class: str
    style: str
    is_struck: bool
    is_coastal: bool
    longitude: float
    latitude: float
    date: datetime.date


def plan_tiles(
    events: Iterable[str] | None = None,
    num_pairs: int | Mapping[str, int] = 4,
    *,
    splits: Iterable[str] = SPLITS,
    extent: float,
    seed: int,
) -> list[XbdTile]:
    """Plan tiles of ``extent`` meters; one does not depend on how many others there are.

    Returns:
        The first tile of every event, then the second of every event, and so on.

    Raises:
        ValueError: an unknown event or split, fewer than one pair, or no tile at all.
    """
    wanted = _wanted(events, num_pairs)
    splits = {splits} if isinstance(splits, str) else set(splits)
    if not splits <= set(SPLITS):
        unknown = ", ".join(sorted(splits - set(SPLITS)))
        raise ValueError(f"splits: expected some of {', '.join(SPLITS)}, got {unknown}")
    tiles = []
    for name, count in wanted.items():
        event = read_events()[name]
        places = zip(_splits(event, count), _grid(count, extent), strict=True)
        for index, (split, point) in enumerate(places):
            if split in splits:
                tiles.append((index, _plan_tile(event, index, split, point, seed)))
    if not tiles:
        raise ValueError(
            f"none of the tiles of {', '.join(wanted)} is in {', '.join(sorted(splits))}; "
            "ask for more pairs, other events or other splits"
        )
    return [tile for _, tile in sorted(tiles, key=lambda pair: (pair[0], pair[1].name))]


def _wanted(events: Iterable[str] | None, num_pairs: int | Mapping[str, int]) -> dict[str, int]:
    """Check events and counts, and put them together."""
    counts = num_pairs if isinstance(num_pairs, Mapping) else {}
    events = (events,) if isinstance(events, str) else events
    names = list(counts or read_events()) if events is None else list(dict.fromkeys(events))
    unknown = [name for name in (*names, *counts) if name not in read_events()]
    if unknown:
        known = ", ".join(read_events())
        raise ValueError(f"events: expected some of {known}, got {unknown[0]!r}")
    if counts and not set(names) <= set(counts):
        missing = ", ".join(name for name in names if name not in counts)
        raise ValueError(f"num_pairs says nothing about {missing}; give a number for each event")
    wanted = {name: counts[name] if counts else num_pairs for name in names}
    for name, count in wanted.items():
        if type(count) is not int or count < 1:
            raise ValueError(f"num_pairs: expected 1 or more for {name}, got {count!r}")
    return wanted


def _splits(event: Event, count: int) -> list[str]:
    """Deal tiles to the splits as in xBD: every first tiles come as close as they can."""
    shares = {split: num / sum(event.num_pairs.values()) for split, num in event.num_pairs.items()}
    dealt: Counter[str] = Counter()
    found = []
    for number in range(1, count + 1):
        found.append(max(SPLITS, key=lambda split: shares[split] * number - dealt[split]))
        dealt[found[-1]] += 1
    return found


def _grid(count: int, extent: float) -> list[tuple[float, float]]:
    """Place tiles, in meters east and north of the event: threes of neighbours, 2 km apart.

    Neighbours are 900 m from center to center (more if the tiles are large); groups lie on a
    square grid from the middle outward, 45 of them, 135 tiles, within 15 km.
    """
    near = max(_NEAR, 1.5 * extent)
    pitch = _FAR + 1.2 * near + extent
    far = math.isqrt(count) + 1
    cells = sorted(product(range(-far, far + 1), repeat=2), key=lambda cell: math.hypot(*cell))
    corners = ((0.0, 0.0), (near, 0.0), (0.0, near))
    places = product(cells, corners)
    return [
        (pitch * column + east - near / 2, pitch * row + north - near / 2)
        for (column, row), (east, north) in islice(places, count)
    ]


def _plan_tile(
    event: Event, index: int, split: str, point: tuple[float, float], seed: int
) -> XbdTile:
    """Draw what one tile shows; the first of each of the first two groups is struck and built.

    From the damaged share of the event's buildings comes how many tiles it reaches: in a struck
    tile about two thirds are damaged. Where hardly any is in reality, as in Mexico City, a fifth
    of the tiles is struck nevertheless, so that there is something to see.
    """
    tile_seed = _derive_seed("xbd", seed, event.name, index)
    rng = np.random.default_rng([tile_seed, 8])
    region, is_coastal = _PLACES.get(event.name, ("temperate", False))
    struck_share = min(max(1.5 * event.damaged_share, 0.2), 0.8)
    is_struck = bool(rng.uniform() < struck_share) or index in _SHOWN
    density = event.num_buildings / sum(event.num_pairs.values())
    _, open_share, shares = next(mix for mix in _MIXES if density >= mix[0])
    scene_class = str(rng.choice(SETTLEMENTS, p=shares))
    if rng.uniform() < open_share and index not in _SHOWN:
        by_the_sea = is_struck and event.disaster == "tsunami"
        scene_class = "beach" if by_the_sea else str(rng.choice(_OPEN_LAND[region]))
    east, north = np.array(point) + 0.1 * _NEAR * rng.uniform(-1, 1, 2)
    latitude = event.latitude + north / METERS_PER_DEGREE
    longitude = event.longitude + east / METERS_PER_DEGREE / math.cos(math.radians(latitude))
    return XbdTile(
        name=f"{event.name}_{index:08d}",
        event=event.name,
        split=split,
        disaster=event.disaster,
        seed=tile_seed,
        look=_derive_seed("xbd look", seed, event.name, index // 3),
        scene_class=scene_class,
        style=f"{region}_satellite",
        is_struck=is_struck,
        is_coastal=is_coastal,
        longitude=float(longitude),
        latitude=float(latitude),
        date=event.date,
    )


def digest(*parts: object) -> bytes:
    """Mix words and numbers into 32 bytes that look random."""
    return hashlib.sha256(json.dumps(parts).encode()).digest()


def _derive_seed(*parts: object) -> int:
    """Mix words and numbers into a seed below 2^48."""
    return (int.from_bytes(digest(*parts)[:8], "big") >> 1) % (1 << 48)
