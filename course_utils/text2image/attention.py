"""See which pixels a word spoke to: cross-attention, recorded while an image is drawn."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from course_utils.text2image.levels import MARK
from course_utils.text2image.loading import TextToImage, quiet
from course_utils.text2image.records import GenerationConfig
from course_utils.text2image.steps import read_job, trace

_WORD = re.compile(r"\w+(?:['’-]\w+)*")  # "the", "river's", "sea-side", "卫星图像"


@dataclass(frozen=True)
class AttentionMaps:
    """Where each word of a prompt was looked up; a map's unit is the share of the attention.

    At every place the shares of all tokens add up to 1. Words get only a part: the rest goes to the
    start token (in large models most of it), the end and padding tokens, punctuation, the level.
    """

    words: tuple[str, ...]  # of the prompt, in its order; a word said twice comes twice
    maps: Float[Tensor, "words height width"]  # at image size, enlarged bilinearly
    image: UInt8[np.ndarray, "height width 3"]  # what `generate` draws
    tokens: tuple[str, ...]  # as the tokenizer writes them, special ones included
    token_maps: Float[Tensor, "tokens h w"]  # as recorded, at the resolution of the layers
    num_layers: int  # layers of this resolution, which were averaged

    @property
    def resolution(self) -> tuple[int, int]:
        """Height and width of the recorded maps: there are no finer details in ``maps``."""
        return tuple(self.token_maps.shape[1:])

    @property
    def words_share(self) -> float:
        """Share of all attention that went to words, the mean over all pixels, 0 … 1."""
        return float(self.maps.sum(0).mean())


def attention_maps(
    model: TextToImage, prompt: str, config: GenerationConfig | None = None
) -> AttentionMaps:
    """Draw an image, and record how much each place in it attended to each word.

    In a layer, place p gives token k the share softmax_k(q_p · k_k / √d). Averaged are the heads,
    the layers of the finest resolution that has cross-attention, and all steps; of the halves that
    guidance needs only the one that reads the prompt. The tokens of one word are added.

    Args:
        model: from `load_pipeline`; its own attention is put back, also after an error.
        prompt: one sentence; words that it is too long for get no map.
        config: the settings; None takes those that the model was made for.

    Raises:
        ValueError: as `trace`; or the prompt has no word, or the network reads no text.

    Source: Tang et al. 2022, arXiv:2210.04885 (DAAM), which also adds up coarser layers.
    """
    config = config or model.config
    text = read_job(model, prompt, config).text
    words = _words(model, text)
    if not words:
        raise ValueError(f"the prompt has no word to make a map of: {prompt!r}")
    with _recorded(model.pipeline.unet) as record:
        *_, last = trace(model, prompt, config)
    if not record.sums:
        raise ValueError("the network has no cross-attention: it reads no text")
    num_places = max(record.sums)
    mean = record.sums[num_places] / record.counts[num_places]
    height, width = _grid(last.x_t.shape[1:], num_places)
    token_maps = mean.T.reshape(-1, height, width)
    maps = torch.stack([token_maps[rows].sum(0) for _, rows in words])
    size = last.image.shape[:2]
    return AttentionMaps(
        words=tuple(word for word, _ in words),
        maps=F.interpolate(maps[None], size=size, mode="bilinear", align_corners=False)[0],
        image=last.image,
        tokens=_tokens(model, text),
        token_maps=token_maps,
        num_layers=len(record.layers[num_places]),
    )


@dataclass
class _Record:
    """Sums of attention over heads, layers and steps, by the number of places in the layer."""

    sums: dict[int, Float[Tensor, "places tokens"]] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)
    layers: dict[int, set[str]] = field(default_factory=dict)

    def add(self, layer: str, shares: Float[Tensor, "heads places tokens"]) -> None:
        num_places = shares.shape[1]
        mean = shares.mean(0).float().cpu()
        self.sums[num_places] = self.sums.get(num_places, 0) + mean
        self.counts[num_places] = self.counts.get(num_places, 0) + 1
        self.layers.setdefault(num_places, set()).add(layer)


class _RecordingProcessor:
    """Attention by hand in place of the library's, which gives no shares away."""

    def __init__(self, layer: str, record: _Record) -> None:
        self.layer, self.record = layer, record

    def __call__(
        self,
        attn: Any,
        hidden_states: Float[Tensor, "n places d"],
        encoder_hidden_states: Float[Tensor, "n tokens e"],
        attention_mask: Tensor | None = None,
        **_: Any,
    ) -> Float[Tensor, "n places d"]:
        if attention_mask is not None:
            raise ValueError("masked attention is not recorded: use a pipeline without masks")

        def split(x: Tensor) -> Tensor:  # heads apart
            return x.unflatten(2, (attn.heads, -1)).transpose(1, 2)

        query = split(attn.to_q(hidden_states)).float()  # half precision would overflow
        key = split(attn.to_k(encoder_hidden_states)).float()
        value = split(attn.to_v(encoder_hidden_states))
        shares = (query @ key.mT * query.shape[-1] ** -0.5).softmax(-1)
        self.record.add(self.layer, shares[-1])  # the half that reads the prompt comes last
        mixed = (shares.to(value.dtype) @ value).transpose(1, 2).flatten(2)
        project, drop = attn.to_out
        return drop(project(mixed))


@contextlib.contextmanager
def _recorded(unet: Any) -> Iterator[_Record]:
    """Record all cross-attention (``attn2`` in diffusers) of a network for a while."""
    before, record = dict(unet.attn_processors), _Record()
    during = {
        name: _RecordingProcessor(name, record) if ".attn2." in name else processor
        for name, processor in before.items()
    }
    unet.set_attn_processor(during)
    try:
        yield record
    finally:
        unet.set_attn_processor(before)


def _words(model: TextToImage, text: str) -> list[tuple[str, list[int]]]:
    """List the words that the text encoder reads, each with its tokens."""
    level, mark, _ = text.rpartition(MARK)
    spans = [word.span() for word in _WORD.finditer(text, len(level + mark))]
    places = _encode(model, text)["offset_mapping"]
    found = []
    for start, end in spans:
        rows = [i for i, (low, high) in enumerate(places) if max(low, start) < min(high, end)]
        if rows:
            found.append((text[start:end], rows))
    return found


def _tokens(model: TextToImage, text: str) -> tuple[str, ...]:
    ids = _encode(model, text)["input_ids"]
    return tuple(model.pipeline.tokenizer.convert_ids_to_tokens(ids))


def _encode(model: TextToImage, text: str) -> dict[str, list]:
    """Read a text as the pipeline does, and say from which signs each token comes."""
    tokenizer = model.pipeline.tokenizer
    with quiet():
        return tokenizer(
            text,
            padding="max_length",
            max_length=tokenizer.model_max_length,
            truncation=True,
            return_offsets_mapping=True,
        ).data


def _grid(latent: tuple[int, ...], num_places: int) -> tuple[int, int]:
    """Find the height and width of a layer: the latent's, halved (and rounded up) until it fits."""
    height, width = latent
    while height * width > num_places:
        height, width = -(-height // 2), -(-width // 2)
    return height, width
