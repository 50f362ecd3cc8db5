"""What holds for all checks: nothing breaks them, a stub is no wrong answer, solutions pass."""

import ast
import functools
import html
import inspect
import json
import re
from pathlib import Path

import pytest
import torch
from test_checks import GARBAGE, assert_hint, raises

from course_utils import checks
from course_utils.checks import CheckResult
from course_utils.texts import catalog, text

ALL = {name: getattr(checks, name) for name in checks.__all__ if name.startswith("check_")}
NO_FUNCTION = {"check_03_ex5", "check_04_ex9", "check_04_ex10", "check_06_ex1"}  # letters, numbers
EXERCISES = {"01": 9, "02": 8, "03": 7, "04": 10, "05": 6, "06": 6, "07": 9}  # by notebook
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


NOTEBOOKS = {  # what a solution finds there
    "01": ("import torch", "from course_utils.checks.notebook_01 import noise"),  # exercise 1
    "02": ("import torch", "from torch.nn import functional as F"),
    "03": ("import torch",),
    "04": ("import numpy as np", "import torch"),
    "05": ("import torch", "from course_utils import control, metrics"),
    "06": ("import json", "import numpy as np", "import shapely"),
}


@pytest.mark.parametrize("name", [name for name in ALL if name[6:8] in NOTEBOOKS])
def test_a_solution_runs_where_the_notebook_shows_it(name):
    if not callable(ALL[name].shown):
        return
    names = {}
    exec("\n".join(NOTEBOOKS[name[6:8]]), names)
    exec(repr(getattr(checks, name.replace("check_", "solution_"))()), names)
    found = names[ALL[name].shown.__name__]
    assert ALL[name](found() if name in NO_FUNCTION else found).passed


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


def raises_nothing_yet(*given):
    """Give what is asked for."""
    raise NotImplementedError


def with_words(*given):
    """Give what is asked for."""
    raise NotImplementedError("write me")


def gives_none(*given):
    """Give what is asked for."""
    return None


def gives_dots(*given):
    """Give what is asked for."""
    return ...


def holds_dots(*given):
    """Give what is asked for."""
    ...


def only_documented(*given):
    """Give what is asked for."""


STUBS = [raises_nothing_yet, with_words, gives_none, gives_dots, holds_dots, only_documented]


@every_function
@pytest.mark.parametrize("stub", STUBS)
def test_every_empty_stub_is_empty(name, stub, capsys):
    result = ALL[name](stub)
    assert result.state == "empty"
    assert result.use is ALL[name].solution


@every_function
def test_a_forgotten_return_is_no_empty_stub(name):
    solution = ALL[name].solution

    def forgets(*given):
        solution(*given)

    assert_hint(ALL[name](forgets), "forgotten")
    assert ALL[name](forgets).state == "not_yet"


def test_what_torch_has_not_implemented_is_an_exception_and_no_stub():
    def long_softmax(x0, t, eps, schedule):
        return t.softmax(dim=0)  # torch raises NotImplementedError, or gives another shape

    result = checks.check_01_ex1(long_softmax)
    assert result.state == "not_yet"

    def unknown(x0, t, eps, schedule):
        return torch.empty(2, device="meta") + x0.to("meta").item()

    assert_hint(checks.check_01_ex1(unknown), "raised")


def test_the_stubs_of_the_notebooks_ask_for_what_the_checks_test():
    seen = []
    for path in sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if match := re.fullmatch(r"(\d\d)-(ex\d+)-stub", cell.get("id", "")):
                check = ALL["check_{}_{}".format(*match.groups())]
                tree = ast.parse("".join(cell["source"]))
                seen.append(cell["id"])
                for function in [x for x in tree.body if isinstance(x, ast.FunctionDef)]:
                    asked = inspect.signature(check.solution).parameters
                    assert function.name == check.solution.__name__, cell["id"]
                    assert len(function.args.args) == len(asked), cell["id"]
                    names = {}
                    exec(compile(tree, cell["id"], "exec"), names)
                    assert check(names[function.name]).state == "empty", cell["id"]
    assert len(seen) > 30


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
