"""The world map: known points on land and sea, events where there is land, how the file is made."""

import json
import math
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import shapely

from course_utils.runtime import data_root
from course_utils.xbd import XbdError
from course_utils.xbd.events import read_events, read_land
from tools import make_land

ROOT = Path(__file__).resolve().parents[1]
PATH = data_root() / "land.json"


@pytest.mark.parametrize(
    ("place", "longitude", "latitude", "expected"),
    [
        ("the middle of Sulawesi", 120.5, -2.0, True),
        ("the middle of Java", 110.4, -7.4, True),
        ("Big Island of Hawaii, with Lower Puna", -155.3, 19.5, True),
        ("Haiti", -72.3, 19.0, True),
        ("Sicily", 14.2, 37.5, True),
        ("Sri Lanka", 80.7, 7.3, True),
        ("Mexico City", -99.13, 19.43, True),
        ("the Sunda Strait, by Krakatau", 105.5, -6.0, False),
        ("the Makassar Strait, west of Palu", 118.7, -0.9, False),
        ("off Hawaii", -155.5, 18.6, False),
        ("the Strait of Gibraltar", -5.5, 35.95, False),
        ("the Strait of Dover", 1.5, 51.0, False),
        ("the Bering Strait", -169.0, 65.8, False),
        ("the Caspian Sea", 51.0, 42.0, False),
        ("the Gulf of Mexico, off Galveston", -94.3, 28.6, False),
    ],
)
def test_known_points_are_land_or_sea(place, longitude, latitude, expected):
    assert shapely.intersects_xy(read_land(), longitude, latitude) == expected, place


def test_a_point_of_every_event_is_on_land_or_within_25_km_of_it():
    for event in read_events().values():
        point = shapely.Point(event.longitude, event.latitude)
        near = shapely.shortest_line(read_land(), point).coords[0]
        east = (near[0] - point.x) * math.cos(math.radians(point.y))
        assert 111.2 * math.hypot(east, near[1] - point.y) < 25, event.name


def test_the_land_has_the_size_of_the_real_one():
    radius = 6371.0
    # degrees to an equal-area map: x = lambda R, y = R sin(phi)
    flat = shapely.transform(
        shapely.segmentize(read_land(), 1.0),
        lambda p: [[radius * math.radians(x), radius * math.sin(math.radians(y))] for x, y in p],
    )
    assert flat.area == pytest.approx(148.9e6, rel=0.03)  # km2, without lakes and with Antarctica


def test_borders_left_no_cracks():
    holes = [ring for part in read_land().geoms for ring in part.interiors]
    assert [round(shapely.Polygon(ring).area) for ring in holes] == [42]  # the Caspian Sea


def test_the_file_is_small_and_says_where_it_is_from_and_what_is_allowed():
    assert PATH.stat().st_size <= 200_000
    content = json.loads(PATH.read_text(encoding="utf-8"))
    assert content["license"].startswith("public domain")
    assert "Natural Earth" in content["source"]
    assert content["type"] == "MultiPolygon"
    assert shapely.from_geojson(json.dumps(content)).equals(read_land())


@pytest.mark.parametrize(
    "text", ["", "[]", '{"coordinates": [[[0, 0]]]}', '{"coordinates": []}', '{"a": 1}']
)
def test_a_damaged_file_is_refused_with_the_remedy(tmp_path, text):
    path = tmp_path / "land.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(XbdError, match=r"is no map of land .*restore it: git checkout -- data/"):
        read_land(path)
    with pytest.raises(XbdError, match="is no map of land"):
        read_land(tmp_path / "none.json")


# how the file is made


def shape_file(*records: list[list[tuple[float, float]]]) -> bytes:
    """Encode polygons, each a list of rings, as an ESRI shape file."""
    data = bytearray(100)
    for number, rings in enumerate(records, start=1):
        points = [point for ring in rings for point in ring]
        starts = [sum(map(len, rings[:i])) for i in range(len(rings))]
        content = struct.pack("<i4d2i", 5, 0, 0, 0, 0, len(rings), len(points))
        content += struct.pack(f"<{len(starts)}i", *starts)
        content += b"".join(struct.pack("<2d", *point) for point in points)
        data += struct.pack(">2i", number, len(content) // 2) + content
    return bytes(data)


def ring(west: float, south: float, east: float, north: float) -> list[tuple[float, float]]:
    """Go around a box clockwise, as an outline does."""
    return [(west, south), (west, north), (east, north), (east, south), (west, south)]


def test_two_countries_become_one_piece_of_land_with_the_lake_left_out():
    first, second = ring(0, 0, 10, 10), ring(10, 0, 20, 10)
    lake = ring(2, 2, 4, 4)[::-1]
    islands = [ring(30, 0, 31, 1), ring(40, 0, 42, 1)]
    data = make_land.land_json(shape_file([first, lake], [second], islands))
    land = shapely.from_geojson(data)
    assert len(land.geoms) == 3
    assert land.area == pytest.approx(200 - 4 + 1 + 2)
    assert not land.contains(shapely.Point(3, 3))
    assert land.contains(shapely.Point(10, 5))  # the border is gone


def test_an_outline_that_is_too_long_or_no_polygon_is_refused(monkeypatch):
    monkeypatch.setattr(make_land, "MAX_BYTES", 50)
    with pytest.raises(ValueError, match="expected at most 50 bytes"):
        make_land.land_json(shape_file([ring(0, 0, 1, 1)]))
    points = bytearray(shape_file([ring(0, 0, 1, 1)]))
    points[108:112] = struct.pack("<i", 1)
    with pytest.raises(ValueError, match=r"expected polygons .*, got type 1"):
        list(make_land.polygons(bytes(points)))


def test_another_wheel_is_refused(tmp_path):
    wheel = tmp_path / "geopandas-0.14.4-py3-none-any.whl"
    wheel.write_bytes(b"not the wheel that we know")
    command = [sys.executable, ROOT / "tools" / "make_land.py", "--wheel", wheel]
    run = subprocess.run([*command, "--out", tmp_path / "x"], capture_output=True, text=True)
    assert run.returncode == 1
    assert "expected SHA-256 3bb6473c" in run.stderr
    assert not (tmp_path / "x").exists()
