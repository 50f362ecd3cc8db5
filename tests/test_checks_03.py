"""Checks of notebook 03: reference answers pass, every known wrong answer gets its own hint."""

import random

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import log_softmax as scipy_log_softmax
from test_checks import assert_hint
from torch.nn import functional as F

from course_utils import checks, metrics

# --- 1: a quarter turn ---------------------------------------------------------------------------


def by_hand(image, mask):
    return image.mT.flip(1), mask.T.flip(0)


def test_right_turns_pass_however_they_are_written():
    assert checks.check_03_ex1(by_hand).passed
    assert checks.check_03_ex1(lambda i, m: (i.rot90(1, (1, 2)), m.rot90())).passed
    assert checks.check_03_ex1(lambda i, m: [i.flip(2).mT, m.flip(1).T]).passed


def test_views_arrays_and_lists_with_negative_strides_are_right_turns_as_well():
    assert checks.check_03_ex1(lambda i, m: (np.rot90(i, 1, (1, 2)), np.rot90(m))).passed
    assert checks.check_03_ex1(lambda i, m: (np.rot90(i.numpy(), axes=(1, 2)), m.rot90())).passed
    views = checks.check_03_ex1(lambda i, m: (i.numpy().swapaxes(1, 2)[:, ::-1], m.numpy().T[::-1]))
    assert views.passed

    def frozen(image, mask):
        turned = np.rot90(image, 1, (1, 2)).copy(), np.rot90(mask).copy()
        for part in turned:
            part.flags.writeable = False
        return turned

    assert checks.check_03_ex1(frozen).passed
    assert checks.check_03_ex1(lambda i, m: [x.tolist() for x in by_hand(i, m)]).passed
    assert checks.check_03_ex1(lambda image, mask: by_hand(mask=mask, image=image)).passed


def test_an_array_of_the_learners_serves_the_cells_that_follow():
    image, mask = torch.arange(108.0).reshape(3, 6, 6), torch.arange(36).reshape(6, 6)

    def turn(image, mask):
        return np.rot90(image, 1, (1, 2)), np.rot90(mask)

    for quarter_turn in (checks.check_03_ex1(turn).use, checks.check_03_ex1().use):
        again, again_mask = image, mask
        for _ in range(4):
            again, again_mask = quarter_turn(again, again_mask)
        assert np.array_equal(again, image)
        assert np.array_equal(again_mask, mask)
        shown = torch.tensor(np.asarray(quarter_turn(image, mask)[0]).copy())
        assert torch.equal(shown, image.rot90(1, (1, 2)))


def in_place(image, mask):
    image.copy_(image.rot90(1, (1, 2)))
    return image, mask.rot90()


WRONG_1 = [
    (lambda i, m: i.rot90(1, (1, 2)), "03_ex1.pair"),
    (lambda i, m: (i.rot90(1, (1, 2)), m), "03_ex1.mask_left"),
    (lambda i, m: (i, m.rot90()), "03_ex1.image_left"),
    (lambda i, m: (i.rot90(-1, (1, 2)), m.rot90(-1)), "03_ex1.clockwise"),
    (lambda i, m: (i.rot90(3, (1, 2)), m), "03_ex1.clockwise"),
    (lambda i, m: (i.rot90(1, (1, 2)), m.rot90(-1)), "03_ex1.opposite"),
    (lambda i, m: (i.rot90(-1, (1, 2)), m.rot90()), "03_ex1.opposite"),
    (lambda i, m: (i.rot90(2, (1, 2)), m.rot90(2)), "03_ex1.half"),
    (lambda i, m: (i.mT, m.T), "03_ex1.transposed"),
    (lambda i, m: (i.mT.flip(1), m.T), "03_ex1.transposed"),
    (lambda i, m: (i.flip(2), m.flip(1)), "03_ex1.flipped"),
    (lambda i, m: (i.rot90(), m.rot90()), "03_ex1.channels"),
    (lambda i, m: (m.rot90(), i.rot90(1, (1, 2))), "03_ex1.swapped"),
    (lambda i, m: (i.roll(1, 2), m.roll(1, 1)), "03_ex1.value"),
    (lambda i, m: (i.rot90(1, (1, 2)), m[None].rot90(1, (1, 2))), "03_ex1.mask_axes"),
    (lambda i, m: (i.rot90(1, (1, 2)), m.rot90()[..., None]), "03_ex1.mask_axes"),
    (lambda i, m: (i[None].rot90(1, (2, 3)), m.rot90()), "03_ex1.image_axes"),
    (lambda i, m: (i.rot90(1, (1, 2)).permute(1, 2, 0), m.rot90()), "03_ex1.channels"),
    (lambda i, m: (i.rot90(1, (1, 2)), m.roll(1, 0)), "03_ex1.mask_value"),
    (lambda i, m: (i.sum(), m), "03_ex1.image_axes"),
    (in_place, "in_place"),
]


