"""Every learner-visible string that comes from code, by key and language.

A string is a `str.format` pattern. English is complete; where another language lacks a string, the
English one is shown. Exceptions stay English, next to the code that raises them.
"""

import difflib
import json
import string
from functools import cache

from course_utils.runtime import data_root, language


@cache
def catalog() -> dict[str, dict[str, str]]:
    """Read the strings of the course: key, then language."""
    return json.loads((data_root() / "texts.json").read_text(encoding="utf-8"))


def text(key: str, **values: object) -> str:
    """Give a string in the language of ``COURSE_LANG`` (``en`` by default).

    Args:
        key: a key of ``data/texts.json``.
        values: what to put into the braces of the string.

    Raises:
        KeyError: there is no such key, or a value for a pair of braces is missing.
        ValueError: ``COURSE_LANG`` is no language of the course.
    """
    if key not in catalog():
        close = difflib.get_close_matches(key, catalog(), cutoff=0.4) or sorted(catalog())
        raise KeyError(f"no text {key!r}; the closest keys are {', '.join(close)}")
    pattern = catalog()[key].get(language(), catalog()[key]["en"])
    missing = placeholders(pattern) - values.keys()
    if missing:
        raise KeyError(f"text {key!r} needs a value for {', '.join(sorted(missing))}")
    return pattern.format(**values)


def placeholders(pattern: str) -> set[str]:
    """List the names in the braces of a `str.format` pattern."""
    return {name for _, name, _, _ in string.Formatter().parse(pattern) if name is not None}
