"""What a disaster does to the ground, and the ash, lava and smoke that it lays over all."""

import numpy as np

from mini_earth.noise import blend, smoothstep
from mini_earth.surface import Surface


def strike_ground(surface: Surface, rng: np.random.Generator) -> np.ndarray:
    """Lay water, mud, burn scars or a wind track over the ground; return the share that is gone."""
    hazard = surface.scene.hazard
    intensity = hazard.intensity(surface.x, surface.y)
    if hazard.kind not in _STRIKES:
        return np.zeros_like(intensity)
    strike, gone = _STRIKES[hazard.kind]
    is_dry = hazard.kind == "flooding" or ~surface.is_cover("water")
    strike(surface, rng, np.where(is_dry, intensity, 0))
    return intensity * gone


def _flood(surface: Surface, rng: np.random.Generator, intensity: np.ndarray) -> None:
    """Let muddy water stand around houses and trees."""
    muddy = np.array([0.42, 0.36, 0.27], np.float32) * np.float32(rng.uniform(0.75, 1.15))
    clear = np.asarray(surface.scene.style.region.water[0], np.float32)
    color = muddy + np.float32(rng.uniform(0, 0.7)) * (clear - muddy)
    texture = surface.texture(9, cells=512)
    water = color * (1.0 + np.float32(0.04) * texture)[..., None]
    standing = smoothstep(surface.height, 1.5, 4.0)
    share = np.float32(0.95) * intensity * (1.0 - 0.85 * standing)
    surface.tint(water, share)
    wet = share > 0.5
    surface.mark("water", wet)
    surface.relief = np.where(wet, 0.0, surface.relief).astype(np.float32)


def _wash(surface: Surface, rng: np.random.Generator, intensity: np.ndarray) -> None:
    """Strip the ground to mud, with pools, and leave a line of wrack where the wave ended."""
    texture, large = surface.texture(9, cells=512), surface.texture(8, cells=24)
    mud = np.array([0.46, 0.40, 0.32], np.float32) * np.float32(rng.uniform(0.8, 1.15))
    mud = mud * (1.0 + np.float32(0.10) * texture + np.float32(0.10) * large)[..., None]
    pools = smoothstep(large + np.float32(0.5) * texture, 0.9, 1.3) * np.float32(0.8)
    mud = blend(mud, np.array([0.20, 0.23, 0.23], np.float32), pools)
    surface.tint(mud, np.float32(0.88) * intensity)
    wrack = smoothstep(-np.abs(intensity - 0.3), -0.25, 0.0) * smoothstep(texture, -0.6, 0.4)
    surface.tint((0.32, 0.27, 0.21), 0.85 * wrack)
    surface.mark("bareland", intensity > 0.5)
    surface.mark("water", (intensity > 0.5) & (pools > 0.4))
    surface.height = surface.height * (1.0 - intensity)


def _burn(surface: Surface, rng: np.random.Generator, intensity: np.ndarray) -> None:
    """Char what grows; roads, bare ground and water do not burn."""
    texture = surface.texture(9, cells=256)
    fuel = np.where(surface.is_cover("road", "developed", "water", "building"), 0.0, 1.0)
    fuel = np.where(surface.is_cover("bareland"), 0.45, fuel)
    char = np.array([0.16, 0.135, 0.115], np.float32) * np.float32(rng.uniform(0.75, 1.4))
    ash = np.array([0.36, 0.33, 0.30], np.float32)
    burnt = char + (0.35 * smoothstep(texture, 0.2, 1.8))[..., None] * (ash - char)
    scorched = surface.is_cover("tree") & (surface.texture(7, cells=128) > 0.3)
    brown = np.array([0.33, 0.24, 0.15], np.float32)
    burnt = np.where(scorched[..., None], 0.5 * burnt + 0.5 * brown, burnt)
    share = np.float32(0.92) * intensity * fuel * smoothstep(texture, -2.2, -0.6)
    surface.tint(burnt, share)
    surface.mark("bareland", (share > 0.5) & ~scorched)
    surface.height = surface.height * (1.0 - np.float32(0.75) * share)


