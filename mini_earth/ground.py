"""Paint the land: soil, grass, yards, fields, dunes, slopes; water, trees and snow."""

from collections.abc import Callable

import numpy as np

from mini_earth.camera import Moment
from mini_earth.noise import blend, canopy, smoothstep
from mini_earth.scene import SETTLEMENTS, Scene
from mini_earth.surface import Surface, bare_surface


def paint_ground(scene: Scene, num_pixels: int, moment: Moment) -> Surface:
    """Paint the open ground, with its land cover, its relief and the density of its trees."""
    surface, region = bare_surface(scene, num_pixels), scene.style.region
    large, fine = surface.texture(1, cells=64), surface.texture(2, cells=512)
    pick = np.random.default_rng(scene.seed + 11)
    tone = np.random.default_rng([scene.look, 11])
    soil = np.asarray(region.soil, np.float32)[tone.integers(len(region.soil))]
    first, second = (green(scene, moment, index) for index in (2, 3))
    tint = tone.uniform(0.93, 1.07, 3).astype(np.float32)
    grass = first + smoothstep(0.7 * fine + 0.5 * large, -1.4, 1.4)[..., None] * (second - first)
    threshold = (0.5 - scene.green_share) * 3.0
    share = smoothstep(0.6 * large + 0.4 * fine, threshold - 0.6, threshold + 0.6)
    surface.albedo = blend(np.broadcast_to(soil, grass.shape), grass, share) * tint
    surface.mark("rangeland", share > 0.5)
    low, high = scene.wood
    surface.trees = low + np.float32(high - low) * smoothstep(large, 0.1, 0.9)
    bumps = np.float32(0.06 * min(scene.extent / 100, 6))
    surface.relief = bumps * large + np.float32(0.03) * fine
    if scene.ground in _PAINTERS:
        _PAINTERS[scene.ground](surface, moment, pick)
    if scene.buildings and scene.scene_class in SETTLEMENTS:
        _paint_yards(surface, moment, pick)
    speckle = np.random.default_rng(scene.seed + 12).standard_normal(fine.shape, dtype=np.float32)
    shade = 1.0 + np.float32(0.07) * fine + np.float32(0.05) * large + np.float32(0.035) * speckle
    surface.albedo = surface.albedo * shade[..., None]
    return surface


def green(scene: Scene, moment: Moment, index: int) -> np.ndarray:
    """Return the color that vegetation of a kind (0 dark crowns to 3 light grass) has today."""
    region = scene.style.region
    color = np.asarray(region.vegetation[index], np.float32)
    dry = np.asarray(region.dry, np.float32) * np.float32(0.55 + 0.13 * index)
    color = color + np.float32((0.25 + 0.17 * index) * moment.dryness) * (dry - color)
    if region.name == "temperate" and moment.season == "winter":
        bare = np.array([0.30, 0.27, 0.22], np.float32)
        color = color + np.float32(0.75 if index < 2 else 0.35) * (bare - color)
    if region.name == "temperate" and moment.season == "autumn" and index == 1:
        color = color + np.float32(0.5) * (np.array([0.48, 0.33, 0.15], np.float32) - color)
    return color


def _stripes(v: np.ndarray, spacing: float, meters: float) -> np.ndarray:
    """Rows as a sine, faded where the pixels are too coarse to show them."""
    visible = min(1.0, max(0.0, (spacing / meters - 1.6) / 2.4))
    return np.sin(v * np.float32(2 * np.pi / spacing)) * np.float32(visible)


