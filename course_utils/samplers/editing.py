"""Start from a real image: draw a part of it anew, or all of it a little."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from course_utils.diffusion import NoiseSchedule, q_sample
from course_utils.diffusion.inputs import check_number
from course_utils.samplers.reverse import implicit_formula, move_implicit
from course_utils.samplers.walk import (
    Denoiser,
    Move,
    SampleStep,
    Spacing,
    add_noise,
    check_generator,
    check_start,
    draw_noise,
    moves_between,
    sample_timesteps,
    walk,
)


def inpaint_sample(
    denoiser: Denoiser,
    x_T: Float[Tensor, " n *shape"],
    schedule: NoiseSchedule,
    *,
    x0: Float[Tensor, " n *shape"],
    mask: Shaped[Tensor, "..."],
    num_sample_steps: int = 50,
    num_resamples: int = 5,
    jump_length: int = 5,
    spacing: Spacing = "trailing",
    clip_x0: bool = False,
    generator: torch.Generator,
) -> Iterator[SampleStep]:
    r"""Keep a part of an image and draw the rest to match (RePaint).

    $$x_{prev} = m \odot \bigl(\sqrt{\bar\alpha_{prev}}\,x_0 + \sqrt{1-\bar\alpha_{prev}}\,\epsilon
    \bigr) + (1-m) \odot x_{prev}^{unknown}$$

    The unknown part takes DDPM's step (`ddim_sample` with η = 1). Known and unknown part are drawn
    without each other, so they match badly at first. Resampling mends it: the state is noised back
    by ``jump_length`` steps and denoised again, ``num_resamples - 1`` times on each stretch. Noise
    is drawn once for each jump and for each step but the last; every pixel of it goes either into
    the known part or into the unknown one.

    Args:
        denoiser: predicts the noise, ``denoiser(x_t, t) -> eps_pred``. It need not know of masks.
        x_T: the noise to start from, N(0, 1), any shape (n, …), any floating-point dtype.
        schedule: the one of the training.
        x0: the real images, of x_T's shape, dtype and device, in [-1, 1] for a network of images.
        mask: True or 1 where x0 is kept; as many axes as x_T, each as long as there or 1.
        num_sample_steps: S, from 1 to T.
        num_resamples: how often each stretch is walked; 1 = no jumps.
        jump_length: steps of a stretch, the paper's j, under S if there are jumps.
        spacing: which steps are visited, see `sample_timesteps`.
        clip_x0: clip each predicted image to [-1, 1], see `ddim_sample`.
        generator: source of the noise.

    Yields:
        One record for each call of the network, so ``t`` rises where noise was put back. In the
        last one, ``x_t`` is x0 where it is known, to the bit.

    Raises:
        ValueError: bad input, at the call; a denoiser's answer of another shape, at its step.

    Source:
        Lugmayr et al. 2022 (arXiv:2201.09865), algorithm 1 with eq. 8a (line 5 of the algorithm
        lacks the square root), and jumps as in appendix B.
    """
    check_start(schedule, x_T=x_T, x0=x0)
    check_generator(generator, "every step but the last draws noise")
    is_known = _read_mask(mask, x_T)
    timesteps = sample_timesteps(schedule.num_train_steps, num_sample_steps, spacing)
    path = resampling_path(num_sample_steps, num_resamples, jump_length)
    moves = _along(path, moves_between(schedule, timesteps))
    clean = x0.detach()

    def formula(x: Tensor, x0_pred: Tensor, eps_pred: Tensor, move: Move) -> Tensor:
        known, z = clean.to(x.dtype), None
        if not move.is_last:
            z = draw_noise(x, generator, x_T.dtype)  # a pixel is known or not, and uses it once
            known = add_noise(known, move.alpha_bar_prev, z)
        return torch.where(is_known, known, move_implicit(x0_pred, eps_pred, move, eta=1.0, z=z))

    return walk(denoiser, x_T, moves, formula, clip_x0=clip_x0, generator=generator)


def _along(path: list[int], moves: list[Move]) -> list[Move]:
    """Order the moves by how many steps are left, and put the jumps back up between them."""
    found = []
    for left, left_after in pairwise(path):
        move = moves[len(moves) - left]
        if left_after > left:
            move = Move(move.t, move.alpha_bar, moves[len(moves) - left_after].alpha_bar)
        found.append(move)
    return found


def resampling_path(num_sample_steps: int, num_resamples: int, jump_length: int) -> list[int]:
    """List how many steps are left, from S to 0, with the jumps back up.

    Stretches of ``jump_length`` steps end where 1, 1 + j, 1 + 2j, … steps are left, and each is
    walked ``num_resamples`` times.

    Raises:
        ValueError: a number is not whole or under 1, or no stretch fits in.

    Source:
        Lugmayr et al. 2022 (arXiv:2201.09865), appendix B.
    """
    check_number("num_resamples", num_resamples, "[1, inf)", whole=True)
    check_number("jump_length", jump_length, "[1, inf)", whole=True)
    if num_resamples > 1 and jump_length >= num_sample_steps:
        raise ValueError(
            f"expected jump_length under num_sample_steps = {num_sample_steps}, got {jump_length}: "
            "jump less far, or switch jumps off with num_resamples=1"
        )
    ends = range(1, num_sample_steps - jump_length + 1, jump_length)
    jumps = dict.fromkeys(ends, num_resamples - 1)
    path = [num_sample_steps]
    while path[-1] > 0:
        path.append(path[-1] - 1)
        if jumps.get(path[-1], 0) > 0:
            jumps[path[-1]] -= 1
            path.append(path[-1] + jump_length)
    return path


def sdedit(
    denoiser: Denoiser,
    x0: Float[Tensor, " n *shape"],
    schedule: NoiseSchedule,
    *,
    strength: float | int,
    num_sample_steps: int = 50,
    eta: float | int = 0.0,
    spacing: Spacing = "trailing",
    clip_x0: bool = False,
    generator: torch.Generator,
) -> Iterator[SampleStep]:
    r"""Noise real images part of the way, and denoise them again (SDEdit).

    $$x_{t_0} = \sqrt{\bar\alpha_{t_0}}\,x_0 + \sqrt{1-\bar\alpha_{t_0}}\,\epsilon$$

    From the S steps of the whole way the last ``strength`` x S are taken (at least one), and t_0 is
    the first of them; so strength means what it means in diffusers' image-to-image pipelines. The
    rest is `ddim_sample`. The noise at the start is drawn first.

    Args:
        denoiser: predicts the noise, ``denoiser(x_t, t) -> eps_pred``.
        x0: the real images, in [-1, 1] for a network of images.
        schedule: the one of the training.
        strength: share of the way, in (0, 1]; 1 forgets all but what is left of x0 at step T-1.
        num_sample_steps: S, the steps of the whole way, from 1 to T.
        eta: as in `ddim_sample`; the paper's own sampler has η = 1.
        spacing: which steps are visited, see `sample_timesteps`.
        clip_x0: clip each predicted image to [-1, 1], see `ddim_sample`.
        generator: source of the noise.

    Yields:
        One record a step taken.

    Raises:
        ValueError: bad input, at the call; a denoiser's answer of another shape, at its step.

    Source:
        Meng et al. 2022 (arXiv:2108.01073), algorithm 1 (there with a variance-exploding process;
        appendix C has this one).
    """
    check_start(schedule, x0=x0)
    check_number("strength", strength, "(0, 1]")
    check_number("eta", eta, "[0, 1]")
    check_generator(generator, "the image is noised first")
    timesteps = sample_timesteps(schedule.num_train_steps, num_sample_steps, spacing)
    moves = moves_between(schedule, timesteps[-max(1, round(strength * num_sample_steps)) :])
    formula = implicit_formula(eta, generator, x0.dtype)

    def noise_and_walk() -> Iterator[SampleStep]:  # noise is drawn when the first step is
        t = torch.full((len(x0),), moves[0].t, dtype=torch.int64, device=x0.device)
        x_t = q_sample(x0.detach(), t, draw_noise(x0, generator, x0.dtype), schedule)
        yield from walk(denoiser, x_t, moves, formula, clip_x0=clip_x0)

    return noise_and_walk()


def _read_mask(mask: Any, x: Float[Tensor, " n *shape"]) -> Bool[Tensor, "..."]:
    """Turn a mask of ones and zeros into booleans next to ``x``.

    Raises:
        ValueError: it holds other values, or does not line up with the axes of ``x``.
    """
    if (
        not isinstance(mask, Tensor)
        or mask.ndim != x.ndim
        or any(size not in (1, full) for size, full in zip(mask.shape, x.shape, strict=False))
    ):
        got = tuple(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(
            f"expected a mask with as many axes as x_T, each as long as there or 1, so for "
            f"{tuple(x.shape)}, got {got}; add axes with mask[None, None]"
        )
    if not ((mask == 0) | (mask == 1)).all():
        raise ValueError(
            "expected a mask of True and False, or of 1 (keep) and 0 (draw anew), got other "
            "values; choose a threshold, such as mask > 0.5"
        )
    return mask.to(x.device, torch.bool)
