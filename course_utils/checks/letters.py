"""Checks of questions with several right answers: which letters are meant, and which is wrong."""

from collections.abc import Iterable
from itertools import islice
from typing import Any

from course_utils.checks.judging import Hint, tell

_LETTERS = "abcdefgh"
_MANY = 1000  # far more letters than there are


def judge_letters(value: Any, right: frozenset[str]) -> None:
    """Compare letters, as a set, a list or a string, with the right ones.

    Raises:
        Hint: ``form``, ``unknown``, ``everything``, or ``x_wrong`` or ``x_missing`` of a letter x.
    """
    letters = _as_letters(value)
    unknown = sorted(letters - set(_LETTERS))
    if unknown:
        raise Hint("unknown", letter=unknown[0][:20], letters=", ".join(_LETTERS))
    tell([("everything", letters == set(_LETTERS))])
    for letter in _LETTERS:
        tell([(f"{letter}_wrong", letter in letters - right)])
        tell([(f"{letter}_missing", letter in right - letters)])


def _as_letters(value: Any) -> set[str]:
    if isinstance(value, dict) or not isinstance(value, Iterable):
        raise Hint("form", kind=type(value).__name__)
    if isinstance(value, str):
        value = [sign for sign in value[:_MANY] if sign not in " ,;{}[]()'\""]
    parts = list(islice(value, _MANY))
    if not all(isinstance(part, str) for part in parts):
        raise Hint("form", kind=type(value).__name__)
    return {part.strip().lower() for part in parts}
