"""Find the real xBD on this machine or fetch a copy, and say whose it is."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from course_utils import hub
from course_utils.runtime import resolve_path
from course_utils.xbd.levels import XbdError, XbdMissingError
from course_utils.xbd.scenes import ENDINGS, find_scenes

VARIABLE = "COURSE_XBD"
_ARCHIVE_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")
_PARTS = "images_part_*"  # a zip file cut into pieces, as one mirror has it


@dataclass(frozen=True)
class XbdData:
    """The real xBD, or some scenes of it, as found; the licence has to be shown with it."""

    root: Path  # for find_scenes
    origin: str  # who named the folder: "argument", "COURSE_XBD" or "COURSE_MODELS"
    num_scenes: int
    license: str
    source: str
    notes: tuple[str, ...] = ()  # what a learner should know, say, of archives not yet extracted

    def summary(self) -> str:
        """Tell in a few lines what is there, from where and under which licence."""
        lines = [
            f"xBD: {self.num_scenes} scenes in {self.root} (by {self.origin})",
            f"source: {self.source}",
            f"licence: {self.license}",
        ]
        return "\n".join([*lines, *self.notes])


def open_xbd(root: Path | str | None = None) -> XbdData:
    """Find the real xBD; nothing is downloaded or extracted.

    The places, in order: ``root``; ``COURSE_XBD``; ``xbd`` in the folder ``COURSE_MODELS``. The
    first that is named decides: a wrong path is not passed over.

    Args:
        root: the folder above the splits, or a single split.

    Returns:
        Where it is, how many scenes it has, and its licence.

    Raises:
        XbdMissingError: no place is named, or the named one has no scene; the message says how to
            get xBD, and how to extract archives that lie there.

    Source:
        xBD (Gupta et al. 2019, arXiv 1911.09296), CC BY-NC-SA 4.0.
    """
    artifact = hub.read_lock()["xbd"]
    named = root or os.environ.get(VARIABLE) or None
    if named is None:
        try:
            found = hub.locate("xbd").root
        except hub.ArtifactError as error:
            raise XbdMissingError(f"{error}\n{_how_to_get(artifact)}") from error
        origin = "COURSE_MODELS"
    else:
        found, origin = resolve_path(named), "argument" if root else VARIABLE
    archives = _archives_in(found)
    try:
        num_scenes = len(find_scenes(found))
    except XbdMissingError as error:
        advice = _how_to_extract(found, archives) if archives else _how_to_get(artifact)
        raise XbdMissingError(f"{origin}: {error}\n{advice}") from error
    notes = (_how_to_extract(found, archives),) if archives else ()
    return XbdData(found, origin, num_scenes, artifact.license, artifact.source, notes)


def fetch_mirror(
    root: Path | str, *, mirror: str | None = None, events: Iterable[str] = ()
) -> XbdData:
    """Download xBD from a copy on the Hugging Face hub, then open it.

    The copies are made by strangers, may be incomplete and may vanish; the lock names them, best
    first. The download is large (all of train and test: about 11 GB) and goes on where it was
    stopped. By using it you accept the licence: CC BY-NC-SA 4.0, never pass the tiles on otherwise.

    Args:
        root: the folder for the files.
        mirror: a repository among the lock's mirrors of ``xbd``; the first by default.
        events: names of events to be fetched; all by default. (A copy that is one archive in pieces
            comes whole.)

    Returns:
        What `open_xbd` finds then.

    Raises:
        XbdError: a mirror that the lock does not name.
        XbdMissingError: the copy holds no scenes, or archives that still have to be extracted.
        OSError: no network, no such copy any more, a full disk; as the hub's library says it.
    """
    mirrors = dict(name.split("@") for name in hub.read_lock()["xbd"].mirrors)
    mirror = mirror or next(iter(mirrors))
    if mirror not in mirrors:
        raise XbdError(f"expected a mirror among {', '.join(mirrors)}, got {mirror!r}")
    from huggingface_hub import snapshot_download  # here, for it reads its variables at import

    names = [f"{event}_*" for event in events] or ["*"]
    patterns = [f"*/{kind}/{name}" for kind in ENDINGS for name in names]
    root = resolve_path(root)
    snapshot_download(
        repo_id=mirror,
        repo_type="dataset",
        revision=mirrors[mirror],
        local_dir=root,
        allow_patterns=[*patterns, _PARTS],
    )
    return open_xbd(root)


def _archives_in(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.is_file())
    pieces = [name for name in names if Path(name).match(_PARTS)]
    return [name for name in names if name.lower().endswith(_ARCHIVE_ENDINGS)] or pieces


def _how_to_extract(folder: Path, archives: list[str]) -> str:
    if Path(archives[0]).match(_PARTS):
        return (
            f"{len(archives)} pieces of an archive lie in {folder}; join them first "
            f"(cat {_PARTS} > xbd.zip), then extract xbd.zip with extract_archives"
        )
    return (
        f"archives lie in {folder} ({', '.join(archives)}); if they are not extracted yet: "
        f"for step in extract_archives([root / name for name in {archives}], root): ..."
    )


def _how_to_get(artifact: hub.Artifact) -> str:
    copies = [name.split("@") for name in artifact.mirrors]
    commands = [
        f"  hf download --repo-type dataset {name} --revision {revision} --local-dir FOLDER"
        for name, revision in copies
    ]
    return "\n".join(
        [
            f"xBD does not ship with the course ({artifact.license}). To get it, register at "
            "xview2.org, download the archives and extract them with extract_archives, or use a "
            "copy on the hub (fetch_mirror does that), which may vanish:",
            *commands,
            f"Then set {VARIABLE} to the folder that holds train/, test/ and so on. Notebook 06 "
            "also runs without: it shows the procedural world instead and says so.",
        ]
    )
