"""Moves, colors, noise and boxes against torchvision, and what must hold for each augmentation."""

import dataclasses
import math

import jaxtyping
import numpy as np
import pytest
import shapely
import torch
from jaxtyping import TypeCheckError
from scipy import stats
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from course_utils import augment
from course_utils.augment import Batch
from course_utils.augment.color_noise import Noise
from course_utils.augment.geometry import Affine, about_center, shift, stretch, then, turn, warp
from course_utils.augment.mixing import box_masks

IMAGE_BY_IMAGE = [
    augment.Rotate(),
    augment.Rotate(padding="reflection"),
    augment.QuarterTurn(),
    augment.Flip(),
    augment.Scale(),
    augment.Translate(),
    augment.RandomResizedCrop(),
    augment.RandomResizedCrop(size=40),
    augment.Brightness(),
    augment.Contrast(),
    augment.Saturation(),
    augment.Hue(),
    augment.GaussianNoise(),
    augment.Speckle(),
    augment.SaltAndPepper(),
    augment.Cutout(),
]
MIXING = [augment.Mixup(), augment.CutMix(), augment.CopyPaste()]
ALL = [*IMAGE_BY_IMAGE, *MIXING, augment.Compose((*IMAGE_BY_IMAGE, augment.CutMix()))]


def named(augmentations):
    return pytest.mark.parametrize("augmentation", augmentations, ids=lambda a: type(a).__name__)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def some_images(num=5, height=24, width=24, *, channels=3, seed=0):
    """Random pixels, with gray ones and ones of two equal channels among them."""
    images = torch.rand(num, channels, height, width, generator=generator(seed))
    images[:, :, 0] = images[:, :1, 0]  # gray
    if channels == 3:
        images[:, 1, 1] = images[:, 0, 1]
        images[:, 2, 2] = images[:, 1, 2]
        images[:, 2, 3] = images[:, 0, 3]
    images[:, :, 4, :3] = torch.tensor([0.0, 1.0, 0.5])
    return images


def some_batch(num=5, height=24, width=24, **settings):
    masks = torch.randint(0, 5, (num, height, width), generator=generator(9))
    targets = augment.targets_from_labels([i % 3 for i in range(num)], num_classes=3)
    return Batch(some_images(num, height, width, **settings), masks=masks, targets=targets)


def for_(augmentation, batch):
    """Leave out the parts that an augmentation refuses."""
    if isinstance(augmentation, augment.Mixup):
        return dataclasses.replace(batch, masks=None)
    return batch


def tensors_of(value):
    """Find all tensors in a batch or in what was drawn."""
    if isinstance(value, torch.Tensor):
        return [value]
    if dataclasses.is_dataclass(value):
        value = [getattr(value, field.name) for field in dataclasses.fields(value)]
    return (
        [t for part in value for t in tensors_of(part)] if isinstance(value, list | tuple) else []
    )


def only(params, i):
    """Take what was drawn for one image."""
    if isinstance(params, torch.Tensor):
        return params[i : i + 1]
    parts = {field.name: getattr(params, field.name) for field in dataclasses.fields(params)}
    return dataclasses.replace(
        params, **{n: only(p, i) for n, p in parts.items() if isinstance(p, torch.Tensor)}
    )


def assert_equal_batches(first, second, **tolerance):
    for one, other in zip(tensors_of(first), tensors_of(second), strict=True):
        torch.testing.assert_close(one, other, **tolerance)


