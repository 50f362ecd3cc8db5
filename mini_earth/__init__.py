"""The procedural world behind the offline profile: seeded scenes, disasters and their images.

``make_scene`` lays out a scene graph in meters, ``render`` photographs it, ``sample_views``
streams captioned views for training, ``disaster_scene`` makes one example of the lab's task.
"""

from mini_earth.captions import Sight, long_caption
from mini_earth.hazard import DISASTERS
from mini_earth.layout import make_scene
from mini_earth.scene import LAND_COVER, SCENE_CLASSES, SETTLEMENTS, Scene
from mini_earth.scene import VERSION as __version__
from mini_earth.styles import STYLES, TEST_STYLE, TRAIN_STYLES
from mini_earth.views import (
    Outline,
    View,
    disaster_scene,
    edge_map,
    outlines,
    render,
    road_map,
    sample_views,
)
from mini_earth.words import DISASTER_PHRASES, SCENE_PHRASES
from mini_earth.xbd_files import write_xbd, write_xbd_steps
from mini_earth.xbd_plan import RECIPE as XBD_RECIPE

__all__ = [
    "DISASTERS",
    "DISASTER_PHRASES",
    "LAND_COVER",
    "SCENE_CLASSES",
    "SCENE_PHRASES",
    "SETTLEMENTS",
    "STYLES",
    "TEST_STYLE",
    "TRAIN_STYLES",
    "XBD_RECIPE",
    "Outline",
    "Scene",
    "Sight",
    "View",
    "__version__",
    "disaster_scene",
    "edge_map",
    "long_caption",
    "make_scene",
    "outlines",
    "render",
    "road_map",
    "sample_views",
    "write_xbd",
    "write_xbd_steps",
]
