"""Figures hold the data they were given, and refuse what they cannot show."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from course_utils import plots

IMAGE = np.full((8, 8, 3), 100, np.uint8)


def test_the_last_row_of_images_may_be_short():
    figure = plots.show_images([IMAGE] * 5, titles=list("abcde"), num_columns=4)
    assert len(figure.axes) == 8
    assert sum(bool(ax.images) for ax in figure.axes) == 5


@pytest.mark.parametrize("shape", [(8, 8), (64, 64), (30, 70), (400, 500)])
def test_pixels_are_shown_as_they_are_each_repeated_equally_often(shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    (drawn,) = plots.show_images([image]).axes[0].images
    pixels = drawn.get_array()
    factor = len(pixels) // len(image)
    assert pixels.shape == (factor * shape[0], factor * shape[1], 3)
    assert np.array_equal(pixels, np.kron(image, np.ones((factor, factor, 1), np.uint8)))
    assert min(pixels.shape[:2]) >= 384
    assert drawn.get_extent() == [-0.5, shape[1] - 0.5, shape[0] - 0.5, -0.5]


@pytest.mark.parametrize("dpi", [90, 110, 127, 160])
def test_squares_of_a_tile_have_one_size_on_any_screen(dpi):
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    figure = plots.show_images([stripes])
    with Image.open(io.BytesIO(plots.figure_bytes(figure, dpi=dpi))) as picture:
        line = np.asarray(picture.convert("L"), float)[picture.height // 2]
    inside = line[int(0.2 * len(line)) : int(0.8 * len(line))]
    edges = np.flatnonzero((inside[:-1] < 128) & (inside[1:] >= 128))
    exact = edges + (128 - inside[edges]) / (inside[edges + 1] - inside[edges])
    assert np.diff(exact).std() < 0.25


def test_a_row_for_every_class_with_its_name():
    figure = plots.show_by_class({"flooding": [IMAGE, IMAGE], "x" * 60: [IMAGE]}, caption="c")
    names = [ax.get_ylabel() for ax in figure.axes[::2]]
    assert names[0] == "flooding"
    assert len(names[1]) <= 22


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plots.show_images([]), "got 0 images"),
        (lambda: plots.show_images([IMAGE], titles=["a", "b"]), "1 images, 2 titles"),
        (lambda: plots.show_images([IMAGE / 255.0]), "uint8|UInt8"),
        (lambda: plots.show_images([Image.fromarray(IMAGE)]), "got Image|UInt8"),
        (lambda: plots.show_by_class({}), "every class"),
        (lambda: plots.show_by_class({"a": []}), "every class"),
    ],
)
def test_what_cannot_be_shown_is_refused(call, message):
    with pytest.raises(Exception, match=message):
        call()


def test_dollar_signs_in_names_are_no_mathematics():
    plots.show_by_class({"a $x$ b_": [IMAGE]}, caption="$1 $2").draw_without_rendering()


def test_a_saved_figure_is_a_picture_and_no_figure_stays_open(tmp_path):
    figure = plots.show_images([IMAGE] * 8, caption="eight")
    path = plots.save_figure(figure, tmp_path / "figures" / "images.png")
    with Image.open(path) as picture:
        assert picture.width > 800
    assert not plt.get_fignums()


def test_a_notebook_shows_figures_for_a_projector():
    assert plots.show_images([IMAGE]).dpi >= 110
    assert plots.sketch_swin().dpi >= 110


def test_long_titles_are_broken_between_words_before_they_are_cut():
    titles = ["dense residential", "a very long title that fits no two lines", "river"]
    figure = plots.show_images([IMAGE] * 3 + [IMAGE] * 5, titles=titles + [""] * 5)
    first, second, third = (ax.get_title() for ax in figure.axes[:3])
    assert first == "dense\nresidential"
    assert second.startswith("a very long")
    assert second.endswith("…")
    assert second.count("\n") == 1
    assert third == "river"


def test_probabilities_are_written_to_three_decimals():
    scores = [0.9996, 0.0004, 0.0748, 0.0]
    figure = plots.plot_class_scores(IMAGE, list("abcd"), scores)
    said = [words.get_text() for words in figure.axes[1].texts]
    assert said == ["> 0.999", "0.075", "< 0.001", "0"]
