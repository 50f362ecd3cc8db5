"""Find a model or data set: a local folder, what ships, the cache, the network, a stand-in."""

import errno
import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from course_utils.hub.folders import check_model
from course_utils.hub.lock import (
    DATA_ROOT,
    KINDS,
    LOCK_FILE,
    Artifact,
    ArtifactError,
    Located,
    is_sound,
    list_files,
    read_lock,
    sha256_of,
)
from course_utils.runtime import (
    cache_folder,
    discard,
    is_sealed,
    models_folder,
    read_file,
    seal,
    sweep,
    write_cached,
)
from course_utils.texts import text

_NO_RECORD = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
HANDED_OVER = ("mae", "captioner")  # roles whose folders a notebook gives to a library as they are
TIMEOUT = 10  # seconds that a hub has to answer
DATA_KINDS = (".parquet", ".csv", ".json", ".txt", ".jpg", ".jpeg", ".png", ".tif", ".tiff")
# What is downloaded, where the lock lists no files: of a model only KINDS; of a pipeline neither
# the single file at its root nor the variants (model.fp16.safetensors) of the same weights.
PIPELINE_PATTERNS = [
    "model_index.json",
    *(f"*/*{kind}" for kind in KINDS if kind != ".safetensors"),
    "*/model.safetensors",
    "*/diffusion_pytorch_model.safetensors",
]
# of a part alone, as a ControlNet, or of a pipeline
PART_PATTERNS = [*PIPELINE_PATTERNS, "config.json", "diffusion_pytorch_model.safetensors"]


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
        ArtifactError: the name is unknown, no place has it, a shipped file is damaged, or a folder
            that goes to a library as it is holds more than data (see `check_model`).
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
    elif found is None and (folder := cache / "artifacts" / name).is_dir():
        notes = (f"{folder} is cut off, damaged or of another revision; remote=True mends it",)
    if found is None and artifact.stand_in:
        found = _search(lock[artifact.stand_in], models, data)
        found = found and replace(found, origin="stand-in", stand_in_for=name, notes=notes)
    if found is None:
        raise ArtifactError("; ".join([_not_found(artifact, models, data), *notes]))
    if found.artifact.role in HANDED_OVER:
        _look_over(found.root)
    return found


def _look_over(root: Path) -> None:
    try:
        check_model(root)
    except ArtifactError as error:
        raise ArtifactError(f"the model in {root} is not loaded: {error}") from error


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
    _verify(folder, artifact, data)
    return Located(folder, artifact, "shipped")


def _as_found(folder: Path, artifact: Artifact) -> Located:
    """Describe a folder by its own content; of a data artifact only the locked files count."""
    names = list(artifact.files) if artifact.role == "data" else list_files(folder)
    if not names:
        raise ArtifactError(f"{folder} holds no files; put the files of {artifact.name} there")
    files = {name: sha256_of(folder / name) for name in names}
    num_bytes = sum((folder / name).stat().st_size for name in names)
    return Located(folder, replace(artifact, files=files, num_bytes=num_bytes), "local")


def _verify(folder: Path, artifact: Artifact, data: Path) -> None:
    for name, expected in artifact.files.items():
        path = folder / name
        found = sha256_of(path) if path.is_file() else "no file"
        if found != expected:
            raise ArtifactError(
                f"{path} is missing or damaged (SHA-256: expected {expected}, found {found}); "
                f"restore it: git checkout -- data/{path.relative_to(data).as_posix()}, or copy it "
                "again"
            )


def _not_found(artifact: Artifact, models: Path | None, data: Path) -> str:
    shipped = shipped_folder(artifact, data)
    place = f"data/{shipped.relative_to(data).as_posix()}"
    if artifact.id:
        advice = (
            "it is too large to ship; allow its download (remote=True, with a network; another "
            "hub: HF_ENDPOINT)"
        )
    elif artifact.role == "data" and not shipped.is_dir():
        advice = "it does not ship with the course"
    elif artifact.files:
        advice = f"it ships with the course: restore it with git checkout -- {place}"
    elif shipped.is_dir():
        advice = "the lock does not know the files there yet: run python tools/update_lock.py"
    else:
        advice = "its weights are not shipped yet"
    return (
        f"{artifact.name} was not found in {models or 'COURSE_MODELS (not set)'} and {shipped}; "
        f"{advice}, or set COURSE_MODELS to a folder that holds {artifact.name}/ with "
        f"{', '.join(artifact.files) or 'its files'} (source: {artifact.source})"
    )


