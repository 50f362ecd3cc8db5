"""Small tiles of the world with their land cover, for models of images and masks together."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor
from torch.nn import functional

import mini_earth
from course_utils import runtime
from course_utils.control.satsynth import COVER, SIDE, Pairs, merge_cover

# with structure: roads, roofs, fields, shores
SCENES = (
    "dense_residential",
    "medium_residential",
    "industrial_area",
    "harbor",
    "river",
    "rectangular_farmland",
)
FINEST, COARSEST = 1.6, 2.6  # meters a pixel: a house is about five pixels wide


def halve_mask(masks: Tensor) -> Tensor:
    """Give each square of four pixels the class that most of them have."""
    votes = functional.one_hot(masks.long(), len(COVER)).permute(0, 3, 1, 2).float()
    return functional.avg_pool2d(votes, 2).argmax(dim=1).to(torch.uint8)


def _render(part: str, index: int, style: str) -> tuple[np.ndarray, np.ndarray]:
    """Render a tile at twice its side: colors and land cover."""
    seed = runtime.derive_seed("satsynth", part, index) % (1 << 48)
    rng = np.random.default_rng(seed)
    extent = SIDE * float(np.exp(rng.uniform(np.log(FINEST), np.log(COARSEST))))
    scene = mini_earth.make_scene(SCENES[index % len(SCENES)], style, seed=seed, extent=extent)
    view = mini_earth.render(scene, size=2 * SIDE)
    return view.image.transpose(2, 0, 1), view.land_cover


def render_pairs(
    part: str, num_pairs: int, *, styles: Sequence[str], cache: Path | None = None
) -> Pairs:
    """Render tiles and masks; scenes and styles take turns, so that any run of rows has all.

    Args:
        part: names the scenes; two parts share none.
        num_pairs: how many.
        styles: of ``mini_earth``.
        cache: a folder to keep them in, or to read them back from.
    """
    what = repr((part, num_pairs, tuple(styles), SCENES, FINEST, COARSEST, mini_earth.__version__))
    name = f"pairs_{hashlib.sha256(what.encode()).hexdigest()[:12]}.safetensors"
    if cache is not None and (sealed := runtime.read_sealed(cache / name)) is not None:
        return Pairs(**load(sealed))
    found = [_render(part, i, styles[i // len(SCENES) % len(styles)]) for i in range(num_pairs)]
    images, cover = (torch.from_numpy(np.stack(each)) for each in zip(*found, strict=True))
    small = functional.avg_pool2d(images.float(), 2).round().to(torch.uint8)
    pairs = Pairs(small.contiguous(), halve_mask(merge_cover(cover)))
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
        runtime.write_sealed(cache / name, save({"images": pairs.images, "masks": pairs.masks}))
    return pairs
