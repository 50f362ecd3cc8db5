"""Labelled and captioned images, and where they come from.

``load_examples`` picks the images of an experiment: those that ship, a folder or an archive of
yours, a data set of the lock, or the procedural world.
"""

from course_utils.examples.captions import CaptionsError, load_captions, read_captions
from course_utils.examples.classes import phrase_from_name, read_scene_classes
from course_utils.examples.folders import read_folder
from course_utils.examples.lab import load_lab
from course_utils.examples.loading import load_examples, load_scenes, load_seen
from course_utils.examples.records import (
    CaptionedImage,
    CaptionSet,
    Example,
    LabelledImages,
    Splits,
)
from course_utils.examples.splits import split_examples, split_images, take_per_class
from course_utils.examples.worlds import load_xbd, spread

__all__ = [
    "CaptionSet",
    "CaptionedImage",
    "CaptionsError",
    "Example",
    "LabelledImages",
    "Splits",
    "load_captions",
    "load_examples",
    "load_lab",
    "load_scenes",
    "load_seen",
    "load_xbd",
    "phrase_from_name",
    "read_captions",
    "read_folder",
    "read_scene_classes",
    "split_examples",
    "split_images",
    "spread",
    "take_per_class",
]
