"""Points with names that never overlap; papers and models over the years."""

from collections.abc import Mapping, Sequence

import numpy as np
import shapely
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_utils.plots.style import (
    BAND,
    FAMILY_STYLES,
    INK,
    OTHER_STYLE,
    PROTOCOL_STYLES,
    Number,
    Pair,
    check_rows,
    finish,
    head_inches,
    plain,
    say,
    shorten,
    tidy,
)

_DISTANCES = (2.5, 7, 13, 21, 32, 46, 64, 86, 115, 150)  # points from mark to name, near to far
_NUM_DIRECTIONS = 24
_PADDING = 2.5  # points free around every name
_CLEAR = 7.0  # more points free around the marks of others, so that nobody reads a name as theirs
_CROWD = 100  # points; points nearer than this compete for room
_NEAR = 8  # points; names that are nearer need no leader line
_LINE = {"arrowstyle": "-", "color": INK, "linewidth": 0.7, "shrinkA": 0, "shrinkB": 0}


def place_names(
    ax: Axes,
    points: Sequence[Pair],
    names: Sequence[str],
    *,
    mark_size: Number,
    fontsize: float = 11.0,
    weight: str = "normal",
    avoid: Sequence[shapely.Geometry] = (),
    upright: bool = False,
) -> None:
    """Write a name beside each point so that none covers a name, a mark or another's line.

    Greedy: the most crowded point chooses first, each the nearest place that is free. The axes
    must have their final limits and position, for overlap is measured as drawn.

    Args:
        ax: axes whose limits and size are final.
        points: in data coordinates.
        names: one for each point.
        mark_size: width of a mark, in points of the print.
        fontsize: in points of the print.
        weight: of the font.
        avoid: what no name may cover, in data coordinates.
        upright: try above and below a point before its sides, also right above other marks.

    Raises:
        ValueError: a name finds no place; the axes are too small for so many.
    """
    scale = 72 / ax.figure.dpi  # points per pixel

    def to_print(xy: np.ndarray) -> np.ndarray:
        return ax.transData.transform(xy) * scale

    anchors = to_print(np.array(points, dtype=float).reshape(-1, 2))
    style = {"fontsize": fontsize, "weight": weight}
    sizes = [_measure(ax, name, style) * scale for name in names]
    room = shapely.box(*(np.array(ax.bbox.extents) * scale))
    gaps = np.linalg.norm(anchors[:, None] - anchors[None], axis=-1)
    radius = mark_size / 2
    marks = shapely.buffer(shapely.points(anchors), radius)
    borders = [shapely.transform(shape, to_print) for shape in avoid]
    written: list[shapely.Geometry] = []
    for i in np.argsort(-(gaps < _CROWD).sum(axis=0), kind="stable").tolist():
        others = marks[gaps[i] > radius]  # not its own mark, nor one that hides under it
        crossed = shapely.union_all([*others, *written])
        around = shapely.buffer(others, 0 if upright else _CLEAR)
        covered = shapely.union_all([*around, *written, *borders])
        wanted = (anchors[i], sizes[i], radius)
        found = _find_place(wanted, covered, crossed, room, upright=upright)
        if found is None:
            raise ValueError(f"no free place for {names[i]!r}: show fewer names or a larger figure")
        offset, shapes = found
        written += shapes
        line = _LINE if len(shapes) == 2 else None
        place = {"xytext": tuple(offset), "textcoords": "offset points", "arrowprops": line}
        ax.annotate(names[i], points[i], **place, ha="center", va="center", **style)


def _measure(ax: Axes, name: str, style: dict) -> np.ndarray:
    """Give width and height of a name as it will be drawn, in pixels."""
    text = ax.text(0, 0, name, **style)
    extent = text.get_window_extent()
    text.remove()
    return np.array([extent.width, extent.height])


