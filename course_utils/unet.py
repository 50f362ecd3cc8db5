"""A small denoiser: a U-Net that looks at noised images and says which noise is in them.

On the way down each level halves the images' side and keeps what it saw; on the way up this comes
back, so that the network knows both what the image shows and where every pixel belongs.
"""

import math
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.hub import check_model, read_settings

NUM_GROUPS = 8  # of channels that are normalized together
MAX_PERIOD = 10_000.0  # of the slowest wave in a step's embedding, in steps / 2π


@dataclass(frozen=True)
class UNetConfig:
    """The size of a network, and what it is told beside the image and the step."""

    image_channels: int = 3
    channels: tuple[int, ...] = (32, 64, 64)  # one width a level; each level halves the side
    patch: int = 1  # side of the squares of pixels that become channels; 2 costs a quarter
    num_classes: int | None = None  # K: labels are integers 0 … K-1, and K for "no class"
    vector_dim: int | None = None  # d: labels are rows of d floats, and zeros for "no condition"

    def __post_init__(self) -> None:
        """Refuse sizes that make no network."""
        if not self.channels or any(c < 1 or c % NUM_GROUPS for c in self.channels):
            raise ValueError(
                f"channels: expected one multiple of {NUM_GROUPS} a level, got {self.channels}"
            )
        for name in ("image_channels", "patch", "num_classes", "vector_dim"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: expected at least 1, got {value}")
        if self.num_classes is not None and self.vector_dim is not None:
            raise ValueError("expected num_classes or vector_dim, got both; leave one out")

    @property
    def side_factor(self) -> int:
        """What the height and the width of an image must be multiples of."""
        return self.patch * 2 ** (len(self.channels) - 1)


def timestep_embedding(t: Int[Tensor, " n"], dim: int) -> Float[Tensor, "n dim"]:
    r"""Turn steps into waves of many frequencies, from which a network can tell them apart.

    $$e_i = \sin(\omega_i t), \quad e_{i + d/2} = \cos(\omega_i t), \quad
    \omega_i = 10000^{-2i/d}, \quad i = 0 \dots d/2 - 1$$

    Args:
        t: steps, 0-based.
        dim: d, even.

    Raises:
        ValueError: an odd number of dimensions, or none.

    Source:
        Vaswani et al. 2017 (arXiv:1706.03762), section 3.5; Ho et al. 2020 (arXiv:2006.11239),
        appendix B.
    """
    if dim < 2 or dim % 2:
        raise ValueError(f"dim: expected an even number of at least 2, got {dim}")
    exponent = torch.arange(0, dim, 2, device=t.device) / dim
    angle = t.float()[:, None] * torch.exp(-math.log(MAX_PERIOD) * exponent)
    return torch.cat([angle.sin(), angle.cos()], dim=1)


class ResBlock(nn.Module):
    r"""Two convolutions beside a shortcut; the embedding scales and shifts what is between them.

    $$y = W x + f_2\big(s(e) \cdot \mathrm{norm}(f_1(x)) + b(e)\big)$$

    The second convolution starts at zero, so that the block starts as its shortcut.
    """

    def __init__(self, in_channels: int, out_channels: int, embedding_dim: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(NUM_GROUPS, in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.scale_shift = nn.Linear(embedding_dim, 2 * out_channels)
        self.norm2 = nn.GroupNorm(NUM_GROUPS, out_channels)
        self.conv2 = _start_at_zero(nn.Conv2d(out_channels, out_channels, 3, padding=1))
        same = in_channels == out_channels
        self.shortcut = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 1)

    def forward(
        self, x: Float[Tensor, "n c h w"], embedding: Float[Tensor, "n d"]
    ) -> Float[Tensor, "n c_out h w"]:
        """Add what the convolutions found to the input."""
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.scale_shift(embedding)[:, :, None, None].chunk(2, dim=1)
        h = torch.addcmul(shift, self.norm2(h), 1 + scale)
        return self.shortcut(x) + self.conv2(F.silu(h))


class AttentionBlock(nn.Module):
    r"""Let every place of the image look at every other, whatever is between them.

    $$y = x + W \,\mathrm{softmax}(q k^\top / \sqrt{c})\, v$$

    Source:
        Vaswani et al. 2017 (arXiv:1706.03762), eq. 1, with one head.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(NUM_GROUPS, channels)
        self.query_key_value = nn.Linear(channels, 3 * channels)
        self.out = _start_at_zero(nn.Linear(channels, channels))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Add what was found elsewhere in the image to each place."""
        places = self.norm(x).flatten(2).transpose(1, 2)
        query, key, value = self.query_key_value(places).chunk(3, dim=2)
        found = self.out(F.scaled_dot_product_attention(query, key, value))
        return x + found.transpose(1, 2).unflatten(2, x.shape[2:])


class UNet(nn.Module):
    r"""Predict the noise in noised images, at any step, with or without a condition.

    $$\epsilon_\theta(x_t, t, y) = a(t)\,x_t + b(t)\,f_\theta(x_t, t, y)$$

    At late steps x_t is almost nothing but noise. The first term hands it on, and f only has to
    find the little that is image; without it, all the noise would have to pass through f, which
    takes long to learn. a and b are learned and start at 1; the last layer of f starts at zero.

    Source:
        Ho et al. 2020 (arXiv:2006.11239), appendix B; scale and shift, Dhariwal and Nichol 2021
        (arXiv:2105.05233), section 3.1; a and b in the place of Karras et al. 2022's c_skip and
        c_out (arXiv:2206.00364), eq. 7.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        first, last = config.channels[0], config.channels[-1]
        pixels, dim = config.image_channels * config.patch**2, 4 * first
        self.embed_step = nn.Sequential(nn.Linear(dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        if config.num_classes is not None:
            self.embed_label = nn.Embedding(config.num_classes + 1, dim)
        elif config.vector_dim is not None:
            self.embed_label = nn.Linear(config.vector_dim, dim, bias=False)  # zeros stay zeros
        self.first = nn.Conv2d(pixels, first, 3, padding=1)
        widths = (first, *config.channels)  # in front of each level
        self.down = nn.ModuleList(ResBlock(*pair, dim) for pair in pairwise(widths))
        self.middle = ResBlock(last, last, dim)
        self.attention = AttentionBlock(last)
        below = (last, *reversed(config.channels))
        self.up = nn.ModuleList(ResBlock(a + b, b, dim) for a, b in pairwise(below))
        self.last_norm = nn.GroupNorm(NUM_GROUPS, first)
        self.last = _start_at_zero(nn.Conv2d(first, pixels, 3, padding=1))
        self.balance = _start_at_zero(nn.Linear(dim, 2))  # a - 1 and b - 1
        self.to(memory_format=torch.channels_last)  # in which convolutions are fastest

    @property
    def null_label(self) -> int | None:
        """The label that means "no class", K; None if the network reads no class labels."""
        return self.config.num_classes

    def forward(
        self,
        x_t: Float[Tensor, "n c h w"],
        t: Int[Tensor, " n"],
        labels: Int[Tensor, " n"] | Float[Tensor, "n d"] | None = None,
    ) -> Float[Tensor, "n c h w"]:
        """Predict the noise.

        Args:
            x_t: noised images; height and width are multiples of ``config.side_factor``.
            t: step of each image, 0-based.
            labels: classes 0 … K-1 (K is "no class"), or rows of d floats (zeros are "no
                condition"), as the network was built; None is no class or condition for all.

        Returns:
            ``eps_pred``, for each image.

        Raises:
            ValueError: shapes or labels of another kind than the network was built for.
        """
        _check(x_t, t, self.config)
        step = self.embed_step(timestep_embedding(t, 4 * self.config.channels[0]).to(x_t.dtype))
        embedding = F.silu(step + self._embed(labels, t))
        pixels = F.pixel_unshuffle(x_t, self.config.patch)
        h = self.first(pixels.contiguous(memory_format=torch.channels_last))
        seen = []
        for level, block in enumerate(self.down):
            h = block(F.avg_pool2d(h, 2) if level else h, embedding)
            seen.append(h)
        h = self.attention(self.middle(h, embedding))
        for level, block in enumerate(self.up):
            h = F.interpolate(h, scale_factor=2.0) if level else h  # each pixel becomes four
            h = block(torch.cat([h, seen.pop()], dim=1), embedding)
        found = F.pixel_shuffle(self.last(F.silu(self.last_norm(h))), self.config.patch)
        a, b = (1 + self.balance(F.silu(step)))[:, :, None, None].chunk(2, dim=1)
        return a * x_t + b * found

    def _embed(self, labels: Tensor | None, t: Tensor) -> Tensor | float:
        """Say what the labels add to the embedding of the step."""
        if labels is None and self.null_label is not None:
            labels = torch.full_like(t, self.null_label)
        if labels is None:
            return 0.0
        _check_labels(labels, len(t), self.config)
        return self.embed_label(labels)


def load_unet(root: Path) -> UNet:
    """Load a network that was trained before.

    Args:
        root: its folder, with ``config.json`` (the fields of `UNetConfig`; others are left to the
            reader) and ``model.safetensors``.

    Returns:
        The network, ready to draw with.

    Raises:
        ArtifactError: a file is missing or damaged.
        ValueError: the settings describe no network, or another one than the weights'.
    """
    from safetensors.torch import load_file

    check_model(root)
    settings = read_settings(root, "config.json")
    try:
        known = {field.name: settings[field.name] for field in fields(UNetConfig)}
        with torch.random.fork_rng(devices=[]):
            net = UNet(UNetConfig(**known | {"channels": tuple(known["channels"])}))
        net.load_state_dict(load_file(root / "model.safetensors"))
    except (KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"{root.name}: config.json does not describe its weights") from error
    return net.eval()


def _check(x_t: Tensor, t: Tensor, config: UNetConfig) -> None:
    multiple = config.side_factor
    fits = x_t.dim() == 4 and x_t.shape[1] == config.image_channels and x_t.is_floating_point()
    if not fits or any(side < 1 or side % multiple for side in x_t.shape[2:]):
        raise ValueError(
            f"x_t: expected floats of shape (n, {config.image_channels}, h, w) with sides that are "
            f"multiples of {multiple}, got {x_t.dtype} of shape {tuple(x_t.shape)}"
        )
    if t.shape != (len(x_t),) or t.is_floating_point():
        got = f"{t.dtype} of shape {tuple(t.shape)}"
        raise ValueError(f"t: expected {len(x_t)} integers, one step for each image, got {got}")


def _check_labels(labels: Tensor, num_images: int, config: UNetConfig) -> None:
    classes, dim = config.num_classes, config.vector_dim
    if classes is None and dim is None:
        raise ValueError("labels: expected None, as this network was built without a condition")
    shape = (num_images,) if dim is None else (num_images, dim)
    kind = "integers" if dim is None else "floats"
    if labels.shape != shape or labels.is_floating_point() != (dim is not None):
        got = f"{labels.dtype} of shape {tuple(labels.shape)}"
        raise ValueError(f"labels: expected {kind} of shape {shape}, got {got}")
    if dim is not None or labels.is_cuda or torch.compiler.is_compiling() or not num_images:
        return  # a GPU would have to stop for a look at the numbers
    low, high = (int(end) for end in torch.aminmax(labels))
    if low < 0 or high > classes:
        raise ValueError(
            f"labels: expected classes 0 to {classes - 1}, or {classes} for no class, got "
            f"{low if low < 0 else high}"
        )


def _start_at_zero(layer: nn.Conv2d | nn.Linear) -> nn.Conv2d | nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
