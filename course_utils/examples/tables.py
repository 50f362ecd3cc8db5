"""Parquet files of images, as the ``datasets`` library and the hub have them, read directly."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from course_utils.examples.classes import composed

_BATCH = 256  # rows decoded at once
_LABEL_NAMES = ("label", "labels", "class", "class_name")  # of a column of texts
_NAMES = ("image_id", "filename", "file_name")  # of a column that says what images are called
NAME = "name of the image"  # of a row, as read
_PATH_NAMES = ("image", "image_path", "path", "file_path", "file", "file_name", "filename")
_TEXTS = (pa.string(), pa.large_string(), pa.string_view())
_BYTES = (pa.binary(), pa.large_binary(), pa.binary_view())


def read_labelled(
    path: Path, root: Path | None = None
) -> tuple[list[tuple[str, bytes | Path, str]], tuple[str, ...]]:
    """Read the labelled images of a Parquet file.

    Args:
        path: has one column of images (their bytes, or the paths of their files), and one of labels
            whose names are in the file's metadata, or of texts called ``label`` or ``class``.
        root: the folder of the data set, by default that of the file. Paths count from the folder
            of the file or from this one, and may not leave it.

    Returns:
        Of each row the name of its class, of its image the bytes, empty if there are none, or the
        file, which may be missing, and what the image is called, if anything; and all names of
        classes in the order of the labels, empty if the labels are texts.

    Raises:
        ValueError: it is no such file, a label is none of the data set's, or a path leaves the
            folder.
        OSError: it cannot be read.
    """
    if not path.is_file():  # reading from a pipe would never end
        raise ValueError(f"{path.name} is no file")
    try:
        schema = pq.read_schema(path)
        image, (label, names) = _image_column(schema), _label_column(schema)
    except (pa.ArrowException, ValueError, OSError) as error:  # the library has damage as each
        raise ValueError(f"{path.name}: {_damage(error)}") from error
    rows, columns = [], [image, label, *_NAMES]
    for number, row in enumerate(read_rows(path, columns, root, images=image)):
        value = row[label]
        if names and not (isinstance(value, int) and 0 <= value < len(names)):
            raise ValueError(
                f"row {number} of {path.stem!r} has the label {value}, expected 0 … "
                f"{len(names) - 1}; correct the label or leave out the row"
            )
        if not names and not (value and value.strip()):
            raise ValueError(
                f"row {number} of {path.stem!r} has no label; write one or leave out the row"
            )
        class_name = names[value] if names else composed(value.strip())
        rows.append((class_name, row[image], row[NAME]))
    return rows, names


def read_rows(
    path: Path, columns: Sequence[str], root: Path | None = None, *, images: str = "image"
) -> Iterator[dict[str, Any]]:
    """Read some columns of a Parquet file row by row.

    Args:
        path: of the file.
        columns: their names; those that are not there are passed over.
        root: see `read_labelled`.
        images: the column of images, which are given as bytes or as the paths of their files; what
            the image is called is then in the row under `NAME`.

    Raises:
        ValueError: it is damaged, or a path leaves the folder.
        OSError: it cannot be read.
    """
    folders = [path.parent.resolve(), (root or path.parent).resolve()]
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_BATCH, columns=list(columns)):
                for row in batch.to_pylist():
                    where = f"row {number} of {path.stem!r}"
                    if images in row:
                        row[NAME] = _name_of(row, row[images])
                        row[images] = _image_of(row[images], folders, where)
                    yield row
                    number += 1
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path.name} is damaged at row {number} ({_damage(error)})") from error


def _damage(error: Exception) -> str:
    """Say in one line what the library found; what the system complains of is raised again."""
    if getattr(error, "errno", None):
        raise error
    return " ".join(str(error).split())


def _name_of(row: dict[str, Any], image: Any) -> str:
    """Find what an image is called: in a column of names, or else in its path."""
    path = image.get("path") if isinstance(image, dict) else image
    found = [row.get(column) for column in _NAMES] + [path if isinstance(path, str) else None]
    return composed(str(next(filter(None, found), "")).replace("\\", "/").split("/")[-1])


def _image_of(value: Any, folders: Sequence[Path], where: str) -> bytes | Path:
    """Give the bytes of an image, empty if there are none, or its file below the last folder."""
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, str) and value:
        places = [(folder / value.replace("\\", "/")).resolve() for folder in folders]
        inside = [place for place in places if place.is_relative_to(folders[-1])]
        if not inside:
            raise ValueError(
                f"{where} names the file {value!r}, outside of the folder of the data set; put the "
                "images into it and write their paths from there"
            )
        return next(filter(Path.is_file, inside), inside[-1])
    if value and not isinstance(value, bytes):
        kind = type(value).__name__
        raise ValueError(f"{where}: expected the bytes of an image file, got a {kind}")
    return value or b""


def _image_column(schema: pa.Schema) -> str:
    """Find the column of images, or of the paths of images."""
    columns = [field.name for field in schema if _holds_images(field.type)]
    if not columns:
        named = (field for field in schema if field.name.lower() in _PATH_NAMES)
        columns = [field.name for field in named if _value_type(field.type) in _TEXTS]
    advice = "give the files as bytes, or their paths in a column of texts called 'image'"
    return _only(columns, "images", schema, advice)


def _label_column(schema: pa.Schema) -> tuple[str, tuple[str, ...]]:
    """Find the column of labels, and their names."""
    labels = _named_labels(schema)
    columns = [name for name in schema.names if name in labels]
    if not columns:
        named = (field for field in schema if field.name.lower() in _LABEL_NAMES)
        columns = [field.name for field in named if _value_type(field.type) in _TEXTS]
    advice = "write the name of each image's class into a column of texts called 'label'"
    label = _only(columns, "labels with names", schema, advice)
    names = labels.get(label, ())
    if len(set(names)) < len(names):
        raise ValueError(f"expected a name of its own for each label, got {', '.join(names)}")
    return label, names


def _named_labels(schema: pa.Schema) -> dict[str, tuple[str, ...]]:
    """Give the names of the labels of each column that has some, as ``datasets`` writes them."""
    try:
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"].items()
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):  # no such metadata
        return {}
    return {
        name: tuple(composed(str(each)) for each in feature["names"])
        for name, feature in features
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
        if isinstance(feature.get("names"), list)
    }


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind  # pandas' categories


def _holds_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name in ("bytes", "path") for field in kind)
    return kind in _BYTES


def _only(columns: list[str], what: str, schema: pa.Schema, advice: str) -> str:
    if len(columns) != 1:
        raise ValueError(
            f"expected one column of {what}, got {columns} among {schema.names}; {advice}"
        )
    return columns[0]
