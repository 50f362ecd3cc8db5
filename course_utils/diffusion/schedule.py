"""How much noise there is at each step: the schedule that training and sampling share."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Float32, Float64, Int
from torch import Tensor

from course_utils.diffusion.inputs import check_number


@dataclass(frozen=True, eq=False, repr=False)
class NoiseSchedule:
    r"""The variance $\beta_t$ of the noise that step t adds, and all that follows from it.

    $$\alpha_t = 1-\beta_t, \quad \bar\alpha_t = \prod_{s \le t} \alpha_s, \quad
    \mathrm{SNR}_t = \bar\alpha_t / (1-\bar\alpha_t)$$

    ``NoiseSchedule(beta)`` takes any floats, shape (T,); t is 0-based, so that index 0 is the
    paper's step 1. The ``exact_`` tables are float64, what formulas compute with; those without
    are the same in float32, to look at and to plot. Coefficients from float32 tables would be off
    by 2e-4 at small t, where $1-\bar\alpha_t$ is a small difference of large numbers.

    Raises:
        ValueError: not one axis, under two steps, a value that is not strictly between 0 and 1,
            or noise so weak or so strong that ᾱ_t rounds to 1 or 0.

    Source:
        Ho et al. 2020 (arXiv:2006.11239), section 2.
    """

    exact_beta: Float[Tensor, " T"]  # float64, whatever was given

    def __post_init__(self) -> None:
        """Keep a copy in float64, and refuse what is no schedule."""
        beta = torch.as_tensor(self.exact_beta)
        if not beta.is_floating_point() or beta.dim() != 1 or len(beta) < 2:
            raise ValueError(
                "beta: expected floats of shape (T,) with T of at least 2, got "
                f"{beta.dtype} of shape {tuple(beta.shape)}"
            )
        beta = beta.detach().to("cpu", torch.float64, copy=True)
        wrong = beta[~((beta > 0) & (beta < 1))]  # NaN is in neither
        if len(wrong):
            raise ValueError(
                f"beta: expected variances between 0 and 1, both excluded, got {wrong[0].item()}"
            )
        object.__setattr__(self, "exact_beta", beta)
        first, last = self.exact_alpha_bar[0].item(), self.exact_alpha_bar[-1].item()
        if first == 1 or last == 0:
            raise ValueError(
                "beta: expected noise that leaves 0 < ᾱ_t < 1 at each step, but ᾱ goes from "
                f"{first} to {last}; with {len(beta)} steps take larger or smaller beta"
            )

    @classmethod
    def linear(
        cls, num_train_steps: int = 1000, beta_start: float = 1e-4, beta_end: float = 0.02
    ) -> "NoiseSchedule":
        r"""Let the variance grow evenly.

        $$\beta_t = \beta_{start} + \tfrac{t}{T-1} (\beta_{end} - \beta_{start})$$

        The ends are not scaled with T: for another T than 1000, about the same ᾱ at the end takes
        a ``beta_end`` of 20 / T.

        Source:
            Ho et al. 2020 (arXiv:2006.11239), section 4.
        """
        _check_length(num_train_steps)
        return cls(torch.linspace(beta_start, beta_end, num_train_steps, dtype=torch.float64))

    @classmethod
    def scaled_linear(
        cls, num_train_steps: int = 1000, beta_start: float = 0.00085, beta_end: float = 0.012
    ) -> "NoiseSchedule":
        r"""Let the standard deviation grow evenly, as Stable Diffusion does.

        $$\sqrt{\beta_t} = \sqrt{\beta_{start}}
        + \tfrac{t}{T-1} (\sqrt{\beta_{end}} - \sqrt{\beta_{start}})$$

        Source:
            Rombach et al. 2022 (arXiv:2112.10752); only their code says so.
        """
        _check_length(num_train_steps)
        if min(beta_start, beta_end) < 0:
            raise ValueError(f"beta: expected ends above 0, got {beta_start} and {beta_end}")
        ends = beta_start**0.5, beta_end**0.5
        return cls(torch.linspace(*ends, num_train_steps, dtype=torch.float64).square())

    @classmethod
    def cosine(
        cls, num_train_steps: int = 1000, offset: float = 0.008, max_beta: float = 0.999
    ) -> "NoiseSchedule":
        r"""Let ᾱ fall like a squared cosine, gently at both ends.

        $$\beta_t = \min\left(1 - \frac{f(t+1)}{f(t)},\ \beta_{max}\right), \quad
        f(t) = \cos^2\left(\frac{t/T + s}{1 + s} \cdot \frac{\pi}{2}\right)$$

        Args:
            num_train_steps: T.
            offset: s, which keeps the first steps from being too small.
            max_beta: cap, without which the last step would wipe the image out.

        Source:
            Nichol and Dhariwal 2021 (arXiv:2102.09672), eq. 17 and the text below it.
        """
        _check_length(num_train_steps)
        time = torch.linspace(0, 1, num_train_steps + 1, dtype=torch.float64)
        signal = torch.cos((time + offset) / (1 + offset) * torch.pi / 2).square()
        return cls((1 - signal[1:] / signal[:-1]).clamp(max=max_beta))

    @property
    def num_train_steps(self) -> int:
        """T."""
        return len(self.exact_beta)

    @cached_property
    def exact_alpha(self) -> Float64[Tensor, " T"]:
        """1 - β_t: share of the variance that step t keeps."""
        return 1 - self.exact_beta

    @cached_property
    def exact_alpha_bar(self) -> Float64[Tensor, " T"]:
        """ᾱ_t: share of the image, by variance, after step t."""
        return self.exact_alpha.cumprod(0)

    @cached_property
    def exact_alpha_bar_prev(self) -> Float64[Tensor, " T"]:
        """ᾱ_{t-1}: the same one step earlier; 1 at t = 0, where that is the image."""
        return torch.cat([self.exact_alpha_bar.new_ones(1), self.exact_alpha_bar[:-1]])

    @cached_property
    def exact_snr(self) -> Float64[Tensor, " T"]:
        """ᾱ_t / (1 - ᾱ_t): signal to noise, a ratio of variances."""
        return self.exact_alpha_bar / (1 - self.exact_alpha_bar)

    @property
    def beta(self) -> Float32[Tensor, " T"]:
        """β_t in float32."""
        return self.exact_beta.float()

    @property
    def alpha(self) -> Float32[Tensor, " T"]:
        """α_t = 1 - β_t in float32."""
        return self.exact_alpha.float()

    @property
    def alpha_bar(self) -> Float32[Tensor, " T"]:
        """ᾱ_t in float32."""
        return self.exact_alpha_bar.float()

    @property
    def snr(self) -> Float32[Tensor, " T"]:
        """Signal-to-noise ratio in float32."""
        return self.exact_snr.float()

    def __repr__(self) -> str:
        ends = self.exact_beta[[0, -1]].tolist()
        return f"NoiseSchedule(T = {self.num_train_steps}, β from {ends[0]:.3g} to {ends[1]:.3g})"


def gather(
    values: Float[Tensor, " T"], t: Int[Tensor, " n"], like: Float[Tensor, " n *shape"]
) -> Float[Tensor, " n *ones"]:
    """Look up each image's value, in a shape that multiplies images.

    Args:
        values: one a step, such as ``schedule.exact_alpha_bar.sqrt()``.
        t: step of each image, 0-based; trusted, since a check would stop a GPU.
        like: the images, which give dtype, device and number of axes.

    Returns:
        ``values[t]`` of shape (n, 1, 1, …), cast after the look-up table was computed.
    """
    found = values.to(like.dtype).to(t.device)[t.long()]
    return found.to(like.device, non_blocking=True).view(-1, *[1] * (like.dim() - 1))


def _check_length(num_train_steps: int) -> None:
    check_number(
        "num_train_steps", num_train_steps, "[2, inf)", whole=True, hint=" (1000 is usual)"
    )
