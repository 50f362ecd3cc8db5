"""What goes into `generate` and what comes out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8

# Google zoom levels that Text2Earth (arXiv:2501.00895) knows: 2 ** (17 - level) metres per pixel.
LEVELS = range(10, 19)
Task = Literal["text-to-image", "image-to-image", "inpainting"]


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
        """Refuse settings that no pipeline can follow.

        Raises:
            ValueError: naming each rule that is broken.
        """
        rules = {
            "num_sample_steps must be 1 or more": self.num_sample_steps >= 1,
            "guidance_scale must be 1 (none) or more": 1 <= self.guidance_scale < float("inf"),
            "height must be a multiple of 8, in pixels": self.height >= 8 and self.height % 8 == 0,
            "width must be a multiple of 8, in pixels": self.width >= 8 and self.width % 8 == 0,
            "level must be 10 (128 metres a pixel) to 18 (0.5 metres), or None": (
                self.level is None or self.level in LEVELS
            ),
            "batch_size must be 1 or more": self.batch_size >= 1,
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
    cached: bool  # read from the folder, not drawn now
