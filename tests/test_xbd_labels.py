"""Label files: what is read, and what each kind of broken file says."""

import json
import os
import time
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
import shapely

from course_utils.xbd import (
    DamageLevel,
    XbdError,
    XbdMissingError,
    find_scenes,
    read_buildings,
    read_label,
    read_metadata,
)

SQUARE = "POLYGON ((10 20, 30 20, 30 40, 10 40, 10 20))"
POST, PRE = "event_00000001_post_disaster.json", "event_00000001_pre_disaster.json"


def entry(wkt=SQUARE, *, uid="a", **properties):
    return {"properties": {"feature_type": "building", "uid": uid, **properties}, "wkt": wkt}


def write(path, *entries, lng_lat=(), **metadata):
    features = {"lng_lat": list(lng_lat), "xy": list(entries)}
    path.write_text(json.dumps({"features": features, "metadata": metadata}), encoding="utf-8")
    return path


def complaint(path, read=read_buildings, **options):
    with pytest.raises(ValueError, match=r".") as caught:
        read(path, **options)
    assert isinstance(caught.value, XbdError)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_levels_have_the_values_of_the_official_masks_and_the_names_of_the_labels():
    assert {level.subtype: level.value for level in DamageLevel} == {
        "no-damage": 1,
        "minor-damage": 2,
        "major-damage": 3,
        "destroyed": 4,
        "un-classified": 255,
    }
    assert [DamageLevel.from_subtype(level.subtype) for level in DamageLevel] == list(DamageLevel)


@pytest.mark.parametrize("subtype", ["unclassified", "Destroyed", "", " destroyed", "0"])
def test_other_spellings_of_a_level_are_not_guessed_at(subtype):
    with pytest.raises(ValueError, match=r"no-damage, minor-damage, .*un-classified"):
        DamageLevel.from_subtype(subtype)


def test_a_building_has_its_polygon_in_pixels_its_uid_and_its_level(tmp_path):
    path = write(tmp_path / POST, entry(uid="x", subtype="major-damage"))
    (building,) = read_buildings(path)
    assert building.uid == "x"
    assert building.damage is DamageLevel.MAJOR
    assert building.polygon.equals(shapely.box(10, 20, 30, 40))
    assert (building.is_empty, building.is_duplicate, building.is_valid) == (False, False, True)
    assert read_buildings(str(path)) == [building]


def test_before_the_disaster_there_is_no_level(tmp_path):
    (building,) = read_buildings(write(tmp_path / PRE, entry()))
    assert building.damage is None


def test_after_the_disaster_an_entry_without_level_is_an_error(tmp_path):
    path = write(tmp_path / POST, entry(subtype="destroyed"), entry(uid="b"))
    assert "features.xy[1]: expected a subtype among no-damage" in complaint(path)


def test_an_unknown_subtype_is_named_with_its_place_and_the_known_ones(tmp_path):
    for path in (tmp_path / POST, tmp_path / PRE):
        write(path, entry(subtype="destroyed"), entry(uid="b", subtype="ruined"))
        message = complaint(path)
        assert "features.xy[1]" in message
        assert "'ruined'" in message
        assert all(level.subtype in message for level in DamageLevel)


def test_order_empty_polygons_and_repeated_uids_are_kept_and_flagged(tmp_path):
    path = write(
        tmp_path / PRE,
        entry(uid="a"),
        entry("POLYGON EMPTY", uid="b"),
        entry(uid="a"),
        entry("MULTIPOLYGON EMPTY", uid="b"),
        entry(uid="c"),
    )
    buildings = read_buildings(path)
    assert [building.uid for building in buildings] == ["a", "b", "a", "b", "c"]
    assert [building.is_empty for building in buildings] == [False, True, False, True, False]
    assert [building.is_duplicate for building in buildings] == [False, False, True, True, False]


def test_a_polygon_that_touches_itself_is_kept_and_flagged(tmp_path):
    bow_tie = "POLYGON ((0 0, 10 10, 10 0, 0 10, 0 0))"
    first, second = read_buildings(write(tmp_path / PRE, entry(bow_tie), entry(uid="b")))
    assert (first.is_valid, second.is_valid) == (False, True)
    assert len(first.polygon.exterior.coords) == 5


