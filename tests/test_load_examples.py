"""The one place that picks the data: the procedural world, a folder, a generator's own images."""

import csv
import io
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, Features
from datasets import Image as ImageFeature
from PIL import Image

import mini_earth
from course_utils import examples
from course_utils.examples import Example, Splits, read_scene_classes
from course_utils.runtime import Profile, data_root, derive_seed

TYPES = mini_earth.DISASTERS
TINY = replace(Profile(), shots=1, num_test=12)


def images_of(splits: Splits) -> list[str]:
    parts = (splits.train, splits.validation, splits.test)
    return [example.digest() for part in parts for example in part]


@pytest.fixture(scope="module", autouse=True)
def few_validation_images():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(examples.loading, "_NUM_VALIDATION", 2)
        yield


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return examples.load_examples("disasters", profile=TINY, cache=cache), cache


def test_the_procedural_world_brings_six_balanced_disasters(rendered):
    splits, _ = rendered
    assert splits.class_names == mini_earth.DISASTERS
    assert len(splits.test) == 12
    assert len(splits.train) == 3 * 6
    for part in (splits.train, splits.validation, splits.test):
        counts = np.bincount([example.label for example in part], minlength=6)
        assert counts.min() == counts.max() > 0
        assert all(example.source == "real" for example in part)
    assert mini_earth.TEST_STYLE in splits.name
    assert mini_earth.TEST_STYLE in " ".join(splits.notes)


def test_no_image_is_in_two_parts(rendered):
    digests = images_of(rendered[0])
    assert len(set(digests)) == len(digests)


def test_a_second_load_reads_the_cache_and_renders_nothing(rendered, monkeypatch):
    splits, cache = rendered
    monkeypatch.setattr(examples.worlds, "_render_one", None)
    again = examples.load_examples("disasters", profile=TINY, cache=cache)
    assert images_of(again) == images_of(splits)
    assert "cache" in " ".join(again.notes)


def test_a_damaged_cache_is_rendered_anew(rendered, tmp_path):
    splits, cache = rendered
    for path in cache.glob("*.npy"):
        (tmp_path / path.name).write_bytes(path.read_bytes()[:500])
    again = examples.load_examples("disasters", profile=TINY, cache=tmp_path)
    assert images_of(again) == images_of(splits)


def test_a_full_disk_costs_the_cache_but_not_the_images(rendered, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(examples.worlds, "write_pixels", fail)
    splits = examples.load_examples("disasters", profile=TINY, cache=tmp_path)
    assert images_of(splits) == images_of(rendered[0])
    assert "No space left" in " ".join(splits.notes)


def test_progress_sees_every_render(tmp_path):
    seen = []

    def progress(jobs, total):
        seen.append(total)
        return jobs

    examples.load_examples("disasters", profile=TINY, progress=progress)
    assert seen == [18, 12, 12]


def test_an_unknown_task_is_refused_by_name():
    with pytest.raises(ValueError, match="task 'weather' is not one of disasters, scenes"):
        examples.load_examples("weather", profile=TINY)


def test_scenes_are_the_chosen_classes_in_the_chosen_order():
    splits = examples.load_examples(
        "scenes", profile=TINY, classes=("river", "forest"), per_class=2
    )
    assert splits.class_names == ("river", "forest")
    assert splits.stand_in_for is None
    assert [example.label for example in splits.train] == [0, 1, 0, 1]
    other = examples.load_examples("scenes", profile=TINY, classes=("forest", "lake"), per_class=1)
    assert other.train[0].digest() == splits.train[1].digest(), "other classes change no image"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"classes": ("river", "moon")}, "'moon'.*airport"),
        ({"classes": ("river", "river")}, "different ones"),
        ({"classes": ("river",)}, "two or more"),
        ({"per_class": 0}, "per_class is 0"),
    ],
)
def test_wrong_classes_and_numbers_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        examples.load_examples("scenes", profile=TINY, **settings)


def make_folder(root, names):
    rng = np.random.default_rng(0)
    for name in names:
        (root / name).mkdir(parents=True)
        for index in range(10):
            pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index}.png")
    return root


