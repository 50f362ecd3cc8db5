"""An album: a folder of PNG images with one manifest line each, never half written.

The folder is named by the model and the settings. Images are written first and their lines after
them, so that a line vouches for its image; a line that does not (cut when a run was killed, or its
image lost or changed) is dropped on opening.
"""

import contextlib
import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from course_utils.images import load_image, png_bytes
from course_utils.runtime import write_atomically
from course_utils.text2image.jobs import Job
from course_utils.text2image.loading import TextToImage
from course_utils.text2image.records import Generated, GenerationConfig

MANIFEST = "manifest.jsonl"  # datasets.load_dataset("json", data_files=...) reads it
ABANDONED = 3600  # seconds after which nobody is writing a file any more


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
    """Read a manifest, keep the lines whose image is intact, and mend it if there are others.

    Returns:
        The entries by file name.

    Raises:
        OSError: the folder cannot be read, or not be mended.
    """
    _sweep(folder)
    manifest = folder / MANIFEST
    written = manifest.read_bytes() if manifest.exists() else b""
    *lines, rest = written.split(b"\n")
    sound = [entry for entry in (_read_line(folder, line) for line in lines) if entry]
    entries = {entry["file_name"]: entry for entry in sound}
    if rest or len(entries) != len(lines):
        write_atomically(manifest, b"".join(_line(entry) for entry in entries.values()))
    return entries


def recall(folder: Path, job: Job, entry: dict[str, Any]) -> Generated:
    """Read an image that an album holds, and its provenance."""
    path = folder / job.file_name
    provenance = {key: entry[key] for key in entry if key not in ("file_name", "sha256")}
    image = np.asarray(load_image(path))
    return Generated(image, job.prompt, job.seed, path, provenance, cached=True)


def keep(folder: Path, drawn: Iterable[tuple[Job, UInt8[Tensor, "c h w"], dict[str, Any]]]) -> None:
    """Write images, then a line for each with its provenance.

    Raises:
        OSError: one of them cannot be written; those before it have their line, if it fits.
    """
    lines = []
    try:
        for job, image, provenance in drawn:
            data = png_bytes(image)
            write_atomically(folder / job.file_name, data)
            digest = hashlib.sha256(data).hexdigest()
            lines.append(_line({"file_name": job.file_name, "sha256": digest, **provenance}))
    finally:
        if lines:
            manifest = folder / MANIFEST  # read again: another run may have added to it
            written = manifest.read_bytes() if manifest.exists() else b""
            write_atomically(manifest, written + b"".join(lines))


def _sweep(folder: Path) -> None:
    """Remove what killed runs were writing; another run may still be at the newest ones."""
    for part in folder.glob(".*.part"):
        with contextlib.suppress(OSError):  # then it stays: it does no harm
            if time.time() - part.stat().st_mtime > ABANDONED:
                part.unlink()


def _line(entry: dict[str, Any]) -> bytes:
    return (json.dumps(entry, ensure_ascii=False) + "\n").encode()


def _read_line(folder: Path, line: bytes) -> dict[str, Any] | None:
    """Read a line of the manifest; None if it is torn, or its image lost or changed."""
    try:
        entry = json.loads(line)
        data = (folder / entry["file_name"]).read_bytes()
        return entry if hashlib.sha256(data).hexdigest() == entry["sha256"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
