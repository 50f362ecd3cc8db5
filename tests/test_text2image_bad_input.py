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


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n"


def change(path: Path, **fields: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def plant_code(root: Path) -> Path:
    """Lay code wherever a library of some version would look for it; it leaves a mark if run."""
    mark = root.parent / "code was run"
    code = f"import pathlib\npathlib.Path({str(mark)!r}).touch()\n"
    for folder in (root, *(path for path in root.iterdir() if path.is_dir())):
        for name in ("evil", "None", "diffusers", "transformers", "stable_diffusion"):
            (folder / f"{name}.py").write_text(code)
    return mark


INDEXES = {
    "image encoder": {"image_encoder": ["evil", "Net"]},
    "safety checker": {"safety_checker": ["evil", "Net"]},
    "feature extractor": {"feature_extractor": ["evil", "Net"]},
    "unknown part": {"helper": ["evil", "Net"]},
    "hidden part": {"_helper": ["evil", "Net"]},
    "nested pipeline": {"helper": ["diffusers", "StableDiffusionPipeline"]},
    "pipeline as a network": {"unet": ["diffusers", "StableDiffusionPipeline"]},
    "module as a library": {"unet": ["diffusers.pipelines", "UNet2DConditionModel"]},
    "module in a class": {"unet": ["diffusers", "models.UNet2DConditionModel"]},
    "one entry": {"unet": ["diffusers"]},
    "three entries": {"unet": ["diffusers", "UNet2DConditionModel", "evil"]},
    "a string": {"unet": "diffusers.UNet2DConditionModel"},
    "numbers": {"vae": [1, 2]},
    "lists": {"vae": [["diffusers"], ["AutoencoderKL"]]},
    "automatic": {"text_encoder": ["transformers", "AutoModel"]},
    "a function": {"text_encoder": ["transformers", "pipeline"]},
    "another kind of part": {"scheduler": ["diffusers", "UNet2DConditionModel"]},
    "class in a module": {"_class_name": "evil.StableDiffusionPipeline"},
    "custom pipeline": {"custom_pipeline": "evil"},
    "trust": {"trust_remote_code": True},
    "auto map": {"auto_map": {"AutoModel": "evil.Net"}},
}
CONFIGS = {
    "network: auto map": ("unet/config.json", {"auto_map": {"AutoModel": "evil.Net"}}),
    "network: class": ("unet/config.json", {"_class_name": "Net"}),
    "network: classes": ("vae/config.json", {"_class_name": ["evil", "Net"]}),
    "network: quantizer": ("unet/config.json", {"quantization_config": {"quant_method": "evil"}}),
    "text: auto map": ("text_encoder/config.json", {"auto_map": {"AutoModel": "evil.Net"}}),
    "text: kernel": ("text_encoder/config.json", {"attn_implementation": "evil/kernel"}),
    "text: quantizer": ("text_encoder/config.json", {"quantization_config": {"load_in_8bit": 1}}),
    "text: trust": ("text_encoder/config.json", {"trust_remote_code": True}),
    "tokenizer: auto map": (
        "tokenizer/tokenizer_config.json",
        {"auto_map": {"AutoTokenizer": ["evil.Net", None]}},
    ),
    "tokenizer: file": ("tokenizer/tokenizer_config.json", {"tokenizer_file": "/etc/hostname"}),
    "tokenizer: path": ("tokenizer/tokenizer_config.json", {"vocab_file": "../../vocab.json"}),
    "tokenizer: class": ("tokenizer/tokenizer_config.json", {"tokenizer_class": "RagTokenizer"}),
    "sampler: class": ("scheduler/scheduler_config.json", {"_class_name": "Net"}),
    "sampler: repository": ("scheduler/scheduler_config.json", {"custom_pipeline": "evil/x"}),
}


@pytest.mark.parametrize("what", [*INDEXES, *CONFIGS])
def test_a_folder_that_names_code_or_leads_elsewhere_is_refused_unread(copy, what, monkeypatch):
    mark = plant_code(copy)
    file, fields = CONFIGS.get(what, ("model_index.json", INDEXES.get(what)))
    change(copy / file, **fields)
    for name in ("diffusers.StableDiffusionPipeline", "diffusers.UNet2DConditionModel"):
        monkeypatch.setattr(f"{name}.from_pretrained", pytest.fail)  # ours is the check
    part = next(iter(fields)) if what in INDEXES else file.partition("/")[0]
    message = refusal(copy)
    assert (part if what != "class in a module" else "evil") in message
    assert not mark.exists()


def test_code_that_lies_in_a_folder_is_not_run(copy):
    mark = plant_code(copy)  # also under the names that older versions of diffusers look for
    change(copy / "text_encoder/config.json", _name_or_path="someone/else")  # where it came from
    assert load_pipeline(str(copy), device="cpu").dtype == "float32"
    assert not mark.exists()


KINDS = {
    "Stable Diffusion XL": {"text_encoder_2": ["transformers", "CLIPTextModelWithProjection"]},
    "XL, which has two": {"_class_name": "StableDiffusionXLPipeline"},
    "a ControlNet": {"controlnet": ["diffusers", "ControlNetModel"]},
    "flow-matching": {"scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"]},
    "a flow-matching": {"_class_name": "FluxPipeline", "unet": None},
    "of a flow-matching": {"_class_name": "StableDiffusion3Pipeline", "unet": None},
    "a consistency model": {"_class_name": "LatentConsistencyModelPipeline"},
    "consistency model": {"scheduler": ["diffusers", "LCMScheduler"]},
    "an upscaler": {"_class_name": "StableDiffusionUpscalePipeline"},
    "the embedding of an image": {"_class_name": "StableDiffusionImageVariationPipeline"},
    "reads no sentence": {"_class_name": "DDPMPipeline", "unet": ["diffusers", "UNet2DModel"]},
    "a diffusion transformer": {"_class_name": "DiTPipeline", "unet": None},
    "model of videos": {"unet": ["diffusers", "UNet3DConditionModel"]},
}
NETWORKS = {
    "told a class": {"num_class_embeds": 1000},
    "class embedding": {"class_embed_type": "projection"},
    "Stable Diffusion XL": {"addition_embed_type": "text_time"},
    "reads no sentence": {
        "down_block_types": ["DownBlock2D"] * 2,
        "mid_block_type": "UNetMidBlock2D",
        "up_block_types": ["UpBlock2D"] * 2,
    },
}
SAMPLERS = {
    "a flow-matching": {"_class_name": "FlowMatchEulerDiscreteScheduler"},
    "flow-matching model": {"use_flow_sigmas": True},
    "flow-matching": {"prediction_type": "flow_prediction"},
}


