"""Images of a scene, and the piece of one around a building."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from course_utils.images import ImageError, load_image
from course_utils.xbd.labels import Building, Label, Metadata, read_label
from course_utils.xbd.levels import XbdError, XbdMissingError
from course_utils.xbd.scenes import XbdScene

FARTHEST = 1e15  # pixels; a box that ends there is as good as one without end
MAX_PADDED = 1 << 24  # pixels of a box that is laid out in memory; larger ones are weighted


@dataclass(frozen=True, eq=False)  # pixel arrays have no truth value, so pairs are not compared
class ImagePair:
    """The images of a scene with what their label files say; a label that is not there is None."""

    scene: XbdScene
    pre: UInt8[np.ndarray, "h w 3"]
    post: UInt8[np.ndarray, "h w 3"]
    pre_label: Label | None
    post_label: Label | None


def read_pair(scene: XbdScene) -> ImagePair:
    """Read both images of a scene and the labels that it has.

    Raises:
        XbdMissingError: the scene lacks an image, or a file went away.
        XbdError: a file cannot be read, an image has not the size that its label says, or the two
            images differ in size.
    """
    labels = [path and read_label(path) for path in (scene.pre_label, scene.post_label)]
    paths = scene.require("pre_image"), scene.require("post_image")
    pre, post = (
        read_image(path, metadata=label and label.metadata)
        for path, label in zip(paths, labels, strict=True)
    )
    if pre.shape != post.shape:
        sizes = f"{_size(pre)} before and {_size(post)} after"
        raise XbdError(f"{scene.name}: the images have different sizes, {sizes}; restore them")
    return ImagePair(scene, pre, post, *labels)


def read_image(
    path: Path | str | None, *, metadata: Metadata | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """Read an image of a scene as bytes, channels last.

    Args:
        path: ``<event>_<8 digits>_{pre,post}_disaster.png``.
        metadata: of its label, whose width and height the image must have (1024 x 1024 in xBD).

    Raises:
        XbdMissingError: no such file, or the scene's None.
        XbdError: truncated, no image, or of another size than its label says.
    """
    if path is None:
        raise XbdMissingError("expected the path of an image, got None: the scene has no such file")
    try:
        pixels = np.array(load_image(path, name=str(path)))
    except FileNotFoundError as error:
        raise XbdMissingError(f"there is no image {path}; restore it from the archive") from error
    except OSError as error:
        raise XbdError(f"{path} cannot be read ({error.strerror}); check the file") from error
    except ImageError as error:
        raise XbdError(str(error)) from error
    expected = (metadata.height, metadata.width) if metadata else (None, None)
    if any(side not in (None, found) for side, found in zip(expected, pixels.shape, strict=False)):
        raise XbdError(
            f"{path}: expected {expected[1]} x {expected[0]} pixels as its label says, got "
            f"{_size(pixels)}; polygons would miss their buildings: restore the original image"
        )
    return pixels


def _size(pixels: np.ndarray) -> str:
    return f"{pixels.shape[1]} x {pixels.shape[0]}"


def crop_building(
    image: np.ndarray, building: Building, *, context: float | int, size: int
) -> UInt8[np.ndarray, "{size} {size} 3"]:
    """Cut out a building with its surroundings and scale that to a square.

    The box [x_min - a w, x_max + a w], w = x_max - x_min, a = ``context``, likewise in y, is
    rounded outward to whole pixels (at least one). Beyond the image it is black. It is scaled by
    axis with Pillow's bilinear filter, which averages when it makes smaller.

    Args:
        image: bytes, height x width x 3; the one before the disaster or the one after.
        building: whose box to take; its coordinates may lie anywhere.
        context: share of the box's width and height added on each side; 0.8 in xView2's baseline.
        size: side of the result in pixels.

    Returns:
        The crop, black if the box does not meet the image.

    Raises:
        XbdError: an image of another kind, an empty polygon, a negative context, a size below 1.

    Source:
        xView2 baseline (DIUx-xView/xView2_baseline), which cuts the box at the image's border.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise XbdError(f"expected a uint8 image h x w x 3, got {image.dtype} {image.shape}")
    if building.is_empty:
        raise XbdError(
            f"building {building.uid!r} has an empty polygon and no box; leave out buildings whose "
            "is_empty is True"
        )
    if not (math.isfinite(context) and context >= 0) or size < 1:
        raise XbdError(f"expected context >= 0 and size >= 1, got context={context}, size={size}")
    left, top, right, bottom = _box(building.polygon.bounds, float(context))
    if (right - left) * (bottom - top) > MAX_PADDED:
        return _resize_far(image, (left, top, right, bottom), size)
    height, width, _ = image.shape
    if left >= 0 and top >= 0 and right <= width and bottom <= height:
        patch = np.ascontiguousarray(image[top:bottom, left:right])
    else:
        patch = np.zeros((bottom - top, right - left, 3), np.uint8)
        x0, x1 = np.clip((left, right), 0, width).tolist()
        y0, y1 = np.clip((top, bottom), 0, height).tolist()
        patch[y0 - top : y1 - top, x0 - left : x1 - left] = image[y0:y1, x0:x1]
    return np.array(Image.fromarray(patch).resize((size, size), Image.Resampling.BILINEAR))


