"""Tune the network itself: on the classes, or further on images and their captions.

Both train a copy, wholly or by low-rank adapters, and give a new model of the CLIP family; what
was given stays as it was.
"""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn
from torch.nn import functional

from course_utils.diffusion.inputs import check_choice, check_number
from course_utils.examples import Example
from course_utils.metrics.classification import require_classes
from course_utils.metrics.generation import check_features
from course_utils.runtime import check_seed, seeded
from course_utils.tuning.adapters import add_adapters
from course_utils.tuning.batches import ORDERS, Order, mixed_rows
from course_utils.tuning.heads import Heads
from course_utils.zero_shot import Clip, embed_images, embed_text, with_net

RATES = {"full": 1e-4, "lora": 1e-3}  # learning rates by kind, for the small CLIP
LARGEST_SCALE = 100.0  # of scores, beyond which training is not stable (Radford et al. 2021)


@dataclass(frozen=True)
class NetConfig:
    """How a network is tuned.

    The defaults are for the small CLIP. A large one that is tuned as a whole wants a tenth of the
    ``learning_rate``.
    """

    kind: Literal["full", "lora"] = "lora"  # all weights, or low-rank adapters beside them
    num_steps: int = 40
    learning_rate: float | None = None  # of the network, at first; None: RATES; 0: none
    head_learning_rate: float = 0.03  # of the linear classifier on top, if there is one
    weight_decay: float = 0.1  # of matrices and kernels; biases and norms are left alone
    batch_size: int = 32
    rank: int = 8  # of the adapters
    real_share: float = 0.5  # of every batch, or of all steps where order has two phases
    order: Order = "mix"  # or synthetic_first, real_first

    def __post_init__(self) -> None:
        """Refuse settings that train nothing."""
        check_choice("kind", self.kind, list(RATES))
        if self.learning_rate is None:
            object.__setattr__(self, "learning_rate", RATES[self.kind])
        check_choice("order", self.order, ORDERS)
        check_number("num_steps", self.num_steps, "[1, inf)", whole=True)
        check_number("batch_size", self.batch_size, "[1, inf)", whole=True)
        check_number("rank", self.rank, "[1, inf)", whole=True)
        check_number("learning_rate", self.learning_rate, "[0, inf)")
        check_number("head_learning_rate", self.head_learning_rate, "[0, inf)")
        check_number("weight_decay", self.weight_decay, "[0, inf)")
        check_number("real_share", self.real_share, "[0, 1]")


@dataclass(frozen=True)
class NetStep:
    """One optimizer step: the loss before it; what was learned only after the last."""

    step: int
    loss: float
    clip: Clip | None = None
    heads: Heads | None = None  # one of them, on the features of ``clip``


def finetune(
    clip: Clip,
    examples: Sequence[Example],
    weights: Float[Tensor, "k d"],
    config: NetConfig,
    *,
    seed: int,
    targets: Float[Tensor, "n k"] | None = None,
) -> Iterator[NetStep]:
    r"""Tune the image encoder and a linear classifier on top together; yield a record a step.

    $$L = -\frac{1}{|B|} \sum_{i \in B} \sum_k y_{ik} \log\mathrm{softmax}(W f(x_i) + b)_k$$

    The classifier starts from the text, $W = e^\tau W_{\text{text}}$ and $b = 0$, as in
    `tune_heads`; the text encoder is left alone. AdamW, both learning rates falling to zero along
    a cosine. Batch normalization keeps the statistics of pre-training, for a small batch has none.

    Args:
        clip: the model to begin with.
        examples: real and synthetic images, told apart by ``source``; all are kept decoded in
            memory, 12 kB each of 64 px, 150 kB of 224 px.
        weights: class weights from text, unit rows.
        config: all of the network or adapters, steps, rates, the real share.
        seed: of batches and adapters.
        targets: soft labels, such as `soft_targets`; None takes the labels of the examples.

    Raises:
        ValueError: no images, a label outside the classes, targets that are no shares of them,
            weights of another model, or a loss that is not finite.

    Source:
        Full: the fine-tuning that Wortsman et al. 2022 (arXiv:2109.01903) start from; adapters: Hu
        et al. 2022 (arXiv:2106.09685); the batches: He et al. 2023 (arXiv:2210.07574).
    """
    net, pixels = _copy_net(clip), _decode(clip, examples)
    targets = _checked_targets(examples, targets, len(weights)).to(clip.device)
    check_features(weights, clip.encode_image(clip.preprocess.normalize(pixels[:1])), at_least=1)
    rows = _plan(examples, config, check_seed(seed))
    w = (clip.logit_scale * weights).to(clip.device).requires_grad_()
    bias = w.new_zeros(len(weights)).requires_grad_()

    def embed(some: Int[Tensor, " b"]) -> Float[Tensor, "b d"]:
        return embed_images(net, clip.preprocess.normalize(pixels[some].to(clip.device)))

    def loss_of(some: Int[Tensor, " b"]) -> Float[Tensor, ""]:
        return functional.cross_entropy(embed(some) @ w.T + bias, targets[some.to(targets.device)])

    finish = _unfreeze(net, lambda: embed(rows[0, :1]), config, seed)
    head = {"params": [w, bias], "lr": config.head_learning_rate}
    groups = [*_groups(net, config), head | {"weight_decay": config.weight_decay}]
    for step, loss in enumerate(_descend(groups, loss_of, rows, clip.device)):
        if step + 1 < len(rows):
            yield NetStep(step, loss)
    heads = Heads(w.detach().cpu()[None], bias.detach().cpu()[None])
    yield NetStep(step, loss, with_net(clip, finish()), heads)


