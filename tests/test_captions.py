"""Caption sets: their makers' files read as they are, their traps known, bad ones named."""

import csv
import io
import json
import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import encoded, noise_image
from datasets import Dataset, Features, Value
from datasets import Image as ImageFeature
from PIL import Image

from course_utils import hub
from course_utils.examples import (
    CaptionedImage,
    CaptionsError,
    load_captions,
    read_captions,
    read_scene_classes,
)
from course_utils.examples.captions import ucmerced_stem


def entry(file_name: str, split: str = "train", sentences=("a river .", "trees .")) -> dict:
    """Make an entry in the schema of RSICD, UCM-Captions and Sydney-Captions."""
    return {
        "filename": file_name,
        "imgid": 7,
        "sentences": [
            {"tokens": raw.split(), "raw": raw, "imgid": 7, "sentid": i}
            for i, raw in enumerate(sentences)
        ],
        "split": split,
        "sentids": list(range(len(sentences))),
    }


def write_json(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def write_set(root: Path, dataset: str, *entries: dict) -> Path:
    return write_json(root / "dataset.json", {"images": list(entries), "dataset": dataset})


def write_picture(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(noise_image(seed), {".tif": "TIFF"}.get(path.suffix, "JPEG")))


# what is read


def test_every_entry_becomes_a_record_in_the_order_of_the_file(tmp_path):
    path = write_set(
        tmp_path,
        "rsicd",
        entry("airport_28.jpg", "train", ["one .", " two . "]),
        entry("00191.jpg", "val", ["three ."]),
        entry("storagetanks_3.jpg", "test", ["four .", "four ."]),
    )
    found = read_captions(path)
    assert found.name == "RSICD"
    assert [each.file_name for each in found.images] == [
        "airport_28.jpg",
        "00191.jpg",
        "storagetanks_3.jpg",
    ]
    assert [each.captions for each in found.images] == [
        ("one .", "two ."),
        ("three .",),
        ("four .", "four ."),
    ]
    assert [each.split for each in found.images] == ["train", "validation", "test"]
    assert [each.original_split for each in found.images] == ["train", "val", "test"]
    assert [each.class_name for each in found.images] == ["Airport", "", "StorageTanks"]
    assert {each.source for each in found.images} == {"RSICD"}
    assert not any(each.has_image for each in found.images)
    assert "only the sentences" in found.notes[0]
    assert "1 of 3 images have a sentence more than once" in found.notes[1]


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Val"])
def test_validation_has_one_name_whatever_a_copy_calls_it(name, tmp_path):
    (image,) = read_captions(write_set(tmp_path, "UCM", entry("1.tif", name))).images
    assert (image.split, image.original_split) == ("validation", name)


@pytest.mark.parametrize(
    ("called", "name"),
    [
        ("rsicd", "RSICD"),
        ("UCM", "UCM-Captions"),
        ("UCM_captions", "UCM-Captions"),
        ("Sydney", "Sydney-Captions"),
        ("rsitmd", "rsitmd"),  # another set in the same schema keeps its own name
    ],
)
def test_a_set_is_named_by_what_its_file_calls_itself(called, name, tmp_path):
    assert read_captions(write_set(tmp_path, called, entry("1.tif"))).name == name


def test_the_raw_sentence_counts_and_not_the_tokens(tmp_path):
    one = entry("1.tif", sentences=["It is farmland ."])
    one["sentences"][0]["tokens"] = ["It", "is", "formland"]  # as UCM-Captions really has it
    (image,) = read_captions(write_set(tmp_path, "UCM", one)).images
    assert image.captions == ("It is farmland .",)


def test_the_paragraphs_of_rsicap_are_read_from_their_own_schema(tmp_path):
    rows = [
        {"image_id": "1", "filename": "P1.png", "text_input": "Describe.", "text_output": "Two. "},
        {"image_id": "2", "filename": "P2.png", "text_input": "Look.", "text_output": "Planes."},
    ]
    found = read_captions(write_json(tmp_path / "captions.json", {"annotations": rows}))
    assert found.name == "RSICap"
    assert [each.captions for each in found.images] == [("Two.",), ("Planes.",)]
    assert {(each.split, each.original_split, each.class_name) for each in found.images} == {
        ("", "", "")
    }


def test_a_folder_is_searched_for_the_usual_name_of_the_file(tmp_path):
    write_set(tmp_path, "Sydney", entry("1.tif"))
    assert read_captions(tmp_path).name == "Sydney-Captions"
    write_json(tmp_path / "captions.json", {})
    with pytest.raises(CaptionsError, match=r"found dataset\.json, captions\.json; give the JSON"):
        read_captions(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CaptionsError, match="found none of them"):
        read_captions(tmp_path / "empty")


# the numbering rule of UCM-Captions


def test_the_number_of_an_image_says_its_class_and_its_place():
    names = sorted(read_scene_classes()["ucmerced"].class_names)
    listed = [f"{name}{i:02d}" for name in names for i in range(100)]  # as a file manager would
    assert [ucmerced_stem(f"{n}.tif") for n in range(1, 2101)] == listed
    for wrong in ("0.tif", "2101.tif", "airplane01.tif", "-1.tif", "1a.tif", "99999999.tif"):
        assert ucmerced_stem(wrong) == ""


def test_images_of_uc_merced_are_found_by_the_rule_and_with_another_ending(tmp_path):
    path = write_set(tmp_path, "UCM", entry("100.tif"), entry("101.tif"), entry("2100.tif"))
    merced = tmp_path / "UCMerced_LandUse"
    for stem in ("agricultural/agricultural99", "airplane/airplane00", "tenniscourt/tenniscourt99"):
        write_picture(merced / "Images" / f"{stem}.jpg")
    found = read_captions(path, images=merced)
    assert [each.path.stem for each in found.images] == [
        "agricultural99",
        "airplane00",
        "tenniscourt99",
    ]
    classes = ["agricultural", "airplane", "tenniscourt"]
    assert [each.class_name for each in found.images] == classes
    assert "did not write down" in found.notes[0]


def test_an_image_under_its_own_number_beats_the_rule(tmp_path):
    path = write_set(tmp_path, "UCM", entry("101.tif"))
    write_picture(tmp_path / "imgs" / "101.tif")
    write_picture(tmp_path / "imgs" / "airplane00.tif", 1)
    (image,) = read_captions(path).images
    assert image.path.name == "101.tif"


def test_the_rule_is_for_ucm_captions_alone(tmp_path):
    path = write_set(tmp_path, "Sydney", entry("101.tif"))
    write_picture(tmp_path / "merced" / "airplane00.tif")
    with pytest.raises(CaptionsError, match="none of the 1 images of Sydney-Captions"):
        read_captions(path, images=tmp_path / "merced")


# images


def test_images_beside_the_file_are_found_without_being_named(tmp_path):
    path = write_set(tmp_path, "rsicd", entry("airport_1.jpg"), entry("river_2.jpg", "test"))
    write_picture(tmp_path / "RSICD_images" / "airport_1.jpg", 1)
    found = read_captions(path)
    assert found.images[0].path == tmp_path / "RSICD_images" / "airport_1.jpg"
    assert found.images[0].load().tobytes() == noise_jpeg(1)
    assert not found.images[1].has_image
    assert "1 of 2 images are not in the folder, such as river_2.jpg" in found.notes[0]
    with pytest.raises(ValueError, match=r"river_2\.jpg of RSICD came without its image"):
        found.images[1].load()


def noise_jpeg(seed: int) -> bytes:
    return Image.open(io.BytesIO(encoded(noise_image(seed), "JPEG"))).convert("RGB").tobytes()


def test_the_listed_ending_comes_first(tmp_path):
    path = write_set(tmp_path, "Sydney", entry("3.tif"))
    for name in ("3.jpg", "3.tif", "3.png"):
        write_picture(tmp_path / "a" / name)
    assert read_captions(path, images=tmp_path / "a").images[0].path.name == "3.tif"


@pytest.mark.parametrize(
    ("listed", "files", "found"),
    [
        pytest.param("a/1.jpg b/1.jpg", "a/1.jpg b/1.jpg", "a/1.jpg b/1.jpg", id="path"),
        pytest.param("b\\1.jpg .\\a\\1.jpg", "a/1.jpg b/1.jpg", "b/1.jpg a/1.jpg", id="windows"),
        pytest.param("./b/1.jpg", "a/1.jpg b/1.jpg", "b/1.jpg", id="dot"),
        pytest.param("imgs/b/1.jpg", "a/1.jpg b/1.jpg", "b/1.jpg", id="path from the file"),
        pytest.param("b/1.tif", "a/1.jpg b/1.jpg", "b/1.jpg", id="path with another ending"),
        pytest.param("/data/set/1.jpg", "a/1.jpg b/1.png", "a/1.jpg", id="name"),
        pytest.param("1.jpg", "a/1.png b/1.jpg c/1.tif", "b/1.jpg", id="name before stem"),
        pytest.param("1.jfif noend", "a/1.jfif noend", "a/1.jfif noend", id="unusual endings"),
        pytest.param("1.tif", "1.jpg 1.xml", "1.jpg", id="stem of an image"),
        pytest.param("a.b.tif", "a.jpg a.b.jpg", "a.b.jpg", id="dots"),
        pytest.param(
            "River.jpg river.jpg", "river.jpg River.jpg", "River.jpg river.jpg", id="case"
        ),
        pytest.param("RIVER.JPG", "river.jpg", "river.jpg", id="other case"),
        pytest.param("\u00e9.jpg", "e\u0301.jpg", "e\u0301.jpg", id="accent of a mac"),
        pytest.param("b/1.jpg a/1.jpg", "a/1.jpg", "- a/1.jpg", id="taken by its own entry"),
    ],
)
def test_an_image_is_found_by_path_then_name_then_stem(listed, files, found, tmp_path):
    for seed, name in enumerate(files.split()):
        write_picture(tmp_path / "imgs" / name, seed)
    path = write_set(tmp_path, "Sydney", *map(entry, listed.split(" ")))
    places = [each.path for each in read_captions(path).images]
    assert places == [None if n == "-" else tmp_path / "imgs" / n for n in found.split()]


@pytest.mark.parametrize(
    ("listed", "files", "words"),
    [
        pytest.param(
            "1.jpg", "a/1.jpg b/1.jpg", r"1\.jpg .*several.*a/1\.jpg.*b/1\.jpg", id="name"
        ),
        pytest.param(
            "1.tif", "1.jpg 1.png", r"1\.tif .*several files: .*1\.jpg.*1\.png", id="stem"
        ),
        pytest.param("A.jpg", "x/a.jpg y/a.JPG", r"A\.jpg .*several files", id="case"),
        pytest.param("x/1.jpg y/1.jpg", "1.jpg", r"x/1.jpg and y/1.jpg .*same file", id="shared"),
        pytest.param("1.jpg ./1.jpg", "1.jpg", r"1.jpg and ./1.jpg .*same file", id="twice"),
        pytest.param("1.tif 1.png", "1.jpg", r"1.tif and 1.png .*same file", id="shared stem"),
    ],
)
def test_what_fits_twice_is_named_and_never_guessed(listed, files, words, tmp_path):
    for seed, name in enumerate(files.split()):
        write_picture(tmp_path / "imgs" / name, seed)
    path = write_set(tmp_path, "Sydney", *map(entry, listed.split()))
    with pytest.raises(CaptionsError, match=words):
        read_captions(path)


def test_an_image_in_two_of_the_usual_folders_is_named(tmp_path):
    for seed, name in enumerate(("imgs", "images")):
        write_picture(tmp_path / name / "1.jpg", seed)
    with pytest.raises(CaptionsError, match=r"several files: .*images/1.jpg, .*imgs/1.jpg"):
        read_captions(write_set(tmp_path, "Sydney", entry("1.jpg")))


def test_a_pipe_is_no_image(tmp_path):
    (tmp_path / "imgs").mkdir()
    os.mkfifo(tmp_path / "imgs" / "1.jpg")
    assert not read_captions(write_set(tmp_path, "Sydney", entry("1.jpg"))).images[0].has_image


def test_a_file_name_never_leads_out_of_the_folder(tmp_path):
    write_picture(tmp_path / "secret.jpg")
    write_picture(tmp_path / "a" / "1.jpg")
    (tmp_path / "a" / "linked.jpg").symlink_to(tmp_path / "secret.jpg")
    (tmp_path / "a" / "inside.jpg").symlink_to("1.jpg")
    names = ["../secret.jpg", str(tmp_path / "secret.jpg"), "linked.jpg", "x/1.jpg", "inside.jpg"]
    path = write_set(tmp_path, "rsicd", *map(entry, names))
    found = read_captions(path, images=tmp_path / "a").images
    places = [each.path and each.path.name for each in found]
    assert places == [None, None, None, "1.jpg", "inside.jpg"]
    with pytest.raises(CaptionsError, match=r"has none of the 1 images .* no links out of it"):
        read_captions(write_set(tmp_path, "rsicd", entry("linked.jpg")), images=tmp_path / "a")


def test_a_folder_of_images_must_exist_and_hold_some_of_them(tmp_path):
    path = write_set(tmp_path, "rsicd", entry("river_1.jpg"))
    with pytest.raises(CaptionsError, match=r"there is no folder .*nowhere of images \(an arch"):
        read_captions(path, images=tmp_path / "nowhere")
    write_picture(tmp_path / "other" / "x.jpg")
    with pytest.raises(CaptionsError, match=r"none of the 1 images of RSICD, such as river_1\.jpg"):
        read_captions(path, images=tmp_path / "other")


def test_a_record_may_bring_pixels_instead_of_a_file():
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    image = CaptionedImage("a view", ("a river",), "mini_earth", pixels=pixels)
    assert image.has_image
    assert np.array_equal(np.asarray(image.load()), pixels)


# what is refused

WRONG = {
    "a list": ([], "got a list"),
    "other keys": ({"a": 1, "b": []}, "got the keys 'a', 'b'"),
    "nothing": ({}, "got the keys of nothing"),
    "no image": ({"images": []}, "lists no image"),
    "no dictionary": ({"images": ["x"]}, "entry 0 has no text 'filename', got a str"),
    "no name": ({"images": [{"split": "train"}]}, r"entry 0 has no text 'filename', got keys"),
    "no split": (
        {"images": [{"filename": "a.jpg", "sentences": []}]},
        r"entry 0 \(a\.jpg\) has no text 'split'",
    ),
    "other split": (
        {"images": [entry("a.jpg"), entry("b.jpg", "extra")]},
        r"entry 1 \(b\.jpg\): split 'extra' is none of train, val",
    ),
    "no sentences": ({"images": [entry("a.jpg", sentences=[])]}, r"\(a\.jpg\) has no sentences"),
    "sentences alone": (
        {"images": [{**entry("a.jpg"), "sentences": ["a river"]}]},
        r"\(a\.jpg\) has no text 'raw', got a str",
    ),
    "tokens only": (
        {"images": [{**entry("a.jpg"), "sentences": [{"tokens": ["a"]}]}]},
        r"\(a\.jpg\) has no text 'raw', got keys \['tokens'\]",
    ),
    "empty": ({"images": [entry("a.jpg", sentences=["ok", " "])]}, r"\(a\.jpg\): 'raw' is empty"),
    "half a name": ({"images": [entry("\ud800.jpg")]}, "entry 0: 'filename' has half a char"),
    "half a sentence": ({"images": [entry("a", sentences=["\ud83d"])]}, "'raw' has half a char"),
    "twice": (
        {"images": [entry("a.jpg"), entry("b.jpg"), entry("a.jpg", "test")]},
        r"listed more than once: a\.jpg",
    ),
    "no paragraph": (
        {"annotations": [{"filename": "P1.png", "text_output": ""}]},
        r"\(P1\.png\): 'text_output' is empty",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_schema_is_said_with_the_file_and_the_entry(case, tmp_path):
    content, words = WRONG[case]
    path = write_json(tmp_path / "set.json", content)
    with pytest.raises(CaptionsError, match=rf"set\.json.*{words}"):
        read_captions(path)


@pytest.mark.parametrize(
    "data", [b"", b'{"images": [', b"<html>", b'{"images": "\xff"}', b"[" * 100_000, b"a,b\n1,2"]
)
def test_broken_json_is_said(data, tmp_path):
    (tmp_path / "set.json").write_bytes(data)
    with pytest.raises(CaptionsError, match=r"set\.json is no JSON .*download it again"):
        read_captions(tmp_path / "set.json")


def test_a_byte_order_mark_does_no_harm(tmp_path):
    data = json.dumps({"images": [entry("1.tif")], "dataset": "UCM"}).encode("utf-8-sig")
    (tmp_path / "set.json").write_bytes(data)
    assert len(read_captions(tmp_path / "set.json").images) == 1


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(CaptionsError, match=r"there is no file .*set\.json"):
        read_captions(tmp_path / "set.json")


# by name


def test_a_name_is_looked_for_among_the_local_folders(tmp_path, monkeypatch):
    write_set(tmp_path / "ucm_captions", "UCM", entry("1.tif"))
    monkeypatch.setenv("COURSE_MODELS", str(tmp_path))
    assert load_captions("ucm_captions", cache=tmp_path / "cache").name == "UCM-Captions"
    with pytest.raises(hub.ArtifactError, match=r"sydney_captions was not found.*isaaccorley"):
        load_captions("sydney_captions", cache=tmp_path / "cache")
    with pytest.raises(CaptionsError, match=r"'flickr' is no path .* none of rsicd, ucm_captions"):
        load_captions("flickr", cache=tmp_path / "cache")


def test_both_paths_are_seen_from_the_callers_folder(tmp_path, monkeypatch):
    write_set(tmp_path, "rsicd", entry("river_1.jpg"))
    write_picture(tmp_path / "pictures" / "river_1.jpg")
    monkeypatch.setattr("course_utils.runtime._caller_folder", lambda: tmp_path)
    (image,) = load_captions("dataset.json", images="pictures").images
    assert image.path == tmp_path / "pictures" / "river_1.jpg"


def write_table(path: Path, rows: dict, features: Features | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Dataset.from_dict(rows, features=features).to_parquet(str(path))


def test_rsicd_of_the_hub_is_read_from_its_tables(tmp_path, the_hub):
    pictures = {f"rsicd_images/river_{i}.jpg": encoded(noise_image(i), "JPEG") for i in range(3)}
    features = Features(
        {"filename": Value("string"), "captions": [Value("string")], "image": ImageFeature()}
    )
    for part, (name, data) in zip(("train", "valid", "test"), pictures.items(), strict=True):
        rows = {"filename": [name], "captions": [["one .", part]]}
        rows["image"] = [{"bytes": data, "path": None}]
        write_table(tmp_path / "repo" / "data" / f"{part}-00000-of-00001.parquet", rows, features)
    the_hub.folders["arampacha/rsicd"] = tmp_path / "repo"
    for name in ("rsicd", "arampacha/rsicd"):
        found = load_captions(name, cache=tmp_path / "cache")
        assert found.name == "RSICD"
        splits = {each.file_name: each.split for each in found.images}
        assert splits == {
            "river_0.jpg": "train",
            "river_1.jpg": "validation",
            "river_2.jpg": "test",
        }
        for each in found.images:
            assert each.data == pictures[f"rsicd_images/{each.file_name}"]
            assert each.load().size == (8, 8)
            assert each.captions == ("one .", each.original_split)
            assert each.class_name == "River"
    assert [repository for repository, _ in the_hub.asked] == ["arampacha/rsicd"], "once"


def test_another_table_than_rsicds_is_refused(tmp_path, the_hub):
    write_table(tmp_path / "repo" / "train.parquet", {"path": ["a.jpg"], "captions": [["one"]]})
    the_hub.folders["arampacha/rsicd"] = tmp_path / "repo"
    with pytest.raises(ValueError, match="filename, image missing in a row"):
        load_captions("rsicd", cache=tmp_path / "cache")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"captions": "a river ."}, None, id="one text"),
        pytest.param(
            {"captions": ["a", None]}, "row 0 has no text 'captions'", id="null in a list"
        ),
        pytest.param({"captions": ["a", " "]}, "row 0: 'captions' is empty", id="empty"),
        pytest.param({"captions": None}, "row 0: captions missing", id="null"),
        pytest.param({"captions": [{"raw": "a"}]}, "row 0 has no text 'captions'", id="struct"),
        pytest.param({"filename": 7}, "row 0 has no text 'filename'", id="number"),
        pytest.param({"image": None}, "row 0: image missing", id="no image"),
        pytest.param(
            {"image": {"bytes": None, "path": "../../x.jpg"}}, "outside of the folder", id="escape"
        ),
    ],
)
def test_rows_of_a_table_are_checked_one_by_one(change, words, tmp_path, the_hub):
    image = {"bytes": encoded(noise_image(1), "JPEG"), "path": None}
    row = {"filename": "river_1.jpg", "captions": ["a river ."], "image": image} | change
    (tmp_path / "repo").mkdir()
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "repo" / "train.parquet")
    the_hub.folders["arampacha/rsicd"] = tmp_path / "repo"
    if words is None:
        (image,) = load_captions("rsicd", cache=tmp_path / "cache").images
        assert image.captions == ("a river .",)
        return
    with pytest.raises(CaptionsError, match=words):
        load_captions("rsicd", cache=tmp_path / "cache")


