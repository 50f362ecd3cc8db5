"""Label files of xBD: polygons, damage levels, how an image was taken; and what may be wrong."""

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from datetime import datetime
from enum import IntEnum
from pathlib import Path
from reprlib import repr as shorten
from typing import NoReturn

import numpy as np
import shapely
from jaxtyping import Float
from shapely import MultiPolygon, Polygon

from course_utils.images import read_file

MAX_BYTES = 50_000_000  # the official labels are far below; a larger file is something else
POLYGONS = ("POLYGON", "MULTIPOLYGON")
_FARTHEST = (360.0, 90.0)  # degrees; a tile across the 180th meridian may go on beyond it
_EXCHANGED = "longitude and latitude are exchanged"
REPLACE = "restore it from the official archive, or leave the scene out"


class XbdError(ValueError):
    """A folder, label or image that is not what xBD's layout says."""


class XbdMissingError(XbdError, FileNotFoundError):
    """A folder, label or image that is not there at all."""


@contextmanager
def reading(path: Path | str | None, kind: str) -> Iterator[None]:
    """Say of a learner's file that it is missing (None: the scene lacks it) or not to be read."""
    if path is None:
        raise XbdMissingError(f"expected a path, got None: the scene has no such {kind}")
    try:
        yield
    except FileNotFoundError as error:
        raise XbdMissingError(f"there is no {kind} {path}; {REPLACE}") from error
    except OSError as error:
        raise XbdError(f"{path} cannot be read ({error.strerror}); {REPLACE}") from error


class DamageLevel(IntEnum):
    """The Joint Damage Scale, with the values that xBD's target images use.

    ``UNCLASSIFIED`` is no level between the others: nobody could tell (clouds, shadow, a blurred
    image). It is 255, a value that no loss or score takes for a class by accident; other code
    writes 0, 1 or 5 for it.

    Source: Gupta et al. 2019, arXiv 1911.09296, the Joint Damage Scale.
    """

    NO_DAMAGE = 1
    MINOR = 2
    MAJOR = 3
    DESTROYED = 4
    UNCLASSIFIED = 255

    @property
    def subtype(self) -> str:
        """Give the level's name in the label files, such as "minor-damage"."""
        return _SUBTYPES[self]

    @classmethod
    def from_subtype(cls, subtype: object) -> "DamageLevel":
        """Turn a name of the label files into a level.

        Raises:
            XbdError: anything else; other spellings are not guessed at.
        """
        for level, name in _SUBTYPES.items():
            if name == subtype:
                return level
        known = ", ".join(_SUBTYPES.values())
        raise XbdError(f"expected a subtype among {known}, got {subtype!r}")


_NAMES = ("no-damage", "minor-damage", "major-damage", "destroyed", "un-classified")
_SUBTYPES = dict(zip(DamageLevel, _NAMES, strict=True))


@dataclass(frozen=True)
class Building:
    """One entry of a label file.

    xBD has a few entries without area, with a polygon that touches itself, or with a ``uid`` that
    occurred before. They are kept, flagged and not repaired, so that entry i is record i.
    """

    uid: str  # the same before and after the disaster
    polygon: Polygon | MultiPolygon  # x to the right, y down, in pixels; (0, 0) is the outer corner
    damage: DamageLevel | None  # None before the disaster, where nobody graded it
    is_empty: bool = False  # the polygon has no points
    is_duplicate: bool = False  # an earlier entry of the file has the same uid
    is_valid: bool = True  # False: the outline crosses or touches itself


@dataclass(frozen=True)
class Metadata:
    """How an image was taken, as its label file says; what is absent or null there is None.

    ``gsd`` is the ground sample distance of the sensor's multispectral bands, not the size of the
    image's pixels: those were sharpened with the panchromatic band (``pan_resolution``).
    ``disaster_type`` is kept as found and is no class label; map by the event's name instead.
    """

    sensor: str | None = None
    provider_asset_type: str | None = None
    gsd: float | None = None  # m, multispectral: not the pixel size
    pan_resolution: float | None = None  # m, panchromatic
    capture_date: datetime | None = None  # with time zone where the file gives one (UTC)
    off_nadir_angle: float | None = None  # degrees
    sun_azimuth: float | None = None  # degrees
    sun_elevation: float | None = None  # degrees
    target_azimuth: float | None = None  # degrees
    disaster: str | None = None  # the event, "guatemala-volcano"
    disaster_type: str | None = None  # never to be used as class
    catalog_id: str | None = None
    original_width: int | None = None  # pixels
    original_height: int | None = None  # pixels
    width: int | None = None  # pixels
    height: int | None = None  # pixels
    id: str | None = None
    img_name: str | None = None


