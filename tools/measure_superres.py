"""Measure super-resolution, copied, predicted and drawn, into a table and sheets of pictures.

    python -m tools.measure_superres --data DATA --work WORK --models FOLDER

On held-out renders (told all ten bands, or what is visible), held-out photographs of UC Merced and
validation tiles of EuroSAT, which no network has seen: PSNR, SSIM, the distance of features, what
the small CLIP reads, and where the small segmenter finds roads and buildings that the sharp image
does not have. Drawings have several seeds; a number is the mean over them image by image, its
interval is over images.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import mini_earth
from course_utils import control
from course_utils.examples import Example
from course_utils.hub import locate
from course_utils.metrics import mean_interval
from course_utils.zero_shot import TEMPLATES, Clip, class_weights, image_features, load_clip
from tools import training
from tools.control import adapters, coarse, likeness
from tools.training.options import REPO

COLUMNS = ("on", "method", "metric", "space", "value", "low", "high", "n", "seeds")
COLUMNS = (*COLUMNS, "command", "commit", "machine")
BUILT = tuple(mini_earth.LAND_COVER.index(name) for name in ("road", "building"))
OPTIONS = ("data", "file", "work", "models", "styles", "renders", "validation_renders", "table")
OPTIONS = (*OPTIONS, "seeds", "num_test", "threads", "processes")
SHOWN = 6  # images of a sheet
SHUFFLED = "generator told another image's bands"  # a control, on the first test alone


@dataclass(frozen=True)
class Test:
    """Sharp images, their bands, and what they show."""

    on: str
    truth: Tensor  # uint8, n 3 h w
    bands: Tensor
    labels: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """List the classes."""
        return sorted(set(self.labels))


@dataclass(frozen=True)
class Judges:
    """Who compares and reads pictures."""

    mae: likeness.Mae
    early_clip: likeness.EarlyClip
    clip: Clip
    segmenter: control.Segmenter | None


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    table = REPO / "data" / "measured" / "superres.csv"
    defaults = {"renders": 250, "validation_renders": 1_000, "table": table}
    parser = training.make_parser(__doc__, OPTIONS, **defaults, seeds=3, num_test=200)
    return parser.parse_args(argv)


def load_tests(args: argparse.Namespace) -> Iterator[Test]:
    """Give what is measured on: at most ``num_test`` images each."""
    _, held = coarse.load_sources(args)
    generator, num = torch.Generator().manual_seed(7), args.num_test
    told = held.told.take(range(min(num, len(held.told))))
    bands = control.simulate_bands(told.images, told.land_cover, generator=generator)
    labels = said_of(told.labels, mini_earth.SCENE_PHRASES | mini_earth.DISASTER_PHRASES)
    yield Test("renders, all bands", told.images, bands, labels)
    tiles, classes = read_eurosat(num)
    seen = control.bands_from_rgb(tiles, generator=generator)
    yield Test("eurosat", tiles, seen, classes)
    num = min(num, len(held.photographs) // 5)  # the whole ones come first
    pictures = held.photographs.images[:num]
    seen = control.bands_from_rgb(pictures, generator=generator)
    classes = said_of(held.photographs.labels[:num], training.words.UC_MERCED_PHRASES)
    yield Test("photographs", pictures, seen, classes)
    yield Test("renders, visible bands", told.images, control.hide_invisible(bands), labels)


def said_of(labels: Sequence[str], phrases: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Say classes in words, as the classifier learned them."""
    return tuple(phrases[label][0] for label in labels)


