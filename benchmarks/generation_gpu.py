"""Time a pipeline of Text2Earth's size on a GPU: the default call against batches and choices.

    python benchmarks/generation_gpu.py [--images 64] [--tiny]

Random weights are fine for timing. The default call is half precision, one prompt at a time, 50
Euler steps, guidance 4, 256 x 256, through `generate`, which encodes an equal sentence once. Each
further row adds one choice to the row above: batches, channels-last memory, ``torch.compile``, and
a second-order solver in 20 steps, which is another sampler and so other images. Prints images per
second, the ratio to the default call, and peak memory; exits with 1 if the last row is under twice
as fast or one needs 12 GB. ``--tiny`` runs the same rows with a tiny network anywhere, to see that
they run; its numbers say nothing.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from course_utils import hub, runtime, text2image

WIDTHS = {"full": (320, 640, 1280, 1280), "tiny": (32, 64, 64, 64)}
HEADS = {"full": (5, 10, 20, 20), "tiny": (2, 4, 4, 4)}
MOST_MEMORY = 12e9  # bytes; a T4 has 15 GB, of which the system and the notebook take some


def make_pipeline(size: str, device: torch.device) -> StableDiffusionPipeline:
    """Make a pipeline shaped as Text2Earth (arXiv:2501.00895) and Stable Diffusion 2 are."""
    text_width, depth = (1024, 23) if size == "full" else (64, 2)
    tokenizer = CLIPTokenizer.from_pretrained(
        hub.locate("small_text2image").root / "tokenizer",
        local_files_only=True,
        trust_remote_code=False,
    )
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=text_width,
            intermediate_size=4 * text_width,
            num_hidden_layers=depth,
            num_attention_heads=text_width // 64,
            max_position_embeddings=tokenizer.model_max_length,
        )
    )
    unet = UNet2DConditionModel(
        sample_size=32,
        block_out_channels=WIDTHS[size],
        attention_head_dim=HEADS[size],
        cross_attention_dim=text_width,
        use_linear_projection=True,
        class_embed_type="timestep",
    )
    vae = AutoencoderKL(
        block_out_channels=(128, 256, 512, 512) if size == "full" else (32, 32, 32, 32),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
    )
    euler = EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
    )
    pipeline = StableDiffusionPipeline(
        vae=vae.eval(),
        text_encoder=text_encoder.eval(),
        tokenizer=tokenizer,
        unet=unet.eval(),
        scheduler=euler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return pipeline.to(dtype=torch.float16 if device.type == "cuda" else torch.float32)


def measure(call: Callable[[int], object], num: int, device: torch.device) -> tuple[float, float]:
    """Return images per second and peak bytes, after a first call that compiles and warms up."""
    call(num)
    is_gpu = device.type == "cuda"
    if is_gpu:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    call(num)
    if is_gpu:
        torch.cuda.synchronize()
    peak = torch.cuda.max_memory_allocated() if is_gpu else float("nan")
    return num / (time.perf_counter() - start), peak


def main() -> int:
    """Time the rows and say whether the targets are met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args()
    device = runtime.pick_device()
    if device.type != "cuda" and not args.tiny:
        sys.exit("this benchmark needs a CUDA GPU; --tiny only shows that its rows run")
    with tempfile.TemporaryDirectory() as folder:
        make_pipeline("tiny" if args.tiny else "full", device).save_pretrained(Path(folder))
        model = text2image.load_pipeline(folder, device=device)
    steps = {"num_sample_steps": 4 if args.tiny else 50, "guidance_scale": 4.0, "level": 17}
    steps |= {"height": 256, "width": 256}

    def drawing(batch_size: int, **changes: int) -> Callable[[int], object]:
        config = text2image.GenerationConfig(**{**steps, **changes}, batch_size=batch_size)
        return lambda num: list(text2image.generate(model, ["a river"] * num, config))

    rows = {"default call": measure(drawing(1), max(1, args.images // 16), device)}
    rows["batches of 16"] = measure(drawing(16), args.images, device)
    model.pipeline.unet.to(memory_format=torch.channels_last)
    model.pipeline.vae.to(memory_format=torch.channels_last)
    rows["+ channels last"] = measure(drawing(16), args.images, device)
    if not args.tiny:
        model.pipeline.unet.compile()
        rows["+ compile"] = measure(drawing(16), args.images, device)
    model.pipeline.scheduler = DPMSolverMultistepScheduler.from_config(
        model.pipeline.scheduler.config
    )
    quick = drawing(16, num_sample_steps=2 if args.tiny else 20)
    rows["+ DPM-Solver++, 20 steps"] = measure(quick, args.images, device)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "no GPU: not a measurement"
    print(f"{name}; torch {torch.__version__}; {args.images} images of 256 x 256")
    slow, _ = rows["default call"]
    for what, (pace, peak) in rows.items():
        print(f"{what:28}{pace:8.2f} images/s{pace / slow:8.1f} times{peak / 1e9:8.1f} GB")
    last, _ = rows["+ DPM-Solver++, 20 steps"]
    return 0 if last >= 2 * slow and all(not p > MOST_MEMORY for _, p in rows.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
