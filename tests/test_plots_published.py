"""Published few-shot curves beside ours."""

import csv
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex

from course_utils import plots

DATA = Path(__file__).resolve().parents[1] / "data"
ARMS = ("zero_shot", "real", "synthetic", "real+synthetic", "shuffled")
NOTE = "ours are other images and a smaller network."


def published() -> list[dict[str, str]]:
    path = DATA / "published" / "he2023_few_shot.csv"
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def ours(*, shots=(1, 2, 4, 8, 16, 64), generators=("blind", "seen"), arms=ARMS) -> list[dict]:
    rows = []
    for arm in arms:
        for generator in generators if "synthetic" in arm else ("",):
            for num in (0,) if arm in ("zero_shot", "synthetic") else shots:
                middle = 0.4 + 0.05 * np.log2(num + 1) + 0.05 * (generator == "seen")
                ends = {"accuracy_low": middle - 0.03, "accuracy_high": middle + 0.03}
                rows.append({"arm": arm, "generator": generator, "shots": num, "accuracy": middle})
                rows[-1] |= ends
    return rows


def labels(ax) -> list[str]:
    return [entry.get_text() for entry in ax.get_legend().get_texts()]


def test_their_curves_are_on_the_left_and_ours_on_the_right_on_equal_axes():
    figure = plots.plot_few_shot_published(published(), ours(), note=NOTE, caption="ten seeds")
    left, right = figure.axes
    both = "CT with Syn (real + synthetic)"
    named = ["CLIP (zero-shot)", both, "CT (real only)", "Tip-Adapter", "CoOp"]
    assert labels(left) == named
    assert labels(right) == ["zero-shot", "real only", "blind", "seen"]
    assert left.get_ylim() == right.get_ylim()
    names = map(str, (0, 1, 2, 4, 8, 16, 64))
    assert [tick.get_text() for tick in right.get_xticklabels()] == list(names)
    curves = [line.get_ydata() for line in left.lines if len(line.get_ydata()) == 6]
    assert [list(curve) for curve in curves] == [[55.4, 64.4, 73.7, 79.9, 84.6, 88.5]]
    assert f"Left and right are not comparable because {NOTE}" in figure.get_supxlabel()
    assert figure.get_suptitle() == "ten seeds"


def test_ours_are_in_percent_and_a_generator_s_curve_begins_without_real_images():
    _, right = plots.plot_few_shot_published(published(), ours(), note=NOTE).axes
    seen = next(bars for bars in right.containers if bars.get_label() == "seen")
    x, y = seen.lines[0].get_data()
    assert np.allclose(x, [-1.5, 0, 1, 2, 3, 4, 6], atol=0.15)
    assert y[0] == pytest.approx(45)
    assert y[-1] == pytest.approx(45 + 5 * np.log2(65))
    (bars,) = seen.lines[2]
    assert np.ptp(bars.get_segments()[0][:, 1]) == pytest.approx(6)


def test_what_was_roughly_read_is_hollow():
    left, _ = plots.plot_few_shot_published(published(), ours(), note=NOTE).axes
    hollow = [line for line in left.lines if to_hex(line.get_markerfacecolor()) == "#ffffff"]
    rough = [row for row in published() if "roughly" in row["reading"]]
    found = sorted(line.get_ydata()[0] for line in hollow)
    assert found == sorted(float(row["top1"]) for row in rough)
    assert len(rough) == 5


@pytest.mark.parametrize("arms", [("real",), ("zero_shot",), ("real+synthetic",), ARMS[:3]])
def test_a_grid_that_is_not_full_is_drawn_as_far_as_it_goes(arms):
    rows = ours(arms=arms, shots=(4,), generators=("",))
    _, right = plots.plot_few_shot_published(published(), rows, note=NOTE).axes
    assert len(right.containers) == len(arms)


def test_it_needs_a_note_and_rows_of_both_sides():
    for rows, mine, note, message in (
        (published(), ours(), " ", "not comparable"),
        ([], ours(), NOTE, "published: no rows"),
        (published(), ours(arms=("shuffled",)), NOTE, "ours: no rows"),
        (published(), [{"arm": "real", "shots": 1}], NOTE, "ours: a row lacks"),
    ):
        with pytest.raises(ValueError, match=message):
            plots.plot_few_shot_published(rows, mine, note=note)
