"""A generator adapted on shots: the change is the low-rank one, the original stays as it was."""

import copy
from dataclasses import replace

import jaxtyping
import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from tiny_models import write_tiny_text2image

from course_utils.examples import Example
from course_utils.runtime import seeded
from course_utils.strategies import adapt, adaptation
from course_utils.text2image import GenerationConfig, generate, load_pipeline

PHRASES, TEMPLATES = ("a river", "a forest"), ("a photo of {}.", "{} from above")
RANDOM = np.random.default_rng(0)
SHOTS = [
    Example(label, "real", pixels=RANDOM.integers(0, 256, (16, 16, 3), dtype=np.uint8))
    for label in (0, 1, 0, 1, 1)
]
CONFIG = GenerationConfig(num_sample_steps=2, height=16, width=16)


def load(root, **settings):
    write_tiny_text2image(root, **settings)
    return replace(load_pipeline(str(root), device="cpu"), config=CONFIG)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load(tmp_path_factory.mktemp("models") / "tiny")


def weights(model) -> dict[str, torch.Tensor]:
    parts = ("unet", "text_encoder", "vae")
    return {
        f"{part}.{name}": value.clone()
        for part in parts
        for name, value in getattr(model.pipeline, part).state_dict().items()
    }


def run(model, *, seed: int = 0, epochs: int = 2, **settings) -> list:
    return list(
        adapt(model, SHOTS, PHRASES, TEMPLATES, generator=seeded(seed), epochs=epochs, **settings)
    )


def test_the_last_step_has_a_new_model_and_the_old_one_is_as_before(model):
    before = weights(model)
    steps = run(model)
    assert [step.step for step in steps] == [1, 2, 3, 4]
    assert [step.total for step in steps] == [4] * 4
    assert [step.model is None for step in steps] == [True, True, True, False]
    assert all(torch.equal(value, before[name]) for name, value in weights(model).items())
    after = weights(steps[-1].model)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.split(".")[0] for name in changed} == {"unet", "text_encoder"}
    assert after.keys() == before.keys()
    drawn = list(generate(steps[-1].model, ["a river"], CONFIG))
    assert not np.array_equal(drawn[0].image, next(generate(model, ["a river"], CONFIG)).image)


def test_each_change_has_the_rank_that_was_fixed(model):
    after, before = weights(run(model)[-1].model), weights(model)
    for name, value in before.items():
        change = (after[name] - value).flatten(1) if value.dim() > 1 else after[name] - value
        if value.dim() < 2:
            assert not change.any(), name
        else:
            assert torch.linalg.matrix_rank(change, atol=1e-6) <= adaptation.RANK, name


def test_the_new_networks_compute_what_the_library_computes_with_its_matrices(model, monkeypatch):
    kept = {}
    original = adaptation._changed
    monkeypatch.setattr(
        adaptation,
        "_changed",
        lambda onto, nets, what: kept.update(nets) or original(onto, nets, what),
    )
    made = run(model)[-1].model
    tokens = torch.arange(32)[None] % 7
    x, t = torch.randn(2, 4, 8, 8, generator=seeded(0)), torch.tensor([3, 900])
    with torch.no_grad():
        contexts = [
            net(tokens).last_hidden_state.expand(2, -1, -1)
            for net in (kept["text_encoder"].eval(), made.pipeline.text_encoder)
        ]
        torch.testing.assert_close(*contexts)
        said = [
            net(x, t, encoder_hidden_states=contexts[0]).sample
            for net in (kept["unet"].eval(), made.pipeline.unet)
        ]
    torch.testing.assert_close(*said)


