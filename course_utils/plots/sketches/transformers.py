"""Schematics of transformers that look at images: ViT, and Swin's windows."""

from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from course_utils.plots.sketches.parts import (
    COLORS,
    SMALL,
    TITLE,
    WORDS,
    Box,
    cut,
    draw_arrow,
    draw_box,
    draw_group,
    draw_key,
    draw_lines,
    draw_picture,
    draw_sum,
    make_canvas,
    square,
    tint,
    write,
)
from course_utils.plots.style import INK, Pair, Picture, finish, say

_CUTS = 3  # patches along a side of the picture that is shown


def sketch_vit(picture: Picture, *, caption: str = "") -> Figure:
    """Draw ViT: patches become tokens, a class token collects the answer; a block from the inside.

    Args:
        picture: uint8 (h, w, 3); the square in its middle is cut into 3 x 3 patches.
        caption: said above.

    Raises:
        ValueError: it is another array, or smaller than 3 pixels.

    Source:
        Dosovitskiy et al. 2020, arXiv 2010.11929, figure 1 and table 1.
    """
    shown = square(picture, least=_CUTS)
    ax = make_canvas(6.6, caption)
    image = draw_picture(ax, (1.2, 1.87), 1.9, shown)
    draw_lines(ax, image, _CUTS, width=3)
    write(ax, (1.2, 0.68), say("sketch.vit.cut"), size=WORDS, weight="bold")
    patches = [
        draw_picture(ax, (3.76 + 0.56 * i, 1.2), 0.47, patch)
        for i, patch in enumerate(cut(shown, _CUTS))
    ]
    draw_arrow(ax, (image.right[0] + 0.05, 1.2), patches[0].left)
    layer = draw_box(ax, (6.0, 2.05), (4.97, 0.5), say("sketch.vit.projection"))
    first = _draw_tokens(ax, patches, layer)
    encoder = draw_box(ax, (5.72, 4.4), (5.53, 0.85), *_both("encoder"), fontsize=18)
    head = draw_box(ax, (3.55, 5.55), (1.2, 0.5), say("sketch.vit.head"))
    draw_arrow(ax, (first.x, encoder.top[1]), (first.x, head.bottom[1]))
    write(ax, (first.x - 0.1, 5.06), say("sketch.vit.out"), ha="right")
    answer = draw_box(ax, (6.0, 5.55), (2.6, 0.5), say("sketch.vit.scores"), color=COLORS["answer"])
    draw_arrow(ax, head.right, answer.left)
    write(ax, (4.4, 6.25), say("sketch.vit.sizes"))
    _draw_encoder_block(ax)
    draw_key(ax, "image", "net", "step", "answer")
    return finish(ax.figure, caption)


def _both(key: str) -> tuple[str, str]:
    return say(f"sketch.vit.{key}"), say(f"sketch.vit.{key}_what")


def _draw_tokens(ax: Axes, patches: list[Box], layer: Box) -> Box:
    """Draw the tokens, each with its position, below the encoder.

    Returns:
        The first, the learned class token.
    """
    y, size = 3.1, (0.47, 0.5)
    tokens = [draw_box(ax, (patches[0].x - 0.56, y), size, "★", fontsize=TITLE)]
    for patch in patches:
        draw_arrow(ax, patch.top, (patch.x, layer.bottom[1]))
        tokens.append(draw_box(ax, (patch.x, y), size, color=COLORS["image"]))
        draw_arrow(ax, (patch.x, layer.top[1]), tokens[-1].bottom)
    for i, token in enumerate(tokens):
        place = draw_box(
            ax, (token.x, y + 0.3), (0.36, 0.3), str(i), color=COLORS["step"], fontsize=SMALL
        )
        draw_arrow(ax, place.top, (token.x, 3.975))
    write(ax, (2.87, y - 0.06), say("sketch.vit.class_token"), ha="right", color=COLORS["net"])
    write(ax, (2.87, y + 0.32), say("sketch.vit.position"), ha="right", color=COLORS["step"])
    return tokens[0]


def _draw_encoder_block(ax: Axes) -> None:
    """Draw a block of the encoder: attention, then two layers, each beside a shortcut."""
    draw_group(ax, (8.85, 0.5), (3.0, 6.0), say("sketch.vit.inside"))
    x, below = 10.55, (10.55, 0.75)
    for low, keys in ((1.1, ("norm", "attention")), (3.4, ("norm", "mlp"))):
        first, second = (
            draw_box(ax, (x, low + 0.55 + 0.75 * i), (2.45, 0.5), say(f"sketch.vit.{key}"))
            for i, key in enumerate(keys)
        )
        add = draw_sum(ax, (x, low + 1.95))
        draw_arrow(ax, below, first.bottom)
        draw_arrow(ax, first.top, second.bottom)
        draw_arrow(ax, second.top, add.bottom)
        draw_arrow(ax, (x, low), (9.05, low), (9.05, add.y), add.left)
        below = add.top
    draw_arrow(ax, below, (x, 5.95))


