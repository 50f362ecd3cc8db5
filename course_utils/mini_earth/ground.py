"""Paint the ground: vegetation, soil, fields, dunes, canopy and water, per pixel."""

from dataclasses import dataclass

import numpy as np

from course_utils.mini_earth.noise import blend, fractal, smoothstep
from course_utils.mini_earth.scene import Scene


@dataclass(frozen=True)
class Canvas:
    """A square of ``num_pixels`` over ``extent`` meters, with its pixel centers in meters."""

    num_pixels: int
    extent: float
    x: np.ndarray
    y: np.ndarray

    @property
    def meters(self) -> float:
        """Meters per canvas pixel."""
        return self.extent / self.num_pixels


def make_canvas(num_pixels: int, extent: float) -> Canvas:
    """Lay the grid of pixel centers."""
    line = (np.arange(num_pixels, dtype=np.float32) + 0.5) * np.float32(extent / num_pixels)
    x, y = np.broadcast_arrays(line[None, :], line[:, None])
    return Canvas(num_pixels, extent, np.ascontiguousarray(x), np.ascontiguousarray(y))


def paint_ground(
    scene: Scene, canvas: Canvas, rng: np.random.Generator, *, dryness: float
) -> np.ndarray:
    """Return the bare ground's colors, (h, w, 3) in [0, 1], before roads and buildings."""
    n, style = canvas.num_pixels, scene.style
    large = fractal(scene.seed * 7 + 1, num_pixels=n, num_cells=min(n, 64))
    fine = fractal(scene.seed * 7 + 2, num_pixels=n, num_cells=n if n <= 256 else 256)
    pick = np.random.default_rng(scene.seed + 11)
    soil = np.asarray(style.soil, np.float32)[pick.integers(len(style.soil))]
    greens = np.asarray(style.vegetation, np.float32)
    first, second = greens[pick.permutation(len(greens))[:2]]
    dry = np.asarray(style.vegetation[-1], np.float32)
    first, second = (green + 0.75 * dryness * (dry * 1.1 - green) for green in (first, second))
    tint = pick.uniform(0.93, 1.07, 3).astype(np.float32)
    green = first + smoothstep(fine, -1.2, 1.2)[..., None] * (second - first)
    threshold = (0.5 - scene.green_share) * 3.0
    share = smoothstep(0.6 * large + 0.4 * fine, threshold - 0.5, threshold + 0.5)
    image = blend(np.broadcast_to(soil, (n, n, 3)), green, share)
    image = image * (1.0 + 0.06 * fine + 0.05 * large)[..., None] * tint
    painter = _PAINTERS.get(scene.ground)
    if painter is not None:
        image = painter(image, scene, canvas, pick)
    return image + rng.standard_normal((n, n, 1), dtype=np.float32) * np.float32(0.018)


def _stripes(v: np.ndarray, spacing: float, meters: float) -> np.ndarray:
    """Rows as a sine, faded where the pixels are too coarse to show them."""
    visible = min(1.0, max(0.0, (spacing / meters - 1.6) / 2.4))
    return np.sin(v * np.float32(2 * np.pi / spacing)) * visible


def _field_index(scene: Scene, canvas: Canvas, pick: np.random.Generator) -> tuple:
    u, v = scene.frame.to_local(canvas.x, canvas.y)
    size = max(canvas.extent * pick.uniform(0.16, 0.45), 25.0)
    along, across = size * pick.uniform(0.8, 2.2), size * pick.uniform(0.5, 1.0)
    row = np.floor(v / across).astype(np.int64)
    shifts = pick.uniform(0, along, 64).astype(np.float32)
    column = np.floor((u + shifts[row % 64]) / along).astype(np.int64)
    edge = np.minimum(v % across, across - v % across)
    return u, v, (row * 31 + column * 17) % 64, edge


def _paint_fields(
    image: np.ndarray, scene: Scene, canvas: Canvas, pick: np.random.Generator
) -> np.ndarray:
    u, v, index, edge = _field_index(scene, canvas, pick)
    palette = np.asarray(scene.style.crops, np.float32)
    colors = palette[pick.integers(len(palette), size=64)] * pick.uniform(0.8, 1.2, (64, 1))
    rows = np.where(pick.uniform(size=64)[index] < 0.5, u, v)
    strength = (pick.uniform(0.02, 0.16, 64)[index]).astype(np.float32)
    shade = 1.0 + strength * _stripes(rows, max(3.0, canvas.extent / 45), canvas.meters)
    fields = colors.astype(np.float32)[index] * shade[..., None]
    border = smoothstep(edge, 0.004 * canvas.extent, 0.010 * canvas.extent)
    return blend(image * np.float32(0.75), 0.82 * fields + 0.18 * image, border)


