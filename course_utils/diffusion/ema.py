"""An average of a net's weights over its training, which draws better than its last weights."""

import copy

import torch
from torch import nn


class Ema:
    r"""Keep an exponential moving average of a net's weights.

    $$\bar\theta \leftarrow d_i\,\bar\theta + (1 - d_i)\,\theta, \quad
    d_i = \min\left(d,\ \frac{1+i}{10+i}\right)$$

    where i counts the updates from 1. The small $d_i$ at the beginning let go of the random
    weights that the average starts from.

    Attributes:
        net: a copy of the net in eval mode, without gradients: what samples are drawn with.
        decay: d.
        num_updates: how often ``update_`` was called.

    Raises:
        ValueError: a decay that is not in [0, 1).

    Source:
        Ho et al. 2020 (arXiv:2006.11239), appendix B (d = 0.9999 over 800,000 steps); the warm-up
        is that of TensorFlow's ExponentialMovingAverage with ``num_updates``.
    """

    def __init__(self, net: nn.Module, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay: expected at least 0 and under 1, such as 0.999, got {decay}")
        self.net = copy.deepcopy(net).requires_grad_(False).eval()
        self.decay = decay
        self.num_updates = 0

    @torch.no_grad()
    def update_(self, net: nn.Module) -> None:
        """Move the average a little towards a net; counters and the like are copied.

        Args:
            net: the net in training, with the weights' names and shapes of the first one.

        Raises:
            ValueError: a net with other weights.
        """
        mine, new = list(self.net.parameters()), list(net.parameters())
        if [p.shape for p in mine] != [p.shape for p in new]:
            raise ValueError("net: expected the net that the average began with, got other weights")
        self.num_updates += 1
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        torch._foreach_lerp_(mine, new, 1 - decay)
        for kept, buffer in zip(self.net.buffers(), net.buffers(), strict=True):
            kept.copy_(buffer)
