"""Painted maps: what was asked for is there, where it was asked for, and nothing else."""

import numpy as np
import pytest

from course_utils.control import SIDES, Block, Strip, paint_map
from course_utils.control.painting import strip_mask
from mini_earth import LAND_COVER

CODE = {name: code for code, name in enumerate(LAND_COVER)}
AT = {"north": (0, 32), "east": (32, 63), "south": (63, 32), "west": (32, 0)}  # row, column


def names(page: np.ndarray) -> set[str]:
    return {LAND_COVER[code] for code in np.unique(page)}


@pytest.mark.parametrize("base", LAND_COVER)
def test_a_map_of_nothing_is_its_ground(base):
    page = paint_map(base)
    assert (page.shape, page.dtype) == ((64, 64), np.uint8)
    assert names(page) == {base}


@pytest.mark.parametrize("width", [1, 2, 5, 8, 32])
def test_a_straight_road_is_as_wide_as_it_was_asked_to_be(width):
    page = paint_map("tree", road=Strip("west", "east", width=width))
    rows = (page == CODE["road"]).sum(axis=0)
    assert (rows == width + width % 2).all()  # an odd one has its edges in the middle of pixels
    assert (page == page[:, :1]).all()  # every column is the first
    assert np.array_equal(page, page[::-1])


@pytest.mark.parametrize("start", SIDES)
@pytest.mark.parametrize("end", SIDES)
@pytest.mark.parametrize("bend", [-1.0, 0.0, 0.4])
def test_a_strip_touches_the_sides_that_it_is_told_and_is_one_piece(start, end, bend):
    from skimage.measure import label

    if start == end:
        return
    page = paint_map(road=Strip(start, end, width=4, bend=bend)) == CODE["road"]
    assert page[AT[start]]
    assert page[AT[end]]
    if abs(bend) < 1:  # a wide bend may leave the map and come back
        assert label(page, connectivity=2).max() == 1


def test_a_strip_is_the_same_from_either_end_with_its_bend_turned_round():
    there = strip_mask(Strip("west", "south", width=6, bend=0.3), 64)
    back = strip_mask(Strip("south", "west", width=6, bend=-0.3), 64)
    assert np.array_equal(there, back)


def test_a_bend_pushes_the_middle_to_the_left_of_who_walks():
    east = paint_map(road=Strip("west", "east", width=3, bend=0.5))
    rows, columns = np.nonzero(east == CODE["road"])
    assert rows[abs(columns - 32) < 2].mean() == pytest.approx(32 - 0.25 * 64, abs=1.5)


def test_the_distance_to_a_straight_line_decides_what_is_road():
    there = strip_mask(Strip("north", "east", width=7), 64)
    y, x = np.mgrid[:64, :64] + 0.5
    far = np.abs(x - 32 - y) / np.sqrt(2)  # of the line through (32, 0) and (64, 32)
    assert (there[far < 3.4]).all()
    assert not there[far > 3.6].any()


def test_the_road_bridges_the_river_and_houses_give_way_to_both():
    road, river = Strip("west", "east", width=5), Strip("north", "south", width=9)
    page = paint_map("tree", river=river, road=road, block=Block(0.5, 0.5, num=6))
    on_road, on_river = strip_mask(road, 64), strip_mask(river, 64)
    assert (page[on_road] == CODE["road"]).all()
    assert (page[on_river & ~on_road] == CODE["water"]).all()
    houses = page == CODE["building"]
    assert houses.any()
    assert not (houses & (on_road | on_river)).any()
    assert houses.sum() % 25 == 0  # whole houses only


@pytest.mark.parametrize("num", [1, 2, 3, 4, 5, 6])
def test_a_block_has_as_many_houses_as_it_was_asked_to_have(num):
    page = paint_map("agriculture", block=Block(0.5, 0.5, num=num))
    assert (page == CODE["building"]).sum() == 25 * num**2
    assert names(page) == {"agriculture", "rangeland", "building"}


@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_a_block_in_a_corner_is_cut_by_the_map(x, y):
    page = paint_map("water", block=Block(x, y, num=3))
    share = (page != CODE["water"]).mean()
    assert 0 < share < 0.1
    assert (page == CODE["building"]).sum() % 25 == 0


@pytest.mark.parametrize("size", [16, 48, 65, 256])
def test_maps_have_the_size_that_is_asked_for(size):
    page = paint_map(road=Strip(width=3), block=Block(), size=size)
    assert page.shape == (size, size)
    assert "road" in names(page)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Strip("up", "east"), "expected one of north, east, south, west, got 'up'"),
        (lambda: Strip("east", "east"), "by another side"),
        (lambda: Strip(width=0.5), "1 pixel or more"),
        (lambda: Strip(width=float("nan")), "1 pixel or more"),
        (lambda: Strip(bend=1.5), "bend: expected -1 to 1"),
        (lambda: Block(x=1.2), "place: expected shares"),
        (lambda: Block(num=0), "1 to 6 houses"),
        (lambda: Block(num=7), "1 to 6 houses"),
        (lambda: paint_map("lava"), "base: expected one of bareland, .* got 'lava'"),
        (lambda: paint_map(size=8), "16 pixels or more"),
        (lambda: paint_map(road=Strip(width=33)), "at most 32 pixels on a map of 64"),
    ],
)
def test_what_cannot_be_painted_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
