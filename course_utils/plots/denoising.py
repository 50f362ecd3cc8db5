"""From image to noise and back, in pictures: batches, film strips, and an animated PNG."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from course_utils.diffusion import NoiseSchedule, q_sample
from course_utils.images import tile, to_bytes, to_pil
from course_utils.plots.grid import draw_image, plot_trajectory, show_grid
from course_utils.plots.style import INK, SOURCE_COLORS, Picture, finish, make_axes, say, tidy
from course_utils.samplers import SampleStep

MAX_BYTES = 110_000  # 150 kB in the notebook, where pictures are stored as base64
_NUM_COLORS = 64  # few, since noise does not compress: 6 bits a pixel instead of 24
_SIDE = 420  # pixels that an animation of small images should be wide
_SECONDS, _HOLD = 4.0, 1.5  # of all frames, and of the last


def to_pictures(x: Float[Tensor, "n c h w"]) -> list[Picture]:
    """Turn a batch in model range into uint8 pictures; values outside of [-1, 1] are clipped.

    Args:
        x: images of 1 or 3 channels, in [-1, 1] or noised.

    Raises:
        ValueError: another number of channels, NaN or infinity.
    """
    return [np.asarray(to_pil(image).convert("RGB")) for image in to_bytes(x.detach())]


def noised(
    x0: Float[Tensor, "c h w"], t: int, schedule: NoiseSchedule, eps: Float[Tensor, "c h w"]
) -> Picture:
    """Noise an image to a step and turn it into a picture."""
    steps = eps.new_full((1,), t).long()
    return to_pictures(q_sample(x0[None], steps, eps[None], schedule))[0]


def show_noised(
    x0: Float[Tensor, "c h w"],
    t: int,
    schedule: NoiseSchedule,
    *,
    eps: Float[Tensor, "c h w"],
    caption: str = "",
) -> Figure:
    """Show an image noised to one step, beside the weights of image and noise at all steps.

    Args:
        x0: the image, in [-1, 1]; 1 or 3 channels.
        t: the step, 0-based.
        schedule: the noise schedule.
        eps: noise in the shape of the image, N(0, 1).
        caption: said above.

    Raises:
        ValueError: the schedule has no such step.
    """
    picture = noised(x0, t, schedule, eps)  # before there is a figure, for it may be refused
    fig, axes = make_axes(1, 2, (9, 3.4), caption=caption, width_ratios=(1, 1.7))
    left, right = axes[0]
    draw_image(left, picture)
    left.set_title(f"$x_t$, t = {t}", fontsize=13)
    signal = schedule.exact_alpha_bar.sqrt().numpy()
    noise = (1 - schedule.exact_alpha_bar).sqrt().numpy()
    for values, source, dash, key in (
        (signal, "real", "-", "plot.image_weight"),
        (noise, "synthetic", "--", "plot.noise_weight"),
    ):
        color = SOURCE_COLORS[source]
        label = f"{say(key)} = {values[t]:.3f}"
        right.plot(values, color=color, linestyle=dash, linewidth=2.5, label=label)
        right.plot(t, values[t], "o", color=color, markersize=10)
    right.axvline(t, color=INK, linewidth=1)
    right.set_ylim(-0.02, 1.04)
    right.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False, fontsize=12)
    tidy(right, say("plot.step_t"))
    return finish(fig, caption)


def show_noising(
    x0: Float[Tensor, "c h w"],
    schedules: Mapping[str, NoiseSchedule],
    timesteps: Sequence[int],
    *,
    eps: Float[Tensor, "c h w"],
    caption: str = "",
) -> Figure:
    """Show an image noised to some steps, a row for each schedule, always with the same noise.

    Args:
        x0: the image, in [-1, 1]; 1 or 3 channels.
        schedules: by name.
        timesteps: 0-based, the columns.
        eps: noise in the shape of the image, N(0, 1).
        caption: said above.

    Raises:
        ValueError: nothing to show, or a step that a schedule does not have.
    """
    if not schedules or not timesteps:
        raise ValueError(f"{len(schedules)} schedules and {len(timesteps)} steps: nothing to show")
    rows = [[noised(x0, t, schedule, eps) for t in timesteps] for schedule in schedules.values()]
    columns = [f"t = {t}" for t in timesteps]
    words = {"column_title": say("plot.image_to_noise"), "caption": caption}
    return show_grid(rows, row_labels=list(schedules), column_labels=columns, **words)


def show_batches(
    batches: Mapping[str, Float[Tensor, "_n _c _h _w"]],
    *,
    column_labels: Sequence[str] | None = None,
    caption: str = "",
) -> Figure:
    """Show batches of images below each other, each with its name: one setting a row.

    For guidance scales, values of η, step counts, strengths of an edit; with the same noise in
    every row, a column shows what the setting does to one image.

    Args:
        batches: images in model range by the name of the row, all of one length.
        column_labels: one for each image of a batch; their numbers by default.
        caption: said above.

    Raises:
        ValueError: no batches, or of several lengths.
    """
    if not batches:
        raise ValueError("no batches to show")
    rows = [to_pictures(x) for x in batches.values()]
    columns = column_labels or [str(i + 1) for i in range(len(rows[0]))]
    return show_grid(rows, row_labels=list(batches), column_labels=columns, caption=caption)


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
    kept = mask.expand(x0.shape).any(1).cpu().numpy()[..., None]
    color = np.round(255 * np.array(to_rgb(SOURCE_COLORS["synthetic"]))).astype(np.uint8)
    real = to_pictures(x0)
    known = list(np.where(kept, np.stack(real), color))
    rows = [real, known, *(to_pictures(x) for x in drawn.values())]
    names = [say("ddpm.given"), say("plot.kept"), *drawn]
    columns = [str(i + 1) for i in range(len(real))]
    return show_grid(rows, row_labels=names, column_labels=columns, caption=caption)


def show_reverse(
    x_T: Float[Tensor, "n c h w"], steps: Sequence[SampleStep], *, index: int = 0, caption: str = ""
) -> Figure:
    """Show one image's way from noise: what the network saw at each step, above its prediction.

    Args:
        x_T: the noise that sampling began with.
        steps: all steps of a sampler; the last prediction is the sample.
        index: which image of the batch.
        caption: said above.

    Raises:
        ValueError: no steps.
    """
    seen, predicted = reverse_pictures(x_T, steps, index=index)
    return plot_trajectory(seen, predicted, [step.t for step in steps], caption=caption)


def reverse_pictures(
    x_T: Float[Tensor, "n c h w"], steps: Sequence[SampleStep], *, index: int = 0
) -> tuple[list[Picture], list[Picture]]:
    """Give for each step what the network saw of one image, and the image that it predicted.

    A step's record holds the state after the step; the network saw the one before.
    """
    states = [x_T, *(step.x_t for step in steps[:-1])]
    seen = [to_pictures(x[index : index + 1])[0] for x in states[: len(steps)]]
    return seen, [to_pictures(step.x0_pred[index : index + 1])[0] for step in steps]


@dataclass(frozen=True)
class Animation:
    """A moving picture that notebooks show; where pictures stand still, its last frame is seen."""

    png: bytes = field(repr=False)
    num_frames: int

    def _repr_png_(self) -> bytes:
        return self.png


def animate_reverse(
    x_T: Float[Tensor, "n c h w"],
    steps: Sequence[SampleStep],
    *,
    num_frames: int = 30,
    max_bytes: int = MAX_BYTES,
) -> Animation:
    """Animate a batch on its way from noise to images, four beside each other.

    Args:
        x_T: the noise that sampling began with; about 8 images keep the file small.
        steps: all steps of a sampler.
        num_frames: at most as many evenly spaced steps, the first and the last included.
        max_bytes: of the file; frames are left out until it fits.

    Raises:
        ValueError: no steps, under two frames, or images too large for the file.
    """
    if not steps or num_frames < 2:
        raise ValueError(f"expected steps and two frames or more, got {len(steps)}, {num_frames}")
    states = [x_T, *(step.x_t for step in steps)]
    chosen = np.unique(np.linspace(0, len(states) - 1, num_frames).round().astype(int))
    tiles = (tile(to_bytes(states[i].detach()), num_columns=4, pad=1) for i in chosen)
    frames = [np.asarray(to_pil(each).convert("RGB")) for each in tiles]
    zoom = max(1, _SIDE // frames[0].shape[1])
    return animate(frames, zoom=zoom, max_bytes=max_bytes)


def animate(frames: Sequence[Picture], *, zoom: int = 1, max_bytes: int = MAX_BYTES) -> Animation:
    """Make a moving picture that repeats, with one palette of 64 colors for all frames.

    Args:
        frames: uint8 (h, w, 3), all of one size.
        zoom: pixels are repeated as often, so that small images are seen.
        max_bytes: of the file; frames in between are left out, evenly, until it fits.

    Raises:
        ValueError: two frames are too large already.
    """
    quantized = _quantize(frames, zoom)
    chosen = np.arange(len(frames))
    while True:
        waits = [1000 * _SECONDS / len(chosen)] * (len(chosen) - 1) + [1000 * _HOLD]
        data = _encode([quantized[i] for i in chosen], [round(wait) for wait in waits])
        if len(data) <= max_bytes:
            return Animation(data, len(chosen))
        if len(chosen) <= 2:
            raise ValueError(
                f"two frames of {frames[0].shape[:2]} pixels take {len(data)} bytes, more than "
                f"{max_bytes}: show fewer images, or less zoom"
            )
        fewer = min(len(chosen) - 1, max(2, int(len(chosen) * max_bytes / len(data))))
        chosen = np.unique(np.linspace(0, len(frames) - 1, fewer).round().astype(int))


def _quantize(frames: Sequence[np.ndarray], zoom: int) -> list[Image.Image]:
    """Reduce frames to one palette, which suits the last one best, then enlarge them."""
    none = Image.Dither.NONE
    seen = np.concatenate([*frames, *[frames[-1]] * len(frames)])
    palette = Image.fromarray(seen).quantize(_NUM_COLORS, dither=none)
    small = (Image.fromarray(frame).quantize(palette=palette, dither=none) for frame in frames)
    nearest = Image.Resampling.NEAREST
    return [each.resize((zoom * each.width, zoom * each.height), nearest) for each in small]


def _encode(frames: Sequence[Image.Image], waits: Sequence[int]) -> bytes:
    """Write an animated PNG; its still picture is the last frame."""
    buffer = io.BytesIO()
    options = {"save_all": True, "append_images": frames, "default_image": True, "loop": 0}
    frames[-1].save(buffer, format="PNG", duration=list(waits), optimize=True, **options)
    return buffer.getvalue()
