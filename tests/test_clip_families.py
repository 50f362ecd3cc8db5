"""CLIP families: checkpoints in each published form, against each family's own reference call.

No real file was at hand: names, files and configurations are those of the published ones, widths
are small and weights random.
"""

import copy
import dataclasses
import io
import json
import pickle
import shutil
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from logging import root as root_logger
from pathlib import Path

import open_clip
import pytest
import sentencepiece
import torch
import transformers
from conftest import noise_image
from safetensors.torch import load_file, save_file
from torch import Tensor

from course_utils.hub import locate, read_lock
from course_utils.runtime import data_root
from course_utils.zero_shot import (
    ACTIVATIONS,
    class_weights,
    embed_images,
    load_clip,
    zero_shot_logits,
)
from course_utils.zero_shot.folders import shapes_of, sketch

PROMPTS = ["a satellite photo of river", "A sea, with ice!", "harbor"]
IMAGES = [noise_image(1, size=(45, 70)), noise_image(2, size=(90, 31)), noise_image(3, size=(9, 9))]
WORDS = {"context_length": 24, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
VIT = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8}
RESNET = {"image_size": 32, "layers": [1, 1, 1, 2], "width": 8, "patch_size": None}
OPENAI = {  # as in open_clip_config.json of timm/vit_base_patch32_clip_224.openai
    "mean": [0.48145466, 0.4578275, 0.40821073],
    "std": [0.26862954, 0.26130258, 0.27577711],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}


