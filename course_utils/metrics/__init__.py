"""Pure functions from tensors to numbers, and honest intervals around them.

``classification`` judges predictions and bounds means; ``comparison`` says what a difference allows
to claim; ``generation`` and ``neighbors`` compare synthetic images with real ones in a feature
space; ``segmentation`` compares maps.
"""

from course_utils.metrics.classification import (
    Calibration,
    Interval,
    accuracy,
    calibration,
    confusion_matrix,
    crossed_interval,
    macro_f1,
    mean_interval,
    per_class_recall,
)
from course_utils.metrics.comparison import (
    DataValue,
    Verdict,
    data_value,
    holm,
    p_value,
    per_class_gain,
    smallest_excluded,
    verdict,
)
from course_utils.metrics.generation import (
    FrechetBySize,
    clip_score,
    frechet_by_size,
    frechet_distance,
    kernel_distance,
)
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
from course_utils.metrics.segmentation import class_iou, mask_iou, mean_iou

__all__ = [
    "Calibration",
    "CopiedShare",
    "DataValue",
    "DensityCoverage",
    "FrechetBySize",
    "Interval",
    "Neighbors",
    "PrecisionRecall",
    "Verdict",
    "accuracy",
    "calibration",
    "class_iou",
    "clip_score",
    "confusion_matrix",
    "copied_share",
    "crossed_interval",
    "data_value",
    "density_coverage",
    "frechet_by_size",
    "frechet_distance",
    "holm",
    "kernel_distance",
    "macro_f1",
    "mask_iou",
    "mean_interval",
    "mean_iou",
    "nearest_neighbors",
    "p_value",
    "per_class_gain",
    "per_class_recall",
    "precision_recall",
    "smallest_excluded",
    "verdict",
]
