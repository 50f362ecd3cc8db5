"""The reverse process: from noise to images with a network that predicts noise.

``walk`` asks the network at each visited step and yields one `SampleStep` for it; ``reverse`` has
the formulas that move on: DDPM's own, DDIM's, and DPM-Solver++(2M)'s, of second order. ``guidance``
turns a network with labels into a denoiser, ``editing`` starts from real images, ``gaussian`` knows
the truth for Gaussian data.
"""

from course_utils.samplers.editing import inpaint_sample, resampling_path, sdedit
from course_utils.samplers.gaussian import (
    SolverError,
    fitted_order,
    gaussian_denoiser,
    gaussian_flow,
    solver_error,
)
from course_utils.samplers.guidance import conditional, guided
from course_utils.samplers.reverse import ddim_sample, ddpm_sample, dpm_solver_sample
from course_utils.samplers.walk import Denoiser, SampleStep, sample_timesteps

__all__ = [
    "Denoiser",
    "SampleStep",
    "SolverError",
    "conditional",
    "ddim_sample",
    "ddpm_sample",
    "dpm_solver_sample",
    "fitted_order",
    "gaussian_denoiser",
    "gaussian_flow",
    "guided",
    "inpaint_sample",
    "resampling_path",
    "sample_timesteps",
    "sdedit",
    "solver_error",
]
