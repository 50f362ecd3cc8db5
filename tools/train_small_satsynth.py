"""Train the small denoiser of tiles and masks together, and write its folder.

    python -m tools.train_small_satsynth --work WORK --minutes 35
    python -m tools.train_small_satsynth --work WORK --export

It learns from renders of ``mini_earth`` in the training styles, colors and analog bits of the land
cover on six channels, and is told nothing. The loss is the course's own, all steps alike: what
colors look like is decided in steps with little noise, which other weights would neglect. A killed
run goes on where it was when the command is given again. ``tools.measure_satsynth`` then says what
its pairs are worth.

Source: Toker et al. 2024 (arXiv:2403.16605); Chen et al. 2022 (arXiv:2208.04202).
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from course_utils import diffusion, hub, runtime
from course_utils.control import satsynth, study, tiles
from course_utils.unet import UNet, UNetConfig
from tools import training
from tools.training import cards, options

CONFIG = UNetConfig(
    image_channels=satsynth.COLORS + satsynth.count_bits(len(satsynth.COVER)),
    channels=(32, 64, 128),
    patch=2,
)
SHOWN = 12  # pairs in a row of the sheet
TABLE = options.REPO / "data" / "measured" / "satsynth.csv"
MEASURED = """\
Mean IoU of a small segmenter on held-out tiles, five seeds, with 95 % intervals: on few real pairs
of places as in the generator's training (seen) or of `mini_earth.TEST_STYLE` (unseen), with drawn
pairs, or with as many of those that the generator was trained on (retrieval). *Agreement*: a
segmenter trained on renders looks for masks in rendered images, for the drawn mask in the drawn
image, and for the mask of another drawing (`data/measured/satsynth.csv`)."""


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    names = ("work", "name", "models", "styles", "minutes", "steps", "batch", "learning_rate")
    defaults = {"name": "small_satsynth", "minutes": 35.0, "batch": 32, "learning_rate": 2e-3}
    defaults |= {"renders": 6000, "validation_renders": 300, "threads": 1}
    names = (*names, "renders", "validation_renders", "seed", "threads", "export")
    args = training.make_parser(__doc__, names, **defaults).parse_args(argv)
    training.refuse_test_style(args.styles)
    return args


def train(args: argparse.Namespace) -> None:
    """Train the denoiser; leave its weights in WORK."""
    run = args.work / args.name
    shown = {"styles": args.styles, "cache": run}
    x0 = satsynth.join(tiles.render_pairs("train", args.renders, **shown))
    held = satsynth.join(tiles.render_pairs("test", args.validation_renders, **shown))
    torch.manual_seed(args.seed)
    net, schedule = UNet(CONFIG), diffusion.NoiseSchedule.cosine(satsynth.NUM_TRAIN_STEPS)

    def loss_at(step: int) -> tuple[Tensor, dict[str, float]]:
        rng, generator = training.step_draws(args.seed, step)
        rows = torch.from_numpy(rng.integers(len(x0), size=args.batch))
        batch = study.turn_tile(x0[rows], step % 8).contiguous()
        return diffusion.eps_loss(net, batch, schedule, generator=generator), {}

    @torch.no_grad()
    def evaluate(averaged: torch.nn.Module) -> dict[str, float]:
        settings = {"schedule": schedule, "generator": runtime.seeded(1)}
        losses = [diffusion.eps_loss(averaged, p, **settings) for p in held.split(100)]
        drawn = draw_sheet(averaged, run / "drawn.png")
        loss = torch.stack(losses).mean().item()
        return {"loss on held-out tiles": loss, "unused codes": drawn.unused_share}

    budget = training.budget_of(args, decay_share=0.5, save_every=120.0)
    averaged = training.fit(net, loss_at, folder=run, budget=budget, evaluate=evaluate)
    kept = ("seed", "batch", "learning_rate", "renders", "styles")
    record = training.provenance([], **{name: getattr(args, name) for name in kept})
    record["num_validation"] = {"mini_earth": args.validation_renders}
    training.write_metrics(run, record, evaluate(averaged), config=asdict(CONFIG))


def draw_sheet(net: UNet, path: Path) -> satsynth.Pairs:
    """Draw two rows of pairs, each image above its mask, and write them as a picture."""
    drawn = satsynth.draw_pairs(net, 2 * SHOWN, generator=runtime.seeded(3))
    images, masks = drawn.images.float() / 255, satsynth.color_mask(drawn.masks)
    rows = [images[:SHOWN], masks[:SHOWN], images[SHOWN:], masks[SHOWN:]]
    training.sheet(rows, path)
    return drawn


def export(args: argparse.Namespace) -> None:
    """Write weights in half precision, settings, and the card."""

    def write(folder: Path, state: dict[str, Tensor], config: dict) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        runtime.write_atomically(folder / "model.safetensors", save(training.halved(state)))
        training.write_json(folder / "config.json", config)

    def card(name: str, metrics: dict, millions: float) -> str:
        told = {"name": name, "millions": millions, "classes": ", ".join(satsynth.COVER)}
        told |= {"scenes": ", ".join(tiles.SCENES)}
        told["measured"] = describe(TABLE, args.models / name / "model.safetensors")
        header = ("on held-out tiles, and of drawings", "value")
        return cards.card("small_satsynth", metrics, header=header, **told)

    training.export_run(args, write, card)


def describe(table: Path, weights: Path) -> str:
    """Write the table's rows on these weights, if there are any, as the card shows them."""
    known = hub.sha256_of(weights)[:12]
    rows = [row for row in training.read_rows(table) if row["fingerprint"] == known]
    if not rows:
        return "What its pairs are worth: `tools.measure_satsynth`."
    lines = [MEASURED, "", "| real tiles | beside them | mIoU | more than real only |"]
    lines.append("| --- " * 4 + "|")
    for row in rows:
        share = "{:.3f} [{:.3f}, {:.3f}]"
        numbers = [float(row[name]) for name in ("miou", "low", "high")]
        gains = [float(row[f"gain{end}"] or "nan") for end in ("", "_low", "_high")]
        what = f"{row['arm']} {row['multiple']}x" if row["multiple"] != "0" else row["arm"]
        base = f"{row['num_real']}, {row['place']}" if row["num_real"] != "0" else "agreement"
        gain = share.format(*gains) if row["gain"] else ""
        lines.append(f"| {base} | {what} | {share.format(*numbers)} | {gain} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Train, or write what a training left."""
    args = parse(argv)
    training.run_script(args, train, export if args.export else None)


if __name__ == "__main__":
    main()
