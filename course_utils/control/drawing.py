"""Draw what is told: sentences, and maps or metadata beside them."""

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from course_utils.control.loading import Controlled
from course_utils.control.metadata import Metadata, scale_metadata
from course_utils.images import to_unit, unit_to_bytes
from course_utils.text2image import GenerationConfig, TextToImage
from course_utils.text2image.drawing import draw_noise, encode
from course_utils.text2image.jobs import Job, find_complaints, read_jobs, read_strength
from course_utils.text2image.kinds import CLASSES
from course_utils.text2image.loading import quiet

Maps = Float[Tensor, "n c h w"]


def draw(
    controlled: Controlled,
    prompts: Sequence[str],
    *,
    maps: Maps | Sequence[Maps] | None = None,
    scale: float | Sequence[float] = 1.0,
    metadata: Sequence[Metadata] | None = None,
    config: GenerationConfig | None = None,
    seeds: Sequence[int] | None = None,
    images: Sequence[np.ndarray] | np.ndarray | None = None,
    strength: float | None = None,
) -> UInt8[np.ndarray, "n h w 3"]:
    r"""Draw one image a prompt, each from a seed of its own, with diffusers' own pipelines.

    The ControlNet's residuals are added to those of the denoiser, under guidance in both halves;
    several maps add up, each with its scale:

    $$\epsilon_\theta\big(x_t, t, c;\ \textstyle\sum_k s_k\, r(x_t, t, c, m_k)\big)$$

    Metadata is added to the embedding of the step; the half without the sentence is told zeros.
    With neither, the images are those of `text2image.generate`.

    Args:
        controlled: from `load_control`.
        prompts: a sentence an image; with maps it may be empty.
        maps: 0 to 1, one a prompt, of the images' size, as `stack_conditions` makes them; or a list
            of such.
        scale: s, of all maps, or of each of a list; 0 leaves a map out.
        metadata: a record a prompt.
        config: the settings; None takes those that the generator was made for.
        seeds: of the images' noise, one a prompt; None takes those of `text2image.generate`, which
            do not depend on maps and metadata.
        images: to start from, one a prompt, bytes; None starts from noise.
        strength: share of the way to noise with ``images``, in (0, 1]; None takes 0.8.

    Raises:
        ValueError: what is told does not fit the prompts, the size or the model, or the images are
            no numbers.

    Source: Zhang et al. 2023 (arXiv:2302.05543), eq. 4; Khanna et al. 2024 (arXiv:2312.03606).
    """
    config = config or controlled.model.config
    task = "text-to-image" if images is None else "image-to-image"
    model = replace(controlled.model, task=task)
    strength = read_strength(task, config, strength)
    jobs = read_jobs(model, prompts, config, images=images, needs_sentence=maps is None)
    jobs = _reseed(jobs, seeds)
    stacks, scales = _read_maps(controlled, maps, scale, num=len(jobs), config=config)
    scaled = _read_metadata(controlled, metadata, len(jobs))
    for message in find_complaints(model, jobs, config):
        warnings.warn(message, stacklevel=2)
    pipeline = _pipeline(controlled, task, len(stacks))
    drawn = []
    for first in range(0, len(jobs), config.batch_size):
        rows = slice(first, first + config.batch_size)
        inputs = _starts(model, jobs[rows], config, strength)
        if stacks:
            told = [stack[rows] for stack in stacks]
            name = "image" if images is None else "control_image"
            inputs[name] = told if len(told) > 1 else told[0]
            inputs["controlnet_conditioning_scale"] = scales if len(told) > 1 else scales[0]
        with telling(controlled, None if scaled is None else scaled[rows]):
            drawn.append(_call(model, pipeline, jobs[rows], config, inputs))
    if not drawn:
        return np.zeros((0, config.height, config.width, 3), np.uint8)
    return torch.cat(drawn).permute(0, 2, 3, 1).contiguous().numpy()


@contextlib.contextmanager
def telling(controlled: Controlled, scaled: Float[Tensor, "n 7"] | None) -> Iterator[None]:
    """Add metadata to the embedding of the step while the denoiser is called.

    Under guidance stock pipelines put the unconditional half first; it is told zeros.

    Source: the pipeline of DiffusionSat, github.com/samar-khanna/DiffusionSat.
    """
    if scaled is None:
        yield
        return
    unet = controlled.model.pipeline.unet

    def add(net: nn.Module, args: tuple, embedded: Float[Tensor, "m d"]) -> Float[Tensor, "m d"]:
        unknown = torch.zeros(len(embedded) - len(scaled), scaled.shape[1])
        # in single precision: half of it cannot tell 999 from 1000
        added = controlled.embedding(torch.cat([unknown, scaled]).to(embedded.device))
        return embedded + added.to(embedded.dtype)

    handle = unet.time_embedding.register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()  # also after an error: a later call must not find our records


