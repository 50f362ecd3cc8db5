"""Keep the synthetic images that are worth training on: by CLIP's opinion, or by the real shots."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from course_utils.diffusion.inputs import check_number
from course_utils.metrics.classification import require_classes
from course_utils.metrics.generation import check_features

_ROUNDING = 0.01  # by which shares in half precision may miss 1


def clip_filter(
    probabilities: Float[Tensor, "n k"],
    labels: Int[Tensor, " n"],
    *,
    budget_per_class: int,
    generator: torch.Generator,
) -> Int[Tensor, " m"]:
    r"""Keep images that CLIP takes for their class rather than guesses: $p_{i,y_i} > 1/N$.

    Of those that pass, a budget of each class is drawn at random, so that the confident ones do not
    crowd out the others. Where too few of a class pass, the most confident of all its images fill
    the budget.

    Args:
        probabilities: of each synthetic image for each of the N = k classes, from zero-shot CLIP;
            the softmax, not the logits.
        labels: what each image was asked to show.
        budget_per_class: how many images of a class to keep; a class that has fewer keeps all.
        generator: draws among those that pass.

    Returns:
        Which images to keep, ascending.

    Raises:
        ValueError: rows that are no shares of one, labels out of range or not one an image, or a
            budget below 1.

    Source:
        He et al. 2023 (arXiv:2210.07574), section 3.1, "CLIP filter", with the threshold and the
        budget (800 a class) of the authors' code.
    """
    (shares,) = check_features(probabilities, at_least=1)
    sums = shares.double().sum(dim=1)
    if (shares < 0).any() or ((sums - 1).abs() > _ROUNDING).any():
        raise ValueError(
            "probabilities: expected shares of 1 in each row, the softmax over the classes; got "
            f"rows that sum to {float(sums.min()):.3g} … {float(sums.max()):.3g}"
        )
    labels = _labels_of(shares, labels, num_classes=shares.shape[1], name="labels")
    own = shares.gather(1, labels[:, None])[:, 0]
    keep = own > 1 / shares.shape[1]
    return _spend(keep, own, labels, budget_per_class=budget_per_class, generator=generator)


def real_filter(
    features: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    real_features: Float[Tensor, "m d"],
    real_labels: Int[Tensor, " m"],
    *,
    budget_per_class: int,
    generator: torch.Generator,
) -> Int[Tensor, " kept"]:
    r"""Drop synthetic images that lie nearer to the real shots of another class than to their own.

    A class lies where the mean of its real shots does, $\mu_c$, on the unit sphere; an image
    passes if $f_i^\top\mu_{y_i} \ge f_i^\top\mu_c$ for every class c. The budget is spent as in
    `clip_filter`; "most confident" here is the largest lead over the best other class.

    Args:
        features: of the synthetic images, unit rows.
        labels: what each was asked to show; every class needs a real shot.
        real_features: of the real shots, unit rows of the same model.
        real_labels: their classes.
        budget_per_class: how many images of a class to keep; a class that has fewer keeps all.
        generator: draws among those that pass.

    Returns:
        Which synthetic images to keep, ascending.

    Raises:
        ValueError: a class has no real shot, features that cannot be compared, labels out of range
            or not one an image, or a budget below 1.

    Source:
        He et al. 2023 (arXiv:2210.07574), section 3.2, "real filtering". The authors' code does
        not hold it; the distance to a class by its mean is ours.
    """
    lead = real_lead(features, labels, real_features, real_labels)
    (labels,) = require_classes(labels=labels)
    return _spend(lead >= 0, lead, labels, budget_per_class=budget_per_class, generator=generator)


def real_lead(
    features: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    real_features: Float[Tensor, "m d"],
    real_labels: Int[Tensor, " m"],
) -> Float[Tensor, " n"]:
    r"""Say by how much each image is nearer to the shots of its class than to any other's.

    $$\ell_i = f_i^\top\mu_{y_i} - \max_{c \ne y_i} f_i^\top\mu_c$$

    with $\mu_c$ the mean of the real shots of class c, scaled to length one. What `real_filter`
    keeps has a lead of 0 or more; arguments and errors are its own.
    """
    features, shots = check_features(features, real_features, at_least=1)
    real_labels = _labels_of(shots, real_labels, num_classes=None, name="real_labels")
    num_classes = int(real_labels.max()) + 1
    labels = _labels_of(features, labels, num_classes=None, name="labels")
    if missing := sorted(set(labels.tolist()) - set(real_labels.tolist())):
        raise ValueError(
            f"real_labels: expected a shot of every class of labels, got none of {missing}; draw "
            "one or more of each class"
        )
    sums = shots.new_zeros(num_classes, shots.shape[1]).index_add(0, real_labels, shots)
    similarity = features @ functional.normalize(sums, dim=1).T
    similarity[:, real_labels.bincount() == 0] = -torch.inf  # no shot, no place
    own = similarity.gather(1, labels[:, None])[:, 0]
    return own - similarity.scatter(1, labels[:, None], -torch.inf).amax(dim=1)


def _labels_of(
    rows: Float[Tensor, "n _"], labels: Int[Tensor, " n"], *, num_classes: int | None, name: str
) -> Int[Tensor, " n"]:
    """Check that there is one label a row."""
    (labels,) = require_classes(num_classes=num_classes, **{name: labels})
    if len(labels) != len(rows):
        raise ValueError(f"{name}: expected one of each of {len(rows)} images, got {len(labels)}")
    return labels.to(rows.device)


def _spend(
    keep: Bool[Tensor, " n"],
    confidence: Float[Tensor, " n"],
    labels: Int[Tensor, " n"],
    *,
    budget_per_class: int,
    generator: torch.Generator,
) -> Int[Tensor, " m"]:
    """Take a budget of each class: of those to keep at random, or else the most confident."""
    check_number("budget_per_class", budget_per_class, "[1, inf)", whole=True)
    chosen = []
    for label in labels.unique():
        members = (labels == label).nonzero().flatten()
        passed = members[keep[members]]
        if len(passed) >= budget_per_class:
            order = torch.randperm(len(passed), generator=generator).to(passed.device)
            chosen.append(passed[order[:budget_per_class]])
        else:
            order = confidence[members].argsort(descending=True, stable=True)
            chosen.append(members[order[:budget_per_class]])
    return torch.cat(chosen).sort().values.cpu()
