"""What a disaster does to the ground, and what air and camera do to everything."""

import numpy as np
from PIL import Image, ImageFilter

from course_utils.mini_earth.ground import Canvas
from course_utils.mini_earth.noise import blend, fractal, smoothstep
from course_utils.mini_earth.scene import Scene


def strike_ground(
    image: np.ndarray, scene: Scene, canvas: Canvas, rng: np.random.Generator
) -> np.ndarray:
    """Lay flood water, mud, burn scars or a wind track over the ground, below the buildings."""
    hazard = scene.hazard
    intensity = hazard.intensity(canvas.x, canvas.y)
    texture = fractal(scene.seed * 7 + 9, num_pixels=canvas.num_pixels, num_cells=canvas.num_pixels)
    land = np.ones_like(intensity)
    if scene.water is not None:
        land = smoothstep(-scene.water.depth(canvas.x, canvas.y), -1.0, 1.0)
    if hazard.kind == "flooding":
        muddy = np.array([0.44, 0.37, 0.27], np.float32) * rng.uniform(0.75, 1.2)
        clear = np.asarray(scene.style.water[0], np.float32)
        color = muddy + rng.uniform(0, 0.75) * (clear - muddy)
        water = color + np.float32(0.012) * texture[..., None]
        return blend(image, water, 0.93 * intensity)
    if hazard.kind == "tsunami":
        mud = np.array([0.50, 0.44, 0.35], np.float32) * rng.uniform(0.8, 1.15)
        mud = mud * (1.0 + 0.10 * texture)[..., None]
        pools = smoothstep(texture, 0.9, 1.4)[..., None] * np.float32(0.5)
        mud = mud + pools * (np.array([0.22, 0.25, 0.25], np.float32) - mud)
        image = blend(image, mud, 0.85 * intensity * land)
        wrack = smoothstep(-np.abs(intensity - 0.35), -0.22, 0.0) * smoothstep(texture, -0.4, 0.5)
        return blend(image, np.array([0.36, 0.30, 0.24], np.float32), 0.8 * wrack * land)
    if hazard.kind == "wildfire":
        char = np.array([0.17, 0.145, 0.125], np.float32) * rng.uniform(0.7, 1.5)
        patchy = intensity * smoothstep(texture, -1.9, -0.2) * land
        return blend(image, char * (1.0 + 0.18 * texture)[..., None], 0.88 * patchy)
    if hazard.kind == "wind":
        track = 0.45 * intensity * smoothstep(texture, -1.0, 1.0) * land
        return blend(image, np.array([0.52, 0.44, 0.34], np.float32), track)
    return image


def scatter_debris(
    image: np.ndarray, scene: Scene, canvas: Canvas, rng: np.random.Generator
) -> np.ndarray:
    """Throw a storm's or a wave's splinters over everything, densest where it was strongest."""
    share = {"wind": 0.05, "tsunami": 0.035}.get(scene.disaster, 0.0)
    if not share:
        return image
    intensity = scene.hazard.intensity(canvas.x, canvas.y)
    hits = rng.random(intensity.shape, dtype=np.float32) < share * intensity
    if scene.water is not None:
        hits &= scene.water.depth(canvas.x, canvas.y) < 0
    image[hits] = rng.uniform(0.25, 0.95, (int(hits.sum()), 1)) * np.array([1.0, 0.95, 0.88])
    return image


def cover_all(
    image: np.ndarray, scene: Scene, canvas: Canvas, rng: np.random.Generator
) -> np.ndarray:
    """Lay ash, lava and smoke over ground and buildings alike."""
    hazard = scene.hazard
    if hazard.kind == "volcano":
        texture = fractal(
            scene.seed * 7 + 10, num_pixels=canvas.num_pixels, num_cells=canvas.num_pixels
        )
        ash = np.array([0.47, 0.45, 0.43], np.float32) * rng.uniform(0.65, 1.15)
        share = rng.uniform(0.3, 0.8) * hazard.intensity(canvas.x, canvas.y)
        image = blend(image, ash * (1.0 + 0.06 * texture)[..., None], share)
        inside = hazard.lava(canvas.x, canvas.y)
        lava = np.array([0.13, 0.12, 0.12], np.float32) * (1.0 + 0.35 * texture)[..., None]
        image = blend(image, lava, smoothstep(inside, -2.0, 2.0))
        if rng.uniform() < 0.4:
            glow = smoothstep(texture, 1.0, 1.8) * smoothstep(inside, 0.0, 4.0)
            image = blend(image, np.array([0.95, 0.38, 0.10], np.float32), glow)
    if hazard.kind == "wildfire" and rng.uniform() < 0.3:
        plume = fractal(scene.seed * 7 + 12, num_pixels=canvas.num_pixels, num_cells=12)
        smoke = smoothstep(plume, 0.2, 2.2) * rng.uniform(0.3, 0.8)
        image = blend(image, np.array([0.74, 0.73, 0.72], np.float32), smoke)
    return image


def add_weather(
    image: np.ndarray, scene: Scene, canvas: Canvas, rng: np.random.Generator
) -> np.ndarray:
    """Add haze, and now and then a cloud."""
    color = np.asarray(scene.style.haze_color, np.float32)
    haze = rng.uniform(*scene.style.haze)
    image = image + np.float32(haze) * (color - image)
    if rng.uniform() < 0.12:
        field = fractal(int(rng.integers(1 << 40)), num_pixels=canvas.num_pixels, num_cells=20)
        cloud = smoothstep(field, 0.8, 2.4) * rng.uniform(0.4, 0.9)
        image = blend(image, np.array([0.93, 0.94, 0.96], np.float32), cloud)
    return image


def expose(image: np.ndarray, scene: Scene, rng: np.random.Generator, *, size: int) -> np.ndarray:
    """Shrink to ``size`` pixels and apply the style's sensor; returns uint8 (h, w, 3)."""
    style = scene.style
    factor = image.shape[0] // size
    image = image.reshape(size, factor, size, factor, 3).mean((1, 3))
    gray = image.mean(2, keepdims=True)
    image = gray + np.float32(style.saturation * rng.uniform(0.75, 1.2)) * (image - gray)
    exposure = np.asarray(style.gain, np.float32) * np.float32(rng.uniform(0.84, 1.18))
    exposure = exposure * rng.uniform(0.96, 1.04, 3).astype(np.float32)
    contrast = np.float32(style.contrast * rng.uniform(0.88, 1.12))
    image = 0.45 + contrast * (image * exposure - 0.45)
    shot = rng.standard_normal(image.shape, dtype=np.float32)
    image = image + np.float32(style.noise * rng.uniform(0.5, 1.5)) * shot
    picture = Image.fromarray((np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(style.blur)))
