"""Tune the classifier: heads that start from text, many together; or the network itself.

``tune_heads`` trains linear heads on features, ``finetune`` and ``contrastive`` train a copy of the
network, ``blend`` and ``blend_heads`` go back part of the way to what text alone gave.
"""

from course_utils.tuning.batches import ORDERS, mixed_rows
from course_utils.tuning.blending import blend, blend_heads
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
from course_utils.tuning.networks import (
    NetConfig,
    NetStep,
    contrastive,
    contrastive_loss,
    finetune,
)

__all__ = [
    "LEARNING_RATES",
    "NUM_STEPS",
    "NUM_TRIALS",
    "ORDERS",
    "HeadData",
    "Heads",
    "NetConfig",
    "NetStep",
    "Trial",
    "TuneConfig",
    "TuneStep",
    "best_trial",
    "blend",
    "blend_heads",
    "choose_config",
    "contrastive",
    "contrastive_loss",
    "finetune",
    "mixed_rows",
    "soft_targets",
    "synthetic_loss",
    "tune_heads",
]
