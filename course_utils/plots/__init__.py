"""Data in, Figure out: the pictures of the course, one color per source and damage everywhere.

Every function returns a closed Figure, which a notebook shows once and `save_figure` writes.
"""

from course_utils.plots.counts import damage_by_type, damage_imbalance, event_counts
from course_utils.plots.crops import crops_by_level, damage_scale
from course_utils.plots.generation import show_attention, show_neighbors
from course_utils.plots.images import show_by_class, show_images
from course_utils.plots.lab import plot_accuracy_by_ratio, plot_gains
from course_utils.plots.maps import world_map
from course_utils.plots.measures import acquisitions, building_sizes
from course_utils.plots.pairs import show_pair, show_swipe
from course_utils.plots.quality import plot_metric_bias, plot_published, plot_quality
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

__all__ = [
    "DAMAGE_COLORS",
    "DISASTER_COLORS",
    "DISASTER_MARKERS",
    "SOURCE_COLORS",
    "acquisitions",
    "building_sizes",
    "compare_splits",
    "confusion_figure",
    "crops_by_level",
    "damage_by_type",
    "damage_imbalance",
    "damage_scale",
    "event_counts",
    "figure_bytes",
    "plot_accuracy_by_ratio",
    "plot_gains",
    "plot_metric_bias",
    "plot_published",
    "plot_quality",
    "plot_trajectory",
    "save_figure",
    "scene_maps",
    "show_attention",
    "show_by_class",
    "show_grid",
    "show_images",
    "show_neighbors",
    "show_pair",
    "show_swipe",
    "world_map",
]
