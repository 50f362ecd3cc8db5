"""Looking inside text-to-image changes nothing, and what is seen there is what the sampler used."""

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    StableDiffusionPipeline,
)
from tiny_models import write_tiny_text2image

from course_utils.text2image import (
    GenerationConfig,
    TextToImage,
    attention_maps,
    decode,
    embed_prompts,
    generate,
    inside,
    interpolate,
    load_pipeline,
    predict_x0,
    trace,
)

CONFIG = GenerationConfig(num_sample_steps=3, height=16, width=24, seed=7)
PROMPT = "a river"

# Some schedulers of diffusers call NumPy in a way that it is about to drop.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TextToImage:
    root = tmp_path_factory.mktemp("models") / "tiny_text2image"
    write_tiny_text2image(root)
    return load_pipeline(str(root), device="cpu")


@pytest.fixture(scope="module")
def shipped() -> TextToImage:
    return load_pipeline("small_text2image", device="cpu")


def changed(model: TextToImage, *, scheduler: type | None = None, **options: object) -> TextToImage:
    """Give the model another sampler, or the same with other options."""
    pipeline = StableDiffusionPipeline(**model.pipeline.components, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    scheduler = scheduler or type(pipeline.scheduler)
    pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config, **options)
    return dataclasses.replace(model, pipeline=pipeline)


def with_other_net(model: TextToImage, **options: object) -> TextToImage:
    """Give the model a random network of another shape."""
    other = changed(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        config = {**model.pipeline.unet.config, **options}
        other.pipeline.unet = type(model.pipeline.unet).from_config(config).eval()
    return other


def text2earth(model: TextToImage) -> TextToImage:
    """Give the model a network that is told the level as Text2Earth's is."""
    other = with_other_net(model, class_embed_type="timestep")
    return dataclasses.replace(other, level_by="class_labels")


def drawn(model: TextToImage, prompt: str, config: GenerationConfig) -> np.ndarray:
    return next(generate(model, [prompt], config)).image.astype(int)


def change(config: GenerationConfig, **options: object) -> GenerationConfig:
    return dataclasses.replace(config, **options)


def last_image(steps: Iterator) -> np.ndarray:
    *_, last = steps
    return last.image.astype(int)


# --- The sampling loop by hand ----------------------------------------------------------------


@pytest.mark.parametrize("guidance_scale", [1.0, 3.0])
@pytest.mark.parametrize(
    "scheduler",
    [
        None,  # DDIM
        EulerDiscreteScheduler,  # works on x_t / √ᾱ
        EulerAncestralDiscreteScheduler,  # and adds noise on the way
        DPMSolverMultistepScheduler,
        HeunDiscreteScheduler,  # two looks a step
    ],
)
def test_the_last_image_of_a_trace_is_the_one_that_generate_draws(model, scheduler, guidance_scale):
    model = changed(model, scheduler=scheduler)
    config = change(CONFIG, guidance_scale=guidance_scale, negative_prompt="clouds", level=14)
    expected = drawn(model, PROMPT, config)
    assert abs(last_image(trace(model, PROMPT, config)) - expected).max() <= 1


@pytest.mark.parametrize("guidance_scale", [1.0, 3.0])
@pytest.mark.parametrize("scheduler", [None, EulerDiscreteScheduler])
def test_so_it_is_for_the_shipped_model(shipped, scheduler, guidance_scale):
    model = changed(shipped, scheduler=scheduler)
    config = GenerationConfig(num_sample_steps=4, guidance_scale=guidance_scale, level=17)
    expected = drawn(model, "trees at a river", config)
    assert expected.std() > 5
    assert abs(last_image(trace(model, "trees at a river", config)) - expected).max() <= 1


@pytest.mark.parametrize("guidance_scale", [1.0, 3.0])
def test_so_it_is_for_a_network_that_is_told_the_level_as_a_label(model, guidance_scale):
    model = text2earth(model)
    config = change(CONFIG, guidance_scale=guidance_scale)
    images = []
    for level in (None, 12, 17):
        told = change(config, level=level)
        images.append(last_image(trace(model, PROMPT, told)))
        assert abs(images[-1] - drawn(model, PROMPT, told)).max() <= 1
    assert not np.array_equal(images[0], images[1])
    assert not np.array_equal(images[1], images[2])


def test_only_the_half_that_reads_the_prompt_is_told_the_level(model, monkeypatch):
    model = text2earth(model)
    told = []
    forward = model.pipeline.unet.forward

    def watch(*args: object, class_labels: torch.Tensor, **options: object) -> object:
        told.append(class_labels.tolist())
        return forward(*args, class_labels=class_labels, **options)

    monkeypatch.setattr(model.pipeline.unet, "forward", watch)
    list(trace(model, PROMPT, change(CONFIG, level=17)))
    list(trace(model, PROMPT, change(CONFIG, level=17, guidance_scale=1.0)))
    assert told == [[0, 17]] * 3 + [[17]] * 3


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "sample"])
def test_the_predicted_image_is_that_of_the_ddim_sampler(model, prediction_type):
    model = changed(model, prediction_type=prediction_type)
    oracle = DDIMScheduler.from_config(model.pipeline.scheduler.config)
    oracle.set_timesteps(3)
    for step in trace(model, PROMPT, CONFIG):
        said = oracle.step(step.guided, int(step.t), step.x_t).pred_original_sample
        torch.testing.assert_close(step.x0_pred, said)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_the_predicted_image_is_that_of_a_sampler_with_another_scale(model, prediction_type):
    model = changed(model, scheduler=EulerDiscreteScheduler, prediction_type=prediction_type)
    oracle = EulerDiscreteScheduler.from_config(model.pipeline.scheduler.config)
    oracle.set_timesteps(3)
    for step, t in zip(trace(model, PROMPT, CONFIG), oracle.timesteps, strict=True):
        x = step.x_t / step.alpha_bar**0.5  # its own scale
        torch.testing.assert_close(oracle.scale_model_input(x, t), step.x_t)
        said = oracle.step(step.guided, t, x).pred_original_sample
        torch.testing.assert_close(step.x0_pred, said, rtol=1e-4, atol=1e-4)


