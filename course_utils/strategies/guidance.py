"""Draw from real images instead of from noise: from the shots, or from before the disaster."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from course_utils.diffusion.inputs import check_number
from course_utils.examples import Example
from course_utils.text2image import Generated, GenerationConfig, TextToImage, generate

# Of 100 steps, how many are noised and drawn anew; by the number of real shots a class.
_STEPS_BY_SHOTS = {1: 50, 2: 40, 4: 35, 8: 20, 16: 15}


def strength_for(shots: int) -> float:
    """Say how far to noise a real shot: less, the more shots there are to vary.

    Between the published numbers of shots the strength is linear in their logarithm; beyond 16
    shots it stays.

    Args:
        shots: real images a class.

    Returns:
        Share of the way to pure noise: 0.5 for one shot, 0.15 for 16.

    Raises:
        ValueError: for fewer than one shot.

    Source:
        He et al. 2023 (arXiv:2210.07574), section 3.2, "real guidance"; the numbers are those of
        the authors' code.
    """
    check_number("shots", shots, "[1, inf)", whole=True)
    known = list(_STEPS_BY_SHOTS)
    return float(np.interp(np.log2(shots), np.log2(known), list(_STEPS_BY_SHOTS.values()))) / 100


def guide(
    model: TextToImage,
    shots: Sequence[Example],
    phrases: Sequence[str],
    templates: Sequence[str],
    *,
    per_class: int,
    strength: float,
    config: GenerationConfig | None = None,
    root: Path | None = None,
) -> tuple[Iterator[Generated], list[int]]:
    """Noise real shots part of the way, and let the generator draw them to the end anew.

    The shots of a class take turns, and so do the templates; classes take turns too, so that what
    is cut short is balanced. The strength is met to a whole number of the model's sampling steps,
    rounded down, and to one step at least: a model of four steps knows quarters only.

    Args:
        model: loaded with ``task="image-to-image"``.
        shots: real images, one or more of every class.
        phrases: the words for each class, in label order.
        templates: prompts with ``{}`` for the words.
        per_class: how many images of each class to draw.
        strength: share of the way to pure noise, in (0, 1]; `strength_for` gives the published one.
        config: as in `text2image.generate`; so are images kept in ``root``.
        root: folder of the images; None keeps nothing.

    Returns:
        The drawn images, each when it is asked for, and the label of each.

    Raises:
        ValueError: a class has no shot, a label has no phrase, or as `text2image.generate`.

    Source:
        He et al. 2023 (arXiv:2210.07574), section 3.2, "real guidance"; noising an image part of
        the way is SDEdit, Meng et al. 2022 (arXiv:2108.01073), algorithm 1.
    """
    prompts, images, labels = _in_turn(shots, phrases, templates, per_class)
    options = {"strength": strength, "config": config or model.config, "root": root}
    return _draw(model, prompts, images, **options), labels


def from_before(
    model: TextToImage,
    examples: Sequence[Example],
    phrases: Sequence[str],
    templates: Sequence[str],
    *,
    per_class: int,
    strength: float,
    config: GenerationConfig | None = None,
    root: Path | None = None,
) -> tuple[Iterator[Generated], list[int]]:
    """Draw what a disaster would make of places, from their images before it.

    It is `guide` with ``Example.before`` in place of the image; the sentence names the disaster.

    Raises:
        ValueError: an example has no image from before, or as `guide`.
    """
    if missing := sum(example.before is None for example in examples):
        raise ValueError(
            f"{missing} of {len(examples)} examples have no image from before the disaster; take "
            "the task disasters, or guide() for images of today"
        )
    before = [replace(example.before, label=example.label) for example in examples]
    options = {"per_class": per_class, "strength": strength, "config": config, "root": root}
    return guide(model, before, phrases, templates, **options)


def _in_turn(
    shots: Sequence[Example],
    phrases: Sequence[str],
    templates: Sequence[str],
    per_class: int,
) -> tuple[list[str], list[Example], list[int]]:
    """Pair images with sentences so that every image meets every template."""
    check_number("per_class", per_class, "[1, inf)", whole=True)
    by_class: dict[int, list[Example]] = {label: [] for label in range(len(phrases))}
    for shot in shots:
        if shot.label not in by_class:
            raise ValueError(f"label {shot.label} has no phrase; there are {len(phrases)} phrases")
        by_class[shot.label].append(shot)
    if missing := [phrases[label] for label, images in by_class.items() if not images]:
        raise ValueError(f"expected an image of every class to start from, got none of {missing}")
    prompts, images = [], []
    for turn in range(per_class):
        for label, own in by_class.items():
            round_, place = divmod(turn, len(own))
            template = templates[(round_ + place) % len(templates)]
            prompts.append(template.replace("{}", phrases[label]))
            images.append(own[place])
    return prompts, images, list(by_class) * per_class


def _draw(
    model: TextToImage,
    prompts: Sequence[str],
    images: Sequence[Example],
    *,
    strength: float,
    config: GenerationConfig,
    root: Path | None,
) -> Iterator[Generated]:
    known = {id(image): pixels_for(image, config) for image in images}
    pixels = [known[id(image)] for image in images]
    strength = max(strength, 1 / config.num_sample_steps)
    return generate(model, prompts, config, root=root, images=pixels, strength=strength)


def pixels_for(image: Example, config: GenerationConfig) -> np.ndarray:
    """Scale and crop an image to what the model draws."""
    size = (config.width, config.height)
    fitted = ImageOps.fit(image.load(), size, Image.Resampling.BICUBIC)
    return np.array(fitted)  # an array of its own, which may be written to
