"""Sliders over plot functions: each widget is a view on one figure, which a next cell shows still.

A widget draws its figure anew as a picture, so that no JavaScript of matplotlib's is needed. Only
what ipywidgets 7.7 and 8 have in common is used. Without ipywidgets each gives a `Note` that says
so.
"""

from course_utils.widgets.control import map_painter, metadata_panel
from course_utils.widgets.diffusion import (
    noise_slider,
    prompt_panel,
    schedule_panel,
    steps_panel,
    trajectory_slider,
)
from course_utils.widgets.images import (
    augmentation_gallery,
    caption_browser,
    choose_pair,
    slide_images,
    swipe,
)
from course_utils.widgets.shared import Note

__all__ = [
    "Note",
    "augmentation_gallery",
    "caption_browser",
    "choose_pair",
    "map_painter",
    "metadata_panel",
    "noise_slider",
    "prompt_panel",
    "schedule_panel",
    "slide_images",
    "steps_panel",
    "swipe",
    "trajectory_slider",
]
