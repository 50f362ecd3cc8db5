"""Train the small masked autoencoder that ships with the course, and write its folder.

    python -m tools.train_small_mae --data DATA --work WORK --minutes 62
    python -m tools.train_small_mae --data DATA --work WORK --export

It sees three quarters of a tile's patches covered and learns to draw them, on UC Merced and on
renders of ``mini_earth`` in the training styles; it refuses EuroSAT and the lab's test style. A
killed run goes on where it was when the same command is given again.

Source:
    He et al. 2022, Masked Autoencoders Are Scalable Vision Learners (arXiv:2111.06377).
"""

import argparse
import copy
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator
from torch import Tensor
from transformers import ViTImageProcessor, ViTMAEConfig, ViTMAEForPreTraining

from tools import training
from tools.training import MEAN, STD, Captioned, cards, normalized, options, whole_images

SIZE, PATCH = 64, 8
NUM_PATCHES = (SIZE // PATCH) ** 2


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    settings = {"name": "small_mae", "minutes": 62.0, "batch": 128, "renders": 24_000}
    parser = training.make_parser(__doc__, [*options.SHIPPED, "real_share"], **settings)
    both = {"type": int, "nargs": 2, "help": "of encoder and decoder"}
    parser.add_argument("--layers", default=[6, 3], **both)
    parser.add_argument("--width", default=[192, 128], **both)
    return parser.parse_args(argv)


def model_config(args: argparse.Namespace) -> dict:
    """Describe encoder and decoder as ``config.json`` does; heads are 32 wide."""
    (layers, decoder_layers), (width, decoder_width) = args.layers, args.width
    return {
        "image_size": SIZE,
        "patch_size": PATCH,
        "mask_ratio": 0.75,
        "norm_pix_loss": False,  # so that what it draws is a picture
        "num_hidden_layers": layers,
        "hidden_size": width,
        "num_attention_heads": width // 32,
        "intermediate_size": 4 * width,
        "decoder_num_hidden_layers": decoder_layers,
        "decoder_hidden_size": decoder_width,
        "decoder_num_attention_heads": decoder_width // 32,
        "decoder_intermediate_size": 4 * decoder_width,
    }


def build(config: dict, device: torch.device, seed: int) -> ViTMAEForPreTraining:
    """Make the network; transformers 5 leaves its fixed places and its mask token at zero."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = ViTMAEForPreTraining(ViTMAEConfig(**config))
        torch.nn.init.normal_(net.vit.embeddings.cls_token, std=0.02)
        torch.nn.init.normal_(net.decoder.mask_token, std=0.02)
    for places in (net.vit.embeddings.position_embeddings, net.decoder.decoder_pos_embed):
        places.data[0, 1:] = sine_places(SIZE // PATCH, places.shape[-1])
    return net.to(device)


def sine_places(side: int, width: int) -> Tensor:
    """Give each cell of a square grid the sines and cosines of its column and row (n d)."""
    frequency = 10_000.0 ** -(torch.arange(width // 4) / (width // 4))
    angle = torch.arange(side)[:, None] * frequency
    along = torch.cat([angle.sin(), angle.cos()], dim=1)
    return torch.cat([along.repeat(side, 1), along.repeat_interleave(side, dim=0)], dim=1)


def mask_noise(num: int, seed: int) -> Tensor:
    """Draw what decides the masks: of each image the quarter with the lowest numbers is seen."""
    return torch.rand(num, NUM_PATCHES, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def draw_again(net: ViTMAEForPreTraining, images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Return what the network draws for all patches, in [0, 1], and the mask of pixels (n 1 h w).

    Images are in [0, 1], the noise is that of ``mask_noise``.
    """
    out = net(normalized(images), noise=noise)
    drawn = (net.unpatchify(out.logits) * STD + MEAN).clamp(0, 1)
    return drawn, pixel_mask(out.mask)


def pixel_mask(mask: Tensor) -> Tensor:
    """Spread a mask of patches (n 64, 1 is hidden) over their pixels (n 1 h w)."""
    grid = mask.unflatten(1, (1, SIZE // PATCH, -1))
    return grid.repeat_interleave(PATCH, dim=2).repeat_interleave(PATCH, dim=3)


def masked_error(drawn: Tensor, images: Tensor, mask: Tensor) -> float:
    """Average the squared error over the pixels and colors under the mask, in [0, 1] units."""
    return float(((drawn - images) ** 2 * mask).sum() / (mask.sum() * images.shape[1]))


def mean_fill(images: Tensor, mask: Tensor) -> Tensor:
    """Fill each image with the mean color of what is seen of it."""
    seen = 1 - mask
    color = (images * seen).sum(dim=(2, 3), keepdim=True) / seen.sum(dim=(2, 3), keepdim=True)
    return color.expand_as(images)


def interpolated_fill(images: Tensor, mask: Tensor) -> Tensor:
    """Fill each image linearly between the seen pixels, beyond them with the nearest one."""
    filled = images.clone()
    for image, hidden, out in zip(images, mask[:, 0] > 0, filled, strict=True):
        seen, wanted = (~hidden).nonzero().numpy(), hidden.nonzero().numpy()
        colors = image[:, ~hidden].T.numpy()
        values = LinearNDInterpolator(seen, colors)(wanted)
        outside = np.isnan(values[:, 0])
        if outside.any():
            values[outside] = NearestNDInterpolator(seen, colors)(wanted[outside])
        out[:, hidden] = torch.from_numpy(values.T).float()
    return filled


FILLS = {"mean color": mean_fill, "interpolation": interpolated_fill}


class Judge:
    """Measure a network on fixed masks of the validation parts, beside two fills by hand."""

    def __init__(self, held: Sequence[Captioned]) -> None:
        self.parts, self.fills = {}, {}
        for data in held:
            images, noise = whole_images(data.images), mask_noise(len(data), seed=3)
            mask = pixel_mask((noise.argsort(dim=1).argsort(dim=1) >= NUM_PATCHES // 4).float())
            self.parts[data.source] = (images, noise)
            self.fills[data.source] = {
                f"{data.source}, {name}": masked_error(fill(images, mask), images, mask)
                for name, fill in FILLS.items()
            }

    def __call__(self, net: ViTMAEForPreTraining) -> dict[str, float]:
        """Return the squared error under the masks, of the network and of the fills."""
        numbers = {}
        for source, (images, noise) in self.parts.items():
            pairs = zip(images.split(128), noise.split(128), strict=True)
            found = zip(*(draw_again(net, *pair) for pair in pairs), strict=True)
            drawn, mask = map(torch.cat, found)
            numbers[f"{source}, small_mae"] = masked_error(drawn, images, mask)
            numbers |= self.fills[source]
        return numbers


def train(args: argparse.Namespace) -> None:
    """Train until the budget is used, measure, and leave ``metrics.json`` in the work folder."""
    device, folder = training.training_device(args), args.work / args.name
    sources, held = training.load_sources(args)
    config, judge = model_config(args), Judge(held)
    net = build(config, device, args.seed)

    def loss_at(step: int) -> tuple[Tensor, dict[str, float]]:
        rng, generator = training.step_draws(args.seed, step)
        drawn = training.draw_rows(sources, rng, batch=args.batch, real_share=args.real_share)
        images = torch.cat([training.light_views(*some, generator) for some in drawn])
        noise = torch.rand(len(images), NUM_PATCHES, generator=generator)
        with training.autocast(device):
            loss = net(normalized(images).to(device), noise=noise.to(device)).loss
        return loss, {}

    def evaluate(averaged: ViTMAEForPreTraining) -> dict[str, float]:
        return judge(copy.deepcopy(averaged).cpu())

    budget = training.budget_of(args, weight_decay=0.05)
    averaged = training.fit(net, loss_at, folder=folder, budget=budget, evaluate=evaluate)
    record = training.run_record(args, held)
    training.write_metrics(folder, record, evaluate(averaged), config=config)


def write_transformers(folder: Path, state: dict[str, Tensor], config: dict) -> None:
    """Write what transformers reads of a model's folder; weights in half precision."""
    net = build(config, torch.device("cpu"), seed=0)
    net.save_pretrained(folder, state_dict=training.halved(state))
    size, colors = {"height": SIZE, "width": SIZE}, {"image_mean": [MEAN] * 3}
    processor = ViTImageProcessor(size=size, image_std=[STD] * 3, **colors)
    processor.save_pretrained(folder)


def card(name: str, metrics: dict, millions: float) -> str:
    """Compose the model card."""
    numbers = metrics["validation"]
    verdicts = [f"- {verdict(name, numbers)}" for name in metrics["provenance"]["num_validation"]]
    fields = {"name": name, "millions": millions, "config": metrics["config"]}
    fields |= {"mean": MEAN, "std": STD, "verdicts": "\n".join(verdicts)}
    header = ("validation", "squared error")
    fields["table"] = cards.table({key: f"{value:.4f}" for key, value in numbers.items()}, header)
    return cards.card("small_mae", metrics, header=header, **fields)


def verdict(source: str, numbers: dict[str, float]) -> str:
    """Say in words whether the network is better than both fills on a source."""
    own = numbers[f"{source}, small_mae"]
    fills = min(numbers[f"{source}, {name}"] for name in FILLS)
    said = "it draws better than both fills" if own < fills else "it does not beat the better fill"
    return f"{source}: {said}, with {own / fills:.2f} of that one's error."


def main(argv: Sequence[str] | None = None) -> None:
    """Train, then write the folder; or only write it."""
    export = partial(training.export_run, write=write_transformers, card=card)
    training.run_script(parse(argv), train, export)


if __name__ == "__main__":
    main()
