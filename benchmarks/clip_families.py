"""Load CLIP checkpoints of full size in their published form, and compare with the reference call.

    python benchmarks/clip_families.py [--images 16] [remoteclip_vit_b_32 git_rsclip_base …]

Weights are random: files, names, shapes and number format are the published ones, so this shows
what loading takes in time and memory and that full sizes go through, not what a model can do.
OpenAI's CLIP is compared with ``open_clip.create_model_and_transforms`` of its folder, RemoteCLIP
and GeoRSCLIP with the same by name and ``load_state_dict``, Git-RSCLIP with
``SiglipModel(**processor(...))``. Exits with 1 if they differ.
"""

import argparse
import io
import json
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import open_clip
import sentencepiece
import torch
import transformers
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from course_utils import zero_shot
from course_utils.hub import read_lock

PROMPTS = [f"a satellite photo of {name}" for name in ("river", "harbor", "forest", "sea with ice")]
TOLERANCE = 1e-4  # of a logit, at a scale of 100
SIGLIP = {  # what differs from the defaults, which are base-patch16-224
    "git_rsclip_base": {},
    "git_rsclip": {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16}
    | {"num_hidden_layers": 24},
}


def write_folder(folder: Path, name: str) -> Callable[[list[Image.Image]], Tensor]:
    """Write a folder as timm's copies of OpenAI's weights; the result is what open_clip does."""
    architecture = read_lock()[name].settings["architecture"]
    folder.mkdir()
    content = {"model_cfg": {**open_clip.get_model_config(architecture), "quick_gelu": True}}
    content["preprocess_cfg"] = {"mean": open_clip.OPENAI_DATASET_MEAN}
    content["preprocess_cfg"] |= {"std": open_clip.OPENAI_DATASET_STD, "resize_mode": "shortest"}
    (folder / "open_clip_config.json").write_text(json.dumps(content), encoding="utf-8")
    state = open_clip.create_model(architecture).state_dict()
    save_file(state, folder / "open_clip_model.safetensors")
    return lambda images: open_clip_logits(f"local-dir:{folder}", images)


def open_clip_logits(
    source: str, images: list[Image.Image], *, weights: Path | None = None, quick: bool = False
) -> Tensor:
    """Score images as the recipes on the models' cards do."""
    net, _, preprocess = open_clip.create_model_and_transforms(source, force_quick_gelu=quick)
    if weights is not None:
        net.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    pixels = torch.stack([preprocess(image) for image in images])
    tokens = open_clip.get_tokenizer(source)(PROMPTS)
    image_features, text_features, logit_scale = net.eval()(pixels, tokens)
    return logit_scale * image_features @ text_features.T


def write_state(folder: Path, name: str) -> Callable[[list[Image.Image]], Tensor]:
    """Write a state dict; the result is what its authors do with it."""
    entry = read_lock()[name]
    architecture = entry.settings["architecture"]
    path = folder / (next(iter(entry.files), None) or f"ckpt/RS5M_{architecture}.pt")
    path.parent.mkdir(parents=True)
    torch.save(open_clip.create_model(architecture).state_dict(), path)
    quick = entry.settings["activations"][0] == "quickgelu"
    return lambda images: open_clip_logits(architecture, images, weights=path, quick=quick)


