"""Checks of notebook 02: reference answers pass, every known wrong answer gets its own hint."""

import math

import numpy as np
import open_clip
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score
from test_checks import assert_hint
from torch import nn
from torch.nn import functional as F
from transformers import ViTMAEConfig, ViTMAEForPreTraining

from course_utils import checks
from course_utils.checks import notebook_02

# --- exercise 1: receptive field ------------------------------------------------------------------


def walked_field(kernels, strides):
    """Follow one unit back to the pixels that can reach it, the other way round."""
    low = high = 0
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        low, high = low * stride, high * stride + kernel - 1
    return high - low + 1


def test_the_first_stack_tells_all_mistakes_apart():
    stack = notebook_02._STACKS[0]
    told = notebook_02._field_mistakes(*stack)
    every = [answer for _, *answers in told for answer in set(answers)]
    assert len(set(every) | {notebook_02.receptive_field(*stack)}) == len(every) + 1


def test_the_right_field_passes_however_it_is_found():
    assert checks.check_02_ex1(notebook_02.receptive_field).passed
    assert checks.check_02_ex1(walked_field).passed


def test_the_expected_field_is_where_a_gradient_of_torch_is_not_zero():
    for kernels, strides in notebook_02._STACKS:
        pairs = zip(kernels, strides, strict=True)
        with torch.random.fork_rng(devices=[]):
            layers = [nn.Conv1d(1, 1, k, stride=s) for k, s in pairs]
        for layer in layers:
            nn.init.constant_(layer.weight, 1.0)
        x = torch.zeros(1, 1, 200, requires_grad=True)
        nn.Sequential(*layers)(x)[0, 0, 0].backward()
        assert int((x.grad != 0).sum()) == notebook_02.receptive_field(kernels, strides)


def own_stride(kernels, strides):
    width, jump = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        jump *= stride
        width += (kernel - 1) * jump
    return width


@pytest.mark.parametrize(
    ("key", "function"),
    [
        ("02_ex1.one_less", lambda k, s: walked_field(k, s) - 1),
        ("02_ex1.no_stride", lambda k, s: 1 + sum(k) - len(k)),
        ("02_ex1.own_stride", own_stride),
        ("02_ex1.product", lambda k, s: math.prod(k)),
        ("02_ex1.sum", lambda k, s: sum(k)),
        ("02_ex1.reversed", lambda k, s: walked_field(k[::-1], s[::-1])),
        ("02_ex1.whole_kernel", lambda k, s: sum(a * math.prod(s[:i]) for i, a in enumerate(k))),
        (
            "02_ex1.last_stride",
            lambda k, s: 1 + sum((a - 1) * b for a, b in zip(k, [1, *s], strict=False)),
        ),
        ("02_ex1.value", lambda k, s: 1000),
    ],
)
def test_wrong_fields_are_recognized(key, function):
    assert_hint(checks.check_02_ex1(function), key)


# --- exercise 2: patches --------------------------------------------------------------------------


def unpatchify(patches, patch):
    """Put every patch where it belongs, in a loop."""
    side = math.isqrt(patches.shape[1])
    x = torch.empty(len(patches), 3, side * patch, side * patch)
    for index in range(side * side):
        row, column = divmod(index, side)
        piece = patches[:, index].reshape(-1, patch, patch, 3).permute(0, 3, 1, 2)
        rows, columns = (slice(i * patch, (i + 1) * patch) for i in (row, column))
        x[:, :, rows, columns] = piece
    return x


def test_patches_put_back_one_by_one_are_right():
    assert checks.check_02_ex2(unpatchify).passed


def test_the_patches_of_the_exercise_are_those_of_the_library():
    x = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    settings = {"image_size": 12, "patch_size": 4, "hidden_size": 8, "num_hidden_layers": 1}
    settings |= {"num_attention_heads": 2, "intermediate_size": 8, "decoder_hidden_size": 8}
    with torch.random.fork_rng(devices=[]):
        net = ViTMAEForPreTraining(ViTMAEConfig(**settings, decoder_num_attention_heads=2))
    torch.testing.assert_close(notebook_02.cut(x, 4), net.patchify(x))


