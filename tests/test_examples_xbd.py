"""Scenes of xBD for a notebook: real ones by folder, rendered ones written once and found again."""

import pytest

from course_utils import examples, xbd
from course_utils.examples import worlds


@pytest.fixture
def small_world(monkeypatch):
    """Write one tile of 32 pixels an event; the settings reach the processes as arguments."""
    monkeypatch.setattr(worlds, "_NUM_PAIRS", 1)
    monkeypatch.setattr(worlds, "_SIZE", 64)


def test_without_a_folder_every_event_is_rendered_once_and_said_to_be_rendered(
    small_world, tmp_path
):
    seen = []

    def count(items, total):
        for item in items:
            seen.append(total)
            yield item

    first = examples.load_xbd(cache=tmp_path, progress=count)
    assert not first.is_real
    assert seen == [19] * 19
    assert {scene.event for scene in first.scenes} == set(xbd.read_events())
    assert "no image is a photograph" in first.notes[0]
    times = {scene.post_image: scene.post_image.stat().st_mtime_ns for scene in first.scenes}
    again = examples.load_xbd(cache=tmp_path)
    assert again.scenes == first.scenes
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())


def test_an_empty_folder_says_what_was_expected(tmp_path):
    with pytest.raises((ValueError, FileNotFoundError), match="COURSE_XBD"):
        examples.load_xbd(root=tmp_path, cache=tmp_path)


def test_real_scenes_are_opened_with_their_licence(test_data, tmp_path):
    found = examples.load_xbd(root=test_data / "xbd", cache=tmp_path)
    assert found.is_real
    assert len(found.scenes) == 5
    assert "CC BY-NC-SA 4.0" in found.notes[0]


def _scenes(**counts):
    nothing = dict.fromkeys(
        ("pre_image", "post_image", "pre_label", "post_label", "pre_target", "post_target")
    )
    return [
        xbd.XbdScene(f"{event}_{k:08d}", event, "train", **nothing)
        for event, count in counts.items()
        for k in range(count)
    ]


def test_a_small_choice_of_scenes_holds_every_event_alike():
    scenes = _scenes(a=300, b=5, c=40)
    chosen = examples.spread(scenes, 30, seed=0)
    counts = {event: sum(scene.event == event for scene in chosen) for event in "abc"}
    assert counts == {"a": 12, "b": 5, "c": 13} or counts == {"a": 13, "b": 5, "c": 12}
    assert [scene.name for scene in chosen] == sorted(scene.name for scene in chosen)
    assert examples.spread(scenes[::-1], 30, seed=0) == chosen
    assert examples.spread(scenes, 30, seed=1) != chosen
    assert len(examples.spread(scenes, 10_000, seed=0)) == 345
