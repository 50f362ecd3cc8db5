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
import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import (
    AutoencoderKL,
    DPMSolverMultistepScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from safetensors import safe_open
from safetensors.torch import load, save
from torch import Tensor, nn
from transformers import AddedToken, CLIPTextConfig, CLIPTextModel, CLIPTokenizer

import mini_earth
from course_utils.diffusion import mix, v_from_x0_eps
from tools import training
from tools.training import Captioned, words
from tools.training.looks import LOOKS, find_looks

SIZE, LATENT_CHANNELS, TEXT_WIDTH, MAX_TOKENS = 64, 6, 128, 77
BLIND, SEEING = "small_text2image", "small_text2image_eurosat"
SNR_LIMIT = 5.0  # gamma of min-SNR
LONG_SHARE, EMPTY_SHARE, LEVEL_SHARE = 0.5, 0.1, 0.5  # of the captions


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("stage", choices=("vae", "unet"))
    add("--data", type=Path, required=True, help="folder with train/*.parquet")
    add("--work", type=Path, required=True, help="folder for caches, checkpoints, logs, sheets")
    add("--file", nargs="+", help="in DATA/train; default UC Merced, and EuroSAT for its variant")
    add("--styles", nargs="+", default=list(mini_earth.TRAIN_STYLES), help="of mini_earth")
    add("--name", default=BLIND, choices=(BLIND, SEEING))
    add("--models", type=Path, default=Path(__file__).parents[1] / "data" / "models")
    add("--export", action="store_true", help="only write the folder from the last checkpoint")
    add("--minutes", type=float, default=30.0)
    add("--steps", type=int, default=1_000_000)
    add("--batch", type=int, help="default 32 for the autoencoder, 128 for the denoiser")
    add("--start", type=Path, help="a pipeline folder whose weights the denoiser starts from")
    add("--renders", type=int, default=48_000)
    add("--validation-renders", type=int, default=1_500)
    add("--perceptual-weight", type=float, default=0.3, help="on features of small_clip; 0: off")
    add("--learning-rate", type=float, help="default 7e-4, for the denoiser 2e-3")
    add("--seed", type=int, default=0)
    add("--device")
    add("--threads", type=int, default=2)
    add("--processes", type=int, default=2, help="that render at a time")
    add("--no-sheets", action="store_true", help="draw no contact sheets to look at")
    args = parser.parse_args(argv)
    args.batch = args.batch or {"vae": 32, "unet": 128}[args.stage]
    args.learning_rate = args.learning_rate or {"vae": 7e-4, "unet": 2e-3}[args.stage]
    seen = ["ucmerced_captions_train.parquet"]
    args.file = args.file or seen + ["eurosat_spatial_train.parquet"] * (args.name == SEEING)
    return args


# --- Networks ---------------------------------------------------------------------------------


def make_autoencoder() -> AutoencoderKL:
    """Make an autoencoder to 16 x 16 latents, with few channels where pixels are many."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 96),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=SIZE,
        scaling_factor=1.0,  # latents have unit variance: see standardize_latents
        mid_block_add_attention=False,
    )


def make_denoiser() -> UNet2DConditionModel:
    """Make a denoiser that reads text where it works on 8 x 8 and 4 x 4 positions."""
    return UNet2DConditionModel(
        sample_size=SIZE // 4,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(64, 128, 192),
        layers_per_block=1,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
    )


def make_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """Make a text encoder for the small vocabulary."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            intermediate_size=4 * TEXT_WIDTH,
            projection_dim=TEXT_WIDTH,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=MAX_TOKENS,
            hidden_act="gelu",
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def make_scheduler() -> DPMSolverMultistepScheduler:
    """Make the solver of the shipped pipeline; training takes its noise levels."""
    return DPMSolverMultistepScheduler(
        num_train_timesteps=1000,
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        solver_order=2,
        lambda_min_clipped=-5.1,  # the cosine schedule ends in pure noise: log-SNR is unbounded
        timestep_spacing="linspace",
        steps_offset=1,
    )


# --- Data -------------------------------------------------------------------------------------


def load_sources(args: argparse.Namespace) -> tuple[list[Captioned], list[Captioned]]:
    """Return (training, validation): each file, then renders.

    Raises:
        ValueError: a file is EuroSAT and the model must not see it, or a style is not for training.
    """
    may_see = args.name == SEEING
    files, parts = training.training_files(args), []
    for path in files:
        if not may_see:
            training.refuse_eurosat(path)
        size = 64 if "eurosat" in path.name else 96
        data = training.read_captioned(path, size=size, allow_eurosat=may_see)
        parts.append(training.split_last_tenth(data))
    training.record_seen(files, args.models.parent / "train_hashes.npy")
    renders, fresh = training.render_both(args)
    return [*(part[0] for part in parts), renders], [*(part[1] for part in parts), fresh]


def counts(sources: Sequence[Captioned], batch: int) -> list[int]:
    """Share a batch among the sources."""
    weights = {"ucmerced": 0.35, "eurosat": 2.0, "mini_earth": 0.65}
    shares = np.array([weights[data.source] for data in sources])
    numbers = np.round(batch * shares / shares.sum()).astype(int)
    numbers[-1] += batch - numbers.sum()
    return [int(number) for number in numbers]


def crop_scale(data: Captioned) -> tuple[float, float]:
    """Crop only where there are more pixels than 64: a crop must not be blurrier than life."""
    return (0.45, 1.0) if data.images.shape[-1] > SIZE else (1.0, 1.0)


def whole(data: Captioned) -> Tensor:
    """Show whole images at 64 pixels, in [-1, 1]."""
    images = data.images.float() / 255
    if images.shape[-1] != SIZE:
        images = F.interpolate(images, size=SIZE, mode="bicubic", antialias=True).clamp(0, 1)
    return 2 * images - 1


# --- Stage 1: the autoencoder -----------------------------------------------------------------


class Perception(nn.Module):
    """Compare images by early features of the small CLIP, which rewards texture and edges.

    Source:
        Zhang et al. 2018, LPIPS (arXiv:1801.03924), equation 1, with our own network.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        import open_clip

        with torch.random.fork_rng(devices=[]):
            net = open_clip.create_model(f"local-dir:{folder}", require_pretrained=True)
        self.tower = net.visual.eval().requires_grad_(False)
        self.tower.to(memory_format=torch.channels_last)

    def features(self, images: Tensor) -> Iterator[Tensor]:
        """Yield features with unit channels, of images in [-1, 1]."""
        net = self.tower
        x = images / 0.5  # small_clip wants (pixels - 0.5) / 0.25
        x = net.act2(net.bn2(net.conv2(net.act1(net.bn1(net.conv1(x))))))
        yield F.normalize(x, dim=1)
        x = net.layer1(net.avgpool(net.act3(net.bn3(net.conv3(x)))))
        yield F.normalize(x, dim=1)
        yield F.normalize(net.layer2(x), dim=1)

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        """Average the squared distance over positions and layers."""
        with torch.no_grad():
            wanted = list(self.features(targets))
        pairs = zip(self.features(images), wanted, strict=True)
        return sum((a.float() - b.float()).square().sum(dim=1).mean() for a, b in pairs) / 3


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


def vae_folder(args: argparse.Namespace, part: str = "") -> Path:
    """Name the place of the autoencoder, or of something that belongs to it, in WORK."""
    return args.work / "_".join(filter(None, (args.name, "vae", part)))


def train_autoencoder(args: argparse.Namespace) -> None:
    """Train the autoencoder and leave it, with standardized latents, in its folder of WORK."""
    device, folder = training.pick_training_device(args.device), vae_folder(args, "run")
    sources, held = load_sources(args)
    record = settings(args, held)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(args.seed)
        net, judge = make_autoencoder().to(device), make_autoencoder().to(device)
    if args.name == SEEING:
        blind = AutoencoderKL.from_pretrained(args.work / f"{BLIND}_vae")
        net.load_state_dict(blind.state_dict())
    perception = None
    if args.perceptual_weight:
        perception = Perception(args.models / "small_clip").to(device)

    def loss_at(step: int) -> tuple[Tensor, dict[str, float]]:
        rng, generator = training.step_draws(args.seed, step)
        parts = []
        for data, count in zip(sources, counts(sources, args.batch), strict=True):
            rows = torch.from_numpy(rng.integers(len(data), size=count))
            parts.append(
                training.random_views(
                    data.images[rows], generator, size=SIZE, scale=crop_scale(data)
                ).images
            )
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
        loss = numbers["l1"] + numbers["edge"] + args.perceptual_weight * numbers["seen"]
        loss = loss + numbers["tone"] + 0.1 * numbers["alike"]
        return loss + 3e-4 * numbers["kl"], {k: v.item() for k, v in numbers.items()}

    def evaluate(state: dict[str, Tensor]) -> dict[str, float]:
        judge.load_state_dict(state)
        return judge_autoencoder(judge, held, device, vae_folder(args, "sheet.png"))

    budget = training.Budget(
        minutes=args.minutes, steps=args.steps, learning_rate=args.learning_rate
    )
    state = training.fit(net, loss_at, folder=folder, budget=budget, evaluate=evaluate)
    judge.load_state_dict(state)
    with torch.no_grad():
        parts = [whole(part)[:600].to(device) for part in held]
        standardize_latents(judge, torch.cat([judge.encode(p).latent_dist.mean for p in parts]))
    judge.save_pretrained(vae_folder(args))
    run = torch.load(folder / "checkpoint.pt", map_location="cpu", weights_only=True)
    metrics = {
        "validation": judge_autoencoder(judge, held, device, vae_folder(args, "sheet.png")),
        "steps": run["step"],
        "minutes": run["used"] / 60,
        "provenance": record,
    }
    training.write_json(vae_folder(args) / "metrics.json", metrics)


@torch.no_grad()
def judge_autoencoder(
    vae: AutoencoderKL, held: Sequence[Captioned], device: torch.device, path: Path
) -> dict[str, float]:
    """Measure the reconstruction error by source, and draw originals above reconstructions."""
    vae.eval()
    numbers, rows = {}, []
    for data in held:
        images = whole(data.take(range(0, len(data), max(1, len(data) // 256))))
        restored = torch.cat(
            [vae(part.to(device)).sample.cpu() for part in images.split(64)]
        ).clamp(-1, 1)
        error = (restored - images).square().mean(dim=(1, 2, 3))
        numbers[f"{data.source} squared error"] = float(error.mean())
        numbers[f"{data.source} PSNR in dB"] = float((10 * torch.log10(4 / error)).mean())
        rows += [images[:16] / 2 + 0.5, restored[:16] / 2 + 0.5]
    training.sheet(rows, path)
    training.say(", ".join(f"{key} {value:.4f}" for key, value in numbers.items()))
    return numbers


@torch.no_grad()
def standardize_latents(vae: AutoencoderKL, means: Tensor) -> None:
    """Give each latent channel mean 0 and variance 1 by changing only the two 1 x 1 convolutions.

    The images that the autoencoder restores stay the same; the stock pipeline needs no factor.

    Args:
        vae: changed in place.
        means: latents of some images, n c h w.
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


@dataclass(frozen=True)
class Latents:
    """Latents of turned and cropped views, and what may be said of each."""

    data: Captioned
    latents: Tensor  # half precision, n c h w
    rows: np.ndarray  # int, n: of ``data``
    meters: np.ndarray  # per pixel as shown, n
    turns: np.ndarray  # int, n: quarter turns, counterclockwise
    is_mirrored: np.ndarray  # bool, n
    looks: tuple[tuple[mini_earth.Sight, ...], ...]  # measured on the view; () of a render

    def caption(self, i: int, rng: np.random.Generator) -> str:
        """Say something of view ``i``: in half of all cases much, in a tenth nothing."""
        row, luck = int(self.rows[i]), rng.random()
        if luck < EMPTY_SHARE:
            return ""
        said = training.compose_caption(self.data, row, rng, sentence_share=0.3)
        if luck < EMPTY_SHARE + LONG_SHARE:
            sights = self.looks[i] or [
                sight.turned(
                    quarter_turns=int(self.turns[i]), is_mirrored=bool(self.is_mirrored[i])
                )
                for sight in self.data.sights[row]
            ]
            said = mini_earth.long_caption(said.removesuffix("."), sights, rng)
        if rng.random() < LEVEL_SHARE:
            said = f"{training.google_level(float(self.meters[i]))}_GOOGLE_LEVEL_{said}"
        return said


@torch.no_grad()
def cache_latents(
    data: Captioned, vae: AutoencoderKL, *, copies: int, device: torch.device, work: Path
) -> Latents:
    """Encode turned, mirrored and cropped views once, into a file in ``work``."""
    digest = hashlib.sha256(data.images.numpy().tobytes())
    for part in (vae.encoder, vae.quant_conv):
        for value in part.state_dict().values():
            digest.update(value.cpu().numpy().tobytes())
    digest.update(LOOKS)
    path = work / f"latents_{data.source}_{copies}_{digest.hexdigest()[:12]}.safetensors"
    if not path.is_file():
        training.say(f"encoding {copies} x {len(data)} images of {data.source}")
        training.write_bytes(path, encode_views(data, vae, copies=copies, device=device))
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        looks = json.loads(file.metadata()["looks"])
    arrays = {name: tensors[name].numpy() for name in ("rows", "meters", "turns", "is_mirrored")}
    looks = tuple(tuple(mini_earth.Sight(*look) for look in one) for one in looks)
    return Latents(data=data, latents=tensors["latents"], looks=looks, **arrays)


def encode_views(
    data: Captioned, vae: AutoencoderKL, *, copies: int, device: torch.device
) -> bytes:
    """Draw views of every image, encode them, and look at those of photographs."""
    generator, columns, looks = torch.Generator().manual_seed(7), [], []
    for chosen in torch.arange(len(data)).repeat(copies).split(128):
        views = training.random_views(
            data.images[chosen], generator, size=SIZE, scale=crop_scale(data)
        )
        with training.autocast(device):
            means = vae.encode(2 * views.images.to(device) - 1).latent_dist.mean
        meters = torch.from_numpy(data.meters_per_pixel).float()[chosen]
        meters = meters * views.side * data.images.shape[-1] / SIZE
        columns.append((means.half().cpu(), chosen, meters, views.quarter_turns, views.is_mirrored))
        for image in views.images.permute(0, 2, 3, 1).numpy():
            found = () if data.sights else find_looks(image)
            looks.append([astuple(look) for look in found])
    names = ("latents", "rows", "meters", "turns", "is_mirrored")
    tensors = {k: torch.cat(v) for k, v in zip(names, zip(*columns, strict=True), strict=True)}
    return save(tensors, metadata={"looks": json.dumps(looks)})


def training_caches(
    args: argparse.Namespace,
    sources: Sequence[Captioned],
    vae: AutoencoderKL,
    device: torch.device,
) -> list[Latents]:
    """Cache the latents of all training sources, of few images in more views."""
    copies = {"ucmerced": 24, "eurosat": 4, "mini_earth": 2}
    return [
        cache_latents(d, vae, copies=copies[d.source], device=device, work=args.work)
        for d in sources
    ]


class Batches:
    """Draw latents and token ids by step: classes evenly, captions in several forms."""

    def __init__(self, caches: list[Latents], tokenizer: CLIPTokenizer, args) -> None:
        self.caches, self.tokenizer, self.args = caches, tokenizer, args
        self.counts = counts([cache.data for cache in caches], args.batch)
        self.by_class = []
        for cache in caches:
            labels = np.array(cache.data.labels)[cache.rows]
            self.by_class.append([np.flatnonzero(labels == name) for name in sorted(set(labels))])

    def __call__(self, step: int) -> tuple[Tensor, Tensor, torch.Generator]:
        """Return latents, token ids, and the step's generator for what else it draws."""
        rng, generator = training.step_draws(self.args.seed, step)
        latents, captions = [], []
        for cache, count, classes in zip(self.caches, self.counts, self.by_class, strict=True):
            some = [classes[k] for k in rng.integers(len(classes), size=count)]
            chosen = [int(views[rng.integers(len(views))]) for views in some]
            latents.append(cache.latents[torch.tensor(chosen)].float())
            captions += [cache.caption(i, rng) for i in chosen]
        return torch.cat(latents), tokenize(self.tokenizer, captions), generator


def tokenize(tokenizer: CLIPTokenizer, texts: Sequence[str]) -> Tensor:
    """Encode texts as the stock pipeline does."""
    return tokenizer(
        list(texts),
        return_tensors="pt",
        max_length=MAX_TOKENS,
        padding="max_length",
        truncation=True,
    ).input_ids


def sample_captions(caches: Sequence[Latents], num: int = 6000) -> list[str]:
    """Draw captions of every source, for a vocabulary."""
    rng = np.random.default_rng(0)
    picks = [(cache, int(i)) for cache in caches for i in rng.integers(len(cache.rows), size=num)]
    return [cache.caption(i, rng) for cache, i in picks]


def read_tokenizer(args: argparse.Namespace, texts: Sequence[str] = ()) -> CLIPTokenizer:
    """Read or train the tokenizer of both variants; each zoom level is one token of its own."""
    tokenizer = training.tokenizer_in(args.work / "tokenizer", texts, max_length=MAX_TOKENS)
    levels = [AddedToken(f"{n}_GOOGLE_LEVEL_", normalized=False) for n in range(10, 19)]
    tokenizer.add_tokens(levels)
    return tokenizer


class Drawer(nn.Module):
    """The two networks that learn together: text encoder and denoiser."""

    def __init__(self, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.text_encoder, self.unet = make_text_encoder(tokenizer), make_denoiser()

    def start_from(self, folder: Path) -> None:
        """Take the weights of a pipeline folder with the same vocabulary."""
        for part in ("text_encoder", "unet"):
            (path,) = (folder / part).glob("*.safetensors")
            weights = load(path.read_bytes())
            getattr(self, part).load_state_dict({k: v.float() for k, v in weights.items()})

    def forward(self, x_t: Tensor, t: Tensor, tokens: Tensor) -> Tensor:
        """Predict v from noised latents, their step and a caption."""
        context = self.text_encoder(tokens).last_hidden_state
        return self.unet(x_t, t, encoder_hidden_states=context).sample


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
    """Train text encoder and denoiser on cached latents; leave weights and sheets in WORK."""
    device, folder = training.pick_training_device(args.device), args.work / args.name
    sources, held = load_sources(args)
    record = settings(args, held)
    vae = AutoencoderKL.from_pretrained(vae_folder(args)).to(device).eval()
    caches = training_caches(args, sources, vae, device)
    tokenizer = read_tokenizer(args, sample_captions(caches))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(args.seed)
        net, judge = Drawer(tokenizer).to(device), Drawer(tokenizer).to(device)
    if args.start:
        net.start_from(args.start)
    checks = [cache_latents(d, vae, copies=1, device=device, work=args.work) for d in held]
    batches = Batches(caches, tokenizer, args)
    alpha_bar = make_scheduler().alphas_cumprod.to(device)
    weights = snr_weights(alpha_bar)

    def loss_at(step: int) -> tuple[Tensor, dict[str, float]]:
        x0, tokens, generator = batches(step)
        eps = torch.randn(x0.shape, generator=generator).to(device)
        t = torch.randint(len(alpha_bar), (len(x0),), generator=generator).to(device)
        errors = velocity_loss(net, x0.to(device), eps, t, tokens.to(device), alpha_bar)
        return (weights[t] * errors).mean() / weights.mean(), {"v_error": errors.mean().item()}

    def evaluate(state: dict[str, Tensor]) -> dict[str, float]:
        judge.load_state_dict(state)
        return judge_denoiser(judge, checks, tokenizer, alpha_bar)

    budget = training.Budget(
        minutes=args.minutes,
        steps=args.steps,
        learning_rate=args.learning_rate,
        ema_decay=0.999,
        decay_share=0.25,
        has_muon=True,
        save_every=300.0,
    )
    state = training.fit(net, loss_at, folder=folder, budget=budget, evaluate=evaluate)
    judge.load_state_dict(state)
    run = torch.load(folder / "checkpoint.pt", map_location="cpu", weights_only=True)
    metrics = {
        "validation": judge_denoiser(judge, checks, tokenizer, alpha_bar),
        "steps": run["step"],
        "minutes": run["used"] / 60,
        "provenance": record,
    }
    training.write_json(folder / "metrics.json", metrics)


@torch.no_grad()
def judge_denoiser(
    net: Drawer, checks: Sequence[Latents], tokenizer: CLIPTokenizer, alpha_bar: Tensor
) -> dict[str, float]:
    """Measure the squared error of v by source and noise level, with the same noise each time."""
    net.eval()
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
    by_source = {k.split()[0]: [] for k in numbers}
    for key, value in numbers.items():
        by_source[key.split()[0]].append(value)
    training.say(", ".join(f"{k} {np.mean(v):.4f}" for k, v in by_source.items()))
    return numbers


# --- The folder -------------------------------------------------------------------------------


def settings(args: argparse.Namespace, held: Sequence[Captioned]) -> dict[str, object]:
    """Record what decided this run."""
    return training.provenance(
        training.training_files(args),
        stage=args.stage,
        seed=args.seed,
        batch=args.batch,
        renders=args.renders,
        styles=list(args.styles),
        learning_rate=args.learning_rate,
        num_validation={data.source: len(data) for data in held},
    )


def load_drawer(args: argparse.Namespace, tokenizer: CLIPTokenizer) -> Drawer:
    """Read the averaged weights of the last checkpoint."""
    with torch.random.fork_rng(devices=[]):
        drawer = Drawer(tokenizer)
    path = args.work / args.name / "checkpoint.pt"
    drawer.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["ema"])
    return drawer


def assemble(args: argparse.Namespace) -> StableDiffusionPipeline:
    """Put the averaged weights of the last checkpoints into the stock pipeline."""
    tokenizer = read_tokenizer(args)
    drawer = load_drawer(args, tokenizer)
    return StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(vae_folder(args)),
        text_encoder=drawer.text_encoder,
        tokenizer=tokenizer,
        unet=drawer.unet,
        scheduler=make_scheduler(),
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
            height=SIZE,
            width=SIZE,
            output_type="np",
        ).images
        parts.append(torch.from_numpy(images).permute(0, 3, 1, 2))
    return torch.cat(parts)


