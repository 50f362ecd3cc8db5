"""Train the small ControlNet that is told ten coarse bands, and write its folder.

    python -m tools.train_small_superres --data DATA --work WORK --minutes 25

Generative super-resolution as DiffusionSat does it: small_text2image stays as it ships and draws
64 x 64 pixels, told ten bands of 16 x 16, on renders of ``mini_earth`` in the training styles and
on photographs of UC Merced, of which only the visible bands are known. Half of the captions are
empty, since nobody describes what is to be sharpened. It never sees EuroSAT, on which it shows what
it makes up. It begins as small_control, which already reads maps: without, a hundred steps pass in
which the bands change nothing. A killed run goes on where it was when the command is given again.

Source: Khanna et al. 2024 (arXiv:2312.03606), section 3.2; Zhang et al. 2023 (arXiv:2302.05543).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from course_utils import control
from tools import training
from tools.control import adapters, coarse
from tools.train_small_control import BASE, cached
from tools.training import cards

EMPTY_SHARE = 0.5  # of the captions
POSES = (0, 5)  # in which the renders are encoded
NUM_HELD = 64  # images of a kind; to look at more would take a tenth of the time


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    defaults = {"name": "small_superres", "minutes": 25.0, "batch": 12, "learning_rate": 1e-3}
    return coarse.make_parser(__doc__, **defaults).parse_args(argv)


def train(args: argparse.Namespace) -> None:
    """Train the ControlNet; leave its weights in WORK."""
    sources, held = coarse.load_sources(args)
    base = adapters.Base.load(BASE)
    folder = args.work / args.name
    folder.mkdir(parents=True, exist_ok=True)
    poses = [cached(base, sources.told, args.work / f"latents_{pose}.pt", pose) for pose in POSES]
    real_latents = cached(base, sources.photographs, folder / "latents.pt", 0)
    net = adapters.make_controlnet(base.unet, len(control.BANDS))
    start(net, training.read_checkpoint(args.work / "small_control")["ema"])

    def loss_at(step: int) -> tuple[Tensor, dict[str, float]]:
        rng, generator = training.step_draws(args.seed, step)
        rows, real_rows = coarse.draw_batch(args, sources, rng)
        at = step % len(POSES)
        poses_now = {"pose": POSES[at], "real_pose": 0}
        _, bands = coarse.bands_of(sources, rows, real_rows, **poses_now, generator=generator)
        captions = [sources.told.captions[i] for i in rows.tolist()]
        captions += [rng.choice(sources.photographs.captions[i]) for i in real_rows.tolist()]
        captions = ["" if rng.random() < EMPTY_SHARE else caption for caption in captions]
        x0 = torch.cat([poses[at][rows], real_latents[real_rows]]).float()
        x_t, t, v = base.noise(x0, generator)
        context, maps = base.encode_captions(captions), control.maps_from_bands(bands)
        # in single precision: half is slower for networks this small on a CPU
        return base.loss(adapters.steer(base.unet, net, x_t, t, context, maps), v, t)

    evaluate = evaluation(base, held)
    budget = training.budget_of(args, decay_share=0.3, save_every=120.0, warmup=50)
    averaged = training.fit(net, loss_at, folder=folder, budget=budget, evaluate=evaluate)
    config = dict(averaged.config)
    training.write_metrics(folder, coarse.record(args, held), evaluate(averaged), config=config)


@torch.no_grad()
def start(net: torch.nn.Module, known: dict[str, Tensor]) -> None:
    """Begin as the ControlNet that reads maps, but for the kernel that is of other channels."""
    for name, weights in net.state_dict().items():
        if weights.shape == known[name].shape:
            weights.copy_(known[name])


def evaluation(base: adapters.Base, held: coarse.Sources):
    """Prepare held-out images: how well v is predicted with bands, without, and with others'."""
    tests = coarse.held_bands(held, NUM_HELD)
    latents = {name: base.encode_images(images.float()) for name, (images, _) in tests.items()}

    @torch.no_grad()
    def evaluate(net: torch.nn.Module) -> dict[str, float]:
        numbers = {}
        context = base.encode_captions([""]).expand(NUM_HELD, -1, -1)
        for name, (_, bands) in tests.items():
            _, generator = training.step_draws(99, 0)
            x_t, t, v = base.noise(latents[name], generator)
            for what, told in (("", bands), (" of another image", bands.roll(1, 0))):
                maps = control.maps_from_bands(told)
                v_pred = adapters.steer(base.unet, net, x_t, t, context, maps)
                numbers[f"v error, {name}{what}"] = base.loss(v_pred, v, t)[1]["v_error"]
            v_pred = base.unet(x_t, t, encoder_hidden_states=context).sample
            numbers[f"v error, {name}, not told"] = base.loss(v_pred, v, t)[1]["v_error"]
        return numbers

    return evaluate


def write(folder: Path, state: dict[str, Tensor], config: dict) -> None:
    """Write the ControlNet as diffusers does, in half precision."""
    from diffusers import ControlNetModel

    known = {key: value for key, value in config.items() if not key.startswith("_")}
    net = ControlNetModel(**known).half()
    net.load_state_dict(training.halved(state))
    net.save_pretrained(folder)


def card(name: str, metrics: dict, millions: float) -> str:
    """Compose the card."""
    header = ("held out, without a sentence", "squared error of v")
    return cards.card("small_superres", metrics, header=header, name=name, millions=millions)


def main(argv: Sequence[str] | None = None) -> None:
    """Train, then write the folder."""
    training.run_script(parse(argv), train, lambda args: training.export_run(args, write, card))


if __name__ == "__main__":
    main()
