"""Schematics of transformers that look at images: ViT, and Swin's windows."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from course_utils.plots.sketches.parts import (
    COLORS,
    SMALL,
    TITLE,
    WORDS,
    Box,
    Point,
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
from course_utils.plots.style import INK, Picture, finish, say

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
    image = draw_picture(ax, (1.3, 1.75), 2.1, shown)
    draw_lines(ax, image, _CUTS, width=3)
    write(ax, (1.3, 3.03), say("sketch.vit.cut"), size=WORDS, weight="bold")
    patches = [
        draw_picture(ax, (3.74 + 0.56 * i, 0.98), 0.47, patch)
        for i, patch in enumerate(cut(shown, _CUTS))
    ]
    draw_arrow(ax, (image.right[0] + 0.05, 0.98), patches[0].left)
    layer = draw_box(ax, (5.98, 1.8), (4.97, 0.48), say("sketch.vit.projection"))
    tokens = _draw_tokens(ax, patches, layer)
    encoder = draw_box(ax, (5.7, 4.0), (5.53, 0.8), *_both("encoder"), fontsize=16)
    for token in tokens:
        draw_arrow(ax, token.top, (token.x, encoder.bottom[1]))
    head = draw_box(ax, (3.9, 5.15), (1.5, 0.5), say("sketch.vit.head"))
    x = tokens[0].x
    draw_arrow(ax, (x, encoder.top[1]), (x, 5.15), head.left) if x < head.left[0] - 0.2 else None
    answer = draw_box(ax, (6.6, 5.15), (2.9, 0.5), say("sketch.vit.scores"), color=COLORS["answer"])
    draw_arrow(ax, head.right, answer.left)
    write(ax, (4.35, 5.95), say("sketch.vit.sizes"))
    _draw_encoder_block(ax)
    draw_key(ax, "image", "net", "step", "answer")
    return finish(ax.figure, caption)


def _both(key: str) -> tuple[str, str]:
    return say(f"sketch.vit.{key}"), say(f"sketch.vit.{key}_what")


def _draw_tokens(ax: Axes, patches: list[Box], layer: Box) -> list[Box]:
    """Draw the tokens: a learned one for the class, then one a patch, each with its position."""
    y, size = 2.75, (0.47, 0.5)
    learned = draw_box(ax, (patches[0].x - 0.56, y), size, "★", fontsize=TITLE)
    tokens = [learned]
    for patch in patches:
        draw_arrow(ax, patch.top, (patch.x, layer.bottom[1]))
        token = draw_box(ax, (patch.x, y), size, color=COLORS["image"])
        draw_arrow(ax, (patch.x, layer.top[1]), token.bottom)
        tokens.append(token)
    for i, token in enumerate(tokens):
        badge = (token.x, token.top[1])
        draw_box(ax, badge, (0.34, 0.28), str(i), color=COLORS["step"], fontsize=SMALL)
    write(ax, (2.8, 2.75), say("sketch.vit.class_token"), ha="right")
    write(ax, (2.8, 3.3), say("sketch.vit.position"), ha="right", color=COLORS["step"])
    return tokens


def _draw_encoder_block(ax: Axes) -> None:
    """Draw a block of the encoder: attention, then two layers, each beside a shortcut."""
    draw_group(ax, (8.85, 0.55), (3.0, 5.9), say("sketch.vit.inside"))
    x, size = 10.5, (2.1, 0.48)
    rows = {}
    for key, y in (("norm1", 1.5), ("attention", 2.2), ("norm2", 3.75), ("mlp", 4.45)):
        words = say(f"sketch.vit.{key.rstrip('12')}")
        rows[key] = draw_box(ax, (x, y), size, words)
    for first, second, low, high in (
        ("norm1", "attention", 0.72, 2.88),
        ("norm2", "mlp", 2.88, 5.13),
    ):
        add = draw_sum(ax, (x, high))
        draw_arrow(ax, (x, low + (0.18 if low > 1 else 0)), rows[first].bottom)
        draw_arrow(ax, rows[first].top, rows[second].bottom)
        draw_arrow(ax, rows[second].top, add.bottom)
        fork = low + 0.32
        draw_arrow(ax, (x, fork), (9.15, fork), (9.15, high), add.left)
    draw_arrow(ax, (x, 5.31), (x, 5.75))


def sketch_swin(*, caption: str = "") -> Figure:
    """Draw Swin: attention inside windows, then inside shifted ones, on maps that shrink.

    Args:
        caption: said above.

    Source:
        Liu et al. 2021, arXiv 2103.14030, figures 2 and 3, equations 1 and 2; Swin-T's sizes.
    """
    ax = make_canvas(6.6, caption)
    x = 0.35
    for i, (channels, depth) in enumerate(zip((96, 192, 384, 768), (2, 2, 6, 2), strict=True)):
        side = 56 // 2**i
        center = (1.6 + 2.93 * i, 5.4)
        box = draw_box(
            ax,
            center,
            (2.15, 1.1),
            say("sketch.swin.stage", num=i + 1, blocks=depth),
            f"{side} × {side} × {channels}\n" + say("sketch.swin.windows", num=(side // 7) ** 2),
        )
        start = (box.left[0] - 0.78 if i else 0.1, 5.4)
        draw_arrow(ax, start, box.left)
        if i:
            write(ax, (box.left[0] - 0.39, 4.62), say("sketch.swin.merge"))
    del x
    _draw_windows(ax, (0.5, 0.85), shift=0, key="regular")
    _draw_windows(ax, (4.3, 0.85), shift=2, key="shifted")
    draw_arrow(ax, (3.35, 2.1), (4.2, 2.1))
    _draw_cost(ax)
    draw_key(ax, "image", "net", "answer")
    return finish(ax.figure, caption)


_CELLS, _WINDOW = 8, 4  # patches along a side of the drawn map, and of a window


def _draw_windows(ax: Axes, corner: Point, *, shift: int, key: str) -> None:
    """Draw a map of patches, cut into windows that begin ``shift`` patches further."""
    side = 2.7
    cell = side / _CELLS
    edges = [0, *(e for e in range(shift or _WINDOW, _CELLS, _WINDOW)), _CELLS]
    spans = list(zip(edges, edges[1:], strict=False))
    colors = [COLORS[kind] for kind in ("net", "image", "answer", "step", "text")]
    for j, (low, high) in enumerate(spans):
        for i, (left, right) in enumerate(spans):
            place = (corner[0] + left * cell, corner[1] + low * cell)
            size = ((right - left) * cell, (high - low) * cell)
            color = COLORS["net"]
            ax.add_patch(Rectangle(place, *size, fc=tint(color, 0.1 + 0.12 * ((i + j) % 2)), lw=0))
            ax.add_patch(Rectangle(place, *size, fill=False, ec=color, lw=3.5, zorder=3))
    del colors
    box = Box(corner[0] + side / 2, corner[1] + side / 2, side, side)
    draw_lines(ax, box, _CELLS, width=1.5)
    write(ax, (box.x, box.top[1] + 0.25), say(f"sketch.swin.{key}"), size=WORDS, weight="bold")


def _draw_cost(ax: Axes) -> None:
    """Write what attention costs over the whole map and inside windows."""
    draw_group(ax, (7.5, 0.75), (4.35, 3.35), say("sketch.swin.cost"))
    for y, key, formula in (
        (3.2, "everywhere", r"$4hwC^2 + 2(hw)^2C$"),
        (1.95, "inside", r"$4hwC^2 + 2M^2hwC$"),
    ):
        write(ax, (7.7, y), say(f"sketch.swin.{key}"), ha="left", size=WORDS)
        write(ax, (7.7, y - 0.42), formula, ha="left", size=17)
    write(ax, (7.7, 1.05), say("sketch.swin.letters"), ha="left", color=INK)
