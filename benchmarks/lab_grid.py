"""Time the lab's grid on cached features against the usual loop, which re-encodes every epoch.

    python benchmarks/lab_grid.py [--shots 4] [--epochs 30]

Both train the same arms for the same steps from the same start on the same batches; only the
moment of encoding differs. Prints both times, their ratio for the grid and for a single arm, and
the largest difference of accuracy; exits with 1 if the grid is under 30 times faster or an
accuracy differs by more than half a point.
"""

import argparse
import sys
import time
from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional
from tqdm import tqdm

import mini_earth
from course_utils import lab, zero_shot
from course_utils.examples import Example, Splits
from course_utils.lab import Budget
from course_utils.runtime import derive_seed, seeded
from course_utils.tuning import TuneConfig

BATCH = 64


def draw(part: str, per_class: int, styles: tuple[str, ...]) -> tuple[Example, ...]:
    """Render labelled disasters; the benchmark's pool stands for generated images."""
    examples = []
    for index in range(per_class * len(mini_earth.DISASTERS)):
        label = index % len(mini_earth.DISASTERS)
        seed = derive_seed("benchmark", part, index) % (1 << 48)
        scene = mini_earth.disaster_scene(
            mini_earth.DISASTERS[label], styles[index % len(styles)], seed=seed
        )
        examples.append(Example(label, "real", pixels=mini_earth.render(scene).image))
    return tuple(examples)


def labels_of(examples: tuple[Example, ...]) -> torch.Tensor:
    """Collect the labels."""
    return torch.tensor([example.label for example in examples])


def usual_loop(clip, examples, arm, weights, config, test) -> torch.Tensor:
    """Train one arm as a student would: load, preprocess and encode every batch anew."""
    with torch.random.fork_rng():
        layer = torch.nn.Linear(weights.shape[1], len(weights))
    with torch.no_grad():
        layer.weight.copy_(clip.logit_scale * weights)
        layer.bias.zero_()
    optimizer = torch.optim.AdamW(
        layer.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.num_steps)
    generator = seeded(arm.data.seed)
    order = torch.empty(0, dtype=torch.long)
    for _ in range(config.num_steps):
        while len(order) < BATCH:
            order = torch.cat([order, torch.randperm(len(arm.data.rows), generator=generator)])
        batch, order = order[:BATCH], order[BATCH:]
        rows = arm.data.rows[batch].tolist()
        images = torch.stack([clip.preprocess(examples[row].load()) for row in rows])
        loss = functional.cross_entropy(layer(clip.encode_image(images)), arm.data.labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return layer(test).argmax(-1)


def grid(clip, examples, arms, weights, config, test) -> torch.Tensor:
    """Train the arms as the lab does, from images to predictions."""
    bank = zero_shot.image_features(clip, examples)
    *_, last = lab.run_arms(arms, bank, weights, config, test=test, logit_scale=clip.logit_scale)
    return last.predictions


def main() -> int:
    """Run both, print the table, and say whether the target is met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shots", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=30)
    args = parser.parse_args()
    clip = zero_shot.load_clip()
    real = draw("real", 2 * args.shots, (mini_earth.TEST_STYLE,))
    pool = draw("pool", 6 * args.shots, mini_earth.TRAIN_STYLES)
    test_examples = draw("test", 100, (mini_earth.TEST_STYLE,))
    data = Splits(real, (), test_examples, mini_earth.DISASTERS, mini_earth.DISASTERS, "benchmark")
    budget = Budget(args.shots, 6 * args.shots, seeds=(0, 1, 2))
    arms = lab.draw_arms(real, pool, budget)
    weights = zero_shot.class_weights(clip, data.phrases, zero_shot.TEMPLATES["satellite"])
    test, truth = zero_shot.image_features(clip, test_examples), labels_of(test_examples)
    trained = [arm for arm in arms if arm.data is not None]
    largest = max(len(arm.data.rows) for arm in trained)
    config = TuneConfig(num_steps=args.epochs * -(-largest // BATCH), batch_size=BATCH)
    examples = (*real, *pool)

    start = time.perf_counter()
    quick = grid(clip, examples, trained, weights, config, test)
    quick_seconds = time.perf_counter() - start
    start = time.perf_counter()
    slow = torch.stack(
        [usual_loop(clip, examples, a, weights, config, test) for a in tqdm(trained, mininterval=5)]
    )
    slow_seconds = time.perf_counter() - start

    one = next(arm for arm in trained if arm.arm == "real+synthetic" and arm.ratio == 4)
    used = [examples[row] for row in one.data.rows.tolist()]
    alone = replace(one, data=replace(one.data, rows=torch.arange(len(used))))
    start = time.perf_counter()
    grid(clip, used, [alone], weights, config, test)
    one_quick = time.perf_counter() - start
    start = time.perf_counter()
    usual_loop(clip, examples, one, weights, config, test)
    one_slow = time.perf_counter() - start

    accuracies = [(guess == truth).double().mean(1).numpy() for guess in (quick, slow)]
    worst = float(np.abs(accuracies[0] - accuracies[1]).max())
    ratio = slow_seconds / quick_seconds
    print(f"{len(trained)} heads, {config.num_steps} steps of {BATCH}, {args.shots} shots")
    print(f"{'':24}{'usual loop':>12}{'this course':>12}{'ratio':>8}")
    print(f"{'whole grid':24}{slow_seconds:>10.1f} s{quick_seconds:>10.1f} s{ratio:>8.0f}")
    print(
        f"{'one arm (1:4)':24}{one_slow:>10.1f} s{one_quick:>10.1f} s{one_slow / one_quick:>8.0f}"
    )
    print(f"largest difference of accuracy: {100 * worst:.2f} points")
    return 0 if ratio >= 30 and worst <= 0.005 else 1


if __name__ == "__main__":
    sys.exit(main())
