"""What a check answers, and how it runs a learner's code without failing itself."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from course_utils.texts import text


@dataclass(frozen=True)
class CheckResult:
    """The answer of a check: shown as a sentence in notebooks and terminals."""

    passed: bool
    hint: str  # what to do next; after success, what to remember

    def __str__(self) -> str:
        return f"{text('check.passed' if self.passed else 'check.failed')} {self.hint}"

    def _repr_markdown_(self) -> str:
        return f"**{text('check.passed' if self.passed else 'check.failed')}** {self.hint}"


class Hint(Exception):
    """Ends a check with a hint.

    Args:
        key: of ``data/texts.json``, without "check.".
        values: what to put into its braces.
    """

    def __init__(self, key: str, **values: object) -> None:
        super().__init__(key)
        self.key, self.values = key, values


def check(exercise: str) -> Callable:
    """Make a check of a function that raises `Hint` for a wrong answer and returns for a right one.

    Args:
        exercise: "06_ex1"; its text ``check.<exercise>.right`` is shown after success.
    """

    def wrap(judge: Callable[[Any], None]) -> Callable[[Any], CheckResult]:
        @wraps(judge)
        def safe(value: Any = None) -> CheckResult:
            try:
                if value is None or value is ...:
                    raise Hint("nothing")
                judge(value)
            except Hint as hint:
                return CheckResult(False, text(f"check.{hint.key}", **hint.values))
            except (Exception, SystemExit) as error:  # a value that fights back when looked at
                return CheckResult(False, text("check.odd", error=describe(error)))
            return CheckResult(True, text(f"check.{exercise}.right"))

        del safe.__wrapped__  # so that help() shows the signature of what is called
        safe.__annotations__ = {"value": Any, "return": CheckResult}
        return safe

    return wrap


def run(function: Any, *arguments: object) -> Any:
    """Call a learner's function; its warnings are silent.

    Raises:
        Hint: it is no function, raises, or gives nothing.
    """
    if not callable(function):
        raise Hint("no_function", kind=type(function).__name__)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            answer = function(*arguments)
        except NotImplementedError as error:
            raise Hint("nothing") from error
        except (Exception, SystemExit) as error:
            raise Hint("raised", error=describe(error)) from error
    if answer is None or answer is ...:
        raise Hint("no_return")
    return answer


def describe(error: BaseException) -> str:
    """Say what an exception says, in one line, whatever it is."""
    try:
        words = " ".join(str(error).split())
    except Exception:
        words = ""
    return f"{type(error).__name__}: {words[:200]}" if words else type(error).__name__


def number(value: Any) -> float:
    """Turn an answer into a finite number.

    Raises:
        Hint: a text, a truth value, several numbers, NaN or infinity.
    """
    try:
        if isinstance(value, str | bytes | bool):
            raise TypeError
        found = float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise Hint("no_number", kind=type(value).__name__) from error
    if not math.isfinite(found):
        raise Hint("not_finite", value=found)
    return found
