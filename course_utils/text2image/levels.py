"""Zoom levels: what they mean in metres, and the ways to tell one to a model."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch

from course_utils.text2image.records import LEVELS

MARK = "_GOOGLE_LEVEL_"
LevelBy = Literal["class_labels", "prompt", "none"]


def meters_per_pixel(level: int) -> float:
    """Convert a zoom level: 2^(17 - level) metres a pixel, 0.5 for level 18, 128 for level 10.

    Raises:
        ValueError: the level is not 10 to 18.

    Source: Text2Earth, Liu et al. 2025, arXiv:2501.00895.
    """
    if level not in LEVELS:
        raise ValueError(f"level must be {LEVELS[0]} to {LEVELS[-1]}, got {level}")
    return 2.0 ** (17 - level)


def split_level(prompt: str, level: int | None = None) -> tuple[int | None, str]:
    """Take the level off the front of a prompt that has one, as in ``17_GOOGLE_LEVEL_a river``.

    Args:
        prompt: a sentence, maybe in Text2Earth's own form.
        level: what the settings say; None says nothing.

    Returns:
        The level and the sentence without it.

    Raises:
        ValueError: the prompt's level is no number from 10 to 18, or not that of the settings.
    """
    head, mark, sentence = prompt.partition(MARK)
    if not mark:
        return level, prompt
    if head.strip() not in {str(known) for known in LEVELS}:
        raise ValueError(
            f"expected a zoom level from {LEVELS[0]} to {LEVELS[-1]} before {MARK}, got {head!r} "
            f"in {prompt!r}; metres a pixel are 2 ** (17 - level), and a level that is not known "
            "is told by leaving both out"
        )
    if level is not None and level != int(head):
        raise ValueError(
            f"the prompt {prompt!r} says level {int(head)}, the settings say {level}; drop one"
        )
    return int(head), sentence


def find_level_by(unet: Any, tokenizer: Any) -> LevelBy:
    """Find out how a model is told its level, from what it is made of.

    Text2Earth has a network that reads it as a number; the small models of the course read it in
    the sentence, with words of their own for it.
    """
    if unet.config.class_embed_type == "timestep":
        return "class_labels"
    return "prompt" if f"{LEVELS[0]}{MARK}" in tokenizer.get_vocab() else "none"


@contextlib.contextmanager
def telling(unet: Any, levels: Sequence[int | None]) -> Iterator[None]:
    """Tell a network that has class labels a level for each image, while a pipeline calls it.

    Stock pipelines do not know of class labels. Under guidance they put the unconditional half
    first; it is told 0, which means unknown, as is None. A call that brings labels is left alone.

    Source: the pipeline of Text2Earth, github.com/Chen-Yang-Liu/Text2Earth.
    """
    if unet.config.class_embed_type != "timestep":
        yield
        return
    known = [level or 0 for level in levels]

    def add_labels(
        net: Any, args: tuple, kwargs: dict[str, Any]
    ) -> tuple[tuple, dict[str, Any]] | None:
        if kwargs.get("class_labels") is not None:
            return None
        sample = args[0] if args else kwargs["sample"]
        labels = [0] * (len(sample) - len(known)) + known
        return args, {**kwargs, "class_labels": torch.tensor(labels, device=sample.device)}

    handle = unet.register_forward_pre_hook(add_labels, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()  # also after an error: a later call by hand must not find our labels
