"""Published results beside ours: each with the protocol that it was measured by."""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_utils.plots.style import (
    BAND,
    INK,
    LINE_COLORS,
    PALE,
    SOURCE_COLORS,
    check_rows,
    finish,
    group_by,
    head_inches,
    line_style,
    make_axes,
    name_rows,
    plain,
    remark,
    say,
    tidy,
)

_SYNTHETIC_GROUND = "#FDF1DC"  # behind what is ours or synthetic
_CLIPS = (("clip_alone", INK, "o"), ("clip_syn", SOURCE_COLORS["synthetic"], "s"))


def plot_published(
    published: Sequence[Mapping], ours: Sequence[Mapping], *, note: str, caption: str = ""
) -> Figure:
    """Draw published numbers on the left and ours on the right, with why nobody may compare them.

    Every number has an axis of its own kind: a bar on the left says nothing about one on the right.

    Args:
        published: rows with ``system``, ``metric``, ``value``, ``unit`` ("" for none) and
            ``better`` ("lower" or "higher"), as in ``data/published/text2image.csv``.
        ours: such rows of what was measured here.
        note: what goes after "not comparable because", a sentence or two.
        caption: said above.

    Raises:
        ValueError: rows are missing, lack an entry, or say another word than lower or higher; or
            there is no note.
    """
    for name, rows in (("published", published), ("ours", ours)):
        check_rows(rows, ("system", "metric", "value", "unit", "better"), of=name)
        if wrong := [row["better"] for row in rows if row["better"] not in ("lower", "higher")]:
            raise ValueError(f'better must be "lower" or "higher", got {wrong[0]!r}')
    if not note.strip():
        raise ValueError("say in the note why these numbers are not comparable")
    words = "\n".join(textwrap.wrap(say("plot.not_comparable", why=note), 110))
    room = max(map(_height, (published, ours)))
    height = room + 1.2 + 0.2 * words.count("\n") + head_inches(caption)
    fig = plt.figure(figsize=(12, height), layout="constrained")
    fig.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    for half, (name, rows, color, ground) in zip(
        fig.subfigures(1, 2),
        (
            ("published", published, SOURCE_COLORS["control"], BAND),
            ("ours", ours, SOURCE_COLORS["synthetic"], _SYNTHETIC_GROUND),
        ),
        strict=True,
    ):
        half.set_facecolor(ground)
        half.suptitle(say(f"plot.{name}"), fontsize=13, weight="bold")
        metrics = group_by(rows, "metric")
        heights = [*map(_height, metrics.values()), room - _height(rows) + 0.01]
        places = half.add_gridspec(len(heights), 1, height_ratios=heights)
        for place, some in zip(places, metrics.values(), strict=False):
            _draw_numbers(half.add_subplot(place), some, color)
    box = {"facecolor": "#FFF3CD", "edgecolor": INK, "boxstyle": "round,pad=0.4"}
    fig.supxlabel(plain(words), fontsize=11, bbox=box)
    return finish(fig, caption)


def _height(rows: Sequence[Mapping]) -> float:
    """Add up what the panels of some rows take, in inches."""
    return 0.36 * len(rows) + 0.42 * len({row["metric"] for row in rows})


def _draw_numbers(ax: Axes, rows: Sequence[Mapping], color: str) -> None:
    """Draw a bar for each number of a metric, the value written beside it."""
    values = [row["value"] for row in rows]
    colors = [SOURCE_COLORS.get(row.get("source"), color) for row in rows]
    bars = ax.barh(range(len(rows)), values, color=colors, height=0.7)
    ax.bar_label(bars, [f"{row['value']:.5g}{_unit(row)}" for row in rows], padding=4, fontsize=11)
    name_rows(ax, [plain("\n".join(textwrap.wrap(row["system"], 22)[:2])) for row in rows])
    ax.set(xticks=[], xlim=(min(0, *values), 1.25 * max(values)))
    direction = say(f"plot.{rows[0]['better']}_is_better")
    ax.set_title(f"{plain(rows[0]['metric'])} ({direction})", fontsize=11, loc="left")
    ax.spines[["top", "right", "bottom"]].set_visible(False)
    ax.tick_params(length=0, labelsize=10)
    ax.patch.set_alpha(0)


