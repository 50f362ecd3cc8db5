"""Measure whether a ControlNet is obeyed: is the map that was asked found again in the drawing?

    python -m tools.measure_control --work WORK --control FOLDER --segmenter FOLDER

Each validation scene (fresh renders) is drawn from its caption with no map, with its own maps, and
with the road map of another scene; an independent segmenter finds roads and land cover in the
drawings and, beside them, in the renders themselves and in what the generator's autoencoder makes
of them. Drawings are kept in WORK, so a killed run goes on where it was.

Source: the pigeonhole bootstrap over seeds and scenes of Owen 2007 (arXiv:0712.1111).
"""

import argparse
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import mini_earth
from course_utils import control, metrics, text2image
from course_utils.hub import sha256_of
from course_utils.images import to_unit, unit_to_bytes
from course_utils.runtime import write_atomically
from tools import training
from tools.control import adapters, views

NUM_CLASSES = len(mini_earth.LAND_COVER)
LEAST_ROAD = 0.02  # of a scene
COLUMNS = (
    *("world", "asked", "scale", "measured_against"),
    *("road_iou", "road_low", "road_high", "gain", "gain_low", "gain_high"),
    *("cover_iou", "cover_low", "cover_high", "scenes", "seeds", "num_steps", "guidance"),
    *("command", "commit", "machine"),
)


@dataclass(frozen=True)
class Arm:
    """What a drawing is told."""

    asked: str  # "none", "road", "segmentation", "all" or "another road"
    scale: float = 1.0

    def tell(self, maps: Tensor) -> Tensor | None:
        """Choose among all maps of the scenes; another scene's is that of the next one."""
        if self.asked == "none":
            return None
        if self.asked == "all":
            return maps
        name = self.asked.removeprefix("another ")
        keep = torch.tensor([float(each == name) for each in control.CONDITIONS])
        told = maps * keep.repeat_interleave(control.CHANNELS)[:, None, None]
        return told if name == self.asked else told.roll(-1, dims=0)


ARMS = (
    *(Arm("none"), Arm("road"), Arm("segmentation"), Arm("all"), Arm("another road")),
    *(Arm("road", 0.5), Arm("road", 1.5)),
)
FEW_ARMS = (Arm("none"), Arm("road"), Arm("all"))


@dataclass(frozen=True)
class Scenes:
    """Scenes to be drawn again, and what is known of them."""

    world: str
    told: views.ToldViews
    maps: Tensor


@dataclass(frozen=True)
class Found:
    """What was found in drawings, seed by seed and scene by scene."""

    road: Tensor  # s n: IoU of the road
    tables: Tensor  # s n k k: asked land cover by found land cover, in pixels


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    defaults = {"table": training.REPO / "data" / "measured" / "control.csv", "seeds": 3}
    defaults |= {"processes": 1, "threads": 1}
    names = ("work", "table", "seeds", "processes", "threads")
    parser = training.make_parser(__doc__, names, **defaults)
    parser.add_argument("--control", default="small_control", help="in the lock, or a folder")
    parser.add_argument("--segmenter", default="small_segmenter", help="in the lock, or a folder")
    parser.add_argument("--scenes", type=int, default=64)
    parser.add_argument("--test-scenes", type=int, default=24, help="in the test style")
    parser.add_argument("--steps", type=int, default=8, help="of the sampler")
    return parser.parse_args(argv)


def choose_scenes(args: argparse.Namespace) -> list[Scenes]:
    """Render scenes with roads: in the training styles, and in the lab's test style.

    The second are looked at here only; nothing is trained on them or chosen by them.
    """
    held = views.render_told(
        1000, seed=12, work=args.work, styles=mini_earth.TRAIN_STYLES, processes=args.processes
    )
    rows = adapters.rows_with_roads(held, LEAST_ROAD)[: args.scenes]
    parts = [_scenes("training styles", held.take(rows))]
    stream = views.stream(8 * args.test_scenes, styles=[mini_earth.TEST_STYLE], seed=13)
    test = to_told(list(stream))
    rows = adapters.rows_with_roads(test, LEAST_ROAD)[: args.test_scenes]
    return [*parts, _scenes("test style", test.take(rows))]


