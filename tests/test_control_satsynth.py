"""Images drawn with their masks: bits, pairs, tiles, what they teach, and the tools."""

import itertools
from dataclasses import asdict

import jaxtyping
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

import mini_earth
from course_utils import diffusion, runtime
from course_utils.control import satsynth, study, tiles
from course_utils.control.satsynth import Pairs
from course_utils.hub import ArtifactError
from course_utils.unet import UNet, UNetConfig
from tools import measure_satsynth, train_small_satsynth

TINY = UNetConfig(image_channels=6, channels=(8, 8), patch=2)


@pytest.fixture
def shapes_unchecked(monkeypatch):
    """Let the code itself see what it gets, as a learner's notebook does."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def some_pairs(num=4, side=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    masks = torch.randint(6, (num, side, side), generator=generator).to(torch.uint8)
    images = (satsynth.color_mask(masks) * 255).round().to(torch.uint8)
    return Pairs(images, masks)


def tiny_net(config=TINY, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNet(config).eval()


# --- Bits ---


@pytest.mark.parametrize("num_classes", [2, 3, 5, 6, 8, 16, 17, 256])
def test_bits_spell_the_number_of_a_class_and_lead_back_to_it(num_classes):
    mask = torch.arange(num_classes, dtype=torch.uint8).reshape(1, 1, -1)
    bits = satsynth.bits_from_mask(mask, num_classes=num_classes)
    for k in range(num_classes):
        spelled = "".join("1" if bit > 0 else "0" for bit in bits[0, :, 0, k])
        assert int(spelled, 2) == k
    assert set(bits.unique().tolist()) == {-1.0, 1.0}
    back, unused_share = satsynth.mask_from_bits(bits, num_classes=num_classes)
    assert torch.equal(back, mask)
    assert unused_share == 0


@pytest.mark.parametrize(("num_classes", "num_bits"), [(2, 1), (6, 3), (8, 3), (9, 4), (16, 4)])
def test_there_are_as_many_bits_as_the_logarithm_says(num_classes, num_bits):
    assert satsynth.count_bits(num_classes) == num_bits == int(np.ceil(np.log2(num_classes)))


@pytest.mark.parametrize("num_classes", [5, 6, 8])
def test_a_drawn_pixel_becomes_the_class_whose_code_is_nearest(num_classes):
    bits = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    mask, unused_share = satsynth.mask_from_bits(bits, num_classes=num_classes)
    codes = [[2 * int(d) - 1 for d in format(k, "03b")] for k in range(num_classes)]
    unused = 0
    for n, y, x in itertools.product(range(2), range(16), range(16)):
        pixel = bits[n, :, y, x].numpy()
        distances = [np.square(pixel - np.array(code)).sum() for code in codes]
        assert mask[n, y, x] == int(np.argmin(distances))
        unused += int("".join("1" if bit > 0 else "0" for bit in pixel), 2) >= num_classes
    assert unused_share == pytest.approx(unused / 512)
    assert (unused_share > 0) == (num_classes < 8)


def test_an_unused_code_gives_way_where_its_bits_are_least_sure():
    drawn = torch.tensor([[0.2, 1.0, -1.0], [1.0, 0.2, -1.0], [1.0, 1.0, -0.1]])
    bits = drawn.T[None, :, None, :]  # all of them spell 110, which six classes leave unused
    mask, unused_share = satsynth.mask_from_bits(bits, num_classes=6)
    assert mask.flatten().tolist() == [0b010, 0b100, 0b010]
    assert unused_share == 1


def test_a_mask_of_nothing_but_zeros_is_a_mask():
    bits = satsynth.bits_from_mask(torch.zeros(2, 4, 4, dtype=torch.uint8), num_classes=6)
    assert torch.equal(bits, -torch.ones(2, 3, 4, 4))


def test_bad_masks_and_bits_are_refused(shapes_unchecked):
    mask = torch.full((1, 4, 4), 255, dtype=torch.uint8)
    with pytest.raises(ValueError, match="classes 0 to 5, got 255"):
        satsynth.bits_from_mask(mask, num_classes=6)
    with pytest.raises(ValueError, match="expected 3 channels for 6 classes"):
        satsynth.mask_from_bits(torch.zeros(1, 4, 8, 8), num_classes=6)
    with pytest.raises(ValueError, match="NaN"):
        satsynth.mask_from_bits(torch.full((1, 3, 8, 8), torch.nan), num_classes=6)
    for num_classes in (0, 1, 257):
        with pytest.raises(ValueError, match="expected 2 to 256"):
            satsynth.count_bits(num_classes)


# --- Pairs ---


def test_images_and_masks_come_apart_as_they_were_joined():
    pairs = some_pairs()
    x0 = satsynth.join(pairs)
    assert x0.shape == (4, 6, 8, 8)
    assert x0[:, :3].abs().max() <= 1
    assert set(x0[:, 3:].unique().tolist()) == {-0.5, 0.5}
    back = satsynth.split(x0)
    assert torch.equal(back.images, pairs.images)
    assert torch.equal(back.masks, pairs.masks)
    assert back.unused_share == 0


def test_images_and_masks_that_do_not_lie_on_each_other_are_refused(shapes_unchecked):
    pairs = some_pairs()
    for masks in (pairs.masks[:2], pairs.masks[:, :4]):
        with pytest.raises(ValueError, match="expected images"):
            Pairs(pairs.images, masks)
    with pytest.raises(ValueError, match="bytes"):
        satsynth.join(Pairs(pairs.images.float(), pairs.masks))


def test_land_cover_is_merged_by_what_it_looks_like():
    cover = torch.arange(8, dtype=torch.uint8).reshape(1, 2, 4)
    merged = satsynth.merge_cover(cover).flatten().tolist()
    named = dict(zip(mini_earth.LAND_COVER, (satsynth.COVER[k] for k in merged), strict=True))
    assert named.pop("bareland") == named.pop("rangeland") == "open ground"
    assert named.pop("developed") == named.pop("road") == "paved"
    assert all(name == new for name, new in named.items())
    assert len(satsynth.SHOWN) == len(satsynth.COVER)
    assert satsynth.merge_cover(torch.tensor([[satsynth.SHOWN]], dtype=torch.uint8)).tolist() == [
        [[0, 1, 2, 3, 4, 5]]
    ]


# --- Drawing ---


class Knower(UNet):
    """A denoiser that knows what it is to draw."""

    def __init__(self, x0):
        super().__init__(TINY)
        self.x0 = x0
        self.alpha_bar = diffusion.NoiseSchedule.cosine(1000).exact_alpha_bar.float()

    def forward(self, x_t, t, labels=None):
        a = self.alpha_bar[t][:, None, None, None]
        return (x_t - a.sqrt() * self.x0) / (1 - a).sqrt()


def test_a_denoiser_that_knows_a_pair_draws_it():
    pair = some_pairs(1, side=satsynth.SIDE)
    with torch.random.fork_rng(devices=[]):
        net = Knower(satsynth.join(pair))
    drawn = satsynth.draw_pairs(net, 3, generator=runtime.seeded(0), num_sample_steps=4)
    assert torch.equal(drawn.masks, pair.masks.expand(3, -1, -1))
    assert (drawn.images.int() - pair.images.int()).abs().max() <= 1


def test_equal_generators_draw_equal_pairs_in_batches_of_any_size(monkeypatch):
    net = tiny_net()
    first = satsynth.draw_pairs(net, 3, generator=runtime.seeded(5), num_sample_steps=2)
    monkeypatch.setattr(satsynth, "AT_ONCE", 2)
    again = satsynth.draw_pairs(net, 3, generator=runtime.seeded(5), num_sample_steps=2)
    assert torch.equal(first.masks, again.masks)
    assert (first.images.int() - again.images.int()).abs().max() <= 1
    other = satsynth.draw_pairs(net, 3, generator=runtime.seeded(6), num_sample_steps=2)
    assert not torch.equal(first.images, other.images)
    assert 0 < first.unused_share < 1  # noise spells every code


def test_a_network_for_other_classes_is_refused():
    with pytest.raises(ValueError, match="7 channels, for 16 classes, got 3 from one with 6"):
        satsynth.draw_pairs(tiny_net(), 3, generator=runtime.seeded(0), num_classes=16)
    with pytest.raises(ValueError, match="a pair or more"):
        satsynth.draw_pairs(tiny_net(), 0, generator=runtime.seeded(0))


def write_folder(folder, config):
    folder.mkdir()
    train_small_satsynth.training.write_json(folder / "config.json", asdict(config))
    net = tiny_net(config)
    save_file(
        {k: v.contiguous() for k, v in net.state_dict().items()}, folder / "model.safetensors"
    )
    return net


def test_a_folder_is_loaded_and_one_that_draws_no_masks_refused(tmp_path):
    net = write_folder(tmp_path / "good", TINY)
    loaded = satsynth.load_satsynth(str(tmp_path / "good"))
    assert loaded.config == TINY
    assert torch.equal(loaded.first.weight, net.first.weight)
    write_folder(tmp_path / "colors", UNetConfig(channels=(8, 8)))
    with pytest.raises(ValueError, match="colors and bits, got 3 channels"):
        satsynth.load_satsynth(str(tmp_path / "colors"))
    with pytest.raises(ArtifactError, match="neither a known artifact"):
        satsynth.load_satsynth("no_such_model")


# --- Tiles ---


def test_tiles_are_the_same_each_time_and_more_of_them_begin_with_the_same(tmp_path):
    pairs = tiles.render_pairs("a", 7, styles=mini_earth.TRAIN_STYLES[:2], cache=tmp_path)
    assert pairs.images.shape == (7, 3, 32, 32)
    assert int(pairs.masks.max()) < len(satsynth.COVER)
    again = tiles.render_pairs("a", 7, styles=mini_earth.TRAIN_STYLES[:2], cache=tmp_path)
    few = tiles.render_pairs("a", 2, styles=mini_earth.TRAIN_STYLES[:2])
    other = tiles.render_pairs("b", 2, styles=mini_earth.TRAIN_STYLES[:2])
    assert torch.equal(again.images, pairs.images)
    assert torch.equal(few.images, pairs.images[:2])
    assert torch.equal(few.masks, pairs.masks[:2])
    assert not torch.equal(few.masks, other.masks)


def test_a_coarser_mask_takes_what_most_of_its_pixels_are():
    mask = torch.tensor([[[5, 5, 0, 1], [5, 2, 1, 1]]], dtype=torch.uint8)
    assert tiles.halve_mask(mask).tolist() == [[[5, 1]]]


# --- The study ---


def test_overlap_is_averaged_over_classes_that_occur():
    found = torch.tensor([[[0, 0, 1, 1]]], dtype=torch.uint8)
    asked = torch.tensor([[[0, 1, 1, 5]]], dtype=torch.uint8)
    assert study.score_masks(found, asked) == pytest.approx((1 / 2 + 1 / 3 + 0) / 3)
    assert study.score_masks(asked, asked) == 1


def test_a_segmenter_learns_to_read_colors_and_equal_seeds_learn_the_same():
    pairs = some_pairs(6, side=8)
    net = study.train_segmenter(pairs, seed=1, num_steps=120)
    assert study.score_masks(study.segment_tiles(net, pairs.images), pairs.masks) > 0.9
    nets = [study.train_segmenter(pairs, augment=True, seed=2, num_steps=2) for _ in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(*(n.parameters() for n in nets), strict=True))
    assert not nets[0].training


def test_half_of_every_batch_is_real(monkeypatch):
    real, extra, seen = some_pairs(3), some_pairs(50, seed=1), []
    draw = study._draw
    monkeypatch.setattr(study, "_draw", lambda p, n, g: seen.append((len(p), n)) or draw(p, n, g))
    study.train_segmenter(real, extra=extra, num_steps=2)
    assert seen == [(3, 8), (50, 8)] * 2
    seen.clear()
    study.train_segmenter(real, num_steps=1)
    assert seen == [(3, 16)]


def test_a_mask_is_turned_with_its_image_and_only_the_image_brightened():
    pairs = some_pairs(40)
    images, masks = study._augment(
        satsynth.to_model(pairs.images), pairs.masks, torch.Generator().manual_seed(0)
    )
    colors = satsynth.color_mask(masks)
    gains = ((images + 1) / 2).sum((1, 2, 3)) / colors.sum((1, 2, 3))
    expected = (colors * gains[:, None, None, None]).clamp(0, 1)
    assert ((images + 1) / 2 - expected).abs().mean() < 0.03
    assert not torch.equal(masks, pairs.masks)
    assert torch.equal(masks.flatten(1).sort().values, pairs.masks.flatten(1).sort().values)


def test_eight_poses_are_all_the_ways_a_square_lies_on_itself():
    tile = torch.arange(9).reshape(3, 3)
    assert len({tuple(study.turn_tile(tile, pose).flatten().tolist()) for pose in range(8)}) == 8


# --- The tools ---


def test_each_seed_has_its_own_part_where_there_are_enough():
    pairs = some_pairs(20)
    parts = [measure_satsynth.take_part(pairs, seed, 4).images for seed in range(5)]
    assert torch.equal(torch.cat(parts), pairs.images)
    assert len(measure_satsynth.take_part(pairs, 4, 20)) == 20


def test_arms_are_compared_with_real_only_seed_by_seed():
    row = {"study": "teaches", "place": "seen", "num_real": "40"}
    rows = [
        row | {"arm": "real", "by_seed": "0.1 0.2 0.3 0.4 0.5"},
        row | {"arm": "synthetic", "by_seed": "0.2 0.3 0.4 0.5 0.61"},
        row | {"arm": "retrieval", "by_seed": "0.2 0.1 0.4 0.3 0.5"},
    ]
    real, synthetic, retrieval = measure_satsynth.compare(rows)
    assert "gain" not in real
    assert synthetic["gain"] == pytest.approx(0.102)
    assert synthetic["verdict"] == "helped"
    assert retrieval["gain"] == pytest.approx(0)
    assert retrieval["verdict"] == "cannot tell"


def test_settings_differ_and_every_arm_has_its_base():
    settings = list(measure_satsynth.settings())
    assert len(set(settings)) == len(settings)
    for place, num in measure_satsynth.AMOUNTS:
        assert ("teaches", place, num, "real", 0) in settings
        found = [s[4] for s in settings if s[1:4] == (place, num, "synthetic")]
        assert tuple(found) == measure_satsynth.MULTIPLES[place, num]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Train in a tiny size, into folders of its own; give the model's folder."""
    monkeypatch.setattr(train_small_satsynth, "CONFIG", TINY)
    monkeypatch.setattr(train_small_satsynth, "SHOWN", 2)

    def run(*more):
        folders = ["--work", str(tmp_path / "work"), "--models", str(tmp_path / "models")]
        sizes = ["--renders", "6", "--validation-renders", "6", "--batch", "2", "--threads", "1"]
        with torch.random.fork_rng(devices=[]):
            train_small_satsynth.main([*folders, *sizes, "--minutes", "1", *more])
        return tmp_path / "models" / "small_satsynth"

    return run


