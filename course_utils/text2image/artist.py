"""Draw one batch: encode the sentences, call the stock pipeline, and get over its weaknesses."""

import contextlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from course_utils.images import to_unit, unit_to_bytes
from course_utils.text2image.jobs import Job, has_halves, stack_images, stack_masks
from course_utils.text2image.levels import telling
from course_utils.text2image.loading import TextToImage, quiet
from course_utils.text2image.records import GenerationConfig
from course_utils.texts import text

MAX_ENCODED = 1024  # sentences whose encoding is kept: at most some 150 MB


class Artist:
    """Draws batches with the same settings, each sentence encoded once."""

    def __init__(
        self, model: TextToImage, config: GenerationConfig, strength: float | None
    ) -> None:
        self.model, self.config, self.strength = model, config, strength
        self.batch_size = config.batch_size
        self.messages: list[str] = []  # what a learner should be told now
        self._encode = lru_cache(MAX_ENCODED)(self._encode_now)

    def draw(self, jobs: Sequence[Job]) -> list[UInt8[Tensor, "c h w"]] | None:
        """Draw an image a job; None if they do not fit, and the batch size is halved.

        Raises:
            ValueError: the images are no numbers even in single precision.
            torch.OutOfMemoryError: a single image does not fit.
        """
        try:
            images = self._draw(jobs)
            if not images.isfinite().all():
                self._leave_half_precision()
                images = self._draw(jobs)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or len(jobs) == 1:
                raise
            images = None
        if images is None:  # outside of except, where the error would keep the tensors alive
            self.batch_size = len(jobs) // 2
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            return None
        if not images.isfinite().all():
            raise ValueError(
                f"{self.model.artifact} draws no numbers (NaN) even in single precision; its "
                "weights are damaged, or the guidance is far too strong: fetch the model again, or "
                "lower guidance_scale"
            )
        return list(unit_to_bytes(images))

    def _leave_half_precision(self) -> None:
        model = self.model
        if model.dtype == "float32":
            return
        model.history.loaded_as = model.history.loaded_as or model.dtype
        said = text("generate.single_precision", model=model.artifact, dtype=model.dtype)
        self.messages.append(said)
        model.pipeline.to(torch.float32)
        self._encode.cache_clear()

    def _draw(self, jobs: Sequence[Job]) -> Float[Tensor, "n c h w"]:
        pipeline, config = self.model.pipeline, self.config
        # One CPU generator an image, for x_T and for samplers that add noise on the way: an image
        # depends neither on its neighbours nor on the device.
        generators = [torch.Generator().manual_seed(job.seed) for job in jobs]
        with (
            torch.inference_mode(),
            quiet(),
            telling(pipeline.unet, [job.level for job in jobs]),
            _any_latents(self.model),
        ):
            embeds = torch.stack([self._encode(job.text) for job in jobs])
            negative = None
            if has_halves(self.model, config):
                negative = self._encode(config.negative_prompt).expand_as(embeds)
            images = pipeline(
                prompt_embeds=embeds,
                negative_prompt_embeds=negative,
                num_inference_steps=config.num_sample_steps,
                guidance_scale=config.guidance_scale,
                generator=generators,
                output_type="pt",
                **self._inputs(jobs, generators),
            ).images
        return images.float().cpu()

    def _inputs(self, jobs: Sequence[Job], generators: Sequence[torch.Generator]) -> dict[str, Any]:
        size = {"height": self.config.height, "width": self.config.width}
        if self.model.task == "text-to-image":
            # the pipeline scales it for its scheduler
            return {**size, "latents": draw_noise(self.model, self.config, generators)}
        started = {"image": to_unit(stack_images(jobs)), "strength": self.strength}
        if self.model.task == "image-to-image":
            return started
        return {**size, **started, "mask_image": stack_masks(jobs).float()}

    def _encode_now(self, sentence: str) -> Float[Tensor, "tokens d"]:
        return encode(self.model, [sentence])[0]


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


def is_out_of_memory(error: Exception) -> bool:
    """Recognise a lack of memory on a GPU, Apple's or the CPU, which all say it differently."""
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(
        part in str(error).lower() for part in words
    )