def to_told(seen: Sequence[tuple]) -> views.ToldViews:
    """Stack views as `render_told` does, without their metadata."""
    scenes, shown, posts = zip(*seen, strict=True)
    heights = [views.draw_heights(s, post=p) for s, p in zip(scenes, posts, strict=True)]
    stacks = {
        "images": np.stack([view.image.transpose(2, 0, 1) for view in shown]),
        "land_cover": np.stack([view.land_cover for view in shown]),
        "heights": np.stack(heights),
    }
    tensors = {name: torch.from_numpy(stack) for name, stack in stacks.items()}
    captions = tuple(view.caption.lower() for view in shown)
    labels = tuple(view.disaster or view.scene_class for view in shown)
    return views.ToldViews(
        **tensors, metadata=torch.zeros(len(shown), 7), captions=captions, labels=labels
    )


def _scenes(world: str, told: views.ToldViews) -> Scenes:
    stacks = []
    for image, cover, heights in zip(told.images, told.land_cover, told.heights, strict=True):
        maps = control.conditions_of(
            image.permute(1, 2, 0).numpy(), cover.numpy(), heights=heights.numpy()
        )
        maps = {name: page for name, page in maps.items() if page.any()}
        stacks.append(control.stack_conditions(maps))
    return Scenes(world, told, torch.stack(stacks))


def draw_arm(
    controlled: control.Controlled,
    scenes: Scenes,
    arm: Arm,
    config: text2image.GenerationConfig,
    *,
    kept: Path,
) -> np.ndarray:
    """Draw all scenes with one seed, or read the drawings back."""
    what = repr((scenes.world, scenes.told.captions, arm, config))
    path = kept / f"{hashlib.sha256(what.encode()).hexdigest()[:16]}.npy"
    if not path.is_file():
        maps = arm.tell(scenes.maps)
        prompts = list(scenes.told.captions)
        images = control.draw(controlled, prompts, maps=maps, scale=arm.scale, config=config)
        buffer = io.BytesIO()
        np.save(buffer, images)
        write_atomically(path, buffer.getvalue())
    return np.load(path)


def find(segmenter: control.Segmenter, images: Sequence[np.ndarray], asked: Tensor) -> Found:
    """Find roads and land cover in drawings, an array a seed, and compare with what was asked."""
    found = torch.stack([control.segment(segmenter, each) for each in images])
    roads = [metrics.mask_iou(each == control.ROAD, asked == control.ROAD) for each in found]
    pairs = asked.long() * NUM_CLASSES + found.long()
    ones = torch.ones(pairs[0, 0].numel(), dtype=torch.double).expand(*pairs.shape[:2], -1)
    tables = torch.zeros(*pairs.shape[:2], NUM_CLASSES**2, dtype=torch.double)
    tables = tables.scatter_add_(2, pairs.flatten(2), ones)
    return Found(torch.stack(roads), tables.unflatten(2, (NUM_CLASSES, NUM_CLASSES)))