@pytest.mark.parametrize(("function", "key"), WRONG_1)
def test_wrong_turns_are_recognised(function, key):
    assert_hint(checks.check_03_ex1(function), key)


# --- 2: the hidden share -------------------------------------------------------------------------


def counted(x, y, side, height, width):
    """Hide pixels and count them."""
    hidden = torch.zeros(height, width)
    half = side // 2
    hidden[max(y - half, 0) : max(y + half, 0), max(x - half, 0) : max(x + half, 0)] = 1
    return hidden.mean()


def cut(x, y, side, height, width, *, low=True, high=True):
    def length(center, end):
        first, last = center - side / 2, center + side / 2
        last, first = min(last, end) if high else last, max(first, 0) if low else first
        return max(last - first, 0)

    return length(x, width) * length(y, height) / (height * width)


def unclamped(x, y, side, height, width):
    """Swap width and height, and let a length below zero stand."""
    columns = min(x + side / 2, height) - max(x - side / 2, 0)
    return columns * (min(y + side / 2, width) - max(y - side / 2, 0)) / (height * width)


def test_right_shares_pass_however_they_are_counted():
    assert checks.check_03_ex2(counted).passed
    assert checks.check_03_ex2(cut).passed
    assert checks.check_03_ex2(lambda x, y, side, height, width: np.float32(
        cut(height=height, width=width, x=x, y=y, side=side))).passed  # fmt: skip


WRONG_2 = [
    (lambda x, y, s, h, w: s * s / (h * w), "03_ex2.not_cut"),
    (lambda x, y, s, h, w: 1 - cut(x, y, s, h, w), "03_ex2.kept"),
    (lambda x, y, s, h, w: cut(x, y, s, h, w) * h * w, "03_ex2.pixels"),
    (lambda x, y, s, h, w: s * s, "03_ex2.pixels"),
    (lambda x, y, s, h, w: 100 * cut(x, y, s, h, w), "03_ex2.percent"),
    (lambda x, y, s, h, w: cut(x, y, s / 2, h, w), "03_ex2.half_side"),
    (lambda x, y, s, h, w: cut(x, y, 2 * s, h, w), "03_ex2.double_side"),
    (lambda x, y, s, h, w: cut(x + s / 2, y + s / 2, s, h, w), "03_ex2.corner"),
    (lambda x, y, s, h, w: cut(x, y, s, h, w, high=False), "03_ex2.low_only"),
    (lambda x, y, s, h, w: cut(x, y, s, h, w, low=False), "03_ex2.high_only"),
    (lambda x, y, s, h, w: cut(x, y, s, w, h), "03_ex2.swapped"),
    (unclamped, "03_ex2.swapped"),
    (lambda *box: max(unclamped(*box), 0), "03_ex2.swapped"),
    (lambda *box: abs(unclamped(*box)), "03_ex2.swapped"),
    (lambda x, y, s, h, w: cut(x, y, s, h - 1, w - 1) * (h - 1) * (w - 1) / (h * w),
     "03_ex2.last_pixel"),
    (lambda x, y, s, h, w: cut(x + 0.5, y + 0.5, s + 1, h, w), "03_ex2.one_more"),
    (lambda x, y, s, h, w: 100 * s * s / (h * w), "03_ex2.percent"),
    (lambda x, y, s, h, w: 0.5, "03_ex2.value"),
    (lambda x, y, s, h, w: "half", "no_number"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "key"), WRONG_2)
