"""What predictions are worth: shares and counts, and honest intervals around them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import sklearn.metrics
import torch
from jaxtyping import Float, Int
from scipy import stats
from torch import Tensor

FEW = 5  # images that answer otherwise than the rest, under which no variance is believed
ROUNDING = 1e-12  # of the largest value: errors as small come from rounding, so nothing varied


def accuracy(predictions: Int[Tensor, " n"], labels: Int[Tensor, " n"]) -> float:
    """Give the share of correct predictions, 0 to 1.

    Raises:
        ValueError: there are no predictions, or they are not one class number for each label.
    """
    predictions, labels = require_classes(predictions=predictions, labels=labels)
    return (predictions == labels).double().mean().item()


def require_classes(*, num_classes: int | None = None, **answers: Any) -> list[Tensor]:
    """Return class numbers as int64 tensors if they can be compared, image by image.

    Args:
        num_classes: classes are 0 … num_classes - 1; None asks for no range.
        answers: by the names under which the learner knows them; NumPy arrays and lists will do.

    Raises:
        ValueError: nothing in them, not whole numbers of shape (n,), different n, or a class that
            is out of range.
    """
    if num_classes is not None and not (isinstance(num_classes, Integral) and num_classes >= 1):
        raise ValueError(f"num_classes: expected a whole number from 1, got {num_classes!r}")
    found = {name: _class_numbers(name, values) for name, values in answers.items()}
    lengths = [len(values) for values in found.values()]
    if 0 in lengths or len(set(lengths)) > 1:
        counts = ", ".join(f"{name} {n}" for name, n in zip(found, lengths, strict=True))
        raise ValueError(f"expected class numbers of the same images, at least one, got {counts}")
    for name, values in found.items():
        low, high = (int(end) for end in torch.aminmax(values))
        if num_classes is not None and (low < 0 or high >= num_classes):
            raise ValueError(
                f"{name}: expected classes 0 … {num_classes - 1}, got {low} … {high}; look at the "
                "list of class names"
            )
    return list(found.values())


def _class_numbers(name: str, values: Any) -> Tensor:
    try:
        values = torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError):
        got = f"{type(values).__name__} {str(values)[:80]}"
    else:
        is_whole = not (values.is_floating_point() or values.is_complex())
        if values.dim() == 1 and is_whole and values.dtype != torch.bool:
            return values.long()
        got = f"{values.dtype} of shape {tuple(values.shape)}"
    raise ValueError(
        f"{name}: expected one class number an image, whole numbers of shape (n,), got {got}; "
        "argmax(dim=1) makes them of scores, flatten() takes off further axes"
    )


def confusion_matrix(
    predictions: Int[Tensor, " n"], labels: Int[Tensor, " n"], *, num_classes: int
) -> Int[Tensor, "k k"]:
    """Count predictions: entry [i, j] is how many of true class i were called j.

    Classes are 0 … k - 1, also those that do not occur.

    Raises:
        ValueError: there are no predictions, they are not one class number for each label, or a
            class is out of range.
    """
    predictions, labels = require_classes(
        num_classes=num_classes, predictions=predictions, labels=labels
    )
    pairs = labels * num_classes + predictions
    return torch.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def macro_f1(
    predictions: Int[Tensor, " n"], labels: Int[Tensor, " n"], *, num_classes: int
) -> float:
    """Average the F1 score over all k classes, each with the same weight.

    F1 = 2 TP / (2 TP + FP + FN), and 0 for a class that is neither present nor predicted.

    Raises:
        ValueError: there are no predictions, they are not one class number for each label, or a
            class is out of range.
    """
    predictions, labels = require_classes(
        num_classes=num_classes, predictions=predictions, labels=labels
    )
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
        ValueError: there are no predictions, they are not one class number for each label, or a
            class is out of range.
    """
    counts = confusion_matrix(predictions, labels, num_classes=num_classes)
    return counts.diagonal().double() / counts.sum(dim=1)


