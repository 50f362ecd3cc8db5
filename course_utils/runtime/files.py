"""Files that are whole or not there: written in one step, sealed in caches, leftovers removed.

A run may be killed at any moment, and two may share a folder. So a file is written under a hidden
name that says who writes it, and gets its own name in one step (`write_atomically`). A file of a
cache is sealed besides: it ends with a checksum of its name and content (`write_sealed`), and what
is damaged, cut off or in another file's place counts as not there (`read_sealed`).
"""

import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedWriter
from pathlib import Path
from typing import Any

import psutil

ABANDONED = 3600  # seconds after which nobody is writing a file any more, if it does not say who
SEAL_BYTES = hashlib.sha256().digest_size
_LEFT = (".*.part", ".*.probe", ".unpacking-*")  # the last two: of older versions
_PART = re.compile(r"\.([0-9a-f]{6})-(\d+)-[0-9a-f]{8}\.part")
_WAITS = (0.01, 0.1, 0.5)  # seconds


def write_atomically(path: Path | str, data: bytes) -> None:
    """Write a file so that at any time the old content or the new one is there, never a part.

    The bytes go to a hidden file in the same folder, which then replaces ``path`` in one step.
    Missing folders are made.

    Args:
        path: where the file shall be.
        data: its whole content.

    Raises:
        OSError: it cannot be written (full disk, read-only folder); an older file is still there.
    """
    try:
        with open_atomically(Path(path)) as file:
            file.write(data)
    except OSError as error:
        advice = "free some space, or set COURSE_OUT and COURSE_CACHE to folders elsewhere"
        reason = f"could not write the file ({error.strerror or error}); {advice}"
        raise OSError(error.errno, reason, str(path)) from error


@contextmanager
def open_atomically(path: Path) -> Iterator[BufferedWriter]:
    """Open a hidden file that replaces ``path`` when the block ends, and is gone if it fails."""
    part = new_part(path.parent)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "xb") as file:
            yield file
        replace_file(part, path)
    finally:
        discard(part)  # also after Ctrl-C


def new_part(folder: Path) -> Path:
    """Name a hidden file or folder that this process may write to; `sweep` knows whose it is."""
    # short: the name of what it will be may fill the limit of a name
    return folder / f".{_machine()}-{os.getpid()}-{secrets.token_hex(4)}.part"


def replace_file(part: Path, path: Path) -> None:
    """Give a finished file its name, in place of what has it; wait for a reader on Windows."""
    for wait in _WAITS:
        try:
            return os.replace(part, path)
        except PermissionError:  # there, while another process has the old file open
            time.sleep(wait)
    return os.replace(part, path)


def discard(path: Path) -> None:
    """Remove a file or a whole folder, if it is there; what cannot be removed stays."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def sweep(folder: Path) -> None:
    """Remove what killed runs have left half written in a folder.

    What a running process of this machine is writing stays; what does not say who writes it, or
    names another machine, stays for an hour after its last change.
    """
    for pattern in _LEFT:
        for part in folder.glob(pattern):
            with suppress(OSError):  # gone meanwhile, or not ours to see
                if _is_left(part):
                    discard(part)


def _is_left(part: Path) -> bool:
    writer = _PART.fullmatch(part.name)
    if writer and writer[1] == _machine():
        return not _is_running(int(writer[2]))
    changes = (each.lstat().st_mtime for each in (part, *part.rglob("*")))
    return time.time() - max(changes) > ABANDONED


def _is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True  # of another user


def _machine() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:6]


def read_file(path: Path) -> bytes | None:
    """Give the content of a file of a cache; None if there is none that can be read."""
    try:
        return path.read_bytes() if path.is_file() else None  # a pipe would keep us waiting
    except OSError:
        return None


def write_cached(path: Path, data: bytes) -> None:
    """Write a file of a cache atomically, also where something took its place that is no file.

    Raises:
        OSError: it cannot be written.
    """
    if path.is_dir():
        discard(path)
    write_atomically(path, data)


def write_sealed(path: Path, content: bytes) -> None:
    """Write a file of a cache, ending with the 32 bytes of a checksum of its name and content.

    Such an ending does not trouble readers of ``.npy`` and ``.npz``.

    Raises:
        OSError: it cannot be written.
    """
    write_cached(path, content + _digest(path.name, content))


def read_sealed(path: Path) -> bytes | None:
    """Give the content that `write_sealed` wrote; None if it is not there whole and unchanged."""
    data = read_file(path) or b""
    content, found = data[:-SEAL_BYTES], data[-SEAL_BYTES:]
    return content if found == _digest(path.name, content) else None


def seal(entry: dict[str, Any], name: str) -> dict[str, Any]:
    """Add to an entry for a JSON file a ``seal``, a checksum of the entry and a name."""
    return {**entry, "seal": _digest(name, json.dumps(entry).encode()).hex()}


def is_sealed(entry: dict[str, Any], name: str) -> bool:
    """Tell whether an entry that was read from JSON is as it was sealed under this name."""
    rest = {key: value for key, value in entry.items() if key != "seal"}
    return entry == seal(rest, name)


def _digest(name: str, content: bytes) -> bytes:
    digest = hashlib.sha256(name.encode() + b"\0")
    digest.update(content)
    return digest.digest()
