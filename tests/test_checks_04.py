"""Checks of notebook 04: reference answers pass, every known wrong answer gets its own hint."""

import math
import random

import numpy as np
import pytest
import scipy.linalg
import torch
from diffusers import DDIMScheduler
from sklearn.neighbors import NearestNeighbors
from test_checks import assert_hint

from course_utils import checks, metrics
from course_utils.checks.notebook_04_judging import _make_world
from course_utils.text2image import meters_per_pixel

# --- 1: guidance ---------------------------------------------------------------------------------


def test_right_guidance_passes_however_it_is_written():
    assert checks.check_04_ex1(lambda u, c, s: u + s * (c - u)).passed
    assert checks.check_04_ex1(lambda u, c, s: s * c + (1 - s) * u).passed
    assert checks.check_04_ex1(lambda u, c, s: torch.lerp(u, c, s)).passed
    assert checks.check_04_ex1(lambda u, c, s: (u + s * (c - u)).numpy()).passed
    assert checks.check_04_ex1(lambda u, c, s: (u + s * (c - u)).double().tolist()).passed
    named = checks.check_04_ex1(lambda uncond, cond, guidance_scale: (
        torch.stack([uncond, cond]) * torch.tensor([1 - guidance_scale, guidance_scale])
        .reshape(2, 1, 1, 1, 1)).sum(0).numpy()[::-1][::-1])  # fmt: skip
    assert named.passed


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
    (lambda u, c, s: u + max(s, 1) * (c - u), "04_ex1.value"),
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
    assert checks.check_04_ex2(lambda m: limited(math.floor(math.log2(2**17 / m) + 0.5))).passed


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
    (lambda m: min(range(10, 19), key=lambda level: abs(2.0 ** (17 - level) - m)),
     "04_ex2.meters"),
    (lambda m: max(10, round(17 - math.log2(m))), "04_ex2.limits"),
    (lambda m: min(18, round(17 - math.log2(m))), "04_ex2.limits"),
    (lambda m: max(min(round(17 - math.log2(m)), 10), 18), "04_ex2.limits_swapped"),
    (lambda m: min(max(round(17 - math.log2(m)), 18), 10), "04_ex2.limits_swapped"),
    (lambda m: 17, "04_ex2.value"),
    (lambda m: str(nearest_level(m)), "no_number"),
    (lambda m: math.inf, "not_finite"),
]  # fmt: skip


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
    arrays = checks.check_04_ex3(lambda *case: (go_round(*case)[0], np.array(go_round(*case)[1])))
    assert arrays.passed

    def as_generators(phrases, templates, per_class):
        pairs = list(zip(*go_round(phrases, templates, per_class), strict=True))
        return (p for p, _ in pairs), torch.tensor([k for _, k in pairs])

    assert checks.check_04_ex3(as_generators).passed


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

    def by_singular_values(mean_a, cov_a, mean_b, cov_b):
        """The trace of the root is the sum of the singular values of the product of two roots."""
        roots = [torch.tensor(scipy.linalg.sqrtm(cov.numpy()).real) for cov in (cov_a, cov_b)]
        cross = torch.linalg.svdvals(roots[0] @ roots[1]).sum()
        gap = torch.linalg.vector_norm(mean_a - mean_b) ** 2
        return np.float64(gap + torch.trace(cov_a) + torch.trace(cov_b) - 2 * cross)

    assert checks.check_04_ex4(by_singular_values).passed


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


def with_cross(cross):
    """Take another trace of the root."""

    def function(mean_a, cov_a, mean_b, cov_b):
        gap, total, _ = pieces(mean_a, cov_a, mean_b, cov_b)
        return gap + total - 2 * cross(cov_a, cov_b)

    return function


def matrix_root(cov):
    return torch.tensor(scipy.linalg.sqrtm(cov.numpy()).real)


