"""Renders with all that a controlled model may be told: maps, metadata, a caption."""

import argparse
import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from tqdm.auto import tqdm

import mini_earth
from course_utils.runtime import read_sealed, sweep, write_sealed
from tools import training

SIZE, SHARD = 64, 250  # pixels; views rendered and written at a time
DISASTER_SHARE = 0.25  # of the views; a sixth of these are from before the disaster
FINEST, COARSEST = 0.8, 12.0  # meters a pixel


@dataclass(frozen=True)
class ToldViews:
    """Views of the world and what is known of them, row by row."""

    images: Tensor  # uint8, n 3 h w
    land_cover: Tensor  # uint8, n h w: codes of mini_earth.LAND_COVER
    heights: Tensor  # uint8, n h w: of roofs, in meters
    metadata: Tensor  # float, n 7: longitude, latitude, m per pixel, cloud share, year, month, day
    captions: tuple[str, ...]
    labels: tuple[str, ...]  # class names of the scene, or of its disaster

    def __len__(self) -> int:
        return len(self.captions)

    def take(self, rows: Sequence[int] | Tensor) -> "ToldViews":
        """Keep these rows."""
        index = torch.as_tensor(rows)
        values = [getattr(self, field.name) for field in fields(self)]
        kept = [v[index] if isinstance(v, Tensor) else tuple(v[i] for i in index) for v in values]
        return ToldViews(*kept)


def stream(num: int, *, styles: Sequence[str], seed: int) -> Iterator[tuple]:
    """Yield scenes and their views, as ``mini_earth.sample_views`` does, with more settlements."""
    for index in range(num):
        rng = np.random.default_rng([seed, index])
        style, scene_seed = styles[int(rng.integers(len(styles)))], int(rng.integers(1 << 48))
        if rng.uniform() < DISASTER_SHARE:
            disaster = mini_earth.DISASTERS[int(rng.integers(len(mini_earth.DISASTERS)))]
            scene = mini_earth.disaster_scene(disaster, style, seed=scene_seed)
            post = rng.uniform() > 1 / 6
        else:
            name = mini_earth.SCENE_CLASSES[int(rng.integers(len(mini_earth.SCENE_CLASSES)))]
            extent = SIZE * float(np.exp(rng.uniform(np.log(FINEST), np.log(COARSEST))))
            scene, post = mini_earth.make_scene(name, style, seed=scene_seed, extent=extent), False
        yield scene, mini_earth.render(scene, size=SIZE, post=post), post


def draw_heights(scene: mini_earth.Scene, *, post: bool) -> np.ndarray:
    """Draw the heights of roofs in meters, tall above low, uint8 (h, w)."""
    page = Image.new("L", (SIZE, SIZE))
    pen = ImageDraw.Draw(page)
    found = zip(scene.buildings, mini_earth.outlines(scene, size=SIZE, post=post), strict=True)
    for building, outline in sorted(found, key=lambda pair: pair[0].height):
        pen.polygon([tuple(point) for point in outline.points], fill=round(building.height))
    return np.asarray(page)


def _render_shard(path: Path, num: int, settings: dict) -> None:
    columns: dict[str, list] = {name: [] for name in ("images", "land_cover", "heights")}
    rows = []
    for scene, view, post in stream(num, **settings):
        columns["images"].append(view.image.transpose(2, 0, 1))
        columns["land_cover"].append(view.land_cover)
        columns["heights"].append(draw_heights(scene, post=post))
        about, date = view.metadata, view.metadata.date
        told = (about.longitude, about.latitude, about.meters_per_pixel, about.cloud_share)
        label = view.disaster or view.scene_class
        rows.append([[*told, date.year, date.month, date.day], view.caption.lower(), label])
    buffer = io.BytesIO()
    stacks = {name: np.stack(values) for name, values in columns.items()}
    np.savez_compressed(buffer, **stacks, rows=json.dumps(rows))
    write_sealed(path, buffer.getvalue())


def render_told(
    num: int, *, seed: int, work: Path, styles: Sequence[str], processes: int = 2
) -> ToldViews:
    """Render views into a cache in ``work``, or read them from there.

    Raises:
        ValueError: a style that the shipped models must not see.
    """
    styles = training.refuse_test_style(styles)
    what = (mini_earth.__version__, styles, seed, SIZE, SHARD, DISASTER_SHARE)
    folder = work / f"told_{hashlib.sha256(repr(what).encode()).hexdigest()[:12]}"
    jobs = []
    for index, start in enumerate(range(0, num, SHARD)):
        count = min(SHARD, num - start)
        settings = {"seed": 100_000 * seed + index, "styles": styles}
        jobs.append((folder / f"{index:05d}_{count}.npz", count, settings))
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    todo = [job for job in jobs if read_sealed(job[0]) is None]
    if todo:
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            done = pool.map(_render_shard, *zip(*todo, strict=True))
            list(tqdm(done, total=len(todo), desc=f"shards of {SHARD} views", mininterval=10))
    return _read([job[0] for job in jobs])


def _read(paths: Sequence[Path]) -> ToldViews:
    stacks: dict[str, list] = {name: [] for name in ("images", "land_cover", "heights")}
    rows: list = []
    for path in paths:
        with np.load(io.BytesIO(read_sealed(path))) as shard:
            for name, parts in stacks.items():
                parts.append(torch.from_numpy(shard[name]))
            rows += json.loads(str(shard["rows"]))
    metadata, captions, labels = zip(*rows, strict=True)
    tensors = {name: torch.cat(parts) for name, parts in stacks.items()}
    return ToldViews(**tensors, metadata=torch.tensor(metadata), captions=captions, labels=labels)


def render_parts(args: argparse.Namespace) -> tuple[ToldViews, ToldViews]:
    """Render what is trained on, and fresh views of the kind to measure with."""
    settings = {"work": args.work, "styles": args.styles, "processes": args.processes}
    train = render_told(args.renders, seed=11, **settings)
    return train, render_told(args.validation_renders, seed=12, **settings)
