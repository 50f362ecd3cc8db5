"""One place for versions: bounds, the tested pins, what is installed, what is imported."""

import ast
import functools
import importlib.metadata
import os
import re
import sys
import tomllib
from pathlib import Path

import pytest
import torch
from jaxtyping import TypeCheckError
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import course_utils
import render_environment
from course_utils import images

REPO = Path(__file__).resolve().parents[1]
TEXT = (REPO / "requirements.txt").read_text(encoding="utf-8")
REQUIREMENTS = {
    canonicalize_name(requirement.name): requirement
    for requirement in map(Requirement, render_environment.parse_requirements(TEXT))
}
PINS = [
    Requirement(line)
    for line in render_environment.parse_requirements(
        (REPO / "constraints" / "tested.txt").read_text(encoding="utf-8")
    )
]
every_requirement = pytest.mark.parametrize("name", REQUIREMENTS)

# what Colab has preinstalled and the bootstrap must not touch, from its published version lists
COLAB = {
    "2026.01": {"torch": "2.9.0", "diffusers": "0.36.0", "transformers": "4.57.6"},
    "2026.04": {"torch": "2.10.0", "diffusers": "0.37.1", "transformers": "5.0.0"},
    "2026.07": {"torch": "2.11.0", "diffusers": "0.39.0", "transformers": "5.13.1"},
    "2026.08": {"torch": "2.11.0", "diffusers": "0.39.0", "transformers": "5.15.0"},
}
COLAB_2026 = {
    "numpy": "2.0.2",
    "datasets": "4.0.0",
    "matplotlib": "3.10.0",
    "ipywidgets": "7.7.1",
    "ipykernel": "6.17.1",
}


@every_requirement
def test_every_requirement_has_a_lower_and_an_upper_bound(name):
    operators = {specifier.operator for specifier in REQUIREMENTS[name].specifier}
    assert operators == {">=", "<"}


def test_every_requirement_says_what_it_is_for():
    lines = [line for line in TEXT.splitlines() if line and not line.startswith("#")]
    assert [line for line in lines if "#" not in line] == []


@pytest.mark.parametrize("runtime", COLAB)
def test_colab_fits_without_installing_what_it_has(runtime):
    versions = COLAB_2026 | COLAB[runtime]
    assert [
        f"{name} {version}"
        for name, version in versions.items()
        if version not in REQUIREMENTS[name].specifier
    ] == []


@pytest.mark.parametrize("version", ["7.7.1", "8.1.9"])
def test_both_generations_of_widgets_fit(version):
    assert version in REQUIREMENTS["ipywidgets"].specifier


def test_conda_users_get_the_same_requirements():
    rendered = (REPO / "environment.yml").read_text(encoding="utf-8")
    assert rendered == render_environment.render(TEXT), "run tools/render_environment.py"


def test_rendering_drops_comments_and_keeps_bounds():
    text = "# a comment\ntorch>=2,<3   # why\n\nnumpy>=2\n"
    assert render_environment.parse_requirements(text) == ["torch>=2,<3", "numpy>=2"]
    assert render_environment.render(text).endswith('      - "torch>=2,<3"\n      - "numpy>=2"\n')


@every_requirement
def test_every_requirement_is_pinned_at_a_tested_version_within_its_bounds(name):
    pinned = [pin for pin in PINS if canonicalize_name(pin.name) == name]
    assert pinned, "add it: see the first lines of constraints/tested.txt"
    for pin in pinned:
        (specifier,) = pin.specifier
        assert specifier.operator == "=="
        assert specifier.version in REQUIREMENTS[name].specifier


def test_constraints_hold_exact_versions_and_no_index_or_machine_path():
    text = (REPO / "constraints" / "tested.txt").read_text(encoding="utf-8")
    assert not re.search(r"://|(?<![\w.])[/~]\w|[A-Z]:\\", text)
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.+]+( ; .+)?", line)] == []


@every_requirement
def test_what_is_installed_is_within_the_bounds(name):
    installed = importlib.metadata.version(name)
    assert REQUIREMENTS[name].specifier.contains(Version(installed), prereleases=True)


def third_party_imports(source: str) -> set[str]:
    """List the top-level names of other people's packages that a source file imports."""
    tops = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            tops |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            tops.add(node.module.partition(".")[0])
    ours = {path.stem for path in [*REPO.glob("*/*.py"), *REPO.glob("*/")]}
    return tops - set(sys.stdlib_module_names) - ours


@functools.cache
def installed_packages() -> dict[str, list[str]]:
    """Map the names that can be imported to the distributions that hold them."""
    return dict(importlib.metadata.packages_distributions())


def undeclared(source: str) -> set[str]:
    """List imported packages that requirements.txt does not declare."""
    providers = installed_packages()
    return {
        top
        for top in third_party_imports(source)
        if not {canonicalize_name(name) for name in providers.get(top, [top])} & set(REQUIREMENTS)
    }


OPTIONAL = {"modelscope"}  # a further place to fetch models from, asked where it is installed


@pytest.mark.parametrize("folder", ["course_utils", "tools", "benchmarks"])
def test_every_import_is_declared(folder):
    sources = {path: path.read_text(encoding="utf-8") for path in (REPO / folder).rglob("*.py")}
    found = {path.name: undeclared(source) for path, source in sources.items()}
    assert {name: tops - OPTIONAL for name, tops in found.items() if tops - OPTIONAL} == {}


def test_an_undeclared_import_is_noticed():
    assert undeclared("import requests, os\nfrom yaml.nodes import Node") == {"requests", "yaml"}
    assert undeclared("import torch.nn\nfrom PIL import Image\nimport open_clip, sklearn") == set()


def test_the_version_is_the_same_everywhere():
    project = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = (REPO / "CITATION.cff").read_text(encoding="utf-8")
    changelog = (REPO / "CHANGELOG.md").read_text(encoding="utf-8")
    assert project["version"] == course_utils.__version__
    assert f"\nversion: {course_utils.__version__}\n" in citation
    assert f"\n## {course_utils.__version__}" in changelog


def test_ci_calls_the_test_command_and_nothing_else():
    script = REPO / ".ci" / "run"
    commands = re.findall(r"^\s*exec (.*)$", script.read_text(encoding="utf-8"), re.MULTILINE)
    assert commands == ["make test", "python3 tools/course.py test"]
    assert os.name == "nt" or os.access(script, os.X_OK)


def test_shapes_are_checked_in_tests():
    config = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))
    options = config["tool"]["pytest"]["ini_options"]
    assert options["filterwarnings"] == ["error"]
    assert "--jaxtyping-packages=course_utils,mini_earth,beartype.beartype" in options["addopts"]
    with pytest.raises(TypeCheckError, match="to_model"):
        images.to_model(torch.zeros(1, 3, 4, 4))  # floats, not bytes


def test_git_keeps_results_and_the_environment_out():
    ignored = (REPO / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert {".venv/", "outputs/", "__pycache__/"} <= set(ignored)
