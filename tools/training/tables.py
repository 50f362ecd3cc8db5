"""Tables of measured numbers: a CSV file each, every row with what made it."""

import csv
import io
import subprocess
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from course_utils.runtime import write_atomically
from tools.training.files import machine
from tools.training.options import REPO


def text_of(value: object) -> str:
    """Write a cell: numbers to five digits, nothing for None."""
    if value is None:
        return ""
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def as_text(row: Mapping[str, object], columns: Sequence[str]) -> dict[str, str]:
    """Write the cells of a row, as they are read again."""
    return {name: text_of(row.get(name)) for name in columns}


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read what an earlier run has written; nothing if there is no table yet."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_rows(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> None:
    """Write all rows, whole or not at all."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(as_text(row, columns) for row in rows)
    write_atomically(path, buffer.getvalue().encode())


def origin(command: str) -> dict[str, str]:
    """Say what made a row: a command, the commit (+ where files are changed), a machine."""
    git = partial(subprocess.run, cwd=REPO, capture_output=True, text=True, check=False)
    head = git(["git", "rev-parse", "--short=12", "HEAD"]).stdout.strip() or "unknown"
    changed = git(["git", "status", "--porcelain", "--untracked-files=no"]).stdout.strip()
    commit = f"{head}{'+' if changed else ''}"
    return {"command": command, "commit": commit, "machine": machine()}
