"""xBD's archives: what is refused, what survives a stop, and how the data are found."""

import hashlib
import io
import json
import os
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from course_utils import hub
from course_utils.xbd import XbdError, XbdMissingError, find_scenes, open_xbd
from course_utils.xbd.archives import KNOWN_MD5, ExtractStep, extract_archives

NAME = "joplin-tornado_0000000"
LICENSE = "CC BY-NC-SA 4.0"


def files(split: str = "train/", num: int = 2) -> dict[str, bytes]:
    """Make up the files of some scenes."""
    return {
        f"{split}{kind}/{NAME}{i}_{when}_disaster{ending}": f"{kind} {i} {when}".encode() * 99
        for i in range(num)
        for when in ("pre", "post")
        for kind, ending in (("images", ".png"), ("labels", ".json"), ("targets", "_target.png"))
    }


def member(name: str, data: bytes = b"", **fields) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def write_tar(path: Path, *contents, mode: str = "w:gz") -> Path:
    """Write dicts of files, and members, in this order."""
    with tarfile.open(path, mode) as archive:
        for content in contents:
            if not isinstance(content, dict):
                content = {None: content}
            for name, item in content.items():
                info, data = member(name, item) if name else item
                archive.addfile(info, io.BytesIO(data))
    return path


def extract(archives, root, **settings) -> list[ExtractStep]:
    return list(extract_archives(archives, root, **settings))


