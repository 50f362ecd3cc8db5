"""Who may import whom, and how large things may be; each check is shown to fail where it should."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "course_utils"

LEVELS = {
    "runtime": 0,
    "images": 0,
    "diffusion": 0,
    "unet": 0,
    "augment": 0,
    "metrics": 0,
    "texts": 0,
    "hub": 0,
    "archives": 0,
    "samplers": 1,
    "xbd": 1,
    "examples": 2,
    "zero_shot": 2,
    "text2image": 3,
    "control": 4,
    "strategies": 4,
    "tuning": 4,
    "lab": 5,
    "plots": 6,
    "checks": 6,
    "widgets": 7,
    "grading": 7,
}
ONLY_IN = {
    "matplotlib": {"plots"},
    "ipywidgets": {"widgets"},
    "diffusers": {"text2image", "control"},
    "open_clip": {"zero_shot"},
    "transformers": {"zero_shot"},
}
# not transformers' models, but its version and its logging, which diffusers' users have to mind
HARMLESS_NAME = re.compile(r"transformers(\.utils\b.*)?$")
FORBIDDEN = {"print", "input"}  # a package says things by what it returns
MAX_MODULE_LINES, MAX_FUNCTION_LINES, MAX_POSITIONAL = 400, 40, 5
ASKED = {"ddim_step"}  # by an exercise, shown as it is: the arguments of its formula

FILES = sorted(PACKAGE.rglob("*.py"))


def module_of(path: Path) -> str:
    """Name the module of the table to which a file belongs; a folder counts as one module."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(source: str, *, package: tuple[str, ...] = ("course_utils",)) -> Iterator[str]:
    """List the dotted names that a source file imports, relative imports resolved."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            base += [node.module] if node.module else []
            # "from course_utils import lab" names a module, "from course_utils.lab import x" too
            yield from (".".join([*base, alias.name]) for alias in node.names)


def import_complaints(source: str, module: str, *, package: tuple[str, ...] = ("course_utils",)):
    """Complain about imports that go upward, and about confined libraries."""
    for name in imports(source, package=package):
        top, *inner = name.split(".")
        harmless = HARMLESS_NAME.match(name) and module in ("text2image", "control")
        if module not in ONLY_IN.get(top, {module}) and not harmless:
            yield f"{module} imports {top}, which only {sorted(ONLY_IN[top])} may"
        if top != "course_utils" or not inner or inner[0] == module or inner == ["__version__"]:
            continue
        if inner[0] not in LEVELS:
            yield f"{module} imports {name}, which is not in the table"
        elif LEVELS[inner[0]] > LEVELS.get(module, -1):
            yield f"{module} imports {inner[0]}, which is on a higher level"


def docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a docstring, which should be as long as a learner needs."""
    first = node.body[0]
    return first.end_lineno - first.lineno + 1 if ast.get_docstring(node) is not None else 0


def size_complaints(source: str):
    """Complain about long files, long functions and many positional parameters."""
    if len(source.splitlines()) > MAX_MODULE_LINES:
        yield f"the module has {len(source.splitlines())} lines"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = node.end_lineno - node.lineno + 1 - docstring_lines(node)
            names = [arg.arg for arg in [*node.args.posonlyargs, *node.args.args]]
            positional = len(names) - (names[:1] in (["self"], ["cls"]))
            if length > MAX_FUNCTION_LINES:
                yield f"{node.name} has {length} lines"
            if positional > MAX_POSITIONAL and node.name not in ASKED:
                yield f"{node.name} has {positional} positional parameters"


