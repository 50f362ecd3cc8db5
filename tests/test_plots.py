"""Figures hold the data they were given, and refuse what they cannot show."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from course_utils import plots

IMAGE = np.full((8, 8, 3), 100, np.uint8)


def entry(arm: str, ratio: int, accuracy: float) -> dict:
    return {
        "arm": arm,
        "ratio": ratio,
        "accuracy": accuracy,
        "accuracy_low": accuracy - 0.02,
        "accuracy_high": accuracy + 0.03,
        "macro_f1": accuracy - 0.01,
        "gain": accuracy - 0.5,
        "gain_low": accuracy - 0.52,
        "gain_high": accuracy - 0.47,
        "verdict": "helped",
    }


@pytest.fixture
def content():
    summary = [entry("zero_shot", 0, 0.3), entry("real", 0, 0.5), entry("real_duplicated", 0, 0.5)]
    for ratio in (1, 2, 3, 4):
        summary += [entry("real+synthetic", ratio, 0.5 + ratio / 50)]
        summary += [entry("synthetic", ratio, 0.4 + ratio / 50)]
    summary.append(entry("shuffled", 4, 0.2))
    return {
        "data": "d", "model": "m", "generator": "g", "stand_ins": ["x for y"],
        "num_test": 90, "summary": summary,
        "rows": [
            {"arm": "real+synthetic", "ratio": 2, "seed": s, "macro_f1": 0.5 + s / 100}
            for s in (0, 1, 2)
        ],
    }  # fmt: skip


def test_the_ratio_plot_draws_accuracy_in_percent_against_ratio(content):
    axes = plots.plot_accuracy_by_ratio(content).axes
    lines = {line.get_label(): line for line in axes[0].lines}
    mixed = {bars.get_label(): bars.lines[0] for bars in axes[0].containers}["real + synthetic"]
    assert np.allclose(mixed.get_ydata(), [52, 54, 56, 58])
    assert np.allclose(mixed.get_xdata(), [1, 2, 3, 4])
    assert lines["real only"].get_color() == plots.SOURCE_COLORS["real"]
    assert "%" in axes[0].get_ylabel()


def test_figures_say_how_many_seeds_and_which_stand_ins(content):
    for figure in (plots.plot_accuracy_by_ratio(content), plots.plot_gains(content)):
        title = figure.get_suptitle()
        assert "3 seeds" in title
        assert "x for y" in title


def test_the_gain_plot_has_a_line_for_every_arm_but_the_baseline(content):
    ax = plots.plot_gains(content).axes[0]
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert len(labels) == len(content["summary"]) - 3
    assert "real only" not in labels


def test_the_gain_plot_draws_the_interval_of_each_arm_beside_its_name(content):
    ax = plots.plot_gains(content).axes[0]
    names = [label.get_text() for label in ax.get_yticklabels()]
    height = names.index("real + synthetic 1:4")
    spans = [bar.get_segments()[0] for bar in ax.collections]
    (found,) = [span for span in spans if np.allclose(span[:, 1], height)]
    assert np.allclose(found[:, 0], [6, 11])


def test_the_ratio_plot_draws_the_intervals_of_accuracy_and_a_dot_for_each_seed(content):
    left, right = plots.plot_accuracy_by_ratio(content).axes
    bars = [c.get_segments() for c in left.collections if hasattr(c, "get_segments")]
    assert any(np.allclose(segments[0], [[1, 50], [1, 55]]) for segments in bars)
    dots = [offset for c in right.collections for offset in c.get_offsets()]
    assert any(np.allclose(dot, [2, 51]) for dot in dots)


def test_dollar_signs_in_names_are_no_mathematics(content):
    content["data"] = "a $5 and $6 set"
    plots.plot_gains(content).draw_without_rendering()
    plots.show_by_class({"a $x$ b_": [IMAGE]}, caption="$1 $2").draw_without_rendering()


def test_labels_of_the_gain_plot_do_not_overlap(content):
    figure = plots.plot_gains(content)
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()[::-1]]
    for lower, upper in itertools.pairwise(boxes):
        assert lower.y1 <= upper.y0 + 1


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


def test_a_saved_figure_is_a_picture_and_no_figure_stays_open(tmp_path, content):
    path = plots.save_figure(plots.plot_gains(content), tmp_path / "figures" / "gains.png")
    with Image.open(path) as picture:
        assert picture.width > 800
    assert not plt.get_fignums()
