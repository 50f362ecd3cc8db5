"""Copy-Paste: take buildings from one image and put them into another, on top of what is there."""

from dataclasses import dataclass

import numpy as np
import shapely
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Generator, Tensor

from course_utils.augment.draws import Real, check_count, check_order, check_share, partners
from course_utils.augment.mixing import mix_targets
from course_utils.augment.outlines import Outlines, cover, keep_areas, rasterize
from course_utils.augment.records import Batch, with_parts

NUM_CHANCES = 256  # buildings of an image that are chosen apart; the 257th goes as the first does


@dataclass(frozen=True, eq=False)
class Paste:
    """What was drawn: whose buildings come into an image, and each one's chance, in [0, 1)."""

    order: Int64[Tensor, " n"]
    chances: Float32[Tensor, "n chances"]


@dataclass(frozen=True)
class CopyPaste:
    r"""Paste buildings of another image of the batch into each one, at the place where they were.

    $$\tilde x = a\, x_{o} + (1 - a)\, x, \qquad \tilde y = \bar a\, y_{o} + (1 - \bar a)\, y$$

    where a is 1 on the chosen buildings and $\bar a$ its mean, the share of the image that they
    cover. What lies under them is hidden: masks are overwritten, polygons cut, and one that is
    hidden whole is dropped. Edges are not smoothed, which the paper found to make no difference.
    Flip, Scale and Translate before it vary the place: ``Compose((Flip(), Scale(), CopyPaste()))``.

    ``building_share`` is the chance of each polygon to be copied. A batch with masks only does not
    say where one building ends: all pixels of the mask that are not 0 are copied.

    Raises:
        ValueError: a share outside [0, 1]; when applied to a batch without masks and polygons.

    Source:
        Ghiasi et al. 2021 (arXiv:2012.07177), section 3.
    """

    building_share: Real = 0.5

    def __post_init__(self) -> None:
        check_share("building_share", self.building_share)

    def draw(self, num: int, height: int, width: int, generator: Generator) -> Paste:
        """Draw a partner an image and a chance a building."""
        chances = torch.rand(num, NUM_CHANCES, generator=generator)
        return Paste(partners(num, generator), chances)

    def apply(self, batch: Batch, params: Paste) -> Batch:
        """Paste what was chosen."""
        check_order(params.order, len(batch))
        check_count("chances", params.chances, len(batch))
        masks, polygons, order = batch.masks, batch.polygons, params.order
        if polygons is not None:
            chosen = self._choose(polygons, params)
            pasted = _draw(chosen, batch).to(batch.images.device)
            polygons = tuple(_put_on(*pair) for pair in zip(polygons, chosen, strict=True))
        elif masks is not None:
            pasted = masks[order] != 0
        else:
            raise ValueError("CopyPaste needs masks or polygons to tell what a building is")
        if masks is not None:
            masks = torch.where(pasted, masks[order], masks)
        images = torch.where(pasted[:, None], batch.images[order], batch.images)
        targets = mix_targets(batch.targets, 1 - pasted.float().mean(dim=(1, 2)), order)
        return with_parts(batch, images=images, masks=masks, polygons=polygons, targets=targets)

    def _choose(self, polygons: tuple[Outlines, ...], params: Paste) -> list[Outlines]:
        """Choose the buildings that come into each image."""
        lucky = (params.chances < self.building_share).tolist()
        return [
            tuple(shape for j, shape in enumerate(polygons[i]) if row[j % len(row)])
            for i, row in zip(params.order.tolist(), lucky, strict=True)
        ]


def _draw(chosen: list[Outlines], batch: Batch) -> Bool[Tensor, "n h w"]:
    height, width = batch.size
    return torch.stack([rasterize(found, height=height, width=width) for found in chosen])


def _put_on(own: Outlines, chosen: Outlines) -> Outlines:
    """Lay the chosen buildings over an image's own."""
    on_top = keep_areas(np.array(chosen, dtype=object))
    return cover(own, shapely.union_all(on_top)) + chosen
