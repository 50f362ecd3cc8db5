"""RESISC45, EuroSAT, UC Merced and AID: the same images and labels, whichever way they come."""

import csv
import io
import json
import os
import shutil
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import encoded, noise_image, write_images
from datasets import ClassLabel, Dataset, Features, Value
from datasets import Image as ImageFeature

from course_utils import archives, examples, hub
from course_utils.archives import ArchiveError
from course_utils.examples import load_scenes, loading, phrase_from_name, read_scene_classes
from course_utils.examples.tables import read_labelled
from course_utils.runtime import PROFILES, data_root


def words_of(words: str) -> list[str]:
    return words.split()


# as published, typed from the data sets' own pages and not from the course's table
RESISC45 = words_of(
    "airplane airport baseball_diamond basketball_court beach bridge chaparral church "
    "circular_farmland cloud commercial_area dense_residential desert forest freeway golf_course "
    "ground_track_field harbor industrial_area intersection island lake meadow medium_residential "
    "mobile_home_park mountain overpass palace parking_lot railway railway_station "
    "rectangular_farmland river roundabout runway sea_ice ship snowberg sparse_residential stadium "
    "storage_tank tennis_court terrace thermal_power_station wetland"
)
EUROSAT = words_of(
    "AnnualCrop Forest HerbaceousVegetation Highway Industrial Pasture PermanentCrop Residential "
    "River SeaLake"
)
UCMERCED = words_of(
    "agricultural airplane baseballdiamond beach buildings chaparral denseresidential forest "
    "freeway golfcourse harbor intersection mediumresidential mobilehomepark overpass parkinglot "
    "river runway sparseresidential storagetanks tenniscourt"
)
AID = words_of(
    "Airport BareLand BaseballField Beach Bridge Center Church Commercial DenseResidential Desert "
    "Farmland Forest Industrial Meadow MediumResidential Mountain Park Parking Playground Pond "
    "Port RailwayStation Resort River School SparseResidential Square Stadium StorageTanks Viaduct"
)
PUBLISHED = {  # classes, all images, the official layout: folders above the classes, file names
    "resisc45": (RESISC45, 31_500, "NWPU-RESISC45", lambda name, i: f"{name}_{i + 1:03d}.jpg"),
    "eurosat": (EUROSAT, 27_000, "2750", lambda name, i: f"{name}_{i + 1}.jpg"),
    "ucmerced": (UCMERCED, 2_100, "UCMerced_LandUse/Images", lambda name, i: f"{name}{i:02d}.tif"),
    "aid": (AID, 10_000, "AID", lambda name, i: f"{name.lower()}_{i + 1}.jpg"),
}
every_set = pytest.mark.parametrize("key", PUBLISHED)
PER_CLASS = 3


def picture(number: int, file_format: str = "PNG") -> bytes:
    return encoded(noise_image(number, size=(4, 4)), file_format)


def official_files(key: str) -> dict[str, bytes]:
    """Make up a small data set in its official layout; every image is another one."""
    names, _, above, file_name = PUBLISHED[key]
    kind = "TIFF" if key == "ucmerced" else "JPEG"
    return {
        f"{above}/{name}/{file_name(name, i)}": picture(label * PER_CLASS + i, kind)
        for label, name in enumerate(names)
        for i in range(PER_CLASS)
    }


