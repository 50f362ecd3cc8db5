"""Train the small CLIP that ships with the course, and write its folder.

    python -m tools.train_small_clip --data DATA --work WORK --minutes 36
    python -m tools.train_small_clip --data DATA --work WORK --export

It learns from UC Merced with its captions and from renders of ``mini_earth`` in the training
styles; it refuses EuroSAT and the lab's test style, which it is measured on. A killed run goes on
where it was when the same command is given again.

Source:
    Radford et al. 2021 (arXiv:2103.00020); label-aware positives after Yang et al. 2022, UniCL
    (arXiv:2204.03610), equation 3.
"""

import argparse
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from open_clip.model import CLIP
from safetensors.torch import save
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from transformers import CLIPTokenizer

import mini_earth
from course_utils.runtime import write_atomically
from tools import training
from tools.training import MEAN, STD, Captioned, cards, options, tokenize

CONTEXT_LENGTH = 40
EVAL_TEMPLATES = (
    "a satellite photo of {}.",
    "a centered satellite photo of {}.",
    "a remote sensing image of {}.",
    "satellite imagery of {}.",
    "aerial imagery of {}.",
    "an aerial image of {}.",
)


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    settings = {"name": "small_clip", "minutes": 36.0, "batch": 128, "renders": 24_000}
    parser = training.make_parser(__doc__, [*options.SHIPPED, "real_share"], **settings)
    parser.add_argument("--layers", type=int, nargs=4, default=[2, 2, 3, 1])
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--embed-dim", type=int, default=192)
    return parser.parse_args(argv)


def model_config(args: argparse.Namespace, vocab_size: int) -> dict:
    """Describe the two towers as ``open_clip_config.json`` does."""
    return {
        "embed_dim": args.embed_dim,
        "vision_cfg": {
            "image_size": 64,
            "layers": list(args.layers),
            "width": args.width,
            "head_width": 64,
        },
        "text_cfg": {
            "context_length": CONTEXT_LENGTH,
            "vocab_size": vocab_size,
            "hf_tokenizer_name": ".",  # open_clip reads the tokenizer of the model's own folder
            "width": 128,
            "heads": 4,
            "layers": 3,
        },
    }


