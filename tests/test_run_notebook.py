"""What a person sees of a running notebook, and that nothing of it is lost."""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

import run_notebook

SCRIPT = Path(run_notebook.__file__)


def notebook(*sources: str) -> nbformat.NotebookNode:
    """Build a notebook; a source that begins with # and a blank is Markdown."""
    nb = nbformat.v4.new_notebook()
    for number, source in enumerate(sources):
        new = nbformat.v4.new_code_cell
        if source.startswith(("# ", "## ")):
            new = nbformat.v4.new_markdown_cell
        nb.cells.append(new(source, id=f"cell-{number}"))
    return nb


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def log():
    """A console that writes a log, its stream, and its clock."""
    stream, clock = io.StringIO(), Clock()
    return run_notebook.Console(stream, animated=False, clock=clock), stream, clock


def test_plain_lines_come_out_as_they_are_whole_or_in_pieces(log):
    console, stream, _ = log
    console.write("one\n\ntw")
    console.write("o\nthree")
    console.say("end")
    assert stream.getvalue() == "one\n\ntwo\nthree\nend\n"


def test_a_log_keeps_of_a_progress_bar_its_first_state_one_now_and_then_and_its_last(log):
    console, stream, clock = log
    for step in range(101):
        clock.now = step * 0.25  # 25 s in all, one line every 10
        console.write(f"\r{step:3}%|###|")
    console.write("\ndone\n")
    percents = [line.split("%")[0].strip() for line in stream.getvalue().splitlines()]
    assert percents == ["0", "40", "80", "100", "done"]


def test_a_bar_that_clears_itself_leaves_no_empty_line(log):
    console, stream, _ = log
    console.write("\r 50%|## |")
    console.write("\r        \r")
    console.say("next")
    assert stream.getvalue() == " 50%|## |\nnext\n"


def test_a_log_has_no_colour_codes_and_a_terminal_gets_everything():
    coloured = "\x1b[31mred\x1b[0m\r\x1b[Kblue\n"
    for animated, expected in ((True, coloured), (False, "blue\n")):
        stream = io.StringIO()
        run_notebook.Console(stream, animated=animated).write(coloured)
        assert stream.getvalue() == expected


def test_our_own_lines_begin_on_a_new_line_in_a_terminal():
    stream = io.StringIO()
    console = run_notebook.Console(stream, animated=True)
    console.write("\r50%")
    console.say("next")
    assert stream.getvalue() == "\r50%\nnext\n"


def test_cells_know_the_nearest_heading_above():
    nb = notebook("x = 1", "# One\ntext\n```python\n# not a heading\n```", "y = 2", "## Two", "z")
    assert run_notebook.nearest_headings(nb) == ["", "One", "One", "Two", "Two"]


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        ({"text/markdown": "**helped**", "text/plain": "<Markdown>"}, "**helped**"),
        ({"image/png": "…", "text/plain": "<Figure size 1x1>"}, "[figure]"),
        ({"text/html": "<b>1</b>", "text/plain": "<IPython.core.display.HTML object>"}, ""),
        ({"text/html": "<table>", "text/plain": "   a\n0  1"}, "   a\n0  1"),
    ],
)
def test_of_a_displayed_object_the_readable_form_is_shown(data, shown):
    assert run_notebook.readable(data) == shown


def test_a_failed_write_leaves_the_earlier_copy_and_no_debris(tmp_path, full_disk):
    path = tmp_path / "copy.ipynb"
    path.touch()
    with pytest.raises(OSError, match="No space left"):
        run_notebook.save(notebook("x = 1"), path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def execute(tmp_path):
    """Run the sources as a notebook in a process of its own; give its exit code, log and copy."""

    def run(*sources: str) -> tuple[int, str, nbformat.NotebookNode]:
        source, copy = tmp_path / "nb" / "source.ipynb", tmp_path / "out" / "copy.ipynb"
        source.parent.mkdir()
        nbformat.write(notebook(*sources), source)
        command = [sys.executable, SCRIPT, source, "--save", copy]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.stderr == ""
        return done.returncode, done.stdout, nbformat.read(copy, as_version=4)

    return run


def test_a_notebook_runs_in_its_folder_with_our_python_under_its_headings(execute, tmp_path):
    code, log, copy = execute(
        "# First", "import os, sys\nprint(os.getcwd(), sys.executable)", "## Second", "6 * 7"
    )
    assert code == 0
    where = f"{tmp_path / 'nb'} {sys.executable}"
    assert f", cell 2/4] First\n{where}\n" in log
    assert ", cell 4/4] Second\n42\n" in log
    assert [cell.execution_count for cell in copy.cells if cell.cell_type == "code"] == [1, 2]


def test_an_error_is_one_clear_sentence_then_the_traceback_and_the_run_so_far_is_kept(execute):
    code, log, copy = execute("print('kept')", "raise ValueError('the folder is empty')", "1")
    assert code == 1
    after = log[log.index("kept\n") + 5 :]
    assert after.startswith("\nValueError: the folder is empty\n\n---")
    assert "Cell In[2], line 1" in after
    assert copy.cells[0].outputs[0].text == "kept\n"
    assert copy.cells[2].outputs == []


def test_an_undefined_magic_fails(execute):
    code, log, _ = execute("%no_such_magic", "print('not reached')")
    assert (code, "not reached" in log) == (1, False)
    assert "UsageError: Line magic function `%no_such_magic` not found." in log


def test_a_dead_kernel_is_one_clear_sentence(execute):
    code, log, copy = execute("print('kept', flush=True)", "import os; os._exit(9)")
    assert code == 1
    assert "The notebook's Python died" in log
    assert copy.cells[0].outputs[0].text == "kept\n"


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_after_a_stop_the_running_cell_tidies_up_and_its_output_is_kept(tmp_path):
    source, copy = tmp_path / "source.ipynb", tmp_path / "copy.ipynb"
    slow = (
        "import time\ntry:\n    print('begun', flush=True)\n    time.sleep(60)\n"
        "finally:\n    print('tidied')"
    )
    nbformat.write(notebook(slow, "print('not reached')"), source)
    command = [sys.executable, SCRIPT, source, "--save", copy]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while "begun" not in process.stdout.readline():
            pass
        process.send_signal(signal.SIGINT)
        log = process.stdout.read()
    assert process.returncode == 130
    assert log == f"tidied\n\nThe run up to here is in {copy}\n"
    kept = json.loads(copy.read_text(encoding="utf-8"))["cells"]
    assert "".join(kept[0]["outputs"][0]["text"]) == "begun\ntidied\n"
    assert kept[1]["outputs"] == []


def test_a_file_that_is_no_notebook_is_one_clear_sentence(tmp_path):
    path = tmp_path / "text.ipynb"
    path.write_text("hello", encoding="utf-8")
    command = [sys.executable, SCRIPT, path, "--save", tmp_path / "copy.ipynb"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "does not appear to be JSON" in done.stderr
