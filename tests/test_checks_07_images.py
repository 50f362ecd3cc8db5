"""Checks of notebook 07 on images: right answers pass, every known wrong one gets its own hint."""

import functools
import math

import numpy as np
import pandas as pd
import pytest
import torch
from test_checks import assert_hint
from torch.nn import functional as F

from course_utils import checks
from course_utils.checks.notebook_07_images import (
    _class_gain_mistakes,
    _make_drawn,
    _make_predictions,
    _soft_mistakes,
)

# --- 3: a batch with a fixed share ---------------------------------------------------------------


def pick(rows, num, generator):
    return rows[torch.randint(len(rows), (num,), generator=generator)]


def deal(rows, num, generator):
    """Go through shuffled rows, again and again."""
    turns = [torch.randperm(len(rows), generator=generator) for _ in range(1 + num // len(rows))]
    return rows[torch.cat(turns)[:num]]


def batch(real, made, size, share, generator, *, take=pick, count=lambda x, size: round(x)):
    num = count(size * share, size)
    return torch.cat([take(real, num, generator), take(made, size - num, generator)])


def with_(**options):
    return lambda *case: batch(*case, **options)


def test_right_batches_pass_with_and_without_replacement_and_in_any_order():
    def shuffled(*case):
        found = batch(*case)
        return found[torch.randperm(len(found), generator=case[-1])]

    def weighted(real, made, size, share, generator):
        num = round(size * share)
        rows = [
            rows[torch.multinomial(torch.ones(len(rows)), num, True, generator=generator)]
            for rows, num in ((made, size - num), (real, num))
            if num
        ]
        return torch.cat(rows)

    assert checks.check_07_ex3(batch).passed
    assert checks.check_07_ex3(with_(take=deal)).passed
    assert checks.check_07_ex3(shuffled).passed
    assert checks.check_07_ex3(weighted).passed
    assert checks.check_07_ex3(lambda *case: batch(*case).tolist()).passed


def permuted(rows, num, generator):
    return rows[torch.randperm(len(rows), generator=generator)[:num]]


def coin(real, made, size, share, generator):
    is_real = torch.rand(size, generator=generator) < share
    return torch.where(is_real, pick(real, size, generator), pick(made, size, generator))


def pooled(real, made, size, share, generator):
    return pick(torch.cat([real, made]), size, generator)


def own_generator(*case):
    return batch(*case[:-1], torch.Generator().manual_seed(0))


def fresh_generator(*case):
    fresh = torch.Generator()
    fresh.seed()
    return batch(*case[:-1], fresh)


WRONG_3 = [
    (lambda *case: batch(*case)[:-1], "07_ex3.length"),
    (lambda *case: batch(*case)[None], "07_ex3.length"),
    (
        with_(take=lambda rows, num, g: torch.randint(len(rows), (num,), generator=g)),
        "07_ex3.positions",
    ),
    (with_(take=lambda rows, num, g: pick(rows, num, g) + 1), "07_ex3.unknown"),
    (coin, "07_ex3.coin"),
    (pooled, "07_ex3.coin"),
    (with_(count=lambda x, size: size - round(x)), "07_ex3.swapped"),
    (lambda real, made, *rest: batch(made, real, *rest), "07_ex3.swapped"),
    (with_(count=lambda x, size: int(x)), "07_ex3.truncated"),
    (with_(count=lambda x, size: math.ceil(x)), "07_ex3.ceil"),
    (with_(count=lambda x, size: size // 2), "07_ex3.half"),
    (with_(count=lambda x, size: 1), "07_ex3.count"),
    (lambda *case: batch(*case[:-1], None), "random"),
    (fresh_generator, "07_ex3.generator"),
    (own_generator, "07_ex3.fixed"),
    (with_(take=lambda rows, num, g: rows[torch.arange(num) % len(rows)]), "07_ex3.fixed"),
    (
        with_(take=lambda rows, num, g: rows[torch.randint(len(rows) - 1, (num,), generator=g)]),
        "07_ex3.never",
    ),
    (
        with_(
            take=lambda rows, num, g: rows[(len(rows) * torch.rand(num, generator=g) ** 2).long()]
        ),
        "07_ex3.uneven",
    ),
    (with_(take=permuted), "07_ex3.few"),
    (
        with_(
            take=lambda rows, num, g: (
                rows[torch.multinomial(torch.ones(len(rows)), num, generator=g)]
                if num
                else rows[:0]
            )
        ),
        "07_ex3.few",
    ),
]


@pytest.mark.parametrize(("function", "key"), WRONG_3)
def test_wrong_batches_are_recognized(function, key):
    assert_hint(checks.check_07_ex3(function), key)


# --- 4: gain by class ----------------------------------------------------------------------------


def by_loops(predictions, arm, generator, shots):
    """Look every pair up."""
    hit = {
        (row.arm, row.generator, row.shots, row.seed, row.image): row.label == row.prediction
        for row in predictions.itertuples()
    }
    gains = {}
    for row in predictions.itertuples():
        if (row.arm, row.generator, row.shots) == (arm, generator, shots):
            before = hit["real", "", shots, row.seed, row.image]
            gains.setdefault(row.label, []).append((row.label == row.prediction) - before)
    return {label: sum(some) / len(some) for label, some in gains.items()}


def recalls(predictions, arm, generator, shots, *, seeds=None, by="label"):
    keep = (predictions.arm == arm) & (predictions.generator == generator)
    rows = predictions[keep & (predictions.shots == shots)] if shots else predictions[keep]
    rows = rows[rows.seed.isin(seeds)] if seeds else rows
    return (rows.label == rows.prediction).groupby(rows[by]).mean()


def by_recall(predictions, arm, generator, shots, *, real="", real_shots=None, seeds=None):
    if seeds is None:
        seeds = set(predictions[predictions.arm == arm].seed)
    ours = recalls(predictions, arm, generator, shots, seeds=seeds)
    return ours - recalls(
        predictions, "real", real, shots if real_shots is None else real_shots, seeds=seeds
    )


def test_right_gains_pass_in_every_form():
    assert checks.check_07_ex4(by_loops).passed
    assert checks.check_07_ex4(by_recall).passed
    assert checks.check_07_ex4(lambda *case: by_recall(*case).sample(frac=1, random_state=0)).passed
    for form in (list, np.array, tuple, pd.DataFrame, lambda x: torch.tensor(x.to_numpy().copy())):
        assert checks.check_07_ex4(lambda *case, form=form: form(by_recall(*case))).passed


def test_the_table_of_the_exercise_is_one_of_the_lab():
    table = _make_predictions()
    keys = ["arm", "generator", "shots", "seed", "image"]
    assert not table.duplicated(keys).any()
    assert table.groupby("image")["label"].nunique().eq(1).all()
    assert set(table[table.arm == "real"].generator) == {""}


def test_the_mistakes_differ_from_the_right_gains():
    table = _make_predictions()
    for case in (("real+synthetic", "seen", 4), ("clip_filter", "blind", 16)):
        right = np.array(by_recall(table, *case))
        for key, *wrong in _class_gain_mistakes(table, *case):
            if key == "seeds" and case[0] == "real+synthetic":
                continue  # where the arm has all the seeds that real only has
            assert not any(np.allclose(right, one) for one in wrong), (key, case)


def overall(predictions, arm, generator, shots):
    gain = by_recall(predictions, arm, generator, shots)
    sizes = predictions.drop_duplicates("image").label.value_counts(normalize=True).sort_index()
    return pd.Series((gain * sizes).sum(), gain.index)


def of_class_share(predictions, *case):
    sizes = predictions.drop_duplicates("image").label.value_counts(normalize=True).sort_index()
    return by_recall(predictions, *case) * sizes


def by_place(predictions, arm, generator, shots):
    hits = predictions.label == predictions.prediction
    here = predictions.shots == shots
    ours = here & (predictions.arm == arm) & (predictions.generator == generator)
    real = here & (predictions.arm == "real")
    gain = hits[ours].to_numpy().astype(float) - hits[real].to_numpy()[: ours.sum()]
    return pd.Series(gain).groupby(predictions.label[ours].to_numpy()).mean()


def both(predictions, arm, generator, shots):
    mine = predictions[(predictions.arm == arm) & (predictions.shots == shots)]
    ours = (mine.label == mine.prediction).groupby(mine.label).mean()
    return ours - recalls(predictions, "real", "", shots, seeds=set(mine.seed))


def relative(predictions, arm, generator, shots):
    gain = by_recall(predictions, arm, generator, shots)
    return gain / recalls(predictions, "real", "", shots)


def sums(predictions, arm, generator, shots):
    sizes = predictions.drop_duplicates("image").label.value_counts().sort_index()
    return 5 * sizes * by_recall(predictions, arm, generator, shots)


WRONG_4 = [
    (lambda *case: by_recall(*case).mean(), "07_ex4.classes"),
    (lambda *case: by_recall(*case)[:2], "07_ex4.classes"),
    (lambda p, arm, g, shots: by_recall(p, arm, g, shots, real=g), "07_ex4.nothing_found"),
    (lambda *case: -by_recall(*case), "07_ex4.sign"),
    (recalls, "07_ex4.recall"),
    (lambda *case: 100 * by_recall(*case), "07_ex4.points"),
    (lambda *case: by_recall(*case, seeds={0}), "07_ex4.one_seed"),
    (both, "07_ex4.both_generators"),
    (lambda *case: by_recall(*case, real_shots=0), "07_ex4.all_shots"),
    (lambda p, arm, g, shots: by_recall(p, arm, g, 0), "07_ex4.all_shots"),
    (
        lambda *case: (
            recalls(*case, by="prediction") - recalls(case[0], "real", "", case[3], by="prediction")
        ),
        "07_ex4.predicted",
    ),
    (of_class_share, "07_ex4.share_of_all"),
    (sums, "07_ex4.counts"),
    (relative, "07_ex4.relative"),
    (overall, "07_ex4.one_number"),
    (by_place, "07_ex4.position"),
    (lambda *case: by_recall(*case, seeds=range(5)), "07_ex4.seeds"),
    (lambda *case: by_recall(*case) + 0.01, "07_ex4.value"),
    (lambda *case: ["a", "b", "c"], "no_number"),
    (lambda *case: case[0], "no_tensor"),
]


@pytest.mark.parametrize(("function", "key"), WRONG_4)
def test_wrong_gains_are_recognized(function, key):
    assert_hint(checks.check_07_ex4(function), key)


# --- 5: the CLIP filter --------------------------------------------------------------------------


def by_lists(
    probabilities, labels, budget, generator, *, passes=None, chance=True, fill=True, form=sorted
):
    """Filter with plain lists."""
    num, kept = probabilities.shape[1], []
    for k in sorted(set(labels.tolist())):
        rows = [i for i, label in enumerate(labels.tolist()) if label == k]
        confidence = {i: probabilities[i, k].item() for i in rows}
        test = passes or (lambda row, k: row[k] > 1 / num)
        sure = [i for i in rows if test(probabilities[i], k)]
        ranked = sorted(rows, key=lambda i: -confidence[i])
        if chance and len(sure) >= budget:
            order = torch.randperm(len(sure), generator=generator).tolist()
            kept += [sure[i] for i in order[:budget]]
        elif fill:
            kept += ranked[:budget]
        else:
            kept += sure
    return torch.tensor(form(kept))


def filter_with(**options):
    return lambda *case: by_lists(*case, **options)


def test_right_filters_pass_however_they_are_written():
    def by_noise(probabilities, labels, budget, generator):
        """Sort by chance where an image passes, by confidence where it does not."""
        own = probabilities.gather(1, labels[:, None])[:, 0]
        sure = own > 1 / probabilities.shape[1]
        luck = torch.rand(len(own), generator=generator)
        kept = []
        for k in labels.unique():
            rows = (labels == k).nonzero()[:, 0]
            is_rich = sure[rows].sum() >= budget
            score = torch.where(sure, luck, -1.0) if is_rich else own
            kept += rows[score[rows].argsort(descending=True)][:budget].tolist()
        return sorted(kept)

    assert checks.check_07_ex5(by_lists).passed
    assert checks.check_07_ex5(by_noise).passed
    assert checks.check_07_ex5(lambda *case: by_lists(*case).numpy()).passed
    assert checks.check_07_ex5(lambda *case: by_lists(*case).int()).passed


def test_the_probabilities_of_the_exercise_are_shares_of_one():
    probabilities, labels = _make_drawn()
    assert torch.allclose(probabilities.sum(dim=1), torch.ones(len(labels)))
    own = probabilities[torch.arange(len(labels)), labels]
    assert (own == 0.25).sum() == 1
    assert ((own > 0.25) & (probabilities.argmax(dim=1) != labels)).sum() > 3


def mask(probabilities, labels, budget, generator):
    kept = torch.zeros(len(labels), dtype=torch.bool)
    kept[by_lists(probabilities, labels, budget, generator)] = True
    return kept


def without(label):
    def keep(probabilities, labels, budget, generator):
        rows = by_lists(probabilities, labels, budget, generator)
        last = (labels[rows] == label).nonzero()[-1, 0]
        return torch.cat([rows[:last], rows[last + 1 :]])

    return keep


def least_confident(probabilities, labels, budget, generator):
    rows = by_lists(probabilities, labels, budget, generator)
    own = probabilities[torch.arange(len(labels)), labels]
    least = own.where(labels == 2, 2.0).argsort()[:budget]
    return torch.cat([rows[labels[rows] != 2], least]).sort().values


def strict_on_few(probabilities, labels, budget, generator):
    if labels.bincount().min() < budget:
        raise IndexError("selected index k out of range")
    return by_lists(probabilities, labels, budget, generator)


def only_passed_of_few(probabilities, labels, budget, generator):
    rows = by_lists(probabilities, labels, budget, generator)
    few = labels.bincount(minlength=4)[labels] < budget
    own = probabilities[torch.arange(len(labels)), labels]
    return rows[~(few & (own < 0.25))[rows]]


def fresh(probabilities, labels, budget, generator):
    other = torch.Generator()
    other.seed()
    return by_lists(probabilities, labels, budget, other)


def one_by_one(probabilities, labels, budget, generator):
    """Leave out whom a forgotten last position never lets in."""
    own = probabilities[torch.arange(len(labels)), labels]
    hidden = own.where(labels == 0, 1).sub(0.3).abs().argmin()
    changed = probabilities.clone()
    changed[hidden] = torch.tensor([0.1, 0.3, 0.3, 0.3])
    return by_lists(changed, labels, budget, generator)


WRONG_5 = [
    (lambda *case: by_lists(*case)[None], "07_ex5.form"),
    (lambda *case: by_lists(*case) + 0.5, "07_ex5.form"),
    (mask, "07_ex5.mask"),
    (lambda *case: by_lists(*case) + 30, "07_ex5.outside"),
    (lambda *case: torch.arange(4) - 1, "07_ex5.outside"),
    (lambda *case: by_lists(*case).repeat_interleave(2), "07_ex5.twice"),
    (filter_with(form=list), "07_ex5.order"),
    (filter_with(passes=lambda row, k: row[k] >= 0.25), "07_ex5.strict"),
    (filter_with(passes=lambda row, k: row.max() > 0.25), "07_ex5.below"),
    (filter_with(passes=lambda row, k: True), "07_ex5.below"),
    (
        lambda *case: by_lists(*case)[torch.randperm(12, generator=case[-1])[:4]].sort().values,
        "07_ex5.in_all",
    ),
    (lambda p, labels, budget, g: by_lists(p, labels, 6, g), "07_ex5.budget"),
    (
        lambda p, labels, *rest: (p[torch.arange(len(p)), labels] > 0.25).nonzero()[:, 0],
        "07_ex5.budget",
    ),
    (filter_with(fill=False), "07_ex5.no_fallback"),
    (without(0), "07_ex5.too_few"),
    (least_confident, "07_ex5.fallback"),
    (lambda p, labels, budget, g: by_lists(p, labels, budget, None), "random"),
    (fresh, "07_ex5.generator"),
    (filter_with(chance=False), "07_ex5.confident"),
    (
        lambda *case: by_lists(*case[:-1], torch.Generator().manual_seed(0)),
        "07_ex5.fixed",
    ),
    (filter_with(passes=lambda row, k: row.argmax() == k), "07_ex5.argmax"),
    (one_by_one, "07_ex5.never"),
    (strict_on_few, "07_ex5.small_class"),
    (only_passed_of_few, "07_ex5.small_class"),
]


@pytest.mark.parametrize(("function", "key"), WRONG_5)
def test_wrong_filters_are_recognized(function, key):
    assert_hint(checks.check_07_ex5(function), key)


# --- 6: soft targets -----------------------------------------------------------------------------


def targets(labels, logits, share, temperature, *, soft=None, mix=None):
    teacher = soft(logits, temperature) if soft else F.softmax(logits / temperature, -1)
    rest = 1 - share
    certain = torch.eye(logits.shape[1])[labels]
    return mix(teacher, certain, share) if mix else torch.lerp(certain, teacher, 1 - rest)


def soften(soft):
    return functools.partial(targets, soft=soft)


def mixed(mix):
    return functools.partial(targets, mix=mix)


def by_cross_entropy(labels, logits, share, temperature):
    """Read the target off the gradient: that of the loss of He et al. is softmax - target."""
    z = torch.zeros_like(logits, requires_grad=True)
    logs = F.log_softmax(z, dim=1)
    soft = -(F.softmax(logits / temperature, dim=1) * logs).sum()
    loss = share * soft + (1 - share) * F.cross_entropy(z, labels, reduction="sum")
    (slope,) = torch.autograd.grad(loss, z)
    return z.detach().softmax(1) - slope


def test_right_targets_pass_and_are_those_of_the_published_loss():
    assert checks.check_07_ex6(targets).passed
    assert checks.check_07_ex6(by_cross_entropy).passed
    assert checks.check_07_ex6(lambda *case: targets(*case).double().numpy()).passed
    assert checks.check_07_ex6(lambda *case: targets(*case).tolist()).passed


WRONG_6 = [
    (mixed(lambda soft, hard, s: (1 - s) * soft + s * hard), "07_ex6.shares"),
    (soften(lambda z, t: z.softmax(1)), "07_ex6.no_temperature"),
    (soften(lambda z, t: (t * z).softmax(1)), "07_ex6.times"),
    (soften(lambda z, t: z.softmax(1) / t), "07_ex6.late"),
    (
        lambda labels, z, s, t: mixed(lambda soft, hard, s: s * t**2 * soft + (1 - s) * hard)(
            labels, z, s, t
        ),
        "07_ex6.squared",
    ),
    (soften(lambda z, t: (z / t).softmax(0)), "07_ex6.axis"),
    (soften(lambda z, t: z / t), "07_ex6.no_softmax"),
    (soften(lambda z, t: z), "07_ex6.no_softmax"),
    (soften(lambda z, t: (z / t).log_softmax(1)), "07_ex6.logarithm"),
    (mixed(lambda soft, hard, s: hard), "07_ex6.only_hard"),
    (mixed(lambda soft, hard, s: soft), "07_ex6.only_soft"),
    (soften(lambda z, t: torch.full_like(z, 1 / z.shape[1])), "07_ex6.smoothing"),
    (mixed(lambda soft, hard, s: soft + hard), "07_ex6.not_mixed"),
    (mixed(lambda soft, hard, s: s * soft + hard), "07_ex6.not_mixed"),
    (
        lambda labels, z, s, t: ((1 - s) * torch.eye(z.shape[1])[labels] + s * z).div(t).softmax(1),
        "07_ex6.whole",
    ),
    (mixed(lambda soft, hard, s: 0.9 * (s * soft + (1 - s) * hard)), "07_ex6.value"),
    (soften(lambda z, t: (z / t).exp() / (z / t).exp().sum(1, keepdim=True)), "07_ex6.overflow"),
    (lambda *case: targets(*case).sum(), "shape"),
    (lambda labels, z, s, t: targets(labels, z.div_(t), s, 1), "in_place"),
]


@pytest.mark.parametrize(("function", "key"), WRONG_6)
def test_wrong_targets_are_recognized(function, key):
    assert_hint(checks.check_07_ex6(function), key)


def test_the_wrong_targets_differ_from_the_right_ones():
    z = 3 * torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    case = torch.tensor([2, 0, 3, 1]), z, 0.3, 2.0
    for key, *wrong in _soft_mistakes(*case):
        assert not any(torch.allclose(targets(*case).double(), one.double()) for one in wrong), key
