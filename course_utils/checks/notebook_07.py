"""Checks of notebook 07 on numbers: interval, verdict, Holm, data value, choice of settings."""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64
from scipy import stats
from torch import Tensor

from course_utils.checks.judging import (
    Mistakes,
    as_tensor,
    check,
    compare,
    is_close,
    judge,
    number,
    run,
    tell,
)

_WORDS = ("helped", "hurt", "no difference larger than that", "cannot tell")
_HELPED, _HURT, _NONE, _UNKNOWN = _WORDS
_GAINS = (  # mean, low, high, p after Holm's correction, smallest effect of interest
    (0.05, 0.02, 0.08, 0.001, 0.02),
    (-0.05, -0.08, -0.02, 0.001, 0.02),
    (0.03, 0.001, 0.059, 0.12, 0.02),  # its interval leaves 0 out, but it is one of several
    (-0.03, -0.059, -0.001, 0.12, 0.02),
    (0.002, -0.01, 0.014, 0.9, 0.02),
    (0.012, 0.004, 0.019, 0.003, 0.02),  # small and certain
    (-0.012, -0.019, -0.004, 0.003, 0.02),
    (0.012, 0.004, 0.019, 0.06, 0.02),
    (0.01, -0.03, 0.05, 0.7, 0.02),
    (0.004, -0.009, 0.017, 0.6, 0.01),  # one end is out
    (-0.004, -0.017, 0.009, 0.6, 0.01),
    (0.002, -0.01, 0.014, 0.9, 0.0),  # no effect is so small that it does not matter
)
_FAMILIES = (
    [0.04, 0.001, 0.03, 0.02, 0.3],
    [0.7, 0.0004, 0.6, 0.01],
    [0.02, 0.02, 0.2],
    [0.03],
)
_SHOTS = [1, 2, 4, 8, 16, 64]
_CURVE = [0.4, 0.46, 0.52, 0.56, 0.6, 0.64]  # accuracy of real only
_STEPS, _RATES = (50, 150, 450), (0.01, 0.1)
_VALIDATION = (  # of each number of steps with each rate
    (0.61, 0.58, 0.66, 0.63, 0.64, 0.60),
    (0.70, 0.72, 0.71, 0.69, 0.72, 0.70),  # a tie
    (0.50, 0.55, 0.58, 0.59, 0.57, 0.62),
    (0.80, 0.75, 0.80, 0.70, 0.80, 0.60),
)
_MANY = 1000  # far more numbers than anything asks for


def crossed(d):
    """Bound the mean of d over seeds (rows) and test images (columns), both drawn by chance."""
    num_seeds, num_images = d.shape
    v_seed = d.mean(dim=1).var().item() / num_seeds
    v_image = d.mean(dim=0).var().item() / num_images
    v = v_seed + v_image
    df = v**2 / (v_seed**2 / (num_seeds - 1) + v_image**2 / (num_images - 1))
    mean, half_width = d.mean().item(), stats.t.ppf(0.975, df) * math.sqrt(v)
    return mean, mean - half_width, mean + half_width, df


def _df(v_seed: float, v_image: float, s: int, n: int) -> float:
    return (v_seed + v_image) ** 2 / (v_seed**2 / (s - 1) + v_image**2 / (n - 1))


def _df_mistakes(d: Float64[Tensor, "s n"]) -> Mistakes:
    s, n = d.shape
    rows, columns = d.mean(dim=1), d.mean(dim=0)
    a, b = rows.var().item(), columns.var().item()
    right = _df(a / s, b / n, s, n)
    yield "only_seeds", s - 1
    yield "only_images", n - 1
    yield "pooled", s * n - 1
    yield "counted", s + n - 2, (s - 1) * (n - 1), s + n - 1, s * n - 2
    yield "undivided", _df(a, b, s, n)
    yield "swapped", _df(b / s, a / n, s, n), _df(a / n, b / s, s, n), _df(a / s, b / n, n, s)
    biased = rows.var(correction=0).item() / s, columns.var(correction=0).item() / n
    yield "biased", _df(*biased, s, n)
    yield "df_minus", _df(a / s, b / n, s + 1, n + 1)
    yield "df_square", right / (a / s + b / n), (a / s + b / n) ** 2 / (a / s + b / n)
    yield "root", _df(rows.std().item() / s**0.5, columns.std().item() / n**0.5, s, n)
    yield "df_inverse", 1 / right


