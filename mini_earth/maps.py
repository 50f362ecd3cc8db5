"""What a view shows, as maps: building outlines, roads and edges."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

from mini_earth.camera import clouds_of, moment_of
from mini_earth.objects import roof_outline
from mini_earth.scene import LAND_COVER, Scene
from mini_earth.views import View


@dataclass(frozen=True)
class Outline:
    """A building as an annotator outlines it.

    ``points`` (k, 2) are x and y in pixels of a view of ``size`` pixels; they may lie outside it.
    ``damage`` is 1 to 4. ``hidden_share`` in [0, 1] is how much a cloud hides of it.
    """

    points: Float[np.ndarray, "k 2"]
    damage: int
    hidden_share: float


def outlines(scene: Scene, *, size: int = 64, post: bool = True) -> list[Outline]:
    """Outline the roofs as the view *before* the event shows them, in the order of the buildings.

    xBD's annotators drew on the first image and kept the outlines for the second, where another
    angle of view moves tall buildings by some pixels; so do these.

    Args:
        scene: from ``make_scene``.
        size: side of the view in pixels.
        post: whether ``damage`` and ``hidden_share`` are those after the event.
    """
    moment = moment_of(scene, post=False)
    scale = size / scene.extent
    post = post and scene.disaster is not None
    clouds = clouds_of(scene, num_pixels=min(size, 256), post=post)
    found = []
    for building in scene.buildings:
        points = roof_outline(building, moment) * scale
        column, row = (
            int(np.clip(part / scene.extent * clouds.shape[0], 0, clouds.shape[0] - 1))
            for part in (building.x, building.y)
        )
        damage = building.damage if post else 1
        found.append(Outline(points, damage, float(clouds[row, column])))
    return found


def road_map(view: View) -> Bool[np.ndarray, "h w"]:
    """Return where the view's ground is road."""
    return view.land_cover == LAND_COVER.index("road")


def edge_map(view: View) -> UInt8[np.ndarray, "h w"]:
    """Return 1 where the land cover changes to the right or below, else 0: edges without noise."""
    cover = view.land_cover
    edges = np.zeros(cover.shape, np.uint8)
    edges[:, :-1] |= cover[:, 1:] != cover[:, :-1]
    edges[:-1, :] |= cover[1:, :] != cover[:-1, :]
    return edges
