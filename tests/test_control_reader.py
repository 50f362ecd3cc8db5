import json
from dataclasses import astuple
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import mini_earth
from course_utils import control, hub
from course_utils.control import Metadata, reader
from tools import measure_metadata, train_small_metadata, train_small_reader, training
from tools.control.views import ToldViews

CHANNELS, STEM = (8, 8, 8, 8), 8
CONFIG = {"channels": CHANNELS, "stem": STEM, "mean": [1.5, 0.02, 0.1], "std": [1.0, 0.05, 0.7]}


def write_reader(root: Path, state: dict | None = None, **changed: object) -> Path:
    root.mkdir(exist_ok=True)
    state = state or reader.build_reader(CHANNELS, stem=STEM).state_dict()
    save_file(training.halved(state), root / "model.safetensors")
    (root / "config.json").write_text(json.dumps(CONFIG | changed))
    return root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_reader(tmp_path / "reader")


@pytest.fixture
def views() -> ToldViews:
    rng = np.random.default_rng(0)
    columns = [
        rng.uniform(-180, 180, 40),
        rng.uniform(-60, 60, 40),
        rng.uniform(0.8, 12, 40),
        np.where(np.arange(40) % 8 == 0, 0.05, 0.0),
        np.full(40, 2019.0),
        rng.integers(1, 13, 40),
        rng.integers(1, 29, 40),
    ]
    images = torch.from_numpy(rng.integers(0, 256, (40, 3, 64, 64), np.uint8))
    flat = torch.zeros(40, 64, 64, dtype=torch.uint8)
    told = torch.from_numpy(np.stack(columns, axis=1)).float()
    return ToldViews(images, flat, flat, told, ("a forest, winter with snow",) * 40, ("x",) * 40)


def test_a_reader_reads_three_numbers_of_each_image_in_their_ranges(folder: Path) -> None:
    found = control.load_reader(str(folder), device="cpu")
    pixels = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), np.uint8)
    read = control.read_metadata(found, pixels)
    assert tuple(read) == ("meters_per_pixel", "cloud_share", "summer")
    assert all(values.shape == (5,) for values in read.values())
    assert (read["meters_per_pixel"] > 0).all()
    assert ((read["cloud_share"] >= 0) & (read["cloud_share"] <= 1)).all()
    assert (read["summer"].abs() <= 1).all()
    alone = control.read_metadata(found, pixels[3:4])
    torch.testing.assert_close(alone["summer"], read["summer"][3:4], atol=1e-5, rtol=1e-5)


def test_a_network_that_says_nothing_gives_the_means(tmp_path: Path) -> None:
    state = reader.build_reader(CHANNELS, stem=STEM).state_dict()
    state |= {key: torch.zeros_like(state[key]) for key in ("fc.weight", "fc.bias")}
    found = control.load_reader(str(write_reader(tmp_path / "r", state)), device="cpu")
    read = control.read_metadata(found, np.zeros((1, 64, 64, 3), np.uint8))
    assert [read[name].item() for name in reader.FIELDS] == pytest.approx([2**1.5, 0.02, 0.1])
    state["fc.bias"] = torch.tensor([1.0, -9.0, 9.0])
    found = control.load_reader(str(write_reader(tmp_path / "r", state)), device="cpu")
    read = control.read_metadata(found, np.zeros((1, 64, 64, 3), np.uint8))
    assert [read[name].item() for name in reader.FIELDS] == pytest.approx([2**2.5, 0, 1])


def test_no_image_gives_no_number(folder: Path) -> None:
    read = control.read_metadata(
        control.load_reader(str(folder)), np.zeros((0, 64, 64, 3), np.uint8)
    )
    assert [len(values) for values in read.values()] == [0, 0, 0]


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Call as a learner does, whose shapes nobody checks before the function."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("shape", [(1, 32, 32, 3), (1, 3, 64, 64), (64, 64, 3)])
def test_images_of_another_size_are_refused_and_not_resized(folder: Path, shape: tuple) -> None:
    found = control.load_reader(str(folder))
    with pytest.raises(ValueError, match=r"expected bytes .* n x 64 x 64 x 3"):
        control.read_metadata(found, np.zeros(shape, np.uint8))


@pytest.mark.usefixtures("unchecked")
def test_images_that_were_scaled_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="got float32"):
        control.read_metadata(
            control.load_reader(str(folder)), np.zeros((1, 64, 64, 3), np.float32)
        )


