"""Files of weights: read without running anything, and compared with the network they are for."""

import math
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

NAMED = 5  # names that a message lists
# What files of OpenAI and of older versions of transformers hold beside the weights
HARMLESS = ("input_resolution", "context_length", "vocab_size", "position_ids")
Shapes = Mapping[str, tuple[int, ...]]


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict: safetensors, or a pickle that holds tensors and nothing else.

    A training checkpoint's ``state_dict`` and the prefix ``module.`` of parallel training are
    unwrapped.

    Raises:
        ValueError: cut short, or no plain state dict.
    """
    try:
        state = load_file(path) if path.suffix == ".safetensors" else _unpickle(path)
    except (SafetensorError, EOFError, RuntimeError, OSError, KeyError) as error:
        raise ValueError(f"{path.name} is damaged or cut short ({_first_line(error)})") from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not (isinstance(state, dict) and state and all(_is_weight(*item) for item in state.items())):
        raise ValueError(
            f"{path.name} is no plain state dict: expected names and tensors, got "
            f"{_describe(state)}; save net.state_dict() of the network"
        )
    if all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): value for name, value in state.items()}
    return state


def _unpickle(path: Path) -> object:
    is_zip = zipfile.is_zipfile(path)  # its table of contents comes last
    with open(path, "rb") as file:
        starts_as_zip = file.read(2) == b"PK"
    if starts_as_zip and not is_zip:
        raise ValueError(f"{path.name} is damaged or cut short: its end is missing; fetch it again")
    if is_zip and any(n.endswith("/constants.pkl") for n in zipfile.ZipFile(path).namelist()):
        raise ValueError(
            f"{path.name} is a TorchScript program, as OpenAI's own files are, and none is run; "
            "take the same weights as safetensors (timm/…_clip_224.openai on the hub)"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about ways of pickling, on files of others
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except UnpicklingError as error:
        raise ValueError(
            f"{path.name} is no plain state dict, or damaged; a pickle of anything but tensors can "
            "run any code when it is opened, so it is refused. Save net.state_dict() where you "
            "trust it"
        ) from error


def _is_weight(name: object, value: object) -> bool:
    return isinstance(name, str) and isinstance(value, Tensor)


def _describe(state: object) -> str:
    if not isinstance(state, dict):
        return type(state).__name__
    wrong = [f"{k!r}: {type(v).__name__}" for k, v in state.items() if not _is_weight(k, v)]
    return ", ".join(wrong[:NAMED]) or "nothing"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Give the shape of each tensor."""
    return {name: tuple(value.shape) for name, value in state.items()}


def require_architecture(found: Shapes, expected: Shapes, *, file: str, network: str) -> None:
    """Refuse weights of a network of another kind, depth or width, and describe both.

    Raises:
        ValueError: the telling weights have other shapes.
    """
    looks, should_look = sketch(found), sketch(expected)
    if looks and should_look and looks != should_look:
        raise ValueError(
            f"{file} is not of {network}: it holds {looks}; {network} is {should_look}"
        )


def require_same(found: Shapes, expected: Shapes, *, file: str, network: str) -> None:
    """Refuse weights whose names or shapes are not those of a network.

    Raises:
        ValueError: naming what is missing or unexpected, or has another shape.
    """
    shared = found.keys() & expected.keys()
    other = [f"{k} {found[k]} for {expected[k]}" for k in sorted(shared) if found[k] != expected[k]]
    complaints = {
        "missing": sorted(expected.keys() - shared),
        "unexpected": sorted(k for k in found.keys() - shared if not k.endswith(HARMLESS)),
        "of another shape": other,
    }
    if any(complaints.values()):
        said = (f"{what}: {_some(names)}" for what, names in complaints.items() if names)
        raise ValueError(f"{file} does not fit {network}; {'; '.join(said)}")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def sketch(shapes: Shapes) -> str | None:
    """Describe a network by the shapes of its telling weights; None if it has none of them.

    Architectures differ in these: kind, depth, width, patch and image of the image tower, depth
    and width of the text tower.
    """
    try:
        if "vision_model.embeddings.patch_embedding.weight" in shapes:
            return _sketch_transformers(shapes)
        image = _sketch_resnet(shapes) if "visual.layer1.0.conv1.weight" in shapes else None
        image = image or _sketch_vit(shapes)
        text = _text(shapes["token_embedding.weight"], _count(shapes, "transformer.resblocks."))
        return f"{image} and {text}"
    except (KeyError, IndexError, ValueError):
        return None


def _sketch_vit(shapes: Shapes) -> str:
    width, _, patch, _ = shapes["visual.conv1.weight"]
    side = patch * math.isqrt(shapes["visual.positional_embedding"][0] - 1)
    depth = _count(shapes, "visual.transformer.resblocks.")
    return f"a ViT ({depth} layers of width {width}, {patch}-pixel patches of {side} pixels)"


def _sketch_resnet(shapes: Shapes) -> str:
    blocks = "-".join(str(_count(shapes, f"visual.layer{i}.")) for i in (1, 2, 3, 4))
    side = 32 * math.isqrt(shapes["visual.attnpool.positional_embedding"][0] - 1)
    width = shapes["visual.layer1.0.conv1.weight"][0]
    return f"a ResNet ({blocks} blocks of width {width}, images of {side} pixels)"


def _sketch_transformers(shapes: Shapes) -> str:
    width, _, patch, _ = shapes["vision_model.embeddings.patch_embedding.weight"]
    side = patch * math.isqrt(shapes["vision_model.embeddings.position_embedding.weight"][0])
    depth = _count(shapes, "vision_model.encoder.layers.")
    words = shapes["text_model.embeddings.token_embedding.weight"]
    text = _text(words, _count(shapes, "text_model.encoder.layers."))
    kind = "ViT" if "vision_model.embeddings.class_embedding" in shapes else "SigLIP ViT"
    image = f"a {kind} ({depth} layers of width {width}, {patch}-pixel patches of {side} pixels)"
    return f"{image} and {text}"


def _text(words: tuple[int, ...], depth: int) -> str:
    return f"a text tower ({depth} layers of width {words[1]}, {words[0]} tokens)"


def _count(shapes: Shapes, prefix: str) -> int:
    """Count the numbers that follow a prefix."""
    ends = (name.removeprefix(prefix) for name in shapes if name.startswith(prefix))
    return len({end.split(".")[0] for end in ends})
