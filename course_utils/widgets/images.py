"""Look at images: augmented ones, ones with sentences, a place before and after, one by one."""

import html
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import UInt8

from course_utils.augment import Batch
from course_utils.examples import CaptionedImage
from course_utils.lab import DIALS, apply_dial
from course_utils.plots import (
    dial_title,
    figure_bytes,
    show_batch,
    show_captions,
    show_images,
    show_swipe,
)
from course_utils.plots.style import refuse_unless_pictures
from course_utils.runtime import seeded
from course_utils.texts import text
from course_utils.widgets.shared import (
    Note,
    Options,
    dropdown,
    load_ipywidgets,
    reason,
    show,
    slider,
    view,
    wrapped,
)
from course_utils.xbd.labels import Building

Picture = UInt8[np.ndarray, "_h _w 3"]
Pictures = Sequence[Picture] | UInt8[np.ndarray, "_n _h _w 3"]
Loader = Callable[[], tuple[Picture, Picture, Sequence[Building]]]
SWIPE_SIZE, SWIPE_DPI = 512, 80  # pixels of the drawn images, dots per inch: a move has to be quick
SLIDE_DPI, CAPTION_DPI = 260, 110
NUM_SEEDS = 10
FIRST = 2  # of a dial's strengths, so that the first picture shows something
ANY = "\0"  # no part or class is called so; ipywidgets keeps None for itself


def augmentation_gallery(batch: Batch, *, class_names: Sequence[str] = ()) -> Any:
    """Turn the dial of an augmentation; a view on `plots.show_batch`.

    Args:
        batch: a few RGB images, with masks, polygons and targets if there are any.
        class_names: the classes of the targets.

    Raises:
        ValueError: what cannot be shown, see `plots.show_batch`.
    """
    if (library := load_ipywidgets()) is None:
        return Note(text("widget.missing"))

    def strengths_of(name: str) -> Options:
        return [(text(DIALS[name].unit, value=f"{x:g}"), x) for x in DIALS[name].strengths]

    every = [(text(f"augment.{name}"), name) for name in DIALS]
    names = dropdown(library, "widget.augmentation", every, value="rotation")
    strengths = slider(library, "widget.strength", strengths_of("rotation"))
    strengths.index = FIRST
    seeds = slider(library, "widget.seed", [(str(seed), seed) for seed in range(NUM_SEEDS)])

    def choose(_: Mapping[str, Any]) -> None:
        strengths.options = strengths_of(names.value)
        strengths.index = min(FIRST, len(strengths.options) - 1)

    def draw(name: str, strength: float | int, seed: int) -> Any:
        if strength not in DIALS[name].strengths:  # of the augmentation that was shown before
            strength = DIALS[name].strengths[0]
        changed = apply_dial(batch, name, strength, generator=seeded(seed))
        return show_batch(changed, class_names=class_names, caption=dial_title(name, strength))

    names.observe(choose, names="value")
    return view(library, [names, strengths, seeds], draw)


def caption_browser(images: Sequence[CaptionedImage], *, caption: str = "") -> Any:
    """Browse captioned images; a view on `plots.show_captions`.

    The images of one part, one class or with one word can be chosen, as far as the set tells these
    apart. An image is read when it is shown; one that cannot be read says why in its place.

    Args:
        images: from `examples.read_captions`, or of your own.
        caption: said above.

    Raises:
        ValueError: no images.
    """
    if not len(images):
        raise ValueError("no captioned images to browse")
    if (library := load_ipywidgets()) is None:
        return Note(text("widget.missing"))
    choices = _choices(library, images)
    place = library.IntSlider(value=1, min=1, max=1, description=text("widget.image"))
    message, picture = library.HTML(), library.Image(format="png")
    found: list[int] = []

    @cache
    def draw(index: int) -> bytes:
        return figure_bytes(show_captions([images[index]]), dpi=CAPTION_DPI)

    def turn(_: Mapping[str, Any] | None = None) -> None:
        if not found:
            message.value, picture.layout.display = text("widget.none_found"), "none"
            return
        number = text("widget.place", number=place.value, total=f"{len(found):,}")
        show(
            lambda: (draw(found[place.value - 1]), number),
            message,
            picture,
            failed=lambda error: text("widget.unreadable", name=number, error=error),
        )

    def choose(_: Mapping[str, Any] | None = None) -> None:
        found[:] = _found(images, {name: control.value for name, control in choices.items()})
        place.unobserve(turn, names="value")  # or an image between would be drawn
        place.value, place.max = 1, max(len(found), 1)
        place.observe(turn, names="value")
        place.disabled = len(found) < 2
        turn()

    choose()
    for control in choices.values():
        control.observe(choose, names="value")
    row = wrapped(library, [*choices.values(), place])
    return library.VBox([library.HTML(html.escape(caption)), row, message, picture])


