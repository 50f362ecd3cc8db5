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
    legend_below,
    line_style,
    make_axes,
    name_counts,
    plain,
    remark,
    say,
    tidy,
)
from course_utils.texts import catalog

_GAIN = ("gain", "gain_low", "gain_high")
_ACCURACY = ("accuracy", "low", "high")
_SHARE = "share"
_REACH = 0.28  # how far the seeds of a split spread from its middle


def draw_estimates(
    ax: Axes,
    places: Sequence[Number] | Float[np.ndarray, " _n"],
    rows: Sequence[Mapping],
    estimate: Sequence[str],
    *,
    factor: Number = 100,
    is_across: bool = False,
    **style: object,
) -> ErrorbarContainer:
    """Draw values with their intervals.

    Args:
        ax: where to draw.
        places: of the values, on the other axis.
        rows: hold value, low and high.
        estimate: the names of these three.
        factor: 100 turns shares into percent.
        is_across: values run along x, not y.
        style: of `errorbar`.
    """
    value, low, high = (factor * np.array([row[key] for row in rows], float) for key in estimate)
    errors = [value - low, high - value]
    xy = (value, places) if is_across else (places, value)
    return ax.errorbar(*xy, **{"xerr" if is_across else "yerr": errors, "capsize": 4} | style)


def _beside(x: Sequence[Number], index: int, num: int) -> np.ndarray:
    """Shift one of some lines on a logarithmic axis, so that intervals do not hide each other."""
    return np.array(x) * 1.025 ** (index - (num - 1) / 2)


def _rows_of(rows: Sequence[Mapping], key: str, value: object, *, by: str) -> list[Mapping]:
    return sorted((row for row in rows if row[key] == value), key=lambda row: row[by])


def plot_by_steps(rows: Sequence[Mapping], *, measure: str, caption: str = "") -> Figure:
    """Draw a measure of quality against the number of sampling steps, a line for each sampler.

    Args:
        rows: with ``sampler``, ``num_sample_steps``, ``value``, ``low`` and ``high``, the interval.
        measure: what the value is, with its unit, "recognized by the classifier (%)".
        caption: said above.

    Raises:
        ValueError: no rows, one without an entry, or a value outside its interval.
    """
    estimate = ("value", "low", "high")
    check_rows(rows, ("sampler", "num_sample_steps"), estimate=estimate)
    fig, axes = make_axes(1, 1, (9, 4.3), caption=caption)
    ax, handles = axes[0, 0], []
    samplers = list(dict.fromkeys(row["sampler"] for row in rows))
    for i, sampler in enumerate(samplers):
        some = _rows_of(rows, "sampler", sampler, by="num_sample_steps")
        x = _beside([row["num_sample_steps"] for row in some], i, len(samplers))
        style = line_style(i) | {"factor": 1, "label": plain(sampler)}
        handles.append(draw_estimates(ax, x, some, estimate, **style))
    name_counts(ax, {row["num_sample_steps"] for row in rows}, say("plot.sample_steps_log"))
    ax.set_ylabel(plain(measure), fontsize=12)
    tidy(ax)
    legend_below(fig, handles)
    return finish(fig, caption)


