"""Examples: what is read from real people's folders, and splits that keep their promises."""

import hashlib
import os
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import LONG_NAME, encoded, noise_image, unusual_images, write_images
from PIL import Image

from course_utils.examples import (
    Example,
    load_examples,
    phrase_from_name,
    read_folder,
    split_examples,
    split_images,
    take_per_class,
)
from course_utils.images import ImageError
from course_utils.runtime import Profile, seeded

PIXELS = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)


def examples_of(*counts: int, group_size: int = 0) -> list[Example]:
    """Make ``counts[k]`` examples of class k, in groups of consecutive ones where asked."""
    return [
        Example(label, "real", path=Path(f"{label}_{i}"), group=group)
        for label, count in enumerate(counts)
        for i in range(count)
        for group in [f"{label}/{i // group_size}" if group_size else ""]
    ]


def class_counts(part) -> Counter:
    return Counter(example.label for example in part)


def test_an_example_lies_in_a_file_or_in_memory_but_not_in_both_or_none(tmp_path):
    with pytest.raises(ValueError, match="exactly one"):
        Example(0, "real")
    with pytest.raises(ValueError, match="exactly one"):
        Example(0, "real", path=tmp_path, pixels=PIXELS)


def test_an_example_loads_the_same_picture_from_file_and_from_memory(tmp_path):
    picture = noise_image(1, size=(5, 3))
    (tmp_path / "a.png").write_bytes(encoded(picture, "PNG"))
    in_file = Example(0, "real", path=tmp_path / "a.png")
    in_memory = Example(0, "synthetic", pixels=np.array(picture))
    assert in_file.load().tobytes() == in_memory.load().tobytes() == picture.tobytes()
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(ImageError, match=r"a\.png"):
        in_file.load()


def test_a_digest_follows_the_content_and_not_the_name(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"content")
    a, b = (Example(0, "real", path=tmp_path / name) for name in ("a", "b"))
    assert a.digest() == b.digest() == hashlib.sha256(b"content").hexdigest()
    flat, tall = (Example(0, "real", pixels=PIXELS.reshape(s)) for s in ((1, 4, 3), (4, 1, 3)))
    assert flat.digest() != tall.digest()
    assert flat.digest() == Example(1, "synthetic", pixels=PIXELS.reshape(1, 4, 3).copy()).digest()


@pytest.mark.parametrize(
    ("name", "phrase"),
    [
        ("AnnualCrop", "annual crop"),
        ("storage_tanks2", "storage tanks 2"),
        ("BBQArea", "BBQ area"),
        ("mobile-home  park", "mobile home park"),
        ("agricultural", "agricultural"),
        ("FOREST", "forest"),
        ("Öde_Fläche", "öde fläche"),
        ("Öde".replace("Ö", "O\u0308"), "öde"),
        ("ÉtangSalé", "étang salé"),
        ("农田2", "农田 2"),
        ("森林", "森林"),
        ("10mRoad", "10 m road"),
        ("PlanB", "plan b"),
        ("हिम", "हिम"),
        ("___", "___"),
    ],
)
def test_a_folder_name_becomes_words(name, phrase):
    assert phrase_from_name(name) == phrase


def test_a_tidy_folder_is_read_whole_and_in_a_fixed_order(tidy_folder):
    found = read_folder(tidy_folder)
    assert found.class_names == ("AnnualCrop", "River", "storage_tanks2")
    assert found.phrases == ("annual crop", "river", "storage tanks 2")
    assert found.skipped == ()
    assert [example.label for example in found.examples] == [0] * 10 + [1] * 10 + [2] * 10
    for example in found.examples:
        assert example.path.parent.name == found.class_names[example.label]
        assert example.path.is_absolute()
    names = [example.path.name for example in found.examples[:10]]
    assert names == [f"{i}.jpg" for i in range(10)]


def test_relative_roots_and_linked_roots_are_fine(tidy_folder, monkeypatch):
    monkeypatch.chdir(tidy_folder.parent)
    Path("link").symlink_to("tidy")
    for root in ("tidy", Path("link"), str(tidy_folder) + "/."):
        paths = [example.path for example in read_folder(root).examples]
        assert paths == [example.path for example in read_folder(tidy_folder).examples]


