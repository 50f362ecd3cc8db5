"""The reverse process: from noise to images with a network that predicts noise.

``ancestral`` is DDPM's own sampler, ``implicit`` is DDIM, ``solver`` is DPM-Solver++(2M), of second
order; all yield one `SampleStep` a step. ``guidance`` turns a network with labels into a denoiser,
``editing`` starts from real images, ``gaussian`` knows the truth for Gaussian data.
"""

from course_utils.samplers.ancestral import ddpm_sample
from course_utils.samplers.editing import inpaint_sample, resampling_path, sdedit
from course_utils.samplers.gaussian import (
    SolverError,
    fitted_order,
    gaussian_denoiser,
    gaussian_flow,
    solver_error,
)
from course_utils.samplers.guidance import conditional, guided
from course_utils.samplers.implicit import ddim_sample
from course_utils.samplers.records import Denoiser, SampleStep
from course_utils.samplers.solver import dpm_solver_sample
from course_utils.samplers.timesteps import sample_timesteps

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
