"""Measure reading xBD: labels parsed, masks drawn, buildings cropped, against a plain loop.

    python benchmarks/xbd_reading.py [--scenes 1000]

Generated scenes of 1024 x 1024 pixels with 40 buildings each: irregular polygons of 4 to 8 corners,
as large as in xBD (boxes of 25 pixels in the median, one in twenty over 60), every tenth with a
hole, some over the border. Their labels are read from disk; the images are decoded beforehand, four
of them in turn. The plain loop is what one would write with json, shapely
and Pillow: parse polygon by polygon, draw each building on a mask of its own (so that holes stay
open and the later building wins), and cut each crop from the image with Pillow, which pads with
black. Its pixels and ours must be equal, and ours at least five times as fast. Exits with 1 if not.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import shapely.wkt
from PIL import Image, ImageDraw
from tqdm import tqdm

from course_utils.xbd import crop_building, damage_mask, read_buildings

SIDE, BUILDINGS, CONTEXT, SIZE = 1024, 40, 0.8, 64
LEVELS = {
    "no-damage": 1,
    "minor-damage": 2,
    "major-damage": 3,
    "destroyed": 4,
    "un-classified": 255,
}
AT_LEAST = 5.0
BLOCK = 25  # scenes read in one way, then in the other; bounds the memory for the comparison


def ring(rng: np.random.Generator, center: np.ndarray, radius: float) -> str:
    """Draw a closed ring of 4 to 8 corners around a center, as well-known text."""
    corners = int(rng.integers(4, 9))
    angles = np.sort(rng.uniform(0, 1, corners) + np.arange(corners)) * (2 * math.pi / corners)
    radii = radius * rng.uniform(0.7, 1, corners)
    points = center + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return "(" + ", ".join(f"{x:.14g} {y:.14g}" for x, y in [*points, points[0]]) + ")"


def label_text(rng: np.random.Generator) -> str:
    """Generate a label file with everything that an official one has."""
    entries: dict[str, list] = {"lng_lat": [], "xy": []}
    for i in range(BUILDINGS):
        center, radius = rng.uniform(0, SIDE, 2), min(rng.lognormal(2.8, 0.55), 80)
        rings = [ring(rng, center, radius)]
        if i % 10 == 9:
            rings.append(ring(rng, center, radius / 3))
        subtype = str(rng.choice(list(LEVELS)))
        properties = {"feature_type": "building", "subtype": subtype, "uid": rng.bytes(16).hex()}
        degrees = ring(rng, np.array([-90.84, 14.39]) + center / 1e5, radius / 1e5)
        entries["xy"].append({"properties": properties, "wkt": f"POLYGON ({', '.join(rings)})"})
        entries["lng_lat"].append({"properties": properties, "wkt": f"POLYGON ({degrees})"})
    metadata = {"sensor": "GENERATED", "width": SIDE, "height": SIDE, "disaster": "no-event"}
    return json.dumps({"features": entries, "metadata": metadata})


def plain(path: Path, image: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Read a scene as one would without the package."""
    with open(path) as file:
        label = json.load(file)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    crops = []
    for entry in label["features"]["xy"]:
        polygon = shapely.wkt.loads(entry["wkt"])
        one = Image.new("L", (SIDE, SIDE))
        draw = ImageDraw.Draw(one)
        draw.polygon(list(polygon.exterior.coords), fill=1)
        for hole in polygon.interiors:
            draw.polygon(list(hole.coords), fill=0)
        mask[np.array(one) == 1] = LEVELS[entry["properties"]["subtype"]]
        left, top, right, bottom = polygon.bounds
        width, height = right - left, bottom - top
        box = (
            math.floor(left - CONTEXT * width),
            math.floor(top - CONTEXT * height),
            math.ceil(right + CONTEXT * width),
            math.ceil(bottom + CONTEXT * height),
        )
        crop = Image.fromarray(image).crop(box).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        crops.append(np.array(crop))
    return mask, crops


def ours(path: Path, image: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Read a scene with the package."""
    buildings = read_buildings(path)
    mask = damage_mask(buildings, height=SIDE, width=SIDE)
    return mask, [crop_building(image, one, context=CONTEXT, size=SIZE) for one in buildings]


def compare(jobs: list[tuple[Path, np.ndarray]]) -> tuple[float, float, int]:
    """Read some scenes in both ways; returns seconds of either and differences."""
    results, seconds = [], []
    for read in (plain, ours):
        start = time.perf_counter()
        results.append([read(*job) for job in jobs])
        seconds.append(time.perf_counter() - start)
    num_unequal = 0
    for (mask, crops), (our_mask, our_crops) in zip(*results, strict=True):
        same = [np.array_equal(a, b) for a, b in zip(crops, our_crops, strict=True)]
        num_unequal += not (np.array_equal(mask, our_mask) and all(same))
    return *seconds, num_unequal


def main() -> int:
    """Measure, compare, print, and say whether the bounds hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=1000)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, SIDE, SIDE, 3), dtype=np.uint8)
    totals = np.zeros(3)
    with tempfile.TemporaryDirectory() as folder:
        jobs = []
        for i in range(args.scenes):
            path = Path(folder, f"no-event_{i:08d}_post_disaster.json")
            path.write_text(label_text(rng), encoding="utf-8")
            jobs.append((path, images[i % len(images)]))
        compare(jobs[:2])  # warm: libraries loaded, memory claimed
        for start in tqdm(range(0, len(jobs), BLOCK), mininterval=5):
            totals += compare(jobs[start : start + BLOCK])
    *seconds, num_unequal = totals
    ratio = seconds[0] / seconds[1]
    print(f"{args.scenes} scenes of {BUILDINGS} buildings: labels, masks, crops of {SIZE} px")
    for name, value in zip(("plain loop", "course_utils.xbd"), seconds, strict=True):
        print(f"{name:<18}{value:8.2f} s  {1000 * value / args.scenes:7.2f} ms a scene")
    print(f"{'times as fast':<18}{ratio:8.1f}    ({AT_LEAST:.0f} or more)")
    print(f"{'scenes that differ':<18}{num_unequal:8.0f}    (0)")
    return 0 if ratio >= AT_LEAST and num_unequal == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