def _find_place(
    wanted: tuple[np.ndarray, np.ndarray, float],
    covered: shapely.Geometry,
    crossed: shapely.Geometry,
    room: shapely.Polygon,
    *,
    upright: bool,
) -> tuple[np.ndarray, list[shapely.Geometry]] | None:
    """Try all directions at growing distance from a point, for its name's size, off its mark.

    Names stay in the room and off what is covered, leader lines off what must not be crossed.

    Returns:
        From the point to the middle of the name, and what it covers: a box, and a leader line if
        it is far away. None if no place is free.
    """
    anchor, size, radius = wanted
    shapely.prepare([covered, crossed])
    angles = 2 * np.pi * np.arange(_NUM_DIRECTIONS) / _NUM_DIRECTIONS
    directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    away = np.abs(directions[:, 0 if upright else 1])
    for distance in _DISTANCES:
        for direction in directions[np.argsort(away.round(9), kind="stable")]:
            offset = direction * (radius + distance) + np.sign(direction.round(6)) * size / 2
            box = shapely.box(*(anchor + offset - size / 2), *(anchor + offset + size / 2))
            box = box.buffer(_PADDING, join_style="mitre")
            if not room.contains(box) or covered.intersects(box):
                continue
            if distance <= _NEAR and not upright:
                return offset, [box]
            line = shapely.LineString([anchor, anchor + offset]).difference(box)
            if not crossed.intersects(line):
                return offset, [box, line.buffer(1)]
    return None


# --- Time ----------------------------------------------------------------------------------------

_WIDTH, _LEFT, _RIGHT, _BELOW = 12.5, 1.65, 0.3, 0.62  # inches: figure and margins
_LANE, _MORE = 0.66, 0.16  # inches: a lane, and what each more paper of a year takes
_APART = 0.13  # inches from mark to mark, at least: papers of one month lie beside each other


def plot_timeline(rows: Sequence[Mapping], *, caption: str = "") -> Figure:
    """Draw papers along the years, in lanes by family, so that no name covers another.

    Marks that would hide each other are moved apart, by a month or two.

    Args:
        rows: with ``name``, ``year``, ``month`` (1 … 12, of the first version) and ``family``, as
            in ``data/published/generative_timeline.csv``; the lanes come in the order in which the
            families first appear in time, "remote sensing" last.
        caption: said above.

    Raises:
        ValueError: no rows, a row lacks an entry, a month is none, or a name finds no place.
    """
    check_rows(rows, ("name", "year", "month", "family"))
    dates = _dates(rows)
    first, last = int(min(dates)), int(max(dates)) + 1
    scale = (_WIDTH - _LEFT - _RIGHT) / (last - first + 0.8)  # inches a year
    lanes: dict[str, list[tuple[float, str]]] = {}
    for date, row in sorted(zip(dates, rows, strict=True), key=lambda pair: pair[0]):
        lane = lanes.setdefault(row["family"], [])
        lane.append((max(date, lane[-1][0] + _APART / scale if lane else date), plain(row["name"])))
    order = sorted(lanes, key=lambda family: family == "remote sensing")
    heights = [_LANE + _MORE * _crowd(lanes[family]) for family in order]
    size = (_WIDTH - _LEFT - _RIGHT, sum(heights))
    fig, ax = _make_axes(size, (_LEFT, _BELOW), (_RIGHT, 0.1), caption)
    ax.set(xlim=(first - 0.3, last + 0.5), ylim=(sum(heights), 0))
    top = 0.0
    for i, (family, height) in enumerate(zip(order, heights, strict=True)):
        ax.axhspan(top, top + height, color=BAND if i % 2 == 0 else "white", linewidth=0, zorder=0)
        _draw_lane(ax, family, lanes[family], (top, top + height))
        top += height
    ax.set_xticks(range(first, last + 1))
    ax.tick_params(axis="x", labelsize=11)
    ax.set_yticks([])
    tidy(ax, say("plot.first_published"), grid="x")
    ax.spines["left"].set_visible(False)
    return finish(fig, caption)


def _dates(rows: Sequence[Mapping]) -> list[float]:
    """Give dates in years; a file gives its numbers as text."""
    if wrong := [row["month"] for row in rows if not 1 <= int(row["month"]) <= 12]:
        raise ValueError(f"expected months from 1 to 12, got {wrong[0]}")
    return [int(row["year"]) + (int(row["month"]) - 0.5) / 12 for row in rows]


def _crowd(lane: Sequence[tuple[float, str]]) -> int:
    """Count how many more papers there are in the fullest year of a lane."""
    return max(sum(0 <= other - date < 1 for other, _ in lane) for date, _ in lane) - 1


