"""Splits of xBD: whole events, 2 km measured with another formula, and what cannot be split."""

import json
import math
import random
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import shapely
import torch
from shapely.geometry import box

from course_utils.xbd import XbdError, XbdScene, find_scenes, read_label
from course_utils.xbd.events import class_of, read_events
from course_utils.xbd.footprints import (
    Footprint,
    choose_cut,
    distance,
    find_footprint,
    meters_per_degree,
)
from course_utils.xbd.splits import SplitRule, split_scenes

TILE_METERS = 512.0


def scenes_of(**counts: int) -> list[XbdScene]:
    """List scenes without any files; the keywords are event names with "_" for "-"."""
    return [
        XbdScene(f"{event.replace('_', '-')}_{i:08d}", event.replace("_", "-"), "train")
        for event, count in counts.items()
        for i in range(count)
    ]


def write_tile(root: Path, name: str, corner: tuple[float, float], **options) -> None:
    """Write a label with buildings at random places of a north-up tile of 512 m.

    ``corner`` is its south-west one; degrees are those of a sphere, longitudes wrap at 180.
    """
    settings = {"when": "post", "num_buildings": 3, "shear": 0.0} | options
    rng = random.Random(name)
    north_degree = TILE_METERS / 111_195
    east_degree = north_degree / math.cos(math.radians(corner[1]))
    entries = {"xy": [], "lng_lat": []}
    for i in range(settings["num_buildings"]):
        x, y, size = rng.uniform(0, 980), rng.uniform(0, 980), rng.uniform(4, 44)
        pixels = [(x, y), (x + size, y), (x + size, y + size), (x, y + size), (x, y)]
        degrees = [
            (
                corner[0] + (px - settings["shear"] * py) / 1024 * east_degree,
                corner[1] + (1 - py / 1024 + settings["shear"] * px / 1024) * north_degree,
            )
            for px, py in pixels
        ]
        degrees = [((lon + 180) % 360 - 180, lat) for lon, lat in degrees]
        properties = {"feature_type": "building", "uid": f"{name}-{i}", "subtype": "no-damage"}
        for key, ring in (("xy", pixels), ("lng_lat", degrees)):
            wkt = "POLYGON ((" + ", ".join(f"{a!r} {b!r}" for a, b in ring) + "))"
            entries[key].append({"properties": properties, "wkt": wkt})
    path = root / "train" / "labels" / f"{name}_{settings['when']}_disaster.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    label = {"features": entries, "metadata": {"width": 1024, "height": 1024}}
    path.write_text(json.dumps(label), encoding="utf-8")


def write_event(root: Path, event: str, corners) -> list[XbdScene]:
    for i, corner in enumerate(corners):
        write_tile(root, f"{event}_{i:08d}", corner)
    return find_scenes(root)


def around(longitude: float, latitude: float, offsets) -> list[tuple[float, float]]:
    """Turn offsets in metres into degrees."""
    scale = 111_195 * math.cos(math.radians(latitude))
    return [(longitude + x / scale, latitude + y / 111_195) for x, y in offsets]


