"""Browse captioned images by part, class and word."""

import html
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import ModuleType
from typing import Any

from course_utils.examples import CaptionedImage
from course_utils.plots import figure_bytes, show_captions
from course_utils.texts import text
from course_utils.widgets.shared import Note, load_ipywidgets

_DPI = 110  # dots per inch
_ANY = "\0"  # no part or class is called so; ipywidgets keeps None for itself


def caption_browser(images: Sequence[CaptionedImage], *, caption: str = "") -> Any:
    """Browse captioned images; a view on `plots.show_captions`.

    The images of one part, one class or with one word can be chosen, as far as the set tells these
    apart. An image is read when it is shown; one that cannot be read says why in its place.

    Args:
        images: from `examples.read_captions`, or of your own.
        caption: said above.

    Returns:
        A widget: what can be chosen, a slider, the image with its sentences. Without ipywidgets, a
        `Note` that says so.

    Raises:
        ValueError: no images.
    """
    if not len(images):
        raise ValueError("no captioned images to browse")
    library = load_ipywidgets()
    if library is None:
        return Note(text("widget.missing"))
    choices = _choices(library, images)
    place = library.IntSlider(value=1, min=1, max=1, description=text("widget.image"))
    message, picture = library.HTML(), library.Image(format="png")
    found: list[int] = []

    @cache
    def draw(index: int) -> bytes:
        return figure_bytes(show_captions([images[index]]), dpi=_DPI)

    def show(_: Mapping[str, Any] | None = None) -> None:
        if found:
            number = text("widget.place", number=place.value, total=f"{len(found):,}")
            _show(lambda: draw(found[place.value - 1]), number, message, picture)
        else:
            message.value, picture.layout.display = text("widget.none_found"), "none"

    def choose(_: Mapping[str, Any] | None = None) -> None:
        found[:] = _found(images, {name: control.value for name, control in choices.items()})
        place.unobserve(show, names="value")  # or an image between would be drawn
        place.value, place.max = 1, max(len(found), 1)
        place.observe(show, names="value")
        place.disabled = len(found) < 2
        show()

    choose()
    for control in choices.values():
        control.observe(choose, names="value")
    row = library.HBox([*choices.values(), place], layout=library.Layout(flex_flow="row wrap"))
    return library.VBox([library.HTML(html.escape(caption)), row, message, picture])


def _choices(library: ModuleType, images: Sequence[CaptionedImage]) -> dict[str, Any]:
    """Make a list for everything that differs between images, and a line for a word."""
    choices = {}
    for name, description in (("split", "widget.split"), ("class_name", "widget.class")):
        values = dict.fromkeys(getattr(image, name) for image in images)
        if len(values) > 1:
            options = [(text("widget.any"), _ANY), *((value or "-", value) for value in values)]
            choices[name] = library.Dropdown(options=options, description=text(description))
    line = {"continuous_update": False, "description": text("widget.search")}
    return {**choices, "word": library.Text(**line)}


def _found(images: Sequence[CaptionedImage], chosen: Mapping[str, str]) -> list[int]:
    """List the images that fit everything chosen, by their place among all."""
    word = chosen["word"].strip().lower()
    fixed = {name: value for name, value in chosen.items() if name != "word" and value != _ANY}
    return [
        index
        for index, image in enumerate(images)
        if all(getattr(image, name) == value for name, value in fixed.items())
        and (not word or any(word in caption.lower() for caption in image.captions))
    ]


def _show(draw: Callable[[], bytes], number: str, message: Any, picture: Any) -> None:
    """Show an image, or why it cannot be: nobody reads an exception in a callback."""
    try:
        picture.value = draw()
        picture.layout.display = None
        said = number
    except Exception as error:
        picture.layout.display = "none"
        reason = str(error) or type(error).__name__
        said = text("widget.unreadable", name=number, error=reason)
    message.value = html.escape(said)
