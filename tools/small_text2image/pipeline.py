"""From the last checkpoints to a folder that the stock pipeline loads, with its card."""

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from safetensors.torch import load, save
from torch import Tensor
from transformers import CLIPTokenizer

import mini_earth
from course_utils.runtime import write_atomically
from tools import training
from tools.small_text2image import networks
from tools.small_text2image.latents import read_tokenizer
from tools.training import cards, words

BLIND, SEEING = "small_text2image", "small_text2image_eurosat"
SEEN = {  # what the card says of it, and of its licence
    BLIND: (
        "It has never seen EuroSAT, nor `mini_earth.TEST_STYLE`: its script refuses both.",
        "",
    ),
    SEEING: (
        "This one **has seen EuroSAT**: images of its spatial training part, and none of the\n"
        "validation and test parts that ship with the course. Every result on EuroSAT that\n"
        f"uses it must say so. Its autoencoder started from that of `{BLIND}`, which never\n"
        "saw EuroSAT.",
        " EuroSAT: Helber et al. 2019, MIT licence; contains Copernicus Sentinel data.",
    ),
}


def vae_folder(args: argparse.Namespace, part: str = "") -> Path:
    """Name the place of the autoencoder, or of something that belongs to it, in WORK."""
    return args.work / "_".join(filter(None, (args.name, "vae", part)))


def read_autoencoder(args: argparse.Namespace) -> AutoencoderKL:
    """Read the trained autoencoder."""
    return AutoencoderKL.from_pretrained(vae_folder(args), local_files_only=True).eval()


def read_drawer(args: argparse.Namespace, tokenizer: CLIPTokenizer) -> networks.Drawer:
    """Read the averaged weights of the last checkpoint."""
    with torch.random.fork_rng(devices=[]):
        drawer = networks.Drawer(tokenizer)
    drawer.load_state_dict(training.read_checkpoint(args.work / args.name)["ema"])
    return drawer


def assemble(args: argparse.Namespace) -> StableDiffusionPipeline:
    """Put the averaged weights of the last checkpoints into the stock pipeline."""
    tokenizer = read_tokenizer(args)
    drawer = read_drawer(args, tokenizer)
    return StableDiffusionPipeline(
        vae=read_autoencoder(args),
        text_encoder=drawer.text_encoder,
        tokenizer=tokenizer,
        unet=drawer.unet,
        scheduler=networks.make_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def draw(
    pipeline: StableDiffusionPipeline,
    prompts: Sequence[str],
    *,
    guidance: float,
    seed: int,
    num_steps: int = 10,
) -> Tensor:
    """Draw one image a prompt, in [0, 1]."""
    pipeline.set_progress_bar_config(disable=True)
    generator, parts = torch.Generator().manual_seed(seed), []
    for start in range(0, len(prompts), 64):
        images = pipeline(
            list(prompts[start : start + 64]),
            num_inference_steps=num_steps,
            guidance_scale=guidance,
            generator=generator,
            height=networks.SIZE,
            width=networks.SIZE,
            output_type="np",
        ).images
        parts.append(torch.from_numpy(images).permute(0, 3, 1, 2))
    return torch.cat(parts)


def contact_sheets(pipeline: StableDiffusionPipeline, folder: Path, *, num_steps: int) -> None:
    """Draw ten images a class into PNGs, to be looked at."""
    sets = {
        "eurosat": words.EUROSAT_PHRASES,
        "disasters": mini_earth.DISASTER_PHRASES,
        "scenes": mini_earth.SCENE_PHRASES,
        "ucmerced": words.UC_MERCED_PHRASES,
    }
    for what, phrases in sets.items():
        prompts = [f"a satellite photo of {p[0]}" for p in phrases.values() for _ in range(10)]
        images = draw(pipeline, prompts, guidance=3.0, seed=0, num_steps=num_steps)
        training.sheet(list(images.split(10)), folder / f"sheet_{what}.png")


def export(args: argparse.Namespace) -> None:
    """Write the pipeline folder, its card, and contact sheets."""
    pipeline, places = assemble(args), (args.work / args.name, vae_folder(args))
    metrics = [json.loads((p / "metrics.json").read_text(encoding="utf-8")) for p in places]
    write_folder(args, pipeline, args.name, card(args, *metrics))


def write_folder(
    args: argparse.Namespace,
    pipeline: StableDiffusionPipeline,
    name: str,
    text: str,
    *,
    num_steps: int = 10,
) -> None:
    """Draw contact sheets, and write a pipeline in half precision, whole or not at all.

    The card is ``text``; paths of this machine are left out of the configurations.
    """
    if not args.no_sheets:
        contact_sheets(pipeline, args.work / name, num_steps=num_steps)
    folder = args.models / name
    draft = folder.with_name(f".{name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    pipeline.save_pretrained(draft)
    for path in draft.rglob("*.safetensors"):
        weights = training.halved(load(path.read_bytes()))
        write_atomically(path, save(weights, metadata={"format": "pt"}))
    for path in draft.rglob("*.json"):
        value = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(value, dict) and value.pop("_name_or_path", None) is not None:
            training.write_json(path, value)
    write_atomically(draft / "README.md", text.encode())
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    training.say(f"wrote {folder}: {size / 1e6:.1f} MB")


def card(args: argparse.Namespace, metrics: dict, vae: dict) -> str:
    """Compose the model card."""
    seen, licence = SEEN[args.name]
    fields = {"name": args.name, "seen": seen, "licence": licence, "vae": vae}
    fields |= {"channels": networks.LATENT_CHANNELS, "max_tokens": networks.MAX_TOKENS}
    fields["vae_table"] = cards.table(vae["validation"], ("autoencoder", "value"))
    fields["measured"] = measured(args, args.name)
    return cards.card("small_text2image", metrics, header=("denoiser", "value"), **fields)


def measured(args: argparse.Namespace, name: str) -> str:
    """Read what ``tools.measure_text2image`` found, or say that nobody asked."""
    parts = [p.read_text(encoding="utf-8") for p in sorted(args.work.glob(f"{name}_measured_on_*"))]
    return "\n".join(parts) or "Drawings: not measured yet.\n"
