"""Load what tells a generator more: a ControlNet, an embedding of metadata, or DiffusionSat."""

import inspect
import json
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from course_utils.control.metadata import MetadataEmbedding
from course_utils.hub import (
    ArtifactError,
    Located,
    choose_weights,
    locate,
    read_json,
    read_lock,
    read_settings,
    refuse_pointer,
    require_finite,
    require_layers,
)
from course_utils.runtime import cache_folder, pick_device
from course_utils.text2image import GenerationConfig, TextToImage, load_pipeline
from course_utils.text2image.kinds import CLASSES, find_weights
from course_utils.text2image.loading import quiet, warn_of_origin

TOLD = "metadata_embedding."  # begins the names of the tensors that read metadata
FITS = (  # what a ControlNet shares with the denoiser that it copies
    "in_channels",
    "cross_attention_dim",
    "block_out_channels",
    "down_block_types",
    "layers_per_block",
)
CRS_DIFF = (
    "CRS-Diff is not loaded: its port, github.com/Bili-Sakura/CRS-Diff-diffusers with the weights "
    "BiliSakura/CRS-Diff, asks to run code of its own (pipeline.py, crs_core/), and this course "
    "runs no code from a model's folder. Read that code and call its "
    "CRSDiffPipeline.from_pretrained(folder) in an environment of its own; control.CONDITIONS, "
    "stack_conditions and scale_for_crs_diff make what it is told. What it shows, "
    "load_control('small_control') does in small"
)


@dataclass(frozen=True)
class Controlled:
    """A generator and what tells it more than a sentence."""

    model: TextToImage
    artifact: str
    net: Any | None  # diffusers.ControlNetModel: reads maps
    embedding: MetadataEmbedding | None  # reads metadata; both may be there
    stand_in_for: str | None = None  # the artifact that this one replaces offline
    origin: str = "local"  # where the files came from: see Located


def load_control(
    artifact: str = "small_control",
    *,
    base: str | None = None,
    device: torch.device | str | None = None,
    models: Path | None = None,
    remote: bool = False,
) -> Controlled:
    """Load a ControlNet, an embedding of metadata, or DiffusionSat; runs no code from a folder.

    Args:
        artifact: a name of the lock, or the path of a folder: of a ControlNet of diffusers, of an
            embedding of metadata, or of a pipeline whose denoiser reads metadata.
        base: the generator that is steered; None takes the one that the lock names, else
            ``small_text2image``. DiffusionSat is its own.
        device: where it runs; None picks the best one.
        models: a folder to search first (``COURSE_MODELS``).
        remote: ask the hub and its mirrors for what is not here; see `locate`.

    Raises:
        ValueError: it is unknown, not here, damaged, made for another generator, or asks for code
            of its own, as CRS-Diff does.
    """
    entry = read_lock().get(artifact)
    if entry and entry.id == "BiliSakura/CRS-Diff":
        raise ValueError(CRS_DIFF)
    located = locate(artifact, models=models, remote=remote)
    if remote:
        warn_of_origin(located)
    settings = dict(located.artifact.settings)
    base = base or settings.pop("base", "small_text2image")
    options = {"device": device, "models": models, "remote": remote}
    try:
        kind = _kind_of(located.root)
        if kind == "pipeline":
            model, embedding = _load_told(located, settings, pick_device(device and str(device)))
            net = None
        else:
            model = load_pipeline(base, **options)
            net = _load_net(located.root, model) if kind == "net" else None
            embedding = _load_embedding(located.root, model) if kind == "metadata" else None
    except ArtifactError as error:
        raise ValueError(f"{artifact} in {located.root} does not load: {error}") from error
    names = {"artifact": located.artifact.name, "stand_in_for": located.stand_in_for}
    return Controlled(model, net=net, embedding=embedding, origin=located.origin, **names)


def _kind_of(root: Path) -> str:
    """Tell a folder by its settings; only these three kinds are read."""
    if (root / "model_index.json").is_file():
        index = read_json(root / "model_index.json", "model_index.json")
        if "crs_model" in index:
            raise ArtifactError(CRS_DIFF)
        return "pipeline"
    settings = read_settings(root, "config.json")
    found = settings.get("_class_name")
    if found == "ControlNetModel":
        return "net"
    if settings.get("kind") == "metadata":
        return "metadata"
    raise ArtifactError(
        f"config.json: expected a ControlNetModel of diffusers, or an embedding of metadata, got "
        f"{found or sorted(settings)[:5]}; a generator alone is loaded by text2image.load_pipeline"
    )


