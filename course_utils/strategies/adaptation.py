"""Teach a generator the shots: low-rank changes of its text encoder and its denoiser."""

import copy
import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn import functional

from course_utils.diffusion import mix, v_from_x0_eps
from course_utils.diffusion.inputs import check_number
from course_utils.examples import Example
from course_utils.images import to_model
from course_utils.runtime import read_sealed, write_sealed
from course_utils.strategies.guidance import pixels_for
from course_utils.text2image import TextToImage
from course_utils.text2image.drawing import telling

# Fixed beforehand, the same for all data, after one trial with less of each on validation images.
EPOCHS = 8
RANK = 16
LEARNING_RATE = 2e-3
BATCH_SIZE = 4
EMPTY_SHARE = 0.1  # of the sentences, so that guidance still has something to lead away from
_PARTS = {  # of each network, the layers that change
    "unet": ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "conv1", "conv2"],
    "text_encoder": ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"],
}


@dataclass(frozen=True)
class AdaptStep:
    """One optimizer step and the loss before it; ``model`` only after the last."""

    step: int
    total: int
    loss: float  # NaN where what was learned is read from the cache, in one step
    model: TextToImage | None = None


@dataclass(frozen=True)
class _Lesson:
    """What a generator learns from: latents of all views of each shot, and its sentences."""

    latents: Float[Tensor, "n views c h w"]
    sentences: tuple[tuple[str, ...], ...]

    def draw(
        self, rows: Int[Tensor, " b"], generator: torch.Generator
    ) -> tuple[Float[Tensor, "b c h w"], list[str]]:
        """Draw a view and a sentence of each shot; some sentences are empty."""
        views = torch.randint(self.latents.shape[1], rows.shape, generator=generator)
        spoken = torch.rand(rows.shape, generator=generator) >= EMPTY_SHARE
        which = torch.randint(len(self.sentences[0]), rows.shape, generator=generator)
        trios = zip(rows.tolist(), which.tolist(), spoken.tolist(), strict=True)
        said = [self.sentences[row][i] if aloud else "" for row, i, aloud in trios]
        return self.latents[rows, views], said


def adapt(
    model: TextToImage,
    shots: Sequence[Example],
    phrases: Sequence[str],
    templates: Sequence[str],
    *,
    generator: torch.Generator,
    epochs: int = EPOCHS,
    onto: TextToImage | None = None,
    root: Path | None = None,
) -> Iterator[AdaptStep]:
    r"""Fine-tune a generator on a few real images by low-rank matrices, leaving it as it was.

    $$W' = W + BA, \qquad L = \lVert \hat v(x_t, t, \text{sentence}) - v\rVert^2$$

    Only A and B learn, of rank ``RANK``. All classes share them; a shot is seen from all eight
    sides, since from above there is no up. A model that learned ε is trained on ε instead of v.
    How long, how fast and how many ranks is fixed beforehand.

    What was learned may be put onto another model with the same layers, such as the student of a
    few steps that was distilled from this one: its weights change by the same BA.

    Args:
        model: the generator, of any task; it does not change.
        shots: the real images.
        phrases: the words for each class, in label order.
        templates: prompts with ``{}`` for the words.
        generator: draws first matrices, order, views, noise and sentences.
        epochs: how often each shot is seen.
        onto: which model gets the change; None is ``model``.
        root: folder where A and B are kept, to be read by later calls; None keeps nothing.

    Yields:
        A record a step; the last one has the new model, whose fingerprint says on what it learned.

    Raises:
        ValueError: no shots, a label without a phrase, or models whose layers differ.

    Source:
        Kim et al. 2024, DataDream (ECCV 2024), low-rank tuning of both networks on the shots; Hu
        et al. 2022, LoRA (arXiv:2106.09685), equation 3.
    """
    check_number("epochs", epochs, "[1, inf)", whole=True)
    if not shots or max(shot.label for shot in shots) >= len(phrases):
        raise ValueError(
            f"expected one or more shots of {len(phrases)} classes, got labels "
            f"{sorted({shot.label for shot in shots})}"
        )
    onto = onto or model
    _check_alike(model, onto)
    what = _describe(model, shots, [*phrases, *templates], epochs, generator)
    nets = nn.ModuleDict({part: _with_matrices(model, part, generator) for part in _PARTS})
    learned = {name: w for name, w in nets.named_parameters() if w.requires_grad}
    total = epochs * math.ceil(len(shots) / BATCH_SIZE)
    path = root and Path(root) / f"adapted-{what[:32]}.safetensors"
    if path and _recall(path, learned):
        yield AdaptStep(total, total, math.nan, _changed(onto, nets, what))
        return
    lesson = _prepare(model, shots, phrases, templates)
    orders = (torch.randperm(len(shots), generator=generator) for _ in range(epochs))
    batches = (rows for order in orders for rows in order.split(BATCH_SIZE))
    losses = (_loss(model, nets, *lesson.draw(rows, generator), generator) for rows in batches)
    for step, loss in enumerate(_descend(learned.values(), losses, total), start=1):
        if step < total:
            yield AdaptStep(step, total, loss)
    if path:
        write_sealed(path, save({name: w.detach() for name, w in learned.items()}))
    yield AdaptStep(total, total, loss, _changed(onto, nets, what))


def _descend(
    weights: Iterable[Tensor], losses: Iterable[Float[Tensor, ""]], total: int
) -> Iterator[float]:
    """Take a step of AdamW for each loss; the rate falls to zero along a cosine."""
    optimizer = torch.optim.AdamW(weights, LEARNING_RATE, weight_decay=0.0)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
    for loss in losses:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        falling.step()
        yield loss.item()


