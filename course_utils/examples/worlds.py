"""What the procedural world stands in for: labelled images, and scenes in xBD's layout."""

import hashlib
import io
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
from course_utils.runtime import check_seed, derive_seed, write_atomically
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
) -> tuple[tuple[Example, ...], tuple[str, ...]]:
    """Render views in ``mini_earth.TEST_STYLE``, or read them back.

    Args:
        class_names: disasters (seen after the event) or scene classes, in the order of labels.
        part: ``train``, ``validation`` or ``test``; no two parts share a scene.
        num_per_class: how many views of every class.
        cache: where renders are kept; None renders anew.
        progress: wraps the loop over renders, given their number.

    Returns:
        The examples, and what must be said about them.
    """
    jobs = [(name, index) for index in range(num_per_class) for name in class_names]
    path = (
        cache / f"mini_earth-{part}-{_renders_key(class_names, len(jobs))}.npy" if cache else None
    )
    pixels, notes = _read_back(path, len(jobs)), [text("data.cached")]
    if pixels is None:
        views = [_render_one(name, part, index) for name, index in progress(jobs, len(jobs))]
        pixels, notes = np.stack(views), []
        try:
            _keep(pixels, path)
        except OSError as error:  # renders that cannot be kept are still renders
            notes = [text("data.not_kept", reason=error)]
    examples = tuple(
        Example(label=class_names.index(name), source="real", pixels=image)
        for (name, _), image in zip(jobs, pixels, strict=True)
    )
    return examples, tuple(notes)


def _render_one(name: str, part: str, index: int) -> UInt8[np.ndarray, "h w 3"]:
    """Render a scene of its own: neither the other classes nor their number change it."""
    seed = derive_seed("mini_earth", part, name, index) % (1 << 48)
    if name in mini_earth.DISASTERS:
        scene = mini_earth.disaster_scene(name, mini_earth.TEST_STYLE, seed=seed)
    else:
        scene = mini_earth.make_scene(name, mini_earth.TEST_STYLE, seed=seed)
    return mini_earth.render(scene, size=IMAGE_SIZE).image


def _keep(pixels: UInt8[np.ndarray, "n h w 3"], path: Path | None) -> None:
    if path is not None:
        buffer = io.BytesIO()
        np.save(buffer, pixels, allow_pickle=False)
        write_atomically(path, buffer.getvalue())


def _read_back(path: Path | None, num: int) -> UInt8[np.ndarray, "n h w 3"] | None:
    """Read cached renders; None if there are none or the file is damaged."""
    if path is None or not path.exists():
        return None
    try:
        pixels = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    fits = pixels.shape == (num, IMAGE_SIZE, IMAGE_SIZE, 3) and pixels.dtype == np.uint8
    return pixels if fits else None


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
            where it was.
        progress: wraps the loop over events, given their number; ``tqdm`` fits.

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
    folder = cache / f"mini_earth_xbd-{mini_earth.__version__}"
    if not _is_whole(folder):
        _render(folder, progress)
    scenes = tuple(xbd.find_scenes(folder))
    return XbdSource(scenes, False, text("xbd.rendered_name"), (text("xbd.rendered"),))


def _is_whole(folder: Path) -> bool:
    """Tell whether every pair is there with all its files."""
    try:
        scenes = xbd.find_scenes(folder)
    except xbd.XbdMissingError:
        return False
    files = [path for scene in scenes for path in vars(scene).values() if isinstance(path, Path)]
    num_tier3 = sum(scene.split == "tier3" for scene in scenes)
    num_pairs = _NUM_PAIRS * len(xbd.read_events())
    return len(scenes) == num_pairs and len(files) == 6 * num_pairs - 2 * num_tier3


def _render(folder: Path, progress: Callable[[Iterable, int], Iterable]) -> None:
    """Write every event, two at a time."""
    settings = {"num_pairs": _NUM_PAIRS, "size": _SIZE}
    with ProcessPoolExecutor(_PROCESSES, mp_context=get_context("spawn")) as pool:
        jobs = [
            pool.submit(mini_earth.write_xbd, folder, events=[event], **settings)
            for event in xbd.read_events()
        ]
        for job in progress(as_completed(jobs), len(jobs)):
            job.result()


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
