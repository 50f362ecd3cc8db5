"""What is drawn when maps and metadata are told: against loops by hand, and never mixed up."""

from dataclasses import replace
from pathlib import Path

import control_models as tiny
import numpy as np
import pytest
import torch
from tiny_models import write_tiny_text2image

from course_utils import control, text2image
from course_utils.control.drawing import telling
from course_utils.images import unit_to_bytes

CONFIG = text2image.GenerationConfig(
    num_sample_steps=3, height=16, width=16, guidance_scale=2.5, batch_size=2, seed=5
)
PROMPTS = ["a river", "a road", "a river"]
MAPS = torch.rand(3, 18, 16, 16, generator=torch.Generator().manual_seed(0))
RECORDS = [
    control.Metadata(longitude=x, year=2020.0, month=m)
    for x, m in ((5.0, 1.0), (90.0, 7.0), (5.0, 8.0))
]


@pytest.fixture(scope="module")
def controlled(tmp_path_factory: pytest.TempPathFactory) -> control.Controlled:
    root: Path = tmp_path_factory.mktemp("models")
    write_tiny_text2image(root / "base")
    tiny.write_net(root / "net", text2image.load_pipeline(str(root / "base"), device="cpu"))
    found = control.load_control(str(root / "net"), base=str(root / "base"), device="cpu")
    return replace(found, embedding=tiny.make_embedding())


def draw(controlled: control.Controlled, **told: object) -> np.ndarray:
    return control.draw(controlled, PROMPTS, **{"config": CONFIG, **told})


def apart(a: np.ndarray, b: np.ndarray) -> int:
    return int(abs(a.astype(int) - b.astype(int)).max())


