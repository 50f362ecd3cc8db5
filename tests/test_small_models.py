"""The masked autoencoder and the captioner: their scripts, and what ships of them."""

import json
import warnings
from pathlib import Path

import numpy as np
import open_clip
import pytest
import test_training_tools
import torch
import transformers
from open_clip import coca_model
from open_clip.loss import CoCaLoss
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoImageProcessor, ViTMAEForPreTraining
from transformers.models.vit_mae import modeling_vit_mae

import mini_earth
from course_utils.hub import locate
from tools import train_small_coca as coca
from tools import train_small_mae as mae
from tools import training
from tools.training import Captioned, normalized, tokenize, whole_images

CPU = torch.device("cpu")
TINY_MAE = ["--layers", "1", "1", "--width", "32", "32"]
TINY_COCA = ["--layers", "1", "1", "1", "--width", "64", "64"]


data, run = test_training_tools.data, test_training_tools.run
_same_threads = test_training_tools._same_threads


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Captioned:
    """Views in the training styles of a stream that no script draws from."""
    work = tmp_path_factory.mktemp("fresh")
    return training.render_views(
        64, styles=mini_earth.TRAIN_STYLES, seed=77, work=work, processes=0
    )


def load_mae(folder: Path) -> ViTMAEForPreTraining:
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("error")
        net, info = ViTMAEForPreTraining.from_pretrained(folder, output_loading_info=True)
    assert not any(info.values()), info
    assert {value.dtype for value in net.parameters()} == {torch.float32}
    return net.eval()


def load_coca(folder: Path) -> tuple[coca_model.CoCa, open_clip.tokenizer.HFTokenizer]:
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("error")
        net = open_clip.create_model(f"local-dir:{folder}")
        tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    stored = load_file(folder / "open_clip_model.safetensors")
    assert sorted(stored) == sorted(net.state_dict())
    for key, value in net.state_dict().items():
        torch.testing.assert_close(value, stored[key].float(), rtol=0, atol=0)
    return net.eval(), tokenizer


def read_run(args) -> tuple[dict, dict[str, Tensor]]:
    """Give (metrics, averaged weights)."""
    folder = args.work / args.name
    metrics = json.loads((folder / "metrics.json").read_text())
    return metrics, training.read_checkpoint(folder)["ema"]


def trained(script, options: list[str], folder: Path) -> tuple[Path, dict]:
    script.main(options)
    args = script.parse(options)
    metrics, _ = read_run(args)
    (args.models / args.name).rename(folder)
    return folder, metrics


# --- The scripts ------------------------------------------------------------------------------


