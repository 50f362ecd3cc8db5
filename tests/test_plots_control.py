"""Figures of control: what was told, drawn, found and measured is shown; the rest is refused."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from course_utils import control, plots
from course_utils.plots import Answer, Enlarged, Steered
from mini_earth import LAND_COVER

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (16, 16, 3), dtype=np.uint8)
ROAD = np.zeros((16, 16), bool)
ROAD[7:9] = True
COVER = RNG.integers(0, 8, (16, 16), dtype=np.uint8)


def first_pixels(fig) -> list[tuple[int, ...]]:
    return [tuple(ax.images[0].get_array()[0, 0]) for ax in fig.axes if ax.images]


def hatched(fig) -> list[int]:
    """List the axes of a figure that say that there is no image."""
    return [
        i
        for i, ax in enumerate(fig.axes)
        if any(isinstance(patch, Rectangle) and patch.get_hatch() for patch in ax.patches)
    ]


def below(fig) -> list[str]:
    return [ax.get_xlabel() for ax in fig.axes if ax.images]


def test_land_cover_has_one_palette_in_maps_and_figures():
    codes = torch.arange(8, dtype=torch.uint8)[None]
    told = (255 * control.color_cover(codes)).round().to(torch.uint8).permute(1, 2, 0).numpy()
    assert np.array_equal(plots.map_picture(codes.numpy()), told)
    assert len(plots.style.COVER_COLORS) == len(LAND_COVER)


def test_conditions_stand_in_the_order_of_the_network_and_absent_ones_are_hatched():
    maps = {"segmentation": control.color_cover(torch.tensor(COVER)), "road": ROAD}
    fig = plots.show_conditions(IMAGE, maps)
    assert hatched(fig) == [1, 2, 3, 5]
    assert below(fig)[1:] == [f"channels {3 * i + 1}–{3 * i + 3}" for i in range(6)]
    pixels = first_pixels(fig)
    assert pixels[0] == tuple(IMAGE[0, 0])
    assert pixels[4] == (0, 0, 0)
    assert pixels[6] == control.COVER_COLORS[COVER[0, 0]]


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        ({"roads": ROAD}, "no condition 'roads'"),
        ({"road": ROAD[:8]}, "image's size, \\(16, 16\\), got \\(8, 16\\)"),
        ({"depth": np.full((16, 16), 40.0)}, "expected 0 to 1, got 40"),
        ({"depth": np.full((16, 16), np.nan)}, "expected 0 to 1"),
        ({"edges": np.zeros((2, 16, 16))}, "image's size"),
    ],
)
def test_conditions_that_no_network_reads_are_refused(maps, message):
    with pytest.raises(ValueError, match=message):
        plots.show_conditions(IMAGE, maps)
    assert not plt.get_fignums()


def steered(**changed) -> Steered:
    settings = {"title": "told", "asked": ROAD, "drawings": [IMAGE] * 2, "found": [ROAD, ~ROAD]}
    return Steered(**(settings | {"iou": [1.0, float("nan")], "told": ROAD} | changed))


def test_a_row_of_steered_drawings_goes_from_what_was_told_to_what_was_asked():
    fig = plots.show_steered([steered(), steered(title="no map", told=None)])
    black, white = (0, 0, 0), (255, 255, 255)
    drawing = tuple(IMAGE[0, 0])
    row = [white, drawing, drawing, white, black, white]  # the first pixel is no road
    assert first_pixels(fig) == row * 2
    assert hatched(fig) == [6]
    assert below(fig)[:6] == ["", "", "", "IoU 100 %", "in neither", ""]
    assert [ax.get_ylabel() for ax in fig.axes if ax.get_ylabel()] == ["told", "no map"]


def test_land_cover_has_a_legend_of_the_classes_that_are_there():
    asked = np.full((16, 16), 5, np.uint8)
    fig = plots.show_steered([steered(asked=asked, told=asked, found=[asked, asked - 2])])
    assert [t.get_text() for t in fig.legends[0].get_texts()] == ["road", "water"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no rows"),
        ([steered(iou=[0.5])], "one of each"),
        ([steered(iou=[0.5, 1.5])], "IoU of 0 to 1, got 1.5"),
        ([steered(asked=COVER + 8)], "codes of land cover from 0 to 7"),
        ([steered(found=[ROAD, ROAD / 2])], "bool or codes"),
        ([steered(), steered(drawings=[IMAGE], found=[ROAD], iou=[0.1])], "as many drawings a row"),
    ],
)
def test_rows_that_do_not_fit_are_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        plots.show_steered(rows)
    assert not plt.get_fignums()


def test_a_map_stands_alone_until_its_scene_is_drawn():
    assert hatched(plots.show_map_and_scene(COVER)) == [1]
    fig = plots.show_map_and_scene(COVER, IMAGE)
    assert hatched(fig) == []
    assert first_pixels(fig)[1] == tuple(IMAGE[0, 0])


def enlarged(**changed) -> Enlarged:
    samples = [np.zeros_like(IMAGE), np.full_like(IMAGE, 20)]
    settings = {"title": "tile", "low": IMAGE[:4, :4], "answers": {"bicubic": IMAGE}}
    settings |= {
        "samples": samples,
        "truth": IMAGE,
        "psnr": [20.0, 21.0, 22.0],
        "distance": [0.1] * 3,
    }
    return Enlarged(**(settings | changed))


def test_where_samples_disagree_is_their_standard_deviation():
    fig = plots.show_super_resolution([enlarged()])
    heat = fig.axes[5].images[-1].get_array()
    assert np.allclose(heat, np.std([0, 20]))
    assert below(fig)[:5] == [
        "",
        "20.0 dB\ndistance 0.10",
        "21.0 dB\ndistance 0.10",
        "22.0 dB\ndistance 0.10",
        "",
    ]


def test_a_tile_without_a_truth_has_no_numbers_and_says_so():
    fig = plots.show_super_resolution([enlarged(truth=None, psnr=(), distance=())])
    assert hatched(fig) == [4]
    assert not any(below(fig)[:5])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no rows"),
        ([enlarged(samples=[IMAGE], psnr=(), distance=())], "2 samples or more"),
        ([enlarged(), enlarged(answers={"other": IMAGE})], "the same methods"),
        ([enlarged(psnr=[20.0])], "expected 3 numbers"),
        ([enlarged(truth=IMAGE[:8])], "one size"),
    ],
)
def test_tiles_that_do_not_fit_are_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        plots.show_super_resolution(rows)
    assert not plt.get_fignums()


def test_pairs_stand_above_each_other_with_the_colors_of_their_classes():
    names = ("water", "lava")
    masks = [np.zeros((4, 4), np.uint8), np.ones((4, 4), np.uint8)]
    fig = plots.show_pairs([IMAGE, IMAGE], masks, names, source="real")
    lava = tuple(round(255 * level) for level in to_rgb(plots.style.LINE_COLORS[0]))
    assert first_pixels(fig)[2:] == [control.COVER_COLORS[5], lava]
    assert [t.get_text() for t in fig.legends[0].get_texts()] == list(names)


@pytest.mark.parametrize(
    ("mask", "settings", "message"),
    [
        (np.full((4, 4), 2), {}, "numbers of 2 classes, 0 to 1, got 2 to 2"),
        (np.full((4, 4), -1), {}, "got -1"),
        (np.zeros((4, 4)), {}, "whole numbers, got float64"),
        (np.zeros((4, 4), int), {"source": "drawn"}, "real or synthetic"),
    ],
)
def test_masks_outside_their_classes_are_refused(mask, settings, message):
    with pytest.raises(ValueError, match=message):
        plots.show_pairs([IMAGE], [mask], ("a", "b"), **settings)
    assert not plt.get_fignums()


def score(arm: str, value: float, *, measure: str = "road") -> dict:
    return {"measure": measure, "arm": arm, "value": value, "low": value - 0.1, "high": value + 0.1}


def test_bars_have_the_length_of_their_scores_and_renders_are_a_line():
    table = pd.DataFrame([score("told", 0.5), score("shuffled", 0.1), score("renders", 0.8)])
    ax = plots.control_scores(table).axes[0]
    bars = [container for container in ax.containers if hasattr(container, "patches")]
    widths = [bar.get_width() for container in bars for bar in container.patches]
    assert widths == pytest.approx([50, 10])
    dashed = [line.get_xdata() for line in ax.lines if line.get_linestyle() == "--"]
    assert np.allclose(dashed, 80)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["told the map", "told another's map"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no rows"),
        ([score("told", 0.5) | {"low": 0.6}], "expected low <= value <= high"),
        ([score("told", 1.2)], "expected value in 0 … 1"),
        ([score("told", 0.5), score("renders", 0.5, measure="cover")], "cover: no arm"),
    ],
)
def test_scores_that_are_none_are_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        plots.control_scores(pd.DataFrame(rows))
    assert not plt.get_fignums()


def answer(**changed) -> Answer:
    settings = {"field": "cloud_share", "asked": [0.0, 0.5], "read": [0.1, 0.4], "own_error": 0.05}
    return Answer(**(settings | {"correlation": (0.8, 0.6, 0.9)} | changed))


def test_what_is_read_stands_over_what_was_asked_and_the_band_is_the_readers_error():
    meters = answer(field="meters_per_pixel", asked=[1.0, 10.0], read=[2.0, 5.0], own_error=2.0)
    cloud, logarithmic = plots.metadata_answer([answer(), meters]).axes
    points = cloud.collections[1].get_offsets()
    assert np.allclose(points, [[0, 0.1], [0.5, 0.4]])
    band = cloud.collections[0].get_paths()[0].vertices
    off = band[:, 1] - band[:, 0]
    assert np.allclose(np.unique(off.round(6)), [-0.05, 0.05])
    band = logarithmic.collections[0].get_paths()[0].vertices
    assert np.allclose(np.unique((band[:, 1] / band[:, 0]).round(6)), [0.5, 2])
    assert logarithmic.get_xscale() == "log"
    assert "0.80 (0.60 to 0.90)" in cloud.get_title()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"read": [0.1]}, "one of each"),
        ({"read": [0.1, np.nan]}, "finite"),
        ({"field": "meters_per_pixel", "own_error": 1.2}, "meters above 0"),
        ({"own_error": -0.1}, "own error"),
        ({"correlation": (0.5, 0.6, 0.9)}, "correlation in its interval"),
    ],
)
def test_answers_that_cannot_be_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        plots.metadata_answer([answer(**changed)])
    with pytest.raises(ValueError, match="no answers"):
        plots.metadata_answer([])
    assert not plt.get_fignums()


OURS = [
    {"arm": "real+synthetic", "multiple": m, "gain": 0.01 * m, "low": 0.0, "high": 0.1}
    for m in range(1, 4)
]
OURS += [{"arm": "augmented", "multiple": 0, "gain": 0.02, "low": 0.01, "high": 0.03}]
THEIRS = [{"dataset": "iSAID", "multiple": m, "miou": 50.0 + m} for m in (0, 1, 3)]


def test_published_curves_begin_at_no_gain_and_ours_are_in_points():
    fig = plots.gain_by_multiple(pd.DataFrame(OURS), pd.DataFrame(THEIRS))
    left, right = fig.axes
    curve = next(line for line in left.lines if line.get_label() == "iSAID")
    assert list(curve.get_ydata()) == [0, 1, 3]
    data = [bar[0].get_ydata() for bar in right.containers]
    assert np.allclose(data[0], [1, 2, 3])
    assert np.allclose(data[1], [2])


@pytest.mark.parametrize(
    ("ours", "theirs", "message"),
    [
        ([], THEIRS, "measured: no rows"),
        (OURS, [], "published: no rows"),
        (OURS, THEIRS[1:], "iSAID has no 0x"),
        ([OURS[0] | {"low": 0.5}], THEIRS, "expected low <= gain <= high"),
    ],
)
def test_curves_that_cannot_be_compared_are_refused(ours, theirs, message):
    with pytest.raises(ValueError, match=message):
        plots.gain_by_multiple(pd.DataFrame(ours), pd.DataFrame(theirs))
    assert not plt.get_fignums()
