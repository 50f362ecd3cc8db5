"""One pair of a rendered xBD: images, label files and targets, as bytes."""

import dataclasses
import datetime
import hashlib
import io
import json
import math
import uuid
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from mini_earth.camera import sun_position
from mini_earth.events import METERS_PER_DEGREE, SUBTYPES, UNCLASSIFIED, UNCLASSIFIED_SUBTYPE
from mini_earth.hazard import Hazard, draw_hazard
from mini_earth.layout import make_scene
from mini_earth.maps import outlines
from mini_earth.scene import Scene
from mini_earth.views import Metadata, render
from mini_earth.xbd_plan import XbdTile

_HIDDEN = 0.5  # a building of which a cloud hides more is not outlined before, not graded after
_SLIVER = 0.1  # a building of which the tile shows a smaller share is left out
_DECIMALS = {"xy": 6, "lng_lat": 13}
_DISASTER_TYPES = {"wildfire": "fire"}  # as xBD calls it; the others have the same name
_SHARPNESS = 0.92  # the panchromatic band straight below, in pixels of the image


def encode_pair(tile: XbdTile, *, size: int, extent: float) -> dict[str, bytes]:
    """Render a tile before and after the disaster and encode its files.

    Args:
        tile: from ``plan_tiles``.
        size: side in pixels.
        extent: side in meters.

    Returns:
        PNG and JSON by part: ``pre_image``, ``post_image``, ``pre_label``, ``post_label``,
        ``pre_target``, ``post_target``.
    """
    scene = lay_out(tile, extent)
    buildings = outline_buildings(scene, size)
    pair = {
        "pre_target": _png(_target(buildings, size, lambda building: 1)),
        "post_target": _png(_target(buildings, size, lambda building: building.target)),
    }
    features = _features(buildings, tile, size=size, extent=extent)
    for when, entries in (("pre", _ungraded(features)), ("post", features)):
        view = render(scene, size=size, post=when == "post")
        label = {"features": entries, "metadata": _metadata(tile, view.metadata, when, size)}
        pair[f"{when}_image"] = _png(view.image)
        pair[f"{when}_label"] = json.dumps(label).encode()
    return pair


@dataclass(frozen=True)
class Building:
    """An outlined building: its polygon in pixels, its damage 1 to 4 or ``UNCLASSIFIED``."""

    uid: str
    polygon: shapely.Polygon
    damage: int

    @property
    def subtype(self) -> str:
        """Spell the damage as the label files do."""
        return SUBTYPES.get(self.damage, UNCLASSIFIED_SUBTYPE)

    @property
    def target(self) -> int:
        """Give its value in the official targets, which have 0 where nobody could tell."""
        return 0 if self.damage == UNCLASSIFIED else self.damage


def _target(
    buildings: list[Building], size: int, value: Callable[[Building], int]
) -> UInt8[np.ndarray, "h w"]:
    """Draw the buildings in file order, corners truncated to whole pixels (Pillow's polygons)."""
    surface = Image.new("L", (size, size))
    draw = ImageDraw.Draw(surface)
    for building in buildings:
        corners = shapely.get_coordinates(building.polygon.exterior).astype(np.int64)
        draw.polygon(corners.ravel().tolist(), fill=value(building))
    return np.array(surface)


