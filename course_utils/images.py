"""The only place where value range, dtype or axis order of an image changes."""

import io
import math
import stat
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional as F

from course_utils.runtime import read_sealed, write_sealed

FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP")
SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
WHITE = 255
MAX_BYTES = 1 << 29  # of a file; 89 million pixels of three bytes are half of that
FLAT = 64  # 16-bit values of which nearly all lie within a quarter of their range
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
_NUMBERS = {2: " with a sign", 3: " in floating point", 5: " in complex numbers"}


class ImageError(ValueError):
    """A file or byte string that is not an image which we can read."""


def load_image(source: Path | str | bytes, *, name: str | None = None) -> Image.Image:
    """Read an image of any common kind as 8-bit RGB.

    Grey and palette images become RGB, transparency is dropped (the color under it stays), CMYK is
    converted without a color profile, a camera's rotation mark is obeyed. 16-bit grey is divided
    by 257, so that 65535 becomes 255, whatever range the picture really uses. Of several frames or
    pages the first counts. The content decides about the format, not the file name.

    Args:
        source: path of a file, or the bytes of one.
        name: what error messages call it; the file name by default.

    Returns:
        An image of mode RGB, decoded to the last pixel. What a learner must know of how it was
        read is in its ``info["remark"]``, a key of `texts`: ``images.flat``, 16-bit values that
        fill less than a quarter of their range, or ``images.pages``, more pages than the first.

    Raises:
        ImageError: empty, truncated, not an image, too large (Pillow's guard against decompression
            bombs, 89 million pixels), or bands and bits that are no grey or RGB picture, such as
            the 13 bands of a satellite.
        OSError: the file cannot be opened (`read_file`).
    """
    path = Path(source) if isinstance(source, str) else source
    data = path if isinstance(path, bytes) else read_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd metadata is no reason to disturb a learner
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            try:
                return _decode(data)
            except ValueError:  # also of long texts in a sound PNG
                if not data.startswith(_PNG_START):
                    raise
                return _decode(_without_texts(data))
    except Exception as error:  # Pillow's decoders raise nearly every type on broken bytes
        reason = _reason(error, data)
        if name is None:
            name = "the given bytes" if isinstance(path, bytes) else path.name
        raise ImageError(
            f"{name} is not a readable image ({reason}); delete it or replace it"
        ) from error