def rearranged(order):
    """Split patches of 2 x 2 pixels in a 3 x 3 grid, and put their axes into another order."""

    def function(patches, patch):
        pieces = patches.reshape(len(patches), 3, 3, patch, patch, 3)
        return pieces.permute(order).reshape(len(patches), 3, 6, 6)

    return function


def colors_first(patches, patch):
    pieces = patches.reshape(len(patches), 3, 3, 3, patch, patch)
    return pieces.permute(0, 3, 1, 4, 2, 5).reshape(len(patches), 3, 6, 6)


@pytest.mark.parametrize(
    ("key", "function"),
    [
        ("02_ex2.reshape", lambda patches, patch: patches.reshape(-1, 3, 6, 6)),
        ("02_ex2.by_column", rearranged((0, 5, 2, 3, 1, 4))),
        ("02_ex2.inside", rearranged((0, 5, 1, 4, 2, 3))),
        ("02_ex2.mirrored", lambda *given: unpatchify(*given).mT),
        ("02_ex2.not_interleaved", rearranged((0, 5, 1, 2, 3, 4))),
        ("02_ex2.colors_first", colors_first),
        ("02_ex2.value", lambda patches, patch: torch.zeros(2, 3, 6, 6)),
        ("shape", lambda patches, patch: torch.zeros(2, 6, 6, 3)),
    ],
)
def test_known_ways_to_mix_up_pixels_are_recognized(key, function):
    assert rearranged((0, 5, 1, 3, 2, 4))(torch.zeros(2, 9, 12), 2).shape == (2, 3, 6, 6)
    assert_hint(checks.check_02_ex2(function), key)


# --- exercise 3: the loss -------------------------------------------------------------------------


def reference_loss(image_features, text_features, logit_scale):
    rows = F.normalize(image_features, dim=-1), F.normalize(text_features, dim=-1)
    return open_clip.loss.ClipLoss()(*rows, torch.tensor(logit_scale))


def test_the_loss_of_open_clip_passes_also_as_a_number():
    assert checks.check_02_ex3(reference_loss).passed
    assert checks.check_02_ex3(lambda *given: reference_loss(*given).item()).passed


def scores(f, g, scale):
    return scale * F.normalize(f, dim=1) @ F.normalize(g, dim=1).T


def to_own(logits):
    return F.cross_entropy(logits, torch.arange(len(logits)))


def both(logits):
    return (to_own(logits) + to_own(logits.T)) / 2


@pytest.mark.parametrize(
    ("key", "function"),
    [
        ("02_ex3.one_way", lambda f, g, s: to_own(scores(f, g, s))),
        ("02_ex3.one_way", lambda f, g, s: to_own(scores(g, f, s))),
        ("02_ex3.not_halved", lambda f, g, s: 2 * both(scores(f, g, s))),
        ("02_ex3.not_unit", lambda f, g, s: both(s * f @ g.T)),
        ("02_ex3.not_unit", lambda f, g, s: both(s * F.normalize(f, dim=1) @ g.T)),
        (
            "02_ex3.columns",
            lambda f, g, s: both(s * F.normalize(f, dim=0) @ F.normalize(g, dim=0).T),
        ),
        ("02_ex3.whole", lambda f, g, s: both(s * (f / f.norm()) @ (g / g.norm()).T)),
        ("02_ex3.no_scale", lambda f, g, s: both(scores(f, g, 1))),
        ("02_ex3.divided", lambda f, g, s: both(scores(f, g, 1 / s))),
        ("02_ex3.exponentiated", lambda f, g, s: both(scores(f, g, math.exp(s)))),
        ("02_ex3.summed", lambda f, g, s: len(f) * both(scores(f, g, s))),
        ("02_ex3.sign", lambda f, g, s: -both(scores(f, g, s))),
        ("02_ex3.softmax_twice", lambda f, g, s: both(scores(f, g, s).softmax(dim=1))),
        ("02_ex3.value", lambda f, g, s: 100.0),
    ],
)
def test_known_wrong_losses_are_recognized(key, function):
    assert_hint(checks.check_02_ex3(function), key)