def test_wrong_shares_are_recognised(function, key):
    assert_hint(checks.check_03_ex2(function), key)


# --- 3: CutMix -----------------------------------------------------------------------------------


def cutmix(image, other, target, other_target, box):
    left, top, right, bottom = box
    mixed = image.clone()
    mixed[:, top:bottom, left:right] = other[:, top:bottom, left:right]
    lam = 1 - (right - left) * (bottom - top) / image[0].numel()
    return mixed, lam * target + (1 - lam) * other_target


def with_label(make):
    """Mix the image rightly and the label as ``make(target, other_target, lam)`` says."""

    def function(image, other, target, other_target, box):
        mixed, _ = cutmix(image, other, target, other_target, box)
        lam = 1 - (box[2] - box[0]) * (box[3] - box[1]) / image[0].numel()
        return mixed, make(target, other_target, lam)

    return function


def with_image(make):
    def function(image, other, target, other_target, box):
        return make(image, other, box), cutmix(image, other, target, other_target, box)[1]

    return function


def put(image, other, rows, columns):
    mixed = image.clone()
    mixed[:, rows, columns] = other[:, rows, columns]
    return mixed


def test_right_mixing_passes():
    def with_a_mask(image, other, target, other_target, box):
        left, top, right, bottom = box
        rows, columns = torch.arange(image.shape[1])[:, None], torch.arange(image.shape[2])
        inside = (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
        lam = 1 - inside.double().mean()
        return torch.where(inside, other, image), torch.lerp(
            other_target.double(), target.double(), lam
        )

    assert checks.check_03_ex3(cutmix).passed
    assert checks.check_03_ex3(with_a_mask).passed
    assert checks.check_03_ex3(lambda *given: [part.numpy() for part in cutmix(*given)]).passed


WRONG_3 = [
    (lambda *given: given[0], "03_ex3.pair"),
    (with_image(lambda a, b, box: a), "03_ex3.not_mixed"),
    (lambda a, b, s, t, box: cutmix(b, a, t, s, box), "03_ex3.other_way"),
    (
        with_image(lambda a, b, x: put(a, b, slice(x[0], x[2]), slice(x[1], x[3]))),
        "03_ex3.axes",
    ),
    (
        with_image(lambda a, b, x: put(a, b, slice(x[1], x[3] + 1), slice(x[0], x[2] + 1))),
        "03_ex3.one_pixel",
    ),
    (with_image(lambda a, b, x: (65 * a + 15 * b) / 80), "03_ex3.blended"),
    (with_image(lambda a, b, x: b), "03_ex3.whole"),
    (with_image(lambda a, b, x: put(a, 0 * b, slice(x[1], x[3]), slice(x[0], x[2]))),
     "03_ex3.erased"),
    (with_image(lambda a, b, x: put(a, b, slice(x[1], x[1] + x[3]), slice(x[0], x[0] + x[2]))),
     "03_ex3.sizes"),
    (with_image(lambda a, b, x: a.flip(1)), "03_ex3.image"),
    (with_label(lambda s, t, lam: t), "03_ex3.label_other"),
    (with_label(lambda s, t, lam: (1 - (1 - lam) / 3) * s + (1 - lam) / 3 * t),
     "03_ex3.label_channels"),
    (with_label(lambda s, t, lam: (1 - 80 * (1 - lam)) * s + 80 * (1 - lam) * t),
     "03_ex3.label_pixels"),
    (with_label(lambda s, t, lam: s), "03_ex3.label_left"),
    (with_label(lambda s, t, lam: (1 - lam) * s + lam * t), "03_ex3.label_swapped"),
    (with_label(lambda s, t, lam: (s + t) / 2), "03_ex3.label_half"),
    (with_label(lambda s, t, lam: 0.5 * s + 0.5 * t), "03_ex3.label_half"),
    (with_label(lambda s, t, lam: 0.625 * s + 0.375 * t), "03_ex3.label_side"),
    (with_label(lambda s, t, lam: s + t), "03_ex3.label_mass"),
    (with_label(lambda s, t, lam: 0.3 * s + 0.7 * t), "03_ex3.label"),
    (with_label(lambda s, t, lam: lam), "shape"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "key"), WRONG_3)
def test_wrong_mixing_is_recognised(function, key):
    assert_hint(checks.check_03_ex3(function), key)


# --- 4: soft cross-entropy -----------------------------------------------------------------------


def right(x, y):
    return -(y * x.log_softmax(1)).sum(1).mean()


def log_of_softmax(x, y):
    return -(y * x.softmax(1).log()).sum(1).mean()


def naive(x, y):
    p = x.exp() / x.exp().sum(1, keepdim=True)
    return -(y * p.log()).sum(1).mean()


def test_right_losses_pass():
    assert checks.check_03_ex4(right).passed
    assert checks.check_03_ex4(lambda x, y: F.cross_entropy(x, y)).passed
    assert checks.check_03_ex4(lambda x, y: right(x, y).item()).passed
    assert checks.check_03_ex4(lambda x, y: right(x, y).reshape(1)).passed
    assert checks.check_03_ex4(lambda x, y: (-(y * scipy_log_softmax(x.numpy(), 1)).sum(1)).mean())
    assert checks.check_03_ex4(lambda logits, targets: (
        torch.logsumexp(logits, 1) - (targets * logits).sum(1)).mean()).passed  # fmt: skip


def entropy(y):
    return -(y * y.log()).sum(1).mean()


WRONG_4 = [
    (lambda x, y: -(y * x.log_softmax(1)).sum(1), "03_ex4.not_scalar"),
    (lambda x, y: len(x) * right(x, y), "03_ex4.sum"),
    (lambda x, y: -(y * x.log_softmax(1)).mean(), "03_ex4.mean_classes"),
    (lambda x, y: F.cross_entropy(x, y.argmax(1)), "03_ex4.hard"),
    (lambda x, y: -right(x, y), "03_ex4.sign"),
    (lambda x, y: -(y * x.softmax(1)).sum(1).mean(), "03_ex4.no_log"),
    (lambda x, y: -(y * x).sum(1).mean(), "03_ex4.no_softmax"),
    (lambda x, y: -(y * x.log_softmax(0)).sum(1).mean(), "03_ex4.wrong_axis"),
    (lambda x, y: -(x * y.log_softmax(1)).sum(1).mean(), "03_ex4.swapped"),
    (lambda x, y: right(x, y) - entropy(y), "03_ex4.divergence"),
    (lambda x, y: F.kl_div(x.log_softmax(1), y, reduction="batchmean"), "03_ex4.divergence"),
    (lambda x, y: F.binary_cross_entropy_with_logits(x, y), "03_ex4.binary"),
    (lambda x, y: -(y * x.softmax(1).log2()).sum(1).mean(), "03_ex4.log2"),
    (naive, "03_ex4.overflow"),
    (lambda x, y: (x.exp().sum(1).log() - (y * x).sum(1)).mean(), "03_ex4.overflow"),
    (log_of_softmax, "03_ex4.zero"),
    (lambda x, y: -(y * (x.softmax(1) + 1e-9).log()).sum(1).mean(), "03_ex4.cut"),
    (lambda x, y: -(y * x.softmax(1).clamp(min=1e-12).log()).sum(1).mean(), "03_ex4.cut"),
    (lambda x, y: right(x.clamp(-50, 50), y), "03_ex4.cut"),
    (lambda x, y: ((x - x.max()).exp().sum(1).log() - (y * (x - x.max())).sum(1)).mean(),
     "03_ex4.one_max"),
    (lambda x, y: (x - y).square().mean(), "03_ex4.value"),
    (lambda x, y: "loss", "no_tensor"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "key"), WRONG_4)
def test_wrong_losses_are_recognised(function, key):
    assert_hint(checks.check_03_ex4(function), key)


# --- 5: what is legal ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [{"a", "b", "h"}, ["h", "a", "b"], "abh", "A, b, h", ("a", " b", "H")]
)
def test_the_legal_cases_pass_in_any_form(value):
    assert checks.check_03_ex5(value).passed


