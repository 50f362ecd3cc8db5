"""Distances between sets of images: against closed forms, libraries, and loops over definitions."""

import inspect
import math
import warnings

import jaxtyping
import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError
from scipy import linalg, stats
from sklearn.metrics.pairwise import polynomial_kernel
from sklearn.neighbors import NearestNeighbors
from torch import nn

from course_utils import metrics
from course_utils.metrics import generation, neighbors
from course_utils.metrics.generation import _self_sum, require_features
from course_utils.runtime import seeded


def normal(seed: int, n: int, d: int, *, shift: float = 0.0, scale: float = 1.0) -> torch.Tensor:
    """Draw features in double precision, correlated across columns."""
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(99).normal(size=(d, d)) / math.sqrt(d) + np.eye(d)
    return torch.from_numpy(scale * rng.normal(size=(n, d)) @ mix + shift)


def generator(seed: int = 0) -> torch.Generator:
    """Make a generator."""
    return torch.Generator().manual_seed(seed)


def with_moments(mean: list[float], covariance: list[list[float]], n: int) -> torch.Tensor:
    """Draw rows whose sample mean and covariance are exactly these."""
    rows = np.random.default_rng(0).normal(size=(n, len(mean)))
    rows -= rows.mean(axis=0)
    rows = rows @ np.linalg.inv(np.linalg.cholesky(np.atleast_2d(np.cov(rows, rowvar=False)))).T
    root = np.linalg.cholesky(np.array(covariance))
    return torch.from_numpy(rows @ root.T + np.array(mean))


# --- Frechet distance -------------------------------------------------------------------------


def test_in_one_dimension_the_frechet_distance_is_that_of_means_and_deviations():
    a, b = with_moments([1.0], [[4.0]], 50), with_moments([4.0], [[0.25]], 30)
    expected = (1.0 - 4.0) ** 2 + (2.0 - 0.5) ** 2
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)


def test_the_frechet_distance_of_covariances_that_do_not_commute_is_the_closed_form():
    # For 2 x 2 matrices Tr((AB)^(1/2)) = sqrt(Tr(AB) + 2 sqrt(det(AB))).
    first, second = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([[1.0, -0.6], [-0.6, 3.0]])
    product = first @ second
    trace = math.sqrt(np.trace(product) + 2 * math.sqrt(np.linalg.det(product)))
    expected = 1 + 4 + np.trace(first) + np.trace(second) - 2 * trace
    a = with_moments([0.0, 0.0], first.tolist(), 40)
    b = with_moments([1.0, -2.0], second.tolist(), 70)
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("n", "m", "d"), [(200, 150, 8), (40, 60, 32), (500, 500, 3)])
def test_the_frechet_distance_agrees_with_a_matrix_root_of_scipy(n, m, d):
    a, b = normal(0, n, d), normal(1, m, d, shift=0.3, scale=1.5)
    first, second = (np.cov(rows.numpy(), rowvar=False) for rows in (a, b))
    root = linalg.sqrtm(first @ second).real
    gap = (a.mean(dim=0) - b.mean(dim=0)).square().sum().item()
    expected = gap + np.trace(first) + np.trace(second) - 2 * np.trace(root)
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize(("n", "m", "d"), [(5, 7, 30), (2, 2, 10), (12, 300, 40)])
def test_with_fewer_rows_than_columns_it_is_still_the_trace_of_the_root(n, m, d):
    a, b = normal(2, n, d), normal(3, m, d, shift=0.1)
    first, second = (np.cov(rows.numpy(), rowvar=False) for rows in (a, b))
    values, vectors = np.linalg.eigh(first)  # an independent way, which squares and so loses digits
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    inner = np.linalg.eigvalsh(root @ second @ root).clip(0)
    gap = (a.mean(dim=0) - b.mean(dim=0)).square().sum().item()
    expected = gap + np.trace(first) + np.trace(second) - 2 * np.sqrt(inner).sum()
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-5)


class Same(nn.Module):
    """Take rows for images, so that torchmetrics compares the very same features."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.num_features = d

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the rows."""
        return images.flatten(1)


