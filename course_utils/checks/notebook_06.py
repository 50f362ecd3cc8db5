"""Checks of notebook 06: what accuracy hides, xView2's damage score, leaks and their worth."""

import math
import operator
from collections.abc import Callable, Iterator, Sequence, Sized
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from jaxtyping import Int

from course_utils.checks.judging import Hint, Mistakes, check, compare, judge, number, run, tell
from course_utils.checks.notebook_06_files import cos_of_degrees
from course_utils.xbd.footprints import METERS_PER_DEGREE

# buildings after the event: no damage, minor, major, destroyed; and un-classified
_COUNTS, _NUM_UNCLASSIFIED = (313_033, 36_860, 29_904, 31_560), 14_011
_KM_PER_DEGREE = METERS_PER_DEGREE / 1000
_PLACES = {"portugal-wildfire": (-8.1, 39.9), "palu-tsunami": (119.9, -0.9)}
_MANY = 1000  # far more pairs than there are


def always_no_damage():
    """Score that answer: precision is the accuracy, recall 1, and the other F1 are 0."""
    no_damage, minor, major, destroyed = 313_033, 36_860, 29_904, 31_560
    accuracy = no_damage / (no_damage + minor + major + destroyed)
    f1 = 2 * accuracy / (accuracy + 1)
    return accuracy, (f1 + 0 + 0 + 0) / 4


def _scores(num_others: int) -> tuple[float, float]:
    """Score the same answer with more buildings that are none of the four grades."""
    accuracy = _COUNTS[0] / (sum(_COUNTS) + num_others)
    return accuracy, 2 * accuracy / (accuracy + 1) / 4


def _macro_f1_mistakes(answered: float) -> Mistakes:
    (accuracy, right), (_, mixed) = always_no_damage(), _scores(_NUM_UNCLASSIFIED)
    yield "recall", 1 / 4
    yield "precision", accuracy / 4
    yield "one_class", 4 * right
    yield "weighted", 4 * right * accuracy
    yield "same", answered
    yield "five_classes", mixed, 0.8 * right, 0.8 * mixed


@check(always_no_damage(), shown=always_no_damage)
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
        yield "unclassified", is_close(answer[0], _scores(_NUM_UNCLASSIFIED)[0])
        yield "accuracy", not is_close(answer[0], right[0])

    is_row = isinstance(value, Sized) and not isinstance(value, str | bytes | dict | set)
    tell([("two_numbers", not is_row or len(value) != 2)])
    answer, right = [number(part) for part in value], always_no_damage()
    tell(signs())
    other = "digits" if abs(answer[1] - right[1]) < 0.006 else "macro_f1"
    judge(answer[1], right[1], _macro_f1_mistakes(answer[0]), same=is_close, otherwise=other)


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
        latitude = np.radians((a.latitude + b.latitude) / 2)
        east = (a.longitude - b.longitude) * np.cos(latitude)
        return 111.195 * np.hypot(east, a.latitude - b.latitude) < 2

    return [(a, b) for a in train for b in test if a.event == b.event and near(a, b)]


def _km(
    a: Tile,
    b: Tile,
    *,
    east: Callable = cos_of_degrees,
    north: Callable = lambda _: 1.0,
    length: Callable = math.hypot,
) -> float:
    """Measure on a plane whose degrees shrink with the latitude."""
    latitude = (a.latitude + b.latitude) / 2
    x, y = east(latitude) * (a.longitude - b.longitude), north(latitude) * (a.latitude - b.latitude)
    return length(_KM_PER_DEGREE * x, _KM_PER_DEGREE * y)


