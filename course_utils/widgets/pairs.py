"""A place before and after a disaster, under a slider."""

import html
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import UInt8

from course_utils.plots import figure_bytes, show_swipe
from course_utils.texts import text
from course_utils.widgets.shared import Note, load_ipywidgets
from course_utils.xbd.labels import Building

Picture = UInt8[np.ndarray, "_h _w 3"]
Loader = Callable[[], tuple[Picture, Picture, Sequence[Building]]]
_STEP = 0.05  # of the image's width; with 21 places each is drawn only once
_MAX_SIZE, _DPI = 512, 80  # pixels of the drawn images, dots per inch: a move has to be quick


def swipe(
    pre: Picture, post: Picture, *, buildings: Sequence[Building] = (), caption: str = ""
) -> Any:
    """Slide a line between the images before and after; a view on `plots.show_swipe`.

    Args:
        pre: uint8 (h, w, 3), before the disaster.
        post: uint8 (h, w, 3), after it, of the same size.
        buildings: polygons in pixels of ``post``, outlined in damage colors right of the line.
        caption: said above.

    Returns:
        A widget: a slider above the picture. Without ipywidgets, a `Note` that says so.

    Raises:
        ValueError: other images than uint8 (h, w, 3), or two sizes.
    """
    library = load_ipywidgets()
    if library is None:
        return Note(text("widget.missing"))

    @cache
    def draw(position: float) -> bytes:
        options = {"buildings": buildings, "caption": caption, "max_size": _MAX_SIZE}
        figure = show_swipe(pre, post, position=position, **options)
        return figure_bytes(figure, dpi=_DPI, file_format="jpeg")

    slider = library.FloatSlider(
        value=0.5,
        min=0.0,
        max=1.0,
        step=_STEP,
        readout_format=".0%",
        description=text("widget.position"),
    )
    picture = library.Image(value=draw(slider.value), format="jpeg")

    def move(change: Mapping[str, Any]) -> None:
        picture.value = draw(round(change["new"], 6))

    slider.observe(move, names="value")
    return library.VBox([slider, picture])


def choose_pair(pairs: Mapping[str, Loader]) -> Any:
    """Choose a pair of images by name and slide between them.

    A pair is loaded when it is chosen. One that cannot be loaded shows the reason in its place.

    Args:
        pairs: functions by name; each gives the image before, the image after, and the buildings
            after.

    Returns:
        A widget: a list of names above a `swipe`. Without ipywidgets, a `Note` that says so.

    Raises:
        ValueError: no pairs.
    """
    if not pairs:
        raise ValueError("no pairs to choose from")
    library = load_ipywidgets()
    if library is None:
        return Note(text("widget.missing"))
    names = library.Dropdown(options=list(pairs), description=text("widget.pair"))
    box = library.VBox([names, _load(library, pairs, names.value)])

    def show(change: Mapping[str, Any]) -> None:
        old = box.children[1]
        box.children = (names, _load(library, pairs, change["new"]))
        for widget in (*getattr(old, "children", ()), old):
            widget.close()

    names.observe(show, names="value")
    return box


def _load(library: ModuleType, pairs: Mapping[str, Loader], name: str) -> Any:
    """Load a pair into a `swipe`, or say why not: nobody reads an exception in a callback."""
    try:
        pre, post, buildings = pairs[name]()
        return swipe(pre, post, buildings=buildings, caption=name)
    except Exception as error:
        reason = text("widget.unreadable", name=name, error=str(error) or type(error).__name__)
        return library.HTML(html.escape(reason))
