"""What a steered generator was told, what it drew, and what others find in its drawings."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from torch import Tensor

from course_utils.control import CONDITIONS
from course_utils.plots.buildings import color_codes, cover_patches
from course_utils.plots.grid import Cell, image_grid, wrap_cells
from course_utils.plots.style import (
    COVER_COLORS,
    INK,
    LINE_COLORS,
    MAX_WIDTH,
    PALE,
    SOURCE_COLORS,
    Number,
    Picture,
    Pictures,
    check_counts,
    plain,
    refuse_unless_pictures,
    say,
)
from mini_earth import LAND_COVER

Map = np.ndarray | Tensor
Numbers = Sequence[Number] | np.ndarray | Tensor
_CHANNELS = 3  # of the network's input, that each map takes
_LABEL = 16  # signs in a line left of a row
_COLUMNS = 10  # pairs beside each other


def show_conditions(image: Picture, maps: Mapping[str, Map], *, caption: str = "") -> Figure:
    """Show an image and the six maps that CRS-Diff reads, as the network gets them.

    Args:
        image: uint8 (h, w, 3).
        maps: by name, of ``control.CONDITIONS``: 0 to 1, of shape (h, w), (3, h, w) or (h, w, 3),
            of the image's size. Those that are left out are hatched.
        caption: said above.

    Raises:
        ValueError: a name that there is not, a map of another size or shape, or outside 0 … 1.
    """
    refuse_unless_pictures([image])
    if unknown := [name for name in maps if name not in CONDITIONS]:
        raise ValueError(f"no condition {unknown[0]!r}; there are {', '.join(CONDITIONS)}")
    shown = {name: _condition(name, maps[name], image.shape[:2]) for name in maps}
    cells = [Cell(image, say("steer.image"), color=SOURCE_COLORS["real"])]
    for place, name in enumerate(CONDITIONS):
        first = _CHANNELS * place + 1
        below = say("steer.channels", first=first, last=first + _CHANNELS - 1)
        picture = shown.get(name, np.full_like(image, 255))
        cells.append(Cell(picture, say(f"steer.{name}"), below, PALE))
    fig = image_grid([cells], cell=MAX_WIDTH / len(cells) - 0.05, caption=caption)
    for ax, name in zip(fig.axes[1:], CONDITIONS, strict=True):
        if name not in maps:
            _hatch(ax, say("steer.not_told"))
    return fig


def _condition(name: str, values: Map, size: tuple[int, int]) -> Picture:
    """Turn a map of 0 to 1 into a picture."""
    found = np.asarray(values, dtype=float)
    if found.ndim == 3 and found.shape[0] == _CHANNELS != found.shape[2]:
        found = np.moveaxis(found, 0, -1)
    if found.shape not in (size, (*size, _CHANNELS)):
        raise ValueError(f"{name}: expected a map of the image's size, {size}, got {found.shape}")
    if not (found.min() >= 0 and found.max() <= 1):
        raise ValueError(f"{name}: expected 0 to 1, got {found.min():g} to {found.max():g}")
    page = found if found.ndim == 3 else found[..., None]
    return np.round(255 * page).astype(np.uint8) + np.zeros((1, 1, _CHANNELS), np.uint8)


def _hatch(ax: Axes, words: str) -> None:
    """Mark a place where there is no image, and say why."""
    style = {"facecolor": "white", "edgecolor": PALE, "hatch": "///", "linewidth": 0}
    ax.add_patch(Rectangle((0, 0), 1, 1, transform=ax.transAxes, zorder=2, **style))
    box = {"facecolor": "white", "edgecolor": "none", "boxstyle": "round,pad=0.2"}
    where = {"transform": ax.transAxes, "ha": "center", "va": "center", "zorder": 3}
    ax.text(0.5, 0.5, words, fontsize=11, bbox=box, **where)


@dataclass(frozen=True)
class Steered:
    """What one way of steering led to: a row of `show_steered`.

    A map is bool (one class, such as roads) or has codes of ``mini_earth.LAND_COVER``.
    """

    title: str
    asked: Map  # what the drawings are compared with
    drawings: Pictures
    found: Sequence[Map]  # by an independent segmenter, one a drawing
    iou: Numbers  # of found and asked, shares, one a drawing; nan: in neither
    told: Map | None = None  # what the generator was told: asked, another map, or nothing


def show_steered(rows: Sequence[Steered], *, caption: str = "") -> Figure:
    """Show what was told, what was drawn, and what a segmenter finds there beside what was asked.

    Args:
        rows: the controls too: told nothing, or a shuffled map. All have equally many drawings.
        caption: said above.

    Raises:
        ValueError: no rows, not one found map and IoU a drawing, rows of different length, a map
            of other values, or an IoU outside 0 … 1.
    """
    _check_steered(rows)
    num = len(rows[0].drawings)
    titles = [say("steer.told"), *_numbered("steer.drawing", num), *_numbered("steer.found", num)]
    titles.append(say("steer.asked"))
    columns, lines = len(titles), []
    for i, row in enumerate(rows):
        blank = np.full((*np.shape(row.asked), 3), 255, np.uint8)
        told = blank if row.told is None else map_picture(row.told)
        words = [""] * (1 + num) + [_percent(iou) for iou in row.iou] + [""]
        images = [told, *row.drawings, *map(map_picture, row.found), map_picture(row.asked)]
        colors = [PALE, *[SOURCE_COLORS["synthetic"]] * num, *[PALE] * num, INK]
        names = [""] * columns if i else titles
        lines.append([*map(Cell, images, names, words, colors)])
    labels = ["\n".join(textwrap.wrap(plain(row.title), _LABEL)) for row in rows]
    codes = [codes for row in rows for codes in _codes_of(row)]
    words = {"row_labels": labels, "caption": caption, "legend": cover_patches(*codes)}
    fig = image_grid(lines, cell=min(1.5, 10.0 / columns), **words)
    for i, row in enumerate(rows):
        if row.told is None:
            _hatch(fig.axes[i * columns], say("steer.nothing"))
    return fig


def _check_steered(rows: Sequence[Steered]) -> None:
    if not rows:
        raise ValueError("no rows to show: give the steered drawings and their controls")
    for row in rows:
        check_counts(drawings=row.drawings, found=row.found, iou=row.iou)
        refuse_unless_pictures(row.drawings)
        for each in _maps_of(row):
            map_picture(each)
        if wrong := [iou for iou in row.iou if not (np.isnan(iou) or 0 <= iou <= 1)]:
            raise ValueError(f"{row.title}: expected an IoU of 0 to 1, got {wrong[0]}")
    if len({len(row.drawings) for row in rows}) > 1:
        raise ValueError(f"expected as many drawings a row, got {[len(r.drawings) for r in rows]}")


def _maps_of(row: Steered) -> Iterator[np.ndarray]:
    told = () if row.told is None else (row.told,)
    yield from (np.asarray(each) for each in (*told, row.asked, *row.found))


def _codes_of(row: Steered) -> Iterator[np.ndarray]:
    yield from (each for each in _maps_of(row) if each.dtype != bool)


def _numbered(key: str, num: int) -> list[str]:
    """Name things that stand beside each other; one alone has no number."""
    return [say(key)] if num == 1 else [f"{say(key)} {i + 1}" for i in range(num)]


def _percent(iou: Number | Tensor) -> str:
    return say("steer.in_neither") if np.isnan(iou) else f"IoU {100 * iou:.0f} %"


def map_picture(values: Map) -> Picture:
    """Draw a map: black where it is true, or land cover in its colors.

    Raises:
        ValueError: it is neither bool nor codes of ``mini_earth.LAND_COVER``, or has another shape.
    """
    found = np.asarray(values)
    if found.ndim != 2 or not found.size or found.dtype.kind not in "bui":
        raise ValueError(
            "expected a map of shape (h, w), bool or codes of mini_earth.LAND_COVER, got "
            f"{found.dtype} of shape {found.shape}"
        )
    if found.dtype == bool:
        return color_codes(found, ("#FFFFFF", "#000000"))
    if not 0 <= found.min() <= found.max() < len(LAND_COVER):
        raise ValueError(
            f"expected codes of land cover from 0 to {len(LAND_COVER) - 1}, got {found.min()} to "
            f"{found.max()}"
        )
    return color_codes(found, COVER_COLORS)


def show_map_and_scene(
    land_cover: Map, scene: Picture | None = None, *, caption: str = ""
) -> Figure:
    """Show a map of land cover and the scene that was drawn from it, if it was drawn already.

    Args:
        land_cover: codes of ``mini_earth.LAND_COVER``.
        scene: uint8 (h, w, 3).
        caption: said above.

    Raises:
        ValueError: codes that there are not, or another image.
    """
    painted = map_picture(land_cover)
    drawn = np.full_like(painted, 255) if scene is None else scene
    cells = [
        Cell(painted, say("steer.map"), color=INK),
        Cell(drawn, say("steer.scene"), color=SOURCE_COLORS["synthetic"]),
    ]
    legend = cover_patches(np.asarray(land_cover))
    fig = image_grid([cells], cell=3.6, caption=caption, legend=legend)
    if scene is None:
        _hatch(fig.axes[1], say("steer.not_drawn"))
    return fig


@dataclass(frozen=True)
class Enlarged:
    """One tile in more pixels, by several methods: a row of `show_super_resolution`."""

    title: str
    low: Picture
    answers: Mapping[str, Picture]  # of methods that give one each: bicubic, a small network
    samples: Pictures  # of a generative model, two or more
    truth: Picture | None = None  # unknown, if there is none
    psnr: Numbers = ()  # dB, of the answers, then of the samples
    distance: Numbers = ()  # perceptual, in the same order


def show_super_resolution(rows: Sequence[Enlarged], *, caption: str = "") -> Figure:
    """Show tiles in more pixels, how far each is from the truth, and where samples disagree.

    Disagreement is the standard deviation among the samples, the mean of the three channels: what
    the model made up differs from sample to sample, though not all that agrees is true.

    Args:
        rows: all by the same methods, with equally many samples; either all or none of them with
            numbers.
        caption: said above.

    Raises:
        ValueError: no rows, fewer than two samples, other methods in another row, not one number
            an image, or images that are not uint8 (h, w, 3).
    """
    _check_enlarged(rows)
    first, num = rows[0], len(rows[0].samples)
    spreads = [np.stack(row.samples).astype(float).std(axis=0).mean(axis=-1) for row in rows]
    titles = [say("steer.low"), *map(plain, first.answers), *_numbered("steer.sample", num)]
    titles += [say("steer.truth"), say("steer.disagree")]
    made = [PALE] * len(first.answers) + [SOURCE_COLORS["synthetic"]] * num
    colors, lines = [PALE, *made, SOURCE_COLORS["real"], None], []
    for row, spread in zip(rows, spreads, strict=True):
        mean = np.stack(row.samples).mean(axis=0).round().astype(np.uint8)
        truth = np.full_like(mean, 255) if row.truth is None else row.truth
        images = [row.low, *row.answers.values(), *row.samples, truth, mean]
        below = ["", *_numbers_below(row), "", ""]
        names = [""] * len(images) if lines else ["\n".join(textwrap.wrap(t, 15)) for t in titles]
        heats = [None] * (len(images) - 1) + [spread]
        lines.append([*map(Cell, images, names, below, colors, heats)])
    labels = ["\n".join(textwrap.wrap(plain(row.title), 14)) for row in rows]
    words = {"row_labels": labels, "caption": caption, "heat_words": say("steer.spread")}
    limits = (0, max(1.0, *(float(spread.max()) for spread in spreads)))
    cell = min(1.5, 10.2 / len(titles))
    fig = image_grid(lines, cell=cell, heat_limits=limits, fontsize=10, **words)
    for i, row in enumerate(rows):
        if row.truth is None:
            _hatch(fig.axes[(i + 1) * len(titles) - 2], say("steer.unknown"))
    return fig


def _numbers_below(row: Enlarged) -> list[str]:
    """Write under each image how far it is from the truth, if anybody knows."""
    if not len(row.psnr):
        return [""] * (len(row.answers) + len(row.samples))
    pairs = zip(row.psnr, row.distance, strict=True)
    return [say("steer.far", psnr=f"{psnr:.1f}", distance=f"{far:.2f}") for psnr, far in pairs]


def _check_enlarged(rows: Sequence[Enlarged]) -> None:
    if not rows:
        raise ValueError("no rows to show: give a tile in more pixels, by several methods")
    kinds = {(tuple(row.answers), len(row.samples)) for row in rows}
    if len(kinds) > 1 or len(rows[0].samples) < 2:
        raise ValueError(f"expected the same methods and 2 samples or more a row, got {kinds}")
    for row in rows:
        truth = () if row.truth is None else (row.truth,)
        images = [*row.answers.values(), *row.samples, *truth]
        refuse_unless_pictures([row.low, *images])
        if len({image.shape for image in images}) > 1:
            raise ValueError(f"{row.title}: expected images of one size beside each other")
        wanted = len(row.answers) + len(row.samples)
        counts = {len(row.psnr), len(row.distance)}
        if counts not in ({wanted}, {0}):
            raise ValueError(
                f"{row.title}: expected {wanted} numbers, one an answer and a sample, or none, got "
                f"{len(row.psnr)} of PSNR and {len(row.distance)} of distance"
            )


def show_pairs(
    images: Pictures,
    masks: Sequence[Map],
    class_names: Sequence[str],
    *,
    source: str = "synthetic",
    caption: str = "",
) -> Figure:
    """Show images above their masks, with the classes that the masks have.

    Args:
        images: uint8 (h, w, 3).
        masks: one for each, numbers of classes.
        class_names: in the order of their numbers; those of ``mini_earth.LAND_COVER`` have its
            colors.
        source: "real" or "synthetic", the color of the frames.
        caption: said above.

    Raises:
        ValueError: no pairs, not one mask an image, a number without a class, another source, or
            images that are not uint8.
    """
    check_counts(images=images, masks=masks)
    if source not in ("real", "synthetic"):
        raise ValueError(f"source: expected real or synthetic, got {source!r}")
    pages = [_checked_mask(mask, len(class_names)) for mask in masks]
    others = iter(LINE_COLORS * len(class_names))
    colors = [
        COVER_COLORS[LAND_COVER.index(name)] if name in LAND_COVER else next(others)
        for name in class_names
    ]
    above = [Cell(image, color=SOURCE_COLORS[source]) for image in images]
    under = [Cell(color_codes(page, colors), color=PALE) for page in pages]
    blocks = zip(wrap_cells(above, _COLUMNS), wrap_cells(under, _COLUMNS), strict=True)
    rows = [row for block in blocks for row in block]
    labels = [say("steer.image"), say("steer.mask")] * (len(rows) // 2)
    there = np.unique(np.concatenate([np.unique(page) for page in pages]))
    legend = [Patch(fc=colors[k], ec=INK, label=plain(class_names[k])) for k in there]
    words = {"row_labels": labels, "caption": caption, "legend": legend}
    return image_grid(rows, cell=1.1, **words)


def _checked_mask(mask: Map, num_classes: int) -> np.ndarray:
    page = np.asarray(mask)
    if page.ndim != 2 or page.dtype.kind not in "ui" or not page.size:
        raise ValueError(
            f"expected masks (h, w) of whole numbers, got {page.dtype} of shape {page.shape}"
        )
    if not 0 <= page.min() <= page.max() < num_classes:
        raise ValueError(
            f"expected numbers of {num_classes} classes, 0 to {num_classes - 1}, got {page.min()} "
            f"to {page.max()}"
        )
    return page
