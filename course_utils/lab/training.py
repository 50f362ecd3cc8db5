"""Train the cells of the grid at every setting, once each; choose one for each cell."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from course_utils.lab.design import Bank, Cell
from course_utils.metrics.classification import require_classes
from course_utils.runtime import read_sealed, sweep, write_sealed
from course_utils.tuning import HeadData, Heads, TuneConfig
from course_utils.tuning.heads import stack_heads, train

NUM_STEPS = (30, 100, 300)
RATES = (0.01, 0.03, 0.1, 0.3)
SETTINGS = tuple(  # every cell is trained at each, fewest steps first
    TuneConfig(num_steps=num_steps, learning_rate=rate) for num_steps in NUM_STEPS for rate in RATES
)
_FORM = 2  # of what is kept: a new number where training itself changes
FIXED = SETTINGS.index(TuneConfig(num_steps=100, learning_rate=0.03))  # by nobody's choice


@dataclass(frozen=True, eq=False)
class Fit:
    """The heads of a cell at every setting; without any training, those of the text alone."""

    cell: Cell
    weights: Float[Tensor, "c s k d"]  # settings x seeds
    bias: Float[Tensor, "c s k"]
    cached: bool = False

    def logits(self, features: Float[Tensor, "n d"], setting: int) -> Float[Tensor, "s n k"]:
        """Score images with the heads of one setting."""
        return Heads(self.weights[setting], self.bias[setting]).logits(features)


def train_cells(
    cells: Sequence[Cell],
    bank: Bank,
    weights: Float[Tensor, "k d"],
    *,
    logit_scale: float,
    cache: Path | None = None,
) -> Iterator[Fit]:
    """Train each cell at all ``SETTINGS`` and yield it, or read it from the cache.

    The heads of a cell are trained together, all its seeds and learning rates in the same tensor
    operations. No image of the validation or test part has a say in it.

    Args:
        cells: from `draw_cells`.
        bank: the images.
        weights: class weights from text, where every head starts.
        logit_scale: exp(tau), the model's.
        cache: folder of finished cells, named by all that decides them; None keeps nothing.

    Raises:
        ValueError: as `tune_heads`.
        OSError: a finished cell cannot be written; earlier ones are kept.
    """
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
        sweep(cache)
    for cell in cells:
        if not cell.heads:
            num = len(cell.seeds)
            start = (logit_scale * weights).repeat(len(SETTINGS), num, 1, 1)
            yield Fit(cell, start, start.new_zeros(start.shape[:3]))
            continue
        path = cache and cache / f"{_key(cell, bank, weights, logit_scale)}.safetensors"
        found = _read(path, (len(SETTINGS), len(cell.seeds), *weights.shape)) if path else None
        if found is None:
            found = _train(cell.heads, bank, weights, logit_scale)
            if path:
                write_sealed(path, save(found))
            yield Fit(cell, **found)
        else:
            yield Fit(cell, **found, cached=True)


def _train(
    heads: Sequence[HeadData], bank: Bank, weights: Float[Tensor, "k d"], logit_scale: float
) -> dict[str, Tensor]:
    """Train a cell's heads at every setting: weights (settings, seeds, k, d) and bias."""
    stacked = stack_heads(bank.features, heads, weights, SETTINGS[-1])
    found: list[Heads] = []
    with _one_thread():
        for num_steps in NUM_STEPS:
            config = replace(SETTINGS[0], num_steps=num_steps)
            *_, (_, _, tuned) = train(stacked, config, RATES, logit_scale)
            found += tuned
    return {part: torch.stack([getattr(h, part) for h in found]) for part in ("weights", "bias")}


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep small matrices on one core: two would wait for each other, long on a busy machine."""
    num = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num)


def _key(cell: Cell, bank: Bank, weights: Float[Tensor, "k d"], logit_scale: float) -> str:
    """Hash everything on which a cell's heads depend."""
    digest = hashlib.sha256(repr((_FORM, SETTINGS, logit_scale, torch.__version__)).encode())
    for head in cell.heads:
        about = (head.seed, head.num_real, head.real_share, head.order, len(head.rows))
        digest.update(json.dumps(about).encode())
        for part in (bank.features[head.rows], head.labels):
            digest.update(part.contiguous().numpy().tobytes())
    digest.update(weights.contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


def _read(path: Path, shape: tuple[int, ...]) -> dict[str, Tensor] | None:
    """Give the heads of a file of the cache, if it has such."""
    try:
        found = load(read_sealed(path) or b"")
        is_right = found["weights"].shape == shape and found["bias"].shape == shape[:3]
    except (SafetensorError, KeyError, ValueError):
        return None
    return found if is_right else None


def choose_settings(
    fits: Sequence[Fit], features: Float[Tensor, "n d"], labels: Int[Tensor, " n"]
) -> list[int]:
    """Choose a setting for each cell: the best mean accuracy over its seeds; the first of equals.

    Args:
        fits: from `train_cells`.
        features: of the validation images.
        labels: of the validation images.

    Raises:
        ValueError: not a label for each image.
    """
    (labels,) = require_classes(labels=labels)
    if len(labels) != len(features):
        raise ValueError(f"validation: got {len(features)} images but {len(labels)} labels")
    return [_best(validation_accuracies(fit, features, labels)) for fit in fits]


def validation_accuracies(
    fit: Fit, features: Float[Tensor, "n d"], labels: Int[Tensor, " n"]
) -> list[float]:
    """Give the mean accuracy over the seeds at each of ``SETTINGS``."""
    guesses = (fit.logits(features, i).argmax(-1) for i in range(len(SETTINGS)))
    return [(guess == labels).double().mean().item() for guess in guesses]


def _best(accuracies: Sequence[float]) -> int:
    return max(range(len(accuracies)), key=accuracies.__getitem__)


def halves(labels: Int[Tensor, " n"]) -> tuple[Tensor, Tensor]:
    """Mark one half of the images of every class, and the other."""
    first = torch.zeros(len(labels), dtype=torch.bool)
    for k in labels.unique():
        rows = torch.nonzero(labels == k)[:, 0]
        first[rows[: len(rows) // 2]] = True
    return first, ~first