WRONG_4 = [
    (with_cross(lambda a, b: torch.linalg.eigvalsh(a @ b).clamp(min=0).sqrt().sum()),
     "04_ex4.eigvalsh"),
    (with_cross(lambda a, b: torch.linalg.eigvalsh(a @ b, UPLO="U").clamp(min=0).sqrt().sum()),
     "04_ex4.eigvalsh"),
    (with_cross(lambda a, b: torch.linalg.svdvals(a @ b).sqrt().sum()), "04_ex4.singular"),
    (with_cross(lambda a, b: torch.trace(matrix_root(a) @ matrix_root(b))),
     "04_ex4.separate_roots"),
    (with_cross(lambda a, b: (a @ b).sqrt().trace() + torch.nan), "04_ex4.not_finite"),
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

    def one_by_one(real, synthetic, k):
        reach = [(synthetic - s).norm(dim=1).topk(k + 1, largest=False)[0][-1] for s in synthetic]
        hits = [any((r - s).norm() <= d for s, d in zip(synthetic, reach)) for r in real]  # noqa: B905
        return np.float32(np.mean(hits))

    assert checks.check_04_ex5(one_by_one).passed


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
    (lambda r, s, k: recall(r, s, 3), "04_ex5.k_ignored"),
    (lambda r, s, k: recall(r, s, 1), "04_ex5.k_ignored"),
    (lambda r, s, k: (distances(r, s) <= radii(s, k + 2)).any(1).mean(), "04_ex5.one_more"),
    (lambda r, s, k: (distances(r, s) <= np.sort(distances(s, r))[:, k - 1]).any(1).mean(),
     "04_ex5.to_real"),
    (lambda r, s, k: (distances(r, s) ** 2 <= radii(s, k + 1)).any(1).mean(), "04_ex5.squared"),
    (lambda r, s, k: 0.5 * recall(r, s, k), "04_ex5.value"),
    (lambda r, s, k: (distances(r, s) <= radii(s, k + 1)).any(1), "no_number"),
]  # fmt: skip


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


def test_the_smallest_held_out_distance_passes_in_every_form():
    smallest = below(own, lambda *sets: fair(*sets).min())
    assert checks.check_04_ex6(smallest).passed
    assert checks.check_04_ex6(lambda *sets: np.array(smallest(*sets))).passed
    assert checks.check_04_ex6(lambda *sets: torch.tensor(smallest(*sets))).passed
    assert checks.check_04_ex6(lambda *sets: set(smallest(*sets))).passed
    assert checks.check_04_ex6(lambda *sets: own(*sets) < fair(*sets).min()).passed

    def by_loops(synthetic, train, held_out):
        threshold = min((train - h).norm(dim=1).min() for h in held_out)
        return [i for i, s in enumerate(synthetic) if (train - s).norm(dim=1).min() < threshold]

    assert checks.check_04_ex6(by_loops).passed


def test_every_form_that_is_right_picks_the_same_pictures_in_the_cells_that_follow():
    synthetic, train, held_out = _make_world()
    pictures, smallest = np.arange(len(synthetic)), below(own, lambda *sets: fair(*sets).min())
    forms = [list, set, np.array, torch.tensor, lambda rows: np.isin(pictures, rows)]
    forms.append(lambda rows: torch.tensor(np.isin(pictures, rows)))
    for form in forms:
        find_copies = checks.check_04_ex6(lambda *sets, form=form: form(smallest(*sets))).use
        found = list(find_copies(synthetic, train, held_out))
        assert sorted(pictures[found].tolist()) == [4, 11, 17, 30, 38]
        assert pictures[list(find_copies(held_out[:4], train, held_out))].size == 0


def test_the_package_finds_the_copies_and_hardly_more():
    synthetic, train, held_out = _make_world()
    found = metrics.copied_share(synthetic, train, held_out)
    assert 5 <= round(found.share * len(synthetic)) <= 8
    assert found.share > found.limit


def by_metric(name):
    """Answer as asked, but by another distance."""

    def nearest(rows, bank):
        search = NearestNeighbors(n_neighbors=1, metric=name, algorithm="brute")
        return search.fit(bank).kneighbors(rows)[0][:, 0]

    return below(lambda s, t, h: nearest(s, t), lambda s, t, h: nearest(h, t).min())


def all_rows(synthetic, train, held_out):
    return range(len(synthetic))


