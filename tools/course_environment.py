"""Build the course's virtual environment: once, completely, and with a word on what goes wrong.

Standard library only, and syntax that an old Python can read: this runs before anything is
installed. Called by course.py.
"""

from __future__ import annotations  # annotations stay unread, so that Python 3.7 gets to a message

import hashlib
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Iterable, Mapping  # noqa: UP035  (an old Python does not know the new place)

REPO = Path(__file__).resolve().parents[1]
VENV = REPO / ".venv"
STAMP = VENV / "course-setup.txt"
REQUIREMENTS = REPO / "requirements.txt"
CONSTRAINTS = REPO / "constraints" / "tested.txt"

OLDEST_PYTHON = (3, 11)
UV = "uv>=0.5,<1"
DISK_GB = 8  # the environment with its CUDA libraries, and a little room
GRACE_SECONDS = 10  # for a child to save what it has after Ctrl-C

# lets .venv find course_utils; relative, hence plain ASCII whatever the folder is called
WRITE_PATH_FILE = """
import os, sys, sysconfig
packages = sysconfig.get_path("purelib")
with open(os.path.join(packages, "course.pth"), "w", encoding="ascii") as file:
    print(os.path.relpath(sys.argv[1], packages), file=file)
"""

PROBE = """
from importlib.metadata import version
print(*(f"{name} {version(name)}" for name in ("torch", "torchvision")), sep=", ", flush=True)
import torch, torchvision
torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
"""


class CourseError(Exception):
    """Something that the caller can mend; the message says how."""


def say(text: str = "") -> None:
    """Print a line at once, also when the output goes to a file."""
    print(text, flush=True)


