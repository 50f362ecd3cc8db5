"""What air and camera do to the light: haze, clouds, smoke, exposure, blur and noise."""

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageFilter

from mini_earth.moment import Moment
from mini_earth.noise import blend, fractal, smoothstep
from mini_earth.scene import Scene
from mini_earth.styles import Style


def draw_clouds(rng: np.random.Generator, moment: Moment, num_pixels: int) -> np.ndarray:
    """Return the share (h, w) of each pixel that a cloud hides; 0 on a clear day."""
    if not moment.cloud:
        return np.zeros((num_pixels, num_pixels), np.float32)
    field = fractal(int(rng.integers(1 << 40)), num_pixels=num_pixels, num_cells=24)
    return smoothstep(field, 1.4 - 0.8 * moment.cloud, 2.6 - 0.6 * moment.cloud)


def look_through(
    light: Float[np.ndarray, "h w 3"],
    *,
    clouds: np.ndarray,
    smoke: np.ndarray,
    moment: Moment,
    style: Style,
) -> Float[np.ndarray, "h w 3"]:
    """Put air, smoke and clouds, with their shadows, between the ground and the camera."""
    if clouds.any():
        far = np.round(moment.shadow() * 0.04 * light.shape[0]).astype(int)
        shade = np.roll(clouds, (far[1], far[0]), (0, 1))
        light = light * (1.0 - np.float32(0.5) * shade)[..., None]
    haze = np.asarray(style.sensor.haze_color, np.float32)
    light = light + np.float32(moment.haze) * (haze - light)
    if smoke.any():
        light = blend(light, np.array([0.74, 0.73, 0.72], np.float32), smoke)
    if clouds.any():
        light = blend(light, np.array([0.95, 0.96, 0.98], np.float32), clouds)
    return light


def expose(
    light: Float[np.ndarray, "h w 3"],
    scene: Scene,
    rng: np.random.Generator,
    *,
    size: int,
    post: bool,
) -> UInt8[np.ndarray, "size size 3"]:
    """Shrink to ``size`` pixels and apply the sensor, set alike for all scenes of one look."""
    sensor, dial = scene.style.sensor, np.random.default_rng([scene.look, 8 + post])
    factor = light.shape[0] // size
    if factor > 1:
        light = light.reshape(size, factor, size, factor, 3).mean((1, 3))
    gray = light.mean(2, keepdims=True)
    light = gray + np.float32(sensor.saturation * dial.uniform(0.75, 1.2)) * (light - gray)
    exposure = np.asarray(sensor.gain, np.float32) * np.float32(dial.uniform(0.86, 1.2))
    exposure = exposure * dial.uniform(0.96, 1.04, 3).astype(np.float32)
    contrast = np.float32(sensor.contrast * dial.uniform(0.9, 1.12))
    light = 0.40 + contrast * (light * exposure - 0.40)
    shot = rng.standard_normal(light.shape, dtype=np.float32)
    light = light + np.float32(sensor.noise * dial.uniform(0.5, 1.5)) * shot
    picture = Image.fromarray((np.clip(light, 0, 1) * np.float32(255) + 0.5).astype(np.uint8))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(sensor.blur)))
