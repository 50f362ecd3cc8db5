"""Widgets: what is set is what is drawn, what fails is said, and all of it without ipywidgets."""

import dataclasses
import io
import sys
import time

import ipywidgets
import numpy as np
import pytest
from PIL import Image
from shapely import box
from tiny_models import write_tiny_text2image

from course_utils import plots, widgets
from course_utils.text2image import GenerationConfig, TextToImage, generate, load_pipeline
from course_utils.xbd.labels import Building, DamageLevel

RED, BLUE = (200, 30, 30), (30, 30, 200)
PRE, POST = (np.full((64, 64, 3), color, np.uint8) for color in (RED, BLUE))


def colors_at(picture: ipywidgets.Image, *, height: float = 0.5) -> np.ndarray:
    """Give the drawn pixels of one line through the middle of the figure, without its margins."""
    pixels = np.asarray(Image.open(io.BytesIO(picture.value)).convert("RGB")).astype(int)
    row = pixels[round(height * len(pixels))]
    return row[round(0.03 * len(row)) : round(0.97 * len(row))]


def parts(view: ipywidgets.VBox) -> tuple[ipywidgets.SelectionSlider, ipywidgets.Image]:
    """Give the slider of a view and its picture."""
    row, _, picture = view.children[-3:]
    return row.children[0], picture


def red_share(picture: ipywidgets.Image) -> float:
    pixels = colors_at(picture)
    return float((pixels[:, 0] > pixels[:, 2] + 60).mean())


def test_the_image_before_is_left_of_the_line_and_the_line_follows_the_slider():
    slider, picture = parts(widgets.swipe(PRE, POST))
    assert red_share(picture) == pytest.approx(0.5, abs=0.03)
    slider.value = 0.8
    assert red_share(picture) == pytest.approx(0.8, abs=0.03)
    slider.value = 0.0
    assert red_share(picture) == pytest.approx(0.0, abs=0.03)
    slider.value = 1.0
    assert red_share(picture) == pytest.approx(1.0, abs=0.03)


def test_only_the_line_moves():
    slider, picture = parts(widgets.swipe(PRE, POST, caption="a scene"))
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

    real = widgets.images.show_swipe
    monkeypatch.setattr(widgets.images, "show_swipe", show_swipe)
    slider, _ = parts(widgets.swipe(PRE, POST))
    for value in (0.55, 0.5, 0.55, 0.15, 0.5):
        slider.value = value
    assert drawn == [0.5, 0.55, 0.15]


def test_buildings_are_outlined_right_of_the_line():
    buildings = [Building("a", box(8, 8, 56, 56), DamageLevel.MINOR)]
    slider, picture = parts(widgets.swipe(PRE, POST, buildings=buildings))

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
    slider, picture = parts(widgets.swipe(noise, noise[::-1].copy(), buildings=buildings))
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
    assert red_share(parts(shown)[1]) > 0.4
    names.value = "b"
    assert loaded == ["a", "b"]
    slider, picture = parts(view.children[1])
    assert red_share(picture) == 0
    slider.value = 0.9  # the new slider is alive
    assert view.children[0] is names


def test_a_pair_that_cannot_be_loaded_says_why_and_the_next_one_works():
    def broken():
        raise OSError("the disk is <gone>")

    view = widgets.choose_pair({"a": broken, "b": lambda: (PRE, POST, [])})
    assert "the disk is &lt;gone&gt;" in view.children[1].value
    view.children[0].value = "b"
    assert red_share(parts(view.children[1])[1]) > 0.4


# --- A panel to draw from a sentence ----------------------------------------------------------

SETTINGS = GenerationConfig(num_sample_steps=2, height=16, width=16)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TextToImage:
    root = tmp_path_factory.mktemp("models") / "tiny_text2image"
    write_tiny_text2image(root)
    return load_pipeline(str(root), device="cpu")


def panel_of(model: TextToImage, **options: object) -> tuple[dict, ipywidgets.HTML, object]:
    """Give the controls of a panel by their description, its message and its picture."""
    options = {"prompt": "a {class}", "choices": {"class": ["river", "bay"]}, **options}
    *boxes, message, picture = widgets.prompt_panel(model, SETTINGS, **options).children
    controls = {each.description: each for row in boxes for each in row.children}
    return controls, message, picture


def twin(model: TextToImage, sentence: str, **options: object) -> bytes:
    """Draw what the next cell of a notebook would show."""
    settings = dataclasses.replace(SETTINGS, **options)
    images = [made.image for made in generate(model, [sentence] * 4, settings)]
    return plots.figure_bytes(plots.show_images(images, num_columns=4))


