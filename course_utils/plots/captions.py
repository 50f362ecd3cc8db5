"""Images beside the sentences that people wrote about them."""

import textwrap
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_utils.examples import CaptionedImage
from course_utils.plots.style import INK, finish, plain, say, shorten

_WIDTH, _SIDE, _LINE = 11.0, 2.1, 0.25  # inches: figure, image, line of words
_SIGNS, _TITLE_SIGNS = 90, 76  # in a line; bold ones are wider
_GREY = "#767676"  # of a sentence that was there before; still 4.5 : 1 on white
_Line = tuple[str, str, str]  # words, color, weight


def show_captions(images: Sequence[CaptionedImage], *, caption: str = "") -> Figure:
    """Show images with all their sentences, one below the other.

    A sentence that an image has for the second time is grey and marked. Where the set came without
    its images, the place of the image says so.

    Args:
        images: from `examples.read_captions`, or of your own.
        caption: said above all.

    Raises:
        ValueError: no images.
        ImageError: the file of one is no image any more.
    """
    if not len(images):
        raise ValueError("no captioned images to show")
    pictures = [np.asarray(image.load()) if image.has_image else None for image in images]
    blocks = [_lines_of(image) for image in images]
    heights = [max(_SIDE, _LINE * (len(lines) + 0.5)) for lines in blocks]
    fig, axes = plt.subplots(
        len(images),
        2,
        figsize=(_WIDTH, sum(heights) + 0.1 * len(images) + 0.4 * bool(caption)),
        height_ratios=heights,
        width_ratios=(_SIDE, _WIDTH - _SIDE),
        squeeze=False,
        layout="constrained",
    )
    for (left, right), picture, lines, height in zip(axes, pictures, blocks, heights, strict=True):
        _show_image(left, picture)
        right.set_axis_off()
        for number, (words, color, weight) in enumerate(lines):
            place = 1 - (number + 0.25) * _LINE / height
            style = {"color": color, "weight": weight, "fontsize": 12, "va": "top"}
            right.text(0, place, words, transform=right.transAxes, **style)
    return finish(fig, caption)


def _show_image(ax: Axes, picture: UInt8[np.ndarray, "h w 3"] | None) -> None:
    ax.set(xticks=[], yticks=[])
    if picture is not None:
        ax.imshow(picture, interpolation="nearest")
        ax.set_anchor("N")
        return
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", anchor="N")
    ax.set_facecolor("#F2F2F2")
    ax.text(0.5, 0.5, say("captions.image_missing"), ha="center", va="center", color=_GREY)


def _lines_of(image: CaptionedImage) -> list[_Line]:
    """Name the image, then number its sentences, each in as many lines as it takes."""
    part = image.split
    if image.original_split not in ("", part):
        part = f"{part} ({image.original_split})"
    about = [word for word in (image.source, image.file_name, image.class_name, part) if word]
    lines = [(shorten(" · ".join(about), _TITLE_SIGNS), INK, "bold")]
    for number, sentence in enumerate(image.captions):
        is_again = sentence in image.captions[:number]
        words = f"{number + 1}. {sentence} {say('captions.again') if is_again else ''}".strip()
        wrapped = textwrap.wrap(words, _SIGNS, subsequent_indent="    ")
        lines += [(plain(line), _GREY if is_again else INK, "normal") for line in wrapped]
    return lines
