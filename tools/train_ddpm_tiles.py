"""Train notebook 01's network on tiles for longer, in five stages, and write its folder.

    python -m tools.train_ddpm_tiles --work WORK

Each stage is a training of its own, from the same first weights and with twice the steps of the
one before: the notebook's network, loss, schedule and settings, only longer,
on renders of ``mini_earth`` in the training styles. A stage that is done is read back, so that a
killed run goes on with the one it was in. The longest stage ships, and a sheet of what each drew
from the same noise; what a judge and a measure of fidelity say of each goes into the table.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import torch
from PIL import Image
from safetensors.torch import load_file, save
from scipy import stats
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from tqdm import tqdm

import mini_earth
from course_utils import diffusion, examples, images, metrics, runtime, samplers, unet, zero_shot
from tools import training
from tools.training import cards, options

CLASSES = ("beach", "circular_farmland", "forest", "runway")
SIDE, STAGES = 32, (650, 1300, 2600, 5200, 10_400)
CONFIG = diffusion.TrainConfig(learning_rate=2e-3, weighting="min_snr")  # notebook 01's
GUIDANCE, NUM_STEPS, SHOWN = 2.0, 20, 2  # of drawing; tiles a class on the sheet
COLUMNS = ("stage", "steps", "minutes", "recognized", "low", "high", "precision", "recall", "n")


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    names = ("work", "name", "models", "styles", "seed", "threads", "per_class")
    parser = training.make_parser(__doc__, names, name="ddpm_tiles", per_class=50)
    parser.add_argument("--renders", type=int, default=1500, help="tiles a class")
    parser.add_argument("--stages", type=int, nargs="+", default=list(STAGES), help="steps of each")
    return parser.parse_args(argv)


def render_tiles(args: argparse.Namespace, part: str, per_class: int) -> tuple[Tensor, Tensor]:
    """Render tiles (n 3 h w in [-1, 1]) and their labels, or read them back."""
    styles = training.refuse_test_style(args.styles)
    path = args.work / f"{part}-{per_class}-{mini_earth.__version__}.npy"
    jobs = [(name, index) for name in CLASSES for index in range(per_class)]
    if not path.is_file():
        tiles = []
        for name, index in tqdm(jobs, desc=f"rendering {part}", mininterval=5):
            seed = runtime.derive_seed("ddpm_tiles", part, name, index) % (1 << 48)
            scene = mini_earth.make_scene(name, styles[index % len(styles)], seed=seed)
            view = Image.fromarray(mini_earth.render(scene, size=2 * SIDE).image)
            tiles.append(images.from_pil(images.fit(view, SIDE)))
        np.save(path, images.to_model(torch.stack(tiles)).numpy())
    labels = torch.tensor([CLASSES.index(name) for name, _ in jobs])
    return torch.from_numpy(np.load(path)), labels


def stretch(x0: Tensor, like: Tensor) -> Tensor:
    """Bring tiles to the mean color 0 and the standard deviation 0.5 of the training tiles."""
    center = like.mean((0, 2, 3), keepdim=True)
    return ((x0 - center) * (0.5 / (like - center).std())).clamp(-1, 1)


def train_stage(args: argparse.Namespace, x0: Tensor, labels: Tensor, num_steps: int) -> unet.UNet:
    """Train one stage, or read it back; its averaged weights."""
    torch.manual_seed(args.seed)
    net = unet.UNet(unet.UNetConfig(patch=2, num_classes=len(CLASSES)))
    path = args.work / f"stage-{num_steps}.safetensors"
    if path.is_file():
        net.load_state_dict(load_file(path))
        return net.eval()
    config, generator = replace(CONFIG, num_steps=num_steps), runtime.seeded(args.seed)
    ema = diffusion.Ema(net, config.ema_decay)
    batches = diffusion.shuffled_batches(x0, labels, batch_size=64, generator=generator)
    schedule = diffusion.NoiseSchedule.cosine(1000)
    steps = diffusion.train_denoiser(net, batches, schedule, config, generator=generator, ema=ema)
    for step in tqdm(steps, total=num_steps, desc=f"{num_steps} steps", mininterval=10):
        seconds = step.seconds
    training.write_json(path.with_suffix(".json"), {"minutes": seconds / 60})
    runtime.write_atomically(path, packed(ema.net))
    return ema.net


def packed(net: unet.UNet) -> bytes:
    """Give a network's weights as a file holds them."""
    return save({name: value.contiguous() for name, value in net.state_dict().items()})


@torch.no_grad()
def draw(net: unet.UNet, labels: Tensor, seed: int) -> Tensor:
    """Draw a tile for each label, as the notebook does."""
    x_T = torch.randn(len(labels), 3, SIDE, SIDE, generator=runtime.seeded(seed))
    denoiser = samplers.guided(net, labels, guidance_scale=GUIDANCE)
    schedule = diffusion.NoiseSchedule.cosine(1000)
    way = samplers.ddim_sample(denoiser, x_T, schedule, num_sample_steps=NUM_STEPS, clip_x0=True)
    *_, last = way
    return last.x_t


