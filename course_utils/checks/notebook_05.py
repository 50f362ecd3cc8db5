"""Checks of notebook 05 on what a generator is told: maps, how they are added, metadata."""

from collections.abc import Callable, Sequence
from dataclasses import astuple
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from course_utils import control
from course_utils.checks.judging import Hint, Mistakes, as_tensor, check, compare

_FIELDS = ("longitude", "latitude", "meters", "cloud", "year", "month", "day")
_SHIFTS = (180.0, 90.0, 0.0, 0.0, -1980.0, 0.0, 0.0)
_WIDTHS = (360.0, 180.0, 1.0, 1.0, 120.0, 12.0, 31.0)
_YEAR = 4  # its place in the order of DiffusionSat
_CRS_DIFF = [4, 5, 6, 2, 3, 1, 0]  # places of its order in that of DiffusionSat
_RECORDS = (  # the second is the example of DiffusionSat's own README, the others lack numbers
    control.Metadata(30.1, 59.9, 1.2, 0.35, 2015.0, 7.0, 4.0),
    control.Metadata(153.3, -27.9, 0.41, 0.0, 2017.0, 2.0, 11.0),
    control.Metadata(None, 45.5, 4.0, None, 2020.0, None, 9.0),
    control.Metadata(-70.2, None, 3.0, 0.1, None, 12.0, None),
    control.Metadata(),
)
_SIZE = (3, 5)  # of the maps that are stacked; not square, so that turned ones are noticed


def stack_maps(maps):
    """Stack six maps of three channels each in CRS-Diff's order."""
    size = next(iter(maps.values())).shape[-2:]
    parts = [maps.get(name, torch.zeros(size)) for name in control.CONDITIONS]
    return torch.cat([part.expand(3, *size) / 255 for part in parts])


def _stack_mistakes(maps: dict[str, UInt8[Tensor, "..."]]) -> Mistakes:
    def join(names: Sequence[str], pages: dict[str, Tensor] | None = None) -> Tensor:
        pages = whole if pages is None else pages
        return torch.cat([pages[name] for name in names])

    names, size = control.CONDITIONS, next(iter(maps.values())).shape[-2:]
    empty = torch.zeros(3, *size)
    whole = {name: maps.get(name, empty).expand(3, *size) / 255 for name in names}
    right, given = join(names), [*maps, *(name for name in names if name not in maps)]
    yield "range", 255 * right, (255 * right).byte()
    yield "centered", 2 * right - 1
    for level in (0.5, 1.0):
        kept = {name: page if name in maps else empty + level for name, page in whole.items()}
        yield "absent", join(names, kept)
    yield "left_out", join([name for name in names if name in maps])
    by_channel = [torch.stack([whole[name][c] for name in names]) for c in range(3)]
    yield "interleaved", torch.cat(by_channel)
    gray = [page if name == "segmentation" else page[:1] for name, page in whole.items()]
    yield "one_channel", torch.cat(gray), torch.stack([page.mean(0) for page in whole.values()])
    first = [torch.cat([page[:1], empty[:2]]) for page in whole.values()]
    yield "one_channel", torch.cat([*first[:-1], whole["segmentation"]])
    yield "colors", join(names, {n: page.flip(0) for n, page in whole.items()})
    yield "order", join(given), join(sorted(names)), join(names[::-1])
    yield "order", join([name for name in given if name in maps]), join(sorted(maps))
    yield "channels_last", right.movedim(0, -1)
    yield "batch", right[None]


def _read_stack(answer: Any, right: Tensor) -> Tensor:
    """Read a stack of any shape, so that what is missing or turned can be said."""
    found = as_tensor(answer)
    if not found.isfinite().all():
        raise Hint("not_finite_tensor")
    return found


def _is_same_stack(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a.double(), b.double(), atol=1e-4)


