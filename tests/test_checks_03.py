"""Checks of notebook 03: reference answers pass, every known wrong answer gets its own hint."""

import numpy as np
import pytest
import torch
from test_checks import assert_hint
from torch.nn import functional as F

from course_utils import checks

# --- 1: a quarter turn ---------------------------------------------------------------------------


def by_hand(image, mask):
    return image.mT.flip(1), mask.T.flip(0)


def test_right_turns_pass_however_they_are_written():
    assert checks.check_03_ex1(by_hand).passed
    assert checks.check_03_ex1(lambda i, m: (i.rot90(1, (1, 2)), m.rot90())).passed
    assert checks.check_03_ex1(lambda i, m: [i.flip(2).mT, m.flip(1).T]).passed
    turned = checks.check_03_ex1(lambda i, m: (np.rot90(i, 1, (1, 2)), np.rot90(m)))
    assert turned.passed


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
    (lambda i, m: (i.sum(), m), "shape"),
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


def test_right_shares_pass_however_they_are_counted():
    assert checks.check_03_ex2(counted).passed
    assert checks.check_03_ex2(cut).passed


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
    (lambda x, y, s, h, w: 0.5, "03_ex2.value"),
    (lambda x, y, s, h, w: "half", "no_number"),
]


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
    assert checks.check_03_ex3(cutmix).passed


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
    (with_image(lambda a, b, x: b), "03_ex3.image"),
    (with_label(lambda s, t, lam: s), "03_ex3.label_left"),
    (with_label(lambda s, t, lam: (1 - lam) * s + lam * t), "03_ex3.label_swapped"),
    (with_label(lambda s, t, lam: (s + t) / 2), "03_ex3.label_half"),
    (with_label(lambda s, t, lam: 0.5 * s + 0.5 * t), "03_ex3.label_half"),
    (with_label(lambda s, t, lam: 0.625 * s + 0.375 * t), "03_ex3.label_side"),
    (with_label(lambda s, t, lam: s + t), "03_ex3.label_mass"),
    (with_label(lambda s, t, lam: 0.3 * s + 0.7 * t), "03_ex3.label"),
    (with_label(lambda s, t, lam: lam), "shape"),
]


@pytest.mark.parametrize(("function", "key"), WRONG_3)
def test_wrong_mixing_is_recognised(function, key):
    assert_hint(checks.check_03_ex3(function), key)


# --- 4: soft cross-entropy -----------------------------------------------------------------------


def right(x, y):
    return -(y * x.log_softmax(1)).sum(1).mean()


def naive(x, y):
    p = x.exp() / x.exp().sum(1, keepdim=True)
    return -(y * p.log()).sum(1).mean()


def test_right_losses_pass():
    assert checks.check_03_ex4(right).passed
    assert checks.check_03_ex4(lambda x, y: F.cross_entropy(x, y)).passed
    assert checks.check_03_ex4(lambda x, y: right(x, y).item()).passed
    assert checks.check_03_ex4(lambda x, y: right(x, y).reshape(1)).passed


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
    (lambda x, y: (x - y).square().mean(), "03_ex4.value"),
    (lambda x, y: "loss", "no_tensor"),
]


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
