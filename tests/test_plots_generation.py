"""Figures of drawn images and of their quality: all in its place, legible, and nothing rescaled."""

import csv
import itertools
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.legend import Legend
from matplotlib.text import Text

from course_utils import plots
from course_utils.metrics import FrechetBySize
from course_utils.texts import text

DATA = Path(__file__).resolve().parents[1] / "data"


def picture(value: int) -> np.ndarray:
    return np.full((8, 8, 3), value, np.uint8)


def shown(ax: plt.Axes) -> int:
    """Give the value of the flat image in some axes, which must be unscaled."""
    (image,) = ax.images
    return int(np.unique(image.get_array()).item())


def pixels_of(image: AxesImage) -> np.ndarray:
    """Give the pixels of a drawn image as they were handed over, each of which is repeated."""
    drawn = np.asarray(image.get_array())
    factor = len(drawn) // round(image.get_extent()[2] + 0.5)  # the lower end
    pixels = drawn[::factor, ::factor]
    assert np.array_equal(drawn, pixels.repeat(factor, axis=0).repeat(factor, axis=1))
    return pixels


def words_of(figure: Figure) -> list:
    """List what can be read in a figure; ticks outside of the axes are never drawn."""
    texts = [*figure.texts]
    for ax in figure.axes:
        if not ax.get_visible():
            continue
        texts += [*ax.texts, *ax.findobj(Legend), ax.title, ax._left_title]
        if ax.axison:
            texts += [ax.xaxis.label, ax.yaxis.label]
            for axis, limits in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
                ticks = [tick for tick in axis.get_major_ticks() if axis.get_ticklocs().size]
                inside = [t for t in ticks if min(limits) <= t.get_loc() <= max(limits)]
                texts += [tick.label1 for tick in inside]
    texts = [part for t in texts for part in (t.get_texts() if isinstance(t, Legend) else [t])]
    return [t for t in texts if t.get_visible() and t.get_text().strip()]


def draw(figure: Figure) -> None:
    """Lay a figure out; a closed one has no canvas that would."""
    FigureCanvasAgg(figure).draw()


def assert_legible(figure: Figure) -> None:
    """Check that no words overlap others or leave the figure."""
    draw(figure)
    # of an annotation the words alone: a leader line has a box much larger than what it covers
    boxes = [(t.get_text(), Text.get_window_extent(t)) for t in words_of(figure)]
    width, height = figure.canvas.get_width_height()
    for words, box in boxes:
        assert box.x0 >= -1, words
        assert box.x1 <= width + 1, words
        assert box.y0 >= -1, words
        assert box.y1 <= height + 1, words
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        overlap_x = min(a.x1, b.x1) - max(a.x0, b.x0)
        overlap_y = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert overlap_x <= 1 or overlap_y <= 1, (one, other)


def curve(limit: int | float, slope: int | float) -> FrechetBySize:
    sizes = (64, 128, 256, 512, 1000)
    means = tuple(limit + slope / n for n in sizes)
    return FrechetBySize(sizes, means, (0.1,) * 5, float(limit), float(slope))


def published() -> list[dict]:
    with open(DATA / "published" / "text2image.csv", encoding="utf-8", newline="") as file:
        return [{**row, "value": float(row["value"])} for row in csv.DictReader(file)]


OURS = [
    {"system": "a", "metric": "kernel distance", "value": 0.2, "unit": "", "better": "lower"},
    {"system": "b $c$", "metric": "recognized", "value": 82.5, "unit": "%", "better": "higher"},
]
QUALITY = [
    {"guidance_scale": s, "measure": m, "value": v + s / 50, "low": v, "high": v + 0.3}
    for s in (1.0, 3.0, 8.0)
    for m, v in (("precision", 0.3), ("recall", 0.5))
]


