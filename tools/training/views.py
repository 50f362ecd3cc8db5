"""Augmentation on tensors, a batch at a time, and what the networks take."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tools.training.data import Captioned

MEAN, STD = 0.5, 0.25  # of what the small CLIP, MAE and CoCa take
SIZE = 64  # pixels of what every model sees


@dataclass(frozen=True)
class Views:
    """Crops of images in [0, 1], and how each was taken."""

    images: Tensor  # n c h w
    side: Tensor  # n, the share of the side that it shows
    quarter_turns: Tensor  # int, n, counterclockwise; a further tilt is not in it
    is_mirrored: Tensor  # bool, n, left to right after the turn


def random_views(
    images: Tensor, generator: torch.Generator, *, size: int = SIZE, scale: tuple[float, float]
) -> Views:
    """Crop, turn and mirror each square uint8 image at random and show it at ``size`` pixels.

    A crop keeps a share of the area between the two of ``scale``.
    """
    num = len(images)
    area = torch.empty(num).uniform_(*scale, generator=generator)
    side = area.sqrt()
    turns = torch.randint(4, (num,), generator=generator)
    angle = turns * (torch.pi / 2)
    tilt = torch.empty(num).uniform_(-torch.pi / 4, torch.pi / 4, generator=generator)
    tilted = (torch.rand(num, generator=generator) < 0.3) & (side < 0.75)
    angle = angle + tilt * tilted
    mirror = 1.0 - 2.0 * (torch.rand(num, generator=generator) < 0.5)
    room = 1 - side
    shift = torch.empty(num, 2).uniform_(-1, 1, generator=generator) * room[:, None]
    cos, sin = angle.cos() * side, angle.sin() * side
    theta = torch.stack([cos * mirror, -sin, shift[:, 0], sin * mirror, cos, shift[:, 1]], dim=1)
    theta = theta.view(num, 2, 3).to(images.device)
    grid = F.affine_grid(theta, [num, 3, size, size], align_corners=False)
    pixels = images.float() / 255
    views = F.grid_sample(
        pixels, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    return Views(views, side, turns, mirror < 0)


def soften(images: Tensor, generator: torch.Generator, *, share: float) -> Tensor:
    """Blur a share of the images by shrinking and enlarging them, as a coarser sensor would."""
    num, size = len(images), images.shape[-1]
    order = torch.randperm(num, generator=generator).to(images.device)
    images, start = images.clone(), 0
    for factor, part in ((2.0, 0.5), (2.7, 0.3), (4.0, 0.2)):
        rows = order[start : start + round(num * share * part)]
        start += len(rows)
        if len(rows):
            small = F.interpolate(
                images[rows], size=round(size / factor), mode="bilinear", antialias=True
            )
            images[rows] = F.interpolate(small, size=size, mode="bicubic").clamp(0, 1)
    return images


def jitter_colors(images: Tensor, generator: torch.Generator, *, strength: float) -> Tensor:
    """Change light, haze and sensor of images in [0, 1]: gamma, gain, saturation, contrast, noise.

    Strength 1 bridges sensors; 0 changes nothing.
    """
    num, device = len(images), images.device

    def draw(*shape: int) -> Tensor:
        return torch.randn(num, *shape, 1, 1, generator=generator).to(device) * strength

    gamma = (0.22 * draw(1)).clamp(-0.6, 0.6).exp()
    images = images.clamp(1e-3, 1) ** gamma
    images = images * (0.15 * draw(1) + 0.09 * draw(3)).exp()
    gray = images.mean(dim=1, keepdim=True)
    images = gray + (images - gray) * (0.3 * draw(1)).exp().clamp(max=2.0)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = mean + (images - mean) * (0.25 * draw(1)).exp().clamp(max=2.0)
    images = images + 0.05 * draw(1)
    noise = torch.randn(images.shape, generator=generator).to(device)
    return (images + noise * 0.02 * draw(1).abs()).clamp(0, 1)


def drop_colors(images: Tensor, generator: torch.Generator, *, share: float) -> Tensor:
    """Show a share of the images in gray."""
    chosen = torch.rand(len(images), 1, 1, 1, generator=generator).to(images.device) < share
    return torch.where(chosen, images.mean(dim=1, keepdim=True).expand_as(images), images)


def light_views(data: Captioned, rows: np.ndarray, generator: torch.Generator) -> Tensor:
    """Draw views of some rows in [0, 1]: crops, turns, mirrors, and a little of other light."""
    scale = (0.6, 1.0) if data.source == "mini_earth" else (0.35, 1.0)
    views = random_views(data.images[torch.from_numpy(rows)], generator, scale=scale).images
    return jitter_colors(views, generator, strength=0.4)


def whole_images(images: Tensor) -> Tensor:
    """Show whole uint8 images at 64 pixels, in [0, 1]."""
    pixels = images.float() / 255
    return F.interpolate(pixels, size=SIZE, mode="bicubic", antialias=True).clamp(0, 1)


def normalized(images: Tensor) -> Tensor:
    """From [0, 1] to what the small CLIP, MAE and CoCa take."""
    return (images - MEAN) / STD
