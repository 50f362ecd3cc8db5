"""Pick the scenes of xBD: real ones from a folder, or rendered ones in the same layout."""

from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from course_utils import mini_earth, xbd
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
        cache: where rendered scenes are kept, about 3.5 MB a pair. A run that was stopped goes
            on where it was.
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
    folder = cache / f"mini_earth_xbd-{mini_earth.world_key()}"
    with ProcessPoolExecutor(_PROCESSES, mp_context=get_context("spawn")) as pool:
        settings = {"num_pairs": _NUM_PAIRS, "size": _SIZE}
        jobs = [
            pool.submit(mini_earth.write_xbd, folder, events=[event], **settings)
            for event in xbd.read_events()
        ]
        for job in progress(as_completed(jobs), len(jobs)):
            job.result()
    scenes = tuple(xbd.find_scenes(folder))
    return XbdSource(scenes, False, text("xbd.rendered_name"), (text("xbd.rendered"),))
