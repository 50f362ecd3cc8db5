"""Look images up instead of drawing them: what a generator learned from, by class."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_utils.diffusion.inputs import check_number
from course_utils.metrics.classification import require_classes
from course_utils.metrics.generation import check_features


def retrieve(
    features: Float[Tensor, "n d"],
    weights: Float[Tensor, "k d"],
    *,
    per_class: int,
    labels: Int[Tensor, " n"] | None = None,
    generator: torch.Generator | None = None,
) -> tuple[Int[Tensor, " m"], Int[Tensor, " m"]]:
    r"""Take equally many images for each class: the nearest to its text, or any at random.

    Similarity is $f_i^\top w_c$. Where labels are known, a class is served by its own images. Where
    they are not, each image serves one class: pairs of image and class are taken from the most
    similar down, as long as the image is free and the class wants more. At random, the images are
    drawn from the class's own, or, without labels, from its share of all images when every class
    has taken an n-th part in that way.

    Args:
        features: of the images to choose from, unit rows.
        weights: one unit row a class, from text (``zero_shot.class_weights``).
        per_class: how many images for each class.
        labels: the classes of the images in the order of ``weights``, where they are known.
        generator: draws at random; None takes the nearest.

    Returns:
        Rows of ``features`` and the class that each serves, class by class, the nearest first.

    Raises:
        ValueError: a class has fewer images than are asked for, or what is given does not fit
            together.

    Source:
        Geng et al. 2024 (arXiv:2406.05184), section 3: retrieval from the generator's training
        images as the baseline that synthetic images have to beat.
    """
    check_number("per_class", per_class, "[1, inf)", whole=True)
    features, weights = check_features(features, weights, at_least=1)
    similarity = features @ weights.T
    most = len(features) // len(weights)
    if labels is None:
        num = most if generator is not None else min(per_class, most)
        ranked = _share_out(similarity, num)
    else:
        (labels,) = require_classes(num_classes=len(weights), labels=labels)
        if len(labels) != len(features):
            raise ValueError(f"labels: expected {len(features)}, one an image, got {len(labels)}")
        ranked = []
        for label, scores in enumerate(similarity.T):
            members = (labels == label).nonzero().flatten()
            ranked.append(members[scores[members].argsort(descending=True, stable=True)])
    few = min(range(len(ranked)), key=lambda label: len(ranked[label]))
    if len(ranked[few]) < per_class:
        raise ValueError(
            f"class {few} has {len(ranked[few])} images to choose from, but {per_class} were asked "
            "for; lower per_class or add images"
        )
    if generator is not None:
        ranked = [rows[torch.randperm(len(rows), generator=generator)] for rows in ranked]
    rows = torch.stack([rows[:per_class] for rows in ranked])
    return rows.flatten(), torch.arange(len(weights)).repeat_interleave(per_class)


def _share_out(similarity: Float[Tensor, "n k"], num: int) -> list[Int[Tensor, " num"]]:
    """Give each class ``num`` images and each image to one class at most, the best pairs first."""
    num_classes = similarity.shape[1]
    taken: list[list[int]] = [[] for _ in range(num_classes)]
    is_free, wanted = [True] * len(similarity), num * num_classes
    for pair in similarity.flatten().argsort(descending=True, stable=True).tolist():
        row, label = divmod(pair, num_classes)
        if is_free[row] and len(taken[label]) < num:
            taken[label].append(row)
            is_free[row], wanted = False, wanted - 1
            if not wanted:
                break
    return [torch.tensor(rows, dtype=torch.int64) for rows in taken]
