"""What a disaster does to the ground, and the ash, lava and smoke that it lays over all."""

import numpy as np

from mini_earth.noise import blend, fractal, smoothstep
from mini_earth.surface import COVER, Surface


def _texture(surface: Surface, number: int, *, cells: int | None = None) -> np.ndarray:
    n = surface.canvas.num_pixels
    return fractal(surface.scene.seed * 7 + number, num_pixels=n, num_cells=min(n, cells or n))


def strike_ground(surface: Surface, rng: np.random.Generator) -> np.ndarray:
    """Lay flood water, mud, burn scars or a wind track over the ground, below the buildings.

    Returns:
        The share in [0, 1] of what stood or drove there that is gone.
    """
    hazard, canvas = surface.scene.hazard, surface.canvas
    intensity = hazard.intensity(canvas.x, canvas.y)
    strike = {
        "flooding": _flood,
        "tsunami": _wash,
        "wildfire": _burn,
        "wind": _blow,
    }.get(hazard.kind)
    if strike is None:
        return np.zeros_like(intensity)
    was_water = surface.is_cover("water")
    on_land = intensity if hazard.kind == "flooding" else np.where(was_water, 0, intensity)
    strike(surface, rng, on_land)
    return intensity * {"tsunami": 1.0, "flooding": 0.8, "wildfire": 0.7}.get(hazard.kind, 0.5)


def _flood(surface: Surface, rng: np.random.Generator, intensity: np.ndarray) -> None:
    """Let muddy water stand around houses and trees."""
    muddy = np.array([0.42, 0.36, 0.27], np.float32) * np.float32(rng.uniform(0.75, 1.15))
    clear = np.asarray(surface.scene.style.region.water[0], np.float32)
    color = muddy + np.float32(rng.uniform(0, 0.7)) * (clear - muddy)
    texture = _texture(surface, 9, cells=512)
    water = color * (1.0 + np.float32(0.04) * texture)[..., None]
    standing = smoothstep(surface.height, 1.5, 4.0)
    share = np.float32(0.95) * intensity * (1.0 - 0.85 * standing)
    surface.albedo = blend(surface.albedo, water, share)
    wet = share > 0.5
    surface.cover = np.where(wet, COVER["water"], surface.cover).astype(np.uint8)
    surface.relief = np.where(wet, 0.0, surface.relief).astype(np.float32)


def _wash(surface: Surface, rng: np.random.Generator, intensity: np.ndarray) -> None:
    """Strip the ground to mud, with pools, and leave a line of wrack where the wave ended."""
    texture, large = _texture(surface, 9, cells=512), _texture(surface, 8, cells=24)
    mud = np.array([0.46, 0.40, 0.32], np.float32) * np.float32(rng.uniform(0.8, 1.15))
    mud = mud * (1.0 + np.float32(0.10) * texture + np.float32(0.10) * large)[..., None]
    pools = smoothstep(large + np.float32(0.5) * texture, 0.9, 1.3) * np.float32(0.8)
    mud = blend(mud, np.array([0.20, 0.23, 0.23], np.float32), pools)
    surface.albedo = blend(surface.albedo, mud, np.float32(0.88) * intensity)
    wrack = smoothstep(-np.abs(intensity - 0.3), -0.25, 0.0) * smoothstep(texture, -0.6, 0.4)
    surface.albedo = blend(surface.albedo, np.array([0.32, 0.27, 0.21], np.float32), 0.85 * wrack)
    cover = np.where(pools > 0.4, COVER["water"], COVER["bareland"])
    surface.cover = np.where(intensity > 0.5, cover, surface.cover).astype(np.uint8)
    surface.height = surface.height * (1.0 - intensity)


def _burn(surface: Surface, rng: np.random.Generator, intensity: np.ndarray) -> None:
    """Char what grows; roads, bare ground and water do not burn."""
    texture = _texture(surface, 9, cells=256)
    fuel = np.where(surface.is_cover("road", "developed", "water", "building"), 0.0, 1.0)
    fuel = np.where(surface.is_cover("bareland"), 0.45, fuel)
    char = np.array([0.16, 0.135, 0.115], np.float32) * np.float32(rng.uniform(0.75, 1.4))
    ash = np.array([0.36, 0.33, 0.30], np.float32)
    burnt = char + (0.35 * smoothstep(texture, 0.2, 1.8))[..., None] * (ash - char)
    scorched = surface.is_cover("tree") & (_texture(surface, 7, cells=128) > 0.3)
    brown = np.array([0.33, 0.24, 0.15], np.float32)
    burnt = np.where(scorched[..., None], 0.5 * burnt + 0.5 * brown, burnt)
    share = np.float32(0.92) * intensity * fuel * smoothstep(texture, -2.2, -0.6)
    surface.albedo = blend(surface.albedo, burnt, share)
    burns = (share > 0.5) & ~scorched
    surface.cover = np.where(burns, COVER["bareland"], surface.cover).astype(np.uint8)
    surface.height = surface.height * (1.0 - np.float32(0.75) * share)