@pytest.fixture
def no_hook(monkeypatch):
    """Run as learners do: nobody checks the annotations, so the package must."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


# what holds for every augmentation (conftest watches the global random state)


@named(ALL)
def test_the_same_generator_draws_the_same_and_another_one_does_not(augmentation):
    first, again, other = (
        tensors_of(augmentation.draw(6, 24, 24, generator(seed))) for seed in (1, 1, 2)
    )
    assert all(map(torch.equal, first, again))
    assert not all(map(torch.equal, first, other))


@named(ALL)
def test_apply_is_pure_and_keeps_types(augmentation):
    batch = for_(augmentation, some_batch())
    before = [t.clone() for t in tensors_of(batch)]
    params = augmentation.draw(5, 24, 24, generator())
    drawn = [t.clone() for t in tensors_of(params)]
    once, twice = augmentation.apply(batch, params), augmentation.apply(batch, params)
    assert_equal_batches(once, twice, rtol=0, atol=0)
    assert all(map(torch.equal, before, tensors_of(batch)))
    assert all(map(torch.equal, drawn, tensors_of(params)))
    assert once.images.dtype == torch.float32
    assert isinstance(augmentation, augment.Augmentation)


@named(ALL)
def test_augment_batch_draws_and_applies(augmentation):
    batch = for_(augmentation, some_batch())
    at_once = augment.augment_batch(batch, augmentation, generator=generator(3))
    by_hand = augmentation.apply(batch, augmentation.draw(5, 24, 24, generator(3)))
    assert_equal_batches(at_once, by_hand, rtol=0, atol=0)


@named(IMAGE_BY_IMAGE)
def test_a_batch_is_as_many_batches_of_one(augmentation):
    batch = some_batch()
    params = augmentation.draw(5, 24, 24, generator())
    whole = augmentation.apply(batch, params)
    for i in range(5):
        alone = augmentation.apply(batch[i : i + 1], only(params, i))
        torch.testing.assert_close(alone.images[0], whole.images[i], rtol=0, atol=1e-5)
        assert torch.equal(alone.masks[0], whole.masks[i])
        assert torch.equal(alone.targets[0], whole.targets[i])


@named(IMAGE_BY_IMAGE)
def test_images_differ_in_what_was_drawn_for_them(augmentation):
    assert any(len(set(map(str, t.flatten(1).tolist()))) > 1 for t in _rows(augmentation))


def _rows(augmentation):
    return [t.reshape(len(t), -1) for t in tensors_of(augmentation.draw(16, 24, 24, generator()))]


@pytest.mark.parametrize(
    "augmentation",
    [
        augment.Rotate((0, 0)),
        augment.QuarterTurn((0, 4)),
        augment.Flip(0, 0),
        augment.Scale((1, 1)),
        augment.Translate((0, 0)),
        augment.RandomResizedCrop((1, 1), (1, 1)),
        augment.Brightness((1, 1)),
        augment.Contrast((1, 1)),
        augment.Saturation((1, 1)),
        augment.GaussianNoise((0, 0)),
        augment.Speckle((0, 0)),
        augment.SaltAndPepper((0, 0)),
        augment.Cutout((0, 0)),
        augment.CopyPaste(0),
        augment.Compose(()),
    ],
    ids=lambda a: type(a).__name__,
)
def test_settings_that_change_nothing_change_nothing(augmentation):
    square = shapely.box(3, 4, 9, 8)
    batch = dataclasses.replace(some_batch(), polygons=[[square]] * 5)
    same = augment.augment_batch(batch, augmentation, generator=generator())
    assert_equal_batches(same, batch, rtol=0, atol=0)
    assert all(len(found) == 1 and found[0].equals(square) for found in same.polygons)


def test_a_slice_of_a_batch_has_all_that_is_theirs():
    batch = dataclasses.replace(
        some_batch(), polygons=[[shapely.box(i, 0, 9, 9)] for i in range(5)]
    )
    some = batch[1:3]
    assert (len(some), len(batch)) == (2, 5)
    assert torch.equal(some.images, batch.images[1:3])
    assert torch.equal(some.masks, batch.masks[1:3])
    assert torch.equal(some.targets, batch.targets[1:3])
    assert some.polygons == batch.polygons[1:3]
    assert Batch(batch.images)[1:].masks is None
    with pytest.raises(ValueError, match=r"one or more"):
        batch[5:]


# moves


def moved(images, matrix, *, size=None, padding="zeros"):
    """Move images and masks alike by one matrix."""
    source = tuple(images.shape[2:])
    matrix = matrix.expand(len(images), 3, 3)
    masks = (images[:, 0] * 255).long()
    return warp(Batch(images, masks=masks), Affine(matrix, source, size or source, padding))


def assert_moved_as(result, images, operation, *, at_least):
    """Compare with torchvision where all four neighbors are inside; it blends the rest with 0."""
    inside = operation(torch.ones_like(images), InterpolationMode.BILINEAR) > 1 - 1e-4
    assert inside.float().mean() > at_least
    expected = operation(images, InterpolationMode.BILINEAR)
    # positions are rounded to float32 in another order: 1e-6 of the frame, times the contrast
    torch.testing.assert_close(result.images[inside], expected[inside], rtol=0, atol=1e-4)
    masks = (images[:, 0] * 255).long()
    assert torch.equal(result.masks, operation(masks, InterpolationMode.NEAREST))


@pytest.mark.parametrize("degrees", [17.3, -33.5, 118.0, 200.5])
@pytest.mark.parametrize("size", [(24, 24), (20, 33)])
def test_rotation_is_that_of_torchvision(degrees, size):
    images = some_images(2, *size)
    result = moved(images, about_center(turn(degrees), *size).matrix)
    assert_moved_as(result, images, lambda x, mode: tv.rotate(x, degrees, mode), at_least=0.4)


@pytest.mark.parametrize("factor", [0.63, 0.87, 1.31, 2.2])
def test_scaling_is_that_of_torchvision(factor):
    images = some_images(2, 20, 33)
    result = moved(images, about_center(stretch(factor, factor), 20, 33).matrix)
    assert_moved_as(
        result,
        images,
        lambda x, mode: tv.affine(x, 0.0, [0, 0], factor, [0.0, 0.0], interpolation=mode),
        at_least=0.3,
    )


@pytest.mark.parametrize(("x", "y"), [(3, 0), (-2, 5), (0, -7), (40, 0)])
def test_translation_is_that_of_torchvision(x, y):
    images = some_images(2, 20, 33)
    expected = tv.affine(images, 0.0, [x, y], 1.0, [0.0, 0.0])
    torch.testing.assert_close(moved(images, shift(x, y)).images, expected, rtol=0, atol=0)


@pytest.mark.parametrize("turns", [0, 1, 2, 3, -1, 5])
def test_quarter_turns_are_exact_and_counter_clockwise(turns):
    batch = some_batch()
    for augmentation in (augment.QuarterTurn((turns,)), augment.Rotate((90 * turns, 90 * turns))):
        turned = augment.augment_batch(batch, augmentation, generator=generator())
        assert torch.equal(turned.images, batch.images.rot90(turns, (2, 3)))
        assert torch.equal(turned.masks, batch.masks.rot90(turns, (1, 2)))
        assert torch.equal(turned.images, tv.rotate(batch.images, 90.0 * turns))


def test_four_quarter_turns_are_the_identity():
    batch = turned = some_batch()
    for _ in range(4):
        turned = augment.augment_batch(turned, augment.QuarterTurn((1,)), generator=generator())
    assert_equal_batches(turned, batch, rtol=0, atol=0)


def test_flips_are_those_of_torchvision_and_two_are_none():
    batch = some_batch(height=20, width=33)
    for flip, expected in (
        (augment.Flip(1, 0), tv.horizontal_flip),
        (augment.Flip(0, 1), tv.vertical_flip),
    ):
        flipped = augment.augment_batch(batch, flip, generator=generator())
        assert torch.equal(flipped.images, expected(batch.images))
        assert torch.equal(flipped.masks, expected(batch.masks))
        back = augment.augment_batch(flipped, flip, generator=generator())
        assert_equal_batches(back, batch, rtol=0, atol=0)


def test_a_crop_at_whole_pixels_is_that_of_torchvision():
    batch = some_batch(height=20, width=33)
    corners = [(0, 0), (17, 4), (5, 3), (1, 4), (16, 0)]  # left, top
    left, top = torch.tensor(corners).T
    crop = Affine(shift(-left, -top), (20, 33), (16, 16))
    assert crop.is_lossless
    cropped = warp(batch, crop)
    for i, (left, top) in enumerate(corners):
        assert torch.equal(cropped.images[i], tv.crop(batch.images[i], top, left, 16, 16))
        assert torch.equal(cropped.masks[i], tv.crop(batch.masks[i], top, left, 16, 16))


@pytest.mark.parametrize("size", [(8, 8), (10, 6), (24, 24), (30, 21)])
def test_a_resized_crop_is_that_of_torchvision(size):
    images = some_images(2)
    top, left, height, width = 3, 5, 12, 15
    matrix = stretch(size[1] / width, size[0] / height) @ shift(-left, -top)
    result = moved(images, matrix, size=size).images
    expected = tv.resized_crop(images, top, left, height, width, list(size), antialias=False)
    # torchvision does not look beyond the crop: enlarged, its outermost pixels are other blends
    rows, columns = (
        math.ceil(new / old / 2) if new > old else 0
        for new, old in zip(size, (height, width), strict=True)
    )
    inner = (..., slice(rows, size[0] - rows), slice(columns, size[1] - columns))
    torch.testing.assert_close(result[inner], expected[inner], rtol=0, atol=1e-5)


def test_an_enlarged_image_goes_on_as_its_outermost_pixel():
    images = some_images(2)
    result = moved(images, stretch(2, 3), size=(72, 48)).images
    expected = tv.resize(images, [72, 48], antialias=False)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-5)


def test_what_comes_from_outside_is_zero_or_mirrored():
    images = some_images(2)
    black, mirrored = (
        moved(images, shift(-5, 3), padding=padding) for padding in ("zeros", "reflection")
    )
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (3, 0), (0, 5)), mode="symmetric")
    expected = torch.from_numpy(padded[:, :, :24, 5:])
    assert torch.equal(mirrored.images, expected)
    assert torch.equal(mirrored.masks, (expected[:, 0] * 255).long())
    expected[:, :, :3] = expected[:, :, :, -5:] = 0
    assert torch.equal(black.images, expected)
    assert torch.equal(black.masks, (expected[:, 0] * 255).long())


def test_masks_of_all_whole_numbers_keep_type_and_value():
    for dtype, largest in ((torch.uint8, 255), (torch.int16, -3), (torch.int64, 2**40 + 1)):
        masks = torch.full((1, 8, 8), largest, dtype=dtype)
        batch = Batch(torch.zeros(1, 1, 8, 8), masks=masks)
        result = augment.augment_batch(batch, augment.Rotate((30, 30)), generator=generator())
        assert result.masks.dtype == dtype
        assert set(result.masks.unique().tolist()) == {0, largest}


def test_polygons_and_masks_move_with_the_image():
    """Up to one pixel from an outline: a mask takes the pixel whose center is nearest."""
    shapes = [
        shapely.Polygon([(4, 5), (30, 8), (22, 20), (9, 31)]),
        shapely.Polygon([(34, 30), (45, 33), (38, 46)], [[(37, 33), (41, 34), (38, 40)]]),
    ]
    drawn = augment.rasterize(tuple(shapes), height=48, width=48)
    batch = Batch(
        drawn.float().expand(4, 3, 48, 48),
        masks=drawn.long().expand(4, 48, 48),
        polygons=[shapes] * 4,
    )
    for augmentation in IMAGE_BY_IMAGE[:1] + IMAGE_BY_IMAGE[2:8]:
        result = augment.augment_batch(batch, augmentation, generator=generator(4))
        height, width = result.size
        is_exact = augmentation.draw(4, 48, 48, generator(4)).is_lossless
        for image, mask, found in zip(result.images, result.masks, result.polygons, strict=True):
            again = augment.rasterize(found, height=height, width=width)
            lines = shapely.union_all([shape.boundary for shape in found])
            y, x = np.indices((height, width)) + 0.5
            near = torch.from_numpy(shapely.distance(shapely.points(x, y), lines) <= 1)
            differ = again != mask.bool()
            assert not differ.any() if is_exact else not (differ & ~near).any()
            differ = again != (image[0] > 0.5)
            assert not differ.any() if is_exact else not (differ & ~near).any()
            assert again.any()


def test_areas_of_polygons_follow_the_move_and_the_frame():
    square = shapely.box(8, 8, 16, 16)
    batch = Batch(torch.zeros(1, 1, 24, 24), polygons=[[square]])

    def after(augmentation):
        (found,) = augment.augment_batch(batch, augmentation, generator=generator()).polygons
        return [shape.area for shape in found]

    assert after(augment.Rotate((33, 33))) == pytest.approx([64])
    assert after(augment.Scale((1.5, 1.5))) == pytest.approx([144])
    assert after(augment.Translate((0.5, 0.5))) == pytest.approx([16])  # 12 px: a quarter is left
    assert after(augment.Translate((0.9, 0.9))) == []


def test_a_polygon_that_crosses_itself_or_is_cut_in_two_stays_usable():
    bow_tie = shapely.Polygon([(2, 2), (10, 10), (10, 2), (2, 10)])
    fork = shapely.Polygon([(0, 0), (24, 0), (24, 4), (2, 4), (2, 8), (24, 8), (24, 12), (0, 12)])
    batch = Batch(torch.zeros(1, 1, 24, 24), polygons=[[bow_tie, fork]])
    (found,) = augment.augment_batch(
        batch, augment.Translate((-0.25, -0.25)), generator=generator()
    ).polygons
    assert all(shape.is_valid for shape in found)
    assert [shape.geom_type for shape in found] == ["Polygon", "Polygon"]
    (found,) = augment.augment_batch(
        dataclasses.replace(batch, polygons=[[shapely.affinity.translate(fork, 0, 6)]]),
        augment.Translate((-0.25, -0.25)),
        generator=generator(),
    ).polygons
    assert [shape.geom_type for shape in found] == ["MultiPolygon"]
    assert found[0].area == pytest.approx(18 * 8)


def test_a_drawn_box_keeps_area_shape_and_place():
    augmentation = augment.RandomResizedCrop((0.3, 0.5), (0.8, 1.25))
    params = augmentation.draw(2000, 40, 60, generator())
    left_top = (torch.linalg.inv(params.matrix) @ torch.tensor([0.0, 0.0, 1.0]).double())[:, :2]
    right_bottom = torch.linalg.inv(params.matrix) @ torch.tensor([60.0, 40.0, 1.0]).double()
    right_bottom = right_bottom[:, :2]
    assert left_top.min() >= -1e-4
    assert (right_bottom <= torch.tensor([60.0, 40.0]).double() + 1e-4).all()
    width, height = (right_bottom - left_top).unbind(1)
    share, aspect = width * height / 2400, width / height
    assert share.max() <= 0.5 + 1e-6
    assert share.min() >= 0.3 - 1e-6
    uniform = stats.kstest(share.numpy(), stats.uniform(0.3, 0.2).cdf)
    assert uniform.pvalue > 1e-3
    assert aspect.min() >= 0.8 - 1e-5
    assert aspect.max() <= 1.25 + 1e-5
    assert abs(aspect.log().mean()) < 0.01
    place = left_top[:, 0] / (60 - width)
    assert stats.kstest(place.numpy(), stats.uniform(0, 1).cdf).pvalue > 1e-3


def test_a_box_longer_than_the_image_is_cut_to_it():
    params = augment.RandomResizedCrop((1, 1), (4, 4)).draw(3, 20, 20, generator())
    torch.testing.assert_close(params.matrix[:, 0, 0], torch.ones(3).double())
    torch.testing.assert_close(params.matrix[:, 1, 1], torch.full((3,), 2.0).double())


@pytest.mark.parametrize(
    ("augmentation", "read", "expected"),
    [
        (augment.Rotate((-20, 70)), lambda m: m[:, 0, 1].asin().rad2deg(), stats.uniform(-20, 90)),
        (augment.Scale((0.5, 2)), lambda m: m[:, 0, 0], stats.loguniform(0.5, 2)),
        (augment.Translate((-0.5, 0.5)), lambda m: m[:, 1, 2], stats.uniform(-500, 1000)),
    ],
)
def test_moves_are_spread_as_documented(augmentation, read, expected):
    matrix = augmentation.draw(4000, 1000, 1000, generator()).matrix
    assert stats.kstest(read(matrix).numpy(), expected.cdf).pvalue > 1e-3


def test_flips_and_turns_are_as_frequent_as_asked():
    signs = augment.Flip(0.3, 0.8).draw(4000, 8, 8, generator()).matrix[:, [0, 1], [0, 1]]
    torch.testing.assert_close(
        (signs < 0).double().mean(0), torch.tensor([0.3, 0.8]).double(), rtol=0, atol=0.03
    )
    cosines = augment.QuarterTurn().draw(4000, 8, 8, generator()).matrix[:, 0, 0]
    shares = [(cosines == value).double().mean() for value in (-1, 0, 1)]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.03)


def test_shifts_are_whole_pixels_and_half_a_pixel_is_a_blend():
    drawn = augment.Translate().draw(50, 30, 44, generator())
    assert drawn.is_lossless
    assert torch.equal(drawn.matrix, drawn.matrix.round())
    images = some_images(2)
    half = moved(images, shift(0.5, 0)).images
    expected = (images[..., :-1] + images[..., 1:]) / 2
    torch.testing.assert_close(half[..., 1:], expected, rtol=0, atol=1e-5)


# compositions


def test_moves_in_a_row_are_fused_into_one_that_loses_nothing():
    batch = some_batch()
    there, back = augment.Rotate((30, 30)), augment.Rotate((-30, -30))
    both = augment.augment_batch(batch, augment.Compose((there, back)), generator=generator())
    torch.testing.assert_close(both.images, batch.images, rtol=0, atol=1e-4)
    assert torch.equal(both.masks, batch.masks)
    step = augment.augment_batch(batch, there, generator=generator())
    step = augment.augment_batch(step, back, generator=generator())
    assert (step.images - batch.images)[..., 8:16, 8:16].abs().mean() > 0.05  # blurred twice


def test_lossless_moves_fused_are_those_one_after_the_other():
    batch = some_batch()
    parts = (augment.QuarterTurn(), augment.Flip(), augment.Translate(), augment.QuarterTurn())
    composed = augment.Compose(parts)
    params = composed.draw(5, 24, 24, generator())
    step = batch
    for part, drawn in zip(parts, params, strict=True):
        step = part.apply(step, drawn)
    assert_equal_batches(composed.apply(batch, params), step, rtol=0, atol=0)


def test_the_second_move_comes_second():
    first = Affine(shift(3, 0), (8, 8), (8, 8))
    second = Affine(stretch(2, 2), (8, 8), (16, 16), "reflection")
    fused = then(first, second)
    assert torch.equal(fused.matrix, second.matrix @ first.matrix)
    assert fused.matrix[0, 0].tolist() == [2, 0, 6]
    assert (fused.source_size, fused.size, fused.padding) == ((8, 8), (16, 16), "reflection")


def test_a_composition_applies_in_order_and_knows_the_size_after_each_step():
    batch = some_batch()
    parts = (
        augment.RandomResizedCrop(size=16),
        augment.Brightness(),
        augment.Compose((augment.Rotate(), augment.RandomResizedCrop(size=12))),
        augment.Cutout(),
        augment.Mixup(),
    )
    composed = augment.Compose(parts)
    batch = dataclasses.replace(batch, masks=None)
    params = composed.draw(5, 24, 24, generator())
    assert [type(part).__name__ for part in composed.augmentations] == [
        "RandomResizedCrop", "Brightness", "Rotate", "RandomResizedCrop", "Cutout", "Mixup"
    ]  # fmt: skip
    assert [params[i].source_size for i in (0, 2, 3)] == [(24, 24), (16, 16), (16, 16)]
    assert params[4].max() <= 12
    step = parts[1].apply(parts[0].apply(batch, params[0]), params[1])
    step = warp(step, then(params[2], params[3]))
    step = parts[4].apply(parts[3].apply(step, params[4]), params[5])
    assert_equal_batches(composed.apply(batch, params), step, rtol=0, atol=0)


@pytest.mark.parametrize("num", [1, 64, 65, 150])
def test_a_composition_of_many_images_is_step_after_step(num):
    """Images go through a few at a time, up to one that mixes them."""
    batch = some_batch(num, 8, 8)
    batch = dataclasses.replace(batch, polygons=[[shapely.box(i % 5, 1, 7, 6)] for i in range(num)])
    parts = (augment.Flip(), augment.GaussianNoise(), augment.CutMix(), augment.Hue())
    composed = augment.Compose(parts)
    params = composed.draw(num, 8, 8, generator())
    step = batch
    for part, drawn in zip(parts, params, strict=True):
        step = part.apply(step, drawn)
    result = composed.apply(batch, params)
    assert_equal_batches(result, step, rtol=0, atol=1e-6)
    for found, expected in zip(result.polygons, step.polygons, strict=True):
        assert [shape.wkt for shape in found] == [shape.wkt for shape in expected]


# colors


@pytest.mark.parametrize("factor", [0.0, 0.4, 0.99, 1.0, 1.7])
@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_colors_are_adjusted_as_by_torchvision(name, factor):
    images = some_images()
    ours = getattr(augment, f"adjust_{name}")(images, torch.full((5,), factor))
    theirs = getattr(tv, f"adjust_{name}")(images, factor)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("degrees", [-180.0, -75.0, -1.0, 0.0, 36.0, 60.0, 100.0, 180.0])
def test_hue_is_turned_as_by_torchvision(degrees):
    images = some_images()
    ours = augment.adjust_hue(images, torch.full((5,), degrees))
    theirs = tv.adjust_hue(images, degrees / 360)
    # dividing by a small chroma magnifies float32's rounding, multiplying by it takes that back
    torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-6)


@pytest.mark.parametrize("degrees", [0.0, 360.0, -360.0])
def test_a_full_turn_of_the_hue_is_the_identity(degrees):
    images = some_images()
    turned = augment.adjust_hue(images, torch.full((5,), degrees))
    torch.testing.assert_close(turned, images, rtol=0, atol=2e-6)


def test_a_third_of_a_turn_makes_green_of_red():
    images = some_images()
    turned = augment.adjust_hue(images, torch.full((5,), 120.0))
    torch.testing.assert_close(turned, images.roll(1, dims=1), rtol=0, atol=2e-6)


def test_each_image_has_its_own_factor():
    images, factors = some_images(3), torch.tensor([0.2, 1.0, 1.6])
    for name in ("brightness", "contrast", "saturation"):
        ours = getattr(augment, f"adjust_{name}")(images, factors)
        for image, result, factor in zip(images, ours, factors.tolist(), strict=True):
            expected = getattr(tv, f"adjust_{name}")(image, factor)
            torch.testing.assert_close(result, expected, rtol=0, atol=1e-6)
    ours = augment.adjust_hue(images, 90 * factors)
    for image, result, factor in zip(images, ours, factors.tolist(), strict=True):
        torch.testing.assert_close(result, tv.adjust_hue(image, factor / 4), rtol=0, atol=2e-6)


def test_gray_images_have_brightness_and_contrast():
    images = some_images(channels=1)
    for name in ("brightness", "contrast"):
        ours = getattr(augment, f"adjust_{name}")(images, torch.full((5,), 0.5))
        theirs = getattr(tv, f"adjust_{name}")(images, 0.5)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


@named([augment.Brightness((0.2, 3)), augment.Contrast(), augment.Saturation(), augment.Hue()])
def test_drawn_colors_are_applied_and_leave_the_rest(augmentation):
    batch = some_batch()
    params = augmentation.draw(5, 24, 24, generator())
    result = augmentation.apply(batch, params)
    adjust = getattr(augment, f"adjust_{type(augmentation).__name__.lower()}")
    assert torch.equal(result.images, adjust(batch.images, params))
    assert torch.equal(result.masks, batch.masks)
    low, high = getattr(augmentation, "factors", None) or augmentation.degrees
    many = augmentation.draw(4000, 1, 1, generator()).numpy()
    assert stats.kstest(many, stats.uniform(low, high - low).cdf).pvalue > 1e-3


# noise


def test_gaussian_noise_is_that_of_torchvision():
    """A generator with an image's seed draws what torchvision draws after that seed."""
    batch = some_batch()
    params = augment.GaussianNoise((0.1, 0.4)).draw(5, 24, 24, generator())
    ours = augment.GaussianNoise().apply(batch, params).images
    for i, (sigma, seed) in enumerate(zip(params.strength, params.seeds, strict=True)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(seed))
            theirs = tv.gaussian_noise(batch.images[i], sigma=float(sigma), clip=True)
        torch.testing.assert_close(ours[i], theirs, rtol=0, atol=1e-6)