def write(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def write_zip(path: Path, files: dict[str, bytes], **options: int) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def content(example: examples.Example) -> bytes:
    return example.data or example.path.read_bytes()


def labels_by_content(found: examples.LabelledImages) -> dict[bytes, int]:
    return {content(example): example.label for example in found.examples}


# what the course knows of the sets


@every_set
def test_classes_come_in_the_published_order_with_the_published_number_of_images(key):
    classes = read_scene_classes()[key]
    names, total, *_ = PUBLISHED[key]
    assert list(classes.class_names) == names
    assert classes.num_images == total
    assert len(set(classes.phrases)) == len(names)


@every_set
def test_names_become_words(key):
    classes = read_scene_classes()[key]
    for name, phrase in zip(classes.class_names, classes.phrases, strict=True):
        assert phrase == phrase.lower()
        if key == "ucmerced":  # its names have no joints to take apart
            assert phrase.replace(" ", "") == name
        else:
            assert phrase == phrase_from_name(name)
    assert "mobile home park" in read_scene_classes()["ucmerced"].phrases


def test_the_lock_says_id_licence_and_source_of_every_set():
    lock = hub.read_lock()
    for key in PUBLISHED:
        assert lock[key].role == "data"
        assert lock[key].id.count("/") == 1
        assert lock[key].license
    assert lock["eurosat"].id == "timm/eurosat-rgb"
    for key in ("rsicd", "ucm_captions", "sydney_captions", "rsicap"):
        assert lock[key].role == "data"


def test_the_published_table_agrees_with_the_classes_and_names_a_source():
    with open(data_root() / "published" / "image_sets.csv", encoding="utf-8", newline="") as file:
        rows = {row["data"]: row for row in csv.DictReader(file)}
    assert set(rows) <= set(hub.read_lock())
    for key, (names, total, *_) in PUBLISHED.items():
        assert (rows[key]["num_images"], rows[key]["num_classes"]) == (str(total), str(len(names)))
        assert rows[key]["title"] == read_scene_classes()[key].title
    assert all(row["source"] for row in rows.values())


@every_set
def test_only_exactly_these_classes_are_these_classes(key):
    classes = read_scene_classes()[key]
    spelled = [phrase.title().replace(" ", "-") for phrase in reversed(classes.phrases)]
    count = len(spelled)
    assert classes.matches(spelled)
    assert classes.labels_of(spelled, where="x") == tuple(range(count - 1, -1, -1))
    first = classes.class_names[-1]
    for wrong, words in (
        (spelled[1:], f"missing: {first}"),
        ([*spelled, "Moon"], "unknown: Moon"),
        (["Moon", *spelled[1:]], f"missing: {first}; unknown: Moon"),
        ([*spelled, spelled[0]], "a class occurs twice"),
    ):
        assert not classes.matches(wrong)
        with pytest.raises(ValueError, match=f"x has not the {count} classes .*{words}"):
            classes.labels_of(wrong, where="x")


# folders and archives in the official layout


@every_set
def test_a_folder_in_the_official_layout_is_recognized(key, tmp_path):
    files = official_files(key)
    found = load_scenes(write(tmp_path / "here", files))
    names, total, above, _ = PUBLISHED[key]
    assert list(found.class_names) == names
    assert found.phrases == read_scene_classes()[key].phrases
    expected = {data: names.index(Path(name).parent.name) for name, data in files.items()}
    assert labels_by_content(found) == expected
    assert found.name == read_scene_classes()[key].title
    note, reading = found.notes
    assert reading.startswith(f"Read as one folder per class in here/{above}: {len(files)} images")
    assert f"{len(files)} of its {total:,} images" in note
    assert hub.read_lock()[key].license in note
    inner = load_scenes(tmp_path / "here" / above)
    assert [each.path for each in inner.examples] == [each.path for each in found.examples]


@pytest.mark.parametrize(("key", "kind"), [("ucmerced", "zip"), ("eurosat", "tar.gz")])
def test_an_archive_in_the_official_layout_is_unpacked_once(key, kind, tmp_path, monkeypatch):
    files, path = official_files(key), tmp_path / f"set.{kind}"
    if kind == "zip":
        write_zip(path, {**files, "readme.txt": b"hello", "__MACOSX/._a.jpg": b"junk"})
    else:
        with tarfile.open(path, "w:gz") as archive:
            archive.add(write(tmp_path / "x", files), arcname=".")
    found = load_scenes(path, cache=tmp_path / "cache")
    assert labels_by_content(found) == labels_by_content(load_scenes(write(tmp_path / "y", files)))
    assert found.parts == ()
    assert all(each.path.is_relative_to(tmp_path / "cache") for each in found.examples)
    monkeypatch.setattr(loading, "extract_files", None)
    again = load_scenes(path, cache=tmp_path / "cache")
    assert labels_by_content(again) == labels_by_content(found)
    assert (again.notes, again.name, again.phrases) == (found.notes, found.name, found.phrases)


def test_what_was_lost_from_the_cache_is_unpacked_again(tmp_path):
    path = write_zip(tmp_path / "EuroSAT.zip", official_files("eurosat"))
    found = load_scenes(path, cache=tmp_path / "cache")
    whole = labels_by_content(found)
    found.examples[0].path.unlink()
    found.examples[1].path.write_bytes(b"")
    assert labels_by_content(load_scenes(path, cache=tmp_path / "cache")) == whole
    (manifest,) = (tmp_path / "cache").rglob(loading.MANIFEST)
    manifest.write_text("{")
    assert labels_by_content(load_scenes(path, cache=tmp_path / "cache")) == whole
    assert len(list((tmp_path / "cache" / "scenes").iterdir())) == 1, "nothing is left lying about"


def test_an_archive_of_other_classes_is_read_like_a_folder_of_them(tmp_path):
    names = [f"mine/{name}/{i}.png" for name in ("SeaLake", "tank_2") for i in range(3)]
    path = write_zip(tmp_path / "m.zip", {name: picture(i) for i, name in enumerate(names)})
    found = load_scenes(path, cache=tmp_path / "cache")
    assert found.class_names == ("SeaLake", "tank_2")
    assert found.phrases == ("sea lake", "tank 2")
    reading = "Read as one folder per class in m/mine: 6 images of 2 classes (SeaLake, tank_2)."
    assert (found.name, found.notes) == ("m.zip", (reading,))


@pytest.mark.parametrize(
    "name", ["../evil.jpg", "/evil.jpg", "2750/../../evil.jpg", "2750\\..\\evil.jpg", "C:/evil.jpg"]
)
def test_no_archive_writes_outside_of_its_folder(name, tmp_path):
    path = write_zip(tmp_path / "a.zip", {"2750/River/a.jpg": picture(1), name: picture(2)})
    with pytest.raises(ArchiveError, match="would be written outside the folder"):
        load_scenes(path, cache=tmp_path / "cache")
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == [path]


def write_foreign_zip(path: Path, names: list[bytes]) -> Path:
    """Write a zip file with names that the library would not write."""
    stand_ins = [f"{i:0{len(name)}}" for i, name in enumerate(names)]
    data = {
        other: b"" if name.endswith(b"\\") else picture(i)
        for i, (other, name) in enumerate(zip(stand_ins, names, strict=True))
    }
    content = write_zip(path, data).read_bytes()
    for stand_in, name in zip(stand_ins, names, strict=True):
        content = content.replace(stand_in.encode(), name)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("pattern", "encoding", "classes"),
    [
        ("set\\{}\\{}.png", "ascii", ("a", "b")),
        ("Öde {}/{}.png", "cp437", ("Öde a", "Öde b")),
        ("农田{}/{}.png", "utf-8", ("农田a", "农田b")),
    ],
    ids=["Windows", "DOS", "Mac"],
)
def test_zips_of_other_systems_are_read(pattern, encoding, classes, tmp_path):
    names = [pattern.format(name, i) for name in "ab" for i in range(3)] + ["set\\empty\\"]
    path = write_foreign_zip(tmp_path / "a.zip", [name.encode(encoding) for name in names])
    found = load_scenes(path, cache=tmp_path / "cache")
    assert found.class_names == classes
    assert len(found.examples) == 6


