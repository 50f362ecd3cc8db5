"""One walk for all samplers: ask the network at each visited step, and let a formula move on."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_utils.diffusion import NoiseSchedule, mix, unmix
from course_utils.diffusion.inputs import check_choice, check_number, check_range, check_tensors

Spacing = Literal["trailing", "leading", "linspace"]


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


@dataclass(frozen=True)
class Move:
    """From the noise of step ``t`` to that of the next visited step; ᾱ is 1 at the image.

    A move to a smaller ᾱ puts noise back, without a look at the network.
    """

    t: int
    alpha_bar: float
    alpha_bar_prev: float

    @property
    def is_last(self) -> bool:
        """Say whether the move ends at the image, where no noise is left."""
        return self.alpha_bar_prev == 1.0


# from the state, the predicted image, the predicted noise and the move to the next state
Formula = Callable[[Tensor, Tensor, Tensor, Move], Tensor]


def walk(
    denoiser: Denoiser,
    x: Float[Tensor, " n *shape"],
    moves: Iterable[Move],
    formula: Formula,
    *,
    clip_x0: bool,
    generator: torch.Generator | None = None,
) -> Iterator[SampleStep]:
    """Make the moves, one record for each call of the network.

    Short floats are kept in float32 between the steps, since a state that is rounded after each of
    many small steps would drift; the network reads and records hold them short.

    Args:
        denoiser: the network.
        x: where to start.
        moves: in their order; those that put noise back draw it from ``generator``.
        formula: makes a move of the sampler at hand.
        clip_x0: see `predict`.
        generator: source of the noise that is put back.
    """
    dtype = x.dtype
    x = x.to(torch.float32 if dtype.itemsize < 4 else dtype)
    for move in moves:
        if move.alpha_bar_prev < move.alpha_bar:
            share = move.alpha_bar_prev / move.alpha_bar
            x = add_noise(x, share, draw_noise(x, generator, dtype))
            continue
        with torch.no_grad():
            x0_pred, eps_pred = predict(denoiser, x, move, dtype=dtype, clip_x0=clip_x0)
            x = formula(x, x0_pred, eps_pred, move)
        yield SampleStep(move.t, x.to(dtype), x0_pred.to(dtype))


def predict(
    denoiser: Denoiser,
    x_t: Float[Tensor, " n *shape"],
    move: Move,
    *,
    dtype: torch.dtype,
    clip_x0: bool,
) -> tuple[Float[Tensor, " n *shape"], Float[Tensor, " n *shape"]]:
    r"""Ask the network, and solve for the clean image.

    $$\hat x_0 = (x_t - \sqrt{1-\bar\alpha_t}\,\epsilon_\theta) / \sqrt{\bar\alpha_t}$$

    With ``clip_x0`` the prediction is clipped to [-1, 1], and the noise is what then remains:
    x_t = √ᾱ x̂_0 + √(1-ᾱ) ε still holds.

    Args:
        denoiser: the network.
        x_t: the state, as the walk keeps it.
        move: says t and ᾱ_t.
        dtype: what the network reads.
        clip_x0: as said.

    Returns:
        x0_pred and eps_pred, in the dtype of ``x_t``.

    Raises:
        ValueError: the denoiser returned something else than a tensor of x_t's shape.
    """
    t = torch.full((len(x_t),), move.t, dtype=torch.int64, device=x_t.device)
    eps_pred = denoiser(x_t.to(dtype), t)
    if not isinstance(eps_pred, Tensor) or eps_pred.shape != x_t.shape:
        got = getattr(eps_pred, "shape", type(eps_pred).__name__)
        raise ValueError(
            f"expected the denoiser to return noise of x_t's shape {tuple(x_t.shape)}, got {got}; "
            "a network that predicts more than the noise needs a function around it"
        )
    eps_pred = eps_pred.to(x_t.dtype)
    signal, noise = math.sqrt(move.alpha_bar), math.sqrt(1 - move.alpha_bar)
    x0_pred, eps_pred = unmix(x_t, eps_pred, signal, noise)
    return unmix(x_t, x0_pred.clamp(-1, 1), signal, noise, "x0") if clip_x0 else (x0_pred, eps_pred)


def draw_noise(
    x: Float[Tensor, " n *shape"], generator: torch.Generator, dtype: torch.dtype
) -> Float[Tensor, " n *shape"]:
    """Draw noise of x's shape in ``dtype`` where the generator lives, and bring it to x.

    With a generator on the CPU, the usual one, all devices get the same numbers.
    """
    return torch.randn(x.shape, generator=generator, dtype=dtype, device=generator.device).to(x)


def add_noise(
    x: Float[Tensor, " n *shape"], share: float, z: Float[Tensor, " n *shape"]
) -> Float[Tensor, " n *shape"]:
    """Noise an image to ᾱ = ``share``, or a state on until its ᾱ is ``share`` times what it was."""
    return mix(x, z, math.sqrt(share), math.sqrt(1 - share))


def sample_timesteps(
    num_train_steps: int, num_sample_steps: int, spacing: Spacing = "trailing"
) -> list[int]:
    r"""Choose the steps to visit, noisiest first.

    $$t_i = \mathrm{round}(T - i\,T/S) - 1, \quad i = 0 \dots S-1 \quad (\text{trailing})$$

    "trailing" counts back from the noisiest step, T-1, where sampling starts from pure noise.
    "leading" takes 0, ⌊T/S⌋, 2⌊T/S⌋, …, as the DDIM paper does, and so never sees the noisiest
    steps; "linspace" spreads the steps evenly over 0 … T-1, both included. Halves are rounded to
    even. A single step of "linspace" is T-1.

    Args:
        num_train_steps: T, the length of the noise schedule.
        num_sample_steps: S, from 1 to T.
        spacing: "trailing", "leading" or "linspace".

    Returns:
        S different steps in [0, T-1], falling.

    Raises:
        ValueError: S is not between 1 and T, or the spacing is unknown.

    Source:
        Lin et al. 2024 (arXiv:2305.08891), table 2, there counted from 1.
    """
    check_choice("spacing", spacing, get_args(Spacing))
    check_number("num_train_steps", num_train_steps, "[1, inf)", whole=True)
    check_number("num_sample_steps", num_sample_steps, f"[1, {num_train_steps}]", whole=True)
    first, steps = num_train_steps - 1, range(num_sample_steps)
    if spacing == "trailing":
        return [
            round(Fraction(num_train_steps * (num_sample_steps - i), num_sample_steps)) - 1
            for i in steps
        ]
    if spacing == "leading":
        return [i * (num_train_steps // num_sample_steps) for i in reversed(steps)]
    gaps = max(num_sample_steps - 1, 1)
    return [round(first - Fraction(first * i, gaps)) for i in steps]


def moves_between(schedule: NoiseSchedule, timesteps: list[int]) -> list[Move]:
    """List the moves from each step to the next one visited, the last of them to the image."""
    alpha_bars = schedule.exact_alpha_bar[timesteps].tolist()
    return [Move(*move) for move in zip(timesteps, alpha_bars, [*alpha_bars[1:], 1.0], strict=True)]


def check_start(schedule: Any, **starts: Any) -> None:
    """Refuse a schedule that is none, and batches that no network could denoise.

    Args:
        schedule: should be a `NoiseSchedule`.
        starts: one or more batches, by the names under which the learner knows them.

    Raises:
        ValueError: no schedule; no floats of shape (n, …), NaN or infinity, images far from
            [-1, 1], or batches that differ in shape, dtype or device.
    """
    if not isinstance(schedule, NoiseSchedule):
        raise ValueError(
            f"expected a NoiseSchedule, got {type(schedule).__name__}; make one with "
            "NoiseSchedule.linear() or NoiseSchedule(beta), the same as in training"
        )
    check_tensors(**starts)
    check_range(**starts)
    kinds = {name: (str(x.dtype), str(x.device)) for name, x in starts.items()}
    if len(set(kinds.values())) > 1:
        raise ValueError(f"expected one dtype and one device, got {kinds}; convert with .to(x_T)")


def check_generator(generator: Any, why: str) -> None:
    """Refuse to fall back on the global random state.

    Raises:
        ValueError: there is no generator.
    """
    if not isinstance(generator, torch.Generator):
        raise ValueError(
            f"expected a torch.Generator, since {why}, got {generator!r}; pass "
            "generator=torch.Generator().manual_seed(0)"
        )
