"""The tool that measures the lab at full size, on tiny images, generators and classifier."""

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_models import write_tiny_clip, write_tiny_text2image

from course_utils import examples, lab, runtime, strategies, text2image
from course_utils.examples import Example, Splits
from course_utils.text2image import GenerationConfig
from course_utils.tuning import TuneConfig
from tools import lab_images, measure_lab
from tools.lab_images import Part
from tools.measure_lab import NEAREST

CLASSES = ("river", "forest", "beach")
GENERATORS = ("tiny_few_steps", "other")
CONFIG = GenerationConfig(num_sample_steps=4, height=16, width=16)
load_pipeline = text2image.load_pipeline
pytestmark = pytest.mark.filterwarnings("ignore:.*longer than the 32 tokens")  # of the tiny models

NO_DRAWINGS = ("more_real", "augmented", "retrieval", "retrieval_nearest")


def pictures(num: int, *, seed: int, before: bool = False) -> tuple[Example, ...]:
    """Draw noise in a color of its class."""
    rng = np.random.default_rng(seed)
    made = []
    for label in [*range(len(CLASSES))] * num:
        pixels = rng.integers(0, 120, (16, 16, 3), dtype=np.uint8)
        pixels[..., label] += 60
        place = Example(label, "real", pixels=pixels // 2) if before else None
        made.append(Example(label, "real", pixels=pixels, before=place))
    return tuple(made)


UNREAD = tuple(Example(-1, "real", path=Path("nowhere.png")) for _ in range(4))
DATA = Splits(
    train=pictures(8, seed=0, before=True),
    validation=pictures(8, seed=1),
    test=UNREAD,
    class_names=CLASSES,
    phrases=tuple(f"a {name}" for name in CLASSES),
    name="tiny",
    task="eurosat",
)


@pytest.fixture(autouse=True)
def _same_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("models")
    write_tiny_clip(root / "clip")
    for seed, name in enumerate(("tiny", *GENERATORS)):
        write_tiny_text2image(root / name, seed=seed)
    return root


@pytest.fixture(autouse=True)
def tiny(models, monkeypatch) -> dict[str, object]:
    """Let the tool find tiny data and models, and train at two settings for a few steps."""

    def load(name: str, **options: object) -> text2image.TextToImage:
        model = load_pipeline(str(models / name), **options)
        return replace(model, config=CONFIG, trained_on="tiny" if name == "other" else None)

    def learned(trained_on: str | None, *_: object, **__: object) -> strategies.TrainingImages:
        is_known = trained_on is not None
        labels = range(len(CLASSES)) if is_known else (0,)
        found = (replace(e, label=e.label if is_known else 0) for e in pictures(6, seed=2))
        return strategies.TrainingImages(tuple(found), is_known, (f"sample, {len(labels)}",))

    given = {"data": DATA}
    for place in (lab_images, measure_lab):
        monkeypatch.setattr(place, "TEMPLATES", ("a {}.", "one {}."))
    monkeypatch.setattr(examples, "load_lab", lambda *_, **__: given["data"])
    monkeypatch.setattr(text2image, "load_pipeline", load)
    monkeypatch.setattr(strategies, "training_images", learned)
    monkeypatch.setattr(strategies.adaptation, "EPOCHS", 1)
    profile = replace(runtime.Profile(), num_synthetic=12, pool_generators=GENERATORS)
    monkeypatch.setattr(measure_lab, "PROFILE", profile)
    monkeypatch.setattr(lab.training, "NUM_STEPS", (2,))
    monkeypatch.setattr(lab.training, "RATES", (0.003, 0.03))
    settings = tuple(TuneConfig(num_steps=2, learning_rate=rate) for rate in (0.003, 0.03))
    for place in (lab.training, lab.results):
        monkeypatch.setattr(place, "SETTINGS", settings)
    lab_images.load_model.cache_clear()
    lab_images.learned_from.cache_clear()
    return given


def options(models: Path, work: Path, *more: object) -> list[str]:
    given = ["--work", work, "--clip", models / "clip", "--table", work / "lab.csv"]
    return [*map(str, [*given, "--seeds", 2, "--shots", 1, 2, "--threads", 1, *more])]


def read(work: Path) -> list[dict[str, str]]:
    with (work / "lab.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def key(row: dict[str, str]) -> tuple[str, str, int]:
    return row["arm"], row["generator"], int(row["shots"])


def make(bench: lab_images.Bench, part: Part) -> list[Example]:
    return lab_images.MAKERS[part.what](bench, part)


def bench_of(models: Path, work: Path, *more: object) -> lab_images.Bench:
    return measure_lab.set_up(measure_lab.parse(options(models, work, *more)))


def test_every_arm_is_measured_at_all_shots_and_what_is_finished_is_kept(
    models, tmp_path, monkeypatch, capsys
):
    measure_lab.main(options(models, tmp_path))
    rows = {key(row): row for row in read(tmp_path)}
    by_generator = {*measure_lab.ARMS} - {
        *("zero_shot", "synthetic", "real", "augmented", "more_real", "pre_disaster")
    }
    expected = {("zero_shot", "", 0)}
    expected |= {("synthetic", name, 0) for name in GENERATORS}
    expected |= {(arm, "", n) for arm in ("real", "augmented", "more_real") for n in (1, 2)}
    expected |= {(arm, g, n) for arm in by_generator for g in GENERATORS for n in (1, 2)}
    assert {*rows} == expected
    for (arm, generator, shots), row in rows.items():
        seeds = [float(value) for value in row["by_seed"].split()]
        assert np.mean(seeds) == pytest.approx(float(row["accuracy"]), abs=1e-4)
        assert float(row["low"]) <= float(row["accuracy"]) <= float(row["high"])
        assert (row["seeds"], row["num_judged"], row["evaluate"]) == ("2", "12", "validation")
        assert str(tmp_path) not in ",".join(row.values())
        assert str(models) not in ",".join(row.values())
        assert bool(row["fingerprint"]) == bool(generator)
        if arm in measure_lab.BASELINES:
            assert row["gain"] == row["verdict"] == ""
            continue
        base = rows["real", "", shots] if shots else rows["zero_shot", "", 0]
        gain = float(row["accuracy"]) - float(base["accuracy"])
        assert float(row["gain"]) == pytest.approx(gain, abs=1e-4)
        assert row["verdict"]
        added = {"pooled": min(2, 4 * shots), **dict.fromkeys(NO_DRAWINGS, 0)}.get(arm, 2)
        assert row["per_class"] == str(added)
    said = capsys.readouterr().out
    assert "seed 1" in said
    assert "sample, 3" in said
    before = read(tmp_path)
    monkeypatch.setattr(lab.training, "_train", None)
    monkeypatch.setattr(lab_images, "MAKERS", {})
    measure_lab.main(options(models, tmp_path))
    assert read(tmp_path) == before


def test_the_test_part_is_read_when_it_is_asked_for_and_not_before(models, tmp_path, tiny):
    few = ("--arms", "more_real", "--evaluate")
    measure_lab.main(options(models, tmp_path, *few, "validation"))
    with pytest.raises(OSError, match="nowhere"):
        measure_lab.main(options(models, tmp_path, *few, "test"))
    tiny["data"] = replace(DATA, test=pictures(5, seed=7))
    measure_lab.main(options(models, tmp_path, *few, "test"))
    judged = {(row["evaluate"], row["num_judged"]) for row in read(tmp_path)}
    assert judged == {("validation", "12"), ("test", "15")}


def test_each_seed_has_a_pool_of_its_own_and_the_first_is_the_notebooks(models, tmp_path):
    bench = bench_of(models, tmp_path)
    shared, first, second = (
        make(bench, Part("drawn", "other", seed=seed)) for seed in (None, 0, 1)
    )
    prompts, labels = lab.write_prompts(DATA.phrases, lab_images.TEMPLATES, per_class=4)
    drawn = text2image.generate(lab_images.load_model("other"), prompts, CONFIG)
    for mine, theirs in zip(shared, drawn, strict=True):
        assert np.array_equal(mine.pixels, theirs.image)
    assert [e.label for e in shared] == labels
    assert [e.digest() for e in first] == [e.digest() for e in shared]
    assert not {e.digest() for e in first} & {e.digest() for e in second}


def test_parts_are_planned_by_what_the_arms_need():
    def plan(*arms: str, pools: int = 3, task: str = "eurosat") -> set[tuple]:
        args = SimpleNamespace(arms=arms, pools=pools, task=task)
        grid = lab.Grid(("a", "b"), shots=(1, 4), seeds=(0, 1, 2))
        return {(p.what, p.generator, p.shots, p.seed) for p in measure_lab.plan_parts(args, grid)}

    own = {("drawn", g, 0, seed) for g in "ab" for seed in range(3)}
    assert plan("pooled", "clip_filter", "soft_target", "shuffled") == own
    assert plan("synthetic", pools=1) == {("drawn", g, 0, None) for g in "ab"}
    assert plan("real", "more_real", "zero_shot") == set()
    assert plan(NEAREST) == {("retrieved", g, 0, None) for g in "ab"}
    assert plan("retrieval") == {("random", g, 0, seed) for g in "ab" for seed in range(3)}
    assert plan("augmented") == {("augmented", "", n, s) for n in (1, 4) for s in range(3)}
    by_shots = {(g, n, s) for g in "ab" for n in (1, 4) for s in range(3)}
    assert plan("adapted") == {("adapted", *each) for each in by_shots}
    assert plan("pre_disaster") == set()
    assert plan("pre_disaster", task="disasters") == {("before", *each) for each in by_shots}


def test_the_disasters_have_one_more_arm(models, tmp_path, tiny):
    tiny["data"] = replace(DATA, task="disasters")
    more = ("--task", "disasters", "--arms", "pre_disaster", "--generators", "other")
    measure_lab.main(options(models, tmp_path, *more))
    found = {key(row) for row in read(tmp_path) if row["generator"]}
    assert found == {("pre_disaster", "other", 1), ("pre_disaster", "other", 2)}


def test_random_retrieval_takes_as_many_images_of_each_class_anew_for_every_seed(models, tmp_path):
    bench = bench_of(models, tmp_path)
    nearest = make(bench, Part("retrieved", "other"))
    taken = [make(bench, Part("random", "other", seed=seed)) for seed in range(6)]
    sample = {e.digest(): e.label for e in pictures(6, seed=2)}
    for found in (nearest, *taken):
        assert np.bincount([e.label for e in found]).tolist() == [2, 2, 2]
        assert len({e.digest() for e in found}) == 6
        assert all(sample[e.digest()] == e.label for e in found)
    assert len({frozenset(e.digest() for e in found) for found in taken}) > 3


def test_a_cell_can_be_measured_again_from_its_row(models, tmp_path):
    """Adapt, draw and train for one seed alone, as a notebook would, and count the same hits."""
    more = ("--arms", "adapted", "--generators", GENERATORS[0])
    measure_lab.main(options(models, tmp_path, *more))
    row = next(row for row in read(tmp_path) if key(row) == ("adapted", GENERATORS[0], 2))
    bench, seed = bench_of(models, tmp_path), 1
    grid = replace(bench.grid, generators=GENERATORS[:1], seeds=(seed,), shots=(2,), few=2)
    student, teacher = (lab_images.load_model(name) for name in (GENERATORS[0], "tiny"))
    *_, last = strategies.adapt(
        teacher,
        lab.shots_of(DATA.train, 2, seed),
        DATA.phrases,
        lab_images.TEMPLATES,
        generator=runtime.seeded(runtime.derive_seed("lab", "adapt", 2, seed)),
        onto=student,
    )
    prompts, labels = lab.write_prompts(DATA.phrases, lab_images.TEMPLATES, per_class=2)
    drawn = text2image.generate(last.model, prompts, replace(CONFIG, seed=seed))
    made = [
        Example(label, "synthetic", pixels=each.image)
        for label, each in zip(labels, drawn, strict=True)
    ]
    train_labels = torch.tensor([example.label for example in DATA.train])
    bank = lab.Bank.of(bench.encode(DATA.train), train_labels)
    bank = bank.add("adapted", bench.encode(made), torch.tensor(labels), generator=GENERATORS[0])
    scale = {"logit_scale": bench.clip.logit_scale}
    cells = lab.draw_cells(grid, bank, bench.weights, **scale)
    cells = [cell for cell in cells if cell.arm == "adapted"]
    (fit,) = lab.train_cells(cells, bank, bench.weights, **scale)
    rates = [config.learning_rate for config in lab.training.SETTINGS]
    exam = lab.set_exam(
        (bench.encode(DATA.validation), DATA.validation),
        (bench.weights[:0], ()),
        evaluate="validation",
    )
    guess = fit.logits(exam.judge[0], rates.index(float(row["learning_rate"]))).argmax(-1)
    accuracy = (guess == exam.labels("judge")).double().mean().item()
    assert float(row["by_seed"].split()[seed]) == pytest.approx(accuracy, abs=1e-4)


def test_a_damaged_file_of_images_is_made_again(models, tmp_path):
    bench, part = bench_of(models, tmp_path), Part("augmented", shots=1, seed=0)
    first = lab_images.make_part(bench, part)
    (path,) = (tmp_path / "parts").iterdir()
    path.write_bytes(path.read_bytes()[:-7])
    for one, other in zip(first, lab_images.make_part(bench, part), strict=True):
        assert torch.equal(one, other)


def test_what_decides_images_decides_the_name_of_their_file(models, tmp_path, monkeypatch):
    bench = bench_of(models, tmp_path)
    parts = [
        Part("drawn", "other"),
        *(Part("drawn", "other", seed=seed) for seed in (0, 1)),
        *(Part("adapted", name, shots, 0) for name in GENERATORS for shots in (1, 2)),
    ]
    names = [lab_images._key(bench, part) for part in parts]
    assert len({*names}) == len(parts)
    assert names == [lab_images._key(bench, part) for part in parts]
    monkeypatch.setattr(strategies.adaptation, "EPOCHS", 5)
    again = [lab_images._key(bench, part) for part in parts]
    changed = [before != after for before, after in zip(names, again, strict=True)]
    assert changed == [part.what == "adapted" for part in parts]
    other = replace(bench, grid=replace(bench.grid, per_class=1))
    assert lab_images._key(other, parts[0]) != names[0]
    blue = pictures(8, seed=9)
    other = replace(bench, data=replace(DATA, train=blue))
    assert lab_images._key(other, parts[-1]) != again[-1]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--pools", 3), "--pools is 1 or as many as seeds, 2: got 3"),
        (("--arms", "unreal"), "invalid choice"),
    ],
)
def test_options_that_fit_nothing_are_said(models, tmp_path, capsys, more, words):
    with pytest.raises(SystemExit):
        measure_lab.parse(options(models, tmp_path, *more))
    assert words in capsys.readouterr().err


