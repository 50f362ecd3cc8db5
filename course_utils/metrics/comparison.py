"""What a paired difference, or several of them, allow to claim."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import stats
from sklearn.isotonic import isotonic_regression
from torch import Tensor

from course_utils.metrics.classification import (
    ROUNDING,
    Interval,
    crossed_interval,
    require_classes,
)

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
    if interval.mean == 0 or math.isinf(interval.error):
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


def per_class_gain(
    differences: Float[Tensor, "s n"],
    labels: Int[Tensor, " n"],
    *,
    num_classes: int,
    level: float = 0.95,
) -> list[Interval]:
    """Bound what an arm gained in each class: the difference of the recalls, seeds x images.

    A class is judged by its own images alone, as `crossed_interval` would. They are few and the
    classes many: put the p-values through `holm` before one is called helped.

    Args:
        differences: ``differences[s, i]``, right (0 or 1) with less right without, as in
            `crossed_interval`.
        labels: true classes of the images.
        num_classes: k; class 0 … k - 1 in the list that is returned.
        level: coverage, between 0 and 1.

    Returns:
        An interval a class. One image leaves open all that a gain can be, -1 to 1; no image has
        no mean either (NaN).

    Raises:
        ValueError: not one label an image, a label out of range, and as `crossed_interval`.
    """
    (labels,) = require_classes(num_classes=num_classes, labels=labels)
    if differences.dim() != 2 or differences.shape[1] != len(labels):
        raise ValueError(
            f"differences: expected seeds x {len(labels)} images, one a label, got "
            f"{' x '.join(map(str, differences.shape))}"
        )
    intervals = []
    for k in range(num_classes):
        some = differences[:, labels == k]
        if some.shape[1] > 1:
            intervals.append(crossed_interval(some, level=level))
        else:
            intervals.append(Interval(some.double().mean().item(), -1.0, 1.0, math.inf, math.inf))
    return intervals


@dataclass(frozen=True)
class DataValue:
    """How many real images a class training without synthetic ones would need, and its interval."""

    value: float  # within the numbers of shots that were measured, like both ends
    low: float  # at the fewest shots: so many or fewer
    high: float  # at the most shots: so many or more
    at_most: bool  # the fewest real images are already better: the value is so many or fewer
    at_least: bool  # the most real images are still worse: the value is so many or more


def data_value(
    shots: Sequence[int],
    real: Float[Tensor, "c s n"],
    mixed: Float[Tensor, "s n"],
    *,
    generator: torch.Generator,
    num_draws: int = 1000,
    level: float = 0.95,
) -> DataValue:
    r"""Say how many real images a class alone reach the accuracy of a mixed arm.

    Real-only accuracy $a(k)$ is made to never fall with the number of shots k (isotonic
    regression), is taken as linear in $\log_2 k$ between those that were measured, and is read
    backwards: the fewest shots with $a(k) \ge$ the mixed arm's accuracy. Nothing is guessed
    outside what was measured.

    The interval is that of the pigeonhole bootstrap: each draw takes as many seeds and as many
    test images as there are, with replacement and independently of each other, the same for all
    arms, and reads the value anew.

    Args:
        shots: real images a class, ascending.
        real: ``real[c, s, i]`` says whether real-only with ``shots[c]`` and seed s was right
            on test image i (0 or 1).
        mixed: the same of the arm with synthetic images, at one number of shots.
        generator: draws seeds and images.
        num_draws: of the bootstrap.
        level: coverage, between 0 and 1.

    Raises:
        ValueError: under two numbers of shots, some that do not ascend from 1 or more, answers
            of other shapes, under two draws, or a level outside (0, 1).

    Source:
        Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 2007, arXiv:0712.1111.
    """
    _require_level(level)
    hits = _stack_hits(shots, real, mixed)
    _, num_seeds, num_images = hits.shape
    if num_draws < 2:
        raise ValueError(f"num_draws: expected 2 or more, got {num_draws}")
    seed_shares = _draw_shares(num_draws, num_seeds, generator)
    image_shares = _draw_shares(num_draws, num_images, generator)
    drawn = ((hits @ image_shares.T) * seed_shares.T).sum(dim=1)  # accuracies, c + 1 x draws
    log_shots = np.log2(shots)
    found, below, above = _read_back(log_shots, hits.mean(dim=(1, 2)).numpy())
    values = [_read_back(log_shots, accuracies)[0] for accuracies in drawn.T.numpy()]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    low, high = min(low, found), max(high, found)
    return DataValue(*(float(2**x) for x in (found, low, high)), at_most=below, at_least=above)


def _stack_hits(shots: Sequence[int], real: Any, mixed: Any) -> Tensor:
    ascends = all(1 <= fewer < more for fewer, more in pairwise(shots))
    if len(shots) < 2 or not ascends:
        raise ValueError(f"shots: expected two or more, ascending from 1 or more, got {shots}")
    real, mixed = (torch.as_tensor(hits, dtype=torch.float64).cpu() for hits in (real, mixed))
    if real.shape != (len(shots), *mixed.shape) or mixed.dim() != 2 or not mixed.numel():
        raise ValueError(
            f"expected real {len(shots)} x seeds x images and mixed seeds x images, of the same "
            f"seeds and images, got {tuple(real.shape)} and {tuple(mixed.shape)}"
        )
    return torch.cat([real, mixed[None]])


def _draw_shares(num_draws: int, num: int, generator: torch.Generator) -> Float[Tensor, "b num"]:
    """Draw which share each of num things has when num are taken with replacement."""
    taken = torch.randint(num, (num_draws, num), generator=generator)
    ones = torch.ones(num_draws, num, dtype=torch.float64)
    return torch.zeros(num_draws, num, dtype=torch.float64).scatter_add_(1, taken, ones) / num


def _read_back(
    log_shots: Float[np.ndarray, " c"], accuracies: Float[np.ndarray, " _c1"]
) -> tuple[float, bool, bool]:
    """Find where the rising curve of all but the last reaches the last; say if it lies outside."""
    curve, wanted = isotonic_regression(accuracies[:-1]), accuracies[-1]
    at = int(np.searchsorted(curve, wanted - ROUNDING))
    if at == 0:
        return log_shots[0], bool(wanted < curve[0] - ROUNDING), False
    if at == len(curve):
        return log_shots[-1], False, True
    share = (wanted - curve[at - 1]) / (curve[at] - curve[at - 1])
    return log_shots[at - 1] + min(share, 1.0) * (log_shots[at] - log_shots[at - 1]), False, False


def _require_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level: expected a share between 0 and 1, got {level}")
