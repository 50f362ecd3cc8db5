"""Sliders of notebook 01: noise on an image, the way back, noise schedules, and sampling steps."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from course_utils import samplers
from course_utils.diffusion import NoiseSchedule
from course_utils.plots import (
    plot_schedules,
    plot_trajectory,
    reverse_pictures,
    show_images,
    show_noised,
    to_pictures,
)
from course_utils.samplers import Denoiser, SampleStep
from course_utils.texts import text
from course_utils.widgets.shared import Note, load_ipywidgets, view

_LENGTHS = (10, 50, 100, 250, 1000)
_STEPS = (1, 2, 3, 5, 10, 20, 50, 100)
_ETAS = (0.0, 0.5, 1.0)
_SCHEDULES = {
    "linear": NoiseSchedule.linear,
    "scaled linear": NoiseSchedule.scaled_linear,
    "cosine": NoiseSchedule.cosine,
}
_WIDE = {"style": {"description_width": "initial"}}


def noise_slider(
    x0: Float[Tensor, "c h w"],
    schedule: NoiseSchedule,
    *,
    eps: Float[Tensor, "c h w"],
    caption: str = "",
) -> Any:
    """Slide t on an image, always with the same noise; a view on `plots.show_noised`.

    Args:
        x0: the image, in [-1, 1]; 1 or 3 channels.
        schedule: the noise schedule.
        eps: noise in the shape of the image, N(0, 1).
        caption: said above.

    Returns:
        A widget: a slider above the picture. Without ipywidgets, a `Note` that says so.

    Raises:
        ValueError: what cannot be noised, see `plots.show_noised`.
    """
    library = load_ipywidgets()
    if library is None:
        return Note(text("widget.missing"))
    last = schedule.num_train_steps - 1
    stops = sorted({round(i * last / 50) for i in range(51)})
    slider = library.SelectionSlider(
        options=[(f"t = {t}", t) for t in stops],
        value=stops[len(stops) // 5],
        description=text("widget.noise"),
        **_WIDE,
    )
    return view(library, [slider], lambda t: show_noised(x0, t, schedule, eps=eps, caption=caption))


def trajectory_slider(
    x_T: Float[Tensor, "n c h w"], steps: Sequence[SampleStep], *, caption: str = ""
) -> Any:
    """Slide along the way from noise to image; a view on `plots.plot_trajectory`, one column.

    Args:
        x_T: the noise that sampling began with.
        steps: all steps of a sampler.
        caption: said above.

    Returns:
        A widget: sliders for the step and the image above the pictures. Without ipywidgets, a
        `Note` that says so.

    Raises:
        ValueError: no steps or images.
    """
    if not steps or not len(x_T):
        raise ValueError(f"expected steps and images, got {len(steps)} steps, {len(x_T)} images")
    library = load_ipywidgets()
    if library is None:
        return Note(text("widget.missing"))
    options = [(f"{i + 1}: t = {step.t}", i) for i, step in enumerate(steps)]
    slider = library.SelectionSlider(options=options, description=text("widget.step"), **_WIDE)
    images = library.SelectionSlider(
        options=[(str(i + 1), i) for i in range(len(x_T))],
        description=text("widget.image"),
        **_WIDE,
    )
    pictures = cache(lambda index: reverse_pictures(x_T, steps, index=index))

    def draw(step: int, index: int) -> Any:
        seen, predicted = pictures(index)
        return plot_trajectory([seen[step]], [predicted[step]], [steps[step].t], caption=caption)

    return view(library, [slider, images], draw)


def schedule_panel(
    schedules: Mapping[str, Callable[[int], NoiseSchedule]] | None = None,
    *,
    lengths: Sequence[int] = _LENGTHS,
    caption: str = "",
) -> Any:
    """Choose a noise schedule and its length T; a view on `plots.plot_schedules`.

    Args:
        schedules: functions of T by name; the three of `NoiseSchedule` by default.
        lengths: the T to choose from.
        caption: said above.

    Returns:
        A widget: a list and a slider above the picture. Without ipywidgets, a `Note` that says so.

    Raises:
        ValueError: nothing to choose from.
    """
    schedules = _SCHEDULES if schedules is None else schedules
    if not schedules or not lengths:
        raise ValueError(f"{len(schedules)} schedules and {len(lengths)} lengths to choose from")
    library = load_ipywidgets()
    if library is None:
        return Note(text("widget.missing"))
    everything = [(text("widget.all"), tuple(schedules))]
    names = library.Dropdown(
        options=[*everything, *((name, (name,)) for name in schedules)],
        description=text("widget.schedule"),
        **_WIDE,
    )
    length = library.SelectionSlider(
        options=[(str(T), T) for T in lengths],
        value=lengths[-1],
        description=text("widget.length"),
        **_WIDE,
    )

    def draw(shown: tuple[str, ...], num_train_steps: int) -> Any:
        made = {name: schedules[name](num_train_steps) for name in shown}
        return plot_schedules(made, caption=caption)

    return view(library, [names, length], draw)


def steps_panel(
    denoiser: Denoiser,
    x_T: Float[Tensor, "n c h w"],
    schedule: NoiseSchedule,
    *,
    seed: int = 0,
    num_columns: int = 8,
    caption: str = "",
) -> Any:
    """Sample the same noise with few or many steps, and with any η; a view on `plots.show_images`.

    What was drawn once is shown at once; the network is called only for what is chosen.

    Args:
        denoiser: predicts the noise, ``denoiser(x_t, t) -> eps_pred``; its network in eval mode.
        x_T: the noise to start from; about 8 images are drawn quickly.
        schedule: the one of the training.
        seed: of the noise that is added where η is above 0, the same each time.
        num_columns: images in a row.
        caption: said above.

    Returns:
        A widget: what can be chosen above the images. Without ipywidgets, a `Note` that says so.
    """
    library = load_ipywidgets()
    if library is None:
        return Note(text("widget.missing"))
    names = ("DDIM", "DPM-Solver++(2M)")
    method = library.Dropdown(options=names, description=text("widget.sampler"), **_WIDE)
    counts = [count for count in _STEPS if count <= schedule.num_train_steps]
    number = library.SelectionSlider(
        options=[(str(count), count) for count in counts],
        value=10 if 10 in counts else counts[-1],
        description=text("widget.num_sample_steps"),
        continuous_update=False,
        **_WIDE,
    )
    eta = library.SelectionSlider(
        options=[(f"{value:g}", value) for value in _ETAS],
        description=text("widget.eta"),
        continuous_update=False,
        **_WIDE,
    )

    def draw(name: str, num_sample_steps: int, noise: float) -> Any:
        options = {"num_sample_steps": num_sample_steps}
        if name == names[0]:
            options |= {"eta": noise, "generator": torch.Generator().manual_seed(seed)}
        sampler = samplers.ddim_sample if name == names[0] else samplers.dpm_solver_sample
        *_, last = sampler(denoiser, x_T, schedule, **options)
        return show_images(to_pictures(last.x_t), num_columns=num_columns, caption=caption)

    return view(library, [method, number, eta], draw)