def figures() -> dict[str, Figure]:
    """Draw every figure in a usual and in an awkward size."""
    grey = [picture(i) for i in range(0, 240, 20)]
    maps = np.random.default_rng(0).random((9, 8, 8)) / 9
    sentence = "an aerial image of a dense residential area with many trees and $5 roads" * 2
    rows = [
        *QUALITY,
        {**QUALITY[0], "measure": "distance", "unit": "points", "value": 3, "high": 4},
    ]
    return {
        "trajectory": plots.plot_trajectory(grey, grey, range(11, -1, -1), caption="a river"),
        "one step": plots.plot_trajectory(grey[:1], grey[:1], [999]),
        "grid": plots.show_grid(
            [grey[:5]] * 3,
            row_labels=["a river", sentence, "卫星"[:0]],
            column_labels=list("12345"),
            column_title="guidance scale",
            caption="one",
        ),
        "long names": plots.show_grid(
            [grey[:7]], row_labels=["render"], column_labels=["rectangular farmland, $5"] * 7
        ),
        "single": plots.show_grid([grey[:1]], row_labels=[""], column_labels=["a"]),
        "attention": plots.show_attention(
            grey[3], [f"word{i}" for i in range(9)], maps, resolution=(4, 4), caption="a"
        ),
        "one word": plots.show_attention(grey[3], ["river"], maps[:1], relative=True),
        "neighbors": plots.show_neighbors(grey[:11], grey[:11], [0.01234] * 11, caption="b"),
        "one neighbor": plots.show_neighbors(np.stack(grey[:1]), grey[:1], [0.1]),
        "bias": plots.plot_metric_bias(
            {"synthetic": curve(3, 200), "real": curve(-0.1, 150), "x $y$": curve(3.1, -50)},
            caption="Fréchet distance",
        ),
        "published": plots.plot_published(
            published(), OURS, note="the images are others. " * 8, caption="Known numbers"
        ),
        "quality": plots.plot_quality(rows, setting="guidance_scale", caption="10 steps"),
    }


def test_every_figure_is_legible_and_none_stays_open():
    for figure in figures().values():
        assert_legible(figure)
        assert figure.get_figwidth() <= 13
    assert not plt.get_fignums()


def test_figures_speak_chinese_where_the_font_can(monkeypatch):
    monkeypatch.setenv("COURSE_LANG", "zh")
    for figure in figures().values():
        draw(figure)  # a missing sign would be a warning, hence an error


# --- Images -----------------------------------------------------------------------------------


def test_a_trajectory_shows_first_and_last_step_with_the_predictions_below():
    noised, clean = ([picture(v + i) for i in range(21)] for v in (0, 100))
    figure = plots.plot_trajectory(noised, clean, range(1000, -1, -50))
    values = [shown(ax) for ax in figure.axes]
    chosen = [0, 3, 6, 9, 11, 14, 17, 20]
    assert values == [*chosen, *(100 + i for i in chosen)]
    assert [ax.get_title() for ax in figure.axes[:8]] == [f"t = {1000 - 50 * i}" for i in chosen]
    assert "x_t" in figure.axes[0].get_ylabel()
    assert "hat x_0" in figure.axes[8].get_ylabel()


def test_a_grid_has_a_name_for_every_row_and_column_and_what_the_columns_differ_in():
    images = [[picture(10 * row + column) for column in range(3)] for row in range(2)]
    figure = plots.show_grid(
        images, row_labels=["a", "$b$"], column_labels=["1", "2", "3"], column_title="steps"
    )
    assert [shown(ax) for ax in figure.axes] == [0, 1, 2, 10, 11, 12]
    assert [ax.get_ylabel() for ax in figure.axes[::3]] == ["a", r"\$b\$"]
    assert [ax.get_title() for ax in figure.axes[:3]] == ["1", "2", "3"]
    assert figure.get_supxlabel() == "steps"


