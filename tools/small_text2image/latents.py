"""Latents of all that is trained on, computed once, and what is said of them."""

import argparse
import hashlib
import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load, save
from torch import Tensor
from transformers import AddedToken, CLIPTokenizer

import mini_earth
from course_utils.runtime import read_sealed, sweep, write_sealed
from tools import training
from tools.small_text2image.networks import MAX_TOKENS, SIZE
from tools.training import Captioned
from tools.training.looks import LOOKS, find_looks

LONG_SHARE, EMPTY_SHARE, LEVEL_SHARE = 0.5, 0.1, 0.5  # of the captions
WEIGHTS = {"ucmerced": 0.35, "eurosat": 2.0, "mini_earth": 0.65}  # of the sources in a batch
COPIES = {"ucmerced": 24, "eurosat": 4, "mini_earth": 2}  # views of each image
tokenize = partial(training.tokenize, max_length=MAX_TOKENS)


def shares_of(sources: Sequence[Captioned], batch: int) -> list[int]:
    """Share a batch among the sources."""
    shares = np.array([WEIGHTS[data.source] for data in sources])
    numbers = np.round(batch * shares / shares.sum()).astype(int)
    numbers[-1] += batch - numbers.sum()
    return [int(number) for number in numbers]


def views_of(data: Captioned, rows: Tensor, generator: torch.Generator) -> training.Views:
    """Draw views; only of more pixels than 64 are there crops, which must not be blurrier."""
    scale = (0.45, 1.0) if data.images.shape[-1] > SIZE else (1.0, 1.0)
    return training.random_views(data.images[rows], generator, scale=scale)


@dataclass(frozen=True)
class Latents:
    """Latents of turned and cropped views, and what may be said of each."""

    data: Captioned
    latents: Tensor  # half precision, n c h w
    rows: np.ndarray  # int, n: of ``data``
    meters: np.ndarray  # per pixel as shown, n
    turns: np.ndarray  # int, n: quarter turns, counterclockwise
    is_mirrored: np.ndarray  # bool, n
    looks: tuple[tuple[mini_earth.Sight, ...], ...]  # measured on the view; () of a render

    def caption(self, i: int, rng: np.random.Generator) -> str:
        """Say something of view ``i``: in half of all cases much, in a tenth nothing."""
        row, luck = int(self.rows[i]), rng.random()
        if luck < EMPTY_SHARE:
            return ""
        said = training.compose_caption(self.data, row, rng, sentence_share=0.3)
        if luck < EMPTY_SHARE + LONG_SHARE:
            way = {"quarter_turns": int(self.turns[i]), "is_mirrored": bool(self.is_mirrored[i])}
            sights = self.looks[i] or [sight.turned(**way) for sight in self.data.sights[row]]
            said = mini_earth.long_caption(said.removesuffix("."), sights, rng)
        if rng.random() < LEVEL_SHARE:
            said = f"{training.google_level(float(self.meters[i]))}_GOOGLE_LEVEL_{said}"
        return said


def training_caches(
    args: argparse.Namespace, sources: Sequence[Captioned], vae: AutoencoderKL
) -> list[Latents]:
    """Cache the latents of all training sources, of few images in more views."""
    return [cache_latents(d, vae, copies=COPIES[d.source], work=args.work) for d in sources]


def cache_latents(data: Captioned, vae: AutoencoderKL, *, copies: int, work: Path) -> Latents:
    """Encode turned, mirrored and cropped views once, into a file in ``work``."""
    digest = hashlib.sha256(data.images.numpy().tobytes())
    for part in (vae.encoder, vae.quant_conv):
        for value in part.state_dict().values():
            digest.update(value.cpu().numpy().tobytes())
    digest.update(LOOKS)
    path = work / f"latents_{data.source}_{copies}_{digest.hexdigest()[:12]}.safetensors"
    sweep(work)
    content = read_sealed(path)
    if content is None:
        training.say(f"encoding {copies} x {len(data)} images of {data.source}")
        content = _encode_views(data, vae, copies)
        write_sealed(path, content)
    tensors = load(content)
    looks = json.loads(bytes(tensors["looks"].numpy()))
    arrays = {name: tensors[name].numpy() for name in ("rows", "meters", "turns", "is_mirrored")}
    looks = tuple(tuple(mini_earth.Sight(*look) for look in one) for one in looks)
    return Latents(data=data, latents=tensors["latents"], looks=looks, **arrays)


