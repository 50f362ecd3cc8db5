"""Draw what lies between two sentences."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from course_utils.text2image.loading import TextToImage
from course_utils.text2image.records import GenerationConfig
from course_utils.text2image.steps import embed_prompts, trace


@dataclass(frozen=True)
class Interpolated:
    """An image between two sentences."""

    share: float  # of the second sentence, 0 … 1
    image: UInt8[np.ndarray, "h w 3"]


def interpolate(
    model: TextToImage,
    prompt_a: str,
    prompt_b: str,
    config: GenerationConfig | None = None,
    *,
    num: int = 7,
) -> Iterator[Interpolated]:
    """Draw images between two sentences from the same noise, so that only the text differs.

    The sentences' embeddings are mixed token by token, (1 - λ) a + λ b, in a straight line:
    attention takes linear maps of them (keys and values), and a layer norm has already given all
    rows about one length. The arc that is used for starting noise would keep a length that nothing
    here depends on. What lies between two sentences need not be a sentence.

    Args:
        model: from `load_pipeline`.
        prompt_a: where to start; it decides about the noise.
        prompt_b: where to end.
        config: the settings; None takes those that the model was made for.
        num: images, the two ends included.

    Yields:
        Images at equal distances; the first is that of `generate` for ``prompt_a``.

    Raises:
        ValueError: as `trace`; or ``num`` is below 2.
    """
    if num < 2:
        raise ValueError(f"num counts both ends and must be 2 or more, got {num}")
    a, b = embed_prompts(model, [prompt_a, prompt_b], config)
    for share in np.linspace(0, 1, num).tolist():
        mixed = (1 - share) * a + share * b
        *_, last = trace(model, prompt_a, config, embeddings=mixed)
        yield Interpolated(share, last.image)