def _blow(surface: Surface, rng: np.random.Generator, intensity: np.ndarray) -> None:
    """Scour the ground along the path, fell trees and strew splinters."""
    texture = _texture(surface, 9)
    track = np.float32(0.5) * intensity * smoothstep(texture, -1.0, 1.0)
    surface.albedo = blend(surface.albedo, np.array([0.50, 0.43, 0.34], np.float32), track)
    luck = _texture(surface, 7, cells=128)
    felled = surface.is_cover("tree") & (intensity > 0.45 + np.float32(0.25) * luck)
    down = np.array([0.33, 0.29, 0.21], np.float32) * (1 + np.float32(0.2) * texture)[..., None]
    surface.albedo = np.where(felled[..., None], down, surface.albedo)
    surface.height = np.where(felled, np.float32(0.12) * surface.height, surface.height)
    surface.cover = np.where(felled, COVER["rangeland"], surface.cover).astype(np.uint8)


def scatter_debris(surface: Surface, rng: np.random.Generator) -> None:
    """Throw a storm's or a wave's splinters over everything, densest where it was strongest."""
    scene, canvas = surface.scene, surface.canvas
    share = {"wind": 0.045, "tsunami": 0.03}.get(scene.disaster, 0.0)
    if not share or canvas.meters > 3.0:
        return
    intensity = scene.hazard.intensity(canvas.x, canvas.y)
    hits = rng.random(intensity.shape, dtype=np.float32) < np.float32(share) * intensity
    hits &= ~surface.is_cover("water")
    tones = rng.uniform(0.25, 0.95, (int(hits.sum()), 1)).astype(np.float32)
    surface.albedo[hits] = tones * np.array([1.0, 0.95, 0.88], np.float32)


def cover_all(surface: Surface, rng: np.random.Generator) -> None:
    """Lay ash and lava over ground and buildings alike."""
    scene, canvas = surface.scene, surface.canvas
    if scene.disaster != "volcano":
        return
    texture = _texture(surface, 10)
    ash = np.array([0.41, 0.39, 0.375], np.float32) * np.float32(rng.uniform(0.7, 1.1))
    share = scene.hazard.intensity(canvas.x, canvas.y) * np.float32(rng.uniform(0.6, 1.0))
    share = share * np.where(
        surface.is_cover("water"), 0.3, np.where(surface.is_cover("tree"), 0.75, 0.95)
    )
    surface.albedo = blend(
        surface.albedo, ash * (1.0 + np.float32(0.05) * texture)[..., None], share
    )
    inside = scene.hazard.lava(canvas.x, canvas.y)
    if inside.max() < 0:
        return
    ropy = _texture(surface, 11, cells=128)
    lava = np.array([0.12, 0.11, 0.11], np.float32) * (1.0 + np.float32(0.3) * ropy)[..., None]
    flow = smoothstep(inside + np.float32(1.5) * ropy, -2.0, 2.0)
    surface.albedo = blend(surface.albedo, lava, flow)
    surface.relief = surface.relief + np.float32(0.35) * ropy * flow
    surface.height = surface.height * (1.0 - np.float32(0.9) * flow)
    surface.cover = np.where(flow > 0.5, COVER["bareland"], surface.cover).astype(np.uint8)
    if rng.uniform() < 0.4:
        glow = smoothstep(ropy + np.float32(0.4) * texture, 1.7, 2.4) * smoothstep(inside, 0.0, 4.0)
        surface.albedo = blend(surface.albedo, np.array([0.98, 0.42, 0.12], np.float32), glow)


def draw_smoke(surface: Surface, rng: np.random.Generator) -> np.ndarray:
    """Return the share (h, w) of the view that smoke hides: now and then over a fire."""
    shape = surface.canvas.x.shape
    if surface.scene.disaster != "wildfire" or rng.uniform() > 0.3:
        return np.zeros(shape, np.float32)
    plume = _texture(surface, 12, cells=12)
    return smoothstep(plume, 0.2, 2.2) * np.float32(rng.uniform(0.3, 0.8))
