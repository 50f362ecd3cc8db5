"""What a network sees and says: heat over an image, hidden patches, scores, tables of results."""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Bool, Float, Int
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from course_utils.plots.grid import Cell, draw_image, image_grid, show_grid, wrap_cells
from course_utils.plots.style import (
    INK,
    LINE_COLORS,
    MAX_WIDTH,
    PALE,
    Picture,
    Pictures,
    check_counts,
    check_rows,
    class_name,
    finish,
    make_ax,
    make_axes,
    name_rows,
    on_color,
    plain,
    refuse_unless_pictures,
    say,
    shorten,
    tidy,
)

_HIDDEN = 225  # the grey of a hidden patch, lighter than most land


def show_heatmaps(
    images: Pictures,
    heatmaps: Sequence[Float[np.ndarray, "_h _w"]],
    *,
    titles: Sequence[str] | None = None,
    unit: str = "",
    num_columns: int = 6,
    caption: str = "",
) -> Figure:
    """Show a heat map over each image: attention of a class token, or a receptive field.

    Each map is divided by its largest value and enlarged to its image, so that maps are compared
    by where they are high, not by how high.

    Args:
        images: uint8 (h, w, 3).
        heatmaps: one for each image, 0 or more, of any resolution.
        titles: one for each image.
        unit: what the heat is; "relative to the largest value of each map" is said after it.
        num_columns: images beside each other; more go below.
        caption: said above.

    Raises:
        ValueError: no images, not one map (and title) for each, images that are not uint8, or a
            map with values below 0, not finite, or all 0.
    """
    titles = [""] * len(images) if titles is None else titles
    check_counts(images=images, maps=heatmaps, titles=titles)
    for heat in heatmaps:
        if not np.isfinite(heat).all() or heat.min() < 0 or heat.max() == 0:
            raise ValueError("heat maps must be finite, 0 or more, and not all 0")
    cell = min(2.6, MAX_WIDTH / min(num_columns, len(images)))
    names = [plain(textwrap.fill(title, max(8, int(cell / 0.1)))) for title in titles]
    shares = [heat / heat.max() for heat in heatmaps]
    cells = [Cell(i, t, heat=h) for i, t, h in zip(images, names, shares, strict=True)]
    words = {"heat_words": plain(f"{unit} · " if unit else "") + say("plot.heat")}
    rows = wrap_cells(cells, num_columns)
    return image_grid(rows, cell=cell, fontsize=12, caption=caption, **words)


def show_attention(
    image: Picture,
    words: Sequence[str],
    maps: Float[np.ndarray, "words h w"],
    *,
    relative: bool = False,
    resolution: tuple[int, int] | None = None,
    caption: str = "",
) -> Figure:
    """Show for each word how much of the attention every pixel gave it, over the image in grey.

    All words share one color scale, so that they can be compared. In shares, filler words often
    take most; relative to a word's own mean it is seen where the word was looked up.

    Args:
        image: uint8 (h, w, 3), what was drawn.
        words: the names of the maps.
        maps: shares of the attention at image size, 0 … 1.
        relative: divide each map by its mean.
        resolution: height and width of the maps before they were enlarged, to be said below.
        caption: said above.

    Raises:
        ValueError: no words, not one map a word, maps of another size than the image, or shares
            outside 0 … 1.
    """
    refuse_unless_pictures([image])
    if not len(words) or maps.shape != (len(words), *image.shape[:2]):
        raise ValueError(
            f"expected {len(words)} maps of {image.shape[:2]}, one a word, got shape {maps.shape}"
        )
    if not ((maps >= 0) & (maps <= 1)).all() or (relative and not maps.any((1, 2)).all()):
        raise ValueError("maps must be shares of the attention, 0 … 1, and a word's not all 0")
    values = maps / maps.mean((1, 2), keepdims=True) if relative else 100 * maps
    unit = say("plot.attention_relative" if relative else "plot.attention")
    if resolution is not None:
        unit += say("plot.attention_resolution", height=resolution[0], width=resolution[1])
    titles = [say("plot.word", word=plain(word)) for word in words]
    heats = [Cell(image, title, heat=heat) for title, heat in zip(titles, values, strict=True)]
    num_columns = min(7, len(words) + 1)
    rows = wrap_cells([Cell(image, say("plot.drawn")), *heats], num_columns)
    style = {"cell": min(2.0, MAX_WIDTH / num_columns), "fontsize": 12, "caption": caption}
    limits = (float(values.min()), float(values.max()))
    return image_grid(rows, heat_words=unit, heat_limits=limits, **style)


