"""Who invented what when: a lane for every family of models, a mark for every paper."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from course_utils.plots.style import INK, finish, plain, say

# Okabe and Ito's palette, darkened for words; every family has its own mark and lane as well.
_FAMILIES = {
    "VAE": ("#0072B2", "o"),
    "GAN": ("#B34700", "s"),
    "flow": ("#2A7FAA", "^"),
    "autoregressive": ("#A5497B", "D"),
    "diffusion": ("#00795A", "o"),
    "latent diffusion": ("#004D3A", "s"),
    "flow matching": ("#996600", "^"),
    "remote sensing": ("#000000", "*"),
}
_OTHER = ("#666666", "P")
_NEEDED = ("name", "year", "month", "family")
_WIDTH, _LEFT, _RIGHT, _BELOW, _HEAD = 12.5, 1.65, 0.3, 0.62, 0.4  # inches: figure and margins
_LINE, _PAD = 0.24, 0.16  # inches: a line of names, and what is free around a lane
_GAP = 0.08  # inches between names beside each other
_APART = 0.13  # inches from mark to mark, at least: papers of one month lie beside each other
_LEVELS = (1, -1, 2, -2, 3, -3, 4, -4, 5, -5)  # lines of names above and below a lane
_FONT = 10.5


@dataclass(frozen=True)
class _Paper:
    """A paper, and where its name goes."""

    name: str
    date: float  # in years
    family: str
    level: int = 0  # lines of names above the lane; negative: below
    left: float = 0.0  # inches from the left end of the axes to the name


def plot_timeline(rows: Sequence[Mapping], *, caption: str = "") -> Figure:
    """Draw papers along the years, in lanes by family, so that no name covers another.

    Args:
        rows: with ``name``, ``year``, ``month`` (1 … 12, of the first version) and ``family``, as
            in ``data/published/generative_timeline.csv``; the lanes come in the order in which the
            families first appear in time, "remote sensing" last.
        caption: said above.

    Raises:
        ValueError: no rows, a row lacks an entry, or a month is none.
    """
    papers = sorted((_read(row) for row in rows), key=lambda paper: paper.date)
    if not papers:
        raise ValueError("no papers to show; see data/published/generative_timeline.csv")
    first, last = int(papers[0].date), int(papers[-1].date) + 1
    families = list(dict.fromkeys(paper.family for paper in papers))
    families.sort(key=lambda family: family == "remote sensing")
    fig = plt.figure(figsize=(_WIDTH, 1))
    width = _WIDTH - _LEFT - _RIGHT
    lanes = [
        _place([paper for paper in papers if paper.family == family], fig, (first, last), width)
        for family in families
    ]
    inches = [_PAD * 2 + _LINE * (_above(lane) + _below(lane)) for lane in lanes]
    height = _BELOW + sum(inches) + _HEAD * bool(caption) + 0.05
    fig.set_figheight(height)
    ax = fig.add_axes((_LEFT / _WIDTH, _BELOW / height, width / _WIDTH, sum(inches) / height))
    ax.set(xlim=(first, last), ylim=(sum(inches), 0))
    top = 0.0
    for i, (family, lane, high) in enumerate(zip(families, lanes, inches, strict=True)):
        if i % 2 == 0:
            ax.axhspan(top, top + high, color="#F2F2F2", linewidth=0, zorder=0)
        _draw_lane(ax, family, lane, middle=top + _PAD + _LINE * _above(lane))
        top += high
    ax.set_xticks(range(first, last + 1))
    ax.set_xlabel(say("plot.first_published"), fontsize=11)
    ax.tick_params(axis="x", labelsize=11)
    ax.set_yticks([])
    ax.grid(axis="x", alpha=0.25)
    ax.spines[["top", "right", "left"]].set_visible(False)
    return finish(fig, caption)


def _read(row: Mapping) -> _Paper:
    """Give a paper with its date in years; a file gives its numbers as text."""
    if missing := [key for key in _NEEDED if key not in row]:
        raise ValueError(f"a row lacks {', '.join(missing)}; it has {', '.join(row)}")
    year, month = int(row["year"]), int(row["month"])
    if not 1 <= month <= 12:
        raise ValueError(f"{row['name']}: expected a month from 1 to 12, got {month}")
    return _Paper(plain(row["name"]), year + (month - 0.5) / 12, row["family"])


def _above(lane: Sequence[_Paper]) -> int:
    return max(0, *(paper.level for paper in lane), 0)


def _below(lane: Sequence[_Paper]) -> int:
    return max(0, *(-paper.level for paper in lane), 0)


def _place(
    papers: Sequence[_Paper], fig: Figure, years: tuple[int, int], width: float
) -> list[_Paper]:
    """Find for every name of a lane the line nearest to it that is free, in order of time.

    The thin line from a mark to its name crosses no other name and no name a thin line, unless
    there is no other way; a name rather leaves free what is above and below the next marks. Marks
    that would hide each other are moved apart, by a month or two.
    """
    scale = width / (years[1] - years[0])  # inches a year
    marks: list[float] = []
    for paper in papers:
        least = marks[-1] + _APART if marks else 0.0
        marks.append(max(least, (paper.date - years[0]) * scale))
    stems: list[tuple[float, int]] = []  # place and level of the thin lines
    placed: list[tuple[_Paper, float]] = []  # papers and the right ends of their names
    for i, (paper, x) in enumerate(zip(papers, marks, strict=True)):
        size = _measure(fig, paper)
        starts = [min(max(0.0, x - share * size), width - size) for share in (0.5, 0.85, 0.15)]
        later = marks[i + 1 :]
        starts.sort(key=lambda left: sum(left < x < left + size + _GAP for x in later))
        spots = [(level, start) for level in _LEVELS for start in starts]
        open_spots = [spot for spot in spots if _is_free(spot, size, placed, stems)]
        clear = [spot for spot in open_spots if _stem_is_free((x, spot[0]), placed)]
        level, left = [*clear, *open_spots, (_LEVELS[-1], starts[0])][0]
        stems.append((x, level))
        moved = _Paper(paper.name, years[0] + x / scale, paper.family, level, left)
        placed.append((moved, left + size))
    return [paper for paper, _ in placed]


def _measure(fig: Figure, paper: _Paper) -> float:
    """Give the width of a name as it will be drawn, in inches."""
    text = fig.text(0, 0, paper.name, fontsize=_FONT, weight=_weight(paper.family))
    width = text.get_window_extent().width / fig.dpi
    text.remove()
    return width


def _weight(family: str) -> str:
    return "bold" if family == "remote sensing" else "normal"


def _is_free(
    spot: tuple[int, float],
    size: float,
    placed: Sequence[tuple[_Paper, float]],
    stems: Sequence[tuple[float, int]],
) -> bool:
    """Tell whether a name would touch neither a name on its line nor a thin line through it."""
    level, left = spot
    low, high = left - _GAP, left + size + _GAP
    for paper, right in placed:
        if paper.level == level and low < right and paper.left < high:
            return False
    return not any(low < x < high and _passes(end, level) for x, end in stems)


def _stem_is_free(stem: tuple[float, int], placed: Sequence[tuple[_Paper, float]]) -> bool:
    x, level = stem
    return not any(
        paper.left - _GAP < x < right + _GAP and _passes(level, paper.level)
        for paper, right in placed
    )


def _passes(end: int, level: int) -> bool:
    """Tell whether a thin line from the lane to the level ``end`` goes through a level."""
    return end * level > 0 and abs(end) > abs(level)


def _draw_lane(ax: plt.Axes, family: str, lane: Sequence[_Paper], *, middle: float) -> None:
    """Draw the marks of a family on a line, their names beside it and its own name at the left."""
    color, marker = _FAMILIES.get(family, _OTHER)
    scale = (ax.get_xlim()[1] - ax.get_xlim()[0]) / (_WIDTH - _LEFT - _RIGHT)  # years an inch
    dates = [paper.date for paper in lane]
    ax.plot([dates[0], ax.get_xlim()[1]], [middle] * 2, color=color, linewidth=1.5, alpha=0.35)
    size = 12 if marker == "*" else 9
    style = {"color": color, "markersize": size, "markeredgecolor": "white", "zorder": 3}
    ax.plot(dates, [middle] * len(lane), marker, **style)
    for paper in lane:
        y = middle - paper.level * _LINE
        end = y + 0.4 * _LINE * (1 if paper.level > 0 else -1)
        ax.plot([paper.date] * 2, [middle, end], color=color, linewidth=1.2)
        style = {"ha": "left", "va": "center", "fontsize": _FONT, "weight": _weight(family)}
        label = ax.text(ax.get_xlim()[0] + paper.left * scale, y, paper.name, color=INK, **style)
        label.set_path_effects([withStroke(linewidth=3, foreground="#FAFAFA")])
    words = say(f"family.{family}") if family in _FAMILIES else plain(family)
    style = {"ha": "right", "va": "center", "fontsize": 12, "weight": "bold", "color": color}
    ax.annotate(words, (-0.008, middle), xycoords=ax.get_yaxis_transform(), **style)
