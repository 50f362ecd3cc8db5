"""Train the small ControlNet that steers small_text2image by maps, and write its folder.

    python -m tools.train_small_control --work WORK --minutes 60

It learns from renders of ``mini_earth`` in the training styles, with the maps that the world knows
(roads, land cover, heights, outlines) and those that are found in the image (edges, lines). The
generator stays as it ships. A killed run goes on where it was when the command is given again.

Source: Zhang et al. 2023 (arXiv:2302.05543); maps stacked on channels with some left out, as in
Zhao et al. 2023 (arXiv:2305.16322) and Tang et al. 2024 (arXiv:2403.11614).
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from course_utils import control
from course_utils.control.study import turn_tile
from tools import training
from tools.control import adapters, views
from tools.training import cards

BASE = "small_text2image"


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    defaults = {"name": "small_control", "minutes": 60.0, "learning_rate": 2e-3}
    return adapters.parse(__doc__, **defaults).parse_args(argv)


def train(args: argparse.Namespace) -> None:
    """Train the ControlNet; leave its weights in WORK."""
    told, held = views.render_parts(args)
    base = adapters.Base.load(BASE)
    found = adapters.find_maps(told, args.work / "found_train.npy", processes=args.processes)
    found_held = adapters.find_maps(held, args.work / "found_held.npy", processes=args.processes)
    poses = [cached(base, told, args.work / f"latents_{pose}.pt", pose) for pose in (0, 5)]
    roads = adapters.rows_with_roads(told, 0.02)
    net = adapters.make_controlnet(base.unet, control.CHANNELS * len(control.CONDITIONS))

    def loss_at(step: int) -> tuple[Tensor, dict[str, float]]:
        rng, generator = training.step_draws(args.seed, step)
        rows = adapters.draw_rows(rng, len(told), roads, args.batch)
        pose = step % 2
        maps = adapters.maps_of(told, found, rows)
        maps = adapters.drop_maps(turn_tile(maps, (0, 5)[pose]), rng)
        captions = adapters.draw_captions([told.captions[i] for i in rows.tolist()], rng)
        x_t, t, v = base.noise(poses[pose][rows].float(), generator)
        context = base.encode_captions(captions)
        # in single precision: half is slower for networks this small on a CPU
        return base.loss(adapters.steer(base.unet, net, x_t, t, context, maps), v, t)

    held_x0 = base.encode_images(held.images[:256].float())

    @torch.no_grad()
    def evaluate(averaged: torch.nn.Module) -> dict[str, float]:
        _, generator = training.step_draws(99, 0)
        rows, numbers = torch.arange(256), {}
        x_t, t, v = base.noise(held_x0, generator)
        context = base.encode_captions([held.captions[i] for i in rows.tolist()])
        maps = adapters.maps_of(held, found_held, rows)
        for name in (*control.CONDITIONS, "all", "none"):
            keep = torch.tensor([float(name in (each, "all")) for each in control.CONDITIONS])
            keep = keep.repeat_interleave(control.CHANNELS)[None, :, None, None]
            v_pred = adapters.steer(base.unet, averaged, x_t, t, context, maps * keep)
            numbers[f"v error told {name}"] = base.loss(v_pred, v, t)[1]["v_error"]
        v_pred = base.unet(x_t, t, encoder_hidden_states=context).sample
        numbers["v error of the generator alone"] = base.loss(v_pred, v, t)[1]["v_error"]
        return numbers

    budget = training.budget_of(args, decay_share=0.3, save_every=120.0, has_muon=True)
    averaged = training.fit(
        net, loss_at, folder=args.work / args.name, budget=budget, evaluate=evaluate
    )
    run = {key: getattr(args, key) for key in ("seed", "batch", "learning_rate", "renders")}
    record = training.provenance([], **run)
    training.write_metrics(args.work / args.name, record, evaluate(averaged))


def cached(base: adapters.Base, told: views.ToldViews, path: Path, pose: int) -> Tensor:
    """Encode all images in one pose, or read the latents back."""
    if not path.is_file():
        latents = base.encode_images(turn_tile(told.images, pose).float()).half()
        torch.save(latents, path)
    return torch.load(path, weights_only=True)


def write_diffusers(folder: Path, state: dict[str, Tensor], config: dict) -> None:
    """Write a folder that diffusers reads; weights in half precision."""
    del config  # the network says its own
    unet = adapters.Base.load(BASE).unet
    net = adapters.make_controlnet(unet, control.CHANNELS * len(control.CONDITIONS))
    net.load_state_dict(training.halved(state))
    net.half().save_pretrained(folder)


def card(name: str, metrics: dict, millions: float, *, args: argparse.Namespace) -> str:
    """Compose the model card."""
    told = {key: f"{value:.4f}" for key, value in metrics["validation"].items()}
    fields = {"name": name, "millions": millions, "run": metrics["provenance"], "metrics": metrics}
    fields |= {"base": BASE, "styles": ", ".join(args.styles), "held": args.validation_renders}
    fields["table"] = cards.table(told, ("validation", "mean squared error of v"))
    return cards.fill("small_control", **fields)


def main(argv: Sequence[str] | None = None) -> None:
    """Train; with ``--export`` write the folder from the last checkpoint."""
    args = parse(argv)
    export = partial(training.export_run, write=write_diffusers, card=partial(card, args=args))
    training.run_script(args, train, export if args.export else None)


if __name__ == "__main__":
    main()
