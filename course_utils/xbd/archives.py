"""The archives of the xView2 challenge: checked, then extracted so that a stop loses nothing."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from course_utils.archives import (
    CHUNK,
    FILE,
    ArchiveError,
    ArchiveMissingError,
    Member,
    extract,
    open_archive,
    refusal,
    require_room,
    safe_parts,
)
from course_utils.xbd.labels import XbdError, XbdMissingError
from course_utils.xbd.scenes import ENDINGS, FILE_NAME, SPLITS

KNOWN_MD5 = {  # as torchgeo 0.8.1 lists them
    "train_images_labels_targets.tar.gz": "a20ebbfb7eb3452785b63ad02ffd1e16",
    "test_images_labels_targets.tar.gz": "1b39c47e05d1319c17cc8763cee6fe0c",
}
_SPLIT_NAMES = {**{split: split for split in SPLITS}, "tier1": "train", "tier": "tier3"}
_SPLIT_OF_ARCHIVE = re.compile(r"(train|tier3|tier1|test|hold)(?![A-Za-z0-9])")


@dataclass(frozen=True)
class ExtractStep:
    """One step of `extract_archives`; ``done`` of ``total`` bytes of this archive and stage."""

    archive: str  # name of the file
    stage: Literal["hashing", "checking", "extracting"]
    done: int
    total: int
    path: str = ""  # the file, below the root
    action: Literal["", "written", "kept", "ignored"] = ""  # kept: it was there already


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
    found: dict[str, tuple[Path, int]] = {}  # destination below the root -> archive, bytes
    try:
        for path in paths:
            if path.name in checksums:
                yield from _compare(path, checksums[path.name])
            yield from _check(path, found, skip_unknown or path.name in checksums)
        require_room(root, [(root / place, size) for place, (_, size) in found.items()])
        for path in paths:
            yield from _extract(path, root, sum(s for owner, s in found.values() if owner == path))
    except ArchiveMissingError as error:
        raise XbdMissingError(str(error)) from error
    except ArchiveError as error:
        raise XbdError(str(error)) from error


def _compare(path: Path, expected: str) -> Iterator[ExtractStep]:
    with open_archive(path) as (file, _):
        digest, total = hashlib.md5(usedforsecurity=False), path.stat().st_size
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            yield ExtractStep(path.name, "hashing", file.tell(), total)
    if digest.hexdigest() != expected:
        raise ArchiveError(
            f"{path} is not the known archive (MD5: expected {expected}, found "
            f"{digest.hexdigest()}); download it again, or give checksums={{}} if you trust it"
        )


def _check(
    path: Path, found: dict[str, tuple[Path, int]], skip_unknown: bool
) -> Iterator[ExtractStep]:
    """Look at every member and enter its file into ``found``."""
    with open_archive(path) as (file, members):
        total = path.stat().st_size
        for member in members:
            place = _destination(member, path.name)
            is_unknown = place is None and member.kind == FILE
            if is_unknown and not skip_unknown:
                reason = (
                    "is not xBD's layout, <split>/images|labels|targets/<event>_<8 digits>_"
                    "<pre|post>_disaster.<png|json>; leave it out with skip_unknown=True"
                )
                raise ArchiveError(refusal(path.name, member, reason))
            if place in found:
                reason = f"occurs a second time (first in {found[place][0].name})"
                raise ArchiveError(refusal(path.name, member, reason))
            if place:
                found[place] = path, member.size
            action = "ignored" if is_unknown else ""
            yield ExtractStep(path.name, "checking", min(file.tell(), total), total, action=action)
    if path not in {owner for owner, _ in found.values()}:
        raise ArchiveError(f"{path} holds no file of xBD; give an archive of the xView2 challenge")


def _destination(member: Member, archive: str) -> str | None:
    """Say where a member belongs below the root; None for a folder or a file none of xBD's.

    Folders above ``images``, ``labels`` and ``targets`` may be there or not; without that of the
    split, the name of the archive says it, such as ``train_images_labels_targets.tar.gz``.
    """
    parts = safe_parts(member, archive)
    match = FILE_NAME.fullmatch(parts[-1]) if member.kind == FILE and len(parts) > 1 else None
    if match is None or match[4] not in ENDINGS.get(parts[-2], ()):
        return None
    hint = _SPLIT_OF_ARCHIVE.match(archive.lower().replace("_", "-"))
    split = _SPLIT_NAMES.get(parts[-3]) if len(parts) > 2 else None
    split = split or (hint and _SPLIT_NAMES[hint[1]])
    if not split:
        advice = f"rename the archive so that its name begins with one of {', '.join(SPLITS)}"
        raise ArchiveError(refusal(archive, member, f"is in no split; {advice}"))
    return "/".join((split, *parts[-2:]))


def _extract(path: Path, root: Path, total: int) -> Iterator[ExtractStep]:
    def place_of(member: Member) -> Path | None:
        place = _destination(member, path.name)
        return root / place if place else None

    done = 0
    for file, size, is_new in extract(path, place_of):
        done += size
        name = file.relative_to(root).as_posix()
        action = "written" if is_new else "kept"
        yield ExtractStep(path.name, "extracting", done, total, name, action)
