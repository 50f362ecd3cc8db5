"""From noise to image, drawn: film strips, rows of samples, what was kept and what was drawn."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from torch import Tensor

from course_utils.plots.diffusion import to_pictures
from course_utils.plots.style import SOURCE_COLORS, say
from course_utils.plots.sweeps import Picture, plot_trajectory, show_grid
from course_utils.samplers import SampleStep


def show_reverse(
    x_T: Float[Tensor, "n c h w"],
    steps: Sequence[SampleStep],
    *,
    index: int = 0,
    num_columns: int = 10,
    caption: str = "",
) -> Figure:
    """Show one image's way from noise: what the network saw at each step, above its prediction.

    Args:
        x_T: the noise that sampling began with.
        steps: all steps of a sampler; the last prediction is the sample.
        index: which image of the batch.
        num_columns: as many evenly spaced steps, the first and the last included.
        caption: said above.

    Raises:
        ValueError: no steps.
    """
    seen, predicted = reverse_pictures(x_T, steps, index=index)
    timesteps = [step.t for step in steps]
    return plot_trajectory(seen, predicted, timesteps, num_columns=num_columns, caption=caption)


def reverse_pictures(
    x_T: Float[Tensor, "n c h w"], steps: Sequence[SampleStep], *, index: int = 0
) -> tuple[list[Picture], list[Picture]]:
    """Give for each step what the network saw of one image, and the image that it predicted.

    A step's record holds the state after the step; the network saw the one before.
    """
    states = [x_T, *(step.x_t for step in steps[:-1])]
    seen = [to_pictures(x[index : index + 1])[0] for x in states[: len(steps)]]
    return seen, [to_pictures(step.x0_pred[index : index + 1])[0] for step in steps]


def show_batches(
    batches: Mapping[str, Float[Tensor, "_n _c _h _w"]],
    *,
    column_labels: Sequence[str] | None = None,
    column_title: str = "",
    caption: str = "",
) -> Figure:
    """Show batches of images below each other, each with its name: one setting a row.

    For guidance scales, values of η, step counts, strengths of an edit; with the same noise in
    every row, a column shows what the setting does to one image.

    Args:
        batches: images in model range by the name of the row, all of one length.
        column_labels: one for each image of a batch; their numbers by default.
        column_title: what the columns differ in.
        caption: said above.

    Raises:
        ValueError: no batches, or of several lengths.
    """
    if not batches:
        raise ValueError("no batches to show")
    rows = [to_pictures(x) for x in batches.values()]
    columns = column_labels or [str(i + 1) for i in range(len(rows[0]))]
    options = {"column_title": column_title, "caption": caption}
    return show_grid(rows, row_labels=list(batches), column_labels=columns, **options)


def show_inpainting(
    x0: Float[Tensor, "n c h w"],
    mask: Bool[Tensor, "..."],
    drawn: Mapping[str, Float[Tensor, "n c h w"]],
    *,
    caption: str = "",
) -> Figure:
    """Show images, which part of them was kept, and what was drawn in the rest.

    Args:
        x0: the real images, in model range.
        mask: true where an image was kept; lines up with ``x0``.
        drawn: the results by name, such as "RePaint".
        caption: said above; the color of what was not kept is that of synthetic images.

    Raises:
        ValueError: a mask or results of another shape.
    """
    if any(x.shape != x0.shape for x in drawn.values()):
        raise ValueError(f"expected results of shape {tuple(x0.shape)}, as the images have")
    kept = mask.expand(x0.shape).any(1).cpu().numpy()
    color = np.round(255 * np.array(to_rgb(SOURCE_COLORS["synthetic"]))).astype(np.uint8)
    real = to_pictures(x0)
    known = [
        np.where(keep[..., None], image, color) for keep, image in zip(kept, real, strict=True)
    ]
    rows = [real, known, *(to_pictures(x) for x in drawn.values())]
    names = [say("plot.real"), say("plot.kept"), *drawn]
    columns = [str(i + 1) for i in range(len(real))]
    return show_grid(rows, row_labels=names, column_labels=columns, caption=caption)
