"""The design: the grid that a data set can serve, and what each head learns from."""

from dataclasses import replace

import jaxtyping
import pytest
import torch
from lab_world import (
    BLIND,
    DIM,
    GRID,
    NUM_CLASSES,
    NUM_TRAIN,
    SCALE,
    SEEN,
    WEIGHTS,
    Watched,
    draw_features,
    labels_of,
    make_bank,
    make_data,
    make_examples,
)

from course_utils import lab
from course_utils.runtime import Profile
from course_utils.tuning import TuneConfig
from course_utils.tuning.heads import batch_order

FEW = ("clip_filter", "soft_target", "real_filter", "language", "real_guidance", "adapted")


@pytest.fixture(scope="module")
def bank():
    return make_bank()


@pytest.fixture(scope="module")
def cells(bank):
    return cells_of(bank)


def cells_of(bank, grid=GRID):
    found = lab.draw_cells(grid, bank, WEIGHTS, logit_scale=SCALE)
    return {(cell.arm, cell.generator, cell.shots): cell for cell in found}


def rows_of(cells, *key, seed=0):
    cell = cells[key]
    return cell.heads[cell.seeds.index(seed)].rows.tolist()


def test_the_grid_has_every_arm_with_the_seeds_and_counts_that_its_name_promises(cells):
    expected = {("zero_shot", "", 0): ((0, 1, 2), None)}
    k, added = NUM_CLASSES, 6 * NUM_CLASSES
    for name in (BLIND, SEEN):
        expected["synthetic", name, 0] = (0, 1, 2), (0, added)
        for shots in (1, 2, 4):
            for arm in ("real+synthetic", "retrieval", "shuffled"):
                expected[arm, name, shots] = (0, 1, 2), (shots * k, added)
            expected["pooled", name, shots] = (0, 1, 2), (shots * k, k * min(4 * shots, 6))
        for arm in FEW:
            seeds = (0,) if arm == "adapted" else (0, 1)
            expected[arm, name, 4] = seeds, (4 * k, added)
    for shots in (1, 2, 4):
        expected["real", "", shots] = (0, 1, 2), (shots * k, 0)
    expected["more_real", "", 4] = (0, 1), (8 * k, 0)
    expected["augmented", "", 4] = (0, 1), (4 * k, added)
    assert set(cells) == set(expected)
    for key, (seeds, counts) in expected.items():
        assert cells[key].seeds == seeds
        assert len(cells[key].heads) == (len(seeds) if counts else 0)
        for head in cells[key].heads:
            assert (head.num_real, len(head.rows) - head.num_real) == counts, key


def test_every_arm_is_one_of_those_that_are_declared(cells):
    assert {arm for arm, _, _ in cells} == {*lab.ARMS} - {"pre_disaster"}
    assert lab.ARMS[:3] == ("zero_shot", "real", "synthetic")


def test_real_images_come_first_balanced_and_the_shots_of_a_seed_are_nested(cells):
    for seed in GRID.seeds:
        before: set[int] = set()
        for shots in GRID.shots:
            real = rows_of(cells, "real", "", shots, seed=seed)
            assert before < set(real) <= {*range(NUM_TRAIN * NUM_CLASSES)}
            assert [row % NUM_CLASSES for row in real] == [*range(NUM_CLASSES)] * shots
            for key, cell in cells.items():
                if key[2] == shots and seed in cell.seeds and key[0] != "more_real":
                    assert rows_of(cells, *key, seed=seed)[: len(real)] == real
            before = set(real)
        if seed in GRID.few_seeds:
            assert before < set(rows_of(cells, "more_real", "", 4, seed=seed))


def test_a_seed_redraws_real_images_drawings_and_the_order_of_batches(cells):
    for key in (("real", "", 4), ("synthetic", BLIND, 0), ("retrieval", SEEN, 4)):
        sets = {tuple(sorted(head.rows.tolist())) for head in cells[key].heads}
        assert len(sets) == len({head.seed for head in cells[key].heads}) == 3, key


def test_drawings_of_a_seed_are_the_same_at_all_shots_and_of_its_generator(cells, bank):
    for name in (BLIND, SEEN):
        alone = rows_of(cells, "synthetic", name, 0, seed=2)
        assert set(alone) <= set(bank.rows("drawn", name).tolist())
        for shots in GRID.shots:
            assert rows_of(cells, "real+synthetic", name, shots, seed=2)[3 * shots :] == alone


