"""Pick the scenes of xBD: real ones from a folder, or rendered ones in the same layout."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

import mini_earth
from course_utils import xbd
from course_utils.texts import text

_NUM_PAIRS, _SIZE = 4, 1024  # of each event; pixels
_PROCESSES = 2


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
    rng = np.random.default_rng(seed)
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
