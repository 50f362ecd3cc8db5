"""Archives that nobody has to trust: looked through first, never written outside a folder."""

import errno
import lzma
import os
import re
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from io import BufferedIOBase
from pathlib import Path

from course_utils.runtime import open_atomically, sweep

FILE, FOLDER = "a file", "a folder"
CHUNK = 1 << 22
_RAR = b"Rar!\x1a\x07"
_LONGEST_NAME, _LONGEST_PATH = 250, 2048  # bytes, with separators; disks take names of 255
_UTF8 = 1 << 11  # the mark of a name in a zip file
_PADDING = 1 << 26  # bytes after the end of a tar file
_BOMB = (1 << 30, 200)  # more bytes than this and so many times the archive are no images
_TAR_STARTS = {b"\x1f\x8b": "r:gz", b"BZh": "r:bz2", b"\xfd7zXZ": "r:xz", b"]\0\0": "r:xz"}
_DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError),
    *(struct.error, UnicodeError, NotImplementedError),  # the last from a compression of Windows
)
_NO_SYSTEM_ERROR = (None, errno.EINVAL)  # from gzip and bz2; from a seek to an absurd place
_TAR_KINDS = {
    tarfile.REGTYPE: FILE,
    tarfile.AREGTYPE: FILE,
    tarfile.DIRTYPE: FOLDER,
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
}


class ArchiveError(ValueError):
    """An archive that is damaged, of another kind, or holds what must not be written."""


class ArchiveMissingError(ArchiveError, FileNotFoundError):
    """An archive that is not there."""


@dataclass(frozen=True)
class Member:
    """An entry of an archive, not to be trusted."""

    name: str
    kind: str
    size: int  # bytes when extracted, as the archive claims
    open: Callable[[], BufferedIOBase]


@contextmanager
def open_archive(path: Path) -> Iterator[tuple[BufferedIOBase, Iterator[Member]]]:
    """Open a tar file (plain, gz, bz2 or xz) or a zip file.

    Yields:
        The file, whose ``tell()`` shows progress, and the members in the order of the archive. A
        tar file has been read, checked and found whole when its last member has been passed.

    Raises:
        ArchiveMissingError: there is no such file.
        ArchiveError: it is no such archive, damaged or cut off, also while members are read in the
            block.
    """
    if not path.is_file():
        raise ArchiveMissingError(f"there is no archive {path}; give the path of a tar or zip file")
    try:
        with path.open("rb") as file:
            start = file.read(len(_RAR))
            if start == _RAR:
                raise ArchiveError(
                    f"{path} is a RAR archive, which Python cannot read; extract it first "
                    "(unrar x, 7-Zip, or tar -xf on Windows and macOS) and give the folder"
                )
            file.seek(0)
            yield file, _zip_members(file) if start[:2] == b"PK" else _tar_members(file)
    except (*_DAMAGE, OSError) as error:
        if isinstance(error, ArchiveError) or getattr(error, "errno", None) not in _NO_SYSTEM_ERROR:
            raise  # a complaint of the course's, or a full disk and the like
        reason = " ".join(str(error).split())
        raise ArchiveError(
            f"{path} is no archive, damaged or cut off ({reason}); download it again, or give a "
            "tar or zip archive; files that are extracted already are kept"
        ) from error


def _tar_members(file: BufferedIOBase) -> Iterator[Member]:
    start = file.read(max(map(len, _TAR_STARTS)))
    file.seek(0)
    mode = next((mode for begin, mode in _TAR_STARTS.items() if start.startswith(begin)), "r:")
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for info in archive:
            kind = "a sparse file" if info.issparse() else _TAR_KINDS.get(info.type, "unknown")
            yield Member(info.name, kind, info.size, partial(archive.extractfile, info))
        # the library takes a missing, cut or broken header for the end: look what is really there
        if archive.fileobj.tell() - archive.offset < tarfile.BLOCKSIZE:
            raise tarfile.ReadError("it ends without the mark that closes a tar file")
        end = archive.fileobj.tell()
        while chunk := archive.fileobj.read(1 << 20):  # to the end, where gz has its checksum
            if chunk.strip(b"\0"):
                raise tarfile.ReadError("there is a broken header in its middle")
            if archive.fileobj.tell() - end > _PADDING:
                raise tarfile.ReadError("zeros without end follow it")


def _zip_members(file: BufferedIOBase) -> Iterator[Member]:
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            name = _zip_name(info)
            kind = FOLDER if name.endswith("/") else FILE
            if stat.S_ISLNK(info.external_attr >> 16):
                kind = "a symbolic link"
            elif info.flag_bits & 1:
                kind = "encrypted"
            yield Member(name, kind, info.file_size, partial(archive.open, info))


def _zip_name(info: zipfile.ZipInfo) -> str:
    """Read a name as its maker meant it: Windows has backslashes, Macs do not mark their UTF-8."""
    name = info.filename.replace("\\", "/")
    if not info.flag_bits & _UTF8:
        with suppress(UnicodeError):
            return name.encode("cp437").decode("utf-8")
    return name


