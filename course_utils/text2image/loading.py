"""Load a diffusers folder after looking it over, and say exactly which one it is."""

import contextlib
import hashlib
import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, get_args

import torch

from course_utils.hub import KINDS, Artifact, Located, locate, read_lock
from course_utils.runtime import pick_device
from course_utils.text2image.records import LEVELS, MARK, GenerationConfig, LevelBy, Task
from course_utils.texts import text

# The allow-list, read before anything is loaded: whose classes the parts of a pipeline may be. With
# KINDS, the kinds of files that may decide what a model draws, it says all that a folder may bring.
CLASSES = {
    "unet": "diffusers.*",
    "vae": "diffusers.*",
    "text_encoder": "transformers.*",
    "tokenizer": "transformers.*",
    "scheduler": "diffusers.*",
}
NETWORKS = ("unet", "vae", "text_encoder")
PICKLES = (".bin", ".ckpt", ".pt", ".pth")


@dataclass
class History:
    """What happened to a model since it was loaded."""

    said: set[str] = field(default_factory=set)  # warnings that are given once
    loaded_as: str | None = None  # the number format that it had to leave, because of NaN


@dataclass(frozen=True)
class TextToImage:
    """A diffusers pipeline and where it came from."""

    pipeline: Any  # diffusers.StableDiffusionPipeline, or its twin for the task
    artifact: str
    fingerprint: str  # SHA-256 over the files that decide what it draws
    stand_in_for: str | None = None  # the artifact that this one replaces offline
    trained_on: str | None = None  # what the generator has seen
    origin: str = "local"  # where the files came from: see Located
    task: Task = "text-to-image"
    level_by: LevelBy = "none"  # how it is told a zoom level
    id: str | None = None  # repository on the hub
    revision: str | None = None  # commit there
    config: GenerationConfig = field(default_factory=GenerationConfig)  # what it was made for
    history: History = field(default_factory=History, compare=False, repr=False)

    @property
    def dtype(self) -> str:
        """Name the number format in which it draws now."""
        return str(self.pipeline.unet.dtype).removeprefix("torch.")

    @property
    def reads_guidance(self) -> bool:
        """Say whether the network reads the guidance as a number, and is asked once a step."""
        return self.pipeline.unet.config.time_cond_proj_dim is not None


def load_pipeline(
    artifact: str = "small_text2image",
    *,
    task: Task = "text-to-image",
    device: torch.device | str | None = None,
    models: Path | None = None,
    remote: bool = False,
) -> TextToImage:
    """Load a Stable-Diffusion-shaped diffusers folder; unpickles nothing, runs no code from it.

    Args:
        artifact: a name of the lock, or the path of a diffusers folder.
        task: ``text-to-image``, ``image-to-image`` or ``inpainting``.
        device: where it runs, in half precision on a GPU; None picks the best one.
        models: a folder to search first (``COURSE_MODELS``).
        remote: ask the hub and its mirrors for what is not here; see `locate`.

    Returns:
        The stock pipeline of the task, silent, with its origin; ``stand_in_for`` names what it
        replaces, to be said wherever its images are shown.

    Raises:
        ValueError: the task or artifact is unknown, its folder is no readable pipeline (which part
            is wrong is said), or it cannot do the task.
        OSError: what is to be downloaded does not fit on the disk.
    """
    if task not in get_args(Task):
        raise ValueError(f"task: expected one of {', '.join(get_args(Task))}, got {task!r}")
    located = locate(artifact, models=models, remote=remote)
    if remote and located.stand_in_for:
        found, reasons = located.artifact.name, "; ".join(located.notes)
        said = text("generate.stand_in", name=artifact, found=found, reasons=reasons)
        warnings.warn(said, stacklevel=2)
    pipeline, authors = _load(located, task, pick_device(device and str(device)))
    return TextToImage(
        pipeline=pipeline,
        artifact=located.artifact.name,
        fingerprint=_fingerprint(located.artifact.files),
        stand_in_for=located.stand_in_for,
        trained_on=located.artifact.trained_on,
        origin=located.origin,
        task=task,
        level_by=_find_level_by(pipeline),
        id=located.artifact.id,
        revision=located.revision,
        config=_made_for(authors, pipeline),
    )


def check_folder(root: Path) -> dict[str, Any]:
    """Refuse a folder that cannot or should not be loaded; give its ``model_index.json``.

    Files of code and pickles beside what is loaded are never opened, so they do no harm.

    Raises:
        ValueError: naming the part and what is wrong with it.
    """
    index = _read_json(root / "model_index.json")
    if not isinstance(index.get("_class_name"), str):
        raise ValueError("model_index.json: a pipeline that brings code of its own is not run")
    for part, allowed in CLASSES.items():
        found = ".".join(map(str, index.get(part) or (None, None)))
        if not fnmatchcase(found, allowed):
            library = allowed.partition(".")[0]
            raise ValueError(
                f"model_index.json: expected {part} to be a class of {library} ({allowed}), got "
                f"{found}"
            )
    for part in NETWORKS:
        _read_json(root / part / "config.json")
        _count_weights(root / part)
    _read_json(root / "scheduler" / "scheduler_config.json")
    # Without its words transformers makes a tokenizer that knows none, and says nothing.
    whole = (root / "tokenizer" / "tokenizer.json").is_file()
    _read_json(root / "tokenizer" / ("tokenizer.json" if whole else "vocab.json"))
    if not (whole or (root / "tokenizer" / "merges.txt").is_file()):
        raise ValueError("tokenizer/merges.txt is missing; fetch it again")
    return index


