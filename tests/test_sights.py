"""Long captions say what is there, in 20 to 40 words, and turn with the image."""

from itertools import product

import numpy as np
import pytest
from PIL import Image, ImageDraw

import mini_earth
from mini_earth import LAND_COVER, Sight, long_caption, words
from tools.training.looks import find_looks, main_direction

STYLES = sorted(mini_earth.STYLES)
TURNS = list(product(range(4), (False, True)))


def view_of(scene_class, seed, *, extent=220.0):
    style = STYLES[seed % len(STYLES)]
    scene = mini_earth.make_scene(scene_class, style, seed=seed, extent=extent)
    return scene, mini_earth.render(scene)


def line_image(angle: float, size: int = 64) -> np.ndarray:
    """Draw a white line through the middle, at an angle counterclockwise from the right."""
    dx, dy = size * np.cos(np.radians(angle)), -size * np.sin(np.radians(angle))
    image, half = Image.new("RGB", (4 * size, 4 * size)), 2 * size
    ends = (half - 4 * dx, half - 4 * dy, half + 4 * dx, half + 4 * dy)
    ImageDraw.Draw(image).line(ends, "white", 20)
    return np.asarray(image.resize((size, size), Image.Resampling.BOX)) / 255


def apart(one: float, other: float) -> float:
    """Measure the angle between two lines in degrees."""
    return abs((one - other + 90) % 180 - 90)


@pytest.mark.parametrize("angle", [0, 15, 30, 45, 80, 90, 100, 135, 170])
def test_the_direction_of_edges_is_measured_as_it_is_drawn(angle):
    found, share = main_direction(line_image(angle).mean(axis=2))
    assert apart(found, angle) < 3
    assert share > 0.7


@pytest.mark.parametrize(("turns", "mirrored"), TURNS)
@pytest.mark.parametrize("angle", [0, 20, 45, 70, 90, 160])
def test_a_line_turns_with_its_image(angle, turns, mirrored):
    image = np.rot90(line_image(angle), turns)
    image = image[:, ::-1] if mirrored else image
    said = Sight("", float(angle), is_line=True).turned(quarter_turns=turns, is_mirrored=mirrored)
    assert apart(said.angle, main_direction(image.mean(axis=2))[0]) < 3


@pytest.mark.parametrize(("turns", "mirrored"), TURNS)
def test_a_side_turns_with_its_image(turns, mirrored):
    image = np.zeros((64, 64, 3))
    image[4:20, 24:40] = 1  # at the top
    image = np.rot90(image, turns)
    image = image[:, ::-1] if mirrored else image
    said = Sight("brighter at {}", 90.0).turned(quarter_turns=turns, is_mirrored=mirrored).said()
    assert said in [look.said() for look in find_looks(image)]


def test_eight_lines_and_eight_sides_have_words_of_their_own():
    lines = [Sight("{}", angle, is_line=True).said() for angle in (22.5 * k for k in range(16))]
    assert len(set(lines)) == 8
    assert lines[:8] == lines[8:]  # a line has two ends
    assert Sight("{}", 0.0, is_line=True).said() == "from left to right"
    assert Sight("{}", 45.0, is_line=True).said() == "from the lower left to the upper right"
    sides = [Sight("{}", float(angle)).said() for angle in range(0, 360, 45)]
    assert sides == list(words.SIDES)
    assert (sides[0], sides[2]) == ("the right", "the top")


@pytest.mark.parametrize("scene_class", mini_earth.SCENE_CLASSES)
def test_long_captions_have_twenty_to_forty_words_and_start_with_the_subject(scene_class):
    for seed in range(3):
        _, view = view_of(scene_class, seed)
        assert 20 <= len(view.long_caption.split()) <= 40, view.long_caption
        assert view.long_caption.startswith(view.caption)
        parts = view.long_caption.split(", ")
        assert len(set(parts)) == len(parts)
        assert "{" not in view.long_caption
        assert view.long_caption == view.long_caption


