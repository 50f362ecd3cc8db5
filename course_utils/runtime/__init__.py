"""Where and how we run: profile, device, seeds, folders, environment report, language.

How files are written and caches read is in `files`.
"""

import hashlib
import importlib.metadata
import json
import os
import platform
import sys
import tempfile
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path

import psutil
import torch

from course_utils.runtime.files import (
    SEAL_BYTES,
    discard,
    is_sealed,
    new_part,
    open_atomically,
    read_file,
    read_sealed,
    replace_file,
    seal,
    sweep,
    write_atomically,
    write_cached,
    write_sealed,
)

__all__ = [
    "DATA_SETS",
    "DISASTERS",
    "LANGUAGES",
    "PACKAGES",
    "PROFILES",
    "SEAL_BYTES",
    "Profile",
    "Runtime",
    "cache_folder",
    "data_root",
    "derive_seed",
    "discard",
    "environment_report",
    "is_sealed",
    "language",
    "models_folder",
    "new_part",
    "open_atomically",
    "pick_device",
    "read_file",
    "read_sealed",
    "replace_file",
    "repo_root",
    "resolve_path",
    "seal",
    "seeded",
    "setup",
    "sweep",
    "write_atomically",
    "write_cached",
    "write_sealed",
    "xbd_folder",
]

LANGUAGES = ("en", "zh")
DATA_SETS = ("resisc45", "eurosat", "ucmerced", "aid")  # of the lock, that COURSE_DATA may name
DISASTERS = "disasters"  # a task that it may name: xBD, real or rendered
PACKAGES = ("torch", "torchvision", "diffusers", "transformers", "open_clip_torch", "datasets")


@dataclass(frozen=True)
class Profile:
    """A budget for experiments and the artifacts that fit it; the defaults are ``mini``."""

    name: str = "mini"
    shots: int = 40  # real training images per class, a third of what is rendered
    num_test: int = 1000  # test images of the procedural world; a data set brings its own number
    num_seeds: int = 10
    num_synthetic: int = 800  # drawings of one generator for the lab, all classes together
    batch_size: int = 64
    model: str = "small_clip"  # artifact name of the classifier
    generator: str = "small_text2image"  # artifact name of the text-to-image pipeline
    pool_generators: tuple[str, ...] = (  # those that draw the lab's many images
        "small_text2image_few_steps",
        "small_text2image_eurosat_few_steps",
    )


_T4 = Profile(
    "t4",
    shots=60,
    model="clip_vit_b_16",
    generator="text2earth",
    pool_generators=("text2earth",),
)
_FULL = replace(_T4, name="full", num_synthetic=4000, batch_size=128)
PROFILES = {profile.name: profile for profile in (Profile(), _T4, _FULL)}


@dataclass(frozen=True)
class Runtime:
    """What `setup` decided; every path is absolute, ``out`` and ``cache`` exist."""

    profile: Profile
    device: torch.device
    out: Path
    cache: Path
    data: str | Path | None  # a folder, a name in DATA_SETS, "disasters"; None: what is usual
    xbd: Path | None  # real scenes of xBD; None is the procedural world
    models: Path | None  # a folder that is searched for artifacts first
    language: str
    seed: int
    notes: tuple[str, ...] = ()  # what a learner should know about these decisions

    @property
    def remote(self) -> bool:
        """Say whether the profile may ask the network for what is not here."""
        return self.profile.name != "mini"


