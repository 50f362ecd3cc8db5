"""Sunlight: the shading of relief and crowns, and the shadows of what stands."""

import numpy as np
from scipy.ndimage import gaussian_filter

from mini_earth.moment import Moment
from mini_earth.surface import Surface

_SKY = 0.40  # what a shadow still receives, relative to flat ground in the sun
_SKY_COLOR = np.array([0.90, 1.0, 1.14], np.float32)


def illuminate(surface: Surface, crowns: np.ndarray, moment: Moment) -> np.ndarray:
    """Return the lit image (h, w, 3): albedo times (sky + sun x cosine x not in shadow).

        cosine = (1 - slope . sun) / sqrt(1 + |slope|^2), 1 on flat ground

    Args:
        surface: with everything on it.
        crowns: height of the trees alone in meters, which shade themselves.
        moment: where the sun is.
    """
    meters = surface.canvas.meters
    shadow = moment.shadow()
    ground = surface.relief + crowns
    if meters < 1.0:
        ground = gaussian_filter(ground, 0.35 / meters, truncate=2.0)
    down, right = np.gradient(ground, np.float32(meters))
    cosine = 1.0 + np.float32(shadow[0]) * right + np.float32(shadow[1]) * down
    cosine = np.clip(cosine / np.sqrt(1.0 + right**2 + down**2), 0.0, 1.7)
    dark = cast_shadows(surface.height, shadow / meters)
    sun = np.float32(1.0 - _SKY) * cosine * (1.0 - dark)
    light = sun[..., None] + np.float32(_SKY) * _SKY_COLOR
    return surface.albedo * light


def cast_shadows(height: np.ndarray, shadow: np.ndarray) -> np.ndarray:
    """Return the share of shadow (h, w) by walking from every pixel toward the sun.

    Args:
        height: meters above the ground.
        shadow: the shadow of one meter of height, in pixels (x, y).
    """
    length = float(np.hypot(*shadow))
    longest = min(float(height.max()) * length, height.shape[0] / 2)
    if longest < 0.5:
        return np.zeros_like(height)
    num_steps = int(np.clip(np.ceil(longest), 1, 24))
    dark = np.zeros(height.shape, bool)
    for step in range(1, num_steps + 1):
        reach = longest * step / num_steps
        dx, dy = (round(part / length * reach) for part in shadow)
        behind = _shifted(height, dx, dy)
        dark |= behind > height + np.float32(reach / length)
    return dark.astype(np.float32)


def _shifted(values: np.ndarray, dx: int, dy: int) -> np.ndarray:
    """Move an array by whole pixels; what comes in from outside is 0."""
    out = np.zeros_like(values)
    h, w = values.shape
    out[max(dy, 0) : h + min(dy, 0), max(dx, 0) : w + min(dx, 0)] = values[
        max(-dy, 0) : h + min(-dy, 0), max(-dx, 0) : w + min(-dx, 0)
    ]
    return out
