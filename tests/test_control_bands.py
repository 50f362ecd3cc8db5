"""Ten coarse bands: each step of the sensor against what it must do to known light."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

import mini_earth
from course_utils import control
from course_utils.control import bands

TREE, WATER, BARE = (mini_earth.LAND_COVER.index(name) for name in ("tree", "water", "bareland"))


def noise(num: int = 2, size: int = 64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (num, 3, size, size), generator=generator, dtype=torch.uint8)


def cover(code: int, num: int = 2, size: int = 64) -> torch.Tensor:
    return torch.full((num, size, size), code, dtype=torch.uint8)


def light_by_hand(value: int) -> float:
    s = value / 255
    return s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4


def test_the_bands_are_sentinel_2s_without_three_and_red_before_blue():
    sentinel = ["B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B10", "B11", "B12"]
    kept = [name for i, name in enumerate(sentinel) if i not in (0, 9, 10)]
    assert list(control.BANDS) == [*reversed(kept[:3]), *kept[3:]]
    assert {control.BANDS[i] for i in bands.HALF_AS_SHARP} == {
        "B5",
        "B6",
        "B7",
        "B8A",
        "B11",
        "B12",
    }


def test_light_is_that_of_the_standard_and_comes_back():
    colors = torch.arange(256) / 255
    light = bands.light_from_colors(colors[None, None])
    assert torch.allclose(light[0, 0], torch.tensor([light_by_hand(i) for i in range(256)]))
    assert torch.allclose(bands.colors_from_light(light)[0, 0], colors, atol=1e-5)


def test_even_ground_keeps_its_light_and_its_class():
    images = torch.full((1, 3, 64, 64), 120, dtype=torch.uint8)
    seen = control.simulate_bands(images, cover(TREE, 1))
    light = light_by_hand(120)
    assert seen.shape == (1, 10, 16, 16)
    assert torch.allclose(seen[:, :3], torch.full((1, 3, 16, 16), light), atol=1e-5)
    factor = min(max(light / bands.USUAL_BRIGHTNESS[TREE], 0.3), 2)
    expected = torch.tensor(bands.REFLECTANCE[TREE]) * factor
    assert torch.allclose(seen[0, 3:].mean(dim=(1, 2)), expected, atol=1e-5)


def test_a_visible_band_is_blurred_light_averaged_over_four_by_four():
    images = noise()
    light = np.vectorize(light_by_hand)(images.numpy())
    blurred = gaussian_filter(light, (0, 0, bands.BLUR, bands.BLUR), mode="nearest", radius=6)
    expected = blurred.reshape(2, 3, 16, 4, 16, 4).mean(axis=(3, 5))
    seen = control.simulate_bands(images, cover(TREE))[:, :3]
    assert np.allclose(seen.numpy(), expected, atol=1e-5)


def test_a_quarter_of_the_finest_wave_is_left():
    wave = 0.5 + 0.4 * torch.cos(torch.pi / 4 * (torch.arange(256) - 1.5))  # 8 px: two coarse
    seen = bands._sense(wave.expand(1, 1, 256, -1), None)[0, 0, 32, 8:-8]
    assert (seen.max() - seen.min()).item() / 0.8 == pytest.approx(0.25, abs=0.01)
    gaussian = math.exp(-2 * (math.pi * bands.BLUR / 8) ** 2)
    sharp_average = np.cos(np.pi / 4 * (np.arange(4) - 1.5)).mean()
    assert gaussian * sharp_average == pytest.approx(0.25, abs=0.01)


def test_bands_of_twenty_meters_are_the_same_over_four_pixels_and_the_tenth_is_not():
    seen = control.simulate_bands(noise(), cover(TREE))
    for i, name in enumerate(control.BANDS):
        blocks = seen[:, i].reshape(2, 8, 2, 8, 2).transpose(2, 3)
        spread = blocks.reshape(2, 8, 8, 4).std(dim=-1).max()
        assert (spread < 1e-6) == (name in {"B5", "B6", "B7", "B8A", "B11", "B12"})


def test_leaves_shine_in_near_infrared_water_does_not_and_soil_does_in_short_waves():
    images = torch.full((3, 3, 64, 64), 90, dtype=torch.uint8)
    land = torch.cat([cover(code, 1) for code in (TREE, WATER, BARE)])
    red, near = (control.simulate_bands(images, land)[:, i].mean(dim=(1, 2)) for i in (0, 6))
    index = (near - red) / (near + red)
    assert index[0] > 0.5 > 0 > index[1]
    short = control.simulate_bands(images, land)[:, 8].mean(dim=(1, 2))
    assert (short > near).tolist() == [False, False, True]


def test_each_class_of_the_world_has_a_spectrum_of_its_own():
    assert len(bands.REFLECTANCE) == len(bands.USUAL_BRIGHTNESS) == len(mini_earth.LAND_COVER)
    assert len(set(bands.REFLECTANCE)) == len(bands.REFLECTANCE)
    assert all(len(row) == 7 and all(0 < v < 1 for v in row) for row in bands.REFLECTANCE)


def test_usual_brightness_is_that_of_renders():
    views = list(mini_earth.sample_views(12, size=64, seed=5, styles=mini_earth.TRAIN_STYLES))
    images = torch.from_numpy(np.stack([v.image.transpose(2, 0, 1) for v in views]))
    light = bands.light_from_colors(images.float() / 255).mean(dim=1)
    land = torch.from_numpy(np.stack([v.land_cover for v in views]))
    found = torch.stack([light[land == k].mean() for k in range(8)])
    ratio = found / torch.tensor(bands.USUAL_BRIGHTNESS)
    assert ((ratio > 0.3) & (ratio < 3)).all()


def test_photographs_show_what_is_visible_and_zeros():
    images = noise()
    seen = control.bands_from_rgb(images)
    all_seen = control.simulate_bands(images, cover(WATER))
    assert torch.equal(seen[:, :3], all_seen[:, :3])
    assert not seen[:, 3:].any()
    assert torch.equal(control.hide_invisible(all_seen), seen)
    assert all_seen[:, 3:].any()  # a copy was changed


def test_turning_the_ground_turns_the_bands():
    images, land = noise(), noise()[:, 0] % 8
    turned = control.simulate_bands(images.rot90(1, (2, 3)), land.rot90(1, (1, 2)))
    expected = control.simulate_bands(images, land).rot90(1, (2, 3))
    assert torch.allclose(turned, expected, atol=1e-6)


def test_noise_comes_from_its_generator_alone_and_has_its_size():
    images, land = noise(8), cover(TREE, 8)
    before = torch.random.get_rng_state()
    one, same = (
        control.simulate_bands(images, land, generator=torch.Generator().manual_seed(3))
        for _ in range(2)
    )
    assert torch.equal(one, same)
    assert torch.equal(before, torch.random.get_rng_state())
    difference = one - control.simulate_bands(images, land)
    assert difference.std().item() == pytest.approx(bands.NOISE, rel=0.05)
    black = control.bands_from_rgb(images * 0, generator=torch.Generator().manual_seed(3))
    assert black.min() >= 0
    assert not black[:, 3:].any()  # unknown stays zero, not noise


def test_maps_are_square_roots_four_pixels_wide():
    seen = control.simulate_bands(noise(), cover(TREE))
    maps = control.maps_from_bands(seen)
    assert maps.shape == (2, 10, 64, 64)
    for row, column in ((0, 0), (5, 62), (63, 31)):
        assert torch.equal(maps[..., row, column], seen[..., row // 4, column // 4].sqrt())


def test_colors_of_even_bands_are_the_pictures():
    images = torch.full((1, 3, 64, 64), 77, dtype=torch.uint8)
    colors = control.colors_of_bands(control.bands_from_rgb(images))
    assert torch.allclose(colors, torch.full((1, 3, 16, 16), 77 / 255), atol=1e-4)


@pytest.mark.parametrize(
    ("images", "land", "message"),
    [
        (noise(size=60), cover(TREE, size=60), "multiples of 8"),
        (noise()[0], cover(TREE)[0], r"of shape \(n, 3, h, w\)"),
        (noise(), cover(TREE, size=32), "expected one class a pixel"),
        (noise(), cover(8), "expected codes 0 to 7, got 8"),
        (noise(), cover(255), "got 255"),
        (noise() / 255, cover(TREE), "expected bytes"),
    ],
)
def test_what_cannot_be_looked_at_is_refused(images, land, message):
    unchecked = getattr(control.simulate_bands, "__wrapped__", control.simulate_bands)
    with pytest.raises(ValueError, match=message):
        unchecked(images, land)


@pytest.mark.parametrize(
    ("seen", "message"),
    [
        (torch.zeros(1, 13, 16, 16), "drop three of Sentinel-2's thirteen"),
        (torch.zeros(1, 3, 16, 16), "bands_from_rgb"),
        (torch.full((1, 10, 16, 16), 1800.0), r"0 to 1, got 1800 to 1800; divide .* by 10,000"),
        (torch.full((1, 10, 16, 16), -0.1), "reflectance 0 to 1"),
        (torch.full((1, 10, 16, 16), torch.nan), "reflectance 0 to 1"),
        (torch.ones(1, 10, 16, 16, dtype=torch.uint8), "expected floats"),
    ],
)
def test_what_is_no_reflectance_is_refused(seen, message):
    unchecked = getattr(control.maps_from_bands, "__wrapped__", control.maps_from_bands)
    with pytest.raises(ValueError, match=message):
        unchecked(seen)


def test_no_images_give_no_bands():
    assert control.simulate_bands(noise(0), cover(TREE, 0)).shape == (0, 10, 16, 16)
