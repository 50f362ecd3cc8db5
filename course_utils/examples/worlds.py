"""What the procedural world stands in for: labelled images, and scenes in xBD's layout."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import PIL
from jaxtyping import UInt8

import mini_earth
from course_utils import xbd
from course_utils.examples.records import Example
from course_utils.hub import is_sound, list_files, sha256_of
from course_utils.images import read_pixels, write_pixels
from course_utils.runtime import (
    check_seed,
    derive_seed,
    discard,
    new_part,
    read_sealed,
    replace_file,
    sweep,
    write_sealed,
)
from course_utils.texts import text

IMAGE_SIZE = 64  # pixels
_NUM_PAIRS, _SIZE = 4, 1024  # of each event; pixels
_PROCESSES = 2


def render_part(
    class_names: tuple[str, ...],
    part: str,
    num_per_class: int,
    *,
    cache: Path | None,
    progress: Callable[[Iterable, int], Iterable],
    post: bool = True,
) -> tuple[tuple[Example, ...], tuple[str, ...]]:
    """Render views in ``mini_earth.TEST_STYLE``, or read them back.

    Args:
        class_names: disasters (seen after the event) or scene classes, in the order of labels.
        part: ``train``, ``validation`` or ``test``; no two parts share a scene.
        num_per_class: how many views of every class.
        cache: where renders are kept; None renders anew.
        progress: wraps the loop over renders, given their number.
        post: after the disaster, or the same places before it.

    Returns:
        The examples, and what must be said about them.
    """
    jobs = [(name, index) for index in range(num_per_class) for name in class_names]
    pixels, notes = None, [text("data.cached")]
    if cache:
        sweep(cache)
        kind = part if post else f"{part}-before"
        path = cache / f"mini_earth-{kind}-{_renders_key(class_names, len(jobs))}.npy"
        pixels = read_pixels(path, (len(jobs), IMAGE_SIZE, IMAGE_SIZE, 3))
    if pixels is None:
        places = progress(jobs, len(jobs))
        views = [_render_one(name, part, index, post=post) for name, index in places]
        pixels, notes = np.stack(views), []
        try:
            if cache:
                write_pixels(path, pixels)
        except OSError as error:  # renders that cannot be kept are still renders
            notes = [text("data.not_kept", reason=error)]
    examples = tuple(
        Example(class_names.index(name), "real", pixels=image, name=f"{name}_{part}_{index}")
        for (name, index), image in zip(jobs, pixels, strict=True)
    )
    return examples, tuple(notes)


def _render_one(
    name: str, part: str, index: int, *, post: bool = True
) -> UInt8[np.ndarray, "h w 3"]:
    """Render a scene of its own: neither the other classes nor their number change it."""
    seed = derive_seed("mini_earth", part, name, index) % (1 << 48)
    if name in mini_earth.DISASTERS:
        scene = mini_earth.disaster_scene(name, mini_earth.TEST_STYLE, seed=seed)
    else:
        scene = mini_earth.make_scene(name, mini_earth.TEST_STYLE, seed=seed)
    return mini_earth.render(scene, size=IMAGE_SIZE, post=post).image


def _renders_key(class_names: tuple[str, ...], num: int) -> str:
    """Name what decides the renders, so that those of an older world are never reused."""
    world = mini_earth.__version__
    decisive = (class_names, num, IMAGE_SIZE, np.__version__, PIL.__version__, world)
    return hashlib.sha256(repr(decisive).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class XbdSource:
    """Scenes in xBD's layout, and what must be said about them."""

    scenes: tuple[xbd.XbdScene, ...]
    is_real: bool
    name: str
    notes: tuple[str, ...]


def load_xbd(
    *,
    root: str | Path | None = None,
    cache: Path,
    progress: Callable[[Iterable, int], Iterable] = lambda items, total: items,
) -> XbdSource:
    """Open real scenes of xBD, or write rendered ones once and open those.

    Args:
        root: the folder above ``train``, ``test``, …, or one of these; None renders.
        cache: where rendered scenes are kept, about 4 MB a pair. A run that was stopped goes on
            where it was, and an event of which a file has changed is rendered anew.
        progress: wraps the loop over events that are not there, given their number; ``tqdm`` fits.

    Raises:
        ValueError: the folder holds no scenes.
        OSError: rendered scenes cannot be written.

    Source:
        Gupta et al. 2019 (arXiv:1911.09296).
    """
    if root is not None:
        found = xbd.open_xbd(root)
        scenes = tuple(xbd.find_scenes(found.root))
        return XbdSource(scenes, True, "xBD", (text("xbd.real", license=found.license),))
    folder = cache / f"mini_earth_xbd-{mini_earth.__version__}-{mini_earth.XBD_RECIPE}"
    sweep(cache)
    if missing := [event for event in xbd.read_events() if not _is_whole(folder, event)]:
        _render(folder, missing, progress)
    scenes = tuple(xbd.find_scenes(folder))
    return XbdSource(scenes, False, text("xbd.rendered_name"), (text("xbd.rendered"),))


def _record(folder: Path, event: str) -> Path:
    """Name the file that says which files an event has; it is written last."""
    return folder / f".{event}-{_NUM_PAIRS}-{_SIZE}.files"


def _is_whole(folder: Path, event: str) -> bool:
    """Tell whether all files of an event are there as they were rendered."""
    digests = json.loads(read_sealed(_record(folder, event)) or b"{}")
    return bool(digests) and all(is_sound(folder / name, digests[name]) for name in digests)


def _render(
    folder: Path, events: Sequence[str], progress: Callable[[Iterable, int], Iterable]
) -> None:
    """Write events, two at a time, each aside first: another run may read what is there."""
    settings = {"num_pairs": _NUM_PAIRS, "size": _SIZE}
    parts = {event: new_part(folder.parent) for event in events}
    if folder.is_file():
        discard(folder)
    try:
        with ProcessPoolExecutor(_PROCESSES, mp_context=get_context("spawn")) as pool:
            jobs = {
                pool.submit(mini_earth.write_xbd, part, events=[event], **settings): event
                for event, part in parts.items()
            }
            for job in progress(as_completed(jobs), len(jobs)):
                job.result()
                _settle(parts[jobs[job]], folder, jobs[job])
    finally:
        for part in parts.values():
            discard(part)


def _settle(part: Path, folder: Path, event: str) -> None:
    """Move the files of a rendered event to their place, and record them."""
    digests = {name: sha256_of(part / name) for name in list_files(part)}
    for name in digests:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            discard(path)
        replace_file(part / name, path)
    write_sealed(_record(folder, event), json.dumps(digests).encode())


def spread(scenes: Sequence[xbd.XbdScene], num: int, *, seed: int) -> tuple[xbd.XbdScene, ...]:
    """Take at most ``num`` scenes, as many of each event as possible.

    A folder lists scenes by name, so its first hundreds are one event's.

    Args:
        scenes: of any number of events.
        num: how many at most.
        seed: draws which scenes of an event come first.

    Returns:
        The chosen scenes, by name.
    """
    rng = np.random.default_rng(check_seed(seed))
    by_event: dict[str, list[xbd.XbdScene]] = {}
    for scene in sorted(scenes, key=lambda scene: scene.name):
        by_event.setdefault(scene.event, []).append(scene)
    ranked = [
        (rank, scene)
        for some in by_event.values()
        for rank, scene in zip(rng.permutation(len(some)).tolist(), some, strict=True)
    ]
    chosen = sorted(ranked, key=lambda pair: (pair[0], pair[1].name))[:num]
    return tuple(sorted((scene for _, scene in chosen), key=lambda scene: scene.name))