def test_images_come_from_where_the_arm_says(cells, bank):
    sources = {
        **{arm: ("drawn", None) for arm in ("pooled", "clip_filter", "soft_target", "real_filter")},
        "retrieval": ("retrieved", None),
        "language": ("language", None),
        "real_guidance": ("guided", 1),
        "adapted": ("adapted", 0),
    }
    for arm, (what, seed) in sources.items():
        head = cells[arm, SEEN, 4].heads[seed or 0]
        added = set(head.rows[head.num_real :].tolist())
        assert added <= set(bank.rows(what, SEEN, seed).tolist()), arm
    one, other = (rows_of(cells, "augmented", "", 4, seed=seed)[12:] for seed in (0, 1))
    assert set(one) <= set(bank.rows("augmented", seed=0).tolist())
    assert not set(one) & set(other)


def test_labels_are_those_of_the_images_unless_they_are_shuffled_or_soft(cells, bank):
    for key, cell in cells.items():
        for head in cell.heads:
            if key[0] != "soft_target":
                is_right = torch.equal(bank.labels[head.rows], head.labels)
                assert is_right == (key[0] != "shuffled"), key


def test_every_seed_shuffles_the_labels_in_its_own_way(cells):
    mixed = set()
    for seed in GRID.seeds:
        full, shuffled = (
            cells[arm, BLIND, 4].heads[seed] for arm in ("real+synthetic", "shuffled")
        )
        assert torch.equal(shuffled.rows, full.rows)
        assert torch.equal(shuffled.labels.sort().values, full.labels.sort().values)
        mixed.add(tuple(shuffled.labels.tolist()))
    assert len(mixed) == 3


def test_a_soft_label_is_half_the_drawing_s_and_half_what_zero_shot_makes_of_it(cells, bank):
    for head in cells["soft_target", BLIND, 4].heads:
        own = torch.eye(NUM_CLASSES)[bank.labels[head.rows]]
        assert torch.equal(head.labels[: head.num_real], own[: head.num_real])
        scores = SCALE * bank.features[head.rows] @ WEIGHTS.T / 2  # temperature
        teacher = scores.exp() / scores.exp().sum(1, keepdim=True)
        expected = (own + teacher)[head.num_real :] / 2
        torch.testing.assert_close(head.labels[head.num_real :], expected)


def test_the_clip_filter_keeps_likely_drawings_or_the_likeliest_of_a_class(cells, bank):
    shares = (SCALE * bank.features @ WEIGHTS.T).softmax(1)
    own = shares.gather(1, bank.labels[:, None])[:, 0]
    pool = bank.rows("drawn", SEEN)
    for head in cells["clip_filter", SEEN, 4].heads:
        added = head.rows[head.num_real :]
        for k in range(NUM_CLASSES):
            found = sorted(own[pool[bank.labels[pool] == k]].tolist(), reverse=True)
            kept = sorted(own[added[bank.labels[added] == k]].tolist(), reverse=True)
            likely = [each for each in found if each > 1 / NUM_CLASSES]
            assert len(kept) == 6
            assert set(kept) <= set(likely) if len(likely) >= 6 else kept == found[:6]


@pytest.mark.parametrize("share", [0.5, 0.25])
def test_every_batch_has_the_same_share_of_real_images(bank, share):
    grid = replace(GRID, real_share=share)
    config = TuneConfig(num_steps=9)
    for (arm, _, shots), cell in cells_of(bank, grid).items():
        for head in cell.heads:
            real = (batch_order(head, config) < head.num_real).double().mean(1)
            if arm in ("real", "more_real"):
                assert (real == 1).all()
            elif arm == "synthetic":
                assert (real == 0).all()
            elif arm == "pooled":
                assert real.mean() == pytest.approx(head.num_real / len(head.rows), abs=0.05)
            else:
                assert (real == share).all(), (arm, shots)


def test_images_that_are_not_there_leave_their_arms_out_and_the_others_as_they_were(bank, cells):
    few = make_bank(names=(BLIND,))
    fewer = cells_of(few)
    assert {key for key in cells if key[1] != SEEN} == set(fewer)
    for key, cell in fewer.items():
        for head, before in zip(cell.heads, cells[key].heads, strict=True):
            assert torch.equal(few.features[head.rows], bank.features[before.rows])
            assert torch.equal(head.labels, before.labels)
    real = bank.rows("real")
    alone = cells_of(lab.Bank.of(bank.features[real], bank.labels[real]))
    assert {arm for arm, _, _ in alone} == {"zero_shot", "real", "more_real"}


def test_what_was_there_before_a_disaster_is_an_arm_where_it_was_drawn_from(bank):
    few = labels_of(6)
    more = bank.add("before", draw_features(few, seed=9), few, generator=BLIND, seed=1)
    cell = cells_of(more)["pre_disaster", BLIND, 4]
    assert cell.seeds == (1,)
    assert set(cell.heads[0].rows[12:].tolist()) == set(more.rows("before", BLIND, 1).tolist())


