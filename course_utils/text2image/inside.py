"""See inside `generate`: its sampling loop by hand, attention, and what lies between sentences."""

import contextlib
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from course_utils.diffusion import unmix
from course_utils.images import to_bytes
from course_utils.text2image.drawing import draw_noise, encode, telling
from course_utils.text2image.jobs import Job, read_jobs
from course_utils.text2image.loading import TextToImage, quiet
from course_utils.text2image.records import MARK, GenerationConfig

MAX_DECODED = 16  # latents that the decoder takes at a time
PREDICTIONS = {"epsilon": "eps", "v_prediction": "v", "sample": "x0"}  # as diffusers says, as we
_WORD = re.compile(r"\w+(?:['’-]\w+)*")  # "the", "river's", "sea-side", "卫星图像"


@dataclass(frozen=True)
class TraceStep:
    """One denoising step; latents are scaled so that x_t = √ᾱ x_0 + √(1-ᾱ) ε for every sampler."""

    step: int  # 0 … num_sample_steps - 1
    t: float  # the network's clock: high is noisy
    alpha_bar: float  # share of signal, by variance, in x_t
    x_t: Float[Tensor, "c h w"]  # what the network looks at
    guided: Float[Tensor, "c h w"]  # what it said, after guidance
    x0_pred: Float[Tensor, "c h w"]  # where that would end
    image: UInt8[np.ndarray, "height width 3"] | None  # in the last step: what `generate` draws


@dataclass(frozen=True)
class AttentionMaps:
    """Where each word of a prompt was looked up; a map's unit is the share of the attention.

    At every place the shares of all tokens add up to 1. Words get only a part: the rest goes to the
    start token (in large models most of it), the end and padding tokens, punctuation, the level.
    """

    words: tuple[str, ...]  # of the prompt, in its order; a word said twice comes twice
    maps: Float[Tensor, "words height width"]  # at image size, enlarged bilinearly
    image: UInt8[np.ndarray, "height width 3"]  # what `generate` draws
    token_maps: Float[Tensor, "tokens h w"]  # as recorded, special tokens included
    num_layers: int  # layers of this resolution, which were averaged

    @property
    def resolution(self) -> tuple[int, int]:
        """Height and width of the recorded maps: there are no finer details in ``maps``."""
        return tuple(self.token_maps.shape[1:])

    @property
    def words_share(self) -> float:
        """Share of all attention that went to words, the mean over all pixels, 0 … 1."""
        return float(self.maps.sum(0).mean())


@dataclass(frozen=True)
class Interpolated:
    """An image between two sentences."""

    share: float  # of the second sentence, 0 … 1
    image: UInt8[np.ndarray, "h w 3"]


def trace(
    model: TextToImage,
    prompt: str,
    config: GenerationConfig | None = None,
    *,
    embeddings: Float[Tensor, "tokens d"] | None = None,
) -> Iterator[TraceStep]:
    """Draw the first image that `generate` draws for this prompt, and show every step on the way.

    Guidance, for what the network predicts (noise, v or the image): uncond + s (cond - uncond).

    Args:
        model: for text-to-image; its sampler is copied, so that traces disturb nobody.
        prompt: one sentence.
        config: the settings; None takes those that the model was made for.
        embeddings: what the network reads in place of the prompt, one row a token. The prompt then
            only decides about the noise to start from.

    Yields:
        The steps, from noise to image.

    Raises:
        ValueError: as `generate`; or the model is for another task, or predicts something else.

    Source: Ho and Salimans 2022, arXiv:2207.12598, equation 6, with s = w + 1.
    """
    config = config or model.config
    job = _read_job(model, prompt, config)
    halves = _read_halves(model, job, config, embeddings)
    generator = torch.Generator().manual_seed(job.seed)
    with quiet():
        scheduler = type(model.pipeline.scheduler).from_config(model.pipeline.scheduler.config)
        scheduler.set_timesteps(config.num_sample_steps, device=halves.device)
    extra = model.pipeline.prepare_extra_step_kwargs(generator, 0.0)  # for noise on the way
    x = draw_noise(model, config, [generator]).to(halves)
    x = x * scheduler.init_noise_sigma  # some samplers work on x_t / √ᾱ
    for step, t in enumerate(scheduler.timesteps):
        x_t = scheduler.scale_model_input(x, t)
        with torch.no_grad(), telling(model.pipeline.unet, [job.level]):
            guided = _predict(model.pipeline.unet, x_t, t, halves, config.guidance_scale)
        alpha_bar = _alpha_bar(scheduler, step, t)
        x0_pred = predict_x0(
            x_t.float(), guided.float(), alpha_bar, scheduler.config.prediction_type
        )
        with quiet():
            x = scheduler.step(guided, t, x, **extra, return_dict=False)[0]
        is_last = step == len(scheduler.timesteps) - 1
        image = decode(model, x)[0] if is_last else None
        latents = (latent[0].float().cpu() for latent in (x_t, guided, x0_pred))
        yield TraceStep(step, float(t), alpha_bar, *latents, image)


