"""The disasters of xBD as an experiment: crops after the event, with the same place before."""

import hashlib
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from course_utils import hub, xbd
from course_utils.examples.folders import Progress
from course_utils.examples.loading import TASKS, part_sizes
from course_utils.examples.records import PARTS, Example, Splits
from course_utils.examples.worlds import IMAGE_SIZE, spread
from course_utils.images import fit, read_pixels, write_pixels
from course_utils.runtime import DISASTERS, Profile, sweep
from course_utils.texts import text

WINDOW = 256  # pixels of a tile, some 120 m: about what a rendered scene shows
LARGE_SIZE = 224  # pixels that are kept of it where the models are large
_TILE = 1024  # pixels, where a label does not say
_MOST = 4  # windows of a tile
_SHARES = (0.4, 1 / 6)  # of all scenes to test, of the others to validate
_SEED = 0


@dataclass(frozen=True)
class _Crop:
    """A window of a tile; corners are multiples of its side."""

    scene: xbd.XbdScene
    left: int
    top: int
    metadata: xbd.Metadata  # of its label, which says the size of both images


def load_disasters(
    root: Path, *, profile: Profile, cache: Path | None, progress: Progress
) -> Splits | None:
    """Load crops of real scenes of xBD, labelled by the type of disaster.

    `xbd.split_scenes` sets the test part aside, then the validation part of the rest: by event
    where a type has enough of them, else by blocks of land 2 km apart. Crops are windows of 256
    pixels, those with the most damaged buildings of each tile; several of a tile only where there
    are too few tiles. What is trained on also has the crop ``before``.

    Args:
        root: the folder above ``train``, ``tier3``, ``test`` and ``hold``, or one of these.
        profile: decides how many crops there are, and of what size.
        cache: where crops are kept; None cuts anew.
        progress: wraps the loop over crops, given their number.

    Returns:
        The three parts, or None where fewer than two types are in each of them.

    Raises:
        XbdError: no scene, an event that xBD does not have, a file that cannot be read, or an image
            of another size than its label says.
    """
    scenes = [s for s in xbd.find_scenes(root) if s.pre_image and s.post_image and s.post_label]
    parts, names, notes = _divide(scenes) if scenes else ({}, (), ())
    if len(names) < 2:
        return None
    if cache:
        sweep(cache)
    options = {"cache": cache, "progress": progress}
    options["size"] = IMAGE_SIZE if profile.name == "mini" else LARGE_SIZE
    found = {}
    for part, num in part_sizes(profile, len(names)).items():
        crops = _choose(parts[part], names, num)
        found[part] = _examples(crops, names, before=part == PARTS[0], **options)
    return Splits(
        **found,
        class_names=names,
        phrases=tuple(TASKS[DISASTERS][name] for name in names),
        name="xBD",
        notes=(text("xbd.real", license=hub.read_lock()["xbd"].license), *notes),
        task=DISASTERS,
    )


def _divide(
    scenes: Sequence[xbd.XbdScene],
) -> tuple[dict[str, tuple[xbd.XbdScene, ...]], tuple[str, ...], tuple[str, ...]]:
    """Divide scenes; give them by part, the types that are in all parts, and what must be said."""
    outer = xbd.split_scenes(scenes, seed=_SEED, test_share=_SHARES[0])
    inner = xbd.split_scenes(outer.train, seed=_SEED, test_share=_SHARES[1])
    notes, parts = [], dict(zip(PARTS, (inner.train, inner.test, outer.test), strict=True))
    there = [{xbd.class_of(scene.event) for scene in part} for part in parts.values()]
    names = tuple(sorted(set.intersection(*there)))
    for name in sorted(outer.rules):
        rules = (outer.rules[name], inner.rules.get(name, xbd.SplitRule.TRAIN_ONLY))
        if name not in names:
            notes.append(text("data.xbd_left_out", name=name))
        elif set(rules) != {xbd.SplitRule.BY_EVENT}:
            notes.append(text("data.xbd_rule", name=name, test=rules[0], validation=rules[1]))
    return parts, names, tuple(notes)


def _choose(scenes: Sequence[xbd.XbdScene], names: Sequence[str], num: int) -> list[_Crop]:
    """Choose at most ``num`` windows of each type, of as many tiles and events as there are."""
    crops: list[_Crop] = []
    for name in names:
        mine = [scene for scene in scenes if xbd.class_of(scene.event) == name]
        chosen = spread(mine, num, seed=_SEED)
        most = min(_MOST, math.ceil(num / len(chosen)))
        ranked = [_windows(scene)[:most] for scene in chosen]
        turns = [each[turn] for turn in range(most) for each in ranked if turn < len(each)]
        crops += turns[:num]
    return crops


def _windows(scene: xbd.XbdScene) -> list[_Crop]:
    """List the windows of a tile with buildings, those with the most damaged ones first."""
    label = xbd.read_label(scene.post_label)
    sides = (label.metadata.width or _TILE, label.metadata.height or _TILE)
    counts: dict[tuple[int, ...], list[int]] = {}
    for building in label.buildings:
        if not building.is_empty:
            center = np.clip(building.polygon.centroid.coords[0], 0, np.array(sides) - 1)
            at = tuple((center // WINDOW).astype(int).tolist())
            count = counts.setdefault(at, [0, 0])
            count[0] -= building.damage in (2, 3, 4)
            count[1] -= 1
    ranked = sorted(counts, key=lambda at: (*counts[at], at))
    places = [(x * WINDOW, y * WINDOW) for x, y in ranked or [(0, 0)]]
    return [_Crop(scene, left, top, label.metadata) for left, top in places]


def _examples(
    crops: Sequence[_Crop], names: Sequence[str], *, before: bool, **options: object
) -> tuple[Example, ...]:
    after = [
        Example(
            names.index(xbd.class_of(crop.scene.event)),
            "real",
            pixels=pixels,
            group=crop.scene.name,
            name=f"{crop.scene.name}_{crop.left}_{crop.top}",
        )
        for crop, pixels in zip(crops, _pixels(crops, "post_image", **options), strict=True)
    ]
    if not before:
        return tuple(after)
    pairs = zip(after, _pixels(crops, "pre_image", **options), strict=True)
    return tuple(replace(each, before=replace(each, pixels=pixels)) for each, pixels in pairs)


def _pixels(
    crops: Sequence[_Crop], which: str, *, size: int, cache: Path | None, progress: Progress
) -> UInt8[np.ndarray, "n h w 3"]:
    """Read crops, or what is kept of them while their files are the same."""
    paths = [getattr(crop.scene, which) for crop in crops]
    stats = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    places = [(crop.left, crop.top) for crop in crops]
    key = hashlib.sha256(repr((stats, places, WINDOW, size)).encode()).hexdigest()[:16]
    path = cache and cache / f"xbd-crops-{key}.npy"
    pixels = path and read_pixels(path, (len(crops), size, size, 3))
    if pixels is None:
        jobs = progress(list(zip(paths, crops, strict=True)), len(crops))
        pixels = np.stack([_cut(image, crop, size) for image, crop in jobs])
        with suppress(OSError):  # crops that cannot be kept are still crops
            if path:
                write_pixels(path, pixels)
    return pixels


def _cut(path: Path, crop: _Crop, size: int) -> UInt8[np.ndarray, "h w 3"]:
    tile = xbd.read_image(path, metadata=crop.metadata)
    window = tile[crop.top : crop.top + WINDOW, crop.left : crop.left + WINDOW]
    return np.asarray(fit(Image.fromarray(window), size))
