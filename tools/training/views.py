"""Augmentation on tensors, a batch at a time."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Views:
    """Crops of images in [0, 1], and how each was taken."""

    images: Tensor  # n c h w
    side: Tensor  # n, the share of the side that it shows
    quarter_turns: Tensor  # int, n, counterclockwise; a further tilt is not in it
    is_mirrored: Tensor  # bool, n, left to right after the turn


def random_views(
    images: Tensor, generator: torch.Generator, *, size: int, scale: tuple[float, float]
) -> Views:
    """Crop, turn and mirror each image at random and show it at ``size`` pixels.

    Args:
        images: uint8, n c h w, square.
        generator: on the CPU.
        size: side of the result.
        scale: share of the area that a crop keeps, from and to.
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
    """Change light, haze and sensor of each image: gamma, gain, contrast, saturation, noise.

    Args:
        images: in [0, 1], n c h w.
        generator: on the CPU.
        strength: 1 bridges sensors; 0 changes nothing.
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
