"""The images of the lab's arms, each kind as the lab draws it, made once and kept encoded.

A `Part` is made together: the pool of a generator, the drawings that are guided by a seed's shots,
the copies of these shots. `make_part` gives its features and labels.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType

import torch
from safetensors.torch import load, save
from torch import Tensor

from course_utils import lab, strategies, text2image, zero_shot
from course_utils.examples import Example, Splits
from course_utils.lab import Grid
from course_utils.runtime import derive_seed, read_sealed, seeded, write_sealed
from course_utils.strategies import adaptation
from course_utils.text2image import Generated, TextToImage
from tools import training

TEMPLATES = zero_shot.TEMPLATES["satellite"]  # the lab's
STRENGTH_BEFORE = 0.5  # of the way to noise, from a place before its disaster
COPY_SIZE = 64  # pixels of augmented copies
SAMPLE = 100  # of a class, of what a generator has learned from: all that ships
BY_SHOTS = ("augmented", "guided", "before", "adapted")  # kinds that start from a seed's shots
_FORM = 1  # of what is kept: a new number where the making of images changes


@dataclass(frozen=True)
class Part:
    """Images that are made together; None is for all seeds, 0 for all shots, "" for nobody's."""

    what: str
    generator: str = ""
    shots: int = 0
    seed: int | None = None

    def __str__(self) -> str:
        """Name it in a line of progress."""
        seed = "" if self.seed is None else f"seed {self.seed}"
        shots = f"{self.shots} shots" if self.shots else ""
        return ", ".join(filter(None, (self.what, self.generator, shots, seed)))


@dataclass(frozen=True, eq=False)
class Bench:
    """What images are made from and encoded with."""

    work: Path
    data: Splits
    grid: Grid
    clip: zero_shot.Clip
    weights: Tensor  # k d

    def encode(self, part: Sequence[Example]) -> Tensor:
        """Encode images that are kept elsewhere."""
        return zero_shot.image_features(self.clip, part, cache=self.work / "features")

    def shots(self, part: Part) -> list[Example]:
        """Give the real images that the lab's heads of a seed learn from."""
        return lab.shots_of(self.data.train, part.shots, part.seed)


def make_part(bench: Bench, part: Part) -> tuple[Tensor, Tensor]:
    """Make and encode images, or read what an earlier run has kept: features and labels."""
    path = bench.work / "parts" / f"{_key(bench, part)}.safetensors"
    kept = read_sealed(path)
    if kept is None:
        made = MAKERS[part.what](bench, part)
        labels = torch.tensor([example.label for example in made])
        kept = save({"features": zero_shot.image_features(bench.clip, made), "labels": labels})
        path.parent.mkdir(parents=True, exist_ok=True)
        write_sealed(path, kept)
    found = load(kept)
    return found["features"], found["labels"]


def _key(bench: Bench, part: Part) -> str:
    """Hash everything on which images and their features depend."""
    sizes = bench.grid.per_class, bench.grid.pool_per_class
    decisive = [_FORM, part, bench.data.phrases, TEMPLATES, sizes, bench.clip.fingerprint]
    decisive.append(torch.__version__)
    if part.generator:
        names = {part.generator, teacher_of(part.generator)}
        decisive += sorted(load_model(name).fingerprint for name in names)
        decisive.append(load_model(part.generator).config)
    if part.shots:
        decisive += [shot.digest() for shot in bench.shots(part)]
    if part.what == "adapted":
        learning = adaptation.EPOCHS, adaptation.RANK, adaptation.LEARNING_RATE
        decisive += [learning, adaptation.BATCH_SIZE, adaptation.EMPTY_SHARE]
    if part.what in ("retrieved", "random"):
        decisive += [example.digest() for example in learned_from(bench, part.generator).examples]
    return hashlib.sha256(repr(decisive).encode()).hexdigest()[:32]


@cache
def load_model(name: str, task: str = "text-to-image") -> TextToImage:
    """Load a generator once."""
    return text2image.load_pipeline(name, task=task, device="cpu")


def teacher_of(name: str) -> str:
    """Name the generator from which one of few steps was distilled; others are their own."""
    return name.removesuffix("_few_steps")


def draw(bench: Bench, part: Part) -> list[Example]:
    """Draw a pool as the notebook does; that of seed 0 is the notebook's own."""
    num = bench.grid.pool_per_class
    prompts, labels = lab.write_prompts(bench.data.phrases, TEMPLATES, per_class=num)
    return _drawn(load_model(part.generator), prompts, labels, seed=part.seed or 0)


