"""See inside `generate`: its sampling loop written out by hand, one record a step."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from course_utils.images import to_bytes
from course_utils.text2image.artist import draw_noise, encode
from course_utils.text2image.jobs import Job, read_jobs
from course_utils.text2image.loading import TextToImage, quiet
from course_utils.text2image.records import GenerationConfig
from course_utils.text2image.sources import blank_sources

MAX_DECODED = 16  # latents that the decoder takes at a time


@dataclass(frozen=True)
class TraceStep:
    """One denoising step; latents are scaled so that x_t = √ᾱ x_0 + √(1-ᾱ) ε for every sampler."""

    step: int  # 0 … num_sample_steps - 1
    t: float  # the network's clock: high is noisy
    alpha_bar: float  # share of signal, by variance, in x_t
    x_t: Float[Tensor, "c h w"]  # what the network looks at
    guided: Float[Tensor, "c h w"]  # what it said, after guidance
    x0_pred: Float[Tensor, "c h w"]  # where that would end
    image: UInt8[np.ndarray, "height width 3"] | None  # in the last step: what `generate` draws


def trace(
    model: TextToImage,
    prompt: str,
    config: GenerationConfig | None = None,
    *,
    embeddings: Float[Tensor, "tokens d"] | None = None,
) -> Iterator[TraceStep]:
    """Draw the first image that `generate` draws for this prompt, and show every step on the way.

    Guidance, for what the network predicts (noise, v or the image): uncond + s (cond - uncond).

    Args:
        model: from `load_pipeline`, for text-to-image; its sampler is copied, so that traces
            disturb nobody.
        prompt: one sentence.
        config: the settings; None takes those that the model was made for.
        embeddings: what the network reads in place of the prompt, one row a token. The prompt then
            only decides about the noise to start from.

    Yields:
        The steps, from noise to image.

    Raises:
        ValueError: as `generate`; or the model is for another task, or predicts something else.

    Source: Ho and Salimans 2022, arXiv:2207.12598, equation 6, with s = w + 1.
    """
    config = config or model.config
    job = read_job(model, prompt, config)
    inputs = _read_inputs(model, job, config, embeddings)
    unet, generator = model.pipeline.unet, torch.Generator().manual_seed(job.seed)
    with quiet():
        scheduler = type(model.pipeline.scheduler).from_config(model.pipeline.scheduler.config)
        scheduler.set_timesteps(config.num_sample_steps, device=inputs.embeddings.device)
    extra = model.pipeline.prepare_extra_step_kwargs(generator, 0.0)  # for noise on the way
    x = draw_noise(model, config, [generator]).to(inputs.embeddings)
    x = x * scheduler.init_noise_sigma  # some samplers work on x_t / √ᾱ
    for step, t in enumerate(scheduler.timesteps):
        x_t = scheduler.scale_model_input(x, t)
        guided = _predict(unet, x_t, t, inputs, config.guidance_scale)
        alpha_bar = _alpha_bar(scheduler, step, t)
        x0_pred = predict_x0(
            x_t.float(), guided.float(), alpha_bar, scheduler.config.prediction_type
        )
        with quiet():
            x = scheduler.step(guided, t, x, **extra, return_dict=False)[0]
        is_last = step == len(scheduler.timesteps) - 1
        image = decode(model, x)[0] if is_last else None
        latents = (latent[0].float().cpu() for latent in (x_t, guided, x0_pred))
        yield TraceStep(step, float(t), alpha_bar, *latents, image)


def predict_x0(
    x_t: Float[Tensor, "*n c h w"],
    predicted: Float[Tensor, "*n c h w"],
    alpha_bar: float,
    prediction_type: str,
) -> Float[Tensor, "*n c h w"]:
    """Solve x_t = √ᾱ x_0 + √(1-ᾱ) ε for x_0, from what a network predicted.

    From ε: (x_t - √(1-ᾱ) ε) / √ᾱ. From v = √ᾱ ε - √(1-ᾱ) x_0: √ᾱ x_t - √(1-ᾱ) v.

    Args:
        x_t: noised image or latent.
        predicted: the network's answer.
        alpha_bar: ᾱ of this step, in (0, 1].
        prediction_type: "epsilon", "v_prediction" or "sample", as diffusers calls them.

    Raises:
        ValueError: another prediction type.

    Source: Salimans and Ho 2022, arXiv:2202.00512, appendix D.
    """
    signal, noise = alpha_bar**0.5, (1 - alpha_bar) ** 0.5
    if prediction_type == "epsilon":
        return (x_t - noise * predicted) / signal
    if prediction_type == "v_prediction":
        return signal * x_t - noise * predicted
    if prediction_type == "sample":
        return predicted
    raise ValueError(
        f'expected a network that predicts "epsilon", "v_prediction" or "sample", got '
        f"{prediction_type!r}"
    )


@torch.no_grad()
def decode(
    model: TextToImage, latents: Float[Tensor, "n c h w"]
) -> UInt8[np.ndarray, "n height width 3"]:
    """Turn latents into images with the model's decoder.

    Noised latents may be decoded too: the decoder was never meant for them, but they show how much
    noise there is.

    Args:
        model: from `load_pipeline`.
        latents: as in `TraceStep`, for example stacked ``x0_pred``.
    """
    vae = model.pipeline.vae
    latents = latents.to(vae.device, vae.dtype) / vae.config.scaling_factor
    parts = [vae.decode(part).sample.float().cpu() for part in latents.split(MAX_DECODED)]
    return to_bytes(torch.cat(parts)).permute(0, 2, 3, 1).numpy()


def embed_prompts(
    model: TextToImage, prompts: list[str], config: GenerationConfig | None = None
) -> Float[Tensor, "n tokens d"]:
    """Encode sentences as the network reads them: one row a token, padding included.

    Args:
        model: from `load_pipeline`.
        prompts: sentences; of a long one only the first tokens count.
        config: its ``level`` counts where a model reads it in the sentence.

    Raises:
        ValueError: there is an empty prompt.
    """
    config = config or model.config
    return encode(model, [read_job(model, prompt, config).text for prompt in prompts])


def read_job(model: TextToImage, prompt: str, config: GenerationConfig) -> Job:
    """Say what `generate` would read and from which seed it would draw.

    Raises:
        ValueError: as `generate`; or the model is for another task.
    """
    if model.task != "text-to-image":
        raise ValueError(
            f"only text-to-image can be looked into, this model was loaded for {model.task}: "
            "load_pipeline(..., task='text-to-image')"
        )
    (job,) = read_jobs(model, [prompt], config, blank_sources(model.task, config, 1))
    return job


@dataclass(frozen=True)
class _Inputs:
    """What the network reads beside x_t and t; the unconditional half first, if there is one."""

    embeddings: Float[Tensor, "halves tokens d"]
    class_labels: Tensor | None  # Text2Earth's way to tell the level


def _read_inputs(
    model: TextToImage,
    job: Job,
    config: GenerationConfig,
    embeddings: Float[Tensor, "tokens d"] | None,
) -> _Inputs:
    unet = model.pipeline.unet.config
    if unet.time_cond_proj_dim is not None:
        raise ValueError("this network reads the guidance scale as a number; it cannot be traced")
    cond = encode(model, [job.text])
    if embeddings is not None:
        cond = embeddings[None].to(cond)
    halves, levels = [cond], [job.level or 0]
    if config.guidance_scale > 1:
        halves, levels = [encode(model, [config.negative_prompt]), cond], [0, *levels]
    labels = torch.tensor(levels, device=cond.device) if unet.class_embed_type else None
    return _Inputs(torch.cat(halves), labels)


@torch.no_grad()
def _predict(
    unet: Any, x_t: Tensor, t: Tensor, inputs: _Inputs, guidance_scale: float
) -> Float[Tensor, "1 c h w"]:
    num_halves = len(inputs.embeddings)
    predicted = unet(
        x_t.expand(num_halves, -1, -1, -1),
        t,
        encoder_hidden_states=inputs.embeddings,
        class_labels=inputs.class_labels,
        return_dict=False,
    )[0]
    if num_halves == 1:
        return predicted
    uncond, cond = predicted.chunk(2)
    return uncond + guidance_scale * (cond - uncond)


def _alpha_bar(scheduler: Any, step: int, t: Tensor) -> float:
    """Look ᾱ up in the noise schedule; samplers of the σ kind have ᾱ = 1 / (1 + σ²)."""
    if hasattr(scheduler, "sigmas"):
        return 1 / (1 + float(scheduler.sigmas[step]) ** 2)
    return float(scheduler.alphas_cumprod[int(t)])
