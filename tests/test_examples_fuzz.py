"""Random folders are read as an independent count says, or refused in a sentence."""

import io
import os
import random
import warnings
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from conftest import encoded, noise_image
from PIL import Image

from course_utils.examples import LabelledImages, read_folder, split_images

CLASSES = (
    *(
        "set [old]",
        "*",
        "?",
        "[a-z]",
        "{x}",
        "%s",
        "$HOME",
        "~",
        "a;b",
        "-rf",
        "None",
        "nan",
        "NUL",
    ),
    *("1e3", "Öde", "e\u0301tang", "农田", " lead", "tail ", "tab\there", "a,b", "it's", "x" * 200),
    *("train station", "image 2", "caf\udce9", "__a", "a.png", "test pattern", "Thumbs.db", "data"),
)
PARTS = (
    {"Training": "train", "Testing": "test"},
    {"training_set": "train", "test_set": "test"},
    {"TRAIN": "train", "dev": "validation", "Test": "test"},
    {"train_images": "train", "val_images": "validation", "test_images": "test"},
    {"trainSet": "train", "hold-out": "test"},
    {"train": "train", "valid": "validation"},
    {"validation": "validation", "test": "test"},
)
NO_PARTS = (("fold1", "fold2"), ("seg_train", "seg_test"), ("train", "test", "extra"), ("19", "20"))
AROUND = ((), ("Images",), ("my set", "v1.0"), ("[data]",))
FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP")
PRECEDENCE = ("test", "validation", "train", "")


@dataclass(frozen=True)
class Entry:
    """A file as it was written, and what a careful reader makes of it."""

    path: Path
    class_name: str = ""
    part: str = ""
    image: bytes | None = None  # if it can be used