def test_speckle_multiplies():
    batch = some_batch()
    params = Noise(torch.linspace(0, 0.5, 5), torch.arange(5))
    ours = augment.Speckle().apply(batch, params).images
    for i in range(5):
        eps = torch.randn(3, 24, 24, generator=generator(i))
        expected = batch.images[i].numpy() * (1 + params.strength[i].item() * eps.numpy())
        torch.testing.assert_close(
            ours[i], torch.from_numpy(expected.clip(0, 1)), rtol=0, atol=1e-6
        )


def test_salt_and_pepper_take_the_ends_of_the_level():
    batch = Batch(torch.full((2, 3, 9, 5), 0.5))
    params = Noise(torch.tensor([0.4, 0.0]), torch.tensor([3, 4]))
    turned = augment.SaltAndPepper().apply(batch, params).images
    level = torch.rand(9, 5, generator=generator(3))
    expected = np.where(level < 0.2, 0, np.where(level >= 0.8, 1, 0.5))
    assert set(expected.ravel()) == {0, 0.5, 1}
    assert turned[0].tolist() == [expected.tolist()] * 3
    assert torch.equal(turned[1], batch.images[1])


def test_noise_is_as_strong_as_drawn():
    gray = Batch(torch.full((64, 3, 32, 32), 0.5))
    for augmentation, scale in (
        (augment.GaussianNoise((0.01, 0.1)), 1.0),
        (augment.Speckle((0.01, 0.2)), 0.5),  # a share of the value
    ):
        params = augmentation.draw(64, 32, 32, generator())
        difference = augmentation.apply(gray, params).images - 0.5
        found = difference.std(dim=(1, 2, 3))
        torch.testing.assert_close(found, scale * params.strength, rtol=0.06, atol=0)
        eps = difference / (scale * params.strength[:, None, None, None])
        assert stats.kstest(eps.flatten().numpy(), stats.norm.cdf).pvalue > 1e-3
        assert abs(eps[0].flatten() @ eps[1].flatten()) / eps[0].numel() < 0.08  # other seeds
    dark = Batch(torch.zeros(2, 3, 8, 8))
    speckled = augment.augment_batch(dark, augment.Speckle((1, 1)), generator=generator())
    assert not speckled.images.any()


