"""Results: the fields of the contract, and every number recomputed from what is saved."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from lab_world import (
    BLIND,
    FEATURES,
    GRID,
    HEADER,
    NAMES,
    NUM_CLASSES,
    SCALE,
    SEEN,
    WEIGHTS,
    by_key,
    exam_of,
    judge,
    labels_of,
    make_bank,
    make_data,
    make_examples,
    make_results,
    shorten,
    train,
)
from sklearn.metrics import f1_score

from course_utils import lab
from course_utils.lab import training
from course_utils.metrics import crossed_interval, p_value, verdict

ENTRIES = [
    *("version", "task", "profile", "data", "model", "generators", "settings", "versions"),
    *("commit", "started", "seconds", "prediction", "answer", "class_names", "num_test"),
    *("rows", "summary"),
]
KEY = ["arm", "generator", "shots"]
FIELDS = {
    "generators": {"name": str, "trained_on": str, "settings": dict},
    "settings": {
        **{"arm": str, "generator": str, "shots": int},
        **{"steps": int, "learning_rate": float, "real_share": float},
    },
    "prediction": {"shots": int, "gain": float},
    "rows": {
        **{"arm": str, "generator": str, "shots": int, "seed": int, "real_share": float},
        **{"num_real": int, "num_synthetic": int, "accuracy": float, "macro_f1": float},
    },
    "summary": {
        **{"arm": str, "generator": str, "shots": int},
        **{"accuracy": float, "accuracy_low": float, "accuracy_high": float},
        **{"gain": float, "gain_low": float, "gain_high": float},
        **{"p_holm": float, "verdict": str},
    },
}
VERDICTS = {"helped", "hurt", "no difference larger than that", "cannot tell"}


@pytest.fixture(scope="module", autouse=True)
def few_steps():
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch)
        yield


@pytest.fixture(scope="module")
def fits():
    return train(make_bank())


@pytest.fixture(scope="module")
def exam():
    return exam_of(make_data())


@pytest.fixture(scope="module")
def good(fits, exam):
    return judge(fits, exam)


@pytest.fixture(scope="module")
def saved(good, tmp_path_factory):
    """Save the results; read them as somebody else would."""
    out = tmp_path_factory.mktemp("out")
    lab.save_results(good[0], out)
    content = json.loads((out / "results.json").read_text(encoding="utf-8"))
    return content, pq.read_table(out / "predictions.parquet")


def test_results_have_exactly_the_fields_of_the_contract(good, saved):
    content, _ = saved
    assert content == good[0].content
    assert list(content) == ENTRIES
    assert content["version"] == 2
    for name, fields in FIELDS.items():
        for entry in content[name]:
            assert {key: type(value) for key, value in entry.items()} == fields, name
            assert list(entry) == list(fields)
    for name in ("task", "profile", "data", "model", "commit", "started", "answer"):
        assert content[name] == HEADER[name]
    assert content["class_names"] == list(NAMES)
    assert content["num_test"] == 180


def test_shares_are_shares_and_verdicts_are_one_of_four_words_or_none(saved):
    for entry in saved[0]["summary"]:
        assert 0 <= entry["accuracy_low"] <= entry["accuracy"] <= entry["accuracy_high"] <= 1
        assert -1 <= entry["gain_low"] <= entry["gain"] <= entry["gain_high"] <= 1
        assert 0 <= entry["p_holm"] <= 1
        assert entry["verdict"] in VERDICTS or entry["arm"] == "adapted"


def test_an_entry_that_the_caller_forgot_is_named(fits, exam):
    header = {name: value for name, value in HEADER.items() if name != "commit"}
    with pytest.raises(KeyError, match="commit"):
        judge(fits, exam, header=header)


def test_predictions_have_a_line_for_every_cell_seed_and_image(saved):
    content, table = saved
    names = ["arm", "generator", "shots", "seed", "image", "label", "prediction", "probability"]
    assert table.column_names == names
    for name in ("arm", "generator", "image"):
        assert table.schema.field(name).type == pa.string()  # no code words for whoever reads it
    for name in ("shots", "seed", "label", "prediction"):
        assert pa.types.is_integer(table.schema.field(name).type)
    assert table.schema.field("probability").type == pa.list_(pa.float16())
    frame = table.to_pandas()
    lines = frame.groupby([*KEY, "seed"], observed=True)["image"].nunique()
    assert (lines == content["num_test"]).all()
    keys = {(row["arm"], row["generator"], row["shots"], row["seed"]) for row in content["rows"]}
    assert {*lines.index} == keys
    assert len(keys) == len(content["rows"])
    assert len(frame) == len(keys) * content["num_test"]


def test_probabilities_sum_to_one_and_the_largest_is_the_prediction(saved):
    frame = saved[1].to_pandas()
    shares = np.stack(frame["probability"]).astype(float)
    assert shares.shape == (len(frame), NUM_CLASSES)
    np.testing.assert_allclose(shares.sum(1), 1, atol=2e-3)
    predicted = shares[np.arange(len(frame)), frame["prediction"]]
    np.testing.assert_array_equal(predicted, shares.max(1))


def test_images_are_named_as_in_their_set_or_by_file_or_content(saved, tmp_path):
    images = saved[1]["image"].to_pylist()
    assert images[0].startswith("a/")
    assert len(images[0]) == len("a/") + 16
    example = make_examples([1], 0)[0]
    name = lab.results.example_name
    assert name(replace(example, name="Forest_7.jpg"), NAMES) == "Forest_7.jpg"
    assert name(replace(example, pixels=None, path=tmp_path / "x.png"), NAMES) == "b/x.png"


def test_images_of_one_name_are_told_apart_by_class_and_number():
    examples = make_examples([0, 0, 1, 2], 0)
    same = [replace(example, name="1.png") for example in examples]
    names = lab.results.image_names([*same, replace(same[0], name="a/1.png")], NAMES)
    assert names == ["a/1.png", "a/1.png (2)", "b/1.png", "ü <c>/1.png", "a/1.png (3)"]
    alike = [examples[0]] * 2
    assert len(set(lab.results.image_names(alike, NAMES))) == 2


def test_predictions_of_a_folder_that_numbers_its_files_by_class_can_be_joined(fits):
    data = make_data()
    files = [
        replace(example, name=f"{i // NUM_CLASSES}.png") for i, example in enumerate(data.test)
    ]
    results, _ = judge(fits, exam_of(replace(data, test=tuple(files))))
    frame = results.predictions.to_pandas()
    assert not frame.duplicated([*KEY, "seed", "image"]).any()


@pytest.mark.parametrize("num_a_class", [0, 1])
def test_too_few_validation_images_for_two_halves_are_said(num_a_class):
    some = make_data().validation[: max(1, num_a_class * NUM_CLASSES)]
    shown = (FEATURES["validation"][: len(some)], some), (FEATURES["test"], make_data().test)
    with pytest.raises(ValueError, match=r"one half of the validation images choose .* add some"):
        lab.set_exam(*shown, evaluate="validation")


def test_all_rows_can_be_recomputed_from_the_saved_predictions(saved):
    content, table = saved
    frame = table.select([*KEY, "seed", "label", "prediction"]).to_pandas()
    groups = dict(iter(frame.groupby([*KEY, "seed"], observed=True)))
    for row in content["rows"]:
        mine = groups[row["arm"], row["generator"], row["shots"], row["seed"]]
        assert row["accuracy"] == pytest.approx((mine["label"] == mine["prediction"]).mean())
        expected = f1_score(mine["label"], mine["prediction"], average="macro", zero_division=0)
        assert row["macro_f1"] == pytest.approx(expected)


def hits_by_key(table):
    frame = table.select([*KEY, "seed", "image", "label", "prediction"]).to_pandas()
    frame["hit"] = (frame["label"] == frame["prediction"]).astype(float)
    return {
        key: some.pivot(index="seed", columns="image", values="hit")
        for key, some in frame.astype({"image": str}).groupby(KEY, observed=True)
    }


def test_the_summary_can_be_recomputed_from_the_saved_predictions(saved):
    content, table = saved
    hits, gains = hits_by_key(table), {}
    for key, entry in by_key(content).items():
        level = crossed_interval(torch.tensor(hits[key].to_numpy()), ends=(0, 1))
        shown = [entry[f"accuracy{end}"] for end in ("", "_low", "_high")]
        assert shown == pytest.approx([level.mean, level.low, level.high])
        base = ("real", "", key[2]) if key[2] else ("zero_shot", "", 0)
        if key != base:
            other = hits[base].loc[hits[key].index]
            gains[key] = crossed_interval(torch.tensor((hits[key] - other).to_numpy()))
            shown = [entry[f"gain{end}"] for end in ("", "_low", "_high")]
            assert shown == pytest.approx([gains[key].mean, gains[key].low, gains[key].high])
        else:
            assert [entry[f"gain{end}"] for end in ("", "_low", "_high")] == [0, 0, 0]
    curve = {"synthetic", "pooled", "retrieval", "shuffled"}
    for arms in ({"real+synthetic"}, curve, set(lab.ARMS) - curve - {"real+synthetic"}):
        family = {k: g for k, g in gains.items() if k[0] in arms}
        p = {key: p_value(gain) for key, gain in family.items() if key[0] != "adapted"}
        for key, own in p.items():  # Holm: the largest of all steps up to this one
            steps = [min(1, sum(q >= each for q in p.values()) * each) for each in p.values()]
            steps = [step for step, each in zip(steps, p.values(), strict=True) if each <= own]
            entry = by_key(content)[key]
            assert entry["p_holm"] == pytest.approx(max(steps))
            assert entry["verdict"] == verdict(gains[key], smallest=0.02, p=entry["p_holm"])


def test_one_seed_gets_no_verdict_and_no_place_among_the_comparisons(fits, exam, good):
    for name in (BLIND, SEEN):
        entry = by_key(good[0].content)["adapted", name, 4]
        assert (entry["verdict"], entry["p_holm"]) == ("", 1)
        assert entry["gain_low"] < entry["gain"] < entry["gain_high"]
    kept = [fit for fit in fits if fit.cell.arm != "adapted"]
    without = by_key(judge(kept, exam)[0].content)
    assert without == {k: e for k, e in by_key(good[0].content).items() if k[0] != "adapted"}


def test_settings_say_what_was_chosen_and_nothing_where_nothing_is_trained(good):
    results, chosen = good
    for entry, i in zip(results.content["settings"], chosen, strict=True):
        config = training.SETTINGS[i]
        said = entry["steps"], entry["learning_rate"], entry["real_share"]
        counts = 3 * entry["shots"] / (3 * entry["shots"] + 3 * min(4 * entry["shots"] or 6, 6))
        shares = {"zero_shot": 0, "synthetic": 0, "real": 1, "more_real": 1, "pooled": counts}
        rates = (0, 0) if entry["arm"] == "zero_shot" else (config.num_steps, config.learning_rate)
        assert said == (*rates, pytest.approx(shares.get(entry["arm"], 0.5)))


def test_good_drawings_help_and_wrongly_labelled_ones_hurt(exam, good):
    helped = by_key(good[0].content)
    hurt = by_key(judge(train(make_bank(is_wrong=True)), exam)[0].content)
    for name in (BLIND, SEEN):
        for key in (("real+synthetic", name, shots) for shots in GRID.shots):
            assert helped[key]["gain"] > 0.1
            assert hurt[key]["gain"] < -0.1
        assert helped["synthetic", name, 0]["verdict"] == "helped"
        assert hurt["retrieval", name, 4]["accuracy"] == helped["retrieval", name, 4]["accuracy"]


def test_shuffled_labels_are_worse_than_right_ones(good):
    found = by_key(good[0].content)
    for name in (BLIND, SEEN):
        for shots in GRID.shots:
            right = found["real+synthetic", name, shots]["accuracy"]
            assert found["shuffled", name, shots]["accuracy"] < right - 0.1


def test_the_same_seeds_give_the_same_numbers(good, exam):
    again, _ = judge(train(make_bank()), exam)
    assert again.content == good[0].content
    assert again.predictions.equals(good[0].predictions)


@pytest.mark.parametrize("arm", ["real+synthetic", "synthetic", "clip_filter"])
def test_the_map_of_verdicts_has_every_setting_and_marks_the_chosen_one(fits, exam, good, arm):
    rows = lab.map_verdicts(fits, good[1], exam, smallest=0.02, arm=arm)
    num_cells = sum(fit.cell.arm == arm for fit in fits)
    assert len(rows) == num_cells * len(training.SETTINGS)
    assert sum(row["chosen"] for row in rows) == num_cells
    chosen = {(row["generator"], row["shots"]): row for row in rows if row["chosen"]}
    for entry in good[0].content["settings"]:
        if entry["arm"] == arm:
            mine = chosen[entry["generator"], entry["shots"]]
            said = mine["steps"], mine["learning_rate"]
            assert said == (entry["steps"], entry["learning_rate"])


def test_a_field_of_the_map_compares_both_arms_at_that_setting(fits, exam, good):
    cells = {(f.cell.arm, f.cell.generator, f.cell.shots): f for f in fits}
    labels = labels_of(60)
    for row in lab.map_verdicts(fits, good[1], exam, smallest=0.02)[1::5]:
        config = (row["steps"], row["learning_rate"])
        i = [(c.num_steps, c.learning_rate) for c in training.SETTINGS].index(config)
        arms = (row["arm"], row["generator"], row["shots"]), ("real", "", row["shots"])
        right = [
            (cells[key].logits(FEATURES["test"], i).argmax(-1) == labels).double() for key in arms
        ]
        gain = crossed_interval(right[0] - right[1])
        assert row["gain"] == pytest.approx(gain.mean)
        assert row["verdict"] == verdict(gain, smallest=0.02)


def test_two_test_images_tell_nothing_and_break_nothing(fits):
    data = replace(make_data(), test=make_examples([0, 1], 0))
    shown = torch.eye(8)[:2]
    results, _ = judge(fits, exam_of(data, test=shown))
    for entry in results.content["summary"]:
        if entry["gain"] or entry["arm"] == "real+synthetic":
            assert entry["verdict"] in ("cannot tell", "")
    json.dumps(results.content, allow_nan=False)
    assert lab.answer(results, smallest=0.02)


def test_arms_that_never_differ_have_a_verdict_and_no_crash():
    arms = [("zero_shot", "", 0), ("real", "", 1), ("real+synthetic", BLIND, 1)]
    for num, word in ((100, "cannot tell"), (1000, "no difference larger than that")):
        content = make_results(dict.fromkeys(arms, 1.0), num_test=num).content
        entry = by_key(content)["real+synthetic", BLIND, 1]
        assert (entry["gain"], entry["p_holm"], entry["verdict"]) == (0, 1, word)


def test_a_preview_shows_the_cells_that_are_there_at_their_best_on_validation(fits):
    features, labels = FEATURES["validation"], labels_of(6)
    some = fits[:4]
    shown = lab.preview(some, features, labels)
    assert [entry["arm"] for entry in shown["summary"]] == [fit.cell.arm for fit in some]
    for fit, entry in zip(some, shown["summary"], strict=True):
        best = max(lab.validation_accuracies(fit, features, labels))
        assert entry["accuracy"] == pytest.approx(best)
        assert entry["accuracy_low"] <= best <= entry["accuracy_high"]
    assert lab.preview([], features, labels) == {"rows": [], "summary": []}


@pytest.mark.parametrize("key", [("real+synthetic", BLIND, 1), ("clip_filter", SEEN, 4)])
def test_images_that_turned_are_those_on_which_most_seeds_changed_their_mind(good, exam, key):
    known = FEATURES["validation"], make_data().validation
    items = lab.turned(good[0], exam, key, known, num=3)
    right = [item["after"] == item["label"] for item in items]
    assert right == sorted(right, reverse=True)
    assert 1 <= len(items) <= 6
    for item in items:
        assert (item["before"] == item["label"]) != (item["after"] == item["label"])
        assert item["image"].shape == item["nearest"].shape == (64, 64, 3)
        assert item["nearest_label"] in NAMES
    everything = lab.turned(good[0], exam, key, known, num=1000)
    of_all = [
        [item["after"] == item["label"] for item in some].count(True)
        for some in (everything, items)
    ]
    assert of_all[1] == min(3, of_all[0])  # as many as there are
    assert len(items) - of_all[1] == min(3, len(everything) - of_all[0])


def test_a_comparison_is_paired_over_the_seeds_that_both_have():
    keys = [("real", "", 4), ("real+synthetic", BLIND, 4), ("adapted", BLIND, 4)]
    results = make_results({("zero_shot", "", 0): 0.5, keys[0]: 0.5, keys[1]: 0.6, keys[2]: 0.6})
    table = results.predictions.to_pandas()
    kept = ~((table["arm"] == "real+synthetic") & (table["seed"] == 0))
    fewer = lab.Results(results.content, results.predictions.filter(pa.array(kept)))
    assert lab.hits_of(fewer, keys[1]).shape == (2, 100)
    assert lab.paired(fewer, keys[1], keys[0]).mean == pytest.approx(0.1)
    seeds = lab.hits_of(results, keys[0])[1:]
    expected = crossed_interval(lab.hits_of(results, keys[1])[1:] - seeds)
    assert lab.paired(fewer, keys[1], keys[0]) == expected
    assert lab.paired(results, keys[2], keys[1]).mean == 0


def test_a_full_disk_leaves_older_results_as_they_were(good, tmp_path, full_disk):
    with pytest.raises(OSError, match="free some space"):
        lab.save_results(good[0], tmp_path)
    assert not list(tmp_path.iterdir())


def test_zero_shot_judges_with_the_text_alone(good):
    guesses = (SCALE * FEATURES["test"] @ WEIGHTS.T).argmax(1)
    expected = (guesses == labels_of(60)).double().mean().item()
    assert by_key(good[0].content)["zero_shot", "", 0]["accuracy"] == pytest.approx(expected)
