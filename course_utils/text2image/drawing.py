"""Draw images from sentences in batches, each from its own seed."""

import hashlib
import json
import time
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from course_utils.images import to_pil
from course_utils.text2image.album import Album, keep, open_album, recall
from course_utils.text2image.artist import Artist
from course_utils.text2image.jobs import Job, find_complaints, image_seed, read_jobs
from course_utils.text2image.loading import TextToImage
from course_utils.text2image.records import Generated, GenerationConfig
from course_utils.text2image.sources import blank_sources, read_sources, read_strength

__all__ = ["estimate_seconds", "generate", "image_seed"]


def generate(
    model: TextToImage,
    prompts: Sequence[str],
    config: GenerationConfig | None = None,
    *,
    root: Path | None = None,
    images: Sequence[np.ndarray] | np.ndarray | None = None,
    masks: Sequence[np.ndarray] | np.ndarray | None = None,
    strength: float | None = None,
) -> Iterator[Generated]:
    """Draw one image a prompt, in their order; an image depends on its prompt and settings only.

    Batch size and order change no image by more than 2/255. With ``root``, images are kept as
    they are made, in a folder named by the model and the settings, and never drawn twice. A batch
    that does not fit into memory is halved. If half precision ends in NaN, this batch and all later
    ones are drawn in single precision, with a warning.

    Args:
        model: from `load_pipeline`; its task decides what else is needed.
        prompts: one sentence an image; equal sentences give different images. A prompt may begin
            with its zoom level, as in ``17_GOOGLE_LEVEL_a river``.
        config: the settings; None takes those that the model was made for.
        root: folder of such folders; None keeps nothing.
        images: for image-to-image and inpainting, one a prompt: bytes, height x width x 3.
        masks: for inpainting, one a prompt, height x width: True or 255 where to repaint. The rest
            goes through the autoencoder, so it stays almost as it was.
        strength: for these two, share of the way to noise, in (0, 1]; None takes 0.8 for
            image-to-image and 1 for inpainting.

    Returns:
        The images with what made them, each batch drawn when it is asked for; what is asked is
        checked at once.

    Raises:
        ValueError: a prompt is empty, or a level, image, mask or the strength is wrong or missing
            for the task; or the images are no numbers even in single precision.
        OSError: an image cannot be written; those before it are kept.
        torch.OutOfMemoryError: not even a single image fits.
    """
    config = config or model.config
    strength = read_strength(model.task, config, strength)
    prompts = _read_prompts(prompts)
    sources = read_sources(model.task, config, len(prompts), images=images, masks=masks)
    jobs = read_jobs(model, prompts, config, sources)
    for message in find_complaints(model, jobs, config):
        warnings.warn(message, stacklevel=2)
    return _draw_missing(model, jobs, config, strength=strength, root=root)


def _draw_missing(
    model: TextToImage,
    jobs: Sequence[Job],
    config: GenerationConfig,
    *,
    strength: float | None,
    root: Path | None,
) -> Iterator[Generated]:
    """Read what the album has, and draw the rest in batches."""
    settings = _settings(model, config, strength)
    album = None if root is None else open_album(Path(root) / _key(model, settings))
    kept = set(album.entries) if album else set()
    missing = deque(job for job in jobs if job.file_name not in kept)
    artist, drawn = Artist(model, config, strength), {}
    for job in jobs:
        if job.file_name in kept:
            yield _recalled(album, job)
            continue
        while job.file_name not in drawn:
            batch = [missing[i] for i in range(min(artist.batch_size, len(missing)))]
            results = artist.draw(batch) or []  # nothing: too many, the next batch is smaller
            while artist.messages:
                warnings.warn(artist.messages.pop(), stacklevel=2)
            for done, image in zip(batch, results, strict=False):
                provenance = _provenance(model, done, settings)
                drawn[done.file_name] = _finished(album, done, image, provenance)
                missing.popleft()
        yield drawn.pop(job.file_name)


def estimate_seconds(model: TextToImage, config: GenerationConfig, num_images: int) -> float:
    """Time a few images and scale up: about how long `generate` takes for ``num_images``."""
    num = min(8, config.batch_size)
    sources = blank_sources(model.task, config, num)
    jobs = read_jobs(model, ["a satellite image"] * num, config, sources)
    artist = Artist(model, config, read_strength(model.task, config, None))
    start = time.perf_counter()
    done = 0
    while done < num:
        done += len(artist.draw(jobs[done : done + artist.batch_size]) or [])
    return (time.perf_counter() - start) * num_images / num


def _read_prompts(prompts: Sequence[str]) -> list[str]:
    found = [] if isinstance(prompts, str) else list(prompts)
    if isinstance(prompts, str) or not all(isinstance(prompt, str) for prompt in found):
        raise ValueError(f"prompts must be a list of sentences, none of them empty; got {prompts}")
    return found


def _recalled(album: Album, job: Job) -> Generated:
    image, provenance = recall(album, job.file_name)
    path = album.folder / job.file_name
    return Generated(image, job.prompt, job.seed, path, provenance, cached=True)


def _finished(
    album: Album | None, job: Job, image: UInt8[Tensor, "c h w"], provenance: dict[str, Any]
) -> Generated:
    path = keep(album, job.file_name, image, provenance) if album else None
    pixels = np.asarray(to_pil(image))
    return Generated(pixels, job.prompt, job.seed, path, provenance, cached=False)


def _settings(
    model: TextToImage, config: GenerationConfig, strength: float | None
) -> dict[str, Any]:
    import diffusers
    import torch
    import transformers

    record = {key: value for key, value in asdict(config).items() if key != "batch_size"}
    record["base_seed"] = record.pop("seed")
    return {
        "artifact": model.artifact,
        "id": model.id,
        "revision": model.revision,
        "fingerprint": model.fingerprint,
        "stand_in_for": model.stand_in_for,
        "task": model.task,
        "strength": strength,
        "level_by": model.level_by,
        "scheduler": type(model.pipeline.scheduler).__name__,
        **record,
        "versions": {lib.__name__: lib.__version__ for lib in (diffusers, transformers, torch)},
    }


def _key(model: TextToImage, settings: dict[str, Any]) -> str:
    # Neither the name under which a model was found nor a patch release moves a pixel.
    names = ("artifact", "id", "revision", "stand_in_for")
    parts = {k: v for k, v in settings.items() if k not in names}
    parts["versions"] = {k: v.split(".")[:2] for k, v in settings["versions"].items()}
    parts["scheduler_config"] = dict(model.pipeline.scheduler.config)
    # A model that had to leave half precision goes on in the folder where it began.
    parts["dtype"] = model.history.loaded_as or model.dtype
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _provenance(model: TextToImage, job: Job, settings: dict[str, Any]) -> dict[str, Any]:
    image, mask = (*job.source.hashes, None, None)[:2]
    said = {
        "prompt": job.prompt,
        "text": job.text,
        "level": job.level,
        "seed": job.seed,
        "cut": job.cut,
        "truncated": bool(job.cut),
        "source_image": image,  # SHA-256 of what it started from
        "source_mask": mask,
        "dtype": model.dtype,
    }
    return {**settings, **said}
