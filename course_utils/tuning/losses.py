"""The loss on a synthetic image: believe its label by half, and by half what CLIP said before."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from course_utils.diffusion.inputs import check_number
from course_utils.metrics.classification import require_classes


def synthetic_loss(
    logits: Float[Tensor, "n k"],
    labels: Int[Tensor, " n"],
    teacher_logits: Float[Tensor, "n k"],
    *,
    soft_share: float = 0.5,
    temperature: float = 2.0,
) -> Float[Tensor, ""]:
    r"""Average what a label costs and what disagreeing with the teacher costs.

    $$L = \frac1n \sum_i \Big( -s \sum_k q_{ik} \log p_{ik} - (1 - s) \log p_{i y_i} \Big), \quad
    p_i = \mathrm{softmax}(z_i), \quad q_i = \mathrm{softmax}(z^{\text{teacher}}_i / T)$$

    The temperature divides the teacher's logits only, and there is no factor $T^2$: not the
    distillation of Hinton et al. 2015 (arXiv:1503.02531), where both are divided.

    Args:
        logits: z, of the classifier that learns.
        labels: the class that each image was drawn for.
        teacher_logits: of the classifier before tuning; no gradient goes there.
        soft_share: s.
        temperature: T; a higher one makes the teacher less sure.

    Raises:
        ValueError: no images, scores that differ in shape or are not finite, a label that is no
            class, or a share or temperature out of range.

    Source:
        He et al. 2023 (arXiv:2210.07574), section 3.1, and their code (CVMI-Lab/SyntheticData).
    """
    labels = _checked(labels, logits, teacher_logits, soft_share, temperature)
    logs = functional.log_softmax(logits, dim=1)
    teacher = functional.softmax(teacher_logits.detach() / temperature, dim=1)
    soft = -(teacher * logs).sum(dim=1)
    hard = -logs.gather(1, labels[:, None])[:, 0]
    return (soft_share * soft + (1 - soft_share) * hard).mean()


def soft_targets(
    labels: Int[Tensor, " n"],
    teacher_logits: Float[Tensor, "n k"],
    *,
    soft_share: float = 0.5,
    temperature: float = 2.0,
) -> Float[Tensor, "n k"]:
    r"""Give the soft labels whose cross-entropy is `synthetic_loss`: rows that sum to 1.

    $$t_{ik} = s\,q_{ik} + (1 - s)\,[k = y_i]$$

    Cross-entropy is linear in the label, so both terms of the loss are one. Computed once, these
    train a head like any other label (`HeadData`).

    Args:
        labels: the class that each image was drawn for.
        teacher_logits: of the classifier before tuning.
        soft_share: s, of the teacher.
        temperature: T, of the teacher.

    Raises:
        ValueError: as `synthetic_loss`.
    """
    labels = _checked(labels, teacher_logits, teacher_logits, soft_share, temperature)
    teacher = functional.softmax(teacher_logits.detach() / temperature, dim=1)
    certain = functional.one_hot(labels, teacher.shape[1])
    return soft_share * teacher + (1 - soft_share) * certain


def _checked(
    labels: Any, logits: Tensor, teacher_logits: Tensor, soft_share: float, temperature: float
) -> Int[Tensor, " n"]:
    check_number("soft_share", soft_share, "[0, 1]")
    check_number("temperature", temperature, "(0, inf)")
    for name, scores in (("logits", logits), ("teacher_logits", teacher_logits)):
        if scores.dim() != 2 or scores.shape != logits.shape or not torch.isfinite(scores).all():
            raise ValueError(
                f"{name}: expected finite scores of shape (n, k), the same as the other's, got "
                f"shape {tuple(scores.shape)} beside {tuple(logits.shape)}; zero_shot_logits gives "
                "the teacher's for the same images and classes"
            )
    (labels,) = require_classes(labels=labels, num_classes=logits.shape[1])
    if len(labels) != len(logits):
        raise ValueError(f"got scores of {len(logits)} images but {len(labels)} labels")
    return labels.to(logits.device)
