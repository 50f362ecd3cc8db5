"""Rendered scenes in xBD's layout, read by a reader of its own here and by the package's."""

import errno
import json
import math
import os
import re
from collections import Counter
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import shapely
import shapely.wkt
from PIL import Image, ImageDraw

import mini_earth
from course_utils.xbd import DamageLevel, damage_mask, find_scenes, read_image, read_label
from course_utils.xbd.events import read_events
from course_utils.xbd.splits import SplitRule, split_scenes
from mini_earth import Outline, write_xbd, write_xbd_steps, xbd_files
from mini_earth.hazard import recorded_levels
from mini_earth.xbd_files import encode_pair, lay_out, outline_buildings
from mini_earth.xbd_plan import plan_tiles

SIZE, METERS = 96, 2.5
EXTENT = SIZE * METERS
PAIRS = {
    "guatemala-volcano": 4,
    "hurricane-harvey": 3,
    "joplin-tornado": 2,
    "mexico-earthquake": 3,
    "palu-tsunami": 2,
    "santa-rosa-wildfire": 3,
}
TINY = {"size": 32, "meters_per_pixel": 4.0}
# what the official masks hold; nobody can score what nobody could grade
VALUES = {
    "no-damage": 1,
    "minor-damage": 2,
    "major-damage": 3,
    "destroyed": 4,
    "un-classified": 0,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("xbd")
    write_xbd(folder, num_pairs=PAIRS, size=SIZE, meters_per_pixel=METERS, seed=4)
    return folder


@pytest.fixture(scope="module")
def pairs(root) -> dict[str, dict]:
    """Everything on disk by name of the pair, read without the package."""
    found: dict[str, dict] = {}
    pattern = re.compile(r"(([a-z]+-)+[a-z]+_[0-9]{8})_(pre|post)_disaster(_target)?\.(png|json)")
    for path in sorted(root.glob("*/*/*")):
        split, kind = path.parts[-3:-1]
        match = pattern.fullmatch(path.name)
        assert match, path.name
        content = json.loads(path.read_bytes()) if kind == "labels" else np.array(Image.open(path))
        pair = found.setdefault(match[1], {"split": split})
        assert pair["split"] == split
        pair[f"{match[3]} {kind}"] = content
    return found


def painted(label: dict) -> np.ndarray:
    """Draw a target from a label, building by building."""
    mask = Image.new("L", (SIZE, SIZE))
    for entry in label["features"]["xy"]:
        value = VALUES[entry["properties"].get("subtype", "no-damage")]
        ring = shapely.wkt.loads(entry["wkt"]).exterior.coords
        ImageDraw.Draw(mask).polygon(list(ring), fill=value)
    return np.array(mask)


def meters_between(first, second) -> float:
    """Independent of the package: the spherical law of cosines, on degrees."""
    lat, other = math.radians(first[1]), math.radians(second[1])
    turn = math.radians(first[0] - second[0])
    cosine = math.sin(lat) * math.sin(other) + math.cos(lat) * math.cos(other) * math.cos(turn)
    return 6_371_000 * math.acos(min(1.0, cosine))


def test_every_pair_has_the_official_files_and_tier3_no_targets(root, pairs):
    assert sorted(path.name for path in root.iterdir() if path.is_file()) == [
        "README.txt",
        "mini_earth.json",
    ]
    assert {path.name for path in root.iterdir() if path.is_dir()} == {
        "train",
        "tier3",
        "test",
        "hold",
    }
    assert Counter(name.rsplit("_", 1)[0] for name in pairs) == PAIRS
    kinds = {f"{when} {kind}" for when in ("pre", "post") for kind in ("images", "labels")}
    targets = {"pre targets", "post targets"}
    for pair in pairs.values():
        expected = kinds if pair["split"] == "tier3" else kinds | targets
        assert pair.keys() - {"split"} == expected


def test_images_are_rgb_and_differ_before_and_after(pairs):
    for pair in pairs.values():
        for when in ("pre", "post"):
            assert pair[f"{when} images"].shape == (SIZE, SIZE, 3)
            assert pair[f"{when} images"].dtype == np.uint8
        assert (pair["pre images"] != pair["post images"]).mean() > 0.5


def test_targets_are_what_the_labels_say(pairs):
    seen = set()
    for pair in pairs.values():
        if pair["split"] != "tier3":
            for when in ("pre", "post"):
                target = pair[f"{when} targets"]
                assert target.dtype == np.uint8
                np.testing.assert_array_equal(target, painted(pair[f"{when} labels"]))
                seen |= {(when, int(value)) for value in np.unique(target)}
    assert {("pre", 0), ("pre", 1), ("post", 0), ("post", 1), ("post", 4)} <= seen
    assert seen <= {("pre", 0), ("pre", 1), *(("post", value) for value in range(5))}


def test_a_building_has_one_uid_and_one_outline_and_is_graded_only_afterwards(pairs):
    uids, subtypes, numbers = [], Counter(), []
    for pair in pairs.values():
        entries = {
            (when, key): pair[f"{when} labels"]["features"][key]
            for when in ("pre", "post")
            for key in ("xy", "lng_lat")
        }
        ids = [[entry["properties"]["uid"] for entry in some] for some in entries.values()]
        assert all(some == ids[0] for some in ids)
        for key in ("xy", "lng_lat"):
            outlines = [[entry["wkt"] for entry in entries[when, key]] for when in ("pre", "post")]
            assert outlines[0] == outlines[1]
            assert not any("subtype" in entry["properties"] for entry in entries["pre", key])
        grades = [entry["properties"]["subtype"] for entry in entries["post", "xy"]]
        assert grades == [entry["properties"]["subtype"] for entry in entries["post", "lng_lat"]]
        subtypes.update(grades)
        uids += ids[0]
        numbers.append(len(ids[0]))
    assert len(set(uids)) == len(uids)
    assert {"no-damage", "destroyed"} <= set(subtypes) <= set(VALUES)
    assert 0 in numbers  # as in xBD, some tiles show no building
    assert 0.4 < subtypes["no-damage"] / subtypes.total() < 0.9


def test_outlines_are_valid_and_inside_the_tile(pairs):
    tile = shapely.box(0, 0, SIZE, SIZE)
    touching = 0
    for pair in pairs.values():
        for entry in pair["post labels"]["features"]["xy"]:
            polygon = shapely.wkt.loads(entry["wkt"])
            assert polygon.geom_type == "Polygon"
            assert polygon.is_valid
            assert polygon.area > 0
            assert tile.covers(polygon)
            touching += tile.exterior.intersects(polygon)
    assert touching > 0


def test_degrees_are_one_affine_map_of_pixels_with_north_up(pairs):
    checked = 0
    for pair in pairs.values():
        features = pair["post labels"]["features"]
        if len(features["xy"]) < 3:
            continue
        pixels, degrees = (
            np.concatenate(
                [shapely.get_coordinates(shapely.wkt.loads(entry["wkt"])) for entry in some]
            )
            for some in (features["xy"], features["lng_lat"])
        )
        inputs = np.column_stack([pixels, np.ones(len(pixels))])
        middle = degrees.mean(axis=0)
        affine = np.linalg.lstsq(inputs, degrees - middle, rcond=None)[0]
        assert np.abs(inputs @ affine + middle - degrees).max() < 1e-9
        east, south = affine[0], affine[1]
        assert east[0] > 0 > south[1]
        assert abs(east[1]) + abs(south[0]) < 1e-12
        for step in (east, south):
            assert meters_between(middle, middle + step * 100) == pytest.approx(
                100 * METERS, rel=2e-3
            )
        checked += 1
    assert checked > 5


def test_metadata_say_where_when_and_that_nothing_is_a_photograph(root, pairs):
    assert "Nothing here is a photograph" in (root / "README.txt").read_text(encoding="utf-8")
    kinds = {"joplin-tornado": "wind", "santa-rosa-wildfire": "fire", "palu-tsunami": "tsunami"}
    for name, pair in pairs.items():
        event = read_events()[name.rsplit("_", 1)[0]]
        for when in ("pre", "post"):
            about = pair[f"{when} labels"]["metadata"]
            assert about["sensor"].startswith("MINI_EARTH_")
            assert about["provider_asset_type"] == about["sensor"]
            assert about["img_name"] == f"{name}_{when}_disaster.png"
            assert about["disaster"] == event.name
            assert about["disaster_type"] == kinds.get(event.name, event.xbd_class)
            assert about["width"] == about["original_height"] == SIZE
            assert about["gsd"] == pytest.approx(4 * about["pan_resolution"], rel=1e-4)
            assert 0.9 * METERS < about["pan_resolution"] < 1.2 * METERS  # not the pixel size
            taken = datetime.fromisoformat(about["capture_date"])
            assert taken.tzinfo == UTC
            solar_hour = (taken.hour + taken.minute / 60 + event.longitude / 15) % 24
            assert 8.5 < solar_hour < 12.5
            days = (taken.date() - event.date).days
            assert (-401 < days < 0) if when == "pre" else (0 <= days <= 22)


def test_the_package_reads_the_same(root, pairs):
    scenes = find_scenes(root)
    assert [scene.name for scene in scenes] == sorted(pairs)
    for scene in scenes:
        pair = pairs[scene.name]
        for when in ("pre", "post"):
            label = read_label(getattr(scene, f"{when}_label"))
            image = read_image(getattr(scene, f"{when}_image"), metadata=label.metadata)
            np.testing.assert_array_equal(image, pair[f"{when} images"])
            mask = damage_mask(label.buildings, height=SIZE, width=SIZE)
            mask[mask == DamageLevel.UNCLASSIFIED] = 0
            np.testing.assert_array_equal(mask, painted(pair[f"{when} labels"]))
            assert not any(one.is_empty or one.is_duplicate for one in label.buildings)


def key_sets(label: dict) -> dict[str, set]:
    """Collect the keys at every level, and the kind of each value of the metadata."""
    entries = [entry for some in label["features"].values() for entry in some]
    return {
        "top": {frozenset(label)},
        "features": {frozenset(label["features"])},
        "entry": {frozenset(entry) for entry in entries},
        "properties": {frozenset(entry["properties"]) for entry in entries},
        "metadata": {(key, type(value)) for key, value in label["metadata"].items()},
    }


def test_label_files_have_exactly_the_keys_of_real_ones(test_data, pairs):
    for when in ("pre", "post"):
        real = [
            json.loads(path.read_bytes())
            for path in sorted((test_data / "xbd").glob(f"*/labels/*_{when}_disaster.json"))
        ]
        assert len(real) == 5
        ours = [pair[f"{when} labels"] for pair in pairs.values()]
        for level in key_sets(real[0]):
            sides = [set().union(*(key_sets(one)[level] for one in side)) for side in (real, ours)]
            assert sides[0] == sides[1], level
        for label in (*real, *ours):
            assert list(label["metadata"]) == list(real[0]["metadata"])
            assert all(
                entry["wkt"].startswith("POLYGON ((")
                for some in label["features"].values()
                for entry in some
            )


def test_splits_are_the_official_ones_in_their_shares():
    counts = {"guatemala-volcano": 28, "hurricane-florence": 546, "joplin-tornado": 149}
    tiles = plan_tiles(None, counts, extent=512.0, seed=0)
    for name in counts:
        dealt = Counter(tile.split for tile in tiles if tile.event == name)
        assert dealt == {split: n for split, n in read_events()[name].num_pairs.items() if n}
    some = plan_tiles(None, counts, splits=("test",), extent=512.0, seed=0)
    assert some == [tile for tile in tiles if tile.split == "test"]


def test_a_tile_does_not_depend_on_how_many_others_there_are():
    few = plan_tiles(("palu-tsunami",), 5, extent=512.0, seed=3)
    many = plan_tiles(None, 40, extent=512.0, seed=3)
    assert [tile for tile in many if tile.event == "palu-tsunami"][:5] == few
    assert [tile.name for tile in many[:2]] == [
        "guatemala-volcano_00000000",
        "hurricane-florence_00000000",
    ]


@pytest.mark.parametrize("extent", [64.0, 512.0, 1024.0])
def test_tiles_lie_around_their_event_in_groups_that_are_two_kilometers_apart(extent):
    tiles = plan_tiles(("portugal-wildfire",), 90, extent=extent, seed=1)
    event = read_events()["portugal-wildfire"]
    points = [(tile.longitude, tile.latitude) for tile in tiles]
    center = event.longitude, event.latitude
    assert max(meters_between(center, point) for point in points) < 15_000 * max(1, extent / 700)
    gaps = []
    for (i, first), (j, second) in combinations(enumerate(points), 2):
        gap = meters_between(first, second)
        gaps.append(gap)
        if i // 3 == j // 3:
            assert extent * 1.05 < gap < max(2000, 2.5 * extent)
        else:
            assert gap > 2000 + extent
    assert max(gaps) > 10_000


def test_blocks_of_the_only_earthquake_can_be_split(tmp_path):
    write_xbd(tmp_path, events=["mexico-earthquake"], num_pairs=8, **TINY)
    split = split_scenes(find_scenes(tmp_path), seed=0)
    assert split.rules == {"earthquake": SplitRule.BY_BLOCK}
    assert len(split.train) >= 2
    assert len(split.test) >= 1


def test_some_tiles_are_spared_and_the_first_of_each_event_is_not():
    tiles = plan_tiles(None, 12, extent=256.0, seed=0)
    first = [tile for tile in tiles if tile.name.endswith("_00000000")]
    assert len(first) == 19
    assert all(tile.is_struck for tile in first)
    assert 0.25 < np.mean([tile.is_struck for tile in tiles]) < 0.6
    damaged = {True: Counter(), False: Counter()}
    for tile in tiles[::6]:
        found = outline_buildings(lay_out(tile, 256.0), 64)
        damaged[tile.is_struck].update(one.damage not in (1, 255) for one in found)
    assert damaged[False][True] == 0
    assert damaged[False][False] > 100
    assert 0.3 < damaged[True][True] / damaged[True].total() < 0.95


@pytest.mark.parametrize(
    "event", ["hurricane-harvey", "hurricane-matthew", "joplin-tornado", "palu-tsunami"]
)
def test_the_damaged_buildings_of_an_event_have_the_published_levels(event):
    found = Counter()
    for tile in plan_tiles((event,), 40, extent=256.0, seed=0):
        found.update(building.damage for building in lay_out(tile, 256.0).buildings)
    published = read_events()[event].num_buildings
    levels = (DamageLevel.MINOR, DamageLevel.MAJOR, DamageLevel.DESTROYED)
    damaged = sum(found[level] for level in levels)
    assert damaged > 200
    for level in levels:
        share = published[level] / sum(published[each] for each in levels)
        assert found[level] / damaged == pytest.approx(share, abs=0.03)


def test_lava_destroys_what_it_covers_and_flows_wherever_puna_is_struck():
    tiles = plan_tiles(("lower-puna-volcano",), 20, extent=256.0, seed=0)
    seen = Counter()
    for tile in (tile for tile in tiles if tile.is_struck):
        scene = lay_out(tile, 256.0)
        for building in scene.buildings:
            x, y = building.center.astype(np.float32).reshape(2, 1)
            under = bool(scene.hazard.lava(x, y) > 0)
            seen[under, building.damage] += 1
    assert sum(count for (under, _), count in seen.items() if under) == seen[True, 4] > 20
    assert seen[False, 1] > seen[False, 4]


def test_the_worst_off_get_the_worst_level_and_chance_rounds():
    suffered = np.array([0.1, 0.9, 0.3, 0.7, 0.5])
    levels = recorded_levels(
        np.random.default_rng(0), suffered, num_damaged=4, shares=(0.25, 0.5, 0.25)
    )
    assert levels.tolist() == [1, 4, 2, 3, 3]
    draws = [
        recorded_levels(np.random.default_rng(i), suffered, num_damaged=3, shares=(0.8, 0.1, 0.1))
        for i in range(2000)
    ]
    counts = [np.mean([(levels == level).sum() for levels in draws]) for level in (1, 2, 3, 4)]
    assert counts == pytest.approx([2, 2.4, 0.3, 0.3], abs=0.05)
    rng = np.random.default_rng(0)
    assert not (recorded_levels(rng, suffered, num_damaged=0, shares=(0.0, 0.0, 1.0)) > 1).any()


def test_no_trace_of_a_disaster_is_where_it_passed_by():
    tiles = plan_tiles(None, 6, extent=256.0, seed=0)
    spared = {tile.disaster: tile for tile in tiles if not tile.is_struck}
    assert len(spared) == 6
    x, y = np.meshgrid(*[np.arange(0, 256, 8, dtype=np.float32)] * 2)
    for kind, tile in spared.items():
        scene = lay_out(tile, 256.0)
        assert scene.disaster == scene.hazard.kind == kind
        assert scene.hazard.intensity(x, y).shape == x.shape
        assert scene.hazard.intensity(x, y).max() == 0
        assert scene.hazard.lava(x, y).max() < -10


def test_the_land_looks_like_its_place_and_has_a_sea_only_at_the_coast():
    tiles = plan_tiles(("joplin-tornado", "palu-tsunami"), 30, extent=256.0, seed=0)
    styles = {tile.event: tile.style for tile in tiles}
    assert styles == {
        "joplin-tornado": "temperate_satellite",
        "palu-tsunami": "tropical_satellite",
    }
    seas = Counter()
    for tile in tiles:
        water = lay_out(tile, 256.0).water
        seas[tile.event] += water is not None and water.kind == "sea"
    assert seas["joplin-tornado"] == 0
    assert seas["palu-tsunami"] > 5


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_xbd(tmp_path / name, events=["nepal-flooding"], num_pairs=1, seed=seed, **TINY)
    first, second, other = (
        {path.name: path.read_bytes() for path in sorted((tmp_path / name).rglob("*.*"))}
        for name in "abc"
    )
    assert first == second
    assert first.keys() == other.keys()
    assert [name for name in first if first[name] == other[name]] == ["README.txt"]


def stamps(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in root.rglob("*.*") if path.is_file()}


def test_a_stopped_run_goes_on_and_touches_nothing_that_is_there(tmp_path):
    options = {"events": ["guatemala-volcano", "joplin-tornado"], "num_pairs": 2, **TINY}
    steps = write_xbd_steps(tmp_path, **options)
    first = [next(steps), next(steps)]
    steps.close()
    kept = stamps(tmp_path)
    scenes = find_scenes(tmp_path)
    assert [scene.name for scene in scenes] == [
        "guatemala-volcano_00000000",
        "joplin-tornado_00000000",
    ]
    assert all(scene.post_label for scene in scenes)
    pairs = list(write_xbd_steps(tmp_path, **options))
    assert pairs[:2] == first
    assert len(pairs) == 4
    assert kept.items() <= stamps(tmp_path).items()
    written = [vars(pair) for pair in write_xbd(tmp_path, **options)]
    assert written == [vars(scene) for scene in find_scenes(tmp_path)]


def test_a_pair_that_lost_a_file_is_written_again_and_the_data_can_grow(tmp_path):
    [scene] = write_xbd(tmp_path, events=["mexico-earthquake"], num_pairs=1, **TINY)
    whole = {path: path.read_bytes() for path in stamps(tmp_path)}
    scene.post_target.unlink()
    assert write_xbd(tmp_path, events=["mexico-earthquake"], num_pairs=1, **TINY) == [scene]
    assert {path: path.read_bytes() for path in stamps(tmp_path)} == whole
    before = stamps(tmp_path)
    assert len(write_xbd(tmp_path, num_pairs={"mexico-earthquake": 2}, **TINY)) == 2
    assert before.items() <= stamps(tmp_path).items()


@pytest.mark.parametrize("change", [{"seed": 1}, {"size": 48}, {"meters_per_pixel": 4.5}])
def test_other_settings_need_another_folder(tmp_path, change):
    options = {"events": ["mexico-earthquake"], "num_pairs": 1, **TINY}
    write_xbd(tmp_path, **options)
    before = stamps(tmp_path)
    with pytest.raises(ValueError, match="written with the settings"):
        write_xbd(tmp_path, **{**options, **change})
    assert stamps(tmp_path) == before


def test_another_version_of_the_world_needs_another_folder(tmp_path):
    options = {"events": ["mexico-earthquake"], "num_pairs": 1, **TINY}
    write_xbd(tmp_path, **options)
    settings = tmp_path / "mini_earth.json"
    assert json.loads(settings.read_bytes())["world"] == mini_earth.__version__
    assert json.loads(settings.read_bytes())["recipe"] == mini_earth.XBD_RECIPE
    settings.write_text(json.dumps({**json.loads(settings.read_bytes()), "world": "older"}))
    with pytest.raises(ValueError, match="version"):
        write_xbd(tmp_path, **options)
    settings.write_text("{")
    with pytest.raises(ValueError, match="delete that folder"):
        write_xbd(tmp_path, **options)


def test_rendered_scenes_are_never_put_beside_others(tmp_path):
    (tmp_path / "train" / "images").mkdir(parents=True)
    with pytest.raises(ValueError, match="did not write"):
        write_xbd(tmp_path, num_pairs=1, **TINY)
    assert [path.name for path in tmp_path.iterdir()] == ["train"]


def test_on_a_full_disk_what_is_there_stays_and_the_message_helps(tmp_path, request):
    options = {"events": ["guatemala-volcano"], "num_pairs": 2, **TINY}
    steps = write_xbd_steps(tmp_path, **options)
    next(steps)
    before = stamps(tmp_path)
    request.getfixturevalue("full_disk")
    with pytest.raises(OSError, match="free some space") as caught:
        next(steps)
    assert caught.value.errno == errno.ENOSPC
    assert stamps(tmp_path) == before
    assert not [name for _, _, names in os.walk(tmp_path) for name in names if ".part" in name]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"events": ["hurricane-nobody"]}, "guatemala-volcano.*'hurricane-nobody'"),
        ({"events": "hurricane-nobody"}, "'hurricane-nobody'"),
        ({"num_pairs": {"hurricane-nobody": 1}}, "'hurricane-nobody'"),
        ({"num_pairs": 0}, "1 or more"),
        ({"num_pairs": {"palu-tsunami": 1}, "events": ["joplin-tornado"]}, "joplin-tornado"),
        ({"splits": ["tier1"]}, "train, tier3, test, hold, got tier1"),
        ({"splits": ["train"], "events": ["joplin-tornado"]}, "none of the tiles"),
        ({"events": []}, "none of the tiles"),
        ({"size": 8}, "16 to 1024"),
        ({"size": 2048}, "16 to 1024"),
        ({"size": 16, "meters_per_pixel": 0.5}, "20 to 3000"),
        ({"meters_per_pixel": float("nan")}, "20 to 3000"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_written(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        write_xbd_steps(tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


def square(x: float, y: float, side: float) -> np.ndarray:
    return np.array([(x, y), (x + side, y), (x + side, y + side), (x, y + side)])


def test_buildings_are_cut_at_the_border_and_slivers_left_out(monkeypatch):
    [tile] = plan_tiles(("palu-tsunami",), 1, extent=EXTENT, seed=0)
    scene = lay_out(tile, EXTENT)
    u_shape = np.array([(-9, 40), (9, 40), (9, 44), (-5, 44), (-5, 50), (3, 50), (3, 54), (-9, 54)])
    outlines = [
        square(10, 10, 8.0),
        square(-4, 20, 8.0),
        square(-7.5, 30, 8.0),  # a sliver of 6 %
        square(200, 10, 8.0),  # far outside
        square(-8, 60, 8.0),  # touches the border from outside
        u_shape,  # two arms reach in: the larger one counts
    ]
    monkeypatch.setattr(
        xbd_files,
        "outlines",
        lambda scene, *, size, post: [Outline(one.astype(float), 2, 0.0) for one in outlines],
    )
    found = outline_buildings(scene, SIZE)
    assert [one.polygon.bounds for one in found] == [
        (10, 10, 18, 18),
        (0, 20, 4, 28),
        (0, 40, 9, 44),
    ]
    assert [one.polygon.area for one in found] == [64, 32, 36]
    assert {one.damage for one in found} == {DamageLevel.MINOR}


def test_what_a_cloud_hides_is_not_graded_after_and_not_outlined_before(monkeypatch):
    tiles = plan_tiles(("palu-tsunami",), 9, extent=EXTENT, seed=0)
    tile = next(tile for tile in tiles if tile.split == "train")

    def cloudy(scene, *, size, post):
        shares = (0.0, 0.0, 0.9) if post else (0.9, 0.0, 0.0)
        return [Outline(square(20.0 * i, 10, 8.0), 3, share) for i, share in enumerate(shares)]

    monkeypatch.setattr(xbd_files, "outlines", cloudy)
    pair = encode_pair(tile, size=SIZE, extent=EXTENT)
    label = json.loads(pair["post_label"])
    grades = [entry["properties"]["subtype"] for entry in label["features"]["xy"]]
    assert grades == ["major-damage", "un-classified"]
    for part, values in (("pre_target", [0, 1]), ("post_target", [0, 3])):
        with Image.open(xbd_files.io.BytesIO(pair[part])) as image:
            assert np.unique(image).tolist() == values
