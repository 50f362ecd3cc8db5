"""How good the synthetic images are: distances, shares, and what others published."""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from course_utils.metrics import FrechetBySize
from course_utils.plots.style import INK, SOURCE_COLORS, finish, plain, say

# Okabe and Ito's palette, for what is no source; every line has its own mark as well.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "P")
_SHARE = "share"
_ESTIMATE = ("value", "low", "high")
_WIDTH, _TOP, _BAR, _TITLE = 12.0, 0.35, 0.36, 0.42  # inches of the figure of published numbers


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
    fig, ax = plt.subplots(figsize=(9, 4.8), layout="constrained")
    for i, (name, curve) in enumerate(curves.items()):
        color = SOURCE_COLORS.get(name, _COLORS[i % len(_COLORS)])
        x = 1 / np.array(curve.sizes)
        ends = np.array([0, x.max()])
        ax.plot(ends, curve.limit + curve.slope * ends, color=color, linestyle="--", linewidth=1.2)
        style = {"color": color, "fmt": _MARKERS[i % len(_MARKERS)], "capsize": 4, "markersize": 8}
        label = say("plot.limit", name=_source_name(name), value=f"{curve.limit:.3g}")
        ax.errorbar(x, curve.means, yerr=curve.stds, label=plain(label), **style)
        ax.plot([0], [curve.limit], marker="*", markersize=15, color=color)
    sizes = sorted({size for curve in curves.values() for size in curve.sizes})
    shown = _spread(sizes)
    ax.set_xticks([0, *(1 / size for size in shown)], ["∞", *(f"{size:,}" for size in shown)])
    ax.set(xlabel=say("plot.num_images"), ylabel=say("plot.frechet"))
    ax.set_xlim(left=-0.03 / sizes[0])
    _tidy(ax)
    ax.legend(frameon=False, fontsize=11)
    return finish(fig, caption)


def _source_name(name: str) -> str:
    return say(f"plot.{name}") if name in ("real", "synthetic") else name


def _spread(sizes: Sequence[int]) -> list[int]:
    """Keep the sizes whose labels have room beside each other on an axis of 1 / n."""
    kept: list[int] = []
    for size in sizes:
        least = 0.07 / sizes[0]
        if (not kept or 1 / kept[-1] - 1 / size > least) and 1 / size > least:
            kept.append(size)
    return kept


def plot_published(
    published: Sequence[Mapping], ours: Sequence[Mapping], *, note: str, caption: str = ""
) -> Figure:
    """Draw published numbers on the left and ours on the right, with why nobody may compare them.

    Every number has an axis of its own kind: a bar on the left says nothing about one on the right.

    Args:
        published: rows with ``system``, ``metric``, ``value``, ``unit`` ("" for none) and
            ``better`` ("lower" or "higher"), as in ``data/published/text2image.csv``.
        ours: such rows of what was measured here.
        note: what goes after "not comparable because", a sentence or two.
        caption: said above.

    Raises:
        ValueError: rows are missing, lack an entry, or say another word than lower or higher; or
            there is no note.
    """
    for name, rows in (("published", published), ("ours", ours)):
        _check_rows(name, rows, ("system", "metric", "value", "unit", "better"))
        if wrong := [row["better"] for row in rows if row["better"] not in ("lower", "higher")]:
            raise ValueError(f'better must be "lower" or "higher", got {wrong[0]!r}')
    if not note.strip():
        raise ValueError("say in the note why these numbers are not comparable")
    words = "\n".join(textwrap.wrap(say("plot.not_comparable", why=note), 110))
    low = 0.6 + 0.2 * words.count("\n")  # inches, as all lengths here
    height = low + max(map(_height, (published, ours))) + _TOP + 0.35 * bool(caption)
    fig = plt.figure(figsize=(_WIDTH, height))
    halves = (
        (0.0, published, "plot.published", "#777777", "#F2F2F2"),
        (_WIDTH / 2, ours, "plot.ours", SOURCE_COLORS["synthetic"], "#FDF1DC"),
    )
    for left, rows, key, color, ground in halves:
        top = height - 0.35 * bool(caption)
        place = ((left + 0.06) / _WIDTH, low / height)
        size = ((_WIDTH / 2 - 0.12) / _WIDTH, (top - low) / height)
        fig.add_artist(Rectangle(place, *size, facecolor=ground, zorder=-1))
        x, y = (left + _WIDTH / 4) / _WIDTH, (top - 0.1) / height
        fig.text(x, y, say(key), ha="center", va="top", fontsize=13, weight="bold")
        _draw_numbers(fig, rows, color, left=left, top=top - _TOP)
    box = {"facecolor": "#FFF3CD", "edgecolor": INK, "boxstyle": "round,pad=0.4"}
    place = (0.5, low / height / 2)
    fig.text(*place, plain(words), ha="center", va="center", fontsize=11, bbox=box)
    return finish(fig, caption)


def _check_rows(name: str, rows: Sequence[Mapping], needed: Sequence[str]) -> None:
    if not rows:
        raise ValueError(f"{name}: no rows to show")
    for row in rows:
        if missing := [key for key in needed if key not in row]:
            raise ValueError(f"{name}: a row lacks {', '.join(missing)}; it has {', '.join(row)}")