def test_hidden_files_of_an_archive_are_said_and_classes_with_underscores_kept(tmp_path):
    names = [f"{name}/{i}.png" for name in ("__background__", "b", "__MACOSX") for i in range(3)]
    path = write_zip(tmp_path / "m.zip", {name: picture(i) for i, name in enumerate(names)})
    found = load_scenes(path, cache=tmp_path / "cache")
    assert found.class_names == ("__background__", "b")
    assert [line.split(" (")[0] for line in found.skipped] == ["1 hidden files or folders"]


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_a_bomb_is_not_unpacked(kind, tmp_path, monkeypatch):
    path, size = tmp_path / f"a.{kind}", 40 << 20
    monkeypatch.setattr(archives, "_BOMB", (size // 2, 200))
    if kind == "zip":
        write_zip(path, {"a/0.bmp": bytes(size)}, compression=zipfile.ZIP_DEFLATED)
    else:
        with tarfile.open(path, "w:gz") as archive:
            member = tarfile.TarInfo("a/0.bmp")
            member.size = size
            archive.addfile(member, io.BytesIO(bytes(size)))
    with pytest.raises(ArchiveError, match=r"0\.bmp' and what is before it have 0\.0 GB, more"):
        load_scenes(path, cache=tmp_path / "cache")
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == [path]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a", "a/0.png"], "holds 'a' as a file and as a folder"),
        (["a/" + "x" * 300], "name too long"),
        (["d/" * 2000 + "x"], "name too long"),
    ],
    ids=["twice", "long", "deep"],
)
def test_names_that_no_disk_takes_are_refused(names, words, tmp_path):
    path = write_zip(tmp_path / "a.zip", {name: picture(1) for name in names})
    with pytest.raises(ArchiveError, match=words):
        load_scenes(path, cache=tmp_path / "cache")


@pytest.mark.parametrize("start", [b"", b"PK", b"\x1f\x8b", b"BZh9", b"\xfd7zXZ\0"])
def test_a_sparse_file_of_a_terabyte_is_refused_soon(start, tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(start)
    os.truncate(path, 1 << 40)
    with pytest.raises(ArchiveError, match="is no archive, damaged or cut off"):
        load_scenes(path, cache=tmp_path / "cache")


@pytest.mark.parametrize(
    "root", ["loop", "pipe", "x" * 5000, "~nobody-here/x"], ids=lambda n: n[:9]
)
def test_a_root_that_is_no_place_is_said_in_a_sentence(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    os.mkfifo("pipe")
    with pytest.raises(ValueError, match="is neither a folder nor an archive"):
        load_scenes(root, cache=tmp_path)


def test_a_link_in_an_archive_is_refused(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        link = tarfile.TarInfo("2750/River/a.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(ArchiveError, match="is a symbolic link"):
        load_scenes(path, cache=tmp_path / "cache")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"Rar!\x1a\x07\x00rest", "RAR archive.*extract it first"),
        (b"no archive", "is no archive, damaged or cut off"),
        (b"", "is no archive, damaged or cut off"),
    ],
)
def test_what_python_cannot_unpack_is_said_with_the_remedy(data, words, tmp_path):
    (tmp_path / "NWPU-RESISC45.rar").write_bytes(data)
    with pytest.raises(ValueError, match=words):
        load_scenes(tmp_path / "NWPU-RESISC45.rar", cache=tmp_path / "cache")


def test_an_archive_without_images_or_for_a_full_disk_is_refused(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="holds no class folders"):
        load_scenes(write_zip(tmp_path / "a.zip", {"a/readme.txt": b"x"}), cache=tmp_path)
    path = write_zip(tmp_path / "b.zip", official_files("eurosat"))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10))
    with pytest.raises(ValueError, match="GB are free"):
        load_scenes(path, cache=tmp_path / "cache")