def tree(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "xbd"


# what is extracted


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_file_of_any_kind_becomes_the_official_layout(tmp_path, root, mode):
    path = write_tar(tmp_path / "train.tar", files(), mode=mode)
    steps = extract([path], root)
    assert tree(root) == files()
    assert [scene.name for scene in find_scenes(root)] == [f"{NAME}0", f"{NAME}1"]
    written = [step for step in steps if step.action == "written"]
    assert {step.path for step in written} == set(files())
    assert (written[-1].done, written[-1].total) == (len(b"".join(files().values())),) * 2
    for stage in ("checking", "extracting"):
        done = [step.done for step in steps if step.stage == stage]
        assert done == sorted(done)
    assert {step.archive for step in steps} == {"train.tar"}


def test_a_zip_file_does_too(tmp_path, root):
    path = tmp_path / "xbd.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("xbd/train")
        for name, data in files("xbd/train/").items():
            archive.writestr(name, data)
    extract([path], root)
    assert tree(root) == files()


@pytest.mark.parametrize(
    ("archive", "prefix", "split"),
    [
        ("train_images_labels_targets.tar.gz", "", "train"),
        ("train_images_labels_targets.tar.gz", "./", "train"),
        ("train_images_labels_targets.tar.gz", "train/", "train"),
        ("test_images_labels_targets.tar.gz", "", "test"),
        ("tier3.tar.gz", "", "tier3"),
        ("hold-images.tgz", "", "hold"),
        ("all.tar.gz", "xBD/tier3/", "tier3"),
        ("all.tar.gz", "xBD/tier/", "tier3"),
        ("all.tar.gz", "tier1/", "train"),
        ("train.tar.gz", "some/where/", "train"),
        ("train.tar.gz", "hold/", "hold"),  # the folder knows better than the archive's name
    ],
)
def test_the_split_is_that_of_the_folder_or_else_of_the_archives_name(
    tmp_path, root, archive, prefix, split
):
    folder = member(prefix or "images", type=tarfile.DIRTYPE)
    path = write_tar(tmp_path / archive, folder, files(prefix))
    extract([path], root, checksums={})
    assert tree(root) == files(f"{split}/")


def test_without_any_hint_of_the_split_an_archive_is_refused_with_the_remedy(tmp_path, root):
    for name in ("xbd.tar.gz", "trainer.tar.gz", "test2.tar.gz"):
        path = write_tar(tmp_path / name, files(""))
        with pytest.raises(XbdError, match="is in no split; rename the archive so that its name"):
            extract([path], root)
    assert not root.exists()


def test_several_archives_go_into_one_root(tmp_path, root):
    first = write_tar(tmp_path / "train.tar.gz", files("", 1))
    second = write_tar(tmp_path / "test.tar.gz", files("", 1))
    extract([first, str(second)], root)
    assert tree(root) == files("train/", 1) | files("test/", 1)


# what is refused: nothing may be written

WRONG = {
    "outside": (member("train/images/../../../evil.png", b"x"), "would be written outside"),
    "up": (member("../train/images/" + NAME + "9_pre_disaster.png", b"x"), "written outside"),
    "absolute": (member("/etc/train/images/" + NAME + "9_pre_disaster.png"), "written outside"),
    "drive": (member("C:/train/images/" + NAME + "9_pre_disaster.png"), "written outside"),
    "backslash": (member("train\\images\\..\\..\\evil.png"), "would be written outside"),
    "link": (
        member("train/images", type=tarfile.SYMTYPE, linkname="/etc"),
        "is a symbolic link",
    ),
    "file link": (
        member(
            f"train/images/{NAME}9_pre_disaster.png", type=tarfile.SYMTYPE, linkname="/etc/passwd"
        ),
        "is a symbolic link",
    ),
    "hard link": (
        member(
            f"train/images/{NAME}9_pre_disaster.png",
            type=tarfile.LNKTYPE,
            linkname=f"train/images/{NAME}0_pre_disaster.png",
        ),
        "is a hard link",
    ),
    "device": (member(f"train/images/{NAME}9_pre_disaster.png", type=tarfile.CHRTYPE), "a device"),
    "disk": (member("train/images/disk", type=tarfile.BLKTYPE), "is a device"),
    "pipe": (member(f"train/images/{NAME}9_pre_disaster.png", type=tarfile.FIFOTYPE), "is a pipe"),
    "sparse": (
        member(f"train/images/{NAME}9_pre_disaster.png", b"", type=tarfile.CONTTYPE),
        "is unknown",
    ),
    "twice": (member(f"train/images/{NAME}0_pre_disaster.png", b"other"), "occurs a second time"),
    "twice, in another spelling": (
        member(f"./x/train//images/{NAME}0_pre_disaster.png", b"other"),
        "occurs a second time",
    ),
    "stranger": (member("train/images/readme.txt", b"x"), "is not xBD's layout"),
    "no folder": (member(f"{NAME}9_pre_disaster.png", b"x"), "is not xBD's layout"),
    "wrong folder": (member(f"train/labels/{NAME}9_pre_disaster.png", b"x"), "not xBD's layout"),
    "hidden": (member(f"train/images/.{NAME}9_pre_disaster.png", b"x"), "is not xBD's layout"),
    "program": (member(f"train/images/{NAME}9_pre_disaster.exe", b"x"), "is not xBD's layout"),
    "new line": (member(f"train/images/{NAME}9_pre_disaster.png\n", b"x"), "not xBD's layout"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_dangerous_or_foreign_member_is_refused_before_anything_is_written(tmp_path, root, case):
    wrong, message = WRONG[case]
    good = write_tar(tmp_path / "test.tar.gz", files("", 1))
    path = write_tar(tmp_path / "train.tar.gz", files(), wrong)
    with pytest.raises(XbdError, match=message) as caught:
        extract([good, path], root)
    assert "train.tar.gz" in str(caught.value)
    assert "nothing was extracted" in str(caught.value)
    assert not root.exists()
    assert sorted(os.listdir(tmp_path)) == ["test.tar.gz", "train.tar.gz"]


@pytest.mark.parametrize(
    ("name", "link", "message"),
    [
        ("../train/images/x.png", False, "would be written outside"),
        ("/train/images/x.png", False, "would be written outside"),
        (f"train/images/{NAME}1_pre_disaster.png", True, "is a symbolic link"),
        ("train/images/readme.txt", False, "is not xBD's layout"),
    ],
)
def test_a_zip_file_gets_no_other_treatment(tmp_path, root, name, link, message):
    path = tmp_path / "train.zip"
    info = zipfile.ZipInfo(name)
    info.external_attr = (0o120777 if link else 0o100644) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(info, b"/etc/passwd")
    with pytest.raises(XbdError, match=message):
        extract([path], root)
    assert not root.exists()


def test_foreign_files_may_be_left_out_on_request_but_not_dangerous_ones(tmp_path, root):
    path = write_tar(tmp_path / "train.tar.gz", files(), member("train/readme.txt", b"hello"))
    steps = extract([path], root, skip_unknown=True)
    assert [step.action for step in steps].count("ignored") == 1
    assert tree(root) == files()
    path = write_tar(tmp_path / "train.tar.gz", files(), member("../readme.txt", b"hello"))
    with pytest.raises(XbdError, match="would be written outside"):
        extract([path], root, skip_unknown=True)


def test_an_archive_without_any_file_of_xbd_is_refused(tmp_path, root):
    path = write_tar(tmp_path / "train.tar.gz", member("train/", type=tarfile.DIRTYPE))
    with pytest.raises(XbdError, match="holds no file of xBD"):
        extract([path], root)
    path = write_tar(tmp_path / "train.tar.gz", {"notes.txt": b"hello"})
    with pytest.raises(XbdError, match="holds no file of xBD"):
        extract([path], root, skip_unknown=True)


# damaged archives


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_a_cut_off_archive_is_noticed_before_anything_is_written(tmp_path, root, mode, share):
    content = {name: os.urandom(3000) for name in files()}
    path = write_tar(tmp_path / "train.tar", content, mode=mode)
    size = path.stat().st_size if mode != "w" else 12 * (512 + 3072)
    os.truncate(path, int(size * share))
    with pytest.raises(XbdError, match=r"is no archive, damaged or cut off .*download it again"):
        extract([path], root)
    assert not root.exists()


@pytest.mark.parametrize("num_bytes", [3584, 3584 + 100, 4 * 3584])
def test_a_tar_file_that_ends_between_two_members_is_cut_off(tmp_path, root, num_bytes):
    content = {name: os.urandom(3000) for name in files()}
    path = write_tar(tmp_path / "train.tar", content, mode="w")
    os.truncate(path, num_bytes)
    with pytest.raises(XbdError, match="without the mark that closes a tar file"):
        extract([path], root)


def test_a_broken_header_in_the_middle_is_not_taken_for_the_end(tmp_path, root):
    path = write_tar(tmp_path / "train.tar", files(), mode="w")
    data = bytearray(path.read_bytes())
    place = 4 * (512 + -(-len(next(iter(files().values()))) // 512) * 512)
    data[place : place + 8] = b"\xff" * 8
    path.write_bytes(data)
    with pytest.raises(XbdError, match="broken header"):
        extract([path], root)


def test_a_flipped_byte_is_noticed_by_the_checksum_of_gz_and_zip(tmp_path, root):
    content = {name: os.urandom(3000) for name in files()}
    path = write_tar(tmp_path / "train.tar.gz", content)
    data = bytearray(path.read_bytes())
    data[-6] ^= 1  # in the checksum at the end
    path.write_bytes(data)
    with pytest.raises(XbdError, match="damaged or cut off"):
        extract([path], root)
    assert not root.exists()
    with zipfile.ZipFile(tmp_path / "train.zip", "w") as archive:
        for name, item in content.items():
            archive.writestr(name, item)
    data = bytearray((tmp_path / "train.zip").read_bytes())
    data[2000] ^= 1
    (tmp_path / "train.zip").write_bytes(data)
    with pytest.raises(XbdError, match="damaged or cut off"):
        extract([tmp_path / "train.zip"], root)
    assert tree(root) == {}


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"<html>not found</html>", b"\x1f\x8b"])
def test_what_is_no_archive_is_refused(tmp_path, root, content):
    path = tmp_path / "train.tar.gz"
    path.write_bytes(content)
    with pytest.raises(XbdError, match="is no archive, damaged or cut off"):
        extract([path], root)


def test_a_missing_archive_is_named(tmp_path, root):
    for name in ("train.tar.gz", "train_images_labels_targets.tar.gz"):
        with pytest.raises(XbdMissingError, match=f"there is no archive {tmp_path}/{name}"):
            extract([tmp_path / name], root)


# checksums


def test_the_known_archives_are_compared(tmp_path, root):
    path = write_tar(tmp_path / "train_images_labels_targets.tar.gz", files())
    found = hashlib.md5(path.read_bytes()).hexdigest()
    expected = "a20ebbfb7eb3452785b63ad02ffd1e16"
    with pytest.raises(XbdError, match=f"MD5: expected {expected}, found {found}.*checksums={{}}"):
        extract([path], root)
    assert not root.exists()
    extract([path], root, checksums={})
    assert tree(root) == files()
    assert KNOWN_MD5["test_images_labels_targets.tar.gz"] == "1b39c47e05d1319c17cc8763cee6fe0c"


def test_an_archive_with_the_right_checksum_may_hold_other_files(tmp_path, root):
    path = write_tar(tmp_path / "my.tar.gz", files(), {"LICENSE": b"yes"})
    checksums = {"my.tar.gz": hashlib.md5(path.read_bytes()).hexdigest()}
    steps = extract([path], root, checksums=checksums)
    assert steps[0].stage == "hashing"
    assert steps[0].done == steps[0].total == path.stat().st_size
    assert tree(root) == files()


# what a stop leaves, and disks


def test_a_stopped_run_goes_on_where_it_was(tmp_path, root):
    path = write_tar(tmp_path / "train.tar.gz", files())
    run = extract_archives([path], root)
    for step in run:
        if step.action == "written" and len(tree(root)) == 5:
            break
    run.close()
    before = {name: (root / name).stat().st_mtime_ns for name in tree(root)}
    assert len(before) == 5
    steps = extract([path], root)
    actions = [step.action for step in steps if step.stage == "extracting"]
    assert (actions.count("kept"), actions.count("written")) == (5, 7)
    assert tree(root) == files()
    assert {name: (root / name).stat().st_mtime_ns for name in before} == before
    assert {step.action for step in extract([path], root)} == {"", "kept"}


def test_a_part_of_a_file_is_never_taken_for_the_file(tmp_path, root):
    path = write_tar(tmp_path / "train.tar.gz", files())
    name = next(iter(files()))
    (root / name).parent.mkdir(parents=True)
    (root / name).write_bytes(files()[name][:-1])
    left = (root / name).with_name(f".{Path(name).name}.part")
    left.write_bytes(b"of a run that was killed")
    os.utime(left, (0, 0))
    extract([path], root)
    assert tree(root) == files()


def test_a_full_disk_says_what_to_do_and_leaves_no_part(tmp_path, root, full_disk):
    path = tmp_path / "train.tar.gz"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in files().items():
            archive.addfile(member(name, data)[0], io.BytesIO(data))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    os.write(descriptor, buffer.getvalue())
    os.close(descriptor)
    with pytest.raises(OSError, match=r"No space left .*free some space and run again: what was"):
        extract([path], root)
    assert tree(root) == {}


def test_a_folder_where_a_file_should_be_is_named(tmp_path, root):
    path = write_tar(tmp_path / "train.tar.gz", files())
    (root / next(iter(files()))).mkdir(parents=True)
    with pytest.raises(OSError, match=r"could not extract the file .*check the folder") as caught:
        extract([path], root)
    assert next(iter(files())) in str(caught.value)


def test_more_than_the_disk_has_room_for_is_refused_and_what_is_there_does_not_count(
    tmp_path, root, monkeypatch
):
    path = write_tar(tmp_path / "train.tar.gz", files())
    needed = sum(map(len, files().values()))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=needed - 1))
    with pytest.raises(XbdError, match=r"GB that are not in .* yet, but only .* GB are free"):
        extract([path], root)
    assert not root.exists()
    name, data = next(iter(files().items()))
    (root / name).parent.mkdir(parents=True)
    (root / name).write_bytes(data)
    extract([path], root)
    assert tree(root) == files()


def test_a_member_that_claims_an_absurd_size_is_refused(tmp_path, root):
    path = tmp_path / "train.tar"
    info = tarfile.TarInfo(f"train/images/{NAME}0_pre_disaster.png")
    info.size = 1 << 60
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + b"x" * 2048)
    with pytest.raises(XbdError, match=r"damaged or cut off|GB are free"):
        extract([path], root)
    assert not root.exists()


