"""Checks of notebook 07 on numbers: right answers pass, every known wrong one gets its own hint."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from test_checks import assert_hint

from course_utils import checks, metrics
from course_utils.checks import notebook_07
from course_utils.checks.judging import is_close

# --- 1: the interval -----------------------------------------------------------------------------


def parts(d):
    """Give both variances of the mean, as the definition has them, by loops over plain lists."""
    rows = [sum(row) / len(row) for row in d.tolist()]
    columns = [sum(column) / len(column) for column in d.T.tolist()]
    return [np.var(some, ddof=1) / len(some) for some in (rows, columns)]


def interval(v=None, df=None, t=None, half=None, mean=None):
    """Build the interval with parts of it replaced, each by a function of d and what is right."""

    def crossed(d):
        s, n = d.shape
        a, b = parts(d)
        used = v(d, a, b) if v else a + b
        degrees = df(d, a, b) if df else (a + b) ** 2 / (a**2 / (s - 1) + b**2 / (n - 1))
        factor = t(degrees) if t else stats.t.ppf(0.975, degrees)
        width = half(used, factor, a, b) if half else factor * used**0.5
        middle = mean(d) if mean else d.mean().item()
        return middle, middle - width, middle + width, degrees

    return crossed


def satterthwaite(a, b, s, n):
    return (a + b) ** 2 / (a**2 / (s - 1) + b**2 / (n - 1))


def df_of(change):
    return interval(df=lambda d, a, b: change(a, b, *d.shape))


def by_package(d):
    found = metrics.crossed_interval(d, ends=(-math.inf, math.inf))
    return found.mean, found.low, found.high, found.df


def test_the_interval_of_the_package_passes_and_so_do_other_forms():
    assert checks.check_07_ex1(by_package).passed
    assert checks.check_07_ex1(interval()).passed
    assert checks.check_07_ex1(lambda d: torch.tensor(by_package(d))).passed
    assert checks.check_07_ex1(lambda d: np.array(by_package(d))[::-1][::-1]).passed
    assert checks.check_07_ex1(lambda d: (torch.tensor(x) for x in by_package(d))).passed


def test_the_few_images_rule_of_the_package_is_not_met_in_the_exercise():
    for d in notebook_07._make_differences():
        ends = 1 - 1e-9
        assert all(abs(end) < ends for end in by_package(d)[1:3])
        most = d.mean(dim=0).unique(return_counts=True)[1].max()
        assert d.shape[1] - most >= metrics.classification.FEW
        assert set(d.unique().tolist()) == {-1, 0, 1}


WRONG_1 = [
    (lambda d: by_package(d)[:3], "07_ex1.four"),
    (lambda d: {"mean": 0, "low": 1, "high": 2, "df": 3}, "07_ex1.four"),
    (lambda d: "mean", "07_ex1.four"),
    (interval(mean=lambda d: d.median().item()), "07_ex1.mean"),
    (interval(mean=lambda d: d.abs().mean().item()), "07_ex1.mean"),
    (lambda d: (lambda m, a, b, df: (m, b, a, df))(*by_package(d)), "07_ex1.ends"),
    (lambda d: (lambda m, a, b, df: (m, a, m + 2 * (b - m), df))(*by_package(d)), "07_ex1.middle"),
    (lambda d: (lambda m, a, b, df: (m, a - m, b, df))(*by_package(d)), "07_ex1.middle"),
    (interval(v=lambda d, a, b: a, df=lambda d, a, b: len(d) - 1), "07_ex1.only_seeds"),
    (interval(v=lambda d, a, b: a), "07_ex1.only_seeds"),
    (interval(v=lambda d, a, b: b, df=lambda d, a, b: d.shape[1] - 1), "07_ex1.only_images"),
    (interval(v=lambda d, a, b: b), "07_ex1.only_images"),
    (
        interval(v=lambda d, a, b: d.var().item() / d.numel(), df=lambda d, a, b: d.numel() - 1),
        "07_ex1.pooled",
    ),
    (interval(v=lambda d, a, b: d.var().item() / d.numel()), "07_ex1.pooled"),
    (df_of(lambda a, b, s, n: s + n - 2), "07_ex1.counted"),
    (df_of(lambda a, b, s, n: (s - 1) * (n - 1)), "07_ex1.counted"),
    (
        interval(
            v=lambda d, a, b: len(d) * a + d.shape[1] * b,
            df=lambda d, a, b: satterthwaite(len(d) * a, d.shape[1] * b, *d.shape),
        ),
        "07_ex1.undivided",
    ),
    (interval(v=lambda d, a, b: len(d) * a + d.shape[1] * b), "07_ex1.undivided"),
    (df_of(lambda a, b, s, n: satterthwaite(b * n / s, a * s / n, s, n)), "07_ex1.swapped"),
    (df_of(lambda a, b, s, n: satterthwaite(a, b, n, s)), "07_ex1.swapped"),
    (
        df_of(lambda a, b, s, n: satterthwaite(a * (s - 1) / s, b * (n - 1) / n, s, n)),
        "07_ex1.biased",
    ),
    (df_of(lambda a, b, s, n: satterthwaite(a, b, s + 1, n + 1)), "07_ex1.df_minus"),
    (df_of(lambda a, b, s, n: (a + b) / (a**2 / (s - 1) + b**2 / (n - 1))), "07_ex1.df_square"),
    (df_of(lambda a, b, s, n: satterthwaite(a**0.5, b**0.5, s, n)), "07_ex1.root"),
    (
        lambda d: (lambda m, a, b, df: (m, a, b, 1 / df))(*by_package(d)),
        "07_ex1.df_inverse",
    ),
    (df_of(lambda a, b, s, n: 7.5), "07_ex1.df"),
    (interval(t=lambda df: 1.96), "07_ex1.normal"),
    (interval(t=lambda df: stats.norm.ppf(0.975)), "07_ex1.normal"),
    (interval(t=lambda df: stats.t.ppf(0.95, df)), "07_ex1.level"),
    (interval(t=lambda df: 1), "07_ex1.error"),
    (interval(half=lambda v, t, a, b: t * v), "07_ex1.no_root"),
    (interval(half=lambda v, t, a, b: t * (a**0.5 + b**0.5)), "07_ex1.roots"),
    (interval(half=lambda v, t, a, b: 2 * t * v**0.5), "07_ex1.whole"),
    (interval(half=lambda v, t, a, b: 3 * t * v**0.5), "07_ex1.value"),
    (lambda d: (*by_package(d)[:3], math.inf), "not_finite"),
    (lambda d: (d.zero_(), *by_package(d))[1:], "in_place"),
]


@pytest.mark.parametrize(("function", "key"), WRONG_1)
def test_wrong_intervals_are_recognized(function, key):
    assert_hint(checks.check_07_ex1(function), key)


def test_an_interval_of_one_way_only_never_passes_by_chance():
    for d in notebook_07._make_differences():
        right = notebook_07.crossed(d)
        named = [*notebook_07._df_mistakes(d)]
        for key, *wrong in named:
            assert not any(is_close(right[3], one) for one in wrong), key
        for key, *wrong in notebook_07._width_mistakes(d):
            assert not any(is_close(right[2] - right[0], one) for one in wrong), key


# --- 2: the verdict ------------------------------------------------------------------------------


def verdict(
    mean, low, high, p, smallest, *, sure=lambda p, low, high: p < 0.05, inside=None, plus="helped"
):
    minus = {"helped": "hurt", "hurt": "helped"}[plus]
    if sure(p, low, high):
        return plus if mean > 0 else minus
    is_inside = inside(mean, low, high, smallest) if inside else max(-low, high) <= smallest > 0
    return "no difference larger than that" if is_inside else "cannot tell"


def with_(**options):
    return lambda *gain: verdict(*gain, **options)


def by_metrics(mean, low, high, p_holm, smallest):
    """Ask the package, on an interval made of the ends."""
    if p_holm < 0.05 and mean != 0:
        return {True: "helped", False: "hurt"}[mean > 0]
    widest = max(abs(low), abs(high))
    return "no difference larger than that" if 0 < smallest >= widest else "cannot tell"


def test_right_verdicts_pass_however_they_are_written():
    assert checks.check_07_ex2(verdict).passed
    assert checks.check_07_ex2(by_metrics).passed
    assert checks.check_07_ex2(lambda *gain: f" {verdict(*gain).capitalize()}. ").passed
    assert checks.check_07_ex2(lambda *gain: np.str_(verdict(*gain))).passed


WRONG_2 = [
    (lambda *gain: "helps", "07_ex2.word"),
    (lambda *gain: 1, "07_ex2.word"),
    (with_(sure=lambda p, low, high: low > 0 or high < 0), "07_ex2.interval"),
    (with_(sure=lambda p, low, high: p < 0.05 or low > 0 or high < 0), "07_ex2.interval"),
    (with_(inside=lambda *_: True), "07_ex2.absence"),
    (with_(inside=lambda mean, low, high, smallest: abs(mean) <= smallest), "07_ex2.point"),
    (
        lambda mean, low, high, p, smallest: (
            "no difference larger than that"
            if 0 < smallest >= max(-low, high)
            else verdict(mean, low, high, p, smallest)
        ),
        "07_ex2.small_first",
    ),
    (with_(inside=lambda mean, low, high, smallest: high <= smallest), "07_ex2.one_end"),
    (with_(inside=lambda mean, low, high, smallest: -smallest <= low), "07_ex2.one_end"),
    (with_(plus="hurt"), "07_ex2.sign"),
    (with_(sure=lambda p, low, high: p >= 0.05), "07_ex2.p_sign"),
    (
        lambda mean, low, high, p, smallest: verdict(
            mean, low, high, p if low > smallest or high < -smallest else 1, smallest
        ),
        "07_ex2.margin",
    ),
    (with_(inside=lambda *_: False), "07_ex2.never"),
    (lambda mean, *_: "helped" if mean > 0 else "hurt", "07_ex2.by_mean"),
    (with_(sure=lambda p, low, high: p < 0.1), "07_ex2.value"),
    (lambda *gain: "cannot tell", "07_ex2.value"),
]


@pytest.mark.parametrize(("function", "key"), WRONG_2)
def test_wrong_verdicts_are_recognized(function, key):
    assert_hint(checks.check_07_ex2(function), key)


# --- 7: Holm -------------------------------------------------------------------------------------


def by_closed_testing(p_values):
    """Correct each p by all sets of hypotheses that hold it, each tested by Bonferroni."""
    found = []
    for i in range(len(p_values)):
        others = [j for j in range(len(p_values)) if j != i]
        sets = [
            (i, *some) for k in range(len(p_values)) for some in itertools.combinations(others, k)
        ]
        found.append(max(min(1, len(s) * min(p_values[j] for j in s)) for s in sets))
    return found


def stepwise(factor, *, rise=np.maximum.accumulate, top=1.0, back=True, by_size=True):
    """Build a procedure of factors, by rank from 0, on p-values sorted by size."""

    def correct(p_values):
        p, m = np.array(p_values), len(p_values)
        order = np.argsort(p, kind="stable") if by_size else np.arange(m)
        found = np.minimum(rise(factor(m, np.arange(m)) * p[order]), top)
        return list(found[np.argsort(order)] if back else found)

    return correct


def down(m, rank):
    return m - rank


def from_the_top(values):
    return np.minimum.accumulate(values[::-1])[::-1]


def test_right_corrections_pass_however_they_are_written():
    assert checks.check_07_ex7(by_closed_testing).passed
    assert checks.check_07_ex7(stepwise(down)).passed
    assert checks.check_07_ex7(lambda p: tuple(stepwise(down)(p))).passed
    assert checks.check_07_ex7(lambda p: torch.tensor(stepwise(down)(p))).passed
    assert checks.check_07_ex7(lambda p: pd.Series(stepwise(down)(p)).to_numpy()).passed


WRONG_7 = [
    (lambda p: [x < 0.05 for x in by_closed_testing(p)], "07_ex7.decisions"),
    (lambda p: by_closed_testing(p)[:-1], "07_ex7.length"),
    (lambda p: max(p), "07_ex7.length"),
    (lambda p: p, "07_ex7.uncorrected"),
    (lambda p: [min(1, len(p) * x) for x in p], "07_ex7.bonferroni"),
    (lambda p: [len(p) * x for x in p], "07_ex7.bonferroni"),
    (lambda p: sorted(by_closed_testing(p)), "07_ex7.sorted"),
    (stepwise(down, rise=lambda values: values), "07_ex7.not_rising"),
    (stepwise(down, top=math.inf), "07_ex7.not_capped"),
    (stepwise(down, rise=from_the_top), "07_ex7.hochberg"),
    (stepwise(lambda m, rank: m / (rank + 1), rise=from_the_top), "07_ex7.discovery"),
    (stepwise(lambda m, rank: m - 1 - rank), "07_ex7.one_less"),
    (stepwise(lambda m, rank: rank + 1), "07_ex7.reversed"),
    (stepwise(down, by_size=False), "07_ex7.unsorted"),
    (lambda p: [x / 2 for x in by_closed_testing(p)], "07_ex7.value"),
    (lambda p: [str(x) for x in p], "no_number"),
    (lambda p: [math.nan for x in p], "not_finite"),
]


@pytest.mark.parametrize(("function", "key"), WRONG_7)
def test_wrong_corrections_are_recognized(function, key):
    assert_hint(checks.check_07_ex7(function), key)


# --- 8: data value -------------------------------------------------------------------------------


def read_off(shots, curve, accuracy, *, log=math.log2, power=lambda x: 2**x, clip=True):
    """Walk along the curve, without a library."""
    if clip:
        accuracy = min(max(accuracy, curve[0]), curve[-1])
    i = 0
    while i < len(shots) - 2 and accuracy > curve[i + 1]:
        i += 1
    share = (accuracy - curve[i]) / (curve[i + 1] - curve[i])
    return power(log(shots[i]) + share * (log(shots[i + 1]) - log(shots[i])))


def value_with(**options):
    return lambda *case: read_off(*case, **options)


def test_right_data_values_pass_however_they_are_written():
    assert checks.check_07_ex8(read_off).passed
    assert checks.check_07_ex8(value_with(log=math.log, power=math.exp)).passed
    assert checks.check_07_ex8(lambda *case: torch.tensor(read_off(*case))).passed
    assert checks.check_07_ex8(lambda *case: np.float32(read_off(*case))).passed


def nearest(shots, curve, accuracy):
    return min(zip(shots, curve, strict=True), key=lambda point: abs(point[1] - accuracy))[0]


def by_line(shots, curve, accuracy):
    slope, start = np.polyfit(np.log2(shots), curve, 1)
    return 2 ** ((accuracy - start) / slope)


def same(x):
    return x


WRONG_8 = [
    (value_with(clip=False), "07_ex8.not_clipped"),
    (
        lambda shots, curve, x: 0 if x < curve[0] else read_off(shots, curve, x),
        "07_ex8.not_clipped",
    ),
    (value_with(log=same, power=same), "07_ex8.linear"),
    (value_with(power=same), "07_ex8.logarithm"),
    (value_with(log=math.log), "07_ex8.base"),
    (value_with(power=math.exp), "07_ex8.base"),
    (nearest, "07_ex8.measured"),
    (lambda s, c, x: next((a for a, b in zip(s, c, strict=True) if b >= x), s[-1]),
     "07_ex8.measured"),
    (lambda *case: round(read_off(*case)), "07_ex8.rounded"),
    (lambda *case: math.ceil(read_off(*case)), "07_ex8.rounded"),
    (lambda s, c, x: np.interp(x, s, c), "07_ex8.forward"),
    (by_line, "07_ex8.fit"),
    (lambda s, c, x: np.interp(x, c, range(len(s))), "07_ex8.position"),
    (lambda *case: 3 * read_off(*case), "07_ex8.value"),
    (lambda *case: math.nan, "not_finite"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "key"), WRONG_8)
def test_wrong_data_values_are_recognized(function, key):
    assert_hint(checks.check_07_ex8(function), key)


# --- 9: settings that never see the test part ----------------------------------------------------


def by_table(trials):
    table = pd.DataFrame(trials).sort_values("validation", ascending=False, kind="stable")
    return table.iloc[0]


def in_a_loop(trials):
    best = trials[0]
    for trial in trials:
        if trial["validation"] > best["validation"]:
            best = trial
    return {key: best[key] for key in ("steps", "learning_rate")}


def by_key(*keys):
    return lambda trials: max(trials, key=lambda trial: [trial[key] for key in keys])


def test_right_choices_pass_however_they_are_written():
    assert checks.check_07_ex9(by_table).passed
    assert checks.check_07_ex9(in_a_loop).passed
    assert checks.check_07_ex9(by_key("validation")).passed
    assert checks.check_07_ex9(
        lambda trials: min(trials, key=lambda trial: (-trial["validation"], trial["steps"]))
    ).passed


WRONG_9 = [
    (lambda trials: 0, "07_ex9.index"),
    (lambda trials: int(np.argmax([trial["validation"] for trial in trials])), "07_ex9.index"),
    (lambda trials: (50, 0.1), "07_ex9.form"),
    (lambda trials: max(trial["validation"] for trial in trials), "07_ex9.form"),
    (lambda trials: {"steps": 1, "learning_rate": 0.1}, "07_ex9.form"),
    (lambda trials: {"steps": [50], "learning_rate": {}}, "07_ex9.form"),
    (by_key("test"), "07_ex9.test"),
    (by_key("validation", "test"), "07_ex9.test"),
    (
        lambda trials: max(trials, key=lambda trial: trial["validation"] + trial["test"]),
        "07_ex9.test",
    ),
    (
        lambda trials: max(
            trials, key=lambda t: t["validation"] - abs(t["validation"] - t["test"])
        ),
        "07_ex9.test",
    ),
    (lambda trials: sorted(trials, key=lambda t: t["validation"])[-1], "07_ex9.last"),
    (by_key("validation", "steps"), "07_ex9.last"),
    (lambda trials: min(trials, key=lambda t: t["validation"]), "07_ex9.worst"),
    (lambda trials: trials[0], "07_ex9.first"),
    (lambda trials: trials[-1], "07_ex9.last_in_list"),
    (lambda trials: trials[3], "07_ex9.value"),
]


@pytest.mark.parametrize(("function", "key"), WRONG_9)
def test_wrong_choices_are_recognized(function, key):
    assert_hint(checks.check_07_ex9(function), key)