WRONG_5 = [
    (0.5, "03_ex5.form"),
    ({"a": True}, "03_ex5.form"),
    ([1, 2], "03_ex5.form"),
    ({"a", "z"}, "03_ex5.unknown"),
    ("abcdefgh", "03_ex5.everything"),
    ("bh", "03_ex5.a_missing"),
    ("ah", "03_ex5.b_missing"),
    ("abch", "03_ex5.c_wrong"),
    ("abdh", "03_ex5.d_wrong"),
    ("abeh", "03_ex5.e_wrong"),
    ("abfh", "03_ex5.f_wrong"),
    ("abgh", "03_ex5.g_wrong"),
    ("ab", "03_ex5.h_missing"),
]


@pytest.mark.parametrize(("value", "key"), WRONG_5)
def test_wrong_verdicts_get_the_reason(value, key):
    assert_hint(checks.check_03_ex5(value), key)


# --- 6: a table of gains -------------------------------------------------------------------------


def read(rows, smallest):
    """Ask the package for each word, then take back what a control has as well."""
    words = {}
    for row in rows:
        middle = (row["low"] + row["high"]) / 2
        interval = metrics.Interval(middle, row["low"], row["high"], df=4.0, error=0.01)
        words[row["name"]] = metrics.verdict(interval, smallest=smallest)
    controls = [row["name"] for row in rows if row["is_control"]]
    spoiled = {words[name] for name in controls} - {"cannot tell", "no difference larger than that"}
    return {n: "cannot tell" if w in spoiled and n not in controls else w for n, w in words.items()}


