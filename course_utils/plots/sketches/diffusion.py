"""Schematics of generative models: the chain, four families, the U-Net, Text2Earth."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_utils.plots.sketches.parts import (
    COLORS,
    TITLE,
    WORDS,
    Box,
    Point,
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
from course_utils.plots.style import Pictures, finish, say

_CHAIN = ("x_0", "x_{t-1}", "x_t", "x_{t+1}", "x_T")
_MAX_LEVELS = 4  # of a U-Net that still has room for its words


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
    ax = make_canvas(5.1, caption)
    middle, side = 2.6, 1.5
    places = [1.1 + i * 2.45 for i in range(len(pictures))]
    boxes = []
    for x, name, picture in zip(places, _CHAIN, map(square, pictures), strict=True):
        color = COLORS["noise" if name == "x_T" else "image"]
        boxes.append(draw_picture(ax, (x, middle), side, picture, color=color))
        write(ax, (x, middle - side / 2 - 0.24), f"${name}$", size=17)
    for i, (start, end) in enumerate(zip(boxes, boxes[1:], strict=False)):
        far = {"dashed": i in (0, 3), "bend": 0.32}
        high, low = start.top[1] + 0.04, start.bottom[1] - 0.08
        left, right = start.x + 0.4, end.x - 0.4
        draw_arrow(ax, (left, high), (right, high), color=COLORS["noise"], **far)
        draw_arrow(ax, (right, low), (left, low), color=COLORS["net"], **far)
        if not far["dashed"]:
            later, earlier = _CHAIN[i + 1], _CHAIN[i]
            x = (start.x + end.x) / 2
            write(ax, (x, high + 0.52), rf"$q({later}\mid {earlier})$", size=15)
            write(ax, (x, low - 0.54), rf"$p_\theta({earlier}\mid {later})$", size=15)
    style = {"size": TITLE, "weight": "bold"}
    write(ax, (6.0, 4.75), say("sketch.chain.forward"), color=COLORS["noise"], **style)
    write(ax, (6.0, 0.6), say("sketch.chain.reverse"), color=COLORS["net"], **style)
    draw_key(ax, "image", "noise", "net")
    return finish(ax.figure, caption)


def sketch_families(*, caption: str = "") -> Figure:
    """Draw how VAE, GAN, flow and diffusion go from a picture to noise and back.

    Args:
        caption: said above.

    Source:
        After Weng 2021, "What are diffusion models?", lilianweng.github.io.
    """
    ax = make_canvas(6.5, caption)
    draw_group(ax, (6.45, 0.55), (5.4, 5.85))
    for x, key in zip(_COLUMNS, ("x", "there", "z", "back", "drawn"), strict=True):
        if key in ("x", "z", "drawn"):
            write(ax, (x, 5.86), say(f"sketch.families.{key}"), size=WORDS, weight="bold")
    write(ax, (9.15, 6.2), say("sketch.families.drawing"), size=TITLE, weight="bold")
    for row, (family, there, back) in enumerate(_FAMILIES):
        y = 5.05 - 1.25 * row
        write(
            ax, (0.2, y + 0.2), say(f"sketch.families.{family}"), size=17, weight="bold", ha="left"
        )
        write(ax, (0.2, y - 0.24), say(f"sketch.families.{family}_how"), ha="left")
        boxes = _draw_family(ax, y, family, there, back)
        if family == "gan":
            _judge(ax, boxes)
    write(ax, (11.85, 0.25), say("sketch.families.after"), ha="right")
    draw_key(ax, "image", "noise", "net", "answer")
    return finish(ax.figure, caption)


_COLUMNS = (3.15, 4.95, 7.0, 9.05, 11.1)
_FAMILIES = (  # its name, and the colors of what leads to z and of what leads from it
    ("vae", "net", "net"),
    ("gan", "net", "net"),
    ("flow", "net", "net"),
    ("diffusion", "noise", "net"),
)
_SYMBOLS = {
    "vae": ("x", "z", "x'"),
    "gan": ("x", "z", "x'"),
    "flow": ("x", "z", "x'"),
    "diffusion": ("x_0", "x_T", "x'_0"),
}


def _draw_family(ax: Axes, y: float, family: str, there: str, back: str) -> list[Box]:
    """Draw x, what leads to z, z, what leads back, and what was drawn."""
    x, z, drawn = (f"${symbol}$" for symbol in _SYMBOLS[family])
    kinds = ("image", there, "noise", back, "answer")
    words = (
        x,
        say(f"sketch.families.{family}_there"),
        z,
        say(f"sketch.families.{family}_back"),
        drawn,
    )
    boxes = []
    for i, (place, kind, word) in enumerate(zip(_COLUMNS, kinds, words, strict=True)):
        size = (0.72, 0.72) if i % 2 == 0 else (1.75, 0.86)
        style = {"color": COLORS[kind], "fontsize": 17 if i % 2 == 0 else WORDS}
        boxes.append(draw_box(ax, (place, y), size, word, **style))
    for i, (start, end) in enumerate(zip(boxes, boxes[1:], strict=False)):
        if family != "gan" or i != 1:
            draw_arrow(ax, start.right, end.left)
    return boxes


def _judge(ax: Axes, boxes: list[Box]) -> None:
    """Lead a GAN's drawing back to its discriminator."""
    drawn, judge = boxes[-1], boxes[1]
    low = judge.bottom[1] - 0.14
    draw_arrow(ax, drawn.bottom, (drawn.x, low), (judge.x, low), judge.bottom)


