"""Checks of notebook 03 about pixels: a quarter turn, a box that hangs over, a foreign box."""

from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from course_utils.checks.results import Hint, check, number
from course_utils.checks.tensors import is_close, judge, read_tensor, run_on_copies

_BOXES = (  # x, y, side, height, width; the first lies inside, the others hang over
    (10, 8, 6, 20, 30),
    (1, 9, 6, 20, 30),
    (28, 19, 8, 20, 30),
    (2, 2, 10, 20, 30),
    (15, 12, 40, 20, 30),
)


def _two(exercise: str, function: Any, *arguments: Tensor | tuple) -> tuple[Any, Any]:
    """Run a function that has to give two things."""
    answer = run_on_copies(function, *arguments)
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise Hint(f"{exercise}.pair", kind=type(answer).__name__)
    return answer[0], answer[1]


@check("03_ex1")
def check_03_ex1(value: Any) -> None:
    """Check a function that turns image and mask by a quarter, counter-clockwise.

    ``quarter_turn(image, mask) -> (image, mask)``: float (c, h, w) and whole numbers (h, w), both
    square.

    Args:
        value: the function.

    Returns:
        Whether both are turned, or what went wrong.
    """
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(3, 5, 5, generator=generator)
    mask = torch.randint(0, 5, (5, 5), generator=generator)
    first, second = _two("03_ex1", value, image, mask)
    shapes = ((3, 5, 5), (5, 5), (5, 3, 5))
    turned, moved = read_tensor(first, *shapes), read_tensor(second, *shapes)
    if turned.shape == shapes[2]:
        raise Hint("03_ex1.channels")
    if turned.shape != image.shape or moved.shape != mask.shape:
        swapped = turned.shape == mask.shape and moved.shape == image.shape
        raise Hint("03_ex1.swapped" if swapped else "03_ex1.value")
    turns = [(image.rot90(k, (1, 2)).double(), mask.rot90(k, (0, 1)).double()) for k in range(4)]
    found = [is_close(turned, right) for right, _ in turns]
    also = [is_close(moved, right) for _, right in turns]
    if found[1] and also[1]:
        return
    _judge_turns(found, also)
    judge("03_ex1", turned, turns[1][0], _turn_mistakes(image))
    judge("03_ex1", moved, turns[1][1], _turn_mistakes(mask[None], squeeze=True))


def _judge_turns(found: list[bool], also: list[bool]) -> None:
    """Recognise answers in which both are turned by some quarters."""
    if found[1] and also[0]:
        raise Hint("03_ex1.mask_left")
    if found[0] and also[1]:
        raise Hint("03_ex1.image_left")
    if (found[1] and also[3]) or (found[3] and also[1]):
        raise Hint("03_ex1.opposite")
    if found[3]:
        raise Hint("03_ex1.clockwise")
    if found[2]:
        raise Hint("03_ex1.half")


def _turn_mistakes(image: Tensor, *, squeeze: bool = False) -> dict[str, Tensor]:
    wrong = {
        "transposed": image.mT,
        "transposed 2": image.rot90(2, (1, 2)).mT,
        "flipped": image.flip(2),
        "flipped 2": image.flip(1),
    }
    return {name: (x[0] if squeeze else x).double() for name, x in wrong.items()}


@check("03_ex2")
def check_03_ex2(value: Any) -> None:
    """Check a function that says which share of an image a square box hides.

    ``hidden_share(x, y, side, height, width) -> float``: the box reaches side / 2 to each side of
    its center (x, y), in pixels, and may hang over the frame.

    Args:
        value: the function; all arguments are whole numbers, the side is even.

    Returns:
        Whether it is right for boxes inside, over an edge, over a corner, and over all of it; or
        what went wrong.
    """
    answers = [number(run_on_copies(value, *box)) for box in _BOXES]
    found = torch.tensor(answers, dtype=torch.float64)
    right = _shares()
    if is_close(found, right):
        return
    inside = torch.tensor([b[2] * b[2] / (b[3] * b[4]) for b in _BOXES], dtype=torch.float64)
    pixels = torch.tensor([b[3] * b[4] for b in _BOXES], dtype=torch.float64)
    mistakes = {
        "not_cut": inside,
        "kept": 1 - right,
        "kept 2": 1 - inside,
        "pixels": right * pixels,
        "pixels 2": inside * pixels,
        "percent": 100 * right,
        "half_side": _shares(reach=0.25),
        "double_side": _shares(reach=1.0),
        "corner": _shares(corner=True),
        "low_only": _shares(cut_high=False),
        "high_only": _shares(cut_low=False),
        "swapped": _shares(swap=True),
    }
    wrong = next(i for i in range(len(_BOXES)) if not is_close(found[i], right[i]))
    names = ("x", "y", "side", "height", "width")
    words = dict(zip(names, _BOXES[wrong], strict=True))
    judge("03_ex2", found, right, mistakes, **words)


