"""Intersection over union, against sets of pixels; what is nowhere says nothing."""

import math

import pytest
import torch

from course_utils.metrics import segmentation


def pixels(mask):
    return {tuple(place) for place in mask.nonzero().tolist()}


def test_a_masks_iou_is_that_of_its_sets_of_pixels():
    rng = torch.Generator().manual_seed(0)
    found, asked = (torch.rand(5, 6, 7, generator=rng) < 0.4 for _ in range(2))
    expected = [
        len(pixels(a) & pixels(b)) / len(pixels(a) | pixels(b))
        for a, b in zip(found, asked, strict=True)
    ]
    torch.testing.assert_close(segmentation.mask_iou(found, asked), torch.tensor(expected))


def test_equal_masks_have_1_apart_ones_0_and_two_empty_ones_nothing():
    mask = torch.zeros(3, 2, 2, dtype=torch.bool)
    mask[0] = True
    other = mask.clone()
    other[1, 0, 0] = True
    found = segmentation.mask_iou(mask, other)
    assert found[:2].tolist() == [1, 0]
    assert math.isnan(found[2])


def test_a_classes_iou_is_counted_over_all_images():
    rng = torch.Generator().manual_seed(1)
    found, asked = (torch.randint(3, (4, 5, 5), generator=rng) for _ in range(2))
    expected = [
        len(pixels(found == k) & pixels(asked == k)) / len(pixels(found == k) | pixels(asked == k))
        for k in range(3)
    ]
    shares = segmentation.class_iou(found.byte(), asked, num_classes=4)
    torch.testing.assert_close(shares[:3], torch.tensor(expected))
    assert math.isnan(shares[3])
    mean = segmentation.mean_iou(found, asked, num_classes=4)
    assert mean == pytest.approx(sum(expected) / 3)


def test_exchanging_the_maps_changes_nothing():
    rng = torch.Generator().manual_seed(2)
    found, asked = (torch.randint(3, (2, 5, 5), generator=rng) for _ in range(2))
    pair = [segmentation.class_iou(*p, num_classes=3) for p in ((found, asked), (asked, found))]
    torch.testing.assert_close(*pair)


@pytest.mark.parametrize("code", [-1, 3, 255])
def test_a_code_outside_the_classes_is_refused(code):
    found, asked = torch.zeros(1, 2, 2, dtype=torch.long), torch.zeros(1, 2, 2, dtype=torch.long)
    asked[0, 0, 0] = code
    with pytest.raises(ValueError, match=r"asked: expected codes from 0 to 2.*unknown"):
        segmentation.class_iou(found, asked, num_classes=3)


def test_two_sizes_and_codes_for_masks_are_refused():
    mask = torch.zeros(1, 2, 2, dtype=torch.bool)
    with pytest.raises(ValueError, match="of the same size"):
        segmentation.mask_iou(mask, mask[:, :1])
    with pytest.raises(ValueError, match=r"True and False.*ROAD"):
        segmentation.mask_iou(mask.byte(), mask)
