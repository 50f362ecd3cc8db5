"""Data in, Figure out: the pictures of the course, one color per source and damage everywhere.

Every function returns a closed Figure, which a notebook shows once and `save_figure` writes.
"""

from course_utils.plots.counts import damage_by_type, damage_imbalance, event_counts
from course_utils.plots.crops import crops_by_level, damage_scale
from course_utils.plots.images import show_by_class, show_images
from course_utils.plots.lab import plot_accuracy_by_ratio, plot_gains
from course_utils.plots.maps import world_map
from course_utils.plots.measures import acquisitions, building_sizes
from course_utils.plots.pairs import show_pair, show_swipe
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
    "save_figure",
    "scene_maps",
    "show_by_class",
    "show_images",
    "show_pair",
    "show_swipe",
    "world_map",
]
