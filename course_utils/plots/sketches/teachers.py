"""Schematics of what teaches without class labels: CLIP's matrix, MAE's hiding, CoCa's writing."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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
    make_canvas,
    square,
    write,
)
from course_utils.plots.style import Picture, finish, say

_PAIRS = 4  # rows of CLIP's matrix that are drawn


def sketch_clip(*, caption: str = "") -> Figure:
    """Draw CLIP: the matrix that it learns from, and how the same matrix names a class.

    Args:
        caption: said above.

    Source:
        Radford et al. 2021, arXiv 2103.00020, figure 1.
    """
    ax = make_canvas(6.4, caption)
    draw_group(ax, (0.15, 0.5), (6.85, 5.75), say("sketch.clip.train"))
    draw_group(ax, (7.15, 0.5), (4.7, 5.75), say("sketch.clip.zero_shot"))
    _draw_matrix(ax)
    _draw_zero_shot(ax)
    draw_key(ax, "image", "text", "net", "answer")
    return finish(ax.figure, caption)


def _draw_matrix(ax: Axes) -> None:
    """Draw both towers and the matrix of every image with every sentence."""
    image, text = COLORS["image"], COLORS["text"]
    pitch, left, high = 0.82, 3.5, 3.7
    sentences = draw_box(ax, (1.25, 5.0), (1.8, 0.75), *_both("sentences"), color=text)
    writer = draw_box(ax, (3.0, 5.0), (1.2, 0.75), say("sketch.clip.text_tower"))
    pictures = draw_box(ax, (0.95, 2.45), (1.2, 0.9), *_both("images"), color=image)
    viewer = draw_box(ax, (0.95, 3.75), (1.2, 0.75), say("sketch.clip.image_tower"))
    draw_arrow(ax, sentences.right, writer.left, color=text)
    draw_arrow(ax, pictures.top, viewer.bottom, color=image)
    rows, columns = [], []
    for i in range(_PAIRS):
        columns.append(
            draw_box(ax, (left + 0.35 + pitch * i, 4.35), (0.7, 0.42), f"$T_{i + 1}$", color=text)
        )
        rows.append(draw_box(ax, (2.6, high - 0.68 * i), (0.7, 0.5), f"$I_{i + 1}$", color=image))
    draw_arrow(ax, writer.right, (columns[1].x, 5.0), columns[1].top, color=text)
    draw_arrow(ax, viewer.right, rows[0].left, color=image)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            color = COLORS["answer" if i == j else "noise"]
            words = rf"$I_{i + 1}\!\cdot\!T_{j + 1}$"
            draw_box(ax, (column.x, row.y), (0.74, 0.56), words, color=color, fontsize=SMALL)
    write(ax, (3.6, 0.95), say("sketch.clip.loss"))


def _both(key: str) -> tuple[str, str]:
    return say(f"sketch.clip.{key}"), say(f"sketch.clip.{key}_what")


def _draw_zero_shot(ax: Axes) -> None:
    """Draw one row of the matrix, with the names of classes for sentences."""
    image, text, x = COLORS["image"], COLORS["text"], 8.3
    prompts = [say(f"sketch.clip.prompt_{i}") for i in (1, 2, 3)]
    numbers = ("0.02", "0.95", "0.03")
    picture = draw_box(ax, (x, 1.55), (1.9, 0.55), say("sketch.clip.one_image"), color=image)
    for i, (prompt, number) in enumerate(zip(prompts, numbers, strict=True)):
        y = 4.95 - 0.68 * i
        sentence = draw_box(ax, (x + 0.3, y), (2.5, 0.5), "", prompt, color=text)
        color = COLORS["answer" if number == max(numbers) else "noise"]
        share = draw_box(ax, (11.15, y), (0.95, 0.5), number, color=color)
        draw_arrow(ax, sentence.right, share.left)
    draw_arrow(ax, picture.right, (11.15, picture.y), (11.15, 3.34), color=image)
    write(ax, (9.5, 2.55), say("sketch.clip.classes"))


_CUTS = 4
_SEEN = (2, 7, 8, 13)  # patches of 16 that stay visible: a quarter, as in the paper


def sketch_mae(picture: Picture, *, caption: str = "") -> Figure:
    """Draw MAE: three quarters hidden, the encoder sees the rest, the decoder draws what was hidden.

    Args:
        picture: uint8 (h, w, 3); the square in its middle is cut into 4 x 4 patches.
        caption: said above.

    Raises:
        ValueError: it is another array, or smaller than 4 pixels.

    Source:
        He et al. 2021, arXiv 2111.06377, figure 1; sizes of ViT-B/16.
    """
    shown = square(picture, least=_CUTS)
    shown = shown[: len(shown) // _CUTS * _CUTS, : len(shown) // _CUTS * _CUTS]
    ax = make_canvas(5.3, caption)
    side, y = 2.2, 3.1
    seen = draw_picture(ax, (1.3, y), side, _hide(shown, hidden=True))
    encoder = draw_box(ax, (4.45, y), (1.7, 2.5), *_both_mae("encoder"), fontsize=TITLE)
    decoder = draw_box(ax, (7.95, y), (1.3, 1.5), *_both_mae("decoder"), fontsize=TITLE)
    target = draw_picture(ax, (10.7, y), side, _hide(shown, hidden=False), color=COLORS["answer"])
    for box, key in ((seen, "seen"), (target, "target")):
        draw_lines(ax, box, _CUTS, width=2)
        write(ax, (box.x, y + 1.42), say(f"sketch.mae.{key}"), size=WORDS, weight="bold")
        write(ax, (box.x, y - 1.42), say(f"sketch.mae.{key}_what"))
    patches = cut(shown, _CUTS)
    ins = [
        draw_picture(ax, (3.0, y + 0.9 - 0.6 * i), 0.48, patches[k]) for i, k in enumerate(_SEEN)
    ]
    draw_arrow(ax, seen.right, (ins[0].left[0] - 0.02, y))
    draw_arrow(ax, (3.29, y), encoder.left)
    full = []
    for k in range(16):
        center = (5.94 + 0.27 * (k % 4), y + 0.95 - 0.27 * (k // 4) - 0.55)
        kind = "image" if k in _SEEN else "noise"
        full.append(draw_box(ax, center, (0.2, 0.2), color=COLORS[kind]))
    write(ax, (6.35, y + 1.42), say("sketch.mae.tokens"), size=WORDS, weight="bold")
    draw_arrow(ax, encoder.right, (full[0].left[0] - 0.02, y))
    draw_arrow(ax, (full[3].right[0] + 0.05, y), decoder.left)
    draw_arrow(ax, decoder.right, target.left)
    write(ax, (6.0, 0.75), say("sketch.mae.after"), size=WORDS)
    draw_key(ax, "image", "noise", "net", "answer")
    return finish(ax.figure, caption)


def _both_mae(key: str) -> tuple[str, str]:
    return say(f"sketch.mae.{key}"), say(f"sketch.mae.{key}_what")


def _hide(picture: Picture, *, hidden: bool) -> Picture:
    """Gray the patches that are hidden, or the others."""
    side = len(picture) // _CUTS
    visible = np.isin(np.arange(_CUTS**2), _SEEN).reshape(_CUTS, _CUTS)
    grayed = (~visible if hidden else visible).repeat(side, 0).repeat(side, 1)
    return np.where(grayed[..., None], np.uint8(205), picture)


def sketch_coca(*, caption: str = "") -> Figure:
    """Draw CoCa: two losses from one pass, one that compares and one that writes.

    Args:
        caption: said above.

    Source:
        Yu et al. 2022, arXiv 2205.01917, figure 2.
    """
    ax = make_canvas(6.5, caption)
    image, text, answer = COLORS["image"], COLORS["text"], COLORS["answer"]
    picture = draw_box(ax, (1.7, 1.1), (2.2, 0.6), say("sketch.coca.image"), color=image)
    viewer = draw_box(ax, (1.7, 2.3), (2.2, 0.8), *_both_coca("viewer"))
    draw_arrow(ax, picture.top, viewer.bottom, color=image)
    pools = [
        draw_box(ax, (1.7, 4.0), (2.2, 0.8), *_both_coca("pool_one")),
        draw_box(ax, (4.6, 2.3), (2.4, 0.8), *_both_coca("pool_many")),
    ]
    draw_arrow(ax, viewer.top, pools[0].bottom, color=image)
    draw_arrow(ax, viewer.right, pools[1].left, color=image)
    words = draw_box(ax, (8.6, 1.1), (4.2, 0.6), say("sketch.coca.words"), color=text)
    reader = draw_box(ax, (8.6, 2.3), (4.2, 0.8), *_both_coca("reader"))
    writer = draw_box(ax, (8.6, 4.0), (4.2, 0.8), *_both_coca("writer"))
    draw_arrow(ax, words.top, reader.bottom, color=text)
    draw_arrow(ax, reader.top, writer.bottom, color=text)
    draw_arrow(ax, pools[1].top, (pools[1].x, writer.y), writer.left, color=image)
    compare = draw_box(ax, (2.9, 5.75), (4.6, 0.8), *_both_coca("compare"), color=answer)
    write_loss = draw_box(ax, (8.6, 5.75), (4.2, 0.8), *_both_coca("write"), color=answer)
    draw_arrow(ax, pools[0].top, (pools[0].x, compare.bottom[1]), color=image)
    draw_arrow(ax, writer.top, write_loss.bottom, color=text)
    side = reader.right[0] + 0.45
    token: Box = reader
    draw_arrow(
        ax,
        token.right,
        (side, token.y),
        (side, 4.95),
        (4.6, 4.95),
        (4.6, compare.bottom[1]),
        color=text,
    )
    draw_key(ax, "image", "text", "net", "answer")
    return finish(ax.figure, caption)


def _both_coca(key: str) -> tuple[str, str]:
    return say(f"sketch.coca.{key}"), say(f"sketch.coca.{key}_what")