WRONG_6 = [
    (below(own, lambda *sets: 1.25), "04_ex6.fixed"),
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
    *((below(own, lambda *sets, q=q: np.quantile(fair(*sets), q)), "04_ex6.quantile")
      for q in (0.01, 0.02, 0.05, 0.1)),
    (below(own, lambda *sets: fair(*sets).mean() - 2 * fair(*sets).std()), "04_ex6.spread"),
    (below(own, lambda *sets: fair(*sets).mean() - 3 * fair(*sets).std()), "04_ex6.spread"),
    (by_metric("cosine"), "04_ex6.cosine"),
    (by_metric("manhattan"), "04_ex6.manhattan"),
    (below(lambda s, t, h: (s - t.mean(0)).norm(dim=1),
           lambda s, t, h: (h - t.mean(0)).norm(dim=1).min()), "04_ex6.center"),
    (lambda *sets: [4, 11, 17, 30, 38, 3], "04_ex6.too_many"),
    (lambda *sets: [4], "04_ex6.own_train"),
    (lambda *sets: [4, 11], "04_ex6.missing"),
    (lambda *sets: [150], "04_ex6.rows"),
    (lambda *sets: [-1], "04_ex6.rows"),
    (lambda *sets: [[4, 11]], "04_ex6.form"),
    (lambda *sets: "4, 11", "04_ex6.form"),
    (lambda *sets: [0.5], "04_ex6.form"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "key"), WRONG_6)
def test_wrong_copies_are_recognised(function, key):
    assert_hint(checks.check_04_ex6(function), key)


# --- 7: a DDIM step ------------------------------------------------------------------------------


def library_step(x_t, v_pred, alpha_bar, alpha_bar_prev):
    """Ask diffusers for the step between two levels of its schedule."""
    scheduler = DDIMScheduler(prediction_type="v_prediction", clip_sample=False)
    scheduler.set_timesteps(2)
    t, t_next = scheduler.timesteps
    scheduler.alphas_cumprod[t], scheduler.alphas_cumprod[t_next] = alpha_bar, alpha_bar_prev
    return scheduler.step(v_pred, t, x_t).prev_sample


def turned(x_t, v_pred, alpha_bar, alpha_bar_prev):
    """Turn by the difference of two angles: x_t and v are a point and its tangent on a circle."""
    angle = math.acos(alpha_bar.sqrt()) - math.acos(alpha_bar_prev.sqrt())
    return math.cos(angle) * x_t.double().numpy() - math.sin(angle) * v_pred.double().numpy()


def test_right_steps_pass_however_they_are_computed():
    assert checks.check_04_ex7(library_step).passed
    assert checks.check_04_ex7(turned).passed


def step(x0=lambda s, n, x, v: s * x - n * v, eps=lambda s, n, x, v: n * x + s * v, mix=None):
    """Split by x0 and eps (of √ᾱ, √(1 - ᾱ), x_t, v), mix by ``mix`` (of x0, eps, now, after)."""
    usual = lambda a, b, now, after: after.sqrt() * a + (1 - after).sqrt() * b  # noqa: E731

    def function(x_t, v_pred, alpha_bar, alpha_bar_prev):
        split = alpha_bar.sqrt(), (1 - alpha_bar).sqrt(), x_t, v_pred
        return (mix or usual)(x0(*split), eps(*split), alpha_bar, alpha_bar_prev)

    return function


def changes_x(x_t, v_pred, alpha_bar, alpha_bar_prev):
    return x_t.mul_(0.5)


