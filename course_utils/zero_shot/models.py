"""Load a model of the CLIP family, and say exactly which one it is."""

import hashlib
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from course_utils.hub import Located, locate, read_lock
from course_utils.runtime import pick_device
from course_utils.texts import text
from course_utils.zero_shot import folders

ACTIVATIONS = ("quickgelu", "gelu")  # x sigmoid(1.702 x), and the exact x Phi(x)
PROMPTS = 256  # that are encoded at a time


@dataclass(frozen=True)
class Clip:
    """An image encoder and a text encoder that share one space."""

    name: str
    encode_image: Callable[[Tensor], Tensor]  # preprocessed n 3 h w -> unit rows n d, on the CPU
    encode_text: Callable[[list[str]], Tensor]  # m prompts -> unit rows m d, on the CPU
    preprocess: folders.Preprocess  # any size -> 3 h w: resized, cropped, normalised
    logit_scale: float  # exp(tau), already exponentiated
    image_size: int  # side in pixels that the encoder sees
    fingerprint: str  # SHA-256 over weights, architecture, preprocessing and precision
    stand_in_for: str | None = None  # the artifact that this one replaces offline
    origin: str = "local"  # where the files came from: local, shipped, cache, hub, …, stand-in
    logit_bias: float = 0.0  # of models trained with a sigmoid for each pair; else there is none
    # openai, remoteclip, georsclip, git_rsclip; or the format of a folder
    family: str = "open_clip"
    activation: str = "gelu"  # of the transformers; a ResNet's image tower has ReLU throughout
    activation_reason: str = ""  # why this one
    # The network itself, without gradients, to count and to look into. Fine-tune a copy: features
    # are remembered by the fingerprint of the files. `with_net` makes a model of the copy.
    net: nn.Module | None = field(default=None, repr=False, compare=False)
    tokenize: Callable[[list[str]], Any] | None = field(default=None, repr=False, compare=False)

    @property
    def device(self) -> torch.device:
        """Say where the encoders run."""
        return torch.device("cpu") if self.net is None else next(self.net.parameters()).device


