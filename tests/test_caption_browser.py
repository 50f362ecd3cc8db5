"""The caption browser and its static twin: every sentence in its place, what is chosen is shown."""

import io
import itertools
import sys

import ipywidgets
import matplotlib.colors
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from test_plots_generation import pixels_of

from course_utils import plots, widgets
from course_utils.examples import CaptionedImage
from course_utils.images import ImageError

SENTENCES = ("a river bends .", "many trees .", "a river bends .", "it costs $5 and $6 .")


def made(name: str, value: int = 0, *captions: str, **fields: str) -> CaptionedImage:
    pixels = np.full((6, 8, 3), value, np.uint8)
    return CaptionedImage(name, captions or ("a field .",), "mini_earth", pixels=pixels, **fields)


IMAGES = [
    made("a", 10, "A River .", split="train", class_name="River"),
    made("b", 20, "a road .", split="validation", original_split="val", class_name="River"),
    made("c", 30, "a RIVER .", "trees .", split="train", class_name="Forest"),
    made("d", 40, "trees .", split="test"),
]


def words_in(figure: Figure) -> list[str]:
    return [text.get_text() for ax in figure.axes for text in ax.texts]


# the static twin


def test_every_sentence_is_numbered_and_repetitions_are_marked():
    figure = plots.show_captions([made("a.jpg", 9, *SENTENCES, split="validation")])
    title, *lines = words_in(figure)
    assert title == "mini_earth · a.jpg · validation"
    assert lines == [
        "1. a river bends .",
        "2. many trees .",
        "3. a river bends . (again)",
        r"4. it costs \$5 and \$6 .",
    ]
    texts = figure.axes[1].texts
    assert texts[3].get_color() == texts[3].get_color() != texts[1].get_color()
    heights = [text.get_position()[1] for text in texts]
    assert heights == sorted(heights, reverse=True)


def test_the_name_of_the_part_is_said_as_the_set_has_it():
    (title,) = [w for w in words_in(plots.show_captions([IMAGES[1]])) if "mini_earth" in w]
    assert title == "mini_earth · b · River · validation (val)"


def test_images_are_unscaled_and_in_order():
    figure = plots.show_captions(IMAGES[:3], caption="three")
    shown = [pixels_of(ax.images[0]) for ax in figure.axes if ax.images]
    assert [int(np.unique(image).item()) for image in shown] == [10, 20, 30]
    assert all(image.shape == (6, 8, 3) for image in shown)
    assert figure.get_suptitle() == "three"


def test_without_its_image_a_record_says_so():
    figure = plots.show_captions([CaptionedImage("1.tif", ("a bay .",), "Sydney-Captions")])
    assert "no image here" in words_in(figure)
    assert "1. a bay ." in words_in(figure)


def test_a_long_paragraph_is_wrapped_inside_the_figure():
    paragraph = "This is an aerial image with Wide Words in it. " * 12
    long_name = "x" * 300
    figure = plots.show_captions([made(long_name, 9, paragraph), made("b", 7, *SENTENCES)])
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    width, height = canvas.get_width_height()
    boxes = [text.get_window_extent() for ax in figure.axes for text in ax.texts]
    for box in boxes:
        assert box.x0 >= 0
        assert box.x1 <= width
        assert box.y0 >= 0
        assert box.y1 <= height
    columns = [box for box in boxes if box.x0 > 0.15 * width]
    for above, below in itertools.pairwise(columns):
        assert below.y1 <= above.y0 + 1, "lines do not touch"
    said = " ".join(words_in(figure)[1:-5]).replace("1. ", "", 1)
    assert " ".join(said.split()) == paragraph.strip()


def test_the_grey_of_repetitions_is_still_readable():
    color = matplotlib.colors.to_rgb(plots.style.GREY)
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color]
    luminance = float(np.dot(linear, (0.2126, 0.7152, 0.0722)))
    assert 1.05 / (luminance + 0.05) >= 4.5  # WCAG AA


def test_nothing_to_show_is_refused():
    with pytest.raises(ValueError, match="no captioned images to show"):
        plots.show_captions([])


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"x")
    with pytest.raises(ImageError, match=r"a\.jpg"):
        plots.show_captions([CaptionedImage("a.jpg", ("x",), "y", path=tmp_path / "a.jpg")])


# the browser


def parts_of(images: list[CaptionedImage], **options: str) -> tuple[dict, object, object]:
    """Give the controls of a browser by their description, its message and its picture."""
    _, row, message, picture = widgets.caption_browser(images, **options).children
    return {each.description: each for each in row.children}, message, picture


