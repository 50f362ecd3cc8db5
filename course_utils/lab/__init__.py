"""The experiment: arms x ratios x seeds, trained alike, in one tidy table with its controls.

``plan_budget`` and ``draw_arms`` say what is compared, ``run_arms`` trains and ``tabulate``
judges it, ``findings`` and ``write_report`` say what came out. ``augmented_copies`` makes what the
arms of classical augmentation learn from; ``train_vit`` trains a transformer without any CLIP.
"""

from course_utils.lab.augmented import (
    AUGMENTATIONS,
    DIALS,
    FAMILIES,
    apply_dial,
    augmented_copies,
)
from course_utils.lab.experiment import (
    RATIOS,
    Budget,
    Results,
    draw_arms,
    plan_budget,
    run_arms,
    save_results,
    tabulate,
    write_prompts,
)
from course_utils.lab.from_scratch import REGULARIZATIONS, classify, train_vit
from course_utils.lab.report import (
    arm_label,
    findings,
    results_table,
    verdict_sentence,
    write_report,
)

__all__ = [
    "AUGMENTATIONS",
    "DIALS",
    "FAMILIES",
    "RATIOS",
    "REGULARIZATIONS",
    "Budget",
    "Results",
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
    "tabulate",
    "train_vit",
    "verdict_sentence",
    "write_prompts",
    "write_report",
]