def test_more_shots_than_a_class_has_images_are_said(models, tmp_path):
    with pytest.raises(ValueError, match=r"some of \(1, 2, 4, 8\), got \[16\]"):
        bench_of(models, tmp_path, "--shots", 16)


def test_a_later_run_replaces_its_own_rows_alone(tmp_path):
    path = tmp_path / "lab.csv"

    def row(arm: str, shots: int, seeds: int, gain: float) -> dict[str, object]:
        about = {"task": "eurosat", "evaluate": "test", "generator": "", "pools": 0}
        return {**about, "arm": arm, "shots": shots, "seeds": seeds, "gain": gain}

    measure_lab.write_table(path, iter([row("pooled", 1, 3, 0.1), row("pooled", 16, 3, 0.2)]))
    measure_lab.write_table(path, iter([row("pooled", 2, 3, 0.3), row("pooled", 1, 10, 0.4)]))
    measure_lab.write_table(path, iter([row("real", 2, 3, 0.0), row("pooled", 16, 3, 0.5)]))
    found = [(r["arm"], r["shots"], r["seeds"], r["gain"]) for r in read(tmp_path)]
    assert found == [
        ("real", "2", "3", "0"),
        ("pooled", "1", "3", "0.1"),
        ("pooled", "1", "10", "0.4"),
        ("pooled", "2", "3", "0.3"),
        ("pooled", "16", "3", "0.5"),
    ]