@pytest.mark.parametrize(
    ("file", "kind", "fields"),
    [
        (file, kind, fields)
        for file, kinds in (
            ("model_index.json", KINDS),
            ("unet/config.json", NETWORKS),
            ("scheduler/scheduler_config.json", SAMPLERS),
        )
        for kind, fields in kinds.items()
    ],
)
def test_a_generator_of_another_shape_is_refused_by_the_name_of_its_kind(copy, file, kind, fields):
    change(copy / file, **fields)
    message = refusal(copy)
    assert kind in message
    assert "models of the shape of Stable Diffusion 1 and 2" in message


@pytest.mark.parametrize("name", ["config.json", "pytorch_lora_weights.safetensors"])
def test_a_part_alone_is_refused_by_the_name_of_its_kind(copy, name):
    (copy / "model_index.json").unlink()
    (copy / name).write_text('{"_class_name": "ControlNetModel"}')
    assert ("a LoRA" if "lora" in name else "a ControlNet") in refusal(copy)


@pytest.mark.parametrize(
    "name",
    [
        "model_index.json",
        "unet/config.json",
        "tokenizer/tokenizer.json",
        "tokenizer/tokenizer_config.json",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
    ],
)
def test_a_pointer_of_git_lfs_is_called_one(copy, name):
    (copy / "unet/diffusion_pytorch_model.bin").write_bytes(POINTER)  # not needed
    assert check_folder(copy)
    (copy / name).write_bytes(POINTER)
    assert f"{name} is a Git LFS pointer" in refusal(copy)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_weights_that_are_no_numbers_are_refused(copy, part, value):
    (weights,) = (copy / part).glob("*.safetensors")
    tensors = load_file(weights)
    tensors[min(tensors)].view(-1)[0] = float(value)
    save_file(tensors, weights, metadata={"format": "pt"})
    assert f"{part}/{weights.name} has values that are no numbers" in refusal(copy)


@pytest.mark.parametrize("part", ["unet", "text_encoder"])
def test_quantized_weights_and_adapters_are_refused(copy, part):
    (weights,) = (copy / part).glob("*.safetensors")
    tensors = load_file(weights)
    (copy / part / "adapter_config.json").write_text("{}")
    assert "adapter_config.json belongs to an adapter" in refusal(copy)
    (copy / part / "adapter_config.json").unlink()
    save_file({name: value.to(torch.int8) for name, value in tensors.items()}, weights)
    assert f"{part}/{weights.name} has quantized weights, first" in refusal(copy)


