"""Write rendered disasters in xBD's layout, for any program that reads xBD."""

import datetime
import io
import json
import math
import secrets
import uuid
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from mini_earth.camera import sun_position
from mini_earth.scene import VERSION, Scene, check_seed
from mini_earth.views import Metadata, outlines, render
from mini_earth.xbd_plan import METERS_PER_DEGREE, RECIPE, SPLITS, XbdTile, digest, plan_tiles
from mini_earth.xbd_scene import lay_out

_SETTINGS_FILE, _README_FILE = "mini_earth.json", "README.txt"
_README = """\
Nothing here is a photograph. Every image, building, label and date was invented and rendered by
the course's procedural world (mini_earth, write_xbd) in the file layout of xBD.

The names of the events, their places and their days are real; what the tiles show is not. Never
mix these files with real ones, and call any result on them a result on a rendered world. In the
label files the sensor is MINI_EARTH_SATELLITE.

xBD itself: Gupta et al. 2019, arXiv 1911.09296, CC BY-NC-SA 4.0.
"""
_ENDINGS = {"images": ".png", "labels": ".json", "targets": "_target.png"}  # by folder
# The Joint Damage Scale as the label files spell it, by its value in the target images.
_SUBTYPES = {1: "no-damage", 2: "minor-damage", 3: "major-damage", 4: "destroyed"}
_UNCLASSIFIED = 255  # nobody could tell: no level at all
_HIDDEN = 0.5  # a building of which a cloud hides more is not outlined before, not graded after
_SLIVER = 0.1  # a building of which the tile shows a smaller share is left out
_DECIMALS = {"xy": 6, "lng_lat": 13}
_DISASTER_TYPES = {"wildfire": "fire"}  # as xBD calls it; the others have the same name
_SHARPNESS = 0.92  # the panchromatic band straight below, in pixels of the image


@dataclass(frozen=True)
class XbdPair:
    """The files of one pair; there are no targets in tier3."""

    name: str  # "guatemala-volcano_00000008"
    event: str
    split: str
    pre_image: Path
    post_image: Path
    pre_label: Path
    post_label: Path
    pre_target: Path | None = None
    post_target: Path | None = None


def write_xbd(
    root: Path | str,
    *,
    events: Iterable[str] | None = None,
    num_pairs: int | Mapping[str, int] = 4,
    splits: Iterable[str] = SPLITS,
    size: int = 1024,
    meters_per_pixel: float = 0.5,
    seed: int = 0,
) -> list[XbdPair]:
    """Render pairs from before and after disasters and write them as xBD would.

    Each event lies at its real place and day, in the style of that region seen by a satellite.
    Of its damaged buildings as many have minor and major damage or are destroyed as were published.
    Tiles come in threes of neighbours, the threes at least 2 km apart; some show no building,
    some were not reached by the disaster. Splits are those of the real event, in its shares;
    tier3 has no targets, as in xBD. A target is 0 where nothing is, 1 for a building before the
    event, 1 to 4 for its damage after it; a building under a cloud is ``un-classified`` and 0 in
    the target from after the event, as in the official ones.

    A run that was stopped goes on where it was; pairs that are there stay. Several processes may
    write different events into one folder.

    Args:
        root: the folder above the splits; made if it is not there.
        events: names of xBD's events; by default all 19, or those of the mapping ``num_pairs``.
        num_pairs: how many pairs an event gets, or a number by event. A pair of 1024 pixels takes
            4 MB and one to two seconds.
        splits: write only these of train, tier3, test and hold.
        size: side of a tile in pixels; xBD has 1024.
        meters_per_pixel: size of a pixel; 0.3 to 0.6 in xBD. (``gsd`` in the label files is that
            of the multispectral bands, four times as coarse, as in xBD.)
        seed: the same seed gives the same files.

    Returns:
        What was asked for, by name; `xbd.find_scenes` lists the same.

    Raises:
        ValueError: an unknown event or split, a number or seed out of range, or a folder that holds
            something else: real scenes, or a world of other settings.
        OSError: the disk is full or the folder read-only; what was written stays whole.

    Source:
        Gupta et al. 2019 (arXiv:1911.09296) and the label files of the xView2 challenge. Official
        targets have 0 at un-classified buildings: DIUx-xView/xView2_baseline, issue 28, where they
        were drawn anew from the labels and compared.
    """
    size_and_seed = {"size": size, "meters_per_pixel": meters_per_pixel, "seed": seed}
    steps = write_xbd_steps(
        root, events=events, num_pairs=num_pairs, splits=splits, **size_and_seed
    )
    return sorted(steps, key=lambda pair: pair.name)


def write_xbd_steps(
    root: Path | str,
    *,
    events: Iterable[str] | None = None,
    num_pairs: int | Mapping[str, int] = 4,
    splits: Iterable[str] = SPLITS,
    size: int = 1024,
    meters_per_pixel: float = 0.5,
    seed: int = 0,
) -> Iterator[XbdPair]:
    """Write as `write_xbd` does, pair by pair, event by event in turn.

    Arguments are checked at the call, files are written as the pairs are asked for.
    """
    extent, seed = size * meters_per_pixel, check_seed(seed)
    if not 16 <= size <= 1024:
        raise ValueError(f"size is {size} pixels; give 16 to 1024")
    if not 20.0 <= extent <= 3000.0:
        raise ValueError(
            f"{size} pixels of meters_per_pixel={meters_per_pixel:g} make {extent:g} m; a tile can "
            "have 20 to 3000 m"
        )
    tiles = plan_tiles(events, num_pairs, splits=splits, extent=extent, seed=seed)
    root = Path(root).expanduser().absolute()
    settings = {"size": size, "meters_per_pixel": meters_per_pixel, "seed": seed}
    settings |= {"world": VERSION, "recipe": RECIPE}
    _claim(root, settings)
    return _write_all(root, tiles, size, extent)


