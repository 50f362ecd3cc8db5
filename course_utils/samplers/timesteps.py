"""Which of the T training steps a sampler visits, and how noisy it is there."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, get_args

from course_utils.diffusion import NoiseSchedule
from course_utils.samplers.inputs import check_choice, check_count

Spacing = Literal["trailing", "leading", "linspace"]


@dataclass(frozen=True)
class Move:
    """From the noise of step ``t`` to that of the next visited step; ᾱ is 1 at the image."""

    t: int
    alpha_bar: float
    alpha_bar_prev: float

    @property
    def is_last(self) -> bool:
        """Say whether the move ends at the image, where no noise is left."""
        return self.alpha_bar_prev == 1.0


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
    check_count("num_train_steps", num_train_steps)
    check_count("num_sample_steps", num_sample_steps, most=num_train_steps, what="the schedule's T")
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