def test_salt_and_pepper_hit_the_drawn_share_of_pixels_in_all_channels():
    batch = Batch(torch.full((8, 3, 64, 64), 0.5))
    augmentation = augment.SaltAndPepper((0.1, 0.4))
    params = augmentation.draw(8, 64, 64, generator())
    images = augmentation.apply(batch, params).images
    assert torch.equal(images[:, 0], images[:, 1])
    assert set(images.unique().tolist()) == {0, 0.5, 1}
    for value in (0, 1):
        share = (images[:, 0] == value).float().mean(dim=(1, 2))
        torch.testing.assert_close(share, params.strength / 2, rtol=0, atol=0.02)


# Cutout


def test_a_hidden_box_is_that_of_torchvision_and_labels_stay():
    batch = some_batch()
    augmentation = augment.Cutout()
    boxes = augmentation.draw(5, 24, 24, generator())
    result = augmentation.apply(batch, boxes)
    for image, hidden, (left, top, right, bottom) in zip(
        batch.images, result.images, boxes.tolist(), strict=True
    ):
        expected = tv.erase(image, top, left, bottom - top, right - left, torch.zeros(1, 1, 1))
        assert torch.equal(hidden, expected)
    assert torch.equal(result.masks, batch.masks)
    assert torch.equal(result.targets, batch.targets)


