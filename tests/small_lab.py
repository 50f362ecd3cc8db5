"""A lab of a few images, from archive and renders to results.json, in a process of its own."""

import itertools
import json
import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
import tiny_models  # loads what every process needs, once for all
import torch
from lab_world import HEADER, shorten

from course_utils import examples, lab, runtime, text2image, zero_shot

CLASSES = ("river", "forest")


def write_models(root: Path) -> None:
    """Write what the lab needs beside its data."""
    tiny_models.write_tiny_clip(root / "clip")
    tiny_models.write_tiny_text2image(root / "net")


def run_lab(models: Path, archive: Path, cache: Path, out: Path) -> None:
    """Do all that notebook 07 does with caches, and read an archive too."""
    torch.set_num_threads(1)
    shorten(pytest.MonkeyPatch())  # in a process of its own
    profile = replace(runtime.Profile(), shots=1, num_test=8)
    examples.loading._NUM_VALIDATION = 2
    data = examples.load_examples(
        "scenes", profile=profile, classes=CLASSES, per_class=4, cache=cache
    )
    unpacked = examples.load_scenes(archive, cache=cache)
    clip = zero_shot.load_clip(models / "clip", device="cpu")
    net = text2image.load_pipeline(str(models / "net"), device="cpu")
    weights = zero_shot.class_weights(clip, data.phrases, ["a {}"])
    config = text2image.GenerationConfig(num_sample_steps=4, height=16, width=16, batch_size=5)
    prompts, labels = lab.write_prompts(data.phrases, ["a {}", "the {}"], per_class=24)
    drawn = text2image.generate(net, prompts, config, root=cache / "generated")
    pool = [
        examples.Example(label, "synthetic", pixels=made.image)
        for label, made in zip(labels, drawn, strict=True)
    ]
    seen = [replace(each, label=i % 2) for i, each in enumerate(unpacked.examples)]
    given = (data.train, pool, seen, data.validation, data.test)
    real, *added, validation, test = (
        zero_shot.image_features(clip, part, cache=cache) for part in given
    )
    bank = lab.Bank.of(real, labels_of(data.train))
    for what, features, part in zip(("drawn", "retrieved"), added, (pool, seen), strict=True):
        bank = bank.add(what, features, labels_of(part), generator="net")
    grid = lab.Grid(("net",), shots=(1,), seeds=(0, 1), per_class=12, few=1)
    cells = lab.draw_cells(grid, bank, weights, logit_scale=10.0)
    heads = {"logit_scale": 10.0, "cache": cache / "heads"}
    fits = list(lab.train_cells(cells, bank, weights, **heads))
    exam = lab.set_exam((validation, data.validation), (test, data.test))
    chosen = lab.choose_settings(fits, validation, exam.labels("choose"))
    results = lab.tabulate(grid, fits, chosen, exam, data.class_names, header=HEADER)
    lab.save_results(results, out)


def labels_of(part: Sequence[examples.Example]) -> torch.Tensor:
    """Collect the labels."""
    return torch.tensor([example.label for example in part])


def outcome(cache: Path, out: Path) -> tuple[list, dict[str, bytes]]:
    """Give the rows of the results, and the drawings by name."""
    rows = json.loads((out / "results.json").read_text(encoding="utf-8"))["rows"]
    return rows, {path.name: path.read_bytes() for path in cache.glob("generated/*/*.png")}


class Labs:
    """Labs in processes that start from one with everything loaded."""

    def __init__(self, models: Path, archive: Path) -> None:
        self.given = (models, archive)
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["small_lab"])
        self.numbers = itertools.count()

    def start(self, cache: Path) -> tuple[BaseProcess, Path]:
        """Start a lab; give the process and the folder of its results."""
        out = cache.with_name(f"out-{next(self.numbers)}")
        process = self.context.Process(target=run_lab, args=(*self.given, cache, out))
        process.start()
        return process, out

    def finish(self, cache: Path, num: int) -> list[tuple[list, dict[str, bytes]]]:
        """Let labs run at once to their end; give what came out of each."""
        started = [self.start(cache) for _ in range(num)]
        for process, _ in started:
            process.join(300)
            assert process.exitcode == 0
        return [outcome(cache, out) for _, out in started]

    def kill(self, cache: Path, rng: np.random.Generator, within: float) -> None:
        """Start two labs at once, and kill each at a moment of its own."""
        started, begun = [self.start(cache)[0] for _ in range(2)], time.monotonic()
        for process, moment in zip(started, np.sort(rng.uniform(0, within, 2)), strict=True):
            time.sleep(max(0.0, moment - (time.monotonic() - begun)))
            process.kill()
            process.join(60)
