"""How like two pictures are: by pixels, by structure, by features; and what a classifier reads."""

from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics.functional.image import structural_similarity_index_measure
from transformers import ViTMAEForPreTraining

from course_utils.images import to_unit
from tools.small_text2image.networks import Perception
from tools.training import normalized

BATCH = 50
PIXELS, COLORS = "sRGB, 0 to 1", "sRGB"


class Mae(nn.Module):
    """Features of the small masked autoencoder, after each layer, all patches seen.

    No model that is measured here, and none under it, has learned by it.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        net = ViTMAEForPreTraining.from_pretrained(
            folder, mask_ratio=0.0, dtype=torch.float32, local_files_only=True
        )
        self.vit = net.vit.eval().requires_grad_(False)

    def features(self, images: Tensor) -> Iterator[Tensor]:
        """Yield n d h w with unit columns, of images in [0, 1]."""
        order = torch.arange(self.vit.config.image_size**2 // self.vit.config.patch_size**2)
        seen = self.vit(
            normalized(images),
            noise=order.float().expand(len(images), -1),
            output_hidden_states=True,
        )
        side = int(len(order) ** 0.5)
        for states in seen.hidden_states[1:]:
            grid = states[:, 1:].transpose(1, 2).unflatten(2, (side, side))
            yield F.normalize(grid, dim=1)


class EarlyClip(Perception):
    """Early features of the small CLIP, by which the generator's autoencoder has learned."""

    def features(self, images: Tensor) -> Iterator[Tensor]:
        """Yield n d h w with unit columns, of images in [0, 1]."""
        yield from super().features(images * 2 - 1)


@torch.no_grad()
def feature_distance(net: Mae | EarlyClip, images: Tensor, truth: Tensor) -> Tensor:
    r"""Compare features, an image at a time, with no weights learned for it.

    $$d(x, x_0) = \tfrac1L \sum_l \tfrac1{H_l W_l} \sum_{h,w} \|\hat y^l_{hw} - \hat y^l_{0hw}\|^2$$

    Source: Zhang et al. 2018, LPIPS (arXiv:1801.03924), eq. 1 with w_l = 1.
    """
    found = []
    for pair in zip(images.split(BATCH), truth.split(BATCH), strict=True):
        layers = zip(*(net.features(to_unit(part)) for part in pair), strict=True)
        distances = [(a - b).square().sum(dim=1).mean(dim=(1, 2)) for a, b in layers]
        found.append(torch.stack(distances).mean(dim=0))
    return torch.cat(found)


def signal_to_noise(images: Tensor, truth: Tensor) -> Tensor:
    r"""Measure PSNR, an image at a time: $-10 \log_{10}$ of the mean squared error."""
    error = (to_unit(images) - to_unit(truth)).square().mean(dim=(1, 2, 3))
    return -10 * error.clamp(min=1e-10).log10()


def structure(images: Tensor, truth: Tensor) -> Tensor:
    """Measure SSIM, an image at a time (Wang et al. 2004, windows of 11)."""
    return structural_similarity_index_measure(
        to_unit(images), to_unit(truth), data_range=1.0, reduction="none"
    )
