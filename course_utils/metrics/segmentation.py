r"""How well a found map covers an asked one: intersection over union."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

Found, Asked = Shaped[Tensor, "n h w"], Shaped[Tensor, "_n _h _w"]  # of equal size


def mask_iou(found: Found, asked: Asked) -> Float[Tensor, " n"]:
    r"""Measure how far two masks agree, image by image.

    $$\mathrm{IoU} = \frac{|A \cap B|}{|A \cup B|}$$

    Args:
        found: True inside.
        asked: True inside, of the same images.

    Returns:
        0 (apart) to 1 (equal); NaN where both are empty, which says nothing.

    Raises:
        ValueError: two shapes, or no masks.
    """
    _require_alike(found, asked)
    if found.dtype != torch.bool or asked.dtype != torch.bool:
        raise ValueError(
            f"expected masks of True and False, got {found.dtype} and {asked.dtype}: compare land "
            "cover with the code of a class, as in land_cover == control.ROAD"
        )
    both = (found & asked).sum(dim=(1, 2))
    return both / (found | asked).sum(dim=(1, 2))


def class_iou(found: Found, asked: Asked, *, num_classes: int) -> Float[Tensor, " k"]:
    """Measure how far two maps of classes agree, class by class, over the pixels of all images.

    Args:
        found: codes, 0 … k - 1.
        asked: codes, 0 … k - 1, of the same images.
        num_classes: k.

    Returns:
        An IoU a class; NaN for one that is in neither map.

    Raises:
        ValueError: two shapes, or a code outside the classes.

    Source:
        Everingham et al., "The Pascal visual object classes challenge: a retrospective", IJCV 2015,
        section 3.2: counted over all images, not averaged over them.
    """
    _require_alike(found, asked)
    for name, codes in (("found", found), ("asked", asked)):
        least, most = int(codes.min()), int(codes.max())
        if least < 0 or most >= num_classes:
            raise ValueError(
                f"{name}: expected codes from 0 to {num_classes - 1}, got {least} to {most}; a "
                "code for unknown has to be taken out before"
            )
    pairs = asked.long().flatten() * num_classes + found.long().flatten()
    table = torch.bincount(pairs, minlength=num_classes**2).view(num_classes, num_classes)
    both = table.diagonal()
    return both / (table.sum(dim=0) + table.sum(dim=1) - both)


def mean_iou(found: Found, asked: Asked, *, num_classes: int) -> float:
    """Average `class_iou` over the classes that are in one of the maps."""
    return class_iou(found, asked, num_classes=num_classes).nanmean().item()


def _require_alike(found: Tensor, asked: Tensor) -> None:
    if found.shape != asked.shape or found.dim() != 3 or not found.numel():
        raise ValueError(
            "expected two stacks of maps, images x height x width, of the same size, got "
            f"{tuple(found.shape)} and {tuple(asked.shape)}"
        )