def test_an_awkward_folder_gives_what_is_usable_and_says_what_was_left_out(awkward_folder):
    found = read_folder(awkward_folder)
    assert found.class_names == ("AnnualCrop", "SeaLake", LONG_NAME, "Öde_Fläche")
    assert class_counts(found.examples) == {0: 4, 1: 3, 2: 3, 3: len(unusual_images())}
    reasons = dict(enumerate(sorted(found.skipped)))
    expected = [
        ("2 hidden files or folders", "over: .ipynb_checkpoints, AnnualCrop/.hidden.jpg"),
        ("AnnualCrop/copy.jpg", "same file as AnnualCrop/0.jpg"),
        ("AnnualCrop/notes.txt", "no JPEG, PNG"),
        ("AnnualCrop/same.png", "SeaLake/same.png: the same file in several classes"),
        ("AnnualCrop/text.jpg", "no JPEG, PNG"),
        ("AnnualCrop/truncated.jpg", "truncated"),
        ("AnnualCrop/zero.jpg", "empty"),
        ("SeaLake/link.jpg", "a link"),
        ("linked class", "a link"),
    ]
    assert len(reasons) == len(expected)
    for i, (start, part) in enumerate(expected):
        assert reasons[i].startswith(start)
        assert part in reasons[i]
    kept = {example.path.relative_to(awkward_folder).as_posix() for example in found.examples}
    assert {"AnnualCrop/0.jpg", "SeaLake/north/0.jpg"} <= kept
    assert not any(name.endswith((".hidden.jpg", "same.png", "link.jpg")) for name in kept)
    for example in found.examples:
        assert example.load().mode == "RGB"


def test_reasons_follow_the_language(awkward_folder, monkeypatch):
    monkeypatch.setenv("COURSE_LANG", "zh")
    assert any("相同" in reason for reason in read_folder(awkward_folder).skipped)


def test_links_that_stay_inside_are_copies_and_broken_ones_are_reported(tidy_folder):
    (tidy_folder / "River" / "again.jpg").symlink_to(tidy_folder / "River" / "0.jpg")
    (tidy_folder / "River" / "broken.jpg").symlink_to(tidy_folder / "gone.jpg")
    (tidy_folder / "River" / "loop").symlink_to(tidy_folder)
    found = read_folder(tidy_folder)
    assert class_counts(found.examples) == {0: 10, 1: 10, 2: 10}
    assert sorted(found.skipped) == [
        "River/again.jpg: the same file as River/0.jpg, kept once",
        "River/broken.jpg: could not be opened (No such file or directory)",
        "River/loop: a link to a folder or out of the data folder, not followed",
    ]


def test_images_beside_the_classes_and_other_files_do_no_harm(tidy_folder):
    shutil.copy(tidy_folder / "River" / "0.jpg", tidy_folder / "preview.jpg")
    (tidy_folder / "readme.txt").write_text("hello", encoding="utf-8")
    (tidy_folder / "__MACOSX").mkdir()
    (tidy_folder / "River" / "folder.png").mkdir()
    found = read_folder(tidy_folder)
    assert found.class_names == ("AnnualCrop", "River", "storage_tanks2")
    hidden, *others = found.skipped
    assert hidden.startswith("1 hidden")
    assert hidden.endswith(": __MACOSX")
    assert others == [
        f"{name}: lies beside the class folders, so it has no class"
        for name in ("preview.jpg", "readme.txt")
    ]


def test_classes_with_too_few_images_are_all_named_with_the_reasons(tidy_folder):
    (tidy_folder / "Empty").mkdir()
    write_images(tidy_folder / "One", 1, seed=9)
    write_images(tidy_folder / "Two", 2, seed=8)
    (tidy_folder / "Two" / "bad.jpg").write_bytes(b"")
    with pytest.raises(
        ValueError,
        match=r"'Empty' \(0\), 'One' \(1\), 'Two' \(2\);.*Two/bad\.jpg is not a readable",
    ):
        read_folder(tidy_folder)
    write_images(tidy_folder / "Two", 3, seed=8)
    for name in ("Empty", "One"):
        shutil.rmtree(tidy_folder / name)
    assert class_counts(read_folder(tidy_folder).examples)[2] == 3


