"""Caches: what is damaged is noticed, two runs share them, and a killed run leaves no trace."""

import errno
import io
import json
import os
import shutil
import sys
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import encoded, noise_image
from safetensors.torch import load_file
from small_lab import Labs, write_models

from course_utils import archives, examples, images, runtime, text2image, xbd, zero_shot
from course_utils.examples import Example, loading, worlds

PROFILE = replace(runtime.Profile(), shots=1, num_test=2)
CONFIG = text2image.GenerationConfig(num_sample_steps=2, height=16, width=16, batch_size=2)
EXAMPLES = [Example(0, "real", data=encoded(noise_image(i), "PNG")) for i in range(3)]
NOBODY = 1 << 23  # no process has this number


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    write_models(root)
    return root


@pytest.fixture(scope="module")
def given(models: Path, archive: Path) -> SimpleNamespace:
    """What the caches are of: models, loaded once, and an archive."""
    return SimpleNamespace(
        clip=zero_shot.load_clip(models / "clip", device="cpu"),
        net=text2image.load_pipeline(str(models / "net"), device="cpu"),
        archive=archive,
    )


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "set.zip"
    with zipfile.ZipFile(path, "w") as packed:
        for i in range(40):
            packed.writestr(f"{'ab'[i % 2]}/{i}.png", encoded(noise_image(i), "PNG"))
    return path


def reversed_bytes(path: Path, data: bytes) -> None:
    path.write_bytes(data[::-1])


def folder_with_a_file(path: Path, data: bytes) -> None:
    path.unlink()
    path.mkdir()
    (path / "x").write_bytes(data)


def pipe(path: Path, data: bytes) -> None:
    path.unlink()
    os.mkfifo(path)


def link_to_itself(path: Path, data: bytes) -> None:
    path.unlink()
    path.symlink_to(path.name)


def another_file(path: Path, data: bytes) -> None:
    others = [each for each in sorted(path.parent.iterdir()) if each.suffix == path.suffix]
    path.write_bytes(others[-1].read_bytes() + data[:0] if others[-1] != path else data[:40])


def array(shape: tuple[int, ...], kind: type) -> Callable[[Path, bytes], None]:
    def write(path: Path, data: bytes) -> None:
        buffer = io.BytesIO()
        np.save(buffer, np.zeros(shape, kind))
        path.write_bytes(buffer.getvalue())

    return write


DAMAGES: dict[str, Callable[[Path, bytes], object]] = {
    "zeroed": lambda path, data: path.write_bytes(data[:50] + bytes(20) + data[70:]),
    "one bit": lambda path, data: path.write_bytes(data[:60] + bytes([data[60] ^ 4]) + data[61:]),
    "cut off": lambda path, data: path.write_bytes(data[:-1]),
    "longer": lambda path, data: path.write_bytes(data + b"\0"),
    "empty": lambda path, data: path.write_bytes(b""),
    "reversed": reversed_bytes,
    "deep": lambda path, data: path.write_bytes(b"[" * 100_000),
    "another file": another_file,
    "other shape": array((2, 8, 8, 3), np.uint8),
    "other kind": array((2, 64, 64, 3), np.float32),
    "folder": folder_with_a_file,
    "link to itself": link_to_itself,
} | ({"pipe": pipe} if hasattr(os, "mkfifo") else {})


def features(given: SimpleNamespace, cache: Path) -> list[bytes]:
    return [zero_shot.image_features(given.clip, EXAMPLES, cache=cache).numpy().tobytes()]


def drawings(given: SimpleNamespace, cache: Path) -> list[object]:
    made = list(text2image.generate(given.net, ["a", "b", "c"], CONFIG, root=cache))
    return [(each.image.tobytes(), each.path.read_bytes(), each.provenance) for each in made]


def renders(given: SimpleNamespace, cache: Path) -> list[str]:
    found = examples.load_examples(
        "scenes", profile=PROFILE, classes=("river", "forest"), per_class=1, cache=cache
    )
    return [each.digest() for each in (*found.train, *found.test)]


def unpacked(given: SimpleNamespace, cache: Path) -> list[str]:
    return [each.digest() for each in examples.load_scenes(given.archive, cache=cache).examples]


def scenes(given: SimpleNamespace, cache: Path) -> dict[str, bytes]:
    found = examples.load_xbd(cache=cache)
    files = [path for each in found.scenes for path in vars(each).values()]
    return {each.name: each.read_bytes() for each in files if isinstance(each, Path)}


CACHES = {
    "features": (features, "features_*"),
    "drawing": (drawings, "*/*.png"),
    "manifest": (drawings, "*/manifest.jsonl"),
    "renders": (renders, "mini_earth-*.npy"),
    "unpacked image": (unpacked, "scenes/*/set/a/*.png"),
    "list of unpacked": (unpacked, "scenes/*/.files.json"),
    "tile": (scenes, "mini_earth_xbd*/train/images/*.png"),
    "label": (scenes, "mini_earth_xbd*/train/labels/*.json"),
    "list of tiles": (scenes, "mini_earth_xbd*/.*.files"),
}


