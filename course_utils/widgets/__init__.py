"""Sliders over plot functions: each widget is a view on one figure, which a next cell shows still.

A widget draws its figure anew as a picture, so that no JavaScript of matplotlib's is needed. Only
what ipywidgets 7.7 and 8 have in common is used.
"""

from course_utils.widgets.augmentation import augmentation_gallery
from course_utils.widgets.captions import caption_browser
from course_utils.widgets.diffusion import (
    noise_slider,
    schedule_panel,
    steps_panel,
    trajectory_slider,
)
from course_utils.widgets.pairs import choose_pair, swipe
from course_utils.widgets.prompts import prompt_panel, slide_images
from course_utils.widgets.shared import Note

__all__ = [
    "Note",
    "augmentation_gallery",
    "caption_browser",
    "choose_pair",
    "noise_slider",
    "prompt_panel",
    "schedule_panel",
    "slide_images",
    "steps_panel",
    "swipe",
    "trajectory_slider",
]