def test_a_folder_of_the_wrong_shape_is_explained_in_a_sentence(tmp_path, tidy_folder):
    with pytest.raises(ValueError, match="nowhere is no folder; give"):
        read_folder(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty holds no class folders; put the images into one"):
        read_folder(tmp_path / "empty")
    with pytest.raises(ValueError, match="River holds no class folders"):
        read_folder(tidy_folder / "River")  # images directly in the folder
    for name in ("AnnualCrop", "storage_tanks2"):
        shutil.rmtree(tidy_folder / name)
    with pytest.raises(ValueError, match=r"single class, 'River'.* a folder of its own"):
        read_folder(tidy_folder)


@pytest.mark.parametrize("above", ["Images", "a/b c/2750", "train"])
def test_lone_folders_around_the_classes_are_passed_through(above, tmp_path, tidy_folder):
    (tmp_path / "set" / above).parent.mkdir(parents=True)
    tidy_folder.rename(tmp_path / "set" / above)
    (tmp_path / "set" / "docs").mkdir()
    (tmp_path / "set" / "docs" / "licence.txt").write_text("free")
    found = read_folder(tmp_path / "set")
    assert found.class_names == ("AnnualCrop", "River", "storage_tanks2")
    assert (len(found.examples), found.parts) == (30, ())
    assert found.skipped == ("docs/licence.txt: lies beside the class folders, so it has no class",)


def write_parts(root: Path, *names: str, classes: tuple[str, ...] = ("a", "b")) -> Path:
    for number, part in enumerate(names):
        for label, name in enumerate(classes):
            write_images(root / part / name, 4, seed=10 * number + label)
    return root


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (("train", "val", "test"), ("train", "validation", "test")),
        (("Training", "Testing"), ("train", "test")),
        (("training_set", "test_set"), ("train", "test")),
        (("train", "dev", "test"), ("train", "validation", "test")),
        (("train_images", "val_images", "test_images"), ("train", "validation", "test")),
        (("TRAIN", "Valid", "TEST"), ("train", "validation", "test")),
        (("train2017", "val2017"), ("train", "validation")),
        (("1-train/images", "2-test/images"), ("train", "test")),
        (("trainSet", "hold-out"), ("train", "test")),
        (("trn", "tst"), ("train", "test")),
        (("训练集", "验证集", "测试集"), ("train", "validation", "test")),
        (("train/train", "test/test"), ("train", "test")),
        (("TrainingImages", "Test Data"), ("train", "test")),
    ],
)
def test_parts_of_a_split_have_many_names(names, parts, tmp_path):
    found = read_folder(write_parts(tmp_path, *names))
    assert found.class_names == ("a", "b")
    for part, name in zip(parts, names, strict=True):
        mine = {
            each.path for each, own in zip(found.examples, found.parts, strict=True) if own == part
        }
        assert mine == set((tmp_path / name).rglob("*.jpg"))


@pytest.mark.parametrize(
    "names",
    [
        *(("fold1", "fold2"), ("seg_train", "seg_test"), ("train", "extra"), ("north", "south")),
        *(("train", "test", "unlabeled"), ("north/images", "south/images"), ("contest", "train")),
    ],
    ids=" ".join,
)
def test_folders_that_may_be_parts_or_classes_are_refused_with_both_readings(names, tmp_path):
    with pytest.raises(ValueError, match=r"two ways: as the classes .*, or as parts .* are a, b"):
        read_folder(write_parts(tmp_path, *names))


@pytest.mark.parametrize(
    "names",
    [
        "train test labels",
        "train validation train_masks",
        "forest/train forest/test sea/train sea/test",
        "forest/train forest/test sea/training sea/testing",
        "forest forest/test sea",
        "forest/2019/a forest/2019/val sea",
        "Images/a Images/b parts/train/a parts/train/b parts/test/a parts/test/b",
        "fold1/train/a fold1/train/b fold1/test/a fold1/test/b fold2/a",
        "train/a/test train/a/train train/b test/a test/b",
    ],
)
def test_parts_among_or_inside_classes_are_refused_with_both_readings(names, tmp_path):
    """Else images that are there to test would be trained on."""
    for seed, name in enumerate(names.split()):
        if not name.endswith("2019/a"):
            write_images(tmp_path / name, 4, seed=seed)
    with pytest.raises(ValueError, match=r"two ways: as the classes .*, or as parts of a data set"):
        read_folder(tmp_path)


def test_folders_of_archives_only_are_named(tmp_path):
    for name in ("train.zip", "test.zip"):
        (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"no class folders, only test\.zip, train\.zip; put"):
        read_folder(tmp_path)


def test_parts_without_class_folders_are_refused(tmp_path):
    write_images(tmp_path / "train", 4, seed=1)
    write_images(tmp_path / "test", 4, seed=2)
    with pytest.raises(ValueError, match=r"parts test, train .* no class folders in test, train"):
        read_folder(tmp_path)


def test_the_class_is_the_first_folder_below_the_part_and_names_are_only_names(tmp_path):
    for label, name in enumerate(("set [old]", "north*")):
        write_images(tmp_path / "train" / name / "2019", 3, seed=label)
        write_images(tmp_path / "train" / name, 3, seed=10 + label)
        write_images(tmp_path / "test" / name / "2020" / "may", 3, seed=20 + label)
    found = read_folder(tmp_path)
    assert found.class_names == ("north*", "set [old]")
    assert class_counts(found.examples) == {0: 9, 1: 9}


def test_the_content_decides_what_an_image_is(tidy_folder):
    river = tidy_folder / "River"
    for i, name in enumerate(("a.jfif", "b.jpe", "c", "d.JPG.download")):
        (river / name).write_bytes(encoded(noise_image(900 + i), "JPEG"))
    (river / "e.gif").write_bytes(encoded(noise_image(910, mode="P"), "GIF"))
    (river / "f.svg").write_text("<svg/>")
    found = read_folder(tidy_folder)
    assert class_counts(found.examples)[1] == 14
    assert [name.split()[0] for name in found.skipped] == ["River/e.gif", "River/f.svg"]


