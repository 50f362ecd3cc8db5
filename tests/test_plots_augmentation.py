"""Figures and gallery of augmentation: everything drawn where it belongs, and legible."""

import io
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
import shapely
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image
from test_plots_generation import assert_legible, pixels_of

from course_utils import augment, lab, plots, widgets
from course_utils.texts import text
from course_utils.xbd import DamageLevel

CLASSES = ("earthquake", "flooding", "wind")
AMOUNTS = (1, 4, 100)


def some_batch(num: int = 3) -> augment.Batch:
    """Gray images with one building of another damage level each."""
    masks = torch.zeros(num, 32, 32, dtype=torch.int64)
    masks[:, 8:24, 8:24] = torch.arange(1, num + 1)[:, None, None]
    return augment.Batch(
        torch.full((num, 3, 32, 32), 0.5),
        masks=masks,
        polygons=[[shapely.box(8, 8, 24, 24)]] * num,
        targets=torch.eye(num),
    )


def gains(families=("turns", "mixup", "real_duplicated")) -> list[dict]:
    return [
        {
            **{"family": name, "per_class": n, "gain": g, "gain_low": g - 0.02},
            **{"gain_high": g + 0.02, "accuracy": 0.7 + g, "low": 0.65 + g, "high": 0.75 + g},
        }
        for k, name in enumerate(families)
        for n, g in zip(AMOUNTS, (0.05 - 0.031 * k, 0.001, -0.04), strict=True)
    ]


def strengths() -> list[dict]:
    return [
        {"family": name, "strength": float(s), "gain": -i / 50, "gain_low": -0.3, "gain_high": 0.02}
        for name, dial in lab.DIALS.items()
        if dial.keeps_label
        for i, s in enumerate(dial.strengths)
    ]


def runs() -> list[dict]:
    return [
        {
            **{"per_class": n, "augmentation": a, "regularization": r},
            **{"accuracy": 0.3 + 0.1 * i + 0.01 * j, "low": 0.25, "high": 0.8},
        }
        for i, n in enumerate((10, 40))
        for j, a in enumerate(lab.AUGMENTATIONS)
        for r in lab.REGULARIZATIONS
    ]


PICTURE = np.full((32, 32, 3), 90, np.uint8)


def sheet(*names: str) -> dict[str, tuple]:
    return {name: ([PICTURE] * len(lab.shown_strengths(name)),) * 2 for name in names}


def measured() -> list[dict]:
    """Of every dial at every strength, and of every family that was learned from."""
    looked = [{**row, "study": "legality", "per_class": 8} for row in strengths()]
    learned = [
        {**row, "study": "training", "per_class": 8, "strength": float("nan")}
        for row in gains(tuple(lab.FAMILIES))[::3]
    ]
    return looked + learned


def figures() -> dict[str, Figure]:
    batch = some_batch()
    plain = augment.Batch(batch.images)
    mixed = augment.Batch(batch.images, targets=torch.full((3, 3), 1 / 3))
    return {
        "batch": plots.show_batch(batch, titles=["a", "b", "c"], class_names=CLASSES, caption="x"),
        "images alone": plots.show_batch(plain),
        "soft labels": plots.show_batch(mixed, class_names=CLASSES, caption="three in one"),
        "gains": plots.plot_gain_table(gains(tuple(lab.FAMILIES)), caption="all of them"),
        "one gain": plots.plot_gain_table(gains()[:1]),
        "amounts": plots.plot_by_amount(
            [*gains(), {**gains()[0], "family": "zero_shot", "per_class": 0}],
            ("zero_shot", "real_duplicated", "turns", "mixup"),
            caption="x",
        ),
        "strengths": plots.plot_by_strength(strengths(), caption="x"),
        "one strength": plots.plot_by_strength(strengths()[:4]),
        "augreg": plots.plot_augreg(runs(), caption="x"),
        "beside real ones": plots.show_batch(batch, class_names=CLASSES, real=plain, caption="x"),
        "a sheet": plots.show_dials(sheet(*list(lab.DIALS)[:4]), measured(), per_class=8),
        "close up": plots.show_close_up([PICTURE] * 3, list("abc"), box=(8, 8, 16, 16)),
    }


@pytest.fixture(scope="module")
def drawn() -> dict[str, Figure]:
    return figures()


def test_every_figure_is_legible_and_closed(drawn):
    for figure in drawn.values():
        assert_legible(figure)
    assert not plt.get_fignums()


def test_outlines_have_the_color_of_the_damage_inside_and_lie_on_the_pixels(drawn):
    figure = drawn["batch"]
    for level, ax in enumerate(figure.axes[:3], start=1):
        (outline,) = ax.collections
        color = to_rgb(plots.DAMAGE_COLORS[DamageLevel(level)])
        assert np.allclose(outline.get_edgecolor()[0][:3], color)
        points = outline.get_paths()[0].vertices
        assert points.min() == 7.5  # the pixel's edge, where its center is 8
        assert points.max() == 23.5