def contrastive(
    clip: Clip,
    examples: Sequence[Example],
    captions: Sequence[str],
    config: NetConfig,
    *,
    seed: int,
) -> Iterator[NetStep]:
    """Go on training a model as it was trained at first: images beside their captions.

    Both encoders and the scale of scores learn by `contrastive_loss` (with adapters, only these
    do); equal captions in a batch are all right. Otherwise as `finetune`, without a classifier.

    Args:
        clip: the model to begin with.
        examples: real and synthetic images, told apart by ``source``.
        captions: one sentence for each.
        config: all of the network or adapters, steps, rate, the real share.
        seed: of batches and adapters.

    Raises:
        ValueError: no images, not one caption each, batches of one image, or a loss that is not
            finite.

    Source:
        Radford et al. 2021 (arXiv:2103.00020), figure 3; huggingface/transformers,
        examples/pytorch/contrastive-image-text.
    """
    if len(captions) != len(examples) or not all(caption.strip() for caption in captions):
        raise ValueError(
            f"expected a caption for each of {len(examples)} images, got {len(captions)}, "
            f"{sum(not caption.strip() for caption in captions)} of them empty"
        )
    if config.batch_size < 2:
        raise ValueError("batch_size: a batch of one image has no other caption to tell apart")
    net, pixels = _copy_net(clip), _decode(clip, examples)
    numbers = {caption: i for i, caption in enumerate(dict.fromkeys(captions))}
    numbers = torch.tensor([numbers[caption] for caption in captions]).to(clip.device)
    rows = _plan(examples, config, check_seed(seed))
    largest = math.log(max(LARGEST_SCALE, clip.logit_scale))

    def embed(some: Int[Tensor, " b"]) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d"]]:
        images = embed_images(net, clip.preprocess.normalize(pixels[some].to(clip.device)))
        return images, embed_text(net, clip.tokenize([captions[i] for i in some.tolist()]))

    def loss_of(some: Int[Tensor, " b"]) -> Float[Tensor, ""]:
        which = numbers[some.to(numbers.device)]
        scale = net.logit_scale.clamp(max=largest).exp().reshape(())
        return contrastive_loss(
            *embed(some), logit_scale=scale, matches=which[:, None] == which[None]
        )

    finish = _unfreeze(net, lambda: embed(rows[0, :1]), config, seed)
    for step, loss in enumerate(_descend(_groups(net, config), loss_of, rows, clip.device)):
        if step + 1 < len(rows):
            yield NetStep(step, loss)
    net.logit_scale.data.clamp_(max=largest)
    yield NetStep(step, loss, with_net(clip, finish()))