@pytest.mark.parametrize(
    ("names", "reading"),
    [
        ((), "one folder per class in set: 8 images of 2 classes (a, b)."),
        (("Images",), "one folder per class in set/Images: 8 images of 2 classes (a, b)."),
        (
            ("v1/Training", "v1/test"),
            "the parts of a data set in set/v1, train (Training, 8), test (8): 16 images of 2 "
            "classes (a, b).",
        ),
        (
            ("v\n1/train\ning", "v\n1/test"),
            r"the parts of a data set in set/v\n1, train (train\ning, 8), test (8): 16 images of 2 "
            "classes (a, b).",
        ),
    ],
    ids=["classes", "wrapped", "parts", "in one line"],
)
def test_a_note_says_what_a_folder_was_taken_for(names, reading, tmp_path):
    found = read_folder(write_parts(tmp_path / "set", *(names or ("",))))
    assert found.notes == (f"Read as {reading}",)


def test_parts_that_spell_a_class_in_two_ways_are_refused(tmp_path):
    write_parts(tmp_path, "train", classes=("SeaLake", "b"))
    write_parts(tmp_path, "test", classes=("sea_lake", "b"))
    with pytest.raises(ValueError, match=r"'(SeaLake|sea_lake)' in one .* look like one"):
        read_folder(tmp_path)


def test_hidden_things_are_counted_and_other_names_are_names(tmp_path):
    for number, name in enumerate(("__background__", "b", ".thumbs", "__MACOSX")):
        write_images(tmp_path / name, 3, seed=number)
    (tmp_path / "b" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "b" / "._0.jpg").write_bytes(b"x")
    found = read_folder(tmp_path)
    assert found.class_names == ("__background__", "b")
    (line,) = found.skipped
    assert line.startswith("4 hidden files or folders")
    assert line.endswith("over: .thumbs, __MACOSX, b/.DS_Store, …")


def test_names_that_are_no_text_are_written_so_that_they_can_be_read(tmp_path):
    for number, name in enumerate(("caf\udce9", "\udcc4\udce3", "tab\there")):
        write_images(tmp_path / "\udcff set" / name, 3, seed=number)
    (tmp_path / "\udcff set" / "caf\udce9" / "\udce9.txt").write_text("x")
    found = read_folder(tmp_path / "\udcff set")
    assert found.class_names == ("\\xc4\\xe3", "caf\\xe9", "tab\there")
    assert found.skipped[0].startswith("caf\\xe9/\\xe9.txt is not a readable image")
    for said in (*found.notes, *found.skipped, *found.phrases):
        assert said.encode("utf-8").decode("utf-8").isprintable()


def test_a_copy_in_several_parts_is_kept_for_the_test(tmp_path):
    write_parts(tmp_path, "a_test", "train")
    shutil.copy(tmp_path / "train" / "a" / "0.jpg", tmp_path / "a_test" / "a" / "copy.jpg")
    (tmp_path / "a_test").rename(tmp_path / "test")
    found = read_folder(tmp_path)
    assert found.skipped == ("train/a/0.jpg: the same file as test/a/copy.jpg, kept once",)
    assert found.parts.count("test") == 9


def test_a_pipe_and_a_file_without_end_are_passed_over(tidy_folder):
    os.mkfifo(tidy_folder / "River" / "pipe.jpg")
    with open(tidy_folder / "River" / "sparse.jpg", "wb") as file:
        file.truncate(1 << 40)
    assert read_folder(tidy_folder).skipped == (
        "River/pipe.jpg: could not be opened (it is no file)",
        "River/sparse.jpg: could not be opened (1,099.5 GB, more than an image has)",
    )


@pytest.mark.parametrize(
    ("name", "depth", "is_read"), [("d", 1100, True), ("x" * 200, 25, False)], ids=["deep", "long"]
)
def test_an_image_below_very_many_folders_is_read_or_said_to_be_too_far(
    name, depth, is_read, tidy_folder
):
    here = os.open(tidy_folder / "River", os.O_RDONLY)
    for _ in range(depth):  # a path has at most 4096 bytes, so here one goes step by step
        os.mkdir(name, dir_fd=here)
        above, here = here, os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(above)
    with os.fdopen(os.open("x.jpg", os.O_CREAT | os.O_WRONLY, dir_fd=here), "wb") as file:
        file.write(encoded(noise_image(950), "JPEG"))
    os.close(here)
    found = read_folder(tidy_folder)
    subprocess.run(["rm", "-r", tidy_folder / "River" / name], check=True)
    assert class_counts(found.examples)[1] == 10 + is_read
    if not is_read:
        assert found.skipped[0].startswith(f"River/{name}/{name}")
        assert found.skipped[0].endswith("could not be opened (File name too long)")


