"""Does a mask that was drawn with its image teach a segmenter? Small enough to be asked again.

A segmenter is trained on a few real pairs, alone or beside others, always for as many steps: more
data is not more training. It is the denoiser's own network, asked at step 0 with nothing in the
place of the bits, and its answers are read as the classes' logits.
"""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from course_utils.control.satsynth import COLORS, COVER, Pairs
from course_utils.images import to_model
from course_utils.metrics import mean_iou
from course_utils.unet import UNet, UNetConfig

CHANNELS = (16, 32, 64)
NUM_STEPS, BATCH, LEARNING_RATE = 200, 16, 1e-2


def train_segmenter(
    real: Pairs,
    *,
    extra: Pairs | None = None,
    augment: bool = False,
    seed: int = 0,
    num_steps: int = NUM_STEPS,
) -> UNet:
    """Train a small segmenter of ``COVER`` on pairs.

    Args:
        real: pairs to learn from.
        extra: others that fill half of every batch, however many there are.
        augment: turn by quarters, mirror and brighten or darken each tile.
        seed: of the first weights, of the batches and of the augmentation.
        num_steps: of Adam, on ``BATCH`` pairs each.

    Returns:
        The network in eval mode, for `segment_tiles`.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = UNet(UNetConfig(max(COLORS, len(COVER)), CHANNELS, patch=2)).train()
    optimizer = torch.optim.Adam(net.parameters())
    rates = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=num_steps, pct_start=0.1
    )
    parts = [real] if extra is None else [real, extra]
    for _ in range(num_steps):
        drawn = [_draw(part, BATCH // len(parts), generator) for part in parts]
        images, masks = (torch.cat(each) for each in zip(*drawn, strict=True))
        images = to_model(images)
        if augment:
            images, masks = _augment(images, masks, generator)
        loss = functional.cross_entropy(_logits(net, images), masks.long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rates.step()
    return net.eval()


@torch.no_grad()
def segment_tiles(net: UNet, images: UInt8[Tensor, "n 3 h w"]) -> UInt8[Tensor, "n h w"]:
    """Say which class of ``COVER`` each pixel is."""
    parts = [_logits(net, part).argmax(dim=1) for part in to_model(images).split(64)]
    return torch.cat(parts).to(torch.uint8)


def score_masks(found: UInt8[Tensor, "n h w"], asked: UInt8[Tensor, "n h w"]) -> float:
    """Give the mean IoU over the classes of ``COVER``, all tiles taken together."""
    return mean_iou(found, asked, num_classes=len(COVER))


def measure_once(
    real: Pairs,
    test: Pairs,
    *,
    extra: Pairs | None = None,
    augment: bool = False,
    seed: int = 0,
    num_steps: int = NUM_STEPS,
) -> float:
    """Train a segmenter on pairs, as `train_segmenter` does, and give its mIoU on others."""
    how = {"extra": extra, "augment": augment, "seed": seed, "num_steps": num_steps}
    net = train_segmenter(real, **how)
    return score_masks(segment_tiles(net, test.images), test.masks)


def _logits(net: UNet, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n k h w"]:
    padded = functional.pad(images, (0, 0, 0, 0, 0, net.config.image_channels - COLORS))
    return net(padded, torch.zeros(len(images), dtype=torch.int64))[:, : len(COVER)]


def _draw(pairs: Pairs, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    rows = torch.randint(len(pairs), (count,), generator=generator)
    return pairs.images[rows], pairs.masks[rows]


def _augment(images: Tensor, masks: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Turn, mirror and brighten each tile; the mask goes along with it."""
    poses = torch.randint(8, (len(images),), generator=generator).tolist()
    gain = 1 + 0.2 * (2 * torch.rand(len(images), 1, 1, 1, generator=generator) - 1)
    both = zip(images, masks, poses, strict=True)
    turned = [(turn_tile(image, pose), turn_tile(mask, pose)) for image, mask, pose in both]
    images, masks = (torch.stack(each) for each in zip(*turned, strict=True))
    return ((images + 1) * gain - 1).clamp(-1, 1), masks


def turn_tile(tile: Tensor, pose: int) -> Tensor:
    """Turn the last two axes by quarters, and mirror them for poses from 4; eight poses."""
    turned = torch.rot90(tile, pose % 4, (-2, -1))
    return turned.flip(-1) if pose >= 4 else turned
