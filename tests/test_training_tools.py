import hashlib
import io
import json
import math
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, StableDiffusionPipeline
from PIL import Image
from safetensors.torch import load_file

import mini_earth
from tools import (
    distill_text2image,
    train_small_clip,
    train_small_coca,
    train_small_mae,
    train_small_text2image,
    training,
)
from tools.small_text2image import latents as latent_caches
from tools.small_text2image import networks
from tools.small_text2image.pipeline import SEEING, draw
from tools.training import Captioned

EUROSAT = list(training.EUROSAT_CLASSES)


@pytest.fixture(autouse=True)
def _same_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def write_parquet(path: Path, names: list[str], *, num: int, size: int, captions: bool) -> None:
    rng, rows = np.random.default_rng(0), []
    for label in range(len(names)):
        for i in range(num):
            buffer = io.BytesIO()
            pixels = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(buffer, format="PNG")
            row = {"image": {"bytes": buffer.getvalue(), "path": f"{label}_{i}"}, "label": label}
            rows.append(row | ({"captions": [f"A thing , number {i} ."]} if captions else {}))
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows).replace_schema_metadata(metadata), path)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    names = ["beach", "denseresidential"]
    train = root / "train"
    write_parquet(train / "ucmerced_captions_train.parquet", names, num=6, size=96, captions=True)
    write_parquet(train / "eurosat_spatial_train.parquet", EUROSAT, num=2, size=64, captions=False)
    write_parquet(train / "harmless.parquet", EUROSAT, num=1, size=64, captions=False)
    return root


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    work = tmp_path_factory.mktemp("run")
    folders = ["--data", str(data), "--work", str(work / "work"), "--models", str(work / "models")]
    sizes = ["--renders", "12", "--validation-renders", "12", "--processes", "0", "--batch", "8"]
    return [*folders, *sizes, "--steps", "2", "--threads", "1"]


def scripts() -> list:
    return [
        pytest.param(train_small_clip.main, [], id="clip"),
        pytest.param(train_small_mae.main, [], id="masked autoencoder"),
        pytest.param(train_small_coca.main, [], id="captioner"),
        pytest.param(train_small_text2image.main, ["vae"], id="autoencoder"),
        pytest.param(train_small_text2image.main, ["unet"], id="denoiser"),
    ]


@pytest.mark.parametrize(("main", "stage"), scripts())
def test_every_script_refuses_the_style_that_the_lab_tests_on(main, stage, run):
    styles = [mini_earth.TRAIN_STYLES[0], mini_earth.TEST_STYLE]
    with pytest.raises(ValueError, match=f"must never see {mini_earth.TEST_STYLE}"):
        main([*stage, *run, "--styles", *styles])


@pytest.mark.parametrize(("main", "stage"), scripts())
@pytest.mark.parametrize("file", ["eurosat_spatial_train.parquet", "harmless.parquet"])
def test_the_blind_models_refuse_eurosat_under_any_name(main, stage, file, run):
    with pytest.raises(ValueError, match="is EuroSAT, which this model must never see"):
        main([*stage, *run, "--file", "ucmerced_captions_train.parquet", file])


def test_only_the_seeing_generator_reads_eurosat_with_its_training_part_alone(run):
    args = train_small_text2image.parse(["unet", *run, "--name", SEEING])
    sources, held = train_small_text2image.load_sources(args)
    assert [data.source for data in sources] == ["ucmerced", "eurosat", "mini_earth"]
    assert [len(data) for data in sources] == [10, 10, 12]
    assert [len(data) for data in held] == [2, 10, 12]


def test_no_style_at_all_is_refused():
    with pytest.raises(ValueError, match="at least one style"):
        training.refuse_test_style([])


def test_the_last_tenth_of_each_class_by_row_is_set_aside():
    labels = ["a", "b"] * 20
    data = Captioned(
        source="ucmerced",
        images=torch.arange(40, dtype=torch.uint8).view(40, 1, 1, 1),
        labels=tuple(labels),
        sentences=((),) * 40,
        phrases={"a": ("an a",), "b": ("a b",)},
        meters_per_pixel=np.arange(40.0),
    )
    train, held = training.split_last_tenth(data)
    assert held.images.flatten().tolist() == [36, 37, 38, 39]
    assert train.images.flatten().tolist() == list(range(36))
    assert held.labels == ("a", "b", "a", "b")


@pytest.mark.parametrize(("meters", "level"), [(1.2, 17), (10, 14), (0.3, 18), (300, 10)])
def test_levels_follow_the_ground_sample_distance(meters, level):
    assert training.google_level(meters) == level


