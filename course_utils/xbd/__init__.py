"""xBD on disk: scenes, polygons, damage levels, masks and crops; events, splits and the score."""

from course_utils.xbd.archives import extract_archives
from course_utils.xbd.events import class_of, read_events, read_land
from course_utils.xbd.footprints import METERS_PER_DEGREE
from course_utils.xbd.labels import (
    Building,
    DamageLevel,
    Metadata,
    XbdError,
    XbdMissingError,
    read_buildings,
    read_label,
    read_metadata,
)
from course_utils.xbd.masks import crop_building, damage_mask
from course_utils.xbd.scenes import XbdScene, find_scenes, open_xbd, read_image, read_pair
from course_utils.xbd.score import count_pixels, xview2_score
from course_utils.xbd.splits import SplitRule, split_scenes

__all__ = [
    "METERS_PER_DEGREE",
    "Building",
    "DamageLevel",
    "Metadata",
    "SplitRule",
    "XbdError",
    "XbdMissingError",
    "XbdScene",
    "class_of",
    "count_pixels",
    "crop_building",
    "damage_mask",
    "extract_archives",
    "find_scenes",
    "open_xbd",
    "read_buildings",
    "read_events",
    "read_image",
    "read_label",
    "read_land",
    "read_metadata",
    "read_pair",
    "split_scenes",
    "xview2_score",
]
