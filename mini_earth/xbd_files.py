"""Write rendered disasters in xBD's layout, for any program that reads xBD."""

import json
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mini_earth.events import ENDINGS, SPLITS
from mini_earth.scene import VERSION
from mini_earth.xbd_pair import encode_pair
from mini_earth.xbd_plan import XbdTile, plan_tiles

SETTINGS_FILE, README_FILE = "mini_earth.json", "README.txt"
README = """\
Nothing here is a photograph. Every image, building, label and date was invented and rendered by
the course's procedural world (mini_earth, write_xbd) in the file layout of xBD.

The names of the events, their places and their days are real; what the tiles show is not. Never
mix these files with real ones, and call any result on them a result on a rendered world. In the
label files the sensor is MINI_EARTH_SATELLITE.

xBD itself: Gupta et al. 2019, arXiv 1911.09296, CC BY-NC-SA 4.0.
"""


@dataclass(frozen=True)
class XbdPair:
    """The files of one pair; there are no targets in tier3."""

    name: str  # "guatemala-volcano_00000008"
    event: str
    split: str
    pre_image: Path
    post_image: Path
    pre_label: Path
    post_label: Path
    pre_target: Path | None = None
    post_target: Path | None = None


@dataclass(frozen=True)
class XbdStep:
    """One pair that is on disk now: its files, and the how manieth of how many it is.

    ``was_there`` tells that an earlier run wrote it.
    """

    pair: XbdPair
    num_done: int
    num_pairs: int
    was_there: bool


def write_xbd(
    root: Path | str,
    *,
    events: Iterable[str] | None = None,
    num_pairs: int | Mapping[str, int] = 4,
    splits: Iterable[str] = SPLITS,
    size: int = 1024,
    meters_per_pixel: float = 0.5,
    seed: int = 0,
) -> list[XbdPair]:
    """Render pairs from before and after disasters and write them as xBD would.

    Each event lies at its real place and day, in the style of that region seen by a satellite.
    Tiles come in threes of neighbours, the threes at least 2 km apart; some show no building,
    some were not reached by the disaster. Splits are those of the real event, in its shares;
    tier3 has no targets, as in xBD. A target is 0 where nothing is, 1 for a building before the
    event, 1 to 4 for its damage after it; a building under a cloud is ``un-classified`` and 0 in
    the target from after the event, as in the official ones.

    A run that was stopped goes on where it was; pairs that are there stay. Several processes may
    write different events into one folder.

    Args:
        root: the folder above the splits; made if it is not there.
        events: names of xBD's events; by default all 19, or those of the mapping ``num_pairs``.
        num_pairs: how many pairs an event gets, or a number by event. A pair of 1024 pixels takes
            4 MB and one to two seconds.
        splits: write only these of train, tier3, test and hold.
        size: side of a tile in pixels; xBD has 1024.
        meters_per_pixel: size of a pixel; 0.3 to 0.6 in xBD. (``gsd`` in the label files is that
            of the multispectral bands, four times as coarse, as in xBD.)
        seed: the same seed gives the same files.

    Returns:
        What was asked for, by name; `xbd.find_scenes` lists the same.

    Raises:
        ValueError: an unknown event or split, a number out of range, or a folder that holds
            something else: real scenes, or a world of other settings.
        OSError: the disk is full or the folder read-only; what was written stays whole.

    Source:
        Gupta et al. 2019 (arXiv:1911.09296) and the label files of the xView2 challenge. Official
        targets have 0 at un-classified buildings: DIUx-xView/xView2_baseline, issue 28, where they
        were drawn anew from the labels and compared.
    """
    steps = write_xbd_steps(
        root,
        events=events,
        num_pairs=num_pairs,
        splits=splits,
        size=size,
        meters_per_pixel=meters_per_pixel,
        seed=seed,
    )
    return sorted((step.pair for step in steps), key=lambda pair: pair.name)


def write_xbd_steps(
    root: Path | str,
    *,
    events: Iterable[str] | None = None,
    num_pairs: int | Mapping[str, int] = 4,
    splits: Iterable[str] = SPLITS,
    size: int = 1024,
    meters_per_pixel: float = 0.5,
    seed: int = 0,
) -> Iterator[XbdStep]:
    """Write as `write_xbd` does, pair by pair: one record for each, event by event in turn.

    Arguments are checked at the call, files are written as the records are asked for.

    Raises:
        ValueError: see `write_xbd`.
        OSError: see `write_xbd`.
    """
    extent = size * meters_per_pixel
    if not 16 <= size <= 1024:
        raise ValueError(f"size is {size} pixels; give 16 to 1024")
    if not 20.0 <= extent <= 3000.0:
        raise ValueError(
            f"{size} pixels of meters_per_pixel={meters_per_pixel:g} make {extent:g} m; a tile can "
            "have 20 to 3000 m"
        )
    tiles = plan_tiles(events, num_pairs, splits=splits, extent=extent, seed=seed)
    root = Path(root).expanduser().absolute()
    _claim(root, {"size": size, "meters_per_pixel": meters_per_pixel, "seed": seed})
    return _write_all(root, tiles, size, extent)


def _claim(root: Path, settings: dict[str, Any]) -> None:
    """Note the settings in the folder, or check that they are those of what is there."""
    settings = {**settings, "world": VERSION}
    is_used = any((root / split).exists() for split in SPLITS)  # before the settings are looked at
    path = root / SETTINGS_FILE
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        if is_used:
            raise ValueError(
                f"{root} holds scenes that write_xbd did not write; give a folder of their own to "
                "rendered ones"
            ) from None
        _write(root / README_FILE, README.encode())
        _write(path, json.dumps(settings).encode())
        return
    except ValueError:
        found = None
    if found != settings:
        raise ValueError(
            f"{root} was written with the settings {found}, now they are {settings} (world is "
            "mini_earth's version); delete that folder or give another one"
        )


def _write_all(root: Path, tiles: list[XbdTile], size: int, extent: float) -> Iterator[XbdStep]:
    for number, tile in enumerate(tiles, 1):
        files = _files_of(root, tile)
        was_there = all(path.exists() for path in files.values())
        if not was_there:
            pair = encode_pair(tile, size=size, extent=extent)
            for part, path in files.items():
                _write(path, pair[part])
        written = XbdPair(tile.name, tile.event, tile.split, **files)
        yield XbdStep(written, number, len(tiles), was_there)


def _files_of(root: Path, tile: XbdTile) -> dict[str, Path]:
    """Name the files of a pair by their part, such as ``post_label``."""
    return {
        f"{when}_{kind[:-1]}": root / tile.split / kind / f"{tile.name}_{when}_disaster{ending}"
        for kind, ending in ENDINGS.items()
        for when in ("pre", "post")
        if (kind, tile.split) != ("targets", "tier3")
    }


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        reason = f"could not write the file ({error.strerror or error}); free some space, or give "
        raise OSError(error.errno, f"{reason}another folder", str(path)) from error
    finally:
        part.unlink(missing_ok=True)  # also after Ctrl-C
