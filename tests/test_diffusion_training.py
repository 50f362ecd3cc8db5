import math
import time
from itertools import islice

import jaxtyping
import pytest
import torch
from torch import nn
from torch.nn import functional

from course_utils.diffusion import (
    Ema,
    NoiseSchedule,
    TrainConfig,
    q_sample,
    shuffled_batches,
    train_denoiser,
)
from course_utils.diffusion.training import learning_rate_at

SCHEDULE = NoiseSchedule.linear(50, 0.002, 0.3)
PLAIN = TrainConfig(num_steps=3, label_dropout=0.0)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


class Toy(nn.Module):
    """A denoiser of points; reads labels of either kind, and remembers what it was given."""

    def __init__(self, *, num_classes=None, dtype=torch.float32):
        super().__init__()
        with torch.random.fork_rng(devices=[]):  # torch's layers draw from the global state
            torch.manual_seed(11)
            self.first = nn.Linear(4, 32)
            self.second = nn.Linear(32, 2)
        if num_classes:
            self.null_label = num_classes
        self.register_buffer("calls", torch.tensor(0))
        self.seen, self.modes = [], []
        self.to(dtype)

    def forward(self, x_t, t, labels=None):
        self.calls += 1
        self.seen.append(labels)
        self.modes.append((self.training, x_t.dtype, x_t.is_contiguous()))
        x = x_t.flatten(1)[:, :2]
        time = (t / SCHEDULE.num_train_steps)[:, None].to(x)
        label = torch.zeros_like(time) if labels is None else labels.view(len(x), -1)[:, :1].to(x)
        out = self.second(functional.silu(self.first(torch.cat([x, time, label], 1))))
        return out.view(-1, 2, *[1] * (x_t.dim() - 2)).expand_as(x_t)


def points(count=64, seed=1):
    mean, spread = torch.tensor([0.5, -0.3]), torch.tensor([0.3, 0.8])
    return mean + spread * torch.randn(count, 2, generator=generator(seed))


def batches(labels=None, count=64, batch_size=16):
    return shuffled_batches(points(count), labels, batch_size=batch_size, generator=generator(2))


def train(net, config=PLAIN, *, labels=None, ema=None, seed=3):
    rng = generator(seed)
    return list(train_denoiser(net, batches(labels), SCHEDULE, config, generator=rng, ema=ema))


def weights(net):
    return [p.detach().clone() for p in net.parameters()]