@dataclass(frozen=True)
class Calibration:
    """How far a classifier's confidence is from how often it is right."""

    error: float  # expected calibration error, 0 to 1
    rows: list[dict[str, float]]  # confidence, accuracy and count, a row a bin that holds images


def calibration(
    probabilities: Float[Tensor, "n k"], labels: Int[Tensor, " n"], *, num_bins: int = 10
) -> Calibration:
    r"""Compare confidence, the probability of the predicted class, with accuracy, bin by bin.

    $$\text{ECE} = \sum_b \frac{n_b}{n}\,|\text{accuracy}_b - \text{confidence}_b|$$

    Bins are equally wide and hold their upper ends, so that a confidence of 1 is in the last one.

    Raises:
        ValueError: no images, probabilities that are not rows of sum 1 (to half precision), not
            one label a row, a label that is none of the k classes, or no bin.

    Source:
        Guo et al. 2017 (arXiv:1706.04599), equations 2 and 3.
    """
    if num_bins < 1:
        raise ValueError(f"num_bins: expected 1 or more, got {num_bins}")
    probabilities = torch.as_tensor(probabilities).double()
    is_matrix = probabilities.dim() == 2 and probabilities.numel() > 0
    if not is_matrix or not (probabilities.sum(dim=1) - 1).abs().max() < 0.01:
        raise ValueError(
            "probabilities: expected rows of sum 1, an image a row and a class a column, got "
            f"shape {tuple(probabilities.shape)}; softmax(dim=1) makes them of scores"
        )
    confidence, predictions = probabilities.max(dim=1)
    predictions, labels = require_classes(
        num_classes=probabilities.shape[1], predictions=predictions, labels=labels
    )
    right = (predictions == labels).double()
    inner_ends = torch.linspace(0, 1, num_bins + 1, dtype=torch.float64)[1:-1]
    bins = torch.bucketize(confidence, inner_ends)
    rows = [
        {
            "confidence": confidence[bins == b].mean().item(),
            "accuracy": right[bins == b].mean().item(),
            "count": int((bins == b).sum()),
        }
        for b in bins.unique().tolist()
    ]
    gaps = [row["count"] * abs(row["accuracy"] - row["confidence"]) for row in rows]
    return Calibration(sum(gaps) / len(labels), rows)


Ends = tuple[float | int, float | int]  # what a mean cannot leave


@dataclass(frozen=True)
class Interval:
    """A mean with the ends of its confidence interval."""

    mean: float
    low: float
    high: float
    df: float  # degrees of freedom of Student's t
    error: float  # standard error; infinite where nothing varies, which does not say how far


def mean_interval(
    values: Sequence[float],
    *,
    level: float = 0.95,
    ends: Ends = (-math.inf, math.inf),
) -> Interval:
    r"""Bound the mean of independent values, such as one number a seed.

    $$\bar x \pm t_{n-1} \sqrt{\mathrm{var}(x) / n}$$

    Where nothing varies the values do not say how far others would be: the interval then reaches to
    ``ends``, what the mean cannot leave ((0, 1) for a share), which is nowhere by default.
    ``level`` is its coverage, between 0 and 1.

    Raises:
        ValueError: under two values, one that is not finite, a level outside (0, 1).

    Source:
        Student, "The probable error of a mean", Biometrika 1908.
    """
    numbers = _numbers(values)
    if numbers.dim() != 1 or len(numbers) < 2 or not torch.isfinite(numbers).all():
        raise ValueError(f"values: expected two finite values or more, got {values}")
    error = numbers.std().item() / math.sqrt(len(numbers))
    scale, df = numbers.abs().max().item(), len(numbers) - 1.0
    return _student(numbers.mean().item(), error, df=df, scale=scale, ends=ends, level=level)


def _numbers(values: Any) -> Tensor:
    try:
        return torch.as_tensor(values, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"values: expected numbers, got {values!r}") from None


