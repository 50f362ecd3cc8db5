"""What classes are called: by their folders, by a table, and by the data sets that people know."""

import csv
import io
import os
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from pathlib import Path

from course_utils.images import read_file
from course_utils.runtime import data_root

CLASSES_FILE = "classes.csv"
TITLES = {
    "resisc45": "NWPU-RESISC45",
    "eurosat": "EuroSAT",
    "ucmerced": "UC Merced Land Use",
    "aid": "AID",
}


@dataclass(frozen=True)
class SceneClasses:
    """The classes of a data set in the order of its labels, under their official names."""

    key: str  # its name in the artifact lock
    class_names: tuple[str, ...]
    phrases: tuple[str, ...]  # the words for a prompt
    num_images: int  # of the complete data set
    other_names: tuple[tuple[str, int], ...]  # of a class in some copies, with its label

    @property
    def title(self) -> str:
        """Name the data set as its makers do."""
        return TITLES[self.key]

    def labels_of(self, names: Sequence[str], *, where: str) -> tuple[int, ...]:
        """Match names to classes, whatever their order, spaces, underscores and capitals.

        Args:
            names: of classes, as a folder or a file of the data set has them.
            where: what has these names, for the message.

        Returns:
            The official label of each name, 0-based.

        Raises:
            ValueError: they are not exactly the classes of this data set.
        """
        labels = [self._labels.get(_letters(name)) for name in names]
        unknown = [name for name, label in zip(names, labels, strict=True) if label is None]
        missing = [name for i, name in enumerate(self.class_names) if i not in labels]
        if unknown or missing or len(set(labels)) < len(labels):
            lists = (("missing", missing), ("unknown", unknown))
            found = [f"{what}: {', '.join(some)}" for what, some in lists if some]
            raise ValueError(
                f"{where} has not the {len(self.class_names)} classes of {self.title} "
                f"({'; '.join(found) or 'a class occurs twice'}); give the data set that the "
                "name says, or a folder of class folders under no such name"
            )
        return tuple(labels)

    def matches(self, names: Iterable[str]) -> bool:
        """Tell whether these are the names of all classes and nothing else."""
        labels = [self._labels.get(_letters(name)) for name in names]
        return None not in labels and sorted(labels) == list(range(len(self.class_names)))

    @property
    def _labels(self) -> dict[str, int]:
        official = ((name, label) for label, name in enumerate(self.class_names))
        return {_letters(name): label for name, label in (*official, *self.other_names)}


def _letters(name: str) -> str:
    return "".join(sign for sign in name.lower() if sign.isalnum())


@cache
def read_scene_classes() -> dict[str, SceneClasses]:
    """Read the classes of RESISC45, EuroSAT, UC Merced and AID, by their names in the lock.

    The words of a class are its name taken apart; where the name has no joints
    (``baseballdiamond``) the table says them.

    Source:
        NWPU-RESISC45: Cheng et al. 2017 (arXiv:1703.00121). EuroSAT: Helber et al. 2019
        (arXiv:1709.00029), MIT. UC Merced: Yang and Newsam 2010, ACM SIGSPATIAL GIS. AID: Xia et
        al. 2017 (arXiv:1608.05167). The table is ``data/scene_classes.csv``.
    """
    with open(data_root() / "scene_classes.csv", encoding="utf-8", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: int(row["label"]))
    return {key: _read(key, [row for row in rows if row["data"] == key]) for key in TITLES}


def _read(key: str, rows: list[dict[str, str]]) -> SceneClasses:
    others = [(row["other_names"], int(row["label"])) for row in rows if row["other_names"]]
    return SceneClasses(
        key=key,
        class_names=tuple(row["name"] for row in rows),
        phrases=tuple(row["phrase"] for row in rows),
        num_images=sum(int(row["num_images"]) for row in rows),
        other_names=tuple(others),
    )


def read_phrases(path: Path, names: Sequence[str]) -> tuple[str, ...]:
    """Read the words that stand for classes in a prompt.

    Args:
        path: ``classes.csv`` in UTF-8 with the columns ``name`` (of a class) and ``phrase``, one
            row for every class; without it the words come from the names (`phrase_from_name`).
        names: of the classes, composed (`composed`).

    Raises:
        ValueError: the file is unreadable, has a row with too many columns, names a class twice or
            one that is none, or forgets one; or two classes have the same phrase and no prompt
            could tell them apart.
    """
    phrases = dict(zip(names, map(phrase_from_name, names), strict=True))
    if os.path.lexists(path):  # a link that leads nowhere is no reason to forget the words
        phrases = _listed_phrases(path, names)
    for phrase, count in Counter(phrases.values()).items():
        if count > 1:
            same = ", ".join(name for name in names if phrases[name] == phrase)
            raise ValueError(f"{path}: give {same} different phrases, not {phrase!r}")
    return tuple(phrases[name] for name in names)