# finding the data


def make_xbd(root: Path) -> Path:
    for name, data in files().items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def test_the_argument_comes_before_the_variable_and_that_before_the_models(tmp_path, monkeypatch):
    make_xbd(tmp_path / "models" / "xbd")
    monkeypatch.setenv("COURSE_MODELS", str(tmp_path / "models"))
    by_models = open_xbd()
    monkeypatch.setenv("COURSE_XBD", str(make_xbd(tmp_path / "variable")))
    by_variable = open_xbd()
    by_argument = open_xbd(make_xbd(tmp_path / "argument"))
    found = {data.origin: data.root for data in (by_models, by_variable, by_argument)}
    assert found == {
        "COURSE_MODELS": tmp_path / "models" / "xbd",
        "COURSE_XBD": tmp_path / "variable",
        "argument": tmp_path / "argument",
    }
    for data in (by_models, by_variable, by_argument):
        assert data.num_scenes == 2
        assert LICENSE in data.license
        assert data.notes == ()


def test_without_any_place_the_error_says_how_to_get_the_data_and_its_licence():
    with pytest.raises(XbdMissingError) as caught:
        open_xbd()
    for part in ("COURSE_MODELS (not set)", "COURSE_XBD", "xview2.org", LICENSE, "hf download"):
        assert part in str(caught.value)
    assert "--repo-type dataset" in str(caught.value)


