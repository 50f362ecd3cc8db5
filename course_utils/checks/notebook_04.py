"""Checks of notebook 04: guidance, zoom levels, prompts, Fréchet distance, recall, copies."""

import math
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import islice, product
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from course_utils.checks.judging import (
    Hint,
    Mistakes,
    as_tensor,
    check,
    compare,
    judge,
    number,
    run,
    tell,
)
from course_utils.checks.notebook_01_steps import guidance_mistakes

_SCALES = (3.0, 7.5, 1.0)  # first where mistakes differ
_SIZES = (1.0, 0.5, 10.0, 30.0, 2.4, 3.2, 0.6, 4.5, 19.0, 0.1, 600.0)  # none amid two levels
_PHRASES = ("a river", "a forest", "an airport", "a place damaged by wind")
_TEMPLATES = ("a satellite photo of {}.", "{} seen from above.", "an aerial image of {}.")
_CASES = ((_PHRASES, _TEMPLATES, 6), (_PHRASES[:3], _TEMPLATES, 7), (_PHRASES[:2], _TEMPLATES, 2))
_MANY = 1000  # far more prompts than any case asks for
_COPIES = frozenset({4, 11, 17, 30, 38})
_NUM_TRAIN, _NUM_HELD_OUT, _NUM_SYNTHETIC, _WIDTH = 200, 150, 40, 8
# single precision and other ways to take a root differ by less
_is_near = partial(math.isclose, rel_tol=1e-3, abs_tol=1e-6)


def guide(uncond, cond, guidance_scale):
    """Push a prediction away from the one without a sentence."""
    return uncond + guidance_scale * (cond - uncond)


def _guide_mistakes(uncond: Tensor, cond: Tensor, scale: float) -> Mistakes:
    yield from guidance_mistakes(uncond, cond, scale)
    yield "sum", uncond + scale * cond
    yield "scaled", scale * cond
    yield "average", (uncond + cond) / 2
    yield "clipped", guide(uncond, cond, scale).clamp(-1, 1)


@check(guide)
def check_04_ex1(value: Any) -> None:
    """Check ``guide(uncond, cond, guidance_scale)``: uncond + s (cond - uncond), 1 is no guidance.

    Args:
        value: the function; both predictions are float tensors (n, c, h, w).

    Source:
        Ho and Salimans 2022 (arXiv:2207.12598), equation 6, with s = w + 1.
    """
    generator = torch.Generator().manual_seed(0)
    uncond, cond = (torch.randn(2, 3, 4, 4, generator=generator) for _ in range(2))
    tell([("no_function", not callable(value))], kind=type(value).__name__)
    for scale in _SCALES:
        given = uncond.clone(), cond.clone()
        found = as_tensor(run(lambda s, given=given: value(*given, s), scale, watch=False))
        shape, right = tuple(found.shape), tuple(uncond.shape)
        tell([("shape", shape != right)], shape=shape, right=right)
        tell([("in_place", not (given[0].equal(uncond) and given[1].equal(cond)))])
        right, wrong = guide(uncond, cond, scale), _guide_mistakes(uncond, cond, scale)
        same = partial(torch.allclose, atol=1e-4)
        judge(found.float(), right, wrong, same=same, scale=f"{scale:g}")


def zoom_level(meters_per_pixel):
    """Find the nearest level, between 10 and 18."""
    level = round(17 - math.log2(meters_per_pixel))
    return min(max(level, 10), 18)


def _level_mistakes(size: float) -> Mistakes:
    """List wrong levels, each also rounded and within the limits."""
    exact = 17 - math.log2(size)
    for key, level in (
        ("limits", round(exact)),
        ("floor", math.floor(exact)),
        ("ceil", math.ceil(exact)),
        ("truncated", 17 - int(math.log2(size))),
        ("not_rounded", exact),
        ("log10", 17 - math.log10(size)),
        ("natural", 17 - math.log(size)),
        ("sign", 17 + math.log2(size)),
        ("inverse", 2 ** (17 - size)),
        ("offset", 1 + exact),
        ("pixels", math.log2(156_543.034 / size)),
    ):
        levels = level, round(level)
        yield key, *levels, *(min(max(x, 10), 18) for x in levels)


@check(zoom_level)
def check_04_ex2(value: Any) -> None:
    """Check ``zoom_level(meters_per_pixel) -> int``: round(17 - log2(meters)), within 10 and 18.

    Args:
        value: the function; its argument is a float above 0.

    Source:
        Text2Earth, Liu et al. 2025 (arXiv:2501.00895): 2^(17 - level) meters a pixel.
    """

    def say(answer: float, right: int, size: float) -> dict[str, object]:
        return {"size": size, "answer": f"{answer:.4g}", "right": right}

    options = {"same": partial(math.isclose, abs_tol=1e-6), "watch": False, "jointly": True}
    compare(value, [(size,) for size in _SIZES], zoom_level, _level_mistakes, say=say, **options)


def write_prompts(phrases, templates, per_class):
    """Go round the templates within every class."""
    prompts, labels = [], []
    for label, phrase in enumerate(phrases):
        for i in range(per_class):
            prompts.append(templates[i % len(templates)].replace("{}", phrase))
            labels.append(label)
    return prompts, labels