def _read_json(path: Path) -> dict[str, Any]:
    what = path.name if path.name == "model_index.json" else f"{path.parent.name}/{path.name}"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{what} is missing ({error.strerror or error})") from error
    except ValueError as error:
        raise ValueError(f"{what} is damaged ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{what} is damaged (no JSON object)")
    return content


def _count_weights(folder: Path) -> int:
    """Count the tensors of a part, of which only the names are read."""
    from safetensors import SafetensorError, safe_open

    names: set[str] = set()
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt") as weights:
                names |= set(weights.keys())
        except (SafetensorError, OSError) as error:
            raise ValueError(
                f"{folder.name}/{path.name} is damaged or cut short ({error}); fetch it again"
            ) from error
    pickles = sorted(path.name for path in folder.glob("*") if path.suffix in PICKLES)
    if pickles and not names:
        raise ValueError(
            f"{folder.name} has its weights as a pickle ({', '.join(pickles)}) and not as "
            "safetensors; a pickle can run any code when it is opened, so it is refused. Fetch the "
            ".safetensors file of the same model, or convert it where you trust it: "
            "from_pretrained, then save_pretrained(folder, safe_serialization=True)"
        )
    if not names:
        raise ValueError(
            f"{folder.name} has no weights: a file *.safetensors is missing; fetch it again"
        )
    return len(names)


def _load(located: Located, task: Task, device: torch.device) -> tuple[Any, Artifact]:
    import diffusers  # slow to import: only for those who draw

    stock = {
        "text-to-image": diffusers.StableDiffusionPipeline,
        "image-to-image": diffusers.StableDiffusionImg2ImgPipeline,
        "inpainting": diffusers.StableDiffusionInpaintPipeline,
    }
    root = located.root
    try:
        with quiet(), torch.random.fork_rng(devices=[]):  # networks draw initial weights
            authors = _find_authors(located.artifact, check_folder(root)["_class_name"])
            options = {}
            if authors.scheduler:
                sampler = getattr(diffusers, authors.scheduler)
                options["scheduler"] = sampler.from_pretrained(root, subfolder="scheduler")
            pipeline = stock[task].from_pretrained(
                root,
                dtype=torch.float16 if device.type == "cuda" else torch.float32,
                safety_checker=None,  # there is none for overhead images
                feature_extractor=None,  # it works for the safety checker only
                requires_safety_checker=False,
                local_files_only=True,
                use_safetensors=True,
                **options,
            )
        _refuse_made_up_weights(root, pipeline)
    except Exception as error:  # the library lets through whatever its parts raise
        reason = (str(error).splitlines() or [""])[0][:500]
        raise ValueError(
            f"the diffusers pipeline in {root} does not load ({type(error).__name__}: {reason}); "
            "a file is missing, damaged or no safetensors: restore the folder"
        ) from error
    _check_task(pipeline, located.artifact.name, task)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device), authors


def _find_authors(artifact: Artifact, class_name: str) -> Artifact:
    """Find the entry of the lock that says how its authors sample; a copy elsewhere is the same."""
    if artifact.settings or not class_name.startswith("Text2Earth"):
        return artifact
    return read_lock()["text2earth_inpainting" if "Inpaint" in class_name else "text2earth"]


def _refuse_made_up_weights(root: Path, pipeline: Any) -> None:
    """Compare numbers of tensors, for libraries make up those that a file lacks.

    Their names tell nothing: libraries rename those of older models while they read them.
    """
    for part in NETWORKS:
        found, needed = _count_weights(root / part), len(getattr(pipeline, part).state_dict())
        if found < needed:
            raise ValueError(f"{part} has {found} of its {needed} weights; fetch it again")


def _check_task(pipeline: Any, artifact: str, task: Task) -> None:
    takes, latent = pipeline.unet.config.in_channels, pipeline.vae.config.latent_channels
    if takes == 2 * latent + 1 and task != "inpainting":  # latent, mask, latent of what is kept
        raise ValueError(
            f"{artifact} was made for inpainting only: load_pipeline({artifact!r}, "
            f"task='inpainting'), or take another model for {task}"
        )
    if takes not in (latent, 2 * latent + 1):
        raise ValueError(
            f"the network of {artifact} takes {takes} channels, where its autoencoder makes "
            f"{latent}: it needs an input that {task} does not have"
        )


def _find_level_by(pipeline: Any) -> LevelBy:
    """Find out how a model is told its level, from what it is made of.

    Text2Earth has a network that reads it as a number; the small models of the course read it in
    the sentence, with words of their own for it.
    """
    if pipeline.unet.config.class_embed_type == "timestep":
        return "class_labels"
    return "prompt" if f"{LEVELS[0]}{MARK}" in pipeline.tokenizer.get_vocab() else "none"


def _made_for(authors: Artifact, pipeline: Any) -> GenerationConfig:
    """Give the settings that the lock names; without, the size that the network was made for."""
    if authors.settings:
        return GenerationConfig(**authors.settings)
    positions, size = pipeline.unet.config.sample_size, GenerationConfig().height
    if isinstance(positions, int):
        size = max(8, positions * pipeline.vae_scale_factor // 8 * 8)
    return GenerationConfig(height=size, width=size)


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
    decisive = sorted(item for item in files.items() if Path(item[0]).suffix in KINDS)
    return hashlib.sha256(repr(decisive).encode()).hexdigest()
