"""What the procedural world says of a scene is what it shows: sun, maps, outlines, captions."""

import datetime
from dataclasses import replace

import numpy as np
import pytest
from shapely import Polygon

import mini_earth
from mini_earth.camera import cast_shadows, illuminate, moment_of, season_of, sun_position
from mini_earth.ground import paint_ground
from mini_earth.shapes import Frame

CODES = {name: code for code, name in enumerate(mini_earth.LAND_COVER)}
SHARP = "temperate_airborne"


@pytest.mark.parametrize(
    ("latitude", "day", "elevation"),
    [
        (0.0, 81, 90.0),
        (23.44, 172, 90.0),
        (51.5, 172, 61.94),
        (51.5, 355, 15.06),
        (-33.9, 355, 79.54),
    ],
)
def test_the_noon_sun_stands_at_90_degrees_less_the_distance_to_its_latitude(
    latitude, day, elevation
):
    assert sun_position(latitude, day, hour=12.0)[1] == pytest.approx(elevation, abs=0.6)


def test_the_morning_sun_is_in_the_east_and_the_noon_sun_of_the_north_in_the_south():
    assert 45 < sun_position(40.0, 172, hour=8.0)[0] < 135
    assert sun_position(40.0, 172, hour=12.0)[0] == pytest.approx(180.0, abs=0.5)
    assert sun_position(-40.0, 172, hour=12.0)[0] % 360 == pytest.approx(0.0, abs=0.5)


def test_seasons_are_half_a_year_apart_south_of_the_equator():
    assert [season_of(day, 45.0) for day in (15, 105, 196, 288)] == [
        "winter",
        "spring",
        "summer",
        "autumn",
    ]
    assert [season_of(day, -35.0) for day in (15, 196)] == ["summer", "winter"]


def test_a_shadow_is_as_long_as_height_and_sun_say():
    height = np.zeros((60, 60), np.float32)
    height[20:24, 20:24] = 8.0
    dark = cast_shadows(height, np.array([1.5, 0.0]))  # 12 pixels to the right
    columns = np.flatnonzero(dark[21])
    assert columns.min() == 24
    assert columns.max() == pytest.approx(23 + 12, abs=1)
    assert not dark[:19].any()
    assert not dark[25:].any()


def test_a_bent_frame_turns_back_what_it_turned():
    frame = Frame(30.0, -20.0, 0.7, bend=12.0, bend_length=150.0)
    u, v = np.linspace(-200, 200, 50), np.linspace(90, -70, 50)
    back = frame.to_local(*frame.to_world(u, v))
    assert np.allclose(back, (u, v), atol=1e-3)
    step = 1e-3
    (x0, y0), (x1, y1) = frame.to_world(u, v), frame.to_world(u + step, v)
    assert np.allclose(np.arctan2(y1 - y0, x1 - x0), frame.heading(u), atol=1e-3)


def test_the_center_of_every_outlined_building_is_building_in_the_land_cover():
    scene = mini_earth.make_scene("medium_residential", SHARP, seed=5, extent=200.0)
    view = mini_earth.render(scene, size=400)
    hits = []
    for footprint in mini_earth.outlines(scene, size=400, post=False):
        center = Polygon(footprint.points).representative_point()
        if 0 <= center.x < 400 and 0 <= center.y < 400:
            hits.append(view.land_cover[int(center.y), int(center.x)] == CODES["building"])
    assert len(hits) > 10
    assert np.mean(hits) > 0.9


def test_roads_and_edges_come_from_the_land_cover():
    scene = mini_earth.make_scene("dense_residential", SHARP, seed=2, extent=150.0)
    view = mini_earth.render(scene, size=128)
    roads, edges = mini_earth.road_map(view), mini_earth.edge_map(view)
    assert 0.03 < roads.mean() < 0.5
    assert set(np.unique(edges)) == {0, 1}
    row, column = np.argwhere(edges[:-1, :-1] == 1)[0]
    here = view.land_cover[row, column]
    assert here != view.land_cover[row, column + 1] or here != view.land_cover[row + 1, column]


