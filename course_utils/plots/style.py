"""What all figures share: the palette, words that the font can draw, the frame, saving."""

import io
from collections.abc import Iterable, Mapping, Sequence, Sized
from functools import lru_cache
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import UInt8
from matplotlib import font_manager
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.container import Container
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.ticker import NullLocator

from course_utils import control
from course_utils.runtime import write_atomically
from course_utils.texts import catalog, text
from course_utils.xbd.labels import DamageLevel

Picture = UInt8[np.ndarray, "_h _w 3"]
Pictures = Sequence[Picture] | UInt8[np.ndarray, "_n _h _w 3"]
Number = float | int
Pair = tuple[Number, Number]
MAX_WIDTH = 12.0  # inches of a figure that fits a projector
LIVE_DPI = 120  # dots per inch in which notebooks show figures

# Okabe and Ito's palette, which color-blind readers can tell apart.
SOURCE_COLORS = {
    "real": "#0072B2",
    "synthetic": "#E69F00",
    "real+synthetic": "#009E73",
    "real+seen": "#CC79A7",
    "control": "#777777",
}
_BOTH = SOURCE_COLORS["real+synthetic"]
# Of each arm of the lab the color, which is that of its source, and a mark of its own.
ARM_STYLES = {
    "zero_shot": ("#000000", "*"),
    "real": (SOURCE_COLORS["real"], "o"),
    "synthetic": (SOURCE_COLORS["synthetic"], "s"),
    "real+synthetic": (_BOTH, "D"),
    "pooled": ("#00573F", "P"),
    "clip_filter": (_BOTH, "^"),
    "soft_target": (_BOTH, "v"),
    "real_filter": (_BOTH, "<"),
    "language": (_BOTH, ">"),
    "real_guidance": (_BOTH, "h"),
    "pre_disaster": (_BOTH, "H"),
    "adapted": (_BOTH, "p"),
    "retrieval": (SOURCE_COLORS["real+seen"], "d"),
    "augmented": ("#56B4E9", "X"),
    "more_real": (SOURCE_COLORS["real"], "8"),
    "shuffled": (SOURCE_COLORS["control"], (8, 1, 0)),
}
ARM_COLORS = {arm: color for arm, (color, _) in ARM_STYLES.items()} | {
    "real_duplicated": SOURCE_COLORS["control"]
}
# The same palette, for what is no source; every line has its own dashes or marks as well.
LINE_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P")
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
DISASTER_MARKERS = dict(zip(DISASTER_COLORS, "Xov^D>", strict=True))
SPLIT_COLORS = {"train": "#1B3A57", "tier3": "#5B84B1", "test": "#A9C4E0", "hold": "#E3E3E3"}
# One for each class of mini_earth.LAND_COVER: those in which a generator is told a map of it.
COVER_COLORS = tuple("#{:02X}{:02X}{:02X}".format(*color) for color in control.COVER_COLORS)
# Families of generative models: Okabe and Ito's palette, darkened for words.
FAMILY_STYLES = {
    "VAE": ("#0072B2", "o"),
    "GAN": ("#B34700", "s"),
    "flow": ("#2A7FAA", "^"),
    "autoregressive": ("#A5497B", "D"),
    "diffusion": ("#00795A", "o"),
    "latent diffusion": ("#004D3A", "s"),
    "flow matching": ("#996600", "^"),
    "remote sensing": ("#000000", "*"),
}
PROTOCOL_STYLES = {
    "ImageNet-1k only": ("#0072B2", "o"),
    "pretrained, then fine-tuned": ("#D55E00", "s"),
    "pretrained, then frozen": ("#CC79A7", "D"),
    "zero-shot": ("#009E73", "*"),
}
OTHER_STYLE = ("#666666", "P")
_FINE = 384  # pixels, at least, of a side that is drawn
INK = "#222222"  # lines and marks that stand for no source, level or class
GREY = "#767676"  # words that step back; still 4.5 : 1 on white
PALE, BAND = "#BBBBBB", "#F2F2F2"  # marks that step back, grounds


def line_style(index: int) -> dict[str, object]:
    """Give color, mark and widths of the line of that number."""
    color, marker = LINE_COLORS[index % len(LINE_COLORS)], MARKERS[index % len(MARKERS)]
    return {"color": color, "marker": marker, "markersize": 8, "linewidth": 2}


def free_style(index: int) -> dict[str, object]:
    """Give a line what `line_style` does, in colors that neither real nor synthetic images have."""
    return line_style((1, 5, 3)[index % 3])


def on_color(color: str) -> str:
    """Choose black or white words, whichever is read better on a color."""
    weights = np.array([0.2126, 0.7152, 0.0722])
    luminance = float(np.array(to_rgb(color)) ** 2.2 @ weights)
    return "#FFFFFF" if luminance < 0.3 else "#000000"


