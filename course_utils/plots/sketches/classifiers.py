"""Schematics of classifiers: the way from pixels to a class, AlexNet, the residual block."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle

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
    tint,
    write,
)
from course_utils.plots.style import INK, Picture, finish, say, shorten

_SCORES = np.array([3.0, 1.0, 0.5])  # of three classes, to show what softmax makes of them
_NAMES = ("harbor", "beach", "forest")


def sketch_pipeline(
    picture: Picture, *, class_names: Sequence[str] = _NAMES, caption: str = ""
) -> Figure:
    """Draw the way from a picture to its class, and the way back that training takes.

    Args:
        picture: uint8 (h, w, 3); the square in its middle is shown.
        class_names: three; the first is the picture's.
        caption: said above.

    Raises:
        ValueError: another picture, or another number of classes.
    """
    if len(class_names) != len(_SCORES):
        raise ValueError(f"expected {len(_SCORES)} class names, got {tuple(class_names)}")
    shown = square(picture)
    ax = make_canvas(5.2, caption)
    y = 3.3
    start = draw_picture(ax, (1.15, y), 1.9, shown)
    write(ax, (1.15, y + 1.25), say("sketch.pipeline.picture"), size=WORDS, weight="bold")
    numbers = draw_box(ax, (3.2, y), (1.5, 1.3), *_both("numbers"), color=COLORS["image"])
    body = draw_box(ax, (5.35, y), (1.9, 1.9), *_both("body"), fontsize=TITLE)
    head = draw_box(ax, (7.55, y), (1.6, 1.3), *_both("head"))
    boxes = [start, numbers, body, head]
    for left, right in zip(boxes, boxes[1:], strict=False):
        draw_arrow(ax, left.right, right.left)
    draw_arrow(ax, head.right, (8.75, y))
    _draw_softmax(ax, y, [shorten(name, 12) for name in class_names])
    loss = draw_box(ax, (10.3, 1.15), (2.9, 0.8), *_both("loss"), color=COLORS["answer"])
    draw_arrow(ax, (10.3, y - 0.95), loss.top)
    label = draw_box(ax, (7.2, 1.15), (1.9, 0.8), *_both("label"), color=COLORS["image"])
    draw_arrow(ax, label.right, loss.left)
    low = 0.6
    draw_arrow(ax, (loss.x, loss.bottom[1]), (loss.x, low), (body.x, low), body.bottom, dashed=True)
    write(ax, (body.x - 0.15, 1.3), say("sketch.pipeline.training"), ha="right")
    draw_key(ax, "image", "net", "answer")
    return finish(ax.figure, caption)


def _both(key: str) -> tuple[str, str]:
    return say(f"sketch.pipeline.{key}"), say(f"sketch.pipeline.{key}_what")


def _draw_softmax(ax: Axes, y: float, names: Sequence[str]) -> None:
    """Draw three scores and the probabilities that softmax makes of them."""
    shares = np.exp(_SCORES) / np.exp(_SCORES).sum()
    color = COLORS["answer"]
    write(ax, (9.1, y + 1.25), say("sketch.pipeline.scores"), size=WORDS, weight="bold")
    write(ax, (10.9, y + 1.25), say("sketch.pipeline.softmax"), size=WORDS, weight="bold")
    for i, (name, score, share) in enumerate(zip(names, _SCORES, shares, strict=True)):
        height = y + 0.62 - 0.62 * i
        draw_box(ax, (9.1, height), (0.7, 0.46), f"{score:.1f}", color=color)
        ax.add_patch(
            Rectangle((9.75, height - 0.23), 2.1 * share, 0.46, fc=tint(color, 0.35), lw=0)
        )
        style = {"ha": "left", "size": WORDS}
        write(ax, (9.85, height), f"{share:.2f}  {name}", **style)


@dataclass(frozen=True)
class Layer:
    """A layer of AlexNet as published: what comes out of it, and the filters that make it."""

    side: int  # of its map, in numbers; 1 for a full layer
    channels: int
    kernel: int = 0  # side of its filters; 0 for a full layer
    groups: int = 1  # 2 where each of the two GPUs saw only its own half


# Krizhevsky et al. 2012, section 3.5 and figure 2; pooling follows layers 1, 2 and 5.
ALEXNET = (
    Layer(55, 96, 11),
    Layer(27, 256, 5, 2),
    Layer(13, 384, 3),
    Layer(13, 384, 3, 2),
    Layer(13, 256, 3, 2),
    Layer(1, 4096),
    Layer(1, 4096),
    Layer(1, 1000),
)
_POOLED = 6 * 6 * 256  # numbers that the first full layer reads


def count_alexnet() -> tuple[int, int]:
    """Count the weights and biases of AlexNet's convolutions, and of its full layers."""
    convolutions, before = 0, 3
    for layer in ALEXNET:
        if layer.kernel:
            each = layer.kernel**2 * before // layer.groups + 1
            convolutions += layer.channels * each
            before = layer.channels
    full, before = 0, _POOLED
    for layer in ALEXNET:
        if not layer.kernel:
            full += layer.channels * (before + 1)
            before = layer.channels
    return convolutions, full


