"""Features on disk: one file a model, checked when read, replaced whole when written."""

import hashlib
import json
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from course_utils.runtime import write_atomically


def read_store(path: Path | None, fingerprint: str) -> tuple[dict[str, Tensor], str]:
    """Give the features by the digest of their image, and what was wrong with the file."""
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


def write_store(path: Path, fingerprint: str, known: dict[str, Tensor]) -> str:
    """Remember features; say why, if that was not possible."""
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