def haversine(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Independent of the package: from vectors, with the mean radius."""

    def vector(point):
        lon, lat = map(math.radians, point)
        return np.array(
            [math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)]
        )

    return 6_371_008.8 * 2 * math.asin(np.linalg.norm(vector(a) - vector(b)) / 2)


def tile_gap(first: tuple[float, float], second: tuple[float, float]) -> float:
    """Measure between the edges of two tiles of `write_tile`, at their closest points."""
    sides = []
    for lon, lat in (first, second):
        height = TILE_METERS / 111_195
        sides.append((lon, lat, lon + height / math.cos(math.radians(lat)), lat + height))
    a, b = sides
    turn = round((a[0] - b[0]) / 360) * 360
    b = (b[0] + turn, b[1], b[2] + turn, b[3])
    points = []
    for low, high in ((0, 2), (1, 3)):
        if a[high] < b[low]:
            points.append((a[high], b[low]))
        elif b[high] < a[low]:
            points.append((a[low], b[high]))
        else:
            middle = (max(a[low], b[low]) + min(a[high], b[high])) / 2
            points.append((middle, middle))
    return haversine((points[0][0], points[1][0]), (points[0][1], points[1][1]))


def names(scenes) -> set[str]:
    return {scene.name for scene in scenes}


# by event


def test_no_event_is_in_both_parts_and_every_class_with_two_events_is_in_both():
    scenes = scenes_of(
        guatemala_volcano=4,
        lower_puna_volcano=9,
        joplin_tornado=6,
        moore_tornado=5,
        tuscaloosa_tornado=8,
        hurricane_michael=3,
    )
    tests = set()
    for seed in range(20):
        split = split_scenes(scenes, seed=seed)
        assert not {s.event for s in split.train} & {s.event for s in split.test}
        for part in (split.train, split.test):
            assert {class_of(scene.event) for scene in part} == {"volcano", "wind"}
        assert split.rules == {"volcano": SplitRule.BY_EVENT, "wind": SplitRule.BY_EVENT}
        assert names(split.train) | names(split.test) == names(scenes)
        assert split.left_out == ()
        tests.add(tuple(sorted({s.event for s in split.test})))
    assert len(tests) > 1  # the seed matters


def test_all_of_xbd_is_split_by_event_with_a_fair_share():
    counts = {name: sum(event.num_pairs.values()) for name, event in read_events().items()}
    scenes = scenes_of(**{name.replace("-", "_"): count for name, count in counts.items()})
    for class_map, seed in (("xbd", 0), ("course", 1)):
        split = split_scenes(scenes, class_map=class_map, seed=seed)
        rules = dict(split.rules)
        assert rules.pop("earthquake") == SplitRule.TRAIN_ONLY  # these scenes have no labels
        assert set(rules.values()) == {SplitRule.BY_EVENT}
        for name in rules:
            test, train = (
                sum(class_of(s.event, class_map=class_map) == name for s in part)
                for part in (split.test, split.train)
            )
            assert 0.08 < test / (test + train) < 0.6


def test_the_class_map_decides_who_may_be_parted_from_whom():
    scenes = scenes_of(hurricane_florence=5, nepal_flooding=5, joplin_tornado=5)
    by_xbd, by_course = (split_scenes(scenes, class_map=m, seed=0) for m in ("xbd", "course"))
    assert by_xbd.rules == {"flooding": SplitRule.BY_EVENT, "wind": SplitRule.TRAIN_ONLY}
    assert by_course.rules == {"flooding": SplitRule.TRAIN_ONLY, "wind": SplitRule.BY_EVENT}
    assert {s.event for s in by_xbd.test} < {"hurricane-florence", "nepal-flooding"}
    assert {s.event for s in by_course.test} < {"hurricane-florence", "joplin-tornado"}


def test_two_events_on_the_same_ground_stay_together():
    scenes = scenes_of(socal_fire=5, woolsey_fire=5, pinery_bushfire=5, portugal_wildfire=5)
    for seed in range(20):
        split = split_scenes(scenes, seed=seed)
        tested = {scene.event for scene in split.test}
        assert len(tested & {"socal-fire", "woolsey-fire"}) in (0, 2)
        assert tested
    alone = split_scenes(scenes_of(socal_fire=5, woolsey_fire=5), seed=0)
    assert alone.rules == {"wildfire": SplitRule.TRAIN_ONLY}


def test_the_order_of_the_scenes_does_not_matter_nor_do_other_classes(tmp_path):
    places = [(-99.2 + 0.02 * i, 19.3 + 0.01 * (i % 7)) for i in range(12)]
    quakes = write_event(tmp_path, "mexico-earthquake", places)
    scenes = quakes + scenes_of(joplin_tornado=6, moore_tornado=5, tuscaloosa_tornado=8)
    split = split_scenes(scenes, seed=3)
    shuffled = random.Random(1).sample(scenes, len(scenes))
    assert split_scenes(shuffled, seed=3) == split
    alone = split_scenes(quakes, seed=3)
    assert names(alone.test) == {n for n in names(split.test) if n.startswith("mexico")}
    assert [s.name for s in split.train] == sorted(s.name for s in split.train)


# by spatial block


def layout(kind: str, rng: random.Random) -> list[tuple[float, float]]:
    """Draw offsets in metres of some tiles."""
    count = rng.randint(8, 60)
    if kind == "line":
        angle = rng.uniform(0, 2 * math.pi)
        ways = [rng.uniform(0, 20_000) for _ in range(count)]
        return [(way * math.cos(angle), way * math.sin(angle)) for way in ways]
    if kind == "grid":
        side = math.isqrt(count)
        return [(512 * i, 512 * j) for i in range(side + 4) for j in range(side + 4)]
    if kind == "clusters":
        centers = [(rng.uniform(0, 3e4), rng.uniform(0, 3e4)) for _ in range(4)]
        return [
            (x + rng.gauss(0, 700), y + rng.gauss(0, 700))
            for x, y in (rng.choice(centers) for _ in range(count))
        ]
    return [(rng.uniform(0, 2.5e4), rng.uniform(0, 1e4)) for _ in range(count)]


@pytest.mark.parametrize("kind", ["line", "grid", "clusters", "field"])
@pytest.mark.parametrize(
    "center", [(-99.17, 19.35), (179.95, -16.5), (138.8, -34.45), (25.0, 69.0), (0.01, 0.0)]
)
def test_training_and_test_tiles_are_two_kilometers_apart(tmp_path, kind, center):
    for trial in range(3):
        rng = random.Random(f"{kind} {center} {trial}")
        corners = around(*center, layout(kind, rng))
        root = tmp_path / str(trial)
        scenes = write_event(root, "mexico-earthquake", corners)
        corner_of = {f"mexico-earthquake_{i:08d}": c for i, c in enumerate(corners)}
        for seed in range(3):
            split = split_scenes(scenes, seed=seed)
            pairs = list(product(split.train, split.test))
            nearest = min(
                (tile_gap(corner_of[a.name], corner_of[b.name]) for a, b in pairs),
                default=math.inf,
            )
            assert nearest >= 2000 - 0.5  # pixels are rounded where the tile's edge is worked out
            together = [*split.train, *split.test, *(item.scene for item in split.left_out)]
            assert len(together) == len(scenes)
            assert names(together) == names(scenes)
            far = max(tile_gap(a, b) for a in corners for b in corners)
            if far > 2050:
                assert split.rules == {"earthquake": SplitRule.BY_BLOCK}
                assert split.train
                assert split.test
            elif far < 1990:
                assert split.rules == {"earthquake": SplitRule.TRAIN_ONLY}


def test_a_large_field_loses_little_and_gives_a_fair_test_part(tmp_path):
    offsets = [(1000 * i, 1000 * j) for i in range(10) for j in range(20)]
    scenes = write_event(tmp_path, "mexico-earthquake", around(-99.2, 19.3, offsets))
    tests = set()
    for seed in range(6):
        split = split_scenes(scenes, seed=seed)
        share = len(split.test) / (len(split.test) + len(split.train))
        assert 0.2 < share < 0.4
        assert len(split.left_out) < 0.25 * len(scenes)
        assert {item.reason for item in split.left_out} == {
            "within 2 km of the cut between training and test"
        }
        tests.add(frozenset(names(split.test)))
    assert len(tests) > 3  # the seed matters


def test_two_tiles_are_parted_just_if_their_edges_are_two_kilometers_apart(tmp_path):
    for i, (way, rule) in enumerate(
        [(2000 + 512 + 60, SplitRule.BY_BLOCK), (2000 + 512 - 60, SplitRule.TRAIN_ONLY)]
    ):
        for j, angle in enumerate([0.0, 90.0, 180.0, 270.0]):
            offset = (way * math.cos(math.radians(angle)), way * math.sin(math.radians(angle)))
            corners = around(-99.2, 45.0, [(0, 0), offset])
            scenes = write_event(tmp_path / f"{i}{j}", "mexico-earthquake", corners)
            split = split_scenes(scenes, seed=0)
            assert split.rules == {"earthquake": rule}
            assert (len(split.train), len(split.test)) == (
                (1, 1) if rule == SplitRule.BY_BLOCK else (2, 0)
            )


@pytest.mark.parametrize("quadrant", range(4))
def test_two_boxes_are_parted_in_whatever_direction_just_if_they_are_two_kilometers_apart(quadrant):
    for i in range(1, 12):
        angle = math.radians(90 * quadrant + 8 * i)
        way = np.array([math.cos(angle), math.sin(angle)])
        near, far = (np.sign(way) * 512 + way * length for length in (1999.9, 2000.001))
        for offset, is_possible in ((near, False), (far, True)):
            boxes = np.array([[0.0, 0.0, 512.0, 512.0], [*offset, *(offset + 512)]])
            for order in (boxes, boxes[::-1]):
                cut = choose_cut(order, 0.5, torch.Generator().manual_seed(i))
                assert (cut is not None) == is_possible
                if cut:
                    assert sorted(zip(*map(list, cut), strict=True)) == [
                        (False, True),
                        (True, False),
                    ]


def test_no_boxes_have_no_cut():
    assert choose_cut(np.empty((0, 4)), 0.3, torch.Generator()) is None


def test_tiles_without_a_position_are_left_out_of_a_split_by_block(tmp_path):
    corners = around(-99.2, 19.3, [(5000 * i, 0) for i in range(6)])
    write_event(tmp_path, "mexico-earthquake", corners)
    write_tile(tmp_path, "mexico-earthquake_00000100", corners[0], num_buildings=0)
    lonely = XbdScene("mexico-earthquake_00000101", "mexico-earthquake", "train")
    split = split_scenes([*find_scenes(tmp_path), lonely], seed=0)
    assert split.rules == {"earthquake": SplitRule.BY_BLOCK}
    reasons = {item.scene.name[-3:]: item.reason for item in split.left_out}
    assert reasons == dict.fromkeys(("100", "101"), "no position: no label with a building")


def test_where_nothing_can_be_tested_everything_is_for_training_and_the_summary_says_so(tmp_path):
    corners = around(-99.2, 19.3, [(600 * i, 0) for i in range(4)])
    write_event(tmp_path, "mexico-earthquake", corners)
    write_tile(tmp_path, "mexico-earthquake_00000100", corners[0], num_buildings=0)
    split = split_scenes(find_scenes(tmp_path), seed=0)
    assert (len(split.train), split.test, split.left_out) == (5, (), ())
    assert split.summary() == (
        "earthquake: training only: one place, and no two tiles known to be 2 km apart; "
        "training 5 (mexico-earthquake 5); test 0"
    )


def test_the_summary_names_rule_events_counts_and_what_was_left_out(tmp_path):
    corners = around(-99.2, 19.3, [(0, 0), (1300, 0), (6000, 0)])
    quakes = write_event(tmp_path, "mexico-earthquake", corners)
    others = scenes_of(guatemala_volcano=2, lower_puna_volcano=7)
    lines = split_scenes([*quakes, *others], seed=0).summary().splitlines()
    assert lines[0].startswith("earthquake: by spatial block, at least 2 km apart; training ")
    assert lines[1] == (
        "volcano: by event; training 7 (lower-puna-volcano 7); test 2 (guatemala-volcano 2)"
    )


# positions


def test_a_footprint_is_the_whole_tile_whatever_the_buildings(tmp_path):
    for i, (latitude, num) in enumerate([(0.0, 1), (38.5, 3), (-34.0, 1), (65.0, 40)]):
        root = tmp_path / str(i)
        write_tile(root, "joplin-tornado_00000001", (10.0, latitude), num_buildings=num)
        found = find_footprint(find_scenes(root)[0])
        height = TILE_METERS / 111_195
        width = height / math.cos(math.radians(latitude))
        expected = (10.0, latitude, 10.0 + width, latitude + height)
        got = (found.west, found.south, found.east, found.north)
        assert got == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("shear", [0.5, -0.5])
def test_a_footprint_holds_all_four_corners_of_a_turned_tile(tmp_path, shear):
    write_tile(tmp_path, "joplin-tornado_00000001", (10.0, 0.0), shear=shear)
    found = find_footprint(find_scenes(tmp_path)[0])
    degree = TILE_METERS / 111_195
    west, east = 10.0 - max(shear, 0) * degree, 10.0 + (1 + max(-shear, 0)) * degree
    south, north = min(shear, 0) * degree, (1 + max(shear, 0)) * degree
    got = (found.west, found.south, found.east, found.north)
    assert got == pytest.approx((west, south, east, north), abs=1e-7)


def test_a_footprint_goes_on_across_the_date_line(tmp_path):
    write_tile(tmp_path, "joplin-tornado_00000001", (179.9985, -16.5), num_buildings=30)
    found = find_footprint(find_scenes(tmp_path)[0])
    assert found.east - found.west == pytest.approx(512 / 111_195 / math.cos(0.288), rel=1e-3)


def test_the_label_from_before_helps_out_and_the_one_from_after_comes_first(tmp_path):
    name = "joplin-tornado_00000001"
    write_tile(tmp_path, name, (10.0, 20.0), num_buildings=0)
    write_tile(tmp_path, name, (11.0, 20.0), when="pre")
    assert find_footprint(find_scenes(tmp_path)[0]).west == pytest.approx(11.0)
    write_tile(tmp_path, name, (10.0, 20.0))
    assert find_footprint(find_scenes(tmp_path)[0]).west == pytest.approx(10.0)
    assert find_footprint(XbdScene(name, "joplin-tornado", "train")) is None


def change_label(root: Path, change) -> Footprint:
    path = next(root.rglob("*.json"))
    label = json.loads(path.read_text(encoding="utf-8"))
    change(label["features"])
    path.write_text(json.dumps(label), encoding="utf-8")
    return find_footprint(find_scenes(root)[0])


def lng_lat(root: Path) -> list[dict]:
    return json.loads(next(root.rglob("*.json")).read_text(encoding="utf-8"))["features"]["lng_lat"]


def test_pixels_that_do_not_fit_the_degrees_give_a_padded_box_around_the_buildings(tmp_path):
    write_tile(tmp_path, "joplin-tornado_00000001", (10.0, 60.0), num_buildings=4)

    def shuffle(features):
        features["xy"].reverse()

    def drop(features):
        features["xy"].pop()

    for change in (shuffle, drop):
        found = change_label(tmp_path, change)
        tile = box(10.0, 60.0, 10.0 + 512 / 111_195 * 2, 60.0 + 512 / 111_195)
        assert box(found.west, found.south, found.east, found.north).contains(tile)
        position = read_label(find_scenes(tmp_path)[0].post_label).position
        assert ((found.west + found.east) / 2, (found.south + found.north) / 2) == pytest.approx(
            position, abs=1e-6
        )
        latitudes = shapely.get_coordinates(
            shapely.from_wkt([e["wkt"] for e in lng_lat(tmp_path)])
        )[:, 1]
        padding = (latitudes.min() - found.south) * 111_195
        assert padding == pytest.approx(1024, rel=1e-3)


def test_a_broken_label_is_not_passed_over(tmp_path):
    scenes = write_event(tmp_path, "mexico-earthquake", [(-99.2, 19.3), (-99.3, 19.3)])
    path = scenes[0].post_label
    path.write_text(path.read_text(encoding="utf-8")[:100], encoding="utf-8")
    with pytest.raises(XbdError, match="is not whole or no JSON"):
        split_scenes(scenes, seed=0)


@pytest.mark.parametrize("latitude", [0.0, 19.35, -34.5, 52.0, 69.0])
def test_degrees_are_never_longer_than_on_sphere_and_ellipsoid(latitude):
    east, north = meters_per_degree(np.array([latitude, latitude / 2]))
    assert east <= 100 * haversine((-0.005, latitude), (0.005, latitude)) * (1 + 1e-6)
    assert east >= 0.995 * 111_320 * math.cos(math.radians(latitude))
    assert north <= haversine((0, 0), (0, 1))
    series = 111_132.954 - 559.822 * math.cos(math.radians(latitude))  # at half the latitude
    assert north <= series + 1.5  # the usual series for the ellipsoid
    assert north >= 0.999 * min(series, 111_195)


def test_distance_is_the_one_between_known_cities():
    assert distance(-0.1278, 51.5074, 2.3522, 48.8566) == pytest.approx(343_550, rel=1e-3)
    assert distance(179.9, 10.0, -179.9, 10.0) == pytest.approx(
        haversine((179.9, 10.0), (-179.9, 10.0)), rel=1e-9
    )
    assert distance(0.0, 0.0, 180.0, 0.0) == pytest.approx(math.pi * 6_371_008.8)


# what is refused


def test_scenes_given_twice_none_at_all_and_wrong_settings_are_refused():
    scenes = scenes_of(joplin_tornado=2, moore_tornado=2)
    twin = XbdScene(scenes[0].name, scenes[0].event, "test")
    with pytest.raises(XbdError, match=r"joplin-tornado_00000000 is given more than once"):
        split_scenes([*scenes, twin], seed=0)
    with pytest.raises(XbdError, match="there are no scenes to split"):
        split_scenes([], seed=0)
    with pytest.raises(XbdError, match="expected a class map among xbd, course, got 'mine'"):
        split_scenes(scenes, class_map="mine", seed=0)
    with pytest.raises(XbdError, match=r"expected a share between 0 and 1, got 1\.0"):
        split_scenes(scenes, seed=0, test_share=1.0)
    with pytest.raises(XbdError, match="expected one of xBD's events"):
        split_scenes([XbdScene("atlantis_00000000", "atlantis", "train")], seed=0)


# real data


@pytest.mark.parametrize("class_map", ["xbd", "course"])
def test_the_real_scenes_are_split_and_the_close_ones_are_not(test_data, class_map):
    scenes = find_scenes(test_data / "xbd")
    split = split_scenes(scenes, class_map=class_map, seed=0)
    assert split.rules == {"volcano": SplitRule.TRAIN_ONLY, "wildfire": SplitRule.BY_BLOCK}
    wildfires = [
        [s.name for s in part if "wildfire" in s.name] for part in (split.train, split.test)
    ]
    assert sorted(map(len, wildfires)) == [1, 1]
    assert sum("volcano" in scene.name for scene in split.train) == 3


def test_the_real_wildfire_tiles_are_two_kilometers_apart_and_half_a_kilometer_wide(test_data):
    scenes = [s for s in find_scenes(test_data / "xbd") if "wildfire" in s.name]
    south, north = sorted(map(find_footprint, scenes), key=lambda box: box.south)
    for found in (south, north):
        assert 440 < haversine((found.west, found.south), (found.west, found.north)) < 480
        assert 440 < haversine((found.west, found.south), (found.east, found.south)) < 480
    assert 2000 < haversine((south.east, south.north), (north.west, north.south)) < 2020