def cover_interval(tables: Tensor, *, num_draws: int = 1000) -> tuple[float, float, float]:
    """Give the mean IoU over the pixels of all drawings, and its 95 % bootstrap interval."""
    num_seeds, num_scenes = tables.shape[:2]
    rng = np.random.default_rng(0)
    seeds = torch.from_numpy(rng.integers(num_seeds, size=(num_draws, num_seeds)))
    scenes = torch.from_numpy(rng.integers(num_scenes, size=(num_draws, num_scenes)))
    drawn = [
        _mean_iou(tables[rows].sum(dim=0)[columns].sum(dim=0))
        for rows, columns in zip(seeds, scenes, strict=True)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return _mean_iou(tables.sum(dim=(0, 1))), float(low), float(high)


def _mean_iou(table: Tensor) -> float:
    both = table.diagonal()
    return (both / (table.sum(dim=0) + table.sum(dim=1) - both)).nanmean().item()


def row_of(found: Found, none: Found | None, **said: object) -> dict[str, object]:
    """Bound what was found, and the gain in road over drawings with no map."""
    road = metrics.crossed_interval(found.road, ends=(0, 1))
    cover, low, high = cover_interval(found.tables)
    row = {**said, "road_iou": road.mean, "road_low": road.low, "road_high": road.high}
    row |= {"cover_iou": cover, "cover_low": low, "cover_high": high}
    row |= {"seeds": len(found.road), "scenes": found.road.shape[1]}
    if none is not None:
        gain = metrics.crossed_interval(found.road - none.road)
        row |= {"gain": gain.mean, "gain_low": gain.low, "gain_high": gain.high}
    return row


def through_autoencoder(model: text2image.TextToImage, images: Tensor) -> np.ndarray:
    """Encode renders and decode them: the best that drawings of this generator could look like."""
    vae, parts = model.pipeline.vae, []
    with torch.inference_mode():
        for part in to_unit(images).split(32):
            drawn = vae.decode(vae.encode(2 * part - 1).latent_dist.mean).sample
            parts.append(unit_to_bytes(drawn / 2 + 0.5))
    return torch.cat(parts).permute(0, 2, 3, 1).numpy()


def measure(args: argparse.Namespace) -> None:
    """Draw, look and write the table."""
    controlled = control.load_control(args.control, device="cpu")
    for part in (controlled.net, controlled.model.pipeline.unet):
        part.to(memory_format=torch.channels_last)  # faster here
    segmenter = control.load_segmenter(args.segmenter, device="cpu")
    weights = Path(args.control) / "diffusion_pytorch_model.safetensors"
    key = sha256_of(weights)[:12] if weights.is_file() else controlled.artifact
    kept = args.work / f"measured_control_{key}"
    kept.mkdir(parents=True, exist_ok=True)
    said = {"control": controlled.artifact, "segmenter": segmenter.artifact}
    names = ("work", "control", "segmenter", "scenes", "test_scenes", "steps", "seeds")
    made_by = training.origin(training.command_line("measure_control", args, names, **said))
    rows = []
    for scenes in choose_scenes(args):
        rows += measure_world(args, controlled, segmenter, scenes, kept)
        training.write_rows(args.table, COLUMNS, [row | made_by for row in rows])


def measure_world(
    args: argparse.Namespace,
    controlled: control.Controlled,
    segmenter: control.Segmenter,
    scenes: Scenes,
    kept: Path,
) -> list[dict[str, object]]:
    """Measure all arms on the scenes of one world."""
    asked = scenes.told.land_cover
    row = partial(row_of, none=None, world=scenes.world, measured_against="own scene")
    renders = scenes.told.images.permute(0, 2, 3, 1).numpy()
    rows = [row(find(segmenter, [renders], asked), asked="renders")]
    again = through_autoencoder(controlled.model, scenes.told.images)
    rows.append(row(find(segmenter, [again], asked), asked="renders, autoencoded"))
    none = None
    for arm in ARMS if scenes.world == "training styles" else FEW_ARMS:
        configs = [
            text2image.GenerationConfig(num_sample_steps=args.steps, seed=seed)
            for seed in range(args.seeds)
        ]
        images = [draw_arm(controlled, scenes, arm, config, kept=kept) for config in configs]
        found = find(segmenter, images, asked)
        none = found if arm.asked == "none" else none
        said = {"asked": arm.asked, "scale": None if arm.asked == "none" else arm.scale}
        said |= {"num_steps": args.steps, "guidance": configs[0].guidance_scale}
        rows.append(row(found, none=None if arm.asked == "none" else none, **said))
        if arm.asked == "another road":
            other = find(segmenter, images, asked.roll(-1, dims=0))
            rows.append(row(other, measured_against="the scene that was asked", **said))
        road = rows[-1]["road_iou"]
        training.say(f"{scenes.world}, {arm.asked}, scale {arm.scale:g}: road IoU {road:.3f}")
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    """Measure."""
    training.run_script(parse(argv), measure)


if __name__ == "__main__":
    main()
