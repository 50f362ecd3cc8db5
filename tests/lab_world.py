"""A lab without any image model: features whose truth is known, and few steps of training."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import torch
from torch.nn import functional

from course_utils import lab
from course_utils.examples import Example, Splits
from course_utils.runtime import seeded
from course_utils.tuning import TuneConfig

NUM_CLASSES, DIM, SCALE = 3, 8, 10.0
NAMES = ("a", "b", "ü <c>")
BLIND, SEEN = "blind", "seen"
GRID = lab.Grid(
    (BLIND, SEEN), shots=(1, 2, 4), seeds=(0, 1, 2), per_class=6, pool_per_class=12, num_few_seeds=2
)
HEADER = {
    "task": "scenes",
    "profile": "mini",
    "data": "a test",
    "model": "m",
    "generators": [
        {"name": name, "trained_on": "renders", "settings": {"num_sample_steps": 4}}
        for name in (BLIND, SEEN)
    ],
    "versions": {"python": "3.12"},
    "commit": "c0ffee",
    "started": "2026-01-01T00:00:00+00:00",
    "seconds": 1.5,
    "prediction": [{"shots": 1, "gain": 5.0}],
    "answer": "It helped.",
}


class Watched(Example):
    """An example whose label may not be read yet."""

    is_open = False

    def __getattribute__(self, name: str) -> object:
        """Fail the test that reads a label too early."""
        if name == "label" and not type(self).is_open:
            pytest.fail("a label of the test part was read")
        return super().__getattribute__(name)


def shorten(patch: pytest.MonkeyPatch) -> None:
    """Let every cell be trained at four settings of a few steps."""
    steps, rates = (5, 20), (0.1, 1.0)
    settings = tuple(TuneConfig(num_steps=n, learning_rate=r) for n in steps for r in rates)
    patch.setattr("course_utils.lab.training.NUM_STEPS", steps)
    patch.setattr("course_utils.lab.training.RATES", rates)
    for name in ("training", "results"):
        patch.setattr(f"course_utils.lab.{name}.SETTINGS", settings)


def labels_of(num_a_class: int) -> torch.Tensor:
    return torch.arange(num_a_class * NUM_CLASSES) % NUM_CLASSES


def draw_features(labels: torch.Tensor, *, seed: int, signal: float = 1.0) -> torch.Tensor:
    """Unit rows around one center a class; signal 0 says nothing about the class."""
    noise = torch.randn(len(labels), DIM, generator=seeded(seed)) * 0.4
    return functional.normalize(signal * torch.eye(DIM)[labels] + noise, dim=-1)


WEIGHTS = functional.normalize(
    torch.eye(DIM)[:NUM_CLASSES] + 0.5 * torch.randn(NUM_CLASSES, DIM, generator=seeded(4)), dim=-1
)
NUM_TRAIN, NUM_VALIDATION, NUM_TEST = 12, 6, 60  # a class


def make_examples(labels: Sequence[int], start: int, kind: type[Example] = Example) -> tuple:
    """Give an image of one pixel to each label, no two alike."""
    pixels = [
        np.full((1, 1, 3), (*divmod(start + i, 256), 0), np.uint8) for i in range(len(labels))
    ]
    return tuple(kind(int(k), "real", pixels=p) for k, p in zip(labels, pixels, strict=True))


def make_data(
    num_test: int = NUM_TEST, num_train: int = NUM_TRAIN, kind: type[Example] = Example
) -> Splits:
    """Give a data set of so many images a class."""
    return Splits(
        train=make_examples(labels_of(num_train), 0),
        validation=make_examples(labels_of(NUM_VALIDATION), 1000),
        test=make_examples(labels_of(num_test), 2000, kind),
        class_names=NAMES,
        phrases=NAMES,
        name="a test",
    )


FEATURES = {
    "validation": draw_features(labels_of(NUM_VALIDATION), seed=5),
    "test": draw_features(labels_of(NUM_TEST), seed=6),
}


def make_bank(*, signal: float = 1.0, is_wrong: bool = False, names: Sequence[str] = (BLIND, SEEN)):
    """Fill a bank with everything but drawings of what was there before a disaster."""
    real, pool = labels_of(NUM_TRAIN), labels_of(GRID.pool_per_class)
    told, few = (pool + 1) % NUM_CLASSES if is_wrong else pool, labels_of(GRID.per_class)
    bank = lab.Bank.of(draw_features(real, seed=1, signal=0.5), real)
    for i, name in enumerate(names):
        shown = draw_features(told, seed=10 + i, signal=signal)
        bank = bank.add("drawn", shown, pool, generator=name)
        more = {"language": 20, "retrieved": 30}
        for what, seed in more.items():
            bank = bank.add(what, draw_features(pool, seed=seed + i), pool, generator=name)
        adapted = draw_features(few, seed=40 + i)
        bank = bank.add("adapted", adapted, few, generator=name, seed=GRID.seeds[0])
        for seed in GRID.few_seeds:
            guided = draw_features(few, seed=50 + 10 * i + seed)
            bank = bank.add("guided", guided, few, generator=name, seed=seed)
    for seed in GRID.few_seeds:
        bank = bank.add("augmented", draw_features(few, seed=80 + seed), few, seed=seed)
    return bank


def train(bank: lab.Bank, *, grid: lab.Grid = GRID, cache=None) -> list[lab.Fit]:
    cells = lab.draw_cells(grid, bank, WEIGHTS, logit_scale=SCALE)
    return list(lab.train_cells(cells, bank, WEIGHTS, logit_scale=SCALE, cache=cache))


def exam_of(data: Splits, *, evaluate: str = "test", test: torch.Tensor = FEATURES["test"]):
    shown = (FEATURES["validation"], data.validation), (test, data.test)
    return lab.set_exam(*shown, evaluate=evaluate)


def judge(fits: Sequence[lab.Fit], exam: lab.Exam, *, header: Mapping = HEADER, grid=GRID):
    """Settle and judge what was trained; give the results, and the settings that were chosen."""
    chosen = lab.choose_settings(fits, exam.choose[0], exam.labels("choose"))
    return lab.tabulate(grid, fits, chosen, exam, NAMES, header=header), chosen


def by_key(content: Mapping) -> dict[tuple[str, str, int], dict]:
    return {(e["arm"], e["generator"], e["shots"]): e for e in content["summary"]}


def make_results(
    shares: Mapping[tuple[str, str, int], float],
    *,
    num_test: int = 100,
    num_seeds: int = 3,
    header: Mapping = HEADER,
    smallest: float = 0.02,
) -> lab.Results:
    """Invent results: each cell is right on a given share of the test images, whatever it is.

    Feature row i is unit vector i, so that a head can answer each image as is wanted. The right
    images of a larger share hold those of a smaller one; each seed counts from another image.
    """
    labels = torch.arange(num_test) % 2
    data = make_examples(labels.tolist(), 0)
    features = torch.eye(num_test)
    fits = []
    for (arm, generator, shots), share in shares.items():
        seeds = tuple(range(1 if arm == "adapted" else num_seeds))
        ranks = torch.stack([(torch.arange(num_test) + seed) % num_test for seed in seeds])
        answers = torch.where(ranks < round(share * num_test), labels, 1 - labels)
        weights = 9.0 * functional.one_hot(answers, 2).mT.float()[None]
        cell = lab.Cell(arm, generator, shots, seeds, ())
        fits.append(lab.Fit(cell, weights, weights.new_zeros(weights.shape[:3])))
    exam = lab.set_exam((features[:1], data[:1]), (features, data))
    grid = lab.Grid((BLIND, SEEN), shots=(1, 4, 64), seeds=(0, 1, 2), smallest=smallest)
    return lab.tabulate(grid, fits, [0] * len(fits), exam, ("no", "yes"), header=header)
