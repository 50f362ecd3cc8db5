"""Schematics: how the models of the course are built, in boxes and arrows."""

from course_utils.plots.sketches.classifiers import (
    sketch_alexnet,
    sketch_pipeline,
    sketch_residual,
)
from course_utils.plots.sketches.control import (
    sketch_controlnet,
    sketch_crs_diff,
    sketch_diffusionsat,
    sketch_satsynth,
)
from course_utils.plots.sketches.diffusion import (
    sketch_chain,
    sketch_families,
    sketch_text2earth,
    sketch_unet,
)
from course_utils.plots.sketches.teachers import sketch_clip, sketch_coca, sketch_mae
from course_utils.plots.sketches.transformers import sketch_swin, sketch_vit

__all__ = [
    "sketch_alexnet",
    "sketch_chain",
    "sketch_clip",
    "sketch_coca",
    "sketch_controlnet",
    "sketch_crs_diff",
    "sketch_diffusionsat",
    "sketch_families",
    "sketch_mae",
    "sketch_pipeline",
    "sketch_residual",
    "sketch_satsynth",
    "sketch_swin",
    "sketch_text2earth",
    "sketch_unet",
    "sketch_vit",
]
