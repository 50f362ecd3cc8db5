"""Check of notebook 01 on what steps, η and guidance cost and buy."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from course_utils.checks.judging import Hint, Mistakes, check, compare

Row = Mapping[str, Any]
_NAMES = ("steps", "eta", "guidance_scale", "recognized", "low", "high", "spread")
_TABLES = (  # the least spread, and rows of _NAMES; each mistake gives another row in one of them
    (
        0.80,
        (
            (4, 0.0, 1.0, 0.70, 0.62, 0.77, 0.97),  # the fewest calls of all
            (20, 0.0, 4.0, 0.99, 0.97, 1.00, 0.60),  # the best of all, and all alike
            (25, 0.0, 0.5, 0.91, 0.85, 0.955, 0.98),  # guided away from the class: 50 calls
            (30, 1.0, 1.0, 0.90, 0.84, 0.95, 0.95),
            (40, 0.5, 1.0, 0.90, 0.86, 0.94, 0.80),
            (20, 0.0, 2.0, 0.90, 0.85, 0.94, 0.83),  # 40 calls as well
            (20, 0.0, 3.0, 0.95, 0.92, 0.97, 0.75),
            (42, 0.0, 1.0, 0.93, 0.89, 0.965, 0.86),
            (45, 0.0, 2.0, 0.94, 0.90, 0.965, 0.84),
            (55, 0.0, 2.0, 0.93, 0.90, 0.975, 0.90),
            (58, 0.0, 2.0, 0.955, 0.945, 0.965, 0.82),
            (60, 0.0, 2.0, 0.96, 0.94, 0.97, 0.81),  # the best of those that differ enough
        ),
    ),
    (  # equal calls, and spread that is just enough
        0.50,
        (
            (10, 0.0, 2.0, 0.60, 0.50, 0.70, 0.50),
            (20, 1.0, 1.0, 0.60, 0.50, 0.70, 0.50),
            (22, 1.0, 1.0, 0.60, 0.50, 0.70, 0.55),
            (30, 0.0, 1.0, 0.58, 0.48, 0.68, 0.60),
        ),
    ),
    (  # an interval that just reaches the best one's
        0.90,
        (
            (50, 0.0, 1.0, 0.80, 0.70, 0.88, 0.92),
            (20, 0.0, 1.0, 0.69, 0.60, 0.79, 0.95),
            (5, 1.0, 1.0, 0.60, 0.50, 0.70, 0.97),
        ),
    ),
)


def cheapest(rows, least_spread):
    """Find the setting with the fewest calls that cannot be told from the best."""

    def calls(row):
        return row["steps"] * (1 if row["guidance_scale"] == 1 else 2)

    allowed = [row for row in rows if row["spread"] >= least_spread]
    best = max(allowed, key=lambda row: row["recognized"])
    good = [row for row in allowed if row["high"] >= best["low"]]
    return min(good, key=calls)


def _mistakes(rows: list[Row], least_spread: float) -> Mistakes:
    def calls(row: Row) -> Any:
        return row["steps"] * (1 if row["guidance_scale"] == 1 else 2)

    def pick(some: list[Row], *, cost: Any = calls, best: Row | None = None) -> Row | None:
        best = best or max(some, key=lambda row: row["recognized"], default=None)
        return min((row for row in some if row["high"] >= best["low"]), key=cost, default=None)

    allowed = [row for row in rows if row["spread"] >= least_spread]
    best = max(allowed, key=lambda row: row["recognized"])
    yield "steps_only", pick(allowed, cost=lambda row: row["steps"])
    yield (
        "above_one",
        pick(allowed, cost=lambda row: row["steps"] * (1 + (row["guidance_scale"] > 1))),
    )
    yield "best", best
    yield "any", min(allowed, key=calls), min(rows, key=calls)
    yield "spread", pick(rows)
    yield "strict_spread", pick([row for row in rows if row["spread"] > least_spread])
    yield "strict", min((row for row in allowed if row["high"] > best["low"]), key=calls)
    yield "last", pick(allowed[::-1])
    yield from _interval_mistakes(rows, allowed, best, pick)


def _interval_mistakes(
    rows: list[Row], allowed: list[Row], best: Row, pick: Any
) -> Iterator[tuple]:
    """List what other ends of intervals give, or the best of another group."""
    everywhere = max(rows, key=lambda row: row["recognized"])
    yield "best_of_all", pick(allowed, best=everywhere)
    for key, end, least in (
        ("point", "recognized", best["low"]),
        ("low", "low", best["low"]),
        ("mean_of_best", "high", best["recognized"]),
    ):
        yield key, pick([row for row in allowed if row[end] >= least])


@check(cheapest)
def check_01_ex9(value: Any) -> Any:
    """Check ``cheapest(rows, least_spread) -> dict``, what is good enough for the fewest calls.

    Among rows of enough spread, those whose interval reaches the lower end of the best one's; of
    these the one with the fewest calls of the network, two a step where the scale is not 1.

    Args:
        value: the function; rows are dicts with ``steps``, ``eta``, ``guidance_scale``,
            ``recognized``, ``low``, ``high`` and ``spread``.

    Source:
        Ho and Salimans 2022 (arXiv:2207.12598), section 5, for what guidance trades.
    """

    def read(answer: Any, _: Row) -> Row | None:
        if isinstance(answer, pd.Series):
            answer = answer.to_dict()
        if not isinstance(answer, Mapping) or not set(_NAMES) <= set(answer):
            raise Hint("row", kind=type(answer).__name__)
        return {name: answer[name] for name in _NAMES}

    cases = [
        ([dict(zip(_NAMES, row, strict=True)) for row in rows], least) for least, rows in _TABLES
    ]
    return compare(value, cases, cheapest, _mistakes, read=read, same=_is_same, say=_say)


def _is_same(a: Row, b: Row | None) -> bool:
    return b is not None and all(a[name] == b[name] for name in _NAMES)


def _say(found: Row, right: Row, rows: list[Row], least_spread: float) -> dict[str, object]:
    told = (f"steps {row['steps']}, guidance {row['guidance_scale']:g}" for row in (found, right))
    return {"least": least_spread, **dict(zip(("answer", "right"), told, strict=True))}
