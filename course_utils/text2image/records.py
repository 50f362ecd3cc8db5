"""What goes into `generate` and what comes out."""

from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8

# Google zoom levels that Text2Earth (arXiv:2501.00895) knows: 2 ** (17 - level) metres per pixel.
LEVELS = range(10, 19)
Task = Literal["text-to-image", "image-to-image", "inpainting"]
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
        values = {name: getattr(self, name) for name in _WHOLE}
        given = {k: v for k, v in values.items() if (k, v) != ("level", None)}
        if wrong := [k for k, v in given.items() if not isinstance(v, Integral)]:
            raise ValueError(f"{' and '.join(wrong)} must be a whole number; got {self}")
        for name, value in given.items():
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
