"""What a strategy changed: images kept and dropped, images before and after."""

from collections.abc import Collection, Sequence

import numpy as np
from matplotlib.figure import Figure

from course_utils.plots.grid import Cell, image_grid, wrap_cells
from course_utils.plots.style import (
    SOURCE_COLORS,
    Pictures,
    check_counts,
    plain,
    say,
    shorten,
)

_COLUMNS = 10


def show_kept(
    images: Pictures,
    confidences: Sequence[float],
    kept: Collection[int],
    *,
    titles: Sequence[str] | None = None,
    most: int = 20,
    caption: str = "",
) -> Figure:
    """Show what a filter keeps above what it drops, the most confident first, with its number.

    Args:
        images: synthetic, uint8 (h, w, 3).
        confidences: by which the filter went, one an image: the probability of the own class, or
            the lead over the best other class.
        kept: which of the images it keeps (`strategies.clip_filter`, `strategies.real_filter`).
        titles: the class of each.
        most: how many of either are shown at most, evenly from the most to the least confident.
        caption: said above.

    Raises:
        ValueError: no images, not one confidence and title an image, a confidence that is no
            number, or images that are not uint8.
    """
    titles = [""] * len(images) if titles is None else titles
    check_counts(images=images, confidences=confidences, titles=titles)
    numbers = np.asarray(confidences, dtype=float)
    if not np.isfinite(numbers).all():
        raise ValueError(f"confidences must be finite numbers, got {list(numbers)}")
    chosen, rows, labels = set(map(int, kept)), [], []
    for key, is_kept in (("plot.filter_kept", True), ("plot.filter_dropped", False)):
        ranked = [int(i) for i in np.argsort(-numbers, kind="stable") if (i in chosen) == is_kept]
        if not ranked:
            continue
        shown = np.unique(
            np.linspace(0, len(ranked) - 1, min(most, len(ranked))).round().astype(int)
        )
        color = SOURCE_COLORS["synthetic" if is_kept else "control"]
        cells = [
            Cell(images[i], shorten(titles[i], 13), f"{numbers[i].round(2) + 0.0:.2f}", color)
            for i in (ranked[place] for place in shown)
        ]
        blocks = wrap_cells(cells, _COLUMNS)
        rows += blocks
        labels += [say(key, num=len(ranked), total=len(images)), *[""] * (len(blocks) - 1)]
    return image_grid(rows, cell=0.95, row_labels=labels, caption=caption, fontsize=8)


def show_before_after(
    before: Pictures,
    after: Pictures,
    *,
    row_labels: tuple[str, str],
    titles: Sequence[str] | None = None,
    caption: str = "",
) -> Figure:
    """Show pairs, the first of each above the second: a shot and what was drawn from it, say.

    Args:
        before: uint8 (h, w, 3); sizes may differ.
        after: one for each.
        row_labels: what the two are.
        titles: of each pair.
        caption: said above.

    Raises:
        ValueError: no pairs, not one image and title for each, or images that are not uint8.
    """
    titles = [""] * len(before) if titles is None else titles
    check_counts(before=before, after=after, titles=titles)
    above = [Cell(image, shorten(name, 13)) for image, name in zip(before, titles, strict=True)]
    under = [Cell(image) for image in after]
    blocks = zip(wrap_cells(above, _COLUMNS), wrap_cells(under, _COLUMNS), strict=True)
    rows = [row for block in blocks for row in block]
    labels = [plain(label) for label in row_labels] * (len(rows) // 2)
    return image_grid(rows, cell=1.0, row_labels=labels, caption=caption, fontsize=9)