def test_holes_parts_heights_and_huge_coordinates_are_read(tmp_path):
    path = write(
        tmp_path / PRE,
        entry("POLYGON ((0 0, 9 0, 9 9, 0 0), (5 1, 6 1, 6 2, 5 1))"),
        entry("MULTIPOLYGON (((0 0, 1 0, 1 1, 0 0)), ((5 5, 6 5, 6 6, 5 5)))", uid="b"),
        entry("  polygon z ((0 0 7, 1 0 7, 1 1 7, 0 0 7))", uid="c"),
        entry("POLYGON ((-1e12 -1e12, 1e12 -1e12, 1e12 1e12, -1e12 -1e12))", uid="d"),
    )
    hole, parts, height, huge = read_buildings(path)
    assert len(hole.polygon.interiors) == 1
    assert len(parts.polygon.geoms) == 2
    assert height.polygon.bounds == (0, 0, 1, 1)
    assert huge.polygon.bounds == (-1e12, -1e12, 1e12, 1e12)


def test_a_label_without_buildings_is_whole(tmp_path):
    label = read_label(write(tmp_path / POST))
    assert (label.buildings, label.position) == ((), None)


def test_a_missing_label_says_where_it_was_looked_for(tmp_path):
    with pytest.raises(XbdMissingError, match=r"there is no label .*nowhere.json.*restore"):
        read_buildings(tmp_path / "nowhere.json")
    with pytest.raises(FileNotFoundError, match="got None"):
        read_label(None)


def test_a_truncated_label_is_not_whole(tmp_path):
    path = write(tmp_path / POST, entry(subtype="destroyed"))
    whole = path.read_bytes()
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert "not whole or no JSON" in complaint(path)


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\xfa",
        b"[]",
        b"null",
        b"{}",
        b'{"features": []}',
        b'{"features": {}}',
        b'{"features": {"xy": {}}}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"features": {"xy": ' + b"9" * 5000,
    ],
)
def test_what_is_no_label_is_refused(tmp_path, content):
    path = tmp_path / POST
    path.write_bytes(content)
    assert "restore it from the official archive" in complaint(path)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (None, "a polygon as wkt"),
        ([], "a polygon as wkt"),
        ({}, "a polygon as wkt"),
        (entry(None), "a polygon as wkt, got None"),
        (entry(7), "a polygon as wkt, got 7"),
        (entry(""), "a polygon as wkt"),
        (entry("POINT (1 2)"), "a polygon as wkt"),
        (entry("GEOMETRYCOLLECTION (" * 200_000), "a polygon as wkt"),
        (entry("POLYGON ((0 0, 1 0, 1 1"), "closed rings as wkt"),
        (entry("POLYGON ((0 0, 1 0, 1 1))"), "closed rings as wkt"),
        (entry("POLYGON ((0 0, 0 0))"), "closed rings as wkt"),
        (entry("POLYGON ((0 0, a b, 1 1, 0 0))"), "closed rings as wkt"),
        (entry("POLYGON ((0 0, 1 0, nan nan, 0 0))"), "finite coordinates"),
        (entry("POLYGON ((0 0, 1 0, 1e999 1, 0 0))"), "finite coordinates"),
        ({"wkt": SQUARE}, "a text as properties.uid, got None"),
        ({"wkt": SQUARE, "properties": [1]}, "a text as properties.uid"),
        (entry(uid=7), "a text as properties.uid, got 7"),
        (entry(subtype=["destroyed"]), "a subtype among"),
        (entry(subtype=4), "a subtype among"),
    ],
)
def test_a_wrong_entry_is_named_with_its_place_and_reason(tmp_path, wrong, reason):
    message = complaint(write(tmp_path / PRE, entry(), entry(uid="b"), wrong))
    assert "features.xy[2]" in message
    assert reason in message
    assert len(message) < 600


def test_a_label_of_200_megabytes_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / POST
    path.touch()
    os.truncate(path, 200_000_000)
    start = time.perf_counter()
    for read in (read_buildings, read_label, read_metadata):
        message = complaint(path, read)
        assert "200,000,000 bytes" in message
        assert "larger max_bytes" in message
    assert time.perf_counter() - start < 0.1


