"""Where synthetic images turn answers: by class, by confusion, by confidence, image by image."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from course_utils.plots.grid import Cell, image_grid
from course_utils.plots.heat import draw_table, write_into
from course_utils.plots.measured import draw_estimates
from course_utils.plots.style import (
    ARM_STYLES,
    DASHES,
    INK,
    LINE_COLORS,
    MARKERS,
    SOURCE_COLORS,
    check_rows,
    finish,
    free_style,
    group_by,
    make_axes,
    name_rows,
    plain,
    say,
    short_class_name,
    shorten,
    tidy,
)

_GAIN = ("gain", "low", "high")
_TURNED = (("right", LINE_COLORS[2]), ("wrong", LINE_COLORS[1]))


def plot_class_gains(rows: Sequence[Mapping], *, caption: str = "") -> Figure:
    """Draw what each class gained with its interval, most first, a panel a generator.

    A full mark's own interval leaves out zero; classes are many, so some do so by chance.

    Args:
        rows: with ``class_name``, ``gain``, ``low`` and ``high`` as shares, and ``generator`` if
            there are several. A class without test images has a gain of NaN and is left out.
        caption: said above.

    Raises:
        ValueError: no rows with a gain, or a gain outside its interval.
    """
    rows = [row for row in rows if not np.isnan(row["gain"])]
    check_rows(rows, ("class_name",), estimate=_GAIN, limits=(-1, 1))
    panels = group_by([{"generator": "", **row} for row in rows], "generator")
    classes = group_by(rows, "class_name")
    order = sorted(classes, key=lambda name: -np.mean([row["gain"] for row in classes[name]]))
    size = (min(12.5, 4.4 * len(panels) + 3.0), 0.36 * len(order) + 1.2)
    fig, axes = make_axes(1, len(panels), size, caption=caption, sharex=True, sharey=True)
    color, marker = ARM_STYLES["real+synthetic"]
    for ax, (generator, some) in zip(axes[0], panels.items(), strict=True):
        ax.axvline(0, color=SOURCE_COLORS["real"], linewidth=1.5, zorder=1)
        for row in some:
            is_told = row["low"] > 0 or row["high"] < 0
            style = {"color": color, "fmt": marker, "markersize": 8}
            style |= {} if is_told else {"markerfacecolor": "white"}
            y = order.index(row["class_name"])
            draw_estimates(ax, [y], [row], _GAIN, is_across=True, **style)
        name_rows(ax, [short_class_name(name, 30) for name in order])
        ax.set_title(shorten(generator, 46), fontsize=12)
        ax.tick_params(axis="y", length=0)
        tidy(ax, say("plot.class_gain"), grid="x")
    return finish(fig, caption)


def plot_confusion_pair(
    before: Int[np.ndarray, "k k"],
    after: Int[np.ndarray, "k k"],
    class_names: Sequence[str],
    *,
    caption: str = "",
) -> Figure:
    """Show which answers real images alone give, and beside it what synthetic ones change.

    At the left are shares of each true class, at the right differences of such shares in points.

    Args:
        before: counts with real images only, rows true, columns predicted.
        after: counts with synthetic images as well.
        class_names: in the order of the rows.
        caption: said above.

    Raises:
        ValueError: tables of different sizes, another number of names, or a negative count.
    """
    if before.shape != after.shape or len(class_names) != len(before):
        raise ValueError(
            f"expected two tables of {len(class_names)} x {len(class_names)}, one row a class "
            f"name, got {before.shape} and {after.shape}"
        )
    if min(before.min(), after.min()) < 0:
        raise ValueError("counts must be 0 or more")
    shares, changed = (100 * c / np.maximum(c.sum(1, keepdims=True), 1) for c in (before, after))
    changed = changed - shares
    side = max(3.8, min(5.2, 0.75 * len(before)))
    fig, axes = make_axes(1, 2, (2 * side + 2.1, side + 1.2), caption=caption, sharey=True)
    names = [short_class_name(name, 22) for name in class_names]
    most = max(1.0, float(np.abs(changed).max()))
    looks = {"cmap": "Blues", "vmin": 0, "vmax": 100}, {"cmap": "PuOr", "vmin": -most, "vmax": most}
    for ax, values, look, pattern in zip(
        axes[0], (shares, changed), looks, ("{}", "{:+}"), strict=True
    ):
        table = draw_table(ax, values, names, names, **look)
        for (y, x), value in np.ndenumerate(values):
            if whole := round(value):
                write_into(table, (x, y), pattern.format(whole), fontsize=9 if side > 5 else 11)
        ax.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
        ax.set_xlabel(say("plot.predicted"))
    axes[0, 0].set_title(say("plot.shares_real"), fontsize=12)
    axes[0, 1].set_title(say("plot.shares_change"), fontsize=12)
    axes[0, 0].set_ylabel(say("plot.true"))
    return finish(fig, caption)


def plot_reliability(
    curves: Mapping[str | tuple[str, str], Sequence[Mapping]], *, caption: str = ""
) -> Figure:
    """Draw how often answers are right over how sure they are, and how many are that sure.

    On the diagonal a classifier that is 80 % sure is right in 80 % of the cases; below it, it is
    too sure of itself. The legend says the expected calibration error.

    Args:
        curves: by arm, (arm, generator) or another name, rows with ``confidence``, ``accuracy``
            and ``count``. A curve of an arm has its color.
        caption: said above.

    Raises:
        ValueError: no curves, one without images, or shares outside 0 … 1.

    Source:
        Guo et al. 2017 (arXiv:1706.04599), figure 1 and equation 3.
    """
    if not curves:
        raise ValueError("no curves to show")
    kept = {name: [row for row in rows if row["count"]] for name, rows in curves.items()}
    for name, rows in kept.items():
        check_rows(rows, ("confidence", "accuracy"), of=" ".join(_named(name)))
        if not all(0 <= row[key] <= 1 for row in rows for key in ("confidence", "accuracy")):
            raise ValueError(f"{_named(name)[0]}: confidence and accuracy must be shares in 0 … 1")
    size = (8, 5.6 + 0.25 * len(kept))
    fig, axes = make_axes(2, 1, size, caption=caption, sharex=True, height_ratios=(3, 1))
    top, bottom = axes[:, 0]
    top.plot([0, 100], [0, 100], color=INK, linestyle=":", linewidth=1)
    drawn = [
        _draw_reliability(top, bottom, i, name, rows) for i, (name, rows) in enumerate(kept.items())
    ]
    tidy(top, y=say("plot.right_share"))
    tidy(bottom, say("plot.confidence"), say("plot.image_share"))
    top.set(xlim=(0, 102), ylim=(0, 102))
    bottom.set_ylim(bottom=0)
    return finish(fig, caption, legend=drawn, ncols=1)


def _draw_reliability(
    top: Axes, bottom: Axes, i: int, name: str | tuple[str, str], rows: Sequence[Mapping]
) -> Line2D:
    """Draw one curve above and its number of images below; give the line for the legend."""
    confidence, accuracy, count = (
        np.array([row[key] for row in rows], float) for key in ("confidence", "accuracy", "count")
    )
    share = count / count.sum()
    error = 100 * float(share @ np.abs(accuracy - confidence))
    arm, *generator = _named(name)
    style, label = free_style(i), arm
    if arm in ARM_STYLES:
        label = say(f"arm.{arm}")
        style |= {"color": ARM_STYLES[arm][0], "marker": MARKERS[i % len(MARKERS)]}
        style["linestyle"] = DASHES[i % len(DASHES)]
    label = plain(" · ".join(filter(None, (label, *generator))))
    bottom.plot(100 * confidence, 100 * share, **style)
    style["label"] = say("plot.calibration_error", name=label, points=f"{error:.1f}")
    return top.plot(100 * confidence, 100 * accuracy, **style)[0]


def _named(name: str | tuple[str, str]) -> tuple[str, ...]:
    """Give what a curve is of: a name, or an arm and its generator."""
    return (name,) if isinstance(name, str) else name


def show_failures(items: Sequence[Mapping], *, caption: str = "") -> Figure:
    """Show test images that synthetic images turned right and wrong, above what they resemble.

    Args:
        items: with ``image`` (uint8, h w 3), ``label``, ``before`` and ``after`` (names of
            classes), and of the training image nearest to it ``nearest`` (uint8), its
            ``nearest_label``, and ``nearest_source``: "real" or "synthetic", for its frame.
        caption: said above.

    Raises:
        ValueError: no items, one that was turned neither way, or an image that is not uint8.
    """
    nearest = ("nearest", "nearest_label", "nearest_source")
    check_rows(items, ("image", "label", "before", "after", *nearest), of="items")
    groups: dict[str, list[Mapping]] = {"right": [], "wrong": []}
    for item in items:
        was, is_now = item["before"] == item["label"], item["after"] == item["label"]
        if was == is_now:
            raise ValueError(
                f"expected images that were turned right or wrong, got {item['label']!r} with the "
                f"answers {item['before']!r} and {item['after']!r}"
            )
        groups["right" if is_now else "wrong"].append(item)
    rows, names = [], []
    for (turned, color), some in zip(_TURNED, groups.values(), strict=True):
        for start in range(0, len(some), 7):
            here = some[start : start + 7]
            rows.append([Cell(item["image"], _turn(item), color=color) for item in here])
            rows.append([_nearest_cell(item) for item in here])
            names += [say(f"plot.turned_{turned}"), say("plot.nearest_training")]
    return image_grid(rows, cell=1.5, row_labels=names, caption=caption, fontsize=9)


def _nearest_cell(item: Mapping) -> Cell:
    """Show the nearest training image, with its label and in the color of its source."""
    name = short_class_name(item["nearest_label"], 18)
    return Cell(item["nearest"], below=name, color=SOURCE_COLORS[item["nearest_source"]])


def _turn(item: Mapping) -> str:
    """Say the truth, and how the answer changed."""
    label, before, after = (short_class_name(item[k], 13) for k in ("label", "before", "after"))
    return say("plot.turn", label=label, before=before, after=after)
