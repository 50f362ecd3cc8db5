"""A check of notebook 06 about leaks: which test tiles lie beside training tiles?"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from course_utils.checks.results import Hint, check, run
from course_utils.xbd.footprints import METERS_PER_DEGREE

_KM_PER_DEGREE = METERS_PER_DEGREE / 1000
_LIMIT = 2.0  # km
_PLACES = {"portugal-wildfire": (-8.1, 39.9), "palu-tsunami": (119.9, -0.9)}
_MANY = 1000  # far more pairs than there are


@dataclass(frozen=True)
class Tile:
    """A tile as `check_06_ex3` hands it to a learner's function.

    >>> Tile("moore-tornado_00000012", "moore-tornado", longitude=-97.49, latitude=35.34)
    """

    name: str
    event: str
    longitude: float  # degrees east
    latitude: float  # degrees north


Names = tuple[str, str]  # of a training tile and a test tile


@check("06_ex3")
def check_06_ex3(value: Any) -> None:
    """Check a function that finds the pairs by which a split leaks.

    ``leaks(train, test) -> list[tuple]`` over two lists of `Tile`: every pair of a training tile
    and a test tile of the same event whose positions are less than 2 km apart, the training tile
    first. A degree of latitude is 111.2 km, one of longitude that times cos(latitude).

    Args:
        value: the function; it may give pairs of tiles or of their names.

    Returns:
        Whether it finds all pairs and no others, or what went wrong.
    """
    train, test = _make_tiles()
    found = _as_names(run(value, list(train), list(test)))
    pairs, right = set(found), _find(train, test)
    if pairs == right:
        if len(found) > len(pairs):
            raise Hint("06_ex3.twice")
        return
    _judge_kinds(pairs, {tile.name for tile in train}, {tile.name for tile in test})
    for key, wrong in _mistakes(train, test):
        if pairs == wrong:
            raise Hint(f"06_ex3.{key}")
    _report(pairs, right)


def _make_tiles() -> tuple[list[Tile], list[Tile]]:
    """Lay out tiles whose distances are far from the limit, however the Earth is taken."""

    def tile(number: int, event: str, east: float, north: float) -> Tile:
        longitude, latitude = _PLACES.get(event, (-97.5, 35.3))
        east_degrees = east / (_KM_PER_DEGREE * math.cos(math.radians(latitude)))
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


def _as_names(answer: Any) -> list[Names]:
    """Read a list of pairs of tiles or names."""
    try:
        if isinstance(answer, str | bytes | dict):
            raise TypeError
        pairs = [
            tuple(getattr(item, "name", item) for item in pair) for pair in islice(answer, _MANY)
        ]
    except TypeError as error:
        raise Hint("06_ex3.form") from error
    if not all(len(pair) == 2 and all(isinstance(name, str) for name in pair) for pair in pairs):
        raise Hint("06_ex3.form")
    return pairs


def _km(a: Tile, b: Tile, *, shrink: Callable[[float], float] | None = None) -> float:
    """Measure on a plane: d = 111.2 km sqrt((cos(latitude) Δlongitude)² + Δlatitude²)."""
    latitude = (a.latitude + b.latitude) / 2
    factor = math.cos(math.radians(latitude)) if shrink is None else shrink(latitude)
    east, north = factor * (a.longitude - b.longitude), a.latitude - b.latitude
    return _KM_PER_DEGREE * math.hypot(east, north)


def _find(
    train: Sequence[Tile],
    test: Sequence[Tile],
    *,
    distance: Callable[[Tile, Tile], float] = _km,
    any_event: bool = False,
) -> set[Names]:
    return {
        (a.name, b.name)
        for a in train
        for b in test
        if (any_event or a.event == b.event) and distance(a, b) < _LIMIT
    }


def _mistakes(train: Sequence[Tile], test: Sequence[Tile]) -> list[tuple[str, set[Names]]]:
    """List what common wrong functions find, with the keys of their hints."""
    distances = {
        "cosine": lambda a, b: _km(a, b, shrink=lambda _: 1.0),
        "radians": lambda a, b: _km(a, b, shrink=math.cos),
        "swapped": lambda a, b: _km(
            *(Tile(t.name, t.event, t.latitude, t.longitude) for t in (a, b)),
            shrink=lambda _: math.cos(math.radians((a.latitude + b.latitude) / 2)),
        ),
        "degrees": lambda a, b: math.hypot(a.longitude - b.longitude, a.latitude - b.latitude),
        "distance": lambda a, b: 0.0,
    }
    wrong = [("event", _find(train, test, any_event=True))]
    wrong += [(key, _find(train, test, distance=way)) for key, way in distances.items()]
    wrong += [
        ("event", _find(train, test, distance=way, any_event=True)) for way in distances.values()
    ]
    names = {tile.name for tile in train} & {tile.name for tile in test}
    return [*wrong, ("name", {(name, name) for name in names}), ("none", set())]


def _judge_kinds(pairs: set[Names], train: set[str], test: set[str]) -> None:
    """Recognise pairs that do not consist of a training tile and a test tile."""
    if any(name not in train | test for pair in pairs for name in pair):
        raise Hint("06_ex3.unknown")
    if any(pair[0] in test - train and pair[1] in train - test for pair in pairs):
        raise Hint("06_ex3.order")
    if any(not (pair[0] in train and pair[1] in test) for pair in pairs):
        raise Hint("06_ex3.within")


def _report(pairs: set[Names], right: set[Names]) -> None:
    """Name one pair that is missing or too many."""
    tiles = {tile.name: tile for part in _make_tiles() for tile in part}
    too_many, missing = sorted(pairs - right), sorted(right - pairs)
    first, second = (too_many or missing)[0]
    key = "06_ex3.too_many" if too_many else "06_ex3.missing"
    km = f"{_km(tiles[first], tiles[second]):.2f}"
    raise Hint(key, first=first, second=second, km=km)