def _claim(root: Path, settings: dict[str, Any]) -> None:
    """Note the settings in the folder, or check that they are those of what is there."""
    is_used = any((root / split).exists() for split in SPLITS)  # before the settings are looked at
    path = root / _SETTINGS_FILE
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        if is_used:
            raise ValueError(
                f"{root} holds scenes that write_xbd did not write; give a folder of their own to "
                "rendered ones"
            ) from None
        _write(root / _README_FILE, _README.encode())
        _write(path, json.dumps(settings).encode())
        return
    except ValueError:
        found = None
    if found != settings:
        raise ValueError(
            f"{root} was written with the settings {found}, now they are {settings} (world is "
            "mini_earth's version); delete that folder or give another one"
        )


def _write_all(root: Path, tiles: list[XbdTile], size: int, extent: float) -> Iterator[XbdPair]:
    for tile in tiles:
        files = _files_of(root, tile)
        if not all(path.exists() for path in files.values()):
            content = encode_pair(tile, size=size, extent=extent)
            for part, path in files.items():
                _write(path, content[part])
        yield XbdPair(tile.name, tile.event, tile.split, **files)


def _files_of(root: Path, tile: XbdTile) -> dict[str, Path]:
    """Name the files of a pair by their part, such as ``post_label``."""
    return {
        f"{when}_{kind[:-1]}": root / tile.split / kind / f"{tile.name}_{when}_disaster{ending}"
        for kind, ending in _ENDINGS.items()
        for when in ("pre", "post")
        if (kind, tile.split) != ("targets", "tier3")
    }


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        reason = f"could not write the file ({error.strerror or error}); free some space, or give "
        raise OSError(error.errno, f"{reason}another folder", str(path)) from error
    finally:
        part.unlink(missing_ok=True)  # also after Ctrl-C


def encode_pair(tile: XbdTile, *, size: int, extent: float) -> dict[str, bytes]:
    """Render a tile of ``extent`` meters before and after: PNG and JSON, see ``_files_of``."""
    scene, pair = lay_out(tile, extent), {}
    buildings = outline_buildings(scene, size)
    for when, post in (("pre", False), ("post", True)):
        view = render(scene, size=size, post=post)
        label = {
            "features": _features(buildings, tile, size=size, extent=extent, post=post),
            "metadata": _metadata(tile, view.metadata, when, size),
        }
        pair[f"{when}_image"] = _png(view.image)
        pair[f"{when}_label"] = json.dumps(label).encode()
        pair[f"{when}_target"] = _png(_target(buildings, size, post=post))
    return pair


@dataclass(frozen=True)
class Building:
    """An outlined building: its polygon in pixels, its damage 1 to 4, or 255 for un-classified."""

    uid: str
    polygon: shapely.Polygon
    damage: int


def _target(buildings: list[Building], size: int, *, post: bool) -> UInt8[np.ndarray, "h w"]:
    """Draw the buildings in file order, corners truncated to whole pixels (Pillow's polygons).

    The value is 1 before the event and the damage after it, or 0 where nobody could tell.
    """
    surface = Image.new("L", (size, size))
    draw = ImageDraw.Draw(surface)
    for building in buildings:
        corners = shapely.get_coordinates(building.polygon.exterior).astype(np.int64)
        grade = 0 if building.damage == _UNCLASSIFIED else building.damage
        draw.polygon(corners.ravel().tolist(), fill=grade if post else 1)
    return np.array(surface)


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
        damage = _UNCLASSIFIED if after.hidden_share > _HIDDEN else after.damage
        uid = str(uuid.UUID(bytes=digest("building", scene.seed, number)[:16], version=4))
        buildings.append(Building(uid, polygon, damage))
    return buildings


def _features(
    buildings: list[Building], tile: XbdTile, *, size: int, extent: float, post: bool
) -> dict[str, list[dict[str, Any]]]:
    """List the buildings as a label file does, in degrees and in pixels; graded afterwards."""
    polygons = np.array([building.polygon for building in buildings], dtype=object)
    degrees = shapely.transform(
        polygons, lambda points: degrees_from_pixels(points, tile, size=size, extent=extent)
    )
    features = {}
    for key, shapes in (("lng_lat", degrees), ("xy", polygons)):
        features[key] = []
        texts = shapely.to_wkt(shapes, rounding_precision=_DECIMALS[key])
        for building, text in zip(buildings, texts, strict=True):
            subtype = {"subtype": _SUBTYPES.get(building.damage, "un-classified")} if post else {}
            properties = {"feature_type": "building", **subtype, "uid": building.uid}
            features[key].append({"properties": properties, "wkt": text})
    return features


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
    name = digest("acquisition", tile.seed, when).hex()
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
        "catalog_id": name[:16].upper(),
        "original_width": size,
        "original_height": size,
        "width": size,
        "height": size,
        "id": name[16:48],
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


def _png(pixels: UInt8[np.ndarray, "h w *c"]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_type=zlib.Z_RLE)
    return buffer.getvalue()