def predict_x0(
    x_t: Float[Tensor, "*n c h w"],
    predicted: Float[Tensor, "*n c h w"],
    alpha_bar: float,
    prediction_type: str,
) -> Float[Tensor, "*n c h w"]:
    """Solve x_t = √ᾱ x_0 + √(1-ᾱ) ε for x_0, from what a network predicted: `diffusion.unmix`.

    Args:
        x_t: noised image or latent.
        predicted: the network's answer.
        alpha_bar: ᾱ of this step, in (0, 1].
        prediction_type: "epsilon", "v_prediction" or "sample", as diffusers calls them.

    Raises:
        ValueError: another type.
    """
    if prediction_type not in PREDICTIONS:
        raise ValueError(
            f"expected a network that predicts one of {[*PREDICTIONS]}, got {prediction_type!r}"
        )
    scales = alpha_bar**0.5, (1 - alpha_bar) ** 0.5
    return unmix(x_t, predicted, *scales, PREDICTIONS[prediction_type])[0]


@torch.no_grad()
def decode(
    model: TextToImage, latents: Float[Tensor, "n c h w"]
) -> UInt8[np.ndarray, "n height width 3"]:
    """Turn latents, scaled as in `TraceStep`, into images with the model's decoder.

    Noised latents may be decoded too: the decoder was never meant for them, but they show how much
    noise there is.
    """
    vae = model.pipeline.vae
    latents = latents.to(vae.device, vae.dtype) / vae.config.scaling_factor
    parts = [vae.decode(part).sample.float().cpu() for part in latents.split(MAX_DECODED)]
    return to_bytes(torch.cat(parts)).permute(0, 2, 3, 1).numpy()


def embed_prompts(
    model: TextToImage, prompts: list[str], config: GenerationConfig | None = None
) -> Float[Tensor, "n tokens d"]:
    """Encode sentences as the network reads them: one row a token, padding included.

    Of a long sentence only the first tokens count, and of ``config`` the level, where a model reads
    it in the sentence.

    Raises:
        ValueError: there is an empty prompt.
    """
    config = config or model.config
    return encode(model, [_read_job(model, prompt, config).text for prompt in prompts])


def interpolate(
    model: TextToImage,
    prompt_a: str,
    prompt_b: str,
    config: GenerationConfig | None = None,
    *,
    num: int = 7,
) -> Iterator[Interpolated]:
    """Draw images between two sentences from the same noise, so that only the text differs.

    The sentences' embeddings are mixed token by token, (1 - λ) a + λ b, in a straight line:
    attention takes linear maps of them (keys and values), and a layer norm has already given all
    rows about one length. The arc that is used for starting noise would keep a length that nothing
    here depends on. What lies between two sentences need not be a sentence.

    Yields:
        ``num`` images at equal distances, the two ends included; the first is that of `generate`
        for ``prompt_a``, which also decides about the noise.

    Raises:
        ValueError: as `trace`; or ``num`` is below 2.
    """
    if num < 2:
        raise ValueError(f"num counts both ends and must be 2 or more, got {num}")
    a, b = embed_prompts(model, [prompt_a, prompt_b], config)
    for share in np.linspace(0, 1, num).tolist():
        mixed = (1 - share) * a + share * b
        *_, last = trace(model, prompt_a, config, embeddings=mixed)
        yield Interpolated(share, last.image)


def attention_maps(
    model: TextToImage, prompt: str, config: GenerationConfig | None = None
) -> AttentionMaps:
    """Draw an image, and record how much each place in it attended to each word.

    In a layer, place p gives token k the share softmax_k(q_p · k_k / √d). Averaged are the heads,
    the layers of the finest resolution that has cross-attention, and all steps; of the halves that
    guidance needs only the one that reads the prompt. The tokens of one word are added.

    The model's own attention is put back, also after an error. Words that are cut off get no map.

    Raises:
        ValueError: as `trace`; or the prompt has no word, or the network reads no text.

    Source: Tang et al. 2022, arXiv:2210.04885 (DAAM), which also adds up coarser layers.
    """
    config = config or model.config
    words = _read_words(model, _read_job(model, prompt, config).text)
    if not words:
        raise ValueError(f"the prompt has no word to make a map of: {prompt!r}")
    with _recorded(model.pipeline.unet) as sums:
        *_, last = trace(model, prompt, config)
    if not sums:
        raise ValueError("the network has no cross-attention: it reads no text")
    num_places = max(sums)
    finest = sums[num_places]
    height, width = _grid(last.x_t.shape[1:], num_places)
    token_maps = (finest.total / finest.count).T.reshape(-1, height, width)
    maps = torch.stack([token_maps[rows].sum(0) for _, rows in words])
    size = last.image.shape[:2]
    return AttentionMaps(
        words=tuple(word for word, _ in words),
        maps=F.interpolate(maps[None], size=size, mode="bilinear", align_corners=False)[0],
        image=last.image,
        token_maps=token_maps,
        num_layers=len(finest.layers),
    )


