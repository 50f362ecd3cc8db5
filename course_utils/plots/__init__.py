"""Data in, Figure out: the pictures of the course, one color per source and damage everywhere.

Every function returns a closed Figure, which a notebook shows once and `save_figure` writes.
"""

from course_utils.plots.animation import Animation, animate, animate_reverse
from course_utils.plots.augmentation import (
    family_name,
    plot_augreg,
    plot_by_amount,
    plot_by_strength,
    plot_gain_table,
)
from course_utils.plots.augmented import dial_name, dial_title, label_words, show_batch
from course_utils.plots.benchmarks import plot_accuracy_timeline, plot_zero_shot_published
from course_utils.plots.captions import show_captions
from course_utils.plots.classifiers import plot_class_scores, plot_few_shots
from course_utils.plots.counts import damage_by_type, damage_imbalance, event_counts
from course_utils.plots.crops import crops_by_level, damage_scale
from course_utils.plots.curves import plot_by_steps, plot_loss, plot_solver_order
from course_utils.plots.diffusion import plot_schedules, show_noised, show_noising, to_pictures
from course_utils.plots.distributions import compare_samples, plot_posterior
from course_utils.plots.generation import show_attention, show_neighbors
from course_utils.plots.heat import show_heatmaps, show_masked
from course_utils.plots.images import show_by_class, show_images
from course_utils.plots.lab import plot_accuracy_by_ratio, plot_gains
from course_utils.plots.maps import world_map
from course_utils.plots.measures import acquisitions, building_sizes
from course_utils.plots.pairs import show_pair, show_swipe
from course_utils.plots.quality import plot_metric_bias, plot_published, plot_quality
from course_utils.plots.reverse import (
    reverse_pictures,
    show_batches,
    show_inpainting,
    show_reverse,
)
from course_utils.plots.scenes import scene_maps
from course_utils.plots.scores import compare_splits, confusion_figure
from course_utils.plots.style import (
    DAMAGE_COLORS,
    DISASTER_COLORS,
    DISASTER_MARKERS,
    SOURCE_COLORS,
    figure_bytes,
    save_figure,
)
from course_utils.plots.sweeps import plot_trajectory, show_grid
from course_utils.plots.synthetic_gains import plot_synthetic_gains
from course_utils.plots.timeline import plot_timeline
from course_utils.plots.toy import plot_clouds, plot_paths, plot_vector_field

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
    "plot_accuracy_by_ratio",
    "plot_accuracy_timeline",
    "plot_augreg",
    "plot_by_amount",
    "plot_by_steps",
    "plot_by_strength",
    "plot_class_scores",
    "plot_clouds",
    "plot_few_shots",
    "plot_gain_table",
    "plot_gains",
    "plot_loss",
    "plot_metric_bias",
    "plot_paths",
    "plot_posterior",
    "plot_published",
    "plot_quality",
    "plot_schedules",
    "plot_solver_order",
    "plot_synthetic_gains",
    "plot_timeline",
    "plot_trajectory",
    "plot_vector_field",
    "plot_zero_shot_published",
    "reverse_pictures",
    "save_figure",
    "scene_maps",
    "show_attention",
    "show_batch",
    "show_batches",
    "show_by_class",
    "show_captions",
    "show_grid",
    "show_heatmaps",
    "show_images",
    "show_inpainting",
    "show_masked",
    "show_neighbors",
    "show_noised",
    "show_noising",
    "show_pair",
    "show_reverse",
    "show_swipe",
    "to_pictures",
    "world_map",
]
