"""Tables of images: the steps of one drawing, sweeps over settings."""

import textwrap
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_utils.plots.style import finish, plain, refuse_unless_pictures, say

Picture = UInt8[np.ndarray, "_h _w 3"]
Pictures = Sequence[Picture] | UInt8[np.ndarray, "_n _h _w 3"]
MAX_WIDTH = 12.0  # inches of a figure that fits a projector


def plot_trajectory(
    x_t_images: Pictures,
    x0_images: Pictures,
    timesteps: Sequence[float | int],
    *,
    num_columns: int = 10,
    caption: str = "",
) -> Figure:
    """Show the way from noise to image: what the network sees above what it predicts from that.

    Args:
        x_t_images: the noised latent of each step, decoded; uint8 (h, w, 3).
        x0_images: the predicted image of each step, decoded.
        timesteps: the step's t, for the title of its column.
        num_columns: of a longer way, as many evenly spaced steps, the first and the last included.
        caption: said above.

    Raises:
        ValueError: no steps, not one of each for every step, or images that are not uint8.
    """
    if not len(x_t_images) == len(x0_images) == len(timesteps) > 0 or num_columns < 1:
        raise ValueError(
            f"expected one x_t, one x_0 and one t a step, got {len(x_t_images)}, {len(x0_images)} "
            f"and {len(timesteps)}, in {num_columns} columns"
        )
    last = len(timesteps) - 1
    shown = np.unique(np.linspace(0, last, min(num_columns, last + 1)).round().astype(int))
    refuse_unless_pictures([*x_t_images, *x0_images])
    return _draw_grid(
        [[x_t_images[i] for i in shown], [x0_images[i] for i in shown]],
        [say("plot.x_t"), say("plot.x0_pred")],
        [f"t = {timesteps[i]:.0f}" for i in shown],
        below=say("plot.noise_to_image"),
        caption=caption,
    )


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
    refuse_unless_pictures([image for row in images for image in row])
    labels = [plain("\n".join(textwrap.wrap(label, 24)[:5])) for label in row_labels]
    cell = _cell_inches(labels, len(column_labels))
    names = [plain(textwrap.fill(label, max(6, int(cell / 0.09)))) for label in column_labels]
    return _draw_grid(images, labels, names, below=plain(column_title), caption=caption)


def _draw_grid(
    images: Sequence[Pictures],
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    *,
    below: str,
    caption: str,
) -> Figure:
    """Draw a table of images with words around it."""
    margin, cell = _margin_inches(row_labels), _cell_inches(row_labels, len(column_labels))
    above = 0.18 * max(label.count("\n") for label in column_labels)
    width = max(margin + cell * len(column_labels), width_inches([below, caption]))
    height = (cell + 0.05) * len(images) + head_inches(caption) + above + 0.6
    fig, axes = make_axes(len(images), len(column_labels), (width, height))
    for row, some, label in zip(axes, images, row_labels, strict=True):
        for ax, image in zip(row, some, strict=True):
            draw_image(ax, image)
        style = {"rotation": 0, "ha": "right", "va": "center", "fontsize": 11, "labelpad": 8}
        row[0].set_ylabel(label, **style)
    for ax, label in zip(axes[0], column_labels, strict=True):
        ax.set_title(label, fontsize=11)
    fig.supxlabel(below, fontsize=11)
    fig.draw_without_rendering()  # of one column, a first layout would cut the names of the rows
    return finish(fig, caption)


def _margin_inches(row_labels: Sequence[str]) -> float:
    """Estimate what the names of the rows take."""
    return 0.3 + 0.1 * max(len(line) for label in row_labels for line in label.split("\n"))


def _cell_inches(row_labels: Sequence[str], num_columns: int) -> float:
    """Say how large an image is drawn beside these names."""
    return min(1.45, (MAX_WIDTH - _margin_inches(row_labels)) / num_columns)


def make_axes(
    num_rows: int, num_columns: int, size: tuple[float, float]
) -> tuple[Figure, np.ndarray]:
    """Make axes close beside each other for images."""
    fig, axes = plt.subplots(
        num_rows, num_columns, figsize=size, squeeze=False, layout="constrained"
    )
    fig.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0, hspace=0)
    return fig, axes


def draw_image(ax: Axes, image: Picture, *, color: str | None = None) -> None:
    """Draw unscaled pixels without ticks, in a frame if there is a color for it."""
    ax.imshow(image, interpolation="nearest")
    ax.set(xticks=[], yticks=[], visible=True)
    ax.spines[:].set(visible=color is not None, color=color, linewidth=2.5)


def width_inches(lines: Sequence[str]) -> float:
    """Estimate the inches that the longest of some lines takes."""
    return min(MAX_WIDTH, 0.4 + 0.083 * max(map(len, "\n".join(lines).split("\n"))))


def head_inches(caption: str) -> float:
    """Say how much room a caption takes."""
    return 0.3 * (caption.count("\n") + 1) if caption else 0.0
