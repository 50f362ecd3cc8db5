"""How many pairs and buildings: by event, split, class and damage level."""

from collections import Counter
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_utils.plots.style import (
    DAMAGE_COLORS,
    DISASTER_COLORS,
    DISASTER_MARKERS,
    INK,
    SPLIT_COLORS,
    class_name,
    finish,
    level_name,
    on_color,
    plain,
    say,
)
from course_utils.xbd.events import Event, class_of
from course_utils.xbd.labels import DamageLevel

Counts = Mapping[str, Mapping[DamageLevel, int]]
_GAP = 0.7  # rows between two classes


def event_counts(events: Mapping[str, Event], *, class_map: str = "xbd") -> Figure:
    """Draw the pairs of every event as a bar, stacked by split, grouped by class.

    Classes, and the events in them, come in order of their pairs. The axis is linear: stacked
    lengths add up on no other.

    Args:
        events: by name, as from ``xbd.read_events``.
        class_map: "xbd" or "course", which differ for hurricanes Florence and Michael.

    Raises:
        ValueError: no events, or another class map.
    """
    groups = group_events(events, class_map)
    rows, y = [], 0.0
    for group in groups.values():
        rows += [(y + i, event) for i, event in enumerate(group)]
        y += len(group) + _GAP
    heights = [height for height, _ in rows]
    size = (11, 0.29 * heights[-1] + 1.5)
    fig, (side, ax) = plt.subplots(
        1, 2, figsize=size, width_ratios=[1, 6], sharey=True, layout="constrained"
    )
    left = np.zeros(len(rows))
    for split, color in SPLIT_COLORS.items():
        pairs = np.array([event.num_pairs.get(split, 0) for _, event in rows])
        ax.barh(heights, pairs, left=left, color=color, edgecolor=INK, linewidth=0.5, label=split)
        left += pairs
    for height, total in zip(heights, left, strict=True):
        ax.annotate(
            f"{total:,.0f}", (total, height), (4, 0), textcoords="offset points", va="center"
        )
    for name, group in groups.items():
        middle = np.mean([height for height, event in rows if event in group])
        _write_class(side, middle, name)
    side.set(xlim=(0, 1), xticks=[], frame_on=False)
    side.tick_params(axis="y", left=False, labelleft=False)
    ax.set_yticks(heights, [plain(event.name) for _, event in rows], fontsize=11)
    ax.tick_params(axis="y", labelleft=True)
    ax.set(xlabel=say("plot.pairs"), ylim=(heights[-1] + 0.6, -0.6), xlim=(0, 1.08 * left.max()))
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(title=say("plot.split"), loc="lower right", fontsize=10, title_fontsize=10)
    return finish(fig, say("plot.event_counts", pairs=f"{left.sum():,.0f}", events=len(rows)))


def group_events(events: Mapping[str, Event], class_map: str) -> dict[str, list[Event]]:
    """Sort events into classes, those with most pairs first.

    Raises:
        ValueError: no events, or another class map than "xbd" and "course".
    """
    if class_map not in ("xbd", "course"):
        raise ValueError(f'expected the class map "xbd" or "course", got {class_map!r}')
    if not events:
        raise ValueError("no events to show")
    groups: dict[str, list[Event]] = {}
    for event in sorted(events.values(), key=_num_pairs, reverse=True):
        groups.setdefault(getattr(event, f"{class_map}_class"), []).append(event)
    return dict(sorted(groups.items(), key=lambda item: -sum(map(_num_pairs, item[1]))))


def _num_pairs(event: Event) -> int:
    return sum(event.num_pairs.values())


def _write_class(ax: Axes, height: float, name: str) -> None:
    """Write a class left of the names of its events, with its mark."""
    color, marker = DISASTER_COLORS[name], DISASTER_MARKERS[name]
    style = {"color": color, "markeredgecolor": INK, "markersize": 9, "clip_on": False}
    ax.plot(0.1, height, marker=marker, **style)
    ax.text(0.2, height, class_name(name), va="center", weight="bold", fontsize=11)


def damage_imbalance(counts: Counts, *, by: str = "event", class_map: str = "xbd") -> Figure:
    """Draw the share of each damage level in every row, with the absolute numbers beside it.

    Shares, because they are what a classifier meets and what a lazy one gets for always giving the
    same answer; on a log axis stacked lengths mean nothing. But shares hide that a sliver may be
    three buildings, so the numbers are written. The row with least intact buildings comes first.

    Args:
        counts: buildings by event and damage level.
        by: "event", or "class" to add up the events of each class.
        class_map: "xbd" or "course", for ``by="class"``.

    Raises:
        ValueError: another ``by``, nothing to count, a negative count; for classes, events or a
            class map that xBD does not have.
    """
    if by not in ("event", "class"):
        raise ValueError(f'expected by="event" or by="class", got {by!r}')
    rows = _check(counts) if by == "event" else _add_by_class(counts, class_map)
    intact = {name: row.get(DamageLevel.NO_DAMAGE, 0) / sum(row.values())
              for name, row in rows.items()}  # fmt: skip
    names = sorted(rows, key=lambda name: intact[name])
    table = np.array([[rows[name].get(level, 0) for level in DAMAGE_COLORS] for name in names])
    size = (13, 0.32 * len(names) + 1.6)
    fig, (ax, side) = plt.subplots(1, 2, figsize=size, width_ratios=[7, 5], layout="constrained")
    _stack(ax, 100 * table / table.sum(axis=1, keepdims=True), list(DAMAGE_COLORS.values()))
    for column, level in enumerate(DAMAGE_COLORS):
        _write_column(side, column + 1, table[:, column], level)
    _write_column(side, len(DAMAGE_COLORS) + 1, table.sum(axis=1), None)
    side.set(xlim=(0.2, len(DAMAGE_COLORS) + 1), ylim=ax.get_ylim())
    side.set_axis_off()
    ax.set_yticks(range(len(names)), [class_name(name) for name in names], fontsize=11)
    ax.set_xlabel(say("plot.building_share"))
    key = "plot.damage_by_event" if by == "event" else "plot.damage_by_class"
    return finish(fig, say(key, buildings=f"{table.sum():,}"))


