"""Planned batches: the real share that they promise, epochs, phases."""

import jaxtyping
import pytest
import torch

from course_utils.runtime import seeded
from course_utils.tuning import mixed_rows

REAL, SYNTHETIC = torch.tensor([3, 5, 8]), torch.arange(100, 120)
SETTINGS = {"num_steps": 12, "batch_size": 10}


@pytest.fixture
def no_hook(monkeypatch):
    """Run as learners do: nobody checks the annotations, so the package must."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def is_real(rows):
    return rows < 100


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.9, 1.0])
def test_every_batch_has_the_real_share_that_was_asked_for(share):
    rows = mixed_rows(REAL, SYNTHETIC, **SETTINGS, real_share=share, generator=seeded(0))
    assert rows.shape == (12, 10)
    assert (is_real(rows).sum(dim=1) == round(10 * share)).all()
    assert set(rows.flatten().tolist()) <= {*REAL.tolist(), *SYNTHETIC.tolist()}


@pytest.mark.parametrize("order", ["mix", "real_first", "synthetic_first"])
def test_each_kind_is_seen_as_a_whole_before_any_image_is_seen_again(order):
    rows = mixed_rows(REAL, SYNTHETIC, **SETTINGS, order=order, generator=seeded(1)).flatten()
    for kind, few in ((REAL, rows[is_real(rows)]), (SYNTHETIC, rows[~is_real(rows)])):
        counts = torch.bincount(few, minlength=120)[kind]
        assert counts.max() - counts.min() <= 1
        assert sorted(few[: len(kind)].tolist()) == kind.tolist()
        assert few[: len(kind)].tolist() != few[len(kind) : 2 * len(kind)].tolist()


@pytest.mark.parametrize("order", ["real_first", "synthetic_first"])
def test_phases_show_as_many_real_images_as_the_mix_but_one_kind_at_a_time(order):
    options = {**SETTINGS, "real_share": 0.25, "order": order}
    rows = is_real(mixed_rows(REAL, SYNTHETIC, **options, generator=seeded(1)))
    phases = rows.all(dim=1).tolist()
    assert (rows.all(dim=1) | ~rows.any(dim=1)).all()
    expected = [True] * 3 + [False] * 9
    assert phases == (expected if order == "real_first" else expected[::-1])


@pytest.mark.parametrize("order", ["mix", "real_first"])
def test_where_one_kind_is_missing_batches_are_full_of_the_other(order):
    for real, synthetic in ((REAL, SYNTHETIC[:0]), (REAL[:0], SYNTHETIC)):
        rows = mixed_rows(real, synthetic, **SETTINGS, order=order, generator=seeded(0))
        assert rows.shape == (12, 10)
        assert (is_real(rows) == (len(real) > 0)).all()


def test_the_generator_decides_and_nothing_else():
    one, two, three = (
        mixed_rows(REAL, SYNTHETIC, **SETTINGS, generator=seeded(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, three)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"real": REAL[:0], "synthetic": SYNTHETIC[:0]}, "no images to train on"),
        ({"order": "shuffled"}, "order: expected one of mix, synthetic_first, real_first"),
        ({"real_share": 1.2}, "real_share: expected a number"),
        ({"num_steps": 0}, "num_steps: expected a whole number"),
        ({"batch_size": 0}, "batch_size: expected a whole number"),
    ],
)
def test_plans_that_mean_nothing_are_refused(given, message, no_hook):
    used = {"real": REAL, "synthetic": SYNTHETIC, **SETTINGS, **given}
    with pytest.raises(ValueError, match=message):
        mixed_rows(used.pop("real"), used.pop("synthetic"), **used, generator=seeded(0))