def test_building_a_reader_leaves_the_random_state_alone_and_is_repeatable() -> None:
    before = torch.random.get_rng_state()
    first, second = (reader.build_reader(CHANNELS, stem=STEM).state_dict() for _ in range(2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize(
    "changed",
    [
        {"channels": [16, 8, 8, 8]},
        {"std": [1.0, 0.0, 1.0]},
        {"mean": [1.0]},
        {"mean": None},
        {"channels": 8},
        {"weights": "elsewhere/model"},
    ],
)
def test_settings_that_describe_no_such_reader_are_refused(tmp_path: Path, changed: dict) -> None:
    root = write_reader(tmp_path / "r", **changed)
    with pytest.raises(ValueError, match=r"does not load|is not loaded"):
        control.load_reader(str(root))


def test_a_damaged_or_missing_reader_is_refused(folder: Path, tmp_path: Path) -> None:
    state = load_file(folder / "model.safetensors")
    state["fc.bias"] = torch.full_like(state["fc.bias"], torch.nan)
    save_file(state, folder / "model.safetensors")
    with pytest.raises(ValueError, match="no numbers"):
        control.load_reader(str(folder))
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"safetensors"):
        control.load_reader(str(folder))
    with pytest.raises(ValueError, match="neither a known artifact"):
        control.load_reader(str(tmp_path / "nowhere"))


# --- What trains ------------------------------------------------------------------------------


def test_a_sentence_loses_season_and_snow_and_nothing_else() -> None:
    assert train_small_metadata.silent("a forest, winter with snow") == "a forest"
    assert train_small_metadata.silent("a river, spring") == "a river"
    said = "a summer camp with snowdrifts in a temperate region"
    assert train_small_metadata.silent(said) == said


def test_each_number_is_left_out_in_its_share_and_all_in_theirs() -> None:
    rows = train_small_metadata.drop_numbers(torch.ones(20_000, 7), np.random.default_rng(0))
    assert (rows == 0).float().mean(dim=0).tolist() == pytest.approx([0.19] * 7, abs=0.02)
    all_left_out = (rows == 0).all(dim=1).float().mean().item()
    assert all_left_out == pytest.approx(0.1, abs=0.01)


def test_about_a_third_of_a_batch_is_cloudy() -> None:
    told = torch.arange(1000) % 8 == 0  # an eighth, as in the world
    draw = train_small_metadata.draw_rows
    rows = draw(told.nonzero()[:, 0], 1000, np.random.default_rng(0), batch=9000)
    assert told[rows].float().mean().item() == pytest.approx(1 / 3, abs=0.02)


def test_steps_are_drawn_in_proportion_to_their_number() -> None:
    class Base:
        alpha_bar = torch.linspace(0.99, 0.01, 1000)

    x_t, t, v = train_small_metadata.noise(
        Base, torch.zeros(20_000, 1, 1, 1), torch.Generator().manual_seed(0)
    )
    assert (t.min().item(), t.max().item()) >= (0, 990)
    assert t.max() <= 999
    assert t.float().mean().item() == pytest.approx(2 / 3 * 1000, rel=0.01)
    assert (t < 500).float().mean().item() == pytest.approx(0.25, abs=0.01)
    a = Base.alpha_bar[t][:, None, None, None]
    torch.testing.assert_close(v, a.sqrt() * x_t / (1 - a).sqrt())  # of x_0 = 0


def test_what_numbers_say_is_said_in_words_and_what_is_left_out_is_not() -> None:
    records = [
        Metadata(0, 50, 2.0, 0.03, 2019, 6, 21),
        Metadata(0, -37, 4.0, None, 2019, 6, 21),
        Metadata(0, None, None, 0.12, 2019, 6, 21),
    ]
    sized, clouds, seasoned, seasons = train_small_metadata.spoken(
        ["a lake", "", "a road"],
        control.scale_metadata(records),
        np.random.default_rng(0),
    )
    assert sized == ["16_GOOGLE_LEVEL_a lake", "15_GOOGLE_LEVEL_", "a road"]
    assert seasoned[0] == "16_GOOGLE_LEVEL_a lake, summer"
    assert seasoned[1] == "15_GOOGLE_LEVEL_, winter"
    assert clouds.tolist() == pytest.approx([0.5, 0, 2])
    assert seasons.tolist() == pytest.approx([2, 2, 0], abs=0.01)


def test_zoom_levels_are_drawn_between_the_two_nearest() -> None:
    size = 2 ** (17 - 14.25)
    rows = control.scale_metadata([Metadata(meters_per_pixel=size)] * 4000)
    said = train_small_metadata.spoken(["x"] * 4000, rows, np.random.default_rng(0))[0]
    levels = [int(sentence.split("_", 1)[0]) for sentence in said]
    assert set(levels) == {14, 15}
    assert np.mean(levels) == pytest.approx(14.25, abs=0.03)


def test_the_teacher_weighs_each_word_by_its_number() -> None:
    class Base:
        def encode_captions(self, captions: list[str]) -> torch.Tensor:
            values = [1 + 2 * ("clouds" in said) + 4 * ("winter" in said) for said in captions]
            return torch.tensor(values).float()[:, None, None, None]

        def unet(self, x_t, t, *, encoder_hidden_states):
            class Output:
                sample = encoder_hidden_states.expand_as(x_t)

            return Output

    records = [Metadata(cloud_share=0.03), Metadata(latitude=50, month=12, day=21), Metadata()]
    goal = train_small_metadata.teach(
        Base(),
        torch.zeros(3, 1, 2, 2),
        torch.zeros(3),
        captions=["a", "b", "c"],
        rows=control.scale_metadata(records),
        rng=np.random.default_rng(0),
    )
    means = goal.mean(dim=(1, 2, 3)).tolist()
    assert means == pytest.approx([1 + 0.5 * 2, 1 + 2 * 4, 1], abs=0.05)


def test_what_is_told_is_added_to_the_step_and_to_nothing_afterwards() -> None:
    class Unet(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.time_embedding = torch.nn.Identity()

        def forward(self, t: torch.Tensor) -> torch.Tensor:
            return self.time_embedding(t)

    unet = Unet()
    with train_small_metadata.telling(unet, torch.tensor(2.0)):
        assert unet(torch.ones(3)).tolist() == [3, 3, 3]
    assert unet(torch.ones(3)).tolist() == [1, 1, 1]


def test_the_truth_is_that_of_the_record(views: ToldViews) -> None:
    size, cloud, summer = train_small_reader.truths(views).unbind(dim=1)
    torch.testing.assert_close(2**size, views.metadata[:, 2])
    assert torch.equal(cloud, views.metadata[:, 3])
    record = Metadata(*views.metadata[7].tolist())
    assert summer[7].item() == pytest.approx(control.summer_of(record))


# --- What measures ----------------------------------------------------------------------------


@pytest.mark.parametrize("field", measure_metadata.FIELDS)
def test_one_number_is_spread_and_the_others_stay(views: ToldViews, field: str) -> None:
    records = [Metadata(*row) for row in views.metadata.tolist()]
    asked = measure_metadata.vary(records, field, np.random.default_rng(0))
    dates = field == "summer"
    for before, after in zip(records, asked, strict=True):
        pairs = zip(vars(before), astuple(before), astuple(after), strict=True)
        changed = {name for name, old, new in pairs if old != new}
        assert changed <= ({"month", "day"} if dates else {field})
    months = {record.month for record in asked}
    assert months == set(range(1, 13)) or not dates
    values = measure_metadata.truth_of(asked)[field]
    low, high = {
        "meters_per_pixel": (0.9, 11),
        "cloud_share": (0.005, 0.095),
        "summer": (-0.9, 0.9),
    }[field]
    assert values.min() < low
    assert values.max() > high


def test_each_kind_of_drawing_says_what_it_is_told(views: ToldViews) -> None:
    jobs = measure_metadata.jobs_of(views, 0, 16)
    assert len(jobs) == 6
    for sentences, told, asked in jobs.values():
        assert len(sentences) == len(asked) == 16
        assert told is None or told is asked
        assert not any("winter" in sentence for sentence in sentences)
    sentences, _, asked = jobs[measure_metadata.SAID]
    for sentence, record in zip(sentences, asked, strict=True):
        level = int(sentence.split("_", 1)[0])
        assert abs(17 - level - np.log2(record.meters_per_pixel)) <= 0.5
    again = measure_metadata.jobs_of(views, 0, 16)
    assert again == jobs
    assert measure_metadata.jobs_of(views, 1, 16) != jobs


def test_reading_right_ranks_as_one_and_reading_others_as_nothing() -> None:
    truth = torch.linspace(1, 9, 200)
    right = measure_metadata.compare(truth**2, truth, "meters_per_pixel")
    assert right["rank_correlation"] == pytest.approx(1)
    assert right["mean_absolute_error"] == pytest.approx(truth.log2().mean().item(), rel=1e-4)
    other = truth[torch.randperm(200, generator=torch.Generator().manual_seed(0))]
    wrong = measure_metadata.compare(other, truth, "summer")
    assert wrong["low"] < 0 < wrong["high"]
    assert wrong["high"] - wrong["low"] < 0.4


# --- What ships -------------------------------------------------------------------------------


@pytest.mark.skipif("small_reader" not in hub.read_lock(), reason="it does not ship yet")
def test_the_shipped_reader_reads_size_from_fresh_renders() -> None:
    found = control.load_reader(device="cpu")
    pixels, sizes = [], []
    for index in range(24):
        size = 0.8 * 15 ** (index / 23)
        name = ("dense_residential", "forest", "rectangular_farmland")[index % 3]
        scene = mini_earth.make_scene(
            name, mini_earth.TRAIN_STYLES[index % 6], seed=9000 + index, extent=64 * size
        )
        pixels.append(mini_earth.render(scene, size=64).image)
        sizes.append(size)
    read = control.read_metadata(found, np.stack(pixels))["meters_per_pixel"]
    assert np.corrcoef(np.log2(sizes), read.log2().numpy())[0, 1] > 0.6
