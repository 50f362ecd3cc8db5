"""Checks of notebook 01 on its tables, and what the checks of steps share: schedule and images."""

import math
from collections.abc import Iterator
from functools import partial
from itertools import product
from types import SimpleNamespace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from course_utils.checks.judging import (
    Hint,
    Mistakes,
    as_tensor,
    check,
    compare,
    number,
    read_tensor,
    run,
    tell,
)
from course_utils.diffusion import NoiseSchedule

# Few steps with much noise, so that neighbors and other tables give clearly different answers.
SCHEDULE = NoiseSchedule.linear(20, beta_start=0.02, beta_end=0.3)
STEPS = ((4, 9, 13, 17), (0, 1, 10, 19))  # the ends only after the middle has been right
NOTEBOOK = NoiseSchedule.linear()  # the one whose tables lie around in the notebook
_TABLES = ("beta", "alpha", "alpha_bar")
_SCHEDULES = {
    "linear, T = 1000": NOTEBOOK,
    "cosine, T = 1000": NoiseSchedule.cosine(),
    "linear, T = 10": NoiseSchedule.linear(10),
}


def make_images(*, seed: int, num: int) -> list[Float[Tensor, "4 3 4 4"]]:
    """Draw as many images as a row has pixels, so that a wrong axis is no error of shapes."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(4, 3, 4, 4, generator=generator) for _ in range(num)]


def column(values: Float[Tensor, " T"], t: Tensor) -> Float[Tensor, "n 1 1 1"]:
    """Look a table up; a negative step counts from the end, as in Python, others stop at it."""
    return values[t.clamp(max=len(values) - 1)][:, None, None, None]


def with_globals(schedule: NoiseSchedule) -> Iterator[SimpleNamespace]:
    """Replace some tables of a schedule by the notebook's own, as who forgets the argument does."""
    for chosen in product((NOTEBOOK, schedule), repeat=len(_TABLES)):
        tables = {name: getattr(one, name) for name, one in zip(_TABLES, chosen, strict=True)}
        if any(one is NOTEBOOK for one in chosen):
            yield SimpleNamespace(**tables)


def alpha_bar_from_beta(beta):
    """Multiply what each step keeps."""
    return (1 - beta).cumprod(dim=0)


def _alpha_bar_mistakes(beta: Tensor) -> Mistakes:
    yield "globals", NOTEBOOK.alpha_bar[: len(beta)]
    alpha, bar = 1 - beta, (1 - beta).cumprod(0)
    backward = alpha.flip(0).cumprod(0)
    yield "alpha", alpha
    yield "beta", beta.cumprod(0), 1 - beta.cumprod(0)
    yield "sum", 1 - beta.cumsum(0), alpha.cumsum(0)
    yield "exponential", (-beta.cumsum(0)).exp()
    yield "rooted", bar.sqrt()
    yield "shifted", torch.cat([torch.ones(1), bar[:-1]])
    yield "total", alpha.prod().expand_as(beta)
    yield "backward", backward, backward.flip(0)
    yield "complement", 1 - bar
    yield "logarithm", alpha.log().cumsum(0)


@check(alpha_bar_from_beta)
def check_01_ex2(value: Any) -> Any:
    """Check ``alpha_bar_from_beta(beta)``: the products of 1 - β_s over all s ≤ t.

    Args:
        value: the function; beta is a float tensor (T,).

    Source:
        Ho et al. 2020 (arXiv:2006.11239), above equation 4.
    """

    def say(found: Tensor, bar: Tensor, _: Tensor) -> dict[str, object]:
        return {"answer": f"{found[1]:.4g}", "right": f"{bar[1]:.4g}"}

    def read(answer: Any, bar: Tensor) -> Tensor:
        shape = as_tensor(answer).shape
        tell([("globals", shape == NOTEBOOK.beta.shape), ("longer", shape == (len(bar) + 1,))])
        return read_tensor(answer, bar.shape)

    uneven = torch.tensor([0.3, 0.05, 0.2, 0.1, 0.4, 0.15, 0.25])
    cases = [(SCHEDULE.beta,), (uneven,)]
    return compare(value, cases, alpha_bar_from_beta, _alpha_bar_mistakes, read=read, say=say)


def first_noisy_step(schedule):
    """Find the first step with more noise than image."""
    for t, snr in enumerate(schedule.snr):
        if snr < 1:
            return t
    return schedule.num_train_steps


def _step_mistakes(schedule: NoiseSchedule) -> Mistakes:
    right, bar, length = first_noisy_step(schedule), schedule.alpha_bar, schedule.num_train_steps
    if right == length:
        yield "never", 0, -1, length - 1, length + 1
    if schedule is not NOTEBOOK:
        yield "globals", first_noisy_step(NOTEBOOK)
    yield "one_based", right + 1
    yield "too_early", right - 1
    yield "sign", 0
    yield "alpha", int((schedule.alpha >= 0.5).sum())
    yield "last", length - 1
    yield "count", length - right
    yield "root", int((bar.sqrt() >= 0.5).sum()), int((bar.sqrt() >= 1 - bar).sum())
    yield "share", right / length


@check(first_noisy_step)
def check_01_ex3(value: Any) -> Any:
    """Check ``first_noisy_step(schedule) -> int``: the first t with SNR < 1, T if none has.

    Args:
        value: the function; it gets a `NoiseSchedule`.

    Source:
        Kingma et al. 2021 (arXiv:2107.00630), section 3.1, for the signal-to-noise ratio.
    """

    def say(answer: float, right: int, schedule: NoiseSchedule) -> dict[str, object]:
        snr, last = schedule.exact_snr, min(right, schedule.num_train_steps - 1)
        said = {"schedule": names[schedule], "t": last}
        said |= {"snr": f"{snr[last]:.4f}", "before": f"{snr[last - 1]:.4f}"}
        return {**said, "answer": f"{answer:.6g}"}

    names = {schedule: name for name, schedule in _SCHEDULES.items()}
    same, cases = partial(math.isclose, abs_tol=1e-6), [(each,) for each in names]
    try:
        return compare(value, cases, first_noisy_step, _step_mistakes, same=same, say=say)
    except Hint as hint:
        if hint.key in ("forgotten", "raised", "no_number"):
            number(run(value, NOTEBOOK))  # whoever fails only where there is no such step
            raise Hint("never", schedule=[*names.values()][-1]) from hint
        raise
