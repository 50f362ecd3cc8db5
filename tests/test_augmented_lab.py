"""Augmented copies, dials and the small transformer: what is made is what was asked for."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
import shapely
import torch

from course_utils import augment, lab
from course_utils.examples import Example
from course_utils.lab.from_scratch import small_vit
from course_utils.runtime import seeded

SIDE = 64


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Networks this small only wait for a second thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def picture(seed: int, *, size: tuple[int, int] = (SIDE, SIDE)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def some_examples(num: int = 6) -> list[Example]:
    return [Example(i % 3, "real", pixels=picture(i)) for i in range(num)]


def copies(augmentation, examples=None, **settings):
    options = {"num_classes": 3, "num_copies": 2, "generator": seeded(0), "size": SIDE}
    return lab.augmented_copies(examples or some_examples(), augmentation, **options | settings)


# --- copies --------------------------------------------------------------------------------------


def test_copies_that_change_nothing_are_the_images_round_after_round():
    made = copies(augment.Compose(()))
    assert len(made.examples) == 12
    for example, expected in zip(made.examples, some_examples() * 2, strict=True):
        assert np.array_equal(example.pixels, expected.pixels)
        assert example.label == expected.label
    assert torch.equal(made.targets.argmax(1), torch.tensor([0, 1, 2, 0, 1, 2] * 2))


def test_copies_differ_from_each_other_and_are_drawn_from_the_generator():
    first, again, other = (
        copies(augment.Rotate(), generator=seeded(seed)).examples for seed in (0, 0, 1)
    )
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a.pixels, b.pixels) for a, b in zip(first, other, strict=True))
    assert not np.array_equal(first[0].pixels, first[6].pixels)


def test_mixed_copies_have_soft_labels_and_the_label_of_the_larger_share():
    made = copies(augment.Mixup(alpha=1), num_copies=5)
    assert ((made.targets > 0.1) & (made.targets < 0.9)).any()
    torch.testing.assert_close(made.targets.sum(1), torch.ones(30))
    assert [e.label for e in made.examples] == made.targets.argmax(1).tolist()


def test_images_of_other_sizes_are_brought_to_one():
    examples = [Example(0, "real", pixels=picture(0, size=s)) for s in ((80, 64), (64, 100))]
    made = copies(augment.QuarterTurn(), examples, size=32)
    assert {example.pixels.shape for example in made.examples} == {(32, 32, 3)}


def test_buildings_are_pasted_from_other_examples():
    examples = [
        Example(k, "real", pixels=np.full((SIDE, SIDE, 3), 80 * k, np.uint8)) for k in (0, 1)
    ]
    roof = shapely.box(10, 10, 20, 30)
    for seed in range(6):  # until the two meet
        made = copies(
            augment.CopyPaste(1),
            examples,
            polygons=[[], [roof]],
            generator=seeded(seed),
            num_copies=1,
        )
        if made.examples[0].pixels.any():
            break
    assert (made.examples[0].pixels == 80).all(-1).sum() == 200
    assert made.targets[0, 1].item() == pytest.approx(200 / SIDE**2)


@pytest.mark.parametrize("name", lab.FAMILIES)
def test_every_family_makes_bytes_and_labels_that_sum_to_one(name):
    polygons = [[shapely.box(5, 5, 30, 30)]] * 6
    made = copies(lab.FAMILIES[name], polygons=polygons if name == "copy_paste" else None)
    assert all(e.pixels.dtype == np.uint8 for e in made.examples)
    torch.testing.assert_close(made.targets.sum(1), torch.ones(12))
    assert not all(
        np.array_equal(a.pixels, b.pixels)
        for a, b in zip(made.examples, some_examples() * 2, strict=True)
    )


def test_what_is_legal_leaves_labels_alone():
    assert set(copies(lab.FAMILIES["legal"]).targets.unique().tolist()) == {0.0, 1.0}
    parts = {type(part).__name__ for part in lab.FAMILIES["legal"].augmentations}
    assert not parts & {"Hue", "Mixup", "CutMix", "CopyPaste", "Cutout"}


def test_no_examples_no_copies_and_labels_outside_the_classes_are_refused():
    with pytest.raises(ValueError, match="0 examples"):
        lab.augmented_copies(
            [], augment.Flip(), num_classes=3, num_copies=1, generator=seeded(0), size=8
        )
    with pytest.raises(ValueError, match="0 copies"):
        copies(augment.Flip(), num_copies=0)
    with pytest.raises(ValueError, match="expected 0 to 1"):
        copies(augment.Flip(), num_classes=2)


# --- dials ---------------------------------------------------------------------------------------


def some_batch(num: int = 4) -> augment.Batch:
    masks = torch.zeros(num, SIDE, SIDE, dtype=torch.int64)
    masks[:, 8:24, 8:24] = torch.arange(1, num + 1)[:, None, None]
    return augment.Batch(
        torch.rand(num, 3, SIDE, SIDE, generator=seeded(1)),
        masks=masks,
        polygons=[[shapely.box(8, 8, 24, 24)]] * num,
        targets=torch.eye(num),
    )


@pytest.mark.parametrize("name", [name for name, dial in lab.DIALS.items() if dial.keeps_label])
def test_the_first_strength_of_a_dial_changes_nothing_and_others_do(name):
    batch, dial = some_batch(), lab.DIALS[name]
    same = lab.apply_dial(batch, name, dial.strengths[0], generator=seeded(2))
    torch.testing.assert_close(same.images, batch.images, rtol=0, atol=1e-5)
    assert torch.equal(same.masks, batch.masks)
    for strength in dial.strengths[1:]:
        changed = lab.apply_dial(batch, name, strength, generator=seeded(2))
        assert not torch.allclose(changed.images, batch.images, atol=1e-3)
        assert torch.equal(changed.targets, batch.targets)


@pytest.mark.parametrize("name", [name for name, dial in lab.DIALS.items() if not dial.keeps_label])
def test_dials_that_mix_images_mix_their_labels(name):
    found = lab.apply_dial(some_batch(), name, lab.DIALS[name].strengths[-1], generator=seeded(2))
    assert not torch.equal(found.targets, torch.eye(4))
    assert (found.masks is None) == (name == "mixup")


def test_every_augmentation_of_the_package_has_a_dial():
    kinds = {type(dial.make(dial.strengths[-1])) for dial in lab.DIALS.values()}
    every = {value for value in vars(augment).values() if hasattr(value, "draw")}
    assert every - kinds <= {augment.Compose, augment.Augmentation}


def test_what_comes_from_outside_is_black_only_where_polygons_have_to_follow():
    batch = some_batch()
    for part, is_black in ((batch, True), (dataclasses.replace(batch, polygons=None), False)):
        turned = lab.apply_dial(part, "rotation", 45, generator=seeded(0))
        assert (turned.images[:, :, 0, 0] == 0).all().item() == is_black


def test_an_unknown_dial_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="no augmentation 'blur': expected one of quarter_turns"):
        lab.apply_dial(some_batch(), "blur", 1, generator=seeded(0))


# --- the small transformer -----------------------------------------------------------------------


def two_colors(num: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """Dark and bright images, which any network can tell apart."""
    labels = torch.arange(num) % 2
    noise = 0.2 * torch.rand(num, 3, SIDE, SIDE, generator=seeded(3))
    return noise + 0.6 * labels[:, None, None, None], labels


def train(regularization="none", augmentation="none", *, seed=0, num_steps=15):
    *_, last = lab.train_vit(
        *two_colors(),
        num_classes=2,
        augmentation=lab.AUGMENTATIONS[augmentation],
        regularization=lab.REGULARIZATIONS[regularization],
        seed=seed,
        num_steps=num_steps,
    )
    return last


def test_a_network_learns_what_is_easy_and_comes_in_eval_mode():
    last = train()
    assert last.step == 14
    assert not last.net.training
    images, labels = two_colors()
    assert torch.equal(lab.classify(last.net, images), labels)


@pytest.mark.parametrize(
    ("regularization", "augmentation"), [("none", "none"), ("strong", "strong")]
)
def test_the_same_seed_trains_the_same_network_with_dropout_as_well(regularization, augmentation):
    first, again = (train(regularization, augmentation, num_steps=3) for _ in range(2))
    other = train(regularization, augmentation, seed=1, num_steps=3)
    assert first.loss == again.loss
    assert first.loss != other.loss
    for one, two in zip(first.net.parameters(), again.net.parameters(), strict=True):
        assert torch.equal(one, two)


@pytest.mark.changes_random_state  # weights are drawn as timm does
def test_dropout_is_drawn_anew_each_step_and_is_where_it_was_asked_for():
    strong = small_vit(2, lab.REGULARIZATIONS["strong"])
    dropped = {m.p for m in strong.modules() if isinstance(m, torch.nn.Dropout) and m.p > 0}
    assert dropped == {0.3}
    paths = [block.drop_path1.drop_prob for block in strong.blocks[1:]]
    assert paths == pytest.approx([0.1, 0.2, 0.3])
    images, _ = two_colors(4)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        assert not torch.equal(strong.train()(images), strong(images))


def test_a_label_outside_the_classes_is_refused():
    images, labels = two_colors()
    with pytest.raises(ValueError, match="expected 0 to 1"):
        next(
            lab.train_vit(
                images,
                labels + 1,
                num_classes=2,
                augmentation=augment.Flip(),
                regularization=lab.REGULARIZATIONS["none"],
                seed=0,
            )
        )
