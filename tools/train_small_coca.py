"""Train the small captioner that ships with the course, and write its folder.

    python -m tools.train_small_coca --data DATA --work WORK --minutes 66
    python -m tools.train_small_coca --data DATA --work WORK --export

It learns to say what renders of ``mini_earth`` in the training styles show, in the world's own
sentences, and what UC Merced's photographs show, in this script's: the sentences of UCM-captions
may not be reproduced, which is what a captioner does, so that it never sees them. It refuses
EuroSAT and the lab's test style. A killed run goes on where it was when the same command is given
again.

Source:
    Yu et al. 2022, CoCa: Contrastive Captioners Are Image-Text Foundation Models
    (arXiv:2205.01917), equation 4; both losses weighted as there, 1 and 2.
"""

import argparse
import copy
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from open_clip.coca_model import CoCa
from torch import Tensor
from transformers import CLIPTokenizer

import mini_earth
from tools import training
from tools.train_small_clip import same_ground, unified_contrast, write_open_clip
from tools.training import MEAN, STD, Captioned, cards, normalized, options, tokenize, whole_images

CONTEXT_LENGTH = 24
PAD = "!"  # id 0, as in CLIP's vocabulary; no caption holds one
FRAMES = ("{}", "an aerial photo of {}", "an aerial image of {}", "{} seen from above")
CAPTION_WEIGHT = 2.0


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    settings = {"name": "small_coca", "minutes": 66.0, "batch": 64, "renders": 24_000}
    names = [*options.SHIPPED, "real_share"]
    parser = training.make_parser(__doc__, names, real_share=0.2, **settings)
    add = parser.add_argument
    add("--layers", type=int, nargs=3, default=[4, 2, 2], help="of image tower, text, decoder")
    add("--width", type=int, nargs=2, default=[192, 128], help="of the image tower, of the text")
    return parser.parse_args(argv)


def model_config(args: argparse.Namespace, vocab_size: int) -> dict:
    """Describe the three parts as ``open_clip_config.json`` does; heads are 64 wide."""
    (layers, text_layers, decoder_layers), (width, text_width) = args.layers, args.width
    text = {
        "context_length": CONTEXT_LENGTH,
        "vocab_size": vocab_size,
        "width": text_width,
        "heads": text_width // 64,
    }
    return {
        "embed_dim": text_width,  # the decoder looks at image tokens of its own width
        "vision_cfg": {
            "image_size": 64,
            "patch_size": 8,
            "layers": layers,
            "width": width,
            "head_width": 64,
            "attentional_pool": True,
            "attn_pooler_queries": 33,  # one for the contrast, the others for the decoder
            "attn_pooler_heads": text_width // 64,
            "output_tokens": True,
        },
        "text_cfg": text
        | {
            "layers": text_layers,
            "embed_cls": True,
            "output_tokens": True,
            "hf_tokenizer_name": ".",  # open_clip reads the tokenizer of the model's own folder
        },
        "multimodal_cfg": text | {"layers": decoder_layers},
        "custom_text": True,
    }


def build(config: dict, device: torch.device, seed: int) -> CoCa:
    """Make the network; open_clip 3 leaves the decoder's last matrix as memory was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = CoCa(**{key: value for key, value in config.items() if key != "custom_text"})
        last = net.text_decoder.text_projection
        torch.nn.init.normal_(last, std=last.shape[0] ** -0.5)
    return net.to(device)


def without_foreign_sentences(data: Captioned) -> Captioned:
    """Say of real photographs only what this script says: class phrases in its own frames."""
    if data.source == "mini_earth":
        return data
    said = {
        label: tuple(frame.format(phrase) for phrase in data.phrases[label] for frame in FRAMES)
        for label in set(data.labels)
    }
    return replace(data, sentences=tuple(said[label] for label in data.labels))


def say_of(data: Captioned, row: int, rng: np.random.Generator) -> str:
    """Draw one of an image's sentences."""
    return data.sentences[row][rng.integers(len(data.sentences[row]))]


def losses(net: CoCa, images: Tensor, tokens: Tensor, positives: Tensor) -> tuple[Tensor, Tensor]:
    """Return (contrast, caption): captions of the same ground are positives of each other."""
    out = net(images, tokens)
    scores = out["image_features"].float() @ out["text_features"].float().T
    contrast = unified_contrast(out["logit_scale"].float() * scores, positives)
    return contrast, caption_loss(out["logits"], out["labels"])


def caption_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Average the cross-entropy of the next token over the tokens that are no padding."""
    return F.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), ignore_index=0)


@torch.no_grad()
def caption_greedily(net: CoCa, tokenizer: CLIPTokenizer, images: Tensor) -> list[str]:
    """Say what images in [0, 1] show: from the start token on always the likeliest next token."""
    pixels = normalized(images)
    seen = net(pixels)
    known = {"image_latent": seen["image_features"], "image_embs": seen["image_embs"]}
    ids = torch.full((len(images), 1), tokenizer.bos_token_id)
    while ids.shape[1] < CONTEXT_LENGTH and not (ids == tokenizer.eos_token_id).any(dim=1).all():
        logits = net(pixels, ids, **known, output_labels=False)["logits"]
        ids = torch.cat([ids, logits[:, -1:].argmax(dim=-1)], dim=1)
    ended = (ids == tokenizer.eos_token_id).cumsum(dim=1) > 0
    return [tokenizer.decode(row[~after][1:]) for row, after in zip(ids, ended, strict=True)]


def names(said: str, phrases: Sequence[str]) -> bool:
    """Tell whether a caption holds one of a class's phrases, without its article, as words."""
    bare = (phrase.removeprefix("an ").removeprefix("a ") for phrase in phrases)
    return any(re.search(rf"\b{re.escape(phrase)}\b", said) for phrase in bare)