WRONG_7 = [
    (lambda x, v, now, after: x, "04_ex7.not_stepped"),
    (step(mix=lambda a, b, now, after: a), "04_ex7.only_x0"),
    (step(mix=lambda a, b, now, after: after.sqrt() * a), "04_ex7.only_x0"),
    (step(mix=lambda a, b, now, after: (1 - after).sqrt() * b), "04_ex7.only_eps"),
    (lambda x, v, now, after: step()(x, v, now, now) + 1e-9, "04_ex7.not_stepped"),
    (lambda x, v, now, after: step()(x, v, after, now), "04_ex7.swapped"),
    (step(lambda s, n, x, v: (x - n * v) / s, lambda s, n, x, v: v), "04_ex7.as_noise"),
    (step(lambda s, n, x, v: v, lambda s, n, x, v: (x - s * v) / n), "04_ex7.as_image"),
    (step(eps=lambda s, n, x, v: v), "04_ex7.as_noise"),
    (step(x0=lambda s, n, x, v: v), "04_ex7.as_image"),
    (step(x0=lambda s, n, x, v: s * x + n * v), "04_ex7.x0_sign"),
    (step(eps=lambda s, n, x, v: n * x - s * v), "04_ex7.eps_sign"),
    (lambda x, v, now, after: step()(x, -v, now, after), "04_ex7.swapped"),
    (step(mix=lambda a, b, now, after: after.sqrt() * b + (1 - after).sqrt() * a),
     "04_ex7.exchanged"),
    (step(x0=lambda s, n, x, v: (s * x - n * v).clamp(-1, 1)), "04_ex7.clipped"),
    (lambda *case: step()(*case).clamp(-1, 1), "04_ex7.clipped"),
    (step(mix=lambda a, b, now, after: after * a + (1 - after) * b), "04_ex7.no_root"),
    (step(lambda s, n, x, v: s**2 * x - n**2 * v, lambda s, n, x, v: n**2 * x + s**2 * v),
     "04_ex7.no_root"),
    (step(mix=lambda a, b, now, after: after.sqrt() * a + (1 - after.sqrt()) * b),
     "04_ex7.not_one_minus"),
    (lambda *case: 2 * step()(*case), "04_ex7.value"),
    (lambda *case: step()(*case) + torch.randn(2, 3, 4, 4), "random"),
    (lambda *case: step()(*case)[0], "shape"),
    (changes_x, "in_place"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "key"), WRONG_7)
def test_wrong_steps_are_recognised(function, key):
    assert_hint(checks.check_04_ex7(function), key)


# --- 8: what may stand in one table --------------------------------------------------------------

FIELDS = ("metric", "dataset", "split", "features", "num_images", "resolution")


def in_the_way(a, b):
    known = [f for f in FIELDS if a.get(f) is not None and b.get(f) is not None]
    return {f for f in FIELDS if f not in known} | {f for f in known if a[f] != b[f]}


def test_right_fields_pass_in_every_form():
    assert checks.check_04_ex8(in_the_way).passed
    assert checks.check_04_ex8(lambda a, b: sorted(in_the_way(b, a))).passed
    assert checks.check_04_ex8(lambda a, b: frozenset(in_the_way(a=a, b=b))).passed

    def changes_them(a, b):
        for score in (a, b):
            for name in ("system", "value", "source"):
                del score[name]
        return tuple(f for f in FIELDS if a.pop(f, None) != b.get(f) or b.pop(f, None) is None)

    assert checks.check_04_ex8(changes_them).passed


def only(differs):
    return lambda a, b: {f for f in FIELDS if differs(f, a, b)}


WRONG_8 = [
    (lambda a, b: {f: a.get(f) for f in in_the_way(a, b)}, "04_ex8.form"),
    (lambda a, b: "dataset, split", "04_ex8.form"),
    (lambda a, b: len(in_the_way(a, b)), "04_ex8.form"),
    (lambda a, b: [True, False], "04_ex8.form"),
    (lambda a, b: set(FIELDS) - in_the_way(a, b), "04_ex8.complement"),
    (lambda a, b: {f for f in a if a[f] != b.get(f)}, "04_ex8.system"),
    (lambda a, b: {f for f in a.keys() | b.keys() if a.get(f) != b.get(f)}, "04_ex8.system"),
    (only(lambda f, a, b: a.get(f) != b.get(f)), "04_ex8.unknown_same"),
    (only(lambda f, a, b: None not in (a.get(f), b.get(f)) and a[f] != b[f]),
     "04_ex8.unknown_ignored"),
    (only(lambda f, a, b: a.get(f) is None or (b.get(f) is not None and a[f] != b[f])),
     "04_ex8.one_sided"),
    (only(lambda f, a, b: a.get(f) != b.get(f) or (f in a and f in b and a[f] is None)),
     "04_ex8.absent"),
    (lambda a, b: set(), "04_ex8.none"),
    (lambda a, b: set(FIELDS), "04_ex8.all"),
    (lambda a, b: in_the_way(a, b) ^ {"split"}, "04_ex8.value"),
    (lambda a, b: {f for f in FIELDS if a[f] != b[f]}, "04_ex8.unknown_same"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "key"), WRONG_8)
