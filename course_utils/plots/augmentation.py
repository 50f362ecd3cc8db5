"""Sheets of augmentations, each at three strengths with formula and effect; a close look."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from course_utils.lab import DIALS, shown_strengths
from course_utils.plots.buildings import dial_name
from course_utils.plots.grid import Cell, image_grid
from course_utils.plots.style import (
    GREY,
    INK,
    MAX_WIDTH,
    Pictures,
    check_counts,
    check_rows,
    enlarge,
    finish,
    head_inches,
    plain,
    refuse_unless_pictures,
    say,
)

_SIDE, _STEP, _ROW, _HEAD = 1.06, 1.1, 1.5, 0.34  # inches: picture, to the next, row, names
_LEFT, _NUMBERS = 2.75, 9.57  # inches where pictures and where numbers begin
_FRAME = "#E69F00"
_SIGNS = 30  # in a line beside the pictures
_GAIN = ("gain", "gain_low", "gain_high")
_FREE, _CAREFUL, _MIXES = "free", "careful", "mixes"
_COLORS = {_FREE: "#00735C", _CAREFUL: "#B34700", _MIXES: "#0072B2"}
# Of each dial its formula and whether the type of a disaster stays right, seen from above. A pixel
# p = (x, y) of an image w wide and h high with center c has the value u; eps is drawn from N(0, 1).
_FACTS = {
    "quarter_turns": (r"$(x, y) \mapsto (y,\ w - x)$", _FREE),
    "flip": (r"$(x, y) \mapsto (w - x,\ y)$", _FREE),
    "vertical_flip": (r"$(x, y) \mapsto (x,\ h - y)$", _FREE),
    "rotation": (r"$p \mapsto R_\varphi (p - c) + c$", _FREE),
    "scale": (r"$p \mapsto s\,(p - c) + c$", _CAREFUL),
    "translation": (r"$p \mapsto p + d\,(w, h)$", _CAREFUL),
    "crop": (r"$p \mapsto (p - p_0)\,/\sqrt{a}$", _CAREFUL),
    "cutout": (r"$u' = (1 - m)\,u$, $m$ a square", _CAREFUL),
    "brightness": (r"$u' = f\,u$", _FREE),
    "contrast": (r"$u' = \bar g + f\,(u - \bar g)$", _FREE),
    "saturation": (r"$u' = g + f\,(u - g)$", _CAREFUL),
    "hue": (r"$H' = H + \delta$ mod 360°", _CAREFUL),
    "gaussian_noise": (r"$u' = u + \sigma\epsilon$", _FREE),
    "speckle": (r"$u' = u\,(1 + \sigma\epsilon)$", _FREE),
    "salt_and_pepper": (r"$u' = 0$ or $1$, here and there", _CAREFUL),
    "mixup": (r"$\lambda u + (1 - \lambda)\,u_o$", _MIXES),
    "cutmix": (r"$(1 - m)\,u + m\,u_o$, $m$ a box", _MIXES),
    "copy_paste": (r"$(1 - m)\,u + m\,u_o$, $m$ roofs", _MIXES),
}


def show_dials(
    pictures: Mapping[str, tuple[Pictures, Pictures]],
    rows: Sequence[Mapping],
    *,
    per_class: int,
    caption: str = "",
) -> Figure:
    """Show augmentations at three strengths, with formula, legality and measured effect.

    Args:
        pictures: by dial of ``lab.DIALS``, renders and real images at ``lab.shown_strengths``;
            either may be missing.
        rows: measured, with ``study``, ``family``, ``strength``, ``per_class`` and ``gain``,
            ``gain_low``, ``gain_high``: of "legality" how accuracy changes when test images are
            changed, of "training" when the head learns from changed copies.
        per_class: real images a class in both.
        caption: said above.

    Raises:
        ValueError: no pictures, another number of pictures than strengths, or what is no
            picture or no gain.
    """
    check_rows(rows, ("study", "family", "strength", "per_class"), estimate=_GAIN, limits=(-1, 1))
    if not pictures:
        raise ValueError("no augmentations to show")
    for name, kinds in pictures.items():
        for some in filter(len, kinds):
            check_counts(strengths=shown_strengths(name), pictures=some)
            refuse_unless_pictures(some)
    top = head_inches(caption) + 0.05
    height = top + _HEAD + _ROW * len(pictures)
    fig = plt.figure(figsize=(MAX_WIDTH, height))
    sheet = fig.add_axes((0, 0, 1, 1), xlim=(0, MAX_WIDTH), ylim=(height, 0))  # in inches
    sheet.set_axis_off()
    heads = {"dial": 0.1, "render": _column(0, 0), "real": _column(1, 0), "effect": _NUMBERS}
    for key, x in heads.items():
        _write(sheet, x, top, say(f"sheet.{key}"), color=GREY)
    for i, (name, kinds) in enumerate(pictures.items()):
        y = top + _HEAD + _ROW * i
        for line, (words, style) in enumerate(_about(name)):
            _write(sheet, 0.1, y + 0.23 * line, words, **style)
        for line, (words, style) in enumerate(_effects(name, rows, per_class)):
            _write(sheet, _NUMBERS, y + 0.26 + 0.23 * line, words, **style)
        for kind, some in enumerate(kinds):
            _draw_row(sheet, y, kind, name, some)
    return finish(fig, caption)


def _column(kind: int, k: int) -> float:
    """Say where a picture begins: the k-th render, or the k-th real image."""
    return _LEFT + _STEP * (3 * kind + k) + 0.1 * kind


def _write(sheet: Axes, x: float, y: float, words: str, **style: object) -> None:
    sheet.text(x, y, words, **{"va": "top", "fontsize": 11, "color": INK} | style)


def _about(name: str) -> Iterator[tuple[str, dict[str, object]]]:
    """Give the lines left of the pictures: name, formula, legality, what the strength is."""
    formula, legality = _FACTS[name]
    yield dial_name(name), {"weight": "bold", "fontsize": 12}
    yield formula, {"fontsize": 12}
    words = f"{say(f'sheet.{legality}')}: {say(f'sheet.why.{name}')}"
    for line in textwrap.wrap(words, _SIGNS):
        yield line, {"color": _COLORS[legality]}
    yield say(f"{DIALS[name].unit}_axis"), {"color": GREY}


def _effects(
    name: str, rows: Sequence[Mapping], per_class: int
) -> Iterator[tuple[str, dict[str, object]]]:
    """Give the lines right of the pictures; bold, where the interval leaves out zero."""
    here = [row for row in rows if row["per_class"] == per_class]
    found = {(row["study"], row["family"], row["strength"]): row for row in here}
    shown = {_value(name, s): found.get(("legality", name, s)) for s in shown_strengths(name)}
    learned = [row for row in here if row["study"] == "training"]
    lines = [(what, row) for what, row in shown.items() if row]
    lines += [(say("sheet.learned"), row) for row in learned if row["family"] == DIALS[name].family]
    for what, row in lines:
        is_told = row["gain_low"] > 0 or row["gain_high"] < 0
        mean, low, high = (round(100 * row[key], 1) + 0.0 for key in _GAIN)  # no negative zero
        words = f"{what}: {mean:+.1f} [{low:+.1f}, {high:+.1f}]"
        yield words, {"weight": "bold" if is_told else "normal"}


def _value(name: str, strength: float | int) -> str:
    """Write a strength without its unit, which is said once; degrees are short enough."""
    return f"{strength:g}" + "°" * (DIALS[name].unit == "dial.degrees")


def _draw_row(sheet: Axes, y: float, kind: int, name: str, pictures: Pictures) -> None:
    """Draw the pictures of one kind, if there are any, under their strengths."""
    for k, (strength, picture) in enumerate(zip(shown_strengths(name), pictures, strict=False)):
        x, below = _column(kind, k), y + 0.26
        _write(sheet, x + _SIDE / 2, y, _value(name, strength), ha="center")
        place = (x, x + _SIDE, below + _SIDE, below)
        sheet.imshow(enlarge(picture), extent=place, aspect="auto")


def show_close_up(
    images: Pictures, titles: Sequence[str], *, box: tuple[int, int, int, int], caption: str = ""
) -> Figure:
    """Show images large, and below each what a box of it holds, enlarged.

    Args:
        images: uint8 (h, w, 3), of one size.
        titles: one an image.
        box: left, top, and the first column and row that are not in it.
        caption: said above.

    Raises:
        ValueError: no images, another number of titles, what is no picture, or a box outside.
    """
    check_counts(images=images, titles=titles)
    refuse_unless_pictures(images)
    left, top, right, bottom = box
    height, width = images[0].shape[:2]
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise ValueError(f"expected a box in {width} x {height} pixels, got {box}")
    whole = [Cell(image, plain(title)) for image, title in zip(images, titles, strict=True)]
    parts = [Cell(image[top:bottom, left:right], color=_FRAME) for image in images]
    fig = image_grid([whole, parts], cell=2.7, caption=caption, fontsize=13)
    for ax in fig.axes[: len(images)]:
        style = {"fill": False, "edgecolor": _FRAME, "linewidth": 2}
        ax.add_patch(Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, **style))
    return fig
