"""Checks: the reference answer passes, every known wrong answer gets its own hint, none raises."""

import functools
import itertools
import json
import math
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import shapely
import torch
from scipy import stats
from sklearn.metrics import f1_score, precision_score, recall_score

from course_utils import checks
from course_utils.checks import CheckResult, Tile
from course_utils.texts import catalog
from course_utils.xbd import read_buildings, read_label

COUNTS = (313_033, 36_860, 29_904, 31_560)
ACCURACY, MACRO_F1 = 0.760976, 0.216067


def assert_hint(result: CheckResult, key: str) -> None:
    """Compare with the fixed words at the start of a text."""
    start = catalog()[f"check.{key}"]["en"].split("{")[0]
    assert not result.passed
    assert result.hint.startswith(start), result.hint


# --- what holds for all of them ------------------------------------------------------------------


class Hostile:
    """Raises whatever one does with it."""

    def __getattribute__(self, name: str) -> object:
        raise RuntimeError("hands off")

    def __float__(self) -> float:
        raise RuntimeError("hands off")

    def __iter__(self) -> object:
        raise RuntimeError("hands off")


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def raises(error: BaseException) -> object:
    def function(*arguments: object) -> None:
        raise error

    return function


def endless(*arguments: object) -> object:
    return endless(*arguments)


GARBAGE = [
    None, ..., "", "0.76", b"x", True, 0, -1, 1e400, math.nan, 3 + 4j, [], (), {}, set(),
    [None, None], ["a", "b"], [[1, 2], [3, 4]], (math.nan, math.inf), (1, 2, 3), object(), object,
    int, print, Hostile(), [Hostile(), Hostile()], np.zeros((4, 4)),
    torch.zeros(2), range(10**9), 10**400,
    lambda: 1, lambda *a: None, lambda *a: ..., lambda *a: "x", lambda *a: math.nan,
    lambda *a: Hostile(), lambda *a: [Hostile()], lambda *a: [(1, 2)], lambda *a: [1], lambda *a: 5,
    lambda *a: {"a": 1}, lambda *a: [("x", "y")], lambda *a: [("x", "y", "z")], lambda *a: a[0],
    raises(ValueError("{no} such")), raises(Unspeakable()), raises(SystemExit(3)), endless,
    raises(NotImplementedError()), len, itertools.count(),
    lambda *a: itertools.repeat(("x", "y")), functools.partial(print, sep=3),
]  # fmt: skip


def test_a_keyboard_interrupt_stops_an_endless_function():
    with pytest.raises(KeyboardInterrupt):
        checks.check_06_ex4(raises(KeyboardInterrupt()))


def test_a_result_is_shown_in_notebooks_and_terminals(monkeypatch):
    result = checks.check_06_ex1((ACCURACY, MACRO_F1))
    assert str(result) == f"Right. {result.hint}"
    assert result._repr_markdown_() == f"**Right.** {result.hint}"
    assert str(checks.check_06_ex1(None)).startswith("Not yet.")
    monkeypatch.setenv("COURSE_LANG", "zh")
    assert str(checks.check_06_ex1((ACCURACY, MACRO_F1))).startswith("正确")


def test_every_hint_of_the_catalog_is_tested():
    tests = Path(__file__).parent.glob("test_checks*.py")
    source = "".join(path.read_text(encoding="utf-8") for path in tests)
    unused = [
        key
        for key in catalog()
        if key.startswith("check.0") and not key.endswith(".right")
        if f'"{key.removeprefix("check.")}"' not in source
    ]
    assert unused == []


# --- 1: always answering "no damage" -------------------------------------------------------------


def scores_of_always_no_damage(counts: tuple[int, ...]) -> dict[str, float]:
    """Ask scikit-learn."""
    truth = np.arange(len(counts))
    answers = np.zeros_like(truth)
    options = {"sample_weight": counts, "zero_division": 0.0}
    return {
        "accuracy": counts[0] / sum(counts),
        "macro_f1": f1_score(truth, answers, average="macro", **options),
        "weighted": f1_score(truth, answers, average="weighted", **options),
        "recall": recall_score(truth, answers, average="macro", **options),
        "precision": precision_score(truth, answers, average="macro", **options),
    }