def _describe(
    model: TextToImage,
    shots: Sequence[Example],
    words: Sequence[str],
    epochs: int,
    generator: torch.Generator,
) -> str:
    """Hash everything on which A and B depend."""
    settings = (epochs, RANK, LEARNING_RATE, BATCH_SIZE, EMPTY_SHARE, _PARTS, torch.__version__)
    about = [model.fingerprint, settings, *words, *((s.digest(), s.label) for s in shots)]
    state = generator.get_state().numpy().tobytes()
    return hashlib.sha256(repr(about).encode() + state).hexdigest()


@torch.no_grad()
def _recall(path: Path, learned: dict[str, Tensor]) -> bool:
    """Read A and B of all layers from a file of the cache, if it has just these."""
    try:
        found = load(read_sealed(path) or b"")
    except SafetensorError:
        return False
    if {n: w.shape for n, w in found.items()} != {n: w.shape for n, w in learned.items()}:
        return False
    for name, weight in learned.items():
        weight.copy_(found[name])
    return True


def _with_matrices(model: TextToImage, part: str, generator: torch.Generator) -> nn.Module:
    """Copy a network and put low-rank matrices beside its layers; only they will learn."""
    from peft import LoraConfig, inject_adapter_in_model  # slow to import: only for those who adapt

    config = LoraConfig(r=RANK, lora_alpha=RANK, target_modules=_PARTS[part])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        net = copy.deepcopy(getattr(model.pipeline, part)).float().requires_grad_(False)
        return inject_adapter_in_model(config, net).train()


@torch.no_grad()
def _prepare(
    model: TextToImage,
    shots: Sequence[Example],
    phrases: Sequence[str],
    templates: Sequence[str],
) -> _Lesson:
    """Encode the eight views of every shot, and write its sentences."""
    vae = model.pipeline.vae
    pixels = np.stack([pixels_for(shot, model.config) for shot in shots])
    images = to_model(torch.from_numpy(pixels).permute(0, 3, 1, 2)).to(vae.device, vae.dtype)
    turned = (images.rot90(turn, (2, 3)) for turn in range(4))
    views = [view.flip(3) if mirror else view for view, mirror in product(turned, (False, True))]
    latents = torch.stack([vae.encode(view).latent_dist.mean for view in views], dim=1)
    said = [[template.replace("{}", phrase) for template in templates] for phrase in phrases]
    sentences = tuple(tuple(said[shot.label]) for shot in shots)
    return _Lesson(latents.float() * vae.config.scaling_factor, sentences)


def _loss(
    model: TextToImage,
    nets: nn.ModuleDict | dict[str, nn.Module],
    x0: Float[Tensor, "b c h w"],
    sentences: Sequence[str],
    generator: torch.Generator,
) -> Float[Tensor, ""]:
    """Noise latents to random steps and compare what the network says with the truth."""
    scheduler, tokenizer = model.pipeline.scheduler, model.pipeline.tokenizer
    t = torch.randint(len(scheduler.alphas_cumprod), (len(x0),), generator=generator)
    eps = torch.randn(x0.shape, generator=generator).to(x0.device)
    alpha_bar = scheduler.alphas_cumprod[t][:, None, None, None].to(x0.device)
    scales = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
    is_v = scheduler.config.prediction_type == "v_prediction"
    target = v_from_x0_eps(x0, eps, *scales) if is_v else eps
    options = {"padding": "max_length", "truncation": True, "return_tensors": "pt"}
    tokens = tokenizer(list(sentences), **options).input_ids.to(x0.device)
    context = nets["text_encoder"](tokens).last_hidden_state
    x_t = mix(x0, eps, *scales)
    with telling(nets["unet"], [model.config.level] * len(x0)):
        said = nets["unet"](x_t, t.to(x0.device), encoder_hidden_states=context).sample
    return functional.mse_loss(said, target)


def _check_alike(model: TextToImage, onto: TextToImage) -> None:
    """Refuse a pair of which one lacks a layer that changes in the other."""
    for part in _PARTS:
        shapes = [
            {name: tuple(w.shape) for name, w in getattr(each.pipeline, part).named_parameters()}
            for each in (model, onto)
        ]
        if wrong := [name for name in shapes[0] if shapes[1].get(name) != shapes[0][name]]:
            raise ValueError(
                f"{onto.artifact} has another {part} than {model.artifact}: {wrong[0]} differs; "
                "adapt a model onto itself, or onto the student distilled from it"
            )


@torch.no_grad()
def _changed(onto: TextToImage, nets: nn.ModuleDict, what: str) -> TextToImage:
    """Copy a model's two networks, add BA to each changed layer, and say so in its name."""
    parts = dict(onto.pipeline.components)
    for part, net in nets.items():
        parts[part] = copy.deepcopy(parts[part])
        layers = dict(parts[part].named_modules())
        for name, layer in net.named_modules():
            if hasattr(layer, "get_delta_weight"):
                weight = layers[name].weight
                weight += layer.get_delta_weight("default").to(weight)
    pipeline = type(onto.pipeline)(**parts, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    digest = hashlib.sha256(f"{onto.fingerprint} adapted {what}".encode()).hexdigest()
    return replace(
        onto,
        pipeline=pipeline,
        artifact=f"{onto.artifact}_adapted",
        fingerprint=digest,
        history=type(onto.history)(),
    )
