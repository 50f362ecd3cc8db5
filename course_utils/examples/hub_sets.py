"""Data sets of the Hugging Face hub, unpacked into plain folders that anyone can look into."""

import hashlib
import io
import json
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image

from course_utils.examples.scene_classes import read_scene_classes
from course_utils.hub import Artifact, ArtifactError, read_lock
from course_utils.images import FORMATS
from course_utils.runtime import write_atomically

TIMEOUT = 10  # seconds that the hub has to answer
Progress = Callable[[Iterable, int], Iterable]
# what parts are called: the JSON of caption sets has "val", the hub's RSICD "valid"
PARTS = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
_SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "TIFF": ".tif", "BMP": ".bmp", "WEBP": ".webp"}


def key_of(state: Any) -> str:
    """Name a folder of the cache after what decides its content, as JSON has it."""
    return hashlib.sha256(json.dumps(state).encode()).hexdigest()[:12]


def name_in_lock(called: str | Path, names: Iterable[str]) -> str | None:
    """Find which of these data sets of the lock is called so, by its name or its id on the hub."""
    lock = read_lock()
    return next((name for name in names if str(called) in (name, lock[name].id)), None)


def open_repository(artifact: Artifact, cache: Path) -> tuple[Any, str]:
    """Open a data set of the lock by its id on the hub, or a copy that the lock names.

    Only Parquet files and folders of images are read, for which the ``datasets`` library runs no
    code of the repository's.

    Args:
        artifact: brings id, revision and mirrors (``repository@revision``), best first, and perhaps
            the folder inside that holds the data (``settings["data_dir"]``).
        cache: where the library keeps its files.

    Returns:
        A ``datasets.DatasetDict``, and ``repository@commit``, or without a commit where the hub
        does not answer and the library has kept the data.

    Raises:
        ArtifactError: no place has it; says why of each.
    """
    from huggingface_hub import HfApi  # here, for it reads its variables at import

    notes, options = [], {"cache": cache, "data_dir": artifact.settings.get("data_dir")}
    for place in (f"{artifact.id}@{artifact.revision or ''}", *artifact.mirrors):
        repository, _, revision = place.partition("@")
        asked = {"revision": revision or None}
        try:
            info = HfApi().repo_info(repository, repo_type="dataset", timeout=TIMEOUT, **asked)
        except Exception as error:  # the libraries let through whatever their parts raise
            notes.append(f"{repository}: {_first_line(error)}")
            with suppress(Exception):
                return read_repository(repository, is_kept=True, **asked, **options), repository
            continue
        try:
            found = read_repository(repository, revision=info.sha, **options)
        except Exception as error:
            notes.append(f"{repository}: {_first_line(error)}")
        else:
            return found, f"{repository}@{info.sha[:7]}"
    raise ArtifactError(
        f"{artifact.name} could not be fetched ({'; '.join(notes)}); connect to a network (another "
        "hub: HF_ENDPOINT), or get it elsewhere and give its folder or archive, or set "
        f"COURSE_MODELS to a folder that holds {artifact.name}/ (source: {artifact.source})"
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def read_repository(
    path: str,
    *,
    cache: Path,
    revision: str | None = None,
    data_dir: str | None = None,
    is_kept: bool = False,
) -> Any:
    """Read a data set with the ``datasets`` library, without its progress bars.

    Args:
        path: a repository on the hub, or a folder with the files of one.
        cache: where the library keeps its files.
        revision: a commit of the repository.
        data_dir: the folder inside that holds the data.
        is_kept: take what the library has kept, without waiting for a network.

    Returns:
        A ``datasets.DatasetDict`` whose images are bytes, not yet decoded.
    """
    import datasets

    were_off, was_offline = datasets.are_progress_bars_disabled(), datasets.config.HF_HUB_OFFLINE
    datasets.disable_progress_bars()
    datasets.config.HF_HUB_OFFLINE = was_offline or is_kept
    try:
        found = datasets.load_dataset(
            path, revision=revision, data_dir=data_dir, cache_dir=str(cache / "datasets")
        )
    finally:
        datasets.config.HF_HUB_OFFLINE = was_offline
        if not were_off:
            datasets.enable_progress_bars()
    columns = [name for name, kind in _features(found).items() if isinstance(kind, datasets.Image)]
    for column in columns:
        found = found.cast_column(column, datasets.Image(decode=False))
    return found


def _features(found: Any) -> dict[str, Any]:
    return next(iter(found.values())).features


def unpack_scenes(found: Any, folder: Path, *, key: str | None, progress: Progress) -> list[str]:
    """Write a labelled data set into class folders, ``<class>/<part>-<number>.<suffix>``.

    The names of the labels are those of the data set's features. Of a data set that the course
    knows they must be its classes, and the folders get their official names.

    Args:
        found: from `read_repository`.
        folder: where the class folders go.
        key: a name in `read_scene_classes`; None leaves the names as they are.
        progress: wraps the loop over rows, given their number.

    Returns:
        The names of the folders in the order of the data set's labels.

    Raises:
        ValueError: no column of images or of labels, other classes, an image without a label, or a
            class without an image.
        OSError: a file cannot be written.
    """
    import datasets

    features = _features(found)
    image = _only(features, datasets.Image, "images")
    label = _only(features, datasets.ClassLabel, "labels with names")
    names, seen = _folder_names(features[label].names, key), set()
    for part, number, row in progress(_rows(found), sum(map(len, found.values()))):
        if row[label] is None or not 0 <= row[label] < len(names):
            raise ValueError(
                f"row {number} of {part!r} has the label {row[label]}, expected 0 … "
                f"{len(names) - 1}; the data set is broken, fetch it again"
            )
        seen.add(row[label])
        data = _bytes_of(row[image])
        write_atomically(folder / names[row[label]] / f"{part}-{number:05d}{_suffix(data)}", data)
    if empty := [name for i, name in enumerate(names) if i not in seen]:
        raise ValueError(f"there is no image of the classes {', '.join(empty)}")
    return names


def _folder_names(names: list[str], key: str | None) -> list[str]:
    """Name a folder for every label."""
    if key:
        classes = read_scene_classes()[key]
        labels = classes.labels_of(names, where="the data set")
        return [classes.class_names[label] for label in labels]
    if wrong := [name for name in names if Path(name).name != name or name.startswith((".", "__"))]:
        raise ValueError(f"classes {wrong} cannot be names of folders; rename them")
    return [unicodedata.normalize("NFC", name) for name in names]


def _only(features: dict[str, Any], kind: type, what: str) -> str:
    columns = [name for name, feature in features.items() if isinstance(feature, kind)]
    if len(columns) != 1:
        raise ValueError(f"expected one column of {what}, got {columns} among {list(features)}")
    return columns[0]


def _rows(found: Any) -> Iterator[tuple[str, int, dict[str, Any]]]:
    for part, rows in found.items():
        yield from ((part, number, row) for number, row in enumerate(rows))


def _bytes_of(image: dict[str, Any]) -> bytes:
    return image["bytes"] if image["bytes"] is not None else Path(image["path"]).read_bytes()


def _suffix(data: bytes) -> str:
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return _SUFFIXES.get(image.format, ".jpg")
    except Exception:  # Pillow's readers raise nearly every type; who reads the file will say so
        return ".jpg"


def unpack_captions(found: Any, folder: Path, *, dataset: str, progress: Progress) -> None:
    """Write captioned images as their makers did: ``dataset_<name>.json`` and ``<NAME>_images/``.

    Args:
        found: from `read_repository`, with the columns ``filename``, ``captions`` and ``image``.
        folder: where the files go; the JSON file comes last.
        dataset: name of the data set in its JSON file, such as ``rsicd``.
        progress: wraps the loop over rows, given their number.

    Raises:
        ValueError: a column is missing.
        OSError: a file cannot be written.
    """
    if missing := {"filename", "captions", "image"} - set(_features(found)):
        raise ValueError(
            f"{dataset}: the columns {sorted(missing)} are missing; expected "
            "filename, captions and image"
        )
    entries = []
    for part, _, row in progress(_rows(found), sum(map(len, found.values()))):
        name = Path(row["filename"].replace("\\", "/")).name
        data = _bytes_of(row["image"])
        write_atomically(folder / f"{dataset.upper()}_images" / name, data)
        sentences = [{"raw": caption} for caption in row["captions"]]
        entries.append({"filename": name, "split": part, "sentences": sentences})
    content = json.dumps({"images": entries, "dataset": dataset}, ensure_ascii=False)
    write_atomically(folder / f"dataset_{dataset}.json", content.encode())