def _unit(row: Mapping) -> str:
    unit = row["unit"]
    return f" {unit}" if isinstance(unit, str) and unit else ""  # an empty cell is NaN in pandas


def plot_zero_shot_published(
    rows: Sequence[Mapping], *, data_sets: Sequence[str] = ("EuroSAT",), caption: str = ""
) -> Figure:
    """Draw how far apart published accuracies of the same CLIP weights are, by who measured.

    Args:
        rows: with ``model``, ``architecture``, ``pretraining``, ``data``, ``top1`` (%),
            ``reported_by`` and ``protocol``, as in ``data/published/clip_zero_shot.csv``.
        data_sets: values of ``data``, a panel each. Weights that only one source measured are left
            out.
        caption: said above.

    Raises:
        ValueError: no rows, one without a needed entry, or a data set for which no weights were
            measured twice.
    """
    key = ("model", "architecture", "pretraining", "data")
    check_rows(rows, (*key, "top1", "reported_by", "protocol"))
    panels = {data: _measured_twice(rows, data) for data in data_sets}
    if missing := [data for data, panel in panels.items() if not panel]:
        raise ValueError(f"no weights of CLIP were measured twice on {missing[0]!r}")
    chosen = [row for panel in panels.values() for some in panel.values() for row in some]
    styles = {source: line_style(i) for i, source in enumerate(dict.fromkeys(map(_source, chosen)))}
    num_lines = max(map(len, panels.values()))
    size = (min(12.5, 5.5 * len(panels) + 3), 0.95 * num_lines + 1.1 + 0.3 * len(styles))
    fig, axes = make_axes(1, len(panels), size, caption=caption)
    for ax, (data, panel) in zip(axes[0], panels.items(), strict=True):
        for y, some in enumerate(panel.values()):
            _draw_spread(ax, y, sorted(some, key=_top1), styles)
        name_rows(ax, [_spread_label(name, some) for name, some in panel.items()])
        ax.margins(x=0.13)
        ax.set_title(plain(data), fontsize=13)
        tidy(ax, say("plot.zero_shot_top1"))
    marks = [
        axes[0, 0].plot([], [], label=plain(": ".join(source)), **style | {"linestyle": "none"})[0]
        for source, style in styles.items()
    ]
    return finish(fig, caption, legend=marks, ncols=1)


def _top1(row: Mapping) -> float:
    return float(row["top1"])


def _source(row: Mapping) -> tuple[str, str]:
    return row["reported_by"], row["protocol"]


def _measured_twice(rows: Sequence[Mapping], data: str) -> dict[str, list[Mapping]]:
    """Group CLIP's rows on a data set by their weights, if two sources or more have them.

    Returns:
        Rows by the name of the weights: the architecture, and what it was pretrained on if two
        sets of weights share an architecture.
    """
    here = [row for row in rows if row["model"] == "CLIP" and row["data"] == data]
    groups = group_by(here, "architecture", "pretraining")
    groups = {key: some for key, some in groups.items() if len(some) > 1}
    architectures = [architecture for architecture, _ in groups]
    return {
        name if architectures.count(name) == 1 else f"{name}, {pretraining}": some
        for (name, pretraining), some in groups.items()
    }


def _draw_spread(ax: Axes, y: int, rows: Sequence[Mapping], styles: Mapping[tuple, dict]) -> None:
    """Draw the numbers of one set of weights below each other, on a band from least to most."""
    band = {"color": "#EDEDED", "zorder": 0, "linewidth": 0}
    ax.fill_betweenx([y - 0.4, y + 0.4], _top1(rows[0]), _top1(rows[-1]), **band)
    heights = y + (np.arange(len(rows)) - (len(rows) - 1) / 2) * 0.8 / len(rows)
    for row, height in zip(rows, heights, strict=True):
        ax.plot(_top1(row), height, **styles[_source(row)])
        remark(ax, f"{_top1(row):g}", (_top1(row), height), (8, 0), color=INK)


def _spread_label(name: str, rows: Sequence[Mapping]) -> str:
    tops = [_top1(row) for row in rows]
    return plain(name) + "\n" + say("plot.points_apart", points=f"{max(tops) - min(tops):.1f}")


