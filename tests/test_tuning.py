"""Heads trained together against heads trained alone, and against plain AdamW in a loop."""

import math

import jaxtyping
import numpy as np
import pytest
import torch
from torch.nn import functional

from course_utils.runtime import seeded
from course_utils.tuning import (
    NUM_TRIALS,
    HeadData,
    Trial,
    TuneConfig,
    best_trial,
    choose_config,
    tune_heads,
)

SCALE = 20.0


def unit(*shape: int, seed: int) -> torch.Tensor:
    return functional.normalize(torch.randn(*shape, generator=seeded(seed)), dim=-1)


@pytest.fixture
def problem():
    """Three classes on the sphere, 60 images, text weights that are off by some noise."""
    centers = unit(3, 8, seed=1)
    labels = torch.arange(60) % 3
    features = functional.normalize(centers[labels] + 1.2 * unit(60, 8, seed=2), dim=-1)
    weights = functional.normalize(centers + 1.2 * unit(3, 8, seed=3), dim=-1)
    return features, labels, weights


@pytest.fixture
def no_hook(monkeypatch):
    """Run as learners do: nobody checks the annotations, so the package must."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def last(steps):
    *_, step = steps
    return step


def train_plainly(features, head, weights, config):
    """Train one head as a student would: a layer, an optimizer, a loop over batches."""
    with torch.random.fork_rng():  # the layer draws initial weights, which are replaced
        layer = torch.nn.Linear(weights.shape[1], len(weights))
    with torch.no_grad():
        layer.weight.copy_(SCALE * weights)
        layer.bias.zero_()
    optimizer = torch.optim.AdamW(
        layer.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.num_steps)
    generator = seeded(head.seed)
    order = torch.empty(0, dtype=torch.long)
    for _ in range(config.num_steps):
        while len(order) < config.batch_size:
            order = torch.cat([order, torch.randperm(len(head.rows), generator=generator)])
        batch, order = order[: config.batch_size], order[config.batch_size :]
        loss = functional.cross_entropy(layer(features[head.rows[batch]]), head.labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return layer


def test_a_head_trained_among_others_equals_the_same_head_in_a_plain_loop(problem):
    features, labels, weights = problem
    config = TuneConfig(num_steps=25, learning_rate=0.05, batch_size=8)
    heads = [
        HeadData(torch.arange(60), labels, seed=5),
        HeadData(torch.arange(7), labels[:7], seed=6),  # fewer images than a batch
        HeadData(torch.arange(60), labels.flip(0), seed=7),
    ]
    together = last(tune_heads(features, heads, weights, config, logit_scale=SCALE)).heads
    for number, head in enumerate(heads):
        alone = train_plainly(features, head, weights, config)
        torch.testing.assert_close(together.weights[number], alone.weight, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(together.bias[number], alone.bias, rtol=1e-4, atol=1e-4)


def test_soft_labels_that_are_sure_train_the_same_heads_as_class_numbers(problem):
    features, labels, weights = problem
    config = TuneConfig(num_steps=25, learning_rate=0.05, batch_size=8)
    hard = [HeadData(torch.arange(n), labels[:n], seed=n) for n in (60, 7)]
    sure = functional.one_hot(labels, 3).float()
    soft = [HeadData(head.rows, sure[: len(head.rows)], head.seed) for head in hard]
    expected = last(tune_heads(features, hard, weights, config, logit_scale=SCALE)).heads
    for heads in (soft, [hard[0], soft[1]]):  # also where only one of them is soft
        trained = last(tune_heads(features, heads, weights, config, logit_scale=SCALE)).heads
        torch.testing.assert_close(trained.weights, expected.weights, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(trained.bias, expected.bias, rtol=1e-4, atol=1e-4)


def test_a_soft_label_costs_each_class_its_share(problem):
    features, _, weights = problem
    generator = torch.Generator().manual_seed(4)
    shares = torch.rand(60, 3, generator=generator)
    shares /= shares.sum(1, keepdim=True)
    heads = [HeadData(torch.arange(60), shares, seed=0)]
    config = TuneConfig(num_steps=1, batch_size=60)
    step = last(tune_heads(features, heads, weights, config, logit_scale=SCALE))
    scores = (SCALE * features @ weights.T).double()
    logs = scores - scores.exp().sum(1, keepdim=True).log()
    torch.testing.assert_close(step.loss[0].double(), -(shares * logs).sum(1).mean())


@pytest.mark.parametrize(
    "labels", [torch.ones(2, 3), torch.eye(2), torch.tensor([[1.5, -0.5, 0.0]] * 2), torch.ones(2)]
)
def test_soft_labels_that_are_no_shares_of_the_classes_are_refused(problem, labels, no_hook):
    features, _, weights = problem
    head = HeadData(torch.arange(2), labels, seed=0)
    with pytest.raises(ValueError, match="expected rows of 3 shares"):
        next(tune_heads(features, [head], weights, TuneConfig(), logit_scale=SCALE))


def test_before_the_first_step_every_head_is_the_zero_shot_classifier(problem):
    features, labels, weights = problem
    heads = [HeadData(torch.arange(60), labels, seed=0)]
    config = TuneConfig(num_steps=1, batch_size=60)
    step = last(tune_heads(features, heads, weights, config, logit_scale=SCALE))
    expected = functional.cross_entropy(SCALE * features @ weights.T, labels)
    torch.testing.assert_close(step.loss[0], expected)


def test_tuning_on_right_labels_beats_the_start_and_lowers_the_loss(problem):
    features, labels, weights = problem
    heads = [HeadData(torch.arange(60), labels, seed=0)]
    config = TuneConfig(num_steps=100, learning_rate=0.05, batch_size=16)
    steps = list(tune_heads(features, heads, weights, config, logit_scale=SCALE))
    start = (SCALE * features @ weights.T).argmax(-1)
    tuned = steps[-1].heads.logits(features)[0].argmax(-1)
    assert (tuned == labels).sum() > (start == labels).sum()
    assert steps[-1].loss[0] < steps[0].loss[0]


def test_the_same_seed_gives_the_same_head_and_another_seed_another(problem):
    features, labels, weights = problem
    config = TuneConfig(num_steps=10, batch_size=8)
    heads = [HeadData(torch.arange(60), labels, seed=seed) for seed in (1, 1, 2)]
    trained = last(tune_heads(features, heads, weights, config, logit_scale=SCALE)).heads
    assert torch.equal(trained.weights[0], trained.weights[1])
    assert not torch.equal(trained.weights[0], trained.weights[2])


def test_the_given_weights_and_the_global_random_state_stay_as_they_were(problem):
    features, labels, weights = problem
    before, state = weights.clone(), torch.get_rng_state()
    heads = [HeadData(torch.arange(60), labels, seed=0)]
    last(tune_heads(features, heads, weights, TuneConfig(num_steps=5), logit_scale=SCALE))
    assert torch.equal(weights, before)
    assert torch.equal(torch.get_rng_state(), state)


def test_training_works_where_gradients_are_switched_off(problem):
    features, labels, weights = problem
    heads = [HeadData(torch.arange(60), labels, seed=0)]
    with torch.no_grad():
        step = last(tune_heads(features, heads, weights, TuneConfig(num_steps=3), logit_scale=2.0))
    assert not torch.equal(step.heads.weights[0], 2.0 * weights)


@pytest.mark.parametrize(
    ("rows", "labels", "message"),
    [
        ([], [], "no training images"),
        ([0, 1], [0, 3], "labels outside 0 … 2"),
        ([0, 1], [0, -1], "labels outside 0 … 2"),
        ([0, 60], [0, 1], "rows outside 0 … 59"),
        ([0, 1, 2], [0, 1], "3 images but 2 labels"),
        ([0, 1], [[0], [1]], r"labels as torch.int64 of shape \(2, 1\)"),
        ([[0], [1]], [0, 1], r"rows as torch.int64 of shape \(2, 1\)"),
        ([0, 1], 0, r"labels as torch.int64 of shape \(\)"),
        ([0, 1], [True, False], "labels as torch.bool"),
        ([True] * 60, [0] * 60, "rows as torch.bool"),
        ([0.0, 1.0], [0, 1], "rows as torch.float32"),
        ([0, 1], [0.0, 1.0], "expected rows of 3 shares"),
        ([0, 1], [[math.nan] * 3] * 2, "expected rows of 3 shares"),
    ],
)
def test_a_head_with_impossible_data_is_refused(problem, rows, labels, message, no_hook):
    features, _, weights = problem
    rows, labels = torch.tensor(rows), torch.tensor(labels)
    head = HeadData(rows.long() if not rows.numel() else rows, labels, 0)
    with pytest.raises(ValueError, match=message):
        next(tune_heads(features, [head], weights, TuneConfig(), logit_scale=SCALE))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"features": "nan"}, "NaN or infinity in 1 of 60 rows, first in row 7"),
        ({"features": "inf"}, "NaN or infinity in 1 of 60 rows, first in row 7"),
        ({"weights": "nan"}, "NaN or infinity in 1 of 3 rows"),
        ({"weights": torch.ones(3, 5)}, r"sets with \[8, 5\] columns"),
        ({"features": torch.ones(8)}, r"got shape \(8,\)"),
        ({"logit_scale": math.nan}, "logit_scale: expected a number"),
        ({"logit_scale": 0.0}, "logit_scale: expected a number"),
        *(({"seed": seed}, "seed of head 0: expected a whole") for seed in (-1, 2**63, True, 1.0)),
    ],
)
def test_features_with_nan_and_seeds_that_are_none_are_said_before_training(
    problem, given, message, no_hook
):
    features, labels, weights = problem
    used = {"features": features, "weights": weights, "logit_scale": SCALE, "seed": 0} | given
    for name in ("features", "weights"):
        if isinstance(used[name], str):
            row = 7 if name == "features" else 1
            used[name] = (features if name == "features" else weights).clone()
            used[name][row, 2] = float(given[name])
    heads = [HeadData(torch.arange(60), labels, used.pop("seed"))]
    scale = used.pop("logit_scale")
    with pytest.raises(ValueError, match=message):
        next(tune_heads(used["features"], heads, used["weights"], TuneConfig(), logit_scale=scale))


@pytest.mark.parametrize(
    ("take", "message"),
    [
        (lambda x, y: (x, y[:, None]), "labels: expected one class number an image"),
        (lambda x, y: (x, y.float()), "labels: expected one class number an image"),
        (lambda x, y: (x, y + 1), "labels: expected classes 0 … 2, got 1 … 3"),
        (lambda x, y: (x[:5], y), "5 images but 60 labels"),
        (lambda x, y: (x[:0], y[:0]), "expected 1 rows or more"),
        (lambda x, y: (x[:, :5], y), "extract all with the same model"),
        (lambda x, y: (x * math.nan, y), "NaN or infinity in 60 of 60 rows"),
    ],
    ids=["column", "floats", "unknown class", "fewer images", "none", "other model", "NaN"],
)
def test_validation_images_need_a_label_each(problem, take, message, no_hook):
    features, labels, weights = problem
    heads = [HeadData(torch.arange(60), labels, seed=0)]
    shown = {"logit_scale": SCALE, "validation": take(features, labels)}
    with pytest.raises(ValueError, match=message):
        next(choose_config(features, heads, weights, **shown))


def test_labels_and_rows_of_any_whole_kind_train_the_same_head(problem, no_hook):
    features, labels, weights = problem
    rows, config = torch.arange(60), TuneConfig(num_steps=2)
    heads = [
        HeadData(rows, labels, seed=3),
        HeadData(rows.int(), labels.to(torch.uint8), seed=np.int64(3)),
        HeadData(rows.numpy(), labels.tolist(), seed=3),
    ]
    trained = last(tune_heads(features, heads, weights, config, logit_scale=SCALE)).heads
    assert torch.equal(trained.weights[1], trained.weights[0])
    assert torch.equal(trained.weights[2], trained.weights[0])
    with pytest.raises(ValueError, match="NaN"):
        trained.logits(features * math.nan)


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0, "0.1", True])
@pytest.mark.parametrize("name", ["learning_rate", "weight_decay", "num_steps", "batch_size"])
def test_settings_are_numbers(name, value, no_hook):
    with pytest.raises(ValueError, match=f"{name}: expected a "):
        TuneConfig(**{name: value})


def test_no_heads_and_empty_settings_are_refused(problem):
    features, _, weights = problem
    with pytest.raises(ValueError, match="no heads"):
        next(tune_heads(features, [], weights, TuneConfig(), logit_scale=SCALE))
    with pytest.raises(ValueError, match="num_steps"):
        TuneConfig(num_steps=0)
    with pytest.raises(ValueError, match="learning_rate"):
        TuneConfig(learning_rate=0.0)


def test_the_chosen_setting_is_the_most_accurate_and_the_first_among_equals(problem):
    features, labels, weights = problem
    heads = [HeadData(torch.arange(30), labels[:30], seed=0)]
    trials = list(
        choose_config(
            features,
            heads,
            weights,
            logit_scale=SCALE,
            validation=(features[30:], labels[30:]),
            batch_size=16,
        )
    )
    assert len(trials) == NUM_TRIALS
    *_, step = tune_heads(features, heads, weights, trials[5].config, logit_scale=SCALE)
    guess = step.heads.logits(features[30:])[0].argmax(-1)
    assert trials[5].accuracy == (guess == labels[30:]).double().mean().item()
    best = best_trial(trials)
    assert best.accuracy == max(trial.accuracy for trial in trials)
    assert trials.index(best) == [trial.accuracy for trial in trials].index(best.accuracy)
    tie = [Trial(TuneConfig(num_steps=n), 0.5) for n in (1, 2)]
    assert best_trial(tie) is tie[0]
    with pytest.raises(ValueError, match="no trials"):
        best_trial([])
