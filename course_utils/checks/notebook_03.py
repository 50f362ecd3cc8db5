"""Checks of notebook 03 on images: a quarter turn, a hidden share, CutMix, soft labels, a flip."""

from typing import Any

import torch
from jaxtyping import Bool, Float64, Int
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from course_utils.checks.judging import (
    Hint,
    Mistakes,
    as_asked,
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
_NUM, _NUM_MORE = 64, 4000  # images that are looked at one by one, and drawings that are counted


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
    turned, moved = map(as_tensor, run_for_two(value, image, mask))
    shapes = turned.shape, moved.shape
    said = {"image": tuple(turned.shape), "mask": tuple(moved.shape)}
    tell(
        [
            ("swapped", shapes == (mask.shape, image.shape)),
            ("channels", turned.shape in ((5, 3, 5), (5, 5, 3))),
            ("image_axes", turned.shape != image.shape),
            ("mask_axes", moved.shape != mask.shape),
        ],
        **said,
    )
    image_by = [is_close(turned, image.rot90(k, (1, 2))) for k in range(4)]
    mask_by = [is_close(moved, mask.rot90(k)) for k in range(4)]
    if image_by[1] and mask_by[1]:
        return
    opposite = (image_by[1] and mask_by[3]) or (image_by[3] and mask_by[1])
    signs = [("mask_left", image_by[1] and mask_by[0]), ("image_left", image_by[0] and mask_by[1])]
    tell([*signs, ("opposite", opposite), ("clockwise", image_by[3]), ("half", image_by[2])])
    judge(turned, image.rot90(1, (1, 2)), _turn_mistakes(image))
    judge(moved, mask.rot90(), _turn_mistakes(mask), otherwise="mask_value")


def hidden_share(x, y, side, height, width):
    """Measure which share of an image a box hides."""
    columns = min(x + side / 2, width) - max(x - side / 2, 0)
    rows = min(y + side / 2, height) - max(y - side / 2, 0)
    return columns * rows / (height * width)


def _share_mistakes(x: int, y: int, side: int, height: int, width: int) -> Mistakes:
    def share(
        ends: tuple[int, int], *, shift: float = 0, low: int = 0, high: int = 0, least: int = 0
    ) -> float:
        """Cut a box, moved, by ends of a frame that may reach farther than they should."""
        area = 1.0
        for center, end in zip((x + shift, y + shift), ends, strict=True):
            reach = min(center + side / 2, end + high) - max(center - side / 2, -low)
            area *= max(reach, least)
        return area / frame

    frame, ends, far = height * width, (width, height), 1000
    right, inside = hidden_share(x, y, side, height, width), side * side / frame
    turned = height, width
    yield "not_cut", inside
    yield "kept", 1 - right, 1 - inside
    yield "pixels", right * frame, inside * frame
    yield "percent", 100 * right, 100 * inside, 100 - 100 * right
    yield "half_side", hidden_share(x, y, side / 2, height, width)
    yield "double_side", hidden_share(x, y, 2 * side, height, width)
    yield "corner", share(ends, shift=side / 2)
    yield "low_only", share(ends, high=far)
    yield "high_only", share(ends, low=far)
    yield "swapped", share(turned), share(turned, least=-far), abs(share(turned, least=-far))
    yield "last_pixel", share(ends, high=-1)
    yield "one_more", hidden_share(x + 0.5, y + 0.5, side + 1, height, width)


@check(hidden_share)
def check_03_ex2(value: Any) -> Any:
    """Check ``hidden_share(x, y, side, height, width) -> float``: what of an image a box hides.

    The box reaches side / 2 to each side of its center (x, y), in pixels, and may hang over.

    Args:
        value: the function; all arguments are whole numbers, the side is even.
    """

    def say(answer: float, right: float, *box: int) -> dict[str, object]:
        return dict(zip(("x", "y", "side", "height", "width"), box, strict=True))

    return compare(value, _BOXES, hidden_share, _share_mistakes, jointly=True, say=say)


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

    (left, top, right, bottom), (channels, height, width) = box, image.shape
    wide, high = (right - left) / width, (bottom - top) / height
    area, nothing = wide * high, torch.zeros_like(image)
    images = [
        ("not_mixed", image),
        ("whole", other),
        ("other_way", put(other, image, *box)),
        ("axes", put(image, other, top, left, bottom, right)),
        ("one_pixel", put(image, other, left, top, right + 1, bottom + 1)),
        ("sizes", put(image, other, left, top, left + right, top + bottom)),
        ("blended", (1 - area) * image + area * other),
        ("erased", put(image, nothing, *box)),
    ]
    labels = [
        ("label_left", target),
        ("label_other", other_target),
        ("label_swapped", label(area)),
        ("label_half", label(0.5)),
        ("label_side", label(1 - wide), label(1 - high)),
        ("label_channels", label(1 - area / channels), label(1 - area * channels)),
        ("label_pixels", label(1 - area * height * width)),
    ]
    return images, labels


@check(cutmix)
def check_03_ex3(value: Any) -> Any:
    """Check ``cutmix(image, other, target, other_target, box) -> (image, target)`` of one pair.

    The box (left, top, right, bottom) of the second image goes into the first; the label mixes by
    the areas.

    Args:
        value: the function; images are float (c, h, w), targets float (k).

    Source:
        Yun et al. 2019 (arXiv:1905.04899), equation 1.
    """
    kept = []
    image, other = torch.rand(2, 3, 8, 10, generator=torch.Generator().manual_seed(1))
    target, other_target = torch.tensor([[0.9, 0.1, 0.0], [0.0, 0.2, 0.8]])
    for box in ((1, 2, 6, 5), (0, 3, 10, 8)):
        case = image, other, target, other_target, box
        first, second = run_for_two(value, *case)
        mixed, label = read_tensor(first, image.shape), read_tensor(second, target.shape)
        kept.append(((first, second), cutmix(*case)))
        (right, truth), (images, labels) = kept[-1][1], _cutmix_mistakes(*case)
        judge(mixed, right, images, otherwise="image")
        mass = label.sum().item()
        tell([("label_mass", abs(mass - 1) > 1e-4)], mass=f"{mass:.3g}")
        judge(label, truth, labels, otherwise="label")
    return as_asked(value, kept)


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
def check_03_ex4(value: Any) -> Any:
    """Check ``soft_cross_entropy(logits, targets)``: the mean of -Σ_k y_k log softmax(logits)_k.

    It is tried on scores of about 2, on the same with 1,000 added, and on scores 1,000 apart.

    Args:
        value: the function; both are float (n, k), rows of the targets sum to 1.
    """

    def read(answer: Any, _: Tensor | None = None) -> Float64[Tensor, ""]:
        found = as_tensor(answer)
        tell([("not_scalar", found.numel() != 1)], shape=tuple(found.shape))
        return found.reshape(())

    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(6, 4, generator=generator)
    targets = torch.rand(6, 4, generator=generator)
    targets /= targets.sum(1, keepdim=True)
    asked = compare(value, [(logits, targets)], soft_cross_entropy, _soft_mistakes, read=read)
    shifted, apart = logits.double() + 1000, 1000 * logits.double()
    found = read(run(value, shifted.float(), targets))
    right = soft_cross_entropy(shifted.float().double(), targets)
    judge(found, right, [], otherwise="cut" if found.isfinite() else "overflow")
    found, right = read(run(value, apart.float(), targets)), soft_cross_entropy(apart, targets)
    judge(found, right, [("zero", torch.inf)], otherwise="cut" if found.isfinite() else "one_max")
    return asked


def random_flip(images, masks, share, generator):
    """Mirror some images with their masks, and tell which."""
    drawn = torch.rand(len(images), generator=generator) < share
    images, masks = images.clone(), masks.clone()
    images[drawn], masks[drawn] = images[drawn].flip(-1), masks[drawn].flip(-1)
    return images, masks, drawn


@check(random_flip)
def check_03_ex7(value: Any) -> None:
    """Check ``random_flip(images, masks, share, generator) -> (images, masks, drawn)``.

    Each image is mirrored with probability ``share``, and its mask with it; ``drawn`` says which.
    All chance comes from the generator.

    Args:
        value: the function; images are float (n, c, h, w), masks whole numbers (n, h, w).
    """
    images, masks = _make_pictures(_NUM)
    flipped, moved, drawn = _flip(value, images, masks, 0.5, 0)
    tell([("one_decision", drawn.all() or not drawn.any())])
    image_by, mask_by = _how_moved(flipped, images), _how_moved(moved, masks)
    tell([("vertical", (image_by == 2).any()), ("image_other", (image_by == -1).any())])
    signs = [("inverted", torch.equal(image_by == 1, ~drawn))]
    tell([*signs, ("image_apart", not torch.equal(image_by == 1, drawn))])
    tell([("mask_left", (mask_by == 0).all()), ("mask_vertical", (mask_by == 2).any())])
    tell([("mask_apart", not torch.equal(mask_by == 1, drawn))])
    again, other = (_flip(value, images, masks, 0.5, seed)[2] for seed in (0, 1))
    tell([("not_repeated", not again.equal(drawn)), ("own_generator", other.equal(drawn))])
    _judge_shares(value)


def _judge_shares(value: Any) -> None:
    """Count how often is drawn."""
    images, masks = _make_pictures(_NUM_MORE)
    for share in (0.2, 0.0, 1.0):
        found = _flip(value, images, masks, share, 2)[2].double().mean().item()
        said = {"found": f"{found:.2f}", "share": share}
        tell([("share_inverted", abs(found - (1 - share)) < 0.03 and share < 0.5)], **said)
        tell([("share_ignored", abs(found - 0.5) < 0.03)], **said)
        tell([("share", abs(found - share) > (0.03 if 0 < share < 1 else 0))], **said)


def _make_pictures(num: int) -> tuple[Tensor, Tensor]:
    """Make images and masks without any symmetry."""
    generator = torch.Generator().manual_seed(3)
    images = torch.rand(num, 2, 2, 3, generator=generator)
    return images, torch.arange(6).reshape(2, 3).repeat(num, 1, 1)


def _flip(
    value: Any, images: Tensor, masks: Tensor, share: float, seed: int
) -> tuple[Tensor, Tensor, Bool[Tensor, " n"]]:
    """Read what a learner's function gives: images, masks, and which were mirrored."""
    answer = run(value, images, masks, share, torch.Generator().manual_seed(seed))
    three = isinstance(answer, tuple | list) and len(answer) == 3
    tell([("three", not three)], kind=type(answer).__name__)
    flipped, moved = read_tensor(answer[0], images.shape), read_tensor(answer[1], masks.shape)
    drawn, num = as_tensor(answer[2]), len(images)
    tell([("one_decision", drawn.numel() == 1)])
    tell([("drawn_shape", drawn.shape != (num,))], shape=tuple(drawn.shape), num=num)
    if not set(drawn.unique().tolist()) <= {0.0, 1.0}:
        raise Hint("drawn_values")
    return flipped, moved, drawn.bool()


def _how_moved(found: Tensor, given: Tensor) -> Int[Tensor, " n"]:
    """Say of each picture: left as it was 0, mirrored 1, upside down 2, anything else -1."""
    how = torch.full((len(given),), -1)
    for k, axes in ((2, (-2,)), (1, (-1,)), (0, ())):
        same = (found - given.flip(axes).double()).abs().flatten(1).amax(1) < 1e-5
        how[same] = k
    return how
