"""The tool that repeats notebook 02's training cells: it runs them as they are, and goes on."""

import csv
import os
from collections.abc import Iterator

import nbformat
import pytest
import torch

from course_utils import metrics
from tools import measure_classifiers, training

CELLS = {
    "02-settings": "%config InlineBackend.figure_formats = ['jpeg']\nNUM_STEPS = 7",
    "02-data": "from types import SimpleNamespace\nimport torch\n"
    "data = SimpleNamespace(name='tiny')\nnum_classes = 2\n"
    "train_y, test_y = torch.arange(6) % 2, torch.arange(40) % 2",
    "02-show": "raise RuntimeError('a figure: plots.show_images')",
    "02-line": "LINE = {name: SimpleNamespace(small=name, trained=name + '!') for name in 'AB'}",
    "02-short-fit": "PRETRAINED = ['B']\ncalls = []\n\n\n"
    "def fit(make, seed):\n    calls.append((make, seed))\n"
    "    wrong = torch.arange(40) < 4 + 2 * seed\n    return None, ~wrong",
    "02-after": "raise RuntimeError('not needed')",
}


@pytest.fixture
def _tiny_notebook(tmp_path, monkeypatch) -> Iterator[None]:
    cells = [nbformat.v4.new_code_cell(source, id=name) for name, source in CELLS.items()]
    path = tmp_path / "02.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    monkeypatch.setattr(measure_classifiers, "NOTEBOOK", path)
    monkeypatch.setattr(training, "say", lambda line: None)
    before, threads = dict(os.environ), torch.get_num_threads()
    yield
    os.environ.clear()
    os.environ.update(before)
    torch.set_num_threads(threads)


def run(tmp_path, *options: str) -> list[dict[str, str]]:
    """Run the tool and read its table."""
    table = tmp_path / "table.csv"
    measure_classifiers.main(
        ["--work", str(tmp_path / "work"), "--table", str(table), "--seeds", "3", *options]
    )
    with open(table, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.usefixtures("_tiny_notebook")
def test_every_variant_is_trained_with_every_seed_and_bounded(tmp_path):
    rows = run(tmp_path)
    jobs = [("A", "random weights"), ("B", "random weights"), ("B", "pretrained")]
    assert [(row["model"], row["start"]) for row in rows] == jobs
    correct = torch.stack([torch.arange(40) >= 4 + 2 * seed for seed in range(3)])
    expected = metrics.crossed_interval(correct.double())
    for row in rows:
        assert float(row["mean"]) == pytest.approx(expected.mean, abs=1e-4)
        assert float(row["low"]) == pytest.approx(expected.low, abs=1e-4)
        assert float(row["high"]) == pytest.approx(expected.high, abs=1e-4)
        assert (row["seeds"], row["num_test"], row["per_class"]) == ("3", "40", "3")
        assert (row["num_steps"], row["data"]) == ("7", "tiny")
        assert "WORK" in row["command"]
        assert str(tmp_path) not in str(row)


@pytest.mark.usefixtures("_tiny_notebook")
def test_a_stopped_run_goes_on_with_what_is_missing(tmp_path, monkeypatch):
    assert [row["model"] for row in run(tmp_path, "--models", "B")] == ["B", "B"]
    measured = []

    def measure(names, job, num_seeds):
        measured.append(job)
        return dict.fromkeys(measure_classifiers.COLUMNS, 0.0) | {"model": job[0], "start": job[1]}

    monkeypatch.setattr(measure_classifiers, "measure", measure)
    assert len(run(tmp_path)) == 3
    assert measured == [("A", "random weights")]


@pytest.mark.usefixtures("_tiny_notebook")
def test_a_notebook_without_the_training_cell_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(measure_classifiers, "LAST_CELL", "02-gone")
    cells = [nbformat.v4.new_code_cell("x = 1", id="02-only")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "other.ipynb")
    monkeypatch.setattr(measure_classifiers, "NOTEBOOK", tmp_path / "other.ipynb")
    with pytest.raises(ValueError, match="no cell 02-gone"):
        run(tmp_path)