def plot_specialists(
    rows: Sequence[Mapping],
    *,
    data_sets: Sequence[str] = ("RESISC45", "EuroSAT"),
    caption: str = "",
) -> Figure:
    """Draw what training on with remote sensing bought: CLIP beside each specialist, a panel a set.

    Specialists of one architecture share the mark of the CLIP that they were compared with. Give
    rows of one source only: other prompts give other numbers.

    Args:
        rows: with ``model``, ``architecture``, ``data``, ``top1`` (%) and ``reported_by``, as in
            ``data/published/clip_zero_shot.csv``; those of "CLIP" are what is compared with.
        data_sets: values of ``data``, a panel each.
        caption: said above.

    Raises:
        ValueError: no rows, one without a needed entry, rows of two sources or twice for one model,
            or no specialist beside a CLIP of its architecture on a data set.
    """
    check_rows(rows, ("model", "architecture", "data", "top1", "reported_by"))
    if len(sources := {row["reported_by"] for row in rows}) > 1:
        raise ValueError(f"expected rows of one source, got {sorted(sources)}; choose one")
    panels = {data: _beside_clip(rows, data) for data in data_sets}
    if missing := [data for data, panel in panels.items() if not panel]:
        raise ValueError(f"no specialist beside a CLIP of its architecture on {missing[0]!r}")
    names = list(dict.fromkeys(name for panel in panels.values() for name in panel))
    size = (min(12.0, 4.9 * len(panels) + 2.2), 0.46 * len(names) + 1.6)
    fig, axes = make_axes(1, len(panels), size, caption=caption, sharex=True, sharey=True)
    looks = (("CLIP", INK, "o"), (say("classifiers.specialist"), LINE_COLORS[1], "s"))
    for ax, (data, panel) in zip(axes[0], panels.items(), strict=True):
        for y, pair in ((names.index(name), pair) for name, pair in panel.items()):
            _draw_dumbbell(ax, y, pair, f"{pair[1] - pair[0]:+.1f}")
        for i, (label, color, marker) in enumerate(looks):
            look = {"color": color, "marker": marker, "label": label, "linestyle": "none"}
            x = [pair[i] for pair in panel.values()]
            ax.plot(x, [names.index(name) for name in panel], markersize=10, zorder=3, **look)
        ax.margins(x=0.12)
        ax.set_title(plain(data), fontsize=14)
        tidy(ax, say("plot.zero_shot_top1"))
    name_rows(axes[0, 0], [plain(f"{model}\n{architecture}") for architecture, model in names])
    return finish(fig, caption, legend=axes[0, 0])


def _beside_clip(rows: Sequence[Mapping], data: str) -> dict[tuple[str, str], np.ndarray]:
    """Give the accuracies of CLIP and of each specialist by architecture and model."""
    here = [row for row in rows if row["data"] == data]
    tops = {(row["architecture"], row["model"]): _top1(row) for row in here}
    if len(tops) < len(here):
        raise ValueError(f"two rows of one model on {data!r}; choose one")
    return {
        (architecture, model): np.array([tops[architecture, "CLIP"], top])
        for (architecture, model), top in tops.items()
        if model != "CLIP" and (architecture, "CLIP") in tops
    }


def plot_synthetic_gains(rows: Sequence[Mapping], *, caption: str = "") -> Figure:
    """Draw each data set's accuracy without and with synthetic images, a panel a backbone.

    The data sets come in the order of their mean gain over the backbones, EuroSAT pointed out.
    Below them are the mean of the rows, computed here, and the mean as printed, hollow: they need
    not agree.

    Args:
        rows: with ``data``, ``kind`` ("data set" or "printed mean"), ``backbone``, ``clip`` and
            ``clip_syn`` (%), as in ``data/published/he2023_table1.csv``; a ``task`` is written
            behind the name of its data set.
        caption: said above.

    Raises:
        ValueError: no rows, one without a needed entry or of another kind, or backbones with
            other data sets.
    """
    check_rows(rows, ("data", "kind", "backbone", "clip", "clip_syn"))
    panels, printed = _read(rows)
    names = next(iter(panels.values()))
    order = sorted(names, key=lambda name: -sum(np.diff(panel[name]) for panel in panels.values()))
    size = (min(12.5, 5.4 * len(panels) + 1.7), 0.34 * (len(order) + 2) + 1.5)
    fig, axes = make_axes(1, len(panels), size, caption=caption, sharey=True)
    for ax, (backbone, panel) in zip(axes[0], panels.items(), strict=True):
        _draw_backbone(ax, [panel[name] for name in order], printed.get(backbone))
        if "EuroSAT" in order:
            middle = order.index("EuroSAT")
            ground = {"color": _SYNTHETIC_GROUND, "zorder": 0, "linewidth": 0}
            ax.axhspan(middle - 0.5, middle + 0.5, **ground)
        ax.set_title(plain(backbone), fontsize=13)
    tasks = {row["data"]: row["task"] for row in rows if row.get("task")}
    named = [f"{name} ({tasks[name]})" if name in tasks else name for name in order]
    labels = [*map(plain, named), say("plot.mean_computed"), say("plot.mean_printed")]
    name_rows(axes[0, 0], labels if printed else labels[:-1])
    for tick, name in zip(axes[0, 0].get_yticklabels(), order, strict=False):
        tick.set_weight("bold" if name == "EuroSAT" else "normal")
    return finish(fig, caption, legend=axes[0, 0])


