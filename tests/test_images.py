"""Images: bytes survive every round trip, odd files are read rightly or refused clearly."""

import io
import os
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
import torch
from conftest import encoded, noise_image, unusual_images
from PIL import Image, PngImagePlugin, TiffImagePlugin
from torchvision.transforms import functional as tv
from torchvision.utils import make_grid

from course_utils import images, runtime

TURNED = Image.Exif()
TURNED[0x0112] = 6
ALL_BYTES = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)


def tiff(
    pixels: np.ndarray,
    *,
    apart: bool = False,
    extra: tuple[int, ...] = (),
    zero_is_white: bool = False,
) -> bytes:
    """Write what Pillow does not: any bands and numbers, side by side or one after the other."""
    height, width, bands = pixels.shape
    data = (np.moveaxis(pixels, 2, 0) if apart else pixels).tobytes()
    strips = bands if apart else 1
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[256], tags[257], tags[259], tags[277] = width, height, 1, bands
    tags[258] = (8 * pixels.itemsize,) * bands
    tags[262], tags[284] = 2 if bands in (3, 4) else 1 - zero_is_white, 2 if apart else 1
    tags[279] = (len(data) // strips,) * strips
    tags[339] = ({"u": 1, "i": 2, "f": 3}[pixels.dtype.kind],) * bands
    if extra:
        tags[338] = extra
    tags[278] = height
    tags[273] = tuple(i * len(data) // strips for i in range(strips))  # from where the tags end
    buffer = io.BytesIO()
    tags.save(buffer)
    return buffer.getvalue() + data


def values(dtype: str, bands: int, *, high: int = 100) -> np.ndarray:
    return np.random.default_rng(0).integers(0, high, (6, 8, bands)).astype(dtype)


def test_all_256_bytes_survive_the_round_trips():
    torch.testing.assert_close(images.to_bytes(images.to_model(ALL_BYTES)), ALL_BYTES)
    torch.testing.assert_close(images.unit_to_bytes(images.to_unit(ALL_BYTES)), ALL_BYTES)
    torch.testing.assert_close(images.to_bytes(images.to_model(ALL_BYTES).half()), ALL_BYTES)


def test_ranges_end_where_they_should():
    ends = torch.tensor([0, 255], dtype=torch.uint8).reshape(1, 1, 1, 2)
    assert images.to_model(ends).flatten().tolist() == [-1, 1]
    assert images.to_unit(ends).flatten().tolist() == [0, 1]


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.int64, torch.bool])
@pytest.mark.parametrize("function", [images.to_model, images.to_unit])
def test_only_bytes_are_scaled(function, kind, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=r"expected bytes 0 … 255, uint8, got torch\."):
        function(torch.ones(1, 3, 2, 2, dtype=kind))


def test_values_between_two_bytes_are_rounded_not_truncated():
    values = torch.tensor([[[[10.4, 10.6]]]]) / 255
    assert images.unit_to_bytes(values).flatten().tolist() == [10, 11]
    assert images.to_bytes(values * 2 - 1).flatten().tolist() == [10, 11]


def test_values_out_of_range_are_clipped():
    values = torch.tensor([[[[-3.0, 7.0]]]])
    assert images.to_bytes(values).flatten().tolist() == [0, 255]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_raise(value):
    broken = torch.full((1, 3, 2, 2), value)
    with pytest.raises(ValueError, match="finite"):
        images.to_bytes(broken)
    with pytest.raises(ValueError, match="finite"):
        images.unit_to_bytes(broken)


def test_pil_round_trip_keeps_rows_columns_and_channels_apart():
    picture = noise_image(1, size=(5, 3))
    tensor = images.from_pil(picture)
    assert tensor.shape == (3, 3, 5)
    red, green, blue = picture.getpixel((4, 0))
    assert tensor[:, 0, 4].tolist() == [red, green, blue]
    assert images.to_pil(tensor).tobytes() == picture.tobytes()
    grey = picture.convert("L")
    assert images.from_pil(grey).shape == (1, 3, 5)
    assert images.to_pil(images.from_pil(grey)).tobytes() == grey.tobytes()


def test_from_pil_refuses_modes_with_other_meanings():
    with pytest.raises(ValueError, match="RGBA: use load_image"):
        images.from_pil(noise_image(1, mode="RGBA"))
    with pytest.raises(ValueError, match="1 or 3 channels"):
        images.to_pil(torch.zeros(4, 2, 2, dtype=torch.uint8))