def test_the_hidden_area_is_the_square_of_the_side_where_it_does_not_hang_over():
    boxes = augment.Cutout((0.25, 0.25)).draw(4000, 64, 80, generator())
    left, top, right, bottom = boxes.unbind(1)
    areas = box_masks(boxes, height=64, width=80).sum(dim=(1, 2))
    assert torch.equal(areas, (right - left) * (bottom - top))
    whole = (left > 0) & (top > 0) & (right < 80) & (bottom < 64)
    assert set(areas[whole].tolist()) == {256}
    assert areas.max() == 256
    assert 0.5 < whole.float().mean() < 0.9  # centers are anywhere, so some hang over
    # a side hangs over by 4 px on average in 16 of 64 places: E[width] = 16 (1 - 4 / 64 ...)
    expected = (16 - 64 / 80) * (16 - 64 / 64)
    assert areas.double().mean().item() == pytest.approx(expected, rel=0.01)


# bad input


@pytest.mark.parametrize(
    "make",
    [
        lambda: augment.Rotate((10, -10)),
        lambda: augment.Rotate((0, math.inf)),
        lambda: augment.Rotate((0, math.nan)),
        lambda: augment.QuarterTurn(()),
        lambda: augment.Flip(horizontal_share=1.2),
        lambda: augment.Flip(vertical_share=-0.1),
        lambda: augment.Scale((0, 1)),
        lambda: augment.Translate((-1.5, 0)),
        lambda: augment.RandomResizedCrop((0, 1)),
        lambda: augment.RandomResizedCrop((0.5, 1.5)),
        lambda: augment.RandomResizedCrop(aspects=(-1, 1)),
        lambda: augment.RandomResizedCrop(size=0),
        lambda: augment.Brightness((-0.1, 1)),
        lambda: augment.Hue((0, 400)),
        lambda: augment.GaussianNoise((-0.1, 0.1)),
        lambda: augment.Speckle((0.1, 0)),
        lambda: augment.SaltAndPepper((0, 1.1)),
        lambda: augment.Cutout((0.5, 1.5)),
        lambda: augment.Mixup(0),
        lambda: augment.CutMix(math.inf),
        lambda: augment.CopyPaste(2),
    ],
)
def test_settings_out_of_range_are_refused(make):
    with pytest.raises(ValueError, match=r"expected"):
        make()


