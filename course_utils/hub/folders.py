"""What a model's folder may hold: data alone, which leads nowhere else.

Its settings are JSON. Every field that may hold words is listed here with the words that it may
hold; all others hold numbers. So no field can name another repository, a file elsewhere or a class
of the folder's own, nor decide whether foreign code is run. Weights are chosen by name, whole, and
are numbers.
"""

import errno
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from course_utils.hub.lock import KINDS, ArtifactError

POINTER = b"version https://git-lfs.github.com/spec/"  # what Git has for a large file
# Words by nature
VOCABULARIES = ("tokenizer.json", "vocab.json", "added_tokens.json", "*.index.json")
TOKENIZERS = (  # files of which one set is a tokenizer
    ("tokenizer.json",),
    ("vocab.json", "merges.txt"),
    *((name,) for name in ("spiece.model", "tokenizer.model", "sentencepiece.bpe.model")),
    ("vocab.txt",),
)
SHARD = re.compile(r"-\d{5}-of-(\d{5})")
WORD, ANY = r"[\w+-]+(\.[\w+-]+)*", r"(?s).*"  # no path, repository or address is one word
PLAIN = """
    act_fn addition_embed_type algorithm_type attention_type beta_schedule class_embed_type
    controlnet_conditioning_channel_order cross_attention_norm down_block_types downsample_type
    encoder_hid_dim_type final_sigmas_type interpolation_type
    mid_block_type prediction_type resnet_time_scale_shift solver_type time_embedding_act_fn
    time_embedding_type time_shift_type timestep_post_act timestep_spacing timestep_type
    up_block_types upsample_fn upsample_type variance_type _class_name _diffusers_version
    architectures dtype finetuning_task hidden_act model_type position_embedding_type problem_type
    torch_dtype transformers_version data_format input_data_format resample _valid_processor_keys
    backend errors model_input_names padding padding_side truncation truncation_side
    truncation_strategy
    approximate block_type clean hf_pooler_type hf_proj_type interpolation language mode pool_type
    pos_embed_type proj_type reduction_mask resize_mode timm_model_name timm_pool timm_proj
    tokenizer_mode dense_act_fn feed_forward_proj
"""  # of diffusers, of transformers, of open_clip
NOTES = """
    _name_or_path name_or_path hf_tokenizer_name special_tokens_map_file _commit_hash id2label
    chat_template added_tokens_decoder prefix
"""  # that nothing follows: where a model came from, what its classes and tokens are called
IMAGES = "(CLIP|Siglip|ViT)(ImageProcessor(Fast|Pil)?|FeatureExtractor)"
WORDS = {
    **dict.fromkeys(PLAIN.split(), WORD),
    **dict.fromkeys(NOTES.split(), ANY),
    "kind": "metadata",  # of the small models of the course
    "tokenizer_class": r"(CLIP|Siglip|T5|MT5|Gemma|Bert|Roberta|XLMRoberta)Tokenizer(Fast)?"
    "|PreTrainedTokenizerFast|TokenizersBackend",
    "processor_class": "(CLIP|Siglip)Processor",
    "image_processor_type": IMAGES,
    "feature_extractor_type": IMAGES,
}


