"""Checks of notebook 02 on models: what a ViT costs, the captioning loss, a training step."""

import math
import operator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

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
    run_for_two,
)

_VITS = ((48, 8, 20, 3), (30, 10, 12, 1), (224, 16, 768, 12))  # side, patch, d, layers
_PAD = 3  # not 0, so that a typed 0 is seen
_SENTENCES = (  # as tokens of a vocabulary of 11 words; pad may be read, but is never predicted
    ((1, 0, 0, 6, 2), (1, 2, 3, 3, 3)),
    ((3, 4, 5, 6, 7, 2), (1, 8, 2, 3, 3, 3), (1, 9, 10, 2, 3, 3)),
)
_NUM_WORDS = 11
_RATES = (0.5, 0.1)


def count_vit(side, patch, d, num_layers):
    """Count the multiplications, with their additions, of a ViT for one picture."""
    num_patches = (side // patch) ** 2
    num_tokens = num_patches + 1  # the class token is one
    embed = num_patches * 3 * patch**2 * d
    attend = 4 * num_tokens * d**2 + 2 * num_tokens**2 * d
    mlp = 8 * num_tokens * d**2
    return embed + num_layers * (attend + mlp)


def _cost_mistakes(side: int, patch: int, d: int, num_layers: int) -> Mistakes:
    patches = (side // patch) ** 2
    embed, n = patches * 3 * patch**2 * d, patches + 1

    def total(n: int, *, embed: int = embed, **parts: int) -> int:
        given = {"project": 4, "ask": 2, "mlp": 8} | parts
        layer = (given["project"] + given["mlp"]) * n * d**2 + given["ask"] * n**2 * d
        return embed + num_layers * layer

    right, weights = total(n), 3 * patch**2 * d + num_layers * 12 * d**2
    yield "doubled", 2 * right
    yield "class_token", total(patches)
    yield "embedded_token", total(n, embed=n * 3 * patch**2 * d)
    yield "no_embedding", total(n, embed=0)
    yield "gray", total(n, embed=embed // 3)
    yield "no_attention", total(n, ask=0)
    yield "one_product", total(n, ask=1)
    yield "projections", *(total(n, project=k) for k in (1, 2, 3))
    yield "mlp", *(total(n, mlp=k) for k in (0, 1, 2, 4))
    if num_layers > 1:
        yield "one_layer", (right - embed) // num_layers + embed, (right - embed) // num_layers
        yield "whole_repeated", total(n, embed=num_layers * embed)
    along = side // patch
    short = along * 3 * patch**2 * d
    yield "not_squared", total(along + 1, embed=short), total(along + 1), total(along, embed=short)
    yield "weights", weights, weights + num_layers * 9 * d
    yield "millions", right / 1e6, right / 1e9
    linear = embed + num_layers * 12 * n * d**2
    yield "not_quadratic", *(linear + num_layers * 2 * n * each for each in (d, 1))


@check(count_vit)
def check_02_ex6(value: Any) -> Any:
    """Check ``count_vit(side, patch, d, num_layers) -> int``, the work of a ViT for one picture.

    P · 3 patch² · d for P = (side / patch)² patches, and in each layer 12 n d² + 2 n² d with n = P
    + 1 tokens: a multiplication and its addition count as one.

    Args:
        value: the function of four whole numbers.

    Source:
        Dosovitskiy et al. 2020 (arXiv:2010.11929), section 3.1, for the parts.
    """

    def say(answer: float, right: int, *vit: int) -> dict[str, object]:
        return {"answer": f"{answer:,.0f}", "right": f"{right:,}", "vit": vit}

    options = {"same": operator.eq, "say": say}
    return compare(value, _VITS, count_vit, _cost_mistakes, **options)


def caption_loss(logits, tokens, pad):
    """Compute how surprised a writer is by each next word."""
    logits, words = logits[:, :-1], tokens[:, 1:]
    chances = logits.log_softmax(dim=2)
    own = chances.gather(2, words[:, :, None])[:, :, 0]
    return -own[words != pad].mean()


def _caption_mistakes(logits: Tensor, tokens: Tensor, pad: int) -> Mistakes:
    def surprise(scores: Tensor, words: Tensor) -> Tensor:
        return F.cross_entropy(scores.mT, words, reduction="none")

    words = tokens[:, 1:]
    each, counts = surprise(logits[:, :-1], words), words != pad
    same, back = surprise(logits, tokens), surprise(logits[:, 1:], tokens[:, :-1])
    right, kept = each[counts].mean(), each * counts
    yield "no_shift", same[tokens != pad].mean(), same.mean()
    yield "backward", back[tokens[:, :-1] != pad].mean(), back[counts].mean(), back.mean()
    yield "padded", each.mean()
    yield "divided_by_all", kept.mean(), kept.sum() / tokens.numel()
    yield "read_pad", each[tokens[:, :-1] != pad].mean()
    yield "zero_pad", each[words != 0].mean()
    yield "by_sentence", (kept.sum(1) / counts.sum(1)).mean()
    yield "summed", kept.sum(), kept.sum(1).mean()
    yield "sign", -right
    shares = logits[:, :-1].softmax(dim=2)
    own = shares.gather(2, words[:, :, None])[:, :, 0]
    yield "no_log", (1 - own)[counts].mean(), own[counts].mean(), -own[counts].mean()
    yield "softmax_twice", surprise(shares, words)[counts].mean()
    over_positions = logits[:, :-1].log_softmax(dim=1).gather(2, words[:, :, None])[:, :, 0]
    yield "positions", -over_positions[counts].mean()
    yield "bits", right / math.log(2), right / math.log(10)
    yield "perplexity", right.exp()


@check(caption_loss)
def check_02_ex7(value: Any) -> Any:
    """Check ``caption_loss(logits, tokens, pad)``: cross-entropy of every next word.

    Position l predicts the word at l + 1; words that are `pad` are left out, and the mean is over
    all others of the batch.

    Args:
        value: the function; logits are float (n, l, v), tokens int64 (n, l), pad is an int.

    Source:
        Yu et al. 2022 (arXiv:2205.01917), equation 3, over the words as its authors average.
    """

    def read(answer: Any, _: Tensor) -> Tensor:
        shape = tuple(as_tensor(answer).shape)
        if shape not in ((), (1,)):
            raise Hint("no_scalar", shape=shape)
        return read_tensor(answer, (), (1,)).reshape(())

    generator, cases = torch.Generator().manual_seed(3), []
    for sentences in _SENTENCES:
        tokens = torch.tensor(sentences)
        logits = 2 * torch.randn(*tokens.shape, _NUM_WORDS, generator=generator)
        cases.append((logits, tokens, _PAD))
    return compare(value, cases, caption_loss, _caption_mistakes, read=read)


def training_step(weight, bias, x, label, learning_rate):
    """Move a linear classifier a little, to where it is less surprised."""
    p = (weight @ x + bias).softmax(dim=0)
    push = p.clone()
    push[label] -= 1
    return weight - learning_rate * push[:, None] * x, bias - learning_rate * push


def _step_mistakes(
    weight: Tensor, bias: Tensor, x: Tensor, label: int, rate: float
) -> tuple[Mistakes, Mistakes]:
    """List wrong weights and wrong biases."""
    z = weight @ x + bias
    p, truth = z.softmax(dim=0), F.one_hot(torch.tensor(label), len(z))
    push, no_bias = p - truth, (weight @ x).softmax(dim=0) - truth
    ways = [
        ("uphill", -push),
        ("not_minus_one", p),
        ("only_own", push * truth),
        ("only_others", p * (1 - truth)),
        ("scores", z - truth),
        ("sigmoid", z.sigmoid() - truth),
        ("no_bias", no_bias),
        ("mean", push / len(z)),
        ("no_rate", push / rate),
        ("zeros", torch.zeros_like(push)),
    ]
    moved = [(key, weight - rate * each[:, None] * x, bias - rate * each) for key, each in ways]
    weights = [("gradient", push[:, None] * x, rate * push[:, None] * x)]
    weights += [(key, wrong) for key, wrong, _ in moved]
    weights += [("no_x", weight - rate * push[:, None] * torch.ones_like(x))]
    biases = [("gradient", push, rate * push), ("bias_still", bias)]
    return weights, biases + [(key, wrong) for key, _, wrong in moved]


@check(training_step)
def check_02_ex8(value: Any) -> Any:
    """Check ``training_step(weight, bias, x, label, learning_rate) -> (weight, bias)``.

    With p = softmax(W x + b) and e = p, less 1 at the label: W - learning_rate · e xᵀ and b -
    learning_rate · e.

    Args:
        value: the function; weight is a float tensor (k, d), bias (k,), x (d,), label an int.

    Source:
        Bishop 2006, "Pattern recognition and machine learning", equation 4.109.
    """
    generator, kept = torch.Generator().manual_seed(4), []
    for label, rate in zip((1, 3), _RATES, strict=True):
        weight, bias, x = (torch.randn(*s, generator=generator) for s in ((4, 6), (4,), (6,)))
        case = weight, bias, x, label, rate
        answer, right = run_for_two(value, *case, again=bool(kept)), training_step(*case)
        kept.append((answer, right))
        shapes = [tuple(as_tensor(part).shape) for part in answer]
        if shapes == [(4,), (4, 6)]:
            raise Hint("order")
        found = read_tensor(answer[0], (4, 6)), read_tensor(answer[1], (4,))
        for part, one, wrong, otherwise in zip(
            found, right, _step_mistakes(*case), ("weight_value", "bias_value"), strict=True
        ):
            judge(part, one, wrong, same=is_close, otherwise=otherwise, label=label)
    return as_asked(value, kept)