def test_the_answer_is_scikit_learns():
    scores = scores_of_always_no_damage(COUNTS)
    assert (scores["accuracy"], scores["macro_f1"]) == pytest.approx((ACCURACY, MACRO_F1), abs=1e-6)
    for kind in (tuple, list, np.array, torch.tensor):
        assert checks.check_06_ex1(kind([scores["accuracy"], scores["macro_f1"]])).passed
    assert checks.check_06_ex1((0.761, 0.216)).passed
    assert checks.check_06_ex1((0.76, 0.216)).passed


FIVE = scores_of_always_no_damage((*COUNTS, 14_011))
FOUR = scores_of_always_no_damage(COUNTS)
WRONG_1 = [
    ((100 * ACCURACY, 100 * MACRO_F1), "06_ex1.percent"),
    ((100 * ACCURACY, MACRO_F1), "06_ex1.percent"),
    ((1 / ACCURACY, MACRO_F1), "06_ex1.no_share"),
    ((-ACCURACY, MACRO_F1), "06_ex1.no_share"),
    ((FIVE["accuracy"], FIVE["macro_f1"]), "06_ex1.unclassified"),
    ((FIVE["accuracy"], MACRO_F1), "06_ex1.unclassified"),
    ((ACCURACY, FIVE["macro_f1"]), "06_ex1.five_classes"),
    ((ACCURACY, 4 / 5 * MACRO_F1), "06_ex1.five_classes"),
    ((ACCURACY, ACCURACY), "06_ex1.same"),
    ((ACCURACY, FOUR["recall"]), "06_ex1.recall"),
    ((ACCURACY, FOUR["precision"]), "06_ex1.precision"),
    ((ACCURACY, 4 * MACRO_F1), "06_ex1.one_class"),
    ((ACCURACY, FOUR["weighted"]), "06_ex1.weighted"),
    ((MACRO_F1, ACCURACY), "06_ex1.swapped"),
    ((ACCURACY, 0.22), "06_ex1.digits"),
    ((ACCURACY, 0.5), "06_ex1.macro_f1"),
    ((0.5, MACRO_F1), "06_ex1.accuracy"),
    ((0.25, 0.25), "06_ex1.accuracy"),
    ((ACCURACY,), "06_ex1.two_numbers"),
    (ACCURACY, "06_ex1.two_numbers"),
    ({"accuracy": ACCURACY, "macro_f1": MACRO_F1}, "06_ex1.two_numbers"),
    ((x for x in (ACCURACY, MACRO_F1)), "06_ex1.two_numbers"),  # used up by looking at it
    ((ACCURACY, "0.216"), "no_number"),
    ((ACCURACY, math.nan), "not_finite"),
]


@pytest.mark.parametrize(("value", "key"), WRONG_1)
def test_wrong_scores_are_recognised(value, key):
    assert_hint(checks.check_06_ex1(value), key)


# --- 2: the size of a pixel ----------------------------------------------------------------------


def read_outlines(path: Path) -> tuple[np.ndarray, np.ndarray, dict]:
    """Give the corners of the second building in degrees and in pixels."""
    label = json.loads(path.read_text())
    outlines = [
        shapely.get_coordinates(shapely.from_wkt(label["features"][key][1]["wkt"]))
        for key in ("lng_lat", "xy")
    ]
    return *outlines, label["metadata"]


def meters_per_pixel(path: Path, *, factor=lambda lat: math.cos(math.radians(lat)), north=1.0):
    """Compare the diagonals of the boxes."""
    degrees, pixels, _ = read_outlines(path)
    east, up = np.ptp(degrees, axis=0)
    latitude = degrees[:, 1].mean()
    shrunk = math.hypot(east * factor(latitude), up * north)
    return 111_195 * shrunk / math.hypot(*np.ptp(pixels, axis=0))


def from_widths(path: Path, *, factor=lambda lat: math.cos(math.radians(lat))):
    degrees, pixels, _ = read_outlines(path)
    return 111_195 * factor(degrees[0, 1]) * np.ptp(degrees[:, 0]) / np.ptp(pixels[:, 0])


def from_heights(path: Path, *, kilometers: float = 111.195):
    degrees, pixels, _ = read_outlines(path)
    return 1000 * kilometers * np.ptp(degrees[:, 1]) / np.ptp(pixels[:, 1])


def from_areas(path: Path, *, factor=lambda lat: math.cos(math.radians(lat))):
    degrees, pixels, _ = read_outlines(path)
    areas = [shapely.Polygon(outline).area for outline in (degrees, pixels)]
    return 111_195 * math.sqrt(factor(degrees[0, 1]) * areas[0] / areas[1])


