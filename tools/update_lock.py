"""Rewrite the lock entries of what ships in data/ from the files that are there.

python tools/update_lock.py            after new files came into data/models/<name> or data/<name>
python tools/update_lock.py --check    changes nothing, exit code 1 if the lock is out of date
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from course_utils.hub import DATA_ROOT, LOCK_FILE, list_files, sha256_of
from course_utils.runtime import write_atomically


def updated_lock(data: Path) -> dict:
    """Give the content of ``data``'s lock with files and sizes as they are in ``data``.

    An entry whose folder is not there keeps what it has: it may ship elsewhere, or not yet. A
    folder without an entry ends the program: role, license and source are for a person to write.
    """
    lock = json.loads((data / LOCK_FILE).read_text(encoding="utf-8"))
    folders = [path for path in sorted((data / "models").glob("[!.]*")) if path.is_dir()]
    folders += [path for path in sorted(data.iterdir()) if path.name in lock["artifacts"]]
    for folder in folders:
        if folder.name not in lock["artifacts"]:
            raise SystemExit(f"{LOCK_FILE} has no entry {folder.name!r}; write one, then run again")
        entry, names = lock["artifacts"][folder.name], list_files(folder)
        entry["files"] = {name: sha256_of(folder / name) for name in names}
        entry["num_bytes"] = sum((folder / name).stat().st_size for name in names)
    return lock


def main() -> None:
    """Read the options, then write or compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA_ROOT, help="folder of the lock")
    parser.add_argument("--check", action="store_true", help="change nothing, only compare")
    options = parser.parse_args()
    new = json.dumps(updated_lock(options.data), indent=2, ensure_ascii=False) + "\n"
    path = options.data / LOCK_FILE
    if path.read_text(encoding="utf-8") == new:
        print(f"{LOCK_FILE} is up to date")
    elif options.check:
        raise SystemExit(f"{LOCK_FILE} is out of date; run python tools/update_lock.py")
    else:
        write_atomically(path, new.encode())
        print(f"{LOCK_FILE} was rewritten")


if __name__ == "__main__":
    main()
