"""What all figures share: colors, words that the font can draw, saving."""

import io
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import font_manager
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font

from course_utils.runtime import write_atomically
from course_utils.texts import catalog, text
from course_utils.xbd.labels import DamageLevel

# Okabe and Ito's palette, which color-blind readers can tell apart.
SOURCE_COLORS = {
    "real": "#0072B2",
    "synthetic": "#E69F00",
    "real+synthetic": "#009E73",
    "real+seen": "#CC79A7",
    "control": "#777777",
}
# Light to dark with the damage, so that the order survives a grey print; a test simulates three
# kinds of color blindness. Un-classified is no level between the others, hence no color.
DAMAGE_COLORS = {
    DamageLevel.NO_DAMAGE: "#88CCEE",
    DamageLevel.MINOR: "#F0E442",
    DamageLevel.MAJOR: "#D55E00",
    DamageLevel.DESTROYED: "#7A0177",
    DamageLevel.UNCLASSIFIED: "#BBBBBB",
}
UNGRADED_COLOR = "#FFFFFF"  # a building before the disaster
# After Paul Tol's muted palette; every class has its own mark as well.
DISASTER_COLORS = {
    "earthquake": "#DDCC77",
    "flooding": "#6699CC",
    "tsunami": "#332288",
    "volcano": "#882255",
    "wildfire": "#EE7766",
    "wind": "#117733",
}
DISASTER_MARKERS = {
    "earthquake": "X",
    "flooding": "o",
    "tsunami": "v",
    "volcano": "^",
    "wildfire": "D",
    "wind": ">",
}
SPLIT_COLORS = {"train": "#1B3A57", "tier3": "#5B84B1", "test": "#A9C4E0", "hold": "#E3E3E3"}
INK = "#222222"  # lines and marks that stand for no source, level or class


def say(key: str, **values: object) -> str:
    """Give a string of the course in its language, or in English if the font lacks its signs.

    Args:
        key: a key of ``data/texts.json``.
        values: what to put into the braces of the string.

    Raises:
        KeyError: see `texts.text`.
        ValueError: ``COURSE_LANG`` is no language of the course.
    """
    words = text(key, **values)
    families = tuple(plt.rcParams["font.family"])
    if set(map(ord, words)) - {ord("\n")} <= _drawable(families):
        return words
    return catalog()[key]["en"].format(**values)


@lru_cache(maxsize=8)
def _drawable(families: tuple[str, ...]) -> frozenset[int]:
    """List the code points that matplotlib finds in its fonts, in the order it looks."""
    found: set[int] = set()
    for family in families:
        properties = font_manager.FontProperties(family=[family])
        found |= FT2Font(font_manager.findfont(properties)).get_charmap().keys()
    return frozenset(found)


def level_name(level: DamageLevel) -> str:
    """Name a damage level, "minor damage"."""
    return say(f"damage.{level.name.lower()}")


def class_name(name: str) -> str:
    """Name a disaster class in the course's language; other words stay as they are."""
    return say(f"disaster.{name}") if name in DISASTER_COLORS else plain(name)


def shorten(name: str, length: int) -> str:
    """Cut a name to ``length`` signs, the last of them then an ellipsis."""
    return plain(name if len(name) <= length else name[: length - 1] + "…")


def plain(words: str) -> str:
    """Keep matplotlib from reading dollar signs in names as mathematics."""
    return words.replace("$", r"\$")


def on_color(color: str) -> str:
    """Choose black or white words, whichever is read better on a color."""
    weights = np.array([0.2126, 0.7152, 0.0722])
    luminance = float(np.array(to_rgb(color)) ** 2.2 @ weights)
    return "#FFFFFF" if luminance < 0.3 else "#000000"


def finish(fig: Figure, caption: str = "") -> Figure:
    """Write the caption above a figure and close it: the caller shows it, once."""
    if caption:
        fig.suptitle(plain(caption), fontsize=11)
    plt.close(fig)
    return fig


def refuse_unless_pictures(images: Sequence[np.ndarray]) -> None:
    """Check that arrays are uint8 (h, w, 3) with pixels.

    Raises:
        ValueError: one is not.
    """
    for image in images:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise ValueError(
                f"images must be uint8 of shape (height, width, 3), got {image.dtype} of shape "
                f"{image.shape}; convert them with course_utils.images"
            )


def figure_bytes(fig: Figure, *, dpi: int = 160, file_format: str = "png") -> bytes:
    """Encode a figure as a picture; 160 dots per inch suit a projector.

    Args:
        fig: any figure, also a closed one.
        dpi: dots per inch.
        file_format: "png" loses nothing, "jpeg" is several times smaller for images.

    Raises:
        ValueError: another format.
    """
    if file_format not in ("png", "jpeg"):
        raise ValueError(f'expected the format "png" or "jpeg", got {file_format!r}')
    buffer = io.BytesIO()
    fig.savefig(buffer, format=file_format, dpi=dpi)
    return buffer.getvalue()


def save_figure(fig: Figure, path: Path) -> Path:
    """Write a figure as PNG for a projector (160 dots per inch), whole or not at all.

    Raises:
        OSError: when the disk is full or read-only; says what to do.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, figure_bytes(fig))
    return path