def _pipeline(controlled: Controlled, task: str, num_maps: int) -> Any:
    """Build the stock pipeline that is called, from the parts of the generator."""
    import diffusers
    from diffusers.models.controlnets.multicontrolnet import MultiControlNetModel

    control = "ControlNet" if num_maps else ""
    start = "Img2Img" if task == "image-to-image" else ""
    build = getattr(diffusers, f"StableDiffusion{control}{start}Pipeline")
    parts = {part: getattr(controlled.model.pipeline, part) for part in CLASSES}
    if num_maps:
        net = controlled.net
        parts["controlnet"] = net if num_maps == 1 else MultiControlNetModel([net] * num_maps)
    unused = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    with quiet():
        pipeline = build(**parts, **unused)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _starts(
    model: TextToImage, jobs: Sequence[Job], config: GenerationConfig, strength: float | None
) -> dict[str, Any]:
    """Give what the images start from: noise and generators, each image its own."""
    generators = [torch.Generator().manual_seed(job.seed) for job in jobs]
    if strength is None:
        size = {"height": config.height, "width": config.width}
        return {"latents": draw_noise(model, config, generators), "generator": generators, **size}
    pixels = to_unit(torch.stack([job.image for job in jobs]))
    return {"image": pixels, "strength": strength, "generator": generators}


def _call(
    model: TextToImage,
    pipeline: Any,
    jobs: Sequence[Job],
    config: GenerationConfig,
    inputs: dict[str, Any],
) -> UInt8[Tensor, "n c h w"]:
    """Call the stock pipeline on one batch."""
    with torch.inference_mode(), quiet():
        known = {job.text: encode(model, [job.text])[0] for job in jobs}
        embeds, negative = torch.stack([known[job.text] for job in jobs]), None
        if config.guidance_scale > 1 and not model.reads_guidance:
            negative = encode(model, [config.negative_prompt]).expand_as(embeds)
        images = pipeline(
            prompt_embeds=embeds,
            negative_prompt_embeds=negative,
            num_inference_steps=config.num_sample_steps,
            guidance_scale=config.guidance_scale,
            output_type="pt",
            **inputs,
        ).images
    if not images.isfinite().all():
        raise ValueError(
            f"{model.artifact} draws no numbers (NaN) when it is told this; lower scale or "
            "guidance_scale, or load it with device='cpu', where it draws in single precision"
        )
    return unit_to_bytes(images.float().cpu())


def _reseed(jobs: Sequence[Job], seeds: Sequence[int] | None) -> list[Job]:
    if seeds is None:
        return list(jobs)
    if len(seeds) != len(jobs):
        raise ValueError(f"expected {len(jobs)} seeds, one a prompt; got {len(seeds)}")
    return [replace(job, seed=int(seed)) for job, seed in zip(jobs, seeds, strict=True)]


def _read_maps(
    controlled: Controlled,
    maps: Maps | Sequence[Maps] | None,
    scale: float | Sequence[float],
    *,
    num: int,
    config: GenerationConfig,
) -> tuple[list[Maps], list[float]]:
    """Check maps and their scales, and leave out those of scale 0."""
    if maps is None:
        return [], []
    if controlled.net is None:
        raise ValueError(
            f"{controlled.artifact} is told metadata and no maps; load a ControlNet, such as "
            "load_control('small_control')"
        )
    stacks = [maps] if isinstance(maps, Tensor) else list(maps)
    scales = [scale] * len(stacks) if isinstance(scale, int | float) else list(scale)
    if len(scales) != len(stacks) or not all(0 <= each < float("inf") for each in scales):
        raise ValueError(
            f"scale: expected a number of 0 or more, or one for each of {len(stacks)} maps, got "
            f"{scale}"
        )
    shape = (num, controlled.net.config.conditioning_channels, config.height, config.width)
    for stack in stacks:
        if not isinstance(stack, Tensor) or stack.shape != shape:
            found = tuple(stack.shape) if hasattr(stack, "shape") else type(stack).__name__
            raise ValueError(
                f"maps: expected a tensor of shape {shape} (prompts, channels of the ControlNet, "
                f"config.height, config.width), got {found}; stack_conditions(…, size=…) makes "
                "one image's, and map[None].expand(n, -1, -1, -1) repeats it"
            )
        if not ((stack >= 0) & (stack <= 1)).all():
            raise ValueError(
                f"maps: expected values from 0 to 1, got {stack.min():g} to {stack.max():g}"
            )
    told = [pair for pair in zip(stacks, map(float, scales), strict=True) if pair[1] > 0]
    return [stack.float() for stack, _ in told], [scale for _, scale in told]


def _read_metadata(
    controlled: Controlled, metadata: Sequence[Metadata] | None, num: int
) -> Float[Tensor, "n 7"] | None:
    if metadata is None:
        return None
    if controlled.embedding is None:
        raise ValueError(
            f"{controlled.artifact} is told maps and no metadata; load a model that reads it, such "
            "as load_control('small_metadata')"
        )
    if len(metadata) != num or not all(isinstance(record, Metadata) for record in metadata):
        raise ValueError(f"metadata: expected {num} records (Metadata), one a prompt")
    return scale_metadata(metadata)
