"""Load a language model that makes sentences of words."""

import warnings
from collections.abc import Callable
from pathlib import Path

import torch
import transformers
from safetensors import SafetensorError

from course_utils.hub import ArtifactError, choose_weights, locate, read_settings, refuse_pointer
from course_utils.runtime import pick_device
from course_utils.texts import text
from course_utils.zero_shot.folders import LOCAL, quiet

_READ = ("config", "generation_config", "tokenizer_config", "special_tokens_map")  # .json
Writer = Callable[..., list[str]]  # words, how many, generator= -> different sentences
_MAX_TOKENS = 32  # of a sentence
_SPARE = 1.25  # sentences drawn for each that is wanted: He et al. draw 250 and keep 200


def load_writer(
    name: str = "t5_common_gen",
    *,
    device: torch.device | str | None = None,
    models: Path | None = None,
    remote: bool = False,
) -> Writer | None:
    """Load a T5 that was tuned to put given words into one plausible sentence.

    Args:
        name: an artifact of the lock, or the path of a folder of transformers.
        device: where it runs; None picks the best one.
        models: a folder to search first (``COURSE_MODELS``).
        remote: ask the hub and its mirrors for what is not here; see `locate`.

    Returns:
        A function of words, a number and a ``generator``, which draws up to so many different
        sentences; None where there is no such model, with a warning if it was asked for remotely:
        then ``strategies.write_sentences`` composes captions in its stead.

    Raises:
        OSError: what is to be downloaded does not fit on the disk.

    Source:
        He et al. 2023 (arXiv:2210.07574), section 3.1; CommonGen, Lin et al. 2020
        (arXiv:1911.03705); T5, Raffel et al. 2020 (arXiv:1910.10683).
    """
    try:
        root = locate(name, models=models, remote=remote).root
        _look_over(root)
        with quiet():
            net = transformers.T5ForConditionalGeneration.from_pretrained(
                root, use_safetensors=True, **LOCAL
            )
            tokenizer = transformers.T5TokenizerFast.from_pretrained(root, **LOCAL)
    except (ArtifactError, OSError, SafetensorError) as error:
        if remote:
            said = text("strategies.no_writer", name=name, reason=str(error).splitlines()[0])
            warnings.warn(said, stacklevel=2)
        return None
    net = net.eval().to(pick_device(device and str(device)))

    def write(words: str, num: int, *, generator: torch.Generator) -> list[str]:
        seed = int(torch.randint(2**62, (), generator=generator))
        tokens = tokenizer([words], return_tensors="pt").to(net.device)
        with quiet(), torch.inference_mode(), torch.random.fork_rng():
            torch.manual_seed(seed)
            drawn = net.generate(
                **tokens,
                do_sample=True,
                max_new_tokens=_MAX_TOKENS,
                num_return_sequences=max(1, round(_SPARE * num)),
            )
        said = tokenizer.batch_decode(drawn, skip_special_tokens=True)
        different = list(dict.fromkeys(sentence.strip().rstrip(".") for sentence in said))
        return [sentence for sentence in different if sentence][:num] or [words]

    return write


def _look_over(root: Path) -> None:
    """Refuse a folder that leads elsewhere, or whose weights are no safetensors."""
    for name in (f"{part}.json" for part in _READ):
        if (root / name).is_file():
            read_settings(root, name)
    for path in choose_weights(root.glob("*.safetensors"), "model", "*"):
        refuse_pointer(path, path.name)
