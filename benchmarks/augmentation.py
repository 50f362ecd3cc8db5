"""Time augmentation on whole batches against torchvision's pipeline on one PIL image after another.

    python benchmarks/augmentation.py [--batches 24] [--repeats 3]

Both augment the same images of 64 px, 256 a batch: random resized crop, rotation by any angle
(bilinear), two flips, brightness, contrast, saturation, hue, Gaussian noise, a hole; float32
comes out. Images are decoded before the clock starts.

First a table by operation, in CPU seconds of one thread, which other work on the machine disturbs
least; torchvision works through a list of PIL images (of tensors, where it needs them), the course
through one batch. Then the whole, on two cores: a DataLoader with two worker processes against
``augment_batch`` with two threads in this process. Wall time a batch is over an epoch, after one in
which the workers started; the ways take turns, and the medians count. Of torchvision's first and
second interface the faster one counts. Exits with 1 if the course is under 2 times faster. Where
other work keeps the cores busy, trust the table more.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms as v1
from torchvision.transforms import v2

from course_utils import augment
from course_utils.images import from_pil, to_unit

SIZE, BATCH, CORES, NUM_WORKERS, TARGET = 64, 256, 2, 2, 2.0
BILINEAR = v2.InterpolationMode.BILINEAR
AREA, NOISE, HOLE = (0.25, 1.0), 0.05, (0.0625, 0.25)  # shares of the area; sigma
OURS = {
    "random resized crop": (augment.RandomResizedCrop(AREA),),
    "rotation, bilinear": (augment.Rotate(),),
    "flips": (augment.Flip(),),
    "brightness": (augment.Brightness(),),
    "contrast": (augment.Contrast(),),
    "saturation": (augment.Saturation(),),
    "hue": (augment.Hue(),),
    "Gaussian noise": (augment.GaussianNoise((NOISE, NOISE)),),
    "Cutout": (augment.Cutout(tuple(share**0.5 for share in HOLE)),),
}
WHOLE = augment.Compose(tuple(part for parts in OURS.values() for part in parts))


def noisy(image: torch.Tensor) -> torch.Tensor:
    """Add noise as one writes it by hand, which is faster than v2.GaussianNoise."""
    return (image + NOISE * torch.randn_like(image)).clamp_(0, 1)


def theirs(lib) -> dict[str, Callable]:
    """Write torchvision's operations, of its first or second interface."""
    noise = v2.GaussianNoise(sigma=NOISE) if lib is v2 else noisy
    return {
        "random resized crop": lib.RandomResizedCrop(SIZE, scale=AREA, antialias=True),
        "rotation, bilinear": lib.RandomRotation(180, interpolation=BILINEAR),
        "flips": lib.Compose([lib.RandomHorizontalFlip(), lib.RandomVerticalFlip()]),
        "brightness": lib.ColorJitter(brightness=0.4),
        "contrast": lib.ColorJitter(contrast=0.4),
        "saturation": lib.ColorJitter(saturation=0.4),
        "hue": lib.ColorJitter(hue=0.1),
        "Gaussian noise": noise,
        "Cutout": lib.RandomErasing(p=1.0, scale=HOLE, ratio=(1.0, 1.0)),
    }


def pipeline(lib) -> Callable:
    """Write torchvision's whole pipeline, from a PIL image to a tensor."""
    parts = theirs(lib)
    jitter = lib.ColorJitter(0.4, 0.4, 0.4, 0.1)
    to_tensor = v1.ToTensor()
    if lib is v2:
        to_tensor = v2.Compose([v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)])
    moves = [parts[name] for name in ("random resized crop", "rotation, bilinear", "flips")]
    return lib.Compose([*moves, jitter, to_tensor, parts["Gaussian noise"], parts["Cutout"]])


class Pictures(Dataset):
    """Decoded images, augmented when asked for."""

    def __init__(self, pictures: list[Image.Image], transform: Callable, length: int) -> None:
        self.pictures, self.transform, self.length = pictures, transform, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, i: int) -> torch.Tensor:
        return self.transform(self.pictures[i % len(self.pictures)])


def loader(pictures: list[Image.Image], transform: Callable, num_batches: int) -> DataLoader:
    """Start two workers that stay, and let them do one epoch."""
    data = Pictures(pictures, transform, num_batches * BATCH)
    started = DataLoader(data, batch_size=BATCH, num_workers=NUM_WORKERS, persistent_workers=True)
    for _ in started:
        pass
    return started


