"""Where on Earth tiles lie, on a map that overstates no distance, and cuts that leave 2 km."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
import torch
from jaxtyping import Bool, Float

from course_utils.xbd.labels import Label, LabelFile
from course_utils.xbd.scenes import XbdScene

GAP_METERS = 2000.0  # between any tile for training and any tile for testing
METERS_PER_DEGREE = 111_195.0  # of latitude, on a sphere of 6,371 km
_RADIUS = 6_371_008.8  # m, of the sphere that stands for the Earth
_EQUATOR, _SQUARED_ECCENTRICITY = 6_378_137.0, 0.00669438  # m; the ellipsoid WGS 84
_TILE_SIZE = 1024  # pixels, where the label does not say
_MAX_RESIDUAL = 5.0  # m; official labels stay below 0.01
_PADDING = 1024.0  # m, where the buildings do not show how the tile lies: 1024 px of at most 1 m
_NUM_DIRECTIONS = 36
_TOLERANCE = 0.1  # choices whose cost is so close to the lowest are left to the seed


@dataclass(frozen=True)
class Footprint:
    """The box around a tile in degrees; east of the 180th meridian ``east`` goes on above 180."""

    west: float
    south: float
    east: float
    north: float


def find_footprint(scene: XbdScene) -> Footprint | None:
    """Find the box around the whole tile of a scene, not only around its buildings.

    A label gives each building in pixels and in degrees. The affine map that fits these pairs best,

        [lon, lat] = [x, y, 1] A,

    takes the corners of the image to the corners of the tile. The box holds them and all buildings.
    If the pairs fit no such map to 5 m, the box is that of the buildings and 1024 m on every side.

    Args:
        scene: its label from after the disaster is asked first, then the one from before.

    Returns:
        The box, or None if the scene has no label with a building.

    Raises:
        XbdError: a label that cannot be read (see `read_label`).
    """
    for path in (scene.post_label, scene.pre_label):
        if path:
            file = LabelFile(path)
            label = file.label()
            if label.position:
                return _footprint(label, file.degrees())
    return None


def _footprint(label: Label, degrees: Float[np.ndarray, "q 2"]) -> Footprint:
    first = degrees[0, 0]
    degrees[:, 0] = first + _wrap(degrees[:, 0] - first)  # one sheet, also across 180 degrees
    corners = _corners(label, degrees)
    if corners is None:
        padding = _PADDING / meters_per_degree(degrees[:, 1])
        corners = np.array([degrees.min(axis=0) - padding, degrees.max(axis=0) + padding])
    points = np.concatenate([degrees, corners])
    return Footprint(*points.min(axis=0).tolist(), *points.max(axis=0).tolist())


def _corners(label: Label, degrees: Float[np.ndarray, "q 2"]) -> Float[np.ndarray, "4 2"] | None:
    """Map the corners of the image to degrees; None where pixels and degrees do not fit."""
    pixels = shapely.get_coordinates([building.polygon for building in label.buildings])
    if len(pixels) != len(degrees):
        return None
    center = degrees.mean(axis=0)  # taken away, so that degrees far from 0 lose no digits
    inputs = np.column_stack([pixels, np.ones(len(pixels))])
    affine, _, rank, _ = np.linalg.lstsq(inputs, degrees - center, rcond=None)
    misses = (inputs @ affine - (degrees - center)) * meters_per_degree(degrees[:, 1])
    if rank < 3 or np.abs(misses).max() > _MAX_RESIDUAL:
        return None
    width, height = label.metadata.width or _TILE_SIZE, label.metadata.height or _TILE_SIZE
    edges = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]], dtype=float)
    return edges @ affine + center


def meters_per_degree(latitudes: Float[np.ndarray, " n"]) -> Float[np.ndarray, "2"]:
    r"""Give the length of a degree of longitude and of one of latitude, the shortest that occur.

    $$k_\lambda = \frac{\pi}{180} R \cos\varphi_{max}, \qquad
    k_\varphi = \frac{\pi}{180} \min(R,\; a (1 - e^2) (1 - e^2 \sin^2\varphi_{min})^{-3/2})$$

    with the latitudes farthest from and nearest to the equator, on sphere and ellipsoid.

    Source:
        The meridional radius of curvature of the ellipsoid WGS 84.
    """
    near, far = np.radians(np.abs(latitudes).min()), np.radians(np.abs(latitudes).max())
    flatness = 1 - _SQUARED_ECCENTRICITY * math.sin(near) ** 2
    meridional = _EQUATOR * (1 - _SQUARED_ECCENTRICITY) * flatness**-1.5
    return np.radians([max(_RADIUS * math.cos(far), 1.0), min(meridional, _RADIUS)])


def _wrap(degrees: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Bring angles to -180 … 180."""
    return (degrees + 180) % 360 - 180


