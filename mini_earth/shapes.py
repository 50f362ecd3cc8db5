"""Shapes of the ground as functions of position in meters, so that any grid can sample them."""

from dataclasses import dataclass

import numpy as np

Array = np.ndarray | float


def turned(points: np.ndarray, angle: float) -> np.ndarray:
    """Turn points (k, 2) around the origin, from x toward y, by an angle in radians."""
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]])


@dataclass(frozen=True)
class Waves:
    """A smooth random field: a sum of plane waves with standard deviation ``amplitude``."""

    amplitude: float
    directions: Array
    phases: Array

    def __call__(self, x: Array, y: Array) -> Array:
        """Evaluate at positions in meters."""
        total = np.zeros_like(x)
        for (kx, ky), phase in zip(self.directions, self.phases, strict=True):
            total += np.sin(kx * x + ky * y + np.float32(phase))
        return total * np.float32(self.amplitude * (2.0 / len(self.phases)) ** 0.5)


def draw_waves(rng: np.random.Generator, *, amplitude: float, wavelength: float) -> Waves:
    """Draw four waves with lengths between half and twice ``wavelength`` meters."""
    angles = rng.uniform(0, 2 * np.pi, 4)
    numbers = 2 * np.pi / (wavelength * rng.uniform(0.5, 2.0, 4))
    directions = np.stack([numbers * np.cos(angles), numbers * np.sin(angles)], 1)
    return Waves(amplitude, directions.astype(np.float32), rng.uniform(0, 2 * np.pi, 4))


@dataclass(frozen=True)
class Frame:
    """A rotated frame: u runs along ``angle``, v to its left, both from ``(x, y)``, in meters.

    ``bend`` meters of sideways swing, once every ``bend_length`` meters, make streets curve.
    """

    x: float
    y: float
    angle: float
    bend: float = 0.0
    bend_length: float = 400.0

    def to_local(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Turn positions into (u, v)."""
        cos, sin = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
        dx, dy = x - np.float32(self.x), y - np.float32(self.y)
        u, v = cos * dx + sin * dy, cos * dy - sin * dx
        return (u, v - self._swing(u)) if self.bend else (u, v)

    def to_world(self, u: Array, v: Array) -> tuple[Array, Array]:
        """Turn (u, v) into positions; the inverse of ``to_local``."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        v = v + self._swing(u) if self.bend else v
        return self.x + cos * u - sin * v, self.y + sin * u + cos * v

    def straight(self) -> "Frame":
        """Return the frame without its bend."""
        return Frame(self.x, self.y, self.angle)

    def heading(self, u: Array) -> Array:
        """Return the angle at which a line of constant v runs at ``u``, in radians."""
        number = 2 * np.pi / self.bend_length
        return self.angle + np.arctan(self.bend * number * np.cos(number * u))

    def _swing(self, u: Array) -> Array:
        return np.float32(self.bend) * np.sin(u * np.float32(2 * np.pi / self.bend_length))


@dataclass(frozen=True)
class Water:
    """Sea, river, lake or canal; ``depth`` is meters into the water, negative on land."""

    kind: str
    frame: Frame
    size: float
    waves: Waves

    def depth(self, x: Array, y: Array) -> Array:
        """Return the distance from the shore in meters, positive in the water."""
        u, v = self.frame.to_local(x, y)
        if self.kind == "canal":
            return np.float32(self.size / 2) - np.abs(v)
        wobble = self.waves(x, y)
        if self.kind == "sea":
            return v + wobble
        if self.kind == "river":
            return np.float32(self.size / 2) - np.abs(v + 2 * wobble)
        return np.float32(self.size) - np.hypot(u, v * np.float32(1.3)) + wobble


def draw_water(rng: np.random.Generator, kind: str, *, extent: float) -> Water:
    """Place a sea, a river or a lake in a square of ``extent`` meters."""
    middle = extent * (0.5 + rng.uniform(-0.18, 0.18, 2))
    angle = rng.uniform(0, 2 * np.pi)
    scale = min(extent, 400.0)
    if kind == "sea":
        shift = extent * rng.uniform(0.08, 0.34)
        middle = middle + shift * np.array([-np.sin(angle), np.cos(angle)])
        size, wobble = extent, 0.035 * scale
    elif kind in ("river", "canal"):
        size, wobble = scale * rng.uniform(0.08, 0.24), 0.045 * scale
    else:
        size, wobble = extent * rng.uniform(0.16, 0.34), 0.05 * scale
    waves = draw_waves(rng, amplitude=wobble, wavelength=0.6 * scale)
    return Water(kind, Frame(float(middle[0]), float(middle[1]), angle), size, waves)
