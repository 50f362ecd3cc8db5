"""Figures hold the data they were given, and refuse what they cannot show."""

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


def test_pixels_are_shown_unscaled():
    figure = plots.show_images([IMAGE])
    assert np.array_equal(figure.axes[0].images[0].get_array(), IMAGE)


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
