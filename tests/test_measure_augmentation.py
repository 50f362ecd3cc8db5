"""The tools that measure augmentation, on few tiny renders and a tiny CLIP."""

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import write_tiny_clip

import mini_earth
from course_utils import augment, lab, metrics
from tools import measure_augmentation, measure_augreg


@pytest.fixture(autouse=True)
def _same_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def few(monkeypatch) -> None:
    """Leave two families and two dials, and few settings to choose from."""
    families = {name: lab.FAMILIES[name] for name in ("turns", "copy_paste", "legal")}
    dials = {
        "flip": lab.DIALS["flip"],
        "mixup": lab.DIALS["mixup"],
        "hue": replace(lab.DIALS["hue"], strengths=(0, 120)),
    }
    monkeypatch.setattr(lab, "FAMILIES", families)
    monkeypatch.setattr(lab, "DIALS", dials)
    monkeypatch.setattr("course_utils.tuning.NUM_STEPS", (2,))
    monkeypatch.setattr("course_utils.tuning.LEARNING_RATES", (0.01,))
    monkeypatch.setattr("course_utils.examples.loading._NUM_VALIDATION", 2)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_all_arms_and_strengths_are_measured_and_features_are_kept(few, tmp_path, monkeypatch):
    clip, table = tmp_path / "clip", tmp_path / "table.csv"
    write_tiny_clip(clip)
    settings = ["--work", tmp_path / "work", "--clip", clip, "--table", table]
    settings += ["--amounts", 1, 2, "--shown", 2, "--copies", 3, "--most", 4, "--seeds", 2]
    settings = [*map(str, settings), "--num-test", "12"]
    measure_augmentation.main(settings)
    rows = read(table)
    arms = ["real", "real_duplicated", "turns", "copy_paste", "legal", "shuffled"]
    training = [row for row in rows if row["study"] == "training"]
    found = [(row["family"], row["per_class"], row["copies"]) for row in training]
    expected = [
        (arm, n, "0" if arm == "real" else c) for n, c in (("1", "3"), ("2", "2")) for arm in arms
    ]
    assert found == [("zero_shot", "0", "0"), *expected]
    shown = [(row["family"], row["strength"]) for row in rows if row["study"] == "legality"]
    assert shown == [("flip", "0"), ("flip", "1"), ("hue", "0"), ("hue", "120")]
    for row in rows:
        assert 0 <= float(row["low"]) <= float(row["accuracy"]) <= float(row["high"]) <= 1
        ends = (float(row[k]) for k in ("gain", "gain_low", "gain_high"))
        gain = metrics.Interval(*ends, df=1.0, error=1.0)
        assert row["verdict"] == metrics.verdict(gain)
        assert row["num_test"] == "12"
        assert str(tmp_path) not in ",".join(row.values())
    real = {row["per_class"]: float(row["accuracy"]) for row in training if row["family"] == "real"}
    for row in training[1:]:
        gain = float(row["accuracy"]) - real[row["per_class"]]
        assert float(row["gain"]) == pytest.approx(gain, abs=1e-4)
    monkeypatch.setattr(measure_augmentation.Encoder, "_encode", None)  # all is kept
    measure_augmentation.main(settings)
    assert read(table) == rows


def test_each_seed_has_images_of_its_own_and_more_hold_fewer():
    class Data:
        class_names = ("a", "b", "c")

    rows = [measure_augmentation.rows_of(Data, 2, per_class=4, seed=seed) for seed in (0, 1)]
    assert sorted(rows[0] + rows[1]) == list(range(24))
    assert [row % 3 for row in rows[0]] == [0, 1, 2] * 4
    fewer = measure_augmentation.rows_of(Data, 2, per_class=2, seed=1)
    assert rows[1][: len(fewer)] == fewer


def test_outlines_lie_on_the_buildings_of_the_rendered_image(monkeypatch):
    seeds = []
    real = mini_earth.disaster_scene

    def spy(name, style, *, seed):
        seeds.append((name, style, seed))
        return real(name, style, seed=seed)

    monkeypatch.setattr(mini_earth, "disaster_scene", spy)
    from course_utils.examples import worlds

    image = worlds._render_one("wind", "train", 3)
    found = measure_augmentation.outlines("wind", 3, size=64)
    assert seeds[0] == seeds[1]
    assert found
    inside = augment.rasterize(found, height=64, width=64).numpy()
    assert 0.01 < inside.mean() < 0.7
    assert image.shape == (64, 64, 3)
    assert all(shape.bounds[0] >= 0 and shape.bounds[2] <= 64 for shape in found)


def test_shuffled_labels_are_the_same_labels_in_another_order():
    targets = torch.eye(6).repeat(4, 1)
    images = measure_augmentation.Encoded(torch.arange(24.0)[:, None], targets)
    mixed = measure_augmentation.shuffled(images, 0)
    assert torch.equal(mixed.features, images.features)
    assert torch.equal(mixed.targets.sum(0), targets.sum(0))
    assert not torch.equal(mixed.targets, targets)


def test_runs_from_scratch_are_kept_one_by_one(tmp_path, monkeypatch):
    monkeypatch.setattr("course_utils.examples.loading._NUM_VALIDATION", 1)
    monkeypatch.setattr(lab, "REGULARIZATIONS", {"none": lab.REGULARIZATIONS["none"]})
    monkeypatch.setattr(lab, "AUGMENTATIONS", {k: lab.AUGMENTATIONS[k] for k in ("none", "strong")})
    table = tmp_path / "steiner.csv"
    settings = ["--work", tmp_path, "--table", table, "--amounts", 1, 2, "--seeds", 2]
    settings = [str(each) for each in [*settings, "--steps", 2, "--pool", 4, "--num-test", 12]]
    trained = []
    real = lab.train_vit

    def spy(images, labels, **options):
        trained.append((len(images), options["seed"], images[0].sum().item()))
        return real(images, labels, **options)

    monkeypatch.setattr(lab, "train_vit", spy)
    measure_augreg.main(settings)
    rows = read(table)
    assert len(rows) == len(trained) == 8
    assert {(row["per_class"], row["seed"]) for row in rows} == {(n, s) for n in "12" for s in "01"}
    assert {num for num, _, _ in trained} == {6, 12}
    first = {(seed, pixels) for _, seed, pixels in trained}
    assert len(first) == 2  # one first image a seed, whatever the amount
    assert all(
        0 <= float(row["accuracy"]) <= 1 and np.isfinite(float(row["train_loss"])) for row in rows
    )
    measure_augreg.main(settings)
    assert len(trained) == 8
    assert read(table) == rows
    with pytest.raises(SystemExit):
        measure_augreg.parse(["--work", "x", "--pool", "10"])
