"""The experiment: arms x shots x generators x seeds, one tidy table with its controls.

``plan_grid`` and ``draw_cells`` say what is compared, ``train_cells`` trains it at every setting,
``choose_settings`` settles that on validation images and ``tabulate`` judges once; ``answer`` and
``write_report`` say what came out. ``augmented_copies`` makes what the arms of classical
augmentation learn from; ``train_vit`` trains a transformer without any CLIP.
"""

from course_utils.lab.augmented import (
    AUGMENTATIONS,
    DIALS,
    FAMILIES,
    apply_dial,
    augmented_copies,
    shown_strengths,
)
from course_utils.lab.design import (
    ARMS,
    CURVE,
    FEW,
    SHOTS,
    SMALLEST,
    Bank,
    Cell,
    Grid,
    draw_cells,
    draw_rows,
    plan_grid,
    shots_of,
    with_generators,
    write_prompts,
)
from course_utils.lab.from_scratch import REGULARIZATIONS, classify, train_vit
from course_utils.lab.looking import preview, turned
from course_utils.lab.notes import called, commit, once, read_answer, read_prediction, versions
from course_utils.lab.report import (
    answer,
    arm_label,
    curve_table,
    findings,
    hits_of,
    paired,
    results_table,
    write_report,
    write_summary,
)
from course_utils.lab.results import (
    Exam,
    Results,
    map_verdicts,
    save_results,
    set_exam,
    tabulate,
)
from course_utils.lab.training import (
    FIXED,
    SETTINGS,
    Fit,
    choose_settings,
    train_cells,
    validation_accuracies,
)

__all__ = [
    "ARMS",
    "AUGMENTATIONS",
    "CURVE",
    "DIALS",
    "FAMILIES",
    "FEW",
    "FIXED",
    "REGULARIZATIONS",
    "SETTINGS",
    "SHOTS",
    "SMALLEST",
    "Bank",
    "Cell",
    "Exam",
    "Fit",
    "Grid",
    "Results",
    "answer",
    "apply_dial",
    "arm_label",
    "augmented_copies",
    "called",
    "choose_settings",
    "classify",
    "commit",
    "curve_table",
    "draw_cells",
    "draw_rows",
    "findings",
    "hits_of",
    "map_verdicts",
    "once",
    "paired",
    "plan_grid",
    "preview",
    "read_answer",
    "read_prediction",
    "results_table",
    "save_results",
    "set_exam",
    "shots_of",
    "shown_strengths",
    "tabulate",
    "train_cells",
    "train_vit",
    "turned",
    "validation_accuracies",
    "versions",
    "with_generators",
    "write_prompts",
    "write_report",
    "write_summary",
]