def test_maps_of_attention_share_one_scale_in_percent():
    maps = np.stack([np.full((8, 8), 0.02), np.full((8, 8), 0.06)])
    maps[1, 0, 0] = 0.08
    figure = plots.show_attention(picture(9), ["a", "river"], maps, resolution=(4, 8))
    first, *heats, bar = figure.axes
    assert shown(first) == 9
    assert [ax.get_title() for ax in heats] == ["“a”", "“river”"]
    for ax, values in zip(heats, maps, strict=True):
        grey, heat = ax.images
        assert np.allclose(heat.get_array(), 100 * values)
        assert heat.get_clim() == pytest.approx((2, 8))
        assert np.allclose(grey.get_array(), 9)
    assert "%" in bar.get_xlabel()
    assert "4 × 8" in bar.get_xlabel()


def test_relative_attention_is_one_in_the_mean_of_every_word():
    maps = np.random.default_rng(0).random((3, 8, 8)) * np.array([0.1, 0.01, 0.3])[:, None, None]
    figure = plots.show_attention(picture(9), list("abc"), maps, relative=True)
    for ax, values in zip(figure.axes[1:4], maps, strict=True):
        heat = ax.images[1].get_array()
        assert heat.mean() == pytest.approx(1)
        assert np.allclose(heat * values.mean(), values)
    assert "%" not in figure.axes[-1].get_xlabel()


def test_each_synthetic_image_stands_above_its_neighbor_in_the_colors_of_their_sources():
    synthetic, real = ([picture(v + i) for i in range(9)] for v in (0, 100))
    figure = plots.show_neighbors(synthetic, real, [0.5, 0.25, *[1.0] * 7])
    placed = [ax for ax in figure.axes if ax.get_visible()]
    values = {shown(ax): ax for ax in placed}
    assert list(values) == [*range(8), *range(100, 108), 8, 108]
    for value, ax in values.items():
        color = plots.SOURCE_COLORS["real" if value >= 100 else "synthetic"]
        assert ax.spines["left"].get_edgecolor() == plt.matplotlib.colors.to_rgba(color)
    assert [values[v].get_xlabel() for v in (100, 101, 108)] == ["0.5", "0.25", "1"]
    assert figure.get_supxlabel() == text("plot.feature_distance")


# --- Numbers ----------------------------------------------------------------------------------


def test_the_bias_is_a_line_over_one_by_n_that_ends_at_infinitely_many():
    figure = plots.plot_metric_bias({"synthetic": curve(3, 200), "real": curve(0, 150)})
    (ax,) = figure.axes
    ends = [line.get_xydata() for line in ax.lines if line.get_linestyle() == "--"]
    assert np.allclose(ends[0], [[0, 3], [1 / 64, 3 + 200 / 64]])
    assert np.allclose(ends[1], [[0, 0], [1 / 64, 150 / 64]])
    labels = {
        label.get_text(): place
        for label, place in zip(ax.get_xticklabels(), ax.get_xticks(), strict=True)
    }
    assert labels["∞"] == 0
    assert labels["64"] == 1 / 64
    names = [words.get_text() for words in ax.get_legend().get_texts()]
    assert "synthetic" in names[0]
    assert names[0].endswith("3)")
    colors = [bars.lines[0].get_color() for bars in ax.containers]
    assert colors == [plots.SOURCE_COLORS["synthetic"], plots.SOURCE_COLORS["real"]]


def test_published_numbers_are_apart_from_ours_with_the_reason():
    figure = plots.plot_published(published(), OURS, note="these are other images.")
    draw(figure)
    middle = figure.bbox.width / 2
    left = [ax for ax in figure.axes if ax.get_window_extent().x1 < middle]
    right = [ax for ax in figure.axes if ax.get_window_extent().x0 > middle]
    assert len(left) == 3
    assert len(right) == 2
    assert len(figure.axes) == 5
    bars = {ax.get_title(loc="left"): [bar.get_width() for bar in ax.patches] for ax in left}
    assert bars["FID (lower is better)"] == [24.49, 50.72, 66.49, 102.44]
    assert bars["CLIP score (higher is better)"] == [25.62, 20.33, 20.27]
    said = [words.get_text() for words in words_of(figure)]
    assert "Left and right are not comparable because these are other images." in said
    assert "90.26 %" in said
    assert "82.5 %" in said
    assert "0.2" in said