def _choice(values: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Look 64 random values up by a cell's index."""
    return np.asarray(values, np.float32).take(index)


def _paint_yards(surface: Surface, moment: Moment, pick: np.random.Generator) -> None:
    """Give each lot of a settlement its own lawn or bare yard, with a fence where one shows."""
    scene = surface.scene
    inside = scene.built_up(surface.x, surface.y) > 0
    width, depth = scene.lots
    u, v = scene.frame.to_local(surface.x, surface.y)
    column, row = np.floor(u / width).astype(np.int32), np.floor(v / depth).astype(np.int32)
    index = (column * 37 + row * 23) & 63
    soil = np.asarray(scene.style.region.soil, np.float32)
    bare = soil[pick.integers(len(soil), size=64)] * pick.uniform(0.85, 1.1, (64, 1))
    lawn = green(scene, moment, 2) + pick.uniform(0, 1, (64, 1)) * (
        green(scene, moment, 3) - green(scene, moment, 2)
    )
    share = np.clip(pick.uniform(*scene.style.region.yard, 64) + pick.normal(0, 0.2, 64), 0, 1)
    if scene.scene_class == "industrial_area":
        share = np.maximum(share, 0.5)
    colors = lawn * pick.uniform(0.8, 1.15, (64, 1)) + share[:, None] * (bare - lawn)
    yards = colors.astype(np.float32).take(index, 0)
    yards = yards * (1 + np.float32(0.06) * surface.texture(7, cells=256))[..., None]
    if surface.meters < 1.5:
        edge = np.minimum(u - column * width, v - row * depth)
        yards = yards * (1 - np.float32(0.28) * (edge < max(0.7, surface.meters)))[..., None]
    surface.albedo = np.where(inside[..., None], yards, surface.albedo)
    surface.mark("rangeland", inside)
    surface.mark("bareland", inside & (share[index] > 0.5))
    planted = np.clip(scene.wood[0] * pick.uniform(0.2, 1.8, 64), 0, 1)
    surface.trees = np.where(inside, _choice(planted, index), surface.trees)


def _field_index(surface: Surface, pick: np.random.Generator) -> tuple:
    """Cut the land into fields: local coordinates, a number for each field, meters to its edge."""
    scene = surface.scene
    u, v = scene.frame.to_local(surface.x, surface.y)
    size = max(min(scene.extent, 900.0) * pick.uniform(0.16, 0.45), 25.0)
    along, across = size * pick.uniform(0.8, 2.2), size * pick.uniform(0.5, 1.0)
    row = np.floor(v / np.float32(across)).astype(np.int32)
    shifted = u + _choice(pick.uniform(0, along, 64), row & 63)
    column = np.floor(shifted / np.float32(along)).astype(np.int32)
    near_u, near_v = shifted - column * np.float32(along), v - row * np.float32(across)
    edge = np.minimum(
        np.minimum(near_u, np.float32(along) - near_u),
        np.minimum(near_v, np.float32(across) - near_v),
    )
    return u, v, (row * 31 + column * 17) & 63, edge


def _paint_fields(surface: Surface, moment: Moment, pick: np.random.Generator) -> None:
    scene = surface.scene
    u, v, index, edge = _field_index(surface, pick)
    palette = np.asarray(scene.style.region.crops, np.float32)
    colors = palette[pick.integers(len(palette), size=64)] * pick.uniform(0.75, 1.2, (64, 1))
    soil = np.asarray(scene.style.region.soil, np.float32)[0]
    fallow = 0.2 + 0.45 * (moment.season == "winter") + 0.3 * moment.dryness
    mixed = np.where(pick.uniform(size=(64, 1)) < fallow, soil * 0.9, colors)
    rows = np.where(_choice(pick.uniform(size=64), index) < 0.5, u, v)
    strength = _choice(pick.uniform(0.01, 0.09, 64), index)
    spacing = max(2.5, scene.extent / 110)
    shade = 1.0 + strength * _stripes(rows, spacing, surface.meters)
    shade = shade + np.float32(0.05) * _stripes(rows, 7.3 * spacing, surface.meters)
    patchy = _choice(pick.uniform(0.0, 0.12, 64), index)
    shade = shade * (1.0 + patchy * surface.texture(3, cells=48))
    fields = mixed.astype(np.float32).take(index, 0)
    fields *= shade[..., None]
    wide = max(1.2, 0.5 * surface.meters) * pick.uniform(0.8, 2.5)
    border = smoothstep(edge, wide * 0.6, wide * 1.4)
    surface.albedo = blend(surface.albedo * np.float32(0.85), fields, border)
    surface.mark("agriculture", border > 0.5)
    hedge = pick.uniform(0, 0.8) * (pick.uniform() < 0.6)
    surface.trees = np.where(border > 0.5, 0.1 * scene.wood[0], np.maximum(hedge, scene.wood[0]))
    surface.trees = surface.trees.astype(np.float32)


def _paint_orchard(surface: Surface, moment: Moment, pick: np.random.Generator) -> None:
    scene = surface.scene
    u, v, index, edge = _field_index(surface, pick)
    spacing = max(pick.uniform(5, 8), scene.extent / 40)
    crowns = np.clip(
        _stripes(u, spacing, surface.meters) * _stripes(v, spacing, surface.meters) * 1.6, 0, 1
    )
    hedges = np.clip(1.4 * _stripes(v, spacing, surface.meters), 0, 1)
    pattern = np.where(_choice(pick.uniform(size=64), index) < 0.6, crowns, hedges)
    pattern = pattern * (_choice(pick.uniform(size=64), index) < 0.85)
    soil = np.asarray(scene.style.region.soil, np.float32)
    floor = 0.5 * soil[pick.integers(len(soil), size=64)[index]] + 0.5 * green(scene, moment, 3)
    border = smoothstep(edge, 1.5, 3.5)
    surface.tint(floor, border)
    stands = pattern * border
    surface.tint(green(scene, moment, 1), smoothstep(stands, 0.1, 0.5))
    surface.relief = surface.relief + np.float32(0.4 * spacing) * stands
    surface.mark("agriculture", border > 0.5)
    surface.trees = np.where(border > 0.5, 0.0, surface.trees)


def _paint_circles(surface: Surface, moment: Moment, pick: np.random.Generator) -> None:
    scene = surface.scene
    size = scene.extent * pick.uniform(0.32, 0.75)
    u, v = scene.frame.to_local(surface.x, surface.y)
    row, column = np.floor(v / size).astype(np.int32), np.floor(u / size).astype(np.int32)
    du, dv = u - (column + np.float32(0.5)) * size, v - (row + np.float32(0.5)) * size
    radius = np.hypot(du, dv) / np.float32(size)
    index = (row * 13 + column * 7) % 64
    palette = np.asarray(scene.style.region.crops, np.float32)
    colors = palette[pick.integers(len(palette), size=64)] * pick.uniform(0.8, 1.15, (64, 1))
    other = palette[pick.integers(len(palette), size=64)]
    cut = _choice(pick.uniform(0, 2 * np.pi, 64), index)
    sector = (np.arctan2(dv, du) - cut) % np.float32(2 * np.pi)
    is_cut = sector < _choice(pick.uniform(0, 5, 64) * (pick.uniform(size=64) < 0.4), index)
    crops = np.where(
        is_cut[..., None], other.astype(np.float32)[index], colors.astype(np.float32)[index]
    )
    rings = 1.0 + np.float32(0.035) * np.sin(radius * np.float32(2 * np.pi * 22))
    arm = np.abs(sector) * radius * np.float32(size) < max(1.2, surface.meters)
    inside = smoothstep(-radius, -0.485, -0.47)
    crops = crops * (rings * np.where(arm, np.float32(0.8), np.float32(1)))[..., None]
    surface.tint(crops, inside * np.float32(0.95))
    surface.mark("agriculture", inside > 0.5)
    surface.trees = np.where(inside > 0.5, 0.0, surface.trees)


def _paint_dunes(surface: Surface, moment: Moment, pick: np.random.Generator) -> None:
    scene = surface.scene
    _, v = scene.frame.to_local(surface.x, surface.y)
    bend = surface.texture(4, cells=24)
    spacing = scene.extent * pick.uniform(0.05, 0.16)
    phase = v * np.float32(2 * np.pi / spacing) + np.float32(2.0) * bend
    crest = np.abs(np.sin(phase * np.float32(0.5)))  # sharp troughs, as wind leaves them
    surface.relief = surface.relief + np.float32(0.09 * spacing * pick.uniform(0.3, 1.0)) * crest


def _paint_slopes(surface: Surface, moment: Moment, pick: np.random.Generator) -> None:
    """Raise a mountain: ridges, rock on the steep, snow on the high in the cold season."""
    low = surface.texture(5, cells=int(pick.integers(10, 24)))
    ridge = -np.abs(low) + np.float32(0.12) * surface.texture(6, cells=200)
    surface.relief = np.float32(surface.scene.extent * pick.uniform(0.05, 0.10)) * ridge
    rock = np.asarray(surface.scene.style.region.soil, np.float32)[1] * np.float32(0.9)
    steep = smoothstep(ridge, -0.6, -0.1)
    surface.tint(rock, 0.8 * steep)
    surface.mark("bareland", steep > 0.5)
    surface.trees = (surface.trees * (1.0 - steep)).astype(np.float32)


def _paint_shrubs(surface: Surface, moment: Moment, pick: np.random.Generator) -> None:
    """Strew bushes, each a few meters wide, over dry ground."""
    surface.trees = np.full_like(surface.trees, pick.uniform(0.12, 0.4))


Painter = Callable[[Surface, Moment, np.random.Generator], None]
_PAINTERS: dict[str, Painter] = {
    "fields": _paint_fields,
    "orchard": _paint_orchard,
    "circles": _paint_circles,
    "dunes": _paint_dunes,
    "slopes": _paint_slopes,
    "shrubs": _paint_shrubs,
}


def paint_water(surface: Surface, rng: np.random.Generator) -> None:
    """Fill the scene's sea, river or lake, with sand, shallows, swell and breakers."""
    scene = surface.scene
    pick = np.random.default_rng([scene.look, 13])
    depth = scene.water.depth(surface.x, surface.y)
    scale = float(np.clip(scene.extent, 60.0, 900.0))
    colors = np.asarray(scene.style.region.water, np.float32)
    color = colors[pick.integers(len(colors))] * np.float32(pick.uniform(0.8, 1.25))
    waves = surface.texture(6, cells=512)
    rough = depth + np.float32(0.01 * scale) * waves
    shore = smoothstep(rough, -surface.meters, surface.meters)
    is_open = scene.water.kind == "sea" and scene.scene_class != "harbor"
    if is_open:
        sand = np.array([0.76, 0.69, 0.55], np.float32) * np.float32(pick.uniform(0.85, 1.08))
        width = scale * pick.uniform(0.06, 0.16)
        dry = smoothstep(depth + np.float32(0.012 * scale) * waves, -width, -0.3 * width)
        wet = smoothstep(depth, -0.3 * width, 0.0)
        sand = sand * (1.0 - np.float32(0.35) * wet)[..., None]
        surface.tint(sand, dry * np.float32(0.95))
        surface.mark("bareland", dry > 0.5)
        surface.trees = surface.trees * (1.0 - dry)
    shallow = smoothstep(-depth, -0.12 * scale, 0.0) * np.float32(pick.uniform(0.3, 1.0))
    bed = 0.55 * np.array([0.60, 0.56, 0.44], np.float32) + 0.45 * color
    water = color + (0.7 * shallow)[..., None] * (bed - color)
    water = water * (1.0 + np.float32(0.06) * waves)[..., None]
    if is_open:
        foam = _breakers(depth, waves, rng, scale=scale)
        water = blend(water, np.array([0.90, 0.91, 0.90], np.float32), foam)
    surface.tint(water, shore)
    wet = shore > 0.5
    surface.mark("water", wet)
    surface.relief = np.where(wet, np.float32(0.02) * waves, surface.relief)
    surface.trees = np.where(depth > -3.0, 0.0, surface.trees)


def _breakers(
    depth: np.ndarray, waves: np.ndarray, rng: np.random.Generator, *, scale: float
) -> np.ndarray:
    """Return the share of foam: lines of surf along the shore, torn by the swell."""
    spacing = 0.05 * scale * rng.uniform(0.7, 1.5)
    wobble = depth + np.float32(0.25 * spacing) * waves
    lines = smoothstep(np.sin(wobble * np.float32(2 * np.pi / spacing)), 0.3, 0.9)
    near = smoothstep(-depth, -spacing * rng.uniform(1.0, 5.0), 0.0)
    return lines * near * smoothstep(waves, -1.2, 0.6) * np.float32(rng.uniform(0.4, 0.95))


def plant_trees(surface: Surface, moment: Moment) -> None:
    """Let a tree stand wherever the density allows and nothing is built."""
    scene, n = surface.scene, surface.num_pixels
    height, lot, tone = canopy(scene.seed + 5, num_pixels=n, extent=scene.extent)
    density = np.where(surface.is_cover("road", "developed", "water"), 0.0, surface.trees)
    soft = 0.02 if surface.meters < 1.5 else 0.25
    stands = smoothstep(density - lot, 0.0, soft) * smoothstep(height, 0.0, 0.12)
    tall = 6.5 if scene.ground != "shrubs" else 3.0
    dark, light = green(scene, moment, 0), green(scene, moment, 1)
    crowns = dark + ((0.5 + 0.5 * tone) * (0.35 + 0.65 * height))[..., None] * (light - dark)
    surface.tint(crowns, stands)
    surface.height = np.maximum(surface.height, np.float32(tall) * height * stands)
    surface.mark("tree", stands > 0.5)


def add_snow(surface: Surface, moment: Moment) -> None:
    """Let snow lie on everything but water, patchily on roads."""
    if not moment.snow or surface.scene.ground == "dunes":
        return
    field = surface.texture(8, cells=256)
    share = smoothstep(field, 1.5 - 3.0 * moment.snow, 2.2 - 3.0 * moment.snow)
    share = share * np.where(
        surface.is_cover("water"), 0, np.where(surface.is_cover("road"), 0.3, 0.9)
    )
    share = np.where(surface.is_cover("tree"), 0.45 * share, share)
    surface.tint((0.90, 0.91, 0.94), share)