def draw_sentences(bench: Bench, part: Part) -> list[Example]:
    """Draw what sentences say that differ."""
    generator = seeded(derive_seed("lab", "language", part.seed))
    told = {"per_class": bench.grid.per_class, "generator": generator, "templates": TEMPLATES}
    prompts, labels = strategies.write_sentences(bench.data.phrases, **told)
    return _drawn(load_model(part.generator), prompts, labels, seed=part.seed)


def draw_guided(bench: Bench, part: Part) -> list[Example]:
    """Draw from noised shots."""
    return _from_images(bench, part, strategies.guide, strategies.strength_for(part.shots))


def draw_from_before(bench: Bench, part: Part) -> list[Example]:
    """Draw from the places of the shots before their disaster."""
    return _from_images(bench, part, strategies.from_before, STRENGTH_BEFORE)


def draw_adapted(bench: Bench, part: Part) -> list[Example]:
    """Teach the shots to a generator, and draw with it, or with its student of few steps."""
    teacher, student = (load_model(n) for n in (teacher_of(part.generator), part.generator))
    generator = seeded(derive_seed("lab", "adapt", part.shots, part.seed))
    taught = bench.shots(part), bench.data.phrases, TEMPLATES
    *_, last = strategies.adapt(teacher, *taught, generator=generator, onto=student)
    num = bench.grid.per_class
    prompts, labels = lab.write_prompts(bench.data.phrases, TEMPLATES, per_class=num)
    return _drawn(last.model, prompts, labels, seed=part.seed)


def augment_shots(bench: Bench, part: Part) -> list[Example]:
    """Copy the shots, augmented by all that changes no class."""
    copies = lab.augmented_copies(
        bench.shots(part),
        lab.FAMILIES["legal"],
        num_classes=len(bench.data.class_names),
        num_copies=-(-bench.grid.per_class // part.shots),
        generator=seeded(derive_seed("lab", "augmented", part.shots, part.seed)),
        size=COPY_SIZE,
    )
    return list(copies.examples)


def look_up(bench: Bench, part: Part) -> list[Example]:
    """Take real images that the generator has learned from: the nearest to the text, or any."""
    found = learned_from(bench, part.generator)
    labels = torch.tensor([example.label for example in found.examples])
    stream = None
    if part.what == "random":
        stream = seeded(derive_seed("lab", "retrieval", part.seed))
    rows, labels = strategies.retrieve(
        bench.encode(found.examples),
        bench.weights,
        per_class=bench.grid.per_class,
        labels=labels if found.is_labelled else None,
        generator=stream,
    )
    pairs = zip(rows.tolist(), labels.tolist(), strict=True)
    return [replace(found.examples[row], label=label) for row, label in pairs]


@cache
def learned_from(bench: Bench, generator: str) -> strategies.TrainingImages:
    """Collect what a generator has learned from, as far as it is at hand."""
    trained_on = load_model(generator).trained_on
    found = strategies.training_images(trained_on, bench.data, per_class=SAMPLE, cache=bench.work)
    for note in found.notes:
        training.say(f"{generator}: {note}")
    return found


MAKERS: Mapping[str, Callable[[Bench, Part], list[Example]]] = MappingProxyType(
    {
        "augmented": augment_shots,
        "retrieved": look_up,
        "random": look_up,
        "guided": draw_guided,
        "before": draw_from_before,
        "language": draw_sentences,
        "drawn": draw,
        "adapted": draw_adapted,
    }
)


def _drawn(
    model: TextToImage, prompts: Sequence[str], labels: Sequence[int], *, seed: int
) -> list[Example]:
    stream = text2image.generate(model, prompts, replace(model.config, seed=seed))
    return _as_examples(stream, labels)


def _from_images(bench: Bench, part: Part, make: Callable, strength: float) -> list[Example]:
    model = load_model(part.generator, "image-to-image")
    stream, labels = make(
        model,
        bench.shots(part),
        bench.data.phrases,
        TEMPLATES,
        per_class=bench.grid.per_class,
        strength=strength,
        config=replace(model.config, seed=part.seed),
    )
    return _as_examples(stream, labels)


def _as_examples(stream: Iterator[Generated], labels: Sequence[int]) -> list[Example]:
    pairs = zip(labels, stream, strict=True)
    return [Example(label, "synthetic", pixels=made.image) for label, made in pairs]