@pytest.mark.parametrize("way", [meters_per_pixel, from_widths, from_heights, from_areas])
def test_every_right_way_to_measure_a_pixel_passes(way):
    assert checks.check_06_ex2(way).passed


def test_an_ellipsoid_is_right_as_well():
    def on_wgs84(path):
        degrees, pixels, _ = read_outlines(path)
        latitude = math.radians(degrees[0, 1])
        radius = 6_378_137 / math.sqrt(1 - 0.00669438 * math.sin(latitude) ** 2)
        east = math.radians(np.ptp(degrees[:, 0])) * radius * math.cos(latitude)
        return east / np.ptp(pixels[:, 0])

    assert checks.check_06_ex2(on_wgs84).passed
    assert checks.check_06_ex2(lambda path: torch.tensor(from_areas(path))).passed


def test_the_label_files_of_the_check_are_readable_as_xbd():
    seen = []

    def look(path):
        label = read_label(path)
        seen.append((len(label.buildings), label.position[1], read_outlines(path)[2]))
        return 1.0

    checks.check_06_ex2(look)
    assert [count for count, _, _ in seen] == [3, 3]
    assert [round(latitude) for _, latitude, _ in seen] == [4, 61]
    assert all(metadata["gsd"] > metadata["pan_resolution"] > 0 for _, _, metadata in seen)


def area_ratio(path: Path) -> float:
    """Divide the area in square degrees by that in pixels."""
    degrees, pixels, _ = read_outlines(path)
    return shapely.Polygon(degrees).area / shapely.Polygon(pixels).area


WRONG_2 = [
    (lambda path: from_areas(path) ** 2, "06_ex2.no_root"),
    (lambda path: 111_195**2 * area_ratio(path), "06_ex2.no_root"),
    (lambda path: math.sqrt(111_195 * area_ratio(path)), "06_ex2.constant_once"),
    (lambda path: read_outlines(path)[2]["gsd"], "06_ex2.gsd"),
    (lambda path: read_outlines(path)[2]["pan_resolution"], "06_ex2.pan_resolution"),
    (lambda path: from_widths(path) / 111_195, "06_ex2.degrees"),
    (lambda path: meters_per_pixel(path, factor=lambda lat: 1) / 111_195, "06_ex2.degrees"),
    (lambda path: from_widths(path, factor=lambda lat: 1), "06_ex2.cosine"),
    (lambda path: from_areas(path, factor=lambda lat: 1), "06_ex2.cosine"),
    (lambda path: meters_per_pixel(path, factor=lambda lat: 1), "06_ex2.cosine"),
    (lambda path: from_widths(path, factor=math.cos), "06_ex2.radians"),
    (lambda path: abs(from_widths(path, factor=math.cos)), "06_ex2.radians"),
    (lambda path: from_widths(path) / 1000, "06_ex2.kilometers"),
    (lambda path: 1 / from_areas(path), "06_ex2.inverse"),
    (lambda path: 0.5, "06_ex2.constant"),
    (
        lambda path: from_widths(path, factor=lambda lat: 1 / math.cos(math.radians(lat))),
        "06_ex2.divided",
    ),
    (
        lambda path: from_heights(path) * math.cos(math.radians(read_outlines(path)[0][0, 1])),
        "06_ex2.shrunk",
    ),
    (lambda path: 1.2 * from_areas(path), "06_ex2.value"),
    (lambda path: str(from_areas(path)), "no_number"),
    (lambda path: path["features"], "raised"),
    (lambda: 0.5, "raised"),
]


@pytest.mark.parametrize(("function", "key"), WRONG_2)
def test_wrong_pixel_sizes_are_recognised(function, key):
    assert_hint(checks.check_06_ex2(function), key)


# --- 3: leaks ------------------------------------------------------------------------------------


def km(a: Tile, b: Tile) -> float:
    """Measure along the great circle (haversine), unlike the check."""
    lat_a, lat_b = math.radians(a.latitude), math.radians(b.latitude)
    half = math.sin((lat_a - lat_b) / 2) ** 2
    turn = math.radians(a.longitude - b.longitude) / 2
    half += math.cos(lat_a) * math.cos(lat_b) * math.sin(turn) ** 2
    return 2 * 6371.0 * math.asin(math.sqrt(half))


