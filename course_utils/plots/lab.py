"""The lab's answer: accuracy and gain against shots, strategies side by side, a map of verdicts.

What is drawn is `results.json`, also while its grid is being filled: what is missing is left out.
"""

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import Container
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from course_utils.plots.heat import draw_table, write_into
from course_utils.plots.measured import draw_estimates
from course_utils.plots.style import (
    ARM_STYLES,
    BAND,
    GREY,
    INK,
    PALE,
    Number,
    check_rows,
    finish,
    group_by,
    head_inches,
    make_axes,
    name_rows,
    plain,
    remark,
    say,
    shorten,
    tidy,
)

_ACCURACY = ("accuracy", "accuracy_low", "accuracy_high")
_GAIN = ("gain", "gain_low", "gain_high")
_NO_SHOTS = -1.3  # where no real images lie on an axis of log2(shots)
_CURVE = ("real", "real+synthetic", "zero_shot", "synthetic", "retrieval")
_CONTROLS = ("retrieval", "augmented", "more_real", "shuffled")
# How a mark is filled tells the verdict; where there is none, the mark is hollow as well.
_HOLLOW = {"markerfacecolor": "white"}
_FILLS = {
    "helped": {},
    "hurt": {},
    "no difference larger than that": {"fillstyle": "bottom", "markerfacecoloralt": "white"},
}
_SIGNS = {
    "helped": "▲",
    "hurt": "▼",
    "no difference larger than that": "=",
    "cannot tell": "?",
}
_FILL_WORDS = (
    ("plot.told", {}),
    ("plot.no_difference", _FILLS["no difference larger than that"]),
    ("plot.cannot_tell", _HOLLOW),
)


def plot_shots_curve(content: Mapping, *, caption: str = "") -> Figure:
    """Draw accuracy against real images a class, with and without synthetic ones.

    Each generator has a panel. No real images stand apart at the left: zero-shot, and synthetic
    images alone. The student's prediction is a dashed line, drawn as if by hand.

    Args:
        content: of `results.json`, whole or half filled.
        caption: said above; what was measured on what, by default.
    """
    words = caption or _title(content, _CURVE)
    fig, panels = _make_panels(content, 4.6, words)
    for generator, ax in panels.items():
        _draw_curves(ax, content, generator)
        tidy(ax, say("plot.real_per_class_log"))
    _name_shots(panels.values(), content["summary"])
    next(iter(panels.values())).set_ylabel(say("plot.accuracy_interval"), fontsize=12)
    return finish(fig, words, legend=_merge_legends(panels.values()), ncols=len(panels) + 1)


def _draw_curves(ax: Axes, content: Mapping, generator: str) -> None:
    """Draw the arms of one generator, and the prediction on top of real only."""
    found = {arm: _find(content, arm, generator, "accuracy") for arm in ARM_STYLES}
    for entry in found["zero_shot"]:
        ax.axhline(100 * entry["accuracy"], color=INK, linestyle=":", linewidth=1, zorder=0)
    real = found["real"]
    low, high = (100 * np.array([e[key] for e in real], float) for key in _ACCURACY[1:])
    ax.fill_between(_places(real), low, high, alpha=0.15, linewidth=0, color=ARM_STYLES["real"][0])
    for arm, line, shift in (
        ("real", "-", 0),
        ("real+synthetic", "-", 0.06),
        ("zero_shot", "none", 0),
        ("synthetic", "none", 0),
    ):
        if found[arm]:
            style = _arm_style(arm) | {"linestyle": line}
            draw_estimates(ax, _places(found[arm]) + shift, found[arm], _ACCURACY, **style)
    if entries := found["retrieval"]:
        style = _arm_style("retrieval") | {"linestyle": "-.", "linewidth": 1.5}
        ax.plot(_places(entries), [100 * entry["accuracy"] for entry in entries], **style)
    gains = {row["shots"]: row["gain"] for row in content.get("prediction") or ()}
    if foretold := [entry for entry in real if entry["shots"] in gains]:
        heights = [100 * entry["accuracy"] + gains[entry["shots"]] for entry in foretold]
        style = {"color": GREY, "linestyle": "--", "linewidth": 2, "marker": "x"}
        (line,) = ax.plot(_places(foretold), heights, label=say("plot.prediction"), **style)
        line.set_sketch_params(2, 60, 6)  # as if by hand


