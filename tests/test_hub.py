"""Hub: the order of places, content that must match, and errors that say what to do."""

import hashlib
import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from course_utils import hub
from course_utils.hub import ArtifactError, locate, places, read_lock

ROOT = Path(__file__).resolve().parents[1]
ROLES = ("clip", "mae", "captioner", "denoiser", "writer", "text2image", "control", "data")
CONTENT = {"config.json": b"{}", "unet/weights.safetensors": b"weights"}


def put(folder: Path, content: dict[str, bytes]) -> Path:
    for name, data in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def entry(role: str, content: dict[str, bytes], **fields: str) -> dict:
    return {
        "role": role,
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in content.items()},
        "num_bytes": sum(map(len, content.values())),
        "license": "any",
        "source": "somewhere",
        **fields,
    }


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder: ``net`` ships, ``big`` has it as stand-in, ``later`` is not shipped yet."""
    artifacts = {
        "net": entry("clip", CONTENT),
        "big": entry("clip", {"big.safetensors": b"big"}, stand_in="net"),
        "later": entry("clip", {}),
        "later_too": entry("clip", {}, stand_in="later"),
        "photos": entry("data", {"photos.parquet": b"photos"}),
    }
    put(tmp_path / "data" / "models" / "net", CONTENT)
    lock = json.dumps({"version": 1, "artifacts": artifacts})
    return put(tmp_path / "data", {"artifacts.lock.json": lock.encode()})


def test_a_shipped_artifact_is_found_and_verified(data):
    found = locate("net", data=data)
    assert (found.root, found.origin, found.stand_in_for) == (data / "models/net", "shipped", None)
    assert found.artifact == read_lock(data / "artifacts.lock.json")["net"]


@pytest.mark.parametrize("name", CONTENT)
def test_a_damaged_or_missing_shipped_file_is_named_with_both_hashes_and_the_remedy(data, name):
    path = data / "models/net" / name
    locate("net", data=data)  # an earlier success must not hide later damage
    path.write_bytes(b"damaged")
    found = hashlib.sha256(b"damaged").hexdigest()
    expected = hashlib.sha256(CONTENT[name]).hexdigest()
    remedy = f"git checkout -- data/models/net/{name}"
    with pytest.raises(
        ArtifactError, match=rf"{name} is .*expected {expected}, found {found}.*{remedy}"
    ):
        locate("net", data=data)
    path.unlink()
    with pytest.raises(ArtifactError, match=f"{name} is missing .*found no file"):
        locate("net", data=data)


def test_a_damaged_shipped_file_is_not_papered_over_by_the_stand_in(data):
    put(data / "models/big", {"big.safetensors": b"damaged"})
    with pytest.raises(ArtifactError, match=r"big\.safetensors is missing or damaged"):
        locate("big", data=data)


def test_files_that_the_lock_does_not_name_do_no_harm(data):
    put(data / "models/net", {".DS_Store": b"x"})
    assert locate("net", data=data).origin == "shipped"


def test_a_stand_in_says_what_it_stands_in_for(data):
    found = locate("big", data=data)
    assert (found.origin, found.stand_in_for) == ("stand-in", "big")
    assert (found.artifact.name, found.root) == ("net", data / "models/net")


def test_a_local_folder_beats_what_ships_whatever_it_holds(data, tmp_path, monkeypatch):
    models = tmp_path / "models"
    put(models / "net", {"other.bin": b"other", ".hidden": b"x"})
    by_argument = locate("net", models=models, data=data)
    monkeypatch.setenv("COURSE_MODELS", str(models))
    for found in (by_argument, locate("net", data=data)):
        assert (found.root, found.origin) == (models / "net", "local")
        assert found.artifact.files == {"other.bin": hashlib.sha256(b"other").hexdigest()}
        assert found.artifact.num_bytes == 5
        assert found.artifact.license == "any"


def test_a_local_folder_beats_the_stand_in_and_may_be_one(data, tmp_path):
    put(tmp_path / "models/net", {"other.bin": b"other"})
    found = locate("big", models=tmp_path / "models", data=data)
    assert (found.origin, found.stand_in_for) == ("stand-in", "big")
    assert found.root == tmp_path / "models/net"
    put(tmp_path / "models/big", {"big.bin": b"big"})
    assert locate("big", models=tmp_path / "models", data=data).origin == "local"


def test_data_is_found_in_a_folder_of_its_name_or_without_one(data, tmp_path):
    models = tmp_path / "models"
    put(models, {"photos.parquet": b"mine", "unrelated": b"x"})
    found = locate("photos", models=models, data=data)
    assert (found.root, found.origin) == (models, "local")
    assert list(found.artifact.files) == ["photos.parquet"]
    put(models / "photos", {"readme": b"no data here"})
    assert locate("photos", models=models, data=data).root == models
    put(models / "photos", {"photos.parquet": b"photos"})
    found = locate("photos", models=models, data=data)
    assert found.root == models / "photos"
    assert found.artifact == read_lock(data / "artifacts.lock.json")["photos"]


def test_a_path_is_an_explicit_local_folder_and_a_known_name_is_not(data, tmp_path, monkeypatch):
    mine = put(tmp_path / "mine", CONTENT)
    found = locate(str(mine), data=data)
    assert (found.root, found.origin, found.artifact.name) == (mine, "local", "mine")
    assert found.artifact.files == read_lock(data / "artifacts.lock.json")["net"].files
    monkeypatch.chdir(put(tmp_path / "net", CONTENT).parent)
    assert locate("net", data=data).origin == "shipped"
    assert locate("./net", data=data).origin == "local"


def test_an_unknown_name_lists_the_known_ones(data):
    with pytest.raises(
        ArtifactError, match=r"'nett' is neither .* \(big, later, .*net.*\) nor a folder"
    ):
        locate("nett", data=data)
    with pytest.raises(ArtifactError, match="'' is neither"):
        locate("", data=data)


def test_what_is_not_here_says_where_we_looked_and_what_to_do(data, tmp_path):
    cases = {
        "later": r"COURSE_MODELS \(not set\).*weights are not shipped yet.*later/ with its files",
        "later_too": r"later_too was not found in .*not shipped yet",
        "photos": r"does not ship .*, or set COURSE_MODELS .*photos\.parquet.*somewhere",
    }
    for name, message in cases.items():
        with pytest.raises(ArtifactError, match=message):
            locate(name, data=data)
    with pytest.raises(ArtifactError, match=f"not found in {tmp_path} and {data}"):
        locate("photos", models=tmp_path, data=data)
    put(data / "models/later", CONTENT)  # someone has trained it, but not finished the job
    with pytest.raises(ArtifactError, match=r"run python tools/update_lock\.py"):
        locate("later", data=data)
    shutil.rmtree(data / "models" / "net")
    with pytest.raises(ArtifactError, match="restore it with git checkout -- data/models/net"):
        locate("net", data=data)


def test_a_models_folder_that_is_none_is_not_passed_over(data, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_MODELS", "no/such/folder")
    with pytest.raises(
        ArtifactError, match="COURSE_MODELS='no/such/folder' is no folder: looked at /"
    ):
        locate("net", data=data)
    monkeypatch.setenv("COURSE_MODELS", "")
    assert locate("net", data=data).origin == "shipped"


def test_an_empty_local_folder_is_not_an_artifact(data, tmp_path):
    (tmp_path / "models/net").mkdir(parents=True)
    with pytest.raises(ArtifactError, match="net holds no files"):
        locate("net", models=tmp_path / "models", data=data)


@pytest.mark.parametrize("content", ["", "[]", '{"artifacts": {"net": {"role": "clip"}}}'])
def test_a_broken_lock_is_refused(tmp_path, content):
    (tmp_path / "lock.json").write_text(content, encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"is no artifact lock .*restore it: git checkout"):
        read_lock(tmp_path / "lock.json")
    with pytest.raises(ArtifactError, match="is no artifact lock"):
        read_lock(tmp_path / "missing.json")


def test_a_file_is_hashed_once_until_it_changes(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"one")
    digests, real = [], hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda *a: digests.append(1) or real(*a))
    assert hub.sha256_of(path) == hub.sha256_of(path) == hashlib.sha256(b"one").hexdigest()
    assert len(digests) == 1
    path.write_bytes(b"two")
    os.utime(path, ns=(1, 1))  # a file system may not resolve two writes in a row
    assert hub.sha256_of(path) == hashlib.sha256(b"two").hexdigest()


def test_the_courses_own_lock_is_sound():
    lock = read_lock()
    assert {"small_clip", "small_text2image", "small_text2image_eurosat"} <= set(lock)
    for artifact in lock.values():
        assert artifact.role in ROLES
        assert artifact.license
        assert artifact.source
        # what has to be downloaded has about its size, and no files to compare with
        assert bool(artifact.files or artifact.id) == bool(artifact.num_bytes)
        for reference in (artifact.stand_in, artifact.trained_on):
            assert reference is None or reference in lock
        assert artifact.stand_in is None or lock[artifact.stand_in].stand_in is None
    assert lock[lock["small_text2image_eurosat"].trained_on].role == "data"


def test_every_download_is_pinned_or_says_that_it_is_not():
    for artifact in read_lock().values():
        if artifact.id is None:
            continue
        assert artifact.revision is None or re.fullmatch("[0-9a-f]{40}", artifact.revision)
        assert artifact.revision or not artifact.files  # checksums are of one revision
        commit = artifact.revision or "f" * 40
        said = places.unpinned(artifact, revision=commit, repository="someone/copy")
        assert ("no revision" in said) == (artifact.revision is None)
        assert ("no checksums" in said) == (not artifact.files)
        assert artifact.name in said or (artifact.revision and artifact.files)


@pytest.mark.parametrize(
    ("role", "files", "message"),
    [
        ("captioner", {"open_clip_config.json": b'{"hf_model_name": "evil/x"}'}, "hf_model_name"),
        ("captioner", {"tokenizer_config.json": b'{"auto_map": {"A": "evil.B"}}'}, "auto_map"),
        ("mae", {"config.json": b'{"trust_remote_code": true}'}, "trust_remote_code"),
        ("mae", {"config.json": b"version https://git-lfs.github.com/spec/v1"}, "Git LFS pointer"),
        ("mae", {"pytorch_model.bin": b"pickle"}, "there are no weights"),
        ("mae", {"model.safetensors": b"<html>"}, "model.safetensors is damaged"),
        ("mae", {"model.safetensors": save({"w": torch.tensor([math.nan])})}, "no numbers"),
    ],
)
def test_a_folder_that_a_notebook_hands_to_a_library_is_looked_over(tmp_path, role, files, message):
    lock = {"artifacts": {"net": entry(role, {})}}
    put(tmp_path / "data", {"artifacts.lock.json": json.dumps(lock).encode()})
    put(tmp_path / "models" / "net", {"config.json": b"{}", **files})
    with pytest.raises(ArtifactError, match=rf"models/net is not loaded: .*{message}"):
        locate("net", data=tmp_path / "data", models=tmp_path / "models")


def test_the_courses_own_lock_is_up_to_date():
    run = update_lock("--check")
    assert run.returncode == 0, run.stderr


def update_lock(*options: str) -> subprocess.CompletedProcess:
    command = [sys.executable, ROOT / "tools" / "update_lock.py", *options]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_lock_tool_records_new_weights_and_keeps_the_rest(data):
    before = read_lock(data / "artifacts.lock.json")
    put(data / "models/later", {"weights.bin": b"new", ".cache/x": b"hidden"})
    put(data / "models/net", {"config.json": b"changed"})
    assert update_lock("--data", str(data), "--check").returncode == 1
    assert read_lock(data / "artifacts.lock.json") == before
    for message in ("rewritten", "up to date"):
        run = update_lock("--data", str(data))
        assert (run.returncode, message in run.stdout) == (0, True), run.stderr
    after = read_lock(data / "artifacts.lock.json")
    assert after["later"].files == {"weights.bin": hashlib.sha256(b"new").hexdigest()}
    assert (after["later"].num_bytes, after["later"].license) == (3, "any")
    assert (after["big"], after["photos"]) == (before["big"], before["photos"])
    assert locate("net", data=data).origin == locate("later", data=data).origin == "shipped"


def test_the_lock_tool_asks_a_person_for_an_entry_it_cannot_invent(data):
    put(data / "models/stranger", CONTENT)
    run = update_lock("--data", str(data))
    assert run.returncode == 1
    assert "no entry 'stranger'" in run.stderr


def test_the_real_training_data_is_what_the_lock_says(test_data):
    found = locate("eurosat_spatial_train", models=test_data / "train")
    assert found.artifact == read_lock()["eurosat_spatial_train"]
