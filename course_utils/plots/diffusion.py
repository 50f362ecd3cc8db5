"""What formulas of diffusion say, drawn: schedules, losses, orders, distributions, the plane."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from torch import Tensor

from course_utils.diffusion import NoiseSchedule, TrainStep, posterior, q_sample
from course_utils.plots.style import (
    DASHES,
    INK,
    LINE_COLORS,
    SOURCE_COLORS,
    finish,
    line_style,
    make_ax,
    make_axes,
    name_counts,
    plain,
    remark,
    say,
    tidy,
)
from course_utils.samplers import Denoiser, SolverError, fitted_order

Points = Float[Tensor, "_n 2"]
Rows = Float[np.ndarray, "_n 1"] | Float[Tensor, "_n 1"]
_NUM_DOTS = 600  # of a curve or a cloud; more hide each other and make large pictures
_LONGEST = 2.0  # of an arrow; the noise has a length of 1.25 in the mean


def plot_schedules(schedules: Mapping[str, NoiseSchedule], *, caption: str = "") -> Figure:
    """Draw what schedules do at each step: β, ᾱ, and the signal-to-noise ratio with its 1.

    Args:
        schedules: by name; they may differ in length.
        caption: said above.

    Raises:
        ValueError: no schedules, or more than there are colors.
    """
    if not 0 < len(schedules) <= len(LINE_COLORS):
        raise ValueError(f"expected 1 to {len(LINE_COLORS)} schedules, got {len(schedules)}")
    fig, axes = make_axes(1, 3, (12.5, 3.7), caption=caption)
    beta, alpha_bar, snr = axes[0]
    for i, (name, schedule) in enumerate(schedules.items()):
        values = (schedule.exact_beta, schedule.exact_alpha_bar, schedule.exact_snr)
        style = {"color": LINE_COLORS[i], "linestyle": DASHES[i], "linewidth": 2}
        for ax, some in zip(axes[0], values, strict=True):
            ax.plot(np.arange(schedule.num_train_steps), some.numpy(), label=plain(name), **style)
        crossed = np.flatnonzero(schedule.exact_snr.numpy() < 1)
        if len(crossed):
            snr.plot(crossed[0], 1, "o", color=LINE_COLORS[i], markersize=8, zorder=3)
    beta.set_yscale("log")
    snr.set_yscale("log")
    snr.axhline(1, color=INK, linewidth=1, zorder=0)
    crossing = {"color": INK, "marker": "o", "markersize": 8, "linewidth": 1}
    beta.plot([], [], label=say("plot.equal_noise"), **crossing)
    for ax, key in ((beta, "plot.beta"), (alpha_bar, "plot.alpha_bar"), (snr, "plot.snr")):
        ax.set_title(say(key), fontsize=12)
        tidy(ax, say("plot.step_t"))
    return finish(fig, caption, legend=beta, ncols=6)


def plot_loss(
    runs: Mapping[str, Sequence[TrainStep]], *, baseline: float | None = 1.0, caption: str = ""
) -> Figure:
    """Draw the loss of every training step as a dot, and its mean over 2 % of them as a line.

    Args:
        runs: the records of `diffusion.train_denoiser`, by the name of the run.
        baseline: a line for what a denoiser pays that always answers 0; None for none.
        caption: said above.

    Raises:
        ValueError: no runs or steps, or a loss that is not finite and above 0.
    """
    if not runs or not all(len(steps) for steps in runs.values()):
        raise ValueError("every run needs steps to show")
    for name, records in runs.items():
        if not all(np.isfinite(record.loss) and record.loss > 0 for record in records):
            raise ValueError(f"{name}: losses must be finite and above 0: did the training fail?")
    fig, ax = make_ax(9, 4.4, caption)
    for i, (name, records) in enumerate(runs.items()):
        steps, y = (np.array([getattr(r, key) for r in records]) for key in ("step", "loss"))
        dots = np.unique(np.linspace(0, len(y) - 1, _NUM_DOTS).round().astype(int))
        color = LINE_COLORS[i % len(LINE_COLORS)]
        ax.scatter(steps[dots], y[dots], color=color, s=7, alpha=0.3, linewidth=0)
        width = max(1, round(0.02 * len(y)))
        mean = np.convolve(y, np.full(width, 1 / width), mode="valid")
        style = {"color": color, "linestyle": DASHES[i % len(DASHES)], "linewidth": 2.5}
        ax.plot(steps[width - 1 :], mean, label=plain(name), **style)
    _draw_baseline(ax, baseline)
    low, high = ax.get_ylim()
    fine = [m * 10.0**e for e in range(-12, 8) for m in (1, 2, 3, 5)]
    ticks = [value for value in fine if low <= value <= high]  # some, however short the axis
    ax.set_yticks(ticks, [f"{value:g}" for value in ticks])
    ax.yaxis.set_minor_locator(NullLocator())
    tidy(ax, say("plot.train_step"), say("plot.loss"))
    return finish(fig, caption, legend=ax)


def plot_loss_by_t(
    losses: Mapping[str, Mapping[int, float]], *, baseline: float | None = 1.0, caption: str = ""
) -> Figure:
    """Draw what denoisers pay at single steps of the schedule, not averaged over all of them.

    Args:
        losses: by the name of the denoiser its mean squared error in ε by t, 0-based.
        baseline: a line for what a denoiser pays that always answers 0; None for none.
        caption: said above.

    Raises:
        ValueError: no denoisers or steps, or a loss that is not finite and above 0.
    """
    if not losses or not all(losses.values()):
        raise ValueError("every denoiser needs a step to show")
    for name, by_t in losses.items():
        if not all(np.isfinite(value) and value > 0 for value in by_t.values()):
            raise ValueError(f"{name}: losses must be finite and above 0, got {by_t}")
    fig, ax = make_ax(9, 4.4, caption)
    for i, (name, by_t) in enumerate(losses.items()):
        t, values = zip(*sorted(by_t.items()), strict=True)
        ax.plot(t, values, label=plain(name), **line_style(i))
    _draw_baseline(ax, baseline)
    tidy(ax, say("plot.step_t"), say("plot.loss"))
    return finish(fig, caption, legend=ax)


def _draw_baseline(ax: Axes, baseline: float | None) -> None:
    """Draw what is paid by who always answers 0, and make the axis of losses logarithmic."""
    if baseline is not None:
        ax.axhline(baseline, color=INK, linewidth=1)
        style = {"xycoords": ax.get_yaxis_transform(), "ha": "right", "va": "baseline"}
        remark(ax, say("plot.predicts_zero"), (1, baseline), (0, 4), fontsize=11, **style)
    ax.set_yscale("log")


def plot_solver_order(
    errors: Mapping[str, Sequence[SolverError]], *, orders: Mapping[str, int], caption: str = ""
) -> Figure:
    """Draw the error of solvers against their steps, both logarithmic, beside lines of an order.

    A solver of order p makes 2^p times less of an error with twice the steps: a line of slope -p.

    Args:
        errors: of `samplers.solver_error`, by the name of the solver.
        orders: by solver, the order that it should have; a thin line through its last point.
        caption: said above.

    Raises:
        ValueError: no solver, under two step counts, or an error of 0.
    """
    if not errors:
        raise ValueError("no solvers to show")
    slopes = {name: -fitted_order(records) for name, records in errors.items()}
    fig, ax = make_ax(9, 4.5, caption)
    for i, (name, records) in enumerate(errors.items()):
        x, y = (np.array([getattr(r, k) for r in records]) for k in ("num_sample_steps", "error"))
        label = say("plot.slope", name=plain(name), slope=f"{slopes[name]:.2f}")
        ax.plot(x, y, label=label, **line_style(i))
        if name in orders:
            guide = y[-1] * (x / x[-1]) ** -orders[name]
            style = {"color": line_style(i)["color"]}
            ax.plot(x, guide, linestyle=":", linewidth=1.5, **style)
            words, end = say("plot.order", order=orders[name]), (x[-1], guide[-1])
            remark(ax, words, end, (10, 0), fontsize=11, **style)
    counts = {record.num_sample_steps for records in errors.values() for record in records}
    name_counts(ax, counts)
    ax.set_yscale("log")
    tidy(ax, say("plot.sample_steps_log"), say("plot.solver_error"))
    return finish(fig, caption, legend=ax, ncols=3)


def compare_samples(
    panels: Mapping[str, Mapping[str, Rows]], *, axis_label: str = "", caption: str = ""
) -> Figure:
    """Draw the histograms of samples that should have one distribution over each other.

    Args:
        panels: samples of one column by name, by the title of their panel.
        axis_label: what is drawn.
        caption: said above.

    Raises:
        ValueError: no panels or samples.
    """
    if not panels or not all(panels.values()):
        raise ValueError("every panel needs samples to show")
    size = min(4.2, 12.5 / len(panels))
    figsize = (max(5.5, size * len(panels)), size + 0.6)
    fig, axes = make_axes(1, len(panels), figsize, caption=caption)
    for ax, (title, panel) in zip(axes[0], panels.items(), strict=True):
        samples = {name: np.asarray(rows)[:, 0] for name, rows in panel.items()}
        ends = np.concatenate(list(samples.values()))
        bins = np.linspace(ends.min(), ends.max(), 61)
        for i, (name, values) in enumerate(samples.items()):
            style = {"histtype": "stepfilled", "alpha": 0.35} if i == 0 else {"histtype": "step"}
            style |= {"color": LINE_COLORS[i], "linewidth": 2, "density": True}
            ax.hist(values, bins, label=plain(name), **style)
        ax.set_yticks([])
        ax.set_title(plain(title), fontsize=12)
        tidy(ax, plain(axis_label))
    return finish(fig, caption, legend=axes[0, 0])


def plot_posterior(
    x0: float, x_t: float, t: int, schedule: NoiseSchedule, *, caption: str = ""
) -> Figure:
    r"""Draw how one step back follows from two Gaussians, for a single pixel.

    Where the pixel was at t-1 is known from two sides: from the image, q(x_{t-1} | x_0), and from
    where it went, q(x_t | x_{t-1}). Their product, scaled to area 1, is the posterior.

    Args:
        x0: the pixel's value in the image.
        x_t: its value at step t.
        t: 0-based, at least 1.
        schedule: the noise schedule.
        caption: said above.

    Raises:
        ValueError: t is 0, where the step back ends at the image, or the schedule has no such t.
    """
    if not 1 <= t < schedule.num_train_steps:
        raise ValueError(f"expected t from 1 to {schedule.num_train_steps - 1}, got {t}")
    alpha, prev = float(schedule.exact_alpha[t]), float(schedule.exact_alpha_bar[t - 1])
    ends = (torch.tensor([[value]], dtype=torch.float64) for value in (x0, x_t))
    mean, variance = (part.item() for part in posterior(*ends, torch.tensor([t]), schedule))
    curves = (
        ("plot.from_image", prev**0.5 * x0, 1 - prev),
        ("plot.from_next", x_t / alpha**0.5, (1 - alpha) / alpha),
        ("plot.posterior", mean, variance),
    )
    low = min(center - 3.5 * spread**0.5 for _, center, spread in curves)
    high = max(center + 3.5 * spread**0.5 for _, center, spread in curves)
    x = np.linspace(low, high, 500)
    fig, ax = make_ax(9.5, 3.9, caption)
    for (key, center, spread), color, dash in zip(curves, LINE_COLORS, DASHES, strict=False):
        density = np.exp(-((x - center) ** 2) / (2 * spread)) / np.sqrt(2 * np.pi * spread)
        style = {"color": color, "linestyle": dash, "linewidth": 2.5, "label": say(key)}
        ax.plot(x, density, **style)
    ax.set(yticks=[], ylim=(0, None))
    tidy(ax, say("plot.pixel_before", t=t - 1))
    return finish(fig, caption, legend=ax, ncols=2)


# --- Two dimensions, where data, samples and the whole vector field are seen ----------------------


def plot_clouds(
    clouds: Mapping[str, Points], *, data: Points | None = None, caption: str = ""
) -> Figure:
    """Draw clouds of points, one a panel: data that is noised, or noise that becomes data.

    Args:
        clouds: by the title of the panel, in orange.
        data: real points behind them, in blue.
        caption: said above.

    Raises:
        ValueError: no clouds.
    """
    if not clouds:
        raise ValueError("no clouds of points to show")
    everything = [*clouds.values(), *([] if data is None else [data])]
    limit = 1.05 * max(float(points.abs().max()) for points in everything)
    fig, axes = _make_panels(list(clouds), limit, caption)
    for ax, points in zip(axes, clouds.values(), strict=True):
        if data is None:
            _draw_points(ax, points, "real")
        else:
            _draw_points(ax, data, "real", label=say("plot.real"))
            _draw_points(ax, points, "synthetic", label=say("plot.synthetic"))
    return _finish_panels(fig, axes[0], caption)


def _make_panels(titles: Sequence[str], limit: float, caption: str) -> tuple[Figure, list[Axes]]:
    """Make square panels, four in a row, from minus to plus the limit."""
    num_columns = min(4, len(titles))
    num_rows = -(-len(titles) // num_columns)
    size = (max(4.5, 3.1 * num_columns), 3.35 * num_rows + 0.4)
    fig, axes = make_axes(num_rows, num_columns, size, caption=caption)
    for ax in axes.flat[len(titles) :]:
        ax.set_axis_off()
    chosen = list(axes.flat[: len(titles)])
    for ax, title in zip(chosen, titles, strict=True):
        ax.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
        ax.set_title(plain(title), fontsize=12)
    return fig, chosen


def _draw_points(ax: Axes, points: Points, source: str, *, label: str | None = None) -> None:
    style = {"s": 7, "linewidth": 0, "alpha": 0.7, "color": SOURCE_COLORS[source], "label": label}
    ax.scatter(*points[:_NUM_DOTS].detach().cpu().numpy().T, **style)


def _finish_panels(fig: Figure, first: Axes, caption: str) -> Figure:
    finish(fig, caption, legend=first, ncols=3)
    for legend in fig.legends:
        plt.setp(legend.legend_handles, alpha=1, sizes=[60])
    return fig


def plot_vector_field(
    denoiser: Denoiser,
    x0: Points,
    schedule: NoiseSchedule,
    timesteps: Sequence[int],
    *,
    generator: torch.Generator,
    num_arrows: int = 15,
    caption: str = "",
) -> Figure:
    r"""Draw at some steps where a denoiser pushes every point of the plane, over the noised data.

    $$-\epsilon_\theta(x_t, t) = \sqrt{1-\bar\alpha_t}\,\nabla \log p_t(x_t)$$

    Arrows point against the predicted noise, along the score, and grow with it up to a length that
    keeps them apart; all panels have one scale. Behind them lies the data, noised to that step.

    Args:
        denoiser: ``denoiser(x_t, t) -> eps_pred``; it is asked on a grid of points.
        x0: data.
        schedule: the one of the training.
        timesteps: 0-based, a panel each.
        generator: draws the noise of the data.
        num_arrows: along each side.
        caption: said above.

    Raises:
        ValueError: no steps.

    Source:
        Song et al. 2021 (arXiv:2011.13456), section 2.2.
    """
    if not timesteps:
        raise ValueError("no steps to show")
    limit = max(2.6, 1.1 * float(x0.abs().max()))
    line = torch.linspace(-0.94 * limit, 0.94 * limit, num_arrows, dtype=x0.dtype)
    grid = torch.cartesian_prod(line, line).to(x0)
    fig, axes = _make_panels([f"t = {t}" for t in timesteps], limit, caption)
    eps = torch.randn(x0.shape, generator=generator, dtype=x0.dtype).to(x0)
    for ax, t in zip(axes, timesteps, strict=True):
        cloud = q_sample(x0, torch.full((len(x0),), t, device=x0.device), eps, schedule)
        _draw_points(ax, cloud, "real", label=say("plot.noised_data"))
        with torch.no_grad():
            push = -denoiser(grid, torch.full((len(grid),), t, device=x0.device))
        push = push * (_LONGEST / push.norm(dim=1, keepdim=True)).clamp(max=1)
        arrows = np.concatenate([grid.cpu().numpy().T, push.cpu().numpy().T])
        ax.quiver(*arrows, color=INK, scale=2.2 * num_arrows, width=0.0035, pivot="tail")
    axes[0].scatter([], [], marker=r"$\rightarrow$", s=60, color=INK, label=say("plot.push"))
    return _finish_panels(fig, axes[0], caption)
