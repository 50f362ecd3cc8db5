"""xBD on disk: scenes, polygons, damage levels, masks, crops."""

from course_utils.xbd.crops import ImagePair, crop_building, read_image, read_pair
from course_utils.xbd.labels import (
    Building,
    Label,
    Metadata,
    read_buildings,
    read_label,
    read_metadata,
    read_position,
)
from course_utils.xbd.levels import DamageLevel, XbdError, XbdMissingError
from course_utils.xbd.masks import damage_mask
from course_utils.xbd.scenes import SPLITS, XbdScene, find_scenes

__all__ = [
    "SPLITS",
    "Building",
    "DamageLevel",
    "ImagePair",
    "Label",
    "Metadata",
    "XbdError",
    "XbdMissingError",
    "XbdScene",
    "crop_building",
    "damage_mask",
    "find_scenes",
    "read_buildings",
    "read_image",
    "read_label",
    "read_metadata",
    "read_pair",
    "read_position",
]
