"""Published few-shot curves beside ours: the same question, on other images and other models."""

import textwrap
from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_utils.plots.measured import draw_estimates
from course_utils.plots.style import (
    ARM_COLORS,
    BAND,
    INK,
    SOURCE_COLORS,
    check_rows,
    finish,
    group_by,
    make_axes,
    plain,
    say,
    tidy,
)

# Color, mark and dashes of a method of He et al.; others than theirs step back.
_METHODS = {
    "CLIP": (ARM_COLORS["zero_shot"], "X", "none"),
    "CT with Syn": (SOURCE_COLORS["real+synthetic"], "o", "-"),
    "CT": (SOURCE_COLORS["real"], "s", "-"),
    "Tip-Adapter": (SOURCE_COLORS["control"], "v", "--"),
    "CoOp": (SOURCE_COLORS["control"], "P", ":"),
}
_LABELS = {"CT with Syn": "arm.real+synthetic", "CT": "arm.real", "CLIP": "arm.zero_shot"}
_OURS = {"zero_shot": ("X", "none"), "real": ("s", "-")}
_WITH_SYNTHETIC = ("synthetic", "real+synthetic")
_ACCURACY = ("accuracy", "accuracy_low", "accuracy_high")


def plot_few_shot_published(
    rows: Sequence[Mapping], ours: Sequence[Mapping], *, note: str, caption: str = ""
) -> Figure:
    """Draw He et al.'s few-shot curves on the left and ours on the right, on equal axes.

    Both begin without real images: a cross for zero-shot, and synthetic images alone as the first
    point of a curve with them. What was only roughly read off their figure is hollow.

    Args:
        rows: with ``method``, ``shots``, ``top1`` (%) and ``reading``, as in
            ``data/published/he2023_few_shot.csv``; numbers in names of checkpoints are left out.
        ours: with ``arm``, ``generator``, ``shots``, ``accuracy``, ``accuracy_low`` and
            ``accuracy_high`` (shares), as in ``summary`` of the lab's results. Zero-shot, real,
            synthetic and both are drawn, as far as they are there; other arms are left out.
        note: what goes after "not comparable because", a sentence or two.
        caption: said above.

    Raises:
        ValueError: no rows, one without a needed entry, none of ours of these arms, or no note.
    """
    if not note.strip():
        raise ValueError("say in the note why these numbers are not comparable")
    check_rows(rows, ("method", "shots", "top1", "reading"), of="published")
    theirs = [row for row in rows if row["reading"] != "checkpoint name"]
    shown = [row for row in ours if row.get("arm") in (*_OURS, *_WITH_SYNTHETIC)]
    check_rows(shown, ("generator", "shots"), estimate=_ACCURACY, limits=(0, 1), of="ours")
    fig, axes = make_axes(1, 2, (12, 5.2), caption=caption, sharex=True, sharey=True)
    fig.get_layout_engine().set(h_pad=0.1)
    left, right = axes[0]
    left.set_facecolor(BAND)
    for method, some in group_by(theirs, "method").items():
        _draw_method(left, method, some)
    _draw_ours(right, shown)
    shots = sorted({int(row["shots"]) for row in (*theirs, *shown)})
    corners = ("lower right", "upper left")  # ours are lower than theirs, so there is room above
    for ax, title, corner in zip(axes[0], ("plot.he_title", "plot.ours"), corners, strict=True):
        ax.set_title(say(title), fontsize=13)
        ax.set_xticks(_places(shots), map(str, shots))
        tidy(ax, say("plot.shots_zero"))
        ax.legend(loc=corner, fontsize=10)
    left.set_ylabel(say("plot.accuracy"), fontsize=12)
    words = "\n".join(textwrap.wrap(say("plot.not_comparable", why=note), 110))
    box = {"facecolor": "#FFF3CD", "edgecolor": INK, "boxstyle": "round,pad=0.4"}
    fig.supxlabel(plain(words), fontsize=11, bbox=box)
    return finish(fig, caption)


def _places(shots: Sequence[int | str]) -> list[float]:
    """Put 1, 2, 4 … at 0, 1, 2 …, and no real images well before 1."""
    return [float(np.log2(int(num))) if int(num) else -1.5 for num in shots]


def _draw_method(ax: Axes, method: str, rows: Sequence[Mapping]) -> None:
    color, marker, dash = _METHODS.get(method, (SOURCE_COLORS["control"], "D", "-."))
    style = {"color": color, "marker": marker, "markersize": 8}
    label = f"{method} ({say(_LABELS[method])})" if method in _LABELS else method
    ax.plot([], [], linestyle=dash, label=plain(label), **style)
    x, y = _places([row["shots"] for row in rows]), [float(row["top1"]) for row in rows]
    ax.plot(x, y, linestyle=dash, color=color)
    for place, top1, row in zip(x, y, rows, strict=True):
        face = "white" if "roughly" in row["reading"] else color
        ax.plot(place, top1, markerfacecolor=face, **style)


def _draw_ours(ax: Axes, rows: Sequence[Mapping]) -> None:
    """Draw zero-shot, real only, and a line a generator that begins without real images."""
    for arm, (marker, dash) in _OURS.items():
        if some := [row for row in rows if row["arm"] == arm]:
            look = {"color": ARM_COLORS[arm], "label": say(f"arm.{arm}"), "marker": marker}
            _draw_line(ax, some, **look, linestyle=dash)
    synthetic = group_by((row for row in rows if row["arm"] in _WITH_SYNTHETIC), "generator")
    looks = cycle((("o", "-"), ("D", "--"), ("^", ":")))
    for i, (generator, some) in enumerate(synthetic.items(), 1):
        marker, dash = next(looks)
        look = {"color": ARM_COLORS["real+synthetic"], "marker": marker, "linestyle": dash}
        _draw_line(ax, some, i, **look, label=plain(generator) or say("arm.real+synthetic"))


def _draw_line(ax: Axes, rows: Sequence[Mapping], index: int = 0, **style: object) -> None:
    """Draw a line with intervals, moved a little so that it does not hide the others."""
    rows = sorted(rows, key=lambda row: int(row["shots"]))
    places = np.array(_places([row["shots"] for row in rows])) + 0.07 * index
    draw_estimates(ax, places, rows, _ACCURACY, markersize=8, **style)
