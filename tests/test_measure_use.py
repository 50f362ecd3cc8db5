"""What a generator is good for, on tiny images: who chooses, who is counted, what is kept."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from course_utils import tuning
from course_utils.examples import Example
from tools import measure_use
from tools.measure_use import Arm, Bank

NUM_CLASSES, PER_CLASS, WIDTH = 3, 8, 12


def bank(*, noise: float, per_class: int = PER_CLASS, seed: int = 0) -> Bank:
    """Make unit features around one direction a class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(NUM_CLASSES).repeat(per_class)
    spread = noise * torch.randn(len(labels), WIDTH, generator=generator)
    features = torch.nn.functional.normalize(torch.eye(WIDTH)[labels] + spread, dim=1)
    pixels = np.zeros((1, 1, 3), np.uint8)
    examples = tuple(Example(int(label), "real", pixels=pixels) for label in labels)
    return Bank(features, labels, examples)


@pytest.fixture(autouse=True)
def few_settings(monkeypatch):
    monkeypatch.setattr(tuning, "NUM_STEPS", (20,))
    monkeypatch.setattr(tuning, "LEARNING_RATES", (0.001, 0.1))


def test_half_of_what_a_head_sees_is_real_and_every_seed_draws_other_shots():
    real, extra = bank(noise=0.1), bank(noise=0.1, per_class=10, seed=1)
    arm = measure_use.make_arm("x", real, extra, {}, shots=2, seeds=4)
    for head in arm.heads:
        is_real = head.rows < len(real.labels)
        assert is_real.double().mean() == 0.5
        shots = head.rows[is_real].unique()
        assert torch.bincount(real.labels[shots]).tolist() == [2] * NUM_CLASSES
        assert torch.bincount(head.labels[is_real]).tolist() == [10] * NUM_CLASSES
        assert set(head.rows[~is_real].tolist()) == set(range(24, 54))
        both = torch.cat([real.labels, extra.labels])
        assert torch.equal(head.labels, both[head.rows])
    assert len({tuple(head.rows.tolist()) for head in arm.heads}) == 4
    alone = measure_use.make_arm("real only", real, None, {}, shots=2, seeds=4)
    for one, other in zip(arm.heads, alone.heads, strict=True):
        assert set(other.rows.tolist()) == set(one.rows[one.rows < 24].tolist())


def test_both_halves_have_every_class():
    held = bank(noise=0.1)
    one, other = measure_use.halves(held.labels)
    assert not (one & other).any()
    assert (one | other).all()
    for half in (one, other):
        assert torch.bincount(held.labels[half]).tolist() == [PER_CLASS // 2] * NUM_CLASSES


def test_a_setting_is_judged_on_the_half_that_did_not_choose_it(monkeypatch):
    held = bank(noise=0.1)
    first, second = measure_use.halves(held.labels)

    def fake(features, heads, weights, config, *, logit_scale):
        """Let the small rate be right on the first half only, the large one on the second."""
        right = first if config.learning_rate < 0.01 else second
        said = torch.where(right, held.labels, (held.labels + 1) % NUM_CLASSES)
        logits = torch.nn.functional.one_hot(said, NUM_CLASSES).double()[None]
        yield SimpleNamespace(heads=SimpleNamespace(logits=lambda _: logits))

    monkeypatch.setattr(tuning, "tune_heads", fake)
    real = bank(noise=0.1, seed=2)
    arm = measure_use.make_arm("x", real, None, {}, shots=1, seeds=1)
    hits, chosen = measure_use.judge(arm, torch.eye(WIDTH)[:NUM_CLASSES], 10.0, held)
    assert hits.sum() == 0  # each half chose the setting that fails on the other
    assert [config.learning_rate for config in chosen] == [0.1, 0.001]


def test_good_images_help_and_wrong_ones_do_not():
    real, held = bank(noise=0.6), bank(noise=0.6, per_class=30, seed=3)
    good = bank(noise=0.6, per_class=40, seed=4)
    order = torch.randperm(len(good.labels), generator=torch.Generator().manual_seed(0))
    wrong = Bank(good.features, good.labels[order], good.examples)
    text = torch.nn.functional.normalize(torch.ones(NUM_CLASSES, WIDTH), dim=1)
    size = {"shots": 1, "seeds": 4}
    arms = {"good": good, "wrong": wrong}
    hits = {
        name: measure_use.judge(
            measure_use.make_arm(name, real, extra, {}, **size), text, 10.0, held
        )[0].mean()
        for name, extra in {"real": None, **arms}.items()
    }
    assert hits["good"] > hits["real"] + 0.04
    assert hits["wrong"] < hits["good"] - 0.1


def test_a_later_run_replaces_its_own_rows_alone(tmp_path):
    path = tmp_path / "generator_use.csv"

    def row(arm: str, fingerprint: str, shots: int, gain: float) -> dict[str, object]:
        return {"arm": arm, "fingerprint": fingerprint, "shots": shots, "gain": gain}

    measure_use.write_table(path, [row("b", "old", 1, 0.1), row("b", "old", 2, 0.2)])
    measure_use.write_table(path, [row("b", "new", 1, 0.3), row("a", "", 1, 0.0)])
    measure_use.write_table(path, [row("b", "old", 2, 0.5)])
    with path.open(newline="") as file:
        rows = [(r["arm"], r["fingerprint"], r["shots"], r["gain"]) for r in csv.DictReader(file)]
    assert rows == [
        ("a", "", "1", "0"),
        ("b", "old", "1", "0.1"),
        ("b", "new", "1", "0.3"),
        ("b", "old", "2", "0.5"),
    ]


def test_an_arm_is_what_its_heads_learn_from():
    arm = measure_use.make_arm("real only", bank(noise=0.1), None, {"x": 1}, shots=3, seeds=2)
    assert isinstance(arm, Arm)
    assert (arm.name, len(arm.heads), arm.about) == ("real only", 2, {"x": 1})
    assert all(len(head.rows) == 9 for head in arm.heads)
