"""Train the small segmenter that judges whether what was asked is found in an image.

    python -m tools.train_small_segmenter --work WORK --minutes 14
    python -m tools.train_small_segmenter --work WORK --export

It learns land cover from renders of ``mini_earth`` in the training styles. It shares no weights, no
latents and no seed with any generator, so that it can judge them. A killed run goes on where it was
when the same command is given again.

Source:
    Ronneberger et al. 2015, U-Net (arXiv:1505.04597), as diffusers builds it.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import UNet2DModel
from torch import Tensor, nn

import mini_earth
from course_utils import control
from course_utils.control.segmenter import FOLD, cover_logits
from course_utils.control.study import turn_tile
from course_utils.metrics import class_iou, mask_iou
from tools import training
from tools.control import adapters, views
from tools.training import cards

NUM_CLASSES = len(mini_earth.LAND_COVER)
WIDTHS = (32, 64, 64)
JITTER = 0.3  # of light and colors
SMOOTHING = 0.02  # added to a class's share before it is weighed


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    defaults = {"name": "small_segmenter", "minutes": 14.0, "learning_rate": 2e-3}
    return adapters.parse(__doc__, **defaults, batch=32, seed=18).parse_args(argv)


def build(seed: int) -> UNet2DModel:
    """Make the network, with folded pixels in and folded classes out."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNet2DModel(
            sample_size=views.SIZE // FOLD,
            in_channels=3 * FOLD**2,
            out_channels=NUM_CLASSES * FOLD**2,
            block_out_channels=WIDTHS,
            down_block_types=("DownBlock2D",) * len(WIDTHS),
            up_block_types=("UpBlock2D",) * len(WIDTHS),
            layers_per_block=1,
            norm_num_groups=8,
            add_attention=False,
        )


def class_weights(land_cover: Tensor) -> Tensor:
    """Weigh classes by one over the root of their share, so that roads count; 1 on average."""
    counts = torch.bincount(land_cover.flatten(), minlength=NUM_CLASSES).float()
    weights = (counts / counts.sum() + SMOOTHING).rsqrt()
    return weights / weights.mean()


@torch.no_grad()
def judge(net: nn.Module, held: views.ToldViews) -> dict[str, float]:
    """Measure a network on renders that it has not seen."""
    parts = [cover_logits(net, part).argmax(dim=1) for part in held.images.split(100)]
    found, asked = torch.cat(parts), held.land_cover.long()
    shares = class_iou(found, asked, num_classes=NUM_CLASSES)
    with_roads = adapters.rows_with_roads(held, 0.02)
    roads = [(codes[with_roads] == control.ROAD) for codes in (found, asked)]
    return {
        "mean IoU": shares.nanmean().item(),
        "right pixels": (found == asked).float().mean().item(),
        "road IoU, mean over scenes": mask_iou(*roads).nanmean().item(),
        **{f"IoU of {n}": s for n, s in zip(mini_earth.LAND_COVER, shares.tolist(), strict=True)},
    }


def train(args: argparse.Namespace) -> None:
    """Train until the budget is used, measure, and leave ``metrics.json`` in the work folder."""
    told, held = views.render_parts(args)
    roads, weights = adapters.rows_with_roads(told, 0.02), class_weights(told.land_cover)
    folder, net = args.work / args.name, build(args.seed)

    def loss_at(step: int) -> tuple[Tensor, dict[str, float]]:
        rng, generator = training.step_draws(args.seed, step)
        rows = adapters.draw_rows(rng, len(told), roads, args.batch)
        pose = int(rng.integers(8))
        images = turn_tile(told.images[rows], pose).float() / 255
        images = training.jitter_colors(images, generator, strength=JITTER)
        asked = turn_tile(told.land_cover[rows], pose).long()
        logits = cover_logits(net, 255 * images)
        right = (logits.argmax(dim=1) == asked).float().mean().item()
        return F.cross_entropy(logits, asked, weight=weights), {"right pixels": right}

    settings = {"warmup": 50, "ema_decay": 0.99, "decay_share": 0.6, "save_every": 60.0}
    budget = training.budget_of(args, **settings)
    few = partial(judge, held=held.take(range(100)))
    averaged = training.fit(net, loss_at, folder=folder, budget=budget, evaluate=few)
    run = {key: getattr(args, key) for key in ("seed", "batch", "learning_rate", "styles")}
    num_validation = {"mini_earth": len(held)}
    record = training.provenance([], **run, renders=args.renders, num_validation=num_validation)
    training.write_metrics(folder, record, judge(averaged, held))


def write_diffusers(folder: Path, state: dict[str, Tensor], config: dict) -> None:
    """Write a folder that diffusers reads; weights in half precision."""
    del config  # the network says its own
    net = build(seed=0)
    net.load_state_dict(training.halved(state))
    net.half().save_pretrained(folder)


def card(name: str, metrics: dict, millions: float) -> str:
    """Compose the model card."""
    header = ("on renders that it has not seen", "value")
    fields = {"name": name, "millions": millions, "widths": WIDTHS, "fold": FOLD}
    fields["classes"] = ", ".join(mini_earth.LAND_COVER)
    return cards.card("small_segmenter", metrics, header=header, **fields)


def main(argv: Sequence[str] | None = None) -> None:
    """Train, then write the folder; or only write it."""
    export = partial(training.export_run, write=write_diffusers, card=card)
    args = parse(argv)
    training.run_script(args, train, export if args.export else None)


if __name__ == "__main__":
    main()
