"""The xView2 score: against scikit-learn, by hand, and the rules that people get wrong."""

import inspect

import jaxtyping
import numpy as np
import pytest
from sklearn.metrics import f1_score

from course_utils.xbd import DamageLevel, XbdError
from course_utils.xbd.score import LEVELS, count_pixels, xview2_score


def mask(*rows) -> np.ndarray:
    return np.array(rows, dtype=np.uint8)


def random_tiles(seed: int, count: int = 5, unclassified: bool = True):
    """Draw tiles of different difficulty: (damage, buildings, target, target buildings)."""
    rng = np.random.default_rng(seed)
    values = [0, 1, 2, 3, 4, 255] if unclassified else [0, 1, 2, 3, 4]
    tiles = []
    for _ in range(count):
        target = rng.choice(values, size=(24, 31)).astype(np.uint8)
        noise = rng.random(target.shape) < rng.uniform(0.1, 0.7)
        damage = np.where(noise, rng.integers(0, 5, target.shape), target % 255).astype(np.uint8)
        buildings = np.where(rng.random(target.shape) < 0.2, 0, damage > 0).astype(np.uint8)
        before = np.where(rng.random(target.shape) < 0.1, 1, target > 0).astype(np.uint8)
        tiles.append((damage, buildings, target, before))
    return tiles


def by_sklearn(tiles) -> tuple[float, float, list[float]]:
    """Score by scikit-learn on all pixels of all tiles in one row."""
    damage, buildings, target, before = (
        np.concatenate([tile[i].ravel() for tile in tiles]) for i in range(4)
    )
    localization = f1_score(before > 0, buildings > 0)
    is_graded = target > 0
    truth = np.where(target == 255, 1, target)[is_graded]
    found = (damage * (buildings > 0))[is_graded]
    levels = f1_score(truth, found, labels=[1, 2, 3, 4], average=None, zero_division=0)
    harmonic = 4 / sum(1 / (level + 1e-6) for level in levels)
    return 0.3 * localization + 0.7 * harmonic, localization, list(levels)


@pytest.mark.parametrize("seed", range(5))
def test_the_score_is_that_of_scikit_learn_on_all_pixels_together(seed):
    tiles = random_tiles(seed)
    found = xview2_score(
        count_pixels(d, t, predicted_buildings=b, target_buildings=before)
        for d, b, t, before in tiles
    )
    score, localization, levels = by_sklearn(tiles)
    assert found.score == pytest.approx(score, rel=1e-12)
    assert found.localization == pytest.approx(localization, rel=1e-12)
    assert list(found.by_level) == list(LEVELS) == [1, 2, 3, 4]
    assert list(found.by_level.values()) == pytest.approx(levels, rel=1e-12)


def test_without_masks_of_buildings_they_are_where_damage_is():
    for damage, _, target, _ in random_tiles(9):
        alone = count_pixels(damage, target)
        both = count_pixels(damage, target, predicted_buildings=damage, target_buildings=target)
        assert (alone.buildings == both.buildings).all()
        assert (alone.damage == both.damage).all()


def test_a_case_by_hand():
    target = mask([1, 1, 2, 2], [3, 4, 4, 0])
    predicted = mask([1, 2, 2, 0], [3, 4, 1, 4])
    counts = count_pixels(predicted, target)
    assert counts.buildings.tolist() == [6, 1, 1]
    assert counts.damage.tolist() == [[1, 1, 1], [1, 1, 1], [1, 0, 0], [1, 0, 1]]
    found = xview2_score([counts])
    assert found.localization == pytest.approx(6 / 7)
    assert list(found.by_level.values()) == pytest.approx([1 / 2, 1 / 2, 1, 2 / 3])
    assert found.damage == pytest.approx(4 / (2 + 2 + 1 + 1.5), rel=1e-5)
    assert found.score == pytest.approx(0.3 * 6 / 7 + 0.7 * 4 / 6.5, rel=1e-5)


def test_perfect_predictions_score_one_and_empty_ones_almost_zero():
    target = mask([1, 2, 3, 4, 0])
    assert xview2_score([count_pixels(target, target)]).score == pytest.approx(1, abs=1e-5)
    nothing = xview2_score([count_pixels(np.zeros_like(target), target)])
    assert nothing.localization == 0
    assert nothing.score < 1e-5


def test_one_level_that_is_never_found_takes_the_damage_score_to_almost_zero():
    target = mask([1] * 50 + [2] * 50 + [3] * 50 + [4] * 50)
    found = xview2_score([count_pixels(np.where(target == 3, 2, target).astype(np.uint8), target)])
    assert found.by_level[DamageLevel.MAJOR] == 0
    assert found.damage < 1e-5
    assert found.score == pytest.approx(0.3, abs=1e-5)


