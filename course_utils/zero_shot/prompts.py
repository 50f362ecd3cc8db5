"""Prompts: templates and their sources, class names to weights, scores of images."""

import re
from collections import Counter
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from course_utils.examples import phrase_from_name
from course_utils.metrics.generation import check_features
from course_utils.zero_shot.models import Clip

_VIEWS = [
    f"{how} {what}" for what in ("imagery", "photo", "view") for how in ("satellite", "aerial")
]
TEMPLATES: dict[str, tuple[str, ...]] = {
    "satellite": (
        "a satellite photo of {}.",
        "a centered satellite photo of {}.",
        "a remote sensing image of {}.",
        "satellite imagery of {}.",
        "an aerial image of {}.",
    ),
    "he2023": ("a centered satellite photo of {}.",),
    "remoteclip": ("a satellite photo of {}",),
    "git_rsclip": ("a remote sensing image of {}",),
    "openai_eurosat": tuple(
        f"a centered satellite photo of {article}{{}}." for article in ("", "a ", "the ")
    ),
    "openai_resisc45": tuple(
        f"{view} of {article}{{}}." for view in _VIEWS for article in ("", "a ", "the ")
    ),
    "clip_benchmark_resisc45": (
        "a sattelite image of {}",  # as it is spelled there
        "an aerial view of {}",
        "a sattelite photo of {}",
        "{} from above",
    ),
    "clip_rsicd": ("An aerial photograph of {}",),
}
TEMPLATE_SOURCES: dict[str, str] = {
    "satellite": "this course: five of the kinds below",
    "he2023": "He et al. 2023 (arXiv:2210.07574), the single prompt of their EuroSAT baseline",
    "remoteclip": "Liu et al. 2024 (arXiv:2306.11029), the authors in ChenDelong1999/RemoteCLIP, "
    "issue 18",
    "git_rsclip": "Liu et al. 2025 (arXiv:2501.00895), model card of lcybuaa/Git-RSCLIP",
    "openai_eurosat": "Radford et al. 2021 (arXiv:2103.00020), data/prompts.md of openai/CLIP",
    "openai_resisc45": "Radford et al. 2021 (arXiv:2103.00020), data/prompts.md of openai/CLIP",
    "clip_benchmark_resisc45": "LAION-AI/CLIP_benchmark, its templates for RESISC45",
    "clip_rsicd": "CLIP-rsicd, OpenAI's CLIP fine-tuned on the captions of RSICD",
}


def class_weights(
    clip: Clip, class_names: Sequence[str], templates: Sequence[str]
) -> Float[Tensor, "k d"]:
    r"""Turn class names into a zero-shot classifier, one unit row a class.

    $$w_k = \mathrm{unit}\big(\tfrac1P \sum_p \mathrm{unit}(f(\text{prompt}_{k,p}))\big)$$

    Args:
        clip: the model whose text encoder is f.
        class_names: the words for each class, in label order; ``sea_ice`` and ``SeaLake`` become
            words, a phrase stays as it is.
        templates: prompts with ``{}`` for the class, for example ``TEMPLATES["satellite"]``.

    Raises:
        ValueError: no class, no template, an empty name, two classes with the same words, or a
            template without ``{}``.

    Source:
        Radford et al. 2021 (arXiv:2103.00020), section 3.1.4.
    """
    if isinstance(templates, str) or not templates:
        raise ValueError(f"templates must be a list of one or more prompts, not {templates!r}")
    if isinstance(class_names, str) or not class_names or not all(n.strip() for n in class_names):
        raise ValueError(f"class_names must be a list of one or more words, not {class_names!r}")
    if wrong := [template for template in templates if "{}" not in template]:
        raise ValueError(f"templates need {{}} where the class name goes; without it: {wrong}")
    phrases = [_phrase(name) for name in class_names]
    if twice := [phrase for phrase, count in Counter(phrases).items() if count > 1]:
        raise ValueError(f"no prompt can tell two classes called {twice} apart; rename one")
    prompts = [t.replace("{}", phrase) for phrase in phrases for t in templates]
    text_features = clip.encode_text(prompts).unflatten(0, (len(phrases), len(templates)))
    return nn.functional.normalize(text_features.mean(dim=1), dim=-1)


def _phrase(name: str) -> str:
    """Turn an identifier into words."""
    is_identifier = re.search(r"_|[a-z][A-Z]", name) and " " not in name.strip()
    return phrase_from_name(name) if is_identifier else name


def zero_shot_logits(
    image_features: Float[Tensor, "n d"],
    weights: Float[Tensor, "k d"],
    *,
    logit_scale: float,
    logit_bias: float = 0.0,
) -> Float[Tensor, "n k"]:
    r"""Score images against classes, both unit rows: $e^\tau f(\text{image}) \cdot w_k + b$.

    Over the classes of a picture take the softmax, or the sigmoid where the model was trained with
    one (`Clip.logit_bias` is not 0): that asks for each class alone whether it is there. The best
    class is the same. Scale and bias are the model's (`Clip`).

    Raises:
        ValueError: features with NaN, or of another model than the weights.

    Source:
        Radford et al. 2021 (arXiv:2103.00020), figure 3; with the bias Zhai et al. 2023
        (arXiv:2303.15343), algorithm 1.
    """
    check_features(image_features, weights, at_least=1)
    return logit_scale * image_features @ weights.T + logit_bias
