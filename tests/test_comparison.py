"""Claims from paired differences: p-values, corrections, verdicts, against libraries and loops."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats

from course_utils import metrics
from course_utils.metrics import Interval, crossed_interval, mean_interval, verdict


def differences(seed: int, *, shift: float = 0.0, seeds: int = 3, images: int = 40) -> torch.Tensor:
    """Draw correct-minus-correct, -1, 0 or 1, where seeds and images differ."""
    rng = np.random.default_rng(seed)
    chance = shift + 0.1 * rng.standard_normal((seeds, 1)) + 0.3 * rng.standard_normal(images)
    return torch.from_numpy(np.clip(np.round(chance + rng.standard_normal((seeds, images))), -1, 1))


def test_the_p_value_of_a_mean_is_student_s():
    values = np.random.default_rng(1).standard_normal(7) + 0.4
    found = mean_interval(values.tolist())
    expected = stats.ttest_1samp(values, 0)
    assert metrics.p_value(found) == pytest.approx(expected.pvalue)
    assert found.error == pytest.approx(stats.sem(values))
    assert metrics.p_value(mean_interval((-values).tolist())) == metrics.p_value(found)


def test_the_error_of_crossed_answers_is_that_of_the_formula_and_of_the_interval():
    for seed in range(20):
        values = differences(seed)
        found = crossed_interval(values, level=0.9)
        squares = values.mean(dim=1).var() / 3 + values.mean(dim=0).var() / 40
        assert found.error == pytest.approx(math.sqrt(squares))
        low, high = stats.t.interval(0.9, found.df, found.mean, found.error)
        assert (found.low, found.high) == pytest.approx((low, high))


def test_the_error_keeps_the_least_variance_of_images_that_answer_alike():
    found = crossed_interval(torch.ones(1, 50))
    assert found.error == pytest.approx(math.sqrt(5) / 50)
    assert metrics.smallest_excluded(found) == pytest.approx(stats.t.ppf(0.975, 49) * found.error)


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_an_interval_leaves_zero_out_exactly_where_p_is_small(level):
    said = set()
    for seed in range(200):
        found = crossed_interval(differences(seed, shift=0.15), level=level)
        p = metrics.p_value(found)
        assert (found.low > 0 or found.high < 0) == (p < 1 - level)
        assert verdict(found) == verdict(found, p=p, level=level)
        said.add(verdict(found))
    assert said == {"helped", "cannot tell"} or said == {"helped", "hurt", "cannot tell"}


def test_where_nothing_is_wrong_small_p_values_are_as_rare_as_they_say():
    rng = np.random.default_rng(0)
    draws = rng.standard_normal((2000, 1, 60))
    found = [metrics.p_value(crossed_interval(torch.from_numpy(values))) for values in draws]
    assert stats.kstest(found, "uniform").pvalue > 0.01


def test_what_does_not_vary_shows_nothing():
    for value in (0.0, 0.3, -2.0):
        constant = mean_interval([value] * 4)
        assert metrics.p_value(constant) == 1
        assert constant.error == metrics.smallest_excluded(constant) == math.inf
        assert verdict(constant, smallest=5.0) == verdict(constant, p=1.0) == "cannot tell"
    itself = Interval(0.0, 0.0, 0.0, df=math.inf, error=0.0)  # an arm beside itself
    assert metrics.p_value(itself) == 1
    assert metrics.smallest_excluded(itself) == 0
    assert verdict(itself) == "cannot tell"


def test_the_smallest_excluded_effect_is_the_half_width():
    found = crossed_interval(differences(3))
    assert metrics.smallest_excluded(found) == pytest.approx((found.high - found.low) / 2)
    wider = crossed_interval(differences(3), level=0.99)
    assert metrics.smallest_excluded(found, level=0.99) == pytest.approx(
        (wider.high - wider.low) / 2
    )


def holm_by_closing(p_values: list[float]) -> list[float]:
    """Correct each p by its definition: the largest Bonferroni p of all families that hold it."""
    indices = range(len(p_values))
    families = [
        family
        for size in range(1, len(p_values) + 1)
        for family in itertools.combinations(indices, size)
    ]
    return [
        max(min(1, len(f) * min(p_values[j] for j in f)) for f in families if i in f)
        for i in indices
    ]


@pytest.mark.parametrize("num", [1, 2, 3, 6])
def test_holm_is_bonferroni_over_all_families(num):
    rng = np.random.default_rng(num)
    for _ in range(30):
        p_values = (rng.random(num) ** 3).round(2).tolist()  # with ties
        assert metrics.holm(p_values) == pytest.approx(holm_by_closing(p_values))


def test_holm_s_corrections_are_known_for_an_example():
    assert metrics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_keeps_the_order_and_never_lowers_a_p():
    rng = np.random.default_rng(5)
    p_values = np.concatenate([rng.random(20), [0.0, 1.0, 0.5, 0.5]])
    found = np.array(metrics.holm(p_values.tolist()))
    assert (found >= p_values).all()
    assert (found <= 1).all()
    assert (np.diff(found[np.argsort(p_values, kind="stable")]) >= 0).all()
    assert found[-1] == found[-2]
    assert metrics.holm([]) == []


def test_holm_makes_false_claims_in_one_family_of_twenty_at_most():
    rng = np.random.default_rng(2)
    wrong = [min(metrics.holm(rng.random(8).tolist())) < 0.05 for _ in range(4000)]
    assert 0.04 < np.mean(wrong) < 0.06


@pytest.mark.parametrize("wrong", [-0.1, 1.1, math.nan])
def test_holm_refuses_what_is_no_p_value(wrong):
    with pytest.raises(ValueError, match="from 0 to 1"):
        metrics.holm([0.5, wrong])


@pytest.mark.parametrize(
    ("ends", "p", "smallest", "expected"),
    [
        ((0.01, 0.03), None, 0.05, "helped"),
        ((-0.03, -0.01), None, 0.05, "hurt"),
        ((0.01, 0.03), 0.049, 0.02, "helped"),
        ((-0.03, -0.01), 0.0, 0.02, "hurt"),
        ((0.01, 0.03), 0.051, 0.02, "cannot tell"),  # the correction takes the claim back
        ((0.001, 0.019), 0.2, 0.02, "no difference larger than that"),
        ((-0.02, 0.02), None, 0.02, "no difference larger than that"),
        ((-0.02, 0.02), None, 0.0, "cannot tell"),
        ((-0.02, 0.021), None, 0.02, "cannot tell"),
        ((-0.021, 0.01), None, 0.02, "cannot tell"),
        ((0.0, 0.0), None, 0.0, "cannot tell"),
    ],
)
def test_the_four_verdicts(ends, p, smallest, expected):
    low, high = ends
    interval = Interval((low + high) / 2, low, high, 9.0, 0.01)
    assert verdict(interval, p=p, smallest=smallest) == expected


@pytest.mark.parametrize("settings", [{"smallest": -0.01}, {"smallest": math.nan}, {"p": 2.0}])
def test_a_verdict_needs_an_effect_and_a_p_value(settings):
    with pytest.raises(ValueError, match="expected"):
        verdict(Interval(0.0, -1.0, 1.0, 9.0, 0.5), **settings)


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_the_level_of_a_claim_is_a_share(level):
    interval = Interval(0.0, -1.0, 1.0, 9.0, 0.5)
    for say in (verdict, metrics.smallest_excluded):
        with pytest.raises(ValueError, match="between 0 and 1"):
            say(interval, level=level)
