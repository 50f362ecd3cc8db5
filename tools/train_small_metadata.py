"""Train the metadata embedding that tells small_text2image seven numbers, and write its folder.

    python -m tools.train_small_metadata --work WORK --minutes 16

What the embedding says is added to the embedding of the step; the generator stays as it ships. The
generator knows zoom levels, clouds and seasons as words, and is the teacher: told numbers, it has
to predict what it predicts when its sentence says them, with a strength that follows the number.
Learning from the renders alone, by the error of v as DiffusionSat does, moved drawings hardly at
all in the one run that was tried, of 594 steps: what numbers say is a hundredth of that error. The
noised images and the records are those of renders of ``mini_earth`` in the training styles. A
killed run goes on where it was when the command is given again.

Source: Khanna et al. 2024 (arXiv:2312.03606), section 3.1: seven numbers, each left out in a tenth
of the cases; Liu et al. 2022 (arXiv:2206.01714), eq. 11, for words with a strength each.
"""

import argparse
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from course_utils import control
from course_utils.diffusion import mix, v_from_x0_eps
from course_utils.runtime import write_atomically
from tools import training
from tools.control import adapters, views
from tools.training import cards

BASE = "small_text2image"
SAID = re.compile(r", (winter|spring|summer|autumn)\b| with snow\b")
EMPTY_SHARE = 0.3  # of the captions: then only the numbers say anything
DROPPED = 0.1  # of each number, and of all seven at once
CLOUDY_SHARE = 0.24  # of a batch drawn from cloudy views alone; with the others, a third is cloudy
CLOUD = 3  # its place in a record
SKY = ", white clouds hide part of it"
CLOUDY = 0.06  # the cloud share that the words mean: that of the median cloudy view
SEASON = 2.0  # weight of the season's words at midsummer; they do little


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    defaults = {"name": "small_metadata", "minutes": 16.0, "learning_rate": 3e-3, "batch": 16}
    return adapters.parse(__doc__, **defaults).parse_args(argv)


# --- What it reads ----------------------------------------------------------------------------


def scaled(told: views.ToldViews) -> Tensor:
    """Scale the records of views as the network reads them, n 7."""
    return control.scale_metadata([control.Metadata(*row) for row in told.metadata.tolist()])


def silent(caption: str) -> str:
    """Take from a caption what it says of the season."""
    return SAID.sub("", caption)


def drop_numbers(rows: Tensor, rng: np.random.Generator) -> Tensor:
    """Leave out numbers, each or all: zeros."""
    dropped = rng.random(rows.shape) < DROPPED
    dropped |= rng.random((len(rows), 1)) < DROPPED
    return rows.masked_fill(torch.from_numpy(dropped), 0.0)


