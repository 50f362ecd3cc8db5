"""The lab's disasters on scenes in xBD's layout: apart by event, the same place before, damage."""

import json
import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import mini_earth
from course_utils import examples, xbd
from course_utils.examples import disasters
from course_utils.runtime import Profile, data_root

EVENTS = {
    "wildfire": ("pinery-bushfire", "portugal-wildfire", "santa-rosa-wildfire"),
    "flooding": ("hurricane-florence", "hurricane-harvey", "nepal-flooding"),
    "volcano": ("guatemala-volcano",),
}
TINY = replace(Profile(), shots=1, num_test=9)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("xbd")
    events = [event for some in EVENTS.values() for event in some]
    mini_earth.write_xbd(root, events=events, num_pairs=3, size=64)
    return root


def load(world, cache=None, profile=TINY):
    return examples.load_lab(profile, data="disasters", xbd=world, cache=cache)


@pytest.fixture(scope="module")
def data(world):
    return load(world)


def events_in(part, names):
    found = {name: set() for name in names}
    for each in part:
        event = each.group.rsplit("_", 1)[0]
        found[names[each.label]].add(event)
    return found


def test_no_event_is_in_two_parts_and_labels_are_types_of_disaster(data):
    assert data.class_names == ("flooding", "wildfire")
    parts = [events_in(part, data.class_names) for part in (data.train, data.validation, data.test)]
    for name in data.class_names:
        events = [part[name] for part in parts]
        assert all(events)
        assert sum(map(len, events)) == len(set.union(*events)) <= 3
        assert set.union(*events) <= set(EVENTS[name])
    assert (data.task, data.name, data.stand_in_for) == ("disasters", "xBD", None)
    assert data.phrases == ("a place damaged by flooding", "a place damaged by a wildfire")


def test_licence_and_what_was_left_out_are_said(data):
    assert "CC BY-NC-SA 4.0" in data.notes[0]
    assert [note for note in data.notes[1:] if note.startswith("volcano is left out")]


def test_crops_are_those_of_the_tile_after_and_before(data, world):
    scenes = {scene.name: scene for scene in xbd.find_scenes(world)}
    for each in data.train:
        for example, path in (
            (each, scenes[each.group].post_image),
            (each.before, scenes[each.group].pre_image),
        ):
            assert np.array_equal(example.pixels, np.asarray(Image.open(path).convert("RGB")))
        assert each.before.label == each.label
    assert not any(each.before for each in (*data.validation, *data.test))


def test_a_second_load_reads_the_cache_and_new_images_are_read_again(world, tmp_path, monkeypatch):
    first = load(world, tmp_path)
    cut = disasters._cut
    monkeypatch.setattr(disasters, "_cut", None)
    again = load(world, tmp_path)
    digests = [[each.digest() for each in splits.test] for splits in (first, again)]
    assert digests[0] == digests[1]
    monkeypatch.setattr(disasters, "_cut", cut)
    assert [each.name for each in load(world).test] == [each.name for each in first.test]


def label_with(tmp_path, boxes):
    """Write a label of square buildings, each with its corner and its grade."""
    scene = xbd.XbdScene("a_00000001", "a", "train")
    entries = [
        {
            "properties": {"feature_type": "building", "subtype": grade, "uid": str(i)},
            "wkt": f"POLYGON (({x} {y}, {x + 9} {y}, {x + 9} {y + 9}, {x} {y + 9}, {x} {y}))",
        }
        for i, (x, y, grade) in enumerate(boxes)
    ]
    path = tmp_path / "a_00000001_post_disaster.json"
    degrees = [{**entry, "wkt": "POLYGON ((1 1, 1.1 1, 1.1 1.1, 1 1.1, 1 1))"} for entry in entries]
    label = {
        "features": {"xy": entries, "lng_lat": degrees},
        "metadata": {"width": 1024, "height": 1024},
    }
    path.write_text(json.dumps(label))
    return replace(scene, post_label=path)


def test_windows_come_by_damage_then_by_buildings_and_stay_inside(tmp_path):
    boxes = [(10, 10, "no-damage"), (30, 10, "no-damage"), (300, 10, "destroyed")]
    boxes += [(600, 600, "minor-damage"), (620, 600, "no-damage"), (1030, 1030, "no-damage")]
    boxes += [(700, 10, "un-classified")]
    found = disasters._windows(label_with(tmp_path, boxes))
    assert [(each.left, each.top) for each in found] == [
        (512, 512),
        (256, 0),
        (0, 0),
        (512, 0),
        (768, 768),
    ]
    assert [(w.left, w.top) for w in disasters._windows(label_with(tmp_path, []))] == [(0, 0)]


def test_too_few_tiles_give_several_windows_each_and_no_more_than_four(tmp_path, monkeypatch):
    boxes = [(256 * x + 9, 256 * y + 9, "destroyed") for x in range(4) for y in range(4)]
    scene = label_with(tmp_path, boxes)
    scenes = [replace(scene, name=f"a_{k:08d}") for k in range(3)]
    monkeypatch.setattr(xbd, "class_of", lambda event: event)
    counts = Counter(crop.scene.name for crop in disasters._choose(scenes, ("a",), 7))
    assert sorted(counts.values()) == [2, 2, 3]
    assert len(disasters._choose(scenes, ("a",), 100)) == 12
    few = disasters._choose(scenes, ("a",), 2)
    assert len({crop.scene.name for crop in few}) == 2


def test_five_tiles_of_two_events_are_too_few_and_the_rendered_world_stands_in(monkeypatch):
    monkeypatch.setattr(examples.loading, "_NUM_VALIDATION", 1)
    found = load(data_root() / "xbd_tiles", profile=replace(TINY, num_test=6))
    assert found.stand_in_for == "xBD"
    assert "fewer than two types" in found.notes[0]
    assert all(each.before for each in found.train)


def test_a_folder_without_scenes_is_refused(tmp_path):
    with pytest.raises(ValueError, match="found no split"):
        load(tmp_path)


def test_where_models_are_large_crops_are_kept_larger(world):
    data = load(world, profile=replace(TINY, name="t4"))
    assert data.test[0].pixels.shape == (224, 224, 3)


@pytest.mark.parametrize("when", ["pre", "post"])
def test_a_tile_of_another_size_than_its_label_says_is_not_cut_in_the_wrong_place(
    world, tmp_path, when
):
    shutil.copytree(world, tmp_path / "xbd")
    for path in (tmp_path / "xbd").glob(f"*/images/*_{when}_disaster.png"):
        Image.new("RGB", (32, 48)).save(path.with_suffix(".webp"))
        path.unlink()
    with pytest.raises(xbd.XbdError, match="expected 64 x 64 pixels as its label says, got 32 x"):
        load(tmp_path / "xbd")
