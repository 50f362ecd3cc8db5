"""Labelled or captioned images and the data sets made of them."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from course_utils.images import load_image

PARTS = ("train", "validation", "test")  # of a split
_PART_NAMES = {
    **dict.fromkeys(("train", "training", "trainings", "trn", "trainval", "fit", "训练"), PARTS[0]),
    **dict.fromkeys(("val", "valid", "validation", "validate", "validating", "验证"), PARTS[1]),
    **dict.fromkeys(("dev", "devel", "development", "eval", "evaluation"), PARTS[1]),
    **dict.fromkeys(("test", "tests", "testing", "tst", "holdout", "测试"), PARTS[2]),
}
_AROUND = (  # beside the name of a part, longer words first
    "datasets dataset data subset sets set samples images image imgs img photos pictures pics "
    "tiles files folder directory dir split part jpeg jpg png tiff tif rgb 数据 样本 图像 图片 集"
)
_NO_NAME = re.compile("^(?:{0})+|(?:{0})+$".format(_AROUND.replace(" ", "|")))


def part_of(name: str) -> str | None:
    """Name the part of a split that a folder or file is called after; None if it is not.

    ``Training``, ``training_set``, ``trainImages``, ``train2017`` and ``训练集`` are all ``train``.
    """
    letters = re.sub(r"[\W\d_]+", "", name.lower())
    return _PART_NAMES.get(letters) or _PART_NAMES.get(_NO_NAME.sub("", letters))


@dataclass(frozen=True, eq=False)  # pixel arrays have no truth value, so examples are not compared
class Example:
    """One labelled image: in a file, as the bytes of a file, or as pixels."""

    label: int  # 0 … K-1
    source: Literal["real", "synthetic"]
    path: Path | None = None
    pixels: UInt8[np.ndarray, "h w 3"] | None = None
    data: bytes | None = None
    group: str = ""  # examples of one group (say, one scene) stay in one part of a split
    caption: str = ""
    name: str = ""  # of the image in its set
    before: "Example | None" = None  # the same place before the disaster

    def __post_init__(self) -> None:
        """Check that the image is in exactly one place."""
        if _num_places(self) != 1:
            raise ValueError("an example has a path, pixels or data; give exactly one of them")

    def load(self) -> Image.Image:
        """Give the image as RGB; raises `images.ImageError` if its file is none any more."""
        return _load(self)

    def digest(self) -> str:
        """Identify the content: SHA-256 of the file's bytes, or of shape and pixels."""
        if self.pixels is not None:
            content = repr(self.pixels.shape).encode() + self.pixels.tobytes()
        else:
            content = self.path.read_bytes() if self.data is None else self.data
        return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class LabelledImages:
    """Everything usable in a labelled data set, and what was left out and why."""

    examples: tuple[Example, ...]
    class_names: tuple[str, ...]
    phrases: tuple[str, ...]  # the words for a prompt
    skipped: tuple[str, ...]
    name: str = ""
    notes: tuple[str, ...] = ()  # what must be said beside every result
    parts: tuple[str, ...] = ()  # of each example in the data set's own split, if it has one


@dataclass(frozen=True)
class Splits:
    """A data set ready for an experiment."""

    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]
    class_names: tuple[str, ...]
    phrases: tuple[str, ...]
    name: str
    notes: tuple[str, ...] = ()
    stand_in_for: str | None = None  # the data set that this one replaces offline
    task: Literal["eurosat", "disasters", "scenes"] = "scenes"


@dataclass(frozen=True, eq=False)  # see Example
class CaptionedImage:
    """An image and the sentences that people wrote about it."""

    file_name: str  # in the set's own file
    captions: tuple[str, ...]  # as written, mistakes and repetitions included
    source: str  # name of the set
    split: str = ""  # train, validation or test; "" where the set has no split
    original_split: str = ""  # what the set's file says, such as "val"
    class_name: str = ""  # the official name, if file names of the set tell it
    path: Path | None = None
    pixels: UInt8[np.ndarray, "h w 3"] | None = None
    data: bytes | None = None

    @property
    def has_image(self) -> bool:
        """Say whether there is an image, in a file or in memory."""
        return _num_places(self) > 0

    def load(self) -> Image.Image:
        """Give the image as RGB.

        Raises:
            ValueError: there are only the sentences.
            ImageError: its file is none any more (`images.load_image`).
        """
        if not self.has_image:
            raise ValueError(f"{self.file_name} of {self.source} came without its image")
        return _load(self)


def _num_places(image: Example | CaptionedImage) -> int:
    return sum(place is not None for place in (image.path, image.pixels, image.data))


def _load(image: Example | CaptionedImage) -> Image.Image:
    if image.pixels is not None:
        return Image.fromarray(image.pixels)
    return load_image(image.path if image.data is None else image.data)


@dataclass(frozen=True)
class CaptionSet:
    """The captioned images of a file, in its order, and what must be said about them."""

    name: str
    images: tuple[CaptionedImage, ...]
    notes: tuple[str, ...] = ()
