"""From a model's folder to its network: what may be read there, and whether its weights fit.

Settings are JSON, weights are safetensors or pickles of tensors and nothing else, networks are
those of open_clip and two of transformers: which files and classes are taken is listed below.
"""

import logging
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import open_clip
import torch
import transformers
from jaxtyping import Float, UInt8
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.transforms import Compose
from transformers.utils import logging as hugging_logging

from course_utils.hub import (
    ArtifactError,
    choose_weights,
    read_json,
    read_settings,
    refuse_pointer,
    require_finite,
    require_floats,
    require_layers,
    require_tokenizer,
)
from course_utils.images import from_pil, to_unit

CONFIG, HUGGING_CONFIG = "open_clip_config.json", "config.json"  # of open_clip, of transformers
IMAGE_CONFIGS = ("preprocessor_config.json", "processor_config.json")
CLASSES = {"siglip": "SiglipModel", "clip": "CLIPModel"}  # model_type there: class of transformers
SAFE, PICKLED = "*.safetensors", ("open_clip*.bin", "*.pt")  # weights; of pickles only tensors
PUBLISHED = {"remoteclip": "RemoteCLIP-{}.pt", "georsclip": "RS5M_{}.pt"}  # {}: the architecture
TOKENIZER_OPTIONS = {"clean", "language", "reduction_mask", "strip_sep_token"}  # passed on verbatim
LOCAL = {"local_files_only": True, "trust_remote_code": False}
DECISIVE = {".json", ".safetensors", ".txt", ".model", ".pt", ".bin"}  # can change features
# What files of OpenAI and of older versions of transformers hold beside the weights
HARMLESS = ("input_resolution", "context_length", "vocab_size", "position_ids")
NAMED = 5  # names that a message lists
Shapes = Mapping[str, tuple[int, ...]]
TOWERS = {  # first weight of an image tower: what its layers are called, in either library
    "visual.conv1.weight": "visual.transformer.resblocks.",
    "vision_model.embeddings.patch_embedding.weight": "vision_model.encoder.layers.",
}


