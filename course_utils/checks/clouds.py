"""Checks of notebook 04 about clouds of features: Fréchet distance, and recall by neighbors."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from course_utils.checks.results import Hint, check, number, run

Moments = tuple[Tensor, Tensor, Tensor, Tensor]  # mean, covariance, mean, covariance
_CLOSE = 1e-3  # relative; single precision and other ways to take a root differ by less


@check("04_ex4")
def check_04_ex4(value: Any) -> None:
    """Check a function that computes the Fréchet distance between two Gaussians.

    ``frechet(mean_a, cov_a, mean_b, cov_b) -> float``: |μ_a - μ_b|² + Tr(Σ_a + Σ_b - 2 (Σ_a
    Σ_b)^(1/2)), with the matrix root. It is tried on diagonal covariances, then on full ones that
    do not commute.

    Args:
        value: the function; means are float64 tensors (d), covariances (d, d).

    Returns:
        Whether its distances are right, or what went wrong.

    Source:
        Heusel et al. 2017 (arXiv:1706.08500), equation 6.
    """
    for moments in _make_moments():
        answer = _real(run(value, *(part.clone() for part in moments)))
        if not _is(answer, frechet(*moments)):
            _judge_distance(answer, moments)


def frechet(
    mean_a: Float[Tensor, " d"],
    cov_a: Float[Tensor, "d d"],
    mean_b: Float[Tensor, " d"],
    cov_b: Float[Tensor, "d d"],
) -> float:
    """Compute the distance that `check_04_ex4` expects.

    The trace of a matrix root is the sum of the roots of the eigenvalues.
    """
    roots = torch.linalg.eigvals(cov_a @ cov_b).real.clamp(min=0).sqrt()
    return float((mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * roots.sum())


def _make_moments() -> Iterator[Moments]:
    generator = torch.Generator().manual_seed(0)
    mean_a, mean_b = (torch.randn(5, generator=generator).double() for _ in range(2))
    yield (
        mean_a,
        torch.tensor([0.3, 1.1, 2.0, 0.7, 1.4]).double().diag(),
        mean_b,
        torch.tensor([1.9, 0.4, 1.2, 0.2, 0.9]).double().diag(),
    )
    shapes = [torch.randn(5, 5, generator=generator).double() for _ in range(2)]
    cov_a, cov_b = (shape @ shape.T / 5 + 0.1 * torch.eye(5) for shape in shapes)
    yield mean_a, cov_a, mean_b, cov_b


def _real(answer: Any) -> float:
    """Read a number; eigenvalues and roots of matrices come as complex ones."""
    if np.iscomplexobj(answer):
        raise Hint("04_ex4.complex")
    return number(answer)


def _is(value: float, other: float) -> bool:
    return math.isclose(value, other, rel_tol=_CLOSE, abs_tol=1e-6)


def _judge_distance(answer: float, moments: Moments) -> None:
    for key, wrong in _distance_mistakes(*moments):
        if math.isfinite(wrong) and _is(answer, wrong):
            raise Hint(f"04_ex4.{key}")
    raise Hint("04_ex4.value", answer=f"{answer:.4g}", right=f"{frechet(*moments):.4f}")


def _distance_mistakes(
    mean_a: Tensor, cov_a: Tensor, mean_b: Tensor, cov_b: Tensor
) -> list[tuple[str, float]]:
    """List what common wrong functions give, with the keys of their hints."""
    gap = (mean_a - mean_b).square().sum()
    total = cov_a.trace() + cov_b.trace()
    spread = frechet(mean_a, cov_a, mean_b, cov_b) - float(gap)
    root = (total - spread) / 2
    product, (var_a, var_b) = cov_a @ cov_b, (cov_a.diagonal(), cov_b.diagonal())
    wrong = {
        "variances": gap + (var_a - var_b).square().sum(),
        "not_squared": gap.sqrt() + spread,
        "rooted": (gap + spread).sqrt(),
        "no_means": spread,
        "no_spread": gap,
        "once": gap + total - root,
        "no_root": gap + total - 2 * product.trace(),
        "root_of_trace": gap + total - 2 * product.trace().sqrt(),
        "no_cross": gap + total,
        "mean": gap / len(mean_a) + spread / len(mean_a),
        "elementwise": gap + total - 2 * product.diagonal().clamp(min=0).sqrt().sum(),
        "diagonal": gap + (var_a.sqrt() - var_b.sqrt()).square().sum(),
    }
    return [(key, float(value)) for key, value in wrong.items()]


@check("04_ex5")
def check_04_ex5(value: Any) -> None:
    """Check a function that computes recall with k nearest neighbors.

    ``recall(real, synthetic, k) -> float``: the share of real images that lie in the ball around
    some synthetic image, where a ball reaches to the k-th nearest other synthetic image.

    Args:
        value: the function; features are float64 tensors, one row an image.

    Returns:
        Whether its shares are right for several k, or what went wrong.

    Source:
        Kynkäänniemi et al. 2019 (arXiv:1904.06991), equations 1 and 2.
    """
    generator = torch.Generator().manual_seed(1)
    real = torch.randn(90, 2, generator=generator).double()
    synthetic = 0.6 * torch.randn(70, 2, generator=generator).double() + 0.5
    answers = {k: number(run(value, real.clone(), synthetic.clone(), k)) for k in (3, 1, 5)}
    if all(_is(answer, recall(real, synthetic, k)) for k, answer in answers.items()):
        return
    for key, mistake in _RECALL_MISTAKES.items():
        if all(_is(answer, mistake(real, synthetic, k)) for k, answer in answers.items()):
            raise Hint(f"04_ex5.{key}")
    k = next(k for k in answers if not _is(answers[k], recall(real, synthetic, k)))
    right = f"{recall(real, synthetic, k):.3f}"
    raise Hint("04_ex5.value", k=k, answer=f"{answers[k]:.4g}", right=right)


def recall(real: Float[Tensor, "n d"], synthetic: Float[Tensor, "m d"], k: int) -> float:
    """Compute the share that `check_04_ex5` expects."""
    return _inside(real, synthetic, _radii(synthetic, k + 1))


def _radii(rows: Float[Tensor, "m d"], k: int) -> Float[Tensor, " m"]:
    """Measure to the k-th nearest row; the first is the row itself."""
    return torch.cdist(rows, rows).sort(dim=1).values[:, k - 1]


def _inside(
    points: Float[Tensor, "n d"], centers: Float[Tensor, "m d"], radii: Float[Tensor, "*m"]
) -> float:
    return _share((torch.cdist(points, centers) <= radii).any(dim=1))


def _to_nearest(real: Tensor, synthetic: Tensor) -> tuple[Tensor, Tensor]:
    return torch.cdist(real, synthetic).min(dim=1)


def _share(hits: Tensor) -> float:
    return hits.double().mean().item()


_RECALL_MISTAKES = {
    "precision": lambda real, made, k: recall(made, real, k),
    "itself": lambda real, made, k: _inside(real, made, _radii(made, k)),
    "coverage": lambda real, made, k: _share(_to_nearest(real, made)[0] <= _radii(real, k + 1)),
    "nearest": lambda real, made, k: _share(
        _to_nearest(real, made)[0] <= _radii(made, k + 1)[_to_nearest(real, made)[1]]
    ),
    "one_ball": lambda real, made, k: _inside(real, made, _radii(made, k + 1).max()),
    "mean_ball": lambda real, made, k: _inside(real, made, _radii(made, k + 1).mean()),
    "pairs": lambda real, made, k: _share(torch.cdist(real, made) <= _radii(made, k + 1)),
    "percent": lambda real, made, k: 100 * recall(real, made, k),
    "count": lambda real, made, k: len(real) * recall(real, made, k),
}