def _choices(library: ModuleType, images: Sequence[CaptionedImage]) -> dict[str, Any]:
    """Make a list for everything that differs between images, and a line for a word."""
    choices = {}
    for name, key in (("split", "widget.split"), ("class_name", "widget.class")):
        values = dict.fromkeys(getattr(image, name) for image in images)
        if len(values) > 1:
            options = [(text("widget.any"), ANY), *((value or "-", value) for value in values)]
            choices[name] = dropdown(library, key, options)
    word = library.Text(continuous_update=False, description=text("widget.search"))
    return {**choices, "word": word}


def _found(images: Sequence[CaptionedImage], chosen: Mapping[str, str]) -> list[int]:
    """List the images that fit everything chosen, by their place among all."""
    word = chosen["word"].strip().lower()
    fixed = {name: value for name, value in chosen.items() if name != "word" and value != ANY}
    return [
        index
        for index, image in enumerate(images)
        if all(getattr(image, name) == value for name, value in fixed.items())
        and (not word or any(word in caption.lower() for caption in image.captions))
    ]


def swipe(
    pre: Picture, post: Picture, *, buildings: Sequence[Building] = (), caption: str = ""
) -> Any:
    """Slide a line between the images before and after; a view on `plots.show_swipe`.

    Args:
        pre: uint8 (h, w, 3), before the disaster.
        post: uint8 (h, w, 3), after it, of the same size.
        buildings: polygons in pixels of ``post``, outlined in damage colors right of the line.
        caption: said above.

    Raises:
        ValueError: other images than uint8 (h, w, 3), or two sizes.
    """
    if (library := load_ipywidgets()) is None:
        return Note(text("widget.missing"))
    places = [(f"{percent}%", percent / 100) for percent in range(0, 101, 5)]

    def draw(position: float) -> Any:
        options = {"buildings": buildings, "caption": caption, "max_size": SWIPE_SIZE}
        return show_swipe(pre, post, position=position, **options)

    line = slider(library, "widget.position", places, value=0.5)
    return view(library, [line], draw, dpi=SWIPE_DPI, file_format="jpeg")


def choose_pair(pairs: Mapping[str, Loader]) -> Any:
    """Choose a pair of images by name and slide between them.

    A pair is loaded when it is chosen. One that cannot be loaded shows the reason in its place.

    Args:
        pairs: functions by name; each gives the image before, the image after, and the buildings
            after.

    Raises:
        ValueError: no pairs.
    """
    if not pairs:
        raise ValueError("no pairs to choose from")
    if (library := load_ipywidgets()) is None:
        return Note(text("widget.missing"))

    def load(name: str) -> Any:
        try:
            pre, post, buildings = pairs[name]()
            return swipe(pre, post, buildings=buildings, caption=name)
        except Exception as error:  # nobody reads one in a callback
            said = text("widget.unreadable", name=name, error=reason(error))
            return library.HTML(html.escape(said))

    names = library.Dropdown(options=list(pairs), description=text("widget.pair"))
    box = library.VBox([names, load(names.value)])

    def change(_: Mapping[str, Any]) -> None:
        old = box.children[1]
        box.children = (names, load(names.value))
        _close(old)

    names.observe(change, names="value")
    return box


def _close(widget: Any) -> None:
    """Forget a widget and all that is in it."""
    for child in getattr(widget, "children", ()):
        _close(child)
    widget.close()


def slide_images(images: Pictures, labels: Sequence[str], *, caption: str = "") -> Any:
    """Slide through images, such as the steps of a drawing; a view on `plots.show_images`.

    Args:
        images: uint8 (h, w, 3), in the order of the slider.
        labels: one for each, said beside the slider and above the image.
        caption: said above the slider.

    Raises:
        ValueError: no images, another number of labels, or images that are not uint8 (h, w, 3).
    """
    if not len(images) == len(labels) > 0:
        raise ValueError(f"{len(images)} images but {len(labels)} labels")
    refuse_unless_pictures(list(images))
    if (library := load_ipywidgets()) is None:
        return Note(text("widget.missing"))

    def draw(index: int) -> Any:
        return show_images([images[index]], titles=[labels[index]])

    place = slider(library, "widget.image", [(label, i) for i, label in enumerate(labels)])
    return view(library, [place], draw, caption=caption, dpi=SLIDE_DPI)
