"""Which diffusers folders are read: of what shape, and from whose classes; all else is refused."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from course_utils.hub import (
    ArtifactError,
    choose_weights,
    read_json,
    read_settings,
    refuse_pointer,
    refuse_references,
    require_floats,
    require_layers,
    require_tokenizer,
)

# The allow-list, read before anything is loaded: of which classes the parts of a pipeline may be.
# The library is handed the parts, each by its class, and never the index that names them.
CLASSES = {
    "unet": "diffusers.UNet2DConditionModel",
    "vae": "diffusers.AutoencoderKL|AutoencoderTiny|AsymmetricAutoencoderKL",
    "text_encoder": "transformers.CLIPTextModel",
    "tokenizer": "transformers.CLIPTokenizer|CLIPTokenizerFast",
    "scheduler": "diffusers.DDIMScheduler|DDPMScheduler|DEISMultistepScheduler"
    "|DPMSolverMultistepScheduler|DPMSolverSinglestepScheduler|EulerAncestralDiscreteScheduler"
    "|EulerDiscreteScheduler|HeunDiscreteScheduler|KDPM2AncestralDiscreteScheduler"
    "|KDPM2DiscreteScheduler|LMSDiscreteScheduler|PNDMScheduler|UniPCMultistepScheduler",
}
UNREAD = {  # parts that may be named, and are never loaded: there is no use for them from above
    "safety_checker": "stable_diffusion.StableDiffusionSafetyChecker",
    "feature_extractor": "transformers.CLIPFeatureExtractor|CLIPImageProcessor"
    "|CLIPImageProcessorFast|CLIPImageProcessorPil",
    "image_encoder": "transformers.CLIPVisionModelWithProjection",
}
PIPELINES = "StableDiffusion(Img2Img|Inpaint)?Pipeline|Text2Earth[A-Za-z]*Pipeline"
OTHER_KINDS = {  # what else a folder may hold, by a name of its pipeline, parts or their classes
    "(?i)lora": "a LoRA, which changes another model",
    "(?i)controlnet": "a ControlNet, which steers another model: control.load_control loads it",
    "DiffusionSat|SatUNet": "DiffusionSat, which is told metadata: control.load_control loads it",
    "^CRSDiff|^crs_model$": "CRS-Diff, which brings code of its own: see control.load_control",
    "Adapter": "an adapter, which steers another model",
    "Consistency|LCM|TCD|CMStochastic": "of a consistency model",
    "Upscale": "of an upscaler",
    "Variation|UnCLIP|Kandinsky": "of a model that reads the embedding of an image",
    "Video|3D|Motion|Animate": "of a model of videos",
    "FlowMatch|Flux|Diffusion3|SD3|Sana|Lumina|AuraFlow|QwenImage|HiDream": (
        "of a flow-matching model"
    ),
    "XL|_2$|WithProjection": "of Stable Diffusion XL, which has two text encoders",
    "Transformer2D|^transformer$|DiT|PixArt": "of a diffusion transformer, which has no U-Net",
    "UNet2DModel|^DDPMPipe|^DDIMPipe|^LDMPipe": "of a network that reads no sentence",
    "Cascade|Wuerstchen|^prior": "of a cascade of models",
    "^IF|T5": "of a model with another text encoder",
    "Pix2Pix|Depth|DiffEdit": "of a model that is told more than a sentence",
}
NETWORKS = ("unet", "vae", "text_encoder")
PICKLES = (".bin", ".ckpt", ".pt", ".pth")


def check_folder(root: Path) -> dict[str, Any]:
    """Refuse a folder that cannot or should not be loaded; give its ``model_index.json``.

    Files of code and pickles beside what is loaded are never opened, so they do no harm.

    Raises:
        ValueError: naming the part and what is wrong with it.
    """
    if not (root / "model_index.json").is_file():  # something else, or a part alone
        _refuse_other_kinds(path.name for path in root.glob("*"))
        if (root / "config.json").is_file():
            _refuse_other_kinds([read_json(root / "config.json", "config.json").get("_class_name")])
    index = read_json(root / "model_index.json", "model_index.json")
    _check_index(index)
    settings = {part: read_settings(root, f"{part}/config.json") for part in NETWORKS}
    settings["scheduler"] = read_settings(root, "scheduler/scheduler_config.json")
    for part, content in settings.items():
        found, allowed = content.get("_class_name"), CLASSES[part].partition(".")[2]
        if found is not None and found not in allowed.split("|"):
            _refuse_other_kinds([found])
            raise ArtifactError(
                f"{part}: expected a configuration of {allowed}, got one of {found}"
            )
    _check_kind(settings["unet"], settings["scheduler"])
    for part in NETWORKS:
        require_layers(settings[part], find_weights(root / part)[1], f"{part}/config.json")
    # Without its words transformers makes a tokenizer that knows none, and says nothing.
    whole = (root / "tokenizer" / "tokenizer.json").is_file()
    read_settings(root, "tokenizer/" + ("tokenizer.json" if whole else "vocab.json"))
    if not (whole or (root / "tokenizer" / "merges.txt").is_file()):
        raise ArtifactError("tokenizer/merges.txt is missing; fetch it again")
    require_tokenizer(root, "tokenizer/")
    return index


def _check_index(index: dict[str, Any]) -> None:
    """Refuse a pipeline, or a part of one, that is not of the classes listed above."""
    if not isinstance(index.get("_class_name"), str):
        raise ArtifactError("model_index.json: a pipeline that brings code of its own is not run")
    listed, wrong = CLASSES | UNREAD, []
    for part, allowed in listed.items():
        library, _, names = allowed.partition(".")
        fits = index.get(part) in [[library, name] for name in names.split("|")]
        if not fits and not (part in UNREAD and index.get(part) in (None, [None, None])):
            wrong.append(part)
    others = [key for key, value in index.items() if key not in listed and isinstance(value, list)]
    values = (index.get(part) for part in wrong + others)
    classes = [value[-1] for value in values if isinstance(value, list) and value]
    is_known = re.fullmatch(PIPELINES, index["_class_name"])
    _refuse_other_kinds([*[index["_class_name"]] * (not is_known), *others, *classes])
    for part in wrong:
        library, found = listed[part].partition(".")[0], index.get(part)
        said = ".".join(map(str, found)) if isinstance(found, list) else found
        raise ArtifactError(
            f"model_index.json: expected {part} to be a class of {library} ({listed[part]}), got "
            f"{said}"
        )
    if not is_known:
        raise ArtifactError(
            f"model_index.json: the course knows no pipeline {index['_class_name'][:80]}; if its "
            "parts are those of Stable Diffusion, write StableDiffusionPipeline there"
        )
    rest = {key: value for key, value in index.items() if key not in listed}
    refuse_references(rest, "model_index.json")


def _refuse_other_kinds(names: Iterable[object]) -> None:
    """Refuse a generator of another shape by the name of its kind, if one of its names tells it."""
    for name in map(str, names):
        for pattern, kind in OTHER_KINDS.items():
            if re.search(pattern, name):
                _refuse_kind(f"{name} is {kind}")


def _refuse_kind(what: str) -> None:
    raise ArtifactError(
        f"{what}; the course draws with models of the shape of Stable Diffusion 1 and 2 (one CLIP "
        "text encoder, a U-Net that reads it, noise that is predicted step by step): take one of "
        "those, or Text2Earth"
    )


def _check_kind(unet: dict[str, Any], sampler: dict[str, Any]) -> None:
    """Refuse a generator whose parts have the right classes, and are told something else."""
    blocks = ("down_block_types", "mid_block_type", "up_block_types")
    if not any("CrossAttn" in str(unet.get(key, "CrossAttn")) for key in blocks):
        _refuse_kind(
            "unet/config.json: without cross-attention it is a network that reads no sentence"
        )
    if unet.get("num_class_embeds") or unet.get("class_embed_type") not in (None, "timestep"):
        _refuse_kind(
            "unet/config.json: with a class embedding it is a network that is told a class"
        )
    for key in ("addition_embed_type", "encoder_hid_dim_type"):
        if unet.get(key):
            _refuse_kind(f"unet/config.json is of a network like Stable Diffusion XL's: {key}")
    if sampler.get("use_flow_sigmas") or "flow" in str(sampler.get("prediction_type")):
        _refuse_kind("scheduler/scheduler_config.json is of a flow-matching model")


def find_weights(folder: Path) -> tuple[list[Path], int]:
    """Find the files of a part, and count its tensors, of which only the names are read."""
    from safetensors import SafetensorError, safe_open

    paths = list(folder.glob("*.safetensors"))
    pickles = sorted(path.name for path in folder.glob("*") if path.suffix in PICKLES)
    if pickles and not paths:
        raise ArtifactError(
            f"{folder.name} has its weights as a pickle ({', '.join(pickles)}) and not as "
            "safetensors; a pickle can run any code when it is opened, so it is refused. Fetch the "
            ".safetensors file of the same model, or convert it where you trust it: "
            "from_pretrained, then save_pretrained(folder, safe_serialization=True)"
        )
    if not paths:
        raise ArtifactError(
            f"{folder.name} has no weights: a file *.safetensors is missing; fetch it again"
        )
    usual = "model" if folder.name == "text_encoder" else "diffusion_pytorch_model"
    formats: dict[str, str] = {}
    try:
        paths = choose_weights(paths, usual)
    except ArtifactError as error:
        raise ArtifactError(f"{folder.name}: {error}") from error
    for path in paths:
        refuse_pointer(path, f"{folder.name}/{path.name}")
        try:
            with safe_open(path, framework="pt") as weights:
                formats |= {key: weights.get_slice(key).get_dtype() for key in list(weights.keys())}
        except (SafetensorError, OSError) as error:
            raise ArtifactError(
                f"{folder.name}/{path.name} is damaged or cut short ({error}); fetch it again"
            ) from error
    if not formats:
        raise ArtifactError(f"{folder.name} has no weights: {paths[0].name} is empty")
    require_floats(formats, f"{folder.name}/{paths[0].name}")
    return paths, len(formats)