@torch.no_grad()
def by_hand(controlled: control.Controlled, index: int, scale: float) -> np.ndarray:
    """Draw one image with the ControlNet in a loop of DDIM steps."""
    pipeline, net = controlled.model.pipeline, controlled.net
    seed = text2image.image_seed(CONFIG.seed, PROMPTS[index], PROMPTS[:index].count(PROMPTS[index]))
    generator = torch.Generator().manual_seed(seed)
    x_t = torch.randn(1, 4, 8, 8, generator=generator)
    context = pipeline.encode_prompt(["", PROMPTS[index]], "cpu", 1, False)[0]
    pipeline.scheduler.set_timesteps(CONFIG.num_sample_steps)
    cond = MAPS[index].expand(2, -1, -1, -1)
    for t in pipeline.scheduler.timesteps:
        both = x_t.expand(2, -1, -1, -1)
        down, middle = net(both, t, context, controlnet_cond=cond, return_dict=False)
        eps = pipeline.unet(
            both,
            t,
            context,
            down_block_additional_residuals=[scale * part for part in down],
            mid_block_additional_residual=scale * middle,
        ).sample
        eps = eps[:1] + CONFIG.guidance_scale * (eps[1:] - eps[:1])
        x_t = pipeline.scheduler.step(eps, t, x_t).prev_sample
    image = pipeline.vae.decode(x_t / pipeline.vae.config.scaling_factor).sample
    return unit_to_bytes((image / 2 + 0.5).clamp(0, 1))[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("scale", [1.0, 0.4])
def test_an_image_told_a_map_is_that_of_a_loop_by_hand(controlled, scale):
    drawn = draw(controlled, maps=MAPS, scale=scale)
    assert drawn.shape == (3, 16, 16, 3)
    for index in range(3):
        assert apart(drawn[index], by_hand(controlled, index, scale)) <= 2


def test_told_nothing_or_at_scale_0_it_draws_what_the_generator_draws(controlled):
    expected = np.stack(
        [made.image for made in text2image.generate(controlled.model, PROMPTS, CONFIG)]
    )
    assert apart(draw(controlled), expected) == 0
    assert apart(draw(controlled, maps=MAPS, scale=0.0), expected) == 0
    assert apart(draw(controlled, maps=MAPS), expected) > 5


def test_several_maps_add_up(controlled):
    one = draw(controlled, maps=MAPS)
    assert apart(draw(controlled, maps=[MAPS, MAPS], scale=[0.3, 0.7]), one) <= 2
    assert apart(draw(controlled, maps=[MAPS, 1 - MAPS], scale=[1.0, 0.0]), one) <= 2
    assert apart(draw(controlled, maps=[MAPS, 1 - MAPS]), one) > 2


def test_an_image_depends_on_its_own_prompt_map_record_and_seed_only(controlled):
    config = replace(CONFIG, num_sample_steps=2)
    together = draw(
        controlled,
        maps=MAPS,
        metadata=RECORDS,
        config=replace(config, batch_size=3),
        seeds=[1, 2, 3],
    )
    for i in range(3):
        alone = control.draw(
            controlled,
            PROMPTS[i : i + 1],
            maps=MAPS[i : i + 1],
            metadata=RECORDS[i : i + 1],
            config=config,
            seeds=[i + 1],
        )
        assert apart(alone[0], together[i]) <= 2


def test_metadata_is_added_to_the_embedding_of_the_step(controlled):
    config = replace(CONFIG, guidance_scale=1.0)  # without an unconditional half
    drawn = draw(controlled, metadata=[RECORDS[0]] * 3, config=config)
    bias = controlled.model.pipeline.unet.time_embedding.linear_2.bias
    added = controlled.embedding(control.scale_metadata(RECORDS[:1]))[0]
    before = bias.data.clone()
    try:
        bias.data = before + added.detach()
        assert apart(drawn, draw(controlled, config=config)) <= 2
    finally:
        bias.data = before
    assert apart(drawn, draw(controlled, config=config)) > 2


def test_the_half_without_a_sentence_is_told_zeros(controlled):
    unet = controlled.model.pipeline.unet
    scaled = control.scale_metadata(RECORDS)
    steps = torch.zeros(6, unet.time_embedding.linear_1.in_features)
    plain = unet.time_embedding(steps)
    with telling(controlled, scaled):
        added = unet.time_embedding(steps) - plain
    expected = controlled.embedding(torch.cat([torch.zeros(3, 7), scaled]))
    torch.testing.assert_close(added, expected, atol=1e-4, rtol=1e-4)


def test_nothing_told_is_left_in_the_generator_after_an_error(controlled):
    unet = controlled.model.pipeline.unet
    with pytest.raises(RuntimeError), telling(controlled, control.scale_metadata(RECORDS)):
        raise RuntimeError
    assert not unet.time_embedding._forward_hooks


def test_an_image_can_be_the_start_with_and_without_a_map(controlled):
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    model = replace(controlled.model, task="image-to-image")
    plain = draw(controlled, images=images, strength=0.7)
    told = draw(controlled, images=images, strength=0.7, maps=MAPS)
    assert model.task == "image-to-image"
    assert plain.shape == told.shape == images.shape
    assert apart(plain, told) > 2
    assert apart(draw(controlled, images=images, strength=0.7, maps=MAPS, scale=0.0), plain) == 0


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"maps": MAPS[:2]}, r"maps: expected a tensor of shape \(3, 18, 16, 16\).*expand"),
        ({"maps": MAPS[:, :3]}, r"got \(3, 3, 16, 16\).*stack_conditions"),
        ({"maps": MAPS[..., :8]}, r"got \(3, 18, 16, 8\).*size="),
        ({"maps": 255 * MAPS}, "values from 0 to 1"),
        ({"maps": MAPS - 2}, "values from 0 to 1"),
        ({"maps": MAPS * torch.nan}, "values from 0 to 1"),
        ({"maps": MAPS, "scale": -1.0}, "scale: expected a number of 0 or more"),
        ({"maps": [MAPS, MAPS], "scale": [1.0]}, "one for each of 2 maps"),
        ({"metadata": RECORDS[:1]}, "metadata: expected 3 records"),
        ({"seeds": [1]}, "expected 3 seeds"),
        ({"strength": 0.5}, "strength is for"),
    ],
)
def test_what_does_not_fit_is_refused(controlled, told, message):
    with pytest.raises(ValueError, match=message):
        draw(controlled, **told)


def test_a_model_that_reads_no_maps_or_no_metadata_says_so(controlled):
    with pytest.raises(ValueError, match="told metadata and no maps"):
        draw(replace(controlled, net=None), maps=MAPS)
    with pytest.raises(ValueError, match="told maps and no metadata"):
        draw(replace(controlled, embedding=None), metadata=RECORDS)


def test_no_prompt_draws_no_image(controlled):
    assert control.draw(controlled, [], config=CONFIG).shape == (0, 16, 16, 3)