def manner_complaints(source: str):
    """Complain about star imports, prints, and annotations that jaxtyping cannot read."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            yield f"star import from {node.module}"
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            yield "postponed annotations hide shapes from jaxtyping"
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) in FORBIDDEN:
            yield f"line {node.lineno} calls {node.func.id}"


def loading_complaints(source: str):
    """Complain about a loader that may ask a hub, run foreign code or open any pickle."""
    for node in ast.walk(ast.parse(source)):
        name = getattr(getattr(node, "func", None), "attr", "")
        given = {keyword.arg for keyword in getattr(node, "keywords", ())}
        owner = ast.unparse(node.func.value) if name else ""
        wanted = {"local_files_only"} if name == "from_pretrained" else set()
        if name == "from_pretrained" and re.search(r"\bAuto[A-Z]|Tokenizer|Processor$", owner):
            wanted |= set() if owner.endswith("ImageProcessor") else {"trust_remote_code"}
        if (owner, name) == ("torch", "load"):
            wanted = {"weights_only"}
        if None not in given and not wanted <= given:  # None: what ** brings
            yield f"line {node.lineno} calls {owner}.{name} without {sorted(wanted - given)}"


def complaints_about(rule: Callable[[str, Path], Iterable[str]]) -> dict[str, list[str]]:
    """Ask a rule about every file of the package; name those that break it."""
    found = {
        path.relative_to(PACKAGE).as_posix(): list(rule(path.read_text(encoding="utf-8"), path))
        for path in FILES
    }
    return {name: complaints for name, complaints in found.items() if complaints}


def test_every_module_is_in_the_table():
    assert {module_of(path) for path in FILES} <= {*LEVELS, "__init__"}


def imports_between_parts() -> dict[str, set[str]]:
    """List for each part the others that it imports."""
    graph: dict[str, set[str]] = {}
    for path in FILES:
        package = ("course_utils", *path.relative_to(PACKAGE).parts[:-1])
        for name in imports(path.read_text(encoding="utf-8"), package=package):
            top, *inner = name.split(".")
            if top == "course_utils" and inner and inner[0] != module_of(path):
                graph.setdefault(module_of(path), set()).add(inner[0])
    return graph


def test_imports_between_parts_have_no_circle():
    tuple(TopologicalSorter(imports_between_parts()).static_order())
    with pytest.raises(CycleError):
        tuple(TopologicalSorter({"images": {"hub"}, "hub": {"images"}}).static_order())


def test_imports_never_go_upward_and_libraries_stay_where_they_belong():
    def rule(source: str, path: Path) -> Iterator[str]:
        package = ("course_utils", *path.relative_to(PACKAGE).parts[:-1])
        return import_complaints(source, module_of(path), package=package)

    assert complaints_about(rule) == {}


def test_modules_and_functions_are_small():
    assert complaints_about(lambda source, _: size_complaints(source)) == {}


def test_only_runtime_reads_the_variables_of_the_course():
    def rule(source: str, path: Path) -> Iterator[str]:
        if module_of(path) != "runtime" and re.search(r"\b(environ|getenv)\b", source):
            yield "reads the environment"

    assert complaints_about(rule) == {}


def test_modules_have_manners():
    assert complaints_about(lambda source, _: manner_complaints(source)) == {}


def test_the_world_imports_nothing_of_the_course():
    for path in (PACKAGE.parent / "mini_earth").rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        assert not [name for name in imports(source) if name.split(".")[0] == "course_utils"]
        assert [*size_complaints(source), *manner_complaints(source)] == [], path.name


def test_the_package_map_names_every_module():
    text = (PACKAGE / "__init__.py").read_text(encoding="utf-8")
    assert [module for module in LEVELS if f"``{module}``" not in text] == []


def test_importing_the_package_loads_no_library():
    code = "import sys, course_utils; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert "course_utils" in loaded
    assert not {"torch", "numpy", "matplotlib", *(f"course_utils.{name}" for name in LEVELS)} & set(
        loaded
    )


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("from course_utils.lab import run", "metrics"),
        ("from course_utils import lab", "metrics"),
        ("import course_utils.lab", "metrics"),
        ("from .lab import run", "metrics"),
        ("from . import lab", "metrics"),
        ("def f():\n    from course_utils.lab import run", "metrics"),
        ("from course_utils.nowhere import x", "lab"),
        ("from matplotlib import pyplot", "lab"),
        ("import matplotlib.pyplot as plt", "widgets"),
        ("import diffusers", "zero_shot"),
        ("from transformers import AutoModel", "text2image"),
    ],
)
def test_a_forbidden_import_is_noticed(source, module):
    assert len(list(import_complaints(source, module))) == 1


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("from course_utils.metrics import accuracy", "lab"),
        ("from course_utils.images import load_image", "metrics"),  # the same level, one way
        ("from course_utils import __version__", "runtime"),
        ("from course_utils.grading.table import row", "grading"),
        ("import torch\nfrom pathlib import Path", "metrics"),
        ("import matplotlib.pyplot as plt", "plots"),
        ("import diffusers", "control"),
        ("from transformers.utils import logging\nimport transformers", "text2image"),
    ],
)
def test_an_allowed_import_passes(source, module):
    assert list(import_complaints(source, module)) == []


def test_relative_imports_inside_a_module_that_is_a_folder_are_its_own():
    package = ("course_utils", "grading")
    assert list(import_complaints("from .table import row", "grading", package=package)) == []
    assert list(import_complaints("from ..lab import run", "grading", package=package)) == []
    assert list(import_complaints("from ..grading import page", "lab", package=package)) != []


def test_a_size_over_the_limit_is_noticed():
    body = "def f(a, b, c, d, e):\n" + "    x = 1\n" * 39
    assert list(size_complaints(body)) == []
    assert list(size_complaints(body + "    x = 1\n")) == ["f has 41 lines"]
    documented = body.replace(":\n", ':\n    """One.\n\n    Two.\n    """\n', 1)
    assert list(size_complaints(documented)) == []  # a docstring is no code
    assert list(size_complaints(documented + "    x = 1\n")) == ["f has 41 lines"]
    assert list(size_complaints("x = 1\n" * 400)) == []
    assert list(size_complaints("x = 1\n" * 401)) == ["the module has 401 lines"]
    assert list(size_complaints("def f(a, b, c, d, e, f): ...")) == [
        "f has 6 positional parameters"
    ]
    assert list(size_complaints("class A:\n def f(self, a, b, c, d, e, *, g, h): ...")) == []


@pytest.mark.parametrize(
    "source",
    ["from torch import *", "from __future__ import annotations", "print('hello')", "input()"],
)
def test_bad_manners_are_noticed(source):
    assert len(list(manner_complaints(source))) == 1


def test_nothing_is_loaded_from_a_hub_with_code_or_from_any_pickle():
    root = PACKAGE.parent
    sources = {
        path: path.read_text(encoding="utf-8")
        for folder in (PACKAGE, root / "tools", root / "benchmarks")
        for path in folder.rglob("*.py")
    }
    for path in (root / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = ("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        sources[path] = re.sub(r"(?m)^%.*", "", "\n".join(code))
    found = {path.name: list(loading_complaints(source)) for path, source in sources.items()}
    assert {name: said for name, said in found.items() if said} == {}


@pytest.mark.parametrize(
    "source",
    [
        "Net.from_pretrained(folder)",
        "transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)",
        "torch.load(path)",
    ],
)
def test_a_loader_that_trusts_a_folder_is_complained_about(source):
    assert len(list(loading_complaints(source))) == 1
