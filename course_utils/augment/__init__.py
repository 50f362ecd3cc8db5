"""Classical augmentation, on batches: a random draw, then a pure apply.

``records`` says what a batch is and what an augmentation does; ``affine`` are the matrices that
move pixels, ``warping`` moves along them, ``geometry`` draws them; ``color`` and ``noise`` change
values; ``boxes``, ``mixing`` and ``copy_paste`` cut out and put in; ``outlines`` keeps polygons in
step with all of it; ``compose`` applies one after the other, and resamples but once.
"""

from course_utils.augment.affine import Affine
from course_utils.augment.boxes import Cutout, box_lam, box_masks, boxes_around, cutmix_boxes, erase
from course_utils.augment.color import (
    Brightness,
    Contrast,
    Hue,
    Saturation,
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
)
from course_utils.augment.compose import Compose, augment_batch
from course_utils.augment.copy_paste import CopyPaste
from course_utils.augment.geometry import (
    Flip,
    QuarterTurn,
    RandomCrop,
    RandomResizedCrop,
    Rotate,
    Scale,
    Translate,
)
from course_utils.augment.mixing import CutMix, Mixup, cutmix, mixup
from course_utils.augment.noise import (
    GaussianNoise,
    SaltAndPepper,
    Speckle,
    add_noise,
    salt_and_pepper,
    speckle,
)
from course_utils.augment.outlines import rasterize
from course_utils.augment.records import Augmentation, Batch, targets_from_labels
from course_utils.augment.warping import warp

__all__ = [
    "Affine",
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
    "RandomCrop",
    "RandomResizedCrop",
    "Rotate",
    "SaltAndPepper",
    "Saturation",
    "Scale",
    "Speckle",
    "Translate",
    "add_noise",
    "adjust_brightness",
    "adjust_contrast",
    "adjust_hue",
    "adjust_saturation",
    "augment_batch",
    "box_lam",
    "box_masks",
    "boxes_around",
    "cutmix",
    "cutmix_boxes",
    "erase",
    "mixup",
    "rasterize",
    "salt_and_pepper",
    "speckle",
    "targets_from_labels",
    "warp",
]