@check(stack_maps)
def check_05_ex1(value: Any) -> Any:
    """Check ``stack_maps(maps) -> tensor (18, h, w)``: `control.CONDITIONS`, three channels each.

    A gray map fills its three channels with the same; one that is absent is zeros; 0 to 1.

    Args:
        value: the function; its argument is a dict from a map's name to a uint8 tensor, (h, w), or
            (3, h, w) for the segmentation.

    Source:
        Tang et al. 2024 (arXiv:2403.11614), released code.
    """

    def say(answer: Tensor, right: Tensor, maps: dict) -> dict[str, object]:
        return {"shape": tuple(answer.shape), "right": tuple(right.shape), "given": ", ".join(maps)}

    cases = [(maps,) for maps in _draw_maps()]
    options = {"read": _read_stack, "same": _is_same_stack, "say": say}
    return compare(value, cases, stack_maps, _stack_mistakes, **options)


def _draw_maps() -> list[dict[str, UInt8[Tensor, "..."]]]:
    """Draw all six maps in a mixed order, some of them, one alone."""
    generator = torch.Generator().manual_seed(0)

    def draw(name: str) -> Tensor:
        shape = (3, *_SIZE) if name == "segmentation" else _SIZE
        return torch.randint(256, shape, generator=generator, dtype=torch.uint8)

    mixed = ("road", "segmentation", "sketch", "lines", "depth", "edges")
    whole = {name: draw(name) for name in mixed}
    some = {name: whole[name] for name in ("segmentation", "edges", "road")}
    return [whole, some, {"road": whole["road"]}, {"segmentation": whole["segmentation"]}]


def add_control(hidden, copies, layers, scales):
    """Add what each copy found, through its own layer, times its own weight."""
    for copy, layer, scale in zip(copies, layers, scales, strict=True):
        hidden = hidden + scale * layer(copy)
    return hidden


def _control_mistakes(
    hidden: Float[Tensor, "n c h w"],
    copies: Sequence[Tensor],
    layers: Sequence[Callable],
    scales: Sequence[float],
) -> Mistakes:
    parts = list(zip(scales, layers, copies, strict=True))
    told = [layer(copy) for _, layer, copy in parts]
    scaled = [scale * layer(copy) for scale, layer, copy in parts]
    total, weight = torch.stack(scaled).sum(0), sum(scales)
    yield "no_hidden", total
    yield "ignored", hidden + torch.stack(told).sum(0)
    yield "no_layer", hidden + sum(scale * copy for scale, _, copy in parts)
    yield "inside", hidden + sum(layer(scale * copy) for scale, layer, copy in parts)
    yield "average", hidden + total / len(scales), hidden + total / weight
    yield "hidden_scaled", weight * hidden + total
    yield "interpolated", (1 - weight) * hidden + total
    yield "hidden_each", len(scales) * hidden + total
    yield "layer_of_sum", hidden + sum(scale * layer(hidden + copy) for scale, layer, copy in parts)
    yield "sign", hidden - total
    turned = zip(scales[::-1], layers, copies, strict=True)
    yield "scales_swapped", hidden + sum(scale * layer(copy) for scale, layer, copy in turned)
    turned = zip(scales, layers[::-1], copies, strict=True)
    yield "layers_swapped", hidden + sum(scale * layer(copy) for scale, layer, copy in turned)
    yield "one_only", hidden + scaled[0], hidden + scaled[-1]


@check(add_control)
def check_05_ex2(value: Any) -> Any:
    """Check ``add_control(hidden, copies, layers, scales)``: h + sum_i s_i Z_i(c_i).

    Args:
        value: the function; ``hidden`` and each copy are float tensors (n, c, h, w), each layer is
            a function of one, each scale a number.

    Source:
        Zhang et al. 2023, ControlNet (arXiv:2302.05543), equation 2; several conditions are added,
        section 3.4.
    """

    def say(answer: Tensor, right: Tensor, *case: Any) -> dict[str, object]:
        return {"scales": ", ".join(f"{scale:g}" for scale in case[3])}

    return compare(value, _draw_copies(), add_control, _control_mistakes, say=say)