def _make_axes(size: Pair, low: Pair, high: Pair, caption: str) -> tuple[Figure, Axes]:
    """Make axes of a size in inches between margins: left and bottom, right and top."""
    width = low[0] + size[0] + high[0]
    height = low[1] + size[1] + high[1] + head_inches(caption)
    fig = Figure(figsize=(width, height))  # unknown to pyplot: nothing stays open if a name fails
    place = (low[0] / width, low[1] / height, size[0] / width, size[1] / height)
    return fig, fig.add_axes(place)


def _draw_lane(
    ax: Axes, family: str, lane: Sequence[tuple[float, str]], sides: tuple[float, float]
) -> None:
    """Draw the marks of a family on a line, their names beside it and its own name at the left."""
    color, marker = FAMILY_STYLES.get(family, OTHER_STYLE)
    first, last = ax.get_xlim()
    middle = sum(sides) / 2
    dates = [date for date, _ in lane]
    ax.plot([dates[0], last], [middle] * 2, color=color, linewidth=1.5, alpha=0.35)
    size = 12 if marker == "*" else 9
    style = {"color": color, "markersize": size, "markeredgecolor": "white", "zorder": 3}
    ax.plot(dates, [middle] * len(lane), marker, **style)
    place_names(
        ax,
        [(date, middle) for date in dates],
        [name for _, name in lane],
        mark_size=size,
        weight="bold" if family == "remote sensing" else "normal",
        avoid=[shapely.LineString([(first, y), (last, y)]) for y in (sides[0], middle, sides[1])],
        upright=True,
    )
    words = say(f"family.{family}") if family in FAMILY_STYLES else plain(family)
    style = {"ha": "right", "va": "center", "fontsize": 12, "weight": "bold", "color": color}
    ax.annotate(words, (-0.008, middle), xycoords=ax.get_yaxis_transform(), **style)


def plot_accuracy_timeline(rows: Sequence[Mapping], *, caption: str = "") -> Figure:
    """Draw published accuracies over the years; a mark of its own for each protocol, and no line.

    A number without training images and one with fine-tuning are no two points of one curve.

    Args:
        rows: with ``name``, ``year``, ``month`` (1 … 12), ``top1`` (%) and ``protocol``, as in
            ``data/published/imagenet_timeline.csv``.
        caption: said above.

    Raises:
        ValueError: no rows, one without a needed entry or outside its range, or more names than
            find a place.
    """
    check_rows(rows, ("name", "year", "month", "top1", "protocol"))
    dates, tops = _dates(rows), [float(row["top1"]) for row in rows]
    if not all(0 <= top <= 100 for top in tops):  # false for NaN
        raise ValueError("expected accuracies in percent, 0 … 100")
    fig, ax = _make_axes((11.55, 5.75), (0.75, 1.15), (0.2, 0.1), caption)
    ax.set(xlim=(int(min(dates)) - 0.2, int(max(dates)) + 1.2))
    ax.set(ylim=(min(tops) - 3, max(tops) + 2.5))
    for protocol in dict.fromkeys([*PROTOCOL_STYLES, *(row["protocol"] for row in rows)]):
        chosen = [i for i, row in enumerate(rows) if row["protocol"] == protocol]
        if not chosen:
            continue
        color, marker = PROTOCOL_STYLES.get(protocol, OTHER_STYLE)
        label = say(f"protocol.{protocol}") if protocol in PROTOCOL_STYLES else plain(protocol)
        style = {"markersize": 17 if marker == "*" else 11, "markeredgecolor": "white", "zorder": 3}
        x, y = ([values[i] for i in chosen] for values in (dates, tops))
        ax.plot(x, y, marker, color=color, label=label, **style)
    names = [shorten(row["name"], 24) for row in rows]
    points = list(zip(dates, tops, strict=True))
    place_names(ax, points, names, mark_size=12.0, fontsize=11.5)
    ax.set_xticks(range(int(min(dates)), int(max(dates)) + 2))
    ax.tick_params(labelsize=11)
    tidy(ax, say("plot.first_published_any"), say("plot.imagenet_top1"))
    fig.legend(loc="lower center", ncols=2, frameon=False, fontsize=12)
    return finish(fig, caption)
