"""Draw images from sentences in batches, each from its own seed."""

import hashlib
import json
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from course_utils.images import to_pil, unit_to_bytes
from course_utils.runtime import derive_seed
from course_utils.text2image.album import keep, open_album, recall
from course_utils.text2image.loading import TextToImage, quiet
from course_utils.text2image.records import Generated, GenerationConfig


def image_seed(seed: int, prompt: str, index: int) -> int:
    """Derive an image's seed from the base seed, its prompt, and which copy of it this is."""
    return derive_seed("text2image", seed, prompt, index)


def generate(
    model: TextToImage,
    prompts: Sequence[str],
    config: GenerationConfig | None = None,
    *,
    root: Path | None = None,
) -> Iterator[Generated]:
    """Draw one image a prompt, in their order; an image depends on its prompt and settings only.

    Batch size and order change no image by more than 2/255. With ``root``, images are kept as
    they are made, in a folder named by the model and the settings, and never drawn twice.

    Args:
        model: from `load_pipeline`.
        prompts: one sentence an image; equal sentences give different images.
        config: the settings.
        root: folder of such folders; None keeps nothing.

    Yields:
        The images with what made them.

    Raises:
        ValueError: there is an empty prompt.
        OSError: an image cannot be written; those before it are kept.
        torch.OutOfMemoryError: not even a single image fits.
    """
    config = config or GenerationConfig()
    jobs = _jobs(prompts, config)
    settings = _settings(model, config)
    album = None if root is None else open_album(Path(root) / _key(model, settings))
    kept = set(album.entries) if album else set()
    missing = deque(job for job in jobs if job.file_name not in kept)
    drawn: dict[str, Generated] = {}
    batch_size = config.batch_size
    for job in jobs:
        if job.file_name in kept:
            image, provenance = recall(album, job.file_name)
            path = album.folder / job.file_name
            yield Generated(image, job.prompt, job.seed, path, provenance, cached=True)
            continue
        while job.file_name not in drawn:
            batch = [missing[i] for i in range(min(batch_size, len(missing)))]
            images = _draw_if_it_fits(model, batch, config)
            if images is None:
                batch_size = len(batch) // 2
                continue
            for done, image in zip(batch, images, strict=True):
                provenance = _provenance(model, done, settings)
                path = keep(album, done.file_name, image, provenance) if album else None
                pixels = np.asarray(to_pil(image))
                drawn[done.file_name] = Generated(
                    pixels, done.prompt, done.seed, path, provenance, cached=False
                )
                missing.popleft()
        yield drawn.pop(job.file_name)


def estimate_seconds(model: TextToImage, config: GenerationConfig, num_images: int) -> float:
    """Time a few images and scale up: about how long `generate` takes for ``num_images``."""
    jobs = _jobs(["a satellite image"] * min(8, config.batch_size), config)
    start = time.perf_counter()
    _draw(model, jobs, config)
    return (time.perf_counter() - start) * num_images / len(jobs)


@dataclass(frozen=True)
class _Job:
    prompt: str
    text: str  # what the model reads: the prompt, after the level where one is set
    seed: int

    @property
    def file_name(self) -> str:
        return f"{hashlib.sha256(self.prompt.encode()).hexdigest()[:12]}_{self.seed:016x}.png"


def _jobs(prompts: Sequence[str], config: GenerationConfig) -> list[_Job]:
    if isinstance(prompts, str) or not all(prompt.strip() for prompt in prompts):
        raise ValueError(f"prompts must be a list of sentences, none of them empty; got {prompts}")
    prefix = "" if config.level is None else f"{config.level}_GOOGLE_LEVEL_"
    copies: Counter[str] = Counter()
    jobs = []
    for prompt in prompts:
        jobs.append(_Job(prompt, prefix + prompt, image_seed(config.seed, prompt, copies[prompt])))
        copies[prompt] += 1
    return jobs


def _draw_if_it_fits(
    model: TextToImage, jobs: list[_Job], config: GenerationConfig
) -> UInt8[Tensor, "n c h w"] | None:
    try:
        return _draw(model, jobs, config)
    except torch.OutOfMemoryError:
        if len(jobs) == 1:
            raise
        return None


def _draw(
    model: TextToImage, jobs: list[_Job], config: GenerationConfig
) -> UInt8[Tensor, "n c h w"]:
    pipeline = model.pipeline
    factor = pipeline.vae_scale_factor
    shape = (pipeline.unet.config.in_channels, config.height // factor, config.width // factor)
    # One CPU generator an image, for x_T and for samplers that add noise on the way: an image
    # depends neither on its neighbours nor on the device.
    generators = [torch.Generator().manual_seed(job.seed) for job in jobs]
    x_T = torch.stack([torch.randn(shape, generator=generator) for generator in generators])
    with torch.inference_mode(), quiet():
        images = pipeline(
            [job.text for job in jobs],
            negative_prompt=[config.negative_prompt] * len(jobs),
            num_inference_steps=config.num_sample_steps,
            guidance_scale=config.guidance_scale,
            height=config.height,
            width=config.width,
            latents=x_T.to(pipeline.unet.dtype),  # the pipeline scales them for its scheduler
            generator=generators,
            output_type="pt",
        ).images
    return unit_to_bytes(images.float().cpu())


def _settings(model: TextToImage, config: GenerationConfig) -> dict[str, Any]:
    import diffusers
    import transformers

    record = {key: value for key, value in asdict(config).items() if key != "batch_size"}
    record["base_seed"] = record.pop("seed")
    return {
        "artifact": model.artifact,
        "fingerprint": model.fingerprint,
        "stand_in_for": model.stand_in_for,
        "scheduler": type(model.pipeline.scheduler).__name__,
        "dtype": str(model.pipeline.unet.dtype).removeprefix("torch."),
        **record,
        "versions": {lib.__name__: lib.__version__ for lib in (diffusers, transformers, torch)},
    }


def _key(model: TextToImage, settings: dict[str, Any]) -> str:
    # Neither the name under which a model was found nor a patch release moves a pixel.
    parts = {k: v for k, v in settings.items() if k not in ("artifact", "stand_in_for")}
    parts["versions"] = {k: v.split(".")[:2] for k, v in settings["versions"].items()}
    parts["scheduler_config"] = dict(model.pipeline.scheduler.config)
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _provenance(model: TextToImage, job: _Job, settings: dict[str, Any]) -> dict[str, Any]:
    tokenizer = model.pipeline.tokenizer
    num_tokens = len(tokenizer(job.text, verbose=False).input_ids)
    is_cut = num_tokens > tokenizer.model_max_length
    said = {"prompt": job.prompt, "text": job.text, "seed": job.seed, "truncated": is_cut}
    return {**said, **settings}