def _student(
    mean: float, error: float, *, df: float, scale: float, ends: Ends, level: float
) -> Interval:
    """Reach to Student's t times the error, or to the ends if the error is nothing but rounding."""
    if not 0 < level < 1:
        raise ValueError(f"level: expected a share between 0 and 1, got {level}")
    low, high = map(float, ends)
    if not low - ROUNDING <= mean <= high + ROUNDING:
        raise ValueError(f"ends: expected some around the mean, {mean:g}, got {low:g} and {high:g}")
    error = error if error > ROUNDING * scale else math.inf
    half_width = stats.t.ppf((1 + level) / 2, df).item() * error
    return Interval(mean, max(low, mean - half_width), min(high, mean + half_width), df, error)


def crossed_interval(
    values: Float[Tensor, "s n"],
    *,
    level: float = 0.95,
    ends: Ends | None = None,
) -> Interval:
    r"""Bound the mean of answers that vary by training seed and by test image, both random.

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

    Images that all answer alike would have no variance, yet the next one may differ. So a normal
    approximation wants five answers of the rarer kind; where fewer than five images differ from the
    most frequent $c_i$, the interval is at least as wide as five would make it,

    $$v_{image} \ge 5 / N^2$$

    which for N images all right leaves a lower end of about $1 - 4.4 / N$ (Clopper and Pearson:
    $1 - 3.7 / N$), and lets five images or fewer say nothing. The exact coverage with one seed is
    then 91 % or more for every share and N (without: 10 % for a share of 0.99 and N = 10).

    Args:
        values: ``values[s, i]`` of seed s on test image i: correctness (0 or 1), or a paired
            difference of two arms (-1, 0 or 1).
        level: coverage, between 0 and 1.
        ends: what the mean cannot leave, (0, 1) for correctness; by default (-1, 1), unless a value
            does, for which then nothing of the last paragraph holds.

    Raises:
        ValueError: no seed, under two images, a value that is not finite, a level outside (0, 1).

    Source:
        Crossed random effects as in Owen, "The pigeonhole bootstrap", Annals of Applied Statistics
        2007, arXiv:0712.1111; the sum without the subtracted term of Cameron, Gelbach and Miller,
        "Robust inference with multiway clustering", Journal of Business & Economic Statistics 2011;
        df: Satterthwaite, Biometrics Bulletin 1946; five of the rarer kind: Brown, Cai and
        DasGupta, "Interval estimation for a binomial proportion", Statistical Science 2001,
        section 2, which shows what happens without.
    """
    values = _numbers(values)
    if values.dim() != 2 or values.shape[0] < 1 or values.shape[1] < 2:
        raise ValueError(
            "values: expected those of 1 seed or more on 2 images or more, seeds x images, got "
            f"{' x '.join(map(str, values.shape)) or 'one number'}"
        )
    if not torch.isfinite(values).all():
        raise ValueError("values: expected finite numbers, got some with NaN or infinity")
    num_seeds, num_images = values.shape
    scale = values.abs().max().item()
    if ends is None:
        ends = (-1.0, 1.0) if scale <= 1 else (-math.inf, math.inf)
    by_image = values.mean(dim=0)
    v_image = by_image.var().item() / num_images
    most_frequent = by_image.unique(return_counts=True)[1].max().item()
    if num_images - most_frequent < FEW and scale <= 1:
        v_image = max(v_image, FEW / num_images**2)
    v_seed = values.mean(dim=1).var().item() / num_seeds if num_seeds > 1 else 0.0
    variance, df = v_seed + v_image, num_images - 1.0
    if variance > 0:
        df = variance**2 / (v_seed**2 / max(num_seeds - 1, 1) + v_image**2 / (num_images - 1))
    error = math.sqrt(variance)
    return _student(values.mean().item(), error, df=df, scale=scale, ends=ends, level=level)
