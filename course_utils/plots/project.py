"""The project in one picture, what its parts cost, and what a drawing is worth in real images."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import Container
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from course_utils.plots.measured import draw_estimates
from course_utils.plots.sketches.parts import WORDS, draw_arrow, draw_box, make_canvas, write
from course_utils.plots.style import (
    ARM_STYLES,
    GREY,
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
    ax = make_canvas(2.7, caption)
    boxes = [
        draw_box(ax, (1.38 + 3.08 * i, 1.87), (2.55, 1.5), *_words(step), color=color)
        for i, (step, color) in enumerate(_STEPS)
    ]
    for before, after in pairwise(boxes):
        draw_arrow(ax, before.right, after.left)
    start, end, floor = boxes[0].bottom, boxes[-1].bottom, 0.3
    color = SOURCE_COLORS["real"]
    draw_arrow(ax, start, (start[0], floor), (end[0], floor), end, color=color)
    write(ax, (6.0, floor + 0.28), say("project.bypass"), size=WORDS)
    return finish(ax.figure, caption)


def _words(step: str) -> tuple[str, str]:
    return say(f"project.{step}"), say(f"project.{step}_what")


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
