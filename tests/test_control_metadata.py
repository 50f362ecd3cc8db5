import datetime
import math
from dataclasses import astuple

import numpy as np
import pytest
import torch
from diffusers.models.embeddings import TimestepEmbedding, Timesteps

from course_utils import control
from course_utils.control import metadata
from course_utils.control.metadata import Metadata
from mini_earth.camera import sun_position

RECORD = Metadata(153.3, -27.9, 0.41, 0.05, 2017, 2, 11)
# README of DiffusionSat's code
EXAMPLE = (925.8798, 345.2111, 411.4541, 0.0, 308.3333, 166.6667, 354.8387)


def test_the_published_example_is_read_back_as_a_place_and_a_day() -> None:
    (found,) = control.unscale_metadata(torch.tensor([EXAMPLE]))
    assert found.longitude == pytest.approx(153.3, abs=0.05)
    assert found.latitude == pytest.approx(-27.9, abs=0.05)
    assert found.meters_per_pixel == pytest.approx(0.41, abs=0.005)
    assert found.cloud_share is None, "zero is unknown"
    assert (found.year, found.month, found.day) == pytest.approx((2017, 2, 11), abs=1e-3)


def test_a_record_is_scaled_as_the_published_example() -> None:
    near = Metadata(153.31673, -27.862, 0.4114541, None, 2017, 2, 11)
    torch.testing.assert_close(
        control.scale_metadata([near])[0], torch.tensor(EXAMPLE), atol=2e-3, rtol=0
    )


def test_scaling_is_undone_for_any_record() -> None:
    rng = np.random.default_rng(0)
    lows, highs = np.array(list(metadata.RANGES.values())).T
    records = [Metadata(*rng.uniform(lows, highs).tolist()) for _ in range(50)]
    found = control.unscale_metadata(control.scale_metadata(records))
    for record, again in zip(records, found, strict=True):
        assert astuple(again) == pytest.approx(astuple(record), rel=1e-4, abs=1e-3)


def test_no_day_of_the_year_leaves_its_range_on_the_way_back() -> None:
    records = [Metadata(month=month, day=day) for month in range(1, 13) for day in range(1, 32)]
    assert control.unscale_metadata(control.scale_metadata(records)) == records


def test_the_ends_of_the_ranges_scale_to_0_and_1000() -> None:
    low = control.scale_metadata([Metadata(-180, -90, 0.01, 0, 1980, 1, 1)])[0]
    high = control.scale_metadata([Metadata(180, 90, 1, 1, 2100, 12, 31)])[0]
    assert low[[0, 1, 3, 4]].tolist() == [0, 0, 0, 0]
    torch.testing.assert_close(high, torch.full((7,), 1000.0))


def test_what_is_unknown_is_zero_and_no_record_is_no_row() -> None:
    assert control.scale_metadata([Metadata()]).tolist() == [[0.0] * 7]
    assert control.scale_metadata([]).shape == (0, 7)
    assert control.unscale_metadata(torch.zeros(1, 7)) == [Metadata()]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ((2017, 2, 11, 0.41, 5, -27.9, 153.3), "longitude"),  # CRS-Diff's order
        ((-27.9, 153.3), "latitude"),  # latitude first
        ((0, 0, 1, 5), "cloud_share"),  # in percent
        ((0, 0, 410), "meters_per_pixel"),
        ((0, 0, 0.0), "meters_per_pixel"),
        ((math.nan,), "longitude"),
        ((0, 0, 1, 0, 2017, 13), "month"),
        ((0, 0, 1, 0, 2017, 1, 32), "day"),
        ((0, 0, 1, 0, 17), "year"),
    ],
)
def test_a_number_out_of_its_place_is_named_with_the_order(values: tuple, field: str) -> None:
    with pytest.raises(ValueError, match=rf"^{field}: expected .*longitude, latitude.*CRS-Diff"):
        Metadata(*values)


def test_a_row_that_forgot_the_shifts_is_refused() -> None:
    forgot = torch.tensor([[0.0] * 7, [0, 0, 410, 0, 1000 * 2015 / 120, 500, 500]])
    with pytest.raises(ValueError, match=r"row 1 does not come from scale_metadata.*year"):
        control.unscale_metadata(forgot)


