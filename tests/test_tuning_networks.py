"""Tuned networks against plain loops and open_clip's loss; what adapters may and may not change."""

import copy
import dataclasses
import math
from pathlib import Path

import jaxtyping
import open_clip
import pytest
import torch
from conftest import noise_image
from test_clip_families import write_siglip
from tiny_models import write_tiny_clip
from torch.nn import functional

from course_utils.examples import Example
from course_utils.images import from_pil
from course_utils.runtime import seeded
from course_utils.tuning import (
    HeadData,
    Heads,
    NetConfig,
    TuneConfig,
    blend,
    blend_heads,
    contrastive,
    contrastive_loss,
    finetune,
    mixed_rows,
    soft_targets,
    synthetic_loss,
    tune_heads,
)
from course_utils.zero_shot import class_weights, embed_images, image_features, load_clip, with_net

NAMES = ("river", "annual crop", "harbor")
CAPTIONS = [f"a satellite photo of {NAMES[i % 3]} number {i}" for i in range(12)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models") / "tiny_clip"
    write_tiny_clip(root)
    return root


@pytest.fixture(scope="module")
def clip(folder: Path):
    return load_clip(str(folder), device="cpu")


@pytest.fixture(scope="module")
def siglip(tmp_path_factory: pytest.TempPathFactory):
    root = tmp_path_factory.mktemp("models") / "git_rsclip"
    write_siglip(root)
    return load_clip(str(root), device="cpu")


@pytest.fixture
def no_hook(monkeypatch):
    """Run as learners do: nobody checks the annotations, so the package must."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    """Twelve images of three classes, the first four real; brightness tells the classes apart."""
    made = []
    for i in range(12):
        pixels = from_pil(noise_image(i, size=(32, 32))).permute(1, 2, 0).numpy() // 3
        source = "real" if i < 4 else "synthetic"
        made.append(Example(i % 3, source, pixels=pixels + 80 * (i % 3)))
    return made


@pytest.fixture(scope="module")
def weights(clip):
    return class_weights(clip, NAMES, ("a photo of {}",))


def last(steps):
    *_, step = steps
    return step


def state_of(clip):
    return {name: value.clone() for name, value in clip.net.state_dict().items()}


def changed(before, after):
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


def plan(config, seed, *, num_real=4, num=12):
    rows = torch.arange(num)
    return mixed_rows(
        rows[:num_real],
        rows[num_real:],
        num_steps=config.num_steps,
        batch_size=config.batch_size,
        real_share=config.real_share,
        order=config.order,
        generator=seeded(seed),
    )


def train_plainly(net, head, loss_of, config, seed):
    """Train as a student would: decay for matrices only, a scheduler, a loop over batches."""
    matrices = [p for p in net.parameters() if p.dim() > 1]
    others = [p for p in net.parameters() if p.dim() <= 1]
    groups = [
        {"params": matrices, "lr": config.learning_rate},
        {"params": others, "lr": config.learning_rate, "weight_decay": 0.0},
    ]
    if head:
        groups.append({"params": head, "lr": config.head_learning_rate})
    optimizer = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.num_steps)
    losses = []
    for rows in plan(config, seed):
        loss = loss_of(rows)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


# ------------------------------------------------------------------------------ classification


def test_tuning_the_whole_network_is_a_plain_loop(clip, examples, weights):
    config = NetConfig(kind="full", num_steps=6, learning_rate=1e-3, batch_size=4)
    steps = list(finetune(clip, examples, weights, config, seed=3))
    net = copy.deepcopy(clip.net).requires_grad_(True)
    images = torch.stack([clip.preprocess(example.load()) for example in examples])
    labels = torch.tensor([example.label for example in examples])
    w = (clip.logit_scale * weights).clone().requires_grad_()
    bias = torch.zeros(3, requires_grad=True)

    def loss_of(rows):
        features = functional.normalize(net.encode_image(images[rows]), dim=-1)
        return functional.cross_entropy(features @ w.T + bias, labels[rows])

    losses = train_plainly(net, [w, bias], loss_of, config, seed=3)
    assert [step.loss for step in steps] == pytest.approx(losses, rel=1e-3)
    assert [step.step for step in steps] == list(range(6))
    assert all(step.clip is None and step.heads is None for step in steps[:-1])
    tuned = steps[-1]
    # a weight whose gradient is only rounding moves by the sign of it: compare what nets compute
    torch.testing.assert_close(
        tuned.clip.encode_image(images), embed_images(net, images).detach(), rtol=1e-2, atol=2e-3
    )
    torch.testing.assert_close(tuned.heads.weights[0], w.detach(), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(tuned.heads.bias[0], bias.detach(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_with_a_network_that_stands_still_the_head_is_that_of_tune_heads(
    clip, examples, weights, kind
):
    real = [dataclasses.replace(example, source="real") for example in examples]
    config = NetConfig(kind=kind, num_steps=9, learning_rate=0.0, batch_size=8, weight_decay=0.1)
    tuned = last(finetune(clip, real, weights, config, seed=5))
    assert changed(state_of(clip), state_of(tuned.clip)) == set()
    data = HeadData(torch.arange(12), torch.tensor([e.label for e in real]), seed=5)
    same = TuneConfig(num_steps=9, learning_rate=0.03, weight_decay=0.1, batch_size=8)
    features = image_features(clip, real)
    heads = last(tune_heads(features, [data], weights, same, logit_scale=clip.logit_scale)).heads
    torch.testing.assert_close(tuned.heads.weights, heads.weights, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(tuned.heads.bias, heads.bias, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_only_the_image_encoder_learns_and_the_given_model_stays_as_it_was(
    clip, examples, weights, kind
):
    before, fingerprint = state_of(clip), clip.fingerprint
    config = NetConfig(kind=kind, num_steps=2, batch_size=4)
    tuned = last(finetune(clip, examples, weights, config, seed=0)).clip
    assert changed(before, state_of(clip)) == set()
    assert clip.fingerprint == fingerprint != tuned.fingerprint
    assert not any(parameter.requires_grad for parameter in tuned.net.parameters())
    assert not tuned.net.training
    moved = changed(before, state_of(tuned))
    assert moved
    assert all(name.startswith("visual.") for name in moved)
    prompts = ["a river", "two harbors"]
    assert torch.equal(tuned.encode_text(prompts), clip.encode_text(prompts))
    assert tuned.logit_scale == clip.logit_scale
    images = torch.stack([clip.preprocess(example.load()) for example in examples[:2]])
    assert not torch.equal(tuned.encode_image(images), clip.encode_image(images))


def test_adapters_change_layers_that_are_called_by_a_matrix_of_their_rank(clip, examples, weights):
    config = NetConfig(num_steps=5, batch_size=4, rank=2, learning_rate=0.01)
    tuned = last(finetune(clip, examples, weights, config, seed=0)).clip
    before, after = state_of(clip), state_of(tuned)
    moved = changed(before, after)
    layer = "visual.transformer.resblocks.0."
    assert moved == {
        "visual.conv1.weight",
        f"{layer}mlp.c_fc.weight",
        f"{layer}mlp.c_proj.weight",
    }  # not the projections of attention, whose layers are never called
    for name in moved:
        change = (after[name] - before[name]).flatten(1).double()
        values = torch.linalg.svdvals(change)
        assert values[1] > 1e-6  # both ranks are used
        assert values[2] < 1e-5 * values[0]


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_tuning_lowers_the_loss_and_the_same_seed_gives_the_same_model(
    clip, examples, weights, kind
):
    settings = {"num_steps": 40, "learning_rate": 3e-3, "head_learning_rate": 0.3}
    config = NetConfig(kind=kind, batch_size=8, **settings)
    one, two = ([*finetune(clip, examples, weights, config, seed=1)] for _ in range(2))
    assert [step.loss for step in one] == [step.loss for step in two]
    assert one[-1].clip.fingerprint == two[-1].clip.fingerprint
    assert one[-1].loss < one[0].loss
    other = last(finetune(clip, examples, weights, config, seed=2))
    assert other.clip.fingerprint != one[-1].clip.fingerprint
    labels = torch.tensor([example.label for example in examples])
    start = (image_features(clip, examples) @ weights.T).argmax(1)
    guess = one[-1].heads.logits(image_features(one[-1].clip, examples))[0].argmax(1)
    assert (guess == labels).sum() > (start == labels).sum()


def test_soft_targets_give_the_published_loss_and_sure_ones_that_of_labels(clip, examples, weights):
    config = NetConfig(num_steps=2, batch_size=12, real_share=0.0)
    made = [dataclasses.replace(example, source="synthetic") for example in examples]
    labels = torch.tensor([example.label for example in made])
    logits = clip.logit_scale * image_features(clip, made) @ weights.T
    targets = soft_targets(labels, logits)
    steps = list(finetune(clip, made, weights, config, seed=0, targets=targets))
    assert steps[0].loss == pytest.approx(synthetic_loss(logits, labels, logits).item(), rel=1e-5)
    plain = list(finetune(clip, made, weights, config, seed=0))
    sure = functional.one_hot(labels, 3).double()
    again = list(finetune(clip, made, weights, config, seed=0, targets=sure))
    assert [step.loss for step in plain] == [step.loss for step in again]


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_a_network_of_transformers_is_tuned_alike(siglip, examples, kind):
    weights = class_weights(siglip, NAMES, ("a photo of {}",))
    config = NetConfig(kind=kind, num_steps=3, batch_size=4, learning_rate=1e-3)
    tuned = last(finetune(siglip, examples, weights, config, seed=0)).clip
    moved = changed(state_of(siglip), state_of(tuned))
    assert moved
    assert all(name.startswith("vision_model.") for name in moved)
    if kind == "lora":
        assert "vision_model.encoder.layers.0.self_attn.q_proj.weight" in moved
    further = last(contrastive(siglip, examples, CAPTIONS, config, seed=0)).clip
    assert any(
        name.startswith("text_model.") for name in changed(state_of(siglip), state_of(further))
    )
    assert further.logit_bias == siglip.logit_bias  # a softmax does not see it


def test_the_small_clip_a_residual_network_is_tuned_with_its_statistics_kept(examples):
    clip = load_clip(device="cpu")
    weights = class_weights(clip, NAMES, ("a photo of {}",))
    for kind in ("full", "lora"):
        config = NetConfig(kind=kind, num_steps=2, batch_size=4)
        tuned = last(finetune(clip, examples, weights, config, seed=0)).clip
        moved = changed(state_of(clip), state_of(tuned))
        assert "visual.layer4.0.conv2.weight" in moved
        assert not [name for name in moved if "running" in name or "num_batches" in name]
        assert ("visual.attnpool.c_proj.weight" in moved) == (kind == "full")


def test_a_tuned_model_can_be_tuned_further(clip, examples, weights):
    config = NetConfig(num_steps=2, batch_size=4, learning_rate=0.01)
    first = last(contrastive(clip, examples, CAPTIONS, config, seed=0)).clip
    second = last(finetune(first, examples, weights, config, seed=0)).clip
    moved = changed(state_of(first), state_of(second))
    assert moved == {name for name in moved if name.startswith("visual.")} != set()


# ------------------------------------------------------------------------------ contrastive


def unit(*shape: int, seed: int) -> torch.Tensor:
    return functional.normalize(torch.randn(*shape, generator=seeded(seed)), dim=-1)


def test_the_contrastive_loss_is_that_of_open_clip():
    images, texts = unit(9, 6, seed=0), unit(9, 6, seed=1)
    expected = open_clip.loss.ClipLoss()(images, texts, 14.0)
    torch.testing.assert_close(contrastive_loss(images, texts, logit_scale=14.0), expected)
    scale = torch.tensor(14.0, requires_grad=True)
    (gradient,) = torch.autograd.grad(contrastive_loss(images, texts, logit_scale=scale), scale)
    up, down = (contrastive_loss(images, texts, logit_scale=14.0 + e) for e in (0.05, -0.05))
    assert gradient.item() == pytest.approx(((up - down) / 0.1).item(), rel=0.02)


def test_where_several_captions_match_each_takes_an_equal_share():
    images, texts = unit(5, 6, seed=2), unit(5, 6, seed=3)
    which = [0, 1, 0, 2, 0]
    matches = torch.tensor([[a == b for a in which] for b in which])
    total = 0.0
    for scores in ((7 * images @ texts.T).tolist(), (7 * texts @ images.T).tolist()):
        for i, row in enumerate(scores):
            norm = math.log(sum(math.exp(x) for x in row))
            right = [j for j in range(5) if which[i] == which[j]]
            total -= sum(row[j] - norm for j in right) / len(right)
    loss = contrastive_loss(images, texts, logit_scale=7.0, matches=matches)
    assert loss.item() == pytest.approx(total / 10, rel=1e-5)
    lonely = contrastive_loss(images, texts, logit_scale=7.0, matches=torch.eye(5).bool())
    torch.testing.assert_close(lonely, contrastive_loss(images, texts, logit_scale=7.0))


def test_a_match_that_goes_one_way_is_shared_by_row_and_by_column():
    images, texts = unit(3, 6, seed=2), unit(3, 6, seed=3)
    matches = torch.tensor([[1, 1, 0], [0, 1, 0], [0, 0, 1]]).bool()
    logits = 5.0 * images @ texts.T
    rows, columns = logits.log_softmax(1), logits.log_softmax(0)
    by_image = -((rows[0, 0] + rows[0, 1]) / 2 + rows[1, 1] + rows[2, 2]) / 3
    by_text = -(columns[0, 0] + (columns[0, 1] + columns[1, 1]) / 2 + columns[2, 2]) / 3
    loss = contrastive_loss(images, texts, logit_scale=5.0, matches=matches)
    torch.testing.assert_close(loss, (by_image + by_text) / 2)


def test_going_on_with_contrastive_training_is_a_plain_loop_with_open_clips_loss(
    clip, folder, examples
):
    config = NetConfig(kind="full", num_steps=5, batch_size=6, learning_rate=1e-3)
    steps = list(contrastive(clip, examples, CAPTIONS, config, seed=4))
    net = copy.deepcopy(clip.net).requires_grad_(True)
    images = torch.stack([clip.preprocess(example.load()) for example in examples])
    tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(CAPTIONS)
    criterion = open_clip.loss.ClipLoss()

    def loss_of(rows):
        return criterion(*net(images[rows], tokens[rows]))

    losses = train_plainly(net, [], loss_of, config, seed=4)
    assert [step.loss for step in steps] == pytest.approx(losses, rel=1e-3)
    tuned = steps[-1].clip
    assert tuned.logit_scale == pytest.approx(net.logit_scale.exp().item(), rel=1e-5)
    assert tuned.logit_scale != clip.logit_scale
    assert steps[-1].heads is None
    torch.testing.assert_close(
        tuned.encode_text(CAPTIONS),
        functional.normalize(net.encode_text(tokens), dim=-1).detach(),
        rtol=1e-2,
        atol=2e-3,
    )


def test_adapters_learn_in_both_encoders_and_leave_the_scale(clip, examples):
    config = NetConfig(num_steps=20, batch_size=12, learning_rate=0.01)
    real = [dataclasses.replace(example, source="real") for example in examples]
    steps = list(contrastive(clip, real, CAPTIONS, config, seed=0))
    assert steps[-1].loss < steps[0].loss
    moved = changed(state_of(clip), state_of(steps[-1].clip))
    assert {name.split(".")[0] for name in moved} == {"visual", "transformer"}
    assert steps[-1].clip.logit_scale == clip.logit_scale


def test_equal_captions_in_a_batch_count_as_matches(clip, examples):
    captions = [f"a photo of {NAMES[example.label]}" for example in examples]
    config = NetConfig(num_steps=1, batch_size=12, learning_rate=0.0, real_share=0.0)
    made = [dataclasses.replace(example, source="synthetic") for example in examples]
    step = last(contrastive(clip, made, captions, config, seed=0))
    features, texts = image_features(clip, made), clip.encode_text(captions)
    labels = torch.tensor([example.label for example in made])
    matches = labels[:, None] == labels[None]
    loss = contrastive_loss(features, texts, logit_scale=clip.logit_scale, matches=matches)
    assert step.loss == pytest.approx(loss.item(), rel=1e-4)


def test_the_scale_stays_at_a_hundred_or_below(clip, examples):
    net = copy.deepcopy(clip.net)
    net.logit_scale.data.fill_(math.log(99.9))
    config = NetConfig(kind="full", num_steps=4, batch_size=4, learning_rate=0.5)
    tuned = last(contrastive(with_net(clip, net), examples, CAPTIONS, config, seed=0))
    assert tuned.clip.logit_scale <= 100.001


# ------------------------------------------------------------------------------ blending


@pytest.fixture(scope="module")
def tuned(clip, examples, weights):
    config = NetConfig(kind="full", num_steps=3, batch_size=4)
    return last(finetune(clip, examples, weights, config, seed=0))


def test_blending_goes_from_the_one_model_to_the_other(clip, tuned):
    before, after = state_of(clip), state_of(tuned.clip)
    assert changed(state_of(blend(clip, tuned.clip, 0.0)), before) == set()
    assert changed(state_of(blend(clip, tuned.clip, 1.0)), after) == set()
    between = blend(clip, tuned.clip, 0.25)
    for name, value in state_of(between).items():
        torch.testing.assert_close(value, 0.75 * before[name] + 0.25 * after[name])
    assert len({between.fingerprint, clip.fingerprint, tuned.clip.fingerprint}) == 3
    assert changed(state_of(clip), before) == changed(state_of(tuned.clip), after) == set()


def test_blending_heads_blends_scores_and_starts_at_the_text(clip, tuned, examples, weights):
    features = image_features(clip, examples)
    zero_shot = clip.logit_scale * features @ weights.T
    learned = tuned.heads.logits(features)[0]
    for alpha in (0.0, 0.3, 1.0):
        scores = blend_heads(tuned.heads, weights, clip.logit_scale, alpha).logits(features)[0]
        expected = (1 - alpha) * zero_shot + alpha * learned
        torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-4)
    many = Heads(tuned.heads.weights.repeat(3, 1, 1), tuned.heads.bias.repeat(3, 1))
    assert blend_heads(many, weights, clip.logit_scale, 0.5).weights.shape == (3, 3, 16)


def test_what_cannot_be_blended_is_refused(clip, siglip, tuned, weights, no_hook):
    with pytest.raises(ValueError, match="expected a tuned copy of tiny_clip, got git_rsclip"):
        blend(clip, siglip, 0.5)
    for alpha in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="alpha: expected a number in"):
            blend(clip, tuned.clip, alpha)
        with pytest.raises(ValueError, match="alpha: expected a number in"):
            blend_heads(tuned.heads, weights, clip.logit_scale, alpha)
    with pytest.raises(ValueError, match="2 class weights for heads of 3"):
        blend_heads(tuned.heads, weights[:2], clip.logit_scale, 0.5)
    with pytest.raises(ValueError, match="extract all with the same model"):
        blend_heads(tuned.heads, weights[:, :5], clip.logit_scale, 0.5)


def test_a_copy_with_the_same_weights_encodes_the_same_under_a_name_of_its_own(clip, examples):
    twin = with_net(clip, copy.deepcopy(clip.net))
    assert twin.fingerprint != clip.fingerprint
    assert twin.fingerprint == with_net(clip, copy.deepcopy(clip.net)).fingerprint
    assert torch.equal(image_features(twin, examples), image_features(clip, examples))
    assert torch.equal(twin.encode_text(CAPTIONS), clip.encode_text(CAPTIONS))


# ------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"examples": []}, "no images to train on"),
        ({"label": 3}, "classes 0 … 2, got"),
        ({"weights": torch.ones(3, 5)}, "extract all with the same model"),
        ({"weights": torch.full((3, 16), math.nan)}, "NaN or infinity in 3 of 3 rows"),
        ({"targets": torch.ones(12, 3)}, "targets: expected 12 rows of 3 shares"),
        ({"targets": torch.ones(12)}, "targets: expected 12 rows of 3 shares"),
        ({"targets": torch.full((12, 3), math.nan)}, "targets: expected 12 rows of 3 shares"),
        ({"seed": -1}, "seed: expected a whole number"),
        ({"rate": 1e30}, "expected a finite loss, got .* try a lower learning_rate"),
        ({"net": None}, "comes without its network"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_cannot_be_tuned_is_refused(clip, examples, weights, change, message, no_hook):
    used = change.get("examples", examples)
    if "label" in change:
        used = [*used[1:], dataclasses.replace(used[0], label=change["label"])]
    model = dataclasses.replace(clip, net=None) if "net" in change else clip
    config = NetConfig(
        kind="full", num_steps=5, batch_size=4, learning_rate=change.get("rate", 0.0)
    )
    given = {"seed": change.get("seed", 0), "targets": change.get("targets")}
    with pytest.raises(ValueError, match=message):
        list(finetune(model, used, change.get("weights", weights), config, **given))


def test_captions_have_to_be_there_one_for_each_image(clip, examples):
    config = NetConfig(num_steps=1, batch_size=4)
    for captions, message in (
        (CAPTIONS[:5], "for each of 12 images, got 5, 0 of them empty"),
        ([*CAPTIONS[:11], " "], "got 12, 1 of them empty"),
    ):
        with pytest.raises(ValueError, match=message):
            next(contrastive(clip, examples, captions, config, seed=0))
    with pytest.raises(ValueError, match="batch_size: a batch of one image"):
        next(contrastive(clip, examples, CAPTIONS, NetConfig(batch_size=1), seed=0))


@pytest.mark.parametrize(
    "given",
    [
        {"kind": "dora"},
        {"order": "both"},
        {"num_steps": 0},
        {"batch_size": 2.5},
        {"rank": 0},
        {"learning_rate": -1.0},
        {"head_learning_rate": math.inf},
        {"weight_decay": math.nan},
        {"real_share": 1.5},
    ],
    ids=lambda given: next(iter(given)),
)
def test_settings_that_mean_nothing_are_refused(given, no_hook):
    with pytest.raises(ValueError, match=f"{next(iter(given))}: expected"):
        NetConfig(**given)


def test_without_a_rate_each_kind_has_its_own():
    assert NetConfig(kind="full").learning_rate < NetConfig(kind="lora").learning_rate
    assert NetConfig(kind="full", learning_rate=0.5).learning_rate == 0.5