def as_images(rows: torch.Tensor) -> torch.Tensor:
    """Shape rows like images, n 3 1 w."""
    return rows.float().unflatten(1, (3, 1, -1))


def test_frechet_and_kernel_distance_agree_with_torchmetrics():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its imports, not our calls
        from torchmetrics.image.fid import FrechetInceptionDistance
        from torchmetrics.image.kid import KernelInceptionDistance

        fid = FrechetInceptionDistance(
            Same(24), normalize=True, input_img_size=(3, 1, 8), reset_real_features=False
        ).set_dtype(torch.float64)
        kid = KernelInceptionDistance(Same(24), subsets=1, subset_size=300, normalize=True)
        a, b = normal(4, 300, 24).float(), normal(5, 300, 24, shift=0.2, scale=1.1).float()
        for metric in (fid, kid):
            metric.update(as_images(a), real=True)
            metric.update(as_images(b), real=False)
        with torch.random.fork_rng():
            kernel, _ = kid.compute()
        frechet = fid.compute()
    assert metrics.frechet_distance(a, b) == pytest.approx(frechet.item(), rel=1e-5)
    assert metrics.kernel_distance(a, b) == pytest.approx(kernel.item(), rel=1e-3)


@pytest.mark.parametrize("d", [4, 60])
def test_a_set_is_at_no_frechet_distance_from_itself_in_any_order(d):
    for seed in range(20):
        rows = normal(seed, 40, d)
        assert 0 <= metrics.frechet_distance(rows, rows) < 1e-10  # whichever way it was rounded
    assert metrics.frechet_distance(rows, rows.flip(0)) == pytest.approx(0, abs=1e-10)


def test_the_frechet_distance_is_symmetric_and_unmoved_by_turns_and_shifts():
    a, b = normal(7, 80, 6), normal(8, 50, 6, shift=1.0)
    turn = torch.from_numpy(stats.ortho_group.rvs(6, random_state=0))
    moved = metrics.frechet_distance(a @ turn + 5, b @ turn + 5)
    expected = metrics.frechet_distance(a, b)
    assert metrics.frechet_distance(b, a) == pytest.approx(expected)
    assert moved == pytest.approx(expected)
    assert metrics.frechet_distance(3 * a, 3 * b) == pytest.approx(9 * expected)


def test_single_precision_far_from_the_origin_does_not_spoil_it():
    a, b = normal(9, 100, 5).float() + 1000, normal(10, 100, 5, scale=2).float() + 1000
    moved = metrics.frechet_distance(a.double() - 1000, b.double() - 1000)
    assert metrics.frechet_distance(a, b) == pytest.approx(moved, rel=1e-9)


def test_at_small_n_the_frechet_distance_of_one_distribution_is_its_stated_bias():
    d, n = 6, 200
    expected = 2 * d / n + d * (d + 1) / (2 * (n - 1))
    rng = np.random.default_rng(0)
    values = [
        metrics.frechet_distance(*torch.from_numpy(rng.normal(size=(2, n, d)))) for _ in range(400)
    ]
    assert np.mean(values) == pytest.approx(expected, rel=0.05)


def test_the_bias_shrinks_with_size_and_is_extrapolated_away():
    d = 5
    a, b = torch.from_numpy(np.random.default_rng(1).normal(size=(2, 20_000, d)))
    b = b + 0.2  # truth: d * 0.2^2
    by_size = metrics.frechet_by_size(
        a, b, (50, 100, 200, 400), generator=generator(), num_draws=40
    )
    assert list(by_size.means) == sorted(by_size.means, reverse=True)
    assert by_size.limit == pytest.approx(d * 0.04, abs=0.02)
    assert by_size.means[0] > 0.2 + 0.3
    bias = 2 * d + d * (d + 1) / 2
    assert by_size.slope == pytest.approx(bias, rel=0.15)
    assert len(by_size.stds) == 4
    assert by_size.stds[0] > by_size.stds[-1] > 0


