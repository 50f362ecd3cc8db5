"""What a paired difference, or several of them, allow to claim."""

import math
from collections.abc import Sequence
from typing import Literal

from scipy import stats

from course_utils.metrics.classification import Interval

Verdict = Literal["helped", "hurt", "no difference larger than that", "cannot tell"]


def p_value(interval: Interval) -> float:
    r"""Say how often a mean as far from 0 would come about if the truth were 0.

    $$p = 2\,P\big(T_{df} > |\bar x| / \sqrt v\big)$$

    with the error $\sqrt v$ and the degrees of freedom of the interval. It is under 0.05 where the
    95 % interval leaves 0 out, and 1 where nothing varies, which shows nothing.

    Source:
        Student, "The probable error of a mean", Biometrika 1908; df: Satterthwaite, Biometrics
        Bulletin 1946.
    """
    if interval.mean == 0:
        return 1.0
    distance = abs(interval.mean) / interval.error if interval.error > 0 else math.inf
    return 2 * stats.t.sf(distance, interval.df).item()


def smallest_excluded(interval: Interval, *, level: float = 0.95) -> float:
    r"""Give the smallest effect that such an interval would leave out if the mean were 0.

    It is the interval's half-width $t_{df} \sqrt v$, before what a mean cannot leave cuts it.

    Raises:
        ValueError: a level outside (0, 1).
    """
    _require_level(level)
    return stats.t.ppf((1 + level) / 2, interval.df).item() * interval.error


def holm(p_values: Sequence[float]) -> list[float]:
    r"""Correct the p-values of m comparisons, so that 5 % of such families hold a false claim.

    With $p_{(1)} \le \dots \le p_{(m)}$ the corrected ones are

    $$\tilde p_{(i)} = \max_{j \le i} \min\big(1, (m - j + 1)\,p_{(j)}\big)$$

    It asks nothing of how the comparisons depend on each other, and allows every claim that
    Bonferroni's m p allows.

    Returns:
        Corrected p-values, in the order given.

    Raises:
        ValueError: one is no number from 0 to 1.

    Source:
        Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
        Statistics 1979.
    """
    if wrong := [p for p in p_values if not 0 <= p <= 1]:
        raise ValueError(f"p_values: expected numbers from 0 to 1, got {wrong[0]}")
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * float(p_values[i])))
        corrected[i] = largest
    return corrected


def verdict(
    interval: Interval, *, smallest: float = 0.0, p: float | None = None, level: float = 0.95
) -> Verdict:
    """Say what the interval of a paired difference (with minus without) allows to say.

    It helped or hurt if the interval leaves 0 out, or, where ``p`` is given, if that is less than
    1 - ``level``. Else, if all of the interval is no farther from 0 than the smallest effect of
    interest, there is no difference larger than that. Else nobody can tell.

    Args:
        interval: with the coverage ``level``. One that contains or touches 0 claims no effect.
        smallest: effect of interest, fixed before anything was measured; 0 asks for none.
        p: p-value after `holm`, where this is one of several comparisons.
        level: coverage, between 0 and 1; only used with ``p``.

    Raises:
        ValueError: a negative smallest effect, a p that is no number from 0 to 1, or a level
            outside (0, 1).

    Source:
        The third verdict: Schuirmann, "A comparison of the two one-sided tests procedure",
        Journal of Pharmacokinetics and Biopharmaceutics 1987, where a 90 % interval would do.
    """
    _require_level(level)
    if not smallest >= 0:
        raise ValueError(f"smallest: expected an effect of 0 or more, got {smallest}")
    if p is not None and not 0 <= p <= 1:
        raise ValueError(f"p: expected a number from 0 to 1, got {p}")
    if p is None:
        is_effect = interval.low > 0 or interval.high < 0
    else:
        is_effect = p < 1 - level and interval.mean != 0
    if is_effect:
        return "helped" if interval.mean > 0 else "hurt"
    if smallest > 0 and -smallest <= interval.low and interval.high <= smallest:
        return "no difference larger than that"
    return "cannot tell"


def _require_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level: expected a share between 0 and 1, got {level}")