def test_right_readings_of_a_table_pass():
    assert checks.check_03_ex6(read).passed
    assert checks.check_03_ex6(lambda *table: dict(reversed(read(*table).items()))).passed

    def by_frame(rows, smallest):
        table = pd.DataFrame(rows).set_index("name")
        words = pd.Series("cannot tell", index=table.index)
        words[(table.low >= -smallest) & (table.high <= smallest)] = (
            "No difference larger than that."
        )
        words[table.low > 0], words[table.high < 0] = "Helped", "Hurt"
        for word in ("Helped", "Hurt"):
            if (words[table.is_control] == word).any():
                words[~table.is_control & (words == word)] = "cannot tell"
        return words.to_dict()

    assert checks.check_03_ex6(by_frame).passed


HELPED, HURT, SMALL, UNKNOWN = "helped", "hurt", "no difference larger than that", "cannot tell"


def interval_word(row, smallest):
    if row["low"] > 0 or row["high"] < 0:
        return HELPED if row["low"] > 0 else HURT
    return SMALL if -smallest <= row["low"] and row["high"] <= smallest else UNKNOWN


def with_word(word, *, controls=True):
    """Read a table row by row; ``word`` gives another word, or none."""

    def function(rows, smallest):
        words = {row["name"]: word(row, smallest) or interval_word(row, smallest) for row in rows}
        if controls:
            spoiled = {words[row["name"]] for row in rows if row["is_control"]} & {HELPED, HURT}
            for row in rows:
                if words[row["name"]] in spoiled and not row["is_control"]:
                    words[row["name"]] = UNKNOWN
        return words

    return function


def undecided(inside):
    """Judge what holds 0 by ``inside(row, smallest)``."""

    def word(row, smallest):
        open_ended = interval_word(row, smallest) in (SMALL, UNKNOWN)
        return (SMALL if inside(row, smallest) else UNKNOWN) if open_ended else None

    return with_word(word)


