"""Checks of notebook 02: reference answers pass, every known wrong answer gets its own hint."""

import inspect
import math

import numpy as np
import open_clip
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score
from test_checks import GARBAGE, assert_hint, raises
from torch import nn
from torch.nn import functional as F
from transformers import ViTMAEConfig, ViTMAEForPreTraining

from course_utils import checks
from course_utils.checks import CheckResult, classifiers, contrast
from course_utils.texts import catalog

ALL = [getattr(checks, f"check_02_ex{i}") for i in range(1, 6)]


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("check", ALL)
def test_garbage_is_never_right_and_never_raises(check, language, monkeypatch):
    monkeypatch.setenv("COURSE_LANG", language)
    for value in GARBAGE:
        result = check(value)
        assert isinstance(result, CheckResult)
        assert result.passed is False
        assert result.hint


@pytest.mark.parametrize("check", ALL)
def test_a_stub_is_told_apart_from_a_wrong_answer(check):
    assert_hint(check(None), "nothing")
    assert_hint(check(raises(NotImplementedError())), "nothing")
    assert_hint(check(lambda *arguments: None), "no_return")
    assert_hint(check(0.5), "no_function")
    assert "ValueError: odd" in check(raises(ValueError("odd"))).hint


@pytest.mark.parametrize("check", ALL)
def test_every_exercise_says_what_it_asks_for(check):
    assert "value: the function" in inspect.getdoc(check)
    assert "Source:" in inspect.getdoc(check)


def test_every_text_is_there_in_both_languages():
    keys = [key for key in catalog() if key.startswith("check.02_")]
    assert len(keys) > 40
    assert all(set(catalog()[key]) == {"en", "zh"} for key in keys)


# --- exercise 1: receptive field ------------------------------------------------------------------


def walked_field(kernels, strides):
    """Follow one unit back to the pixels that can reach it, the other way round."""
    low = high = 0
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        low, high = low * stride, high * stride + kernel - 1
    return high - low + 1


def test_the_first_stack_tells_all_mistakes_apart():
    stack = classifiers._STACKS[0]
    answers = {key.split()[0]: set() for key, _ in classifiers._field_mistakes(*stack)}
    for key, answer in classifiers._field_mistakes(*stack):
        answers[key.split()[0]].add(answer)
    every = [answer for some in answers.values() for answer in some]
    assert len(set(every) | {classifiers.field_width(*stack)}) == len(every) + 1


def test_the_right_field_passes_however_it_is_found():
    assert checks.check_02_ex1(classifiers.field_width).passed
    assert checks.check_02_ex1(walked_field).passed


def test_the_expected_field_is_where_a_gradient_of_torch_is_not_zero():
    for kernels, strides in classifiers._STACKS:
        pairs = zip(kernels, strides, strict=True)
        with torch.random.fork_rng(devices=[]):
            layers = [nn.Conv1d(1, 1, k, stride=s) for k, s in pairs]
        for layer in layers:
            nn.init.constant_(layer.weight, 1.0)
        x = torch.zeros(1, 1, 200, requires_grad=True)
        nn.Sequential(*layers)(x)[0, 0, 0].backward()
        assert int((x.grad != 0).sum()) == classifiers.field_width(kernels, strides)


def own_stride(kernels, strides):
    width, jump = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        jump *= stride
        width += (kernel - 1) * jump
    return width


@pytest.mark.parametrize(
    ("key", "function"),
    [
        ("one_less", lambda k, s: walked_field(k, s) - 1),
        ("no_stride", lambda k, s: 1 + sum(k) - len(k)),
        ("own_stride", own_stride),
        ("product", lambda k, s: math.prod(k)),
        ("sum", lambda k, s: sum(k)),
        ("reversed", lambda k, s: walked_field(k[::-1], s[::-1])),
        ("whole_kernel", lambda k, s: sum(a * math.prod(s[:i]) for i, a in enumerate(k))),
        (
            "last_stride",
            lambda k, s: 1 + sum((a - 1) * b for a, b in zip(k, [1, *s], strict=False)),
        ),
        ("value", lambda k, s: 1000),
    ],
)
def test_wrong_fields_are_recognized(key, function):
    assert_hint(checks.check_02_ex1(function), f"02_ex1.{key}")


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
    torch.testing.assert_close(classifiers.cut(x, 4), net.patchify(x))


