"""Strategies that draw: sentences of learned words, images out of images, what was learned from."""

import re
from dataclasses import dataclass, replace

import jaxtyping
import numpy as np
import pytest
import torch
from tiny_models import write_tiny_text2image
from transformers import CLIPTokenizerFast

import mini_earth
from course_utils import hub, runtime
from course_utils.examples import Example, Splits, load_examples
from course_utils.runtime import seeded
from course_utils.strategies import (
    from_before,
    guide,
    sources,
    training_images,
    write_sentences,
)
from course_utils.text2image import GenerationConfig, generate, load_pipeline

PHRASES = ("a river", "a forest")
TEMPLATES = ("a photo of {}.", "{} from above")
CONFIG = GenerationConfig(num_sample_steps=4, height=16, width=16, batch_size=4)


def picture(seed: int, label: int, *, size: tuple[int, int] = (16, 16)) -> Example:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    return Example(label, "real", pixels=pixels)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    root = tmp_path_factory.mktemp("models") / "tiny"
    write_tiny_text2image(root)
    return load_pipeline(str(root), task="image-to-image", device="cpu")


@pytest.fixture
def _unchecked(monkeypatch):
    """Call functions as learners do, whose arguments nobody has checked."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


# --- guided by real images ----------------------------------------------------------------------


def test_guided_images_are_what_image_to_image_draws_from_each_shot_in_turn(model):
    shots = [picture(0, 0), picture(1, 1), picture(2, 0)]
    drawn, labels = guide(
        model, shots, PHRASES, TEMPLATES, per_class=2, strength=0.5, config=CONFIG
    )
    prompts = ["a photo of a river.", "a photo of a forest."] + [
        f"{phrase} from above" for phrase in PHRASES
    ]
    starts = [shots[i].pixels for i in (0, 1, 2, 1)]
    direct = list(generate(model, prompts, CONFIG, images=starts, strength=0.5))
    assert labels == [0, 1, 0, 1]
    for mine, other in zip(drawn, direct, strict=True):
        assert mine.prompt == other.prompt
        assert np.array_equal(mine.image, other.image)


@pytest.mark.parametrize("num_shots", [1, 2, 3])
def test_every_shot_meets_every_template(model, num_shots):
    shots = [picture(i, 0) for i in range(num_shots)]
    settings = {"per_class": 2 * num_shots, "strength": 0.25, "config": CONFIG}
    drawn, _ = guide(model, shots, PHRASES[:1], TEMPLATES, **settings)
    pairs = {(made.prompt, made.provenance["source_image"]) for made in drawn}
    assert len(pairs) == 2 * num_shots


def test_a_shot_of_another_size_is_scaled_and_cropped(model):
    settings = {"per_class": 1, "strength": 0.25, "config": CONFIG}
    drawn, _ = guide(model, [picture(0, 0, size=(40, 90))], PHRASES[:1], TEMPLATES, **settings)
    assert next(drawn).image.shape == (16, 16, 3)


def test_more_strength_leaves_less_of_the_shot():
    data = load_examples("scenes", profile=runtime.PROFILES["mini"], root="eurosat")
    shots = [replace(data.train[i], label=0) for i in range(0, 1000, 250)]
    name, apart = "small_text2image_few_steps", []
    model = load_pipeline(name, task="image-to-image", device="cpu")
    for strength in (0.25, 0.5, 1.0):
        drawn, _ = guide(model, shots, ["land"], ["{}"], per_class=4, strength=strength)
        pairs = zip(drawn, shots, strict=True)
        apart.append(np.mean([np.abs(d.image - 1.0 * np.array(s.load())).mean() for d, s in pairs]))
    assert apart == sorted(apart)
    assert apart[0] < 0.8 * apart[2]


def test_a_strength_below_one_step_is_one_step(model):
    def first(strength: float) -> np.ndarray:
        settings = {"per_class": 1, "strength": strength, "config": CONFIG}
        return next(guide(model, [picture(0, 0)], PHRASES[:1], TEMPLATES, **settings)[0]).image

    assert np.array_equal(first(0.01), first(0.25))


def test_a_class_without_a_shot_is_named(model):
    settings = {"per_class": 1, "strength": 0.5, "config": CONFIG}
    with pytest.raises(ValueError, match=r"an image of every class .* none of \['a forest'\]"):
        guide(model, [picture(0, 0)], PHRASES, TEMPLATES, **settings)
    with pytest.raises(ValueError, match="label 2 has no phrase; there are 2"):
        guide(model, [picture(0, 2)], PHRASES, TEMPLATES, **settings)


@dataclass(frozen=True, eq=False)
class Twice(Example):
    """An example that knows its place before the disaster."""

    before: Example | None = None


def test_from_before_starts_from_the_image_before_and_names_the_disaster(model):
    before, after = picture(0, 0), picture(1, 0)
    example = Twice(0, "real", pixels=after.pixels, before=before)
    settings = {"per_class": 2, "strength": 0.5, "config": CONFIG}
    drawn, labels = from_before(model, [example], ["flooding"], TEMPLATES, **settings)
    direct, _ = guide(model, [before], ["flooding"], TEMPLATES, **settings)
    assert labels == [0, 0]
    for mine, other in zip(drawn, direct, strict=True):
        assert mine.prompt == other.prompt
        assert np.array_equal(mine.image, other.image)
    with pytest.raises(ValueError, match="1 of 2 examples have no image from before"):
        from_before(
            model, [example, replace(example, before=None)], ["flooding"], TEMPLATES, **settings
        )


# --- sentences ----------------------------------------------------------------------------------


EUROSAT = (
    "annual crop",
    "forest",
    "herbaceous vegetation",
    "highway",
    "industrial",
    "pasture",
    "permanent crop",
    "residential",
    "river",
    "sea lake",
)


def test_sentences_differ_name_their_class_and_take_turns():
    sentences, labels = write_sentences(EUROSAT, per_class=30, generator=seeded(0))
    assert labels == list(range(10)) * 30
    assert all(EUROSAT[y] in said for said, y in zip(sentences, labels, strict=True))
    assert len(set(sentences)) > 290
    assert all(12 <= len(said.split()) <= 40 for said in sentences)
    assert sentences == write_sentences(EUROSAT, per_class=30, generator=seeded(0))[0]
    assert sentences != write_sentences(EUROSAT, per_class=30, generator=seeded(1))[0]


def test_sentences_say_of_an_image_what_training_said():
    """Every part of a sentence is one that was measured on training images, direction and all."""
    from tools.training.looks import find_looks

    rng, learned = np.random.default_rng(0), set()
    for _ in range(300):
        base = rng.uniform(0, 1, 3) * np.ones((64, 64, 1))
        ramp = np.linspace(-1, 1, 64)[:, None, None] * rng.uniform(-0.3, 0.3)
        image = (base + ramp + rng.normal(0, rng.uniform(0, 0.2), (64, 64, 1))).clip(0, 1)
        learned |= {sight.text for sight in find_looks(image)}
    shapes = [re.sub("mostly .* with .*", "mostly", text) for text in learned]
    sentences, _ = write_sentences(EUROSAT, per_class=20, generator=seeded(0))
    colors = "|".join(mini_earth.words.COLORS)
    for said in sentences:
        for part in said.split(", ")[1:]:
            known = [shape.split(" {}")[0] for shape in shapes]
            is_color = re.fullmatch(f"mostly ({colors}) with ({colors})|({colors}) at .*", part)
            assert is_color or any(part.startswith(shape) for shape in known), part


@pytest.mark.parametrize("name", ["small_text2image", "small_text2image_eurosat"])
def test_the_generators_know_the_words_and_read_sentences_to_their_end(name):
    folder = hub.locate(name).root / "tokenizer"
    tokenizer = CLIPTokenizerFast.from_pretrained(folder, local_files_only=True)
    disasters = ("a place damaged by a wildfire", "a place damaged by flooding")
    sentences, _ = write_sentences((*EUROSAT, *disasters), per_class=40, generator=seeded(0))
    lengths = [len(tokenizer(said).input_ids) for said in sentences]
    assert max(lengths) <= 77
    words = {word.strip(".,") for said in sentences for word in said.split()}
    pieces = {word: len(tokenizer(word).input_ids) - 2 for word in words}
    assert {word: num for word, num in pieces.items() if num > 2} == {}


def test_a_sea_is_blue_a_forest_is_green_and_a_fire_leaves_ash():
    phrases = ("sea lake", "forest", "a place damaged by a wildfire")
    sentences, labels = write_sentences(phrases, per_class=50, generator=seeded(0))
    said = [
        "; ".join(s for s, y in zip(sentences, labels, strict=True) if y == k) for k in range(3)
    ]
    assert "blue" in said[0]
    assert "brown" not in said[0]
    assert "green" in said[1]
    assert not {"blue", "gray", "brown"} & set(said[1].split())
    assert "ash" in said[2]


def test_a_writer_makes_the_sentences_and_repeats_them_where_it_has_too_few():
    def writer(phrase: str, num: int, *, generator: torch.Generator) -> list[str]:
        return [f"{phrase} one", f"{phrase} two"][:num]

    sentences, labels = write_sentences(
        PHRASES, per_class=3, generator=seeded(0), templates=("see {}.",), writer=writer
    )
    assert sentences[::2] == ["see a river one.", "see a river two.", "see a river one."]
    assert labels == [0, 1] * 3


@pytest.mark.usefixtures("_unchecked")
@pytest.mark.parametrize("phrases", [[], "river", ["river", " "]])
def test_nothing_to_say_is_refused(phrases):
    with pytest.raises(ValueError, match="phrases must be a list of one or more words"):
        write_sentences(phrases, per_class=1, generator=seeded(0))


# --- what a generator was trained on ------------------------------------------------------------


def data_of(*class_names: str) -> Splits:
    return Splits((), (), (), class_names, class_names, "made up")


@pytest.fixture
def _few(monkeypatch):
    monkeypatch.setattr(sources, "_NUM_PLACES", 1)


@pytest.mark.usefixtures("_few")
def test_what_the_blind_generator_learned_from_is_found_by_text_alone(tmp_path):
    found = training_images(None, data_of("a", "b"), cache=tmp_path)
    assert not found.is_labelled
    assert len(found.examples) == 126 + len(mini_earth.SCENE_CLASSES)
    assert {example.source for example in found.examples} == {"real"}
    assert len({example.digest() for example in found.examples}) == len(found.examples)
    assert len(found.notes) == 2

    def refuse(items, total):
        raise AssertionError("nothing is left to render")

    again = training_images(None, data_of("a", "b"), cache=tmp_path, progress=refuse)
    assert [e.digest() for e in again.examples] == [e.digest() for e in found.examples]


@pytest.mark.usefixtures("_few")
def test_a_cut_cache_is_rendered_anew(tmp_path):
    first = training_images(None, data_of("a", "b"), cache=tmp_path)
    (path,) = tmp_path.glob("mini_earth-learned-*.npy")
    path.write_bytes(path.read_bytes()[:1000])
    again = training_images(None, data_of("a", "b"), cache=tmp_path)
    assert [e.digest() for e in again.examples] == [e.digest() for e in first.examples]


def test_classes_of_the_world_are_rendered_with_their_labels():
    found = training_images(None, data_of("forest", "wildfire", "river"), per_class=2)
    assert found.is_labelled
    assert [example.label for example in found.examples] == [0, 1, 2, 0, 1, 2]


def test_renders_are_of_training_styles_and_never_of_the_test_style(monkeypatch):
    styles = set()
    original = mini_earth.make_scene

    def watch(name, style, **settings):
        styles.add(style)
        return original(name, style, **settings)

    monkeypatch.setattr(mini_earth, "make_scene", watch)
    training_images(None, data_of("forest", "river"), per_class=6)
    assert styles == set(mini_earth.TRAIN_STYLES)


def test_the_generator_that_saw_eurosat_gives_labelled_images_of_it():
    data = load_examples("scenes", profile=runtime.PROFILES["mini"], root="eurosat")
    found = training_images("eurosat_spatial_train", data, per_class=3)
    assert found.is_labelled
    assert np.bincount([example.label for example in found.examples]).tolist() == [3] * 10
    held = {example.digest() for example in (*data.train, *data.validation, *data.test)}
    assert not held & {example.digest() for example in found.examples}
    assert found.notes


@pytest.mark.usefixtures("_few")
def test_images_that_choose_or_judge_are_not_looked_up(tmp_path):
    every = training_images(None, data_of("a", "b"), cache=tmp_path).examples
    held = replace(data_of("a", "b"), validation=every[:2], test=every[2:3])
    left = training_images(None, held, cache=tmp_path).examples
    assert [e.digest() for e in left] == [e.digest() for e in every[3:]]


@pytest.mark.parametrize(
    ("labels", "is_labelled", "most"),
    [([0, 1, 1, 2, 2], True, 1), ([0, 1, 1], True, 0), ([], True, 0), ([0] * 7, False, 2)],
)
def test_each_class_can_have_as_many_images_as_the_rarest(labels, is_labelled, most):
    pixels = np.zeros((1, 1, 3), np.uint8)
    some = tuple(Example(label, "real", pixels=pixels) for label in labels)
    assert sources.TrainingImages(some, is_labelled, ()).most_per_class(3) == most
