"""Tiny generated images and folders with every awkward case, and guards that all tests share."""

import builtins
import errno
import io
import os
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

LONG_NAME = "a very long class name " * 10  # 230 characters, below the 255 bytes of a file name
_TEST_DATA = os.environ.get("COURSE_TEST_DATA") and Path(os.environ["COURSE_TEST_DATA"]).resolve()


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker by which a test may leave the global random state changed."""
    config.addinivalue_line("markers", "changes_random_state: do not check the global random state")


@pytest.fixture(autouse=True)
def _same_environment() -> Iterator[None]:
    """Hide the user's COURSE_ variables from a test, and undo what the test sets."""
    before = dict(os.environ)
    for name in before:
        if name.startswith("COURSE_") and name != "COURSE_TEST_DATA":
            del os.environ[name]
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(autouse=True)
def _same_random_state(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test after which torch or NumPy would draw other numbers.

    Python's own ``random`` cannot be watched: beartype draws from it to check long tuples.
    """

    def state() -> tuple:
        algorithm, keys, *rest = np.random.get_state()  # noqa: NPY002 (looked at, not used)
        return algorithm, keys.tobytes(), rest, torch.get_rng_state().numpy().tobytes()

    before = state()
    yield
    if not request.node.get_closest_marker("changes_random_state"):
        assert state() == before, "the test changed the global random state"


@pytest.fixture(autouse=True)
def _no_open_figures() -> Iterator[None]:
    """Fail a test that leaves a figure open, and not the next one that counts them."""
    yield
    pyplot = sys.modules.get("matplotlib.pyplot")  # a test that draws nothing imports nothing
    left = pyplot.get_fignums() if pyplot else []
    if left:
        pyplot.close("all")
    assert not left, "the test left figures open"


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Give the folder of real test images, or skip the test."""
    if not _TEST_DATA:
        pytest.skip("set COURSE_TEST_DATA to the folder of real test images to run this test")
    return _TEST_DATA


def noise_image(seed: int, *, size: tuple[int, int] = (8, 8), mode: str = "RGB") -> Image.Image:
    """Draw an image of random pixels; ``size`` is (width, height) as everywhere in Pillow."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(image: Image.Image, file_format: str, **options: object) -> bytes:
    """Encode an image in memory."""
    buffer = io.BytesIO()
    image.save(buffer, format=file_format, **options)
    return buffer.getvalue()


def write_images(folder: Path, count: int, *, seed: int) -> None:
    """Write ``count`` different JPEGs 0.jpg, 1.jpg, … into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        (folder / f"{i}.jpg").write_bytes(encoded(noise_image(1000 * seed + i), "JPEG"))


@pytest.fixture
def tidy_folder(tmp_path: Path) -> Path:
    """Three classes of ten images, nothing odd."""
    root = tmp_path / "tidy"
    for label, name in enumerate(("AnnualCrop", "River", "storage_tanks2")):
        write_images(root / name, 10, seed=label)
    return root


@pytest.fixture
def awkward_folder(tmp_path: Path) -> Path:
    """Four classes that can be used, among everything that people have in their folders.

    AnnualCrop: four good files; a truncated, a text and an empty file; a copy; a hidden file.
    SeaLake: three good ones, one of them in a subfolder; a file that AnnualCrop has too; a link
    out of the folder. A non-ASCII name with unusual pixel kinds. A very long name.
    """
    root = tmp_path / "awkward"
    crop, lake, barren = root / "AnnualCrop", root / "SeaLake", root / "Öde_Fläche"
    write_images(crop, 4, seed=1)
    write_images(lake, 2, seed=2)
    write_images(lake / "north", 1, seed=3)
    write_images(root / LONG_NAME, 3, seed=4)
    jpeg = (crop / "0.jpg").read_bytes()
    (crop / "truncated.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (crop / "text.jpg").write_text("this is not a picture", encoding="utf-8")
    (crop / "zero.jpg").write_bytes(b"")
    (crop / "copy.jpg").write_bytes(jpeg)
    (crop / ".hidden.jpg").write_bytes(encoded(noise_image(51), "JPEG"))
    (crop / "notes.txt").write_text("not an image by name either", encoding="utf-8")
    (root / ".ipynb_checkpoints").mkdir()
    for folder in (crop, lake):
        (folder / "same.png").write_bytes(encoded(noise_image(52), "PNG"))
    write_images(tmp_path / "elsewhere", 1, seed=5)
    (lake / "link.jpg").symlink_to(tmp_path / "elsewhere" / "0.jpg")
    (root / "linked class").symlink_to(tmp_path / "elsewhere")
    barren.mkdir()
    for name, data in unusual_images().items():
        (barren / name).write_bytes(data)
    return root


def unusual_images() -> dict[str, bytes]:
    """Encode one picture of each unusual kind that is nevertheless readable."""
    deep = np.random.default_rng(0).integers(0, 65536, (8, 8), dtype=np.uint16)
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera was held upright: rotate by 90 degrees to view
    return {
        "one_pixel.png": encoded(noise_image(61, size=(1, 1)), "PNG"),
        "grey.jpg": encoded(noise_image(62, mode="L"), "JPEG"),
        "sixteen_bit.png": encoded(Image.fromarray(deep), "PNG"),
        "rgba.png": encoded(noise_image(63, mode="RGBA"), "PNG"),
        "palette.png": encoded(noise_image(64, mode="P"), "PNG", transparency=b"\x00" * 9),
        "cmyk.jpg": encoded(noise_image(65, mode="CMYK"), "JPEG"),
        "turned.JPG": encoded(noise_image(66, size=(8, 6)), "JPEG", exif=turned),
        "camera.jpg": encoded(
            noise_image(70), "MPO", save_all=True, append_images=[noise_image(71)]
        ),
        "page.tif": encoded(noise_image(67), "TIFF"),
        "bitmap.bmp": encoded(noise_image(68), "BMP"),
        "web.webp": encoded(noise_image(69), "WEBP"),
    }


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every file that Python opens for writing take one byte and then find the disk full."""
    real_open = builtins.open

    def open_on_full_disk(
        file: object, mode: str = "r", *args: object, **options: object
    ) -> object:
        opened = real_open(file, mode, *args, **options)
        return _FullFile(opened) if set(mode) & set("wxa+") else opened

    monkeypatch.setattr(builtins, "open", open_on_full_disk)
    monkeypatch.setattr(io, "open", open_on_full_disk)  # the one that pathlib calls


class _FullFile:
    """A file on a full disk."""

    def __init__(self, file: io.IOBase) -> None:
        self._file = file

    def write(self, data: bytes | str) -> int:
        self._file.write(data[:1])
        raise OSError(errno.ENOSPC, "No space left on device")

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)

    def __enter__(self) -> "_FullFile":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


class Hub:
    """A hub whose repositories are folders; remembers what it was asked and what it sent."""

    COMMIT = "c0ffee0" * 5

    def __init__(self) -> None:
        self.folders: dict[str, Path] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.sent: list[str] = []

    def repo_info(self, repository: str, *, revision: str | None, **_: object) -> SimpleNamespace:
        self.asked.append((repository, revision))
        if repository not in self.folders:
            raise ConnectionError("no network")
        root = self.folders[repository]
        files = [path for path in sorted(root.rglob("*")) if path.is_file()]
        siblings = [
            SimpleNamespace(rfilename=path.relative_to(root).as_posix(), size=path.stat().st_size)
            for path in files
        ]
        return SimpleNamespace(sha=self.COMMIT, siblings=siblings)

    def snapshot_download(
        self, repository: str, *, local_dir: Path, allow_patterns: list[str], **_: object
    ) -> None:
        root = self.folders[repository]
        for path in filter(Path.is_file, sorted(root.rglob("*"))):
            name = path.relative_to(root).as_posix()
            if any(fnmatch(name, pattern) for pattern in allow_patterns):
                self.sent.append(name)
                (local_dir / name).parent.mkdir(parents=True, exist_ok=True)
                (local_dir / name).write_bytes(path.read_bytes())


@pytest.fixture
def the_hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    """Put a hub into the place of the real one."""
    hub = Hub()
    monkeypatch.setattr("huggingface_hub.HfApi", lambda **_: hub)
    monkeypatch.setattr("huggingface_hub.snapshot_download", hub.snapshot_download)
    return hub