def test_words_of_ones_own_beat_the_tables(tmp_path):
    root = write(tmp_path / "here", official_files("eurosat"))
    rows = "".join(f"{name},my {name}\n" for name in reversed(EUROSAT))
    (root / "2750" / "classes.csv").write_text("name,phrase\n" + rows)
    assert load_scenes(root).phrases == tuple(f"my {name}" for name in EUROSAT)


def test_folders_in_another_spelling_and_order_get_official_names_and_labels(tmp_path):
    for label, name in enumerate(EUROSAT):
        spelled = (
            phrase_from_name(name).replace("sea", "Sea").replace("permanent", "a_permanent"[2:])
        )
        write_images(tmp_path / "e" / spelled, 3, seed=label)
    found = load_scenes(tmp_path / "e")
    assert list(found.class_names) == EUROSAT
    for each in found.examples:
        folder = each.path.parent.name.lower().replace(" ", "")
        assert EUROSAT[each.label].lower() == folder
    labels = [each.label for each in found.examples]
    assert labels == sorted(labels)


def test_what_is_no_path_and_no_name_lists_the_names(tmp_path):
    with pytest.raises(ValueError, match=r"'moon' is neither .* nor one of resisc45, eurosat, uc"):
        load_scenes("moon", cache=tmp_path)
    with pytest.raises(ValueError, match=r"looked at .*nowhere"):
        load_scenes(tmp_path / "nowhere", cache=tmp_path)


@pytest.mark.parametrize("names", [EUROSAT, ["SeaLake", "tank_2"]], ids=["known", "unknown"])
def test_parts_above_the_class_folders_are_the_data_sets_own_split(names, tmp_path):
    sizes, truth = {"train": 4, "val": 3, "test": 3}, {}
    for part, per_class in sizes.items():
        for name in names:
            for i in range(per_class):
                path = tmp_path / "set" / part / name / f"{i}.png"
                write(path.parent, {path.name: picture(len(truth))})
                truth[path.read_bytes()] = (name, "validation" if part == "val" else part)
    copy = next(path for path in tmp_path.rglob("*/test/*/*.png"))
    shutil.copy(copy, tmp_path / "set" / "train" / copy.parent.name / "copy.png")
    found = load_scenes(tmp_path / "set", cache=tmp_path / "cache")
    assert list(found.class_names) == names
    got = {
        content(each): (found.class_names[each.label], part)
        for each, part in zip(found.examples, found.parts, strict=True)
    }
    assert got == truth, "the copy of a test image is not trained on"
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        archive.add(tmp_path / "set", arcname="set")
    packed = load_scenes(tmp_path / "set.tar", cache=tmp_path / "cache")
    assert packed.parts == found.parts


# repositories of the hub

SPLIT = {"train": 3, "validation": 1, "test": 2}  # images a class


def write_repository(
    root: Path, names: list[str], split: dict[str, int] | None = None
) -> dict[bytes, tuple[str, str]]:
    """Write Parquet files as the hub has them; give each image's class and part by its bytes."""
    features = Features({"image": ImageFeature(), "label": ClassLabel(names=names)})
    truth, number = {}, 0
    for part, per_class in (split or SPLIT).items():
        rows: dict[str, list] = {"image": [], "label": []}
        for label, name in enumerate(names):
            for _ in range(per_class):
                number += 1
                data = picture(number, "JPEG" if number % 2 else "PNG")
                truth[data] = (name, part)
                rows["image"].append({"bytes": data, "path": None})
                rows["label"].append(label)
        path = root / "data" / f"{part}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        Dataset.from_dict(rows, features=features).to_parquet(str(path))
    return truth


def test_labels_are_read_from_the_data_set_and_never_assumed(the_hub, tmp_path):
    turned = [phrase_from_name(name).title() for name in reversed(EUROSAT)]
    turned[turned.index("Industrial")] = "Industrial Buildings"  # as one copy has it
    truth = write_repository(tmp_path / "repo", turned)
    the_hub.folders["timm/eurosat-rgb"] = tmp_path / "repo"
    seen: list[int] = []

    def progress(rows, total):
        seen.append(total)
        return rows

    found = load_scenes("eurosat", cache=tmp_path / "cache", progress=progress)
    assert seen == [len(truth)] == [60]
    assert list(found.class_names) == EUROSAT
    official = dict(zip(turned, reversed(EUROSAT), strict=True))
    for example, part in zip(found.examples, found.parts, strict=True):
        name, own = truth[content(example)]  # the original bytes
        assert found.class_names[example.label] == official[name]
        assert part == own
    assert the_hub.asked == [("timm/eurosat-rgb", hub.read_lock()["eurosat"].revision)]
    assert len(the_hub.sent) == 3
    assert "timm/eurosat-rgb@c0ffee0" in found.notes[0]
    again = load_scenes("timm/eurosat-rgb", cache=tmp_path / "cache")  # its id is its name too
    assert (len(the_hub.asked), len(the_hub.sent)) == (1, 3), "the second time asks nobody"
    assert labels_by_content(again) == labels_by_content(found)
    assert (again.parts, again.notes) == (found.parts, found.notes)