def show_masked(
    originals: Pictures,
    masks: Sequence[Bool[np.ndarray, "_h _w"]],
    reconstructions: Pictures,
    *,
    titles: Sequence[str] | None = None,
    caption: str = "",
) -> Figure:
    """Show what a masked autoencoder sees and what it paints, a column an image.

    Args:
        originals: uint8 (h, w, 3).
        masks: true where a pixel is hidden from the encoder, (h, w).
        reconstructions: what the decoder paints, everywhere; uint8 (h, w, 3).
        titles: one for each image; the hidden share by default.
        caption: said above.

    Raises:
        ValueError: no images, not one of each for every image, images that are not uint8, or a
            mask or a reconstruction of another size than its image.
    """
    check_counts(images=originals, masks=masks, reconstructions=reconstructions)
    triples = list(zip(originals, masks, reconstructions, strict=True))
    for image, mask, painted in triples:
        if mask.dtype != bool or mask.shape != image.shape[:2] or painted.shape != image.shape:
            raise ValueError(
                f"expected a bool mask and a reconstruction of {image.shape[:2]}, got "
                f"{mask.dtype} {mask.shape} and {painted.shape[:2]}"
            )
    seen = [np.where(m[..., None], np.uint8(_HIDDEN), image) for image, m, _ in triples]
    both = [np.where(m[..., None], painted, image) for image, m, painted in triples]
    if titles is None:
        titles = [say("masked.hidden", share=f"{100 * mask.mean():.0f}") for mask in masks]
    names = [say(f"masked.{row}") for row in ("original", "seen", "painted", "both")]
    rows = [originals, seen, reconstructions, both]
    return show_grid(rows, row_labels=names, column_labels=titles, caption=caption)


def confusion_figure(
    confusion: Int[np.ndarray, "k k"],
    class_names: Sequence[str],
    *,
    down: str = "",
    across: str = "",
    caption: str = "",
) -> Figure:
    """Show a confusion matrix: the share of each true class that got each answer, and the number.

    Every row adds up to 100 %, so that rare classes are read as well as frequent ones.

    Args:
        confusion: counts, rows true, columns predicted.
        class_names: in the order of the rows.
        down: what the rows are; the truth, if nothing is said.
        across: what the columns are; the answer.
        caption: said above.

    Raises:
        ValueError: another number of names than rows, or a negative count.
    """
    if len(class_names) != len(confusion) or (confusion < 0).any():
        raise ValueError(
            f"expected counts of 0 or more and {len(confusion)} class names, got {len(class_names)}"
        )
    totals = confusion.sum(axis=1)
    shares = 100 * confusion / np.maximum(totals, 1)[:, None]
    size = len(confusion) * min(1.15, 7.6 / len(confusion))
    fig, ax = make_ax(size + 3.6, size + 1.1, caption)
    names = [class_name(name) for name in class_names]
    rows = [f"{name}\nn = {total:,}" for name, total in zip(names, totals, strict=True)]
    table = draw_table(ax, shares, names, rows, cmap="Blues", vmin=0, vmax=100)
    for (y, x), share in np.ndenumerate(shares):
        write_into(table, (x, y), f"{share:.0f} %" if totals[y] else "–", lift=0.06, fontsize=12)
        write_into(table, (x, y), f"{confusion[y, x]:,}", lift=-0.27, fontsize=10)
    ax.set_aspect("equal")
    ax.tick_params(axis="x", rotation=30)
    plt.setp(ax.get_xticklabels(), ha="right", rotation_mode="anchor")
    ax.set_xlabel(plain(across) or say("plot.predicted"), fontsize=12)
    ax.set_ylabel(plain(down) or say("plot.true"), fontsize=12)
    return finish(fig, caption)


