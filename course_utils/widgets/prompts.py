"""Draw from a sentence with sliders, and slide through images that were drawn."""

import html
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import UInt8

from course_utils.plots import figure_bytes, show_images
from course_utils.plots.style import refuse_unless_pictures
from course_utils.text2image import GenerationConfig, TextToImage, generate
from course_utils.text2image.records import LEVELS, meters_per_pixel
from course_utils.texts import text
from course_utils.widgets.shared import Note, load_ipywidgets

Pictures = Sequence[UInt8[np.ndarray, "_h _w 3"]] | UInt8[np.ndarray, "_n _h _w 3"]
_DPI, _SLIDE_DPI = 160, 260  # dots per inch of a row of images, and of a single one
_MAX_GUIDANCE, _MAX_STEPS, _MAX_SEED = 10.0, 50, 2**31 - 1
_LEVELS = {0: None, **{level: level for level in LEVELS}}  # ipywidgets keeps None for itself


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

    Returns:
        A widget: what can be changed above the images. Without ipywidgets, a `Note` that says so.

    Raises:
        ValueError: a list to choose from is empty, or there are no images to draw.
    """
    choices = choices or {}
    if empty := [name for name, options in choices.items() if not options]:
        raise ValueError(f"nothing to choose from in {', '.join(empty)}")
    if num_images < 1:
        raise ValueError(f"num_images must be 1 or more, got {num_images}")
    library = load_ipywidgets()
    if library is None:
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

    def show(_: Mapping[str, Any] | None = None) -> None:
        sentence, settings = _fill(controls["prompt"].value, lists), _settings(controls, start)
        _show(lambda: draw(sentence, settings), message, picture)

    show()
    for control in (*controls.values(), *lists.values()):
        control.observe(show, names="value")
    line, *others = controls.values()
    wrap = library.Layout(flex_flow="row wrap")
    boxes = [library.HBox(row, layout=wrap) for row in ([line], [*lists.values()], others)]
    return library.VBox([*boxes, message, picture])


def _controls(
    library: ModuleType, model: TextToImage, start: GenerationConfig, prompt: str
) -> dict[str, Any]:
    """Make what can be changed; a model that is told no level has none to choose."""
    wide = {"style": {"description_width": "initial"}}
    scale, steps, seed = start.guidance_scale, start.num_sample_steps, start.seed
    line = {"continuous_update": False, "layout": library.Layout(width="98%"), **wide}
    controls = {
        "prompt": library.Text(value=prompt, description=text("widget.prompt"), **line),
        "guidance_scale": library.FloatSlider(
            value=scale,
            min=1.0,
            max=max(_MAX_GUIDANCE, scale),
            step=0.5,
            continuous_update=False,
            description=text("widget.guidance_scale"),
            **wide,
        ),
        "num_sample_steps": library.IntSlider(
            value=steps,
            min=1,
            max=max(_MAX_STEPS, steps),
            continuous_update=False,
            description=text("widget.num_sample_steps"),
            **wide,
        ),
        "seed": library.BoundedIntText(
            value=seed, min=0, max=max(_MAX_SEED, seed), description=text("widget.seed")
        ),
    }
    if model.level_by != "none":
        names = [_level_name(level) for level in _LEVELS.values()]
        options = list(zip(names, _LEVELS, strict=True))
        style = {"description": text("widget.level"), **wide}
        controls["level"] = library.Dropdown(options=options, value=start.level or 0, **style)
    return controls


def _level_name(level: int | None) -> str:
    if level is None:
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
        level=start.level if level is None else _LEVELS[level.value],
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
    picture = figure_bytes(show_images(images, num_columns=4), dpi=_DPI)
    return picture, " · ".join([prompts[0], *(str(each.message) for each in caught)])


def _show(draw: Callable[[], tuple[bytes, str]], message: Any, picture: Any) -> None:
    """Show what is drawn, or why it cannot be: nobody reads an exception in a callback."""
    message.value = html.escape(text("widget.drawing"))
    try:
        picture.value, said = draw()
        picture.layout.display = None
    except Exception as error:
        picture.layout.display = "none"  # it belongs to other settings
        said = text("widget.not_drawn", error=str(error) or type(error).__name__)
    message.value = html.escape(said)


def slide_images(images: Pictures, labels: Sequence[str], *, caption: str = "") -> Any:
    """Slide through images, such as the steps of a drawing; a view on `plots.show_images`.

    Args:
        images: uint8 (h, w, 3), in the order of the slider.
        labels: one for each, said beside the slider and above the image.
        caption: said above the slider.

    Returns:
        A widget: a slider above the image. Without ipywidgets, a `Note` that says so.

    Raises:
        ValueError: no images, another number of labels, or images that are not uint8 (h, w, 3).
    """
    if not len(images) == len(labels) > 0:
        raise ValueError(f"{len(images)} images but {len(labels)} labels")
    refuse_unless_pictures(list(images))
    library = load_ipywidgets()
    if library is None:
        return Note(text("widget.missing"))

    @cache
    def draw(index: int) -> bytes:
        figure = show_images([images[index]], titles=[labels[index]])
        return figure_bytes(figure, dpi=_SLIDE_DPI)

    slider = library.SelectionSlider(
        options=[(label, index) for index, label in enumerate(labels)],
        description=text("widget.image"),
        style={"description_width": "initial"},
    )
    picture = library.Image(value=draw(slider.value), format="png")

    def move(change: Mapping[str, Any]) -> None:
        picture.value = draw(change["new"])

    slider.observe(move, names="value")
    return library.VBox([library.HTML(html.escape(caption)), slider, picture])
