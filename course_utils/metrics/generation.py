"""Compare a set of synthetic images with real ones, as two clouds of features.

Every number is one of a feature space: say whose features they are. They are feature matrices,
one row an image; what is computed inside is computed in double precision.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from scipy import stats
from torch import Tensor

from course_utils.metrics.features import CHUNK, require_features
from course_utils.metrics.intervals import Interval, mean_interval

DEGREE = 3  # of the kernel


@dataclass(frozen=True)
class FrechetBySize:
    """Fréchet distances between parts of two sets, by the size of the parts."""

    sizes: tuple[int, ...]  # rows of either part
    means: tuple[float, ...]  # over the draws of each size
    stds: tuple[float, ...]  # likewise, ddof = 1
    limit: float  # of the line through the means over 1 / size, where 1 / size is 0
    slope: float  # of that line: by how much the mean at size n exceeds the limit, times n


def frechet_distance(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> float:
    r"""Measure how far two clouds of features are apart, were both Gaussian.

    $$\|\mu_a - \mu_b\|^2 + \mathrm{Tr}\big(\Sigma_a + \Sigma_b - 2(\Sigma_a\Sigma_b)^{1/2}\big)$$

    with covariances of ddof = 1. For $\Sigma_a = R_a^\top R_a$, from a QR decomposition of the
    centred rows, the trace of the root is the sum of the singular values of $R_a R_b^\top$: so
    nothing is inverted or rooted that may be singular, and it is right with fewer rows than
    columns.

    Over finite sets it is **biased upward**, the more so the smaller they are: two samples of n
    from the same N(0, I) are about $2d/n + d(d+1)/(2(n-1))$ apart for n well over d. Compare
    numbers of equal n only, put the distance between two real sets of that n beside them, or see
    `frechet_by_size`.

    Args:
        a: features of one set.
        b: features of the other, from the same extractor.

    Returns:
        0 or more, in squared units of the features.

    Raises:
        ValueError: under two rows, different columns, or values that are not finite.

    Source:
        Heusel et al. 2017 (arXiv:1706.08500), eq. 6; with Inception features it is the FID.
    """
    a, b = require_features(a, b, at_least=2)
    mean_a, root_a = _moments(a)
    mean_b, root_b = _moments(b)
    cross = torch.linalg.svdvals(root_a @ root_b.T).sum()
    spread = root_a.square().sum() + root_b.square().sum() - 2 * cross
    return ((mean_a - mean_b).square().sum() + spread.clamp(min=0)).item()


def _moments(rows: Tensor) -> tuple[Tensor, Tensor]:
    mean = rows.mean(dim=0)
    return mean, torch.linalg.qr((rows - mean) / math.sqrt(len(rows) - 1), mode="r").R


def frechet_by_size(
    a: Float[Tensor, "n d"],
    b: Float[Tensor, "m d"],
    sizes: Sequence[int],
    *,
    generator: torch.Generator,
    num_draws: int = 10,
) -> FrechetBySize:
    r"""Show the bias of `frechet_distance` at small n, and extrapolate it away.

    For n well over d its expectation is $F_n \approx F_\infty + c/n$, where c depends on both
    sets: so neither can be corrected by the other's. Parts of n rows are drawn from both sets,
    without replacement, and a line through the means over 1/n gives $F_\infty$. Sizes of a few d
    and less lie off the line: the limit is then too high.

    Args:
        a: features of one set.
        b: features of the other.
        sizes: rows to draw from either, two sizes or more.
        generator: draws the parts, on the CPU.
        num_draws: parts of each size.

    Returns:
        Means and limit; the limit may fall a little below 0.

    Raises:
        ValueError: a size is under two or over the rows there are, or there is only one.

    Source:
        Chong and Forsyth 2020 (arXiv:1911.07023), section 3, with both sets finite.
    """
    a, b = require_features(a, b, at_least=2)
    most = min(len(a), len(b))
    if len(set(sizes)) < 2 or not all(2 <= size <= most for size in sizes) or num_draws < 2:
        raise ValueError(
            f"expected two different sizes or more, 2 … {most} (the smaller set), and two draws "
            f"or more; got sizes {list(sizes)} and num_draws {num_draws}"
        )
    values = torch.tensor(
        [
            [
                frechet_distance(_part(a, size, generator), _part(b, size, generator))
                for _ in range(num_draws)
            ]
            for size in sizes
        ],
        dtype=torch.float64,
    )
    means = values.mean(dim=1)
    line = stats.linregress([1 / size for size in sizes], means.numpy())
    return FrechetBySize(
        sizes=tuple(sizes),
        means=tuple(means.tolist()),
        stds=tuple(values.std(dim=1).tolist()),
        limit=float(line.intercept),
        slope=float(line.slope),
    )


def _part(rows: Tensor, size: int, generator: torch.Generator) -> Tensor:
    return rows[torch.randperm(len(rows), generator=generator)[:size].to(rows.device)]


def kernel_distance(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> float:
    r"""Estimate how far two distributions of features are apart, without bias at any n.

    $$\frac{\sum_{i\ne j} k(a_i, a_j)}{n(n-1)} + \frac{\sum_{i\ne j} k(b_i, b_j)}{m(m-1)}
    - \frac{2}{nm}\sum_{i,j} k(a_i, b_j), \qquad k(x, y) = \Big(\frac{x^\top y}{d} + 1\Big)^3$$

    The kernel was made for entries of about 1. For unit rows it is as good as linear and sees
    means alone: multiply them by the root of d.

    Args:
        a: features of one set.
        b: features of the other, from the same extractor.

    Returns:
        An estimate of the squared maximum mean discrepancy; below 0 about half of the time where
        both sets come from the same distribution.

    Raises:
        ValueError: under two rows, different columns, or values that are not finite.

    Source:
        Binkowski et al. 2018 (arXiv:1801.01401), section 4; with Inception features it is the KID
        (which others report as a mean over subsets).
    """
    a, b = require_features(a, b, at_least=2)
    within_a = (_kernel_sum(a, a) - _self_sum(a)) / (len(a) * (len(a) - 1))
    within_b = (_kernel_sum(b, b) - _self_sum(b)) / (len(b) * (len(b) - 1))
    return (within_a + within_b - 2 * _kernel_sum(a, b) / (len(a) * len(b))).item()


def _kernel_sum(a: Tensor, b: Tensor) -> Tensor:
    parts = [((part @ b.T / b.shape[1] + 1) ** DEGREE).sum() for part in a.split(CHUNK)]
    return torch.stack(parts).sum()


def _self_sum(a: Tensor) -> Tensor:
    return ((a.square().sum(dim=1) / a.shape[1] + 1) ** DEGREE).sum()


def kernel_interval(
    a: Float[Tensor, "n d"],
    b: Float[Tensor, "m d"],
    *,
    generator: torch.Generator,
    num_blocks: int = 10,
    level: float = 0.95,
) -> Interval:
    r"""Bound the squared maximum mean discrepancy by estimates from separate blocks.

    Both sets are cut at random into as many blocks. No image is in two of them, so
    `kernel_distance` of each is an independent estimate without bias, and the interval is
    Student's: mean $\pm\ t_{B-1}\,s/\sqrt B$. It is wider than one of all rows at once could be,
    and says nothing about other seeds of the generator.

    Args:
        a: features of one set.
        b: features of the other.
        generator: cuts the sets, on the CPU.
        num_blocks: B, so many that each holds two rows of either set.
        level: coverage, between 0 and 1.

    Raises:
        ValueError: under two blocks, under two rows a block, or a level outside (0, 1).

    Source:
        Zaremba, Gretton and Blaschko 2013 (arXiv:1307.1954): the B-test.
    """
    a, b = require_features(a, b, at_least=2)
    if num_blocks < 2 or min(len(a), len(b)) < 2 * num_blocks or not 0 < level < 1:
        raise ValueError(
            f"expected 2 … {min(len(a), len(b)) // 2} blocks (two rows of either set in each) and "
            f"a level between 0 and 1; got {num_blocks} blocks and level {level}"
        )
    pairs = zip(
        _part(a, len(a), generator).tensor_split(num_blocks),
        _part(b, len(b), generator).tensor_split(num_blocks),
        strict=True,
    )
    return mean_interval([kernel_distance(*pair) for pair in pairs], level=level)
