"""Where the files of an archive of xBD belong."""

import re
from pathlib import PurePosixPath

from course_utils.examples.archives import FOLDER, ArchiveError, Member, refusal, safe_parts
from course_utils.xbd.scenes import ENDINGS, FILE_NAME, SPLITS

_SPLIT_NAMES = {**{split: split for split in SPLITS}, "tier1": "train", "tier": "tier3"}
_SPLIT_OF_ARCHIVE = re.compile(r"(train|tier3|tier1|test|hold)(?![A-Za-z0-9])")


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
        ArchiveError: anything but a file or folder, or a name that leads out of the root.
    """
    parts = safe_parts(member, archive)
    if member.kind == FOLDER:
        return ""
    match = FILE_NAME.fullmatch(parts[-1]) if len(parts) > 1 else None
    if match is None or ENDINGS.get(parts[-2]) != match[4]:
        return None
    split = _SPLIT_NAMES.get(parts[-3]) if len(parts) > 2 else None
    split = split or _split_of(archive)
    if split is None:
        advice = f"rename the archive so that its name begins with one of {', '.join(SPLITS)}"
        raise ArchiveError(refusal(archive, member, f"is in no split; {advice}"))
    return str(PurePosixPath(split, parts[-2], parts[-1]))


def _split_of(archive: str) -> str | None:
    match = _SPLIT_OF_ARCHIVE.match(archive.lower().replace("_", "-"))
    return _SPLIT_NAMES[match[1]] if match else None