def sketch_unet(
    channels: Sequence[int] = (32, 64, 64), *, side: int = 32, caption: str = ""
) -> Figure:
    """Draw the course's U-Net, where it is told the step, and one of its blocks.

    Args:
        channels: one width a level, as ``UNetConfig.channels``; at most 4 levels.
        side: pixels along a side of what goes in.
        caption: said above.

    Raises:
        ValueError: fewer than 2 levels or more than 4, or a side that cannot be halved as often.
    """
    if not 2 <= len(channels) <= _MAX_LEVELS:
        raise ValueError(f"expected 2 to {_MAX_LEVELS} levels of channels, got {tuple(channels)}")
    if side < 1 or side % 2 ** (len(channels) - 1):
        raise ValueError(
            f"side: expected a multiple of {2 ** (len(channels) - 1)}, to be halved once a level, "
            f"got {side}"
        )
    ax = make_canvas(6.5, caption)
    _draw_signal(ax)
    _draw_levels(ax, tuple(channels), side)
    _draw_block(ax)
    draw_key(ax, "image", "noise", "net", "step", "answer")
    return finish(ax.figure, caption)


_TOP, _DROP = 4.55, 0.98  # inches: the first level of the U-Net, and how much lower the next lies


def _draw_signal(ax: Axes) -> None:
    """Draw how a step becomes the vector e that every block is told."""
    color, y = COLORS["step"], 6.0
    step = draw_box(ax, (2.05, y), (0.9, 0.6), "$t$", color=color, fontsize=17)
    waves = draw_box(ax, (3.55, y), (1.4, 0.6), say("sketch.unet.waves"), color=color)
    layers = draw_box(ax, (5.3, y), (1.4, 0.6), say("sketch.unet.layers"))
    draw_arrow(ax, step.right, waves.left, color=color)
    draw_arrow(ax, waves.right, layers.left, color=color)
    badge = _draw_badge(ax, (6.6, y))
    draw_arrow(ax, layers.right, badge.left, color=color)
    write(ax, (6.92, y), say("sketch.unet.told"), ha="left", color=color)


def _draw_badge(ax: Axes, center: Point) -> Box:
    """Draw the mark of a block that is told the step."""
    return draw_box(ax, center, (0.32, 0.32), "$e$", color=COLORS["step"], fontsize=WORDS)


def _draw_levels(ax: Axes, channels: tuple[int, ...], side: int) -> None:
    """Draw both sides of the U, its bottom, and what passes between them."""
    shapes = [f"{c} × {side // 2**i} × {side // 2**i}" for i, c in enumerate(channels)]
    downs, ups = [], []
    for i, shape in enumerate(shapes):
        y, x = _TOP - i * _DROP, 1.35 + 0.28 * i
        pair = ((downs, x), (ups, 7.75 - x))
        for boxes, place in pair:
            boxes.append(draw_box(ax, (place, y), (1.75, 0.58), say("sketch.unet.block")))
            _draw_badge(ax, (place + (0.87 if boxes is ups else -0.87), y + 0.28))
        draw_arrow(ax, downs[i].right, ups[i].left, dashed=True)
        write(ax, (3.875, y + 0.17), shape)
    for i in range(len(shapes) - 1):
        draw_arrow(ax, downs[i].bottom, (downs[i].x, downs[i + 1].top[1]))
        draw_arrow(ax, (ups[i].x, ups[i + 1].top[1]), ups[i].bottom)
    bottom = draw_box(
        ax, (3.875, _TOP - len(shapes) * _DROP + 0.1), (2.5, 0.58), say("sketch.unet.middle")
    )
    _draw_badge(ax, (bottom.x - 1.25, bottom.y + 0.28))
    draw_arrow(ax, downs[-1].bottom, (downs[-1].x, bottom.y), bottom.left)
    draw_arrow(ax, bottom.right, (ups[-1].x, bottom.y), ups[-1].bottom)
    noised = draw_box(ax, (0.85, 5.5), (0.9, 0.6), "$x_t$", color=COLORS["image"], fontsize=17)
    found = draw_box(ax, (6.9, 5.35), (0.9, 0.6), r"$\epsilon_\theta$", color=COLORS["answer"])
    draw_arrow(ax, noised.bottom, (noised.x, downs[0].top[1]))
    draw_arrow(ax, (found.x, ups[0].top[1]), found.bottom)


