"""The picture while it is painted: colors, land cover, heights and trees on one grid."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw

from mini_earth.noise import blend, fractal
from mini_earth.scene import LAND_COVER, Scene

COVER = {name: code for code, name in enumerate(LAND_COVER)}
Points = Sequence[tuple[float, float]] | np.ndarray
Tint = Sequence[float] | np.ndarray


@dataclass
class Surface:
    """What the camera would see without light: ``albedo`` (h, w, 3) in [0, 1], and what it is.

    ``x`` and ``y`` are the pixel centers in meters. ``cover`` holds codes of ``LAND_COVER``;
    ``relief`` and ``height`` are meters of smooth ground and of what stands on it; ``trees`` is
    the local density of trees in [0, 1].
    """

    scene: Scene
    x: np.ndarray
    y: np.ndarray
    albedo: np.ndarray
    cover: np.ndarray
    relief: np.ndarray
    height: np.ndarray
    trees: np.ndarray

    @property
    def num_pixels(self) -> int:
        """Pixels along a side."""
        return len(self.x)

    @property
    def meters(self) -> float:
        """Meters per pixel."""
        return self.scene.extent / len(self.x)

    def texture(self, number: int, *, cells: int = 1024) -> Float[np.ndarray, "h w"]:
        """Return one of the scene's fractal fields, with at most ``cells`` cells across."""
        n = self.num_pixels
        return fractal(self.scene.seed * 7 + number, num_pixels=n, num_cells=min(n, cells))

    def is_cover(self, *names: str) -> np.ndarray:
        """Return where the land cover is one of ``names``."""
        return np.isin(self.cover, [COVER[name] for name in names])

    def mark(self, name: str, where: np.ndarray) -> None:
        """Change the land cover."""
        self.cover[where] = COVER[name]

    def tint(self, color: tuple | np.ndarray, share: np.ndarray) -> None:
        """Mix a color, or an image of colors, into the albedo: a share per pixel in [0, 1]."""
        color = np.array(color, np.float32) if isinstance(color, tuple) else color
        self.albedo = blend(self.albedo, color, share)


def bare_surface(scene: Scene, num_pixels: int) -> Surface:
    """Lay the grid of pixel centers over a scene, black and flat."""
    line = (np.arange(num_pixels, dtype=np.float32) + 0.5) * np.float32(scene.extent / num_pixels)
    x, y = np.meshgrid(line, line)
    albedo, cover = np.zeros((*x.shape, 3), np.float32), np.zeros(x.shape, np.uint8)
    return Surface(scene, x, y, albedo, cover, *np.zeros((3, *x.shape), np.float32))


class Stencil:
    """Draw polygons and lines, in meters, onto colors, land cover and heights at once.

    Use it as a context: the surface has the drawing when the block ends.
    """

    def __init__(self, surface: Surface) -> None:
        """Turn the surface into pictures that Pillow draws on."""
        self.surface = surface
        self.scale = 1.0 / surface.meters
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
        corners = self._corners(points)
        self._colors.polygon(corners, _rgba(color, alpha))
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
        corners, pixels = self._corners(points), max(1, round(width * self.scale))
        self._colors.line(corners, _rgba(color, alpha), pixels, joint="curve")
        if cover is not None:
            self._cover.line(corners, COVER[cover], pixels, joint="curve")
        if height is not None:
            self._height.line(corners, height, pixels, joint="curve")

    def spot(self, center: np.ndarray, radius: float, color: Tint, *, alpha: float) -> None:
        """Fill a disk."""
        [corner] = self._corners(center[None])
        self._colors.circle(corner, radius * self.scale, _rgba(color, alpha))

    def _corners(self, points: Points) -> list[tuple[float, float]]:
        """Turn positions in meters into Pillow's pixels, whose centers are whole numbers."""
        return list(map(tuple, (np.asarray(points) * self.scale - 0.5).tolist()))


def _rgba(color: Tint, alpha: float) -> tuple[int, int, int, int]:
    """Turn a color in [0, 1] into the bytes that Pillow draws with."""
    red, green, blue = (min(255, max(0, int(255 * part))) for part in color)
    return red, green, blue, int(255 * alpha)
