"""Schematics of classifiers: the way from pixels to a class, AlexNet, the residual block."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle

from course_utils.plots.sketches.parts import (
    COLORS,
    TITLE,
    WORDS,
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
    ax = make_canvas(5.1, caption)
    y = 3.4
    start = draw_picture(ax, (1.2, y), 2.0, shown)
    write(ax, (1.2, y + 1.3), say("sketch.pipeline.picture"), size=WORDS, weight="bold")
    numbers = draw_box(ax, (3.3, y), (1.5, 1.3), *_both("numbers"), color=COLORS["image"])
    body = draw_box(ax, (5.4, y), (1.9, 2.0), *_both("body"), fontsize=16)
    head = draw_box(ax, (7.5, y), (1.5, 1.3), *_both("head"))
    for left, right in pairwise([start, numbers, body, head]):
        draw_arrow(ax, left.right, right.left)
    draw_arrow(ax, head.right, (8.65, y))
    _draw_softmax(ax, y, [shorten(name, 18) for name in class_names])
    loss = draw_box(ax, (10.4, 1.2), (2.8, 0.8), *_both("loss"), color=COLORS["answer"])
    label = draw_box(ax, (7.5, 1.2), (1.8, 0.8), *_both("label"), color=COLORS["text"])
    draw_arrow(ax, (loss.x, y - 1.1), loss.top)
    draw_arrow(ax, label.right, loss.left)
    low = loss.bottom[1] - 0.22
    draw_arrow(ax, loss.bottom, (loss.x, low), (body.x, low), body.bottom, dashed=True)
    write(ax, (body.x - 0.15, 1.35), say("sketch.pipeline.training"), ha="right")
    draw_key(ax, "image", "text", "net", "answer")
    return finish(ax.figure, caption)


def _both(key: str) -> tuple[str, str]:
    return say(f"sketch.pipeline.{key}"), say(f"sketch.pipeline.{key}_what")


def _draw_softmax(ax: Axes, y: float, names: Sequence[str]) -> None:
    """Draw three scores and the probabilities that softmax makes of them."""
    shares = np.exp(_SCORES) / np.exp(_SCORES).sum()
    color, style = COLORS["answer"], {"size": WORDS, "weight": "bold"}
    write(ax, (9.0, y + 1.3), say("sketch.pipeline.scores"), **style)
    write(ax, (9.75, y + 1.3), say("sketch.pipeline.softmax"), ha="left", **style)
    for i, (name, score, share) in enumerate(zip(names, _SCORES, shares, strict=True)):
        middle = y + 0.68 * (1 - i)
        draw_box(ax, (9.0, middle), (0.7, 0.46), f"{score:.1f}", color=color)
        write(ax, (9.75, middle + 0.12), name, ha="left")
        corner, size = (9.75, middle - 0.24), (1.6 * share, 0.16)
        ax.add_patch(Rectangle(corner, *size, facecolor=color, linewidth=0))
        write(ax, (9.83 + size[0], middle - 0.16), f"{share:.2f}", ha="left")


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
        Krizhevsky, Sutskever and Hinton 2012: sizes from section 3.5, errors from table 1. Its
        text says 224 pixels; the sizes of its layers are those of 227.
    """
    ax = make_canvas(6.6, caption)
    write(ax, (6.0, 6.3), say("sketch.alexnet.rows"), size=TITLE, weight="bold")
    write(ax, (0.75, 5.8), say("sketch.alexnet.filters"), size=WORDS)
    write(ax, (0.75, 2.75), "227 × 227\n× 3")
    right = _draw_slab(ax, 0.55, 227, 3, color=COLORS["image"])
    for i, (x, layer) in enumerate(zip(_PLACES, ALEXNET, strict=True)):
        draw_arrow(ax, (right + 0.05, _AXIS), (x - 0.03, _AXIS))
        if i in _POOLED_BEFORE:
            write(ax, ((right + x) / 2, _AXIS + 0.17), say("sketch.alexnet.pool"))
        color = COLORS["answer" if i == len(ALEXNET) - 1 else "net"]
        right = _draw_slab(ax, x, layer.side, layer.channels, color=color)
        filters, shape = say("sketch.alexnet.full"), f"{layer.channels}"
        if layer.kernel:
            filters = f"{layer.kernel} × {layer.kernel}"
            shape = f"{layer.side} × {layer.side}\n× {layer.channels}"
        middle = (x + right) / 2
        write(ax, (middle, 5.8), filters, size=WORDS, weight="bold")
        write(ax, (middle, 2.75), shape)
    ends = ((1.7, 8.15), (8.5, 11.75))
    for (start, end), count in zip(ends, count_alexnet(), strict=True):
        ax.plot([start, start, end, end], [2.3, 2.18, 2.18, 2.3], color=INK, lw=1.5)
        words = say("sketch.alexnet.convolutions", million=f"{count / 1e6:.1f}")
        write(ax, ((start + end) / 2, 1.93), words, size=WORDS, weight="bold")
    result = say("sketch.alexnet.result"), say("sketch.alexnet.result_what")
    draw_box(ax, (6.0, 1.12), (11.3, 0.8), *result, color=COLORS["answer"])
    write(ax, (11.85, 0.2), say("sketch.alexnet.torchvision"), ha="right")
    draw_key(ax, "image", "net", "answer")
    return finish(ax.figure, caption)


