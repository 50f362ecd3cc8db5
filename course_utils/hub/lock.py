"""The artifact lock: what each model or data set is, and how its files are recognised."""

import hashlib
import json
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from course_utils.runtime import data_root

DATA_ROOT = data_root()
LOCK_FILE = "artifacts.lock.json"
KINDS = (".json", ".txt", ".model", ".safetensors")  # weights and settings, no code, no pickles


class ArtifactError(ValueError):
    """An artifact that is unknown, not here, or not what the lock says."""


@dataclass(frozen=True)
class Artifact:
    """One entry of the lock: what a model or data set is and where it comes from."""

    name: str
    role: str  # "clip", "mae", "captioner", "writer", "text2image", "control", … or "data"
    files: dict[str, str]  # path inside the folder -> SHA-256; empty: not shipped yet, or too many
    num_bytes: int  # of the files; of one that has to be downloaded about what that takes
    license: str
    source: str
    stand_in: str | None = None  # the artifact that replaces it offline
    trained_on: str | None = None  # the data artifact whose images a generator has seen
    id: str | None = None  # repository on the hub
    revision: str | None = None  # commit there
    # copies, best first: "repository@revision", or "https://…", a hub with the same repository
    mirrors: list[str] = field(default_factory=list)
    modelscope: str | None = None  # repository on ModelScope
    scheduler: str | None = None  # sampler of diffusers that its authors use, if not the folder's
    settings: dict[str, Any] = field(default_factory=dict)  # that its authors use
    guidance: list[float] | None = None  # least and greatest scale that a distilled model learned


@dataclass(frozen=True)
class Located:
    """An artifact that is here: ``root`` holds the files of ``artifact``."""

    root: Path
    artifact: Artifact  # of a local folder with its own files, which may differ from the lock's
    origin: Literal["local", "shipped", "cache", "hub", "mirror", "modelscope", "stand-in"]
    stand_in_for: str | None = None  # to be said loudly wherever results are shown
    revision: str | None = None  # commit that was downloaded
    repository: str | None = None  # where it was downloaded from, with the commit
    notes: tuple[str, ...] = ()  # why the places before this one did not have it
    unpinned: str = ""  # what the lock cannot vouch for, of a download


def read_lock(path: Path | None = None) -> dict[str, Artifact]:
    """Read the lock file into artifacts by name.

    Args:
        path: the course's own ``data/artifacts.lock.json`` by default.

    Raises:
        ArtifactError: the file is missing or does not have the form of a lock.
    """
    path = path or DATA_ROOT / LOCK_FILE
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["artifacts"]
        return {name: Artifact(name=name, **entry) for name, entry in entries.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ArtifactError(
            f"{path} is no artifact lock ({error!r}); restore it: git checkout -- data/{LOCK_FILE}"
        ) from error


def list_files(root: Path) -> list[str]:
    """List the files in a folder and below as sorted relative paths, without hidden ones.

    Links to folders are followed where a model's parts lie, and no deeper.
    """
    linked = (path.glob("*") for path in root.glob("*") if path.is_symlink())
    found = {*root.rglob("*"), *chain.from_iterable(linked)}
    paths = (path.relative_to(root) for path in found if path.is_file())
    visible = (path for path in paths if not any(part.startswith(".") for part in path.parts))
    return sorted(path.as_posix() for path in visible)


def sha256_of(path: Path) -> str:
    """Hash a file; again in this process only if its size or a time of change is another."""
    status = path.stat()
    return _sha256(path, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def is_sound(path: Path, digest: str) -> bool:
    """Tell whether a file is there, can be read and has this SHA-256."""
    try:
        return path.is_file() and sha256_of(path) == digest
    except OSError:
        return False


@lru_cache(maxsize=4096)
def _sha256(path: Path, size: int, mtime_ns: int, ctime_ns: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
