"""Batches without end, in an order that only the generator decides."""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Shaped
from torch import Tensor


def shuffled_batches(
    x0: Float[Tensor, " n *shape"],
    labels: Shaped[Tensor, " n *d"] | None,
    *,
    batch_size: int,
    generator: torch.Generator,
) -> Iterator[tuple[Float[Tensor, " b *shape"], Shaped[Tensor, " b *d"] | None]]:
    """Go through images again and again, each time in a new order.

    All batches have the same size: one that begins at the end of an epoch goes on in the next, so
    every image is seen once before any is seen again.

    Args:
        x0: clean images.
        labels: what belongs to each image, one integer or one vector; None if nothing does.
        batch_size: images a batch; may be more than there are.
        generator: draws the orders.

    Returns:
        An endless iterator over (x0, labels).

    Raises:
        ValueError: no images, another number of labels, or a batch size under 1.
    """
    if not len(x0) or batch_size < 1:
        raise ValueError(
            f"expected at least one image and a batch_size of 1 or more, got {len(x0)} images and "
            f"batch_size {batch_size}"
        )
    if labels is not None and len(labels) != len(x0):
        raise ValueError(f"expected one label an image, got {len(labels)} for {len(x0)} images")
    return _batches(x0, labels, batch_size=batch_size, generator=generator)


def _batches(
    x0: Tensor, labels: Tensor | None, *, batch_size: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor | None]]:
    order = torch.empty(0, dtype=torch.int64, device=generator.device)
    while True:
        while len(order) < batch_size:
            epoch = torch.randperm(len(x0), generator=generator, device=generator.device)
            order = torch.cat([order, epoch])
        rows, order = order[:batch_size], order[batch_size:]
        yield x0[rows.to(x0.device)], None if labels is None else labels[rows.to(labels.device)]