@dataclass(frozen=True)
class Preprocess:
    """What a model's own preprocessing does, cut where bytes become numbers.

    The first half is for one image of any size and can run in a thread; the second is for a whole
    batch of equal size, on the device, to which bytes travel in a quarter of the time.
    """

    pixels: Callable[[Image.Image], Tensor]  # any size -> bytes 3 h w: resized and cropped
    mean: Sequence[float]  # of each color, in [0, 1]
    std: Sequence[float]

    def normalize(self, images: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
        r"""Scale bytes as the network saw them in training: $(b / 255 - \mu) / \sigma$."""
        unit = to_unit(images)
        mean, std = (unit.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        return unit.sub_(mean).div_(std)

    def __call__(self, image: Image.Image) -> Float[Tensor, "3 h w"]:
        """Do both for one image."""
        return self.normalize(self.pixels(image)[None])[0]


@dataclass(frozen=True)
class Network:
    """What a folder holds, whatever its format."""

    net: nn.Module
    tokenize: Callable[[list[str]], Any]  # prompts -> what its text encoder reads, on the CPU
    preprocess: Preprocess
    image_size: int
    usual: Sequence[str]  # activations that its authors used, the likeliest first
    family: str = "open_clip"  # or the model_type of transformers


def load_network(root: Path, settings: Mapping[str, Any], asked: str | None) -> Network:
    """Load an open_clip folder, a SigLIP or CLIP of transformers, or the one state dict in it.

    Args:
        root: the folder.
        settings: what the lock knows of it: ``architecture``, and ``activations`` it may have.
        asked: an activation to use instead of the usual one.

    Raises:
        ValueError: there is no such model, its files are damaged or hold anything but weights, or
            the weights are another network's.
    """
    try:
        network = _load(root, settings, asked)
        _try_out(network)
        return network
    except Exception as error:  # the libraries let through whatever their parts raise
        advice = "a file is missing, damaged or belongs to another model: restore the folder"
        raise ValueError(
            f"the CLIP model in {root} does not load ({_first_line(error)})"
            + ("" if isinstance(error, ArtifactError) else f"; {advice}")
        ) from error


def _load(root: Path, settings: Mapping[str, Any], asked: str | None) -> Network:
    if (root / CONFIG).is_file():
        return _load_open_clip(root, settings, asked)
    config = root / HUGGING_CONFIG
    content = read_json(config, config.name) if config.is_file() else {}
    if content.get("model_type") in CLASSES:
        return _load_transformers(root, content["model_type"])
    path = _find_state(root, settings.get("architecture"))
    return _build(settings["architecture"], [path], settings["activations"], asked)


def _try_out(network: Network) -> None:
    """Prepare an image, for settings of preprocessing are believed until one is."""
    side = network.image_size
    found = network.preprocess(Image.new("RGB", (side + 1, side)))
    scale = network.net.logit_scale.exp()
    if found.shape != (3, side, side) or not found.isfinite().all() or not scale.isfinite().all():
        raise ArtifactError(
            f"expected images prepared as numbers of shape (3, {side}, {side}) and a finite scale "
            f"of scores, got {tuple(found.shape)} from {found.min():.3g} to {found.max():.3g}, and "
            f"{scale.item():.3g}; fetch the folder again"
        )


def _load_open_clip(root: Path, settings: Mapping[str, Any], asked: str | None) -> Network:
    config = read_settings(root, CONFIG).get("model_cfg")
    words = config.get("text_cfg") if isinstance(config, dict) else None
    if not isinstance(words, dict):
        raise ArtifactError(f"{CONFIG} describes no network: expected model_cfg with text_cfg")
    strange = set(words.get("tokenizer_kwargs") or ()) - TOKENIZER_OPTIONS
    if strange:
        raise ArtifactError(
            f"{CONFIG}: expected tokenizer_kwargs of {', '.join(sorted(TOKENIZER_OPTIONS))}, got "
            f"{', '.join(map(str, strange))}"
        )
    if words.get("hf_tokenizer_name"):
        require_tokenizer(root)
    pickles = [path for kind in PICKLED for path in root.glob(kind)]
    paths = list(root.glob(SAFE)) or pickles
    if not paths:
        raise ArtifactError(f"no {SAFE} beside {CONFIG}, and no {', '.join(PICKLED)}; fetch one")
    usual = ("open_clip_model", "open_clip_pytorch_model", "open_clip*", "model", "*")
    activations = settings.get("activations")
    activations = activations or ["quickgelu" if config.get("quick_gelu") else "gelu"]
    return _build(f"local-dir:{root}", choose_weights(paths, *usual), activations, asked)


def _find_state(root: Path, architecture: str | None) -> Path:
    """Find the one state dict in a folder, or of several the one named after the architecture."""
    paths = sorted(root.rglob(PICKLED[-1]))
    if not paths:
        raise ValueError(
            f"it has no {CONFIG}, no {HUGGING_CONFIG} with model_type {' or '.join(CLASSES)}, "
            f"and no {PICKLED[-1]}"
        )
    if architecture is None:
        raise ValueError(
            f"{paths[0].name} does not say which architecture and activation it is for: put it "
            "alone into a folder called as its name in data/artifacts.lock.json "
            "(remoteclip_vit_b_32, …), set COURSE_MODELS to the folder above and load it by that "
            "name"
        )
    named = [path for path in paths if path.stem.endswith(architecture)]
    if len(paths) > 1 and len(named) != 1:
        names = ", ".join(path.name for path in paths)
        raise ValueError(f"it holds {names}; keep the one for {architecture}")
    return (named if len(paths) > 1 else paths)[0]


def _build(source: str, paths: list[Path], usual: Sequence[str], asked: str | None) -> Network:
    """Build what open_clip knows by a name or reads from a folder, and fill in the weights."""
    known = open_clip.get_model_config(source)
    if known is None:
        raise ValueError(f"open_clip has no architecture {source!r}")
    state = _read_states(paths)
    require_layers(known, len(state), CONFIG)
    options = {"load_weights": False, "pretrained_image": False, "pretrained_text": False}
    options["quick_gelu"] = (asked or usual[0]) == "quickgelu"
    with quiet():
        net = open_clip.create_model(source, **options)
    for name in ("logit_scale", "logit_bias"):  # a number, or a list of one
        if name in state and isinstance(getattr(net, name, None), Tensor):
            state[name] = state[name].reshape(getattr(net, name).shape)
    expected = net.state_dict()
    called = f"what its {CONFIG} says" if source.startswith("local-dir:") else source
    _require_same(shapes_of(state), shapes_of(expected), file=paths[0].name, network=called)
    net.load_state_dict({name: state[name] for name in expected})
    net.to(memory_format=torch.channels_last)  # convolutions on the CPU: a fifth less time
    words = known["text_cfg"]
    tokenize = open_clip.get_tokenizer(source, **(LOCAL if words.get("hf_tokenizer_name") else {}))
    _require_words(tokenize, words.get("vocab_size", 49408))
    config = PreprocessCfg(**net.visual.preprocess_cfg)
    *resize_and_crop, _, normalize = image_transform_v2(config, is_train=False).transforms
    geometry, (height, width) = Compose(resize_and_crop), config.input_size[1:]

    def pixels(image: Image.Image) -> Tensor:
        fits = image.size == (width, height)  # then resizing and cropping would only copy it
        return from_pil(image if fits else geometry(image))

    return Network(net, tokenize, Preprocess(pixels, normalize.mean, normalize.std), width, usual)


def _load_transformers(root: Path, kind: str) -> Network:
    """Load a folder of transformers in single precision.

    Prompts are filled up to the full length, as in training: SigLIP has no mask, and reads the
    padding too.
    """
    paths = list(root.glob(SAFE))
    if not paths:
        raise ArtifactError(f"no {SAFE} beside {HUGGING_CONFIG}, and pickles are not taken there")
    require_tokenizer(root)
    pixels_in = [name for name in IMAGE_CONFIGS if (root / name).is_file()] or IMAGE_CONFIGS[:1]
    for name in sorted({*pixels_in, *(path.name for path in root.glob("*.json"))}):
        read_settings(root, name)  # also those of parts that are none of CLIP's: it would load them
    paths = choose_weights(paths, "model", "*")
    state, build = _read_states(paths), getattr(transformers, CLASSES[kind])
    require_layers(read_settings(root, HUGGING_CONFIG), len(state), HUGGING_CONFIG)
    with quiet():
        config = build.config_class.from_pretrained(root, **LOCAL)
        with torch.device("meta"):
            expected = shapes_of(build(config).state_dict())
        about = {"file": paths[0].name, "network": f"what its {HUGGING_CONFIG} says"}
        _require_same(shapes_of(state), expected, **about)
        options = {"config": config, "state_dict": state, "dtype": torch.float32}
        net = build.from_pretrained(None, **options, **LOCAL)
        reader = transformers.AutoProcessor.from_pretrained(root, **LOCAL)
    _require_words(lambda words: reader.tokenizer(words).input_ids, config.text_config.vocab_size)
    images, side = reader.image_processor, config.vision_config.image_size
    size = images.crop_size if getattr(images, "do_center_crop", False) else images.size
    if (size["height"], size["width"]) != (side, side):
        raise ValueError(f"images are resized to {size}, but the network takes {side} x {side}")
    words = {"padding": "max_length", "truncation": True, "return_tensors": "pt"}
    words["max_length"] = config.text_config.max_position_embeddings
    raw = {"do_rescale": False, "do_normalize": False, "return_tensors": "pt"}

    def tokenize(prompts: list[str]) -> Any:
        return reader.tokenizer(prompts, **words)

    def pixels(image: Image.Image) -> Tensor:
        return images(images=image, **raw)["pixel_values"][0]

    scale = 255 * (images.rescale_factor if images.do_rescale else 1)  # of what is normalized
    usual = (images.image_mean, images.image_std) if images.do_normalize else ([0] * 3, [1] * 3)
    mean, std = ([value / scale for value in values] for values in usual)
    activation = config.vision_config.hidden_act.replace("quick_gelu", "quickgelu")
    return Network(net, tokenize, Preprocess(pixels, mean, std), side, [activation], kind)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep libraries from remarks and bars, and the random state from weights drawn at first."""
    before, had_bar = logging.root.manager.disable, hugging_logging.is_progress_bar_enabled()
    logging.disable(logging.WARNING)
    hugging_logging.disable_progress_bar()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        logging.disable(before)
        if had_bar:
            hugging_logging.enable_progress_bar()


def _require_words(tokenize: Callable[[list[str]], Any], size: int) -> None:
    """Refuse a tokenizer that tells no sentences apart, or knows more words than the network."""
    rows = [list(map(int, row)) for row in tokenize(["a river", "two harbors"])]
    if rows[0] == rows[1] or max(map(max, rows)) >= size:
        raise ArtifactError(
            f"its tokenizer is another model's, or has lost its vocabulary: it reads two sentences "
            f"as {rows[0][:4]} and {rows[1][:4]}, where the network knows {size} words; fetch the "
            "files of the tokenizer again"
        )


def _read_states(paths: list[Path]) -> dict[str, Tensor]:
    return {name: value for path in paths for name, value in _read_state(path).items()}


def _read_state(path: Path) -> dict[str, Tensor]:
    """Read safetensors, or a pickle of tensors and nothing else; unwrap training checkpoints."""
    refuse_pointer(path, path.name)
    try:
        state = load_file(path) if path.suffix == ".safetensors" else _unpickle(path)
    except (SafetensorError, EOFError, RuntimeError, OSError, KeyError) as error:
        raise ValueError(f"{path.name} is damaged or cut short ({_first_line(error)})") from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    wrong = [type(state).__name__]
    if isinstance(state, dict):
        fits = {k: isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()}
        wrong = [f"{k!r}: {type(state[k]).__name__}" for k in state if not fits[k]]
    if wrong or not state:
        raise ValueError(
            f"{path.name} is no plain state dict: expected names and tensors, got "
            f"{_some(wrong) or 'nothing'}; save net.state_dict() of the network"
        )
    if all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): value for name, value in state.items()}
    require_floats({name: str(value.dtype) for name, value in state.items()}, path.name)
    require_finite(state, path.name)
    return state


def _unpickle(path: Path) -> object:
    is_zip = zipfile.is_zipfile(path)  # its table of contents comes last
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


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:1000]


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Give the shape of each tensor."""
    return {name: tuple(value.shape) for name, value in state.items()}


def _require_same(found: Shapes, expected: Shapes, *, file: str, network: str) -> None:
    """Refuse weights of another architecture, or whose names or shapes are not a network's."""
    looks, should_look = sketch(found), sketch(expected)
    if looks and should_look and looks != should_look:
        raise ValueError(
            f"{file} is not of {network}: it holds {looks}; {network} is {should_look}"
        )
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
    """Describe an image tower by what architectures differ in; None if none is recognized."""
    if "visual.layer1.0.conv1.weight" in shapes:
        blocks = "-".join(str(_count(shapes, f"visual.layer{i}.")) for i in (1, 2, 3, 4))
        return f"a ResNet ({blocks} blocks of width {shapes['visual.layer1.0.conv1.weight'][0]})"
    for first, layers in TOWERS.items():
        if len(shapes.get(first, ())) == 4:
            width, _, patch, _ = shapes[first]
            depth = _count(shapes, layers)
            return f"a ViT ({depth} layers of width {width}, {patch}-pixel patches)"
    return None


def _count(shapes: Shapes, prefix: str) -> int:
    """Count the numbers that follow a prefix."""
    ends = (name.removeprefix(prefix) for name in shapes if name.startswith(prefix))
    return len({end.split(".")[0] for end in ends})