def _draw_block(ax: Axes) -> None:
    """Draw a block from the inside: two convolutions, a shortcut, the step between them."""
    draw_group(ax, (8.2, 0.55), (3.65, 5.85), say("sketch.unet.inside"))
    x, size = 10.4, (2.3, 0.6)
    start = (x, 5.72)
    keys = (("norm", 5.0), ("step", 3.7), ("conv", 2.6))
    rows = []
    for key, y in keys:
        color = COLORS["step" if key == "step" else "net"]
        rows.append(draw_box(ax, (x, y), size, say(f"sketch.unet.{key}"), color=color))
    add = draw_sum(ax, (x, 1.6))
    draw_arrow(ax, start, rows[0].top)
    for above, below in zip(rows, [*rows[1:], add], strict=True):
        draw_arrow(ax, above.bottom, below.top)
    draw_arrow(ax, add.bottom, (x, 0.95))
    draw_arrow(ax, start, (8.75, start[1]), (8.75, add.y), add.left)
    write(ax, (8.95, 2.0), say("sketch.unet.shortcut"), ha="left")


def sketch_text2earth(*, caption: str = "") -> Figure:
    """Draw Text2Earth: a sentence and a zoom level steer the denoising of a latent.

    Args:
        caption: said above.

    Source:
        Liu et al. 2025, arXiv 2501.00895; sizes and sampling settings as its files have them.
    """
    ax = make_canvas(6.3, caption)
    text, step, image = COLORS["text"], COLORS["step"], COLORS["image"]
    sentence = draw_box(ax, (1.95, 5.4), (3.4, 0.8), *_both("prompt"), color=text)
    level = draw_box(ax, (1.95, 4.1), (3.4, 0.9), *_both("level"), color=step)
    noise = draw_box(ax, (1.95, 2.55), (3.4, 0.8), *_both("noise"), color=COLORS["noise"])
    clip = draw_box(ax, (5.7, 5.4), (2.5, 0.8), *_both("clip"))
    unet = draw_box(ax, (6.6, 2.9), (3.1, 2.0), *_both("unet"), fontsize=16)
    decoder = draw_box(ax, (9.55, 2.9), (1.6, 1.0), *_both("decoder"))
    drawn = draw_box(ax, (11.2, 2.9), (1.2, 1.2), *_both("drawn"), color=COLORS["answer"])
    draw_arrow(ax, sentence.right, clip.left, color=text)
    draw_arrow(ax, clip.bottom, (clip.x, unet.top[1]), color=text)
    write(ax, (clip.x + 0.15, 4.45), say("sketch.text2earth.cross"), ha="left")
    draw_arrow(ax, level.right, (4.4, level.y), (4.4, 3.4), (unet.left[0], 3.4), color=step)
    draw_arrow(ax, noise.right, (unet.left[0], noise.y))
    draw_arrow(ax, unet.right, decoder.left)
    draw_arrow(ax, decoder.right, drawn.left)
    low = unet.bottom[1] - 0.45
    draw_arrow(
        ax, unet.at(0.8, 0), (unet.at(0.8, 0)[0], low), (unet.at(0.2, 0)[0], low), unet.at(0.2, 0)
    )
    write(ax, (unet.x, low - 0.25), say("sketch.text2earth.loop"))
    trained = draw_box(ax, (1.95, 1.1), (3.4, 0.8), *_both("data"), color=image, dashed=True)
    draw_arrow(ax, trained.right, (4.4, trained.y), (4.4, 2.25), (unet.left[0], 2.25), dashed=True)
    draw_key(ax, "text", "step", "noise", "net", "image", "answer")
    return finish(ax.figure, caption)


def _both(key: str) -> tuple[str, str]:
    """Give the bold and the plain words of a box of Text2Earth."""
    return say(f"sketch.text2earth.{key}"), say(f"sketch.text2earth.{key}_what")
