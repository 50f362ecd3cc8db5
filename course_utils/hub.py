"""The artifact lock: find a model or data set (local folder, shipped), verify it, explain it."""

import hashlib
import json
import os
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

DATA_ROOT = Path(__file__).resolve().parents[1] / "data"
LOCK_FILE = "artifacts.lock.json"


class ArtifactError(ValueError):
    """An artifact that is unknown, not here, or not what the lock says."""


@dataclass(frozen=True)
class Artifact:
    """One entry of the lock: what a model or data set is and where it comes from."""

    name: str
    role: str  # "clip", "text2image" or "data"
    files: dict[str, str]  # path inside the folder -> SHA-256; empty: not shipped yet, or too many
    num_bytes: int
    license: str
    source: str
    stand_in: str | None = None  # the artifact that replaces it offline
    trained_on: str | None = None  # the data artifact whose images a generator has seen
    id: str | None = None  # repository on the hub
    revision: str | None = None  # commit there
    mirrors: list[str] = field(default_factory=list)  # "repository@revision" of copies, best first


@dataclass(frozen=True)
class Located:
    """An artifact that is here: ``root`` holds the files of ``artifact``."""

    root: Path
    artifact: Artifact  # of a local folder with its own files, which may differ from the lock's
    origin: Literal["local", "shipped", "stand-in"]
    stand_in_for: str | None = None  # to be said loudly wherever results are shown


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


def locate(name: str, *, models: Path | None = None, data: Path | None = None) -> Located:
    """Find an artifact on this machine; nothing is downloaded.

    The places, in order: ``models/<name>``, taken as it is; ``data/models/<name>``, which must be
    byte for byte what the lock says; the same two places for the stand-in. A data artifact may
    also lie in ``models`` itself, without a folder of its own; one of which the lock lists no
    files may not, and they are not hashed.

    Args:
        name: a name in the lock, or the path of an existing folder, which is taken as it is.
        models: a folder to search first; by default ``COURSE_MODELS``, if that is set.
        data: the folder of the lock and what ships; the course's own by default.

    Returns:
        Where it is, what it is, and what it stands in for.

    Raises:
        ArtifactError: the name is unknown, no place has it, or a shipped file is damaged.
    """
    data = data or DATA_ROOT
    models = _models_folder(models)
    lock = read_lock(data / LOCK_FILE)
    if name not in lock:
        folder = Path(name).expanduser().resolve()
        if not (name and folder.is_dir()):
            known = ", ".join(sorted(lock))
            raise ArtifactError(f"{name!r} is neither a known artifact ({known}) nor a folder")
        unknown = {"license": "unknown", "source": "a local folder"}
        return _as_found(folder, Artifact(folder.name, "local", {}, 0, **unknown))
    artifact = lock[name]
    found = _search(artifact, models, data)
    if found is None and artifact.stand_in:
        found = _search(lock[artifact.stand_in], models, data)
        found = found and replace(found, origin="stand-in", stand_in_for=name)
    if found is None:
        raise ArtifactError(_not_found(artifact, models, data))
    return found


def _models_folder(models: Path | None) -> Path | None:
    models = models or os.environ.get("COURSE_MODELS") or None
    if models is None:
        return None
    folder = Path(models).expanduser().resolve()
    if not folder.is_dir():
        raise ArtifactError(f"COURSE_MODELS={str(models)!r} is no folder: looked at {folder}")
    return folder


def _search(artifact: Artifact, models: Path | None, data: Path) -> Located | None:
    if models and artifact.role == "data" and not artifact.files:
        folder = models / artifact.name
        return Located(folder, artifact, "local") if folder.is_dir() else None
    if models:
        folders = [models / artifact.name, *([models] if artifact.role == "data" else [])]
        for folder in folders:
            is_whole = all((folder / file).is_file() for file in artifact.files)
            if folder.is_dir() and (is_whole or artifact.role != "data"):
                return _as_found(folder, artifact)
    folder = data / "models" / artifact.name
    if not (artifact.files and folder.is_dir()):
        return None
    _verify(folder, artifact)
    return Located(folder, artifact, "shipped")


def _as_found(folder: Path, artifact: Artifact) -> Located:
    """Describe a folder by its own content; of a data artifact only the locked files count."""
    names = list(artifact.files) if artifact.role == "data" else list_files(folder)
    if not names:
        raise ArtifactError(f"{folder} holds no files; put the files of {artifact.name} there")
    files = {name: sha256_of(folder / name) for name in names}
    num_bytes = sum((folder / name).stat().st_size for name in names)
    return Located(folder, replace(artifact, files=files, num_bytes=num_bytes), "local")


def _verify(folder: Path, artifact: Artifact) -> None:
    for name, expected in artifact.files.items():
        path = folder / name
        found = sha256_of(path) if path.is_file() else "no file"
        if found != expected:
            raise ArtifactError(
                f"{path} is missing or damaged (SHA-256: expected {expected}, found {found}); "
                f"restore it: git checkout -- data/models/{artifact.name}/{name}, or copy it again"
            )


def _not_found(artifact: Artifact, models: Path | None, data: Path) -> str:
    shipped = data / "models" / artifact.name
    looked = f"{models or 'COURSE_MODELS (not set)'} and {shipped}"
    if artifact.role == "data":
        advice = "it does not ship with the course"
    elif not artifact.files and shipped.is_dir():
        advice = "the lock does not know the files there yet: run python tools/update_lock.py"
    elif not artifact.files:
        advice = "its weights are not shipped yet"
    else:
        advice = (
            f"it ships with the course: restore it with git checkout -- data/models/{shipped.name}"
        )
    files = ", ".join(artifact.files) or "its files"
    return (
        f"{artifact.name} was not found in {looked}; {advice}, or set COURSE_MODELS to a folder "
        f"that holds {artifact.name}/ with {files} (source: {artifact.source})"
    )


def list_files(root: Path) -> list[str]:
    """List the files in a folder and below as sorted relative paths, without hidden ones."""
    paths = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    visible = (path for path in paths if not any(part.startswith(".") for part in path.parts))
    return sorted(path.as_posix() for path in visible)


def sha256_of(path: Path) -> str:
    """Hash a file; again in this process only if its size or time of change is another."""
    status = path.stat()
    return _sha256(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4096)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