def choose_table(folders: Collection[Path], files: Iterable[Path]) -> Path | None:
    """Choose the ``classes.csv``, in any case, among the files of some folders; None without one.

    Raises:
        ValueError: there are several that differ, or something else of that name.
    """
    named = (path for path in files if path.name.lower() == CLASSES_FILE)
    tables = [path for path in named if path.parent in folders]
    for folder in set(folders) - {path.parent for path in tables}:
        if os.path.lexists(folder / CLASSES_FILE):
            raise ValueError(
                f"{folder / CLASSES_FILE} cannot be read (it is a folder, or a link that leads out "
                "of the folder); replace it"
            )
    if len(tables) > 1 and len(set(map(_content, tables))) > 1:
        raise ValueError(f"{' and '.join(map(str, tables))} differ; keep the one that counts")
    return next(iter(tables), None)


def _content(path: Path) -> bytes:
    try:
        return read_file(path)
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); replace it") from error


def _rows_of(path: Path) -> list[tuple[int, list[str]]]:
    """Read the rows of a table that are not empty, each with the number of its first line."""
    rows, line = [], 1
    try:
        content = _content(path).decode("utf-8-sig")  # Excel writes a byte order mark
        reader = csv.reader(io.StringIO(content, newline=""), strict=True, skipinitialspace=True)
        for row in reader:
            rows.append((line, [cell.strip() for cell in row]))
            line = reader.line_num + 1
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"{path} is no CSV file in UTF-8 ({error}, from line {line}); save it as such"
        ) from error
    return [(line, cells) for line, cells in rows if any(cells)]


def _listed_phrases(path: Path, names: Sequence[str]) -> dict[str, str]:
    (_, first), *rows = _rows_of(path) or [(1, None)]
    columns = [cell.lower() for cell in first or ()]
    if (columns.count("name"), columns.count("phrase")) != (1, 1):
        raise ValueError(
            f"{path}: expected columns name,phrase, got {first}; write them into the first line, "
            "with a comma between"
        )
    listed = []
    for line, cells in rows:
        if any(cell for column, cell in zip_longest(columns, cells, fillvalue="") if not column):
            raise ValueError(
                f"{path}, line {line}: more columns than in the first line; put a phrase that "
                'has a comma into quotes ("tanks, round")'
            )
        row = dict(zip_longest(columns, cells, fillvalue=""))
        listed.append((composed(row["name"]), " ".join(row["phrase"].split())))
    counts, phrases = Counter(name for name, _ in listed), dict(listed)
    for problem, wrong in (
        ("is listed twice", {name for name, count in counts.items() if count > 1}),
        ("is no folder here", set(phrases) - set(names)),
        ("is not listed", set(names) - set(phrases)),
        ("has no phrase", {name for name, phrase in phrases.items() if not phrase}),
    ):
        if wrong:
            raise ValueError(f"{path}: {', '.join(map(repr, sorted(wrong)))} {problem}")
    return phrases


def composed(name: str) -> str:
    """Write a name in one way: macOS has "é" in two characters, and old systems as no UTF-8."""
    name = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return unicodedata.normalize("NFC", name)


def phrase_from_name(name: str) -> str:
    """Turn a folder name into words: ``AnnualCrop`` into "annual crop", ``tank_2`` into "tank 2".

    Words end at separators, at a change to a capital and between letters and digits. An acronym
    keeps its capitals ("BBQArea" gives "BBQ area") unless the whole name is in capitals.
    """
    name = composed(name)
    spaced = "".join(c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in name)
    letters = ""
    for before, c, after in zip(" " + spaced, spaced, spaced[1:] + " ", strict=False):
        starts_word = c.isupper() and (before.islower() or (before.isupper() and after.islower()))
        is_number_edge = (before.isdigit() and c.isalpha()) or (before.isalpha() and c.isdigit())
        letters += f" {c}" if starts_word or is_number_edge else c
    keeps_acronyms = not name.isupper()
    words = (
        word if keeps_acronyms and word.isupper() and len(word) > 1 else word.lower()
        for word in letters.split()
    )
    return " ".join(words) or name
