import dataclasses
import errno
import json
import os
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
)
from PIL import Image
from tiny_models import write_tiny_text2image

from course_utils.text2image import (
    Generated,
    GenerationConfig,
    TextToImage,
    estimate_seconds,
    generate,
    image_seed,
    load_pipeline,
)

CONFIG = GenerationConfig(num_sample_steps=3, height=16, width=24, batch_size=4, seed=7)
PROMPTS = ["a river", "a river", "fields in winter", "a river", "snow: Öde, ☃", "a bay"]

SCHEDULERS = [  # None: that of the folder, DDIM; the second one adds noise on the way
    None,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    DPMSolverMultistepScheduler,
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models") / "tiny_text2image"
    write_tiny_text2image(root)
    return root


@pytest.fixture(scope="module")
def model(folder: Path) -> TextToImage:
    return load_pipeline(str(folder), device="cpu")


# Some schedulers of diffusers call NumPy in a way that it is about to drop.
old_numpy_calls = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


class _Watched:
    """A pipeline that notes its batches, and can fail."""

    lack: Exception = torch.OutOfMemoryError("out of memory")

    def __init__(self, model: TextToImage, *, fits: int = 10**9, error: Exception | None = None):
        self._pipeline = model.pipeline
        self.fits, self.error = fits, error
        self.batches: list[int] = []
        self.model = dataclasses.replace(model, pipeline=self)

    def __getattr__(self, name: str) -> object:
        return getattr(self._pipeline, name)

    def __call__(self, *, prompt_embeds: torch.Tensor, **options: object) -> object:
        self.batches.append(len(prompt_embeds))
        if len(prompt_embeds) > self.fits:
            raise self.lack
        if self.error and len(self.batches) > 1:
            raise self.error
        return self._pipeline(prompt_embeds=prompt_embeds, **options)


def _with_scheduler(model: TextToImage, scheduler: type | None) -> TextToImage:
    pipeline = StableDiffusionPipeline(**model.pipeline.components, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    if scheduler:
        pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config)
    return dataclasses.replace(model, pipeline=pipeline)


def _largest_difference(a: Sequence[Generated], b: Sequence[Generated]) -> int:
    pairs = zip(a, b, strict=True)
    return max(int(abs(x.image.astype(int) - y.image.astype(int)).max()) for x, y in pairs)


def _manifest(root: Path) -> Path:
    (path,) = root.glob("*/manifest.jsonl")
    return path


@old_numpy_calls
@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("guidance_scale", [1.0, 4.0])
def test_images_are_those_of_a_direct_call_from_the_same_noise(model, scheduler, guidance_scale):
    model = _with_scheduler(model, scheduler)
    pipeline = model.pipeline
    config = dataclasses.replace(CONFIG, guidance_scale=guidance_scale, negative_prompt="clouds")
    for prompt, made in zip(PROMPTS[1:4], generate(model, PROMPTS[1:4], config), strict=True):
        generator = torch.Generator().manual_seed(made.seed)
        noise = torch.randn(1, 4, 8, 12, generator=generator)
        expected = pipeline(
            prompt,
            negative_prompt="clouds",
            num_inference_steps=3,
            guidance_scale=guidance_scale,
            height=16,
            width=24,
            latents=noise,
            generator=generator,
        ).images[0]
        assert made.image.shape == (16, 24, 3)
        assert abs(made.image.astype(int) - np.asarray(expected).astype(int)).max() <= 2


def test_guidance_steps_and_prompts_change_the_image(model):
    (base,) = generate(model, ["a river"], CONFIG)
    for change in ({"guidance_scale": 9.0}, {"num_sample_steps": 5}, {"negative_prompt": "sea"}):
        (other,) = generate(model, ["a river"], dataclasses.replace(CONFIG, **change))
        assert other.seed == base.seed
        assert _largest_difference([base], [other]) > 2


@old_numpy_calls
@pytest.mark.parametrize("batch_size", [1, 3, 64])
@pytest.mark.parametrize("scheduler", SCHEDULERS[:2])
def test_an_image_does_not_depend_on_batch_size_or_order(model, batch_size, scheduler):
    model = _with_scheduler(model, scheduler)
    expected = list(generate(model, PROMPTS, CONFIG))
    config = dataclasses.replace(CONFIG, batch_size=batch_size)
    made = list(generate(model, PROMPTS, config))
    assert [m.prompt for m in made] == PROMPTS
    assert _largest_difference(made, expected) <= 2
    order = [5, 0, 4, 1, 2, 3]  # keeps the order among equal prompts
    turned = list(generate(model, [PROMPTS[i] for i in order], config))
    assert _largest_difference(turned, [expected[i] for i in order]) <= 2


def test_equal_prompts_give_different_images_and_every_part_moves_the_seed(model):
    made = list(generate(model, ["a river", "a river"], CONFIG))
    assert _largest_difference(made[:1], made[1:]) > 2
    assert [m.seed for m in made] == [image_seed(7, "a river", i) for i in range(2)]
    seeds = {image_seed(s, p, i) for s in (0, 1) for p in ("a", "b") for i in (0, 1)}
    assert len(seeds) == 8
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_sample_steps": 0},
        {"guidance_scale": 0.5},
        {"guidance_scale": float("nan")},
        {"height": 60},
        {"height": -8},
        {"width": 0},
        {"level": 9},
        {"level": 19},
        {"batch_size": 0},
    ],
)
def test_settings_that_cannot_be_followed_are_refused_by_name(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        GenerationConfig(**wrong)


def settings_of_a_user(**settings: object) -> GenerationConfig:
    """Make settings where nobody checks the types, as tests do."""
    config = dataclasses.replace(CONFIG)
    for name, value in settings.items():
        object.__setattr__(config, name, value)
    config.__post_init__()
    return config


@pytest.mark.parametrize(
    "wrong",
    [{"height": 64.0}, {"level": 17.0}, {"seed": 1.5}, {"seed": None}, {"negative_prompt": None}],
)
def test_settings_of_another_kind_are_refused_by_name(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        settings_of_a_user(**wrong)


def test_numbers_of_numpy_and_whole_scales_are_the_same_settings():
    config = settings_of_a_user(
        seed=np.int64(7), num_sample_steps=np.int32(3), guidance_scale=np.float32(3), level=None
    )
    assert repr(config) == repr(CONFIG) == repr(settings_of_a_user(guidance_scale=3))


@pytest.mark.parametrize("prompts", [["a river", " "], [""], ["17_GOOGLE_LEVEL_ "], "a river"])
def test_empty_prompts_and_bare_strings_are_refused(model, prompts):
    with pytest.raises(ValueError, match="list of sentences"):
        generate(model, prompts, CONFIG)  # at once, before an image is asked for


def test_no_prompts_give_no_images(model, tmp_path):
    assert list(generate(model, [], CONFIG, root=tmp_path)) == []


def test_provenance_says_everything_that_made_an_image(folder, model):
    config = dataclasses.replace(CONFIG, negative_prompt="clouds")
    known = {"stand_in_for": "big", "id": "someone/big", "revision": "0123abc"}
    (made,) = generate(dataclasses.replace(model, **known), ["a river"], config)
    versions = made.provenance.pop("versions")
    assert set(versions) == {"diffusers", "transformers", "torch"}
    assert made.provenance == {
        "prompt": "a river",
        "text": "a river",
        "seed": made.seed,
        "cut": "",
        "truncated": False,
        "source_image": None,
        "source_mask": None,
        "artifact": folder.name,
        "id": "someone/big",
        "revision": "0123abc",
        "fingerprint": model.fingerprint,
        "stand_in_for": "big",
        "task": "text-to-image",
        "strength": None,
        "level_by": "prompt",
        "scheduler": "DDIMScheduler",
        "dtype": "float32",
        "num_sample_steps": 3,
        "guidance_scale": 3.0,
        "height": 16,
        "width": 24,
        "level": None,
        "negative_prompt": "clouds",
        "base_seed": 7,
    }


def test_a_second_run_reads_everything_and_does_not_touch_the_model(model, tmp_path):
    first = list(generate(model, PROMPTS, CONFIG, root=tmp_path))
    watched = _Watched(model)
    config = dataclasses.replace(CONFIG, batch_size=1)  # makes no other image
    second = list(generate(watched.model, PROMPTS, config, root=tmp_path))
    assert watched.batches == []
    assert [m.cached for m in first + second] == [False] * 6 + [True] * 6
    assert _largest_difference(first, second) == 0
    for a, b in zip(first, second, strict=True):
        assert (a.prompt, a.seed, a.path, a.provenance) == (b.prompt, b.seed, b.path, b.provenance)
        assert np.array_equal(np.asarray(Image.open(b.path)), b.image)


def test_batches_follow_the_prompts_and_not_what_is_there(model, tmp_path):
    list(generate(model, PROMPTS[:3], CONFIG, root=tmp_path))
    watched = _Watched(model)
    prompts = ["new a", *PROMPTS, "new b", "new c"]
    made = list(generate(watched.model, prompts, CONFIG, root=tmp_path))
    assert watched.batches == [4, 4, 1]
    again = list(generate(model, prompts, CONFIG, root=tmp_path))
    for drawn in (made, again):
        assert _largest_difference(drawn, list(generate(model, prompts, CONFIG))) == 0
    assert all(m.cached for m in again)


@old_numpy_calls
def test_other_settings_or_weights_have_a_folder_of_their_own(model, tmp_path):
    spacing = _with_scheduler(model, None)
    spacing.pipeline.scheduler = DDIMScheduler.from_config(
        model.pipeline.scheduler.config, timestep_spacing="leading"
    )
    variants = [
        (model, CONFIG),
        (dataclasses.replace(model, fingerprint="0" * 64), CONFIG),
        (_with_scheduler(model, EulerDiscreteScheduler), CONFIG),
        (spacing, CONFIG),
    ]
    changes = {
        "num_sample_steps": 2,
        "guidance_scale": 2.0,
        "height": 24,
        "width": 16,
        "level": 14,
        "seed": 8,
        "negative_prompt": "clouds",
    }
    variants += [(model, dataclasses.replace(CONFIG, **{k: v})) for k, v in changes.items()]
    for variant, config in variants:
        (made,) = generate(variant, ["a river"], config, root=tmp_path)
        assert not made.cached
    assert len(list(tmp_path.iterdir())) == len(variants) == 11
    renamed = dataclasses.replace(model, artifact="copy", origin="stand-in")
    assert next(generate(renamed, ["a river"], CONFIG, root=tmp_path)).cached


def test_the_folder_is_found_again_whatever_order_diffusers_lists_its_defaults_in(model, tmp_path):
    model = _with_scheduler(model, EulerDiscreteScheduler)
    defaults = model.pipeline.scheduler.config["_use_default_values"]
    assert len(defaults) > 1  # in an order that changes from process to process
    for _ in range(2):
        list(generate(model, ["a river"], CONFIG, root=tmp_path))
        defaults.reverse()
    assert len(list(tmp_path.iterdir())) == 1


def test_the_manifest_is_read_by_the_datasets_library(model, tmp_path):
    from datasets import load_dataset

    made = list(generate(model, PROMPTS, CONFIG, root=tmp_path / "pool"))
    manifest = _manifest(tmp_path / "pool")
    table = load_dataset(
        "json", data_files=str(manifest), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert table["prompt"] == PROMPTS
    assert table["seed"] == [m.seed for m in made]
    assert [manifest.parent / name for name in table["file_name"]] == [m.path for m in made]


def test_a_run_that_was_stopped_goes_on_where_it_was(model, tmp_path):
    stopped = _Watched(model, error=KeyboardInterrupt())
    made = []
    with pytest.raises(KeyboardInterrupt):
        made.extend(generate(stopped.model, PROMPTS, CONFIG, root=tmp_path))
    folder = _manifest(tmp_path).parent
    assert len(list(folder.glob("*.png"))) == 4
    watched = _Watched(model)
    assert len(list(generate(watched.model, PROMPTS, CONFIG, root=tmp_path))) == 6
    assert watched.batches == [2]
    assert {path.suffix for path in folder.iterdir()} == {".png", ".jsonl"}
    assert len(_manifest(tmp_path).read_text().splitlines()) == 6


@pytest.mark.parametrize("stop_before", ["os.replace", "course_utils.text2image.album.seal"])
def test_a_run_stopped_while_writing_leaves_no_half_file(model, tmp_path, monkeypatch, stop_before):
    def stop(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stop_before, stop)
        with pytest.raises(KeyboardInterrupt):
            list(generate(model, PROMPTS, CONFIG, root=tmp_path))
    assert not list(tmp_path.glob("*/manifest.jsonl"))
    made = list(generate(model, PROMPTS, CONFIG, root=tmp_path))
    names = {path.name for path in _manifest(tmp_path).parent.iterdir()}
    assert names == {m.path.name for m in made} | {"manifest.jsonl"}


def test_what_a_killed_run_was_writing_is_swept_away_after_an_hour(model, tmp_path):
    first = next(generate(model, ["a river"], CONFIG, root=tmp_path))
    old, new = (first.path.with_name(f".{name}.part") for name in ("old", "new"))
    for part in (old, new):
        part.write_bytes(b"half")
    os.utime(old, (0, 0))
    assert next(generate(model, ["a river"], CONFIG, root=tmp_path)).cached
    assert (old.exists(), new.exists()) == (False, True)


@pytest.mark.parametrize("tail", [b'{"file_name": "torn', b"\xff\xfe", b"[]\n", b"\n"])
def test_a_torn_manifest_is_mended(model, tmp_path, tail):
    list(generate(model, PROMPTS, CONFIG, root=tmp_path))
    manifest = _manifest(tmp_path)
    whole = manifest.read_bytes()
    manifest.write_bytes(whole + tail)
    watched = _Watched(model)
    assert all(m.cached for m in generate(watched.model, PROMPTS, CONFIG, root=tmp_path))
    assert manifest.read_bytes() == whole
    manifest.write_bytes(whole[:-5])  # the last line is cut
    made = list(generate(watched.model, PROMPTS, CONFIG, root=tmp_path))
    assert [m.cached for m in made] == [True] * 5 + [False]
    assert [json.loads(line)["prompt"] for line in manifest.read_text().splitlines()] == PROMPTS


def test_lost_and_damaged_images_are_drawn_again(model, tmp_path):
    first = list(generate(model, PROMPTS, CONFIG, root=tmp_path))
    first[1].path.unlink()
    first[4].path.write_bytes(first[4].path.read_bytes()[:-9])
    watched = _Watched(model)
    made = list(generate(watched.model, PROMPTS, CONFIG, root=tmp_path))
    assert watched.batches == [4, 2]
    assert [m.cached for m in made] == [True, False, True, True, False, True]
    assert _largest_difference(made, first) == 0
    assert len(_manifest(tmp_path).read_text().splitlines()) == 6
    assert all(m.cached for m in generate(model, PROMPTS, CONFIG, root=tmp_path))


def test_a_full_disk_is_said_and_what_was_made_stays(model, tmp_path, request):
    list(generate(model, PROMPTS[:4], CONFIG, root=tmp_path))
    request.getfixturevalue("full_disk")
    made = []
    with pytest.raises(OSError, match="free some space, or set COURSE_OUT") as caught:
        made.extend(generate(model, PROMPTS, CONFIG, root=tmp_path))
    assert caught.value.errno == errno.ENOSPC
    assert [m.cached for m in made] == [True] * 4


def test_a_disk_that_fills_up_at_the_manifest_is_said_and_leaves_it_whole(
    model, tmp_path, monkeypatch
):
    (first,) = generate(model, PROMPTS[:1], CONFIG, root=tmp_path)
    manifest = first.path.parent / "manifest.jsonl"
    before = manifest.read_bytes()
    replace = os.replace

    def full(part: Path, path: Path) -> None:
        if path == manifest:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(part, path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(OSError, match="free some space, or set COURSE_OUT") as caught:
            list(generate(model, PROMPTS, CONFIG, root=tmp_path))
    assert caught.value.errno == errno.ENOSPC
    assert manifest.read_bytes() == before
    assert len(list(generate(model, PROMPTS, CONFIG, root=tmp_path))) == 6


def test_images_of_a_batch_that_were_written_before_it_failed_are_kept(
    model, tmp_path, monkeypatch
):
    replace, written = os.replace, []

    def broken_for_once(part: Path, path: Path) -> None:
        written.append(path)
        if len(written) == 3:
            raise OSError(errno.EIO, "Input/output error")
        replace(part, path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", broken_for_once)
        with pytest.raises(OSError, match="Input/output error"):
            list(generate(model, PROMPTS, CONFIG, root=tmp_path))
    made = list(generate(model, PROMPTS, CONFIG, root=tmp_path))
    assert [m.cached for m in made] == [True] * 2 + [False] * 4


def test_what_another_run_adds_to_the_manifest_meanwhile_stays(model, tmp_path):
    running = generate(model, PROMPTS, CONFIG, root=tmp_path)
    next(running)
    list(generate(model, ["a hill"], CONFIG, root=tmp_path))
    list(running)
    made = generate(model, [*PROMPTS, "a hill"], CONFIG, root=tmp_path)
    assert all(m.cached for m in made)


def test_a_finished_pool_is_read_where_nothing_can_be_written(model, tmp_path, request):
    list(generate(model, PROMPTS, CONFIG, root=tmp_path))
    request.getfixturevalue("full_disk")
    assert all(made.cached for made in generate(model, PROMPTS, CONFIG, root=tmp_path))


@pytest.mark.parametrize(
    "lack",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("MPS backend out of memory (MPS allocated: 5 GB)"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        MemoryError(),
    ],
    ids=["CUDA", "MPS", "CPU", "Python"],
)
def test_out_of_memory_halves_the_batch_and_goes_on(model, lack):
    watched = _Watched(model, fits=2)
    watched.lack = lack
    made = list(generate(watched.model, PROMPTS, dataclasses.replace(CONFIG, batch_size=64)))
    assert watched.batches == [6, 3, 1, 1, 1, 1, 1, 1]
    assert _largest_difference(made, list(generate(model, PROMPTS, CONFIG))) <= 2


def test_another_error_is_no_lack_of_memory(model):
    watched = _Watched(model, fits=2)
    watched.lack = RuntimeError("shapes do not match")
    with pytest.raises(RuntimeError, match="do not match"):
        list(generate(watched.model, PROMPTS, CONFIG))
    assert watched.batches == [4]


def test_a_sentence_is_encoded_once_a_run(model, monkeypatch):
    encoded = []
    encoder, forward = model.pipeline.text_encoder, model.pipeline.text_encoder.forward

    def count(input_ids: torch.Tensor, **options: object) -> object:
        encoded.extend(input_ids.tolist())
        return forward(input_ids, **options)

    monkeypatch.setattr(encoder, "forward", count)
    list(generate(model, PROMPTS, dataclasses.replace(CONFIG, batch_size=2)))
    assert len(encoded) == len(set(map(tuple, encoded))) == len(set(PROMPTS)) + 1  # and ""


def test_without_settings_the_size_is_that_of_the_model(model):
    (made,) = generate(model, ["a river"])
    assert made.image.shape == (16, 16, 3)
    assert made.provenance["num_sample_steps"] == GenerationConfig().num_sample_steps


def test_out_of_memory_with_a_single_image_is_an_error(model):
    watched = _Watched(model, fits=0)
    with pytest.raises(torch.OutOfMemoryError):
        list(generate(watched.model, PROMPTS, CONFIG))
    assert watched.batches == [4, 2, 1]


def test_the_fingerprint_follows_the_weights_and_not_the_card(folder, model, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(folder, root)
    (root / "README.md").write_text("A model card.")
    assert load_pipeline(str(root), device="cpu").fingerprint == model.fingerprint
    write_tiny_text2image(tmp_path / "other", seed=1)
    other = load_pipeline(str(tmp_path / "other"), device="cpu")
    assert other.fingerprint != model.fingerprint


def test_loading_is_silent_and_needs_no_network(folder, monkeypatch, capfd):
    def refuse(*args: object, **options: object) -> None:
        raise AssertionError("asked the network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    model = load_pipeline(str(folder), device="cpu")
    assert model.pipeline.unet.dtype == torch.float32
    assert (model.artifact, model.origin, model.stand_in_for) == (folder.name, "local", None)
    assert capfd.readouterr() == ("", "")


def test_the_time_of_a_run_is_estimated_from_a_few_images(model):
    watched = _Watched(model)
    short = estimate_seconds(watched.model, CONFIG, 1)
    assert watched.batches == [4]
    assert 0 < short < estimate_seconds(watched.model, CONFIG, 10_000)