# real sets


def test_real_rsicd_is_read_with_its_images(test_data):
    found = read_captions(test_data / "captions" / "rsicd")
    assert len(found.images) == 40
    assert all(each.load().size == (224, 224) for each in found.images)
    assert {len(each.captions) for each in found.images} == {5}
    assert Counter(each.split for each in found.images) == {"train": 32, "validation": 3, "test": 5}
    classes = [each.class_name for each in found.images if each.class_name]
    assert sorted(classes) == list(read_scene_classes()["aid"].class_names)
    numbered = [each for each in found.images if not each.class_name]
    assert len(numbered) == 10
    assert all(each.path.stem.isdigit() for each in numbered)


def test_real_ucm_captions_find_every_image_of_uc_merced(test_data, tmp_path):
    folder = test_data / "captions" / "ucm_captions"
    found = read_captions(folder, images=test_data / "UCMerced_LandUse_jpg")
    assert len(found.images) == 420
    with open(folder / "filename_map.csv", encoding="utf-8", newline="") as file:
        places = {row["caption_filename"]: row["jpg_here"] for row in csv.DictReader(file)}
    for each in found.images:
        assert each.path == test_data / places[each.file_name]
        assert each.class_name == each.path.parent.name
    named = [each for each in found.images if each.class_name == "baseballdiamond"]
    said = [any("baseball" in text.lower() for text in each.captions) for each in named]
    assert np.mean(said) > 0.9, "the sentences agree with the rule"
    shutil.copy(folder / "dataset.json", tmp_path)
    assert not any(each.has_image for each in read_captions(tmp_path).images)


def test_real_sydney_captions_and_rsicap_are_read_without_images(test_data):
    sydney = read_captions(test_data / "captions" / "sydney_captions")
    assert Counter(each.split for each in sydney.images) == {
        "train": 40,
        "validation": 10,
        "test": 10,
    }
    assert not any(each.class_name for each in sydney.images)
    rsicap = read_captions(test_data / "captions" / "rsicap")
    assert (rsicap.name, len(rsicap.images)) == ("RSICap", 6)
    assert all(len(each.captions) == 1 for each in rsicap.images)
