"""Look a diffusers folder over before it is loaded: whole, readable, and without foreign code."""

import json
from pathlib import Path
from typing import Any

NETWORKS = ("unet", "vae", "text_encoder")
PICKLES = (".bin", ".ckpt", ".pt", ".pth")


def check_folder(root: Path) -> dict[str, Any]:
    """Read a pipeline's index, and refuse a folder that cannot or should not be loaded.

    Files of code in the folder are never run, so they do no harm; the classes of the parts have
    to be those of the libraries.

    Returns:
        The content of ``model_index.json``.

    Raises:
        ValueError: naming the part and what is wrong with it.
    """
    index = _read_json(root / "model_index.json")
    if not isinstance(index.get("_class_name"), str):
        raise ValueError("model_index.json: a pipeline that brings code of its own is not run")
    for part in (*NETWORKS, "tokenizer", "scheduler"):
        library, name = index.get(part) or (None, None)
        if library not in ("diffusers", "transformers"):
            raise ValueError(
                f"model_index.json: expected {part} to be a class of diffusers or transformers, "
                f"got {library}.{name}"
            )
    for part in NETWORKS:
        _read_json(root / part / "config.json")
        _check_weights(root / part)
    _read_json(root / "scheduler" / "scheduler_config.json")
    # Without its words transformers makes a tokenizer that knows none, and says nothing.
    whole = (root / "tokenizer" / "tokenizer.json").is_file()
    _read_json(root / "tokenizer" / ("tokenizer.json" if whole else "vocab.json"))
    if not (whole or (root / "tokenizer" / "merges.txt").is_file()):
        raise ValueError("tokenizer/merges.txt is missing; fetch it again")
    return index


def check_weights_whole(root: Path, part: str, network: Any) -> None:
    """Refuse weights of fewer tensors than a network has: libraries make up what is missing.

    Tensors are counted, for libraries rename those of older models while they read them.

    Raises:
        ValueError: tensors are missing.
    """
    from safetensors import safe_open

    names: set[str] = set()
    for path in (root / part).glob("*.safetensors"):
        with safe_open(path, framework="pt") as weights:
            names |= set(weights.keys())
    if len(names) < (needed := len(network.state_dict())):
        raise ValueError(f"{part} has {len(names)} of its {needed} weights; fetch it again")


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


def _check_weights(folder: Path) -> None:
    from safetensors import SafetensorError, safe_open

    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise ValueError(_without_safetensors(folder))
    for path in paths:
        try:
            with safe_open(path, framework="pt") as weights:
                weights.keys()
        except (SafetensorError, OSError) as error:
            raise ValueError(
                f"{folder.name}/{path.name} is damaged or cut short ({error}); fetch it again"
            ) from error


def _without_safetensors(folder: Path) -> str:
    pickles = sorted(path.name for path in folder.glob("*") if path.suffix in PICKLES)
    if not pickles:
        return f"{folder.name} has no weights: a file *.safetensors is missing; fetch it again"
    return (
        f"{folder.name} has its weights as a pickle ({', '.join(pickles)}) and not as safetensors; "
        "a pickle can run any code when it is opened, so it is refused. Fetch the .safetensors "
        "file of the same model, or convert it where you trust it: from_pretrained, then "
        "save_pretrained(folder, safe_serialization=True)"
    )
