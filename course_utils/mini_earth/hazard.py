"""Hazard fields: how strong a disaster is at each place, and what it does to a building."""

from dataclasses import dataclass

import numpy as np

from course_utils.mini_earth.noise import smoothstep
from course_utils.mini_earth.shapes import Frame, Water, Waves, draw_waves

DISASTERS: tuple[str, ...] = ("earthquake", "flooding", "tsunami", "volcano", "wildfire", "wind")


@dataclass(frozen=True)
class Hazard:
    """A disaster's geometry; ``intensity`` in [0, 1] at any position in meters.

    ``reach`` is meters: the run-up of a tsunami, half the width of a wind path, the half-width
    of a lava tongue. ``strength`` in [0, 1] scales what happens there.
    """

    kind: str
    frame: Frame
    reach: float
    strength: float
    waves: Waves
    water: Water | None

    def intensity(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Evaluate the hazard; an earthquake shakes everywhere alike."""
        if self.kind == "earthquake":
            return np.full_like(x, self.strength)
        _, v = self.frame.to_local(x, y)
        wobble = self.waves(x, y)
        if self.kind == "wind":
            return np.exp(-(((v + wobble) / self.reach) ** 2)) * np.float32(self.strength)
        if self.kind == "tsunami":
            inland = -self.water.depth(x, y) + wobble
            return smoothstep(self.reach - inland, 0.0, 0.35 * self.reach)
        if self.kind == "flooding":
            above = v + wobble
            if self.water is not None:
                above = np.minimum(above, -self.water.depth(x, y) + wobble - 0.4 * self.reach)
            return smoothstep(-above, -2.0, 4.0)
        if self.kind == "volcano":
            return np.clip(0.75 + 0.25 * v / self.reach + 0.01 * wobble, 0.45, 1.0)
        return smoothstep(v + wobble, -3.0, 5.0)

    def lava(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return meters into the lava tongue, negative outside; a weak eruption has only ash."""
        if self.strength < 0.7:
            return np.full_like(x, -1.0)
        _, v = self.frame.to_local(x, y)
        return np.float32(0.35 * self.reach) - np.abs(v + self.waves(x, y))


def draw_hazard(
    rng: np.random.Generator, kind: str, *, water: Water | None, extent: float
) -> Hazard:
    """Draw where and how hard a disaster strikes a square of ``extent`` meters.

    Raises:
        ValueError: for a kind that is not in ``DISASTERS``.
    """
    if kind not in DISASTERS:
        raise ValueError(f"disaster {kind!r} is not one of {', '.join(DISASTERS)}")
    shift = {"flooding": 0.22, "wildfire": 0.22, "wind": 0.25, "volcano": 0.3}.get(kind, 0.1)
    x, y = extent * (0.5 + rng.uniform(-shift, shift, 2))
    reach = extent * {
        "tsunami": rng.uniform(0.35, 0.8),
        "wind": rng.uniform(0.25, 0.55),
        "volcano": rng.uniform(0.15, 0.4),
        "flooding": rng.uniform(0.1, 0.3),
    }.get(kind, 0.3)
    scale = min(extent, 300.0)
    amplitude = scale * {"wildfire": 0.13, "flooding": 0.11, "volcano": 0.06}.get(kind, 0.05)
    return Hazard(
        kind=kind,
        frame=Frame(float(x), float(y), rng.uniform(0, 2 * np.pi)),
        reach=float(reach),
        strength=float(rng.uniform(0.55, 1.0)),
        waves=draw_waves(rng, amplitude=amplitude, wavelength=0.45 * scale),
        water=water,
    )


# Thresholds of (intensity x vulnerability) for minor, major and destroyed, by disaster.
_THRESHOLDS = {
    "earthquake": (0.25, 0.42, 0.55),
    "flooding": (0.25, 0.5, 0.93),
    "tsunami": (0.15, 0.3, 0.45),
    "volcano": (0.3, 0.62, 0.8),
    "wildfire": (0.3, 0.38, 0.45),
    "wind": (0.15, 0.32, 0.52),
}


def damage_levels(
    rng: np.random.Generator,
    hazard: Hazard | None,
    *,
    x: np.ndarray,
    y: np.ndarray,
    strength: np.ndarray,
) -> np.ndarray:
    """Grade buildings on the Joint Damage Scale: 1 none, 2 minor, 3 major, 4 destroyed.

    A building suffers intensity x (1.05 - 0.6 strength) plus a little luck.

    Source:
        Gupta et al. 2019 (arXiv:1911.09296), table 1.
    """
    if hazard is None:
        return np.ones(x.size, dtype=np.int64)
    intensity = hazard.intensity(x.astype(np.float32), y.astype(np.float32))
    suffered = intensity * (1.05 - 0.6 * strength) + rng.normal(0, 0.05, x.size)
    if hazard.kind == "volcano":
        covered = hazard.lava(x.astype(np.float32), y.astype(np.float32)) > 0
        suffered = np.where(covered, 1.0, np.minimum(suffered, 0.7))
    return 1 + np.searchsorted(_THRESHOLDS[hazard.kind], suffered)
