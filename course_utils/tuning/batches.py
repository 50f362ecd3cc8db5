"""Which images each batch holds, where some are real and some synthetic."""

from typing import Literal

import torch
from jaxtyping import Int
from torch import Generator, Tensor

from course_utils.diffusion.inputs import check_choice, check_number
from course_utils.runtime import seeded

Order = Literal["mix", "synthetic_first", "real_first"]
ORDERS = ("mix", "synthetic_first", "real_first")


def mixed_rows(
    real: Int[Tensor, " n"],
    synthetic: Int[Tensor, " m"],
    *,
    num_steps: int,
    batch_size: int,
    real_share: float = 0.5,
    order: Order = "mix",
    generator: Generator,
) -> Int[Tensor, "s b"]:
    """Plan the batches of a training: so many images of each kind, whatever there is of each.

    Simply put together, 40 real images among 400 synthetic ones are a ninth of what the classifier
    sees, and their effect is diluted. Here the real share is fixed: in every batch with ``mix``, or
    of all steps with the two phases. Each kind is gone through in shuffled epochs.

    Args:
        real: rows of the real images; where there are none, all batches are synthetic.
        synthetic: rows of the synthetic images; where there are none, all batches are real.
        num_steps: s, batches.
        batch_size: b, images a batch.
        real_share: ``mix`` puts ``round(batch_size * real_share)`` real images first in every batch
            and synthetic ones behind them, one of each at least unless the share is 0 or 1; the
            phases make ``round(num_steps * real_share)`` batches all real.
        order: ``mix``, or in two phases ``synthetic_first`` or ``real_first``.
        generator: draws the epochs; with ``mix`` fewer steps are the same ones, cut short.

    Raises:
        ValueError: no images, an unknown order, or a number out of range.

    Source:
        He et al. 2023 (arXiv:2210.07574), section 3.2: mix training and phase-wise training.
    """
    check_number("num_steps", num_steps, "[1, inf)", whole=True)
    check_number("batch_size", batch_size, "[1, inf)", whole=True)
    check_number("real_share", real_share, "[0, 1]")
    check_choice("order", order, ORDERS)
    if not len(real) + len(synthetic):
        raise ValueError("no images to train on: give real ones, synthetic ones, or both")
    if not len(real) or not len(synthetic):
        rows = _epochs(torch.cat([real, synthetic]), num_steps * batch_size, generator)
        return rows.view(num_steps, batch_size)
    other = seeded(int(torch.randint(2**62, (), generator=generator)))
    if order == "mix":
        num_real = round(batch_size * real_share)
        if 0 < real_share < 1 < batch_size:
            num_real = min(max(num_real, 1), batch_size - 1)
        first = _epochs(real, num_steps * num_real, generator).view(num_steps, -1)
        last = _epochs(synthetic, num_steps * (batch_size - num_real), other)
        return torch.cat([first, last.view(num_steps, -1)], dim=1)
    num_real = round(num_steps * real_share)
    phases = [
        _epochs(real, num_real * batch_size, generator),
        _epochs(synthetic, (num_steps - num_real) * batch_size, other),
    ]
    return torch.cat(phases if order == "real_first" else phases[::-1]).view(num_steps, batch_size)


def _epochs(rows: Int[Tensor, " n"], count: int, generator: Generator) -> Int[Tensor, " m"]:
    """Go through all rows in a new order each time, until there are enough."""
    if not count:
        return rows[:0]
    orders = [torch.randperm(len(rows), generator=generator) for _ in range(-(-count // len(rows)))]
    return rows[torch.cat(orders)[:count]]
