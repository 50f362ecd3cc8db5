"""Draw: noise on an image, the way back, noise schedules, sampling steps, and from a sentence."""

import html
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from types import ModuleType
from typing import Any

from jaxtyping import Float
from torch import Tensor

from course_utils import samplers
from course_utils.diffusion import NoiseSchedule
from course_utils.plots import (
    figure_bytes,
    plot_schedules,
    plot_trajectory,
    reverse_pictures,
    show_images,
    show_noised,
    to_pictures,
)
from course_utils.runtime import check_seed, seeded
from course_utils.samplers import Denoiser, SampleStep
from course_utils.text2image import GenerationConfig, TextToImage, generate, meters_per_pixel
from course_utils.text2image.records import LEVELS
from course_utils.texts import text
from course_utils.widgets.shared import (
    WIDE,
    Note,
    dropdown,
    load_ipywidgets,
    show,
    slider,
    view,
    wrapped,
)

_LENGTHS = (10, 50, 100, 250, 1000)
_STEPS = (1, 2, 3, 5, 10, 20, 50, 100)
_ETAS = (0.0, 0.5, 1.0)
_SCHEDULES = {
    "linear": NoiseSchedule.linear,
    "scaled linear": NoiseSchedule.scaled_linear,
    "cosine": NoiseSchedule.cosine,
}
_PANEL_DPI = 160  # dots per inch of a row of images
_MAX_GUIDANCE, _MAX_STEPS, _MAX_SEED = 10.0, 50, 2**31 - 1
_NO_LEVEL = 0  # ipywidgets keeps None for itself


