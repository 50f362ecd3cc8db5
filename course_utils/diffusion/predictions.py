"""What a network may predict, ε, x_0 or v: each follows from another and x_t."""

from jaxtyping import Float, Int
from torch import Tensor

from course_utils.diffusion.inputs import check_t, check_tensors
from course_utils.diffusion.schedule import NoiseSchedule, gather


def x0_from_eps(
    x_t: Float[Tensor, " n *shape"],
    t: Int[Tensor, " n"],
    eps: Float[Tensor, " n *shape"],
    schedule: NoiseSchedule,
) -> Float[Tensor, " n *shape"]:
    r"""Solve the closed form for the clean image.

    $$x_0 = (x_t - \sqrt{1-\bar\alpha_t}\,\epsilon) / \sqrt{\bar\alpha_t}$$

    Args:
        x_t: noised images.
        t: their steps, 0-based, in [0, T-1].
        eps: the noise in them, true or predicted.
        schedule: the noise schedule.

    Returns:
        Clean images, unclipped: at large t an error of ε is blown up by √((1-ᾱ)/ᾱ).

    Raises:
        ValueError: shapes that differ, steps out of range, NaN.

    Source:
        Ho et al. 2020 (arXiv:2006.11239), eq. 15.
    """
    check_tensors(x_t=x_t, eps=eps)
    signal, noise = _scales(x_t, t, schedule)
    return (x_t - noise * eps) / signal


def eps_from_x0(
    x_t: Float[Tensor, " n *shape"],
    t: Int[Tensor, " n"],
    x0: Float[Tensor, " n *shape"],
    schedule: NoiseSchedule,
) -> Float[Tensor, " n *shape"]:
    r"""Solve the closed form for the noise.

    $$\epsilon = (x_t - \sqrt{\bar\alpha_t}\,x_0) / \sqrt{1-\bar\alpha_t}$$

    Args:
        x_t: noised images.
        t: their steps, 0-based, in [0, T-1].
        x0: the clean images, true or predicted.
        schedule: the noise schedule.

    Returns:
        The noise.

    Raises:
        ValueError: shapes that differ, steps out of range, NaN.

    Source:
        Ho et al. 2020 (arXiv:2006.11239), eq. 4 solved for ε.
    """
    check_tensors(x_t=x_t, x0=x0)
    signal, noise = _scales(x_t, t, schedule)
    return (x_t - signal * x0) / noise


def v_from_x0_eps(
    x0: Float[Tensor, " n *shape"],
    t: Int[Tensor, " n"],
    eps: Float[Tensor, " n *shape"],
    schedule: NoiseSchedule,
) -> Float[Tensor, " n *shape"]:
    r"""Mix image and noise into v, which is worth predicting at all noise levels.

    $$v = \sqrt{\bar\alpha_t}\,\epsilon - \sqrt{1-\bar\alpha_t}\,x_0$$

    Args:
        x0: clean images.
        t: steps, 0-based, in [0, T-1].
        eps: noise.
        schedule: the noise schedule.

    Returns:
        v: nearly the noise at small t, nearly minus the image at large t.

    Raises:
        ValueError: shapes that differ, steps out of range, NaN.

    Source:
        Salimans and Ho 2022 (arXiv:2202.00512), appendix D.
    """
    check_tensors(x0=x0, eps=eps)
    signal, noise = _scales(x0, t, schedule)
    return signal * eps - noise * x0


def x0_from_v(
    x_t: Float[Tensor, " n *shape"],
    t: Int[Tensor, " n"],
    v: Float[Tensor, " n *shape"],
    schedule: NoiseSchedule,
) -> Float[Tensor, " n *shape"]:
    r"""Turn v and the noised image back by the angle between image and noise.

    $$x_0 = \sqrt{\bar\alpha_t}\,x_t - \sqrt{1-\bar\alpha_t}\,v$$

    Args:
        x_t: noised images.
        t: their steps, 0-based, in [0, T-1].
        v: true or predicted.
        schedule: the noise schedule.

    Returns:
        Clean images, unclipped.

    Raises:
        ValueError: shapes that differ, steps out of range, NaN.

    Source:
        Salimans and Ho 2022 (arXiv:2202.00512), appendix D.
    """
    check_tensors(x_t=x_t, v=v)
    signal, noise = _scales(x_t, t, schedule)
    return signal * x_t - noise * v


def eps_from_v(
    x_t: Float[Tensor, " n *shape"],
    t: Int[Tensor, " n"],
    v: Float[Tensor, " n *shape"],
    schedule: NoiseSchedule,
) -> Float[Tensor, " n *shape"]:
    r"""Find the noise that v and the noised image stand for.

    $$\epsilon = \sqrt{1-\bar\alpha_t}\,x_t + \sqrt{\bar\alpha_t}\,v$$

    Args:
        x_t: noised images.
        t: their steps, 0-based, in [0, T-1].
        v: true or predicted.
        schedule: the noise schedule.

    Returns:
        The noise.

    Raises:
        ValueError: shapes that differ, steps out of range, NaN.

    Source:
        Salimans and Ho 2022 (arXiv:2202.00512), appendix D.
    """
    check_tensors(x_t=x_t, v=v)
    signal, noise = _scales(x_t, t, schedule)
    return noise * x_t + signal * v


def _scales(
    like: Float[Tensor, " n *shape"], t: Int[Tensor, " n"], schedule: NoiseSchedule
) -> tuple[Float[Tensor, " n *ones"], Float[Tensor, " n *ones"]]:
    """Look up √ᾱ_t and √(1-ᾱ_t)."""
    check_t(t, len(like), schedule.num_train_steps)
    alpha_bar = schedule.exact_alpha_bar
    return gather(alpha_bar.sqrt(), t, like), gather((1 - alpha_bar).sqrt(), t, like)
