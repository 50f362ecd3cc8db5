"""A small vision transformer trained from scratch, with more or less augmentation and brakes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32, Int
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

from course_utils import augment
from course_utils.augment import Augmentation, Batch
from course_utils.augment.batches import check_images
from course_utils.runtime import check_seed, derive_seed, seeded


@dataclass(frozen=True)
class Regularization:
    """What keeps a network from learning by heart: shares that are dropped, weights that shrink."""

    dropout: float  # of the activations
    drop_path: float  # of the layers, in the last block; less before it
    weight_decay: float


REGULARIZATIONS: Mapping[str, Regularization] = {
    "none": Regularization(0.0, 0.0, 0.0),
    "light": Regularization(0.1, 0.1, 0.1),
    "strong": Regularization(0.3, 0.3, 0.3),
}


@dataclass(frozen=True)
class VitStep:
    """One step of training: the loss before it; the network, in eval mode, only after the last."""

    step: int
    loss: float
    net: nn.Module | None


def small_vit(num_classes: int, regularization: Regularization) -> VisionTransformer:
    """Build a vision transformer for 64 px: 16 patches, 4 blocks, 0.2 million weights.

    Weights are drawn from torch's global generator, as libraries do; ``train_vit`` keeps it.

    Source:
        Dosovitskiy et al. 2021 (arXiv:2010.11929), as built by timm.
    """
    return VisionTransformer(
        img_size=64,
        patch_size=16,
        embed_dim=64,
        depth=4,
        num_heads=4,
        mlp_ratio=2,
        num_classes=num_classes,
        pos_drop_rate=regularization.dropout,
        proj_drop_rate=regularization.dropout,
        drop_path_rate=regularization.drop_path,
    )


def train_vit(
    images: Float32[Tensor, "n 3 64 64"],
    labels: Int[Tensor, " n"],
    *,
    num_classes: int,
    augmentation: Augmentation,
    regularization: Regularization,
    seed: int,
    num_steps: int = 200,
) -> Iterator[VitStep]:
    r"""Train a small vision transformer from nothing; yield a record a step.

    $$L = -\frac{1}{|B|} \sum_{i \in B} \sum_k \tilde y_{ik} \log\mathrm{softmax}(f(\tilde x_i))_k$$

    64 images a step, augmented anew; AdamW; a learning rate that rises to 0.001 in a tenth of the
    steps and falls to zero along a cosine.

    Args:
        images: in [0, 1].
        labels: 0 … num_classes - 1.
        num_classes: K.
        augmentation: one of ``AUGMENTATIONS``, or any other.
        regularization: one of ``REGULARIZATIONS``, or any other.
        seed: of weights, batches, augmentation and dropout; the global random state stays.
        num_steps: of the optimizer.

    Raises:
        ValueError: no images, a label outside the classes, or no seed.

    Source:
        Steiner et al. 2022 (arXiv:2106.10270), section 3, very much smaller.
    """
    data = Batch(images, targets=augment.targets_from_labels(labels, num_classes=num_classes))
    seed = check_seed(seed)
    generator = seeded(derive_seed("train_vit", seed))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = small_vit(num_classes, regularization).train()
        kept = torch.get_rng_state()
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=regularization.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1e-3, total_steps=max(num_steps, 2), pct_start=0.1
    )
    for step in range(num_steps):
        rows = torch.randint(len(data), (64,), generator=generator)
        batch = Batch(data.images[rows], targets=data.targets[rows])
        batch = augment.augment_batch(batch, augmentation, generator=generator)
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.set_rng_state(kept)  # of dropout, which takes no generator
            loss = functional.cross_entropy(net(_centered(batch.images)), batch.targets)
            kept = torch.get_rng_state()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        done = step + 1 == num_steps
        yield VitStep(step, loss.item(), net.eval() if done else None)


def classify(net: nn.Module, images: Float32[Tensor, "n 3 64 64"]) -> Int[Tensor, " n"]:
    """Say which class a trained network sees in each image, in [0, 1].

    Raises:
        ValueError: no images, or not in [0, 1].
    """
    check_images(images)
    with torch.no_grad():
        return torch.cat([net(_centered(some)).argmax(dim=1) for some in images.split(256)])


def _centered(images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
    return 2 * images - 1