def read_eurosat(num: int) -> tuple[Tensor, tuple[str, ...]]:
    """Read as many validation tiles of each class of the shipped EuroSAT."""
    path = REPO / "data" / "eurosat_course" / "eurosat_course_validation.parquet"
    tiles = training.read_captioned(path, size=coarse.SIZE, allow_eurosat=True)
    rows: dict[str, list[int]] = {}
    for index, label in enumerate(tiles.labels):
        rows.setdefault(label, []).append(index)
    kept = tiles.take([i for part in rows.values() for i in part[: num // len(rows)]])
    return kept.images, said_of(kept.labels, tiles.phrases)


def methods(
    args: argparse.Namespace, base: adapters.Base
) -> dict[str, tuple[int, Callable[[Test, int], Tensor]]]:
    """Give each way to sharpen: how many seeds it has, and from a test and a seed to bytes."""
    small = control.load_small_sr(str(args.models / "small_sr"))
    controlled = control.load_control(str(args.models / "small_superres"), device="cpu")

    def draw(test: Test, seed: int, *, turn: int = 0) -> Tensor:
        seeds = [1_000 * seed + i for i in range(len(test.bands))]
        drawn = control.super_resolve(controlled, test.bands.roll(turn, 0), seeds=seeds)
        return torch.from_numpy(drawn).permute(0, 3, 1, 2).contiguous()

    @torch.no_grad()
    def restore(test: Test, _: int) -> Tensor:
        latents = base.encode_images(test.truth.float()) / base.pipeline.vae.config.scaling_factor
        parts = [base.pipeline.vae.decode(part).sample for part in latents.split(50)]
        return ((torch.cat(parts) + 1) * 127.5).round().clamp(0, 255).byte()

    return {
        "bicubic": (1, lambda test, _: control.bicubic(test.bands)),
        "small network": (1, lambda test, _: small.enlarge(test.bands)),
        "generator": (args.seeds, draw),
        SHUFFLED: (1, lambda test, seed: draw(test, seed, turn=1)),
        "autoencoder alone": (1, restore),
        "the sharp image": (1, lambda test, _: test.truth),
    }


def mean_of(drawn: Sequence[Tensor]) -> Tensor:
    """Average drawings pixel by pixel."""
    return torch.stack([each.float() for each in drawn]).mean(dim=0).round().byte()


def judge(test: Test, drawn: Sequence[Tensor], judges: Judges) -> Iterator[tuple[str, str, Tensor]]:
    """Give each metric, its space, and a number an image: the mean over the drawings."""
    found = {
        ("psnr", likeness.PIXELS): lambda images: likeness.signal_to_noise(images, test.truth),
        ("ssim", likeness.COLORS): lambda images: likeness.structure(images, test.truth),
        ("distance", "small_mae"): lambda images: likeness.feature_distance(
            judges.mae, images, test.truth
        ),
        ("distance", "small_clip, early"): lambda images: likeness.feature_distance(
            judges.early_clip, images, test.truth
        ),
        ("accuracy", "small_clip"): lambda images: is_read(test, images, judges.clip),
    }
    for (metric, space), measure in found.items():
        yield metric, space, torch.stack([measure(images).double() for images in drawn]).mean(dim=0)
    if judges.segmenter is not None:
        yield from count_built(test, drawn, judges.segmenter)


def is_read(test: Test, images: Tensor, clip: Clip) -> Tensor:
    """Say for each image whether the classifier names its class."""
    pixels = images.permute(0, 2, 3, 1).numpy()
    examples = [Example(label=0, source="real", pixels=each) for each in pixels]
    weights = class_weights(clip, test.names, TEMPLATES["satellite"])
    found = (image_features(clip, examples) @ weights.T).argmax(dim=1)
    return torch.tensor(
        [test.names[i] == label for i, label in zip(found, test.labels, strict=True)]
    ).double()


def count_built(
    test: Test, drawn: Sequence[Tensor], segmenter: control.Segmenter
) -> Iterator[tuple[str, str, Tensor]]:
    """Count pixels that the segmenter takes for road or building, against the sharp image's."""

    def built(images: Tensor) -> Tensor:
        cover = control.segment(segmenter, images.permute(0, 2, 3, 1).numpy())
        return torch.isin(cover, torch.tensor(BUILT))

    asked, found = built(test.truth), torch.stack([built(images) for images in drawn])
    share = lambda where: where.double().mean(dim=(-2, -1))  # noqa: E731
    yield "built, invented", "small_segmenter", share(found & ~asked).mean(dim=0)
    yield "built, lost", "small_segmenter", share(~found & asked).mean(dim=0)
    if len(drawn) > 1:
        agree = (found == found[:1]).all(dim=0)
        yield "built, seeds disagree", "small_segmenter", share(~agree)


def spread(drawn: Sequence[Tensor]) -> Tensor:
    """Give the standard deviation of a pixel between seeds, an image's mean, 0 to 1."""
    return (torch.stack(list(drawn)).float() / 255).std(dim=0).mean(dim=(1, 2, 3)).double()


def measure(args: argparse.Namespace) -> None:
    """Measure all and write the table and the sheets."""
    judges = Judges(
        likeness.Mae(locate("small_mae").root),
        likeness.EarlyClip(locate("small_clip").root),
        load_clip("small_clip", device="cpu"),
        load_segmenter(args),
    )
    names = ("data", "work", "seeds", "num_test")
    origin = training.origin(training.command_line("measure_superres", args, names))
    ways, rows = methods(args, adapters.Base.load("small_text2image")), []
    for test in load_tests(args):
        pictures, bicubic = {}, {}
        for method, (num_seeds, make) in ways.items():
            if method != SHUFFLED or test.on == "renders, all bands":
                pictures[method] = [make(test, seed) for seed in range(num_seeds)]
        pictures["mean of the generator's"] = [mean_of(pictures["generator"])]
        for method, drawn in pictures.items():
            numbers = list(judge(test, drawn, judges))
            if len(drawn) > 1:
                numbers.append(("spread", likeness.PIXELS, spread(drawn)))
            for metric, space, values in numbers:
                common = {"on": test.on, "method": method, "space": space, "seeds": len(drawn)}
                common |= {"n": len(values)} | origin
                rows.append({**common, "metric": metric} | bounded(values))
                if method == "bicubic":
                    bicubic[metric, space] = values
                elif (metric, space) in bicubic:
                    gain = bounded(values - bicubic[metric, space])
                    rows.append({**common, "metric": f"{metric}, less bicubic's"} | gain)
            training.say(f"{test.on}, {method}: " + said(rows, test.on, method))
        training.write_rows(args.table, COLUMNS, rows)
        show(test, pictures, args.work / "small_superres" / f"{test.on.replace(', ', '_')}.png")


def load_segmenter(args: argparse.Namespace) -> control.Segmenter | None:
    """Load the segmenter; without one its rows are left out."""
    try:
        return control.load_segmenter(str(args.models / "small_segmenter"), device="cpu")
    except ValueError as error:
        training.say(f"no segmenter: {error}")
        return None


def bounded(values: Tensor) -> dict[str, float]:
    """Give the mean over images and its interval."""
    found = mean_interval(values.tolist())
    return {"value": found.mean, "low": found.low, "high": found.high}


def said(rows: Sequence[dict], on: str, method: str) -> str:
    """Say a method's numbers in a line."""
    mine = [row for row in rows if (row["on"], row["method"]) == (on, method)]
    return ", ".join(f"{row['metric']} {row['value']:.3f}" for row in mine)


def show(test: Test, pictures: dict[str, list[Tensor]], path: Path) -> None:
    """Write a sheet: what was told, each method, three seeds of the generator, the sharp image."""
    rows = np.linspace(0, len(test.truth) - 1, SHOWN).astype(int)
    told = control.colors_of_bands(test.bands).repeat_interleave(4, 2).repeat_interleave(4, 3)
    lines = [told[rows]]
    for drawn in pictures.values():
        lines += [each[rows].float() / 255 for each in drawn]
    training.files.sheet(lines, path)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure."""
    training.run_script(parse(argv), measure)


if __name__ == "__main__":
    main()
