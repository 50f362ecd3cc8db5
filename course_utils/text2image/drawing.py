"""Draw images from sentences in batches, each from its own seed; halve or widen where it must."""

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from course_utils.images import to_pil, to_unit, unit_to_bytes
from course_utils.text2image.album import (
    keep,
    name_of,
    open_album,
    provenance_of,
    recall,
    settings_of,
)
from course_utils.text2image.jobs import Job, find_complaints, read_jobs, read_strength
from course_utils.text2image.loading import TextToImage, quiet
from course_utils.text2image.records import Generated, GenerationConfig
from course_utils.texts import text

MAX_ENCODED = 1024  # sentences whose encoding is kept: at most some 150 MB


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

    Batch size and order change no image by more than 2/255. With ``root``, images are kept batch by
    batch, in a folder named by the model and the settings, and read from there by later calls. The
    batches are always the same, the first ``batch_size`` prompts and so on: if one image of a batch
    is missing, all of it are drawn, so that after any interruption the images are bit for bit those
    of a run without one. That costs at most one batch a missing image. A batch that does not fit
    into memory is halved. If half precision ends in NaN, this batch and all later ones are drawn in
    single precision, with a warning.

    Args:
        model: from `load_pipeline`; its task decides what else is needed.
        prompts: one sentence an image; equal sentences give different images. A prompt may begin
            with its zoom level, as in ``17_GOOGLE_LEVEL_a river``.
        config: the settings; None takes those that the model was made for.
        root: folder of such folders; None keeps nothing.
        images: for image-to-image and inpainting, one a prompt: bytes, height x width x 3.
        masks: for inpainting, one a prompt, height x width: True or 255 where to repaint, one pixel
            at least. The rest goes through the autoencoder, so it stays almost as it was.
        strength: for these two, share of the way to noise, in (0, 1]; None takes 0.8 for
            image-to-image and 1 for inpainting.

    Returns:
        The images with what made them, each batch drawn when it is asked for; what is asked is
        checked at once.

    Raises:
        ValueError: a prompt is empty, or a level, image, mask or the strength is wrong or missing
            for the task; or the images are no numbers even in single precision.
        OSError: an image cannot be written; earlier batches are kept.
        torch.OutOfMemoryError: not even a single image fits.
    """
    config = config or model.config
    strength = read_strength(model.task, config, strength)
    jobs = read_jobs(model, prompts, config, images=images, masks=masks)
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
    """Read each batch from the album, or draw all of it if the album lacks a part."""
    settings = settings_of(model, config, strength)
    folder = None if root is None else Path(root) / name_of(model, settings)
    kept = open_album(folder) if folder else {}
    draw = _drawer(model, config, strength)
    for first in range(0, len(jobs), config.batch_size):
        batch, before = jobs[first : first + config.batch_size], model.dtype
        found = [folder and recall(folder, job, kept.get(job.file_name)) for job in batch]
        if not all(found):
            drawn = [
                (job, image, provenance_of(model, job, settings))
                for job, image in zip(batch, draw(batch), strict=True)
            ]
            found = _settle(drawn, found, folder, kept)
        elif any(made.provenance["dtype"] == "float32" for made in found):
            _leave_half(model)  # as the run did that drew them
        if model.dtype != before:
            said = {"model": model.artifact, "dtype": before}
            warnings.warn(text("generate.single_precision", **said), stacklevel=2)
        yield from found


def _settle(
    drawn: Sequence[tuple[Job, UInt8[Tensor, "c h w"], dict[str, Any]]],
    found: Sequence[Generated | None],
    folder: Path | None,
    kept: dict[str, dict[str, Any]],
) -> list[Generated]:
    """Keep what was drawn where the album has no equal image yet; give a whole batch."""
    made, new = [], []
    for (job, image, provenance), old in zip(drawn, found, strict=True):
        pixels, path = np.asarray(to_pil(image)), folder and folder / job.file_name
        if old and np.array_equal(old.image, pixels):
            made.append(old)
        else:
            made.append(Generated(pixels, job.prompt, job.seed, path, provenance))
            new.append((job, image, provenance))
    if folder:
        keep(folder, kept, new)
    return made


def estimate_seconds(model: TextToImage, config: GenerationConfig, num_images: int) -> float:
    """Time a few images and scale up: about how long `generate` takes for ``num_images``."""
    num = min(8, config.batch_size)
    blank = np.zeros((num, config.height, config.width, 3), np.uint8)
    jobs = read_jobs(
        model,
        ["a satellite image"] * num,
        config,
        images=None if model.task == "text-to-image" else blank,
        masks=blank[..., 0] == 0 if model.task == "inpainting" else None,
    )
    draw = _drawer(model, config, read_strength(model.task, config, None))
    start = time.perf_counter()
    draw(jobs)
    return (time.perf_counter() - start) * num_images / num


def _drawer(
    model: TextToImage, config: GenerationConfig, strength: float | None
) -> Callable[[Sequence[Job]], list[UInt8[Tensor, "c h w"]]]:
    """Make a function that draws a batch, each sentence encoded once; in parts if it must.

    It raises a ValueError if the images are no numbers even in single precision, and
    ``torch.OutOfMemoryError`` if a single image does not fit.
    """
    encode_once = lru_cache(MAX_ENCODED)(lambda sentence: encode(model, [sentence])[0])
    size = config.batch_size

    def call(part: Sequence[Job]) -> Float[Tensor, "n c h w"] | None:
        try:
            images = _call_pipeline(model, part, config, strength, encode_once)
            if not images.isfinite().all() and model.dtype != "float32":
                _leave_half(model)
                encode_once.cache_clear()
                images = _call_pipeline(model, part, config, strength, encode_once)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or len(part) == 1:
                raise
            return None
        return images

    def draw(batch: Sequence[Job]) -> list[UInt8[Tensor, "c h w"]]:
        nonlocal size
        drawn: list[UInt8[Tensor, "c h w"]] = []
        while part := batch[len(drawn) : len(drawn) + size]:
            images = call(part)
            if images is None:  # outside of except, where the error would keep the tensors alive
                size = len(part) // 2
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
                continue
            if not images.isfinite().all():
                raise ValueError(
                    f"{model.artifact} draws no numbers (NaN) even in single precision; its "
                    "weights are damaged, or the guidance is far too strong: fetch the model "
                    "again, or lower guidance_scale"
                )
            drawn.extend(unit_to_bytes(images))
        return drawn

    return draw


def _leave_half(model: TextToImage) -> None:
    """Go on in single precision; the model remembers how it was loaded."""
    if model.dtype != "float32":
        model.history.loaded_as = model.history.loaded_as or model.dtype
        model.pipeline.to(torch.float32)


def _call_pipeline(
    model: TextToImage,
    jobs: Sequence[Job],
    config: GenerationConfig,
    strength: float | None,
    encode_once: Callable[[str], Float[Tensor, "tokens d"]],
) -> Float[Tensor, "n c h w"]:
    """Call the stock pipeline on one batch."""
    # One CPU generator an image, for x_T and for samplers that add noise on the way: an image
    # depends neither on its neighbours nor on the device.
    generators = [torch.Generator().manual_seed(job.seed) for job in jobs]
    inputs: dict[str, Any] = {}
    if model.task != "image-to-image":
        inputs |= {"height": config.height, "width": config.width}
    if model.task == "text-to-image":
        inputs["latents"] = draw_noise(model, config, generators)  # which the pipeline scales
    else:
        pixels = torch.stack([job.image for job in jobs])
        inputs |= {"image": to_unit(pixels), "strength": strength}
    if model.task == "inpainting":
        inputs["mask_image"] = torch.stack([job.mask for job in jobs])[:, None].float()
    with (
        torch.inference_mode(),
        quiet(),
        telling(model.pipeline.unet, [job.level for job in jobs]),
        _any_latents(model),
        _infinite_is_nan(model.pipeline.vae.decoder),
    ):
        embeds, negative = torch.stack([encode_once(job.text) for job in jobs]), None
        if config.guidance_scale > 1 and not model.reads_guidance:
            negative = encode_once(config.negative_prompt).expand_as(embeds)
        images = model.pipeline(
            prompt_embeds=embeds,
            negative_prompt_embeds=negative,
            num_inference_steps=config.num_sample_steps,
            guidance_scale=config.guidance_scale,
            generator=generators,
            output_type="pt",
            **inputs,
        ).images
    return images.float().cpu()


def draw_noise(
    model: TextToImage, config: GenerationConfig, generators: Sequence[torch.Generator]
) -> Float[Tensor, "n c h w"]:
    """Draw x_T of each image from its own generator, on the CPU."""
    channels, factor = model.pipeline.unet.config.in_channels, model.pipeline.vae_scale_factor
    shape = (channels, config.height // factor, config.width // factor)
    x_T = torch.stack([torch.randn(shape, generator=generator) for generator in generators])
    return x_T.to(model.pipeline.unet.dtype)


@torch.no_grad()
def encode(model: TextToImage, sentences: list[str]) -> Float[Tensor, "n tokens d"]:
    """Turn sentences into what the network reads, as the stock pipeline does."""
    pipeline = model.pipeline
    with quiet():
        return pipeline.encode_prompt(sentences, pipeline._execution_device, 1, False)[0]


@contextlib.contextmanager
def telling(unet: Any, levels: Sequence[int | None]) -> Iterator[None]:
    """Tell a network that has class labels a level for each image, while it is called.

    Stock pipelines do not know of class labels. Under guidance they put the unconditional half
    first; it is told 0, which means unknown, as is None.

    Source: the pipeline of Text2Earth, github.com/Chen-Yang-Liu/Text2Earth.
    """
    if unet.config.class_embed_type != "timestep":
        yield
        return
    known = [level or 0 for level in levels]

    def add_labels(net: Any, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        labels = [0] * (len(args[0]) - len(known)) + known
        return args, {**kwargs, "class_labels": torch.tensor(labels, device=args[0].device)}

    handle = unet.register_forward_pre_hook(add_labels, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()  # also after an error: a later call by hand must not find our labels


@contextlib.contextmanager
def _any_latents(model: TextToImage) -> Iterator[None]:
    """Let the stock inpainting pipeline work with latents of any number of channels.

    It keeps what is outside of the mask by blending latents if the network takes 4 channels, as
    many as the latents of Stable Diffusion have, and asks for nothing else but that number.
    """
    unet, latent = model.pipeline.unet, model.pipeline.vae.config.latent_channels
    channels = unet.config.in_channels
    if model.task != "inpainting" or channels != latent:
        yield
        return
    unet.register_to_config(in_channels=4)
    try:
        yield
    finally:
        unet.register_to_config(in_channels=channels)


@contextlib.contextmanager
def _infinite_is_nan(decoder: torch.nn.Module) -> Iterator[None]:
    """Let infinite pixels be NaN, which is noticed; the pipeline would clip them to 0 and 1."""
    handle = decoder.register_forward_hook(
        lambda net, args, pixels: pixels.masked_fill(pixels.isinf(), torch.nan)
    )
    try:
        yield
    finally:
        handle.remove()


def is_out_of_memory(error: Exception) -> bool:
    """Recognize a lack of memory on a GPU, Apple's or the CPU, which all say it differently."""
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(
        part in str(error).lower() for part in words
    )
