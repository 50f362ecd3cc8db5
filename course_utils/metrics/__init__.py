"""Pure functions from tensors to numbers, and honest intervals around them.

``classification`` judges predictions, ``intervals`` bounds means; ``generation`` and ``neighbors``
compare synthetic images with real ones in a feature space, ``features`` says which can be.
"""

from course_utils.metrics.classification import (
    accuracy,
    confusion_matrix,
    macro_f1,
    per_class_recall,
)
from course_utils.metrics.features import clip_score
from course_utils.metrics.generation import (
    FrechetBySize,
    frechet_by_size,
    frechet_distance,
    kernel_distance,
    kernel_interval,
)
from course_utils.metrics.intervals import Interval, crossed_interval, mean_interval, verdict
from course_utils.metrics.neighbors import (
    CopiedShare,
    DensityCoverage,
    Neighbors,
    PrecisionRecall,
    copied_share,
    density_coverage,
    nearest_neighbors,
    precision_recall,
)

__all__ = [
    "CopiedShare",
    "DensityCoverage",
    "FrechetBySize",
    "Interval",
    "Neighbors",
    "PrecisionRecall",
    "accuracy",
    "clip_score",
    "confusion_matrix",
    "copied_share",
    "crossed_interval",
    "density_coverage",
    "frechet_by_size",
    "frechet_distance",
    "kernel_distance",
    "kernel_interval",
    "macro_f1",
    "mean_interval",
    "nearest_neighbors",
    "per_class_recall",
    "precision_recall",
    "verdict",
]