def epoch_of_workers(started: DataLoader) -> float:
    """Time an epoch of worker processes; wall seconds a batch."""
    start, count = time.perf_counter(), 0
    for _ in started:
        count += 1
    return (time.perf_counter() - start) / count


def epoch_of_ours(pixels: torch.Tensor, num_batches: int) -> float:
    """Time as many batches of ours, bytes to augmented floats; wall seconds a batch."""
    generator = torch.Generator().manual_seed(0)
    start = time.perf_counter()
    for _ in range(num_batches):
        augment_bytes(pixels, generator)
    return (time.perf_counter() - start) / num_batches


def cpu(work: Callable[[], object], repeats: int) -> float:
    """Time one call in CPU seconds of this process: the best of some, after one to warm up."""
    work()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def print_operations(pictures: list[Image.Image], pixels: torch.Tensor, repeats: int) -> None:
    """Print CPU milliseconds a batch, operation by operation, then of several at once."""
    torch.set_num_threads(1)
    batch, generator = augment.Batch(to_unit(pixels)), torch.Generator().manual_seed(0)
    tensors = list(batch.images)

    def line(name: str, operations: list[Callable], images: list, ours: Callable) -> None:
        times = [cpu(lambda op=op: [op(image) for image in images], repeats) for op in operations]
        times.append(cpu(ours, repeats))
        columns = "".join(f"{1e3 * seconds:10.1f}" for seconds in times)
        print(f"{name:24}{columns}{min(times[:-1]) / times[-1]:10.1f}")

    def ours(parts: tuple[augment.Augmentation, ...]) -> Callable[[], object]:
        return lambda: augment.augment_batch(batch, augment.Compose(parts), generator=generator)

    print(f"\nCPU ms for {BATCH} images of {SIZE} px, 1 thread")
    print(f"{'':24}{'v1':>10}{'v2':>10}{'ours':>10}{'times':>10}")
    both = theirs(v1), theirs(v2)
    for name, parts in OURS.items():
        images = tensors if name in ("Gaussian noise", "Cutout") else pictures
        line(name, [operations[name] for operations in both], images, ours(parts))
    moves = [v1.Compose(list(operations.values())[:3]) for operations in both]
    line("the first three, fused", moves, pictures, ours(WHOLE.augmentations[:3]))
    line(
        "everything, from bytes",
        [pipeline(lib) for lib in (v1, v2)],
        pictures,
        lambda: augment_bytes(pixels, generator),
    )


def augment_bytes(pixels: torch.Tensor, generator: torch.Generator) -> augment.Batch:
    """Do the course's whole pipeline, from bytes."""
    return augment.augment_batch(augment.Batch(to_unit(pixels)), WHOLE, generator=generator)


def main() -> int:
    """Measure, print, and say whether the target is met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, default=24, help="in an epoch")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    arrays = rng.integers(0, 256, (BATCH, SIZE, SIZE, 3), dtype=np.uint8)
    pictures = [Image.fromarray(array) for array in arrays]
    pixels = torch.stack([from_pil(picture) for picture in pictures])

    cores = sorted(os.sched_getaffinity(0))[:CORES]
    os.sched_setaffinity(0, cores)  # for the workers, too
    print_operations(pictures, pixels, args.repeats)

    torch.set_num_threads(len(cores))
    loaders = {
        f"torchvision {name}, {NUM_WORKERS} workers": loader(pictures, pipeline(lib), args.batches)
        for name, lib in (("v1", v1), ("v2", v2))
    }
    epoch_of_ours(pixels, 2)
    times: dict[str, list[float]] = {name: [] for name in (*loaders, "ours")}
    for _ in range(args.repeats):
        for name, started in loaders.items():
            times[name].append(epoch_of_workers(started))
        times["ours"].append(epoch_of_ours(pixels, args.batches))
    medians = {name: statistics.median(found) for name, found in times.items()}
    print(f"\nwall ms a batch on {len(cores)} cores, median of {args.repeats} epochs")
    for name, seconds in medians.items():
        spread = " to ".join(f"{1e3 * end:.1f}" for end in (min(times[name]), max(times[name])))
        print(f"{name:28}{1e3 * seconds:10.1f}   ({spread})")
    ratio = min(medians[name] for name in loaders) / medians["ours"]
    print(f"\n{ratio:.2f} times faster than the faster of torchvision's two; target {TARGET:g}")
    return 0 if ratio >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
