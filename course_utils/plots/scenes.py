"""What the procedural world knows of a scene, as pictures."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Polygon

from course_utils.plots.style import DAMAGE_COLORS, finish, say
from course_utils.xbd import DamageLevel
from mini_earth import LAND_COVER, Outline, View, edge_map, road_map

# After OpenEarthMap's colors, one for each class of LAND_COVER.
COVER_COLORS = (
    "#b08968",
    "#b5d99c",
    "#bdbdbd",
    "#4d4d4d",
    "#1b7837",
    "#3690c0",
    "#fee08b",
    "#c51b1b",
)


def scene_maps(view: View, outlines: Sequence[Outline] = ()) -> Figure:
    """Show a view, its outlined buildings, its land cover, its roads and its edges.

    Args:
        view: from ``mini_earth.render``.
        outlines: from ``mini_earth.outlines`` at the same size; colored by damage.
    """
    fig, axes = plt.subplots(1, 5, figsize=(15, 3.9), layout="constrained")
    covers = ListedColormap(COVER_COLORS)
    axes[0].imshow(view.image)
    axes[1].imshow(view.image)
    _draw_outlines(axes[1], outlines)
    axes[2].imshow(view.land_cover, cmap=covers, vmin=0, vmax=len(LAND_COVER) - 1)
    axes[3].imshow(road_map(view), cmap="gray_r")
    axes[4].imshow(edge_map(view), cmap="gray_r")
    for ax, what in zip(axes, ("image", "outlines", "land_cover", "roads", "edges"), strict=True):
        ax.set_title(say(f"scene.{what}"), fontsize=12)
        ax.set(xticks=[], yticks=[])
    there = [code for code in range(len(LAND_COVER)) if (view.land_cover == code).any()]
    patches = [Patch(color=COVER_COLORS[code], label=LAND_COVER[code]) for code in there]
    fig.legend(handles=patches, loc="outside lower center", ncols=len(patches), frameon=False)
    return finish(fig, view.caption)


def _draw_outlines(ax: Axes, outlines: Sequence[Outline]) -> None:
    """Draw the outlines over an image whose pixel centers are whole numbers."""
    for outline in outlines:
        color = DAMAGE_COLORS[DamageLevel(outline.damage)]
        points = np.asarray(outline.points) - 0.5
        ax.add_patch(Polygon(points, fill=False, edgecolor=color, linewidth=1.6))
