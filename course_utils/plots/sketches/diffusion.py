"""Schematics of generative models: the chain, four families, the U-Net, Text2Earth."""

from collections.abc import Sequence
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_utils.plots.sketches.parts import (
    COLORS,
    TITLE,
    WORDS,
    Box,
    draw_arrow,
    draw_box,
    draw_group,
    draw_key,
    draw_picture,
    draw_sum,
    make_canvas,
    square,
    write,
)
from course_utils.plots.style import Pair, Pictures, finish, say

_CHAIN = ("x_0", "x_{t-1}", "x_t", "x_{t+1}", "x_T")
_MAX_LEVELS = 4  # of a U-Net that still has room for its words
_EPS = r"$\epsilon_\theta$"


def sketch_chain(pictures: Pictures, *, caption: str = "") -> Figure:
    """Draw the chain from a picture to noise, and the learned way back below it.

    Args:
        pictures: five, uint8 (h, w, 3), from x_0 to x_T; the dashed arrows leave steps out.
        caption: said above.

    Raises:
        ValueError: another number of pictures, or one that is not uint8 (h, w, 3).

    Source:
        Ho et al. 2020, arXiv 2006.11239, figure 2.
    """
    if len(pictures) != len(_CHAIN):
        raise ValueError(f"expected {len(_CHAIN)} pictures from x_0 to x_T, got {len(pictures)}")
    shown, boxes = [square(picture) for picture in pictures], []
    ax = make_canvas(5.0, caption)
    for i, (name, picture) in enumerate(zip(_CHAIN, shown, strict=True)):
        color = COLORS["noise" if name == "x_T" else "image"]
        center = (1.1 + 2.45 * i, 2.68)
        boxes.append(draw_picture(ax, center, 1.75, picture, color=color))
        write(ax, (center[0], 1.56), f"${name}$", size=18)
    for i, (start, end) in enumerate(pairwise(boxes)):
        _draw_step(ax, start, end, *(() if i in (0, 3) else _CHAIN[i : i + 2]))
    style = {"size": TITLE, "weight": "bold"}
    write(ax, (6.0, 4.72), say("sketch.chain.forward"), color=COLORS["noise"], **style)
    write(ax, (6.0, 0.58), say("sketch.chain.reverse"), color=COLORS["net"], **style)
    draw_key(ax, "image", "noise", "net")
    return finish(ax.figure, caption)


def _draw_step(ax: Axes, start: Box, end: Box, *names: str) -> None:
    """Draw the arrows of a step there and back; dashed and without formulas are many steps."""
    high, low, middle = start.top[1] + 0.04, start.bottom[1] - 0.08, (start.x + end.x) / 2
    left, right = start.x + 0.42, end.x - 0.42
    style = {"dashed": not names, "bend": 0.3}
    draw_arrow(ax, (left, high), (right, high), color=COLORS["noise"], **style)
    draw_arrow(ax, (right, low), (left, low), color=COLORS["net"], **style)
    if names:
        earlier, later = names
        write(ax, (middle, high + 0.5), rf"$q({later}\mid {earlier})$", size=17)
        write(ax, (middle, low - 0.54), rf"$p_\theta({earlier}\mid {later})$", size=17)


_COLUMNS = (2.9, 4.65, 6.85, 9.0, 11.1)  # x, the way to z, z, the way back, what was drawn
_FAMILIES = {  # the symbols of x, z and what was drawn; whether the way to z is learned
    "vae": ("x", "z", "x'", "net"),
    "gan": ("x", "z", "x'", "net"),
    "flow": ("x", "z", "x'", "net"),
    "diffusion": ("x_0", "x_T", "x_0'", "noise"),
}