def test_a_folder_that_may_not_be_opened_is_named(tidy_folder, monkeypatch):
    def scan(path):
        if Path(path).name == "old":
            raise PermissionError(13, os.strerror(13), str(path))
        return scandir(path)

    scandir = os.scandir
    write_images(tidy_folder / "River" / "old", 2, seed=7)
    monkeypatch.setattr(os, "scandir", scan)
    assert read_folder(tidy_folder).skipped == (
        "River/old: could not be opened (Permission denied)",
    )


@pytest.mark.parametrize("target", ["River/loop.jpg", "River", "..", "/dev/zero", "/"])
def test_links_to_anything_and_in_circles_are_left_out_with_a_reason(target, tidy_folder):
    link = tidy_folder / "River" / "loop.jpg"
    link.symlink_to(tidy_folder / target)
    found = read_folder(tidy_folder)
    assert len(found.examples) == 30
    (line,) = found.skipped
    assert line.startswith("River/loop.jpg: ")


def test_classes_that_are_all_links_are_said_to_be_links(tidy_folder, tmp_path):
    root = tmp_path / "links"
    root.mkdir()
    for folder in tidy_folder.iterdir():
        (root / folder.name).symlink_to(folder)
    with pytest.raises(ValueError, match=r"no class folders.*left out: AnnualCrop: a link"):
        read_folder(root)


@pytest.mark.parametrize("part", ["test", "Images/Testing", "val/images", "dev set"])
def test_a_lone_part_for_testing_or_validation_is_not_trained_on(part, tmp_path):
    found = read_folder(write_parts(tmp_path, part))
    assert len(found.examples) == 8
    with pytest.raises(ValueError, match=r"only (test|validation), none to train on; .* or give"):
        split_images(found)
    parts, _ = split_images(read_folder(tmp_path / part))
    assert all(parts), "given as such it is divided"


@pytest.mark.parametrize(
    ("part", "num", "message"),
    [("train", 1, "'b' has 1 images in the part train, but 2"), ("test", 0, "'b' has 0 images")],
)
def test_a_class_with_too_few_images_in_a_part_is_named_with_the_part(part, num, message, tmp_path):
    write_parts(tmp_path, "train", "test")
    for path in sorted((tmp_path / part / "b").iterdir())[num:]:
        path.unlink()
    with pytest.raises(ValueError, match=message):
        split_images(read_folder(tmp_path))


@pytest.mark.parametrize("part", ["test", "validation"])
def test_a_missing_part_is_drawn_from_the_training_part(part, tmp_path):
    root = write_parts(tmp_path, "train", part)
    parts, notes = split_images(read_folder(root))
    drawn = {"test": "validation", "validation": "test"}[part]
    found = dict(zip(("train", "validation", "test"), parts, strict=True))
    assert {each.path for each in found[part]} == set((root / part).rglob("*.jpg"))
    both = {each.path for each in (*found["train"], *found[drawn])}
    assert both == set((root / "train").rglob("*.jpg"))
    assert f"no part for {drawn}" in notes[0]


def test_without_a_training_part_there_is_nothing_to_do(tmp_path):
    with pytest.raises(ValueError, match="none to train on"):
        split_images(read_folder(write_parts(tmp_path, "test", "val")))


@pytest.mark.parametrize("kind", ["pipe", "folder", "sparse", "link", "lost link"])
def test_a_table_that_is_no_file_to_read_is_refused(kind, tidy_folder):
    path = tidy_folder / "classes.csv"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to("/etc/hostname")
    elif kind == "lost link":
        path.symlink_to("nowhere.csv")
    else:
        path.touch()
        os.truncate(path, 1 << 40)
    with pytest.raises(ValueError, match=r"classes\.csv cannot be read \(.*; replace it"):
        read_folder(tidy_folder)


def test_tables_that_are_not_used_are_named_and_one_that_is_a_pipe_stops_nothing(tmp_path):
    root = write_parts(tmp_path / "set", "train", "test")
    (root / "docs").mkdir()
    write_table(root / "docs", "name,phrase\na,x\nb,y\n")
    found = read_folder(root)
    assert found.skipped[0].startswith("docs/classes.csv: lies beside")
    assert found.phrases == ("a", "b")
    (tmp_path / "tables").mkdir()
    os.mkfifo(tmp_path / "tables" / "train.parquet")
    with pytest.raises(ValueError, match="holds no class folders"):
        read_folder(tmp_path / "tables")


