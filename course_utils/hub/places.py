"""Find a model or data set: a local folder, what ships, the cache, the network, a stand-in."""

from dataclasses import replace
from pathlib import Path

from course_utils.hub.fetching import fetch, find_cached
from course_utils.hub.lock import (
    DATA_ROOT,
    LOCK_FILE,
    Artifact,
    ArtifactError,
    Located,
    list_files,
    read_lock,
    sha256_of,
)
from course_utils.runtime import cache_folder, models_folder


def locate(
    name: str,
    *,
    models: Path | None = None,
    data: Path | None = None,
    remote: bool = False,
    cache: Path | None = None,
) -> Located:
    """Find an artifact on this machine, or fetch it if ``remote`` allows to ask the network.

    The places, in order: ``models/<name>``, taken as it is; ``data/models/<name>``, which must be
    byte for byte what the lock says; the cache; if ``remote``, the hub (``HF_ENDPOINT``), the
    lock's mirrors, ModelScope; the first two for the stand-in. A data artifact may also lie in
    ``models`` itself, without a folder of its own; one of which the lock lists no files may not,
    and they are not hashed. A place that fails is passed over, and ``notes`` says why.

    Args:
        name: a name in the lock, or the path of an existing folder, which is taken as it is.
        models: a folder to search first; by default ``COURSE_MODELS``, if that is set.
        data: the folder of the lock and what ships; the course's own by default.
        remote: ask the network for what is not here. Only weights and settings are downloaded,
            never code or pickles.
        cache: where downloads are kept; by default ``COURSE_CACHE`` or ``outputs/cache``.

    Returns:
        Where it is, what it is, and what it stands in for.

    Raises:
        ArtifactError: the name is unknown, no place has it, or a shipped file is damaged.
        OSError: there is no space for the download.
    """
    data = data or DATA_ROOT
    try:
        models = models_folder(models)
    except FileNotFoundError as error:
        raise ArtifactError(str(error)) from error
    lock = read_lock(data / LOCK_FILE)
    if name not in lock:
        folder = Path(name).expanduser().resolve()
        if not (name and folder.is_dir()):
            known = ", ".join(sorted(lock))
            raise ArtifactError(f"{name!r} is neither a known artifact ({known}) nor a folder")
        unknown = {"license": "unknown", "source": "a local folder"}
        return _as_found(folder, Artifact(folder.name, "local", {}, 0, **unknown))
    artifact, notes = lock[name], ()
    cache = cache_folder(cache)
    found = _search(artifact, models, data) or find_cached(artifact, cache)
    if found is None and remote and artifact.id:
        found, notes = fetch(artifact, cache)
    if found is None and artifact.stand_in:
        found = _search(lock[artifact.stand_in], models, data)
        found = found and replace(found, origin="stand-in", stand_in_for=name, notes=notes)
    if found is None:
        raise ArtifactError("; ".join([_not_found(artifact, models, data), *notes]))
    return found


def shipped_folder(artifact: Artifact, data: Path) -> Path:
    """Say where an artifact lies that ships: models together, each data set on its own."""
    return data / artifact.name if artifact.role == "data" else data / "models" / artifact.name


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
    folder = shipped_folder(artifact, data)
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
    place = f"{folder.parent.name}/{folder.name}" if artifact.role != "data" else folder.name
    for name, expected in artifact.files.items():
        path = folder / name
        found = sha256_of(path) if path.is_file() else "no file"
        if found != expected:
            raise ArtifactError(
                f"{path} is missing or damaged (SHA-256: expected {expected}, found {found}); "
                f"restore it: git checkout -- data/{place}/{name}, or copy it again"
            )


def _not_found(artifact: Artifact, models: Path | None, data: Path) -> str:
    shipped = shipped_folder(artifact, data)
    looked = f"{models or 'COURSE_MODELS (not set)'} and {shipped}"
    if artifact.role == "data" and not shipped.is_dir() and not artifact.id:
        advice = "it does not ship with the course"
    elif artifact.id:
        advice = (
            "it is too large to ship; allow its download (remote=True, with a network; another "
            "hub: HF_ENDPOINT)"
        )
    elif not artifact.files and shipped.is_dir():
        advice = "the lock does not know the files there yet: run python tools/update_lock.py"
    elif not artifact.files:
        advice = "its weights are not shipped yet"
    else:
        advice = (
            "it ships with the course: restore it with git checkout -- "
            f"data/{shipped.relative_to(data).as_posix()}"
        )
    files = ", ".join(artifact.files) or "its files"
    return (
        f"{artifact.name} was not found in {looked}; {advice}, or set COURSE_MODELS to a folder "
        f"that holds {artifact.name}/ with {files} (source: {artifact.source})"
    )