def test_a_caption_is_a_sentence_of_the_file_or_names_the_class(data):
    path = data / "train" / "ucmerced_captions_train.parquet"
    images = training.read_captioned(path, size=96)
    rng = np.random.default_rng(0)
    for share, most in ((0.0, 0), (0.3, 60), (1.0, 100)):
        said = [training.compose_caption(images, 0, rng, sentence_share=share) for _ in range(100)]
        sentences = [one for one in said if one == "a thing , number 0."]
        assert share * 30 <= len(sentences) <= most
        assert all("beach" in one or "coast" in one for one in said if one not in sentences)


def latents(*, sights=(), looks=()):
    """Make one view that shows what its image shows, turned once and mirrored."""
    data = Captioned(
        source="mini_earth",
        images=torch.zeros(1, 3, 64, 64, dtype=torch.uint8),
        labels=("river",),
        sentences=((),),
        phrases={"river": ("a river",)},
        meters_per_pixel=np.array([10.0]),
        sights=(sights,) if sights else (),
    )
    return latent_caches.Latents(
        data=data,
        latents=torch.zeros(1, 6, 16, 16),
        rows=np.array([0]),
        meters=np.array([10.0]),
        turns=np.array([1]),
        is_mirrored=np.array([True]),
        looks=(looks,),
    )


def test_half_of_the_captions_are_long_a_tenth_is_empty_and_half_carry_the_level():
    view = latents(sights=(mini_earth.Sight("it flows {}", 10.0, is_line=True),))
    rng = np.random.default_rng(0)
    said = [view.caption(0, rng) for _ in range(2000)]
    assert np.mean([not one for one in said]) == pytest.approx(0.1, abs=0.03)
    assert np.mean(["it flows" in one for one in said]) == pytest.approx(0.5, abs=0.04)
    leveled = [one for one in said if one.startswith("14_GOOGLE_LEVEL_")]
    assert len(leveled) / sum(map(bool, said)) == pytest.approx(0.5, abs=0.04)


def test_directions_turn_with_a_render_and_are_measured_on_a_photograph_as_it_is_shown():
    sight = mini_earth.Sight("it flows {}", 0.0, is_line=True)
    rng = np.random.default_rng(0)
    for view, way in (
        (latents(sights=(sight,)), "from top to bottom"),
        (latents(looks=(sight,)), "from left to right"),
    ):
        said = [view.caption(0, rng) for _ in range(100)]
        assert any("it flows" in one for one in said)
        assert all(way in one for one in said if "it flows" in one)


def test_classes_come_evenly_however_many_views_they_have(run):
    args = train_small_text2image.parse(["unet", *run, "--batch", "100"])
    data = latents(sights=(mini_earth.Sight("no houses"),)).data.take([0] * 50)
    data = replace(
        data, labels=("river",) * 45 + ("lake",) * 5, phrases={"lake": ("a lake",)} | data.phrases
    )
    cache = replace(
        latents(),
        data=data,
        latents=torch.arange(50.0).view(50, 1, 1, 1),
        rows=np.arange(50),
        **{name: np.ones(50, int) for name in ("meters", "turns", "is_mirrored")},
        looks=((),) * 50,
    )
    tokenizer = training.tokenizer_in(args.work / "even", ["a river", "a lake"], max_length=77)
    batches = latent_caches.Batches([cache], tokenizer, args)
    lakes = [(batches(step)[0] >= 45).double().mean().item() for step in range(8)]
    assert np.mean(lakes) == pytest.approx(0.5, abs=0.06)


def test_a_command_says_what_was_run_without_a_path_of_this_machine(tmp_path):
    names = ("work", "models", "seeds", "guidance", "steps")
    args = training.make_parser("A script.", ("work", "seeds", "steps"), steps=None).parse_args(
        ["--work", str(tmp_path), "--seeds", "3"]
    )
    args.models, args.guidance = ["a", "b"], 3.0
    said = training.command_line("measure_x", args, names)
    wanted = "--work WORK --models a b --seeds 3 --guidance 3"
    assert said == f"python -m tools.measure_x {wanted}"


def test_a_table_is_written_whole_and_read_as_it_was_written(tmp_path):
    path, columns = tmp_path / "measured" / "table.csv", ("a", "b", "c")
    assert training.read_rows(path) == []
    training.write_rows(path, columns, [{"a": 1 / 3, "b": None, "d": "left out"}, {"c": 7}])
    assert path.read_text() == "a,b,c\n0.33333,,\n,,7\n"
    training.write_rows(path, columns, training.read_rows(path))
    assert training.read_rows(path) == [
        {"a": "0.33333", "b": "", "c": ""},
        {"a": "", "b": "", "c": "7"},
    ]


