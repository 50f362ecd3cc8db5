"""The line of models from AlexNet to CoCa: as published, narrow for 64 pixels, and trained.

Each is built from the class of the library that everybody uses: torchvision, timm, open_clip or
transformers. A body gives features of images; a last layer for classes is the caller's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import open_clip
import timm
import torch
import torchvision
from jaxtyping import Float
from open_clip.coca_model import CoCa
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.resnet import BasicBlock, ResNet
from transformers import ViTMAEConfig, ViTMAEForPreTraining, ViTMAEModel

from course_utils.hub import locate
from course_utils.zero_shot.folders import LOCAL
from course_utils.zero_shot.models import load_clip

# of timm, which names no revision of its files
_VIT = "vit_base_patch16_224.augreg_in21k_ft_in1k"
_SWIN = "swin_tiny_patch4_window7_224.ms_in1k"
_COCA = ("coca_ViT-B-32", "laion2b_s13b_b90k")  # of open_clip, which names none either

_SIDE, _PATCH = 64, 8  # pixels of the small variants
_VISION = {"image_size": _SIDE, "patch_size": _PATCH, "width": 128, "layers": 4, "head_width": 32}
_TEXT = {"context_length": 40, "vocab_size": 2000, "width": 64, "heads": 2, "layers": 1}
_WRITER = _TEXT | {"width": 128, "heads": 4}
_MAE = {"image_size": _SIDE, "patch_size": _PATCH, "hidden_size": 192, "num_hidden_layers": 6}
_MAE |= {"num_attention_heads": 6, "intermediate_size": 768}

Build = Callable[[], nn.Module]


@dataclass(frozen=True)
class Kind:
    """One model of the line: three ways to build it, none of which is called before it is asked."""

    real: Build  # as published, random weights
    small: Build  # the same class, narrower, for 64 pixels; a body without a last layer
    trained: Build  # a body with published weights (or what stands in), and ``side``, their pixels


def model_line(*, models: Path | None = None, remote: bool = False) -> dict[str, Kind]:
    """List AlexNet, ResNet, ViT, Swin, CLIP-ViT, MAE-ViT and CoCa-ViT, each ready to be built.

    Args:
        models: a folder to search first for weights.
        remote: take published weights from a hub; else CLIP, MAE and CoCa are the small ones that
            ship, and the others have no trained form.

    Source:
        Krizhevsky 2014 (arXiv:1404.5997), torchvision's AlexNet; He et al. 2015 (arXiv:1512.03385)
        with the stride in the 3 x 3 convolution; Dosovitskiy et al. 2020 (arXiv:2010.11929); Liu et
        al. 2021 (arXiv:2103.14030); Radford et al. 2021 (arXiv:2103.00020); He et al. 2021
        (arXiv:2111.06377); Yu et al. 2022 (arXiv:2205.01917).
    """
    zoo = torchvision.models
    return {
        "AlexNet": Kind(
            real=zoo.alexnet,
            small=lambda: _without(zoo.AlexNet(), "classifier", "avgpool"),
            trained=lambda: _sees(_without(zoo.alexnet(weights="IMAGENET1K_V1"), "classifier")),
        ),
        "ResNet": Kind(
            real=zoo.resnet50,
            small=lambda: _without(ResNet(BasicBlock, [1, 1, 1, 1]), "fc"),
            trained=lambda: _sees(_without(zoo.resnet50(weights="IMAGENET1K_V2"), "fc")),
        ),
        "ViT": Kind(
            real=lambda: timm.create_model("vit_base_patch16_224"),
            small=_small_vit,
            trained=lambda: _sees(timm.create_model(_VIT, pretrained=True, num_classes=0)),
        ),
        "Swin": Kind(
            real=lambda: timm.create_model("swin_tiny_patch4_window7_224"),
            small=_small_swin,
            trained=lambda: _sees(timm.create_model(_SWIN, pretrained=True, num_classes=0)),
        ),
        "CLIP-ViT": Kind(
            real=lambda: open_clip.CLIP(**_published("ViT-B-32"), quick_gelu=True).visual,
            small=lambda: open_clip.CLIP(128, _VISION, _TEXT).visual,
            trained=lambda: _trained_clip(models, remote),
        ),
        "MAE-ViT": Kind(
            real=_mae_encoder,
            small=lambda: _mae_encoder(**_MAE),
            trained=lambda: _trained_mae(models, remote),
        ),
        "CoCa-ViT": Kind(
            real=lambda: _FirstOutput(CoCa(**_published("coca_ViT-B-32")).visual),
            small=_small_coca,
            trained=lambda: _trained_coca(models, remote),
        ),
    }


def count_cost(make: Build, side: int) -> tuple[int, int]:
    """Count the weights of a network and its operations for one image, without any weights.

    On PyTorch's ``meta`` device tensors have shapes and nothing in them. A multiplication and an
    addition count as two operations.

    Args:
        make: builds the network.
        side: pixels along a side of the image.
    """
    with torch.device("meta"):
        net, x = make().eval(), torch.empty(1, 3, side, side)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(x)
    return sum(p.numel() for p in net.parameters()), counter.get_total_flops()


class _FirstOutput(nn.Module):
    """An image tower of CoCa, whose second output are tokens for the writer."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        return self.encoder(x)[0]