def build(config: dict, device: torch.device, seed: int) -> nn.Module:
    """Make the network, its image tower in the memory order that convolutions like."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = CLIP(**config)
    net.visual.to(memory_format=torch.channels_last)
    return net.to(device)


def augmented(data: Captioned, rows: np.ndarray, generator: torch.Generator) -> Tensor:
    """Draw views of some rows; renders already vary in scale, and a disaster may be local."""
    scale = (0.45, 1.0) if data.source == "mini_earth" else (0.25, 1.0)
    images = data.images[torch.from_numpy(rows)]
    views = training.random_views(images, generator, scale=scale).images
    views = training.soften(views, generator, share=0.35)
    views = training.jitter_colors(views, generator, strength=1.0)
    return training.drop_colors(views, generator, share=0.08)


def normalized(images: Tensor) -> Tensor:
    """From [0, 1] to what the image tower takes, in the memory order that it likes."""
    return training.normalized(images).contiguous(memory_format=torch.channels_last)


def same_ground(labels: Sequence[str], captions: Sequence[str]) -> Tensor:
    """Say who is a positive of whom (bool, n n): the same class, or the same caption."""
    same = [np.unique(np.array(what), return_inverse=True)[1] for what in (labels, captions)]
    return torch.from_numpy(np.logical_or(*(w[:, None] == w[None, :] for w in same)))


def unified_contrast(logits: Tensor, positives: Tensor) -> Tensor:
    r"""Average the cross-entropy with all positives of a row, over rows and columns.

    $$-\tfrac1n \sum_i \tfrac1{|P(i)|} \sum_{j \in P(i)} \log \mathrm{softmax}(\text{logits}_i)_j$$

    Source:
        Yang et al. 2022 (arXiv:2204.03610), equations 2 to 4.
    """
    targets = positives.float()
    by_row = targets / targets.sum(dim=1, keepdim=True)
    by_column = targets.T / targets.T.sum(dim=1, keepdim=True)
    return (F.cross_entropy(logits, by_row) + F.cross_entropy(logits.T, by_column)) / 2


@torch.no_grad()
def image_features(net: nn.Module, data: Captioned, device: torch.device) -> Tensor:
    """Encode whole images at 64 pixels, unit rows."""
    rows = []
    for images in data.images.split(128):
        pixels = normalized(training.whole_images(images.to(device)))
        rows.append(net.encode_image(pixels, normalize=True).float().cpu())
    return torch.cat(rows)


@torch.no_grad()
def class_weights(
    net: nn.Module, tokenizer: CLIPTokenizer, phrases: Sequence[str], device: torch.device
) -> Tensor:
    """Average the text features of the templates, one unit row a phrase."""
    texts = [template.format(phrase) for phrase in phrases for template in EVAL_TEMPLATES]
    features = net.encode_text(tokenize(tokenizer, texts).to(device), normalize=True).float().cpu()
    return F.normalize(features.unflatten(0, (len(phrases), -1)).mean(dim=1), dim=-1)


def probe(features: Tensor, labels: Sequence[str], *, shots: int, draws: int = 5) -> float:
    """Average the accuracy of logistic regression on ``shots`` images a class, on the rest."""
    names = np.array(labels)
    scores = []
    for draw in range(draws):
        rng = np.random.default_rng([draw, shots])
        order = rng.permutation(len(names))
        chosen = np.concatenate([order[names[order] == k][:shots] for k in np.unique(names)])
        rest = np.setdiff1d(order, chosen)
        head = LogisticRegression(C=10.0, max_iter=500)
        head.fit(features[chosen].numpy() * 4, names[chosen])
        scores.append(head.score(features[rest].numpy() * 4, names[rest]))
    return float(np.mean(scores))


def measure(
    net: nn.Module, tokenizer: CLIPTokenizer, sources: list[Captioned], device: torch.device
) -> dict[str, float]:
    """Measure zero-shot and few-shot accuracy on the validation parts."""
    numbers: dict[str, float] = {}
    for data in sources:
        features, labels = image_features(net, data, device), np.array(data.labels)
        disasters = [k for k in data.phrases if k in mini_earth.DISASTERS]
        scenes = [k for k in data.phrases if k not in mini_earth.DISASTERS]
        for what, names, shots in (("scenes", scenes, 3), ("disasters", disasters, 16)):
            if not names:
                continue
            rows = np.flatnonzero(np.isin(labels, names))
            phrases = [data.phrases[name][0] for name in names]
            scores = features[rows] @ class_weights(net, tokenizer, phrases, device).T
            guesses = np.array(names)[scores.argmax(dim=1).numpy()]
            numbers[f"{data.source} {what} zero-shot"] = float((guesses == labels[rows]).mean())
            if len(rows) > (shots + 1) * len(names):
                key = f"{data.source} {what} {shots}-shot probe"
                numbers[key] = probe(features[rows], list(labels[rows]), shots=shots)
    return numbers


def train(args: argparse.Namespace) -> None:
    """Train until the budget is used, measure, and leave ``metrics.json`` in the work folder."""
    device, folder = training.training_device(args), args.work / args.name
    sources, held = training.load_sources(args)
    record = training.run_record(args, held)
    texts = [s for data in sources for row in data.sentences for s in row]
    tokenizer = training.tokenizer_in(folder / "tokenizer", texts, max_length=CONTEXT_LENGTH)
    config = model_config(args, len(tokenizer))
    net = build(config, device, args.seed)
    draw = partial(training.draw_pairs, look=augmented, say_of=training.compose_caption)

    def loss_at(step: int) -> tuple[Tensor, dict[str, float]]:
        images, captions, labels = draw(args, sources, step)
        inputs = normalized(images).to(device), tokenize(tokenizer, captions).to(device)
        positives = same_ground(labels, captions).to(device)
        net.logit_scale.data.clamp_(0, math.log(100))
        with training.autocast(device):
            image_rows, text_rows, scale = net(*inputs)
        logits = scale.float() * image_rows.float() @ text_rows.float().T
        matched = positives.gather(1, logits.argmax(dim=1, keepdim=True)).float().mean().item()
        return unified_contrast(logits, positives), {"matched": matched, "scale": scale.item()}

    evaluate = partial(measure, tokenizer=tokenizer, sources=held, device=device)
    budget = training.budget_of(args, weight_decay=0.05)
    averaged = training.fit(net, loss_at, folder=folder, budget=budget, evaluate=evaluate)
    training.write_metrics(folder, record, evaluate(averaged), config=config)


def write_open_clip(folder: Path, state: dict[str, Tensor], config: dict) -> None:
    """Write what open_clip reads of a model's folder; weights in half precision."""
    write_atomically(folder / "open_clip_model.safetensors", save(training.halved(state)))
    preprocess = {
        "size": 64,
        "mean": [MEAN] * 3,
        "std": [STD] * 3,
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    }
    settings = {"model_cfg": config, "preprocess_cfg": preprocess}
    training.write_json(folder / "open_clip_config.json", settings)


def card(name: str, metrics: dict, millions: float) -> str:
    """Compose the model card."""
    vision, text = (metrics["config"][f"{part}_cfg"] for part in ("vision", "text"))
    fields = {"vision": vision, "text": text, "layers": tuple(vision["layers"])}
    fields |= {"name": name, "millions": millions, "header": ("validation", "accuracy")}
    return cards.card("small_clip", metrics, **fields)


def main(argv: Sequence[str] | None = None) -> None:
    """Train, then write the folder; or only write it."""
    export = partial(training.export_run, write=write_open_clip, card=card)
    training.run_script(parse(argv), train, export)


if __name__ == "__main__":
    main()