def _load_net(root: Path, model: TextToImage) -> Any:
    """Load a ControlNet by its class, after comparing its sizes with the denoiser's."""
    import diffusers

    settings, unet = read_settings(root, "config.json"), model.pipeline.unet
    paths, found = find_weights(root)
    require_layers(settings, found, "config.json")
    defaults, wrong = inspect.signature(diffusers.ControlNetModel.__init__).parameters, []
    for name in FITS:
        own, asked = settings.get(name, defaults[name].default), unet.config[name]
        if json.dumps(own) != json.dumps(asked):  # lists and tuples alike
            wrong.append(f"{name} {own} (the generator: {asked})")
    if wrong:
        raise ArtifactError(
            f"it was made for another generator than {model.artifact}: {', '.join(wrong)}; load "
            "it with base=… of the generator that it was trained for"
        )
    try:
        with quiet(), torch.random.fork_rng(devices=[]):
            net = diffusers.ControlNetModel.from_pretrained(
                root, torch_dtype=unet.dtype, use_safetensors=True, local_files_only=True
            )
    except Exception as error:  # the library lets through whatever its parts raise
        reason = (str(error).splitlines() or [""])[0][:500]
        raise ArtifactError(f"{type(error).__name__}: {reason}; fetch it again") from error
    require_whole(net, found, paths[0].name)
    return net.to(unet.device).eval()


def require_whole(net: torch.nn.Module, found: int, name: str) -> None:
    """Refuse a network of which a file holds too few weights, or some that are no numbers."""
    state = net.state_dict()
    if found != len(state):
        raise ArtifactError(f"{name} has {found} weights, expected {len(state)}; fetch it again")
    require_finite(state, name)


def _load_embedding(root: Path, model: TextToImage) -> MetadataEmbedding:
    (path, *_) = choose_weights(root.glob("*.safetensors"), "model")
    refuse_pointer(path, path.name)
    try:
        state = load_file(path)
    except Exception as error:
        raise ArtifactError(f"{path.name} is damaged or cut short ({error})") from error
    return _read_embedding(state, path.name, model)


def _read_embedding(state: dict[str, Tensor], name: str, model: TextToImage) -> MetadataEmbedding:
    """Put tensors into an embedding of their size, if they are all of it and suit the generator."""
    first, unet = state.get(f"{TOLD}0.linear_1.weight"), model.pipeline.unet
    if first is None or first.dim() != 2:
        raise ArtifactError(f"{name} holds no {TOLD}0.linear_1.weight: it reads no metadata")
    (width, dim), needed = first.shape, unet.time_embedding.linear_2.out_features
    if width != needed:
        raise ArtifactError(
            f"{name} makes {width} numbers, and the embedding of the step of {model.artifact} has "
            f"{needed}; load it with base=… of the generator that it was trained for"
        )
    require_finite(state, name)
    with torch.random.fork_rng(devices=[]):
        embedding = MetadataEmbedding(dim=dim, width=width)
    try:
        embedding.load_state_dict({key: value.float() for key, value in state.items()})
    except RuntimeError as error:
        lines = " ".join(str(error).split())[:500]
        raise ArtifactError(f"{name} is of another layout: {lines}") from error
    return embedding.to(unet.device).requires_grad_(False).eval()


def _load_told(
    located: Located, settings: dict[str, Any], device: torch.device
) -> tuple[TextToImage, MetadataEmbedding]:
    """Load a pipeline whose denoiser reads metadata, as DiffusionSat's: a stock one and the rest.

    A copy of the folder with a stock denoiser is written and goes through all that
    `load_pipeline` checks.
    """
    root, cache = located.root, cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as stage:
        told, others = _write_stock(root, Path(stage))
        model = load_pipeline(stage, device=device)
        if left := sorted(others - set(model.pipeline.unet.state_dict())):
            raise ArtifactError(
                f"unet has {len(left)} weights that nothing reads, first {left[0]}: it is of "
                "another network than Stable Diffusion's with metadata"
            )
    names = {"artifact": located.artifact.name, "origin": located.origin}
    config = GenerationConfig(**settings) if settings else model.config
    named = {"id": located.artifact.id, "revision": located.revision, "config": config}
    model = replace(model, stand_in_for=located.stand_in_for, **names, **named)
    return model, _read_embedding(told, "unet", model)


def _write_stock(root: Path, stage: Path) -> tuple[dict[str, Tensor], set[str]]:
    """Write a stock pipeline's folder; give the tensors that read metadata, and others' names."""
    import diffusers

    index = read_json(root / "model_index.json", "model_index.json")
    index = {part: index.get(part) for part in CLASSES} | {
        "_class_name": "StableDiffusionPipeline",
        "unet": ["diffusers", "UNet2DConditionModel"],
    }
    (stage / "model_index.json").write_text(json.dumps(index))
    for part in set(CLASSES) - {"unet"}:
        try:
            (stage / part).symlink_to((root / part).resolve(), target_is_directory=True)
        except OSError:  # not allowed here
            shutil.copytree(root / part, stage / part)
    state: dict[str, Tensor] = {}
    for path in find_weights(root / "unet")[0]:
        state |= load_file(path)
    told = {key: state.pop(key) for key in sorted(state) if key.startswith(TOLD)}
    known = inspect.signature(diffusers.UNet2DConditionModel.__init__).parameters
    settings = read_json(root / "unet" / "config.json", "unet/config.json")
    settings = {key: value for key, value in settings.items() if key in known}
    (stage / "unet").mkdir()
    (stage / "unet" / "config.json").write_text(
        json.dumps(settings | {"_class_name": "UNet2DConditionModel"})
    )
    save_file(state, stage / "unet" / "diffusion_pytorch_model.safetensors")
    return told, set(state)
