"""Metrics: against scikit-learn, against the definition, and intervals that keep their promise."""

import math

import numpy as np
import pytest
import sklearn.metrics
import torch
from scipy import stats

from course_utils import metrics
from course_utils.metrics import Interval, crossed_interval, verdict

NUM_CLASSES = 6


def draw(seed: int, count: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw predictions that are right about half of the time; class 5 never occurs in either."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 5, count)
    guesses = np.where(rng.random(count) < 0.5, labels, rng.integers(0, 5, count))
    return torch.from_numpy(guesses), torch.from_numpy(labels)


@pytest.mark.parametrize("seed", range(3))
def test_counts_and_shares_agree_with_scikit_learn(seed):
    guesses, labels = draw(seed)
    expected = sklearn.metrics.confusion_matrix(labels, guesses, labels=range(NUM_CLASSES))
    counts = metrics.confusion_matrix(guesses, labels, num_classes=NUM_CLASSES)
    assert counts.tolist() == expected.tolist()
    expected = sklearn.metrics.accuracy_score(labels, guesses)
    assert metrics.accuracy(guesses, labels) == pytest.approx(expected)
    recall = metrics.per_class_recall(guesses, labels, num_classes=NUM_CLASSES)
    expected = sklearn.metrics.recall_score(labels, guesses, labels=range(5), average=None)
    np.testing.assert_allclose(recall[:5], expected)
    assert math.isnan(recall[5])


@pytest.mark.parametrize("seed", range(3))
def test_macro_f1_is_the_mean_of_its_definition_over_all_classes(seed):
    guesses, labels = draw(seed)
    scores = []
    for k in range(NUM_CLASSES):
        hits = int(((guesses == k) & (labels == k)).sum())
        wrong = int(((guesses == k) ^ (labels == k)).sum())  # false positives and negatives
        scores.append(2 * hits / (2 * hits + wrong) if hits + wrong else 0)
    expected = sum(scores) / NUM_CLASSES
    assert metrics.macro_f1(guesses, labels, num_classes=NUM_CLASSES) == pytest.approx(expected)


def test_rows_are_the_truth():
    counts = metrics.confusion_matrix(torch.tensor([1, 1]), torch.tensor([0, 1]), num_classes=2)
    assert counts.tolist() == [[0, 1], [0, 1]]


def test_half_right_is_one_half():
    assert metrics.accuracy(torch.tensor([0, 1]), torch.tensor([0, 0])) == 0.5


@pytest.mark.parametrize(
    "function", [metrics.confusion_matrix, metrics.macro_f1, metrics.per_class_recall]
)
def test_unknown_classes_and_empty_input_raise(function):
    good, bad = torch.tensor([0, 1]), torch.tensor([0, 2])
    for guesses, labels, name in (
        (bad, good, "predictions"),
        (good, bad, "labels"),
        (-good, good, ""),
    ):
        with pytest.raises(ValueError, match=rf"{name}: expected classes 0 … 1, got"):
            function(guesses, labels, num_classes=2)
    empty = torch.zeros(0, dtype=torch.long)
    with pytest.raises(ValueError, match="at least one"):
        function(empty, empty, num_classes=2)
    with pytest.raises(ValueError, match="at least one"):
        metrics.accuracy(empty, empty)


def crossed(
    rng: np.random.Generator, *, seeds: int, images: int, spread: tuple[float, float, float]
) -> np.ndarray:
    """Draw a[s] + b[i] + e[s, i] with the standard deviations of ``spread``, mean 0."""
    by_seed, by_image, rest = spread
    return (
        by_seed * rng.standard_normal((seeds, 1))
        + by_image * rng.standard_normal((1, images))
        + rest * rng.standard_normal((seeds, images))
    )


@pytest.mark.parametrize(
    ("spread", "at_least"),
    [
        ((0.0, 0.5, 0.5), 0.93),
        ((0.02, 0.2, 0.8), 0.93),
        ((0.05, 0.5, 0.5), 0.93),  # seeds and images vary the mean about equally
        ((0.2, 0.5, 0.2), 0.90),  # seeds dominate: here three seeds are too few for Satterthwaite
        ((0.2, 0.0, 0.1), 0.93),
    ],
)
def test_the_interval_covers_the_truth_as_often_as_it_says(spread, at_least):
    rng, seeds, images = np.random.default_rng(0), 3, 200
    draws = [crossed(rng, seeds=seeds, images=images, spread=spread) for _ in range(1500)]
    intervals = [crossed_interval(torch.from_numpy(values)) for values in draws]
    covered = np.mean([i.low <= 0 <= i.high for i in intervals])
    assert covered >= at_least
    # As wide as needed, no more: t with 2 degrees of freedom is 4.3 and the residual counts twice.
    by_seed, by_image, rest = spread
    true_error = math.sqrt(by_seed**2 / seeds + by_image**2 / images + rest**2 / (seeds * images))
    half_width = np.median([(i.high - i.low) / 2 for i in intervals])
    assert 1.6 * true_error < half_width < 4.4 * true_error


def test_with_correlated_answers_of_zero_and_one_the_coverage_holds_too():
    rng, truth, covered = np.random.default_rng(1), 0.7, []
    for _ in range(1000):
        latent = crossed(rng, seeds=3, images=200, spread=(0.1, 0.8, 0.6))
        share = stats.norm.ppf(truth) * math.sqrt(0.1**2 + 0.8**2 + 0.6**2)
        interval = crossed_interval(torch.from_numpy((latent < share).astype(np.float64)))
        covered.append(interval.low <= truth <= interval.high)
    assert np.mean(covered) >= 0.93


def test_a_naive_interval_would_fail_where_ours_holds():
    rng, covered = np.random.default_rng(2), []
    for _ in range(500):
        values = crossed(rng, seeds=3, images=200, spread=(0.2, 0.5, 0.5)).ravel()
        half = 1.96 * values.std(ddof=1) / math.sqrt(values.size)
        covered.append(abs(values.mean()) <= half)
    assert np.mean(covered) < 0.6  # treats 600 answers as independent


def test_without_seed_effects_the_interval_is_student_t_over_images():
    one = np.random.default_rng(3).standard_normal((1, 50))
    expected = stats.ttest_1samp(one[0], 0).confidence_interval(0.9)
    for values in (one, np.repeat(one, 4, axis=0)):  # equal seeds add nothing
        interval = crossed_interval(torch.from_numpy(values), level=0.9)
        assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
        assert interval.df == pytest.approx(49)
        assert interval.mean == pytest.approx(one.mean())


def test_without_image_effects_the_interval_is_student_t_over_seeds():
    seeds = np.random.default_rng(4).standard_normal((5, 1))
    interval = crossed_interval(torch.from_numpy(np.repeat(seeds, 30, axis=1)))
    expected = stats.ttest_1samp(seeds[:, 0], 0).confidence_interval(0.95)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
    assert interval.df == pytest.approx(4)


def test_variances_add_and_degrees_of_freedom_follow_satterthwaite():
    values = torch.tensor([[0.0, 2.0, 4.0], [3.0, 5.0, 7.0]])  # seed means 2, 5; image means 1.5 …
    interval = crossed_interval(values)
    by_seed, by_image = 4.5 / 2, 4.0 / 3
    df = (by_seed + by_image) ** 2 / (by_seed**2 / 1 + by_image**2 / 2)
    half = stats.t.ppf(0.975, df) * math.sqrt(by_seed + by_image)
    ends = (interval.low, interval.mean, interval.high)
    assert ends == pytest.approx((3.5 - half, 3.5, 3.5 + half))
    assert interval.df == pytest.approx(df)


def test_equal_differences_give_zero_width():
    for value in (0.0, 1.0, -1.0):
        interval = crossed_interval(torch.full((3, 20), value))
        assert interval == Interval(value, value, value, math.inf)


def test_half_precision_input_does_not_blur_the_interval():
    values = (torch.arange(3 * 4000).reshape(3, 4000) % 7 == 0).float()
    assert crossed_interval(values.half()) == crossed_interval(values.double())


@pytest.mark.parametrize("shape", [(0, 5), (3, 1), (3, 0)])
def test_too_few_seeds_or_images_raise(shape):
    with pytest.raises(ValueError, match=f"got {shape[0]} x {shape[1]}"):
        crossed_interval(torch.zeros(shape))


def test_values_that_are_not_finite_and_levels_that_are_none_raise():
    with pytest.raises(ValueError, match="with NaN"):
        crossed_interval(torch.tensor([[0.0, float("nan")]]))
    for level in (0.0, 1.0, 95.0):
        with pytest.raises(ValueError, match="level"):
            crossed_interval(torch.zeros(2, 2), level=level)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.01, 0.03, "helped"),
        (-0.03, -0.01, "hurt"),
        (-0.01, 0.01, "cannot tell"),
        (0.0, 0.02, "cannot tell"),
        (-0.02, 0.0, "cannot tell"),
        (0.0, 0.0, "cannot tell"),
        (1e-12, 1.0, "helped"),
    ],
)
def test_only_an_interval_clear_of_zero_is_a_claim(low, high, expected):
    assert verdict(Interval((low + high) / 2, low, high, 10.0)) == expected


def test_the_interval_of_a_mean_is_student_s():
    values = [0.2, 0.5, 0.45, 0.3]
    found = metrics.mean_interval(values, level=0.9)
    low, high = stats.t.interval(0.9, 3, loc=np.mean(values), scale=stats.sem(values))
    assert (found.mean, found.low, found.high, found.df) == pytest.approx((0.3625, low, high, 3))
    same = metrics.mean_interval([0.5, 0.5])
    assert (same.low, same.high, same.df) == (0.5, 0.5, math.inf)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, math.nan]])
def test_a_mean_without_an_interval_is_refused(values):
    with pytest.raises(ValueError, match="two finite values or more"):
        metrics.mean_interval(values)


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_a_mean_s_level_is_a_share(level):
    with pytest.raises(ValueError, match="between 0 and 1"):
        metrics.mean_interval([1.0, 2.0], level=level)
