"""One thin layer over diffusers pipelines: sentences to images, resumable, with provenance.

``load_pipeline`` loads, ``generate`` draws one image a prompt and keeps it in an album. To look
inside: ``trace``, ``attention_maps``, ``interpolate``.
"""

from course_utils.text2image.attention import AttentionMaps, attention_maps
from course_utils.text2image.drawing import estimate_seconds, generate, image_seed
from course_utils.text2image.interpolation import Interpolated, interpolate
from course_utils.text2image.levels import meters_per_pixel, split_level
from course_utils.text2image.loading import TextToImage, load_pipeline
from course_utils.text2image.records import Generated, GenerationConfig
from course_utils.text2image.steps import TraceStep, decode, embed_prompts, predict_x0, trace

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
    "split_level",
    "trace",
]
