"""Fidelity, diversity and copying, by who lies near whom in a feature space.

Sets are feature matrices of the same extractor, one row an image. ``k`` says to which neighbor a
ball reaches, not counting the image itself. Distances are Euclid's, over rows as they are given;
make them unit rows first where only their direction counts (then d^2 = 2 - 2 cos). A ball holds its
surface, so that a copy lies in every ball of its original. Ties and copies are exact: distances are
differences, never dot products.
"""

import math
from dataclasses import dataclass
from numbers import Integral

import torch
from jaxtyping import Float, Int
from scipy import stats
from torch import Tensor

from course_utils.metrics.generation import CHUNK, require_features


@dataclass(frozen=True)
class PrecisionRecall:
    """Shares of images that lie where the other set has its own, 0 to 1."""

    precision: float  # of the synthetic images, among the real ones: fidelity
    recall: float  # of the real images, among the synthetic ones: diversity


@dataclass(frozen=True)
class DensityCoverage:
    """How crowded real places are with synthetic images, and how many have any."""

    density: float  # 0 or more; 1 is expected where both come from the same distribution
    coverage: float  # 0 to 1
    expected_coverage: float  # where both come from the same distribution


@dataclass(frozen=True)
class Neighbors:
    """The nearest rows of a bank, nearest first."""

    distances: Float[Tensor, "n num"]
    index: Int[Tensor, "n num"]  # rows of the bank


@dataclass(frozen=True)
class CopiedShare:
    """How many synthetic images lie nearer to the training set than new real images do."""

    share: float  # of the synthetic images nearer than the threshold
    expected: float  # of new real images, exactly
    limit: float  # a share that no more than 5 % of as many new real images would exceed
    threshold: float  # the distance


def precision_recall(
    real: Float[Tensor, "n d"], synthetic: Float[Tensor, "m d"], *, k: int = 3
) -> PrecisionRecall:
    r"""Measure fidelity and diversity, each as a share of one set inside the other's region.

    A set's region is the union of the balls around its images that reach to their k-th nearest
    neighbour within the set, $\Phi \mapsto \bigcup_{\phi'} B(\phi', \|\phi' - NN_k(\phi')\|)$.

    $$\text{precision} = \frac1m \sum_j [\,s_j \in \text{region(real)}\,], \qquad
    \text{recall} = \frac1n \sum_i [\,r_i \in \text{region(synthetic)}\,]$$

    Both depend on n, m and k: compare equal ones, and put two real sets beside. One outlier has a
    large ball, and raises either.

    Raises:
        ValueError: k rows or fewer in a set, no matrices, different columns, or values that are
            not finite.

    Source:
        Kynkäänniemi et al. 2019 (arXiv:1904.06991), eq. 1 and 2.
    """
    real, synthetic = _require_neighbors(real, synthetic, k)
    real_radii, synthetic_radii = _radii(real, k), _radii(synthetic, k)
    precise = torch.zeros(len(synthetic), dtype=torch.bool, device=synthetic.device)
    recalled = []
    for rows, radii in zip(real.split(CHUNK), real_radii.split(CHUNK), strict=True):
        distances = _distances(rows, synthetic)
        precise |= (distances <= radii[:, None]).any(dim=0)
        recalled.append((distances <= synthetic_radii).any(dim=1))
    return PrecisionRecall(
        precise.double().mean().item(), torch.cat(recalled).double().mean().item()
    )


def density_coverage(
    real: Float[Tensor, "n d"], synthetic: Float[Tensor, "m d"], *, k: int = 5
) -> DensityCoverage:
    r"""Count synthetic images in the balls around real ones, and real balls that hold any.

    $$\text{density} = \frac{1}{km} \sum_{i,j} [\,s_j \in B_i\,], \qquad
    \text{coverage} = \frac1n \sum_i \big[\,\exists j: s_j \in B_i\,\big]$$

    where $B_i$ reaches from real image i to its k-th nearest real neighbour. Unlike
    `precision_recall` both build on real images alone, so a synthetic outlier moves neither much,
    and both have an expectation where nothing differs: 1, and
    $1 - \prod_{i=1}^{k} \frac{n - i}{n + m - i}$.

    Raises:
        ValueError: k rows or fewer in a set, no matrices, different columns, or values that are
            not finite.

    Source:
        Naeem et al. 2020 (arXiv:2002.09797), section 3, with the expectations.
    """
    real, synthetic = _require_neighbors(real, synthetic, k)
    counts = [
        (_distances(rows, synthetic) <= radii[:, None]).sum(dim=1)
        for rows, radii in zip(real.split(CHUNK), _radii(real, k).split(CHUNK), strict=True)
    ]
    inside, n, m = torch.cat(counts), len(real), len(synthetic)
    return DensityCoverage(
        density=inside.sum().item() / (k * m),
        coverage=(inside > 0).double().mean().item(),
        expected_coverage=1 - math.prod((n - i) / (n + m - i) for i in range(1, k + 1)),
    )


