"""Networks of transformers: SigLIP, which is what Git-RSCLIP is, and CLIP in this form."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from course_utils.zero_shot.checkpoints import require_architecture, require_same, shapes_of
from course_utils.zero_shot.nets import Network
from course_utils.zero_shot.pixels import Preprocess

CONFIG = "config.json"
KINDS = {"siglip": "Siglip", "clip": "CLIP"}  # model_type in the configuration: name of the class


def kind_of(root: Path) -> str | None:
    """Say which of `KINDS` a folder is, if any."""
    path = root / CONFIG
    config = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    kind = config.get("model_type") if isinstance(config, dict) else None
    return kind if kind in KINDS else None


def load_folder(root: Path, kind: str) -> Network:
    """Load a folder of transformers in single precision; runs no code from it, unpickles nothing.

    Prompts are filled up to the full length, as in training: SigLIP has no mask, and reads the
    padding too.

    Raises:
        ValueError: the weights are not those of the configured network.
    """
    import transformers  # slow

    found = _read_shapes(root)
    here = {"local_files_only": True}
    build = getattr(transformers, f"{KINDS[kind]}Model")
    with _quiet(), torch.random.fork_rng(devices=[]):
        config = build.config_class.from_pretrained(root, **here)
        with torch.device("meta"):
            expected = shapes_of(build(config).state_dict())
        about = {"file": "model.safetensors", "network": f"what its {CONFIG} says"}
        require_architecture(found, expected, **about)
        require_same(found, expected, **about)
        options = {"dtype": torch.float32, "use_safetensors": True, **here}  # files have 16 bits
        net = build.from_pretrained(root, **options)
        processor = transformers.AutoProcessor.from_pretrained(
            root, trust_remote_code=False, **here
        )
    images = processor.image_processor
    side, size = config.vision_config.image_size, images.size
    if getattr(images, "do_center_crop", False):
        size = images.crop_size
    if (size["height"], size["width"]) != (side, side):
        raise ValueError(f"images are resized to {size}, but the network takes {side} x {side}")
    tokenizer, length = processor.tokenizer, config.text_config.max_position_embeddings

    def encode_text(prompts: list[str]) -> object:
        options = {"padding": "max_length", "max_length": length, "truncation": True}
        tokens = tokenizer(prompts, return_tensors="pt", **options)
        return net.get_text_features(**tokens.to(net.device))

    activation = config.vision_config.hidden_act.replace("quick_gelu", "quickgelu")
    return Network(net, encode_text, _preprocess(images), side, activation, [activation], kind)


def _read_shapes(root: Path) -> dict[str, tuple[int, ...]]:
    """Read names and shapes from the heads of the files."""
    shapes: dict[str, tuple[int, ...]] = {}
    for path in sorted(root.glob("*.safetensors")):
        try:
            with safe_open(path, "pt") as file:
                shapes |= {k: tuple(file.get_slice(k).get_shape()) for k in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{path.name} is damaged or cut short ({error})") from error
    if not shapes:
        raise ValueError(f"there are no *.safetensors beside {CONFIG}; pickles are not taken there")
    return shapes


def _preprocess(processor: object) -> Preprocess:
    options = {"do_rescale": False, "do_normalize": False, "return_tensors": "pt"}
    return Preprocess(
        lambda image: processor(images=image, **options)["pixel_values"][0],
        processor.image_mean,
        processor.image_std,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence transformers: a bar for the weights, and remarks on its own defaults."""
    from transformers.utils import logging

    verbosity, had_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bar:
            logging.enable_progress_bar()
