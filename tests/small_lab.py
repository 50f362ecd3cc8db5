"""A lab of a few images, from archive and renders to results.json, in a process of its own."""

import itertools
import json
import multiprocessing
import time
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import tiny_models  # loads what every process needs, once for all
import torch

from course_utils import examples, lab, runtime, text2image, zero_shot
from course_utils.tuning import TuneConfig

CLASSES = ("river", "forest")


def write_models(root: Path) -> None:
    """Write what the lab needs beside its data."""
    tiny_models.write_tiny_clip(root / "clip")
    tiny_models.write_tiny_text2image(root / "net")


def run_lab(models: Path, archive: Path, cache: Path, out: Path) -> None:
    """Do all that notebook 07 does with caches, and read an archive too."""
    torch.set_num_threads(1)
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
    parts = (data.train, pool, seen, data.test)
    *bank, test = (zero_shot.image_features(clip, part, cache=cache) for part in parts)
    arms = lab.draw_arms(data.train, pool, lab.Budget(1, 24, (0, 1)), seen=seen)
    *_, last = lab.run_arms(
        arms, torch.cat(bank), weights, TuneConfig(20, 0.1, 4), test=test, logit_scale=10.0
    )
    header = dict.fromkeys(("profile", "data", "model", "generator", "stand_ins"), "")
    results = lab.tabulate(arms, last.predictions, data, shots=1, header=header)
    lab.save_results(results, out)


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
