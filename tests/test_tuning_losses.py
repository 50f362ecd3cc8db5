"""The loss on synthetic images against a loop over images, and the soft labels that equal it."""

import math

import jaxtyping
import pytest
import torch
from torch.nn import functional

from course_utils.runtime import seeded
from course_utils.tuning import HeadData, TuneConfig, soft_targets, synthetic_loss, tune_heads

SHARES = [0.0, 0.3, 0.5, 1.0]


@pytest.fixture
def scores():
    """Scores of a classifier and its teacher for 7 images of 4 classes, and labels."""
    logits, teacher = 3 * torch.randn(2, 7, 4, generator=seeded(0), dtype=torch.float64)
    return logits, torch.arange(7) % 4, teacher


@pytest.fixture
def no_hook(monkeypatch):
    """Run as learners do: nobody checks the annotations, so the package must."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def softmax(row):
    powers = [math.exp(x) for x in row]
    return [power / sum(powers) for power in powers]


def loss_in_a_loop(logits, labels, teacher_logits, *, soft_share, temperature):
    total = 0.0
    for z, y, z_teacher in zip(
        logits.tolist(), labels.tolist(), teacher_logits.tolist(), strict=True
    ):
        p, q = softmax(z), softmax([x / temperature for x in z_teacher])
        soft = -sum(q[k] * math.log(p[k]) for k in range(len(p)))
        total += soft_share * soft - (1 - soft_share) * math.log(p[y])
    return total / len(logits)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("soft_share", SHARES)
def test_the_loss_is_that_of_a_loop_over_images_and_classes(scores, soft_share, temperature):
    options = {"soft_share": soft_share, "temperature": temperature}
    expected = loss_in_a_loop(*scores, **options)
    assert synthetic_loss(*scores, **options).item() == pytest.approx(expected, rel=1e-12)


def test_by_default_half_is_soft_at_temperature_two(scores):
    expected = loss_in_a_loop(*scores, soft_share=0.5, temperature=2.0)
    assert synthetic_loss(*scores).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("soft_share", SHARES)
def test_the_loss_is_the_cross_entropy_of_the_soft_targets_and_so_is_its_gradient(
    scores, soft_share
):
    logits, labels, teacher = scores
    options = {"soft_share": soft_share, "temperature": 2.0}
    targets = soft_targets(labels, teacher, **options)
    torch.testing.assert_close(targets.sum(1), torch.ones(7).double())
    logits.requires_grad_()
    losses = synthetic_loss(logits, labels, teacher, **options)
    (gradient,) = torch.autograd.grad(losses, logits)
    expected = functional.cross_entropy(logits, targets)
    torch.testing.assert_close(losses, expected)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, logits)[0])


def test_without_a_soft_share_it_is_the_usual_cross_entropy(scores):
    logits, labels, teacher = scores
    usual = functional.cross_entropy(logits, labels)
    torch.testing.assert_close(synthetic_loss(logits, labels, teacher, soft_share=0.0), usual)
    certain = functional.one_hot(labels, 4).double()
    assert torch.equal(soft_targets(labels, teacher, soft_share=0.0), certain)


def test_no_gradient_goes_to_the_teacher(scores):
    logits, labels, teacher = scores
    teacher.requires_grad_()
    synthetic_loss(logits.requires_grad_(), labels, teacher).backward()
    assert logits.grad.abs().sum() > 0
    assert teacher.grad is None
    assert not soft_targets(labels, teacher).requires_grad


def test_a_hotter_teacher_is_less_sure(scores):
    _, labels, teacher = scores
    rows = [soft_targets(labels, teacher, soft_share=1.0, temperature=t) for t in (1.0, 2.0, 100.0)]
    spread = [row.std(dim=1).mean() for row in rows]
    assert spread[0] > spread[1] > spread[2]
    torch.testing.assert_close(rows[2], torch.full((7, 4), 0.25).double(), atol=0.05, rtol=0)


def test_a_head_trained_on_soft_targets_has_the_published_loss_at_each_step(scores):
    _, labels, _ = scores
    features = functional.normalize(torch.randn(7, 5, generator=seeded(1)), dim=1)
    weights = functional.normalize(torch.randn(4, 5, generator=seeded(2)), dim=1)
    teacher = 10.0 * features @ weights.T
    head = HeadData(torch.arange(7), soft_targets(labels, teacher), seed=0)
    config = TuneConfig(num_steps=3, learning_rate=0.1, weight_decay=0.0, batch_size=7)
    steps = list(tune_heads(features, [head], weights, config, logit_scale=10.0))
    layer = torch.nn.utils.skip_init(torch.nn.Linear, 5, 4)
    layer.weight.data, layer.bias.data = 10.0 * weights, torch.zeros(4)
    optimizer = torch.optim.AdamW(layer.parameters(), 0.1, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 3)
    for step in steps:
        loss = synthetic_loss(layer(features), labels, teacher)
        torch.testing.assert_close(step.loss[0], loss.detach(), rtol=1e-4, atol=1e-5)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda z, y, q: (z, y, q[:, :3]), r"teacher_logits: expected .* got shape \(7, 3\)"),
        (lambda z, y, q: (z[0], y, q[0]), "logits: expected finite scores"),
        (lambda z, y, q: (z, y, q * math.nan), "teacher_logits: expected finite scores"),
        (lambda z, y, q: (z * math.inf, y, q), "logits: expected finite scores"),
        (lambda z, y, q: (z, y + 1, q), "classes 0 … 3, got 1 … 4"),
        (lambda z, y, q: (z, y.double(), q), "labels: expected one class number an image"),
        (lambda z, y, q: (z, y[:5], q), "7 images but 5 labels"),
        (lambda z, y, q: (z[:0], y[:0], q[:0]), "at least one"),
    ],
)
def test_scores_and_labels_that_do_not_fit_are_refused(scores, change, message, no_hook):
    with pytest.raises(ValueError, match=message):
        synthetic_loss(*change(*scores))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"soft_share": 1.5}, "soft_share: expected a number in"),
        ({"soft_share": math.nan}, "soft_share: expected a number in"),
        ({"temperature": 0.0}, "temperature: expected a number in"),
    ],
)
def test_a_share_and_a_temperature_are_numbers_of_their_range(scores, given, message, no_hook):
    logits, labels, teacher = scores
    for call in (
        lambda: synthetic_loss(logits, labels, teacher, **given),
        lambda: soft_targets(labels, teacher, **given),
    ):
        with pytest.raises(ValueError, match=message):
            call()