def test_no_known_wrong_loss_can_be_taken_for_the_right_one():
    captured = []
    checks.check_02_ex3(lambda *given: captured.append(given))
    right = notebook_02.clip_loss(*captured[0])
    for key, *wrong in notebook_02._loss_mistakes(*captured[0]):
        assert all(abs(loss - right) > 1e-3 for loss in wrong), key


# --- exercise 4: weights --------------------------------------------------------------------------


def loop_weights(text_features, num_classes):
    rows = []
    for some in text_features.chunk(num_classes):
        mean = sum(row / row.norm() for row in some) / len(some)
        rows.append(mean / mean.norm())
    return torch.stack(rows)


def test_weights_from_a_loop_pass():
    assert checks.check_02_ex4(loop_weights).passed


def by_class(rows, num_classes):
    return rows.unflatten(0, (num_classes, -1))


def unit(rows):
    return F.normalize(rows, dim=-1)


@pytest.mark.parametrize(
    ("key", "function"),
    [
        ("02_ex4.not_unit_after", lambda raw, k: by_class(unit(raw), k).mean(dim=1)),
        ("02_ex4.summed", lambda raw, k: by_class(unit(raw), k).sum(dim=1)),
        ("02_ex4.not_unit_before", lambda raw, k: unit(by_class(raw, k).mean(dim=1))),
        ("02_ex4.neither", lambda raw, k: by_class(raw, k).mean(dim=1)),
        ("02_ex4.order", lambda raw, k: unit(unit(raw).reshape(-1, k, 5).mean(dim=0))),
        ("02_ex4.columns", lambda raw, k: F.normalize(by_class(unit(raw), k).mean(1), dim=0)),
        ("02_ex4.whole", lambda raw, k: (m := by_class(unit(raw), k).mean(1)) / m.norm()),
        ("02_ex4.first", lambda raw, k: unit(by_class(raw, k)[:, 0])),
        ("02_ex4.median", lambda raw, k: unit(by_class(unit(raw), k).median(dim=1).values)),
        ("02_ex4.value", lambda raw, k: torch.ones(k, 5)),
        ("shape", lambda raw, k: raw),
    ],
)
def test_known_wrong_weights_are_recognized(key, function):
    assert_hint(checks.check_02_ex4(function), key)


# --- exercise 5: balanced accuracy ----------------------------------------------------------------


def by_sklearn(confusion):
    pairs = [(i, j) for (i, j), n in np.ndenumerate(confusion.numpy()) for _ in range(n)]
    truth, answers = zip(*pairs, strict=True)
    labels = sorted(set(truth))
    recalls = [np.mean([a == t for t, a in pairs if t == k]) for k in labels]
    assert math.isclose(np.mean(recalls), balanced_accuracy_score(truth, answers))
    return float(np.mean(recalls))


def without_absent(confusion):
    hits, rows = confusion.diagonal(), confusion.sum(1)
    return (hits / rows).nanmean().item()


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_balanced_accuracy_by_sklearn_passes():
    assert checks.check_02_ex5(by_sklearn).passed
    assert checks.check_02_ex5(without_absent).passed


@pytest.mark.parametrize(
    ("key", "function"),
    [
        ("02_ex5.accuracy", lambda c: (c.diagonal().sum() / c.sum()).item()),
        ("02_ex5.columns", lambda c: (c.diagonal() / c.sum(0)).nanmean().item()),
        ("02_ex5.nan", lambda c: (c.diagonal() / c.sum(1)).mean().item()),
        ("02_ex5.absent", lambda c: (c.diagonal() / c.sum(1).clamp(min=1)).mean().item()),
        ("02_ex5.percent", lambda c: 100 * without_absent(c)),
        (
            "02_ex5.f1",
            lambda c: (2 * c.diagonal() / (c.sum(0) + c.sum(1)).clamp(min=1)).mean().item(),
        ),
        ("02_ex5.total", lambda c: (c.diagonal() / c.sum(1)).nansum().item()),
        ("02_ex5.value", lambda c: 0.123),
    ],
)
def test_wrong_scores_are_recognized(key, function):
    assert_hint(checks.check_02_ex5(function), key)
