"""Read back from an image what metadata says: size, cloud, season; an independent judge."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from course_utils.hub import ArtifactError, check_model, locate, read_settings
from course_utils.runtime import pick_device

FIELDS = ("meters_per_pixel", "cloud_share", "summer")  # what is read
SIDE = 64  # pixels
BATCH = 128


@dataclass(frozen=True)
class Reader:
    """A network that reads metadata from images, and where it came from.

    It puts out log2 of m per pixel, cloud share and summer, each less its mean over its spread.
    """

    net: nn.Module
    mean: Float[Tensor, " 3"]
    std: Float[Tensor, " 3"]
    artifact: str
    stand_in_for: str | None = None
    origin: str = "local"


def build_reader(channels: Sequence[int], *, stem: int) -> nn.Module:
    """Build timm's smallest residual network with these channels, untrained: one number a field.

    Args:
        channels: of the four stages.
        stem: channels of the first convolutions.

    Source: He et al. 2015 (arXiv:1512.03385); Wightman et al. 2021 (arXiv:2110.00476).
    """
    import timm

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        settings = {"channels": tuple(channels), "stem_width": stem, "num_classes": len(FIELDS)}
        return timm.create_model("resnet10t", pretrained=False, **settings)


def read_fields(net: nn.Module, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3"]:
    """Read the three numbers, less mean over spread, from images in [0, 1]."""
    return net(4 * images - 2).float()


def read_metadata(
    reader: Reader, images: UInt8[np.ndarray, "n h w 3"]
) -> dict[str, Float[Tensor, " n"]]:
    """Read from each image what its metadata should say.

    Returns:
        ``meters_per_pixel``; ``cloud_share``, 0 to 1; ``summer``, see `metadata.summer_of`.

    Raises:
        ValueError: images that are not bytes of 64 x 64 pixels: the size of things in pixels tells
            m per pixel, so nothing is resized here.
    """
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (SIDE, SIDE, 3):
        raise ValueError(
            f"images: expected bytes (uint8) of shape n x {SIDE} x {SIDE} x 3, got {images.dtype} "
            f"of shape {images.shape}"
        )
    pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)
    device, found = next(reader.net.parameters()).device, []
    with torch.inference_mode():
        for part in pixels.split(BATCH):
            found.append(read_fields(reader.net, part.to(device).float() / 255).cpu())
    rows = torch.cat(found) if found else torch.zeros(0, len(FIELDS))
    size, cloud, summer = (rows * reader.std + reader.mean).unbind(dim=1)
    return dict(zip(FIELDS, (2**size, cloud.clamp(0, 1), summer.clamp(-1, 1)), strict=True))


def load_reader(
    artifact: str = "small_reader",
    *,
    device: torch.device | str | None = None,
    models: Path | None = None,
) -> Reader:
    """Load a reader from its folder: ``config.json`` and ``model.safetensors``.

    Args:
        artifact: a name of the lock, or the path of a folder.
        device: where it runs, in single precision; None picks the best one.
        models: a folder to search first (``COURSE_MODELS``).

    Raises:
        ValueError: it is unknown, not here, damaged, or no reader.
    """
    from safetensors.torch import load_file

    located = locate(artifact, models=models)
    root = located.root
    try:
        check_model(root)
        settings = read_settings(root, "config.json")
        net = build_reader(settings["channels"], stem=settings["stem"])
        net.load_state_dict(load_file(root / "model.safetensors"))
        mean, std = (torch.tensor(settings[name]).float() for name in ("mean", "std"))
        if mean.shape != (len(FIELDS),) or std.shape != mean.shape or not (std > 0).all():
            raise ArtifactError("config.json: expected three means and three spreads above 0")
    except (ArtifactError, KeyError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(f"the reader in {root} does not load: {reason}") from error
    net = net.to(pick_device(device and str(device))).requires_grad_(False).eval()
    return Reader(net, mean, std, located.artifact.name, located.stand_in_for, located.origin)
