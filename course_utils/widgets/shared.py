"""What all widgets share: the library, if it is there; controls; a picture that follows them."""

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

from course_utils.plots import figure_bytes
from course_utils.texts import text

WIDE = {"style": {"description_width": "initial"}}  # the description has the room it needs
Options = Sequence[tuple[str, Any]]  # label and value; two may have one label


@dataclass(frozen=True)
class Note:
    """What is shown in place of a widget where ipywidgets is not installed."""

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


def slider(library: ModuleType, key: str, options: Options, **settings: Any) -> Any:
    """Make a slider over values by their labels; ``key`` is the text that stands before it."""
    return library.SelectionSlider(options=options, description=text(key), **WIDE, **settings)


def dropdown(library: ModuleType, key: str, options: Options, **settings: Any) -> Any:
    """Make a list of values by their labels; ``key`` is the text that stands before it."""
    return library.Dropdown(options=options, description=text(key), **WIDE, **settings)


def wrapped(library: ModuleType, controls: Sequence[Any]) -> Any:
    """Put controls beside each other, and below each other where there is no room."""
    return library.HBox(list(controls), layout=library.Layout(flex_flow="row wrap"))


def view(
    library: ModuleType,
    controls: Sequence[Any],
    draw: Callable[..., Any],
    *,
    caption: str = "",
    dpi: int = 100,
    file_format: str = "png",
) -> Any:
    """Put controls above a figure that follows them; what was drawn is kept.

    The first figure may raise, in the cell where one can read it. Where a caption is to stay above
    the controls, it is said here; else the figure says it.
    """

    @cache
    def drawn(*values: Any) -> bytes:
        return figure_bytes(draw(*values), dpi=dpi, file_format=file_format)

    def values() -> list[Any]:
        return [each.value for each in controls]

    picture, message = library.Image(value=drawn(*values()), format=file_format), library.HTML()

    def move(_: Mapping[str, Any]) -> None:
        show(lambda: (drawn(*values()), ""), message, picture)

    for each in controls:
        each.observe(move, names="value")
    above = [library.HTML(html.escape(caption))] if caption else []
    return library.VBox([*above, wrapped(library, controls), message, picture])


def show(
    draw: Callable[[], tuple[bytes, str]],
    message: Any,
    picture: Any,
    *,
    failed: Callable[[str], str] = lambda error: text("widget.not_drawn", error=error),
) -> None:
    """Show a picture and its words, or why not: nobody reads an exception in a callback."""
    try:
        picture.value, said = draw()
        picture.layout.display = None
    except Exception as error:
        picture.layout.display = "none"  # it belongs to other settings
        said = failed(reason(error))
    message.value = html.escape(said)


def reason(error: Exception) -> str:
    """Give an exception's words, or its name where it has none."""
    return str(error) or type(error).__name__