def sketch_families(*, caption: str = "") -> Figure:
    """Draw how VAE, GAN, flow and diffusion go from a picture to noise and back.

    Args:
        caption: said above.

    Source:
        After Weng 2021, "What are diffusion models?", lilianweng.github.io.
    """
    ax = make_canvas(6.6, caption)
    draw_group(ax, (5.95, 0.5), (5.9, 6.0))
    write(ax, (8.95, 6.25), say("sketch.families.drawing"), size=TITLE, weight="bold")
    for x, key in zip(_COLUMNS[::2], ("x", "z", "drawn"), strict=True):
        write(ax, (x, 5.84), say(f"sketch.families.{key}"), size=WORDS, weight="bold")
    for row, family in enumerate(_FAMILIES):
        y = 5.1 - 1.27 * row
        words = {"ha": "left", "va": "bottom"}
        write(
            ax, (0.2, y + 0.04), say(f"sketch.families.{family}"), size=18, weight="bold", **words
        )
        words["va"] = "top"
        write(ax, (0.2, y - 0.02), say(f"sketch.families.{family}_how"), **words)
        _draw_family(ax, y, family)
    write(ax, (11.85, 0.2), say("sketch.families.after"), ha="right")
    draw_key(ax, "image", "noise", "net", "answer")
    return finish(ax.figure, caption)


def _draw_family(ax: Axes, y: float, family: str) -> None:
    """Draw x, the way to z, z, the way back, and what was drawn."""
    x, z, drawn, there = _FAMILIES[family]
    words = {f"${x}$": "image", say(f"sketch.families.{family}_there"): there, f"${z}$": "noise"}
    words |= {say(f"sketch.families.{family}_back"): "net", f"${drawn}$": "answer"}
    boxes = []
    for i, (place, (word, kind)) in enumerate(zip(_COLUMNS, words.items(), strict=True)):
        size, fontsize = ((1.85, 0.8), WORDS) if i % 2 else ((0.74, 0.74), 18)
        box = draw_box(ax, (place, y), size, word, color=COLORS[kind], fontsize=fontsize)
        boxes.append(box)
    for i, (start, end) in enumerate(pairwise(boxes)):
        if family != "gan" or i != 1:
            draw_arrow(ax, start.right, end.left)
    if family == "gan":
        drawn, judge = boxes[-1], boxes[1]
        low = judge.bottom[1] - 0.25
        draw_arrow(ax, drawn.bottom, (drawn.x, low), (judge.x, low), judge.bottom)


def sketch_unet(
    channels: Sequence[int] = (32, 64, 64), *, side: int = 32, caption: str = ""
) -> Figure:
    """Draw the course's U-Net, where it is told the step, and one of its blocks.

    Args:
        channels: one width a level, as ``UNetConfig.channels``; at most 4 levels.
        side: pixels along a side of what goes in, divided by ``UNetConfig.patch``.
        caption: said above.

    Raises:
        ValueError: fewer than 2 levels or more than 4, or a side that cannot be halved as often.
    """
    if not 2 <= len(channels) <= _MAX_LEVELS:
        raise ValueError(f"expected 2 to {_MAX_LEVELS} levels of channels, got {tuple(channels)}")
    factor = 2 ** (len(channels) - 1)
    if side < 1 or side % factor:
        raise ValueError(
            f"side: expected a multiple of {factor}, to be halved below each level, got {side}"
        )
    ax = make_canvas(6.6, caption)
    _draw_signal(ax)
    _draw_levels(ax, tuple(channels), side)
    _draw_block(ax)
    draw_key(ax, "image", "net", "step", "answer")
    return finish(ax.figure, caption)


_HIGHEST, _LOWEST, _MIDDLE = 4.7, 0.95, 3.95  # inches: the U-Net's levels, and its axis


def _draw_signal(ax: Axes) -> None:
    """Draw how a step becomes the vector e that every block is told."""
    color, y = COLORS["step"], 6.2
    step = draw_box(ax, (2.3, y), (0.7, 0.5), "$t$", color=color, fontsize=18)
    waves = draw_box(ax, (3.65, y), (1.2, 0.5), say("sketch.unet.waves"), color=color)
    layers = draw_box(ax, (5.25, y), (1.35, 0.5), say("sketch.unet.layers"))
    badge = _draw_badge(ax, (6.4, y))
    for start, end in pairwise((step, waves, layers, badge)):
        draw_arrow(ax, start.right, end.left, color=color)
    write(ax, (6.65, y), say("sketch.unet.told"), ha="left", color=color)