def plot_by_amount(
    rows: Sequence[Mapping], families: Sequence[str], *, caption: str = ""
) -> Figure:
    """Draw accuracy against the number of real images a class, with intervals.

    Args:
        rows: with ``family``, ``per_class``, and ``accuracy``, ``low``, ``high`` as shares; a row
            of "zero_shot" becomes a line across.
        families: what to draw, in the order of the legend.
        caption: said above.

    Raises:
        ValueError: no rows, a family without any, or an accuracy outside its interval.
    """
    check_rows(rows, ("family", "per_class"), estimate=_ACCURACY, limits=(0, 1))
    if missing := set(families) - {row["family"] for row in rows}:
        raise ValueError(f"no rows of {', '.join(map(repr, sorted(missing)))}")
    fig, axes = make_axes(1, 1, (9, 4.5), caption=caption)
    ax, others = axes[0, 0], cycle([*LINE_COLORS[1:5], SOURCE_COLORS["synthetic"]])
    for i, family in enumerate(families):
        some = _rows_of(rows, "family", family, by="per_class")
        style = {"color": ARM_COLORS.get(family) or next(others), "label": family_name(family)}
        if family == "zero_shot":
            ax.axhline(100 * some[0]["accuracy"], linestyle=":", **style)
            continue
        style["linestyle"] = "--" if style["color"] == SOURCE_COLORS["control"] else "-"
        x = _beside([row["per_class"] for row in some], i, len(families))
        draw_estimates(ax, x, some, _ACCURACY, marker=MARKERS[i % len(MARKERS)], **style)
    amounts = {row["per_class"] for row in rows if row["per_class"] > 0}
    name_counts(ax, amounts, say("plot.real_per_class_log"))
    ax.set_ylabel(say("plot.accuracy"), fontsize=12)
    tidy(ax)
    fig.legend(loc="outside right center", frameon=False, fontsize=10)
    return finish(fig, caption)