def plot_gains_by_shots(
    content: Mapping,
    *,
    arms: Sequence[str] = ("synthetic", "real+synthetic", "pooled", "retrieval"),
    smallest: Number = 0.02,
    caption: str = "",
) -> Figure:
    """Draw what each arm changes against real only, with its interval, over real images a class.

    Synthetic images alone are compared with zero-shot. A full mark is a gain or a loss that can be
    told from none, a half one a difference of no interest, a hollow one neither.

    Args:
        content: of `results.json`, whole or half filled.
        arms: what to draw; shuffled labels lie so far from zero that they would squeeze the rest.
        smallest: smallest effect of interest, as a share; the shaded band.
        caption: said above; what was measured on what, by default.

    Raises:
        ValueError: an arm that is none of the lab's.
    """
    if unknown := set(arms) - set(ARM_STYLES):
        raise ValueError(f"no arm {min(unknown)!r}; there are {', '.join(ARM_STYLES)}")
    words = caption or _title(content, arms)
    fig, panels = _make_panels(content, 4.6, words)
    for generator, ax in panels.items():
        _draw_zero(ax.axhspan, ax.axhline, smallest)
        for i, arm in enumerate(arms):
            if entries := _find(content, arm, generator, "gain"):
                shift = 0.09 * (i - (len(arms) - 1) / 2) * bool(entries[-1]["shots"])
                _draw_judged(ax, arm, _places(entries) + shift, entries)
        tidy(ax, say("plot.real_per_class_log"))
    _name_shots(panels.values(), content["summary"])
    next(iter(panels.values())).set_ylabel(say("plot.gain_points"), fontsize=12)
    handles = [*_merge_legends(panels.values()), *_verdict_legend(smallest)]
    return finish(fig, words, legend=handles, ncols=len(panels) + 1)


def plot_strategies(
    content: Mapping, *, shots: int = 4, smallest: Number = 0.02, caption: str = ""
) -> Figure:
    """Draw what every arm changes at one number of real images a class, a panel each generator.

    Below the line are the controls: real images in place of the synthetic ones, and shuffled
    labels; what lies beyond the axis is an arrow at its edge. The numbers stand at the right.

    Args:
        content: of `results.json`, whole or half filled.
        shots: real images a class.
        smallest: smallest effect of interest, as a share; the shaded band.
        caption: said above; what was measured on what, by default.

    Raises:
        ValueError: there is no arm to compare at this number of shots.
    """
    here = [e for e in content["summary"] if e["shots"] == shots and _is_number(e["gain"])]
    arms = [a for a in ARM_STYLES if a != "real" and any(e["arm"] == a for e in here)]
    if not arms:
        have = sorted({entry["shots"] for entry in content["summary"]})
        raise ValueError(f"no arm is compared with real only at {shots} shots; there are {have}")
    arms.sort(key=lambda arm: arm in _CONTROLS)  # stable: the order of the lab is kept
    words = caption or _title(content, arms, shots)
    fig, panels = _make_panels(content, 0.36 * len(arms) + 1.3, words, sharex=True)
    ends = [e[key] for e in here if e["arm"] != "shuffled" for key in _GAIN if _is_number(e[key])]
    limits = 100 * min(-smallest, *ends) - 1, 100 * max(smallest, *ends) + 1
    for generator, ax in panels.items():
        _draw_zero(ax.axvspan, ax.axvline, smallest)
        ax.axhline(sum(arm not in _CONTROLS for arm in arms) - 0.5, color=PALE, linewidth=1)
        ax.set_xlim(limits)
        for y, arm in enumerate(arms):
            entries = [e for e in _find(content, arm, generator, "gain") if e["shots"] == shots]
            for entry in entries:
                _draw_strategy(ax, arm, y, entry)
        name_rows(ax, [say(f"arm.{arm}") for arm in arms])
        ax.tick_params(axis="y", length=0)
        tidy(ax, say("plot.gain_at", shots=shots), grid="x")
    return finish(fig, words, legend=_verdict_legend(smallest), ncols=2)


def _draw_strategy(ax: Axes, arm: str, y: int, entry: Mapping) -> None:
    """Draw a gain with its interval, or an arrow where it is off the axis, and its numbers."""
    low, high = ax.get_xlim()
    gain = 100 * entry["gain"]
    if low <= gain <= high:
        _draw_judged(ax, arm, [y], [entry], is_across=True)
    else:
        color, end = ARM_STYLES[arm][0], low if gain < low else high
        inside = end + 0.03 * (high - low) * (1 if gain < low else -1)
        ax.plot([inside], [y], marker="<" if gain < low else ">", color=color, markersize=8)
    place = {"xycoords": ax.get_yaxis_transform(), "annotation_clip": False}
    numbers = [f"{100 * entry[key]:+.1f}" if _is_number(entry[key]) else "?" for key in _GAIN]
    remark(ax, "{} [{}, {}]".format(*numbers), (1, y), (8, 0), color=INK, **place)


