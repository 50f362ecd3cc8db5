"""Labels, masks and polygons: what mixing does to them, and batches that do not belong together."""

import dataclasses

import jaxtyping
import numpy as np
import pytest
import shapely
import torch
from matplotlib.path import Path as Outline
from scipy import stats
from torchvision.transforms import v2

from course_utils import augment
from course_utils.augment import Batch
from course_utils.augment.mixing import Paste, Patch, cutmix_boxes

HEIGHT, WIDTH, NUM = 20, 28, 4
ROLLED = torch.tensor([NUM - 1, *range(NUM - 1)])  # each meets the one before, as in torchvision


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def some_images(num=NUM, seed=0):
    return torch.rand(num, 3, HEIGHT, WIDTH, generator=generator(seed))


def soft_targets(num=NUM, k=5):
    return torch.rand(num, k, generator=generator(5)).softmax(dim=1)


def city(num=NUM):
    """Some buildings an image, drawn into masks by their number + 1; the last image has none."""
    polygons = []
    for i in range(num - 1):
        x, y = 2 + 3 * i, 1 + 4 * i
        polygons.append(
            (
                shapely.Polygon([(x, y), (x + 7, y + 1), (x + 5, y + 6), (x + 1, y + 5)]),
                shapely.box(x + 9, y + 2, x + 15, y + 7),
                shapely.box(x + 12, y + 5, x + 18, y + 9),
            )
        )
    polygons.append(())
    masks = torch.zeros(num, HEIGHT, WIDTH, dtype=torch.long)
    for mask, found in zip(masks, polygons, strict=True):
        for value, shape in enumerate(found, start=1):
            mask[augment.rasterize((shape,), height=HEIGHT, width=WIDTH)] = value
    return Batch(some_images(num), masks=masks, polygons=polygons, targets=soft_targets(num))


def drawn(polygons):
    return torch.stack([augment.rasterize(p, height=HEIGHT, width=WIDTH) for p in polygons])


