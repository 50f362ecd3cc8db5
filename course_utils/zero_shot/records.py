"""One record for every model of the family, and the one call in which their networks differ."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from course_utils.zero_shot.pixels import Preprocess

ACTIVATIONS = ("quickgelu", "gelu")  # x sigmoid(1.702 x), and the exact x Phi(x)


@dataclass(frozen=True)
class Clip:
    """An image encoder and a text encoder that share one space."""

    name: str
    encode_image: Callable[[Tensor], Tensor]  # preprocessed n 3 h w -> unit rows n d, on the CPU
    encode_text: Callable[[list[str]], Tensor]  # m prompts -> unit rows m d, on the CPU
    preprocess: Preprocess  # any size -> 3 h w: resized, cropped, normalised
    logit_scale: float  # exp(tau), already exponentiated
    image_size: int  # side in pixels that the encoder sees
    fingerprint: str  # SHA-256 over weights, architecture, preprocessing and precision
    stand_in_for: str | None = None  # the artifact that this one replaces offline
    origin: str = "local"  # where the files came from: local, shipped, cache, hub, …, stand-in
    logit_bias: float = 0.0  # of models trained with a sigmoid for each pair; else there is none
    family: str = (
        "open_clip"  # openai, remoteclip, georsclip, git_rsclip; or the format of a folder
    )
    activation: str = "gelu"  # of the transformers; a ResNet's image tower has ReLU throughout
    activation_reason: str = ""  # why this one
    # The network itself, without gradients, to count and to look into. Fine-tune a copy: features
    # are remembered by the fingerprint of the files.
    net: nn.Module | None = field(default=None, repr=False, compare=False)
    revision: str | None = None  # commit that was downloaded
    notes: tuple[str, ...] = ()  # why the places before this one did not have it

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
    return unit_rows(encode(images))


def unit_rows(features: object) -> Float[Tensor, "n d"]:
    """Bring what an encoder returned to length one, in single precision."""
    features = getattr(features, "pooler_output", features)  # transformers 5 wraps the tensor
    return nn.functional.normalize(features.float(), dim=-1)
