"""Measure extracting features against the bare forward pass of the same network.

    python benchmarks/features.py [--images 512] [--rounds 9] [--threads 2]
    python benchmarks/features.py --gpu

Reading files, decoding, resizing and keeping account may cost at most a fifth of the throughput:
``image_features`` has to reach 80 % of what the image encoder does alone, on batches that lie ready
in its memory. On the CPU with the small CLIP, JPEGs of 64 pixels and batches of 128; both on the
same number of threads. With ``--gpu`` with a ViT-L/14 in mixed precision and JPEGs of 256 pixels;
its weights are random, which takes as much time as any. The two take turns, so that a change in the
machine's load meets both; medians of the rounds count. Exits with 1 if it is too slow.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import open_clip
import torch
from PIL import Image
from safetensors.torch import save_file
from tqdm import tqdm

import mini_earth
from course_utils import zero_shot
from course_utils.examples import Example
from course_utils.runtime import derive_seed

AT_LEAST = 0.8
BATCH = 128


def write_images(root: Path, num: int, side: int) -> list[Example]:
    """Render views and write them as JPEGs, each another one."""
    examples = []
    for i in tqdm(range(num), mininterval=5, desc="images"):
        seed = derive_seed("features", i) % (1 << 48)
        disaster = mini_earth.DISASTERS[i % len(mini_earth.DISASTERS)]
        scene = mini_earth.disaster_scene(disaster, mini_earth.TEST_STYLE, seed=seed)
        image = Image.fromarray(mini_earth.render(scene).image)
        path = root / f"{i:05d}.jpg"
        image.resize((side, side), Image.Resampling.BICUBIC).save(path, quality=90)
        examples.append(Example(label=0, source="real", path=path))
    return examples


def write_random(root: Path, architecture: str) -> Path:
    """Write an open_clip folder with random weights."""
    root.mkdir()
    torch.manual_seed(0)
    config = open_clip.get_model_config(architecture)
    net = open_clip.CLIP(**config)
    state = {name: value.half().contiguous() for name, value in net.state_dict().items()}
    save_file(state, root / "open_clip_model.safetensors")
    content = {"model_cfg": config, "preprocess_cfg": {}}
    (root / "open_clip_config.json").write_text(json.dumps(content), encoding="utf-8")
    return root


def forward_pass(clip: zero_shot.Clip, examples: list[Example]) -> Callable[[], torch.Tensor]:
    """Prepare all batches on the device; the result encodes them and does nothing else."""
    parts = [examples[i : i + BATCH] for i in range(0, len(examples), BATCH)]
    batches = [
        torch.stack([clip.preprocess(example.load()) for example in part]).to(clip.device)
        for part in parts
    ]
    return lambda: torch.cat([clip.encode_image(batch) for batch in batches])


def seconds(do: Callable[[], torch.Tensor]) -> tuple[float, torch.Tensor]:
    """Time one run; what it gives lies on the CPU, so a GPU has finished."""
    start = time.perf_counter()
    result = do()
    return time.perf_counter() - start, result


def measure(clip: zero_shot.Clip, examples: list[Example], rounds: int) -> dict[str, list[float]]:
    """Time both in turn; their features must be the same."""
    ways = {
        "bare forward pass": forward_pass(clip, examples),
        "image_features": lambda: zero_shot.image_features(clip, examples, batch_size=BATCH),
    }
    warm = [seconds(do)[1] for do in ways.values()]
    torch.testing.assert_close(*warm, rtol=1e-3, atol=1e-3)
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in tqdm(range(rounds), mininterval=5, desc="rounds"):
        for name, do in ways.items():
            times[name].append(seconds(do)[0])
    return times


def main() -> int:
    """Measure, print, and say whether the bound holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument(
        "--threads", type=int, default=2, help="of torch, and to decode; on the CPU"
    )
    parser.add_argument("--gpu", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.gpu:
            source, device, side = str(write_random(Path(folder, "vit"), "ViT-L-14")), "cuda", 256
        else:
            torch.set_num_threads(args.threads)
            source, device, side = "small_clip", "cpu", 64
        clip = zero_shot.load_clip(source, device=device)
        examples = write_images(Path(folder), args.images, side)
        times = measure(clip, examples, args.rounds)
    shares = np.divide(times["bare forward pass"], times["image_features"])
    share = statistics.median(shares)
    where = torch.cuda.get_device_name() if args.gpu else f"CPU, {args.threads} threads"
    print(f"{args.images} JPEGs of {side} px, batches of {BATCH}, {where}, {args.rounds} rounds")
    for name, values in times.items():
        print(f"{name:<20}{args.images / statistics.median(values):9.0f} images/s")
    spread = f"rounds {min(shares):.2f} to {max(shares):.2f}"
    print(f"{'share':<20}{share:9.2f}  ({AT_LEAST} or more; {spread})")
    return 0 if share >= AT_LEAST else 1


if __name__ == "__main__":
    sys.exit(main())
