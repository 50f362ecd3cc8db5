"""The networks of the small text-to-image model, and the one that its pictures are compared by."""

from collections.abc import Iterator
from pathlib import Path

import open_clip
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, UNet2DConditionModel
from safetensors.torch import load
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

SIZE, LATENT_CHANNELS, TEXT_WIDTH, MAX_TOKENS = 64, 6, 128, 77


def make_autoencoder() -> AutoencoderKL:
    """Make an autoencoder to 16 x 16 latents, with few channels where pixels are many."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 96),
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=SIZE,
        scaling_factor=1.0,  # latents have unit variance: see standardize_latents
        mid_block_add_attention=False,
    )


def make_denoiser() -> UNet2DConditionModel:
    """Make a denoiser that reads text on all but the way down from 16 x 16 positions."""
    return UNet2DConditionModel(
        sample_size=SIZE // 4,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(64, 128, 192),
        layers_per_block=1,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
    )


def make_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """Make a text encoder for the small vocabulary."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            intermediate_size=4 * TEXT_WIDTH,
            projection_dim=TEXT_WIDTH,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=MAX_TOKENS,
            hidden_act="gelu",
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def make_scheduler() -> DPMSolverMultistepScheduler:
    """Make the solver of the shipped pipeline; training takes its noise levels."""
    return DPMSolverMultistepScheduler(
        num_train_timesteps=1000,
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        solver_order=2,
        lambda_min_clipped=-5.1,  # the cosine schedule ends in pure noise: log-SNR is unbounded
        timestep_spacing="linspace",
        steps_offset=1,
    )


class Drawer(nn.Module):
    """The two networks that learn together: text encoder and denoiser."""

    def __init__(self, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.text_encoder, self.unet = make_text_encoder(tokenizer), make_denoiser()

    def start_from(self, folder: Path) -> None:
        """Take the weights of a pipeline folder with the same vocabulary."""
        for part in ("text_encoder", "unet"):
            (path,) = (folder / part).glob("*.safetensors")
            weights = load(path.read_bytes())
            getattr(self, part).load_state_dict({k: v.float() for k, v in weights.items()})

    def forward(self, x_t: Tensor, t: Tensor, tokens: Tensor) -> Tensor:
        """Predict v from noised latents, their step and a caption."""
        context = self.text_encoder(tokens).last_hidden_state
        return self.unet(x_t, t, encoder_hidden_states=context).sample


class Perception(nn.Module):
    """Compare images by early features of the small CLIP, which rewards texture and edges.

    Source:
        Zhang et al. 2018, LPIPS (arXiv:1801.03924), equation 1, with our own network.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            net = open_clip.create_model(f"local-dir:{folder}", require_pretrained=True)
        self.tower = net.visual.eval().requires_grad_(False)
        self.tower.to(memory_format=torch.channels_last)

    def features(self, images: Tensor) -> Iterator[Tensor]:
        """Yield features with unit channels, of images in [-1, 1]."""
        net = self.tower
        x = images / 0.5  # small_clip wants (pixels - 0.5) / 0.25
        x = net.act2(net.bn2(net.conv2(net.act1(net.bn1(net.conv1(x))))))
        yield F.normalize(x, dim=1)
        x = net.layer1(net.avgpool(net.act3(net.bn3(net.conv3(x)))))
        yield F.normalize(x, dim=1)
        yield F.normalize(net.layer2(x), dim=1)

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        """Average the squared distance over positions and layers."""
        with torch.no_grad():
            wanted = list(self.features(targets))
        pairs = zip(self.features(images), wanted, strict=True)
        return sum((a.float() - b.float()).square().sum(dim=1).mean() for a, b in pairs) / 3