@pytest.fixture
def few_renders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Render two events of one small pair, in threads, and little to validate on."""
    some = dict(list(xbd.read_events().items())[:2])
    for name, value in {"_NUM_PAIRS": 1, "_SIZE": 64, "ProcessPoolExecutor": _Threads}.items():
        monkeypatch.setattr(worlds, name, value)
    monkeypatch.setattr(worlds.xbd, "read_events", lambda: some)
    monkeypatch.setattr(loading, "_NUM_VALIDATION", 1)


class _Threads(ThreadPoolExecutor):
    def __init__(self, num: int, **_: object) -> None:
        super().__init__(num)


@pytest.mark.usefixtures("few_renders")
@pytest.mark.parametrize("kind", CACHES)
def test_any_damage_to_a_cache_is_noticed_and_mended(given, tmp_path, kind):
    read, pattern = CACHES[kind]
    whole = read(given, tmp_path / "whole")
    for name, damage in DAMAGES.items():
        cache = tmp_path / name
        shutil.copytree(tmp_path / "whole", cache)
        path = sorted(cache.glob(pattern))[0]
        damage(path, path.read_bytes())
        for _ in range(2):
            assert read(given, cache) == whole, name
        assert path.is_file(), name
        assert not [each for each in cache.rglob("*.part")], name


@pytest.mark.parametrize("name", DAMAGES)
def test_a_sealed_file_is_believed_only_as_it_was_written(tmp_path, name):
    path, other = tmp_path / "a.npy", tmp_path / "b.npy"
    for each in (path, other):
        images.write_pixels(each, np.full((2, 64, 64, 3), 7, np.uint8))
    assert images.read_pixels(path, (2, 64, 64, 3)).mean() == np.load(path).mean() == 7
    assert images.read_pixels(path, (3, 64, 64, 3)) is None
    DAMAGES[name](path, path.read_bytes())
    assert runtime.read_sealed(path) is None
    runtime.write_sealed(path, b"content")
    assert runtime.read_sealed(path) == b"content"


def test_a_store_of_features_is_a_file_that_others_can_read_and_keeps_no_nan(given, tmp_path):
    clip, spoiled = given.clip, []

    def spoil(pixels: torch.Tensor) -> torch.Tensor:
        rows = clip.encode_image(pixels)
        return rows if not spoiled else rows * float("nan")

    ill = replace(clip, encode_image=spoil)
    zero_shot.image_features(ill, EXAMPLES[:2], cache=tmp_path)
    spoiled.append(True)
    with pytest.raises(ValueError, match=r"no numbers \(NaN\) for 1 of 1 images; its weights"):
        zero_shot.image_features(ill, EXAMPLES, cache=tmp_path)
    (path,) = tmp_path.glob("features_*")
    assert load_file(path)["features"].shape == (2, 16)
    known, _ = zero_shot.features._read_store(path)
    known[EXAMPLES[0].digest()][3] = float("inf")
    path.unlink()
    assert zero_shot.features._write_store(path, known) == ""
    found = zero_shot.image_features(clip, EXAMPLES, cache=tmp_path)
    assert torch.equal(found, zero_shot.image_features(clip, EXAMPLES))
    assert load_file(path)["features"].isfinite().all()


def test_what_two_runs_encode_at_once_is_all_remembered(given, tmp_path):
    clip = given.clip
    first = zero_shot.extract_features(clip, EXAMPLES[:2], cache=tmp_path)
    next(first)
    zero_shot.image_features(clip, EXAMPLES[2:], cache=tmp_path)
    list(first)
    assert next(zero_shot.extract_features(clip, EXAMPLES, cache=tmp_path)).from_cache == 3


@pytest.mark.parametrize("is_damaged", [False, True])
def test_an_archive_is_unpacked_by_several_runs_at_once(given, tmp_path, is_damaged):
    whole = unpacked(given, tmp_path)
    if is_damaged:
        next(tmp_path.glob("scenes/*/set/a/*.png")).write_bytes(b"")
    else:
        shutil.rmtree(tmp_path / "scenes")
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(unpacked, given, tmp_path) for _ in range(8)]
        assert all(run.result() == whole for run in runs)
    assert len(list((tmp_path / "scenes").iterdir())) == 1


def test_files_are_extracted_by_several_runs_at_once(archive, tmp_path):
    with ThreadPoolExecutor(4) as pool:
        counts = pool.map(archives.extract_files, [archive] * 8, [tmp_path] * 8)
        assert set(counts) == {40}
    found = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {f"{i}.png": encoded(noise_image(i), "PNG") for i in range(40)}


@pytest.mark.parametrize("is_folder", [False, True], ids=["file", "folder"])
@pytest.mark.parametrize(
    ("writer", "age", "stays"),
    [
        ("this process", 7200, True),
        ("a dead process", 0, False),
        ("another machine", 0, True),
        ("another machine", 7200, False),
        ("an older version", 0, True),
        ("an older version", 7200, False),
    ],
)
def test_leftovers_go_and_what_is_being_written_stays(
    tmp_path, monkeypatch, writer, age, stays, is_folder
):
    with monkeypatch.context() as patch:
        if writer == "a dead process":
            patch.setattr(os, "getpid", lambda: NOBODY)
        if writer == "another machine":
            patch.setattr("platform.node", lambda: "elsewhere")
        part = runtime.new_part(tmp_path)
    if writer == "an older version":
        part = tmp_path / (".unpacking-abc" if is_folder else ".0123456789abcdef.part")
    inner = part / "deep" / "file" if is_folder else part
    inner.parent.mkdir(parents=True, exist_ok=True)
    inner.write_bytes(b"half")
    (tmp_path / "mine.part").write_bytes(b"a learner's")
    for path in (inner, *inner.parents):
        if path.is_relative_to(part):
            os.utime(path, (time.time() - age,) * 2)
    runtime.sweep(tmp_path)
    assert part.exists() == stays
    assert (tmp_path / "mine.part").exists()


@pytest.mark.usefixtures("few_renders")
@pytest.mark.parametrize("kind", ["features", "drawing", "renders", "unpacked image", "tile"])
def test_every_cache_sweeps_what_killed_runs_left(given, tmp_path, monkeypatch, kind):
    read, pattern = CACHES[kind]
    read(given, tmp_path)
    place = next(tmp_path.glob(pattern)).parent
    place = {"unpacked image": tmp_path / "scenes", "tile": tmp_path}.get(kind, place)
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: NOBODY)
        part = runtime.new_part(place)
    (part / "a").mkdir(parents=True)
    read(given, tmp_path)
    assert not part.exists()


@pytest.mark.parametrize("times", [2, 99])
def test_a_file_that_is_open_elsewhere_on_windows_is_waited_for(tmp_path, monkeypatch, times):
    path, calls, real = tmp_path / "a", [], os.replace

    def refuse(part: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) <= times:
            raise PermissionError(errno.EACCES, "Access is denied")
        real(part, target)

    path.write_bytes(b"old")
    monkeypatch.setattr(os, "replace", refuse)
    if times == 2:
        runtime.write_atomically(path, b"new")
    else:
        with pytest.raises(OSError, match=r"could not write the file \(Access is denied\)"):
            runtime.write_atomically(path, b"new")
    assert path.read_bytes() == (b"new" if times == 2 else b"old")
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.usefixtures("few_renders")
@pytest.mark.parametrize("kind", ["features", "renders"])
def test_a_cache_that_cannot_be_read_or_written_costs_time_only(given, tmp_path, kind):
    read = CACHES[kind][0]
    whole = read(given, tmp_path / "whole")
    (tmp_path / "file").write_bytes(b"no folder")
    assert read(given, tmp_path / "file") == whole
    assert (tmp_path / "file").read_bytes() == b"no folder"


def test_lines_that_another_run_lost_are_written_again(given, tmp_path):
    running = text2image.generate(given.net, ["a", "b", "c"], CONFIG, root=tmp_path)
    next(running)
    (manifest,) = tmp_path.glob("*/manifest.jsonl")
    manifest.write_bytes(b"")  # as if another run had read it before, and written it after
    list(running)
    lines = manifest.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["prompt"] for line in lines] == ["a", "b", "c"]


@pytest.mark.skipif(sys.platform == "win32", reason="no forkserver there")
def test_two_labs_on_one_cache_killed_at_random_moments_end_as_one_that_was_left_alone(
    models, archive, tmp_path, monkeypatch
):
    check_killed_labs(Labs(models, archive), tmp_path, monkeypatch, num_kills=3)


def check_killed_labs(
    labs: Labs, folder: Path, monkeypatch: pytest.MonkeyPatch, *, num_kills: int
) -> None:
    here = Path(__file__).parent
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(here.parent), str(here)]))
    cache, rng = folder / "shared", np.random.default_rng(15)
    (first,) = labs.finish(folder / "warm", 1)  # loads what every lab needs
    begun = time.monotonic()
    (alone,) = labs.finish(folder / "alone", 1)
    within = 1.5 * (time.monotonic() - begun)
    for _ in range(num_kills):
        labs.kill(cache, rng, within)
    for together in labs.finish(cache, 2):
        assert together == alone == first
    assert len(alone[1]) == 48
    assert not [path for path in cache.rglob(".*") if path.name != loading.MANIFEST]
