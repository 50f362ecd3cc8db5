"""Answers that are tensors: run on copies, compared, and recognised among common mistakes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from course_utils.checks.results import Hint, run


@contextmanager
def random_state_kept() -> Iterator[Callable[[], bool]]:
    """Put the global random state back afterwards; tells in between whether it was touched."""
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002

    def is_touched() -> bool:
        now = np.random.get_state()  # noqa: NPY002
        same = (now[1] == numpy_state[1]).all() and now[2:] == numpy_state[2:]
        return not (same and torch.equal(torch.get_rng_state(), torch_state))

    try:
        yield is_touched
    finally:
        torch.set_rng_state(torch_state)
        np.random.set_state(numpy_state)  # noqa: NPY002


def run_on_copies(function: Any, *arguments: Any, may_draw: bool = False) -> Any:
    """Call a learner's function on copies of tensors, and look at what it did to them.

    Args:
        function: what the learner handed in.
        arguments: tensors are copied, all else is given as it is.
        may_draw: whether the function may use the global random state.

    Raises:
        Hint: see `results.run`; or it changed its arguments, or drew random numbers of its own.
    """
    copies = [x.clone() if isinstance(x, Tensor) else x for x in arguments]
    with random_state_kept() as is_touched:
        answer = run(function, *copies)
        touched = is_touched()
    for copy, original in zip(copies, arguments, strict=True):
        if isinstance(original, Tensor) and not _is_unchanged(copy, original):
            raise Hint("in_place")
    if touched and not may_draw:
        raise Hint("random")
    return answer


def _is_unchanged(copy: Tensor, original: Tensor) -> bool:
    return copy.shape == original.shape and torch.equal(copy.detach(), original.detach())


def read_tensor(answer: Any, *shapes: Sequence[int]) -> Float64[Tensor, "..."]:
    """Read a tensor of one of some shapes.

    Raises:
        Hint: something else, another shape, or values that are not finite.
    """
    try:
        found = torch.as_tensor(answer).detach().double()
    except (TypeError, ValueError, RuntimeError) as error:
        raise Hint("no_tensor", kind=type(answer).__name__) from error
    if tuple(found.shape) not in map(tuple, shapes):
        raise Hint("shape", shape=tuple(found.shape), right=tuple(shapes[0]))
    if not found.isfinite().all():
        raise Hint("not_finite_tensor")
    return found


def is_close(a: Tensor, b: Tensor) -> bool:
    """Compare to what single precision and another order of operations may differ by."""
    return a.shape == b.shape and torch.allclose(a.double(), b.double(), rtol=1e-4, atol=1e-5)


def judge(
    exercise: str,
    answer: Tensor,
    right: Tensor,
    mistakes: Mapping[str, Tensor],
    /,
    *,
    otherwise: str = "value",
    **values: object,
) -> None:
    """Compare an answer, and if it is wrong, with what common wrong functions give.

    Args:
        exercise: "01_ex1"; its keys are ``check.<exercise>.<mistake>``. What comes after a blank
            in the name of a mistake is no part of the key.
        answer: the learner's.
        right: what is asked for.
        mistakes: wrong answers by name, the likelier first.
        otherwise: the key where no mistake is recognised.
        values: what its text needs.

    Raises:
        Hint: the answer is wrong.
    """
    if is_close(answer, right):
        return
    for name, wrong in mistakes.items():
        if is_close(answer, wrong):
            raise Hint(f"{exercise}.{name.split()[0]}")
    raise Hint(f"{exercise}.{otherwise}", **values)
