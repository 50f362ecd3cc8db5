"""What a generator was trained on, as far as it is at hand: the images that it must outdo."""

import contextlib
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
from jaxtyping import UInt8

import mini_earth
from course_utils import hub
from course_utils.examples import Example, Splits, load_seen, read_folder
from course_utils.examples.folders import Progress
from course_utils.images import read_pixels, write_pixels
from course_utils.runtime import derive_seed, sweep
from course_utils.texts import text

SIZE = 64  # pixels of a render
_NUM_PLACES = 45  # renders of each kind of place, where classes are not known
_METERS = (0.8, 12.0)  # per pixel of them, as in training


@dataclass(frozen=True)
class TrainingImages:
    """A sample of what a generator was trained on.

    ``is_labelled`` says whether the labels are classes of the data set; else they are all 0, mean
    nothing, and a text has to find the images.
    """

    examples: tuple[Example, ...]
    is_labelled: bool
    notes: tuple[str, ...]

    def most_per_class(self, num_classes: int) -> int:
        """Say how many images `retrieve` can give to each class: as many as the rarest has."""
        if not self.is_labelled:
            return len(self.examples) // num_classes
        counts = Counter(each.label for each in self.examples)
        return min(counts[label] for label in range(num_classes))


def training_images(
    trained_on: str | None,
    data: Splits,
    *,
    per_class: int = 40,
    cache: Path | None = None,
    models: Path | None = None,
    progress: Progress = lambda items, total: items,
) -> TrainingImages:
    """Collect real images or renders that a generator has learned from, offline.

    A generator that has seen labelled images of the data set's classes gives these
    (`examples.load_seen`). All small ones have seen photographs of UC Merced and renders of
    ``mini_earth.TRAIN_STYLES``: else the gallery that ships, and renders of the same kind. Both are
    samples, and the notes say so.

    Args:
        trained_on: the generator's (``TextToImage.trained_on``).
        data: brings class names, and the validation and test images, which are left out.
        per_class: how many images of a class at most, where classes are known.
        cache: where renders are kept; None renders anew.
        models: a folder to search first (``COURSE_MODELS``).
        progress: wraps the loop over renders, given their number; ``tqdm`` fits.

    Returns:
        The images, whether their labels are known, and what must be said beside every result.
    """
    seen, said = load_seen(data, trained_on, per_class=per_class, models=models)
    if seen:
        return TrainingImages(seen, True, said)
    is_known = set(data.class_names) <= {*mini_earth.SCENE_CLASSES, *mini_earth.DISASTERS}
    names = data.class_names if is_known else mini_earth.SCENE_CLASSES
    jobs = [(name, i) for i in range(per_class if is_known else _NUM_PLACES) for name in names]
    pixels = _rendered(jobs, cache, progress)
    labels = [names.index(name) if is_known else 0 for name, _ in jobs]
    renders = [Example(y, "real", pixels=x) for y, x in zip(labels, pixels, strict=True)]
    notes = (*said, text("strategies.renders", num=f"{len(renders):,}"))
    if is_known:
        return TrainingImages(tuple(renders), True, notes)
    gallery = read_folder(hub.locate("ucmerced_gallery", models=models).root).examples
    judging = {example.digest() for example in (*data.validation, *data.test)}
    gallery = [example for example in gallery if example.digest() not in judging]
    photographs = [Example(0, "real", path=e.path, data=e.data) for e in gallery]
    notes += (text("strategies.gallery", num=len(photographs)),)
    return TrainingImages((*photographs, *renders), False, notes)


def _rendered(
    jobs: Sequence[tuple[str, int]], cache: Path | None, progress: Progress
) -> UInt8[np.ndarray, "n h w 3"]:
    """Render each kind of place in the training styles in turn, or read all of them back."""
    decisive = (jobs, SIZE, _METERS, np.__version__, PIL.__version__, mini_earth.__version__)
    key, shape = (
        hashlib.sha256(repr(decisive).encode()).hexdigest()[:16],
        (len(jobs), SIZE, SIZE, 3),
    )
    if cache is not None:
        sweep(cache)
        path = cache / f"mini_earth-learned-{key}.npy"
        if (found := read_pixels(path, shape)) is not None:
            return found
    pixels = np.stack([_render_one(*job) for job in progress(jobs, len(jobs))])
    if cache is not None:
        with contextlib.suppress(OSError):  # renders that cannot be kept are still renders
            write_pixels(path, pixels)
    return pixels


def _render_one(name: str, index: int) -> UInt8[np.ndarray, "h w 3"]:
    """Render a scene of its own."""
    style = mini_earth.TRAIN_STYLES[index % len(mini_earth.TRAIN_STYLES)]
    seed = derive_seed("mini_earth", "learned", name, index) % (1 << 48)
    if name in mini_earth.DISASTERS:
        scene = mini_earth.disaster_scene(name, style, seed=seed)
    else:
        meters = np.random.default_rng(seed).uniform(*np.log(_METERS))
        scene = mini_earth.make_scene(name, style, seed=seed, extent=SIZE * float(np.exp(meters)))
    return mini_earth.render(scene, size=SIZE).image
