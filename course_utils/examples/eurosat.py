"""All of EuroSAT, divided as the part of it that ships, without what generators have seen."""

import csv
import hashlib
from collections import Counter
from dataclasses import replace
from itertools import compress
from pathlib import Path, PurePosixPath

import numpy as np

from course_utils.examples.records import PARTS, LabelledImages
from course_utils.examples.tables import read_labelled
from course_utils.runtime import data_root
from course_utils.texts import text

TRAIN = PARTS[0]
SPLIT_FILE, TRAIN_FILE = "eurosat_spatial_split.csv", f"eurosat_course_{TRAIN}.parquet"
HASHES_FILE = "train_hashes.npy"  # of all images that models of the course were trained on


def divide_as_shipped(found: LabelledImages, root: Path) -> LabelledImages:
    """Divide all images of EuroSAT by longitude, and leave out those that generators have seen.

    An image was seen if the first 64 bits of the SHA-256 of its bytes are in the course's list of
    training images. A copy of EuroSAT that was encoded anew has other bytes, which tell nothing:
    then only images that ship, which no generator has seen, are trained on.

    Args:
        found: EuroSAT, whose examples have their names, such as ``AnnualCrop_10.jpg``; endings
            may differ.
        root: the folder of the part that ships, with the list of the split.

    Raises:
        ValueError: an image has no name, or one that EuroSAT does not have.

    Source:
        Helber et al. 2019 (arXiv:1709.00029); split lists of torchgeo's ``EuroSATSpatial``.
    """
    with (root / SPLIT_FILE).open(newline="") as file:
        part_of = {_stem(row["path"]): row["split"] for row in csv.DictReader(file)}
    names = [_stem(example.name) for example in found.examples]
    if unknown := [name for name in names if name not in part_of]:
        raise ValueError(
            f"{found.name}: expected EuroSAT's own names of images, such as AnnualCrop_10.jpg, got "
            f"{unknown[0] or 'an image without a name'!r}; give the original files, or copies of "
            "the hub that say them"
        )
    digests = [example.digest() for example in found.examples]
    shipped = {_stem(name): data for _, data, name in read_labelled(root / TRAIN_FILE)[0]}
    pairs = list(zip(names, digests, strict=True))
    both = [hashlib.sha256(shipped[name]).hexdigest() == d for name, d in pairs if name in shipped]
    is_original = bool(both) and all(both)
    seen = set(np.load(data_root() / HASHES_FILE).tolist())
    kept = [
        int(digest[:16], 16) not in seen
        and (is_original or name in shipped or part_of[name] != TRAIN)
        for name, digest in pairs
    ]
    parts = tuple(part_of[name] for name in compress(names, kept))
    said = {part: f"{num:,}" for part, num in Counter(parts).items()}
    key = "data.eurosat_divided" if is_original else "data.eurosat_encoded_anew"
    note = text(key, num=f"{len(names) - len(parts):,}", **dict.fromkeys(PARTS, 0) | said)
    examples = tuple(compress(found.examples, kept))
    return replace(found, examples=examples, parts=parts, notes=(*found.notes, note))


def _stem(name: str) -> str:
    return PurePosixPath(name).stem