def test_an_image_is_found_again_from_each_kind_of_prediction():
    generator = torch.Generator().manual_seed(0)
    x0, eps = torch.randn(2, 2, 4, 3, 5, generator=generator)
    for alpha_bar in (0.01, 0.4, 0.99):
        signal, noise = alpha_bar**0.5, (1 - alpha_bar) ** 0.5
        x_t = signal * x0 + noise * eps
        kinds = {"epsilon": eps, "v_prediction": signal * eps - noise * x0, "sample": x0}
        for kind, said in kinds.items():
            found = predict_x0(x_t, said, alpha_bar, kind)
            torch.testing.assert_close(found, x0, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="flow_prediction"):
        predict_x0(x0, eps, 0.5, "flow_prediction")


def test_guidance_goes_from_the_negative_prompt_through_the_prompt(model):
    config = change(CONFIG, guidance_scale=3.0, negative_prompt="clouds")
    alone = change(CONFIG, guidance_scale=1.0)
    (clouds,) = embed_prompts(model, ["clouds"], alone)
    guided = next(trace(model, PROMPT, config)).guided
    cond = next(trace(model, PROMPT, alone)).guided
    uncond = next(trace(model, PROMPT, alone, embeddings=clouds)).guided
    torch.testing.assert_close(guided, uncond + 3 * (cond - uncond), rtol=1e-4, atol=1e-5)
    assert (cond - uncond).abs().max() > 1e-3


def test_a_trace_goes_from_noise_to_image(shipped):
    steps = list(trace(shipped, PROMPT, GenerationConfig(num_sample_steps=5)))
    assert [step.step for step in steps] == list(range(5))
    assert all(a.t > b.t and a.alpha_bar < b.alpha_bar for a, b in itertools.pairwise(steps))
    assert [step.image is None for step in steps] == [True] * 4 + [False]
    assert steps[0].alpha_bar < 0.01
    assert steps[0].x_t.std() == pytest.approx(1, abs=0.1)
    expected = decode(shipped, steps[-1].x0_pred[None])[0].astype(int)
    assert abs(expected - steps[-1].image).max() <= 1  # its sampler ends in its prediction


