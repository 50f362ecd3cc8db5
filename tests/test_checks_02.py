"""Checks of notebook 02: reference answers pass, every known wrong answer gets its own hint."""

import inspect
import math

import numpy as np
import open_clip
import pytest
import timm
import torch
from sklearn.metrics import balanced_accuracy_score
from test_checks import assert_hint
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from transformers import ViTMAEConfig, ViTMAEForPreTraining

from course_utils import checks
from course_utils.checks import notebook_02, notebook_02_models

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
    """Split patches in a square grid, and put their axes into another order."""

    def function(patches, patch):
        n, grid = len(patches), math.isqrt(patches.shape[1])
        pieces = patches.reshape(n, grid, grid, patch, patch, 3)
        return pieces.permute(order).reshape(n, 3, grid * patch, grid * patch)

    return function


def colors_first(patches, patch):
    pieces = patches.reshape(len(patches), 3, 3, 3, patch, patch)
    return pieces.permute(0, 3, 1, 4, 2, 5).reshape(len(patches), 3, 6, 6)


def by_numpy(patches, patch):
    """Turn the pieces twice about, so that strides are negative, and leave an array."""
    x = unpatchify(patches, patch).numpy()
    x = np.flip(np.flip(x, (2, 3)).copy(), (2, 3))
    x.flags.writeable = False
    return x


def patchify(x, patch):
    """Cut images as the notebook shows, which is the way there."""
    grid = x.unflatten(3, (-1, patch)).unflatten(2, (-1, patch))
    return grid.permute(0, 2, 4, 3, 5, 1).flatten(1, 2).flatten(2)


def patchify_in_a_loop(x, patch):
    rows = [
        x[:, :, i : i + patch, j : j + patch].permute(0, 2, 3, 1).flatten(1)
        for i in range(0, x.shape[2], patch)
        for j in range(0, x.shape[3], patch)
    ]
    return torch.stack(rows, dim=1).numpy()


def test_what_the_text_asks_for_is_what_the_check_tests():
    assert checks.check_02_ex2.solution.__name__ == "unpatchify"
    assert list(inspect.signature(checks.check_02_ex2.solution).parameters) == ["patches", "patch"]
    assert checks.check_02_ex2(rearranged((0, 5, 1, 3, 2, 4))).passed
    assert checks.check_02_ex2(by_numpy).passed


@pytest.mark.parametrize("inverse", [patchify, patchify_in_a_loop])
def test_the_inverse_is_told(inverse):
    assert_hint(checks.check_02_ex2(inverse), "02_ex2.inverse")


def test_what_an_array_answers_is_a_tensor_for_the_cells_that_follow(capsys):
    used = checks.check_02_ex2(by_numpy).use
    patches = patchify(torch.arange(384.0).reshape(2, 3, 8, 8), 4)
    torch.testing.assert_close(used(patches, 4), unpatchify(patches, 4))
    torch.testing.assert_close(used(patches, patch=4), unpatchify(patches, 4))


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
        ("raised", lambda patches, patch: rearranged((0, 5, 1, 3, 2, 4))(patches, 2)),
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


def test_a_loss_that_is_a_number_is_a_tensor_for_the_cells_that_follow(capsys):
    used = checks.check_02_ex3(lambda *given: reference_loss(*given).item()).use
    f, g = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(used(f, g, 2.0), reference_loss(f, g, 2.0))
    used = checks.check_02_ex3(lambda *given: reference_loss(*given).double()[None]).use
    assert f"{used(f, g, 2.0):.2f}" == f"{reference_loss(f, g, 2.0):.2f}"
    assert used(f, g, 2.0).dtype == torch.float32


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
    assert checks.check_02_ex4(lambda *given: [*loop_weights(*given).numpy()]).passed
    assert checks.check_02_ex4(lambda *given: loop_weights(*given).double().tolist()).passed


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
        ("shape", lambda raw, k: loop_weights(raw, 3)),
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
    assert checks.check_02_ex5(lambda c: np.float64(without_absent(c))).passed


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
        ("02_ex5.maximum", lambda c: (c.max(1).values / c.sum(1)).nanmean().item()),
        ("02_ex5.maximum", lambda c: np.nanmean(np.max(c.numpy(), 1) / c.numpy().sum(1))),
        ("02_ex5.nan", lambda c: np.float64((c.diagonal() / c.sum(1)).mean())),
        ("02_ex5.value", lambda c: 0.123),
    ],
)
def test_wrong_scores_are_recognized(key, function):
    assert_hint(checks.check_02_ex5(function), key)