def nearest_neighbors(
    queries: Float[Tensor, "n d"], bank: Float[Tensor, "m d"], *, num: int = 1
) -> Neighbors:
    """Find the nearest ``num`` rows of a bank for each query, by Euclid's distance.

    Raises:
        ValueError: under ``num`` rows in the bank, different columns, or not finite values.
    """
    _require_count("num", num)
    require_features(bank, at_least=num)
    queries, bank = require_features(queries, bank, at_least=1)
    found = [_distances(part, bank).topk(num, largest=False) for part in queries.split(CHUNK)]
    return Neighbors(torch.cat([f.values for f in found]), torch.cat([f.indices for f in found]))


def copied_share(
    synthetic: Float[Tensor, "n d"],
    train: Float[Tensor, "t d"],
    held_out: Float[Tensor, "m d"],
    *,
    quantile: float = 0.01,
) -> CopiedShare:
    r"""Ask whether synthetic images lie nearer to the training images than new real ones do.

    With $\rho(x) = \min_t \|x - t\|$ and $\rho_{(r)}$ the r-th smallest over the m held-out real
    images, $r = \lfloor q\,(m + 1) \rfloor$:

    $$\text{share} = \frac1n \sum_i [\,\rho(s_i) < \rho_{(r)}\,]$$

    A further real image is nearer than that with probability $r / (m + 1)$, whatever the
    distribution; how many of n are follows the beta-binomial distribution, which gives ``limit``.
    A share above it is a reason to look at the pairs (`nearest_neighbors`), not yet a proof: very
    typical or blurred images also lie near to everything. A share below says that no more is
    copied than chance and this feature space show.

    Args:
        synthetic: features of generated images.
        train: features of what the generator was trained on.
        held_out: features of real images that it was not trained on, as new as others would be.
        quantile: q, at least 1 / (m + 1).

    Raises:
        ValueError: too few held-out rows for the quantile, so many of them in ``train`` that the
            threshold is 0, different columns, or values that are not finite.

    Source:
        The comparison with held-out data is that of Meehan, Chaudhuri and Dasgupta 2020
        (arXiv:2004.05675), here at the near end alone and with exact expectation.
    """
    synthetic, train, held_out = require_features(synthetic, train, held_out, at_least=1)
    n, m = len(synthetic), len(held_out)
    rank = math.floor(quantile * (m + 1) + 1e-9) if math.isfinite(quantile) else 0
    if not 1 <= rank <= m:
        raise ValueError(
            f"quantile: {m} held-out images allow 1 / {m + 1} up to {m} / {m + 1}, got "
            f"{quantile}: give more images, or ask for another quantile"
        )
    threshold = nearest_neighbors(held_out, train).distances[:, 0].sort().values[rank - 1]
    if threshold == 0:
        raise ValueError(f"{rank} or more of the held-out images are in train: hold out others")
    nearer = nearest_neighbors(synthetic, train).distances[:, 0] < threshold
    return CopiedShare(
        share=nearer.double().mean().item(),
        expected=rank / (m + 1),
        limit=float(stats.betabinom.ppf(0.95, n, rank, m + 1 - rank)) / n,
        threshold=threshold.item(),
    )


def _require_neighbors(real: Tensor, synthetic: Tensor, k: int) -> list[Tensor]:
    _require_count("k", k)
    real, synthetic = require_features(real, synthetic, at_least=0)
    if (least := min(len(real), len(synthetic))) <= k:
        raise ValueError(
            f"the {k}-th neighbour needs {k + 1} images or more in each set, got {least}: give "
            "more images or a smaller k"
        )
    return [real, synthetic]


def _require_count(name: str, count: int) -> None:
    if not isinstance(count, Integral) or isinstance(count, bool) or count < 1:
        raise ValueError(f"{name}: expected a whole number, 1 or more, got {count}")


def _radii(rows: Tensor, k: int) -> Tensor:
    radii = []
    for start in range(0, len(rows), CHUNK):
        distances = _distances(rows[start : start + CHUNK], rows)
        distances.diagonal(start).fill_(math.inf)  # an image is not its own neighbour
        radii.append(distances.kthvalue(k, dim=1).values)
    return torch.cat(radii)


def _distances(a: Tensor, b: Tensor) -> Tensor:
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
