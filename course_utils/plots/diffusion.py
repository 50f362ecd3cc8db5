"""From image to noise, drawn: schedules, and what they do to an image."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from course_utils.diffusion import NoiseSchedule, q_sample
from course_utils.images import to_bytes, to_pil
from course_utils.plots.style import INK, SOURCE_COLORS, finish, plain, say
from course_utils.plots.sweeps import Picture, draw_image, show_grid

# Okabe and Ito's palette, for what is no source; every line has its own dashes as well.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 2)))


def to_pictures(x: Float[Tensor, "n c h w"]) -> list[Picture]:
    """Turn a batch in model range into uint8 pictures; values outside of [-1, 1] are clipped.

    Args:
        x: images of 1 or 3 channels, in [-1, 1] or noised.

    Raises:
        ValueError: another number of channels, NaN or infinity.
    """
    return [np.asarray(to_pil(image).convert("RGB")) for image in to_bytes(x.detach())]


def plot_schedules(schedules: Mapping[str, NoiseSchedule], *, caption: str = "") -> Figure:
    """Draw what schedules do at each step: β, ᾱ, and the signal-to-noise ratio with its 1.

    Args:
        schedules: by name; they may differ in length.
        caption: said above.

    Raises:
        ValueError: no schedules, or more than there are colors.
    """
    if not 0 < len(schedules) <= len(COLORS):
        raise ValueError(f"expected 1 to {len(COLORS)} schedules, got {len(schedules)}")
    fig, axes = plt.subplots(1, 3, figsize=(12.5, 4.0), layout="constrained")
    for (name, schedule), color, dash in zip(schedules.items(), COLORS, DASHES, strict=False):
        t = np.arange(schedule.num_train_steps)
        style = {"color": color, "linestyle": dash, "linewidth": 2}
        for ax, values in zip(
            axes,
            (schedule.exact_beta, schedule.exact_alpha_bar, schedule.exact_snr),
            strict=True,
        ):
            ax.plot(t, values.numpy(), label=plain(name), **style)
        crossed = np.flatnonzero(schedule.exact_snr.numpy() < 1)
        if len(crossed):
            axes[2].plot(crossed[0], 1, "o", color=color, markersize=8, zorder=3)
    axes[0].set_yscale("log")
    axes[2].set_yscale("log")
    axes[2].axhline(1, color=INK, linewidth=1, zorder=0)
    crossing = {"color": INK, "marker": "o", "markersize": 8, "linewidth": 1}
    axes[0].plot([], [], label=say("plot.equal_noise"), **crossing)
    for ax, key in zip(axes, ("plot.beta", "plot.alpha_bar", "plot.snr"), strict=True):
        ax.set_title(say(key), fontsize=12)
        ax.set_xlabel(say("plot.step_t"), fontsize=11)
        tidy(ax)
    handles = axes[0].get_legend_handles_labels()[0]
    fig.legend(handles=handles, loc="outside lower center", ncols=6, frameon=False, fontsize=12)
    return finish(fig, caption)


def tidy(ax: Axes) -> None:
    """Give an axis a faint grid and no frame above and at the right."""
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)


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
    options = {"column_title": say("plot.image_to_noise"), "caption": caption}
    return show_grid(rows, row_labels=list(schedules), column_labels=columns, **options)


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
    fig, (left, right) = plt.subplots(
        1, 2, figsize=(9, 3.7), width_ratios=(1, 1.7), layout="constrained"
    )
    draw_image(left, picture)
    left.set_title(f"$x_t$, t = {t}", fontsize=13)
    signal = schedule.exact_alpha_bar.sqrt().numpy()
    noise = (1 - schedule.exact_alpha_bar).sqrt().numpy()
    steps = np.arange(schedule.num_train_steps)
    for values, source, dash, key in (
        (signal, "real", "-", "plot.image_weight"),
        (noise, "synthetic", "--", "plot.noise_weight"),
    ):
        color = SOURCE_COLORS[source]
        label = f"{say(key)} = {values[t]:.3f}"
        right.plot(steps, values, color=color, linestyle=dash, linewidth=2.5, label=label)
        right.plot(t, values[t], "o", color=color, markersize=10)
    right.axvline(t, color=INK, linewidth=1)
    right.set(ylim=(-0.02, 1.04), xlabel=say("plot.step_t"))
    right.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False, fontsize=12)
    tidy(right)
    return finish(fig, caption)
