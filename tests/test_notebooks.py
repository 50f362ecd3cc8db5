"""Every notebook: how it is stored, and that it runs, once, cold, under nbval.

nbval reports cell by cell and compares the cells tagged nbval-check-output, but lets pass undefined
magics, warnings, checks that are not passed, and cells that were to raise and did not. A second
gate reads what the same run has put out, and looks for these.
"""

import base64
import functools
import io
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from PIL import Image

REPO = Path(__file__).resolve().parents[1]
FOLDER = REPO / "notebooks"
PATHS = sorted(path for path in FOLDER.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
every_notebook = pytest.mark.parametrize(
    "path", PATHS, ids=[path.relative_to(FOLDER).as_posix() for path in PATHS]
)

TAGS = {
    "setup",
    "core",
    "stretch",
    "exercise",
    "solution",
    "check",
    "gpu",
    "slow",
    "network",
    "nbval-check-output",
    "nbval-skip",
    "raises-exception",
    "hide-input",
}
MAGICS = {"matplotlib", "config", "time", "timeit"}
MAX_BYTES, MAX_LINES, MAX_MEDIAN_LINES = 3_000_000, 25, 6
CELL_SECONDS = 600

FORBIDDEN = {
    "a shell command": r"^\s*!|=\s*!\w",
    "input()": r"(?<![\w.])input\(",
    "a password prompt": r"\bgetpass\b",
    "a mounted drive": r"\bdrive\.mount\b",
    "a token": r"\bhf_[A-Za-z0-9]{20,}",
}
SOMEBODYS_PATH = re.compile(
    r"(?<![\w./:>-])/(?:home|Users|root|tmp|var|opt|mnt|media|content|private|usr)/\w"
    r"|\b[A-Z]:\\(?:Users|Windows|Program)"
)
PROGRESS = re.compile(r".*\d+%\|.*\|.*\[.*\]\s*|.*\d+(?:it|ex|img|B)? ?\[\d+:\d+.*\]\s*|\s*")
NOT_YET, EMPTY = "CheckResult(state='not_yet'", "CheckResult(state='empty'"
MAX_WORDS = 1550  # of a part that every reader reads: "about 1,500"
FOLDED = re.compile(r"<details>.*?</details>", re.S)
LEAST_QUALITY = 80  # of a stored JPEG
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


# ---- how a notebook is stored


def stored_complaints(nb: NotebookNode, number: str) -> Iterator[str]:
    """Complain about the stored form of a notebook.

    Args:
        nb: the notebook.
        number: its two digits, with which its cell ids begin.
    """
    for cell in nb.cells:
        if not re.fullmatch(rf"{number}-[a-z0-9]+(-[a-z0-9]+)*", cell.get("id", "")):
            yield f"id {cell.get('id')!r} is not {number}-slug"
        if "exercise" in tags(cell) and not re.fullmatch(
            rf"{number}-ex\d+-stub", cell.get("id", "")
        ):
            yield f"exercise id {cell.id!r} is not {number}-exK-stub"
        unknown = tags(cell) - TAGS
        if unknown:
            yield f"{cell.id} has unknown tags {sorted(unknown)}"
    if "widgets" in nb.metadata:
        yield "widget state is stored"
    if machine_paths(nb):
        yield f"absolute paths: {machine_paths(nb)}"
    yield from code_complaints([cell for cell in nb.cells if cell.cell_type == "code"])


def code_complaints(cells: list[NotebookNode]) -> Iterator[str]:
    """Complain about code cells: length, forbidden things, execution order, errors."""
    lengths = [len(cell.source.splitlines()) for cell in cells]
    if statistics.median(lengths or [0]) > MAX_MEDIAN_LINES:
        yield f"the median of the code cells is {statistics.median(lengths)} lines"
    counts = [cell.execution_count for cell in cells if cell.source.strip()]
    if counts != list(range(1, len(counts) + 1)):
        yield f"not executed once and in order: {counts}"
    for cell, length in zip(cells, lengths, strict=True):
        if length > MAX_LINES:
            yield f"{cell.id} has {length} lines"
        for name, pattern in FORBIDDEN.items():
            if re.search(pattern, cell.source, re.MULTILINE):
                yield f"{cell.id} has {name}"
        for magic in re.findall(r"^\s*%{1,2}(\w+)", cell.source, re.MULTILINE):
            if magic not in MAGICS:
                yield f"{cell.id} has the magic {magic}"
        for output in cell.outputs:
            if output.output_type == "error" and "raises-exception" not in tags(cell):
                yield f"{cell.id} stores an error"
            if NOT_YET in output.get("data", {}).get("text/plain", ""):
                yield f"{cell.id} stores a check that is not passed"
            if "application/vnd.jupyter.widget-view+json" in output.get("data", {}):
                yield f"{cell.id} stores a widget"


def exercise_complaints(cells: list[NotebookNode]) -> Iterator[str]:
    """Complain about exercises: a text, a stub without an answer, and one line that checks it."""
    by_id = {cell.id: cell for cell in cells}
    for name in sorted({m[1] for m in map(EXERCISE.match, by_id) if m}):
        number, k = name[:2], name.removeprefix(f"{name[:2]}-ex")
        parts = [by_id.get(f"{name}-{part}") for part in ("text", "stub", "check")]
        places = [cells.index(part) for part in parts if part]
        if None in parts or places != list(range(places[0], places[0] + 3)):
            yield f"{name} is not text, stub and check, one after the other"
            continue
        _, stub, check = parts
        call = re.fullmatch(rf"(\w+) = checks\.check_{number}_ex{k}\((\1)\)\.use", check.source)
        if not call or not re.search(rf"^(def {call[1]}\(|{call[1]}\b.* = )", stub.source, re.M):
            yield f"{name}-check is not one line that checks what the stub defines"
        if EMPTY not in "".join(o.get("data", {}).get("text/plain", "") for o in check.outputs):
            yield f"{name} is stored with an answer"


EXERCISE = re.compile(r"(\d\d-ex\d+)-")


def words_by_part(cells: list[NotebookNode]) -> dict[str, int]:
    """Count the words that every reader reads.

    Not counted are the title with objectives and times, exercises, presenter notes and sources, and
    what is folded, a table or a formula.
    """
    counts, part = {"": 0}, ""
    for cell in cells:
        if cell.cell_type != "markdown" or EXERCISE.match(cell.id):
            continue
        if cell.metadata.get("slideshow", {}).get("slide_type") == "notes":
            continue
        if cell.id.endswith(("-title", "-sources")):
            continue
        if begins := re.match(r"# Part \d+.*", cell.source):
            part = begins[0]
        text = re.sub(
            r"\$\$.*?\$\$|\$[^$]+\$|^\|.*?$", "", FOLDED.sub("", cell.source), flags=re.S | re.M
        )
        counts[part] = counts.get(part, 0) + len(re.findall(r"[^\W\d_][\w'’-]*", text))
    return counts


def jpeg_quality(data: str) -> int:
    """Estimate the quality of a stored JPEG from its first quantization table (that of libjpeg)."""
    first = Image.open(io.BytesIO(base64.b64decode(data))).quantization[0][0]
    return next(q for q in range(100, 0, -1) if max(1, (16 * scale_of(q) + 50) // 100) >= first)


def scale_of(quality: int) -> int:
    """Give libjpeg's percentage by which the standard table is scaled."""
    return 5000 // quality if quality < 50 else 200 - 2 * quality


def tags(cell: NotebookNode) -> set[str]:
    """Return a cell's tags."""
    return set(cell.metadata.get("tags", []))


def machine_paths(nb: NotebookNode) -> list[str]:
    """Find paths that exist on one machine only, this one's among them."""
    here = {str(REPO), str(Path.home()), tempfile.gettempdir()} - {"/"}
    ours = re.compile(rf"(?<![\w./:>-])(?:{'|'.join(map(re.escape, here))})[/\\]")
    text = "\n".join(strings(nb))
    return SOMEBODYS_PATH.findall(text) + ours.findall(text)


def strings(node: object) -> Iterator[str]:
    """List every text in a notebook, pictures left out."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for name, value in node.items():
            yield from strings(value if not name.startswith("image/") else [])
    elif isinstance(node, list):
        for value in node:
            yield from strings(value)


# ---- what a run may leave behind


def run_complaints(nb: NotebookNode) -> Iterator[str]:
    """Complain about what nbval lets pass in an executed notebook."""
    for cell in nb.cells:
        outputs = cell.get("outputs", [])
        errors = [output for output in outputs if output.output_type == "error"]
        if "raises-exception" in tags(cell) and not errors:
            yield f"{cell.id} was to raise and did not"
        for output in outputs:
            shown = output.get("data", {}).get("text/plain", "")
            if NOT_YET in shown:
                yield f"{cell.id}: {shown}"
        streams = [output for output in outputs if output.output_type == "stream"]
        for output in streams:
            if "UsageError" in output.text:
                yield f"{cell.id}: {output.text.strip()}"
            elif output.name == "stderr":
                lines = re.split(r"[\r\n]", ANSI.sub("", output.text))
                yield from (f"{cell.id}: {line}" for line in lines if not PROGRESS.fullmatch(line))


# ---- the stored notebooks


def test_the_final_lab_is_there():
    assert (FOLDER / "07_final_lab.ipynb").is_file()


@every_notebook
def test_no_placeholder_and_no_broken_formula_is_left_in_the_text(path):
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type == "markdown":
            plain = re.sub(r"`[^`]*`", "", cell.source)
            assert not re.search(r"\b[A-Z]{2,}_[A-Z]{2,}\b|\bTODO\b|\bXXX\b", plain), cell.id
            formulas = re.findall(r"\$\$.*?\$\$|\$[^$]+\$", cell.source, re.S)
            assert not any(re.search(r"\\\\[A-Za-z]", formula) for formula in formulas), cell.id


@every_notebook
def test_the_stored_form_is_as_agreed(path):
    nb = nbformat.read(path, as_version=nbformat.NO_CONVERT)  # a second use of an id is an error
    assert re.fullmatch(r"\d\d_[a-z0-9_]+", path.stem)
    assert (nb.nbformat, nb.nbformat_minor >= 5) == (4, True)
    nbformat.validate(nb)
    assert list(stored_complaints(nb, path.name[:2])) == []
    assert path.stat().st_size <= MAX_BYTES


@every_notebook
def test_every_exercise_is_open_and_checked_in_its_place(path):
    assert list(exercise_complaints(nbformat.read(path, 4).cells)) == []


@every_notebook
def test_a_part_can_be_read_in_the_time_that_a_course_has(path):
    counts = words_by_part(nbformat.read(path, 4).cells)
    assert {part: num for part, num in counts.items() if num > MAX_WORDS} == {}


@every_notebook
def test_stored_pictures_can_be_projected(path):
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    assert [cell.id for cell in cells if "InlineBackend" in cell.source] == []
    for cell in cells:
        for output in cell.outputs:
            if data := output.get("data", {}).get("image/jpeg"):
                assert jpeg_quality(data) >= LEAST_QUALITY, cell.id


# ---- the runs


@pytest.fixture(scope="session")
def fresh_environment(tmp_path_factory) -> dict[str, str]:
    """Give all runs one output folder and one cache, empty at first."""
    folder = tmp_path_factory.mktemp("notebooks")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COURSE_")}
    return {**kept, "COURSE_OUT": str(folder / "out"), "COURSE_CACHE": str(folder / "cache")}


Run = tuple[subprocess.CompletedProcess, Path]  # what nbval said, and the executed notebook


def run_under_nbval(path: Path, kept: Path, env: dict[str, str]) -> subprocess.CompletedProcess:
    """Run a notebook cell by cell and keep what it puts out."""
    options = ["--nbval-lax", "--nbval-current-env", f"--nbval-cell-timeout={CELL_SECONDS}"]
    ours = ["-p", "no:cacheprovider", "-o", "addopts=", "-o", "filterwarnings="]
    keep = ["-p", "notebook_outputs", f"--keep-outputs={kept}"]
    command = [sys.executable, "-m", "pytest", *options, *ours, *keep, path]
    env = {**env, "PYTHONPATH": str(Path(__file__).parent)}
    return subprocess.run(command, cwd=REPO, env=env, capture_output=True, text=True)


@pytest.fixture(scope="session")
def run_once(fresh_environment, tmp_path_factory) -> Callable[[Path], Run]:
    """Run a notebook under nbval, once in a session however often it is asked for."""
    folder = tmp_path_factory.mktemp("executed")

    @functools.cache
    def run(path: Path) -> Run:
        kept = folder / path.name
        return run_under_nbval(path, kept, fresh_environment), kept

    return run


@every_notebook
def test_the_notebook_runs_cold_cell_by_cell(path, run_once):
    done, _ = run_once(path)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


@every_notebook
def test_the_same_run_left_nothing_that_nbval_lets_pass(path, run_once):
    _, kept = run_once(path)
    executed = nbformat.read(kept, as_version=4)
    stored = [cell.id for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    assert [cell.id for cell in executed.cells] == stored
    assert any(cell.outputs for cell in executed.cells)
    assert list(run_complaints(executed)) == []


# ---- the checks themselves can fail


def code(source: str = "x = 1", *, count: int = 1, name: str = "00-a", **extra) -> NotebookNode:
    """Build a code cell."""
    metadata = {"tags": extra.pop("tags", [])}
    return nbformat.v4.new_code_cell(
        source, execution_count=count, id=name, metadata=metadata, **extra
    )


def notebook(*cells: NotebookNode, **metadata: object) -> NotebookNode:
    """Build a notebook."""
    return nbformat.v4.new_notebook(cells=list(cells), metadata=metadata)


def stream(text: str, name: str = "stderr") -> NotebookNode:
    """Build a stream output."""
    return nbformat.v4.new_output("stream", name=name, text=text)


ERROR = nbformat.v4.new_output("error", ename="ValueError", evalue="no", traceback=[])
WIDGET = nbformat.v4.new_output(
    "display_data", data={"application/vnd.jupyter.widget-view+json": {"model_id": "1"}}
)
NOT_PASSED = nbformat.v4.new_output(
    "execute_result", data={"text/plain": "CheckResult(state='not_yet', hint='Almost.')"}
)
GOOD = [
    notebook(code(), nbformat.v4.new_markdown_cell("# Why?", id="00-why")),
    notebook(code(tags=["core", "slow"]), code("", count=None, name="00-b")),
    notebook(code("%matplotlib inline\n%time x = 5 % 3"), code(name="00-b", count=2)),
    notebook(code(tags=["raises-exception"], outputs=[ERROR])),
    notebook(code("stub", name="00-ex1-stub", tags=["exercise"])),
    notebook(code('assert a != b, "https://host/usr/x and outputs/tmp/y"')),
    notebook(code("\n".join(["x = 1"] * 25)), *(code(name=f"00-{i}", count=i) for i in (2, 3))),
]
BAD = {
    "foreign number": notebook(code(name="01-a")),
    "capital": notebook(code(name="00-A")),
    "no slug": notebook(code(name="00")),
    "exercise name": notebook(code(name="00-exercise", tags=["exercise"])),
    "tag": notebook(code(tags=["skip"])),
    "not executed": notebook(code(count=None)),
    "out of order": notebook(code(name="00-b", count=2), code(count=1)),
    "error": notebook(code(outputs=[ERROR])),
    "widget": notebook(code(outputs=[WIDGET])),
    "failed check": notebook(code(outputs=[NOT_PASSED])),
    "widget state": notebook(code(), widgets={}),
    "path": notebook(code("open('/home/me/x')")),
    "path in a second line": notebook(code(outputs=[stream("in\n/home/me/x\n", "stdout")])),
    "printed path": notebook(code(outputs=[stream(f"{REPO}{os.sep}outputs", "stdout")])),
    "windows path": notebook(code(r"open('C:\Users\me')")),
    "26 lines": notebook(
        code("\n".join(["x = 1"] * 26)), *(code(name=f"00-{i}", count=i) for i in (2, 3))
    ),
    "median": notebook(code("\n".join(["x = 1"] * 7))),
    "shell": notebook(code("!ls")),
    "captured shell": notebook(code("files = !ls")),
    "pip": notebook(code("%pip install x")),
    "bash": notebook(code("%%bash\nls")),
    "input": notebook(code("name = input('Name?')")),
    "drive": notebook(code("drive.mount('x')")),
    "token": notebook(code("token = 'hf_" + "a" * 34 + "'")),
}


@pytest.mark.parametrize("nb", GOOD)
def test_a_good_notebook_passes(nb):
    assert list(stored_complaints(nb, "00")) == []


@pytest.mark.parametrize("name", BAD)
def test_a_badly_stored_notebook_is_noticed(name):
    assert len(list(stored_complaints(BAD[name], "00"))) == 1


STUB = code("def f(x):\n    raise NotImplementedError", name="00-ex1-stub", tags=["exercise"])
UNTOUCHED = nbformat.v4.new_output(
    "display_data", data={"text/plain": "CheckResult(state='empty', hint='Nothing yet.')"}
)
CHECK = code(
    "f = checks.check_00_ex1(f).use", name="00-ex1-check", tags=["check"], outputs=[UNTOUCHED]
)
TASK = nbformat.v4.new_markdown_cell("### Exercise 1", id="00-ex1-text")
ANSWERED = code("f = checks.check_00_ex1(f).use", name="00-ex1-check", outputs=[NOT_PASSED])


@pytest.mark.parametrize(
    "cells",
    [
        [TASK, STUB],
        [TASK, CHECK, STUB],
        [TASK, STUB, code(), CHECK],
        [TASK, STUB, ANSWERED],
        [TASK, STUB, code("checks.check_00_ex1(f)", name="00-ex1-check", outputs=[UNTOUCHED])],
        [TASK, code("g = None", name="00-ex1-stub"), CHECK],
    ],
)
def test_an_exercise_out_of_form_is_noticed(cells):
    assert list(exercise_complaints([TASK, STUB, CHECK])) == []
    assert list(exercise_complaints(cells)) != []


def test_words_are_counted_by_part_without_what_is_folded():
    def said(source, name, **metadata):
        return nbformat.v4.new_markdown_cell(source, id=name, metadata=metadata)

    notes = said("not counted", "00-n", slideshow={"slide_type": "notes"})
    cells = [said("one two", "00-a"), TASK, notes, said("a b c", "00-sources")]
    cells += [
        said("# Part 2 · Judge\n\n<details>\n\nmuch\n\n</details>\n\n$$x = 1$$ three", "00-b")
    ]
    assert words_by_part(cells) == {"": 2, "# Part 2 · Judge": 3}


@pytest.mark.parametrize("quality", [40, 79, 80, 85, 95])
def test_the_quality_of_a_stored_picture_is_read(quality):
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, "JPEG", quality=quality)
    found = jpeg_quality(base64.b64encode(file.getvalue()).decode())
    assert found == pytest.approx(quality, abs=3)


TQDM = "\r  0%|          | 0/300 [00:00<?, ?it/s]\r100%|████| 300/300 [00:03<00:00, 97.2it/s]\n"


@pytest.mark.parametrize(
    "text", [TQDM, "images: 7it [00:01,  6.9it/s]\n", "heads:  50%|#5   | 1/2 [00:01<00:01]", "\n"]
)
def test_progress_on_stderr_is_allowed(text):
    assert list(run_complaints(notebook(code(outputs=[stream(text)])))) == []


@pytest.mark.parametrize(
    "cell",
    [
        code(tags=["raises-exception"]),
        code(outputs=[stream("x.py:3: UserWarning: careful\n")]),
        code(outputs=[stream(TQDM + "then a warning")]),
        code(outputs=[stream("UsageError: Line magic function `%x` not found.", "stdout")]),
        code(outputs=[NOT_PASSED]),
    ],
)
def test_what_nbval_lets_pass_is_noticed(cell):
    assert list(run_complaints(notebook(cell))) != []


def test_both_gates_see_what_one_run_puts_out(tmp_path, fresh_environment):
    nb = notebook(
        code("print('seen')"),
        code("import sys; print('careful', file=sys.stderr)", name="00-b", count=2),
        code("%nonsense", name="00-c", count=3),
        code("x = 1", name="00-d", count=4, tags=["raises-exception"]),
        nbformat.v4.new_markdown_cell("text", id="00-text"),
        code("1 / 0", name="00-e", count=5, tags=["raises-exception"]),
    )
    nb.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    path, kept = tmp_path / "00_x.ipynb", tmp_path / "kept.ipynb"
    nbformat.write(nb, path)
    done = run_under_nbval(path, kept, fresh_environment)
    assert done.returncode == 0, done.stdout
    executed = nbformat.read(kept, as_version=4)
    assert executed.cells[0].outputs[0].text == "seen\n"
    found = " ".join(run_complaints(executed))
    assert "00-b: careful" in found
    assert "00-c: UsageError" in found
    assert "00-d was to raise" in found
    assert "00-e" not in found
