"""Checks of notebook 04: reference answers pass, every known wrong answer gets its own hint."""

import math
import random

import numpy as np
import pytest
import scipy.linalg
import torch
from sklearn.neighbors import NearestNeighbors
from test_checks import assert_hint

from course_utils import checks, metrics
from course_utils.checks.notebook_04 import _make_world
from course_utils.text2image import meters_per_pixel

# --- 1: guidance ---------------------------------------------------------------------------------


def test_right_guidance_passes_however_it_is_written():
    assert checks.check_04_ex1(lambda u, c, s: u + s * (c - u)).passed
    assert checks.check_04_ex1(lambda u, c, s: s * c + (1 - s) * u).passed
    assert checks.check_04_ex1(lambda u, c, s: torch.lerp(u, c, s)).passed
    assert checks.check_04_ex1(lambda u, c, s: (u + s * (c - u)).numpy()).passed
    assert checks.check_04_ex1(lambda u, c, s: (u + s * (c - u)).double().tolist()).passed


def in_place(uncond, cond, scale):
    uncond += scale * (cond - uncond)
    return uncond


WRONG_1 = [
    (lambda u, c, s: c + s * (c - u), "04_ex1.zero_is_none"),
    (lambda u, c, s: (1 + s) * c - s * u, "04_ex1.zero_is_none"),
    (lambda u, c, s: c + s * (u - c), "04_ex1.swapped"),
    (lambda u, c, s: u + s * (u - c), "04_ex1.sign"),
    (lambda u, c, s: s * (c - u), "04_ex1.no_start"),
    (lambda u, c, s: u + s * c, "04_ex1.sum"),
    (lambda u, c, s: s * c, "04_ex1.scaled"),
    (lambda u, c, s: c, "04_ex1.ignored"),
    (lambda u, c, s: u, "04_ex1.unguided"),
    (lambda u, c, s: (u + c) / 2, "04_ex1.average"),
    (lambda u, c, s: (u + s * (c - u)).clamp(-1, 1), "04_ex1.clipped"),
    (lambda u, c, s: u + s**2 * (c - u), "04_ex1.value"),
    (lambda u, c, s: u + 3 * (c - u), "04_ex1.value"),
    (in_place, "04_ex1.in_place"),
    (lambda u, c, s: (u + s * (c - u)).sum(), "04_ex1.shape"),
    (lambda u, c, s: torch.cat([u, c]), "04_ex1.shape"),
    (lambda u, c, s: {"guided": u}, "04_ex1.no_tensor"),
]


@pytest.mark.parametrize(("function", "key"), WRONG_1)
def test_wrong_guidance_is_recognised(function, key):
    assert_hint(checks.check_04_ex1(function), key)


# --- 2: zoom levels ------------------------------------------------------------------------------


def limited(level):
    return min(max(level, 10), 18)


def nearest_level(size):
    """Search for the level whose pixel is nearest in size, as a factor."""
    return min(range(10, 19), key=lambda level: abs(math.log(meters_per_pixel(level) / size)))


def test_right_levels_pass():
    assert checks.check_04_ex2(nearest_level).passed
    assert checks.check_04_ex2(lambda m: limited(round(17 - math.log2(m)))).passed
    assert checks.check_04_ex2(lambda m: np.clip(np.round(17 - np.log2(m)), 10, 18)).passed
    assert checks.check_04_ex2(lambda m: torch.tensor(nearest_level(m))).passed


def test_every_level_is_its_own_size():
    for level in range(10, 19):
        assert nearest_level(meters_per_pixel(level)) == level