def contact_sheets(
    args: argparse.Namespace, pipeline: StableDiffusionPipeline, *, name: str, num_steps: int = 10
) -> None:
    """Draw ten images a class into PNGs of WORK, to be looked at."""
    sets = {
        "eurosat": words.EUROSAT_PHRASES,
        "disasters": mini_earth.DISASTER_PHRASES,
        "scenes": mini_earth.SCENE_PHRASES,
        "ucmerced": words.UC_MERCED_PHRASES,
    }
    for what, phrases in sets.items():
        prompts = [f"a satellite photo of {p[0]}" for p in phrases.values() for _ in range(10)]
        images = draw(pipeline, prompts, guidance=3.0, seed=0, num_steps=num_steps)
        training.sheet(list(images.split(10)), args.work / name / f"sheet_{what}.png")


def export(args: argparse.Namespace) -> Path:
    """Write the pipeline folder, its card, and contact sheets."""
    pipeline = assemble(args)
    metrics = json.loads((args.work / args.name / "metrics.json").read_text(encoding="utf-8"))
    vae_metrics = json.loads((vae_folder(args) / "metrics.json").read_text(encoding="utf-8"))
    if not args.no_sheets:
        contact_sheets(args, pipeline, name=args.name)
    return write_folder(pipeline, args.models / args.name, card(args, metrics, vae_metrics))