def test_a_training_goes_on_and_leaves_a_folder_that_is_loaded(run, tmp_path, capsys):
    run("--steps", "1")
    run("--steps", "2")
    assert "continuing at step 1" in capsys.readouterr().out
    folder = run("--export")
    net = satsynth.load_satsynth(str(folder))
    assert net.config == TINY
    assert {p.name for p in folder.iterdir()} == {"config.json", "model.safetensors", "README.md"}
    card = (folder / "README.md").read_text()
    assert all(name in card for name in (*satsynth.COVER, *tiles.SCENES))
    assert str(tmp_path) not in card


def test_the_test_style_is_refused(run):
    with pytest.raises((SystemExit, ValueError), match="arid_smallsat"):
        run("--styles", mini_earth.TEST_STYLE)


def test_a_measurement_goes_on_where_it_was(tmp_path, monkeypatch):
    write_folder(tmp_path / "model", TINY)
    tool = measure_satsynth
    small = {"SEEDS": 2, "POOL": 4, "AT_A_TIME": 2, "NUM_TEST": 2, "LONG": 1}
    small |= {"AMOUNTS": (("seen", 2),), "MULTIPLES": {("seen", 2): (1,)}}
    for name, value in small.items():
        monkeypatch.setattr(tool, name, value)
    monkeypatch.setattr(tool.study, "NUM_STEPS", 1)
    monkeypatch.setattr(tool.tiles, "render_pairs", lambda *_, **__: some_pairs(8, side=32))
    table = tmp_path / "table.csv"
    words = ["--work", str(tmp_path), "--model", str(tmp_path / "model"), "--table", str(table)]
    tool.main(words)
    first = pd.read_csv(table)
    assert list(first.columns) == list(tool.COLUMNS)
    assert len(first) == len(list(tool.settings()))
    assert first.by_seed.str.split().str.len().eq(2).all()
    monkeypatch.setattr(tool.Bench, "measure", None)  # nothing is measured any more
    tool.main(words)
    assert pd.read_csv(table).equals(first)
