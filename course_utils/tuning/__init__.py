"""Tune the classifier: linear heads that start from text, many of them trained together."""

from course_utils.tuning.heads import (
    LEARNING_RATES,
    NUM_STEPS,
    NUM_TRIALS,
    HeadData,
    Heads,
    Trial,
    TuneConfig,
    TuneStep,
    best_trial,
    choose_config,
    tune_heads,
)
from course_utils.tuning.losses import soft_targets, synthetic_loss

__all__ = [
    "LEARNING_RATES",
    "NUM_STEPS",
    "NUM_TRIALS",
    "HeadData",
    "Heads",
    "Trial",
    "TuneConfig",
    "TuneStep",
    "best_trial",
    "choose_config",
    "soft_targets",
    "synthetic_loss",
    "tune_heads",
]
