"""Water with its shores, and trees."""

import numpy as np

from mini_earth.ground import green
from mini_earth.moment import Moment
from mini_earth.noise import blend, canopy, fractal, smoothstep
from mini_earth.surface import COVER, Surface

TREE_METERS = 6.5


def paint_water(surface: Surface, rng: np.random.Generator) -> None:
    """Fill the scene's sea, river or lake, with sand, shallows, swell and breakers."""
    scene, canvas = surface.scene, surface.canvas
    pick = np.random.default_rng([scene.look, 13])
    depth = scene.water.depth(canvas.x, canvas.y)
    scale = float(np.clip(canvas.extent, 60.0, 900.0))
    colors = np.asarray(scene.style.region.water, np.float32)
    color = colors[pick.integers(len(colors))] * np.float32(pick.uniform(0.8, 1.25))
    n = canvas.num_pixels
    waves = fractal(scene.seed * 7 + 6, num_pixels=n, num_cells=min(n, 512))
    shore = smoothstep(depth + np.float32(0.01 * scale) * waves, -canvas.meters, canvas.meters)
    is_open = scene.water.kind == "sea" and scene.scene_class != "harbor"
    if is_open:
        sand = np.array([0.76, 0.69, 0.55], np.float32) * np.float32(pick.uniform(0.85, 1.08))
        width = scale * pick.uniform(0.06, 0.16)
        dry = smoothstep(depth + np.float32(0.012 * scale) * waves, -width, -0.3 * width)
        wet = smoothstep(depth, -0.3 * width, 0.0)
        sand = sand * (1.0 - np.float32(0.35) * wet)[..., None]
        surface.albedo = blend(surface.albedo, sand, dry * np.float32(0.95))
        surface.cover = np.where(dry > 0.5, COVER["bareland"], surface.cover).astype(np.uint8)
        surface.trees = surface.trees * (1.0 - dry)
    shallow = smoothstep(-depth, -0.12 * scale, 0.0) * np.float32(pick.uniform(0.3, 1.0))
    bed = 0.55 * np.array([0.60, 0.56, 0.44], np.float32) + 0.45 * color
    water = color + (0.7 * shallow)[..., None] * (bed - color)
    water = water * (1.0 + np.float32(0.06) * waves)[..., None]
    if is_open:
        foam = _breakers(surface, depth, waves, rng, scale=scale)
        water = blend(water, np.array([0.90, 0.91, 0.90], np.float32), foam)
    surface.albedo = blend(surface.albedo, water, shore)
    wet = shore > 0.5
    surface.cover = np.where(wet, COVER["water"], surface.cover).astype(np.uint8)
    surface.relief = np.where(wet, np.float32(0.02) * waves, surface.relief)
    surface.trees = np.where(depth > -3.0, 0.0, surface.trees)


def _breakers(
    surface: Surface,
    depth: np.ndarray,
    waves: np.ndarray,
    rng: np.random.Generator,
    *,
    scale: float,
) -> np.ndarray:
    """Return the share of foam: lines of surf along the shore, torn by the swell."""
    spacing = 0.05 * scale * rng.uniform(0.7, 1.5)
    wobble = depth + np.float32(0.25 * spacing) * waves
    lines = smoothstep(np.sin(wobble * np.float32(2 * np.pi / spacing)), 0.3, 0.9)
    near = smoothstep(-depth, -spacing * rng.uniform(1.0, 5.0), 0.0)
    return lines * near * smoothstep(waves, -1.2, 0.6) * np.float32(rng.uniform(0.4, 0.95))


def plant_trees(surface: Surface, moment: Moment) -> None:
    """Let a tree stand wherever the density allows and nothing is built."""
    scene, canvas = surface.scene, surface.canvas
    height, lot, tone = canopy(scene.seed + 5, num_pixels=canvas.num_pixels, extent=canvas.extent)
    density = np.where(surface.is_cover("road", "developed", "water"), 0.0, surface.trees)
    soft = 0.02 if canvas.meters < 1.5 else 0.25
    stands = smoothstep(density - lot, 0.0, soft) * smoothstep(height, 0.0, 0.12)
    tall = TREE_METERS if scene.ground != "shrubs" else 3.0
    dark, light = green(scene, moment, 0), green(scene, moment, 1)
    crowns = dark + ((0.5 + 0.5 * tone) * (0.35 + 0.65 * height))[..., None] * (light - dark)
    surface.albedo = blend(surface.albedo, crowns, stands)
    surface.height = np.maximum(surface.height, np.float32(tall) * height * stands)
    surface.cover = np.where(stands > 0.5, COVER["tree"], surface.cover).astype(np.uint8)
