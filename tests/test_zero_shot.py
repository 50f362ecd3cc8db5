import dataclasses
import shutil
import socket
import threading
import warnings
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from conftest import encoded, noise_image
from safetensors.torch import load_file, save_file
from tiny_models import write_tiny_clip

from course_utils.examples import Example
from course_utils.images import ImageError, load_image
from course_utils.zero_shot import (
    TEMPLATE_SOURCES,
    TEMPLATES,
    Clip,
    class_weights,
    extract_features,
    image_features,
    load_clip,
    zero_shot_logits,
)

NAMES = ["river", "annual crop", "Öde Fläche", "field {0}"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models") / "tiny_clip"
    write_tiny_clip(root)
    return root


@pytest.fixture(scope="module")
def net(folder: Path) -> open_clip.CLIP:
    with torch.random.fork_rng(devices=[]):
        return open_clip.create_model_and_transforms(f"local-dir:{folder}")[0].eval()


@pytest.fixture(scope="module")
def clip(folder: Path) -> Clip:
    return load_clip(str(folder), device="cpu")


@pytest.fixture
def examples(tmp_path: Path) -> list[Example]:
    """Files of several sizes and kinds, pixels in memory, and a copy of the first."""
    files = []
    for i, size in enumerate([(32, 32), (40, 33), (7, 50), (64, 64), (1, 1)]):
        path = tmp_path / f"{i}.png"
        path.write_bytes(encoded(noise_image(i, size=size, mode="L" if i == 3 else "RGB"), "PNG"))
        files.append(Example(label=i, source="real", path=path))
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    return [*files, Example(label=0, source="synthetic", pixels=pixels), files[0]]


class _Counting:
    """A CLIP that counts what it encodes."""

    def __init__(self, clip: Clip, *, fails_after: int = 10**9) -> None:
        self.seen = 0
        self.fails_after = fails_after
        self._encode = clip.encode_image
        self.clip = dataclasses.replace(clip, encode_image=self.encode_image)

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        if self.seen + len(images) > self.fails_after:
            raise KeyboardInterrupt
        self.seen += len(images)
        return self._encode(images)


def test_encoders_return_what_open_clip_computes_as_unit_rows(clip, net, folder):
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(NAMES)
    with torch.no_grad():
        by_image = net.encode_image(images)
        by_text = net.encode_text(tokens)
    expected = by_image / by_image.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(clip.encode_image(images), expected)
    expected = by_text / by_text.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(clip.encode_text(NAMES), expected)
    assert clip.logit_scale == pytest.approx(1 / 0.07, rel=1e-3)  # CLIP's start, kept in 16 bits
    assert clip.image_size == 32
    assert (clip.name, clip.origin, clip.stand_in_for) == ("tiny_clip", "local", None)


def test_preprocessing_is_that_of_the_folder(clip, folder):
    with torch.random.fork_rng(devices=[]):
        reference = open_clip.create_model_and_transforms(f"local-dir:{folder}")[2]
    image = noise_image(1, size=(45, 70))
    assert torch.equal(clip.preprocess(image), reference(image))
    grey = clip.preprocess(noise_image(1, size=(32, 32), mode="L").convert("RGB"))
    raw = torch.from_numpy(np.array(noise_image(1, size=(32, 32), mode="L"))) / 255
    torch.testing.assert_close(grey[2], (raw - 0.4) / 0.3)


def test_many_prompts_are_encoded_in_parts(clip):
    prompts = [f"field {i}" for i in range(300)]
    some = [0, 255, 256, 299]
    torch.testing.assert_close(
        clip.encode_text(prompts)[some], clip.encode_text([prompts[i] for i in some])
    )


@pytest.mark.parametrize("templates", [("{}",), TEMPLATES["satellite"]])
def test_class_weights_are_those_of_open_clip(clip, net, folder, templates):
    names = NAMES[:3]
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    expected = open_clip.build_zero_shot_classifier(net, tokenizer, names, templates).T
    torch.testing.assert_close(class_weights(clip, names, templates), expected)


def test_every_ensemble_has_a_place_for_the_class_and_a_source():
    assert all("{}" in template for templates in TEMPLATES.values() for template in templates)
    assert "satellite" in TEMPLATES
    assert TEMPLATES.keys() == TEMPLATE_SOURCES.keys()


def test_openais_templates_are_those_of_its_list():
    assert TEMPLATES["openai_eurosat"] == (
        "a centered satellite photo of {}.",
        "a centered satellite photo of a {}.",
        "a centered satellite photo of the {}.",
    )
    resisc45 = TEMPLATES["openai_resisc45"]
    assert len(set(resisc45)) == 18
    assert {"satellite imagery of {}.", "aerial photo of a {}.", "aerial view of the {}."} <= {
        *resisc45
    }
    assert all(len(set(templates)) == len(templates) for templates in TEMPLATES.values())


@pytest.mark.parametrize(
    ("name", "phrase"),
    [
        ("SeaLake", "sea lake"),
        ("sea_ice", "sea ice"),
        ("storage_tanks2", "storage tanks 2"),
        ("semi-desert", "semi-desert"),
        ("Öde Fläche", "Öde Fläche"),
        ("BBQ area of McDonald", "BBQ area of McDonald"),
    ],
)
def test_identifiers_become_words_and_phrases_stay_as_they_are(clip, name, phrase):
    expected = clip.encode_text([f"an image of {phrase}."])
    torch.testing.assert_close(class_weights(clip, [name], ["an image of {}."]), expected)


def test_classes_that_no_prompt_can_tell_apart_are_refused(clip):
    with pytest.raises(ValueError, match=r"two classes called \['sea lake'\] apart"):
        class_weights(clip, ["SeaLake", "river", "sea_lake"], ["{}"])


def test_braces_in_a_class_name_are_left_alone(clip):
    expected = clip.encode_text(["an image of field {0}."])
    torch.testing.assert_close(class_weights(clip, ["field {0}"], ["an image of {}."]), expected)


@pytest.mark.parametrize(
    ("names", "templates", "message"),
    [
        ([], ["{}"], "class_names"),
        (["river", " "], ["{}"], "class_names"),
        ("river", ["{}"], "class_names"),
        (["river"], [], "templates"),
        (["river"], "a photo of {}", "templates"),
        (["river"], ["a photo of {}", "a photo"], r"'a photo'"),
    ],
)
def test_prompts_that_cannot_be_built_are_refused(clip, names, templates, message):
    with pytest.raises(ValueError, match=message):
        class_weights(clip, names, templates)


def test_logits_are_scaled_cosines():
    generator = torch.Generator().manual_seed(0)
    images, weights = (torch.randn(n, 5, generator=generator) for n in (4, 3))
    images, weights = (torch.nn.functional.normalize(rows) for rows in (images, weights))
    logits = zero_shot_logits(images, weights, logit_scale=20.0)
    cosine = torch.nn.functional.cosine_similarity(images[:, None], weights[None], dim=-1)
    torch.testing.assert_close(logits, 20 * cosine)


def test_a_bias_is_added_so_that_a_sigmoid_gives_probabilities():
    images, weights = torch.eye(2), torch.eye(3)[:2, :2]
    logits = zero_shot_logits(images, weights, logit_scale=110.0, logit_bias=-12.9)
    torch.testing.assert_close(logits, torch.tensor([[97.1, -12.9], [-12.9, 97.1]]))
    probabilities = logits.sigmoid()
    assert probabilities[0, 0] > 0.99
    assert probabilities[0, 1] < 0.01


def test_features_come_in_order_whatever_the_batch_size(clip, examples):
    expected = torch.cat([clip.encode_image(clip.preprocess(e.load())[None]) for e in examples])
    for batch_size in (1, 4, 64):
        features = image_features(clip, examples, batch_size=batch_size)
        torch.testing.assert_close(features, expected)
    torch.testing.assert_close(features.norm(dim=-1), torch.ones(len(examples)))


def test_progress_counts_examples_and_ends_with_the_features(clip, examples, tmp_path):
    steps = list(extract_features(clip, examples, cache=tmp_path / "cache", batch_size=4))
    assert [(step.done, step.from_cache) for step in steps] == [(0, 0), (5, 0), (7, 0), (7, 0)]
    assert [step.features is None for step in steps] == [True, True, True, False]
    assert {step.total for step in steps} == {7}
    again = list(extract_features(clip, examples, cache=tmp_path / "cache", batch_size=4))
    assert [(step.done, step.from_cache) for step in again] == [(7, 7), (7, 7)]
    assert not any(step.note for step in steps + again)
    assert torch.equal(again[-1].features, steps[-1].features)


def test_an_image_is_encoded_once_whatever_list_it_comes_in(clip, examples, tmp_path):
    counting = _Counting(clip)
    image_features(counting.clip, examples[:3], cache=tmp_path)
    assert counting.seen == 3
    features = image_features(counting.clip, examples[::-1], cache=tmp_path)
    assert counting.seen == 6  # seven examples, two of them the same image
    torch.testing.assert_close(features, image_features(clip, examples[::-1]))


def test_other_weights_or_preprocessing_mean_other_features(clip, examples, folder, tmp_path):
    counted = image_features(clip, examples, cache=tmp_path / "cache")
    write_tiny_clip(tmp_path / "other", seed=1)
    shutil.copytree(folder, tmp_path / "darker")
    config = tmp_path / "darker" / "open_clip_config.json"
    config.write_text(config.read_text().replace("0.25", "0.5"))
    for name in ("other", "darker"):
        changed = load_clip(str(tmp_path / name), device="cpu")
        assert changed.fingerprint != clip.fingerprint
        features = image_features(changed, examples, cache=tmp_path / "cache")
        torch.testing.assert_close(features, image_features(changed, examples))
        assert not torch.allclose(features, counted)
    assert len(list((tmp_path / "cache").iterdir())) == 3
    assert load_clip(str(folder), device="cpu").fingerprint == clip.fingerprint


@pytest.mark.parametrize("damage", ["truncated", "text", "flipped", "other model", "folder"])
def test_a_damaged_cache_is_rebuilt_and_it_is_said(clip, examples, tmp_path, damage):
    expected = image_features(clip, examples, cache=tmp_path)
    (path,) = tmp_path.glob("features_*")
    data = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(data[:-40])
    elif damage == "text":
        path.write_text("not features")
    elif damage == "flipped":
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "other model":
        other = dataclasses.replace(clip, fingerprint="0" * 64)
        image_features(other, examples, cache=tmp_path / "other")
        shutil.copy(next((tmp_path / "other").iterdir()), path)
    else:
        path.unlink()
        path.mkdir()
    steps = list(extract_features(clip, examples, cache=tmp_path))
    assert steps[0].from_cache == 0
    assert "features_" in steps[-1].note
    torch.testing.assert_close(steps[-1].features, expected)
    if damage != "folder":
        assert [s.note for s in extract_features(clip, examples, cache=tmp_path)] == ["", ""]


def test_a_cache_that_cannot_be_written_costs_nothing_but_a_note(
    clip, examples, tmp_path, full_disk
):
    steps = list(extract_features(clip, examples, cache=tmp_path / "cache"))
    assert "not cached" in steps[-1].note
    assert steps[-1].features.shape == (7, 16)
    assert not list((tmp_path / "cache").iterdir())


def test_a_cache_folder_that_is_a_file_costs_nothing_but_a_note(clip, examples, tmp_path):
    (tmp_path / "cache").write_text("")
    *_, last = extract_features(clip, examples, cache=tmp_path / "cache")
    assert "not cached" in last.note
    assert last.features.shape == (7, 16)


def test_what_was_encoded_before_an_interruption_is_kept(clip, examples, tmp_path):
    stopped = _Counting(clip, fails_after=4)
    with pytest.raises(KeyboardInterrupt):
        image_features(stopped.clip, examples, cache=tmp_path, batch_size=2)
    steps = extract_features(clip, examples, cache=tmp_path, batch_size=1)
    assert next(steps).from_cache == 5  # two batches of two, and the copy of the first
    next(steps)
    steps.close()  # a loop that the caller leaves
    assert next(extract_features(clip, examples, cache=tmp_path)).from_cache == 6


def test_an_unreadable_image_is_named_and_the_others_are_kept(clip, examples, tmp_path):
    (tmp_path / "broken.jpg").write_text("not a picture")
    broken = Example(label=0, source="real", path=tmp_path / "broken.jpg")
    with pytest.raises(ImageError, match=r"broken\.jpg"):
        image_features(clip, [*examples, broken], cache=tmp_path / "cache", batch_size=2)
    assert next(extract_features(clip, examples, cache=tmp_path / "cache")).done == 7


@pytest.fixture(params=["in turn", "ahead"])
def busy_clip(request, clip, monkeypatch) -> Clip:
    """A clip for which three threads decode, as on a GPU while the batch before is encoded."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    monkeypatch.setattr("course_utils.zero_shot.features.CHUNK", 2)
    if request.param == "ahead":
        monkeypatch.setattr("course_utils.zero_shot.features._takes_turns", lambda device: False)
    return clip


def test_threads_change_neither_features_nor_order_nor_progress(busy_clip, examples, tmp_path):
    expected = torch.cat(
        [busy_clip.encode_image(busy_clip.preprocess(e.load())[None]) for e in examples]
    )
    steps = list(extract_features(busy_clip, examples, cache=tmp_path, batch_size=4))
    torch.testing.assert_close(steps[-1].features, expected)
    assert [step.done for step in steps] == [0, 5, 7, 7]


def test_no_thread_runs_while_the_caller_has_its_turn(busy_clip, examples):
    before = threading.active_count()
    running: set[int] = set()

    class Watched(Example):
        def load(self) -> object:
            running.add(id(self))
            image = super().load()
            running.discard(id(self))
            return image

    watched = [Watched(e.label, e.source, e.path, e.pixels) for e in examples]
    for _ in extract_features(busy_clip, watched, batch_size=1):
        assert not running
    assert threading.active_count() == before


def test_an_error_in_a_thread_costs_only_its_own_batch(busy_clip, examples, tmp_path):
    (tmp_path / "broken.jpg").write_text("not a picture")
    broken = Example(label=0, source="real", path=tmp_path / "broken.jpg")
    before = list(warnings.filters)
    with pytest.raises(ImageError, match=r"broken\.jpg"):
        image_features(busy_clip, [*examples, broken], cache=tmp_path / "cache", batch_size=2)
    assert next(extract_features(busy_clip, examples, cache=tmp_path / "cache")).done == 7
    assert warnings.filters == before


def test_threads_leave_the_filters_of_warnings_as_they_were(busy_clip, tmp_path):
    files = []
    for i in range(40):  # a palette with transparency in bytes makes Pillow warn
        path = tmp_path / f"{i}.png"
        image = noise_image(i, size=(32, 32), mode="P")
        path.write_bytes(encoded(image, "PNG", transparency=bytes([i] * 9)))
        files.append(Example(label=0, source="real", path=path))
    before = list(warnings.filters)
    features = image_features(busy_clip, files, batch_size=8)
    assert warnings.filters == before
    with pytest.warns(UserWarning, match="still heard"):
        warnings.warn("still heard", stacklevel=1)
    pixels = torch.stack([busy_clip.preprocess(load_image(e.path)) for e in files])
    torch.testing.assert_close(features, busy_clip.encode_image(pixels))


def test_preprocessing_is_the_same_in_one_step_and_in_two(clip):
    images = [noise_image(i, size=(20 + 9 * i, 61)) for i in range(4)]
    pixels = torch.stack([clip.preprocess.pixels(image) for image in images])
    assert (pixels.dtype, tuple(pixels.shape)) == (torch.uint8, (4, 3, 32, 32))
    together = clip.preprocess.normalize(pixels)
    assert torch.equal(together, torch.stack([clip.preprocess(image) for image in images]))


def test_no_examples_and_empty_batches_are_refused(clip, examples):
    with pytest.raises(ValueError, match="no examples"):
        image_features(clip, [])
    for size in (0, -1):
        with pytest.raises(ValueError, match=f"batch_size is {size}, expected at least 1"):
            image_features(clip, examples, batch_size=size)


def test_loading_needs_no_network(folder, monkeypatch):
    def refuse(*args: object, **options: object) -> None:
        raise AssertionError("asked the network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    load_clip(str(folder), device="cpu").encode_text(["river"])


def test_half_precision_files_run_in_single_precision(clip):
    images = torch.zeros(1, 3, 32, 32)
    assert clip.encode_image(images).dtype == torch.float32
    assert not clip.encode_image(images.requires_grad_()).requires_grad


def test_a_folder_without_a_model_is_refused(folder, tmp_path):
    (tmp_path / "notes.txt").write_text("no model")
    with pytest.raises(ValueError, match=r"open_clip_config\.json"):
        load_clip(str(tmp_path))
    shutil.copy(folder / "open_clip_config.json", tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"a pickle")
    with pytest.raises(ValueError, match="safetensors"):
        load_clip(str(tmp_path))


@pytest.mark.parametrize("damage", ["truncated", "missing key", "config", "other shape"])
def test_a_damaged_model_is_refused_in_one_sentence(folder, tmp_path, damage):
    root = tmp_path / "damaged"
    shutil.copytree(folder, root)
    weights, config = root / "open_clip_model.safetensors", root / "open_clip_config.json"
    state = load_file(weights)
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "missing key":
        save_file({k: v for k, v in state.items() if k != "logit_scale"}, weights)
    elif damage == "config":
        config.write_text("{")
    else:
        config.write_text(config.read_text().replace('"width": 32', '"width": 48'))
    with pytest.raises(ValueError, match="damaged does not load") as caught:
        load_clip(str(root), device="cpu")
    assert "\n" not in str(caught.value)


def test_small_files_in_turn_and_large_ones_in_threads_give_the_same(clip, examples, monkeypatch):
    in_turn = image_features(clip, examples, batch_size=3)
    monkeypatch.setattr("course_utils.zero_shot.features.SMALL_BYTES", 0)
    threads = set()
    load = Example.load
    monkeypatch.setattr(
        Example, "load", lambda self: threads.add(threading.current_thread()) or load(self)
    )
    torch.testing.assert_close(image_features(clip, examples, batch_size=3), in_turn)
    assert threads - {threading.main_thread()}


def test_an_image_of_the_right_size_is_taken_as_it_is(clip, folder):
    with torch.random.fork_rng(devices=[]):
        _, _, theirs = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    for size in ((clip.image_size, clip.image_size), (clip.image_size, clip.image_size + 1)):
        image = load_image(encoded(noise_image(3, size=size, mode="RGB"), "PNG"))
        torch.testing.assert_close(clip.preprocess(image), theirs(image))