def _height(rows: Sequence[Mapping]) -> float:
    """Add up what the panels of some rows take, in inches."""
    return _BAR * len(rows) + _TITLE * len({row["metric"] for row in rows})


def _draw_numbers(
    fig: Figure, rows: Sequence[Mapping], color: str, *, left: float, top: float
) -> None:
    """Draw a panel of bars for each metric below each other, the values written beside them."""
    width, height = fig.get_size_inches()
    for metric in dict.fromkeys(row["metric"] for row in rows):
        some = [row for row in rows if row["metric"] == metric]
        size = (3.1 / width, _BAR * len(some) / height)
        top -= _TITLE + _BAR * len(some)
        ax = fig.add_axes(((left + 2.0) / width, (top + 0.12) / height, *size))
        names = ["\n".join(textwrap.wrap(row["system"], 22)[:2]) for row in some]
        values = [row["value"] for row in some]
        colors = [SOURCE_COLORS.get(row.get("source"), color) for row in some]
        bars = ax.barh(range(len(some)), values, color=colors, height=0.7)
        numbers = [f"{row['value']:.5g}{_unit(row)}" for row in some]
        ax.bar_label(bars, numbers, padding=4, fontsize=11)
        ax.set_yticks(range(len(some)), [plain(name) for name in names], fontsize=10)
        ax.set(xticks=[], ylim=(len(some) - 0.5, -0.5), xlim=(min(0, *values), None))
        direction = say(f"plot.{some[0]['better']}_is_better")
        ax.set_title(f"{plain(metric)} ({direction})", fontsize=11, loc="left")
        ax.spines[["top", "right", "bottom"]].set_visible(False)
        ax.tick_params(length=0)
        ax.patch.set_alpha(0)


def _unit(row: Mapping) -> str:
    unit = row["unit"]
    return f" {unit}" if isinstance(unit, str) and unit else ""  # an empty cell is NaN in pandas


def plot_quality(
    rows: Sequence[Mapping],
    *,
    setting: str,
    setting_label: str | None = None,
    caption: str = "",
) -> Figure:
    """Draw measures of quality against a setting of the generator, with their intervals.

    Shares share one panel, in percent; a measure of another unit has a panel of its own.

    Args:
        rows: with the setting, ``measure`` (its name), ``value``, ``low`` and ``high``; and
            ``unit``, if the value is no share in 0 … 1 ("" for a number without unit).
        setting: the entry that says where on the axis a row lies, "guidance_scale".
        setting_label: what the axis is called; the course's word for the setting by default.
        caption: said above.

    Raises:
        ValueError: no rows, one without a needed entry, or a value outside its interval.
    """
    _check_rows("rows", rows, (setting, "measure", "value", "low", "high"))
    for row in rows:
        most = 1 if row.get("unit", _SHARE) == _SHARE else np.inf
        if not (row["low"] <= row["value"] <= row["high"] <= most and np.isfinite(row["value"])):
            raise ValueError(f"expected low <= value <= high, a share at most 1, got {dict(row)}")
    measures = list(dict.fromkeys(row["measure"] for row in rows))
    kinds_of = {name: {_kind(row) for row in rows if row["measure"] == name} for name in measures}
    kinds = dict.fromkeys(_kind(row) for row in rows)
    fig, axes = plt.subplots(
        1,
        len(kinds),
        figsize=(min(13, 6.4 * len(kinds) + 0.6), 4.8),
        squeeze=False,
        layout="constrained",
    )
    settings = [row[setting] for row in rows]
    nudge = 0.006 * (max(settings) - min(settings))  # so that intervals do not hide each other
    for ax, kind in zip(axes[0], kinds, strict=True):
        names = [name for name in measures if kind in kinds_of[name]]
        for i, name in enumerate(names):
            some = [row for row in rows if row["measure"] == name and _kind(row) == kind]
            some = sorted(some, key=lambda row: row[setting])
            shift = nudge * (i - (len(names) - 1) / 2)
            _draw_line(ax, [row[setting] + shift for row in some], some, measures.index(name))
        ax.set_xticks(sorted(set(settings)))
        ax.set_xlabel(plain(setting_label or say(f"plot.{setting}")), fontsize=12)
        ax.set_ylabel(say("plot.share") if kind == _SHARE else plain(kind), fontsize=12)
        _tidy(ax)
    handles = [handle for ax in axes[0] for handle in ax.get_legend_handles_labels()[0]]
    fig.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=11)
    return finish(fig, caption)


def _kind(row: Mapping) -> str:
    """Name the panel of a row: shares, or the measure with its unit."""
    unit = row.get("unit", _SHARE)
    return _SHARE if unit == _SHARE else row["measure"] + (f" ({unit})" if unit else "")


def _draw_line(ax: Axes, x: Sequence[float], rows: Sequence[Mapping], index: int) -> None:
    factor = 100 if _kind(rows[0]) == _SHARE else 1
    y, low, high = (factor * np.array([row[key] for row in rows]) for key in _ESTIMATE)
    color, marker = _COLORS[index % len(_COLORS)], _MARKERS[index % len(_MARKERS)]
    style = {"color": color, "marker": marker, "markersize": 8, "capsize": 4, "linewidth": 1.8}
    ax.errorbar(x, y, yerr=[y - low, high - y], label=plain(rows[0]["measure"]), **style)


def _tidy(ax: Axes) -> None:
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
