"""What ``make`` does around the course: paths, set-up, messages, results, Ctrl-C."""

import ast
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import course
import course_environment
from course_environment import CourseError

TOOLS = Path(course.__file__).parent
POSIX = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")


def test_paths_are_resolved_against_the_callers_folder(tmp_path):
    assert course.resolve("data/sat", tmp_path) == str(tmp_path / "data" / "sat")
    assert course.resolve("../sat", tmp_path / "a") == str(tmp_path / "sat")
    assert course.resolve(str(tmp_path / "x"), Path("/elsewhere")) == str(tmp_path / "x")
    assert course.resolve("~/sat", tmp_path) == str(Path.home() / "sat")


def test_the_name_of_a_data_set_stays_a_name_unless_it_is_a_folder_here(tmp_path):
    assert course.resolve("eurosat", tmp_path, may_be_name=True) == "eurosat"
    assert course.resolve("no/such", tmp_path, may_be_name=True) == str(tmp_path / "no" / "such")
    (tmp_path / "eurosat").mkdir()
    assert course.resolve("eurosat", tmp_path, may_be_name=True) == str(tmp_path / "eurosat")


def test_only_path_variables_change_and_empty_ones_go(tmp_path):
    given = {"COURSE_OUT": "o", "COURSE_CACHE": "", "COURSE_DATA": "eurosat", "COURSE_SEED": "1"}
    env = course.caller_environment(given, tmp_path)
    assert env == {"COURSE_OUT": str(tmp_path / "o"), "COURSE_DATA": "eurosat", "COURSE_SEED": "1"}
    assert given["COURSE_OUT"] == "o"


def test_tests_see_test_data_and_none_of_the_callers_settings(tmp_path):
    given = {"PATH": "p", "COURSE_PROFILE": "full", "COURSE_TEST_DATA": "t", "COURSE_OUT": "mine"}
    env = course.test_environment(given, tmp_path)
    assert (env["PATH"], env["COURSE_TEST_DATA"]) == ("p", "t")
    assert "COURSE_PROFILE" not in env
    assert env["OMP_WAIT_POLICY"] == "PASSIVE"
    assert course.test_environment({"OMP_WAIT_POLICY": "ACTIVE"}, tmp_path)["OMP_WAIT_POLICY"] == (
        "ACTIVE"
    )
    assert Path(env["COURSE_OUT"]).parent == Path(env["COURSE_CACHE"]).parent == tmp_path


@pytest.mark.parametrize("version", [(3, 10, 4), (3, 7, 0), (2, 7, 18)])
def test_an_old_python_is_refused_in_one_sentence_that_says_what_to_do(version):
    with pytest.raises(CourseError, match=r"needs Python 3\.11 or newer; /usr/bin/python is") as no:
        course_environment.check_python(version, "/usr/bin/python")
    assert "make lab PYTHON=" in str(no.value)


def test_a_new_python_is_accepted():
    course_environment.check_python((3, 11, 0), "python")
    course_environment.check_python((4, 0, 0), "python")


@pytest.mark.parametrize("name", ["course.py", "course_environment.py"])
def test_an_old_python_can_read_what_runs_before_the_installation(name):
    source = (TOOLS / name).read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 7))
    assert tree.body[1].module == "__future__"


def test_the_environments_python_has_its_place_on_every_platform(tmp_path):
    windows = course_environment.venv_python(tmp_path, windows=True)
    assert windows == tmp_path / "Scripts" / "python.exe"
    assert course_environment.venv_python(tmp_path, windows=False) == tmp_path / "bin" / "python"


@pytest.mark.parametrize("line", ["version = 3.11.7", "version_info = 3.11.7"])
def test_the_environments_version_is_read_without_starting_it(tmp_path, line):
    assert course_environment.venv_version(tmp_path) == ""
    (tmp_path / "pyvenv.cfg").write_text(f"home = /usr/bin\n{line}\n", encoding="utf-8")
    assert course_environment.venv_version(tmp_path) == "3.11.7"