@dataclass(frozen=True)
class Label:
    """Everything in a label file."""

    buildings: tuple[Building, ...]  # in the order of the file
    metadata: Metadata
    position: tuple[float, float] | None  # longitude, latitude: center of the box of all buildings


def read_label(path: Path | str | None, *, max_bytes: int = MAX_BYTES) -> Label:
    """Read a label file once, for buildings, metadata and position.

    Args:
        path: ``<event>_<8 digits>_{pre,post}_disaster.json``.
        max_bytes: a larger file is refused before it is read.

    Raises:
        XbdMissingError: no such file, or the scene's None.
        XbdError: too large, no JSON, no label, an entry that `read_buildings` refuses, or degrees
            that are none, or in which the latitude comes first.
    """
    return LabelFile(path, max_bytes).label()


def read_buildings(path: Path | str | None, *, max_bytes: int = MAX_BYTES) -> list[Building]:
    """Read the buildings of a label file, in pixels, one record per entry in file order.

    A missing subtype gives the damage None, as in every official file from before the disaster.
    In a file named ``…_post_…`` it is an error: a building without grade would otherwise slip into
    masks and counts as undamaged.

    Args:
        path: see `read_label`.
        max_bytes: see `read_label`.

    Returns:
        As many records as ``features.xy`` has entries, empty and repeated ones included.

    Raises:
        XbdMissingError: no such file, or the scene's None.
        XbdError: too large, no JSON, no label; or an entry without uid or polygon, with an unknown
            subtype, another kind of geometry or a coordinate that is no finite number.
    """
    return LabelFile(path, max_bytes).buildings()


def read_metadata(path: Path | str | None, *, max_bytes: int = MAX_BYTES) -> Metadata:
    """Read how the image of a label file was taken; takes and raises what `read_label` does."""
    return LabelFile(path, max_bytes).metadata()