def test_the_limit_of_bytes_is_the_last_size_that_is_read(tmp_path):
    path = write(tmp_path / PRE, entry())
    size = path.stat().st_size
    assert len(read_buildings(path, max_bytes=size)) == 1
    assert f"max_bytes={size - 1:,}" in complaint(path, max_bytes=size - 1)


def test_a_folder_in_the_place_of_a_label_is_refused(tmp_path):
    assert "cannot be read" in complaint(tmp_path)


def test_metadata_have_types_and_what_is_absent_or_null_is_none(tmp_path):
    found = read_metadata(
        write(
            tmp_path / PRE,
            sensor="WORLDVIEW03_VNIR",
            gsd=2,
            pan_resolution=0.35,
            capture_date="2018-06-22T16:55:40.000Z",
            off_nadir_angle=None,
            disaster_type="volcano",
            width=1024,
            unheard_of=[1],
        )
    )
    assert (found.sensor, found.gsd, found.pan_resolution) == ("WORLDVIEW03_VNIR", 2.0, 0.35)
    assert isinstance(found.gsd, float)
    assert found.capture_date == datetime(2018, 6, 22, 16, 55, 40, tzinfo=UTC)
    assert (found.off_nadir_angle, found.sun_azimuth, found.height) == (None, None, None)
    assert (found.disaster_type, found.width) == ("volcano", 1024)


def test_a_capture_date_keeps_its_time_zone(tmp_path):
    found = read_metadata(write(tmp_path / PRE, capture_date="2018-06-22T16:55:40+02:00"))
    assert found.capture_date.utcoffset() == timezone(timedelta(hours=2)).utcoffset(None)
    assert read_metadata(write(tmp_path / PRE, capture_date="2018-06-22")).capture_date.day == 22


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sensor", 3),
        ("capture_date", "yesterday"),
        ("capture_date", 20180622),
        ("gsd", "2.1"),
        ("gsd", True),
        ("gsd", float("nan")),
        ("gsd", 10**400),
        ("width", 0),
        ("width", 1024.5),
        ("height", "1024"),
        ("height", True),
    ],
)
def test_metadata_of_a_wrong_type_are_named(tmp_path, name, value):
    assert f"metadata.{name}: expected a" in complaint(
        write(tmp_path / PRE, **{name: value}), read_metadata
    )


def test_a_label_without_metadata_still_gives_its_buildings(tmp_path):
    path = tmp_path / PRE
    path.write_text(json.dumps({"features": {"xy": [entry()]}}), encoding="utf-8")
    assert len(read_buildings(path)) == 1
    assert "no metadata" in complaint(path, read_metadata)
    assert "no metadata" in complaint(path, read_label)


def test_the_position_is_the_center_of_the_box_around_all_polygons(tmp_path):
    polygons = [
        entry("POLYGON ((-90.5 14, -90.25 14, -90.25 14.5, -90.5 14))"),
        entry("POLYGON EMPTY"),
        entry("MULTIPOLYGON (((-91 14.25, -90.75 14.25, -90.75 14.75, -91 14.25)))"),
    ]
    path = write(tmp_path / PRE, entry(), lng_lat=polygons)
    assert read_label(path).position == ((-91 - 90.25) / 2, (14 + 14.75) / 2)


def test_without_polygons_there_is_no_position(tmp_path):
    for places in ([], [entry("POLYGON EMPTY")]):
        assert read_label(write(tmp_path / PRE, lng_lat=places)).position is None


def test_a_wrong_geographic_polygon_is_named_where_it_is_needed(tmp_path):
    path = write(tmp_path / PRE, entry(), lng_lat=[entry("POINT (1 2)")])
    assert "features.lng_lat[0]" in complaint(path, read_label)
    assert len(read_buildings(path)) == 1


UP, TURNED = ((5e-6, 0), (0, -5e-6)), ((4e-6, -3e-6), (-3e-6, -4e-6))  # degrees of a pixel


