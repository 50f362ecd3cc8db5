"""The project in one picture, what its parts cost, and what a drawing is worth in real images."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import Container
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.transforms import ScaledTranslation

from course_utils.plots.measured import draw_estimates
from course_utils.plots.style import (
    ARM_STYLES,
    GREY,
    INK,
    SOURCE_COLORS,
    Number,
    check_rows,
    finish,
    free_style,
    group_by,
    make_ax,
    make_axes,
    name_rows,
    plain,
    say,
    shorten,
    tidy,
)

_COSTS = ("labels", "seconds", "hours", "images_seen")
_VALUE = ("value", "low", "high")
_WIDTH, _GAP, _TOP, _HEIGHT = 2.5, 0.75, 2.9, 1.5  # inches of the project's boxes
_STEPS = (
    ("collect", SOURCE_COLORS["real"]),
    ("train", SOURCE_COLORS["real+seen"]),
    ("generate", SOURCE_COLORS["synthetic"]),
    ("evaluate", SOURCE_COLORS["real+synthetic"]),
)


def plot_framework(*, caption: str = "") -> Figure:
    """Draw the project: collect, train a generator, generate, evaluate with and without.

    Args:
        caption: said above.
    """
    fig, ax = make_ax(12.5, 3.6, caption)
    ax.set_axis_off()
    pitch = _WIDTH + _GAP
    ax.set(xlim=(-0.1, 4 * pitch - _GAP + 0.1), ylim=(0, _TOP + 0.2), aspect="equal")
    for i, (step, color) in enumerate(_STEPS):
        _draw_step(ax, i * pitch, step, color)
        if i:
            middle = _TOP - _HEIGHT / 2
            _draw_arrow(ax, (i * pitch - _GAP, middle), (i * pitch, middle))
    start, end = _WIDTH / 2, 3 * pitch + _WIDTH / 2
    floor, bottom = 0.45, _TOP - _HEIGHT
    ax.plot([start, start, end], [bottom, floor, floor], color=SOURCE_COLORS["real"], linewidth=2.5)
    _draw_arrow(ax, (end, floor), (end, bottom), color=SOURCE_COLORS["real"])
    style = {"ha": "center", "va": "center", "fontsize": 13, "color": INK}
    ax.text((start + end) / 2, floor + 0.3, say("project.bypass"), **style)
    return finish(fig, caption)


def _draw_step(ax: Axes, x: float, step: str, color: str) -> None:
    """Draw a box with the name of a step and what is done in it."""
    frame = {"boxstyle": "round,pad=0,rounding_size=0.12", "linewidth": 2.5}
    corner = (x, _TOP - _HEIGHT)
    ax.add_patch(FancyBboxPatch(corner, _WIDTH, _HEIGHT, ec=color, fc=color + "22", **frame))
    style = {"ha": "center", "va": "center", "color": INK}
    middle = x + _WIDTH / 2
    ax.text(middle, _TOP - 0.3, say(f"project.{step}"), fontsize=14, weight="bold", **style)
    ax.text(middle, _TOP - 0.95, say(f"project.{step}_what"), fontsize=12, **style)


def _draw_arrow(ax: Axes, start: tuple, end: tuple, *, color: str = INK) -> None:
    style = {"arrowstyle": "-|>", "mutation_scale": 22, "linewidth": 2.5, "color": color}
    ax.add_patch(FancyArrowPatch(start, end, shrinkA=3, shrinkB=3, **style))


def plot_cost(rows: Sequence[Mapping], *, caption: str = "") -> Figure:
    """Draw what each way to more training images costs, a panel a currency.

    Args:
        rows: with ``name``, and any of ``labels`` (images that somebody labelled), ``seconds`` of
            drawing, ``hours`` of training the generator, ``images_seen`` by the generator. What a
            row lacks was not measured; what no row has is not drawn. ``arm``, if there, gives the
            color.
        caption: said above.

    Raises:
        ValueError: no rows, one without a name, no cost at all, or a negative one.
    """
    check_rows(rows, ("name",))
    costs = [cost for cost in _COSTS if any(row.get(cost) is not None for row in rows)]
    if not costs:
        raise ValueError(f"expected one of {', '.join(_COSTS)} in the rows, got {dict(rows[0])}")
    for cost in costs:
        if (least := min(row.get(cost) or 0 for row in rows)) < 0:
            raise ValueError(f"{cost} must be 0 or more, got {least:g}")
    size = (min(12.5, 2.4 * len(costs) + 3.0), 0.45 * len(rows) + 0.9)
    fig, axes = make_axes(1, len(costs), size, caption=caption, sharey=True)
    colors = [ARM_STYLES.get(row.get("arm"), (SOURCE_COLORS["control"],))[0] for row in rows]
    for ax, cost in zip(axes[0], costs, strict=True):
        values = [row.get(cost) for row in rows]
        lengths = [value or 0 for value in values]
        bars = ax.barh(range(len(rows)), lengths, color=colors, height=0.7)
        ax.bar_label(bars, list(map(_amount, values)), padding=4, fontsize=11)
        ax.set(xticks=[], xlim=(0, 1.45 * max(*lengths, 1e-9)))
        ax.set_title(say(f"cost.{cost}"), fontsize=11, loc="left")
        ax.spines[["top", "right", "bottom"]].set_visible(False)
        ax.tick_params(length=0)
    name_rows(axes[0, 0], [shorten(row["name"], 40) for row in rows])
    return finish(fig, caption)


def _amount(value: Number | None) -> str:
    """Write an amount: counts as they are, a small number with three digits, none as unknown."""
    if value is None:
        return "?"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def plot_data_value(rows: Sequence[Mapping], *, caption: str = "") -> Figure:
    """Draw how many real images a class would do as much as some real ones and drawings do.

    On the dotted line drawings add nothing. An arrow stands for a value that lies beyond what was
    measured: that many or more, that many or fewer.

    Args:
        rows: with ``generator``, ``shots``, and ``value``, ``low``, ``high`` in real images a
            class; ``at_least`` and ``at_most`` say on which side the value is open.
        caption: said above.

    Raises:
        ValueError: no rows, one without a needed entry, a value outside its interval, or fewer
            than one image.
    """
    needed = ("generator", "shots", "at_least", "at_most")
    check_rows(rows, needed, estimate=_VALUE, limits=(1, np.inf))
    fig, ax = make_ax(9, 4.9, caption)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log", base=2)
    shots = sorted({row["shots"] for row in rows})
    ends = [shots[0], shots[-1]]
    style = {"color": GREY, "linestyle": ":", "linewidth": 1.5}
    drawn: list[Artist | Container] = ax.plot(ends, ends, label=say("plot.worth_nothing"), **style)
    generators = group_by(rows, "generator")
    for i, (generator, some) in enumerate(generators.items()):
        some = sorted(some, key=lambda row: row["shots"])
        places = np.array([row["shots"] for row in some]) * 1.04 ** (i - (len(generators) - 1) / 2)
        style = free_style(i) | {"label": plain(generator)}
        drawn.append(draw_estimates(ax, places, some, _VALUE, factor=1, **style))
        for x, row in zip(places, some, strict=True):
            _draw_open_end(ax, x, row, style["color"])
    most = int(np.log2(max(row["high"] for row in rows)))
    for axis, counts in ((ax.xaxis, shots), (ax.yaxis, [2**k for k in range(most + 1)])):
        axis.set_ticks(counts, [f"{count:g}" for count in counts])
        axis.set_ticks([], minor=True)
    ax.set_xlim(0.75 * ends[0], 1.3 * ends[1])
    ax.set_ylim(0.6, 1.7 * max(row["high"] for row in rows))  # with room for the arrows
    tidy(ax, say("plot.real_per_class_log"), say("plot.worth_real"))
    return finish(fig, caption, legend=drawn, ncols=1)


def _draw_open_end(ax: Axes, x: float, row: Mapping, color: str) -> None:
    """Draw an arrow towards where a value lies of which only one bound is known."""
    for key, sign in (("at_least", 1), ("at_most", -1)):
        if row[key]:
            tip = ScaledTranslation(0, sign * 0.28, ax.figure.dpi_scale_trans)
            style = {"marker": "^" if sign > 0 else "v", "color": color, "markersize": 9}
            ax.plot([x], [row["value"]], transform=ax.transData + tip, **style)
