"""Exercises that check themselves: `check_NN_exK(value)` says whether it is right, or why not.

A check never raises on what a learner hands in; it recognises common wrong answers by their value.
``answer = check_NN_exK(answer).use`` goes on with the learner's own answer once it is right, and
with the course's before; ``solution_NN_exK()`` shows how the latter is found.
"""

from collections.abc import Callable

from course_utils.checks.notebook_01 import check_01_ex1, check_01_ex4, check_01_ex5
from course_utils.checks.notebook_01_costs import check_01_ex9
from course_utils.checks.notebook_01_steps import check_01_ex6, check_01_ex7, check_01_ex8
from course_utils.checks.notebook_01_tables import check_01_ex2, check_01_ex3
from course_utils.checks.notebook_02 import (
    check_02_ex1,
    check_02_ex2,
    check_02_ex3,
    check_02_ex4,
    check_02_ex5,
)
from course_utils.checks.notebook_02_models import check_02_ex6, check_02_ex7, check_02_ex8
from course_utils.checks.notebook_03 import (
    check_03_ex1,
    check_03_ex2,
    check_03_ex3,
    check_03_ex4,
    check_03_ex7,
)
from course_utils.checks.notebook_03_reading import (
    check_03_ex5,
    check_03_ex6,
)
from course_utils.checks.notebook_04 import (
    check_04_ex1,
    check_04_ex2,
    check_04_ex3,
    check_04_ex7,
    check_04_ex9,
)
from course_utils.checks.notebook_04_judging import (
    check_04_ex4,
    check_04_ex5,
    check_04_ex6,
    check_04_ex8,
    check_04_ex10,
)
from course_utils.checks.notebook_05 import check_05_ex1, check_05_ex2, check_05_ex4
from course_utils.checks.notebook_05_judging import check_05_ex3, check_05_ex5, check_05_ex6
from course_utils.checks.notebook_06 import (
    Tile,
    check_06_ex1,
    check_06_ex3,
    check_06_ex4,
    check_06_ex6,
)
from course_utils.checks.notebook_06_files import (
    check_06_ex2,
    check_06_ex5,
)
from course_utils.checks.notebook_07 import (
    check_07_ex1,
    check_07_ex2,
    check_07_ex7,
    check_07_ex8,
    check_07_ex9,
)
from course_utils.checks.notebook_07_images import (
    check_07_ex3,
    check_07_ex4,
    check_07_ex5,
    check_07_ex6,
)
from course_utils.checks.results import CheckResult, Solution, read_solution

__all__ = [
    "CheckResult", "Solution", "Tile",
    "check_01_ex1", "check_01_ex2", "check_01_ex3", "check_01_ex4",
    "check_01_ex5", "check_01_ex6", "check_01_ex7", "check_01_ex8", "check_01_ex9",
    "check_02_ex1", "check_02_ex2", "check_02_ex3", "check_02_ex4",
    "check_02_ex5", "check_02_ex6", "check_02_ex7", "check_02_ex8",
    "check_03_ex1", "check_03_ex2", "check_03_ex3", "check_03_ex4", "check_03_ex5", "check_03_ex6",
    "check_03_ex7",
    "check_04_ex1", "check_04_ex2", "check_04_ex3", "check_04_ex4", "check_04_ex5", "check_04_ex6",
    "check_04_ex7", "check_04_ex8", "check_04_ex9", "check_04_ex10",
    "check_05_ex1", "check_05_ex2", "check_05_ex3", "check_05_ex4", "check_05_ex5", "check_05_ex6",
    "check_06_ex1", "check_06_ex2", "check_06_ex3", "check_06_ex4", "check_06_ex5", "check_06_ex6",
    "check_07_ex1", "check_07_ex2", "check_07_ex3", "check_07_ex4", "check_07_ex5",
    "check_07_ex6", "check_07_ex7", "check_07_ex8", "check_07_ex9",
]  # fmt: skip


def __getattr__(name: str) -> Callable[[], Solution]:
    """Give ``solution_NN_exK`` for each ``check_NN_exK``."""
    exercise = globals().get(name.replace("solution_", "check_", 1))
    if not name.startswith("solution_") or exercise is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return lambda: read_solution(exercise.shown)


def __dir__() -> list[str]:
    solutions = [name.replace("check_", "solution_") for name in __all__ if "check_" in name]
    return sorted([*globals(), *solutions])
