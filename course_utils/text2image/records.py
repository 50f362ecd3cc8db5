"""What goes into `generate` and what comes out: settings, zoom levels, images."""

from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8

LEVELS = range(10, 19)  # Google zoom levels that Text2Earth knows
MARK = "_GOOGLE_LEVEL_"
Task = Literal["text-to-image", "image-to-image", "inpainting"]
LevelBy = Literal["class_labels", "prompt", "none"]
_WHOLE = ("num_sample_steps", "height", "width", "level", "seed", "batch_size")


@dataclass(frozen=True)
class GenerationConfig:
    """Settings of `generate`."""

    num_sample_steps: int = 10
    guidance_scale: float = 3.0  # 1 = none
    height: int = 64  # pixels
    width: int = 64
    level: int | None = None  # zoom level told to the model; None tells it nothing
    seed: int = 0
    batch_size: int = 64  # speed and memory only: the images do not depend on it
    negative_prompt: str = ""  # what to steer away from; unused without guidance

    def __post_init__(self) -> None:
        """Refuse settings that no pipeline can follow; numbers of NumPy become those of Python.

        Raises:
            ValueError: naming each rule that is broken.
        """
        for name in _WHOLE:
            value = getattr(self, name)
            if name == "level" and value is None:
                continue
            if not isinstance(value, Integral) or isinstance(value, bool):
                raise ValueError(f"{name} must be a whole number; got {self}")
            object.__setattr__(self, name, int(value))
        object.__setattr__(self, "guidance_scale", float(self.guidance_scale))
        rules = {
            "num_sample_steps must be 1 or more": self.num_sample_steps >= 1,
            "guidance_scale must be 1 (none) or more": 1 <= self.guidance_scale < float("inf"),
            "height must be a multiple of 8, in pixels": self.height >= 8 and self.height % 8 == 0,
            "width must be a multiple of 8, in pixels": self.width >= 8 and self.width % 8 == 0,
            "level must be 10 (128 metres a pixel) to 18 (0.5 metres), or None": (
                self.level is None or self.level in LEVELS
            ),
            "batch_size must be 1 or more": self.batch_size >= 1,
            "seed must be 0 to 2^63 - 1": 0 <= self.seed < 2**63,
            "negative_prompt must be a sentence, '' for none": isinstance(
                self.negative_prompt, str
            ),
        }
        if broken := [rule for rule, holds in rules.items() if not holds]:
            raise ValueError(f"{'; '.join(broken)}; got {self}")


@dataclass(frozen=True)
class Generated:
    """One image and everything that made it."""

    image: UInt8[np.ndarray, "h w c"]
    prompt: str
    seed: int
    path: Path | None  # None if no folder was given
    provenance: dict[str, Any]
    cached: bool = False  # read from the folder, not drawn now


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