@pytest.mark.parametrize("kind", ["v_prediction", "epsilon"])
def test_the_loss_is_that_of_the_library(model, kind):
    scheduler = DDIMScheduler.from_config(model.pipeline.scheduler.config, prediction_type=kind)
    pipeline = copy.copy(model.pipeline)
    pipeline.scheduler = scheduler
    other = replace(model, pipeline=pipeline)
    nets = {part: getattr(pipeline, part) for part in ("unet", "text_encoder")}
    x0, sentences = torch.randn(3, 4, 8, 8, generator=seeded(1)), ["a", "", "a river"]
    with torch.no_grad():
        mine = adaptation._loss(other, nets, x0, sentences, seeded(2))
        generator = seeded(2)
        t = torch.randint(1000, (3,), generator=generator)
        eps = torch.randn(x0.shape, generator=generator)
        x_t = scheduler.add_noise(x0, eps, t)
        context = pipeline.encode_prompt(sentences, "cpu", 1, False)[0]
        said = pipeline.unet(x_t, t, encoder_hidden_states=context).sample
        target = scheduler.get_velocity(x0, eps, t) if kind == "v_prediction" else eps
    torch.testing.assert_close(mine, (said - target).square().mean())


def test_the_generator_decides_and_the_fingerprint_tells(model):
    one, same, other = (run(model, seed=seed)[-1] for seed in (0, 0, 1))
    assert one.loss == same.loss != other.loss
    assert one.model.fingerprint == same.model.fingerprint
    pairs = zip(weights(one.model).values(), weights(same.model).values(), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)
    marks = {model.fingerprint, one.model.fingerprint, other.model.fingerprint}
    marks.add(run(model, epochs=1)[-1].model.fingerprint)
    fewer = list(adapt(model, SHOTS[:2], PHRASES, TEMPLATES, generator=seeded(0), epochs=2))
    assert len(marks | {fewer[-1].model.fingerprint}) == 5


def test_what_was_learned_goes_onto_a_student_that_is_also_told_the_guidance(model, tmp_path):
    student = load(tmp_path / "student", time_cond_proj_dim=8)
    made, direct = run(model, onto=student)[-1].model, run(model)[-1].model
    before, after, taught = weights(student), weights(made), weights(direct)
    for name, value in weights(model).items():
        torch.testing.assert_close(after[name] - before[name], taught[name] - value)
    assert made.artifact == f"{student.artifact}_adapted"
    assert made.config == student.config


def test_a_model_with_other_layers_is_refused(model, tmp_path):
    other = load(tmp_path / "other", channels=6)
    with pytest.raises(ValueError, match=r"has another unet than .* differs; adapt a model onto"):
        run(model, onto=other)


def test_every_view_of_a_shot_is_one_of_its_eight_sides(model):
    lesson = adaptation._prepare(model, SHOTS[:1], PHRASES, TEMPLATES)
    assert lesson.latents.shape == (1, 8, 4, 8, 8)
    flat = lesson.latents[0].flatten(1)
    assert len({tuple(row.tolist()) for row in flat}) == 8
    assert lesson.sentences == (("a photo of a river.", "a river from above"),)


def test_the_loss_falls_on_what_is_seen_often(model):
    losses = [step.loss for step in run(model, epochs=60)]
    assert np.mean(losses[-20:]) < np.mean(losses[:20])


@pytest.mark.parametrize(
    ("shots", "said"),
    [([], r"got labels \[\]"), (SHOTS[:3], r"shots of 1 classes, got .*\[0, 1\]")],
)
def test_shots_that_fit_no_phrase_are_refused(model, monkeypatch, shots, said):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=said):
        list(adapt(model, shots, PHRASES[:1], TEMPLATES, generator=seeded(0)))


def test_what_was_learned_is_kept_and_read_again(model, tmp_path):
    first = run(model, root=tmp_path)[-1].model
    (path,) = tmp_path.iterdir()
    again = run(model, root=tmp_path)
    assert [(step.step, step.total) for step in again] == [(4, 4)]
    assert again[0].model.fingerprint == first.fingerprint
    assert all(
        torch.equal(value, weights(first)[k]) for k, value in weights(again[0].model).items()
    )
    path.write_bytes(path.read_bytes()[:-40])
    assert len(run(model, root=tmp_path)) == 4
    assert len(run(model, root=tmp_path)) == 1
    assert len(run(model, root=tmp_path, seed=1)) == 4
