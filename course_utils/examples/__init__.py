"""What an example is: labelled or captioned images from folders, archives and the hub."""

from course_utils.examples.archives import ArchiveError
from course_utils.examples.caption_files import CaptionsError
from course_utils.examples.captions import load_captions, read_captions
from course_utils.examples.folders import phrase_from_name, read_classes, scan_folder
from course_utils.examples.records import (
    CaptionedImage,
    CaptionSet,
    ClassFolder,
    ClassTable,
    Example,
    Splits,
)
from course_utils.examples.scene_classes import SceneClasses, read_scene_classes
from course_utils.examples.scenes import load_scenes
from course_utils.examples.splits import split_examples, split_folder, take_per_class

__all__ = [
    "ArchiveError",
    "CaptionSet",
    "CaptionedImage",
    "CaptionsError",
    "ClassFolder",
    "ClassTable",
    "Example",
    "SceneClasses",
    "Splits",
    "load_captions",
    "load_scenes",
    "phrase_from_name",
    "read_captions",
    "read_classes",
    "read_scene_classes",
    "scan_folder",
    "split_examples",
    "split_folder",
    "take_per_class",
]