def test_a_tensor_from_an_image_can_be_changed_without_changing_the_image():
    picture = noise_image(1)
    before = picture.tobytes()
    images.from_pil(picture).zero_()
    assert picture.tobytes() == before


@pytest.mark.parametrize("name", unusual_images())
def test_every_unusual_kind_is_read_as_rgb_from_path_and_from_bytes(name, tmp_path):
    data = unusual_images()[name]
    (tmp_path / name).write_bytes(data)
    picture = images.load_image(tmp_path / name)
    assert picture.mode == "RGB"
    assert picture.tobytes() == images.load_image(data).tobytes()


def test_sixteen_bits_are_scaled_by_their_own_maximum():
    deep = np.array([[0, 257, 32768, 65535]], dtype=np.uint16)
    for file_format in ("PNG", "TIFF"):
        picture = images.load_image(encoded(Image.fromarray(deep), file_format))
        assert [picture.getpixel((i, 0)) for i in range(4)] == [(v,) * 3 for v in (0, 1, 128, 255)]
    dark = images.load_image(encoded(Image.fromarray(deep // 8), "PNG"))  # not stretched
    assert dark.getpixel((3, 0)) == (32, 32, 32)


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_grey_in_which_zero_is_white_is_turned(dtype):
    grey = values(dtype, 1, high=256 ** int(dtype[1]))
    turned = images.load_image(tiff(grey, zero_is_white=True))
    assert np.array_equal(255 - np.array(turned), images.load_image(tiff(grey)))


BROKEN_FLOATS = np.full((6, 8, 1), np.nan, np.float32)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(tiff(values("u2", 13)), "13 bands of 16 bits", id="sentinel-2"),
        pytest.param(tiff(values("u2", 13), apart=True), "13 bands of 16 bits", id="apart"),
        pytest.param(tiff(values("u1", 7)), "7 bands of 8 bits", id="landsat"),
        pytest.param(tiff(values("u1", 4), extra=(0,)), "4 bands of 8 bits", id="near infrared"),
        pytest.param(tiff(values("u2", 2)), "2 bands of 16 bits", id="radar"),
        pytest.param(tiff(values("u2", 3), apart=True), "3 bands of 16 bits, one", id="rgb apart"),
        pytest.param(tiff(values("i1", 1)), "1 band of 8 bits with a sign", id="signed bytes"),
        pytest.param(tiff(values("i2", 1)), "1 band of 16 bits with a sign", id="heights"),
        pytest.param(tiff(values("u4", 1)), "1 band of 32 bits", id="long"),
        pytest.param(tiff(values("f4", 3)), "3 bands of 32 bits in floating", id="reflectance"),
        pytest.param(tiff(values("f8", 1)), "1 band of 64 bits in floating", id="double"),
        pytest.param(tiff(BROKEN_FLOATS), "1 band of 32 bits in floating", id="nan"),
    ],
)
def test_bands_and_bits_that_are_no_picture_are_named(data, words):
    with pytest.raises(images.ImageError, match=rf"it has {words}.* no agreed range.*8 bits"):
        images.load_image(data)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(tiff(values("u1", 3)), id="rgb"),
        pytest.param(tiff(values("u1", 3), apart=True), id="rgb apart"),
        pytest.param(tiff(np.dstack([values("u1", 3), values("u1", 1)]), extra=(2,)), id="rgba"),
        pytest.param(tiff(values("u2", 3) * 256), id="rgb of 16 bits"),
        pytest.param(encoded(Image.fromarray(values("u1", 3)), "TIFF", big_tiff=True), id="big"),
        pytest.param(
            encoded(Image.fromarray(values("u1", 3)), "TIFF", compression="tiff_lzw"), id="lzw"
        ),
    ],
)
def test_three_bands_are_read_with_and_without_transparency(data):
    assert np.array_equal(images.load_image(data), values("u1", 3))


def frames(file_format: str, *, second: tuple[int, int] = (8, 8)) -> bytes:
    more = [noise_image(2, size=second)]
    return encoded(noise_image(1), file_format, save_all=True, append_images=more)


ONE_BRIGHT_PIXEL = np.full((20, 20), 3000, np.uint16)
ONE_BRIGHT_PIXEL[0, 0] = 65535


