"""Checks of notebook 04 on judging: Fréchet distance, recall, copies, what may be compared."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from course_utils.checks.judging import Hint, Mistakes, check, compare, judge, number, run, tell
from course_utils.checks.letters import judge_letters

_COPIES = frozenset({4, 11, 17, 30, 38})
_NUM_TRAIN, _NUM_HELD_OUT, _NUM_SYNTHETIC, _WIDTH = 200, 150, 40, 8
_TRUE = frozenset("aefh")  # what is said about measures and judges
_FIELDS = ("metric", "dataset", "split", "features", "num_images", "resolution")
# single precision and other ways to take a root differ by less
_is_near = partial(math.isclose, rel_tol=3e-4, abs_tol=1e-6)


def frechet(mean_a, cov_a, mean_b, cov_b):
    """Compute the distance; the trace of a root is the sum of the roots of the eigenvalues."""
    eigenvalues = torch.linalg.eigvals(cov_a @ cov_b).real.clamp(min=0)
    gap = (mean_a - mean_b).square().sum()
    return (gap + cov_a.trace() + cov_b.trace() - 2 * eigenvalues.sqrt().sum()).item()


def _frechet_mistakes(mean_a: Tensor, cov_a: Tensor, mean_b: Tensor, cov_b: Tensor) -> Mistakes:
    gap, total = (mean_a - mean_b).square().sum(), cov_a.trace() + cov_b.trace()
    right, product = frechet(mean_a, cov_a, mean_b, cov_b), cov_a @ cov_b
    spread, root = right - gap, (total + gap - right) / 2
    var_a, var_b = cov_a.diagonal(), cov_b.diagonal()

    def by_roots(squares: Tensor) -> Tensor:
        return gap + total - 2 * squares.clamp(min=0).sqrt().sum()

    yield "variances", gap + (var_a - var_b).square().sum()
    yield "not_squared", gap.sqrt() + spread
    yield "rooted", math.sqrt(right)
    yield "no_means", spread
    yield "no_spread", gap
    yield "once", gap + total - root
    yield "no_root", gap + total - 2 * product.trace()
    yield "root_of_trace", gap + total - 2 * product.trace().sqrt()
    yield "no_cross", gap + total
    yield "mean", right / len(mean_a)
    yield "elementwise", gap + total - 2 * product.diagonal().clamp(min=0).sqrt().sum()
    lower, upper = (torch.linalg.eigvalsh(product, UPLO=part) for part in "LU")
    yield "eigvalsh", by_roots(lower), by_roots(upper)
    singular = torch.linalg.svdvals(product)
    yield "singular", by_roots(singular), gap + total - 2 * singular.sum()
    yield "separate_roots", gap + total - 2 * (_root(cov_a) @ _root(cov_b)).trace()
    yield "diagonal", gap + (var_a.sqrt() - var_b.sqrt()).square().sum()


def _root(cov: Float[Tensor, "d d"]) -> Float[Tensor, "d d"]:
    values, vectors = torch.linalg.eigh(cov)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


@check(frechet)
def check_04_ex4(value: Any) -> Any:
    """Check ``frechet(mean_a, cov_a, mean_b, cov_b) -> float``, the distance between two Gaussians.

    |μ_a - μ_b|² + Tr(Σ_a + Σ_b - 2 (Σ_a Σ_b)^(1/2)), with the matrix root. It is tried on diagonal
    covariances, then on full ones that do not commute.

    Args:
        value: the function; means are float64 tensors (d), covariances (d, d).

    Source:
        Heusel et al. 2017 (arXiv:1706.08500), equation 6.
    """

    def read(answer: Any, _: float) -> float:
        tell([("complex", np.iscomplexobj(answer))])
        return number(answer)

    def say(answer: float, right: float, *_: Tensor) -> dict[str, object]:
        return {"answer": f"{answer:.4g}", "right": f"{right:.4f}"}

    options = {"read": read, "same": _is_near, "watch": False, "say": say}
    return compare(value, _make_moments(), frechet, _frechet_mistakes, **options)


def _make_moments() -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    mean_a, mean_b = (torch.randn(5, generator=generator).double() / 3 for _ in range(2))
    variances = [0.3, 1.1, 2.0, 0.7, 1.4], [1.9, 0.4, 1.2, 0.2, 0.9]
    cov_a, cov_b = (torch.tensor(some).double().diag() for some in variances)
    yield mean_a, cov_a, mean_b, cov_b
    shapes = [torch.randn(5, 5, generator=generator).double() for _ in range(2)]
    cov_a, cov_b = (shape @ shape.T / 5 + 0.1 * torch.eye(5) for shape in shapes)
    yield mean_a, cov_a, mean_b, cov_b


def recall(real, synthetic, k):
    """Count the real images that lie in the ball around some synthetic one."""
    among = torch.cdist(synthetic, synthetic)
    radii = among.sort(dim=1).values[:, k]  # column 0 is the image itself
    inside = torch.cdist(real, synthetic) <= radii
    return inside.any(dim=1).double().mean().item()


def _recall_mistakes(real: Tensor, made: Tensor, k: int) -> Mistakes:
    def share(hits: Tensor) -> float:
        return hits.double().mean().item()

    gaps, among = torch.cdist(real, made), torch.cdist(made, made).sort(dim=1).values
    radii, right, (nearest, index) = among[:, k], recall(real, made, k), gaps.min(dim=1)
    yield "precision", recall(made, real, k)
    yield "itself", share((gaps <= among[:, k - 1]).any(dim=1))
    yield "one_more", share((gaps <= among[:, k + 1]).any(dim=1))
    yield from (("k_ignored", recall(real, made, other)) for other in (1, 3, 5))
    yield "to_real", share((gaps <= gaps.sort(dim=0).values[k - 1]).any(dim=1))
    yield "squared", share((gaps.square() <= radii).any(dim=1))
    yield "coverage", share(nearest <= torch.cdist(real, real).sort(dim=1).values[:, k])
    yield "nearest", share(nearest <= radii[index])
    yield "one_ball", share(nearest <= radii.max())
    yield "mean_ball", share(nearest <= radii.mean())
    yield "pairs", share(gaps <= radii)
    yield "percent", 100 * right
    yield "count", len(real) * right


@check(recall)
def check_04_ex5(value: Any) -> Any:
    """Check ``recall(real, synthetic, k) -> float`` with k nearest neighbors.

    The share of real images that lie in the ball around some synthetic image, where a ball reaches
    to the k-th nearest other synthetic image.

    Args:
        value: the function; features are float64 tensors, one row an image.

    Source:
        Kynkäänniemi et al. 2019 (arXiv:1904.06991), equations 1 and 2.
    """

    def say(answer: float, right: float, real: Tensor, made: Tensor, k: int) -> dict[str, object]:
        return {"k": k, "answer": f"{answer:.4g}", "right": f"{right:.3f}"}

    generator = torch.Generator().manual_seed(1)
    real = torch.randn(90, 2, generator=generator).double()
    synthetic = 0.6 * torch.randn(70, 2, generator=generator).double() + 0.5
    cases = [(real, synthetic, k) for k in (3, 1, 5)]
    options = {"same": _is_near, "watch": False, "jointly": True, "say": say}
    return compare(value, cases, recall, _recall_mistakes, **options)


def find_copies(synthetic, train, held_out):
    """List drawings nearer to a training image than any held-out image is."""

    def nearest(rows):
        return torch.cdist(rows, train).min(dim=1).values

    threshold = nearest(held_out).min()
    return torch.nonzero(nearest(synthetic) < threshold)[:, 0].tolist()


def _copy_mistakes(synthetic: Tensor, train: Tensor, held_out: Tensor) -> Mistakes:
    def rows(mask: Tensor) -> frozenset[int]:
        return frozenset(torch.nonzero(mask)[:, 0].tolist())

    def within(some: Tensor) -> Tensor:
        return torch.cdist(some, some).fill_diagonal_(torch.inf).min(dim=1).values

    def below_least(nearest: Callable[[Tensor], Tensor]) -> frozenset[int]:
        return rows(nearest(synthetic) < nearest(held_out).min())

    own, fair = _nearest(synthetic, train), _nearest(held_out, train)
    yield "none", frozenset()
    yield "all", frozenset(range(len(synthetic)))
    yield "sign", rows(own > fair.min()), rows(own > fair.max())
    yield "quantile", *(rows(own < fair.quantile(q)) for q in (0.01, 0.02, 0.025, 0.05, 0.1))
    yield "spread", *(rows(own < fair.mean() - k * fair.std()) for k in (1, 2, 3))
    yield "typical", rows(own < fair.quantile(0.5)), rows(own < fair.mean())
    yield "cosine", below_least(lambda some: 1 - (_unit(some) @ _unit(train).T).amax(dim=1))
    yield "manhattan", below_least(lambda some: torch.cdist(some, train, p=1).amin(dim=1))
    least = fair.min(), _nearest(train, held_out).min()
    yield "held_out", *(rows(_nearest(synthetic, held_out) < one) for one in least)
    yield "among", rows(within(synthetic) < fair.min())
    yield "own_train", rows(own < within(train).min())
    yield "center", below_least(lambda some: (some - train.mean(dim=0)).norm(dim=1))


def _unit(rows: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    return rows / rows.norm(dim=1, keepdim=True)


@check(find_copies)
def check_04_ex6(value: Any) -> None:
    """Check ``find_copies(synthetic, train, held_out) -> list[int]``, copies of training images.

    The rows of ``synthetic`` that lie nearer to their nearest training image than *any* held-out
    real image lies to its own, by Euclid's distance. It is tried in two feature spaces, one twenty
    times smaller.

    Args:
        value: the function; features are float64 tensors, one row an image.
    """
    for scale in (1.0, 0.05):
        world = synthetic, train, held_out = tuple(scale * part for part in _make_world())
        found = _as_rows(run(value, *world, watch=False))
        if found == _COPIES:
            continue
        tell([("fixed", scale < 1)])
        too_many, threshold = found - _COPIES, _nearest(held_out, train).min()
        row = min(too_many or _COPIES - found)
        gaps = {"distance": _nearest(synthetic, train)[row], "threshold": threshold}
        said = {"row": row, **{key: f"{gap:.2f}" for key, gap in gaps.items()}}
        wrong, other = _copy_mistakes(*world), "too_many" if too_many else "missing"
        judge(found, _COPIES, wrong, same=frozenset.__eq__, otherwise=other, **said)


def _make_world() -> tuple[Float[Tensor, "n d"], Float[Tensor, "t d"], Float[Tensor, "m d"]]:
    """Draw features with five copies, and what another threshold or distance takes for some.

    The held-out image nearest to the training set is 1.2 away from it, all others at least 1.4.
    Three drawings lie between, so that a quantile is too much, one of them along an axis, where
    Manhattan's distance is shortest; one copy lies at 1.12, so that two standard deviations below
    the mean are too little. Others are twins of each other, look-alikes of held-out images, and
    training images times 1.5, which a cosine cannot tell from copies.
    """
    generator = torch.Generator().manual_seed(2)

    def draw(num: int) -> Float[Tensor, "num d"]:
        return torch.randn(num, _WIDTH, generator=generator).double()

    def draw_apart(num: int, of: int) -> Float[Tensor, "num d"]:
        rows = draw(of)
        return rows[_nearest(rows, train) >= 1.4][:num].clone()

    def draw_near(near: int, distance: float, pushes: Tensor | None = None) -> Tensor:
        """Step away from a training image, to where no other one is nearer."""
        pushes = draw(1000) if pushes is None else pushes
        rows = train[near] + distance * _unit(pushes)
        return rows[torch.cdist(rows, train).argmin(dim=1) == near][0]

    train = draw(_NUM_TRAIN)
    train[150] = train[151] + 0.35 / _WIDTH**0.5  # two photographs of one place
    held_out = draw_apart(_NUM_HELD_OUT, 4 * _NUM_HELD_OUT)
    held_out[77] = draw_near(90, 1.2)
    synthetic = draw_apart(_NUM_SYNTHETIC, 8 * _NUM_SYNTHETIC)
    synthetic[21] = synthetic[8] + 0.01  # twins, but copies of no training image
    far = torch.nonzero(_nearest(held_out, train) > 1.8)[:2, 0]
    synthetic[[2, 26]] = held_out[far] + 0.02  # nobody was trained on these
    synthetic[5], synthetic[19] = draw_near(41, 1.27), draw_near(62, 1.35)
    synthetic[33] = draw_near(83, 1.31, torch.eye(_WIDTH).double())
    scaled = 1.5 * train
    synthetic[[9, 28]] = scaled[_nearest(scaled, train) > 1.4][:2]
    for k, row in enumerate(sorted(_COPIES)):
        synthetic[row] = draw_near(7 * k + 3, 0.1 + 0.255 * k)
    return synthetic, train, held_out


def _nearest(rows: Float[Tensor, "n d"], bank: Float[Tensor, "m d"]) -> Float[Tensor, " n"]:
    return torch.cdist(rows, bank).min(dim=1).values


def _as_rows(answer: Any) -> frozenset[int]:
    """Read rows, given as a list, an array, a tensor or a mask."""
    try:
        if isinstance(answer, str | bytes | dict):
            raise TypeError
        found = np.asarray(list(islice(answer, 10 * _NUM_SYNTHETIC)))
        if found.dtype == bool and found.shape == (_NUM_SYNTHETIC,):
            found = np.flatnonzero(found)
        if found.size and (found.ndim != 1 or (found != found.astype(int)).any()):
            raise TypeError
        rows = [int(row) for row in found]
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise Hint("form") from error
    outside = any(not 0 <= row < _NUM_SYNTHETIC for row in rows)
    tell([("rows", outside)], row=max(rows, key=abs, default=0), num=_NUM_SYNTHETIC)
    return frozenset(rows)


def what_differs(a, b):
    """List the fields that are not known to be the same."""
    fields = "metric", "dataset", "split", "features", "num_images", "resolution"
    return {f for f in fields if a.get(f) is None or b.get(f) is None or a[f] != b[f]}


def _field_mistakes(a: Mapping, b: Mapping) -> Mistakes:
    def of(names: Iterable[str], differs: Callable[[str], bool]) -> frozenset[str]:
        return frozenset(filter(differs, names))

    def unequal(name: str) -> bool:
        return a.get(name) != b.get(name)

    def missing(name: str) -> bool:
        return a.get(name) is None or b.get(name) is None

    right, fields = frozenset(what_differs(a, b)), frozenset(_FIELDS)
    everything = a.keys() | b.keys() | fields
    yield "complement", fields - right
    yield "system", of(everything, lambda n: unequal(n) or missing(n))
    yield "system", of(everything, unequal), of(a.keys() & b.keys(), unequal)
    yield "absent", of(fields, lambda n: unequal(n) or (missing(n) and n in a and n in b))
    yield "unknown_same", of(fields, unequal)
    yield "unknown_ignored", of(fields, lambda n: unequal(n) and not missing(n))
    for one, other in ((a, b), (b, a)):
        known = {n for n in fields if other.get(n) is not None and unequal(n)}
        yield "one_sided", known | {n for n in fields if one.get(n) is None}
    yield "none", frozenset()
    yield "all", fields


@check(what_differs)
def check_04_ex8(value: Any) -> Any:
    """Check ``what_differs(a, b) -> set``: the fields by which two scores may not be compared.

    Those of metric, dataset, split, features, num_images and resolution that differ, or that are
    missing or None in either; system, value and source may differ.

    Args:
        value: the function; scores are dicts.
    """

    def read(answer: Any, _: set[str]) -> frozenset[str]:
        is_group = isinstance(answer, set | frozenset | list | tuple)
        names = is_group and all(isinstance(name, str) for name in answer)
        tell([("form", not names)], kind=type(answer).__name__)
        return frozenset(answer)

    def say(answer: frozenset, right: set[str], a: Mapping, b: Mapping) -> dict[str, object]:
        name = min(answer ^ right, default="")
        values = {"a": repr(a.get(name, "missing")), "b": repr(b.get(name, "missing"))}
        return {"name": name} | values

    options = {"read": read, "same": _is_same_set, "watch": False, "say": say}
    return compare(value, _make_scores(), what_differs, _field_mistakes, **options)


def _is_same_set(a: Iterable[str], b: Iterable[str]) -> bool:
    return set(a) == set(b)


def _make_scores() -> Iterator[tuple[dict, dict]]:
    """Pair scores that differ more and more, then those of which something is not known."""
    ours = {"system": "ours", "value": 25.7, "source": "measured here", "metric": "FID"}
    ours |= {"dataset": "RSICD", "split": "test", "features": "Inception-v3"}
    ours |= {"num_images": 1093, "resolution": 256}
    theirs = ours | {"system": "theirs", "value": 24.5, "source": "a paper"}
    yield ours, theirs | {"dataset": "mini_earth", "features": "small_clip", "num_images": 48}
    yield ours, theirs
    yield ours, theirs | {"split": "train", "resolution": 64, "metric": "kernel distance"}
    yield ours | {"split": None}, theirs | {"num_images": None, "features": "small_clip"}
    yield ours | {"split": None}, theirs | {"split": None}
    short = {name: value for name, value in theirs.items() if name != "resolution"}
    yield ours, short
    yield ours | {"resolution": None}, short
    yield {name: value for name, value in ours.items() if name != "resolution"}, short


@check(_TRUE)
def check_04_ex10(value: Any) -> None:
    """Check which of eight sentences on what measures see, and on whose judge it is, are true.

    Args:
        value: letters, as a set, a list or a string.
    """
    judge_letters(value, _TRUE)