@pytest.mark.usefixtures("no_hook")
@pytest.mark.parametrize("bounds", [30, (1, 2, 3), "ab", None])
def test_bounds_that_are_not_two_numbers_are_refused(bounds):
    with pytest.raises(ValueError, match=r"degrees: expected the lowest and the highest value"):
        augment.Rotate(bounds)


@named(ALL)
def test_parameters_of_another_batch_are_refused(augmentation, no_hook):
    batch = for_(augmentation, some_batch())
    with pytest.raises(ValueError, match=r"expected"):
        augmentation.apply(batch, augmentation.draw(4, 24, 24, generator()))


@named([augment.Compose((augment.Flip(), augment.Hue())), augment.Compose((augment.CutMix(),))])
@pytest.mark.parametrize("num", [4, 5, 64, 130])
def test_a_composition_refuses_parameters_to_spare_and_too_few(augmentation, num, no_hook):
    batch = some_batch(num, 8, 8)
    for other in (num - 1, num + 1):
        with pytest.raises(ValueError, match=r"expected"):
            augmentation.apply(batch, augmentation.draw(other, 8, 8, generator()))


@named(IMAGE_BY_IMAGE[:8])
def test_parameters_for_another_size_are_refused(augmentation, no_hook):
    with pytest.raises(ValueError, match=r"expected"):
        augmentation.apply(some_batch(), augmentation.draw(5, 25, 25, generator()))


