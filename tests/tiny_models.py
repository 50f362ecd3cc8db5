"""Random-weight models in the shape of the shipped ones, small enough to build in a test."""

import json
from pathlib import Path

import open_clip
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from open_clip.push_to_hf_hub import save_config_for_hf
from safetensors.torch import save_file
from transformers import AddedToken, CLIPTextConfig, CLIPTextModel, CLIPTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

CLIP_CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
MEAN, STD = (0.4, 0.4, 0.4), (0.2, 0.25, 0.3)


def write_tiny_clip(root: Path, *, seed: int = 0) -> open_clip.CLIP:
    """Write an open_clip folder as the library itself would, in half precision."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = open_clip.CLIP(**CLIP_CONFIG).eval()
    net = net.half().float()  # what is read back from the file, exactly
    open_clip.model.set_model_preprocess_cfg(net, {"size": 32, "mean": MEAN, "std": STD})
    root.mkdir(parents=True, exist_ok=True)
    weights = {key: value.half().contiguous() for key, value in net.state_dict().items()}
    save_file(weights, root / "open_clip_model.safetensors")
    save_config_for_hf(net, root / "open_clip_config.json", model_config=CLIP_CONFIG)
    return net


def write_tiny_text2image(
    root: Path, *, seed: int = 0, level_words: bool = True, channels: int = 4, **unet: object
) -> None:
    """Write a Stable-Diffusion-shaped diffusers folder: 8 x 8 latents for 16 x 16 pixels.

    ``channels`` are those of the latents; ``unet`` are further settings of the denoiser.
    """
    tokenizer = _byte_tokenizer(level_words=level_words)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pipeline = StableDiffusionPipeline(
            vae=AutoencoderKL(
                down_block_types=("DownEncoderBlock2D",) * 2,
                up_block_types=("UpDecoderBlock2D",) * 2,
                block_out_channels=(8, 8),
                norm_num_groups=4,
                latent_channels=channels,
            ),
            text_encoder=CLIPTextModel(
                CLIPTextConfig(
                    vocab_size=len(tokenizer),
                    hidden_size=16,
                    intermediate_size=16,
                    num_hidden_layers=1,
                    num_attention_heads=2,
                    max_position_embeddings=32,
                    bos_token_id=tokenizer.bos_token_id,
                    eos_token_id=tokenizer.eos_token_id,
                    pad_token_id=tokenizer.pad_token_id,
                )
            ),
            tokenizer=tokenizer,
            unet=UNet2DConditionModel(
                sample_size=8,
                block_out_channels=(8, 8),
                layers_per_block=1,
                down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
                up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
                cross_attention_dim=16,
                attention_head_dim=4,
                norm_num_groups=4,
                out_channels=channels,
                **{"in_channels": channels, **unet},
            ),
            scheduler=DDIMScheduler(
                beta_schedule="scaled_linear",
                clip_sample=False,
                timestep_spacing="trailing",
                steps_offset=1,
            ),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    pipeline.save_pretrained(root)


def write_tiny_text2earth(root: Path, *, inpainting: bool = False, seed: int = 0) -> None:
    """Write a folder laid out as that of Text2Earth, with its traps.

    The index names a class that no library has, and another sampler than the folder configures;
    the code of that class lies beside it, and must not be run.
    """
    kind = "diffusion_inpaint" if inpainting else "diffusion"
    options = {"in_channels": 9} if inpainting else {}
    write_tiny_text2image(
        root, seed=seed, level_words=False, class_embed_type="timestep", **options
    )
    index = json.loads((root / "model_index.json").read_text(encoding="utf-8"))
    index["_class_name"] = f"Text2EarthDiffusion{'Inpaint' * inpainting}Pipeline"
    index["scheduler"] = ["diffusers", "PNDMScheduler"]
    index["feature_extractor"] = ["transformers", "CLIPFeatureExtractor"]  # gone since version 5
    (root / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    code = root / f"pipeline_text2earth_{kind}.py"
    code.write_text("raise AssertionError('foreign code was run')", encoding="utf-8")


def _byte_tokenizer(*, level_words: bool) -> CLIPTokenizer:
    # Bytes only, no merges: reads any text, one token a byte, and maybe one token a zoom level.
    letters = list(bytes_to_unicode().values())
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: i for i, word in enumerate(words)}
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=32)
    if level_words:
        levels = [AddedToken(f"{n}_GOOGLE_LEVEL_", normalized=False) for n in range(10, 19)]
        tokenizer.add_tokens(levels)
    return tokenizer