@pytest.mark.parametrize(
    ("data", "remark"),
    [
        pytest.param(tiff(values("u2", 1, high=4096)), "images.flat", id="12 bits in 16"),
        pytest.param(tiff(values("u2", 3, high=3000)), "images.flat", id="rgb"),
        pytest.param(tiff(30_000 + values("u2", 1)), "images.flat", id="far from 0"),
        pytest.param(encoded(Image.fromarray(ONE_BRIGHT_PIXEL), "PNG"), "images.flat", id="png"),
        pytest.param(tiff(values("u2", 1, high=65536)), None, id="full range"),
        pytest.param(encoded(Image.new("L", (8, 8)), "TIFF"), None, id="black of 8 bits"),
        pytest.param(frames("TIFF"), "images.pages", id="pages"),
        pytest.param(frames("WEBP"), "images.pages", id="animated webp"),
        pytest.param(frames("PNG"), "images.pages", id="animated png"),
        pytest.param(frames("TIFF", second=(4, 4)), None, id="an overview is no page"),
        pytest.param(unusual_images()["camera.jpg"], None, id="a camera's preview"),
    ],
)
def test_what_must_be_known_of_how_an_image_was_read_is_said(data, remark):
    assert images.load_image(data).info.get("remark") == remark


LONG = "x" * 3_000_000  # more than Pillow takes


def with_text(**options: object) -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", LONG, zip=True)
    info.add_text("comment", LONG, zip=True)
    return encoded(noise_image(1), "PNG", pnginfo=info, **options)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(with_text(), id="texts"),
        pytest.param(encoded(noise_image(1), "PNG", icc_profile=bytes(3_000_000)), id="profile"),
        pytest.param(with_text(icc_profile=bytes(3_000_000)), id="both"),
    ],
)
def test_a_sound_png_with_large_metadata_is_read_and_a_bomb_is_not(data, monkeypatch):
    assert images.load_image(data).tobytes() == noise_image(1).tobytes()
    with pytest.raises(images.ImageError, match=r"[Tt]runcated|broken"):
        images.load_image(data[:-40])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    with pytest.raises(images.ImageError, match="million pixels"):
        images.load_image(data)


def test_a_pipe_is_refused_before_it_is_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(OSError, match="it is no file"):
        images.load_image(tmp_path / "pipe.jpg")


def test_transparency_is_dropped_and_the_color_under_it_kept():
    clear = Image.new("RGBA", (2, 2), (10, 20, 30, 0))
    assert images.load_image(encoded(clear, "PNG")).getpixel((0, 0)) == (10, 20, 30)


def test_a_rotation_mark_is_obeyed_and_a_broken_one_ignored():
    turned = images.load_image(unusual_images()["turned.JPG"])
    assert turned.size == (6, 8)  # stored as 8 wide and 6 high
    plain = noise_image(66, size=(8, 6))
    broken = encoded(plain, "JPEG", exif=b"Exif\x00\x00nonsense")
    assert (
        images.load_image(broken).tobytes() == images.load_image(encoded(plain, "JPEG")).tobytes()
    )


def test_cmyk_white_is_white():
    white = Image.new("CMYK", (8, 8), (0, 0, 0, 0))
    assert images.load_image(encoded(white, "JPEG")).getpixel((4, 4)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"this is not a picture", "no JPEG, PNG"),
        (encoded(noise_image(1, size=(64, 64)), "JPEG")[:900], "truncated"),
        (encoded(noise_image(1, size=(64, 64)), "JPEG", exif=TURNED)[:900], "truncated"),
        (encoded(noise_image(1, size=(64, 64)), "PNG")[:900], "truncated|Truncated"),
        (encoded(noise_image(1, size=(64, 64)), "TIFF")[:900], "truncated|not a TIFF|unpack|no"),
        (encoded(noise_image(1), "GIF"), "no JPEG, PNG"),
    ],
)
def test_broken_files_are_refused_with_name_reason_and_advice(data, reason, tmp_path):
    (tmp_path / "roof.jpg").write_bytes(data)
    with pytest.raises(images.ImageError, match=rf"roof\.jpg is not .*({reason}).*; delete it or"):
        images.load_image(tmp_path / "roof.jpg")


