"""Set up, run and test the course: ``make lab`` is ``python tools/course.py lab``.

Standard library only, and syntax that an old Python can read: this runs before anything is
installed, and has to say clearly what is missing.
"""

from __future__ import annotations  # annotations stay unread, so that Python 3.7 gets to a message

import argparse
import os
import shutil
import signal
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import Mapping  # noqa: UP035  (an old Python does not know the new place)

from course_environment import (
    REPO,
    CourseError,
    check_python,
    duration,
    run,
    say,
    setup,
    venv_python,
)

NOTEBOOKS = REPO / "notebooks"
OUTPUTS = REPO / "outputs"
FINAL_LAB = NOTEBOOKS / "07_final_lab.ipynb"

PATH_VARIABLES = (
    "COURSE_DATA",
    "COURSE_OUT",
    "COURSE_CACHE",
    "COURSE_MODELS",
    "COURSE_XBD",
    "COURSE_TEST_DATA",
)


def resolve(value: str, folder: Path, *, may_be_name: bool = False) -> str:
    """Make a path absolute against the caller's folder.

    What may be a name stays as it is if it is a plain word and no path here.
    """
    path = folder / os.path.expanduser(value)
    if may_be_name and not path.exists() and not {"/", "\\", "~"} & set(value):
        return value
    return os.path.abspath(path)