def test_a_folder_gives_as_many_classes_and_images_as_asked(tmp_path):
    root = make_folder(tmp_path / "places", ["SeaLake", "Forest", "River"])
    splits = examples.load_examples(
        "scenes", profile=TINY, root=root, classes=("river", "lake"), per_class=3
    )
    assert splits.class_names == ("Forest", "River")
    assert sorted(example.label for example in splits.train) == [0] * 3 + [1] * 3
    assert "Forest, River" in " ".join(splits.notes)


def test_a_folder_brings_its_own_classes(tmp_path):
    root = make_folder(tmp_path / "places", ["SeaLake", "Forest"])
    splits = examples.load_examples("disasters", profile=TINY, root=root)
    assert splits.class_names == ("Forest", "SeaLake")
    assert splits.phrases == ("forest", "sea lake")
    assert splits.name == "places"
    assert len(images_of(splits)) == len(set(images_of(splits))) == 20


@pytest.mark.parametrize("num", [3, 25])
def test_what_was_left_out_is_in_the_notes_and_counted_where_it_is_much(num, tmp_path):
    root = make_folder(tmp_path / "places", ["SeaLake", "Forest"])
    for index in range(num):
        (root / "Forest" / f"note {index}.txt").write_text("x")
    reading, *notes = examples.load_examples("scenes", profile=TINY, root=root).notes
    assert (
        reading
        == "Read as one folder per class in places: 20 images of 2 classes (Forest, SeaLake)."
    )
    lines = [note for note in notes if note.startswith("Forest/note ")]
    assert len(lines) == min(num, 20)
    assert [note.split()[0] for note in notes[20:]] == (["5"] if num > 20 else [])


@pytest.fixture
def seen_models(tmp_path):
    """Write a models folder with a tiny Parquet file of labelled images, as the hub has them."""

    def png(value: int) -> dict:
        buffer = io.BytesIO()
        Image.new("RGB", (4, 4), (value, 0, 0)).save(buffer, "PNG")
        return {"bytes": buffer.getvalue(), "path": None}

    features = Features({"image": ImageFeature(), "label": ClassLabel(names=["B", "A"])})
    rows = {"image": [png(10), png(20), png(30)], "label": [0, 1, 1]}
    table = Dataset.from_dict(rows, features=features)
    table.to_parquet(str(tmp_path / "eurosat_spatial_train.parquet"))
    return tmp_path


def splits_with(names, test=()):
    return Splits((), (), test, class_names=names, phrases=names, name="x")


def load(splits, root, per_class=9):
    return examples.load_seen(splits, "eurosat_spatial_train", per_class=per_class, models=root)


def test_what_a_generator_has_seen_is_matched_by_class_name(seen_models):
    seen, notes = load(splits_with(("A", "B")), seen_models)
    assert [example.label for example in seen] == [1, 0, 0]
    assert seen[0].load().getpixel((0, 0))[0] == 10
    assert "1 labelled images a class" in notes[0]
    assert len(load(splits_with(("A", "B")), seen_models, per_class=1)[0]) == 2


def test_some_of_the_seen_classes_are_enough(seen_models):
    seen, _ = load(splits_with(("A",)), seen_models)
    assert [example.load().getpixel((0, 0))[0] for example in seen] == [20, 30]


def test_test_images_are_never_trained_on_even_if_the_generator_was(seen_models, tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (4, 4), (20, 0, 0)).save(path)
    seen, notes = load(splits_with(("A",), (Example(0, "real", path),)), seen_models)
    assert [example.load().getpixel((0, 0))[0] for example in seen] == [30]
    assert "1 of the test images" in notes[1]


def test_images_that_choose_settings_are_never_trained_on(seen_models, tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (4, 4), (20, 0, 0)).save(path)
    splits = replace(splits_with(("A",)), validation=(Example(0, "real", path),))
    seen, _ = load(splits, seen_models, per_class=1)
    assert [example.load().getpixel((0, 0))[0] for example in seen] == [30]


def test_a_generator_of_other_classes_is_said_to_have_seen_others(seen_models):
    seen, notes = load(splits_with(("C",)), seen_models)
    assert seen == ()
    assert "do not carry the names" in notes[0]
    assert examples.load_seen(splits_with(("A",)), None, per_class=1) == ((), ())


def test_images_that_are_not_here_are_said_to_be_missing(tmp_path):
    seen, notes = examples.load_seen(splits_with(("A",)), "rsicd", per_class=9, models=tmp_path)
    assert seen == ()
    assert "COURSE_MODELS" in notes[0]
    assert "RSICD" in notes[0]


