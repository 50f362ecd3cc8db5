"""Figures of notebook 07 on errors, cost and the project: in its place, legible, bad input said."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from test_plots_generation import assert_legible, draw, picture, shown, words_of
from test_plots_lab import BLIND, SEEN

from course_utils import plots
from course_utils.texts import text

EUROSAT = (
    *("AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial"),
    *("Pasture", "PermanentCrop", "Residential", "River", "SeaLake"),
)


def settings(generators=(BLIND, SEEN), shots=(1, 2, 4, 8, 16, 64), arms=("real+synthetic",)):
    """Make up a gain for every setting, the middle one chosen."""
    words = ("helped", "hurt", "no difference larger than that", "cannot tell")
    return [
        {
            **{"arm": arm, "generator": generator, "shots": num, "steps": steps},
            **{"learning_rate": rate, "gain": gain, "gain_low": gain - 0.02},
            **{"gain_high": gain + 0.02, "verdict": words[(i + j) % 4], "chosen": i == j == 1},
        }
        for arm in arms
        for generator in generators
        for num in shots
        for i, steps in enumerate((50, 150, 450))
        for j, rate in enumerate((0.01, 0.03, 0.1))
        for gain in [0.03 * i - 0.02 * j + num / 1000]
    ]


def class_gains(generators=(BLIND, SEEN), names=EUROSAT) -> list[dict]:
    return [
        {"class_name": name, "generator": generator, "gain": g, "low": g - 0.05, "high": g + 0.04}
        for k, generator in enumerate(generators)
        for i, name in enumerate(names)
        for g in [0.02 * i - 0.061 + 0.01 * k]
    ]


def counts(num_classes: int, right: int) -> np.ndarray:
    wrong = np.arange(num_classes**2).reshape(num_classes, num_classes) % 4
    return wrong + right * np.eye(num_classes, dtype=int)


def bins(start: float) -> list[dict]:
    empty = {"confidence": float("nan"), "accuracy": float("nan"), "count": 0}
    return [
        {"confidence": start + i / 10, "accuracy": start + i / 20, "count": 100 * (i + 1)}
        for i in range(5)
    ] + [empty]


def values(generators=(BLIND, SEEN), shots=(1, 2, 4, 8, 16, 64)) -> list[dict]:
    return [
        {
            **{"generator": generator, "shots": num, "at_least": worth >= 64},
            **{"at_most": worth <= 1, "value": min(64, max(1, worth))},
            **{"low": max(1, min(64, worth) / 2), "high": min(64, max(1, 2 * worth))},
        }
        for k, generator in enumerate(generators)
        for num in shots
        for worth in [num * (0.9, 5)[k]]
    ]


COSTS = [
    {"name": "64 real images a class", "labels": 640, "arm": "real"},
    {
        "name": f"{BLIND}, 40 drawings a class",
        "seconds": 43.21,
        "hours": 6.5,
        "images_seen": 160040,
    },
    {
        "name": "a very long name that goes on and on until it is cut off",
        "labels": 40,
        "seconds": 0,
    },
]


def failure(i: int) -> dict:
    label, other = EUROSAT[i % 10], EUROSAT[(i + 1) % 10]
    before, after = (other, label) if i % 2 else (label, other)
    return {
        **{"image": picture(i), "label": label, "before": before, "after": after},
        **{"nearest": picture(100 + i), "nearest_label": other, "nearest_source": "synthetic"},
    }


def figures() -> dict[str, Figure]:
    """Draw every figure in a usual and in an awkward size."""
    disasters = ("earthquake", "flooding", "tsunami", "volcano", "wildfire", "wind")
    return {
        "map": plots.plot_verdict_map(settings(), caption="all settings"),
        "two arms": plots.plot_verdict_map(settings((BLIND,), (4,), ("real", "pooled"))[:-2]),
        "one setting": plots.plot_verdict_map(settings((SEEN,), (4,))[4:5]),
        "classes": plots.plot_class_gains(class_gains(), caption="$5"),
        "long names": plots.plot_class_gains(class_gains(("",), ("x" * 60, "a $b$ class"))),
        "confusions": plots.plot_confusion_pair(counts(10, 40), counts(10, 70), EUROSAT),
        "disasters": plots.plot_confusion_pair(counts(6, 9), counts(6, 0), disasters, caption="c"),
        "two classes": plots.plot_confusion_pair(counts(2, 1), counts(2, 1), ["y" * 50, "b"]),
        "reliability": plots.plot_reliability(
            {"real": bins(0.3), "real+synthetic": bins(0.4), f"{SEEN}, $": bins(0.2)}
        ),
        "one bin": plots.plot_reliability({"real": bins(0.5)[:1]}, caption="c"),
        "cost": plots.plot_cost(COSTS, caption="c"),
        "one cost": plots.plot_cost(COSTS[:1]),
        "value": plots.plot_data_value(values(), caption="c"),
        "one value": plots.plot_data_value(values((SEEN,), (4,))),
        "framework": plots.plot_framework(caption="c"),
        "failures": plots.show_failures([failure(i) for i in range(14)], caption="c"),
        "one failure": plots.show_failures([failure(0)]),
    }


def hide_slanted_names(figure: Figure) -> None:
    """Check that slanted names are apart, across, then hide them, for their boxes overlap."""
    draw(figure)
    width, height = figure.canvas.get_width_height()
    for ax in figure.axes:
        names = [label for label in ax.get_xticklabels() if label.get_rotation() % 90]
        for name in names:
            apart = ax.get_window_extent().width / len(names)
            size = name.get_fontsize() * figure.dpi / 72
            assert apart * np.sin(np.radians(name.get_rotation())) > 1.2 * size
            box = name.get_window_extent()
            assert box.x0 >= 0 <= box.y0 < box.y1 <= height
            assert box.x1 <= width
            name.set_visible(False)


def test_everything_can_be_read_and_no_figure_stays_open():
    drawn = figures()
    assert not plt.get_fignums()
    for name, figure in drawn.items():
        try:
            hide_slanted_names(figure)
            assert_legible(figure)
        except AssertionError as error:
            raise AssertionError(name) from error
        width, height = figure.get_size_inches()
        assert 1.5 < width < 14, name
        assert 1.2 < height < 14, name


def test_the_map_has_every_gain_at_its_setting_with_the_sign_of_its_verdict():
    figure = plots.plot_verdict_map(settings())
    axes = figure.axes
    ax = axes[6 + 2]  # the second generator at 4 shots
    found = {(round(t.get_position()[0]), round(t.get_position()[1])): t for t in ax.texts}
    assert len(found) == 9
    assert found[1, 2].get_text() == "+4.4\n?"
    assert found[2, 0].get_text() == "-3.6\n="
    assert found[0, 0].get_text() == "+0.4\n▲"
    assert [label.get_text() for label in axes[6].get_yticklabels()] == ["50", "150", "450"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0.01", "0.03", "0.1"]
    assert np.allclose(ax.images[0].get_array()[2], [6.4, 4.4, 2.4])
    assert SEEN in figure.subfigs[1].get_suptitle()


def test_the_chosen_setting_is_framed_in_each_panel_and_colors_are_shared():
    figure = plots.plot_verdict_map(settings())
    for ax in figure.axes:
        (frame,) = ax.patches
        assert np.allclose(np.add(frame.get_xy(), 0.47), [1, 1])
    assert len({ax.images[0].get_clim() for ax in figure.axes}) == 1


def test_a_setting_that_was_not_tried_stays_empty():
    rows = settings((BLIND,), (4,))[:-1]
    ax = plots.plot_verdict_map(rows).axes[0]
    assert np.ma.getmaskarray(np.ma.masked_invalid(ax.images[0].get_array()))[2, 2]
    assert len(ax.texts) == 8


def test_classes_go_down_by_their_mean_gain_in_points():
    figure = plots.plot_class_gains(class_gains())
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == list(reversed(EUROSAT))
    for k, ax in enumerate(figure.axes):
        marks = {bars.lines[0].get_ydata()[0]: bars.lines[0] for bars in ax.containers}
        for i, name in enumerate(EUROSAT):
            mark = marks[names.index(name)]
            gain = 2 * i - 6.1 + k
            assert np.isclose(mark.get_xdata()[0], gain)
            is_hollow = mark.get_markerfacecolor() == "white"
            assert is_hollow == (gain - 5 < 0 < gain + 4)


def test_a_class_without_test_images_has_no_row():
    rows = [*class_gains(("",)), {"class_name": "absent", "gain": np.nan, "low": -1, "high": 1}]
    assert len(plots.plot_class_gains(rows).axes[0].get_yticklabels()) == 10


def numbers_of(ax: plt.Axes) -> dict[tuple[int, int], str]:
    """Give what is written into a table, by row and column."""
    return {
        (round(t.get_position()[1]), round(t.get_position()[0])): t.get_text() for t in ax.texts
    }


def test_confusions_are_shares_of_the_true_class_and_changes_in_points():
    before = np.array([[8, 2, 0], [0, 1, 3], [0, 0, 0]])
    after = np.array([[9, 1, 0], [0, 8, 0], [1, 0, 1]])
    left, right = plots.plot_confusion_pair(before, after, ["a", "b", "c"]).axes
    assert np.allclose(left.images[0].get_array(), [[80, 20, 0], [0, 25, 75], [0, 0, 0]])
    assert np.allclose(right.images[0].get_array(), [[10, -10, 0], [0, 75, -75], [50, 0, 50]])
    assert numbers_of(left) == {(0, 0): "80", (0, 1): "20", (1, 1): "25", (1, 2): "75"}
    assert numbers_of(right)[1, 2] == "-75"
    assert right.images[0].get_clim() == (-75, 75)


def test_the_curve_of_reliability_skips_empty_bins_and_says_the_error():
    rows = bins(0.3)
    rows[0]["accuracy"] = 0.5  # not sure enough of itself, where the others are too sure
    figure = plots.plot_reliability({"real": rows})
    top, bottom = figure.axes
    heights = [50, 35, 40, 45, 50]
    assert np.allclose(top.lines[1].get_xydata(), [[30 + 10 * i, heights[i]] for i in range(5)])
    assert np.allclose(bottom.lines[0].get_ydata(), [100 * (i + 1) / 15 for i in range(5)])
    expected = (20 * 1 + 5 * 2 + 10 * 3 + 15 * 4 + 20 * 5) / 15
    (words,) = [t.get_text() for t in figure.legends[0].get_texts()]
    assert f": {expected:.1f} points" in words
    assert text("arm.real") in words


def test_curves_of_reliability_have_the_colors_of_their_arms_and_name_the_generator():
    arms = ("real", ("real+synthetic", BLIND), ("real+synthetic", SEEN))
    figure = plots.plot_reliability({arm: bins(0.3) for arm in arms})
    real, *both = figure.axes[0].lines[1:]
    colors = plots.style.SOURCE_COLORS
    assert real.get_color() == colors["real"]
    assert {line.get_color() for line in both} == {colors["real+synthetic"]}
    assert len({(line.get_linestyle(), line.get_marker()) for line in (real, *both)}) == 3
    words = [t.get_text() for t in figure.legends[0].get_texts()]
    assert BLIND in words[1]
    assert SEEN in words[2]


def test_changes_that_round_to_nothing_are_not_written():
    before, after = np.array([[200, 0], [0, 200]]), np.array([[199, 1], [0, 200]])
    figure = plots.plot_confusion_pair(before, after, ["A", "B"])
    assert [[t.get_text() for t in ax.texts] for ax in figure.axes[:2]] == [["100", "100"], []]


def test_costs_are_written_beside_their_bars_and_unknown_ones_are_no_zero():
    figure = plots.plot_cost(COSTS)
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles == [text(f"cost.{c}") for c in ("labels", "seconds", "hours", "images_seen")]
    written = [[t.get_text() for t in ax.texts] for ax in figure.axes]
    assert written[0] == ["640", "?", "40"]
    assert written[1] == ["?", "43.2", "0"]
    assert written[3] == ["?", "160,040", "?"]
    assert np.allclose([bar.get_width() for bar in figure.axes[0].patches], [640, 0, 40])


def test_a_value_beyond_what_was_measured_has_an_arrow_on_the_open_side():
    figure = plots.plot_data_value(values())
    (ax,) = figure.axes
    arrows = [line for line in ax.lines if line.get_marker() in ("^", "v")]
    found = [(line.get_marker(), line.get_ydata()[0]) for line in arrows]
    assert sorted(found) == [("^", 64), ("^", 64), ("v", 1)]
    draw(figure)
    for line, sign in zip(arrows, (-1, 1, 1), strict=True):
        tip = line.get_transform().transform(line.get_xydata()[0])
        point = ax.transData.transform(line.get_xydata()[0])
        assert sign * (tip[1] - point[1]) > 10


def test_the_framework_names_its_four_steps_in_order():
    words = {t.get_text(): t for t in plots.plot_framework().axes[0].texts}
    steps = [words[text(f"project.{s}")] for s in ("collect", "train", "generate", "evaluate")]
    places = [step.get_position()[0] for step in steps]
    assert places == sorted(places)


def test_words_of_the_framework_stay_in_their_boxes():
    figure = plots.plot_framework()
    draw(figure)
    ax = figure.axes[0]
    boxes = [p.get_window_extent() for p in ax.patches if hasattr(p, "get_boxstyle")]
    inside = [t.get_window_extent() for t in ax.texts if t.get_text() != text("project.bypass")]
    assert len(boxes) == 4
    for words in inside:
        assert any(box.x0 < words.x0 and words.x1 < box.x1 for box in boxes)


def test_failures_stand_above_their_nearest_training_image_by_which_way_they_turned():
    axes = plots.show_failures([failure(i) for i in range(4)]).axes
    rows = [[shown(ax) for ax in axes[i : i + 2]] for i in range(0, 8, 2)]
    assert rows == [[1, 3], [101, 103], [0, 2], [100, 102]]
    assert [axes[i].get_ylabel() for i in (0, 4)] == ["turned right", "turned wrong"]
    assert "AnnualCrop" in axes[4].get_title()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plots.plot_verdict_map([]), "no rows"),
        (lambda: plots.plot_verdict_map([{"arm": "real"}]), "lacks generator"),
        (lambda: plots.plot_verdict_map([{**settings()[0], "gain": 3}]), "gain_low <= gain"),
        (lambda: plots.plot_class_gains([]), "no rows"),
        (
            lambda: plots.plot_confusion_pair(counts(2, 1), counts(2, 1), ["a"]),
            "expected two tables of 1 x 1",
        ),
        (
            lambda: plots.plot_confusion_pair(-counts(2, 1), counts(2, 1), ["a", "b"]),
            "0 or more",
        ),
        (lambda: plots.plot_reliability({}), "no curves"),
        (lambda: plots.plot_reliability({"a": bins(0.1)[-1:]}), "a: no rows"),
        (lambda: plots.plot_reliability({"a": bins(0.9)}), "a: .* shares in 0"),
        (lambda: plots.plot_cost([{"name": "x"}]), "expected one of labels, seconds"),
        (lambda: plots.plot_cost([{"name": "x", "hours": -1.0}]), "hours must be 0 or more"),
        (lambda: plots.plot_data_value([]), "no rows"),
        (
            lambda: plots.plot_data_value([{**values()[0], "value": 0.5, "low": 0.1}]),
            "expected value in 1",
        ),
        (lambda: plots.show_failures([]), "no rows"),
        (
            lambda: plots.show_failures([{**failure(0), "after": "AnnualCrop"}]),
            "turned right or wrong, got 'AnnualCrop'",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_words_are_those_of_the_texts():
    found = {t.get_text() for t in words_of(plots.plot_framework())}
    assert text("project.bypass") in found


def test_dollars_in_a_short_class_name_are_escaped_once():
    item = {**failure(0), "nearest_label": "a $5 lot"}
    words = [ax.get_xlabel() for ax in plots.show_failures([item]).axes]
    assert r"a \$5 lot" in words