def test_known_ways_to_mix_up_pixels_are_recognized():
    x = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    for key, wrong in classifiers._patch_mistakes(classifiers.cut(x, 2), x.shape):
        result = checks.check_02_ex2(lambda patches, patch, wrong=wrong: wrong)
        assert_hint(result, f"02_ex2.{key}")
    assert_hint(checks.check_02_ex2(lambda *_: torch.zeros(x.shape)), "02_ex2.value")
    assert_hint(checks.check_02_ex2(lambda *_: torch.zeros(2, 6, 6, 3)), "shape")


# --- exercise 3: the loss -------------------------------------------------------------------------


def reference_loss(image_features, text_features, logit_scale):
    rows = F.normalize(image_features, dim=-1), F.normalize(text_features, dim=-1)
    return open_clip.loss.ClipLoss()(*rows, torch.tensor(logit_scale))


def test_the_loss_of_open_clip_passes_also_as_a_number():
    assert checks.check_02_ex3(reference_loss).passed
    assert checks.check_02_ex3(lambda *given: reference_loss(*given).item()).passed


def test_known_wrong_losses_are_recognized_at_the_first_scale():
    captured = []
    checks.check_02_ex3(lambda f, g, scale: captured.append((f, g, scale)))
    f, g, scale = captured[0]
    mistakes = dict(contrast._loss_mistakes(f, g, scale))
    right = contrast.clip_loss(f, g, scale)
    values = torch.stack([right, *mistakes.values()])
    assert (torch.pdist(values[:, None]) > 3e-4).all()  # none can be taken for another
    for key, wrong in mistakes.items():
        assert_hint(checks.check_02_ex3(lambda *_, wrong=wrong: wrong), f"02_ex3.{key.split()[0]}")
    assert_hint(checks.check_02_ex3(lambda *_: 100.0), "02_ex3.value")


# --- exercise 4: weights --------------------------------------------------------------------------


def loop_weights(text_features, num_classes):
    rows = []
    for some in text_features.chunk(num_classes):
        mean = sum(row / row.norm() for row in some) / len(some)
        rows.append(mean / mean.norm())
    return torch.stack(rows)


def test_weights_from_a_loop_pass():
    assert checks.check_02_ex4(loop_weights).passed


def test_known_wrong_weights_are_recognized():
    captured = []
    checks.check_02_ex4(lambda raw, num_classes: captured.append(raw))
    for key, wrong in contrast._weight_mistakes(captured[0]):
        assert_hint(checks.check_02_ex4(lambda *_, wrong=wrong: wrong), f"02_ex4.{key.split()[0]}")
    assert_hint(checks.check_02_ex4(lambda raw, k: torch.ones(k, 5)), "02_ex4.value")
    assert_hint(checks.check_02_ex4(lambda raw, k: raw), "shape")


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
        ("accuracy", lambda c: (c.diagonal().sum() / c.sum()).item()),
        ("columns", lambda c: (c.diagonal() / c.sum(0)).nanmean().item()),
        ("nan", lambda c: (c.diagonal() / c.sum(1)).mean().item()),
        ("absent", lambda c: (c.diagonal() / c.sum(1).clamp(min=1)).mean().item()),
        ("percent", lambda c: 100 * without_absent(c)),
        ("f1", lambda c: (2 * c.diagonal() / (c.sum(0) + c.sum(1)).clamp(min=1)).mean().item()),
        ("total", lambda c: (c.diagonal() / c.sum(1)).nansum().item()),
        ("value", lambda c: 0.123),
    ],
)
def test_wrong_scores_are_recognized(key, function):
    assert_hint(checks.check_02_ex5(function), f"02_ex5.{key}")