def test_a_wrong_place_is_not_passed_over(tmp_path, monkeypatch):
    make_xbd(tmp_path / "models" / "xbd")
    monkeypatch.setenv("COURSE_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("COURSE_XBD", str(tmp_path / "nowhere"))
    with pytest.raises(XbdMissingError, match=r"COURSE_XBD: .*nowhere is no folder"):
        open_xbd()
    (tmp_path / "empty").mkdir()
    with pytest.raises(XbdMissingError, match=r"argument: .*found no split"):
        open_xbd(tmp_path / "empty")


def test_archives_that_lie_there_are_named_and_not_extracted(tmp_path, root):
    root.mkdir()
    write_tar(root / "train.tar.gz", files())
    with pytest.raises(XbdMissingError, match=r"extract_archives\(\[root / name for name in"):
        open_xbd(root)
    assert os.listdir(root) == ["train.tar.gz"]
    extract([root / "train.tar.gz"], root)
    found = open_xbd(root)
    assert found.num_scenes == 2
    assert "archives lie in" in found.notes[0]
    assert "train.tar.gz" in found.notes[0]


def test_the_lock_names_licence_source_and_mirrors():
    artifact = hub.read_lock()["xbd"]
    assert (artifact.role, artifact.files) == ("data", {})
    assert LICENSE in artifact.license
    assert "xview2.org" in artifact.source
    assert artifact.mirrors
    assert all(mirror.count("/") == mirror.count("@") == 1 for mirror in artifact.mirrors)


def test_data_without_a_list_of_files_is_found_in_its_own_folder_only(tmp_path, monkeypatch):
    make_xbd(tmp_path)
    with pytest.raises(hub.ArtifactError, match="xbd was not found"):
        hub.locate("xbd", models=tmp_path)
    make_xbd(tmp_path / "xbd")
    watched = "course_utils.hub.places.sha256_of"
    monkeypatch.setattr(watched, lambda path: pytest.fail("gigabytes would be hashed"))
    found = hub.locate("xbd", models=tmp_path)
    assert (found.root, found.origin) == (tmp_path / "xbd", "local")


def test_an_archive_in_pieces_says_how_to_go_on(root):
    root.mkdir()
    for i in range(3):
        (root / f"images_part_{i:02d}").write_bytes(b"piece")
    with pytest.raises(XbdMissingError, match=r"3 pieces .*cat images_part_\* > xbd\.zip"):
        open_xbd(root)


# real data


def test_real_scenes_survive_the_way_through_an_archive(test_data, tmp_path, root):
    for split in ("train", "test"):
        with tarfile.open(tmp_path / f"{split}.tar.gz", "w:gz", compresslevel=1) as archive:
            archive.add(test_data / "xbd" / split, arcname=split)
    extract(sorted(tmp_path.glob("*.tar.gz")), root)
    assert tree(root) == tree(test_data / "xbd")
    found = open_xbd(root)
    assert found.num_scenes == 5
    label = json.loads(find_scenes(root)[0].post_label.read_text(encoding="utf-8"))
    assert label["metadata"]["disaster"] == "guatemala-volcano"
