"""What a check gives back, and how the course's own answer is shown."""

import inspect
from dataclasses import dataclass, field, replace
from html import escape
from typing import Any, Literal

from IPython.display import display

from course_utils.texts import text

State = Literal["right", "not_yet", "empty"]  # empty: the stub is as it was


@dataclass(frozen=True)
class CheckResult:
    """The answer of a check: shown as a sentence in notebooks and terminals."""

    state: State
    hint: str  # what to do next; after success, what to remember
    answer: Any = field(default=None, repr=False, compare=False)  # the one to go on with

    @property
    def passed(self) -> bool:
        """Say whether the answer is right."""
        return self.state == "right"

    @property
    def use(self) -> Any:
        """Give the learner's own answer if it is right, else the course's; show which it is."""
        display(replace(self, hint=f"{self.hint} {text(f'check.use_{self.state}')}"))
        return self.answer

    def __str__(self) -> str:
        return f"{text('check.passed' if self.passed else 'check.failed')} {self.hint}"

    def _repr_markdown_(self) -> str:
        return f"**{text('check.passed' if self.passed else 'check.failed')}** {self.hint}"


@dataclass(frozen=True)
class Solution:
    """The course's own answer to an exercise: folded in notebooks, plain in terminals."""

    code: str

    def __repr__(self) -> str:
        return self.code

    def _repr_html_(self) -> str:
        title = escape(text("check.solution"))
        return f"<details><summary>{title}</summary><pre>{escape(self.code)}</pre></details>"


def read_solution(solution: Any) -> Solution:
    """Read the source of a function that solves an exercise; of other answers, how they look."""
    return Solution(inspect.getsource(solution) if callable(solution) else repr(solution))
