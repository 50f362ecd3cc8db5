"""Share between the training scripts: data, words, augmentation, and a loop that can be resumed.

Nothing here is part of the course package: authors run it, learners get what it made.
"""

import argparse
import csv
import hashlib
import io
import json
import math
import os
import platform
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import astuple, dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
import torch.nn.functional as F
from PIL import Image
from tokenizers import Tokenizer, models, trainers
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import CLIPTokenizer

import mini_earth
from tools import training_words as words

SHARD = 250  # views rendered and written at a time, so that a killed run loses seconds
EUROSAT_CLASSES = frozenset(words.EUROSAT_PHRASES)


# --- What may be trained on -------------------------------------------------------------------


def refuse_test_style(styles: Sequence[str]) -> tuple[str, ...]:
    """Return ``styles`` if the shipped models may see all of them.

    Raises:
        ValueError: one is the style that the lab tests on, or not a training style at all.
    """
    if wrong := [style for style in styles if style not in mini_earth.TRAIN_STYLES]:
        raise ValueError(
            f"the shipped models must never see {', '.join(wrong)}: the lab tests on it or it is "
            f"unknown; train on {', '.join(mini_earth.TRAIN_STYLES)}"
        )
    if not styles:
        raise ValueError(f"name at least one style of {', '.join(mini_earth.TRAIN_STYLES)}")
    return tuple(styles)


def refuse_eurosat(path: Path) -> None:
    """Raise if a training file is EuroSAT, by its name or by its class names.

    Raises:
        ValueError: it is; only the ``-eurosat`` generator may see it.
    """
    names = set(_class_names(path))
    if "eurosat" in path.name.lower() or len(names & EUROSAT_CLASSES) > 5:
        raise ValueError(
            f"{path.name} is EuroSAT, which this model must never see: it is measured on it; "
            "only small_text2image_eurosat is trained with it"
        )


def _class_names(path: Path) -> list[str]:
    metadata = pq.read_schema(path).metadata or {}
    features = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    return list(features.get("label", {}).get("names", []))


def image_hash(data: bytes) -> int:
    """Name an image file by the first 8 bytes of its SHA-256, as a big-endian number."""
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "big")


def record_seen(files: Sequence[Path], path: Path) -> None:
    """Add every image of these training files to the list of what the models have seen."""
    tables = [pq.read_table(file, columns=["image"])["image"].to_pylist() for file in files]
    seen = {image_hash(image["bytes"]) for table in tables for image in table}
    before = np.load(path) if path.is_file() else np.empty(0, np.uint64)
    buffer = io.BytesIO()
    np.save(buffer, np.union1d(before, np.array(sorted(seen), np.uint64)))
    write_bytes(path, buffer.getvalue())


# --- Captioned images -------------------------------------------------------------------------


