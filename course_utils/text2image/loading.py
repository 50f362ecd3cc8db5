"""Load a diffusers folder, and say exactly which one it is."""

import contextlib
import hashlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from course_utils.hub import locate
from course_utils.runtime import pick_device

DECISIVE = {".json", ".safetensors", ".txt", ".model"}  # files that decide what a model draws


@dataclass(frozen=True)
class TextToImage:
    """A diffusers pipeline and where it came from."""

    pipeline: Any  # diffusers.StableDiffusionPipeline
    artifact: str
    fingerprint: str  # SHA-256 over the files that decide what it draws
    stand_in_for: str | None = None  # the artifact that this one replaces offline
    trained_on: str | None = None  # what the generator has seen
    origin: str = "local"  # where the files came from: local, shipped or stand-in


def load_pipeline(
    artifact: str = "small_text2image",
    *,
    device: torch.device | str | None = None,
    models: Path | None = None,
) -> TextToImage:
    """Load a Stable-Diffusion-shaped diffusers folder; downloads and unpickles nothing.

    Args:
        artifact: a name of the lock, or the path of a diffusers folder.
        device: where it runs, in half precision on a GPU; None picks the best one.
        models: a folder to search first (``COURSE_MODELS``).

    Returns:
        The pipeline, silent, with its origin.

    Raises:
        ValueError: the artifact is unknown, or its folder is no readable pipeline.
    """
    from diffusers import StableDiffusionPipeline  # slow to import: only for those who draw

    located = locate(artifact, models=models)
    device = pick_device(device and str(device))
    try:
        with quiet(), torch.random.fork_rng(devices=[]):  # networks draw initial weights
            pipeline = StableDiffusionPipeline.from_pretrained(
                located.root,
                dtype=torch.float16 if device.type == "cuda" else torch.float32,
                safety_checker=None,  # there is none for overhead images
                requires_safety_checker=False,
                local_files_only=True,
                use_safetensors=True,
            )
    except Exception as error:  # the library lets through whatever its parts raise
        reason = (str(error).splitlines() or [""])[0][:200]
        raise ValueError(
            f"the diffusers pipeline in {located.root} does not load ({type(error).__name__}: "
            f"{reason}); a file is missing, damaged or no safetensors: restore the folder"
        ) from error
    pipeline.set_progress_bar_config(disable=True)
    return TextToImage(
        pipeline=pipeline.to(device),
        artifact=located.artifact.name,
        fingerprint=_fingerprint(located.artifact.files),
        stand_in_for=located.stand_in_for,
        trained_on=located.artifact.trained_on,
        origin=located.origin,
    )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence diffusers and transformers: loading bars, a log line for each cut prompt.

    Also their calls of NumPy in ways that it is about to drop, which no learner can mend.
    """
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    libraries = (diffusers_logging, transformers_logging)
    before = [(lib.get_verbosity(), lib.is_progress_bar_enabled()) for lib in libraries]
    for lib in libraries:
        lib.set_verbosity_error()
        lib.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        for lib, (verbosity, had_bar) in zip(libraries, before, strict=True):
            lib.set_verbosity(verbosity)
            if had_bar:
                lib.enable_progress_bar()


def _fingerprint(files: dict[str, str]) -> str:
    decisive = sorted(item for item in files.items() if Path(item[0]).suffix in DECISIVE)
    return hashlib.sha256(repr(decisive).encode()).hexdigest()
