"""What an image starts from beside its sentence: another image, and a mask of what to repaint."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from course_utils.text2image.records import GenerationConfig, Task

# How much of the way to noise and back an image goes; what stock pipelines do by default.
STRENGTH = {"image-to-image": 0.8, "inpainting": 1.0}


@dataclass(frozen=True)
class Source:
    """What one image starts from; nothing for text-to-image."""

    image: UInt8[Tensor, "c h w"] | None = None
    mask: Bool[Tensor, "h w"] | None = None  # True: repaint
    hashes: tuple[str, ...] = ()  # of the image, then of the mask


def read_sources(
    task: Task,
    config: GenerationConfig,
    num_prompts: int,
    *,
    images: Sequence[np.ndarray] | np.ndarray | None,
    masks: Sequence[np.ndarray] | np.ndarray | None,
) -> list[Source]:
    """Check that there is an image, and a mask, for each prompt, where the task needs them.

    Raises:
        ValueError: saying which is missing, too many, or of the wrong kind, and what to do.
    """
    needed = {"images": task != "text-to-image", "masks": task == "inpainting"}
    for name, given in (("images", images), ("masks", masks)):
        if given is None and needed[name]:
            raise ValueError(f"{task} needs {name}=, one a prompt")
        if given is not None and not needed[name]:
            wanted = "inpainting" if name == "masks" else "image-to-image"
            raise ValueError(
                f"the model was loaded for {task}, which takes no {name}; load it with "
                f"load_pipeline(…, task={wanted!r})"
            )
        if given is not None and len(given) != num_prompts:
            raise ValueError(f"expected {num_prompts} {name}, one a prompt; got {len(given)}")
    if images is None:
        return [Source()] * num_prompts
    size = (config.height, config.width)
    pixels = [_read_image(image, i, size) for i, image in enumerate(images)]
    if masks is None:
        return [Source(image, None, (_hash(image),)) for image in pixels]
    marked = [_read_mask(mask, i, size) for i, mask in enumerate(masks)]
    pairs = zip(pixels, marked, strict=True)
    return [Source(image, mask, (_hash(image), _hash(mask))) for image, mask in pairs]


def read_strength(task: Task, config: GenerationConfig, strength: float | None) -> float | None:
    """Check the strength, and give the usual one if there is none; text-to-image has none.

    Raises:
        ValueError: it is not in (0, 1], so small that no step is left, or not for this task.
    """
    if task == "text-to-image":
        if strength is not None:
            raise ValueError(
                "strength is for models loaded with task='image-to-image' or 'inpainting'; this "
                "one draws from noise alone"
            )
        return None
    strength = STRENGTH[task] if strength is None else float(strength)
    if not 0 < strength <= 1:
        raise ValueError(f"strength must be above 0 and at most 1 (all noise), got {strength}")
    if int(strength * config.num_sample_steps) < 1:
        raise ValueError(
            f"strength {strength} of {config.num_sample_steps} steps is no step at all; raise "
            f"num_sample_steps to {int(np.ceil(1 / strength))} or more"
        )
    return strength


def blank_sources(task: Task, config: GenerationConfig, num: int) -> list[Source]:
    """Make sources that cost as much time as any."""
    image = np.zeros((config.height, config.width, 3), np.uint8)
    images = None if task == "text-to-image" else [image] * num
    masks = [image[..., 0] == 0] * num if task == "inpainting" else None
    return read_sources(task, config, num, images=images, masks=masks)


def _read_image(image: np.ndarray, i: int, size: tuple[int, int]) -> UInt8[Tensor, "3 h w"]:
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.shape != (*size, 3):
        raise ValueError(
            f"images[{i}]: expected bytes (uint8) of shape {(*size, 3)}, which are config.height, "
            f"config.width and 3 colours; got {image.dtype} of shape {image.shape}: convert or "
            "resize it, or change the settings"
        )
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).contiguous()


def _read_mask(mask: np.ndarray, i: int, size: tuple[int, int]) -> Bool[Tensor, "h w"]:
    mask = np.asarray(mask)
    is_mask = mask.dtype == bool or (mask.dtype == np.uint8 and np.isin(mask, (0, 255)).all())
    if mask.shape != size or not is_mask:
        raise ValueError(
            f"masks[{i}]: expected shape {size}, with True or 255 where to repaint and False or 0 "
            f"elsewhere; got {mask.dtype} of shape {mask.shape}: compare it with a threshold, or "
            "resize it"
        )
    return torch.from_numpy(mask != 0)


def _hash(pixels: Tensor) -> str:
    what = f"{tuple(pixels.shape)} {pixels.dtype}".encode() + pixels.numpy().tobytes()
    return hashlib.sha256(what).hexdigest()