@pytest.mark.parametrize(
    ("place", "turn"),
    [
        pytest.param((-90.8, 14.4), UP, id="guatemala"),
        pytest.param((-8.0, 40.0), UP, id="portugal: both orders are on Earth"),
        pytest.param((85.3, 27.7), UP, id="nepal"),
        pytest.param((0.1, 0.1), UP, id="the two are equal"),
        pytest.param((-8.0, 40.0), TURNED, id="turned tile"),
    ],
)
def test_exchanged_longitude_and_latitude_are_noticed(tmp_path, place, turn):
    pixels = [(10.0, 20.0), (30.0, 20.0), (30.0, 44.0), (10.0, 44.0)]
    east_north = np.array(pixels) @ np.array(turn) + place
    box = entry(shapely.Polygon(pixels).wkt)
    right = entry(shapely.Polygon(east_north).wkt)
    wrong = entry(shapely.Polygon(east_north[:, ::-1]).wkt)
    found = read_label(write(tmp_path / PRE, box, lng_lat=[right])).position
    assert np.abs(np.array(found) - place).max() < 1e-3
    message = complaint(write(tmp_path / PRE, box, lng_lat=[wrong]), read_label)
    assert "longitude and latitude are exchanged; expected longitude (-180" in message


@pytest.mark.parametrize("wkt", ["POLYGON \ud800", "POLYGON ((0 0, 1 0, 1 \u0661, 0 0))"])
def test_other_signs_than_those_of_a_polygon_are_named(tmp_path, wkt):
    assert "features.xy[0]: expected" in complaint(write(tmp_path / PRE, entry(wkt)))


def test_a_pipe_is_no_label(tmp_path):
    os.mkfifo(tmp_path / PRE)
    with pytest.raises(XbdError, match="it is no file"):
        read_label(tmp_path / PRE)


def test_meters_are_no_degrees(tmp_path):
    far = entry("POLYGON ((500000 4100000, 500010 4100000, 500010 4100010, 500000 4100000))")
    message = complaint(write(tmp_path / PRE, entry(), lng_lat=[far]), read_label)
    assert "these are no degrees; expected longitude" in message


def test_everything_at_once_is_what_each_reader_gives(tmp_path):
    path = write(tmp_path / POST, entry(subtype="destroyed"), lng_lat=[entry()], width=9)
    label = read_label(path)
    assert list(label.buildings) == read_buildings(path)
    assert label.metadata == read_metadata(path)
    assert label.position == (20, 30)


def test_the_real_labels_hold_what_is_known_of_them(test_data):
    known = {
        "guatemala-volcano_00000008": {},
        "guatemala-volcano_00000015": {"no-damage": 131},
        "guatemala-volcano_00000016": {"no-damage": 5, "minor-damage": 2},
        "santa-rosa-wildfire_00000052": {"destroyed": 27, "no-damage": 4, "major-damage": 1},
        "santa-rosa-wildfire_00000273": {
            "destroyed": 9,
            "no-damage": 2,
            "major-damage": 1,
            "un-classified": 1,
        },
    }
    scenes = find_scenes(test_data / "xbd")
    assert [scene.name for scene in scenes] == sorted(known)
    for scene in scenes:
        pre, post = read_label(scene.pre_label), read_label(scene.post_label)
        assert Counter(one.damage.subtype for one in post.buildings) == known[scene.name]
        assert {one.damage for one in pre.buildings} <= {None}
        assert {one.uid for one in pre.buildings} == {one.uid for one in post.buildings}
        assert not any(one.is_empty or one.is_duplicate for one in post.buildings)
        for label, image in ((pre, scene.pre_image), (post, scene.post_image)):
            assert label.metadata.img_name == image.name
            assert (label.metadata.width, label.metadata.height) == (1024, 1024)
            assert label.metadata.disaster == scene.event
            assert label.metadata.pan_resolution < label.metadata.gsd
        assert pre.metadata.capture_date < post.metadata.capture_date
        assert (post.position is None) == (not post.buildings)


def test_the_real_positions_are_in_guatemala_and_california(test_data):
    for scene in find_scenes(test_data / "xbd")[1:]:
        longitude, latitude = read_label(scene.post_label).position
        corner = {"guatemala-volcano": (-91, 14), "santa-rosa-wildfire": (-123, 38)}[scene.event]
        assert 0 < longitude - corner[0] < 1
        assert 0 < latitude - corner[1] < 1
