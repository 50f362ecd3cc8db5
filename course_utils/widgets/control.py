"""Steer a generator: by a map that is chosen or painted, and by numbers of the metadata."""

import hashlib
import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import UInt8

from course_utils.control import SIDES, Block, Metadata, Strip, paint_map
from course_utils.plots import figure_bytes, map_picture, show_images, show_map_and_scene
from course_utils.texts import text
from course_utils.widgets.shared import (
    Note,
    dropdown,
    load_ipywidgets,
    show,
    slider,
    view,
    wrapped,
)
from mini_earth import LAND_COVER

Map = UInt8[np.ndarray, "_h _w"]
Picture = UInt8[np.ndarray, "_h _w 3"]
_PAINTED = ""  # the choice that is no prepared map; ipywidgets keeps None for itself
_NONE = "-"
_WIDTHS = (2, 4, 6, 8, 10, 14)  # pixels of a road or a river
_BENDS = tuple(tenths / 10 for tenths in range(-5, 6))
_PLACES = {"north-west": (0.25, 0.25), "north-east": (0.75, 0.25), "middle": (0.5, 0.5)}
_PLACES |= {"south-west": (0.25, 0.75), "south-east": (0.75, 0.75)}
_METERS = (0.8, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0)
_CLOUDS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
_DPI = 110


def map_painter(
    draw: Callable[[Map], Picture], *, prepared: Mapping[str, Map] | None = None, size: int = 64
) -> Any:
    """Choose a map or paint one, and draw a scene of it; a view on `plots.show_map_and_scene`.

    The map follows every move; the scene is drawn when the button is pressed. What was drawn once
    is kept. What cannot be painted or drawn says why in its place.

    Args:
        draw: makes a scene, uint8 (h, w, 3), of codes of ``mini_earth.LAND_COVER``.
        prepared: maps by name; the first is shown at first.
        size: pixels along a side of a painted map.

    Raises:
        ValueError: a prepared map with codes that there are not.
    """
    prepared = dict(prepared or {})
    for page in prepared.values():
        map_picture(page)
    if (library := load_ipywidgets()) is None:
        return Note(text("widget.missing"))
    names = [*((name, name) for name in prepared), (text("widget.paint"), _PAINTED)]
    choice = dropdown(library, "widget.map", names, value=names[0][1])
    brushes = _brushes(library)
    button = library.Button(description=text("widget.draw"), button_style="primary")
    message, picture = library.HTML(), library.Image(format="png")
    drawn: dict[str, Picture] = {}
    boxes = [wrapped(library, row) for row in brushes.values()]

    def figure(*, draws: bool) -> tuple[bytes, str]:
        values = {name: [each.value for each in row] for name, row in brushes.items()}
        page = _paint(values, size) if choice.value == _PAINTED else prepared[choice.value]
        if draws and _key(page) not in drawn:
            drawn[_key(page)] = draw(page)
        return figure_bytes(show_map_and_scene(page, drawn.get(_key(page))), dpi=_DPI), ""

    def look(_: Mapping[str, Any] | None = None) -> None:
        for box in boxes:
            box.layout.display = None if choice.value == _PAINTED else "none"
        show(lambda: figure(draws=False), message, picture)

    def press(_: Any) -> None:
        message.value = html.escape(text("widget.drawing"))
        show(lambda: figure(draws=True), message, picture)

    look()
    for control in (choice, *(each for row in brushes.values() for each in row)):
        control.observe(look, names="value")
    button.on_click(press)
    return library.VBox([wrapped(library, [choice, button]), *boxes, message, picture])


def _key(page: Map) -> str:
    return hashlib.sha256(page.tobytes()).hexdigest() + repr(page.shape)


