"""The U-Net against the libraries' layers, its starting point, its conditions, and wrong input."""

import copy

import jaxtyping
import pytest
import torch
from diffusers.models.embeddings import get_timestep_embedding
from diffusers.models.resnet import ResnetBlock2D
from safetensors.torch import load_model, save_model
from torch import nn

from course_utils.diffusion import NoiseSchedule, TrainConfig, shuffled_batches, train_denoiser
from course_utils.unet import AttentionBlock, ResBlock, UNet, UNetConfig, timestep_embedding

SMALL = {"image_channels": 2, "channels": (8, 16)}
CONDITIONS = {"none": {}, "classes": {"num_classes": 3}, "vectors": {"vector_dim": 5}}
every_condition = pytest.mark.parametrize("condition", CONDITIONS.values(), ids=CONDITIONS)


@pytest.fixture(autouse=True)
def _own_random_state():
    """Draw first weights as torch does, from the global state, and put that back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture
def no_hook(monkeypatch):
    """Run as learners do: nobody checks the annotations, so the package must."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def trained(net):
    """Move every weight away from where it starts, as training would."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return net.eval()


def small(**settings):
    return trained(UNet(UNetConfig(**{**SMALL, **settings})))


def inputs(net, n=4, side=8):
    config = net.config
    x_t, t = torch.randn(n, config.image_channels, side, side), torch.arange(n) * 100
    if config.num_classes is not None:
        return x_t, t, torch.arange(n) % config.num_classes
    return x_t, t, None if config.vector_dim is None else torch.randn(n, config.vector_dim)


# layers


@pytest.mark.parametrize("dim", [2, 16, 64])
def test_the_embedding_of_a_step_is_that_of_diffusers(dim):
    t = torch.tensor([0, 1, 17, 500, 999])
    theirs = get_timestep_embedding(t, dim, downscale_freq_shift=0)
    torch.testing.assert_close(timestep_embedding(t, dim), theirs, rtol=1e-5, atol=1e-4)


def test_the_embedding_is_the_docstrings_equation():
    t, d = torch.tensor([3, 999]), 6
    waves = [t.double() * 10_000 ** (-2 * i / d) for i in range(d // 2)]
    expected = torch.stack([*map(torch.sin, waves), *map(torch.cos, waves)], dim=1).float()
    torch.testing.assert_close(timestep_embedding(t, d), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("out_channels", [16, 24])
def test_the_residual_block_is_that_of_diffusers(out_channels):
    ours = trained(ResBlock(16, out_channels, 10))
    theirs = ResnetBlock2D(
        in_channels=16,
        out_channels=out_channels,
        temb_channels=10,
        groups=8,
        eps=1e-5,
        time_embedding_norm="scale_shift",
    ).eval()
    names = {"scale_shift": "time_emb_proj", "shortcut": "conv_shortcut"}
    state = ours.state_dict()
    theirs.load_state_dict(
        {".".join([names.get(k.split(".")[0], k.split(".")[0]), k.split(".")[1]]): state[k]
         for k in state}
    )  # fmt: skip
    x, embedding = torch.randn(3, 16, 6, 4), torch.randn(3, 10)
    # diffusers applies SiLU to the embedding in every block, we once for all
    expected = theirs(x, embedding)
    torch.testing.assert_close(ours(x, nn.functional.silu(embedding)), expected)


def test_attention_is_that_of_torch():
    ours, theirs = trained(AttentionBlock(16)), nn.MultiheadAttention(16, 1, batch_first=True)
    theirs.load_state_dict(
        {
            "in_proj_weight": ours.query_key_value.weight,
            "in_proj_bias": ours.query_key_value.bias,
            "out_proj.weight": ours.out.weight,
            "out_proj.bias": ours.out.bias,
        }
    )
    x = torch.randn(2, 16, 3, 5)
    tokens = ours.norm(x).permute(0, 2, 3, 1).reshape(2, 15, 16)
    found = theirs(tokens, tokens, tokens, need_weights=False)[0]
    expected = x + found.reshape(2, 3, 5, 16).permute(0, 3, 1, 2)
    torch.testing.assert_close(ours(x), expected)


# the whole network


@every_condition
@pytest.mark.parametrize("patch", [1, 2])
def test_an_untrained_network_takes_everything_for_noise(condition, patch):
    net = UNet(UNetConfig(**SMALL, **condition, patch=patch))
    x_t, t, labels = inputs(net)
    assert torch.equal(net(x_t, t, labels), x_t)


def test_untrained_blocks_hand_their_input_on():
    x = torch.randn(2, 8, 4, 4)
    assert torch.equal(ResBlock(8, 8, 6)(x, torch.randn(2, 6)), x)
    assert torch.equal(AttentionBlock(8)(x), x)


@pytest.mark.parametrize("patch", [1, 2])
def test_the_output_is_the_image_times_a_plus_what_was_found_times_b(patch):
    net = small(patch=patch)
    x_t, t, _ = inputs(net)
    outputs = {}
    for a, b in [(0, 1), (1, 0), (0.3, -2)]:
        with torch.no_grad():
            net.balance.weight.zero_()
            net.balance.bias.copy_(torch.tensor([a - 1, b - 1]))
        outputs[a, b] = net(x_t, t)
    torch.testing.assert_close(outputs[1, 0], x_t)
    torch.testing.assert_close(outputs[0.3, -2], 0.3 * x_t - 2 * outputs[0, 1])


def test_a_and_b_depend_on_the_step_and_not_on_the_label():
    net = small(num_classes=3)
    with torch.no_grad():
        net.last.weight.zero_()
        net.last.bias.zero_()
    x_t, t = torch.randn(1, 2, 8, 8).expand(2, -1, -1, -1), torch.tensor([10, 10])
    one, other = net(x_t, t, torch.tensor([0, 2]))
    assert torch.equal(one, other)
    one, other = net(x_t, torch.tensor([10, 900]), torch.tensor([0, 0]))
    assert not torch.allclose(one, other)


@every_condition
def test_every_row_is_judged_alone(condition):
    net = small(**condition)
    x_t, t, labels = inputs(net)
    together = net(x_t, t, labels)
    for i in range(len(x_t)):
        given = None if labels is None else labels[i : i + 1]
        alone = net(x_t[i : i + 1], t[i : i + 1], given)
        torch.testing.assert_close(together[i : i + 1], alone)


@pytest.mark.parametrize("what", ["x_t", "t", "labels"])
@pytest.mark.parametrize("condition", ["classes", "vectors"])
def test_image_step_and_label_all_count(condition, what):
    net = small(**CONDITIONS[condition])
    before = dict(zip(("x_t", "t", "labels"), inputs(net), strict=True))
    after = {**before, what: before[what].flip(0)}
    assert not torch.allclose(net(*before.values()), net(*after.values()), atol=1e-3)


def test_a_pixel_is_seen_from_the_whole_image():
    net = small(channels=(8, 8, 8, 8))
    x_t, t, _ = inputs(net, n=1, side=64)
    changed = x_t.clone()
    changed[..., 0, 0] += 5
    assert (net(changed, t) - net(x_t, t))[..., 40:, 40:].abs().max() > 0


@pytest.mark.parametrize("patch", [1, 2])
@pytest.mark.parametrize("sides", [(8, 8), (4, 12), (16, 8)])
def test_any_sides_that_fit_will_do(sides, patch):
    net = small(patch=patch)
    assert net.config.side_factor == 2 * patch
    x_t = torch.randn(3, 2, *sides)
    assert net(x_t, torch.tensor([0, 5, 999])).shape == x_t.shape


def test_no_image_gives_no_prediction():
    net = small(num_classes=3)
    none = torch.zeros(0, dtype=torch.int64)
    assert net(torch.zeros(0, 2, 8, 8), none, none).shape == (0, 2, 8, 8)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@every_condition
def test_other_precisions_agree(condition, dtype):
    net = small(**condition)
    x_t, t, labels = inputs(net)
    expected = net(x_t, t, labels)
    given = labels.to(dtype) if condition == CONDITIONS["vectors"] else labels
    got = copy.deepcopy(net).to(dtype)(x_t.to(dtype), t, given)
    assert got.dtype == dtype
    tolerance = {"rtol": 1e-3, "atol": 1e-4} if dtype == torch.float64 else {"rtol": 0, "atol": 0.2}
    torch.testing.assert_close(got.float(), expected, **tolerance)


def test_the_memory_layout_of_the_images_does_not_count():
    net = small()
    x_t, t, _ = inputs(net)
    torch.testing.assert_close(net(x_t.to(memory_format=torch.channels_last), t), net(x_t, t))


@every_condition
def test_every_weight_is_used(condition):
    net = small(**condition)
    x_t, t, labels = inputs(net)
    net(x_t, t, labels).square().sum().backward()
    unused = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert unused == []


# conditions


def test_no_labels_are_the_null_label():
    net = small(num_classes=3)
    x_t, t, _ = inputs(net)
    assert net.null_label == 3
    null = torch.full_like(t, net.null_label)
    assert torch.equal(net(x_t, t), net(x_t, t, null))
    assert not torch.allclose(net(x_t, t), net(x_t, t, torch.zeros_like(t)), atol=1e-3)


def test_no_vectors_are_zeros():
    net = small(vector_dim=5)
    x_t, t, _ = inputs(net)
    assert net.null_label is None
    assert torch.equal(net(x_t, t), net(x_t, t, torch.zeros(4, 5)))


def test_a_network_without_condition_has_no_null_label():
    assert small().null_label is None


# training


def test_a_network_learns_to_name_the_noise():
    schedule, generator = NoiseSchedule.cosine(), torch.Generator().manual_seed(0)
    net = UNet(UNetConfig(**SMALL, num_classes=2))
    x0, labels = torch.ones(8, 2, 8, 8), torch.arange(8) % 2
    x0[labels == 1] *= -1  # two images, told apart by their labels
    batches = shuffled_batches(x0, labels, batch_size=16, generator=generator)
    config = TrainConfig(num_steps=80, learning_rate=5e-3)
    steps = list(train_denoiser(net, batches, schedule, config, generator=generator))
    first, last = (sum(s.loss for s in part) / 10 for part in (steps[:10], steps[-10:]))
    assert last < 0.25 * first


def test_equal_seeds_give_equal_networks():
    def build(seed):
        torch.manual_seed(seed)
        return torch.cat([p.flatten() for p in UNet(UNetConfig(**SMALL)).parameters()])

    assert torch.equal(build(1), build(1))
    assert not torch.equal(build(1), build(2))


def test_weights_survive_a_file(tmp_path):
    net, other = small(num_classes=3), UNet(UNetConfig(**SMALL, num_classes=3))
    save_model(net, str(tmp_path / "net.safetensors"))
    load_model(other, tmp_path / "net.safetensors")
    given = inputs(net)
    assert torch.equal(net(*given), other.eval()(*given))
    assert other.first.weight.is_contiguous(memory_format=torch.channels_last)


# wrong input


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": ()}, r"channels: expected one multiple of 8 a level, got \(\)"),
        ({"channels": (8, 12)}, r"multiple of 8 .*\(8, 12\)"),
        ({"channels": (0,)}, "multiple of 8"),
        ({"image_channels": 0}, "image_channels: expected at least 1, got 0"),
        ({"patch": 0}, "patch: expected at least 1"),
        ({"num_classes": 0}, "num_classes: expected at least 1"),
        ({"vector_dim": -1}, "vector_dim: expected at least 1, got -1"),
        ({"num_classes": 2, "vector_dim": 2}, "num_classes or vector_dim, got both"),
    ],
)
def test_a_size_that_makes_no_network_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        UNetConfig(**settings)


@pytest.mark.parametrize("dim", [0, 7, -2])
def test_an_odd_embedding_is_refused(dim, no_hook):
    with pytest.raises(ValueError, match=f"dim: expected an even number .* got {dim}"):
        timestep_embedding(torch.tensor([1]), dim)


X, STEPS = torch.zeros(3, 2, 8, 8), torch.tensor([0, 1, 2])
BAD = {
    "channels": (torch.zeros(3, 1, 8, 8), STEPS, None, r"\(n, 2, h, w\) .*\(3, 1, 8, 8\)"),
    "odd side": (torch.zeros(3, 2, 8, 7), STEPS, None, r"multiples of 2, got .*\(3, 2, 8, 7\)"),
    "no side": (torch.zeros(3, 2, 0, 8), STEPS, None, "multiples of 2"),
    "one image": (torch.zeros(2, 8, 8), STEPS, None, "x_t: expected floats of shape"),
    "bytes": (X.byte(), STEPS, None, "x_t: expected floats of .*uint8"),
    "t too short": (X, STEPS[:1], None, r"t: expected 3 integers.*\(1,\)"),
    "t a column": (X, STEPS[:, None], None, r"t: expected 3 integers.*\(3, 1\)"),
    "t floats": (X, STEPS / 2, None, "t: expected 3 integers.*float32"),
    "too few labels": (X, STEPS, STEPS[:2], r"labels: expected integers of shape \(3,\)"),
    "float labels": (X, STEPS, STEPS / 2, "labels: expected integers of shape .*float32"),
    "one-hot labels": (X, STEPS, torch.eye(3), "labels: expected integers"),
    "label K + 1": (X, STEPS, torch.tensor([0, 3, 4]), "classes 0 to 2, or 3 for no .*got 4"),
    "label -1": (X, STEPS, torch.tensor([0, -1, 2]), "classes 0 to 2, .*got -1"),
}


@pytest.mark.parametrize(("x_t", "t", "labels", "message"), BAD.values(), ids=BAD)
def test_wrong_input_is_refused(x_t, t, labels, message, no_hook):
    with pytest.raises(ValueError, match=message):
        small(num_classes=3)(x_t, t, labels)


@pytest.mark.parametrize("labels", [torch.zeros(3, 4), torch.zeros(5), torch.arange(3)])
def test_wrong_vectors_are_refused(labels, no_hook):
    with pytest.raises(ValueError, match=r"labels: expected floats of shape \(3, 5\)"):
        small(vector_dim=5)(X, STEPS, labels)


def test_labels_for_a_network_without_condition_are_refused(no_hook):
    with pytest.raises(ValueError, match="built without a condition"):
        small()(X, STEPS, STEPS)
