"""What synthetic images added to zero-shot accuracy, as He et al. published it."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_utils.plots.benchmarks import check_rows
from course_utils.plots.diffusion import tidy
from course_utils.plots.style import INK, SOURCE_COLORS, finish, plain, say
from course_utils.plots.sweeps import head_inches

_NEEDED = ("data", "kind", "backbone", "clip", "clip_syn")
_GREY = "#777777"


def plot_synthetic_gains(
    rows: Sequence[Mapping], *, highlight: str = "EuroSAT", caption: str = ""
) -> Figure:
    """Draw each data set's accuracy without and with synthetic images, a panel a backbone.

    The data sets come in the order of their mean gain over the backbones. Below them are the mean
    of the rows, computed here, and the mean as printed, hollow: they need not agree.

    Args:
        rows: with ``data``, ``kind`` ("data set" or "printed mean"), ``backbone``, ``clip`` and
            ``clip_syn`` (%), as in ``data/published/he2023_table1.csv``.
        highlight: the data set to point out.
        caption: said above.

    Raises:
        ValueError: no rows, one without a needed entry or of another kind, or backbones with
            other data sets.
    """
    check_rows(rows, _NEEDED)
    panels, printed = _read(rows)
    names = next(iter(panels.values()))
    order = sorted(names, key=lambda name: -sum(np.diff(panel[name]) for panel in panels.values()))
    size = (min(12.5, 5.4 * len(panels) + 1.7), 0.34 * (len(order) + 2) + 1.5)
    fig, axes = plt.subplots(
        1,
        len(panels),
        figsize=(size[0], size[1] + head_inches(caption)),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for ax, (backbone, panel) in zip(axes[0], panels.items(), strict=True):
        _draw_backbone(ax, [panel[name] for name in order], printed.get(backbone))
        if highlight in order:
            middle = order.index(highlight)
            ax.axhspan(middle - 0.5, middle + 0.5, color="#FDF1DC", zorder=0, linewidth=0)
        ax.set_title(plain(backbone), fontsize=13)
    labels = [*map(plain, order), say("plot.mean_computed"), say("plot.mean_printed")]
    labels = labels if printed else labels[:-1]
    axes[0, 0].set_yticks(range(len(labels)), labels, fontsize=11)
    axes[0, 0].set_ylim(len(labels) - 0.4, -0.6)
    for tick, name in zip(axes[0, 0].get_yticklabels(), order, strict=False):
        tick.set_weight("bold" if name == highlight else "normal")
    marks = [_mark(axes[0, 0], i) for i in (0, 1)]
    words = [say("plot.clip_alone"), say("plot.clip_syn")]
    fig.legend(marks, words, loc="outside lower center", ncols=2, frameon=False, fontsize=12)
    return finish(fig, caption)


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
    """Draw a dumbbell a data set, then the mean, then the printed mean."""
    mean = np.mean(pairs, axis=0)
    for y, pair in enumerate(pairs):
        _draw_dumbbell(ax, y, pair, f"{pair[1] - pair[0]:+.2f}")
    _draw_dumbbell(ax, len(pairs), mean, f"{mean[1] - mean[0]:+.2f} {_arrow(mean)}")
    ax.axhline(len(pairs) - 0.5, color=_GREY, linewidth=1)
    if printed is not None:
        is_wrong = np.abs(printed - mean).max() > 0.006  # printed to two decimals
        words = say("plot.mean_differs" if is_wrong else "plot.mean_agrees")
        _draw_dumbbell(ax, len(pairs) + 1, printed, f"{words} {_arrow(printed)}", is_hollow=True)
    ax.set_xlim(0, 118)  # room for the gain of an accuracy near 100 %
    ax.set_xticks(range(0, 101, 20))
    ax.set_xlabel(say("plot.zero_shot_top1"), fontsize=12)
    tidy(ax)


def _arrow(pair: np.ndarray) -> str:
    return f"({pair[0]:.2f} → {pair[1]:.2f})"


def _draw_dumbbell(
    ax: Axes, y: int, pair: np.ndarray, words: str, *, is_hollow: bool = False
) -> None:
    ax.plot(pair, [y, y], color="#BBBBBB", linewidth=3, zorder=1)
    for i, x in enumerate(pair):
        _mark(ax, i, x, y, is_hollow=is_hollow)
    style = {"va": "center", "fontsize": 10, "color": INK}
    is_right = len(words) < 8 or pair.max() < 60  # a long remark goes where there is room
    place = {"xytext": (9, 0), "ha": "left"} if is_right else {"xytext": (-9, 0), "ha": "right"}
    x = pair.max() if is_right else pair.min()
    ax.annotate(words, (x, y), textcoords="offset points", **place, **style)


def _mark(
    ax: Axes, index: int, x: float | None = None, y: int = 0, *, is_hollow: bool = False
) -> plt.Line2D:
    """Draw a mark of CLIP alone (0) or with synthetic images (1); at no place for a legend."""
    color, marker = ((INK, "o"), (SOURCE_COLORS["synthetic"], "s"))[index]
    style = {"color": color, "markersize": 9, "markeredgewidth": 1.8}
    fill = {"markerfacecolor": "white"} if is_hollow else {}
    xy = ([], []) if x is None else ([x], [y])
    return ax.plot(*xy, marker, linestyle="none", zorder=3, **style, **fill)[0]
