"""How good a classifier is: right answers by class, and what a leaking split pretends."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_utils.plots.style import INK, class_name, finish, plain, say
from course_utils.texts import catalog

_NEEDED = ("split", "seed", "accuracy", "accuracy_low", "accuracy_high")
_REACH = 0.28  # how far the seeds of a split spread from its middle


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
    if not rows:
        raise ValueError("no rows to show")
    for row in rows:
        missing = [key for key in _NEEDED if key not in row]
        if missing:
            raise ValueError(f"a row lacks {', '.join(missing)}; it has {', '.join(row)}")
        if not 0 <= row["accuracy_low"] <= row["accuracy"] <= row["accuracy_high"] <= 1:
            raise ValueError(f"expected 0 <= low <= accuracy <= high <= 1, got {dict(row)}")
    splits = list(dict.fromkeys(row["split"] for row in rows))
    fig, ax = plt.subplots(figsize=(2.6 * len(splits) + 2.6, 4.8), layout="constrained")
    for name, level in (levels or {}).items():
        ax.axhline(100 * level, color="#777777", linestyle="--", linewidth=1.2)
        place = {"xycoords": ax.get_yaxis_transform(), "va": "center", "fontsize": 10}
        ax.annotate(plain(name), (1.01, 100 * level), **place, annotation_clip=False)
    for x, split in enumerate(splits):
        _draw_split(ax, x, [row for row in rows if row["split"] == split])
    ax.set_xticks(range(len(splits)), [_split_name(split) for split in splits], fontsize=12)
    ax.set(ylabel=say("plot.accuracy"), xlim=(-0.6, len(splits) - 0.4))
    ax.grid(axis="y", alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
    num = len({row["seed"] for row in rows})
    ax.set_xlabel(say("plot.split_seeds", seeds=num), fontsize=10)
    return finish(fig, caption)


def _split_name(split: str) -> str:
    return say(f"split.{split}") if f"split.{split}" in catalog() else plain(split)


def _draw_split(ax: Axes, x: int, rows: Sequence[Mapping]) -> None:
    """Draw one split: a dot and an interval for each seed, their mean as a bar with its value."""
    rows = sorted(rows, key=lambda row: row["seed"])
    y = 100 * np.array([row["accuracy"] for row in rows])
    low = 100 * np.array([row["accuracy_low"] for row in rows])
    high = 100 * np.array([row["accuracy_high"] for row in rows])
    places = x + (np.linspace(-_REACH, _REACH, len(rows)) if len(rows) > 1 else np.zeros(1))
    ax.errorbar(places, y, yerr=[y - low, high - y], fmt="o", color=INK, capsize=4, markersize=6)
    mean = y.mean()
    ax.plot([x - 0.4, x + 0.4], [mean, mean], color=INK, linewidth=2.5, alpha=0.5, zorder=0)
    ax.annotate(
        f"{mean:.1f} %",
        (x, max(high)),
        (0, 6),
        textcoords="offset points",
        ha="center",
        weight="bold",
        fontsize=12,
    )


def confusion_figure(
    confusion: Int[np.ndarray, "k k"], class_names: Sequence[str], *, caption: str = ""
) -> Figure:
    """Show a confusion matrix: the share of each true class that got each answer, and the number.

    Every row adds up to 100 %, so that rare classes are read as well as frequent ones.

    Args:
        confusion: counts, rows true, columns predicted.
        class_names: in the order of the rows.
        caption: said above.

    Raises:
        ValueError: another number of names than rows, or a negative count.
    """
    if len(class_names) != len(confusion) or (confusion < 0).any():
        raise ValueError(
            f"expected counts of 0 or more and {len(confusion)} class names, got {len(class_names)}"
        )
    totals = confusion.sum(axis=1)
    shares = confusion / np.maximum(totals, 1)[:, None]
    size = 1.15 * len(confusion)
    fig, ax = plt.subplots(figsize=(size + 3.6, size + 1.4), layout="constrained")
    ax.imshow(100 * shares, cmap="Blues", vmin=0, vmax=100)
    for (row, column), share in np.ndenumerate(shares):
        style = {"ha": "center", "color": "#FFFFFF" if share > 0.65 else INK}
        words = f"{100 * share:.0f} %" if totals[row] else "–"
        ax.text(column, row - 0.06, words, va="center", fontsize=12, **style)
        ax.text(column, row + 0.27, f"{confusion[row, column]:,}", va="center", fontsize=8, **style)
    names = [class_name(name) for name in class_names]
    rows = [f"{name}\nn = {total:,}" for name, total in zip(names, totals, strict=True)]
    ax.set_xticks(range(len(names)), names, rotation=30, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(names)), rows)
    ax.set(xlabel=say("plot.predicted"), ylabel=say("plot.true"))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return finish(fig, caption)
