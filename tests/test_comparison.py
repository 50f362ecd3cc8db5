"""Claims from paired differences: p-values, corrections, verdicts, against libraries and loops."""

import itertools
import math

import jaxtyping
import numpy as np
import pytest
import torch
from scipy import stats

from course_utils import metrics
from course_utils.metrics import Interval, crossed_interval, mean_interval, verdict


@pytest.fixture
def no_hook(monkeypatch):
    """Run as learners do: nobody checks the annotations, so the package must."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


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


def test_gains_by_class_are_those_of_each_class_s_own_images_and_add_up():
    values, labels = differences(7, images=60), torch.arange(60) % 3
    found = metrics.per_class_gain(values, labels, num_classes=3)
    for k in range(3):
        assert found[k] == crossed_interval(values[:, k::3].contiguous())
    assert np.mean([gain.mean for gain in found]) == pytest.approx(values.mean().item())


def test_gains_by_class_are_differences_of_recalls():
    rng = np.random.default_rng(3)
    labels = torch.from_numpy(rng.integers(4, size=50))
    with_, without = torch.from_numpy(rng.integers(4, size=(2, 50)))
    recalls = [metrics.per_class_recall(p, labels, num_classes=4) for p in (with_, without)]
    hits = (with_ == labels).double() - (without == labels).double()
    found = metrics.per_class_gain(hits[None], labels, num_classes=4)
    assert [gain.mean for gain in found] == pytest.approx((recalls[0] - recalls[1]).tolist())


def test_classes_of_one_image_or_none_leave_everything_open():
    labels = torch.tensor([0, 0, 0, 0, 0, 0, 2])
    first, second, third = metrics.per_class_gain(torch.ones(2, 7), labels, num_classes=3)
    assert first.low < first.mean == 1
    assert math.isnan(second.mean)
    assert (third.mean, third.low, third.high) == (1, -1, 1)
    assert metrics.p_value(third) == metrics.p_value(second) == 1
    assert verdict(second) == verdict(third) == "cannot tell"


def test_gains_by_class_need_a_label_an_image(no_hook):
    with pytest.raises(ValueError, match="seeds x 5 images"):
        metrics.per_class_gain(torch.ones(2, 4), torch.zeros(5, dtype=torch.int64), num_classes=1)


SHOTS = [1, 2, 4, 8, 16, 64]


def hits_of(accuracies: list[float], *, seeds: int = 4, images: int = 1000) -> torch.Tensor:
    """Answer right on the first share of the images, with every seed."""
    rows = [torch.arange(images) < round(share * images) for share in accuracies]
    return torch.stack(rows)[:, None].expand(-1, seeds, -1).double()


def data_value(real: torch.Tensor, mixed: torch.Tensor, *, shots=tuple(SHOTS), seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    return metrics.data_value(list(shots), real, mixed, generator=generator, num_draws=200)


@pytest.mark.parametrize(
    ("accuracy", "expected", "censored"),
    [
        (0.4, 1, (False, False)),
        (0.45, math.sqrt(2), (False, False)),
        (0.5, 2, (False, False)),
        (0.7, 16, (False, False)),
        (0.75, 32, (False, False)),
        (0.8, 64, (False, False)),
        (0.81, 64, (False, True)),
        (0.39, 1, (True, False)),
    ],
)
def test_a_value_is_read_back_from_the_curve_of_real_images(accuracy, expected, censored):
    real = hits_of([0.4, 0.5, 0.6, 0.65, 0.7, 0.8])
    found = data_value(real, hits_of([accuracy])[0])
    assert found.value == pytest.approx(expected)
    assert (found.at_most, found.at_least) == censored
    assert 1 <= found.low <= found.value <= found.high <= 64


def test_a_curve_that_falls_is_flattened_and_read_at_its_fewest_shots():
    real = hits_of([0.4, 0.6, 0.5, 0.7])  # rises to 0.4, 0.55, 0.55, 0.7
    shots = (1, 2, 4, 8)
    assert data_value(real, hits_of([0.55])[0], shots=shots).value == pytest.approx(2)
    assert data_value(real, hits_of([0.625])[0], shots=shots).value == pytest.approx(2**2.5)


def test_a_mixed_arm_that_answers_like_real_images_is_worth_exactly_these():
    rng = np.random.default_rng(0)
    levels = np.linspace(0.3, 0.8, 6)[:, None, None]
    real = torch.from_numpy((rng.random((1, 3, 200)) < levels) * 1.0)  # rises in every draw
    for c, shots in enumerate(SHOTS):
        found = data_value(real, real[c])
        assert (found.value, found.low, found.high) == pytest.approx((shots,) * 3)
        assert not found.at_most
        assert not found.at_least


def value_by_loop(shots, real, mixed, seeds, images):
    """Read the value of one draw by definition, with a fine grid over the curve."""
    accuracy = mixed[np.ix_(seeds, images)].mean()
    levels = [answers[np.ix_(seeds, images)].mean() for answers in real]
    curve = np.maximum.accumulate(levels)  # what isotonic regression gives where it rises anyway
    assert (np.diff(levels) >= 0).all()
    grid = np.linspace(0, np.log2(shots[-1]), 60001)
    reached = grid[np.interp(grid, np.log2(shots), curve) >= accuracy - 1e-12]
    return 2 ** (reached[0] if len(reached) else grid[-1])


def test_the_bootstrap_draws_seeds_and_images_by_themselves_and_alike_for_all_arms():
    rng, shots = np.random.default_rng(1), [1, 2, 4]
    hard, luck = rng.random((1, 1, 300)), 0.05 * rng.standard_normal((1, 5, 1))
    levels = np.array([0.3, 0.5, 0.7])[:, None, None]
    real = (hard + 0.1 * rng.random((3, 5, 300)) < levels + luck) * 1.0
    mixed = (hard[0] + 0.1 * rng.random((5, 300)) < 0.6 + luck[0]) * 1.0
    draws = [
        value_by_loop(shots, real, mixed, rng.integers(5, size=5), rng.integers(300, size=300))
        for _ in range(400)
    ]
    generator = torch.Generator().manual_seed(0)
    tensors = torch.from_numpy(real), torch.from_numpy(mixed)
    found = metrics.data_value(shots, *tensors, generator=generator, num_draws=2000)
    assert found.value == pytest.approx(
        value_by_loop(shots, real, mixed, range(5), range(300)), 1e-3
    )
    low, high = np.quantile(draws, [0.025, 0.975])
    assert math.log2(found.low) == pytest.approx(math.log2(low), abs=0.05)
    assert math.log2(found.high) == pytest.approx(math.log2(high), abs=0.05)


def test_the_interval_of_a_value_covers_the_truth_as_often_as_it_says():
    rng, shots, held = np.random.default_rng(4), [1, 2, 4, 8], []
    levels = np.array([0.3, 0.45, 0.6, 0.75, 0.55])  # the last is worth 2 ** (5 / 3)
    for draw in range(200):
        chance = levels[:, None, None] + 0.04 * rng.standard_normal((5, 6, 1))
        hardness = (rng.random((1, 1, 150)) + rng.random((5, 6, 150))) / 2  # triangular, shared
        right = torch.from_numpy((hardness < stats.triang.ppf(chance, 0.5)) * 1.0)
        generator = torch.Generator().manual_seed(draw)
        found = metrics.data_value(shots, right[:4], right[4], generator=generator, num_draws=200)
        held.append(found.low <= 2 ** (5 / 3) <= found.high)
    assert np.mean(held) >= 0.92


def test_a_value_is_the_same_for_the_same_seed_and_leaves_the_world_s_alone():
    rng = np.random.default_rng(8)
    real = torch.from_numpy(
        (rng.random((6, 3, 90)) < np.linspace(0.3, 0.8, 6)[:, None, None]) * 1.0
    )
    state = torch.random.get_rng_state()
    first, again = (data_value(real, real[2].roll(1, 1)) for _ in range(2))
    assert first == again != data_value(real, real[2].roll(1, 1), seed=1)
    assert torch.equal(state, torch.random.get_rng_state())


def test_one_seed_and_two_images_have_a_value_too():
    found = data_value(torch.ones(6, 1, 2), torch.ones(1, 2))
    assert (found.value, found.low, found.high, found.at_most) == (1, 1, 1, False)


@pytest.mark.parametrize("shots", [[4], [], [0, 1], [1, 1], [2, 1]])
def test_shots_that_do_not_ascend_are_refused(shots):
    with pytest.raises(ValueError, match="ascending"):
        data_value(torch.ones(len(shots), 2, 3), torch.ones(2, 3), shots=shots)


def test_answers_of_other_seeds_or_images_are_refused(no_hook):
    for real, mixed in (((6, 2, 3), (3, 3)), ((6, 2, 3), (2, 4)), ((5, 2, 3), (2, 3))):
        with pytest.raises(ValueError, match="same seeds and images"):
            data_value(torch.ones(real), torch.ones(mixed))