def test_damage_predicted_outside_the_targets_buildings_costs_localization_only():
    target = mask([1, 2, 3, 4, 0, 0])
    counts = count_pixels(mask([1, 2, 3, 4, 4, 1]), target)
    assert counts.buildings.tolist() == [4, 2, 0]
    assert counts.damage.tolist() == [[1, 0, 0]] * 4


def test_damage_without_a_predicted_building_is_missed():
    target = mask([1, 2, 3, 4])
    counts = count_pixels(target, target, predicted_buildings=mask([0, 1, 1, 9]))
    assert counts.buildings.tolist() == [3, 0, 1]
    assert counts.damage.tolist() == [[0, 0, 1], [1, 0, 0], [1, 0, 0], [1, 0, 0]]


def test_a_building_predicted_without_damage_is_a_building_and_a_missed_level():
    counts = count_pixels(mask([0, 2]), mask([1, 2]), predicted_buildings=mask([1, 1]))
    assert counts.buildings.tolist() == [2, 0, 0]
    assert counts.damage[:2].tolist() == [[0, 0, 1], [1, 0, 0]]


def test_a_level_predicted_on_a_tile_without_it_counts_as_false():
    counts = count_pixels(mask([4, 1]), mask([1, 1]))
    assert counts.damage[3].tolist() == [0, 1, 0]


def test_what_nobody_could_grade_counts_as_an_undamaged_building():
    unclassified, undamaged = mask([255, 255, 2]), mask([1, 1, 2])
    predicted = mask([1, 4, 2])
    first, second = (count_pixels(predicted, target) for target in (unclassified, undamaged))
    assert (first.buildings == second.buildings).all()
    assert (first.damage == second.damage).all()


def test_tiles_are_added_up_and_not_averaged():
    easy = count_pixels(mask([1, 2, 3, 4]), mask([1, 2, 3, 4]))
    hard = count_pixels(mask([4] * 40), mask([1] * 40))
    both = xview2_score([easy, hard])
    mean = (xview2_score([easy]).score + xview2_score([hard]).score) / 2
    assert both.by_level[DamageLevel.DESTROYED] == pytest.approx(2 / (2 + 40))
    assert both.score < mean - 0.1
    assert xview2_score([easy + hard]) == both == xview2_score(iter([hard, easy]))


def test_wrong_values_sizes_and_no_tiles_are_refused():
    good = mask([1, 0])
    with pytest.raises(
        XbdError, match=r"predicted: expected the values 0, 1, 2, 3, 4, got \[255\]"
    ):
        count_pixels(mask([255, 0]), good)
    with pytest.raises(XbdError, match=r"target: .*255, got \[5\]; other codes for un-classified"):
        count_pixels(good, mask([5, 0]))
    with pytest.raises(XbdError, match="there are no tiles to score"):
        xview2_score([])


def test_masks_of_different_sizes_are_refused_also_without_type_checks():
    plain = inspect.unwrap(count_pixels)
    with pytest.raises(XbdError, match=r"of one size, height x width, got \(1, 2\), \(1, 3\)"):
        plain(mask([1, 0]), mask([1, 0, 0]))


NO_MASKS = {
    "no pixels": (mask([1, 0])[:0], "of one size, height x width"),
    "one row": (mask([1, 0])[0], "of one size, height x width"),
    "channels": (mask([1, 0])[..., None], "of one size, height x width"),
    "buildings": (mask([1, 0]) > 0, "got True and False"),
    "NaN": (mask([1, 0]) * np.nan, r"got \[nan\]"),
    "shares": (mask([1, 0]) * 0.5, r"got \[0.5\]"),
}


@pytest.mark.parametrize("name", NO_MASKS)
def test_what_is_no_mask_of_levels_is_refused_also_where_both_are_alike(name, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    wrong, message = NO_MASKS[name]
    with pytest.raises(XbdError, match=message):
        count_pixels(wrong, wrong)


@pytest.mark.parametrize("factor", [0.5, np.nan])
def test_shares_say_not_yet_where_buildings_are(factor, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    levels = mask([1, 2])
    with pytest.raises(XbdError, match="choose a threshold"):
        count_pixels(levels, levels, predicted_buildings=levels * factor)
    marked = count_pixels(levels, levels, predicted_buildings=levels > 0)
    assert (
        marked.buildings.tolist()
        == count_pixels(levels.tolist(), levels).buildings.tolist()
        == [2, 0, 0]
    )


def test_masks_themselves_are_no_counts():
    with pytest.raises(XbdError, match="what count_pixels gives, got ndarray"):
        inspect.unwrap(xview2_score)([mask([1, 2])])
