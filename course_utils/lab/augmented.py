"""Classical augmentation in the lab: families to learn from, and single dials to turn."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

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
_MIRROR = {"padding": "reflection"}
# Each with its default strength, which nobody tuned; "legal" is what changes no class from above.
FAMILIES: Mapping[str, Augmentation] = {
    "turns": Compose(_TURNS),
    "rotation": augment.Rotate(**_MIRROR),
    "scale": Compose((augment.Scale(**_MIRROR), augment.Translate(**_MIRROR))),
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
_STRONG = (*_TURNS, augment.RandomResizedCrop(), *_LIGHT, augment.Saturation(), augment.Mixup())
# What Steiner et al. call augmentation: more and more of it, Mixup only in the last.
AUGMENTATIONS: Mapping[str, Augmentation] = {
    "none": Compose(()),
    "light": Compose(_TURNS),
    "strong": Compose(_STRONG),
}


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


@dataclass(frozen=True)
class Dial:
    """One augmentation at several strengths, the one without effect first.

    ``make`` gives the augmentation at a strength. ``keeps_label`` is False where images mix, so
    that another label is right afterwards.
    """

    strengths: tuple[float | int, ...]
    make: Callable[[float], Augmentation]
    unit: str  # key of a text, "dial.degrees"
    family: str  # the one of FAMILIES that trains with it
    keeps_label: bool = True


def _exactly(kind: type, *more: object, **settings: object) -> Callable[[float], Augmentation]:
    """Let an augmentation that draws its strength from a range take one strength only."""
    return lambda x: kind((x, x), *more, **settings)


DIALS: Mapping[str, Dial] = {
    "quarter_turns": Dial(
        (0, 1, 2, 3), lambda x: augment.QuarterTurn((int(x),)), "dial.turns", "turns"
    ),
    "flip": Dial((0, 1), lambda x: augment.Flip(x, 0), "dial.share", "turns"),
    "vertical_flip": Dial((0, 1), lambda x: augment.Flip(0, x), "dial.share", "turns"),
    "rotation": Dial(
        (0, 10, 20, 30, 45), _exactly(augment.Rotate, **_MIRROR), "dial.degrees", "rotation"
    ),
    "scale": Dial(
        (1, 0.5, 0.7, 1.4, 2, 3), _exactly(augment.Scale, **_MIRROR), "dial.factor", "scale"
    ),
    "translation": Dial(
        (0, 0.1, 0.25, 0.5), _exactly(augment.Translate, **_MIRROR), "dial.side", "scale"
    ),
    "crop": Dial(
        (1, 0.7, 0.5, 0.25, 0.1), _exactly(augment.RandomResizedCrop, (1, 1)), "dial.area", "crop"
    ),
    "brightness": Dial((1, 0.4, 0.7, 1.4, 2), _exactly(augment.Brightness), "dial.factor", "light"),
    "contrast": Dial((1, 0.25, 0.5, 2, 4), _exactly(augment.Contrast), "dial.factor", "light"),
    "saturation": Dial((1, 0, 0.5, 2, 4), _exactly(augment.Saturation), "dial.factor", "color"),
    "hue": Dial(
        (0, -120, -60, -30, 30, 60, 120, 180), _exactly(augment.Hue), "dial.degrees", "color"
    ),
    "gaussian_noise": Dial(
        (0, 0.02, 0.05, 0.1, 0.2), _exactly(augment.GaussianNoise), "dial.sigma", "noise"
    ),
    "speckle": Dial((0, 0.05, 0.1, 0.2, 0.4), _exactly(augment.Speckle), "dial.sigma", "noise"),
    "salt_and_pepper": Dial(
        (0, 0.01, 0.03, 0.1, 0.2), _exactly(augment.SaltAndPepper), "dial.pixels", "noise"
    ),
    "cutout": Dial((0, 0.25, 0.5, 0.75), _exactly(augment.Cutout), "dial.side", "cutout"),
    "mixup": Dial((0.05, 0.2, 1, 4), augment.Mixup, "dial.alpha", "mixup", keeps_label=False),
    "cutmix": Dial((0.05, 0.2, 1, 4), augment.CutMix, "dial.alpha", "cutmix", keeps_label=False),
    "copy_paste": Dial(
        (0, 0.25, 0.5, 1), augment.CopyPaste, "dial.buildings", "copy_paste", keeps_label=False
    ),
}


def shown_strengths(name: str) -> tuple[float | int, ...]:
    """Choose three strengths of one of ``DIALS``: least, middle, greatest of those with an effect.

    Raises:
        ValueError: an unknown name.
    """
    strengths = sorted(_dial(name).strengths[1:])
    return tuple(dict.fromkeys((strengths[0], strengths[len(strengths) // 2], strengths[-1])))


def _dial(name: str) -> Dial:
    if name not in DIALS:
        raise ValueError(f"no augmentation {name!r}: expected one of {', '.join(DIALS)}")
    return DIALS[name]


def apply_dial(batch: Batch, name: str, strength: float | int, *, generator: Generator) -> Batch:
    """Augment a batch by one of ``DIALS``, with as much of what moves along as can.

    Polygons cannot go on in a mirror, so where there are any, what comes from outside the image is
    black. Mixup leaves no mask and no polygon. ``strength`` is one of the dial's, or between them.

    Raises:
        ValueError: an unknown name, or as the augmentation says.
    """
    augmentation = _dial(name).make(strength)
    if batch.polygons is not None and hasattr(augmentation, "padding"):
        augmentation = replace(augmentation, padding="zeros")
    if isinstance(augmentation, augment.Mixup):
        batch = replace(batch, masks=None, polygons=None)
    return augment.augment_batch(batch, augmentation, generator=generator)