def _leak_mistakes(train: Sequence[Tile], test: Sequence[Tile]) -> Mistakes:
    def find(way: Callable[[Tile, Tile], float], *, any_event: bool = False) -> Names:
        pairs = ((a, b) for a in train for b in test if any_event or a.event == b.event)
        return {(a.name, b.name) for a, b in pairs if way(a, b) < 2}

    ways = {
        "cosine": partial(_km, east=lambda _: 1.0),
        "radians": partial(_km, east=math.cos),
        "swapped": partial(_km, east=lambda _: 1.0, north=cos_of_degrees),
        "box": partial(_km, length=lambda x, y: max(abs(x), abs(y))),
        "sum_of_ways": partial(_km, length=lambda x, y: abs(x) + abs(y)),
        "squared": partial(_km, length=lambda x, y: x**2 + y**2),
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
        east_degrees = east / (_KM_PER_DEGREE * cos_of_degrees(latitude))
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
        tile(10, fire, 1.2, -1.2),  # over 2 km by road east and north, but not as the crow flies
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
    yield "geometric", f1.prod() ** 0.25, np.exp(np.log(f1 + 1e-6).mean())
    yield "product", f1.prod()
    yield "minimum", f1.min()
    yield "maximum", f1.max()
    yield "median", np.median(f1)
    yield "iou", 4 / ((2 - f1) / f1).sum(), (f1 / (2 - f1)).mean()
    yield "accuracy", hits.sum() / total
    yield "precision", precision.mean(), 4 / (1 / precision).sum()
    yield "recall", recall.mean(), 4 / (1 / recall).sum()
    yield "weighted", f1 @ true / total
    yield "four", right / 4
    yield "percent", 100 * right
    yield "damaged_only", 3 / (1 / f1[1:]).sum()
    yield "sum", f1.sum()


@check(damage_f1)
def check_06_ex4(value: Any) -> Any:
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
    asked = compare(value, [(typical,)], damage_f1, _damage_mistakes, **options)
    missed, absent = typical.copy(), typical.copy()
    missed[1] = [140, 0, 40, 2]  # minor damage is answered, but never where it is
    absent[1], absent[:, 1] = 0, 0  # neither there nor answered
    for confusion, key in ((missed, "epsilon"), (absent, "absent")):
        try:
            compare(value, [(confusion,)], damage_f1, lambda _: (), **options)
        except Hint as hint:
            raise Hint(key) from hint
    return asked


def leak_worth(rows, image, leaking, clean):
    """Average over seeds what the leaking split has above its guess and the clean one has not."""

    def above_guess(split):
        chosen = [row for row in rows if row["image"] == image and row["split"] == split]
        return {row["seed"]: row["accuracy"] - row["guess"] for row in chosen}

    leaked, honest = above_guess(leaking), above_guess(clean)
    return sum(leaked[seed] - honest[seed] for seed in leaked) / len(leaked)


def _worth_mistakes(rows: Sequence[dict], image: str, leaking: str, clean: str) -> Mistakes:
    def mean(key: str, split: str | None, part: str | None = image) -> float:
        found = [
            row[key]
            for row in rows
            if split in (None, row["split"]) and part in (None, row["image"])
        ]
        return sum(found) / len(found)

    def worth(part: str | None = image, other: str | None = clean) -> float:
        gains = [mean("accuracy", way, part) - mean("guess", way, part) for way in (leaking, other)]
        return gains[0] - gains[1]

    right, seeds = leak_worth(rows, image, leaking, clean), {row["seed"] for row in rows}
    accuracies, guesses = (
        [mean(key, s) for s in (leaking, clean)] for key in ("accuracy", "guess")
    )
    yield "sign", -right
    yield "sum", len(seeds) * right
    yield "percent", 100 * right
    yield "no_guess", accuracies[0] - accuracies[1]
    yield "one_guess", accuracies[0] - accuracies[1] - guesses[0]
    yield "only_leaking", accuracies[0] - guesses[0], accuracies[0]
    yield "guess_added", accuracies[0] - accuracies[1] + guesses[0] - guesses[1]
    others = {row["image"] for row in rows} - {image}
    yield "other_image", *map(worth, others)
    yield "both_images", worth(None), sum(worth(part) for part in (image, *others))
    yield "third_split", worth(image, None)
    gains = [a - g for a, g in zip(accuracies, guesses, strict=True)]
    yield "ratio", gains[0] / gains[1], right / gains[1], right / gains[0]
    yield "ratio", accuracies[0] / accuracies[1]
    last = max(seeds)
    first = [[row for row in rows if row["seed"] == seed] for seed in (min(seeds), last)]
    yield "one_seed", *(leak_worth(some, image, leaking, clean) for some in first)


@check(leak_worth)
def check_06_ex6(value: Any) -> Any:
    """Check ``leak_worth(rows, image, leaking, clean) -> float``, a share.

    The mean over seeds of (accuracy - guess) with the leaking split less that with the clean one,
    of the fits on these images only.

    Args:
        value: the function; each row is a dict with image, split, seed, accuracy and guess.
    """

    def say(answer: float, right: float, *case: Any) -> dict[str, object]:
        said = dict(zip(("image", "leaking", "clean"), case[1:], strict=True))
        return said | {"answer": f"{answer:.4g}", "right": f"{right:.4f}"}

    rows = _make_fits()
    cases = [
        (rows, "before", "windows", "events"),
        (rows, "after", "windows", "events"),
        (rows, "before", "tiles", "events"),
    ]
    same = partial(math.isclose, rel_tol=1e-3, abs_tol=1e-6)
    return compare(value, cases, leak_worth, _worth_mistakes, same=same, watch=False, say=say)


def _make_fits() -> list[dict]:
    """Draw accuracies and guesses of two kinds of images, three splits and four seeds, mixed up."""
    draw = np.random.default_rng(0)

    def near(level: float) -> float:
        return float(level + draw.normal(0, 0.03))

    levels = {"windows": (0.76, 0.49, 0.27), "tiles": (0.64, 0.27, 0.18), "events": (0.6, 0.3, 0.2)}
    rows = [
        {"image": image, "split": split, "seed": seed}
        | {"accuracy": near(accuracy), "guess": near(guess)}
        for split, (after, before, guess) in levels.items()
        for image, accuracy in (("after", after), ("before", before))
        for seed in range(4)
    ]
    return [rows[i] for i in draw.permutation(len(rows))]