@pytest.fixture
def no_hook(monkeypatch):
    """Run as learners do: nobody checks the annotations, so the package must."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


# Mixup and CutMix


def cut_and_mix(images, targets, patch):
    mixed = augment.CutMix().apply(Batch(images, targets=targets), patch)
    return mixed.images, mixed.targets


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_mixup_is_that_of_torchvision(seed):
    images, targets = some_images(), soft_targets()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        expected = v2.MixUp(alpha=0.7, num_classes=5)(images, targets)
        torch.manual_seed(seed)
        lam = float(torch.distributions.Beta(torch.tensor([0.7]), torch.tensor([0.7])).sample(()))
    ours = augment.mixup(images, targets, lam=lam, order=ROLLED)
    torch.testing.assert_close(ours, tuple(expected), rtol=0, atol=1e-6)
    by_image = augment.mixup(images, targets, lam=torch.full((NUM,), lam), order=ROLLED)
    torch.testing.assert_close(by_image, ours, rtol=0, atol=0)


@pytest.mark.parametrize("seed", range(6))
def test_cutmix_is_that_of_torchvision(seed):
    images, targets = some_images(), soft_targets()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        expected = v2.CutMix(alpha=1.0, num_classes=5)(images, targets)
        torch.manual_seed(seed)
        lam = torch.distributions.Beta(torch.tensor([1.0]), torch.tensor([1.0])).sample(())
        centers = torch.cat([torch.randint(WIDTH, (1,)), torch.randint(HEIGHT, (1,))])
    boxes = cutmix_boxes(lam.double(), centers[None], height=HEIGHT, width=WIDTH)
    ours = cut_and_mix(images, targets, Patch(boxes.expand(NUM, 4), ROLLED))
    torch.testing.assert_close(ours, tuple(expected), rtol=0, atol=1e-6)


def test_each_image_has_its_own_share_box_and_partner():
    images, targets = some_images(), soft_targets()
    lam, order = torch.tensor([0.0, 0.25, 0.5, 1.0]), torch.tensor([2, 2, 0, 1])
    mixed, labels = augment.mixup(images, targets, lam=lam, order=order)
    for i in range(NUM):
        expected = lam[i] * images[i] + (1 - lam[i]) * images[order[i]]
        torch.testing.assert_close(mixed[i], expected, rtol=0, atol=1e-6)
        expected = lam[i] * targets[i] + (1 - lam[i]) * targets[order[i]]
        torch.testing.assert_close(labels[i], expected, rtol=0, atol=1e-6)
    assert torch.equal(mixed[0], images[2])
    assert torch.equal(mixed[3], images[3])


def test_labels_mix_by_the_area_of_the_cut_box():
    images, targets = torch.zeros(2, 1, HEIGHT, WIDTH), torch.eye(2)
    images[1] = 1
    boxes = torch.tensor([[3, 5, 17, 15], [0, 0, WIDTH, HEIGHT]])
    mixed, labels = cut_and_mix(images, targets, Patch(boxes, torch.tensor([1, 0])))
    share = 14 * 10 / (HEIGHT * WIDTH)
    assert mixed[0].sum() == 140
    torch.testing.assert_close(labels, torch.tensor([[1 - share, share], [1.0, 0.0]]))
    assert not mixed[1].any()


def test_of_a_box_that_hangs_over_only_what_is_inside_counts():
    images, targets = some_images(2), torch.eye(2)
    boxes = torch.tensor([[-5, -5, 7, 10], [20, 15, WIDTH + 9, HEIGHT + 9]])
    mixed, labels = cut_and_mix(images, targets, Patch(boxes, torch.tensor([1, 0])))
    assert torch.equal(mixed[0, :, :10, :7], images[1, :, :10, :7])
    assert torch.equal(mixed[1, :, 15:, 20:], images[0, :, 15:, 20:])
    shares = torch.tensor([7 * 10, 8 * 5]) / (HEIGHT * WIDTH)
    torch.testing.assert_close(1 - labels.diagonal(), shares)


def test_boxes_leave_the_asked_share_where_they_do_not_hang_over():
    lam = torch.linspace(0, 1, 101, dtype=torch.float64)
    centers = torch.tensor([[500, 400]]).expand(101, 2)
    boxes = cutmix_boxes(lam, centers, height=800, width=1000)
    left, top, right, bottom = boxes.unbind(1)
    true = 1 - (right - left).double() * (bottom - top) / (800 * 1000)
    torch.testing.assert_close(true, lam, rtol=0, atol=0.005)  # whole pixels
    assert boxes[0].tolist() == [0, 0, 1000, 800]
    assert boxes[-1].tolist() == [500, 400, 500, 400]


@pytest.mark.parametrize("alpha", [0.2, 1, 3.0])
def test_shares_are_drawn_from_the_beta_distribution(alpha):
    lam = augment.Mixup(alpha).draw(4000, 8, 8, generator()).lam
    assert stats.kstest(lam.numpy(), stats.beta(alpha, alpha).cdf).pvalue > 1e-3


def test_cutmix_draws_boxes_of_the_drawn_share_around_places_anywhere():
    boxes = augment.CutMix().draw(4000, 1000, 1000, generator()).boxes
    left, top, right, bottom = boxes.unbind(1)
    inside = (left > 0) & (right < 1000) & (top > 0) & (bottom < 1000)
    assert 0.05 < inside.float().mean() < 0.5
    assert (right - left == bottom - top)[inside].all()
    width = (right - left)[inside & (right - left < 200)].double() / 1000
    # 1 - λ = width² is uniform where a box of that size may be anywhere: its weight is (1 - w)²
    assert 0.1 < width.mean() < 0.15


@pytest.mark.parametrize("augmentation", [augment.Mixup(), augment.CutMix()])
def test_partners_are_a_permutation_and_label_mass_stays(augmentation):
    params = augmentation.draw(NUM, HEIGHT, WIDTH, generator())
    assert sorted(params.order.tolist()) == list(range(NUM))
    batch = Batch(some_images(), targets=soft_targets())
    mixed = augmentation.apply(batch, params)
    torch.testing.assert_close(mixed.targets.sum(dim=1), torch.ones(NUM))
    assert not torch.equal(mixed.images, batch.images)


def test_mixup_is_applied_as_drawn():
    batch = Batch(some_images(), targets=soft_targets())
    params = augment.Mixup().draw(NUM, HEIGHT, WIDTH, generator())
    expected = augment.mixup(batch.images, batch.targets, lam=params.lam, order=params.order)
    result = augment.Mixup().apply(batch, params)
    assert torch.equal(result.images, expected[0])
    assert torch.equal(result.targets, expected[1])


@pytest.mark.parametrize("augmentation", [augment.Mixup(), augment.CutMix()])
def test_images_without_labels_can_be_mixed(augmentation):
    params = augmentation.draw(NUM, HEIGHT, WIDTH, generator())
    assert augmentation.apply(Batch(some_images()), params).targets is None


def test_cutmix_cuts_masks_and_polygons_with_the_image():
    """Outlines are cut at whole pixels here, so pixels and polygons agree exactly."""
    batch = city()
    params = Patch(
        boxes=torch.tensor([[4, 3, 20, 12], [0, 0, 9, 20], [10, 2, 28, 18], [0, 0, 28, 10]]),
        order=torch.tensor([1, 2, 3, 0]),
    )
    result = augment.CutMix().apply(batch, params)
    for i, (left, top, right, bottom) in enumerate(params.boxes.tolist()):
        expected = batch.masks[i].clone()
        window = (slice(top, bottom), slice(left, right))
        expected[window] = batch.masks[params.order[i]][window]
        assert torch.equal(result.masks[i], expected)
    assert torch.equal(drawn(result.polygons), result.masks > 0)
    assert result.polygons[3]  # the image without buildings has got some


# Copy-Paste


@pytest.mark.parametrize("seed", range(3))
def test_pasted_buildings_hide_what_is_below_in_image_mask_and_polygons(seed):
    batch = city()
    augmentation = augment.CopyPaste()
    params = augmentation.draw(NUM, HEIGHT, WIDTH, generator(seed))
    result = augmentation.apply(batch, params)
    assert torch.equal(drawn(result.polygons), result.masks > 0)
    for i, j in enumerate(params.order.tolist()):
        chosen = tuple(
            shape for n, shape in enumerate(batch.polygons[j]) if params.chances[i, n] < 0.5
        )
        pasted = augment.rasterize(chosen, height=HEIGHT, width=WIDTH)
        assert torch.equal(result.images[i][:, pasted], batch.images[j][:, pasted])
        assert torch.equal(result.images[i][:, ~pasted], batch.images[i][:, ~pasted])
        assert torch.equal(result.masks[i][pasted], batch.masks[j][pasted])
        assert torch.equal(result.masks[i][~pasted], batch.masks[i][~pasted])
        share = pasted.float().mean()
        expected = (1 - share) * batch.targets[i] + share * batch.targets[j]
        torch.testing.assert_close(result.targets[i], expected, rtol=0, atol=1e-6)
        assert len(result.polygons[i]) >= len(chosen)


def test_a_building_hidden_whole_is_dropped_and_one_hidden_in_part_is_cut():
    small, half, far = (
        shapely.box(5, 5, 7, 7),
        shapely.box(8, 5, 14, 8),
        shapely.box(20, 10, 25, 15),
    )
    large = shapely.box(4, 4, 10, 9)
    batch = Batch(some_images(2), polygons=[[small, half, far], [large]])
    params = Paste(order=torch.tensor([1, 1]), chances=torch.zeros(2, 3))
    first, second = augment.CopyPaste(1).apply(batch, params).polygons
    assert [shape.area for shape in first] == [12, 25, 30]
    assert first[-1].equals(large)
    assert len(second) == 1  # on itself


def test_a_pasted_building_that_crosses_itself_is_pasted_all_the_same():
    bow_ties = [shapely.Polygon([(x, 2), (x + 8, 10), (x + 8, 2), (x, 10)]) for x in (2, 6)]
    own = shapely.box(0, 0, 12, 12)
    batch = Batch(some_images(2), polygons=[[own], bow_ties])
    params = Paste(order=torch.tensor([1, 0]), chances=torch.zeros(2, 3))
    first, _ = augment.CopyPaste(1).apply(batch, params).polygons
    assert first[1:] == tuple(bow_ties)
    both = shapely.union_all([shapely.make_valid(shape) for shape in bow_ties])
    assert first[0].area == pytest.approx(144 - both.intersection(own).area)


def test_as_many_buildings_are_copied_as_asked():
    boxes = [shapely.box(x, y, x + 0.5, y + 0.5) for x in range(20) for y in range(20)]
    batch = Batch(torch.zeros(8, 1, 20, 20), polygons=[boxes] * 4 + [()] * 4)
    counts = []
    for seed in range(5):
        augmentation = augment.CopyPaste(0.3)
        params = augmentation.draw(8, 20, 20, generator(seed))
        params = dataclasses.replace(params, order=torch.tensor([0, 0, 0, 0, 0, 1, 2, 3]))
        counts += [len(found) for found in augmentation.apply(batch, params).polygons[4:]]
    assert np.mean(counts) / 400 == pytest.approx(0.3, abs=0.03)


def test_without_polygons_all_of_the_mask_is_copied():
    batch = dataclasses.replace(city(), polygons=None)
    params = augment.CopyPaste().draw(NUM, HEIGHT, WIDTH, generator(1))
    result = augment.CopyPaste().apply(batch, params)
    pasted = batch.masks[params.order] > 0
    assert torch.equal(result.masks, torch.where(pasted, batch.masks[params.order], batch.masks))
    expected = torch.where(pasted[:, None], batch.images[params.order], batch.images)
    assert torch.equal(result.images, expected)


def test_moves_before_copy_paste_vary_the_place():
    batch = city()
    composed = augment.Compose((augment.Flip(1, 0), augment.CopyPaste(1)))
    params = composed.draw(NUM, HEIGHT, WIDTH, generator())
    result = composed.apply(batch, params)
    flipped = batch.images.flip(3)
    buildings = drawn(batch.polygons).flip(2)[params[1].order]
    expected = torch.where(buildings[:, None], flipped[params[1].order], flipped)
    assert torch.equal(result.images, expected)


def test_a_rasterized_polygon_is_the_pixels_whose_centers_are_inside():
    points = 30 * torch.rand(40, 3, 2, generator=generator(3)).double().numpy() - 3
    for corners in points:
        found = augment.rasterize((shapely.Polygon(corners),), height=HEIGHT, width=WIDTH)
        y, x = np.indices((HEIGHT, WIDTH)).reshape(2, -1) + 0.5
        expected = Outline(corners).contains_points(np.column_stack([x, y]))
        assert np.array_equal(found.numpy().ravel(), expected)
    assert not augment.rasterize((), height=3, width=4).any()
    assert augment.rasterize((shapely.box(1, 0, 3, 2),), height=3, width=4).sum() == 4
    assert not augment.rasterize((shapely.box(50, 50, 60, 60),), height=3, width=4).any()


# labels and batches


def test_labels_become_targets():
    targets = augment.targets_from_labels([2, 0, 1], num_classes=4)
    assert targets.tolist() == [[0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0]]
    assert torch.equal(augment.targets_from_labels(torch.tensor([2, 0, 1]), num_classes=4), targets)


@pytest.mark.usefixtures("no_hook")
@pytest.mark.parametrize(
    ("labels", "match"),
    [
        ([0, 3], r"expected 0 to 2, as there are 3 classes, got 3"),
        ([-1, 0], r"got -1"),
        ([], r"one whole number an image"),
        ([0.5], r"one whole number an image"),
        ([[0, 1]], r"one whole number an image"),
        ([True, False], r"one whole number an image"),
    ],
)
def test_labels_outside_the_classes_are_refused(labels, match):
    with pytest.raises(ValueError, match=match):
        augment.targets_from_labels(labels, num_classes=3)


@pytest.mark.usefixtures("no_hook")
@pytest.mark.parametrize(
    ("parts", "match"),
    [
        ({"images": torch.zeros(0, 3, 8, 8)}, r"images: expected one or more"),
        ({"images": torch.zeros(3, 8, 8)}, r"images: expected .*float32 of shape"),
        ({"images": np.zeros((2, 3, 8, 8))}, r"images: .*got ndarray"),
        ({"images": [torch.zeros(3, 8, 8), torch.zeros(3, 8, 9)]}, r"list; .*several sizes.*fit"),
        ({"images": torch.zeros(2, 3, 8, 8, dtype=torch.uint8)}, r"torch.uint8.*to_unit"),
        ({"images": torch.zeros(2, 3, 8, 8).double()}, r"torch.float64"),
        ({"images": torch.full((2, 3, 8, 8), 255.0)}, r"values in \[0, 1\]"),
        ({"images": torch.full((2, 3, 8, 8), -0.5)}, r"values in \[0, 1\]"),
        ({"images": torch.full((2, 3, 8, 8), torch.nan)}, r"values in \[0, 1\], got nan"),
        ({"masks": torch.zeros(2, 8, 9).long()}, r"masks: .*\(2, 8, 8\), got .*\(2, 8, 9\)"),
        ({"masks": torch.zeros(1, 8, 8).long()}, r"masks: expected .*size, \(2, 8, 8\)"),
        ({"masks": np.zeros((2, 8, 8))}, r"masks: .*got ndarray"),
        ({"masks": torch.zeros(2, 8, 8)}, r"masks: expected whole numbers.*torch.float32"),
        ({"masks": torch.zeros(2, 8, 8).bool()}, r"masks: expected whole numbers"),
        ({"polygons": [()]}, r"polygons: expected one sequence an image, 2, got 1"),
        ({"polygons": [(), [shapely.Point(1, 1)]]}, r"polygons: expected shapely polygons.*Point"),
        ({"polygons": [(), [np.zeros((4, 2))]]}, r"shapely.Polygon\(points\)"),
        ({"targets": torch.tensor([0, 1])}, r"targets: expected floats of shape"),
        (
            {"targets": torch.ones(3, 1)},
            r"targets: expected .*\(2, k\), a row an image, got .*\(3, 1\)",
        ),
        ({"targets": torch.ones(2, 2)}, r"targets: expected shares"),
        ({"targets": torch.tensor([[1.5, -0.5], [0, 1]])}, r"the smallest -0.5"),
        ({"targets": torch.full((2, 2), torch.nan)}, r"targets: expected shares"),
    ],
)
def test_what_does_not_belong_together_is_refused(parts, match):
    with pytest.raises(ValueError, match=match):
        Batch(**{"images": torch.zeros(2, 3, 8, 8), **parts})


@pytest.mark.usefixtures("no_hook")
def test_shares_and_orders_out_of_range_are_refused():
    images, targets = some_images(), soft_targets()
    boxes = torch.tensor([[0, 0, 5, 5]]).expand(NUM, 4)
    for lam in (1.5, -0.1, float("nan"), torch.ones(3)):
        with pytest.raises(ValueError, match=r"lam: expected"):
            augment.mixup(images, targets, lam=lam, order=ROLLED)
    for order in (ROLLED + 1, ROLLED - 1, ROLLED[:3]):
        with pytest.raises(ValueError, match=r"order: expected"):
            augment.mixup(images, targets, lam=0.5, order=order)
        with pytest.raises(ValueError, match=r"order: expected"):
            cut_and_mix(images, targets, Patch(boxes, order))
    with pytest.raises(ValueError, match=r"targets: expected"):
        augment.mixup(images, targets[:3], lam=0.5, order=ROLLED)
    with pytest.raises(ValueError, match=r"images: expected values"):
        augment.mixup(images * 2 - 1, targets, lam=0.5, order=ROLLED)


def test_mixup_refuses_what_cannot_be_half_there():
    for part in ("masks", "polygons"):
        batch = dataclasses.replace(city(), **{part: None})
        with pytest.raises(ValueError, match=r"cannot be half there: use CutMix or CopyPaste"):
            augment.augment_batch(batch, augment.Mixup(), generator=generator())


def test_copy_paste_needs_to_know_what_a_building_is():
    with pytest.raises(ValueError, match=r"needs masks or polygons"):
        augment.augment_batch(Batch(some_images()), augment.CopyPaste(), generator=generator())
