"""The one place that picks the images of an experiment: a folder, or the procedural world."""

from course_utils.sources.disasters import XbdSource, load_xbd, spread
from course_utils.sources.images import load_examples
from course_utils.sources.seen import load_seen

__all__ = ["XbdSource", "load_examples", "load_seen", "load_xbd", "spread"]