def write_table(root: Path, content: str, encoding: str = "utf-8") -> None:
    (root / "classes.csv").write_text(content, encoding=encoding)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_table_gives_the_phrases_whatever_its_order_and_extra_columns(tidy_folder, encoding):
    rows = (
        'phrase,note,name\r\n"tanks, round",,storage_tanks2\r\n河流,x,River\r\na field,,AnnualCrop'
    )
    write_table(tidy_folder, rows, encoding)
    table = read_folder(tidy_folder)
    assert table.class_names == ("AnnualCrop", "River", "storage_tanks2")
    assert table.phrases == read_folder(tidy_folder).phrases == ("a field", "河流", "tanks, round")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name,phrase\nAnnualCrop,a\nRiver,b\n", "'storage_tanks2' is not listed"),
        ("name,phrase\nAnnualCrop,a\nRiver,b\nstorage_tanks2,c\nSea,d\n", "'Sea' is no folder"),
        (
            "name,phrase\nAnnualCrop,a\nRiver,b\nstorage_tanks2,c\nRiver,d\n",
            "'River' is listed twice",
        ),
        (
            "name,phrase\nAnnualCrop,a\nRiver,b, c\nstorage_tanks2,c\n",
            "line 3: more columns.*quotes",
        ),
        ("name,phrase\nAnnualCrop,a\nRiver,\nstorage_tanks2,c\n", "'River' has no phrase"),
        ("name,phrase\nAnnualCrop,a\nRiver\nstorage_tanks2,c\n", "'River' has no phrase"),
        ("name,phrase\nAnnualCrop,a\nRiver,a\nstorage_tanks2,c\n", "AnnualCrop, River different"),
        ("name;phrase\nAnnualCrop;a\n", "expected columns name,phrase"),
        ("name\tphrase\nAnnualCrop\ta\n", "expected columns name,phrase"),
        ("name,phrase,phrase\nAnnualCrop,a,b\n", "expected columns name,phrase, got"),
        ("name,phrase,,\nAnnualCrop,a,,\nRiver,b, c,\n", "line 3: more columns.*quotes"),
        ("phrase,name\na,AnnualCrop\n\nb, c,River\n", "line 4: more columns.*quotes"),
        ('name,phrase\nAnnualCrop,"a\nb"\nRiver,b, c\n', "line 4: more columns.*quotes"),
        ('name,phrase\nAnnualCrop,a\nRiver,"b\nstorage_tanks2,c\n', "from line 3"),
        ("", "expected columns name,phrase, got None"),
    ],
)
def test_a_wrong_table_is_refused_with_what_is_wrong(tidy_folder, content, message):
    write_table(tidy_folder, content)
    with pytest.raises(ValueError, match=rf"classes\.csv.*{message}"):
        read_folder(tidy_folder)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("\n,\n  \n,,,\n", id="empty last rows"),
        pytest.param("\r\n,\r\n\r\n", id="of windows"),
        pytest.param("", id="no last line feed"),
    ],
)
def test_empty_rows_spaces_and_capitals_are_passed_over(tidy_folder, content):
    table = 'Name, Phrase\nAnnualCrop, "a, x"\n\n,\nRiver,  b  \nstorage_tanks2,c' + content
    write_table(tidy_folder, table)
    assert read_folder(tidy_folder).phrases == ("a, x", "b", "c")


@pytest.mark.parametrize(
    "places",
    [
        pytest.param(("classes.csv",), id="in the folder"),
        pytest.param(("set/classes.csv",), id="between"),
        pytest.param(("set/all/Classes.CSV",), id="beside the parts"),
        pytest.param(("set/all/train/classes.csv",), id="in a part"),
        pytest.param(("classes.csv", "set/all/test/classes.csv"), id="two alike"),
    ],
)
def test_a_table_counts_wherever_it_lies_above_the_classes(tmp_path, places):
    write_parts(tmp_path / "set" / "all", "train", "test")
    for place in places:
        (tmp_path / place).write_text("name,phrase\na,sand\nb,water\n")
    assert read_folder(tmp_path).phrases == ("sand", "water")


def test_two_tables_that_differ_are_named(tmp_path):
    write_parts(tmp_path, "train", "test")
    write_table(tmp_path, "name,phrase\na,sand\nb,water\n")
    write_table(tmp_path / "test", "name,phrase\na,sand\nb,sea\n")
    with pytest.raises(ValueError, match=r"/classes\.csv and .*/test/classes\.csv differ; keep"):
        read_folder(tmp_path)