def test_offline_a_sample_of_what_the_generator_has_seen_ships(tmp_path):
    names = read_scene_classes()["eurosat"].class_names
    seen, notes = load(splits_with(names), tmp_path)
    assert np.bincount([example.label for example in seen]).tolist() == [9] * 10
    assert "ship with the course" in notes[0]


def test_eurosat_in_mini_is_what_ships_by_its_spatial_split():
    data = examples.load_examples("scenes", profile=Profile(), root="eurosat")
    for part, num in ((data.train, 100), (data.validation, 40), (data.test, 100)):
        assert np.bincount([example.label for example in part]).tolist() == [num] * 10
    assert data.class_names[0] == "AnnualCrop"
    assert data.stand_in_for is None
    assert "longitude" in data.notes[0]
    digests = images_of(data)
    assert len(set(digests)) == len(digests)
    few = examples.load_examples("scenes", profile=Profile(), root="eurosat", per_class=3)
    assert len(few.train) == 30


def test_what_ships_lies_in_the_parts_of_the_split_list():
    root = data_root() / "eurosat_course"
    with (root / "eurosat_spatial_split.csv").open(newline="") as file:
        part_of = {row["path"]: row["split"] for row in csv.DictReader(file)}
    assert len(part_of) == 27_000
    for part in ("train", "validation", "test"):
        table = pq.read_table(root / f"eurosat_course_{part}.parquet")
        assert {part_of[row["path"]] for row in table["image"].to_pylist()} == {part}
    (seen,) = (data_root() / "eurosat_retrieval").glob("*.parquet")
    assert {part_of[row["path"]] for row in pq.read_table(seen)["image"].to_pylist()} == {"train"}


def test_the_lab_is_tested_on_the_test_style_only(monkeypatch):
    styles = []
    real = mini_earth.disaster_scene

    def spy(disaster, style, *, seed):
        styles.append(style)
        return real(disaster, style, seed=seed)

    monkeypatch.setattr(mini_earth, "disaster_scene", spy)
    examples.load_examples("disasters", profile=TINY)
    assert set(styles) == {mini_earth.TEST_STYLE}


def test_the_lab_takes_the_eurosat_that_ships_if_nothing_is_said():
    data = examples.load_lab(Profile())
    shipped = examples.load_examples("scenes", profile=Profile(), root="eurosat")
    assert data.task == shipped.task == "eurosat"
    assert images_of(data) == images_of(shipped)
    assert images_of(examples.load_lab(Profile(), data="eurosat")) == images_of(data)


def test_disasters_bring_the_same_place_before_for_what_is_trained_on(rendered):
    splits, cache = rendered
    data = examples.load_lab(TINY, data="disasters", cache=cache)
    assert (data.task, data.stand_in_for, data.class_names) == ("disasters", "xBD", TYPES)
    assert images_of(data) == images_of(splits)
    first = data.train[0]
    seed = derive_seed("mini_earth", "train", TYPES[0], 0) % (1 << 48)
    scene = mini_earth.disaster_scene(TYPES[0], mini_earth.TEST_STYLE, seed=seed)
    for post, image in ((True, first), (False, first.before)):
        assert np.array_equal(image.pixels, mini_earth.render(scene, size=64, post=post).image)
    assert {each.before.label == each.label for each in data.train} == {True}
    assert not any(each.before for each in (*data.validation, *data.test))
    again = examples.load_lab(TINY, data="disasters", cache=cache)
    assert [a.before.digest() for a in again.train] == [a.before.digest() for a in data.train]


def test_a_folder_of_yours_is_the_third_task_whatever_it_is_called(tmp_path, monkeypatch):
    make_folder(tmp_path / "disasters", ["SeaLake", "Forest"])
    monkeypatch.chdir(tmp_path)
    for data in ("disasters", tmp_path / "disasters"):
        found = examples.load_lab(TINY, data=data)
        assert (found.task, found.class_names) == ("scenes", ("Forest", "SeaLake"))


def test_where_no_lab_is_meant_disasters_are_the_rendered_world():
    options = {"profile": replace(TINY, num_test=2), "classes": ("lake", "forest"), "per_class": 1}
    found = examples.load_examples("scenes", root="disasters", **options)
    assert (found.task, found.stand_in_for) == ("scenes", None)