def test_outlines_are_those_of_the_view_before_and_damage_that_of_the_view_after():
    scene = mini_earth.disaster_scene("wind", SHARP, seed=3)
    before = mini_earth.outlines(scene, size=256, post=False)
    after = mini_earth.outlines(scene, size=256, post=True)
    assert len(before) == len(after) == len(scene.buildings)
    for one, other in zip(before, after, strict=True):
        assert np.array_equal(one.points, other.points)
    assert {footprint.damage for footprint in before} == {1}
    assert [f.damage for f in after] == [building.damage for building in scene.buildings]
    assert all(Polygon(footprint.points).is_valid for footprint in after)


def test_a_taller_house_makes_more_shadow():
    scene = mini_earth.make_scene("industrial_area", SHARP, seed=1, extent=120.0)
    low = replace(scene, buildings=tuple(replace(b, height=2.0) for b in scene.buildings))
    high = replace(scene, buildings=tuple(replace(b, height=20.0) for b in scene.buildings))
    dark = [(mini_earth.render(s, size=128).image.mean(2) < 60).mean() for s in (low, high)]
    assert dark[1] > dark[0]


def _moment(**changes):
    scene = mini_earth.make_scene("meadow", SHARP, seed=1)
    return replace(moment_of(scene, post=False), **changes)


def test_shadows_fall_away_from_the_sun_and_grow_as_it_sinks():
    east, south = _moment(sun_azimuth=180.0, sun_elevation=45.0).shadow()
    assert east == pytest.approx(0.0, abs=1e-9)
    assert south == pytest.approx(-1.0)  # the sun in the south: one meter to the north
    east, south = _moment(sun_azimuth=90.0, sun_elevation=60.0).shadow()
    assert east == pytest.approx(-np.tan(np.radians(30)))
    assert south == pytest.approx(0.0, abs=1e-9)


def test_houses_lean_away_from_the_camera():
    east, south = _moment(view_azimuth=90.0, off_nadir=45.0).lean()
    assert east == pytest.approx(-1.0)
    assert south == pytest.approx(0.0, abs=1e-9)
    assert not _moment(off_nadir=0.0).lean().any()


def test_a_slope_toward_the_sun_is_brighter_than_one_away_from_it():
    scene = mini_earth.make_scene("desert", SHARP, seed=1, extent=64.0)
    moment = _moment(sun_azimuth=90.0, sun_elevation=45.0)  # in the east
    surface = paint_ground(scene, 64, moment)
    surface.albedo = np.full((64, 64, 3), 0.5, np.float32)
    ridge = 20.0 - np.abs(np.arange(64, dtype=np.float32) - 32.0) * 0.5
    surface.relief = np.broadcast_to(ridge, (64, 64)).astype(np.float32)
    light = illuminate(surface, moment)
    assert light[:, 40:60].mean() > light[:, 4:24].mean() + 0.1  # falls to the east: faces it


def test_damage_is_worse_where_the_hazard_is_closer():
    """Meters to the path, the front, the water, the vent, the fault: thirds by distance."""

    def distance(hazard, x, y):
        u, v = hazard.frame.to_local(x, y)
        if hazard.kind == "wind":
            return np.abs(v)
        if hazard.kind == "wildfire":
            return -v
        if hazard.kind == "volcano":
            return -hazard.lava(x, y) if hazard.strength >= 0.82 else np.hypot(u, v)
        if hazard.kind == "earthquake":
            return u
        away = np.abs(v) if hazard.water is None else -hazard.water.depth(x, y)
        return away

    for disaster in mini_earth.DISASTERS:
        ranks, levels = [], []
        for seed in range(60):
            scene = mini_earth.disaster_scene(disaster, SHARP, seed=seed)
            at = (np.float32([getattr(b, axis) for b in scene.buildings]) for axis in "xy")
            away = distance(scene.hazard, *at)
            ranks += (away.argsort().argsort() / len(away)).tolist()
            levels += [building.damage for building in scene.buildings]
        ranks, levels = np.array(ranks), np.array(levels)
        near, far = levels[ranks < 1 / 3].mean(), levels[ranks > 2 / 3].mean()
        assert near > far + 0.1, (disaster, near, far)


