"""Figures of the final lab: every number at its place, also of a half-filled grid, and legible."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from test_plots_generation import assert_legible, words_of

from course_utils import plots
from course_utils.texts import catalog, text

BLIND, SEEN = "small_text2image_few_steps", "small_text2image_eurosat_few_steps"
REAL = {1: 0.398, 2: 0.459, 4: 0.521, 8: 0.546, 16: 0.594, 64: 0.632}
GAINS = {
    BLIND: (-0.018, -0.03, -0.039, -0.034, -0.047, -0.068),
    SEEN: (0.189, 0.118, 0.089, 0.075, 0.05, 0.025),
}
NO_DIFFERENCE = "no difference larger than that"
OTHERS = ("clip_filter", "soft_target", "real_filter", "language", "real_guidance", "adapted")


def entry(arm: str, generator: str, shots: int, base: float, gain: float, **more) -> dict:
    accuracy = base + gain
    told = "cannot tell" if abs(gain) < 0.03 else "helped" if gain > 0 else "hurt"
    return {
        **{"arm": arm, "generator": generator, "shots": shots, "accuracy": accuracy},
        **{"accuracy_low": accuracy - 0.03, "accuracy_high": accuracy + 0.02},
        **{"gain": gain, "gain_low": gain - 0.03, "gain_high": gain + 0.02},
        **{"p_holm": 0.2, "verdict": told},
    } | more


def of_a_generator(name: str, shots: int, i: int) -> list[dict]:
    gain, base = GAINS[name][i], REAL[shots]
    found = [
        entry("real+synthetic", name, shots, base, gain),
        entry("pooled", name, shots, base, 0.8 * gain, verdict=NO_DIFFERENCE),
        entry("retrieval", name, shots, base, gain + 0.02),
    ]
    if shots == 4:
        found += [entry(arm, name, 4, base, gain + k / 100) for k, arm in enumerate(OTHERS)]
        found[-1]["verdict"] = ""
    return found


def some_content(*, shots=tuple(REAL), generators=(BLIND, SEEN), seeds: int = 10) -> dict:
    """Make up what `results.json` says, for a grid of these shots and generators."""
    nothing = {"gain": None, "gain_low": None, "gain_high": None, "verdict": ""}
    summary = [entry("zero_shot", "", 0, 0.33, 0.0) | nothing]
    summary += [entry("synthetic", name, 0, 0.33, 0.1) for name in generators]
    for i, num in enumerate(REAL):
        if num in shots:
            summary.append(entry("real", "", num, REAL[num], 0.0) | nothing)
            summary.append(entry("shuffled", "", num, REAL[num], -0.25))
            for name in generators:
                summary += of_a_generator(name, num, i)
    if 4 in shots:
        summary.append(entry("more_real", "", 4, REAL[4], 0.11))
    return {
        **{"data": "a $5 set", "model": "small_clip", "num_test": 1000, "summary": summary},
        "generators": [{"name": name, "trained_on": "much"} for name in generators],
        "rows": [{**each, "seed": seed} for each in summary for seed in range(seeds)],
        "prediction": [{"shots": 1, "gain": 5}, {"shots": 4, "gain": -2.5}],
    }


def curves_of(ax: plt.Axes) -> dict[str, np.ndarray]:
    """Give the points of what has a name in some axes."""
    lines = {str(bars.get_label()): bars.lines[0] for bars in ax.containers}
    lines |= {str(line.get_label()): line for line in ax.lines if len(line.get_xdata()) > 1}
    return {name: line.get_xydata() for name, line in lines.items()}


CONTENTS = {
    "whole": some_content(),
    "one seed": some_content(seeds=1),
    "one generator": some_content(generators=(SEEN,), shots=(1, 4)),
    "one cell": some_content(generators=(BLIND,), shots=(4,), seeds=3),
    "no generator": some_content(generators=()),
    "no prediction": {**some_content(), "prediction": []},
}
FIGURES = {
    "curve": plots.plot_shots_curve,
    "gains": plots.plot_gains_by_shots,
    "strategies": plots.plot_strategies,
}


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("figure", FIGURES)
def test_every_grid_whole_or_half_filled_is_drawn_legibly(figure, name):
    drawn = FIGURES[figure](CONTENTS[name])
    assert_legible(drawn)
    assert not plt.get_fignums()


@pytest.mark.parametrize("figure", ["curve", "gains"])
def test_a_grid_in_which_nothing_has_been_measured_is_drawn_too(figure):
    empty = {**some_content(), "summary": [], "rows": []}
    assert_legible(FIGURES[figure](empty))


def test_the_curve_draws_accuracy_in_percent_over_the_logarithm_of_shots():
    left, right = plots.plot_shots_curve(some_content()).axes
    for ax, name in ((left, BLIND), (right, SEEN)):
        curves = curves_of(ax)
        real = curves[text("arm.real")]
        assert np.allclose(real[:, 0], np.log2(list(REAL)))
        assert np.allclose(real[:, 1], [100 * share for share in REAL.values()])
        mixed = curves[text("arm.real+synthetic")]
        assert np.allclose(mixed[:, 1] - real[:, 1], [100 * gain for gain in GAINS[name]])
        assert name in ax.get_title()


def test_the_prediction_lies_on_top_of_real_only_in_points():
    curves = curves_of(plots.plot_shots_curve(some_content()).axes[0])
    foretold = curves[text("plot.prediction")]
    assert np.allclose(foretold, [[0, 39.8 + 5], [2, 52.1 - 2.5]])


def test_a_prediction_waits_for_what_it_is_a_prediction_of():
    curves = curves_of(plots.plot_shots_curve(some_content(shots=(4,))).axes[0])
    assert text("plot.prediction") not in curves or len(curves[text("plot.prediction")]) == 1


def test_no_real_images_lie_left_of_one_and_are_named_zero():
    ax = plots.plot_shots_curve(some_content()).axes[0]
    names = {tick.label1.get_text(): tick.get_loc() for tick in ax.xaxis.get_major_ticks()}
    assert names["0"] < names["1"] == 0 < names["64"] == 6
    assert np.allclose(curves_of(ax)[text("arm.synthetic")], [[names["0"], 43]])


def filling_of(ax: plt.Axes, y: float) -> str:
    """Say how the mark at a height is filled."""
    points = [m for m in ax.lines if len(m.get_xdata()) == 1 and m.get_marker() != "none"]
    (mark,) = [m for m in points if np.isclose(m.get_ydata()[0], y)]
    if mark.get_markerfacecolor() == "white":
        return "hollow"
    return {"full": "full", "bottom": "half"}[mark.get_fillstyle()]


def test_marks_are_filled_by_verdict():
    content = some_content(shots=(4,), generators=(SEEN,))
    ax = plots.plot_gains_by_shots(content).axes[0]
    assert filling_of(ax, 8.9) == "full"
    assert filling_of(ax, 0.8 * 8.9) == "half"
    (mixed,) = [e for e in content["summary"] if e["arm"] == "real+synthetic"]
    mixed["verdict"] = "cannot tell"
    assert filling_of(plots.plot_gains_by_shots(content).axes[0], 8.9) == "hollow"


def test_gains_have_their_intervals_in_points():
    ax = plots.plot_gains_by_shots(some_content(shots=(4,)), arms=["real+synthetic"]).axes[1]
    spans = [segment for bars in ax.containers for segment in bars.lines[2][0].get_segments()]
    assert np.allclose(spans[0][:, 1], [8.9 - 3, 8.9 + 2])
    assert np.allclose(spans[0][:, 0], 2)


def test_the_band_of_no_interest_is_as_wide_as_asked():
    figure = plots.plot_gains_by_shots(some_content(), smallest=0.03)
    assert any("3 points" in words.get_text() for words in figure.legends[0].get_texts())
    (band,) = figure.axes[0].patches
    assert np.allclose([band.get_y(), band.get_height()], [-3, 6])


def rows_of(figure: Figure) -> list[str]:
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


def test_strategies_have_a_row_each_the_controls_last_and_never_the_baseline():
    rows = rows_of(plots.plot_strategies(some_content()))
    arms = ("real+synthetic", "pooled", *OTHERS, "retrieval", "more_real", "shuffled")
    assert rows == [text(f"arm.{arm}") for arm in arms]


def test_numbers_of_a_strategy_stand_in_its_row():
    figure = plots.plot_strategies(some_content())
    found = {t.get_text(): t.xy[1] for t in figure.axes[1].texts}
    rows = rows_of(figure)
    assert rows[int(found["+8.9 [+5.9, +10.9]"])] in (
        text("arm.real+synthetic"),
        text("arm.clip_filter"),
    )
    assert rows[int(found["-25.0 [-28.0, -23.0]"])] == text("arm.shuffled")


def test_what_lies_beyond_the_axis_is_an_arrow_at_its_edge():
    ax = plots.plot_strategies(some_content()).axes[0]
    low, high = ax.get_xlim()
    assert low > -25
    (arrow,) = [line for line in ax.lines if line.get_color() == plots.SOURCE_COLORS["control"]]
    assert arrow.get_marker() == "<"
    assert low <= arrow.get_xdata()[0] < low + 0.1 * (high - low)


def test_a_number_of_shots_without_strategies_is_said():
    with pytest.raises(ValueError, match=r"at 3 shots; there are \[0, 1, 2, 4, 8, 16, 64\]"):
        plots.plot_strategies(some_content(), shots=3)
    with pytest.raises(ValueError, match="no arm 'real_synthetic'; there are zero_shot, real"):
        plots.plot_gains_by_shots(some_content(), arms=["real_synthetic"])


def test_the_title_says_how_many_seeds_the_numbers_come_from():
    content = some_content(seeds=3)
    (row,) = [row for row in content["rows"] if (row["arm"], row["shots"]) == ("real", 4)][:1]
    content["rows"] += [{**row, "seed": seed} for seed in range(3, 10)]
    assert "3–10 seeds" in plots.plot_shots_curve(content).get_suptitle()
    others = [row for row in content["rows"] if row["arm"] != "adapted" or not row["seed"]]
    assert "3–10 seeds" in plots.plot_shots_curve({**content, "rows": others}).get_suptitle()
    assert "1–3 seeds" in plots.plot_strategies({**content, "rows": others}).get_suptitle()
    assert plots.plot_shots_curve(content, caption="mine").get_suptitle() == "mine"


def test_every_arm_has_a_name_and_a_look_of_its_own():
    styles = plots.style.ARM_STYLES
    assert len(set(styles.values())) == len({mark for _, mark in styles.values()}) == len(styles)
    assert {f"arm.{arm}" for arm in styles} <= set(catalog())


def test_figures_follow_the_language(monkeypatch):
    for key in ("arm.real", "plot.prediction"):
        monkeypatch.setitem(catalog(), key, {"en": "x", "zh": f"nur {key}"})
    monkeypatch.setenv("COURSE_LANG", "zh")
    figure = plots.plot_shots_curve(some_content())
    found = {words.get_text() for words in [*words_of(figure), *figure.legends[0].get_texts()]}
    assert {"nur arm.real", "nur plot.prediction"} <= found