def _draw_badge(ax: Axes, center: Pair) -> Box:
    """Draw the mark of a block that is told the step."""
    return draw_box(ax, center, (0.34, 0.34), "$e$", color=COLORS["step"], fontsize=WORDS)


def _draw_levels(ax: Axes, channels: tuple[int, ...], side: int) -> None:
    """Draw both sides of the U, its bottom, and what passes between them."""
    drop, downs, ups = (_HIGHEST - _LOWEST) / len(channels), [], []
    for i, width in enumerate(channels):
        y, x = _HIGHEST - i * drop, 2.65 - 0.28 * i  # inches from the axis
        for boxes, place, corner in ((downs, _MIDDLE - x, 1), (ups, _MIDDLE + x, 0)):
            boxes.append(draw_box(ax, (place, y), (1.75, 0.5), say("sketch.unet.block")))
            _draw_badge(ax, boxes[i].at(corner, 1))
        draw_arrow(ax, downs[i].right, ups[i].left, dashed=True)
        write(ax, (_MIDDLE, y + 0.17), f"{width} × {side // 2**i} × {side // 2**i}")
    for boxes, ha, key in ((downs, "right", "halve"), (ups, "left", "double")):
        for above, below in pairwise(boxes):
            ends = (above.x, above.bottom[1]), (above.x, below.top[1])
            draw_arrow(ax, *(ends if boxes is downs else ends[::-1]))
            shift, y = 0.1 if boxes is ups else -0.1, (above.bottom[1] + below.top[1]) / 2
            write(ax, (above.x + shift, y), say(f"sketch.unet.{key}"), ha=ha)
    bottom = draw_box(ax, (_MIDDLE, _LOWEST), (2.5, 0.5), say("sketch.unet.middle"))
    _draw_badge(ax, bottom.at(0, 1))
    draw_arrow(ax, downs[-1].bottom, (downs[-1].x, bottom.y), bottom.left)
    draw_arrow(ax, bottom.right, (ups[-1].x, bottom.y), ups[-1].bottom)
    size = {"size": (0.9, 0.5), "fontsize": 18}
    noised = draw_box(ax, (downs[0].x, 5.5), words="$x_t$", color=COLORS["image"], **size)
    noise = draw_box(ax, (ups[0].x, 5.5), words=_EPS, color=COLORS["answer"], **size)
    draw_arrow(ax, noised.bottom, downs[0].top)
    draw_arrow(ax, ups[0].top, noise.bottom)
    write(ax, (_MIDDLE, 5.35), say("sketch.unet.kept"))


def _draw_block(ax: Axes) -> None:
    """Draw a block from the inside: two convolutions, a shortcut, the step between them."""
    draw_group(ax, (8.25, 0.5), (3.6, 6.0), say("sketch.unet.inside"))
    x, fork = 10.15, (10.15, 5.5)
    rows = []
    for key, kind, y in (("norm", "net", 4.75), ("step", "step", 3.5), ("conv", "net", 2.45)):
        height = 0.85 if key == "step" else 0.5
        words = say(f"sketch.unet.{key}"), r"$(1 + s(e))\, h + b(e)$" if key == "step" else ""
        rows.append(draw_box(ax, (x, y), (2.1, height), *words, color=COLORS[kind]))
    add = draw_sum(ax, (x, 1.55))
    badge = _draw_badge(ax, (11.6, rows[1].y))
    draw_arrow(ax, badge.left, rows[1].right, color=COLORS["step"])
    draw_arrow(ax, (x, 5.85), rows[0].top)
    for above, below in pairwise([*rows, add]):
        draw_arrow(ax, above.bottom, below.top)
    draw_arrow(ax, add.bottom, (x, 0.75))
    draw_arrow(ax, fork, (8.6, fork[1]), (8.6, add.y), add.left)
    write(ax, (8.72, 1.78), say("sketch.unet.shortcut"), ha="left")


