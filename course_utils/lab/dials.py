"""Every augmentation with one setting to turn: for galleries, and to ask how far is too far."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from torch import Generator

from course_utils import augment
from course_utils.augment import Augmentation, Batch


@dataclass(frozen=True)
class Dial:
    """One augmentation at several strengths, the one without effect first.

    ``make`` gives the augmentation at a strength. ``keeps_label`` is False where images mix, so
    that another label is right afterwards.
    """

    strengths: tuple[float | int, ...]
    make: Callable[[float], Augmentation]
    unit: str  # key of a text, "dial.degrees"
    keeps_label: bool = True


DIALS: Mapping[str, Dial] = MappingProxyType(
    {
        "quarter_turns": Dial((0, 1, 2, 3), lambda x: augment.QuarterTurn((int(x),)), "dial.turns"),
        "flip": Dial((0, 1), lambda x: augment.Flip(x, 0), "dial.share"),
        "vertical_flip": Dial((0, 1), lambda x: augment.Flip(0, x), "dial.share"),
        "rotation": Dial(
            (0, 10, 20, 30, 45),
            lambda x: augment.Rotate((x, x), padding="reflection"),
            "dial.degrees",
        ),
        "scale": Dial(
            (1, 0.5, 0.7, 1.4, 2, 3),
            lambda x: augment.Scale((x, x), padding="reflection"),
            "dial.factor",
        ),
        "translation": Dial(
            (0, 0.1, 0.25, 0.5),
            lambda x: augment.Translate((x, x), padding="reflection"),
            "dial.side",
        ),
        "crop": Dial(
            (1, 0.7, 0.5, 0.25, 0.1),
            lambda x: augment.RandomResizedCrop((x, x), (1, 1)),
            "dial.area",
        ),
        "brightness": Dial(
            (1, 0.4, 0.7, 1.4, 2), lambda x: augment.Brightness((x, x)), "dial.factor"
        ),
        "contrast": Dial((1, 0.25, 0.5, 2, 4), lambda x: augment.Contrast((x, x)), "dial.factor"),
        "saturation": Dial((1, 0, 0.5, 2, 4), lambda x: augment.Saturation((x, x)), "dial.factor"),
        "hue": Dial(
            (0, -120, -60, -30, 30, 60, 120, 180), lambda x: augment.Hue((x, x)), "dial.degrees"
        ),
        "gaussian_noise": Dial(
            (0, 0.02, 0.05, 0.1, 0.2), lambda x: augment.GaussianNoise((x, x)), "dial.sigma"
        ),
        "speckle": Dial((0, 0.05, 0.1, 0.2, 0.4), lambda x: augment.Speckle((x, x)), "dial.sigma"),
        "salt_and_pepper": Dial(
            (0, 0.01, 0.03, 0.1, 0.2), lambda x: augment.SaltAndPepper((x, x)), "dial.pixels"
        ),
        "cutout": Dial((0, 0.25, 0.5, 0.75), lambda x: augment.Cutout((x, x)), "dial.side"),
        "mixup": Dial((0.05, 0.2, 1, 4), augment.Mixup, "dial.alpha", keeps_label=False),
        "cutmix": Dial((0.05, 0.2, 1, 4), augment.CutMix, "dial.alpha", keeps_label=False),
        "copy_paste": Dial(
            (0, 0.25, 0.5, 1), augment.CopyPaste, "dial.buildings", keeps_label=False
        ),
    }
)


def apply_dial(batch: Batch, name: str, strength: float | int, *, generator: Generator) -> Batch:
    """Augment a batch by one of ``DIALS``, with as much of what moves along as can.

    Polygons cannot go on in a mirror, so where there are any, what comes from outside the image is
    black. Mixup leaves no mask and no polygon.

    Args:
        batch: images with what must move along.
        name: a key of ``DIALS``.
        strength: one of the dial's, or between them.
        generator: on the CPU.

    Raises:
        ValueError: an unknown name, or as the augmentation says.
    """
    if name not in DIALS:
        raise ValueError(f"no augmentation {name!r}: expected one of {', '.join(DIALS)}")
    augmentation = DIALS[name].make(strength)
    if batch.polygons is not None and hasattr(augmentation, "padding"):
        augmentation = replace(augmentation, padding="zeros")
    if isinstance(augmentation, augment.Mixup):
        batch = replace(batch, masks=None, polygons=None)
    return augment.augment_batch(batch, augmentation, generator=generator)
