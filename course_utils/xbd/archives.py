"""The archives of the xView2 challenge: checked, then extracted so that a stop loses nothing."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from course_utils.examples.archives import (
    CHUNK,
    ArchiveError,
    ArchiveMissingError,
    Member,
    open_archive,
    require_room,
    write_member,
)
from course_utils.xbd.levels import XbdError, XbdMissingError
from course_utils.xbd.members import destination

KNOWN_MD5 = {  # as torchgeo 0.8.1 lists them
    "train_images_labels_targets.tar.gz": "a20ebbfb7eb3452785b63ad02ffd1e16",
    "test_images_labels_targets.tar.gz": "1b39c47e05d1319c17cc8763cee6fe0c",
}


@dataclass(frozen=True)
class ExtractStep:
    """One step of `extract_archives`; ``done`` of ``total`` bytes of this archive and stage."""

    archive: str  # name of the file
    stage: Literal["hashing", "checking", "extracting"]
    done: int
    total: int
    path: str = ""  # the file, below the root
    action: Literal["", "written", "kept", "ignored"] = ""  # kept: it was there already


@dataclass(frozen=True)
class _Plan:
    """What an archive holds, known before anything is written."""

    archive: Path
    files: dict[str, int]  # destination below the root -> bytes
    missing: dict[str, int]  # those that are not there yet in this size


def extract_archives(
    archives: Iterable[Path | str],
    root: Path | str,
    *,
    checksums: Mapping[str, str] = KNOWN_MD5,
    skip_unknown: bool = False,
) -> Iterator[ExtractStep]:
    """Check archives of xBD, then extract their files into the official layout.

    Everything is looked at before anything is written: the checksums of archives that have one,
    that each archive is whole, and every name in it. A file appears under its name only when it is
    complete, and a file that is there in the right size is kept, so a stopped run goes on where it
    was. Archives are left as they are.

    Args:
        archives: tar files (plain, gz, bz2, xz) or zip files.
        root: the folder above the splits, made if missing.
        checksums: MD5 by file name; archives with other names are not compared. {} for none.
        skip_unknown: leave out files that are none of xBD's, instead of refusing the archive. In an
            archive whose checksum was right they are left out in any case.

    Yields:
        A step per chunk hashed, member checked and file extracted.

    Raises:
        XbdMissingError: an archive is not there.
        XbdError: a wrong checksum; an archive that is damaged or cut off; a member that is a link,
            a device, a pipe, leads out of the root, occurs twice or is none of xBD's; more bytes
            than the disk has room for.
        OSError: a file cannot be written.

    Source:
        xBD (Gupta et al. 2019, arXiv 1911.09296), xview2.org, CC BY-NC-SA 4.0: for non-commercial
        use, under the same licence, with attribution.
    """
    paths = [Path(path).expanduser().absolute() for path in archives]
    root = Path(root).expanduser().absolute()
    try:
        yield from _extract_all(paths, root, checksums, skip_unknown)
    except ArchiveMissingError as error:
        raise XbdMissingError(str(error)) from error
    except ArchiveError as error:
        raise XbdError(str(error)) from error


def _extract_all(
    paths: list[Path], root: Path, checksums: Mapping[str, str], skip_unknown: bool
) -> Iterator[ExtractStep]:
    plans: list[_Plan] = []
    seen: dict[str, str] = {}
    for path in paths:
        is_known = path.name in checksums
        if is_known:
            yield from _compare(path, checksums[path.name])
        plan = yield from _check(path, root, seen, skip_unknown or is_known)
        plans.append(plan)
    require_room(root, sum(sum(plan.missing.values()) for plan in plans))
    for plan in plans:
        yield from _extract(plan, root)


def _compare(path: Path, expected: str) -> Iterator[ExtractStep]:
    if not path.is_file():
        raise XbdMissingError(f"there is no archive {path}; give the path of a tar or zip file")
    digest, done, total = hashlib.md5(usedforsecurity=False), 0, path.stat().st_size
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            done += len(chunk)
            yield ExtractStep(path.name, "hashing", done, total)
    if digest.hexdigest() != expected:
        raise XbdError(
            f"{path} is not the known archive (MD5: expected {expected}, found "
            f"{digest.hexdigest()}); download it again, or give checksums={{}} if you trust it"
        )


def _check(path: Path, root: Path, seen: dict[str, str], skip_unknown: bool) -> Iterator:
    """Look at every member; yields steps and returns the `_Plan`."""
    files: dict[str, int] = {}
    with open_archive(path) as (file, members):
        total = path.stat().st_size
        for member in members:
            place = destination(member, path.name)
            if place:
                _require_first(place, member, path.name, seen)
                files[place] = member.size
            elif place is None:
                _require_skipped(member, path.name, skip_unknown)
            action = "ignored" if place is None else ""
            yield ExtractStep(path.name, "checking", min(file.tell(), total), total, action=action)
    if not files:
        raise XbdError(f"{path} holds no file of xBD; give an archive of the xView2 challenge")
    missing = {place: size for place, size in files.items() if not _is_there(root / place, size)}
    return _Plan(path, files, missing)


def _require_first(place: str, member: Member, archive: str, seen: dict[str, str]) -> None:
    if place in seen:
        raise XbdError(
            f"{archive}: {member.name!r} occurs a second time (first in {seen[place]}); nothing "
            "was extracted from any archive; give each archive once, or download it again"
        )
    seen[place] = archive


def _require_skipped(member: Member, archive: str, skip_unknown: bool) -> None:
    if not skip_unknown:
        raise XbdError(
            f"{archive}: {member.name!r} is not xBD's layout, <split>/images|labels|targets/"
            "<event>_<8 digits>_<pre|post>_disaster.<png|json>; nothing was extracted from any "
            "archive; if you trust it, leave such files out with skip_unknown=True"
        )


def _is_there(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _extract(plan: _Plan, root: Path) -> Iterator[ExtractStep]:
    name, total, done = plan.archive.name, sum(plan.files.values()), 0
    with open_archive(plan.archive) as (_, members):
        for member in members:
            place = destination(member, name)
            if not place:
                continue
            action = "written" if place in plan.missing else "kept"
            if action == "written":
                with member.open() as source:
                    write_member(source, root / place, member.size)
            done += member.size
            yield ExtractStep(name, "extracting", done, total, place, action)