def test_what_must_be_known_of_images_is_in_the_notes(tidy_folder):
    dark = Image.fromarray(np.full((8, 8), 900, np.uint16))
    for i in range(2):
        dark.putpixel((0, i), 1000)
        (tidy_folder / "River" / f"dark{i}.tif").write_bytes(encoded(dark, "TIFF"))
    bands = np.zeros((8, 8), np.float32)
    (tidy_folder / "River" / "float.tif").write_bytes(encoded(Image.fromarray(bands), "TIFF"))
    found = read_folder(tidy_folder)
    assert "2 images have 16 bits a value but" in found.notes[-1]
    assert "River/dark0.tif" in found.notes[-1]
    assert "River/float.tif" in found.skipped[0]
    assert "1 band of 32 bits in floating point" in found.skipped[0]
    notes = load_examples("scenes", profile=Profile(), root=tidy_folder).notes
    assert any("16 bits a value" in note for note in notes)


@pytest.mark.parametrize("encoding", ["gbk", "utf-16", "latin-1"])
def test_a_table_in_another_encoding_is_refused(tidy_folder, encoding):
    word = "Fläche" if encoding == "latin-1" else "河流"
    write_table(tidy_folder, f"name,phrase\nRiver,{word}\n", encoding)
    with pytest.raises(ValueError, match=r"no CSV file in UTF-8"):
        read_folder(tidy_folder)


def test_names_match_whichever_way_an_accent_is_written(tmp_path):
    for name in ("e\u0301tang", "forêt"):
        write_images(tmp_path / name, 3, seed=len(name))
    write_table(tmp_path, "name,phrase\n\u00e9tang,pond\nforêt,forest\n")
    assert read_folder(tmp_path).phrases == ("forest", "pond")
    assert read_folder(tmp_path).class_names == ("forêt", "\u00e9tang")


def test_two_folders_with_the_same_words_need_a_table(tidy_folder):
    write_images(tidy_folder / "annual_crop", 3, seed=5)
    with pytest.raises(ValueError, match="give AnnualCrop, annual_crop different phrases"):
        read_folder(tidy_folder)


@pytest.mark.parametrize("counts", [(100, 100), (3, 50, 7), (10, 11, 12, 13)])
@pytest.mark.parametrize("fractions", [(0.5, 0.1, 0.4), (0.2, 0.2, 0.6)])
def test_a_split_is_a_partition_with_every_class_near_its_share_in_every_part(counts, fractions):
    examples = examples_of(*counts)
    parts = split_examples(examples, num_classes=len(counts), fractions=fractions, seed=0)
    assert Counter(e.path for part in parts for e in part) == Counter(e.path for e in examples)
    for part, fraction in zip(parts, fractions, strict=True):
        for label, count in enumerate(counts):
            share = class_counts(part)[label]
            assert share >= 1
            assert abs(share - count * fraction) <= (1 if count > 3 else 1.5)
        assert [e.path for e in part] == [e.path for e in examples if e in part]  # order kept


def test_the_default_split_of_a_hundred_is_fifty_ten_forty():
    parts = split_examples(examples_of(100, 100), num_classes=2, seed=3)
    assert [class_counts(part) for part in parts] == [{0: n, 1: n} for n in (50, 10, 40)]


