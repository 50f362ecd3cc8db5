"""Data in, Figure out: the pictures of the course, one color per source and damage everywhere.

Every function returns a closed Figure, which a notebook shows once and `save_figure` writes.
Accuracies, gains and their intervals come as shares in 0 … 1, where nothing else is said.
"""

from course_utils.plots.buildings import (
    crops_by_level,
    damage_scale,
    dial_name,
    dial_title,
    label_words,
    scene_maps,
    show_batch,
)
from course_utils.plots.denoising import (
    Animation,
    animate,
    animate_reverse,
    reverse_pictures,
    show_batches,
    show_inpainting,
    show_noising,
    show_reverse,
    to_pictures,
)
from course_utils.plots.diffusion import (
    compare_samples,
    plot_clouds,
    plot_loss,
    plot_posterior,
    plot_schedules,
    plot_solver_order,
    plot_vector_field,
    show_noised,
)
from course_utils.plots.disasters import (
    acquisitions,
    building_sizes,
    damage_by_type,
    damage_imbalance,
    event_counts,
    world_map,
)
from course_utils.plots.errors import (
    plot_class_gains,
    plot_confusion_pair,
    plot_reliability,
    show_failures,
)
from course_utils.plots.grid import (
    plot_trajectory,
    show_by_class,
    show_captions,
    show_grid,
    show_images,
    show_neighbors,
)
from course_utils.plots.heat import (
    confusion_figure,
    family_name,
    plot_augreg,
    plot_class_scores,
    plot_gain_table,
    show_attention,
    show_heatmaps,
    show_masked,
)
from course_utils.plots.lab import (
    plot_gains_by_shots,
    plot_shots_curve,
    plot_strategies,
    plot_verdict_map,
)
from course_utils.plots.labels import plot_accuracy_timeline, plot_timeline
from course_utils.plots.measured import (
    compare_splits,
    plot_by_amount,
    plot_by_steps,
    plot_by_strength,
    plot_few_shots,
    plot_metric_bias,
    plot_quality,
)
from course_utils.plots.pairs import show_pair, show_swipe, show_swipes, show_tiles
from course_utils.plots.project import plot_cost, plot_data_value, plot_framework
from course_utils.plots.published import plot_few_shot_published
from course_utils.plots.results import (
    plot_published,
    plot_synthetic_gains,
    plot_zero_shot_published,
)
from course_utils.plots.strategies import show_before_after, show_kept
from course_utils.plots.style import (
    DAMAGE_COLORS,
    DISASTER_COLORS,
    DISASTER_MARKERS,
    SOURCE_COLORS,
    figure_bytes,
    save_figure,
)

__all__ = [
    "DAMAGE_COLORS",
    "DISASTER_COLORS",
    "DISASTER_MARKERS",
    "SOURCE_COLORS",
    "Animation",
    "acquisitions",
    "animate",
    "animate_reverse",
    "building_sizes",
    "compare_samples",
    "compare_splits",
    "confusion_figure",
    "crops_by_level",
    "damage_by_type",
    "damage_imbalance",
    "damage_scale",
    "dial_name",
    "dial_title",
    "event_counts",
    "family_name",
    "figure_bytes",
    "label_words",
    "plot_accuracy_timeline",
    "plot_augreg",
    "plot_by_amount",
    "plot_by_steps",
    "plot_by_strength",
    "plot_class_gains",
    "plot_class_scores",
    "plot_clouds",
    "plot_confusion_pair",
    "plot_cost",
    "plot_data_value",
    "plot_few_shot_published",
    "plot_few_shots",
    "plot_framework",
    "plot_gain_table",
    "plot_gains_by_shots",
    "plot_loss",
    "plot_metric_bias",
    "plot_posterior",
    "plot_published",
    "plot_quality",
    "plot_reliability",
    "plot_schedules",
    "plot_shots_curve",
    "plot_solver_order",
    "plot_strategies",
    "plot_synthetic_gains",
    "plot_timeline",
    "plot_trajectory",
    "plot_vector_field",
    "plot_verdict_map",
    "plot_zero_shot_published",
    "reverse_pictures",
    "save_figure",
    "scene_maps",
    "show_attention",
    "show_batch",
    "show_batches",
    "show_before_after",
    "show_by_class",
    "show_captions",
    "show_failures",
    "show_grid",
    "show_heatmaps",
    "show_images",
    "show_inpainting",
    "show_kept",
    "show_masked",
    "show_neighbors",
    "show_noised",
    "show_noising",
    "show_pair",
    "show_reverse",
    "show_swipe",
    "show_swipes",
    "show_tiles",
    "to_pictures",
    "world_map",
]
