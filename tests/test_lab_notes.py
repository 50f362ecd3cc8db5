"""What a learner writes, and what a run is made of."""

import math
import subprocess

import jaxtyping
import numpy as np
import pytest

from course_utils import lab
from course_utils.lab import notes
from course_utils.runtime import PACKAGES

SHOTS = (1, 4, 64)
ENOUGH = " ".join(["word"] * 60)


@pytest.fixture
def no_hook(monkeypatch):
    """Run as learners do: nobody checks the annotations, so the package must."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def test_a_predicted_curve_is_kept_as_it_was_written(no_hook):
    told, said = lab.read_prediction({1: 12, 4: -3.5, 64: np.int64(0)}, SHOTS)
    assert told == [{"shots": 1, "gain": 12}, {"shots": 4, "gain": -3.5}, {"shots": 64, "gain": 0}]
    assert all(type(each["gain"]) is float for each in told)
    assert said == []


@pytest.mark.parametrize("empty", [{}, {1: None, 4: ..., 64: None}, None, ...])
def test_a_prediction_left_empty_is_said_in_one_sentence(empty, no_hook):
    assert lab.read_prediction(empty, SHOTS) == (
        [],
        [
            "No prediction is recorded: write one before you look at results, then it can "
            "surprise you."
        ],
    )


def test_shots_without_a_prediction_are_named():
    told, said = lab.read_prediction({4: 1.0}, SHOTS)
    assert told == [{"shots": 4, "gain": 1.0}]
    assert said == ["Nothing is predicted for 1, 64 real images a class."]


@pytest.mark.parametrize("gain", ["5", math.nan, math.inf, 101, -100.5, True, [1.0]])
def test_a_gain_that_is_none_is_said_with_its_place(gain, no_hook):
    with pytest.raises(ValueError, match=r"prediction at 4 shots: expected points from -100 to"):
        lab.read_prediction({1: 0.0, 4: gain}, SHOTS)


@pytest.mark.parametrize("shots", [3, "1", None, 0.5])
def test_shots_that_are_not_in_the_grid_are_said(shots, no_hook):
    with pytest.raises(ValueError, match="expected numbers of shots among 1, 4, 64, got"):
        lab.read_prediction({shots: 1.0}, SHOTS)


@pytest.mark.parametrize("gains", [[1.0, 2.0, 3.0], 5, "none"])
def test_a_prediction_that_is_no_curve_is_said(gains, no_hook):
    with pytest.raises(ValueError, match=r"prediction: expected points by shots, such as \{1: 5.5"):
        lab.read_prediction(gains, SHOTS)


@pytest.mark.parametrize(
    ("answer", "kept", "said"),
    [
        (ENOUGH, ENOUGH, None),
        (f"\n{ENOUGH} – , ! \n", f"{ENOUGH} – , !", None),
        ("永" * 119 + ",。", "永" * 119 + ",。", None),
        *(
            (empty, "", "No answer is written yet: 60 to 250 words are asked for. All numbers are "
             "saved; write it, and run the cells from here on.")
            for empty in (None, ..., "", " \n")
        ),
        (
            "Too short.", "Too short.", "The answer has 2 words, 60 at least are asked for: say "
            "more, and run the cells from here on. It is saved.",
        ),
        (
            ENOUGH * 5, ENOUGH * 5, "The answer has 296 words, 250 at most are asked for: shorten "
            "it, and run the cells from here on. It is saved whole.",
        ),
    ],
)  # fmt: skip
def test_an_answer_is_kept_whole_and_its_length_is_said_in_one_sentence(
    answer, kept, said, no_hook
):
    assert lab.read_answer(answer) == (kept, [said] if said else [])


def test_half_a_letter_does_not_keep_an_answer_from_being_saved(no_hook):
    kept, _ = lab.read_answer("It helped \ud83d.")
    assert kept == "It helped ?."
    assert kept.encode()


def test_an_answer_that_is_no_text_is_said(no_hook):
    with pytest.raises(ValueError, match="answer: expected a text, got list"):
        lab.read_answer(["It", "helped."])


@pytest.mark.parametrize(
    ("answer", "num"),
    [("", 0), ("one two", 2), ("one - two !", 2), ("你好，世界。", 2), ("用 CLIP 模型", 3)],
)
def test_words_are_counted_without_punctuation_and_chinese_by_halves(answer, num):
    assert notes.count_words(answer) == num


def test_versions_are_those_of_python_and_the_packages_that_decide_numbers():
    found = lab.versions()
    assert list(found) == ["python", *PACKAGES]
    assert all(found.values())


@pytest.mark.parametrize("kind", ["clean", "changed", "no commit", "no git"])
def test_the_commit_is_named_with_a_sign_if_files_changed(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(notes, "repo_root", lambda: tmp_path)
    if kind == "no git":
        monkeypatch.setenv("PATH", str(tmp_path))
        assert lab.commit() == ""
        return
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path)]
    (tmp_path / "a").write_text("1")
    if kind != "no commit":
        for step in (["init", "-q"], ["add", "a"], ["commit", "-q", "-m", "a"]):
            subprocess.run([*git, *step], check=True)
        (tmp_path / "beside").write_text("not tracked")
    if kind == "changed":
        (tmp_path / "a").write_text("2")
    found = lab.commit()
    assert len(found.rstrip("+")) == (0 if kind == "no commit" else 40)
    assert found.endswith("+") == (kind == "changed")


def test_what_was_computed_once_is_read_again_unless_something_decisive_differs(tmp_path):
    calls = []

    def compute() -> dict[str, float]:
        calls.append(1)
        return {"a": 0.5}

    folder = tmp_path / "kept"
    assert lab.once(folder, ["x", 1], compute) == lab.once(folder, ["x", 1], compute) == {"a": 0.5}
    assert len(calls) == 1
    lab.once(folder, ["x", 2], compute)
    assert len(calls) == 2
    for path in folder.iterdir():
        path.write_bytes(b"{}")
    assert lab.once(folder, ["x", 1], compute) == {"a": 0.5}
    assert len(calls) == 3
