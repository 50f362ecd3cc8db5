"""Schematics of what teaches without class labels: CLIP's matrix, MAE's hiding, CoCa's writing."""

from itertools import pairwise

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
from course_utils.plots.style import PALE, Pair, Picture, finish, say

_PAIRS = 4  # rows of CLIP's matrix that are drawn
_SHARES = (0.02, 0.95, 0.03)  # of three classes, to show what a row becomes


def sketch_clip(*, caption: str = "") -> Figure:
    """Draw CLIP: the matrix that it learns from, and how a row of such a matrix names a class.

    Args:
        caption: said above.

    Source:
        Radford et al. 2021, arXiv 2103.00020, figure 1.
    """
    ax = make_canvas(6.6, caption)
    _draw_matrix(ax)
    _draw_zero_shot(ax)
    draw_key(ax, "image", "text", "net", "answer")
    return finish(ax.figure, caption)


def _draw_matrix(ax: Axes) -> None:
    """Draw both towers and the matrix of every image with every sentence."""
    draw_group(ax, (0.15, 0.5), (6.85, 6.0), say("sketch.clip.train"))
    image, text = COLORS["image"], COLORS["text"]
    across, up = [3.6 + 0.96 * j for j in range(_PAIRS)], [3.66 - 0.74 * i for i in range(_PAIRS)]
    middles = sum(across) / _PAIRS, sum(up) / _PAIRS
    sentences = draw_box(ax, (1.5, 5.35), (1.9, 0.6), say("sketch.clip.sentences"), color=text)
    writer = draw_box(ax, (middles[0], 5.35), (3.75, 0.6), say("sketch.clip.text_tower"))
    images = draw_box(ax, (0.72, middles[1]), (0.9, 2.82), say("sketch.clip.images"), color=image)
    viewer = draw_box(ax, (1.87, middles[1]), (0.85, 2.82), _stacked("image_tower"))
    draw_arrow(ax, sentences.right, writer.left, color=text)
    draw_arrow(ax, images.right, viewer.left, color=image)
    for j, x in enumerate(across):
        column = draw_box(ax, (x, 4.5), (0.72, 0.5), f"$T_{j + 1}$", color=text)
        draw_arrow(ax, (x, writer.bottom[1]), column.top, color=text)
    for i, y in enumerate(up):
        row = draw_box(ax, (2.82, y), (0.55, 0.5), f"$I_{i + 1}$", color=image)
        draw_arrow(ax, (viewer.right[0], y), row.left, color=image)
        for j, x in enumerate(across):
            style = {"color": COLORS["answer"] if i == j else PALE, "fontsize": SMALL}
            draw_box(ax, (x, y), (0.86, 0.6), rf"$I_{i + 1}\cdot T_{j + 1}$", **style)
    write(ax, (3.6, 0.8), say("sketch.clip.loss"))


def _stacked(key: str) -> str:
    """Give words one below the other, for a narrow box."""
    return say(f"sketch.clip.{key}").replace(" ", "\n")


def _draw_zero_shot(ax: Axes) -> None:
    """Draw one row of the matrix, with the names of classes for sentences."""
    draw_group(ax, (7.15, 0.5), (4.7, 6.0), say("sketch.clip.zero_shot"))
    image, text = COLORS["image"], COLORS["text"]
    up = (5.35, 4.65, 3.95)
    writer = draw_box(ax, (9.95, up[1]), (0.85, 1.9), _stacked("text_tower"))
    shares = []
    for key, y, share in zip(("forest", "harbor", "beach"), up, _SHARES, strict=True):
        words = say(f"sketch.clip.{key}")
        sentence = draw_box(ax, (8.25, y), (1.95, 0.5), "", words, color=text)
        color = COLORS["answer"] if share == max(_SHARES) else PALE
        shares.append(draw_box(ax, (11.25, y), (0.9, 0.5), f"{share:.2f}", color=color))
        draw_arrow(ax, sentence.right, (writer.left[0], y), color=text)
        draw_arrow(ax, (writer.right[0], y), shares[-1].left, color=text)
    picture = draw_box(ax, (8.25, 2.4), (1.95, 0.6), say("sketch.clip.one_image"), color=image)
    viewer = draw_box(ax, (9.95, 2.4), (0.85, 0.9), _stacked("image_tower"))
    draw_arrow(ax, picture.right, viewer.left, color=image)
    corner = (shares[-1].x, viewer.y)
    draw_arrow(ax, viewer.right, corner, shares[-1].bottom, color=image)
    write(ax, (9.5, 1.2), say("sketch.clip.classes"), size=WORDS)


_CUTS = 4
_SEEN = (2, 7, 8, 13)  # patches of 16 that stay visible: a quarter, as in the paper