def plot_verdict_map(rows: Sequence[Mapping], *, caption: str = "") -> Figure:
    """Lay out gains and verdicts over all settings, so that nobody has to trust one choice.

    An arm and generator is a row of panels, a number of real images a class a column; in a panel
    learning rates go across and training steps down. The setting that was chosen is framed.

    Args:
        rows: with ``arm``, ``generator``, ``shots``, ``steps``, ``learning_rate``, ``chosen``,
            ``verdict``, and ``gain``, ``gain_low``, ``gain_high`` as shares.
        caption: said above.

    Raises:
        ValueError: no rows, one without a needed entry, or a gain outside its interval.
    """
    needed = ("arm", "generator", "shots", "steps", "learning_rate", "chosen", "verdict")
    check_rows(rows, needed, estimate=_GAIN, limits=(-1, 1))
    lines = group_by(rows, "arm", "generator")
    shots, steps, rates = (sorted({row[key] for row in rows}) for key in needed[2:5])
    width = min(13, max(7, (0.52 * len(rates) + 0.3) * len(shots) + 1.0))
    height = (0.44 * len(steps) + 1.1) * len(lines) + 0.5 + head_inches(caption)
    fig = plt.figure(figsize=(width, height), layout="constrained")
    most = 100 * max(0.01, *(abs(row["gain"]) for row in rows))
    parts = fig.subfigures(len(lines), 1, squeeze=False)[:, 0]
    for part, ((arm, generator), some) in zip(parts, lines.items(), strict=True):
        who = " · ".join(filter(None, (say(f"arm.{arm}"), plain(generator))))
        part.suptitle(who, fontsize=11, weight="bold")
        axes = part.subplots(1, len(shots), squeeze=False, sharey=True)[0]
        for ax, num in zip(axes, shots, strict=True):
            here = [row for row in some if row["shots"] == num]
            _draw_map(ax, here, steps, rates, most)
            ax.set_title(say("plot.num_shots", shots=num), fontsize=11)
            ax.set_xlabel(say("plot.learning_rate"))
        axes[0].set_ylabel(say("plot.train_steps"))
    fig.supxlabel(textwrap.fill(say("plot.map_key"), int(11 * width)), fontsize=11)
    return finish(fig, caption)


def _draw_map(
    ax: Axes, rows: Sequence[Mapping], steps: Sequence, rates: Sequence, most: Number
) -> None:
    """Draw gains of one panel, steps down and rates across; what is missing stays white."""
    grid = np.full((len(steps), len(rates)), np.nan)
    spots = [(rates.index(row["learning_rate"]), steps.index(row["steps"])) for row in rows]
    for (x, y), row in zip(spots, rows, strict=True):
        grid[y, x] = 100 * row["gain"]
    names = [[f"{value:g}" for value in values] for values in (rates, steps)]
    table = draw_table(ax, grid, *names, cmap="PuOr", vmin=-most, vmax=most)
    for spot, row in zip(spots, rows, strict=True):
        _write_verdict(table, spot, row)


def _write_verdict(table: AxesImage, spot: tuple[int, int], row: Mapping) -> None:
    """Write a gain and the sign of its verdict, in a frame if the setting was chosen."""
    words = f"{round(100 * row['gain'], 1) + 0.0:+.1f}\n{_SIGNS.get(row['verdict'], '')}"
    is_told = row["verdict"] in ("helped", "hurt")
    write_into(table, spot, words, fontsize=9, weight="bold" if is_told else "normal")
    if row["chosen"]:
        corner = spot[0] - 0.47, spot[1] - 0.47
        frame = {"fill": False, "edgecolor": INK, "linewidth": 2.2}
        table.axes.add_patch(Rectangle(corner, 0.94, 0.94, **frame))


def _draw_zero(shade: Callable, rule: Callable, smallest: Number) -> None:
    """Draw zero, which is real only, and around it the differences of no interest."""
    shade(-100 * smallest, 100 * smallest, color=BAND, linewidth=0, zorder=0)
    rule(0, color=ARM_STYLES["real"][0], linewidth=1.5, zorder=1)


