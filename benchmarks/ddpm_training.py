"""Race our training against diffusers' own: images a second, and time to an equal loss.

    python benchmarks/ddpm_training.py [--steps 800] [--seeds 3] [--batch 32] [--device cpu]

Ours is notebook 01's net for tiles with ``train_denoiser`` and its averaged weights. Theirs is
``UNet2DModel``, equal in parameters and forward FLOPs within 10 %, trained as diffusers' tutorial
"Train a diffusion model" shows: accelerate, AdamW, a warmed-up cosine, gradients clipped at 1. Both
read the same tiles and labels in the same batches, with the same noise schedule and the plain loss.
They take turns of a few steps, so that both meet the same neighbors on the machine. Theirs runs at
the tutorial's learning rate and at ours.

Prints images a second, the loss on held-out tiles, how often ours is faster (median and quartiles
over the turns), and how long each of theirs and ours took to the best loss that both reach. Exits
with 1 if sizes differ by over 10 %, ours is slower, or it takes longer to that loss. On a GPU both
run in bfloat16, ours also compiled.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from accelerate import Accelerator
from diffusers import DDPMScheduler, UNet2DModel
from diffusers.optimization import get_cosine_schedule_with_warmup
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

import mini_earth
from course_utils.diffusion import (
    Ema,
    NoiseSchedule,
    TrainConfig,
    eps_loss,
    shuffled_batches,
    train_denoiser,
)
from course_utils.images import to_model
from course_utils.unet import UNet, UNetConfig

CLASSES = ("beach", "circular_farmland", "forest", "runway")
CONFIG = UNetConfig(patch=2, num_classes=len(CLASSES))
SIZE, TRAIN, HELD_OUT = 32, 300, 64  # pixels; images a class
TURN, LOOK = 10, 4  # steps a turn; turns between two looks at the held-out loss
WIDEST_GAP = 0.1  # between their sizes and ours
OUR_RATE, THEIR_RATE = 2e-3, 1e-4
OURS, TUTORIAL, TUNED = "ours", f"diffusers, rate {THEIR_RATE:g}", f"diffusers, rate {OUR_RATE:g}"


@dataclass
class Runner:
    """One net in training: each ``next(steps)`` takes a step."""

    net: nn.Module  # what the held-out loss is measured on, as a function of (x_t, t, labels)
    steps: Iterator[object]
    turns: list[float] = field(default_factory=list)  # seconds of each turn
    losses: list[tuple[float, float]] = field(default_factory=list)  # after so many seconds


class Library(nn.Module):
    """diffusers' network with our signature."""

    def __init__(self) -> None:
        super().__init__()
        down, up = ["DownBlock2D"] * 3, ["UpBlock2D"] * 3
        self.net = UNet2DModel(
            sample_size=SIZE,
            layers_per_block=1,
            block_out_channels=(8, 16, 32, 64),
            down_block_types=(*down, "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", *up),
            norm_num_groups=8,
            num_class_embeds=len(CLASSES) + 1,
        )

    def forward(self, x_t: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        """Predict the noise."""
        return self.net(x_t, t, class_labels=labels, return_dict=False)[0]


def render(num: int, *, seed: int) -> tuple[Tensor, Tensor]:
    """Render ``num`` tiles a class, in model range, with their labels."""
    labels = torch.arange(num * len(CLASSES)) % len(CLASSES)
    styles, tiles = mini_earth.TRAIN_STYLES, []
    for index, label in enumerate(labels.tolist()):
        style = styles[index // len(CLASSES) % len(styles)]
        scene = mini_earth.make_scene(CLASSES[label], style, seed=seed + index)
        tiles.append(mini_earth.render(scene, size=SIZE).image)
    return to_model(torch.from_numpy(np.stack(tiles)).permute(0, 3, 1, 2)), labels


def ours(data: tuple[Tensor, Tensor], args: argparse.Namespace, seed: int) -> Runner:
    """Build our net and loop."""
    net = UNet(CONFIG).to(args.device)
    config = TrainConfig(num_steps=args.steps, learning_rate=OUR_RATE)
    ema, generator = Ema(net, config.ema_decay), torch.Generator().manual_seed(seed)
    batches = shuffled_batches(*data, batch_size=args.batch, generator=generator)
    schedule = NoiseSchedule.cosine()
    steps = train_denoiser(net, batches, schedule, config, generator=generator, ema=ema)
    return Runner(ema.net, steps)


def theirs(data: tuple[Tensor, Tensor], args: argparse.Namespace, seed: int, rate: float) -> Runner:
    """Build diffusers' net and its documented loop."""
    net = Library().to(args.device)
    return Runner(net, _documented(net, data, args, seed=seed, rate=rate))


def _documented(
    net: nn.Module,
    data: tuple[Tensor, Tensor],
    args: argparse.Namespace,
    *,
    seed: int,
    rate: float,
) -> Iterator[float]:
    on_cpu = args.device == "cpu"
    accelerator = Accelerator(cpu=on_cpu, mixed_precision="no" if on_cpu else "bf16")
    scheduler = DDPMScheduler(num_train_timesteps=1000, beta_schedule="squaredcos_cap_v2")
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate)
    rates = get_cosine_schedule_with_warmup(optimizer, args.steps // 20, args.steps)
    net, optimizer, rates = accelerator.prepare(net, optimizer, rates)
    generator = torch.Generator().manual_seed(seed)
    batches = shuffled_batches(*data, batch_size=args.batch, generator=generator)
    net.train()
    for clean, labels in batches:
        clean, labels = clean.to(args.device), labels.to(args.device)
        noise = torch.randn(clean.shape, device=clean.device)
        timesteps = torch.randint(0, 1000, (len(clean),), device=clean.device)
        noisy = scheduler.add_noise(clean, noise, timesteps)
        with accelerator.accumulate(net):
            loss = F.mse_loss(net(noisy, timesteps, labels), noise)
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            rates.step()
            optimizer.zero_grad()
        yield loss.detach().item()


def size_of(net: nn.Module) -> tuple[int, float]:
    """Count parameters, and the FLOPs of a forward pass of one image."""
    x, t = torch.zeros(1, 3, SIZE, SIZE), torch.zeros(1, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(x, t, t)
    return sum(p.numel() for p in net.parameters()), counter.get_total_flops()


@torch.no_grad()
def held_out_loss(net: nn.Module, data: tuple[Tensor, Tensor], device: str) -> float:
    """Measure the plain loss, at the same steps with the same noise for everybody."""
    generator, was_training = torch.Generator().manual_seed(0), net.training
    x0, labels = (part.to(device).repeat(4, *[1] * (part.dim() - 1)) for part in data)
    net.eval()
    loss = eps_loss(
        lambda x_t, t: net(x_t, t, labels), x0, NoiseSchedule.cosine(), generator=generator
    )
    net.train(was_training)
    return loss.item()


def race(data: tuple, held_out: tuple, args: argparse.Namespace, seed: int) -> dict[str, Runner]:
    """Let all train in turns, and look at the held-out loss now and then."""
    torch.manual_seed(seed)  # the nets' first weights, and the tutorial's noise
    runners = {
        OURS: ours(data, args, seed),
        TUTORIAL: theirs(data, args, seed, THEIR_RATE),
        TUNED: theirs(data, args, seed, OUR_RATE),
    }
    for turn in tqdm(range(args.steps // TURN), desc=f"seed {seed}, turns", mininterval=5):
        for runner in runners.values():
            start = time.perf_counter()
            for _ in range(TURN):
                next(runner.steps)
            runner.turns.append(time.perf_counter() - start)
        if turn % LOOK == LOOK - 1:
            for runner in runners.values():
                loss = held_out_loss(runner.net, held_out, args.device)
                runner.losses.append((sum(runner.turns), loss))
    return runners


def seconds_to(runner: Runner, loss: float) -> float:
    """Say when a runner was first at a loss."""
    return next(seconds for seconds, reached in runner.losses if reached <= loss)


def seconds_to_equal(races: list[dict[str, Runner]], name: str) -> tuple[float, float]:
    """Say how long one of theirs and ours took to the best loss that both reach, on average."""
    pairs = []
    for race in races:
        goal = max(min(loss for _, loss in race[who].losses) for who in (name, OURS))
        pairs.append((seconds_to(race[name], goal), seconds_to(race[OURS], goal)))
    theirs, ours = zip(*pairs, strict=True)
    return statistics.mean(theirs), statistics.mean(ours)


def report(races: list[dict[str, Runner]], gap: float, args: argparse.Namespace) -> int:
    """Print the table; 0 if the targets are met."""
    turns = {name: [t for race in races for t in race[name].turns] for name in races[0]}
    met, threads = gap <= WIDEST_GAP, torch.get_num_threads()
    print(f"\nbatch {args.batch}, {args.steps} steps, {args.device}, {threads} threads")
    print(f"{'':26}{'images/s':>9}{'last loss':>11}   ours is faster    to equal loss: it, ours")
    for name, seconds in turns.items():
        rate = TURN * args.batch / statistics.median(seconds)
        last = statistics.mean(race[name].losses[-1][1] for race in races)
        line = f"{name:26}{rate:9.0f}{last:11.4f}"
        if name != OURS:
            ratios = [t / o for t, o in zip(seconds, turns[OURS], strict=True)]
            low, ratio, high = statistics.quantiles(ratios, n=4)
            theirs, ours = seconds_to_equal(races, name)
            met &= ratio >= 1 and ours <= theirs
            line += f"   {ratio:.2f} ({low:.2f} to {high:.2f}) {theirs:12.1f} s, {ours:.1f} s"
        print(line)
    return 0 if met else 1


def main() -> int:
    """Measure, print, and say whether the targets are met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    if args.steps < TURN * LOOK or args.seeds < 1:
        parser.error(f"--steps must be at least {TURN * LOOK}, --seeds at least 1")
    data, held_out = render(TRAIN, seed=0), render(HELD_OUT, seed=1_000_000)
    sizes = [size_of(UNet(CONFIG)), size_of(Library())]
    gap = max(abs(theirs / ours - 1) for ours, theirs in zip(*sizes, strict=True))
    for name, (parameters, flops) in zip(("ours", "diffusers"), sizes, strict=True):
        print(f"{name:10}{parameters / 1e3:8.0f} k parameters{flops / 1e6:8.1f} MFLOP an image")
    return report([race(data, held_out, args, seed) for seed in range(args.seeds)], gap, args)


if __name__ == "__main__":
    sys.exit(main())
