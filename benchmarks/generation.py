"""Time the lab's way to draw its images against the documented call, and compare what they teach.

    python benchmarks/generation.py [--per-class 96] [--seeds 10]

The documented call draws one prompt at a time in 50 guided steps. The lab draws in batches with
``small_text2image_few_steps``, which is the same model, distilled; batches of ten guided steps are
there for comparison. All draw the same prompts.
Prints images per second and ratios, and with each pool's images the lab's accuracy: its difference
to the documented call's with a 95 % interval over seeds and test images. Exits with 1 if the lab's
way is under 20 times faster or 25 images a second, or an interval of real + synthetic leaves 3
points. Each way draws one pool, from which all seeds take theirs: for another pool the interval
makes no allowance.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from tqdm import tqdm

from course_utils import examples, lab, metrics, runtime, text2image, zero_shot
from course_utils.examples import Example, Splits
from course_utils.runtime import Profile
from course_utils.text2image import GenerationConfig

GUIDANCE_SCALE = 3.0
ARMS = ("synthetic", "real", "real+synthetic")
TEMPLATES = zero_shot.TEMPLATES["satellite"]
LAB = "the lab: batches, distilled to 4 steps"
WAYS = {  # name -> (artifact, steps)
    "batches, 10 steps": ("small_text2image", 10),
    LAB: ("small_text2image_few_steps", 4),
}


def documented(pipeline, prompts: list[str]) -> Iterator[np.ndarray]:
    """Draw as the library's documentation shows: a prompt a call."""
    generator = torch.Generator().manual_seed(0)
    for prompt in prompts:
        image = pipeline(
            prompt,
            num_inference_steps=50,
            guidance_scale=GUIDANCE_SCALE,
            height=64,
            width=64,
            generator=generator,
        ).images[0]
        yield np.asarray(image)


def in_batches(model, prompts: list[str], steps: int) -> Iterator[np.ndarray]:
    """Draw as the lab does."""
    config = GenerationConfig(num_sample_steps=steps, guidance_scale=GUIDANCE_SCALE)
    for drawn in text2image.generate(model, prompts, config):
        yield drawn.image


def timed(images: Iterator[np.ndarray], num: int, what: str) -> tuple[list[np.ndarray], float]:
    """Collect the images; loading the model is not counted, the first batch is."""
    bar = tqdm(total=num, desc=what, mininterval=5)
    start, drawn = time.perf_counter(), []
    for image in images:
        drawn.append(image)
        bar.update()
    bar.close()
    return drawn, time.perf_counter() - start


def correct_by_arm(data: Splits, pool: list[Example], grid: lab.Grid) -> dict[str, torch.Tensor]:
    """Run the lab on a pool; which test images each arm gets right, seeds x images."""
    clip = zero_shot.load_clip()
    weights = zero_shot.class_weights(clip, data.phrases, TEMPLATES)
    parts = (data.train, pool, data.validation, data.test)
    real, drawn, validation, test = (zero_shot.image_features(clip, part) for part in parts)
    bank = lab.Bank.of(real, labels_of(data.train))
    bank = bank.add("drawn", drawn, labels_of(pool), generator=grid.generators[0])
    scale = {"logit_scale": clip.logit_scale}
    cells = lab.draw_cells(grid, bank, weights, **scale)
    fits = list(
        lab.train_cells([cell for cell in cells if cell.arm in ARMS], bank, weights, **scale)
    )
    chosen = lab.choose_settings(fits, validation, labels_of(data.validation))
    truth = labels_of(data.test)
    return {
        fit.cell.arm: (fit.logits(test, setting).argmax(-1) == truth).double()
        for fit, setting in zip(fits, chosen, strict=True)
    }


def labels_of(part: Sequence[Example]) -> torch.Tensor:
    """Collect the labels."""
    return torch.tensor([example.label for example in part])


def main() -> int:
    """Draw, train, compare, and say whether the targets are met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--per-class", type=int, default=96)
    parser.add_argument("--seeds", type=int, default=10)
    args = parser.parse_args()
    shots = args.per_class // 6
    data = examples.load_examples(
        "disasters", profile=Profile(shots=max(20, shots)), cache=runtime.setup().cache
    )
    num = {"per_class": args.per_class // 2, "pool_per_class": args.per_class}
    grid = lab.Grid(("drawn",), shots=(shots,), seeds=tuple(range(args.seeds)), few=shots, **num)
    prompts, labels = lab.write_prompts(data.phrases, TEMPLATES, per_class=args.per_class)
    pipeline = text2image.load_pipeline("small_text2image").pipeline
    slow = "documented call, 50 steps"
    drawn = {slow: timed(documented(pipeline, prompts), len(prompts), slow)}
    for name, (artifact, steps) in WAYS.items():
        model = text2image.load_pipeline(artifact)
        drawn[name] = timed(in_batches(model, prompts, steps), len(prompts), name)
    results = {}
    for name, (images, _) in drawn.items():
        pool = [Example(k, "synthetic", pixels=i) for k, i in zip(labels, images, strict=True)]
        results[name] = correct_by_arm(data, pool, grid)
    return report(drawn, results, num_images=len(prompts), shots=shots)


def report(drawn: dict, results: dict, *, num_images: int, shots: int) -> int:
    """Print both tables; 0 if the targets are met."""
    slow, *_ = drawn
    reference, met = results[slow], True
    num_seeds, num_test = reference["real"].shape
    print(f"\n{num_images} images, guidance {GUIDANCE_SCALE:g}, {torch.get_num_threads()} threads")
    for name, (_, seconds) in drawn.items():
        ratio, rate = drawn[slow][1] / seconds, num_images / seconds
        met &= name != LAB or (ratio >= 20 and rate >= 25)
        print(f"{name:42}{rate:8.1f} images/s{ratio:8.1f} times")
    print(f"\naccuracy, {shots} real images a class, {num_seeds} seeds, {num_test} test images;")
    print(f"difference to '{slow}' in points, 95 % interval")
    for arm, right in reference.items():
        if arm == "real":
            continue
        line = f"{lab.arm_label(arm):24}{100 * right.mean():6.1f} %"
        for name in list(drawn)[1:]:
            interval = metrics.crossed_interval(results[name][arm] - right)
            low, high = 100 * interval.low, 100 * interval.high
            met &= name != LAB or arm == "synthetic" or (low >= -3 and high <= 3)
            line += f"   {100 * interval.mean:+.1f} [{low:+.1f}, {high:+.1f}]"
        print(line)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