def _read_job(model: TextToImage, prompt: str, config: GenerationConfig) -> Job:
    """Say what `generate` would read and from which seed it would draw."""
    if model.task != "text-to-image":
        raise ValueError(
            f"only text-to-image can be looked into, this model was loaded for {model.task}: "
            "load_pipeline(..., task='text-to-image')"
        )
    (job,) = read_jobs(model, [prompt], config)
    return job


def _read_halves(
    model: TextToImage,
    job: Job,
    config: GenerationConfig,
    embeddings: Float[Tensor, "tokens d"] | None,
) -> Float[Tensor, "halves tokens d"]:
    """Encode what the network reads; the unconditional half first, if there is one."""
    if model.reads_guidance:
        raise ValueError("this network reads the guidance scale as a number; it cannot be traced")
    cond = encode(model, [job.text])
    if embeddings is not None:
        cond = embeddings[None].to(cond)
    if config.guidance_scale == 1:
        return cond
    return torch.cat([encode(model, [config.negative_prompt]), cond])


def _predict(
    unet: Any,
    x_t: Float[Tensor, "1 c h w"],
    t: Tensor,
    halves: Float[Tensor, "halves tokens d"],
    guidance_scale: float,
) -> Float[Tensor, "1 c h w"]:
    twice = x_t.expand(len(halves), -1, -1, -1)
    predicted = unet(twice, t, encoder_hidden_states=halves, return_dict=False)[0]
    if len(halves) == 1:
        return predicted
    uncond, cond = predicted.chunk(2)
    return uncond + guidance_scale * (cond - uncond)


def _alpha_bar(scheduler: Any, step: int, t: Tensor) -> float:
    """Look ᾱ up in the noise schedule; samplers of the σ kind have ᾱ = 1 / (1 + σ²)."""
    if hasattr(scheduler, "sigmas"):
        return 1 / (1 + float(scheduler.sigmas[step]) ** 2)
    return float(scheduler.alphas_cumprod[int(t)])


@dataclass
class _Sum:
    """Attention of the layers of one resolution: a sum over heads, layers and steps."""

    total: Float[Tensor, "places tokens"] | float = 0.0
    count: int = 0
    layers: set[str] = field(default_factory=set)


class _RecordingProcessor:
    """Attention by hand in place of the library's, which gives no shares away."""

    def __init__(self, layer: str, sums: dict[int, _Sum]) -> None:
        self.layer, self.sums = layer, sums

    def __call__(
        self,
        attn: Any,
        hidden_states: Float[Tensor, "n places d"],
        encoder_hidden_states: Float[Tensor, "n tokens e"],
        **_: Any,  # stock pipelines mask nothing
    ) -> Float[Tensor, "n places d"]:
        def split(x: Tensor) -> Tensor:  # heads apart
            return x.unflatten(2, (attn.heads, -1)).transpose(1, 2)

        query = split(attn.to_q(hidden_states)).float()  # half precision would overflow
        key = split(attn.to_k(encoder_hidden_states)).float()
        value = split(attn.to_v(encoder_hidden_states))
        shares = (query @ key.mT * query.shape[-1] ** -0.5).softmax(-1)
        mean = shares[-1].mean(0).cpu()  # of the half that reads the prompt, which comes last
        found = self.sums[len(mean)]
        found.total, found.count = found.total + mean, found.count + 1
        found.layers.add(self.layer)
        mixed = (shares.to(value.dtype) @ value).transpose(1, 2).flatten(2)
        project, drop = attn.to_out
        return drop(project(mixed))


@contextlib.contextmanager
def _recorded(unet: Any) -> Iterator[dict[int, _Sum]]:
    """Record all cross-attention (``attn2`` in diffusers) for a while, by the number of places."""
    before, sums = dict(unet.attn_processors), defaultdict(_Sum)
    during = {
        name: _RecordingProcessor(name, sums) if ".attn2." in name else processor
        for name, processor in before.items()
    }
    unet.set_attn_processor(during)
    try:
        yield sums
    finally:
        unet.set_attn_processor(before)


def _read_words(model: TextToImage, text: str) -> list[tuple[str, list[int]]]:
    """List the words that the text encoder reads, each with the places of its tokens."""
    tokenizer = model.pipeline.tokenizer
    with quiet():
        read = tokenizer(
            text,
            padding="max_length",
            max_length=tokenizer.model_max_length,
            truncation=True,
            return_offsets_mapping=True,
        )
    level, mark, _ = text.rpartition(MARK)
    words = []
    for word in _WORD.finditer(text, len(level + mark)):
        start, end = word.span()
        spans = enumerate(read["offset_mapping"])
        rows = [i for i, (low, high) in spans if max(low, start) < min(high, end)]
        if rows:
            words.append((word.group(), rows))
    return words


def _grid(latent: tuple[int, ...], num_places: int) -> tuple[int, int]:
    """Find the height and width of a layer: the latent's, halved (and rounded up) until it fits."""
    height, width = latent
    while height * width > num_places:
        height, width = -(-height // 2), -(-width // 2)
    return height, width
