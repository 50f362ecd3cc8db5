"""Where class folders lie below the folder that somebody names."""

import os
from pathlib import Path

from course_utils.examples.hub_sets import PARTS
from course_utils.examples.scene_classes import read_scene_classes

DEPTH = 2  # official archives have their class folders one or two folders down


def find_classes(path: Path) -> tuple[str | None, Path]:
    """Find the class folders of a data set that the course knows, and say which it is."""
    folders = [path]
    for _ in range(DEPTH + 1):
        inside = {folder: folders_in(folder) for folder in folders}
        for folder, some in inside.items():
            for key, classes in read_scene_classes().items():
                if classes.matches(inner.name for inner in some):
                    return key, folder
        whole = (some for some in inside.values() if not are_parts(some))
        folders = [inner for some in whole for inner in some]
    return None, path


def are_parts(folders: list[Path]) -> bool:
    """Tell ``train``, ``test``, … from class folders."""
    return len(folders) > 1 and {folder.name.lower() for folder in folders} <= set(PARTS)


def folders_in(path: Path) -> list[Path]:
    """List the folders that are no links and not hidden, by name."""
    with os.scandir(path) as entries:
        visible = [entry for entry in entries if not entry.name.startswith((".", "__"))]
        names = sorted(entry.name for entry in visible if entry.is_dir(follow_symlinks=False))
    return [path / name for name in names]


def unwrapped(folder: Path) -> Path:
    """Go down to the class folders that an archive has in a folder of its own."""
    while len(inside := folders_in(folder)) == 1:
        folder = inside[0]
    return folder
