"""The experiment's design and its verdicts, on features whose truth is known."""

import html
import json

import jaxtyping
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch.nn import functional

from course_utils import lab
from course_utils.examples import Example, Splits
from course_utils.metrics import accuracy, macro_f1
from course_utils.runtime import Profile, seeded
from course_utils.tuning import TuneConfig

SHOTS, CLASSES, DIM = 3, 3, 40
BUDGET = lab.Budget(shots=SHOTS, pool_per_class=30, seeds=(0, 1, 2))
HEADER = {
    "profile": "mini",
    "data": "a test",
    "model": "m",
    "generator": "g",
    "stand_ins": [],
}
CONFIG = TuneConfig(num_steps=60, learning_rate=0.2, batch_size=16)


POOL = tuple(
    Example(i % CLASSES, "synthetic", pixels=np.full((1, 1, 3), i, np.uint8))
    for i in range(30 * CLASSES)
)


def make_data(num_test: int = 90, num_train: int = 12) -> Splits:
    def part(num: int, start: int) -> tuple[Example, ...]:
        pixels = [np.full((1, 1, 3), (*divmod(start + i, 256), 0), np.uint8) for i in range(num)]
        return tuple(Example(i % CLASSES, "real", pixels=p) for i, p in enumerate(pixels))

    return Splits(
        train=part(num_train * CLASSES, 0),
        validation=part(2 * CLASSES, 40),
        test=part(num_test, 60),
        class_names=("a", "b", "ü <c>"),
        phrases=("a", "b", "c"),
        name="a test",
    )


def labels_of(examples: tuple[Example, ...]) -> torch.Tensor:
    return torch.tensor([example.label for example in examples])


def draw_features(labels: torch.Tensor, *, seed: int, signal: float) -> torch.Tensor:
    """Unit rows around one center a class; signal 0 says nothing about the class."""
    centers = torch.eye(DIM)[:CLASSES]
    noise = torch.randn(len(labels), DIM, generator=seeded(seed)) * 0.3
    return functional.normalize(signal * centers[labels] + noise, dim=-1)


def run(signal: float, *, seen: bool = False, wrong: bool = False) -> tuple[lab.Results, list]:
    """Run the lab with synthetic features of a given quality."""
    data = make_data(num_test=300)
    pool = labels_of(POOL)
    told = (pool + 1) % CLASSES if wrong else pool
    bank = [draw_features(labels_of(data.train), seed=1, signal=1.0)]
    bank.append(draw_features(told, seed=2, signal=signal))
    if seen:
        bank.append(draw_features(pool, seed=3, signal=1.0))
    arms = lab.draw_arms(data.train, POOL, BUDGET, seen=POOL if seen else ())
    weights = functional.normalize(
        torch.eye(DIM)[:CLASSES] + 0.6 * torch.randn(CLASSES, DIM, generator=seeded(4)), dim=-1
    )
    test = draw_features(labels_of(data.test), seed=5, signal=1.0)
    *_, last = lab.run_arms(arms, torch.cat(bank), weights, CONFIG, test=test, logit_scale=10.0)
    return lab.tabulate(arms, last.predictions, data, shots=SHOTS, header=HEADER), arms


@pytest.fixture(scope="module")
def good():
    return run(1.0)


def summary_of(results: lab.Results) -> dict:
    return {(entry["arm"], entry["ratio"]): entry for entry in results.content["summary"]}


def test_every_arm_has_every_seed_and_the_counts_that_its_name_promises(good):
    results, _ = good
    rows = {(r["arm"], r["ratio"], r["seed"]): r for r in results.content["rows"]}
    n = SHOTS * CLASSES
    expected = {("zero_shot", 0): (0, 0), ("real", 0): (n, 0), ("real_duplicated", 0): (5 * n, 0)}
    expected |= {("synthetic", r): (0, r * n) for r in lab.RATIOS}
    expected |= {("real+synthetic", r): (n, r * n) for r in lab.RATIOS}
    expected |= {("shuffled", 4): (n, 4 * n)}
    assert set(rows) == {(*key, seed) for key in expected for seed in BUDGET.seeds}
    for (arm, ratio, _), row in rows.items():
        assert (row["num_real"], row["num_synthetic"]) == expected[arm, ratio]
        assert row["shots"] == (0 if arm == "zero_shot" else SHOTS)


