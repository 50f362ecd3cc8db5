"""Say more than a class name: sentences that differ, so that the drawings do."""

import re
from collections.abc import Sequence

import numpy as np
import torch

import mini_earth
from course_utils.diffusion.inputs import check_number
from course_utils.zero_shot import TEMPLATES, Writer
from mini_earth.words import AFTERMATHS

# What anybody knows of land from above, without having seen an image of the data set: its colors.
_COLORS = {
    r"river|sea|lake|water|beach|coast|harbor|flood|tsunami": (
        "dark blue",
        "blue",
        "turquoise",
        "green",
    ),
    r"forest|tree": ("dark green", "green"),
    r"pasture|meadow|vegetation|shrub|brush|chaparral|golf": ("green", "light green", "tan"),
    r"crop|farm|field|orchard|vineyard|agricultur": ("green", "light green", "brown", "tan"),
    r"resident|industr|building|house|highway|road|freeway|parking": (
        "gray",
        "light gray",
        "reddish brown",
        "green",
    ),
    r"volcan|fire": ("black", "dark gray", "gray"),
    r"": ("green", "brown", "gray", "tan", "beige"),
}
_LINES = ("clear lines run {}", "faint lines run {}")
_TEXTURES = ("smooth large areas", "soft texture", "mixed texture", "fine grainy texture")
_CONTRASTS = ("very even brightness", "low contrast", "medium contrast", "strong contrast")
_TONES = ("a dark image", "a medium bright image", "a bright image")


def write_sentences(
    phrases: Sequence[str],
    *,
    per_class: int,
    generator: torch.Generator,
    templates: Sequence[str] = TEMPLATES["satellite"],
    writer: Writer | None = None,
) -> tuple[list[str], list[int]]:
    """Turn the words for each class into many different sentences.

    Without a ``writer``, the long captions that the small generators learned from: a class in a
    template, and then how lines run, which colors lie where, how fine the texture and how strong
    the light is, drawn at random out of what such land can look like. With one, such as
    `zero_shot.load_writer` gives, a language model makes a sentence of the words.

    Args:
        phrases: the words for each class, in label order.
        per_class: how many sentences for each class; where a writer repeats itself, so do they.
        generator: draws what is said.
        templates: prompts with ``{}``, in turn; with a writer for its sentences.
        writer: word to sentence; None composes captions.

    Returns:
        Sentences and the label of each; classes take turns.

    Raises:
        ValueError: no phrases, an empty one, or fewer than one sentence.

    Source:
        He et al. 2023 (arXiv:2210.07574), section 3.1, "language enhancement".
    """
    check_number("per_class", per_class, "[1, inf)", whole=True)
    if isinstance(phrases, str) or not phrases or not all(phrase.strip() for phrase in phrases):
        raise ValueError(f"phrases must be a list of one or more words, not {phrases!r}")
    turns = [templates[turn % len(templates)] for turn in range(per_class)]
    by_class = []
    for phrase in phrases:
        if writer is None:
            said = [_caption(turn.replace("{}", phrase), phrase, generator) for turn in turns]
        else:
            found = writer(phrase, per_class, generator=generator)
            said = [turn.replace("{}", found[i % len(found)]) for i, turn in enumerate(turns)]
        by_class.append(said)
    sentences = [said[turn] for turn in range(per_class) for said in by_class]
    return sentences, list(range(len(phrases))) * per_class


def _caption(subject: str, phrase: str, generator: torch.Generator) -> str:
    """Compose one long caption."""
    seed = int(torch.randint(2**62, (), generator=generator))
    rng = np.random.default_rng(seed)
    sights = _imagine(phrase, rng)
    return mini_earth.long_caption(subject.removesuffix("."), sights, rng)


def _imagine(phrase: str, rng: np.random.Generator) -> list[mini_earth.Sight]:
    """Draw what might be seen: in the words and the order of the captions that models learned."""
    colors = next(words for what, words in _COLORS.items() if re.search(what, phrase.lower()))
    first, second = rng.choice(colors, 2, replace=False)
    events = [event for event in AFTERMATHS if event in phrase.lower()]
    sight = mini_earth.Sight
    return [
        *(sight(str(rng.choice(AFTERMATHS[event]))) for event in events),
        sight(str(rng.choice(_LINES)), float(rng.uniform(0, 180)), is_line=True),
        sight(f"mostly {first} with {second}"),
        sight(f"{second} at {{}}", float(rng.uniform(0, 360))),
        sight(str(rng.choice(_TEXTURES))),
        sight(str(rng.choice(_CONTRASTS))),
        sight(str(rng.choice(_TONES))),
        sight("brighter at {}", float(rng.uniform(0, 360))),
    ]
