"""Features of one extractor: what may be compared, and images against their sentences."""

import torch
from jaxtyping import Float
from torch import Tensor

CHUNK = 1024  # rows that are compared with all others at a time


def require_features(*sets: Tensor, at_least: int) -> list[Tensor]:
    """Return feature matrices in double precision if they can be compared.

    Raises:
        ValueError: too few rows, different columns, or values that are not finite.
    """
    if few := [len(rows) for rows in sets if len(rows) < at_least]:
        raise ValueError(f"expected {at_least} rows or more (one an image), got {few[0]}")
    widths = [rows.shape[1] for rows in sets]
    if len(set(widths)) > 1 or 0 in widths:
        raise ValueError(
            f"expected features of one extractor, got sets with {widths} columns: extract all "
            "with the same model"
        )
    if not all(torch.isfinite(rows).all() for rows in sets):
        raise ValueError("expected finite features, got NaN or infinity: look at the images")
    return [rows.double() for rows in sets]


def clip_score(
    image_features: Float[Tensor, "n d"], text_features: Float[Tensor, "n d"]
) -> Float[Tensor, " n"]:
    r"""Score each image against its own sentence, 0 to 100.

    $$100\,\max(\cos(f(\text{image}_i), f(\text{text}_i)), 0)$$

    The paper's scale is 2.5 in place of 100. torchmetrics' ``CLIPScore`` has 100, but clips the
    mean over the pairs, not each of them. A score is only comparable within one CLIP.

    Args:
        image_features: of any length, one row an image.
        text_features: the sentence of each, in the same order.

    Raises:
        ValueError: not as many sentences as images, different columns, a row of zeros, or values
            that are not finite.

    Source:
        Hessel et al. 2021 (arXiv:2104.08718), section 3.
    """
    image_features, text_features = require_features(image_features, text_features, at_least=1)
    if len(image_features) != len(text_features):
        raise ValueError(
            f"expected one sentence an image, got {len(image_features)} images and "
            f"{len(text_features)} sentences"
        )
    norms = image_features.norm(dim=1) * text_features.norm(dim=1)
    if (norms == 0).any():
        raise ValueError("a row of zeros points nowhere: give features of an encoder")
    cosines = (image_features * text_features).sum(dim=1) / norms
    return 100 * cosines.clamp(min=0)
