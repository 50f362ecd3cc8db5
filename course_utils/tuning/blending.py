"""Between the model that was and the model that learned: blend their weights."""

import copy

import torch
from jaxtyping import Float
from torch import Tensor

from course_utils.diffusion.inputs import check_number
from course_utils.metrics.generation import check_features
from course_utils.tuning.heads import Heads
from course_utils.zero_shot import Clip, with_net


def blend(clip: Clip, tuned: Clip, alpha: float) -> Clip:
    r"""Go from a model towards a tuned copy of it, in all weights.

    $$\theta = (1 - \alpha)\,\theta_0 + \alpha\,\theta_1$$

    Often a model in between is better than both where test images differ from training images: it
    keeps what the first one knew.

    Args:
        clip: the model that tuning began with, $\theta_0$.
        tuned: what `finetune` or `contrastive` made of it, $\theta_1$.
        alpha: 0 for the first, 1 for the second.

    Raises:
        ValueError: an alpha that is none in [0, 1], or two different networks.

    Source:
        Wortsman et al. 2022 (arXiv:2109.01903), eq. 1 (WiSE-FT).
    """
    check_number("alpha", alpha, "[0, 1]")
    if clip.net is None or tuned.net is None:
        raise ValueError(f"{clip.name} or {tuned.name} comes without its network")
    before, after = clip.net.state_dict(), tuned.net.state_dict()
    if {k: v.shape for k, v in before.items()} != {k: v.shape for k, v in after.items()}:
        raise ValueError(
            f"expected a tuned copy of {clip.name}, got {tuned.name}, whose weights have other "
            "names or shapes"
        )
    net = copy.deepcopy(clip.net)
    state = {
        name: torch.lerp(value, after[name].to(value.device), alpha)
        if value.is_floating_point()
        else value
        for name, value in before.items()
    }
    net.load_state_dict(state)
    return with_net(clip, net)


def blend_heads(
    heads: Heads, weights: Float[Tensor, "k d"], logit_scale: float, alpha: float
) -> Heads:
    r"""Go from the classifier that text gives towards tuned heads: (1 - α) e^τ W + α W_a, α b_a.

    On the same features, this blends the scores.

    Args:
        heads: what tuning gave, all blended alike.
        weights: class weights from text, unit rows.
        logit_scale: exp(tau), already exponentiated.
        alpha: 0 for the text, 1 for the heads.

    Raises:
        ValueError: an alpha that is none in [0, 1], or weights of other classes or another model.

    Source:
        Wortsman et al. 2022 (arXiv:2109.01903), eq. 1, of the last layer alone.
    """
    check_number("alpha", alpha, "[0, 1]")
    check_features(weights, heads.weights.flatten(0, 1), at_least=1)
    if len(weights) != heads.weights.shape[1]:
        raise ValueError(f"got {len(weights)} class weights for heads of {heads.weights.shape[1]}")
    mixed = (1 - alpha) * logit_scale * weights + alpha * heads.weights
    return Heads(mixed, alpha * heads.bias)
