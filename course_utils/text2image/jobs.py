"""Read what shall be drawn: one job an image, with its seed, and what the model will not follow."""

import hashlib
import re
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from course_utils.runtime import derive_seed
from course_utils.text2image.loading import TextToImage
from course_utils.text2image.records import MARK, GenerationConfig, Task, split_level
from course_utils.texts import text

# Chinese, Japanese, Korean: none of our models learned from captions in these scripts.
NOT_ENGLISH = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")
SHOWN = 200  # characters of a prompt in a warning
# How much of the way to noise and back an image goes; what stock pipelines do by default.
STRENGTH = {"image-to-image": 0.8, "inpainting": 1.0}


@dataclass(frozen=True)
class Job:
    """One image to be drawn."""

    prompt: str
    text: str  # what the model reads: without the level, or with it, if it reads it there
    level: int | None
    seed: int
    cut: str  # the end of the text, which the model does not read; "" if it reads all
    image: UInt8[Tensor, "c h w"] | None  # to start from; None: from noise alone
    mask: Bool[Tensor, "h w"] | None  # True: repaint
    hashes: tuple[str, ...]  # SHA-256 of image and mask, as far as there are any

    @property
    def file_name(self) -> str:
        """Name the image by its prompt, what it starts from, and its seed."""
        what = "".join([self.prompt, *self.hashes])
        return f"{hashlib.sha256(what.encode()).hexdigest()[:12]}_{self.seed:016x}.png"


def image_seed(seed: int, prompt: str, index: int, *sources: str) -> int:
    """Derive an image's seed from the base seed, its prompt, and which copy of it this is.

    Args:
        seed: the base seed.
        prompt: its sentence.
        index: number among the images of the same sentence, and sources, before it.
        sources: hashes of the image and mask that it starts from, if it does.
    """
    return derive_seed("text2image", seed, prompt, index, *sources)


def read_jobs(
    model: TextToImage,
    prompts: Sequence[str],
    config: GenerationConfig,
    *,
    images: Sequence[np.ndarray] | np.ndarray | None = None,
    masks: Sequence[np.ndarray] | np.ndarray | None = None,
    needs_sentence: bool = True,
) -> list[Job]:
    """Make a job of each prompt, and of the image and mask where the task needs them.

    Raises:
        ValueError: a prompt is empty where it needs a sentence, or names a level that is none; the
            size does not suit; an image or mask is missing, too many, or of the wrong kind.
    """
    found = [] if isinstance(prompts, str) else list(prompts)
    if isinstance(prompts, str) or not all(isinstance(prompt, str) for prompt in found):
        raise ValueError(f"prompts must be a list of sentences, none of them empty; got {prompts}")
    starts = _read_starts(model.task, config, len(found), images=images, masks=masks)
    factor = model.pipeline.vae_scale_factor
    if config.height % factor or config.width % factor:
        raise ValueError(
            f"height and width must be multiples of {factor} for {model.artifact}, got "
            f"{config.height} x {config.width}"
        )
    copies: Counter[tuple[str, ...]] = Counter()
    cuts: dict[str, str] = {}
    jobs = []
    for prompt, start in zip(found, starts, strict=True):
        level, sentence = split_level(prompt, config.level)
        if needs_sentence and not sentence.strip():
            raise ValueError(f"prompts must be a list of sentences, none of them empty: {prompt!r}")
        is_told = level is not None and model.level_by == "prompt"
        read = f"{level}{MARK}{sentence}" if is_told else sentence
        if read not in cuts:
            cuts[read] = find_cut(model.pipeline.tokenizer, read)
        hashes = tuple(_hash(pixels) for pixels in start if pixels is not None)
        seed = image_seed(config.seed, prompt, copies[prompt, *hashes], *hashes)
        copies[prompt, *hashes] += 1
        jobs.append(Job(prompt, read, level, seed, cuts[read], *start, hashes))
    return jobs


def read_strength(task: Task, config: GenerationConfig, strength: float | None) -> float | None:
    """Check the strength, and give the usual one if there is none; text-to-image has none.

    Raises:
        ValueError: it is not in (0, 1], so small that no step is left, or not for this task.
    """
    if task == "text-to-image":
        if strength is None:
            return None
        raise ValueError(
            "strength is for models loaded with task='image-to-image' or 'inpainting'; this one "
            "draws from noise alone"
        )
    strength = STRENGTH[task] if strength is None else float(strength)
    if not 0 < strength <= 1:
        raise ValueError(f"strength must be above 0 and at most 1 (all noise), got {strength}")
    if int(strength * config.num_sample_steps) < 1:
        raise ValueError(
            f"strength {strength} of {config.num_sample_steps} steps is no step at all; raise "
            f"num_sample_steps to {int(np.ceil(1 / strength))} or more"
        )
    return strength


