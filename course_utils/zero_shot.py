"""CLIP family: prompts to class weights, images to features, scores."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import open_clip
import torch
from jaxtyping import Float
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from course_utils.examples import Example
from course_utils.hub import locate
from course_utils.images import write_atomically
from course_utils.runtime import pick_device

TEMPLATES: dict[str, tuple[str, ...]] = {
    # He et al. 2023 (arXiv:2210.07574): the single prompt of their EuroSAT baseline.
    "he2023": ("a centered satellite photo of {}.",),
    # Liu et al. 2024 (arXiv:2306.11029), the authors in ChenDelong1999/RemoteCLIP issue 18.
    "remoteclip": ("a satellite photo of {}",),
    # Liu et al. 2025 (arXiv:2501.00895), model card of lcybuaa/Git-RSCLIP.
    "git_rsclip": ("a remote sensing image of {}",),
    # The course's ensemble: these, and prompts in the style of CLIP's own for RESISC45.
    "satellite": (
        "a satellite photo of {}.",
        "a centered satellite photo of {}.",
        "a remote sensing image of {}.",
        "satellite imagery of {}.",
        "an aerial image of {}.",
    ),
}
Device = torch.device | str | None


@dataclass(frozen=True)
class Clip:
    """An image encoder and a text encoder that share one space."""

    name: str
    encode_image: Callable[[Tensor], Tensor]  # preprocessed n 3 h w -> unit rows n d, on the CPU
    encode_text: Callable[[list[str]], Tensor]  # m prompts -> unit rows m d, on the CPU
    preprocess: Callable[[Image.Image], Tensor]  # any size -> 3 h w: resized, cropped, normalised
    logit_scale: float  # exp(tau), already exponentiated
    image_size: int  # side in pixels that the encoder sees
    fingerprint: str  # SHA-256 over weights, architecture and preprocessing
    stand_in_for: str | None = None  # the artifact that this one replaces offline
    origin: str = "local"  # where the files came from: local, shipped or stand-in


@dataclass(frozen=True)
class FeatureStep:
    """Progress of `extract_features`, counted in examples; the last one holds the features."""

    done: int
    total: int
    from_cache: int
    features: Float[Tensor, "n d"] | None = None  # unit rows in the order of the examples
    note: str = ""  # what went wrong with the cache, if anything did


def load_clip(
    name: str = "small_clip", *, device: Device = None, models: Path | None = None
) -> Clip:
    """Load an open_clip folder in single precision, ready to encode; downloads nothing.

    Args:
        name: an artifact of the lock, or the path of an open_clip folder.
        device: where the encoders run; None picks the best one.
        models: a folder to search first (``COURSE_MODELS``).

    Raises:
        ValueError: the artifact is unknown, or its folder is no readable open_clip model.
    """
    located = locate(name, models=models)
    device = pick_device(device and str(device))
    net, tokenize = _load_open_clip(located.root, device)
    preprocess_config = PreprocessCfg(**net.visual.preprocess_cfg)

    @torch.no_grad()
    def encode_image(images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
        return net.encode_image(images.to(device), normalize=True).float().cpu()

    def encode_text(prompts: list[str]) -> Float[Tensor, "m d"]:
        parts = [prompts[i : i + 256] for i in range(0, len(prompts), 256)]
        rows = [net.encode_text(tokenize(part).to(device), normalize=True) for part in parts]
        return torch.cat(rows).float().cpu()

    return Clip(
        name=located.artifact.name,
        encode_image=encode_image,
        encode_text=encode_text,
        preprocess=image_transform_v2(preprocess_config, is_train=False),
        logit_scale=net.logit_scale.exp().item(),
        image_size=preprocess_config.input_size[-1],
        fingerprint=_fingerprint(net, located.root / "open_clip_config.json"),
        stand_in_for=located.stand_in_for,
        origin=located.origin,
    )


def _load_open_clip(root: Path, device: torch.device) -> tuple[nn.Module, Callable]:
    # Without weights the library goes on with random ones, and other files are pickles.
    for what in ("open_clip_config.json", "*.safetensors"):
        if not any(root.glob(what)):
            raise ValueError(f"{root} is no open_clip folder: it has no {what}; give one that has")
    source = f"local-dir:{root}"
    try:
        with torch.random.fork_rng(devices=[]):  # building a network draws initial weights
            net = open_clip.create_model(source, device=device, require_pretrained=True)
        net.to(memory_format=torch.channels_last)  # convolutions on the CPU: a fifth less time
        return net.eval().requires_grad_(False), open_clip.get_tokenizer(source)
    except (SafetensorError, RuntimeError, OSError, ValueError, KeyError, TypeError) as error:
        reason = (str(error).splitlines() or [""])[0][:200]
        raise ValueError(
            f"the open_clip model in {root} does not load ({type(error).__name__}: {reason}); "
            "a file is damaged or belongs to another model: restore the folder"
        ) from error


def _fingerprint(net: nn.Module, config: Path) -> str:
    digest = hashlib.sha256(config.read_bytes())
    for key, value in sorted(net.state_dict().items()):
        digest.update(f"{key} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def class_weights(
    clip: Clip, class_names: Sequence[str], templates: Sequence[str]
) -> Float[Tensor, "k d"]:
    r"""Turn class names into a zero-shot classifier, one unit row a class.

    $$w_k = \mathrm{unit}\big(\tfrac1P \sum_p \mathrm{unit}(f(\text{prompt}_{k,p}))\big)$$

    Args:
        clip: the model whose text encoder is f.
        class_names: the words for each class, in label order.
        templates: prompts with ``{}`` for the class, for example ``TEMPLATES["satellite"]``.

    Raises:
        ValueError: no class, no template, an empty name, or a template without ``{}``.

    Source:
        Radford et al. 2021 (arXiv:2103.00020), section 3.1.4.
    """
    if isinstance(templates, str) or not templates:
        raise ValueError(f"templates must be a list of one or more prompts, not {templates!r}")
    if isinstance(class_names, str) or not class_names or not all(n.strip() for n in class_names):
        raise ValueError(f"class_names must be a list of one or more words, not {class_names!r}")
    if wrong := [template for template in templates if "{}" not in template]:
        raise ValueError(f"templates need {{}} where the class name goes; without it: {wrong}")
    prompts = [t.replace("{}", name) for name in class_names for t in templates]
    text_features = clip.encode_text(prompts).unflatten(0, (len(class_names), len(templates)))
    return nn.functional.normalize(text_features.mean(dim=1), dim=-1)


def zero_shot_logits(
    image_features: Float[Tensor, "n d"], weights: Float[Tensor, "k d"], *, logit_scale: float
) -> Float[Tensor, "n k"]:
    r"""Score images against classes, both unit rows: $e^\tau f(\text{image}) \cdot w_k$.

    Source:
        Radford et al. 2021 (arXiv:2103.00020), figure 3.
    """
    return logit_scale * image_features @ weights.T


def extract_features(
    clip: Clip, examples: Sequence[Example], *, cache: Path | None = None, batch_size: int = 64
) -> Iterator[FeatureStep]:
    """Encode images, each once per model whatever list it comes in.

    Args:
        clip: the model.
        examples: what to encode.
        cache: folder with one file of features a model; None remembers nothing.
        batch_size: images a forward pass.

    Yields:
        A record after the cache was read, after each batch, and at the end with the features.

    Raises:
        ValueError: there are no examples, or one cannot be read (`images.ImageError`).
    """
    digests = [example.digest() for example in examples]
    if not digests:
        raise ValueError("there are no examples to encode; give at least one")
    path = None if cache is None else Path(cache) / f"features_{clip.fingerprint[:24]}.safetensors"
    known, note = _read_store(path, clip.fingerprint)
    todo = {d: e for d, e in zip(digests, examples, strict=True) if d not in known}
    copies = Counter(digests)
    from_cache = done = len(digests) - sum(copies[digest] for digest in todo)
    yield FeatureStep(done, len(digests), from_cache, note=note)
    try:
        for start in range(0, len(todo), batch_size):
            batch = list(todo)[start : start + batch_size]
            images = torch.stack([clip.preprocess(todo[digest].load()) for digest in batch])
            known.update(zip(batch, clip.encode_image(images), strict=True))
            done += sum(copies[digest] for digest in batch)
            yield FeatureStep(done, len(digests), from_cache, note=note)
    finally:  # also when the loop is left early, by an unreadable image or by Ctrl-C
        if path is not None and done > from_cache:
            note = _write_store(path, clip.fingerprint, known) or note
    features = torch.stack([known[digest] for digest in digests])
    yield FeatureStep(done, len(digests), from_cache, features, note)


def image_features(
    clip: Clip, examples: Sequence[Example], *, cache: Path | None = None, batch_size: int = 64
) -> Float[Tensor, "n d"]:
    """Run `extract_features` to its end and return the unit rows."""
    return list(extract_features(clip, examples, cache=cache, batch_size=batch_size))[-1].features


def _read_store(path: Path | None, fingerprint: str) -> tuple[dict[str, Tensor], str]:
    if path is None:
        return {}, ""
    try:
        with safe_open(path, "pt") as store:
            features, meta = store.get_tensor("features"), store.metadata()
        if meta["sha256"] != _checksum(fingerprint, meta["digests"], features):
            raise ValueError("wrong checksum")
        return dict(zip(json.loads(meta["digests"]), features, strict=True)), ""
    except FileNotFoundError:
        return {}, ""
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        return {}, f"the feature cache {path.name} was damaged and is rebuilt ({error})"


def _write_store(path: Path, fingerprint: str, known: dict[str, Tensor]) -> str:
    features, digests = torch.stack(list(known.values())), json.dumps(list(known))
    meta = {"digests": digests, "sha256": _checksum(fingerprint, digests, features)}
    try:
        write_atomically(path, save({"features": features}, metadata=meta))
    except OSError as error:  # features that cannot be remembered are still features
        return f"features are not cached: {error}"
    return ""


def _checksum(fingerprint: str, digests: str, features: Float[Tensor, "m d"]) -> str:
    content = f"{fingerprint}{digests}".encode() + features.numpy().tobytes()
    return hashlib.sha256(content).hexdigest()
