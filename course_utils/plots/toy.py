"""Diffusion in two dimensions, where data, samples, paths and the whole vector field are seen."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from course_utils.diffusion import NoiseSchedule, q_sample
from course_utils.plots.style import INK, SOURCE_COLORS, finish, plain, say
from course_utils.samplers import Denoiser

Points = Float[Tensor, "_n 2"]
_MAX_DOTS = 600  # more make large pictures, and notebooks are kept small
_PANEL = 3.1  # inches
_MAX_COLUMNS = 4
_LONGEST = 2.0  # of an arrow; the noise has a length of 1.25 in the mean


def plot_clouds(
    clouds: Mapping[str, Points],
    *,
    data: Points | None = None,
    limit: float | None = None,
    caption: str = "",
) -> Figure:
    """Draw clouds of points, one a panel: data that is noised, or noise that becomes data.

    Args:
        clouds: by the title of the panel, in orange.
        data: real points behind them, in blue.
        limit: the axes go from minus this to this; by default as far as the points do.
        caption: said above.

    Raises:
        ValueError: no clouds.
    """
    if not clouds:
        raise ValueError("no clouds of points to show")
    everything = [*clouds.values(), *([] if data is None else [data])]
    limit = limit or 1.05 * max(float(points.abs().max()) for points in everything)
    fig, axes = _make_panels(list(clouds), limit)
    for ax, points in zip(axes, clouds.values(), strict=True):
        if data is not None:
            _draw_points(ax, data, "real", label=say("plot.real"))
        name = say("plot.synthetic") if data is not None else None
        _draw_points(ax, points, "synthetic" if data is not None else "real", label=name)
    if data is not None:
        _add_legend(fig, axes[0])
    return finish(fig, caption)


def _make_panels(titles: Sequence[str], limit: float) -> tuple[Figure, list[Axes]]:
    num_columns = min(_MAX_COLUMNS, len(titles))
    num_rows = -(-len(titles) // num_columns)
    size = (max(4.5, _PANEL * num_columns), (_PANEL + 0.25) * num_rows + 0.7)
    fig, axes = plt.subplots(
        num_rows, num_columns, figsize=size, squeeze=False, layout="constrained"
    )
    for ax in axes.flat[len(titles) :]:
        ax.set_axis_off()
    shown = list(axes.flat[: len(titles)])
    for ax, title in zip(shown, titles, strict=True):
        ax.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
        ax.set_title(plain(title), fontsize=12)
    return fig, shown


def _draw_points(ax: Axes, points: Points, source: str, *, label: str | None = None) -> None:
    style = {"s": 7, "linewidth": 0, "alpha": 0.7, "color": SOURCE_COLORS[source], "label": label}
    ax.scatter(*points[:_MAX_DOTS].detach().cpu().numpy().T, **style)


def _add_legend(fig: Figure, ax: Axes) -> None:
    handles = ax.get_legend_handles_labels()[0]
    style = {"loc": "outside lower center", "ncols": 3, "frameon": False, "fontsize": 12}
    legend = fig.legend(handles=handles, **style)
    for handle in legend.legend_handles:
        handle.set(alpha=1, sizes=[60])


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
    fig, axes = _make_panels([f"t = {t}" for t in timesteps], limit)
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
    _add_legend(fig, axes[0])
    return finish(fig, caption)


def plot_paths(
    paths: Mapping[str, Float[Tensor, "_s _n 2"]],
    *,
    data: Points,
    caption: str = "",
) -> Figure:
    """Draw the ways of a few points from noise to data, a panel for each sampler.

    Args:
        paths: states (steps, points, 2) by name, the noise first.
        data: real points behind them.
        caption: said above.

    Raises:
        ValueError: no paths.
    """
    if not paths:
        raise ValueError("no paths to show")
    limit = 1.05 * max(float(points.abs().max()) for points in [*paths.values(), data])
    fig, axes = _make_panels(list(paths), limit)
    for ax, states in zip(axes, paths.values(), strict=True):
        _draw_points(ax, data, "real", label=say("plot.real"))
        for path in states.detach().cpu().numpy().transpose(1, 2, 0):
            ax.plot(*path, color=INK, linewidth=0.8, alpha=0.7)
        ends = ((0, "white", "plot.noise_start"), (-1, SOURCE_COLORS["synthetic"], "plot.sample"))
        for index, color, key in ends:
            style = {"color": color, "edgecolor": INK, "s": 26, "linewidth": 0.8, "zorder": 3}
            ax.scatter(*states[index].detach().cpu().numpy().T, label=say(key), **style)
    _add_legend(fig, axes[0])
    return finish(fig, caption)