def project(footprints: list[Footprint]) -> Float[np.ndarray, "n 4"]:
    r"""Lay tiles on a plane map in metres that does not overstate how far two of them are apart.

    $$x = k_\lambda (\lambda - \lambda_0), \qquad y = k_\varphi \varphi$$

    with the shortest degrees that occur (see `meters_per_degree`), so that tiles that are 2 km
    apart on this map are at least that far apart on the ground. (Meant for tiles of one region: the
    way over a pole is not looked at.)

    Returns:
        West, south, east, north of each tile in metres.
    """
    boxes = np.array([[box.west, box.south, box.east, box.north] for box in footprints])
    centers = (boxes[:, 0] + boxes[:, 2]) / 2
    shift = centers[0] + _wrap(centers - centers[0]) - centers  # all on one side of the date line
    boxes[:, [0, 2]] += (shift - centers[0])[:, None]
    return boxes * np.tile(meters_per_degree(boxes[:, [1, 3]].ravel()), 2)


def distance(
    longitude: float, latitude: float, other_longitude: float, other_latitude: float
) -> float:
    """Measure the way between two points on the sphere in metres, by the haversine formula."""
    lat, other = math.radians(latitude), math.radians(other_latitude)
    half = math.radians(longitude - other_longitude) / 2
    chord = math.sin((lat - other) / 2) ** 2 + math.cos(lat) * math.cos(other) * math.sin(half) ** 2
    return 2 * _RADIUS * math.asin(min(1.0, math.sqrt(chord)))


def draw(costs: Sequence[float], generator: torch.Generator) -> int:
    """Draw one of the choices that cost at most 0.1 more than the cheapest; give its index."""
    near = np.flatnonzero(np.asarray(costs) <= min(costs) + _TOLERANCE)
    return int(near[torch.randint(len(near), (), generator=generator).item()])


def choose_cut(
    boxes: Float[np.ndarray, "n 4"], test_share: float, generator: torch.Generator
) -> tuple[Bool[np.ndarray, " n"], Bool[np.ndarray, " n"]] | None:
    """Choose a straight cut with training on one side and testing on the other, 2 km apart.

    Every direction of 36, turned by a random angle, has a best cut, where little is lost and the
    test part is about as large as wanted; one of the good directions is drawn. Two boxes have a
    straight strip of 2 km between them just if they are 2 km apart, so some cut exists whenever any
    two tiles are: where all 36 directions fail, that of the farthest pair is taken.

    Args:
        boxes: west, south, east, north of each tile in metres, see `project`.
        test_share: the wanted share of tiles for testing among those that are kept.
        generator: source of randomness.

    Returns:
        Who is for training and who is for testing, both not empty; None if there is no cut.
    """
    if not len(boxes):
        return None
    start = torch.rand((), generator=generator).item()
    angles = 2 * math.pi * (np.arange(_NUM_DIRECTIONS) + start) / _NUM_DIRECTIONS
    cuts = [cut for angle in angles if (cut := _cut_along(boxes, angle, test_share))]
    if not cuts:
        angles = _farthest_angles(boxes)
        cuts = [cut for angle in angles if (cut := _cut_along(boxes, angle, test_share))]
    return cuts[draw([cost for cost, _, _ in cuts], generator)][1:] if cuts else None


def _cut_along(
    boxes: Float[np.ndarray, "n 4"], angle: float, test_share: float
) -> tuple[float, Bool[np.ndarray, " n"], Bool[np.ndarray, " n"]] | None:
    """Give the best cut across one direction: cost, training on the low side, test on the high."""
    step = np.array([math.cos(angle), math.sin(angle)])
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2 @ step
    half = (boxes[:, 2:] - boxes[:, :2]) / 2 @ np.abs(step)
    low, high = middle - half, middle + half
    test_from = np.sort(low)
    num_test = len(low) - np.searchsorted(test_from, test_from)
    num_train = np.searchsorted(np.sort(high), test_from - GAP_METERS, side="right")
    kept = num_train + num_test
    costs = 1 - kept / len(low) + np.abs(num_test / kept - test_share)
    costs[num_train == 0] = np.inf
    best = int(np.argmin(costs))
    if costs[best] == np.inf:
        return None
    return float(costs[best]), high <= test_from[best] - GAP_METERS, low >= test_from[best]


def _farthest_angles(boxes: Float[np.ndarray, "n 4"]) -> tuple[float, float]:
    """Give the directions, there and back, between the two boxes that are farthest apart."""
    low, high = boxes[:, :2], boxes[:, 2:]
    ways = (low[None] - high[:, None]).clip(min=0) - (low[:, None] - high[None]).clip(min=0)
    lengths = np.hypot(ways[..., 0], ways[..., 1])  # 0 where two boxes touch or overlap
    way = ways[np.unravel_index(lengths.argmax(), lengths.shape)]
    angle = math.atan2(way[1], way[0])
    return angle, angle + math.pi
