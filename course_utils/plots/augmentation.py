"""What augmentation was worth: by family and amount of data, by strength, beside regularization."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from course_utils.lab import DIALS
from course_utils.plots.augmented import dial_name
from course_utils.plots.style import INK, SOURCE_COLORS, finish, on_color, plain, say

_GAIN = ("gain", "gain_low", "gain_high")
_ACCURACY = ("accuracy", "low", "high")
_COLORS = {
    "real": SOURCE_COLORS["real"],
    "zero_shot": "#000000",
    "real_duplicated": SOURCE_COLORS["control"],
    "shuffled": SOURCE_COLORS["control"],
}
_OTHERS = ("#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def plot_gain_table(rows: Sequence[Mapping], *, caption: str = "") -> Figure:
    """Lay out gains over real-only: families down, real images a class across.

    A gain whose interval leaves out zero is bold and framed; of the others this experiment cannot
    tell whether they are gains.

    Args:
        rows: with ``family``, ``per_class``, and ``gain``, ``gain_low``, ``gain_high`` as shares.
        caption: said above.

    Raises:
        ValueError: no rows, a gain outside its interval, or two rows for one place.
    """
    _check(rows, ("family", "per_class"), _GAIN, least=-1.0)
    families = list(dict.fromkeys(row["family"] for row in rows))
    amounts = sorted({row["per_class"] for row in rows})
    grid = np.full((len(families), len(amounts)), np.nan)
    for row in rows:
        place = families.index(row["family"]), amounts.index(row["per_class"])
        if not np.isnan(grid[place]):
            raise ValueError(f"two rows for {row['family']} at {row['per_class']} a class")
        grid[place] = 100 * row["gain"]
    fig, ax = plt.subplots(
        figsize=(1.0 * len(amounts) + 3.4, 0.4 * len(families) + 1.7), layout="constrained"
    )
    most = max(1.0, float(np.nanmax(np.abs(grid))))
    image = ax.imshow(grid, cmap="PuOr", vmin=-most, vmax=most, aspect="auto")
    for row in rows:
        place = amounts.index(row["per_class"]), families.index(row["family"])
        _write_gain(ax, place, row, _hex(image, grid[place[::-1]]))
    ax.set_xticks(range(len(amounts)), [str(amount) for amount in amounts], fontsize=11)
    ax.set_yticks(range(len(families)), [family_name(name) for name in families], fontsize=11)
    ax.set_xlabel(say("plot.real_per_class"), fontsize=11)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return finish(fig, caption)


def _write_gain(ax: Axes, place: tuple[int, int], row: Mapping, color: str) -> None:
    is_told = row["gain_low"] > 0 or row["gain_high"] < 0
    style = {"weight": "bold" if is_told else "normal", "color": on_color(color)}
    words = f"{round(100 * row['gain'], 1) + 0.0:+.1f}"  # never a negative zero
    ax.text(*place, words, ha="center", va="center", fontsize=11, **style)
    if is_told:
        corner = (place[0] - 0.46, place[1] - 0.44)
        ax.add_patch(plt.Rectangle(corner, 0.92, 0.88, fill=False, edgecolor=INK, linewidth=1.6))


def _hex(image: plt.cm.ScalarMappable, value: float) -> str:
    return to_hex(image.to_rgba(value))


def family_name(name: str) -> str:
    """Name a family of augmentations or a control in the course's language."""
    return say(f"family.{name}")


def plot_by_amount(
    rows: Sequence[Mapping], families: Sequence[str], *, caption: str = ""
) -> Figure:
    """Draw accuracy against the number of real images a class, with intervals.

    Args:
        rows: with ``family``, ``per_class``, and ``accuracy``, ``low``, ``high`` as shares; a row
            of "zero_shot" becomes a line across.
        families: what to draw, in the order of the legend.
        caption: said above.

    Raises:
        ValueError: no rows, a family without any, or an accuracy outside its interval.
    """
    _check(rows, ("family", "per_class"), _ACCURACY, least=0.0)
    if missing := set(families) - {row["family"] for row in rows}:
        raise ValueError(f"no rows of {', '.join(map(repr, sorted(missing)))}")
    fig, ax = plt.subplots(figsize=(9, 4.8), layout="constrained")
    others = iter(_OTHERS)
    for i, family in enumerate(families):
        some = sorted((r for r in rows if r["family"] == family), key=lambda r: r["per_class"])
        color = _COLORS.get(family) or next(others)
        if family == "zero_shot":
            level = 100 * some[0]["accuracy"]
            ax.axhline(level, color=color, linestyle=":", label=family_name(family))
            continue
        nudge = 1 + 0.025 * (i - len(families) / 2)  # so that intervals do not hide each other
        x = [row["per_class"] * nudge for row in some]
        y, low, high = (100 * np.array([row[key] for row in some]) for key in _ACCURACY)
        style = {"color": color, "marker": _MARKERS[i % len(_MARKERS)], "capsize": 3}
        line = "--" if color == SOURCE_COLORS["control"] else "-"
        label = family_name(family)
        ax.errorbar(x, y, yerr=[y - low, high - y], linestyle=line, label=label, **style)
    amounts = sorted({row["per_class"] for row in rows if row["per_class"] > 0})
    ax.set_xscale("log", base=2)
    ax.set_xticks(amounts, [str(amount) for amount in amounts])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel(say("plot.real_per_class_log"), fontsize=11)
    ax.set_ylabel(say("plot.accuracy"), fontsize=11)
    _tidy(ax)
    fig.legend(loc="outside right center", frameon=False, fontsize=10)
    return finish(fig, caption)