def enlarge(image: Picture) -> Picture:
    """Repeat the pixels of a small image, each as often as any other.

    What a screen then makes of it, in whatever size, has squares of one size: drawn as it is, some
    rows of pixels would be a third thicker than others.
    """
    factor = -(-_FINE // min(image.shape[:2]))
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def say(key: str, **values: object) -> str:
    """Give a text in the course's language, or in English if the font lacks its signs."""
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
    """Cut each line of a name to ``length`` signs, the last of them then an ellipsis."""
    lines = name.split("\n")
    cut = [line if len(line) <= length else line[: length - 1] + "…" for line in lines]
    return plain("\n".join(cut))


def short_class_name(name: str, length: int) -> str:
    """Name a class as `class_name` does, in at most ``length`` signs."""
    return shorten(say(f"disaster.{name}") if name in DISASTER_COLORS else name, length)


def plain(words: str) -> str:
    """Keep matplotlib from reading dollar signs in names as mathematics."""
    return words.replace("$", r"\$")


def make_axes(
    num_rows: int, num_columns: int, size: Pair, *, caption: str = "", **options: object
) -> tuple[Figure, np.ndarray]:
    """Make rows and columns of axes, of a size in inches and more for the caption of `finish`."""
    figsize = (size[0], size[1] + head_inches(caption))
    return plt.subplots(
        num_rows, num_columns, figsize=figsize, squeeze=False, layout="constrained", **options
    )


def make_ax(width: Number, height: Number, caption: str = "") -> tuple[Figure, Axes]:
    """Make a figure with one axes; see `make_axes`."""
    fig, axes = make_axes(1, 1, (width, height), caption=caption)
    return fig, axes[0, 0]


def head_inches(caption: str) -> float:
    """Say how much room a caption takes."""
    return 0.3 * (caption.count("\n") + 1) if caption else 0.0


def tidy(ax: Axes, x: str | None = None, y: str | None = None, *, grid: str = "both") -> None:
    """Name the axes, and give them a faint grid and no frame above and at the right."""
    if x is not None:
        ax.set_xlabel(x, fontsize=12)
    if y is not None:
        ax.set_ylabel(y, fontsize=12)
    ax.grid(axis=grid, alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)


def name_rows(ax: Axes, names: Sequence[str]) -> None:
    """Name the rows of an axis that runs down, at 0, 1, 2 and so on."""
    ax.set_yticks(range(len(names)), names, fontsize=11)
    ax.set_ylim(len(names) - 0.45, -0.55)


def name_counts(ax: Axes, counts: Iterable[Number]) -> None:
    """Write counts along a logarithmic axis, as many as have room."""
    ordered, shown = sorted(counts), []
    least = 0.05 * np.log(ordered[-1] / ordered[0])
    for count in ordered:
        if not shown or np.log(count / shown[-1]) > least:
            shown.append(count)
    ax.set_xscale("log")
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticks(shown, [f"{count:,g}" for count in shown])


def remark(ax: Axes, words: str, point: tuple, shift: Pair, **style: object) -> None:
    """Write words beside a point, shifted by some points of the print."""
    style = {"va": "center", "fontsize": 10} | style
    ax.annotate(words, point, shift, textcoords="offset points", **style)


def finish(
    fig: Figure,
    caption: str = "",
    *,
    legend: Axes | Sequence[Artist | Container] = (),
    ncols: int = 4,
) -> Figure:
    """Write the caption above a figure and close it: the caller shows it, once.

    The legend, lines and marks or the axes that hold them, is named below all axes.
    """
    if caption:
        fig.suptitle(plain(caption), fontsize=11)
    handles = legend.get_legend_handles_labels()[0] if isinstance(legend, Axes) else legend
    if handles:
        style = {"loc": "outside lower center", "frameon": False, "fontsize": 11}
        fig.legend(handles=handles, ncols=ncols, **style)
    plt.close(fig)
    fig.set_dpi(LIVE_DPI)  # after closing, which puts back what it was
    return fig


def group_by(rows: Iterable[Mapping], *keys: str) -> dict:
    """Sort rows by an entry, or by several, in the order in which their values first appear."""
    groups: dict[object, list[Mapping]] = {}
    for row in rows:
        values = tuple(row[key] for key in keys)
        groups.setdefault(values if len(keys) > 1 else values[0], []).append(row)
    return groups


def check_rows(
    rows: Sequence[Mapping],
    needed: Sequence[str],
    *,
    estimate: Sequence[str] = (),
    limits: Pair = (-np.inf, np.inf),
    of: str = "rows",
) -> None:
    """Check that there are rows, and that each has what a figure needs.

    An estimate is the name of a value and of both ends of its interval; limits are those of the
    value; the message says of whose rows it speaks.

    Raises:
        ValueError: there are none, one lacks an entry, or a value is outside interval or limits.
    """
    if not rows:
        raise ValueError(f"{of}: no rows to show; see data/published and data/measured")
    for row in rows:
        if missing := [key for key in (*needed, *estimate) if key not in row]:
            raise ValueError(f"{of}: a row lacks {', '.join(missing)}; it has {', '.join(row)}")
        if not estimate:
            continue
        name, lower, upper = estimate
        if not (row[lower] <= row[name] <= row[upper] and np.isfinite(row[name])):
            raise ValueError(f"{of}: expected {lower} <= {name} <= {upper}, got {dict(row)}")
        if not limits[0] <= row[name] <= limits[1]:
            least, most = limits
            raise ValueError(f"{of}: expected {name} in {least:g} … {most:g}, got {row[name]}")


def check_counts(**lists: Sized) -> None:
    """Check that there are equally many of each, and not none.

    Raises:
        ValueError: there are not.
    """
    counts = {len(some) for some in lists.values()}
    if len(counts) != 1 or 0 in counts:
        found = ", ".join(f"{len(some)} {name}" for name, some in lists.items())
        raise ValueError(f"expected one of each for every item, and an item or more, got {found}")


def refuse_unless_pictures(images: Pictures) -> None:
    """Check that arrays are uint8 (h, w, 3) with pixels.

    Raises:
        ValueError: one is not, or is no array, such as a PIL image.
    """
    for image in images:
        if not hasattr(image, "dtype"):
            raise ValueError(
                f"images must be arrays, uint8 of shape (height, width, 3), got "
                f"{type(image).__name__}; np.asarray makes one of a PIL image"
            )
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
