"""Moving pictures without JavaScript: an animated PNG, which browsers and GitHub show as a PNG."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from course_utils.images import tile, to_bytes, to_pil
from course_utils.plots.style import refuse_unless_pictures
from course_utils.plots.sweeps import Picture
from course_utils.samplers import SampleStep

MAX_BYTES = 110_000  # 150 kB in the notebook, where pictures are stored as base64
_NUM_COLORS = 64  # few, since noise does not compress: 6 bits a pixel instead of 24
_NEAREST = Image.Resampling.NEAREST
_SIDE = 420  # pixels that an animation of small images should be wide


@dataclass(frozen=True)
class Animation:
    """A moving picture that notebooks show; where pictures stand still, its last frame is seen."""

    png: bytes = field(repr=False)
    num_frames: int

    def _repr_png_(self) -> bytes:
        return self.png


def animate(
    frames: Sequence[Picture],
    *,
    seconds: float = 4.0,
    hold: float = 1.5,
    zoom: int = 1,
    max_bytes: int = MAX_BYTES,
) -> Animation:
    """Make a moving picture that repeats, small enough to be stored in a notebook.

    All frames share one palette of 64 colors. If the file is too large, frames in between are left
    out, evenly.

    Args:
        frames: uint8 (h, w, 3), all of one size.
        seconds: how long the frames take together.
        hold: how long the last one stays, seconds.
        zoom: pixels are repeated as often, so that small images are seen.
        max_bytes: of the file.

    Raises:
        ValueError: no frames, several sizes, no pictures, or two frames are too large already.
    """
    refuse_unless_pictures(list(frames))
    if len({frame.shape for frame in frames}) != 1 or zoom < 1:
        sizes = sorted({frame.shape[:2] for frame in frames})
        raise ValueError(
            f"expected frames of one size and a zoom of 1 or more, got {sizes}, {zoom}"
        )
    quantized = _quantize(frames, zoom)
    shown = np.arange(len(frames))
    while True:
        waits = [1000 * seconds / len(shown)] * (len(shown) - 1) + [1000 * hold]
        data = _encode([quantized[i] for i in shown], [round(wait) for wait in waits])
        if len(data) <= max_bytes:
            return Animation(data, len(shown))
        if len(shown) <= 2:
            raise ValueError(
                f"two frames of {frames[0].shape[:2]} pixels take {len(data)} bytes, more than "
                f"{max_bytes}: show fewer images, or less zoom"
            )
        fewer = min(len(shown) - 1, max(2, int(len(shown) * max_bytes / len(data))))
        shown = np.unique(np.linspace(0, len(frames) - 1, fewer).round().astype(int))


def _quantize(frames: Sequence[np.ndarray], zoom: int) -> list[Image.Image]:
    """Reduce frames to one palette, which suits the last one best, then enlarge them."""
    none = Image.Dither.NONE
    seen = np.concatenate([*frames, *[frames[-1]] * len(frames)])
    palette = Image.fromarray(seen).quantize(_NUM_COLORS, dither=none)
    small = (Image.fromarray(frame).quantize(palette=palette, dither=none) for frame in frames)
    return [each.resize((zoom * each.width, zoom * each.height), _NEAREST) for each in small]


def _encode(frames: Sequence[Image.Image], waits: Sequence[int]) -> bytes:
    """Write an animated PNG; its still picture is the last frame."""
    buffer = io.BytesIO()
    options = {"save_all": True, "append_images": frames, "default_image": True, "loop": 0}
    frames[-1].save(buffer, format="PNG", duration=list(waits), optimize=True, **options)
    return buffer.getvalue()


def animate_reverse(
    x_T: Float[Tensor, "n c h w"],
    steps: Sequence[SampleStep],
    *,
    num_columns: int = 4,
    num_frames: int = 30,
    predicted: bool = False,
    max_bytes: int = MAX_BYTES,
) -> Animation:
    """Animate a batch on its way from noise to images.

    Args:
        x_T: the noise that sampling began with; about 8 images keep the file small.
        steps: all steps of a sampler.
        num_columns: images in a row.
        num_frames: at most as many evenly spaced steps, the first and the last included.
        predicted: show the image that the network predicts at each step, not the noised one.
        max_bytes: of the file; frames are left out until it fits.

    Raises:
        ValueError: no steps, under two frames, or images too large for the file.
    """
    if not steps or num_frames < 2:
        raise ValueError(f"expected steps and two frames or more, got {len(steps)}, {num_frames}")
    states = [step.x0_pred for step in steps] if predicted else [x_T, *(s.x_t for s in steps)]
    shown = np.unique(np.linspace(0, len(states) - 1, num_frames).round().astype(int))
    tiles = (tile(to_bytes(states[i].detach()), num_columns=num_columns, pad=1) for i in shown)
    frames = [np.asarray(to_pil(each).convert("RGB")) for each in tiles]
    zoom = max(1, _SIDE // frames[0].shape[1])
    return animate(frames, zoom=zoom, max_bytes=max_bytes)
