"""CLIP family: prompts to class weights, images to features, scores.

``load_clip`` loads OpenAI's CLIP, RemoteCLIP, GeoRSCLIP, Git-RSCLIP, the small CLIP or a folder,
``class_weights`` and ``image_features`` use it, ``zero_shot_logits`` compares. ``load_writer``
loads a language model that makes sentences of the words for a class, ``model_line`` lists the image
encoders from AlexNet to CoCa.
"""

from course_utils.zero_shot.features import FeatureStep, extract_features, image_features
from course_utils.zero_shot.line import Kind, count_cost, model_line
from course_utils.zero_shot.models import (
    ACTIVATIONS,
    Clip,
    embed_images,
    embed_text,
    load_clip,
    with_net,
)
from course_utils.zero_shot.prompts import (
    TEMPLATE_SOURCES,
    TEMPLATES,
    class_weights,
    zero_shot_logits,
)
from course_utils.zero_shot.writing import Writer, load_writer

__all__ = [
    "ACTIVATIONS",
    "TEMPLATES",
    "TEMPLATE_SOURCES",
    "Clip",
    "FeatureStep",
    "Kind",
    "Writer",
    "class_weights",
    "count_cost",
    "embed_images",
    "embed_text",
    "extract_features",
    "image_features",
    "load_clip",
    "load_writer",
    "model_line",
    "with_net",
    "zero_shot_logits",
]
