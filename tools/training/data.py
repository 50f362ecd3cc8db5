"""What may be trained on, captioned images, and what is said of them."""

import argparse
import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import astuple, dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor

import mini_earth
from course_utils.runtime import read_sealed, sweep, write_atomically, write_sealed
from tools.training import words
from tools.training.files import say

SHARD = 250  # views rendered and written at a time, so that a killed run loses seconds
EUROSAT_CLASSES = frozenset(words.EUROSAT_PHRASES)


def refuse_test_style(styles: Sequence[str]) -> tuple[str, ...]:
    """Return ``styles`` if the shipped models may see all of them, else raise a ValueError."""
    if wrong := [style for style in styles if style not in mini_earth.TRAIN_STYLES]:
        raise ValueError(
            f"the shipped models must never see {', '.join(wrong)}: the lab tests on it or it is "
            f"unknown; train on {', '.join(mini_earth.TRAIN_STYLES)}"
        )
    if not styles:
        raise ValueError(f"name at least one style of {', '.join(mini_earth.TRAIN_STYLES)}")
    return tuple(styles)


def _class_names(path: Path) -> list[str]:
    metadata = pq.read_schema(path).metadata or {}
    features = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    return list(features.get("label", {}).get("names", []))


def record_seen(files: Sequence[Path], path: Path) -> None:
    """Add every image of these training files to the list of what the models have seen.

    An image file is named by the first 8 bytes of its SHA-256, as a big-endian number.
    """
    seen = {
        int.from_bytes(hashlib.sha256(image["bytes"]).digest()[:8], "big")
        for file in files
        for image in pq.read_table(file, columns=["image"])["image"].to_pylist()
    }
    before = np.load(path) if path.is_file() else np.empty(0, np.uint64)
    buffer = io.BytesIO()
    np.save(buffer, np.union1d(before, np.array(sorted(seen), np.uint64)))
    write_atomically(path, buffer.getvalue())