def twin(image: CaptionedImage) -> bytes:
    """Draw what the next cell of a notebook would show."""
    return plots.figure_bytes(plots.show_captions([image]), dpi=widgets.images.CAPTION_DPI)


def test_the_slider_goes_through_the_images():
    controls, message, picture = parts_of(IMAGES)
    assert list(controls) == ["part", "class", "word", "image"]
    assert (controls["image"].min, controls["image"].max) == (1, 4)
    assert picture.value == twin(IMAGES[0])
    assert message.value == "1 of 4"
    controls["image"].value = 3
    assert picture.value == twin(IMAGES[2])
    assert message.value == "3 of 4"
    assert Image.open(io.BytesIO(picture.value)).format == "PNG"


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"part": "train"}, "ac"),
        ({"part": "validation"}, "b"),
        ({"class": "River"}, "ab"),
        ({"class": ""}, "d"),
        ({"word": " river "}, "ac"),
        ({"word": "TREES"}, "cd"),
        ({"part": "train", "class": "River"}, "a"),
        ({"part": "test", "word": "tree", "class": ""}, "d"),
    ],
)
def test_only_what_was_chosen_is_shown(chosen, expected):
    controls, message, picture = parts_of(IMAGES)
    controls["image"].value = 4
    for name, value in chosen.items():
        controls[name].value = value
    shown = [image for image in IMAGES if image.file_name in expected]
    for number, image in enumerate(shown, 1):
        controls["image"].value = number
        assert picture.value == twin(image)
        assert message.value == f"{number} of {len(shown)}"
    assert controls["image"].max == len(shown)
    assert controls["image"].disabled == (len(shown) == 1)


def test_a_new_choice_begins_at_its_first_image_and_draws_nothing_between(monkeypatch):
    drawn = []
    real = plots.show_captions

    def watched(images):
        drawn.append(images[0].file_name)
        return real(images)

    monkeypatch.setattr(widgets.images, "show_captions", watched)
    controls, _, _ = parts_of(IMAGES)
    controls["image"].value = 4
    controls["class"].value = "Forest"
    controls["class"].label = "any"
    assert drawn == ["a", "d", "c"], "what was drawn before is not drawn again"
    assert controls["image"].value == 1


def test_when_nothing_fits_it_is_said_and_the_next_choice_works():
    controls, message, picture = parts_of(IMAGES)
    controls["word"].value = "volcano"
    assert "No image has these sentences" in message.value
    assert picture.layout.display == "none"
    assert controls["image"].disabled
    controls["word"].value = ""
    assert picture.layout.display is None
    assert picture.value == twin(IMAGES[0])


def test_lists_with_nothing_to_choose_are_left_out():
    controls, _, _ = parts_of([made("a"), made("b", 3)])
    assert list(controls) == ["word", "image"]
    assert controls["word"].continuous_update is False


def test_an_image_that_cannot_be_read_says_why_and_the_next_one_is_shown(tmp_path):
    broken = CaptionedImage("x", ("s",), "y", path=tmp_path / "<gone>.jpg")
    controls, message, picture = parts_of([broken, IMAGES[0]])
    assert "&lt;gone&gt;" in message.value
    assert picture.layout.display == "none"
    controls["image"].value = 2
    assert picture.value == twin(IMAGES[0])
    assert picture.layout.display is None


def test_the_caption_is_plain_text():
    box = widgets.caption_browser(IMAGES, caption="<b>RSICD</b>")
    assert isinstance(box, ipywidgets.VBox)
    assert box.children[0].value == "&lt;b&gt;RSICD&lt;/b&gt;"


def test_without_ipywidgets_a_note_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    assert "ipywidgets" in str(widgets.caption_browser(IMAGES))


def test_nothing_to_browse_is_refused():
    with pytest.raises(ValueError, match="no captioned images to browse"):
        widgets.caption_browser([])


def test_real_sets_can_be_browsed(test_data):
    from course_utils.examples import read_captions

    folder = test_data / "captions"
    found = read_captions(folder / "ucm_captions", images=test_data / "UCMerced_LandUse_jpg")
    controls, message, picture = parts_of(list(found.images))
    controls["class"].value = "harbor"
    controls["word"].value = "boats"
    assert message.value.startswith("1 of ")
    expected = next(
        each
        for each in found.images
        if each.class_name == "harbor" and any("boats" in text for text in each.captions)
    )
    assert picture.value == twin(expected)