def write_siglip(folder: Path, name: str) -> Callable[[list[Image.Image]], Tensor]:
    """Write a folder of transformers in 16 bits; the result is what its model card does with it."""
    folder.mkdir()
    side = 224 if name.endswith("base") else 256
    config = transformers.SiglipConfig(
        text_config=SIGLIP[name], vision_config={**SIGLIP[name], "image_size": side}
    )
    net = transformers.SiglipModel(config)
    with torch.no_grad():
        net.logit_scale.fill_(4.7)
        net.logit_bias.fill_(-12.9)
    state = {name: value.half().contiguous() for name, value in net.state_dict().items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    config.save_pretrained(folder)
    processor = {"image_processor_type": "SiglipImageProcessor", "resample": 3}
    processor |= {"size": {"height": side, "width": side}, "processor_class": "SiglipProcessor"}
    processor |= {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "rescale_factor": 1 / 255}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor), encoding="utf-8")
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(PROMPTS * 9),
        model_writer=model,
        vocab_size=60,
        hard_vocab_limit=False,
        **{"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1},
        minloglevel=2,
    )
    (folder / "spiece.model").write_bytes(model.getvalue())
    words = {"tokenizer_class": "SiglipTokenizer", "model_input_names": ["input_ids"]}
    words |= {"model_max_length": 64, "processor_class": "SiglipProcessor"}
    (folder / "tokenizer_config.json").write_text(json.dumps(words), encoding="utf-8")

    def reference(images: list[Image.Image]) -> Tensor:
        here = {"local_files_only": True, "trust_remote_code": False}
        net = transformers.SiglipModel.from_pretrained(folder, dtype=torch.float32, **here).eval()
        processor = transformers.AutoProcessor.from_pretrained(folder, **here)
        inputs = processor(text=PROMPTS, images=images, padding="max_length", return_tensors="pt")
        return net(**inputs).logits_per_image

    return reference


def compare(name: str, folder: Path, num_images: int) -> float:
    """Write, load, encode and compare one model; prints a row and gives the largest difference."""
    start = time.perf_counter()
    family = read_lock()[name].settings["family"]
    write = {"openai": write_folder, "git_rsclip": write_siglip}.get(family, write_state)
    reference = write(folder / name, name)
    seconds = [time.perf_counter() - start]
    start = time.perf_counter()
    clip = zero_shot.load_clip(name, models=folder, device="cpu")
    seconds.append(time.perf_counter() - start)
    rng = np.random.default_rng(0)
    shapes = [(200 + 9 * i, 256, 3) for i in range(num_images)]
    images = [Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)) for shape in shapes]
    pixels = torch.stack([clip.preprocess(image) for image in images])
    start = time.perf_counter()
    features = clip.encode_image(pixels)
    seconds.append(time.perf_counter() - start)
    logits = zero_shot.zero_shot_logits(
        features,
        zero_shot.class_weights(clip, PROMPTS, ["{}"]),
        logit_scale=clip.logit_scale,
        logit_bias=clip.logit_bias,
    )
    num_bytes = sum(path.stat().st_size for path in (folder / name).rglob("*") if path.is_file())
    num_parameters = sum(value.numel() for value in clip.net.parameters())
    activation = clip.activation
    del clip
    with torch.no_grad():
        difference = (logits - reference(images)).abs().max().item()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{name:<22}{num_parameters:>14,}{num_bytes / 1e6:9.0f}  {activation:<18}{seconds[1]:8.1f}"
        f"{num_images / seconds[2]:10.2f}{difference:12.1e}{peak:9.1f}"
    )
    return difference


def main() -> int:
    """Compare the models that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = {name for name, entry in read_lock().items() if "family" in entry.settings}
    usual = ["clip_vit_b_32", "remoteclip_vit_b_32", "georsclip_vit_b_32", "git_rsclip_base"]
    parser.add_argument("names", nargs="*", default=usual)
    parser.add_argument("--images", type=int, default=16)
    args = parser.parse_args()
    if unknown := set(args.names) - known:
        parser.error(f"expected {', '.join(sorted(known))}; got {', '.join(sorted(unknown))}")
    warnings.simplefilter("ignore")
    transformers.utils.logging.set_verbosity_error()
    torch.manual_seed(0)
    print(
        f"{'model':<22}{'parameters':>14}{'MB':>9}  {'activation':<18}{'load s':>8}{'images/s':>10}"
        f"{'difference':>12}{'peak GB':>9}"
    )
    differences = []
    for name in args.names:
        with tempfile.TemporaryDirectory() as folder:  # one at a time: the largest has 4 GB
            differences.append(compare(name, Path(folder), args.images))
    return 0 if all(each <= TOLERANCE for each in differences) else 1  # NaN is too much


if __name__ == "__main__":
    sys.exit(main())