@pytest.mark.parametrize(
    ("file", "fields", "words"),
    [
        ("unet/config.json", {"layers_per_block": 10**6}, "layers_per_block says 1000000"),
        ("text_encoder/config.json", {"num_hidden_layers": 10**6}, "and there are 20 weights"),
        ("scheduler/scheduler_config.json", {"trained_betas": [0.1, 0.2]}, "each of 1000 steps"),
        ("scheduler/scheduler_config.json", {"num_train_timesteps": 0}, "each of 0 steps"),
        ("scheduler/scheduler_config.json", {"beta_end": float("nan")}, "(beta) in (0, 1]"),
    ],
)
def test_settings_that_make_no_numbers_are_noticed_at_loading(copy, file, fields, words):
    change(copy / file, **fields)
    assert words in refusal(copy)


@pytest.mark.parametrize("length", [None, 10**30, 1000])
def test_a_tokenizer_that_does_not_say_how_much_is_read_is_told(copy, length):
    (expected,) = draw(load_pipeline(str(copy), device="cpu"), ["a river"])
    change(copy / "tokenizer/tokenizer_config.json", model_max_length=length)
    (made,) = draw(load_pipeline(str(copy), device="cpu"), ["a river"])
    assert np.array_equal(made.image, expected.image)


def test_a_part_behind_a_link_counts_for_what_is_drawn(copy, tmp_path):
    other = tmp_path / "elsewhere"
    (copy / "unet").rename(other)
    (copy / "unet").symlink_to(other)
    (other / "round").symlink_to(copy)  # in circles
    (made,) = generate(load(copy), ["a river"], CONFIG, root=tmp_path)
    (weights,) = other.glob("*.safetensors")
    tensors = {name: 1.5 * value for name, value in load_file(weights).items()}
    save_file(tensors, weights, metadata={"format": "pt"})
    (again,) = generate(load(copy), ["a river"], CONFIG, root=tmp_path)
    assert not again.cached
    assert not np.array_equal(made.image, again.image)


def split_weights(path: Path) -> list[Path]:
    """Write a file of weights as two numbered parts with an index."""
    tensors, stem = load_file(path), path.stem
    paths = [path.with_name(f"{stem}-0000{i}-of-00002.safetensors") for i in (1, 2)]
    where = {name: paths[i % 2].name for i, name in enumerate(sorted(tensors))}
    for part in paths:
        inside = {name: tensors[name] for name in where if where[name] == part.name}
        save_file(inside, part, metadata={"format": "pt"})
    index = {"metadata": {"total_size": 1}, "weight_map": where}
    path.with_name(f"{path.name}.index.json").write_text(json.dumps(index))
    path.unlink()
    return paths


@pytest.mark.parametrize("part", ["unet", "text_encoder"])
@pytest.mark.parametrize("form", ["half", "half beside", "other beside", "parts"])
def test_weights_are_found_by_name_in_any_form(copy, part, form):
    (weights,) = (copy / part).glob("*.safetensors")
    half = weights.with_name(f"{weights.stem}.fp16.safetensors")
    expected = load_pipeline(str(copy), device="cpu")
    if form == "parts":
        split_weights(weights)
    elif form == "other beside":
        save_file({"a": torch.zeros(1)}, weights.with_name("aaa.safetensors"))
    else:
        shutil.copy(weights, half)
        if form == "half":
            weights.unlink()
    found = load_pipeline(str(copy), device="cpu")
    for name, value in getattr(found.pipeline, part).state_dict().items():
        assert torch.equal(value, getattr(expected.pipeline, part).state_dict()[name])


@pytest.mark.parametrize("form", ["two names", "two precisions", "part lost", "no index", "index"])
def test_weights_that_could_be_several_are_refused_and_never_guessed(copy, form, tmp_path):
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    names = {"two names": ("best", "last"), "two precisions": (".fp16", ".bf16")}.get(form)
    if names:
        for name in names:
            stem = weights.stem * name.startswith(".")
            shutil.copy(weights, weights.with_name(f"{stem}{name}.safetensors"))
        weights.unlink()
        message = refusal(copy)
        assert all(f"{name}.safetensors" in message for name in names)
        return
    _, second = split_weights(weights)
    index = weights.with_name(f"{weights.name}.index.json")
    if form == "part lost":
        second.unlink()
    elif form == "no index":
        index.unlink()
    else:
        index.write_text(index.read_text().replace(second.name, f"../../{second.name}"))
    words = {"part lost": "expected 2 numbered parts", "no index": "index.json is missing"}
    assert words.get(form, "names other files than") in refusal(copy)


def test_a_tokenizer_of_another_model_is_refused(copy):
    tokenizer = copy / "tokenizer/tokenizer.json"
    content = json.loads(tokenizer.read_text())
    content["model"]["vocab"] |= {f"word{i}": 2000 + i for i in range(500)}
    tokenizer.write_text(json.dumps(content))
    assert "of the same model" in refusal(copy)
