"""Checks of notebook 01 about functions that call a network: the loss, and a guided prediction."""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from course_utils.checks.results import Hint, check
from course_utils.checks.tensors import is_close, judge, read_tensor, run_on_copies
from course_utils.diffusion import NoiseSchedule

_SCHEDULE = NoiseSchedule.linear(8, beta_start=0.1, beta_end=0.5)  # every step is drawn for sure
_NUM_IMAGES, _STEPS = 512, _SCHEDULE.num_train_steps
_NEAR = 0.08  # from a moment of 24,576 normal numbers to its value: at least eight standard errors
_SCALES = (3.0, 1.5, 1.0)
_NUM_CLASSES = 5


class _Recorder:
    """A denoiser that remembers what it was asked."""

    def __init__(self) -> None:
        self.factor = nn.Parameter(torch.tensor(0.3))
        self.calls: list[tuple[Any, Any]] = []

    def __call__(self, x_t: Any, t: Any) -> Any:
        self.calls.append((x_t, t))
        return self.factor * x_t + 0.1


@check("01_ex5")
def check_01_ex5(value: Any) -> None:
    """Check a function that computes L_simple.

    ``simple_loss(denoiser, x0, schedule, generator)``: the mean over images and pixels of (eps -
    denoiser(x_t, t))², for one random t and eps an image.

    Args:
        value: the function; x0 is a float tensor (n, c, h, w).

    Returns:
        Whether steps, noise and loss are right, in whatever order they are drawn, or what is wrong.

    Source:
        Ho et al. 2020 (arXiv:2006.11239), equation 14 and algorithm 1.
    """
    x0 = torch.randn(_NUM_IMAGES, 3, 4, 4, generator=torch.Generator().manual_seed(4)).sign()
    answer, recorder = _run_loss(value, x0, torch.Generator().manual_seed(5))
    x_t, t = _only_call(recorder, x0)
    _judge_steps(t)
    eps = _judge_noising(x_t, t, x0)
    _judge_loss(answer, eps=eps, eps_pred=0.3 * x_t.detach() + 0.1, x0=x0, x_t=x_t.detach())
    again = [_run_loss(value, x0, torch.Generator().manual_seed(seed))[0] for seed in (5, 6)]
    if not torch.equal(answer, again[0]) or torch.equal(answer, again[1]):
        raise Hint("01_ex5.generator")
    if not answer.requires_grad:
        raise Hint("01_ex5.no_gradient")


def _run_loss(value: Any, x0: Tensor, generator: torch.Generator) -> tuple[Tensor, _Recorder]:
    recorder = _Recorder()
    try:
        answer = run_on_copies(value, recorder, x0, _SCHEDULE, generator)
    except Hint:
        if recorder.calls:
            _only_call(recorder, x0)  # tells what the exception comes from
        raise
    if isinstance(answer, float):
        raise Hint("01_ex5.no_gradient")
    if isinstance(answer, Tensor) and answer.dim():
        raise Hint("01_ex5.no_scalar", shape=tuple(answer.shape))
    read_tensor(answer, ())
    return torch.as_tensor(answer), recorder


def _only_call(recorder: _Recorder, x0: Tensor) -> tuple[Tensor, Tensor]:
    """Give what the denoiser was asked."""
    if len(recorder.calls) != 1:
        raise Hint("01_ex5.calls", num=len(recorder.calls))
    x_t, t = recorder.calls[0]
    if not isinstance(x_t, Tensor) or x_t.shape != x0.shape:
        shape = tuple(getattr(x_t, "shape", ()))
        raise Hint("01_ex5.x_t_shape", shape=shape, right=tuple(x0.shape))
    if not isinstance(t, Tensor) or t.shape != (len(x0),):
        shape = tuple(getattr(t, "shape", ()))
        raise Hint("01_ex5.t_shape", shape=shape, right=(len(x0),))
    if t.is_floating_point():
        raise Hint("01_ex5.t_float")
    return x_t, t


def _judge_steps(t: Tensor) -> None:
    """Check that all steps are drawn, about equally often."""
    low, high = int(t.min()), int(t.max())
    if low == high:
        raise Hint("01_ex5.one_t")
    if (low, high) != (0, _STEPS - 1):
        key = "one_based" if high >= _STEPS else "range"
        raise Hint(f"01_ex5.{key}", low=low, high=high, last=_STEPS - 1)
    if t.bincount().max() > 2 * len(t) / _STEPS:
        raise Hint("01_ex5.uneven")


def _judge_noising(x_t: Tensor, t: Tensor, x0: Tensor) -> Float[Tensor, "n c h w"]:
    """Solve for the noise in what the denoiser saw, which has to be normal and new everywhere."""
    if is_close(x_t, x0):
        raise Hint("01_ex5.no_noise")
    bar = _SCHEDULE.alpha_bar[t][:, None, None, None]
    eps = (x_t.detach() - bar.sqrt() * x0) / (1 - bar).sqrt()
    if is_close(eps, eps[:1].expand_as(eps)):
        raise Hint("01_ex5.one_noise")
    if _is_normal(eps, x0):
        return eps
    for key, signal, noise in _noisings(t):
        if _is_normal((x_t.detach() - signal * x0) / noise, x0):
            raise Hint(f"01_ex5.{key}")
    if abs(eps.mean() - 0.5) < _NEAR and eps.std() < 0.5:
        raise Hint("01_ex5.uniform")
    raise Hint("01_ex5.noising")