def test_masks_are_below_their_images_in_the_same_colors(drawn):
    for level, ax in enumerate(drawn["batch"].axes[3:6], start=1):
        (image,) = ax.images
        pixels = pixels_of(image) / 255
        color = to_rgb(plots.DAMAGE_COLORS[DamageLevel(level)])
        assert np.allclose(pixels[16, 16, :3], color, atol=0.01)
        assert not np.allclose(pixels[0, 0, :3], color, atol=0.1)


def test_without_a_mask_outlines_are_white():
    batch = some_batch()
    figure = plots.show_batch(augment.Batch(batch.images, polygons=batch.polygons))
    assert np.allclose(figure.axes[0].collections[0].get_edgecolor()[0][:3], 1)


def test_a_label_names_its_two_largest_shares():
    assert (
        plots.label_words(torch.tensor([0.25, 0.05, 0.7]), CLASSES) == "70 % wind\n25 % earthquake"
    )
    assert plots.label_words(torch.tensor([0.0, 1.0, 0.0]), CLASSES) == "100 % flooding"


def test_gains_stand_in_their_place_and_only_told_ones_are_bold_and_framed(drawn):
    figure = plots.plot_gain_table(gains())
    (ax,) = figure.axes[:1]
    found = {t.get_position(): (t.get_text(), t.get_weight()) for t in ax.texts}
    assert found[0, 0] == ("+5.0", "bold")
    assert found[1, 0] == ("+0.1", "normal")
    assert found[2, 1] == ("-4.0", "bold")
    assert [t.get_text() for t in ax.get_yticklabels()] == [
        text(f"family.{name}") for name in ("turns", "mixup", "real_duplicated")
    ]
    framed = sum(weight == "bold" for _, weight in found.values())
    assert len(ax.patches) == framed == 4


def test_accuracies_and_intervals_are_drawn_in_percent(drawn):
    ax = drawn["amounts"].axes[0]
    (turns,) = [c for c in ax.containers if c.get_label() == text("family.turns")]
    assert np.allclose(turns.lines[0].get_ydata(), [75, 70.1, 66])
    assert ax.get_xscale() == "log"
    low, high = turns.lines[2][0].get_segments()[0][:, 1]
    assert (low, high) == pytest.approx((70, 80))


def test_strengths_are_sorted_and_each_has_its_panel(drawn):
    names = [ax.get_title() for ax in drawn["strengths"].axes if ax.axison]
    assert names == [plots.dial_name(n) for n, dial in lab.DIALS.items() if dial.keeps_label]
    hue = drawn["strengths"].axes[names.index(text("augment.hue"))]
    x = hue.containers[0].lines[0].get_xdata()
    assert list(x) == sorted(lab.DIALS["hue"].strengths)


def test_heat_maps_hold_augmentation_across_and_regularization_down(drawn):
    few, many = drawn["augreg"].axes[:2]
    assert few.images[0].get_array()[1, 2] == pytest.approx(32)
    assert many.images[0].get_array()[0, 0] == pytest.approx(40)
    assert few.images[0].get_clim() == many.images[0].get_clim()
    assert few.texts[0].get_text() == "30.0\n± 27.5"


@pytest.mark.parametrize("name", lab.DIALS)
def test_a_sheet_says_all_of_a_dial_and_its_words_do_not_collide(name):
    figure = plots.show_dials(sheet(name), measured(), per_class=8, caption="x")
    assert_legible(figure)
    said = [words.get_text() for words in figure.axes[0].texts]
    dial, shown = lab.DIALS[name], lab.shown_strengths(name)
    assert plots.dial_name(name) in said
    assert len(figure.axes[0].images) == 2 * len(shown)
    assert sum(words.startswith(text("sheet.learned")) for words in said) == 1
    numbers = [words for words in said if words.endswith("]") and ": " in words]
    assert len(numbers) == 1 + dial.keeps_label * len(shown)


def test_a_sheet_prints_the_measured_effect_of_the_strength_and_marks_what_can_be_told():
    rows = [
        {"study": "legality", "family": "hue", "strength": 180.0, "per_class": 8}
        | {"gain": -0.111, "gain_low": -0.133, "gain_high": -0.089},
        {"study": "legality", "family": "hue", "strength": 180.0, "per_class": 4}
        | {"gain": 0.5, "gain_low": 0.4, "gain_high": 0.6},
        {"study": "training", "family": "color", "strength": 0.0, "per_class": 8}
        | {"gain": -0.0002, "gain_low": -0.003, "gain_high": 0.004},
    ]
    figure = plots.show_dials(sheet("hue"), rows, per_class=8)
    said = {words.get_text(): words.get_weight() for words in figure.axes[0].texts}
    assert said["180°: -11.1 [-13.3, -8.9]"] == "bold"
    assert said[f"{text('sheet.learned')}: +0.0 [-0.3, +0.4]"] == "normal"
    assert not any("+50.0" in words for words in said)