def test_the_stamp_depends_on_requirements_constraints_and_python():
    base = {"requirements": b"a", "constraints": b"b", "python": "3.11.7"}
    keys = [
        course_environment.setup_key(**{**base, **change})
        for change in ({}, {"requirements": b"x"}, {"constraints": b"x"}, {"python": "3.12.1"})
    ]
    assert len(set(keys)) == 4
    assert keys[0] == course_environment.setup_key(**base)


@pytest.fixture
def steps(tmp_path, monkeypatch):
    """Set-up in a temporary folder whose steps only say that they ran."""
    done = []
    python = course_environment.venv_python(tmp_path)

    def create(base_python):
        done.append("create")
        python.parent.mkdir(parents=True, exist_ok=True)
        python.touch()

    monkeypatch.setattr(course_environment, "STAMP", tmp_path / "course-setup.txt")
    monkeypatch.setattr(course_environment, "venv_python", lambda: python)
    monkeypatch.setattr(course_environment, "create_venv", create)
    monkeypatch.setattr(course_environment, "find_uv", lambda: "uv")
    monkeypatch.setattr(course_environment, "install", lambda uv: done.append("install"))
    monkeypatch.setattr(course_environment, "verify", lambda: done.append("verify"))
    return done


def test_nothing_is_set_up_twice(steps, capsys):
    course_environment.setup("python")
    assert steps == ["create", "install", "verify"]
    assert "5 to 7 GB" in capsys.readouterr().out
    course_environment.setup("python")
    assert steps == ["create", "install", "verify"]
    assert capsys.readouterr().out == ""


def test_an_interrupted_set_up_is_completed_by_the_next_call(steps, monkeypatch):
    def interrupted(uv):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(course_environment, "install", interrupted)
        with pytest.raises(KeyboardInterrupt):
            course_environment.setup("python")
    assert not course_environment.is_ready()
    course_environment.setup("python")
    assert steps == ["create", "create", "install", "verify"]
    assert course_environment.is_ready()


def test_changed_requirements_are_installed(steps, tmp_path, monkeypatch):
    course_environment.setup("python")
    changed = tmp_path / "requirements.txt"
    changed.write_text("torch\n")
    monkeypatch.setattr(course_environment, "REQUIREMENTS", changed)
    course_environment.setup("python")
    assert steps == ["create", "install", "verify"] * 2


def test_a_pair_that_does_not_import_is_explained_with_the_command_that_mends_it(monkeypatch):
    monkeypatch.setattr(
        course_environment, "PROBE", "print('torch 9+cpu'); raise ValueError('nms')"
    )
    monkeypatch.setattr(course_environment, "venv_python", lambda: Path(sys.executable))
    monkeypatch.setenv("UV_FIND_LINKS", "wheels")
    with pytest.raises(CourseError) as no:
        course_environment.verify()
    message = str(no.value)
    assert "(torch 9+cpu)" in message
    assert "ValueError: nms" in message
    assert "first unset UV_FIND_LINKS" in message
    assert f'"{sys.executable}" -m uv pip install' in message
    assert "--reinstall torch torchvision" in message


def test_the_pair_in_use_passes(monkeypatch):
    exec(course_environment.PROBE, {})  # here, where torch is loaded already
    monkeypatch.setattr(course_environment, "PROBE", "pass")
    monkeypatch.setattr(course_environment, "venv_python", lambda: Path(sys.executable))
    course_environment.verify()