@dataclass(frozen=True)
class Captioned:
    """Images of one source and what may be said of each.

    ``labels`` are class names without underscores or spaces, so that the same ground has the same
    name in every source; ``sentences`` are captions, one tuple an image; ``phrases`` are short
    names of a class; ``sights`` are what is known of each image, and empty for photographs.
    """

    source: str
    images: Tensor  # uint8, n c h w
    labels: tuple[str, ...]
    sentences: tuple[tuple[str, ...], ...]
    phrases: dict[str, tuple[str, ...]]
    meters_per_pixel: np.ndarray  # float, n
    sights: tuple[tuple[mini_earth.Sight, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Sequence[int]) -> "Captioned":
        """Keep these rows."""
        index = np.asarray(rows, dtype=np.int64)
        return replace(
            self,
            images=self.images[torch.as_tensor(index)],
            labels=tuple(self.labels[i] for i in index),
            sentences=tuple(self.sentences[i] for i in index),
            meters_per_pixel=self.meters_per_pixel[index],
            sights=tuple(self.sights[i] for i in index) if self.sights else (),
        )


def read_captioned(path: Path, *, size: int, allow_eurosat: bool = False) -> Captioned:
    """Read a training file: ``image`` (bytes), ``label`` (int) and, if it has them, ``captions``.

    EuroSAT is known by its name or by its class names. UC Merced's 0.3 m are at 256 pixels,
    EuroSAT's 10 m at 64; images are resized to ``size``.

    Raises:
        ValueError: it is EuroSAT, which only the generator that stands in for one that has seen
            the world may see.
    """
    names = _class_names(path)
    is_eurosat = "eurosat" in path.name.lower() or len(EUROSAT_CLASSES.intersection(names)) > 5
    if is_eurosat and not allow_eurosat:
        raise ValueError(
            f"{path.name} is EuroSAT, which this model must never see: it is measured on it; "
            "only small_text2image_eurosat is trained with it"
        )
    table = pq.read_table(path)
    names = names or [str(k) for k in range(max(table["label"].to_pylist()) + 1)]
    phrases = words.EUROSAT_PHRASES if is_eurosat else words.UC_MERCED_PHRASES
    images = [_decode(cell["bytes"], size) for cell in table["image"].to_pylist()]
    labels = tuple(names[k] for k in table["label"].to_pylist())
    has_captions = "captions" in table.column_names
    rows = table["captions"].to_pylist() if has_captions else [()] * len(labels)
    return Captioned(
        source="eurosat" if is_eurosat else "ucmerced",
        images=torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous(),
        labels=labels,
        sentences=tuple(tuple(s.replace(" .", ".").lower() for s in row) for row in rows),
        phrases={name: phrases.get(name, (name.lower(),)) for name in names},
        meters_per_pixel=np.full(len(labels), 640.0 / size if is_eurosat else 76.8 / size),
    )


def _decode(data: bytes, size: int) -> np.ndarray:
    image = Image.open(io.BytesIO(data)).convert("RGB")
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(image)


def split_last_tenth(data: Captioned) -> tuple[Captioned, Captioned]:
    """Set aside the last tenth by row of each class: (training, validation)."""
    rows: dict[str, list[int]] = {}
    for index, label in enumerate(data.labels):
        rows.setdefault(label, []).append(index)
    held = {i for part in rows.values() for i in part[len(part) - max(1, len(part) // 10) :]}
    keep = [i for i in range(len(data)) if i not in held]
    return data.take(keep), data.take(sorted(held))


def _render_shard(path: Path, num: int, size: int, settings: dict) -> None:
    views = list(mini_earth.sample_views(num, size=size, **settings))
    meta = [
        {
            "label": (view.disaster or view.scene_class).replace("_", ""),
            "captions": view.captions,
            "meters_per_pixel": view.meters_per_pixel,
            "style": view.style,
            "sights": [astuple(sight) for sight in view.sights],
        }
        for view in views
    ]
    buffer = io.BytesIO()
    np.savez(buffer, images=np.stack([view.image for view in views]), meta=json.dumps(meta))
    write_sealed(path, buffer.getvalue())


def render_views(
    num: int,
    *,
    styles: Sequence[str],
    seed: int,
    work: Path,
    size: int = 64,
    processes: int = 2,
    disaster_share: float = 0.5,
) -> Captioned:
    """Render training views into a cache in ``work``, or read them from there.

    ``seed`` is that of the stream, from which each shard of the cache has its own; with no
    ``processes`` this one renders.
    """
    styles = refuse_test_style(styles)
    what = (mini_earth.__version__, styles, seed, size, SHARD, disaster_share)
    folder = work / f"renders_{hashlib.sha256(repr(what).encode()).hexdigest()[:12]}"
    jobs = []
    for index, start in enumerate(range(0, num, SHARD)):
        count = min(SHARD, num - start)
        settings = {"seed": 100_000 * seed + index, "styles": styles}
        settings["disaster_share"] = disaster_share
        jobs.append((folder / f"{index:05d}_{count}.npz", count, size, settings))
    sweep(folder)
    todo = [job for job in jobs if read_sealed(job[0]) is None]
    if processes and todo:
        say(f"rendering {len(todo)} of {len(jobs)} shards of {SHARD} views")
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            list(pool.map(_render_shard, *zip(*todo, strict=True)))
    else:
        for job in todo:
            _render_shard(*job)
    return _read_shards([job[0] for job in jobs])


def render_both(
    args: argparse.Namespace, *, disaster_share: float = 0.3
) -> tuple[Captioned, Captioned]:
    """Render what models learn from, and fresh views of the kind; generators see few disasters."""
    settings = {"styles": args.styles, "work": args.work, "processes": args.processes}
    render = partial(render_views, disaster_share=disaster_share, **settings)
    return render(args.renders, seed=1), render(args.validation_renders, seed=2)


def _read_shards(paths: Iterable[Path]) -> Captioned:
    images, meta = [], []
    for path in paths:
        with np.load(io.BytesIO(read_sealed(path))) as shard:
            images.append(torch.from_numpy(shard["images"]).permute(0, 3, 1, 2))
            meta += json.loads(str(shard["meta"]))
    phrases = {**mini_earth.SCENE_PHRASES, **mini_earth.DISASTER_PHRASES}
    return Captioned(
        source="mini_earth",
        images=torch.cat(images).contiguous(),
        labels=tuple(row["label"] for row in meta),
        sentences=tuple(tuple(said.lower() for said in row["captions"]) for row in meta),
        phrases={name.replace("_", ""): said for name, said in phrases.items()},
        meters_per_pixel=np.array([row["meters_per_pixel"] for row in meta]),
        sights=tuple(tuple(mini_earth.Sight(*sight) for sight in row["sights"]) for row in meta),
    )


def google_level(meters_per_pixel: float) -> int:
    """Name the zoom level of an image as shown: round(17 - log2(meters per pixel)), 10 to 18."""
    return int(np.clip(round(17 - np.log2(meters_per_pixel)), 10, 18))


def compose_caption(
    data: Captioned, index: int, rng: np.random.Generator, *, sentence_share: float = 0.5
) -> str:
    """Say one thing of image ``index``: a full sentence, or a class name in a template."""
    sentences, label = data.sentences[index], data.labels[index]
    if sentences and rng.random() < sentence_share:
        return sentences[rng.integers(len(sentences))]
    phrase = data.phrases[label][rng.integers(len(data.phrases[label]))]
    if rng.random() < 0.4:
        phrase = phrase.removeprefix("an ").removeprefix("a ")
    is_event = label in mini_earth.DISASTERS
    templates = words.TEMPLATES + (words.EVENT_TEMPLATES if is_event else ())
    return templates[rng.integers(len(templates))].format(phrase)