def test_scenes_of_one_look_share_date_and_light_and_differ_in_place():
    first, second = (
        mini_earth.make_scene(
            "forest", SHARP, seed=seed, look=77, date=datetime.date(2018, 6, 1), place=(8.0, 49.0)
        )
        for seed in (1, 2)
    )
    assert moment_of(first, post=False).date == moment_of(second, post=False).date
    a, b = mini_earth.render(first), mini_earth.render(second)
    assert a.metadata == b.metadata
    assert not np.array_equal(a.image, b.image)


def test_the_view_after_is_taken_after_the_event_and_the_one_before_before():
    date = datetime.date(2018, 9, 28)
    scene = mini_earth.make_scene(
        "dense_residential", SHARP, seed=4, disaster="tsunami", place=(119.9, -0.9), date=date
    )
    before, after = (mini_earth.render(scene, post=post).metadata for post in (False, True))
    assert before.date < date < after.date
    assert (after.longitude, after.latitude) == (119.9, -0.9)
    assert after.meters_per_pixel == pytest.approx(130 / 64)
    assert 0 <= after.cloud_share <= 1


def test_captions_come_in_several_phrasings_and_in_chinese():
    view = mini_earth.render(mini_earth.disaster_scene("wildfire", SHARP, seed=1))
    assert len(view.captions) >= 3
    assert view.caption == view.captions[0]
    assert all(any("\u4e00" <= sign <= "\u9fff" for sign in said) for said in view.captions_zh)
    every = [
        mini_earth.render(mini_earth.make_scene(name, "arid_satellite", seed=seed), size=16)
        for name in mini_earth.SCENE_CLASSES
        for seed in range(4)
    ]
    said = [caption for view in every for caption in view.captions]
    assert not any("a arid" in caption or "  " in caption for caption in said)
    assert any("an arid region" in caption for caption in said)


def _covers(scene, *, post):
    return mini_earth.render(scene, size=128, post=post).land_cover


def test_a_flood_puts_water_where_there_was_land():
    gains = []
    for seed in range(6):
        scene = mini_earth.disaster_scene("flooding", SHARP, seed=seed)
        before, after = (_covers(scene, post=post) == CODES["water"] for post in (False, True))
        gains.append(after.mean() - before.mean())
    assert min(gains) > 0.0
    assert np.mean(gains) > 0.15


def test_a_fire_burns_what_grows_and_spares_the_road():
    for seed in range(4):
        scene = mini_earth.disaster_scene("wildfire", SHARP, seed=seed)
        before, after = (_covers(scene, post=post) for post in (False, True))
        grew = np.isin(before, (CODES["tree"], CODES["rangeland"]))
        assert (after[grew] == CODES["bareland"]).mean() > 0.1
        road = before == CODES["road"]
        assert (after[road] == CODES["bareland"]).mean() < 0.05


def test_lava_destroys_what_it_covers_and_ash_alone_destroys_nothing():
    covered, spared = [], []
    for seed in range(40):
        scene = mini_earth.disaster_scene("volcano", SHARP, seed=seed)
        for building in scene.buildings:
            at = np.float32([building.x]), np.float32([building.y])
            (covered if scene.hazard.lava(*at)[0] > 0 else spared).append(building.damage)
    assert set(covered) == {4}
    assert 4 not in spared
    assert len(spared) > 100


def test_an_earthquake_leaves_the_ground_as_it_was():
    scene = mini_earth.disaster_scene("earthquake", SHARP, seed=5)
    before, after = (_covers(scene, post=post) for post in (False, True))
    calm = (before != CODES["building"]) & (after != CODES["building"])
    calm &= (before != CODES["tree"]) & (after != CODES["tree"])
    assert (before[calm] == after[calm]).mean() > 0.9


def test_weaker_structures_suffer_more_from_the_disaster_they_are_weak_against():
    def mean_damage(disaster, structure):
        levels = [
            building.damage
            for seed in range(40)
            for building in mini_earth.disaster_scene(disaster, SHARP, seed=seed).buildings
            if building.structure == structure
        ]
        return np.mean(levels)

    assert mean_damage("wind", "wood") > mean_damage("wind", "concrete")
    assert mean_damage("earthquake", "masonry") > mean_damage("earthquake", "wood")