def _shares(
    *,
    reach: float = 0.5,
    corner: bool = False,
    cut_low: bool = True,
    cut_high: bool = True,
    swap: bool = False,
) -> Float64[Tensor, " n"]:
    """Compute the hidden share of every case, rightly or with one of the usual mistakes."""
    shares = []
    for x, y, side, height, width in _BOXES:
        if swap:
            height, width = width, height
        area = 1.0
        for place, length in ((x, width), (y, height)):
            low, high = place - reach * side, place + reach * side
            if corner:
                low, high = place, place + side
            low = max(low, 0) if cut_low else low
            high = min(high, length) if cut_high else high
            area *= max(high - low, 0)
        shares.append(area / (height * width))
    return torch.tensor(shares, dtype=torch.float64)


@check("03_ex3")
def check_03_ex3(value: Any) -> None:
    """Check a function that does CutMix on one pair.

    ``cutmix(image, other, target, other_target, box) -> (image, target)``: the box (left, top,
    right, bottom) of the second image goes into the first; the label mixes by the areas.

    Args:
        value: the function; images are float (c, h, w), targets float (k).

    Returns:
        Whether image and label are right, or what went wrong.

    Source:
        Yun et al. 2019 (arXiv:1905.04899), equation 1.
    """
    generator = torch.Generator().manual_seed(1)
    image, other = torch.rand(2, 3, 8, 10, generator=generator)
    target, other_target = torch.tensor([[0.9, 0.1, 0.0], [0.0, 0.2, 0.8]])
    box = left, top, right, bottom = (1, 2, 6, 5)
    first, second = _two("03_ex3", value, image, other, target, other_target, box)
    mixed, label = read_tensor(first, image.shape), read_tensor(second, target.shape)
    judge(
        "03_ex3",
        mixed,
        _put(image, other, box),
        _box_mistakes(image, other, box),
        otherwise="image",
    )
    lam = 1 - (right - left) * (bottom - top) / 80
    sides = 1 - (right - left) / 10
    tall = 1 - (bottom - top) / 8
    mistakes = {
        "label_left": target,
        "label_swapped": (1 - lam) * target + lam * other_target,
        "label_half": (target + other_target) / 2,
        "label_side": sides * target + (1 - sides) * other_target,
        "label_side 2": tall * target + (1 - tall) * other_target,
    }
    truth = (lam * target + (1 - lam) * other_target).double()
    if abs(label.sum().item() - 1) > 1e-4:
        raise Hint("03_ex3.label_mass", mass=f"{label.sum().item():.3g}")
    judge("03_ex3", label, truth, {k: x.double() for k, x in mistakes.items()}, otherwise="label")


def _put(image: Tensor, other: Tensor, box: tuple[int, int, int, int]) -> Tensor:
    left, top, right, bottom = box
    mixed = image.clone()
    mixed[:, top:bottom, left:right] = other[:, top:bottom, left:right]
    return mixed.double()


def _box_mistakes(
    image: Tensor, other: Tensor, box: tuple[int, int, int, int]
) -> dict[str, Tensor]:
    left, top, right, bottom = box
    lam = 1 - (right - left) * (bottom - top) / image[0].numel()
    return {
        "not_mixed": image.double(),
        "other_way": _put(other, image, box),
        "axes": _put(image, other, (top, left, bottom, right)),
        "one_pixel": _put(image, other, (left, top, right + 1, bottom + 1)),
        "blended": (lam * image + (1 - lam) * other).double(),
    }