_STAGES = ((56, 96, 2), (28, 192, 2), (14, 384, 6), (7, 768, 2))  # side, channels, blocks: Swin-T
_WINDOW = 7
_CELLS, _DRAWN = 8, 4  # patches along a side of the map that is drawn, and of its windows


def sketch_swin(*, caption: str = "") -> Figure:
    """Draw Swin: attention inside windows, then inside shifted ones, on maps that shrink.

    Args:
        caption: said above.

    Source:
        Liu et al. 2021, arXiv 2103.14030, figures 2 and 3, equations 1 and 2; Swin-T's sizes.
    """
    ax = make_canvas(6.6, caption)
    words = say("sketch.swin.input"), say("sketch.swin.input_what")
    before = draw_box(ax, (0.75, 5.75), (1.1, 0.9), *words, color=COLORS["image"])
    for i, (side, channels, blocks) in enumerate(_STAGES):
        num = (side // _WINDOW) ** 2
        windows = say("sketch.swin.window") if num == 1 else say("sketch.swin.windows", num=num)
        detail = f"{side} × {side} × {channels}\n{windows}"
        title = say("sketch.swin.stage", blocks=blocks)
        box = draw_box(ax, (2.9 + 2.62 * i, 5.75), (2.05, 1.1), title, detail)
        draw_arrow(ax, before.right, box.left)
        gap, key = (before.right[0] + box.left[0]) / 2, "merge" if i else "patches"
        write(ax, (gap, 4.92), say(f"sketch.swin.{key}"))
        before = box
    _draw_windows(ax, (0.45, 0.85), shift=0)
    _draw_windows(ax, (4.15, 0.85), shift=_DRAWN // 2)
    draw_arrow(ax, (3.3, 2.2), (4.1, 2.2))
    write(ax, (3.65, 0.62), say("sketch.swin.sees"))
    _draw_cost(ax)
    draw_key(ax, "image", "net")
    return finish(ax.figure, caption)


def _draw_windows(ax: Axes, corner: Pair, *, shift: int) -> None:
    """Draw a map of patches, cut into windows that begin ``shift`` patches further."""
    side = 2.75
    cell, patch = side / _CELLS, (3, 4)  # the patch whose window is colored, from the lower left
    edges = [0, *range(shift or _DRAWN, _CELLS, _DRAWN), _CELLS]
    for low, high in pairwise(edges):
        for left, right in pairwise(edges):
            place = (corner[0] + left * cell, corner[1] + low * cell)
            size = ((right - left) * cell, (high - low) * cell)
            is_seen = left <= patch[0] < right and low <= patch[1] < high
            color = tint(COLORS["image"], 0.45 if is_seen else 0.1)
            ax.add_patch(Rectangle(place, *size, facecolor=color, linewidth=0, zorder=1))
            edge = {"fill": False, "edgecolor": INK, "linewidth": 3, "zorder": 3.5}
            ax.add_patch(Rectangle(place, *size, joinstyle="round", **edge))
    place = (corner[0] + patch[0] * cell, corner[1] + patch[1] * cell)
    ax.add_patch(Rectangle(place, cell, cell, facecolor=COLORS["image"], linewidth=0, zorder=2))
    box = Box(corner[0] + side / 2, corner[1] + side / 2, side, side)
    draw_lines(ax, box, _CELLS)
    words = say("sketch.swin.shifted" if shift else "sketch.swin.regular")
    write(ax, (box.x, box.top[1] + 0.22), words, size=WORDS, weight="bold")


def attention_cost(side: int, channels: int, window: int) -> int:
    r"""Count the multiplications of attention inside windows of a map.

    $$4 h w C^2 + 2 M^2 h w C$$

    Args:
        side: h = w, patches along a side of the map.
        channels: C.
        window: M, patches along a side of a window; the map's own side for attention over all.

    Source:
        Liu et al. 2021, arXiv 2103.14030, equations 1 and 2.
    """
    return 4 * side**2 * channels**2 + 2 * window**2 * side**2 * channels


def _draw_cost(ax: Axes) -> None:
    """Write what attention costs over the whole map and inside windows."""
    draw_group(ax, (7.45, 0.5), (4.4, 3.85), say("sketch.swin.cost"))
    side, channels, _ = _STAGES[0]
    for y, key, formula, window in (
        (3.5, "everywhere", r"$4hwC^2 + 2(hw)^2C$", side),
        (2.3, "inside", r"$4hwC^2 + 2M^2hwC$", _WINDOW),
    ):
        write(ax, (7.6, y), say(f"sketch.swin.{key}"), ha="left", size=WORDS)
        write(ax, (7.6, y - 0.45), formula, ha="left", size=18)
        num = f"{attention_cost(side, channels, window) / 1e9:.2f}"
        words = say("sketch.swin.billion", num=num)
        write(ax, (11.7, y - 0.45), words, ha="right", size=WORDS, weight="bold")
    write(ax, (7.6, 0.95), say("sketch.swin.letters"), ha="left")
