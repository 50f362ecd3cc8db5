"""Train a judge: a small convolutional network that says what an image shows.

    python -m tools.train_judge --on eurosat --work WORK --minutes 15
    python -m tools.train_judge --on mini_earth --work WORK --minutes 12

The judge sees real images only (or renders, for models of ``mini_earth``), has none of the parts
of the models that it judges (no residual block, no attention, no text), and does not ship. What is
said about drawings with its help is only worth something as long as nothing is chosen by it.
"""

import argparse
import json
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save
from torch import Tensor, nn

from course_utils import runtime
from course_utils.metrics import accuracy, per_class_recall
from tools import training
from tools.training import Captioned, options

SIZE = 64  # pixels
EUROSAT = runtime.data_root() / "eurosat_course"  # which no generator sees
WIDTHS = (32, 64, 128, 256)
JITTER = 0.35  # of training.jitter_colors; 1 would bridge sensors
SMOOTHING = 0.05  # of the labels


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    settings = {"minutes": 15.0, "batch": 64, "learning_rate": 2e-3}
    parser = training.make_parser(__doc__, [*options.RUN, *options.RENDERS], **settings)
    add = parser.add_argument
    add("--on", required=True, choices=("eurosat", "mini_earth"))
    add("--widths", type=int, nargs="+", default=list(WIDTHS), help="channels of each stage")
    return parser.parse_args(argv)