def find_cut(tokenizer: Any, sentence: str) -> str:
    """Find the end of a sentence that is behind the last token which the model reads."""
    limit = tokenizer.model_max_length
    read = tokenizer(sentence, verbose=False, return_offsets_mapping=tokenizer.is_fast)
    if len(read.input_ids) <= limit:
        return ""
    first = limit - 1  # the last place is taken by the mark of the end
    if tokenizer.is_fast:
        return sentence[read.offset_mapping[first][0] :].strip()
    return tokenizer.decode(read.input_ids[first:-1])


def find_complaints(
    model: TextToImage, jobs: Sequence[Job], config: GenerationConfig
) -> Iterator[str]:
    """Say what the model will not follow: cut prompts each time, the rest once a model."""
    tokenizer, said = model.pipeline.tokenizer, model.history.said
    cut = [(job.cut, job.prompt) for job in jobs if job.cut]
    if left := find_cut(tokenizer, config.negative_prompt):
        cut.append((left, config.negative_prompt))
    if cut:
        words, prompt = (textwrap.shorten(part, SHOWN, placeholder=" …") for part in cut[0])
        numbers = {"num": len(cut), "limit": tokenizer.model_max_length}
        yield text("generate.cut", **numbers, words=words, prompt=prompt)
    if config.negative_prompt and model.reads_guidance and "negative" not in said:
        said.add("negative")
        yield text("generate.no_negative", model=model.artifact)
    if model.guidance and "guidance" not in said:
        (least, most), scale = model.guidance, config.guidance_scale
        if not least <= scale <= most:
            said.add("guidance")
            numbers = {"least": f"{least:g}", "most": f"{most:g}", "scale": f"{scale:g}"}
            yield text("generate.guidance_unknown", model=model.artifact, **numbers)
    foreign = [job.prompt for job in jobs if NOT_ENGLISH.search(job.prompt)]
    if foreign and "english" not in said:
        said.add("english")
        prompt = textwrap.shorten(foreign[0], SHOWN, placeholder=" …")
        yield text("generate.not_english", prompt=prompt)
    levels = [job.level for job in jobs if job.level is not None]
    if levels and model.level_by == "none" and "level" not in said:
        said.add("level")
        yield text("generate.level_unknown", model=model.artifact, level=levels[0])


def _read_starts(
    task: Task,
    config: GenerationConfig,
    num: int,
    *,
    images: Sequence[np.ndarray] | np.ndarray | None,
    masks: Sequence[np.ndarray] | np.ndarray | None,
) -> Iterator[tuple[UInt8[Tensor, "3 h w"] | None, Bool[Tensor, "h w"] | None]]:
    """Check that the task gets the images and masks that it needs, and pair them."""
    takers = {"images": ("image-to-image", "inpainting"), "masks": ("inpainting",)}
    for name, given in (("images", images), ("masks", masks)):
        if given is None and task in takers[name]:
            raise ValueError(f"{task} needs {name}=, one a prompt")
        if given is not None and task not in takers[name]:
            raise ValueError(
                f"the model was loaded for {task}, which takes no {name}; load it with "
                f"load_pipeline(…, task={takers[name][0]!r})"
            )
        if given is not None and len(given) != num:
            raise ValueError(f"expected {num} {name}, one a prompt; got {len(given)}")
    size, none = (config.height, config.width), [None] * num
    pixels = none if images is None else [_read_image(*pair, size) for pair in enumerate(images)]
    marked = none if masks is None else [_read_mask(*pair, size) for pair in enumerate(masks)]
    return zip(pixels, marked, strict=True)


def _read_image(i: int, image: np.ndarray, size: tuple[int, int]) -> UInt8[Tensor, "3 h w"]:
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.shape != (*size, 3):
        raise ValueError(
            f"images[{i}]: expected bytes (uint8) of shape {(*size, 3)}, which are config.height, "
            f"config.width and 3 colors; got {image.dtype} of shape {image.shape}: convert or "
            "resize it, or change the settings"
        )
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).contiguous()


def _read_mask(i: int, mask: np.ndarray, size: tuple[int, int]) -> Bool[Tensor, "h w"]:
    mask = np.asarray(mask)
    is_mask = mask.dtype == bool or (mask.dtype == np.uint8 and np.isin(mask, (0, 255)).all())
    if mask.shape != size or not is_mask:
        raise ValueError(
            f"masks[{i}]: expected shape {size}, with True or 255 where to repaint and False or 0 "
            f"elsewhere; got {mask.dtype} of shape {mask.shape}: compare it with a threshold, or "
            "resize it"
        )
    if not mask.any():
        raise ValueError(
            f"masks[{i}]: is False or 0 everywhere, so nothing would be repainted; mark at least "
            "one pixel, or leave this image out"
        )
    return torch.from_numpy(mask != 0)


def _hash(pixels: Tensor) -> str:
    what = f"{tuple(pixels.shape)} {pixels.dtype}".encode() + pixels.numpy().tobytes()
    return hashlib.sha256(what).hexdigest()
