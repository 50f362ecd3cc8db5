"""Text2Earth through the stock pipeline, and the ways in which a model is told its zoom level."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import EulerDiscreteScheduler
from tiny_models import write_tiny_text2earth, write_tiny_text2image

from course_utils.hub import read_lock
from course_utils.text2image import (
    GenerationConfig,
    TextToImage,
    generate,
    load_pipeline,
    meters_per_pixel,
)
from course_utils.text2image.drawing import telling
from course_utils.text2image.records import split_level

CONFIG = GenerationConfig(
    num_sample_steps=3, guidance_scale=4.0, height=16, width=24, level=17, negative_prompt="sea"
)
SIZE = (16, 24)
PROMPTS = ["a river", "a bay", "a river"]

# Some schedulers of diffusers call NumPy in a way that it is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models") / "tiny_text2earth"
    write_tiny_text2earth(root)
    return root


@pytest.fixture(scope="module")
def model(folder: Path) -> TextToImage:
    return load_pipeline(str(folder), device="cpu")


def difference(a: np.ndarray, b: np.ndarray) -> int:
    return int(abs(a.astype(int) - b.astype(int)).max())


def encode(model: TextToImage, sentence: str) -> torch.Tensor:
    tokens = model.pipeline.tokenizer(
        sentence, padding="max_length", max_length=32, truncation=True, return_tensors="pt"
    )
    return model.pipeline.text_encoder(tokens.input_ids)[0]


@torch.no_grad()
def draw_by_hand(
    model: TextToImage, folder: Path, sentence: str, *, seed: int, level: int, scale: float
) -> np.ndarray:
    """Follow the published recipe, a loop over network and sampler without any pipeline."""
    parts = model.pipeline
    sampler = EulerDiscreteScheduler.from_pretrained(folder, subfolder="scheduler")
    sampler.set_timesteps(3)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(1, 4, 8, 12, generator=generator) * sampler.init_noise_sigma
    cond, uncond = encode(model, sentence), encode(model, "sea")
    for t in sampler.timesteps:
        x_t = sampler.scale_model_input(x, t)
        eps = parts.unet(x_t, t, cond, class_labels=torch.tensor([level])).sample
        if scale > 1:
            empty = parts.unet(x_t, t, uncond, class_labels=torch.tensor([0])).sample
            eps = empty + scale * (eps - empty)
        x = sampler.step(eps, t, x, generator=generator).prev_sample
    pixels = parts.vae.decode(x / parts.vae.config.scaling_factor).sample[0]
    return ((pixels / 2 + 0.5).clamp(0, 1) * 255).round().permute(1, 2, 0).numpy().astype(np.uint8)


@pytest.mark.parametrize("scale", [1.0, 4.0])
@pytest.mark.parametrize("level", [None, 10, 18])
def test_images_are_those_of_a_loop_written_by_hand(model, folder, scale, level):
    config = dataclasses.replace(CONFIG, guidance_scale=scale, level=level)
    for made in generate(model, PROMPTS, config):
        sentence = made.provenance["text"]
        options = {"seed": made.seed, "level": level or 0, "scale": scale}
        assert difference(made.image, draw_by_hand(model, folder, sentence, **options)) <= 2


def test_the_folder_is_loaded_by_stock_classes_and_its_code_is_not_run(model, folder):
    assert [path.name for path in folder.glob("*.py")] == ["pipeline_text2earth_diffusion.py"]
    assert type(model.pipeline).__module__.startswith("diffusers.pipelines.stable_diffusion.")
    assert type(model.pipeline.scheduler) is EulerDiscreteScheduler
    assert model.level_by == "class_labels"
    assert (model.pipeline.safety_checker, model.pipeline.feature_extractor) == (None, None)


def test_a_copy_anywhere_is_drawn_with_its_authors_settings(model):
    asked = {"num_sample_steps": 50, "guidance_scale": 4.0, "height": 256, "width": 256}
    assert {key: getattr(model.config, key) for key in asked} == asked
    assert read_lock()["text2earth"].scheduler == "EulerDiscreteScheduler"


def test_the_level_changes_the_image_and_not_the_noise_or_the_words(model):
    made = [
        next(generate(model, ["a river"], dataclasses.replace(CONFIG, level=level)))
        for level in (None, 10, 18)
    ]
    assert len({m.seed for m in made}) == 1
    assert {m.provenance["text"] for m in made} == {"a river"}
    assert [m.provenance["level"] for m in made] == [None, 10, 18]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert difference(made[a].image, made[b].image) > 2


def test_a_level_in_the_prompt_means_the_same_and_may_differ_within_a_batch(model, folder):
    config = dataclasses.replace(CONFIG, level=None)
    prompts = ["12_GOOGLE_LEVEL_a river", "a river", "16_GOOGLE_LEVEL_a river"]
    for made, level in zip(generate(model, prompts, config), (12, None, 16), strict=True):
        options = {"seed": made.seed, "level": level or 0, "scale": 4.0}
        expected = draw_by_hand(model, folder, "a river", **options)
        assert difference(made.image, expected) <= 2
        assert (made.provenance["level"], made.provenance["text"]) == (level, "a river")


def test_no_labels_are_left_behind(model):
    unet = model.pipeline.unet
    inputs = {
        "sample": torch.zeros(1, 4, 8, 12),
        "timestep": 1,
        "encoder_hidden_states": torch.zeros(1, 5, 16),
    }
    running = generate(model, PROMPTS, dataclasses.replace(CONFIG, batch_size=1))
    next(running)  # between two images as well
    with pytest.raises(ValueError, match="class_labels should be provided"):
        unet(**inputs)
    broken = _fails_late(model)
    with pytest.raises(ZeroDivisionError):
        next(generate(broken, PROMPTS, CONFIG))
    with pytest.raises(ValueError, match="class_labels should be provided"):
        unet(**inputs)


def _fails_late(model: TextToImage) -> TextToImage:
    class Late:
        def __getattr__(self, name: str) -> object:
            return getattr(model.pipeline, name)

        def __call__(self, **options: object) -> object:
            model.pipeline(**options)
            raise ZeroDivisionError

    return dataclasses.replace(model, pipeline=Late())


def test_a_network_is_told_what_labels_would_tell_it(model):
    unet = model.pipeline.unet
    inputs = (torch.ones(2, 4, 8, 12), 1, torch.zeros(2, 5, 16))
    with torch.no_grad():
        expected = unet(*inputs, class_labels=torch.tensor([0, 11])).sample
        with telling(unet, [11]):
            assert torch.equal(unet(*inputs).sample, expected)
        with telling(unet, [18]):
            assert not torch.equal(unet(*inputs).sample, expected)


@pytest.mark.parametrize("inpainting", [False, True], ids=["4 channels", "9 channels"])
@pytest.mark.parametrize("task", ["image-to-image", "inpainting"])
def test_other_tasks_are_told_the_level_as_a_patched_network_would_be(tmp_path, task, inpainting):
    write_tiny_text2earth(tmp_path / "net", inpainting=inpainting)
    if inpainting and task != "inpainting":
        with pytest.raises(ValueError, match=r"made for inpainting only: .*task='inpainting'"):
            load_pipeline(str(tmp_path / "net"), task=task, device="cpu")
        return
    model = load_pipeline(str(tmp_path / "net"), task=task, device="cpu")
    pixels = np.random.default_rng(0).integers(0, 256, (2, *SIZE, 3), dtype=np.uint8)
    masks = pixels[..., 0] > 128
    given = {"images": pixels, **({"masks": masks} if task == "inpainting" else {})}
    made = list(generate(model, PROMPTS[:2], CONFIG, **given, strength=0.7))
    unet, forward = model.pipeline.unet, model.pipeline.unet.forward
    # what the literature does: replace the network's forward for good
    unet.forward = lambda *args, **kwargs: forward(
        *args, **{**kwargs, "class_labels": torch.tensor([0, 17])}
    )
    for i, one in enumerate(made):
        options = {"image": torch.tensor(pixels[i]).permute(2, 0, 1)[None] / 255}
        if task == "inpainting":
            mask = torch.tensor(masks[i])[None, None].float()
            options |= {"mask_image": mask, "height": 16, "width": 24}
        image = model.pipeline(
            PROMPTS[i],
            negative_prompt="sea",
            num_inference_steps=3,
            guidance_scale=4.0,
            strength=0.7,
            generator=torch.Generator().manual_seed(one.seed),
            **options,
        ).images[0]
        assert difference(one.image, np.asarray(image)) <= 2


def test_a_model_with_words_for_the_level_reads_it_in_the_sentence(tmp_path):
    write_tiny_text2image(tmp_path / "net")
    model = load_pipeline(str(tmp_path / "net"), device="cpu")
    assert model.level_by == "prompt"
    (made,) = generate(model, ["a river"], CONFIG)
    assert (made.prompt, made.provenance["text"]) == ("a river", "17_GOOGLE_LEVEL_a river")
    (without,) = generate(model, ["a river"], dataclasses.replace(CONFIG, level=None))
    assert made.seed == without.seed
    assert difference(made.image, without.image) > 2
    (said,) = generate(model, ["17_GOOGLE_LEVEL_a river"], dataclasses.replace(CONFIG, level=None))
    assert said.provenance["text"] == made.provenance["text"]
    assert said.provenance["level"] == 17


@pytest.mark.parametrize("name", ["small_text2image", "small_text2image_eurosat"])
def test_the_shipped_models_read_the_level_in_the_sentence(name):
    model = load_pipeline(name, device="cpu")
    config = dataclasses.replace(model.config, num_sample_steps=2, level=14)
    (made,) = generate(model, ["a river"], config)
    assert model.level_by == "prompt"
    assert made.provenance["text"] == "14_GOOGLE_LEVEL_a river"
    assert made.image.shape == (64, 64, 3)


def test_a_model_that_cannot_be_told_the_level_is_told_nothing_and_that_is_said_once(tmp_path):
    write_tiny_text2image(tmp_path / "net", level_words=False)
    model = load_pipeline(str(tmp_path / "net"), device="cpu")
    assert model.level_by == "none"
    with pytest.warns(UserWarning, match="net cannot be told a zoom level, so level 17"):
        (made,) = generate(model, ["a river"], CONFIG)
    assert made.provenance["text"] == "a river"
    (said,) = generate(model, ["18_GOOGLE_LEVEL_a river"], dataclasses.replace(CONFIG, level=None))
    assert said.provenance["text"] == "a river"


def test_a_few_step_network_reads_guidance_and_level_as_numbers_and_runs_once_a_step(tmp_path):
    options = {"class_embed_type": "timestep", "time_cond_proj_dim": 8}
    write_tiny_text2image(tmp_path / "net", level_words=False, **options)
    model = load_pipeline(str(tmp_path / "net"), device="cpu")
    unet, forward, sizes = model.pipeline.unet, model.pipeline.unet.forward, []

    def watched(sample: torch.Tensor, *args: object, **kwargs: object) -> object:
        sizes.append(len(sample))
        return forward(sample, *args, **{"class_labels": torch.tensor([17]), **kwargs})

    unet.forward = watched
    made = {scale: None for scale in (2.0, 6.0)}
    for scale in made:
        config = dataclasses.replace(CONFIG, guidance_scale=scale, negative_prompt="")
        (one,) = generate(model, ["a river"], config)
        assert sizes == [1] * 3
        noise = torch.randn(1, 4, 8, 12, generator=torch.Generator().manual_seed(one.seed))
        image = model.pipeline(
            "a river",
            num_inference_steps=3,
            guidance_scale=scale,
            height=16,
            width=24,
            latents=noise,
        ).images[0]
        made[scale] = one.image
        assert difference(one.image, np.asarray(image)) <= 2
        sizes.clear()
    assert difference(made[2.0], made[6.0]) > 0
    refused = dataclasses.replace(CONFIG, guidance_scale=2.0, negative_prompt="clouds")
    with pytest.warns(UserWarning, match="negative prompt has no effect: net reads the guidance"):
        (same,) = generate(model, ["a river"], refused)
    assert difference(same.image, made[2.0]) == 0


def test_a_level_is_a_power_of_two_in_metres():
    assert [meters_per_pixel(level) for level in (18, 17, 16, 13, 10)] == [0.5, 1, 2, 16, 128]
    for level in (9, 19):
        with pytest.raises(ValueError, match=f"10 to 18, got {level}"):
            meters_per_pixel(level)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("9_GOOGLE_LEVEL_a river", "from 10 to 18 before .*, got '9'"),
        ("19_GOOGLE_LEVEL_a river", "got '19'"),
        ("0_GOOGLE_LEVEL_a river", "a level that is not known is told by leaving both out"),
        ("{res}_GOOGLE_LEVEL_a river", "got '{res}'"),  # the published example, without its f
        ("0.5_GOOGLE_LEVEL_a river", r"metres a pixel are 2 \*\* \(17 - level\)"),
        ("_GOOGLE_LEVEL_a river", "got ''"),
        ("18_GOOGLE_LEVEL_a river", "says level 18, the settings say 17"),
    ],
)
def test_a_level_that_is_none_or_another_is_refused(model, prompt, message):
    with pytest.raises(ValueError, match=message):
        next(generate(model, ["a bay", prompt], CONFIG))


def test_a_level_is_taken_off_the_prompt():
    assert split_level("17_GOOGLE_LEVEL_a river", 17) == (17, "a river")
    assert split_level("17_GOOGLE_LEVEL_ a river") == (17, " a river")
    assert split_level("a river at level 17", 12) == (12, "a river at level 17")
    assert split_level("a river") == (None, "a river")
