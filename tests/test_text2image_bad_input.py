"""What people type and what disks hold: said, survived, or refused with the reason."""

import dataclasses
import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import write_tiny_text2image

from course_utils.text2image import (
    GenerationConfig,
    TextToImage,
    drawing,
    generate,
    load_pipeline,
    loading,
)
from course_utils.text2image.loading import check_folder

CONFIG = GenerationConfig(num_sample_steps=2, height=16, width=16, batch_size=2)
LONG = " ".join(f"word{i}" for i in range(500))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models") / "tiny_text2image"
    write_tiny_text2image(root)
    return root


@pytest.fixture
def model(folder: Path) -> TextToImage:
    return load(folder)


def load(folder: Path) -> TextToImage:
    return load_pipeline(str(folder), device="cpu")


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "damaged"))


def draw(model: TextToImage, prompts: list[str], **changes: object) -> list:
    return list(generate(model, prompts, dataclasses.replace(CONFIG, **changes)))


def test_what_is_cut_off_a_long_prompt_is_said_and_kept(model, capfd):
    with pytest.warns(UserWarning, match="1 prompts are longer than the 32 tokens") as caught:
        made = draw(model, [LONG, "a river"])
    cut = made[0].provenance["cut"]
    assert LONG.endswith(cut)
    assert cut[:100] in str(caught[0].message)
    assert len(caught) == 1
    assert len(str(caught[0].message)) < 700
    assert Path(caught[0].filename).parent.name != "text2image"  # where the images are asked for
    assert [m.provenance["truncated"] for m in made] == [True, False]
    assert made[1].provenance["cut"] == ""
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("prompt", [LONG, "sea ☃ Öde " * 9, "a  b " * 20])
def test_exactly_what_is_cut_is_not_read(model, prompt):
    with pytest.warns(UserWarning, match="was cut"):
        (made,) = draw(model, [prompt])
    cut = made.provenance["cut"]
    kept = prompt.rstrip()[: -len(cut)]
    tokenizer = model.pipeline.tokenizer
    options = {"truncation": True, "padding": "max_length", "max_length": 32}
    assert tokenizer(kept, **options).input_ids == tokenizer(prompt, **options).input_ids
    shorter = kept.rstrip()[:-1]
    assert tokenizer(shorter, **options).input_ids != tokenizer(prompt, **options).input_ids


def test_a_prompt_that_just_fits_is_not_cut(model):
    (made,) = draw(model, ["a" * 30])
    assert (made.provenance["cut"], made.provenance["truncated"]) == ("", False)


def test_a_cut_prompt_is_said_once_a_run_and_a_negative_prompt_counts_too(model):
    with pytest.warns(UserWarning, match="3 prompts are longer") as caught:
        draw(model, [LONG, LONG + " b"], negative_prompt=LONG)
    assert len(caught) == 1
    with pytest.warns(UserWarning, match="1 prompts are longer"):
        draw(model, [LONG])


@pytest.mark.parametrize("prompt", ["洪水过后的城市", "川 in Japan", "강", "a town, 城市"])
def test_a_prompt_in_another_script_is_drawn_with_one_warning_a_model(folder, prompt):
    model = load_pipeline(str(folder), device="cpu")
    with pytest.warns(UserWarning, match="The model reads English only") as caught:
        (made,) = draw(model, [prompt])
    assert prompt in str(caught[0].message)
    assert len(caught) == 1
    assert made.image.shape == (16, 16, 3)
    draw(model, [prompt])  # warnings are errors: it is not said again
    draw(dataclasses.replace(model, artifact="same"), [prompt])


def test_english_with_accents_and_symbols_is_not_complained_about(model):
    draw(model, ["Öde Fläche – 30 m², naïve ☃"])


def test_warnings_are_in_the_language_of_the_learner(model, monkeypatch):
    monkeypatch.setenv("COURSE_LANG", "zh")
    with pytest.warns(UserWarning, match="模型只能读懂英文"):
        draw(model, ["洪水"])


def overflow(model: TextToImage, part: str | None) -> TextToImage:
    """Put a model into half precision, which the sums in one of its parts are too large for."""
    with torch.no_grad():
        if part == "decoder":
            model.pipeline.vae.decoder.conv_in.weight.mul_(1e5)
        elif part == "text encoder":
            mlp = model.pipeline.text_encoder.encoder.layers[0].mlp
            mlp.fc1.weight.mul_(100)
            mlp.fc2.weight.mul_(6e4)
    model.pipeline.to(torch.float16)
    return model