def test_parts_of_all_rows_are_all_rows_and_follow_from_the_generator():
    a, b = normal(11, 60, 3), normal(12, 60, 3)

    def run(seed: int) -> metrics.FrechetBySize:
        return metrics.frechet_by_size(a, b, [20, 60], generator=generator(seed), num_draws=3)

    whole = run(0)
    assert whole.means[1] == pytest.approx(metrics.frechet_distance(a, b))
    assert whole.stds[1] == pytest.approx(0, abs=1e-12)
    assert run(0) == whole != run(1)

    order = generator(0)
    values = []
    for _ in range(3):  # a part of a, then a part of b
        parts = [rows[torch.randperm(60, generator=order)[:20]] for rows in (a, b)]
        values.append(metrics.frechet_distance(*parts))
    assert whole.means[0] == pytest.approx(np.mean(values))
    assert whole.stds[0] == pytest.approx(np.std(values, ddof=1))


@pytest.mark.parametrize(
    ("sizes", "draws"), [([20], 5), ([20, 20], 5), ([1, 20], 5), ([10, 61], 5), ([10, 20], 1)]
)
def test_sizes_that_give_no_line_are_refused(sizes, draws):
    rows = normal(0, 60, 3)
    with pytest.raises(ValueError, match=r"two different sizes or more, 2 … 60 .*got sizes"):
        metrics.frechet_by_size(rows, rows, sizes, generator=generator(), num_draws=draws)