def setup(
    *,
    profile: str | None = None,
    language: str | None = None,
    seed: int | None = None,
    name: str = "final_lab",
) -> Runtime:
    """Decide profile, device, folders, language and seed from arguments and variables.

    An argument beats its variable (``COURSE_PROFILE``, ``COURSE_LANG``, ``COURSE_SEED``), which
    beats the default; an empty variable counts as unset. ``COURSE_DATA`` (or a name in DATA_SETS,
    or DISASTERS), ``COURSE_XBD``, ``COURSE_MODELS`` are folders to read, ``COURSE_OUT`` and
    ``COURSE_CACHE`` to write (``outputs/<name>``, ``outputs/cache``). ``COURSE_LANG`` gets the
    language, for `texts`.

    Args:
        profile: a name in `PROFILES`; ``mini`` by default.
        language: ``en`` (default) or ``zh``.
        seed: 0 by default.
        name: what the folder for outputs is called.

    Raises:
        ValueError: a profile, language or seed that is none.
        FileNotFoundError: one of the folders to read is none.
        OSError: the folder for outputs cannot be written.
    """
    profile = profile or _variable("COURSE_PROFILE") or "mini"
    language = language or _variable("COURSE_LANG") or LANGUAGES[0]
    for what, value, known in (("PROFILE", profile, PROFILES), ("LANG", language, LANGUAGES)):
        if value not in known:
            raise ValueError(f"COURSE_{what}: expected one of {', '.join(known)}, got {value!r}")
    seed = _seed() if seed is None else check_seed(seed)
    os.environ["COURSE_LANG"] = language
    cache, notes = _writable_cache()
    names = (*DATA_SETS, DISASTERS)
    return Runtime(
        profile=PROFILES[profile],
        device=pick_device(),
        out=_out_folder(name),
        cache=cache,
        data=_folder("COURSE_DATA", f"Give a folder, or {', '.join(names)}.", names),
        xbd=_folder("COURSE_XBD", "Give the folder above train, tier3, test and hold."),
        models=models_folder(),
        language=language,
        seed=seed,
        notes=notes,
    )


def _variable(name: str) -> str | None:
    return os.environ.get(name) or None


def _seed() -> int:
    value = _variable("COURSE_SEED") or "0"
    return check_seed(int(value) if value.strip().isdecimal() else value, "COURSE_SEED")


def _folder(variable: str, advice: str, names: tuple[str, ...] = ()) -> str | Path | None:
    value = _variable(variable)
    if value is None or (value in names and not resolve_path(value).is_dir()):
        return value
    path = resolve_path(value)
    if not path.is_dir():
        raise FileNotFoundError(f"{variable}={value!r} is no folder: looked at {path}. {advice}")
    return path


def _out_folder(name: str) -> Path:
    out = resolve_path(_variable("COURSE_OUT") or repo_root() / "outputs" / name)
    try:
        _probe(out)
    except OSError as error:
        advice = "free some space, or set COURSE_OUT to a folder that can be written"
        reason = f"no results can be saved ({error.strerror or error}); {advice}"
        raise OSError(error.errno, reason, str(out)) from error
    return out


def _writable_cache() -> tuple[Path, tuple[str, ...]]:
    cache = cache_folder()
    try:
        _probe(cache)
    except OSError as error:
        folder = Path(tempfile.mkdtemp(prefix="course_cache_"))
        reason = f"The cache folder {cache} cannot be written ({error.strerror or error})"
        return folder, (f"{reason}; this run uses {folder}. Set COURSE_CACHE to change that.",)
    return cache, ()


def _probe(folder: Path) -> None:
    """Write and remove a file, because permission bits do not tell (root, full or network disk)."""
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    probe = new_part(folder)
    try:
        probe.write_bytes(b"writable")
    finally:
        probe.unlink(missing_ok=True)


def resolve_path(value: str | Path) -> Path:
    """Make a path absolute, as seen from the folder where the user typed the command.

    A notebook kernel starts in the notebook's folder, so inside one a relative path is resolved
    against the folder of the process that started the kernel (``make lab``, JupyterLab).

    Args:
        value: a path, existing or not; ``~`` is the home folder.
    """
    return Path(os.path.realpath(_caller_folder() / os.path.expanduser(value)))  # loops pass


def _caller_folder() -> Path:
    parent = _variable("JPY_PARENT_PID")  # children of a kernel inherit it, but not ipykernel
    if parent and "ipykernel" in sys.modules and os.name != "nt":  # on Windows it is a handle
        try:
            return Path(psutil.Process(int(parent)).cwd())
        except (psutil.Error, ValueError):
            pass  # the parent is gone or is not ours
    return Path.cwd()


