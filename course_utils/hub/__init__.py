"""The artifact lock: find or fetch a model or data set, verify it, explain it.

``read_lock`` says what there is, ``locate`` where it is.
"""

from course_utils.hub.folders import (
    SHARD,
    check_model,
    choose_weights,
    read_json,
    read_settings,
    refuse_pointer,
    refuse_references,
    require_finite,
    require_floats,
    require_layers,
    require_tokenizer,
)
from course_utils.hub.lock import (
    DATA_ROOT,
    KINDS,
    LOCK_FILE,
    Artifact,
    ArtifactError,
    Located,
    is_sound,
    list_files,
    read_lock,
    sha256_of,
)
from course_utils.hub.places import locate

__all__ = [
    "DATA_ROOT",
    "KINDS",
    "LOCK_FILE",
    "SHARD",
    "Artifact",
    "ArtifactError",
    "Located",
    "check_model",
    "choose_weights",
    "is_sound",
    "list_files",
    "locate",
    "read_json",
    "read_lock",
    "read_settings",
    "refuse_pointer",
    "refuse_references",
    "require_finite",
    "require_floats",
    "require_layers",
    "require_tokenizer",
    "sha256_of",
]