WRONG_2 = [
    (lambda m: round(17 - math.log2(m)), "04_ex2.limits"),
    (lambda m: limited(math.floor(17 - math.log2(m))), "04_ex2.floor"),
    (lambda m: math.floor(17 - math.log2(m)), "04_ex2.floor"),
    (lambda m: limited(int(17 - math.log2(m))), "04_ex2.floor"),
    (lambda m: limited(math.ceil(17 - math.log2(m))), "04_ex2.ceil"),
    (lambda m: limited(17 - int(math.log2(m))), "04_ex2.truncated"),
    (lambda m: limited(17 - math.log2(m)), "04_ex2.not_rounded"),
    (lambda m: 17 - math.log2(m), "04_ex2.not_rounded"),
    (lambda m: limited(round(17 - math.log10(m))), "04_ex2.log10"),
    (lambda m: round(17 - math.log10(m)), "04_ex2.log10"),
    (lambda m: limited(17 - math.log10(m)), "04_ex2.log10"),
    (lambda m: limited(round(17 - math.log(m))), "04_ex2.natural"),
    (lambda m: limited(round(17 + math.log2(m))), "04_ex2.sign"),
    (lambda m: 2 ** (17 - m), "04_ex2.inverse"),
    (lambda m: limited(round(18 - math.log2(m))), "04_ex2.offset"),
    (lambda m: limited(round(math.log2(156543.034 / m))), "04_ex2.pixels"),
    (lambda m: 17, "04_ex2.value"),
    (lambda m: str(nearest_level(m)), "no_number"),
    (lambda m: math.inf, "not_finite"),
]


@pytest.mark.parametrize(("function", "key"), WRONG_2)
def test_wrong_levels_are_recognised(function, key):
    assert_hint(checks.check_04_ex2(function), key)


# --- 3: balanced prompts -------------------------------------------------------------------------


def go_round(phrases, templates, per_class):
    labels = [k for k in range(len(phrases)) for _ in range(per_class)]
    prompts = [
        templates[i % len(templates)].format(phrases[k])
        for k in range(len(phrases))
        for i in range(per_class)
    ]
    return prompts, labels


def with_templates(choose, *, classes=None, label=lambda k: k):
    """Write prompts, class by class, with ``choose(class, index, templates)``."""

    def write(phrases, templates, per_class):
        jobs = (
            classes(phrases, per_class) if classes else go_round(phrases, templates, per_class)[1]
        )
        counts, prompts = [0] * len(phrases), []
        for k in jobs:
            prompts.append(choose(k, counts[k], templates).replace("{}", phrases[k]))
            counts[k] += 1
        return prompts, [label(k) for k in jobs]

    return write


def in_turn(k, index, templates):
    return templates[index % len(templates)]


def test_balanced_prompts_pass_in_any_order():
    from course_utils.lab import write_prompts

    def shuffled(*case):
        pairs = list(zip(*go_round(*case), strict=True))
        random.Random(0).shuffle(pairs)
        return list(zip(*pairs, strict=True))

    assert checks.check_04_ex3(go_round).passed
    assert checks.check_04_ex3(shuffled).passed
    assert checks.check_04_ex3(lambda p, t, n: write_prompts(p, t, per_class=n)).passed
    assert checks.check_04_ex3(lambda *case: (go_round(*case)[0], np.array(go_round(*case)[1])))


def swap_labels(*case):
    prompts, labels = go_round(*case)
    return prompts, sorted(labels, reverse=True)