@pytest.mark.parametrize("part", ["decoder", "text encoder"])
def test_nan_in_half_precision_is_drawn_again_in_single_precision(folder, tmp_path, part):
    prompts = ["a river", "a bay", "a town"]
    model = overflow(load_pipeline(str(folder), device="cpu"), part)
    with pytest.warns(UserWarning, match=r"no numbers \(NaN\) in float16") as caught:
        made = list(generate(model, prompts, CONFIG, root=tmp_path))
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert [m.provenance["dtype"] for m in made] == ["float32"] * 3
    assert model.dtype == "float32"
    sound = overflow(load_pipeline(str(folder), device="cpu"), part)
    sound.pipeline.to(torch.float32)
    for a, b in zip(made, generate(sound, prompts, CONFIG), strict=True):
        assert abs(a.image.astype(int) - b.image.astype(int)).max() <= 2
    again = list(generate(model, prompts, CONFIG, root=tmp_path))  # finds what it has drawn
    assert [m.cached for m in again] == [True] * 3


def test_half_precision_that_works_stays(folder):
    model = overflow(load_pipeline(str(folder), device="cpu"), None)
    made = draw(model, ["a river"])
    assert (made[0].provenance["dtype"], model.dtype) == ("float16", "float16")
    single = load_pipeline(str(folder), device="cpu")
    (expected,) = draw(single, ["a river"])  # starts from the same noise
    assert abs(made[0].image.astype(int) - expected.image.astype(int)).max() <= 6


def test_a_run_that_left_half_precision_goes_on_so_after_an_interruption(
    folder, tmp_path, monkeypatch
):
    prompts, real, spoiled = ["a river", "a bay", "a town"], drawing._call_pipeline, []

    def nan_at_first(model, *rest):
        images = real(model, *rest)
        return images if spoiled or spoiled.append(model.dtype) else images * torch.nan

    monkeypatch.setattr(drawing, "_call_pipeline", nan_at_first)
    with pytest.warns(UserWarning, match="in float16"):
        made = list(generate(overflow(load(folder), None), prompts, CONFIG, root=tmp_path))
    made[2].path.unlink()  # of the second batch
    with pytest.warns(UserWarning, match="in float16"):
        again = list(generate(overflow(load(folder), None), prompts, CONFIG, root=tmp_path))
    assert [m.cached for m in again] == [True, True, False]
    assert all(np.array_equal(a.image, b.image) for a, b in zip(made, again, strict=True))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_is_an_error_and_never_kept(folder, tmp_path, value):
    model = load(folder)
    with torch.no_grad():
        model.pipeline.vae.decoder.conv_out.bias[0] = value  # clipped, infinity would be white
    with pytest.raises(ValueError, match="even in single precision"):
        list(generate(model, ["a river"], CONFIG, root=tmp_path))
    assert not list(tmp_path.rglob("*.png"))


def test_nan_in_single_precision_too_is_an_error(folder, tmp_path):
    for dtype in (torch.float16, torch.float32):
        model = load_pipeline(str(folder), device="cpu")
        with torch.no_grad():
            model.pipeline.vae.decoder.conv_in.weight.fill_(float("nan"))
        model.pipeline.to(dtype)
        with pytest.raises(ValueError, match="even in single precision"):
            list(generate(model, ["a river"], CONFIG, root=tmp_path))
    assert not list(tmp_path.glob("*/*.png"))


def test_a_size_that_the_autoencoder_cannot_halve_is_refused(model):
    model.pipeline.vae_scale_factor = 16
    with pytest.raises(ValueError, match="multiples of 16 for tiny_text2image, got 16 x 24"):
        draw(model, ["a river"], width=24)


def refusal(root: Path) -> str:
    with pytest.raises(ValueError, match="damaged does not load") as caught:
        load_pipeline(str(root), device="cpu")
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
@pytest.mark.parametrize("kind", ["missing", "cut short", "text", "header", "config", "no config"])
def test_a_missing_or_damaged_file_is_named_with_its_part(copy, part, kind):
    (weights,) = (copy / part).glob("*.safetensors")
    data = weights.read_bytes()
    if kind == "missing":
        weights.unlink()
        assert f"{part} has no weights" in refusal(copy)
    elif kind in ("config", "no config"):
        (copy / part / "config.json").write_text("{")
        if kind == "no config":
            (copy / part / "config.json").unlink()
        assert f"{part}/config.json is {'missing' if kind[0] == 'n' else 'damaged'}" in refusal(
            copy
        )
    else:
        damaged = {
            "cut short": data[:-100],
            "text": b"<html>not found</html>",
            "header": struct.pack("<Q", 1 << 40) + data[8:],
        }
        weights.write_bytes(damaged[kind])
        assert f"{part}/{weights.name} is damaged or cut short" in refusal(copy)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