class Judge:
    """A logistic regression on CLIP's features of the training tiles, as in the notebook."""

    def __init__(self, x0: Tensor, labels: Tensor) -> None:
        self.clip = zero_shot.load_clip()
        self.model = LogisticRegression(C=100, max_iter=3000).fit(self.features(x0), labels)

    def features(self, x0: Tensor) -> Tensor:
        """Embed tiles (n 3 h w in [-1, 1])."""
        pictures = images.to_bytes(x0.clamp(-1, 1)).movedim(1, -1).numpy()
        wrapped = [examples.Example(0, "real", pixels=each) for each in pictures]
        return zero_shot.image_features(self.clip, wrapped)

    def measure(self, x0: Tensor, labels: Tensor, held: Tensor) -> dict[str, float]:
        """Give the recognized share with its interval, and precision and recall among ``held``."""
        rows = self.features(x0)
        right = int((self.model.predict(rows) == labels.numpy()).sum())
        ends = stats.binomtest(right, len(labels)).proportion_ci(method="wilson")
        shares = metrics.precision_recall(self.features(held), rows)
        return {"recognized": right / len(labels), "low": ends.low, "high": ends.high} | {
            "precision": shares.precision, "recall": shares.recall, "n": len(labels)
        }  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """Train all stages, judge them, and write the folder and the table."""
    args = parse(argv)
    torch.set_num_threads(args.threads)
    args.work.mkdir(parents=True, exist_ok=True)
    flat, labels = render_tiles(args, "train", args.renders)
    held_flat, held_labels = render_tiles(args, "held", args.per_class)
    fresh_flat, _ = render_tiles(args, "fresh", args.per_class)
    x0, held, fresh = (stretch(each, flat) for each in (flat, held_flat, fresh_flat))
    turned = torch.cat([torch.rot90(x0, k, (2, 3)) for k in range(4)])
    turned = torch.cat([turned, turned.flip(3)])
    judge = Judge(x0[:: max(1, len(x0) // 1600)], labels[:: max(1, len(x0) // 1600)])
    asked, sheet, rows = torch.arange(len(CLASSES)).repeat_interleave(args.per_class), [], []
    for stage, num_steps in enumerate(args.stages, 1):
        net = train_stage(args, turned, labels.repeat(8), num_steps)
        minutes = json.loads((args.work / f"stage-{num_steps}.json").read_text())["minutes"]
        found = judge.measure(draw(net, asked, seed=10), asked, held)
        rows.append({"stage": stage, "steps": num_steps, "minutes": minutes, **found})
        training.say_numbers(f"stage {stage}", rows[-1])
        sheet.append(draw(net, torch.arange(len(CLASSES)).repeat_interleave(SHOWN), seed=11))
    real = judge.measure(fresh, held_labels, held)
    rows.append({"stage": "real", **real})
    write_folder(args, net, sheet, rows)


def write_folder(
    args: argparse.Namespace, net: unet.UNet, sheet: Sequence[Tensor], rows: Sequence[dict]
) -> None:
    """Write weights, settings, the sheet, the card and the table."""
    folder = args.models / args.name
    folder.mkdir(parents=True, exist_ok=True)
    runtime.write_atomically(folder / "model.safetensors", packed(net))
    training.write_json(folder / "config.json", asdict(net.config))
    training.sheet([(each.clamp(-1, 1) + 1) / 2 for each in sheet], folder / "stages.png", zoom=1)
    said = ("styles", "seed", "renders", "per_class", "stages")
    command = options.command_line("train_ddpm_tiles", args, ("work", *said))
    table = pd.DataFrame(rows, columns=COLUMNS).assign(command=command, machine=training.machine())
    path = options.REPO / "data" / "measured" / "ddpm_tiles.csv"
    runtime.write_atomically(path, table.round(4).to_csv(index=False).encode())
    lines = ["| stage | steps | recognized | precision | recall |", "| --- " * 5 + "|"]
    for row in rows:
        share = "{recognized:.3f} [{low:.3f}, {high:.3f}]".format(**row)
        told = (row["stage"], row.get("steps", ""), share)
        lines.append("| {} | {} | {} | {precision:.2f} | {recall:.2f} |".format(*told, **row))
    fields = {
        "classes": ", ".join(CLASSES),
        "command": command,
        "machine": training.machine(),
        "torch": torch.__version__,
    }
    told = fields | {"styles": ", ".join(args.styles), "world": mini_earth.__version__}
    counts = {"num": args.renders, "n": rows[0]["n"], "millions": rows[-2]["steps"] * 64 / 1e6}
    text = cards.fill("ddpm_tiles", table="\n".join(lines), **told, **counts)
    runtime.write_atomically(folder / "README.md", text.encode())


if __name__ == "__main__":
    main()