WRONG_3 = [
    (lambda p, t, n: ([a.format(b) for b in p for a in t], [k for k in range(len(p)) for _ in t]),
     "04_ex3.one_each"),
    (lambda p, t, n: (
        [a.format(b) for b in p for a in t for _ in range(n)],
        [k for k in range(len(p)) for _ in range(n * len(t))],
    ), "04_ex3.each_template"),
    (lambda p, t, n: tuple(part[::len(p)] for part in go_round(p, t, n)), "04_ex3.in_all"),
    (with_templates(in_turn, classes=lambda p, n: [0] * (n + 1) + [1] * (n - 1) + [
        k for k in range(2, len(p)) for _ in range(n)]), "04_ex3.unbalanced"),
    (with_templates(lambda k, i, t: t[k % len(t)]), "04_ex3.lockstep"),
    (with_templates(lambda k, i, t: t[0]), "04_ex3.one_template"),
    (with_templates(lambda k, i, t: t[0] if i else t[1]), "04_ex3.templates"),
    (with_templates(in_turn, label=lambda k: k + 1), "04_ex3.from_one"),
    (swap_labels, "04_ex3.label"),
    (with_templates(lambda k, i, t: t[i % len(t)].replace("{}", "{}{}")[:-1]), "04_ex3.unknown"),
    (lambda p, t, n: ([t[i % len(t)] for _ in p for i in range(n)],
                      [k for k in range(len(p)) for _ in range(n)]), "04_ex3.braces"),
    (lambda p, t, n: ([a for a in p for _ in range(n)],
                      [k for k in range(len(p)) for _ in range(n)]), "04_ex3.no_template"),
    (lambda p, t, n: go_round(p, t, n)[0], "04_ex3.form"),
    (lambda p, t, n: (go_round(p, t, n)[0], [p[k] for k in go_round(p, t, n)[1]]), "04_ex3.form"),
    (lambda p, t, n: list(zip(*go_round(p, t, n), strict=True)), "04_ex3.form"),
    (lambda p, t, n: (go_round(p, t, n)[0], list(range(len(p)))), "04_ex3.lengths"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "key"), WRONG_3)
def test_wrong_prompt_lists_are_recognised(function, key):
    assert_hint(checks.check_04_ex3(function), key)


# --- 4: Fréchet distance -------------------------------------------------------------------------


def frechet_by_roots(mean_a, cov_a, mean_b, cov_b):
    """Take the root of a matrix, unlike the check, in its symmetric form."""
    root_a = scipy.linalg.sqrtm(cov_a.numpy())
    cross = scipy.linalg.sqrtm(root_a @ cov_b.numpy() @ root_a)
    total = np.trace(cov_a.numpy() + cov_b.numpy() - 2 * np.real(cross))
    return float(((mean_a - mean_b) ** 2).sum()) + float(total)


def test_the_right_distance_passes():
    assert checks.check_04_ex4(frechet_by_roots).passed
    assert checks.check_04_ex4(lambda *m: torch.tensor(frechet_by_roots(*m))).passed


def test_the_distance_of_two_clouds_is_that_of_their_moments():
    generator = torch.Generator().manual_seed(3)
    a, b = (torch.randn(50, 4, generator=generator).double() for _ in range(2))
    moments = [part for rows in (a, b) for part in (rows.mean(0), torch.cov(rows.T))]
    assert frechet_by_roots(*moments) == pytest.approx(metrics.frechet_distance(a, b))


def pieces(mean_a, cov_a, mean_b, cov_b):
    gap = ((mean_a - mean_b) ** 2).sum()
    return gap, cov_a.trace() + cov_b.trace(), torch.linalg.eigvals(cov_a @ cov_b)


def from_pieces(combine):
    return lambda *moments: combine(*pieces(*moments), len(moments[0]))


def variances(mean_a, cov_a, mean_b, cov_b):
    return ((mean_a - mean_b) ** 2).sum() + ((cov_a.diag() - cov_b.diag()) ** 2).sum()


def by_diagonals(mean_a, cov_a, mean_b, cov_b):
    std_a, std_b = cov_a.diag().sqrt(), cov_b.diag().sqrt()
    return ((mean_a - mean_b) ** 2).sum() + ((std_a - std_b) ** 2).sum()


def elementwise(mean_a, cov_a, mean_b, cov_b):
    product = np.sqrt(np.maximum(cov_a.numpy() @ cov_b.numpy(), 0))
    return ((mean_a - mean_b) ** 2).sum() + np.trace(cov_a + cov_b) - 2 * np.trace(product)