def _brushes(library: ModuleType) -> dict[str, list[Any]]:
    """Make what a map is painted with: its ground, a river, a road, a block of houses."""
    sides = [(text(f"widget.side.{side}"), side) for side in SIDES]
    none = [(text("widget.side.none"), _NONE)]
    widths = [(f"{width} px", width) for width in _WIDTHS]
    bends = [(f"{bend:+.1f}", bend) for bend in _BENDS]
    grounds = [(name, name) for name in LAND_COVER]
    rows = {"base": [dropdown(library, "widget.ground", grounds, value="agriculture")]}
    starts = {"river": (_NONE, "south", 8), "road": ("west", "east", 6)}
    for name, (start, end, width) in starts.items():
        rows[name] = [
            dropdown(library, f"widget.{name}", [*none, *sides], value=start),
            dropdown(library, "widget.leaves", sides, value=end),
            slider(library, "widget.width", widths, value=width),
            slider(library, "widget.bend", bends, value=0.0),
        ]
    places = [*none, *((text(f"widget.place.{name}"), name) for name in _PLACES)]
    nums = [(f"{num} × {num}", num) for num in range(1, 7)]
    rows["block"] = [
        dropdown(library, "widget.houses", places, value="north-east"),
        slider(library, "widget.num_houses", nums, value=3),
    ]
    return rows


def _paint(values: Mapping[str, Sequence[Any]], size: int) -> Map:
    """Paint what the brushes say."""
    strips = {
        name: None if values[name][0] == _NONE else Strip(*values[name])
        for name in ("river", "road")
    }
    place, num = values["block"]
    block = None if place == _NONE else Block(*_PLACES[place], num=num)
    return paint_map(values["base"][0], **strips, block=block, size=size)


def metadata_panel(
    draw: Callable[[Metadata], Picture],
    *,
    start: Metadata | None = None,
    meters: Sequence[float] = _METERS,
    clouds: Sequence[float] = _CLOUDS,
) -> Any:
    """Slide the month, the meters per pixel and the cloud; a view on `plots.show_images`.

    A picture is drawn when a slider is let go, and kept. The first may raise, in the cell where one
    can read it; later ones say what is wrong in their place.

    Args:
        draw: makes a picture, uint8 (h, w, 3), of a record.
        start: where the sliders start, and what else is told; mid-July by default.
        meters: the ground sample distances to choose from, m.
        clouds: the shares of cloud to choose from, 0 to 1.

    Raises:
        ValueError: nothing to choose from.
    """
    if not meters or not clouds:
        raise ValueError(
            f"{len(meters)} distances and {len(clouds)} shares of cloud to choose from"
        )
    start = start or Metadata(year=2020.0, month=7.0, day=15.0)
    if (library := load_ipywidgets()) is None:
        return Note(text("widget.missing"))
    waits = {"continuous_update": False}
    months = [(str(month), float(month)) for month in range(1, 13)]
    distances = [(f"{each:g} m", each) for each in meters]
    shares = [(f"{100 * each:.0f} %", each) for each in clouds]
    controls = [
        slider(library, "widget.month", months, value=float(round(start.month or 7)), **waits),
        slider(
            library,
            "widget.meters",
            distances,
            value=_nearest(meters, start.meters_per_pixel),
            **waits,
        ),
        slider(library, "widget.cloud", shares, value=_nearest(clouds, start.cloud_share), **waits),
    ]

    def figure(month: float, meters_per_pixel: float, cloud_share: float) -> Any:
        told = {"month": month, "meters_per_pixel": meters_per_pixel, "cloud_share": cloud_share}
        words = {"meters": f"{meters_per_pixel:g}", "cloud": f"{100 * cloud_share:.0f}"}
        title = text("widget.told", month=f"{month:g}", **words)
        return show_images([draw(replace(start, **told))], caption=title)

    return view(library, controls, figure, dpi=2 * _DPI)


def _nearest(values: Sequence[float], wanted: float | None) -> float:
    """Choose the value on a slider that is nearest to one, or the first."""
    return values[0] if wanted is None else min(values, key=lambda value: abs(value - wanted))
