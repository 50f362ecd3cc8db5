"""Time the samplers against the bare calls of the network that they make.

    python benchmarks/sampler_overhead.py [--batch 64] [--steps 6] [--repeats 11] [--patch 1]

The network is notebook 01's for tiles, 3 x 32 x 32, untrained: weights do not change the cost.
Bare calls and sampler take turns, so that both meet the same neighbors on the machine, and on a CPU
processor time is counted, in which waiting for other programs has no share. Printed are medians
over the repeats, of the time a step and of the ratio, with its quartiles. "Own" is the time a step
with a network that answers at once: what the sampler adds, free of the network's scatter. Guidance
is compared with calls of twice the batch. Exits with 1 if a median ratio is over 1.03.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import torch
from tqdm import tqdm

from course_utils.diffusion import NoiseSchedule
from course_utils.samplers import (
    ddim_sample,
    ddpm_sample,
    dpm_solver_sample,
    guided,
    inpaint_sample,
)
from course_utils.unet import UNet, UNetConfig

LIMIT = 1.03
SHAPE = (3, 32, 32)
NUM_CLASSES = 4


class Instant:
    """A network that answers at once, with the same memory layout as the real one's answer."""

    null_label = NUM_CLASSES

    def __init__(self, answer: torch.Tensor) -> None:
        self.answer = answer

    def __call__(self, x_t: torch.Tensor, *_: object) -> torch.Tensor:
        """Answer for as many rows as asked."""
        return self.answer[: len(x_t)]


def ways(
    net: UNet | Instant, x_T: torch.Tensor, labels: torch.Tensor, num_steps: int
) -> dict[str, tuple[Callable[[], object], int]]:
    """Name each sampler; how to run it, and how many rows each of its calls has."""
    generator = torch.Generator().manual_seed(0)
    schedule = NoiseSchedule.linear(num_steps, 0.01, 0.5)  # so that DDPM takes as many steps
    push = guided(net, labels, guidance_scale=3.0)
    steps = {"num_sample_steps": num_steps}
    drawn = {**steps, "generator": generator}
    mask = torch.zeros(1, 1, *SHAPE[1:], device=x_T.device)
    edit = {"x0": torch.zeros_like(x_T), "mask": mask, "num_resamples": 1}
    rows = len(x_T)
    return {
        "ddpm": (lambda: ddpm_sample(net, x_T, schedule, generator=generator), rows),
        "ddim": (lambda: ddim_sample(net, x_T, schedule, **steps), rows),
        "ddim, eta 1": (lambda: ddim_sample(net, x_T, schedule, eta=1.0, **drawn), rows),
        "dpm solver": (lambda: dpm_solver_sample(net, x_T, schedule, **steps), rows),
        "ddim, guided": (lambda: ddim_sample(push, x_T, schedule, **steps), 2 * rows),
        "inpainting": (lambda: inpaint_sample(net, x_T, schedule, **edit, **drawn), rows),
    }


def seconds(run: Callable[[], object], device: torch.device) -> float:
    """Time a run: processor time on a CPU, time on the clock to the end of the work on a GPU."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    start = clock()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - start


def main() -> int:
    """Measure, print, and say whether the target is met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--patch", type=int, default=1, help="of the network; 2 costs a quarter")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    device = torch.device(args.device)
    net = UNet(UNetConfig(num_classes=NUM_CLASSES, patch=args.patch)).to(device).eval()
    x_T = torch.randn(args.batch, *SHAPE, generator=torch.Generator().manual_seed(0)).to(device)
    labels = torch.arange(args.batch, device=device) % NUM_CLASSES
    twice = torch.cat([x_T, x_T])
    with torch.no_grad():
        instant = Instant(net(twice, torch.zeros(len(twice), dtype=torch.int64, device=device)))
    times: dict[str, list[tuple[float, ...]]] = {}
    every = ways(net, x_T, labels, args.steps)
    alone = ways(instant, x_T, labels, args.steps)
    for repeat in tqdm(range(args.repeats + 1), desc="repeats", mininterval=5):
        for name, (sample, num_rows) in every.items():
            batch = x_T if num_rows == len(x_T) else twice
            measured = (
                seconds(bare(net, batch, args.steps), device),
                seconds(lambda sample=sample: list(sample()), device),
                seconds(lambda sample=alone[name][0]: list(sample()), device),
            )
            if repeat:  # the first one warms up
                times.setdefault(name, []).append(measured)
    return report(times, args)


def bare(net: UNet, x: torch.Tensor, num_steps: int) -> Callable[[], None]:
    """Call the network as often as a sampler does, and nothing else."""

    @torch.no_grad()
    def run() -> None:
        t = torch.full((len(x),), 5, device=x.device)
        for _ in range(num_steps):
            net(x, t)

    return run


def report(times: dict[str, list[tuple[float, ...]]], args: argparse.Namespace) -> int:
    """Print the table; 0 if the target is met."""
    print(
        f"\nbatch {args.batch}, {'x'.join(map(str, SHAPE))}, {args.steps} steps, "
        f"patch {args.patch}, {args.device}, "
        f"{torch.get_num_threads()} threads, medians of {args.repeats}"
    )
    print(f"{'':14}{'network':>12}{'sampler':>12}{'own':>10}{'ratio':>9}   quartiles")
    worst = 0.0
    for name, rows in times.items():
        network, sampler, own = (
            1000 * statistics.median(column) / args.steps for column in zip(*rows, strict=True)
        )
        low, ratio, high = statistics.quantiles([row[1] / row[0] for row in rows], n=4)
        worst = max(worst, ratio)
        print(
            f"{name:14}{network:9.2f} ms{sampler:9.2f} ms{own:7.2f} ms"
            f"{ratio:9.3f}   {low:.3f} {high:.3f}"
        )
    print(f"worst {worst:.3f}, allowed {LIMIT}")
    return 0 if worst <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
