"""Super-resolution from ten coarse bands to a sharp picture: copied, predicted, drawn.

Bicubic interpolation adds nothing. A network trained by absolute error answers with the median of
all that fits, which is blurred where the bands do not decide. A generator draws one of those that
fit, sharp everywhere, and so invents what nobody has seen.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.control.bands import (
    BANDS,
    FACTOR,
    check_bands,
    colors_of_bands,
    maps_from_bands,
)
from course_utils.control.drawing import draw
from course_utils.control.loading import Controlled
from course_utils.hub import check_model, locate, read_settings
from course_utils.images import unit_to_bytes
from course_utils.text2image import GenerationConfig


def enlarge_colors(bands: Float[Tensor, "n 10 h w"]) -> Float[Tensor, "n 3 4*h 4*w"]:
    """Interpolate the visible bands four times as large, bicubic, as sRGB colors."""
    colors = colors_of_bands(bands)
    return F.interpolate(colors, scale_factor=FACTOR, mode="bicubic", align_corners=False)


def bicubic(bands: Float[Tensor, "n 10 h w"]) -> UInt8[Tensor, "n 3 4*h 4*w"]:
    """Enlarge by bicubic interpolation, the baseline that knows nothing of the ground.

    Raises:
        ValueError: not ten bands of reflectance.
    """
    check_bands(bands)
    return unit_to_bytes(enlarge_colors(bands))


class ResidualBlock(nn.Module):
    """Two kernels whose answer is added to what came in, without normalization.

    Source: Lim et al. 2017, EDSR (arXiv:1707.02921), figure 2.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Add to the input what two kernels make of it."""
        return x + self.second(self.first(x).relu())


class SmallSR(nn.Module):
    """A network that is no generator: it computes on the coarse grid, then deals out the pixels.

    What it says is added to the bicubic picture; at first that is nothing.

    Args:
        channels: on the coarse grid.
        num_blocks: residual blocks.

    Source: Lim et al. 2017 (arXiv:1707.02921); pixel shuffle: Shi et al. 2016 (arXiv:1609.05158).
    """

    def __init__(self, channels: int = 48, num_blocks: int = 6) -> None:
        super().__init__()
        self.head = nn.Conv2d(len(BANDS), channels, 3, padding=1)
        self.blocks = nn.Sequential(*(ResidualBlock(channels) for _ in range(num_blocks)))
        self.tail = nn.Conv2d(channels, 3 * FACTOR**2, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)

    def forward(self, bands: Float[Tensor, "n 10 h w"]) -> Float[Tensor, "n 3 4*h 4*w"]:
        """Predict sRGB colors, about 0 to 1."""
        x = self.head(bands.sqrt())
        return enlarge_colors(bands) + F.pixel_shuffle(self.tail(x + self.blocks(x)), FACTOR)

    @torch.no_grad()
    def enlarge(self, bands: Float[Tensor, "n 10 h w"]) -> UInt8[Tensor, "n 3 4*h 4*w"]:
        """Predict pictures in bytes.

        Raises:
            ValueError: not ten bands of reflectance.
        """
        check_bands(bands)
        return unit_to_bytes(self(bands))


def load_small_sr(artifact: str = "small_sr", *, models: Path | None = None) -> SmallSR:
    """Load the small network that is no generator.

    Args:
        artifact: a name in the lock, or a folder with ``config.json`` (``channels`` and
            ``num_blocks``) and ``model.safetensors``.
        models: a folder to search first.

    Raises:
        ArtifactError: it is not there, or damaged.
        ValueError: the settings do not describe the weights.
    """
    from safetensors.torch import load_file

    root = locate(artifact, models=models).root
    check_model(root)
    settings = read_settings(root, "config.json")
    try:
        with torch.random.fork_rng(devices=[]):
            net = SmallSR(settings["channels"], settings["num_blocks"])
        net.load_state_dict(load_file(root / "model.safetensors"))
    except (KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"{root.name}: config.json does not describe its weights") from error
    return net.eval().requires_grad_(False)


def super_resolve(
    controlled: Controlled,
    bands: Float[Tensor, "n 10 h w"],
    *,
    config: GenerationConfig | None = None,
    seeds: Sequence[int] | None = None,
) -> UInt8[np.ndarray, "n 4*h 4*w 3"]:
    """Draw one of the sharp pictures that fit coarse bands; another seed draws another.

    What differs between seeds is made up, and what does not may be, too. No sentence is told, and
    so there is nothing to guide towards.

    Args:
        controlled: from ``load_control("small_superres")``.
        bands: ten bands from `simulate_bands` or `bands_from_rgb`, a quarter of the picture's side.
        config: the settings; None takes those that the generator was made for. Guidance is set
            to 1.
        seeds: one a picture; None takes 0, 1, 2 and so on.

    Raises:
        ValueError: not ten bands of reflectance, another size than the settings', or a model that
            is not told bands.

    Source: Khanna et al. 2024 (arXiv:2312.03606), section 3.2.
    """
    check_bands(bands)
    config = replace(config or controlled.model.config, guidance_scale=1.0)
    seeds = range(len(bands)) if seeds is None else seeds
    prompts, maps = [""] * len(bands), maps_from_bands(bands)
    return draw(controlled, prompts, maps=maps, config=config, seeds=seeds)