def test_results_have_exactly_the_fields_of_the_contract(good):
    content = good[0].content
    assert list(content) == [
        "version", "profile", "data", "model", "generator", "stand_ins",
        "class_names", "num_test", "rows", "summary",
    ]  # fmt: skip
    assert content["version"] == 1
    assert list(content["rows"][0]) == [
        "arm", "ratio", "shots", "seed", "num_real", "num_synthetic", "accuracy", "macro_f1",
    ]  # fmt: skip
    fields = {"arm", "ratio", "accuracy", "accuracy_low", "accuracy_high", "macro_f1", "verdict"}
    for entry in content["summary"]:
        assert fields <= set(entry)
        assert 0 <= entry["accuracy_low"] <= entry["accuracy"] <= entry["accuracy_high"] <= 1
        assert entry["verdict"] in ("helped", "hurt", "cannot tell")


def test_the_table_can_be_recomputed_from_the_stored_predictions(good, tmp_path):
    results, _ = good
    lab.save_results(results, tmp_path)
    content = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    table = pq.read_table(tmp_path / "predictions.parquet").to_pandas()
    for row in content["rows"]:
        mine = table
        for key in ("arm", "ratio", "seed"):
            mine = mine[mine[key] == row[key]]
        guess, truth = (torch.tensor(mine[c].to_numpy()) for c in ("prediction", "label"))
        assert accuracy(guess, truth) == row["accuracy"]
        assert macro_f1(guess, truth, num_classes=CLASSES) == row["macro_f1"]
        assert len(mine) == content["num_test"] == mine["image"].nunique()


def test_good_synthetic_images_help_and_wrongly_labelled_ones_hurt(good):
    assert summary_of(good[0])["real+synthetic", 4]["verdict"] == "helped"
    results, _ = run(1.0, wrong=True)
    assert summary_of(results)["real+synthetic", 4]["verdict"] == "hurt"
    assert "hurt" in lab.verdict_sentence(results.content)


def test_controls_behave_as_controls_must(good):
    summary = summary_of(good[0])
    assert summary["shuffled", 4]["accuracy"] < summary["real", 0]["accuracy"] - 0.1
    assert abs(summary["real_duplicated", 0]["gain"]) < 0.05
    assert summary["real", 0]["gain"] == 0


def test_a_seed_redraws_the_real_and_the_synthetic_images(good):
    arms = {(arm.arm, arm.ratio, arm.seed): arm for arm in good[1]}
    for name, ratio in (("real", 0), ("synthetic", 4)):
        first, second = (set(arms[name, ratio, seed].data.rows.tolist()) for seed in (0, 1))
        assert first != second
    orders = [arms["real", 0, seed].data.seed for seed in (0, 1)]
    assert orders[0] != orders[1]


def test_arms_of_one_seed_share_their_real_images_and_nest_their_synthetic_ones(good):
    arms = {(arm.arm, arm.ratio, arm.seed): arm for arm in good[1]}
    real = set(arms["real", 0, 1].data.rows.tolist())
    before: set[int] = set()
    for ratio in lab.RATIOS:
        both = set(arms["real+synthetic", ratio, 1].data.rows.tolist())
        alone = set(arms["synthetic", ratio, 1].data.rows.tolist())
        assert both == real | alone
        assert before < alone
        before = alone


def test_every_arm_is_balanced_over_the_classes(good):
    for arm in good[1]:
        if arm.data is not None:
            counts = torch.bincount(arm.data.labels, minlength=CLASSES)
            assert counts.min() == counts.max()


def test_rows_carry_the_labels_of_their_images_unless_they_are_shuffled(good):
    truth = torch.cat([labels_of(make_data().train), labels_of(POOL)])
    for arm in good[1]:
        if arm.data is not None:
            agrees = torch.equal(truth[arm.data.rows], arm.data.labels)
            assert agrees == (arm.arm != "shuffled")


def test_every_seed_shuffles_the_labels_in_its_own_way(good):
    arms = {(arm.arm, arm.ratio, arm.seed): arm.data for arm in good[1]}
    straight = arms["real+synthetic", 4, 0].labels
    mixed = set()
    for seed in BUDGET.seeds:
        full, shuffled = arms["real+synthetic", 4, seed], arms["shuffled", 4, seed]
        assert torch.equal(full.labels, straight)  # so that only the permutation can differ
        assert torch.equal(shuffled.rows, full.rows)
        assert torch.equal(shuffled.labels.sort().values, full.labels.sort().values)
        mixed.add(tuple(shuffled.labels.tolist()))
    assert len(mixed) == len(BUDGET.seeds)
    alone = lab.draw_arms(make_data().train, POOL, lab.Budget(SHOTS, 30, (2,)))[-1]
    assert (alone.arm, alone.seed) == ("shuffled", 2)
    assert torch.equal(alone.data.labels, arms["shuffled", 4, 2].labels)  # whatever runs beside it


