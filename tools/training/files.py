"""What training scripts write: lines, whole files, sheets, and what decided a run."""

import hashlib
import io
import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

import mini_earth
from course_utils.runtime import write_atomically


def say(line: str) -> None:
    """Print a line at once, also into a file."""
    print(time.strftime("%H:%M:%S"), line, flush=True)


def say_numbers(what: str, numbers: Mapping[str, float]) -> None:
    """Print what was measured in one line."""
    say(f"{what}: " + ", ".join(f"{key} {value:.4f}" for key, value in numbers.items()))


def write_json(path: Path, value: object) -> None:
    """Write JSON whole or not at all."""
    write_atomically(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def halved(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Store floats in half precision; they are single precision again when loaded.

    Raises:
        ValueError: a weight is too large for half precision.
    """
    half = {k: v.detach().cpu().clone() for k, v in state.items()}
    half = {k: v.half() if v.is_floating_point() else v for k, v in half.items()}
    if bad := [k for k, v in half.items() if v.is_floating_point() and not v.isfinite().all()]:
        raise ValueError(f"not finite in half precision: {', '.join(bad)}")
    return {k: v.contiguous() for k, v in half.items()}


def sheet(rows: Sequence[Tensor], path: Path, *, zoom: int = 2) -> None:
    """Write rows of images in [0, 1] (each n c h w) as one PNG."""
    lines = [torch.cat(list(F.pad(row, (1, 1, 1, 1))), dim=2) for row in rows]
    widest = max(line.shape[2] for line in lines)
    lines = [F.pad(line, (0, widest - line.shape[2])) for line in lines]
    pixels = (torch.cat(lines, dim=1).clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    image, buffer = Image.fromarray(pixels), io.BytesIO()
    image = image.resize((image.width * zoom, image.height * zoom), Image.Resampling.NEAREST)
    image.save(buffer, format="PNG")
    write_atomically(path, buffer.getvalue())


def machine() -> str:
    """Name the kind of this machine."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{os.cpu_count()} cores, {platform.machine()}, {gpu}"


def provenance(files: Sequence[Path], **settings: object) -> dict[str, object]:
    """Record what decided a run: command, machine, versions, file hashes, settings."""
    return {
        "command": shlex.join(["python", "-m", "tools." + Path(sys.argv[0]).stem]),
        "machine": machine(),
        "torch": torch.__version__,
        "mini_earth": mini_earth.__version__,
        "files": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
        **settings,
    }