class Writer:
    """Write random folders, and remember what is in them."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root, self.draw, self.number = root, random.Random(seed), seed * 10_000
        self.entries: list[Entry] = []
        self.num_hidden = 0
        root.mkdir()
        (root.parent / "outside.jpg").write_bytes(self.image())

    def image(self) -> bytes:
        self.number += 1
        return encoded(noise_image(self.number), self.draw.choice(FORMATS))

    def file(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.entries.append(Entry(path, image=data if readable(data) else None))

    def link(self, path: Path, target: Path | str) -> None:
        path.symlink_to(target)
        self.entries.append(Entry(path))

    def hide(self, folder: Path) -> None:
        (folder / self.draw.choice((".git", "__MACOSX"))).mkdir()
        self.num_hidden += 1

    def beside(self, folder: Path) -> None:
        """Put things beside the classes or around them."""
        if self.draw.random() < 0.4:
            self.hide(folder)
        if self.draw.random() < 0.4:
            self.file(folder / "docs" / "licence.txt", b"free")
            self.file(folder / "loose.jpg", self.image())

    def class_folder(self, folder: Path, class_name: str = "", part: str = "") -> None:
        """Fill a folder with good images and with what people have beside them."""
        start = len(self.entries)
        inner = folder / f"inner {start}"
        folder.mkdir(parents=True)
        for i in range(5):
            name = self.draw.choice(("{}.jpg", "{}", "{}.jfif", "{}.TXT", "*{}?", "caf\udce9{}"))
            place = self.draw.choice((folder, folder, inner))
            self.file(place / name.format(i), self.image())
        for i in range(self.draw.randrange(7)):
            self.odd(folder / f"odd {i}")
        self.entries[start:] = [
            replace(each, class_name=class_name, part=part) for each in self.entries[start:]
        ]

    def odd(self, path: Path) -> None:
        """Write what is damaged, a copy, no image, no file, or a link."""
        good = self.draw.choice([each.image for each in self.entries if each.image])
        flipped = bytearray(good)
        flipped[self.draw.randrange(len(good))] ^= 1 << self.draw.randrange(8)
        gif = encoded(noise_image(1, mode="P"), "GIF")
        files = (good, good, good[: len(good) // 2], bytes(flipped), b"", b"hello", gif, b"<svg/>")
        links = (
            "/",
            "..",
            "nowhere",
            path,
            "/dev/zero",
            self.root,
            self.root.parent / "outside.jpg",
        )
        kind = self.draw.choice(
            (self.file, self.file, self.link, os.mkfifo, os.truncate, self.hide)
        )
        if kind == self.file:
            self.file(path, self.draw.choice(files))
        elif kind == self.link:
            self.link(path, self.draw.choice(links))
        elif kind == self.hide:
            path.with_name(f".{path.name}").write_bytes(good)
            self.num_hidden += 1
        else:
            path.touch() if kind is os.truncate else os.mkfifo(path)
            if kind is os.truncate:
                os.truncate(path, 1 << 40)
            self.entries.append(Entry(path))

    def images(self) -> list[list[Entry]]:
        """Group the usable images of the classes by content."""
        groups: dict[bytes, list[Entry]] = {}
        for each in self.entries:
            if each.image and each.class_name:
                groups.setdefault(each.image, []).append(each)
        return list(groups.values())


def readable(data: bytes) -> bool:
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(data), formats=FORMATS) as image:
            warnings.simplefilter("ignore")
            image.load()
            return True
    except Exception:
        return False


def shown(name: str) -> str:
    """Write a name as messages do."""
    for raw, written in (("e\u0301", "é"), ("\udce9", "\\xe9"), ("\t", "\\t")):
        name = name.replace(raw, written)
    return name


def count(writer: Writer) -> tuple[Counter, int]:
    """Count the images of each class and part that can be kept, and the lines on all others."""
    counts, num_kept, num_joined = Counter(), 0, 0
    for same in writer.images():
        if len({each.class_name for each in same}) > 1:
            num_joined += len(same) - 1  # one line on all of them
        else:
            part = min((each.part for each in same), key=PRECEDENCE.index)
            counts[same[0].class_name, part] += 1
            num_kept += 1
    num_lines = len(writer.entries) - num_kept - num_joined + (writer.num_hidden > 0)
    return counts, num_lines


def check(writer: Writer, names: list[str], parts: list[str]) -> None:
    """Compare what is read with what was written."""
    expected, num_lines = count(writer)
    least = min(sum(expected[name, part] for part in parts) for name in names)
    if least < 3:
        with pytest.raises(ValueError, match="every class needs 3 readable images"):
            read_folder(writer.root)
        return
    found = read_folder(writer.root)
    own = found.parts or [""] * len(found.examples)
    got = Counter(
        (found.class_names[e.label], part) for e, part in zip(found.examples, own, strict=True)
    )
    written = {shown(n).replace("\\t", "\t"): n for n in names}
    assert {(written[name], part): num for (name, part), num in got.items()} == expected
    (note,) = found.notes
    assert f"{len(found.examples)} images of {len(names)} classes" in note
    assert len(found.skipped) == num_lines, found.skipped
    used = {e.path for e in found.examples}
    for each in writer.entries:
        name = shown(each.path.relative_to(writer.root).as_posix())
        assert each.path in used or any(name in line for line in found.skipped)
    check_split(found, expected, names, parts)


def check_split(found, expected, names, parts) -> None:
    """Compare the parts of an experiment with those that the folder has."""
    needed = {part: 1 for part in parts} | ({"train": 4 - len(parts)} if "train" in parts else {})
    enough = all(expected[name, part] >= num for name in names for part, num in needed.items())
    if "" not in parts and not ("train" in parts and enough):
        with pytest.raises(ValueError, match=r"none to train on|are needed"):
            split_images(found)
        return
    (train, validation, test), _ = split_images(found)
    assert Counter(map(id, (*train, *validation, *test))) == Counter(map(id, found.examples))
    for part, mine in (("validation", validation), ("test", test)):
        if part in parts:
            assert len(mine) == sum(expected[name, part] for name in names)
            assert {id(e) for e in mine} == {
                id(e) for e, own in zip(found.examples, found.parts, strict=True) if own == part
            }


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["classes", "parts", "two readings"])
def test_what_is_read_agrees_with_an_independent_count(kind, seed, tmp_path):
    for i in range(5):
        writer = Writer(tmp_path / f"caf\udce9 {i}", 100 * seed + i)
        top = writer.root.joinpath(*writer.draw.choice(AROUND))
        names = writer.draw.sample(CLASSES, writer.draw.randint(2, 4))
        parts = {"": ""}
        if kind == "parts":
            parts = writer.draw.choice(PARTS)
        elif kind == "two readings":
            parts = dict.fromkeys(writer.draw.choice(NO_PARTS), "")
        for part in parts:
            between = writer.draw.choice(("", "images")) if part else ""
            for name in names:
                writer.class_folder(top / part / between / name, name, parts[part])
        for folder in {writer.root, top}:
            writer.beside(folder)
        if kind == "two readings":
            with pytest.raises(ValueError, match=r"two ways: as the classes .*, or as parts"):
                read_folder(writer.root)
        else:
            check(writer, names, sorted(set(parts.values())))


@pytest.mark.parametrize("seed", range(3))
def test_any_folder_ends_in_a_result_or_in_a_sentence_and_no_file_is_lost(seed, tmp_path):
    for i in range(10):
        writer = Writer(tmp_path / str(i), 1000 + 100 * seed + i)
        folders = [writer.root]
        for _ in range(writer.draw.randrange(8)):
            around = writer.draw.choice(folders)
            name = writer.draw.choice((*CLASSES, "train", "test", "val", ".x", "docs", "Images"))
            if not (around / name).exists():
                folders.append(around / name)
                if writer.draw.random() < 0.7:
                    writer.class_folder(folders[-1])
                else:
                    folders[-1].mkdir()
        found, said = outcome(writer.root)
        assert found or len(said.splitlines()) == 1
        used = {example.path for example in found.examples} if found else set()
        lines = found.skipped if found else ()
        for parent, inner, files in os.walk(writer.root if found else tmp_path / "nothing"):
            inner[:] = [name for name in inner if not name.startswith(".")]
            for path in (Path(parent, name) for name in files if not name.startswith(".")):
                name = shown(path.relative_to(writer.root).as_posix())
                assert path in used or any(name in line for line in lines)


def outcome(root: Path) -> tuple[LabelledImages | None, str]:
    """Read a folder, or say why that is refused; any other error fails the test."""
    try:
        found = read_folder(root)
        split_images(found)
    except ValueError as error:
        return None, f"{error}" if type(error) is ValueError else ""
    return found, ""