@pytest.mark.parametrize("ending", [".bin", ".ckpt", ".pt"])
def test_a_pickle_is_refused_with_the_reason_and_never_opened(copy, part, ending, monkeypatch):
    (weights,) = (copy / part).glob("*.safetensors")
    torch.save(load_file(weights), weights.with_suffix(ending))  # a sound one
    weights.unlink()
    monkeypatch.setattr(torch, "load", lambda *args, **options: pytest.fail("opened a pickle"))
    message = refusal(copy)
    assert f"{part} has its weights as a pickle ({weights.stem}{ending})" in message
    assert "can run any code" in message
    assert "save_pretrained(folder, safe_serialization=True)" in message


def test_a_pickle_beside_safetensors_does_no_harm(copy, monkeypatch):
    (copy / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"evil")
    monkeypatch.setattr(torch, "load", lambda *args, **options: pytest.fail("opened a pickle"))
    assert load_pipeline(str(copy), device="cpu").pipeline.unet.dtype == torch.float32


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("_class_name", ["pipeline_own", "OwnPipeline"], "code of its own is not run"),
        ("unet", ["own_net", "OwnNet"], "expected unet to be a class of diffusers"),
        ("vae", None, "expected vae to be a class"),
        (
            "tokenizer",
            ["diffusers", "CLIPTokenizer"],
            "expected tokenizer to be a class of transformers",
        ),
    ],
)
def test_an_index_that_names_other_code_is_refused(copy, key, value, message):
    index = json.loads((copy / "model_index.json").read_text())
    for name in ("pipeline_own.py", "unet/own_net.py"):
        (copy / name).write_text("raise AssertionError('foreign code was run')")
    (copy / "model_index.json").write_text(json.dumps({**index, key: value}))
    assert message in refusal(copy)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_weights_that_lack_a_tensor_are_refused_and_not_made_up(copy, part):
    (weights,) = (copy / part).glob("*.safetensors")
    tensors = load_file(weights)
    del tensors[max(tensors)]
    save_file(tensors, weights, metadata={"format": "pt"})
    num = len(tensors)
    assert f"{part} has {num} of its {num + 1} weights" in refusal(copy)


def test_weights_of_another_shape_are_refused(copy):
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    tensors["conv_in.weight"] = torch.zeros(3, 3, 3, 3)
    save_file(tensors, weights)
    assert "conv_in.weight" in refusal(copy)


def test_a_folder_that_is_no_pipeline_is_refused(tmp_path):
    root = tmp_path / "damaged"
    root.mkdir()
    (root / "notes.txt").write_text("no model")
    assert "model_index.json is missing" in refusal(root)


@pytest.mark.parametrize("name", ["tokenizer/tokenizer.json", "scheduler/scheduler_config.json"])
def test_a_tokenizer_or_sampler_that_is_lost_or_damaged_is_refused(copy, name):
    (copy / name).write_text('{"model": ')
    assert f"{name} is damaged" in refusal(copy)
    (copy / name).unlink()
    words = "tokenizer/vocab.json" if "tokenizer" in name else name
    assert f"{words} is missing" in refusal(copy)


def test_the_older_form_of_a_tokenizer_is_read_and_needs_both_files(copy):
    model = json.loads((copy / "tokenizer/tokenizer.json").read_text())["model"]
    expected = load_pipeline(str(copy), device="cpu").pipeline.tokenizer("a river").input_ids
    (copy / "tokenizer/tokenizer.json").unlink()
    (copy / "tokenizer/vocab.json").write_text(json.dumps(model["vocab"]))
    assert "tokenizer/merges.txt is missing" in refusal(copy)
    (copy / "tokenizer/merges.txt").write_text("#version: 0.2\n")
    tokenizer = load_pipeline(str(copy), device="cpu").pipeline.tokenizer
    assert tokenizer("a river").input_ids == expected


def test_a_sound_folder_passes(folder):
    assert check_folder(folder)["_class_name"] == "StableDiffusionPipeline"


def test_the_largest_sizes_of_numbers_do_not_hide_bad_images(model, monkeypatch):
    """An image of NaN must not be kept as black."""
    decode = model.pipeline.vae.decode
    monkeypatch.setattr(
        model.pipeline.vae, "decode", lambda *a, **k: [decode(*a, **k)[0] * float("nan")]
    )
    with pytest.raises(ValueError, match="no numbers"):
        draw(model, ["a river"])
    assert np.isnan(decode(torch.full((1, 4, 8, 8), float("nan"))).sample.detach().numpy()).all()


def test_one_list_says_whose_classes_are_loaded(copy, monkeypatch):
    monkeypatch.setitem(loading.CLASSES, "vae", "diffusers.AutoencoderTiny")
    monkeypatch.setattr("diffusers.StableDiffusionPipeline.from_pretrained", pytest.fail)
    assert "expected vae to be a class of diffusers (diffusers.AutoencoderTiny)" in refusal(copy)