def test_an_experiment_takes_a_data_set_by_name(the_hub, tmp_path):
    truth = write_repository(tmp_path / "repo", AID)
    the_hub.folders["blanchon/AID"] = tmp_path / "repo"
    options = {"profile": PROFILES["t4"], "root": "aid", "cache": tmp_path / "cache"}
    splits = examples.load_examples("scenes", **options)
    for part in ("train", "validation", "test"):
        assert {truth[content(each)][1] for each in getattr(splits, part)} == {part}
    sizes = [len(part) for part in (splits.train, splits.validation, splits.test)]
    assert sizes == [90, 30, 60]
    assert (splits.name, splits.stand_in_for) == ("AID", None)
    assert splits.phrases[-1] == "viaduct"
    assert hub.read_lock()["aid"].license in " ".join(splits.notes)
    two = examples.load_examples("scenes", classes=("river", "forest"), per_class=2, **options)
    assert two.class_names == ("Airport", "BareLand")
    assert [len(two.train), len(two.validation), len(two.test)] == [4, 2, 4]


def test_a_copy_is_asked_when_the_first_place_fails(the_hub, tmp_path):
    write_repository(tmp_path / "repo", RESISC45, {"train": 1, "validation": 1, "test": 1})
    the_hub.folders["mteb/resisc45"] = tmp_path / "repo"
    found = load_scenes("resisc45", cache=tmp_path / "cache")
    assert [name for name, _ in the_hub.asked] == ["timm/resisc45", "mteb/resisc45"]
    assert "mteb/resisc45@c0ffee0" in found.notes[0]
    assert Counter(found.parts) == {"train": 45, "validation": 45, "test": 45}


def test_without_a_network_the_reasons_and_the_ways_out_are_said(the_hub, tmp_path):
    with pytest.raises(hub.ArtifactError) as caught:
        load_scenes("eurosat", cache=tmp_path / "cache")
    for part in ("(timm/eurosat-rgb): no network", "COURSE_MODELS", "HF_ENDPOINT", "EuroSAT.zip"):
        assert part in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_a_data_set_without_a_split_is_split_by_the_course(the_hub, tmp_path):
    truth = write_repository(tmp_path / "repo", UCMERCED, {"train": 10})
    the_hub.folders["blanchon/UC_Merced"] = tmp_path / "repo"
    found = load_scenes("ucmerced", cache=tmp_path / "cache")
    assert set(found.parts) == {"train"}
    parts, notes = examples.split_images(found)
    assert notes == ()
    assert [len(part) for part in parts] == [105, 21, 84]
    assert len({each.digest() for part in parts for each in part}) == len(truth)


def test_a_repository_of_plain_images_is_read_from_its_data_folder(the_hub, tmp_path):
    files = {
        f"data/{Path(n).parent.name}/{Path(n).name}": d for n, d in official_files("aid").items()
    }
    write(tmp_path / "repo", {**files, "thumbnail.png": picture(999)})  # which spoils the labels
    the_hub.folders["blanchon/AID"] = tmp_path / "repo"
    found = load_scenes("aid", cache=tmp_path / "cache")
    assert list(found.class_names) == AID
    assert all(name.startswith("data/") for name in the_hub.sent)
    expected = {data: AID.index(Path(name).parent.name) for name, data in files.items()}
    assert labels_by_content(found) == expected


def test_an_image_in_two_parts_is_kept_for_the_test_only(the_hub, tmp_path):
    names = ["A", "B"]
    write_repository(tmp_path / "repo", names, {"train": 4, "test": 4})
    features = Features({"image": ImageFeature(), "label": ClassLabel(names=names)})
    test = tmp_path / "repo" / "data" / "test-00000-of-00001.parquet"
    train = tmp_path / "repo" / "data" / "train-00000-of-00001.parquet"
    rows = [
        Dataset.from_parquet(str(p)).cast_column("image", ImageFeature(decode=False))
        for p in (test, train)
    ]
    both = {"image": [*rows[0]["image"], rows[1]["image"][0]], "label": [*rows[0]["label"], 0]}
    Dataset.from_dict(both, features=features).to_parquet(str(test))
    found = load_scenes(tmp_path / "repo", cache=tmp_path / "cache")
    assert Counter(found.parts) == {"train": 7, "test": 9}
    assert "train-00000" in " ".join(found.skipped)
    assert (found.class_names, found.name) == (("A", "B"), "repo")
    reading = "Read as Parquet files in repo, train (7), test (9): 16 images of 2 classes (A, B)."
    assert found.notes == (reading,)


