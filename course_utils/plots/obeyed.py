"""How far a generator obeys what it is told, and what its pairs are worth: numbers, intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from course_utils.plots.measured import draw_estimates
from course_utils.plots.style import (
    ARM_STYLES,
    BAND,
    DASHES,
    GREY,
    INK,
    MARKERS,
    MAX_WIDTH,
    PALE,
    SOURCE_COLORS,
    Number,
    check_counts,
    check_rows,
    finish,
    group_by,
    make_axes,
    name_rows,
    plain,
    say,
    tidy,
)
from course_utils.texts import catalog

Values = Sequence[Number] | Float[np.ndarray, " _n"] | Float[Tensor, " _n"]
_VALUE, _GAIN = ("value", "low", "high"), ("gain", "low", "high")
_RENDERS = "renders"  # the arm of what the segmenter reaches on rendered images
_STEERED = "told"  # the arm that was told what is asked; all others are controls
_LOGARITHMIC = "meters_per_pixel"
_THEIRS = ("#D55E00", INK, "#6A4FB3")  # of published curves: no arm of ours has these


def _name(prefix: str, name: str) -> str:
    """Name what the course has words for; else keep the name of the table."""
    key = f"{prefix}.{name}"
    return say(key) if key in catalog() else plain(name.replace("_", " "))


def control_scores(table: pd.DataFrame, *, caption: str = "") -> Figure:
    """Draw how much of an asked map is found again, a panel a measure, a bar an arm.

    Args:
        table: with ``measure`` ("road": IoU of roads, "cover": mean IoU of land cover, or another
            name), ``arm`` ("told", "untold", "shuffled", or another name) and ``value``, ``low``
            and ``high`` (shares). The arm "renders", what the segmenter reaches on rendered
            images themselves, becomes a line.
        caption: said above.

    Raises:
        ValueError: no rows, one without an entry, a value outside its interval or 0 … 1, or a
            measure without bars.
    """
    rows = table.to_dict("records")
    check_rows(rows, ("measure", "arm"), estimate=_VALUE, limits=(0, 1))
    arms = [arm for arm in group_by(rows, "arm") if arm != _RENDERS]
    panels = group_by(rows, "measure")
    for measure, some in panels.items():
        if all(row["arm"] == _RENDERS for row in some):
            raise ValueError(f"{measure}: no arm to draw a bar for, only {_RENDERS}")
    size = (min(MAX_WIDTH, 4.3 * len(panels) + 2.6), 0.55 * len(arms) + 1.7)
    fig, axes = make_axes(1, len(panels), size, caption=caption, sharey=True)
    for ax, (measure, some) in zip(axes[0], panels.items(), strict=True):
        _draw_bars(ax, [row for row in some if row["arm"] != _RENDERS], arms)
        for row in some:
            if row["arm"] == _RENDERS:
                ax.axvline(
                    100 * row["value"], color=INK, linestyle="--", label=say("steer.ceiling")
                )
                ax.axvspan(100 * row["low"], 100 * row["high"], color=INK, alpha=0.1, linewidth=0)
        ax.set_title(_name("steer.measure", measure), fontsize=12)
        ax.set_xlim(0, 105)
        tidy(ax, say("steer.iou"), grid="x")
    name_rows(axes[0, 0], [_name("steer.arm", arm) for arm in arms])
    lined = next((ax for ax in axes[0] if ax.get_legend_handles_labels()[0]), ())
    return finish(fig, caption, legend=lined)


def _draw_bars(ax: Axes, rows: Sequence[Mapping], arms: Sequence[str]) -> None:
    """Draw a bar an arm with its interval, and write its value behind it."""
    for row in rows:
        place, value = arms.index(row["arm"]), 100 * row["value"]
        color = SOURCE_COLORS["synthetic" if row["arm"] == _STEERED else "control"]
        ax.barh(place, value, height=0.62, color=color, alpha=0.85)
        draw_estimates(ax, [place], [row], _VALUE, is_across=True, fmt="none", ecolor=INK)
        style = {"textcoords": "offset points", "va": "center", "fontsize": 11}
        ax.annotate(f"{value:.0f}", (100 * row["high"], place), (5, 0), **style)


@dataclass(frozen=True)
class Answer:
    """What was asked of one field of the metadata, and what a reader finds: a panel."""

    field: str  # "meters_per_pixel", "cloud_share", "summer", or another name
    asked: Values
    read: Values  # one for each
    own_error: Number  # of the reader on renders, in the field's unit; of meters a factor
    correlation: tuple[Number, Number, Number]  # of ranks, and both ends of its interval


def metadata_answer(answers: Sequence[Answer], *, caption: str = "") -> Figure:
    """Draw what was read back against what was asked, with the reader's own error as a band.

    Args:
        answers: a panel each, beside each other; meters per pixel have logarithmic axes.
        caption: said above.

    Raises:
        ValueError: no answers, not one number read for each asked, a number that is not finite, an
            error or a correlation outside its range.
    """
    if not answers:
        raise ValueError("no answers to show; give one for each field")
    for answer in answers:
        _check_answer(answer)
    ncols = 3 if len(answers) > 1 else 1  # of the legend, that fit
    size = (min(MAX_WIDTH, 4.0 * len(answers) + 0.4), 5.5 - 0.3 * ncols)
    fig, axes = make_axes(1, len(answers), size, caption=caption)
    for ax, answer in zip(axes[0], answers, strict=True):
        _draw_answer(ax, answer)
    axes[0, 0].set_ylabel(say("steer.read"), fontsize=12)
    return finish(fig, caption, legend=axes[0, 0], ncols=ncols)


def _check_answer(answer: Answer) -> None:
    check_counts(asked=answer.asked, read=answer.read)
    numbers = np.array([*map(float, answer.asked), *map(float, answer.read)])
    is_log = answer.field == _LOGARITHMIC
    if not np.isfinite(numbers).all() or (is_log and numbers.min() <= 0):
        raise ValueError(f"{answer.field}: expected finite numbers, meters above 0, got {numbers}")
    if not answer.own_error >= float(is_log):
        raise ValueError(
            f"{answer.field}: expected the reader's own error, 0 or more (of meters per pixel a "
            f"factor, 1 or more), got {answer.own_error}"
        )
    value, low, high = answer.correlation
    if not -1 <= low <= value <= high <= 1:
        raise ValueError(f"{answer.field}: expected a correlation in its interval, got {value}")


def _draw_answer(ax: Axes, answer: Answer) -> None:
    """Draw the points of a field, where they would lie if all was obeyed, and the band."""
    asked, read = (np.array([*map(float, some)]) for some in (answer.asked, answer.read))
    both, is_log = np.concatenate([asked, read]), answer.field == _LOGARITHMIC
    low, high = both.min(), both.max()
    if is_log:
        line, error = np.geomspace(low / 1.1, high * 1.1, 50), answer.own_error
        band = (line / error, line * error)
        ax.set(xscale="log", yscale="log")
    else:
        margin = 0.05 * (high - low) or 0.5
        line = np.linspace(low - margin, high + margin, 50)
        band = (line - answer.own_error, line + answer.own_error)
    ax.fill_between(line, *band, color=PALE, alpha=0.45, linewidth=0, label=say("steer.own_error"))
    ax.plot(line, line, color=INK, linewidth=1.5, linestyle="--", label=say("steer.obeyed"))
    color = SOURCE_COLORS["synthetic"]
    style = {"color": color, "alpha": 0.75, "edgecolor": "white", "linewidth": 0.5}
    ax.scatter(asked, read, s=38, label=say("steer.one_drawing"), **style)
    ax.set(xlim=(line[0], line[-1]), ylim=(line[0], line[-1]))
    if is_log:
        ticks = [tick for tick in (0.5, 1, 2, 5, 10, 20, 50) if line[0] <= tick <= line[-1]]
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
            axis.set_ticks([], minor=True)
    value, least, most = answer.correlation
    numbers = {"value": f"{value:.2f}", "low": f"{least:.2f}", "high": f"{most:.2f}"}
    title = f"{_name('steer.field', answer.field)}\n{say('steer.correlation', **numbers)}"
    ax.set_title(title, fontsize=12)
    tidy(ax, say("steer.asked_value"))


def gain_by_multiple(
    measured: pd.DataFrame, published: pd.DataFrame, *, caption: str = ""
) -> Figure:
    """Draw what synthetic pairs add to a segmenter against how many there are: theirs, ours.

    Args:
        measured: with ``arm`` ("real+synthetic", "augmented", "retrieval", "real", or another
            name), ``multiple`` (synthetic or other pairs a real one) and the gain in mIoU over
            real pairs alone: ``gain``, ``low`` and ``high``, shares. An arm with one row is a
            mark.
        published: with ``dataset``, ``multiple`` and ``miou`` (%); of each data set also 0x, from
            which the gains are counted.
        caption: said above.

    Raises:
        ValueError: no rows, one without an entry, a gain outside its interval, or a data set
            without 0x.
    """
    ours, theirs = measured.to_dict("records"), published.to_dict("records")
    check_rows(ours, ("arm", "multiple"), estimate=_GAIN, limits=(-1, 1), of="measured")
    check_rows(theirs, ("dataset", "multiple", "miou"), of="published")
    curves = {name: _gains(name, rows) for name, rows in group_by(theirs, "dataset").items()}
    fig, axes = make_axes(1, 2, (12, 5.0), caption=caption, sharex=True, sharey=True)
    left, right = axes[0]
    left.set_facecolor(BAND)
    for i, (name, (places, gains)) in enumerate(curves.items()):
        look = {"color": _THEIRS[i % len(_THEIRS)], "marker": MARKERS[i % len(MARKERS)]}
        dash = DASHES[i % len(DASHES)]
        left.plot(places, gains, label=plain(name), linestyle=dash, markersize=8, lw=2, **look)
    for i, (arm, rows) in enumerate(group_by(ours, "arm").items()):
        _draw_arm(right, arm, rows, 0.05 * i)
    for ax, key in ((left, "steer.theirs"), (right, "steer.ours")):
        ax.axhline(0, color=GREY, linewidth=1)
        ax.set_title(say(key), fontsize=13)
        ax.legend(fontsize=10, loc="best")
        tidy(ax, say("steer.multiple"))
    multiples = sorted({int(row["multiple"]) for row in (*ours, *theirs)})
    left.set_xticks(multiples, [f"{multiple}×" for multiple in multiples])
    left.set_ylabel(say("steer.gain"), fontsize=12)
    return finish(fig, caption)


def _gains(name: str, rows: Sequence[Mapping]) -> tuple[list[float], list[float]]:
    """Count the points of a data set from its value without synthetic pairs."""
    values = {float(row["multiple"]): float(row["miou"]) for row in rows}
    if 0.0 not in values:
        raise ValueError(f"published: {name} has no 0x, from which its gains would be counted")
    places = sorted(values)
    return places, [values[place] - values[0.0] for place in places]


def _draw_arm(ax: Axes, arm: str, rows: Sequence[Mapping], shift: Number) -> None:
    """Draw an arm: a line with intervals, or one mark; moved a little beside the others."""
    color, marker = ARM_STYLES.get(arm, (SOURCE_COLORS["control"], "X"))
    rows = sorted(rows, key=lambda row: row["multiple"])
    places = [row["multiple"] + shift for row in rows]
    look = {"color": color, "marker": marker, "markersize": 8, "label": _name("steer.arm", arm)}
    look["linestyle"] = "-" if len(rows) > 1 else "none"
    draw_estimates(ax, places, rows, _GAIN, linewidth=2, **look)