@dataclass(frozen=True)
class Captioned:
    """Images of one source and what may be said of each.

    ``labels`` are class names without underscores or spaces, so that the same ground has the same
    name in every source; ``sentences`` are captions, one tuple an image; ``phrases`` are short
    names of a class; ``sights`` are what is known of each image, and empty for photographs.
    """

    source: str
    images: Tensor  # uint8, n c h w
    labels: tuple[str, ...]
    sentences: tuple[tuple[str, ...], ...]
    phrases: dict[str, tuple[str, ...]]
    meters_per_pixel: np.ndarray  # float, n
    sights: tuple[tuple[mini_earth.Sight, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Sequence[int]) -> "Captioned":
        """Keep these rows."""
        index = np.asarray(rows, dtype=np.int64)
        return replace(
            self,
            images=self.images[torch.as_tensor(index)],
            labels=tuple(self.labels[i] for i in index),
            sentences=tuple(self.sentences[i] for i in index),
            meters_per_pixel=self.meters_per_pixel[index],
            sights=tuple(self.sights[i] for i in index) if self.sights else (),
        )


def read_captioned(path: Path, *, size: int, allow_eurosat: bool = False) -> Captioned:
    """Read a training file: ``image`` (bytes), ``label`` (int) and, if it has them, ``captions``.

    Args:
        path: a parquet file.
        size: side in pixels to resize to; UC Merced's 0.3 m are at 256 pixels, EuroSAT's 10 m
            at 64.
        allow_eurosat: only for the generator that stands in for one that has seen the world.

    Raises:
        ValueError: the file is EuroSAT and ``allow_eurosat`` is not set.
    """
    if not allow_eurosat:
        refuse_eurosat(path)
    table = pq.read_table(path)
    names = _class_names(path) or [str(k) for k in range(max(table["label"].to_pylist()) + 1)]
    is_eurosat = len(set(names) & EUROSAT_CLASSES) > 5
    phrases = words.EUROSAT_PHRASES if is_eurosat else words.UC_MERCED_PHRASES
    images = [_decode(cell["bytes"], size) for cell in table["image"].to_pylist()]
    labels = tuple(names[k] for k in table["label"].to_pylist())
    has_captions = "captions" in table.column_names
    rows = table["captions"].to_pylist() if has_captions else [()] * len(labels)
    return Captioned(
        source="eurosat" if is_eurosat else "ucmerced",
        images=torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous(),
        labels=labels,
        sentences=tuple(tuple(s.replace(" .", ".").lower() for s in row) for row in rows),
        phrases={name: phrases.get(name, (name.lower(),)) for name in names},
        meters_per_pixel=np.full(len(labels), 640.0 / size if is_eurosat else 76.8 / size),
    )


def _decode(data: bytes, size: int) -> np.ndarray:
    image = Image.open(io.BytesIO(data)).convert("RGB")
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(image)


def split_last_tenth(data: Captioned) -> tuple[Captioned, Captioned]:
    """Set aside the last tenth by row of each class: (training, validation)."""
    rows: dict[str, list[int]] = {}
    for index, label in enumerate(data.labels):
        rows.setdefault(label, []).append(index)
    held = {i for part in rows.values() for i in part[len(part) - max(1, len(part) // 10) :]}
    keep = [i for i in range(len(data)) if i not in held]
    return data.take(keep), data.take(sorted(held))


def _render_shard(
    path: Path, seed: int, num: int, styles: tuple[str, ...], size: int, disaster_share: float
) -> None:
    stream = mini_earth.sample_views(
        num, styles=styles, seed=seed, size=size, disaster_share=disaster_share
    )
    views = list(stream)
    meta = [
        {
            "label": (view.disaster or view.scene_class).replace("_", ""),
            "captions": view.captions,
            "meters_per_pixel": view.meters_per_pixel,
            "style": view.style,
            "sights": [astuple(sight) for sight in view.sights],
        }
        for view in views
    ]
    buffer = io.BytesIO()
    np.savez(buffer, images=np.stack([view.image for view in views]), meta=json.dumps(meta))
    write_bytes(path, buffer.getvalue())


def render_views(
    num: int,
    *,
    styles: Sequence[str],
    seed: int,
    work: Path,
    size: int = 64,
    processes: int = 2,
    disaster_share: float = 0.5,
) -> Captioned:
    """Render training views into a cache in ``work``, or read them from there.

    Args:
        num: how many.
        styles: keys of the training styles.
        seed: of the stream; shard i of the cache has its own seed derived from it.
        work: folder for caches; never in the repository.
        size: side in pixels.
        processes: rendering at a time; 0 renders in this process.
        disaster_share: share of views after a disaster.

    Raises:
        ValueError: ``styles`` holds the lab's test style.
    """
    styles = refuse_test_style(styles)
    what = (mini_earth.__version__, styles, seed, size, SHARD, disaster_share)
    key = hashlib.sha256(repr(what).encode()).hexdigest()
    folder = work / f"renders_{key[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    jobs = []
    for index in range(-(-num // SHARD)):
        count = min(SHARD, num - index * SHARD)
        path = folder / f"{index:05d}_{count}.npz"
        jobs.append((path, 100_000 * seed + index, count, styles, size, disaster_share))
    todo = [job for job in jobs if not job[0].is_file()]
    if processes and todo:
        say(f"rendering {len(todo)} of {len(jobs)} shards of {SHARD} views")
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            list(pool.map(_render_shard, *zip(*todo, strict=True)))
    else:
        for job in todo:
            _render_shard(*job)
    return _read_shards([job[0] for job in jobs])


def render_both(args: argparse.Namespace) -> tuple[Captioned, Captioned]:
    """Render what generators learn from, scenes for the most part, and fresh views of the kind.

    Raises:
        ValueError: ``args.styles`` holds a style that is not for training.
    """
    styles = refuse_test_style(args.styles)
    options = {"styles": styles, "work": args.work, "processes": args.processes}
    render = partial(render_views, disaster_share=0.3, **options)
    return render(args.renders, seed=1), render(args.validation_renders, seed=2)


def _read_shards(paths: Iterable[Path]) -> Captioned:
    images, meta = [], []
    for path in paths:
        with np.load(path) as shard:
            images.append(torch.from_numpy(shard["images"]).permute(0, 3, 1, 2))
            meta += json.loads(str(shard["meta"]))
    phrases = {**mini_earth.SCENE_PHRASES, **mini_earth.DISASTER_PHRASES}
    return Captioned(
        source="mini_earth",
        images=torch.cat(images).contiguous(),
        labels=tuple(row["label"] for row in meta),
        sentences=tuple(tuple(said.lower() for said in row["captions"]) for row in meta),
        phrases={name.replace("_", ""): said for name, said in phrases.items()},
        meters_per_pixel=np.array([row["meters_per_pixel"] for row in meta]),
        sights=tuple(tuple(mini_earth.Sight(*sight) for sight in row["sights"]) for row in meta),
    )


# --- What is said -----------------------------------------------------------------------------


def google_level(meters_per_pixel: float) -> int:
    """Name the zoom level of an image as shown: round(17 - log2(meters per pixel)), 10 to 18."""
    return int(np.clip(round(17 - np.log2(meters_per_pixel)), 10, 18))


def compose_caption(
    data: Captioned, index: int, rng: np.random.Generator, *, sentence_share: float = 0.5
) -> str:
    """Say one thing of an image: a full sentence, or a class name in a template.

    Args:
        data: where the image comes from.
        index: its row.
        rng: draws which sentence, template and article.
        sentence_share: share of sentences, where there are any.
    """
    sentences, label = data.sentences[index], data.labels[index]
    if sentences and rng.random() < sentence_share:
        return sentences[rng.integers(len(sentences))]
    phrase = data.phrases[label][rng.integers(len(data.phrases[label]))]
    if rng.random() < 0.4:
        phrase = phrase.removeprefix("an ").removeprefix("a ")
    is_event = label in mini_earth.DISASTERS
    templates = words.TEMPLATES + (words.EVENT_TEMPLATES if is_event else ())
    return templates[rng.integers(len(templates))].format(phrase)


def tokenizer_in(
    folder: Path, texts: Iterable[str], *, max_length: int, pad_token: str = "<|endoftext|>"
) -> CLIPTokenizer:
    """Read the run's tokenizer, or train it first; a resumed run must keep its words."""
    if not (folder / "merges.txt").is_file():  # written last
        sizes = {"vocab_size": 3000, "max_length": max_length}
        train_tokenizer(texts, folder, **sizes, pad_token=pad_token)
    return CLIPTokenizer.from_pretrained(folder)


def train_tokenizer(
    texts: Iterable[str],
    folder: Path,
    *,
    vocab_size: int,
    max_length: int,
    pad_token: str = "<|endoftext|>",
) -> CLIPTokenizer:
    """Learn a small byte-level BPE in the form of CLIP's tokenizer and save it.

    The two special tokens come last, as in CLIP: open_clip pools at the highest token id.

    Args:
        texts: what to learn from, beside the word list of ``training_words``.
        folder: where the tokenizer files go; ``open_clip`` and ``transformers`` read them there.
        vocab_size: tokens at most.
        max_length: tokens of a caption, the two special ones included.
        pad_token: fills short captions; one that must learn when to end needs another than CLIP's.
    """
    alphabet = sorted(ByteLevel.alphabet())
    draft = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    blank = CLIPTokenizer(vocab={c: i for i, c in enumerate(alphabet)}).backend_tokenizer
    draft.normalizer, draft.pre_tokenizer = blank.normalizer, blank.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 258,
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    draft.train_from_iterator([*texts, *([" ".join(words.VOCABULARY)] * 3)], trainer)
    merges = [tuple(pair) for pair in json.loads(draft.to_str())["model"]["merges"]]
    tokens = [*alphabet, *(c + "</w>" for c in alphabet), *("".join(pair) for pair in merges)]
    tokens = [*dict.fromkeys(tokens), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(
        vocab={token: i for i, token in enumerate(tokens)},
        merges=merges,
        model_max_length=max_length,
        pad_token=pad_token,
    )
    tokenizer.save_pretrained(folder)
    vocab = json.dumps({token: i for i, token in enumerate(tokens)}, ensure_ascii=False)
    write_bytes(folder / "vocab.json", vocab.encode())
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    write_bytes(folder / "merges.txt", ("\n".join(lines) + "\n").encode())
    return tokenizer


# --- Augmentation, a batch at a time ----------------------------------------------------------


@dataclass(frozen=True)
class Views:
    """Crops of images in [0, 1], and how each was taken."""

    images: Tensor  # n c h w
    side: Tensor  # n, the share of the side that it shows
    quarter_turns: Tensor  # int, n, counterclockwise; a further tilt is not in it
    is_mirrored: Tensor  # bool, n, left to right after the turn


def random_views(
    images: Tensor, generator: torch.Generator, *, size: int, scale: tuple[float, float]
) -> Views:
    """Crop, turn and mirror each image at random and show it at ``size`` pixels.

    Args:
        images: uint8, n c h w, square.
        generator: on the CPU.
        size: side of the result.
        scale: share of the area that a crop keeps, from and to.
    """
    num = len(images)
    area = torch.empty(num).uniform_(*scale, generator=generator)
    side = area.sqrt()
    turns = torch.randint(4, (num,), generator=generator)
    angle = turns * (torch.pi / 2)
    tilt = torch.empty(num).uniform_(-torch.pi / 4, torch.pi / 4, generator=generator)
    tilted = (torch.rand(num, generator=generator) < 0.3) & (side < 0.75)
    angle = angle + tilt * tilted
    mirror = 1.0 - 2.0 * (torch.rand(num, generator=generator) < 0.5)
    room = 1 - side
    shift = torch.empty(num, 2).uniform_(-1, 1, generator=generator) * room[:, None]
    cos, sin = angle.cos() * side, angle.sin() * side
    theta = torch.stack([cos * mirror, -sin, shift[:, 0], sin * mirror, cos, shift[:, 1]], dim=1)
    theta = theta.view(num, 2, 3).to(images.device)
    grid = F.affine_grid(theta, [num, 3, size, size], align_corners=False)
    pixels = images.float() / 255
    views = F.grid_sample(
        pixels, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    return Views(views, side, turns, mirror < 0)


def soften(images: Tensor, generator: torch.Generator, *, share: float) -> Tensor:
    """Blur a share of the images by shrinking and enlarging them, as a coarser sensor would."""
    num, size = len(images), images.shape[-1]
    order = torch.randperm(num, generator=generator).to(images.device)
    images, start = images.clone(), 0
    for factor, part in ((2.0, 0.5), (2.7, 0.3), (4.0, 0.2)):
        rows = order[start : start + round(num * share * part)]
        start += len(rows)
        if len(rows):
            small = F.interpolate(
                images[rows], size=round(size / factor), mode="bilinear", antialias=True
            )
            images[rows] = F.interpolate(small, size=size, mode="bicubic").clamp(0, 1)
    return images


def jitter_colors(images: Tensor, generator: torch.Generator, *, strength: float) -> Tensor:
    """Change light, haze and sensor of each image: gamma, gain, contrast, saturation, noise.

    Args:
        images: in [0, 1], n c h w.
        generator: on the CPU.
        strength: 1 bridges sensors; 0 changes nothing.
    """
    num, device = len(images), images.device

    def draw(*shape: int) -> Tensor:
        return torch.randn(num, *shape, 1, 1, generator=generator).to(device) * strength

    gamma = (0.22 * draw(1)).clamp(-0.6, 0.6).exp()
    images = images.clamp(1e-3, 1) ** gamma
    images = images * (0.15 * draw(1) + 0.09 * draw(3)).exp()
    gray = images.mean(dim=1, keepdim=True)
    images = gray + (images - gray) * (0.3 * draw(1)).exp().clamp(max=2.0)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = mean + (images - mean) * (0.25 * draw(1)).exp().clamp(max=2.0)
    images = images + 0.05 * draw(1)
    noise = torch.randn(images.shape, generator=generator).to(device)
    return (images + noise * 0.02 * draw(1).abs()).clamp(0, 1)


def drop_colors(images: Tensor, generator: torch.Generator, *, share: float) -> Tensor:
    """Show a share of the images in gray."""
    chosen = torch.rand(len(images), 1, 1, 1, generator=generator).to(images.device) < share
    return torch.where(chosen, images.mean(dim=1, keepdim=True).expand_as(images), images)


# --- A loop that can be stopped and continued -------------------------------------------------


@dataclass(frozen=True)
class Budget:
    """How long a run may take and how fast it learns.

    A run ends when the wall-clock minutes or the steps are used up, whichever comes first. The
    learning rate stays until the last ``decay_share`` of the budget and falls to zero over it, as
    half a cosine; with a share below 1 a resumed run may be given a longer budget.
    """

    minutes: float
    steps: int
    learning_rate: float
    weight_decay: float = 0.01
    warmup: int = 200
    ema_decay: float = 0.999
    decay_share: float = 1.0
    has_muon: bool = False  # for hidden matrices and kernels; AdamW for all else
    save_every: float = 150.0  # seconds
    print_every: float = 30.0  # seconds


class Ema:
    """A running mean of a network's weights and buffers, which is what ships."""

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {k: v.detach().clone() for k, v in net.state_dict().items()}

    @torch.no_grad()
    def update(self, net: nn.Module, step: int) -> None:
        """Move towards the network; faster at the start, to forget the first weights."""
        rate = 1 - min(self.decay, (1 + step) / (10 + step))
        for key, value in net.state_dict().items():
            if value.is_floating_point():
                self.state[key].lerp_(value, rate)
            else:
                self.state[key].copy_(value)


def fit(
    net: nn.Module,
    loss_at: Callable[[int], tuple[Tensor, dict[str, float]]],
    *,
    folder: Path,
    budget: Budget,
    evaluate: Callable[[dict[str, Tensor]], dict[str, float]] | None = None,
) -> dict[str, Tensor]:
    """Train ``net`` until the budget is used, from the last checkpoint in ``folder`` if any.

    Args:
        net: on its device.
        loss_at: from the step's number to (loss, further numbers to log); everything that it
            draws must follow from the step, so that a resumed run sees what it would have seen.
        folder: for ``checkpoint.pt``, ``loss.csv`` and ``validation.csv``.
        budget: when to end and how fast to learn.
        evaluate: from averaged weights to numbers; called at each fifth of the budget.

    Returns:
        The averaged weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    optimizer = Optimizer(net, budget)
    ema = Ema(net, budget.ema_decay)
    step, used, judged = _restore(folder, net, ema, optimizer)
    began, saved, printed, recent = time.monotonic() - used, used, used, []
    net.train()
    while (done := max(step / budget.steps, used / (60 * budget.minutes))) < 1:
        optimizer.set_learning_rate(learning_rate(budget, step=step, done=done))
        loss, extra = loss_at(step)
        if not torch.isfinite(loss):
            raise RuntimeError(f"the loss is {loss.item()} at step {step}; lower --learning-rate")
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        step += 1
        ema.update(net, step)
        used = time.monotonic() - began
        recent.append({"loss": loss.item(), **extra})
        if used - printed > budget.print_every or step == budget.steps:
            printed = used
            _report(folder, budget, recent, step=step, used=used)
        if evaluate and int(5 * done) > judged:
            judged = int(5 * done)
            _append(folder / "validation.csv", {"step": step, **evaluate(ema.state)})
            net.train()
        if used - saved > budget.save_every:
            saved = used
            _save(folder, net, ema, optimizer, progress=(step, used, judged))
    _save(folder, net, ema, optimizer, progress=(step, used, judged))
    return ema.state


def learning_rate(budget: Budget, *, step: int, done: float) -> float:
    """Compute the learning rate of a step when a share ``done`` in [0, 1] of the budget is used."""
    rate = budget.learning_rate * min(1, (step + 1) / budget.warmup)
    fallen = max(0.0, (done - 1) / budget.decay_share + 1)
    return rate * 0.5 * (1 + math.cos(math.pi * fallen))


class Optimizer:
    """AdamW, and Muon for hidden matrices where the budget asks for it, behind one face.

    A kernel is a matrix to Muon: its output channels by everything that they read. Both take the
    same learning rate, since Muon's steps are scaled to the size of AdamW's.

    Source:
        Jordan et al. 2024, "Muon: an optimizer for hidden layers"; the scale is that of Liu et al.
        2025 (arXiv:2502.16982), section 2.2.
    """

    def __init__(self, net: nn.Module, budget: Budget) -> None:
        named = [(name, p) for name, p in net.named_parameters() if p.requires_grad]
        self.hidden = [p for name, p in named if budget.has_muon and is_hidden_matrix(name, p)]
        ids = {id(p) for p in self.hidden}
        rest = [p for _, p in named if id(p) not in ids]
        groups = [
            {"params": [p for p in rest if p.ndim > 1], "weight_decay": budget.weight_decay},
            {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.parts = [torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)]
        if self.hidden:  # views of the same memory: what Muon changes is changed in the network
            self.flat = [nn.Parameter(p.detach().flatten(1)) for p in self.hidden]
            settings = {"weight_decay": budget.weight_decay, "adjust_lr_fn": "match_rms_adamw"}
            self.parts.append(torch.optim.Muon(self.flat, momentum=0.95, **settings))

    def set_learning_rate(self, rate: float) -> None:
        """Set the learning rate of the next step."""
        for group in (group for part in self.parts for group in part.param_groups):
            group["lr"] = rate

    def zero_grad(self) -> None:
        """Forget the gradients."""
        self.parts[0].zero_grad(set_to_none=True)
        for p in self.hidden:
            p.grad = None

    def step(self) -> None:
        """Change the network by its gradients."""
        if self.hidden:
            for p, flat in zip(self.hidden, self.flat, strict=True):
                flat.grad = None if p.grad is None else p.grad.flatten(1)
        for part in self.parts:
            part.step()

    def state_dict(self) -> list[dict]:
        """Return what has to be kept for a resumed run."""
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, states: list[dict]) -> None:
        """Go on from what was kept."""
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict(state)
        for group in self.parts[0].param_groups:  # as it runs now, not as it was saved
            group["fused"], group["foreach"] = True, None


def is_hidden_matrix(name: str, parameter: Tensor) -> bool:
    """Tell a matrix or kernel between hidden layers from embeddings and from both ends."""
    ends = ("embedding", "conv_in", "conv_out")
    return parameter.ndim > 1 and not any(end in name for end in ends)


def _save(folder: Path, net: nn.Module, ema: Ema, optimizer, *, progress: tuple) -> None:
    step, used, judged = progress
    buffer = io.BytesIO()
    state = {
        "net": net.state_dict(),
        "ema": ema.state,
        "optimizer": optimizer.state_dict(),
        "step": step,
        "used": used,
        "judged": judged,
    }
    torch.save(state, buffer)
    write_bytes(folder / "checkpoint.pt", buffer.getbuffer())


def _restore(folder: Path, net: nn.Module, ema: Ema, optimizer) -> tuple[int, float, int]:
    path = folder / "checkpoint.pt"
    if not path.is_file():
        return 0, 0.0, 0
    state = torch.load(path, map_location=next(net.parameters()).device, weights_only=True)
    net.load_state_dict(state["net"])
    ema.state = state["ema"]
    optimizer.load_state_dict(state["optimizer"])
    say(f"{folder.name}: continuing at step {state['step']}, {state['used'] / 60:.1f} minutes in")
    return state["step"], state["used"], state["judged"]


def _report(folder: Path, budget: Budget, recent: list[dict], *, step: int, used: float) -> None:
    means = {key: float(np.mean([row[key] for row in recent])) for key in recent[0]}
    _append(folder / "loss.csv", {"step": step, "seconds": round(used, 1), **means})
    left = max(0.0, min(60 * budget.minutes - used, (budget.steps - step) * used / step))
    numbers = " ".join(f"{key} {value:.4f}" for key, value in means.items())
    pace = f"{1000 * used / step:.0f} ms/step, {left / 60:.1f} min left"
    say(f"{folder.name} step {step} {numbers} {pace}")
    recent.clear()


def _append(path: Path, row: dict[str, float]) -> None:
    is_new = not path.is_file()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(row))
        if is_new:
            writer.writeheader()
        writer.writerow(row)


def say(line: str) -> None:
    """Print a line at once, also into a file."""
    print(time.strftime("%H:%M:%S"), line, flush=True)


# --- A script from its options to its files ---------------------------------------------------


def add_run_options(
    parser: argparse.ArgumentParser, *, name: str, minutes: float, batch: int
) -> None:
    """Add what the command lines of models that see UC Merced and renders have in common."""
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder with train/*.parquet")
    add("--work", type=Path, required=True, help="folder for caches, checkpoints, logs")
    add("--file", nargs="+", default=["ucmerced_captions_train.parquet"], help="in DATA/train")
    add("--styles", nargs="+", default=list(mini_earth.TRAIN_STYLES), help="of mini_earth")
    add("--name", default=name, help="of the run and of the model folder")
    add("--models", type=Path, default=Path(__file__).parents[1] / "data" / "models")
    add("--export", action="store_true", help="only write the folder from the last checkpoint")
    add("--minutes", type=float, default=minutes)
    add("--steps", type=int, default=1_000_000)
    add("--batch", type=int, default=batch)
    add("--real-share", type=float, default=0.3, help="of UC Merced in a batch")
    add("--renders", type=int, default=24_000)
    add("--validation-renders", type=int, default=1_500)
    add("--learning-rate", type=float, default=1e-3)
    add("--seed", type=int, default=0)
    add("--device")
    add("--threads", type=int, default=2)
    add("--processes", type=int, default=2, help="that render at a time")


def training_files(args: argparse.Namespace) -> list[Path]:
    """List the files that a run reads."""
    return [args.data / "train" / name for name in args.file]


def load_sources(args: argparse.Namespace) -> tuple[list[Captioned], list[Captioned]]:
    """Return (training, validation): UC Merced at 96 pixels, and renders at 64.

    Raises:
        ValueError: a file is EuroSAT, or a style is not for training.
    """
    styles = refuse_test_style(args.styles)
    files = training_files(args)
    parts = [split_last_tenth(read_captioned(path, size=96)) for path in files]
    record_seen(files, args.models.parent / "train_hashes.npy")
    render = partial(render_views, styles=styles, work=args.work, processes=args.processes)
    renders, fresh = render(args.renders, seed=1), render(args.validation_renders, seed=2)
    return [*(part[0] for part in parts), renders], [*(part[1] for part in parts), fresh]


def draw_rows(
    sources: Sequence[Captioned], rng: np.random.Generator, *, batch: int, real_share: float
) -> Iterator[tuple[Captioned, np.ndarray]]:
    """Draw the rows of a batch, source by source; the renders come last and get what is left."""
    counts = [round(batch * real_share / (len(sources) - 1))] * (len(sources) - 1)
    counts.append(batch - sum(counts))
    for data, count in zip(sources, counts, strict=True):
        yield data, rng.integers(len(data), size=count)


def run_record(args: argparse.Namespace, held: Sequence[Captioned]) -> dict[str, object]:
    """Record what decided a run with the options of ``add_run_options``."""
    return provenance(
        training_files(args),
        seed=args.seed,
        batch=args.batch,
        real_share=args.real_share,
        renders=args.renders,
        styles=list(args.styles),
        learning_rate=args.learning_rate,
        num_validation={data.source: len(data) for data in held},
    )


def write_metrics(
    folder: Path, validation: dict[str, float], *, config: dict, record: dict[str, object]
) -> None:
    """Write what a card is made of, beside the checkpoint: numbers, time and provenance."""
    checkpoint = torch.load(folder / "checkpoint.pt", map_location="cpu", weights_only=True)
    metrics = {
        "validation": validation,
        "config": config,
        "steps": checkpoint["step"],
        "minutes": checkpoint["used"] / 60,
        "provenance": record,
    }
    write_json(folder / "metrics.json", metrics)


def budget_of(args: argparse.Namespace) -> Budget:
    """Make the budget that the options of ``add_run_options`` ask for."""
    return Budget(
        minutes=args.minutes, steps=args.steps, learning_rate=args.learning_rate, weight_decay=0.05
    )


def run_script(
    args: argparse.Namespace,
    train: Callable[[argparse.Namespace], None],
    export: Callable[[argparse.Namespace], Path],
) -> None:
    """Train, then write the model's folder and say how large it is; or only write it."""
    torch.set_num_threads(args.threads)
    if not args.export:
        train(args)
    folder = export(args)
    say(f"wrote {folder}: {sum(p.stat().st_size for p in folder.iterdir()) / 1e6:.1f} MB")


def read_run(args: argparse.Namespace) -> tuple[dict, dict[str, Tensor]]:
    """Read (metrics, averaged weights) of a run."""
    folder = args.work / args.name
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    state = torch.load(folder / "checkpoint.pt", map_location="cpu", weights_only=True)
    return metrics, state["ema"]


# --- Small things -----------------------------------------------------------------------------


def step_draws(seed: int, step: int) -> tuple[np.random.Generator, torch.Generator]:
    """Make the generators of one step; they do not depend on the steps before."""
    rng = np.random.default_rng([seed, step])
    return rng, torch.Generator().manual_seed(int(rng.integers(1 << 62)))


def pick_training_device(prefer: str | None) -> torch.device:
    """Return the asked-for device, else a GPU if there is one."""
    return torch.device(prefer or ("cuda" if torch.cuda.is_available() else "cpu"))


@contextmanager
def autocast(device: torch.device) -> Iterator[None]:
    """Compute in bfloat16 where the machine has units for it: a GPU, or a CPU that says so."""
    from torch import cpu

    has_units = device.type != "cpu" or cpu._is_avx512_bf16_supported()
    # a CPU's fused attention takes most of a step to go backward in bfloat16
    plain = sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()
    with plain, torch.autocast(device.type, dtype=torch.bfloat16, enabled=has_units):
        yield


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(data)
    draft.replace(path)


def write_json(path: Path, value: object) -> None:
    """Write JSON whole or not at all."""
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def halved(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Store floats in half precision; they are single precision again when loaded.

    Raises:
        ValueError: a weight is too large for half precision.
    """
    half = {k: v.detach().cpu().clone() for k, v in state.items()}
    half = {k: v.half() if v.is_floating_point() else v for k, v in half.items()}
    if bad := [k for k, v in half.items() if v.is_floating_point() and not v.isfinite().all()]:
        raise ValueError(f"not finite in half precision: {', '.join(bad)}")
    return {k: v.contiguous() for k, v in half.items()}


def sheet(rows: Sequence[Tensor], path: Path, *, zoom: int = 2) -> None:
    """Write rows of images in [0, 1] (each n c h w) as one PNG."""
    lines = [torch.cat(list(F.pad(row, (1, 1, 1, 1))), dim=2) for row in rows]
    widest = max(line.shape[2] for line in lines)
    lines = [F.pad(line, (0, widest - line.shape[2])) for line in lines]
    pixels = (torch.cat(lines, dim=1).clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    image = Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.resize((image.width * zoom, image.height * zoom), Image.Resampling.NEAREST).save(
        buffer, format="PNG"
    )
    write_bytes(path, buffer.getvalue())


def provenance(files: Sequence[Path], **settings: object) -> dict[str, object]:
    """Record what decided a run: command, machine, versions, file hashes, settings."""
    return {
        "command": shlex.join(["python", "-m", "tools." + Path(sys.argv[0]).stem]),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, {_accelerator()}",
        "torch": torch.__version__,
        "mini_earth": mini_earth.__version__,
        "files": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
        **settings,
    }


def _accelerator() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"


def table(numbers: dict[str, object], header: tuple[str, str]) -> str:
    """Format measured numbers as a Markdown table."""
    lines = [f"| {header[0]} | {header[1]} |", "| --- | ---: |"]
    for name, value in numbers.items():
        lines.append(f"| {name} | {f'{value:.3f}' if isinstance(value, float) else value} |")
    return "\n".join(lines)