def take_back(which):
    """Take back the words of rows by ``which(word, row, words of controls)``."""

    def function(rows, smallest):
        words = {row["name"]: interval_word(row, smallest) for row in rows}
        controls = {words[row["name"]] for row in rows if row["is_control"]} & {HELPED, HURT}
        return {
            row["name"]: UNKNOWN if which(words[row["name"]], row, controls) else words[row["name"]]
            for row in rows
        }

    return function


def only_first_control(rows, smallest):
    first = next(row for row in rows if row["is_control"])
    return read([row | {"is_control": row is first} for row in rows], smallest)


def renamed(rows, smallest):
    return {name.upper(): word for name, word in read(rows, smallest).items()}


WRONG_6 = [
    (lambda rows, smallest: list(read(rows, smallest).values()), "03_ex6.form"),
    (lambda rows, smallest: {}, "03_ex6.missing"),
    (renamed, "03_ex6.missing"),
    (lambda rows, smallest: read(rows, smallest) | {"zoom": HELPED}, "03_ex6.more"),
    (lambda rows, smallest: dict.fromkeys(read(rows, smallest), "significant"), "03_ex6.word"),
    (lambda rows, smallest: dict.fromkeys(read(rows, smallest)), "03_ex6.word"),
    (undecided(lambda row, smallest: True), "03_ex6.absence"),
    (undecided(lambda row, smallest: False), "03_ex6.never"),
    (undecided(lambda row, smallest: row["high"] <= smallest), "03_ex6.one_end"),
    (undecided(lambda row, smallest: row["low"] >= -smallest), "03_ex6.one_end"),
    (undecided(lambda row, smallest: abs(row["low"] + row["high"]) / 2 <= smallest),
     "03_ex6.point"),
    (with_word(lambda row, _: HURT if row["low"] > 0 else HELPED if row["high"] < 0 else None),
     "03_ex6.sign"),
    (with_word(lambda row, _: HELPED if row["low"] >= 0 else None), "03_ex6.touches"),
    (with_word(lambda row, smallest: SMALL if max(-row["low"], row["high"]) <= smallest else None),
     "03_ex6.small_first"),
    (with_word(lambda row, smallest: None if row["low"] > smallest or row["high"] < -smallest else
               SMALL if max(-row["low"], row["high"]) <= smallest else UNKNOWN), "03_ex6.margin"),
    (with_word(lambda row, _: HELPED if row["low"] + row["high"] > 0 else HURT, controls=False),
     "03_ex6.by_mean"),
    (with_word(lambda *_: None, controls=False), "03_ex6.no_control"),
    (only_first_control, "03_ex6.one_control"),
    (take_back(lambda word, row, controls: word in controls), "03_ex6.control_too"),
    (take_back(lambda word, row, controls: controls and word in (HELPED, HURT)
               and not row["is_control"]), "03_ex6.any_control"),
    (take_back(lambda word, row, controls: controls and not row["is_control"]),
     "03_ex6.everything"),
    (take_back(lambda word, row, controls: controls), "03_ex6.everything"),
    (lambda rows, smallest: dict.fromkeys(read(rows, smallest), HELPED), "03_ex6.value"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "key"), WRONG_6)
def test_wrong_readings_are_recognised(function, key):
    assert_hint(checks.check_03_ex6(function), key)


# --- 7: a draw, then an apply --------------------------------------------------------------------


def flip(images, masks, share, generator):
    """Decide by a Bernoulli draw, and choose with where."""
    drawn = torch.full((len(images),), float(share)).bernoulli(generator=generator).bool()
    images = torch.where(drawn[:, None, None, None], images.flip(3), images)
    return images, torch.where(drawn[:, None, None], masks.flip(2), masks), drawn


