"""One augmentation after the other, and pixels moved but once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain, groupby
from typing import Any

import torch
from torch import Generator, Tensor

from course_utils.augment.batches import Augmentation, Batch
from course_utils.augment.geometry import Affine, then

AT_A_TIME = 64  # images that a CPU works on
Step = tuple[Augmentation, Any]  # and what it drew


def augment_batch(batch: Batch, augmentation: Augmentation, *, generator: Generator) -> Batch:
    """Draw and apply.

    Args:
        batch: images with all that must move along.
        augmentation: one of this package's, or anything with the same two methods.
        generator: on the CPU.

    Raises:
        ValueError: as the augmentation says.
    """
    params = augmentation.draw(len(batch), *batch.size, generator)
    return augmentation.apply(batch, params)


@dataclass(frozen=True)
class Compose:
    """Do several augmentations in their order.

    Moves that follow each other directly are fused into one (see ``geometry.then``): each pixel is
    interpolated once, so the result is sharper than step by step, and a part that one move pushes
    out of the frame can come back by the next. A ``Compose`` inside is as if its parts stood there.
    """

    augmentations: tuple[Augmentation, ...]

    def __post_init__(self) -> None:
        parts = []
        for part in self.augmentations:
            parts += part.augmentations if isinstance(part, Compose) else [part]
        object.__setattr__(self, "augmentations", tuple(parts))

    def draw(self, num: int, height: int, width: int, generator: Generator) -> tuple[Any, ...]:
        """Draw for each augmentation, for images of the size that those before it leave."""
        params = []
        for augmentation in self.augmentations:
            params.append(augmentation.draw(num, height, width, generator))
            if isinstance(params[-1], Affine):
                height, width = params[-1].size
        return tuple(params)

    def apply(self, batch: Batch, params: tuple[Any, ...]) -> Batch:
        """Apply each as drawn, neighboring moves as one.

        On a CPU a few images at a time go through all steps, up to one that mixes images: what a
        step makes is then still in the cache when the next one needs it, and memory is used again.

        Raises:
            ValueError: not one draw for each augmentation, or one of another batch.
        """
        if len(params) != len(self.augmentations):
            raise ValueError(
                f"expected what {len(self.augmentations)} augmentations drew, got {len(params)}"
            )
        steps = _fuse(zip(self.augmentations, params, strict=True))
        for mixes, run in groupby(steps, key=lambda step: hasattr(step[1], "order")):
            at_once = mixes or batch.images.is_cuda
            batch = _apply(batch, list(run), len(batch) if at_once else AT_A_TIME)
        return batch


def _fuse(steps: Iterable[Step]) -> list[Step]:
    """Make one step of moves that follow each other directly."""
    fused: list[Step] = []
    for augmentation, drawn in steps:
        if isinstance(drawn, Affine) and fused and isinstance(fused[-1][1], Affine):
            drawn = then(fused.pop()[1], drawn)
        fused.append((augmentation, drawn))
    return fused


def _apply(batch: Batch, steps: Sequence[Step], at_a_time: int) -> Batch:
    """Let some images at a time go through all steps."""
    done = []
    for start in range(0, len(batch), at_a_time):
        stop = start + at_a_time
        rows = slice(start, stop if stop < len(batch) else None)  # parameters to spare are seen
        some = batch[rows]
        for augmentation, drawn in steps:
            some = augmentation.apply(some, _take(drawn, rows))
        done.append(some)
    return _join(done)


def _take(params: Any, rows: slice) -> Any:
    """Take what was drawn for some images: of each tensor in it, these rows."""
    if isinstance(params, Tensor):
        return params[rows]
    parts = {field.name: getattr(params, field.name) for field in fields(params)}
    return replace(params, **{n: p[rows] for n, p in parts.items() if isinstance(p, Tensor)})


def _join(batches: Sequence[Batch]) -> Batch:
    """Put batches behind each other that have images of one size, and the same parts."""
    together = {}
    for name, first in vars(batches[0]).items():
        parts = [getattr(batch, name) for batch in batches]
        if isinstance(first, Tensor):
            together[name] = torch.cat(parts)
        elif first is not None:
            together[name] = tuple(chain.from_iterable(parts))
    return Batch(**together)
