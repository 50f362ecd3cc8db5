"""What an adapter learns from: latents of told views, their captions, and the frozen generator."""

import argparse
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from torch import Tensor, nn
from tqdm.auto import tqdm

from course_utils import control, text2image
from course_utils.diffusion import mix, v_from_x0_eps
from tools import training
from tools.control.views import ToldViews

EMPTY_SHARE = 0.15  # of the captions
SNR_LIMIT = 5.0  # gamma of min-SNR
EMBEDDING = (16, 32, 64)  # channels of the maps on their way from 64 to 16 positions a side


@dataclass(frozen=True)
class Base:
    """The generator that an adapter steers; it learns nothing more."""

    pipeline: object
    alpha_bar: Tensor
    weights: Tensor  # of the steps: min-SNR for v-prediction

    @classmethod
    def load(cls, name: str) -> "Base":
        """Load a small text-to-image model and freeze it."""
        pipeline = text2image.load_pipeline(name, device="cpu").pipeline
        for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder):
            part.requires_grad_(False).eval()
        pipeline.unet.to(memory_format=torch.channels_last)
        alpha_bar = pipeline.scheduler.alphas_cumprod.float()
        snr = alpha_bar / (1 - alpha_bar)
        return cls(pipeline, alpha_bar, snr.clamp(max=SNR_LIMIT) / (snr + 1))

    @property
    def unet(self) -> UNet2DConditionModel:
        """Give the frozen denoiser."""
        return self.pipeline.unet

    @torch.no_grad()
    def encode_images(self, images: Tensor) -> Tensor:
        """Turn uint8 images into latents."""
        parts = [self.pipeline.vae.encode(p / 127.5 - 1).latent_dist.mean for p in images.split(64)]
        return torch.cat(parts) * self.pipeline.vae.config.scaling_factor

    @torch.no_grad()
    def encode_captions(self, captions: list[str]) -> Tensor:
        """Turn captions into what the denoiser reads."""
        tokens = self.pipeline.tokenizer(
            captions,
            padding="max_length",
            max_length=self.pipeline.tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        ).input_ids
        return self.pipeline.text_encoder(tokens).last_hidden_state

    def noise(self, x0: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw steps and noise: x_t, t and the v to predict."""
        t = torch.randint(len(self.alpha_bar), (len(x0),), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        a = self.alpha_bar[t][:, None, None, None]
        scales = a.sqrt(), (1 - a).sqrt()
        return mix(x0, eps, *scales), t, v_from_x0_eps(x0, eps, *scales)

    def loss(self, v_pred: Tensor, v: Tensor, t: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Weigh the squared errors of v by step."""
        errors = (v_pred.float() - v).square().mean(dim=(1, 2, 3))
        return (self.weights[t] * errors).mean() / self.weights.mean(), {
            "v_error": errors.mean().item()
        }


def draw_captions(captions: list[str], rng: np.random.Generator) -> list[str]:
    """Leave some captions empty."""
    return ["" if rng.random() < EMPTY_SHARE else caption for caption in captions]


def draw_rows(rng: np.random.Generator, num: int, roads: Tensor, batch: int) -> Tensor:
    """Draw the rows of a batch: half of all, half of those with roads."""
    half = batch // 2
    anywhere = torch.from_numpy(rng.integers(num, size=half))
    return torch.cat(
        [anywhere, roads[torch.from_numpy(rng.integers(len(roads), size=batch - half))]]
    )


# --- ControlNets ------------------------------------------------------------------------------


def make_controlnet(unet: UNet2DConditionModel, num_channels: int) -> ControlNetModel:
    """Copy the way down of the denoiser, with layers that start at zero."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = ControlNetModel.from_unet(
            unet,
            conditioning_channels=num_channels,
            conditioning_embedding_out_channels=EMBEDDING,
        )
    return net.requires_grad_(True).to(memory_format=torch.channels_last)


def steer(
    unet: UNet2DConditionModel,
    net: nn.Module,
    x_t: Tensor,
    t: Tensor,
    context: Tensor,
    maps: Tensor,
) -> Tensor:
    """Predict v, told maps."""
    down, middle = net(x_t, t, context, controlnet_cond=maps, return_dict=False)
    told = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
    return unet(x_t, t, encoder_hidden_states=context, **told).sample


# --- Maps -------------------------------------------------------------------------------------


def _find(images: np.ndarray) -> np.ndarray:
    """Find edges and lines of images (n 3 h w), as bytes."""
    pictures = images.transpose(0, 2, 3, 1)
    found = [(control.find_lines(each), control.find_edges(each)) for each in pictures]
    return (255 * np.array(found)).round().astype(np.uint8)


def find_maps(views: ToldViews, path: Path, *, processes: int) -> Tensor:
    """Find lines and edges of all images, uint8 (n, 2, h, w), or read them back."""
    if not path.is_file():
        parts = [part.numpy() for part in views.images.split(250)]
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            found = list(tqdm(pool.map(_find, parts), total=len(parts), mininterval=10))
        with path.with_suffix(".part").open("wb") as file:
            np.save(file, np.concatenate(found))
        path.with_suffix(".part").rename(path)
    return torch.from_numpy(np.load(path))


def maps_of(views: ToldViews, found: Tensor, rows: Tensor) -> Tensor:
    """Stack the six maps of some rows in CRS-Diff's order, 0 to 1: n 18 h w."""
    cover = views.land_cover[rows]
    lines, edges = (found[rows].float() / 255).unbind(dim=1)
    road = (cover == control.ROAD).float()
    depth = (views.heights[rows].float() / control.TALLEST).clamp(max=1)
    gray = torch.stack([lines, edges, control.outline_cover(cover), road, depth], dim=1)
    gray = gray.repeat_interleave(control.CHANNELS, dim=1)
    return torch.cat([gray, control.color_cover(cover)], dim=1)


def drop_maps(maps: Tensor, rng: np.random.Generator) -> Tensor:
    """Leave out maps: one alone, all, none, or each with probability a half.

    Source: Zhao et al. 2023, Uni-ControlNet (arXiv:2305.16322), section 4.1.
    """
    num, kinds = len(maps), len(control.CONDITIONS)
    keep = rng.random((num, kinds)) < 0.5
    how = rng.random(num)
    keep[how < 0.1] = True
    keep[(how >= 0.1) & (how < 0.2)] = False
    alone = (how >= 0.2) & (how < 0.6)
    keep[alone] = np.eye(kinds, dtype=bool)[rng.choice(kinds, alone.sum(), p=ALONE)]
    kept = torch.from_numpy(keep).float().repeat_interleave(control.CHANNELS, dim=1)
    return maps * kept[:, :, None, None]


ALONE = (0.1, 0.1, 0.1, 0.35, 0.1, 0.25)  # which map, if one: the road's is the sparsest


def rows_with_roads(views: ToldViews, share: float) -> Tensor:
    """List rows whose road covers at least this share of the image."""
    covered = (views.land_cover == control.ROAD).float().mean(dim=(1, 2))
    return (covered >= share).nonzero()[:, 0]


def parse(doc: str, **settings: object) -> argparse.ArgumentParser:
    """Make the parser that the trainers have in common."""
    names = ("work", "name", "models", "styles", "minutes", "steps", "batch", "learning_rate")
    names = (*names, "renders", "validation_renders", "seed", "threads", "processes", "export")
    defaults = {"renders": 16_000, "validation_renders": 1_000, "batch": 48, "processes": 2}
    return training.make_parser(doc, names, **defaults | settings)
