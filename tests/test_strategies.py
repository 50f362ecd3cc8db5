"""Strategies: filters against plain loops, retrieval against sorting, strengths as published."""

import jaxtyping
import numpy as np
import pytest
import torch
from torch.nn import functional

from course_utils.runtime import seeded
from course_utils.strategies import clip_filter, real_filter, real_lead, retrieve, strength_for

SEEDS = range(5)


@pytest.fixture
def _unchecked(monkeypatch):
    """Call functions as learners do, whose arguments nobody has checked."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def opinions(seed: int, *, num: int = 60, num_classes: int = 4) -> tuple[torch.Tensor, ...]:
    """Make up what CLIP says of images, and what they were asked to show."""
    generator = seeded(seed)
    logits = 2 * torch.randn(num, num_classes, generator=generator)
    return logits.softmax(dim=1), torch.randint(num_classes, (num,), generator=generator)


def unit_rows(seed: int, *shape: int) -> torch.Tensor:
    return functional.normalize(torch.randn(*shape, generator=seeded(seed)), dim=1)


# --- the CLIP filter ----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("budget", [1, 4, 8, 100])
def test_the_clip_filter_keeps_what_a_plain_loop_keeps(seed, budget):
    probabilities, labels = opinions(seed)
    kept = clip_filter(probabilities, labels, budget_per_class=budget, generator=seeded(0)).tolist()
    assert kept == sorted(set(kept))
    for label in range(4):
        members = [i for i in range(60) if labels[i] == label]
        passed = [i for i in members if probabilities[i, label] > 1 / 4]
        mine = [i for i in kept if labels[i] == label]
        if len(passed) >= budget:
            assert len(mine) == budget
            assert set(mine) <= set(passed)
        else:
            best = sorted(members, key=lambda i: -probabilities[i, label])[:budget]
            assert set(mine) == set(best)


def test_the_clip_filter_draws_survivors_at_random_and_not_the_most_confident():
    probabilities = torch.linspace(0.6, 0.9, 40)[:, None] * torch.tensor([[1.0, 0.0]])
    probabilities[:, 1] = 1 - probabilities[:, 0]
    labels = torch.zeros(40, dtype=torch.int64)
    draws = {
        tuple(
            clip_filter(probabilities, labels, budget_per_class=5, generator=seeded(seed)).tolist()
        )
        for seed in range(30)
    }
    assert len(draws) > 20
    assert {i for draw in draws for i in draw} == set(range(40))


def test_a_guess_is_no_confidence():
    probabilities = torch.tensor([[0.5, 0.5], [0.5 + 1e-6, 0.5 - 1e-6]])
    labels = torch.tensor([0, 0])
    for seed in range(20):
        kept = clip_filter(probabilities, labels, budget_per_class=1, generator=seeded(seed))
        assert kept.tolist() == [1]


def test_equally_confident_images_come_in_their_order():
    probabilities = torch.full((4, 2), 0.5)
    kept = clip_filter(
        probabilities, torch.zeros(4).long(), budget_per_class=2, generator=seeded(0)
    )
    assert kept.tolist() == [0, 1]
    assert kept.dtype == torch.int64


def test_the_clip_filter_depends_on_its_generator_alone():
    probabilities, labels = opinions(0)
    one, same, other = (
        clip_filter(probabilities, labels, budget_per_class=3, generator=seeded(seed)).tolist()
        for seed in (1, 1, 2)
    )
    assert one == same != other


def test_shares_in_half_precision_are_shares():
    probabilities, labels = opinions(0, num=40, num_classes=10)
    kept = clip_filter(probabilities.half(), labels, budget_per_class=1, generator=seeded(0))
    assert len(kept) == len(labels.unique())


@pytest.mark.usefixtures("_unchecked")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"probabilities": torch.randn(5, 3)}, "expected shares of 1 in each row, the softmax"),
        ({"probabilities": torch.full((5, 3), torch.nan)}, "expected finite features"),
        ({"labels": torch.tensor([0, 1, 2, 3, 0])}, "labels: expected classes 0 … 2"),
        ({"labels": torch.tensor([0, 1])}, "labels: expected one of each of 5 images, got 2"),
        ({"budget_per_class": 0}, "budget_per_class: expected a whole number"),
    ],
)
def test_the_clip_filter_says_what_is_wrong(change, said):
    given = {"probabilities": torch.full((5, 3), 1 / 3), "labels": torch.zeros(5).long()}
    given |= {"budget_per_class": 1, "generator": seeded(0), **change}
    with pytest.raises(ValueError, match=said):
        clip_filter(given.pop("probabilities"), given.pop("labels"), **given)


# --- the filter by real shots -------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_the_lead_is_that_of_the_nearest_class_mean(seed):
    from sklearn.neighbors import KNeighborsClassifier

    real, real_labels = unit_rows(seed, 20, 8), torch.arange(20) % 4
    features, labels = unit_rows(seed + 100, 30, 8), torch.arange(30) % 4
    lead = real_lead(features, labels, real, real_labels)
    means = torch.stack([real[real_labels == label].mean(dim=0) for label in range(4)])
    judge = KNeighborsClassifier(1)
    judge.fit(functional.normalize(means, dim=1).numpy(), np.arange(4))
    assert (lead > 0).tolist() == (judge.predict(features.numpy()) == labels.numpy()).tolist()


def test_the_real_filter_drops_what_lies_by_another_class():
    real, real_labels = torch.eye(3), torch.arange(3)
    features = torch.eye(3)[[0, 0, 1, 1, 2, 2, 0]]
    labels = torch.tensor([0, 0, 1, 1, 2, 2, 1])  # the last is drawn as class 1, and looks like 0
    kept = real_filter(features, labels, real, real_labels, budget_per_class=2, generator=seeded(0))
    assert kept.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("seed", SEEDS)
def test_where_too_few_pass_the_real_filter_takes_the_largest_lead(seed):
    real, real_labels = unit_rows(seed, 12, 6), torch.arange(12) % 3
    features, labels = unit_rows(seed + 50, 30, 6), torch.arange(30) % 3
    lead = real_lead(features, labels, real, real_labels)
    kept = real_filter(features, labels, real, real_labels, budget_per_class=9, generator=seeded(0))
    for label in range(3):
        members = [i for i in range(30) if labels[i] == label]
        assert sum(bool(lead[i] >= 0) for i in members) < 9
        best = sorted(members, key=lambda i: -lead[i])[:9]
        assert [i for i in kept.tolist() if labels[i] == label] == sorted(best)


def test_a_class_number_without_a_shot_competes_for_no_image():
    features = -torch.eye(2)  # nearer to the origin than to either class
    lead = real_lead(features, torch.tensor([0, 2]), torch.eye(2), torch.tensor([0, 2]))
    torch.testing.assert_close(lead, torch.tensor([-1.0, -1.0]))


@pytest.mark.usefixtures("_unchecked")
@pytest.mark.parametrize(
    ("real_labels", "said"),
    [
        ([0, 0], r"a shot of every class of labels, got none of \[1\]"),
        ([0], "real_labels: expected one of each of 2 images, got 1"),
    ],
)
def test_the_real_filter_says_which_class_has_no_shot(real_labels, said):
    given = torch.eye(2), torch.tensor([0, 1]), torch.eye(2), torch.tensor(real_labels)
    with pytest.raises(ValueError, match=said):
        real_filter(*given, budget_per_class=1, generator=seeded(0))


# --- retrieval ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_where_labels_are_known_each_class_gets_its_own_images_nearest_to_its_text(seed):
    features, weights = unit_rows(seed, 40, 8), unit_rows(seed + 9, 4, 8)
    labels = torch.arange(40) % 4
    rows, served = retrieve(features, weights, per_class=3, labels=labels)
    assert torch.equal(served, torch.arange(4).repeat_interleave(3))
    assert torch.equal(labels[rows], served)
    for label in range(4):
        members = [i for i in range(40) if i % 4 == label]
        best = sorted(members, key=lambda i: -float(features[i] @ weights[label]))[:3]
        assert rows[served == label].tolist() == best


@pytest.mark.parametrize("seed", SEEDS)
def test_where_labels_are_not_known_an_image_serves_one_class(seed):
    features, weights = unit_rows(seed, 40, 8), unit_rows(seed + 9, 4, 8)
    rows, served = retrieve(features, weights, per_class=7)
    assert len(set(rows.tolist())) == len(rows) == 28
    assert served.bincount().tolist() == [7] * 4
    similarity, free = features @ weights.T, set(range(40)) - set(rows.tolist())
    for label in range(4):  # nobody would rather have an image that is left over
        worst = similarity[rows[served == label], label].min()
        assert all(similarity[i, label] <= worst for i in free)
    for row, label in zip(rows.tolist(), served.tolist(), strict=True):  # nor swap to both's gain
        for other, theirs in zip(rows.tolist(), served.tolist(), strict=True):
            wants = similarity[other, label] > similarity[row, label]
            assert not (wants and similarity[other, label] > similarity[other, theirs])


@pytest.mark.parametrize("labels", [None, torch.arange(60) % 3])
def test_at_random_the_count_is_equal_and_the_generator_decides(labels):
    features, weights = unit_rows(0, 60, 8), unit_rows(9, 3, 8)

    def draw(seed: int) -> list[int]:
        rows, served = retrieve(
            features, weights, per_class=4, labels=labels, generator=seeded(seed)
        )
        assert served.bincount().tolist() == [4, 4, 4]
        assert len(set(rows.tolist())) == 12
        assert labels is None or torch.equal(labels[rows], served)
        return rows.tolist()

    assert draw(1) == draw(1) != draw(2)
    assert {row for seed in range(80) for row in draw(seed)} == set(range(60))


@pytest.mark.usefixtures("_unchecked")
@pytest.mark.parametrize("labels", [None, torch.tensor([0, 0, 0, 1])])
def test_too_few_images_of_a_class_are_said(labels):
    with pytest.raises(ValueError, match=r"has [12] images to choose from, but 3 were asked for"):
        retrieve(unit_rows(0, 4, 8), unit_rows(9, 2, 8), per_class=3, labels=labels)


@pytest.mark.usefixtures("_unchecked")
def test_labels_of_other_images_are_refused():
    with pytest.raises(ValueError, match="labels: expected 4, one an image, got 2"):
        retrieve(unit_rows(0, 4, 8), unit_rows(9, 2, 8), per_class=1, labels=torch.tensor([0, 1]))


# --- real guidance ------------------------------------------------------------------------------


def test_the_strength_falls_with_the_shots_as_published():
    assert [strength_for(n) for n in (1, 2, 4, 8, 16)] == [0.5, 0.4, 0.35, 0.2, 0.15]
    assert strength_for(64) == 0.15
    every = [strength_for(n) for n in range(1, 65)]
    assert every == sorted(every, reverse=True)
    assert strength_for(6) == pytest.approx(0.35 - 0.15 * np.log2(6 / 4))


@pytest.mark.usefixtures("_unchecked")
@pytest.mark.parametrize("shots", [0, 1.5, -1])
def test_no_shots_have_no_strength(shots):
    with pytest.raises(ValueError, match="shots: expected a whole number"):
        strength_for(shots)