class _Layer:
    """A layer of one pixel's channels, as a learner finds it: to be called."""

    def __init__(self, weight: Float[Tensor, "d c"], bias: Float[Tensor, " d"]) -> None:
        self.weight, self.bias = weight, bias

    def __call__(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h w"]:
        return torch.einsum("dc,nchw->ndhw", self.weight, x) + self.bias[:, None, None]


def _draw_copies() -> list[tuple]:
    """Draw two conditions, three, one, and one whose layer is still zero."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    def case(*scales: float, start: float = 1.0) -> tuple:
        layers = [_Layer(start * draw(4, 4), start * draw(4)) for _ in scales]
        return draw(2, 4, 3, 3), [draw(2, 4, 3, 3) for _ in scales], layers, list(scales)

    return [case(1.0, 0.4), case(0.5, 2.0, 0.8), case(0.7), case(1.0, start=0.0)]


def scale_record(record):
    """Order, shift, divide, times 1000; what is unknown is 0."""
    rows = (
        (record.longitude, 180, 360),
        (record.latitude, 90, 180),
        (record.meters_per_pixel, 0, 1),
        (record.cloud_share, 0, 1),
        (record.year, -1980, 120),
        (record.month, 0, 12),
        (record.day, 0, 31),
    )
    scaled = [0.0 if x is None else 1000 * (x + b) / width for x, b, width in rows]
    return torch.tensor(scaled)


def _scale(values: Sequence, shifts: Sequence, widths: Sequence = _WIDTHS) -> Float[Tensor, " 7"]:
    rows = zip(values, shifts, widths, strict=True)
    return torch.tensor([0.0 if x is None else 1000 * (x + b) / w for x, b, w in rows])


def _scale_mistakes(record: control.Metadata) -> Mistakes:
    def without(*places: int) -> Float[Tensor, " 7"]:
        return _scale(values, [0.0 if i in places else b for i, b in enumerate(_SHIFTS)])

    def with_width(place: int, width: float) -> Float[Tensor, " 7"]:
        return _scale(values, _SHIFTS, [width if i == place else w for i, w in enumerate(_WIDTHS)])

    values, right = astuple(record), scale_record(record)
    theirs = control.scale_for_crs_diff(record)
    yield "crs_diff", right[_CRS_DIFF], theirs, 1000 * theirs
    crossed = _scale((values[1], values[0], *values[2:]), _SHIFTS)
    yield "swapped", right[[1, 0, 2, 3, 4, 5, 6]], crossed
    yield "no_shift", without(*range(7))
    yield "year_shift", without(_YEAR)
    yield "place_shift", without(0, 1), without(0), without(1)
    yield "sign", _scale(values, [-b for b in _SHIFTS])
    cloud = torch.tensor([1.0, 1, 1, 100, 1, 1, 1])
    yield "percent", right * cloud, right / cloud
    yield "thousand", right / 1000, right / 10
    yield "year_width", *(with_width(_YEAR, width) for width in (44.0, 100.0, 140.0, 1.0))
    yield "from_zero", _scale(values, (*_SHIFTS[:5], -1.0, -1.0))
    yield "date", right[[0, 1, 2, 3, 6, 5, 4]], right[[0, 1, 2, 3, 5, 6, 4]]
    yield "raw", torch.tensor([0.0 if x is None else float(x) for x in values])
    known = [0.0 if x is None else x for x in values]
    yield "unknown", _scale(known, _SHIFTS), *(torch.where(right == 0, x, right) for x in (-1, 500))


@check(scale_record)
def check_05_ex4(value: Any) -> Any:
    """Check ``scale_record(record)``: seven numbers, 1000 (value + shift) / width, unknown is 0.

    Longitude, latitude, meters a pixel, cloud share, year, month, day; the shifts are 180, 90, 0,
    0, -1980, 0, 0, the widths 360, 180, 1, 1, 120, 12, 31.

    Args:
        value: the function; its argument is a `control.Metadata`.

    Source:
        Khanna et al. 2024 (arXiv:2312.03606), released code.
    """

    def say(answer: Tensor, right: Tensor, record: control.Metadata) -> dict[str, object]:
        wrong = int((answer - right).abs().argmax())
        said = {"field": _FIELDS[wrong], "given": astuple(record)[wrong]}
        return said | {"answer": f"{answer[wrong]:.4g}", "right": f"{right[wrong]:.4g}"}

    cases = [(record,) for record in _RECORDS]
    return compare(value, cases, scale_record, _scale_mistakes, say=say)
