"""An album: a folder of PNG images with one manifest line each, never half written.

The folder is named by the model and the settings. Images are written first and their lines after
them, so that a line vouches for its image, and by its seal for itself. What is not vouched for (cut
when a run was killed, lost, changed) counts as not there. Several runs may share an album.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from course_utils.images import load_image, png_bytes
from course_utils.runtime import discard, is_sealed, read_file, seal, sweep, write_cached
from course_utils.text2image.jobs import Job
from course_utils.text2image.loading import TextToImage
from course_utils.text2image.records import Generated, GenerationConfig

MANIFEST = "manifest.jsonl"  # datasets.load_dataset("json", data_files=...) reads it
_NOT_SAID = ("file_name", "sha256", "seal")  # of a line, in the provenance


def settings_of(
    model: TextToImage, config: GenerationConfig, strength: float | None
) -> dict[str, Any]:
    """Say all that the images of an album have in common."""
    import diffusers
    import torch
    import transformers

    names = ("artifact", "id", "revision", "fingerprint", "stand_in_for", "task", "level_by")
    record = {key: value for key, value in asdict(config).items() if key != "batch_size"}
    record["base_seed"] = record.pop("seed")
    return {
        **{name: getattr(model, name) for name in names},
        "strength": strength,
        "scheduler": type(model.pipeline.scheduler).__name__,
        **record,
        "versions": {lib.__name__: lib.__version__ for lib in (diffusers, transformers, torch)},
    }


def name_of(model: TextToImage, settings: dict[str, Any]) -> str:
    """Name an album by all that can move a pixel."""
    # Neither the name under which a model was found nor a patch release does.
    names = ("artifact", "id", "revision", "stand_in_for")
    parts = {k: v for k, v in settings.items() if k not in names}
    parts["versions"] = {k: v.split(".")[:2] for k, v in settings["versions"].items()}
    sampler = dict(model.pipeline.scheduler.config)
    if "_use_default_values" in sampler:  # diffusers lists them in another order in each process
        sampler["_use_default_values"] = sorted(sampler["_use_default_values"])
    parts["scheduler_config"] = sampler
    # A model that had to leave half precision goes on in the folder where it began.
    parts["dtype"] = model.history.loaded_as or model.dtype
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def provenance_of(model: TextToImage, job: Job, settings: dict[str, Any]) -> dict[str, Any]:
    """Say everything that made an image."""
    image, mask = (*job.hashes, None, None)[:2]
    return {
        **settings,
        **{name: getattr(job, name) for name in ("prompt", "text", "level", "seed", "cut")},
        "truncated": bool(job.cut),
        "source_image": image,  # SHA-256 of what it started from
        "source_mask": mask,
        "dtype": model.dtype,
    }


def open_album(folder: Path) -> dict[str, dict[str, Any]]:
    """Read a manifest, and mend it if not all of its lines are sound.

    Returns:
        The sound entries by file name.
    """
    sweep(folder)
    entries, is_sound = _read_manifest(folder)
    if not is_sound:
        with contextlib.suppress(OSError):  # read-only: the sound entries are as good without it
            _write_manifest(folder, entries)
    return entries


def recall(folder: Path, job: Job, entry: dict[str, Any] | None) -> Generated | None:
    """Read an image that an album holds, and its provenance; None if it is lost or changed."""
    path = folder / job.file_name
    data = entry and read_file(path)
    if not data or hashlib.sha256(data).hexdigest() != entry["sha256"]:
        return None
    provenance = {key: value for key, value in entry.items() if key not in _NOT_SAID}
    image = np.asarray(load_image(data))
    return Generated(image, job.prompt, job.seed, path, provenance, cached=True)


def keep(
    folder: Path,
    kept: dict[str, dict[str, Any]],
    drawn: Iterable[tuple[Job, UInt8[Tensor, "c h w"], dict[str, Any]]],
) -> None:
    """Write images, then a line for each with its provenance, beside those of other runs.

    Args:
        folder: of the album.
        kept: its entries as this run knows them; the new ones come to them. A line that another
            run's writing has lost is so written again.
        drawn: images with their jobs and provenance.

    Raises:
        OSError: one of them cannot be written; those before it have their line, if it fits.
    """
    new: dict[str, dict[str, Any]] = {}
    if folder.is_file():
        discard(folder)
    try:
        for job, image, provenance in drawn:
            data = png_bytes(image)
            write_cached(folder / job.file_name, data)
            entry = {"file_name": job.file_name, "sha256": hashlib.sha256(data).hexdigest()}
            new[job.file_name] = seal({**entry, **provenance}, folder.name)
    finally:
        if new:
            entries = {**kept, **_read_manifest(folder)[0], **new}
            _write_manifest(folder, entries)
            kept.update(entries)


def _write_manifest(folder: Path, entries: dict[str, dict[str, Any]]) -> None:
    lines = (json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries.values())
    write_cached(folder / MANIFEST, "".join(lines).encode())


def _read_manifest(folder: Path) -> tuple[dict[str, dict[str, Any]], bool]:
    """Give the sound entries by file name, and whether there is nothing else."""
    *lines, rest = (read_file(folder / MANIFEST) or b"").split(b"\n")
    sound = [entry for line in lines if (entry := _read_line(line, folder.name))]
    entries = {entry["file_name"]: entry for entry in sound}
    return entries, not rest and len(entries) == len(lines)


@lru_cache(maxsize=4096)  # a manifest is read once a batch
def _read_line(line: bytes, album: str) -> dict[str, Any] | None:
    """Read a line of the manifest; None if it is torn, changed, or of another album."""
    try:
        entry = json.loads(line)
        is_sound = isinstance(entry, dict) and is_sealed(entry, album)
    except (ValueError, RecursionError):
        return None
    return entry if is_sound else None