def test_the_published_table_names_a_source_for_every_number():
    rows = published()
    assert len(rows) == 10
    for row in rows:
        assert "arXiv:2501.00895" in row["source"]
        assert row["data"] == "RSICD"
        assert ("re-reported" in row["source"]) == (row["system"] != "Text2Earth")


def test_a_column_read_by_pandas_has_no_unit_where_the_cell_is_empty():
    import pandas as pd

    rows = pd.read_csv(DATA / "published" / "text2image.csv").to_dict("records")
    figure = plots.plot_published(rows, OURS, note="x")
    assert not any("nan" in words.get_text() for words in words_of(figure))


def test_quality_is_drawn_in_percent_with_its_intervals_and_other_units_apart():
    other = {"measure": "distance", "unit": "points", "value": 3, "low": 2, "high": 4}
    rows = [*QUALITY, *({**other, "guidance_scale": s} for s in (1.0, 3.0, 8.0))]
    left, right = plots.plot_quality(rows, setting="guidance_scale").axes
    assert "%" in left.get_ylabel()
    assert right.get_ylabel() == "distance (points)"
    lines = {bars.get_label(): bars for bars in left.containers}
    assert list(lines) == ["precision", "recall"]
    line, _, (spans,) = lines["precision"]
    assert np.allclose(line.get_ydata(), [32, 36, 46])
    assert np.allclose(line.get_xdata(), [1, 3, 8], atol=0.1)
    assert np.allclose([span[:, 1] for span in spans.get_segments()], [[30, 60]] * 3)
    assert np.allclose(right.containers[0][0].get_ydata(), 3)
    styles = {(bars[0].get_color(), bars[0].get_marker()) for bars in left.containers}
    assert len(styles) == 2


def test_rows_may_come_in_any_order():
    figure = plots.plot_quality(QUALITY[::-1], setting="guidance_scale")
    for bars in figure.axes[0].containers:
        assert np.all(np.diff(bars[0].get_xdata()) > 0)
    assert figure.axes[0].get_xlabel() == text("plot.guidance_scale")


MAPS = np.full((1, 8, 8), 0.1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plots.plot_trajectory([], [], []), "0 timesteps"),
        (lambda: plots.plot_trajectory([picture(1)], [], [1]), "0 x_0"),
        (lambda: plots.show_grid([], row_labels=[], column_labels=["a"]), "names of rows"),
        (
            lambda: plots.show_grid([[picture(1)]], row_labels=["a"], column_labels=["a", "b"]),
            "2 images a row",
        ),
        (
            lambda: plots.show_grid([[picture(1)[0]]], row_labels=["a"], column_labels=["b"]),
            "UInt8|uint8",
        ),
        (lambda: plots.show_attention(picture(1), [], MAPS[:0]), "one a word"),
        (lambda: plots.show_attention(picture(1), ["a"], MAPS[:, :4]), "one a word"),
        (lambda: plots.show_attention(picture(1), ["a"], 100 * MAPS), "shares"),
        (lambda: plots.show_attention(picture(1), ["a"], 0 * MAPS, relative=True), "all 0"),
        (lambda: plots.show_neighbors([], [], []), "0 real"),
        (lambda: plots.show_neighbors([picture(1)], [picture(1)], [-1.0]), "0 or more"),
        (lambda: plots.show_neighbors([picture(1)], [picture(1)], [np.nan]), "finite"),
        (lambda: plots.plot_metric_bias({}), "no curves"),
        (lambda: plots.plot_published([], OURS, note="x"), "published: no rows"),
        (lambda: plots.plot_published(OURS, [{"system": "a"}], note="x"), "ours: a row lacks"),
        (lambda: plots.plot_published(OURS, OURS, note=" "), "say in the note"),
        (
            lambda: plots.plot_published(OURS, [{**OURS[0], "better": "more"}], note="x"),
            "'more'",
        ),
        (lambda: plots.plot_quality([], setting="a"), "no rows"),
        (lambda: plots.plot_quality(QUALITY, setting="seed"), "lacks seed"),
        (
            lambda: plots.plot_quality(
                [{**QUALITY[0], "value": 50, "high": 60}], setting="guidance_scale"
            ),
            "value in 0 … 1, got 50",
        ),
        (
            lambda: plots.plot_quality([{**QUALITY[0], "low": 0.9}], setting="guidance_scale"),
            "low <= value",
        ),
    ],
)
def test_what_cannot_be_shown_is_refused(call, message):
    with pytest.raises(Exception, match=message):
        call()


