"""Diffusion's mathematics: noise in, noise named, and a net trained to name it.

``schedule`` says how much noise each step has, ``forward`` adds it and looks one step back,
``predictions`` converts between ε, x_0 and v, ``objective`` and ``bound`` judge a denoiser;
``training`` trains one, on ``batches``, with averaged weights from ``ema``.
"""

from course_utils.diffusion.batches import shuffled_batches
from course_utils.diffusion.bound import VlbTerms, step_variance, vlb_terms
from course_utils.diffusion.ema import Ema
from course_utils.diffusion.forward import posterior, q_sample, q_step
from course_utils.diffusion.objective import eps_loss
from course_utils.diffusion.predictions import (
    eps_from_v,
    eps_from_x0,
    v_from_x0_eps,
    x0_from_eps,
    x0_from_v,
)
from course_utils.diffusion.schedule import NoiseSchedule, at_step
from course_utils.diffusion.training import TrainConfig, TrainStep, train_denoiser

__all__ = [
    "Ema",
    "NoiseSchedule",
    "TrainConfig",
    "TrainStep",
    "VlbTerms",
    "at_step",
    "eps_from_v",
    "eps_from_x0",
    "eps_loss",
    "posterior",
    "q_sample",
    "q_step",
    "shuffled_batches",
    "step_variance",
    "train_denoiser",
    "v_from_x0_eps",
    "vlb_terms",
    "x0_from_eps",
    "x0_from_v",
]
