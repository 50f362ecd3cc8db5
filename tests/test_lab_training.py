"""Training: what is interrupted goes on, what is damaged is mended, and no test label is read."""

import shutil
from dataclasses import replace
from functools import partial
from itertools import islice

import jaxtyping
import pytest
import torch
from lab_world import (
    BLIND,
    FEATURES,
    GRID,
    NUM_TEST,
    SCALE,
    WEIGHTS,
    Watched,
    exam_of,
    judge,
    labels_of,
    make_bank,
    make_data,
    make_examples,
    shorten,
    train,
)
from safetensors.torch import save

from course_utils import lab
from course_utils.lab import training
from course_utils.runtime import Profile, write_sealed
from course_utils.tuning import HeadData, tune_heads

SMALL = replace(GRID, shots=(1, 4), seeds=(0, 1), generators=(BLIND,))


@pytest.fixture(scope="module", autouse=True)
def few_steps():
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch)
        yield


@pytest.fixture(scope="module")
def bank():
    return make_bank(names=(BLIND,))


@pytest.fixture(scope="module")
def cells(bank):
    return lab.draw_cells(SMALL, bank, WEIGHTS, logit_scale=SCALE)


@pytest.fixture(scope="module")
def run(bank, cells):
    """Train the small grid; give an iterator."""
    return partial(lab.train_cells, cells, bank, WEIGHTS, logit_scale=SCALE)


@pytest.fixture(scope="module")
def fits(run, tmp_path_factory):
    """Train it once, and keep it where others copy it from."""
    cache = tmp_path_factory.mktemp("heads")
    return list(run(cache=cache)), cache


@pytest.fixture
def trained(monkeypatch):
    """Count the cells that are really trained."""
    counted, real = [], training._train
    monkeypatch.setattr(training, "_train", lambda *all_: counted.append(1) or real(*all_))
    return counted


def is_same(one: lab.Fit, other: lab.Fit) -> bool:
    return torch.equal(one.weights, other.weights) and torch.equal(one.bias, other.bias)


def test_every_cell_is_trained_at_every_setting_as_a_head_alone_would_be(bank, fits):
    for fit in fits[0]:
        assert fit.weights.shape == (4, len(fit.cell.seeds), *WEIGHTS.shape)
        if fit.cell.shots == 4 and fit.cell.arm in ("real", "real+synthetic", "soft_target"):
            for i, config in enumerate(training.SETTINGS):
                head = fit.cell.heads[-1]
                *_, step = tune_heads(bank.features, [head], WEIGHTS, config, logit_scale=SCALE)
                close = partial(torch.testing.assert_close, rtol=1e-4, atol=1e-4)
                close(fit.weights[i, -1], step.heads.weights[0])
                close(fit.bias[i, -1], step.heads.bias[0])


def test_zero_shot_is_the_text_classifier_itself(fits):
    (fit,) = (fit for fit in fits[0] if fit.cell.arm == "zero_shot")
    expected = SCALE * FEATURES["test"] @ WEIGHTS.T
    for i in range(len(training.SETTINGS)):
        for logits in fit.logits(FEATURES["test"], i):
            torch.testing.assert_close(logits, expected)


def test_settings_beside_the_grid_are_twelve_with_fewest_steps_first_and_one_fixed():
    settings = [(c.num_steps, c.learning_rate) for c in lab.SETTINGS]
    assert len(set(settings)) == 12
    assert settings == sorted(settings)
    assert settings[lab.FIXED] == (100, 0.03)


def test_what_is_stopped_after_any_cell_goes_on_there_with_the_same_numbers(
    run, fits, tmp_path, trained
):
    whole, num = fits[0], len(fits[0])
    for done in range(num + 1):
        found = list(islice(run(cache=tmp_path), done))
        assert [fit.cached for fit in found[1:]] == [True] * (done - 2) + [False] * (done > 1)
        assert all(map(is_same, found, whole))
    assert len(trained) == num - 1  # nothing twice; the first is zero-shot
    assert all(fit.cached for fit in list(run(cache=tmp_path))[1:])


def test_what_is_killed_in_the_midst_of_a_cell_keeps_those_before(run, fits, tmp_path, monkeypatch):
    real, calls = training._train, []

    def stop(*given):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(training, "_train", stop)
    with pytest.raises(KeyboardInterrupt):
        list(run(cache=tmp_path))
    found = list(run(cache=tmp_path))
    assert [fit.cached for fit in found].count(True) == 2
    assert all(map(is_same, found, fits[0]))


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "other shape", "other words", "folder"])
def test_a_damaged_cell_is_trained_again_and_the_others_are_read(run, fits, tmp_path, damage):
    cache = tmp_path / "heads"
    shutil.copytree(fits[1], cache)
    path = sorted(cache.iterdir())[2]
    data = path.read_bytes()
    if damage == "folder":
        path.unlink()
        path.mkdir()
    elif damage.startswith("other"):
        name = "weights" if damage == "other shape" else "w"
        write_sealed(path, save({name: torch.ones(2, 2), "bias": torch.ones(2, 2)}))
    else:
        kinds = {"cut": data[:-1], "empty": b"", "bit": data[:90] + b"\7" + data[91:]}
        path.write_bytes(kinds[damage])
    found = list(run(cache=cache))
    assert [fit.cached for fit in found[1:]].count(False) == 1
    assert all(map(is_same, found, fits[0]))
    assert path.read_bytes() == data


