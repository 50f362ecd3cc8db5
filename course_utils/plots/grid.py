"""The image grid: rows of images with words around them, and the figures that are such a grid."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from course_utils.examples import CaptionedImage
from course_utils.plots.style import (
    BAND,
    GREY,
    INK,
    MAX_WIDTH,
    SOURCE_COLORS,
    Number,
    Picture,
    Pictures,
    check_counts,
    enlarge,
    finish,
    make_axes,
    plain,
    refuse_unless_pictures,
    say,
    shorten,
)

_CELL = 1.5  # inches of an image, if there is room
_BLACK = -160  # drawn black, so that the darkest pixel of an image is a middling grey
_GREY = np.array([0.299, 0.587, 0.114])
_WIDTH, _SIDE, _LINE = 11.0, 2.1, 0.25  # inches beside captions: figure, image, line of words
_SIGNS, _TITLE_SIGNS = 90, 76  # in a line; bold ones are wider
_WHOLE = {"break_long_words": False, "break_on_hyphens": False}


@dataclass(frozen=True)
class Cell:
    """An image of a grid, with words above and below it, the color of a frame, heat over it."""

    image: Picture
    title: str = ""
    below: str = ""
    color: str | None = None
    heat: Float[np.ndarray, "_a _b"] | None = None


def image_grid(
    rows: Sequence[Sequence[Cell]],
    *,
    cell: Number,
    row_labels: Sequence[str] = (),
    below: str = "",
    caption: str = "",
    fontsize: Number = 11,
    heat_words: str = "",
    heat_limits: tuple[Number, Number] = (0, 1),
    legend: Sequence[Artist] = (),
) -> Figure:
    """Draw rows of images as they are, each ``cell`` inches wide, close beside each other.

    Rows may be short; each has a label at its left, if there are any. The words of a color bar are
    said if there is heat, whose limits are its darkest and lightest color; the font size is that of
    the words of an image.

    Raises:
        ValueError: what is no picture.
    """
    refuse_unless_pictures([each.image for row in rows for each in row])
    num_columns = max(map(len, rows))
    margin = _margin_inches(row_labels) if row_labels else 0.1
    width = max(margin + cell * num_columns, _width_inches([below, heat_words, caption]))
    lines = [_num_lines(c.title for c in row) + _num_lines(c.below for c in row) for row in rows]
    words = (1.2 / 72 * fontsize) * sum(lines) + 0.15 * sum(map(bool, lines))
    foot = 0.3 * bool(below) + 0.62 * bool(heat_words) + 0.4 * bool(legend)
    height = (cell + 0.05) * len(rows) + words + foot + 0.05
    fig, axes = make_axes(len(rows), num_columns, (width, height), caption=caption)
    fig.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0, hspace=0)
    for ax in axes.flat:
        ax.set_visible(False)
    for line, row in zip(axes, rows, strict=True):
        for ax, each in zip(line, row, strict=False):
            heat = _draw_cell(ax, each, fontsize, heat_limits)
    for line, label in zip(axes, row_labels, strict=bool(row_labels)):
        style = {"rotation": 0, "ha": "right", "va": "center", "fontsize": 11, "labelpad": 8}
        line[0].set_ylabel(label, **style)
    fig.supxlabel(below, fontsize=11)
    if heat_words:
        bar = fig.colorbar(heat, ax=fig.axes, orientation="horizontal", aspect=50, pad=0.02)
        bar.ax.set_facecolor("#B0B0B0")  # what the heat of a grey of middling lightness lies on
        bar.set_label(heat_words, fontsize=11)
    if row_labels:
        fig.draw_without_rendering()  # of one column, a first layout would cut their names
    return finish(fig, caption, legend=legend, ncols=len(legend))


def _draw_cell(ax: Axes, cell: Cell, fontsize: Number, limits: tuple) -> AxesImage:
    """Draw an image with its words, in grey below its heat; give what was drawn last."""
    drawn = draw_image(ax, cell.image, color=cell.color)
    ax.set_title(cell.title, fontsize=fontsize)
    ax.set_xlabel(cell.below, fontsize=fontsize)
    if cell.heat is None:
        return drawn
    place = {"extent": drawn.get_extent()}
    drawn.remove()
    grey = {"cmap": "gray", "vmin": _BLACK, "vmax": 255, "interpolation": "antialiased"}
    ax.imshow(enlarge(cell.image) @ _GREY, **place, **grey)
    # light and dark tell the heat too, so that nobody needs the hues
    colors = {"cmap": "magma", "alpha": 0.65, "vmin": limits[0], "vmax": limits[1]}
    return ax.imshow(cell.heat, **place, **colors, interpolation="bilinear")


def _num_lines(words: Iterable[str]) -> int:
    return max(label.count("\n") + bool(label) for label in words)


def draw_image(ax: Axes, image: Picture, *, color: str | None = None) -> AxesImage:
    """Draw pixels as equal squares, without ticks, in a frame if there is a color for it.

    Places in the axes are pixels of the image as it is given.
    """
    ax.set(xticks=[], yticks=[], visible=True)
    ax.spines[:].set(visible=color is not None, color=color, linewidth=2.5)
    height, width = image.shape[:2]
    place = (-0.5, width - 0.5, height - 0.5, -0.5)
    return ax.imshow(enlarge(image), extent=place, interpolation="antialiased")


def _margin_inches(row_labels: Sequence[str]) -> float:
    """Estimate what the names of the rows take."""
    return 0.3 + 0.1 * max(len(line) for label in row_labels for line in label.split("\n"))


def _width_inches(lines: Sequence[str]) -> float:
    """Estimate the inches that the longest of some lines takes."""
    return min(MAX_WIDTH, 0.4 + 0.083 * max(map(len, "\n".join(lines).split("\n"))))


def wrap_cells(cells: Sequence[Cell], num_columns: int) -> list[Sequence[Cell]]:
    """Put cells into rows; the last may be short."""
    return [cells[i : i + num_columns] for i in range(0, len(cells), num_columns)]


def show_images(
    images: Pictures,
    *,
    titles: Sequence[str] | None = None,
    num_columns: int = 8,
    caption: str = "",
) -> Figure:
    """Show images in rows, colors as they are, with a title above each if given.

    Args:
        images: uint8 (h, w, 3), sizes may differ.
        titles: one for each image; a long line is broken in two, and what is left over is cut.
        num_columns: images in a row; the last row may be short.
        caption: said above.

    Raises:
        ValueError: for no images, another number of titles, or images that are not uint8.
    """
    titles = [""] * len(images) if titles is None else titles
    check_counts(images=images, titles=titles)
    cell = min(2.0, MAX_WIDTH / min(num_columns, len(images)))
    names = [_break_lines(title, int(cell / 0.09)) for title in titles]
    cells = [Cell(image, title) for image, title in zip(images, names, strict=True)]
    return image_grid(wrap_cells(cells, num_columns), cell=cell, caption=caption)


def _break_lines(title: str, length: int) -> str:
    """Break every line of a title between words, once at most, and cut what is longer."""
    lines = []
    for line in title.split("\n"):
        first, *rest = textwrap.wrap(line, length, **_WHOLE) or [""]
        lines += [first, " ".join(rest)] if rest else [first]
    return shorten("\n".join(lines), length)


def show_by_class(images: Mapping[str, Pictures], *, caption: str = "") -> Figure:
    """Show a row of images for each class, with the class name at its left.

    Raises:
        ValueError: for no classes or a class without images.
    """
    if not images or not all(len(row) for row in images.values()):
        raise ValueError("every class needs an image to show")
    rows = [[Cell(image) for image in row] for row in images.values()]
    names = [shorten(name, 22) for name in images]
    cell = min(1.1, _cell_inches(names, max(map(len, rows))))
    return image_grid(rows, cell=cell, row_labels=names, caption=caption)


def show_grid(
    images: Sequence[Pictures],
    *,
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    column_title: str = "",
    caption: str = "",
) -> Figure:
    """Show a table of images, each row and each column with its name: one sweep across, one down.

    Args:
        images: rows of equally many images, uint8 (h, w, 3).
        row_labels: one a row, left of it; a long one, such as a prompt, is broken into lines.
        column_labels: one a column, above it; a long one is broken into lines.
        column_title: what the columns differ in, with its unit, "guidance scale".
        caption: said above.

    Raises:
        ValueError: no images, a row of another length, or images that are not uint8.
    """
    if not images or not column_labels or len(images) != len(row_labels):
        raise ValueError(f"{len(images)} rows of images but {len(row_labels)} names of rows")
    if any(len(row) != len(column_labels) for row in images):
        raise ValueError(
            f"expected {len(column_labels)} images a row, one for each name of a column, got "
            f"{[len(row) for row in images]}"
        )
    labels = [plain("\n".join(textwrap.wrap(label, 24)[:5])) for label in row_labels]
    cell = _cell_inches(labels, len(column_labels))
    names = [
        plain(textwrap.fill(label.replace("_", " "), max(6, int(cell / 0.09)), **_WHOLE))
        for label in column_labels
    ]
    return _draw_table(images, labels, names, below=plain(column_title), caption=caption)


def _draw_table(
    images: Sequence[Pictures], row_labels: Sequence[str], names: Sequence[str], **words: str
) -> Figure:
    """Draw images under the names of their columns, as large as there is room for."""
    titles = [names, *[[""] * len(names)] * (len(images) - 1)]
    rows = [list(map(Cell, *pair)) for pair in zip(images, titles, strict=True)]
    cell = _cell_inches(row_labels, len(names))
    return image_grid(rows, cell=cell, row_labels=row_labels, **words)


def _cell_inches(row_labels: Sequence[str], num_columns: int) -> float:
    """Say how large an image is drawn beside these names."""
    return min(_CELL, (MAX_WIDTH - _margin_inches(row_labels)) / num_columns)


def plot_trajectory(
    x_t_images: Pictures,
    x0_images: Pictures,
    timesteps: Sequence[float | int],
    *,
    caption: str = "",
) -> Figure:
    """Show the way from noise to image: what the network sees above what it predicts from that.

    Of a longer way eight evenly spaced steps are shown, the first and the last included.

    Args:
        x_t_images: the noised latent of each step, decoded; uint8 (h, w, 3).
        x0_images: the predicted image of each step, decoded.
        timesteps: the step's t, for the title of its column.
        caption: said above.

    Raises:
        ValueError: no steps, not one of each for every step, or images that are not uint8.
    """
    check_counts(x_t=x_t_images, x_0=x0_images, timesteps=timesteps)
    last = len(timesteps) - 1
    chosen = np.unique(np.linspace(0, last, min(8, last + 1)).round().astype(int))
    rows = [[images[i] for i in chosen] for images in (x_t_images, x0_images)]
    names = [f"t = {timesteps[i]:.0f}" for i in chosen]
    labels = [say("plot.x_t"), say("plot.x0_pred")]
    return _draw_table(rows, labels, names, below=say("plot.noise_to_image"), caption=caption)


def show_neighbors(
    synthetic: Pictures, real: Pictures, distances: Sequence[float], *, caption: str = ""
) -> Figure:
    """Show each synthetic image above the real one nearest to it, with their distance below.

    Args:
        synthetic: uint8 (h, w, 3).
        real: the nearest of the generator's training images (or of others), one for each.
        distances: from one to the other in feature space, 0 or more.
        caption: said above.

    Raises:
        ValueError: no pairs, not one real image and one distance for each synthetic one, images
            that are not uint8, or a distance that is negative or not finite.
    """
    check_counts(synthetic=synthetic, real=real, distances=distances)
    if not (np.isfinite(distances).all() and min(distances) >= 0):
        raise ValueError(f"distances must be finite and 0 or more, got {list(distances)}")
    above = [Cell(image, color=SOURCE_COLORS["synthetic"]) for image in synthetic]
    under = [
        Cell(image, below=f"{distance:.3g}", color=SOURCE_COLORS["real"])
        for image, distance in zip(real, distances, strict=True)
    ]
    blocks = zip(wrap_cells(above, 8), wrap_cells(under, 8), strict=True)
    rows = [row for block in blocks for row in block]
    names = [say("plot.synthetic"), say("plot.nearest_real")] * (len(rows) // 2)
    words = {"below": say("plot.feature_distance"), "caption": caption}
    return image_grid(rows, cell=1.35, row_labels=names, **words)


def show_captions(
    images: Sequence[CaptionedImage], *, num_columns: int = 1, caption: str = ""
) -> Figure:
    """Show images with all their sentences, one below the other.

    A sentence that an image has for the second time is grey and marked. Where the set came without
    its images, the place of the image says so.

    Args:
        images: from `examples.read_captions`, or of your own.
        num_columns: more than one puts images beside each other, each under the name of its file
            and above its sentences: for few and short ones.
        caption: said above.

    Raises:
        ValueError: no images.
        ImageError: the file of one is no image any more.
    """
    if not len(images):
        raise ValueError("no captioned images to show")
    if num_columns > 1:
        return _captions_beside(images, num_columns, caption)
    pictures = [np.asarray(image.load()) if image.has_image else None for image in images]
    blocks = [_lines_of(image) for image in images]
    heights = [max(_SIDE, _LINE * (len(lines) + 0.5)) for lines in blocks]
    size = (_WIDTH, sum(heights) + 0.1 * len(images))
    ratios = {"height_ratios": heights, "width_ratios": (_SIDE, _WIDTH - _SIDE)}
    fig, axes = make_axes(len(images), 2, size, caption=caption, **ratios)
    for (left, right), picture, lines, height in zip(axes, pictures, blocks, heights, strict=True):
        if picture is None:
            left.set(xticks=[], yticks=[], aspect="equal", facecolor=BAND)
            words = say("captions.image_missing")
            left.text(0.5, 0.5, words, ha="center", va="center", color=GREY)
        else:
            draw_image(left, picture)
        left.set_anchor("N")
        right.set_axis_off()
        for number, (words, color, weight) in enumerate(lines):
            style = {"color": color, "weight": weight, "fontsize": 12, "va": "top"}
            right.text(0, 1 - (number + 0.25) * _LINE / height, words, **style)
    return finish(fig, caption)


def _captions_beside(images: Sequence[CaptionedImage], num_columns: int, caption: str) -> Figure:
    """Show images in columns, their sentences below them."""
    cell = min(_SIDE, MAX_WIDTH / num_columns)
    signs = int(cell / 0.092)
    cells = [
        Cell(
            np.asarray(image.load()),
            shorten(image.file_name, signs),
            plain(
                "\n".join(line for said in image.captions for line in textwrap.wrap(said, signs))
            ),
        )
        for image in images
    ]
    rows = wrap_cells(cells, num_columns)
    return image_grid(rows, cell=cell, fontsize=12, caption=caption)


def _lines_of(image: CaptionedImage) -> list[tuple[str, str, str]]:
    """Name the image, then number its sentences: lines of words, with their color and weight."""
    part = image.split
    if image.original_split not in ("", part):
        part = f"{part} ({image.original_split})"
    about = [word for word in (image.source, image.file_name, image.class_name, part) if word]
    lines = [(shorten(" · ".join(about), _TITLE_SIGNS), INK, "bold")]
    for number, sentence in enumerate(image.captions):
        is_again = sentence in image.captions[:number]
        words = f"{number + 1}. {sentence} {say('captions.again') if is_again else ''}".strip()
        wrapped = textwrap.wrap(words, _SIGNS, subsequent_indent="    ")
        lines += [(plain(line), GREY if is_again else INK, "normal") for line in wrapped]
    return lines