def test_small_pictures_of_a_sheet_are_enlarged_by_whole_factors_only():
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    figure = plots.show_dials({"flip": ([picture], [])}, measured(), per_class=8)
    (image,) = figure.axes[0].images
    pixels = image.get_array()
    assert pixels.shape == (384, 384, 3)
    assert np.array_equal(pixels[::12, ::12], picture)
    assert np.array_equal(pixels[11::12, 11::12], picture)


def test_shown_strengths_are_the_least_the_middle_and_the_greatest_that_do_something():
    assert lab.shown_strengths("scale") == (0.5, 1.4, 3)
    assert lab.shown_strengths("flip") == (1,)
    for name, dial in lab.DIALS.items():
        shown = lab.shown_strengths(name)
        assert dial.strengths[0] not in shown
        assert (shown[0], shown[-1]) == (min(dial.strengths[1:]), max(dial.strengths[1:]))


def test_every_dial_belongs_to_a_family_that_trains_with_it():
    assert {dial.family for dial in lab.DIALS.values()} <= set(lab.FAMILIES)


def test_a_close_up_shows_the_box_and_where_it_is():
    picture = np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3)
    figure = plots.show_close_up([picture], ["a"], box=(4, 8, 12, 16))
    whole, part = figure.axes[:2]
    pixels = part.images[0].get_array()
    factor = len(pixels) // 8
    assert np.array_equal(pixels[::factor, ::factor], picture[8:16, 4:12])
    assert whole.patches[-1].get_bbox().bounds == (3.5, 7.5, 8, 8)


def test_real_images_come_last_under_a_batch(drawn):
    assert len(drawn["beside real ones"].axes) == 9
    assert drawn["beside real ones"].axes[6].images


@pytest.mark.parametrize(
    ("draw", "match"),
    [
        (lambda: plots.show_dials({}, measured(), per_class=8), "no augmentations"),
        (lambda: plots.show_dials(sheet("hue"), [], per_class=8), "no rows"),
        (
            lambda: plots.show_dials({"hue": ([PICTURE], [])}, measured(), per_class=8),
            "3 strengths",
        ),
        (lambda: plots.show_close_up([PICTURE], ["a"], box=(0, 0, 40, 8)), "32 x 32"),
        (lambda: lab.shown_strengths("sepia"), "sepia"),
        (lambda: plots.show_batch(some_batch(), titles=["a"]), "3 images, 1 titles"),
        (lambda: plots.show_batch(some_batch(), class_names=["a"]), "3 shares a target, 1 classes"),
        (lambda: plots.show_batch(augment.Batch(torch.zeros(1, 1, 8, 8))), "got 1"),
        (lambda: plots.plot_gain_table([]), "no rows"),
        (lambda: plots.plot_gain_table(gains()[:1] * 2), "two rows for turns at 1"),
        (lambda: plots.plot_gain_table([{**gains()[0], "gain_low": 0.2}]), "gain_low <= gain"),
        (lambda: plots.plot_gain_table([{"family": "turns"}]), "lacks per_class"),
        (lambda: plots.plot_by_amount(gains(), ["hue"]), "no rows of 'hue'"),
        (lambda: plots.plot_augreg(runs()[1:]), "17 rows for 2 x 3 x 3"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, match):
    with pytest.raises(ValueError, match=match):
        draw()
    assert not plt.get_fignums()  # what is refused leaves no empty figure open


# --- the gallery ---------------------------------------------------------------------------------


def size_of(picture) -> tuple[int, int]:
    return Image.open(io.BytesIO(picture.value)).size


def test_the_gallery_draws_what_is_chosen_and_keeps_to_the_strengths_of_the_dial():
    view = widgets.augmentation_gallery(some_batch(), class_names=CLASSES)
    controls, message, picture = view.children
    names, strengths_, seeds = controls.children
    assert (names.value, strengths_.value) == ("rotation", 20)
    for name, dial in lab.DIALS.items():
        names.value = name
        assert [value for _, value in strengths_.options] == list(dial.strengths)
        assert message.value == ""
        before = picture.value
        strengths_.index = len(dial.strengths) - 1
        if name in ("rotation", "crop", "brightness", "gaussian_noise", "cutout"):
            assert picture.value != before, name
    names.value = "cutout"
    first = picture.value
    seeds.value = 3
    assert picture.value != first
    seeds.value = 0
    assert picture.value == first


def test_the_gallery_shows_what_the_next_cell_shows():
    batch = some_batch()
    view = widgets.augmentation_gallery(batch, class_names=CLASSES)
    expected = plots.show_batch(
        lab.apply_dial(batch, "rotation", 20, generator=torch.Generator().manual_seed(0)),
        class_names=CLASSES,
        caption=plots.dial_title("rotation", 20),
    )
    assert view.children[2].value == plots.figure_bytes(expected, dpi=100)


def test_without_ipywidgets_the_gallery_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    assert isinstance(widgets.augmentation_gallery(some_batch()), widgets.Note)
