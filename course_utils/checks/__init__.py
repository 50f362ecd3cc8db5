"""Exercises that check themselves: `check_NN_exK(value)` says whether it is right, or why not.

A check never raises on what a learner hands in; it recognises common wrong answers by their value.
"""

from course_utils.checks.classifiers import check_02_ex1, check_02_ex2, check_02_ex5
from course_utils.checks.clouds import check_04_ex4, check_04_ex5
from course_utils.checks.contrast import check_02_ex3, check_02_ex4
from course_utils.checks.copies import check_04_ex6
from course_utils.checks.damage_scores import check_06_ex1, check_06_ex4
from course_utils.checks.denoisers import check_01_ex5, check_01_ex8
from course_utils.checks.forward_process import (
    check_01_ex1,
    check_01_ex2,
    check_01_ex3,
    check_01_ex4,
)
from course_utils.checks.guidance import check_04_ex1, check_04_ex2
from course_utils.checks.labels import check_03_ex4, check_03_ex5
from course_utils.checks.leaks import Tile, check_06_ex3
from course_utils.checks.moved import check_03_ex1, check_03_ex2, check_03_ex3
from course_utils.checks.pixel_size import check_06_ex2
from course_utils.checks.prompt_lists import check_04_ex3
from course_utils.checks.results import CheckResult
from course_utils.checks.reverse_process import check_01_ex6, check_01_ex7

__all__ = [
    "CheckResult",
    "Tile",
    "check_01_ex1",
    "check_01_ex2",
    "check_01_ex3",
    "check_01_ex4",
    "check_01_ex5",
    "check_01_ex6",
    "check_01_ex7",
    "check_01_ex8",
    "check_02_ex1",
    "check_02_ex2",
    "check_02_ex3",
    "check_02_ex4",
    "check_02_ex5",
    "check_03_ex1",
    "check_03_ex2",
    "check_03_ex3",
    "check_03_ex4",
    "check_03_ex5",
    "check_04_ex1",
    "check_04_ex2",
    "check_04_ex3",
    "check_04_ex4",
    "check_04_ex5",
    "check_04_ex6",
    "check_06_ex1",
    "check_06_ex2",
    "check_06_ex3",
    "check_06_ex4",
]