def _read(
    rows: Sequence[Mapping],
) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, np.ndarray]]:
    """Give accuracies without and with synthetic images by backbone, and the printed means."""
    panels: dict[str, dict[str, np.ndarray]] = {}
    printed: dict[str, np.ndarray] = {}
    for row in rows:
        pair = np.array([float(row["clip"]), float(row["clip_syn"])])
        if row["kind"] == "printed mean":
            printed[row["backbone"]] = pair
        elif row["kind"] == "data set":
            panels.setdefault(row["backbone"], {})[row["data"]] = pair
        else:
            raise ValueError(f'kind must be "data set" or "printed mean", got {row["kind"]!r}')
    if not panels or len({frozenset(panel) for panel in panels.values()}) > 1:
        raise ValueError("expected the same data sets for every backbone, one or more")
    return panels, printed


def _draw_backbone(ax: Axes, pairs: Sequence[np.ndarray], printed: np.ndarray | None) -> None:
    """Draw a dumbbell a data set, then the mean, then the printed mean, hollow."""
    mean, num = np.mean(pairs, axis=0), len(pairs)
    for y, pair in enumerate(pairs):
        _draw_dumbbell(ax, y, pair, f"{pair[1] - pair[0]:+.2f}")
    _draw_dumbbell(ax, num, mean, f"{mean[1] - mean[0]:+.2f} {_arrow(mean)}")
    _draw_marks(ax, [*pairs, mean], range(num + 1))
    ax.axhline(num - 0.5, color=SOURCE_COLORS["control"], linewidth=1)
    if printed is not None:
        is_wrong = np.abs(printed - mean).max() > 0.006  # printed to two decimals
        words = say("plot.mean_differs" if is_wrong else "plot.mean_agrees")
        _draw_dumbbell(ax, num + 1, printed, f"{words} {_arrow(printed)}")
        _draw_marks(ax, [printed], [num + 1], markerfacecolor="white", label=None)
    ax.set_xlim(0, 118)  # room for the gain of an accuracy near 100 %
    ax.set_xticks(range(0, 101, 20))
    tidy(ax, say("plot.zero_shot_top1"))


def _arrow(pair: np.ndarray) -> str:
    return f"({pair[0]:.2f} → {pair[1]:.2f})"


def _draw_dumbbell(ax: Axes, y: int, pair: np.ndarray, words: str) -> None:
    ax.plot(pair, [y, y], color=PALE, linewidth=3, zorder=1)
    is_right = len(words) < 8 or pair.max() < 60  # a long remark goes where there is room
    x, shift, align = (pair.max(), 9, "left") if is_right else (pair.min(), -9, "right")
    remark(ax, words, (x, y), (shift, 0), ha=align, color=INK)


def _draw_marks(
    ax: Axes, pairs: Sequence[np.ndarray], heights: Sequence[int], **style: object
) -> None:
    """Mark accuracies without and with synthetic images."""
    style = {"markersize": 9, "markeredgewidth": 1.8, "linestyle": "none", "zorder": 3} | style
    for x, (key, color, marker) in zip(np.transpose(pairs), _CLIPS, strict=True):
        look = {"color": color, "marker": marker, "label": say(f"plot.{key}")} | style
        ax.plot(x, heights, **look)
