"""The judge and the measuring script, on tiny images and models."""

import csv
import io
import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from safetensors.torch import load_file
from scipy import stats
from tiny_models import write_tiny_clip, write_tiny_text2image

import mini_earth
from course_utils import examples
from course_utils.examples import loading as lab_images
from tools import measure_text2image, measured_card, train_judge, training
from tools.measure_text2image import Images
from tools.measured_card import Row

CLASSES = sorted(training.EUROSAT_CLASSES)
NUM_TRAIN, NUM_VALIDATION = 18, 2  # a class
# the tiny generator reads 32 letters; for its noise it does not matter what
pytestmark = pytest.mark.filterwarnings("ignore:.*longer than the 32 tokens:UserWarning")


@pytest.fixture(autouse=True)
def _same_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def picture(label: int, rng: np.random.Generator) -> bytes:
    """Draw noise around a color of the class."""
    color = np.random.default_rng(label).integers(40, 216, 3)
    pixels = np.clip(color + rng.normal(0, 12, (64, 64, 3)), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def write_eurosat(path: Path, rng: np.random.Generator, *, per_class: int) -> None:
    """Write a file in the form of EuroSAT's."""
    rows = [
        {"image": {"bytes": picture(label, rng), "path": ""}, "label": label}
        for label in range(len(CLASSES))
        for _ in range(per_class)
    ]
    features = {"image": {"_type": "Image"}, "label": {"names": CLASSES, "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    table = pa.Table.from_pylist(rows).replace_schema_metadata(metadata)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Write what the generator was trained on, and two parts that it has not seen."""
    root, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    write_eurosat(root / "train" / "eurosat_spatial_train.parquet", rng, per_class=NUM_TRAIN)
    for part, num in (("train", NUM_TRAIN), ("validation", NUM_VALIDATION)):
        write_eurosat(root / "course" / f"eurosat_course_{part}.parquet", rng, per_class=num)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_judge, "EUROSAT", root / "course")
        yield root


def judge_arguments(work: Path, *, steps: int) -> list[str]:
    """Ask for a tiny judge of EuroSAT."""
    sizes = ["--widths", "8", "16", "--batch", "32", "--steps", str(steps)]
    sizes += ["--learning-rate", "0.01"]  # which rises over the first 200 steps
    return ["--on", "eurosat", "--work", str(work), *sizes, "--threads", "1", "--processes", "0"]


@pytest.fixture(scope="module")
def work(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a tiny judge, and write a tiny generator and a tiny CLIP."""
    work = tmp_path_factory.mktemp("work")
    train_judge.main(judge_arguments(work, steps=120))
    write_tiny_text2image(work / "generator")
    write_tiny_clip(work / "clip")
    return work


def measure_arguments(data: Path, work: Path) -> list[str]:
    """Ask for four drawings a class."""
    folders = ["--data", str(data), "--work", str(work), "--table", str(work / "table.csv")]
    models = ["--name", "tiny", "--model", str(work / "generator"), "--clip", str(work / "clip")]
    sizes = ["--per-class", "4", "--seeds", "2", "--steps", "1", "--draws", "2"]
    return [*folders, *models, *sizes, "--threads", "1", "--processes", "0"]


@pytest.fixture(scope="module")
def table(data: Path, work: Path) -> list[dict[str, str]]:
    """Measure the tiny generator."""
    measure_text2image.main(measure_arguments(data, work))
    return read_table(work / "table.csv")


def read_table(path: Path) -> list[dict[str, str]]:
    """Read the rows of a table."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# --- The judge --------------------------------------------------------------------------------


def test_the_judge_learns_and_says_how_often_it_is_right_on_images_held_aside(data, work):
    judge, record = train_judge.load_judge(work / "judge_eurosat")
    _, held = train_judge.load_split(train_judge.parse(judge_arguments(work, steps=1)))
    said, features = train_judge.see(judge, held.images)
    right = [judge.class_names[k] == label for k, label in zip(said, held.labels, strict=True)]
    assert np.mean(right) == pytest.approx(record["validation"]["accuracy"])
    assert np.mean(right) > 0.9
    assert record["num_validation"] == len(held) == NUM_VALIDATION * len(CLASSES)
    assert record["num_training"] == NUM_TRAIN * len(CLASSES)
    assert list(judge.class_names) == record["class_names"] == CLASSES
    assert features.shape == (len(held), 16)
    assert record["steps"] == 120
    assert str(data) not in json.dumps(record)


def test_the_judge_never_trains_on_what_is_held_aside(data, tmp_path, monkeypatch):
    seen = set()

    def spy(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        seen.update(image.numpy().tobytes() for image in images)
        return augmented(images, generator)

    augmented = train_judge.augmented
    monkeypatch.setattr(train_judge, "augmented", spy)
    arguments = judge_arguments(tmp_path, steps=20)
    train_judge.main(arguments)
    past, held = train_judge.load_split(train_judge.parse(arguments))
    assert not seen & {image.numpy().tobytes() for image in held.images}
    assert len(seen) > len(past) / 2


def test_a_finished_judge_is_not_trained_on(data, work, tmp_path):
    shutil.copytree(work / "judge_eurosat", tmp_path / "judge_eurosat")
    before = load_file(tmp_path / "judge_eurosat" / "judge.safetensors")
    train_judge.main(judge_arguments(tmp_path, steps=120))
    after = load_file(tmp_path / "judge_eurosat" / "judge.safetensors")
    torch.testing.assert_close(before, after, rtol=0, atol=0)


def test_the_judge_of_renders_knows_scenes_and_disasters_and_no_test_style(tmp_path):
    arguments = judge_arguments(tmp_path, steps=2)
    arguments[1] = "mini_earth"
    arguments += ["--renders", "12", "--validation-renders", "6"]
    with pytest.raises(ValueError, match="must never see"):
        train_judge.main([*arguments, "--styles", mini_earth.TEST_STYLE])
    train_judge.main(arguments)
    judge, record = train_judge.load_judge(tmp_path / "judge_mini_earth")
    known = {**mini_earth.SCENE_PHRASES, **mini_earth.DISASTER_PHRASES}
    assert set(judge.class_names) <= {name.replace("_", "") for name in known}
    assert record["num_validation"] == 6


def test_a_judge_that_was_never_trained_is_said_to_be(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"tools.train_judge --on eurosat"):
        train_judge.load_judge(tmp_path / "judge_eurosat")


# --- What is asked and compared ---------------------------------------------------------------


def test_the_prompts_have_the_words_of_the_lab():
    for name in mini_earth.DISASTERS:
        assert (
            measure_text2image.class_phrase("mini_earth", name)
            == lab_images.TASKS["disasters"][name]
        )
    assert (
        measure_text2image.class_phrase("mini_earth", "denseresidential")
        == (mini_earth.SCENE_PHRASES["dense_residential"][0])
    )
    for name in CLASSES:
        phrase = measure_text2image.class_phrase("eurosat", name)
        assert phrase == examples.phrase_from_name(name)
    assert measure_text2image.class_phrase("eurosat", "SeaLake") == "sea lake"


def some_images(labels: list[int], *, seed: int = 0) -> Images:
    """Make random images."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (len(labels), 3, 64, 64), dtype=np.uint8)
    return Images(
        torch.from_numpy(pixels), torch.tensor(labels), tuple(f"prompt {i}" for i in labels)
    )


def test_sets_are_compared_with_as_many_images_of_each_class():
    drawn, held = some_images([0, 1, 2] * 4), some_images([0, 0, 0, 0, 0, 1, 2, 2])
    past = some_images([2, 1, 0] * 9)
    counts = measure_text2image.class_counts(drawn, held, past)
    assert counts == [4, 1, 2]
    for images in (drawn, held, past):
        part = measure_text2image.matched(images, counts)
        assert part.labels.tolist() == [0, 0, 0, 0, 1, 2, 2]
        assert part.prompts == tuple(f"prompt {k}" for k in part.labels.tolist())
    assert torch.equal(measure_text2image.matched(held, [1, 1, 1]).pixels, held.pixels[[0, 5, 6]])


def test_a_share_has_wilsons_interval_also_at_its_ends():
    none = measure_text2image.share_row("drawn", torch.zeros(10, dtype=torch.bool), seeds=2)
    z = stats.norm.ppf(0.975)
    assert (none.value, none.low, none.n, none.seeds) == (0, 0, 5, 2)
    assert none.high == pytest.approx(z**2 / (10 + z**2))
    some = measure_text2image.share_row("real", torch.tensor([True] * 3 + [False] * 5))
    middle = (3 + z**2 / 2) / (8 + z**2)
    half = z / (8 + z**2) * math.sqrt(3 * 5 / 8 + z**2 / 4)
    assert (some.low, some.high) == pytest.approx((middle - half, middle + half))


def test_numbers_are_averaged_over_seeds_with_students_interval():
    runs = [{("recall", 9): 0.2, ("frechet_limit", 9): v} for v in (1.0, 2.0, 6.0)]
    recall, limit = measure_text2image.mean_rows("drawn", "judge", runs)
    low, high = stats.t.interval(0.95, 2, 3.0, stats.sem([1, 2, 6]))
    assert (limit.value, limit.low, limit.high) == pytest.approx((3, low, high))
    assert (recall.n, recall.seeds) == (9, 3)
    agreed = stats.binomtest(2, 9).proportion_ci(method="wilson")  # seeds say nothing more
    assert (recall.low, recall.high) == pytest.approx((agreed.low, agreed.high))
    (wide,) = measure_text2image.mean_rows("drawn", "", [{("recall", 9): v} for v in (0.0, 1.0)])
    assert (wide.low, wide.high) == (0, 1)  # a share cannot be outside
    (single,) = measure_text2image.mean_rows("drawn", "", [{("recall", 9): 0.5}])
    assert (single.low, single.high) == (None, None)


def test_the_real_images_themselves_would_be_perfect():
    rows = torch.from_numpy(np.random.default_rng(0).normal(size=(40, 6)))
    numbers = measure_text2image.set_numbers(rows, rows, draws=2, seed=0)
    assert {size for metric, size in numbers if metric == "frechet_distance"} == {20, 30, 40}
    assert numbers["frechet_distance", 40] == pytest.approx(0, abs=1e-9)
    assert numbers["frechet_distance", 20] > numbers["frechet_distance", 30] > 0.1
    assert numbers["precision", 40] == numbers["recall", 40] == numbers["coverage", 40] == 1


def test_rows_of_features_have_length_root_d():
    rows = measure_text2image.spread(torch.randn(5, 9, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(rows.norm(dim=1), torch.full((5,), 3.0, dtype=torch.float64))


# --- The table --------------------------------------------------------------------------------


def test_every_number_stands_beside_that_of_real_images(table):
    assert all(list(row) == list(measured_card.COLUMNS) for row in table)
    keys = {(r["images"], r["metric"], r["space"], r["class"], r["n"]) for r in table}
    assert len(keys) == len(table)
    compared = {key[1:] for key in keys if key[0] == "drawn" and key[1] != "agreement"}
    assert compared == {key[1:] for key in keys if key[0] == "real" and key[1] != "agreement"}
    for metric in ("frechet_distance", "kernel_distance", "precision", "recall", "copied_share"):
        assert {space for m, space, *_ in compared if m == metric} == {"clip", "judge"}
    asked = {(images, name) for images, metric, _, name, _ in keys if metric == "agreement"}
    assert asked == {(images, name) for images in ("drawn", "real") for name in ["all", *CLASSES]}


def test_numbers_lie_in_their_intervals_and_say_what_made_them(table, work):
    for row in table:
        value = float(row["value"])
        assert math.isfinite(value)
        assert not row["low"] or float(row["low"]) <= value + 1e-4
        assert not row["high"] or value - 1e-4 <= float(row["high"])
        assert (row["model"], row["guidance"], row["steps"]) == ("tiny", "3", "1")
        assert row["scheduler"] == "DDIMScheduler"
        assert str(work) not in row["command"]
        assert row["commit"]
        assert row["machine"]
    assert {row["n"] for row in table if row["metric"] == "precision"} == {"40"}  # four a class


def find(table: list[dict[str, str]], images: str, metric: str, space: str = "judge") -> float:
    """Find a number of all classes, at the largest n."""
    rows = [r for r in table if (r["images"], r["metric"], r["space"]) == (images, metric, space)]
    return float(max((r for r in rows if r["class"] == "all"), key=lambda r: int(r["n"]))["value"])


def test_agreement_is_what_the_judge_says_of_the_drawings(table, data, work):
    judge, record = train_judge.load_judge(work / "judge_eurosat")
    manifests = sorted((work / "drawn").glob("*/manifest.jsonl"))
    assert len(manifests) == 2  # one a base seed
    right, phrases = [], {examples.phrase_from_name(name): name for name in CLASSES}
    for manifest in manifests:
        lines = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
        assert len(lines) == 4 * len(CLASSES)
        for line in lines:
            with Image.open(manifest.parent / line["file_name"]) as image:
                pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
            said, _ = train_judge.see(judge, pixels[None])
            asked = [name for phrase, name in phrases.items() if f" {phrase}." in line["prompt"]]
            right.append([judge.class_names[said.item()]] == asked)
    assert find(table, "drawn", "agreement") == pytest.approx(np.mean(right), abs=1e-4)
    assert find(table, "real", "agreement") == pytest.approx(
        record["validation"]["accuracy"], abs=1e-4
    )


def test_real_images_are_nearer_than_noise(table):
    for space in ("clip", "judge"):
        for metric in ("frechet_distance", "kernel_distance"):
            assert find(table, "real", metric, space) < find(table, "drawn", metric, space)
        assert find(table, "real", "recall", space) > find(table, "drawn", "recall", space)


def test_a_generator_that_copies_is_noticed(data, work):
    judge, _ = train_judge.load_judge(work / "judge_eurosat")
    args = measure_text2image.parse([*measure_arguments(data, work), "--name", "copier"])
    real = measure_text2image.load_real(args, judge.class_names)
    past = real.past

    def features(images: Images) -> torch.Tensor:
        return images.pixels.flatten(1)[:, ::997].double()

    rows = measure_text2image.space_rows(args, "pixels", features, [past, past], real)
    found = {(row.images, row.metric, row.n): row for row in rows}
    copied = found["drawn", "copied_share", len(past.labels)]
    assert copied.value == 1
    assert found["real", "copied_share", len(past.labels)].high < 0.5


def test_the_card_and_the_sheets_show_every_class(table, work):
    text = (work / "tiny_measured_on_eurosat.md").read_text(encoding="utf-8")
    for name in CLASSES:
        assert f"| {name} | " in text
        assert (work / "tiny_sheets" / f"eurosat_{name}.png").is_file()
    assert f"recall | judge | 40 | {find(table, 'drawn', 'recall'):.3f}" in text
    assert str(work) not in text
    # ten a class is asked for, four there are: 64 pixels and a border, twice as large
    with Image.open(work / "tiny_sheets" / "eurosat_ten_a_class.png") as overview:
        assert overview.size == (2 * 66 * 4, 2 * 66 * 10)
    assert (work / "tiny_sheets" / "eurosat_nearest_in_judge.png").is_file()


def test_a_second_run_draws_nothing_and_changes_no_number(table, data, work, monkeypatch):
    def refuse(*_: object) -> None:
        raise AssertionError("drawn again")

    monkeypatch.setattr(StableDiffusionPipeline, "__call__", refuse)
    path = work / "table.csv"
    before = path.read_bytes()
    measure_text2image.main(measure_arguments(data, work))
    assert path.read_bytes() == before


def test_a_later_run_replaces_the_rows_of_its_model_and_setting_alone(tmp_path):
    def row(model: str, fingerprint: str, guidance: float, value: float) -> dict[str, object]:
        rest = dict.fromkeys(measured_card.COLUMNS, "")
        rest |= {"model": model, "fingerprint": fingerprint, "on": "eurosat", "steps": 10}
        return rest | {"scheduler": "S", "guidance": guidance, "value": value}

    path = tmp_path / "measured" / "table.csv"

    def write(*rows: dict[str, object]) -> list[tuple[str, str, str]]:
        measured_card.write_table(path, rows)
        return [(r["model"], r["guidance"], r["value"]) for r in read_table(path)]

    assert write(row("b", "x", 3.0, 0.123456), row("b", "x", 3.0, 2.0)) == [
        ("b", "3", "0.12346"),
        ("b", "3", "2"),
    ]
    write(row("a", "y", 3.0, 5.0))
    write(row("b", "x", 1.0, 6.0))
    assert write(row("b", "x", 3.0, 7.0)) == [("a", "3", "5"), ("b", "1", "6"), ("b", "3", "7")]
    assert write(row("b", "other files", 3.0, 8.0)) == [("a", "3", "5"), ("b", "3", "8")]


def test_a_number_without_interval_is_written_without():
    row = Row("drawn", "recall", "judge", "all", 0.5, None, None, 9, 1)
    assert measured_card.number_text(row) == "0.500"
    assert measured_card.number_text(None) == ""
    assert training.text_of(None) == ""


def test_renders_are_measured_too(tmp_path, work):
    train = ["--on", "mini_earth", "--work", str(tmp_path)]
    train += ["--widths", "8", "16", "--steps", "2", "--threads", "1", "--processes", "0"]
    sizes = ["--renders", "50", "--validation-renders", "40"]
    train_judge.main([*train, *sizes])
    arguments = [*measure_arguments(tmp_path, tmp_path), "--on", "mini_earth", *sizes]
    arguments += ["--per-line", "2"]
    models = ["--model", str(work / "generator"), "--clip", str(work / "clip")]
    measure_text2image.main([*arguments, *models, "--per-class", "1", "--seeds", "1"])
    rows = read_table(tmp_path / "table.csv")
    assert {row["on"] for row in rows} == {"mini_earth"}
    assert find(rows, "real", "direction_obeyed", "lines") > 0.8
    assert find(rows, "drawn", "direction_obeyed", "lines") < 0.5  # noise runs nowhere
    assert find(rows, "real", "straightness", "lines") > 0.15
    drawn = [r for r in rows if r["metric"] == "agreement" and r["images"] == "drawn"]
    judge, _ = train_judge.load_judge(tmp_path / "judge_mini_earth")
    assert [row["class"] for row in drawn] == ["all", *judge.class_names]
    text = (tmp_path / "tiny_measured_on_mini_earth.md").read_text(encoding="utf-8")
    assert "fresh renders" in text
