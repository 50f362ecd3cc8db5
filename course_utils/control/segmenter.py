"""A small segmenter that finds land cover in an image: an independent judge of what was drawn."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from course_utils.control.conditions import COVER_COLORS
from course_utils.control.loading import require_whole
from course_utils.hub import ArtifactError, locate, read_settings, require_layers
from course_utils.runtime import pick_device
from course_utils.text2image.kinds import find_weights
from course_utils.text2image.loading import quiet

FOLD = 2  # pixels a side that the network reads as channels of one position
BATCH = 64


@dataclass(frozen=True)
class Segmenter:
    """A network that finds the classes of mini_earth.LAND_COVER, and where it came from."""

    net: Any  # diffusers.UNet2DModel
    artifact: str
    stand_in_for: str | None = None
    origin: str = "local"


def cover_logits(
    net: nn.Module, images: Float[Tensor, "n 3 h w"] | UInt8[Tensor, "n 3 h w"]
) -> Float[Tensor, "n k h w"]:
    """Score each pixel, 0 to 255, for each class of land cover.

    The network is a denoiser of diffusers at t = 0 that was taught classes in the place of noise.
    It works at half the resolution, with the four pixels of a position side by side.

    Source: the trade of places for channels is that of Shi et al. 2016 (arXiv:1609.05158).
    """
    pixels = F.pixel_unshuffle(images.float() / 127.5 - 1, FOLD)
    return F.pixel_shuffle(net(pixels, 0).sample, FOLD)


def segment(segmenter: Segmenter, images: np.ndarray) -> UInt8[Tensor, "n h w"]:
    """Find the land cover of images, as codes of mini_earth.LAND_COVER.

    Args:
        segmenter: from `load_segmenter`.
        images: bytes, n x height x width x 3.

    Raises:
        ValueError: images that are not bytes, or of a size that the network does not divide.
    """
    images = np.asarray(images)
    factor = FOLD * 2 ** (len(segmenter.net.config.block_out_channels) - 1)
    is_sound = images.dtype == np.uint8 and images.ndim == 4 and images.shape[3] == 3
    if not is_sound or images.shape[1] % factor or images.shape[2] % factor:
        raise ValueError(
            "images: expected bytes (uint8) of shape n x height x width x 3, height and width "
            f"multiples of {factor}, got {images.dtype} of shape {images.shape}"
        )
    if not len(images):
        return torch.zeros(images.shape[:3], dtype=torch.uint8)
    pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)
    device, found = segmenter.net.device, []
    with torch.inference_mode():
        for part in pixels.split(BATCH):
            found.append(cover_logits(segmenter.net, part.to(device)).argmax(dim=1).byte().cpu())
    return torch.cat(found)


def load_segmenter(
    artifact: str = "small_segmenter",
    *,
    device: torch.device | str | None = None,
    models: Path | None = None,
) -> Segmenter:
    """Load a segmenter from a folder of diffusers; runs no code from it.

    Args:
        artifact: a name of the lock, or the path of a folder.
        device: where it runs, in single precision; None picks the best one.
        models: a folder to search first (``COURSE_MODELS``).

    Raises:
        ValueError: it is unknown, not here, damaged, or no segmenter of the course's classes.
    """
    import diffusers

    located = locate(artifact, models=models)
    root = located.root
    try:
        settings = read_settings(root, "config.json")
        asked = {"in_channels": 3 * FOLD**2, "out_channels": len(COVER_COLORS) * FOLD**2}
        asked = {"_class_name": "UNet2DModel", **asked}
        if wrong := {
            name: settings.get(name) for name in asked if settings.get(name) != asked[name]
        }:
            raise ArtifactError(f"config.json: expected {asked}, got {wrong}")
        paths, found = find_weights(root)
        require_layers(settings, found, "config.json")
        with quiet(), torch.random.fork_rng(devices=[]):
            net = diffusers.UNet2DModel.from_pretrained(
                root, torch_dtype=torch.float32, use_safetensors=True, local_files_only=True
            )
        require_whole(net, found, paths[0].name)
    except ArtifactError as error:
        raise ValueError(f"the segmenter in {root} does not load: {error}") from error
    net = net.to(pick_device(device and str(device))).requires_grad_(False).eval()
    return Segmenter(net, located.artifact.name, located.stand_in_for, located.origin)
