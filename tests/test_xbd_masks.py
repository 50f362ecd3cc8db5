"""Masks and crops against the plain loop, against geometry, and at the edges of the possible."""

import time

import numpy as np
import pytest
import shapely
from PIL import Image, ImageDraw
from shapely import MultiPolygon, Polygon, box

from course_utils.xbd import (
    Building,
    DamageLevel,
    XbdError,
    crop_building,
    damage_mask,
    find_scenes,
    masks,
    read_buildings,
    read_image,
)

LEVELS = list(DamageLevel)
HUGE = 1e12


def building(polygon, damage=DamageLevel.DESTROYED):
    return Building("a", polygon, damage, is_empty=polygon.is_empty)


def plain_mask(buildings, *, height, width):
    """Draw each polygon on a mask of its own; the later one wins."""
    mask = np.zeros((height, width), np.uint8)
    for one in buildings:
        for part in shapely.get_parts(one.polygon):
            if part.is_empty:
                continue
            own = Image.new("L", (width, height))
            draw = ImageDraw.Draw(own)
            draw.polygon(list(part.exterior.coords), fill=1)
            for hole in part.interiors:
                draw.polygon(list(hole.coords), fill=0)
            mask[np.array(own) == 1] = one.damage or 1
    return mask


def plain_crop(image, one, *, context, size):
    """Cut at the border and scale, with Pillow."""
    left, top, right, bottom = one.polygon.bounds
    wider, higher = context * (right - left), context * (bottom - top)
    sides = np.floor([left - wider, top - higher]), np.ceil([right + wider, bottom + higher])
    low, high = np.maximum(sides[0], 0), np.minimum(sides[1], image.shape[1::-1])
    if (low >= high).any():
        return None
    cut = Image.fromarray(image).crop(np.concatenate([low, high]).astype(int).tolist())
    return np.array(cut.resize((size, size), Image.Resampling.BILINEAR))


def random_ring(rng, center, radius, *, corners, steady=True):
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False) + rng.uniform(0, 6)
    if not steady:
        angles = rng.uniform(0, 2 * np.pi, corners)  # crosses itself
    radii = rng.uniform(0.5, 1, corners) * radius
    return (center + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)).tolist()