# --- Judges -----------------------------------------------------------------------------------

JUDGED = [
    {"judge": judge, "about": about, "images": images, "value": v, "low": v - 0.05, "high": v}
    for judge, shift in (("CLIP score", 0.0), ("a network of its own", 0.2))
    for about, start in (("small_text2image\nmini_earth", 0.3), ("$x$", 0.4), ("third", 0.5))
    for images, v in (("synthetic", start + shift), ("real", start - shift + 0.1))
]


def confused(num: int) -> plt.Figure:
    rows = [[picture(20 * row + column) for column in range(num)] for row in range(3)]
    names = {"asked": ["wildfire"] * num, "found": ["wind, $5 and much more than fits"] * num}
    return plots.show_confused(*rows, **names, caption="nearest")


def test_each_judge_has_a_panel_where_real_and_synthetic_images_have_their_colors():
    figure = plots.plot_judges(JUDGED, caption="two judges")
    assert_legible(figure)
    left, right = figure.axes
    assert (left.get_title(), right.get_title()) == ("CLIP score", "a network of its own")
    lines = {bars.get_label(): bars for bars in right.containers}
    assert list(lines) == [text("plot.synthetic"), text("plot.real")]
    assert np.allclose(lines[text("plot.synthetic")][0].get_xdata(), [50, 60, 70])
    (spans,) = lines[text("plot.real")][2]
    assert np.allclose([s[:, 0] for s in spans.get_segments()], [[15, 20], [25, 30], [35, 40]])
    colors = [bars[0].get_color() for bars in right.containers]
    assert colors == [plots.SOURCE_COLORS["synthetic"], plots.SOURCE_COLORS["real"]]


@pytest.mark.parametrize("num", [1, 6])
def test_a_drawing_stands_between_the_class_asked_for_and_the_nearest_real_image(num):
    figure = confused(num)
    assert_legible(figure)
    assert [shown(ax) for ax in figure.axes] == [20 * r + c for r in range(3) for c in range(num)]
    assert figure.axes[0].get_title() == text("disaster.wildfire")
    assert figure.axes[-1].get_xlabel().startswith(r"wind, \$5")
    edges = [ax.spines["left"].get_edgecolor() for ax in figure.axes[::num]]
    colors = [plots.SOURCE_COLORS[source] for source in ("real", "synthetic", "real")]
    assert edges == [plt.matplotlib.colors.to_rgba(color) for color in colors]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plots.plot_judges([]), "no rows"),
        (lambda: plots.plot_judges([{**JUDGED[0], "images": "drawn"}]), "'drawn'"),
        (lambda: plots.plot_judges([{**JUDGED[0], "value": 74, "high": 75}]), "0 … 1"),
        (lambda: plots.show_confused([], [], [], asked=[], found=[]), "0 drawn"),
        (
            lambda: plots.show_confused([picture(1)], [picture(1)], [], asked=["a"], found=["a"]),
            "0 nearest",
        ),
    ],
)
def test_judges_and_confusions_that_cannot_be_shown_are_refused(call, message):
    with pytest.raises(Exception, match=message):
        call()