@pytest.fixture(scope="module", autouse=True)
def architectures(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Teach open_clip small twins of the architectures, in its own way."""
    root = tmp_path_factory.mktemp("model_configs")
    for name, tower in {"tiny-ViT-B-32": VIT, "tiny-RN50": RESNET}.items():
        config = {"embed_dim": 16, "vision_cfg": tower, "text_cfg": WORDS}
        (root / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(root)


@pytest.fixture(autouse=True)
def small_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the lock's state dicts be of the small twins."""

    def twin(artifact):
        kind = "tiny-RN50" if artifact.settings.get("architecture") == "RN50" else "tiny-ViT-B-32"
        settings = {**artifact.settings, "architecture": kind}
        return dataclasses.replace(artifact, settings=settings)

    lock = {n: twin(a) if "architecture" in a.settings else a for n, a in read_lock().items()}
    for place in ("hub.places", "zero_shot.models"):
        monkeypatch.setattr(f"course_utils.{place}.read_lock", lambda path=None: lock)


def random_net(architecture: str, **options: object) -> open_clip.CLIP:
    """Build a network in the library's way, with weights that differ and matter."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = open_clip.create_model_and_transforms(architecture, **options)[0].eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in net.parameters():
            if value.ndim:
                value.add_(0.2 * torch.randn(value.shape, generator=generator))
    return net


def write_state(path: Path, state: object) -> Path:
    """Write a pickle as the authors did; returns the folder above the artifact's own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)
    return path


@pytest.fixture
def remoteclip(tmp_path: Path) -> Path:
    """Lay RemoteCLIP out as a download of one file; the folder is one for COURSE_MODELS."""
    state = OrderedDict(random_net("tiny-ViT-B-32").state_dict())
    write_state(tmp_path / "remoteclip_vit_b_32/RemoteCLIP-ViT-B-32.pt", state)
    return tmp_path


def load_remoteclip(models: Path, **options: object):
    return load_clip("remoteclip_vit_b_32", models=models, device="cpu", **options)


def unit(rows: Tensor) -> Tensor:
    return rows / rows.norm(dim=-1, keepdim=True)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(
    ("name", "file", "architecture"),
    [
        ("remoteclip_vit_b_32", "RemoteCLIP-ViT-B-32.pt", "tiny-ViT-B-32"),
        ("remoteclip_rn50", "RemoteCLIP-RN50.pt", "tiny-RN50"),
        ("georsclip_vit_l_14", "ckpt/RS5M_ViT-L-14.pt", "tiny-ViT-B-32"),
    ],
)
def test_a_state_dict_gives_what_its_authors_recipe_gives(
    tmp_path, name, file, architecture, activation
):
    path = write_state(tmp_path / name / file, random_net(architecture).state_dict())
    clip = load_clip(name, models=tmp_path, device="cpu", activation=activation)

    quick = {"force_quick_gelu": activation == "quickgelu"}
    with torch.random.fork_rng(devices=[]):
        net, _, preprocess = open_clip.create_model_and_transforms(architecture, **quick)
    state = torch.load(path, map_location="cpu", weights_only=True)
    assert str(net.load_state_dict(state)) == "<All keys matched successfully>"
    images = torch.stack([preprocess(image) for image in IMAGES])
    with torch.no_grad():
        features = net.eval().encode_image(images)
        words = net.encode_text(open_clip.get_tokenizer(architecture)(PROMPTS))

    assert torch.equal(torch.stack([clip.preprocess(image) for image in IMAGES]), images)
    torch.testing.assert_close(clip.encode_image(images), unit(features))
    torch.testing.assert_close(clip.encode_text(PROMPTS), unit(words))
    assert clip.logit_scale == pytest.approx(net.logit_scale.exp().item())
    assert (clip.logit_bias, clip.image_size, clip.activation) == (0.0, 32, activation)
    assert (clip.name, clip.origin, clip.stand_in_for) == (name, "local", None)
    assert clip.family == name.split("_")[0]


def test_remoteclip_has_quickgelu_unless_asked_and_says_why(remoteclip):
    usual, plain = load_remoteclip(remoteclip), load_remoteclip(remoteclip, activation="gelu")
    assert (usual.activation, plain.activation) == ("quickgelu", "gelu")
    assert "OpenAI" in usual.activation_reason
    assert "asked" in plain.activation_reason
    images = torch.stack([usual.preprocess(image) for image in IMAGES])
    for encode in ("encode_image", "encode_text"):
        inputs = images if encode == "encode_image" else PROMPTS
        rows, others = (getattr(clip, encode)(inputs) for clip in (usual, plain))
        assert (rows - others).abs().max() > 1e-3
    assert usual.fingerprint != plain.fingerprint  # their features are kept apart


@pytest.mark.parametrize(
    ("name", "usual"), [("georsclip_vit_b_32", "quickgelu"), ("georsclip_vit_h_14", "gelu")]
)
def test_an_activation_that_the_weights_were_not_made_for_is_warned_of(tmp_path, name, usual):
    write_state(tmp_path / name / "weights.pt", random_net("tiny-ViT-B-32").state_dict())
    assert load_clip(name, models=tmp_path, device="cpu").activation == usual
    (other,) = set(ACTIVATIONS) - {usual}
    with pytest.warns(UserWarning, match=rf"{name} was trained with {usual}; with {other} "):
        clip = load_clip(name, models=tmp_path, device="cpu", activation=other)
    assert clip.activation == other


def test_an_unknown_activation_is_refused():
    with pytest.raises(ValueError, match="expected quickgelu or gelu, got 'relu'"):
        load_clip(activation="relu")


def write_openai(root: Path, tower: dict, **settings: object) -> None:
    """Write a folder as timm's copies of OpenAI's weights are on the hub."""
    config = {"embed_dim": 16, **settings, "vision_cfg": tower, "text_cfg": WORDS}
    architecture = "tiny-ViT-B-32" if tower is VIT else "tiny-RN50"
    root.mkdir(parents=True)
    content = {"model_cfg": config, "preprocess_cfg": OPENAI}
    (root / "open_clip_config.json").write_text(json.dumps(content))
    (root / "config.json").write_text('{"architecture": "vit_base_patch32_clip_224"}')
    save_file(random_net(architecture).state_dict(), root / "open_clip_model.safetensors")
    save_file({"head.weight": torch.zeros(1)}, root / "model.safetensors")  # timm's own


@pytest.mark.parametrize("tower", [VIT, RESNET], ids=["ViT", "ResNet"])
def test_openais_clip_gives_what_open_clip_gives(tmp_path, tower):
    write_openai(tmp_path / "clip_vit_b_32", tower, quick_gelu=True)
    clip = load_clip("clip_vit_b_32", models=tmp_path, device="cpu")
    source = f"local-dir:{tmp_path / 'clip_vit_b_32'}"
    with torch.random.fork_rng(devices=[]):
        net, _, preprocess = open_clip.create_model_and_transforms(source)
    images = torch.stack([preprocess(image) for image in IMAGES])
    with torch.no_grad():
        features, words = (
            net.eval().encode_image(images),
            net.encode_text(open_clip.tokenize(PROMPTS, context_length=24)),
        )
    assert torch.equal(torch.stack([clip.preprocess(image) for image in IMAGES]), images)
    torch.testing.assert_close(clip.encode_image(images), unit(features))
    torch.testing.assert_close(clip.encode_text(PROMPTS), unit(words))
    assert (clip.family, clip.activation) == ("openai", "quickgelu")


def test_a_configuration_that_forgets_quickgelu_is_corrected_where_the_weights_are_known(tmp_path):
    write_openai(tmp_path / "clip_rn50", RESNET)  # as timm/resnet50_clip.openai was at first
    write_openai(tmp_path / "right", RESNET, quick_gelu=True)
    known = load_clip("clip_rn50", models=tmp_path, device="cpu")
    right = load_clip(str(tmp_path / "right"), device="cpu")
    unknown = load_clip(str(tmp_path / "clip_rn50"), device="cpu")
    assert (known.activation, right.activation, unknown.activation) == (*["quickgelu"] * 2, "gelu")
    assert "2.29" in known.activation_reason
    assert "open_clip_config.json" in unknown.activation_reason
    assert torch.equal(known.encode_text(PROMPTS), right.encode_text(PROMPTS))
    assert not torch.equal(known.encode_text(PROMPTS), unknown.encode_text(PROMPTS))


SIGLIP_TEXT = {  # names and defaults as in config.json of lcybuaa/Git-RSCLIP
    "hidden_size": 32,
    "intermediate_size": 64,
    "model_type": "siglip_text_model",
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "vocab_size": 60,
    "max_position_embeddings": 64,
}
SIGLIP_IMAGE = {
    "hidden_size": 32,
    "image_size": 32,
    "intermediate_size": 64,
    "model_type": "siglip_vision_model",
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "patch_size": 8,
}


def write_siglip(root: Path) -> None:
    """Write a folder as Git-RSCLIP's on the hub: seven files, weights in 16 bits."""
    from transformers import SiglipConfig, SiglipModel
    from transformers.utils import logging

    root.mkdir(parents=True)
    towers = {"text_config": SIGLIP_TEXT, "vision_config": SIGLIP_IMAGE}
    named = {"architectures": ["SiglipModel"], "initializer_factor": 1.0, "model_type": "siglip"}
    written = {"torch_dtype": "float16", "transformers_version": "4.45.2"}
    write_json(root / "config.json", {**named, **written, **towers})
    logging.set_verbosity_error()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = SiglipModel(SiglipConfig(**towers))
    logging.set_verbosity_warning()
    state = net.state_dict()
    state["logit_scale"], state["logit_bias"] = torch.tensor([4.7]), torch.tensor([-12.9])
    save_file(
        {name: value.half().contiguous() for name, value in state.items()},
        root / "model.safetensors",
        metadata={"format": "pt"},
    )
    write_tokenizer(root)
    write_json(
        root / "preprocessor_config.json",
        {
            **dict.fromkeys(["do_normalize", "do_rescale", "do_resize"], True),
            **{"image_mean": [0.5] * 3, "image_std": [0.5] * 3},
            "image_processor_type": "SiglipImageProcessor",
            "processor_class": "SiglipProcessor",
            "resample": 3,
            "rescale_factor": 0.00392156862745098,
            "size": {"height": 32, "width": 32},
        },
    )


def write_tokenizer(root: Path) -> None:
    """Train a small vocabulary with the special tokens where SigLIP has them."""
    names = ["river", "sea with ice", "harbor", "forest", "airport", "lake", "annual crop"]
    sentences = [f"a satellite photo of {name} and {other}" for name in names for other in names]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=model,
        vocab_size=60,
        hard_vocab_limit=False,
        **{"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1},
        minloglevel=2,
    )
    (root / "spiece.model").write_bytes(model.getvalue())
    special = {"lstrip": True, "normalized": False, "rstrip": True, "single_word": False}
    tokens = {
        str(i): {"content": content, **special, "special": True}
        for i, content in ((1, "</s>"), (2, "<unk>"))
    }
    roles = {"eos_token": "</s>", "pad_token": "</s>", "unk_token": "<unk>"}
    write_json(root / "special_tokens_map.json", roles)
    write_json(
        root / "tokenizer_config.json",
        {
            "added_tokens_decoder": tokens,
            **roles,
            "clean_up_tokenization_spaces": True,
            "do_lower_case": True,
            "model_input_names": ["input_ids"],
            "model_max_length": 64,
            "processor_class": "SiglipProcessor",
            "sp_model_kwargs": {},
            "tokenizer_class": "SiglipTokenizer",
        },
    )


def write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2))


