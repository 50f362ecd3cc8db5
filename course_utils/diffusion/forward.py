"""From image to noise, step by step or in one jump, and one step back if the image is known."""

from jaxtyping import Float, Int
from torch import Tensor

from course_utils.diffusion.inputs import check_t, check_tensors
from course_utils.diffusion.schedule import NoiseSchedule, gather


def q_step(
    x_prev: Float[Tensor, " n *shape"],
    t: Int[Tensor, " n"],
    eps: Float[Tensor, " n *shape"],
    schedule: NoiseSchedule,
) -> Float[Tensor, " n *shape"]:
    r"""Add the noise of one step.

    $$x_t = \sqrt{1-\beta_t}\,x_{t-1} + \sqrt{\beta_t}\,\epsilon$$

    Args:
        x_prev: images before the step; for t = 0 the clean ones.
        t: step to take with each image, 0-based, in [0, T-1].
        eps: noise drawn from N(0, 1) by the caller, anew for each step.
        schedule: the noise schedule.

    Returns:
        Images after the step, unclipped.

    Raises:
        ValueError: shapes that differ, steps out of range, NaN.

    Source:
        Ho et al. 2020 (arXiv:2006.11239), eq. 2.
    """
    check_tensors(x_prev=x_prev, eps=eps)
    check_t(t, len(x_prev), schedule.num_train_steps)
    keep = gather(schedule.exact_alpha.sqrt(), t, x_prev)
    add = gather(schedule.exact_beta.sqrt(), t, x_prev)
    return keep * x_prev + add * eps


def q_sample(
    x0: Float[Tensor, " n *shape"],
    t: Int[Tensor, " n"],
    eps: Float[Tensor, " n *shape"],
    schedule: NoiseSchedule,
) -> Float[Tensor, " n *shape"]:
    r"""Noise clean images to step ``t`` in one jump.

    $$x_t = \sqrt{\bar\alpha_t}\,x_0 + \sqrt{1-\bar\alpha_t}\,\epsilon$$

    Args:
        x0: clean images, values in [-1, 1]; any tensor of shape (n, …) will do.
        t: step of each image, 0-based, in [0, T-1].
        eps: noise drawn from N(0, 1) by the caller.
        schedule: the noise schedule.

    Returns:
        Noised images, unclipped.

    Raises:
        ValueError: shapes that differ, steps out of range, NaN.

    Source:
        Ho et al. 2020 (arXiv:2006.11239), eq. 4.
    """
    check_tensors(x0=x0, eps=eps)
    check_t(t, len(x0), schedule.num_train_steps)
    return add_noise(x0, t, eps, schedule)


def add_noise(x0: Tensor, t: Tensor, eps: Tensor, schedule: NoiseSchedule) -> Tensor:
    """Compute what ``q_sample`` does, but trust the input: a check would stop a GPU."""
    signal = gather(schedule.exact_alpha_bar.sqrt(), t, x0)
    noise = gather((1 - schedule.exact_alpha_bar).sqrt(), t, x0)
    return signal * x0 + noise * eps


def posterior(
    x0: Float[Tensor, " n *shape"],
    x_t: Float[Tensor, " n *shape"],
    t: Int[Tensor, " n"],
    schedule: NoiseSchedule,
) -> tuple[Float[Tensor, " n *shape"], Float[Tensor, " n *ones"]]:
    r"""Say where an image was one step earlier, given where it is and where it began.

    $$q(x_{t-1} \mid x_t, x_0) = \mathcal N(\tilde\mu_t, \tilde\beta_t), \quad
    \tilde\mu_t = \frac{\sqrt{\bar\alpha_{t-1}}\,\beta_t}{1-\bar\alpha_t} x_0
    + \frac{\sqrt{\alpha_t}\,(1-\bar\alpha_{t-1})}{1-\bar\alpha_t} x_t, \quad
    \tilde\beta_t = \frac{1-\bar\alpha_{t-1}}{1-\bar\alpha_t} \beta_t$$

    With a predicted x_0 in the place of the true one it is the step that DDPM samples by.

    Args:
        x0: clean images, true or predicted.
        x_t: noised images.
        t: step of each noised image, 0-based, in [0, T-1].
        schedule: the noise schedule.

    Returns:
        Mean, and variance of shape (n, 1, 1, …). At t = 0 the step before is the image itself:
        the mean is ``x0`` and the variance 0.

    Raises:
        ValueError: shapes that differ, steps out of range, NaN.

    Source:
        Ho et al. 2020 (arXiv:2006.11239), eq. 6 and 7.
    """
    check_tensors(x0=x0, x_t=x_t)
    check_t(t, len(x0), schedule.num_train_steps)
    beta, alpha = schedule.exact_beta, schedule.exact_alpha
    alpha_bar_prev = schedule.exact_alpha_bar_prev
    noise = 1 - schedule.exact_alpha_bar
    from_x0 = gather(alpha_bar_prev.sqrt() * beta / noise, t, x0)
    from_x_t = gather(alpha.sqrt() * (1 - alpha_bar_prev) / noise, t, x0)
    variance = gather((1 - alpha_bar_prev) / noise * beta, t, x0)
    return from_x0 * x0 + from_x_t * x_t, variance
