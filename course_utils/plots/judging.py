"""Who says what of drawn images: judges beside each other, and drawings beside real images."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from course_utils.plots.grid import Cell, image_grid
from course_utils.plots.measured import draw_estimates
from course_utils.plots.style import (
    MAX_WIDTH,
    SOURCE_COLORS,
    Pictures,
    check_counts,
    check_rows,
    finish,
    group_by,
    make_axes,
    name_rows,
    plain,
    say,
    short_class_name,
    tidy,
)

_VALUE = ("value", "low", "high")
_SIGNS = 15  # of a class name above an image
_IMAGES = {"synthetic": ("s", -0.13), "real": ("o", 0.13)}  # mark, and where it lies in its row


def plot_judges(rows: Sequence[Mapping], *, caption: str = "") -> Figure:
    """Draw what each judge says of drawn and of real images, a panel a judge, a row a set.

    Args:
        rows: with ``judge`` (its name and what it measures), ``about`` (which images), ``images``
            ("synthetic" or "real"), and ``value``, ``low`` and ``high`` as shares.
        caption: said above.

    Raises:
        ValueError: no rows, one without a needed entry, a value outside its interval or 0 … 1, or
            images that are neither synthetic nor real.
    """
    check_rows(rows, ("judge", "about", "images"), estimate=_VALUE, limits=(0, 1))
    if wrong := [row["images"] for row in rows if row["images"] not in _IMAGES]:
        raise ValueError(f"images: expected synthetic or real, got {wrong[0]!r}")
    panels, sets = group_by(rows, "judge"), list(group_by(rows, "about"))
    size = (min(MAX_WIDTH, 4.2 * len(panels) + 3.4), 0.62 * len(sets) + 1.5)
    fig, axes = make_axes(1, len(panels), size, caption=caption, sharey=True)
    for ax, (judge, some) in zip(axes[0], panels.items(), strict=True):
        for images, (marker, shift) in _IMAGES.items():
            own = [row for row in some if row["images"] == images]
            places = [sets.index(row["about"]) + shift for row in own]
            look = {"fmt": marker, "color": SOURCE_COLORS[images], "label": say(f"plot.{images}")}
            draw_estimates(ax, places, own, _VALUE, is_across=True, markersize=9, **look)
        ax.set_title(plain(judge), fontsize=12)
        ax.tick_params(labelsize=11)
        ax.tick_params(axis="y", length=0)
        tidy(ax, grid="x")
    name_rows(axes[0, 0], [plain(name) for name in sets])
    return finish(fig, caption, legend=axes[0, 0])


def show_confused(
    real: Pictures,
    drawn: Pictures,
    nearest: Pictures,
    *,
    asked: Sequence[str],
    found: Sequence[str],
    caption: str = "",
) -> Figure:
    """Show drawings between a real image of their class and the real image nearest to them.

    Args:
        real: for each drawing an image of the class that was asked for; uint8 (h, w, 3).
        drawn: the drawings.
        nearest: for each the real image that lies nearest in feature space.
        asked: the class that was asked for, said above.
        found: the class of the nearest real image, said below.
        caption: said above.

    Raises:
        ValueError: no drawings, not one of each for every drawing, or images that are not uint8.
    """
    check_counts(real=real, drawn=drawn, nearest=nearest, asked=asked, found=found)
    blue, orange = SOURCE_COLORS["real"], SOURCE_COLORS["synthetic"]
    above, below = ([short_class_name(name, _SIGNS) for name in names] for names in (asked, found))
    rows = [
        [Cell(image, name, color=blue) for image, name in zip(real, above, strict=True)],
        [Cell(image, color=orange) for image in drawn],
        [Cell(image, below=name, color=blue) for image, name in zip(nearest, below, strict=True)],
    ]
    names = [say(f"judge.{row}") for row in ("real_asked", "drawn", "nearest")]
    return image_grid(rows, cell=1.45, row_labels=names, caption=caption)
