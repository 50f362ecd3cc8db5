"""A gallery of augmentations: which one, how strong, and another draw."""

from collections.abc import Mapping, Sequence
from typing import Any

from course_utils.augment import Batch
from course_utils.lab import DIALS, apply_dial
from course_utils.plots import dial_title, show_batch
from course_utils.runtime import seeded
from course_utils.texts import text
from course_utils.widgets.shared import Note, load_ipywidgets, view

_NUM_SEEDS = 10
_FIRST = 2  # of a dial's strengths, so that the first picture shows something
_WIDE = {"style": {"description_width": "initial"}}


def augmentation_gallery(
    batch: Batch, *, class_names: Sequence[str] = (), caption: str = ""
) -> Any:
    """Turn the dial of an augmentation; a view on `plots.show_batch`.

    Args:
        batch: a few RGB images, with masks, polygons and targets if there are any.
        class_names: the classes of the targets.
        caption: said above, before the name of the augmentation.

    Returns:
        A widget: a list, a slider for the strength and one for the seed above the picture. Without
        ipywidgets, a `Note` that says so.

    Raises:
        ValueError: what cannot be shown, see `plots.show_batch`.
    """
    library = load_ipywidgets()
    if library is None:
        return Note(text("widget.missing"))
    names = library.Dropdown(
        options=[(text(f"augment.{name}"), name) for name in DIALS],
        value="rotation",
        description=text("widget.augmentation"),
        **_WIDE,
    )
    strengths = library.SelectionSlider(
        options=_options("rotation"), description=text("widget.strength"), **_WIDE
    )
    strengths.index = _FIRST
    seeds = library.SelectionSlider(
        options=[(str(seed), seed) for seed in range(_NUM_SEEDS)],
        description=text("widget.seed"),
        **_WIDE,
    )

    def choose(_: Mapping[str, Any]) -> None:
        strengths.options = _options(names.value)
        strengths.index = min(_FIRST, len(strengths.options) - 1)

    def draw(name: str, strength: float | int, seed: int) -> Any:
        if strength not in DIALS[name].strengths:  # of the augmentation that was shown before
            strength = DIALS[name].strengths[0]
        changed = apply_dial(batch, name, strength, generator=seeded(seed))
        title = dial_title(name, strength)
        words = f"{caption} · {title}" if caption else title
        return show_batch(changed, class_names=class_names, caption=words)

    names.observe(choose, names="value")
    return view(library, [names, strengths, seeds], draw)


def _options(name: str) -> list[tuple[str, float | int]]:
    """List the strengths of an augmentation with their units, the one without effect first."""
    dial = DIALS[name]
    return [(text(dial.unit, value=f"{x:g}"), x) for x in dial.strengths]
