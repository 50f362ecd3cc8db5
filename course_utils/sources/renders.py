"""Render labelled images of the procedural world, once: renders are kept and read back."""

import hashlib
import io
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import PIL
from jaxtyping import UInt8

import mini_earth
from course_utils.examples import Example
from course_utils.runtime import derive_seed, write_atomically
from course_utils.texts import text

IMAGE_SIZE = 64  # pixels


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
    return hashlib.sha256(repr(decisive).encode() + Path(__file__).read_bytes()).hexdigest()[:16]
