"""When and from where a view is taken: date, season, sun, angle of view, weather."""

import datetime
from dataclasses import dataclass

import numpy as np

from mini_earth.styles import Style

SEASONS: tuple[str, ...] = ("winter", "spring", "summer", "autumn")
_OVERPASS = 10.5  # local solar hour of most imaging satellites


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


def sun_position(latitude: float, day: int, *, hour: float = _OVERPASS) -> tuple[float, float]:
    """Compute the sun's azimuth and elevation in degrees.

        declination = -23.44 cos(2 pi (day + 10) / 365.24),  hour angle = 15 (hour - 12)
        sin(elevation) = sin(lat) sin(dec) + cos(lat) cos(dec) cos(hour angle)

    Args:
        latitude: degrees north.
        day: of the year, 1 to 366.
        hour: local solar time.

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
    return SEASONS[min(3, shifted * 4 // 365)]


def draw_moment(
    rng: np.random.Generator, style: Style, *, date: datetime.date, latitude: float
) -> Moment:
    """Draw the conditions of one acquisition on a date."""
    day = date.timetuple().tm_yday
    season = season_of(day, latitude)
    azimuth, elevation = sun_position(latitude, day, hour=rng.uniform(9.5, 11.5))
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
