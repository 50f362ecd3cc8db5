"""Load a model of the CLIP family, and say exactly which one it is."""

import hashlib
import json
import warnings
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from course_utils.hub import Located, locate, read_lock
from course_utils.runtime import pick_device
from course_utils.texts import text
from course_utils.zero_shot import nets, transformers_nets
from course_utils.zero_shot.records import ACTIVATIONS, Clip, embed_images, unit_rows

PROMPTS = 256  # that are encoded at a time
# Files that decide about features
DECISIVE = {".json", ".safetensors", ".txt", ".model", ".pt", ".bin"}
PUBLISHED = {"remoteclip": "RemoteCLIP-{}.pt", "georsclip": "RS5M_{}.pt"}  # {}: the architecture


def load_clip(
    name: str | Path = "small_clip",
    *,
    device: torch.device | str | None = None,
    models: Path | None = None,
    remote: bool = False,
    activation: str | None = None,
) -> Clip:
    """Load a model of the CLIP family, ready to encode.

    Names of the lock: ``small_clip``; OpenAI's ``clip_rn50``, ``clip_vit_b_32``, ``clip_vit_b_16``,
    ``clip_vit_l_14``; ``remoteclip_rn50``, ``remoteclip_vit_b_32``, ``remoteclip_vit_l_14``;
    ``georsclip_vit_b_32``, ``georsclip_vit_l_14``, ``georsclip_vit_h_14``; ``git_rsclip`` (large)
    and ``git_rsclip_base``. Weights are kept in single precision; on a GPU the encoders run in
    mixed precision.

    Args:
        name: an artifact of the lock, or the path of a folder: one of open_clip
            (``open_clip_config.json`` and weights), of transformers with a SigLIP or CLIP, or with
            one file of RemoteCLIP or GeoRSCLIP under its published name.
        device: where the encoders run; None picks the best one.
        models: a folder to search first (``COURSE_MODELS``).
        remote: ask the hub and its mirrors for what is not here; see `locate`.
        activation: ``quickgelu`` or ``gelu``, to compare; None takes what the weights were trained
            with, as far as that is known, and `Clip.activation_reason` says why. It does not
            change a stand-in.

    Returns:
        The model with its origin; ``stand_in_for`` names what it replaces, to be said wherever its
        scores are shown.

    Raises:
        ValueError: the artifact or activation is unknown, or the folder holds no readable model of
            the family: what is missing, unexpected or of another architecture is named.
        OSError: what is to be downloaded does not fit on the disk.
    """
    if activation not in (None, *ACTIVATIONS):
        raise ValueError(f"activation: expected {' or '.join(ACTIVATIONS)}, got {activation!r}")
    name = str(name)
    located = _recognized(locate(name, models=models, remote=remote))
    if remote and located.stand_in_for:
        found, reasons = located.artifact.name, "; ".join(located.notes)
        warnings.warn(text("clip.stand_in", name=name, found=found, reasons=reasons), stacklevel=2)
    asked = None if located.stand_in_for else activation
    network = _load(located, asked)
    if asked and network.family in transformers_nets.KINDS:
        raise ValueError(f"{name} has {network.activation}, as trained; leave activation= out")
    if asked and asked not in network.usual:
        usual = network.usual[0]
        said = text("clip.activation.mismatch", name=name, usual=usual, asked=asked)
        warnings.warn(said, stacklevel=2)
    return _describe(located, network, asked, pick_device(device and str(device)))


def _recognized(located: Located) -> Located:
    """Add what the lock says of the one state dict in a folder, if it has its published name."""
    files = [Path(name).name for name in located.artifact.files if name.endswith(".pt")]
    if located.artifact.settings or len(files) != 1 or (located.root / nets.CONFIG).is_file():
        return located
    for artifact in read_lock().values():
        settings = artifact.settings
        name = PUBLISHED.get(settings.get("family"), "").format(settings.get("architecture"))
        if files == [name]:
            return replace(located, artifact=replace(located.artifact, settings=settings))
    return located


