"""Checks of notebook 05: reference answers pass, every known wrong answer gets its own hint."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import jaccard_score
from test_checks import assert_hint

from course_utils import checks, control

# --- 1: six maps on eighteen channels -------------------------------------------------------------

ORDER = ("lines", "edges", "sketch", "road", "depth", "segmentation")


def pages(maps, absent=0.0):
    size = next(iter(maps.values())).shape[-2:]
    return {
        name: (maps[name].float() / 255).expand(3, *size).clone()
        if name in maps
        else torch.full((3, *size), absent)
        for name in ORDER
    }


def stacked(maps, names=ORDER, **options):
    found = pages(maps, **options)
    return torch.cat([found[name] for name in names])


def by_loop(maps):
    height, width = next(iter(maps.values())).shape[-2:]
    stack = np.zeros((18, height, width))
    for name, values in maps.items():
        stack[3 * ORDER.index(name) : 3 * ORDER.index(name) + 3] = np.asarray(values) / 255
    return stack


def test_right_stacks_pass_however_they_are_built():
    assert checks.check_05_ex1(stacked).passed
    assert checks.check_05_ex1(by_loop).passed
    assert control.CONDITIONS == ORDER


def one_channel(maps):
    found = pages(maps)
    return torch.cat([p if name == "segmentation" else p[:1] for name, p in found.items()])


def interleaved(maps):
    return torch.stack(list(pages(maps).values()), dim=1).flatten(0, 1)


WRONG_1 = [
    (lambda maps: 255 * stacked(maps), "05_ex1.range"),
    (lambda maps: 2 * stacked(maps) - 1, "05_ex1.centered"),
    (lambda maps: stacked(maps, absent=0.5), "05_ex1.absent"),
    (lambda maps: stacked(maps, absent=1.0), "05_ex1.absent"),
    (lambda maps: stacked(maps, [name for name in ORDER if name in maps]), "05_ex1.left_out"),
    (interleaved, "05_ex1.interleaved"),
    (one_channel, "05_ex1.one_channel"),
    (lambda maps: torch.cat([p.flip(0) for p in pages(maps).values()]), "05_ex1.colors"),
    (lambda maps: stacked(maps, maps), "05_ex1.order"),
    (lambda maps: stacked(maps, sorted(ORDER)), "05_ex1.order"),
    (lambda maps: stacked(maps).permute(1, 2, 0), "05_ex1.channels_last"),
    (lambda maps: stacked(maps)[None], "05_ex1.batch"),
    (lambda maps: "eighteen", "05_ex1.no_tensor"),
    (lambda maps: stacked(maps) / 0, "not_finite_tensor"),
    (lambda maps: stacked(maps).transpose(1, 2), "05_ex1.value"),
]


@pytest.mark.parametrize(("function", "key"), WRONG_1)
def test_wrong_stacks_are_recognised(function, key):
    assert_hint(checks.check_05_ex1(function), key)


# --- 2: what a ControlNet adds --------------------------------------------------------------------


def added(hidden, copies, layers, scales):
    parts = [s * layer(c) for c, layer, s in zip(copies, layers, scales, strict=True)]
    return torch.stack([hidden, *parts]).sum(dim=0)


def parts_of(copies, layers, scales):
    return [s * layer(c) for c, layer, s in zip(copies, layers, scales, strict=True)]


def in_place(hidden, copies, layers, scales):
    hidden += sum(parts_of(copies, layers, scales))
    return hidden


def test_right_sums_pass_and_a_layer_of_zeros_changes_nothing():
    assert checks.check_05_ex2(added).passed
    zero = torch.nn.utils.skip_init(torch.nn.Conv2d, 3, 3, 1)
    torch.nn.init.zeros_(zero.weight)
    torch.nn.init.zeros_(zero.bias)
    hidden, copy = torch.ones(1, 3, 2, 2), torch.ones(1, 3, 2, 2)
    assert torch.equal(checks.check_05_ex2.solution(hidden, [copy], [zero], [1.0]), hidden)


WRONG_2 = [
    (lambda h, c, z, s: sum(parts_of(c, z, s)), "05_ex2.no_hidden"),
    (lambda h, c, z, s: h + sum(parts_of(c, z, [1] * len(s))), "05_ex2.ignored"),
    (lambda h, c, z, s: h + s[0] * z[0](c[0]), "05_ex2.one_only"),
    (lambda h, c, z, s: h + s[-1] * z[-1](c[-1]), "05_ex2.one_only"),
    (lambda h, c, z, s: h + sum(w * x for w, x in zip(s, c, strict=True)), "05_ex2.no_layer"),
    (lambda h, c, z, s: h + sum(f(w * x) for w, f, x in zip(s, z, c, strict=True)),
     "05_ex2.inside"),
    (lambda h, c, z, s: h + sum(parts_of(c, z, s)) / len(s), "05_ex2.average"),
    (lambda h, c, z, s: h + sum(parts_of(c, z, s)) / sum(s), "05_ex2.average"),
    (lambda h, c, z, s: sum(w * (h + f(x)) for w, f, x in zip(s, z, c, strict=True)),
     "05_ex2.hidden_scaled"),
    (lambda h, c, z, s: (1 - sum(s)) * h + sum(parts_of(c, z, s)), "05_ex2.interpolated"),
    (lambda h, c, z, s: sum(h + part for part in parts_of(c, z, s)), "05_ex2.hidden_each"),
    (lambda h, c, z, s: h + sum(w * f(h + x) for w, f, x in zip(s, z, c, strict=True)),
     "05_ex2.layer_of_sum"),
    (lambda h, c, z, s: h - sum(parts_of(c, z, s)), "05_ex2.sign"),
    (lambda h, c, z, s: h + sum(parts_of(c, z, s[::-1])), "05_ex2.scales_swapped"),
    (lambda h, c, z, s: h + sum(parts_of(c, z[::-1], s)), "05_ex2.layers_swapped"),
    (lambda h, c, z, s: 2 * added(h, c, z, s), "05_ex2.value"),
    (lambda h, c, z, s: added(h, c, z, s)[0], "05_ex2.shape"),
    (lambda h, c, z, s: "sum", "05_ex2.no_tensor"),
    (in_place, "05_ex2.in_place"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "key"), WRONG_2)
def test_wrong_sums_are_recognised(function, key):
    assert_hint(checks.check_05_ex2(function), key)


# --- 3: intersection over union -------------------------------------------------------------------


def count(mask):
    return mask.sum(dim=(1, 2)).double()


def iou(found, asked):
    return count(found & asked) / count(found | asked)


def by_sklearn(found, asked):
    shares = [
        jaccard_score(b.flatten().numpy(), a.flatten().numpy())
        for a, b in zip(found, asked, strict=True)
        if (a | b).any()
    ]
    return np.mean(shares)


def averaged(share, empty=math.nan):
    return lambda found, asked: share(found, asked).nan_to_num(empty).mean()


def test_right_iou_passes_however_it_is_computed():
    assert checks.check_05_ex3(by_sklearn).passed
    assert checks.check_05_ex3(lambda a, b: iou(a, b).nanmean()).passed


WRONG_3 = [
    (averaged(iou, 0.0), "05_ex3.empty_zero"),
    (averaged(iou, 1.0), "05_ex3.empty_one"),
    (lambda a, b: iou(a, b).mean(), "05_ex3.not_finite"),
    (lambda a, b: (a & b).sum() / (a | b).sum(), "05_ex3.pooled"),
    (lambda a, b: (2 * count(a & b) / (count(a) + count(b))).nanmean(), "05_ex3.dice"),
    (lambda a, b: (count(a & b) / (count(a) + count(b))).nanmean(), "05_ex3.union"),
    (lambda a, b: (count(a & b) / count(b)).nanmean(), "05_ex3.recall"),
    (lambda a, b: (count(a & b) / count(a)).nanmean(), "05_ex3.precision"),
    (lambda a, b: (a == b).double().mean(), "05_ex3.accuracy"),
    (lambda a, b: iou(~a, ~b).mean(), "05_ex3.background"),
    (lambda a, b: 100 * iou(a, b).nanmean(), "05_ex3.percent"),
    (lambda a, b: iou(a, b).nansum(), "05_ex3.sum"),
    (lambda a, b: iou(a, b)[(a | b).any(2).any(1)].median(), "05_ex3.median"),
    (lambda a, b: iou(a, b)[0], "05_ex3.first"),
    (lambda a, b: iou(a, b), "05_ex3.no_number"),
    (lambda a, b: iou(a, b).nanmean() / 2, "05_ex3.value"),
]


@pytest.mark.parametrize(("function", "key"), WRONG_3)
def test_wrong_iou_is_recognised(function, key):
    assert_hint(checks.check_05_ex3(function), key)


# --- 4: metadata by hand --------------------------------------------------------------------------

SHIFTS, WIDTHS = (180, 90, 0, 0, -1980, 0, 0), (360, 180, 1, 1, 120, 12, 31)
README = (925.8798, 345.2111, 411.4541, 0, 308.3333, 166.6667, 354.8387)


def fields(record):
    place = [record.longitude, record.latitude, record.meters_per_pixel, record.cloud_share]
    return [*place, record.year, record.month, record.day]


def scaled(record, shifts=SHIFTS, widths=WIDTHS, unknown=0.0):
    rows = zip(fields(record), shifts, widths, strict=True)
    return [unknown if x is None else 1000 * (x + b) / w for x, b, w in rows]


def test_right_metadata_passes_in_every_form_and_is_the_packages():
    assert checks.check_05_ex4(scaled).passed
    assert checks.check_05_ex4(lambda record: np.array(scaled(record))).passed
    assert checks.check_05_ex4(lambda record: control.scale_metadata([record])[0]).passed


def test_the_published_example_of_diffusionsat_is_met():
    record = control.Metadata(153.316728, -27.862002, 0.4114541, 0.0, 2017.0, 2.0, 11.0)
    found = checks.check_05_ex4.solution(record)
    assert torch.allclose(found, torch.tensor(README), atol=1e-3)


def reordered(*places):
    return lambda record: [scaled(record)[i] for i in places]


def known_as_zero(record):
    values = [0.0 if x is None else x for x in fields(record)]
    return [1000 * (x + b) / w for x, b, w in zip(values, SHIFTS, WIDTHS, strict=True)]


WRONG_4 = [
    (reordered(4, 5, 6, 2, 3, 1, 0), "05_ex4.crs_diff"),
    (control.scale_for_crs_diff, "05_ex4.crs_diff"),
    (reordered(1, 0, 2, 3, 4, 5, 6), "05_ex4.swapped"),
    (lambda r: scaled(r, (0,) * 7), "05_ex4.no_shift"),
    (lambda r: scaled(r, (180, 90, 0, 0, 0, 0, 0)), "05_ex4.year_shift"),
    (lambda r: scaled(r, (0, 0, 0, 0, -1980, 0, 0)), "05_ex4.place_shift"),
    (lambda r: scaled(r, (-180, -90, 0, 0, 1980, 0, 0)), "05_ex4.sign"),
    (lambda r: scaled(r, SHIFTS, (360, 180, 1, 0.01, 120, 12, 31)), "05_ex4.percent"),
    (lambda r: [x / 1000 for x in scaled(r)], "05_ex4.thousand"),
    (lambda r: scaled(r, SHIFTS, (360, 180, 1, 1, 44, 12, 31)), "05_ex4.year_width"),
    (lambda r: scaled(r, (180, 90, 0, 0, -1980, -1, -1)), "05_ex4.from_zero"),
    (reordered(0, 1, 2, 3, 6, 5, 4), "05_ex4.date"),
    (lambda r: [0.0 if x is None else x for x in fields(r)], "05_ex4.raw"),
    (known_as_zero, "05_ex4.unknown"),
    (lambda r: scaled(r, unknown=-1.0), "05_ex4.unknown"),
    (lambda r: scaled(r, unknown=math.nan), "05_ex4.not_finite_tensor"),
    (lambda r: [1000 * (r.longitude + 180) / 360], "05_ex4.shape"),
    (lambda r: scaled(r, unknown="?"), "05_ex4.no_tensor"),
    (lambda r: [2 * x for x in scaled(r)], "05_ex4.value"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "key"), WRONG_4)
def test_wrong_metadata_is_recognised(function, key):
    assert_hint(checks.check_05_ex4(function), key)


def test_a_forgotten_shift_gives_the_year_that_the_text_names():
    year = scaled(control.Metadata(year=2015.0), (0,) * 7)[4]
    assert math.floor(year) == 16_791
    assert "16,791" in checks.check_05_ex4(lambda r: scaled(r, (180, 90, *(0,) * 5))).hint


# --- 5: masks as bits -----------------------------------------------------------------------------


def codes(ones, first=max):
    num = ones.shape[1]
    worth = [2 ** (num - 1 - i) if first is max else 2**i for i in range(num)]
    return sum(w * ones[:, i] for i, w in enumerate(worth))


def unused(mask, num_classes):
    return (mask >= num_classes).float().mean()


def read(ones=lambda bits: (bits > 0).long(), after=lambda mask, k: mask, share=unused, **options):
    def function(bits, num_classes):
        mask = codes(ones(bits), **options)
        return after(mask, num_classes), share(mask, num_classes)

    return function


def by_strings(bits, num_classes):
    ones = (bits.numpy() > 0).astype(int)
    pixels = ones.transpose(0, 2, 3, 1).reshape(-1, ones.shape[1])
    mask = np.array([int("".join(map(str, pixel)), 2) for pixel in pixels])
    shape = ones.shape[0], *ones.shape[2:]
    return mask.reshape(shape), float(np.mean(mask > num_classes - 1))


def test_right_masks_pass_however_they_are_read():
    assert checks.check_05_ex5(read()).passed
    assert checks.check_05_ex5(by_strings).passed
    used = checks.check_05_ex5(by_strings).use
    mask, share = used(torch.ones(1, 3, 2, 2), 6)
    assert (mask == 7).all()
    assert share == 1


WRONG_5 = [
    (read(first=min), "05_ex5.least"),
    (read(lambda bits: (bits > 0.5).long()), "05_ex5.half"),
    (read(lambda bits: (bits < 0).long()), "05_ex5.sign"),
    (read(lambda bits: bits), "05_ex5.not_bits"),
    (read(lambda bits: bits.round()), "05_ex5.not_bits"),
    (lambda bits, k: ((bits > 0).sum(1), 0.0), "05_ex5.counted"),
    (lambda bits, k: (bits.argmax(1), 0.0), "05_ex5.argmax"),
    (read(after=lambda mask, k: mask + 1), "05_ex5.from_one"),
    (read(after=lambda mask, k: mask.clamp(max=k - 1)), "05_ex5.cut"),
    (read(after=lambda mask, k: torch.where(mask < k, mask, 0)), "05_ex5.cut"),
    (read(after=lambda mask, k: 3 * mask), "05_ex5.mask"),
    (read(share=lambda mask, k: (mask > k).float().mean()), "05_ex5.above"),
    (read(share=lambda mask, k: (mask < k).float().mean()), "05_ex5.used"),
    (read(share=lambda mask, k: 100 * unused(mask, k)), "05_ex5.percent"),
    (read(share=lambda mask, k: (mask >= k).sum()), "05_ex5.count"),
    (read(share=lambda mask, k: (2 ** math.ceil(math.log2(k)) - k) / 2 ** math.ceil(math.log2(k))),
     "05_ex5.of_codes"),
    (read(share=lambda mask, k: 0.0), "05_ex5.zero"),
    (read(share=lambda mask, k: unused(mask, k) / 2), "05_ex5.share"),
    (lambda bits, k: codes(bits > 0), "05_ex5.pair"),
    (lambda bits, k: (codes(bits > 0)[0], 0.0), "05_ex5.shape"),
    (lambda bits, k: ("mask", 0.0), "05_ex5.no_tensor"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "key"), WRONG_5)
def test_wrong_masks_are_recognised(function, key):
    assert_hint(checks.check_05_ex5(function), key)


# --- 6: reading the curve -------------------------------------------------------------------------


def judged(reach):
    """Answer by the mean of the differences and how far its interval reaches."""

    def function(told, plain):
        differences = np.subtract(told, plain)
        middle, far = differences.mean(), reach(differences, np.array(told), np.array(plain))
        return "helped" if middle > far else "hurt" if middle < -far else "cannot tell"

    return function


def test_the_verdict_of_a_paired_t_test_passes():
    def by_scipy(told, plain):
        found = stats.ttest_rel(told, plain)
        if found.pvalue > 0.05:
            return "cannot tell"
        return "helped" if found.statistic > 0 else "hurt"

    assert checks.check_05_ex6(by_scipy).passed


def error(d, ddof=1):
    return d.std(ddof=ddof) / math.sqrt(len(d))


T = stats.t.ppf(0.975, 4)


def all_agree(told, plain):
    signs = set(np.sign(np.subtract(told, plain)))
    return {frozenset({1.0}): "helped", frozenset({-1.0}): "hurt"}.get(
        frozenset(signs), "cannot tell"
    )


WRONG_6 = [
    (judged(lambda d, a, b: 0.0), "05_ex6.sign_only"),
    (lambda a, b: judged(lambda d, *_: T * error(d))(b, a), "05_ex6.turned"),
    (judged(lambda d, a, b: T * math.hypot(error(a), error(b))), "05_ex6.unpaired"),
    (judged(lambda d, a, b: T * (error(a) + error(b))), "05_ex6.unpaired"),
    (judged(lambda d, *_: T * d.std(ddof=1)), "05_ex6.spread"),
    (judged(lambda d, *_: d.std(ddof=1)), "05_ex6.spread"),
    (judged(lambda d, *_: 1.96 * error(d)), "05_ex6.normal"),
    (judged(lambda d, *_: stats.t.ppf(0.95, 4) * error(d)), "05_ex6.one_sided"),
    (judged(lambda d, *_: 1.64 * error(d)), "05_ex6.one_sided"),
    (judged(lambda d, *_: T * error(d, ddof=0)), "05_ex6.population"),
    (judged(lambda d, *_: error(d)), "05_ex6.error"),
    (all_agree, "05_ex6.agree"),
    (lambda a, b: "helped" if max(a) > max(b) else "hurt", "05_ex6.best"),
    (lambda a, b: "cannot tell", "05_ex6.always"),
    (lambda a, b: "helped", "05_ex6.always"),
    (judged(lambda d, *_: 3.5 * error(d)), "05_ex6.value"),
    (lambda a, b: "better", "05_ex6.form"),
    (lambda a, b: 0.02, "05_ex6.form"),
    (lambda a, b: "Helped", "05_ex6.form"),
]


@pytest.mark.parametrize(("function", "key"), WRONG_6)
def test_wrong_verdicts_are_recognised(function, key):
    assert_hint(checks.check_05_ex6(function), key)
