"""What the schematics are made of: boxes, arrows and pictures on a canvas measured in inches.

One color means one thing in all of them; `draw_key` names those that were used.
"""

from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch
from matplotlib.path import Path

from course_utils.plots.style import (
    BAND,
    GREY,
    INK,
    MAX_WIDTH,
    Number,
    Pair,
    Picture,
    enlarge,
    head_inches,
    refuse_unless_pictures,
    say,
)

# Okabe and Ito's palette, darkened for words; what is learned is green, whatever it is.
COLORS = {
    "image": "#0072B2",
    "text": "#A5497B",
    "net": "#00795A",
    "noise": GREY,
    "step": "#6A4FB3",
    "answer": "#B36200",
}
TITLE, WORDS, SMALL = 15, 13.5, 12  # points; nothing is smaller than the last
_TINT = 0.13  # of the color in the ground of a box
_GAP = 0.05  # inches between an arrow and what it points at


@dataclass(frozen=True)
class Box:
    """A rectangle by its center, in inches, and the points where arrows touch it."""

    x: Number
    y: Number
    width: Number
    height: Number

    def at(self, across: Number, up: Number) -> Pair:
        """Give a point of it; (0, 0) is lower left, (1, 1) upper right."""
        return self.x + (across - 0.5) * self.width, self.y + (up - 0.5) * self.height

    @property
    def left(self) -> Pair:
        """The middle of its left side."""
        return self.at(0, 0.5)

    @property
    def right(self) -> Pair:
        """The middle of its right side."""
        return self.at(1, 0.5)

    @property
    def top(self) -> Pair:
        """The middle of its upper side."""
        return self.at(0.5, 1)

    @property
    def bottom(self) -> Pair:
        """The middle of its lower side."""
        return self.at(0.5, 0)


def make_canvas(height: Number, caption: str = "") -> Axes:
    """Make a figure whose coordinates are inches, (0, 0) at the lower left, under a caption."""
    total = height + head_inches(caption)
    fig = plt.figure(figsize=(MAX_WIDTH, total))
    ax = fig.add_axes((0, 0, 1, height / total))
    ax.set_axis_off()
    ax.set(xlim=(0, MAX_WIDTH), ylim=(0, height), autoscale_on=False)
    return ax


def tint(color: str, share: Number = _TINT) -> tuple[float, float, float]:
    """Mix a color with white."""
    return tuple(1 - share * (1 - np.array(to_rgb(color))))


def draw_box(
    ax: Axes,
    center: Pair,
    size: Pair,
    words: str = "",
    detail: str = "",
    *,
    color: str = COLORS["net"],
    fontsize: Number = WORDS,
    frozen: bool = False,
) -> Box:
    """Draw a rounded box with bold words, and plain ones below; dashed, if it learns no more."""
    box = Box(*center, *size)
    frame = {"boxstyle": f"round,pad=0,rounding_size={min(0.1, 0.3 * min(size))}"}
    style = {"edgecolor": color, "linewidth": 2, "zorder": 2} | _ground(color, frozen=frozen)
    ax.add_patch(FancyBboxPatch(box.at(0, 0), *size, **frame, **style))
    step, small = 1.3 * fontsize / 72, 1.3 * SMALL / 72
    heights = [step * (words.count("\n") + 1) if words else 0]
    heights.append(small * (detail.count("\n") + 1) if detail else 0)
    gap = 0.04 if all(heights) else 0
    top = box.y + (sum(heights) + gap) / 2
    if words:
        write(ax, (box.x, top - heights[0] / 2), words, size=fontsize, weight="bold")
    if detail:
        write(ax, (box.x, top - heights[0] - gap - heights[1] / 2), detail)
    return box


def _ground(color: str, *, frozen: bool) -> dict[str, object]:
    """Give the filling and the line of a box."""
    return (
        {"facecolor": "white", "linestyle": (0, (3, 1.5))} if frozen else {"facecolor": tint(color)}
    )


def draw_group(ax: Axes, corner: Pair, size: Pair, words: str = "") -> None:
    """Draw a pale ground behind what belongs together, named at its upper left."""
    frame = {"boxstyle": "round,pad=0,rounding_size=0.15", "linewidth": 0, "zorder": 0}
    ax.add_patch(FancyBboxPatch(corner, *size, facecolor=BAND, **frame))
    if words:
        place = (corner[0] + 0.15, corner[1] + size[1] - 0.12)
        write(ax, place, words, ha="left", va="top", weight="bold", size=TITLE)


