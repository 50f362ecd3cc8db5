"""Fetch an artifact from the hub, its mirrors or ModelScope into the cache, whole or not at all."""

import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from course_utils.hub.lock import Artifact, ArtifactError, Located, list_files, sha256_of

TIMEOUT = 10  # seconds that a hub has to answer
# Weights and settings, never code (.py) or pickles (.bin, .ckpt, .pt); of a pipeline neither the
# single file at its root nor the variants (model.fp16.safetensors) of the same weights.
PATTERNS = {
    "text2image": (
        "model_index.json",
        *(f"*/*{ending}" for ending in (".json", ".txt", ".model")),
        "*/model.safetensors",
        "*/diffusion_pytorch_model.safetensors",
    ),
    "data": tuple(
        f"*.{ending}"
        for ending in ("parquet", "csv", "json", "txt", "jpg", "jpeg", "png", "tif", "tiff")
    ),
}
OTHER_PATTERNS = ("*.json", "*.txt", "*.model", "*.safetensors")
ADVICE = "free some space, or set COURSE_CACHE to a folder elsewhere"


@dataclass(frozen=True)
class _Place:
    origin: Literal["hub", "mirror", "modelscope"]
    repository: str
    revision: str | None
    endpoint: str | None = None  # None: what HF_ENDPOINT says, the hub by default

    def __str__(self) -> str:
        where = self.endpoint or {"modelscope": "ModelScope"}.get(self.origin, "the hub")
        return f"{where} ({self.repository})"


