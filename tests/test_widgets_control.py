"""Widgets that steer: what is chosen is what is drawn, once, and what fails is said."""

import ipywidgets
import numpy as np
import pytest

from course_utils import plots, widgets
from course_utils.control import Block, Metadata, Strip, paint_map
from course_utils.texts import text

LAKE = np.full((32, 32), 5, np.uint8)
FIELD = paint_map("agriculture", size=32)


class Painter:
    """Draws a picture of one color a map, and remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, page: np.ndarray) -> np.ndarray:
        self.asked.append(page.copy())
        if (page == 3).all():
            raise RuntimeError("<only> roads")
        return np.full((8, 8, 3), int(page.sum()) % 256, np.uint8)


def find(box: ipywidgets.Widget, key: str) -> list:
    """List the controls that have a description, wherever they are."""
    found = [box] if getattr(box, "description", None) == text(key) else []
    return found + [each for child in getattr(box, "children", ()) for each in find(child, key)]


def shown(page: np.ndarray, scene: np.ndarray | None = None) -> bytes:
    return plots.figure_bytes(plots.show_map_and_scene(page, scene), dpi=110)


def test_a_prepared_map_is_shown_at_once_and_drawn_when_the_button_is_pressed():
    draw = Painter()
    panel = widgets.map_painter(draw, prepared={"lake": LAKE, "field": FIELD})
    (choice,), (button,) = find(panel, "widget.map"), find(panel, "widget.draw")
    *_, message, picture = panel.children
    assert picture.value == shown(LAKE)
    assert not draw.asked
    button.click()
    assert np.array_equal(draw.asked[0], LAKE)
    assert picture.value == shown(LAKE, draw(LAKE))
    choice.value = "field"
    assert picture.value == shown(FIELD)
    calls = len(draw.asked)
    choice.value = "lake"  # kept, and shown beside its map again
    assert picture.value == shown(LAKE, draw(LAKE))
    button.click()
    assert len(draw.asked) == calls + 1  # that of this test
    assert message.value == ""


def test_what_the_brushes_say_is_what_is_painted():
    panel = widgets.map_painter(Painter())
    *_, picture = panel.children
    block, road = Block(0.75, 0.25, num=3), Strip("west", "east", 6)
    assert picture.value == shown(paint_map("agriculture", road=road, block=block))
    find(panel, "widget.river")[0].value = "north"
    river = Strip("north", "south", 8)
    assert picture.value == shown(paint_map("agriculture", river=river, road=road, block=block))
    find(panel, "widget.bend")[1].value = 0.5
    find(panel, "widget.width")[1].value = 10
    find(panel, "widget.houses")[0].value = "-"
    find(panel, "widget.ground")[0].value = "tree"
    bent = Strip("west", "east", 10, 0.5)
    assert picture.value == shown(paint_map("tree", river=river, road=bent))


def test_brushes_are_hidden_where_a_prepared_map_is_chosen():
    panel = widgets.map_painter(Painter(), prepared={"lake": LAKE})
    rows = panel.children[1:-2]
    assert {row.layout.display for row in rows} == {"none"}
    find(panel, "widget.map")[0].value = ""
    assert {row.layout.display for row in rows} == {None}


def test_what_cannot_be_painted_is_said_and_the_next_map_is_shown():
    panel = widgets.map_painter(Painter())
    *_, message, picture = panel.children
    end = find(panel, "widget.leaves")[1]
    end.value = "west"
    assert "by another side" in message.value
    assert picture.layout.display == "none"
    end.value = "north"
    assert message.value == ""
    assert picture.layout.display is None


def test_what_cannot_be_drawn_is_said_escaped_and_not_raised():
    panel = widgets.map_painter(Painter(), prepared={"roads": np.full((8, 8), 3, np.uint8)})
    *_, message, picture = panel.children
    find(panel, "widget.draw")[0].click()
    assert "&lt;only&gt; roads" in message.value
    assert picture.layout.display == "none"


def test_a_prepared_map_of_other_codes_is_refused():
    with pytest.raises(ValueError, match="codes of land cover from 0 to 7"):
        widgets.map_painter(Painter(), prepared={"bad": LAKE + 3})


def told(record: Metadata) -> np.ndarray:
    if record.month == 12:
        raise RuntimeError("no winter")
    values = (20 * record.month, 20 * record.meters_per_pixel, 200 * record.cloud_share)
    return np.full((4, 4, 3), np.array(values, np.uint8))


def test_sliders_of_metadata_tell_what_they_show_and_keep_the_rest():
    asked = []

    def draw(record: Metadata) -> np.ndarray:
        asked.append(record)
        return told(record)

    start = Metadata(10.0, None, 2.4, 0.0, 2018.0, 3.0, 9.0)
    panel = widgets.metadata_panel(draw, start=start)
    month, meters, cloud = panel.children[0].children
    message, picture = panel.children[1:]
    assert (month.value, meters.value, cloud.value) == (3, 2.0, 0.0)
    assert month.continuous_update is False
    first = picture.value
    meters.value, cloud.value = 12.0, 0.5
    assert asked[-1] == Metadata(10.0, None, 12.0, 0.5, 2018.0, 3.0, 9.0)
    caption = text("widget.told", month=3, meters="12", cloud="50")
    wanted = plots.show_images([told(asked[-1])], caption=caption)
    assert picture.value == plots.figure_bytes(wanted, dpi=220)
    calls = len(asked)
    cloud.value = 0.0
    meters.value = 2.0
    assert picture.value == first
    assert len(asked) == calls  # 12 m without cloud lay on the way, the start was kept
    month.value = 12.0
    assert "no winter" in message.value
    month.value = 11.0
    assert message.value == ""


def test_nothing_to_choose_from_is_refused():
    with pytest.raises(ValueError, match="0 distances"):
        widgets.metadata_panel(told, meters=())


@pytest.mark.parametrize("make", [widgets.map_painter, widgets.metadata_panel])
def test_without_the_library_a_note_stands_in_its_place(make, monkeypatch):
    from course_utils.widgets import control

    monkeypatch.setattr(control, "load_ipywidgets", lambda: None)
    assert make(told) == widgets.Note(text("widget.missing"))