def _box(bounds: tuple[float, ...], context: float) -> tuple[int, int, int, int]:
    """Enlarge (x_min, y_min, x_max, y_max) and round it outward to at least one pixel."""
    x_min, y_min, x_max, y_max = (max(-FARTHEST, min(side, FARTHEST)) for side in bounds)
    wider, higher = (min(context * side, FARTHEST) for side in (x_max - x_min, y_max - y_min))
    left, top = math.floor(x_min - wider), math.floor(y_min - higher)
    right, bottom = math.ceil(x_max + wider), math.ceil(y_max + higher)
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _resize_far(
    image: UInt8[np.ndarray, "h w 3"], box: tuple[int, int, int, int], size: int
) -> UInt8[np.ndarray, "{size} {size} 3"]:
    """Scale a box that is too large for memory; only the pixels inside the image are looked at.

    Pillow's filter is linear and works by axis: out = Y · image · Xᵀ, black adding nothing.
    """
    height, width, _ = image.shape
    columns = _bilinear_weights(box[0], box[2], width, size)
    rows = _bilinear_weights(box[1], box[3], height, size)
    scaled = np.einsum("ih,hwc->iwc", rows, image.astype(np.float64))
    scaled = np.einsum("jw,iwc->ijc", columns, scaled)
    return np.rint(scaled).astype(np.uint8)


def _bilinear_weights(
    start: int, stop: int, length: int, size: int
) -> Float[np.ndarray, "{size} {length}"]:
    """Weigh each pixel of the image for each pixel of the result, along one axis.

    A result pixel averages the box around its center c with a triangle of half-width s, the scale
    (at least 1); the weights of all pixels in the box, seen or not, sum to 1.
    """
    scale = (stop - start) / size
    support = max(scale, 1.0)
    centers = (np.arange(size) + 0.5) * scale
    first = np.maximum(np.floor(centers - support + 0.5), 0)
    last = np.minimum(np.floor(centers + support + 0.5), stop - start) - 1
    middle = np.clip(np.floor(centers - 0.5), first - 1, last)  # the last pixel left of the center
    left, right = middle - first + 1, last - middle
    total = left * (1 - (centers - (first + middle + 1) / 2) / support)
    total += right * (1 - ((middle + last + 2) / 2 - centers) / support)
    distance = np.abs(np.arange(length) - start + 0.5 - centers[:, None])
    weights = np.maximum(1 - distance / support, 0) / total[:, None]
    is_seen = (np.arange(length) >= start) & (np.arange(length) < stop)
    return weights * is_seen