def embed_images(net: nn.Module, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
    """Encode preprocessed images into unit rows, on the network's device and with gradients.

    Args:
        net: ``Clip.net``, or a copy of it that is being fine-tuned.
        images: on the same device.
    """
    encode = getattr(net, "encode_image", None) or net.get_image_features
    return _unit_rows(encode(images))


def embed_text(net: nn.Module, tokens: Any) -> Float[Tensor, "m d"]:
    """Encode tokenized prompts into unit rows, on the network's device and with gradients.

    Args:
        net: ``Clip.net``, or a copy of it that is being fine-tuned.
        tokens: what ``Clip.tokenize`` makes of prompts.
    """
    tokens = tokens.to(next(net.parameters()).device)
    if hasattr(net, "encode_text"):
        return _unit_rows(net.encode_text(tokens))
    return _unit_rows(net.get_text_features(**tokens))


def _unit_rows(features: object) -> Float[Tensor, "n d"]:
    """Bring what an encoder returned to length one, in single precision."""
    features = getattr(features, "pooler_output", features)  # transformers 5 wraps the tensor
    return nn.functional.normalize(features.float(), dim=-1)


def load_clip(
    name: str | Path = "small_clip",
    *,
    device: torch.device | str | None = None,
    models: Path | None = None,
    remote: bool = False,
    activation: str | None = None,
) -> Clip:
    """Load a model of the CLIP family, ready to encode.

    Weights are kept in single precision; on a GPU the encoders run in mixed precision.

    Args:
        name: an artifact of the lock (``small_clip``; ``clip_…`` is OpenAI's, ``remoteclip_…``,
            ``georsclip_…``, ``git_rsclip`` the large one), or the path of a folder: of open_clip
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
    if remote and located.unpinned and located.origin != "cache":
        warnings.warn(located.unpinned, stacklevel=2)
    asked = None if located.stand_in_for else activation
    network = folders.load_network(located.root, located.artifact.settings, asked)
    usual = network.usual[0]
    if asked and network.family in folders.CLASSES:
        raise ValueError(f"{name} has {usual}, as trained; leave activation= out")
    if asked and asked not in network.usual:
        said = text("clip.activation.mismatch", name=name, usual=usual, asked=asked)
        warnings.warn(said, stacklevel=2)
    return _describe(located, network, asked, pick_device(device and str(device)))


def _recognized(located: Located) -> Located:
    """Add what the lock says of the one state dict in a folder, if it has its published name."""
    files = [Path(name).name for name in located.artifact.files if name.endswith(".pt")]
    if located.artifact.settings or len(files) != 1 or (located.root / folders.CONFIG).is_file():
        return located
    for artifact in read_lock().values():
        settings = artifact.settings
        name = folders.PUBLISHED.get(settings.get("family"), "").format(
            settings.get("architecture")
        )
        if files == [name]:
            return replace(located, artifact=replace(located.artifact, settings=settings))
    return located


def _describe(
    located: Located, network: folders.Network, asked: str | None, device: torch.device
) -> Clip:
    net = network.net.to(device)
    activation = asked or network.usual[0]
    return Clip(
        name=located.artifact.name,
        **_abilities(net, network.tokenize),
        preprocess=network.preprocess,
        image_size=network.image_size,
        fingerprint=_fingerprint(located, activation, device.type == "cuda"),
        stand_in_for=located.stand_in_for,
        origin=located.origin,
        family=located.artifact.settings.get("family", network.family),
        activation=activation,
        activation_reason=_reason(located, network, asked),
    )


def with_net(clip: Clip, net: nn.Module) -> Clip:
    """Give a model other weights: those of a fine-tuned copy of its network.

    Args:
        clip: the model that the copy was made of.
        net: the copy; from now on in eval mode and without gradients.

    Returns:
        The same model otherwise; its fingerprint is over the new weights themselves.
    """
    digest = hashlib.sha256(clip.fingerprint.encode())
    for name, value in net.state_dict().items():
        digest.update(name.encode())
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return replace(clip, **_abilities(net, clip.tokenize), fingerprint=digest.hexdigest())


def _abilities(net: nn.Module, tokenize: Callable[[list[str]], Any]) -> dict[str, Any]:
    """Say what of a model hangs on its weights: how it encodes, and how it scores."""
    net = net.eval().requires_grad_(False)
    device, bias = next(net.parameters()).device, getattr(net, "logit_bias", None)
    mixed = device.type == "cuda"

    def encode_image(images: Tensor) -> Tensor:
        with torch.no_grad(), torch.autocast(device.type, torch.float16, enabled=mixed):
            return embed_images(net, images.to(device)).cpu()

    def encode_text(prompts: list[str]) -> Tensor:
        parts = [prompts[i : i + PROMPTS] for i in range(0, len(prompts), PROMPTS)]
        with torch.no_grad(), torch.autocast(device.type, torch.float16, enabled=mixed):
            return torch.cat([embed_text(net, tokenize(part)) for part in parts]).cpu()

    return {
        "net": net,
        "tokenize": tokenize,
        "encode_image": encode_image,
        "encode_text": encode_text,
        "logit_scale": net.logit_scale.exp().item(),
        "logit_bias": 0.0 if bias is None else bias.item(),
    }


def _reason(located: Located, network: folders.Network, asked: str | None) -> str:
    """Say why this activation."""
    settings = located.artifact.settings
    if asked:
        return text("clip.activation.asked", name=located.artifact.name, usual=network.usual[0])
    if "activations" in settings:
        return text(f"clip.activation.{settings['family']}")
    file = folders.HUGGING_CONFIG if network.family in folders.CLASSES else folders.CONFIG
    return text("clip.activation.config", file=file)


def _fingerprint(located: Located, *choices: object) -> str:
    """Hash everything on which features depend."""
    files = located.artifact.files.items()
    decisive = sorted(item for item in files if Path(item[0]).suffix in folders.DECISIVE)
    what = [decisive, located.artifact.settings, *choices]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()
