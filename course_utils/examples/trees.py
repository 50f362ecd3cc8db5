"""What lies below a folder, whatever it is: listed without a hang, and nothing lost in silence."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from course_utils.examples.classes import composed
from course_utils.texts import text

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HIDDEN = ("__MACOSX", "__pycache__")  # the first comes with archives packed on a Mac
_DOCUMENTS = {  # a folder of nothing but these is no class
    *(".txt", ".md", ".rst", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml"),
    *(".html", ".pdf", ".doc", ".docx", ".xls", ".xlsx", ".py", ".ipynb", ".m", ".mat", ".sh"),
    *(".npy", ".npz", ".log", ".bib", ".cfg", ".ini", ".geojson", ".parquet", ".arrow", ".db"),
    *(".zip", ".tar", ".gz", ".rar", ".7z"),
}


@dataclass
class Folder:
    """What lies in a folder, by name, and whether there is anything below."""

    folders: list[Path] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    is_empty: bool = True
    has_documents_only: bool = True


Tree = dict[Path, Folder]


def walk(root: Path, skipped: list[str]) -> Tree:
    """List what is below a folder, without hidden things and without links that lead away.

    Args:
        root: an absolute path without links.
        skipped: takes what is left out, with its reason.
    """
    tree: Tree = {}
    waiting, hidden = [root], []
    while waiting:
        here = waiting.pop()
        inside = tree[here] = Folder()
        try:
            with os.scandir(here) as entries:
                found = sorted(entries, key=lambda entry: composed(entry.name))
        except OSError as error:  # such as a path that is too long
            skipped.append(not_opened(shown(here, root), error))
            continue
        for entry in found:
            path = here / entry.name
            if not is_visible(entry.name):
                hidden.append(shown(path, root))
            elif entry.is_symlink() and _leads_away(path, root):
                skipped.append(text("skipped.link", file=shown(path, root)))
            else:
                is_folder = entry.is_dir(follow_symlinks=False)
                (inside.folders if is_folder else inside.files).append(path)
        waiting += reversed(inside.folders)
    if hidden:
        skipped.append(text("skipped.hidden", num=len(hidden), names=some(hidden)))
    for here in reversed(tree.values()):  # the innermost first
        below = [tree[folder] for folder in here.folders]
        here.is_empty = not here.files and all(each.is_empty for each in below)
        here.has_documents_only = all(each.has_documents_only for each in below) and all(
            path.suffix.lower() in _DOCUMENTS for path in here.files
        )
    return tree


def _leads_away(link: Path, root: Path) -> bool:
    target = os.path.realpath(link)
    return os.path.isdir(target) or not Path(target).is_relative_to(root)


def is_visible(name: str) -> bool:
    """Tell a learner's files from those that systems leave."""
    return not name.startswith(".") and name not in _HIDDEN


def shown(path: Path, root: Path) -> str:
    """Write a path for a reader, as seen from a folder."""
    return _in_a_line(path.relative_to(root).as_posix())


def _in_a_line(name: str) -> str:
    return _CONTROL.sub(lambda sign: repr(sign[0])[1:-1], composed(name))


def some(names: Iterable[str], num: int = 3) -> str:
    """Name the first few."""
    names = list(map(_in_a_line, names))
    return ", ".join([*names[:num], *(["…"] if len(names) > num else [])])


def names_of(folders: Iterable[Path]) -> str:
    """Name all folders."""
    return ", ".join(_in_a_line(folder.name) for folder in folders)


def not_opened(name: str, error: OSError) -> str:
    """Say that a file or folder was left out because of the system."""
    return text("skipped.not_opened", file=name, reason=error.strerror or error)


def files_below(tree: Tree, folder: Path) -> list[Path]:
    """List the files in a folder and in those below, in the order of their names."""
    found, waiting = [], [folder]
    while waiting:
        folder = tree[waiting.pop()]
        found += folder.files
        waiting += reversed(folder.folders)
    return found


def class_like(tree: Tree, folder: Path) -> list[Path]:
    """List the folders in a folder, without those that hold documents only."""
    folders = tree[folder].folders
    return [each for each in folders if tree[each].is_empty or not tree[each].has_documents_only]


def unwrapped(tree: Tree, folder: Path) -> Path:
    """Go down through folders that hold a single one, to that of the classes or parts."""
    while len(inner := class_like(tree, folder)) == 1 and class_like(tree, inner[0]):
        folder = inner[0]
    return folder
