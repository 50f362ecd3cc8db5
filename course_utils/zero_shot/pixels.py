"""From an image of any size to what an encoder expects: first bytes, then numbers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from course_utils.images import to_unit


@dataclass(frozen=True)
class Preprocess:
    """What a model's own preprocessing does, cut where bytes become numbers.

    The first half is for one image of any size and can run in a thread; the second is for a whole
    batch of equal size, on the device, to which bytes travel in a quarter of the time.
    """

    pixels: Callable[[Image.Image], Tensor]  # any size -> bytes 3 h w: resized and cropped
    mean: Sequence[float]  # of each color, in [0, 1]
    std: Sequence[float]

    def normalize(self, images: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
        r"""Scale bytes as the network saw them in training: $(b / 255 - \mu) / \sigma$."""
        unit = to_unit(images)
        mean, std = (unit.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        return unit.sub_(mean).div_(std)

    def __call__(self, image: Image.Image) -> Float[Tensor, "3 h w"]:
        """Do both for one image."""
        return self.normalize(self.pixels(image)[None])[0]
