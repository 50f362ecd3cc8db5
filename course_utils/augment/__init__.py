"""Classical augmentation, on batches: a random draw, then a pure apply.

``batches`` says what a batch is (images, masks, polygons, soft labels) and what an augmentation
does. ``geometry`` moves pixels, ``color_noise`` changes their values, ``mixing`` hides a part or
mixes two images (Cutout, Mixup, CutMix, Copy-Paste), ``compose`` does one after the other and
resamples but once. ``lab.FAMILIES`` puts them together as the course's experiments use them.
"""

from course_utils.augment.batches import Augmentation, Batch, rasterize, targets_from_labels
from course_utils.augment.color_noise import (
    Brightness,
    Contrast,
    GaussianNoise,
    Hue,
    SaltAndPepper,
    Saturation,
    Speckle,
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
)
from course_utils.augment.compose import Compose, augment_batch
from course_utils.augment.geometry import (
    Flip,
    QuarterTurn,
    RandomResizedCrop,
    Rotate,
    Scale,
    Translate,
)
from course_utils.augment.mixing import CopyPaste, CutMix, Cutout, Mixup, erase, mixup

__all__ = [
    "Augmentation",
    "Batch",
    "Brightness",
    "Compose",
    "Contrast",
    "CopyPaste",
    "CutMix",
    "Cutout",
    "Flip",
    "GaussianNoise",
    "Hue",
    "Mixup",
    "QuarterTurn",
    "RandomResizedCrop",
    "Rotate",
    "SaltAndPepper",
    "Saturation",
    "Scale",
    "Speckle",
    "Translate",
    "adjust_brightness",
    "adjust_contrast",
    "adjust_hue",
    "adjust_saturation",
    "augment_batch",
    "erase",
    "mixup",
    "rasterize",
    "targets_from_labels",
]