class Judge(nn.Module):
    """A plain stack of convolutions: each stage halves the sides and convolves twice."""

    def __init__(self, widths: Sequence[int], class_names: Sequence[str]) -> None:
        super().__init__()
        self.class_names = tuple(class_names)
        pairs = [(2, 3, widths[0]), (1, widths[0], widths[0])]
        for before, width in pairwise(widths):
            pairs += [(2, before, width), (1, width, width)]
        layers = []
        for stride, before, width in pairs:
            layers.append(nn.Conv2d(before, width, 3, stride, padding=1, bias=False))
            layers += [nn.BatchNorm2d(width), nn.ReLU()]
        self.stages = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1], len(class_names))

    def features(self, images: Tensor) -> Tensor:
        """Give what the last layer reads, n d; images in [0, 1]."""
        pixels = (4 * images - 2).contiguous(memory_format=torch.channels_last)
        return self.stages(pixels).mean(dim=(2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Score images in [0, 1] against the classes."""
        return self.head(self.features(images))


def build(widths: Sequence[int], class_names: Sequence[str], *, seed: int = 0) -> Judge:
    """Make a judge with weights that follow from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Judge(widths, class_names).to(memory_format=torch.channels_last)


def load_judge(folder: Path) -> tuple[Judge, dict]:
    """Read a judge and its record from ``WORK/judge_<on>``, where it must have been trained."""
    if not (folder / "judge.json").is_file():
        on = folder.name.removeprefix("judge_")
        raise FileNotFoundError(f"no judge in {folder}: run python -m tools.train_judge --on {on}")
    record = json.loads((folder / "judge.json").read_text(encoding="utf-8"))
    judge = build(record["widths"], record["class_names"])
    judge.load_state_dict(load_file(folder / "judge.safetensors"))
    return judge.eval().requires_grad_(False), record


@torch.no_grad()
def see(judge: Judge, images: Tensor) -> tuple[Tensor, Tensor]:
    """Say the class of each uint8 image, and the features that it was said by."""
    device = judge.head.weight.device
    parts = [judge.features(part.to(device).float() / 255) for part in images.split(250)]
    features = torch.cat(parts)
    return judge.head(features).argmax(dim=1).cpu(), features.cpu()


def load_split(args: argparse.Namespace) -> tuple[Captioned, Captioned]:
    """Return (training, validation): the parts that ship, or two streams of renders."""
    if args.on == "eurosat":
        read = partial(training.read_captioned, size=SIZE, allow_eurosat=True)
        parts = ("train", "validation")
        return tuple(read(EUROSAT / f"eurosat_course_{part}.parquet") for part in parts)
    return training.render_both(args)


def label_numbers(data: Captioned, class_names: Sequence[str]) -> Tensor:
    """Turn the labels of images into numbers, in the order of ``class_names``."""
    return torch.tensor([class_names.index(label) for label in data.labels])


def augmented(images: Tensor, generator: torch.Generator) -> Tensor:
    """Turn by quarters, mirror, and change the light a little; in [0, 1]."""
    views = training.random_views(images, generator, scale=(1.0, 1.0)).images
    return training.jitter_colors(views, generator, strength=JITTER)


def measure(judge: Judge, data: Captioned) -> dict[str, float]:
    """Measure the share of images recognized, over all and by class."""
    labels = label_numbers(data, judge.class_names)
    said, _ = see(judge, data.images)
    num_classes = len(judge.class_names)
    by_class = per_class_recall(said, labels, num_classes=num_classes).tolist()
    numbers = {"accuracy": accuracy(said, labels)}
    return numbers | dict(zip(judge.class_names, by_class, strict=True))


def train(args: argparse.Namespace) -> Path:
    """Train until the budget is used and write the averaged weights with what they are worth."""
    device, folder = training.training_device(args), args.work / f"judge_{args.on}"
    past, held = load_split(args)
    class_names = sorted({*past.labels, *held.labels})
    labels = label_numbers(past, class_names)
    net = build(args.widths, class_names, seed=args.seed).to(device)
    num = sum(p.numel() for p in net.parameters())
    training.say(f"judge of {args.on}: {num:,} weights, {len(past)} images, {len(held)} held aside")

    def loss_at(step: int) -> tuple[Tensor, dict[str, float]]:
        rng, generator = training.step_draws(args.seed, step)
        rows = torch.from_numpy(rng.integers(len(past), size=args.batch))
        views = augmented(past.images[rows], generator).to(device)
        truth = labels[rows].to(device)
        with training.autocast(device):
            logits = net(views)
        said = {"accuracy": (logits.argmax(dim=1) == truth).float().mean().item()}
        return F.cross_entropy(logits.float(), truth, label_smoothing=SMOOTHING), said

    evaluate = partial(measure, data=held)
    budget = training.budget_of(args, weight_decay=0.05)
    judge = training.fit(net, loss_at, folder=folder, budget=budget, evaluate=evaluate)
    weights = {k: v.cpu().contiguous() for k, v in judge.state_dict().items()}
    runtime.write_atomically(folder / "judge.safetensors", save(weights))
    sizes = {"num_training": len(past), "num_validation": len(held)}
    numbers = evaluate(judge)  # of the last weights: none are picked
    training.write_json(folder / "judge.json", record(args, judge, numbers) | sizes)
    return folder


def record(args: argparse.Namespace, judge: Judge, numbers: dict[str, float]) -> dict[str, object]:
    """Say what the judge is, what it was trained on, and how often it is right."""
    run = training.read_checkpoint(args.work / f"judge_{args.on}")
    names = ["batch", "learning_rate", "seed"]
    names += ["renders", "styles"] if args.on == "mini_earth" else []
    files = [EUROSAT / "eurosat_course_train.parquet"] if args.on == "eurosat" else []
    command = training.command_line("train_judge", args, ("on", "work", "minutes"))
    settings = {name: getattr(args, name) for name in names} | {"command": command}
    return {
        "on": args.on,
        "widths": list(args.widths),
        "class_names": list(judge.class_names),
        "validation": {k: None if np.isnan(v) else v for k, v in numbers.items()},
        "steps": run["step"],
        "minutes": run["used"] / 60,
        "provenance": training.provenance(files, **settings),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Train a judge, or continue, and write it."""
    args = parse(argv)
    torch.set_num_threads(args.threads)
    folder = train(args)
    training.say(f"wrote {folder}")


if __name__ == "__main__":
    main()