def random_buildings(seed, *, side=64, count=12):
    """Draw overlapping buildings: with holes, of two parts, over the border, tiny, crossed."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(count):
        center, radius = rng.uniform(-5, side + 5, 2), rng.uniform(0.3, 20)
        ring = random_ring(rng, center, radius, corners=int(rng.integers(3, 9)), steady=i % 4 != 3)
        hole = random_ring(rng, center, radius / 3, corners=5)
        polygon = Polygon(ring, [hole] if i % 3 == 1 else [])
        if i % 5 == 2:
            polygon = MultiPolygon([Polygon(random_ring(rng, center, radius, corners=4)), polygon])
        found.append(building(polygon, LEVELS[i % 5] if i % 7 else None))
    return found


@pytest.mark.parametrize("seed", range(40))
def test_masks_equal_the_plain_loop_pixel_by_pixel(seed):
    found = random_buildings(seed)
    expected = plain_mask(found, height=50, width=64)
    mask = damage_mask(found, height=50, width=64)
    assert (mask.dtype, mask.shape) == (np.uint8, (50, 64))
    assert np.array_equal(mask, expected)
    assert len(np.unique(expected)) > 3


@pytest.mark.parametrize("seed", range(20))
def test_pixels_well_inside_and_outside_agree_with_geometry(seed):
    """Truncation moves an outline by 0.71 pixels at most against pixel centers, drawing by 0.5."""
    rng = np.random.default_rng(seed)
    ring = random_ring(rng, rng.uniform(20, 44, 2), 30, corners=7)
    polygon = Polygon(ring, [random_ring(rng, np.mean(ring, axis=0), 8, corners=6)])
    mask = damage_mask([building(polygon)], height=64, width=64)
    rows, columns = np.mgrid[:64, :64] + 0.5
    centers = shapely.points(columns, rows)
    is_clear = shapely.distance(polygon.boundary, centers) > 1.25
    is_inside = shapely.contains(polygon, centers)
    assert np.array_equal(mask[is_clear] == DamageLevel.DESTROYED, is_inside[is_clear])
    assert (is_clear & is_inside).sum() > 100


def test_each_level_is_painted_in_its_value_and_no_level_as_one():
    found = [building(box(10 * i, 1, 10 * i + 4, 5), level) for i, level in enumerate(LEVELS)]
    found.append(building(box(50, 1, 54, 5), None))
    mask = damage_mask(found, height=8, width=60)
    assert mask[3, 2::10].tolist() == [1, 2, 3, 4, 255, 1]
    assert mask[3, 7::10].tolist() == [0] * 6
    assert mask.sum(dtype=int) == 25 * (1 + 2 + 3 + 4 + 255 + 1)


def test_the_later_building_wins():
    first, second = building(box(0, 0, 9, 9), LEVELS[4]), building(box(5, 5, 15, 15), LEVELS[0])
    assert damage_mask([first, second], height=20, width=20)[7, 7] == 1
    assert damage_mask([second, first], height=20, width=20)[7, 7] == 255


def test_a_hole_stays_background():
    yard = Polygon(box(2, 2, 18, 18).exterior.coords, [box(6, 6, 12, 12).exterior.coords])
    mask = damage_mask([building(yard)], height=20, width=20)
    assert (mask[9, 9], mask[4, 4], mask[15, 15], mask[0, 0]) == (0, 4, 4, 0)


def test_an_earlier_building_inside_a_hole_stays():
    yard = Polygon(box(2, 2, 18, 18).exterior.coords, [box(6, 6, 14, 14).exterior.coords])
    shed = building(box(8, 8, 11, 11), DamageLevel.MINOR)
    mask = damage_mask([shed, building(yard)], height=20, width=20)
    assert (mask[9, 9], mask[7, 7], mask[4, 4]) == (2, 0, 4)


@pytest.mark.parametrize("order", [1, -1])
def test_a_part_inside_the_hole_of_another_part_is_painted(order):
    yard = Polygon(box(2, 2, 18, 18).exterior.coords, [box(5, 5, 15, 15).exterior.coords])
    mask = damage_mask(
        [building(MultiPolygon([yard, box(8, 8, 11, 11)][::order]))], height=20, width=20
    )
    assert (mask[9, 9], mask[6, 6], mask[3, 3]) == (4, 0, 4)


def test_two_buildings_with_holes_do_not_disturb_each_other():
    yards = [
        Polygon(box(x, 2, x + 12, 18).exterior.coords, [box(x + 4, 6, x + 8, 12).exterior.coords])
        for x in (0, 7, 30)
    ]
    found = [building(yard, level) for yard, level in zip(yards, LEVELS, strict=False)]
    assert np.array_equal(
        damage_mask(found, height=20, width=50), plain_mask(found, height=20, width=50)
    )


def test_a_polygon_over_the_border_is_cut_off():
    mask = damage_mask(
        [building(box(-5, -5, 3, 3)), building(box(8, 9, 40, 30))], height=12, width=16
    )
    assert mask[:4, :4].all()
    assert mask[9:, 8:].all()
    assert mask.astype(bool).sum() == 4 * 4 + 3 * 8


@pytest.mark.parametrize("far", [100, 20_000, HUGE, 1e300])
def test_a_polygon_outside_paints_nothing(far):
    places = [(far, 0), (0, far), (-far, 0), (0, -far), (far, -far)]
    found = [building(box(x, y, x + far / 2, y + far / 2)) for x, y in places if x > 0 or y > 0]
    found += [building(box(x - 20, y - 20, x - 10, y - 10)) for x, y in places]
    found.append(
        building(Polygon(found[0].polygon.exterior.coords, [found[0].polygon.exterior.coords]))
    )
    assert not damage_mask(found, height=16, width=16).any()


def test_a_bow_tie_is_painted_on_both_sides():
    tie = building(Polygon([(0, 0), (20, 20), (20, 0), (0, 20)]))
    mask = damage_mask([tie], height=21, width=21)
    assert (mask[10, 3], mask[10, 17], mask[2, 10], mask[18, 10]) == (4, 4, 0, 0)
    assert np.array_equal(mask, plain_mask([tie], height=21, width=21))


def test_tiny_polygons_leave_a_pixel_and_empty_ones_nothing():
    tiny = building(Polygon([(5.2, 7.1), (5.4, 7.1), (5.4, 7.3)]))
    mask = damage_mask([tiny], height=10, width=10)
    assert np.argwhere(mask).tolist() == [[7, 5]]
    empty = [building(Polygon()), building(MultiPolygon())]
    assert not damage_mask(empty, height=10, width=10).any()
    assert np.array_equal(damage_mask([*empty, tiny, *empty], height=10, width=10), mask)
    assert damage_mask([], height=3, width=2).tolist() == [[0, 0]] * 3


@pytest.mark.parametrize("far", [20_000, 1e6, HUGE, 1e100, 1e300])
def test_a_huge_polygon_fills_the_tile_at_once(far):
    huge = building(box(-far, -far, far, far))
    start = time.perf_counter()
    assert (damage_mask([huge], height=32, width=48) == 4).all()
    assert time.perf_counter() - start < 0.5


@pytest.mark.parametrize("far", [20_000, 1e7, HUGE, 1e300])
def test_a_polygon_that_is_huge_to_one_side_fills_the_tile_up_to_that_side(far):
    sides = [(-far, 6, 8, 10), (6, -far, 10, 8), (6, 6, far, 10), (6, 6, 10, far)]
    for left, top, right, bottom in sides:
        mask = damage_mask([building(box(left, top, right, bottom))], height=16, width=20)
        rows, columns = np.mgrid[:16, :20]
        expected = (left <= columns) & (columns <= right) & (top <= rows) & (rows <= bottom)
        assert np.array_equal(mask > 0, expected)


@pytest.mark.parametrize("far", [1e5, HUGE, 1e100])
def test_a_huge_polygon_ends_where_its_outline_crosses_the_tile(far):
    half = building(Polygon([(20, 10), (20 + far, 10 - far), (20 + far, far)]))
    rows, columns = np.mgrid[:64, :64]
    below, above = columns - rows - 10, columns + rows - 30  # the outlines y = x - 10, x + y = 30
    mask = damage_mask([half], height=64, width=64)
    lower = Polygon([(20, 10), (20 + far, 10 - far), (20 + far, 10 + far)])
    assert not mask[(columns < 19)].any()
    assert mask[10, 22:].all()
    mask = damage_mask([building(lower)], height=64, width=64)
    is_inside, is_outside = (below > 2) & (above > 2), (below < -2) | (above < -2)
    assert mask[is_inside].all()
    assert not mask[is_outside].any()


@pytest.mark.parametrize("far", [1e5, HUGE, 1e100])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("slopes", [(-0.5, -0.25), (-0.25, 0.5), (0.25, 0.5)])
@pytest.mark.parametrize("is_turned", [False, True])
def test_huge_polygons_keep_the_slopes_of_their_outlines(far, sign, slopes, is_turned):
    corners = [(32, 32), *((32 + sign * far, 32 + slope * far) for slope in slopes)]
    triangle = building(Polygon([corner[::-1] if is_turned else corner for corner in corners]))
    mask = damage_mask([triangle], height=64, width=64)
    rows, columns = np.mgrid[:64, :64] - 32
    along, across = (rows, columns) if is_turned else (columns, rows)
    low, high = (slope * sign * along for slope in slopes)
    depth = np.minimum(across - low, high - across)
    assert mask[depth > 2].all()
    assert not mask[(depth < -2) & (sign * along > 0)].any()
    assert not mask[sign * along < -1].any()


def test_a_huge_hole_and_a_hole_in_a_huge_polygon_stay_background():
    frame = box(-HUGE, -HUGE, HUGE, HUGE)
    pierced = building(Polygon(frame.exterior.coords, [box(5, 5, 10, 10).exterior.coords]))
    mask = damage_mask([pierced], height=16, width=16)
    assert (mask[7, 7], mask[2, 2], mask[13, 13]) == (0, 4, 4)
    inner = box(-HUGE / 2, -HUGE / 2, HUGE / 2, HUGE / 2)
    ring = building(Polygon(frame.exterior.coords, [inner.exterior.coords]))
    assert not damage_mask([ring], height=16, width=16).any()
    apart = building(Polygon(frame.exterior.coords, [box(1e9, 1e9, 2e9, 2e9).exterior.coords]))
    assert damage_mask([apart], height=16, width=16).all()


@pytest.mark.parametrize("seed", range(20))
def test_cutting_changes_no_pixel_of_polygons_that_need_none(seed, monkeypatch):
    """Corners on whole pixels: only the cut ends move, and they lie beyond the tile."""
    rng = np.random.default_rng(seed)
    rings = [rng.integers(-150, 200, (int(rng.integers(3, 8)), 2)).tolist() for _ in range(3)]
    found = [building(Polygon(ring), LEVELS[i]) for i, ring in enumerate(rings)]
    expected = damage_mask(found, height=64, width=64)
    monkeypatch.setattr(masks, "MARGIN", 60)
    mask = damage_mask(found, height=64, width=64)
    assert np.array_equal(expected, plain_mask(found, height=64, width=64))
    assert (mask != expected).mean() < 0.02  # an end that is truncated turns its outline a little


@pytest.mark.parametrize(("height", "width"), [(0, 5), (5, 0), (-1, 5)])
def test_a_mask_needs_a_size(height, width):
    with pytest.raises(ValueError, match=f"got {height} x {width}"):
        damage_mask([], height=height, width=width)


def test_masks_of_the_real_scenes_equal_the_plain_loop_and_hold_their_levels(test_data):
    for scene in find_scenes(test_data / "xbd"):
        for label in (scene.pre_label, scene.post_label):
            found = read_buildings(label)
            mask = damage_mask(found, height=1024, width=1024)
            assert np.array_equal(mask, plain_mask(found, height=1024, width=1024))
            assert set(np.unique(mask)) == {0, *(one.damage or 1 for one in found)}


IMAGE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


@pytest.mark.parametrize("context", [0, 0.1, 0.8, 3.0])
@pytest.mark.parametrize("size", [1, 16, 33])
def test_crops_equal_pillows_crop_and_resize(context, size):
    rng = np.random.default_rng(size)
    for _ in range(30):
        corner, sides = rng.uniform(-20, 60, 2), rng.uniform(0.5, 40, 2)
        one = building(box(*corner, *(corner + sides)))
        expected = plain_crop(IMAGE, one, context=context, size=size)
        if expected is None:
            with pytest.raises(XbdError, match="beside the image"):
                crop_building(IMAGE, one, context=context, size=size)
            continue
        crop = crop_building(IMAGE, one, context=context, size=size)
        assert crop.dtype == np.uint8
        assert np.array_equal(crop, expected)


def test_a_crop_of_its_own_size_is_the_piece_of_the_image():
    crop = crop_building(IMAGE, building(box(10, 8, 14, 12)), context=1.0, size=12)
    assert np.array_equal(crop, IMAGE[4:16, 6:18])
    crop[:] = 0  # the caller's own: the image stays
    assert IMAGE[4:16, 6:18].any()


def test_the_box_is_rounded_outward():
    crop = crop_building(IMAGE, building(box(10.9, 8.9, 13.1, 11.1)), context=0, size=4)
    assert np.array_equal(crop, IMAGE[8:12, 10:14])


def test_context_is_a_share_of_each_side():
    one = building(box(20, 20, 30, 24))  # enlarged to 15 … 35 and 18 … 26
    expected = np.array(
        Image.fromarray(IMAGE[18:26, 15:35]).resize((8, 8), Image.Resampling.BILINEAR)
    )
    assert np.array_equal(crop_building(IMAGE, one, context=0.5, size=8), expected)


def test_no_crop_has_a_bar_beyond_the_image():
    white = np.full((20, 20, 3), 255, np.uint8)
    for corners in ((-4, 16, 4, 24), (0, 0, 3, 3), (17, 5, 20, 9), (-9, -9, 30, 30)):
        crop = crop_building(white, building(box(*corners)), context=0.8, size=8)
        assert (crop == 255).all()


def test_a_polygon_without_width_gives_a_crop_of_one_pixel():
    dot = building(Polygon([(5, 7), (5, 7), (5, 7)]))
    assert np.array_equal(crop_building(IMAGE, dot, context=0.8, size=1)[0, 0], IMAGE[7, 5])


@pytest.mark.parametrize("far", [1e6, HUGE, 1e300])
def test_a_huge_box_needs_no_huge_memory_or_time(far):
    start = time.perf_counter()
    whole = crop_building(IMAGE, building(box(0, 0, *IMAGE.shape[1::-1])), context=0, size=16)
    for context in (0, 0.8, 1e300):
        one = building(box(-far, -far, far, far))
        assert np.array_equal(crop_building(IMAGE, one, context=context, size=16), whole)
    assert time.perf_counter() - start < 1


def test_a_building_without_box_cannot_be_cropped():
    with pytest.raises(ValueError, match=r"'a' has an empty polygon.*is_empty"):
        crop_building(IMAGE, building(Polygon()), context=0.8, size=8)


@pytest.mark.parametrize(
    "image",
    [
        IMAGE.astype(np.float32),
        IMAGE[:, :, 0],
        IMAGE.transpose(2, 0, 1),
        IMAGE[:, :, :2],
        IMAGE[None],
        IMAGE[:0],
    ],
)
def test_an_image_of_another_kind_is_refused(image):
    with pytest.raises(XbdError, match="expected a uint8 image h x w x 3, got "):
        crop_building(image, building(box(1, 1, 5, 5)), context=0.8, size=8)


@pytest.mark.parametrize(
    ("context", "size"), [(-0.1, 8), (float("nan"), 8), (float("inf"), 8), (0.8, 0), (0.8, -3)]
)
def test_a_wrong_context_or_size_is_refused(context, size):
    with pytest.raises(ValueError, match=f"context={context}, size={size}"):
        crop_building(IMAGE, building(box(1, 1, 5, 5)), context=context, size=size)


def test_a_view_of_an_image_is_cropped_like_a_copy():
    view, one = IMAGE[::-1, ::2], building(box(2, 2, 9, 9))
    assert np.array_equal(
        crop_building(view, one, context=0.5, size=8),
        crop_building(view.copy(), one, context=0.5, size=8),
    )


def test_crops_of_a_real_scene_equal_pillows(test_data):
    scene = find_scenes(test_data / "xbd")[2]
    image = read_image(scene.post_image)
    for one in read_buildings(scene.post_label):
        crop = crop_building(image, one, context=0.8, size=64)
        assert np.array_equal(crop, plain_crop(image, one, context=0.8, size=64))
        assert crop.std() > 5
