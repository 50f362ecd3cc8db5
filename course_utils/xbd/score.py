"""The score of the xView2 challenge: find the buildings, then grade their damage, by pixel."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64, UInt8

from course_utils.xbd.labels import DamageLevel, XbdError

LEVELS = tuple(level for level in DamageLevel if level != DamageLevel.UNCLASSIFIED)
LOCALIZATION_WEIGHT, DAMAGE_WEIGHT = 0.3, 0.7
_EPSILON = 1e-6
_PREDICTED = (0, *LEVELS)
_TARGETS = (0, *DamageLevel)


@dataclass(frozen=True, eq=False)  # arrays have no truth value, so counts are not compared
class PixelCounts:
    """What a score is made of: pixels of one tile, or of many after adding."""

    buildings: Int64[np.ndarray, " 3"]  # true positives, false positives, false negatives
    damage: Int64[np.ndarray, "4 3"]  # the same for each level of LEVELS

    def __add__(self, other: "PixelCounts") -> "PixelCounts":
        return PixelCounts(self.buildings + other.buildings, self.damage + other.damage)


@dataclass(frozen=True)
class XView2Score:
    """The challenge's score and its parts, all 0 to 1."""

    score: float  # 0.3 localization + 0.7 damage
    localization: float  # F1 of building or not
    damage: float  # harmonic mean of the four F1
    by_level: dict[DamageLevel, float]  # F1 of each level


def count_pixels(
    predicted: UInt8[np.ndarray, "h w"],
    target: UInt8[np.ndarray, "h w"],
    *,
    predicted_buildings: UInt8[np.ndarray, "h w"] | None = None,
    target_buildings: UInt8[np.ndarray, "h w"] | None = None,
) -> PixelCounts:
    """Compare the masks of one tile.

    Damage is looked at only where the target has a building, and a prediction counts there only if
    it also predicts a building (elsewhere it is 0, which is a miss of the level that is there).
    Pixels that nobody could grade (255 in the target) count as undamaged buildings: targets of the
    challenge have no fifth value, and its baseline files un-classified under no-damage.

    Args:
        predicted: 0 background, 1 … 4 damage.
        target: the same, or 255 for un-classified, as `damage_mask` draws it.
        predicted_buildings: above 0 where a building is predicted; by default where ``predicted``
            is.
        target_buildings: likewise, say, the mask from before the disaster, as in the challenge; by
            default where ``target`` is.

    Raises:
        XbdError: masks of different sizes or none, or values that are no level.

    Source:
        DIUx-xView/xView2_scoring ``xview2_metrics.py``, since its issue 1 of October 2019, where
        false positives on tiles without the level began to count.
    """
    masks = [predicted, target, predicted_buildings, target_buildings]
    masks = [np.asarray(masks[i % 2] if mask is None else mask) for i, mask in enumerate(masks)]
    predicted, target, predicted_buildings, target_buildings = masks
    if len({mask.shape for mask in masks}) > 1 or predicted.ndim != 2 or not predicted.size:
        shapes = ", ".join(str(mask.shape) for mask in masks)
        raise XbdError(f"expected masks of one size, height x width, got {shapes}")
    _require_values("predicted", predicted, _PREDICTED)
    _require_values("target", target, _TARGETS)
    if any((mask != np.floor(mask)).any() for mask in masks[2:]):
        raise XbdError(
            "expected whole numbers, above 0 where a building is, got shares or NaN: choose a "
            "threshold, such as share > 0.5"
        )
    is_graded = target > 0
    found = np.where(predicted_buildings > 0, predicted, 0)[is_graded]
    truth = target[is_graded]
    truth = np.where(truth == DamageLevel.UNCLASSIFIED, DamageLevel.NO_DAMAGE, truth)
    return PixelCounts(
        buildings=_count(predicted_buildings > 0, target_buildings > 0),
        damage=np.stack([_count(found == level, truth == level) for level in LEVELS]),
    )


def _require_values(name: str, mask: UInt8[np.ndarray, "h w"], allowed: tuple[int, ...]) -> None:
    if mask.dtype == bool:
        raise XbdError(
            f"{name}: expected levels of damage, got True and False, which say only where "
            "buildings are; give those as predicted_buildings or target_buildings"
        )
    unknown = sorted(set(np.unique(mask).tolist()) - set(allowed))
    if unknown:
        raise XbdError(
            f"{name}: expected the values {', '.join(str(int(value)) for value in allowed)}, got "
            f"{unknown}; other codes for un-classified (5) have to be turned into 255 first"
        )


def _count(found: np.ndarray, truth: np.ndarray) -> Int64[np.ndarray, " 3"]:
    sums = (found & truth).sum(), (found & ~truth).sum(), (~found & truth).sum()
    return np.array(sums, dtype=np.int64)


def xview2_score(tiles: Iterable[PixelCounts]) -> XView2Score:
    r"""Score predictions as the xView2 challenge does, over the pixels of all tiles together.

    $$0.3\,F_{loc} + 0.7\,F_{dmg}, \qquad F_{dmg} = \frac{4}{\sum_{i=1}^4 1 / (F_i + 10^{-6})},
    \qquad F = \frac{2 TP}{2 TP + FP + FN}$$

    with F = 0 where there are no true positives. Pixels are added up before F1 is taken: the mean
    of the tiles' scores is another number. One level that is never found takes the harmonic mean to
    almost 0, and so does one that does not occur.

    Args:
        tiles: what `count_pixels` gives for each tile, say, from a generator.

    Returns:
        The score and its parts.

    Raises:
        XbdError: there are no tiles, or something else than their counts.

    Source:
        xView2 challenge, Gupta et al. 2019 (arXiv 1911.09296); DIUx-xView/xView2_scoring.
    """
    total = None
    for counts in tiles:
        if not isinstance(counts, PixelCounts):
            raise XbdError(f"expected what count_pixels gives, got {type(counts).__name__}")
        total = counts if total is None else total + counts
    if total is None:
        raise XbdError("there are no tiles to score: give at least one")
    localization = _f1(total.buildings)
    by_level = {level: _f1(counts) for level, counts in zip(LEVELS, total.damage, strict=True)}
    damage = len(LEVELS) / sum(1 / (f1 + _EPSILON) for f1 in by_level.values())
    score = LOCALIZATION_WEIGHT * localization + DAMAGE_WEIGHT * damage
    return XView2Score(score, localization, damage, by_level)


def _f1(counts: Int64[np.ndarray, " 3"]) -> float:
    true_positives, false_positives, false_negatives = counts.tolist()
    if true_positives == 0:
        return 0.0
    return 2 * true_positives / (2 * true_positives + false_positives + false_negatives)