class _ClassToken(_FirstOutput):
    """An encoder of transformers, of which the class token is read."""

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        return self.encoder(x).last_hidden_state[:, 0]


def _without(net: nn.Module, *parts: str) -> nn.Module:
    for part in parts:
        setattr(net, part, nn.Identity())
    return net


def _sees(net: nn.Module, side: int = 224) -> nn.Module:
    """Note how many pixels along a side the weights were trained on."""
    net.side = side
    return net


def _published(name: str) -> dict:
    """Read a configuration of open_clip, without what only its factory takes."""
    config = open_clip.get_model_config(name)
    return {key: value for key, value in config.items() if key != "custom_text"}


def _small_vit() -> nn.Module:
    shape = {"embed_dim": 128, "depth": 4, "num_heads": 4, "num_classes": 0}
    return timm.models.VisionTransformer(img_size=_SIDE, patch_size=_PATCH, **shape)


def _small_swin() -> nn.Module:
    shape = {"embed_dim": 48, "depths": (2, 2, 2), "num_heads": (2, 4, 8), "num_classes": 0}
    return timm.models.SwinTransformer(img_size=_SIDE, window_size=4, **shape)


def _small_coca() -> nn.Module:
    tower = _VISION | {"attentional_pool": True, "attn_pooler_heads": 4, "output_tokens": True}
    text = _WRITER | {"embed_cls": True, "output_tokens": True}
    writer = _WRITER | {"attn_pooler_heads": 4}
    shape = {"vision_cfg": tower, "text_cfg": text, "multimodal_cfg": writer}
    return _FirstOutput(CoCa(embed_dim=128, **shape).visual)


def _mae_encoder(**settings: int) -> nn.Module:
    """Build the encoder of a masked autoencoder that hides nothing."""
    encoder = ViTMAEModel(ViTMAEConfig(mask_ratio=0.0, **settings))
    nn.init.normal_(encoder.embeddings.position_embeddings, std=0.02)  # transformers 5 leaves 0
    return _ClassToken(encoder)


def _trained_clip(models: Path | None, remote: bool) -> nn.Module:
    clip = load_clip("clip_vit_b_32", models=models, remote=remote)
    return _sees(clip.net.visual, clip.image_size)


def _trained_mae(models: Path | None, remote: bool) -> nn.Module:
    root = locate("mae_vit_base", models=models, remote=remote).root
    net = ViTMAEForPreTraining.from_pretrained(root, mask_ratio=0.0, **LOCAL)
    return _sees(_ClassToken(net.vit), net.config.image_size)


def _trained_coca(models: Path | None, remote: bool) -> nn.Module:
    name = _COCA if remote else (f"local-dir:{locate('small_coca', models=models).root}",)
    tower = open_clip.create_model(*name).visual
    return _sees(_FirstOutput(tower), tower.image_size[0])