def draw_table(
    ax: Axes, values: np.ndarray, across: Sequence[str], down: Sequence[str], **colors: object
) -> AxesImage:
    """Draw a table of colors with the names of its columns and rows."""
    ax.set_xticks(range(len(across)), across)
    ax.set_yticks(range(len(down)), down)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax.imshow(values, aspect="auto", **colors)


def write_into(
    table: AxesImage, place: tuple[int, int], words: str, *, lift: float = 0.0, **style: object
) -> None:
    """Write into column and row of a table, in black or white, above the middle by a lift."""
    x, y = place
    color = on_color(to_hex(table.to_rgba(table.get_array()[y, x])))
    table.axes.text(x, y - lift, words, ha="center", va="center", color=color, **style)


def plot_gain_table(rows: Sequence[Mapping], *, caption: str = "") -> Figure:
    """Lay out gains over real-only: families down, real images a class across.

    A gain whose interval leaves out zero is bold and framed; of the others this experiment cannot
    tell whether they are gains.

    Args:
        rows: with ``family``, ``per_class``, and ``gain``, ``gain_low``, ``gain_high`` as shares.
        caption: said above.

    Raises:
        ValueError: no rows, a gain outside its interval, or two rows for one place.
    """
    estimate = ("gain", "gain_low", "gain_high")
    check_rows(rows, ("family", "per_class"), estimate=estimate, limits=(-1, 1))
    families = list(dict.fromkeys(row["family"] for row in rows))
    amounts = sorted({row["per_class"] for row in rows})
    grid = np.full((len(families), len(amounts)), np.nan)
    places = [(amounts.index(row["per_class"]), families.index(row["family"])) for row in rows]
    for (x, y), row in zip(places, rows, strict=True):
        if not np.isnan(grid[y, x]):
            raise ValueError(f"two rows for {row['family']} at {row['per_class']} a class")
        grid[y, x] = 100 * row["gain"]
    fig, ax = make_ax(1.0 * len(amounts) + 3.4, 0.4 * len(families) + 1.4, caption)
    most = max(1.0, float(np.nanmax(np.abs(grid))))
    names = list(map(str, amounts)), list(map(family_name, families))
    table = draw_table(ax, grid, *names, cmap="PuOr", vmin=-most, vmax=most)
    for (x, y), row in zip(places, rows, strict=True):
        is_told = row["gain_low"] > 0 or row["gain_high"] < 0
        words = f"{round(grid[y, x], 1) + 0.0:+.1f}"  # never a negative zero
        write_into(table, (x, y), words, fontsize=11, weight="bold" if is_told else "normal")
        if is_told:
            frame = {"fill": False, "edgecolor": INK, "linewidth": 1.6}
            ax.add_patch(plt.Rectangle((x - 0.46, y - 0.44), 0.92, 0.88, **frame))
    ax.tick_params(labelsize=11)
    ax.set_xlabel(say("plot.real_per_class"), fontsize=11)
    return finish(fig, caption)


def family_name(name: str) -> str:
    """Name a family of augmentations or a control in the course's language."""
    return say(f"family.{name}")