def test_the_images_a_generator_has_seen_come_as_an_arm_of_their_own():
    results, arms = run(0.5, seen=True)
    rows = [row for row in results.content["rows"] if row["arm"] == "real+seen"]
    assert {row["ratio"] for row in rows} == set(lab.RATIOS)
    assert all(row["num_synthetic"] == 0 for row in rows)
    start = 12 * CLASSES + 30 * CLASSES
    seen = next(arm for arm in arms if arm.arm == "real+seen")
    assert (seen.data.rows >= start).sum() == SHOTS * CLASSES


def test_the_same_seeds_give_the_same_numbers(good):
    again, _ = run(1.0)
    assert again.content == good[0].content
    assert again.predictions.equals(good[0].predictions)


@pytest.mark.parametrize(
    ("num_train", "num_synthetic", "expected"),
    [(200, 2400, (40, 240)), (6, 2400, (3, 18)), (200, 60, (3, 18)), (200, 12, (1, 4))],
)
def test_a_budget_leaves_every_seed_something_to_choose(num_train, num_synthetic, expected):
    profile = Profile(shots=40, num_synthetic=num_synthetic)
    budget = lab.plan_budget(profile, make_data(num_train=num_train), seed=7)
    assert (budget.shots, budget.pool_per_class) == expected
    assert budget.seeds == (7, 8, 9)
    assert budget.shots < num_train
    if num_synthetic > 12:
        assert budget.pool_per_class > 4 * budget.shots


def test_zero_shot_is_the_text_classifier_itself(good):
    results, _ = good
    weights = functional.normalize(
        torch.eye(DIM)[:CLASSES] + 0.6 * torch.randn(CLASSES, DIM, generator=seeded(4)), dim=-1
    )
    truth = labels_of(make_data(num_test=300).test)
    test = draw_features(truth, seed=5, signal=1.0)
    expected = accuracy((test @ weights.T).argmax(1), truth)
    assert summary_of(results)["zero_shot", 0]["accuracy"] == pytest.approx(expected)


def test_arms_that_are_all_perfect_give_a_verdict_and_no_crash(good):
    _, arms = good
    data = make_data()
    predictions = labels_of(data.test).repeat(len(arms), 1)
    results = lab.tabulate(arms, predictions, data, shots=SHOTS, header=HEADER)
    assert {entry["verdict"] for entry in results.content["summary"]} == {"cannot tell"}
    assert lab.findings(results.content)


@pytest.mark.parametrize("num_test", [2, 3, 5])
@pytest.mark.parametrize("wrong", ["baseline", "others", "all", "none"])
def test_a_handful_of_test_images_tells_nothing(good, num_test, wrong):
    _, arms = good
    data = make_data(num_test=num_test)
    predictions = labels_of(data.test).repeat(len(arms), 1)
    for row, arm in zip(predictions, arms, strict=True):
        if wrong == "all" or (wrong != "none" and (arm.arm == "real") == (wrong == "baseline")):
            row += 1 - CLASSES * (row == CLASSES - 1).long()  # the next class
    content = lab.tabulate(arms, predictions, data, shots=SHOTS, header=HEADER).content
    for entry in content["summary"]:
        assert entry["verdict"] == "cannot tell"
        assert 0 <= entry["accuracy_low"] <= entry["accuracy"] <= entry["accuracy_high"] <= 1
        assert entry["accuracy_low"] < entry["accuracy_high"]
        assert -1 <= entry["gain_low"] <= entry["gain"] <= entry["gain_high"] <= 1
        assert entry["gain_low"] < entry["gain_high"]
    assert lab.findings(content)
    json.dumps(content, allow_nan=False)


def test_gains_of_everything_stay_within_a_hundred_points(good):
    _, arms = good
    data = make_data(num_test=12)
    predictions = labels_of(data.test).repeat(len(arms), 1)
    real = [i for i, arm in enumerate(arms) if arm.arm == "real"]
    predictions[real] = (predictions[real] + 1) % CLASSES
    results = lab.tabulate(arms, predictions, data, shots=SHOTS, header=HEADER)
    entry = summary_of(results)["real+synthetic", 4]
    assert (entry["gain"], entry["gain_high"], entry["verdict"]) == (1, 1, "helped")
    assert 0.3 < entry["gain_low"] < 0.9
    assert 0.3 < entry["accuracy_low"] < 0.9


