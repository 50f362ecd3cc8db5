"""Figures of notebook 02: every number is at its place, legibly, and wrong input is refused."""

import csv
import math
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from test_plots_generation import assert_legible, draw, picture, pixels_of, shown, words_of

from course_utils import examples, plots
from course_utils.texts import text

DATA = Path(__file__).resolve().parents[1] / "data"


def read(name: str) -> list[dict[str, str]]:
    with open(DATA / "published" / f"{name}.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def curve(start: float, *shots: int) -> list[dict]:
    return [
        {"shots": s, "mean": start + s / 500, "low": start, "high": start + s / 300} for s in shots
    ]


def legend_of(figure: Figure) -> list[str]:
    (legend,) = figure.legends
    return [words.get_text() for words in legend.get_texts()]


NAMES = [f"class {i} of $5 with a long name" for i in range(12)]
SCORES = np.linspace(-0.2, 0.9, 12)


PAIR = [
    {"model": name, "architecture": "B", "data": "$5", "top1": top1, "reported_by": "us"}
    for name, top1 in (("CLIP", 40), ("a very long name of a specialist for $5", "38.5"))
]


def of_one_source(rows: list[dict]) -> list[dict]:
    """Choose the rows of the source that measured specialists, without its means."""
    return [r for r in rows if (r["reported_by"], r["kind"]) == ("RS-TransCLIP", "data set")]


def figures() -> dict[str, Figure]:
    """Draw every figure in a usual and in an awkward size."""
    timeline, gains, zero_shot = map(read, ("imagenet_timeline", "he2023_table1", "clip_zero_shot"))
    grey = [picture(i) for i in range(0, 200, 20)]
    heats = [np.random.default_rng(i).random((3 + i, 4)) for i in range(10)]
    masks = [np.arange(64).reshape(8, 8) % (i + 2) > 0 for i in range(10)]
    other = {**timeline[0], "protocol": "guessed for $5", "name": "x" * 60}
    long = "a very long title of an image that costs $5"
    return {
        "timeline": plots.plot_accuracy_timeline(timeline, caption="ImageNet"),
        "one model": plots.plot_accuracy_timeline([other]),
        "gains": plots.plot_synthetic_gains(gains, caption="He et al.\n2023"),
        "one backbone": plots.plot_synthetic_gains([gains[0], gains[1]]),
        "zero-shot": plots.plot_zero_shot_published(
            zero_shot, data_sets=["EuroSAT", "RESISC45"], caption="the same weights"
        ),
        "one data set": plots.plot_zero_shot_published(zero_shot),
        "specialists": plots.plot_specialists(of_one_source(zero_shot), caption="one source"),
        "one specialist": plots.plot_specialists(PAIR, data_sets=["$5"]),
        "few shots": plots.plot_few_shots(
            {f"$m_{i}$ {'x' * 9 * i}": curve(i / 10, 1, 2, 4, 100) for i in range(4)},
            levels={"zero-shot": 0.31, "chance": 0.1},
            caption="three seeds",
        ),
        "one shot": plots.plot_few_shots({"a": curve(0.5, 1)}),
        "heat": plots.show_heatmaps(
            grey, heats, titles=[long] * 10, unit="attention", caption="a\nb"
        ),
        "one map": plots.show_heatmaps(grey[:1], heats[:1]),
        "masked": plots.show_masked(grey[:8], masks[:8], grey[:8], caption="c"),
        "one masked": plots.show_masked(grey[:1], masks[:1], grey[:1], titles=["$5 a tile"]),
        "scores": plots.plot_class_scores(grey[0], NAMES, SCORES, truth=NAMES[0], caption="d"),
        "one class": plots.plot_class_scores(grey[0], ["a"], [0.0], score_label="$p$"),
        "two classes": plots.plot_class_scores(grey[0], ["a", "b"], [-1e9, 0.5], truth="a"),
    }


def test_every_figure_is_legible_and_none_stays_open():
    for figure in figures().values():
        assert_legible(figure)
        assert figure.get_figwidth() <= 13
        for legend in figure.legends:
            box = legend.get_window_extent()
            assert figure.bbox.padded(1).contains(box.x0, box.y0)
            assert figure.bbox.padded(1).contains(box.x1, box.y1)
            assert not any(box.overlaps(Text.get_window_extent(t)) for t in words_of(figure))
    assert not plt.get_fignums()


def test_figures_speak_chinese_where_the_font_can(monkeypatch):
    monkeypatch.setenv("COURSE_LANG", "zh")
    for figure in figures().values():
        draw(figure)  # a missing sign would be a warning, hence an error


# --- Published numbers ------------------------------------------------------------------------


def test_the_timeline_marks_every_accuracy_with_its_protocol_and_joins_none():
    rows = read("imagenet_timeline")
    figure = plots.plot_accuracy_timeline(rows)
    (ax,) = figure.axes
    found = {}
    for line in ax.lines:
        assert line.get_linestyle() == "None"
        found[line.get_label()] = sorted(map(tuple, line.get_xydata()))
    styles = {(line.get_color(), line.get_marker()) for line in ax.lines}
    assert len(found) == len(styles) == len({row["protocol"] for row in rows}) == 4
    for protocol in {row["protocol"] for row in rows}:
        expected = [
            (int(row["year"]) + (int(row["month"]) - 0.5) / 12, float(row["top1"]))
            for row in rows
            if row["protocol"] == protocol
        ]
        assert np.allclose(found[text(f"protocol.{protocol}")], sorted(expected))
    names = sorted(note.get_text() for note in ax.texts)
    assert names == sorted(row["name"] for row in rows)


def test_gains_come_in_the_order_of_their_mean_and_the_means_are_computed():
    rows = read("he2023_table1")
    figure = plots.plot_synthetic_gains(rows)
    labels = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    names = [label.split(" (")[0] for label in labels[:17]]  # the letter of the task left out
    sums = {name: 0.0 for name in names}
    for row in rows:
        if row["kind"] == "data set":
            sums[row["data"]] += float(row["clip_syn"]) - float(row["clip"])
    assert names == sorted(sums, key=sums.get, reverse=True)
    assert labels[0] == "EuroSAT (si)"
    assert figure.axes[0].get_yticklabels()[0].get_weight() == "bold"
    assert figure.axes[0].get_yticklabels()[1].get_weight() == "normal"
    assert labels[17:] == [text("plot.mean_computed"), text("plot.mean_printed")]
    left, right = ([note.get_text() for note in ax.texts] for ax in figure.axes)
    assert left[0] == "+17.86"
    assert right[0] == "+12.09"
    assert left[17] == "+4.31 (55.26 → 59.57)"
    assert left[18] == text("plot.mean_differs") + " (55.13 → 59.47)"
    assert right[18] == text("plot.mean_agrees") + " (65.42 → 68.32)"


def test_each_dumbbell_goes_from_clip_alone_to_clip_with_synthetic_images():
    rows = [row for row in read("he2023_table1") if row["data"] == "EuroSAT"]
    figure = plots.plot_synthetic_gains(rows)
    for ax, expected in zip(figure.axes, ((37.51, 55.37), (47.77, 59.86)), strict=True):
        marks = {m.get_marker(): m for m in ax.lines if m.get_linestyle() == "None"}
        assert marks["o"].get_xdata()[0] == expected[0]
        assert marks["s"].get_xdata()[0] == expected[1]
        assert marks["s"].get_color() == plots.SOURCE_COLORS["synthetic"]


def test_the_spread_of_the_same_weights_is_said_and_every_number_shown():
    figure = plots.plot_zero_shot_published(read("clip_zero_shot"))
    (ax,) = figure.axes
    labels = [tick.get_text() for tick in ax.get_yticklabels()]
    spread = text("plot.points_apart", points="12.8")
    assert f"RN50\n{spread}" in labels
    assert len(labels) == 4  # the other architectures were measured once
    numbers = [note.get_text() for note in ax.texts]
    assert numbers[:4] == ["28.3", "37.51", "40.8", "41.1"]
    assert "RS-TransCLIP: mean over 106 prompts" in legend_of(figure)


def test_weights_of_one_architecture_are_told_apart_by_what_they_were_pretrained_on():
    rows = [
        {"model": "CLIP", "architecture": "A", "pretraining": p, "data": "d", "top1": t}
        | {"reported_by": r, "protocol": "p"}
        for p in ("one", "two")
        for r, t in (("x", 1.0), ("y", 3))
    ]
    figure = plots.plot_zero_shot_published(rows, data_sets=["d"])
    labels = [tick.get_text().split("\n")[0] for tick in figure.axes[0].get_yticklabels()]
    assert labels == ["A, one", "A, two"]


# --- Measured numbers -------------------------------------------------------------------------


def test_each_specialist_stands_beside_the_clip_of_its_architecture():
    rows = of_one_source(read("clip_zero_shot"))
    top1 = {(r["data"], r["architecture"], r["model"]): float(r["top1"]) for r in rows}
    for ax in plots.plot_specialists(rows).axes:
        data = ax.get_title()
        clip, special = (line for line in ax.lines if line.get_marker() in "os")
        gains = [t.get_text() for t in ax.texts]
        expected = {
            (a, m): (top1[data, a, "CLIP"], top)
            for (d, a, m), top in top1.items()
            if d == data and m != "CLIP" and (d, a, "CLIP") in top1
        }
        found = list(zip(clip.get_xdata(), special.get_xdata(), strict=True))
        assert sorted(found) == sorted(expected.values())
        assert gains == [f"{b - a:+.1f}" for a, b in expected.values()]
    by_name = {key[1:]: pair for key, pair in top1.items() if key[0] == "EuroSAT"}
    assert by_name["ViT-L-14", "RemoteCLIP"] < by_name["ViT-L-14", "CLIP"]  # what the text says
    assert top1["RESISC45", "ViT-L-14", "RemoteCLIP"] > top1["RESISC45", "ViT-L-14", "CLIP"]


def test_captions_in_columns_stand_below_their_images_and_are_whole():
    said = "a long sentence about roofs that needs more than one line to be read"
    some = [
        examples.CaptionedImage(f"{i}", (said,), "a set", pixels=picture(20 * i)) for i in range(5)
    ]
    figure = plots.show_captions(some, num_columns=4, caption="five")
    assert_legible(figure)
    under = [ax.get_xlabel() for ax in figure.axes if ax.get_visible()]
    assert [words.replace("\n", " ") for words in under] == [said] * 5
    assert [ax.get_title() for ax in figure.axes if ax.get_visible()] == ["0", "1", "2", "3", "4"]


def test_the_letter_of_a_task_stands_behind_its_data_set():
    figure = plots.plot_synthetic_gains(read("he2023_table1"))
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert "EuroSAT (si)" in names
    assert "CUB (f)" in names


def test_few_shots_are_drawn_in_percent_with_intervals_on_a_logarithmic_axis():
    rows = [
        {"shots": 8, "mean": 0.6, "low": 0.5, "high": 0.65},
        {"shots": 1, "mean": 0.3, "low": 0.2, "high": 0.5},
    ]
    figure = plots.plot_few_shots({"probe": rows}, levels={"zero-shot": 0.42})
    (ax,) = figure.axes
    ((line, _, (spans,)),) = ax.containers
    assert np.allclose(line.get_xydata(), [[1, 30], [8, 60]])
    assert np.allclose([span[:, 1] for span in spans.get_segments()], [[20, 50], [50, 65]])
    assert ax.get_xscale() == "log"
    assert legend_of(figure) == ["probe", "zero-shot"]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["1", "8"]
    (level,) = [line for line in ax.lines if line.get_label() == "zero-shot"]
    assert set(level.get_ydata()) == {42}


def test_class_scores_come_from_the_highest_down_and_the_truth_is_always_shown():
    scores = [0.1, 0.4, 0.05, 0.3, 0.15, 0.06, 0.07, 0.08, 0.09]
    figure = plots.plot_class_scores(picture(7), list("abcdefghi"), scores, truth="c")
    left, ax = figure.axes
    assert shown(left) == 7
    assert [tick.get_text() for tick in ax.get_yticklabels()] == list("bdeaihgc")
    assert [bar.get_width() for bar in ax.patches][-2:] == [0.07, 0.05]
    colors = [to_rgb(bar.get_facecolor()) for bar in ax.patches]
    assert colors[0] == colors[6] != colors[7]
    assert ax.texts[7].get_text() == f"0.05 ({text('plot.truth')})"


# --- Images -----------------------------------------------------------------------------------


def test_each_heat_map_is_relative_to_its_own_largest_value_and_fills_its_image():
    heats = [np.array([[0.0, 2.0], [1.0, 4.0]]), np.full((1, 3), 7.0)]
    figure = plots.show_heatmaps([picture(9), picture(30)], heats, titles=["a", "$b$"], unit="u")
    *axes, bar = figure.axes
    assert [ax.get_title() for ax in axes] == ["a", r"\$b\$"]
    for ax, heat, value in zip(axes, heats, (9, 30), strict=True):
        grey, drawn = ax.images
        assert np.allclose(grey.get_array(), value)
        assert np.allclose(drawn.get_array(), heat / heat.max())
        assert drawn.get_clim() == (0, 1)
        assert drawn.get_extent() == [-0.5, 7.5, 7.5, -0.5]
    assert bar.get_xlabel() == f"u · {text('plot.heat')}"


def test_masked_images_show_what_is_seen_and_what_is_painted():
    mask = np.zeros((8, 8), bool)
    mask[:6] = True
    figure = plots.show_masked([picture(10)], [mask], [picture(200)])
    original, seen, painted, both = (pixels_of(ax.images[0]) for ax in figure.axes)
    assert (original == 10).all()
    assert (painted == 200).all()
    assert (seen[~mask] == 10).all()
    assert len(np.unique(seen[mask])) == 1
    assert np.unique(seen[mask]).item() not in (10, 200)
    assert (both[~mask] == 10).all()
    assert (both[mask] == 200).all()
    assert figure.axes[0].get_title() == text("masked.hidden", share="75")


# --- Wrong input ------------------------------------------------------------------------------

ROW = {"name": "a", "year": 2012, "month": 1, "top1": 60.0, "protocol": "zero-shot"}
GAIN = {"data": "a", "kind": "data set", "backbone": "b", "clip": 1.0, "clip_syn": 2.0}
SHOT = {"shots": 1, "mean": 0.5, "low": 0.4, "high": 0.6}
ONE = [picture(1)]
MASK = [np.zeros((8, 8), bool)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plots.plot_accuracy_timeline([]), "no rows"),
        (lambda: plots.plot_accuracy_timeline([{"name": "a"}]), "lacks year, month"),
        (lambda: plots.plot_accuracy_timeline([{**ROW, "month": 13}]), "months from 1 to 12"),
        (lambda: plots.plot_accuracy_timeline([{**ROW, "top1": math.nan}]), "in percent"),
        (lambda: plots.plot_accuracy_timeline([{**ROW, "top1": 120}]), "in percent"),
        (lambda: plots.plot_accuracy_timeline([ROW] * 300), "no free place"),
        (lambda: plots.plot_synthetic_gains([]), "no rows"),
        (lambda: plots.plot_synthetic_gains([{**GAIN, "kind": "mean"}]), "got 'mean'"),
        (lambda: plots.plot_synthetic_gains([{**GAIN, "kind": "printed mean"}]), "one or more"),
        (
            lambda: plots.plot_synthetic_gains([GAIN, {**GAIN, "data": "c", "backbone": "d"}]),
            "same data sets",
        ),
        (lambda: plots.plot_zero_shot_published([]), "no rows"),
        (
            lambda: plots.plot_zero_shot_published(read("clip_zero_shot"), data_sets=["CLRS"]),
            "measured twice on 'CLRS'",
        ),
        (lambda: plots.plot_specialists([]), "no rows"),
        (lambda: plots.plot_specialists(PAIR[:1], data_sets=["$5"]), "no specialist beside"),
        (lambda: plots.plot_specialists([*PAIR, PAIR[1]], data_sets=["$5"]), "two rows of one"),
        (
            lambda: plots.plot_specialists([PAIR[0], {**PAIR[1], "reported_by": "them"}]),
            "rows of one source",
        ),
        (lambda: plots.plot_few_shots({}), "needs records"),
        (lambda: plots.plot_few_shots({"a": []}), "needs records"),
        (lambda: plots.plot_few_shots({"a": [{"shots": 1}]}), "lacks mean, low, high"),
        (lambda: plots.plot_few_shots({"a": [{**SHOT, "shots": 0}]}), "shots >= 1"),
        (lambda: plots.plot_few_shots({"a": [{**SHOT, "low": 0.55}]}), "low <= mean"),
        (
            lambda: plots.plot_few_shots({"a": [{**SHOT, "mean": 50, "high": 60}]}),
            "mean in 0 … 1, got 50",
        ),
        (lambda: plots.plot_few_shots({"a": [SHOT]}, levels={"z": 42.0}), "levels must be shares"),
        (lambda: plots.show_heatmaps([], []), "0 images, 0 maps"),
        (lambda: plots.show_heatmaps(ONE, [np.ones((2, 2))], titles=[]), "1 maps, 0 titles"),
        (lambda: plots.show_heatmaps(ONE, [np.zeros((2, 2))]), "not all 0"),
        (lambda: plots.show_heatmaps(ONE, [np.array([[-1.0, 1.0]])]), "0 or more"),
        (lambda: plots.show_heatmaps(ONE, [np.array([[np.nan, 1.0]])]), "finite"),
        (lambda: plots.show_masked([], [], []), "0 masks"),
        (lambda: plots.show_masked(ONE, [MASK[0][:4]], ONE), "bool mask"),
        (lambda: plots.show_masked(ONE, MASK, [ONE[0][:4]]), "reconstruction of"),
        (lambda: plots.plot_class_scores(ONE[0], [], []), "0 class_names"),
        (lambda: plots.plot_class_scores(ONE[0], ["a"], [1.0, 2.0]), "1 class_names, 2 scores"),
        (lambda: plots.plot_class_scores(ONE[0], ["a"], [math.inf]), "finite"),
        (lambda: plots.plot_class_scores(ONE[0], ["a"], [1.0], truth="b"), "'b' is none"),
    ],
)
def test_wrong_input_is_refused_with_what_was_expected(call, message):
    with pytest.raises(ValueError, match=message):
        call()
    assert not plt.get_fignums()