def test_a_split_depends_on_the_seed_alone():
    examples = examples_of(20, 20)
    drawn = [
        tuple(
            tuple(e.path for e in part) for part in split_examples(examples, num_classes=2, seed=s)
        )
        for s in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_every_example_is_equally_likely_to_be_tested():
    examples = examples_of(10)
    tested = Counter(
        e.path for seed in range(600) for e in split_examples(examples, num_classes=1, seed=seed)[2]
    )
    assert len(tested) == 10
    spread = np.sqrt(600 * 0.4 * 0.6)
    assert all(abs(count - 240) < 4 * spread for count in tested.values())


@pytest.mark.parametrize("group_size", [2, 5, 9])
def test_groups_never_straddle_and_shares_stay_near(group_size):
    examples = examples_of(90, 135, group_size=group_size)
    for seed in range(5):
        parts = split_examples(examples, num_classes=2, seed=seed)
        groups = [{e.group for e in part} for part in parts]
        assert len(set.union(*groups)) == sum(map(len, groups))
        assert sum(map(len, parts)) == len(examples)
        for part, fraction in zip(parts, (0.5, 0.1, 0.4), strict=True):
            for label, count in ((0, 90), (1, 135)):
                assert abs(class_counts(part)[label] - count * fraction) <= group_size


def test_a_large_group_leaves_something_for_every_part():
    sizes = {"large": 10, "a": 1, "b": 1}
    examples = [
        Example(0, "real", path=Path(group + str(i)), group=group)
        for group, size in sizes.items()
        for i in range(size)
    ]
    parts = split_examples(examples, num_classes=1, seed=0)
    assert [len(part) for part in parts] == [10, 1, 1]


def test_groups_of_several_classes_and_single_examples_go_together():
    rng = np.random.default_rng(0)
    examples = [
        Example(int(rng.integers(4)), "real", path=Path(str(i)), group=f"{i // 6}" if i % 2 else "")
        for i in range(600)
    ]
    parts = split_examples(examples, num_classes=4, seed=0)
    total = class_counts(examples)
    for part, fraction in zip(parts, (0.5, 0.1, 0.4), strict=True):
        for label in range(4):
            assert abs(class_counts(part)[label] - fraction * total[label]) <= 5


def test_an_impossible_split_is_refused_with_the_class():
    with pytest.raises(ValueError, match=r"classes \[1\] have under 3 examples"):
        split_examples(examples_of(5, 2), num_classes=2, seed=0)
    with pytest.raises(ValueError, match=r"classes \[2\] have under 3 examples"):
        split_examples(examples_of(5, 5), num_classes=3, seed=0)
    with pytest.raises(ValueError, match=r"classes \[0\] have too few groups"):
        split_examples(examples_of(10, group_size=5), num_classes=1, seed=0)
    with pytest.raises(ValueError, match="expected 0 … 0"):
        split_examples(examples_of(5, 5), num_classes=1, seed=0)
    with pytest.raises(ValueError, match="expected 0 … 1"):
        split_examples([], num_classes=2, seed=0)
    for fractions in ((0.5, 0.0, 0.5), (0.5, 0.5, 0.5)):
        with pytest.raises(ValueError, match="shares above 0 of sum 1"):
            split_examples(examples_of(9), num_classes=1, fractions=fractions, seed=0)


def test_a_draw_has_the_asked_number_of_every_class_and_no_repeats():
    examples = examples_of(10, 6, 8)[::-1]
    for shots in (5, 6):  # 6 is all that class 1 has
        chosen = take_per_class(examples, shots=shots, generator=seeded(0))
        assert [examples[i].label for i in chosen] == [0] * shots + [1] * shots + [2] * shots
        assert len(set(chosen)) == 3 * shots


def test_draws_are_nested_and_follow_the_generator():
    examples = examples_of(10, 10)
    draws = {n: take_per_class(examples, shots=n, generator=seeded(4)) for n in (1, 2, 4, 8)}
    assert set(draws[1]) < set(draws[2]) < set(draws[4]) < set(draws[8])
    assert draws[4] == take_per_class(examples, shots=4, generator=seeded(4))
    assert draws[4] != take_per_class(examples, shots=4, generator=seeded(5))


def test_every_example_is_equally_likely_to_be_drawn():
    examples, generator = examples_of(5), torch.Generator().manual_seed(0)
    drawn = Counter(
        i for _ in range(1000) for i in take_per_class(examples, shots=2, generator=generator)
    )
    assert all(abs(drawn[i] - 400) < 4 * np.sqrt(1000 * 0.4 * 0.6) for i in range(5))


def test_too_few_examples_to_draw_name_the_class():
    with pytest.raises(ValueError, match="class 1 has 2 examples, but 3 were asked for"):
        take_per_class(examples_of(5, 2), shots=3, generator=seeded(0))
    with pytest.raises(ValueError, match="class 'River' has 2 examples"):
        take_per_class(
            examples_of(5, 2), shots=3, generator=seeded(0), class_names=("Forest", "River")
        )
    with pytest.raises(ValueError, match="no examples"):
        take_per_class([], shots=3, generator=seeded(0))


@pytest.mark.parametrize(
    ("folder", "num_classes", "num_images"),
    [("EuroSAT_RGB", 10, 1000), ("UCMerced_LandUse_jpg/Images", 21, 420), ("AID_150px", 30, 150)],
)
def test_real_data_sets_are_read_whole(test_data, folder, num_classes, num_images):
    found = read_folder(test_data / folder)
    assert len(found.class_names) == num_classes
    assert len(found.examples) == num_images
    assert found.skipped == ()
    parts = split_examples(found.examples, num_classes=num_classes, seed=0)
    assert all(len(class_counts(part)) == num_classes for part in parts)


def test_the_official_names_become_the_phrases_that_people_use(test_data):
    phrases = read_folder(test_data / "EuroSAT_RGB").phrases
    assert phrases[0] == "annual crop"
    assert {"herbaceous vegetation", "sea lake", "river"} <= set(phrases)


def test_a_thousand_small_images_are_scanned_within_three_seconds(test_data):
    start = time.process_time()  # the time of other processes does not count
    read_folder(test_data / "EuroSAT_RGB")
    assert time.process_time() - start < 3


def test_a_file_that_may_not_be_read_is_left_out_with_the_reason(tidy_folder, monkeypatch):
    locked = tidy_folder / "River" / "3.jpg"
    read_bytes = Path.read_bytes

    def read(path: Path) -> bytes:
        if path == locked:
            raise PermissionError(13, os.strerror(13), str(path))
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", read)
    assert read_folder(tidy_folder).skipped == (
        "River/3.jpg: could not be opened (Permission denied)",
    )
