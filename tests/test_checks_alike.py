"""What holds for all checks: nothing breaks them, and a stub is no wrong answer.

Those of notebook 06, whose answers differ in kind, are in test_checks.py.
"""

import pytest
from test_checks import ALL as OF_06
from test_checks import GARBAGE, assert_hint, raises

from course_utils import checks
from course_utils.checks import CheckResult

EVERY = [getattr(checks, name) for name in checks.__all__ if name.startswith("check_")]
ALL = [check for check in EVERY if check not in OF_06]
FUNCTIONS = [check for check in ALL if check is not checks.check_03_ex5]  # which asks for a set


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("check", ALL)
def test_garbage_is_never_right_and_never_raises(check, language, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_LANG", language)
    for value in GARBAGE:
        result = check(value)
        assert isinstance(result, CheckResult)
        assert result.passed is False
        assert result.hint


@pytest.mark.parametrize("check", FUNCTIONS)
def test_a_stub_is_told_apart_from_a_wrong_answer(check):
    assert_hint(check(None), "nothing")
    assert_hint(check(raises(NotImplementedError())), "nothing")
    assert_hint(check(lambda *arguments: None), "no_return")
    assert_hint(check(0.5), "no_function")
    assert "ValueError: odd" in check(raises(ValueError("odd"))).hint


def test_the_checks_of_every_notebook_are_here():
    numbers = {name.split("_")[1] for name in checks.__all__ if name.startswith("check_")}
    assert {"01", "02", "03", "04", "06"} <= numbers
    assert len(EVERY) == len(ALL) + len(OF_06)