def _width_mistakes(d: Float64[Tensor, "s n"]) -> Mistakes:
    s, n = d.shape
    a, b = d.mean(dim=1).var().item() / s, d.mean(dim=0).var().item() / n
    df, v = _df(a, b, s, n), a + b
    t = stats.t.ppf(0.975, df)
    yield "normal", 1.96 * v**0.5, stats.norm.ppf(0.975) * v**0.5
    yield "level", *(stats.t.ppf(level, df) * v**0.5 for level in (0.95, 0.9))
    yield "error", v**0.5
    yield "no_root", t * v
    yield "roots", t * (a**0.5 + b**0.5)
    yield "only_seeds", t * a**0.5
    yield "only_images", t * b**0.5
    yield "undivided", t * (a * s + b * n) ** 0.5
    yield "pooled", t * (d.var().item() / d.numel()) ** 0.5
    yield "whole", 2 * t * v**0.5, t * v**0.5 / 2


@check(crossed)
def check_07_ex1(value: Any) -> None:
    """Check ``crossed(d) -> (mean, low, high, df)``, the 95 % interval over seeds and images.

    v = v_seed + v_image, the variance of the row means over S plus that of the column means over N
    (divided by S - 1 and N - 1), df = v² / (v_seed² / (S - 1) + v_image² / (N - 1)), and mean
    ± t_df √v.

    Args:
        value: the function; d is a float64 tensor (S, N) of 0, 1 and -1.

    Source:
        Owen 2007 (arXiv:0712.1111) for the design, Satterthwaite 1946 for df.
    """
    for d in _make_differences():
        mean, low, high, df = _four_numbers(run(value, d))
        right_mean, _, right_high, right_df = crossed(d)
        said = {"seeds": len(d), "images": d.shape[1], "right": f"{right_df:.2f}"}
        tell([("mean", not is_close(mean, right_mean))], mean=mean, right=f"{right_mean:.4f}")
        tell([("ends", not low < high)], low=low, high=high)
        tell([("middle", not is_close((low + high) / 2, mean))], low=low, high=high)
        judge(df, right_df, _df_mistakes(d), otherwise="df", df=f"{df:.4g}", **said)
        said = {"half": f"{high - mean:.4f}", "right": f"{right_high - mean:.4f}"}
        judge(high - mean, right_high - mean, _width_mistakes(d), **said)


def _make_differences() -> Iterator[Float64[Tensor, "s n"]]:
    """Draw hits minus hits where seeds and images matter alike, then where seeds matter more."""
    generator = torch.Generator().manual_seed(0)
    for s, n, by_seed, by_image in ((5, 40, 0.5, 1.0), (3, 60, 0.6, 0.5)):
        noise = torch.randn(s, n, generator=generator)
        noise += by_seed * torch.randn(s, 1, generator=generator)
        noise += by_image * torch.randn(1, n, generator=generator)
        yield ((noise > 0.8).int() - (noise < -1.1).int()).double()


def _four_numbers(answer: Any) -> list[float]:
    try:
        parts = [] if isinstance(answer, str | bytes | Mapping | set) else list(islice(answer, 5))
    except TypeError:
        parts = []
    tell([("four", len(parts) != 4)])
    return [number(part) for part in parts]


def verdict(mean, low, high, p_holm, smallest):
    """Say what a gain with its interval allows to say."""
    if p_holm < 0.05:
        return "helped" if mean > 0 else "hurt"
    if -smallest <= low and high <= smallest:
        return "no difference larger than that"
    return "cannot tell"


def _verdict_mistakes(mean: float, low: float, high: float, p: float, smallest: float) -> Mistakes:
    by_sign = _HELPED if mean > 0 else _HURT
    inside, is_sure = -smallest <= low and high <= smallest, p < 0.05
    undecided = _NONE if inside else _UNKNOWN
    yield "interval", by_sign if low > 0 or high < 0 else undecided
    yield "absence", by_sign if is_sure else _NONE
    yield "point", by_sign if is_sure else _NONE if abs(mean) <= smallest else _UNKNOWN
    yield "small_first", _NONE if inside else by_sign if is_sure else _UNKNOWN
    for one_end in (high <= smallest, -smallest <= low):
        yield "one_end", by_sign if is_sure else _NONE if one_end else _UNKNOWN
    yield "sign", (_HURT if mean > 0 else _HELPED) if is_sure else undecided
    yield "p_sign", by_sign if p >= 0.05 else undecided
    beyond = low > smallest or high < -smallest
    yield "margin", by_sign if beyond else undecided, by_sign if is_sure and beyond else undecided
    yield "never", by_sign if is_sure else _UNKNOWN
    yield "by_mean", by_sign


