"""Read labelled images from Parquet files as the ``datasets`` library writes them."""

import json
from pathlib import Path

import pyarrow.parquet as pq


def read_labelled(path: Path) -> tuple[list[bytes], list[str]]:
    """Read the bytes of every image and the name of its class, in the order of the file.

    Args:
        path: a file with the columns ``image`` (bytes) and ``label``, whose names are in its
            metadata.
    """
    table = pq.read_table(path, columns=["image", "label"])
    features = json.loads((table.schema.metadata or {}).get(b"huggingface", b"{}"))
    names = features.get("info", {}).get("features", {}).get("label", {}).get("names", ())
    images = [row["bytes"] for row in table["image"].to_pylist()]
    return images, [names[label] if names else str(label) for label in table["label"].to_pylist()]