@dataclass(frozen=True)
class _Elsewhere(Hazard):
    """A disaster that did not reach this square."""

    def intensity(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.zeros_like(x)

    def lava(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.full_like(x, -50.0)


def lay_out(tile: XbdTile, extent: float) -> Scene:
    """Lay out the scene of a tile of ``extent`` meters: struck, or spared by its disaster."""
    for shift in range(1000):  # until there is no sea in Missouri
        scene = make_scene(
            tile.scene_class,
            tile.style,
            seed=tile.seed + shift,
            disaster=tile.disaster if tile.is_struck else None,
            extent=extent,
            place=(tile.longitude, tile.latitude),
            date=tile.date,
            look=tile.look,
        )
        if tile.is_coastal or scene.water is None or scene.water.kind != "sea":
            break
    if tile.is_struck:
        return scene
    rng = np.random.default_rng([tile.seed, 9])
    passed_by = draw_hazard(rng, tile.disaster, water=scene.water, extent=extent)
    return dataclasses.replace(scene, disaster=tile.disaster, hazard=_Elsewhere(**vars(passed_by)))


def outline_buildings(scene: Scene, size: int) -> list[Building]:
    """Outline and grade the buildings as an annotator would who sees both images.

    Outlines are cut at the border of the tile. What a cloud hides before the event is left out;
    what one hides after it is un-classified. The ``uid`` comes from the scene's seed.
    """
    tile = shapely.box(0, 0, size, size)
    views = (outlines(scene, size=size, post=post) for post in (False, True))
    buildings = []
    for number, (before, after) in enumerate(zip(*views, strict=True)):
        whole = shapely.Polygon(before.points)
        seen = shapely.get_parts(shapely.intersection(whole, tile))
        polygon = max(seen, key=shapely.area, default=shapely.Polygon())  # a wing may be cut off
        if before.hidden_share > _HIDDEN or polygon.area < max(_SLIVER * whole.area, 1e-3):
            continue
        polygon = shapely.transform(polygon, lambda points: points.round(_DECIMALS["xy"]))
        damage = UNCLASSIFIED if after.hidden_share > _HIDDEN else after.damage
        uid = str(uuid.UUID(bytes=_digest("building", scene.seed, number)[:16], version=4))
        buildings.append(Building(uid, polygon, damage))
    return buildings


def _features(
    buildings: list[Building], tile: XbdTile, *, size: int, extent: float
) -> dict[str, list[dict[str, Any]]]:
    """List the buildings as a label file from after the event does, in degrees and in pixels."""
    polygons = np.array([building.polygon for building in buildings], dtype=object)
    degrees = shapely.transform(
        polygons, lambda points: degrees_from_pixels(points, tile, size=size, extent=extent)
    )
    return {
        key: [
            {
                "properties": {
                    "feature_type": "building",
                    "subtype": building.subtype,
                    "uid": building.uid,
                },
                "wkt": text,
            }
            for building, text in zip(buildings, texts, strict=True)
        ]
        for key, texts in (
            ("lng_lat", shapely.to_wkt(degrees, rounding_precision=_DECIMALS["lng_lat"])),
            ("xy", shapely.to_wkt(polygons, rounding_precision=_DECIMALS["xy"])),
        )
    }


def _ungraded(features: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Leave out the damage, as in label files from before the event."""
    return {
        key: [
            {
                "properties": {
                    name: value for name, value in entry["properties"].items() if name != "subtype"
                },
                "wkt": entry["wkt"],
            }
            for entry in entries
        ]
        for key, entries in features.items()
    }


def degrees_from_pixels(
    points: Float[np.ndarray, "n 2"], tile: XbdTile, *, size: int, extent: float
) -> Float[np.ndarray, "n 2"]:
    r"""Map pixels to longitude and latitude; north is up.

    $$\lambda = \lambda_0 + \frac{(x - s/2)\,m}{k \cos\varphi_0}, \qquad
    \varphi = \varphi_0 - \frac{(y - s/2)\,m}{k}$$

    with the tile's center $(\lambda_0, \varphi_0)$, its size s, m meters a pixel, and k meters a
    degree.
    """
    scale = extent / size / METERS_PER_DEGREE
    shrink = math.cos(math.radians(tile.latitude))
    return (points - size / 2) * (scale / shrink, -scale) + (tile.longitude, tile.latitude)


def _metadata(tile: XbdTile, seen: Metadata, when: str, size: int) -> dict[str, Any]:
    """Describe an acquisition with the keys of the official label files, in their order.

    Seen from the side a pixel covers more ground, 1 / cos across and 1 / cos² along the look.
    """
    sharp = _SHARPNESS * seen.meters_per_pixel / math.cos(math.radians(seen.off_nadir)) ** 1.5
    sensor = f"MINI_EARTH_{seen.sensor.upper()}"
    digest = _digest("acquisition", tile.seed, when).hex()
    return {
        "sensor": sensor,
        "provider_asset_type": sensor,
        "gsd": round(4 * sharp, 6),  # of the multispectral bands
        "capture_date": _capture_date(seen),
        "off_nadir_angle": round(seen.off_nadir, 6),
        "pan_resolution": round(sharp, 6),
        "sun_azimuth": round(seen.sun_azimuth, 6),
        "sun_elevation": round(seen.sun_elevation, 6),
        "target_azimuth": round(seen.view_azimuth, 6),
        "disaster": tile.event,
        "disaster_type": _DISASTER_TYPES.get(tile.disaster, tile.disaster),
        "catalog_id": digest[:16].upper(),
        "original_width": size,
        "original_height": size,
        "width": size,
        "height": size,
        "id": digest[16:48],
        "img_name": f"{tile.name}_{when}_disaster.png",
    }


def _capture_date(seen: Metadata) -> str:
    """Find the minute of the day when the sun stood there, in UTC (mean solar time)."""
    day = seen.date.timetuple().tm_yday
    minutes = range(8 * 60, 13 * 60)
    azimuths = [sun_position(seen.latitude, day, hour=minute / 60)[0] for minute in minutes]
    misses = np.abs((np.array(azimuths) - seen.sun_azimuth + 180) % 360 - 180)
    solar = datetime.timedelta(minutes=minutes[int(misses.argmin())] - 4 * seen.longitude)
    moment = datetime.datetime.combine(seen.date, datetime.time()) + solar
    return f"{moment:%Y-%m-%dT%H:%M:%S}.000Z"


def _digest(*parts: object) -> bytes:
    return hashlib.sha256(json.dumps(parts).encode()).digest()


def _png(pixels: UInt8[np.ndarray, "h w *c"]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_type=zlib.Z_RLE)
    return buffer.getvalue()