@pytest.fixture(scope="module")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = tmp_path_factory.mktemp("models")
    write_siglip(models / "git_rsclip")
    return models


@pytest.fixture
def damaged(siglip: Path, tmp_path: Path) -> Path:
    """A folder of Git-RSCLIP's form that a test may damage."""
    return shutil.copytree(siglip / "git_rsclip", tmp_path / "damaged")


@contextmanager
def quiet_transformers() -> Iterator[None]:
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    yield
    logging.set_verbosity_warning()
    logging.enable_progress_bar()


def reference(root: Path, *, padding: str = "max_length") -> tuple:
    """Do what the model card does, in single precision."""
    from transformers import AutoModel, AutoProcessor

    with quiet_transformers():
        model = AutoModel.from_pretrained(root, dtype=torch.float32)
        processor = AutoProcessor.from_pretrained(root)
    inputs = processor(text=PROMPTS, images=IMAGES, padding=padding, return_tensors="pt")
    with torch.no_grad():
        return inputs, model(**inputs)


def test_git_rsclip_gives_what_its_model_card_gives(siglip):
    clip = load_clip("git_rsclip", models=siglip, device="cpu")
    inputs, outputs = reference(siglip / "git_rsclip")
    assert inputs["input_ids"].shape == (3, 64)
    images = torch.stack([clip.preprocess(image) for image in IMAGES])
    torch.testing.assert_close(images, inputs["pixel_values"])
    features, weights = clip.encode_image(images), class_weights(clip, PROMPTS, ["{}"])
    torch.testing.assert_close(features, unit(outputs.image_embeds))
    torch.testing.assert_close(weights, unit(outputs.text_embeds))
    scale = {"logit_scale": clip.logit_scale, "logit_bias": clip.logit_bias}
    logits = zero_shot_logits(features, weights, **scale)
    torch.testing.assert_close(logits, outputs.logits_per_image, rtol=1e-4, atol=1e-4)
    assert scale == pytest.approx({"logit_scale": 109.9, "logit_bias": -12.9}, rel=0.01)
    assert (clip.family, clip.image_size) == ("git_rsclip", 32)
    assert clip.activation == "gelu_pytorch_tanh"
    assert next(clip.net.parameters()).dtype == torch.float32  # the file has 16 bits


def test_loading_says_nothing_and_leaves_bars_and_remarks_as_they_were(siglip, remoteclip, capfd):
    from transformers.utils import logging

    disabled = root_logger.manager.disable
    load_clip("git_rsclip", models=siglip, device="cpu")
    load_remoteclip(remoteclip)
    assert capfd.readouterr() == ("", "")
    assert logging.is_progress_bar_enabled()
    assert root_logger.manager.disable == disabled


def test_git_rsclip_reads_the_padding_so_that_shorter_prompts_are_not_the_same(siglip):
    clip = load_clip("git_rsclip", models=siglip, device="cpu")
    _, short = reference(siglip / "git_rsclip", padding="longest")
    assert (clip.encode_text(PROMPTS) - unit(short.text_embeds)).abs().max() > 1e-3


def test_a_siglip_folder_loads_by_its_path_and_has_one_activation(siglip):
    clip = load_clip(siglip / "git_rsclip", device="cpu")
    assert (clip.family, clip.name) == ("siglip", "git_rsclip")
    assert "config.json" in clip.activation_reason
    with pytest.raises(ValueError, match="gelu_pytorch_tanh, as trained; leave activation= out"):
        load_clip("git_rsclip", models=siglip, device="cpu", activation="gelu")


