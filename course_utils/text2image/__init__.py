"""One thin layer over diffusers pipelines: sentences to images, resumable, with provenance.

``load_pipeline`` loads, ``generate`` draws one image a prompt and keeps it in an album.
"""

from course_utils.text2image.drawing import estimate_seconds, generate, image_seed
from course_utils.text2image.loading import TextToImage, load_pipeline
from course_utils.text2image.records import Generated, GenerationConfig

__all__ = [
    "Generated",
    "GenerationConfig",
    "TextToImage",
    "estimate_seconds",
    "generate",
    "image_seed",
    "load_pipeline",
]