def test_a_cell_is_known_by_everything_that_decides_its_heads(bank, cells, fits):
    cell = next(cell for cell in cells if cell.arm == "real+synthetic")
    head = cell.heads[0]

    def key(bank=bank, weights=WEIGHTS, scale=SCALE, **change):
        heads = (replace(head, **change), *cell.heads[1:])
        return training._key(replace(cell, heads=heads), bank, weights, scale)

    moved = bank.features.clone()
    moved[head.rows[0], 0] += 1e-6
    found = [
        key(replace(bank, features=moved)),
        key(weights=WEIGHTS.flip(0)),
        key(scale=SCALE + 1),
        key(labels=head.labels.flip(0)),
        key(seed=head.seed + 1),
        key(real_share=0.25),
        key(order="real_first"),
        key(num_real=head.num_real + 1),
    ]
    assert len({key(), *found}) == 1 + len(found)
    assert f"{key()}.safetensors" in {path.name for path in fits[1].iterdir()}
    extra = bank.add("other", FEATURES["test"], labels_of(NUM_TEST))
    assert key(extra) == key()  # not by images that it does not have


def test_without_a_cache_nothing_is_kept(run, fits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = list(run())
    assert not any(fit.cached for fit in found)
    assert all(map(is_same, found, fits[0]))
    assert not list(tmp_path.iterdir())


def test_the_setting_of_a_cell_is_the_best_on_validation_and_the_first_of_equals(fits):
    features, labels = FEATURES["validation"], labels_of(6)
    chosen = lab.choose_settings(fits[0], features, labels)
    for fit, i in zip(fits[0], chosen, strict=True):
        shares = [
            sum((head @ features.T + b[:, None]).argmax(0).eq(labels).double().mean().item()
                for head, b in zip(w, bias, strict=True)) / len(w)
            for w, bias in zip(fit.weights, fit.bias, strict=True)
        ]  # fmt: skip
        assert shares == pytest.approx(lab.validation_accuracies(fit, features, labels))
        assert i == next(j for j, share in enumerate(shares) if share > max(shares) - 1e-9)
    assert chosen[0] == 0  # zero-shot, the same at all


def test_validation_needs_a_label_for_each_image(fits, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match="got 18 images but 5 labels"):
        lab.choose_settings(fits[0], FEATURES["validation"], labels_of(6)[:5])


def test_no_test_label_is_read_before_all_settings_are_chosen(monkeypatch):
    data = make_data(kind=Watched)
    grid = replace(SMALL, shots=(1,), few=1)
    lab.plan_grid(Profile(), data, seed=0)
    fits = train(make_bank(names=(BLIND,)), grid=grid)
    exam = exam_of(data)
    chosen = lab.choose_settings(fits, exam.choose[0], exam.labels("choose"))
    lab.preview(fits, exam.choose[0], exam.labels("choose"))
    with pytest.raises(pytest.fail.Exception, match="a label of the test part was read"):
        exam.labels("judge")  # the guard works
    monkeypatch.setattr(Watched, "is_open", True)
    results, again = judge(fits, exam, grid=grid)
    assert again == chosen
    assert results.content["num_test"] == len(data.test)


def test_other_test_labels_change_the_accuracies_and_no_setting_and_no_head(fits):
    data = make_data()
    other = replace(data, test=make_examples(((labels_of(NUM_TEST) + 1) % 3).tolist(), 2000))
    found = [judge(fits[0], exam_of(each)) for each in (data, other)]
    assert found[0][1] == found[1][1]
    one, two = (results.content for results, _ in found)
    assert one["settings"] == two["settings"]
    assert one["rows"] != two["rows"]
    guesses = [results.predictions["prediction"] for results, _ in found]
    assert guesses[0].equals(guesses[1])


def test_while_building_half_of_validation_judges_and_no_test_image_is_looked_at(fits):
    data = make_data(kind=Watched)
    nothing = torch.full_like(FEATURES["test"], torch.nan)
    exam = exam_of(data, evaluate="validation", test=nothing)
    for part, rows in (("choose", range(9)), ("judge", range(9, 18))):
        features, shown = getattr(exam, part)
        assert torch.equal(features, FEATURES["validation"][list(rows)])
        assert list(shown) == [data.validation[i] for i in rows]
        assert torch.bincount(exam.labels(part)).tolist() == [3, 3, 3]
    results, _ = judge(fits[0], exam)
    assert results.content["num_test"] == 9
    names = set(results.predictions["image"].to_pylist())
    assert len(names) == 9


@pytest.mark.parametrize("evaluate", ["tests", "", "train"])
def test_another_part_does_not_judge(evaluate, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match="evaluate: expected one of validation, test, got"):
        exam_of(make_data(), evaluate=evaluate)


def test_an_exam_has_a_row_of_features_for_every_image():
    with pytest.raises(ValueError, match="got 179 rows of features, 180 examples"):
        exam_of(make_data(), test=FEATURES["test"][1:])


def test_test_features_with_nan_are_said(fits):
    spoiled = FEATURES["test"].clone()
    spoiled[4] = torch.nan
    with pytest.raises(ValueError, match=r"NaN or infinity in 1 of .* first in row 4"):
        judge(fits[0], exam_of(make_data(), test=spoiled))


def test_seeds_beside_each_other_do_not_touch_each_other(bank):
    head = HeadData(torch.arange(6), bank.labels[:6], seed=1)
    pair = lab.Cell("real", "", 2, (0, 1), (head, replace(head, seed=2)))
    alone = lab.Cell("real", "", 2, (0,), (head,))
    fits = lab.train_cells([pair, alone], bank, WEIGHTS, logit_scale=SCALE)
    both, one = list(fits)
    torch.testing.assert_close(both.weights[:, :1], one.weights)
