"""Real images and augmented copies of them: what the arms of an augmentation experiment learn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from jaxtyping import Float
from shapely import MultiPolygon, Polygon
from torch import Generator, Tensor

from course_utils import augment
from course_utils.augment import Augmentation, Batch, Compose
from course_utils.examples import Example
from course_utils.images import fit, from_pil, to_unit, unit_to_bytes

_TURNS = (augment.QuarterTurn(), augment.Flip())
_LIGHT = (augment.Brightness(), augment.Contrast())
_NOISE = (augment.GaussianNoise(), augment.Speckle(), augment.SaltAndPepper())
_LEGAL = (*_TURNS, augment.RandomResizedCrop(), *_LIGHT, augment.GaussianNoise())
# Each with its default strength, which nobody tuned; "legal" is what changes no class from above.
FAMILIES: Mapping[str, Augmentation] = MappingProxyType(
    {
        "turns": Compose(_TURNS),
        "rotation": augment.Rotate(padding="reflection"),
        "scale": Compose(
            (augment.Scale(padding="reflection"), augment.Translate(padding="reflection"))
        ),
        "crop": augment.RandomResizedCrop(),
        "light": Compose(_LIGHT),
        "color": Compose((augment.Saturation(), augment.Hue())),
        "noise": Compose(_NOISE),
        "cutout": augment.Cutout(),
        "mixup": augment.Mixup(),
        "cutmix": augment.CutMix(),
        "copy_paste": augment.CopyPaste(),
        "legal": Compose(_LEGAL),
        "everything": Compose((*_LEGAL, augment.Hue(), augment.Cutout(), augment.CutMix())),
    }
)


@dataclass(frozen=True, eq=False)
class Copies:
    """Augmented copies and what each of them shows, as soft labels."""

    examples: tuple[Example, ...]  # labelled with the largest share
    targets: Float[Tensor, "n k"]


def augmented_copies(
    examples: Sequence[Example],
    augmentation: Augmentation,
    *,
    num_classes: int,
    num_copies: int,
    generator: Generator,
    size: int,
    polygons: Sequence[Sequence[Polygon | MultiPolygon]] | None = None,
) -> Copies:
    """Make augmented copies of every example; where images mix, those of the list mix with others.

    Args:
        examples: real images; Mixup, CutMix and Copy-Paste find their partners among them.
        augmentation: one of ``FAMILIES``, or any other.
        num_classes: labels are 0 … num_classes - 1.
        num_copies: of each example, 1 or more; the first copy of all of them comes first.
        generator: on the CPU.
        size: side in pixels to which images are brought first.
        polygons: each example's buildings in pixels of that size, which Copy-Paste needs.

    Returns:
        The copies with their soft labels.

    Raises:
        ValueError: no examples or copies, a label outside the classes, or as the augmentation says.
    """
    if not examples or num_copies < 1:
        raise ValueError(
            f"expected examples and copies, got {len(examples)} examples, {num_copies} copies"
        )
    pixels = torch.stack([from_pil(fit(example.load(), size)) for example in examples])
    labels = [example.label for example in examples]
    targets = augment.targets_from_labels(labels, num_classes=num_classes)
    batch = Batch(to_unit(pixels), targets=targets, polygons=polygons)
    made = [
        augment.augment_batch(batch, augmentation, generator=generator) for _ in range(num_copies)
    ]
    images = unit_to_bytes(torch.cat([each.images for each in made]))
    targets = torch.cat([each.targets for each in made])
    arrays = images.permute(0, 2, 3, 1).contiguous().numpy()
    pairs = zip(targets.argmax(dim=1).tolist(), arrays, strict=True)
    return Copies(tuple(Example(k, "real", pixels=array) for k, array in pairs), targets)