def test_the_learning_rate_stays_then_falls_to_zero():
    budget = training.Budget(minutes=1, steps=9, learning_rate=2.0, warmup=4, decay_share=0.25)
    rates = [
        training.learning_rate(budget, step=step, done=done)
        for step, done in ((0, 0.0), (1, 0.1), (9, 0.3), (9, 0.75), (9, 0.875), (9, 1.0))
    ]
    assert rates == pytest.approx([0.5, 1.0, 2.0, 2.0, 1.0, 0.0])
    whole = training.Budget(minutes=1, steps=9, learning_rate=2.0, warmup=1)
    assert training.learning_rate(whole, step=5, done=0.5) == pytest.approx(1.0)


def test_muon_moves_hidden_kernels_as_the_library_moves_matrices():
    net = torch.nn.Sequential()
    with torch.random.fork_rng(devices=[]):
        net.add_module("conv_in", torch.nn.Conv2d(3, 4, 3))
        net.add_module("hidden", torch.nn.Conv2d(4, 6, 3))
    kernel = net.hidden.weight.detach().clone()
    budget = training.Budget(minutes=1, steps=9, learning_rate=0.1, has_muon=True)
    optimizer = training.Optimizer(net, budget)
    assert [p is net.hidden.weight for p in optimizer.hidden] == [True]
    matrix = torch.nn.Parameter(kernel.flatten(1).clone())
    library = torch.optim.Muon([matrix], lr=0.1, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        optimizer.set_learning_rate(0.1)
        net.zero_grad()
        loss = net(torch.ones(1, 3, 8, 8)).square().sum()
        loss.backward()
        matrix.grad = net.hidden.weight.grad.flatten(1).clone()
        optimizer.step()
        library.step()
        torch.testing.assert_close(net.hidden.weight.flatten(1), matrix)
    assert (net.hidden.weight - kernel).abs().max() > 0.01


def test_what_was_trained_on_is_listed_by_hash_and_the_list_only_grows(data, tmp_path):
    path = tmp_path / "train_hashes.npy"
    first = data / "train" / "ucmerced_captions_train.parquet"
    training.record_seen([first], path)
    images = [row["bytes"] for row in pq.read_table(first)["image"].to_pylist()]
    wanted = [int(hashlib.sha256(image).hexdigest()[:16], 16) for image in images]
    assert np.load(path).tolist() == sorted(set(wanted))
    training.record_seen([data / "train" / "harmless.parquet"], path)
    assert len(np.load(path)) == len(set(wanted)) + 10
    assert set(wanted) < set(np.load(path).tolist())


def test_the_end_token_is_the_highest_and_any_script_can_be_written(tmp_path):
    tokenizer = training.tokenizer_in(tmp_path, ["a beach"], max_length=40)
    ids = tokenizer("Annual CROP 永 été").input_ids
    assert ids == tokenizer("annual crop 永 été").input_ids
    assert ids[-1] == tokenizer.eos_token_id == len(tokenizer) - 1 == max(ids)
    assert len(tokenizer("annual crop").input_ids) == 4  # whole words, and the two ends
    assert tokenizer.decode(ids, skip_special_tokens=True) == "annual crop 永 été"
    assert len(training.tokenizer_in(tmp_path, ["other words"], max_length=40)) == len(tokenizer)


def test_views_without_cropping_are_exact_quarter_turns_and_mirrors():
    images = torch.randint(256, (32, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    images = images.to(torch.uint8)
    generator = torch.Generator().manual_seed(1)
    views = training.random_views(images, generator, size=8, scale=(1.0, 1.0))
    assert (views.side == 1).all()
    ways = list(zip(views.quarter_turns.tolist(), views.is_mirrored.tolist(), strict=True))
    for image, view, (turns, is_mirrored) in zip(images / 255, views.images, ways, strict=True):
        turned = image.rot90(turns, (1, 2))
        torch.testing.assert_close(view, turned.flip(2) if is_mirrored else turned)
    assert len(set(ways)) == 8


def test_color_changes_of_strength_zero_change_nothing_and_stay_in_range_otherwise():
    images = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.9 + 0.05
    generator = torch.Generator().manual_seed(1)
    same = training.jitter_colors(images, generator, strength=0.0)
    torch.testing.assert_close(same, images)
    changed = training.jitter_colors(images, generator, strength=2.0)
    assert changed.min() >= 0
    assert changed.max() <= 1


def test_with_no_common_class_the_contrast_is_clips_own_loss():
    logits = torch.randn(5, 5, generator=torch.Generator().manual_seed(0))
    rows = torch.arange(5)
    expected = (F.cross_entropy(logits, rows) + F.cross_entropy(logits.T, rows)) / 2
    loss = train_small_clip.unified_contrast(logits, torch.eye(5, dtype=torch.bool))
    torch.testing.assert_close(loss, expected)


def test_with_common_classes_the_contrast_averages_over_all_positives():
    logits = torch.tensor([[1.0, 2.0, 0.0], [0.5, 0.0, 1.0], [3.0, 1.0, 2.0]])
    positives = torch.tensor([[True, True, False], [True, True, False], [False, False, True]])
    total = 0.0
    for table in (logits.tolist(), logits.T.tolist()):
        for i, row in enumerate(table):
            log_sum = math.log(sum(math.exp(value) for value in row))
            right = [j for j in range(3) if positives[i, j]]
            total -= sum(row[j] - log_sum for j in right) / len(right) / 6
    loss = train_small_clip.unified_contrast(logits, positives)
    assert loss.item() == pytest.approx(total, abs=1e-6)


def test_a_perfect_velocity_costs_nothing_and_weights_are_those_of_min_snr():
    alpha_bar = networks.make_scheduler().alphas_cumprod
    generator = torch.Generator().manual_seed(0)
    x0, eps = (torch.randn(6, 2, 4, 4, generator=generator) for _ in range(2))
    t = torch.tensor([0, 1, 300, 500, 900, 999])
    a = alpha_bar[t].view(-1, 1, 1, 1)

    def oracle(x_t: torch.Tensor, t: torch.Tensor, tokens: object) -> torch.Tensor:
        x0_known = (x_t - (1 - a).sqrt() * eps) / a.sqrt()
        return (a.sqrt() * x_t - x0_known) / (1 - a).sqrt()  # v from x_t and x_0

    kept = slice(1, 5)  # at both ends the division loses all digits
    errors = train_small_text2image.velocity_loss(oracle, x0, eps, t, None, alpha_bar)
    torch.testing.assert_close(errors[kept], torch.zeros(4), atol=1e-4, rtol=0)
    for a_t, weight in zip(
        alpha_bar.tolist(), train_small_text2image.snr_weights(alpha_bar).tolist(), strict=True
    ):
        # weight of the error of x_0 is min(SNR, 5); that of v is SNR + 1 times smaller
        snr = a_t / (1 - a_t)
        assert weight == pytest.approx(min(snr, 5.0) / (snr + 1), rel=1e-3, abs=1e-6)


@torch.no_grad()
def test_standardized_latents_have_unit_variance_and_restore_the_same_images():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vae = AutoencoderKL(
            block_out_channels=(8,), latent_channels=3, norm_num_groups=4, sample_size=8
        ).eval()
    images = torch.rand(64, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    before, std = vae.encode(images).latent_dist.mean, vae.encode(images).latent_dist.std
    restored = vae.decode(before).sample
    train_small_text2image.standardize_latents(vae, before)
    after = vae.encode(images).latent_dist
    torch.testing.assert_close(after.mean.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(after.mean.std(dim=(0, 2, 3)), torch.ones(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(vae.decode(after.mean).sample, restored, atol=1e-4, rtol=1e-4)
    spread = before.std(dim=(0, 2, 3)).view(1, 3, 1, 1)
    torch.testing.assert_close(after.std * spread, std, atol=1e-4, rtol=1e-3)


def line_loss(net: torch.nn.Linear, stop: int | None = None):
    def loss_at(step: int) -> tuple[torch.Tensor, dict[str, float]]:
        if step == stop:
            raise KeyboardInterrupt
        _, generator = training.step_draws(0, step)
        x = torch.randn(16, 3, generator=generator)
        return (net(x) - x.sum(dim=1, keepdim=True)).square().mean(), {}

    return loss_at


def small_net() -> torch.nn.Linear:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return torch.nn.Linear(3, 1)


def test_a_killed_run_goes_on_and_ends_where_it_would_have_ended(tmp_path):
    budget = training.Budget(
        minutes=1e6, steps=40, learning_rate=0.05, warmup=5, save_every=0.0, print_every=0.0
    )
    whole = training.fit(
        net := small_net(), line_loss(net), folder=tmp_path / "whole", budget=budget
    )
    folder = tmp_path / "parts"
    with pytest.raises(KeyboardInterrupt):
        training.fit(net := small_net(), line_loss(net, stop=17), folder=folder, budget=budget)
    parts = training.fit(net := small_net(), line_loss(net), folder=folder, budget=budget)
    for key, value in whole.state_dict().items():
        torch.testing.assert_close(parts.state_dict()[key], value, rtol=0, atol=0)
    lines = (folder / "loss.csv").read_text().splitlines()
    assert lines[0] == "step,seconds,loss"
    assert [int(line.split(",")[0]) for line in lines[1:]] == list(range(1, 41))
    losses = [float(line.split(",")[2]) for line in lines[1:]]
    assert losses[-1] < losses[0] / 2


def test_a_finished_run_is_not_trained_again_and_a_time_budget_ends_it(tmp_path):
    budget = training.Budget(minutes=1 / 6000, steps=10**9, learning_rate=0.05)
    first = training.fit(net := small_net(), line_loss(net), folder=tmp_path, budget=budget)
    again = training.fit(
        net := small_net(), line_loss(net, stop=None), folder=tmp_path, budget=budget
    )
    torch.testing.assert_close(first.weight, again.weight, rtol=0, atol=0)


def test_a_loss_that_is_not_finite_stops_the_run_and_says_what_to_do(tmp_path):
    net = small_net()
    budget = training.Budget(minutes=1, steps=5, learning_rate=0.05)
    with pytest.raises(RuntimeError, match="lower --learning-rate"):
        training.fit(
            net, lambda step: (net.weight.sum() * math.nan, {}), folder=tmp_path, budget=budget
        )


def test_weights_too_large_for_half_precision_are_not_written():
    with pytest.raises(ValueError, match="not finite in half precision: big"):
        training.halved({"big": torch.tensor([1e6])})


def test_the_clip_script_writes_a_folder_that_open_clip_loads_from_anywhere(run, tmp_path):
    train_small_clip.main([*run, "--layers", "1", "1", "1", "1", "--width", "8"])
    args = train_small_clip.parse(run)
    folder = tmp_path / "moved elsewhere"
    (args.models / "small_clip").rename(folder)
    name = f"local-dir:{folder}"
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("error")
        net, _, preprocess = open_clip.create_model_and_transforms(name)
        tokenize = open_clip.get_tokenizer(name)
    stored = load_file(folder / "open_clip_model.safetensors")
    assert {v.dtype for v in stored.values()} == {torch.float16, torch.int64}
    assert next(net.parameters()).dtype == torch.float32
    state = torch.load(args.work / "small_clip" / "checkpoint.pt", weights_only=True)["ema"]
    assert sorted(state) == sorted(net.state_dict())
    tokens = tokenize(["a satellite photo of annual crop", "a beach " * 100])
    assert tokens.shape == (2, train_small_clip.CONTEXT_LENGTH)
    own = training.tokenizer_in(args.work / "small_clip" / "tokenizer", [], max_length=40)
    same = training.tokenize(own, ["a satellite photo of annual crop", "a beach " * 100])
    assert (tokens == same).all()
    assert (tokens.argmax(dim=1) > 0).all()
    image = preprocess(Image.new("RGB", (80, 100), (255, 0, 128)))
    wanted = train_small_clip.normalized(torch.tensor([1.0, 0.0, 128 / 255]).view(1, 3, 1, 1))
    torch.testing.assert_close(image[:, 30, 30], wanted.flatten())
    metrics = json.loads((args.work / "small_clip" / "metrics.json").read_text())
    card = (folder / "README.md").read_text()
    assert f"{metrics['validation']['ucmerced scenes zero-shot']:.3f}" in card
    assert "never seen EuroSAT" in card


# numpy 2.4 on what diffusers' schedulers do with tensors; every multistep scheduler has it
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_the_generator_script_writes_a_folder_that_the_stock_pipeline_loads(run, tmp_path):
    rest = ["--perceptual-weight", "0", "--no-sheets"]
    train_small_text2image.main(["vae", *run, *rest])
    train_small_text2image.main(["unet", *run, *rest])
    args = train_small_text2image.parse(["unet", *run])
    folder = tmp_path / "moved elsewhere"
    (args.models / args.name).rename(folder)
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    assert sum(sizes) <= 30e6
    assert not list(folder.rglob("*.bin"))
    for path in folder.rglob("*.json"):
        assert str(args.work) not in path.read_text()
    for path in folder.rglob("*.safetensors"):
        assert {v.dtype for v in load_file(path).values()} <= {torch.float16, torch.int64}
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("error")
        pipeline = StableDiffusionPipeline.from_pretrained(folder)
    for net in (pipeline.vae, pipeline.unet, pipeline.text_encoder):
        assert {p.dtype for p in net.parameters()} == {torch.float32}
    images = draw(pipeline, ["17_GOOGLE_LEVEL_a beach"], guidance=3.0, seed=0)
    assert images.shape == (1, 3, 64, 64)
    assert images.isfinite().all()
    card = (folder / "README.md").read_text()
    assert "It has never seen EuroSAT" in card


def test_a_zoom_level_is_one_token_of_the_generator_s_own(run):
    args = train_small_text2image.parse(["unet", *run])
    tokenizer = latent_caches.read_tokenizer(args, ["a river"])
    said = tokenizer.tokenize("14_GOOGLE_LEVEL_a river")
    assert said[0] == "14_GOOGLE_LEVEL_"
    assert said[1:] == tokenizer.tokenize("a river")
    ids = {tokenizer(f"{level}_GOOGLE_LEVEL_").input_ids[1] for level in range(10, 19)}
    assert len(ids) == 9


def test_one_step_lands_where_it_is_asked_to():
    x_t, x_s = torch.randn(2, 3, 6, 4, 4, generator=torch.Generator().manual_seed(0)).double()
    a, a_next = torch.tensor([0.0, 0.3, 0.9]), torch.tensor([0.2, 0.8, 1.0])
    a, a_next = a[:, None, None, None].double(), a_next[:, None, None, None].double()
    v = distill_text2image.landing_v(x_t, x_s, a, a_next)
    torch.testing.assert_close(distill_text2image.ddim_step(x_t, v, a, a_next), x_s)


@pytest.mark.parametrize("t", [999, 749, 249])
def test_the_student_steps_as_the_stock_sampler_does(t):
    scheduler = distill_text2image.make_scheduler()
    scheduler.set_timesteps(distill_text2image.NUM_STEPS)
    assert scheduler.timesteps.tolist() == [999, 749, 499, 249]
    x_t, v = torch.randn(2, 1, 6, 4, 4, generator=torch.Generator().manual_seed(0))
    start, alpha_bar = torch.tensor([t]), scheduler.alphas_cumprod
    a, a_next = (distill_text2image.level(alpha_bar, k) for k in (start, start - 250))
    wanted = scheduler.step(v, t, x_t).prev_sample
    torch.testing.assert_close(distill_text2image.ddim_step(x_t, v, a, a_next), wanted)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_the_distilled_folder_runs_in_the_stock_pipeline_and_hears_the_guidance_scale(run):
    train_small_text2image.main(["vae", *run, "--perceptual-weight", "0"])
    train_small_text2image.main(["unet", *run, "--no-sheets"])
    distill_text2image.main([*run, "--no-sheets", "--learning-rate", "0.01"])
    args = distill_text2image.parse(run)
    folder = args.models / f"{args.name}_few_steps"
    with torch.random.fork_rng(devices=[]):
        pipeline = StableDiffusionPipeline.from_pretrained(folder)
    student = pipeline.unet.time_embedding.cond_proj.weight
    assert student.abs().max() > 0
    images = [
        draw(pipeline, ["17_GOOGLE_LEVEL_a beach"], guidance=guidance, seed=0, num_steps=4)
        for guidance in (1.5, 4.0)
    ]
    assert (images[0] - images[1]).abs().max() > 0
    assert "4 steps" in (folder / "README.md").read_text()


def test_a_lost_color_costs_more_than_a_lost_texture_of_the_same_size():
    flat, generator = torch.zeros(1, 3, 64, 64), torch.Generator().manual_seed(0)
    redder = flat + torch.tensor([0.1, -0.1, 0.0]).view(3, 1, 1)
    grain = flat + 0.1 * torch.randn(1, 1, 64, 64, generator=generator).sign()
    lost_color = train_small_text2image.tone_error(flat, redder)
    assert lost_color == pytest.approx(0.2)
    assert lost_color > 4 * train_small_text2image.tone_error(flat, grain)


def test_latent_channels_that_repeat_each_other_are_redundant():
    latents = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert train_small_text2image.redundancy(latents) < 0.01
    latents[:, 1] = 5 - 2 * latents[:, 0]
    assert train_small_text2image.redundancy(latents) == pytest.approx(2 / 9, abs=0.01)