def plot_by_strength(rows: Sequence[Mapping], *, caption: str = "") -> Figure:
    """Draw how accuracy changes with the strength of each augmentation, one panel each.

    Args:
        rows: with ``family`` (of ``lab.DIALS``), ``strength``, and ``gain``, ``gain_low``,
            ``gain_high`` as shares.
        caption: said above.

    Raises:
        ValueError: no rows, or a gain outside its interval.
    """
    check_rows(rows, ("family", "strength"), estimate=_GAIN, limits=(-1, 1))
    names = list(dict.fromkeys(row["family"] for row in rows))
    num_columns = min(5, len(names))
    num_rows = -(-len(names) // num_columns)
    size = (2.5 * num_columns + 0.4, 2.1 * num_rows + 0.2)
    fig, axes = make_axes(num_rows, num_columns, size, caption=caption, sharey=True)
    for ax in axes.flat[len(names) :]:
        ax.set_axis_off()
    for ax, name in zip(axes.flat, names, strict=False):
        some = _rows_of(rows, "family", name, by="strength")
        ax.axhline(0, color=PALE, linewidth=1)
        style = {"color": INK, "marker": "o", "markersize": 5, "capsize": 3}
        draw_estimates(ax, [row["strength"] for row in some], some, _GAIN, **style)
        ax.set_title(dial_name(name), fontsize=11)
        ax.set_xlabel(say(DIALS[name].unit + "_axis"), fontsize=9)
        ax.locator_params(axis="x", nbins=4)
        ax.tick_params(labelsize=9)
        tidy(ax)
    fig.supylabel(say("plot.accuracy_change"), fontsize=11)
    return finish(fig, caption)


def plot_few_shots(
    curves: Mapping[str, Sequence[Mapping]],
    *,
    levels: Mapping[str, float] | None = None,
    caption: str = "",
) -> Figure:
    """Draw accuracy against the number of training images a class, each with its interval.

    Args:
        curves: by name, records with ``shots`` (1 or more), ``mean``, ``low`` and ``high``, shares
            in 0 … 1, such as those of `metrics.mean_interval` over seeds.
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
    size = (9, 4.6 + 0.25 * -(-(len(curves) + len(levels)) // 2))
    fig, axes = make_axes(1, 1, size, caption=caption)
    ax, handles = axes[0, 0], []
    for i, (name, rows) in enumerate(curves.items()):
        some = sorted(rows, key=lambda row: row["shots"])
        x = _beside([row["shots"] for row in some], i, len(curves))
        style = line_style(i) | {"label": plain(name)}
        handles.append(draw_estimates(ax, x, some, estimate, **style))
    for i, (name, level) in enumerate(levels.items()):
        style = {"color": INK, "linestyle": DASHES[1 + i % (len(DASHES) - 1)], "linewidth": 1.8}
        handles.append(ax.axhline(100 * level, label=plain(name), zorder=1, **style))
    name_counts(ax, shots, say("plot.shots"))
    ax.set_ylabel(say("plot.accuracy_interval"), fontsize=12)
    ax.tick_params(labelsize=11)
    tidy(ax)
    legend_below(fig, handles, ncols=2)
    return finish(fig, caption)


def plot_quality(rows: Sequence[Mapping], *, setting: str, caption: str = "") -> Figure:
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
    estimate = ("value", "low", "high")
    check_rows(rows, (setting, "measure"), estimate=estimate)
    if shares := [row for row in rows if _panel(row) == _SHARE]:
        check_rows(shares, (), estimate=estimate, limits=(0, 1))
    measures = list(dict.fromkeys(row["measure"] for row in rows))
    panels = list(dict.fromkeys(map(_panel, rows)))
    size = (min(13, 6.4 * len(panels) + 0.6), 4.5)
    fig, axes = make_axes(1, len(panels), size, caption=caption)
    settings = sorted({row[setting] for row in rows})
    nudge = 0.006 * (settings[-1] - settings[0])  # so that intervals do not hide each other
    handles = []
    for ax, panel in zip(axes[0], panels, strict=True):
        here = [row for row in rows if _panel(row) == panel]
        names = list(dict.fromkeys(row["measure"] for row in here))
        for i, name in enumerate(names):
            some = _rows_of(here, "measure", name, by=setting)
            x = [row[setting] + nudge * (i - (len(names) - 1) / 2) for row in some]
            style = line_style(measures.index(name)) | {"label": plain(name)}
            style["factor"] = 100 if panel == _SHARE else 1
            handles.append(draw_estimates(ax, x, some, estimate, **style))
        ax.set_xticks(settings)
        ax.set_xlabel(say(f"plot.{setting}"), fontsize=12)
        ax.set_ylabel(say("plot.share") if panel == _SHARE else plain(panel), fontsize=12)
        tidy(ax)
    legend_below(fig, handles, fontsize=11)
    return finish(fig, caption)


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
    fig, axes = make_axes(1, 1, (9, 4.5), caption=caption)
    ax = axes[0, 0]
    for i, (name, curve) in enumerate(curves.items()):
        color = SOURCE_COLORS.get(name, LINE_COLORS[i % len(LINE_COLORS)])
        x = 1 / np.array(curve.sizes)
        ends = np.array([0, x.max()])
        ax.plot(ends, curve.limit + curve.slope * ends, color=color, linestyle="--", linewidth=1.2)
        style = {"color": color, "fmt": MARKERS[i % len(MARKERS)], "capsize": 4, "markersize": 8}
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
    ax.set(xlabel=say("plot.num_images"), ylabel=say("plot.frechet"))
    ax.set_xlim(left=-0.03 / sizes[0])
    tidy(ax)
    ax.legend(frameon=False, fontsize=11)
    return finish(fig, caption)


def compare_splits(
    rows: Sequence[Mapping], *, levels: Mapping[str, float] | None = None, caption: str = ""
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
    splits = list(dict.fromkeys(row["split"] for row in rows))
    fig, axes = make_axes(1, 1, (2.6 * len(splits) + 2.6, 4.5), caption=caption)
    ax = axes[0, 0]
    for name, level in (levels or {}).items():
        ax.axhline(100 * level, color=SOURCE_COLORS["control"], linestyle="--", linewidth=1.2)
        place = {"xycoords": ax.get_yaxis_transform(), "annotation_clip": False}
        remark(ax, plain(name), (1.01, 100 * level), (0, 0), **place)
    for x, split in enumerate(splits):
        some = sorted((r for r in rows if r["split"] == split), key=lambda row: row["seed"])
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
    ax.set(ylabel=say("plot.accuracy"), xlim=(-0.6, len(splits) - 0.4))
    ax.set_xlabel(say("plot.split_seeds", seeds=len({row["seed"] for row in rows})), fontsize=10)
    tidy(ax, "y")
    return finish(fig, caption)
