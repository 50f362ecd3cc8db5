"""Random ControlNets, embeddings of metadata and a DiffusionSat, over the tiny pipeline."""

import json
from pathlib import Path

import torch
from diffusers import ControlNetModel, UNet2DModel
from safetensors.torch import load_file, save_file
from tiny_models import write_tiny_text2image

from course_utils import control, text2image

SIZE = 16  # pixels


def scrambled(net: torch.nn.Module, seed: int, *, scale: float = 0.1) -> torch.nn.Module:
    """Give all weights random values: those that start at zero would show nothing."""
    generator = torch.Generator().manual_seed(seed)
    for weights in net.parameters():
        weights.data = scale * torch.randn(weights.shape, generator=generator)
    return net.eval()


def write_net(root: Path, model: text2image.TextToImage, *, seed: int = 1) -> None:
    """Write a ControlNet that reads 18 channels."""
    with torch.random.fork_rng(devices=[]):
        net = ControlNetModel.from_unet(
            model.pipeline.unet,
            conditioning_channels=18,
            conditioning_embedding_out_channels=(8, 16),
        )
    scrambled(net, seed).save_pretrained(root)


def make_embedding(*, width: int = 32, seed: int = 2) -> control.MetadataEmbedding:
    """Make an embedding of metadata that changes a lot."""
    with torch.random.fork_rng(devices=[]):
        return scrambled(control.MetadataEmbedding(dim=8, width=width), seed, scale=0.5)


def write_embedding(root: Path, *, width: int = 32) -> None:
    """Write an embedding of metadata."""
    root.mkdir(parents=True)
    save_file(make_embedding(width=width).state_dict(), root / "model.safetensors")
    (root / "config.json").write_text(json.dumps({"kind": "metadata", "width": width}))


def write_diffusionsat(root: Path) -> None:
    """Write a pipeline as DiffusionSat's port: a denoiser with metadata, and code beside it."""
    write_tiny_text2image(root, level_words=False)
    index = json.loads((root / "model_index.json").read_text())
    index |= {"_class_name": "DiffusionSatPipeline", "unet": ["sat_unet", "SatUNet"]}
    (root / "model_index.json").write_text(json.dumps(index))
    config = json.loads((root / "unet" / "config.json").read_text())
    config |= {"_class_name": "SatUNet", "use_metadata": True, "num_metadata": 7}
    (root / "unet" / "config.json").write_text(json.dumps(config))
    path = root / "unet" / "diffusion_pytorch_model.safetensors"
    save_file(load_file(path) | make_embedding().state_dict(), path)
    (root / "pipeline_diffusionsat.py").write_text("raise AssertionError('foreign code was run')")


def write_segmenter(root: Path, *, num_classes: int = 8) -> None:
    """Write a segmenter that has learned nothing."""
    with torch.random.fork_rng(devices=[]):
        net = UNet2DModel(
            sample_size=8,
            in_channels=12,
            out_channels=4 * num_classes,
            block_out_channels=(8, 8),
            down_block_types=("DownBlock2D",) * 2,
            up_block_types=("UpBlock2D",) * 2,
            layers_per_block=1,
            norm_num_groups=4,
            add_attention=False,
        )
    scrambled(net, 3).save_pretrained(root)