def named_share(said: Sequence[str], labels: Sequence[str], phrases: dict) -> float:
    """Return the share of captions that name the class of their image."""
    return float(np.mean([names(s, phrases[k]) for s, k in zip(said, labels, strict=True)]))


@torch.no_grad()
def perplexity(net: CoCa, tokenizer: CLIPTokenizer, data: Captioned, order: Tensor) -> float:
    """Return the perplexity of each image's first sentence given the image ``order`` puts there."""
    images, total, count = whole_images(data.images)[order], 0.0, 0
    tokens = tokenize(tokenizer, [row[0] for row in data.sentences])
    for pixels, part in zip(images.split(128), tokens.split(128), strict=True):
        out = net(normalized(pixels), part)
        num = int((out["labels"] != 0).sum())
        total, count = total + float(caption_loss(out["logits"], out["labels"])) * num, count + num
    return math.exp(total / count)


def measure(
    net: CoCa, tokenizer: CLIPTokenizer, held: Sequence[Captioned], known: set[str]
) -> dict[str, float]:
    """Measure captions of parts held aside, and what is left of it with shuffled images.

    ``known`` are the captions that it was trained on, without spaces.
    """
    numbers = {}
    for data in held:
        images, rng = whole_images(data.images), np.random.default_rng(5)
        said = [s for part in images.split(256) for s in caption_greedily(net, tokenizer, part)]
        labels = np.array(data.labels)
        is_event = np.isin(labels, mini_earth.DISASTERS)
        for what, rows in (("scenes", ~is_event), ("disasters", is_event)):
            if not rows.any():
                continue
            here, key = list(np.array(said)[rows]), f"{data.source} {what}: class named"
            numbers[key] = named_share(here, labels[rows], data.phrases)
            others = [rng.permutation(labels[rows]) for _ in range(20)]
            shares = [named_share(here, other, data.phrases) for other in others]
            numbers[f"{key}, images shuffled"] = float(np.mean(shares))
        straight, shuffled = torch.arange(len(data)), torch.from_numpy(rng.permutation(len(data)))
        key = f"{data.source}: perplexity"
        numbers[key] = perplexity(net, tokenizer, data, straight)
        numbers[f"{key}, images shuffled"] = perplexity(net, tokenizer, data, shuffled)
        in_training = np.mean([s.replace(" ", "") in known for s in said])
        numbers[f"{data.source}: verbatim in training"] = float(in_training)
    return numbers


def train(args: argparse.Namespace) -> None:
    """Train until the budget is used, measure, and leave ``metrics.json`` in the work folder."""
    device, folder = training.training_device(args), args.work / args.name
    parts = training.load_sources(args)
    sources, held = ([without_foreign_sentences(data) for data in part] for part in parts)
    texts = sorted({s for data in sources for row in data.sentences for s in row})
    known = {text.replace(" ", "") for text in texts}
    sizes = {"max_length": CONTEXT_LENGTH, "pad_token": PAD}
    tokenizer = training.tokenizer_in(folder / "tokenizer", texts, **sizes)
    config = model_config(args, len(tokenizer))
    net = build(config, device, args.seed)
    draw = partial(training.draw_pairs, look=training.light_views, say_of=say_of)

    def loss_at(step: int) -> tuple[Tensor, dict[str, float]]:
        images, captions, labels = draw(args, sources, step)
        net.logit_scale.data.clamp_(0, math.log(100))
        pixels, tokens = normalized(images), tokenize(tokenizer, captions)
        inputs = (part.to(device) for part in (pixels, tokens, same_ground(labels, captions)))
        with training.autocast(device):
            contrast, caption = losses(net, *inputs)
        numbers = {"contrast": contrast.item(), "caption": caption.item()}
        return contrast + CAPTION_WEIGHT * caption, numbers

    def evaluate(averaged: CoCa, every: int = 4) -> dict[str, float]:
        some = [data.take(range(0, len(data), every)) for data in held]
        return measure(copy.deepcopy(averaged).cpu(), tokenizer, some, known)

    budget = training.budget_of(args, weight_decay=0.05)
    averaged = training.fit(net, loss_at, folder=folder, budget=budget, evaluate=evaluate)
    record = training.run_record(args, held)
    training.write_metrics(folder, record, evaluate(averaged, every=1), config=config)


def card(name: str, metrics: dict, millions: float) -> str:
    """Compose the model card."""
    parts = {"vision": "vision", "text": "text", "decoder": "multimodal"}
    fields = {part: metrics["config"][f"{key}_cfg"] for part, key in parts.items()}
    fields |= {"pooled": fields["vision"]["attn_pooler_queries"] - 1, "num_frames": len(FRAMES)}
    fields |= {"mean": MEAN, "std": STD, "caption_weight": CAPTION_WEIGHT}
    fields |= {"name": name, "millions": millions, "header": ("validation", "value")}
    return cards.card("small_coca", metrics, **fields)


def main(argv: Sequence[str] | None = None) -> None:
    """Train, then write the folder; or only write it."""
    export = partial(training.export_run, write=write_open_clip, card=card)
    training.run_script(parse(argv), train, export)


if __name__ == "__main__":
    main()