def sketch_alexnet(*, caption: str = "") -> Figure:
    """Draw AlexNet layer by layer, where its weights are, and what it did on ILSVRC-2010.

    Args:
        caption: said above.

    Source:
        Krizhevsky, Sutskever and Hinton 2012: sizes from section 3.5, errors from table 1.
    """
    ax = make_canvas(6.4, caption)
    right = _draw_slab(ax, (0.5, 3.9), 227, 3, color=COLORS["image"])
    write(ax, (0.72, 2.3), say("sketch.alexnet.input"))
    places = (1.95, 3.4, 4.75, 5.95, 7.15, 8.75, 9.75, 10.75)
    for i, (x, layer) in enumerate(zip(places, ALEXNET, strict=True)):
        color = COLORS["answer" if i == len(ALEXNET) - 1 else "net"]
        draw_arrow(ax, (right + 0.05, 3.9), (x - 0.05, 3.9))
        right = _draw_slab(ax, (x, 3.9), layer.side, layer.channels, color=color)
        words = f"{layer.kernel} × {layer.kernel}" if layer.kernel else say("sketch.alexnet.full")
        shape = f"{layer.channels}"
        if layer.kernel:
            shape = f"{layer.side} × {layer.side}\n× {layer.channels}"
        write(ax, ((x + right) / 2, 5.5), words, size=WORDS, weight="bold")
        write(ax, ((x + right) / 2, 2.45), shape)
    convolutions, full = (f"{count / 1e6:.1f}" for count in count_alexnet())
    for (start, end), key, count in (
        ((1.7, 8.2), "convolutions", convolutions),
        ((8.5, 11.7), "full_layers", full),
    ):
        _draw_brace(ax, start, end, 1.95)
        words = say(f"sketch.alexnet.{key}", million=count)
        write(ax, ((start + end) / 2, 1.68), words, size=WORDS)
    write(ax, (6.0, 6.1), say("sketch.alexnet.rows"), size=TITLE, weight="bold")
    _draw_errors(ax)
    draw_key(ax, "image", "net", "answer")
    return finish(ax.figure, caption)


def _draw_slab(ax: Axes, left: Point, side: int, channels: int, *, color: str) -> float:
    """Draw a block of numbers, high as its map is wide and thick as it has channels."""
    (x, y), depth = left, 0.2
    height = 0.35 + 2.0 * (side / 227) ** 0.5 if side > 1 else 2.2 * channels / 4096 + 0.2
    width = 0.1 + 0.45 * (channels / 384) if side > 1 else 0.22
    shift = depth * min(1.0, height) if side > 1 else 0.08
    low, high = y - height / 2, y + height / 2
    style = {"edgecolor": color, "linewidth": 1.5, "zorder": 2, "joinstyle": "round"}
    ax.add_patch(Rectangle((x, low), width, height, facecolor=tint(color, 0.15), **style))
    top = [
        (x, high),
        (x + shift, high + shift),
        (x + width + shift, high + shift),
        (x + width, high),
    ]
    edge = [top[3], top[2], (x + width + shift, low + shift), (x + width, low)]
    ax.add_patch(Polygon(top, facecolor=tint(color, 0.3), **style))
    ax.add_patch(Polygon(edge, facecolor=tint(color, 0.45), **style))
    return x + width + shift


def _draw_brace(ax: Axes, start: float, end: float, y: float) -> None:
    ax.plot([start, start, end, end], [y + 0.12, y, y, y + 0.12], color=INK, lw=1.5)


def _draw_errors(ax: Axes) -> None:
    """Say what it did on ILSVRC-2010, beside the best before it."""
    words = say("sketch.alexnet.result")
    draw_box(ax, (6.0, 0.95), (11.4, 0.75), "", words, color=COLORS["answer"])


def sketch_residual(*, caption: str = "") -> Figure:
    """Draw layers without a shortcut, a residual block, and ResNet-50's bottleneck.

    Args:
        caption: said above.

    Source:
        He et al. 2015, arXiv 1512.03385, figures 2 and 5.
    """
    ax = make_canvas(6.4, caption)
    for x, key, rows, shortcut in (
        (2.05, "plain", _BASIC, False),
        (6.0, "basic", _BASIC, True),
        (9.95, "bottleneck", _BOTTLENECK, True),
    ):
        _draw_column(ax, x, key, rows, shortcut=shortcut)
    draw_key(ax, "image", "net")
    return finish(ax.figure, caption)


_BASIC = ("3 × 3,  64", "3 × 3,  64")
_BOTTLENECK = ("1 × 1,  64", "3 × 3,  64", "1 × 1,  256")


def _draw_column(ax: Axes, x: float, key: str, rows: Sequence[str], *, shortcut: bool) -> None:
    """Draw layers one below the other, with a shortcut around them or without."""
    draw_group(ax, (x - 1.85, 0.55), (3.7, 5.75), say(f"sketch.residual.{key}"))
    channels = rows[-1].split()[-1]
    start = draw_box(ax, (x, 5.1), (1.5, 0.5), r"$x$", color=COLORS["image"], fontsize=17)
    write(ax, (x + 0.9, 5.1), say("sketch.residual.channels", num=channels), ha="left")
    above: Box = start
    gap = 2.4 / len(rows)
    for i, row in enumerate(rows):
        box = draw_box(ax, (x, 4.95 - gap * (i + 0.62)), (1.9, 0.5), row)
        draw_arrow(ax, above.bottom, box.top)
        if i < len(rows) - 1:
            write(ax, (x + 0.12, box.bottom[1] - 0.13), "ReLU", ha="left")
        above = box
    if shortcut:
        add = draw_sum(ax, (x, 1.95))
        draw_arrow(ax, above.bottom, add.top)
        draw_arrow(ax, start.left, (x - 1.4, start.y), (x - 1.4, add.y), add.left)
        above = add
    draw_arrow(ax, above.bottom, (x, 1.4))
    write(ax, (x + 0.12, 1.6), "ReLU", ha="left")
    symbols = r"$f(x) + x$" if shortcut else "$f(x)$"
    write(ax, (x, 1.2), symbols, size=17)
    write(ax, (x, 0.8), say(f"sketch.residual.{key}_said"))
