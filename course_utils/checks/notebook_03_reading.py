"""Checks of notebook 03 on claims: which augmentations are legal, what a table of gains says."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from course_utils.checks.judging import Mistakes, check, compare, tell
from course_utils.checks.letters import judge_letters

Reading = Callable[[float, float], bool]  # what the ends of an interval say

_LEGAL = frozenset("abh")
_WORDS = ("helped", "hurt", "no difference larger than that", "cannot tell")
_HELPED, _HURT, _NONE, _UNKNOWN = _WORDS
_GAINS = (  # name, low, high; the smallest effect of interest is 0.02
    ("rotation", 0.004, 0.031),
    ("Cutout", -0.052, -0.006),
    ("hue", -0.011, 0.014),
    ("noise", -0.012, 0.035),
    ("crop", -0.055, 0.009),
    ("flip", 0.002, 0.013),  # small and certain
    ("contrast", -0.015, -0.001),
    ("mixup", -0.06, 0.064),  # its middle is near 0
    ("brightness", 0.0, 0.018),  # touches 0
)
_REPEATED, _NOISE = "real images repeated", "the same, other batches"
_CONTROLS = (  # of each table: name, low, high
    ((_REPEATED, -0.003, 0.004),),
    ((_REPEATED, 0.001, 0.011),),
    ((_REPEATED, -0.012, -0.001), (_NOISE, -0.004, 0.003)),
    ((_NOISE, -0.002, 0.003), (_REPEATED, 0.002, 0.006)),
)


@check(_LEGAL)
def check_03_ex5(value: Any) -> None:
    """Check which of eight augmentations keep the label right.

    Args:
        value: letters, as a set, a list or a string.
    """
    judge_letters(value, _LEGAL)


def read_gains(rows, smallest):
    """Give each gain one of four words, and believe none that a control has as well."""

    def by_interval(row):
        if row["low"] > 0 or row["high"] < 0:
            return "helped" if row["low"] > 0 else "hurt"
        is_small = -smallest <= row["low"] and row["high"] <= smallest
        return "no difference larger than that" if is_small else "cannot tell"

    words = {row["name"]: by_interval(row) for row in rows}
    effects = {words[row["name"]] for row in rows if row["is_control"]} & {"helped", "hurt"}
    for row in rows:
        if not row["is_control"] and words[row["name"]] in effects:
            words[row["name"]] = "cannot tell"
    return words


def _gain_mistakes(rows: Sequence[dict], smallest: float) -> Mistakes:
    def out(low: float, high: float) -> bool:
        return low > 0 or high < 0

    def inside(low: float, high: float) -> bool:
        return -smallest <= low and high <= smallest

    yield "absence", _read_all(rows, out, lambda low, high: True)
    yield "never", _read_all(rows, out, lambda low, high: False)
    yield "sign", _read_all(rows, out, inside, words=(_HURT, _HELPED))
    yield "touches", _read_all(rows, lambda low, high: low >= 0 or high <= 0, inside)
    yield "small_first", _read_all(rows, lambda *ends: out(*ends) and not inside(*ends), inside)
    yield "margin", _read_all(rows, lambda low, high: low > smallest or high < -smallest, inside)
    yield "point", _read_all(rows, out, lambda low, high: abs(low + high) / 2 <= smallest)
    yield "one_end", _read_all(rows, out, lambda _, high: high <= smallest)
    yield "one_end", _read_all(rows, out, lambda low, _: low >= -smallest)
    yield "by_mean", _read_all(rows, lambda low, high: True, inside)
    yield from _control_mistakes(rows, _read_all(rows, out, inside))


def _read_all(
    rows: Sequence[dict],
    is_effect: Reading,
    is_small: Reading,
    *,
    words: tuple[str, str] = (_HELPED, _HURT),
) -> dict[str, str]:
    """Read every row by its interval alone."""

    def read(low: float, high: float) -> str:
        if is_effect(low, high):
            return words[0] if low + high > 0 else words[1]
        return _NONE if is_small(low, high) else _UNKNOWN

    return {row["name"]: read(row["low"], row["high"]) for row in rows}


def _control_mistakes(rows: Sequence[dict], words: dict[str, str]) -> Mistakes:
    def take_back(which: Callable[[str, bool], bool]) -> dict[str, str]:
        """Take words back, by the word and whether it is a control's."""
        return {n: _UNKNOWN if which(word, n in controls) else word for n, word in words.items()}

    controls = {row["name"] for row in rows if row["is_control"]}
    effects = {words[name] for name in controls} & {_HELPED, _HURT}
    some = bool(effects)
    yield "no_control" if len(controls) == 1 else "one_control", words
    yield "control_too", take_back(lambda word, _: word in effects)
    any_effect = take_back(lambda word, own: some and not own and word in (_HELPED, _HURT))
    yield "any_control", any_effect
    yield "everything", take_back(lambda _, own: some and not own)
    yield "everything", take_back(lambda *_: some)


@check(read_gains)
def check_03_ex6(value: Any) -> Any:
    """Check ``read_gains(rows, smallest) -> dict``, from the name of each row to one of four words.

    "helped" if low > 0, "hurt" if high < 0, else "no difference larger than that" if all of the
    interval lies within ± smallest, else "cannot tell"; and "cannot tell" of an arm that helped
    or hurt as a control did.

    Args:
        value: the function; each row is a dict with name, low, high and is_control.
    """

    def read(answer: Any, right: dict[str, str]) -> dict[str, str]:
        tell([("form", not isinstance(answer, Mapping))], kind=type(answer).__name__)
        missing, more = sorted(right.keys() - answer.keys()), answer.keys() - right.keys()
        tell([("missing", missing)], name="".join(missing[:1]))
        tell([("more", more)], num=len(right))
        found = {name: _as_word(word) for name, word in answer.items()}
        wrong = next((name for name, word in found.items() if word is None), None)
        tell([("word", wrong is not None)], name=wrong, answer=repr(answer.get(wrong))[:60])
        return found

    def say(answer: dict, right: dict, rows: Sequence[dict], smallest: float) -> dict[str, object]:
        row = next((row for row in rows if answer[row["name"]] != right[row["name"]]), rows[0])
        said = {"answer": answer[row["name"]], "right": right[row["name"]]}
        return said | {key: row[key] for key in ("name", "low", "high")}

    options = {"read": read, "same": dict.__eq__, "watch": False, "say": say}
    return compare(value, map(_make_table, _CONTROLS), read_gains, _gain_mistakes, **options)


def _as_word(word: Any) -> str | None:
    word = word.strip().lower().rstrip(".") if isinstance(word, str) else None
    return word if word in _WORDS else None


def _make_table(controls: Sequence[tuple]) -> tuple[list[dict], float]:
    rows = [
        {"name": name, "low": low, "high": high, "is_control": (name, low, high) in controls}
        for name, low, high in (*_GAINS[:2], *controls, *_GAINS[2:])
    ]
    return rows, 0.02
