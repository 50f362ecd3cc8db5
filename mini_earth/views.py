"""From scenes to views and maps: render one, or a seeded stream of them."""

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

from mini_earth.camera import Moment, clouds_of, expose, illuminate, look_through, moment_of
from mini_earth.captions import Sight, describe, describe_zh, find_sights, long_caption
from mini_earth.effects import cover_all, draw_smoke, scatter_debris, strike_ground
from mini_earth.ground import add_snow, paint_ground, paint_water, plant_trees
from mini_earth.hazard import DISASTERS
from mini_earth.layout import make_scene
from mini_earth.objects import draw_buildings, draw_patches, draw_roads, draw_vehicles
from mini_earth.scene import SCENE_CLASSES, SETTLEMENTS, Scene, check_seed
from mini_earth.surface import COVER, Stencil, Surface

_SHARES = (0.3, 0.25, 0.25, 0.2)  # of the settlements among the places of disasters
_BRIDGED = ("river", "canal")
_MOST_DRAWS = 8  # of a scene, until a disaster has done something to it


@dataclass(frozen=True)
class Metadata:
    """Where, when and how a view was taken: degrees, meters, shares in [0, 1]."""

    longitude: float
    latitude: float
    date: datetime.date
    season: str
    region: str
    sensor: str
    meters_per_pixel: float
    off_nadir: float
    view_azimuth: float
    sun_azimuth: float
    sun_elevation: float
    cloud_share: float


@dataclass(frozen=True)
class View:
    """One image of a scene, uint8 (h, w, 3), with all that is known about it.

    ``disaster`` is None for a view from before the event; ``caption`` is the first of
    ``captions``, ``sights`` are what a longer one can say; ``land_cover`` holds codes of
    ``LAND_COVER``, as it is on the day, clouds or not.
    """

    image: UInt8[np.ndarray, "h w 3"]
    caption: str
    captions: tuple[str, ...]
    captions_zh: tuple[str, ...]
    sights: tuple[Sight, ...]
    scene_class: str
    disaster: str | None
    style: str
    meters_per_pixel: float
    seed: int
    land_cover: UInt8[np.ndarray, "h w"]
    metadata: Metadata

    @property
    def long_caption(self) -> str:
        """Say in 20 to 40 words what the view shows: the same words at every call."""
        return long_caption(self.caption, self.sights, np.random.default_rng([self.seed, 8]))


def render(scene: Scene, *, size: int = 64, post: bool = True) -> View:
    """Photograph a scene from above.

    The two views of a disaster share the scene and differ in date, sun, angle and weather, as two
    acquisitions do; ``post=False`` shows it before the event.

    Args:
        scene: from ``make_scene``.
        size: side of the image in pixels; the ground sample distance is extent / size.
        post: after the disaster, if the scene has one.

    Raises:
        ValueError: for a size below 16 or above 1,024 pixels.
    """
    if not 16 <= size <= 1024:
        raise ValueError(f"size is {size} pixels; give 16 to 1024")
    post = post and scene.disaster is not None
    moment = moment_of(scene, post=post)
    rng = np.random.default_rng([scene.seed, 6 + post])
    factor = 2 if size <= 512 else 1
    surface = _paint(scene, size * factor, moment, rng, post=post)
    clouds = clouds_of(scene, num_pixels=size * factor, post=post)
    smoke = draw_smoke(surface, rng) if post else np.zeros_like(clouds)
    light = look_through(illuminate(surface, moment), scene, moment, clouds=clouds, smoke=smoke)
    captions = tuple(describe(scene, moment, rng, post=post) for _ in range(3))
    return View(
        image=expose(light, scene, rng, size=size, post=post),
        caption=captions[0],
        captions=captions,
        captions_zh=tuple(describe_zh(scene, moment, rng, post=post) for _ in range(2)),
        sights=find_sights(scene, moment, surface.cover, post=post),
        scene_class=scene.scene_class,
        disaster=scene.disaster if post else None,
        style=scene.style.name,
        meters_per_pixel=scene.extent / size,
        seed=scene.seed,
        land_cover=np.ascontiguousarray(surface.cover[factor - 1 :: factor, factor - 1 :: factor]),
        metadata=Metadata(
            longitude=scene.longitude,
            latitude=scene.latitude,
            date=moment.date,
            season=moment.season,
            region=scene.style.region.name,
            sensor=scene.style.sensor.name,
            meters_per_pixel=scene.extent / size,
            off_nadir=moment.off_nadir,
            view_azimuth=moment.view_azimuth,
            sun_azimuth=moment.sun_azimuth,
            sun_elevation=moment.sun_elevation,
            cloud_share=float(clouds.mean()),
        ),
    )


