"""The order of the final lab's cells: what is decided before the test part is opened."""

import ast
import json
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import torch
from lab_world import SEEN, make_results

from course_utils import lab
from course_utils.checks.notebook_07 import crossed

REPO = Path(__file__).resolve().parents[1]
LAB = REPO / "notebooks" / "07_final_lab.ipynb"


@pytest.fixture(scope="module")
def cells() -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(LAB, 4).cells if cell.cell_type == "code"]


def places(cells: list[nbformat.NotebookNode], words: str) -> list[int]:
    return [number for number, cell in enumerate(cells) if words in cell.source]


def names_of(cell: nbformat.NotebookNode) -> set[str]:
    """List the dotted names that a cell reads, such as ``data.test``."""
    nodes = ast.walk(ast.parse(cell.source))
    return {ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute)}


def test_the_test_part_is_opened_once_and_after_all_settings_are_chosen(cells):
    opened = [i for i, cell in enumerate(cells) if "data.test" in names_of(cell)]
    counted, *others = opened  # its images are counted at the beginning
    assert "len(data.test)" in cells[counted].source
    assert "labels" not in cells[counted].source
    (exam,) = others
    chosen = places(cells, "lab.choose_settings")[-1]  # one cell by hand comes before
    assert max(places(cells, "lab.train_cells")) < exam <= chosen
    assert all(place > chosen for place in places(cells, 'labels("judge")'))
    assert all(place > chosen for place in places(cells, "lab.tabulate"))


def test_the_prediction_is_written_before_there_is_anything_to_see(cells):
    (predicted,) = places(cells, "lab.read_prediction")
    assert predicted < min(places(cells, "examples.load_lab"))


def run(cells: list[nbformat.NotebookNode], id: str, **known: object) -> None:
    (source,) = [cell.source for cell in cells if cell.id == id]
    exec(compile(source, id, "exec"), known)


def test_the_interval_by_hand_is_left_out_where_nothing_varies(cells, capsys):
    arms = {("zero_shot", "", 0): 0.4, ("real", "", 4): 0.5, ("real+synthetic", SEEN, 4): 0.5}
    results = make_results(arms)
    known = {"lab": lab, "crossed": crossed, "results": results, "content": results.content}
    run(cells, "07-by-hand", **known)
    assert "+0.000 for every seed and image" in capsys.readouterr().out
    arms["real+synthetic", SEEN, 4] = 0.6
    results = make_results(arms)
    run(cells, "07-by-hand", **known | {"results": results, "content": results.content})
    assert "degrees of freedom" in capsys.readouterr().out


def test_the_gallery_of_failures_is_left_out_where_no_image_was_turned(cells, capsys):
    one, nothing = torch.zeros(1, 2), {"g": []}
    known = {"name": "g", "torch": torch, "real": one, "drawn": {"g": one}, "pools": nothing}
    known |= {"data": SimpleNamespace(train=[]), "grid": SimpleNamespace(few=4)}
    known |= {"lab": SimpleNamespace(turned=lambda *given: []), "results": None, "exam": None}
    run(cells, "07-failures", **known, plots=None)
    assert "no image was turned" in capsys.readouterr().out


def test_every_exercise_is_a_stub_and_a_check_that_hands_back_what_to_use(cells):
    ids = [cell.id for cell in cells]
    for number in range(1, 10):
        stub, check = (ids.index(f"07-ex{number}-{part}") for part in ("stub", "check"))
        assert check == stub + 1
        (line,) = cells[check].source.splitlines()
        name = line.split(" = ")[0]
        assert line == f"{name} = checks.check_07_ex{number}({name}).use"
        later = [cell.source for cell in cells[check + 1 :]]
        assert any(f"{name}(" in source for source in later)


def test_the_lab_judges_on_the_test_part_as_it_is_stored(cells):
    (settings,) = [cell for cell in cells if cell.id == "07-settings"]
    assert 'EVALUATE = "test"' in settings.source


def test_nothing_that_was_measured_is_typed_into_the_text():
    cells = json.loads(LAB.read_text(encoding="utf-8"))["cells"]
    prose = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    typed = [text for text in prose if "helped at" in text or "hurt at" in text]
    assert typed == []