class LabelFile:
    """A label file, decoded once; each method checks and converts its part."""

    def __init__(self, path: Path | str | None, max_bytes: int = MAX_BYTES) -> None:
        with reading(path, "label"):
            size = Path(path).stat().st_size
            text = read_file(Path(path)) if size <= max_bytes else b""
        if size > max_bytes:
            raise XbdError(
                f"{path} has {size:,} bytes, more than max_bytes={max_bytes:,}: no official label "
                "is so large; if you trust it, give a larger max_bytes"
            )
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:  # JSON, Unicode, or nested too deeply
            raise XbdError(f"{path} is not whole or no JSON ({error}); {REPLACE}") from error
        self.path, self.data = path, data if isinstance(data, dict) else {}
        self.features = self.data.get("features")
        if not isinstance(self.features, dict) or not isinstance(self.features.get("xy"), list):
            raise XbdError(f"{path} is no xBD label: it has no list features.xy; {REPLACE}")

    def label(self) -> Label:
        """Give everything."""
        buildings, metadata, points = tuple(self.buildings()), self.metadata(), self.degrees()
        if len(points) == 0:  # no polygon, or only empty ones
            return Label(buildings, metadata, None)
        if _are_exchanged(buildings, points):
            self._refuse_degrees(_EXCHANGED, points[0])
        center = (points.min(axis=0) + points.max(axis=0)) / 2
        return Label(buildings, metadata, tuple(center.tolist()))

    def buildings(self) -> list[Building]:
        """Give the entries of ``features.xy``."""
        polygons = self._polygons("xy")
        with np.errstate(all="ignore"):  # huge coordinates overflow; the answer stands
            is_valid = shapely.is_valid(polygons).tolist()
        is_empty = shapely.is_empty(polygons).tolist()
        needs_damage = "_post_" in Path(self.path).name
        seen: set[str] = set()
        buildings = []
        for i, entry in enumerate(self.features["xy"]):
            found = entry.get("properties")
            found = found if isinstance(found, dict) else {}
            uid, subtype, damage = found.get("uid"), found.get("subtype"), None
            if not isinstance(uid, str):
                self._refuse("xy", i, f"expected a text as properties.uid, got {shorten(uid)}")
            try:
                if needs_damage or subtype is not None:
                    damage = DamageLevel.from_subtype(subtype)
            except XbdError as error:
                self._refuse("xy", i, str(error))
            flags = is_empty[i], uid in seen, is_valid[i]
            buildings.append(Building(uid, polygons[i], damage, *flags))
            seen.add(uid)
        return buildings

    def metadata(self) -> Metadata:
        """Give how the image was taken."""
        found = self.data.get("metadata")
        if not isinstance(found, dict):
            raise XbdError(f"{self.path} is no xBD label: it has no metadata; {REPLACE}")
        try:
            values = {name: _convert(name, kind, found.get(name)) for name, kind in _KINDS.items()}
        except ValueError as error:
            raise XbdError(f"{self.path}: metadata.{error}; correct it or {REPLACE}") from error
        return Metadata(**values)

    def degrees(self) -> Float[np.ndarray, "p 2"]:
        """Give longitude and latitude of every point of ``features.lng_lat``, in this order."""
        points = shapely.get_coordinates(self._polygons("lng_lat"))
        is_off, would_be_off = (
            (np.abs(degrees) > _FARTHEST).any(axis=1) for degrees in (points, points[:, ::-1])
        )
        if is_off.any():
            what = "these are no degrees" if would_be_off.any() else _EXCHANGED
            self._refuse_degrees(what, points[is_off][0])
        return points

    def _polygons(self, key: str) -> np.ndarray:
        entries = self.features.get(key, [])
        if not isinstance(entries, list):
            raise XbdError(f"{self.path} is no xBD label: features.{key} is no list; {REPLACE}")
        texts = [entry.get("wkt") if isinstance(entry, dict) else None for entry in entries]
        for i, text in enumerate(texts):  # looked at first: a parser may choke on other kinds
            is_text = isinstance(text, str) and text.isascii()
            if not is_text or not text.lstrip()[:12].upper().startswith(POLYGONS):
                self._refuse(key, i, f"expected a polygon as wkt, got {shorten(text)}")
        with np.errstate(all="ignore"):  # what is not finite is refused below
            polygons = shapely.from_wkt(np.array(texts, dtype=object), on_invalid="ignore")
        for i in np.flatnonzero(shapely.is_missing(polygons)).tolist()[:1]:
            self._refuse(key, i, f"expected closed rings as wkt, got {shorten(texts[i])}")
        points, owners = shapely.get_coordinates(polygons, return_index=True)
        for i in owners[~np.isfinite(points).all(axis=1)].tolist()[:1]:
            self._refuse(key, i, "expected finite coordinates, got NaN or infinity")
        return polygons

    def _refuse_degrees(self, what: str, point: Float[np.ndarray, "2"]) -> NoReturn:
        raise XbdError(
            f"{self.path}: features.lng_lat: {what}; expected longitude (-180 … 180, eastward) "
            f"before latitude (-90 … 90), got {point[0]:g} {point[1]:g}; correct it or {REPLACE}"
        )

    def _refuse(self, key: str, i: int, reason: str) -> NoReturn:
        raise XbdError(f"{self.path}: features.{key}[{i}]: {reason}; correct it or {REPLACE}")


def _are_exchanged(buildings: Sequence[Building], degrees: Float[np.ndarray, "p 2"]) -> bool:
    """Tell whether latitude stands before longitude, also where both would be possible.

    [first, second] = [x, y] [[a, b], [c, d]], fitted. However a tile is turned, east and north are
    the mirror image of x to the right and y down, so that b and c have one sign where they are
    large. If both have grown large with two signs, the coordinates are mirrored once more.
    """
    pixels = shapely.get_coordinates([building.polygon for building in buildings])
    if len(pixels) != len(degrees):
        return False
    inputs, found = pixels - pixels.mean(axis=0), degrees - degrees.mean(axis=0)
    (a, b), (c, d) = np.linalg.lstsq(inputs, found, rcond=None)[0]
    return bool(-b * c > abs(a * d))


_KINDS = {field.name: field.type.__args__[0] for field in fields(Metadata)}
_WORDS = {str: "a text", int: "a pixel count", float: "a finite number", datetime: "an ISO date"}


def _convert(name: str, kind: type, value: object) -> object:
    """Check a value of the metadata and give it its type; None stays."""
    if value is None or (kind is str and isinstance(value, str)):
        return value
    if kind is int and type(value) is int and value > 0:
        return value
    with suppress(ValueError, OverflowError):
        if kind is datetime and isinstance(value, str):
            return datetime.fromisoformat(value)
        if kind is float and type(value) in (int, float) and math.isfinite(float(value)):
            return float(value)
    raise ValueError(f"{name}: expected {_WORDS[kind]}, got {shorten(value)}")