def write_folder(pipeline: StableDiffusionPipeline, folder: Path, text: str) -> Path:
    """Write a pipeline in half precision, whole or not at all, with its card."""
    draft = folder.with_name(f".{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    pipeline.save_pretrained(draft)
    for path in draft.rglob("*.safetensors"):
        weights = training.halved(load(path.read_bytes()))
        training.write_bytes(path, save(weights, metadata={"format": "pt"}))
    forget_paths(draft)
    training.write_bytes(draft / "README.md", text.encode())
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    training.say(f"wrote {folder}: {size / 1e6:.1f} MB")
    return folder


def forget_paths(folder: Path) -> None:
    """Remove paths of this machine from the configurations."""
    for path in folder.rglob("*.json"):
        value = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(value, dict) and value.pop("_name_or_path", None) is not None:
            training.write_json(path, value)


def card(args: argparse.Namespace, metrics: dict, vae: dict) -> str:
    """Compose the model card; every number comes from the runs."""
    name, run = args.name, metrics["provenance"]
    files = "\n".join(f"- `{f}` (SHA-256 {digest})" for f, digest in run["files"].items())
    held = ", ".join(f"{n} of {source}" for source, n in run["num_validation"].items())
    if name == SEEING:
        seen = (
            "This one **has seen EuroSAT**: images of its spatial training part, and none of the\n"
            "validation and test parts that ship with the course. Every result on EuroSAT that\n"
            f"uses it must say so. Its autoencoder started from that of `{BLIND}`, which never\n"
            "saw EuroSAT."
        )
        licence = " EuroSAT: Helber et al. 2019, MIT licence; contains Copernicus Sentinel data."
    else:
        seen = "It has never seen EuroSAT, nor `mini_earth.TEST_STYLE`: its script refuses both."
        licence = ""
    return f"""# {name}

A small latent diffusion model that draws 64 x 64 overhead images from an English sentence, made
for this course so that every notebook runs offline on two cores. It is a teaching model: expect far
less of it than of Text2Earth or Stable Diffusion.

It loads unchanged through `diffusers.StableDiffusionPipeline.from_pretrained(FOLDER)`. Weights are
stored in half precision and are single precision when loaded. Latents 16 x 16 x {LATENT_CHANNELS},
v-prediction, cosine noise schedule, DPM-Solver++ of second order: 10 steps with guidance 3 are
enough. A prompt has at most {MAX_TOKENS} tokens and may start with `{{LEVEL}}_GOOGLE_LEVEL_`, where
level = round(17 - log2(meters per pixel)), 10 to 18: 17 is UC Merced's, 14 is Sentinel-2's.

## What it saw

- Captioned images, all but the last tenth of each class:
{files}
- {run["renders"]} renders of `mini_earth` in the styles {", ".join(run["styles"])}, with captions
  (world version {run["mini_earth"]}).

{seen}

## How it was trained

`{run["command"]}`: autoencoder {vae["steps"]} steps of
{vae["provenance"]["batch"]} in {vae["minutes"]:.0f} minutes (absolute error, edges, tones, early
features of small_clip, a little KL, latent channels that do not correlate); denoiser and text
encoder {metrics["steps"]} steps of {run["batch"]} in {metrics["minutes"]:.0f} minutes (seed
{run["seed"]}, learning rate {run["learning_rate"]}, AdamW, averaged weights, min-SNR weights, a
tenth of the captions empty) on {run["machine"]}, torch {run["torch"]}.

## Measured quality

On the validation part ({held}). Images of UC Merced's held-out part show the same photographs as
its training images. Restoring through the autoencoder ([-1, 1] for the squared error):

{training.table(vae["validation"], ("autoencoder", "value"))}

Denoising, squared error of v (unit variance) with captions:

{training.table(metrics["validation"], ("denoiser", "value"))}

{measured(args, name)}
## Licence and sources

For research and teaching. UC Merced Land Use: Yang and Newsam 2010, public-domain USGS imagery,
"meant for research purposes". UCM-captions: Qu et al. 2016, research use; the sentences were
trained on and are not reproduced. Renders: by this project.{licence}
"""


def measured(args: argparse.Namespace, name: str) -> str:
    """Read what ``tools.measure_text2image`` found, or say that nobody asked."""
    parts = [p.read_text(encoding="utf-8") for p in sorted(args.work.glob(f"{name}_measured_on_*"))]
    return "\n".join(parts) or "Drawings: not measured yet.\n"


def main(argv: Sequence[str] | None = None) -> None:
    """Train a stage; after the denoiser, write the folder."""
    args = parse(argv)
    torch.set_num_threads(args.threads)
    if not args.export:
        (train_autoencoder if args.stage == "vae" else train_denoiser)(args)
    if args.stage == "unet":
        export(args)


if __name__ == "__main__":
    main()
