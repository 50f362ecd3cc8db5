"""Checks of notebook 03: a quarter turn, a hidden share, CutMix, soft labels, legal cases."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from course_utils.checks.judging import (
    Hint,
    Mistakes,
    as_tensor,
    check,
    compare,
    is_close,
    judge,
    read_tensor,
    run,
    run_for_two,
    tell,
)

_BOXES = (  # x, y, side, height, width; the first lies inside, the others hang over
    (10, 8, 6, 20, 30),
    (1, 9, 6, 20, 30),
    (28, 19, 8, 20, 30),
    (2, 2, 10, 20, 30),
    (15, 12, 40, 20, 30),
)
_LETTERS, _LEGAL = "abcdefgh", frozenset("abh")
_MANY = 1000  # far more letters than there are


def quarter_turn(image, mask):
    """Turn image and mask by a quarter, counter-clockwise."""
    return image.mT.flip(-2), mask.mT.flip(-2)


def _turn_mistakes(x: Tensor) -> Mistakes:
    yield "transposed", x.mT, x.rot90(2, (-2, -1)).mT
    yield "flipped", x.flip(-1), x.flip(-2)


@check(quarter_turn)
def check_03_ex1(value: Any) -> None:
    """Check ``quarter_turn(image, mask) -> (image, mask)``, counter-clockwise.

    Args:
        value: the function of float (c, h, w) and whole numbers (h, w), both square.
    """
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(3, 5, 5, generator=generator)
    mask = torch.randint(0, 5, (5, 5), generator=generator)
    shapes = ((3, 5, 5), (5, 5), (5, 3, 5))
    turned, moved = (read_tensor(x, *shapes) for x in run_for_two(value, image, mask))
    swapped = turned.shape == mask.shape and moved.shape == image.shape
    other = turned.shape != image.shape or moved.shape != mask.shape
    tell([("channels", turned.shape == shapes[2]), ("swapped", swapped), ("value", other)])
    image_by = [is_close(turned, image.rot90(k, (1, 2))) for k in range(4)]
    mask_by = [is_close(moved, mask.rot90(k)) for k in range(4)]
    if image_by[1] and mask_by[1]:
        return
    opposite = (image_by[1] and mask_by[3]) or (image_by[3] and mask_by[1])
    signs = [("mask_left", image_by[1] and mask_by[0]), ("image_left", image_by[0] and mask_by[1])]
    tell([*signs, ("opposite", opposite), ("clockwise", image_by[3]), ("half", image_by[2])])
    judge(turned, image.rot90(1, (1, 2)), _turn_mistakes(image))
    judge(moved, mask.rot90(), _turn_mistakes(mask))


def hidden_share(x, y, side, height, width):
    """Measure which share of an image a box hides."""
    columns = min(x + side / 2, width) - max(x - side / 2, 0)
    rows = min(y + side / 2, height) - max(y - side / 2, 0)
    return columns * rows / (height * width)


def _share_mistakes(x: int, y: int, side: int, height: int, width: int) -> Mistakes:
    def share(ends: tuple[int, int], *, shift: float = 0, low: int = 0, high: int = 0) -> float:
        """Cut a box, moved, by ends of a frame that may reach farther than they should."""
        area = 1.0
        for center, end in zip((x + shift, y + shift), ends, strict=True):
            reach = min(center + side / 2, end + high) - max(center - side / 2, -low)
            area *= max(reach, 0)
        return area / frame

    frame, ends, far = height * width, (width, height), 1000
    right, inside = hidden_share(x, y, side, height, width), side * side / frame
    yield "not_cut", inside
    yield "kept", 1 - right, 1 - inside
    yield "pixels", right * frame, inside * frame
    yield "percent", 100 * right
    yield "half_side", hidden_share(x, y, side / 2, height, width)
    yield "double_side", hidden_share(x, y, 2 * side, height, width)
    yield "corner", share(ends, shift=side / 2)
    yield "low_only", share(ends, high=far)
    yield "high_only", share(ends, low=far)
    yield "swapped", share((height, width))


@check(hidden_share)
def check_03_ex2(value: Any) -> None:
    """Check ``hidden_share(x, y, side, height, width) -> float``: what of an image a box hides.

    The box reaches side / 2 to each side of its center (x, y), in pixels, and may hang over.

    Args:
        value: the function; all arguments are whole numbers, the side is even.
    """

    def say(answer: float, right: float, *box: int) -> dict[str, object]:
        return dict(zip(("x", "y", "side", "height", "width"), box, strict=True))

    compare(value, _BOXES, hidden_share, _share_mistakes, jointly=True, say=say)


def cutmix(image, other, target, other_target, box):
    """Put a box of the second image into the first, and mix the labels by the areas."""
    left, top, right, bottom = box
    mixed = image.clone()
    mixed[:, top:bottom, left:right] = other[:, top:bottom, left:right]
    lam = 1 - (right - left) * (bottom - top) / image[0].numel()
    return mixed, lam * target + (1 - lam) * other_target


def _cutmix_mistakes(
    image: Tensor, other: Tensor, target: Tensor, other_target: Tensor, box: tuple[int, ...]
) -> tuple[Mistakes, Mistakes]:
    """List wrong images and wrong labels."""

    def put(a: Tensor, b: Tensor, *box: int) -> Tensor:
        return cutmix(a, b, target, other_target, box)[0]

    def label(lam: float) -> Tensor:
        return lam * target + (1 - lam) * other_target

    (left, top, right, bottom), (_, height, width) = box, image.shape
    wide, high = (right - left) / width, (bottom - top) / height
    images = [
        ("not_mixed", image),
        ("other_way", put(other, image, *box)),
        ("axes", put(image, other, top, left, bottom, right)),
        ("one_pixel", put(image, other, left, top, right + 1, bottom + 1)),
        ("blended", (1 - wide * high) * image + wide * high * other),
    ]
    labels = [
        ("label_left", target),
        ("label_swapped", label(wide * high)),
        ("label_half", label(0.5)),
        ("label_side", label(1 - wide), label(1 - high)),
    ]
    return images, labels


@check(cutmix)
def check_03_ex3(value: Any) -> None:
    """Check ``cutmix(image, other, target, other_target, box) -> (image, target)`` of one pair.

    The box (left, top, right, bottom) of the second image goes into the first; the label mixes by
    the areas.

    Args:
        value: the function; images are float (c, h, w), targets float (k).

    Source:
        Yun et al. 2019 (arXiv:1905.04899), equation 1.
    """
    image, other = torch.rand(2, 3, 8, 10, generator=torch.Generator().manual_seed(1))
    target, other_target = torch.tensor([[0.9, 0.1, 0.0], [0.0, 0.2, 0.8]])
    case = image, other, target, other_target, (1, 2, 6, 5)
    first, second = run_for_two(value, *case)
    mixed, label = read_tensor(first, image.shape), read_tensor(second, target.shape)
    (right, truth), (images, labels) = cutmix(*case), _cutmix_mistakes(*case)
    judge(mixed, right, images, otherwise="image")
    mass = label.sum().item()
    tell([("label_mass", abs(mass - 1) > 1e-4)], mass=f"{mass:.3g}")
    judge(label, truth, labels, otherwise="label")


def soft_cross_entropy(logits, targets):
    """Compute the cross-entropy with soft labels, also for large scores."""
    largest = logits.max(dim=1, keepdim=True).values
    log_sum = largest + (logits - largest).exp().sum(dim=1, keepdim=True).log()
    return (targets * (log_sum - logits)).sum(dim=1).mean()


def _soft_mistakes(logits: Tensor, targets: Tensor) -> Mistakes:
    def mean(rows: Tensor) -> Tensor:
        return rows.sum(1).mean()

    x, y = logits.double(), targets.double()
    right, binary = soft_cross_entropy(x, y), binary_cross_entropy_with_logits(x, y)
    yield "sign", -right
    yield "sum", right * len(x)
    yield "mean_classes", right / x.shape[1]
    yield "hard", -x.log_softmax(1).gather(1, y.argmax(1, keepdim=True)).mean()
    yield "no_log", -mean(y * x.softmax(1)), mean(y * x.softmax(1))
    yield "no_softmax", -mean(y * x), mean(y * x)
    yield "wrong_axis", -mean(y * x.log_softmax(0))
    yield "swapped", -mean(x * y.log_softmax(1))
    yield "divergence", right + mean(y * y.log())
    yield "binary", binary, binary * x.shape[1]
    yield "log2", right / y.new_tensor(2).log()


@check(soft_cross_entropy)
def check_03_ex4(value: Any) -> None:
    """Check ``soft_cross_entropy(logits, targets)``: the mean of -Σ_k y_k log softmax(logits)_k.

    Args:
        value: the function; both are float (n, k), rows of the targets sum to 1.
    """

    def read(answer: Any, _: Tensor) -> Float64[Tensor, ""]:
        found = as_tensor(answer)
        tell([("not_scalar", found.numel() != 1)], shape=tuple(found.shape))
        return found.reshape(())

    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(6, 4, generator=generator)
    targets = torch.rand(6, 4, generator=generator)
    targets /= targets.sum(1, keepdim=True)
    compare(value, [(logits, targets)], soft_cross_entropy, _soft_mistakes, read=read)
    large = 1000 * logits, targets
    right = soft_cross_entropy(large[0].double(), targets)
    judge(read(run(value, *large), right), right, [], otherwise="overflow")


@check(_LEGAL)
def check_03_ex5(value: Any) -> None:
    """Check which of eight augmentations keep the label right.

    Args:
        value: letters, as a set, a list or a string.
    """

    def signs() -> Iterator[tuple[str, bool]]:
        yield "everything", letters == set(_LETTERS)
        for letter in _LETTERS:
            yield f"{letter}_wrong", letter in letters - _LEGAL
            yield f"{letter}_missing", letter in _LEGAL - letters

    letters = _as_letters(value)
    unknown = sorted(letters - set(_LETTERS))
    if unknown:
        raise Hint("unknown", letter=unknown[0][:20], letters=", ".join(_LETTERS))
    tell(signs())


def _as_letters(value: Any) -> set[str]:
    if isinstance(value, dict) or not isinstance(value, Iterable):
        raise Hint("form", kind=type(value).__name__)
    if isinstance(value, str):
        value = [sign for sign in value[:_MANY] if sign not in " ,;{}[]()'\""]
    parts = list(islice(value, _MANY))
    if not all(isinstance(part, str) for part in parts):
        raise Hint("form", kind=type(value).__name__)
    return {part.strip().lower() for part in parts}