def caller_environment(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Copy an environment with the course's path variables made absolute, empty ones dropped."""
    env = dict(environ)
    for name in PATH_VARIABLES:
        value = env.pop(name, "")
        if value:
            env[name] = resolve(value, folder, may_be_name=name == "COURSE_DATA")
    return env


def test_environment(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Drop the caller's course settings, which must not decide a test; begin with empty caches.

    Threads that wait for each other sleep: on a busy machine, those that spin take the time that
    the others need, and a cell ran into its limit.
    """
    ours = [name for name in environ if name.startswith("COURSE_") and name != "COURSE_TEST_DATA"]
    kept = {name: value for name, value in environ.items() if name not in ours}
    own = {"COURSE_OUT": str(folder / "out"), "COURSE_CACHE": str(folder / "cache")}
    return {"OMP_WAIT_POLICY": "PASSIVE", **kept, **own}


def lab(env: dict[str, str]) -> int:
    """Run the final lab; say what came out and where it lies."""
    start = time.monotonic()
    out = Path(env.setdefault("COURSE_OUT", str(OUTPUTS / "final_lab")))
    code = run_notebook(FINAL_LAB, out / "final_lab.ipynb", env)
    if code == 0:
        say("\n" + describe_results(out))
        say(f"\nThe lab took {duration(time.monotonic() - start)}.")
    return code


def run_notebook(path: Path, saved: Path, env: Mapping[str, str]) -> int:
    """Run a notebook from its first cell to its last, shown here; save the executed copy."""
    if not path.is_file():
        raise CourseError(f'The notebook is missing; restore it: git checkout -- "{path}"')
    return run([venv_python(), REPO / "tools" / "run_notebook.py", path, "--save", saved], env=env)


def describe_results(out: Path) -> str:
    """Show what the lab left in a folder: its summary, as it wrote it, and where the rest lies."""
    path = out / "summary.txt"
    try:
        summary = path.read_text(encoding="utf-8").rstrip()
    except (OSError, ValueError) as error:
        raise CourseError(f"The notebook ran, but {path} cannot be read: {error!r}") from None
    places = [("numbers", "results.json"), ("predictions", "predictions.parquet")]
    places += [("report", "report.html"), ("figures", "figures"), ("notebook", "final_lab.ipynb")]
    listed = [f"{name:11} {out / place}" for name, place in places if (out / place).exists()]
    return "\n".join([wrapped(summary), "", *listed])


def wrapped(text: str, width: int = 100) -> str:
    """Break sentences where a terminal would; lines of tables, which have gaps, stay."""
    lines = [
        line if "  " in line else textwrap.fill(line, width, break_long_words=False)
        for line in text.splitlines()
    ]
    return "\n".join(lines)


def notebooks(env: dict[str, str]) -> int:
    """Run every notebook; executed copies go to outputs/notebooks."""
    failed = []
    for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb")):
        say(f"\n== {path.name}")
        if run_notebook(path, OUTPUTS / "notebooks" / path.name, env):
            failed.append(path.name)
    say(f"\nFailed: {', '.join(failed)}" if failed else f"\nExecuted: {OUTPUTS / 'notebooks'}")
    return 1 if failed else 0


def jupyter(env: dict[str, str]) -> int:
    """Open JupyterLab on the notebooks; Ctrl-C ends it."""
    options = [f"--ServerApp.root_dir={REPO}", "--LabApp.default_url=/lab/tree/notebooks"]
    command = [venv_python(), "-m", "jupyterlab", *options, "--ServerApp.answer_yes=True"]
    return run(command, env=env)


def test(env: dict[str, str]) -> int:
    """Run every check: style, tests, and each notebook."""
    pytest = [venv_python(), "-m", "pytest", "--rootdir", REPO, "-c", REPO / "pyproject.toml"]
    gates = REPO / "tests" / "test_notebooks.py"
    stages = {
        "style": lint,
        "tests": lambda env: run([*pytest, REPO / "tests", "--ignore", gates], env=env),
        "notebooks, each once: minutes": lambda env: run([*pytest, gates], env=env),
    }
    failed = []
    with tempfile.TemporaryDirectory(prefix="course-") as folder:
        env = test_environment(env, Path(folder))
        for name, stage in stages.items():
            say(f"\n== {name}")
            start = time.monotonic()
            if stage(env):
                failed.append(name)
            verdict = "FAILED" if name in failed else "passed"
            say(f"== {verdict} after {duration(time.monotonic() - start)}")
    say(f"\nFailed: {'; '.join(failed)}" if failed else "\nEverything passed.")
    return 1 if failed else 0


def bench(env: dict[str, str]) -> int:
    """Run every benchmark; each prints a table."""
    scripts = sorted((REPO / "benchmarks").glob("*.py"))
    return max([run([venv_python(), script], env=env) for script in scripts], default=0)


def ruff(tasks: list, env: dict[str, str]) -> int:
    """Run the linter's tasks, each whatever the others say."""
    return max([run([venv_python(), "-m", "ruff", *task, REPO], env=env) for task in tasks])


def lint(env: dict[str, str]) -> int:
    """Check style without changing anything."""
    return ruff([["check"], ["format", "--check"]], env)


def format_code(env: dict[str, str]) -> int:
    """Mend style where that can be done by itself."""
    return ruff([["check", "--fix"], ["format"]], env)


def clean(env: dict[str, str]) -> int:
    """Remove what tools cache; results and the environment stay."""
    caches = {"__pycache__", ".pytest_cache", ".ruff_cache", ".ipynb_checkpoints"}
    for folder, inner, _ in os.walk(REPO):
        for name in caches & set(inner):
            shutil.rmtree(Path(folder) / name, ignore_errors=True)
        inner[:] = [name for name in inner if name not in caches | {".venv", ".git", "outputs"}]
    return 0


def setup_only(env: dict[str, str]) -> int:
    """Build the environment, or complete it; every other command does so when it is needed."""
    say(f"The environment is ready: {venv_python()}")
    return 0


COMMANDS = {
    "lab": lab,
    "test": test,
    "setup": setup_only,
    "notebooks": notebooks,
    "jupyter": jupyter,
    "bench": bench,
    "lint": lint,
    "format": format_code,
    "clean": clean,
}


def parse_command(arguments: list | None) -> str:
    """Read which command is wanted, or show them all."""
    listed = "\n".join(f"  {name:10} {do.__doc__.splitlines()[0]}" for name, do in COMMANDS.items())
    parser = argparse.ArgumentParser(
        usage="make COMMAND   or   python tools/course.py COMMAND",
        description="Commands:\n" + listed,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    parser.add_argument("command", choices=COMMANDS, help=argparse.SUPPRESS)
    parser.add_argument("-h", "--help", action="help", help=argparse.SUPPRESS)
    return parser.parse_args(arguments).command


def interrupt(*_: object) -> None:
    """Let a request to end do what Ctrl-C does: children first."""
    raise KeyboardInterrupt


def main(arguments: list | None = None) -> int:
    """Run one command, after making sure of the environment, and return the exit code."""
    command = parse_command(arguments)
    signal.signal(signal.SIGTERM, interrupt)
    try:
        check_python(sys.version_info, sys.executable)
        if command != "clean":
            setup(sys.executable)
        return COMMANDS[command](caller_environment(os.environ, Path.cwd()))
    except CourseError as error:
        print(f"\n{error}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on from what is already there.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