def test_traces_disturb_neither_each_other_nor_other_drawings(model):
    model = changed(model, scheduler=DPMSolverMultistepScheduler)  # remembers earlier steps
    expected = [last_image(trace(model, prompt, CONFIG)) for prompt in (PROMPT, "a bay")]
    first, second = (trace(model, prompt, CONFIG) for prompt in (PROMPT, "a bay"))
    made = []
    for pair in zip(first, second, strict=True):
        drawn(model, "a field", change(CONFIG, num_sample_steps=2))
        made.append([step.image for step in pair])
    assert np.array_equal(made[-1], expected)


def test_nothing_is_said_and_no_gradient_is_kept(model, capfd):
    steps = list(trace(model, "river " * 100, CONFIG))
    assert capfd.readouterr() == ("", "")
    assert not any(step.x0_pred.requires_grad or step.x_t.is_inference() for step in steps)


def test_decoding_many_latents_is_decoding_each(model):
    latents = torch.randn(19, 4, 8, 12, generator=torch.Generator().manual_seed(0))
    together = decode(model, latents)
    assert together.shape == (19, 16, 24, 3)
    for latent, image in zip(latents, together, strict=True):
        assert abs(decode(model, latent[None])[0].astype(int) - image).max() <= 1


# --- Between two sentences --------------------------------------------------------------------


def test_an_interpolation_goes_from_one_sentence_to_the_other_with_the_same_noise(model):
    made = list(interpolate(model, PROMPT, "a bay", CONFIG, num=3))
    assert [each.share for each in made] == [0, 0.5, 1]
    assert abs(drawn(model, PROMPT, CONFIG) - made[0].image).max() <= 1
    a, b = embed_prompts(model, [PROMPT, "a bay"], CONFIG)
    for embeddings, each in (((a + b) / 2, made[1]), (b, made[2])):
        expected = last_image(trace(model, PROMPT, CONFIG, embeddings=embeddings))
        assert abs(expected - each.image).max() <= 1
    assert not np.array_equal(made[0].image, made[2].image)


def test_embeddings_of_the_prompt_itself_change_nothing_and_the_level_is_in_them(model):
    config = change(CONFIG, level=17)
    (told,), (plain,) = (embed_prompts(model, [PROMPT], c) for c in (config, CONFIG))
    assert not torch.equal(told, plain)
    image = last_image(trace(model, PROMPT, config, embeddings=told))
    assert abs(image - drawn(model, PROMPT, config)).max() <= 1


# --- Attention --------------------------------------------------------------------------------


def shares_by_the_library(model: TextToImage, prompt: str, config: GenerationConfig) -> list:
    """Compute the attention of all layers and steps with diffusers' own scores, from hooks."""
    seen, handles = [], []
    for name, module in model.pipeline.unet.named_modules():
        if name.endswith("attn2"):

            def look(attn, args, kwargs):
                query = attn.head_to_batch_dim(attn.to_q(args[0]))
                key = attn.head_to_batch_dim(attn.to_k(kwargs["encoder_hidden_states"]))
                scores = attn.get_attention_scores(query, key)  # batch and heads first
                seen.append(scores.unflatten(0, (-1, attn.heads)))

            handles.append(module.register_forward_pre_hook(look, with_kwargs=True))
    with torch.no_grad():
        list(generate(model, [prompt], config))
    for handle in handles:
        handle.remove()
    return seen