# --- exercise 6: what a ViT costs -----------------------------------------------------------------


def count_layer_by_layer(side, patch, d, num_layers):
    """Count the products of matrices one by one, as m · k · n each."""
    along = side / patch
    sizes = [(along**2, 3 * patch * patch, d)]
    n = along**2 + 1
    for _ in range(num_layers):
        sizes += [(n, d, 3 * d), (n, d, n), (n, n, d), (n, d, d), (n, d, 4 * d), (n, 4 * d, d)]
    return sum(math.prod(size) for size in sizes)


def layers(
    side, patch, d, num_layers, *, class_token=1, project=4, ask=2, mlp=8, embed=1, colors=3
):
    """Build a count, right or wrong in one of its parts."""
    patches = (side // patch) ** 2
    n = patches + class_token
    layer = (project + mlp) * n * d * d + ask * n * n * d
    return embed * patches * colors * patch * patch * d + num_layers * layer


def wrong_vit(**parts):
    return lambda *vit: layers(*vit, **parts)


def test_the_count_is_half_of_what_the_library_counts():
    for side, patch, d, depth in ((64, 8, 128, 4), (48, 16, 64, 2)):
        with torch.device("meta"):
            net = timm.models.VisionTransformer(
                img_size=side,
                patch_size=patch,
                embed_dim=d,
                depth=depth,
                num_heads=4,
                num_classes=0,
            ).eval()
            x = torch.empty(1, 3, side, side)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            net(x)
        assert counter.get_total_flops() == 2 * notebook_02_models.count_vit(side, patch, d, depth)


def test_the_right_count_passes_however_it_is_counted(capsys):
    assert checks.check_02_ex6(layers).passed
    assert checks.check_02_ex6(count_layer_by_layer).passed
    assert checks.check_02_ex6(lambda *vit: np.int64(layers(*vit))).passed
    used = checks.check_02_ex6(lambda *vit: torch.tensor(layers(*vit))).use
    assert used(64, 8, 128, 4) == 57_017_344
    assert type(used(64, 8, 128, 4)) is int


@pytest.mark.parametrize(
    ("key", "function"),
    [
        ("02_ex6.doubled", lambda *vit: 2 * layers(*vit)),
        ("02_ex6.class_token", wrong_vit(class_token=0)),
        ("02_ex6.no_embedding", wrong_vit(embed=0)),
        ("02_ex6.gray", wrong_vit(colors=1)),
        ("02_ex6.no_attention", wrong_vit(ask=0)),
        ("02_ex6.one_product", wrong_vit(ask=1)),
        ("02_ex6.projections", wrong_vit(project=3)),
        ("02_ex6.mlp", wrong_vit(mlp=4)),
        ("02_ex6.mlp", wrong_vit(mlp=2)),
        ("02_ex6.one_layer", lambda side, patch, d, num: layers(side, patch, d, 1)),
        ("02_ex6.whole_repeated", lambda *vit: vit[3] * layers(*vit[:3], 1)),
        ("02_ex6.millions", lambda *vit: layers(*vit) / 1e9),
        ("02_ex6.weights", lambda s, p, d, num: 3 * p * p * d + num * 12 * d * d),
        (
            "02_ex6.embedded_token",
            lambda s, p, d, num: layers(s, p, d, num) + 3 * p * p * d,
        ),
        (
            "02_ex6.not_quadratic",
            lambda s, p, d, num: layers(s, p, d, num, ask=0) + num * 2 * ((s // p) ** 2 + 1) * d,
        ),
        (
            "02_ex6.not_squared",
            lambda s, p, d, num: (
                layers(p * round((s // p) ** 0.5), p, d, num)
                if (s // p) ** 0.5 % 1 == 0
                else s // p * 3 * p * p * d
                + num * 12 * (s // p + 1) * d * d
                + num * 2 * (s // p + 1) ** 2 * d
            ),
        ),
        ("02_ex6.value", lambda *vit: 1000),
        ("no_number", lambda *vit: "57 million"),
    ],
)
def test_wrong_counts_are_recognized(key, function):
    assert_hint(checks.check_02_ex6(function), key)


# --- exercise 7: captions -------------------------------------------------------------------------


def by_open_clip(logits, tokens, pad):
    loss = open_clip.loss.CoCaLoss(caption_loss_weight=1.0, clip_loss_weight=0.0, pad_id=pad)
    return loss(None, None, logits[:, :-1], tokens[:, 1:], 1.0)[1]


def word_by_word(logits, tokens, pad):
    """Add up in Python."""
    surprises = []
    for scores, sentence in zip(logits.tolist(), tokens.tolist(), strict=True):
        for each, word in zip(scores[:-1], sentence[1:], strict=True):
            if word != pad:
                total = sum(math.exp(score) for score in each)
                surprises.append(math.log(total) - each[word])
    return sum(surprises) / len(surprises)


def each_word(logits, tokens):
    return F.cross_entropy(logits.transpose(1, 2), tokens, reduction="none")


def next_words(logits, tokens):
    return each_word(logits[:, :-1], tokens[:, 1:])


def test_the_right_captioning_loss_passes(capsys):
    assert checks.check_02_ex7(by_open_clip).passed
    assert checks.check_02_ex7(word_by_word).passed
    assert isinstance(
        checks.check_02_ex7(word_by_word).use(torch.zeros(1, 2, 4), torch.ones(1, 2).long(), 0),
        torch.Tensor,
    )


def masked_mean(values, counts):
    return values[counts].mean()


@pytest.mark.parametrize(
    ("key", "function"),
    [
        ("02_ex7.no_shift", lambda z, w, pad: masked_mean(each_word(z, w), w != pad)),
        ("02_ex7.no_shift", lambda z, w, pad: each_word(z, w).mean()),
        (
            "02_ex7.backward",
            lambda z, w, pad: masked_mean(each_word(z[:, 1:], w[:, :-1]), w[:, :-1] != pad),
        ),
        ("02_ex7.padded", lambda z, w, pad: next_words(z, w).mean()),
        (
            "02_ex7.divided_by_all",
            lambda z, w, pad: (next_words(z, w) * (w[:, 1:] != pad)).mean(),
        ),
        ("02_ex7.read_pad", lambda z, w, pad: masked_mean(next_words(z, w), w[:, :-1] != pad)),
        ("02_ex7.zero_pad", lambda z, w, pad: by_open_clip(z, w, 0)),
        (
            "02_ex7.by_sentence",
            lambda z, w, pad: torch.stack(
                [masked_mean(*pair) for pair in zip(next_words(z, w), w[:, 1:] != pad, strict=True)]
            ).mean(),
        ),
        ("02_ex7.summed", lambda z, w, pad: next_words(z, w)[w[:, 1:] != pad].sum()),
        ("02_ex7.sign", lambda z, w, pad: -by_open_clip(z, w, pad)),
        ("02_ex7.softmax_twice", lambda z, w, pad: by_open_clip(z.softmax(2), w, pad)),
        (
            "02_ex7.no_log",
            lambda z, w, pad: masked_mean((-next_words(z, w)).exp(), w[:, 1:] != pad),
        ),
        (
            "02_ex7.positions",
            lambda z, w, pad: F.nll_loss(
                z[:, :-1].log_softmax(1).transpose(1, 2), w[:, 1:], ignore_index=pad
            ),
        ),
        ("02_ex7.bits", lambda z, w, pad: by_open_clip(z, w, pad) / math.log(2)),
        ("02_ex7.perplexity", lambda z, w, pad: by_open_clip(z, w, pad).exp()),
        ("02_ex7.no_scalar", lambda z, w, pad: next_words(z, w)),
        ("02_ex7.value", lambda z, w, pad: 100.0),
    ],
)
def test_wrong_captioning_losses_are_recognized(key, function):
    assert_hint(checks.check_02_ex7(function), key)


# --- exercise 8: a training step ------------------------------------------------------------------


def by_autograd(weight, bias, x, label, learning_rate):
    layer = nn.utils.skip_init(nn.Linear, *weight.T.shape)
    layer.load_state_dict({"weight": weight, "bias": bias})
    optimizer = torch.optim.SGD(layer.parameters(), lr=learning_rate)
    F.cross_entropy(layer(x[None]), torch.tensor([label])).backward()
    optimizer.step()
    return layer.weight, layer.bias


def class_by_class(weight, bias, x, label, learning_rate):
    z = [float(row @ x + b) for row, b in zip(weight, bias, strict=True)]
    total = sum(math.exp(score) for score in z)
    rows, shifts = [], []
    for k, score in enumerate(z):
        push = math.exp(score) / total - (k == label)
        rows.append((weight[k] - learning_rate * push * x).numpy())
        shifts.append(float(bias[k]) - learning_rate * push)
    return rows, shifts


def step(*, error=lambda p, y, z: p - y, sign=-1, rate=lambda r: r, of_bias=1, with_bias=1):
    """Build a step, right or wrong in one of its parts."""

    def function(weight, bias, x, label, learning_rate):
        z = weight @ x + with_bias * bias
        push = error(z.softmax(0), F.one_hot(torch.tensor(label), len(z)), z)
        move = sign * rate(learning_rate)
        return weight + move * torch.outer(push, x), bias + of_bias * move * push

    return function


def without_x(weight, bias, x, label, learning_rate):
    _, moved = step()(weight, bias, x, label, learning_rate)
    return weight + (moved - bias)[:, None], moved


def in_place(weight, bias, x, label, learning_rate):
    weight -= 1
    return weight, bias


def test_the_right_step_passes_and_gives_tensors(capsys):
    assert checks.check_02_ex8(step()).passed
    assert checks.check_02_ex8(by_autograd).passed
    used = checks.check_02_ex8(class_by_class).use
    given = torch.ones(3, 2), torch.zeros(3), torch.tensor([1.0, 2.0]), 2, 0.1
    for part, right in zip(used(*given), by_autograd(*given), strict=True):
        torch.testing.assert_close(part, right.detach())


@pytest.mark.parametrize(
    ("key", "function"),
    [
        ("02_ex8.uphill", step(sign=1)),
        ("02_ex8.not_minus_one", step(error=lambda p, y, z: p)),
        ("02_ex8.only_own", step(error=lambda p, y, z: (p - y) * y)),
        ("02_ex8.only_others", step(error=lambda p, y, z: p * (1 - y))),
        ("02_ex8.scores", step(error=lambda p, y, z: z - y)),
        ("02_ex8.sigmoid", step(error=lambda p, y, z: z.sigmoid() - y)),
        ("02_ex8.no_bias", step(with_bias=0)),
        ("02_ex8.mean", step(error=lambda p, y, z: (p - y) / len(z))),
        ("02_ex8.no_rate", step(rate=lambda r: 1)),
        ("02_ex8.zeros", lambda weight, bias, *_: (weight, bias)),
        ("02_ex8.no_x", without_x),
        ("02_ex8.bias_still", step(of_bias=0)),
        ("02_ex8.bias_value", step(of_bias=3)),
        ("02_ex8.weight_value", lambda weight, bias, *_: (3 * weight, bias)),
        ("02_ex8.order", lambda *given: step()(*given)[::-1]),
        ("02_ex8.pair", lambda *given: step()(*given)[0]),
        (
            "02_ex8.gradient",
            lambda w, b, *rest: [a - c for a, c in zip((w, b), step()(w, b, *rest), strict=True)],
        ),
        ("in_place", in_place),
    ],
)
def test_wrong_steps_are_recognized(key, function):
    assert_hint(checks.check_02_ex8(function), key)