def find_cached(artifact: Artifact, cache: Path) -> Located | None:
    """Look an earlier download up; one that was stopped or has lost a file does not count."""
    folder, path = _folder(artifact, cache), _record_path(artifact, cache)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        is_asked_for = record["asked_for"] == _asked_for(artifact)
        is_whole = all((folder / k).stat().st_size == v[0] for k, v in record["files"].items())
        files = {name: digest for name, (_, digest) in record["files"].items()}
        num_bytes = sum(size for size, _ in record["files"].values())
        revision, repository = record["revision"], record["repository"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    if not (is_asked_for and is_whole and files):
        return None
    own = replace(artifact, files=files, num_bytes=num_bytes)
    return Located(folder, own, "cache", revision=revision, repository=repository)


def fetch(artifact: Artifact, cache: Path) -> tuple[Located | None, tuple[str, ...]]:
    """Ask the places of an artifact, one after the other, until one has it.

    Returns:
        Where it is now, or None; and what was wrong with each place before.

    Raises:
        OSError: there is no space for it.
    """
    notes = []
    for place in _places(artifact):
        try:
            revision = _download(place, artifact, cache)
            commit = f"@{revision[:7]}" if revision else ""
            _keep_record(artifact, cache, revision, place.repository + commit)
        except Exception as error:  # the libraries let through whatever their parts raise
            if _is_full(error):
                raise _full(artifact, cache, error) from error
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            notes.append(f"{place}: {reason}")
            continue
        found = find_cached(artifact, cache)
        return found and replace(found, origin=place.origin, notes=tuple(notes)), tuple(notes)
    return None, tuple(notes)


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
        yield _Place("modelscope", artifact.modelscope, None)


def _download(place: _Place, artifact: Artifact, cache: Path) -> str | None:
    """Download what is missing, check it, and give the commit that it is of."""
    folder = _folder(artifact, cache)
    folder.mkdir(parents=True, exist_ok=True)
    fetch_from = _from_modelscope if place.origin == "modelscope" else _from_hub
    revision, sizes = fetch_from(place, artifact, folder)
    for name, size in sizes.items():
        path = folder / name
        if not path.is_file() or size not in (None, path.stat().st_size):
            raise ArtifactError(f"{name} did not arrive whole")
    for name, expected in artifact.files.items():
        if not (folder / name).is_file() or sha256_of(folder / name) != expected:
            raise ArtifactError(f"{name} is not what the lock says (SHA-256 {expected})")
    return revision


def _from_hub(
    place: _Place, artifact: Artifact, folder: Path
) -> tuple[str | None, dict[str, int | None]]:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.utils import filter_repo_objects

    kind = "dataset" if artifact.role == "data" else "model"
    token = False if place.endpoint else None  # a mirror is not told who we are
    info = HfApi(endpoint=place.endpoint, token=token).repo_info(
        place.repository,
        revision=place.revision,
        repo_type=kind,
        timeout=TIMEOUT,
        files_metadata=True,
    )
    patterns = _patterns(artifact)
    files = filter_repo_objects(
        info.siblings or [], allow_patterns=patterns, key=lambda file: file.rfilename
    )
    sizes = {file.rfilename: file.size for file in files}
    if artifact.role == "data" and not sizes:
        raise ArtifactError("there are neither Parquet files nor images")
    if not any(name.endswith(".safetensors") for name in sizes) and not (
        artifact.files or artifact.role == "data"
    ):
        raise ArtifactError("there are no safetensors; pickles, which can run code, are not taken")
    _check_space(artifact, folder, sizes)
    snapshot_download(
        place.repository,
        repo_type=kind,
        revision=info.sha,
        local_dir=folder,
        allow_patterns=patterns,
        endpoint=place.endpoint,
        token=token,
    )
    return info.sha, sizes


def _from_modelscope(
    place: _Place, artifact: Artifact, folder: Path
) -> tuple[str | None, dict[str, int | None]]:
    try:
        from modelscope import snapshot_download
    except ImportError as error:
        raise ArtifactError("the package modelscope is not installed") from error
    _check_space(artifact, folder, {})
    snapshot_download(place.repository, local_dir=str(folder), allow_patterns=_patterns(artifact))
    names = list_files(folder)
    if not any(name.endswith(".safetensors") for name in names):
        raise ArtifactError("no safetensors arrived")
    return None, dict.fromkeys(names)


def _patterns(artifact: Artifact) -> list[str]:
    folder = artifact.settings.get("data_dir", "")
    patterns = PATTERNS.get(artifact.role, OTHER_PATTERNS)
    return list(artifact.files or (f"{folder and folder + '/'}{pattern}" for pattern in patterns))


def _check_space(artifact: Artifact, folder: Path, sizes: dict[str, int | None]) -> None:
    """Refuse a download that cannot fit; what is here already does not count."""
    here = {name: (folder / name).stat().st_size for name in list_files(folder)}
    if sizes and None not in sizes.values():
        needed = sum(size for name, size in sizes.items() if here.get(name) != size)
    else:
        needed = artifact.num_bytes - sum(here.values())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(errno.ENOSPC, f"it needs {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free")


def _is_full(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False


def _full(artifact: Artifact, cache: Path, error: Exception) -> OSError:
    reason = getattr(error, "strerror", None) or error
    return OSError(
        errno.ENOSPC,
        f"{artifact.name} does not fit on the disk ({reason}); {ADVICE}",
        str(_folder(artifact, cache)),
    )


def _folder(artifact: Artifact, cache: Path) -> Path:
    return cache / "artifacts" / artifact.name


def _record_path(artifact: Artifact, cache: Path) -> Path:
    return cache / "artifacts" / f"{artifact.name}.json"


def _asked_for(artifact: Artifact) -> dict[str, Any]:
    return {"id": artifact.id, "revision": artifact.revision}


def _keep_record(artifact: Artifact, cache: Path, revision: str | None, repository: str) -> None:
    """Vouch for a download by its own file, written last and in one step."""
    folder, path = _folder(artifact, cache), _record_path(artifact, cache)
    files = {n: [(folder / n).stat().st_size, sha256_of(folder / n)] for n in list_files(folder)}
    record = {
        "asked_for": _asked_for(artifact),
        "revision": revision,
        "repository": repository,
        "files": files,
    }
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        part.write_text(json.dumps(record, indent=1), encoding="utf-8")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