@pytest.mark.parametrize("excess", [1.5, 3.0])  # Pillow warns at 1x and raises at 2x
def test_decompression_bombs_are_refused(excess, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", int(64 / excess))
    with pytest.raises(images.ImageError, match="million pixels"):
        images.load_image(encoded(noise_image(1), "PNG"))


def test_a_missing_file_is_not_called_a_broken_image(tmp_path):
    with pytest.raises(FileNotFoundError):
        images.load_image(tmp_path / "nothing.jpg")


def test_fit_agrees_with_resize_and_center_crop():
    square = noise_image(1, size=(50, 50))
    wide = noise_image(2, size=(100, 50))
    for picture in (square, wide):  # sizes at which no position has to be rounded
        resized = tv.resize(picture, 20, tv.InterpolationMode.BICUBIC)
        assert images.fit(picture, 20).tobytes() == tv.center_crop(resized, 20).tobytes()


@pytest.mark.parametrize("size", [(1, 1), (3, 5000), (253, 256), (16, 16)])
def test_fit_gives_the_asked_size_for_any_shape(size):
    assert images.fit(noise_image(1, size=size), 16).size == (16, 16)


def test_tile_agrees_with_torchvision_for_full_and_partly_filled_rows():
    batch = torch.randint(0, 256, (5, 3, 4, 6), dtype=torch.uint8, generator=torch.Generator())
    for count, columns, pad in [(4, 2, 2), (5, 3, 1), (2, 7, 2), (5, 1, 0)]:
        expected = make_grid(batch[:count], nrow=columns, padding=pad, pad_value=255)
        torch.testing.assert_close(
            images.tile(batch[:count], num_columns=columns, pad=pad)[:, : expected.shape[1]],
            expected,
        )


def test_the_cells_that_tile_leaves_over_are_white():
    black = torch.zeros(3, 1, 2, 2, dtype=torch.uint8)
    grid = images.tile(black, num_columns=2, pad=1)
    assert grid.shape == (1, 7, 7)
    assert (grid[:, 4:6, 4:6] == 255).all()
    assert (grid == 0).sum() == 12


def test_tile_needs_an_image_and_a_column():
    with pytest.raises(ValueError, match="0 images"):
        images.tile(torch.zeros(0, 3, 2, 2, dtype=torch.uint8), num_columns=2)
    with pytest.raises(ValueError, match="0 columns"):
        images.tile(torch.zeros(1, 3, 2, 2, dtype=torch.uint8), num_columns=0)


def test_png_bytes_lose_nothing_and_are_the_same_each_time():
    tensor = images.from_pil(noise_image(1, size=(7, 5)))
    data = images.png_bytes(tensor)
    assert data == images.png_bytes(tensor)
    torch.testing.assert_close(images.from_pil(Image.open(io.BytesIO(data))), tensor)


def test_a_written_file_replaces_the_old_one_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "new folder" / ("x" * 250 + ".png")  # the longest name there can be, nearly
    runtime.write_atomically(path, b"old")
    runtime.write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.usefixtures("full_disk")
def test_on_a_full_disk_the_old_file_stays_and_the_message_helps(tmp_path):
    path = tmp_path / "result.json"
    os.close(os.open(path, os.O_CREAT))
    os.truncate(path, 3)
    with pytest.raises(OSError, match=r"No space left.*free some space.*COURSE_OUT.*COURSE_CACHE"):
        runtime.write_atomically(path, b"new content")
    assert os.listdir(tmp_path) == [path.name]
    assert path.stat().st_size == 3


def test_a_file_in_place_of_the_folder_gives_the_same_advice(tmp_path):
    (tmp_path / "out").write_bytes(b"a file")
    with pytest.raises(OSError, match=r"could not write the file .*COURSE_OUT"):
        runtime.write_atomically(tmp_path / "out" / "result.json", b"")
    assert (tmp_path / "out").read_bytes() == b"a file"


def test_an_interrupted_write_leaves_no_part(tmp_path, monkeypatch):
    def interrupted(source: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        runtime.write_atomically(tmp_path / "a.png", b"data")
    assert os.listdir(tmp_path) == []


def test_every_real_test_image_is_read(test_data):
    for folder in ("EuroSAT_RGB", "UCMerced_LandUse", "AID_150px"):
        paths = [p for p in sorted((test_data / folder).rglob("*")) if p.is_file()][::7]
        assert paths
        for path in paths:
            assert images.load_image(path).tobytes() == Image.open(path).convert("RGB").tobytes()