@dataclass(frozen=True)
class _Place:
    origin: Literal["hub", "mirror", "modelscope"]
    repository: str
    revision: str | None = None
    endpoint: str | None = None  # None: what HF_ENDPOINT says, the hub by default

    def __str__(self) -> str:
        where = self.endpoint or {"modelscope": "ModelScope"}.get(self.origin, "the hub")
        return f"{where} ({self.repository})"


def _places(artifact: Artifact) -> Iterator[_Place]:
    from huggingface_hub import constants  # here, for it reads its variables at import

    yield _Place("hub", artifact.id, artifact.revision)
    for mirror in artifact.mirrors:
        if not mirror.startswith(("http://", "https://")):
            repository, _, revision = mirror.partition("@")
            yield _Place("mirror", repository, revision or None)
        elif mirror.rstrip("/") != constants.ENDPOINT.rstrip("/"):
            yield _Place("mirror", artifact.id, artifact.revision, mirror.rstrip("/"))
    if artifact.modelscope:
        yield _Place("modelscope", artifact.modelscope)


def find_cached(artifact: Artifact, cache: Path) -> Located | None:
    """Look an earlier download up; one that was stopped, or lost or changed a file, is none.

    Every file is hashed, once a process: some seconds for several gigabytes.
    """
    folder = cache / "artifacts" / artifact.name
    try:
        record = _read_record(folder)
        files = {name: digest for name, (_, digest) in record["files"].items()}
        if not files or record["asked_for"] != _asked_for(artifact) or _damaged(folder, record):
            return None
        num_bytes = sum(size for size, _ in record["files"].values())
        here = replace(artifact, files=files, num_bytes=num_bytes)
        named = {"revision": record["revision"], "repository": record["repository"]}
        return Located(folder, here, "cache", **named, unpinned=unpinned(artifact, **named))
    except _NO_RECORD:
        return None


def unpinned(artifact: Artifact, revision: str | None, repository: str) -> str:
    """Say what is missing in the lock to know that a download is what its authors published."""
    pins = {artifact.revision, *(mirror.partition("@")[2] for mirror in artifact.mirrors)}
    lacks = ["revision"] * (revision is None or revision not in pins)
    lacks += ["checksums"] * (not artifact.files)
    values = {"name": artifact.name, "repository": repository}
    return " ".join(text(f"hub.unpinned.{what}", **values) for what in lacks)


def _read_record(folder: Path) -> dict:
    """Read what was downloaded into a folder; nothing if the record has changed."""
    record = json.loads(read_file(_record_of(folder)) or b"{}")
    # one of an older version has no seal; its files are hashed all the same
    return record if "seal" not in record or is_sealed(record, folder.name) else {}


def _record_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.json")


def _damaged(folder: Path, record: dict) -> list[str]:
    return [name for name, (_, sha) in record["files"].items() if not is_sound(folder / name, sha)]


def fetch(artifact: Artifact, cache: Path) -> tuple[Located | None, tuple[str, ...]]:
    """Ask the places of an artifact, one after the other, until one has it.

    A record beside the folder, written last, vouches for the whole download.

    Returns:
        Where it is now, or None; and what was wrong with each place before.

    Raises:
        OSError: there is no space for it.
    """
    folder, notes = cache / "artifacts" / artifact.name, []
    _clear_damage(folder)
    for place in _places(artifact):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            revision = _download(place, artifact, folder)
            here = {name: folder / name for name in list_files(folder)}
            files = {name: (path.stat().st_size, sha256_of(path)) for name, path in here.items()}
            commit = f"@{revision[:7]}" if revision else ""
            record = {
                "asked_for": _asked_for(artifact),
                "revision": revision,
                "repository": place.repository + commit,
                "files": files,
            }
            write_cached(
                _record_of(folder), json.dumps(seal(record, folder.name), indent=1).encode()
            )
        except Exception as error:  # the libraries let through whatever their parts raise
            if full := _lack_of_space(error):
                advice = "free some space, or set COURSE_CACHE to a folder elsewhere"
                reason = f"{artifact.name} does not fit on the disk ({full.strerror}); {advice}"
                raise OSError(errno.ENOSPC, reason, str(folder)) from error
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            notes.append(f"{place}: {reason}")
            continue
        found = find_cached(artifact, cache)
        return found and replace(found, origin=place.origin, notes=tuple(notes)), tuple(notes)
    return None, tuple(notes)