@check(write_prompts)
def check_04_ex3(value: Any) -> None:
    """Check ``write_prompts(phrases, templates, per_class) -> (prompts, labels)`` in three cases.

    Exactly ``per_class`` prompts a class, each with the number of its class, and within a class
    each template as often as any other, or once more or less where ``per_class`` is no multiple.

    Args:
        value: the function; a template has curly braces where the phrase goes.
    """
    for phrases, templates, per_class in _CASES:
        answer = run(value, list(phrases), list(templates), per_class, watch=False)
        prompts, labels = _as_lists(answer)
        places = product(enumerate(phrases), enumerate(templates))
        made = {t.replace("{}", p): (k, i) for (k, p), (i, t) in places}
        unknown = next((prompt for prompt in prompts if prompt not in made), None)
        if unknown is not None:
            tell([("braces", "{" in unknown), ("no_template", unknown in phrases)], prompt=unknown)
            raise Hint("unknown", prompt=unknown[:80])
        counts = Counter(made[prompt] for prompt in prompts)
        table = [[counts[k, i] for i in range(len(templates))] for k in range(len(phrases))]
        sizes, num, each = {sum(row) for row in table}, len(templates), len(templates) * per_class
        if sizes != {per_class}:
            tell([("each_template", sizes == {each})], num=each, right=per_class)
            tell([("one_each", sizes == {num})], num=num, right=per_class)
            tell([("in_all", len(prompts) == per_class)], num=per_class)
            raise Hint("unbalanced", low=min(sizes), high=max(sizes), right=per_class)
        truth = [made[prompt][0] for prompt in prompts]
        tell([("from_one", labels != truth and labels == [k + 1 for k in truth])])
        for prompt, label, right in zip(prompts, labels, truth, strict=True):
            tell([("label", label != right)], prompt=prompt, label=label, right=right)
        if per_class > 1 and all(sum(map(bool, row)) == 1 for row in table):
            is_one = len({row.index(max(row)) for row in table}) == 1
            raise Hint("one_template" if is_one else "lockstep")
        for row in table:
            tell([("templates", max(row) - min(row) > 1)], counts=" + ".join(map(str, row)))


def _as_lists(answer: Any) -> tuple[list[str], list[int]]:
    try:
        if isinstance(answer, str | dict | set):
            raise TypeError
        prompts, labels = (list(islice(part, _MANY)) for part in islice(answer, 3))
        if not all(isinstance(prompt, str) for prompt in prompts):
            raise TypeError
        if any(isinstance(label, str) or int(label) != label for label in labels):
            raise TypeError
    except (TypeError, ValueError) as error:
        raise Hint("form") from error
    differ = len(prompts) != len(labels)
    tell([("lengths", differ)], prompts=len(prompts), labels=len(labels))
    return prompts, [int(label) for label in labels]


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
    yield "diagonal", gap + (var_a.sqrt() - var_b.sqrt()).square().sum()


@check(frechet)
def check_04_ex4(value: Any) -> None:
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
    compare(value, _make_moments(), frechet, _frechet_mistakes, **options)


def _make_moments() -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    mean_a, mean_b = (torch.randn(5, generator=generator).double() for _ in range(2))
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
    yield "coverage", share(nearest <= torch.cdist(real, real).sort(dim=1).values[:, k])
    yield "nearest", share(nearest <= radii[index])
    yield "one_ball", share(nearest <= radii.max())
    yield "mean_ball", share(nearest <= radii.mean())
    yield "pairs", share(gaps <= radii)
    yield "percent", 100 * right
    yield "count", len(real) * right


@check(recall)
def check_04_ex5(value: Any) -> None:
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
    compare(value, cases, recall, _recall_mistakes, **options)


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

    own, fair = _nearest(synthetic, train), _nearest(held_out, train)
    yield "none", frozenset()
    yield "all", frozenset(range(len(synthetic)))
    yield "sign", rows(own > fair.min())
    yield "typical", rows(own < fair.quantile(0.5)), rows(own < fair.mean())
    least = fair.min(), _nearest(train, held_out).min()
    yield "held_out", *(rows(_nearest(synthetic, held_out) < one) for one in least)
    yield "among", rows(within(synthetic) < fair.min())
    yield "own_train", rows(own < within(train).min())


@check(find_copies)
def check_04_ex6(value: Any) -> None:
    """Check ``find_copies(synthetic, train, held_out) -> list[int]``, copies of training images.

    The rows of ``synthetic`` that lie nearer to their nearest training image than *any* held-out
    real image lies to its own. It is tried in two feature spaces, one twenty times smaller.

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
    """Draw features with five copies, twins among the drawings, and look-alikes of held-out ones.

    Whatever is no copy is farther from the training set than a tenth of the held-out images, so
    that thresholds at their minimum and at a low quantile find the same.
    """
    generator = torch.Generator().manual_seed(2)

    def draw(num: int) -> Float[Tensor, "num d"]:
        return torch.randn(num, _WIDTH, generator=generator).double()

    def draw_apart(num: int, of: int, least: float) -> Float[Tensor, "num d"]:
        rows = draw(of)  # kept if the nearest training row is at least so far away
        return rows[_nearest(rows, train) >= least][:num].clone()

    train = draw(_NUM_TRAIN)
    train[150] = train[151] + 0.35 / _WIDTH**0.5  # two photographs of one place
    held_out = draw_apart(_NUM_HELD_OUT, 4 * _NUM_HELD_OUT, 1.0)
    least = float(_nearest(held_out, train).quantile(0.1)) + 0.1
    synthetic = draw_apart(_NUM_SYNTHETIC, 8 * _NUM_SYNTHETIC, least)
    synthetic[21] = synthetic[8] + 0.01  # twins, but copies of no training image
    far = torch.nonzero(_nearest(held_out, train) > least + 0.2)[:2, 0]
    synthetic[[2, 26]] = held_out[far] + 0.02  # nobody was trained on these
    for k, row in enumerate(sorted(_COPIES)):
        push = draw(1)[0]
        synthetic[row] = train[7 * k + 3] + (0.1 + 0.1 * k) * push / push.norm()
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