def test_a_folder_with_the_files_of_a_repository_needs_no_hub(the_hub, tmp_path, monkeypatch):
    truth = write_repository(
        tmp_path / "models" / "eurosat", EUROSAT, {"train": 2, "valid": 1, "test": 1}
    )
    monkeypatch.setenv("COURSE_MODELS", str(tmp_path / "models"))
    found = load_scenes("eurosat", cache=tmp_path / "cache")
    assert the_hub.asked == []
    assert len(found.examples) == len(truth)
    assert Counter(found.parts) == {"train": 20, "validation": 10, "test": 10}, (
        "valid is validation"
    )
    assert list(found.class_names) == EUROSAT


def test_a_local_folder_under_the_name_of_a_set_must_be_that_set(the_hub, tmp_path, monkeypatch):
    write(tmp_path / "models" / "aid", official_files("eurosat"))
    monkeypatch.setenv("COURSE_MODELS", str(tmp_path / "models"))
    with pytest.raises(ValueError, match=r"not the 30 classes of AID.*missing: Airport.*Annual"):
        load_scenes("aid", cache=tmp_path / "cache")
    assert the_hub.asked == []


def test_a_set_with_other_classes_than_its_name_says_is_refused(the_hub, tmp_path):
    write_repository(tmp_path / "repo", [*EUROSAT[:-1], "Moon"], {"train": 3})
    the_hub.folders["timm/eurosat-rgb"] = tmp_path / "repo"
    with pytest.raises(ValueError, match=r"EuroSAT .missing: SeaLake; unknown: Moon"):
        load_scenes("eurosat", cache=tmp_path / "cache")


@pytest.mark.parametrize(
    ("rows", "features", "words"),
    [
        (
            {"image": [{"bytes": b"x", "path": None}], "label": [3]},
            Features({"image": ImageFeature(), "label": Value("int64")}),
            "one column of labels with names, got .. among",
        ),
        (
            {"text": ["x"], "label": [0]},
            Features({"text": Value("string"), "label": ClassLabel(names=["A", "B"])}),
            "one column of images, got .. among",
        ),
        (
            {"image": [{"bytes": picture(1), "path": None}], "label": [-1]},
            Features({"image": ImageFeature(), "label": ClassLabel(names=["A", "B"])}),
            "row 0 of 'train' has the label -1, expected 0 … 1",
        ),
    ],
)
def test_a_repository_that_is_no_labelled_set_is_refused(rows, features, words, tmp_path):
    path = tmp_path / "repo" / "train.parquet"
    path.parent.mkdir()
    Dataset.from_dict(rows, features=features).to_parquet(str(path))
    with pytest.raises(ValueError, match=words):
        load_scenes(tmp_path / "repo", cache=tmp_path / "cache")


def in_bytes(number: int) -> dict[str, object]:
    return {"bytes": picture(number), "path": None}


def in_file(number: int, *, start: str = "") -> dict[str, object]:
    return {"bytes": None, "path": f"{start}img/{number}.png"}


TEXTS = ["A", "B"] * 4
NAMES = {"label": {"_type": "ClassLabel", "names": ["A", "B"]}}


def write_table(
    root: Path, images: object, labels: object, *, path: str = "d/train.parquet", **names: object
) -> Path:
    """Write a table as pandas would, and beside it the files img/0.png … that it may name."""
    write(root, {f"d/img/{i}.png": picture(i) for i in range(8)} | {"secret.png": picture(99)})
    table = pa.table({"image": images, "label": labels})
    if names:
        info = json.dumps({"info": names} if "features" in names else names)
        table = table.replace_schema_metadata({"huggingface": info})
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, root / path, row_group_size=3)
    return root / "d"


BYTES = [in_bytes(i) for i in range(8)]
FILES = [in_file(i) for i in range(8)]


@pytest.mark.parametrize(
    ("images", "labels", "options"),
    [
        pytest.param(BYTES, TEXTS, {}, id="pandas struct"),
        pytest.param([each["bytes"] for each in BYTES], TEXTS, {}, id="bytes"),
        pytest.param(BYTES, pd.Categorical(TEXTS), {}, id="pandas categories"),
        pytest.param(BYTES, [f" {name} " for name in TEXTS], {}, id="spaces"),
        pytest.param(BYTES, [0, 1] * 4, {"features": NAMES}, id="labels with names"),
        pytest.param(FILES, TEXTS, {}, id="paths in a struct"),
        pytest.param([each["path"] for each in FILES], TEXTS, {}, id="paths"),
        pytest.param(FILES, TEXTS, {"path": "d/data/x.parquet"}, id="paths from the root"),
        pytest.param(pd.Categorical([each["path"] for each in FILES]), TEXTS, {}, id="categories"),
        pytest.param([each["path"].replace("/", "\\") for each in FILES], TEXTS, {}, id="windows"),
        pytest.param([*FILES[:4], *BYTES[4:]], TEXTS, {}, id="files and bytes"),
    ],
)
def test_tables_are_read_as_people_write_them(images, labels, options, tmp_path):
    found = load_scenes(write_table(tmp_path, images, labels, **options))
    assert found.class_names == ("A", "B")
    expected = {picture(i): i % 2 for i in range(8)}
    assert labels_by_content(found) == expected