def damage_by_type(counts: Counts, *, class_map: str = "xbd") -> Figure:
    """Draw of which disasters the buildings of each damage level are: the rows the other way.

    A level that comes from one or two types of disaster only cannot be told from these types: a
    classifier may learn ash or mud in place of ruins.

    Args:
        counts: buildings by event and damage level.
        class_map: "xbd" or "course".

    Raises:
        ValueError: see `damage_imbalance`.
    """
    classes = _add_by_class(counts, class_map)
    levels = [level for level in DAMAGE_COLORS if any(row.get(level) for row in classes.values())]
    names = [name for name in DISASTER_COLORS if name in classes]
    table = np.array([[classes[name].get(level, 0) for name in names] for level in levels])
    fig, ax = plt.subplots(figsize=(11, 0.55 * len(levels) + 1.9), layout="constrained")
    shares = 100 * table / table.sum(axis=1, keepdims=True)
    _stack(ax, shares, [DISASTER_COLORS[name] for name in names], words=True)
    labels = [f"{level_name(level)}\nn = {row.sum():,}"
              for level, row in zip(levels, table, strict=True)]  # fmt: skip
    ax.set_yticks(range(len(levels)), labels, fontsize=11)
    ax.set_xlabel(say("plot.level_share"))
    handles = [plt.Rectangle((0, 0), 1, 1, fc=DISASTER_COLORS[n], ec=INK, lw=0.5) for n in names]
    labels = [class_name(name) for name in names]
    fig.legend(handles, labels, loc="outside lower center", ncols=6, frameon=False, fontsize=11)
    return finish(fig, say("plot.damage_by_type", buildings=f"{table.sum():,}"))


def _check(counts: Counts) -> dict[str, Mapping[DamageLevel, int]]:
    """Keep the rows that have buildings."""
    if any(count < 0 for row in counts.values() for count in row.values()):
        raise ValueError("expected counts of 0 or more")
    rows = {name: row for name, row in counts.items() if sum(row.values())}
    if not rows:
        raise ValueError("no buildings to count")
    return rows


def _add_by_class(counts: Counts, class_map: str) -> dict[str, Mapping[DamageLevel, int]]:
    rows: dict[str, Counter] = {}
    for event, row in _check(counts).items():
        rows.setdefault(class_of(event, class_map=class_map), Counter()).update(row)
    return rows


def _stack(ax: Axes, shares: np.ndarray, colors: Sequence[str], *, words: bool = False) -> None:
    """Stack percents into bars from the top down; with words in those that have room."""
    left = np.zeros(len(shares))
    for column, color in zip(shares.T, colors, strict=True):
        ax.barh(range(len(shares)), column, left=left, color=color, edgecolor=INK, linewidth=0.5)
        for y, share in enumerate(column):
            if words and share >= 4:
                x, ink = left[y] + share / 2, on_color(color)
                ax.text(x, y, f"{share:.0f}", ha="center", va="center", color=ink, fontsize=10)
        left += column
    ax.set(xlim=(0, 100), ylim=(len(shares) - 0.45, -0.55))
    ax.spines[["top", "right"]].set_visible(False)


def _write_column(ax: Axes, x: int, numbers: np.ndarray, level: DamageLevel | None) -> None:
    """Write a level's numbers beside the bars, under its name on its color."""
    for y, number in enumerate(numbers):
        ax.text(x, y, f"{number:,}", ha="right", va="center", fontsize=11)
    color = "#FFFFFF" if level is None else DAMAGE_COLORS[level]
    words = say("plot.total") if level is None else say(f"damage.{level.name.lower()}.short")
    box = {"facecolor": color, "edgecolor": INK, "linewidth": 0.5, "boxstyle": "square,pad=0.25"}
    place = {"xytext": (0, 5), "textcoords": "offset points", "annotation_clip": False}
    style = {
        "ha": "right",
        "multialignment": "center",
        "va": "bottom",
        "fontsize": 9,
        "color": on_color(color),
    }
    ax.annotate(words, (x, -0.55), **place, bbox=box, **style)