def _paint_orchard(
    image: np.ndarray, scene: Scene, canvas: Canvas, pick: np.random.Generator
) -> np.ndarray:
    u, v, index, edge = _field_index(scene, canvas, pick)
    spacing = max(pick.uniform(5, 8), canvas.extent / 40)
    crowns = _stripes(u, spacing, canvas.meters) * _stripes(v, spacing * 1.2, canvas.meters)
    rows = _stripes(v, spacing, canvas.meters)
    pattern = np.where(pick.uniform(size=64)[index] < 0.5, np.abs(crowns), 0.5 + 0.5 * rows)
    soil = np.asarray(scene.style.soil, np.float32)
    soil = soil[pick.integers(len(soil), size=64)[index]] * np.float32(0.95)
    crop = np.asarray(scene.style.vegetation, np.float32)[:2].mean(0) * np.float32(0.9)
    orchard = blend(soil, crop, np.clip(0.35 + 0.65 * pattern, 0, 1))
    border = smoothstep(edge, 0.004 * canvas.extent, 0.010 * canvas.extent)
    return blend(image, 0.9 * orchard + 0.1 * image, border)


def _paint_circles(
    image: np.ndarray, scene: Scene, canvas: Canvas, pick: np.random.Generator
) -> np.ndarray:
    size = canvas.extent * pick.uniform(0.32, 0.75)
    u, v = scene.frame.to_local(canvas.x, canvas.y)
    row, column = np.floor(v / size).astype(np.int64), np.floor(u / size).astype(np.int64)
    radius = np.hypot(u - (column + 0.5) * size, v - (row + 0.5) * size) / size
    index = (row * 13 + column * 7) % 64
    palette = np.asarray(scene.style.crops, np.float32)
    colors = palette[pick.integers(len(palette), size=64)] * pick.uniform(0.85, 1.15, (64, 1))
    rings = 1.0 + 0.06 * np.sin(radius * np.float32(2 * np.pi * 14))
    inside = smoothstep(-radius, -0.49, -0.46)
    return blend(image, colors.astype(np.float32)[index] * rings[..., None], inside * 0.92)


def _paint_canopy(
    image: np.ndarray, scene: Scene, canvas: Canvas, pick: np.random.Generator
) -> np.ndarray:
    cells = int(np.clip(canvas.extent / 2.2, 24, 256))
    crowns = fractal(
        scene.seed * 7 + 3, num_pixels=canvas.num_pixels, num_cells=min(cells, canvas.num_pixels)
    )
    relief = np.roll(crowns, (1, 1), (0, 1)) - crowns
    green = np.asarray(scene.style.vegetation, np.float32)[:2].mean(0) * np.float32(0.85)
    mixed = 0.55 * green + 0.45 * image * np.float32(0.8)
    return mixed * (1.0 + 0.45 * np.clip(relief, -1, 1) + 0.10 * crowns)[..., None]


def _paint_dunes(
    image: np.ndarray, scene: Scene, canvas: Canvas, pick: np.random.Generator
) -> np.ndarray:
    _, v = scene.frame.to_local(canvas.x, canvas.y)
    bend = fractal(scene.seed * 7 + 4, num_pixels=canvas.num_pixels, num_cells=24)
    spacing = canvas.extent * pick.uniform(0.05, 0.14)
    ripples = np.sin(v * np.float32(2 * np.pi / spacing) + 2.2 * bend)
    return image * (1.08 + pick.uniform(0.03, 0.10) * ripples)[..., None]


def _paint_shrubs(
    image: np.ndarray, scene: Scene, canvas: Canvas, pick: np.random.Generator
) -> np.ndarray:
    cells = int(np.clip(canvas.extent / 4.0, 32, 128))
    spots = fractal(
        scene.seed * 7 + 5, num_pixels=canvas.num_pixels, num_cells=min(cells, canvas.num_pixels)
    )
    dark = np.asarray(scene.style.vegetation[0], np.float32) * np.float32(0.8)
    return blend(image, dark, 0.75 * smoothstep(spots, 0.5, 1.1))


_PAINTERS = {
    "fields": _paint_fields,
    "orchard": _paint_orchard,
    "circles": _paint_circles,
    "canopy": _paint_canopy,
    "dunes": _paint_dunes,
    "shrubs": _paint_shrubs,
}


def paint_water(
    image: np.ndarray, scene: Scene, canvas: Canvas, rng: np.random.Generator
) -> np.ndarray:
    """Return the image with the scene's sea, river or lake in it, with sand, shallows and foam."""
    pick = np.random.default_rng(scene.seed + 13)
    depth = scene.water.depth(canvas.x, canvas.y)
    scale = max(canvas.extent, 60.0)
    color = np.asarray(scene.style.water, np.float32)[pick.integers(len(scene.style.water))]
    color = color * pick.uniform(0.8, 1.25)
    if scene.water.kind == "sea":
        sand = np.array([0.80, 0.73, 0.58], np.float32)
        image = blend(image, sand, smoothstep(depth, -0.10 * scale, -0.02 * scale) * 0.9)
    shallow = smoothstep(-depth, -0.15 * scale, 0.0)
    waves = fractal(scene.seed * 7 + 6, num_pixels=canvas.num_pixels, num_cells=canvas.num_pixels)
    water = color + np.float32(0.10) * shallow[..., None] + np.float32(0.012) * waves[..., None]
    if scene.water.kind == "sea":
        foam = smoothstep(-np.abs(depth - 0.015 * scale), -0.012 * scale, 0.0)
        water = water + np.float32(0.35) * (foam * rng.uniform(0.4, 1.0))[..., None]
    return blend(image, water, smoothstep(depth, -canvas.meters, canvas.meters))
