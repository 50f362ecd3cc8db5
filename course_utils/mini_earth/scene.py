"""The scene graph: what lies where, in meters, before anything is drawn."""

from dataclasses import dataclass

import numpy as np

from course_utils.mini_earth.hazard import Hazard
from course_utils.mini_earth.shapes import Frame, Water
from course_utils.mini_earth.styles import Color, Style

SCENE_CLASSES: tuple[str, ...] = (
    "beach",
    "chaparral",
    "circular_farmland",
    "dense_residential",
    "desert",
    "forest",
    "freeway",
    "industrial_area",
    "lake",
    "meadow",
    "orchard",
    "rectangular_farmland",
    "river",
    "sparse_residential",
)
SETTLEMENTS: tuple[str, ...] = ("dense_residential", "industrial_area", "sparse_residential")


@dataclass(frozen=True)
class Building:
    """A house: center, size and height in meters, angle in radians, ``strength`` in [0, 1].

    ``damage`` is the Joint Damage Scale's level after the scene's disaster: 1 none, 2 minor,
    3 major, 4 destroyed.
    """

    x: float
    y: float
    length: float
    width: float
    angle: float
    height: float
    roof: Color
    gabled: bool
    strength: float
    damage: int


@dataclass(frozen=True)
class Road:
    """A straight or curved road: points in meters (k, 2) and its width."""

    points: np.ndarray
    width: float
    dashed: bool


@dataclass(frozen=True)
class Scene:
    """Everything that is in a square of ``extent`` meters, and what a disaster does to it."""

    scene_class: str
    style: Style
    seed: int
    extent: float
    disaster: str | None
    green_share: float
    dryness: float
    ground: str
    frame: Frame
    water: Water | None
    roads: tuple[Road, ...]
    buildings: tuple[Building, ...]
    trees: np.ndarray
    hazard: Hazard | None
