"""What all checks share: calling a learner's function, reading and comparing its answers."""

import inspect
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from course_utils.checks.results import CheckResult
from course_utils.texts import catalog, text

Mistakes = Iterable[tuple]  # each the key of a hint, and what one or more wrong functions give
_EMPTY = ("nothing", "no_return")  # the hints for a stub


class Hint(Exception):
    """Ends a check with a hint.

    Args:
        key: of ``data/texts.json``: ``check.<exercise>.<key>``, or ``check.<key>`` where the
            exercise has no words of its own.
        values: what to put into its braces.
    """

    def __init__(self, key: str, **values: object) -> None:
        super().__init__(key)
        self.key, self.values = key, values


def check(solution: Any, *, shown: Callable | None = None) -> Callable:
    """Make a check of ``check_NN_exK``, which raises `Hint` for a wrong answer.

    It may give what to go on with in place of a right answer, see `as_asked`.

    Args:
        solution: the course's own right answer; the check holds it as ``check_NN_exK.solution``.
        shown: the function that found it, where the answer itself says nothing of the way.
    """

    def wrap(judge: Callable[[Any], Any]) -> Callable[[Any], CheckResult]:
        exercise = judge.__name__.removeprefix("check_")

        @wraps(judge)
        def safe(value: Any = None) -> CheckResult:
            state = "not_yet"
            try:
                if value is None or value is ...:
                    raise Hint("nothing")
                judged = judge(value)
            except Hint as hint:
                own = f"check.{exercise}.{hint.key}"
                key = own if own in catalog() else f"check.{hint.key}"
                state = "empty" if hint.key in _EMPTY else state
                return CheckResult(state, text(key, **hint.values), solution)
            except (Exception, SystemExit) as error:  # a value that fights back when looked at
                return CheckResult(state, text("check.odd", error=_describe(error)), solution)
            answer = value if judged is None else judged
            return CheckResult("right", text(f"check.{exercise}.right"), answer)

        del safe.__wrapped__  # so that help() shows the signature of what is called
        safe.__annotations__ = {"value": Any, "return": CheckResult}
        returns = "Returns:\n    Whether it is right, or what went wrong; what to go on with."
        safe.__doc__ = f"{inspect.cleandoc(judge.__doc__)}\n\n{returns}"
        safe.solution, safe.shown = solution, shown or solution
        return safe

    return wrap


def compare(
    value: Any,
    cases: Iterable[tuple],
    solution: Callable,
    mistakes: Callable[..., Mistakes],
    *,
    read: Callable[[Any, Any], Any] | None = None,
    same: Callable[[Any, Any], bool] | None = None,
    watch: bool = True,
    jointly: bool = False,
    say: Callable[..., dict[str, object]] = lambda *_: {},
) -> Any:
    """Try a learner's function on cases, and where it is wrong, find out how.

    Args:
        value: what the learner handed in.
        cases: the arguments of each call.
        solution: the right function.
        mistakes: a function of the same arguments that lists what the usual wrong ones give, the
            likelier first.
        read: turns an answer into what is compared; the right answer is its second argument.
        same: compares two of them; `is_close` by default.
        watch: see `run`.
        jointly: whether a mistake has to fit in all cases, not only in the first wrong one.
        say: gives the values of hints from the answer, the right one, and the arguments.

    Returns:
        The function to go on with, see `as_asked`.

    Raises:
        Hint: the function is wrong.
    """
    read, same, cases = read or _read_like, same or is_close, list(cases)
    kept = []
    for group in [cases] if jointly else [[case] for case in cases]:
        right = [solution(*case) for case in group]
        found = []
        for case, one in zip(group, right, strict=True):
            kept.append((run(value, *case, watch=watch, again=bool(kept)), one))
            found.append(read(*kept[-1]))
        fits = list(map(same, found, right))
        if all(fits):
            continue
        told = zip(*(mistakes(*case) for case in group), strict=True)
        wrong = ((each[0][0], *zip(*(one[1:] for one in each), strict=True)) for each in told)
        i = fits.index(False)
        said = say(found[i], right[i], *group[i])
        judge(found, right, wrong, same=lambda a, b: all(map(same, a, b)), **said)
    return as_asked(value, kept)


def judge(
    answer: Any,
    right: Any,
    mistakes: Mistakes,
    /,
    *,
    same: Callable[[Any, Any], bool] | None = None,
    otherwise: str = "value",
    **values: object,
) -> None:
    """Compare an answer, and if it is wrong, with what the usual wrong functions give.

    Raises:
        Hint: the key of the first mistake that gives the same; ``otherwise`` if none does.
    """
    same = same or is_close
    if not same(answer, right):
        tell(((key, any(same(answer, x) for x in wrong)) for key, *wrong in mistakes), **values)
        raise Hint(otherwise, **values)


def tell(signs: Iterable[tuple[str, Any]], **values: object) -> None:
    """Raise the first hint whose sign is true."""
    for key, holds in signs:
        if holds:
            raise Hint(key, **values)


def run(function: Any, *arguments: Any, watch: bool = True, again: bool = False) -> Any:
    """Call a learner's function on copies; its warnings are silent, the random state is put back.

    Args:
        function: what the learner handed in.
        arguments: tensors, arrays, lists and dicts are copied.
        watch: whether it may neither change tensors nor draw global random numbers.
        again: whether it has answered before, so that it is no stub.

    Raises:
        Hint: it is no function, raises, gives nothing, or does what it may not.
    """
    if not callable(function):
        raise Hint("no_function", kind=type(function).__name__)
    copies = [_copy(x) for x in arguments]
    with random_state_kept() as is_touched, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            answer = function(*copies)
        except (Exception, SystemExit) as error:
            words = _describe(error)
            is_left_out = words == "NotImplementedError" or _is_stub(function)
            is_left_out &= isinstance(error, NotImplementedError) and not again
            raise Hint("nothing" if is_left_out else "raised", error=words) from error
        touched = is_touched()
    if answer is None or answer is ...:
        raise Hint("no_return" if _is_stub(function) and not again else "forgotten")
    changed = not all(map(_is_unchanged, copies, arguments))
    tell([("in_place", watch and changed), ("random", watch and touched)])
    return answer