def one_by_one(images, masks, share, generator):
    drawn = [torch.rand((), generator=generator).item() < share for _ in images]
    pairs = list(zip(drawn, images.numpy(), masks.numpy(), strict=True))
    turned = np.stack([image[..., ::-1] if yes else image for yes, image, _ in pairs])
    return turned, np.stack([mask[:, ::-1] if yes else mask for yes, _, mask in pairs]), drawn


def test_right_flips_pass_however_they_are_drawn():
    assert checks.check_03_ex7(flip).passed
    assert checks.check_03_ex7(one_by_one).passed
    as_numbers = checks.check_03_ex7(lambda *a: [part.double() for part in flip(*a)])
    assert as_numbers.passed


def flips(draw=None, *, image=(-1,), mask=(-1,), told=lambda drawn: drawn):
    """Mirror along these axes, by another draw."""

    def function(images, masks, share, generator):
        if draw is None:
            drawn = torch.rand(len(images), generator=generator) < share
        else:
            drawn = draw(len(images), share, generator)
        images, masks = images.clone(), masks.clone()
        images[drawn] = images[drawn].flip(image)
        masks[drawn] = masks[drawn].flip(mask)
        return images, masks, told(drawn)

    return function


def apart(images, masks, share, generator):
    first, _, drawn = flip(images, masks, share, generator)
    return first, flip(images, masks, share, generator)[1], drawn


def drawn_anew(images, masks, share, generator):
    first, second, _ = flip(images, masks, share, generator)
    return first, second, torch.rand(len(images), generator=generator) < share


def own_seed(n, share, _):
    return torch.rand(n, generator=torch.Generator().manual_seed(7)) < share


def by_chance(n, share, _):
    return torch.tensor([random.random() < share for _ in range(n)])


def flip_in_place(images, masks, share, generator):
    images.copy_(images.flip(-1))
    return images, masks.flip(-1), torch.ones(len(images), dtype=torch.bool)


WRONG_7 = [
    (lambda *a: flip(*a)[:2], "03_ex7.three"),
    (lambda *a: flip(*a)[0], "03_ex7.three"),
    (flips(told=lambda drawn: drawn.any()), "03_ex7.one_decision"),
    (flips(lambda n, share, g: (torch.rand(1, generator=g) < share).expand(n)),
     "03_ex7.one_decision"),
    (flips(told=lambda drawn: drawn[:, None]), "03_ex7.drawn_shape"),
    (flips(told=lambda drawn: torch.nonzero(drawn)[:, 0]), "03_ex7.drawn_shape"),
    (flips(told=lambda drawn: 0.3 + 0.4 * drawn), "03_ex7.drawn_values"),
    (flips(image=(-2,), mask=(-2,)), "03_ex7.vertical"),
    (flips(image=(1,)), "03_ex7.image_other"),
    (flips(image=(-1, -2)), "03_ex7.image_other"),
    (flips(told=lambda drawn: ~drawn), "03_ex7.inverted"),
    (drawn_anew, "03_ex7.image_apart"),
    (lambda i, m, *a: (lambda found: (found[0], m, found[2]))(flip(i, m, *a)), "03_ex7.mask_left"),
    (flips(mask=(1,)), "03_ex7.mask_vertical"),
    (apart, "03_ex7.mask_apart"),
    (flips(by_chance), "03_ex7.not_repeated"),
    (flips(own_seed), "03_ex7.own_generator"),
    (flips(lambda n, share, _: torch.rand(n) < share), "random"),
    (flips(lambda n, share, g: torch.rand(n, generator=g) > share), "03_ex7.share_inverted"),
    (flips(lambda n, share, g: torch.rand(n, generator=g) < 0.5), "03_ex7.share_ignored"),
    (flips(lambda n, share, g: torch.rand(n, generator=g) < 2 * share * (1 - share)),
     "03_ex7.share"),
    (lambda i, m, *a: (flip(i, m, *a)[0][:, :1], m, flip(i, m, *a)[2]), "shape"),
    (flip_in_place, "in_place"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "key"), WRONG_7)
def test_wrong_flips_are_recognised(function, key):
    assert_hint(checks.check_03_ex7(function), key)