def read_file(path: Path) -> bytes:
    """Read the file of an image.

    Raises:
        OSError: it cannot be read, is a pipe or a device, which would never end, or is larger than
            an image can be.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(0, "it is no file")
    if status.st_size > MAX_BYTES:
        raise OSError(0, f"{status.st_size / 1e9:,.1f} GB, more than an image has")
    return path.read_bytes()


def _decode(data: bytes) -> Image.Image:
    tags = _tiff_tags(data)
    if tags and not _has_colors(tags):
        raise ValueError(
            f"it has {_bands(tags)}, which have no agreed range and order as colors; choose one "
            "band or three and save them as a picture of 8 bits"
        )
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        is_deep = image.format in ("PNG", "TIFF") and ";16" in str(image.tile)
        is_animated = image.format in ("PNG", "WEBP") and getattr(image, "is_animated", False)
        has_pages = _has_pages(data, tags) if tags else is_animated
        image.load()  # a broken picture must fail here, where nothing forgives it
        picture = _as_rgb(_upright(image))
    if tags and is_deep and tags.get(262) == 0:  # 0 is white, which Pillow obeys with 8 bits only
        picture = ImageOps.invert(picture)
    if has_pages:
        picture.info["remark"] = "images.pages"
    elif is_deep and np.ptp(np.percentile(picture, (1, 99))) < FLAT:
        picture.info["remark"] = "images.flat"
    return picture


Tags = TiffImagePlugin.ImageFileDirectory_v2


def _tiff_tags(data: bytes, at: int | None = None) -> Tags | None:
    """Read the tags of a TIFF at an offset, by default of its first page; None without any."""
    if data[:4] not in _TIFF_STARTS:
        return None
    with suppress(Exception), warnings.catch_warnings():  # what is broken, Pillow will say
        warnings.simplefilter("ignore")
        tags = Tags(data[: 16 if 43 in data[2:4] else 8])
        file = io.BytesIO(data)
        file.seek(tags.next if at is None else at)
        tags.load(file)
        return tags
    return None


def _several(tags: Tags, tag: int, default: int) -> tuple[int, ...]:
    value = tags.get(tag, default)
    return value if isinstance(value, tuple) else (value,)


def _has_colors(tags: Tags) -> bool:
    """Tell whether a TIFF is grey, RGB or CMYK, with transparency or without, of 8 or 16 bits.

    Several bands of 16 bits that lie one after the other are refused: Pillow mixes them up.
    """
    bands, bits = tags.get(277, 1), max(_several(tags, 258, 1))
    num_colors = bands - sum(kind in (1, 2) for kind in _several(tags, 338, 0))
    is_picture = num_colors in (1, 3) or (num_colors == 4 and tags.get(262) == 5)
    is_counted = {*_several(tags, 339, 1)} <= {1, 4}  # without a sign, or not said
    return is_picture and is_counted and (bits <= 8 or (bits == 16 and not _is_apart(tags)))


def _is_apart(tags: Tags) -> bool:
    return tags.get(277, 1) > 1 and tags.get(284) == 2


def _bands(tags: Tags) -> str:
    bands, bits = tags.get(277, 1), sorted({*_several(tags, 258, 1)})
    numbers = _NUMBERS.get(_several(tags, 339, 1)[0], "")
    apart = ", one after the other" if _is_apart(tags) else ""
    return f"{bands} band{'s' * (bands > 1)} of {' and '.join(map(str, bits))} bits{numbers}{apart}"


def _has_pages(data: bytes, first: Tags) -> bool:
    """Tell whether a second page is as large as the first; overviews and masks are none."""
    second = _tiff_tags(data, first.next) if first.next else None
    return second is not None and all(
        second.get(tag, default) == first.get(tag, default)
        for tag, default in ((254, 0), (256, 0), (257, 0))
    )


def _without_texts(png: bytes) -> bytes:
    """Leave out texts and color profile, which Pillow limits; pixels do not need them."""
    kept, start = [_PNG_START], len(_PNG_START)
    while start < len(png):
        end = start + 12 + int.from_bytes(png[start : start + 4], "big")
        if png[start + 4 : start + 8] not in _PNG_TEXTS:
            kept.append(png[start:end])
        start = end
    return b"".join(kept)


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a broken rotation mark must not cost us a good picture
        return image.copy()


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        image = Image.fromarray(np.rint(np.asarray(image) / 257).astype(np.uint8))
    return image if image.mode == "RGB" else image.convert("RGB")


def _reason(error: Exception, data: bytes) -> str:
    if not data:
        return "the file is empty"
    if isinstance(error, UnidentifiedImageError):
        tags = _tiff_tags(data)
        return (
            f"it is a TIFF with {_bands(tags)} of a kind that cannot be read; save it as PNG"
            if tags
            else "its content is no JPEG, PNG, TIFF, BMP or WebP"
        )
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"it has more than {Image.MAX_IMAGE_PIXELS / 1e6:.0f} million pixels"
    return str(error) or type(error).__name__


def fit(image: Image.Image, size: int) -> Image.Image:
    """Scale the short side to ``size`` (bicubic, antialiased) and keep the central square.

    Args:
        image: any image; a very long one costs no more than its central square.
        size: side of the result in pixels.

    Returns:
        An image of ``size`` x ``size`` pixels and the same mode.
    """
    return ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)


def from_pil(image: Image.Image) -> UInt8[Tensor, "c h w"]:
    """Turn an RGB or 8-bit grey image into bytes, channels first.

    Raises:
        ValueError: another mode; `load_image` gives RGB.
    """
    if image.mode not in ("RGB", "L"):
        raise ValueError(f"expected an image of mode RGB or L, got {image.mode}: use load_image")
    pixels = torch.from_numpy(np.array(image)).reshape(image.height, image.width, -1)
    return pixels.permute(2, 0, 1).contiguous()


def to_pil(image: UInt8[Tensor, "c h w"]) -> Image.Image:
    """Turn bytes, channels first, into an RGB image (3 channels) or a grey one (1 channel).

    Raises:
        ValueError: neither 1 nor 3 channels.
    """
    if image.shape[0] not in (1, 3):
        raise ValueError(f"expected 1 or 3 channels first, got shape {tuple(image.shape)}")
    pixels = image.detach().cpu().permute(1, 2, 0).numpy()
    return Image.fromarray(np.ascontiguousarray(pixels.squeeze(2) if len(image) == 1 else pixels))


def to_model(images: UInt8[Tensor, "*n c h w"]) -> Float[Tensor, "*n c h w"]:
    """Map bytes 0 … 255 to model range: x = b / 127.5 - 1, in [-1, 1].

    Raises:
        ValueError: not bytes.
    """
    return _bytes(images).float() / 127.5 - 1


def to_unit(images: UInt8[Tensor, "*n c h w"]) -> Float[Tensor, "*n c h w"]:
    """Map bytes 0 … 255 to unit range: u = b / 255, in [0, 1].

    Raises:
        ValueError: not bytes.
    """
    return _bytes(images).float() / 255


def _bytes(images: Tensor) -> Tensor:
    if images.dtype != torch.uint8:
        raise ValueError(
            f"expected bytes 0 … 255, uint8, got {images.dtype}: they may have been scaled already"
        )
    return images


def to_bytes(images: Float[Tensor, "*n c h w"]) -> UInt8[Tensor, "*n c h w"]:
    """Map model range to bytes: b = round(127.5 (x + 1)); values outside [-1, 1] are clipped.

    Raises:
        ValueError: a value is NaN or infinite, as after a diverged sampler.
    """
    return unit_to_bytes((images + 1) / 2)


def unit_to_bytes(images: Float[Tensor, "*n c h w"]) -> UInt8[Tensor, "*n c h w"]:
    """Map unit range to bytes: b = round(255 u); values outside [0, 1] are clipped.

    Raises:
        ValueError: a value is NaN or infinite.
    """
    if not torch.isfinite(images).all():
        raise ValueError("expected finite pixel values, got NaN or infinity: the image is broken")
    return (images.float() * 255).round().clamp(0, 255).to(torch.uint8)


def tile(
    images: UInt8[Tensor, "n c h w"], *, num_columns: int, pad: int = 2
) -> UInt8[Tensor, "c H W"]:
    """Lay images out row by row on white, the last row filled up with blanks.

    Args:
        images: bytes, one or more images of equal size.
        num_columns: images in a row; fewer images than that make one shorter row.
        pad: white pixels around every image.

    Returns:
        One image of height ``rows * (h + pad) + pad``; the width likewise.

    Raises:
        ValueError: no images, or no columns.
    """
    n, c, h, w = images.shape
    if n == 0 or num_columns < 1:
        raise ValueError(f"expected images and columns, got {n} images in {num_columns} columns")
    columns = min(n, num_columns)
    rows = math.ceil(n / columns)
    blanks = images.new_full((rows * columns - n, c, h, w), WHITE)
    cells = F.pad(torch.cat([images, blanks]), (pad, 0, pad, 0), value=WHITE)
    grid = cells.reshape(rows, columns, c, h + pad, w + pad).permute(2, 0, 3, 1, 4)
    grid = grid.reshape(c, rows * (h + pad), columns * (w + pad))
    return F.pad(grid, (0, pad, 0, pad), value=WHITE)


def png_bytes(image: UInt8[Tensor, "c h w"]) -> bytes:
    """Encode an image as PNG, which loses nothing."""
    buffer = io.BytesIO()
    to_pil(image).save(buffer, format="PNG")
    return buffer.getvalue()


def write_pixels(path: Path, pixels: UInt8[np.ndarray, "n h w c"]) -> None:
    """Keep images in a sealed ``.npy`` file of a cache.

    Raises:
        OSError: it cannot be written.
    """
    buffer = io.BytesIO()
    np.save(buffer, pixels, allow_pickle=False)
    write_sealed(path, buffer.getvalue())


def read_pixels(path: Path, shape: tuple[int, ...]) -> UInt8[np.ndarray, "n h w c"] | None:
    """Read what `write_pixels` kept; None if it is not there unchanged, or has another shape."""
    content = read_sealed(path)
    if content is None:
        return None
    try:
        pixels = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError):
        return None
    return pixels if pixels.shape == shape and pixels.dtype == np.uint8 else None