def draw_captions(captions: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Leave some captions empty, and the season out of all."""
    return ["" if rng.random() < EMPTY_SHARE else silent(caption) for caption in captions]


def spoken(
    captions: Sequence[str], rows: Tensor, rng: np.random.Generator
) -> tuple[list[str], Tensor, list[str], Tensor]:
    """Say in words what scaled numbers say; a number that was left out is not said.

    Returns:
        Sentences with a zoom level, drawn between the two nearest; what clouds weigh, n; the same
        sentences with a season; what the season weighs, n.
    """
    found = control.unscale_metadata(rows)
    sized, seasoned, weights = [], [], []
    for caption, record in zip(captions, found, strict=True):
        if record.meters_per_pixel:
            level = 17 - np.log2(record.meters_per_pixel)
            caption = f"{int(level + rng.random())}_GOOGLE_LEVEL_{caption}"
        is_known = record.latitude is not None and record.month is not None
        summer = control.summer_of(record) if is_known else 0.0
        sized.append(caption)
        seasoned.append(f"{caption}, {'summer' if summer > 0 else 'winter'}")
        weights.append(((record.cloud_share or 0.0) / CLOUDY, SEASON * abs(summer)))
    clouds, seasons = torch.tensor(weights).T
    return sized, clouds, seasoned, seasons


def draw_rows(cloudy: Tensor, num: int, rng: np.random.Generator, *, batch: int) -> Tensor:
    """Draw rows of a batch, of which about a third is cloudy."""
    few = round(CLOUDY_SHARE * batch)
    anywhere = torch.from_numpy(rng.integers(num, size=batch - few))
    return torch.cat([anywhere, cloudy[torch.from_numpy(rng.integers(len(cloudy), size=few))]])


# --- Training ---------------------------------------------------------------------------------


@contextmanager
def telling(unet: nn.Module, added: Tensor | float) -> Iterator[None]:
    """Add a vector to the embedding of the step while the denoiser is called."""
    handle = unet.time_embedding.register_forward_hook(lambda net, args, out: out + added)
    try:
        yield
    finally:
        handle.remove()


def noise(
    base: adapters.Base, x0: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw steps, late ones more often, and noise: x_t, t and the v to predict.

    The density of a step is proportional to t, and all errors weigh the same: what the numbers say
    is decided where the noise is strong, and min-SNR weights would fade just that.
    """
    uniform = torch.rand(len(x0), generator=generator)
    t = (uniform.sqrt() * len(base.alpha_bar)).long()
    eps = torch.randn(x0.shape, generator=generator)
    a = base.alpha_bar[t][:, None, None, None]
    scales = a.sqrt(), (1 - a).sqrt()
    return mix(x0, eps, *scales), t, v_from_x0_eps(x0, eps, *scales)


def predict(
    base: adapters.Base, x_t: Tensor, t: Tensor, context: Tensor, added: Tensor | float
) -> Tensor:
    """Predict v, told numbers."""
    with telling(base.unet, added):
        return base.unet(x_t, t, encoder_hidden_states=context).sample


@torch.no_grad()
def teach(
    base: adapters.Base,
    x_t: Tensor,
    t: Tensor,
    *,
    captions: Sequence[str],
    rows: Tensor,
    rng: np.random.Generator,
) -> Tensor:
    r"""Predict what is drawn when the sentence says the numbers.

    $$v + w_\text{cloud}\,(v_\text{cloud} - v) + w_\text{season}\,(v_\text{season} - v)$$

    Here v is told a zoom level, the others a few words more.
    """
    sized, clouds, seasoned, seasons = spoken(captions, rows, rng)
    v = base.unet(x_t, t, encoder_hidden_states=base.encode_captions(sized)).sample
    told = v.clone()
    more = {"season": (seasoned, seasons), "cloud": ([each + SKY for each in sized], clouds)}
    for sentences, weights in more.values():
        some = weights.nonzero()[:, 0]
        if len(some):
            context = base.encode_captions([sentences[i] for i in some])
            there = base.unet(x_t[some], t[some], encoder_hidden_states=context).sample
            told[some] += weights[some, None, None, None] * (there - v[some])
    return told


def build(width: int) -> control.MetadataEmbedding:
    """Make an embedding with weights that are always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return control.MetadataEmbedding(width=width)


def train(args: argparse.Namespace) -> None:
    """Train the embedding; leave its weights in WORK."""
    told, held = views.render_parts(args)
    base = adapters.Base.load(BASE)
    x0 = latents_of(base, told, args.work / "latents_0.pt")
    records = scaled(told)
    cloudy = (told.metadata[:, CLOUD] > 0).nonzero()[:, 0]
    net = build(base.unet.time_embedding.linear_2.out_features)

    def loss_at(step: int) -> tuple[Tensor, dict[str, float]]:
        rng, generator = training.step_draws(args.seed, step)
        rows = draw_rows(cloudy, len(told), rng, batch=args.batch)
        captions = draw_captions([told.captions[i] for i in rows], rng)
        x_t, t, v = noise(base, x0[rows].float(), generator)
        asked = rows.clone()  # half of them are told the record of another view
        asked[::2] = asked[::2].roll(1)
        numbers = drop_numbers(records[asked], rng)
        goal = teach(base, x_t, t, captions=captions, rows=numbers, rng=rng)
        v_pred = predict(base, x_t, t, base.encode_captions(captions), net(numbers))
        loss = (v_pred - goal).square().mean()
        return loss, {"v_error": (v_pred - v).square().mean().item()}

    evaluate = evaluator(base, held)
    budget = training.budget_of(args, decay_share=0.5, save_every=60.0, warmup=20, ema_decay=0.98)
    run = args.work / args.name
    averaged = training.fit(net, loss_at, folder=run, budget=budget)
    names = ("seed", "batch", "learning_rate", "styles", "renders")
    settings = {name: getattr(args, name) for name in names}
    record = training.provenance([], **settings, num_validation={"mini_earth": len(held)})
    config = {"kind": "metadata", "width": averaged.width, "dim": averaged.dim}
    training.write_metrics(run, record, evaluate(averaged), config=config)


def latents_of(base: adapters.Base, told: views.ToldViews, path: Path) -> Tensor:
    """Encode all images, or read the latents back."""
    if not path.is_file():
        torch.save(base.encode_images(told.images.float()).half(), path)
    return torch.load(path, weights_only=True)


def evaluator(base: adapters.Base, held: views.ToldViews, num: int = 48):
    """Make what measures the error of v when it is told the truth, nothing, or what is wrong."""
    cloudy = (held.metadata[:, CLOUD] > 0).nonzero()[:, 0]
    rows = draw_rows(cloudy, len(held), np.random.default_rng(5), batch=num)
    some = held.take(rows)
    x0, records = base.encode_images(some.images.float()), scaled(some)
    captions = [silent(caption) for caption in some.captions]
    context = base.encode_captions(captions)
    x_t, t, v = noise(base, x0, torch.Generator().manual_seed(5))

    goal = teach(base, x_t, t, captions=captions, rows=records, rng=np.random.default_rng(5))
    others = records.roll(1, dims=0)
    asked = {"the truth": records, "nothing": torch.zeros_like(records), "others' numbers": others}
    for name, column in {"m per pixel": 2, "cloud": CLOUD, "month": 5}.items():
        asked[f"another {name}"] = records.clone()
        asked[f"another {name}"][:, column] = others[:, column]

    @torch.no_grad()
    def evaluate(net: nn.Module) -> dict[str, float]:
        said = {f"told {name}": net(rows) for name, rows in asked.items()}
        found = {}
        for name, added in (said | {"no embedding": 0.0}).items():
            v_pred = predict(base, x_t, t, context, added)
            found[f"to the words, {name}"] = (v_pred - goal).square().mean().item()
            found[f"to v, {name}"] = (v_pred - v).square().mean().item()
        found["to v, told by words"] = (goal - v).square().mean().item()
        return found

    return evaluate


# --- What ships -------------------------------------------------------------------------------


def export(args: argparse.Namespace) -> None:
    """Write the folder from the last checkpoint."""

    def write(folder: Path, state: dict[str, Tensor], config: dict) -> None:
        write_atomically(folder / "model.safetensors", save(training.halved(state)))
        training.write_json(folder / "config.json", config)

    def card(name: str, metrics: dict, millions: float) -> str:
        header = ("mean squared distance", "thousandths")
        numbers = {key: round(1000 * value, 2) for key, value in metrics["validation"].items()}
        metrics = metrics | {"validation": numbers}
        return cards.card("small_metadata", metrics, header=header, name=name, millions=millions)

    training.export_run(args, write, card)


def main(argv: Sequence[str] | None = None) -> None:
    """Train, then write the folder."""
    training.run_script(parse(argv), train, export)


if __name__ == "__main__":
    main()
