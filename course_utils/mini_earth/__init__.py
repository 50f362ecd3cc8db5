"""The procedural world behind the offline profile: seeded scenes, disasters and their images.

``make_scene`` lays out a scene graph in meters, ``render`` photographs it, ``sample_views``
streams captioned views for training, ``disaster_scene`` makes one example of the lab's task.
"""

from course_utils.mini_earth.captions import DISASTER_PHRASES, SCENE_PHRASES
from course_utils.mini_earth.hazard import DISASTERS, Hazard
from course_utils.mini_earth.layout import make_scene
from course_utils.mini_earth.scene import SCENE_CLASSES, SETTLEMENTS, Building, Road, Scene
from course_utils.mini_earth.styles import STYLES, TEST_STYLE, TRAIN_STYLES, Style
from course_utils.mini_earth.views import View, disaster_scene, render, sample_views

__all__ = [
    "DISASTERS",
    "DISASTER_PHRASES",
    "SCENE_CLASSES",
    "SCENE_PHRASES",
    "SETTLEMENTS",
    "STYLES",
    "TEST_STYLE",
    "TRAIN_STYLES",
    "Building",
    "Hazard",
    "Road",
    "Scene",
    "Style",
    "View",
    "disaster_scene",
    "make_scene",
    "render",
    "sample_views",
]
