# ruff: noqa: F401  (one name for what the scripts share)
"""What the tools share: data, words, augmentation, a loop, what is written.

Nothing here is part of the course package: authors run it, learners get what it made.
"""

from tools.training.data import (
    EUROSAT_CLASSES,
    Captioned,
    compose_caption,
    google_level,
    read_captioned,
    record_seen,
    refuse_test_style,
    render_both,
    render_views,
    split_last_tenth,
)
from tools.training.files import halved, machine, provenance, say, say_numbers, sheet, write_json
from tools.training.loop import Budget, Optimizer, autocast, fit, learning_rate, step_draws
from tools.training.options import REPO, command_line, make_parser
from tools.training.runs import (
    budget_of,
    draw_pairs,
    draw_rows,
    export_run,
    load_sources,
    read_checkpoint,
    run_record,
    run_script,
    training_device,
    write_metrics,
)
from tools.training.tables import as_text, origin, read_rows, text_of, write_rows
from tools.training.views import (
    MEAN,
    STD,
    Views,
    drop_colors,
    jitter_colors,
    light_views,
    normalized,
    random_views,
    soften,
    whole_images,
)
from tools.training.vocabulary import tokenize, tokenizer_in