def _is_normal(eps: Tensor, x0: Tensor) -> bool:
    """Tell whether noise has mean 0, variance 1 and nothing in common with the images."""
    moments = eps.mean(), eps.var() - 1, (eps * x0).mean()
    return all(abs(moment) < _NEAR for moment in moments)


def _noisings(t: Tensor) -> Iterator[tuple[str, Tensor, Tensor]]:
    """List common wrong shares of image and noise, with the keys of their hints."""
    bars, later = _SCHEDULE.alpha_bar, (t + 1).clamp(max=_STEPS - 1)
    found = (_SCHEDULE.alpha[t], bars[t], bars[t - 1], bars[later])
    alpha, bar, early, late = (values[:, None, None, None] for values in found)
    yield "alpha", alpha.sqrt(), (1 - alpha).sqrt()
    yield "no_root", bar, 1 - bar
    yield "off_by_one", early.sqrt(), (1 - early).sqrt()
    yield "off_by_one", late.sqrt(), (1 - late).sqrt()


def _judge_loss(answer: Tensor, *, eps: Tensor, eps_pred: Tensor, x0: Tensor, x_t: Tensor) -> None:
    squares = (eps - eps_pred).square()
    wrong = {
        "sum": squares.sum(),
        "sum pixels": squares.sum((1, 2, 3)).mean(),
        "sum images": squares.mean((1, 2, 3)).sum(),
        "absolute": (eps - eps_pred).abs().mean(),
        "rooted": squares.mean().sqrt(),
        "rooted each": squares.sum((1, 2, 3)).sqrt().mean(),
        "half": squares.mean() / 2,
        "target": (x0 - eps_pred).square().mean(),
        "target x_t": (x_t - eps_pred).square().mean(),
        "plus": (eps + eps_pred).square().mean(),
        "not_squared": (eps - eps_pred).mean(),
        "not_squared other": (eps_pred - eps).mean(),
    }
    judge("01_ex5", answer.detach(), squares.mean(), wrong)


class _Modes(list):
    """A list that stays one and the same when the network that holds it is copied."""

    def __deepcopy__(self, memo: dict) -> "_Modes":
        return self


class _Dropout(nn.Module):
    """Drop half of the values in training mode, every other one: no need to draw them."""

    def forward(self, x: Tensor) -> Tensor:
        kept = torch.arange(x.numel()).reshape(x.shape) % 2
        return x * kept * 2 if self.training else x


class _Net(nn.Module):
    """A network with dropout that remembers in which mode it was called."""

    def __init__(self) -> None:
        super().__init__()
        self.null_label = _NUM_CLASSES
        self.factor = nn.Parameter(torch.tensor(0.7))
        self.shift = nn.Parameter(torch.linspace(-1, 1, _NUM_CLASSES + 1).exp())
        self.dropout = _Dropout()
        self.modes = _Modes()

    def forward(self, x_t: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        self.modes.append(self.training or self.dropout.training)
        if labels is None:
            labels = torch.full((len(x_t),), self.null_label)
        told = self.shift[labels] + 0.01 * t
        return self.dropout(self.factor * x_t + told[:, None, None, None] * x_t.sign())


@check("01_ex8")
def check_01_ex8(value: Any) -> None:
    """Check a function that makes a guided prediction with a network in training mode.

    ``predict(net, x_t, t, labels, guidance_scale)``: ``uncond + s (cond - uncond)``, with
    ``net(x_t, t, labels)`` and ``net(x_t, t, None)``, dropout off, without gradients, and the
    network afterwards in the mode in which it was before.

    Args:
        value: the function; x_t is a float tensor (n, c, h, w), t and labels are int64 (n,).

    Returns:
        Whether prediction and network are as they should be, or what went wrong.

    Source:
        Ho and Salimans 2022 (arXiv:2207.12598), equation 6, with s = w + 1.
    """
    generator = torch.Generator().manual_seed(7)
    x_t = torch.randn(3, 1, 4, 4, generator=generator)
    t, labels = torch.tensor([0, 5, 9]), torch.tensor([0, 2, 4])
    for scale, was_training in zip(_SCALES, (True, False, True), strict=True):
        net = _Net().train(was_training)
        answer = run_on_copies(value, net, x_t, t, labels, scale)
        _judge_network(net, was_training=was_training)
        found = read_tensor(answer, x_t.shape)
        if isinstance(answer, Tensor) and answer.requires_grad:
            raise Hint("01_ex8.gradient")
        net.eval()
        with torch.no_grad():
            uncond, cond = net(x_t, t), net(x_t, t, labels)
        wrong = {
            "zero_is_none": cond + scale * (cond - uncond),
            "swapped": cond + scale * (uncond - cond),
            "sign": uncond + scale * (uncond - cond),
            "no_start": scale * (cond - uncond),
            "ignored": cond,
            "unguided": uncond,
        }
        right = uncond + scale * (cond - uncond)
        judge("01_ex8", found, right, wrong, scale=f"{scale:g}")


def _judge_network(net: _Net, *, was_training: bool) -> None:
    """Check in which mode a network was called, and how it was left."""
    if not net.modes:
        raise Hint("01_ex8.not_called")
    if any(net.modes):
        raise Hint("01_ex8.train")
    if any(module.training != was_training for module in net.modules()):
        raise Hint("01_ex8.not_restored" if was_training else "01_ex8.always_train")
    if not all(parameter.requires_grad for parameter in net.parameters()):
        raise Hint("01_ex8.frozen")
