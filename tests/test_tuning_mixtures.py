"""Heads at several rates, and batches with a real share: the same numbers as alone and by hand."""

from collections import Counter
from dataclasses import replace

import jaxtyping
import pytest
import torch
from torch.nn import functional

from course_utils.runtime import seeded
from course_utils.tuning import HeadData, TuneConfig, heads, tune_heads
from course_utils.tuning.heads import Order, batch_order, stack_heads, train

SCALE = 12.0
CONFIG = TuneConfig(num_steps=12, batch_size=8)
ORDERS = ("mix", "synthetic_first", "real_first")


def unit(*shape: int, seed: int) -> torch.Tensor:
    return functional.normalize(torch.randn(*shape, generator=seeded(seed)), dim=-1)


FEATURES, WEIGHTS = unit(40, 8, seed=1), unit(3, 8, seed=2)
LABELS = torch.arange(40) % 3
HEADS = [
    HeadData(torch.arange(40), LABELS, seed=3),
    HeadData(torch.arange(5, 38), LABELS[5:38], seed=4, num_real=6, real_share=0.5),
    HeadData(torch.arange(20), functional.one_hot(LABELS[:20], 3).float(), seed=5),
]


def mixture(**change):
    head = HeadData(torch.arange(30), LABELS[:30], seed=7, num_real=6, real_share=0.5)
    return replace(head, **change)


def last(steps):
    *_, step = steps
    return step


def test_several_rates_at_once_equal_one_rate_after_the_other():
    rates, config = (0.01, 0.1, 1.0), replace(CONFIG, weight_decay=0.3)
    stacked = stack_heads(FEATURES, HEADS, WEIGHTS, config)
    steps = list(train(stacked, config, rates, SCALE))
    assert [step for step, _, _ in steps] == list(range(12))
    assert all(not heads for _, _, heads in steps[:-1])
    for i, rate in enumerate(rates):
        alone = list(
            tune_heads(
                FEATURES, HEADS, WEIGHTS, replace(config, learning_rate=rate), logit_scale=SCALE
            )
        )
        found = steps[-1][2][i]
        torch.testing.assert_close(found.weights, alone[-1].heads.weights)
        torch.testing.assert_close(found.bias, alone[-1].heads.bias)
        losses = torch.stack([loss[i] for _, loss, _ in steps])
        torch.testing.assert_close(losses, torch.stack([step.loss for step in alone]))


def test_a_rate_is_not_touched_by_one_that_explodes():
    stacked = stack_heads(FEATURES, HEADS, WEIGHTS, CONFIG)
    (alone,) = last(train(stacked, CONFIG, (0.1,), SCALE))[2]
    beside = last(train(stacked, CONFIG, (0.1, 1e30), SCALE))[2][0]
    torch.testing.assert_close(beside.weights, alone.weights)


def test_the_gradient_by_hand_is_that_of_automatic_differentiation(monkeypatch):
    found = []
    monkeypatch.setattr(heads, "_set_gradient", lambda _, *parts: found.append(parts))
    _, losses, _ = next(train(stack_heads(FEATURES, HEADS, WEIGHTS, CONFIG), CONFIG, (0.1,), SCALE))
    for i, head in enumerate(HEADS):
        layer = [(SCALE * WEIGHTS).requires_grad_(), torch.zeros(3, requires_grad=True)]
        batch = batch_order(head, CONFIG)[0]
        scores = FEATURES[head.rows[batch]] @ layer[0].T + layer[1]
        loss = functional.cross_entropy(scores, head.labels[batch])
        loss.backward()
        torch.testing.assert_close(losses[0, i], loss.detach())
        for mine, parameter in zip(found[0], layer, strict=True):
            torch.testing.assert_close(mine[0, i], parameter.grad)


@pytest.mark.parametrize("num_real", [1, 6, 29])
@pytest.mark.parametrize(("share", "count"), [(0.5, 4), (0.25, 2), (0.01, 1), (0.99, 7)])
def test_a_fixed_share_holds_in_every_batch_however_many_there_are(share, count, num_real):
    batches = batch_order(mixture(num_real=num_real, real_share=share), CONFIG)
    assert batches.shape == (12, 8)
    assert ((batches < num_real).sum(1) == count).all()


@pytest.mark.parametrize("share", [0.5, 0.25])
def test_phases_take_the_very_same_images_one_kind_after_the_other(share):
    mixed, *phases = (batch_order(mixture(real_share=share, order=o), CONFIG) for o in ORDERS)
    for order, batches in zip(ORDERS[1:], phases, strict=True):
        assert Counter(batches.flatten().tolist()) == Counter(mixed.flatten().tolist())
        is_real = (batches.flatten() < 6).tolist()
        assert is_real == sorted(is_real, reverse=order == "real_first")


@pytest.mark.parametrize("head", [*HEADS, mixture()], ids=["pool", "half", "soft", "other half"])
def test_the_batches_of_fewer_steps_are_those_of_more_cut_short(head):
    whole = batch_order(head, CONFIG)
    for num in (1, 5, 11):
        assert torch.equal(batch_order(head, replace(CONFIG, num_steps=num)), whole[:num])


def test_each_kind_is_seen_as_a_whole_before_any_image_again():
    batches = batch_order(mixture(), replace(CONFIG, num_steps=12)).flatten()
    for kind in (batches[batches < 6], batches[batches >= 6]):
        counts = torch.bincount(kind)[kind.min() :]
        assert counts.max() - counts.min() <= 1


def test_other_seeds_give_other_batches_of_both_kinds():
    one, other = (batch_order(mixture(seed=seed), CONFIG) for seed in (1, 2))
    for part in (slice(0, 4), slice(4, 8)):
        assert not torch.equal(one[:, part], other[:, part])


def test_a_head_with_a_share_is_what_a_plain_loop_over_its_batches_trains():
    head, config = HEADS[1], replace(CONFIG, learning_rate=0.05)
    layer = [(SCALE * WEIGHTS).requires_grad_(), torch.zeros(3, requires_grad=True)]
    optimizer = torch.optim.AdamW(layer, lr=0.05, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.num_steps)
    for batch in batch_order(head, config):
        scores = FEATURES[head.rows[batch]] @ layer[0].T + layer[1]
        optimizer.zero_grad()
        functional.cross_entropy(scores, head.labels[batch]).backward()
        optimizer.step()
        schedule.step()
    found = last(tune_heads(FEATURES, HEADS, WEIGHTS, config, logit_scale=SCALE)).heads
    torch.testing.assert_close(found.weights[1], layer[0].detach(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.bias[1], layer[1].detach(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_real": 0}, "head 0 has 0 real images of 30: a share of each kind"),
        ({"num_real": 30}, "head 0 has 30 real images of 30: a share of each kind"),
        ({"num_real": -1}, "head 0 has -1 real images"),
        ({"real_share": 0.0}, "real_share: expected a number"),
        ({"real_share": 1.0}, "real_share: expected a number"),
        ({"real_share": float("nan")}, "real_share: expected a number"),
        ({"order": "last"}, "order: expected one of mix, synthetic_first, real_first, got 'last'"),
    ],
)
def test_mixtures_that_mean_nothing_are_refused(change, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=message):
        next(tune_heads(FEATURES, [mixture(**change)], WEIGHTS, CONFIG, logit_scale=SCALE))


def test_the_orders_that_are_tested_are_all_that_there_are():
    assert set(ORDERS) == set(Order.__args__)