def safe_parts(member: Member, archive: str) -> tuple[str, ...]:
    """Take the name of a member apart, or refuse the member.

    Args:
        member: an entry of an archive.
        archive: name of the archive's file, for the message.

    Returns:
        Folders and file name; together they stay below any folder.

    Raises:
        ArchiveError: anything but a file or folder, a name that leads out of its folder or that no
            disk takes.
    """
    if member.kind not in (FILE, FOLDER) or member.size < 0:
        kind = member.kind if member.size >= 0 else f"of {member.size} bytes"
        raise ArchiveError(refusal(archive, member, f"is {kind}"))
    parts = [part for part in member.name.split("/") if part not in ("", ".")]
    is_absolute = member.name.startswith("/") or re.match(r"[A-Za-z]:", member.name)
    if is_absolute or ".." in parts or "\\" in member.name or "\0" in member.name:
        raise ArchiveError(refusal(archive, member, "would be written outside the folder"))
    lengths = [len(os.fsencode(part)) + 1 for part in parts]
    if max(lengths, default=0) > _LONGEST_NAME or sum(lengths) > _LONGEST_PATH:
        raise ArchiveError(refusal(archive, member, "is a name too long for a disk"))
    return tuple(parts)


def refusal(archive: str, member: Member, reason: str) -> str:
    """Say why a member is refused; all are looked at before the first is written."""
    return f"{archive}: {member.name!r} {reason}; nothing was extracted from any archive"


def require_room(root: Path, files: Iterable[tuple[Path, int]]) -> None:
    """Check that the disk of a folder, which need not exist yet, has room for what is missing.

    Args:
        root: the folder.
        files: path and bytes of each file; those that are there in this size need no room.

    Raises:
        ArchiveError: it has not.
    """
    needed = sum(size for path, size in files if not is_there(path, size))
    place = next(folder for folder in (root, *root.parents) if folder.is_dir())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise ArchiveError(
            f"the archives hold {needed / 1e9:,.1f} GB that are not in {root} yet, but only "
            f"{free / 1e9:,.1f} GB are free there; free some space, give another root, or fewer "
            "archives"
        )


def is_there(path: Path, size: int) -> bool:
    """Tell whether a file is there in the right size, so that it need not be extracted again."""
    return path.is_file() and path.stat().st_size == size


def extract(
    archive: Path, place_of: Callable[[Member], Path | None]
) -> Iterator[tuple[Path, int, bool]]:
    """Write the members that have a place; a file that is there in the right size is kept.

    Args:
        archive: a tar or zip file whose members have all been looked at before.
        place_of: where a member goes, made with `safe_parts`; None leaves it out.

    Yields:
        The path of each file that is now there, its bytes, and whether it was written.
    """
    swept: set[Path] = set()
    with open_archive(archive) as (_, members):
        for member in members:
            path = place_of(member)
            if path:
                if path.parent not in swept:
                    sweep(path.parent)
                    swept.add(path.parent)
                is_new = not is_there(path, member.size)
                if is_new:
                    with member.open() as source:
                        write_member(source, path, member.size)
                yield path, member.size, is_new


def write_member(source: BufferedIOBase, path: Path, size: int) -> None:
    """Copy to a hidden file beside ``path``, then give it its name in one step.

    Raises:
        ArchiveError: the archive does not give as many bytes as it said.
        OSError: the file cannot be written.
    """
    try:
        with open_atomically(path) as file:
            shutil.copyfileobj(source, file, CHUNK)
            if file.tell() != size:
                reason = "has not the size that its archive says; download it again"
                raise ArchiveError(f"{path} {reason}")
    except OSError as error:
        if error.errno is None:  # the archive cannot be read
            raise
        advice = "free some space" if error.errno == errno.ENOSPC else "check the folder"
        reason = f"could not extract the file ({error.strerror or error}); {advice} and run again"
        raise OSError(error.errno, f"{reason}: what was extracted is kept", str(path)) from error


def extract_files(archive: Path, root: Path) -> int:
    """Extract the files of an archive into the archive's own folders.

    Every name is looked at before the first file is written. A file that is there in the right
    size is kept.

    Args:
        archive: a tar or zip file.
        root: the folder to write to, made if missing.

    Returns:
        How many files of the archive are now there.

    Raises:
        ArchiveError: see `open_archive` and `safe_parts`; or there is no room, or no file, or far
            more than such an archive can hold of images.
        OSError: a file cannot be written.
    """

    def place_of(member: Member) -> Path | None:
        parts = safe_parts(member, archive.name)
        return root.joinpath(*parts) if member.kind == FILE and parts else None

    found, total, least, times = [], 0, *_BOMB
    with open_archive(archive) as (_, members):
        for member in members:
            total += member.size
            if total > max(least, times * archive.stat().st_size):
                reason = f"and what is before it have {total / 1e9:,.1f} GB, more than images can"
                raise ArchiveError(refusal(archive.name, member, reason))
            if path := place_of(member):
                found.append((path, member.size))
    if not found:
        raise ArchiveError(f"{archive} holds no files; give another archive")
    folders = {folder for path, _ in found for folder in path.parents}
    if both := [path for path, _ in found if path in folders]:
        name = both[0].relative_to(root).as_posix()
        raise ArchiveError(f"{archive} holds {name!r} as a file and as a folder; pack it anew")
    require_room(root, found)
    return sum(1 for _ in extract(archive, place_of))
