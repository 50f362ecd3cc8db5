"""Train the small text-to-image model that ships with the course, and write its folder.

    python -m tools.train_small_text2image vae  --data DATA --work WORK --minutes 38
    python -m tools.train_small_text2image unet --data DATA --work WORK --minutes 240
    python -m tools.train_small_text2image vae  --data DATA --work WORK --minutes 20 \
        --name small_text2image_eurosat
    python -m tools.train_small_text2image unet --data DATA --work WORK --minutes 240 \
        --name small_text2image_eurosat

A latent diffusion model at 64 x 64: an autoencoder, then a denoiser and its text encoder together.
It learns from UC Merced with its captions and from renders of ``mini_earth`` in the training
styles; only ``small_text2image_eurosat``, whose autoencoder starts from the blind one's, also sees
EuroSAT's spatial training part. A killed run goes on where it was when the same command is given
again, with more ``--minutes`` if there is time for more; ``--start FOLDER`` begins a new run from
shipped weights; ``--export`` only writes the folder.

Source:
    Rombach et al. 2022 (arXiv:2112.10752); v-prediction, Salimans and Ho 2022 (arXiv:2202.00512),
    section 4; min-SNR weights, Hang et al. 2023 (arXiv:2303.09556), section 3.4.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor, nn
from transformers import CLIPTokenizer

from course_utils.diffusion import mix, v_from_x0_eps
from tools import training
from tools.small_text2image.latents import (
    Batches,
    Latents,
    cache_latents,
    read_tokenizer,
    sample_captions,
    shares_of,
    tokenize,
    training_caches,
    views_of,
)
from tools.small_text2image.networks import Drawer, Perception, make_autoencoder, make_scheduler
from tools.small_text2image.pipeline import BLIND, SEEING, export, read_autoencoder, vae_folder
from tools.training import Captioned, options

SNR_LIMIT = 5.0  # gamma of min-SNR


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    names = [name for name in options.SHIPPED if name != "name"]
    settings = {"file": None, "minutes": 30.0, "learning_rate": None}
    parser = training.make_parser(__doc__, names, **settings)
    add = parser.add_argument
    add("stage", choices=("vae", "unet"))
    add("--name", default=BLIND, choices=(BLIND, SEEING))
    add("--start", type=Path, help="a pipeline folder whose weights the denoiser starts from")
    add("--perceptual-weight", type=float, default=0.3, help="on features of small_clip; 0: off")
    add("--no-sheets", action="store_true", help="draw no contact sheets to look at")
    args = parser.parse_args(argv)
    batch, learning_rate = {"vae": (32, 7e-4), "unet": (128, 2e-3)}[args.stage]
    args.batch, args.learning_rate = args.batch or batch, args.learning_rate or learning_rate
    args.file = args.file or [options.UC_MERCED] + [options.EUROSAT] * (args.name == SEEING)
    return args


def load_sources(args: argparse.Namespace) -> tuple[list[Captioned], list[Captioned]]:
    """Return (training, validation): each file, then renders; only one model may see EuroSAT."""
    may_see = args.name == SEEING
    return training.load_sources(args, allow_eurosat=may_see, disaster_share=0.3)


# --- Stage 1: the autoencoder -----------------------------------------------------------------


def whole(data: Captioned) -> Tensor:
    """Show whole images at 64 pixels, in [-1, 1]."""
    return 2 * training.whole_images(data.images) - 1


def edge_error(images: Tensor, targets: Tensor) -> Tensor:
    """Average the absolute error of differences between neighbors, along x, y and both scales."""
    error = images - targets
    total = torch.zeros((), device=error.device)
    for _ in range(2):
        total = total + error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()
        error = F.avg_pool2d(error, 2)
    return total / 4


def tone_error(images: Tensor, targets: Tensor) -> Tensor:
    """Average the absolute error of coarse brightness, red against green, blue against yellow.

    Colors of land are pale: without this term, losing one of them costs next to nothing.
    """
    r, g, b = F.avg_pool2d(images - targets, 4).unbind(dim=1)
    return ((r + g + b).abs() / 3 + (r - g).abs() + (b - (r + g) / 2).abs()).mean()


def redundancy(latents: Tensor) -> Tensor:
    """Average the squared correlation between latent channels, so that each tells its own."""
    rows = latents.transpose(0, 1).flatten(1)
    rows = rows - rows.mean(dim=1, keepdim=True)
    rows = rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-6)
    return (rows @ rows.T).fill_diagonal_(0).square().mean()


def train_autoencoder(args: argparse.Namespace) -> None:
    """Train the autoencoder and leave it, with standardized latents, in its folder of WORK."""
    device, folder = training.training_device(args), vae_folder(args, "run")
    sources, held = load_sources(args)
    record = training.run_record(args, held)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(args.seed)
        net = make_autoencoder().to(device)
    if args.name == SEEING:
        blind = AutoencoderKL.from_pretrained(args.work / f"{BLIND}_vae", local_files_only=True)
        net.load_state_dict(blind.state_dict())
    weights = {"l1": 1, "edge": 1, "seen": args.perceptual_weight, "tone": 1}
    weights |= {"alike": 0.1, "kl": 3e-4}
    perception = None
    if args.perceptual_weight:
        perception = Perception(args.models / "small_clip").to(device)

    def loss_at(step: int) -> tuple[Tensor, dict[str, float]]:
        rng, generator = training.step_draws(args.seed, step)
        parts = []
        for data, count in zip(sources, shares_of(sources, args.batch), strict=True):
            rows = torch.from_numpy(rng.integers(len(data), size=count))
            parts.append(views_of(data, rows, generator).images)
        images = training.jitter_colors(torch.cat(parts), generator, strength=0.6)
        images = (2 * images - 1).to(device)
        with training.autocast(device):
            posterior = net.encode(images).latent_dist
            noise = torch.randn(posterior.mean.shape, generator=generator).to(device)
            restored = net.decode(posterior.mean + posterior.std * noise).sample
            seen = perception(restored, images) if perception else torch.zeros(())
        restored = restored.float()
        numbers = {
            "l1": (restored - images).abs().mean(),
            "edge": edge_error(restored, images),
            "tone": tone_error(restored, images),
            "alike": redundancy(posterior.mean.float()),
            "seen": seen.float(),
            "kl": posterior.kl().float().mean() / posterior.mean[0].numel(),
        }
        loss = sum(weight * numbers[name] for name, weight in weights.items())
        return loss, {k: v.item() for k, v in numbers.items()}

    place = vae_folder(args, "sheet.png")
    evaluate = partial(judge_autoencoder, held=held, device=device, path=place)
    budget = training.budget_of(args)
    averaged = training.fit(net, loss_at, folder=folder, budget=budget, evaluate=evaluate)
    with torch.no_grad():
        parts = [whole(part)[:600].to(device) for part in held]
        means = torch.cat([averaged.encode(part).latent_dist.mean for part in parts])
        standardize_latents(averaged, means)
    averaged.save_pretrained(vae_folder(args))
    training.write_metrics(vae_folder(args), record, evaluate(averaged), run=folder)


@torch.no_grad()
def judge_autoencoder(
    vae: AutoencoderKL, held: Sequence[Captioned], device: torch.device, path: Path
) -> dict[str, float]:
    """Measure the reconstruction error by source, and draw originals above reconstructions."""
    numbers, rows = {}, []
    for data in held:
        images = whole(data.take(range(0, len(data), max(1, len(data) // 256))))
        restored = [vae(part.to(device)).sample.cpu() for part in images.split(64)]
        restored = torch.cat(restored).clamp(-1, 1)
        error = (restored - images).square().mean(dim=(1, 2, 3))
        numbers[f"{data.source} squared error"] = float(error.mean())
        numbers[f"{data.source} PSNR in dB"] = float((10 * torch.log10(4 / error)).mean())
        rows += [images[:16] / 2 + 0.5, restored[:16] / 2 + 0.5]
    training.sheet(rows, path)
    return numbers


@torch.no_grad()
def standardize_latents(vae: AutoencoderKL, means: Tensor) -> None:
    """Give each latent channel mean 0 and variance 1 by changing only the two 1 x 1 convolutions.

    The images that the autoencoder restores stay the same; the stock pipeline needs no factor.
    ``means`` are latents of some images, n c h w; ``vae`` is changed in place.
    """
    center, spread = means.mean(dim=(0, 2, 3)), means.std(dim=(0, 2, 3))
    into, out = vae.quant_conv, vae.post_quant_conv
    num = len(center)
    out.bias += out.weight[:, :, 0, 0] @ center
    out.weight *= spread[None, :, None, None]
    into.weight[:num] /= spread[:, None, None, None]
    into.bias[:num] = (into.bias[:num] - center) / spread
    into.bias[num:] -= 2 * spread.log()


# --- Stage 2: the denoiser --------------------------------------------------------------------


def velocity_loss(
    net: nn.Module, x0: Tensor, eps: Tensor, t: Tensor, tokens: Tensor, alpha_bar: Tensor
) -> Tensor:
    r"""Compute the squared error of $v = \sqrt{\bar\alpha}\epsilon - \sqrt{1-\bar\alpha}x_0$."""
    a = alpha_bar[t][:, None, None, None]
    scales = a.sqrt(), (1 - a).sqrt()
    x_t, v = mix(x0, eps, *scales), v_from_x0_eps(x0, eps, *scales)
    with training.autocast(x0.device):
        v_pred = net(x_t, t, tokens)
    return (v_pred.float() - v).square().mean(dim=(1, 2, 3))


def snr_weights(alpha_bar: Tensor) -> Tensor:
    r"""Weigh v-prediction by $\min(\mathrm{SNR}, \gamma) / (\mathrm{SNR} + 1)$, one a step."""
    snr = alpha_bar / (1 - alpha_bar)
    return snr.clamp(max=SNR_LIMIT) / (snr + 1)


def train_denoiser(args: argparse.Namespace) -> None:
    """Train text encoder and denoiser on cached latents; leave weights in WORK."""
    device, folder = training.training_device(args), args.work / args.name
    sources, held = load_sources(args)
    record = training.run_record(args, held)
    vae = read_autoencoder(args).to(device)
    caches = training_caches(args, sources, vae)
    tokenizer = read_tokenizer(args, sample_captions(caches))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(args.seed)
        net = Drawer(tokenizer).to(device)
    if args.start:
        net.start_from(args.start)
    checks = [cache_latents(data, vae, copies=1, work=args.work) for data in held]
    batches = Batches(caches, tokenizer, args)
    alpha_bar = make_scheduler().alphas_cumprod.to(device)
    weights = snr_weights(alpha_bar)

    def loss_at(step: int) -> tuple[Tensor, dict[str, float]]:
        x0, tokens, generator = batches(step)
        eps = torch.randn(x0.shape, generator=generator).to(device)
        t = torch.randint(len(alpha_bar), (len(x0),), generator=generator).to(device)
        errors = velocity_loss(net, x0.to(device), eps, t, tokens.to(device), alpha_bar)
        return (weights[t] * errors).mean() / weights.mean(), {"v_error": errors.mean().item()}

    about = {"checks": checks, "tokenizer": tokenizer, "alpha_bar": alpha_bar}
    evaluate = partial(judge_denoiser, **about)
    budget = training.budget_of(args, decay_share=0.25, has_muon=True, save_every=300.0)
    averaged = training.fit(net, loss_at, folder=folder, budget=budget, evaluate=evaluate)
    training.write_metrics(folder, record, evaluate(averaged))


@torch.no_grad()
def judge_denoiser(
    net: Drawer, checks: Sequence[Latents], tokenizer: CLIPTokenizer, alpha_bar: Tensor
) -> dict[str, float]:
    """Measure the squared error of v by source and noise level, with the same noise each time."""
    numbers = {}
    for check in checks:
        rng, generator = training.step_draws(99, 0)
        chosen = torch.arange(0, len(check.rows), max(1, len(check.rows) // 128))[:128]
        x0 = check.latents[chosen].float().to(alpha_bar.device)
        captions = [check.caption(i, rng) for i in chosen.tolist()]
        tokens = tokenize(tokenizer, captions).to(alpha_bar.device)
        for low in range(0, 1000, 200):
            eps = torch.randn(x0.shape, generator=generator).to(x0.device)
            t = torch.randint(low, low + 200, (len(x0),), generator=generator).to(x0.device)
            error = velocity_loss(net, x0, eps, t, tokens, alpha_bar).mean()
            numbers[f"{check.data.source} v error, steps {low} to {low + 199}"] = float(error)
    return numbers


def main(argv: Sequence[str] | None = None) -> None:
    """Train a stage; after the denoiser, write the folder."""
    args = parse(argv)
    if args.stage == "vae":
        training.run_script(args, train_autoencoder)
    else:
        training.run_script(args, train_denoiser, export)


if __name__ == "__main__":
    main()
