"""Pictures of the lab's results: accuracy against ratio, differences to real only."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from course_utils.lab import arm_label
from course_utils.plots.style import SOURCE_COLORS, plain
from course_utils.texts import text

_ARM_COLORS = {
    "zero_shot": "#000000",
    "real_duplicated": SOURCE_COLORS["control"],
    "shuffled": SOURCE_COLORS["control"],
} | SOURCE_COLORS
_MARKERS = {"real+synthetic": "o", "synthetic": "s", "real+seen": "D"}
_NUDGES = {"synthetic": -0.05, "real+seen": 0.05}  # so that intervals do not hide each other


def plot_accuracy_by_ratio(content: Mapping) -> Figure:
    """Plot accuracy with intervals, and macro F1 by seed, against synthetic images per real image.

    Args:
        content: ``lab.Results.content``.
    """
    summary = content["summary"]
    fig, axes = plt.subplots(1, 2, figsize=(11, 4.4), sharex=True, layout="constrained")
    for ax, measure in zip(axes, ("accuracy", "macro_f1"), strict=True):
        for arm in ("real+synthetic", "synthetic", "real+seen"):
            _draw_series(ax, [entry for entry in summary if entry["arm"] == arm], measure)
            if measure == "macro_f1":
                _draw_seeds(ax, [row for row in content["rows"] if row["arm"] == arm])
        for arm, style in (("real", "-"), ("zero_shot", ":"), ("real_duplicated", "--")):
            _draw_level(ax, next(e for e in summary if e["arm"] == arm), measure, style)
        ax.set(xlabel=text("plot.ratio"), ylabel=text(f"plot.{measure}"))
        ax.set_xticks(sorted({e["ratio"] for e in summary if e["arm"] == "synthetic"}))
        ax.grid(alpha=0.25)
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    fig.suptitle(plain(_title(content)), fontsize=11)
    plt.close(fig)
    return fig


def _draw_series(ax: plt.Axes, entries: Sequence[Mapping], measure: str) -> None:
    if not entries:
        return
    arm = entries[0]["arm"]
    x = [entry["ratio"] + _NUDGES.get(arm, 0.0) for entry in entries]
    y = np.array([100 * entry[measure] for entry in entries])
    label, color = text(f"arm.{arm}"), _ARM_COLORS[arm]
    ax.plot(x, y, marker=_MARKERS[arm], color=color, label=label)
    if measure == "accuracy":
        low = np.array([100 * entry["accuracy_low"] for entry in entries])
        high = np.array([100 * entry["accuracy_high"] for entry in entries])
        ax.errorbar(x, y, yerr=[y - low, high - y], fmt="none", color=color, capsize=4)


def _draw_seeds(ax: plt.Axes, rows: Sequence[Mapping]) -> None:
    """Dot the macro F1 of every seed, which shows its spread."""
    if rows:
        arm = rows[0]["arm"]
        x = [row["ratio"] + _NUDGES.get(arm, 0.0) for row in rows]
        y = [100 * row["macro_f1"] for row in rows]
        ax.scatter(x, y, s=12, color=_ARM_COLORS[arm], alpha=0.5)


def _draw_level(ax: plt.Axes, entry: Mapping, measure: str, style: str) -> None:
    color = _ARM_COLORS[entry["arm"]]
    label = arm_label(entry["arm"], entry["ratio"])
    ax.axhline(100 * entry[measure], color=color, linestyle=style, label=label)
    if measure == "accuracy" and entry["arm"] == "real":
        ax.axhspan(
            100 * entry["accuracy_low"],
            100 * entry["accuracy_high"],
            color=color,
            alpha=0.12,
            linewidth=0,
        )


def plot_gains(content: Mapping) -> Figure:
    """Plot the paired differences to real-only with their 95 % intervals.

    Left of zero hurts, right of zero helps, and an interval that touches zero cannot tell.
    Zero-shot and shuffled labels are in the table only: far from zero, they would squeeze the rest.

    Args:
        content: ``lab.Results.content``.
    """
    left_out = ("real", "shuffled", "zero_shot")
    entries = [entry for entry in content["summary"] if entry["arm"] not in left_out]
    fig, ax = plt.subplots(figsize=(8.5, 0.38 * len(entries) + 1.6), layout="constrained")
    for y, entry in enumerate(reversed(entries)):
        gain, low, high = (100 * entry[key] for key in ("gain", "gain_low", "gain_high"))
        ax.errorbar(
            gain,
            y,
            xerr=[[gain - low], [high - gain]],
            fmt=_MARKERS.get(entry["arm"], "^"),
            color=_ARM_COLORS[entry["arm"]],
            capsize=4,
        )
    ax.axvline(0, color=SOURCE_COLORS["real"], linewidth=1.5)
    labels = [arm_label(entry["arm"], entry["ratio"]) for entry in reversed(entries)]
    ax.set_yticks(range(len(entries)), labels)
    ax.set_xlabel(text("plot.gain"))
    ax.grid(axis="x", alpha=0.25)
    fig.suptitle(plain(_title(content)), fontsize=11)
    plt.close(fig)
    return fig


def _title(content: Mapping) -> str:
    num_seeds = len({row["seed"] for row in content["rows"]})
    title = text(
        "plot.title",
        data=content["data"],
        model=content["model"],
        generator=content["generator"],
        seeds=num_seeds,
        num_test=content["num_test"],
    )
    if content["stand_ins"]:
        title += "\n" + text("plot.stand_ins", names=", ".join(content["stand_ins"]))
    return title
