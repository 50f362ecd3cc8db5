"""Images and their masks drawn together, by one diffusion over both (SatSynth).

A mask holds whole numbers, a diffusion wants Gaussian ones: each class becomes its number in base
two, one channel a digit, -1 for 0 and 1 for 1. To the network these bits are channels like red.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from course_utils.control.conditions import color_cover
from course_utils.diffusion import NoiseSchedule
from course_utils.hub import locate
from course_utils.images import to_bytes, to_model
from course_utils.samplers import ddim_sample
from course_utils.unet import UNet, load_unet

SIDE = 32  # pixels of a tile
COLORS = 3  # channels of an image, in front of the bits
BIT_SCALE = 0.5  # of the bits beside the colors, so that they vary about as much and rule no step
NUM_TRAIN_STEPS = 1000  # of the cosine schedule that the small model was trained with
AT_ONCE = 64  # pairs drawn together
# Six classes: what one cannot tell apart at 2 m a pixel counts as one
COVER: tuple[str, ...] = ("open ground", "paved", "tree", "water", "agriculture", "building")
MERGED = (0, 0, 1, 1, 2, 3, 4, 5)  # the class of each code of mini_earth.LAND_COVER
SHOWN = (1, 3, 4, 5, 6, 7)  # the code whose color shows each class


@dataclass(frozen=True)
class Pairs:
    """Tiles and what is where on them."""

    images: UInt8[Tensor, "n 3 h w"]
    masks: UInt8[Tensor, "n h w"]  # classes 0 … C-1
    unused_share: float = 0.0  # of the pixels, when drawn: their code stood for no class

    def __post_init__(self) -> None:
        """Refuse images and masks that do not lie on each other."""
        shape = (len(self.images), *self.images.shape[2:])
        if self.images.dim() != 4 or self.masks.shape != shape:
            got = f"{tuple(self.images.shape)} and {tuple(self.masks.shape)}"
            raise ValueError(f"expected images (n, 3, h, w) and masks (n, h, w), got {got}")

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: Tensor | slice) -> "Pairs":
        """Keep these rows."""
        return Pairs(self.images[rows], self.masks[rows])


def merge_cover(land_cover: UInt8[Tensor, "*n h w"]) -> UInt8[Tensor, "*n h w"]:
    """Turn codes of ``mini_earth.LAND_COVER`` into the six classes of ``COVER``."""
    return torch.tensor(MERGED, dtype=torch.uint8)[land_cover.long()]


def color_mask(masks: UInt8[Tensor, "*n h w"]) -> Float[Tensor, "*n 3 h w"]:
    """Paint the classes of ``COVER`` in the colors of land cover, 0 to 1."""
    return color_cover(torch.tensor(SHOWN, dtype=torch.uint8)[masks.long()])


# --- Analog bits ------------------------------------------------------------------------------


def count_bits(num_classes: int) -> int:
    r"""Count the bits that tell C classes apart, $b = \lceil \log_2 C \rceil$.

    Raises:
        ValueError: under two classes, or more than a byte can count.
    """
    if not 2 <= num_classes <= 256:
        raise ValueError(f"num_classes: expected 2 to 256, got {num_classes!r}")
    return (num_classes - 1).bit_length()


def class_codes(num_classes: int) -> Float[Tensor, "k b"]:
    """Write the number of each class in base two, highest bit first, as -1 and 1."""
    places = torch.arange(count_bits(num_classes) - 1, -1, -1)
    digits = (torch.arange(num_classes)[:, None] >> places) & 1
    return 2.0 * digits - 1


def bits_from_mask(mask: UInt8[Tensor, "n h w"], *, num_classes: int) -> Float[Tensor, "n b h w"]:
    r"""Turn classes into channels of -1 and 1: $b = \lceil \log_2 C \rceil$ of them.

    Args:
        mask: classes 0 … C-1.
        num_classes: C.

    Raises:
        ValueError: a class outside 0 … C-1.

    Source: Toker et al. 2024, SatSynth (arXiv:2403.16605), section 3; Chen et al. 2022, analog bits
    (arXiv:2208.04202), section 2.
    """
    codes = class_codes(num_classes)
    if mask.numel() and (most := int(mask.max())) >= num_classes:
        raise ValueError(
            f"mask: expected classes 0 to {num_classes - 1}, got {most}; a pixel without a label "
            "(often 255) needs a class of its own, or must be cut away"
        )
    return codes[mask.long()].movedim(-1, 1)


def mask_from_bits(
    bits: Float[Tensor, "n b h w"], *, num_classes: int
) -> tuple[UInt8[Tensor, "n h w"], float]:
    r"""Turn drawn bits back into classes, and count the pixels whose code is no class.

    $$\text{class} = \arg\max_k \sum_j \text{bit}_j\, \text{code}_{kj}, \quad k = 0 \dots C-1$$

    Where the signs of the bits spell a class this is that class. Where they spell one of the
    $2^b - C$ unused codes, it is the class that the least sure bits are closest to.

    Args:
        bits: drawn, around -1 and 1.
        num_classes: C.

    Returns:
        The classes, and the share of pixels whose signs spell an unused code.

    Raises:
        ValueError: another number of bits than C classes have, or NaN.
    """
    codes = class_codes(num_classes)
    if bits.dim() != 4 or bits.shape[1] != codes.shape[1]:
        raise ValueError(
            f"bits: expected {codes.shape[1]} channels for {num_classes} classes, (n, "
            f"{codes.shape[1]}, h, w), got {tuple(bits.shape)}"
        )
    if not torch.isfinite(bits).all():
        raise ValueError("bits: expected finite numbers, got NaN or infinity")
    mask = torch.einsum("nbhw,kb->nkhw", bits, codes.to(bits)).argmax(dim=1)
    places = 2 ** torch.arange(codes.shape[1] - 1, -1, -1, device=bits.device)
    spelled = ((bits > 0).long() * places[:, None, None]).sum(dim=1)
    unused = (spelled >= num_classes).float()
    return mask.to(torch.uint8), unused.mean().item() if len(unused) else 0.0


def join(pairs: Pairs, *, num_classes: int = len(COVER)) -> Float[Tensor, "n c h w"]:
    """Stack colors in [-1, 1] and bits of half that size: what the diffusion learns to draw.

    Bits of -1 and 1 vary ten times as much as the colors of overhead images: a network that errs
    least on both would look after the masks alone.

    Raises:
        ValueError: images that are no bytes, or classes outside 0 … C-1.

    Source: the scale of analog bits, Chen et al. 2022 (arXiv:2208.04202), section 2.
    """
    bits = bits_from_mask(pairs.masks, num_classes=num_classes)
    return torch.cat([to_model(pairs.images), BIT_SCALE * bits], dim=1)


def split(x0: Float[Tensor, "n c h w"], *, num_classes: int = len(COVER)) -> Pairs:
    """Take what was drawn apart: colors are rounded to bytes, bits to classes.

    Raises:
        ValueError: another number of channels than three and those of the bits.
    """
    masks, unused_share = mask_from_bits(x0[:, COLORS:] / BIT_SCALE, num_classes=num_classes)
    return Pairs(to_bytes(x0[:, :COLORS]), masks, unused_share)


# --- The small model --------------------------------------------------------------------------


def load_satsynth(
    artifact: str = "small_satsynth", *, models: Path | None = None, remote: bool = False
) -> UNet:
    """Load the small denoiser of tiles and masks together.

    Args:
        artifact: a name of the lock, or the path of a folder.
        models: a folder to search first (``COURSE_MODELS``).
        remote: ask the hub for what is not here.

    Raises:
        ArtifactError: the name is unknown, or no place has it.
        ValueError: its settings are not those of its weights, or it draws no mask.
    """
    net = load_unet(locate(artifact, models=models, remote=remote).root)
    if net.config.image_channels <= COLORS:
        got = f"{net.config.image_channels} channels"
        raise ValueError(f"{artifact}: expected a network of colors and bits, got {got}")
    return net


@torch.no_grad()
def draw_pairs(
    net: UNet,
    num_pairs: int,
    *,
    generator: torch.Generator,
    num_classes: int = len(COVER),
    num_sample_steps: int = 25,
) -> Pairs:
    """Draw images together with their masks, from noise alone, by DDIM.

    Args:
        net: from `load_satsynth`, in eval mode.
        num_pairs: how many, at least one.
        generator: draws the noise, on the CPU: equal ones give equal pairs.
        num_classes: of the masks.
        num_sample_steps: of the sampler.

    Raises:
        ValueError: no pairs asked for, or a network for another number of classes.
    """
    channels = COLORS + count_bits(num_classes)
    if num_pairs < 1 or net.config.image_channels != channels:
        raise ValueError(
            f"expected a pair or more from a network with {channels} channels, for {num_classes} "
            f"classes, got {num_pairs} from one with {net.config.image_channels}"
        )
    x_T = torch.randn(num_pairs, channels, SIDE, SIDE, generator=generator)
    schedule, drawn = NoiseSchedule.cosine(NUM_TRAIN_STEPS), []
    device = next(net.parameters()).device
    for part in x_T.to(device).split(AT_ONCE):
        steps = {"num_sample_steps": num_sample_steps, "clip_x0": True}
        *_, last = ddim_sample(net, part, schedule, **steps)
        drawn.append(last.x_t.cpu())
    return split(torch.cat(drawn), num_classes=num_classes)