def leaks(train, test, *, distance=km, same_event=True, limit=2.0):
    return [
        (a, b)
        for a in train
        for b in test
        if (a.event == b.event or not same_event) and distance(a, b) < limit
    ]


def plane(east: float, north: float = 111.195):
    return lambda a, b: math.hypot(
        east * (a.longitude - b.longitude), north * (a.latitude - b.latitude)
    )


def within_train(train, test):
    everything = [*train, *test]
    return [(a, b) for a in everything for b in everything if a is not b if leaks([a], [b])]


def test_the_right_leaks_pass_as_tiles_or_names():
    assert checks.check_06_ex3(leaks).passed
    assert checks.check_06_ex3(
        lambda train, test: {(a.name, b.name) for a, b in leaks(train, test)}
    ).passed
    assert checks.check_06_ex3(
        lambda train, test: ([a, b] for a, b in reversed(leaks(train, test)))
    ).passed


def test_no_distance_of_the_exercise_is_close_to_the_limit():
    def look(train, test):
        distances = [km(a, b) for a in train for b in test]
        assert all(abs(distance - 2) > 0.2 for distance in distances)
        assert len(leaks(train, test)) == 5
        return leaks(train, test)

    assert checks.check_06_ex3(look).passed


def test_changing_the_lists_does_not_help():
    def cheat(train, test):
        found = leaks(train, test)
        train.clear()
        test.clear()
        return found

    assert checks.check_06_ex3(cheat).passed


def axes(combine):
    """Measure east and north in km, and combine the two in another way."""

    def distance(a, b):
        shrunk = math.cos(math.radians((a.latitude + b.latitude) / 2))
        east = 111.195 * shrunk * (a.longitude - b.longitude)
        return combine(abs(east), abs(111.195 * (a.latitude - b.latitude)))

    return functools.partial(leaks, distance=distance)


WRONG_3 = [
    (axes(max), "06_ex3.box"),
    (axes(lambda east, north: east + north), "06_ex3.sum_of_ways"),
    (axes(lambda east, north: east**2 + north**2), "06_ex3.squared"),
    (functools.partial(leaks, distance=plane(111.195)), "06_ex3.cosine"),
    (functools.partial(leaks, distance=plane(1, 1)), "06_ex3.degrees"),
    (functools.partial(leaks, distance=plane(0.78, 1)), "06_ex3.degrees"),
    (functools.partial(leaks, same_event=False), "06_ex3.event"),
    (functools.partial(leaks, distance=plane(111.195), same_event=False), "06_ex3.event"),
    (functools.partial(leaks, distance=plane(1, 1), same_event=False), "06_ex3.event"),
    (functools.partial(leaks, limit=1e9), "06_ex3.distance"),
    (functools.partial(leaks, limit=2e-3), "06_ex3.name"),
    (lambda train, test: [(a, b) for a in train for b in test if a.name == b.name], "06_ex3.name"),
    (functools.partial(leaks, limit=-1), "06_ex3.none"),
    (lambda train, test: [], "06_ex3.none"),
    (functools.partial(leaks, distance=plane(111.195, 111.195 * 0.78)), "06_ex3.swapped"),
    (within_train, "06_ex3.order"),
    (lambda train, test: leaks(train, test) + leaks(train[:1], train[:1]), "06_ex3.within"),
    (lambda train, test: leaks(train, [*test, *train]), "06_ex3.within"),
    (lambda train, test: leaks(test, train), "06_ex3.order"),
    (lambda train, test: 2 * leaks(train, test), "06_ex3.twice"),
    (lambda train, test: leaks(train, test)[:1], "06_ex3.missing"),
    (lambda train, test: leaks(train, test, limit=4), "06_ex3.too_many"),
    (lambda train, test: [("a", "b")], "06_ex3.unknown"),
    (lambda train, test: [a for a, _ in leaks(train, test)], "06_ex3.form"),
    (lambda train, test: [(1.5, b.name) for _, b in leaks(train, test)], "06_ex3.form"),
    (lambda train, test: len(leaks(train, test)), "06_ex3.form"),
    (leaks([], []), "no_function"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "key"), WRONG_3)
def test_wrong_leaks_are_recognised(function, key):
    assert_hint(checks.check_06_ex3(function), key)


def test_a_cosine_of_degrees_is_recognised():
    def distance(a, b):
        latitude = (a.latitude + b.latitude) / 2
        return plane(111.195 * math.cos(latitude))(a, b)

    assert_hint(checks.check_06_ex3(functools.partial(leaks, distance=distance)), "06_ex3.radians")