def test_shots_beyond_a_class_are_left_out_of_the_cells(bank):
    found = cells_of(bank, replace(GRID, shots=(4, 13), seeds=(0,)))
    assert {shots for _, _, shots in found} == {0, 4}


def test_a_learner_s_own_look_at_the_shots_is_what_the_heads_learn_from(cells):
    train = make_data().train
    for seed in GRID.seeds:
        shown = lab.shots_of(train, 4, seed)
        assert shown == [train[row] for row in rows_of(cells, "real", "", 4, seed=seed)]


def test_more_shots_than_images_are_said_with_the_class():
    with pytest.raises(ValueError, match="class 0 has 12 images: 13 of each are too many"):
        lab.shots_of(make_data().train, 13, 0)


def test_a_bank_replaces_images_that_are_added_again(bank):
    few = labels_of(1)
    features = draw_features(few, seed=0)
    again = bank.add("drawn", features, few, generator=BLIND)
    rows = again.rows("drawn", BLIND)
    assert torch.equal(again.features[rows], features)
    assert torch.equal(again.labels[rows], few)
    kept = again.rows("real")
    assert torch.equal(again.features[kept], bank.features[bank.rows("real")])


@pytest.mark.parametrize("wrong", ["labels", "width", "nan"])
def test_a_bank_takes_images_of_one_model(bank, wrong, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    few = labels_of(1)
    features = draw_features(few, seed=0)
    if wrong == "width":
        features = torch.ones(3, DIM + 1)
    if wrong == "nan":
        features[1] = torch.nan
    labels = few[:2] if wrong == "labels" else few
    messages = {"width": "same model", "nan": "NaN"}
    with pytest.raises(ValueError, match=messages.get(wrong, "labels")):
        bank.add("other", features, labels, generator=BLIND)


@pytest.mark.parametrize(
    ("num_train", "num_synthetic", "expected"),
    [
        (70, 800, ((1, 2, 4, 8, 16, 64), 80, 40, 4)),
        (20, 30, ((1, 2, 4, 8, 16), 10, 5, 4)),
        (3, 6, ((1, 2), 2, 1, 2)),
    ],
)
def test_a_grid_is_as_large_as_the_data_allow(num_train, num_synthetic, expected):
    profile = Profile(num_seeds=2, num_synthetic=num_synthetic)
    grid = lab.plan_grid(profile, make_data(num_train=num_train, kind=Watched), seed=7)
    assert (grid.shots, grid.pool_per_class, grid.per_class, grid.few) == expected
    assert (grid.seeds, grid.few_seeds) == ((7, 8), (7, 8))
    assert grid.generators == profile.pool_generators
    left = ", ".join(map(str, lab.SHOTS[len(grid.shots) :]))
    said = f"{left} real images a class are left out: class a has {num_train}."
    assert grid.notes == ((said,) if left else ())


def test_classes_without_validation_images_are_named():
    data = make_data(num_train=64)
    data = replace(data, validation=make_examples([1], 0))
    assert lab.plan_grid(Profile(), data, seed=0).notes == (
        "Validation has no image of a, ü <c>: settings are chosen without them.",
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test": ()}, "expected two test images or more, got 0: add some"),
        ({"test": make_examples([0], 0)}, "expected two test images or more, got 1: add some"),
        ({"validation": ()}, "expected validation images, got 0: add some"),
        ({"train": make_examples([0, 2], 0)}, "class 'b' has no training image: add some"),
    ],
)
def test_what_no_grid_can_be_made_of_is_said_before_any_work(change, message):
    with pytest.raises(ValueError, match=message):
        lab.plan_grid(Profile(), replace(make_data(), **change), seed=0)


def test_too_many_classes_for_the_pool_are_refused():
    with pytest.raises(ValueError, match="3 classes are too many for a pool of 5 synthetic images"):
        lab.plan_grid(Profile(num_synthetic=5), make_data(), seed=0)


def test_every_seed_of_the_course_has_seeds_that_follow_it():
    seeds = lab.plan_grid(Profile(num_seeds=3), make_data(), seed=2**63 - 2).seeds
    assert seeds == (2**63 - 2, 2**63 - 1, 0)


def test_prompts_take_turns_over_classes_and_templates():
    prompts, labels = lab.write_prompts(["x", "y"], ["{} above", "below {}"], per_class=3)
    assert labels == [0, 1, 0, 1, 0, 1]
    assert prompts == ["x above", "y above", "below x", "below y", "x above", "y above"]


def test_a_phrase_with_braces_is_taken_as_it_is():
    assert lab.write_prompts(["{0} {x}"], ["a {}"], per_class=1)[0] == ["a {0} {x}"]