def _clear_damage(folder: Path) -> None:
    """Remove what is not as it was downloaded: the hub's library would take it for whole."""
    sweep(folder.parent)
    if folder.exists() and not folder.is_dir():
        discard(folder)
    with suppress(*_NO_RECORD):
        for name in _damaged(folder, _read_record(folder)):
            discard(folder / name)


def _asked_for(artifact: Artifact) -> dict[str, str | None]:
    return {"id": artifact.id, "revision": artifact.revision}


def _download(place: _Place, artifact: Artifact, folder: Path) -> str | None:
    """Download what is missing, check it, and give the commit that it is of."""
    kinds = DATA_KINDS if artifact.role == "data" else KINDS
    inner = artifact.settings.get("data_dir")
    usual = [f"{inner}/*{kind}" if inner else f"*{kind}" for kind in kinds]
    by_role = {"text2image": PIPELINE_PATTERNS, "control": PART_PATTERNS}
    usual = by_role.get(artifact.role, usual)
    fetch_from = _from_modelscope if place.origin == "modelscope" else _from_hub
    revision = fetch_from(place, artifact, folder, list(artifact.files) or usual)
    for name, expected in artifact.files.items():
        if not (folder / name).is_file() or sha256_of(folder / name) != expected:
            raise ArtifactError(f"{name} is not what the lock says (SHA-256 {expected})")
    return revision


def _from_hub(place: _Place, artifact: Artifact, folder: Path, patterns: list[str]) -> str | None:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.utils import filter_repo_objects

    kind = "dataset" if artifact.role == "data" else "model"
    token = False if place.endpoint else None  # a mirror is not told who we are
    options = {"repo_type": kind, "timeout": TIMEOUT, "files_metadata": True}
    api = HfApi(endpoint=place.endpoint, token=token)
    info = api.repo_info(place.repository, revision=place.revision, **options)
    sizes = {file.rfilename: file.size for file in info.siblings or []}
    sizes = {name: sizes[name] for name in filter_repo_objects(sizes, allow_patterns=patterns)}
    if not artifact.files:
        _require_content(artifact, sizes)
    _check_space(sum(size or 0 for size in sizes.values()), folder)
    snapshot_download(
        place.repository,
        repo_type=kind,
        revision=info.sha,
        local_dir=folder,
        allow_patterns=patterns,
        endpoint=place.endpoint,
        token=token,
    )
    for name, size in sizes.items():
        if not (folder / name).is_file() or size not in (None, (folder / name).stat().st_size):
            raise ArtifactError(f"{name} did not arrive whole")
    return info.sha


def _from_modelscope(place: _Place, artifact: Artifact, folder: Path, patterns: list[str]) -> None:
    try:
        from modelscope import snapshot_download
    except ImportError as error:
        raise ArtifactError("the package modelscope is not installed") from error
    _check_space(artifact.num_bytes, folder)
    snapshot_download(place.repository, local_dir=str(folder), allow_patterns=patterns)
    _require_content(artifact, list_files(folder))


def _require_content(artifact: Artifact, names: Iterable[str]) -> None:
    """Refuse a repository that holds nothing of what is wanted."""
    if artifact.role == "data" and not any(names):
        raise ArtifactError("there are neither Parquet files nor images")
    if artifact.role != "data" and not any(name.endswith(".safetensors") for name in names):
        raise ArtifactError("there are no safetensors; pickles, which can run code, are not taken")


def _check_space(num_bytes: int, folder: Path) -> None:
    """Refuse a download that cannot fit; what is here already does not count."""
    needed = num_bytes - sum((folder / name).stat().st_size for name in list_files(folder))
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(errno.ENOSPC, f"it needs {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free")


def _lack_of_space(error: BaseException | None) -> OSError | None:
    """Find a full disk among an error and what it came from."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return error
        error = error.__cause__ or error.__context__
    return None
