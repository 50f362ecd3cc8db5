"""Where the disasters were: events on a map of the world."""

from collections.abc import Collection, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import shapely
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from course_utils.plots.counts import group_events
from course_utils.plots.pairs import polygon_path
from course_utils.plots.placing import place_names
from course_utils.plots.style import (
    DISASTER_COLORS,
    DISASTER_MARKERS,
    INK,
    class_name,
    finish,
    plain,
    say,
)
from course_utils.xbd.events import Event, read_land

WORLD = (-180.0, 180.0, -50.0, 75.0)  # west, east, south, north in degrees
DETAIL = (-127.0, -62.0, 11.0, 43.0)  # where most events of xBD are
Extent = tuple[float, float, float, float]
_LAND, _SEA = "#E4DFD3", "#F5F9FC"
_CROWDED = 3  # events in the detail, from which on it gets a panel of its own
_SIZES = (6.0, 9.5)  # of marks, in points: without and with a name beside
_RING = 18.0


def world_map(
    events: Mapping[str, Event], *, class_map: str = "xbd", highlight: Collection[str] = ()
) -> Figure:
    """Mark events on a map, by class, with their names; a second panel where they crowd.

    Degrees of longitude and latitude are the axes. On the world they are equally long, which
    stretches the north; in the detail they are as on the ground at its middle.

    Args:
        events: by name, as from ``xbd.read_events``.
        class_map: "xbd" or "course", which differ for hurricanes Florence and Michael.
        highlight: names to write bold, with a ring round their mark.

    Raises:
        ValueError: no events, another class map, or an unknown name to highlight.
    """
    groups = group_events(events, class_map)
    unknown = sorted(set(highlight) - events.keys())
    if unknown:
        raise ValueError(f"no event {', '.join(unknown)}; the events are {', '.join(events)}")
    inside = {name: event for name, event in events.items() if _is_in(event, DETAIL)}
    inside = inside if len(inside) >= _CROWDED else {}
    fig = plt.figure(figsize=(13, 9.4 if inside else 5.9))
    world = _add_axes(fig, WORLD, (0.75, 4.75 if inside else 1.25, 12.05), stretch=1.0)
    _add_marks(world, groups, highlight, named=events.keys() - inside.keys())
    west, east, south, north = DETAIL
    frame = [shapely.box(west, south, east, north).boundary] if inside else []
    outside = [event for name, event in events.items() if name not in inside]
    _add_names(world, outside, highlight, frame)
    if inside:
        _frame_detail(world)
        stretch = 1 / np.cos(np.radians((DETAIL[2] + DETAIL[3]) / 2))
        detail = _add_axes(fig, DETAIL, (0.75, 0.55, 6.5), stretch=stretch)
        _add_marks(detail, groups, highlight, named=inside.keys())
        _add_names(detail, list(inside.values()), highlight)
    _add_legend(fig, groups, is_wide=not inside)
    return finish(fig, say("plot.world_map", events=len(events)))


def _is_in(event: Event, extent: Extent) -> bool:
    west, east, south, north = extent
    return west < event.longitude < east and south < event.latitude < north


def _add_axes(fig: Figure, extent: Extent, place: tuple, *, stretch: float) -> Axes:
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


def _add_marks(
    ax: Axes, groups: Mapping[str, list[Event]], highlight: Collection[str], *, named: Collection
) -> None:
    """Mark events in the color and shape of their class, larger where a name stands beside."""
    for name, group in groups.items():
        for event in group:
            style = {
                "marker": DISASTER_MARKERS[name],
                "markersize": _SIZES[event.name in named],
                "color": DISASTER_COLORS[name],
                "markeredgecolor": INK,
                "linestyle": "none",
            }
            ax.plot(event.longitude, event.latitude, **style, zorder=4)
            if event.name in highlight and event.name in named:
                ring = {"marker": "o", "markersize": _RING, "markeredgewidth": 2}
                ring |= {"markerfacecolor": "none", "markeredgecolor": INK}
                ax.plot(event.longitude, event.latitude, **ring, zorder=3)


def _add_names(
    ax: Axes, events: list[Event], highlight: Collection[str], avoid: Sequence = ()
) -> None:
    bold = [event.name in highlight for event in events]
    place_names(
        ax,
        [(event.longitude, event.latitude) for event in events],
        [plain(event.name) for event in events],
        bold=bold,
        mark_sizes=[_RING if is_bold else 1.35 * _SIZES[1] for is_bold in bold],
        fontsize=11.0,
        avoid=avoid,
    )


def _frame_detail(ax: Axes) -> None:
    west, east, south, north = DETAIL
    style = {"facecolor": "none", "edgecolor": INK, "linestyle": "--", "linewidth": 1.2}
    ax.add_patch(Rectangle((west, south), east - west, north - south, **style))


def _add_legend(fig: Figure, groups: Mapping[str, list[Event]], *, is_wide: bool) -> None:
    """Name marks, with the events and pairs of each class."""
    marks, names = [], []
    for name, group in groups.items():
        style = {"marker": DISASTER_MARKERS[name], "color": DISASTER_COLORS[name]}
        marks.append(Line2D([], [], linestyle="none", markeredgecolor=INK, markersize=11, **style))
        pairs = sum(sum(event.num_pairs.values()) for event in group)
        numbers = {"events": len(group), "pairs": f"{pairs:,}"}
        names.append(say("plot.class_size", name=class_name(name), **numbers))
    style = {"frameon": False, "fontsize": 12, "title": say("plot.class_size_title")}
    style |= {"alignment": "left", "title_fontproperties": {"size": 12, "weight": "bold"}}
    if is_wide:
        fig.legend(marks, names, loc="lower center", ncols=3, **style)
    else:
        fig.legend(marks, names, loc="center left", bbox_to_anchor=(0.6, 0.26), **style)
        fig.text(0.61, 0.075, say("plot.dashed_box"), fontsize=12, va="center", color=INK)