def test_the_panel_draws_what_is_set(model):
    controls, message, picture = panel_of(model)
    assert picture.value == twin(model, "a river")
    assert message.value == "a river"
    changes = [
        ("class", "bay", {}),
        ("guidance scale", 5.5, {"guidance_scale": 5.5}),
        ("steps", 3, {"num_sample_steps": 3}),
        ("seed", 11, {"seed": 11}),
        ("zoom level", 14, {"level": 14}),
        ("zoom level", 0, {"level": None}),
    ]
    settings = {}
    for name, value, setting in changes:
        before = picture.value
        controls[name].value = value
        settings |= setting
        assert picture.value != before
        assert picture.value == twin(model, "a bay", **settings)
    controls["sentence"].value = "a field"
    assert picture.value == twin(model, "a field", **settings)


def test_a_slider_waits_until_it_is_released(model):
    controls, _, _ = panel_of(model)
    for name in ("sentence", "guidance scale", "steps"):
        assert controls[name].continuous_update is False


def test_levels_are_given_in_meters_and_only_to_a_model_that_is_told_them(model):
    controls, _, _ = panel_of(model)
    names = dict(controls["zoom level"].options)
    assert names["18: 0.5 m per pixel"] == 18
    assert len(names) == 10
    controls, _, _ = panel_of(dataclasses.replace(model, level_by="none"))
    assert "zoom level" not in controls


def test_what_was_drawn_before_is_not_drawn_again(model, monkeypatch):
    drawn = []

    def watched(model, prompts, config):
        drawn.append(prompts[0])
        return generate(model, prompts, config)

    monkeypatch.setattr(widgets.diffusion, "generate", watched)
    controls, _, picture = panel_of(model)
    first = picture.value
    controls["class"].value = "bay"
    controls["class"].value = "river"
    assert drawn == ["a river", "a bay"]
    assert picture.value == first


def test_an_empty_sentence_is_said_and_the_next_one_is_drawn(model):
    controls, message, picture = panel_of(model)
    controls["sentence"].value = "  "
    assert "empty" in message.value
    assert picture.layout.display == "none"
    controls["sentence"].value = "a bay"
    assert message.value == "a bay"
    assert picture.layout.display is None
    assert picture.value == twin(model, "a bay")


def test_what_fails_and_what_is_cut_is_said_as_plain_text(model, monkeypatch):
    controls, message, picture = panel_of(model)
    controls["sentence"].value = "<b> " + "river " * 30
    assert "tokens" in message.value
    assert picture.layout.display is None

    def broken(*args: object) -> None:
        raise RuntimeError("no <memory>")

    monkeypatch.setattr(widgets.diffusion, "generate", broken)
    controls["seed"].value = 3
    assert "no &lt;memory&gt;" in message.value
    assert "<b>" not in message.value
    assert picture.layout.display == "none"


def test_a_panel_starts_where_the_model_was_made_for(model):
    made_for = dataclasses.replace(model, config=dataclasses.replace(SETTINGS, guidance_scale=12.0))
    panel = widgets.prompt_panel(made_for, prompt="a river", num_images=1)
    sliders = [each for row in panel.children[:3] for each in row.children]
    assert 12.0 in [each.value for each in sliders]


def test_images_are_slid_through_with_their_labels(monkeypatch):
    drawn = []
    real = widgets.images.show_images

    def watched(images, *, titles):
        drawn.append(titles)
        return real(images, titles=titles)

    monkeypatch.setattr(widgets.images, "show_images", watched)
    box = widgets.slide_images([PRE, POST, PRE], ["1", "2", "2"], caption="a < b")
    slider, picture = parts(box)
    assert box.children[0].value == "a &lt; b"
    assert red_share(picture) > 0.9
    for index, share in ((1, 0), (2, 1), (1, 0), (0, 1)):
        slider.value = index
        assert red_share(picture) == pytest.approx(share, abs=0.1)
    assert drawn == [["1"], ["2"], ["2"]]
    assert [label for label, _ in slider.options] == ["1", "2", "2"]


def test_without_ipywidgets_a_note_says_so(monkeypatch, model):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    notes = [
        widgets.swipe(PRE, POST),
        widgets.choose_pair({"a": lambda: (PRE, POST, [])}),
        widgets.prompt_panel(model, SETTINGS, prompt="a river"),
        widgets.slide_images([PRE], ["a"]),
    ]
    for note in notes:
        assert "ipywidgets" in str(note)
        assert note._repr_markdown_() == str(note)


def test_what_cannot_be_shown_is_refused_at_once(model):
    with pytest.raises(ValueError, match="one size"):
        widgets.swipe(PRE, POST[:32])
    with pytest.raises(ValueError, match="no pairs"):
        widgets.choose_pair({})
    with pytest.raises(ValueError, match="choose from in class"):
        widgets.prompt_panel(model, prompt="a", choices={"class": []})
    with pytest.raises(ValueError, match="num_images"):
        widgets.prompt_panel(model, prompt="a", num_images=0)
    with pytest.raises(ValueError, match="1 images but 2 labels"):
        widgets.slide_images([PRE], ["a", "b"])
    with pytest.raises(ValueError, match="0 images"):
        widgets.slide_images([], [])
