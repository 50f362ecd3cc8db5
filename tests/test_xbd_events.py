"""xBD's events: the published sums, the two class maps, places and dates that can be checked."""

import math
from datetime import date
from itertools import combinations

import pytest

from course_utils.runtime import data_root
from course_utils.xbd import DamageLevel, XbdError
from course_utils.xbd.events import CLASSES, class_of, read_events

TABLE = data_root() / "xbd_events.csv"


def total(numbers) -> int:
    return sum(numbers)


def kilometers(first, second) -> float:
    """Independent of the package: the spherical law of cosines."""
    a, b = math.radians(first.latitude), math.radians(second.latitude)
    turn = math.radians(first.longitude - second.longitude)
    cosine = math.sin(a) * math.sin(b) + math.cos(a) * math.cos(b) * math.cos(turn)
    return 6371 * math.acos(min(1.0, cosine))


def test_pairs_add_up_to_the_published_numbers():
    events = read_events()
    assert len(events) == 19
    assert list(events) == sorted(events)
    by_split = {
        split: total(event.num_pairs[split] for event in events.values())
        for split in ("train", "tier3", "test", "hold")
    }
    assert by_split == {"train": 2799, "tier3": 6369, "test": 933, "hold": 933}
    assert total(by_split.values()) == 11_034


def test_buildings_add_up_to_the_published_numbers():
    events = read_events().values()
    by_level = {
        level: total(event.num_buildings[level] for event in events) for level in DamageLevel
    }
    assert by_level == {
        DamageLevel.NO_DAMAGE: 313_033,
        DamageLevel.MINOR: 36_860,
        DamageLevel.MAJOR: 29_904,
        DamageLevel.DESTROYED: 31_560,
        DamageLevel.UNCLASSIFIED: 14_011,
    }
    assert total(by_level.values()) == 425_368


def test_single_rows_are_as_published():
    events = read_events()
    assert events["guatemala-volcano"].num_pairs == {"train": 18, "tier3": 0, "test": 5, "hold": 5}
    assert list(events["sunda-tsunami"].num_buildings.values()) == [14078, 0, 100, 179, 2590]
    assert events["mexico-earthquake"].num_buildings[DamageLevel.DESTROYED] == 3
    assert total(events["portugal-wildfire"].num_pairs.values()) == 1869


def test_an_event_of_tier3_is_in_no_other_split():
    for event in read_events().values():
        assert (event.num_pairs["tier3"] > 0) != (event.num_pairs["train"] > 0)


def test_classes_are_those_of_the_course_and_the_procedural_world():
    import mini_earth  # heavy, and needed here only

    assert CLASSES == ("earthquake", "flooding", "tsunami", "volcano", "wildfire", "wind")
    assert set(mini_earth.DISASTERS) == set(CLASSES)
    for class_map in ("xbd", "course"):
        assert {class_of(name, class_map=class_map) for name in read_events()} == set(CLASSES)


def test_the_maps_differ_for_florence_and_michael_only():
    maps = {name: (class_of(name), class_of(name, class_map="course")) for name in read_events()}
    assert {name: pair for name, pair in maps.items() if pair[0] != pair[1]} == {
        "hurricane-florence": ("flooding", "wind"),
        "hurricane-michael": ("wind", "flooding"),
    }


def test_pairs_by_class_of_the_course_are_the_known_ones():
    counts = dict.fromkeys(CLASSES, 0)
    for name, event in read_events().items():
        counts[class_of(name, class_map="course")] += total(event.num_pairs.values())
    assert counts == {
        "earthquake": 193,
        "flooding": 2136,
        "tsunami": 344,
        "volcano": 319,
        "wildfire": 6372,
        "wind": 1670,
    }


def test_an_unknown_event_or_map_lists_the_known_ones():
    with pytest.raises(XbdError, match=r"expected one of .*joplin-tornado.*, got 'fire'"):
        class_of("fire")
    with pytest.raises(XbdError, match="expected a class map among xbd, course, got 'rscc'"):
        class_of("joplin-tornado", class_map="rscc")


def test_only_the_two_californian_fires_of_2018_share_a_place():
    events = read_events()
    pairs = {tuple(sorted(p)): kilometers(*map(events.get, p)) for p in combinations(events, 2)}
    near = {pair: distance for pair, distance in pairs.items() if distance < 150}
    assert list(near) == [("socal-fire", "woolsey-fire")]
    assert near["socal-fire", "woolsey-fire"] < 20
    assert events["socal-fire"].date == events["woolsey-fire"].date == date(2018, 11, 8)


@pytest.mark.parametrize(
    ("name", "box"),  # west, south, east, north
    [
        ("joplin-tornado", (-94.57, 37.04, -94.42, 37.09)),
        ("lower-puna-volcano", (-154.94, 19.41, -154.84, 19.52)),
        ("sunda-tsunami", (105.80, -6.80, 105.87, -6.19)),
        ("hurricane-harvey", (-95.70, 29.41, -95.32, 30.09)),
        ("guatemala-volcano", (-90.89, 14.35, -90.80, 14.45)),
        ("santa-rosa-wildfire", (-122.80, 38.40, -122.63, 38.57)),
        ("pinery-bushfire", (138.68, -34.55, 138.93, -34.22)),
        ("nepal-flooding", (83.25, 26.46, 83.59, 27.00)),
    ],
)
def test_points_lie_among_the_tiles(name, box):
    event = read_events()[name]
    assert box[0] < event.longitude < box[2]
    assert box[1] < event.latitude < box[3]


def test_well_known_days_are_right():
    days = {name: event.date.isoformat() for name, event in read_events().items()}
    assert days["joplin-tornado"] == "2011-05-22"
    assert days["mexico-earthquake"] == "2017-09-19"
    assert days["palu-tsunami"] == "2018-09-28"
    assert days["sunda-tsunami"] == "2018-12-22"
    assert days["pinery-bushfire"] == "2015-11-25"
    assert days["hurricane-harvey"][:7] == "2017-08"
    assert min(days.values()) == days["tuscaloosa-tornado"] == "2011-04-27"


def test_what_is_returned_may_be_changed_without_harm():
    read_events().clear()
    assert len(read_events()) == 19


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("event,", "name,", 1),
        lambda text: text.replace("8225", "8226"),
        lambda text: text.replace(",149,", ",148,"),
        lambda text: text.replace(",149,", ",many,"),
        lambda text: text.replace("2011-05-22", "22.05.2011"),
        lambda text: text.replace("-94.51", "-194.51"),
        lambda text: text.replace(",earthquake,", ",quake,"),
        lambda text: text.replace("joplin-tornado", "moore-tornado"),
        lambda text: text.replace(",2590", ""),
        lambda text: text.replace("Mexico City", ""),
    ],
    ids=range(12),
)
def test_a_damaged_table_is_refused_with_the_remedy(tmp_path, damage):
    path = tmp_path / "events.csv"
    text = TABLE.read_text(encoding="utf-8")
    path.write_text(damage(text), encoding="utf-8")
    assert damage(text) != text
    with pytest.raises(XbdError, match=r"is no table of .*restore it: git checkout -- data/xbd_"):
        read_events(path)


def test_a_missing_or_binary_table_is_refused(tmp_path):
    with pytest.raises(XbdError, match="is no table of xBD's events"):
        read_events(tmp_path / "none.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(XbdError, match="is no table of xBD's events"):
        read_events(tmp_path / "binary.csv")
