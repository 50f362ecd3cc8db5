"""Metrics: against scikit-learn, against the definition, and intervals that keep their promise."""

import math

import jaxtyping
import numpy as np
import pytest
import sklearn.metrics
import torch
from scipy import stats
from torchmetrics.functional.classification import multiclass_calibration_error

from course_utils import metrics
from course_utils.metrics import Interval, crossed_interval, verdict

NUM_CLASSES = 6


@pytest.fixture
def no_hook(monkeypatch):
    """Run as learners do: nobody checks the annotations, so the package must."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


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


JUDGES = {
    "accuracy": metrics.accuracy,
    "confusion_matrix": lambda *two: metrics.confusion_matrix(*two, num_classes=3),
    "macro_f1": lambda *two: metrics.macro_f1(*two, num_classes=3),
    "per_class_recall": lambda *two: metrics.per_class_recall(*two, num_classes=3),
}
CLASSES = torch.tensor([0, 1, 2, 0, 1])
OTHERS = {
    "column": CLASSES[:, None],
    "row": CLASSES[None],
    "scores": torch.zeros(5, 3),
    "shorter": CLASSES[:3],
    "one": CLASSES[:1],
    "one number": torch.tensor(1),
    "none": CLASSES[:0],
    "floats": CLASSES.float(),
    "NaN": torch.full((5,), math.nan),
    "bool": CLASSES == 0,
    "complex": CLASSES.to(torch.complex64),
    "nothing": None,
    "names": ["sea", "river", "sea", "sea", "river"],
    "objects": np.array([0, 1, 2, None, 1], dtype=object),
    "of two lengths": [[0], [1, 2]],
}


@pytest.mark.parametrize("judge", JUDGES)
@pytest.mark.parametrize("name", OTHERS)
def test_answers_that_are_not_one_class_number_an_image_are_refused(judge, name, no_hook):
    for answers in ((OTHERS[name], CLASSES), (CLASSES, OTHERS[name])):
        with pytest.raises(
            ValueError, match=r"expected (one class number|class numbers of the same)"
        ):
            JUDGES[judge](*answers)


@pytest.mark.parametrize("judge", JUDGES)
def test_class_numbers_of_any_whole_kind_are_the_same(judge, no_hook):
    expected = JUDGES[judge](CLASSES, CLASSES.flip(0))
    for kind in (torch.uint8, torch.int8, torch.int32):
        found = JUDGES[judge](CLASSES.to(kind), CLASSES.flip(0))
        assert torch.equal(torch.as_tensor(found), torch.as_tensor(expected))
    found = JUDGES[judge](CLASSES.numpy(), CLASSES.flip(0).tolist())
    assert torch.equal(torch.as_tensor(found), torch.as_tensor(expected))


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


@pytest.mark.parametrize("num", [6, 10, 20, 50, 100, 1000, 10_000])
@pytest.mark.parametrize("seeds", [1, 5])
def test_images_that_all_answer_alike_leave_about_as_much_open_as_the_exact_interval(num, seeds):
    exact = stats.binomtest(num, num).proportion_ci(method="exact").low  # Clopper and Pearson
    right = crossed_interval(torch.ones(seeds, num), ends=(0.0, 1.0))
    assert right.high == right.mean == 1
    assert exact - 1.2 * (1 - exact) < right.low < exact
    wrong = crossed_interval(torch.zeros(seeds, num), ends=(0.0, 1.0))
    assert (wrong.low, wrong.high) == pytest.approx((0, 1 - right.low))
    gain = crossed_interval(torch.zeros(seeds, num))
    assert (gain.low, gain.high) == pytest.approx((right.low - 1, 1 - right.low))
    lost = crossed_interval(-torch.ones(seeds, num))
    assert (lost.low, lost.high) == pytest.approx((-1, -right.low))


def cover(num: int, share: float) -> float:
    """Compute how often the interval of n images holds the share: over all counts, exactly."""
    covered = 0.0
    for right in range(num + 1):
        chance = stats.binom.pmf(right, num, share)
        if chance > 1e-7:
            values = (torch.arange(num) < right).double()
            found = crossed_interval(values[None], ends=(0.0, 1.0))
            covered += chance * (found.low <= share <= found.high)
    return covered


@pytest.mark.parametrize("share", [0.5, 0.7, 0.9, 0.95, 0.98, 0.99, 0.999])
@pytest.mark.parametrize("num", [2, 10, 30, 100, 300])
def test_shares_near_their_end_are_covered_too(num, share):
    assert cover(num, share) >= 0.9
    assert cover(num, 1 - share) >= 0.9


@pytest.mark.parametrize("seeds", [1, 5, 10])
@pytest.mark.parametrize("num", [10, 100, 1000])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_the_share_is_covered_whether_seeds_agree_or_not(share, num, seeds):
    rng = np.random.default_rng(num + seeds)
    for agreement in (0.0, 0.8):  # of seeds about an image
        covered = []
        for _ in range(100):
            own, shared = rng.standard_normal((seeds, num)), rng.standard_normal((1, num))
            latent = math.sqrt(1 - agreement) * own + math.sqrt(agreement) * shared
            values = torch.from_numpy((latent < stats.norm.ppf(share)).astype(np.float64))
            found = crossed_interval(values, ends=(0.0, 1.0))
            covered.append(found.low <= share <= found.high)
        assert np.mean(covered) >= 0.9 - 2 * 0.03  # two standard errors of 100 draws


@pytest.mark.parametrize("flipped", [0.002, 0.02, 0.1, 0.5])
@pytest.mark.parametrize("num", [2, 4, 6, 10, 100, 1000])
def test_arms_that_are_equally_good_are_seldom_told_apart(num, flipped):
    rng, claims = np.random.default_rng(num), 0
    for _ in range(300):
        gains = rng.choice([-1.0, 0.0, 1.0], num, p=[flipped / 2, 1 - flipped, flipped / 2])
        claims += verdict(crossed_interval(torch.from_numpy(gains)[None])) != "cannot tell"
    assert claims / 300 <= 0.05 + 4 * 0.0126  # four standard errors of 300 draws


@pytest.mark.parametrize("num", [2, 3, 4, 5])
@pytest.mark.parametrize("seeds", [1, 3])
def test_a_handful_of_images_tells_nothing(num, seeds):
    for lost in range(num):
        gains = torch.ones(seeds, num)
        gains[:, :lost] = 0
        assert verdict(crossed_interval(gains)) == "cannot tell"
        assert verdict(crossed_interval(-gains)) == "cannot tell"


@pytest.mark.parametrize("num", [10, 30, 100, 1000, 10_000])
def test_fewer_than_five_images_that_changed_tell_nothing_among_many_that_did_not(num):
    said = []
    for changed in range(9):
        gains = (torch.arange(num) < changed).double()[None]
        said.append(verdict(crossed_interval(gains)))
    assert said[:5] == ["cannot tell"] * 5
    assert said[6:] == ["helped"] * 3  # as of the exact sign test


def test_what_varies_on_five_images_is_believed_as_it_is():
    values = (torch.arange(400) < 300).double()[None]
    expected = stats.ttest_1samp(values[0], 0).confidence_interval(0.95)
    found = crossed_interval(values)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_ends_are_those_of_what_is_measured():
    one = torch.tensor([[1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]])
    assert crossed_interval(one).low < 0  # a gain may be a loss
    assert crossed_interval(one, ends=(0.0, 1.0)).low == 0
    assert crossed_interval(1 - one).high == crossed_interval(1 - one, ends=(0.0, 1.0)).high == 1
    assert crossed_interval(-torch.ones(2, 3)).low == -1
    assert crossed_interval(torch.tensor([[5.0, -7.0]])).high > 1  # no answers: no such ends
    with pytest.raises(ValueError, match="ends: expected some around the mean"):
        crossed_interval(-torch.ones(1, 9), ends=(0.0, 1.0))


@pytest.mark.parametrize("value", [0.1, 1.0, 1e-9, -7.3])
@pytest.mark.parametrize("num", [2, 3, 10])
def test_seeds_that_all_agree_do_not_say_what_others_would(value, num):
    found = metrics.mean_interval([value] * num)  # also where rounding makes a variance of 1e-34
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert found.mean == pytest.approx(value)
    assert verdict(found) == "cannot tell"
    share = metrics.mean_interval([1.0] * num, ends=(0.0, 1.0))
    assert (share.low, share.high) == (0, 1)
    assert metrics.mean_interval([0.1, 0.9], ends=(0, 1)).high == 1
    constant = crossed_interval(torch.full((3, num), 10 + value))  # no share: unknown how far
    assert (constant.low, constant.high) == (-math.inf, math.inf)


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
    assert verdict(Interval((low + high) / 2, low, high, 10.0, high - low)) == expected


def test_the_interval_of_a_mean_is_student_s():
    values = [0.2, 0.5, 0.45, 0.3]
    found = metrics.mean_interval(values, level=0.9)
    low, high = stats.t.interval(0.9, 3, loc=np.mean(values), scale=stats.sem(values))
    assert (found.mean, found.low, found.high, found.df) == pytest.approx((0.3625, low, high, 3))


@pytest.mark.parametrize("values", [[], [1.0], [1.0, math.nan], [1.0, math.inf], 1.0, [[1.0, 2.0]]])
def test_a_mean_without_an_interval_is_refused(values, no_hook):
    with pytest.raises(ValueError, match="two finite values or more"):
        metrics.mean_interval(values)


@pytest.mark.parametrize("shape", [(), (5,), (1, 5, 1)])
def test_answers_are_seeds_by_images(shape, no_hook):
    with pytest.raises(ValueError, match="seeds x images"):
        crossed_interval(torch.ones(shape))


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_a_mean_s_level_is_a_share(level):
    with pytest.raises(ValueError, match="between 0 and 1"):
        metrics.mean_interval([1.0, 2.0], level=level)


def test_unsigned_class_numbers_of_numpy_are_class_numbers(no_hook):
    answers = np.array([0, 1, 1], dtype=np.uint64)
    assert metrics.accuracy(answers, [0, 1, 0]) == pytest.approx(2 / 3)


def random_probabilities(seed: int, num: int, num_classes: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(num, num_classes, generator=generator)).softmax(dim=1)


@pytest.mark.parametrize(("num_classes", "num_bins"), [(2, 10), (5, 10), (10, 15), (3, 1)])
def test_the_calibration_error_is_torchmetrics(num_classes, num_bins):
    probabilities = random_probabilities(0, 400, num_classes)
    labels = torch.randint(num_classes, (400,), generator=torch.Generator().manual_seed(1))
    found = metrics.calibration(probabilities, labels, num_bins=num_bins)
    expected = multiclass_calibration_error(probabilities, labels, num_classes, n_bins=num_bins)
    assert found.error == pytest.approx(expected.item(), abs=1e-6)
    assert sum(row["count"] for row in found.rows) == 400
    right = (probabilities.argmax(dim=1) == labels).double().mean().item()
    assert sum(row["count"] * row["accuracy"] for row in found.rows) / 400 == pytest.approx(right)


def test_bins_hold_their_upper_ends_and_a_certain_answer_is_in_the_last():
    top = torch.tensor([0.5, 0.50001, 1.0, 0.8, 0.80001], dtype=torch.float64)
    found = metrics.calibration(torch.stack([top, 1 - top], 1), torch.tensor([0, 1, 0, 0, 0]))
    counts = [(row["count"], row["accuracy"]) for row in found.rows]
    assert counts == [(1, 1.0), (1, 0.0), (1, 1.0), (1, 1.0), (1, 1.0)]
    assert found.error == pytest.approx((0.5 + 0.50001 + 0.2 + 0.19999) / 5)


def test_calibration_takes_the_half_precision_of_saved_predictions():
    probabilities, labels = random_probabilities(2, 100, 10), torch.arange(100) % 10
    found = metrics.calibration(probabilities.half(), labels)
    assert found.error == pytest.approx(metrics.calibration(probabilities, labels).error, abs=0.01)


@pytest.mark.parametrize(
    ("probabilities", "labels", "message"),
    [
        (torch.ones(2, 2), [0, 1], "sum 1"),
        (torch.tensor([[math.nan, 1.0]]), [0], "sum 1"),
        (torch.ones(0, 2), [], "sum 1"),
        (torch.ones(3), [0], "sum 1"),
        (torch.tensor([[0.5, 0.5]]), [2], "classes 0"),
        (torch.tensor([[0.5, 0.5]]), [0, 1], "same images"),
    ],
)
def test_what_are_no_probabilities_has_no_calibration(probabilities, labels, message, no_hook):
    with pytest.raises(ValueError, match=message):
        metrics.calibration(probabilities, labels)


def test_calibration_needs_a_bin():
    with pytest.raises(ValueError, match="num_bins"):
        metrics.calibration(torch.ones(1, 1), torch.tensor([0]), num_bins=0)
