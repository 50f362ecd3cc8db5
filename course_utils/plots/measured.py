"""Measured numbers with their intervals: against steps, shots, strengths, ratios; side by side."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from course_utils.lab import DIALS
from course_utils.metrics import FrechetBySize
from course_utils.plots.buildings import dial_name
from course_utils.plots.heat import family_name
from course_utils.plots.style import (
    ARM_COLORS,
    DASHES,
    INK,
    LINE_COLORS,
    MARKERS,
    PALE,
    SOURCE_COLORS,
    Number,
    check_rows,
    finish,
    group_by,
    line_style,
    make_ax,
    make_axes,
    name_counts,
    plain,
    remark,
    say,
    tidy,
)
from course_utils.texts import catalog

Rows = Sequence[Mapping]
_GAIN = ("gain", "gain_low", "gain_high")
_ACCURACY = ("accuracy", "low", "high")
_VALUE = ("value", "low", "high")
_SHARE = "share"
_REACH = 0.28  # how far the seeds of a split spread from its middle


def draw_estimates(
    ax: Axes,
    places: Sequence[Number] | Float[np.ndarray, " _n"],
    rows: Rows,
    estimate: Sequence[str],
    *,
    factor: Number = 100,
    is_across: bool = False,
    **style: object,
) -> ErrorbarContainer:
    """Draw values with their intervals, up or across; ``estimate`` names value, low and high."""
    value, low, high = (factor * np.array([row[key] for row in rows], float) for key in estimate)
    errors = [value - low, high - value]
    xy = (value, places) if is_across else (places, value)
    return ax.errorbar(*xy, **{"xerr" if is_across else "yerr": errors, "capsize": 4} | style)


def _draw_lines(
    ax: Axes,
    lines: Mapping[str, Rows],
    x: str,
    estimate: Sequence[str],
    *,
    styles: Mapping[str, Mapping] | None = None,
    nudge: float = 1.025,
    **style: object,
) -> list[ErrorbarContainer]:
    """Draw lines with intervals over an entry; nudged, so that intervals do not hide each other."""
    styles = styles or {name: line_style(i) for i, name in enumerate(lines)}
    drawn = []
    for i, (name, rows) in enumerate(lines.items()):
        rows = sorted(rows, key=lambda row: row[x])
        places = np.array([row[x] for row in rows]) * nudge ** (i - (len(lines) - 1) / 2)
        look = {"label": plain(name)} | style | styles[name]
        drawn.append(draw_estimates(ax, places, rows, estimate, **look))
    return drawn


def plot_by_steps(rows: Rows, *, measure: str, caption: str = "") -> Figure:
    """Draw a measure of quality against the number of sampling steps, a line for each sampler.

    Args:
        rows: with ``sampler``, ``num_sample_steps``, ``value``, ``low`` and ``high``, the interval.
        measure: what the value is, with its unit, "recognized by the classifier (%)".
        caption: said above.

    Raises:
        ValueError: no rows, one without an entry, or a value outside its interval.
    """
    check_rows(rows, ("sampler", "num_sample_steps"), estimate=_VALUE)
    fig, ax = make_ax(9, 4.3, caption)
    drawn = _draw_lines(ax, group_by(rows, "sampler"), "num_sample_steps", _VALUE, factor=1)
    name_counts(ax, {row["num_sample_steps"] for row in rows})
    tidy(ax, say("plot.sample_steps_log"), plain(measure))
    return finish(fig, caption, legend=drawn)


def plot_by_amount(rows: Rows, families: Sequence[str], *, caption: str = "") -> Figure:
    """Draw accuracy against the number of real images a class, with intervals.

    Args:
        rows: with ``family``, ``per_class``, and ``accuracy``, ``low``, ``high``; a row of
            "zero_shot" becomes a line across.
        families: what to draw, in the order of the legend.
        caption: said above.

    Raises:
        ValueError: no rows, a family without any, or an accuracy outside its interval.
    """
    check_rows(rows, ("family", "per_class"), estimate=_ACCURACY, limits=(0, 1))
    groups = group_by(rows, "family")
    if missing := set(families) - set(groups):
        raise ValueError(f"no rows of {', '.join(map(repr, sorted(missing)))}")
    fig, ax = make_ax(11, 5.2, caption)
    others, styles = cycle([*LINE_COLORS[1:5], SOURCE_COLORS["synthetic"]]), {}
    for family, marker in zip(families, cycle(MARKERS), strict=False):
        style = {"color": ARM_COLORS.get(family) or next(others), "label": family_name(family)}
        dash = "--" if style["color"] == SOURCE_COLORS["control"] else "-"
        styles[family] = style | {"marker": marker, "linestyle": dash}
    if zero_shot := styles.pop("zero_shot", None):
        level = 100 * groups["zero_shot"][0]["accuracy"]
        ax.axhline(level, color=zero_shot["color"], linestyle=":", label=zero_shot["label"])
    _draw_lines(ax, {f: groups[f] for f in styles}, "per_class", _ACCURACY, styles=styles)
    name_counts(ax, {row["per_class"] for row in rows if row["per_class"] > 0})
    tidy(ax, say("plot.real_per_class_log"), say("plot.accuracy"))
    fig.legend(loc="outside right center", frameon=False, fontsize=12)
    return finish(fig, caption)


def plot_by_strength(rows: Rows, *, caption: str = "") -> Figure:
    """Draw how accuracy changes with the strength of each augmentation, one panel each.

    Args:
        rows: with ``family`` (of ``lab.DIALS``), ``strength``, and ``gain``, ``gain_low``,
            ``gain_high``.
        caption: said above.

    Raises:
        ValueError: no rows, or a gain outside its interval.
    """
    check_rows(rows, ("family", "strength"), estimate=_GAIN, limits=(-1, 1))
    groups = group_by(rows, "family")
    num_columns = min(5, len(groups))
    num_rows = -(-len(groups) // num_columns)
    size = (2.4 * num_columns, 2.1 * num_rows + 0.2)
    fig, axes = make_axes(num_rows, num_columns, size, caption=caption, sharey=True)
    for ax in axes.flat[len(groups) :]:
        ax.set_axis_off()
    style = {"styles": {"": {"color": INK, "marker": "o", "markersize": 5, "capsize": 3}}}
    for ax, (name, some) in zip(axes.flat, groups.items(), strict=False):
        ax.axhline(0, color=PALE, linewidth=1)
        _draw_lines(ax, {"": some}, "strength", _GAIN, **style)
        ax.set_title(dial_name(name), fontsize=12)
        ax.set_xlabel(say(DIALS[name].unit + "_axis"), fontsize=11)
        ax.locator_params(axis="x", nbins=4)
        ax.tick_params(labelsize=11)
        tidy(ax)
    fig.supylabel(say("plot.accuracy_change"), fontsize=11)
    return finish(fig, caption)


def plot_few_shots(
    curves: Mapping[str, Rows], *, levels: Mapping[str, float] | None = None, caption: str = ""
) -> Figure:
    """Draw accuracy against the number of training images a class, each with its interval.

    Args:
        curves: by name, records with ``shots`` (1 or more), ``mean``, ``low`` and ``high``, such
            as those of `metrics.mean_interval` over seeds.
        levels: accuracies without training images, by name ("zero-shot"), as horizontal lines.
        caption: said above.

    Raises:
        ValueError: no curves, one without records, a record without a needed entry or with fewer
            than one shot, a mean outside its interval or outside 0 … 1, or such a level.
    """
    levels, estimate = levels or {}, ("mean", "low", "high")
    if not curves or not all(len(rows) for rows in curves.values()):
        raise ValueError("every curve needs records to show")
    for name, rows in curves.items():
        check_rows(rows, ("shots",), estimate=estimate, limits=(0, 1), of=name)
    shots = {row["shots"] for rows in curves.values() for row in rows}
    if min(shots) < 1:
        raise ValueError(f"expected shots >= 1, got {min(shots)}")
    if not all(0 <= level <= 1 for level in levels.values()):
        raise ValueError(f"levels must be shares in 0 … 1, got {dict(levels)}")
    fig, ax = make_ax(9, 4.6 + 0.25 * -(-(len(curves) + len(levels)) // 2), caption)
    drawn = _draw_lines(ax, curves, "shots", estimate)
    for (name, level), dash in zip(levels.items(), cycle(DASHES[1:]), strict=False):
        style = {"color": INK, "linestyle": dash, "linewidth": 1.8, "zorder": 1}
        drawn.append(ax.axhline(100 * level, label=plain(name), **style))
    name_counts(ax, shots)
    tidy(ax, say("plot.shots"), say("plot.accuracy_interval"))
    ax.tick_params(labelsize=11)
    return finish(fig, caption, legend=drawn, ncols=2)


def plot_quality(rows: Rows, *, setting: str, caption: str = "") -> Figure:
    """Draw measures of quality against a setting of the generator, with their intervals.

    Shares share one panel, in percent; a measure of another unit has a panel of its own.

    Args:
        rows: with the setting, ``measure`` (its name), ``value``, ``low`` and ``high``; and
            ``unit``, if the value is no share in 0 … 1 ("" for a number without unit).
        setting: the entry that says where on the axis a row lies, "guidance_scale".
        caption: said above.

    Raises:
        ValueError: no rows, one without a needed entry, or a value outside its interval.
    """
    check_rows(rows, (setting, "measure"), estimate=_VALUE)
    panels: dict[str, list[Mapping]] = {}
    for row in rows:
        panels.setdefault(_panel(row), []).append(row)
    if _SHARE in panels:
        check_rows(panels[_SHARE], (), estimate=_VALUE, limits=(0, 1))
    # from the second style on: the first has the color of real images
    styles = {name: line_style(i) for i, name in enumerate(group_by(rows, "measure"), start=1)}
    size = (min(13, 6.4 * len(panels) + 0.6), 4.5)
    fig, axes = make_axes(1, len(panels), size, caption=caption)
    drawn = []
    for ax, (panel, some) in zip(axes[0], panels.items(), strict=True):
        look = {"styles": styles, "factor": 100 if panel == _SHARE else 1, "nudge": 1.01}
        drawn += _draw_lines(ax, group_by(some, "measure"), setting, _VALUE, **look)
        ax.set_xticks(sorted({row[setting] for row in rows}))
        tidy(ax, say(f"plot.{setting}"), say("plot.share") if panel == _SHARE else plain(panel))
    return finish(fig, caption, legend=drawn)


def _panel(row: Mapping) -> str:
    """Name the panel of a row: shares, or the measure with its unit."""
    unit = row.get("unit", _SHARE)
    return _SHARE if unit == _SHARE else row["measure"] + (f" ({unit})" if unit else "")


def plot_metric_bias(curves: Mapping[str, FrechetBySize], *, caption: str = "") -> Figure:
    """Draw the Fréchet distance against the number of images, to infinitely many.

    Over 1 / n the bias is a straight line; where it meets the axis, n is infinite.

    Args:
        curves: from `metrics.frechet_by_size`, by name; "real" and "synthetic" get their colors.
        caption: said above.

    Raises:
        ValueError: no curves.
    """
    if not curves:
        raise ValueError("no curves to show")
    fig, ax = make_ax(9, 4.5, caption)
    for i, (name, curve) in enumerate(curves.items()):
        style = line_style(i) | {"linestyle": "none", "capsize": 4}
        style["color"] = color = SOURCE_COLORS.get(name, style["color"])
        x = 1 / np.array(curve.sizes)
        ends = np.array([0, x.max()])
        ax.plot(ends, curve.limit + curve.slope * ends, color=color, linestyle="--", linewidth=1.2)
        source = say(f"plot.{name}") if name in ("real", "synthetic") else name
        label = plain(say("plot.limit", name=source, value=f"{curve.limit:.3g}"))
        ax.errorbar(x, curve.means, yerr=curve.stds, label=label, **style)
        ax.plot([0], [curve.limit], marker="*", markersize=15, color=color)
    sizes = sorted({size for curve in curves.values() for size in curve.sizes})
    shown: list[int] = []
    for size in sizes:  # whose labels have room beside each other
        least = 0.07 / sizes[0]
        if (not shown or 1 / shown[-1] - 1 / size > least) and 1 / size > least:
            shown.append(size)
    ax.set_xticks([0, *(1 / size for size in shown)], ["∞", *(f"{size:,}" for size in shown)])
    ax.set_xlim(left=-0.03 / sizes[0])
    tidy(ax, say("plot.num_images"), say("plot.frechet"))
    ax.legend(frameon=False, fontsize=11)
    return finish(fig, caption)


def compare_splits(
    rows: Rows, *, levels: Mapping[str, float] | None = None, caption: str = ""
) -> Figure:
    """Draw test accuracy with its interval, for every seed, under one split beside another.

    Args:
        rows: with ``split`` ("random" and "event", or other names), ``seed``, ``accuracy``,
            ``accuracy_low`` and ``accuracy_high``, as shares in 0 … 1.
        levels: accuracies to compare with, by name ("always no damage"), as dashed lines.
        caption: said above.

    Raises:
        ValueError: no rows, one without a needed entry, or an accuracy outside its interval.
    """
    estimate = ("accuracy", "accuracy_low", "accuracy_high")
    check_rows(rows, ("split", "seed"), estimate=estimate, limits=(0, 1))
    splits = group_by(rows, "split")
    fig, ax = make_ax(2.6 * len(splits) + 2.6, 4.5, caption)
    for name, level in (levels or {}).items():
        ax.axhline(100 * level, color=SOURCE_COLORS["control"], linestyle="--", linewidth=1.2)
        place = {"xycoords": ax.get_yaxis_transform(), "annotation_clip": False}
        remark(ax, plain(name), (1.01, 100 * level), (0, 0), **place)
    for x, some in enumerate(splits.values()):
        some = sorted(some, key=lambda row: row["seed"])
        shifts = np.linspace(-_REACH, _REACH, len(some)) if len(some) > 1 else np.zeros(1)
        style = {"fmt": "o", "color": INK, "markersize": 6}
        draw_estimates(ax, x + shifts, some, estimate, **style)
        mean = 100 * np.mean([row["accuracy"] for row in some])
        ax.plot([x - 0.4, x + 0.4], [mean] * 2, color=INK, linewidth=2.5, alpha=0.5, zorder=0)
        top = 100 * max(row["accuracy_high"] for row in some)
        style = {"ha": "center", "va": "baseline", "weight": "bold", "fontsize": 12}
        remark(ax, f"{mean:.1f} %", (x, top), (0, 6), **style)
    names = [say(f"split.{s}") if f"split.{s}" in catalog() else plain(s) for s in splits]
    ax.set_xticks(range(len(splits)), names, fontsize=12)
    ax.set_xlim(-0.6, len(splits) - 0.4)
    seeds = say("plot.split_seeds", seeds=len(group_by(rows, "seed")))
    tidy(ax, seeds, say("plot.accuracy"), grid="y")
    return finish(fig, caption)