def sketch_mae(picture: Picture, *, caption: str = "") -> Figure:
    """Draw MAE: three quarters are hidden, read is what stays, restored is what was hidden.

    Args:
        picture: uint8 (h, w, 3); the square in its middle is cut into 4 x 4 patches.
        caption: said above.

    Raises:
        ValueError: it is another array, or smaller than 4 pixels.

    Source:
        He et al. 2021, arXiv 2111.06377, figure 1.
    """
    shown = square(picture, least=_CUTS)
    end = len(shown) // _CUTS * _CUTS
    shown, y = shown[:end, :end], 3.25
    ax = make_canvas(5.2, caption)
    seen = draw_picture(ax, (1.35, y), 2.3, _hide(shown, stays=True))
    target = draw_picture(ax, (10.65, y), 2.3, _hide(shown, stays=False), color=COLORS["answer"])
    for box, key in ((seen, "seen"), (target, "target")):
        draw_lines(ax, box, _CUTS, width=2)
        write(ax, (box.x, y + 1.4), say(f"sketch.mae.{key}"), size=WORDS, weight="bold")
        write(ax, (box.x, y - 1.23), say(f"sketch.mae.{key}_what"), va="top")
    patches = cut(shown, _CUTS)
    for i, k in enumerate(_SEEN):
        draw_picture(ax, (3.2, y + 0.9 - 0.6 * i), 0.5, patches[k])
    encoder = draw_box(ax, (4.75, y), (1.6, 2.3), *_both("mae.encoder"), fontsize=TITLE)
    tokens = _draw_tokens(ax, (6.6, y))
    decoder = draw_box(ax, (8.3, y), (1.3, 1.3), *_both("mae.decoder"), fontsize=TITLE)
    draw_arrow(ax, seen.right, (2.93, y))
    draw_arrow(ax, (3.47, y), encoder.left)
    for start, after in pairwise((encoder, tokens, decoder, target)):
        draw_arrow(ax, start.right, after.left)
    write(ax, (6.0, 0.9), say("sketch.mae.after"), size=WORDS)
    draw_key(ax, "image", "noise", "net", "answer")
    return finish(ax.figure, caption)


def _draw_tokens(ax: Axes, center: Pair) -> Box:
    """Draw what the decoder reads: a token a patch, the hidden ones all alike."""
    pitch = 0.3
    for k in range(_CUTS**2):
        row, column = divmod(k, _CUTS)
        place = (center[0] + pitch * (column - 1.5), center[1] - pitch * (row - 1.5))
        color = COLORS["image" if k in _SEEN else "noise"]
        draw_box(ax, place, (0.23, 0.23), color=color)
    words = say("sketch.mae.tokens"), say("sketch.mae.tokens_what")
    write(ax, (center[0], center[1] + 0.85), words[0], size=WORDS, weight="bold")
    write(ax, (center[0], center[1] - 0.7), words[1], va="top")
    return Box(*center, pitch * _CUTS, pitch * _CUTS)


def _hide(picture: Picture, *, stays: bool) -> Picture:
    """Gray the patches that are hidden, or those that stay."""
    side = len(picture) // _CUTS
    visible = np.isin(np.arange(_CUTS**2), _SEEN).reshape(_CUTS, _CUTS)
    shown = (visible == stays).repeat(side, 0).repeat(side, 1)
    return np.where(shown[..., None], picture, np.uint8(205))


def _both(key: str) -> tuple[str, str]:
    return say(f"sketch.{key}"), say(f"sketch.{key}_what")


def sketch_coca(*, caption: str = "") -> Figure:
    """Draw CoCa: two losses from one pass, one that compares and one that writes.

    Args:
        caption: said above.

    Source:
        Yu et al. 2022, arXiv 2205.01917, figure 2.
    """
    ax = make_canvas(6.6, caption)
    image, text, answer = COLORS["image"], COLORS["text"], COLORS["answer"]
    picture = draw_box(ax, (1.6, 0.9), (2.6, 0.6), say("sketch.coca.image"), color=image)
    viewer = draw_box(ax, (1.6, 2.2), (2.6, 0.8), *_both("coca.viewer"))
    one = draw_box(ax, (1.6, 4.1), (2.6, 0.8), *_both("coca.pool_one"))
    many = draw_box(ax, (4.9, 2.2), (2.2, 0.8), *_both("coca.pool_many"))
    words = draw_box(ax, (10.15, 0.9), (3.3, 0.6), say("sketch.coca.words"), color=text)
    reader = draw_box(ax, (10.15, 2.2), (3.3, 0.8), *_both("coca.reader"))
    writer = draw_box(ax, (5.9, 3.5), (3.4, 0.8), *_both("coca.writer"))
    writes = draw_box(ax, (5.9, 4.7), (3.4, 0.75), *_both("coca.write"), color=answer)
    compares = draw_box(ax, (6.05, 5.95), (11.5, 0.8), *_both("coca.compare"), color=answer)
    for color, points in (
        (image, (picture.top, viewer.bottom)),
        (image, (viewer.top, one.bottom)),
        (image, (one.top, (one.x, compares.bottom[1]))),
        (image, (viewer.right, many.left)),
        (image, (many.top, (many.x, writer.bottom[1]))),
        (text, (words.top, reader.bottom)),
        (text, (reader.at(0.3, 1), (reader.at(0.3, 1)[0], writer.y), writer.right)),
        (text, (reader.at(0.7, 1), (reader.at(0.7, 1)[0], compares.bottom[1]))),
        (answer, (writer.top, writes.bottom)),
    ):
        draw_arrow(ax, *points, color=color)
    x = reader.at(0.7, 1)[0]
    write(ax, (x - 0.1, 4.7), say("sketch.coca.class_token"), ha="right", color=text)
    write(
        ax, (reader.at(0.3, 1)[0] - 0.1, 3.25), say("sketch.coca.each_word"), ha="right", color=text
    )
    draw_key(ax, "image", "text", "net", "answer")
    return finish(ax.figure, caption)
