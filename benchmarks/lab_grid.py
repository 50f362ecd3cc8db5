"""Time a cell of the lab's grid, all heads together, against loops that train one head at a time.

    python benchmarks/lab_grid.py [--shots 4] [--seeds 10] [--usual-heads 1]

Shipped EuroSAT images; a half of every batch is real, the rest are other training images in the
place of drawings. All ways start from the same text and take the same batches:

- the usual loop, which loads, preprocesses and encodes every batch anew. A few heads are trained
  so; the time of all is that time, scaled by the number of steps;
- one by one from cached features: ``nn.Linear``, AdamW, cross-entropy;
- the lab, all seeds and learning rates in the same tensor operations.

Prints seconds from images to heads, ratios, and the largest difference of accuracy on validation
images. Exits with 1 if the lab is under 50 times as fast as the first or 10 times as fast as the
second (there without encoding), or an accuracy differs by more than half a point.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from course_utils import examples, lab, zero_shot
from course_utils.examples import Example
from course_utils.lab import SETTINGS
from course_utils.runtime import Profile
from course_utils.tuning import HeadData, TuneConfig
from course_utils.tuning.heads import batch_order

LEAST = {"usual": 50, "one by one": 10}
MOST_APART = 0.005


def labels_of(part: Sequence[Example]) -> Tensor:
    """Collect the labels."""
    return torch.tensor([example.label for example in part])


def train_alone(batches: Iterator[tuple[Tensor, Tensor]], start: Tensor, config: TuneConfig):
    """Train a head as a student would; batches of features and labels come from outside."""
    with torch.random.fork_rng():
        layer = torch.nn.Linear(start.shape[1], len(start))
    with torch.no_grad():
        layer.weight.copy_(start)
        layer.bias.zero_()
    optimizer = torch.optim.AdamW(
        layer.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.num_steps)
    for features, labels in batches:
        loss = functional.cross_entropy(layer(features), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return layer


def cached(features: Tensor, head: HeadData, config: TuneConfig) -> Iterator[tuple]:
    """Look a head's batches up among features that are there."""
    for batch in batch_order(head, config):
        yield features[head.rows[batch]], head.labels[batch]


def encoded(clip, images: Sequence[Example], head: HeadData, config: TuneConfig) -> Iterator[tuple]:
    """Load and encode each of a head's batches when it is needed."""
    for batch in batch_order(head, config):
        shown = [clip.preprocess(images[row].load()) for row in head.rows[batch].tolist()]
        with torch.no_grad():
            features = functional.normalize(clip.encode_image(torch.stack(shown)), dim=-1)
        yield features, head.labels[batch]


def timed(job):
    """Run a job; give what it gives, and the seconds."""
    start = time.perf_counter()
    return job(), time.perf_counter() - start


def main() -> int:
    """Train in all ways, and say whether the targets are met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shots", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--usual-heads", type=int, default=1)
    args = parser.parse_args()
    clip, data = zero_shot.load_clip(), examples.load_lab(Profile())
    weights = zero_shot.class_weights(clip, data.phrases, zero_shot.TEMPLATES["satellite"])
    held = zero_shot.image_features(clip, data.validation), labels_of(data.validation)
    start, scale = clip.logit_scale * weights, {"logit_scale": clip.logit_scale}

    grid = lab.Grid(("other",), shots=(args.shots,), seeds=tuple(range(args.seeds)))
    rows = lab.draw_rows(labels_of(data.train), 20 + grid.per_class, 0)
    images = [data.train[row] for row in rows]
    labels, num = labels_of(images), 20 * len(weights)
    features, encoding = timed(lambda: zero_shot.image_features(clip, images))
    bank = lab.Bank.of(features[:num], labels[:num])
    bank = bank.add("drawn", features[num:], labels[num:], generator="other")
    cells = lab.draw_cells(grid, bank, weights, **scale)
    (cell,) = (cell for cell in cells if cell.arm == "real+synthetic")

    (fit,), together = timed(lambda: list(lab.train_cells([cell], bank, weights, **scale)))
    jobs = [(config, head) for config in SETTINGS for head in cell.heads]
    plain = [(cached(features, head, config), start, config) for config, head in jobs]
    alone, one_by_one = timed(lambda: [train_alone(*each) for each in tqdm(plain, mininterval=5)])
    some = range(0, len(jobs), -(-len(jobs) // args.usual_heads))
    plain = [(encoded(clip, images, head, config), start, config) for config, head in jobs]
    few = tqdm([plain[i] for i in some], mininterval=5)
    usual, seconds = timed(lambda: [train_alone(*each) for each in few])

    steps, all_steps = (
        sum(jobs[i][0].num_steps for i in each) for each in (some, range(len(jobs)))
    )
    print(f"{len(jobs)} heads, {all_steps} steps of {cell.arm}, {args.shots} shots")
    times = [seconds * all_steps / steps, one_by_one, encoding, together]
    apart = largest_difference(fit, alone, dict(zip(some, usual, strict=True)), held)
    return report(*times, apart=apart)


def largest_difference(
    fit: lab.Fit,
    alone: Sequence[torch.nn.Module],
    usual: Mapping[int, torch.nn.Module],
    held: tuple[Tensor, Tensor],
) -> float:
    """Compare the accuracy of every head with that of the same head, trained in another way."""
    features, truth = held
    guesses = torch.cat([fit.logits(features, i).argmax(-1) for i in range(len(SETTINGS))])

    def accuracy(guess: Tensor) -> float:
        return (guess == truth).double().mean().item()

    with torch.no_grad():
        pairs = [*enumerate(alone), *usual.items()]
        others = [(i, accuracy(layer(features).argmax(-1))) for i, layer in pairs]
    return max(abs(accuracy(guesses[i]) - other) for i, other in others)


def report(
    usual: float, one_by_one: float, encoding: float, together: float, *, apart: float
) -> int:
    """Print times, ratios and the largest difference; 0 if the targets are met."""
    ratios = {"usual": usual / (encoding + together), "one by one": one_by_one / together}
    print(f"{'usual loop (scaled)':28}{usual:9.1f} s{ratios['usual']:9.1f} times")
    print(f"{'one by one from features':28}{one_by_one:9.1f} s{ratios['one by one']:9.1f} times")
    print(f"{'the lab: encoding':28}{encoding:9.1f} s")
    print(f"{'the lab: all together':28}{together:9.1f} s")
    print(f"largest difference of accuracy: {100 * apart:.2f} points")
    is_met = all(ratios[name] >= least for name, least in LEAST.items())
    return 0 if is_met and apart <= MOST_APART else 1


if __name__ == "__main__":
    sys.exit(main())