def _blow(surface: Surface, rng: np.random.Generator, intensity: np.ndarray) -> None:
    """Scour the ground along the path, fell trees and strew splinters."""
    texture = surface.texture(9)
    track = np.float32(0.5) * intensity * smoothstep(texture, -1.0, 1.0)
    surface.tint((0.50, 0.43, 0.34), track)
    luck = surface.texture(7, cells=128)
    felled = surface.is_cover("tree") & (intensity > 0.45 + np.float32(0.25) * luck)
    down = np.array([0.33, 0.29, 0.21], np.float32) * (1 + np.float32(0.2) * texture)[..., None]
    surface.albedo = np.where(felled[..., None], down, surface.albedo)
    surface.height = np.where(felled, np.float32(0.12) * surface.height, surface.height)
    surface.mark("rangeland", felled)


# What happens to the ground, and the share in [0, 1] that is gone of what stood or drove there.
_STRIKES = {
    "flooding": (_flood, 0.8),
    "tsunami": (_wash, 1.0),
    "wildfire": (_burn, 0.7),
    "wind": (_blow, 0.5),
}


def scatter_debris(surface: Surface, rng: np.random.Generator) -> None:
    """Throw a storm's or a wave's splinters over everything, densest where it was strongest."""
    scene = surface.scene
    share = {"wind": 0.045, "tsunami": 0.03}.get(scene.disaster, 0.0)
    if not share or surface.meters > 3.0:
        return
    intensity = scene.hazard.intensity(surface.x, surface.y)
    hits = rng.random(intensity.shape, dtype=np.float32) < np.float32(share) * intensity
    hits &= ~surface.is_cover("water")
    tones = rng.uniform(0.25, 0.95, (int(hits.sum()), 1)).astype(np.float32)
    surface.albedo[hits] = tones * np.array([1.0, 0.95, 0.88], np.float32)


def cover_all(surface: Surface, rng: np.random.Generator) -> None:
    """Lay ash and lava over ground and buildings alike."""
    hazard = surface.scene.hazard
    if hazard.kind != "volcano":
        return
    texture = surface.texture(10)
    ash = np.array([0.41, 0.39, 0.375], np.float32) * np.float32(rng.uniform(0.7, 1.1))
    share = hazard.intensity(surface.x, surface.y) * np.float32(rng.uniform(0.6, 1.0))
    share = share * np.where(
        surface.is_cover("water"), 0.3, np.where(surface.is_cover("tree"), 0.75, 0.95)
    )
    surface.tint(ash * (1.0 + np.float32(0.05) * texture)[..., None], share)
    inside = hazard.lava(surface.x, surface.y)
    if inside.max() < 0:
        return
    ropy = surface.texture(11, cells=128)
    lava = np.array([0.12, 0.11, 0.11], np.float32) * (1.0 + np.float32(0.3) * ropy)[..., None]
    flow = smoothstep(inside + np.float32(1.5) * ropy, -2.0, 2.0)
    surface.tint(lava, flow)
    surface.relief = surface.relief + np.float32(0.35) * ropy * flow
    surface.height = surface.height * (1.0 - np.float32(0.9) * flow)
    surface.mark("bareland", flow > 0.5)
    if rng.uniform() < 0.4:
        glow = smoothstep(ropy + np.float32(0.4) * texture, 1.7, 2.4) * smoothstep(inside, 0.0, 4.0)
        surface.tint((0.98, 0.42, 0.12), glow)


def draw_smoke(surface: Surface, rng: np.random.Generator) -> np.ndarray:
    """Return the share (h, w) of the view that smoke hides: now and then over a fire."""
    if surface.scene.disaster != "wildfire" or rng.uniform() > 0.3:
        return np.zeros_like(surface.x)
    plume = surface.texture(12, cells=12)
    return smoothstep(plume, 0.2, 2.2) * np.float32(rng.uniform(0.3, 0.8))
