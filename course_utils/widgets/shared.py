"""What all widgets share: the library, if it is there, and what is shown if it is not."""

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

from course_utils.plots import figure_bytes
from course_utils.texts import text

_DPI = 100  # dots per inch: a move has to be quick


@dataclass(frozen=True)
class Note:
    """What is shown in place of a widget."""

    text: str

    def __str__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return self.text


def load_ipywidgets() -> ModuleType | None:
    """Give ipywidgets, or None if it is not installed."""
    try:
        import ipywidgets
    except ImportError:
        return None
    return ipywidgets


def view(library: Any, controls: Sequence[Any], draw: Callable[..., Any]) -> Any:
    """Put controls above a picture that follows them; what was drawn is kept.

    The first picture may raise, in the cell where one can read it. Later nobody would see an
    exception in a callback, so its words take the place of the picture.
    """
    drawn = cache(lambda *values: figure_bytes(draw(*values), dpi=_DPI))
    picture = library.Image(value=drawn(*(each.value for each in controls)), format="png")
    message = library.HTML()

    def move(_: Mapping[str, Any]) -> None:
        try:
            picture.value = drawn(*(each.value for each in controls))
            picture.layout.display, message.value = None, ""
        except Exception as error:
            picture.layout.display = "none"
            said = text("widget.not_drawn", error=str(error) or type(error).__name__)
            message.value = html.escape(said)

    for each in controls:
        each.observe(move, names="value")
    wrap = library.Layout(flex_flow="row wrap")
    return library.VBox([library.HBox(list(controls), layout=wrap), message, picture])
