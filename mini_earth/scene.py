"""The scene graph: what lies where, in meters, before anything is drawn.

x runs east and y runs south from the north-western corner, as pixels do.
"""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np

from mini_earth.hazard import Hazard
from mini_earth.shapes import Frame, Water, Waves, turned
from mini_earth.styles import Color, Style
from mini_earth.words import SCENE_PHRASES

VERSION = (
    "1.0"  # changes when, and only when, images do; tests/golden_renders.json has their hashes
)
# RESISC45's names, and an orchard, which EuroSAT calls permanent crop.
SCENE_CLASSES: tuple[str, ...] = tuple(SCENE_PHRASES)
SETTLEMENTS: tuple[str, ...] = (
    "dense_residential",
    "medium_residential",
    "sparse_residential",
    "industrial_area",
)
# OpenEarthMap's eight classes of land cover (Xia et al. 2023, arXiv:2210.10732).
LAND_COVER: tuple[str, ...] = (
    "bareland",
    "rangeland",
    "developed",
    "road",
    "tree",
    "water",
    "agriculture",
    "building",
)
STRUCTURES: tuple[str, ...] = ("wood", "masonry", "concrete")
SQUARE = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])  # corners, clockwise on the image


def check_seed(seed: object, name: str = "seed") -> int:
    """Return a seed as Python's whole number.

    Raises:
        ValueError: it is no whole number from 0 to 2^63 - 1.
    """
    if not isinstance(seed, Integral) or isinstance(seed, bool) or not 0 <= seed < 2**63:
        raise ValueError(
            f"{name}: expected a whole number from 0 to 2^63 - 1, such as 0, got {seed!r}"
        )
    return int(seed)


@dataclass(frozen=True)
class Building:
    """A house: center, size and height in meters, angle in radians, ``strength`` in [0, 1].

    ``shape`` is ``gable``, ``hip``, ``flat`` or ``tank`` (round); ``wing`` in [0, 1] is how far
    an L-shaped house's second arm reaches, 0 for a plain box. ``damage`` is the Joint Damage
    Scale's level after the scene's disaster: 1 none, 2 minor, 3 major, 4 destroyed.
    """

    x: float
    y: float
    length: float
    width: float
    angle: float
    height: float
    shape: str
    wing: float
    roof: Color
    structure: str
    strength: float
    damage: int = 1

    @property
    def center(self) -> np.ndarray:
        """Return (x, y) in meters."""
        return np.array((self.x, self.y))

    def outline(self) -> np.ndarray:
        """Return the footprint's corners (k, 2) in meters, clockwise on the image."""
        if self.shape == "tank":
            turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
            return np.stack([np.cos(turn), np.sin(turn)], 1) * (self.length / 2) + self.center
        if self.wing == 0:
            return self.to_world(SQUARE)
        reach = 1 + 2 * self.wing
        return self.to_world([(-1, -1), (1, -1), (1, reach), (0.1, reach), (0.1, 1), (-1, 1)])

    def to_world(self, corners: Sequence[tuple] | np.ndarray) -> np.ndarray:
        """Turn roof coordinates, in which the main body is [-1, 1]^2, into meters."""
        return (
            turned(np.array(corners) * (self.length / 2, self.width / 2), self.angle) + self.center
        )


@dataclass(frozen=True)
class Road:
    """A straight or curved road: points in meters (k, 2), its width, its lanes, its surface.

    ``height`` above 0 makes it a bridge that throws a shadow.
    """

    points: np.ndarray
    width: float
    lanes: int
    paved: bool = True
    height: float = 0.0


@dataclass(frozen=True)
class Patch:
    """A polygon of ground (k, 2) in meters: an apron, a car park, a pier, a pool, a drive."""

    points: np.ndarray
    color: Color
    cover: str


@dataclass(frozen=True)
class Vehicle:
    """A ``car``, ``boat`` or ``plane``: center and length in meters, heading in radians."""

    kind: str
    x: float
    y: float
    angle: float
    length: float
    color: Color


@dataclass(frozen=True)
class Scene:
    """Everything that is in a square of ``extent`` meters, and what a disaster does to it.

    ``seed`` names the place and ``look`` the acquisition: scenes with the same look share soil,
    water, light and weather, as neighbors on one image strip do.
    ``ground`` names what lies between the built things, ``wood`` in [0, 1] how densely trees
    stand there and ``built`` where a settlement is (above 0). ``longitude`` and ``latitude`` are
    the center's, in degrees; ``date`` is that of the disaster, or of the view without one.
    """

    scene_class: str
    style: Style
    seed: int
    look: int
    extent: float
    disaster: str | None
    longitude: float
    latitude: float
    date: datetime.date
    water: Water | None
    hazard: Hazard | None
    frame: Frame
    built: Waves | None
    lots: tuple[float, float]
    ground: str = "plain"
    green_share: float = 1.0
    wood: tuple[float, float] = (0.0, 0.0)
    roads: tuple[Road, ...] = ()
    patches: tuple[Patch, ...] = ()
    buildings: tuple[Building, ...] = ()
    vehicles: tuple[Vehicle, ...] = ()

    def built_up(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return how far inside the settlement a position is; above 0 is inside."""
        if self.built is None:
            return np.full_like(x, 1.0 if self.scene_class in SETTLEMENTS else -1.0)
        return self.built(x, y) + np.float32(0.4)