def _load(located: Located, asked: str | None) -> nets.Network:
    root, settings = located.root, located.artifact.settings
    try:
        if (root / nets.CONFIG).is_file():
            return nets.load_folder(root, asked, settings.get("activations", ()))
        if kind := transformers_nets.kind_of(root):
            return transformers_nets.load_folder(root, kind)
        path = _find_state(root, settings.get("architecture"))
        return nets.load_state(path, settings["architecture"], asked, settings["activations"])
    except Exception as error:  # the libraries let through whatever their parts raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:1000]
        raise ValueError(
            f"the CLIP model in {root} does not load ({reason}); a file is missing, damaged or "
            "belongs to another model: restore the folder"
        ) from error


def _find_state(root: Path, architecture: str | None) -> Path:
    """Find the one state dict in a folder, or of several the one named after the architecture."""
    paths = sorted(root.rglob("*.pt"))
    if not paths:
        raise ValueError(
            f"it has no {nets.CONFIG}, no {transformers_nets.CONFIG} with model_type siglip or "
            "clip, and no *.pt"
        )
    if architecture is None:
        raise ValueError(
            f"{paths[0].name} does not say which architecture and activation it is for: put it "
            "alone into a folder called as its name in data/artifacts.lock.json "
            "(remoteclip_vit_b_32, …), set COURSE_MODELS to the folder above and load it by that "
            "name"
        )
    named = [path for path in paths if path.stem.endswith(architecture)]
    if len(paths) > 1 and len(named) != 1:
        names = ", ".join(path.name for path in paths)
        raise ValueError(f"it holds {names}; keep the one for {architecture}")
    return (named if len(paths) > 1 else paths)[0]


def _describe(
    located: Located, network: nets.Network, asked: str | None, device: torch.device
) -> Clip:
    net = network.net.eval().requires_grad_(False).to(device)
    mixed = device.type == "cuda"

    def encode_image(images: Tensor) -> Tensor:
        with torch.no_grad(), torch.autocast(device.type, torch.float16, enabled=mixed):
            return embed_images(net, images.to(device)).cpu()

    def encode_text(prompts: list[str]) -> Tensor:
        parts = [prompts[i : i + PROMPTS] for i in range(0, len(prompts), PROMPTS)]
        with torch.no_grad(), torch.autocast(device.type, torch.float16, enabled=mixed):
            return torch.cat([unit_rows(network.encode_text(part)) for part in parts]).cpu()

    bias = getattr(net, "logit_bias", None)
    return Clip(
        name=located.artifact.name,
        encode_image=encode_image,
        encode_text=encode_text,
        preprocess=network.preprocess,
        logit_scale=net.logit_scale.exp().item(),
        logit_bias=0.0 if bias is None else bias.item(),
        image_size=network.image_size,
        fingerprint=_fingerprint(located, network.activation, mixed),
        stand_in_for=located.stand_in_for,
        origin=located.origin,
        family=located.artifact.settings.get("family", network.family),
        activation=network.activation,
        activation_reason=_reason(located, network, asked),
        net=net,
        revision=located.revision,
        notes=located.notes,
    )


def _reason(located: Located, network: nets.Network, asked: str | None) -> str:
    """Say why this activation."""
    settings = located.artifact.settings
    if asked:
        return text("clip.activation.asked", name=located.artifact.name, usual=network.usual[0])
    if "activations" in settings:
        return text(f"clip.activation.{settings['family']}")
    file = (nets if network.family == "open_clip" else transformers_nets).CONFIG
    return text("clip.activation.config", file=file)


def _fingerprint(located: Located, *choices: object) -> str:
    """Hash everything on which features depend."""
    files = located.artifact.files.items()
    decisive = sorted(item for item in files if Path(item[0]).suffix in DECISIVE)
    what = [decisive, located.artifact.settings, *choices]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()