def test_crs_diff_reads_the_same_record_in_its_own_order() -> None:
    values = (2017, 2, 11, 0.41, 5.0, -27.9, 153.3)
    assert astuple(control.from_crs_diff(values)) == pytest.approx(astuple(RECORD))
    ends = ((1980, 2024), (0, 12), (0, 31), (0, 5), (0, 100), (-90, 90), (-180, 180))
    oracle = [np.interp(value, pair, (0, 1)) for value, pair in zip(values, ends, strict=True)]
    assert control.scale_for_crs_diff(RECORD).tolist() == pytest.approx(oracle)
    assert control.scale_for_crs_diff(Metadata()).tolist() == [0.0] * 7


def test_what_crs_diff_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match=r"0 to 5, got 10; leave it out"):
        control.scale_for_crs_diff(Metadata(meters_per_pixel=10.0))
    with pytest.raises(ValueError, match=r"1980 to 2024, got 2050"):
        control.scale_for_crs_diff(Metadata(year=2050))
    with pytest.raises(ValueError, match=r"expected 7 numbers .*, got 6"):
        control.from_crs_diff((2017, 2, 11, 0.41, 5.0, -27.9))
    with pytest.raises(ValueError, match="longitude"):
        control.from_crs_diff((153.3, -27.9, 0.41, 5, 2017, 2, 11))  # DiffusionSat's order


def test_waves_are_those_of_the_formula() -> None:
    rows, dim = control.scale_metadata([RECORD, Metadata()]), 8
    waves = metadata.metadata_waves(rows, dim)
    assert waves.shape == (2, 7, dim)
    for n, row in enumerate(rows.tolist()):
        for j, m in enumerate(row):
            for i in range(dim // 2):
                omega = 10_000 ** (-2 * i / dim)
                found = waves[n, j, i].item(), waves[n, j, i + dim // 2].item()
                assert found == pytest.approx((math.cos(omega * m), math.sin(omega * m)), abs=1e-3)


def test_the_embedding_is_the_sum_of_diffusers_own_layers() -> None:
    rows, oracle = control.scale_metadata([RECORD, Metadata(), Metadata(month=6)]), 0
    wave = Timesteps(32, flip_sin_to_cos=True, downscale_freq_shift=0)
    with torch.random.fork_rng():
        net = control.MetadataEmbedding(dim=32, width=48)
        for j, part in enumerate(net.metadata_embedding):
            layer = TimestepEmbedding(32, 48)
            part.load_state_dict(layer.state_dict())  # the same names
            oracle = oracle + layer(wave(rows[:, j]))
    torch.testing.assert_close(net(rows), oracle, atol=1e-4, rtol=1e-4)


def test_a_new_embedding_adds_nothing_and_then_learns() -> None:
    with torch.random.fork_rng():
        net = control.MetadataEmbedding(dim=16, width=24)
    rows = control.scale_metadata([RECORD])
    assert net(rows).tolist() == [[0.0] * 24]
    net(rows).sum().backward()
    assert all(part.linear_2.weight.grad.abs().sum() > 0 for part in net.metadata_embedding)


@pytest.mark.parametrize(("latitude", "sign"), [(50.0, 1), (0.0, 1), (-37.0, -1)])
def test_midsummer_is_when_the_sun_stands_highest_there(latitude: float, sign: int) -> None:
    assert control.summer_of(Metadata(0, latitude, month=6, day=21)) == pytest.approx(
        sign, abs=2e-3
    )
    assert control.summer_of(Metadata(0, latitude, month=12, day=21)) == pytest.approx(
        -sign, abs=2e-3
    )


def test_summer_follows_the_sun_at_noon() -> None:
    noons, found = [], []
    for number in range(0, 365, 5):
        date = datetime.date(2019, 1, 1) + datetime.timedelta(days=number)
        noons.append(sun_position(45.0, number + 1, hour=12.0)[1])
        found.append(control.summer_of(Metadata(0, 45.0, month=date.month, day=date.day)))
    heights = 2 * (np.array(noons) - min(noons)) / (max(noons) - min(noons)) - 1
    assert np.abs(heights - found).max() < 0.05


def test_a_season_needs_a_hemisphere_and_a_month() -> None:
    assert control.summer_of(Metadata(latitude=1, month=6)) == pytest.approx(1, abs=0.02)
    for record in (Metadata(month=6), Metadata(latitude=4)):
        with pytest.raises(ValueError, match="needs latitude and month"):
            control.summer_of(record)
