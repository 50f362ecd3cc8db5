"""Numbers against steps: the loss of a training, quality and error of samplers."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from course_utils.diffusion import TrainStep
from course_utils.plots.diffusion import COLORS, DASHES, tidy
from course_utils.plots.style import INK, finish, plain, say
from course_utils.samplers import SolverError, fitted_order

_ERROR = ("num_sample_steps", "error")
_MARKERS = ("o", "s", "^", "D", "v", "P")
_NUM_DOTS = 600  # of a loss curve; more would hide each other


def plot_loss(
    runs: Mapping[str, Sequence[TrainStep]],
    *,
    smooth_share: float = 0.02,
    baseline: float | None = 1.0,
    caption: str = "",
) -> Figure:
    """Draw the loss of every training step as a dot, and its running mean as a line.

    Args:
        runs: the records of `diffusion.train_denoiser`, by the name of the run.
        smooth_share: share of the steps over which the running mean goes.
        baseline: a line for what a denoiser pays that always answers 0; None for none.
        caption: said above.

    Raises:
        ValueError: no runs or steps, or a loss that is not finite and above 0.
    """
    if not runs or not all(len(steps) for steps in runs.values()):
        raise ValueError("every run needs steps to show")
    for name, records in runs.items():
        if not all(np.isfinite(record.loss) and record.loss > 0 for record in records):
            raise ValueError(f"{name}: losses must be finite and above 0: did the training fail?")
    fig, ax = plt.subplots(figsize=(9, 4.4), layout="constrained")
    for i, (name, records) in enumerate(runs.items()):
        steps, y = (np.array([getattr(r, key) for r in records]) for key in ("step", "loss"))
        shown = np.unique(np.linspace(0, len(y) - 1, _NUM_DOTS).round().astype(int))
        style = {"s": 7, "alpha": 0.3, "linewidth": 0}
        ax.scatter(steps[shown], y[shown], color=COLORS[i % len(COLORS)], **style)
        width = min(len(y), max(1, round(smooth_share * len(y))))
        mean = np.convolve(y, np.full(width, 1 / width), mode="valid")
        style = {"color": COLORS[i % len(COLORS)], "linestyle": DASHES[i % len(DASHES)]}
        ax.plot(steps[width - 1 :], mean, linewidth=2.5, label=plain(name), **style)
    if baseline is not None:
        ax.axhline(baseline, color=INK, linewidth=1)
        style = {"xytext": (0, 4), "textcoords": "offset points", "ha": "right", "fontsize": 11}
        place = (1, baseline)
        ax.annotate(say("plot.predicts_zero"), place, xycoords=ax.get_yaxis_transform(), **style)
    ax.set(yscale="log", xlabel=say("plot.train_step"), ylabel=say("plot.loss"))
    _label_log(ax)
    tidy(ax)
    fig.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=12)
    return finish(fig, caption)


def _label_log(ax: Axes) -> None:
    """Write round numbers along a logarithmic axis, also if it is short."""
    low, high = ax.get_ylim()
    fine = [m * 10.0**e for e in range(-12, 8) for m in (1, 2, 3, 5)]
    ticks = [value for value in fine if low <= value <= high]
    ax.yaxis.set_major_locator(FixedLocator(ticks))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set_yticks(ticks, [f"{value:g}" for value in ticks])


def plot_by_steps(rows: Sequence[Mapping], *, measure: str, caption: str = "") -> Figure:
    """Draw a measure of quality against the number of sampling steps, a line for each sampler.

    Args:
        rows: with ``sampler``, ``num_sample_steps``, ``value``, ``low`` and ``high``, the interval.
        measure: what the value is, with its unit, "recognized by the classifier (%)".
        caption: said above.

    Raises:
        ValueError: no rows, one without an entry, or a value outside its interval.
    """
    needed = ("sampler", "num_sample_steps", "value", "low", "high")
    for row in rows:
        if missing := [key for key in needed if key not in row]:
            raise ValueError(f"a row lacks {', '.join(missing)}; it has {', '.join(row)}")
        if not (row["low"] <= row["value"] <= row["high"] and np.isfinite(row["value"])):
            raise ValueError(f"expected low <= value <= high, got {dict(row)}")
    if not rows:
        raise ValueError("no rows to show")
    fig, ax = plt.subplots(figsize=(9, 4.6), layout="constrained")
    samplers = list(dict.fromkeys(row["sampler"] for row in rows))
    for i, sampler in enumerate(samplers):
        some = sorted(
            (row for row in rows if row["sampler"] == sampler),
            key=lambda row: row["num_sample_steps"],
        )
        x, y, low, high = (np.array([row[key] for row in some], float) for key in needed[1:])
        x *= 1.03 ** (i - (len(samplers) - 1) / 2)  # so that intervals do not hide each other
        errors = [y - low, high - y]
        ax.errorbar(x, y, yerr=errors, label=plain(sampler), **_style(i), capsize=4)
    _label_steps(ax, {row["num_sample_steps"] for row in rows})
    ax.set_ylabel(plain(measure), fontsize=12)
    tidy(ax)
    fig.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=12)
    return finish(fig, caption)


def _style(i: int) -> dict:
    color, marker = COLORS[i % len(COLORS)], _MARKERS[i % len(_MARKERS)]
    return {"color": color, "marker": marker, "markersize": 8, "linewidth": 2}


def _label_steps(ax: Axes, counts: set[int]) -> None:
    """Write the numbers of steps along a logarithmic axis, as many as have room."""
    ax.set_xscale("log")
    ordered, shown = sorted(counts), []
    for count in ordered:
        least = 0.05 * np.log(ordered[-1] / ordered[0])
        if not shown or np.log(count / shown[-1]) > least:
            shown.append(count)
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticks(shown, [f"{count:,}" for count in shown])
    ax.set_xlabel(say("plot.sample_steps_log"), fontsize=12)


def plot_solver_order(
    errors: Mapping[str, Sequence[SolverError]],
    *,
    orders: Mapping[str, int],
    caption: str = "",
) -> Figure:
    """Draw the error of solvers against their steps, both logarithmic, beside lines of an order.

    A solver of order p makes 2^p times less of an error with twice the steps: a line of slope -p.

    Args:
        errors: of `samplers.solver_error`, by the name of the solver.
        orders: by solver, the order that it should have; a thin line through its last point.
        caption: said above.

    Raises:
        ValueError: no solver, under two step counts, or an error of 0.
    """
    if not errors:
        raise ValueError("no solvers to show")
    slopes = {name: -fitted_order(records) for name, records in errors.items()}
    fig, ax = plt.subplots(figsize=(9, 4.8), layout="constrained")
    for i, (name, records) in enumerate(errors.items()):
        x, y = (np.array([getattr(r, key) for r in records]) for key in _ERROR)
        label = say("plot.slope", name=plain(name), slope=f"{slopes[name]:.2f}")
        ax.plot(x, y, label=label, **_style(i))
        if name in orders:
            guide = y[-1] * (x / x[-1]) ** -orders[name]
            ax.plot(x, guide, color=COLORS[i % len(COLORS)], linestyle=":", linewidth=1.5)
            words = say("plot.order", order=orders[name])
            style = {"xytext": (6, 6), "textcoords": "offset points", "fontsize": 11}
            ax.annotate(words, (x[0], guide[0]), color=COLORS[i % len(COLORS)], **style)
    _label_steps(ax, {r.num_sample_steps for records in errors.values() for r in records})
    ax.set_yscale("log")
    ax.set_ylabel(say("plot.solver_error"), fontsize=12)
    tidy(ax)
    fig.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=12)
    return finish(fig, caption)
