"""What a classifier says of one image, and how it gets better with more images."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_utils.plots.diffusion import COLORS, DASHES, tidy
from course_utils.plots.style import INK, finish, plain, refuse_unless_pictures, say, shorten
from course_utils.plots.sweeps import Picture, draw_image, head_inches

_MARKERS = ("o", "s", "^", "D", "v", "P")
_NEEDED = ("shots", "mean", "low", "high")
_TRUTH, _ANSWER = "#009E73", "#BBBBBB"


def plot_few_shots(
    curves: Mapping[str, Sequence[Mapping]],
    *,
    levels: Mapping[str, float] | None = None,
    x_label: str | None = None,
    caption: str = "",
) -> Figure:
    """Draw accuracy against the number of training images, each with its interval.

    Args:
        curves: by name, records with ``shots`` (1 or more), ``mean``, ``low`` and ``high``, shares
            in 0 … 1, such as those of `metrics.mean_interval` over seeds.
        levels: accuracies without training images, by name ("zero-shot"), as horizontal lines.
        x_label: what is counted; "training images a class" by default.
        caption: said above.

    Raises:
        ValueError: no curves, one without records, a record without a needed entry or with fewer
            than one shot, a mean outside its interval or outside 0 … 1, or such a level.
    """
    levels = levels or {}
    _refuse_unless_curves(curves, levels)
    height = 4.6 + 0.25 * -(-(len(curves) + len(levels)) // 2) + head_inches(caption)
    fig, ax = plt.subplots(figsize=(9, height), layout="constrained")
    handles = []
    for i, (name, rows) in enumerate(curves.items()):
        rows = sorted(rows, key=lambda row: row["shots"])
        nudge = 1.025 ** (i - (len(curves) - 1) / 2)  # so that intervals do not hide each other
        x = [row["shots"] * nudge for row in rows]
        y, low, high = (100 * np.array([row[key] for row in rows]) for key in _NEEDED[1:])
        style = {"marker": _MARKERS[i % len(_MARKERS)], "markersize": 8, "linewidth": 2}
        style |= {"color": COLORS[i % len(COLORS)], "capsize": 4, "label": plain(name)}
        handles.append(ax.errorbar(x, y, [y - low, high - y], **style))
    for i, (name, level) in enumerate(levels.items()):
        style = {"color": INK, "linestyle": DASHES[1 + i % (len(DASHES) - 1)], "linewidth": 1.8}
        handles.append(ax.axhline(100 * level, label=plain(name), zorder=1, **style))
    ax.set_xscale("log", base=2)
    shots = sorted({row["shots"] for rows in curves.values() for row in rows})
    ax.set_xticks(shots, [f"{value:g}" for value in shots])
    ax.minorticks_off()
    ax.set_xlabel(plain(x_label or say("plot.shots")), fontsize=12)
    ax.set_ylabel(say("plot.accuracy_interval"), fontsize=12)
    ax.tick_params(labelsize=11)
    tidy(ax)
    fig.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=12)
    return finish(fig, caption)


def _refuse_unless_curves(
    curves: Mapping[str, Sequence[Mapping]], levels: Mapping[str, float]
) -> None:
    if not curves or not all(len(rows) for rows in curves.values()):
        raise ValueError("every curve needs records to show")
    for name, rows in curves.items():
        for row in rows:
            if missing := [key for key in _NEEDED if key not in row]:
                raise ValueError(f"{name}: a record lacks {', '.join(missing)}")
            if not (row["shots"] >= 1 and row["low"] <= row["mean"] <= row["high"]):
                raise ValueError(f"{name}: expected shots >= 1, low <= mean <= high, got {row}")
            if not 0 <= row["mean"] <= 1:
                raise ValueError(f"{name}: expected a share in 0 … 1, got {row['mean']}")
    if not all(0 <= level <= 1 for level in levels.values()):
        raise ValueError(f"levels must be shares in 0 … 1, got {dict(levels)}")


def plot_class_scores(
    image: Picture,
    class_names: Sequence[str],
    scores: Sequence[float] | Float[np.ndarray, " _k"],
    *,
    truth: str | None = None,
    num_shown: int = 8,
    score_label: str | None = None,
    caption: str = "",
) -> Figure:
    """Show an image beside the classes with the highest scores, and the true one in green.

    Args:
        image: uint8 (h, w, 3).
        class_names: in the order of the scores.
        scores: one a class: probabilities, cosines or logits, drawn as they are.
        truth: the true class; shown last if its score is not among the highest.
        num_shown: classes to show, at most.
        score_label: what the scores are; "score" by default.
        caption: said above.

    Raises:
        ValueError: no classes, another number of scores, a score that is not finite, or a truth
            that is none of the classes.
    """
    scores = np.asarray(scores, dtype=float)
    if not len(class_names) == len(scores) > 0 or num_shown < 1:
        raise ValueError(f"{len(class_names)} class names but {len(scores)} scores")
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite")
    if truth is not None and truth not in class_names:
        raise ValueError(f"the truth {truth!r} is none of the classes {list(class_names)}")
    refuse_unless_pictures([image])
    shown = np.argsort(-scores, kind="stable").tolist()[:num_shown]
    if truth is not None and (place := list(class_names).index(truth)) not in shown:
        shown = [*shown[: max(1, num_shown - 1)], place]
    height = max(3.4, 0.38 * len(shown) + 1.0) + head_inches(caption)
    fig, axes = plt.subplots(
        1, 2, figsize=(10.5, height), width_ratios=(1, 1.9), layout="constrained"
    )
    draw_image(axes[0], image)
    names = [class_names[i] for i in shown]
    _draw_bars(axes[1], names, scores[shown], truth)
    axes[1].set_xlabel(plain(score_label or say("plot.score")), fontsize=12)
    return finish(fig, caption)


def _draw_bars(ax: Axes, names: Sequence[str], scores: np.ndarray, truth: str | None) -> None:
    """Draw a bar for each score, with its value, and say which class is the true one."""
    is_true = [name == truth for name in names]
    colors = [_TRUTH if true else _ANSWER for true in is_true]
    bars = ax.barh(range(len(names)), scores, color=colors, height=0.7)
    remarks = [f" ({say('plot.truth')})" if true else "" for true in is_true]
    words = [f"{score:.3g}{remark}" for score, remark in zip(scores, remarks, strict=True)]
    ax.bar_label(bars, words, padding=4, fontsize=11)
    ax.set_yticks(range(len(names)), [shorten(name, 28) for name in names], fontsize=12)
    for label, true in zip(ax.get_yticklabels(), is_true, strict=True):
        label.set_weight("bold" if true else "normal")
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.axvline(0, color=INK, linewidth=1)
    ax.margins(x=0.28)  # room for the numbers at the ends of the bars
    ax.tick_params(axis="y", length=0)
    tidy(ax)