# --- Kernel distance --------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "m"), [(30, 30), (30, 47), (2, 2)])
def test_the_kernel_distance_is_its_definition_with_the_kernel_of_scikit_learn(n, m):
    a, b = normal(0, n, 7), normal(1, m, 7, shift=0.5)
    within_a, within_b, across = (
        polynomial_kernel(x, y, degree=3, gamma=1 / 7, coef0=1) for x, y in ((a, a), (b, b), (a, b))
    )
    expected = (
        sum(within_a[i, j] for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
        + sum(within_b[i, j] for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
        - 2 * across.mean()
    )
    assert metrics.kernel_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert _self_sum(a).item() == pytest.approx(np.trace(within_a))


def test_the_kernel_distance_has_no_bias_at_small_n():
    rng = np.random.default_rng(0)
    values = [
        metrics.kernel_distance(*torch.from_numpy(rng.normal(size=(2, 8, 3)))) for _ in range(3000)
    ]
    error = np.std(values) / math.sqrt(len(values))
    assert abs(np.mean(values)) < 3 * error
    assert min(values) < 0 < max(values)


def test_chunks_change_nothing(monkeypatch):
    a, b = normal(0, 50, 4), normal(1, 37, 4, shift=0.3)

    def run() -> list:
        found = metrics.nearest_neighbors(a, b, num=2)
        return [
            metrics.kernel_distance(a, b),
            metrics.precision_recall(a, b),
            metrics.density_coverage(a, b),
            found.distances.tolist(),
            found.index.tolist(),
        ]

    whole = run()
    for module in (generation, neighbors):
        monkeypatch.setattr(module, "CHUNK", 11)
    parts = run()
    assert parts[0] == pytest.approx(whole[0], rel=1e-12)
    assert parts[1:] == whole[1:]


# --- Neighbours -------------------------------------------------------------------------------


def radius_of(rows: np.ndarray, k: int) -> np.ndarray:
    """Measure the distance to the k-th nearest other row, with scikit-learn."""
    return NearestNeighbors(n_neighbors=k + 1).fit(rows).kneighbors(rows)[0][:, k]


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize(("n", "m", "shift"), [(60, 60, 0.5), (40, 90, 1.0), (90, 40, 0.0)])
def test_precision_recall_density_and_coverage_are_their_definitions(k, n, m, shift):
    real, synthetic = normal(0, n, 4), normal(1, m, 4, shift=shift, scale=0.8)
    x, y = real.numpy(), synthetic.numpy()
    real_radius, synthetic_radius = radius_of(x, k), radius_of(y, k)
    inside_real = np.array(
        [[math.dist(x[i], y[j]) <= real_radius[i] for j in range(m)] for i in range(n)]
    )
    inside_synthetic = np.array(
        [[math.dist(x[i], y[j]) <= synthetic_radius[j] for j in range(m)] for i in range(n)]
    )
    found = metrics.precision_recall(real, synthetic, k=k)
    assert found.precision == pytest.approx(inside_real.any(axis=0).mean())
    assert found.recall == pytest.approx(inside_synthetic.any(axis=1).mean())
    crowd = metrics.density_coverage(real, synthetic, k=k)
    assert crowd.density == pytest.approx(inside_real.sum() / (k * m))
    assert crowd.coverage == pytest.approx(inside_real.any(axis=1).mean())


def test_real_and_synthetic_are_not_mixed_up():
    """All synthetic images at one real place: faithful, and without any diversity."""
    real = normal(0, 50, 4)
    same = real[:1] + 1e-6 * normal(1, 20, 4)
    found = metrics.precision_recall(real, same)
    assert found.precision == 1
    assert found.recall <= 1 / 50
    assert metrics.precision_recall(same, real).recall == 1
    crowd = metrics.density_coverage(real, same)
    assert crowd.density > 0.5
    assert crowd.coverage < 0.3


@pytest.mark.parametrize("copies", [1, 4])
def test_a_set_lies_wholly_within_itself_even_where_images_are_repeated(copies):
    rows = normal(2, 30, 3).repeat(copies, 1)
    assert metrics.precision_recall(rows, rows) == metrics.PrecisionRecall(1.0, 1.0)
    assert metrics.density_coverage(rows, rows).coverage == 1


def test_sets_far_apart_share_nothing():
    a, b = normal(0, 30, 3), normal(1, 30, 3, shift=1000)
    assert metrics.precision_recall(a, b) == metrics.PrecisionRecall(0.0, 0.0)
    crowd = metrics.density_coverage(a, b)
    assert (crowd.density, crowd.coverage) == (0, 0)


def test_shares_do_not_change_with_scale_turns_and_order():
    a, b = normal(3, 60, 5), normal(4, 50, 5, shift=0.6)
    turn = torch.from_numpy(stats.ortho_group.rvs(5, random_state=1))
    assert metrics.precision_recall(7 * a @ turn + 2, 7 * b.flip(0) @ turn + 2) == (
        metrics.precision_recall(a, b)
    )


@pytest.mark.parametrize(("n", "m", "k"), [(30, 30, 5), (20, 50, 3)])
def test_density_and_coverage_of_one_distribution_are_what_is_expected(n, m, k):
    rng = np.random.default_rng(0)
    found = [
        metrics.density_coverage(
            torch.from_numpy(rng.normal(size=(n, 4))),
            torch.from_numpy(rng.normal(size=(m, 4))),
            k=k,
        )
        for _ in range(300)
    ]
    assert np.mean([crowd.density for crowd in found]) == pytest.approx(1, abs=0.02)
    expected = found[0].expected_coverage
    assert np.mean([crowd.coverage for crowd in found]) == pytest.approx(expected, abs=0.01)


COMPARED = {
    "frechet_distance": metrics.frechet_distance,
    "frechet_by_size": lambda a, b: metrics.frechet_by_size(a, b, [3, 5], generator=seeded(0)),
    "kernel_distance": metrics.kernel_distance,
    "clip_score": metrics.clip_score,
    "precision_recall": metrics.precision_recall,
    "density_coverage": metrics.density_coverage,
    "nearest_neighbors": metrics.nearest_neighbors,
    "copied_share": lambda a, b: metrics.copied_share(a, a + 1, b, quantile=0.5),
}
ROWS = normal(0, 9, 4)
NO_FEATURES = {
    "NaN": (torch.where(torch.eye(9, 4) > 0, math.nan, ROWS), "NaN or infinity in 4 of 9 rows"),
    "infinity": (torch.cat([ROWS[:8], ROWS[8:] / 0]), "in 1 of 9 rows, first in row 8"),
    "one row": (ROWS[0], r"got shape \(4,\)"),
    "images": (ROWS[:, :, None], r"got shape \(9, 4, 1\)"),
    "other model": (ROWS[:, :3], "extract all with the same model"),
    "no columns": (ROWS[:, :0], "extract all with the same model"),
    "none": (ROWS[:0], "or more"),
}


@pytest.mark.parametrize("function", COMPARED)
@pytest.mark.parametrize("name", NO_FEATURES)
def test_what_are_no_features_is_said(function, name, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    rows, message = NO_FEATURES[name]
    for pair in ((rows, ROWS), (ROWS, rows)):
        with pytest.raises(ValueError, match=message):
            COMPARED[function](*pair)


@pytest.mark.parametrize("function", [metrics.precision_recall, metrics.density_coverage])
def test_balls_need_neighbours(function):
    rows = normal(0, 4, 3)
    with pytest.raises(ValueError, match="the 4-th neighbour needs 5 images or more in each set"):
        function(normal(0, 20, 3), rows, k=4)
    with pytest.raises(ValueError, match="k: expected a whole number, 1 or more, got 0"):
        function(rows, rows, k=0)


def test_the_nearest_are_those_of_scikit_learn_nearest_first():
    queries, bank = normal(0, 25, 6), normal(1, 40, 6)
    found = metrics.nearest_neighbors(queries, bank, num=3)
    distances, index = NearestNeighbors(n_neighbors=3).fit(bank).kneighbors(queries)
    np.testing.assert_allclose(found.distances, distances)
    assert found.index.tolist() == index.tolist()


def test_a_copy_is_its_own_nearest_at_exactly_no_distance():
    bank = (1000 + normal(0, 40, 6)).float()
    found = metrics.nearest_neighbors(bank[7:9], bank)
    assert found.index.tolist() == [[7], [8]]
    assert found.distances.tolist() == [[0], [0]]
    with pytest.raises(ValueError, match="expected 41 rows or more"):
        metrics.nearest_neighbors(bank[:2], bank, num=41)
    with pytest.raises(ValueError, match="num: expected a whole number, 1 or more"):
        metrics.nearest_neighbors(bank[:2], bank, num=0)


# --- Copies -----------------------------------------------------------------------------------


def test_new_real_images_are_called_copies_as_often_as_stated():
    rng, shares, over = np.random.default_rng(0), [], 0
    for _ in range(300):
        train, held_out, fresh = torch.from_numpy(rng.normal(size=(3, 99, 3)))
        found = metrics.copied_share(fresh[:50], train, held_out, quantile=0.05)
        shares.append(found.share)
        over += found.share > found.limit
    assert found.expected == pytest.approx(0.05)
    assert np.mean(shares) == pytest.approx(found.expected, abs=0.008)
    assert 0.005 < over / 300 <= 0.08  # at most 5 % but for chance


def test_the_threshold_is_an_order_statistic_of_held_out_distances():
    train, held_out, synthetic = normal(0, 80, 3), normal(1, 99, 3), normal(2, 60, 3)
    found = metrics.copied_share(synthetic, train, held_out, quantile=0.1)
    finder = NearestNeighbors(n_neighbors=1).fit(train)
    threshold = np.sort(finder.kneighbors(held_out)[0][:, 0])[9]
    assert found.threshold == pytest.approx(threshold)
    assert found.share == (finder.kneighbors(synthetic)[0][:, 0] < threshold).mean()
    assert found.limit == pytest.approx(stats.betabinom.ppf(0.95, 60, 10, 90) / 60)


def test_copies_are_noticed_and_other_images_are_not():
    train, held_out = normal(0, 400, 5), normal(1, 199, 5)
    fresh = normal(2, 100, 5)
    copied = torch.cat([fresh[:70], train[:30] + 1e-4])
    found = metrics.copied_share(copied, train, held_out)
    assert 0.3 <= found.share <= 0.36
    assert found.share > found.limit
    far = metrics.copied_share(fresh + 100, train, held_out)
    assert far.share == 0


def test_a_quantile_that_held_out_images_cannot_give_is_refused():
    rows = normal(0, 50, 3)
    for quantile in (0.01, 1.0, -0.1):
        with pytest.raises(ValueError, match=r"50 held-out images allow 1 / 51 up to 50 / 51"):
            metrics.copied_share(rows, normal(1, 20, 3), rows, quantile=quantile)
    assert metrics.copied_share(rows, normal(1, 20, 3), rows, quantile=1 / 51).expected == 1 / 51
    with pytest.raises(ValueError, match="are in train: hold out others"):
        metrics.copied_share(rows, rows, rows, quantile=0.1)


# --- CLIP score -------------------------------------------------------------------------------


def test_the_clip_score_is_a_hundred_times_the_cosine_and_never_negative():
    images = torch.tensor([[2.0, 0.0], [1.0, 1.0], [0.0, 3.0], [-1.0, 0.0]])
    texts = torch.tensor([[5.0, 0.0], [1.0, 0.0], [1.0, 0.0], [4.0, 0.0]])
    expected = torch.tensor([100.0, 100 / math.sqrt(2), 0.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(metrics.clip_score(images, texts), expected)


def test_the_clip_score_agrees_with_the_definition_of_torchmetrics():
    """Its scoring takes features only after a model; this is its line, on rows of one sign."""
    images, texts = normal(0, 20, 8).abs(), normal(1, 20, 8).abs()
    unit = nn.functional.normalize
    expected = 100 * (unit(images) * unit(texts)).sum(dim=-1)
    torch.testing.assert_close(metrics.clip_score(images, texts), expected)


def test_a_clip_score_needs_a_sentence_an_image_and_directions():
    rows = normal(0, 5, 3)
    with pytest.raises(ValueError, match="one sentence an image, got 5 images and 4 sentences"):
        inspect.unwrap(metrics.clip_score)(rows, rows[:4])  # the hook would see it first
    with pytest.raises(ValueError, match="a row of zeros"):
        metrics.clip_score(rows, 0 * rows)


# --- What may be compared ---------------------------------------------------------------------


def pairs() -> list:
    """List every function of two sets."""
    return [
        metrics.frechet_distance,
        metrics.kernel_distance,
        metrics.precision_recall,
        metrics.density_coverage,
        metrics.nearest_neighbors,
        metrics.clip_score,
        lambda a, b: metrics.frechet_by_size(a, b, [5, 10], generator=generator()),
        lambda a, b: metrics.copied_share(a, b, a + 9, quantile=0.1),
        lambda a, b: metrics.copied_share(a, a + 9, b, quantile=0.1),
    ]


@pytest.mark.parametrize("function", pairs())
def test_sets_of_other_extractors_and_broken_features_are_refused(function):
    good = normal(0, 20, 4)
    with pytest.raises((ValueError, TypeCheckError)):  # the hook sees wrong columns first
        function(good, good[:, :3])
    for value in (math.nan, math.inf):
        broken = good.clone()
        broken[3, 1] = value
        for first, second in ((good, broken), (broken, good)):
            with pytest.raises(ValueError, match="expected finite features"):
                function(first, second)


def test_without_the_hook_other_columns_are_refused_too():
    good = normal(0, 20, 4)
    for wrong in (good[:, :3], torch.zeros(20, 0)):
        for sets in ((good, wrong), (wrong, good), (good, good, wrong)):
            with pytest.raises(ValueError, match="extract all with the same model"):
                require_features(*sets, at_least=1)
    with pytest.raises(ValueError, match="extract all with the same model"):
        require_features(torch.zeros(5, 0), at_least=1)


@pytest.mark.parametrize("function", [metrics.frechet_distance, metrics.kernel_distance])
def test_one_image_has_no_spread(function):
    with pytest.raises(ValueError, match="expected 2 rows or more"):
        function(normal(0, 1, 3), normal(1, 9, 3))


@pytest.mark.parametrize("function", pairs())
def test_features_are_left_as_they_were(function):
    a, b = normal(0, 20, 4), normal(1, 20, 4)
    before = a.clone(), b.clone()
    function(a, b)
    torch.testing.assert_close((a, b), before)
