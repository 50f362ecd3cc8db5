"""Maps on 18 channels: their order, what is missing, and what nobody may tell a ControlNet."""

import numpy as np
import pytest
import torch

from course_utils import control

PAGE = np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4)
IMAGE = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
COVER = np.random.default_rng(1).integers(0, 8, (32, 32), dtype=np.uint8)


@pytest.mark.parametrize("name", [n for n in control.CONDITIONS if n != "segmentation"])
def test_a_map_lies_on_its_own_three_channels_and_all_others_are_zero(name):
    stack = control.stack_conditions({name: PAGE})
    first = 3 * ("lines", "edges", "sketch", "road", "depth", "segmentation").index(name)
    for channel in range(18):
        expected = PAGE if first <= channel < first + 3 else np.zeros((4, 4))
        np.testing.assert_array_equal(stack[channel], expected)


def test_a_segmentation_is_told_in_colors():
    colors = control.color_cover(torch.from_numpy(COVER))
    assert torch.equal(control.stack_conditions({"segmentation": colors})[15:], colors)
    with pytest.raises(ValueError, match=r"segmentation: expected 3 x height x width.*color_cover"):
        control.stack_conditions({"segmentation": COVER / 8})


def test_an_unknown_name_is_refused_with_those_that_are_known():
    with pytest.raises(ValueError, match=r"names of lines, edges.*got \['roads'\]"):
        control.stack_conditions({"roads": PAGE})


@pytest.mark.parametrize("wrong", [255 * PAGE, PAGE - 0.5, np.full((4, 4), np.nan)])
def test_values_outside_0_to_1_are_refused(wrong):
    with pytest.raises(ValueError, match=r"road: expected values from 0 to 1, got .*255"):
        control.stack_conditions({"road": wrong})


def test_maps_of_two_sizes_are_refused_and_resized_only_when_asked():
    maps = {"road": PAGE, "edges": np.ones((8, 8))}
    with pytest.raises(ValueError, match=r"one size.*\(4, 4\).*size="):
        control.stack_conditions(maps)
    stack = control.stack_conditions(maps, size=2)
    assert stack.shape == (18, 2, 2)
    quarters = [PAGE[r : r + 2, c : c + 2].mean() for r in (0, 2) for c in (0, 2)]
    torch.testing.assert_close(stack[9].flatten(), torch.tensor(quarters))


def test_no_map_needs_a_size_and_is_zeros():
    assert not control.stack_conditions({}, size=8).any()
    with pytest.raises(ValueError, match="at least one, or size"):
        control.stack_conditions({})


def test_a_map_that_is_zero_everywhere_is_said():
    with pytest.warns(UserWarning, match="road is zero everywhere"):
        control.stack_conditions({"road": np.zeros((4, 4))})


def test_a_mask_of_true_and_false_is_a_map():
    assert control.stack_conditions({"road": PAGE > 0.5})[9].sum() == 8


def test_all_maps_of_an_image_fit_together():
    heights = np.full((32, 32), 100)
    maps = control.conditions_of(IMAGE, COVER, heights=heights)
    assert set(maps) == set(control.CONDITIONS)
    np.testing.assert_array_equal(maps["road"], COVER == 3)
    assert (maps["depth"] == 1).all()
    assert control.stack_conditions(maps).shape == (18, 32, 32)


def test_without_land_cover_there_are_lines_and_edges_only():
    assert set(control.conditions_of(IMAGE)) == {"lines", "edges"}


@pytest.mark.parametrize("cover", [COVER[:16], COVER / 8, np.where(COVER == 3, 255, COVER)])
def test_land_cover_of_another_size_or_kind_is_refused(cover):
    with pytest.raises(ValueError, match="land_cover: expected codes"):
        control.conditions_of(IMAGE, cover)


def test_an_image_that_is_no_bytes_is_refused():
    with pytest.raises(ValueError, match=r"image: expected bytes.*float64"):
        control.conditions_of(IMAGE / 255)
