"""What goes into a sampler and what comes out of it, step by step."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor


@runtime_checkable
class Denoiser(Protocol):
    """A network as a function of (x_t, t): it predicts the noise ε that is in x_t."""

    def __call__(
        self, x_t: Float[Tensor, " n *shape"], t: Int[Tensor, " n"]
    ) -> Float[Tensor, " n *shape"]:
        """Predict the noise; ``t`` is int64, 0-based, one step for each row of ``x_t``."""
        ...


@dataclass(frozen=True, eq=False)
class SampleStep:
    """One step of the reverse process; the last one's ``x_t`` is the sample.

    ``t`` is the step at which the network was asked, ``x0_pred`` what it then took for the clean
    image (clipped if the sampler was told to), and ``x_t`` the state *after* the step: less noisy
    than what the network saw. Both tensors have the dtype and the device of the starting noise.
    """

    t: int
    x_t: Float[Tensor, " n *shape"]
    x0_pred: Float[Tensor, " n *shape"]
