"""Image-to-image and inpainting: what a direct call draws, whatever the batch, never mixed up."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
)
from tiny_models import write_tiny_text2image

from course_utils.text2image import (
    Generated,
    GenerationConfig,
    TextToImage,
    estimate_seconds,
    generate,
    load_pipeline,
)

CONFIG = GenerationConfig(
    num_sample_steps=4, height=16, width=24, batch_size=4, seed=7, negative_prompt="clouds"
)
PROMPTS = ["a river", "a river", "a bay", "a river", "fields"]
PIXELS = np.random.default_rng(0).integers(0, 256, (5, 16, 24, 3), dtype=np.uint8)
PIXELS[3] = PIXELS[0]  # the same sentence and the same image, twice
MASKS = np.zeros((5, 16, 24), bool)
MASKS[:, :, 12:] = True
MASKS[2, :8] = True
SCHEDULERS = [DDIMScheduler, EulerAncestralDiscreteScheduler, LCMScheduler]
TASKS = ["text-to-image", "image-to-image", "inpainting"]

# Some schedulers of diffusers call NumPy in a way that it is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models") / "tiny_text2image"
    write_tiny_text2image(root)
    return root


@pytest.fixture(scope="module")
def models(folder: Path) -> dict[str, TextToImage]:
    return {task: load_pipeline(str(folder), task=task, device="cpu") for task in TASKS}


def given(task: str, order: Sequence[int]) -> dict[str, list[np.ndarray]]:
    images, masks = [PIXELS[i] for i in order], [MASKS[i] for i in order]
    return {
        "text-to-image": {},
        "image-to-image": {"images": images},
        "inpainting": {"images": images, "masks": masks},
    }[task]


def with_scheduler(model: TextToImage, scheduler: type) -> TextToImage:
    pipeline = type(model.pipeline)(**model.pipeline.components, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config)
    return dataclasses.replace(model, pipeline=pipeline)


def largest_difference(a: Sequence[Generated], b: Sequence[Generated]) -> int:
    pairs = zip(a, b, strict=True)
    return max(int(abs(x.image.astype(int) - y.image.astype(int)).max()) for x, y in pairs)


def unit(image: np.ndarray) -> torch.Tensor:
    return torch.tensor(image).permute(2, 0, 1)[None] / 255


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("scheduler", SCHEDULERS)  # the second and third add noise on the way
@pytest.mark.parametrize("batch_size", [1, 3])
def test_no_task_depends_on_batch_size_or_order(models, task, scheduler, batch_size):
    model = with_scheduler(models[task], scheduler)
    strength = None if task == "text-to-image" else 0.8
    expected = list(generate(model, PROMPTS, CONFIG, **given(task, range(5)), strength=strength))
    config = dataclasses.replace(CONFIG, batch_size=batch_size)
    order = [4, 0, 2, 1, 3]  # keeps the order among equal prompts with equal images
    prompts = [PROMPTS[i] for i in order]
    made = list(generate(model, prompts, config, **given(task, order), strength=strength))
    assert largest_difference(made, [expected[i] for i in order]) <= 2
    assert [m.seed for m in made] == [expected[i].seed for i in order]


@pytest.mark.parametrize("strength", [0.5, 1.0])
@pytest.mark.parametrize("task", TASKS[1:])
def test_images_are_those_of_a_direct_call_from_the_same_generator(models, task, strength):
    model = models[task]
    made = generate(model, PROMPTS, CONFIG, **given(task, range(5)), strength=strength)
    for i, one in enumerate(made):
        options = {"image": unit(PIXELS[i])}
        if task == "inpainting":
            mask = torch.tensor(MASKS[i])[None, None].float()
            options |= {"mask_image": mask, "height": 16, "width": 24}
        expected = model.pipeline(
            PROMPTS[i],
            negative_prompt="clouds",
            num_inference_steps=4,
            guidance_scale=3.0,
            strength=strength,
            generator=torch.Generator().manual_seed(one.seed),
            **options,
        ).images[0]
        assert abs(one.image.astype(int) - np.asarray(expected).astype(int)).max() <= 2


@torch.no_grad()
def repaint_by_hand(model: TextToImage, i: int, made: Generated, steps: int) -> np.ndarray:
    """Blend latents after each step: what is kept, at its own noise level; what is drawn."""
    parts, generator = model.pipeline, torch.Generator().manual_seed(made.seed)
    sampler = DDIMScheduler.from_config(parts.scheduler.config)
    sampler.set_timesteps(steps)
    factor = parts.vae.config.scaling_factor
    source = 2 * unit(PIXELS[i]) - 1
    kept = factor * parts.vae.encode(source).latent_dist.sample(generator)
    noise = torch.randn(kept.shape, generator=generator)
    mask = torch.tensor(MASKS[i])[None, None, ::2, ::2].float()  # nearest, half the size
    tokens = parts.tokenizer([PROMPTS[i]], padding="max_length", return_tensors="pt").input_ids
    cond, x = parts.text_encoder(tokens)[0], noise
    for k, t in enumerate(sampler.timesteps):
        x = sampler.step(parts.unet(x, t, cond).sample, t, x).prev_sample
        before = kept
        if k < steps - 1:
            before = sampler.add_noise(kept, noise, sampler.timesteps[k + 1 : k + 2])
        x = (1 - mask) * before + mask * x
    pixels = parts.vae.decode(x / factor).sample[0]
    return ((pixels / 2 + 0.5).clamp(0, 1) * 255).round().permute(1, 2, 0).numpy().astype(int)


@pytest.mark.parametrize("channels", [4, 6])
def test_inpainting_blends_latents_of_any_number_of_channels(tmp_path, channels):
    write_tiny_text2image(tmp_path / "net", channels=channels)
    model = load_pipeline(str(tmp_path / "net"), task="inpainting", device="cpu")
    config = dataclasses.replace(CONFIG, guidance_scale=1.0)
    made = list(generate(model, PROMPTS[:3], config, **given("inpainting", range(3))))
    for i, one in enumerate(made):
        assert abs(one.image.astype(int) - repaint_by_hand(model, i, one, 4)).max() <= 2
    assert model.pipeline.unet.config.in_channels == channels  # lent for the call only


def test_equal_sentences_from_different_images_are_not_confused(models, tmp_path):
    model, prompts = models["inpainting"], ["a river"] * 4
    images = [PIXELS[0], PIXELS[1], PIXELS[0], PIXELS[0]]
    masks = [MASKS[0], MASKS[0], MASKS[2], MASKS[0]]
    first = list(generate(model, prompts, CONFIG, root=tmp_path, images=images, masks=masks))
    assert len({m.path for m in first}) == len({m.seed for m in first}) == 4
    for kind in ("source_image", "source_mask"):
        hashes = [m.provenance[kind] for m in first]
        assert hashes[0] == hashes[3]
        assert len(set(hashes)) == 2
        assert all(len(digest) == 64 for digest in hashes)
    turned = [2, 0, 1, 3]
    again = list(
        generate(
            model,
            prompts,
            CONFIG,
            root=tmp_path,
            images=[images[i] for i in turned],
            masks=[masks[i] for i in turned],
        )
    )
    assert all(m.cached for m in again)
    assert [m.path for m in again] == [first[i].path for i in turned]


def test_strength_and_task_have_folders_of_their_own(models, tmp_path):
    for strength in (None, 0.5):
        for task in TASKS[1:]:
            options = given(task, [0]) | {"strength": strength}
            (made,) = generate(models[task], ["a river"], CONFIG, root=tmp_path, **options)
            assert not made.cached
            usual = {"image-to-image": 0.8, "inpainting": 1.0}[task]
            assert made.provenance["strength"] == strength or made.provenance["strength"] == usual
            assert made.provenance["task"] == task
    assert len(list(tmp_path.iterdir())) == 4


def test_more_strength_leaves_less_of_the_image(models):
    made = [
        next(generate(models[TASKS[1]], ["a river"], CONFIG, images=PIXELS[:1], strength=strength))
        for strength in (0.25, 1.0)
    ]
    assert largest_difference(made[:1], made[1:]) > 2


def test_a_mask_of_bytes_is_the_same_as_one_of_truth_values(models):
    options = {"images": PIXELS[:1]}
    (a,) = generate(models["inpainting"], ["a river"], CONFIG, **options, masks=MASKS[:1])
    bytes_mask = MASKS[:1].astype(np.uint8) * 255
    (b,) = generate(models["inpainting"], ["a river"], CONFIG, **options, masks=bytes_mask)
    assert np.array_equal(a.image, b.image)
    assert a.provenance == b.provenance


ONE, MASK = PIXELS[:1], MASKS[:1]


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("text-to-image", {"images": ONE}, r"takes no images; load it with .*'image-to-image'"),
        ("text-to-image", {"strength": 0.5}, "this one draws from noise alone"),
        ("image-to-image", {}, "image-to-image needs images=, one a prompt"),
        ("image-to-image", {"images": ONE, "masks": MASK}, r"no masks; .*task='inpainting'"),
        ("image-to-image", {"images": PIXELS[:2]}, "expected 1 images, one a prompt; got 2"),
        ("image-to-image", {"images": ONE, "strength": 0.0}, "strength must be above 0"),
        ("image-to-image", {"images": ONE, "strength": 1.1}, "at most 1"),
        ("image-to-image", {"images": ONE, "strength": float("nan")}, "strength must be"),
        ("image-to-image", {"images": ONE, "strength": 0.2}, "raise num_sample_steps to 5"),
        ("image-to-image", {"images": ONE / 255}, r"images\[0\]: expected bytes .*float64"),
        ("image-to-image", {"images": PIXELS[:1, :8]}, r"\(16, 24, 3\).* got uint8 of .*\(8, 24"),
        ("inpainting", {"images": ONE}, "inpainting needs masks="),
        ("inpainting", {"masks": MASK}, "inpainting needs images="),
        ("inpainting", {"images": ONE, "masks": MASK[:, :8]}, r"masks\[0\]: expected shape"),
        ("inpainting", {"images": ONE, "masks": MASK * 1.0}, "compare it with a threshold"),
        ("inpainting", {"images": ONE, "masks": MASK.astype(np.uint8)}, "True or 255"),
        ("inpainting", {"images": ONE, "masks": MASK * np.uint8(254)}, "True or 255"),
        ("inpainting", {"images": ONE, "masks": MASK & False}, r"masks\[0\]: is False or 0 every"),
        ("inpainting", {"images": ONE, "masks": MASK * np.uint8(0)}, "mark at least one pixel"),
    ],
)
def test_wrong_combinations_are_refused_with_advice(models, task, options, message):
    with pytest.raises(ValueError, match=message):
        next(generate(models[task], ["a river"], CONFIG, **options))


def test_every_task_can_be_timed(models):
    for task in TASKS:
        assert estimate_seconds(models[task], CONFIG, 8) > 0


def test_an_unknown_task_lists_the_known_ones(folder):
    unchecked = getattr(load_pipeline, "__wrapped__", load_pipeline)  # as learners call it
    with pytest.raises(ValueError, match=r"expected one of text-to-image, .*, got 'draw'"):
        unchecked(str(folder), task="draw", device="cpu")


def test_a_network_that_needs_another_input_is_refused(tmp_path):
    write_tiny_text2image(tmp_path / "depth", in_channels=5)
    with pytest.raises(ValueError, match="takes 5 channels, where its autoencoder makes 4"):
        load_pipeline(str(tmp_path / "depth"), device="cpu")


def test_a_few_steps_from_an_image_go_through_any_sampler(models):
    model = with_scheduler(models["image-to-image"], EulerDiscreteScheduler)
    (made,) = generate(model, ["a river"], CONFIG, images=ONE, strength=0.25)
    assert made.image.shape == (16, 24, 3)