def _is_stub(function: Any) -> bool:
    """Say whether a function holds nothing but a docstring, None, `...` or what it raises."""
    code = getattr(function, "__code__", None)
    if code is None:
        return True
    num_arguments = code.co_argcount + code.co_kwonlyargcount + (code.co_flags >> 2 & 1)
    is_empty = all(isinstance(x, str | type(None) | type(...)) for x in code.co_consts)
    no_names = {*code.co_names, *code.co_freevars} <= {"NotImplementedError"}
    return is_empty and no_names and code.co_nlocals <= num_arguments


def run_for_two(function: Any, *arguments: Any, again: bool = False) -> Sequence:
    """Call a learner's function that has to give two things."""
    answer = run(function, *arguments, again=again)
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise Hint("pair", kind=type(answer).__name__)
    return answer


def as_asked(function: Callable, answers: Iterable[tuple[Any, Any]]) -> Callable:
    """Give a right function, or one around it that answers as the course's own does.

    Arrays, lists and tensors of another precision or on another device are right as well; the
    cells that follow an exercise want tensors of the type of its first tensor.

    Args:
        function: what the learner handed in.
        answers: what it gave, each with the right answer.
    """
    if all(map(_is_alike, *zip(*answers, strict=True))):
        return function
    *_, (_, right) = answers

    @wraps(function)
    def asked(*arguments: Any, **named: Any) -> Any:
        given = (*arguments, *named.values())
        first = next((x for x in given if isinstance(x, Tensor)), None)
        return _convert(function(*arguments, **named), right, first)

    return asked


def _is_alike(answer: Any, right: Any) -> bool:
    if isinstance(right, tuple):
        return all(map(_is_alike, answer, right))
    if isinstance(right, Tensor):
        is_scalar = right.dim() == getattr(answer, "ndim", None) or right.dim() > 0
        return isinstance(answer, Tensor) and answer.dtype == right.dtype and is_scalar
    return type(answer) is type(right) or not isinstance(right, int | float)


def _convert(answer: Any, right: Any, first: Tensor | None) -> Any:
    if isinstance(right, tuple):
        return tuple(_convert(*pair, first) for pair in zip(answer, right, strict=True))
    if isinstance(right, int | float):
        return round(float(answer)) if isinstance(right, int) else float(answer)
    found = answer if isinstance(answer, Tensor) else _double(answer)
    found = found if first is None else found.to(first.device, first.dtype)
    return found if right.dim() else found.reshape(())


def _copy(x: Any) -> Any:
    if isinstance(x, Tensor):
        return x.clone()
    if isinstance(x, list):
        return [_copy(part) for part in x]
    return x.copy() if isinstance(x, np.ndarray | dict) else x


def _is_unchanged(copy: Any, original: Any) -> bool:
    if not isinstance(original, Tensor):
        return True
    return copy.shape == original.shape and torch.equal(copy.detach(), original.detach())


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


def _describe(error: BaseException) -> str:
    """Say what an exception says, in one line, whatever it is."""
    try:
        words = " ".join(str(error).split())
    except Exception:
        words = ""
    return f"{type(error).__name__}: {words[:200]}" if words else type(error).__name__


def number(value: Any) -> float:
    """Turn an answer into a finite number.

    Raises:
        Hint: a text, a truth value, several numbers, NaN or infinity.
    """
    try:
        if isinstance(value, str | bytes | bool):
            raise TypeError
        found = float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise Hint("no_number", kind=type(value).__name__) from error
    if not math.isfinite(found):
        raise Hint("not_finite", value=found)
    return found


def as_tensor(answer: Any) -> Float64[Tensor, "..."]:
    """Turn an answer into a tensor, or raise a `Hint`."""
    try:
        return _double(answer)
    except (TypeError, ValueError, RuntimeError) as error:
        raise Hint("no_tensor", kind=type(answer).__name__) from error


def _double(values: Any) -> Float64[Tensor, "..."]:
    if isinstance(values, list | tuple) and not all(isinstance(x, int | float) for x in values):
        return torch.stack([_double(x) for x in values])
    if isinstance(values, np.ndarray):
        values = values.copy()  # it may be turned round, or not writable
    found = torch.as_tensor(values).detach()
    if found.is_complex():
        raise TypeError("complex numbers")
    return found.double()


def read_tensor(answer: Any, *shapes: Sequence[int]) -> Float64[Tensor, "..."]:
    """Read a tensor of one of some shapes.

    Raises:
        Hint: something else, another shape, or values that are not finite.
    """
    found = as_tensor(answer)
    if tuple(found.shape) not in map(tuple, shapes):
        raise Hint("shape", shape=tuple(found.shape), right=tuple(shapes[0]))
    if not found.isfinite().all():
        raise Hint("not_finite_tensor")
    return found


def _read_like(answer: Any, right: Any) -> Any:
    return read_tensor(answer, right.shape) if isinstance(right, Tensor) else number(answer)


def is_close(a: Any, b: Any) -> bool:
    """Compare to what single precision and another order of operations may differ by."""
    return torch.allclose(_double(a), _double(b), rtol=1e-4, atol=1e-5)