def sketch_text2earth(*, caption: str = "") -> Figure:
    """Draw Text2Earth: a sentence and a zoom level steer the denoising of a latent.

    Args:
        caption: said above.

    Source:
        Liu et al. 2025, arXiv 2501.00895; sizes and sampling settings as its files have them.
    """
    ax = make_canvas(6.5, caption)
    text, step, wide = COLORS["text"], COLORS["step"], (3.5, 0.75)
    sentence = draw_box(ax, (1.95, 5.7), wide, *_both("prompt"), color=text)
    level = draw_box(ax, (1.95, 4.5), wide, *_both("level"), color=step)
    time = draw_box(ax, (1.95, 3.55), (3.5, 0.5), say("sketch.text2earth.step"), color=step)
    noise = draw_box(ax, (1.95, 2.6), wide, *_both("noise"), color=COLORS["noise"])
    encoder = draw_box(ax, (6.5, 5.7), (2.6, 0.75), *_both("encoder"))
    unet = draw_box(ax, (6.5, 3.2), (2.8, 2.0), *_both("unet"), fontsize=18)
    decoder = draw_box(ax, (9.2, 3.2), (1.5, 1.0), *_both("decoder"))
    drawn = draw_box(ax, (11.15, 3.2), (1.3, 1.3), *_both("drawn"), color=COLORS["answer"])
    draw_arrow(ax, sentence.right, encoder.left, color=text)
    draw_arrow(ax, encoder.bottom, unet.top, color=text)
    write(ax, (6.65, 4.75), say("sketch.text2earth.cross"), ha="left", color=text)
    draw_arrow(ax, sentence.bottom, level.top, color=step)
    write(ax, (2.1, 5.1), say("sketch.text2earth.prefix"), ha="left", color=step)
    draw_arrow(ax, level.right, (4.4, level.y), (4.4, 3.85), unet.at(0, 0.825), color=step)
    draw_arrow(ax, time.right, unet.at(0, 0.675), color=step)
    draw_arrow(ax, noise.right, unet.at(0, 0.2))
    draw_arrow(ax, unet.right, decoder.left)
    draw_arrow(ax, decoder.right, drawn.left)
    _draw_loop_and_training(ax, unet)
    write(ax, (10.05, 5.7), say("sketch.text2earth.sizes"))
    draw_key(ax, "image", "text", "noise", "net", "step", "answer")
    return finish(ax.figure, caption)


def _draw_loop_and_training(ax: Axes, unet: Box) -> None:
    """Draw what only sampling does, again and again, and where training data come in."""
    (right, bottom), (left, _) = unet.at(0.9, 0), unet.at(0.55, 0)
    low = bottom - 0.45
    draw_arrow(ax, (right, bottom), (right, low), (left, low), (left, bottom))
    write(ax, ((left + right) / 2, low - 0.3), say("sketch.text2earth.loop"))
    data = draw_box(ax, (1.95, 1.1), (3.5, 0.75), *_both("data"), color=COLORS["image"])
    folds = draw_box(ax, (5.35, 1.1), (1.6, 0.75), *_both("folds"))
    draw_arrow(ax, data.right, folds.left, dashed=True)
    draw_arrow(ax, (5.6, folds.top[1]), (5.6, bottom), dashed=True)
    write(ax, (5.45, 1.83), say("sketch.text2earth.training"), ha="right")


def _both(key: str) -> tuple[str, str]:
    """Give the bold and the plain words of a box of Text2Earth."""
    return say(f"sketch.text2earth.{key}"), say(f"sketch.text2earth.{key}_what")