WRONG_4 = [
    (from_pieces(lambda gap, total, e, d: gap + total - 2 * e.sqrt().sum()), "04_ex4.complex"),
    (lambda *m: complex(frechet_by_roots(*m)), "04_ex4.complex"),
    (lambda *m: np.complex128(frechet_by_roots(*m)), "04_ex4.complex"),
    (variances, "04_ex4.variances"),
    (from_pieces(lambda gap, total, e, d: gap.sqrt() + total - 2 * e.real.sqrt().sum()),
     "04_ex4.not_squared"),
    (lambda *m: math.sqrt(frechet_by_roots(*m)), "04_ex4.rooted"),
    (from_pieces(lambda gap, total, e, d: total - 2 * e.real.sqrt().sum()), "04_ex4.no_means"),
    (from_pieces(lambda gap, total, e, d: gap), "04_ex4.no_spread"),
    (from_pieces(lambda gap, total, e, d: gap + total - e.real.sqrt().sum()), "04_ex4.once"),
    (from_pieces(lambda gap, total, e, d: gap + total - 2 * e.real.sum()), "04_ex4.no_root"),
    (from_pieces(lambda gap, total, e, d: gap + total - 2 * e.real.sum().sqrt()),
     "04_ex4.root_of_trace"),
    (from_pieces(lambda gap, total, e, d: gap + total), "04_ex4.no_cross"),
    (from_pieces(lambda gap, total, e, d: (gap + total - 2 * e.real.sqrt().sum()) / d),
     "04_ex4.mean"),
    (elementwise, "04_ex4.elementwise"),
    (by_diagonals, "04_ex4.diagonal"),
    (lambda *m: 2 * frechet_by_roots(*m), "04_ex4.value"),
    (lambda *m: m[0] - m[2], "no_number"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "key"), WRONG_4)
def test_wrong_distances_are_recognised(function, key):
    assert_hint(checks.check_04_ex4(function), key)


# --- 5: recall -----------------------------------------------------------------------------------


def radii(rows, k):
    """Measure with scikit-learn to the k-th neighbor, the row itself being the first."""
    return NearestNeighbors(n_neighbors=k).fit(rows).kneighbors(rows)[0][:, -1]


def distances(a, b):
    return np.sqrt(((a.numpy()[:, None] - b.numpy()[None]) ** 2).sum(-1))


def recall(real, synthetic, k):
    return (distances(real, synthetic) <= radii(synthetic, k + 1)).any(1).mean()


def nearest_ball(real, synthetic, k):
    gaps = distances(real, synthetic)
    return (gaps.min(1) <= radii(synthetic, k + 1)[gaps.argmin(1)]).mean()


def test_the_right_recall_passes():
    assert checks.check_04_ex5(recall).passed
    assert checks.check_04_ex5(lambda r, s, k: metrics.precision_recall(r, s, k=k).recall).passed
    assert checks.check_04_ex5(lambda r, s, k: torch.tensor(recall(r, s, k))).passed


WRONG_5 = [
    (lambda r, s, k: recall(s, r, k), "04_ex5.precision"),
    (lambda r, s, k: (distances(r, s) <= radii(s, k)).any(1).mean(), "04_ex5.itself"),
    (lambda r, s, k: (distances(s, r) <= radii(r, k + 1)).any(0).mean(), "04_ex5.coverage"),
    (nearest_ball, "04_ex5.nearest"),
    (lambda r, s, k: (distances(r, s) <= radii(s, k + 1).max()).any(1).mean(), "04_ex5.one_ball"),
    (lambda r, s, k: (distances(r, s) <= radii(s, k + 1).mean()).any(1).mean(), "04_ex5.mean_ball"),
    (lambda r, s, k: (distances(r, s) <= radii(s, k + 1)).mean(), "04_ex5.pairs"),
    (lambda r, s, k: 100 * recall(r, s, k), "04_ex5.percent"),
    (lambda r, s, k: len(r) * recall(r, s, k), "04_ex5.count"),
    (lambda r, s, k: recall(r, s, 3), "04_ex5.value"),
    (lambda r, s, k: (distances(r, s) <= radii(s, k + 1)).any(1), "no_number"),
]


