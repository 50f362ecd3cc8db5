"""Data in, Figure out: the pictures of the course, with one color per source everywhere."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure

from course_utils.images import write_atomically
from course_utils.lab import arm_label
from course_utils.texts import text

# Okabe and Ito's palette, which color-blind readers can tell apart.
SOURCE_COLORS = {
    "real": "#0072B2",
    "synthetic": "#E69F00",
    "real+synthetic": "#009E73",
    "real+seen": "#CC79A7",
    "control": "#777777",
}
_ARM_COLORS = {
    "zero_shot": "#000000",
    "real_duplicated": SOURCE_COLORS["control"],
    "shuffled": SOURCE_COLORS["control"],
} | SOURCE_COLORS
_MARKERS = {"real+synthetic": "o", "synthetic": "s", "real+seen": "D"}
_NUDGES = {"synthetic": -0.05, "real+seen": 0.05}  # so that intervals do not hide each other


def show_images(
    images: Sequence[UInt8[np.ndarray, "h w 3"]],
    *,
    titles: Sequence[str] | None = None,
    num_columns: int = 8,
    caption: str = "",
) -> Figure:
    """Show images in rows, unscaled colors, with a title above each if given.

    Args:
        images: uint8 (h, w, 3), sizes may differ.
        titles: one for each image.
        num_columns: images in a row; the last row may be short.
        caption: said above all.

    Raises:
        ValueError: for no images, another number of titles, or images that are not uint8.
    """
    if not len(images):
        raise ValueError("no images to show")
    if titles is not None and len(titles) != len(images):
        raise ValueError(f"{len(images)} images but {len(titles)} titles")
    if any(image.dtype != np.uint8 for image in images):
        raise ValueError("images must be uint8; convert them with course_utils.images")
    num_columns = min(num_columns, len(images))
    num_rows = -(-len(images) // num_columns)
    fig, axes = plt.subplots(
        num_rows,
        num_columns,
        figsize=(1.3 * num_columns, (1.6 if titles else 1.35) * num_rows + 0.4 * bool(caption)),
        squeeze=False,
        layout="constrained",
    )
    for ax in axes.flat:
        ax.set_axis_off()
    for index, (ax, image) in enumerate(zip(axes.flat, images, strict=False)):
        ax.imshow(image, interpolation="nearest")
        if titles is not None:
            ax.set_title(_shorten(titles[index], 20), fontsize=8)
    if caption:
        fig.suptitle(_plain(caption), fontsize=11)
    plt.close(fig)  # the caller shows it, once
    return fig


def show_by_class(
    images: Mapping[str, Sequence[UInt8[np.ndarray, "h w 3"]]], *, caption: str = ""
) -> Figure:
    """Show a row of images for each class, with the class name at its left.

    Raises:
        ValueError: for no classes or a class without images.
    """
    if not images or not all(len(row) for row in images.values()):
        raise ValueError("every class needs an image to show")
    num_columns = max(len(row) for row in images.values())
    fig, axes = plt.subplots(
        len(images),
        num_columns,
        figsize=(0.85 * num_columns + 1.6, 0.85 * len(images) + 0.4),  # noise makes large PNGs
        squeeze=False,
        layout="constrained",
    )
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[], frame_on=False)
    for row, (name, some) in zip(axes, images.items(), strict=True):
        for ax, image in zip(row, some, strict=False):
            ax.imshow(image, interpolation="nearest")
        label = _shorten(name, 22)
        row[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=10, labelpad=8)
    fig.suptitle(_plain(caption), fontsize=11)
    plt.close(fig)
    return fig


def _shorten(name: str, length: int) -> str:
    return _plain(name if len(name) <= length else name[: length - 1] + "…")


def _plain(words: str) -> str:
    """Keep matplotlib from reading dollar signs in names as mathematics."""
    return words.replace("$", r"\$")


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
    fig.suptitle(_plain(_title(content)), fontsize=11)
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
    fig.suptitle(_plain(_title(content)), fontsize=11)
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


def save_figure(fig: Figure, path: Path) -> Path:
    """Write a figure as PNG for a projector (160 dots per inch), whole or not at all.

    Raises:
        OSError: when the disk is full or read-only; says what to do.
    """
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=160)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, buffer.getvalue())
    return path
