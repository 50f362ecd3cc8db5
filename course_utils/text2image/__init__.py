"""One thin layer over diffusers pipelines: sentences to images, resumable, with provenance.

``load_pipeline`` loads, ``generate`` draws one image a prompt and keeps it in an album. To look
inside: ``trace``, ``attention_maps``, ``interpolate``.
"""

from course_utils.text2image.drawing import estimate_seconds, generate
from course_utils.text2image.inside import (
    AttentionMaps,
    Interpolated,
    TraceStep,
    attention_maps,
    decode,
    embed_prompts,
    interpolate,
    predict_x0,
    trace,
)
from course_utils.text2image.jobs import image_seed
from course_utils.text2image.loading import TextToImage, load_pipeline
from course_utils.text2image.records import Generated, GenerationConfig, meters_per_pixel

__all__ = [
    "AttentionMaps",
    "Generated",
    "GenerationConfig",
    "Interpolated",
    "TextToImage",
    "TraceStep",
    "attention_maps",
    "decode",
    "embed_prompts",
    "estimate_seconds",
    "generate",
    "image_seed",
    "interpolate",
    "load_pipeline",
    "meters_per_pixel",
    "predict_x0",
    "trace",
]
