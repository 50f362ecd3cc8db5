"""What super-resolution learns from: renders and photographs, and the bands of both."""

import argparse
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from course_utils import control
from course_utils.control.study import turn_tile
from tools import training
from tools.control import views

SIZE = views.SIZE
VISIBLE_SHARE = 0.5  # of the renders that are told with the visible bands alone
OPTIONS = ("data", "file", "work", "name", "models", "styles", "minutes", "steps", "batch", "seed")
OPTIONS = (*OPTIONS, "learning_rate", "real_share", "renders", "validation_renders", "threads")
OPTIONS = (*OPTIONS, "processes", "export")


def make_parser(doc: str, **settings: object) -> argparse.ArgumentParser:
    """Make the parser that both trainers have."""
    defaults = {"renders": 16_000, "validation_renders": 1_000}
    return training.make_parser(doc, OPTIONS, **defaults | settings)


@dataclass(frozen=True)
class Photographs:
    """Crops of photographs, of which only the visible bands can be known, and what is said."""

    images: Tensor  # uint8, n 3 64 64
    captions: tuple[tuple[str, ...], ...]
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.captions)


@dataclass(frozen=True)
class Sources:
    """Renders with their land cover, and photographs."""

    told: views.ToldViews
    photographs: Photographs


def crop(photographs: training.Captioned) -> Photographs:
    """Cut photographs of 128 px: the whole at half size, then the four quarters."""
    images = photographs.images
    whole = F.avg_pool2d(images.float(), 2).round().byte()
    ends = (slice(None, SIZE), slice(-SIZE, None))
    quarters = [images[:, :, rows, columns] for rows in ends for columns in ends]
    copies = 1 + len(quarters)
    return Photographs(
        torch.cat([whole, *quarters]),
        captions=photographs.sentences * copies,
        labels=photographs.labels * copies,
    )


def load_sources(args: argparse.Namespace) -> tuple[Sources, Sources]:
    """Load what is learned from, and what is held out of it."""
    (path,) = [args.data / "train" / name for name in args.file]
    photographs = training.read_captioned(path, size=2 * SIZE)
    pairs = zip(
        views.render_parts(args), map(crop, training.split_last_tenth(photographs)), strict=True
    )
    past, held = (Sources(*pair) for pair in pairs)
    return past, held


def draw_batch(
    args: argparse.Namespace, sources: Sources, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Draw rows of renders and of photographs for a batch."""
    num_real = round(args.real_share * args.batch)
    rows = rng.integers(len(sources.told), size=args.batch - num_real)
    real_rows = rng.integers(len(sources.photographs), size=num_real)
    return torch.from_numpy(rows), torch.from_numpy(real_rows)


def bands_of(
    sources: Sources,
    rows: Tensor,
    real_rows: Tensor,
    *,
    pose: int,
    real_pose: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Look at a batch, each part in its pose: sharp images (uint8), and their bands, renders first.

    Half of the renders show their visible bands alone, as photographs do.
    """
    told = sources.told
    renders, cover = turn_tile(told.images[rows], pose), turn_tile(told.land_cover[rows], pose)
    photographs = turn_tile(sources.photographs.images[real_rows], real_pose)
    bands = control.simulate_bands(renders, cover, generator=generator)
    hidden = torch.rand(len(rows), generator=generator) < VISIBLE_SHARE
    bands[hidden] = control.hide_invisible(bands[hidden])
    real_bands = control.bands_from_rgb(photographs, generator=generator)
    return torch.cat([renders, photographs]), torch.cat([bands, real_bands])


def held_bands(held: Sources, num: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Give the first held-out images and their bands: renders told all, or what is visible."""
    generator = torch.Generator().manual_seed(99)
    renders, cover = held.told.images[:num], held.told.land_cover[:num]
    bands = control.simulate_bands(renders, cover, generator=generator)
    order = np.random.default_rng(99).permutation(len(held.photographs))[:num]
    photographs = held.photographs.images[torch.from_numpy(order)]
    return {
        "all bands": (renders, bands),
        "visible bands": (renders, control.hide_invisible(bands)),
        "photographs": (photographs, control.bands_from_rgb(photographs, generator=generator)),
    }


def record(args: argparse.Namespace, held: Sources) -> dict[str, object]:
    """Record what decided a run."""
    names = ("seed", "batch", "real_share", "renders", "styles", "learning_rate")
    settings = {name: getattr(args, name) for name in names}
    files = [args.data / "train" / name for name in args.file]
    num = {"mini_earth": len(held.told), "UC Merced": len(held.photographs)}
    return training.provenance(files, **settings, num_validation=num)
