"""Read what shall be drawn: one job an image, with its seed, and what the model will not follow."""

import hashlib
import re
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from course_utils.runtime import derive_seed
from course_utils.text2image.levels import MARK, split_level
from course_utils.text2image.loading import TextToImage
from course_utils.text2image.records import GenerationConfig
from course_utils.text2image.sources import Source
from course_utils.texts import text

# Chinese, Japanese, Korean: none of our models learned from captions in these scripts.
NOT_ENGLISH = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")
SHOWN = 200  # characters of a prompt in a warning


@dataclass(frozen=True)
class Job:
    """One image to be drawn."""

    prompt: str
    text: str  # what the model reads: without the level, or with it, if it reads it there
    level: int | None
    seed: int
    cut: str  # the end of the text, which the model does not read; "" if it reads all
    source: Source

    @property
    def file_name(self) -> str:
        """Name the image by its prompt, its source and its seed."""
        what = "".join([self.prompt, *self.source.hashes])
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
    sources: Sequence[Source],
) -> list[Job]:
    """Make a job of each prompt and its source.

    Raises:
        ValueError: a prompt is empty or names a level that is none; the size does not suit.
    """
    factor = model.pipeline.vae_scale_factor
    if config.height % factor or config.width % factor:
        raise ValueError(
            f"height and width must be multiples of {factor} for {model.artifact}, got "
            f"{config.height} x {config.width}"
        )
    copies: Counter[tuple[str, ...]] = Counter()
    cuts: dict[str, str] = {}
    jobs = []
    for prompt, source in zip(prompts, sources, strict=True):
        level, sentence = split_level(prompt, config.level)
        if not sentence.strip():
            raise ValueError(f"prompts must be a list of sentences, none of them empty: {prompt!r}")
        is_told = level is not None and model.level_by == "prompt"
        read = f"{level}{MARK}{sentence}" if is_told else sentence
        if read not in cuts:
            cuts[read] = find_cut(model.pipeline.tokenizer, read)
        same = (prompt, *source.hashes)
        seed = image_seed(config.seed, prompt, copies[same], *source.hashes)
        copies[same] += 1
        jobs.append(Job(prompt, read, level, seed, cuts[read], source))
    return jobs


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


def has_halves(model: TextToImage, config: GenerationConfig) -> bool:
    """Say whether each step asks twice; not where the network reads the guidance as a number."""
    return config.guidance_scale > 1 and model.pipeline.unet.config.time_cond_proj_dim is None


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
    reads_scale = model.pipeline.unet.config.time_cond_proj_dim is not None
    if config.negative_prompt and reads_scale and "negative" not in said:
        said.add("negative")
        yield text("generate.no_negative", model=model.artifact)
    foreign = [job.prompt for job in jobs if NOT_ENGLISH.search(job.prompt)]
    if foreign and "english" not in said:
        said.add("english")
        prompt = textwrap.shorten(foreign[0], SHOWN, placeholder=" …")
        yield text("generate.not_english", prompt=prompt)
    levels = [job.level for job in jobs if job.level is not None]
    if levels and model.level_by == "none" and "level" not in said:
        said.add("level")
        yield text("generate.level_unknown", model=model.artifact, level=levels[0])


def stack_images(jobs: Sequence[Job]) -> UInt8[Tensor, "n c h w"]:
    """Collect the images that the jobs start from."""
    return torch.stack([job.source.image for job in jobs])


def stack_masks(jobs: Sequence[Job]) -> Bool[Tensor, "n 1 h w"]:
    """Collect the masks of what the jobs shall repaint."""
    return torch.stack([job.source.mask for job in jobs])[:, None]