def _paint(
    scene: Scene, num_pixels: int, moment: Moment, rng: np.random.Generator, *, post: bool
) -> Surface:
    """Paint everything that is on the ground: a river is bridged, a lake or sea ends the road."""
    surface = paint_ground(scene, num_pixels, moment)
    is_below = scene.scene_class == "harbor" or (scene.water and scene.water.kind in _BRIDGED)
    if scene.water and is_below:
        paint_water(surface, rng)
    with Stencil(surface) as stencil:
        draw_patches(stencil)
        draw_roads(stencil, above=False)
    if scene.water and not is_below:
        paint_water(surface, rng)
    plant_trees(surface, moment)
    add_snow(surface, moment)
    gone = strike_ground(surface, rng) if post else None
    with Stencil(surface) as stencil:
        draw_roads(stencil, above=True)
        draw_vehicles(stencil, rng, gone=gone)
        draw_buildings(stencil, moment, rng, post=post)
    if post:
        scatter_debris(surface, rng)
        cover_all(surface, rng)
    return surface


def disaster_scene(disaster: str, style: str, *, seed: int) -> Scene:
    """Lay out a settlement of 90 to 170 m that ``disaster`` has struck: some houses show it."""
    seed = check_seed(seed)
    rng = np.random.default_rng([seed, 1])
    for _ in range(_MOST_DRAWS):
        place = SETTLEMENTS[int(rng.choice(len(SETTLEMENTS), p=_SHARES))]
        extent = float(rng.uniform(90, 170))
        scene = make_scene(place, style, seed=seed, disaster=disaster, extent=extent)
        damaged = [building.damage > 1 for building in scene.buildings]
        if sum(damaged) >= 2 and np.mean(damaged) >= 0.3:
            break
        seed = int(rng.integers(1 << 48))
    return scene


def sample_views(
    num: int,
    *,
    styles: Sequence[str],
    seed: int,
    size: int = 64,
    disaster_share: float = 0.5,
) -> Iterator[View]:
    """Stream views for training: scenes at 0.8 to 12 m a pixel, and settlements after disasters.

    Args:
        num: how many.
        styles: keys of ``STYLES``, drawn alike.
        seed: the same seed is the same stream, and its first views do not depend on ``num``.
        size: side in pixels.
        disaster_share: share of post-event views; one pre-event view comes with every five.
    """
    seed = check_seed(seed)
    for index in range(num):
        rng = np.random.default_rng([seed, index])
        style = styles[int(rng.integers(len(styles)))]
        scene_seed = int(rng.integers(1 << 48))
        if rng.uniform() < disaster_share:
            disaster = DISASTERS[int(rng.integers(len(DISASTERS)))]
            scene = disaster_scene(disaster, style, seed=scene_seed)
            yield render(scene, size=size, post=rng.uniform() > 1 / 6)
        else:
            scene_class = SCENE_CLASSES[int(rng.integers(len(SCENE_CLASSES)))]
            extent = size * float(np.exp(rng.uniform(np.log(0.8), np.log(12.0))))
            yield render(make_scene(scene_class, style, seed=scene_seed, extent=extent), size=size)


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
    angle of view moves tall buildings by some pixels; so do these. ``damage`` and
    ``hidden_share`` are those after the event if ``post``.
    """
    post = post and scene.disaster is not None
    lean, scale = moment_of(scene, post=False).lean(), size / scene.extent
    clouds = clouds_of(scene, num_pixels=min(size, 256), post=post)
    found = []
    for building in scene.buildings:
        roof = (building.outline() + lean * building.height) * scale
        at = building.center / scene.extent * len(clouds)
        column, row = np.clip(at, 0, len(clouds) - 1).astype(int)
        damage = building.damage if post else 1
        found.append(Outline(roof, damage, float(clouds[row, column])))
    return found


def road_map(view: View) -> Bool[np.ndarray, "h w"]:
    """Return where the view's ground is road."""
    return view.land_cover == COVER["road"]


def edge_map(view: View) -> UInt8[np.ndarray, "h w"]:
    """Return 1 where the land cover changes to the right or below, else 0: edges without noise."""
    cover = view.land_cover
    edges = np.zeros(cover.shape, np.uint8)
    edges[:, :-1] |= cover[:, 1:] != cover[:, :-1]
    edges[:-1, :] |= cover[1:, :] != cover[:-1, :]
    return edges
