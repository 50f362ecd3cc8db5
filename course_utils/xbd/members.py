"""What is inside an archive of xBD, and whether it may be written to disk."""

import errno
import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BufferedIOBase
from pathlib import Path, PurePosixPath

from course_utils.xbd.levels import XbdError, XbdMissingError
from course_utils.xbd.scenes import ENDINGS, FILE_NAME, SPLITS

FILE, FOLDER = "a file", "a folder"
_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError)
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
_SPLIT_NAMES = {**{split: split for split in SPLITS}, "tier1": "train", "tier": "tier3"}
_SPLIT_OF_ARCHIVE = re.compile(r"(train|tier3|tier1|test|hold)(?![A-Za-z0-9])")


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
        XbdMissingError: there is no such file.
        XbdError: it is no archive, damaged or cut off, also while members are read in the block.
    """
    if not path.is_file():
        raise XbdMissingError(f"there is no archive {path}; give the path of a tar or zip file")
    try:
        with path.open("rb") as file:
            read = _zip_members if file.read(2) == b"PK" else _tar_members
            file.seek(0)
            yield file, read(file)
    except (*_DAMAGE, OSError) as error:
        if isinstance(error, XbdError) or getattr(error, "errno", None) not in _NO_SYSTEM_ERROR:
            raise  # a complaint of ours, or a full disk and the like
        reason = " ".join(str(error).split())
        raise XbdError(
            f"{path} is no archive, damaged or cut off ({reason}); download it again, files that "
            "are extracted already are kept"
        ) from error


def _tar_members(file: BufferedIOBase) -> Iterator[Member]:
    with tarfile.open(fileobj=file, mode="r:*") as archive:
        for info in archive:
            kind = "a sparse file" if info.issparse() else _TAR_KINDS.get(info.type, "unknown")
            yield Member(info.name, kind, info.size, partial(archive.extractfile, info))
        # the library takes a missing, cut or broken header for the end: look what is really there
        if archive.fileobj.tell() - archive.offset < tarfile.BLOCKSIZE:
            raise tarfile.ReadError("it ends without the mark that closes a tar file")
        while chunk := archive.fileobj.read(1 << 20):  # to the end, where gz has its checksum
            if chunk.strip(b"\0"):
                raise tarfile.ReadError("there is a broken header in its middle")


def _zip_members(file: BufferedIOBase) -> Iterator[Member]:
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            kind = FOLDER if info.is_dir() else FILE
            if stat.S_ISLNK(info.external_attr >> 16):
                kind = "a symbolic link"
            elif info.flag_bits & 1:
                kind = "encrypted"
            yield Member(info.filename, kind, info.file_size, partial(archive.open, info))


def destination(member: Member, archive: str) -> str | None:
    """Say where a member belongs below the root, or refuse it.

    Folders above ``images``, ``labels`` and ``targets`` may be there or not; without that of the
    split, the name of the archive says it, such as ``train_images_labels_targets.tar.gz``.

    Args:
        member: an entry of the archive.
        archive: name of the archive's file.

    Returns:
        ``<split>/<kind>/<file>``; "" for a folder, which needs no writing; None for a file that is
        none of xBD's.

    Raises:
        XbdError: anything but a file or folder, or a name that leads out of the root.
    """
    if member.kind not in (FILE, FOLDER) or member.size < 0:
        kind = member.kind if member.size >= 0 else f"of {member.size} bytes"
        raise XbdError(_refusal(archive, member, f"is {kind}"))
    parts = [part for part in member.name.split("/") if part not in ("", ".")]
    is_absolute = member.name.startswith("/") or re.match(r"[A-Za-z]:", member.name)
    if is_absolute or ".." in parts or "\\" in member.name or "\0" in member.name:
        raise XbdError(_refusal(archive, member, "would be written outside the folder"))
    if member.kind == FOLDER:
        return ""
    match = FILE_NAME.fullmatch(parts[-1]) if len(parts) > 1 else None
    if match is None or ENDINGS.get(parts[-2]) != match[4]:
        return None
    split = _SPLIT_NAMES.get(parts[-3]) if len(parts) > 2 else None
    split = split or _split_of(archive)
    if split is None:
        advice = f"rename the archive so that its name begins with one of {', '.join(SPLITS)}"
        raise XbdError(_refusal(archive, member, f"is in no split; {advice}"))
    return str(PurePosixPath(split, parts[-2], parts[-1]))


def _split_of(archive: str) -> str | None:
    match = _SPLIT_OF_ARCHIVE.match(archive.lower().replace("_", "-"))
    return _SPLIT_NAMES[match[1]] if match else None


def _refusal(archive: str, member: Member, reason: str) -> str:
    return f"{archive}: {member.name!r} {reason}; nothing was extracted from any archive"