def _draw_judged(
    ax: Axes, arm: str, places: Iterable, entries: Sequence[Mapping], *, is_across: bool = False
) -> None:
    """Draw gains of an arm with their intervals, the marks filled by verdict."""
    style = _arm_style(arm)
    line = {"color": style["color"], "marker": "none", "linestyle": "none" if is_across else "-"}
    draw_estimates(ax, places, entries, _GAIN, is_across=is_across, linewidth=1.5, **line)
    ax.plot([], [], **style)  # for the legend, a full mark
    for place, entry in zip(places, entries, strict=True):
        point = (100 * entry["gain"], place) if is_across else (place, 100 * entry["gain"])
        look = style | {"label": None, "linestyle": "none"} | _FILLS.get(entry["verdict"], _HOLLOW)
        ax.plot(*point, **look, zorder=3)


def _verdict_legend(smallest: Number) -> list[Artist]:
    """Say what full, half and hollow marks mean, and the band."""
    points = f"{100 * smallest:g}"
    style = {"color": INK, "marker": "o", "linestyle": "none", "markersize": 8}
    marks = [
        Line2D([], [], label=say(key, points=points), **style | look) for key, look in _FILL_WORDS
    ]
    return [*marks, Patch(color=BAND, label=say("plot.no_interest", points=points))]


def _make_panels(
    content: Mapping, height: float, caption: str, **options: object
) -> tuple[Figure, dict[str, Axes]]:
    """Make axes for each generator, with its name and what it was trained on."""
    trained_on = {each["name"]: each["trained_on"] for each in content.get("generators") or ()}
    names = dict.fromkeys([*trained_on, *(e["generator"] for e in content["summary"])])
    names = [name for name in names if name] or [""]
    size = (min(12.5, 4.6 * len(names) + 3.4), height)
    fig, axes = make_axes(1, len(names), size, caption=caption, sharey=True, **options)
    for ax, name in zip(axes[0], names, strict=True):
        told = trained_on.get(name)
        lines = [shorten(name, 46), say("plot.trained_on", data=shorten(told, 40)) if told else ""]
        ax.set_title("\n".join(filter(None, lines)), fontsize=12)
    return fig, dict(zip(names, axes[0], strict=True))


def _title(content: Mapping, arms: Sequence[str], shots: int | None = None) -> str:
    """Name data and model, and how many seeds of these arms and test images there are."""
    trained = [
        row
        for row in content["rows"]
        if row["arm"] in set(arms) - {"zero_shot"} and shots in (None, row["shots"])
    ]
    cells = group_by(trained, "arm", "generator", "shots").values()
    counts = [len(group_by(cell, "seed")) for cell in cells] or [0]
    seeds = "–".join(map(str, sorted({min(counts), max(counts)})))
    names = {key: content[key] for key in ("data", "model", "num_test")}
    return say("plot.lab_title", seeds=seeds, **names)


def _find(content: Mapping, arm: str, generator: str, measure: str) -> list[Mapping]:
    """Give the entries of an arm with that generator, or with none, by shots."""
    found = [
        entry
        for entry in content["summary"]
        if entry["arm"] == arm
        and entry["generator"] in (generator, "")
        and _is_number(entry[measure])
    ]
    return sorted(found, key=lambda entry: entry["shots"])


def _is_number(value: Number | None) -> bool:
    """Tell numbers from None and NaN, which stand for what was not measured."""
    return value is not None and bool(np.isfinite(value))


def _places(entries: Iterable[Mapping]) -> np.ndarray:
    """Place numbers of shots on a logarithmic axis, 0 at its left."""
    shots = [entry["shots"] for entry in entries]
    return np.array([np.log2(num) if num else _NO_SHOTS for num in shots], float)


def _name_shots(panels: Iterable[Axes], entries: Sequence[Mapping]) -> None:
    """Write numbers of shots along the axes, and cut them between 0 and the others."""
    by_shots = {entry["shots"]: entry for entry in entries}
    for ax in panels:
        names = [f"{shots:g}" for shots in by_shots]
        ax.set_xticks(_places(by_shots.values()), names)
        ax.tick_params(labelsize=11)
        if 0 in by_shots:
            style = {"color": PALE, "linestyle": (0, (2, 3)), "linewidth": 1, "zorder": 0}
            ax.axvline(_NO_SHOTS / 2, **style)


def _arm_style(arm: str) -> dict[str, object]:
    """Give color, mark and name of an arm."""
    color, marker = ARM_STYLES[arm]
    return {"color": color, "marker": marker, "markersize": 8, "label": say(f"arm.{arm}")}


def _merge_legends(panels: Iterable[Axes]) -> list[Artist | Container]:
    """Give what is named in any of some axes, each name once, in the order of the arms."""
    named: dict[str, Artist | Container] = {}
    for ax in panels:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    order = [say(f"arm.{arm}") for arm in ARM_STYLES]
    return [named[label] for label in sorted(named, key=[*order, *named].index)]
