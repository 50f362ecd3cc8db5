"""Look into a text-to-image model: what its words attend to, which real images are near its own."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from course_utils.plots.heat import add_heat_bar, draw_heat
from course_utils.plots.style import SOURCE_COLORS, finish, plain, refuse_unless_pictures, say
from course_utils.plots.sweeps import (
    MAX_WIDTH,
    Picture,
    Pictures,
    draw_image,
    head_inches,
    make_axes,
    width_inches,
)


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
    num_columns = min(7, len(words) + 1)
    num_rows = -(-(len(words) + 1) // num_columns)
    cell = min(2.0, MAX_WIDTH / num_columns)
    unit = _unit(relative, resolution)
    size = (
        max(width_inches([unit, caption]), cell * num_columns),
        (cell + 0.3) * num_rows + head_inches(caption) + 0.9,
    )
    fig, axes = make_axes(num_rows, num_columns, size)
    for ax in axes.flat:
        ax.set_axis_off()
    draw_image(axes.flat[0], image)
    axes.flat[0].set_title(say("plot.drawn"), fontsize=12)
    limits = (values.min(), values.max())
    for ax, word, some in zip(axes.flat[1:], words, values, strict=False):
        heat = draw_heat(ax, image, some, limits)
        ax.set_title(say("plot.word", word=plain(word)), fontsize=12)
    add_heat_bar(fig, heat, unit)
    return finish(fig, caption)


def show_neighbors(
    synthetic: Pictures,
    real: Pictures,
    distances: Sequence[float],
    *,
    measure: str | None = None,
    num_columns: int = 8,
    caption: str = "",
) -> Figure:
    """Show each synthetic image above the real one nearest to it, with their distance below.

    Args:
        synthetic: uint8 (h, w, 3).
        real: the nearest of the generator's training images (or of others), one for each.
        distances: from one to the other, 0 or more.
        measure: what the distance is, with its unit; "distance in feature space" by default.
        num_columns: pairs beside each other; more go below.
        caption: said above.

    Raises:
        ValueError: no pairs, not one real image and one distance for each synthetic one, images
            that are not uint8, or a distance that is negative or not finite.
    """
    if not len(synthetic) == len(real) == len(distances) > 0:
        raise ValueError(
            f"expected one real image and one distance for each synthetic one, got "
            f"{len(synthetic)} synthetic and {len(real)} real images, {len(distances)} distances"
        )
    if not (np.isfinite(distances).all() and min(distances) >= 0):
        raise ValueError(f"distances must be finite and 0 or more, got {list(distances)}")
    refuse_unless_pictures([*synthetic, *real])
    num_columns = min(num_columns, len(synthetic))
    num_blocks = -(-len(synthetic) // num_columns)
    cell = min(1.45, (MAX_WIDTH - 1.3) / num_columns)
    height = (2 * cell + 0.35) * num_blocks + head_inches(caption) + 0.5
    unit = plain(measure or say("plot.feature_distance"))
    width = max(cell * num_columns + 1.3, width_inches([unit, caption]))
    fig, axes = make_axes(2 * num_blocks, num_columns, (width, height))
    for ax in axes.flat:
        ax.set_visible(False)
    for i, distance in enumerate(distances):
        block, column = divmod(i, num_columns)
        above, below = axes[2 * block, column], axes[2 * block + 1, column]
        draw_image(above, synthetic[i], color=SOURCE_COLORS["synthetic"])
        draw_image(below, real[i], color=SOURCE_COLORS["real"])
        below.set_xlabel(f"{distance:.3g}", fontsize=11)
        if not column:
            for ax, key in ((above, "plot.synthetic"), (below, "plot.nearest_real")):
                ax.set_ylabel(say(key), rotation=0, ha="right", va="center", fontsize=11)
    fig.supxlabel(unit, fontsize=11)
    return finish(fig, caption)


def _unit(relative: bool, resolution: tuple[int, int] | None) -> str:
    """Say what the colors mean, and how coarse they are."""
    words = say("plot.attention_relative" if relative else "plot.attention")
    if resolution is None:
        return words
    return words + say("plot.attention_resolution", height=resolution[0], width=resolution[1])
