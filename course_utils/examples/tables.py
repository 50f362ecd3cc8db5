"""Parquet files of images, as the ``datasets`` library and the hub have them, read directly."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_BATCH = 256  # rows decoded at once
_LABEL_NAMES = ("label", "labels", "class", "class_name")  # of a column of texts


def read_labelled(path: Path) -> tuple[list[tuple[str, bytes]], tuple[str, ...]]:
    """Read the labelled images of a Parquet file.

    Args:
        path: has one column of images (bytes, or the path of a file beside it), and one of labels
            whose names are in the file's metadata, or of texts called ``label`` or ``class``.

    Returns:
        Of each row the name of its class and the bytes of its image, empty if there are none; and
        all names in the order of the labels, empty if the labels are texts.

    Raises:
        ValueError: it is no such file, or a label is none of the data set's.
        OSError: it cannot be read.
    """
    schema = pq.read_schema(path)
    image = _only([field.name for field in schema if _holds_images(field.type)], "images", schema)
    label, names = _label_column(schema)
    rows = []
    for number, row in enumerate(read_rows(path, [image, label])):
        value = row[label]
        if names and not (isinstance(value, int) and 0 <= value < len(names)):
            raise ValueError(
                f"row {number} of {path.stem!r} has the label {value}, expected 0 … "
                f"{len(names) - 1}; the data set is broken, fetch it again"
            )
        rows.append((names[value] if names else str(value), row[image] or b""))
    return rows, names


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Read some columns of a Parquet file row by row, images as the bytes of their files."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=_BATCH, columns=list(columns)):
            for row in batch.to_pylist():
                yield {name: _image_bytes(value, path.parent) for name, value in row.items()}


def _image_bytes(value: Any, root: Path) -> Any:
    """Give the bytes of an image; those of a file only if it lies below the folder."""
    if not (isinstance(value, dict) and "bytes" in value):
        return value
    if value["bytes"] is None and value.get("path"):
        path = (root / value["path"]).resolve()
        return path.read_bytes() if path.is_relative_to(root) and path.is_file() else None
    return value["bytes"]


def _label_column(schema: pa.Schema) -> tuple[str, tuple[str, ...]]:
    """Find the column of labels, and their names."""
    content = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    features = content.get("info", {}).get("features", {})
    labels = {
        name: tuple(feature["names"])
        for name, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
    }
    if not labels:
        texts = (pa.string(), pa.large_string())
        named = (field for field in schema if field.name.lower() in _LABEL_NAMES)
        labels = {field.name: () for field in named if field.type in texts}
    label = _only(list(labels), "labels with names", schema)
    return label, labels[label]


def _holds_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" for field in kind)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _only(columns: list[str], what: str, schema: pa.Schema) -> str:
    if len(columns) != 1:
        raise ValueError(f"expected one column of {what}, got {columns} among {schema.names}")
    return columns[0]
