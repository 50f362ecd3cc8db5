"""Hazard fields: how strong a disaster is at each place, and what it does to a building."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from mini_earth.noise import smoothstep
from mini_earth.shapes import Frame, Water, Waves, draw_waves

DISASTERS: tuple[str, ...] = ("earthquake", "flooding", "tsunami", "volcano", "wildfire", "wind")


@dataclass(frozen=True)
class Hazard:
    """A disaster's geometry; ``intensity`` in [0, 1] at any position in meters.

    ``reach`` is meters: the run-up of a tsunami, the width of a flood plain, half the width of a
    wind path or of a lava tongue (ash thins out over nine times that). ``strength`` in [0, 1]
    scales what happens there. The frame's origin is the vent, the eye or the front; u points
    along its path. Where ``is_near`` is False the disaster passed by.
    """

    kind: str
    frame: Frame
    reach: float
    strength: float
    waves: Waves
    water: Water | None
    is_near: bool = True

    def intensity(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Evaluate the hazard."""
        if not self.is_near:
            return np.zeros_like(x)
        u, v = self.frame.to_local(x, y)
        wobble = self.waves(x, y)
        if self.kind == "earthquake":  # weaker away from the fault, stronger on soft ground
            local = 1.0 - np.float32(0.08 / self.reach) * u + np.float32(0.12) * wobble
            return np.clip(self.strength * local, 0.0, 1.0)
        if self.kind == "wind":
            return np.exp(-(((v + wobble) / self.reach) ** 2)) * np.float32(self.strength)
        if self.kind == "tsunami":
            inland = -self.water.depth(x, y) + wobble
            return smoothstep(self.reach - inland, 0.0, 0.35 * self.reach)
        if self.kind == "flooding":
            away = np.abs(v) if self.water is None else -self.water.depth(x, y)
            return smoothstep(self.reach - away + wobble, -2.0, 5.0)
        if self.kind == "volcano":
            ash = np.exp(-np.hypot(u, v) / np.float32(self.reach * 9)) * np.float32(self.strength)
            return np.maximum(ash, smoothstep(self.lava(x, y), -6.0, 0.0))
        return smoothstep(v + wobble, -3.0, 5.0)

    def lava(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return meters into the lava tongue, negative outside; a weak eruption has only ash."""
        if self.kind != "volcano" or self.strength < 0.82 or not self.is_near:
            return np.full_like(x, -50.0)
        u, v = self.frame.to_local(x, y)
        width = np.float32(self.reach) * np.clip(0.55 + u / np.float32(12 * self.reach), 0.3, 1.3)
        return np.minimum(width - np.abs(v + self.waves(x, y)), u + np.float32(self.reach))


def draw_hazard(
    rng: np.random.Generator, kind: str, *, water: Water | None, extent: float
) -> Hazard:
    """Draw where and how hard a disaster strikes a square of ``extent`` meters.

    Raises:
        ValueError: for a kind that is not in ``DISASTERS``.
    """
    if kind not in DISASTERS:
        raise ValueError(f"disaster {kind!r} is not one of {', '.join(DISASTERS)}")
    angle = rng.uniform(0, 2 * np.pi)
    shift = {"wildfire": 0.22, "wind": 0.25}.get(kind, 0.1)
    x, y = extent * (0.5 + rng.uniform(-shift, shift, 2))
    if kind in ("volcano", "flooding"):  # the vent, the river: at the edge or beyond it
        away = extent * rng.uniform(0.3, 0.75)
        x, y = x - away * np.cos(angle), y - away * np.sin(angle)
        angle += np.pi / 2 if kind == "flooding" else rng.normal(0, 0.25)
    reach = extent * {
        "tsunami": rng.uniform(0.35, 0.85),
        "wind": rng.uniform(0.22, 0.5),
        "volcano": rng.uniform(0.09, 0.2),
        "flooding": rng.uniform(0.25, 0.6) + (0.35 if water is None else 0.0),
    }.get(kind, 0.3)
    scale = min(extent, 300.0)
    amplitude = scale * {"wildfire": 0.13, "flooding": 0.11, "volcano": 0.035}.get(kind, 0.05)
    return Hazard(
        kind=kind,
        frame=Frame(float(x), float(y), angle),
        reach=float(reach),
        strength=float(rng.uniform(0.65, 1.0)),
        waves=draw_waves(
            rng, amplitude=1.0 if kind == "earthquake" else amplitude, wavelength=0.45 * scale
        ),
        water=water,
    )


# What is suffered at minor, major and destroyed, by disaster.
_THRESHOLDS = {
    "earthquake": (0.25, 0.42, 0.55),
    "flooding": (0.25, 0.5, 0.93),
    "tsunami": (0.15, 0.3, 0.45),
    "volcano": (0.3, 0.5, 0.95),
    "wildfire": (0.3, 0.38, 0.45),
    "wind": (0.15, 0.32, 0.52),
}
# How hard each disaster is on wood, masonry and concrete.
_VULNERABILITY = {
    "earthquake": (0.8, 1.2, 0.85),
    "flooding": (1.1, 1.0, 0.8),
    "tsunami": (1.2, 1.0, 0.7),
    "volcano": (1.1, 1.0, 0.9),
    "wildfire": (1.2, 0.95, 0.8),
    "wind": (1.25, 0.95, 0.7),
}


def suffering(
    rng: np.random.Generator,
    hazard: Hazard,
    *,
    at: Float[np.ndarray, "2 n"],
    strength: Float[np.ndarray, " n"],
    structure: Sequence[int],
) -> Float[np.ndarray, " n"]:
    """Say what each building suffers; what lies under lava, 1 or more than all others.

    It is intensity x (1.05 - 0.6 strength) x the structure's vulnerability, plus a little luck.
    ``at`` is x and y in meters, ``strength`` in [0, 1], ``structure`` are indices into
    ``STRUCTURES``.
    """
    weakness = np.asarray(_VULNERABILITY[hazard.kind])[structure]
    suffered = hazard.intensity(*at) * (1.05 - 0.6 * strength) * weakness
    suffered = suffered + rng.normal(0, 0.05, len(strength))
    if hazard.kind == "volcano":
        suffered = np.where(hazard.lava(*at) > 0, 1.0, np.minimum(suffered, 0.9))
    return suffered


def damage_levels(kind: str, suffered: Float[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Grade buildings on the Joint Damage Scale: 1 none, 2 minor, 3 major, 4 destroyed.

    Source:
        Gupta et al. 2019 (arXiv:1911.09296), the Joint Damage Scale.
    """
    return 1 + np.searchsorted(_THRESHOLDS[kind], suffered)


def recorded_levels(
    rng: np.random.Generator,
    suffered: Float[np.ndarray, " n"],
    *,
    num_damaged: int,
    shares: Sequence[float],
) -> Int[np.ndarray, " n"]:
    """Grade the ``num_damaged`` that suffer most; minor, major, destroyed have these ``shares``.

    The worst off are destroyed. Where a share is no whole number of buildings, chance rounds it, so
    that over many scenes the shares are those asked for.
    """
    ends = np.floor(np.cumsum(shares[::-1]) * num_damaged + rng.uniform())  # worst level first
    ends[-1] = num_damaged
    ranks = np.empty(len(suffered), int)
    ranks[np.argsort(-suffered, kind="stable")] = np.arange(len(suffered))
    return 4 - np.searchsorted(ends, ranks, side="right")
