"""Published accuracies, each with the protocol that it was measured by."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_utils.plots.diffusion import COLORS, tidy
from course_utils.plots.placing import place_names
from course_utils.plots.style import INK, finish, plain, say, shorten
from course_utils.plots.sweeps import head_inches

_PROTOCOLS = {
    "ImageNet-1k only": ("#0072B2", "o"),
    "pretrained, then fine-tuned": ("#D55E00", "s"),
    "pretrained, then frozen": ("#CC79A7", "D"),
    "zero-shot": ("#009E73", "*"),
}
_OTHER = ("#666666", "P")
_MARKERS = ("o", "s", "^", "D", "v", "P")
_BAND = 0.4  # half the height of the band of a set of weights, of a line
_WIDTH, _LEFT, _RIGHT, _BELOW = 12.5, 0.75, 0.2, 1.15  # inches of the timeline and its margins


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
    dates = [int(row["year"]) + (int(row["month"]) - 0.5) / 12 for row in rows]
    tops = [float(row["top1"]) for row in rows]
    if not all(1 <= int(row["month"]) <= 12 for row in rows) or not _are_percent(tops):
        raise ValueError("expected months from 1 to 12 and accuracies in percent, 0 … 100")
    height = 7.0 + head_inches(caption)
    size = (_WIDTH - _LEFT - _RIGHT, 7.0 - _BELOW - 0.1)
    fig = Figure(figsize=(_WIDTH, height))  # unknown to pyplot: nothing stays open if a name fails
    place = (_LEFT / _WIDTH, _BELOW / height, size[0] / _WIDTH, size[1] / height)
    ax = fig.add_axes(place)
    ax.set(xlim=(int(min(dates)) - 0.2, int(max(dates)) + 1.2))
    ax.set(ylim=(min(tops) - 3, max(tops) + 2.5))
    protocols = [*_PROTOCOLS, *(row["protocol"] for row in rows)]
    for protocol in dict.fromkeys(protocols):
        _draw_protocol(ax, protocol, rows, dates, tops)
    names = [shorten(row["name"], 24) for row in rows]
    points = list(zip(dates, tops, strict=True))
    place_names(
        ax, points, names, bold=[False] * len(rows), mark_sizes=[12.0] * len(rows), fontsize=11.5
    )
    ax.set_xticks(range(int(min(dates)), int(max(dates)) + 2))
    ax.set_xlabel(say("plot.first_published_any"), fontsize=12)
    ax.set_ylabel(say("plot.imagenet_top1"), fontsize=12)
    ax.tick_params(labelsize=11)
    tidy(ax)
    fig.legend(loc="lower center", ncols=2, frameon=False, fontsize=12)
    return finish(fig, caption)


def check_rows(rows: Sequence[Mapping], needed: Sequence[str]) -> None:
    """Check that there are rows and each has what a figure needs.

    Raises:
        ValueError: there are none, or one lacks an entry.
    """
    if not rows:
        raise ValueError("no rows to show; see data/published")
    for row in rows:
        if missing := [key for key in needed if key not in row]:
            raise ValueError(f"a row lacks {', '.join(missing)}; it has {', '.join(row)}")


def _are_percent(values: Sequence[float]) -> bool:
    return all(0 <= value <= 100 for value in values)  # false for NaN


def _draw_protocol(
    ax: Axes,
    protocol: str,
    rows: Sequence[Mapping],
    dates: Sequence[float],
    tops: Sequence[float],
) -> None:
    """Mark what was measured by one protocol; nothing if no row was."""
    chosen = [i for i, row in enumerate(rows) if row["protocol"] == protocol]
    if not chosen:
        return
    color, marker = _PROTOCOLS.get(protocol, _OTHER)
    label = say(f"protocol.{protocol}") if protocol in _PROTOCOLS else plain(protocol)
    style = {"markersize": 17 if marker == "*" else 11, "markeredgecolor": "white", "zorder": 3}
    x, y = ([values[i] for i in chosen] for values in (dates, tops))
    ax.plot(x, y, marker, color=color, label=label, **style)


def plot_zero_shot_published(
    rows: Sequence[Mapping],
    *,
    data_sets: Sequence[str] = ("EuroSAT",),
    model: str = "CLIP",
    caption: str = "",
) -> Figure:
    """Draw how far apart published zero-shot accuracies of the same weights are, by who measured.

    Args:
        rows: with ``model``, ``architecture``, ``pretraining``, ``data``, ``top1`` (%),
            ``reported_by`` and ``protocol``, as in ``data/published/clip_zero_shot.csv``.
        data_sets: values of ``data``, a panel each.
        model: value of ``model``. Weights that only one source measured are left out.
        caption: said above.

    Raises:
        ValueError: no rows, one without a needed entry, or a data set for which no weights were
            measured twice.
    """
    key = ("model", "architecture", "pretraining", "data")
    check_rows(rows, (*key, "top1", "reported_by", "protocol"))
    panels = [_measured_twice(rows, model, data) for data in data_sets]
    for data, panel in zip(data_sets, panels, strict=True):
        if not panel:
            raise ValueError(f"no weights of {model!r} were measured twice on {data!r}")
    sources = dict.fromkeys(
        (row["reported_by"], row["protocol"])
        for panel in panels
        for some in panel.values()
        for row in some
    )
    styles = {source: i for i, source in enumerate(sources)}
    num_lines = max(map(len, panels))
    size = (min(12.5, 5.5 * len(panels) + 3), 0.95 * num_lines + 1.1 + 0.3 * len(sources))
    height = size[1] + head_inches(caption)
    fig, axes = plt.subplots(
        1, len(panels), figsize=(size[0], height), squeeze=False, layout="constrained"
    )
    for ax, data, panel in zip(axes[0], data_sets, panels, strict=True):
        for y, some in enumerate(panel.values()):
            _draw_spread(ax, y, some, styles)
        labels = [_spread_label(name, some) for name, some in panel.items()]
        ax.set_yticks(range(len(panel)), labels, fontsize=12)
        ax.set_ylim(len(panel) - 0.45, -0.55)
        ax.margins(x=0.13)
        ax.set_title(plain(data), fontsize=13)
        ax.set_xlabel(say("plot.zero_shot_top1"), fontsize=12)
        tidy(ax)
    marks = [_legend_mark(axes[0, 0], source, i) for source, i in styles.items()]
    fig.legend(handles=marks, loc="outside lower center", frameon=False, fontsize=11)
    return finish(fig, caption)


def _measured_twice(rows: Sequence[Mapping], model: str, data: str) -> dict[str, list[Mapping]]:
    """Group the rows of a model on a data set by their weights, if two sources or more have them.

    Returns:
        Rows by the name of the weights: the architecture, and what it was pretrained on if two
        sets of weights share an architecture.
    """
    chosen = [row for row in rows if row["model"] == model and row["data"] == data]
    groups: dict[tuple[str, str], list[Mapping]] = {}
    for row in chosen:
        groups.setdefault((str(row["architecture"]), str(row["pretraining"])), []).append(row)
    groups = {key: some for key, some in groups.items() if len(some) > 1}
    architectures = [architecture for architecture, _ in groups]
    return {
        name if architectures.count(name) == 1 else f"{name}, {pretraining}": some
        for (name, pretraining), some in groups.items()
    }


def _draw_spread(
    ax: Axes, y: int, rows: Sequence[Mapping], styles: Mapping[tuple[str, str], int]
) -> None:
    """Draw the numbers of one set of weights below each other, on a band from least to most."""
    rows = sorted(rows, key=lambda row: float(row["top1"]))
    tops = [float(row["top1"]) for row in rows]
    band = {"color": "#EDEDED", "zorder": 0, "linewidth": 0}
    ax.fill_betweenx([y - _BAND, y + _BAND], tops[0], tops[-1], **band)
    heights = y + (np.arange(len(rows)) - (len(rows) - 1) / 2) * 2 * _BAND / len(rows)
    for row, x, height in zip(rows, tops, heights, strict=True):
        i = styles[row["reported_by"], row["protocol"]]
        ax.plot(x, height, _MARKERS[i % len(_MARKERS)], color=COLORS[i % len(COLORS)], markersize=9)
        style = {"textcoords": "offset points", "va": "center", "fontsize": 10, "color": INK}
        ax.annotate(f"{x:g}", (x, height), (8, 0), **style)


def _spread_label(name: str, rows: Sequence[Mapping]) -> str:
    tops = [float(row["top1"]) for row in rows]
    return plain(name) + "\n" + say("plot.points_apart", points=f"{max(tops) - min(tops):.1f}")


def _legend_mark(ax: Axes, source: tuple[str, str], index: int) -> plt.Line2D:
    marker, color = _MARKERS[index % len(_MARKERS)], COLORS[index % len(COLORS)]
    label = plain(": ".join(source))
    return ax.plot([], [], marker, color=color, markersize=11, label=label)[0]