_AXIS = 4.3  # inches: the height at which the middles of AlexNet's layers lie
_PLACES = (1.95, 3.4, 4.85, 6.05, 7.15, 8.85, 9.9, 10.95)
_POOLED_BEFORE = (1, 2, 5)


def _draw_slab(ax: Axes, x: float, side: int, channels: int, *, color: str) -> float:
    """Draw a block of numbers, high as its map is wide and thick as it has channels.

    Returns:
        Where it ends at the right.
    """
    height, width, shift = 0.2 + 2.0 * channels / 4096, 0.2, 0.1
    if side > 1:
        height, width, shift = 0.3 + 1.9 * (side / 227) ** 0.5, 0.1 + 0.45 * channels / 384, 0.22
    low, high, end = _AXIS - height / 2, _AXIS + height / 2, x + width
    style = {"edgecolor": color, "linewidth": 1.5, "zorder": 2, "joinstyle": "round"}
    ax.add_patch(Rectangle((x, low), width, height, facecolor=tint(color, 0.15), **style))
    lid = [(x, high), (x + shift, high + shift), (end + shift, high + shift), (end, high)]
    edge = [lid[3], lid[2], (end + shift, low + shift), (end, low)]
    ax.add_patch(Polygon(lid, facecolor=tint(color, 0.3), **style))
    ax.add_patch(Polygon(edge, facecolor=tint(color, 0.45), **style))
    return end + shift


_BASIC = (("3 × 3", 64), ("3 × 3", 64))
_BOTTLENECK = (("1 × 1", 64), ("3 × 3", 64), ("1 × 1", 256))


def sketch_residual(*, caption: str = "") -> Figure:
    """Draw layers without a shortcut, a residual block, and ResNet-50's bottleneck.

    Args:
        caption: said above.

    Source:
        He et al. 2015, arXiv 1512.03385, figures 2 and 5.
    """
    ax = make_canvas(6.5, caption)
    columns = (("plain", _BASIC), ("basic", _BASIC), ("bottleneck", _BOTTLENECK))
    for x, (key, rows) in zip((2.0, 6.0, 10.0), columns, strict=True):
        draw_group(ax, (x - 1.85, 0.5), (3.7, 5.9), say(f"sketch.residual.{key}"))
        _draw_column(ax, x, rows, shortcut=key != "plain")
        write(ax, (x, 0.78), say(f"sketch.residual.{key}_said"), size=WORDS)
    write(ax, (11.85, 0.2), say("sketch.residual.conv"), ha="right")
    draw_key(ax, "image", "net")
    return finish(ax.figure, caption)


def _draw_column(ax: Axes, x: float, rows: Sequence[tuple], *, shortcut: bool) -> None:
    """Draw layers one below the other, with a shortcut around them or without."""
    start = draw_box(ax, (x, 5.45), (1.2, 0.5), "$x$", color=COLORS["image"], fontsize=18)
    words = say("sketch.residual.channels", num=rows[-1][1])
    write(ax, (x + 0.68, start.y), words, ha="left")
    size, end = (2.1, 0.5), 2.1 if shortcut else 1.5
    gap = (start.bottom[1] - 2.1 - size[1] * len(rows)) / (len(rows) + 1)
    boxes = [start]
    for i, (kernel, num) in enumerate(rows):
        y = start.bottom[1] - (i + 1) * gap - (i + 0.5) * size[1]
        name = say("sketch.residual.layer", kernel=kernel, num=num)
        boxes.append(draw_box(ax, (x, y), size, name))
        draw_arrow(ax, boxes[i].bottom, boxes[-1].top)
        if i:
            write(ax, (x + 0.14, y + size[1] / 2 + gap / 2 + 0.03), "ReLU", ha="left")
    last = boxes[-1]
    if shortcut:
        last = draw_sum(ax, (x, end - 0.18))
        draw_arrow(ax, boxes[-1].bottom, last.top)
        draw_arrow(ax, start.left, (x - 1.4, start.y), (x - 1.4, last.y), last.left)
    draw_arrow(ax, last.bottom, (x, 1.4))
    write(ax, (x + 0.14, 1.62), "ReLU", ha="left")
    write(ax, (x, 1.18), "$f(x) + x$" if shortcut else "$f(x)$", size=18)