def duration(seconds: float) -> str:
    """Write a time span as people say it."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def run(command: Iterable, *, env: Mapping[str, str] | None = None) -> int:
    """Run a command to its end and return its exit code; on Ctrl-C see to it that it ends."""
    process = subprocess.Popen([str(part) for part in command], env=env)
    try:
        code = process.wait()
    except KeyboardInterrupt:
        end(process)
        raise
    return code if code >= 0 else 128 - code  # killed by a signal: what a shell would report


def end(process: subprocess.Popen) -> None:
    """Wait for a child that the terminal told of the same Ctrl-C, then insist."""
    for insist in (lambda: None, process.terminate, process.kill):
        insist()
        try:
            process.wait(GRACE_SECONDS)
            return
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            continue


def complaint(command: Iterable) -> str:
    """Run a short command without showing it; return what it says when it fails, else ""."""
    try:
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    except OSError as error:
        return str(error)
    return "" if done.returncode == 0 else f"{done.stdout}{done.stderr}" or "it failed silently"


def check_python(version: tuple, executable: str) -> None:
    """Refuse a Python that is older than the course supports."""
    if tuple(version[:2]) < OLDEST_PYTHON:
        wanted, found = (".".join(map(str, numbers)) for numbers in (OLDEST_PYTHON, version[:3]))
        raise CourseError(
            f"The course needs Python {wanted} or newer; {executable} is Python {found}. "
            "Install a newer one from https://www.python.org/downloads/ and name it: "
            "make lab PYTHON=python3.12, or python3.12 tools/course.py lab"
        )


def venv_python(venv: Path = VENV, *, windows: bool = os.name == "nt") -> Path:
    """Name the Python of a virtual environment."""
    return venv / "Scripts" / "python.exe" if windows else venv / "bin" / "python"


def venv_version(venv: Path = VENV) -> str:
    """Read the Python version of a virtual environment without starting it; "" without one."""
    try:
        lines = (venv / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    settings = dict(map(str.strip, line.split("=", 1)) for line in lines if "=" in line)
    return settings.get("version") or settings.get("version_info", "")  # uv writes the second


def setup_key(*, requirements: bytes, constraints: bytes, python: str) -> str:
    """Summarise everything that decides what is in the environment."""
    return hashlib.sha256(b"\0".join([requirements, constraints, python.encode()])).hexdigest()


def current_key() -> str:
    """Summarise what has to be in the environment now."""
    asked, tested = REQUIREMENTS.read_bytes(), CONSTRAINTS.read_bytes()
    return setup_key(requirements=asked, constraints=tested, python=venv_version())


def is_ready() -> bool:
    """Tell, in no time, whether a set-up for the current requirements was completed."""
    return venv_python().exists() and STAMP.is_file() and STAMP.read_text() == current_key()


def setup(base_python: str) -> None:
    """Build the environment with this Python, or complete one that was interrupted.

    Raises:
        CourseError: a step failed; the message says what to do.
    """
    if is_ready():
        return
    start = time.monotonic()
    STAMP.unlink(missing_ok=True)
    say(f"Setting up {VENV}, once: about 1 to 6 minutes and 5 to 7 GB of disk.")
    free_gb = shutil.disk_usage(REPO).free / 1e9
    if free_gb < DISK_GB and not venv_python().exists():
        say(f"Note: only {free_gb:.1f} GB of disk are free here; this may not be enough.")
    create_venv(base_python)
    install(find_uv())
    verify()
    partial = STAMP.with_suffix(".tmp")
    partial.write_text(current_key())
    partial.replace(STAMP)  # written last: an interrupted set-up has no stamp
    say(f"Set-up is complete, after {duration(time.monotonic() - start)}.\n")


def create_venv(base_python: str) -> None:
    """Create the virtual environment, unless one with a working Python is there."""
    python = venv_python()
    if complaint([python, "-m", "pip", "--version"]):
        say("1/3  the virtual environment (a few seconds)")
        problem = complaint([base_python, "-m", "venv", "--clear", VENV])
        if problem:
            raise CourseError(
                f"{problem}\n{base_python} could not create {VENV}. "
                "On Debian and Ubuntu: sudo apt install python3-venv. Then run this again."
            )
    problem = complaint([python, "-c", WRITE_PATH_FILE, REPO])
    if problem:
        raise CourseError(f"{problem}\n{VENV} is not usable. Delete it and run this again.")


def find_uv() -> str:
    """Find uv, the fast installer, or put it into the virtual environment."""
    python = venv_python()
    inside = str(python.with_name("uv.exe" if os.name == "nt" else "uv"))
    for uv in (shutil.which("uv"), inside):
        if uv and not complaint([uv, "--version"]):
            return uv
    say("2/3  uv, the installer (a few seconds)")
    problem = complaint([python, "-m", "pip", "install", "--quiet", UV])
    if problem:
        raise CourseError(
            f"{problem}\npip could not install uv. Is there a network? With a mirror: "
            "pip config set global.index-url <its address>. Then run this again."
        )
    return inside


def uv_environment(environ: Mapping[str, str], pip_index: str = "") -> dict[str, str]:
    """Let uv use the package index and the certificates that pip is configured for."""
    env = dict(environ)
    index = env.get("PIP_INDEX_URL") or pip_index
    if index and not {"UV_DEFAULT_INDEX", "UV_INDEX_URL"} & env.keys():
        env["UV_DEFAULT_INDEX"] = index
    if "PIP_CERT" in env:
        env.setdefault("SSL_CERT_FILE", env["PIP_CERT"])
    return env


def install(uv: str) -> None:
    """Install the requirements at their tested versions."""
    python = venv_python()
    say("3/3  the packages (half a minute to five minutes, depending on the network)")
    asked = [str(python), "-m", "pip", "config", "get", "global.index-url"]
    pip_index = subprocess.run(asked, capture_output=True, text=True).stdout.strip()
    command = [uv, "pip", "install", "--python", python, "-r", REQUIREMENTS, "-c", CONSTRAINTS]
    if run(command, env=uv_environment(os.environ, pip_index)):
        raise CourseError(
            "The packages could not be installed; uv says why above. What was downloaded is kept: "
            "once the cause is mended, run this again and it goes on from there."
        )


def verify() -> None:
    """Import what breaks most often: torch and torchvision, which have to be a matching pair."""
    command = [str(venv_python()), "-I", "-c", PROBE]  # -I: nothing in this folder gets in the way
    probe = subprocess.run(command, capture_output=True, text=True)
    if probe.returncode:
        lines = probe.stderr.strip().splitlines() or [f"exit code {probe.returncode}"]
        raise CourseError(mismatch_message(probe.stdout.strip(), lines[-1], os.environ))


def mismatch_message(versions: str, error: str, environ: Mapping[str, str]) -> str:
    """Explain why torch and torchvision do not work together, and how to get a pair that does."""
    python = venv_python()
    blamed = ("UV_FIND_LINKS", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_TORCH_BACKEND")
    present = ", ".join(name for name in blamed if environ.get(name))
    unset = f"  (first unset {present}: it may bring in builds from elsewhere)\n" if present else ""
    mend = f'"{python}" -m uv pip install --python "{python}" --reinstall torch torchvision'
    return (
        f"torch and torchvision do not work here ({versions or 'versions unknown'}):\n  {error}\n"
        "Most often the two come from different places, such as a CPU build of torch (+cpu) with "
        "the index's torchvision. Install both from one place:\n"
        f'{unset}  "{python}" -m pip install "{UV}"\n'
        f'  {mend} -c "{CONSTRAINTS}" --default-index https://pypi.org/simple\n'
        "(for the smaller CPU build of both, end the line with --torch-backend cpu instead of "
        "--default-index ...), then run this again."
    )
