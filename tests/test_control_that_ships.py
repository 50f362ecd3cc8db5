"""The ControlNet and the segmenter that ship: sound folders, and a road that is asked is drawn."""

import csv

import numpy as np
import pytest
import torch

import mini_earth
from course_utils import control, hub, text2image
from course_utils.metrics import mask_iou

needs_models = pytest.mark.skipif(
    not {"small_control", "small_segmenter"} <= set(hub.read_lock()), reason="not shipped yet"
)
TABLE = hub.DATA_ROOT / "measured" / "control.csv"
needs_table = pytest.mark.skipif(not TABLE.is_file(), reason="not measured yet")


def scenes_with_roads(num: int) -> list[mini_earth.View]:
    """Render fresh scenes with at least 4 % road."""
    found, seed = [], 0
    while len(found) < num:
        seed += 1
        style = mini_earth.TRAIN_STYLES[seed % len(mini_earth.TRAIN_STYLES)]
        name = mini_earth.SCENE_CLASSES[seed % len(mini_earth.SCENE_CLASSES)]
        scene = mini_earth.make_scene(name, style, seed=9_000_000 + seed, extent=160)
        view = mini_earth.render(scene, size=64)
        if (view.land_cover == control.ROAD).mean() > 0.04:
            found.append(view)
    return found


@needs_models
def test_a_road_that_is_asked_is_found_again_more_than_without_asking():
    controlled = control.load_control(device="cpu")
    judge = control.load_segmenter(device="cpu")
    views = scenes_with_roads(8)
    prompts = [view.caption.lower() for view in views]
    asked = torch.from_numpy(np.stack([view.land_cover for view in views])) == control.ROAD
    maps = torch.stack([control.stack_conditions({"road": mask.float()}) for mask in asked])
    config = text2image.GenerationConfig(num_sample_steps=6)
    found = {}
    for name, told in (("none", None), ("road", maps)):
        images = control.draw(controlled, prompts, maps=told, config=config)
        roads = control.segment(judge, images) == control.ROAD
        found[name] = mask_iou(roads, asked).mean().item()
    assert found["road"] > 1.5 * found["none"]


@needs_models
def test_the_models_are_what_their_cards_say():
    controlled, judge = control.load_control(device="cpu"), control.load_segmenter(device="cpu")
    assert controlled.net.config.conditioning_channels == 18
    assert controlled.stand_in_for is None
    for artifact in ("small_control", "small_segmenter"):
        card = (hub.locate(artifact).root / "README.md").read_text(encoding="utf-8")
        assert card.startswith(f"# {artifact}")
    assert judge.net.config.out_channels == 4 * len(mini_earth.LAND_COVER)


@needs_table
def test_the_measured_table_holds_what_the_notebook_says_of_it():
    with TABLE.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["measured_against"] == "own scene"]
    road = {
        (row["asked"], row["scale"]): float(row["road_iou"])
        for row in rows
        if row["world"] == "training styles"
    }
    told = road["road", "1"]
    (none,) = (value for (asked, _), value in road.items() if asked == "none")
    (renders,) = (value for (asked, _), value in road.items() if asked == "renders")
    assert told >= 2 * none
    assert told >= renders / 2
    assert road["another road", "1"] < told / 2
    for row in rows:
        assert float(row["road_low"]) <= float(row["road_iou"]) <= float(row["road_high"])
        assert float(row["cover_low"]) <= float(row["cover_iou"]) <= float(row["cover_high"])
