"""Samples that should follow a formula, drawn over it: noising, one step back, Gaussian data."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from torch import Tensor

from course_utils.diffusion import NoiseSchedule, posterior
from course_utils.plots.diffusion import COLORS, DASHES, tidy
from course_utils.plots.style import INK, finish, plain, say

Rows = Float[np.ndarray, "_n _d"] | Float[Tensor, "_n _d"]
Moments = tuple[
    Float[np.ndarray, " _d"] | Float[Tensor, " _d"],
    Float[np.ndarray, "_d _d"] | Float[Tensor, "_d _d"],
]
_MAX_DOTS = 300  # of a cloud; more would hide each other and make large pictures
_NUM_BINS = 60


def compare_samples(
    panels: Mapping[str, Mapping[str, Rows]],
    *,
    expected: Mapping[str, Moments] | None = None,
    axis_label: str = "",
    caption: str = "",
) -> Figure:
    """Draw samples that should have one distribution over each other, and the Gaussian expected.

    Of one dimension: histograms, and the density. Of two: dots with ellipses of two standard
    deviations around their mean, and that of the Gaussian as a thin line.

    Args:
        panels: samples by name, by the title of their panel; all of 1 or all of 2 columns.
        expected: mean and covariance, by the title of the panel.
        axis_label: what is drawn, of one dimension.
        caption: said above.

    Raises:
        ValueError: no panels or samples, or another number of columns.
    """
    if not panels or not all(panels.values()):
        raise ValueError("every panel needs samples to show")
    panels = {title: _arrays(panel) for title, panel in panels.items()}
    widths = {rows.shape[1] for panel in panels.values() for rows in panel.values()}
    if widths not in ({1}, {2}):
        raise ValueError(f"expected samples of 1 or of 2 columns, got {sorted(widths)}")
    draw = _draw_histograms if widths == {1} else _draw_clouds
    size = min(4.2, 12.5 / len(panels))
    figsize = (max(5.5, size * len(panels)), size + 0.9)
    fig, axes = plt.subplots(1, len(panels), figsize=figsize, squeeze=False, layout="constrained")
    for ax, (title, panel) in zip(axes[0], panels.items(), strict=True):
        draw(ax, panel, _gaussian((expected or {}).get(title)))
        ax.set_title(plain(title), fontsize=12)
        ax.set_xlabel(plain(axis_label), fontsize=11)
        tidy(ax)
    handles = axes[0, 0].get_legend_handles_labels()[0]
    fig.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=12)
    return finish(fig, caption)


def _draw_histograms(
    ax: Axes, panel: Mapping[str, np.ndarray], gaussian: tuple[np.ndarray, np.ndarray] | None
) -> None:
    everything = np.concatenate([rows[:, 0] for rows in panel.values()])
    bins = np.linspace(everything.min(), everything.max(), _NUM_BINS + 1)
    for i, (name, rows) in enumerate(panel.items()):
        style = {"histtype": "stepfilled", "alpha": 0.35} if i == 0 else {"histtype": "step"}
        style |= {"color": COLORS[i], "linewidth": 2, "density": True, "label": plain(name)}
        ax.hist(rows[:, 0], bins, **style)
    if gaussian is not None:
        x = np.linspace(bins[0], bins[-1], 300)
        mean, variance = float(gaussian[0][0]), float(gaussian[1][0, 0])
        ax.plot(x, density(x, mean, variance), color=INK, linewidth=1.5, label=say("plot.exact"))
    ax.set_yticks([])


def density(x: np.ndarray, mean: float, variance: float) -> np.ndarray:
    """Compute the density of N(mean, variance)."""
    return np.exp(-((x - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)


def _draw_clouds(
    ax: Axes, panel: Mapping[str, np.ndarray], gaussian: tuple[np.ndarray, np.ndarray] | None
) -> None:
    for i, (name, rows) in enumerate(panel.items()):
        style = {"s": 6, "alpha": 0.4, "linewidth": 0, "color": COLORS[i]}
        ax.scatter(*rows[:_MAX_DOTS].T, **style)
        moments = rows.mean(0), np.cov(rows.T)
        ax.add_patch(_ellipse(*moments, edgecolor=COLORS[i], linestyle=DASHES[i], linewidth=3))
        ax.plot([], [], color=COLORS[i], linestyle=DASHES[i], linewidth=3, label=plain(name))
    if gaussian is not None:
        ax.add_patch(_ellipse(*gaussian, edgecolor=INK, linewidth=1.2))
        ax.plot([], [], color=INK, linewidth=1.2, label=say("plot.exact"))
    ax.set_aspect("equal", adjustable="datalim")


def _ellipse(mean: np.ndarray, covariance: np.ndarray, **style: object) -> Ellipse:
    """Outline two standard deviations around a mean."""
    values, vectors = np.linalg.eigh(covariance)
    angle = np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1]))
    width, height = 4 * np.sqrt(values[::-1].clip(min=0))
    return Ellipse(mean, width, height, angle=angle, facecolor="none", **style)


def _arrays(panel: Mapping[str, Rows]) -> dict[str, np.ndarray]:
    return {name: np.asarray(rows) for name, rows in panel.items()}


def _gaussian(moments: Moments | None) -> tuple[np.ndarray, np.ndarray] | None:
    return moments and (np.asarray(moments[0]), np.asarray(moments[1]))


def plot_posterior(
    x0: float,
    x_t: float,
    t: int,
    schedule: NoiseSchedule,
    *,
    samples: Float[Tensor, " _n"] | Float[np.ndarray, " _n"] | None = None,
    caption: str = "",
) -> Figure:
    r"""Draw how one step back follows from two Gaussians, for a single pixel.

    Where the pixel was at t-1 is known from two sides: from the image, q(x_{t-1} | x_0), and from
    where it went, q(x_t | x_{t-1}). Their product, scaled to area 1, is the posterior.

    Args:
        x0: the pixel's value in the image.
        x_t: its value at step t.
        t: 0-based, at least 1.
        schedule: the noise schedule.
        samples: values at t-1 of simulated pixels that began at x0 and came near x_t.
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
    fig, ax = plt.subplots(figsize=(9.5, 4.2), layout="constrained")
    if samples is not None:
        style = {"density": True, "color": "#BBBBBB", "label": say("plot.simulated")}
        ax.hist(np.asarray(samples), _NUM_BINS, **style)
    for (key, center, spread), color, dash in zip(curves, COLORS, DASHES, strict=False):
        style = {"color": color, "linestyle": dash, "linewidth": 2.5, "label": say(key)}
        ax.plot(x, density(x, center, spread), **style)
    ax.set(yticks=[], ylim=(0, None))
    ax.set_xlabel(say("plot.pixel_before", t=t - 1), fontsize=12)
    tidy(ax)
    fig.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=12)
    return finish(fig, caption)
