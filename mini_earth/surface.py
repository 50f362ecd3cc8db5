"""The picture while it is painted: colors, land cover, heights and trees on one grid."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from mini_earth.scene import LAND_COVER, Scene

COVER = {name: code for code, name in enumerate(LAND_COVER)}


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


@dataclass
class Surface:
    """What the camera would see without light: ``albedo`` (h, w, 3) in [0, 1], and what it is.

    ``cover`` holds codes of ``LAND_COVER``; ``relief`` and ``height`` are meters of smooth ground
    and of what stands on it; ``trees`` is the local density of trees in [0, 1].
    """

    scene: Scene
    canvas: Canvas
    albedo: np.ndarray
    cover: np.ndarray
    relief: np.ndarray
    height: np.ndarray
    trees: np.ndarray

    def is_cover(self, *names: str) -> np.ndarray:
        """Return where the land cover is one of ``names``."""
        found = self.cover == COVER[names[0]]
        for name in names[1:]:
            found |= self.cover == COVER[name]
        return found


Points = Sequence[tuple[float, float]] | np.ndarray
Tint = Sequence[float] | np.ndarray


class Stencil:
    """Draw polygons and lines, in meters, onto colors, land cover and heights at once.

    Use it as a context: the surface has the drawing when the block ends.
    """

    def __init__(self, surface: Surface) -> None:
        """Turn the surface into pictures that Pillow draws on."""
        self.surface = surface
        self.scale = 1.0 / surface.canvas.meters
        colors = (np.clip(surface.albedo, 0, 1) * np.float32(255)).astype(np.uint8)
        self._pictures = (
            Image.fromarray(colors),
            Image.fromarray(surface.cover),
            Image.fromarray(surface.height),
        )
        self._colors = ImageDraw.Draw(self._pictures[0], "RGBA")
        self._cover, self._height = (ImageDraw.Draw(picture) for picture in self._pictures[1:])

    def __enter__(self) -> "Stencil":
        """Start to draw."""
        return self

    def __exit__(self, *_: object) -> None:
        """Write the pictures back."""
        colors, cover, height = self._pictures
        self.surface.albedo = np.asarray(colors, dtype=np.float32) * np.float32(1 / 255)
        self.surface.cover, self.surface.height = np.array(cover), np.array(height)

    def polygon(
        self,
        points: Points,
        color: Tint,
        *,
        alpha: float = 1.0,
        cover: str | None = None,
        height: float | None = None,
    ) -> None:
        """Fill a polygon given in meters."""
        corners = list(map(tuple, (np.asarray(points) * self.scale - 0.5).tolist()))
        self._colors.polygon(corners, rgba(color, alpha))
        if cover is not None:
            self._cover.polygon(corners, COVER[cover])
        if height is not None:
            self._height.polygon(corners, height)

    def line(
        self,
        points: Points,
        color: Tint,
        *,
        width: float,
        alpha: float = 1.0,
        cover: str | None = None,
        height: float | None = None,
    ) -> None:
        """Draw a line ``width`` meters wide, at least a pixel."""
        corners = list(map(tuple, (np.asarray(points) * self.scale - 0.5).tolist()))
        pixels = max(1, round(width * self.scale))
        self._colors.line(corners, rgba(color, alpha), pixels, joint="curve")
        if cover is not None:
            self._cover.line(corners, COVER[cover], pixels, joint="curve")
        if height is not None:
            self._height.line(corners, height, pixels, joint="curve")

    def spot(self, x: float, y: float, radius: float, color: Tint, alpha: float) -> None:
        """Fill a disk."""
        x, y, radius = x * self.scale - 0.5, y * self.scale - 0.5, radius * self.scale
        box = (x - radius, y - radius, x + radius, y + radius)
        self._colors.ellipse(box, rgba(color, alpha))


def rgba(color: Tint, alpha: float = 1.0) -> tuple[int, int, int, int]:
    """Turn a color in [0, 1] into the bytes that Pillow draws with."""
    red, green, blue = (min(255, max(0, int(255 * part))) for part in color)
    return red, green, blue, int(255 * alpha)
