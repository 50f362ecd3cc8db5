"""Let another program read what write_xbd writes, and measure how fast it is written.

    python benchmarks/xbd_readers.py [--pairs 2] [--skip-torchgeo]

Two 1024-pixel pairs of each of the 19 events (``--pairs`` of each) are written twice: by one
process, then by two that share the folder, each with half of the events. The files must be the
same. Processor time is given as well: other programs on the machine do not change it.

Then torchgeo reads train and test of it with its XView2 data set. It is no dependency of the
course, so uv makes an environment of its own for it (with this environment's torch; the package
index must be reachable). torchgeo returns the images of a pair as one tensor and, as mask, the
target after the disaster minus the one before it, at least 0: no damage is 0, and minor, major and
destroyed are 1, 2, 3. Its images must be ours, byte by byte, and its masks what our polygons say.
Exits with 1 if anything differs.
"""

import argparse
import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from tqdm import tqdm

import mini_earth
from course_utils import xbd
from course_utils.xbd.events import read_events

TORCHGEO = "0.8.1"
CHILD = """
import sys
from pathlib import Path
import numpy as np
import torchgeo
from torchgeo.datasets import XView2

root, out = Path(sys.argv[1]), Path(sys.argv[2])
for split in ("train", "test"):
    scenes = XView2(root, split=split)
    for index in range(len(scenes)):
        sample = scenes[index]
        name = Path(scenes.files[index]["image1"]).name.removesuffix("_pre_disaster.png")
        np.savez(out / f"{name}.npz", image=sample["image"].numpy(), mask=sample["mask"].numpy())
print(torchgeo.__version__)
"""


def write(root: Path, events: list[str], num_pairs: int) -> int:
    """Write some events at full size."""
    return len(mini_earth.write_xbd(root, events=events, num_pairs=num_pairs))


def rates(folder: Path, num_pairs: int) -> tuple[list[float], Path]:
    """Write with one process and with two; pairs a second, by processor time, and the folder."""
    events = list(read_events())
    alone, shared = folder / "one", folder / "two"
    write(folder / "warm", events[:1], 1)
    start, busy = time.perf_counter(), time.process_time()
    steps = mini_earth.write_xbd_steps(alone, num_pairs=num_pairs)
    total = sum(1 for _ in tqdm(steps, total=num_pairs * len(events), mininterval=5))
    middle, busy = time.perf_counter(), time.process_time() - busy
    with ProcessPoolExecutor(2) as pool:
        jobs = [pool.submit(write, shared, events[half::2], num_pairs) for half in (0, 1)]
        assert sum(job.result() for job in jobs) == total
    end = time.perf_counter()
    names = sorted(path.relative_to(alone) for path in alone.rglob("*.*") if path.is_file())
    _, unequal, missing = filecmp.cmpfiles(alone, shared, names, shallow=False)
    if unequal or missing:
        raise SystemExit(f"two processes wrote other files: {(unequal + missing)[:3]}")
    return [total / seconds for seconds in (middle - start, busy, end - middle)], alone


def run_torchgeo(root: Path, out: Path) -> str:
    """Read the data set with torchgeo in an environment of its own; its version."""
    out.mkdir()
    near = Path(sys.executable).with_name("uv")
    uv = str(near) if near.exists() else shutil.which("uv")
    if uv is None:
        raise SystemExit("uv is needed to make an environment for torchgeo: pip install uv")
    versions = [
        f"{name}=={__import__(name).__version__.split('+')[0]}" for name in ("torch", "torchvision")
    ]
    packages = [f"--with={name}" for name in (f"torchgeo=={TORCHGEO}", *versions)]
    command = [uv, "run", "--no-project", "--quiet", "--python", sys.executable, *packages]
    command += ["python", "-c", CHILD, str(root), str(out)]
    env = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run(command, env=env, cwd=out, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"torchgeo could not read it:\n{done.stderr[-3000:]}")
    return done.stdout.split()[-1]


def expected_mask(scene: xbd.XbdScene) -> np.ndarray:
    """Draw, from the label file, what torchgeo makes of the two targets."""
    label = xbd.read_label(scene.post_label)
    before, after = (
        Image.new("L", (label.metadata.width, label.metadata.height)) for _ in range(2)
    )
    for building in label.buildings:
        ring = list(building.polygon.exterior.coords)
        graded = building.damage is not xbd.DamageLevel.UNCLASSIFIED
        ImageDraw.Draw(before).polygon(ring, fill=1)
        ImageDraw.Draw(after).polygon(ring, fill=int(building.damage) if graded else 0)
    return np.maximum(np.array(after, int) - np.array(before, int), 0)


def compare(root: Path, out: Path) -> tuple[int, int, np.ndarray]:
    """Compare what torchgeo read with ours; scenes, scenes that differ, pixels by mask value."""
    scenes = [scene for scene in xbd.find_scenes(root) if scene.split in ("train", "test")]
    if sorted(path.stem for path in out.glob("*.npz")) != [scene.name for scene in scenes]:
        raise SystemExit("torchgeo found other scenes than there are")
    num_unequal, pixels = 0, np.zeros(5, int)
    for scene in scenes:
        with np.load(out / f"{scene.name}.npz") as read:
            image, mask = read["image"], read["mask"]
        ours = np.stack([xbd.read_image(path) for path in (scene.pre_image, scene.post_image)])
        same = np.array_equal(image, ours.transpose(0, 3, 1, 2))
        num_unequal += not (same and np.array_equal(mask, expected_mask(scene)))
        pixels += np.bincount(mask.ravel(), minlength=5)
    return len(scenes), num_unequal, pixels


def main() -> int:
    """Measure, compare, print, and say whether the other program read what we wrote."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--skip-torchgeo", action="store_true")
    args = parser.parse_args()
    if args.pairs < 2:
        parser.error("torchgeo wants train and test, which needs 2 pairs of an event or more")
    with tempfile.TemporaryDirectory() as folder:
        (one, busy, two), root = rates(Path(folder), args.pairs)
        size = sum(path.stat().st_size for path in root.rglob("*.*"))
        print(f"write_xbd, 1024 px, one process:    {one:5.2f} pairs/s")
        print(f"the same by processor time:         {busy:5.2f} pairs/s")
        print(f"write_xbd, 1024 px, two processes:  {two:5.2f} pairs/s, the same files")
        print(f"on disk:                            {size / args.pairs / 19 / 1e6:5.2f} MB a pair")
        if args.skip_torchgeo:
            return 0
        out = Path(folder) / "read"
        version = run_torchgeo(root, out)
        total, num_unequal, pixels = compare(root, out)
    print(f"torchgeo {version} XView2: {total} scenes of train and test, {num_unequal} differ")
    print(f"pixels of its mask by value 0 to 4: {pixels.tolist()}")
    return 0 if num_unequal == 0 and pixels[1:4].all() else 1


if __name__ == "__main__":
    sys.exit(main())