@pytest.mark.parametrize("guidance_scale", [1.0, 3.0])
@pytest.mark.parametrize("blocks", [(0, 1), (1, 0)])  # attention in the first or the second block
def test_maps_are_the_mean_attention_of_the_finest_layers(model, guidance_scale, blocks):
    down = [("CrossAttnDownBlock2D", "DownBlock2D")[i] for i in blocks]
    up = [("CrossAttnUpBlock2D", "UpBlock2D")[i] for i in reversed(blocks)]
    model = with_other_net(model, down_block_types=down, up_block_types=up)
    config = change(CONFIG, guidance_scale=guidance_scale, negative_prompt="x")
    found = attention_maps(model, PROMPT, config)
    seen = shares_by_the_library(model, PROMPT, config)
    most = max(shares.shape[2] for shares in seen)
    assert found.resolution == ((8, 12) if blocks == (0, 1) else (4, 6))
    assert most == found.resolution[0] * found.resolution[1]
    finest = [shares[-1].mean(0) for shares in seen if shares.shape[2] == most]
    assert len(finest) == 3 * found.num_layers
    expected = torch.stack(finest).mean(0).T.reshape(found.token_maps.shape)
    torch.testing.assert_close(found.token_maps, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("level", [None, 17])
def test_at_every_place_the_shares_of_all_tokens_add_up_to_one(shipped, level):
    config = GenerationConfig(num_sample_steps=2, level=level)
    found = attention_maps(shipped, "a river, and trees.", config)
    assert found.token_maps.shape[0] == shipped.pipeline.tokenizer.model_max_length
    torch.testing.assert_close(found.token_maps.sum(0), torch.ones(found.resolution))
    assert found.maps.shape == (4, 64, 64)
    assert 0 < found.words_share < 1


def test_recording_does_not_change_the_image(shipped, model):
    for some, config in ((shipped, GenerationConfig(num_sample_steps=4)), (model, CONFIG)):
        found = attention_maps(some, PROMPT, config)
        assert abs(found.image.astype(int) - drawn(some, PROMPT, config)).max() <= 1


def test_the_model_keeps_its_own_attention_also_after_an_error(model, monkeypatch):
    unet = model.pipeline.unet
    before = dict(unet.attn_processors)
    attention_maps(model, PROMPT, CONFIG)
    assert unet.attn_processors == before

    def broken(*args: object) -> Iterator:
        assert unet.attn_processors != before
        yield next(trace(*args))
        raise KeyboardInterrupt

    monkeypatch.setattr(inside, "trace", broken)
    with pytest.raises(KeyboardInterrupt):
        attention_maps(model, PROMPT, CONFIG)
    assert unet.attn_processors == before


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("a river", ["a", "river"]),
        ("A river, and trees.", ["A", "river", "and", "trees"]),
        ("the river's sea-side (a bay)!", ["the", "river's", "sea-side", "a", "bay"]),
        ("17_GOOGLE_LEVEL_a river", ["a", "river"]),
        ("  two  rivers\nÖde ", ["two", "rivers", "Öde"]),
    ],
)
@pytest.mark.parametrize("level", [None, 17])
def test_the_words_of_the_maps_are_those_of_the_prompt(shipped, prompt, words, level):
    config = GenerationConfig(num_sample_steps=1, guidance_scale=1.0, level=level)
    assert list(attention_maps(shipped, prompt, config).words) == words


def test_the_tokens_of_a_word_are_added_and_nothing_else(model):
    found = attention_maps(model, "a river, a bay", change(CONFIG, level=14))
    start = 2  # behind the start and the level; one token a letter, none for a space
    rows = {"a": [0], "river": [1, 2, 3, 4, 5], "a again": [7], "bay": [8, 9, 10]}
    assert found.words == ("a", "river", "a", "bay")
    coarse = torch.stack(
        [found.token_maps[[start + i for i in some]].sum(0) for some in rows.values()]
    )
    expected = F.interpolate(coarse[None], size=(16, 24), mode="bilinear")[0]
    torch.testing.assert_close(found.maps, expected)


def test_words_that_are_cut_off_have_no_map(model):
    found = attention_maps(model, "river " * 20, CONFIG)  # 32 tokens, two of them special
    assert found.words == ("river",) * 6


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: next(trace(model, " ", CONFIG)), "empty"),
        (lambda model: embed_prompts(model, ["a", ""], CONFIG), "empty"),
        (lambda model: next(interpolate(model, "a", "b", CONFIG, num=1)), "num .* 2 or more"),
        (lambda model: next(interpolate(model, "a", "", CONFIG)), "empty"),
        (lambda model: attention_maps(model, "?!", CONFIG), "no word"),
        (lambda model: next(trace(model, "9_GOOGLE_LEVEL_a", CONFIG)), "zoom level"),
        (
            lambda model: next(trace(dataclasses.replace(model, task="inpainting"), "a", CONFIG)),
            "only text-to-image",
        ),
    ],
)
def test_what_cannot_be_looked_into_is_refused(model, call, message):
    with pytest.raises(ValueError, match=message):
        call(model)


def test_a_network_that_reads_no_text_is_refused(model):
    plain = {"down_block_types": ["DownBlock2D"] * 2, "up_block_types": ["UpBlock2D"] * 2}
    model = with_other_net(model, **plain, mid_block_type=None)
    with pytest.raises(ValueError, match="reads no text"):
        attention_maps(model, PROMPT, CONFIG)
