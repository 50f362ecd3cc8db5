"""Make data/land.json, the land of the world map, from a wheel that carries Natural Earth.

python tools/make_land.py                       fetches the wheel with pip
python tools/make_land.py --wheel FILE.whl      reads one that is there already

The wheel is geopandas 0.14.4, the last series that bundles Natural Earth's countries at 1:110
million. It is opened as a zip file and not installed; borders between countries are dissolved.
"""

import argparse
import hashlib
import json
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import shapely
from shapely.geometry.base import BaseGeometry

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from course_utils.runtime import data_root, write_atomically

WHEEL = "geopandas==0.14.4"
WHEEL_SHA256 = "3bb6473cb59d51e1a7fe2dbc24a1a063fb0ebdeddf3ce08ddbf8c7ddc99689aa"
MEMBER = "geopandas/datasets/naturalearth_lowres/naturalearth_lowres.shp"
SOURCE = (
    "Natural Earth, countries at 1:110 million, made with tools/make_land.py from "
    "naturalearth_lowres in the wheel of geopandas 0.14.4; borders dissolved"
)
LICENSE = "public domain (naturalearthdata.com/about/terms-of-use)"
DECIMALS = 2  # 0.01 degrees are about 1 km, far below what the scale of 1:110 million resolves
TOLERANCE = 0.01  # degrees by which an outline may be straightened
MAX_BYTES = 200_000
_POLYGON = 5  # shape type


def fetch_wheel(folder: Path) -> Path:
    """Download the wheel with pip, without what it depends on."""
    options = ["--no-deps", "--only-binary=:all:", "--quiet", "--dest", str(folder)]
    command = [sys.executable, "-m", "pip", "download", *options, WHEEL]
    if subprocess.run(command, check=False).returncode:
        raise SystemExit(f"pip could not download {WHEEL}; give a wheel with --wheel")
    return next(folder.glob("*.whl"))


def read_shapes(wheel: Path) -> bytes:
    """Read the shape file out of the wheel, which has to be that one."""
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != WHEEL_SHA256:
        raise SystemExit(f"{wheel.name}: expected SHA-256 {WHEEL_SHA256}, found {found}")
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(MEMBER)


def polygons(data: bytes) -> Iterator[BaseGeometry]:
    """Decode the polygons of an ESRI shape file.

    A record holds rings one after another: clockwise ones are outlines, the others holes.

    Source:
        ESRI Shapefile Technical Description, July 1998, pages 4 to 9.
    """
    place = 100
    while place < len(data):
        _, words = struct.unpack_from(">2i", data, place)
        (kind,) = struct.unpack_from("<i", data, place + 8)
        if kind != _POLYGON:
            raise ValueError(f"expected polygons (shape type {_POLYGON}), got type {kind}")
        num_parts, num_points = struct.unpack_from("<2i", data, place + 44)
        starts = [*struct.unpack_from(f"<{num_parts}i", data, place + 52), num_points]
        numbers = struct.unpack_from(f"<{2 * num_points}d", data, place + 52 + 4 * num_parts)
        points = list(zip(numbers[::2], numbers[1::2], strict=True))
        rings = [shapely.LinearRing(points[a:b]) for a, b in pairwise(starts)]
        outlines = shapely.union_all([shapely.Polygon(r) for r in rings if not r.is_ccw])
        holes = shapely.union_all([shapely.Polygon(r) for r in rings if r.is_ccw])
        yield outlines.difference(holes)
        place += 8 + 2 * words


def land_json(shapes: bytes) -> bytes:
    """Dissolve the polygons, straighten and round their outlines, and write them as GeoJSON."""
    land = shapely.union_all([shape.buffer(0) for shape in polygons(shapes)], grid_size=1e-6)
    land = shapely.set_precision(land.simplify(TOLERANCE), 10**-DECIMALS)
    parts = sorted(shapely.get_parts(land), key=lambda part: -part.area)
    coordinates = [
        [
            [[round(x, DECIMALS), round(y, DECIMALS)] for x, y in ring.coords]
            for ring in (part.exterior, *part.interiors)
        ]
        for part in parts
    ]
    content = {"type": "MultiPolygon", "license": LICENSE, "source": SOURCE}
    content["coordinates"] = coordinates
    data = json.dumps(content, separators=(",", ":")).encode() + b"\n"
    if len(data) > MAX_BYTES:
        raise ValueError(f"expected at most {MAX_BYTES} bytes, got {len(data)}")
    return data


def main() -> None:
    """Read the options, then write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wheel", type=Path, help=f"a wheel of {WHEEL}")
    parser.add_argument("--out", type=Path, default=data_root() / "land.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = land_json(read_shapes(options.wheel or fetch_wheel(Path(folder))))
    write_atomically(options.out, data)
    print(f"{options.out.name}: {len(data)} bytes, {data.count(b'[[[') - 1} pieces of land")


if __name__ == "__main__":
    main()