def test_the_autoencoder_script_writes_a_folder_that_transformers_loads(run, tmp_path):
    folder, metrics = trained(mae, [*run, *TINY_MAE], tmp_path / "moved elsewhere")
    net = load_mae(folder)
    stored = load_file(folder / "model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float16}
    _, state = read_run(mae.parse(run))
    for key, value in training.halved(state).items():
        torch.testing.assert_close(net.state_dict()[key], value.float(), rtol=0, atol=0)
    image = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    pixels = (image * 255).round().byte()
    shown = AutoImageProcessor.from_pretrained(folder)(pixels, return_tensors="pt")
    wanted = normalized(pixels[None] / 255)
    torch.testing.assert_close(shown["pixel_values"], wanted, atol=1e-5, rtol=0)
    card = (folder / "README.md").read_text()
    assert (
        f"| mini_earth, small_mae | {metrics['validation']['mini_earth, small_mae']:.4f} |" in card
    )
    assert "never seen EuroSAT" in card


def test_the_captioner_script_writes_a_folder_that_open_clip_loads(run, tmp_path):
    folder, metrics = trained(coca, [*run, *TINY_COCA], tmp_path / "moved elsewhere")
    net, tokenizer = load_coca(folder)
    said = ["a beach seen from above", "a beach " * 100]
    tokens = tokenizer(said)
    assert tokens.shape == (2, coca.CONTEXT_LENGTH)
    assert (tokens == tokenize(tokenizer.tokenizer, said)).all()
    end = tokenizer.tokenizer.eos_token_id
    assert (tokens == end).sum(dim=1).tolist() == [1, 1]
    assert tokens[0, -1] == net.pad_id == 0 != end
    card = (folder / "README.md").read_text()
    key = "mini_earth scenes: class named, images shuffled"
    assert f"| {key} | {metrics['validation'][key]:.3f} |" in card
    assert "never seen EuroSAT" in card


@pytest.mark.parametrize(("script", "tiny"), [(mae, TINY_MAE), (coca, TINY_COCA)])
def test_a_run_of_either_script_goes_on_where_it_was(script, tiny, run, capsys):
    name = f"resumed_{len(tiny)}"
    options = [*run, *tiny, "--name", name]
    script.main(options)
    script.main([*options, "--steps", "3"])
    assert f"{name}: continuing at step 2" in capsys.readouterr().out
    args = script.parse(options)
    metrics, _ = read_run(args)
    assert metrics["steps"] == 3
    lines = (args.work / name / "loss.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["step", "2", "3"]


# --- The masked autoencoder's parts -----------------------------------------------------------


def tiny_mae() -> ViTMAEForPreTraining:
    config = mae.model_config(mae.parse(["--data", ".", "--work", ".", *TINY_MAE]))
    return mae.build(config, CPU, seed=0).eval()


def test_a_new_network_knows_where_each_patch_is_as_the_paper_has_it():
    net = tiny_mae()
    for places in (net.vit.embeddings.position_embeddings, net.decoder.decoder_pos_embed):
        table = modeling_vit_mae.build_2d_sinusoidal_position_embedding(8, 8, 32, cls_token=True)
        rows, columns = table.chunk(2, dim=1)  # the original lists the columns first
        wanted = torch.cat([columns, rows], dim=1)
        torch.testing.assert_close(places[0], wanted, atol=1e-6, rtol=0)
        assert not places.requires_grad
    assert net.decoder.mask_token.std() > 0


@torch.no_grad()
def test_the_error_under_the_mask_is_the_library_s_own_loss():
    net, noise = tiny_mae(), mae.mask_noise(4, seed=1)
    images = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    out = net(normalized(images), noise=noise)
    mask = mae.pixel_mask(out.mask)
    drawn = net.unpatchify(out.logits)
    error = mae.masked_error(drawn, normalized(images), mask)
    assert error == pytest.approx(out.loss.item(), rel=1e-5)
    for image_noise, grid in zip(noise, out.mask, strict=True):
        assert set(image_noise.argsort()[:16].tolist()) == set((grid == 0).nonzero()[:, 0].tolist())


def test_both_fills_are_exact_where_they_should_be_and_keep_what_is_seen():
    grid = torch.zeros(1, 64)
    grid[0, [9, 12, 27, 28, 35, 36, 50]] = 1  # the corners are seen: all is between seen pixels
    mask = mae.pixel_mask(grid)
    y, x = torch.meshgrid(torch.arange(64) / 64, torch.arange(64) / 64, indexing="ij")
    ramp = torch.stack([x, y, (x + y) / 2])[None]
    torch.testing.assert_close(mae.interpolated_fill(ramp, mask), ramp, atol=1e-4, rtol=0)
    spoilt = torch.where(mask > 0, torch.tensor(9.0), ramp)
    same = mae.interpolated_fill(spoilt, mask)
    torch.testing.assert_close(same, ramp, atol=1e-4, rtol=0)
    seen = ramp[0][:, mask[0, 0] == 0]
    torch.testing.assert_close(mae.mean_fill(spoilt, mask)[0, :, 5, 7], seen.mean(dim=1))


def test_beyond_the_seen_pixels_the_nearest_one_fills():
    grid = torch.ones(1, 64)
    grid[0, [0, 1, 8, 9]] = 0  # the upper left quarter of a quarter
    image = torch.zeros(1, 3, 64, 64)
    image[:, :, :16, :16] = 0.25
    assert (mae.interpolated_fill(image, mae.pixel_mask(grid)) == 0.25).all()


# --- The captioner's parts --------------------------------------------------------------------


def tiny_coca(tmp_path: Path) -> tuple[coca_model.CoCa, transformers.CLIPTokenizer]:
    texts = ["a beach", "an aerial photo of a river"]
    tokenizer = training.tokenizer_in(tmp_path, texts, max_length=24, pad_token=coca.PAD)
    config = coca.model_config(
        coca.parse(["--data", ".", "--work", ".", *TINY_COCA]), len(tokenizer)
    )
    return coca.build(config, CPU, seed=0).eval(), tokenizer


@torch.no_grad()
def test_with_no_common_class_both_losses_are_those_of_open_clip(tmp_path):
    net, tokenizer = tiny_coca(tmp_path)
    images = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    tokens = tokenize(tokenizer, ["a beach", "an aerial photo of a river", "a lake"])
    contrast, caption = coca.losses(net, images, tokens, torch.eye(3, dtype=torch.bool))
    reference = CoCaLoss(caption_loss_weight=1.0, clip_loss_weight=1.0, pad_id=net.pad_id)
    wanted = reference(**net(images, tokens))
    torch.testing.assert_close(contrast, wanted[0])
    torch.testing.assert_close(caption, wanted[1])


def generate(net: coca_model.CoCa, images: Tensor, tokenizer, monkeypatch) -> Tensor:
    """Run open_clip's own sampler at top 1; its imports fail beside transformers 5."""
    for name in (
        "LogitsProcessorList",
        "MinLengthLogitsProcessor",
        "RepetitionPenaltyLogitsProcessor",
        "MaxLengthCriteria",
        "StoppingCriteriaList",
    ):
        monkeypatch.setattr(coca_model, name, getattr(transformers, name), raising=False)
    monkeypatch.setattr(coca_model, "_has_transformers", True)
    monkeypatch.setitem(coca_model.GENERATION_TYPES, "top_k", transformers.TopKLogitsWarper)
    with torch.random.fork_rng(devices=[]):
        return net.generate(
            images,
            generation_type="top_k",
            top_k=1,
            seq_len=coca.CONTEXT_LENGTH + 1,  # the last place there is for the end token alone
            min_seq_len=0,
            sot_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )


def test_the_greedy_caption_is_what_open_clip_samples_at_top_1(fresh, monkeypatch):
    net, tokenizer = load_coca(locate("small_coca").root)
    images, tokenizer = whole_images(fresh.images)[:12], tokenizer.tokenizer
    said = coca.caption_greedily(net, tokenizer, images)
    assert len(set(said)) > 3
    rows = generate(net, normalized(images), tokenizer, monkeypatch)
    special = {tokenizer.bos_token_id, tokenizer.eos_token_id, net.pad_id}
    wanted = [tokenizer.decode([k for k in row if k not in special]) for row in rows.tolist()]
    assert said == wanted


def test_of_real_photographs_only_our_own_words_are_said():
    data = Captioned(
        source="ucmerced",
        images=torch.zeros(2, 3, 96, 96, dtype=torch.uint8),
        labels=("beach", "river"),
        sentences=(("There is a beach .",), ("It is a river .",)),
        phrases={"beach": ("a beach",), "river": ("a river", "river water")},
        meters_per_pixel=np.ones(2),
    )
    said = coca.without_foreign_sentences(data).sentences
    assert said[0] == tuple(frame.format("a beach") for frame in coca.FRAMES)
    assert len(said[1]) == 2 * len(coca.FRAMES)
    assert not any("There is" in s or "It is" in s for row in said for s in row)


@pytest.mark.parametrize(
    ("said", "phrases", "is_named"),
    [
        ("an aerial photo of many houses", ("a dense residential area", "many houses"), True),
        ("a winding river", ("wind", "a tornado"), False),
        ("tornado damage", ("wind", "a tornado"), True),
        ("a lakeside", ("a lake",), False),
    ],
)
def test_a_class_is_named_by_whole_words_without_the_article(said, phrases, is_named):
    assert coca.names(said, phrases) == is_named


# --- What ships -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["small_mae", "small_coca"])
def test_what_ships_is_what_the_lock_says_and_small(name):
    located = locate(name)  # compares every file with the lock
    assert located.origin == "shipped"
    assert located.artifact.num_bytes <= 8e6
    card = (located.root / "README.md").read_text()
    assert "It has never seen EuroSAT, nor `mini_earth.TEST_STYLE`" in card


@pytest.mark.parametrize(
    ("name", "stand_in"),
    [
        ("mae_vit_base", "small_mae"),
        ("coca_vit_b_32", "small_coca"),
        ("coca_vit_b_32_mscoco", "small_coca"),
        ("coca_vit_l_14_mscoco", "small_coca"),
    ],
)
def test_offline_the_small_models_stand_in_for_the_real_ones(name, stand_in):
    located = locate(name)
    assert (located.artifact.name, located.stand_in_for) == (stand_in, name)


def test_the_shipped_autoencoder_draws_unseen_tiles_better_than_their_mean_color(fresh):
    net, images = load_mae(locate("small_mae").root), whole_images(fresh.images)
    drawn, mask = mae.draw_again(net, images, mae.mask_noise(len(images), seed=8))
    error = mae.masked_error(drawn, images, mask)
    assert error < 0.9 * mae.masked_error(mae.mean_fill(images, mask), images, mask)
    turned = mae.masked_error(drawn.roll(1, dims=0), images, mask)  # another tile's drawing
    assert error < 0.9 * turned


def test_the_shipped_captioner_names_what_it_sees(fresh):
    net, tokenizer = load_coca(locate("small_coca").root)
    said = coca.caption_greedily(net, tokenizer.tokenizer, whole_images(fresh.images))
    named = coca.named_share(said, fresh.labels, fresh.phrases)
    other = [fresh.labels[i - 1] for i in range(len(fresh))]
    assert named > 0.2 + coca.named_share(said, other, fresh.phrases)