@pytest.mark.parametrize(("function", "key"), WRONG_5)
def test_wrong_recall_is_recognised(function, key):
    assert_hint(checks.check_04_ex5(function), key)


# --- 6: copies -----------------------------------------------------------------------------------


def nearest(rows, bank):
    return NearestNeighbors(n_neighbors=1).fit(bank).kneighbors(rows)[0][:, 0]


def below(distance, threshold):
    """Answer the rows whose distance is below a threshold, both functions of the three sets."""
    return lambda *sets: np.flatnonzero(distance(*sets) < threshold(*sets)).tolist()


def own(synthetic, train, held_out):
    return nearest(synthetic, train)


def fair(synthetic, train, held_out):
    return nearest(held_out, train)


def among(synthetic, train, held_out):
    return NearestNeighbors(n_neighbors=2).fit(synthetic).kneighbors(synthetic)[0][:, 1]


def test_every_justified_threshold_passes():
    smallest = below(own, lambda *sets: fair(*sets).min())
    assert checks.check_04_ex6(smallest).passed
    assert checks.check_04_ex6(lambda *sets: np.array(smallest(*sets))).passed
    assert checks.check_04_ex6(lambda *sets: set(smallest(*sets))).passed
    assert checks.check_04_ex6(lambda *sets: own(*sets) < fair(*sets).min()).passed
    for quantile in (0.01, 0.05, 0.1):
        threshold = below(own, lambda *sets, q=quantile: np.quantile(fair(*sets), q))
        assert checks.check_04_ex6(threshold).passed


def test_the_package_finds_as_many_copies():
    synthetic, train, held_out = _make_world()
    found = metrics.copied_share(synthetic, train, held_out)
    assert found.share * len(synthetic) == pytest.approx(5)
    assert found.share > found.limit


def all_rows(synthetic, train, held_out):
    return range(len(synthetic))


WRONG_6 = [
    (below(own, lambda *sets: 0.9), "04_ex6.fixed"),
    (below(own, lambda *sets: 0.0), "04_ex6.none"),
    (lambda *sets: [], "04_ex6.none"),
    (below(own, lambda *sets: fair(*sets).max()), "04_ex6.all"),
    (all_rows, "04_ex6.all"),
    (lambda *sets: np.flatnonzero(own(*sets) > fair(*sets).min()), "04_ex6.sign"),
    (below(own, lambda *sets: np.quantile(fair(*sets), 0.5)), "04_ex6.typical"),
    (below(own, lambda *sets: fair(*sets).mean()), "04_ex6.typical"),
    (below(lambda s, t, h: nearest(s, h), lambda *sets: fair(*sets).min()), "04_ex6.held_out"),
    (below(among, lambda *sets: fair(*sets).min()), "04_ex6.among"),
    (below(own, lambda s, t, h: among(t, t, t).min()), "04_ex6.own_train"),
    (lambda *sets: [4, 11, 17, 30, 38, 3], "04_ex6.too_many"),
    (lambda *sets: [4, 11, 17], "04_ex6.own_train"),
    (lambda *sets: [4, 11], "04_ex6.missing"),
    (lambda *sets: [150], "04_ex6.rows"),
    (lambda *sets: [-1], "04_ex6.rows"),
    (lambda *sets: [[4, 11]], "04_ex6.form"),
    (lambda *sets: "4, 11", "04_ex6.form"),
    (lambda *sets: [0.5], "04_ex6.form"),
]


@pytest.mark.parametrize(("function", "key"), WRONG_6)
def test_wrong_copies_are_recognised(function, key):
    assert_hint(checks.check_04_ex6(function), key)
