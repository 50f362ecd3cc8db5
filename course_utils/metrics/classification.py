"""What predictions are worth: shares and counts, honest intervals, and what these allow to say."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import sklearn.metrics
import torch
from jaxtyping import Float, Int
from scipy import stats
from torch import Tensor


def accuracy(predictions: Int[Tensor, " n"], labels: Int[Tensor, " n"]) -> float:
    """Give the share of correct predictions, 0 to 1.

    Raises:
        ValueError: there are no predictions.
    """
    if len(labels) == 0:
        raise ValueError("accuracy of no predictions: give at least one")
    return (predictions == labels).double().mean().item()


def confusion_matrix(
    predictions: Int[Tensor, " n"], labels: Int[Tensor, " n"], *, num_classes: int
) -> Int[Tensor, "k k"]:
    """Count predictions: entry [i, j] is how many of true class i were called j.

    Classes are 0 … k - 1, also those that do not occur.

    Raises:
        ValueError: there are no predictions, or a class is out of range.
    """
    _require_known(predictions, labels, num_classes)
    pairs = labels.long() * num_classes + predictions.long()
    return torch.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def _require_known(predictions: Tensor, labels: Tensor, num_classes: int) -> None:
    if len(labels) == 0:
        raise ValueError("no predictions to count: give at least one")
    for name, values in (("predictions", predictions), ("labels", labels)):
        if values.min() < 0 or values.max() >= num_classes:
            raise ValueError(
                f"{name}: expected classes 0 … {num_classes - 1}, "
                f"got {values.min().item()} … {values.max().item()}"
            )


def macro_f1(
    predictions: Int[Tensor, " n"], labels: Int[Tensor, " n"], *, num_classes: int
) -> float:
    """Average the F1 score over all k classes, each with the same weight.

    F1 = 2 TP / (2 TP + FP + FN), and 0 for a class that is neither present nor predicted.

    Raises:
        ValueError: there are no predictions, or a class is out of range.
    """
    _require_known(predictions, labels, num_classes)
    score = sklearn.metrics.f1_score(
        labels.cpu().numpy(),
        predictions.cpu().numpy(),
        labels=range(num_classes),
        average="macro",
        zero_division=0,
    )
    return float(score)


def per_class_recall(
    predictions: Int[Tensor, " n"], labels: Int[Tensor, " n"], *, num_classes: int
) -> Float[Tensor, " k"]:
    """Give the share of each class that was recognised, TP / (TP + FN); NaN for absent classes.

    Raises:
        ValueError: there are no predictions, or a class is out of range.
    """
    counts = confusion_matrix(predictions, labels, num_classes=num_classes)
    return counts.diagonal().double() / counts.sum(dim=1)


@dataclass(frozen=True)
class Interval:
    """A mean with the ends of its confidence interval."""

    mean: float
    low: float
    high: float
    df: float  # degrees of freedom of Student's t; infinite where nothing varies


def mean_interval(values: Sequence[float], *, level: float = 0.95) -> Interval:
    r"""Bound the mean of independent values, such as one number a seed.

    $$\bar x \pm t_{n-1} \sqrt{\mathrm{var}(x) / n}$$

    It is of zero width where nothing varies. ``level`` is its coverage, between 0 and 1.

    Raises:
        ValueError: under two values, one that is not finite, a level outside (0, 1).

    Source:
        Student, "The probable error of a mean", Biometrika 1908.
    """
    numbers = torch.as_tensor(values, dtype=torch.float64)
    if len(numbers) < 2 or not torch.isfinite(numbers).all():
        raise ValueError(f"expected two finite values or more, got {values}")
    error = numbers.std().item() / math.sqrt(len(numbers))
    df = len(numbers) - 1.0 if error else math.inf
    return _student(numbers.mean().item(), error, df=df, level=level)


def _student(mean: float, error: float, *, df: float, level: float) -> Interval:
    if not 0 < level < 1:
        raise ValueError(f"level: expected a share between 0 and 1, got {level}")
    half_width = stats.t.ppf((1 + level) / 2, df).item() * error
    return Interval(mean, mean - half_width, mean + half_width, df)


def crossed_interval(values: Float[Tensor, "s n"], *, level: float = 0.95) -> Interval:
    r"""Bound the mean of values that vary by training seed and by test image, both random.

    All seeds are tested on the same n images, so the s n values are not independent: one seed may
    be better on all images, one image harder for all seeds. With row means $r_s$ and column means
    $c_i$ the variance of the grand mean is estimated as

    $$v = v_{seed} + v_{image} = \frac{\mathrm{var}_s(r_s)}{S} + \frac{\mathrm{var}_i(c_i)}{N}$$

    (ddof = 1), and the interval is mean $\pm\ t_{df}\sqrt v$ with Satterthwaite's
    $df = v^2 / (v_{seed}^2 / (S-1) + v_{image}^2 / (N-1))$. Either term also holds the residual's
    $\sigma^2 / (SN)$: it is counted twice where an unbiased estimate would subtract it once, so
    the interval is rather too wide than too narrow. Simulated with S = 3, N = 200 and level 0.95 it
    covers the truth in 94 to 98 % of cases while seeds vary the mean no more than images do, and in
    92 % at worst, where seeds dominate and have no residual. With one seed only the image term is
    left, and the interval says nothing about other seeds.

    Args:
        values: ``values[s, i]`` of seed s on test image i: correctness (0 or 1), or a paired
            difference of two arms (-1, 0 or 1).
        level: coverage, between 0 and 1.

    Raises:
        ValueError: no seed, under two images, a value that is not finite, a level outside (0, 1).

    Source:
        Crossed random effects as in Owen, "The pigeonhole bootstrap", Annals of Applied Statistics
        2007, arXiv:0712.1111; the sum without the subtracted term of Cameron, Gelbach and Miller,
        "Robust inference with multiway clustering", Journal of Business & Economic Statistics 2011;
        df: Satterthwaite, Biometrics Bulletin 1946.
    """
    num_seeds, num_images = values.shape
    if num_seeds < 1 or num_images < 2 or not torch.isfinite(values).all():
        raise ValueError(
            f"expected finite values of 1 seed or more on 2 images or more, got {num_seeds} x "
            f"{num_images}{'' if torch.isfinite(values).all() else ' with NaN or infinity'}"
        )
    values = values.double()
    v_image = values.mean(dim=0).var().item() / num_images
    v_seed = values.mean(dim=1).var().item() / num_seeds if num_seeds > 1 else 0.0
    variance = v_seed + v_image
    df = math.inf
    if variance > 0:
        df = variance**2 / (v_seed**2 / max(num_seeds - 1, 1) + v_image**2 / (num_images - 1))
    return _student(values.mean().item(), math.sqrt(variance), df=df, level=level)


def verdict(interval: Interval) -> Literal["helped", "hurt", "cannot tell"]:
    """Say what the interval of a paired difference (with minus without) allows to say.

    An interval that contains or touches 0 allows neither claim.
    """
    if interval.low > 0:
        return "helped"
    return "hurt" if interval.high < 0 else "cannot tell"