def cache_folder(given: str | Path | None = None) -> Path:
    """Name the folder of the cache: the given one, else ``COURSE_CACHE``, else outputs/cache."""
    return resolve_path(given or _variable("COURSE_CACHE") or repo_root() / "outputs" / "cache")


def models_folder(given: str | Path | None = None) -> Path | None:
    """Name the folder that is searched for artifacts first: the given one, ``COURSE_MODELS``.

    Raises:
        FileNotFoundError: it is no folder.
    """
    return (
        resolve_path(given)
        if given
        else _folder("COURSE_MODELS", "Give the folder that holds a folder per artifact.")
    )


def xbd_folder(given: str | Path | None = None) -> Path | None:
    """Name the folder of the real xBD, there or not: the given one, else ``COURSE_XBD``."""
    named = given or _variable("COURSE_XBD")
    return resolve_path(named) if named else None


def language() -> str:
    """Name the language of ``COURSE_LANG``, English by default.

    Raises:
        ValueError: it is none of ``LANGUAGES``.
    """
    found = _variable("COURSE_LANG") or LANGUAGES[0]
    if found not in LANGUAGES:
        raise ValueError(f"COURSE_LANG={found!r} is unknown; set it to one of {LANGUAGES}")
    return found


def repo_root() -> Path:
    """Give the folder of the course."""
    return Path(__file__).resolve().parents[2]


def data_root() -> Path:
    """Give the folder of what ships with the course."""
    return repo_root() / "data"


def pick_device(prefer: str | None = None) -> torch.device:
    """Choose the fastest device at hand: CUDA, then Apple's MPS, then the CPU.

    Args:
        prefer: a device to use instead, for example ``cpu`` or ``cuda:1``.

    Raises:
        ValueError: the preferred device is not at hand.
    """
    checks = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}
    at_hand = [*(name for name, is_here in checks.items() if is_here()), "cpu"]
    if prefer is None:
        return torch.device(at_hand[0])
    if prefer.split(":")[0] not in at_hand:
        raise ValueError(f"device: expected one of {', '.join(at_hand)}, got {prefer!r}")
    return torch.device(prefer)


def check_seed(seed: object, name: str = "seed") -> int:
    """Return a seed as Python's whole number, if it fits wherever seeds go.

    Args:
        seed: of Python or of NumPy.
        name: what error messages call it.

    Raises:
        ValueError: it is no whole number from 0 to 2^63 - 1.
    """
    if not isinstance(seed, Integral) or isinstance(seed, bool) or not 0 <= seed < 2**63:
        raise ValueError(
            f"{name}: expected a whole number from 0 to 2^63 - 1, such as 0, got {seed!r}"
        )
    return int(seed)


def seeded(seed: int) -> torch.Generator:
    """Make a generator on the CPU, so that every device starts from the same random numbers.

    Raises:
        ValueError: no seed.
    """
    return torch.Generator().manual_seed(check_seed(seed))


def derive_seed(*parts: object) -> int:
    """Mix numbers and words into a seed, so that streams of different parts are independent.

    Equal parts give equal seeds on every machine: the first 63 bits of SHA-256 of their JSON.

    Args:
        parts: int (of NumPy too), float, str, bool, None, and lists or tuples of these.

    Raises:
        TypeError: another kind, such as a path, whose text may vary.
    """
    digest = hashlib.sha256(json.dumps(parts, default=_whole).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _whole(part: object) -> int:
    if not isinstance(part, Integral):
        raise TypeError(
            f"parts of a seed: expected numbers, words and lists of these, got {part!r}; "
            "str(part) makes a word of it, if that is the same everywhere"
        )
    return int(part)


def environment_report() -> dict[str, str]:
    """Describe versions and machine, for a table above the results; no names, no paths."""
    device = pick_device()
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        **{package: _version(package) for package in PACKAGES},
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "cores": str(os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