def plot_by_strength(rows: Sequence[Mapping], *, caption: str = "") -> Figure:
    """Draw how accuracy changes with the strength of each augmentation, one panel each.

    Args:
        rows: with ``family`` (of ``lab.DIALS``), ``strength``, and ``gain``, ``gain_low``,
            ``gain_high`` as shares.
        caption: said above.

    Raises:
        ValueError: no rows, or a gain outside its interval.
    """
    _check(rows, ("family", "strength"), _GAIN, least=-1.0)
    names = list(dict.fromkeys(row["family"] for row in rows))
    num_columns = min(5, len(names))
    num_rows = -(-len(names) // num_columns)
    size = (2.5 * num_columns + 0.4, 2.1 * num_rows + 0.5)
    fig, axes = plt.subplots(
        num_rows, num_columns, figsize=size, sharey=True, squeeze=False, layout="constrained"
    )
    for ax in axes.flat[len(names) :]:
        ax.set_axis_off()
    for ax, name in zip(axes.flat, names, strict=False):
        some = sorted((row for row in rows if row["family"] == name), key=lambda r: r["strength"])
        x = [row["strength"] for row in some]
        y, low, high = (100 * np.array([row[key] for row in some]) for key in _GAIN)
        ax.axhline(0, color="#999999", linewidth=1)
        ax.errorbar(x, y, yerr=[y - low, high - y], color=INK, marker="o", capsize=3, markersize=5)
        ax.set_title(dial_name(name), fontsize=11)
        ax.set_xlabel(say(DIALS[name].unit + "_axis"), fontsize=9)
        ax.locator_params(axis="x", nbins=4)
        ax.tick_params(labelsize=9)
        _tidy(ax)
    fig.supylabel(say("plot.accuracy_change"), fontsize=11)
    return finish(fig, caption)


def plot_augreg(rows: Sequence[Mapping], *, caption: str = "") -> Figure:
    """Draw accuracy as heat maps: augmentation across, regularization down, a panel an amount.

    Args:
        rows: with ``per_class``, ``augmentation``, ``regularization``, ``accuracy``, ``low`` and
            ``high`` as shares; each panel and axis is in the order in which names first occur.
        caption: said above.

    Raises:
        ValueError: no rows, a place without a row, or an accuracy outside its interval.
    """
    _check(rows, ("per_class", "augmentation", "regularization"), _ACCURACY, least=0.0)
    amounts, across, down = (
        list(dict.fromkeys(row[key] for row in rows))
        for key in ("per_class", "augmentation", "regularization")
    )
    places = {(row["per_class"], row["augmentation"], row["regularization"]): row for row in rows}
    if len(places) != len(amounts) * len(across) * len(down):
        raise ValueError(f"{len(places)} rows for {len(amounts)} x {len(across)} x {len(down)}")
    size = (3.4 * len(amounts) + 1.6, 0.9 * len(down) + 1.7)
    fig, axes = plt.subplots(1, len(amounts), figsize=size, squeeze=False, layout="constrained")
    means = [100 * row["accuracy"] for row in rows]
    for ax, amount in zip(axes[0], amounts, strict=True):
        some = [[places[amount, x, y] for x in across] for y in down]
        grid = np.array([[100 * row["accuracy"] for row in line] for line in some])
        image = ax.imshow(grid, cmap="cividis", vmin=min(means), vmax=max(means), aspect="auto")
        for (y, x), value in np.ndenumerate(grid):
            half = 50 * (some[y][x]["high"] - some[y][x]["low"])
            words = f"{value:.1f}\n± {half:.1f}"
            color = on_color(_hex(image, value))
            ax.text(x, y, words, ha="center", va="center", fontsize=10, color=color)
        ax.set_title(say("plot.amount", num=f"{amount:,}"), fontsize=11)
        ax.set_xticks(range(len(across)), [say(f"amount.{name}") for name in across], fontsize=10)
        ax.set_yticks(range(len(down)), [say(f"amount.{name}") for name in down], fontsize=10)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    axes[0, 0].set_ylabel(say("plot.regularization"), fontsize=11)
    fig.supxlabel(say("plot.augmentation"), fontsize=11)
    return finish(fig, plain(caption))


def _check(
    rows: Sequence[Mapping], needed: Sequence[str], estimate: Sequence[str], *, least: float
) -> None:
    if not rows:
        raise ValueError("no rows to show")
    for row in rows:
        if missing := [key for key in (*needed, *estimate) if key not in row]:
            raise ValueError(f"a row lacks {', '.join(missing)}; it has {', '.join(row)}")
        value, low, high = (row[key] for key in estimate)
        if not low <= value <= high or not least <= value <= 1:
            raise ValueError(
                f"expected {estimate[1]} <= {estimate[0]} <= {estimate[2]}: {dict(row)}"
            )


def _tidy(ax: Axes) -> None:
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
