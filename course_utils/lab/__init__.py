"""The experiment: arms x ratios x seeds, trained alike, in one tidy table with its controls.

``plan_budget`` and ``draw_arms`` say what is compared, ``run_arms`` trains and ``tabulate``
judges it, ``findings`` and ``write_report`` say what came out. ``augmented_copies`` makes what the
arms of classical augmentation learn from; ``train_vit`` trains a transformer without any CLIP.
"""

from course_utils.lab.arms import RATIOS, Arm, Budget, draw_arms, plan_budget, write_prompts
from course_utils.lab.augmented import FAMILIES, Copies, augmented_copies
from course_utils.lab.dials import DIALS, Dial, apply_dial
from course_utils.lab.from_scratch import (
    AUGMENTATIONS,
    REGULARIZATIONS,
    Regularization,
    VitStep,
    classify,
    small_vit,
    train_vit,
)
from course_utils.lab.report import (
    arm_label,
    findings,
    results_table,
    verdict_sentence,
    write_report,
)
from course_utils.lab.results import Results, Trained, run_arms, save_results, tabulate

__all__ = [
    "AUGMENTATIONS",
    "DIALS",
    "FAMILIES",
    "RATIOS",
    "REGULARIZATIONS",
    "Arm",
    "Budget",
    "Copies",
    "Dial",
    "Regularization",
    "Results",
    "Trained",
    "VitStep",
    "apply_dial",
    "arm_label",
    "augmented_copies",
    "classify",
    "draw_arms",
    "findings",
    "plan_budget",
    "results_table",
    "run_arms",
    "save_results",
    "small_vit",
    "tabulate",
    "train_vit",
    "verdict_sentence",
    "write_prompts",
    "write_report",
]
