"""The classes of the scene data sets that the course knows by name."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from course_utils.runtime import data_root

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
        rows = list(csv.DictReader(file))
    return {key: _read(key, [row for row in rows if row["data"] == key]) for key in TITLES}


def _read(key: str, rows: list[dict[str, str]]) -> SceneClasses:
    rows.sort(key=lambda row: int(row["label"]))
    others = [(row["other_names"], int(row["label"])) for row in rows if row["other_names"]]
    return SceneClasses(
        key=key,
        class_names=tuple(row["name"] for row in rows),
        phrases=tuple(row["phrase"] for row in rows),
        num_images=sum(int(row["num_images"]) for row in rows),
        other_names=tuple(others),
    )
