"""What holds for all checks: nothing breaks them, a stub is no wrong answer, solutions pass."""

import functools
import html
import inspect

import pytest
from test_checks import GARBAGE, assert_hint, raises

from course_utils import checks
from course_utils.checks import CheckResult
from course_utils.texts import catalog, text

ALL = {name: getattr(checks, name) for name in checks.__all__ if name.startswith("check_")}
NO_FUNCTION = {"check_03_ex5", "check_06_ex1"}  # which ask for letters and for two numbers
EXERCISES = {"01": 9, "02": 8, "03": 5, "04": 6, "06": 4, "07": 9}  # by notebook
every_check = pytest.mark.parametrize("name", ALL)
every_function = pytest.mark.parametrize("name", [name for name in ALL if name not in NO_FUNCTION])


def test_the_checks_of_every_notebook_are_here():
    assert list(ALL) == [
        f"check_{notebook}_ex{k + 1}" for notebook, num in EXERCISES.items() for k in range(num)
    ]


@every_check
def test_the_solution_of_the_course_is_right_and_says_what_to_remember(name):
    result = ALL[name](ALL[name].solution)
    assert result == CheckResult("right", text(f"{name.replace('_', '.', 1)}.right"))


@every_check
def test_a_right_answer_is_used_and_the_courses_own_until_then(name, capsys):
    check = ALL[name]
    answer = functools.partial(check.solution) if callable(check.solution) else check.solution
    assert check(answer).use is answer
    assert capsys.readouterr().out.strip().endswith(text("check.use_right"))
    assert check(None).use is check.solution
    assert capsys.readouterr().out.strip().endswith(text("check.use_empty"))
    assert check(object()).use is check.solution
    assert capsys.readouterr().out.strip().endswith(text("check.use_not_yet"))


@every_check
def test_the_solution_is_shown_folded_and_can_be_copied(name):
    shown = getattr(checks, name.replace("check_", "solution_"))()
    if name not in NO_FUNCTION:
        names = {}
        exec("from __future__ import annotations\n" + repr(shown), names)
        assert ALL[name].solution.__name__ in names
    assert shown._repr_html_().startswith("<details><summary>")
    assert html.unescape(shown._repr_html_()).count(repr(shown)) == 1


def test_only_exercises_have_solutions():
    assert "solution_01_ex1" in dir(checks)
    for name in ("solution_09_ex1", "check_09_ex1", "solution_"):
        with pytest.raises(AttributeError, match=name):
            getattr(checks, name)


@every_check
@pytest.mark.parametrize("language", ["en", "zh"])
def test_garbage_is_never_right_and_never_raises(name, language, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_LANG", language)
    for value in GARBAGE:
        result = ALL[name](value)
        assert isinstance(result, CheckResult)
        assert (result.passed, result.state in ("not_yet", "empty")) == (False, True)
        assert result.hint
    assert not ALL[name]().passed


@every_check
def test_a_stub_is_no_wrong_answer(name):
    assert_hint(ALL[name](None), "nothing")
    assert_hint(ALL[name](...), "nothing")
    assert ALL[name](None).state == "empty"


@every_function
def test_a_stub_of_a_function_is_told_apart_from_a_wrong_one(name):
    assert_hint(ALL[name](raises(NotImplementedError())), "nothing")
    assert_hint(ALL[name](lambda *arguments: None), "no_return")
    assert_hint(ALL[name](0.5), "no_function")
    stubs = raises(NotImplementedError()), lambda *arguments: None, lambda *arguments: ...
    assert {ALL[name](stub).state for stub in stubs} == {"empty"}
    assert ALL[name](0.5).state == "not_yet"


@every_function
def test_an_exception_of_the_learner_is_told(name):
    hint = ALL[name](raises(ValueError("odd\nnumber of {things}"))).hint
    assert "ValueError: odd number of {things}" in hint


def test_every_exercise_says_what_it_asks_for():
    for name, check in ALL.items():
        words = inspect.getdoc(check)
        asked = "value: the function" if name not in NO_FUNCTION else "value: "
        assert asked in words, name
        assert "Source:" in words or name[6:8] not in ("01", "02"), name


def test_every_text_is_there_in_english():
    """What was written since the last translation is English only, and notebook 07 is."""
    for start, least in (("check.", 50), ("check.01_", 101), ("check.02_", 41)):
        keys = [key for key in catalog() if key.startswith(start) and key[:9] != "check.07_"]
        assert len(keys) >= least, start
        assert [key for key in keys if set(catalog()[key]) - {"zh"} != {"en"}] == [], start
    assert text("check.passed")
