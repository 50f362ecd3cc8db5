"""Better synthetic images: written, filtered, guided, adapted, or looked up instead.

``write_sentences`` says more than a class name, ``clip_filter`` and ``real_filter`` drop drawings,
``guide`` starts from real shots, ``adapt`` teaches a generator the shots, and ``retrieve`` asks
whether the images that the generator learned from would not have done better.
"""

from course_utils.strategies.adaptation import AdaptStep, adapt
from course_utils.strategies.filters import clip_filter, real_filter, real_lead
from course_utils.strategies.guidance import from_before, guide, strength_for
from course_utils.strategies.language import write_sentences
from course_utils.strategies.retrieval import retrieve
from course_utils.strategies.sources import TrainingImages, training_images

__all__ = [
    "AdaptStep",
    "TrainingImages",
    "adapt",
    "clip_filter",
    "from_before",
    "guide",
    "real_filter",
    "real_lead",
    "retrieve",
    "strength_for",
    "training_images",
    "write_sentences",
]