def noise_slider(
    x0: Float[Tensor, "c h w"], schedule: NoiseSchedule, *, eps: Float[Tensor, "c h w"]
) -> Any:
    """Slide t on an image, always with the same noise; a view on `plots.show_noised`.

    Args:
        x0: the image, in [-1, 1]; 1 or 3 channels.
        schedule: the noise schedule.
        eps: noise in the shape of the image, N(0, 1).

    Raises:
        ValueError: what cannot be noised, see `plots.show_noised`.
    """
    if (library := load_ipywidgets()) is None:
        return Note(text("widget.missing"))
    last = schedule.num_train_steps - 1
    stops = sorted({round(i * last / 50) for i in range(51)})
    options, value = [(f"t = {t}", t) for t in stops], stops[len(stops) // 5]
    step = slider(library, "widget.noise", options, value=value)
    return view(library, [step], lambda t: show_noised(x0, t, schedule, eps=eps))


def trajectory_slider(x_T: Float[Tensor, "n c h w"], steps: Sequence[SampleStep]) -> Any:
    """Slide along the way from noise to image; a view on `plots.plot_trajectory`, one column.

    Args:
        x_T: the noise that sampling began with.
        steps: all steps of a sampler.

    Raises:
        ValueError: no steps or images.
    """
    if not steps or not len(x_T):
        raise ValueError(f"expected steps and images, got {len(steps)} steps, {len(x_T)} images")
    if (library := load_ipywidgets()) is None:
        return Note(text("widget.missing"))
    options = [(f"{i + 1}: t = {step.t}", i) for i, step in enumerate(steps)]
    places = slider(library, "widget.step", options)
    images = slider(library, "widget.image", [(str(i + 1), i) for i in range(len(x_T))])
    pictures = cache(lambda index: reverse_pictures(x_T, steps, index=index))

    def draw(step: int, index: int) -> Any:
        seen, predicted = pictures(index)
        return plot_trajectory([seen[step]], [predicted[step]], [steps[step].t])

    return view(library, [places, images], draw)


def schedule_panel(
    schedules: Mapping[str, Callable[[int], NoiseSchedule]] | None = None,
    *,
    lengths: Sequence[int] = _LENGTHS,
) -> Any:
    """Choose a noise schedule and its length T; a view on `plots.plot_schedules`.

    Args:
        schedules: functions of T by name; the three of `NoiseSchedule` by default.
        lengths: the T to choose from.

    Raises:
        ValueError: nothing to choose from.
    """
    schedules = _SCHEDULES if schedules is None else schedules
    if not schedules or not lengths:
        raise ValueError(f"{len(schedules)} schedules and {len(lengths)} lengths to choose from")
    if (library := load_ipywidgets()) is None:
        return Note(text("widget.missing"))
    options = [(text("widget.all"), tuple(schedules)), *((name, (name,)) for name in schedules)]
    names = dropdown(library, "widget.schedule", options)
    length = slider(library, "widget.length", [(str(T), T) for T in lengths], value=lengths[-1])

    def draw(shown: tuple[str, ...], num_train_steps: int) -> Any:
        return plot_schedules({name: schedules[name](num_train_steps) for name in shown})

    return view(library, [names, length], draw)


def steps_panel(
    denoiser: Denoiser,
    x_T: Float[Tensor, "n c h w"],
    schedule: NoiseSchedule,
    *,
    clip_x0: bool = False,
    seed: int = 0,
) -> Any:
    """Sample the same noise with few or many steps, and with any η; a view on `plots.show_images`.

    What was drawn once is shown at once; the network is called only for what is chosen.

    Args:
        denoiser: predicts the noise, ``denoiser(x_t, t) -> eps_pred``; its network in eval mode.
        x_T: the noise to start from; about 8 images are drawn quickly.
        schedule: the one of the training.
        clip_x0: keep each predicted image within [-1, 1], as schedules need that end in pure noise.
        seed: of the noise that is added where η is above 0, the same each time.

    Raises:
        ValueError: no seed.
    """
    seed = check_seed(seed)
    if (library := load_ipywidgets()) is None:
        return Note(text("widget.missing"))
    ddim, dpm = "DDIM", "DPM-Solver++(2M)"
    waits = {"continuous_update": False}  # a sampler runs only where the slider is let go
    counts = [count for count in _STEPS if count <= schedule.num_train_steps]
    start = 10 if 10 in counts else counts[-1]
    options = [(str(count), count) for count in counts]
    method = dropdown(library, "widget.sampler", [(ddim, ddim), (dpm, dpm)])
    number = slider(library, "widget.num_sample_steps", options, value=start, **waits)
    noise = slider(library, "widget.eta", [(f"{eta:g}", eta) for eta in _ETAS], **waits)

    def draw(name: str, num_sample_steps: int, eta: float) -> Any:
        options = {"num_sample_steps": num_sample_steps, "clip_x0": clip_x0}
        if name == ddim:
            options |= {"eta": eta, "generator": seeded(seed)}
        sampler = samplers.ddim_sample if name == ddim else samplers.dpm_solver_sample
        *_, last = sampler(denoiser, x_T, schedule, **options)
        return show_images(to_pictures(last.x_t), num_columns=8)

    return view(library, [method, number, noise], draw)


def prompt_panel(
    model: TextToImage,
    config: GenerationConfig | None = None,
    *,
    prompt: str,
    choices: Mapping[str, Sequence[str]] | None = None,
    num_images: int = 4,
) -> Any:
    """Draw images from a sentence and settings that can be changed; a view on `plots.show_images`.

    The images of a change are drawn when the mouse is released or the line is left. What was drawn
    before is shown at once. What goes wrong is said in place of the images.

    Args:
        model: from `text2image.load_pipeline`.
        config: where the sliders start; None takes the settings that the model was made for.
        prompt: the sentence to start with; ``{class}`` in it is filled from the list "class".
        choices: lists to choose from, by the name that stands in braces in the sentence.
        num_images: images of the sentence that are drawn, each from noise of its own.

    Raises:
        ValueError: a list to choose from is empty, or there are no images to draw.
    """
    choices = choices or {}
    if empty := [name for name, options in choices.items() if not options]:
        raise ValueError(f"nothing to choose from in {', '.join(empty)}")
    if num_images < 1:
        raise ValueError(f"num_images must be 1 or more, got {num_images}")
    if (library := load_ipywidgets()) is None:
        return Note(text("widget.missing"))
    start = config or model.config
    controls = _controls(library, model, start, prompt)
    lists = {
        name: library.Dropdown(options=list(options), description=name)
        for name, options in choices.items()
    }
    message, picture = library.HTML(), library.Image(format="png")

    @cache
    def draw(sentence: str, settings: GenerationConfig) -> tuple[bytes, str]:
        return _draw(model, [sentence] * num_images, settings)

    def change(_: Mapping[str, Any] | None = None) -> None:
        sentence, settings = _fill(controls["prompt"].value, lists), _settings(controls, start)
        message.value = html.escape(text("widget.drawing"))
        show(lambda: draw(sentence, settings), message, picture)

    change()
    for control in (*controls.values(), *lists.values()):
        control.observe(change, names="value")
    line, *others = controls.values()
    boxes = [wrapped(library, row) for row in ([line], [*lists.values()], others)]
    return library.VBox([*boxes, message, picture])


def _controls(
    library: ModuleType, model: TextToImage, start: GenerationConfig, prompt: str
) -> dict[str, Any]:
    """Make what can be changed; a model that is told no level has none to choose."""
    scale, steps, seed = start.guidance_scale, start.num_sample_steps, start.seed
    waits = {"continuous_update": False, **WIDE}  # images are drawn when a control is let go
    controls = {
        "prompt": library.Text(
            value=prompt,
            description=text("widget.prompt"),
            layout=library.Layout(width="98%"),
            **waits,
        ),
        "guidance_scale": library.FloatSlider(
            value=scale,
            min=1.0,
            max=max(_MAX_GUIDANCE, scale),
            step=0.5,
            description=text("widget.guidance_scale"),
            **waits,
        ),
        "num_sample_steps": library.IntSlider(
            value=steps,
            min=1,
            max=max(_MAX_STEPS, steps),
            description=text("widget.num_sample_steps"),
            **waits,
        ),
        "seed": library.BoundedIntText(
            value=seed, min=0, max=max(_MAX_SEED, seed), description=text("widget.seed")
        ),
    }
    if model.level_by != "none":
        options = [(_level_name(level), level) for level in (_NO_LEVEL, *LEVELS)]
        value = start.level or _NO_LEVEL
        controls["level"] = dropdown(library, "widget.level", options, value=value)
    return controls


def _level_name(level: int) -> str:
    if level == _NO_LEVEL:
        return text("widget.level_unknown")
    return text("widget.level_name", level=level, meters=f"{meters_per_pixel(level):g}")


def _fill(sentence: str, lists: Mapping[str, Any]) -> str:
    """Put what is chosen in place of its name in braces."""
    for name, chosen in lists.items():
        sentence = sentence.replace("{" + name + "}", chosen.value)
    return sentence.strip()


def _settings(controls: Mapping[str, Any], start: GenerationConfig) -> GenerationConfig:
    """Read the controls."""
    level = controls.get("level")
    return replace(
        start,
        guidance_scale=round(controls["guidance_scale"].value, 6),
        num_sample_steps=controls["num_sample_steps"].value,
        seed=controls["seed"].value,
        level=start.level if level is None else level.value or None,
    )


def _draw(
    model: TextToImage, prompts: Sequence[str], config: GenerationConfig
) -> tuple[bytes, str]:
    """Draw images into one picture, and collect what there is to say about them."""
    if not prompts[0]:
        raise ValueError(text("widget.no_prompt"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        images = [made.image for made in generate(model, prompts, config)]
    picture = figure_bytes(show_images(images, num_columns=4), dpi=_PANEL_DPI)
    return picture, " · ".join([prompts[0], *(str(each.message) for each in caught)])