@pytest.mark.parametrize(
    ("last", "words"),
    [
        pytest.param(None, "the file is empty", id="null"),
        pytest.param({"bytes": None, "path": None}, "the file is empty", id="null inside"),
        pytest.param({"bytes": b"", "path": ""}, "the file is empty", id="empty"),
        pytest.param(in_file(77), "No such file", id="missing file"),
        pytest.param({"bytes": b"text", "path": None}, "no JPEG, PNG", id="no image"),
    ],
)
def test_rows_without_an_image_are_left_out_with_the_reason(last, words, tmp_path):
    found = load_scenes(write_table(tmp_path, [*BYTES[:7], last], TEXTS))
    assert len(found.examples) == 7
    (reason,) = [each for each in found.skipped if each.startswith("row 7 of train")]
    assert words in reason


@pytest.mark.parametrize(
    ("images", "labels", "options", "words"),
    [
        pytest.param([], [], {}, "one column of images", id="null columns"),
        pytest.param(
            pa.array([], pa.binary()), pa.array([], pa.string()), {}, "no rows", id="no rows"
        ),
        pytest.param(BYTES, [*TEXTS[:7], None], {}, "row 7 of 'train' has no label", id="null"),
        pytest.param(BYTES, [*TEXTS[:7], " "], {}, "row 7 of 'train' has no label", id="empty"),
        pytest.param(
            BYTES, [0, 1] * 3 + [0, None], {"features": NAMES}, "label None", id="null of names"
        ),
        pytest.param(BYTES, [[name] for name in TEXTS], {}, "one column of labels", id="lists"),
        pytest.param([[1, 2]] * 8, TEXTS, {}, "one column of images", id="pixels"),
        pytest.param([{"bytes": [1, 2]}] * 8, TEXTS, {}, "got a list", id="bytes as numbers"),
        pytest.param(BYTES, [0, 1] * 4, {"info": None}, "one column of labels", id="odd metadata"),
        pytest.param(
            BYTES, [0, 1] * 4, {"features": {"x": NAMES["label"]}}, "of labels", id="no such column"
        ),
        pytest.param(
            BYTES,
            [0, 1] * 4,
            {"features": {"label": {"_type": "ClassLabel", "names": ["A", "A"]}}},
            "a name of its own",
            id="one name for two",
        ),
        *(
            pytest.param(
                [*FILES[:7], {"bytes": None, "path": path}],
                TEXTS,
                {},
                "row 7 .*outside of the folder",
                id=path,
            )
            for path in ("../secret.png", "img/../../secret.png", "..\\secret.png", "/etc/passwd")
        ),
        pytest.param(["link.png", *TEXTS[1:]], TEXTS, {}, "outside of the folder", id="link"),
    ],
)
def test_a_table_that_cannot_be_read_says_why_in_a_sentence(
    images, labels, options, words, tmp_path
):
    root = write_table(tmp_path, images, labels, **options)
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(ValueError, match=rf"Parquet files.*{words}|{words}.*Parquet files"):
        load_scenes(root)


@pytest.mark.parametrize(
    "names",
    [
        "train test",
        "EuroSATTrain EuroSATTest",
        "mine_train_0 mine_test_0",
        "default/partial-train/0000 default/partial-test/0000",
        "train_data/train/0 train_data/test/0",
    ],
)
def test_the_parts_of_tables_have_many_names(names, tmp_path):
    """Each row is named by its own table, and what is called a test is no training part."""
    for i, name in enumerate(names.split()):
        write_table(tmp_path, [*BYTES[4 * i :][:4], None], TEXTS[:5], path=f"d/{name}.parquet")
    found = load_scenes(tmp_path / "d")
    part_of_image = {
        each.data: part for each, part in zip(found.examples, found.parts, strict=True)
    }
    assert part_of_image == {picture(i): "train" if i < 4 else "test" for i in range(8)}
    assert [
        next(line for line in found.skipped if line.startswith(f"row 4 of {name} is"))
        for name in names.split()
    ]


def test_tables_of_which_some_have_no_part_are_refused(tmp_path):
    for i, name in enumerate(("train", "more/extra")):
        write_table(tmp_path, BYTES[4 * i :][:4], TEXTS[:4], path=f"d/{name}.parquet")
    with pytest.raises(ValueError, match=r"called after a part .*, but not more/extra\.parquet;"):
        load_scenes(tmp_path / "d")


def test_a_pipe_in_the_place_of_a_table_is_refused(tmp_path):
    os.mkfifo(tmp_path / "train.parquet")
    with pytest.raises(ValueError, match="is no file"):
        read_labelled(tmp_path / "train.parquet")


def test_damaged_tables_end_in_a_result_or_a_sentence(tmp_path):
    root = write_table(tmp_path, BYTES, [0, 1] * 4, features=NAMES)
    whole, rng = (root / "train.parquet").read_bytes(), np.random.default_rng(0)
    said = []
    for _ in range(60):
        broken = np.frombuffer(whole, np.uint8).copy()
        start = rng.choice([0, len(whole) - 800])  # anywhere, or in what says how to read it
        broken[rng.integers(start, len(whole), 5)] = rng.integers(0, 256, 5)
        (root / "train.parquet").write_bytes(broken.tobytes())
        try:
            load_scenes(root)
        except ValueError as error:
            said.append(str(error))
    assert not [each for each in said if len(each.splitlines()) > 1]


