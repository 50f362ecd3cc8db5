"""What an example is: labelled images from class folders, checked, split and drawn."""

from course_utils.examples.folders import phrase_from_name, read_classes, scan_folder
from course_utils.examples.records import ClassFolder, ClassTable, Example, Splits
from course_utils.examples.splits import split_examples, take_per_class

__all__ = [
    "ClassFolder",
    "ClassTable",
    "Example",
    "Splits",
    "phrase_from_name",
    "read_classes",
    "scan_folder",
    "split_examples",
    "take_per_class",
]