@pytest.mark.usefixtures("no_hook")
def test_moves_that_cannot_be_are_refused():
    batch = some_batch(height=20)
    with pytest.raises(ValueError, match=r"expected square images, got 20 x 24"):
        augment.augment_batch(batch, augment.QuarterTurn(), generator=generator())
    with pytest.raises(ValueError, match=r"padding: expected one of .*got 'wrap'"):
        augment.augment_batch(batch, augment.Rotate(padding="wrap"), generator=generator())
    mirror = augment.Rotate((30, 30), padding="reflection")
    with pytest.raises(ValueError, match=r"cannot go on in a mirror"):
        augment.augment_batch(
            dataclasses.replace(batch, polygons=[()] * 5), mirror, generator=generator()
        )


@pytest.mark.usefixtures("no_hook")
def test_colors_of_other_channels_are_refused():
    images = some_images(channels=4)
    for name in ("contrast", "saturation", "hue"):
        with pytest.raises(ValueError, match=r"expected RGB, 3 channels, got 4"):
            getattr(augment, f"adjust_{name}")(images, torch.ones(5))
    with pytest.raises(ValueError, match=r"expected one an image, 5, got 2"):
        augment.adjust_brightness(images, torch.ones(2))


BY_HAND = {
    **{
        name: lambda images, name=name: getattr(augment, name)(images, torch.ones(len(images)))
        for name in ("adjust_brightness", "adjust_contrast", "adjust_saturation", "adjust_hue")
    },
    "erase": lambda images: augment.erase(images, torch.zeros(len(images), 4).long()),
    "mixup": lambda images: augment.mixup(images, None, lam=0.5, order=torch.tensor([1, 0])),
    "Batch": Batch,
}
NO_IMAGES = {
    "bytes": torch.full((2, 3, 4, 4), 200, dtype=torch.uint8),
    "bytes as floats": torch.full((2, 3, 4, 4), 200.0),
    "model range": torch.full((2, 3, 4, 4), -0.5),
    "doubles": torch.zeros(2, 3, 4, 4).double(),
    "NaN": torch.full((2, 3, 4, 4), math.nan),
    "without channels": torch.zeros(2, 4, 4),
    "none": torch.zeros(0, 3, 4, 4),
}


@pytest.mark.usefixtures("no_hook")
@pytest.mark.parametrize("function", BY_HAND)
@pytest.mark.parametrize("kind", NO_IMAGES)
def test_images_outside_of_unit_range_are_noticed_not_clipped(function, kind):
    with pytest.raises(ValueError, match=r"images: expected .*in \[0, 1\], got"):
        BY_HAND[function](NO_IMAGES[kind])


def test_a_composition_wants_one_draw_for_each_part():
    composed = augment.Compose((augment.Flip(), augment.Hue()))
    params = composed.draw(5, 24, 24, generator())
    with pytest.raises(ValueError, match=r"what 2 augmentations drew, got 1"):
        composed.apply(some_batch(), params[:1])


def test_shapes_are_checked_by_the_hook():
    with pytest.raises(TypeCheckError):
        augment.adjust_brightness(some_images(), torch.ones(2, 2))
