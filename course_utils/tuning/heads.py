"""Tune the classifier: linear heads that start from text, many of them trained together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from course_utils.diffusion.inputs import check_choice, check_number
from course_utils.metrics.classification import require_classes
from course_utils.metrics.generation import check_features
from course_utils.runtime import check_seed, seeded
from course_utils.tuning.batches import ORDERS, Order, mixed_rows

NUM_STEPS = (50, 150, 450)  # what choose_config tries, fewest steps first
LEARNING_RATES = (0.003, 0.01, 0.03, 0.1, 0.3)
NUM_TRIALS = len(NUM_STEPS) * len(LEARNING_RATES)


@dataclass(frozen=True)
class TuneConfig:
    """How every head of a comparison is trained; all of them take the same number of steps."""

    num_steps: int = 200
    learning_rate: float = 0.01
    weight_decay: float = 0.1  # He et al. 2023
    batch_size: int = 64

    def __post_init__(self) -> None:
        """Refuse settings that train nothing."""
        check_number("num_steps", self.num_steps, "[1, inf)", whole=True)
        check_number("batch_size", self.batch_size, "[1, inf)", whole=True)
        check_number("learning_rate", self.learning_rate, "(0, inf)")
        check_number("weight_decay", self.weight_decay, "[0, inf)")


@dataclass(frozen=True)
class HeadData:
    """What one head learns from: rows of the shared features, their labels, and a batch order.

    A row may occur several times. Labels are class numbers, or soft: a row of shares that sum to 1
    for each image. ``seed`` orders the batches and nothing else.

    With ``real_share`` the first ``num_real`` rows are real and the others synthetic, and of every
    batch that share is real, however many there are of each. ``order`` takes the very same images
    phase by phase instead: all of one kind, then all of the other.
    """

    rows: Int[Tensor, " n"]
    labels: Int[Tensor, " n"] | Float[Tensor, "n k"]
    seed: int
    num_real: int = 0
    real_share: float | None = None  # None: all rows are one pool
    order: Order = "mix"


@dataclass(frozen=True)
class Heads:
    """Linear classifiers on unit features: logits = features @ weights.T + bias, a of them."""

    weights: Float[Tensor, "a k d"]
    bias: Float[Tensor, "a k"]

    def logits(self, features: Float[Tensor, "n d"]) -> Float[Tensor, "a n k"]:
        """Score images with every head.

        Raises:
            ValueError: features of another model, or with NaN.
        """
        check_features(features, self.weights.flatten(0, 1), at_least=1)
        return torch.einsum("nd,akd->ank", features, self.weights) + self.bias[:, None]


@dataclass(frozen=True)
class TuneStep:
    """One optimizer step: the loss of each head before it; ``heads`` only after the last."""

    step: int
    loss: Float[Tensor, " a"]
    heads: Heads | None


def tune_heads(
    features: Float[Tensor, "b d"],
    heads: Sequence[HeadData],
    weights: Float[Tensor, "k d"],
    config: TuneConfig,
    *,
    logit_scale: float,
) -> Iterator[TuneStep]:
    r"""Train one head for each ``HeadData``, all in the same tensor operations.

    $$L_a = -\frac{1}{|B_a|}\sum_{i \in B_a} \sum_k y_{ik} \log p_{ik}, \quad
      p_i = \mathrm{softmax}(W_a f_i + b_a), \quad
      \frac{\partial L_a}{\partial W_a} = \frac{1}{|B_a|} \sum_{i \in B_a} (p_i - y_i) f_i^T$$

    where $y_i$ has one 1 if the label is a class number.

    Every head starts from the text: $W_a = e^\tau W$, $b_a = 0$. AdamW works on each number by
    itself, so training heads side by side changes nothing in any of them. The learning rate
    falls to zero along a cosine.

    Args:
        features: unit rows, the features that all heads share.
        heads: at least one; a head with fewer images than ``batch_size`` sees them repeatedly.
        weights: class weights from text, unit rows.
        config: steps, learning rate, weight decay, batch size.
        logit_scale: exp(tau), already exponentiated.

    Yields:
        One record a step.

    Raises:
        ValueError: for no heads, a head without images, a label or row out of range, not one label
            an image, soft labels that are no shares of these classes, a share of real images where
            there are none or only such, features with NaN or of another width than the weights,
            or a seed that is none.

    Source:
        He et al. 2023 (arXiv:2210.07574), section 3.2, "classifier tuning", and 4, "mix training";
        text initialization as in Wortsman et al. 2022 (arXiv:2109.01903).
    """
    stacked = stack_heads(features, heads, weights, config)
    for step, losses, tuned in train(stacked, config, (config.learning_rate,), logit_scale):
        yield TuneStep(step, losses[0], tuned[0] if tuned else None)


@dataclass(frozen=True, eq=False)
class Stacked:
    """Several heads as one: batches of rows and of places among the labels of all."""

    features: Float[Tensor, "b d"]
    rows: Int[Tensor, "s a size"]
    places: Int[Tensor, "s a size"]
    labels: Float[Tensor, "m k"]
    weights: Float[Tensor, "k d"]


def stack_heads(
    features: Float[Tensor, "b d"],
    heads: Sequence[HeadData],
    weights: Float[Tensor, "k d"],
    config: TuneConfig,
) -> Stacked:
    """Check what heads learn from, and put their batches beside each other; see `tune_heads`."""
    check_features(features, weights, at_least=1)
    if not heads:
        raise ValueError("no heads to train: give at least one HeadData")
    heads = [_checked(i, head, len(features), len(weights)) for i, head in enumerate(heads)]
    rows, places = _batches(heads, config)
    return Stacked(features, rows, places, _join_labels(heads, len(weights)), weights)


def train(
    stacked: Stacked, config: TuneConfig, learning_rates: Sequence[float], logit_scale: float
) -> Iterator[tuple[int, Float[Tensor, "r a"], list[Heads]]]:
    """Train stacked heads at several learning rates on the same batches; ``config`` has no say.

    Yields:
        Step, losses before it, and after the last step the heads of each rate.
    """
    check_number("logit_scale", logit_scale, "(0, inf)")
    features, start = stacked.features, logit_scale * stacked.weights
    labels = stacked.labels.to(start)
    size = (len(learning_rates), stacked.rows.shape[1])
    w, bias = start.repeat(*size, 1, 1), start.new_zeros(*size, len(start))
    optimizer, schedule = _optimizer(w, bias, learning_rates, config)
    for step in range(config.num_steps):
        batch = features[stacked.rows[step].to(features.device)]
        target = labels[stacked.places[step].to(features.device)].mT
        logits = torch.einsum("rakd,abd->rakb", w, batch) + bias[..., None]
        log_p = logits.log_softmax(2)
        wrong = (log_p.exp() - target) / target.shape[-1]
        _set_gradient(optimizer, torch.einsum("rakb,abd->rakd", wrong, batch), wrong.sum(3))
        optimizer.step()
        schedule.step()
        losses = -torch.einsum("rakb,akb->ra", log_p, target) / target.shape[-1]
        is_last = step + 1 == config.num_steps
        yield step, losses, [*map(Heads, w.clone(), bias.clone())] if is_last else []


def _optimizer(
    w: Float[Tensor, "r a k d"],
    bias: Float[Tensor, "r a k"],
    learning_rates: Sequence[float],
    config: TuneConfig,
) -> tuple[torch.optim.AdamW, torch.optim.lr_scheduler.CosineAnnealingLR]:
    """Let AdamW move slices of two tensors in place, those of each rate at its rate."""
    groups = [
        {"params": list(slices), "lr": rate}
        for *slices, rate in zip(w, bias, learning_rates, strict=True)
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=config.weight_decay, fused=True)
    return optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.num_steps)


def _set_gradient(
    optimizer: torch.optim.AdamW, of_w: Float[Tensor, "r a k d"], of_bias: Float[Tensor, "r a k"]
) -> None:
    for group, *slices in zip(optimizer.param_groups, of_w, of_bias, strict=True):
        for parameter, gradient in zip(group["params"], slices, strict=True):
            parameter.grad = gradient.contiguous()  # the fused step reads memory in order


def _checked(number: int, head: HeadData, num_rows: int, num_classes: int) -> HeadData:
    """Return what one head learns from as int64, or soft, tensors, if it can learn from that."""
    rows, labels = torch.as_tensor(head.rows), torch.as_tensor(head.labels)
    is_soft, name = labels.is_floating_point(), f"head {number}"
    for what, numbers, limit in (("rows", rows, num_rows), ("labels", labels, num_classes)):
        if what == "labels" and is_soft:
            continue
        if numbers.dim() != 1 or numbers.is_floating_point() or numbers.dtype == torch.bool:
            raise ValueError(
                f"{name} has {what} as {numbers.dtype} of shape {tuple(numbers.shape)}: expected "
                "whole numbers of shape (n,), one an image"
            )
        if not len(numbers):
            raise ValueError(f"{name} has no training images")
        if int(numbers.min()) < 0 or int(numbers.max()) >= limit:
            raise ValueError(f"{name} has {what} outside 0 … {limit - 1}")
    if is_soft:
        _check_soft(number, labels, num_classes)
    if len(labels) != len(rows):
        raise ValueError(f"{name} has {len(rows)} images but {len(labels)} labels")
    _check_mixture(name, head, len(rows))
    labels = labels if is_soft else labels.long()
    seed = check_seed(head.seed, f"seed of {name}")
    return replace(head, rows=rows.long(), labels=labels, seed=seed)


def _check_mixture(name: str, head: HeadData, num: int) -> None:
    check_choice("order", head.order, ORDERS)
    if head.real_share is None:
        return
    check_number("real_share", head.real_share, "(0, 1)")
    if not 0 < head.num_real < num:
        raise ValueError(
            f"{name} has {head.num_real} real images of {num}: a share of each kind in a batch "
            "needs both kinds"
        )


def _check_soft(number: int, labels: Tensor, num_classes: int) -> None:
    sums = labels.sum(dim=-1)
    if labels.shape[1:] != (num_classes,) or not (
        (labels >= 0).all() and torch.allclose(sums, torch.ones_like(sums), atol=1e-4)
    ):
        raise ValueError(
            f"head {number} has soft labels of shape {tuple(labels.shape)}: expected rows of "
            f"{num_classes} shares from 0 that sum to 1"
        )


def _join_labels(heads: Sequence[HeadData], num_classes: int) -> Float[Tensor, "m k"]:
    """Put the labels of all heads behind each other, as shares."""
    rows = [
        head.labels
        if head.labels.is_floating_point()
        else functional.one_hot(head.labels, num_classes)
        for head in heads
    ]
    return torch.cat([row.float().cpu() for row in rows])


def _batches(
    heads: Sequence[HeadData], config: TuneConfig
) -> tuple[Int[Tensor, "s a size"], Int[Tensor, "s a size"]]:
    """Order each head's images in shuffled epochs, cut into batches of one size.

    Returns:
        Rows of the features, and places among the labels of all heads.
    """
    rows, places, start = [], [], 0
    for head in heads:
        order = batch_order(head, config)
        rows.append(head.rows[order])
        places.append(start + order)
        start += len(head.labels)
    return torch.stack(rows, 1), torch.stack(places, 1)


def batch_order(head: HeadData, config: TuneConfig) -> Int[Tensor, "s size"]:
    """Say which of a head's images each batch has; all of them are one kind without a share."""
    rows = torch.arange(len(head.rows))
    num_real = len(rows) if head.real_share is None else head.num_real
    return mixed_rows(
        rows[:num_real],
        rows[num_real:],
        num_steps=config.num_steps,
        batch_size=config.batch_size,
        real_share=head.real_share or 0.5,
        order=head.order,
        generator=seeded(head.seed),
    )


