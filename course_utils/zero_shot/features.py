"""Images to features: decoded in threads, encoded in batches, each image once a model."""

import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from course_utils.examples import Example
from course_utils.runtime import SEAL_BYTES, read_sealed, sweep, write_sealed
from course_utils.zero_shot.folders import Preprocess
from course_utils.zero_shot.models import Clip

CHUNK = 8  # images that a thread decodes at a time
SMALL_BYTES = 1 << 14  # of a file, under which threads only wait for each other


@dataclass(frozen=True)
class FeatureStep:
    """Progress of `extract_features`, counted in examples; the last one holds the features."""

    done: int
    total: int
    from_cache: int
    features: Float[Tensor, "n d"] | None = None  # unit rows in the order of the examples
    note: str = ""  # what went wrong with the cache, if anything did


def extract_features(
    clip: Clip, examples: Sequence[Example], *, cache: Path | None = None, batch_size: int = 64
) -> Iterator[FeatureStep]:
    """Encode images of any size, each once per model whatever list it comes in.

    Args:
        clip: the model; on a GPU it encodes in mixed precision.
        examples: what to encode.
        cache: folder with one file of features a model; None remembers nothing.
        batch_size: images a forward pass.

    Yields:
        A record after the cache was read, after each batch, and at the end with the features.

    Raises:
        ValueError: there are no examples, one cannot be read (`images.ImageError`), the model
            gives no numbers for one, or batches are empty.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}, expected at least 1")
    digests = [example.digest() for example in examples]
    if not digests:
        raise ValueError("there are no examples to encode; give at least one")
    path = None if cache is None else Path(cache) / f"features_{clip.fingerprint[:24]}.safetensors"
    known, note = _read_store(path)
    todo = {d: e for d, e in zip(digests, examples, strict=True) if d not in known}
    copies = Counter(digests)
    from_cache = done = len(digests) - sum(copies[digest] for digest in todo)
    yield FeatureStep(done, len(digests), from_cache, note=note)
    left = iter(todo)
    try:
        for rows in _encode(clip, list(todo.values()), batch_size):
            batch = [next(left) for _ in rows]
            _require_numbers(clip, rows)
            known.update(zip(batch, rows, strict=True))
            done += sum(copies[digest] for digest in batch)
            yield FeatureStep(done, len(digests), from_cache, note=note)
    finally:  # also when the loop is left early, by an unreadable image or by Ctrl-C
        if path is not None and done > from_cache:
            note = _write_store(path, known) or note
    features = torch.stack([known[digest] for digest in digests])
    yield FeatureStep(done, len(digests), from_cache, features, note)


def image_features(
    clip: Clip, examples: Sequence[Example], *, cache: Path | None = None, batch_size: int = 64
) -> Float[Tensor, "n d"]:
    """Run `extract_features` to its end and return the unit rows."""
    return list(extract_features(clip, examples, cache=cache, batch_size=batch_size))[-1].features


def _encode(clip: Clip, examples: list[Example], batch_size: int) -> Iterator[Float[Tensor, "m d"]]:
    """Decode and encode batch by batch; while a GPU encodes one, threads decode the next."""
    takes_turns = _takes_turns(clip.device)
    num_threads = torch.get_num_threads() if takes_turns else os.cpu_count() or 1

    def start(batch: list[Example]) -> list[Future]:
        parts = [batch[i : i + CHUNK] for i in range(0, len(batch), CHUNK)]
        return [pool.submit(_decode, clip.preprocess, part) for part in parts]

    batches = [examples[i : i + batch_size] for i in range(0, len(examples), batch_size)]
    with ThreadPoolExecutor(num_threads) as pool:
        ahead: list[Future] = []
        for batch, following in zip(batches, [*batches[1:], []], strict=False):
            with _quiet_in_threads():
                if takes_turns and all(map(_is_small, batch)):
                    images = _decode(clip.preprocess, batch)
                else:
                    parts = ahead or start(batch)
                    wait(parts)  # all, also if one fails: no thread may outlast the filters
                    images = torch.cat([part.result() for part in parts]).to(clip.device)
                ahead = [] if takes_turns else start(following)
                try:
                    rows = clip.encode_image(clip.preprocess.normalize(images))
                finally:
                    wait(ahead)  # nor run on while the caller has its turn
            yield rows


def _takes_turns(device: torch.device) -> bool:
    """Say whether decoding and encoding share the same cores, and would only slow each other."""
    return device.type == "cpu"


def _is_small(example: Example) -> bool:
    """Say whether Python's own work on an image, one thread at a time, is most of decoding it."""
    return example.path is None or example.path.stat().st_size < SMALL_BYTES


def _decode(preprocess: Preprocess, examples: list[Example]) -> UInt8[Tensor, "m 3 h w"]:
    return torch.stack([preprocess.pixels(example.load()) for example in examples])


@contextmanager
def _quiet_in_threads() -> Iterator[None]:
    """Set the filters of `images.load_image` around all threads.

    It sets and restores them itself, which goes wrong when several threads do so at a time; if
    what they restore is the same, it does not matter, and here the true filters come back.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _require_numbers(clip: Clip, rows: Float[Tensor, "m d"]) -> None:
    """Refuse features that are no numbers, before they are remembered or compared."""
    if num := int((~rows.isfinite().all(dim=1)).sum()):
        raise ValueError(
            f"{clip.name} gives features that are no numbers (NaN) for {num} of {len(rows)} "
            "images; its weights are damaged: fetch the model again, or take another one"
        )


def _read_store(path: Path | None) -> tuple[dict[str, Tensor], str]:
    """Give the features by the digest of their image, and what was wrong with the file."""
    if path is None:
        return {}, ""
    sweep(path.parent)
    content = read_sealed(path)
    try:
        if content is None:
            raise ValueError("its checksum is wrong")
        store = load(content + bytes(SEAL_BYTES))
        digests = [bytes(row).hex() for row in store["digests"].numpy()]
        rows = dict(zip(digests, store["features"].float(), strict=True))
        return {digest: row for digest, row in rows.items() if row.isfinite().all()}, ""
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        is_new = not os.path.lexists(path)
        said = f"the feature cache {path.name} is damaged or of an older version and is rebuilt"
        return {}, "" if is_new else f"{said} ({error})"


def _write_store(path: Path, known: dict[str, Tensor]) -> str:
    """Remember features beside those of other runs; say why, if that was not possible."""
    known = {**_read_store(path)[0], **known}
    store = {
        "features": torch.stack(list(known.values())),
        "digests": torch.tensor([list(bytes.fromhex(digest)) for digest in known]).byte(),
        "seal": torch.zeros(SEAL_BYTES).byte(),  # the last by kind and name: room for the checksum
    }
    try:
        write_sealed(path, save(store)[:-SEAL_BYTES])
    except OSError as error:  # features that cannot be remembered are still features
        return f"features are not cached: {error}"
    return ""
