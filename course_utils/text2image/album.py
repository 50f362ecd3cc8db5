"""An album: a folder of PNG images with one manifest line each, never half written.

An image is written first and its line after it, so that a line vouches for its image; a line that
does not (cut when a run was killed, or its image lost or changed) is dropped on opening.
"""

import contextlib
import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from course_utils.images import load_image, png_bytes
from course_utils.runtime import write_atomically

MANIFEST = "manifest.jsonl"  # datasets.load_dataset("json", data_files=...) reads it
ABANDONED = 3600  # seconds after which nobody is writing a file any more


@dataclass(frozen=True)
class Album:
    """A folder and what its manifest vouches for, by file name."""

    folder: Path
    entries: dict[str, dict[str, Any]]


def open_album(folder: Path) -> Album:
    """Read a manifest, keep the lines whose image is intact, and mend it if there are others.

    Raises:
        OSError: the folder cannot be read, or not be mended.
    """
    _sweep(folder)
    manifest = folder / MANIFEST
    lines = manifest.read_bytes().split(b"\n")[:-1] if manifest.exists() else []
    torn = manifest.exists() and manifest.read_bytes()[-1:] not in (b"", b"\n")
    entries = {}
    for line in lines:
        entry = _entry(line)
        if entry and _is_intact(folder, entry):
            entries[entry["file_name"]] = entry
    if torn or len(entries) != len(lines):
        text = "".join(_line(entry) for entry in entries.values())
        write_atomically(manifest, text.encode())
    return Album(folder, entries)


def _sweep(folder: Path) -> None:
    """Remove what killed runs were writing; another run may still be at the newest ones."""
    for part in folder.glob(".*.part"):
        with contextlib.suppress(OSError):  # then it stays: it does no harm
            if time.time() - part.stat().st_mtime > ABANDONED:
                part.unlink()


def recall(album: Album, name: str) -> tuple[UInt8[np.ndarray, "h w c"], dict[str, Any]]:
    """Read an image that the album holds, and its provenance."""
    entry = album.entries[name]
    provenance = {key: entry[key] for key in entry if key not in ("file_name", "sha256")}
    return np.asarray(load_image(album.folder / name)), provenance


def keep(
    album: Album, name: str, image: UInt8[Tensor, "c h w"], provenance: dict[str, Any]
) -> Path:
    """Write an image, then its line.

    Raises:
        OSError: one of them cannot be written; what was there before is still valid.
    """
    path, data = album.folder / name, png_bytes(image)
    write_atomically(path, data)
    entry = {"file_name": name, "sha256": hashlib.sha256(data).hexdigest(), **provenance}
    manifest, line = album.folder / MANIFEST, _line(entry).encode()
    whole = manifest.stat().st_size if manifest.exists() else 0
    try:
        with open(manifest, "ab") as file:
            file.write(line)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.truncate(manifest, whole)  # a full disk may have taken half of the line
        advice = "free some space, or set COURSE_OUT to a folder elsewhere, and run again"
        reason = f"could not add a line ({error.strerror or error}); {advice}"
        raise OSError(error.errno, reason, str(manifest)) from error
    album.entries[name] = entry
    return path


def _line(entry: dict[str, Any]) -> str:
    return json.dumps(entry, ensure_ascii=False) + "\n"


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    is_ours = isinstance(entry, dict) and {"file_name", "sha256"} <= entry.keys()
    return entry if is_ours else None


def _is_intact(folder: Path, entry: dict[str, Any]) -> bool:
    try:
        data = (folder / entry["file_name"]).read_bytes()
    except OSError:
        return False
    return hashlib.sha256(data).hexdigest() == entry["sha256"]