@check(verdict)
def check_07_ex2(value: Any) -> None:
    """Check ``verdict(mean, low, high, p_holm, smallest) -> str``, one of four.

    "helped" or "hurt" if p_holm < 0.05, by the sign of the mean; else "no difference larger than
    that" if all of the interval lies within ± smallest; else "cannot tell".

    Args:
        value: the function; all arguments are floats, gains as shares.
    """

    def read(answer: Any, _: str) -> str:
        word = answer.strip().lower().rstrip(".") if isinstance(answer, str) else None
        tell([("word", word not in _WORDS)], answer=repr(answer)[:60])
        return word

    def say(answer: str, right: str, *gain: float) -> dict[str, object]:
        names = "mean", "low", "high", "p", "smallest"
        return {"answer": answer, "right": right} | dict(zip(names, gain, strict=True))

    options = {"read": read, "same": str.__eq__, "watch": False, "jointly": True, "say": say}
    compare(value, _GAINS, verdict, _verdict_mistakes, **options)


def holm(p_values):
    """Correct p-values by Holm: the smallest times m, the next times m - 1, never falling."""
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected


def _holm_mistakes(p_values: list[float]) -> Mistakes:
    p, m = np.array(p_values), len(p_values)
    order = np.argsort(p, kind="stable")
    ranks = np.argsort(order)
    falling = (m - np.arange(m)) * p[order]
    climbing = np.maximum.accumulate(falling)
    right, rates = np.array(holm(p_values)), m / (1 + np.arange(m)) * p[order]

    def put_back(values: np.ndarray) -> np.ndarray:
        return np.minimum(values, 1)[ranks]

    yield "uncorrected", p
    yield "bonferroni", np.minimum(m * p, 1), m * p
    yield "sorted", right[order]
    yield "not_rising", put_back(falling), falling[ranks]
    yield "not_capped", climbing[ranks]
    yield "hochberg", put_back(np.minimum.accumulate(falling[::-1])[::-1])
    yield "discovery", put_back(np.minimum.accumulate(rates[::-1])[::-1])
    yield "one_less", put_back(np.maximum.accumulate((m - 1 - np.arange(m)) * p[order]))
    yield "reversed", put_back(np.maximum.accumulate((1 + np.arange(m)) * p[order]))
    yield "unsorted", np.minimum(np.maximum.accumulate((m - np.arange(m)) * p), 1)


@check(holm)
def check_07_ex7(value: Any) -> None:
    """Check ``holm(p_values) -> list``, the corrected p-values in the order given.

    The smallest of m is multiplied by m, the next by m - 1, …, the largest by 1; none is over 1,
    and none is less than that of a smaller p-value.

    Args:
        value: the function; p_values is a list of floats.

    Source:
        Holm, Scandinavian Journal of Statistics 1979.
    """

    def read(answer: Any, right: list[float]) -> Float64[Tensor, " m"]:
        if isinstance(answer, list | tuple):
            tell([("decisions", any(isinstance(part, bool | np.bool_) for part in answer))])
            answer = [number(part) for part in islice(answer, _MANY)]
        found = as_tensor(answer)
        tell([("length", tuple(found.shape) != (len(right),))], num=len(right))
        return found

    def say(found: Tensor, right: list[float], p_values: list[float]) -> dict[str, object]:
        i = int((found - torch.tensor(right)).abs().argmax())
        return {"given": p_values, "p": p_values[i], "answer": f"{found[i]:.4g}", "right": right[i]}

    compare(value, [(p,) for p in _FAMILIES], holm, _holm_mistakes, read=read, say=say)


def data_value(shots, real_accuracy, accuracy):
    """Read off how many real images a class give that accuracy."""
    return float(2 ** np.interp(accuracy, real_accuracy, np.log2(shots)))