# --- 4: xView2's damage score --------------------------------------------------------------------


def damage_f1(confusion, *, epsilon=1e-6):
    """Compute it level by level, from precision and recall as the official program does."""
    total = 0.0
    for i in range(4):
        hits = int(confusion[i, i])
        precision = hits / int(confusion[:, i].sum()) if hits else 0.0
        recall = hits / int(confusion[i].sum()) if hits else 0.0
        f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
        total += 1 / (f1 + epsilon)
    return 4 / total


def vectors(confusion):
    hits = np.diag(confusion)
    return hits, hits / confusion.sum(axis=0), hits / confusion.sum(axis=1)


def f1_of(confusion):
    _, precision, recall = vectors(confusion)
    return 2 * precision * recall / (precision + recall)


def iou_of(confusion):
    hits = np.diag(confusion)
    return hits / (confusion.sum(axis=0) + confusion.sum(axis=1) - hits)


def without_absent(confusion):
    """Forget that a level may be absent."""
    hits, columns, rows = np.diag(confusion), confusion.sum(axis=0), confusion.sum(axis=1)
    return 4 / (1 / (2 * hits / (columns + rows) + 1e-6)).sum()


def test_the_right_damage_score_passes():
    assert checks.check_06_ex4(damage_f1).passed
    assert checks.check_06_ex4(lambda confusion: torch.tensor(damage_f1(confusion))).passed

    def from_pixels(confusion):
        """Write every pixel out, and ask scikit-learn."""
        truth, answer = (np.repeat(x.ravel(), confusion.ravel()) for x in np.indices((4, 4)))
        f1 = f1_score(truth, answer, labels=range(4), average=None, zero_division=0.0)
        return stats.hmean(f1 + 1e-6)

    assert checks.check_06_ex4(from_pixels).passed


WRONG_4 = [
    (lambda c: f1_of(c).mean(), "06_ex4.arithmetic"),
    (lambda c: np.trace(c) / c.sum(), "06_ex4.accuracy"),
    (lambda c: vectors(c)[1].mean(), "06_ex4.precision"),
    (lambda c: 4 / (1 / (vectors(c)[1] + 1e-6)).sum(), "06_ex4.precision"),
    (lambda c: vectors(c)[2].mean(), "06_ex4.recall"),
    (lambda c: 4 / (1 / (vectors(c)[2] + 1e-6)).sum(), "06_ex4.recall"),
    (lambda c: (f1_of(c) * c.sum(axis=1)).sum() / c.sum(), "06_ex4.weighted"),
    (lambda c: damage_f1(c) / 4, "06_ex4.four"),
    (lambda c: 100 * damage_f1(c), "06_ex4.percent"),
    (lambda c: 3 / (1 / (f1_of(c)[1:] + 1e-6)).sum(), "06_ex4.damaged_only"),
    (lambda c: f1_of(c).sum(), "06_ex4.sum"),
    (lambda c: damage_f1(c, epsilon=0), "06_ex4.epsilon"),  # raises ZeroDivisionError
    (lambda c: 4 / (1 / f1_of(c)).sum(), "06_ex4.epsilon"),  # NaN with a warning
    (lambda c: 4 / (1 / (2 * np.diag(c) / (c.sum(0) + c.sum(1)))).sum(), "06_ex4.epsilon"),  # 0
    (without_absent, "06_ex4.absent"),
    (lambda c: min(f1_of(c)), "06_ex4.minimum"),
    (lambda c: max(f1_of(c)), "06_ex4.maximum"),
    (lambda c: f1_of(c).prod() ** (1 / 4), "06_ex4.geometric"),
    (lambda c: stats.gmean(f1_of(c) + 1e-6), "06_ex4.geometric"),
    (lambda c: f1_of(c).prod(), "06_ex4.product"),
    (lambda c: np.median(f1_of(c)), "06_ex4.median"),
    (lambda c: stats.hmean(iou_of(c)), "06_ex4.iou"),
    (lambda c: iou_of(c).mean(), "06_ex4.iou"),
    (lambda c: damage_f1(c + 50), "06_ex4.value"),
    (lambda c: f1_of(c), "no_number"),
]