def test_uv_uses_the_index_of_pip_unless_it_has_its_own():
    of = course_environment.uv_environment
    assert of({}, "https://mirror") == {"UV_DEFAULT_INDEX": "https://mirror"}
    assert of({"PIP_INDEX_URL": "https://a"}, "https://b")["UV_DEFAULT_INDEX"] == "https://a"
    assert of({"UV_INDEX_URL": "https://own"}, "https://b") == {"UV_INDEX_URL": "https://own"}
    assert of({"PIP_CERT": "c"}, "") == {"PIP_CERT": "c", "SSL_CERT_FILE": "c"}
    assert of({"PIP_CERT": "c", "SSL_CERT_FILE": "own"}, "")["SSL_CERT_FILE"] == "own"


def test_exit_codes_are_passed_on():
    assert course_environment.run([sys.executable, "-c", "raise SystemExit(7)"]) == 7
    assert course_environment.run([sys.executable, "-c", "pass"]) == 0


@POSIX
def test_a_child_killed_by_a_signal_is_reported_as_a_shell_does():
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert course_environment.run([sys.executable, "-c", code]) == 137


@POSIX
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_ends_the_children_with_one_line(number):
    child = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    code = f"""
import course, course_environment, sys

def start_child(env):
    "Start something long."
    return course.run([sys.executable, "-c", {child!r}])

course_environment.GRACE_SECONDS = 0.2
course.COMMANDS["clean"] = start_child
sys.exit(course.main(["clean"]))
"""
    command = [sys.executable, "-c", code]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=TOOLS, **pipes) as parent:
        child_pid = int(parent.stdout.readline())
        parent.send_signal(number)  # to the parent alone, which has to see to the child
        errors = parent.stderr.read()
    assert parent.returncode == 130
    assert errors.strip() == "Stopped. The same command goes on from what is already there."
    deadline = time.monotonic() + 5
    while is_running(child_pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(child_pid)


def is_running(pid: int) -> bool:
    """Tell whether a process exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_lab_says_what_came_out_and_where_it_lies(tmp_path):
    table = "           0     1\nreal only  -  43.0"
    sentence = "Added to real images, drawings " + "helped or hurt or left it open and " * 5
    (tmp_path / "summary.txt").write_text(f"{table}\n\n{sentence}\n", encoding="utf-8")
    (tmp_path / "report.html").touch()
    lines = course.describe_results(tmp_path).splitlines()
    assert lines[:2] == table.splitlines()
    assert " ".join(lines[3:-2]).split() == sentence.split()
    assert max(map(len, lines[3:-2])) <= 100
    assert lines[-2:] == ["", f"report      {tmp_path / 'report.html'}"]


@pytest.mark.parametrize("content", [None, b"\xff"])
def test_a_missing_or_broken_summary_is_one_clear_sentence(tmp_path, content):
    if content is not None:
        (tmp_path / "summary.txt").write_bytes(content)
    with pytest.raises(CourseError, match=r"The notebook ran, but .*summary\.txt cannot be read"):
        course.describe_results(tmp_path)


def test_a_missing_notebook_is_one_clear_sentence(tmp_path):
    with pytest.raises(CourseError, match="git checkout"):
        course.run_notebook(tmp_path / "no.ipynb", tmp_path / "copy.ipynb", {})


def test_one_failing_stage_fails_the_tests_and_the_others_still_run(monkeypatch, capsys):
    ran = []
    monkeypatch.setattr(course, "lint", lambda env: 1)
    monkeypatch.setattr(course, "run", lambda command, env: ran.append(command) or 0)
    assert course.test({}) == 1
    assert len(ran) == 2
    assert capsys.readouterr().out.endswith("Failed: style\n")
    monkeypatch.setattr(course, "lint", lambda env: 0)
    assert course.test({}) == 0


def test_every_make_target_is_a_command():
    makefile = (course.REPO / "Makefile").read_text(encoding="utf-8")
    targets = makefile.split("TARGETS := ")[1].splitlines()[0].split()
    assert sorted(targets) == sorted(course.COMMANDS)


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit, match="0"):
        course.main(["--help"])
    text = capsys.readouterr().out
    assert [name for name in course.COMMANDS if f"  {name} " not in text] == []
