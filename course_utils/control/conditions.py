"""Maps that steer a generator: what they show, how they come from an image, how they are stacked.

CRS-Diff reads six maps on 18 channels, three a map, in a fixed order; one that is absent is zeros.
"""

import warnings
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from course_utils.texts import text

# CRS-Diff's order (Tang et al. 2024, arXiv:2403.11614, released code)
CONDITIONS: tuple[str, ...] = ("lines", "edges", "sketch", "road", "depth", "segmentation")
CHANNELS = 3  # of each map
TALLEST = 40.0  # meters; what a depth map of 1 stands for
ROAD = 3  # its code in mini_earth.LAND_COVER
# OpenEarthMap's colors of its classes (Xia et al. 2023, arXiv:2210.10732), in the order of
# mini_earth.LAND_COVER
COVER_COLORS: tuple[tuple[int, int, int], ...] = (
    (128, 0, 0),
    (0, 255, 36),
    (148, 148, 148),
    (255, 255, 255),
    (34, 97, 38),
    (0, 69, 255),
    (75, 181, 73),
    (222, 31, 7),
)


def find_edges(image: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
    """Find soft edges, 0 to 1, as HED draws them: the slope of the smoothed brightness."""
    from skimage import color, filters

    slope = filters.sobel(filters.gaussian(color.rgb2gray(image), sigma=1.0))
    return np.clip(slope / 0.15, 0, 1).astype(np.float32)


def find_lines(image: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
    """Find straight lines of at least a sixth of the side, 0 or 1, as MLSD draws them."""
    from skimage import color, draw, feature, transform

    corners = feature.canny(color.rgb2gray(image), sigma=1.5)
    shortest, gap = len(image) // 6, max(1, len(image) // 32)
    found = transform.probabilistic_hough_line(
        corners, threshold=8, line_length=shortest, line_gap=gap, rng=0
    )
    page = np.zeros(image.shape[:2], np.float32)
    for (x0, y0), (x1, y1) in found:
        page[draw.line(y0, x0, y1, x1)] = 1
    return page


def color_cover(land_cover: UInt8[Tensor, "*n h w"]) -> Float[Tensor, "*n 3 h w"]:
    """Paint land cover in OpenEarthMap's colors, 0 to 1."""
    colors = torch.tensor(COVER_COLORS, device=land_cover.device) / 255
    return colors[land_cover.long()].movedim(-1, -3)


def outline_cover(land_cover: UInt8[Tensor, "*n h w"]) -> Float[Tensor, "*n h w"]:
    """Draw a sketch: 1 where the land cover changes to the right or below."""
    sketch = torch.zeros_like(land_cover, dtype=torch.float32)
    sketch[..., :, :-1] += land_cover[..., :, 1:] != land_cover[..., :, :-1]
    sketch[..., :-1, :] += land_cover[..., 1:, :] != land_cover[..., :-1, :]
    return sketch.clamp(max=1)


def conditions_of(
    image: np.ndarray,
    land_cover: np.ndarray | None = None,
    *,
    heights: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Find the maps of an image that can be found: lines and edges in the image itself.

    Args:
        image: bytes, height x width x 3.
        land_cover: codes of mini_earth.LAND_COVER, height x width; gives sketch, road map and
            segmentation.
        heights: of roofs, in meters; gives the depth map, nearer to the sensor is brighter.

    Returns:
        Maps by name, h x w or (segmentation) 3 x h x w, 0 to 1: what `stack_conditions` takes.

    Raises:
        ValueError: an image that is not bytes, a code outside the classes, or another size.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f"image: expected bytes (uint8) of shape height x width x 3, got {image.dtype} of "
            f"shape {image.shape}: convert it"
        )
    maps = {"lines": find_lines(image), "edges": find_edges(image)}
    if land_cover is not None:
        codes = torch.from_numpy(_require_codes(land_cover, image.shape[:2]))
        maps |= {
            "sketch": outline_cover(codes).numpy(),
            "road": (codes == ROAD).float().numpy(),
            "segmentation": color_cover(codes).numpy(),
        }
    if heights is not None:
        maps["depth"] = np.clip(np.asarray(heights) / TALLEST, 0, 1).astype(np.float32)
    return maps


def stack_conditions(
    maps: Mapping[str, np.ndarray | Tensor], *, size: int | None = None
) -> Float[Tensor, "18 h w"]:
    """Stack maps on 18 channels in CRS-Diff's order; what is not given is zeros.

    Args:
        maps: by their names in `CONDITIONS`, 0 to 1: height x width, or 3 x height x width, which
            a segmentation has to be.
        size: side in pixels to which each map is brought, by the mean of the area; None brings
            none to another size.

    Raises:
        ValueError: an unknown name, no map and no size, another shape or size, or a value that is
            not from 0 to 1.

    Warns:
        A map that is zero everywhere: it tells as little as one that is not given.

    Source: Tang et al. 2024 (arXiv:2403.11614), released code.
    """
    if unknown := sorted(set(maps) - set(CONDITIONS)):
        raise ValueError(f"maps: expected names of {', '.join(CONDITIONS)}, got {unknown}")
    read = {name: _read_map(name, value, size) for name, value in maps.items()}
    sizes = {name: tuple(value.shape[1:]) for name, value in read.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"maps: expected one size, got {sizes}; size=… brings all to one")
    if not read and size is None:
        raise ValueError("maps: expected at least one, or size=… for a stack that tells nothing")
    height, width = next(iter(sizes.values()), (size, size))
    empty = torch.zeros(CHANNELS, height, width)
    return torch.cat([read.get(name, empty) for name in CONDITIONS])


def _read_map(name: str, value: np.ndarray | Tensor, size: int | None) -> Float[Tensor, "3 h w"]:
    page = torch.as_tensor(np.asarray(value)).float()
    if page.dim() == 2 and name != "segmentation":
        page = page.expand(CHANNELS, -1, -1)
    if page.dim() != 3 or page.shape[0] != CHANNELS or not page.numel():
        raise ValueError(
            f"{name}: expected {'' if name == 'segmentation' else 'height x width or '}"
            f"3 x height x width, got {tuple(np.shape(value))}; color_cover paints codes of land "
            "cover, and colors come first"
        )
    if not ((page >= 0) & (page <= 1)).all():
        raise ValueError(
            f"{name}: expected values from 0 to 1, got {page.min():g} to {page.max():g}; divide "
            "bytes by 255"
        )
    if not page.any():
        warnings.warn(text("control.empty_map", name=name), stacklevel=4)
    return page if size is None else F.interpolate(page[None], size=(size, size), mode="area")[0]


def _require_codes(land_cover: np.ndarray, size: tuple[int, ...]) -> UInt8[np.ndarray, "h w"]:
    codes = np.asarray(land_cover)
    if codes.shape != size or codes.dtype.kind not in "ui":
        raise ValueError(
            f"land_cover: expected codes of shape {size}, as the image, got {codes.dtype} of shape "
            f"{codes.shape}"
        )
    if codes.min() < 0 or codes.max() >= len(COVER_COLORS):
        raise ValueError(
            f"land_cover: expected codes from 0 to {len(COVER_COLORS) - 1}, got {codes.min()} to "
            f"{codes.max()}; a code for unknown has to be replaced before"
        )
    return codes.astype(np.uint8)