def write(ax: Axes, point: Pair, words: str, **style: object) -> None:
    """Write words, centered on a point unless told otherwise."""
    style = {"ha": "center", "va": "center", "color": INK, "size": SMALL, "zorder": 4} | style
    ax.text(*point, words, linespacing=1.25, **style)


def draw_arrow(
    ax: Axes,
    *points: Pair,
    color: str = INK,
    dashed: bool = False,
    bend: Number = 0.0,
) -> None:
    """Draw an arrow through points; with two of them it may bend, to the left if positive."""
    style = {"arrowstyle": "-|>,head_length=0.5,head_width=0.25"}
    style |= {"color": color, "linewidth": 2, "mutation_scale": 14, "zorder": 3}
    style |= {"linestyle": (0, (3, 1.5)) if dashed else "-", "joinstyle": "round"}
    if bend:
        curve = {"connectionstyle": f"arc3,rad={-bend}", "shrinkA": 2, "shrinkB": 2}
        ax.add_patch(FancyArrowPatch(*points, **curve, **style))
        return
    path = np.array(points, dtype=float)
    path[-1] -= _GAP * _direction(path[-2], path[-1])
    ax.add_patch(FancyArrowPatch(path=Path(path), shrinkA=0, shrinkB=0, **style))


def _direction(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    return (end - start) / np.linalg.norm(end - start)


def draw_sum(ax: Axes, center: Pair) -> Box:
    """Draw the circle in which two things are added."""
    side = 0.36
    frame = {"boxstyle": f"round,pad=0,rounding_size={side / 2}", "zorder": 3.5}
    box = Box(*center, side, side)
    ax.add_patch(FancyBboxPatch(box.at(0, 0), side, side, ec=INK, fc="white", lw=2, **frame))
    write(ax, center, "+", size=TITLE, weight="bold")
    return box


def draw_picture(
    ax: Axes, center: Pair, side: Number, picture: Picture, *, color: str = COLORS["image"]
) -> Box:
    """Draw the square in the middle of a picture, framed."""
    box = Box(*center, side, side)
    (left, bottom), (right, top) = box.at(0, 0), box.at(1, 1)
    extent = (left, right, bottom, top)
    ax.imshow(enlarge(picture), extent=extent, aspect="auto", zorder=2)
    frame = {"fill": False, "ec": color, "lw": 2, "zorder": 3}
    ax.add_patch(plt.Rectangle((left, bottom), side, side, **frame))
    return box


def square(picture: Picture, least: int = 1) -> Picture:
    """Cut the square out of the middle of a picture.

    Raises:
        ValueError: it is not uint8 (h, w, 3), or has fewer than ``least`` pixels a side.
    """
    refuse_unless_pictures([picture])
    side = min(picture.shape[:2])
    if side < least:
        raise ValueError(
            f"expected a picture of {least} pixels a side or more, got {picture.shape[:2]}"
        )
    y, x = ((length - side) // 2 for length in picture.shape[:2])
    return picture[y : y + side, x : x + side]


def cut(picture: Picture, num: int) -> list[Picture]:
    """Cut a square picture into num x num patches, row by row; what is left over falls away."""
    step = len(picture) // num
    starts = [(i * step, j * step) for i in range(num) for j in range(num)]
    return [picture[y : y + step, x : x + step] for y, x in starts]


def draw_lines(ax: Axes, box: Box, num: int, *, width: Number = 1.5) -> None:
    """Draw the lines that cut a box into num x num cells."""
    for share in np.arange(1, num) / num:
        for start, end in (((share, 0), (share, 1)), ((0, share), (1, share))):
            ends = np.array([box.at(*start), box.at(*end)]).T
            ax.plot(*ends, color="white", lw=width, zorder=3, solid_capstyle="butt")


def draw_key(ax: Axes, *kinds: str) -> None:
    """Say what the colors mean, below the drawing."""
    marks = []
    for kind in kinds:
        color = COLORS["net" if kind == "frozen" else kind]
        look = _ground(color, frozen=kind == "frozen")
        marks.append(Patch(ec=color, lw=2, label=say(f"sketch.key.{kind}"), **look))
    style = {"frameon": False, "fontsize": SMALL, "columnspacing": 1.4, "handletextpad": 0.5}
    style |= {"handlelength": 1.3, "borderaxespad": 0.2}
    ax.legend(handles=marks, loc="lower left", ncols=len(marks), **style)
