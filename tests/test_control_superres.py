"""Super-resolution: what is copied, predicted and drawn; and masks for what is painted anew."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel
from safetensors.torch import save_file
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from tiny_models import write_tiny_text2image
from torch.nn import functional as F

import mini_earth
from course_utils import control
from course_utils.control.superres import enlarge_colors
from course_utils.hub import locate
from course_utils.text2image import GenerationConfig, load_pipeline
from tools import training
from tools.control import likeness


def bands(num: int = 2) -> torch.Tensor:
    views = list(mini_earth.sample_views(num, size=64, seed=3, styles=mini_earth.TRAIN_STYLES))
    images = torch.from_numpy(np.stack([view.image.transpose(2, 0, 1) for view in views]))
    land = torch.from_numpy(np.stack([view.land_cover for view in views]))
    return control.simulate_bands(images, land)


def small(seed: int = 0) -> control.SmallSR:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return control.SmallSR(channels=8, num_blocks=1)


def test_bicubic_is_pillows_kernel_on_the_visible_colors():
    seen = bands()
    x = enlarge_colors(seen)
    # Keys' kernel with a = -0.75 at the four offsets of a pixel split in four, by hand
    colors = control.colors_of_bands(seen)
    offset = 0.5 / 4 - 0.5 + 1  # of the first of a pixel's four, from its left neighbor
    distances = np.abs(np.arange(-1, 3) - offset)
    a = -0.75
    near = (a + 2) * distances**3 - (a + 3) * distances**2 + 1
    far = a * distances**3 - 5 * a * distances**2 + 8 * a * distances - 4 * a
    weights = torch.tensor(np.where(distances <= 1, near, far), dtype=torch.float32)
    patch = colors[:, :, 4:8, 4:8]  # output pixel (24, 24) lies between 5 and 6
    expected = (patch * weights[:, None] * weights[None]).sum(dim=(2, 3))
    assert torch.allclose(x[:, :, 24, 24], expected, atol=1e-5)
    assert control.bicubic(seen).shape == (2, 3, 64, 64)


def test_even_bands_give_an_even_picture_of_the_same_color():
    images = torch.full((1, 3, 64, 64), 77, dtype=torch.uint8)
    assert torch.equal(control.bicubic(control.bands_from_rgb(images)), images)


def test_an_untrained_network_answers_with_the_bicubic_picture():
    seen = bands()
    assert torch.equal(small().enlarge(seen), control.bicubic(seen))


def test_a_network_learns_what_bicubic_leaves_blurred():
    seen, net = bands(), small()
    truth = F.avg_pool2d(enlarge_colors(seen), 1) * 0.5 + 0.2
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    losses = []
    for _ in range(30):
        loss = (net(seen) - truth).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.75 * losses[0]


def test_every_output_pixel_comes_from_its_own_place():
    net = small()
    torch.nn.init.normal_(net.tail.weight, std=0.1, generator=torch.Generator().manual_seed(1))
    seen = bands(1)
    changed = seen.clone()
    changed[:, :, 12, 12] = 0.9
    difference = (net(changed) - net(seen)).abs().sum(dim=1)[0] > 1e-6
    rows, columns = difference.nonzero().unbind(1)
    assert 20 <= rows.min() < 48 <= rows.max() + 4
    assert 20 <= columns.min() < 48 <= columns.max() + 4
    assert not difference[:20].any()


def write(root: Path, **changes: object) -> control.SmallSR:
    net = small(1)
    torch.nn.init.normal_(net.tail.weight, std=0.1, generator=torch.Generator().manual_seed(1))
    root.mkdir(parents=True)
    save_file(training.halved(net.state_dict()), root / "model.safetensors", {"format": "pt"})
    (root / "config.json").write_text(json.dumps({"channels": 8, "num_blocks": 1} | changes))
    return net


def test_a_folder_is_read_in_single_precision_and_leaves_the_worlds_chance_alone(tmp_path):
    net, before = write(tmp_path / "sr"), torch.random.get_rng_state()
    found = control.load_small_sr(str(tmp_path / "sr"))
    assert torch.equal(before, torch.random.get_rng_state())
    assert next(found.parameters()).dtype == torch.float32
    seen = bands()
    assert (found.enlarge(seen).int() - net.enlarge(seen).int()).abs().max() <= 1


@pytest.mark.parametrize("changes", [{"channels": 16}, {"num_blocks": "x"}, {"channels": None}])
def test_settings_of_another_network_are_refused(tmp_path, changes):
    write(tmp_path / "sr", **changes)
    with pytest.raises(ValueError, match=r"config\.json"):
        control.load_small_sr(str(tmp_path / "sr"))


@pytest.mark.parametrize("enlarge", [control.bicubic, small().enlarge])
def test_integers_of_a_satellite_are_refused_with_advice(enlarge):
    with pytest.raises(ValueError, match="divide Sentinel-2's integers by 10,000"):
        enlarge(torch.full((1, 10, 16, 16), 1200.0))


# --- Drawing ----------------------------------------------------------------------------------


CONFIG = GenerationConfig(num_sample_steps=3, height=16, width=16, batch_size=2, guidance_scale=5.0)
SEEN = torch.rand(3, 10, 4, 4, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory):
    root = tmp_path_factory.mktemp("models") / "tiny_text2image"
    write_tiny_text2image(root)
    return load_pipeline(str(root), device="cpu")


def told(model, *, channels: int = 10, is_trained: bool = True) -> control.Controlled:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = ControlNetModel.from_unet(
            model.pipeline.unet,
            conditioning_channels=channels,
            conditioning_embedding_out_channels=(4, 8),
        )
        if is_trained:
            for layer in (net.controlnet_cond_embedding.conv_out, *net.controlnet_down_blocks):
                torch.nn.init.normal_(layer.weight, std=3.0)
    return control.Controlled(model, "tiny", net.eval().requires_grad_(False), None)


def test_a_seed_draws_the_same_picture_in_any_batch_and_another_seed_another(model):
    controlled = told(model)
    three = control.super_resolve(controlled, SEEN, config=CONFIG, seeds=[4, 5, 4])
    assert (three.shape, three.dtype) == ((3, 16, 16, 3), np.uint8)
    (alone,) = control.super_resolve(controlled, SEEN[2:], config=CONFIG, seeds=[4])
    assert abs(three[2].astype(int) - alone.astype(int)).max() <= 2
    same = control.super_resolve(controlled, SEEN[[0, 0]], config=CONFIG, seeds=[4, 5])
    assert abs(same[0].astype(int) - same[1].astype(int)).max() > 10


def test_the_bands_change_the_picture_of_the_same_seed(model):
    two = control.super_resolve(told(model), SEEN[:2], config=CONFIG, seeds=[4, 4])
    assert abs(two[0].astype(int) - two[1].astype(int)).max() > 4  # above what batches change


def test_a_controlnet_that_adds_nothing_draws_what_the_generator_draws_unasked(model):
    drawn = control.super_resolve(told(model, is_trained=False), SEEN[:1], config=CONFIG, seeds=[9])
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(9))
    expected = model.pipeline(
        "", guidance_scale=1.0, num_inference_steps=3, latents=latents, height=16, width=16
    ).images[0]
    assert abs(drawn[0].astype(int) - np.asarray(expected).astype(int)).max() <= 2


@pytest.mark.parametrize(
    ("seen", "channels", "message"),
    [
        (torch.rand(1, 13, 4, 4), 10, "drop three of Sentinel-2's thirteen"),
        (torch.rand(1, 10, 16, 16), 10, "maps: expected a tensor of shape"),
        (SEEN[:1] * 10_000, 10, "divide Sentinel-2's integers"),
        (SEEN[:1], 18, "channels of the ControlNet"),
    ],
)
def test_what_the_generator_cannot_be_told_is_refused(model, seen, channels, message):
    unchecked = getattr(control.super_resolve, "__wrapped__", control.super_resolve)
    with pytest.raises(ValueError, match=message):
        unchecked(told(model, channels=channels), seen, config=CONFIG, seeds=[0])


def test_a_sentence_may_be_missing_only_where_maps_are_told(model):
    config = dataclasses.replace(CONFIG, guidance_scale=1.0)
    with pytest.raises(ValueError, match="none of them empty"):
        control.draw(told(model), [""], config=config)


# --- Likeness ---------------------------------------------------------------------------------


def noisy(size: float) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(60, 200, (3, 3, 64, 64), generator=generator).float()
    noise = size * torch.randn(truth.shape, generator=generator)
    return (truth + noise).round().byte(), truth.byte()


def test_pixels_and_structure_are_compared_as_scikit_image_does():
    images, truth = noisy(12)
    for i, (psnr, ssim) in enumerate(
        zip(likeness.signal_to_noise(images, truth), likeness.structure(images, truth), strict=True)
    ):
        pair = [each[i].permute(1, 2, 0).numpy() / 255 for each in (truth, images)]
        assert psnr.item() == pytest.approx(peak_signal_noise_ratio(*pair, data_range=1), abs=1e-3)
        options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        expected = structural_similarity(*pair, channel_axis=2, data_range=1, **options)
        assert ssim.item() == pytest.approx(expected, abs=0.02)  # the rims are treated otherwise


@pytest.mark.parametrize("make", [likeness.Mae, likeness.EarlyClip])
def test_features_of_the_same_image_are_the_same_and_more_noise_is_farther(make):
    net = make(locate("small_mae" if make is likeness.Mae else "small_clip").root)
    (little, truth), (much, _) = noisy(4), noisy(40)
    none, near, far = (likeness.feature_distance(net, x, truth) for x in (truth, little, much))
    assert none.max() < 1e-6
    assert (far > 2 * near).all()
    assert (near > 1e-4).all()


def test_patches_keep_their_places_in_features():
    net = likeness.Mae(locate("small_mae").root)
    images = torch.zeros(1, 3, 64, 64)
    changed = images.clone()
    changed[..., 8:16, 40:48] = 1  # row 1, column 5 of patches
    first, other = (next(iter(net.features(each))) for each in (images, changed))
    assert (first - other).square().sum(dim=1)[0].flatten().argmax() == 1 * 8 + 5


# --- Masks ------------------------------------------------------------------------------------


SQUARE = np.array([(10.0, 20.0), (14.0, 20.0), (14.0, 30.0), (10.0, 30.0)])


def test_a_mask_holds_the_outline_and_its_margin():
    mask = control.mask_from_outlines([SQUARE], size=64, margin=2)
    assert (mask.shape, mask.dtype) == ((64, 64), bool)
    rows, columns = mask.nonzero()
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (18, 32, 8, 16)
    assert mask[18:33, 8:17].all()


def test_without_margin_only_the_outline_is_marked():
    mask = control.mask_from_outlines([SQUARE], size=64, margin=0)
    assert mask.sum() == 5 * 11


def test_buildings_of_the_world_are_covered():
    for view_seed in range(3):
        scene = mini_earth.make_scene("dense_residential", "temperate_airborne", seed=view_seed)
        outlines = [outline.points for outline in mini_earth.outlines(scene)]
        mask = control.mask_from_outlines(outlines, size=64)
        roofs = mini_earth.render(scene).land_cover == mini_earth.LAND_COVER.index("building")
        assert mask[roofs].mean() > 0.9


@pytest.mark.parametrize(
    ("outlines", "message"),
    [
        ([], "none lies in the image"),
        ([SQUARE + 100], "none lies in the image of 64 x 64"),
        ([SQUARE[:2]], r"outlines\[0\]: expected the x and y of at least three"),
        ([SQUARE, SQUARE.ravel()], r"outlines\[1\]"),
    ],
)
def test_a_mask_of_nothing_is_refused(outlines, message):
    unchecked = getattr(control.mask_from_outlines, "__wrapped__", control.mask_from_outlines)
    with pytest.raises(ValueError, match=message):
        unchecked(outlines, size=64)