def read_json(path: Path, name: str) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: the file.
        name: what messages call it.

    Raises:
        ArtifactError: it is missing, damaged, no object, or a Git LFS pointer.
    """
    try:
        if not path.is_file():  # a folder, a pipe
            raise FileNotFoundError(errno.ENOENT, "No such file")
        refuse_pointer(path, name)
        data = path.read_bytes()
    except OSError as error:
        said = error.strerror or error
        raise ArtifactError(f"{name} is missing ({said}); fetch it again") from error
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{name} is damaged ({error}); fetch it again") from error
    if not isinstance(content, dict):
        raise ArtifactError(f"{name} is damaged (no JSON object); fetch it again")
    return content


def read_settings(root: Path, name: str) -> dict[str, Any]:
    """Read a JSON file of a model's folder, and refuse what would lead out of it.

    Args:
        root: the folder.
        name: the file's path in it.

    Raises:
        ArtifactError: as `read_json`, or a field holds words that are not listed in `WORDS`.
    """
    content = read_json(root / name, name)
    if not any(fnmatchcase(Path(name).name, vocabulary) for vocabulary in VOCABULARIES):
        refuse_references(content, name)
    return content


def refuse_references(content: object, name: str, field: str = "", allowed: str = "") -> None:
    """Refuse words in a field that may not hold them, at any depth; see `read_settings`."""
    if isinstance(content, dict):
        for key, value in content.items():
            inner = ANY if key.endswith(("_token", "_tokens")) else WORDS.get(key, allowed)
            if "remote_code" in key or (key == "quantization_config" and value):
                inner, value = "", str(value)
            refuse_references(value, name, f"{field}.{key}".lstrip("."), inner)
    elif isinstance(content, list):
        for value in content:
            refuse_references(value, name, field, allowed)
    elif isinstance(content, str) and content and not re.fullmatch(allowed, content):
        raise ArtifactError(
            f"{name}: {field} says {content[:80]!r}, and could so name another repository, file or "
            "code; a model's folder is data and leads nowhere else, so take the field out, or "
            "another copy of the model"
        )


def refuse_pointer(path: Path, name: str) -> None:
    """Refuse what Git leaves in the place of a large file that was not fetched."""
    with open(path, "rb") as file:
        if file.read(len(POINTER)) == POINTER:
            raise ArtifactError(
                f"{name} is a Git LFS pointer of a few lines and not the file itself; fetch it "
                "with git lfs pull, or download it again"
            )


def require_tokenizer(root: Path, folder: str = "") -> None:
    """Refuse a model without a tokenizer of its own, for libraries make one up that knows nothing.

    Args:
        root: the model's folder.
        folder: where the tokenizer lies in it, ending in ``/``.

    Raises:
        ArtifactError: no set of `TOKENIZERS` is there, or its settings lead out of the folder.
    """
    inside = root / folder
    if not any(all((inside / name).is_file() for name in names) for names in TOKENIZERS):
        said = ", or ".join(" with ".join(names) for names in TOKENIZERS)
        raise ArtifactError(
            f"the tokenizer is missing ({folder}{said}); fetch its files where the model was "
            "published, and put them beside the others"
        )
    for path in sorted(inside.glob("*")):
        if path.suffix in KINDS and path.suffix != ".safetensors" and path.is_file():
            refuse_pointer(path, folder + path.name)
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        if (inside / name).is_file():
            read_settings(root, folder + name)


def choose_weights(paths: Iterable[Path], *usual: str) -> list[Path]:
    """Choose the files of one model among several: by name, never the first in silence.

    Numbered parts with an index are one model. Copies in another precision (``model.fp16…``) stand
    back behind the model itself.

    Args:
        paths: all files of weights in a folder.
        usual: patterns of names without ending, the best first.

    Raises:
        ArtifactError: nothing says which one is meant, or parts are missing.
    """
    paths = sorted(path for path in paths if path.is_file())
    if not paths:
        raise ArtifactError("there are no weights (*.safetensors); fetch them again")
    if (paths[0].parent / "adapter_config.json").exists():
        raise ArtifactError(
            "adapter_config.json belongs to an adapter (LoRA), which changes the weights beside it "
            "or is left out, as the library likes; merge it into them and save the model, or take "
            "its files away"
        )
    models: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for path in paths:
        stem, _, variant = SHARD.sub("", path.name).removesuffix(path.suffix).partition(".")
        models[stem][variant].append(path)
    names = ", ".join(path.name for path in paths)
    named = ([stem for stem in models if fnmatchcase(stem, pattern)] for pattern in usual)
    stems = next(filter(None, named), [])
    if len(stems) != 1:
        why = "it is not said which of them is the model" if stems else "none has the usual name"
        raise ArtifactError(
            f"there are the weights {names}, and {why}; keep the right one, as "
            f"{usual[0]}{paths[0].suffix}"
        )
    variants = models[stems[0]]
    if "" not in variants and len(variants) > 1:
        raise ArtifactError(
            f"there are only copies in other precisions ({names}); keep the one to be used"
        )
    variant = "" if "" in variants else next(iter(variants))
    _require_whole(variants[variant], stems[0], variant)
    return variants[variant]


def _require_whole(paths: list[Path], stem: str, variant: str) -> None:
    """Refuse parts without the others, and an index that names other files than these."""
    names, folder = {path.name for path in paths}, paths[0].parent
    numbers = {int(match[1]) for match in map(SHARD.search, names) if match}
    if numbers and (numbers != {len(names)} or not all(map(SHARD.search, names))):
        raise ArtifactError(
            f"{', '.join(sorted(names))}: expected {max(numbers)} numbered parts and nothing else; "
            "fetch the missing ones, or keep either the parts or the whole file"
        )
    index = ".".join(filter(None, (f"{stem}{paths[0].suffix}", "index", variant, "json")))
    if numbers or (folder / index).is_file():
        parts = read_json(folder / index, index).get("weight_map")
        if not isinstance(parts, dict) or set(map(str, parts.values())) != names:
            raise ArtifactError(
                f"{index} names other files than {', '.join(sorted(names))}, which lie beside it; "
                "fetch the folder again"
            )


def require_layers(settings: Mapping[str, Any], most: int, name: str) -> None:
    """Refuse settings with more layers than there are weights, which would be built for hours.

    Args:
        settings: of a network.
        most: the number of its tensors.
        name: what messages call the settings.

    Raises:
        ArtifactError: naming the field.
    """
    for key, value in settings.items():
        if isinstance(value, dict):
            require_layers(value, most, name)
        elif "layers" in key and any(int(num) > most for num in re.findall(r"\d+", str(value))):
            raise ArtifactError(
                f"{name}: {key} says {str(value)[:80]}, and there are {most} weights in all; fetch "
                "the folder again"
            )


def require_floats(dtypes: Mapping[str, str], name: str) -> None:
    """Refuse weights that are kept as whole numbers: quantized, they mean nothing by themselves.

    Args:
        dtypes: number formats by the name of the tensor, as ``str(tensor.dtype)`` or in a header.
        name: what messages call the file.

    Raises:
        ArtifactError: naming the first such tensor.
    """
    for key, dtype in dtypes.items():
        if key.endswith(("weight", "bias")) and "F" not in dtype.upper():
            raise ArtifactError(
                f"{name} has quantized weights, first {key} ({dtype}), which mean nothing without "
                "their scales; take the model in float32 or float16"
            )


def require_finite(state: Mapping[str, Any], name: str) -> None:
    """Refuse tensors that hold NaN or infinity.

    Args:
        state: tensors by name.
        name: what messages call the file.

    Raises:
        ArtifactError: naming the first such tensor.
    """
    for key, value in state.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise ArtifactError(
                f"{name} has values that are no numbers (NaN or infinity), first in {key}; nothing "
                "can be computed with it: fetch it again, or take an earlier checkpoint"
            )


def check_model(root: Path) -> None:
    """Look a folder over that is handed to a library as it is.

    Raises:
        ArtifactError: it leads elsewhere, or its weights are missing, several, or no numbers.
    """
    from safetensors import SafetensorError, safe_open  # with torch, which is slow to import

    for path in sorted(root.glob("*.json")):
        read_settings(root, path.name)
    paths = choose_weights(root.glob("*.safetensors"), "open_clip_model", "model", "*")
    for path in paths:
        refuse_pointer(path, path.name)
        try:
            with safe_open(path, "pt") as file:
                names = list(file.keys())
                require_finite({name: file.get_tensor(name) for name in names}, path.name)
        except (SafetensorError, OSError) as error:
            raise ArtifactError(f"{path.name} is damaged or cut short ({error})") from error