def test_wrong_fields_are_recognised(function, key):
    assert_hint(checks.check_04_ex8(function), key)


# --- 9: what settings change ---------------------------------------------------------------------


@pytest.mark.parametrize("value", [set("acfh"), ["h", "f", "c", "a"], "A, C, F, H", ("a", *"cfh")])
def test_the_true_sentences_pass_in_any_form(value):
    assert checks.check_04_ex9(value).passed


WRONG_9 = [
    (0.5, "04_ex9.form"),
    ({"a": True}, "04_ex9.form"),
    ({"a", "z"}, "04_ex9.unknown"),
    ("abcdefgh", "04_ex9.everything"),
    ("cfh", "04_ex9.a_missing"),
    ("abcfh", "04_ex9.b_wrong"),
    ("afh", "04_ex9.c_missing"),
    ("acdfh", "04_ex9.d_wrong"),
    ("acefh", "04_ex9.e_wrong"),
    ("ach", "04_ex9.f_missing"),
    ("acfgh", "04_ex9.g_wrong"),
    ("acf", "04_ex9.h_missing"),
]


@pytest.mark.parametrize(("value", "key"), WRONG_9)
def test_wrong_sentences_get_the_reason(value, key):
    assert_hint(checks.check_04_ex9(value), key)


def test_what_is_said_of_settings_is_true_of_the_package():
    from course_utils.text2image import image_seed

    assert image_seed(0, "a river", 0) != image_seed(1, "a river", 0)  # a
    assert image_seed(0, "a river", 0) != image_seed(0, "an aerial image of a river.", 0)  # e
    assert meters_per_pixel(15) == 4 * meters_per_pixel(17)  # f
    assert image_seed(0, "a river", 0) == image_seed(0, "a river", 0)  # h


# --- 10: what measures do not see, and whose judge it is ------------------------------------------


@pytest.mark.parametrize("value", [set("aefh"), ["h", "f", "e", "a"], "A, E, F, H", ("a", *"efh")])
def test_the_true_sentences_on_measures_pass_in_any_form(value):
    assert checks.check_04_ex10(value).passed


WRONG_10 = [
    (4, "04_ex10.form"),
    ({"a": True}, "04_ex10.form"),
    ({"a", "i"}, "04_ex10.unknown"),
    ("abcdefgh", "04_ex10.everything"),
    ("efh", "04_ex10.a_missing"),
    ("abefh", "04_ex10.b_wrong"),
    ("acefh", "04_ex10.c_wrong"),
    ("adefh", "04_ex10.d_wrong"),
    ("afh", "04_ex10.e_missing"),
    ("aeh", "04_ex10.f_missing"),
    ("aefgh", "04_ex10.g_wrong"),
    ("aef", "04_ex10.h_missing"),
]


@pytest.mark.parametrize(("value", "key"), WRONG_10)
def test_wrong_sentences_on_measures_get_the_reason(value, key):
    assert_hint(checks.check_04_ex10(value), key)


def test_what_is_said_of_measures_is_true_of_the_package():
    generator = torch.Generator().manual_seed(0)
    real, other = torch.randn(2, 60, 8, generator=generator)
    repeated = real[(real - real.mean(dim=0)).norm(dim=1).argmin()].repeat(60, 1)
    assert metrics.precision_recall(real, repeated, k=3).precision == 1  # a
    mixed = metrics.precision_recall(real, other.roll(1, dims=0), k=3)
    assert mixed == metrics.precision_recall(real, other, k=3)  # b: no sentence is read
    unit = torch.nn.functional.normalize(repeated, dim=1)
    assert metrics.clip_score(unit, unit).mean() == pytest.approx(100)  # c: all of them one image
    few = metrics.frechet_distance(real[:20], other[:20])
    assert few > 1.2 * metrics.frechet_distance(real, other)  # d