def test_words_for_the_classes_of_a_table_may_lie_beside_it(tmp_path):
    write_repository(tmp_path / "repo", EUROSAT, {"train": 3})
    rows = "".join(f"{name},my {name}\n" for name in EUROSAT)
    (tmp_path / "repo" / "data" / "classes.csv").write_text("name,phrase\n" + rows)
    assert load_scenes(tmp_path / "repo").phrases[-1] == "my SeaLake"


def test_an_unknown_set_keeps_the_order_of_its_own_labels(tmp_path):
    truth = write_repository(tmp_path / "repo", ["zebra", "ant", "SeaLake"])
    for _ in range(2):
        found = load_scenes(tmp_path / "repo", cache=tmp_path / "cache")
        assert found.class_names == ("zebra", "ant", "SeaLake")
        assert found.phrases == ("zebra", "ant", "sea lake")
        assert [each.label for each in found.examples] == [0] * 6 + [1] * 6 + [2] * 6
        for each, part in zip(found.examples, found.parts, strict=True):
            assert truth[content(each)] == (found.class_names[each.label], part)


def test_a_class_without_any_image_is_named(tmp_path):
    (tmp_path / "repo").mkdir()
    rows = {"image": [{"bytes": picture(1), "path": None}], "label": [0]}
    features = Features({"image": ImageFeature(), "label": ClassLabel(names=["a", "b", "c"])})
    Dataset.from_dict(rows, features=features).to_parquet(str(tmp_path / "repo/train.parquet"))
    with pytest.raises(ValueError, match="no image of the classes b, c"):
        load_scenes(tmp_path / "repo", cache=tmp_path / "cache")


def test_a_broken_parquet_file_is_said_and_one_beside_class_folders_does_no_harm(
    tidy_folder, tmp_path
):
    for root in (tmp_path / "repo", tidy_folder):
        write(root, {"train.parquet": b"PAR1 not really"})
    with pytest.raises(ValueError, match=r"repo: its Parquet files cannot be read"):
        load_scenes(tmp_path / "repo", cache=tmp_path / "cache")
    assert len(load_scenes(tidy_folder, cache=tmp_path / "cache").class_names) == 3


def test_a_class_that_is_missing_in_a_part_is_named():
    found = examples.LabelledImages(
        examples=tuple(examples.Example(i % 2, "real", Path(str(i))) for i in range(5)),
        class_names=("A", "B"),
        phrases=("a", "b"),
        skipped=(),
        parts=("train", "train", "validation", "test", "test"),
    )
    with pytest.raises(ValueError, match="class 'B' has 0 images in the part validation"):
        examples.split_images(found)


# real images


@pytest.mark.parametrize(
    ("folder", "key", "num"),
    [
        ("EuroSAT_RGB", "eurosat", 1000),
        ("UCMerced_LandUse_jpg", "ucmerced", 420),
        ("AID_150px", "aid", 150),
    ],
)
def test_real_folders_are_recognized(test_data, folder, key, num):
    found = load_scenes(test_data / folder)
    assert found.class_names == read_scene_classes()[key].class_names
    assert len(found.examples) == num
    for each in found.examples:
        assert found.class_names[each.label] == each.path.parent.name


def test_real_parquet_of_eurosat_is_read_by_its_own_labels(test_data, tmp_path):
    table = pq.read_table(test_data / "train" / "eurosat_spatial_train.parquet")
    labels = table["label"].to_numpy()
    few = table.take(np.concatenate([np.flatnonzero(labels == label)[:6] for label in range(10)]))
    (tmp_path / "repo").mkdir()
    pq.write_table(few, tmp_path / "repo" / "train.parquet")
    found = load_scenes(tmp_path / "repo", cache=tmp_path / "cache")
    names = json.loads(few.schema.metadata[b"huggingface"])["info"]["features"]["label"]["names"]
    rows = zip(few["image"].to_pylist(), few["label"].to_pylist(), strict=True)
    truth = {image["bytes"]: names[label] for image, label in rows}
    got = {data: found.class_names[label] for data, label in labels_by_content(found).items()}
    assert got == truth
    assert len(got) == 60


def test_a_real_archive_gives_what_its_folder_gives(test_data, tmp_path):
    path = tmp_path / "AID.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted((test_data / "AID_150px").rglob("*.jpg")):
            archive.write(file, os.path.join("AID", file.relative_to(test_data / "AID_150px")))
    found = load_scenes(path, cache=tmp_path / "cache")
    assert labels_by_content(found) == labels_by_content(load_scenes(test_data / "AID_150px"))


def test_a_table_of_one_class_is_refused_as_a_folder_is(tmp_path):
    write_repository(tmp_path / "repo", ["only"], {"train": 4})
    with pytest.raises(ValueError, match="single class, 'only'"):
        load_scenes(tmp_path / "repo")