@pytest.mark.parametrize("disaster", mini_earth.DISASTERS)
def test_after_a_disaster_the_damage_is_among_what_can_be_said(disaster):
    for seed in range(3):
        scene = mini_earth.disaster_scene(disaster, STYLES[seed], seed=seed)
        before, after = mini_earth.render(scene, post=False), mini_earth.render(scene)
        assert 20 <= len(after.long_caption.split()) <= 40
        assert any("badly damaged" in sight.text for sight in after.sights)
        assert not any("damage" in sight.text for sight in before.sights)


def road_direction(view) -> float:
    """Find the main axis of all road pixels, counterclockwise from the right."""
    y, x = np.nonzero(mini_earth.road_map(view))
    values, vectors = np.linalg.eigh(np.cov(np.stack([x, -y])))
    dx, dy = vectors[:, values.argmax()]
    return float(np.degrees(np.arctan2(dy, dx)))


@pytest.mark.parametrize(
    ("scene_class", "word"), [("freeway", "freeway of"), ("runway", "runway lies")]
)
def test_a_road_runs_as_it_is_said_to(scene_class, word):
    errors = []
    for seed in range(10):
        scene, view = view_of(scene_class, seed)
        if not any(road.height > 0 for road in scene.roads):
            (sight,) = (sight for sight in view.sights if word in sight.text)
            errors.append(apart(sight.angle, road_direction(view)))
    assert len(errors) > 4
    assert np.median(errors) < 4
    assert max(errors) < 25  # taxiways pull the axis aside


def test_water_lies_on_the_side_that_is_said():
    for seed in range(10):
        scene, view = view_of("beach", seed)
        (sight,) = (sight for sight in view.sights if "sea water" in sight.text)
        toward = np.radians(sight.angle)
        row, column = np.indices((64, 64)) - 31.5
        side = column * np.cos(toward) - row * np.sin(toward)
        wet = view.land_cover == LAND_COVER.index("water")
        assert wet[side > 0].mean() > 2 * wet[side < 0].mean()
        assert scene.water.kind == "sea"


def test_roofs_are_counted_as_far_as_people_count():
    assert [words.number(n) for n in (0, 1, 9)] == ["no", "one", "nine"]
    rough = [words.number(n) for n in (10, 20, 50, 100, 500)]
    assert len(set(rough)) == 5
    for seed in range(3):
        scene, view = view_of("dense_residential", seed)
        inside = [b for b in scene.buildings if 0 < b.x < 220 and 0 < b.y < 220]
        assert any(s.text.startswith(words.number(len(inside))) for s in view.sights)


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((0.95, 0.95, 0.95), "white"),
        ((0.5, 0.5, 0.5), "gray"),
        ((0.15, 0.22, 0.11), "dark green"),
        ((0.7, 0.38, 0.3), "red"),
        ((0.07, 0.16, 0.27), "dark blue"),
        ((0.75, 0.68, 0.55), "beige"),
    ],
)
def test_colors_have_the_names_that_people_give_them(rgb, name):
    assert words.color(rgb) == name


def test_what_is_said_is_drawn_by_the_generator_alone():
    _, view = view_of("river", 3)
    rngs = map(np.random.default_rng, (1, 1, 2, 3, 4, 5, 6, 7))
    said = [long_caption("a river", view.sights, rng) for rng in rngs]
    assert said[0] == said[1]
    assert len(set(said)) > 2
    assert long_caption("a river", (), np.random.default_rng(0)) == "a river"
    around = [sight.turned(quarter_turns=4, is_mirrored=False) for sight in view.sights]
    assert long_caption("a river", around, np.random.default_rng(1)) == said[0]


def test_looks_of_a_flat_image_name_its_color_and_no_direction():
    said = [look.said() for look in find_looks(np.full((64, 64, 3), 0.5))]
    assert "nearly all gray" in said
    assert "edges in all directions" in said
    assert "very even brightness" in said
    assert not any("brighter" in part for part in said)