@pytest.fixture
def no_hook(monkeypatch):
    """Run as learners do: nobody checks the annotations, so the package must."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


# batches


def test_every_image_is_seen_once_before_any_is_seen_again():
    x0 = torch.arange(10.0)[:, None]
    stream = shuffled_batches(x0, x0[:, 0].long(), batch_size=4, generator=generator())
    taken = list(islice(stream, 10))
    assert all(len(x) == 4 and torch.equal(x[:, 0].long(), labels) for x, labels in taken)
    epochs = torch.cat([x for x, _ in taken]).flatten().view(4, 10).tolist()
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_a_batch_may_be_larger_than_the_data():
    x0 = torch.arange(3.0)[:, None]
    batch, labels = next(shuffled_batches(x0, None, batch_size=7, generator=generator()))
    assert labels is None
    counts = batch.flatten().long().bincount()
    assert counts.sum() == 7
    assert counts.min() >= 2


def test_the_order_depends_on_the_generator_alone():
    state = torch.get_rng_state()

    def order(seed):
        stream = shuffled_batches(points(), None, batch_size=64, generator=generator(seed))
        return next(stream)[0].tolist()

    assert order(1) == order(1) != order(2)
    assert torch.equal(torch.get_rng_state(), state)


def test_batches_of_nothing_are_refused_at_the_call(no_hook):
    with pytest.raises(ValueError, match="0 images with no labels"):
        shuffled_batches(points(0), None, batch_size=2, generator=generator())
    with pytest.raises(ValueError, match=r"batch_size: expected .* got 0"):
        shuffled_batches(points(3), None, batch_size=0, generator=generator())
    with pytest.raises(ValueError, match="3 images with 2 labels"):
        shuffled_batches(points(3), torch.arange(2), batch_size=2, generator=generator())


# settings


def test_the_learning_rate_is_that_of_torchs_schedulers():
    config = TrainConfig(num_steps=40, learning_rate=0.2, warm_up_share=0.25)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.2)
    warm_up = torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=9)
    for step in range(10):
        assert learning_rate_at(step, config) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        warm_up.step()
    optimizer.param_groups[0]["lr"] = 0.2
    optimizer.param_groups[0]["initial_lr"] = 0.2
    fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 30)
    for step in range(10, 40):
        assert learning_rate_at(step, config) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        fall.step()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.999, 1.0])
def test_any_warm_up_leaves_learning_rates_above_zero(share):
    config = TrainConfig(num_steps=7, warm_up_share=share)
    rates = [learning_rate_at(step, config) for step in range(7)]
    assert all(0 < rate <= config.learning_rate for rate in rates)
    assert max(rates) == config.learning_rate


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_steps": 0}, r"num_steps: expected a whole number in \[1, inf\), got 0"),
        ({"learning_rate": 0.0}, r"learning_rate: expected a number in \(0, inf\)"),
        ({"learning_rate": math.nan}, r"learning_rate: expected a number in \(0, inf\)"),
        ({"grad_clip": -1.0}, r"grad_clip: expected a number in \(0, inf\) or None"),
        ({"warm_up_share": 1.5}, r"warm_up_share: expected a number in \[0, 1\]"),
        ({"label_dropout": -0.1}, r"label_dropout: expected a number in \[0, 1\]"),
        ({"label_dropout": math.nan}, r"label_dropout: expected a number in \[0, 1\]"),
        ({"ema_decay": 1.0}, r"ema_decay: expected a number in \[0, 1\)"),
        ({"weighting": "p2"}, "weighting: expected one of None, min_snr"),
    ],
)
def test_bad_settings_are_refused(settings, message, no_hook):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**settings)


# the averaged net


def test_the_average_has_its_closed_form():
    net = nn.Module()
    net.weight = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    values = [3.0, -1.0, 4.0, 1.5, 9.0]
    for decay in (0.0, 0.3, 0.9):
        nn.init.constant_(net.weight, values[0])
        ema = Ema(net, decay)
        used = [min(decay, (1 + i) / (10 + i)) for i in range(1, len(values))]
        for value in values[1:]:
            nn.init.constant_(net.weight, value)
            ema.update_(net)
        # value k keeps what it got when it came, times all later decays
        shares = [1.0, *(1 - d for d in used)]
        expected = sum(
            share * math.prod(used[k:]) * value
            for k, (share, value) in enumerate(zip(shares, values, strict=True))
        )
        assert ema.net.weight.item() == pytest.approx(expected, rel=1e-12)
        assert ema.num_updates == 4
        assert net.weight.item() == 9


def test_the_averaged_net_is_a_copy_in_eval_mode_without_gradients():
    net = nn.Sequential(Toy().first, nn.BatchNorm1d(32)).train()
    ema = Ema(net, 0.5)
    assert net.training
    assert not any(module.training for module in ema.net.modules())
    assert not any(p.requires_grad for p in ema.net.parameters())
    net(torch.ones(4, 4))
    ema.update_(net)
    assert torch.equal(ema.net[1].running_mean, net[1].running_mean)
    assert ema.net[1].num_batches_tracked == 1
    assert not torch.equal(ema.net[1].running_mean, torch.zeros(32))
    assert ema.net[0].weight is not net[0].weight


def test_the_average_refuses_other_nets_and_decays():
    with pytest.raises(ValueError, match="the net that the average began with"):
        Ema(Toy().first).update_(Toy().second)
    for decay in (1.0, -0.1, math.nan):
        with pytest.raises(ValueError, match=r"decay: expected a number in \[0, 1\)"):
            Ema(Toy(), decay)


# training


@pytest.mark.parametrize("weighting", [None, "min_snr"])
@pytest.mark.parametrize("grad_clip", [None, 0.05])
@pytest.mark.parametrize("kind", ["none", "classes", "vectors"])
def test_training_is_the_papers_algorithm_written_out(kind, grad_clip, weighting):
    config = TrainConfig(
        num_steps=5, label_dropout=0.4, grad_clip=grad_clip, weighting=weighting, warm_up_share=0.4
    )
    labels = {
        "none": None,
        "classes": torch.arange(64) % 3,
        "vectors": torch.randn(64, 2, generator=generator(4)),
    }[kind]
    net, plain = Toy(num_classes=3), Toy(num_classes=3)
    steps = train(net, config, labels=labels)

    rng, optimizer = generator(3), torch.optim.Adam(plain.parameters())
    stream = batches(labels)
    for step, (x0, given) in zip(steps, stream, strict=False):
        t = torch.randint(0, 50, (16,), generator=rng)
        eps = torch.randn(16, 2, generator=rng)
        if given is not None:
            hidden = torch.rand(16, generator=rng) < 0.4
            given = given.clone()
            given[hidden] = 3 if kind == "classes" else 0
        errors = (eps - plain(q_sample(x0, t, eps, SCHEDULE), t, given)) ** 2
        if weighting:
            snr = SCHEDULE.snr[t][:, None]
            errors = errors * snr.clamp(max=5) / snr
        optimizer.zero_grad()
        errors.mean().backward()
        if grad_clip:
            nn.utils.clip_grad_norm_(plain.parameters(), grad_clip)
        optimizer.param_groups[0]["lr"] = learning_rate_at(step.step, config)
        optimizer.step()
        assert step.loss == pytest.approx(errors.mean().item(), rel=1e-5)
        assert step.learning_rate == learning_rate_at(step.step, config)
    assert [step.step for step in steps] == list(range(5))
    for ours, theirs in zip(weights(net), weights(plain), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_training_comes_near_the_best_possible_loss():
    net, config = Toy(), TrainConfig(num_steps=600, learning_rate=0.02, label_dropout=0.0)
    stream = shuffled_batches(points(4000), None, batch_size=128, generator=generator(2))
    steps = list(train_denoiser(net, stream, SCHEDULE, config, generator=generator(3)))
    losses = torch.tensor([step.loss for step in steps])
    alpha_bar = SCHEDULE.exact_alpha_bar[:, None]
    variance = torch.tensor([0.3, 0.8]) ** 2  # of points; the ideal denoiser leaves their share
    best = (alpha_bar * variance / (alpha_bar * variance + 1 - alpha_bar)).mean().item()
    assert losses[:10].mean() > 2 * best
    assert 0.9 * best < losses[-100:].mean() < 1.15 * best


def test_hidden_labels_are_the_share_asked_for():
    net, labels = Toy(num_classes=3), torch.arange(64) % 3
    train(net, TrainConfig(num_steps=100, label_dropout=0.25), labels=labels)
    seen = torch.cat(net.seen)
    assert seen.dtype == torch.int64
    share = (seen == 3).double().mean().item()
    assert share == pytest.approx(0.25, abs=4 * math.sqrt(0.25 * 0.75 / len(seen)))
    assert seen.bincount(minlength=4)[:3].min() > 300
    for dropout in (0.0, 1.0):
        net = Toy(num_classes=3)
        train(net, TrainConfig(num_steps=3, label_dropout=dropout), labels=labels)
        assert ((torch.cat(net.seen) == 3) == bool(dropout)).all()


def test_hidden_vectors_are_whole_rows_of_zeros():
    net = Toy()
    vectors = torch.ones(64, 5, dtype=torch.float64)
    train(net, TrainConfig(num_steps=20, label_dropout=0.5), labels=vectors)
    rows = torch.cat(net.seen).sum(1)
    assert net.seen[0].dtype == torch.float32  # the net's, not the data's
    assert set(rows.tolist()) == {0.0, 5.0}
    assert torch.equal(vectors, torch.ones_like(vectors))


def test_labels_can_only_be_hidden_from_a_net_with_a_null_label():
    labels = torch.zeros(64, dtype=torch.int64)
    with pytest.raises(ValueError, match="null_label"):
        train(Toy(), TrainConfig(num_steps=2), labels=labels)
    assert len(train(Toy(), PLAIN, labels=labels)) == 3


def test_the_net_trains_in_train_mode_and_is_left_in_eval_mode():
    net = Toy().eval()
    loop = train_denoiser(net, batches(), SCHEDULE, PLAIN, generator=generator())
    assert not net.training
    next(loop)
    assert net.training
    net.eval()  # to draw samples in between
    next(loop)
    assert net.training
    loop.close()
    assert not net.training
    assert [training for training, _, _ in net.modes] == [True, True]
    assert all(p.grad is None for p in net.parameters())
    train(net)
    assert not net.training


def test_a_loop_may_be_left_at_any_step():
    net, other = Toy(), Toy()
    ema = Ema(net, 0.9)
    stream, rng = batches(), generator(3)
    for step in train_denoiser(net, stream, SCHEDULE, PLAIN, generator=rng, ema=ema):
        if step.step == 1:
            break
    assert ema.num_updates == 2
    whole = train_denoiser(other, batches(), SCHEDULE, PLAIN, generator=generator(3))
    next(whole), next(whole)
    assert all(map(torch.equal, weights(net), weights(other)))
    fresh = batches()
    next(fresh), next(fresh)
    assert torch.equal(next(stream)[0], next(fresh)[0])  # no batch was taken for nothing


def test_the_average_follows_each_step():
    net = Toy()
    ema, by_hand = Ema(net, 0.9), Ema(net, 0.9)
    for _ in train_denoiser(net, batches(), SCHEDULE, PLAIN, generator=generator(), ema=ema):
        by_hand.update_(net)
    assert all(map(torch.equal, weights(ema.net), weights(by_hand.net)))
    assert ema.net.calls == net.calls == 3


def test_training_depends_on_the_generators_alone():
    state = torch.get_rng_state()
    results = []
    for seed in (1, 1, 2):
        net = Toy()
        losses = [step.loss for step in train(net, seed=seed)]
        results.append((losses, [w.tolist() for w in weights(net)]))
    assert results[0] == results[1] != results[2]
    assert torch.equal(torch.get_rng_state(), state)


def test_training_learns_where_the_caller_wants_no_gradients():
    net = Toy()
    before = weights(net)
    with torch.no_grad():
        train(net)
        assert not torch.is_grad_enabled()
    assert not all(map(torch.equal, weights(net), before))


def test_frozen_weights_stay():
    net = Toy()
    net.first.requires_grad_(False)
    before = weights(net)
    train(net)
    changed = [not torch.equal(a, b) for a, b in zip(weights(net), before, strict=True)]
    assert changed == [False, False, True, True]
    net.requires_grad_(False)
    with pytest.raises(ValueError, match="net: expected weights to train"):
        train_denoiser(net, batches(), SCHEDULE, PLAIN, generator=generator())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_images_come_to_the_nets_dtype(dtype):
    net = Toy(dtype=dtype)
    assert len(train(net)) == 3
    assert {found for _, found, _ in net.modes} == {dtype}
    assert {p.dtype for p in net.parameters()} == {dtype}


def test_time_that_the_caller_takes_is_not_counted():
    seconds = []
    for step in train_denoiser(Toy(), batches(), SCHEDULE, PLAIN, generator=generator()):
        seconds.append(step.seconds)
        time.sleep(0.3)
    assert 0 < seconds[0] < seconds[1] < seconds[2]
    assert seconds[2] - seconds[1] < 0.3


# what goes wrong


def test_a_loss_that_is_not_finite_stops_before_the_step():
    net = Toy()
    x0 = points(16)
    poisoned = [(x0, None), (x0, None), (x0 / 0, None)]
    loop = train_denoiser(net, poisoned, SCHEDULE, PLAIN, generator=generator())
    next(loop), next(loop)
    before = weights(net)
    with pytest.raises(ValueError, match=r"finite loss, got .* at step 2: the batch has NaN"):
        next(loop)
    assert all(map(torch.equal, weights(net), before))
    assert not net.training


def test_a_net_that_breaks_is_told_from_data_that_are_broken():
    net = Toy()
    nn.init.constant_(net.second.bias, math.inf)
    with pytest.raises(ValueError, match=r"data are finite, .*learning_rate \(it is 0\.001\)"):
        train(net)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "batches: ended after 0 of 3 steps"),
        ([(points(4), None)] * 2, "batches: ended after 2 of 3 steps"),
        ([points(2)], "batches: expected pairs .*got Tensor"),
        ([(points(4), None, None)], "batches: expected pairs"),
        ([(points(4), torch.arange(3))], "4 images with 3 labels at step 0"),
        ([(points(0), None)], "0 images with no labels at step 0"),
        ([(points(4)[0], None)], "x0: expected a batch with two axes"),
        ([(points(4).byte(), None)], "x0: expected a tensor of floats"),
        ([([[1.0, 2.0]] * 999, None)], r"x0: .*got list \[\[1.0, 2.0\], .{,99}\.\.\.\]"),
        ([(255 * torch.rand(4, 3, 8, 8), None)], r"\[-1, 1\], or noise, got .*0 … 255"),
        ([(points(4), None), (255 * torch.rand(4, 1, 8, 8), None)], r"\[-1, 1\], or noise"),
    ],
)
def test_bad_batches_are_refused(given, message, no_hook):
    loop = train_denoiser(Toy(), given, SCHEDULE, PLAIN, generator=generator())
    with pytest.raises(ValueError, match=message):
        list(loop)


def test_a_net_of_the_wrong_output_is_refused():
    net = nn.Module()
    net.weight = nn.Parameter(torch.ones(1))
    net.forward = lambda x_t, t: x_t[:, :1] * net.weight
    with pytest.raises(ValueError, match=r"returned shape \(16, 1\), expected \(16, 2\)"):
        train(net)


# one setting for a GPU


@pytest.fixture
def compiled(monkeypatch):
    """Note what is compiled, and trace it without a C++ compiler."""
    nets, compile_net = [], torch.compile

    def noted(net):
        nets.append(net)
        return compile_net(net, backend="eager")

    monkeypatch.setattr(torch, "compile", noted)
    return nets


def images(count=8):
    return torch.randn(count, 2, 4, 4, generator=generator(1))


def train_on_images(net, fast):
    config = TrainConfig(num_steps=2, label_dropout=0.0, fast=fast)
    given = [(images(), None)] * 2
    return list(train_denoiser(net, given, SCHEDULE, config, generator=generator(3)))


@pytest.mark.parametrize("fast", [None, False])
def test_on_a_cpu_training_is_plain_unless_asked_otherwise(fast, compiled):
    net = Toy()
    train_on_images(net, fast)
    assert compiled == []
    assert net.modes == [(True, torch.float32, True)] * 2


def test_fast_is_compiled_channels_last_and_of_mixed_precision(compiled, no_hook):
    net, plain = Toy(), Toy()
    answers = []
    net.second.register_forward_hook(lambda module, given, out: answers.append(out.dtype))
    fast, slow = train_on_images(net, True), train_on_images(plain, False)
    assert compiled == [net]
    assert net.modes == [(True, torch.float32, False)] * 2  # channels last is not contiguous
    assert answers == [torch.bfloat16] * 2
    assert {p.dtype for p in net.parameters()} == {torch.float32}
    assert [step.loss for step in fast] == pytest.approx([s.loss for s in slow], rel=0.02)
    assert fast[0].loss != slow[0].loss


def test_gradients_scaled_for_float16_are_the_same_gradients():
    from course_utils.diffusion import training

    nets = Toy(), Toy()
    for net, scaled in zip(nets, (False, True), strict=True):
        trainer = training._Trainer(net, SCHEDULE, PLAIN, generator(3))
        trainer.scaler = torch.amp.GradScaler("cpu", enabled=scaled)
        trainer.take(0, 0.01, points(16), None)
    for plain, scaled in zip(*(weights(net) for net in nets), strict=True):
        torch.testing.assert_close(plain, scaled)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_is_used_fast_by_default():
    net = Toy().cuda()
    loop = train_denoiser(net, batches(), SCHEDULE, PLAIN, generator=generator(3))
    assert all(math.isfinite(step.loss) for step in loop)
    assert net.second.weight.is_cuda
