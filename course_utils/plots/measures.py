"""How large the buildings are, and how the images were taken."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from course_utils.plots.style import DISASTER_COLORS, INK, class_name, finish, say
from course_utils.xbd.labels import Metadata

_NUM_DOTS = 400  # more would hide each other
_SPREAD = 0.3  # rows that scenes of one event take, above and below its middle


def building_sizes(areas: Mapping[str, Float[np.ndarray, " _n"]], *, caption: str = "") -> Figure:
    """Draw the footprints of buildings by class: dots, quartiles, and the median written.

    The axis is logarithmic: sheds and halls differ a thousandfold. Of a large class evenly spaced
    ranks are drawn as dots; quartiles and median are those of all.

    Args:
        areas: ground area in m² of each building, by class (or by any other name).
        caption: said above.

    Raises:
        ValueError: no class has a building, or an area is not finite and above 0.
    """
    if not any(len(values) for values in areas.values()):
        raise ValueError("no buildings to measure")
    if any((~np.isfinite(values) | (values <= 0)).any() for values in areas.values()):
        raise ValueError("areas must be finite and above 0 m²; leave empty polygons out")
    fig, ax = plt.subplots(figsize=(11, 0.62 * len(areas) + 1.5), layout="constrained")
    ax.set(xscale="log", xlabel=say("plot.area"), ylim=(len(areas) - 0.45, -0.55))
    for y, (name, values) in enumerate(areas.items()):
        if len(values):
            _draw_sizes(ax, y, np.sort(values), DISASTER_COLORS.get(name, "#BBBBBB"))
        else:
            ax.text(0.01, y, say("plot.no_buildings"), transform=ax.get_yaxis_transform())
    ax.set_yticks(range(len(areas)), [class_name(name) for name in areas], fontsize=11)
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.grid(axis="x", alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
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
    ax.annotate(words, (1.01, y), xycoords=ax.get_yaxis_transform(), va="center", fontsize=10)


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
    height = 0.38 * len(pairs) + 2.0
    fig, axes = plt.subplots(1, 3, figsize=(13, height), sharey=True, layout="constrained")
    for ax, field in zip(axes, ("off_nadir_angle", "sun_elevation", "capture_date"), strict=True):
        for y, scenes in enumerate(pairs.values()):
            _draw_changes(ax, y, [[getattr(data, field) for data in pair] for pair in scenes])
        ax.set_xlabel(say(f"plot.{field}"), fontsize=11)
        ax.grid(axis="x", alpha=0.25)
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(axis="y", length=0)
    axes[0].set_xlim(left=min(0, axes[0].get_xlim()[0]))
    dates = AutoDateLocator(minticks=3, maxticks=6)
    axes[2].xaxis.set_major_locator(dates)
    axes[2].xaxis.set_major_formatter(ConciseDateFormatter(dates))
    axes[0].set_yticks(range(len(pairs)), [class_name(name) for name in pairs], fontsize=11)
    axes[0].set_ylim(len(pairs) - 0.45, -0.55)
    handles = [_mark(axes[0], True), _mark(axes[0], False)]
    labels = [say("plot.before"), say("plot.after")]
    fig.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=11)
    return finish(fig, caption)


def _draw_changes(ax: Axes, y: int, changes: Sequence[Sequence]) -> None:
    """Draw the scenes of one event above each other, each from before to after."""
    num = len(changes)
    heights = y + _SPREAD * (np.arange(num) - (num - 1) / 2) / max(1, (num - 1) / 2)
    for height, pair in zip(heights, changes, strict=True):
        # all clocks of the files are UTC; some say so, and matplotlib must not mix the two kinds
        pre, post = (v.replace(tzinfo=None) if isinstance(v, datetime) else v for v in pair)
        if pre is not None and post is not None:
            ax.plot([pre, post], [height] * 2, color="#999999", linewidth=1.2, zorder=1)
        for value, is_hollow in ((pre, True), (post, False)):
            if value is not None:
                _mark(ax, is_hollow, value, height)


def _mark(ax: Axes, is_hollow: bool, x: object = None, y: float | None = None) -> plt.Line2D:
    fill = "#FFFFFF" if is_hollow else INK
    style = {"marker": "o", "linestyle": "none", "color": INK, "markerfacecolor": fill}
    xy = ([], []) if x is None else ([x], [y])
    return ax.plot(*xy, **style, markersize=6, zorder=2)[0]