@pytest.mark.parametrize("shape", [(1, 90), (90,), (90, 1), (2, 89)])
def test_predictions_of_another_shape_are_refused(good, shape, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    predictions = torch.zeros(shape, dtype=torch.long)
    with pytest.raises(ValueError, match=r"predictions: expected shape \(\d+, 90\), arms x test"):
        lab.tabulate(good[1], predictions, make_data(), shots=SHOTS, header=HEADER)


@pytest.mark.parametrize("num_test", [0, 1])
def test_too_few_test_images_are_said_before_any_work(num_test):
    with pytest.raises(ValueError, match=f"two test images or more, got {num_test}"):
        lab.plan_budget(Profile(), make_data(num_test=num_test), seed=0)


def test_seeds_that_do_not_fit_into_the_table_are_said_before_any_work():
    with pytest.raises(ValueError, match="seeds: expected a whole number from 0"):
        lab.plan_budget(Profile(num_seeds=3), make_data(), seed=2**63 - 2)


def test_features_of_test_images_with_nan_are_said_before_training():
    data = make_data()
    arms = lab.draw_arms(data.train, POOL, BUDGET)
    bank = draw_features(torch.cat([labels_of(data.train), labels_of(POOL)]), seed=1, signal=1.0)
    weights, test = torch.eye(DIM)[:CLASSES], bank.clone()
    test[4] = torch.nan
    with pytest.raises(ValueError, match=r"NaN or infinity in 1 of .* first in row 4"):
        next(lab.run_arms(arms, bank, weights, CONFIG, test=test, logit_scale=1.0))


def test_training_reports_every_step_once():
    data = make_data()
    arms = lab.draw_arms(data.train, POOL, BUDGET)
    bank = draw_features(torch.cat([labels_of(data.train), labels_of(POOL)]), seed=1, signal=1.0)
    steps = lab.run_arms(arms, bank, torch.eye(DIM)[:CLASSES], CONFIG, test=bank, logit_scale=1.0)
    assert [step.step for step in steps] == list(range(CONFIG.num_steps))


def test_a_class_with_too_few_images_is_named():
    with pytest.raises(ValueError, match="class 0 has 12 examples"):
        lab.draw_arms(make_data().train, POOL, lab.Budget(13, 30, (0,)))


def test_too_many_classes_for_the_pool_are_refused():
    with pytest.raises(ValueError, match="3 classes are too many for a pool of 9"):
        lab.plan_budget(Profile(num_synthetic=9), make_data(), seed=0)


def test_prompts_take_turns_over_classes_and_templates():
    prompts, labels = lab.write_prompts(["x", "y"], ["{} above", "below {}"], per_class=3)
    assert labels == [0, 1, 0, 1, 0, 1]
    assert prompts == ["x above", "y above", "below x", "below y", "x above", "y above"]


def test_a_phrase_with_braces_is_taken_as_it_is():
    assert lab.write_prompts(["{0} {x}"], ["a {}"], per_class=1)[0] == ["a {0} {x}"]


def test_the_report_says_what_the_numbers_say_and_escapes_names(good, tmp_path):
    content = good[0].content | {"data": "<script>alert(1)</script>"}
    figure = tmp_path / "f.png"
    figure.write_bytes(b"not really a picture")
    path = tmp_path / "report.html"
    lab.write_report(content, {"a & b": figure}, path, notes=["a note"])
    page = path.read_text(encoding="utf-8")
    assert "<script>" not in page
    assert html.escape(lab.verdict_sentence(content)) in page
    assert "a &amp; b" in page
    assert "a note" in page
    real = summary_of(good[0])["real", 0]
    assert f"{100 * real['accuracy']:.1f} %" in page


def test_findings_name_every_mixed_arm_with_its_verdict(good):
    said = " ".join(lab.findings(good[0].content))
    for ratio in lab.RATIOS:
        assert f"1:{ratio}" in said
    assert "{" not in said


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (["helped", "helped", "cannot tell", "helped"], "helped at 1:1, 1:2, 1:4 (4 ratios"),
        (["cannot tell"] * 4, "cannot tell"),
        (["hurt", "cannot tell", "cannot tell", "hurt"], "hurt at 1:1, 1:4"),
        (["helped", "hurt", "cannot tell", "hurt"], "some ratios"),
    ],
)
def test_the_answer_follows_the_verdicts(verdicts, expected):
    summary = [
        {"arm": "real+synthetic", "ratio": ratio, "verdict": verdict}
        for ratio, verdict in zip(lab.RATIOS, verdicts, strict=True)
    ]
    assert expected in lab.verdict_sentence({"summary": summary})
