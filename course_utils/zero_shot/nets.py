"""Networks of open_clip: from a folder, or from a state dict and the name of an architecture."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import open_clip
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import Compose

from course_utils.images import from_pil
from course_utils.zero_shot.checkpoints import (
    read_state,
    require_architecture,
    require_same,
    shapes_of,
)
from course_utils.zero_shot.pixels import Preprocess

CONFIG = "open_clip_config.json"


@dataclass(frozen=True)
class Network:
    """What a folder holds, whatever its format."""

    net: nn.Module
    encode_text: Callable[[list[str]], object]  # for `unit_rows`
    preprocess: Preprocess
    image_size: int
    activation: str
    usual: Sequence[str]  # activations that its authors used, the likeliest first
    family: str = "open_clip"


def load_folder(root: Path, asked: str | None, usual: Sequence[str] = ()) -> Network:
    """Load an open_clip folder: its configuration, and safetensors or else a plain state dict.

    Args:
        root: the folder.
        asked: an activation to use instead of the usual one.
        usual: what is known of its activation; if nothing is, its configuration counts.

    Raises:
        ValueError: there are no weights, or they are not those of the configured network.
    """
    states = [path for kind in ("open_clip*.bin", "*.pt") for path in root.glob(kind)]
    paths = sorted(root.glob("*.safetensors")) or sorted(states)
    if not paths:
        raise ValueError(f"there are no *.safetensors beside {CONFIG}, and no open_clip*.bin, *.pt")
    named = [path for path in paths if path.name.startswith("open_clip")]  # timm's lie beside them
    source = f"local-dir:{root}"
    is_quick = open_clip.get_model_config(source).get("quick_gelu", False)
    usual = usual or ["quickgelu" if is_quick else "gelu"]
    return _build(source, (named or paths)[0], asked or usual[0], usual)


def load_state(path: Path, architecture: str, asked: str | None, usual: Sequence[str]) -> Network:
    """Load a state dict into an architecture that open_clip knows by name.

    Args:
        path: the file.
        architecture: for example ``ViT-B-32``, without ``-quickgelu``.
        asked: an activation to use instead of the usual one.
        usual: what is known of its activation, the likeliest first.

    Raises:
        ValueError: open_clip does not know the name, or the weights are another network's.
    """
    if open_clip.get_model_config(architecture) is None:
        raise ValueError(f"open_clip has no architecture {architecture!r}")
    return _build(architecture, path, asked or usual[0], usual)


def _build(source: str, weights: Path, activation: str, usual: Sequence[str]) -> Network:
    options = {"load_weights": False, "pretrained_image": False, "pretrained_text": False}
    options["quick_gelu"] = activation == "quickgelu"
    with _quiet(), torch.random.fork_rng(devices=[]):  # building a network draws initial weights
        net = open_clip.create_model(source, **options)
    state = read_state(weights)
    for name in ("logit_scale", "logit_bias"):  # a number, or a list of one
        if name in state and isinstance(getattr(net, name, None), Tensor):
            state[name] = state[name].reshape(getattr(net, name).shape)
    found, expected = shapes_of(state), shapes_of(net.state_dict())
    called = f"what its {CONFIG} says" if source.startswith("local-dir:") else source
    require_architecture(found, expected, file=weights.name, network=called)
    require_same(found, expected, file=weights.name, network=called)
    net.load_state_dict({name: state[name] for name in expected})
    net.to(memory_format=torch.channels_last)  # convolutions on the CPU: a fifth less time
    tokenize = open_clip.get_tokenizer(source)
    config = PreprocessCfg(**net.visual.preprocess_cfg)

    def encode_text(prompts: list[str]) -> Tensor:
        return net.encode_text(tokenize(prompts).to(next(net.parameters()).device))

    size = config.input_size[-1]
    return Network(net, encode_text, _preprocess(config), size, activation, usual)


def _preprocess(config: PreprocessCfg) -> Preprocess:
    *resize_and_crop, _, normalize = image_transform_v2(config, is_train=False).transforms
    geometry, (height, width) = Compose(resize_and_crop), config.input_size[1:]

    def pixels(image: Image.Image) -> Tensor:
        fits = image.size == (width, height)  # then resizing and cropping would only copy it
        return from_pil(image if fits else geometry(image))

    return Preprocess(pixels, normalize.mean, normalize.std)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep open_clip from logging that the network is random, which it is for a moment only."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
