"""All of EuroSAT in the profiles with a GPU: divided as what ships, nothing that was seen."""

import csv
import io
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from datasets import Image as ImageFeature
from PIL import Image

from course_utils import examples, hub
from course_utils.examples import eurosat, read_scene_classes
from course_utils.runtime import PROFILES, data_root, derive_seed

NAMES = read_scene_classes()["eurosat"].class_names
SHIPPED = data_root() / "eurosat_course"
FILES = {
    "seen": data_root() / "eurosat_retrieval" / "eurosat_course_retrieval.parquet",
    **{part: SHIPPED / f"eurosat_course_{part}.parquet" for part in ("train", "validation")},
}


def rows_of(path: Path, per_class: int = 4) -> list[dict]:
    """Take some rows of every class."""
    counts: Counter[int] = Counter()
    rows = pq.read_table(path).to_pylist()
    return [
        row for row in rows if counts.update([row["label"]]) or counts[row["label"]] <= per_class
    ]


def stems_of(part: str) -> list[str]:
    with (SHIPPED / "eurosat_spatial_split.csv").open(newline="") as file:
        rows = [row["path"] for row in csv.DictReader(file) if row["split"] == part]
    return [row.removesuffix(".jpg") for row in rows]


def drawn(stem: str) -> dict:
    """Draw an image in place of one of the test part, which no test has to open."""
    buffer = io.BytesIO()
    rng = np.random.default_rng(derive_seed(stem))
    pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return {"image": {"bytes": buffer.getvalue(), "path": stem + ".jpg"}, "label": 0}


@pytest.fixture(scope="module")
def rows() -> dict[str, list[dict]]:
    found = {part: rows_of(path) for part, path in FILES.items()}
    found["test"] = []
    for label, name in enumerate(NAMES):
        stems = [stem for stem in stems_of("test") if stem.startswith(name)][:3]
        found["test"] += [drawn(stem) | {"label": label} for stem in stems]
    return found


def write_hub(root: Path, rows: list[dict], *, id_column: bool = True) -> Path:
    """Write a copy as the hub has it, whose own split is another one."""
    columns = {"image": ImageFeature(), "label": ClassLabel(names=list(NAMES))}
    table: dict[str, list] = {"image": [], "label": [row["label"] for row in rows]}
    if id_column:
        columns["image_id"] = Value("string")
        table["image_id"] = [row["image"]["path"].removesuffix(".jpg") for row in rows]
    for row in rows:
        table["image"].append({"bytes": row["image"]["bytes"], "path": None})
    parts = {"train": slice(0, None, 3), "validation": slice(1, None, 3), "test": slice(2, None, 3)}
    for part, some in parts.items():
        path = root / "eurosat" / "data" / f"{part}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        cut = {key: values[some] for key, values in table.items()}
        Dataset.from_dict(cut, features=Features(columns)).to_parquet(str(path))
    return root


def load(models: Path, monkeypatch: pytest.MonkeyPatch) -> examples.Splits:
    monkeypatch.setenv("COURSE_MODELS", str(models))
    return examples.load_lab(PROFILES["t4"], cache=models / "cache")


def names_in(part: tuple[examples.Example, ...]) -> set[str]:
    return {Path(example.name).stem for example in part}


def stems_in(rows: list[dict]) -> set[str]:
    return {row["image"]["path"].removesuffix(".jpg") for row in rows}


def test_parts_are_those_of_the_split_list_without_what_was_seen(rows, tmp_path, monkeypatch):
    everything = [row for some in rows.values() for row in some]
    data = load(write_hub(tmp_path, everything), monkeypatch)
    assert (data.task, data.name, data.class_names) == ("eurosat", "EuroSAT", NAMES)
    for part in ("train", "validation", "test"):
        assert names_in(getattr(data, part)) == stems_in(rows[part])
        assert stems_in(rows[part]) <= set(stems_of(part))
    assert stems_in(rows["seen"]) <= set(stems_of("train"))
    found = [example for part in (data.train, data.validation, data.test) for example in part]
    assert all(NAMES[each.label] == each.name.split("_")[0] for each in found)
    seen = set(np.load(data_root() / "train_hashes.npy").tolist())
    assert not seen.intersection(int(each.digest()[:16], 16) for each in found)
    assert f"{len(rows['seen'])} that generators" in data.notes[-1]
    assert "40 images to train on, 40 to validate, 30 to test" in data.notes[-1]


def test_class_folders_of_the_original_archive_are_divided_alike(rows, tmp_path, monkeypatch):
    for row in (row for some in rows.values() for row in some):
        path = tmp_path / "eurosat" / "2750" / NAMES[row["label"]] / row["image"]["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(row["image"]["bytes"])
    data = load(tmp_path, monkeypatch)
    for part in ("train", "validation", "test"):
        assert names_in(getattr(data, part)) == stems_in(rows[part])


def encoded_anew(row: dict) -> dict:
    buffer = io.BytesIO()
    Image.open(io.BytesIO(row["image"]["bytes"])).save(buffer, "PNG")
    return row | {"image": row["image"] | {"bytes": buffer.getvalue()}}


def test_of_a_copy_that_was_encoded_anew_only_what_ships_is_trained_on(rows, tmp_path, monkeypatch):
    everything = [encoded_anew(row) for some in rows.values() for row in some]
    data = load(write_hub(tmp_path, everything), monkeypatch)
    assert names_in(data.train) == stems_in(rows["train"])
    assert names_in(data.test) == stems_in(rows["test"])
    assert "encoded anew" in data.notes[-1]


def test_nothing_is_trained_on_where_nothing_tells_what_was_seen(rows, tmp_path, monkeypatch):
    some = [encoded_anew(row) for part in ("seen", "validation", "test") for row in rows[part]]
    with pytest.raises(ValueError, match="none to train on"):
        load(write_hub(tmp_path, some), monkeypatch)


def test_a_copy_without_names_is_refused(rows, tmp_path, monkeypatch):
    some = [row for part in ("train", "validation", "test") for row in rows[part]]
    with pytest.raises(ValueError, match=r"AnnualCrop_10\.jpg, got 'an image without a name'"):
        load(write_hub(tmp_path, some, id_column=False), monkeypatch)


def test_a_name_that_eurosat_does_not_have_is_named(rows):
    found = examples.LabelledImages(
        (examples.Example(0, "real", data=b"x", name="Moon_1.jpg"),), ("a", "b"), ("a", "b"), ()
    )
    with pytest.raises(ValueError, match="got 'Moon_1'"):
        eurosat.divide_as_shipped(replace(found, name="x"), SHIPPED)


def test_where_all_of_it_cannot_be_had_what_ships_is_used_and_that_is_said(monkeypatch, tmp_path):
    def fail(*_, **__):
        raise hub.ArtifactError("no network\nset COURSE_MODELS")

    monkeypatch.setattr(examples.loading, "load_scenes", fail)
    data = examples.load_lab(PROFILES["t4"], cache=tmp_path)
    assert len(data.train) == 1000
    assert data.notes[0].startswith("Only the part of EuroSAT that ships is used")
    assert data.notes[0].endswith("no network set COURSE_MODELS")


def test_what_ships_says_the_name_of_every_image():
    data = examples.load_lab(PROFILES["mini"])
    assert names_in(data.validation) <= set(stems_of("validation"))
    assert len(names_in(data.train)) == 1000
