"""xBD on disk: scenes, polygons, damage levels, masks and crops; events, splits and the score."""

from course_utils.xbd.archives import ExtractStep, extract_archives
from course_utils.xbd.crops import ImagePair, crop_building, read_image, read_pair
from course_utils.xbd.events import CLASS_MAPS, CLASSES, Event, class_of, read_events
from course_utils.xbd.footprints import Footprint, find_footprint
from course_utils.xbd.labels import (
    Building,
    Label,
    Metadata,
    read_buildings,
    read_label,
    read_metadata,
    read_position,
)
from course_utils.xbd.land import is_land, read_land
from course_utils.xbd.levels import DamageLevel, XbdError, XbdMissingError
from course_utils.xbd.masks import damage_mask
from course_utils.xbd.opening import XbdData, fetch_mirror, open_xbd
from course_utils.xbd.scenes import SPLITS, XbdScene, find_scenes
from course_utils.xbd.score import PixelCounts, XView2Score, count_pixels, xview2_score
from course_utils.xbd.splits import LeftOut, SceneSplit, SplitRule, split_scenes

__all__ = [
    "CLASSES",
    "CLASS_MAPS",
    "SPLITS",
    "Building",
    "DamageLevel",
    "Event",
    "ExtractStep",
    "Footprint",
    "ImagePair",
    "Label",
    "LeftOut",
    "Metadata",
    "PixelCounts",
    "SceneSplit",
    "SplitRule",
    "XView2Score",
    "XbdData",
    "XbdError",
    "XbdMissingError",
    "XbdScene",
    "class_of",
    "count_pixels",
    "crop_building",
    "damage_mask",
    "extract_archives",
    "fetch_mirror",
    "find_footprint",
    "find_scenes",
    "is_land",
    "open_xbd",
    "read_buildings",
    "read_events",
    "read_image",
    "read_label",
    "read_land",
    "read_metadata",
    "read_pair",
    "read_position",
    "split_scenes",
    "xview2_score",
]
