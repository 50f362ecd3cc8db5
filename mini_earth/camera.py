"""When, from where and through what a view is taken: sun, weather, shadows, air and camera."""

import datetime
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageFilter
from scipy.ndimage import gaussian_filter

from mini_earth.noise import blend, fractal, smoothstep
from mini_earth.scene import Scene
from mini_earth.surface import Surface

_SKY = 0.40  # what a shadow still receives, relative to flat ground in the sun
_SKY_COLOR = np.array([0.90, 1.0, 1.14], np.float32)


@dataclass(frozen=True)
class Moment:
    """One acquisition: angles in degrees (azimuths clockwise from north), shares in [0, 1]."""

    date: datetime.date
    season: str
    sun_azimuth: float
    sun_elevation: float
    off_nadir: float
    view_azimuth: float
    dryness: float
    snow: float
    cloud: float
    haze: float

    def shadow(self) -> np.ndarray:
        """Return the shadow of one meter of height, in meters (x east, y south).

        Under a lower sun than 30 degrees shadows grow no further, or nothing else would show.
        """
        elevation = np.radians(max(self.sun_elevation, 30.0))
        return -_toward(self.sun_azimuth) / np.tan(elevation)

    def lean(self) -> np.ndarray:
        """Return how far one meter of height leans away from the camera, in meters."""
        return -_toward(self.view_azimuth) * np.tan(np.radians(self.off_nadir))


def _toward(azimuth: float) -> np.ndarray:
    return np.array([np.sin(np.radians(azimuth)), -np.cos(np.radians(azimuth))])


def sun_position(latitude: float, day: int, *, hour: float) -> tuple[float, float]:
    """Compute the sun's azimuth and elevation in degrees.

        declination = -23.44 cos(2 pi (day + 10) / 365.24),  hour angle = 15 (hour - 12)
        sin(elevation) = sin(lat) sin(dec) + cos(lat) cos(dec) cos(hour angle)

    for degrees north, a day of the year and a local solar hour.

    Source:
        Duffie and Beckman, Solar Engineering of Thermal Processes, section 1.6, with Cooper's
        declination as a cosine; good to a degree.
    """
    declination = np.radians(-23.44 * np.cos(2 * np.pi * (day + 10) / 365.24))
    angle, lat = np.radians(15.0 * (hour - 12.0)), np.radians(latitude)
    up = np.sin(lat) * np.sin(declination) + np.cos(lat) * np.cos(declination) * np.cos(angle)
    east = -np.cos(declination) * np.sin(angle)
    north = np.cos(lat) * np.sin(declination) - np.sin(lat) * np.cos(declination) * np.cos(angle)
    azimuth = np.degrees(np.arctan2(east, north)) % 360
    return float(azimuth), float(np.degrees(np.arcsin(up)))


def season_of(day: int, latitude: float) -> str:
    """Name the season of a day of the year; south of the equator it is half a year apart."""
    shifted = (day + 10 + (0 if latitude >= 0 else 183)) % 365
    return ("winter", "spring", "summer", "autumn")[min(3, shifted * 4 // 365)]


def moment_of(scene: Scene, *, post: bool) -> Moment:
    """Return the conditions of the view before or after: the same at every call."""
    rng, style = np.random.default_rng([scene.look, 2 + post]), scene.style
    delay = int(rng.integers(1, 21)) if post else -int(rng.integers(15, 400))
    date = scene.date + datetime.timedelta(days=delay if scene.disaster else 0)
    day = date.timetuple().tm_yday
    season = season_of(day, scene.latitude)
    azimuth, elevation = sun_position(scene.latitude, day, hour=rng.uniform(9.5, 11.5))
    dry = {"winter": 0.35, "spring": 0.1, "summer": 0.4, "autumn": 0.5}[season]
    dry += 0.25 if style.region.name == "mediterranean" and season == "summer" else 0.0
    snowy = season == "winter" and rng.uniform() < style.region.snow_share
    return Moment(
        date=date,
        season=season,
        sun_azimuth=azimuth,
        sun_elevation=max(elevation, 5.0),
        off_nadir=float(rng.uniform(0.0, style.sensor.off_nadir)),
        view_azimuth=float(rng.uniform(0, 360)),
        dryness=float(np.clip(dry + rng.normal(0, 0.22), 0, 1)),
        snow=float(rng.uniform(0.4, 1.0)) if snowy else 0.0,
        cloud=float(rng.uniform(0.3, 1.0)) if rng.uniform() < 0.12 else 0.0,
        haze=float(rng.uniform(*style.sensor.haze)),
    )


def illuminate(surface: Surface, moment: Moment) -> Float[np.ndarray, "h w 3"]:
    """Return the lit image (h, w, 3): albedo times (sky + sun x cosine x not in shadow).

        cosine = (1 - slope . sun) / sqrt(1 + |slope|^2), 1 on flat ground

    Crowns shade themselves, as slopes do; roofs are lit when they are drawn.
    """
    meters, shadow = surface.meters, moment.shadow()
    ground = surface.relief + surface.height * surface.is_cover("tree")
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

    ``height`` is in meters, ``shadow`` that of one meter of height in pixels (x, y).
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


def clouds_of(scene: Scene, *, num_pixels: int, post: bool) -> Float[np.ndarray, "h w"]:
    """Return the share of each pixel that clouds hide in the view before or after."""
    rng, moment = np.random.default_rng([scene.seed, 4 + post]), moment_of(scene, post=post)
    if not moment.cloud:
        return np.zeros((num_pixels, num_pixels), np.float32)
    field = fractal(int(rng.integers(1 << 40)), num_pixels=num_pixels, num_cells=24)
    return smoothstep(field, 1.4 - 0.8 * moment.cloud, 2.6 - 0.6 * moment.cloud)


def look_through(
    light: Float[np.ndarray, "h w 3"],
    scene: Scene,
    moment: Moment,
    *,
    clouds: np.ndarray,
    smoke: np.ndarray,
) -> Float[np.ndarray, "h w 3"]:
    """Put air, smoke and clouds, with their shadows, between the ground and the camera."""
    if clouds.any():
        far = np.round(moment.shadow() * 0.04 * light.shape[0]).astype(int)
        shade = np.roll(clouds, (far[1], far[0]), (0, 1))
        light = light * (1.0 - np.float32(0.5) * shade)[..., None]
    haze = np.asarray(scene.style.sensor.haze_color, np.float32)
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