@torch.no_grad()
def _encode_views(data: Captioned, vae: AutoencoderKL, copies: int) -> bytes:
    """Draw views of every image, encode them, and look at those of photographs."""
    generator, columns, looks = torch.Generator().manual_seed(7), [], []
    for chosen in torch.arange(len(data)).repeat(copies).split(128):
        views = views_of(data, chosen, generator)
        with training.autocast(vae.device):
            means = vae.encode(2 * views.images.to(vae.device) - 1).latent_dist.mean
        meters = torch.from_numpy(data.meters_per_pixel).float()[chosen]
        meters = meters * views.side * data.images.shape[-1] / SIZE
        columns.append((means.half().cpu(), chosen, meters, views.quarter_turns, views.is_mirrored))
        for image in views.images.permute(0, 2, 3, 1).numpy():
            found = () if data.sights else find_looks(image)
            looks.append([astuple(look) for look in found])
    names = ("latents", "rows", "meters", "turns", "is_mirrored")
    columns = dict(zip(names, zip(*columns, strict=True), strict=True))
    tensors = {name: torch.cat(parts).contiguous() for name, parts in columns.items()}
    if not tensors["latents"].isfinite().all():
        raise RuntimeError(f"the autoencoder gives latents of {data.source} that are no numbers")
    tensors["looks"] = torch.frombuffer(bytearray(json.dumps(looks).encode()), dtype=torch.uint8)
    return save(tensors)


class Batches:
    """Draw latents and token ids by step: classes evenly, captions in several forms."""

    def __init__(self, caches: list[Latents], tokenizer: CLIPTokenizer, args) -> None:
        self.caches, self.tokenizer, self.args = caches, tokenizer, args
        self.counts = shares_of([cache.data for cache in caches], args.batch)
        self.by_class = []
        for cache in caches:
            labels = np.array(cache.data.labels)[cache.rows]
            self.by_class.append([np.flatnonzero(labels == name) for name in sorted(set(labels))])

    def __call__(self, step: int) -> tuple[Tensor, Tensor, torch.Generator]:
        """Return latents, token ids, and the step's generator for what else it draws."""
        rng, generator = training.step_draws(self.args.seed, step)
        latents, captions = [], []
        for cache, count, classes in zip(self.caches, self.counts, self.by_class, strict=True):
            some = [classes[k] for k in rng.integers(len(classes), size=count)]
            chosen = [int(views[rng.integers(len(views))]) for views in some]
            latents.append(cache.latents[torch.tensor(chosen)].float())
            captions += [cache.caption(i, rng) for i in chosen]
        return torch.cat(latents), tokenize(self.tokenizer, captions), generator


def sample_captions(caches: Sequence[Latents], num: int = 6000) -> list[str]:
    """Draw captions of every source, for a vocabulary."""
    rng = np.random.default_rng(0)
    picks = [(cache, int(i)) for cache in caches for i in rng.integers(len(cache.rows), size=num)]
    return [cache.caption(i, rng) for cache, i in picks]


def read_tokenizer(args: argparse.Namespace, texts: Sequence[str] = ()) -> CLIPTokenizer:
    """Read or train the tokenizer of both variants; each zoom level is one token of its own."""
    tokenizer = training.tokenizer_in(args.work / "tokenizer", texts, max_length=MAX_TOKENS)
    levels = [AddedToken(f"{n}_GOOGLE_LEVEL_", normalized=False) for n in range(10, 19)]
    tokenizer.add_tokens(levels)
    return tokenizer
