"""Schematics of steered generators: ControlNet, CRS-Diff, DiffusionSat, SatSynth."""

from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_utils.plots.sketches.parts import (
    COLORS,
    WORDS,
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
from course_utils.plots.style import INK, Pair, Picture, Pictures, finish, say

_EPS = r"$\epsilon_\theta$"
_SHOWN = 3  # thumbnails of what is told


def sketch_controlnet(condition: Picture, *, caption: str = "") -> Figure:
    """Draw ControlNet: a block with its copy, and where the copies reach into the network.

    Args:
        condition: what is told, uint8 (h, w, 3); the square in its middle is shown.
        caption: said above.

    Raises:
        ValueError: it is another array.

    Source:
        Zhang et al. 2023, arXiv 2302.05543, figures 2 and 3.
    """
    shown = square(condition)
    ax = make_canvas(6.6, caption)
    _draw_copied_block(ax, shown)
    _draw_copied_network(ax)
    draw_key(ax, "image", "net", "frozen", "answer")
    return finish(ax.figure, caption)


def _draw_copied_block(ax: Axes, condition: Picture) -> None:
    """Draw one block, its copy beside it, and the two convolutions that start at zero."""
    draw_group(ax, (0.15, 0.5), (5.45, 6.0), say("sketch.controlnet.block_title"))
    size = {"size": (0.9, 0.5), "fontsize": 18}
    x = draw_box(ax, (1.6, 5.35), words="$x$", color=COLORS["image"], **size)
    block = draw_box(ax, (1.6, 2.95), (1.9, 0.8), *_both("controlnet.block"), frozen=True)
    seen = draw_picture(ax, (4.2, 5.35), 0.95, condition)
    write(ax, (3.6, 5.35), "$c$", size=18)
    zeros = [draw_box(ax, (4.2, y), (1.9, 0.45), f"$Z_{i}$") for i, y in ((1, 4.45), (2, 2.1))]
    into = draw_sum(ax, (4.2, 3.8))
    copy = draw_box(ax, (4.2, 2.95), (1.9, 0.8), *_both("controlnet.copy"))
    out = draw_sum(ax, (1.6, 2.1))
    end = draw_box(ax, (1.6, 1.35), words="$y$", color=COLORS["answer"], **size)
    for points in (
        (x.bottom, block.top),
        ((x.x, into.y), into.left),
        (seen.bottom, zeros[0].top),
        (zeros[0].bottom, into.top),
        (into.bottom, copy.top),
        (copy.bottom, zeros[1].top),
        (zeros[1].left, out.right),
        (block.bottom, out.top),
        (out.bottom, end.top),
    ):
        draw_arrow(ax, *points)
    write(ax, (3.9, 1.4), "$y = F(x) + Z_2(F_c(x + Z_1(c)))$", size=WORDS)
    write(ax, (2.9, 0.8), say("sketch.controlnet.zero"))


_LEVELS = (4.55, 3.65, 2.75)  # inches: the heights of a U-Net's levels


def _draw_copied_network(ax: Axes) -> None:
    """Draw a U-Net and the copy of its encoder, which is added on the way up."""
    draw_group(ax, (5.85, 0.5), (6.0, 6.0), say("sketch.controlnet.net_title"))
    places, size = {"encoder": 6.95, "decoder": 8.8, "copied": 10.85}, (1.5, 0.5)
    columns = {
        key: [
            draw_box(ax, (x, y), size, say(f"sketch.controlnet.{key}"), frozen=key != "copied")
            for y in _LEVELS
        ]
        for key, x in places.items()
    }
    ends = {
        "encoder": ("$x_t$", "image"),
        "decoder": (_EPS, "answer"),
        "copied": ("$x_t, c$", "image"),
    }
    tops = {
        key: draw_box(ax, (places[key], 5.5), (1.1, 0.5), word, color=COLORS[kind], fontsize=18)
        for key, (word, kind) in ends.items()
    }
    middle = draw_box(ax, (7.95, 1.85), (1.15, 0.5), say("sketch.controlnet.middle"), frozen=True)
    below = draw_box(ax, (10.85, 1.85), size, say("sketch.controlnet.copied_middle"))
    for key in ("encoder", "copied"):
        for above, under in pairwise((tops[key], *columns[key])):
            draw_arrow(ax, above.bottom, under.top)
    for under, above in pairwise((*columns["decoder"][::-1], tops["decoder"])):
        draw_arrow(ax, under.top, above.bottom)
    for left, here, right in zip(*columns.values(), strict=True):
        draw_arrow(ax, left.right, here.left, dashed=True)
        draw_arrow(ax, right.left, here.right, color=COLORS["net"])
    draw_arrow(ax, columns["copied"][-1].bottom, below.top)
    draw_arrow(ax, below.left, middle.right, color=COLORS["net"])
    x = columns["encoder"][-1].x
    draw_arrow(ax, columns["encoder"][-1].bottom, (x, middle.y), middle.left)
    draw_arrow(ax, (8.3, middle.top[1]), (8.3, columns["decoder"][-1].bottom[1]))
    write(ax, (8.85, 1.0), say("sketch.controlnet.net_what"))


def sketch_crs_diff(maps: Pictures, *, caption: str = "") -> Figure:
    """Draw CRS-Diff: what it is told, where each enters, what is frozen and what is trained.

    Args:
        maps: three of its six maps as pictures, uint8 (h, w, 3).
        caption: said above.

    Raises:
        ValueError: another number of pictures, or one that is not uint8 (h, w, 3).

    Source:
        Tang et al. 2024, arXiv 2403.11614, and its released code for sizes.
    """
    shown = _three(maps)
    ax = make_canvas(6.6, caption)
    text, step, wide, mid = COLORS["text"], COLORS["step"], (3.6, 0.75), (2.3, 0.75)
    sentence = draw_box(ax, (1.95, 6.1), wide, *_both("crs_diff.prompt"), color=text)
    look = draw_box(ax, (1.95, 5.2), wide, *_both("crs_diff.look"), color=text)
    numbers = draw_box(ax, (1.95, 4.2), (3.6, 0.95), *_both("crs_diff.numbers"), color=step)
    places = [draw_picture(ax, (0.68 + 1.27 * i, 2.6), 1.05, each) for i, each in enumerate(shown)]
    write(ax, (1.95, 3.35), say("sketch.crs_diff.maps"), size=WORDS, weight="bold")
    write(ax, (1.95, 1.8), say("sketch.crs_diff.maps_what"))
    grey, answer = {"color": COLORS["noise"]}, {"color": COLORS["answer"]}
    noise = draw_box(ax, (1.95, 1.05), (3.6, 0.6), say("sketch.crs_diff.noise"), **grey)
    encoder = draw_box(ax, (5.6, 6.1), mid, *_both("crs_diff.encoder"), frozen=True)
    adapter = draw_box(ax, (5.6, 5.2), mid, *_both("crs_diff.global"))
    layers = draw_box(ax, (5.6, 4.2), mid, *_both("crs_diff.layers"))
    local = draw_box(ax, (5.6, 2.6), (2.3, 1.3), *_both("crs_diff.local"))
    unet = draw_box(ax, (9.0, 3.15), (2.0, 2.7), *_both("crs_diff.unet"), fontsize=18, frozen=True)
    drawn = draw_box(ax, (11.2, 3.15), (1.3, 1.3), *_both("crs_diff.drawn"), **answer)
    for start, end, color in (
        (sentence, encoder, text),
        (look, adapter, text),
        (numbers, layers, step),
        (unet, drawn, INK),
    ):
        draw_arrow(ax, start.right, end.left, color=color)
    draw_arrow(ax, places[-1].right, local.left, color=COLORS["image"])
    top = unet.top[1]
    draw_arrow(ax, encoder.right, (9.4, encoder.y), (9.4, top), color=text)
    draw_arrow(ax, adapter.right, (8.6, adapter.y), (8.6, top), color=text)
    write(ax, (9.55, 5.4), say("sketch.crs_diff.cross"), ha="left", color=text)
    draw_arrow(ax, layers.right, (unet.left[0], layers.y), color=step)
    write(ax, (7.38, 4.42), say("sketch.crs_diff.added"), color=step)
    draw_arrow(ax, local.right, (unet.left[0], local.y), color=COLORS["image"])
    write(ax, (7.38, 2.95), say("sketch.crs_diff.skips"), color=COLORS["image"])
    draw_arrow(ax, noise.right, (unet.x, noise.y), unet.bottom)
    draw_arrow(ax, (local.x, noise.y), local.bottom)
    write(ax, (9.2, 1.3), say("sketch.crs_diff.sizes"), ha="left")
    draw_key(ax, "image", "text", "noise", "net", "frozen", "step", "answer")
    return finish(ax.figure, caption)


def _three(pictures: Pictures) -> list[Picture]:
    if len(pictures) != _SHOWN:
        raise ValueError(f"expected {_SHOWN} pictures of what is told, got {len(pictures)}")
    return [square(picture) for picture in pictures]


def _both(key: str) -> tuple[str, str]:
    """Give the bold and the plain words of a box."""
    return say(f"sketch.{key}"), say(f"sketch.{key}_what")


def sketch_diffusionsat(pictures: Pictures, *, caption: str = "") -> Figure:
    """Draw DiffusionSat: seven numbers beside the sentence, and other images of the place.

    Args:
        pictures: three that show the place with fewer pixels or at other times, uint8 (h, w, 3).
        caption: said above.

    Raises:
        ValueError: another number of pictures, or one that is not uint8 (h, w, 3).

    Source:
        Khanna et al. 2024, arXiv 2312.03606, figure 2, and its released code for scales.
    """
    shown = _three(pictures)
    ax = make_canvas(6.6, caption)
    text, step = COLORS["text"], COLORS["step"]
    sentence = draw_box(ax, (1.75, 6.1), (3.2, 0.75), *_both("diffusionsat.prompt"), color=text)
    encoder = draw_box(ax, (5.2, 6.1), (2.2, 0.75), *_both("diffusionsat.encoder"), frozen=True)
    numbers = draw_box(ax, (1.75, 4.7), (3.2, 1.2), *_both("diffusionsat.numbers"), color=step)
    waves = draw_box(ax, (5.2, 4.7), (2.2, 1.2), *_both("diffusionsat.waves"))
    time = draw_box(ax, (5.2, 3.35), (2.2, 0.55), say("sketch.diffusionsat.step"), color=step)
    add = draw_sum(ax, (7.1, 4.7))
    grey, answer = {"color": COLORS["noise"]}, {"color": COLORS["answer"]}
    noise = draw_box(ax, (1.75, 3.35), (3.2, 0.55), say("sketch.diffusionsat.noise"), **grey)
    unet = draw_box(ax, (9.0, 3.9), (2.1, 2.5), *_both("diffusionsat.unet"), fontsize=18)
    drawn = draw_box(ax, (11.2, 3.9), (1.3, 1.2), *_both("diffusionsat.drawn"), **answer)
    copy = draw_box(ax, (5.2, 1.4), (2.2, 1.3), *_both("diffusionsat.copy"))
    places = [draw_picture(ax, (0.62 + 1.13 * i, 1.55), 0.95, each) for i, each in enumerate(shown)]
    write(ax, (1.75, 2.3), say("sketch.diffusionsat.others"), size=WORDS, weight="bold")
    write(ax, (1.75, 0.8), say("sketch.diffusionsat.others_what"))
    draw_arrow(ax, sentence.right, encoder.left, color=text)
    draw_arrow(ax, encoder.right, (unet.x, encoder.y), unet.top, color=text)
    write(ax, (9.15, 5.65), say("sketch.diffusionsat.cross"), ha="left", color=text)
    draw_arrow(ax, numbers.right, waves.left, color=step)
    draw_arrow(ax, waves.right, add.left, color=step)
    draw_arrow(ax, time.right, (add.x, time.y), add.bottom, color=step)
    draw_arrow(ax, add.right, (unet.left[0], add.y), color=step)
    write(ax, (7.1, 5.15), say("sketch.diffusionsat.added"), color=step)
    low = 2.85
    draw_arrow(ax, noise.bottom, (noise.x, low), (unet.left[0], low))
    draw_arrow(ax, (copy.x, low), copy.top)
    draw_arrow(ax, (places[-1].right[0], 1.55), (copy.left[0], 1.55), color=COLORS["image"])
    draw_arrow(ax, copy.right, (unet.x, copy.y), unet.bottom, color=COLORS["image"])
    write(ax, (9.2, 1.9), say("sketch.diffusionsat.skips"), ha="left", color=COLORS["image"])
    draw_arrow(ax, unet.right, drawn.left)
    draw_key(ax, "image", "text", "noise", "net", "frozen", "step", "answer")
    return finish(ax.figure, caption)


def sketch_satsynth(picture: Picture, mask: Picture, *, caption: str = "") -> Figure:
    """Draw SatSynth: a mask as bits beside the colors of its image, one diffusion over both.

    Args:
        picture: uint8 (h, w, 3); the square in its middle is shown.
        mask: its mask as a picture, uint8 (h, w, 3).
        caption: said above.

    Raises:
        ValueError: one is another array.

    Source:
        Toker et al. 2024, arXiv 2403.16605, figure 2; bits after Chen et al. 2023, arXiv
        2208.04202.
    """
    shown = square(picture), square(mask)
    ax = make_canvas(6.4, caption)
    _draw_joint_training(ax, *shown)
    _draw_joint_sampling(ax)
    draw_key(ax, "image", "text", "noise", "net", "answer")
    return finish(ax.figure, caption)


def _draw_joint_training(ax: Axes, picture: Picture, mask: Picture) -> None:
    """Draw how a pair becomes one stack of channels, and the network that learns from it."""
    draw_group(ax, (0.15, 3.3), (11.7, 3.0), say("sketch.satsynth.training"))
    blue, pink = {"color": COLORS["image"]}, {"color": COLORS["text"]}
    image = draw_picture(ax, (0.95, 5.2), 1.0, picture)
    label = draw_picture(ax, (0.95, 4.0), 1.0, mask, **pink)
    bits = draw_box(ax, (3.3, 4.0), (2.7, 0.95), *_both("satsynth.bits"), **pink)
    joined = draw_box(ax, (6.15, 4.6), (1.9, 1.1), *_both("satsynth.joined"), **blue)
    noised = draw_box(ax, (8.0, 4.6), (1.0, 0.8), "$x_t$", color=COLORS["noise"], fontsize=18)
    unet = draw_box(ax, (9.7, 4.6), (1.5, 1.1), *_both("satsynth.unet"))
    guess = draw_box(ax, (11.2, 4.6), (0.8, 0.8), _EPS, color=COLORS["answer"], fontsize=18)
    draw_arrow(ax, label.right, bits.left, **pink)
    for start, share, style in ((image, 0.75, blue), (bits, 0.25, pink)):
        end = joined.at(0, share)
        draw_arrow(ax, start.right, (4.9, start.y), (4.9, end[1]), end, **style)
    write(ax, (3.3, 5.42), say("sketch.satsynth.colors"))
    for start, end in pairwise((joined, noised, unet, guess)):
        draw_arrow(ax, start.right, end.left)
    write(ax, (8.4, 3.63), say("sketch.satsynth.codes"))


def _draw_joint_sampling(ax: Axes) -> None:
    """Draw how noise becomes a pair, and what pairs are for."""
    draw_group(ax, (0.15, 0.5), (11.7, 2.65), say("sketch.satsynth.drawing"))
    y, up, down, answer = 1.55, 2.05, 1.05, {"color": COLORS["answer"]}
    noise = draw_box(ax, (0.8, y), (0.8, 0.8), "$x_T$", color=COLORS["noise"], fontsize=18)
    unet = draw_box(ax, (2.3, y), (1.3, 0.8), say("sketch.satsynth.unet"))
    image = draw_box(ax, (4.25, up), (1.65, 0.6), say("sketch.satsynth.image"), **answer)
    bits = draw_box(ax, (4.25, down), (1.65, 0.75), *_both("satsynth.drawn_bits"), **answer)
    mask = draw_box(ax, (6.15, down), (1.45, 0.75), *_both("satsynth.mask"), **answer)
    larger = draw_box(ax, (8.25, y), (2.0, 1.4), *_both("satsynth.larger"))
    learner = draw_box(ax, (10.65, y), (2.0, 1.4), *_both("satsynth.segmenter"))
    draw_arrow(ax, noise.right, unet.left)
    _fan(ax, unet.right, image.left, bits.left)
    draw_arrow(ax, bits.right, mask.left)
    draw_arrow(ax, image.right, (larger.left[0], up))
    draw_arrow(ax, mask.right, (larger.left[0], down))
    draw_arrow(ax, larger.right, learner.left)


def _fan(ax: Axes, start: Pair, *ends: Pair) -> None:
    """Draw arrows from one point to several, with right angles."""
    for end in ends:
        middle = (start[0] + end[0]) / 2
        draw_arrow(ax, start, (middle, start[1]), (middle, end[1]), end)
