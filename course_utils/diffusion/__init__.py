"""Diffusion's mathematics: noise in, noise named, and a net trained to name it.

``schedule`` says how much noise each step has; ``process`` adds it, looks one step back, converts
between ε, x_0 and v, and judges a denoiser; ``training`` trains one; ``bound``
says in bits what it is worth.
"""

from course_utils.diffusion.bound import VlbTerms, step_variance, vlb_terms
from course_utils.diffusion.process import (
    eps_loss,
    mix,
    posterior,
    q_sample,
    q_step,
    unmix,
    v_from_x0_eps,
)
from course_utils.diffusion.schedule import NoiseSchedule
from course_utils.diffusion.training import (
    Ema,
    TrainConfig,
    TrainStep,
    shuffled_batches,
    train_denoiser,
)

__all__ = [
    "Ema",
    "NoiseSchedule",
    "TrainConfig",
    "TrainStep",
    "VlbTerms",
    "eps_loss",
    "mix",
    "posterior",
    "q_sample",
    "q_step",
    "shuffled_batches",
    "step_variance",
    "train_denoiser",
    "unmix",
    "v_from_x0_eps",
    "vlb_terms",
]
