"""Compare a set of synthetic images with real ones, as two clouds of features; or with sentences.

Every number is one of a feature space: say whose features they are. Sets are feature matrices of
the same extractor, one row an image; what is computed inside is computed in double precision.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

import torch
from jaxtyping import Float
from scipy import stats
from torch import Tensor

CHUNK = 1024  # rows that are compared with all others at a time
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
    `frechet_by_size`. It is 0 or more, in squared units of the features.

    Raises:
        ValueError: no matrix, under two rows, different columns, or values that are not finite.

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
        a: one set.
        b: the other.
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
    whole = all(isinstance(size, Integral) and 2 <= size <= most for size in sizes)
    if len(set(sizes)) < 2 or not whole or num_draws < 2:
        raise ValueError(
            f"expected two different sizes or more, 2 … {most} (the smaller set), and two draws "
            f"or more; got sizes {list(sizes)} and num_draws {num_draws}"
        )
    values = torch.empty(len(sizes), num_draws, dtype=torch.float64)
    for row, size in zip(values, sizes, strict=True):
        for draw in range(num_draws):
            row[draw] = frechet_distance(_part(a, size, generator), _part(b, size, generator))
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

    Returns:
        An estimate of the squared maximum mean discrepancy; below 0 about half of the time where
        both sets come from the same distribution.

    Raises:
        ValueError: no matrix, under two rows, different columns, or values that are not finite.

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


def clip_score(
    image_features: Float[Tensor, "n d"], text_features: Float[Tensor, "n d"]
) -> Float[Tensor, " n"]:
    r"""Score each image against its own sentence, 0 to 100.

    $$100\,\max(\cos(f(\text{image}_i), f(\text{text}_i)), 0)$$

    The paper's scale is 2.5 in place of 100. torchmetrics' ``CLIPScore`` has 100, but clips the
    mean over the pairs, not each of them. A score is only comparable within one CLIP.

    Rows may have any length; each image's sentence is in the same row.

    Raises:
        ValueError: not as many sentences as images, different columns, a row of zeros, or values
            that are not finite.

    Source:
        Hessel et al. 2021 (arXiv:2104.08718), section 3.
    """
    image_features, text_features = require_features(image_features, text_features, at_least=1)
    if len(image_features) != len(text_features):
        raise ValueError(
            f"expected one sentence an image, got {len(image_features)} images and "
            f"{len(text_features)} sentences"
        )
    norms = image_features.norm(dim=1) * text_features.norm(dim=1)
    if (norms == 0).any():
        raise ValueError("a row of zeros points nowhere: give features of an encoder")
    cosines = (image_features * text_features).sum(dim=1) / norms
    return 100 * cosines.clamp(min=0)


def require_features(*sets: Tensor, at_least: int) -> list[Tensor]:
    """Return feature matrices in double precision if they can be compared.

    Raises:
        ValueError: as ``check_features``.
    """
    return [rows.double() for rows in check_features(*sets, at_least=at_least)]


def check_features(*sets: Tensor, at_least: int) -> list[Tensor]:
    """Return feature matrices as tensors if they can be compared.

    Raises:
        ValueError: no matrix, too few rows, different columns, or values that are not finite.
    """
    found = [torch.as_tensor(rows) for rows in sets]
    if wrong := [tuple(rows.shape) for rows in found if rows.dim() != 2]:
        raise ValueError(
            f"expected features of shape (n, d), a row an image, got shape {wrong[0]}; "
            "x[None] makes a matrix of one row"
        )
    if few := [len(rows) for rows in found if len(rows) < at_least]:
        raise ValueError(f"expected {at_least} rows or more (one an image), got {few[0]}")
    widths = [rows.shape[1] for rows in found]
    if len(set(widths)) > 1 or 0 in widths:
        raise ValueError(
            f"expected features of one extractor, got sets with {widths} columns: extract all "
            "with the same model"
        )
    for rows in found:
        broken = (~torch.isfinite(rows)).any(dim=1).nonzero().flatten()
        if len(broken):
            raise ValueError(
                f"expected finite features, got NaN or infinity in {len(broken)} of {len(rows)} "
                f"rows, first in row {broken[0].item()}: look at the images, and at the model's "
                "precision"
            )
    return found