@pytest.fixture(scope="module")
def hugging_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as OpenAI's own on the hub (openai/clip-vit-base-patch32), in transformers' form."""
    from transformers import CLIPConfig, CLIPModel

    root = tmp_path_factory.mktemp("models") / "clip-vit-tiny"
    root.mkdir()
    for name in ("vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(data_root() / "models/small_clip" / name, root)
    tower = {"hidden_size": 32, "intermediate_size": 64, "hidden_act": "quick_gelu"}
    tower |= {"num_attention_heads": 2, "num_hidden_layers": 2, "projection_dim": 16}
    words = {"vocab_size": 1997, "max_position_embeddings": 40, "eos_token_id": 2}
    towers = {
        "text_config": {**tower, **words, "model_type": "clip_text_model"},
        "vision_config": {**tower, "image_size": 32, "patch_size": 8},
    }
    named = {"architectures": ["CLIPModel"], "model_type": "clip", "projection_dim": 16}
    write_json(root / "config.json", {**named, "logit_scale_init_value": 2.6592, **towers})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = CLIPModel(CLIPConfig(**towers, projection_dim=16)).state_dict()
    for kind in ("text", "vision"):  # as files of older versions have them
        state[f"{kind}_model.embeddings.position_ids"] = torch.arange(17)[None]
    save_file(state, root / "model.safetensors", metadata={"format": "pt"})
    content = {"crop_size": 32, "size": 32, "feature_extractor_type": "CLIPFeatureExtractor"}
    content |= dict.fromkeys(["do_center_crop", "do_normalize", "do_resize"], True)
    content |= {"image_mean": OPENAI["mean"], "image_std": OPENAI["std"], "resample": 3}
    write_json(root / "preprocessor_config.json", content)
    return root


def test_a_clip_of_transformers_gives_what_transformers_gives(hugging_clip):
    from transformers import AutoProcessor, CLIPModel

    clip = load_clip(str(hugging_clip), device="cpu")
    processor = AutoProcessor.from_pretrained(hugging_clip)
    inputs = processor(text=PROMPTS, images=IMAGES, padding=True, return_tensors="pt")
    with quiet_transformers(), torch.no_grad():
        outputs = CLIPModel.from_pretrained(hugging_clip).eval()(**inputs)
    images = torch.stack([clip.preprocess(image) for image in IMAGES])
    torch.testing.assert_close(images, inputs["pixel_values"])
    features, weights = clip.encode_image(images), clip.encode_text(PROMPTS)
    torch.testing.assert_close(features, outputs.image_embeds)
    torch.testing.assert_close(weights, outputs.text_embeds)
    logits = zero_shot_logits(features, weights, logit_scale=clip.logit_scale)
    torch.testing.assert_close(logits, outputs.logits_per_image, rtol=1e-4, atol=1e-4)
    assert (clip.family, clip.activation, clip.logit_bias) == ("clip", "quickgelu", 0.0)
    assert "config.json says so" in clip.activation_reason
    with pytest.raises(ValueError, match=r"quickgelu, as trained; leave activation= out"):
        load_clip(str(hugging_clip), device="cpu", activation="gelu")


def test_a_clip_of_transformers_with_another_depth_is_described(hugging_clip, tmp_path):
    root = shutil.copytree(hugging_clip, tmp_path / "damaged")
    content = json.loads((root / "config.json").read_text())
    content["vision_config"]["num_hidden_layers"] = 3
    write_json(root / "config.json", content)
    words = r"it holds a ViT \(2 layers of width 32, 8-pixel patches\); .* is a ViT \(3 layers"
    with pytest.raises(ValueError, match=words):
        load_clip(str(root), device="cpu")


@pytest.mark.parametrize("family", ["open_clip", "siglip"])
def test_networks_can_be_counted_and_a_copy_be_trained(remoteclip, siglip, family):
    name, models = {
        "open_clip": ("remoteclip_vit_b_32", remoteclip),
        "siglip": ("git_rsclip", siglip),
    }[family]
    clip = load_clip(name, models=models, device="cpu")
    weights = [path for path in (models / name).iterdir() if path.suffix in (".pt", ".safetensors")]
    read = load_file if weights[0].suffix == ".safetensors" else torch.load
    num_stored = sum(value.numel() for value in read(weights[0]).values())
    assert sum(value.numel() for value in clip.net.parameters()) == num_stored
    images = torch.stack([clip.preprocess(image) for image in IMAGES])
    net = copy.deepcopy(clip.net).requires_grad_(True)
    rows = embed_images(net, images)
    torch.testing.assert_close(rows.detach(), clip.encode_image(images))
    rows[0, 0].backward()
    assert any(value.grad is not None for value in net.parameters())
    assert not any(value.requires_grad for value in clip.net.parameters())


def test_offline_the_small_clip_stands_in_and_keeps_its_activation():
    clip = load_clip("remoteclip_vit_b_32", device="cpu", activation="quickgelu")
    assert (clip.name, clip.origin) == ("small_clip", "stand-in")
    assert clip.stand_in_for == "remoteclip_vit_b_32"
    assert (clip.activation, clip.family) == ("gelu", "open_clip")


def test_what_could_not_be_fetched_is_said_loudly(monkeypatch):
    answer = (None, ("the hub (lcybuaa/Git-RSCLIP): refused",))
    monkeypatch.setattr("course_utils.hub.places.fetch", lambda artifact, cache: answer)
    with pytest.warns(
        UserWarning, match=r"git_rsclip could not be fetched, so small_clip .*refused"
    ):
        load_clip("git_rsclip", device="cpu", remote=True)


def test_the_lock_knows_every_family():
    lock = {name: entry for name, entry in read_lock().items() if entry.role == "clip"}
    families = {entry.settings.get("family") for entry in lock.values()}
    assert families == {None, "openai", "remoteclip", "georsclip", "git_rsclip"}
    for name, entry in lock.items():
        if name == "small_clip":
            continue
        assert (entry.stand_in, "https://hf-mirror.com" in entry.mirrors) == ("small_clip", True)
        if "architecture" in entry.settings:
            assert entry.settings["architecture"] in open_clip.list_models()
            assert set(entry.settings["activations"]) <= set(ACTIVATIONS)
        for file in entry.files:
            assert file.endswith(f"{entry.settings['architecture']}.pt")
    assert lock["git_rsclip"].modelscope == "lcybuaa1111/Git-RSCLIP"
    assert lock["remoteclip_vit_b_32"].num_bytes == 605208421


# Bad input


class Malicious:
    """A pickle that runs code when it is opened as pickles are."""

    def __reduce__(self) -> tuple:
        return exec, ("raise SystemExit('foreign code was run')",)


BAD_STATES = {
    "a missing key": (lambda s: s.pop("logit_scale"), "missing: logit_scale"),
    "an unexpected key": (lambda s: s.update(extra=s["logit_scale"]), "unexpected: extra"),
    "another shape": (
        lambda s: s.update(text_projection=torch.zeros(32, 8)),
        r"of another shape: text_projection \(32, 8\) for \(32, 16\)",
    ),
    "a telling weight without axes": (
        lambda s: s.update({"visual.conv1.weight": torch.zeros(3)}),
        r"of another shape: visual\.conv1\.weight \(3,\) for",
    ),
    "many missing keys": (
        lambda s: [s.pop(k) for k in list(s) if "ln_" in k and "weight" in k] and None,
        r"missing: .* and \d+ more",
    ),
    "not a tensor": (lambda s: s.update(step=3), "no plain state dict.*'step': int"),
    "a list": (lambda s: list(s.values()), "no plain state dict.*list"),
    "nothing": (lambda s: {}, "no plain state dict.*nothing"),
    "code": (lambda s: {"state_dict": Malicious()}, "no plain state dict.*run any code"),
    "a whole network": (lambda s: torch.nn.Identity(), "no plain state dict.*run any code"),
}


@pytest.mark.parametrize("what", BAD_STATES)
def test_a_state_dict_that_is_wrong_is_refused_and_the_reason_named(remoteclip, what):
    path = remoteclip / "remoteclip_vit_b_32/RemoteCLIP-ViT-B-32.pt"
    change, message = BAD_STATES[what]
    state = torch.load(path)
    result = change(state)
    kept = state if result is None or isinstance(result, Tensor) else result
    torch.save(kept, path)
    with pytest.raises(ValueError, match=rf"RemoteCLIP-ViT-B-32\.pt.*{message}") as caught:
        load_remoteclip(remoteclip)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "old pickle", "program"])
def test_a_damaged_or_foreign_file_is_refused(remoteclip, damage):
    path = remoteclip / "remoteclip_vit_b_32/RemoteCLIP-ViT-B-32.pt"
    data = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_text("<html>Entry not found</html>")
    elif damage == "old pickle":
        path.write_bytes(pickle.dumps(Malicious()))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("RN50/constants.pkl", b"")
            archive.writestr("RN50/code/__torch__.py", b"")
    message = {"truncated": "damaged or cut short", "empty": "damaged", "program": "TorchScript"}
    with pytest.raises(ValueError, match=message.get(damage, "no plain state dict")):
        load_remoteclip(remoteclip)


def test_another_architecture_is_described_before_anything_is_loaded(remoteclip, monkeypatch):
    path = remoteclip / "remoteclip_vit_b_32/RemoteCLIP-ViT-B-32.pt"
    write_state(path, random_net("tiny-RN50").state_dict())

    def load(*args: object, **options: object) -> None:
        raise AssertionError("tried to load it")

    monkeypatch.setattr(torch.nn.Module, "load_state_dict", load)
    expected = (
        r"RemoteCLIP-ViT-B-32\.pt is not of tiny-ViT-B-32: it holds a ResNet \(1-1-1-2 blocks of "
        r"width 8\); tiny-ViT-B-32 is a ViT \(2 layers of width 32, 8-pixel patches\)"
    )
    with pytest.raises(ValueError, match=expected):
        load_remoteclip(remoteclip)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("RN50", "a ResNet (3-4-6-3 blocks of width 64)"),
        ("ViT-B-32", "a ViT (12 layers of width 768, 32-pixel patches)"),
        ("ViT-L-14-336", "a ViT (24 layers of width 1024, 14-pixel patches)"),
    ],
)
def test_the_published_architectures_are_recognised_by_their_shapes(name, expected):
    config = open_clip.get_model_config(name)
    with torch.device("meta"):
        state = open_clip.CLIP(**config).state_dict()
    assert sketch(shapes_of(state)) == expected
    assert sketch({"fc.weight": (10, 3)}) is None


def test_training_checkpoints_and_parallel_ones_are_unwrapped(remoteclip):
    expected = load_remoteclip(remoteclip).encode_text(PROMPTS)
    path = remoteclip / "remoteclip_vit_b_32/RemoteCLIP-ViT-B-32.pt"
    state = {f"module.{name}": value for name, value in torch.load(path).items()}
    for extra in ("module.input_resolution", "module.context_length", "module.vocab_size"):
        state[extra] = torch.tensor(1)
    torch.save({"epoch": 5, "state_dict": state}, path)
    assert torch.equal(load_remoteclip(remoteclip).encode_text(PROMPTS), expected)
    torch.save(state, path, _use_new_zipfile_serialization=False)  # as before torch 1.6
    assert torch.equal(load_remoteclip(remoteclip).encode_text(PROMPTS), expected)


def test_of_several_files_the_one_of_the_architecture_is_taken(remoteclip, tmp_path):
    folder = remoteclip / "remoteclip_vit_b_32"
    (folder / "RemoteCLIP-ViT-B-32.pt").rename(folder / "RemoteCLIP-tiny-ViT-B-32.pt")
    write_state(folder / "RemoteCLIP-RN50.pt", random_net("tiny-RN50").state_dict())
    assert load_remoteclip(remoteclip).image_size == 32
    (folder / "RemoteCLIP-tiny-ViT-B-32.pt").rename(folder / "one.pt")
    with pytest.raises(
        ValueError, match=r"it holds RemoteCLIP-RN50\.pt, one\.pt; keep the one for"
    ):
        load_remoteclip(remoteclip)
    with pytest.raises(ValueError, match=r"does not say which architecture.*COURSE_MODELS"):
        load_clip(str(folder))


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("RemoteCLIP-tiny-ViT-B-32.pt", "remoteclip_vit_b_32"),
        ("RemoteCLIP-tiny-RN50.pt", "remoteclip_rn50"),
        ("ckpt/RS5M_tiny-ViT-B-32.pt", "georsclip_vit_b_32"),
    ],
)
def test_a_file_with_its_published_name_is_known_in_any_folder(tmp_path, file, name):
    architecture = "tiny-RN50" if "RN50" in file else "tiny-ViT-B-32"
    for folder in ("anywhere", name):
        write_state(tmp_path / folder / file, random_net(architecture).state_dict())
    found = load_clip(str(tmp_path / "anywhere"), device="cpu")
    expected = load_clip(name, models=tmp_path, device="cpu")
    assert (found.name, found.family, found.activation, found.activation_reason) == (
        *("anywhere", expected.family, "quickgelu", expected.activation_reason),
    )
    assert torch.equal(found.encode_text(PROMPTS), expected.encode_text(PROMPTS))


@pytest.mark.parametrize("file", ["RemoteCLIP-ViT-B-32.pt", "open_clip_pytorch_model.bin"])
def test_beside_a_configuration_a_plain_state_dict_does_as_well(tmp_path, file):
    write_openai(tmp_path / "right", VIT, quick_gelu=True)
    shutil.copytree(tmp_path / "right", tmp_path / "other")
    (tmp_path / "other/open_clip_model.safetensors").rename(tmp_path / "other/x")
    (tmp_path / "other/model.safetensors").unlink()
    path = write_state(tmp_path / "other" / file, load_file(tmp_path / "other/x"))
    right, other = (load_clip(str(tmp_path / name), device="cpu") for name in ("right", "other"))
    assert (other.family, other.activation) == ("open_clip", "quickgelu")
    assert torch.equal(other.encode_text(PROMPTS), right.encode_text(PROMPTS))
    torch.save({k: v + 1 for k, v in load_file(tmp_path / "other/x").items()}, path)
    assert load_clip(str(tmp_path / "other"), device="cpu").fingerprint != other.fingerprint
    torch.save({"state_dict": Malicious()}, path)
    with pytest.raises(ValueError, match=r"no plain state dict.*run any code"):
        load_clip(str(tmp_path / "other"), device="cpu")


SIGLIP_DAMAGE = {
    "truncated": r"model\.safetensors is damaged or cut short",
    "missing key": r"model\.safetensors does not fit .*config\.json says; missing: logit_bias",
    "another architecture": (
        r"model\.safetensors is not of .*: it holds a ViT \(2 layers of width 32, 8-pixel "
        r"patches\); .* is a ViT \(3 layers"
    ),
    "pickle": r"no \*\.safetensors beside config\.json",
    "another size": "images are resized to .*64.*, but the network takes 32 x 32",
    "another model": r"no config\.json with model_type siglip",
    "no vocabulary": "does not load",
}


@pytest.mark.parametrize("damage", SIGLIP_DAMAGE)
def test_a_siglip_folder_that_is_wrong_is_refused_and_the_reason_named(damaged, damage):
    weights, config = damaged / "model.safetensors", damaged / "config.json"
    content = json.loads(config.read_text())
    if damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "missing key":
        state = load_file(weights)
        save_file({k: v for k, v in state.items() if k != "logit_bias"}, weights)
    elif damage == "another architecture":
        content["vision_config"]["num_hidden_layers"] = 3
    elif damage == "pickle":
        torch.save(load_file(weights), damaged / "pytorch_model.bin")
        weights.unlink()
    elif damage == "another size":
        path = damaged / "preprocessor_config.json"
        path.write_text(path.read_text().replace("32", "64"))
    elif damage == "another model":  # as MVRL/remote-clip-vit-base-patch32 has it
        content = {"model_name": "ViT-B-32"}
    else:
        (damaged / "spiece.model").unlink()
    write_json(config, content)
    with pytest.raises(ValueError, match=SIGLIP_DAMAGE[damage]) as caught:
        load_clip(str(damaged), device="cpu")
    assert "damaged does not load" in str(caught.value)
    assert "\n" not in str(caught.value)


def change(path: Path, *inside: str, **fields: object) -> None:
    content = json.loads(path.read_text()) if path.is_file() else {}
    at = content
    for key in inside:
        at = at.setdefault(key, {})
    at.update(fields)
    write_json(path, content)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n"
TEXT, IMAGE = ("model_cfg", "text_cfg"), ("model_cfg", "vision_cfg")
WORDS_READ = (*TEXT, "tokenizer_kwargs")
OWN = {"AutoTokenizer": ["evil.Own", None], "AutoProcessor": "evil.Own", "AutoModel": "evil.Own"}
LEADING_OUT = {  # family, file, where in it, fields
    "trust in tokenizer": (
        "open_clip",
        "",
        (*TEXT, "tokenizer_kwargs"),
        {"trust_remote_code": True},
    ),
    "folder in tokenizer": ("open_clip", "", WORDS_READ, {"subfolder": "x"}),
    "number in tokenizer": ("open_clip", "", WORDS_READ, {"revision": 1}),
    "text tower of the hub": ("open_clip", "", TEXT, {"hf_model_name": "roberta-base"}),
    "image tower of the hub": ("open_clip", "", IMAGE, {"timm_model_name": "hf-hub:evil/x"}),
    "image tower elsewhere": ("open_clip", "", IMAGE, {"timm_model_name": "local-dir:/etc"}),
    "weights elsewhere": ("open_clip", "", ("model_cfg",), {"pretrained": "/etc/x.pt"}),
    "own tokenizer": ("open_clip", "tokenizer_config.json", (), {"auto_map": OWN}),
    "class of tokenizer": (
        "open_clip",
        "tokenizer_config.json",
        (),
        {"tokenizer_class": "RagTokenizer"},
    ),
    "own network": ("siglip", "config.json", (), {"auto_map": OWN}),
    "kernel": ("siglip", "config.json", ("vision_config",), {"attn_implementation": "evil/x"}),
    "trust": ("siglip", "config.json", (), {"trust_remote_code": True}),
    "own images": ("siglip", "preprocessor_config.json", (), {"auto_map": OWN}),
    "class of images": ("siglip", "preprocessor_config.json", (), {"image_processor_type": "Own"}),
    "own processor": ("siglip", "processor_config.json", (), {"processor_class": "OwnProcessor"}),
    "own words": ("siglip", "tokenizer_config.json", (), {"auto_map": OWN}),
    "sound of the hub": (
        "siglip",
        "audio_tokenizer_config.json",
        (),
        {"audio_tokenizer_name_or_path": "evil/x"},
    ),
    "quantizer": ("siglip", "config.json", (), {"quantization_config": {"load_in_8bit": True}}),
    "adapter": ("siglip", "adapter_config.json", (), {"base_model_name_or_path": "evil/x"}),
    "vocabulary elsewhere": ("siglip", "tokenizer_config.json", (), {"vocab_file": "/etc/hosts"}),
    "tokens elsewhere": ("siglip", "special_tokens_map.json", (), {"vocab_file": "/etc/hosts"}),
}


@pytest.fixture
def folder_of(damaged: Path, tmp_path: Path):
    """Give a folder of a family that a test may damage, with code beside that leaves a mark."""

    def copy_of(family: str) -> Path:
        root = damaged
        if family == "open_clip":
            root = shutil.copytree(locate("small_clip").root, tmp_path / "small" / "damaged")
        mark = f"import pathlib\npathlib.Path({str(tmp_path / 'mark')!r}).touch()\n"
        (root / "evil.py").write_text(mark)
        return root

    return copy_of


@pytest.mark.parametrize("what", LEADING_OUT)
def test_a_clip_folder_that_names_code_or_leads_elsewhere_is_refused(folder_of, tmp_path, what):
    family, file, inside, fields = LEADING_OUT[what]
    root = folder_of(family)
    (field,) = fields
    change(root / (file or "open_clip_config.json"), *inside, **fields)
    with pytest.raises(ValueError, match=rf"{file or 'open_clip_config.json'}.*{field}") as caught:
        load_clip(str(root), device="cpu")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "mark").exists()


def test_where_a_model_came_from_is_a_note_and_never_followed(folder_of, tmp_path):
    root = folder_of("open_clip")
    change(root / "open_clip_config.json", *TEXT, hf_tokenizer_name="evil/repository")
    change(root / "config.json", auto_map=OWN, model_type="evil")  # timm's, of no use here
    expected = load_clip(device="cpu").encode_text(PROMPTS)
    assert torch.equal(load_clip(str(root), device="cpu").encode_text(PROMPTS), expected)
    assert not (tmp_path / "mark").exists()


SETTINGS = {  # that are numbers, and make none: family, file, where in it, fields, what is said
    "layers": ("open_clip", "", TEXT, {"layers": 10**6}, "layers says 1000000, and there are"),
    "spread": (
        "open_clip",
        "",
        ("preprocess_cfg",),
        {"std": [0.0, 1.0, 1.0]},
        "images prepared as numb",
    ),
    "NaN": ("open_clip", "", ("preprocess_cfg",), {"mean": [float("nan")] * 3}, "from nan to nan"),
    "two colors": (
        "open_clip",
        "",
        ("preprocess_cfg",),
        {"mean": [0.5, 0.5], "std": [0.5, 0.5]},
        r"\(2\)",
    ),
    "deep": (
        "siglip",
        "config.json",
        ("vision_config",),
        {"num_hidden_layers": 10**6},
        "layers says 1000000, and there are",
    ),
    "filter": ("siglip", "preprocessor_config.json", (), {"resample": 99}, "does not load"),
    "one color": ("siglip", "preprocessor_config.json", (), {"image_mean": 0.5}, "does not load"),
}


@pytest.mark.parametrize("what", SETTINGS)
def test_settings_that_make_no_numbers_are_noticed_at_loading(folder_of, what):
    family, file, inside, fields, words = SETTINGS[what]
    root = folder_of(family)
    change(root / (file or "open_clip_config.json"), *inside, **fields)
    with pytest.raises(ValueError, match=words):
        load_clip(str(root), device="cpu")


@pytest.mark.parametrize("how", ["bytes", "shares", "nothing"])
def test_images_are_scaled_as_the_settings_say(folder_of, how):
    root = folder_of("siglip")
    fields = {
        "bytes": {"rescale_factor": 1.0, "image_mean": [90, 100, 110], "image_std": [50, 60, 70]},
        "shares": {"do_rescale": False, "image_mean": [90, 100, 110], "image_std": [50, 60, 70]},
        "nothing": {"do_normalize": False},
    }[how]
    change(root / "preprocessor_config.json", **fields)
    clip = load_clip(str(root), device="cpu")
    reader = transformers.AutoImageProcessor.from_pretrained(
        root, local_files_only=True, trust_remote_code=False
    )
    expected = reader(images=IMAGES[0], return_tensors="pt")["pixel_values"][0]
    torch.testing.assert_close(clip.preprocess(IMAGES[0]), expected)


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool])
def test_quantized_weights_are_not_taken_for_numbers(folder_of, dtype):
    root = folder_of("open_clip")
    weights = root / "open_clip_model.safetensors"
    save_file({name: value.to(dtype) for name, value in load_file(weights).items()}, weights)
    with pytest.raises(ValueError, match="has quantized weights, first"):
        load_clip(str(root), device="cpu")


def test_a_scale_of_scores_that_is_infinite_is_refused(folder_of):
    root = folder_of("open_clip")
    weights = root / "open_clip_model.safetensors"
    save_file({**load_file(weights), "logit_scale": torch.tensor(1000.0)}, weights)
    with pytest.raises(ValueError, match="a finite scale"):
        load_clip(str(root), device="cpu")


NEEDED = {  # what is said if it is lost
    ("open_clip", "open_clip_config.json"): r"no open_clip_config\.json",
    ("open_clip", "open_clip_model.safetensors"): r"no \*\.safetensors",
    ("open_clip", "tokenizer.json"): r"tokenizer is missing \(tokenizer\.json, or vocab\.json with",
    ("siglip", "config.json"): r"no config\.json with model_type",
    ("siglip", "model.safetensors"): r"no \*\.safetensors",
    ("siglip", "spiece.model"): r"tokenizer is missing \(.*spiece\.model",
    ("siglip", "preprocessor_config.json"): r"preprocessor_config\.json is missing",
}


@pytest.mark.parametrize(("family", "name"), NEEDED)
@pytest.mark.parametrize("damage", ["pointer", "lost"])
def test_a_file_that_is_lost_or_a_pointer_is_named(folder_of, family, name, damage):
    root = folder_of(family)
    (root / "merges.txt").unlink(missing_ok=True)  # tokenizer.json does without
    words = rf"{name} is a Git LFS pointer"
    if damage == "pointer":
        (root / name).write_bytes(POINTER)
    else:
        (root / name).unlink()
        words = NEEDED[family, name]
    with pytest.raises(ValueError, match=words):
        load_clip(str(root), device="cpu")


@pytest.mark.parametrize("family", ["open_clip", "siglip"])
@pytest.mark.parametrize("form", ["half", "half beside", "parts", "two", "nan", "inf"])
def test_clip_weights_are_chosen_by_name_and_are_numbers(folder_of, family, form):
    root = folder_of(family)
    (weights,) = root.glob("*.safetensors")
    expected, state = load_clip(str(root), device="cpu"), load_file(weights)
    if form in ("nan", "inf"):
        state[min(key for key in state if state[key].ndim > 1)].view(-1)[0] = float(form)
    names = {
        "half": [f"{weights.stem}.fp16"],
        "half beside": [f"{weights.stem}.fp16", weights.stem],
        "parts": [f"{weights.stem}-0000{i}-of-00002" for i in (1, 2)],
        "two": ["best", "last"],
    }.get(form, [weights.stem])
    weights.unlink()
    where = {key: f"{names[i % len(names)]}.safetensors" for i, key in enumerate(state)}
    for name in names:
        file = f"{name}.safetensors"
        inside = {k: v for k, v in state.items() if where[k] == file or form != "parts"}
        save_file(inside, root / file, metadata={"format": "pt"})
    if form == "parts":
        write_json(root / f"{weights.name}.index.json", {"weight_map": where})
    if form in ("half", "half beside", "parts"):
        found = load_clip(str(root), device="cpu")
        assert torch.equal(found.encode_text(PROMPTS), expected.encode_text(PROMPTS))
        return
    words = r"best\.safetensors, last\.safetensors" if form == "two" else "are no numbers"
    with pytest.raises(ValueError, match=words):
        load_clip(str(root), device="cpu")


def test_of_several_pickles_none_is_guessed(folder_of):
    root = folder_of("open_clip")
    state = load_file(root / "open_clip_model.safetensors")
    for name in ("a.pt", "b.pt"):
        write_state(root / name, state)
    (root / "open_clip_model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"a\.pt, b\.pt, and it is not said which"):
        load_clip(str(root), device="cpu")


def test_a_tokenizer_with_more_words_than_the_network_is_refused(folder_of):
    root = folder_of("open_clip")
    change(root / "open_clip_config.json", *TEXT, hf_tokenizer_name="")  # then open_clip's own
    with pytest.raises(ValueError, match="its tokenizer is another model's"):
        load_clip(str(root), device="cpu")
