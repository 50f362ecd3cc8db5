"""What a learner writes, and what a run is made of: prediction, answer, versions, commit."""

import json
import math
import subprocess
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

from course_utils.runtime import (
    PACKAGES,
    derive_seed,
    environment_report,
    read_sealed,
    repo_root,
    write_sealed,
)
from course_utils.texts import text

ANSWER_WORDS = (60, 250)  # at least, at most


def read_prediction(
    gains: Mapping[int, float | int | None] | None, shots: Sequence[int]
) -> tuple[list[dict[str, float | int]], list[str]]:
    """Read a predicted curve: the gain in points at each number of real images a class.

    Args:
        gains: None where nothing is predicted; None or ``...`` alone for no prediction at all.
        shots: those of the grid.

    Returns:
        ``[{"shots", "gain"}]``, and what is to be said: that nothing, or not all, was predicted.

    Raises:
        ValueError: a gain that is no number from -100 to 100, or shots that are not in the grid.
    """
    if gains is None or gains is ...:
        gains = {}
    if not isinstance(gains, Mapping):
        raise ValueError(
            f"prediction: expected points by shots, such as {{1: 5.5}}, got {type(gains).__name__}"
        )
    told = []
    for num, gain in gains.items():
        if num not in shots:
            known = ", ".join(map(str, shots))
            raise ValueError(f"prediction: expected numbers of shots among {known}, got {num!r}")
        if gain is None or gain is ...:
            continue
        is_number = isinstance(gain, Real) and not isinstance(gain, bool)
        if not is_number or not math.isfinite(gain) or abs(gain) > 100:
            raise ValueError(
                f"prediction at {num} shots: expected points from -100 to 100, such as -3 or 5.5, "
                f"got {gain!r}"
            )
        told.append({"shots": int(num), "gain": float(gain)})
    missing = [str(num) for num in shots if num not in {each["shots"] for each in told}]
    if not told:
        return [], [text("prediction.empty")]
    return told, [text("prediction.missing", shots=", ".join(missing))] if missing else []


def read_answer(answer: str | None) -> tuple[str, list[str]]:
    """Read a learner's answer: the whole text, and what is to be said of its length.

    Chinese characters count as half a word.

    Raises:
        ValueError: it is no text.
    """
    if answer is None or answer is ...:
        answer = ""
    if not isinstance(answer, str):
        raise ValueError(f"answer: expected a text, got {type(answer).__name__}")
    answer = answer.encode(errors="replace").decode().strip()  # halves of letters cannot be saved
    num = count_words(answer)
    least, most = ANSWER_WORDS
    if not answer:
        return "", [text("answer.empty", least=least, most=most)]
    if not least <= num <= most:
        key = "answer.too_long" if num > most else "answer.too_short"
        return answer, [text(key, num=num, least=least, most=most)]
    return answer, []


def count_words(answer: str) -> int:
    """Count words; two Chinese characters are about one."""
    wide = sum("\u3400" <= letter <= "\u9fff" for letter in answer)
    narrow = "".join(" " if "\u3400" <= letter <= "\u9fff" else letter for letter in answer)
    words = [word for word in narrow.split() if any(letter.isalnum() for letter in word)]
    return len(words) + math.ceil(wide / 2)


def called(name: str, stand_in_for: str | None) -> str:
    """Name data or a model, and what it stands in for, wherever results are shown."""
    return text("lab.stand_in", name=name, other=stand_in_for) if stand_in_for else name


def once(folder: Path, about: Sequence[object], compute: Callable[[], Any]) -> Any:
    """Compute something that fits into JSON, or read what an earlier run has computed.

    Args:
        folder: where it is kept.
        about: words and numbers that decide it.
        compute: is called where nothing is kept.
    """
    path = folder / f"{derive_seed(*about):016x}.json"
    kept = read_sealed(path)
    if kept is None:
        kept = json.dumps(compute()).encode()
        folder.mkdir(parents=True, exist_ok=True)
        write_sealed(path, kept)
    return json.loads(kept)


def versions() -> dict[str, str]:
    """Name the versions of Python and of the packages that decide numbers."""
    report = environment_report()
    return {name: report[name] for name in ("python", *PACKAGES)}


def commit() -> str:
    """Name the commit of the course; "" where it is no git checkout, "+" after it if changed."""
    try:
        options = {"capture_output": True, "text": True, "timeout": 20, "check": True}
        root = ["git", "-C", str(repo_root())]
        found = subprocess.run([*root, "rev-parse", "HEAD"], **options).stdout.strip()
        changed = subprocess.run([*root, "status", "--porcelain", "-uno"], **options).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    return found + ("+" if changed.strip() else "")
