"""Blocks of land: a cut through the tiles of a place that leaves 2 km between both sides."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float

GAP_METERS = 2000.0  # between any tile for training and any tile for testing
_NUM_DIRECTIONS = 36
_TOLERANCE = 0.1  # choices whose cost is so close to the lowest are left to the seed


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
    start = torch.rand((), generator=generator).item()
    angles = 2 * math.pi * (np.arange(_NUM_DIRECTIONS) + start) / _NUM_DIRECTIONS
    cuts = [_cut_along(boxes, angle, test_share) for angle in angles]
    if not any(cuts) and len(boxes):
        cuts = [_cut_along(boxes, angle, test_share) for angle in _farthest_angles(boxes)]
    cuts = [cut for cut in cuts if cut]
    if not cuts:
        return None
    _, is_train, is_test = cuts[draw([cost for cost, _, _ in cuts], generator)]
    return is_train, is_test


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
    if not np.isfinite(costs).any():
        return None
    best = int(np.argmin(costs))
    return float(costs[best]), high <= test_from[best] - GAP_METERS, low >= test_from[best]


def _farthest_angles(boxes: Float[np.ndarray, "n 4"]) -> list[float]:
    """Give the directions, there and back, between the two boxes that are farthest apart."""
    first, second = np.unravel_index(gaps(boxes).argmax(), (len(boxes), len(boxes)))
    low, high = boxes[:, :2], boxes[:, 2:]
    way = (low[second] - high[first]).clip(min=0) - (low[first] - high[second]).clip(min=0)
    angle = math.atan2(way[1], way[0])
    return [angle, angle + math.pi]


def gaps(boxes: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n n"]:
    """Measure the distance between each two boxes, 0 where they touch or overlap."""
    low, high = boxes[:, :2], boxes[:, 2:]
    apart = np.maximum(low[:, None] - high[None], low[None] - high[:, None]).clip(min=0)
    return np.hypot(apart[..., 0], apart[..., 1])
