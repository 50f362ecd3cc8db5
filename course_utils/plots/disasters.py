"""The disasters of xBD: where they were, how many, what they damaged, how they were taken."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

import matplotlib.pyplot as plt
import numpy as np
import shapely
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from course_utils.plots.buildings import polygon_path
from course_utils.plots.labels import place_names
from course_utils.plots.style import (
    DAMAGE_COLORS,
    DISASTER_COLORS,
    DISASTER_MARKERS,
    INK,
    PALE,
    SPLIT_COLORS,
    class_name,
    finish,
    level_name,
    make_ax,
    make_axes,
    name_rows,
    on_color,
    plain,
    remark,
    say,
    tidy,
)
from course_utils.xbd.events import Event, class_of, read_land
from course_utils.xbd.labels import DamageLevel, Metadata

Counts = Mapping[str, Mapping[DamageLevel, int]]
Extent = tuple[float, float, float, float]
WORLD = (-180.0, 180.0, -50.0, 75.0)  # west, east, south, north in degrees
DETAIL = (-127.0, -62.0, 11.0, 43.0)  # where most events of xBD are
_LAND, _SEA = "#E4DFD3", "#F5F9FC"
_CROWDED = 3  # events in the detail, from which on it gets a panel of its own
_SIZES = (6.0, 9.5)  # of marks, in points: without and with a name beside
_GAP = 0.7  # rows between two classes
_NUM_DOTS = 400  # more would hide each other
_SPREAD = 0.3  # rows that scenes of one event take, above and below its middle


def _group_events(events: Mapping[str, Event]) -> dict[str, list[Event]]:
    """Sort events into classes, those with most pairs first."""
    if not events:
        raise ValueError("no events to show")
    groups: dict[str, list[Event]] = {}
    for event in sorted(events.values(), key=_num_pairs, reverse=True):
        groups.setdefault(event.xbd_class, []).append(event)
    return dict(sorted(groups.items(), key=lambda item: -sum(map(_num_pairs, item[1]))))


def _num_pairs(event: Event) -> int:
    return sum(event.num_pairs.values())


def world_map(events: Mapping[str, Event]) -> Figure:
    """Mark events on a map, by class, with their names; a second panel where they crowd.

    Degrees of longitude and latitude are the axes. On the world they are equally long, which
    stretches the north; in the detail they are as on the ground at its middle.

    Args:
        events: by name, as from ``xbd.read_events``.

    Raises:
        ValueError: no events.
    """
    groups = _group_events(events)
    inside = {name: event for name, event in events.items() if _is_in(event, DETAIL)}
    inside = inside if len(inside) >= _CROWDED else {}
    outside = {name: event for name, event in events.items() if name not in inside}
    fig = plt.figure(figsize=(13, 9.4 if inside else 5.9))
    world = _add_map(fig, WORLD, (0.75, 4.75 if inside else 1.25, 12.05), stretch=1.0)
    west, east, south, north = DETAIL
    frame = [shapely.box(west, south, east, north).boundary] if inside else []
    _add_events(world, groups, outside, frame)
    if inside:
        style = {"facecolor": "none", "edgecolor": INK, "linestyle": "--", "linewidth": 1.2}
        world.add_patch(Rectangle((west, south), east - west, north - south, **style))
        stretch = 1 / np.cos(np.radians((south + north) / 2))
        detail = _add_map(fig, DETAIL, (0.75, 0.55, 6.5), stretch=stretch)
        _add_events(detail, groups, inside)
    _add_legend(fig, groups, is_wide=not inside)
    return finish(fig, say("plot.world_map", events=len(events)))


def _is_in(event: Event, extent: Extent) -> bool:
    west, east, south, north = extent
    return west < event.longitude < east and south < event.latitude < north


def _add_map(fig: Figure, extent: Extent, place: tuple, *, stretch: float) -> Axes:
    """Add a map at left, bottom and width in inches; ``stretch`` is that of the latitudes."""
    west, east, south, north = extent
    left, bottom, width = place
    height = width * stretch * (north - south) / (east - west)
    inches = np.array([*fig.get_size_inches()] * 2)
    ax = fig.add_axes(np.array([left, bottom, width, height]) / inches)
    style = {"facecolors": _LAND, "edgecolors": "#A79F8C", "linewidths": 0.5, "zorder": 0}
    ax.add_collection(PathCollection([polygon_path(read_land())], **style), autolim=False)
    ax.set(xlim=(west, east), ylim=(south, north), facecolor=_SEA)
    ax.set(xlabel=say("plot.longitude"), ylabel=say("plot.latitude"))
    ax.grid(color="#FFFFFF", linewidth=0.6)
    ax.set_axisbelow(True)
    return ax


def _add_events(
    ax: Axes,
    groups: Mapping[str, list[Event]],
    named: Mapping[str, Event],
    avoid: Sequence[shapely.Geometry] = (),
) -> None:
    """Mark events in the color and shape of their class, larger where a name stands beside."""
    for name, group in groups.items():
        style = {"marker": DISASTER_MARKERS[name], "color": DISASTER_COLORS[name]}
        for event in group:
            size = {"markersize": _SIZES[event.name in named], "zorder": 4}
            point = (event.longitude, event.latitude)
            ax.plot(*point, **style, **size, linestyle="none", markeredgecolor=INK)
    points = [(event.longitude, event.latitude) for event in named.values()]
    names = [plain(name) for name in named]
    place_names(ax, points, names, mark_size=1.35 * _SIZES[1], avoid=avoid)


def _add_legend(fig: Figure, groups: Mapping[str, list[Event]], *, is_wide: bool) -> None:
    """Name marks, with the events and pairs of each class."""
    marks, names = [], []
    for name, group in groups.items():
        style = {"marker": DISASTER_MARKERS[name], "color": DISASTER_COLORS[name]}
        marks.append(Line2D([], [], linestyle="none", markeredgecolor=INK, markersize=11, **style))
        numbers = {"events": len(group), "pairs": f"{sum(map(_num_pairs, group)):,}"}
        names.append(say("plot.class_size", name=class_name(name), **numbers))
    style = {"frameon": False, "fontsize": 12, "title": say("plot.class_size_title")}
    style |= {"alignment": "left", "title_fontproperties": {"size": 12, "weight": "bold"}}
    if is_wide:
        fig.legend(marks, names, loc="lower center", ncols=3, **style)
    else:
        fig.legend(marks, names, loc="center left", bbox_to_anchor=(0.6, 0.26), **style)
        fig.text(0.61, 0.075, say("plot.dashed_box"), fontsize=12, va="center", color=INK)


def event_counts(events: Mapping[str, Event]) -> Figure:
    """Draw the pairs of every event as a bar, stacked by split, grouped by class.

    Classes, and the events in them, come in order of their pairs. The axis is linear: stacked
    lengths add up on no other.

    Args:
        events: by name, as from ``xbd.read_events``.

    Raises:
        ValueError: no events.
    """
    groups = _group_events(events)
    rows, y = [], 0.0
    for group in groups.values():
        rows += [(y + i, event) for i, event in enumerate(group)]
        y += len(group) + _GAP
    heights = [height for height, _ in rows]
    size = (11, 0.29 * heights[-1] + 1.5)
    fig, axes = make_axes(1, 2, size, width_ratios=[1, 6], sharey=True)
    side, ax = axes[0]
    left = np.zeros(len(rows))
    for split, color in SPLIT_COLORS.items():
        pairs = np.array([event.num_pairs.get(split, 0) for _, event in rows])
        ax.barh(heights, pairs, left=left, color=color, edgecolor=INK, linewidth=0.5, label=split)
        left += pairs
    for height, total in zip(heights, left, strict=True):
        remark(ax, f"{total:,.0f}", (total, height), (4, 0))
    for name, group in groups.items():
        middle = np.mean([height for height, event in rows if event in group])
        style = {"color": DISASTER_COLORS[name], "marker": DISASTER_MARKERS[name], "markersize": 9}
        side.plot(0.1, middle, **style, markeredgecolor=INK, clip_on=False)
        side.text(0.2, middle, class_name(name), va="center", weight="bold", fontsize=11)
    side.set(xlim=(0, 1), xticks=[], frame_on=False)
    side.tick_params(axis="y", left=False, labelleft=False)
    ax.set_yticks(heights, [plain(event.name) for _, event in rows], fontsize=11)
    ax.tick_params(axis="y", labelleft=True)
    ax.set(xlabel=say("plot.pairs"), ylim=(heights[-1] + 0.6, -0.6), xlim=(0, 1.08 * left.max()))
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(title=say("plot.split"), loc="lower right", fontsize=11, title_fontsize=11)
    return finish(fig, say("plot.event_counts", pairs=f"{left.sum():,.0f}", events=len(rows)))


def damage_imbalance(counts: Counts) -> Figure:
    """Draw the share of each damage level in every event, with the absolute numbers beside it.

    Shares, because they are what a classifier meets and what a lazy one gets for always giving the
    same answer; on a log axis stacked lengths mean nothing. But shares hide that a sliver may be
    three buildings, so the numbers are written. The event with least intact buildings comes first.

    Args:
        counts: buildings by event and damage level.

    Raises:
        ValueError: nothing to count, or a negative count.
    """
    rows = _with_buildings(counts)
    intact = {n: row.get(DamageLevel.NO_DAMAGE, 0) / sum(row.values()) for n, row in rows.items()}
    names = sorted(rows, key=intact.get)
    table = np.array([[rows[name].get(level, 0) for level in DAMAGE_COLORS] for name in names])
    fig, axes = make_axes(1, 2, (13, 0.32 * len(names) + 1.6), width_ratios=[6, 6])
    ax, side = axes[0]
    _stack(ax, table, list(DAMAGE_COLORS.values()), [class_name(name) for name in names])
    for x, (level, color) in enumerate(DAMAGE_COLORS.items(), start=1):
        _write_column(side, x, table[:, x - 1], (say(f"damage.{level.name.lower()}.short"), color))
    _write_column(side, len(DAMAGE_COLORS) + 1, table.sum(axis=1), (say("plot.total"), "#FFFFFF"))
    side.set(xlim=(0.2, len(DAMAGE_COLORS) + 1), ylim=ax.get_ylim())
    side.set_axis_off()
    ax.set_xlabel(say("plot.building_share"))
    return finish(fig, say("plot.damage_by_event", buildings=f"{table.sum():,}"))


def damage_by_type(counts: Counts) -> Figure:
    """Draw of which disasters the buildings of each damage level are: the rows the other way.

    A level that comes from one or two types of disaster only cannot be told from these types: a
    classifier may learn ash or mud in place of ruins.

    Args:
        counts: buildings by event of xBD and damage level.

    Raises:
        ValueError: nothing to count, a negative count, or an event that xBD does not have.
    """
    classes: dict[str, Counter] = {}
    for event, row in _with_buildings(counts).items():
        classes.setdefault(class_of(event), Counter()).update(row)
    levels = [level for level in DAMAGE_COLORS if any(row.get(level) for row in classes.values())]
    names = [name for name in DISASTER_COLORS if name in classes]
    table = np.array([[classes[name].get(level, 0) for name in names] for level in levels])
    fig, ax = make_ax(11, 0.55 * len(levels) + 1.9)
    labels = [
        f"{level_name(level)}\nn = {n:,}" for level, n in zip(levels, table.sum(1), strict=True)
    ]
    _stack(ax, table, [DISASTER_COLORS[name] for name in names], labels, words=True)
    ax.set_xlabel(say("plot.level_share"))
    colors = {class_name(name): DISASTER_COLORS[name] for name in names}
    handles = [Patch(fc=fc, ec=INK, lw=0.5, label=name) for name, fc in colors.items()]
    caption = say("plot.damage_by_type", buildings=f"{table.sum():,}")
    return finish(fig, caption, legend=handles, ncols=6)


def _with_buildings(counts: Counts) -> dict[str, Mapping[DamageLevel, int]]:
    """Keep the rows that have buildings."""
    if any(count < 0 for row in counts.values() for count in row.values()):
        raise ValueError("expected counts of 0 or more")
    rows = {name: row for name, row in counts.items() if sum(row.values())}
    if not rows:
        raise ValueError("no buildings to count")
    return rows


def _stack(
    ax: Axes, table: np.ndarray, colors: Sequence[str], names: Sequence[str], *, words: bool = False
) -> None:
    """Stack the shares of each row into a bar, in percent; with words in parts that have room."""
    left = np.zeros(len(table))
    for shares, color in zip(100 * table.T / table.sum(axis=1), colors, strict=True):
        ax.barh(range(len(table)), shares, left=left, color=color, edgecolor=INK, linewidth=0.5)
        for y, share in enumerate(shares):
            if words and share >= 4:
                style = {"ha": "center", "va": "center", "color": on_color(color), "fontsize": 11}
                ax.text(left[y] + share / 2, y, f"{share:.0f}", **style)
        left += shares
    ax.set_xlim(0, 100)
    name_rows(ax, names)
    ax.spines[["top", "right"]].set_visible(False)


def _write_column(ax: Axes, x: int, numbers: np.ndarray, head: tuple[str, str]) -> None:
    """Write numbers beside the bars, under a word on its color."""
    for y, number in enumerate(numbers):
        ax.text(x, y, f"{number:,}", ha="right", va="center", fontsize=11)
    words, color = head
    box = {"facecolor": color, "edgecolor": INK, "linewidth": 0.5, "boxstyle": "square,pad=0.25"}
    style = {"ha": "right", "va": "bottom", "multialignment": "center", "color": on_color(color)}
    remark(ax, words, (x, -0.55), (0, 5), fontsize=11, annotation_clip=False, bbox=box, **style)


def building_sizes(areas: Mapping[str, Float[np.ndarray, " _n"]], *, caption: str = "") -> Figure:
    """Draw the footprints of buildings by class: dots, quartiles, and the median written.

    The axis is logarithmic: sheds and halls differ a thousandfold. Of a large class evenly spaced
    ranks are drawn as dots; quartiles and median are those of all.

    Args:
        areas: ground area in m² of each building, by class, "volcano" or "volcano, real" (or by any
            other name).
        caption: said above.

    Raises:
        ValueError: no class has a building, or an area is not finite and above 0.
    """
    if not any(len(values) for values in areas.values()):
        raise ValueError("no buildings to measure")
    if any((~np.isfinite(values) | (values <= 0)).any() for values in areas.values()):
        raise ValueError("areas must be finite and above 0 m²; leave empty polygons out")
    fig, ax = make_ax(11, 0.62 * len(areas) + 1.2, caption)
    ax.set_xscale("log")
    name_rows(ax, [class_name(name) for name in areas])
    for y, (name, values) in enumerate(areas.items()):
        if len(values):
            color = DISASTER_COLORS.get(name.partition(",")[0], PALE)
            _draw_sizes(ax, y, np.sort(values), color)
        else:
            ax.text(0.01, y, say("plot.no_buildings"), transform=ax.get_yaxis_transform())
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    tidy(ax, say("plot.area"), grid="x")
    return finish(fig, caption)


def _draw_sizes(ax: Axes, y: int, areas: np.ndarray, color: str) -> None:
    """Draw one class: dots over the row, a box from quartile to quartile, the median's value."""
    ranks = np.unique(np.linspace(0, len(areas) - 1, _NUM_DOTS).round().astype(int))
    heights = y + 0.3 * np.sin(2.4 * np.arange(len(ranks)))  # scattered, the same every time
    ax.scatter(areas[ranks], heights, s=9, color=color, alpha=0.7, linewidth=0)
    low, median, high = np.percentile(areas, [25, 50, 75])
    box = {"facecolor": "none", "edgecolor": INK, "linewidth": 1.4}
    ax.add_patch(plt.Rectangle((low, y - 0.36), high - low, 0.72, **box))
    ax.plot([median] * 2, [y - 0.36, y + 0.36], color=INK, linewidth=3)
    words = say("plot.median", median=f"{median:,.0f}", num=f"{len(areas):,}")
    ax.annotate(words, (1.01, y), xycoords=ax.get_yaxis_transform(), va="center", fontsize=11)