@dataclass(frozen=True)
class Trial:
    """One setting that was tried on validation data, and its mean accuracy over the heads."""

    config: TuneConfig
    accuracy: float


def choose_config(
    features: Float[Tensor, "b d"],
    heads: Sequence[HeadData],
    weights: Float[Tensor, "k d"],
    *,
    logit_scale: float,
    validation: tuple[Float[Tensor, "n d"], Int[Tensor, " n"]],
    batch_size: int = 64,
) -> Iterator[Trial]:
    """Try numbers of steps and learning rates, and report each pair's accuracy.

    The caller keeps the best; ``best_trial`` does so. Give it the real-only heads, so that the
    comparison that follows is not tuned in favor of synthetic data.

    Args:
        features: unit rows that all heads share.
        heads: what to train with every setting.
        weights: class weights from text, unit rows.
        logit_scale: exp(tau), already exponentiated.
        validation: features and labels that no head trains on.
        batch_size: of every trial.

    Yields:
        A trial for each pair, fewest steps first; its accuracy is the mean over the heads.

    Raises:
        ValueError: as ``tune_heads``, or validation images without a label each.
    """
    images, _ = check_features(validation[0], features, at_least=1)
    (labels,) = require_classes(labels=validation[1], num_classes=len(weights))
    if len(labels) != len(images):
        raise ValueError(f"validation: got {len(images)} images but {len(labels)} labels")
    for num_steps, learning_rate in product(NUM_STEPS, LEARNING_RATES):
        config = TuneConfig(num_steps=num_steps, learning_rate=learning_rate, batch_size=batch_size)
        *_, last = tune_heads(features, heads, weights, config, logit_scale=logit_scale)
        correct = last.heads.logits(images).argmax(-1) == labels
        yield Trial(config, correct.double().mean().item())


def best_trial(trials: Sequence[Trial]) -> Trial:
    """Return the most accurate trial; among equals the one that came first.

    Raises:
        ValueError: there are no trials.
    """
    if not trials:
        raise ValueError("no trials to choose from")
    return max(trials, key=lambda trial: trial.accuracy)