@pytest.mark.parametrize(("function", "key"), WRONG_4)
def test_wrong_damage_scores_are_recognised(function, key):
    assert_hint(checks.check_06_ex4(function), key)


def test_a_constant_length_of_a_degree_and_a_box_are_no_distance():
    def near(distance):
        def leaks(train, test):
            return [(a, b) for a in train for b in test if a.event == b.event and distance(a, b)]

        return leaks

    def constant(a, b):
        east, north = 89.0 * (a.longitude - b.longitude), 111.2 * (a.latitude - b.latitude)
        return math.hypot(east, north) < 2

    def box(a, b):
        east = 111.2 * math.cos(math.radians(a.latitude)) * (a.longitude - b.longitude)
        return abs(east) < 2 and abs(111.2 * (a.latitude - b.latitude)) < 2

    assert not checks.check_06_ex3(near(constant)).passed
    assert not checks.check_06_ex3(near(box)).passed


def test_a_fixed_share_of_the_metadata_is_no_pixel_size():
    def scaled(path):
        metadata = json.loads(Path(path).read_text())["metadata"]
        return 0.865 * metadata["pan_resolution"]

    assert not checks.check_06_ex2(scaled).passed


# --- 5: reading a label file ---------------------------------------------------------------------

GRADES = {"no-damage": 1, "minor-damage": 2, "major-damage": 3, "destroyed": 4}


def read_text(text, *, key="xy", grades=GRADES, other=255, none=0, shape=shapely.from_wkt):
    """Read a label file as the exercise asks, or with one thing wrong."""
    found = []
    for entry in json.loads(text)["features"][key]:
        word = entry["properties"].get("subtype")
        grade = none if word is None else grades.get(word, other)
        found.append((entry["properties"]["uid"], grade, shape(entry["wkt"])))
    return found


def test_right_readings_of_a_label_pass():
    assert checks.check_06_ex5(read_text).passed
    in_lists = checks.check_06_ex5(
        lambda text: [[u, np.int64(g), p] for u, g, p in read_text(text)]
    )
    assert in_lists.passed

    def from_the_package(text):
        with tempfile.TemporaryDirectory() as folder:
            when = "post" if "subtype" in text else "pre"
            path = Path(folder) / f"exercise_00000000_{when}_disaster.json"
            path.write_text(text)
            features = json.loads(text)["features"]["xy"]
            damage = {building.uid: building.damage for building in read_buildings(path)}
        turned_round = [shapely.from_wkt(entry["wkt"]).reverse() for entry in features]
        uids = [entry["properties"]["uid"] for entry in features]
        return [(u, int(damage[u] or 0), p) for u, p in zip(uids, turned_round, strict=True)]

    assert checks.check_06_ex5(from_the_package).passed


def with_subtype(text):
    for entry in json.loads(text)["features"]["xy"]:
        entry["properties"]["subtype"]
    return read_text(text)


def by_text(text):
    return [(uid, grade, polygon.wkt) for uid, grade, polygon in read_text(text)]


def exterior(wkt):
    return shapely.Polygon(shapely.from_wkt(wkt).exterior)


def moved_on(text):
    rows = read_text(text)
    return [(uid, grade, rows[i - 1][2]) for i, (uid, grade, _) in enumerate(rows)]


WRONG_5 = [
    (lambda text: json.loads(text), "06_ex5.form"),
    (lambda text: [uid for uid, *_ in read_text(text)], "06_ex5.form"),
    (lambda text: [row[:2] for row in read_text(text)], "06_ex5.form"),
    (lambda text: len(text), "06_ex5.form"),
    (lambda text: (row for row in read_text(text)), "06_ex5.form"),  # would serve only once
    (lambda text: read_text(text, key="lng_lat") + read_text(text), "06_ex5.both_lists"),
    (lambda text: read_text(text)[:1], "06_ex5.number"),
    (lambda text: sorted(read_text(text), key=lambda row: row[0]), "06_ex5.order"),
    (lambda text: [(i, g, p) for i, (_, g, p) in enumerate(read_text(text))], "06_ex5.uid"),
    (lambda text: [(g, u, p) for u, g, p in read_text(text)], "06_ex5.uid"),
    (with_subtype, "06_ex5.subtype"),
    (lambda text: text["features"], "raised"),
    (functools.partial(read_text, grades={word: word for word in GRADES}), "06_ex5.words"),
    (functools.partial(read_text, none=1), "06_ex5.before"),
    (functools.partial(read_text, none=None), "06_ex5.before"),
    (functools.partial(read_text, other=0), "06_ex5.unclassified"),
    (functools.partial(read_text, other=5), "06_ex5.unclassified"),
    (functools.partial(read_text, other=None), "06_ex5.unclassified"),
    (functools.partial(read_text, grades={word: i for i, word in enumerate(GRADES)}),
     "06_ex5.from_zero"),
    (functools.partial(read_text, grades=GRADES | {"major-damage": 4}), "06_ex5.grade"),
    (by_text, "06_ex5.still_text"),
    (functools.partial(read_text, shape=lambda wkt: [0.0, 1.0]), "06_ex5.no_polygon"),
    (functools.partial(read_text, key="lng_lat"), "06_ex5.degrees"),
    (functools.partial(read_text, shape=exterior), "06_ex5.holes"),
    (moved_on, "06_ex5.polygon"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "key"), WRONG_5)