def acquisitions(
    pairs: Mapping[str, Sequence[tuple[Metadata, Metadata]]], *, caption: str = ""
) -> Figure:
    """Draw how the images were taken: view angle, height of the sun, date; before → after.

    Three panels with a row for every event and a line for every scene in it, from a hollow mark
    (before) to a filled one (after). What a file does not state is left out.

    Args:
        pairs: metadata before and after, of each scene, by event.
        caption: said above.

    Raises:
        ValueError: no scenes.
    """
    pairs = {name: scenes for name, scenes in pairs.items() if len(scenes)}
    if not pairs:
        raise ValueError("no scenes to show")
    fig, axes = make_axes(1, 3, (13, 0.38 * len(pairs) + 1.7), caption=caption, sharey=True)
    fields = ("off_nadir_angle", "sun_elevation", "capture_date")
    for ax, field in zip(axes[0], fields, strict=True):
        for y, scenes in enumerate(pairs.values()):
            _draw_changes(ax, y, [[getattr(data, field) for data in pair] for pair in scenes])
        tidy(ax, say(f"plot.{field}"), grid="x")
        ax.tick_params(axis="y", length=0)
    angle, _, date = axes[0]
    angle.set_xlim(left=min(0, angle.get_xlim()[0]))
    dates = AutoDateLocator(minticks=3, maxticks=6)
    date.xaxis.set_major_locator(dates)
    date.xaxis.set_major_formatter(ConciseDateFormatter(dates))
    name_rows(angle, [class_name(name) for name in pairs])
    handles = [angle.plot([], [], label=say(key), **look)[0] for key, look in _ENDS.items()]
    return finish(fig, caption, legend=handles)


_DOT = {"marker": "o", "linestyle": "none", "color": INK, "markersize": 6, "zorder": 2}
_ENDS = {"plot.before": _DOT | {"markerfacecolor": "#FFFFFF"}, "plot.after": _DOT}


def _draw_changes(ax: Axes, y: int, changes: Sequence[Sequence]) -> None:
    """Draw the scenes of one event above each other, each from before to after."""
    num = len(changes)
    heights = y + _SPREAD * (np.arange(num) - (num - 1) / 2) / max(1, (num - 1) / 2)
    for height, pair in zip(heights, changes, strict=True):
        # all clocks of the files are UTC; some say so, and matplotlib must not mix the two kinds
        ends = [v.replace(tzinfo=None) if isinstance(v, datetime) else v for v in pair]
        if None not in ends:
            ax.plot(ends, [height] * 2, color="#999999", linewidth=1.2, zorder=1)
        for value, look in zip(ends, _ENDS.values(), strict=True):
            if value is not None:
                ax.plot(value, height, **look)