def _value_mistakes(shots: list[int], curve: list[float], accuracy: float) -> Mistakes:
    def extend(i: int) -> float:
        slope = (logs[i + 1] - logs[i]) / (curve[i + 1] - curve[i])
        return 2 ** (logs[i] + slope * (accuracy - curve[i]))

    logs, right = np.log2(shots), data_value(shots, curve, accuracy)
    above = next((s for s, c in zip(shots, curve, strict=True) if c >= accuracy), shots[-1])
    below = max((s for s, c in zip(shots, curve, strict=True) if c <= accuracy), default=shots[0])
    near = shots[int(np.argmin(np.abs(np.array(curve) - accuracy)))]
    if accuracy > curve[-1] or accuracy < curve[0]:
        yield "not_clipped", extend(len(shots) - 2 if accuracy > curve[-1] else 0)
        yield "not_clipped", 0.0, 2 * shots[-1]
    yield "linear", np.interp(accuracy, curve, shots)
    yield "logarithm", math.log2(right)
    yield "base", math.exp(math.log2(right)), 2 ** math.log(right), 10 ** math.log2(right)
    yield "measured", above, below, near
    yield "rounded", round(right), math.ceil(right), math.floor(right)
    yield "forward", np.interp(accuracy, shots, curve), np.interp(accuracy, logs, curve)
    yield "fit", 2 ** np.polyval(np.polyfit(curve, logs, 1), accuracy)
    slope, start = np.polyfit(logs, curve, 1)
    yield "fit", 2 ** ((accuracy - start) / slope)
    yield "position", np.interp(accuracy, curve, range(len(shots)))


@check(data_value)
def check_07_ex8(value: Any) -> None:
    """Check ``data_value(shots, real_accuracy, accuracy) -> float``, in real images a class.

    The number of real images a class with which real only reaches that accuracy, linear in
    log2(shots) between two measured ones, and the first or last of ``shots`` beyond the curve.

    Args:
        value: the function; the first two arguments are lists, and the accuracies rise.
    """

    def say(answer: float, right: float, shots: list, curve: list, accuracy: float) -> dict:
        return {"accuracy": accuracy, "answer": f"{answer:.4g}", "right": f"{right:.4g}"}

    cases = [(_SHOTS, _CURVE, x) for x in (0.635, 0.5, 0.415, 0.56, 0.7, 0.3)]
    options = {"same": partial(math.isclose, rel_tol=1e-3), "watch": False, "say": say}
    compare(value, cases, data_value, _value_mistakes, **options)


def choose(trials):
    """Take the settings that validation likes best, the first of equals."""
    return max(trials, key=lambda trial: trial["validation"])


def _choice_mistakes(trials: Sequence[dict]) -> Iterator[tuple[str, dict]]:
    ranked = sorted(trials, key=lambda trial: trial["validation"])
    yield "last", max(reversed(trials), key=lambda trial: trial["validation"])
    yield "worst", ranked[0]
    yield "first", trials[0]
    yield "last_in_list", trials[-1]


@check(choose)
def check_07_ex9(value: Any) -> None:
    """Check ``choose(trials) -> dict``: the best validation accuracy, the first of equals.

    It is tried again with other test accuracies, which must not change what is chosen.

    Args:
        value: the function; each trial is a dict with steps, learning_rate, validation and test,
            the fewest steps first.
    """
    for case, validation in enumerate(_VALIDATION):
        best, top = int(np.argmax(validation)), max(validation)
        trials = _make_trials(validation, [x + 0.02 for x in validation])
        found = _as_trial(run(value, trials, watch=False), trials)
        rising = [0.1 * i for i in range(len(validation))]
        tests = [rising, rising[::-1], [float(x < top) for x in validation], [math.nan] * 6]
        for test in tests:
            spoiled = _make_trials(validation, test)
            tell([("test", _as_trial(run(value, spoiled, watch=False), spoiled) != found)])
        wrong = [(key, _as_trial(one, trials)) for key, one in _choice_mistakes(trials)]
        said = {"steps": trials[best]["steps"], "rate": trials[best]["learning_rate"]}
        said |= {"accuracy": validation[found], "right": top, "case": case + 1}
        judge(found, best, wrong, **said)


def _make_trials(validation: Sequence[float], test: Sequence[float]) -> list[dict]:
    settings = [(steps, rate) for steps in _STEPS for rate in _RATES]
    return [
        {"steps": steps, "learning_rate": rate, "validation": x, "test": y}
        for (steps, rate), x, y in zip(settings, validation, test, strict=True)
    ]


def _as_trial(answer: Any, trials: Sequence[dict]) -> int:
    """Find which trial was given back, as a dict or a row of a data frame."""
    is_row = isinstance(answer, Mapping | pd.Series)
    tell([("index", isinstance(answer, int | np.integer)), ("form", not is_row)])
    settings = [(trial["steps"], trial["learning_rate"]) for trial in trials]
    given = answer.get("steps"), answer.get("learning_rate")
    tell([("form", given not in settings)])
    return settings.index(given)
