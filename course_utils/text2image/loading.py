"""Load a diffusers folder after looking it over, and say exactly which one it is."""

import contextlib
import hashlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import torch

from course_utils.hub import (
    KINDS,
    SHARD,
    Artifact,
    ArtifactError,
    Located,
    locate,
    read_lock,
    require_finite,
)
from course_utils.runtime import pick_device
from course_utils.text2image.kinds import CLASSES, NETWORKS, check_folder, find_weights
from course_utils.text2image.records import LEVELS, MARK, GenerationConfig, LevelBy, Task
from course_utils.texts import text


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
    guidance: tuple[float, float] | None = None  # the scales that it learned to follow, if told
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
    if remote:
        warn_of_origin(located)
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
        guidance=authors.guidance and tuple(authors.guidance),
    )


def warn_of_origin(located: Located) -> None:
    """Warn of what was asked of the network and is a stand-in, or that nothing vouches for."""
    if located.stand_in_for:
        found, reasons = located.artifact.name, "; ".join(located.notes)
        said = text("generate.stand_in", name=located.stand_in_for, found=found, reasons=reasons)
        warnings.warn(said, stacklevel=3)
    if located.unpinned and located.origin != "cache":
        warnings.warn(located.unpinned, stacklevel=3)


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
            index = check_folder(root)
            authors = _find_authors(located.artifact, index["_class_name"])
            if authors.scheduler:
                index["scheduler"] = ["diffusers", authors.scheduler]
            number = torch.float16 if device.type == "cuda" else torch.float32
            pipeline = stock[task](
                **{part: _load_part(root / part, *index[part], number) for part in CLASSES},
                safety_checker=None,  # there is none for overhead images
                feature_extractor=None,  # it works for the safety checker only
                requires_safety_checker=False,
            )
            _check_parts(root, pipeline)
    except ArtifactError as error:
        raise ValueError(f"the diffusers pipeline in {root} does not load: {error}") from error
    except Exception as error:  # the library lets through whatever its parts raise
        reason = (str(error).splitlines() or [""])[0][:500]
        raise ValueError(
            f"the diffusers pipeline in {root} does not load ({type(error).__name__}: {reason}); "
            "a file is missing, damaged or no safetensors: restore the folder"
        ) from error
    _check_task(pipeline, located.artifact.name, task)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device), authors


def _load_part(folder: Path, library: str, name: str, dtype: torch.dtype) -> Any:
    """Load one part by its class, from its own files; nothing in the folder has a say in it."""
    options: dict[str, Any] = {"local_files_only": True}
    if folder.name in NETWORKS:
        _, _, variant = find_weights(folder)[0][0].stem.partition(".")
        options |= {"torch_dtype": dtype, "use_safetensors": True}
        options |= {"variant": SHARD.sub("", variant)} if variant else {}
    if library == "diffusers":
        return getattr(import_module(library), name).from_pretrained(folder, **options)
    options["trust_remote_code"] = False
    if folder.name == "tokenizer":  # the one that reads either form of vocabulary, in any version
        build = getattr(import_module(library), name.removesuffix("Fast") + "Fast")
        return build.from_pretrained(folder, **options)
    build, lacks = getattr(import_module(library), name), []
    for names in (None, {"^": "text_model."}):  # as versions before the fifth call the weights
        options["key_mapping"] = names
        net, found = build.from_pretrained(folder, output_loading_info=True, **options)
        lacks.append(len(found["missing_keys"]))
        if not lacks[-1]:
            return net
    total = len(net.state_dict())
    raise ArtifactError(
        f"{folder.name} has {total - min(lacks)} of its {total} weights; fetch it again"
    )


def _find_authors(artifact: Artifact, class_name: str) -> Artifact:
    """Find the entry of the lock that says how its authors sample; a copy elsewhere is the same."""
    if artifact.settings or not class_name.startswith("Text2Earth"):
        return artifact
    return read_lock()["text2earth_inpainting" if "Inpaint" in class_name else "text2earth"]


def _check_parts(root: Path, pipeline: Any) -> None:
    """Compare numbers of tensors, for libraries make up those that a file lacks; look for NaN.

    Their names tell nothing: libraries rename those of older models while they read them.
    """
    for part in NETWORKS:
        state, (paths, found) = getattr(pipeline, part).state_dict(), find_weights(root / part)
        if found < len(state):
            raise ArtifactError(f"{part} has {found} of its {len(state)} weights; fetch it again")
        require_finite(state, f"{part}/{paths[0].name}")
    known, read = len(pipeline.tokenizer), pipeline.text_encoder.config.vocab_size
    alike = len({tuple(pipeline.tokenizer(words).input_ids) for words in ("sea", "a town")}) == 1
    if known > read or alike:
        raise ArtifactError(
            f"the tokenizer knows {known} words, and the text encoder reads {read}: they are not "
            "of the same model, or the vocabulary was lost; fetch tokenizer/ again"
        )
    longest = pipeline.text_encoder.config.max_position_embeddings  # some tokenizers say none
    pipeline.tokenizer.model_max_length = min(pipeline.tokenizer.model_max_length, longest)
    betas, steps = pipeline.scheduler.betas, pipeline.scheduler.config.num_train_timesteps
    if not 0 < len(betas) == steps or not ((betas > 0) & (betas <= 1)).all():
        raise ArtifactError(
            f"scheduler/scheduler_config.json: expected a noise variance (beta) in (0, 1] for each "
            f"of {steps} steps; fetch it again"
        )


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