def plot_augreg(rows: Sequence[Mapping], *, caption: str = "") -> Figure:
    """Draw accuracy as heat maps: augmentation across, regularization down, a panel an amount.

    Args:
        rows: with ``per_class``, ``augmentation``, ``regularization``, ``accuracy``, ``low`` and
            ``high`` as shares; each panel and axis is in the order in which names first occur.
        caption: said above.

    Raises:
        ValueError: no rows, a place without a row, or an accuracy outside its interval.
    """
    keys = ("per_class", "augmentation", "regularization")
    check_rows(rows, keys, estimate=("accuracy", "low", "high"), limits=(0, 1))
    amounts, across, down = (list(dict.fromkeys(row[key] for row in rows)) for key in keys)
    places = {tuple(row[key] for key in keys): row for row in rows}
    if len(places) != len(amounts) * len(across) * len(down):
        raise ValueError(f"{len(places)} rows for {len(amounts)} x {len(across)} x {len(down)}")
    size = (3.4 * len(amounts) + 1.6, 0.9 * len(down) + 1.4)
    fig, axes = make_axes(1, len(amounts), size, caption=caption)
    means = [100 * row["accuracy"] for row in rows]
    colors = {"cmap": "cividis", "vmin": min(means), "vmax": max(means)}
    names = [[say(f"amount.{name}") for name in some] for some in (across, down)]
    for ax, amount in zip(axes[0], amounts, strict=True):
        some = [[places[amount, x, y] for x in across] for y in down]
        grid = np.array([[100 * row["accuracy"] for row in line] for line in some])
        table = draw_table(ax, grid, *names, **colors)
        for (y, x), value in np.ndenumerate(grid):
            half = 50 * (some[y][x]["high"] - some[y][x]["low"])
            write_into(table, (x, y), f"{value:.1f}\n± {half:.1f}", fontsize=12)
        ax.set_title(say("plot.amount", num=f"{amount:,}"), fontsize=11)
    axes[0, 0].set_ylabel(say("plot.regularization"), fontsize=11)
    fig.supxlabel(say("plot.augmentation"), fontsize=11)
    return finish(fig, caption)


def plot_class_scores(
    image: Picture,
    class_names: Sequence[str],
    scores: Sequence[float] | Float[np.ndarray, " _k"],
    *,
    truth: str | None = None,
    score_label: str | None = None,
    caption: str = "",
) -> Figure:
    """Show an image beside the eight classes with the highest scores, and the true one in green.

    Args:
        image: uint8 (h, w, 3).
        class_names: in the order of the scores.
        scores: one a class: probabilities, cosines or logits, drawn as they are.
        truth: the true class; shown last if its score is not among the highest.
        score_label: what the scores are; "score" by default.
        caption: said above.

    Raises:
        ValueError: no classes, another number of scores, a score that is not finite, or a truth
            that is none of the classes.
    """
    scores = np.asarray(scores, dtype=float)
    check_counts(class_names=class_names, scores=scores)
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite")
    if truth is not None and truth not in class_names:
        raise ValueError(f"the truth {truth!r} is none of the classes {list(class_names)}")
    refuse_unless_pictures([image])
    best = np.argsort(-scores, kind="stable").tolist()[:8]
    if truth is not None and (place := list(class_names).index(truth)) not in best:
        best[-1] = place
    size = (10.5, max(3.4, 0.38 * len(best) + 1.0))
    fig, axes = make_axes(1, 2, size, caption=caption, width_ratios=(1, 1.9))
    draw_image(axes[0, 0], image)
    _draw_bars(axes[0, 1], [class_names[i] for i in best], scores[best], truth)
    tidy(axes[0, 1], plain(score_label or say("plot.score")))
    return finish(fig, caption)


def _draw_bars(ax: Axes, names: Sequence[str], scores: np.ndarray, truth: str | None) -> None:
    """Draw a bar for each score, with its value, and say which class is the true one."""
    is_true = [name == truth for name in names]
    colors = [LINE_COLORS[2] if true else PALE for true in is_true]
    bars = ax.barh(range(len(names)), scores, color=colors, height=0.7)
    remarks = [f" ({say('plot.truth')})" if true else "" for true in is_true]
    are_shares = bool(((scores >= 0) & (scores <= 1)).all())
    said = [_share_words(score) if are_shares else f"{score:.3g}" for score in scores]
    words = [score + remark for score, remark in zip(said, remarks, strict=True)]
    ax.bar_label(bars, words, padding=4, fontsize=11)
    name_rows(ax, [shorten(name, 28) for name in names])
    for label, true in zip(ax.get_yticklabels(), is_true, strict=True):
        label.set(weight="bold" if true else "normal", fontsize=12)
    ax.axvline(0, color=INK, linewidth=1)
    ax.margins(x=0.28)  # room for the numbers at the ends of the bars
    ax.tick_params(axis="y", length=0)


def _share_words(share: float) -> str:
    """Write a probability with three decimals; what is nearly nothing or all is said to be so."""
    if 0 < share < 0.001:
        return "< 0.001"
    return "> 0.999" if 0.999 < share < 1 else f"{round(share, 3):g}"