def test_wrong_readings_of_a_label_are_recognised(function, key):
    assert_hint(checks.check_06_ex5(function), key)


# --- 6: what a leak is worth ---------------------------------------------------------------------


def by_frame(rows, image, leaking, clean):
    table = pd.DataFrame(rows)
    table["above"] = table.accuracy - table.guess
    wide = table[table.image == image].pivot(index="seed", columns="split", values="above")
    return (wide[leaking] - wide[clean]).mean()


def worth(rows, image, leaking, clean, *, guess=1.0, take=1.0):
    """Average the leaking side and the clean side, each above its guess."""
    sides = []
    for split in (leaking, clean):
        found = [r for r in rows if (r["image"], r["split"]) == (image, split)]
        sides.append(sum(r["accuracy"] - guess * r["guess"] for r in found) / len(found))
    return sides[0] - take * sides[1]


def side(rows, image, split, key):
    return np.mean([r[key] for r in rows if (r["image"], r["split"]) == (image, split)])


def of_all_images(rows, image, leaking, clean):
    return sum(worth(rows, each, leaking, clean) for each in ("before", "after")) / 2


def of_other_images(rows, image, leaking, clean):
    return worth(rows, "after" if image == "before" else "before", leaking, clean)


def against_all_splits(rows, image, leaking, clean):
    clean_rows = [r | {"split": "any"} for r in rows]
    return worth([*rows, *clean_rows], image, leaking, "any")


def of_seed(seed):
    return lambda rows, *case: worth([r for r in rows if r["seed"] == seed], *case)


def test_right_worths_pass():
    assert checks.check_06_ex6(by_frame).passed
    assert checks.check_06_ex6(lambda *case: torch.tensor(worth(*case))).passed
    named = checks.check_06_ex6(lambda rows, image, leaking, clean: np.float32(
        worth(clean=clean, leaking=leaking, image=image, rows=rows)))  # fmt: skip
    assert named.passed


WRONG_6 = [
    (lambda rows, image, a, b: worth(rows, image, b, a), "06_ex6.sign"),
    (lambda *case: 4 * worth(*case), "06_ex6.sum"),
    (lambda *case: 100 * worth(*case), "06_ex6.percent"),
    (functools.partial(worth, guess=0.0), "06_ex6.no_guess"),
    (functools.partial(worth, guess=-1.0), "06_ex6.guess_added"),
    (lambda rows, image, a, b: worth(rows, image, a, b, guess=0.0) - side(rows, image, a, "guess"),
     "06_ex6.one_guess"),
    (functools.partial(worth, take=0.0), "06_ex6.only_leaking"),
    (functools.partial(worth, guess=0.0, take=0.0), "06_ex6.only_leaking"),
    (of_other_images, "06_ex6.other_image"),
    (of_all_images, "06_ex6.both_images"),
    (against_all_splits, "06_ex6.third_split"),
    (lambda rows, image, a, b: side(rows, image, a, "accuracy") / side(rows, image, b, "accuracy"),
     "06_ex6.ratio"),
    (of_seed(0), "06_ex6.one_seed"),
    (of_seed(3), "06_ex6.one_seed"),
    (lambda *case: worth(*case) + 0.01, "06_ex6.value"),
    (lambda *case: [worth(*case)] * 2, "no_number"),
    (lambda *case: math.nan, "not_finite"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "key"), WRONG_6)
def test_wrong_worths_are_recognised(function, key):
    assert_hint(checks.check_06_ex6(function), key)
