"""Widgets: the slider moves the line of the drawn figure, and nothing fails without ipywidgets."""

import io
import sys
import time

import ipywidgets
import numpy as np
import pytest
from PIL import Image
from shapely import box

from course_utils import widgets
from course_utils.xbd.labels import Building
from course_utils.xbd.levels import DamageLevel

RED, BLUE = (200, 30, 30), (30, 30, 200)
PRE, POST = (np.full((64, 64, 3), color, np.uint8) for color in (RED, BLUE))


def colors_at(picture: ipywidgets.Image, *, height: float = 0.5) -> np.ndarray:
    """Give the drawn pixels of one line through the middle of the figure, without its margins."""
    pixels = np.asarray(Image.open(io.BytesIO(picture.value)).convert("RGB")).astype(int)
    row = pixels[round(height * len(pixels))]
    return row[round(0.03 * len(row)) : round(0.97 * len(row))]


def red_share(picture: ipywidgets.Image) -> float:
    pixels = colors_at(picture)
    return float((pixels[:, 0] > pixels[:, 2] + 60).mean())


def test_the_image_before_is_left_of_the_line_and_the_line_follows_the_slider():
    slider, picture = widgets.swipe(PRE, POST).children
    assert red_share(picture) == pytest.approx(0.5, abs=0.03)
    slider.value = 0.8
    assert red_share(picture) == pytest.approx(0.8, abs=0.03)
    slider.value = 0.0
    assert red_share(picture) == pytest.approx(0.0, abs=0.03)
    slider.value = 1.0
    assert red_share(picture) == pytest.approx(1.0, abs=0.03)


def test_only_the_line_moves():
    slider, picture = widgets.swipe(PRE, POST, caption="a scene").children
    before = Image.open(io.BytesIO(picture.value))
    slider.value = 0.2
    after = Image.open(io.BytesIO(picture.value))
    assert before.size == after.size
    top = (0, 0, before.width, 24)  # the caption, clear of blocks that JPEG shares with the image
    assert np.array_equal(np.asarray(before.crop(top)), np.asarray(after.crop(top)))


def test_a_place_is_drawn_only_once(monkeypatch):
    drawn = []

    def show_swipe(*images, position, **options):
        drawn.append(position)
        return real(*images, position=position, **options)

    real = widgets.show_swipe
    monkeypatch.setattr(widgets, "show_swipe", show_swipe)
    slider, _ = widgets.swipe(PRE, POST).children
    for value in (0.55, 0.5, 0.55, 0.15, 0.1 + 0.05):
        slider.value = value
    assert drawn == [0.5, 0.55, 0.15]


def test_buildings_are_outlined_right_of_the_line():
    buildings = [Building("a", box(8, 8, 56, 56), DamageLevel.MINOR)]
    slider, picture = widgets.swipe(PRE, POST, buildings=buildings).children

    def yellow() -> int:
        pixels = colors_at(picture)
        return int(((pixels[:, 0] > 150) & (pixels[:, 1] > 150) & (pixels[:, 2] < 140)).sum())

    slider.value = 0.3
    few = yellow()
    assert few > 0
    slider.value = 0.0
    assert yellow() > few
    slider.value = 1.0
    assert yellow() == 0


def test_a_move_is_quick_for_images_of_full_size():
    noise = np.random.default_rng(0).integers(0, 256, (1024, 1024, 3), dtype=np.uint8)
    buildings = [
        Building(str(i), box(x, y, x + 40, y + 30), DamageLevel.MAJOR)
        for i, (x, y) in enumerate((x, y) for x in range(0, 1000, 120) for y in range(0, 1000, 120))
    ]
    slider, picture = widgets.swipe(noise, noise[::-1].copy(), buildings=buildings).children
    started = time.process_time()
    slider.value = 0.75
    assert time.process_time() - started < 1.0  # 0.15 s on a quiet machine
    assert len(picture.value) < 300_000  # a slow connection has to carry each


def test_pairs_are_loaded_when_chosen():
    loaded = []

    def loader(name, pre):
        def load():
            loaded.append(name)
            return pre, POST, []

        return load

    view = widgets.choose_pair({"a": loader("a", PRE), "b": loader("b", POST)})
    names, shown = view.children
    assert loaded == ["a"]
    assert red_share(shown.children[1]) > 0.4
    names.value = "b"
    assert loaded == ["a", "b"]
    assert red_share(view.children[1].children[1]) == 0
    view.children[1].children[0].value = 0.9  # the new slider is alive
    assert view.children[0] is names


def test_a_pair_that_cannot_be_loaded_says_why_and_the_next_one_works():
    def broken():
        raise OSError("the disk is <gone>")

    view = widgets.choose_pair({"a": broken, "b": lambda: (PRE, POST, [])})
    assert "the disk is &lt;gone&gt;" in view.children[1].value
    view.children[0].value = "b"
    assert red_share(view.children[1].children[1]) > 0.4


def test_without_ipywidgets_a_note_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    for note in (widgets.swipe(PRE, POST), widgets.choose_pair({"a": lambda: (PRE, POST, [])})):
        assert "ipywidgets" in str(note)
        assert note._repr_markdown_() == str(note)


def test_what_cannot_be_shown_is_refused_at_once():
    with pytest.raises(ValueError, match="one size"):
        widgets.swipe(PRE, POST[:32])
    with pytest.raises(ValueError, match="no pairs"):
        widgets.choose_pair({})