def contrastive_loss(
    image_features: Float[Tensor, "n d"],
    text_features: Float[Tensor, "n d"],
    *,
    logit_scale: Float[Tensor, ""] | float,
    matches: Bool[Tensor, "n n"] | None = None,
) -> Float[Tensor, ""]:
    r"""Ask each image for its caption among all of the batch, and each caption for its image.

    $$L = -\frac{1}{2n} \sum_{i,j} \Big( \frac{m_{ij}}{\sum_l m_{il}} \log\mathrm{softmax}_j(z_{ij})
    + \frac{m_{ij}}{\sum_l m_{lj}} \log\mathrm{softmax}_i(z_{ij}) \Big), \quad
    z_{ij} = e^\tau f(x_i) \cdot g(s_j)$$

    Args:
        image_features: f, unit rows.
        text_features: g, unit rows, the caption of each image.
        logit_scale: exp(tau).
        matches: m, also 1 where another caption would be as right, as where two are the same; None
            is the identity, and the loss that CLIP was trained with.

    Source:
        Radford et al. 2021 (arXiv:2103.00020), figure 3; several matches: Yang et al. 2022
        (arXiv:2204.03610), section 3, there by class.
    """
    logits = logit_scale * image_features @ text_features.T
    matches = torch.eye(len(logits), device=logits.device) if matches is None else matches.float()
    by_image = functional.cross_entropy(logits, matches / matches.sum(dim=1, keepdim=True))
    by_text = functional.cross_entropy(logits.T, matches.T / matches.T.sum(dim=1, keepdim=True))
    return (by_image + by_text) / 2


def _copy_net(clip: Clip) -> nn.Module:
    if clip.net is None:
        raise ValueError(f"{clip.name} comes without its network, so there is nothing to tune")
    return copy.deepcopy(clip.net).eval()


def _decode(clip: Clip, examples: Sequence[Example]) -> UInt8[Tensor, "n 3 h w"]:
    if not examples:
        raise ValueError("no images to train on: give real ones, synthetic ones, or both")
    return torch.stack([clip.preprocess.pixels(example.load()) for example in examples])


def _plan(examples: Sequence[Example], config: NetConfig, seed: int) -> Int[Tensor, "s b"]:
    is_real = torch.tensor([example.source == "real" for example in examples])
    return mixed_rows(
        is_real.nonzero().flatten(),
        (~is_real).nonzero().flatten(),
        num_steps=config.num_steps,
        batch_size=config.batch_size,
        real_share=config.real_share,
        order=config.order,
        generator=seeded(seed),
    )


def _checked_targets(
    examples: Sequence[Example], targets: Any, num_classes: int
) -> Float[Tensor, "n k"]:
    labels = [example.label for example in examples]
    (labels,) = require_classes(labels=labels, num_classes=num_classes)
    if targets is None:
        return functional.one_hot(labels, num_classes).float()
    targets = torch.as_tensor(targets)
    shape, sums = (len(labels), num_classes), targets.sum(dim=-1)
    if targets.shape != shape or not ((targets >= 0).all() and (sums - 1).abs().max() < 1e-4):
        raise ValueError(
            f"targets: expected {shape[0]} rows of {shape[1]} shares that sum to 1, got shape "
            f"{tuple(targets.shape)}; soft_targets makes such rows"
        )
    return targets.float()


def _unfreeze(
    net: nn.Module, run: Callable[[], object], config: NetConfig, seed: int
) -> Callable[[], nn.Module]:
    """Let all of a net learn, or adapters beside it; return what makes a plain net of it again."""
    if config.kind == "full":
        net.requires_grad_(True)
        return lambda: net
    return add_adapters(net, run, rank=config.rank, seed=seed).merge_and_unload


def _groups(net: nn.Module, config: NetConfig) -> list[dict[str, Any]]:
    """Split what learns into matrices, whose size is held down, and the rest."""
    free = [parameter for parameter in net.parameters() if parameter.requires_grad]
    return [
        {"params": some, "lr": config.learning_rate, "weight_decay": decay}
        for some, decay in (
            ([parameter for parameter in free if parameter.dim() > 1], config.weight_decay),
            ([parameter for parameter in free if parameter.dim() <= 1], 0.0),
        )
        if some
    ]


def _descend(
    groups: list[dict[str, Any]],
    loss_of: Callable[[Tensor], Tensor],
    rows: Int[Tensor, "s b"],
    device: torch.device,
) -> Iterator[float]:
    """Take a step of AdamW for each batch; on a GPU in mixed precision."""
    mixed = device.type == "cuda"
    optimizer = torch.optim.AdamW(groups, fused=device.type in ("cpu", "cuda"))
    scaler = torch.amp.GradScaler(device.type, enabled=mixed)
    highest = [group["lr"] for group in groups]
    for step, some in enumerate(rows):
        for group, rate in zip(optimizer.param_groups, highest, strict=True):
            group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * step / len(rows)))
        with torch.enable_grad(), torch.autocast(device.type, torch.float16, enabled=mixed):
            loss = loss_of(some)
        if not math.isfinite(value := loss.item()):
            raise ValueError(
                f"expected a finite loss, got {value} at step {step}: try a lower learning_rate "
                f"(it is {highest[0]:.3g} at first)"
            )
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        yield value
